"""How one Python value becomes one column value, exactly, and comes back.

Values and types only: nothing here knows a table, a model's verbs or SQL text. `column_type`
answers for an annotation which `Codec` it has; a `Codec` says how the column is declared on each
database, how a value is encoded for each, how a stored one is decoded, and which comparisons the
stored form allows.

Decoding does not ask which database a value came from: each form names itself by its type
(a scaled integer is an `int`, a NUMERIC is a `Decimal`), so rows of hand-written SQL decode too.
"""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from enum import Enum, Flag
from functools import cached_property, lru_cache, partial
from pathlib import PurePath
from typing import Annotated, Any, ClassVar, Literal, NamedTuple, get_args, get_origin
from uuid import UUID

import pydantic
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    NaiveDatetime,
    TypeAdapter,
    ValidationError,
)
from pydantic.fields import FieldInfo
from pydantic_core import PydanticCustomError, core_schema, to_json
from typing_extensions import TypeAliasType, is_typeddict

from .errors import InvalidValue, SchemaError
from .fields import frozen, replace

__all__ = ["KNOWN_TYPES", "Codec", "ColumnType", "KnownType", "KnownTypes", "column_type"]

INT_MIN, INT_MAX = -(2**63), 2**63 - 1

Encoder = Callable[[Any], Any]


@frozen(slots=False)
class Codec:
    """The two-way road between a Python type and a column.

    `accepts` are the types of a filter's operand. `plain` names values that pass to either
    database as they are ("int", "str", "float", "bool", "bytes"), which generated code tests
    inline. `lax` says that pydantic, not being strict, reads the stored form by itself.
    `ordering` is "natural", "path" (by parts) or None where only equality is allowed.
    """

    name: str
    accepts: tuple[type, ...]
    sqlite_type: str
    postgres_type: str
    encode_sqlite: Encoder
    encode_postgres: Encoder
    decode: Encoder
    plain: str | None = None
    lax: bool = True
    ordering: Literal["natural", "path"] | None = "natural"
    ordering_mend: str = ""
    choices: tuple[Any, ...] | None = None
    scale: int | None = None
    numeric: bool = False
    converter: Encoder | None = None
    """Makes an operand of the right type from a raw value (an Enum member from its value)."""


class ColumnType(NamedTuple):
    """What an annotation says of a column."""

    codec: Codec
    nullable: bool
    python_type: Any


# --- scalars --------------------------------------------------------------------------------


def encode_int(value: Any) -> Any:
    if not isinstance(value, int):
        raise InvalidValue(f"expected an int, got {value!r}")
    if not INT_MIN <= value <= INT_MAX:
        raise InvalidValue(
            f"{value} does not fit a 64-bit integer column; store it as Decimal or str"
        )
    return int(value)


def encode_bool(value: Any) -> Any:
    if not isinstance(value, int) or value not in (0, 1):
        raise InvalidValue(f"expected a bool, got {value!r}")
    return bool(value)


