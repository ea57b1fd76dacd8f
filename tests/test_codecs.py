"""Which codec has an annotation, and what do codecs make of values? Pure: no database."""

import warnings
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NamedTuple, NewType
from uuid import UUID

import pytest
from annotated_types import Ge
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    FutureDate,
    HttpUrl,
    Json,
    NaiveDatetime,
    PastDatetime,
    PositiveInt,
    SecretStr,
    StrictInt,
    field_serializer,
)
from typing_extensions import TypeAliasType

from lythonic_state import InvalidValue, SchemaError
from lythonic_state.codecs import (
    Codec,
    JsonCodec,
    canonical_decimal,
    canonical_json,
    column_type,
    scaled_floor,
    with_known_types,
)


class Plain(Enum):
    ONE = "one"


Alias = TypeAliasType("Alias", int | None)
MONEY = Annotated[Decimal, Field(max_digits=18, decimal_places=2)]


@pytest.mark.parametrize(
    ("annotation", "name", "sqlite", "postgres"),
    [
        (int, "int", "INTEGER", "BIGINT"),
        (PositiveInt, "int", "INTEGER", "BIGINT"),
        (StrictInt, "int", "INTEGER", "BIGINT"),
        (NewType("UserId", int), "int", "INTEGER", "BIGINT"),
        (bool, "bool", "INTEGER", "BOOLEAN"),
        (float, "float", "REAL", "DOUBLE PRECISION"),
        (str, "str", "TEXT", 'TEXT COLLATE "C"'),
        (bytes, "bytes", "BLOB", "BYTEA"),
        (AwareDatetime, "aware datetime", "TEXT", "TIMESTAMPTZ"),
        (NaiveDatetime, "naive datetime", "TEXT", "TIMESTAMP"),
        (datetime, "datetime", "TEXT", "TIMESTAMPTZ"),
        (PastDatetime, "datetime", "TEXT", "TIMESTAMPTZ"),
        (date, "date", "TEXT", "DATE"),
        (FutureDate, "date", "TEXT", "DATE"),
        (time, "time", "TEXT", "TIME"),
        (timedelta, "timedelta", "INTEGER", "INTERVAL"),
        (MONEY, "decimal", "INTEGER", "NUMERIC"),
        (Decimal, "decimal", "TEXT", "NUMERIC"),
        (Annotated[Decimal, Field(max_digits=19, decimal_places=2)], "decimal", "TEXT", "NUMERIC"),
        (Annotated[Decimal, Field(max_digits=9)], "decimal", "TEXT", "NUMERIC"),
        (UUID, "uuid", "TEXT", "UUID"),
        (Path, "path", "TEXT", 'TEXT COLLATE "C"'),
        (PurePosixPath, "path", "TEXT", 'TEXT COLLATE "C"'),
        (Plain, "enum", "TEXT", 'TEXT COLLATE "C"'),
        (Literal[1, 2], "literal", "INTEGER", "BIGINT"),
        (Literal["a"] | Literal["b"], "literal", "TEXT", 'TEXT COLLATE "C"'),
        (Literal[True], "literal", "INTEGER", "BOOLEAN"),
        (HttpUrl, "HttpUrl", "TEXT", 'TEXT COLLATE "C"'),
        (list[int], "json", "TEXT", "JSONB"),
        (dict, "json", "TEXT", "JSONB"),
        (list[int] | dict[str, int], "json", "TEXT", "JSONB"),
        (Any, "json", "TEXT", "JSONB"),
    ],
)
def test_an_annotation_has_its_column(
    annotation: Any, name: str, sqlite: str, postgres: str
) -> None:
    for given_annotation, nullable in ((annotation, False), (annotation | None, True)):
        if annotation is Any and nullable:
            continue
        found = column_type(given_annotation)
        assert (found.codec.name, found.nullable) == (name, nullable)
        assert (found.codec.sqlite_type, found.codec.postgres_type) == (sqlite, postgres)
    inside = column_type(Annotated[annotation, "note"])
    assert inside.codec.sqlite_type == sqlite


def test_an_alias_of_an_optional_type_is_nullable() -> None:
    assert column_type(Alias).nullable
    assert column_type(Literal["a", None]).nullable
    assert column_type(Annotated[int | None, Ge(0)]).codec.name == "int"


@pytest.mark.parametrize(
    "annotation",
    [int | str, complex, Literal[1, "a"], type, object.__class__, Literal[None], Json, SecretStr],
    ids=str,
)
def test_what_is_no_column_is_a_schema_error(annotation: Any) -> None:
    with pytest.raises(SchemaError):
        column_type(annotation)


