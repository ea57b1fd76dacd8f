"""Does a value of this type fit that annotation?

Types are compared here before a run (`fits`, `could_fit`), and values during it (`Check`). Which
node or parameter they belong to is not known here.
"""

from __future__ import annotations

import collections.abc
import functools
import sys
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import typing_extensions
from pydantic import ConfigDict, TypeAdapter, ValidationError

from .signature import MISSING, Unresolved

# --- types with types -----------------------------------------------------------------------


def is_known(annotation: Any) -> bool:
    """Whether an annotation says anything: one that is missing, Any or a TypeVar does not."""
    return not (
        annotation is MISSING
        or annotation is Any
        or isinstance(annotation, (TypeVar, Unresolved, typing_extensions.TypeVar))
    )


def returns_nothing(annotation: Any) -> bool:
    """Whether a function declared so never gives a value."""
    return annotation in (None, types.NoneType, typing.NoReturn, typing_extensions.Never)


def fits(declared: Any, wanted: Any) -> bool:
    """Whether every value of one type may stand where the other is wanted.

    The same type, a subclass, a generic whose arguments fit, a member of a union. A generic
    without arguments fits one with any. NewType, Annotated and TypedDict are types of their own,
    and an int is no float.
    """
    declared, wanted = _plain(declared), _plain(wanted)
    if declared is MISSING or wanted is MISSING or isinstance(declared, Unresolved):
        return False
    if wanted is Any or wanted is object or declared == wanted:
        return True
    if declared is Any:
        return False
    if _is_union(declared):
        return all(fits(member, wanted) for member in get_args(declared))
    if _is_union(wanted):
        return any(fits(declared, member) for member in get_args(wanted))
    if isinstance(wanted, TypeVar):
        return _fits_variable(declared, wanted)
    if _of_its_own(declared) or _of_its_own(wanted):
        return False
    if get_origin(declared) is Literal:
        values = get_args(declared)
        if get_origin(wanted) is Literal:
            return set(values) <= set(get_args(wanted))
        return all(fits(type(value), wanted) for value in values)
    return _fits_class(declared, wanted)


def could_fit(declared: Any, wanted: Any) -> bool:
    """Whether some value of one type may stand where the other is wanted, for an edge that the
    user chose: the run checks each value. NewType and Annotated count as what they stand for."""
    if not is_known(declared) or not is_known(wanted):
        return True
    declared, wanted = _bare(declared), _bare(wanted)
    if _is_union(declared):
        return any(could_fit(member, wanted) for member in get_args(declared))
    if _is_union(wanted):
        return any(could_fit(declared, member) for member in get_args(wanted))
    if declared is int and wanted in (float, complex):
        return True
    if typing_extensions.is_typeddict(declared) or typing_extensions.is_typeddict(wanted):
        declared, wanted = (
            dict if typing_extensions.is_typeddict(kind) else kind for kind in (declared, wanted)
        )
    if fits(declared, wanted) or fits(wanted, declared):
        return True
    mine, other = get_args(declared), get_args(wanted)
    return (
        get_origin(declared) is get_origin(wanted) is not None
        and get_origin(declared) is not Literal
        and len(mine) == len(other)
        and all(
            one is two is Ellipsis or could_fit(one, two)
            for one, two in zip(mine, other, strict=True)
        )
    )


def _plain(annotation: Any) -> Any:
    """`type X = …` as what it stands for, and None as its type."""
    while isinstance(annotation, typing_extensions.TypeAliasType):
        annotation = annotation.__value__
    return types.NoneType if annotation is None else annotation


def _bare(annotation: Any) -> Any:
    annotation = _plain(annotation)
    while True:
        if get_origin(annotation) is Annotated:
            annotation = _plain(get_args(annotation)[0])
        elif isinstance(annotation, typing.NewType):
            annotation = _plain(annotation.__supertype__)
        else:
            return annotation


def _is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _of_its_own(annotation: Any) -> bool:
    return (
        get_origin(annotation) is Annotated
        or isinstance(annotation, typing.NewType)
        or typing_extensions.is_typeddict(annotation)
    )


def _fits_variable(declared: Any, wanted: TypeVar) -> bool:
    if wanted.__constraints__:
        return any(fits(declared, constraint) for constraint in wanted.__constraints__)
    return wanted.__bound__ is None or fits(declared, wanted.__bound__)


def _origin(annotation: Any) -> Any:
    return get_origin(annotation) or annotation