def encode_float(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValue(f"expected a float, got {value!r}")
    try:
        number = float(value)
    except OverflowError as error:
        raise InvalidValue("the int is too large for a float column") from error
    if number != value and value == value:
        raise InvalidValue(f"{value} is not exact as a float; give a float")
    if number != number:
        raise InvalidValue(
            "NaN has no place in a float column (SQLite keeps it as NULL, and it sorts "
            "differently everywhere); use None in a nullable column"
        )
    return number


def encode_text(value: Any) -> Any:
    if not isinstance(value, str):
        raise InvalidValue(f"expected a str, got {value!r}")
    if "\0" in value:
        raise InvalidValue(
            f"text with a NUL character cannot be stored: {_short(value)}; use bytes, or remove it"
        )
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise InvalidValue(
            f"text with a lone surrogate cannot be stored: {_short(value)}"
        ) from error
    return str.__str__(value)


def encode_bytes(value: Any) -> Any:
    if not isinstance(value, (bytes, bytearray, memoryview)):
        raise InvalidValue(f"expected bytes, got {value!r}")
    return bytes(value)


def _aware_text(value: datetime) -> str:
    if value.tzinfo is not UTC:
        value = _to_utc(value)
    return value.isoformat("T", "microseconds")[:26] + "Z"


def _to_utc(value: datetime) -> datetime:
    try:
        return value.astimezone(UTC)
    except OverflowError as error:
        raise InvalidValue(f"{value!r} is outside of what UTC can express") from error


def encode_aware_sqlite(value: Any) -> Any:
    if not isinstance(value, datetime):
        raise InvalidValue(f"expected a datetime, got {value!r}")
    if value.tzinfo is None:
        raise InvalidValue(
            f"expected a datetime with a time zone, got the naive {value!r}; "
            "declare the column as NaiveDatetime to keep naive times"
        )
    return _aware_text(value)


def encode_naive_sqlite(value: Any) -> Any:
    return encode_naive_postgres(value).isoformat("T", "microseconds")


def encode_naive_postgres(value: Any) -> Any:
    if not isinstance(value, datetime):
        raise InvalidValue(f"expected a datetime, got {value!r}")
    if value.tzinfo is not None:
        raise InvalidValue(
            f"expected a datetime without a time zone, got {value!r}; "
            "declare the column as AwareDatetime to keep moments"
        )
    return value


def encode_either_sqlite(value: Any) -> Any:
    if not isinstance(value, datetime):
        raise InvalidValue(f"expected a datetime, got {value!r}")
    if value.tzinfo is None:
        return value.isoformat("T", "microseconds")
    return _aware_text(value)


def encode_aware_postgres(value: Any) -> Any:
    if not isinstance(value, datetime):
        raise InvalidValue(f"expected a datetime, got {value!r}")
    if value.tzinfo is None:
        raise InvalidValue(
            f"PostgreSQL keeps this column as TIMESTAMPTZ, which cannot hold the naive {value!r}; "
            "give the value a time zone, or declare the column as NaiveDatetime"
        )
    return value if value.tzinfo is UTC else _to_utc(value)


def decode_datetime(value: Any) -> Any:
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    return value


def decode_aware(value: Any) -> Any:
    """The datetime of a text as it says; of PostgreSQL, whose text is naive UTC, an aware one."""
    if isinstance(value, str):
        return datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


def _encode_date(value: Any) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise InvalidValue(f"expected a date, got {value!r}")
    return value


def encode_date_sqlite(value: Any) -> Any:
    return _encode_date(value).isoformat()


def decode_date(value: Any) -> Any:
    return date.fromisoformat(value) if isinstance(value, str) else value


def encode_time_postgres(value: Any) -> Any:
    if not isinstance(value, time):
        raise InvalidValue(f"expected a time, got {value!r}")
    if value.tzinfo is not None:
        raise InvalidValue(f"a time column keeps no time zone, got {value!r}")
    return value.replace(fold=0)


def encode_time_sqlite(value: Any) -> Any:
    return encode_time_postgres(value).isoformat("microseconds")


def decode_time(value: Any) -> Any:
    return time.fromisoformat(value) if isinstance(value, str) else value


OF_TEXT: dict[Encoder, Callable[[str], Any]] = {
    decode_aware: datetime.fromisoformat,
    decode_datetime: datetime.fromisoformat,
    decode_date: date.fromisoformat,
    decode_time: time.fromisoformat,
}
"""What these make of a text, for who sees that it is one."""


_MICROSECOND = timedelta(microseconds=1)


def encode_timedelta_sqlite(value: Any) -> Any:
    if not isinstance(value, timedelta):
        raise InvalidValue(f"expected a timedelta, got {value!r}")
    micros = (value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds
    if not INT_MIN <= micros <= INT_MAX:
        raise InvalidValue(f"{value!r} does not fit 64 bits of microseconds (about 292,000 years)")
    return micros


def encode_timedelta_postgres(value: Any) -> Any:
    encode_timedelta_sqlite(value)
    return value


def decode_timedelta(value: Any) -> Any:
    if isinstance(value, (int, Decimal)):
        return _MICROSECOND * int(value)
    return value


def encode_uuid_postgres(value: Any) -> Any:
    if not isinstance(value, UUID):
        raise InvalidValue(f"expected a UUID, got {value!r}")
    return value


def encode_uuid_sqlite(value: Any) -> Any:
    return str(encode_uuid_postgres(value))


def decode_uuid(value: Any) -> Any:
    return UUID(value) if isinstance(value, str) else value


def encode_path(value: Any) -> Any:
    if not isinstance(value, PurePath):
        raise InvalidValue(f"expected a Path, got {value!r}")
    return encode_text(str(value))


def _identity(value: Any) -> Any:
    return value


def _both(name: str, accepts: tuple[type, ...], types_: tuple[str, str], encode: Encoder) -> Codec:
    return Codec(name, accepts, *types_, encode, encode, _identity, plain=name)


INT = replace(_both("int", (int,), ("INTEGER", "BIGINT"), encode_int), numeric=True, decode=int)
BOOL = replace(_both("bool", (bool,), ("INTEGER", "BOOLEAN"), encode_bool), decode=bool)
FLOAT = replace(
    _both("float", (float, int), ("REAL", "DOUBLE PRECISION"), encode_float),
    numeric=True,
    decode=float,
)
TEXT = _both("str", (str,), ("TEXT", 'TEXT COLLATE "C"'), encode_text)
BYTES = replace(
    _both("bytes", (bytes, bytearray, memoryview), ("BLOB", "BYTEA"), encode_bytes), decode=bytes
)
AWARE = Codec(
    "aware datetime",
    (datetime,),
    "TEXT",
    "TIMESTAMPTZ",
    encode_aware_sqlite,
    encode_aware_postgres,
    decode_aware,
    lax=False,
)
NAIVE = Codec(
    "naive datetime",
    (datetime,),
    "TEXT",
    "TIMESTAMP",
    encode_naive_sqlite,
    encode_naive_postgres,
    decode_datetime,
    lax=False,
)
EITHER = Codec(
    "datetime",
    (datetime,),
    "TEXT",
    "TIMESTAMPTZ",
    encode_either_sqlite,
    encode_aware_postgres,
    decode_aware,
    lax=False,
)
DATE = Codec(
    "date", (date,), "TEXT", "DATE", encode_date_sqlite, _encode_date, decode_date, lax=False
)
TIME = Codec(
    "time",
    (time,),
    "TEXT",
    "TIME",
    encode_time_sqlite,
    encode_time_postgres,
    decode_time,
    lax=False,
)
TIMEDELTA = Codec(
    "timedelta",
    (timedelta,),
    "INTEGER",
    "INTERVAL",
    encode_timedelta_sqlite,
    encode_timedelta_postgres,
    decode_timedelta,
    lax=False,
    numeric=True,
)
UUID_ = Codec(
    "uuid", (UUID,), "TEXT", "UUID", encode_uuid_sqlite, encode_uuid_postgres, decode_uuid
)
PATH = Codec(
    "path",
    (PurePath,),
    "TEXT",
    'TEXT COLLATE "C"',
    encode_path,
    encode_path,
    _identity,
    ordering="path",
)


# --- decimals -------------------------------------------------------------------------------


_EXACTLY = Context(prec=64, Emin=MIN_EMIN, Emax=MAX_EMAX, traps=[Inexact])


def canonical_decimal(value: Decimal) -> str:
    """The one text that all equal decimals share: `Decimal("1.50")` and `Decimal("1.5")` are
    both "1.5"."""
    if not value.is_finite():
        raise InvalidValue(f"{value} cannot be stored in a decimal column")
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)
    kept = list(digits)
    while len(kept) > 1 and kept[-1] == 0:
        kept.pop()
        exponent += 1
    if kept == [0]:
        return "0"
    exact = Decimal((sign, tuple(kept), exponent))
    return format(exact, "f") if 0 <= exponent <= 20 else str(exact)


def _as_decimal(value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    raise InvalidValue(f"expected a Decimal, got {value!r}")


def encode_decimal_text(value: Any) -> Any:
    return canonical_decimal(_as_decimal(value))


def encode_decimal_postgres(value: Any) -> Any:
    number = _as_decimal(value)
    if not number.is_finite():
        raise InvalidValue(f"{number} cannot be stored in a decimal column")
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int)
    if number and (number.adjusted() > 131_071 or exponent < -16_383):
        raise InvalidValue(
            f"{_short(number)} does not fit PostgreSQL's NUMERIC, which holds 131072 digits before "
            "the decimal point and 16383 after it"
        )
    return number or Decimal(0)  # without the sign of a negative zero


def scaled_floor(value: Any, scale: int) -> tuple[int, bool]:
    """The largest integer up to `value * 10**scale`, and whether it is exactly that.

    Raises:
        InvalidValue: it does not fit 64 bits.
    """
    number = _as_decimal(value)
    if not number.is_finite():
        raise InvalidValue(f"{number} cannot be stored in a decimal column")
    try:
        if number.adjusted() > 40:  # a number that would fill the memory when written out
            raise Inexact
        shifted = _EXACTLY.scaleb(number, scale)
    except Inexact:
        floor = INT_MAX + 1
    else:
        floor = int(shifted)
        if floor == shifted and INT_MIN <= floor <= INT_MAX:
            return floor, True
        floor -= floor > shifted
    if not INT_MIN <= floor <= INT_MAX:
        raise InvalidValue(f"{_short(number)} does not fit a decimal column of 18 digits")
    return floor, False


def encode_decimal_scaled(scale: int, value: Any) -> Any:
    number, exact = scaled_floor(value, scale)
    if not exact:
        raise InvalidValue(f"{value} has more than {scale} decimal places")
    return number


def decode_decimal_scaled(scale: int, value: Any) -> Any:
    # in a context of its own, since the user's may round
    return _EXACTLY.scaleb(Decimal(value), -scale) if type(value) is int else _decode_decimal(value)


def _decode_decimal(value: Any) -> Any:
    return Decimal(value) if isinstance(value, (str, int)) else value


DECIMAL_TEXT = Codec(
    "decimal",
    (Decimal, int),
    "TEXT",
    "NUMERIC",
    encode_decimal_text,
    encode_decimal_postgres,
    _decode_decimal,
    lax=False,
    ordering=None,
    ordering_mend="declare the field with max_digits (at most 18) and decimal_places",
    numeric=True,
)


@lru_cache(maxsize=64)
def _decimal_scaled(scale: int) -> Codec:
    return Codec(
        "decimal",
        (Decimal, int),
        "INTEGER",
        "NUMERIC",
        partial(encode_decimal_scaled, scale),
        encode_decimal_postgres,
        partial(decode_decimal_scaled, scale),
        lax=False,
        scale=scale,
        numeric=True,
    )


def _decimal(metadata: Sequence[Any]) -> Codec:
    limits: dict[str, Any] = {}
    for item in flat_notes(metadata):
        for name in ("max_digits", "decimal_places"):
            found = getattr(item, name, None)
            if found is not None:
                limits[name] = found
    digits, places = limits.get("max_digits"), limits.get("decimal_places")
    if digits is not None and digits <= 18 and places is not None:
        return _decimal_scaled(places)
    return DECIMAL_TEXT


# --- enums and literals ---------------------------------------------------------------------


def _raw(value: Any) -> Any:
    return value.value if isinstance(value, Enum) else value


def _choice_codec(name: str, values: Sequence[Any], of: type[Enum] | None) -> Codec:
    """A codec for a closed set of values, all of one plain type."""
    raws = list(dict.fromkeys(_raw(value) for value in values))
    kinds = {bool if isinstance(raw, bool) else type(raw) for raw in raws}
    for plain in (BOOL, INT, TEXT):
        if raws and all(
            kind is plain.accepts[0] or (kind is not bool and issubclass(kind, plain.accepts[0]))
            for kind in kinds
        ):
            break
    else:
        shown = ", ".join(sorted(kind.__name__ for kind in kinds)) or "nothing"
        raise SchemaError(
            f"{name} has values of {shown}; a column needs values that are all str, "
            "all int or all bool"
        )
    by_raw = {_raw(value): value for value in values}

    def convert(value: Any) -> Any:
        raw = _raw(value)
        return by_raw.get(raw, value) if isinstance(raw, plain.accepts) else value

    usual = {raw: plain.encode_sqlite(raw) for raw in raws if raw.__class__ is str}

    def encode(value: Any) -> Any:
        if value.__class__ is str and value in usual:
            return usual[value]
        raw = _raw(value)
        known = isinstance(raw, plain.accepts) and raw in by_raw
        if not known or isinstance(raw, bool) != (plain is BOOL):
            raise InvalidValue(f"{value!r} is not one of {name}: {', '.join(map(repr, raws))}")
        return plain.encode_sqlite(raw)

    def decode(value: Any) -> Any:
        if plain is BOOL and value in (0, 1):
            value = bool(value)
        return by_raw.get(value, value)

    return Codec(
        "enum" if of else "literal",
        (
            *dict.fromkeys(type(value) for value in values if isinstance(value, Enum)),
            *plain.accepts,
        ),
        plain.sqlite_type,
        plain.postgres_type,
        encode,
        encode,
        decode,
        lax=of is not None,
        choices=tuple(plain.encode_sqlite(raw) for raw in raws),
        numeric=plain is INT,
        converter=convert,
    )


# --- JSON -----------------------------------------------------------------------------------

_EXACT = frozenset(
    "none bool int str date timedelta uuid decimal enum literal nullable default "
    "model model-fields model-field list set frozenset tuple dict dataclass dataclass-args "
    "dataclass-field typed-dict typed-dict-field definitions definition-ref url "
    "json-or-python lax-or-strict chain float".split()
)
_EXACT_KEYS = frozenset("str int uuid date".split())
_JSON_CONFIG = ConfigDict(
    ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings"
)
_JSON_MENDS = (
    "bytes that are not UTF-8 need ser_json_bytes='base64' and val_json_bytes='base64', and "
    "infinities ser_json_inf_nan='strings', in the model_config of the model that holds them"
)


_subclasses = type.__subclasses__


def for_many(encode: Encoder) -> Encoder:
    """The same, which may take a while to be made and less for each value."""
    codec = getattr(encode, "__self__", None)
    return codec.for_many() if isinstance(codec, JsonCodec) else encode


class JsonCodec:
    """Values as JSON text through pydantic's own serializer and validator of the declared type.

    Fields stand under their names, not under their aliases. The text is exact or refused: types
    whose JSON always comes back equal are written straight; for others (unions, bytes, datetimes
    with their odd offsets, Any, custom validators, models with subclasses) each value is read
    back before it is stored, and `InvalidValue` says that it would have changed.
    """

    def __init__(self, annotation: Any) -> None:
        self.annotation = annotation
        self._classes: tuple[type, ...] | None = None
        """The classes in a type of which any text is exact while none of them has subclasses;
        None where it is no such type, or not known yet."""

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        if isinstance(self.annotation, type) and issubclass(self.annotation, BaseModel):
            return TypeAdapter(self.annotation)
        try:
            return TypeAdapter(self.annotation, config=_JSON_CONFIG)
        except pydantic.PydanticUserError:  # a dataclass or a TypedDict has its own, as a model
            return TypeAdapter(self.annotation)

    @cached_property
    def _nature(self) -> _Nature:
        nature = _nature_of(self.adapter.core_schema)
        self._write = self.adapter.serializer.to_json
        if nature.exact and not nature.floats | nature.sets:
            self._classes = tuple(nature.classes)
        return nature

    def encode(self, value: Any) -> str:
        classes = self._classes
        if classes is None:
            return self._encode(value)
        for kind in classes:
            if _subclasses(kind):
                return self._encode(value)
        try:
            text = self._write(value).decode()
        except (ValueError, Warning):
            return self._encode(value)
        return self._encode(value) if "\\u0000" in text else text

    def for_many(self) -> Encoder:
        """`encode` for many values of a model that holds no other: its own instances are exact
        whatever subclasses there are."""
        encode, only = self.encode, self.annotation
        # what holds itself has a schema of definitions
        is_whole = self._nature.exact and self.adapter.core_schema["type"] == "model"
        if not is_whole or self._classes != (only,):
            return encode
        write = self._write

        def encode_only(value: Any) -> str:
            if value.__class__ is only:
                try:
                    text: str = write(value).decode()
                except (ValueError, Warning):
                    return encode(value)
                if "\\u0000" not in text:
                    return text
            return encode(value)

        return encode_only

    def _encode(self, value: Any) -> str:
        nature = self._nature
        text = None
        exact = nature.exact
        if exact:
            for kind in nature.classes:
                if _subclasses(kind):
                    exact = False
                    break
        if exact or (nature.free and _is_plain(value)):
            try:
                # pydantic warns of a value that somebody changed to another type than declared;
                # to make that an error costs it five times as long as the writing itself
                text = self._write(value).decode()
            except (ValueError, Warning):  # the slow way finds out more
                pass
        if text is None or (nature.floats and _ODD_FLOAT(text)):
            text = self._checked(value)
        elif nature.sets:
            text = _with_sorted_sets(value, text)
        if "\\u0000" in text and "\0" in _all_text(text):
            raise InvalidValue(f"text with a NUL character cannot be stored: {_short(value)}")
        return text

    def _checked(self, value: Any) -> str:
        """A text that reads back as `value`, or an error."""
        try:
            text = self.adapter.serializer.to_json(value, by_alias=False, warnings=False).decode()
        except Exception as error:
            raise InvalidValue(
                f"{_short(value)} cannot be written as JSON: {_one_line(error)}; {_JSON_MENDS}"
            ) from error
        text = _plain_numbers(_with_sorted_sets(value, text))
        try:
            if not _same(self.decode(text), value):
                raise ValueError("it would come back as another value")
        except ValueError as error:
            why = _one_line(error)
            if _holds_nan(value):
                why = "NaN has no place in JSON; use None"
            raise InvalidValue(
                f"{_short(value)} does not come back exactly from JSON: {why} "
                f"(declare its type more closely; {_JSON_MENDS})"
            ) from error
        return text

    def decode(self, value: Any) -> Any:
        """The value behind JSON text, or behind what a driver has parsed already."""
        text = value if isinstance(value, (str, bytes)) else to_json(value)
        return self.adapter.validator.validate_json(text, by_alias=False, by_name=True)

    def convert(self, value: Any) -> Any:
        """The value that a filter means by `value`: a model, or a dict of its fields."""
        try:
            return self.adapter.validate_python(value, by_alias=True, by_name=True)
        except ValidationError as error:
            raise InvalidValue(f"{_short(value)} is no value of its: {_one_line(error)}") from error


def _is_plain(value: Any) -> bool:
    """Whether a value is of nothing but JSON's own types, with floats that look like floats."""
    kind = value.__class__
    if kind is str or kind is int or kind is bool or value is None:
        return True
    if kind is dict:
        return all(key.__class__ is str for key in value) and all(map(_is_plain, value.values()))
    if kind is list:
        return all(map(_is_plain, value))
    return kind is float and -1e15 < value < 1e15


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _one_line(error: Exception) -> str:
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        place = ".".join(map(str, first["loc"]))
        return f"{place}: {first['msg']}" if place else first["msg"]
    return str(error)


_ODD_FLOAT = re.compile(r"\b(?:null|NaN|Infinity)\b").search
_NUMBER = r'"(?:[^"\\]|\\.)*"|(-?\d+(?:\.\d+)?[eE][+-]?\d+)|-?(?:Infinity|NaN)'


def _plain_numbers(text: str) -> str:
    """JSON text whose floats look like floats after PostgreSQL has read them: JSONB makes 1e16
    an integer, but keeps 10000000000000000.0. Bare infinities become their names."""

    def plain(match: re.Match[str]) -> str:
        whole = match[0]
        if whole.startswith('"'):
            return whole
        if match[1] is None:
            return f'"{whole}"'
        written = format(Decimal(whole), "f")
        return written if "." in written else written + ".0"

    return re.sub(_NUMBER, plain, text)


def _same(a: Any, b: Any) -> bool:
    """Whether two values are equal and of equal types (1 is not 1.0, a tuple is not a list)."""
    if type(a) is not type(b):
        # an int may stand where a float is declared (as an unvalidated default)
        return {type(a), type(b)} == {int, float} and bool(a == b)
    if isinstance(a, BaseModel):
        return _same(a.__dict__, b.__dict__) and _same(a.__pydantic_extra__, b.__pydantic_extra__)
    if dataclasses.is_dataclass(a):
        return all(
            _same(getattr(a, item.name), getattr(b, item.name)) for item in dataclasses.fields(a)
        )
    if isinstance(a, Mapping):
        return (
            len(a) == len(b)
            and all(key in b and _same(item, b[key]) for key, item in a.items())
            and {(key, type(key)) for key in a} == {(key, type(key)) for key in b}
        )
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, (set, frozenset)):
        return {(item, type(item)) for item in a} == {(item, type(item)) for item in b}
    return bool(a == b)