def round_trip(codec: Codec, value: Any) -> Any:
    stored = codec.encode_sqlite(value)
    assert codec.decode(codec.encode_postgres(value)) == value
    return codec.decode(stored)


@given(st.decimals(allow_nan=False, allow_infinity=False))
def test_equal_decimals_have_one_text(value: Decimal) -> None:
    text = canonical_decimal(value)
    assert Decimal(text) == value
    longer = Decimal(
        value.as_tuple()._replace(
            digits=(*value.as_tuple().digits, 0), exponent=value.as_tuple().exponent - 1
        )
    )  # type: ignore[operator]  # finite
    assert longer == value
    assert canonical_decimal(longer) == text


@given(st.integers(-(10**18) + 1, 10**18 - 1), st.integers(0, 8), st.integers(-9, 9))
def test_a_scaled_decimal_is_its_floor(number: int, scale: int, more: int) -> None:
    value = Decimal(number).scaleb(-scale)
    assert scaled_floor(value, scale) == (number, True)
    finer = (Decimal(number * 10 + more)).scaleb(-scale - 1)
    floor, exact = scaled_floor(finer, scale)
    assert floor == (number * 10 + more) // 10
    assert exact == (more == 0)


@pytest.mark.parametrize("value", ["1E+30", "-1E+30", "1E+999999999", "NaN", "Infinity", "1" * 70])
def test_a_decimal_that_does_not_fit_is_refused_without_effort(value: str) -> None:
    with pytest.raises(InvalidValue):
        scaled_floor(Decimal(value), 2)
    assert scaled_floor(Decimal("1E-999999999"), 2) == (0, False)
    assert scaled_floor(Decimal("-1E-999999999"), 2) == (-1, False)


@pytest.mark.parametrize("annotation", [int, bool, float, str, bytes, date, time, timedelta, UUID,
                                        Path, Plain, MONEY, Decimal, AwareDatetime, NaiveDatetime,
                                        datetime, Literal["a"], Literal[1]])  # fmt: skip
def test_a_value_of_another_type_is_refused(annotation: Any) -> None:
    codec = column_type(annotation).codec
    for wrong in (object(), [1], None, 1j):
        for encode in (codec.encode_sqlite, codec.encode_postgres):
            with pytest.raises(InvalidValue):
                encode(wrong)


def test_times_keep_no_zone_and_datetimes_only_where_they_are_declared() -> None:
    aware, naive = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 1)
    with pytest.raises(InvalidValue, match="NaiveDatetime"):
        column_type(AwareDatetime).codec.encode_sqlite(naive)
    with pytest.raises(InvalidValue, match="AwareDatetime"):
        column_type(NaiveDatetime).codec.encode_sqlite(aware)
    with pytest.raises(InvalidValue, match="NaiveDatetime"):
        column_type(datetime).codec.encode_postgres(naive)
    with pytest.raises(InvalidValue, match="no time zone"):
        column_type(time).codec.encode_sqlite(time(1, tzinfo=UTC))
    with pytest.raises(InvalidValue, match="expected a date"):
        column_type(date).codec.encode_sqlite(naive)
    assert column_type(datetime).codec.encode_sqlite(naive) == "2026-01-01T00:00:00.000000"
    east = aware.astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert column_type(datetime).codec.encode_sqlite(east) == "2026-01-01T00:00:00.000000Z"


# --- JSON -----------------------------------------------------------------------------------


class Inner(BaseModel):
    number: int = 1


class Sub(Inner):
    more: int = 2


class Stamped(BaseModel):
    at: datetime


class Serialized(BaseModel):
    text: str

    @field_serializer("text")
    def _short(self, value: str) -> str:
        return value[:1]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")


class Recursive(BaseModel):
    children: list["Recursive"] = []
    tags: set[str] = set()


class Named(NamedTuple):
    x: int
    y: str


@dataclass
class Computed:
    given: int
    made: int = field(init=False, default=0)


@dataclass
class Tagged:
    tags: frozenset[int]


EXACT: list[tuple[Any, Any]] = [
    (list[Inner], [Inner(number=2)]),
    (Recursive, Recursive(children=[Recursive(tags={"b", "a"})], tags={"z", "y"})),
    (Tagged, Tagged(frozenset((3, 1, 2)))),
    (tuple[int, ...], (1, 2)),
    (Named, Named(1, "a")),
    (Stamped, Stamped(at=datetime(2026, 1, 1, tzinfo=UTC))),
    (Open, Open(more=[1, "a"])),  # type: ignore[call-arg]  # extra fields are allowed
    (Inner | list[int], [1]),
    (dict[str, int | float], {"a": 1e16, "b": 10**16}),
    (dict[UUID, timedelta], {UUID(int=1): timedelta.max}),
    (list[Plain], [Plain.ONE]),
    (list[dict[date, Decimal]], [{date.min: Decimal("1.50")}]),
    (set[tuple[int, str]], {(2, "b"), (1, "a")}),
    (dict[float, str], {float("inf"): "a"}),
    (list[object], [None, 1, "a", True, [], {}]),
]


