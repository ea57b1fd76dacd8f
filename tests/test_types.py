"""Does every row of the type table come back exactly, and compare and sort as in Python?

`KINDS` is the table: for each type a strategy of values, and what the database may do with them.
Each property runs on SQLite and PostgreSQL, with fresh values in one table per type.
"""

import decimal
import math
import operator
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, IntEnum
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NaiveDatetime
from typing_extensions import TypedDict

import lythonic_state
from lythonic_state import (
    KNOWN_TYPES,
    DbModel,
    FilterError,
    InvalidValue,
    JsonBase,
    RowError,
    Schema,
)
from tests.databases import Database

# --- the types ------------------------------------------------------------------------------


class Colour(Enum):
    RED = "red"
    QUOTED = 'it\'s "odd" \\ %s ?'
    EMPTY = ""


class Level(IntEnum):
    LOW = -1
    HIGH = 10


class Size(str, Enum):  # noqa: UP042  # StrEnum is another type
    SMALL = "s"
    LARGE = "l"


class Point(BaseModel):
    x: int
    name: str = ""


class Circle(BaseModel):
    radius: float


class Shape(JsonBase):
    name: str


class Square(Shape):
    side: int


@dataclass
class Pair:
    left: int
    right: str


class Movie(TypedDict):
    title: str
    year: int


class Version:
    """A type of the user's own, registered below."""

    def __init__(self, text: str) -> None:
        self.parts = tuple(int(part) for part in text.split("."))

    def __str__(self) -> str:
        return ".".join(map(str, self.parts))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Version) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)


KNOWN_TYPES.register(Version)

TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
INT64 = st.integers(-(2**63), 2**63 - 1)
FLOAT = st.floats(allow_nan=False)
OFFSETS = st.timedeltas(timedelta(hours=-14), timedelta(hours=14)).map(timezone)
AWARE = st.datetimes(
    datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.one_of(st.just(UTC), OFFSETS)
)
CENT = st.integers(-(10**18) + 1, 10**18 - 1).map(lambda cents: Decimal(cents).scaleb(-2))
DECIMAL = st.decimals(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [Decimal("1E+3000"), Decimal("-1E-3000"), Decimal("1.50"), Decimal("-0"), Decimal("1E+2")]
)
INTERVAL = st.timedeltas(timedelta(days=-106_000_000), timedelta(days=106_000_000))
JSON_SCALAR = st.none() | st.booleans() | st.integers() | FLOAT | TEXT
POINT = st.builds(Point, x=st.integers(), name=TEXT)
PATH_PART = st.text(
    st.characters(exclude_characters="\0/", exclude_categories=["Cs"]), min_size=1, max_size=4
).filter(lambda part: set(part) != {"."})


@dataclass(frozen=True)
class Kind:
    """One row of the type table: the annotation, its values, and how they may be compared."""

    annotation: Any
    values: st.SearchStrategy[Any]
    order: bool = True
    key: Callable[[Any], Any] | None = None
    """What Python compares by, where the values themselves have no order."""