def _parts(value: Any) -> Mapping[str, Any] | None:
    """The fields of a model or a dataclass, by name."""
    if isinstance(value, BaseModel):
        return {**value.__dict__, **(value.__pydantic_extra__ or {})}
    if dataclasses.is_dataclass(value):
        return {item.name: getattr(value, item.name) for item in dataclasses.fields(value)}
    return None


def _holds_nan(value: Any) -> bool:
    if isinstance(value, (float, Decimal)):
        return value != value
    if isinstance(value, (list, tuple, set, frozenset)):
        return any(map(_holds_nan, value))
    inner = value if isinstance(value, Mapping) else _parts(value)
    return inner is not None and any(map(_holds_nan, inner.values()))


def _with_sorted_sets(value: Any, text: str) -> str:
    """The JSON text with the elements of sets in order, so that equal values are equal texts."""
    import json

    if not _holds_set(value):
        return text
    try:
        raw = json.loads(text)
    except ValueError:
        return text
    return json.dumps(_sorted_sets(value, raw), ensure_ascii=False, separators=(",", ":"))


def _holds_set(value: Any) -> bool:
    if isinstance(value, (set, frozenset)):
        return True
    if isinstance(value, (list, tuple)):
        return any(map(_holds_set, value))
    inner = value if isinstance(value, Mapping) else _parts(value)
    return inner is not None and any(map(_holds_set, inner.values()))


