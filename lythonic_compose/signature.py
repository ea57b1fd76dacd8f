"""What does a function take, and what does it return?

The only room that reads signatures and annotations. Nothing is called here, and no type is
compared with another: that is `fit.py`.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable
from functools import cached_property
from typing import Any, Final, cast, get_args, get_origin, get_type_hints

from lythonic_state.fields import frozen

from .errors import WrongKind
from .refs import GlobalRef


class _Missing:
    """Stands for an annotation or a default that is not there."""

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Final[Any] = _Missing()


@frozen
class Unresolved:
    """A string annotation whose names could not be found."""

    text: str
    reason: str


@frozen
class Arg:
    """One parameter: its name, resolved annotation and default, MISSING where there is none."""

    name: str
    annotation: Any
    default: Any
    positional_only: bool = False
    keyword_only: bool = False

    @property
    def required(self) -> bool:
        return self.default is MISSING


class Method:
    """A lazy view of what a callable takes and returns, with its annotations resolved.

    Of a reference, or the text of one, nothing is imported before it is looked at. `*args` and
    `**kwargs` are not parameters that anything can be wired to and are left out.

    Example:
        >>> [arg.name for arg in Method(fetch).args]
        ['url']
        >>> Method("myapp.steps:fetch").return_annotation
        <class 'dict'>

    Raises:
        WrongKind: it is not callable; of a reference this is found when it is looked at.
        NamespaceError: the text is no reference.
        ImportFailed: a reference, when it is looked at, cannot be imported.
    """

    def __init__(self, target: Callable[..., Any] | GlobalRef | str) -> None:
        self.ref = GlobalRef(target) if isinstance(target, str) else None
        """The reference that it was made of, if it was."""
        self._target = None if isinstance(target, str) else _checked(target)

    def __repr__(self) -> str:
        return f"Method({self.name})"

    @property
    def target(self) -> Callable[..., Any]:
        """The callable itself, which a reference imports now."""
        if self._target is None:
            assert self.ref is not None
            found = _checked(self.ref.get_instance(), f"{self.ref}, which is ")
            # of two threads that import at the same time the first one counts
            self._target = self.__dict__.setdefault("_imported", found)
        return self._target

    @property
    def is_imported(self) -> bool:
        """Whether `target` is there: a reference that nobody looked at has not been imported."""
        return self._target is not None

    @cached_property
    def name(self) -> str:
        """What the callable is called; a partial is called as its function."""
        if self.ref is not None:  # no import for that
            return self.ref.name.rpartition(".")[2].removesuffix("__")
        inner = _without_partials(self.target)
        name = getattr(inner, "__name__", None)
        return name if isinstance(name, str) else type(inner).__name__

    @property
    def doc(self) -> str | None:
        return inspect.getdoc(_without_partials(self.target))

    @cached_property
    def is_async(self) -> bool:
        """Whether calling it gives a coroutine."""
        inner = _without_partials(self.target)
        while not inspect.isroutine(inner) and not isinstance(inner, type):
            if inspect.iscoroutinefunction(type(inner).__call__):
                return True
            # an object around a function hands on what the function gives
            wrapped = getattr(inner, "__wrapped__", None)
            if wrapped is None:
                return False
            inner = _without_partials(wrapped)
        return inspect.iscoroutinefunction(inner)

    @cached_property
    def args(self) -> tuple[Arg, ...]:
        return tuple(
            Arg(
                parameter.name,
                self._annotation(parameter.name, parameter.annotation),
                MISSING if parameter.default is parameter.empty else parameter.default,
                parameter.kind is parameter.POSITIONAL_ONLY,
                parameter.kind is parameter.KEYWORD_ONLY,
            )
            for parameter in self._signature.parameters.values()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        )

    @cached_property
    def variadic(self) -> tuple[str, ...]:
        """The parameters that take any number of arguments, with their stars."""
        return tuple(
            str(parameter).partition(":")[0]
            for parameter in self._signature.parameters.values()
            if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        )

    @cached_property
    def is_generator(self) -> bool:
        """Whether calling it gives a generator, sync or async."""
        inner = _without_partials(self.target)
        return inspect.isgeneratorfunction(inner) or inspect.isasyncgenfunction(inner)

    @cached_property
    def return_annotation(self) -> Any:
        """What a call gives in the end: `-> Awaitable[int]` is awaited, so it is int."""
        if isinstance(_without_partials(self.target), type):
            return _without_partials(self.target)
        found = self._annotation("return", self._signature.return_annotation)
        if found is None:
            return type(None)
        origin, args = get_origin(found), get_args(found)
        if origin is collections.abc.Coroutine and len(args) == 3:
            return args[2]
        if origin is collections.abc.Awaitable and args:
            return args[0]
        return found

    def arguments(self, values: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Values by name, as they are to be passed: positional ones, and the others by name."""
        if not self._takes_positional:
            return (), values
        positional: list[Any] = []
        by_name = dict(values)
        for arg in self.args:
            if not arg.positional_only or arg.name not in by_name:
                break
            positional.append(by_name.pop(arg.name))
        return tuple(positional), by_name

    @cached_property
    def _takes_positional(self) -> bool:
        """Whether there are parameters that cannot be given by name; they come first."""
        return bool(self.args) and self.args[0].positional_only

    @cached_property
    def _signature(self) -> inspect.Signature:
        target = self.target
        try:
            return inspect.signature(target)
        except ValueError as error:  # some builtins have none
            raise WrongKind(
                f"{self.name} does not tell which parameters it takes ({error}); "
                "wrap it in a function with annotations"
            ) from error

    def _annotation(self, name: str, plain: Any) -> Any:
        if plain is inspect.Signature.empty:
            return MISSING
        if name in self._hints:
            return self._hints[name]
        return _resolve(plain, _namespaces(self._annotated))

    @cached_property
    def _annotated(self) -> Any:
        """The object that carries the annotations."""
        inner = inspect.unwrap(_without_partials(self.target))
        if isinstance(inner, type):
            return inspect.getattr_static(inner, "__init__")
        if not inspect.isroutine(inner):
            inner = type(inner).__call__
        return inspect.unwrap(inner)

    @cached_property
    def _hints(self) -> dict[str, Any]:
        try:
            return get_type_hints(self._annotated, include_extras=True)
        except Exception:  # noqa: BLE001 - any name in any annotation; each is tried by itself then
            return {}