def _fits_class(declared: Any, wanted: Any) -> bool:
    have, want = _origin(declared), _origin(wanted)
    if not isinstance(have, type) or not isinstance(want, type):
        return have is want
    if not _is_subclass(have, want):
        return False
    arguments = _arguments_as(declared, want)
    expected = get_args(wanted)
    if arguments is None or not expected or _is_callable(have):
        return True
    return _fit_arguments(arguments, expected)


def _fit_arguments(arguments: tuple[Any, ...], expected: tuple[Any, ...]) -> bool:
    if Ellipsis in expected and Ellipsis not in arguments:  # tuple[int, int] as tuple[int, ...]
        expected = (expected[0],) * len(arguments)
    return len(arguments) == len(expected) and all(
        mine is other if Ellipsis in (mine, other) else not is_known(mine) or fits(mine, other)
        for mine, other in zip(arguments, expected, strict=True)
    )


def _is_callable(kind: Any) -> bool:
    return kind is collections.abc.Callable


def _is_subclass(have: type, want: type) -> bool:
    if getattr(want, "_is_protocol", False) and not getattr(want, "_is_runtime_protocol", False):
        members = typing_extensions.get_protocol_members(want)
        return all(hasattr(have, member) for member in members)
    try:
        return issubclass(have, want)
    except TypeError:  # a protocol with fields
        return all(hasattr(have, name) for name in typing_extensions.get_protocol_members(want))


_ITEMS: Mapping[type, Any] = {str: str, bytes: int, bytearray: int, range: int}


def _arguments_as(declared: Any, target: type) -> tuple[Any, ...] | None:
    """The type arguments of `declared` seen as a `target`; None where nobody says."""
    origin, arguments = _origin(declared), get_args(declared)
    if origin is target:
        return arguments or None
    if origin in _ITEMS:
        return (_ITEMS[origin],)
    if not arguments:
        for base in getattr(origin, "__orig_bases__", ()):
            if isinstance(_origin(base), type) and _is_subclass(_origin(base), target):
                return _arguments_as(base, target)
        return None
    if issubclass(origin, tuple):
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return arguments[:1]
        return (Union[arguments],)  # noqa: UP007 - the members are known at run time only
    if issubclass(origin, collections.abc.Mapping) and not issubclass(
        target, collections.abc.Mapping
    ):
        return arguments[:1]
    if origin.__module__ in ("builtins", "collections", "collections.abc"):
        return arguments
    parameters = getattr(origin, "__parameters__", ())
    if len(parameters) != len(arguments):
        return None
    known = dict(zip(parameters, arguments, strict=True))
    for base in getattr(origin, "__orig_bases__", ()):
        if isinstance(_origin(base), type) and _is_subclass(_origin(base), target):
            holes = getattr(base, "__parameters__", ())
            filled = base[tuple(known[hole] for hole in holes)] if holes else base
            return _arguments_as(filled, target)
    return None


def item_type(annotation: Any) -> tuple[Literal["list", "dict"], Any] | None:
    """What `list[T]` or `dict[str, T]` holds; None for any other annotation."""
    arguments = get_args(annotation)
    if get_origin(annotation) is list:
        return "list", arguments[0]
    if get_origin(annotation) is dict and arguments[0] is str:
        return "dict", arguments[1]
    return None


def shown(annotation: Any) -> str:
    """An annotation as a person would write it."""
    if annotation is MISSING:
        return "(not annotated)"
    if isinstance(annotation, Unresolved):
        return annotation.text
    if annotation is types.NoneType:
        return "None"
    if _is_union(annotation):
        return " | ".join(shown(member) for member in get_args(annotation))
    if isinstance(annotation, type) and not get_args(annotation):
        return annotation.__qualname__.rpartition("<locals>.")[2]
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if isinstance(origin, type) and arguments:
        inner = ", ".join("..." if item is Ellipsis else shown(item) for item in arguments)
        return f"{origin.__name__}[{inner}]"
    return str(annotation).replace("typing.", "")


# --- values with types ----------------------------------------------------------------------


@functools.lru_cache(maxsize=1024)
def _cached_adapter(annotation: Any) -> TypeAdapter[Any] | None:
    return _adapter(annotation)


