"""How is a Python object, or a place in a namespace, named by a text?

Texts and imports only: nothing is called here but the factories that a reference asks for, and no
signature is read.
"""

from __future__ import annotations

import importlib
import inspect
import sys
import unicodedata
from collections.abc import Callable, Iterable
from functools import partial
from types import ModuleType
from typing import Any, Self

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema

from .errors import ImportFailed, MissingObject, NamespaceError, WrongKind, nearest


class _Ref(str):
    """A text of a certain form: it compares, sorts, is bound and is serialised as text."""

    __slots__ = ()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({str(self)!r})"

    def __str__(self) -> str:
        return str.__str__(self)

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        made = core_schema.no_info_plain_validator_function(
            cls, serialization=core_schema.plain_serializer_function_ser_schema(str)
        )
        of_text = core_schema.chain_schema([core_schema.str_schema(), made])
        return core_schema.json_or_python_schema(
            json_schema=of_text,
            python_schema=made,
            serialization=core_schema.plain_serializer_function_ser_schema(
                str, return_schema=core_schema.str_schema()
            ),
        )


class NsRef(_Ref):
    """A place in a namespace: branches with dots, and after the colon a leaf.

    Without a leaf ("market.data:") it names a branch, without branches ("fetch") a leaf at the
    root. It is the text that it was made of, normalised as Python normalises names.

    Example:
        >>> ref = NsRef("market.data:fetch")
        >>> ref.scope, ref.name
        (('market', 'data'), 'fetch')

    Raises:
        NamespaceError: the text is malformed.
        WrongKind: it is no text.
    """

    __slots__ = ()

    def __new__(cls, text: str) -> Self:
        if isinstance(text, cls):
            return text
        if not isinstance(text, str):
            raise WrongKind(f'a path is a text like "market.data:fetch", got {text!r}')
        scope, name = _parts_of_nsref(unicodedata.normalize("NFKC", text))
        return super().__new__(cls, f"{'.'.join(scope)}:{name}" if scope else name)

    @classmethod
    def of(cls, scope: Iterable[str], name: str = "") -> Self:
        """The place of a leaf, or without one of a branch, by its parts.

        Example:
            >>> NsRef.of(["market", "data"], "fetch")
            NsRef('market.data:fetch')
        """
        return cls(f"{'.'.join(scope)}:{name}")

    @property
    def scope(self) -> tuple[str, ...]:
        """The names of the branches, from the root on."""
        before, colon, _ = str(self).rpartition(":")
        return tuple(before.split(".")) if colon else ()

    @property
    def name(self) -> str:
        """The name of the leaf; empty where it names a branch."""
        return str(self).rpartition(":")[2]

    @property
    def path(self) -> tuple[str, ...]:
        """The branches and the leaf."""
        return (*self.scope, self.name) if self.name else self.scope


def parse_nsref(nsref: str) -> tuple[list[str], str]:
    """The branches and the leaf of a path: "market.data:fetch" is (["market", "data"], "fetch")."""
    ref = NsRef(nsref)
    return list(ref.scope), ref.name


def _parts_of_nsref(text: str) -> tuple[list[str], str]:
    before, colon, name = text.partition(":")
    if not colon:
        before, name = "", text
    scope = before.split(".") if before else []
    problem = _problem_of_nsref(text, scope, name)
    if problem:
        raise NamespaceError(
            f"{text!r} cannot be a path in a namespace: {problem}; "
            'it looks like "market.data:fetch", branches with dots and after the colon a leaf'
        )
    return scope, name


def _problem_of_nsref(text: str, scope: list[str], name: str) -> str | None:
    if not text.strip(":"):
        return "there is nothing in it"
    if ":" in name:
        return "it has two colons"
    if "." in name:
        branch, _, leaf = name.rpartition(".")
        meant = ".".join(part for part in [*scope, *branch.split(".")] if part)
        hint = f"; did you mean {f'{meant}:{leaf}'!r}?" if meant and leaf else ""
        return f"the leaf {name!r} has a dot{hint}"
    if "" in scope:
        return "a branch has no name"
    for part in [*scope, name]:
        for sign in part:
            if sign.isspace() or sign == "/" or not sign.isprintable():
                return f"{part!r} has a {sign!r} in it"
    return None