def _checked(target: Any, what: str = "") -> Callable[..., Any]:
    if not callable(target):
        raise WrongKind(f"expected a function or another callable, got {what}{target!r}")
    return cast("Callable[..., Any]", target)


def _without_partials(target: Any) -> Any:
    while isinstance(target, functools.partial):
        target = target.func
    return target


def _namespaces(function: Any) -> dict[str, Any]:
    """The names that a function's string annotations may use: its module's and its closure's."""
    function = getattr(function, "__func__", function)
    names = dict(vars(sys.modules.get(getattr(function, "__module__", ""), types)))
    names.update(getattr(function, "__globals__", {}))
    code, cells = getattr(function, "__code__", None), getattr(function, "__closure__", None)
    if code is not None and cells:
        for name, cell in zip(code.co_freevars, cells, strict=True):
            try:
                names[name] = cell.cell_contents
            except ValueError:  # not assigned yet
                continue
    return names


def _resolve(annotation: Any, names: dict[str, Any]) -> Any:
    """A string annotation as the type it names, with `Unresolved` where it names none."""
    if not isinstance(annotation, str):
        return annotation
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return get_type_hints(typing.cast(Any, holder), names, names, include_extras=True)["it"]
    except Exception as error:  # noqa: BLE001 - whatever evaluating the text raises
        return Unresolved(annotation, f"{type(error).__name__}: {error}")
