"""How often does a verb wait for PostgreSQL, and does what travels together stay what it is?

libpq's own trace of a connection is counted: the client waits after each Query and each Sync.
"""

import re
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import psycopg
import pytest
from pydantic import Field

from lythonic_state import (
    ConstraintViolation,
    DbModel,
    TransactionError,
    on_statement,
)
from lythonic_state.drivers import postgres
from lythonic_state.user import User, UserContext, UserOwned
from tests.databases import Database

pytestmark = pytest.mark.parametrize("colour", ["postgres", "postgres-async"])


class Item(DbModel["Item"]):
    item_id: int = Field(default=-1, description="(PK)")
    code: str = Field(description="(AK)")
    hits: int = 0


class Note(UserOwned["Note"]):
    note_id: int = Field(default=-1, description="(PK)")
    text: str


class Trips:
    count = 0


@contextmanager
def round_trips(conn: Any) -> Iterator[Trips]:
    trips = Trips()
    with tempfile.TemporaryFile() as file:
        conn.pgconn.trace(file.fileno())
        try:
            yield trips
        finally:
            conn.pgconn.untrace()
        file.seek(0)
        trips.count = len(re.findall(rb"\tF\t\d+\t(?:Sync|Query)\b", file.read()))


async def start(db: Database) -> None:
    await db.create(Item)
    await db(Item.insert_many(db.conn, [Item(code="a"), Item(code="b")]))
    await db.commit()


async def stored(db: Database) -> list[tuple[str, int]]:
    rows: Any = await db.execute('SELECT code, hits FROM "Item" ORDER BY code')
    return list(rows)


# --- how many -------------------------------------------------------------------------------

SINGLE: dict[str, Callable[[Any], Any]] = {
    "save": lambda c: Item(code="c").save(c),
    "save a known row": lambda c: Item(item_id=1, code="a", hits=5).save(c),
    "save a row whose key is far ahead": lambda c: Item(item_id=10**9, code="c").save(c),
    "insert": lambda c: Item(code="c").insert(c),
    "create": lambda c: Item.create(c, {"code": "c"}),
    "update": lambda c: Item(item_id=1, code="a", hits=5).update(c),
    "patch": lambda c: Item(item_id=1, code="a").patch(c, {"hits": 5}),
    "upsert": lambda c: Item(code="a", hits=5).upsert(c),
    "delete_row": lambda c: Item(item_id=1, code="a").delete_row(c),
    "update_where": lambda c: Item.update_where(c, {"hits": Item.hits + 1}, code="a"),
    "delete": lambda c: Item.delete(c, code="a"),
}


async def test_a_verb_of_one_statement_is_one_round_trip_wherever_it_stands(db: Database) -> None:
    await start(db)
    for name, write in SINGLE.items():
        with round_trips(db.conn) as alone:
            await db(write(db.conn))
        with round_trips(db.conn) as reading:
            await db(Item.select(db.conn))
        await db.rollback()
        await db(Item.select(db.conn))
        with round_trips(db.conn) as within:
            await db(write(db.conn))
        await db.rollback()
        assert (name, alone.count, reading.count, within.count) == (name, 1, 1, 1)
    with round_trips(db.conn) as reading:
        await db(Item.select(db.conn))
    assert reading.count == 1


async def test_a_verb_of_several_statements_has_its_savepoint_on_the_way(db: Database) -> None:
    await start(db)
    await db.create(Note)
    context = UserContext(user=User(user_id=1))
    await db(Item.select(db.conn))
    with round_trips(db.conn) as scoped:  # the scope, the row, and the end of the savepoint
        await db(Note(text="x").save(db.conn, user_ctx=context))
    with round_trips(db.conn) as read:
        assert len(await db(Note.select(db.conn, user_ctx=context))) == 1
    with round_trips(db.conn) as many:  # keys, rows, and the end
        await db(Item.insert_many(db.conn, [Item(code=f"n{n}") for n in range(20)]))
    assert (scoped.count, read.count, many.count) == (2, 1, 3)


async def test_a_transaction_begins_in_one_round_trip(db: Database) -> None:
    await start(db)
    for options in ({}, {"autocommit": True}):
        async with plain(db, **options) as conn:
            with round_trips(conn.conn) as block:  # begin; row; release; commit
                async with conn.transaction():
                    await conn(Item.update_where(conn.conn, {"hits": 1}, code="a"))
            assert block.count == 4
            with round_trips(conn.conn) as undone, pytest.raises(LookupError):
                async with conn.transaction():  # begin; row; rollback
                    await conn(Item.update_where(conn.conn, {"hits": 2}, code="a"))
                    raise LookupError
            assert undone.count == 3
    assert await stored(db) == [("a", 1), ("b", 0)]


async def test_a_refused_verb_is_undone_in_one_more_round_trip(db: Database) -> None:
    await start(db)
    await db(Item(code="pending").save(db.conn))
    with round_trips(db.conn) as refused, pytest.raises(ConstraintViolation) as caught:
        await db(Item(code="a").save(db.conn))
    assert refused.count == 2
    assert (caught.value.kind, caught.value.columns) == ("unique", ("code",))
    assert isinstance(caught.value, psycopg.errors.UniqueViolation)
    assert ("pending", 0) in await stored(db)


