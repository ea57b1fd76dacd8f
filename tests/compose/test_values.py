"""Values as text: what comes back exactly, and what is only there to be looked at."""

import json
import logging
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import Path
from typing import Annotated, Any, Generic, Literal, NamedTuple, Optional, TypedDict, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    RootModel,
    SecretStr,
    computed_field,
    field_serializer,
    field_validator,
)

from lythonic_compose.errors import WiringError
from lythonic_compose.fit import adapter_of
from lythonic_compose.signature import MISSING
from lythonic_compose.values import (
    Encoded,
    _codec_of,
    _compiled,
    _with_settings,
    decode,
    decode_named,
    encode,
    json_default,
    safe_json_dumps,
    storable,
)
from lythonic_state import DbModel, JsonBase

T = TypeVar("T")

INF = float("inf")
NAN = float("nan")
DAY = date(2026, 1, 31)


class Colour(Enum):
    RED = "r"
    BLUE = "b"


class Level(IntEnum):
    LOW = 1


class Word(StrEnum):
    YES = "yes"


class Mixed(Enum):
    ONE = 1
    TEXT = "1"


class Access(Flag):
    READ = 1
    WRITE = 2


class Price(BaseModel):
    amount: Decimal
    day: date


class Discount(Price):
    percent: int


class Look(BaseModel):
    amount: Decimal
    day: date


class Deep(BaseModel):
    number: float
    raw: bytes = b""
    anything: Any = None
    renamed: int = Field(0, alias="other name")
    parts: list["Deep"] = []

    @computed_field
    @property
    def twice(self) -> float:
        return self.number * 2


class Own(BaseModel):
    """A model that says in its own way how bytes and infinities are written."""

    model_config = ConfigDict(ser_json_bytes="hex", val_json_bytes="hex", ser_json_inf_nan="null")

    raw: bytes
    number: float


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    day: date
    tags: set[str]

    @computed_field
    @property
    def year(self) -> int:
        return self.day.year


class Open(BaseModel):
    model_config = ConfigDict(extra="allow")

    name: str


class Rounded(BaseModel):
    number: float

    @field_serializer("number")
    def as_whole(self, number: float) -> int:
        return round(number)


class Upper(BaseModel):
    text: str

    @field_validator("text")
    @classmethod
    def upper(cls, text: str) -> str:
        return text.upper()


class Hidden(BaseModel):
    shown: int
    _state: int = PrivateAttr(default=0)


class Login(BaseModel):
    password: SecretStr


class Box(BaseModel, Generic[T]):
    inside: T


class Numbers(RootModel[list[float]]):
    pass


class Book(DbModel["Book"]):
    book_id: int = Field(default=-1, description="(PK)")
    title: str
    printed: date | None = None


class Info(JsonBase):
    size: int


class MoreInfo(Info):
    weight: float


class Shelf(DbModel["Shelf"]):
    shelf_id: int = Field(default=-1, description="(PK)")
    info: Info


@dataclass
class Point:
    x: int
    y: float = 0.0


@dataclass(frozen=True, slots=True)
class Frozen:
    raw: bytes
    points: tuple[Point, ...] = ()


@dataclass
class Counted:
    start: int
    end: int = field(init=False)

    def __post_init__(self) -> None:
        self.end = self.start + 1


@dataclass(eq=False)
class ById:
    x: int


class Row(TypedDict):
    day: date
    number: float


class Pair(NamedTuple):
    left: int
    right: date