def _for_pydantic(annotation: Any) -> Any:
    """Before Python 3.12, pydantic knows TypedDict from typing_extensions only."""
    if sys.version_info >= (3, 12):
        return annotation
    if typing_extensions.is_typeddict(annotation):
        hints = typing_extensions.get_type_hints(annotation, include_extras=True)
        fields: dict[str, Any] = {
            name: _for_pydantic(hint)
            if name in annotation.__required_keys__
            else typing_extensions.NotRequired[_for_pydantic(hint)]
            for name, hint in hints.items()
        }
        make: Any = typing_extensions.TypedDict
        return make(annotation.__name__, fields)
    arguments = get_args(annotation)
    replaced = tuple(map(_for_pydantic, arguments))
    if all(one is other for one, other in zip(arguments, replaced, strict=True)):
        return annotation
    if _is_union(annotation):
        return Union[replaced]  # noqa: UP007 - the members are known at run time only
    generic: Any = get_origin(annotation)
    return generic[replaced]


def _adapter(annotation: Any) -> TypeAdapter[Any] | None:
    config = ConfigDict(
        arbitrary_types_allowed=True,
        ser_json_inf_nan="constants",
        ser_json_bytes="base64",
        val_json_bytes="base64",
    )
    # a model or a dataclass brings its own configuration and takes none
    for given in (config, None):
        try:
            return TypeAdapter(_for_pydantic(annotation), config=given)
        except Exception:  # noqa: BLE001 - pydantic raises many kinds for types it cannot do
            continue
    return None


def adapter_of(annotation: Any) -> TypeAdapter[Any] | None:
    """pydantic's adapter of a type; None for a type that pydantic can do nothing with."""
    try:
        return _cached_adapter(annotation)
    except TypeError:  # an annotation that cannot be hashed
        return _adapter(annotation)


class Check:
    """Tells of a value whether it is of a type, without changing or consuming it.

    Example:
        >>> Check(list[int]).complaint([1, "2"])
        "got list with '2' at 1 (Input should be a valid integer)"
    """

    def __init__(self, annotation: Any) -> None:
        bare = _bare(annotation)
        # a plain class needs no pydantic: an instance of it, or of a subclass, is one
        self._class: type | None = (
            bare
            if bare is annotation
            and isinstance(bare, type)
            and not get_args(bare)
            and not typing_extensions.is_typeddict(bare)
            and not getattr(bare, "_is_protocol", False)
            else None
        )
        self._annotation = annotation
        self._known = is_known(annotation)

    def complaint(self, value: Any) -> str | None:
        """What is wrong with the value; None if it is of the type, or nobody can tell."""
        if not self._known:
            return None
        if self._class is not None:
            if isinstance(value, self._class) or (self._class is float and type(value) is int):
                return None
            return f"got {type(value).__name__}: {short(value)}"
        adapter = self._adapter
        if adapter is None:
            return None
        try:
            adapter.validate_python(value, strict=True)
        except ValidationError as error:
            # pydantic does not take a bool for an int; Python does
            wrong = [
                detail
                for detail in error.errors(include_url=False)
                if not (detail["type"] == "int_type" and isinstance(detail["input"], bool))
            ]
            return _worded(value, wrong[0]) if wrong else None
        except TypeError:  # a protocol that cannot be asked at run time
            return None
        return None

    @functools.cached_property
    def _adapter(self) -> TypeAdapter[Any] | None:
        return adapter_of(_with_bools(self._annotation))


_HOLDING: tuple[Any, ...] = (
    list, dict, tuple, set, frozenset, collections.abc.Sequence, collections.abc.Mapping,
    collections.abc.Iterable, collections.abc.Collection, collections.abc.Set,
)  # fmt: skip


def _with_bools(annotation: Any) -> Any:
    """`int` inside of unions and collections as `int | bool`: a bool is an int in Python."""
    annotation = _plain(annotation)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if not _is_union(annotation) and origin not in _HOLDING:
        return annotation
    replaced = tuple(
        Union[int, bool] if each is int else _with_bools(each)  # noqa: UP007 - made at run time
        for each in arguments
    )
    if replaced == arguments:
        return annotation
    if _is_union(annotation):
        return Union[replaced]  # noqa: UP007 - the members are known at run time only
    generic: Any = origin
    return generic[replaced]


def _worded(value: Any, detail: Any) -> str:
    where = ".".join(str(part) for part in detail["loc"])
    # a member of a union complains of the whole value under its own name
    if not where or (detail["input"] is value and detail["type"] != "missing"):
        return f"got {type(value).__name__}: {short(value)}"
    return f"got {type(value).__name__} with {short(detail['input'])} at {where} ({detail['msg']})"


def short(value: Any, limit: int = 80) -> str:
    """A repr that is never long and never raises."""
    try:
        text = repr(value)
    except Exception as error:  # noqa: BLE001 - somebody else's __repr__
        text = f"<{type(value).__name__} whose repr raises {type(error).__name__}>"
    return text if len(text) <= limit else text[: limit - 1] + "…"
