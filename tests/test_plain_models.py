"""Models that readers make without the validator are those that it would have made."""

from __future__ import annotations

import sqlite3
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    NaiveDatetime,
    PrivateAttr,
    field_validator,
    model_validator,
)

from lythonic_state import DbModel, PrimaryKey, RowError, Transient, rows
from lythonic_state.plain_models import plain_model
from lythonic_state.rows import joined_reader
from lythonic_state.table import table_of


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1
    HIGH = 2


class Place(BaseModel):
    city: str
    number: int = 1


class Everything(DbModel):
    key: Annotated[int, PrimaryKey()] = -1
    text: Annotated[str, Field(min_length=1, max_length=5)]
    number: Annotated[int, Field(ge=0, lt=10)] = 0
    ratio: float | None = None
    flag: bool = False
    raw: bytes = b""
    kind: Literal["a", "b"] = "a"
    colour: Colour | None = None
    level: Level = Level.LOW
    at: AwareDatetime
    local: NaiveDatetime | None = None
    day: date | None = None
    hour: time | None = None
    span: timedelta | None = None
    price: Decimal | None = None
    id: UUID | None = None
    place: Place | None = None
    tags: list[str] = Field(default_factory=list)
    scores: dict[str, list[float]] = Field(default_factory=dict)
    note: Annotated[str | None, Transient()] = None
    count: Annotated[int, Transient()] = 3
    others: Annotated[list[int], Transient()] = Field(default_factory=list[int])
    seen: Annotated[set[int], Transient()] = Field(default_factory=set)


FULL = (1, "text", 3, 0.5, 1, b"x", "b", "red", 2, "2026-01-31T12:00:00.000000Z",
        "2026-01-31T12:00:00.000000", "2026-01-31", "12:30:00.000000", 60_000_000, "1.50",
        "12345678-1234-5678-1234-567812345678", '{"city": "Ulm"}', '["x", "y"]',
        '{"a": [1.5]}')  # fmt: skip
EMPTY = (2, "a", 0, None, 0, b"", "a", None, 1, "2026-01-31T12:00:00.000000Z",
         None, None, None, None, None, None, None, "[]", "{}")  # fmt: skip


def readers(model: type[BaseModel], monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    """One that makes instances itself, and one that asks the validator."""
    table = table_of(model)
    assert plain_model(table) is not None
    quick = joined_reader([(table, False)])
    with monkeypatch.context() as patch:
        patch.setattr(rows, "plain_model", lambda table: None)
        slow = joined_reader([(table, False)])
    return quick, slow


def test_an_instance_is_what_the_validator_makes(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, slow = readers(Everything, monkeypatch)

    for mine, its in zip(quick([FULL, EMPTY]), slow([FULL, EMPTY]), strict=True):
        assert mine == its
        assert type(mine) is type(its)
        assert list(vars(mine).items()) == list(vars(its).items())
        assert [type(value) for value in vars(mine).values()] == [
            type(value) for value in vars(its).values()
        ]
        assert mine.model_fields_set == its.model_fields_set
        assert (mine.__pydantic_extra__, mine.__pydantic_private__) == (None, None)
        assert mine.model_dump_json() == its.model_dump_json()
        mine.text = "other"
        with pytest.raises(ValueError, match="at most 5"):
            mine.text = "too long"


def test_instances_share_nothing_that_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    quick, _ = readers(Everything, monkeypatch)
    one, other = quick([EMPTY, EMPTY])

    one.others.append(1)
    one.seen.add(1)
    one.note = "set"
    assert (other.others, other.seen, other.note) == ([], set(), None)
    assert "note" not in other.model_fields_set


ODD: dict[str, Any] = {
    "text": ["", "longer", 7, b"x"],
    "number": [-1, 10, 2.0, 2.5, "3", True],
    "ratio": [1, "0.5", "x", float("inf"), True],
    "flag": [True, 2, "yes", "1", 1.0, "maybe"],
    "raw": ["text", 1],
    "kind": ["c", 1, b"a"],
    "colour": ["green", 1],
    "level": [3, "1", 1.0, True],
    "at": ["2026-01-31T12:00:00", "2026-01-31T12:00:00+01:00", "soon", 5],
    "local": ["2026-01-31T12:00:00Z", "soon"],
    "day": ["2026-01-31T00:00:00", "soon", datetime(2026, 1, 31)],
    "hour": ["25:00"],
    "price": ["NaN", "x", 1],
    "id": ["x", 5],
    "place": ['{"city": 1}', "x", '{"city": "Ulm", "number": "2"}'],
    "tags": ['"x"', "[1]"],
    "scores": ['{"a": 1}'],
}


@pytest.mark.parametrize(
    ("field", "value"), [(field, value) for field, values in ODD.items() for value in values]
)
def test_any_other_value_is_the_validators(
    field: str, value: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    quick, slow = readers(Everything, monkeypatch)
    at = [column.field for column in table_of(Everything).columns].index(field)
    row = (*FULL[:at], value, *FULL[at + 1 :])

    def read(reader: Any) -> Any:
        try:
            return reader([row])
        except RowError as error:
            return str(error), error.column

    assert read(quick) == read(slow)


class Watchful(DbModel):
    key: Annotated[int, PrimaryKey()] = -1
    text: str = ""

    @field_validator("text")
    @classmethod
    def louder(cls, text: str) -> str:
        return text.upper()


class Whole(DbModel):
    key: Annotated[int, PrimaryKey()] = -1

    @model_validator(mode="after")
    def look(self) -> Whole:
        return self


class Private(DbModel):
    key: Annotated[int, PrimaryKey()] = -1
    _seen: int = PrivateAttr(default=0)


class Initial(DbModel):
    key: Annotated[int, PrimaryKey()] = -1

    def __init__(self, **values: Any) -> None:
        super().__init__(**values)


class After(DbModel):
    key: Annotated[int, PrimaryKey()] = -1

    def model_post_init(self, context: Any, /) -> None:
        pass


class Noted(DbModel):
    key: Annotated[int, PrimaryKey()] = -1
    text: Annotated[str, AfterValidator(str.upper)] = ""


class Stripped(DbModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    key: Annotated[int, PrimaryKey()] = -1
    text: str = ""


class Open(DbModel):
    model_config = ConfigDict(extra="allow")
    key: Annotated[int, PrimaryKey()] = -1


class Few(DbModel):
    key: Annotated[int, PrimaryKey()] = -1
    tags: Annotated[list[str], Field(max_length=1)] = Field(default_factory=list)


@pytest.mark.parametrize(
    "model", [Watchful, Whole, Private, Initial, After, Noted, Stripped, Open, Few]
)
def test_a_model_that_says_more_is_made_by_its_validator(model: type[BaseModel]) -> None:
    assert plain_model(table_of(model)) is None


def test_a_reader_is_generated_for_many_rows_only() -> None:
    class Item(DbModel):
        key: Annotated[int, PrimaryKey()] = -1

    conn = sqlite3.connect(":memory:")
    conn.execute('CREATE TABLE "Item" (key INTEGER PRIMARY KEY)')
    conn.executemany('INSERT INTO "Item" VALUES (?)', [(number,) for number in range(60)])
    found = Item.select(conn, order_by="key")
    assert "generated reader" not in table_of(Item).cache
    assert Item.select(conn, order_by="key") == found
    assert "generated reader" in table_of(Item).cache
    conn.close()