def tower(height: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(height):
        made = [made]
    return made


def tree(height: int) -> Deep:
    made = Deep(number=INF)
    for _ in range(height):
        made = Deep(number=1, parts=[made])
    return made


EXACT: list[tuple[Any, Any]] = [
    (1, int),
    ([0, -(10**4299), 10**4299], list[int]),
    (["7" * 9000], list[str]),
    ({"a": "7" * 9000}, Any),
    ("a," + "7" * 9000, str),
    (True, bool),
    (None, None),
    (None, type(None)),
    (INF, float),
    (-0.0, float),
    (5e-324, float),
    ([NAN, -INF, 1.5], list[float]),
    (b"\x00\xff", bytes),
    ([b"\xff"], list[bytes]),
    ("\0 and ü and \U0001f600", str),
    (DAY, date),
    (date.min, date),
    (time(1, 2, 3, 4), time),
    (datetime(2026, 1, 31, 9, 0, 0, 1), datetime),
    (datetime(2026, 1, 31, 9, tzinfo=UTC), datetime),
    (datetime(2026, 1, 31, 9, tzinfo=timezone(timedelta(hours=-3))), AwareDatetime),
    (datetime(2026, 1, 31, 9, tzinfo=ZoneInfo("UTC")), datetime),
    (timedelta(days=-3, microseconds=7), timedelta),
    (timedelta.max, timedelta),
    (Decimal("1.10"), Decimal),
    (Decimal("1E+2"), Decimal),
    (Decimal("-Infinity"), Decimal),
    (Decimal("NaN"), Decimal),
    (UUID(int=7), UUID),
    (Path("a/b"), Path),
    (Colour.RED, Colour),
    (Level.LOW, Level),
    (Word.YES, Word),
    (Mixed.TEXT, Mixed),
    (Mixed.ONE, Mixed),
    (Access.READ | Access.WRITE, Access),
    ("a", Literal["a", "b"]),
    (1, Literal[1, "1"]),
    ((1, "x"), tuple[int, str]),
    ((), tuple[int, ...]),
    ((1, 2), tuple[int, ...]),
    ({1, 2}, set[int]),
    (set(), set[int]),
    (frozenset({(1, "a")}), frozenset[tuple[int, str]]),
    ({DAY: [Price(amount=Decimal("1.10"), day=DAY)]}, dict[date, list[Price]]),
    ({-5: "a", 2**70: "b"}, dict[int, str]),
    ({Colour.BLUE: 1}, dict[Colour, int]),
    ({UUID(int=1): None}, dict[UUID, None]),
    ({True: 1}, dict[bool, int]),
    ({0.5: 1}, dict[float, int]),
    (Point(3, INF), Point),
    ([Frozen(b"\xff", (Point(1),))], list[Frozen]),
    (Counted(3), Counted),
    (ById(3), ById),
    ({"day": DAY, "number": INF}, Row),
    (Pair(1, DAY), Pair),
    ({"a": [1, {"b": None}, [NAN]]}, dict[str, Any]),
    ({"a": 1}, dict),
    ([1, "a", {"b": [INF]}], Any),
    ([1, "a"], MISSING),
    ({"a": 1}, object),
    (1, int | str),
    ("1", int | str),
    (1.0, int | float),
    (None, list[int] | None),
    ([1], list[int] | None),
    (DAY, date | int),
    (3, Annotated[int, Field(gt=1)]),
    (
        Deep.model_validate(
            {
                "number": INF,
                "raw": b"\xff",
                "anything": [-INF, {"a": NAN}],
                "other name": 3,
                "parts": [{"number": NAN}, {"number": 1, "raw": b"\x80"}],
            }
        ),
        Deep,
    ),
    (Own(raw=b"\xff", number=INF), Own),
    (Strict(day=DAY, tags={"a"}), Strict),
    (Open.model_validate({"name": "a", "more": 1}), Open),
    (Upper(text="a"), Upper),
    (Hidden(shown=1), Hidden),
    (Box[date](inside=DAY), Box[date]),
    (Numbers([1.5, INF]), Numbers),
    ({"nested": tower(90)}, dict[str, Any]),
    (tree(40), Deep),
    (Book(title="A", printed=DAY), Book),
    ([Book(book_id=3, title="A")], list[Book]),
    (Shelf(info=MoreInfo(size=1, weight=1.5)), Shelf),
    (OrderedDict(b=1, a=2), OrderedDict[str, int]),
    (deque([1, 2]), deque[int]),
]

LOST: list[tuple[Any, Any]] = [
    ((1, 2), MISSING),
    ([(1, 2)], list[Any]),
    (Discount(amount=Decimal(1), day=DAY, percent=5), Price),
    ([Discount(amount=Decimal(1), day=DAY, percent=5)], list[Price]),
    (Look(amount=Decimal(1), day=DAY), Price | Look),
    ("text", int),
    ([10**4300], list[int]),
    ({"a": [0, 10**4300]}, dict[str, Any]),
    (True, int),
    ([True], list[int]),
    (2**53 + 1, float),
    (Word.YES, str),
    ([Word.YES], list[str]),
    (Level.LOW, int),
    ({1: "one"}, dict[Any, str]),
    ({(1, 2): "one"}, dict[tuple[int, int], str]),
    ({None: 1}, dict[None, int]),
    ({True}, set[int]),
    (Decimal("1.0"), Any),
    (b"ab", Any),
    (datetime(2026, 1, 31, 9, tzinfo=ZoneInfo("Europe/Berlin")), datetime),
    (datetime(2026, 10, 25, 2, 30, fold=1), datetime),
    (datetime(2026, 1, 31, tzinfo=timezone(timedelta(seconds=1))), datetime),
    (datetime(2026, 1, 31), date),
    ("a", Literal["b"]),
    (Rounded(number=1.25), Rounded),
    (Upper.model_construct(text="a"), Upper),
    (Price.model_construct(amount=Decimal(1)), Price),
    (Price.model_construct(amount="1", day=DAY), Price),
    (Login(password=SecretStr("hunter2")), Login),
    ({"day": DAY, "number": 1.0, "more": 1}, Row),
    ({"day": DAY}, Row),
    ([defaultdict(lambda: 7, a=1)], list[defaultdict[str, int]]),
    (tower(150), Any),
    (tower(250), list[Any]),
    (tree(250), Deep),
    ("\ud800", str),
    ({"a": "\ud800"}, dict[str, str]),
]


@pytest.mark.parametrize(("value", "annotation"), EXACT)
def test_a_value_comes_back_exactly_through_its_declared_type(value: Any, annotation: Any) -> None:
    encoded = encode(value, annotation)

    assert encoded.restorable
    back = decode(encoded.text, annotation)
    assert type(back) is type(value)
    assert same(back, value)


@pytest.mark.parametrize(("value", "annotation"), LOST)
def test_what_loses_something_on_the_way_is_kept_but_not_said_to_come_back(
    value: Any, annotation: Any
) -> None:
    encoded = encode(value, annotation)

    assert not encoded.restorable
    json.loads(encoded.text)


def test_long_text_of_digits_is_shown_as_it_is() -> None:
    assert safe_json_dumps([Colour.RED, "7" * 9000]) == f'["r","{"7" * 9000}"]'


def test_a_private_attribute_that_was_set_does_not_come_back() -> None:
    hidden = Hidden(shown=1)
    hidden._state = 5

    assert not encode(hidden, Hidden).restorable


def test_an_int_where_a_float_is_declared_comes_back_as_that_float() -> None:
    encoded = encode([1, 2.5], list[float])

    assert encoded.restorable
    assert [type(number) for number in decode(encoded.text, list[float])] == [float, float]


def same(one: Any, other: Any) -> bool:
    """Equal in value and class all the way down, told apart by nothing that `repr` shows."""
    return type(one) is type(other) and (one == other or flat(one) == flat(other))


def flat(value: Any) -> Any:
    """With each number as its class and text, so that NaN is equal to itself."""
    if isinstance(value, (float, int, Decimal)) and not isinstance(value, Enum):
        return type(value), str(value)
    if isinstance(value, BaseModel):
        extra = flat(value.__pydantic_extra__)
        return type(value), flat({k: getattr(value, k) for k in type(value).model_fields}), extra
    if isinstance(value, dict):
        return type(value), sorted(repr((flat(key), flat(value[key]))) for key in value)
    if isinstance(value, (list, tuple, deque)):
        return type(value), [flat(part) for part in value]
    if isinstance(value, (set, frozenset)):
        return type(value), sorted(repr(flat(part)) for part in value)
    if isinstance(value, (Point, Frozen, ById)):
        names = type(value).__dataclass_fields__
        return type(value), [flat(getattr(value, name)) for name in names]
    if isinstance(value, (datetime, time)):
        return type(value), value.isoformat()
    return type(value), value


# --- generated types with values of them ----------------------------------------------------

HASHABLE: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (int, st.integers()),
    (str, st.text()),
    (bool, st.booleans()),
    (bytes, st.binary()),
    (date, st.dates()),
    (time, st.times().map(lambda value: value.replace(fold=0))),
    (datetime, st.datetimes().map(lambda value: value.replace(fold=0))),
    (AwareDatetime, st.datetimes(timezones=st.just(UTC)).map(lambda value: value.replace(fold=0))),
    (timedelta, st.timedeltas()),
    (Decimal, st.decimals(allow_nan=False)),
    (UUID, st.uuids()),
    (Path, st.just(Path("a/b"))),
    (Colour, st.sampled_from(Colour)),
    (Level, st.sampled_from(Level)),
    (Mixed, st.sampled_from(Mixed)),
    (None, st.none()),
    (int | str | None, st.integers() | st.text() | st.none()),
    (Literal["a", 1, True], st.sampled_from(["a", 1, True])),
]