def _sorted_sets(value: Any, raw: Any) -> Any:
    import json

    if isinstance(raw, list):
        if isinstance(value, (list, tuple, set, frozenset)) and len(value) == len(raw):
            raw = [_sorted_sets(item, inner) for item, inner in zip(value, raw, strict=True)]
        if isinstance(value, (set, frozenset)):
            raw.sort(key=lambda item: json.dumps(item, ensure_ascii=False, sort_keys=True))
    elif isinstance(raw, dict):
        if isinstance(value, Mapping) and len(value) == len(raw):
            pairs = zip(value.values(), raw.items(), strict=True)
            return {key: _sorted_sets(item, inner) for item, (key, inner) in pairs}
        fields = _parts(value) or {}
        return {key: _sorted_sets(fields.get(key), inner) for key, inner in raw.items()}
    return raw


def _all_text(text: str) -> str:
    """Every string inside a JSON text, joined."""
    import json

    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, str):
            found.append(value)
        elif isinstance(value, dict):
            found.extend(value)
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(json.loads(text))
    return "".join(found)


def canonical_json(text: str) -> str:
    """JSON text with sorted keys and without spaces, so that equal values are equal texts."""
    import json

    return json.dumps(
        json.loads(text, parse_float=_number),
        sort_keys=True,
        ensure_ascii=False,
        separators=(",", ":"),
    )