KINDS: dict[str, Kind] = {
    "int": Kind(int, INT64),
    "bool": Kind(bool, st.booleans()),
    "float": Kind(float, FLOAT),
    "str": Kind(str, TEXT),
    "bytes": Kind(bytes, st.binary(max_size=12)),
    "aware": Kind(AwareDatetime, AWARE),
    "naive": Kind(NaiveDatetime, st.datetimes()),
    "plain": Kind(datetime, AWARE),
    "date": Kind(date, st.dates()),
    "time": Kind(time, st.times()),
    "timedelta": Kind(timedelta, INTERVAL),
    "scaled": Kind(Annotated[Decimal, Field(max_digits=18, decimal_places=2)], CENT),
    "decimal": Kind(Decimal, DECIMAL, order=False),
    "uuid": Kind(UUID, st.uuids()),
    "path": Kind(Path, st.lists(PATH_PART, min_size=1, max_size=3).map(lambda p: Path(*p))),
    "enum": Kind(Colour, st.sampled_from(Colour), key=lambda value: value.value),
    "int_enum": Kind(Level, st.sampled_from(Level)),
    "str_enum": Kind(Size, st.sampled_from(Size)),
    "literal_str": Kind(Literal["a", "it's", ""], st.sampled_from(["a", "it's", ""])),
    "literal_int": Kind(Literal[1, -5], st.sampled_from([1, -5])),
    "literal_bool": Kind(Literal[True], st.just(True)),
    "literal_enum": Kind(
        Literal[Colour.RED, Colour.EMPTY],
        st.sampled_from([Colour.RED, Colour.EMPTY]),
        key=lambda value: value.value,
    ),
    "model": Kind(Point, POINT, order=False),
    "json_base": Kind(
        Shape,
        st.builds(Shape, name=TEXT) | st.builds(Square, name=TEXT, side=st.integers()),
        order=False,
    ),
    "dataclass": Kind(Pair, st.builds(Pair, st.integers(), TEXT), order=False),
    "typed_dict": Kind(
        Movie, st.fixed_dictionaries({"title": TEXT, "year": st.integers()}), order=False
    ),
    "list": Kind(list[int], st.lists(st.integers(), max_size=4), order=False),
    "list_any": Kind(list, st.lists(JSON_SCALAR, max_size=4), order=False),
    "list_bytes": Kind(list[bytes], st.lists(st.binary(max_size=4), max_size=3), order=False),
    "list_float": Kind(list[float], st.lists(FLOAT, max_size=3), order=False),
    "dict": Kind(
        dict[str, Any],
        st.dictionaries(TEXT, JSON_SCALAR.filter(lambda v: v not in (math.inf, -math.inf))),
        order=False,
    ),
    "dict_int": Kind(dict[int, date], st.dictionaries(st.integers(), st.dates()), order=False),
    "tuple": Kind(
        tuple[int, str, Decimal],
        st.tuples(st.integers(), TEXT, DECIMAL.filter(lambda d: abs(d.adjusted()) < 100)),
        order=False,
    ),
    "set": Kind(set[str], st.sets(TEXT, max_size=4), order=False),
    "nested_set": Kind(
        dict[str, frozenset[str]], st.dictionaries(TEXT, st.frozensets(TEXT)), order=False
    ),
    "union": Kind(
        Point | Circle,
        POINT | st.builds(Circle, radius=FLOAT.filter(math.isfinite)),
        order=False,
    ),
    "known": Kind(
        Version,
        st.lists(st.integers(0, 99), min_size=1, max_size=3).map(
            lambda parts: Version(".".join(map(str, parts)))
        ),
        key=str,
    ),
}


@cache
def model_of(kind: str) -> Any:
    """A model with a column of this type and one that may be None."""
    annotation = KINDS[kind].annotation
    return type(
        f"Row_{kind}",
        (DbModel,),
        {
            "__module__": __name__,
            "__annotations__": {
                "row_id": int,
                "value": annotation,
                "maybe": annotation | None,
            },
            "row_id": Field(default=-1, description="(PK)"),
            "maybe": None,
        },
    )


@pytest.fixture
async def tables(sync_db: Database) -> Database:
    await sync_db.create(*(model_of(kind) for kind in KINDS))
    return sync_db


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def conn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterable[Any]:
    """A connection to a database that has a table for each type, for many examples."""
    url = f"sqlite:///{tmp_path_factory.mktemp('types') / 'types.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("pg_database").url
    with lythonic_state.open_db(url) as opened:
        Schema([model_of(kind) for kind in KINDS]).create_tables(opened)
        opened.commit()
        yield opened
        opened.rollback()


@contextmanager
def empty(conn: Any, model: Any) -> Iterable[None]:
    """The table without rows, for the rows of one example."""
    model.delete(conn, all_rows=True)
    yield
    conn.rollback()