OTHERS: list[tuple[Any, st.SearchStrategy[Any]]] = [
    (float, st.floats()),
    (float | str, st.floats() | st.text()),
    (
        Any,
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
            max_leaves=5,
        ),
    ),
    (Price, st.builds(Price, amount=st.decimals(allow_nan=False, allow_infinity=False))),
    (Own, st.builds(Own)),
    (
        Deep,
        st.builds(
            lambda number, raw, other: Deep.model_validate(
                {"number": number, "raw": raw, "parts": [{"number": other}]}
            ),
            st.floats(),
            st.binary(),
            st.floats(),
        ),
    ),
    (Book, st.builds(Book, title=st.text())),
    (Point, st.builds(Point, st.integers(), st.floats())),
    (Frozen, st.builds(Frozen, st.binary(), st.just((Point(1, 2.0),)))),
    (Row, st.fixed_dictionaries({"day": st.dates(), "number": st.floats()})),
    (Pair, st.builds(Pair, st.integers(), st.dates())),
]

KEYS = {int, str, date, UUID, Colour}


@st.composite
def typed_values(draw: st.DrawFn) -> tuple[Any, Any]:
    """An annotation, and a value of it."""
    annotation, values = draw(typed(depth=2))
    return annotation, draw(values)


@st.composite
def typed(draw: st.DrawFn, depth: int) -> tuple[Any, st.SearchStrategy[Any]]:
    how = draw(st.sampled_from(["plain", "list", "set", "tuple", "pair", "dict", "optional"]))
    if depth == 0 or how == "plain":
        return draw(st.sampled_from(HASHABLE + OTHERS))
    if how == "set":
        annotation, values = draw(st.sampled_from(HASHABLE))
        kind = draw(st.sampled_from([set, frozenset]))
        # 1 and True are one element
        return kind[annotation], st.lists(values, max_size=3).map(kind)
    annotation, values = draw(typed(depth=depth - 1))
    if how == "list":
        return list[annotation], st.lists(values, max_size=3)
    if how == "tuple":
        return tuple[annotation, ...], st.lists(values, max_size=3).map(tuple)
    if how == "pair":
        other, others = draw(typed(depth=depth - 1))
        return tuple[annotation, other], st.tuples(values, others)
    if how == "dict":
        key, keys = draw(st.sampled_from([one for one in HASHABLE if one[0] in KEYS]))
        return dict[key, annotation], st.dictionaries(keys, values, max_size=3)
    return Optional[annotation], st.none() | values  # noqa: UP045 - None | None is no type


