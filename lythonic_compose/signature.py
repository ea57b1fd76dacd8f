"""What does a function take, and what does it return?

The only room that uses `inspect` or reads annotations. Nothing is called here, and no type is
compared with another: that is `fit.py`.
"""

from __future__ import annotations

import collections.abc
import functools
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, get_args, get_origin, get_type_hints

from .errors import WrongKind


class _Missing:
    """Stands for an annotation or a default that is not there."""

    def __repr__(self) -> str:
        return "MISSING"

    def __reduce__(self) -> str:
        return "MISSING"


MISSING: Final[Any] = _Missing()


@dataclass(frozen=True, slots=True)
class Unresolved:
    """A string annotation whose names could not be found."""

    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Arg:
    """One parameter: its name, resolved annotation and default, MISSING where there is none."""

    name: str
    annotation: Any
    default: Any
    positional_only: bool = False

    @property
    def required(self) -> bool:
        return self.default is MISSING


class Method:
    """A lazy view of what a callable takes and returns, with its annotations resolved.

    `*args` and `**kwargs` are not parameters that anything can be wired to and are left out.

    Example:
        >>> [arg.name for arg in Method(fetch).args]
        ['url']

    Raises:
        WrongKind: it is not callable.
    """

    def __init__(self, target: Callable[..., Any]) -> None:
        if not callable(target):
            raise WrongKind(f"expected a function or another callable, got {target!r}")
        self.target = target

    def __repr__(self) -> str:
        return f"Method({self.name})"

    @cached_property
    def name(self) -> str:
        """What the callable is called; a partial is called as its function."""
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
        return inspect.iscoroutinefunction(inner) or (
            not inspect.isroutine(inner)
            and not isinstance(inner, type)
            and inspect.iscoroutinefunction(type(inner).__call__)
        )

    @cached_property
    def args(self) -> tuple[Arg, ...]:
        return tuple(
            Arg(
                parameter.name,
                self._annotation(parameter.name, parameter.annotation),
                MISSING if parameter.default is parameter.empty else parameter.default,
                parameter.kind is parameter.POSITIONAL_ONLY,
            )
            for parameter in self._signature.parameters.values()
            if parameter.kind not in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
        )

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

    def arguments(self, values: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Values by name, as they are to be passed: positional ones, and the others by name."""
        positional: list[Any] = []
        by_name = dict(values)
        for arg in self.args:
            if not arg.positional_only or arg.name not in by_name:
                break
            positional.append(by_name.pop(arg.name))
        return tuple(positional), by_name

    @cached_property
    def _signature(self) -> inspect.Signature:
        try:
            return inspect.signature(self.target)
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
        inner = _without_partials(self.target)
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
