"""Do bulk verbs keep what was pending, chunk, and mix keys that are given and new?"""

import uuid
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import Field

from lythonic_state import (
    ConstraintViolation,
    DbModel,
    FilterError,
    InvalidValue,
    PrimaryKey,
)
from tests.databases import Database


class Reading(DbModel["Reading"]):
    reading_id: int = Field(default=-1, description="(PK)")
    sensor: str = Field(description="(AK)")
    value: int | None = None


class Other(DbModel["Other"]):
    other_id: int = Field(default=-1, description="(PK)")


class Seat(DbModel["Seat"]):
    hall: Annotated[str, PrimaryKey()]
    number: Annotated[int, PrimaryKey()]
    taken: bool = False


class Ticket(DbModel["Ticket"]):
    ticket_id: uuid.UUID = Field(default_factory=uuid.uuid4, description="(PK)")


class Note(DbModel["Note"]):
    text: str


def readings(*sensors: str, **more: Any) -> list[Reading]:
    return [Reading(sensor=sensor, **more) for sensor in sensors]


async def stored(db: Database) -> list[tuple[Any, ...]]:
    return await db.execute('SELECT reading_id, sensor, value FROM "Reading" ORDER BY reading_id')


VERBS: dict[str, Callable[[Any, Any], Any]] = {
    "insert_many": Reading.insert_many,
    "save_many": Reading.save_many,
    "upsert_many": Reading.upsert_many,
}


@pytest.mark.parametrize("verb", VERBS)
async def test_what_is_no_row_or_no_iterable_is_refused(db: Database, verb: str) -> None:
    await db.create(Reading)
    rows = readings("a")
    for wrong in (Other(), {"sensor": "b"}, "b", None):
        with pytest.raises(InvalidValue, match=f"Reading.{verb} takes Reading objects, not"):
            await db(VERBS[verb](db.conn, [*rows, wrong]))
    for wrong in (rows[0], "ab", b"ab"):
        with pytest.raises(InvalidValue, match="expected an iterable of Reading"):
            await db(VERBS[verb](db.conn, wrong))
    for wrong in (None, 3):
        with pytest.raises(TypeError):
            await db(VERBS[verb](db.conn, wrong))
    assert rows == readings("a")
    assert await stored(db) == []


@pytest.mark.parametrize("verb", ["insert_many", "save_many"])
@pytest.mark.parametrize("at", [1, 2100])
async def test_a_refused_row_leaves_nothing_and_models_untouched(
    db: Database, verb: str, at: int
) -> None:
    await db.create(Reading)
    before = await db(Reading(sensor="before").save(db.conn))
    await db.commit()
    rows = readings(*(str(number) for number in range(2200)))
    rows[at].sensor = "before"
    with pytest.raises(ConstraintViolation):
        await db(VERBS[verb](db.conn, rows))
    assert await stored(db) == [(before.reading_id, "before", None)]
    assert {row.reading_id for row in rows} == {-1}
    assert not any("reading_id" in row.model_fields_set for row in rows)
    rows[at].sensor = "free"
    assert await db(VERBS[verb](db.conn, rows)) == 2200


async def test_what_was_pending_survives_a_bulk_verb_that_fails(db: Database) -> None:
    await db.create(Reading)
    await db(Reading(sensor="pending").save(db.conn))
    for verb in (Reading.insert_many, Reading.save_many):
        with pytest.raises(ConstraintViolation):
            await db(verb(db.conn, readings("a", "pending")))
    await db.commit()
    assert [row[1] for row in await stored(db)] == ["pending"]


async def test_more_rows_than_a_chunk(db: Database) -> None:
    await db.create(Reading)
    rows = readings(*(str(number) for number in range(2500)), value=1)
    assert await db(Reading.insert_many(db.conn, rows)) == 2500
    assert [row.reading_id for row in rows] == list(range(1, 2501))
    for row in rows:
        row.value = 2
    more = readings(*(f"new {number}" for number in range(100)), value=2)
    assert await db(Reading.save_many(db.conn, [*rows, *more])) == 2600
    assert await db(Reading.select_count(db.conn, value=2)) == 2600
    again = readings(*(str(number) for number in range(2500)), value=3)
    assert await db(Reading.upsert_many(db.conn, again, on=["sensor"])) == 2500
    assert [row.reading_id for row in again] == [row.reading_id for row in rows]
    assert await db(Reading.select_count(db.conn, value=3)) == 2500
    assert await db(Reading.load_by_id(db.conn, 1777)) == again[1776]


async def test_given_keys_and_new_ones_go_together(db: Database) -> None:
    await db.create(Reading)
    rows = readings("a", "b", "c", "d")
    rows[1].reading_id = 10
    assert await db(Reading.insert_many(db.conn, rows)) == 4
    keys = [row.reading_id for row in rows]
    assert keys[1] == 10
    assert len(set(keys)) == 4
    assert {(row.reading_id, row.sensor) for row in rows} == {
        (key, sensor) for key, sensor, _ in await stored(db)
    }
    later = await db(Reading(sensor="later").save(db.conn))
    assert later.reading_id > 10


async def test_save_many_updates_what_is_there_and_inserts_the_rest(db: Database) -> None:
    await db.create(Reading)
    old = await db(Reading(sensor="old").save(db.conn))
    old.value = 5
    rows = [Reading(sensor="new"), old, Reading(reading_id=40, sensor="given")]
    assert await db(Reading.save_many(db.conn, rows)) == 3
    assert await db(Reading.select(db.conn, order_by="reading_id")) == sorted(
        rows, key=lambda row: row.reading_id
    )
    assert (await db(Reading(sensor="later").save(db.conn))).reading_id > 40