async def test_what_travels_with_a_statement_is_told_around_it(db: Database) -> None:
    await start(db)
    await db(Item.select(db.conn))
    told: list[tuple[str, bool, bool]] = []
    with on_statement(
        db.conn, lambda event: told.append((event.sql.split()[0], event.control, bool(event.error)))
    ):
        await db(Item(code="c").save(db.conn))
        with pytest.raises(ConstraintViolation):
            await db(Item(code="a").save(db.conn))
    assert told == [
        ("SAVEPOINT", True, False),
        ("INSERT", False, False),
        ("RELEASE", True, False),
        ("SAVEPOINT", True, False),
        ("INSERT", False, True),
        ("ROLLBACK", True, False),
        ("RELEASE", True, False),
    ]


# --- other ways to send ---------------------------------------------------------------------


@pytest.mark.parametrize("lacking", ["pipelines", "the queue of a pipeline"])
async def test_older_libraries_need_more_round_trips_for_the_same(
    db: Database, lacking: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await start(db)
    if lacking == "pipelines":
        monkeypatch.setattr(psycopg.Pipeline, "is_supported", lambda: False)
        expected = 3  # and one more for a key that others are to go on after
    else:
        monkeypatch.setattr(postgres, "_queue", lambda *step: False)
        expected = 1
    for name, write in SINGLE.items():
        await db(Item(code="pending").save(db.conn))
        with round_trips(db.conn) as within:
            await db(write(db.conn))
        assert (name, within.count) == (name, expected + (expected == 3 and " row" in name))
        with pytest.raises(ConstraintViolation):
            await db(Item(code="pending").save(db.conn))
        async with db.transaction():
            await db(Item(code="e").save(db.conn))
        codes = [code for code, _ in await stored(db)]
        assert {"pending", "e"} < set(codes)
        await db(Item.delete(db.conn, ne__code="b"))
        await db(Item(item_id=1, code="a").save(db.conn))
        await db.commit()


async def test_the_installed_psycopg_has_what_a_single_round_trip_needs(db: Database) -> None:
    assert psycopg.Pipeline.is_supported()
    async with pipeline(db) as opened:
        assert list(opened.result_queue) == []


@asynccontextmanager
async def pipeline(db: Database) -> AsyncIterator[Any]:
    if db.is_async:
        async with db.conn.pipeline() as opened:
            yield opened
    else:
        with db.conn.pipeline() as opened:
            yield opened


@asynccontextmanager
async def plain(db: Database, **options: Any) -> AsyncIterator[Database]:
    """A connection to the database of `db`, opened without the library."""
    kind: Any = psycopg.AsyncConnection if db.is_async else psycopg.Connection
    opened = kind.connect(db.url, **options)
    conn = Database(db.colour, db.url, await opened if db.is_async else opened)
    try:
        yield conn
    finally:
        await conn(conn.conn.close())


@pytest.mark.parametrize("autocommit", [False, True])
async def test_verbs_work_inside_of_a_pipeline_of_the_user(db: Database, autocommit: bool) -> None:
    await start(db)
    async with plain(db, autocommit=autocommit) as conn:
        async with pipeline(conn):
            for number in range(2):
                await conn(conn.conn.execute('UPDATE "Item" SET hits = hits + 1'))
                saved = await conn(Item(code=f"c{number}").save(conn.conn))
                assert (await conn(Item.load_by_id(conn.conn, saved.item_id))).hits == 0
                assert await conn(Item.update_where(conn.conn, {"hits": 7}, code="b")) == 1
                with pytest.raises(ConstraintViolation):
                    await conn(Item(code="a").save(conn.conn))
                assert await conn(Item.insert_many(conn.conn, [Item(code=f"d{number}")])) == 1
                async with conn.transaction():
                    await conn(Item.delete(conn.conn, code=f"d{number}"))
        await conn.commit()
    assert await stored(db) == [("a", 2), ("b", 7), ("c0", 1), ("c1", 0)]


async def test_rows_are_not_streamed_inside_of_a_pipeline(db: Database) -> None:
    await start(db)
    with pytest.raises(TransactionError, match="outside of it"):
        async with pipeline(db):
            await db.collect(Item.iterate(db.conn, 10))
    assert len(await db.collect(Item.iterate(db.conn, 10))) == 2


async def test_a_mistake_of_the_users_own_in_a_pipeline_is_told_at_the_next_verb(
    db: Database,
) -> None:
    await start(db)
    with pytest.raises(psycopg.errors.UndefinedTable):
        async with pipeline(db):
            await db(db.conn.execute("SELECT * FROM nowhere"))
            await db(Item(code="c").save(db.conn))
    await db.rollback()
    assert await stored(db) == [("a", 0), ("b", 0)]


async def test_options_of_the_connection_hold_for_the_transaction_that_a_verb_begins(
    db: Database,
) -> None:
    await start(db)
    async with plain(db) as conn:
        if db.is_async:
            await conn.conn.set_isolation_level(psycopg.IsolationLevel.SERIALIZABLE)
        else:
            conn.conn.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        await conn(Item.select(conn.conn))
        assert await conn.execute("SHOW transaction_isolation") == [("serializable",)]