@given(typed_values())
def test_whatever_is_said_to_come_back_does(given_value: tuple[Any, Any]) -> None:
    annotation, value = given_value

    encoded = encode(value, annotation)

    assert encoded.restorable
    assert same(decode(encoded.text, annotation), value)
    assert same(decode_named(encoded), value)


@given(typed_values(), typed_values())
def test_what_is_of_another_type_is_never_wrongly_said_to_come_back(
    one: tuple[Any, Any], other: tuple[Any, Any]
) -> None:
    encoded = encode(one[1], other[0])

    json.loads(encoded.text)
    if encoded.restorable:
        back = decode(encoded.text, other[0])
        assert flat(back) == flat(one[1]) or back == one[1]


# --- what is certain ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (1, int),
        (["a"], list[str]),
        ({"a": {1.5}}, dict[str, set[float]]),
        ([Price(amount=Decimal(1), day=DAY)], list[Price]),
        ((Frozen(b""), {"day": DAY, "number": 1.0}), tuple[Frozen, Row]),
        (Book(title="A"), Book | None),
        ({"a": [1, None]}, Any),
        (Path("a"), Path),
        (datetime(2026, 1, 31, tzinfo=UTC), datetime),
    ],
)
def test_usual_types_are_certain_and_are_not_tried(value: Any, annotation: Any) -> None:
    check = _codec_of(annotation)._surely

    assert check is not None
    assert check(value)


