"""Under which key is the result of a call kept?

The arguments of a call become canonical text, and its hash the key: however they are passed, equal
values of the declared types give one key. Which types may be part of a key is decided here, when a
function is registered. Nothing is stored here, and no clock is read.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Collection, Sequence
from decimal import Decimal
from enum import Enum, Flag
from hashlib import blake2b
from pathlib import PurePath
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, NewType, TypeAlias, Union, get_args, get_origin
from uuid import UUID

from pydantic import AwareDatetime, NaiveDatetime
from typing_extensions import TypeAliasType

from lythonic_state.fields import frozen

from ..context import is_context, is_secret
from ..errors import CacheError, UnknownCacheKey, nearest
from ..fit import short, shown
from ..signature import MISSING, Arg, Method, Unresolved

Text: TypeAlias = Callable[[Any], str]
"""Makes canonical text of a value; raises `NoKey`."""

SIMPLE = (
    "str, int, float, bool, bytes, date, datetime, time, timedelta, Decimal, UUID, Path, "
    "an Enum or Literal of str or int, or one of these or None"
)


class NoKey(Exception):
    """These arguments have no key, so that the call cannot be cached; the text says why."""


@frozen
class KeyPart:
    """A parameter that is part of the key: its name, the type of its column, and its text."""

    name: str
    annotation: Any
    text: Text


class Key:
    """What a function's calls are known by.

    Example:
        >>> key = Key(Method(price), ignore=("client",))
        >>> key.of(key.values("ACME")) == key.of(key.values(symbol="ACME"))
        True

    Raises:
        CacheError: a parameter's type is not simple, or the function cannot be cached at all.
    """

    def __init__(self, method: Method, ignore: Collection[str] = ()) -> None:
        _check(method, ignore)
        self.parts = tuple(_part(method, arg) for arg in method.args if arg.name not in ignore)
        self.values = _binder(method.args, [part.name for part in self.parts])
        """Gives, called as the function is, the values of `parts` in order; a TypeError if the
        function does not take these arguments."""
        self._text = _joined([part.text for part in self.parts])

    def of(self, values: Sequence[Any]) -> str:
        """The key that the values of `parts` make: 32 hexadecimal digits.

        Raises:
            NoKey: a value is not of its declared type, or no column can hold it.
        """
        try:
            canonical = self._text(*values).encode()
        except UnicodeEncodeError as error:
            raise NoKey(f"a text holds half of a surrogate pair ({error})") from error
        return blake2b(canonical, digest_size=16).hexdigest()

    def need(self, names: Collection[str]) -> None:
        """Makes sure that these are parameters of the key.

        Raises:
            UnknownCacheKey: one of them is not, with the nearest that is.
        """
        known = [part.name for part in self.parts]
        for name in names:
            if name not in known:
                raise UnknownCacheKey(f"{name!r} is no parameter of the key{nearest(name, known)}")


def _binder(args: Sequence[Arg], chosen: Sequence[str]) -> Callable[..., tuple[Any, ...]]:
    """A function with the same parameters that returns the chosen ones.

    Python itself then says which argument is which, faster than anything written in it could.
    """
    prefix = "_" * (1 + max((len(arg.name) for arg in args), default=0))
    scope: dict[str, Any] = {}
    parameters: list[str] = []
    for number, arg in enumerate(args):
        if arg.keyword_only and (number == 0 or not args[number - 1].keyword_only):
            parameters.append("*")
        parameters.append(arg.name)
        if not arg.required:
            scope[f"{prefix}{number}"] = arg.default
            parameters[-1] += f"={prefix}{number}"
        if arg.positional_only and not any(after.positional_only for after in args[number + 1 :]):
            parameters.append("/")
    values = "".join(f"{name}, " for name in chosen)
    exec(f"def bind({', '.join(parameters)}):\n    return ({values})", scope)
    found: Callable[..., tuple[Any, ...]] = scope["bind"]
    return found


def _joined(texts: Sequence[Text]) -> Callable[..., str]:
    """A function of as many values as there are texts, which joins what these make of them."""
    scope = {f"text{i}": text for i, text in enumerate(texts)}
    values = ", ".join(f"value{i}" for i in range(len(texts)))
    # no text holds the sign between them
    joined = "\\0".join(f"{{text{i}(value{i})}}" for i in range(len(texts)))
    exec(f"def join({values}):\n    return f'{joined}'", scope)
    return scope["join"]


# --- at registration ------------------------------------------------------------------------


def _check(method: Method, ignore: Collection[str]) -> None:
    name = method.name
    if isinstance(ignore, str):
        raise CacheError(f"ignore takes the names of parameters: ignore=({ignore!r},)")
    names = [arg.name for arg in method.args]
    for ignored in ignore:
        if ignored not in names:
            raise UnknownCacheKey(
                f"ignore: {name} has no parameter {ignored!r}{nearest(ignored, names)}"
            )
    if method.is_generator:
        raise CacheError(
            f"{name} is a generator, and what it yields cannot be kept; return a list instead"
        )
    if method.variadic:
        raise CacheError(
            f"{name} takes {', '.join(method.variadic)}, and a key needs parameters with names and "
            "types; wrap it in a function that has them"
        )


def _part(method: Method, arg: Arg) -> KeyPart:
    annotation = arg.annotation
    where = f"the parameter {arg.name} of {method.name}"
    mend = f'leave it out of the key, if results do not depend on it: ignore=("{arg.name}",)'
    if annotation is MISSING:
        raise CacheError(f"{where} has no type; annotate it, or {mend}")
    if isinstance(annotation, Unresolved):
        raise CacheError(
            f"{where} has the type {annotation.text!r}, which is not known yet "
            f"({annotation.reason}); define it above the function"
        )
    if is_context(annotation) or is_secret(annotation):
        what = "a secret" if is_secret(annotation) else "the context of a run"
        raise CacheError(f"{where} is {what}, which a cache does not keep; {mend}")
    bare, optional = _bare(annotation)
    if arg.default is None and not optional:  # `def f(x: int = None)`
        annotation, optional = annotation | None, True
    text = _text_of(bare)
    if text is None:
        raise CacheError(
            f"{where} is {shown(annotation)}, which cannot be part of a key; a key is made of "
            f"{SIMPLE}; otherwise {mend}"
        )
    return KeyPart(arg.name, annotation, _or_none(text) if optional else text)


def _bare(annotation: Any) -> tuple[Any, bool]:
    """The type without Annotated, NewType, aliases and None; whether it may be None."""
    optional = False
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        elif get_origin(annotation) in (Union, UnionType):
            members = [member for member in get_args(annotation) if member is not NoneType]
            if len(members) != 1:
                return annotation, optional
            annotation, optional = members[0], True
        else:
            return annotation, optional


# --- canonical text -------------------------------------------------------------------------


def _text_of(bare: Any) -> Text | None:
    """What makes text of the values of a simple type; None if it is not simple."""
    if get_origin(bare) is Literal:
        return _choice(bare, get_args(bare))
    if bare is AwareDatetime or bare is NaiveDatetime:
        return _TEXTS[dt.datetime]
    if not isinstance(bare, type):
        return None
    if issubclass(bare, Enum):
        return None if issubclass(bare, Flag) else _choice(bare, list(bare))
    if issubclass(bare, PurePath):
        return _path
    return _TEXTS.get(bare)


def _or_none(text: Text) -> Text:
    # no text of a value is empty
    return lambda value: "" if value is None else text(value)


def _choice(declared: Any, members: Collection[Any]) -> Text | None:
    raws = [member.value if isinstance(member, Enum) else member for member in members]
    raws = [raw for raw in raws if raw is not None]
    if not any(all(isinstance(raw, kind) for raw in raws) for kind in (str, int)):
        return None  # a column holds one type
    if any(isinstance(raw, bool) for raw in raws) and not all(isinstance(r, bool) for r in raws):
        return None
    texts = {(type(member), member): f"={_named(member)}" for member in members}

    def text(value: Any) -> str:
        try:
            return texts[type(value), value]
        except (KeyError, TypeError):
            raise NoKey(f"{short(value)} is none of {shown(declared)}") from None

    return text


def _named(member: Any) -> str:
    return member.name if isinstance(member, Enum) else f"{type(member).__name__} {member!r}"


def _str(value: Any) -> str:
    if value.__class__ is not str:
        return _of_subclass(str, value)
    if "\0" in value:
        raise NoKey("no column holds a text with a NUL character")
    return "=" + value


def _int(value: Any) -> str:
    if value.__class__ is not int:
        return _of_subclass(int, value)
    if not -(2**63) <= value < 2**63:
        raise NoKey(f"{value} does not fit the 64 bits of a column")
    return f"={value}"


def _float(value: Any) -> str:
    if value.__class__ is int:
        try:
            value = float(value) if float(value) == value else None
        except OverflowError:
            value = None
        if value is None:
            raise NoKey("an int that no float is equal to")
    if value.__class__ is not float:
        return _of_subclass(float, value)
    if value != value:
        raise NoKey("NaN is equal to nothing")
    return f"={value!r}"


def _decimal(value: Any) -> str:
    if value.__class__ is int:
        value = Decimal(value)
    if value.__class__ is not Decimal:
        return _of_subclass(Decimal, value)
    if not value.is_finite():
        raise NoKey(f"no column holds the Decimal {value}")
    sign, digits, power = value.as_tuple()
    assert isinstance(power, int)  # as it is finite
    kept = "".join(map(str, digits)).rstrip("0")
    if not kept.lstrip("0"):
        return "=0"
    return f"={sign}{kept.lstrip('0')}e{power + len(digits) - len(kept)}"


def _datetime(value: Any) -> str:
    if value.__class__ is not dt.datetime:
        return _of_subclass(dt.datetime, value)
    if value.tzinfo is None:
        return f"={value.isoformat()}"
    try:
        return f"={value.astimezone(dt.UTC).isoformat()}"
    except OverflowError:
        raise NoKey(f"{value!r} is outside of what UTC can express") from None


def _time(value: Any) -> str:
    if value.__class__ is not dt.time:
        return _of_subclass(dt.time, value)
    if value.tzinfo is not None:
        raise NoKey("no column holds a time with a time zone")
    return f"={value.isoformat()}"


def _path(value: Any) -> str:
    if not isinstance(value, PurePath):
        raise NoKey(f"expected a Path, got {short(value)}")
    text = str(value)
    if "\0" in text:
        raise NoKey("no column holds a path with a NUL character")
    return "=" + text


def _exactly(kind: type, text: Text) -> Text:
    """For types whose values need no check beyond their class."""

    def made(value: Any) -> str:
        return "=" + text(value) if value.__class__ is kind else _of_subclass(kind, value)

    return made


def _of_subclass(kind: type, value: Any) -> str:
    """An instance of a subclass may behave otherwise, so it has keys of its own: True is not 1."""
    if not isinstance(value, kind) or (isinstance(value, dt.datetime) and kind is dt.date):
        raise NoKey(f"expected {kind.__name__}, got {short(value)}")
    own = type(value)
    return f"{own.__module__}:{own.__qualname__}{_TEXTS[kind](_PLAIN.get(kind, kind)(value))}"


def _plain_moment(value: dt.datetime) -> dt.datetime:
    return dt.datetime.combine(value.date(), value.timetz())


_PLAIN: dict[type, Callable[[Any], Any]] = {
    str: str.__str__,
    bytes: bytes,
    UUID: lambda value: UUID(int=value.int),
    dt.date: lambda value: dt.date(value.year, value.month, value.day),
    dt.datetime: _plain_moment,
    dt.time: lambda value: dt.time(value.hour, value.minute, value.second, value.microsecond),
    dt.timedelta: lambda value: dt.timedelta(value.days, value.seconds, value.microseconds),
}
"""How a value of a subclass becomes one of the class itself, where calling that does not do."""

_TEXTS: dict[type, Text] = {
    str: _str,
    int: _int,
    float: _float,
    bool: _exactly(bool, str),
    bytes: _exactly(bytes, bytes.hex),
    Decimal: _decimal,
    UUID: _exactly(UUID, str),
    dt.datetime: _datetime,
    dt.date: _exactly(dt.date, dt.date.isoformat),
    dt.time: _time,
    dt.timedelta: _exactly(dt.timedelta, str),
}
