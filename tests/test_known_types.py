"""Can a program's own types be columns, JSON and text, by one registration?"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import pytest
from pydantic import AnyUrl, Field, HttpUrl, ValidationError

from lythonic_state import (
    KNOWN_TYPES,
    DbModel,
    FilterError,
    InvalidValue,
    RowError,
    SchemaError,
    sum_,
)
from lythonic_state.codecs import column_type
from tests.databases import Database


@dataclass(frozen=True, order=True)
class Celsius:
    degrees: float


class Colour:
    """Not a dataclass and nothing that pydantic knows."""

    def __init__(self, text: str) -> None:
        if not text.startswith("#"):
            raise ValueError("a colour begins with #")
        self.text = text

    def __str__(self) -> str:
        return self.text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Colour) and other.text == self.text

    def __hash__(self) -> int:
        return hash(self.text)


class Bright(Colour):
    pass


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    before = dict(KNOWN_TYPES._types)
    KNOWN_TYPES.register(
        Celsius,
        to_str=lambda value: f"{value.degrees}°",
        from_str=lambda text: Celsius(float(text.removesuffix("°"))),
        to_json=lambda value: value.degrees,
        from_json=Celsius,
        to_db=lambda value: value.degrees,
        from_db=Celsius,
        stored_as=float,
    )
    KNOWN_TYPES.register(Colour)
    KNOWN_TYPES.register(Fraction)
    yield
    KNOWN_TYPES._types.clear()
    KNOWN_TYPES._types.update(before)


def define() -> Any:
    class Reading(DbModel["Reading"]):
        reading_id: int = Field(default=-1, description="(PK)")
        heat: Celsius
        colour: Colour | None = None
        share: Fraction = Fraction(1, 3)
        url: HttpUrl = HttpUrl("https://example.com/a")
        any_url: AnyUrl = AnyUrl("ftp://x/y")
        many: list[Colour] = []
        named: dict[str, Colour | None] = {}

    return Reading


async def test_a_registered_type_is_stored_found_and_sorted(db: Database) -> None:
    reading = define()
    await db.create(reading)
    rows = [
        reading(heat=Celsius(n), colour=Colour(f"#{n}"), many=[Colour("#x")], named={"a": None})
        for n in (30, 4)
    ]
    for row in rows:
        await db(row.save(db.conn))
    assert await db(reading.select(db.conn, order_by="heat")) == rows[::-1]
    assert await db(reading.select(db.conn, colour=Colour("#4"))) == rows[1:]
    assert await db(reading.select(db.conn, gt__heat=Celsius(5))) == rows[:1]
    assert await db(reading.select(db.conn, heat=[Celsius(30), Celsius(1)])) == rows[:1]
    assert await db(reading.select_count(db.conn, url=HttpUrl("https://example.com/a"))) == 2
    stored = await db.execute('SELECT heat, share FROM "Reading" ORDER BY heat')
    assert stored == [(4.0, "1/3"), (30.0, "1/3")]
    with pytest.raises(FilterError, match="compares with Celsius"):
        await db(reading.select(db.conn, heat=30.0))
    with pytest.raises(FilterError, match="has no sum"):
        sum_(reading.heat)


def test_json_goes_as_it_was_registered() -> None:
    reading = define()
    row = reading(heat=Celsius(2), colour=Colour("#1"), many=[Colour("#2")])
    dumped = row.model_dump(mode="json")
    assert (dumped["heat"], dumped["colour"], dumped["many"]) == (2.0, "#1", ["#2"])
    assert reading.model_validate_json(row.model_dump_json()) == row
    assert reading(heat=Celsius(1), colour="#3").colour == Colour("#3")
    with pytest.raises(ValidationError, match="a colour begins with #"):
        reading(heat=Celsius(1), colour="3")
    assert reading.model_json_schema()["properties"]["many"]["items"] == {"type": "string"}


async def test_a_row_that_no_longer_converts_is_a_row_error(db: Database) -> None:
    reading = define()
    await db.create(reading)
    await db(reading(heat=Celsius(1), colour=Colour("#1")).save(db.conn))
    await db.execute('UPDATE "Reading" SET colour = ?', ["red"])
    with pytest.raises(RowError, match=r"Reading\.colour is 'red'"):
        await db(reading.get(db.conn))


async def test_a_value_of_another_type_is_refused(db: Database) -> None:
    reading = define()
    await db.create(reading)
    with pytest.raises(InvalidValue, match=r"Reading\.heat: expected a Celsius"):
        values = {**reading(heat=Celsius(1)).__dict__, "heat": 3}
        await db(reading.construct_trusted(**values).save(db.conn))
    assert await db(reading.select_count(db.conn)) == 0


async def test_a_subclass_is_stored_as_its_base_and_comes_back_as_itself(db: Database) -> None:
    class Lamp(DbModel["Lamp"]):
        lamp_id: int = Field(default=-1, description="(PK)")
        colour: Bright

    await db.create(Lamp)
    lamp = await db(Lamp(colour=Bright("#1")).save(db.conn))
    loaded = await db(Lamp.load_by_id(db.conn, lamp.lamp_id))
    assert type(loaded.colour) is Bright
    assert loaded == lamp
    assert KNOWN_TYPES.get(int) is None


def test_a_type_is_stored_as_a_plain_one_only() -> None:
    with pytest.raises(SchemaError, match="int, bool, float, str or bytes"):
        KNOWN_TYPES.register(Bright, stored_as=list)


def test_a_type_that_nobody_registered_is_told_how() -> None:
    class Unknown:
        pass

    with pytest.raises(SchemaError, match=r"KNOWN_TYPES\.register"):
        column_type(Unknown)
    with pytest.raises(SchemaError, match=r"Wrong\.value: .*KNOWN_TYPES\.register"):
        type("Wrong", (DbModel,), {"__module__": __name__, "__annotations__": {"value": Unknown}})