@pytest.mark.parametrize(
    "annotation", [Upper, Rounded, Hidden, Login, Open, Deep, Mixed, Price | Look]
)
def test_types_with_code_of_their_own_are_tried(annotation: Any) -> None:
    assert _codec_of(annotation)._surely is None


def test_pydantic_still_lets_the_settings_of_a_class_be_replaced() -> None:
    adapter = adapter_of(Own)
    assert adapter is not None
    text, back, settled = _compiled(_with_settings(adapter.core_schema))

    assert settled
    assert back.validate_json(text.to_json(Own(raw=b"\xff", number=INF))).number == INF


class Speaking(BaseModel):
    model_config = ConfigDict(frozen=True)
    day: date


def test_what_is_certain_is_not_read_back(monkeypatch: pytest.MonkeyPatch) -> None:
    codec = _codec_of(list[Speaking])
    read: list[str] = []
    monkeypatch.setattr(codec, "value", read.append)

    assert encode([Speaking(day=DAY)] * 100, list[Speaking]).restorable
    assert read == []


# --- what is only shown ---------------------------------------------------------------------


def test_a_subclass_is_kept_with_all_its_fields() -> None:
    encoded = encode(Discount(amount=Decimal(1), day=DAY, percent=5), Price)

    assert json.loads(encoded.text)["percent"] == 5
    assert encoded.type_name == f"{__name__}:Discount"


class Handle:
    def __repr__(self) -> str:
        return "<handle \0\ud800>"


def test_what_cannot_be_serialised_is_kept_as_its_repr_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.WARNING, "lythonic_compose"):
        encoded = encode(Handle(), Handle, "what open returned")

    assert not encoded.restorable
    assert json.loads(encoded.text) == "<handle \\0\\ud800>"
    assert "what open returned cannot be serialised" in caplog.text


def test_only_the_part_that_cannot_be_serialised_is_a_repr(
    caplog: pytest.LogCaptureFixture,
) -> None:
    encoded = encode({"n": 1, "handles": [Handle()]}, dict[str, Any], "it")

    assert json.loads(encoded.text) == {"n": 1, "handles": ["<handle \\0\\ud800>"]}
    assert not encoded.restorable
    assert "it cannot be serialised" in caplog.text


class Nasty:
    def __repr__(self) -> str:
        raise LookupError


def circle() -> list[Any]:
    made: list[Any] = []
    made.append(made)
    return made


@pytest.mark.parametrize("annotation", [MISSING, Any, list[Any], int, list[list[int]], Nasty])
@pytest.mark.parametrize("make", [Nasty, circle, lambda: tower(100_000), lambda: 10**5000])
def test_no_value_makes_it_raise(make: Any, annotation: Any) -> None:
    encoded = encode(make(), annotation, "it")

    json.loads(encoded.text)


def test_a_repr_that_raises_is_named() -> None:
    assert "whose repr raises LookupError" in encode(Nasty(), MISSING, "it").text