def _number(text: str) -> int | float:
    """A float of JSON, or the integer that it equals."""
    number = float(text)
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


@frozen
class _Nature:
    """What a core schema says of its JSON: whether it always comes back, and what may hinder."""

    exact: bool
    free: bool
    """Whether it is exact but for Any, so that values of JSON's own types come back."""
    floats: bool
    sets: bool
    classes: frozenset[type]
    """Models and dataclasses in it: a value may be of a subclass, of which JSON knows nothing."""


def _nature_of(schema: Any) -> _Nature:
    kinds: set[str] = set()
    classes: set[type] = set()

    def walk(node: Any) -> None:
        if isinstance(node, dict):
            if isinstance(node.get("type"), str):
                kinds.update(_kinds(node))
                if node["type"] in ("model", "dataclass"):
                    classes.add(node["cls"])
            for key, item in node.items():
                if key not in ("metadata", "members", "expected", "default", "cls", "config"):
                    walk(item)
        elif isinstance(node, (list, tuple)):
            for item in node:
                walk(item)

    walk(schema)
    return _Nature(
        kinds <= _EXACT,
        kinds <= _EXACT | {"any"},
        "float" in kinds,
        bool(kinds & {"set", "frozenset"}),
        frozenset(classes),
    )


def _kinds(node: Mapping[str, Any]) -> Iterator[str]:
    """The kind of one core schema, and what about it makes JSON inexact."""
    kind = node["type"]
    yield kind
    if kind == "dict":
        keys = node.get("keys_schema", {"type": "any"})
        if keys.get("type") not in _EXACT_KEYS:
            yield "dict with keys of " + str(keys.get("type"))
        if "values_schema" not in node:
            yield "any"
    if kind in ("list", "set", "frozenset") and "items_schema" not in node:
        yield "any"
    if kind == "enum" and any(type(item.value) not in (str, int) for item in node["members"]):
        yield "enum of other values"
    if kind in ("model-fields", "typed-dict", "dataclass-args") and node.get("computed_fields"):
        yield "computed fields"
    config = node.get("config") or {}
    if "allow" in (node.get("extra_behavior"), config.get("extra_fields_behavior")):
        yield "open fields"
    if node.get("serialization_exclude") or node.get("custom_init") or node.get("post_init"):
        yield "fields that JSON leaves out"
    if kind == "dataclass-field" and (node.get("init") is False or node.get("init_only")):
        yield "fields that JSON leaves out"
    if config.get("ser_json_timedelta", "iso8601") != "iso8601":
        yield "times as numbers"
    if config.get("serialize_by_alias"):
        yield "names that are aliases"
    if "serialization" in node:
        yield "custom serialization"


