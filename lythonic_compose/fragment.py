"""Which functions of a class or a module belong into a namespace together?

Collecting and telling only: under which paths they are registered is the registry's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from .errors import ConfigError, NamespaceError, WrongKind, nearest
from .marks import is_mount_required, is_mountable, is_nsnode
from .refs import GlobalRef, NsRef
from .signature import Method


class NamespaceFragment:
    """Base of classes whose methods marked `@nsnode` are registered together.

    Example:
        >>> class Downloads(NamespaceFragment):
        ...     def __init__(self, key: str) -> None:
        ...         self.key = key
        ...
        ...     @nsnode(tags=["slow"])
        ...     def fetch(self, url: str) -> bytes: ...
        >>> ns.register_fragment(Downloads, "downloads:", init={"key": key})
        >>> ns.downloads.fetch(url)
    """


def is_fragment(what: Any) -> bool:
    """Whether it holds nodes: a fragment, a class of them, a module, or the text of one."""
    if isinstance(what, type):
        return issubclass(what, NamespaceFragment)
    if isinstance(what, str):
        return not GlobalRef(what).name
    return isinstance(what, (NamespaceFragment, ModuleType))


class Fragment:
    """A fragment as it was given, made and looked through.

    Raises:
        WrongKind: it is no fragment.
        ConfigError: its class cannot be made with `init`.
        NamespaceError: nothing in it is marked.
    """

    def __init__(self, given: Any, init: Mapping[str, Any]) -> None:
        self._ref = GlobalRef(given) if isinstance(given, str) else None
        source: Any = self._ref.get_instance() if self._ref is not None else given
        if not is_fragment(source):
            raise WrongKind(
                f"a fragment is a NamespaceFragment or a module, got {self._ref or repr(source)}"
            )
        self._given = source
        self.init = dict(init)
        if isinstance(source, type):
            self.instance: NamespaceFragment | ModuleType = _made(source, self.init)
        elif init:
            raise ConfigError(f"init is for a class of fragments; {source!r} has been made already")
        else:
            self.instance = source
        self.functions: Mapping[str, Callable[..., Any]] = (
            _of_module(self.instance)
            if isinstance(self.instance, ModuleType)
            else _of_object(self.instance)
        )
        """What is marked `@nsnode`, by name, in the order of its definition."""
        if not self.functions:
            raise NamespaceError(f"nothing in {self.name} is marked @nsnode")

    @property
    def name(self) -> str:
        """What it is called, for people."""
        if isinstance(self.instance, ModuleType):
            return self.instance.__name__
        return type(self.instance).__qualname__

    @property
    def branch(self) -> NsRef:
        """Where it stands if nobody says where: its module, and its class."""
        if isinstance(self.instance, ModuleType):
            return NsRef(f"{self.instance.__name__}:")
        kind = type(self.instance)
        return NsRef(f"{kind.__module__}.{kind.__qualname__.rpartition('<locals>.')[2]}:")

    @property
    def waits_for_mount(self) -> bool:
        """Whether nothing in it may be called before it is told its storage."""
        return is_mount_required(self.instance)

    @property
    def ref(self) -> GlobalRef:
        """The name to import it by.

        Raises:
            NamespaceError: it has none.
        """
        if self._ref is not None:
            return self._ref
        if isinstance(self._given, NamespaceFragment):
            raise NamespaceError(
                f"a {self.name} was made in code; register its class, with init={{…}}"
            )
        return GlobalRef(self._given)

    def tell(self, storage: Any) -> None:
        """Gives the storage to what is marked `@mountable` in it."""
        if isinstance(self.instance, ModuleType):
            for name, hook in vars(self.instance).items():
                if is_mountable(hook) and not isinstance(hook, type):
                    call_hook(hook, f"{self.name}.{name}", storage)
        else:
            tell(self.instance, storage)


def tell(target: Any, storage: Any) -> None:
    """Gives the storage to an object of a class that is marked to get it."""
    if isinstance(target, type) or not (is_mountable(target) or is_mount_required(target)):
        return
    hook = getattr(target, "mount", None)
    if callable(hook):
        call_hook(hook, f"{type(target).__qualname__}.mount", storage)


def call_hook(hook: Callable[..., Any], name: str, storage: Any) -> None:
    if Method(hook).is_async:
        raise WrongKind(f"{name} is async; what is called to mount cannot be")
    hook(storage)


def _made(kind: type[NamespaceFragment], init: Mapping[str, Any]) -> NamespaceFragment:
    method = Method(kind)
    args = {arg.name: arg for arg in method.args}
    for name, arg in args.items():
        if arg.required and name not in init:
            raise ConfigError(f"init: {kind.__qualname__} needs {name!r}")
    for name in init:
        if name not in args and not any(other.startswith("**") for other in method.variadic):
            raise ConfigError(f"init: {kind.__qualname__} takes no {name!r}{nearest(name, args)}")
    return kind(**init)


def _of_object(fragment: NamespaceFragment) -> dict[str, Callable[..., Any]]:
    # what a derived class says under a name counts, marked or not
    found: dict[str, Any] = {}
    for kind in reversed(type(fragment).__mro__):
        found.update(vars(kind))
    return {name: getattr(fragment, name) for name, of in found.items() if is_nsnode(of)}


def _of_module(module: ModuleType) -> dict[str, Callable[..., Any]]:
    # what was imported into the module belongs to another one
    return {
        name: of
        for name, of in vars(module).items()
        if is_nsnode(of) and getattr(of, "__module__", None) == module.__name__
    }