@pytest.mark.parametrize(
    ("wrap", "annotation"),
    [
        (lambda it: it, Iterator[int]),
        (lambda it: [it], list[Any]),
        (lambda it: {"a": (1, it)}, dict[str, Any]),
        (lambda it: Box[Any](inside=it), Box[Any]),
        (lambda it: ById(it), ById),
        (lambda it: it, MISSING),
    ],
)
def test_an_iterator_is_not_consumed(wrap: Any, annotation: Any) -> None:
    numbers = (number for number in [1, 2])

    assert not encode(wrap(numbers), annotation, "it").restorable
    assert list(numbers) == [1, 2]


def test_a_secret_is_not_in_the_text() -> None:
    encoded = encode([Login(password=SecretStr("hunter2"))], list[Login])

    assert "hunter2" not in encoded.text
    assert not encoded.restorable


@given(st.text(st.characters()))
def test_any_text_can_be_made_storable(text: str) -> None:
    made = storable(text)

    assert "\0" not in made
    made.encode()


# --- coming back ----------------------------------------------------------------------------


def test_text_of_another_type_is_an_error_that_names_the_type() -> None:
    with pytest.raises(WiringError, match=r"cannot be read back as list\[Price\]"):
        decode('[{"amount": "x"}]', list[Price])


def test_a_type_that_pydantic_cannot_read_is_an_error() -> None:
    class Undefined:
        __get_pydantic_core_schema__ = None

    with pytest.raises(WiringError, match="cannot be read back as"):
        decode("1", Undefined)


@pytest.mark.parametrize(
    ("value", "annotation", "name"),
    [
        (1, int, "builtins:int"),
        (1, int | None, "builtins:int"),
        (None, int | None, "builtins:NoneType"),
        (None, Any, "builtins:NoneType"),
        ([Price(amount=Decimal(1), day=DAY)], list[Price], f"builtins:list[{__name__}:Price]"),
        (Look(amount=Decimal(1), day=DAY), Look | int, f"{__name__}:Look"),
        ([1], Any, "builtins:list"),
        (Path("a"), Path, "pathlib:Path"),
        ("a", Literal["a"], "builtins:str"),
        ([DAY], Annotated[list[date], "days"], "builtins:list[datetime:date]"),
        (Box[date](inside=DAY), Box[date], f"{__name__}:Box[datetime:date]"),
        (3, float, "builtins:float"),
    ],
)
def test_the_name_is_of_the_type_that_brings_it_back(
    value: Any, annotation: Any, name: str
) -> None:
    encoded = encode(value, annotation)

    assert encoded.type_name == name
    assert decode_named(encoded) == value


def test_without_its_type_a_value_is_what_its_json_says() -> None:
    class Local(BaseModel):
        a: int

    gone = Encoded('{"a": 1}', True, "no_such_module:Price")

    assert decode_named(gone) == {"a": 1}
    assert decode_named(encode(Local(a=1), Local)) == {"a": 1}
    assert decode_named(Encoded('{"a": 1}', True, f"{__name__}:Price")) == {"a": 1}
    assert decode_named(encode(Handle(), Handle)) == "<handle \\0\\ud800>"


# --- plain json -----------------------------------------------------------------------------


def test_json_can_be_made_of_what_json_does_not_know() -> None:
    value = {"day": DAY, "price": Price(amount=Decimal("1.5"), day=DAY), "raw": b"\xff", "s": {1}}

    plain = {"day": "2026-01-31", "price": {"amount": "1.5", "day": "2026-01-31"}}
    plain |= {"raw": "_w==", "s": [1]}
    assert json.loads(safe_json_dumps(value)) == plain
    assert json.loads(json.dumps(value, default=json_default)) == plain


def test_what_json_cannot_hold_is_its_repr_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert safe_json_dumps([Handle()]) == '["<handle \\\\0\\\\ud800>"]'
    assert json_default(Handle()) == "<handle \\0\\ud800>"
    assert caplog.text.count("cannot be serialised") == 2