_JSON_MEND = "compare a path inside it instead, such as Model.field['key']"


def _json(annotation: Any) -> Codec:
    codec = JsonCodec(annotation)
    return Codec(
        "json",
        (object,),
        "TEXT",
        "JSONB",
        codec.encode,
        codec.encode,
        codec.decode,
        lax=False,
        ordering=None,
        ordering_mend=_JSON_MEND,
        converter=codec.convert,
    )


# --- types that users register --------------------------------------------------------------


@frozen
class KnownType:
    """How values of one Python type travel as string, as JSON and into the database."""

    python_type: type
    to_str: Callable[[Any], str]
    from_str: Callable[[str], Any]
    to_json: Callable[[Any], Any]
    from_json: Callable[[Any], Any]
    to_db: Callable[[Any], Any]
    from_db: Callable[[Any], Any]
    stored_as: type

    @property
    def by_default(self) -> bool:
        """Whether nothing was said but the type: text by `str`, and back by calling it."""
        made = {self.from_str, self.from_json, self.from_db}
        return made == {self.python_type} and {self.to_str, self.to_json, self.to_db} == {str}


class KnownTypes:
    """The registry behind `KNOWN_TYPES`.

    Example:
        >>> class Celsius:
        ...     def __init__(self, degrees: float) -> None:
        ...         self.degrees = degrees
        >>> KNOWN_TYPES.register(
        ...     Celsius,
        ...     to_str=lambda c: str(c.degrees),
        ...     from_str=lambda text: Celsius(float(text)),
        ...     to_db=lambda c: c.degrees,
        ...     from_db=Celsius,
        ...     stored_as=float,
        ... )
    """

    def __init__(self) -> None:
        self._types: dict[type, KnownType] = {}

    STORED: ClassVar[dict[type, Codec]] = {
        int: INT,
        bool: BOOL,
        float: FLOAT,
        str: TEXT,
        bytes: BYTES,
    }

    def register(
        self,
        type_: type,
        *,
        to_str: Callable[[Any], str] = str,
        from_str: Callable[[str], Any] | None = None,
        to_json: Callable[[Any], Any] | None = None,
        from_json: Callable[[Any], Any] | None = None,
        to_db: Callable[[Any], Any] | None = None,
        from_db: Callable[[Any], Any] | None = None,
        stored_as: type = str,
    ) -> None:
        """Make `type_` usable as a column's type.

        `stored_as` is the plain type of the column: int, bool, float, str or bytes. What is not
        given follows from `to_str` and `from_str` (by default `str` and the type itself).
        A later registration of the same type replaces an earlier one.

        Raises:
            SchemaError: `stored_as` is not one of the plain types.
        """
        if stored_as not in self.STORED:
            raise SchemaError(
                f"stored_as={stored_as!r} is not a column type; use int, bool, float, str or bytes"
            )
        read = from_str if from_str is not None else type_
        self._types[type_] = KnownType(
            type_,
            to_str,
            read,
            to_json or to_str,
            from_json or read,
            to_db or to_str,
            from_db or read,
            stored_as,
        )

    def get(self, type_: type[Any]) -> KnownType | None:
        """What is registered for `type_` or for its nearest registered base.

        Where the base makes values by calling itself, a subclass does so too.
        """
        for base in type_.__mro__:
            known = self._types.get(base)
            if known is not None and base is not type_:
                own: dict[str, Any] = {
                    name: type_
                    for name in ("from_str", "from_json", "from_db")
                    if getattr(known, name) is base
                }
                known = replace(known, python_type=type_, **own)
            if known is not None:
                return known
        if type_.__module__ == "pydantic.networks" and hasattr(type_, "build"):
            self.register(type_)  # pydantic's URLs, which are costly to import for nothing
            return self._types[type_]
        return None