class GlobalRef(_Ref):
    """A Python object by its module and name, or a module by itself ("json:").

    A name that ends in `__` and that the module lacks is what the function without the suffix
    returns: "myapp.pipelines:daily__" calls `daily()`. Nothing is imported until it is asked for.

    Example:
        >>> GlobalRef("json:dumps").get_instance()([1])
        '[1]'
        >>> GlobalRef(fetch)
        GlobalRef('myapp.steps:fetch')

    Raises:
        NamespaceError: the text is malformed, or the object has no name to import it by.
    """

    __slots__ = ()

    def __new__(cls, what: str | Callable[..., Any] | ModuleType) -> Self:
        if isinstance(what, cls):
            return what
        text = unicodedata.normalize("NFKC", what) if isinstance(what, str) else _name_of(what)
        module, _, name = text.partition(":")
        problem = _problem_of_gref(module, name)
        if problem:
            raise NamespaceError(
                f"{text!r} cannot name a Python object: {problem}; "
                'it looks like "package.module:name"'
            )
        return super().__new__(cls, f"{module}:{name}")

    @property
    def module(self) -> str:
        return str(self).partition(":")[0]

    @property
    def name(self) -> str:
        """The name in the module, with dots where it is inside a class; empty for the module."""
        return str(self).partition(":")[2]

    def get_instance(self) -> Any:
        """The object, which is imported now; a factory is called each time.

        Example:
            >>> GlobalRef("json:dumps").get_instance()([1])
            '[1]'

        Raises:
            MissingObject: there is no such module, or it has nothing of that name.
            ImportFailed: the module raised while it was imported.
            WrongKind: the name without `__` is no function that could make it.
        """
        module = _import(self)
        if not self.name:
            return module
        found: Any = module
        *outer, last = self.name.split(".")
        for part in outer:
            found = _attribute(self, found, part)
        if last.endswith("__") and len(last) > 2 and not hasattr(found, last):
            return self._made_by(_attribute(self, found, last.removesuffix("__")))
        return _attribute(self, found, last)

    def is_async(self) -> bool:
        """Whether it is a coroutine function."""
        return inspect.iscoroutinefunction(self.get_instance())

    def is_class(self) -> bool:
        """Whether it is a class."""
        return inspect.isclass(self.get_instance())

    def is_module(self) -> bool:
        """Whether it is a module."""
        return inspect.ismodule(self.get_instance())

    def refers_to(self, what: Any) -> bool:
        """Whether this very object is what it names; what cannot be imported is not."""
        try:
            return bool(self.get_instance() == what)
        except ImportError:
            return False

    def _made_by(self, factory: Any) -> Any:
        called = f"{self.module}:{self.name.removesuffix('__')}"
        if not callable(factory):
            raise WrongKind(f"{self} asks to call {called}, which is no function: {factory!r}")
        if inspect.iscoroutinefunction(factory):
            raise WrongKind(f"{self} asks to call {called}, which is async; a factory is not")
        try:
            return factory()
        except Exception as error:
            error.add_note(f"while {called} was called to make {self}")
            raise


def _name_of(what: Any) -> str:
    if isinstance(what, ModuleType):
        return f"{what.__name__}:"
    if isinstance(what, partial):
        raise NamespaceError(
            f"{what!r} is a partial and has no name to import it by; "
            'give it one in a module and write that: "package.module:name"'
        )
    module, name = getattr(what, "__module__", None), getattr(what, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        if not callable(what):
            raise WrongKind(f"a Python object is named by a text or by itself, got {what!r}")
        raise NamespaceError(
            f"{what!r} is an instance and has no name to import it by; "
            'give it one in a module and write that: "package.module:name"'
        )
    if "<" in name:
        kind = "a lambda" if name.endswith("<lambda>") else "inside a function"
        raise NamespaceError(
            f"{name} of {module} is {kind} and cannot be imported; define it in the module itself"
        )
    owner = getattr(what, "__self__", None)
    if owner is not None and not isinstance(owner, (type, ModuleType)):
        raise NamespaceError(
            f"{name} of {module} is bound to an object and cannot be imported; "
            "define a function in the module that calls it"
        )
    return f"{module}:{name}"


def _problem_of_gref(module: str, name: str) -> str | None:
    if not module:
        return "it names no module"
    if "" in module.split("."):
        return "the module's name has a dot too many"
    if any(sign.isspace() or not sign.isprintable() or sign in "/\\" for sign in module):
        return f"{module!r} cannot be a module"
    if name and not all(part.isidentifier() for part in name.split(".")):
        return f"{name!r} is no name in Python"
    return None


def _import(ref: GlobalRef) -> ModuleType:
    try:
        return importlib.import_module(ref.module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if ref.module == missing or ref.module.startswith(f"{missing}."):
            raise MissingObject(
                f"{ref}: there is no module {missing!r}{_near_module(missing)}"
            ) from error
        raise ImportFailed(f"{ref}: importing {ref.module} failed: {error}") from error
    except Exception as error:
        raise ImportFailed(
            f"{ref}: importing {ref.module} failed: {type(error).__name__}: {error}"
        ) from error


def _near_module(missing: str) -> str:
    parent = missing.rpartition(".")[0]
    within = sys.modules.get(parent)
    paths = getattr(within, "__path__", None) if parent else None
    if parent and paths is None:
        return f"; {parent} is a module and not a package" if within else ""
    import pkgutil  # only for who made a mistake

    names = {found.name for found in pkgutil.iter_modules(paths)}
    known = {f"{parent}.{other}" for other in names} if parent else names
    return _hint(missing, known)


def _attribute(ref: GlobalRef, owner: Any, name: str) -> Any:
    try:
        return getattr(owner, name)
    except AttributeError as error:
        where = owner.__name__ if isinstance(owner, (type, ModuleType)) else repr(owner)
        if getattr(getattr(owner, "__spec__", None), "_initializing", False):
            raise MissingObject(
                f"{ref}: {where} has no {name!r} yet, for it is still being imported; "
                "two modules import each other"
            ) from error
        raise MissingObject(f"{ref}: {where} has no {name!r}{_hint(name, dir(owner))}") from error


def _hint(name: str, known: Iterable[str]) -> str:
    """The nearest name, where there is one; a module has too many to list them."""
    from difflib import get_close_matches  # only for who made a mistake

    return nearest(name, get_close_matches(name, list(known), n=1)) if name else ""
