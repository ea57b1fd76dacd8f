"""How does a class get its methods from the fields that it declares?

As with `dataclasses`, whose `field`, `fields` and `replace` understand such a class, and which type
checkers take it for. That compiles up to eight functions for each class, which was half of what
our import cost; here one is, `__init__`, for all classes with as many fields, and the other
methods are the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field
from functools import cache
from operator import attrgetter
from types import CodeType, FunctionType
from typing import Any, Literal, cast, overload

from typing_extensions import TypeVar, dataclass_transform

T = TypeVar("T")
Type = TypeVar("Type", bound=type)

_NEW: Any = object()
"""In the place of an argument that was not given, where its default is made anew each time."""


@overload
def frozen(cls: Type, /) -> Type: ...
@overload
def frozen(*, eq: bool = True, repr: bool = True, slots: bool = True) -> Callable[[Type], Type]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: Any = None, /, *, eq: bool = True, repr: bool = True, slots: bool = True) -> Any:
    """A class whose instances never change, compared and hashed by their fields."""
    if cls is None:
        return lambda cls: _made(cls, True, eq, repr, slots)
    return _made(cls, True, eq, repr, slots)


@overload
def mutable(cls: Type, /) -> Type: ...
@overload
def mutable(*, eq: bool = True, slots: bool = True) -> Callable[[Type], Type]: ...
@dataclass_transform(field_specifiers=(field,))
def mutable(cls: Any = None, /, *, eq: bool = True, slots: bool = True) -> Any:
    """A class whose instances may be changed; compared by their fields, and not hashed."""
    if cls is None:
        return lambda cls: _made(cls, False, eq, True, slots)
    return _made(cls, False, eq, True, slots)


def replace(value: T, /, **changes: Any) -> T:
    """A copy with other values for some fields."""
    made = cast("Any", value)
    values = {name: getattr(made, name) for name in made.__match_args__}
    return type(value)(**values | changes)


def _made(cls: Any, frozen: bool, eq: bool, repr: bool, slots: bool) -> Any:
    given = cls.__dict__
    own = {
        name: given.get(name, MISSING)
        for name, kind in cls.__annotations__.items()
        if not str(kind).startswith(("ClassVar", "typing.ClassVar"))
    }
    declared = _inherited(cls) | own
    compared = [name for name, said in declared.items() if _says(said).compare]
    methods: dict[str, Any] = {
        "__declared__": own,
        "__match_args__": (*declared,),
        "__compared__": attrgetter(*compared) if compared else staticmethod(_nothing),
        "__dataclass_fields__": _AsDataclass("__dataclass_fields__", frozen),
        "__dataclass_params__": _AsDataclass("__dataclass_params__", frozen),
        "__replace__": replace,
    }
    if repr:
        methods["__repr__"] = _repr
    if eq:
        methods |= {"__eq__": _eq, "__hash__": _hash if frozen else None}
    if frozen:
        methods |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
    if slots:
        methods |= {"__getstate__": _state, "__setstate__": _set_state}
    # what the class says itself stays; a None is what Python writes for whoever has an __eq__
    methods = {name: made for name, made in methods.items() if given.get(name) is None}
    made = (_with_slots if slots else _without_slots)(cls, own, methods)
    if "__init__" not in given:
        made.__init__ = _init(made, declared, frozen, slots)
    return made


def _inherited(cls: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for base in cls.__mro__[:0:-1]:
        found |= base.__dict__.get("__declared__", {})
    return found


_SAYS_NOTHING: Field[Any] = field()


def _says(said: Any) -> Field[Any]:
    """What was said of a field behind its `=`, where that is more than its default."""
    if not isinstance(said, Field):
        return _SAYS_NOTHING
    if not said.init or said.kw_only is True:
        raise TypeError("field(init=False) and field(kw_only=True) are for dataclasses only")
    return said


def _without_slots(cls: Any, own: dict[str, Any], methods: dict[str, Any]) -> Any:
    for name, said in own.items():
        if isinstance(said, Field):
            if said.default is MISSING:
                delattr(cls, name)
            else:
                setattr(cls, name, said.default)
    for name, method in methods.items():
        setattr(cls, name, method)
    return cls


def _with_slots(cls: Any, own: dict[str, Any], methods: dict[str, Any]) -> Any:
    left_out = {*own, "__dict__", "__weakref__"}
    namespace = {name: value for name, value in cls.__dict__.items() if name not in left_out}
    made = type(cls)(cls.__name__, cls.__bases__, namespace | methods | {"__slots__": (*own,)})
    made.__qualname__ = cls.__qualname__
    return made


def _init(cls: Any, declared: dict[str, Any], frozen: bool, slots: bool) -> Any:
    scope: dict[str, Any] = {"_new": _NEW, "_set": object.__setattr__}
    defaults, made_anew = list[Any](), list[int]()
    for at, (name, said) in enumerate(declared.items()):
        scope[f"name{at}"] = name
        if frozen and slots:
            scope[f"set{at}"] = getattr(cls, name).__set__  # what sets a slot, in one call of C
        if (make := _says(said).default_factory) is not MISSING:
            made_anew.append(at)
            scope[f"make{at}"] = make
            said = _NEW
        default = said.default if isinstance(said, Field) else said
        if default is not MISSING:
            defaults.append(default)
        elif defaults:
            raise TypeError(f"field {name!r} has no default, and stands behind one that has")
    after = hasattr(cls, "__post_init__")
    code = _code(len(declared), (*made_anew,), after, "slot" if slots else "name", frozen)
    names = (*declared,)
    if not frozen:
        code = code.replace(co_names=tuple(_renamed(each, names) for each in code.co_names))
    code = code.replace(co_varnames=("self", *names), co_qualname=f"{cls.__qualname__}.__init__")
    made = FunctionType(code, scope, "__init__", (*defaults,))
    made.__module__ = cls.__module__
    return made


def _renamed(name: str, names: Sequence[str]) -> str:
    return names[int(name[5:])] if name.startswith("field") else name


@cache
def _code(
    count: int, made_anew: tuple[int, ...], after: bool, by: Literal["slot", "name"], frozen: bool
) -> CodeType:
    """The body of an `__init__` for so many fields, compiled once for all that have as many.

    To compile it takes several times as long as to give its variables other names.
    """
    lines = list[str]()
    for at in range(count):
        value = f"field{at}"
        if at in made_anew:
            value = f"make{at}() if field{at} is _new else field{at}"
        if not frozen:
            lines.append(f" self.field{at} = {value}")
        elif by == "slot":
            lines.append(f" set{at}(self, {value})")
        else:
            lines.append(f" _set(self, name{at}, {value})")
    if after:
        lines.append(" self.__post_init__()")
    fields = ", ".join(f"field{at}" for at in range(count))
    scope: dict[str, Any] = {}
    exec(f"def __init__(self, {fields}):\n" + ("\n".join(lines) or " pass"), scope)
    made: FunctionType = scope["__init__"]
    return made.__code__


class _AsDataclass:
    """What `dataclasses` keeps on a class, made of a real dataclass when somebody asks for it."""

    def __init__(self, name: str, frozen: bool) -> None:
        self.name, self.frozen = name, frozen

    def __get__(self, instance: object, owner: Any) -> Any:
        namespace: dict[str, Any] = {"__annotations__": {}}
        for base in owner.__mro__[::-1]:
            for name, said in base.__dict__.get("__declared__", {}).items():
                namespace["__annotations__"][name] = base.__annotations__[name]
                if said is not MISSING:
                    namespace[name] = said
        namespace["__module__"] = owner.__module__
        twin: Any = dataclass(frozen=self.frozen)(type(owner.__name__, (), namespace))
        for name in ("__dataclass_fields__", "__dataclass_params__"):
            setattr(owner, name, getattr(twin, name))
        return owner.__dict__[self.name]


def _nothing(value: Any) -> tuple[()]:
    return ()


def _eq(self: Any, other: Any) -> Any:
    if other.__class__ is not self.__class__:
        return NotImplemented
    return self.__compared__(self) == self.__compared__(other)


def _hash(self: Any) -> int:
    return hash(self.__compared__(self))


def _repr(self: Any) -> str:
    declared = _inherited(type(self)) | type(self).__dict__.get("__declared__", {})
    shown = [
        f"{name}={getattr(self, name)!r}" for name, said in declared.items() if _says(said).repr
    ]
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse_to_set(self: Any, name: str, value: Any) -> None:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, name) for name in self.__match_args__]


def _set_state(self: Any, state: list[Any]) -> None:
    for name, value in zip(self.__match_args__, state, strict=True):
        object.__setattr__(self, name, value)