def exact_type(value: Any) -> Any:
    """The type of a value and of what is in it; time zones come back as UTC."""
    if isinstance(value, dict):
        return dict, {key: exact_type(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value), [exact_type(item) for item in value]
    if isinstance(value, BaseModel):
        return type(value), exact_type(value.__dict__)
    return type(value)


property_settings = settings(max_examples=15)
every_kind = pytest.mark.parametrize("kind", KINDS)
ordered_kinds = pytest.mark.parametrize("kind", [k for k, v in KINDS.items() if v.order])

# --- properties -----------------------------------------------------------------------------


@every_kind
def test_a_value_comes_back_equal_and_of_its_type(conn: Any, kind: str) -> None:
    model = model_of(kind)

    @given(value=KINDS[kind].values, maybe=st.none() | KINDS[kind].values)
    @property_settings
    def check(value: Any, maybe: Any) -> None:
        with empty(conn, model):
            row = model(value=value, maybe=maybe).save(conn)
            for loaded in (model.load_by_id(conn, row.row_id), *model.select(conn)):
                assert loaded == row
                assert loaded.value == value
                assert loaded.maybe == maybe
                assert exact_type(loaded.value) == exact_type(row.value)
                assert exact_type(loaded.maybe) == exact_type(row.maybe)

    check()


@every_kind
def test_equality_finds_what_python_finds_equal(conn: Any, kind: str) -> None:
    model = model_of(kind)
    values = KINDS[kind].values

    @given(st.lists(values, min_size=1, max_size=5), st.data())
    @property_settings
    def check(stored: list[Any], data: st.DataObject) -> None:
        wanted = data.draw(values | st.sampled_from(stored))
        with empty(conn, model):
            rows = [model(value=value, maybe=value) for value in stored]
            rows.append(model(value=wanted, maybe=None))
            model.insert_many(conn, rows)
            equal = [row.row_id for row in rows if row.value == wanted]
            other = [row.row_id for row in rows[:-1] if row.value != wanted]

            def ids(*where: Any, **filters: Any) -> list[int]:
                return [r.row_id for r in model.select(conn, *where, order_by="row_id", **filters)]

            assert ids(value=wanted) == ids(model.value == wanted) == equal
            assert ids(ne__maybe=wanted) == ids(model.maybe != wanted) == other
            assert ids(maybe=None) == [rows[-1].row_id]

    check()


@ordered_kinds
def test_sql_sorts_as_python_does(conn: Any, kind: str) -> None:
    model = model_of(kind)
    key = KINDS[kind].key or (lambda value: value)

    @given(st.lists(st.none() | KINDS[kind].values, max_size=8))
    @property_settings
    def check(stored: list[Any]) -> None:
        present = sorted((v for v in stored if v is not None), key=key)
        missing: list[Any] = [None] * (len(stored) - len(present))
        some = present[0] if present else None
        with empty(conn, model):
            if some is None:
                return
            model.insert_many(conn, [model(value=some, maybe=value) for value in stored])

            def sorted_by(order: Any) -> list[Any]:
                return [row.maybe for row in model.select(conn, order_by=order)]

            assert sorted_by("maybe") == missing + present
            assert sorted_by(model.maybe.desc()) == present[::-1] + missing

    check()


@ordered_kinds
def test_comparisons_agree_with_python(conn: Any, kind: str) -> None:
    model = model_of(kind)
    values = KINDS[kind].values
    key = KINDS[kind].key or (lambda value: value)

    @given(st.lists(values, min_size=1, max_size=5), st.data())
    @property_settings
    def check(stored: list[Any], data: st.DataObject) -> None:
        low = data.draw(values | st.sampled_from(stored))
        high = data.draw(values | st.sampled_from(stored))
        with empty(conn, model):
            rows = [model(value=value, maybe=value) for value in stored]
            model.insert_many(conn, rows)
            model(value=low).save(conn)

            def ids(*where: Any, **filters: Any) -> set[int]:
                return {row.row_id for row in model.select(conn, *where, **filters)}

            for name in ("gt", "lt", "gte", "lte"):
                compare = getattr(operator, {"gte": "ge", "lte": "le"}.get(name, name))
                expected = {row.row_id for row in rows if compare(key(row.value), key(low))}
                assert ids(**{f"{name}__maybe": low}) == expected
                assert ids(compare(model.maybe, low)) == expected
            assert ids(between__maybe=(low, high)) == {
                row.row_id for row in rows if key(low) <= key(row.value) <= key(high)
            }

    check()


@pytest.mark.parametrize("kind", [name for name, kind in KINDS.items() if not kind.order])
def test_a_type_without_order_says_so_and_names_the_mend(conn: Any, kind: str) -> None:
    model = model_of(kind)
    mend = "decimal_places" if kind == "decimal" else r"path inside"
    wrong: list[Callable[[], Any]] = [
        lambda: model.select(conn, order_by="value"),
        lambda: model.select(conn, order_by=model.value.desc()),
        lambda: lythonic_state.select_columns(conn, lythonic_state.max_(model.value)),
    ]
    for call in wrong:
        with pytest.raises(FilterError, match=mend):
            call()


async def test_one_row_of_every_type_comes_back_in_every_colour(db: Database) -> None:
    class Everything(DbModel["Everything"]):
        row_id: int = Field(default=-1, description="(PK)")
        integer: int = -(2**63)
        truth: bool = True
        number: float = -0.1
        text: str = "ß İ 😀 'quoted' \\ %s ? \x01"
        raw: bytes = b"\x00\xff"
        aware: AwareDatetime = datetime(2026, 1, 31, 10, tzinfo=timezone(timedelta(hours=1)))
        naive: NaiveDatetime = datetime.max
        plain: datetime = datetime(1, 1, 1, tzinfo=UTC)
        day: date = date.min
        hour: time = time.max
        span: timedelta = timedelta(days=-3, microseconds=1)
        cents: Decimal = Field(default=Decimal("-0.01"), max_digits=18, decimal_places=2)
        exact: Decimal = Decimal("1E-50")
        uuid: UUID = UUID(int=2**128 - 1)
        path: Path = Path("/a/b c")
        colour: Colour = Colour.QUOTED
        level: Level = Level.LOW
        size: Size = Size.LARGE
        literal: Literal["it's", "b"] = "it's"
        maybe: Literal[1, None] = None
        point: Point = Point(x=2**70)
        shape: Shape = Square(name="s", side=2)
        pair: Pair = Pair(1, "x")
        movie: Movie = {"title": "M", "year": 1931}
        numbers: list[int] = [3, 1]
        anything: dict[str, Any] = {"a": [1, 1.5, None, True, "x", 1e300]}
        both: tuple[int, str] = (1, "a")
        some: set[int] = {3, 1, 2}
        either: Point | Circle = Circle(radius=2)
        version: Version = Version("1.2.3")
        optional: UUID | None = None

    await db.create(Everything)
    row = await db(Everything().save(db.conn))
    loaded = await db(Everything.load_by_id(db.conn, row.row_id))
    assert loaded == row
    assert {name: type(v) for name, v in loaded.__dict__.items()} == {
        name: type(v) for name, v in row.__dict__.items()
    }
    assert loaded.aware.tzinfo is UTC

    many = [Everything() for _ in range(100)]  # so many are a COPY on PostgreSQL
    assert await db(Everything.insert_many(db.conn, many)) == 100
    found = await db(Everything.select(db.conn, order_by="row_id"))
    assert found == [row, *many]


# --- extremes -------------------------------------------------------------------------------


def model_with(annotation: Any, **more: Any) -> Any:
    """A model `Thing` with one column `value` of this type."""
    return type(
        "Thing",
        (DbModel,),
        {
            "__module__": __name__,
            "__annotations__": {"thing_id": int, "value": annotation},
            "thing_id": Field(default=-1, description="(PK)"),
            **more,
        },
    )


class OpenBytes(BaseModel):
    raw: bytes


class ClosedBytes(BaseModel):
    model_config = ConfigDict(
        ser_json_bytes="base64", val_json_bytes="base64", ser_json_inf_nan="strings"
    )
    raw: bytes = b""
    number: float = 0.0


class OpenFloat(BaseModel):
    number: float


class WithAlias(BaseModel):
    inner: int = Field(alias="theInner")
    other: str = Field(default="", serialization_alias="somethingElse")


class WithExcluded(BaseModel):
    shown: int = 1
    hidden: int = Field(default=2, exclude=True)


class SpecialPoint(Point):
    extra: int = 0


LMT = timezone(timedelta(minutes=53, seconds=28))

EXACT: dict[str, tuple[Any, Any]] = {
    "int64 low": (int, -(2**63)),
    "int64 high": (int, 2**63 - 1),
    "infinity": (float, math.inf),
    "minus infinity": (float, -math.inf),
    "negative zero": (float, -0.0),
    "smallest float": (float, 5e-324),
    "largest float": (float, 1.7976931348623157e308),
    "infinity in a list": (list[float], [math.inf, -math.inf, 1.0]),
    "infinity in a model that names it": (ClosedBytes, ClosedBytes(number=-math.inf)),
    "large floats without a type": (dict[str, Any], {"a": 1e16, "b": [1e300, -1e22], "c": 1.0}),
    "big integers in JSON": (list[int], [2**200, -(2**64)]),
    "text like an exponent": (list, ['1e5 "1e6"', 1e20]),
    "empty text": (str, ""),
    "odd characters": (str, "\x01\x7f\u2028\ufeff\U0010ffff"),
    "datetime.min": (NaiveDatetime, datetime.min),
    "datetime.max": (NaiveDatetime, datetime.max),
    "aware near the beginning": (AwareDatetime, datetime.min.replace(tzinfo=UTC)),
    "aware near the end": (AwareDatetime, datetime.max.replace(tzinfo=UTC)),
    "a time zone of seconds": (AwareDatetime, datetime(1890, 1, 1, tzinfo=LMT)),
    "date.max": (date, date.max),
    "time.max": (time, time.max),
    "timedelta micro": (timedelta, -timedelta(microseconds=1)),
    "huge exponent": (Decimal, Decimal("1E+5000")),
    "tiny exponent": (Decimal, Decimal("-1E-5000")),
    "many digits": (Decimal, Decimal("9" * 400 + "." + "1" * 400)),
    "decimal zero": (Decimal, Decimal("-0.00")),
    "18 digits": (
        Annotated[Decimal, Field(max_digits=18, decimal_places=0)],
        Decimal(10**18 - 1),
    ),
    "empty list": (list[int], []),
    "empty dict": (dict[str, int], {}),
    "empty set": (set[int], set()),
    "empty tuple": (tuple[int, ...], ()),
    "empty bytes": (bytes, b""),
    "bytes in a list": (list[bytes], [b"\xff\x00", b"abc"]),
    "bytes in a model that encodes them": (ClosedBytes, ClosedBytes(raw=b"\xff\x00")),
    "utf-8 bytes in a model": (OpenBytes, OpenBytes(raw="ß".encode())),
    "sets in a dict": (dict[str, set[int]], {"a": {3, 1}, "b": set()}),
    "an aliased field": (WithAlias, WithAlias(theInner=1, other="x")),
    "odd keys": (dict[str, int], {"": 1, '"': 2, "\\": 3, "a.b": 4, "\n": 5, "ß": 6}),
    "a path of odd characters": (Path, Path("/tmp/ä b/%s/'x'")),
}

REFUSED: dict[str, tuple[Any, Any, str]] = {
    "int above 64 bits": (int, 2**63, "64-bit"),
    "int below 64 bits": (int, -(2**63) - 1, "64-bit"),
    "NaN": (float, math.nan, "NaN"),
    "NaN in a list": (list[float], [math.nan], "NaN"),
    "infinity without a type": (dict[str, Any], {"a": math.inf}, "does not come back"),
    "infinity in a model": (OpenFloat, OpenFloat(number=math.inf), "ser_json_inf_nan"),
    "NUL in text": (str, "a\0b", "NUL"),
    "NUL in a list": (list[str], ["a\0b"], "NUL"),
    "NUL in a key": (dict[str, int], {"\0": 1}, "NUL"),
    "NUL in a model": (Point, Point(x=1, name="\0"), "NUL"),
    "a surrogate": (str, "\ud800", "surrogate"),
    "a surrogate in a list": (list[str], ["\ud800"], "surrogate"),
    "bytes in a model": (OpenBytes, OpenBytes(raw=b"\xff"), "ser_json_bytes"),
    "a field left out": (WithExcluded, WithExcluded(hidden=7), "does not come back"),
    "a subclass": (Point, SpecialPoint(x=1, extra=5), "does not come back"),
    "a nested subclass": (list[Point], [SpecialPoint(x=1, extra=5)], "does not come back"),
    "tuple keys": (dict[tuple[int, int], str], {(1, 2): "a"}, "does not come back"),
    "a tuple without a type": (list, [(1, 2)], "does not come back"),
    "odd offset in JSON": (list[datetime], [datetime(1890, 1, 1, tzinfo=LMT)], "come back"),
    "aware out of range": (
        AwareDatetime,
        datetime.max.replace(tzinfo=timezone(-timedelta(hours=5))),
        "UTC",
    ),
    "timedelta.max": (timedelta, timedelta.max, "64 bits"),
    "timedelta.min": (timedelta, timedelta.min, "64 bits"),
}


@pytest.mark.parametrize("name", EXACT)
async def test_an_extreme_value_comes_back_exactly(sync_db: Database, name: str) -> None:
    annotation, value = EXACT[name]
    thing = model_with(annotation)
    await sync_db.create(thing)
    row = thing(value=value).save(sync_db.conn)
    loaded = thing.load_by_id(sync_db.conn, row.thing_id)
    assert loaded.value == value
    assert exact_type(loaded.value) == exact_type(row.value)


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_kept_is_refused_and_nothing_changes(
    sync_db: Database, name: str
) -> None:
    annotation, value, reason = REFUSED[name]
    thing = model_with(annotation)
    await sync_db.create(thing)
    row = thing.construct_trusted(thing_id=-1, value=value)
    with lythonic_state.count_statements(sync_db.conn) as counted:
        for verb in (row.save, row.insert):
            with pytest.raises(InvalidValue, match=reason) as caught:
                verb(sync_db.conn)
            assert "Thing.value" in str(caught.value)
    assert counted.count == 0
    with pytest.raises(InvalidValue, match=reason) as caught:
        thing.insert_many(sync_db.conn, [row])
    assert "Thing.value" in str(caught.value)
    assert row.thing_id == -1
    assert thing.select_count(sync_db.conn) == 0


async def test_a_decimal_beyond_numeric_is_refused_on_postgres(sync_db: Database) -> None:
    thing = model_with(Decimal)
    await sync_db.create(thing)
    for value in (Decimal("1E+131072"), Decimal("1E-16384")):
        row = thing(value=value)
        if sync_db.dialect == "postgres":
            with pytest.raises(InvalidValue, match=r"Thing\.value.*NUMERIC"):
                row.save(sync_db.conn)
        else:
            row.save(sync_db.conn)
            assert thing.get(sync_db.conn, value=value).value == value


async def test_a_naive_value_of_a_plain_datetime_is_refused_on_postgres(
    sync_db: Database,
) -> None:
    thing = model_with(datetime)
    await sync_db.create(thing)
    naive = thing(value=datetime(2026, 1, 31, 9))
    if sync_db.dialect == "postgres":
        with pytest.raises(InvalidValue, match=r"Thing\.value.*NaiveDatetime"):
            naive.save(sync_db.conn)
    else:
        naive.save(sync_db.conn)
        assert thing.get(sync_db.conn) == naive
        thing(value=datetime(2026, 1, 31, 9, tzinfo=UTC)).save(sync_db.conn)
        assert thing.get(sync_db.conn, value=datetime(2026, 1, 31, 9)) == naive


async def test_times_are_text_of_one_width_on_sqlite(sync_db: Database) -> None:
    if sync_db.dialect == "postgres":
        return
    aware, naive = model_with(AwareDatetime), model_with(NaiveDatetime)
    naive = type("NaiveThing", (naive,), {"__module__": __name__}, table="NaiveThing")
    await sync_db.create(aware, naive)
    aware(value=datetime(2026, 1, 31, 10, tzinfo=timezone(timedelta(hours=1)))).save(sync_db.conn)
    naive(value=datetime(2026, 1, 31, 9)).save(sync_db.conn)
    assert await sync_db.execute('SELECT value FROM "Thing"') == [("2026-01-31T09:00:00.000000Z",)]
    assert await sync_db.execute('SELECT value FROM "NaiveThing"') == [
        ("2026-01-31T09:00:00.000000",)
    ]


async def test_decimals_do_not_depend_on_the_users_context(sync_db: Database) -> None:
    thing = model_with(Annotated[Decimal, Field(max_digits=18, decimal_places=4)])
    await sync_db.create(thing)
    exact = Decimal("12345678901234.5678")
    with decimal.localcontext(decimal.Context(prec=3)):
        thing(value=exact).save(sync_db.conn)
        assert thing.get(sync_db.conn, value=exact).value == exact


async def test_scaled_decimals_sum_exactly(sync_db: Database) -> None:
    thing = model_with(Annotated[Decimal, Field(max_digits=10, decimal_places=2)])
    await sync_db.create(thing)
    thing.insert_many(sync_db.conn, [thing(value=Decimal("0.10")) for _ in range(10)])
    sums = lythonic_state.select_columns(
        sync_db.conn, lythonic_state.sum_(thing.value), lythonic_state.max_(thing.value)
    )
    assert sums == [(Decimal("1.00"), Decimal("0.10"))]


async def test_a_value_that_its_field_no_longer_accepts_is_a_row_error(sync_db: Database) -> None:
    thing = model_with(Literal["a", "b"])
    narrower = type(
        "Thing",
        (DbModel,),
        {
            "__module__": __name__,
            "__annotations__": {"thing_id": int, "value": Literal["a"]},
            "thing_id": Field(default=-1, description="(PK)"),
        },
    )
    await sync_db.create(thing)
    row = thing(value="b").save(sync_db.conn)
    with pytest.raises(RowError, match=r"Thing\.value is 'b'") as caught:
        narrower.select(sync_db.conn)
    assert (caught.value.table, caught.value.key) == ("Thing", row.thing_id)
    assert (caught.value.column, caught.value.value) == ("value", "b")


async def test_the_database_itself_refuses_what_is_no_member(sync_db: Database) -> None:
    thing = model_with(Colour)
    await sync_db.create(thing)
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError), match=r"(?i)check"):
        await sync_db.execute('INSERT INTO "Thing" (thing_id, value) VALUES (1, ?)', ["blue"])