KNOWN_TYPES = KnownTypes()
"""The registry that maps a Python type to and from string, JSON and the database."""


def _known(known: KnownType) -> Codec:
    stored = KnownTypes.STORED[known.stored_as]

    def encode(value: Any) -> Any:
        if not isinstance(value, known.python_type):
            raise InvalidValue(f"expected a {known.python_type.__name__}, got {value!r}")
        return stored.encode_sqlite(known.to_db(value))

    def decode(value: Any) -> Any:
        return value if isinstance(value, known.python_type) else known.from_db(value)

    return replace(
        stored,
        name=known.python_type.__name__,
        accepts=(known.python_type,),
        encode_sqlite=encode,
        encode_postgres=encode,
        decode=decode,
        plain=None,
        lax=False,
        numeric=False,
    )


# --- from an annotation to its codec --------------------------------------------------------

_CONTAINERS = (list, dict, tuple, set, frozenset)


def _is_structured(annotation: Any) -> bool:
    """Whether values of this type are kept as JSON."""
    origin = get_origin(annotation) or annotation
    if annotation is Any or annotation is object or is_typeddict(origin):
        return True
    if not isinstance(origin, type):
        return False
    if dataclasses.is_dataclass(origin) or issubclass(origin, (BaseModel, *_CONTAINERS)):
        return True
    return origin.__module__ == "collections.abc"


def inner_notes(annotation: Any) -> list[Any]:
    """What is annotated inside `Annotated[int, …] | None` or a type alias, where pydantic
    leaves it."""
    found: list[Any] = []
    while True:
        annotation = _unwrap(annotation, found)
        if get_origin(annotation) not in (typing.Union, types.UnionType):
            return found
        members = [member for member in get_args(annotation) if member is not type(None)]
        if len(members) != 1:
            return found
        annotation = members[0]


def flat_notes(metadata: Iterable[Any]) -> Iterator[Any]:
    """Metadata with that of each `Field(…)` in its place."""
    for item in metadata:
        if isinstance(item, FieldInfo):
            yield from item.metadata
        else:
            yield item