async def test_models_without_a_generated_key_are_written_in_bulk(db: Database) -> None:
    await db.create(Seat, Ticket, Note)
    seats = [Seat(hall="a", number=number) for number in range(3)]
    assert await db(Seat.insert_many(db.conn, seats)) == 3
    seats[0].taken = True
    assert await db(Seat.save_many(db.conn, seats)) == 3
    seats[1].taken = True
    assert await db(Seat.upsert_many(db.conn, seats)) == 3
    assert await db(Seat.select(db.conn, order_by="number")) == seats
    tickets = [Ticket(), Ticket()]
    assert await db(Ticket.insert_many(db.conn, tickets)) == 2
    assert await db(Ticket.save_many(db.conn, tickets)) == 2
    assert await db(Ticket.select_count(db.conn)) == 2
    assert await db(Note.save_many(db.conn, [Note(text="x"), Note(text="x")])) == 2
    assert await db(Note.select_count(db.conn)) == 2


# --- conflicts --------------------------------------------------------------------------------


async def test_ignored_rows_get_no_key_and_are_not_counted(db: Database) -> None:
    await db.create(Reading)
    await db(Reading.insert_many(db.conn, readings("a", "b", value=1)))
    rows = readings("new 1", "a", "new 2", "b", "new 1", value=2)
    assert await db(Reading.insert_many(db.conn, rows, on_conflict="ignore")) == 2
    assert [row.reading_id == -1 for row in rows] == [False, True, False, True, True]
    for row in (rows[0], rows[2]):
        assert await db(Reading.load_by_id(db.conn, row.reading_id)) == row
    found = [(sensor, value) for _, sensor, value in await stored(db)]
    assert sorted(found) == [("a", 1), ("b", 1), ("new 1", 2), ("new 2", 2)]
    assert await db(Reading.insert_many(db.conn, rows[:0], on_conflict="ignore")) == 0
    assert (await db(Reading(sensor="later").save(db.conn))).reading_id > rows[2].reading_id


async def test_ignoring_is_for_unique_keys_of_every_kind(db: Database) -> None:
    await db.create(Seat)
    await db(Seat(hall="a", number=1).save(db.conn))
    rows = [Seat(hall="a", number=1, taken=True), Seat(hall="a", number=2)]
    assert await db(Seat.insert_many(db.conn, rows, on_conflict="ignore")) == 1
    assert await db(Seat.select(db.conn, order_by="number")) == [
        Seat(hall="a", number=1),
        Seat(hall="a", number=2),
    ]


async def test_other_violations_are_not_ignored(db: Database) -> None:
    class Child(DbModel["Child"]):
        child_id: int = Field(default=-1, description="(PK)")
        other_id: int = Field(description="(FK:Other.other_id)")

    await db.create(Other, Child)
    other = await db(Other().save(db.conn))
    await db.commit()
    rows = [Child(other_id=other.other_id), Child(other_id=99)]
    with pytest.raises(ConstraintViolation) as caught:
        await db(Child.insert_many(db.conn, rows, on_conflict="ignore"))
        await db.commit()
    assert caught.value.kind == "foreign key"
    assert await db(Child.select(db.conn)) == []
    broken = [Child.construct_trusted(child_id=-1, other_id=None)]
    with pytest.raises((ConstraintViolation, InvalidValue)):
        await db(Child.insert_many(db.conn, broken, on_conflict="ignore"))
    assert await db(Child.select(db.conn)) == []


async def test_upsert_many_writes_the_named_fields_by_the_named_key(db: Database) -> None:
    await db.create(Reading)
    await db(Reading.insert_many(db.conn, readings("a", "b", value=1)))
    rows = readings("b", "c", value=9)
    assert await db(Reading.upsert_many(db.conn, rows, on=["sensor"], update=["value"])) == 2
    assert rows[0].reading_id == 2
    assert rows[1].reading_id > 2
    assert [(s, v) for _, s, v in await stored(db)] == [("a", 1), ("b", 9), ("c", 9)]
    mixed = [Reading(reading_id=1, sensor="moved"), Reading(sensor="b", value=0)]
    assert await db(Reading.upsert_many(db.conn, mixed)) == 2
    assert [(s, v) for _, s, v in await stored(db)] == [("moved", None), ("b", 0), ("c", 9)]
    with pytest.raises(FilterError, match="unique are: reading_id; sensor"):
        await db(Reading.upsert_many(db.conn, rows, on=["value"]))
    with pytest.raises(FilterError, match="'valeu'; did you mean 'value'"):
        await db(Reading.upsert_many(db.conn, rows, update=["valeu"]))


async def test_an_upsert_that_fails_in_the_middle_leaves_nothing(db: Database) -> None:
    await db.create(Reading)
    await db(Reading.insert_many(db.conn, readings("a", "b")))
    await db.commit()
    rows = [*readings("new", "a", value=7), Reading(reading_id=1, sensor="b", value=7)]
    with pytest.raises(ConstraintViolation):
        await db(Reading.upsert_many(db.conn, rows))
    assert await stored(db) == [(1, "a", None), (2, "b", None)]
    assert [row.reading_id for row in rows] == [-1, -1, 1]


async def test_a_value_that_cannot_be_stored_leaves_nothing(db: Database) -> None:
    await db.create(Reading)
    for verb in VERBS.values():
        rows = [*readings("a"), Reading(sensor="b", value=2**63)]
        with pytest.raises(InvalidValue, match="64-bit"):
            await db(verb(db.conn, rows))
        assert await stored(db) == []
        assert [row.reading_id for row in rows] == [-1, -1]