def _name(value: object) -> str | None:
    """A type by its name; pytest numbers the values, some of which have no lasting text."""
    return str(value) if isinstance(value, type) or hasattr(value, "__origin__") else None


@pytest.mark.parametrize(("annotation", "value"), EXACT, ids=_name)
def test_json_comes_back_equal(annotation: Any, value: Any) -> None:
    codec = column_type(annotation).codec
    again = round_trip(codec, value)
    assert again == value
    assert type(again) is type(value)
    assert codec.converter is not None
    assert codec.converter(value) == value


INEXACT: list[tuple[Any, Any]] = [
    (Inner, Sub()),
    (list[Inner], [Inner(), Sub()]),
    (dict[str, Any], {"a": (1, 2)}),
    (dict[str, Any], {"a": datetime(2026, 1, 1)}),
    (dict[str, Any], {"a": Decimal(1)}),
    (dict[str, Any], {1: "a"}),
    (Serialized, Serialized(text="abc")),
    (dict[Literal[1, 2], str], {1: "a"}),
    (Computed, Computed(1)),
    (list[object], [object()]),
    (list[int], ["a"]),
    (list[str], "text"),
    (Inner, Inner.model_construct(number="x")),
    (list[float], [float("nan")]),
    (Stamped, Stamped(at=datetime(1890, 1, 1, tzinfo=timezone(timedelta(seconds=3208))))),
]


@pytest.mark.parametrize(("annotation", "value"), INEXACT, ids=_name)
def test_json_that_would_come_back_otherwise_is_refused(annotation: Any, value: Any) -> None:
    codec = column_type(annotation).codec
    if annotation is Computed:
        value.made = 5
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for encode in (codec.encode_sqlite, codec.encode_postgres):
            with pytest.raises(InvalidValue, match="JSON"):
                encode(value)


def test_sets_are_written_in_one_order_wherever_they_stand() -> None:
    codec = column_type(dict[str, list[set[str]]]).codec
    names = [f"name{n}" for n in range(20)]
    one = {"a": [set(names)], "b": [set()]}
    two = {"a": [{*names[::-1]}], "b": [set()]}
    assert codec.encode_sqlite(one) == codec.encode_sqlite(two)
    assert codec.encode_sqlite({"a": [{"b", "a"}]}) == '{"a":[["a","b"]]}'


def test_canonical_json_is_one_text_for_equal_values() -> None:
    assert canonical_json('{"b": 1.0, "a": [2]}') == canonical_json('{"a":[2.0],"b":1}')
    assert canonical_json("1.5") != canonical_json("1")
    assert canonical_json('"1"') != canonical_json("1")


def test_a_filter_takes_a_model_or_its_fields() -> None:
    converter = column_type(Inner).codec.converter
    assert converter is not None
    assert converter({"number": 3}) == Inner(number=3)
    with pytest.raises(InvalidValue, match="number"):
        converter({"number": "x"})


def test_an_annotation_without_registered_types_stays_the_same() -> None:
    for annotation in (int, list[int], dict[str, int | None], Literal["a"], Annotated[int, Ge(1)],
                       HttpUrl, Any, list, tuple[int, ...]):  # fmt: skip
        assert with_known_types(annotation) is annotation


class Flat(BaseModel):
    text: str


class Holding(BaseModel):
    inside: list["Holding"] = []


def test_what_encodes_many_values_encodes_as_for_one() -> None:
    flat, holding = JsonCodec(Flat), JsonCodec(Holding)

    class More(Flat):
        number: int = 1

    class HoldingMore(Holding):
        number: int = 1

    assert flat.for_many() != flat.encode
    assert flat.for_many()(Flat(text="é\n")) == '{"text":"é\\n"}'
    with pytest.raises(InvalidValue, match="NUL"):
        flat.for_many()(Flat(text="a\0b"))
    with pytest.raises(InvalidValue, match="come back"):
        flat.for_many()(More(text="a"))
    with pytest.raises(InvalidValue, match="come back"):
        holding.for_many()(Holding(inside=[HoldingMore()]))