def _unwrap(annotation: Any, metadata: list[Any]) -> Any:
    """The annotation below Annotated, NewType and type aliases; metadata is collected."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation, *more = get_args(annotation)
            metadata.extend(more)
        elif isinstance(annotation, typing.NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        else:
            return annotation


def column_type(annotation: Any, metadata: Sequence[Any] = ()) -> ColumnType:
    """The codec and nullability of an annotation such as `int | None`.

    Raises:
        SchemaError: there is no column for this type, or it is a union of two.
    """
    notes = list(metadata)
    bare = _unwrap(annotation, notes)
    if get_origin(bare) in (typing.Union, types.UnionType):
        members = [member for member in get_args(bare) if member is not type(None)]
        nullable = len(members) < len(get_args(bare))
        if len(members) == 1:
            inner = column_type(members[0], notes)
            return ColumnType(inner.codec, nullable or inner.nullable, inner.python_type)
        return ColumnType(_union(members, bare), nullable, bare)
    if get_origin(bare) is Literal:
        values = [value for value in get_args(bare) if value is not None]
        return ColumnType(
            _choice_codec(str(bare), values, None), len(values) < len(get_args(bare)), bare
        )
    return ColumnType(_scalar(bare, notes), False, bare)


def _union(members: Sequence[Any], whole: Any) -> Codec:
    bare = [_unwrap(member, []) for member in members]
    if all(_is_structured(member) for member in bare):
        return _json(whole)
    if all(get_origin(member) is Literal for member in bare):
        values = [value for member in bare for value in get_args(member)]
        return _choice_codec(str(whole), values, None)
    names = " | ".join(getattr(member, "__name__", str(member)) for member in bare)
    raise SchemaError(
        f"a column holds one type, not the union {names}; "
        "keep one of them (and None if the value may be missing), or wrap the union in a model"
    )


def _scalar(bare: Any, metadata: Sequence[Any]) -> Codec:
    if bare is AwareDatetime or bare in (pydantic.PastDatetime, pydantic.FutureDatetime):
        return AWARE if bare is AwareDatetime else EITHER
    if bare is NaiveDatetime:
        return NAIVE
    known = KNOWN_TYPES.get(bare) if isinstance(bare, type) else None
    if known is not None:
        return _known(known)
    if _is_structured(bare):
        return _json(Annotated[(bare, *metadata)] if metadata else bare)
    if isinstance(bare, type):
        if issubclass(bare, Flag):
            raise SchemaError(
                f"{bare.__name__} is a Flag, whose combinations no column holds; "
                "use int, or set[…] of an Enum"
            )
        if issubclass(bare, Enum):
            return _choice_codec(bare.__name__, list(bare), bare)
        for base, codec in _BY_CLASS:
            if issubclass(bare, base):
                return _decimal(metadata) if codec is DECIMAL_TEXT else codec
    return _by_core_schema(bare)


_BY_CLASS: tuple[tuple[type, Codec], ...] = (
    (bool, BOOL),
    (int, INT),
    (float, FLOAT),
    (str, TEXT),
    (bytes, BYTES),
    (datetime, EITHER),
    (date, DATE),
    (time, TIME),
    (timedelta, TIMEDELTA),
    (Decimal, DECIMAL_TEXT),
    (UUID, UUID_),
    (PurePath, PATH),
)

_BY_KIND = {
    "str": TEXT,
    "int": INT,
    "bool": BOOL,
    "float": FLOAT,
    "bytes": BYTES,
    "date": DATE,
    "datetime": EITHER,
    "time": TIME,
    "timedelta": TIMEDELTA,
    "decimal": DECIMAL_TEXT,
    "uuid": UUID_,
}


def _by_core_schema(bare: Any) -> Codec:
    """For pydantic's own types (EmailStr, PastDate): what their values are."""
    try:
        schema: Any = TypeAdapter(bare).core_schema
    except Exception as error:
        raise SchemaError(
            f"{bare!r} is not a type that a column can hold; use one of the documented types, "
            "or register it: KNOWN_TYPES.register(...)"
        ) from error
    for _ in range(20):
        codec = _BY_KIND.get(schema.get("type"))
        if codec is not None:
            return codec
        if "schema" not in schema:
            break
        schema = schema["schema"]
    raise SchemaError(
        f"{bare!r} is not a type that a column can hold; use one of the documented types, "
        "or register it: KNOWN_TYPES.register(...)"
    )


# --- registered types inside models ---------------------------------------------------------


class _KnownSchema:
    """Left in an annotation, so that pydantic treats a registered type as it was registered."""

    def __init__(self, known: KnownType) -> None:
        self.known = known

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> core_schema.CoreSchema:
        known = self.known

        def read(value: Any) -> Any:
            if isinstance(value, known.python_type):
                return value
            try:
                convert = known.from_str if isinstance(value, str) else known.from_json
                made = convert(value)
                if not isinstance(made, known.python_type):
                    raise TypeError(f"{made!r} is another type")
                return made
            except Exception as error:
                raise PydanticCustomError(
                    "registered_type",
                    "Input should be a valid {name}: {error}",
                    {"name": known.python_type.__name__, "error": str(error)},
                ) from error

        return core_schema.no_info_plain_validator_function(
            read,
            serialization=core_schema.plain_serializer_function_ser_schema(
                known.to_json, when_used="json"
            ),
        )

    def __get_pydantic_json_schema__(self, schema: Any, handler: Any) -> dict[str, Any]:
        return {"type": "string"} if self.known.to_json is self.known.to_str else {}


def with_known_types(annotation: Any) -> Any:
    """The annotation in which registered types that pydantic lacks can be validated and written;
    the very same annotation where there is none."""
    if isinstance(annotation, type) and get_origin(annotation) is None:
        known = KNOWN_TYPES.get(annotation)
        if known is None or (known.by_default and _pydantic_knows(annotation)):
            return annotation
        return Annotated[annotation, _KnownSchema(known)]
    if get_origin(annotation) is Literal:
        return annotation
    arguments = get_args(annotation)
    if get_origin(annotation) is Annotated:
        inner = with_known_types(arguments[0])
        changed: Any = annotation if inner is arguments[0] else Annotated[(inner, *arguments[1:])]
        return changed
    inside = tuple(map(with_known_types, arguments))
    if all(new is old for new, old in zip(inside, arguments, strict=True)):
        return annotation
    origin: Any = get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return typing.Union[inside]  # noqa: UP007  # of a tuple
    return origin[inside]


@lru_cache(maxsize=256)
def _pydantic_knows(type_: type) -> bool:
    try:
        TypeAdapter(type_)
    except pydantic.errors.PydanticSchemaGenerationError:
        return False
    return True
