"""A write is there for others when it was committed, and gone when it was undone.

What a second connection reads decides, never what the writing one believes.
"""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import aiosqlite
import psycopg
import pytest
from psycopg.rows import dict_row
from pydantic import Field

from lythonic_state import ConstraintViolation, DbModel, TransactionError, transaction
from lythonic_state.ops import CHUNK
from tests.databases import Database, sqlite_path_of


class Item(DbModel["Item"]):
    item_id: int = Field(default=-1, description="(PK)")
    code: str = Field(description="(AK)")
    hits: int = 0


class Part(DbModel["Part"]):
    part_id: int = Field(default=-1, description="(PK)")
    item_id: int = Field(description="(FK:Item.item_id)")


Rows = list[tuple[str, int]]
START: Rows = [("a", 0), ("b", 0)]
WITH_C: Rows = [("a", 0), ("b", 0), ("c", 0)]
A_CHANGED: Rows = [("a", 5), ("b", 0)]
BOTH: Rows = [("a", 5), ("b", 0), ("c", 0)]


def a(hits: int = 0) -> Item:
    return Item(item_id=1, code="a", hits=hits)


WRITES: dict[str, tuple[Callable[[Any], Any], Rows]] = {
    "save a new row": (lambda c: Item(code="c").save(c), WITH_C),
    "save a known row": (lambda c: a(5).save(c), A_CHANGED),
    "insert": (lambda c: Item(code="c").insert(c), WITH_C),
    "insert with auto_increment": (lambda c: Item(code="c").insert(c, auto_increment=True), WITH_C),
    "create": (lambda c: Item.create(c, {"code": "c"}), WITH_C),
    "update": (lambda c: a(5).update(c), A_CHANGED),
    "update by filter": (lambda c: a(5).update(c, code="a"), A_CHANGED),
    "patch": (lambda c: a().patch(c, {"hits": 5}), A_CHANGED),
    "upsert": (lambda c: Item(code="a", hits=5).upsert(c), A_CHANGED),
    "get_or_create": (lambda c: Item.get_or_create(c, code="c"), WITH_C),
    "delete_row": (lambda c: a().delete_row(c), START[1:]),
    "insert_many": (
        lambda c: Item.insert_many(c, [Item(code="c"), Item(code="d")]),
        [*WITH_C, ("d", 0)],
    ),
    "save_many": (lambda c: Item.save_many(c, [a(5), Item(code="c")]), BOTH),
    "upsert_many": (
        lambda c: Item.upsert_many(c, [Item(code="a", hits=5), Item(code="c")]),
        BOTH,
    ),
    "update_where": (lambda c: Item.update_where(c, {"hits": 5}, code="a"), A_CHANGED),
    "delete": (lambda c: Item.delete(c, code="a"), START[1:]),
}


class Refused(Exception):
    """What a test raises to undo a block."""


async def seen(db: Database) -> Rows:
    """What is stored as this connection sees it, which it then stops looking at."""
    rows: Any = await db.execute('SELECT code, hits FROM "Item" ORDER BY code')
    await db.rollback()
    return list(rows)


async def start(db: Database) -> None:
    """Exactly the rows a and b, committed."""
    await db(Item.delete(db.conn, all_rows=True))
    await db(Item.insert_many(db.conn, [a(), Item(item_id=2, code="b")]))
    await db.commit()


@asynccontextmanager
async def prepared(db: Database) -> AsyncIterator[tuple[Database, Callable[[], Any]]]:
    """A second connection to the tables, and what puts the rows back to the start."""
    await db.create(Item, Part)
    await start(db)
    async with db.second() as other:
        yield other, lambda: start(db)


def writes() -> Iterator[tuple[str, Callable[[Any], Any], Rows]]:
    for name, (write, expected) in WRITES.items():
        yield name, write, expected


# --- each writing verb ----------------------------------------------------------------------


async def test_a_verb_alone_is_seen_by_others_after_the_commit_and_not_before(
    db: Database,
) -> None:
    async with prepared(db) as (other, reset):
        for name, write, expected in writes():
            await db(write(db.conn))
            assert await seen(other) == START, name
            await db.commit()
            assert await seen(other) == expected, name
            await reset()


async def test_a_verb_alone_is_gone_after_a_rollback(db: Database) -> None:
    async with prepared(db) as (other, _):
        for name, write, _expected in writes():
            await db(write(db.conn))
            await db.rollback()
            assert await seen(other) == START, name


async def test_a_verb_in_a_transaction_is_committed_with_the_block(db: Database) -> None:
    async with prepared(db) as (other, reset):
        for name, write, expected in writes():
            async with db.transaction():
                await db(write(db.conn))
                assert await seen(other) == START, name
            assert await seen(other) == expected, name
            await reset()


async def test_a_verb_in_a_transaction_that_fails_is_undone(db: Database) -> None:
    async with prepared(db) as (other, _):
        for name, write, _expected in writes():
            with pytest.raises(Refused):
                async with db.transaction():
                    await db(write(db.conn))
                    raise Refused
            await db.commit()  # nothing is left that this could bring back
            assert await seen(other) == START, name


async def test_a_nested_block_that_fails_is_undone_and_the_outer_one_kept(db: Database) -> None:
    async with prepared(db) as (other, reset):
        for name, write, _expected in writes():
            async with db.transaction():
                await db(Item(code="before").save(db.conn))
                with suppress(Refused):
                    async with db.transaction():
                        await db(write(db.conn))
                        raise Refused
                await db(Item(code="then").save(db.conn))
            assert await seen(other) == [*START, ("before", 0), ("then", 0)], name
            await reset()


async def test_a_nested_block_that_succeeds_goes_with_the_outer_one(db: Database) -> None:
    async with prepared(db) as (other, _):
        for name, write, _expected in writes():
            with pytest.raises(Refused):
                async with db.transaction():
                    async with db.transaction():
                        await db(write(db.conn))
                    assert await seen(other) == START, name
                    raise Refused
            assert await seen(other) == START, name


async def test_blocks_nest_to_any_depth(db: Database) -> None:
    async with prepared(db) as (other, _):
        async with db.transaction(), db.transaction():
            await db(Item(code="c").save(db.conn))
            with suppress(Refused):
                async with db.transaction(), db.transaction():
                    await db(Item(code="d").save(db.conn))
                    raise Refused
            async with db.transaction():
                await db(Item(code="e").save(db.conn))
        assert await seen(other) == [*WITH_C, ("e", 0)]


# --- after a refusal ------------------------------------------------------------------------

REFUSED: dict[str, Callable[[Any], Any]] = {
    "save": lambda c: Item(item_id=9, code="a").save(c),
    "insert": lambda c: Item(code="a").insert(c),
    "create": lambda c: Item.create(c, {"code": "a"}),
    "update": lambda c: Item(item_id=2, code="a").update(c),
    "patch": lambda c: Item(item_id=2, code="b").patch(c, {"code": "a"}),
    "upsert": lambda c: Item(item_id=9, code="a").upsert(c, on=["item_id"]),
    "a foreign key": lambda c: Part(item_id=404).save(c),
    "insert_many": lambda c: Item.insert_many(c, [Item(code="c"), Item(code="a")]),
    "save_many": lambda c: Item.save_many(c, [a(7), Item(code="c"), Item(code="b")]),
    "upsert_many": lambda c: Item.upsert_many(
        c, [Item(item_id=8, code="c"), Item(item_id=9, code="a")], on=["item_id"]
    ),
    "update_where": lambda c: Item.update_where(c, {"code": "a"}, code="b"),
    "delete": lambda c: Item.delete(c, code="b"),
}


@pytest.mark.parametrize("in_block", [True, False], ids=["transaction()", "pending"])
async def test_after_a_violation_the_transaction_around_it_is_usable(
    db: Database, in_block: bool
) -> None:
    async with prepared(db) as (other, _):
        await db(Part(item_id=2).save(db.conn))
        await db.commit()
        for name, write in REFUSED.items():
            if in_block:
                async with db.transaction():
                    await _refused_between_two(db, write)
            else:
                await _refused_between_two(db, write)
                await db.commit()
            assert await seen(other) == [*START, ("x", 0), ("y", 0)], name
            await db(Item.delete(db.conn, code=["x", "y"]))
            await db.commit()


async def _refused_between_two(db: Database, write: Callable[[Any], Any]) -> None:
    await db(Item(code="x").save(db.conn))
    with pytest.raises(ConstraintViolation):
        await db(write(db.conn))
    await db(Item(code="y").save(db.conn))


async def test_a_refused_verb_alone_leaves_no_transaction_open(db: Database) -> None:
    async with prepared(db) as (other, _):
        for name, write in REFUSED.items():
            if name == "delete":
                continue
            with pytest.raises(ConstraintViolation):
                await db(write(db.conn))
            assert not is_open(db.conn), name
            await db.commit()
            assert await seen(other) == START, name


def is_open(conn: Any) -> bool:
    if hasattr(conn, "in_transaction"):
        return bool(conn.in_transaction)
    return bool(conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE)


async def test_a_violation_that_leaves_the_block_undoes_it_and_stays_itself(db: Database) -> None:
    async with prepared(db) as (other, _):
        with pytest.raises(ConstraintViolation) as caught:
            async with db.transaction():
                await db(Item(code="c").save(db.conn))
                await db(Item(code="a").save(db.conn))
        assert caught.value.kind == "unique"
        assert not is_open(db.conn)
        assert await seen(other) == START


# --- the rules of the block -----------------------------------------------------------------


@pytest.mark.parametrize("end", ["commit", "rollback"])
async def test_ending_the_transaction_inside_its_block_raises_at_the_exit(
    db: Database, end: str
) -> None:
    async with prepared(db) as (other, _):
        with pytest.raises(TransactionError, match="committed or rolled back inside"):
            async with db.transaction():
                await db(Item(code="c").save(db.conn))
                await db(getattr(db.conn, end)())
                await db(Item(code="d").save(db.conn))
        assert not is_open(db.conn)
        assert await seen(other) == (WITH_C if end == "commit" else START)
        async with db.transaction():  # the connection is none the worse
            await db(Item(code="e").save(db.conn))
        assert ("e", 0) in await seen(other)


async def test_ending_the_transaction_inside_a_nested_block_raises_too(db: Database) -> None:
    async with prepared(db) as (other, _):
        with pytest.raises(TransactionError, match="committed or rolled back inside"):
            async with db.transaction(), db.transaction():
                await db(Item(code="c").save(db.conn))
                await db.rollback()
        assert not is_open(db.conn)
        assert await seen(other) == START


async def test_an_error_of_the_block_is_not_masked_by_a_commit_inside(db: Database) -> None:
    async with prepared(db):
        with pytest.raises(Refused):
            async with db.transaction():
                await db.commit()
                raise Refused
        assert not is_open(db.conn)


async def test_pending_work_is_committed_with_the_block(db: Database) -> None:
    async with prepared(db) as (other, _):
        await db(Item(code="c").save(db.conn))
        async with db.transaction():
            await db(Item(code="d").save(db.conn))
        assert not is_open(db.conn)
        assert await seen(other) == [*WITH_C, ("d", 0)]


async def test_pending_work_survives_a_block_that_fails_and_stays_pending(db: Database) -> None:
    async with prepared(db) as (other, _):
        await db(Item(code="c").save(db.conn))
        with pytest.raises(Refused):
            async with db.transaction():
                await db(Item(code="d").save(db.conn))
                raise Refused
        assert await seen(other) == START
        assert [item.code for item in await db(Item.select(db.conn, order_by="code"))] == [
            "a",
            "b",
            "c",
        ]
        await db.commit()
        assert await seen(other) == WITH_C


async def test_a_block_object_opens_once_at_a_time(sync_db: Database) -> None:
    block = transaction(sync_db.conn)
    with block, pytest.raises(TransactionError, match="open already"):
        block.__enter__()
    with block:
        pass


async def test_a_block_is_usable_after_the_connection_was_opened_again(db: Database) -> None:
    await db.create(Item, Part)
    for code in "abc":
        async with db.second() as other, other.transaction():
            await other(Item(code=code).save(other.conn))
    assert await seen(db) == WITH_C


async def test_the_outermost_block_holds_the_write_lock_of_sqlite_from_its_start(
    sqlite_path: Any,
) -> None:
    first = sqlite3.connect(sqlite_path, timeout=0)
    second = sqlite3.connect(sqlite_path, timeout=0)
    try:
        with transaction(first), pytest.raises(sqlite3.OperationalError, match="locked"):
            second.execute("BEGIN IMMEDIATE")
        second.execute("BEGIN IMMEDIATE")
    finally:
        first.close()
        second.close()


# --- whose block it is ----------------------------------------------------------------------


async def test_a_verb_of_another_task_is_refused_while_a_block_is_open(async_db: Database) -> None:
    db = async_db
    async with prepared(db) as (other, _):

        async def intrude() -> None:
            await Item(code="intruder").save(db.conn)

        async def intrude_by_block() -> None:
            async with transaction(db.conn):
                await Item(code="intruder").save(db.conn)

        async def look() -> None:
            await Item.select(db.conn)

        async def stream() -> None:
            async for _item in Item.iterate(db.conn):
                pass

        async with db.transaction():
            await db(Item(code="c").save(db.conn))
            for intruder in (intrude, intrude_by_block, look, stream):
                with pytest.raises(TransactionError, match="another task"):
                    await asyncio.create_task(intruder())
            await db(Item(code="d").save(db.conn))
        assert await seen(other) == [*WITH_C, ("d", 0)]
        await asyncio.create_task(intrude())
        await db.commit()
        assert ("intruder", 0) in await seen(other)


async def test_a_verb_of_another_thread_is_refused_while_a_block_is_open(
    sync_db: Database,
) -> None:
    db = sync_db
    async with prepared(db) as (other, _):
        outcome: list[BaseException] = []

        def intrude() -> None:
            try:
                Item(code="intruder").save(db.conn)
            except TransactionError as error:
                outcome.append(error)

        with transaction(db.conn):
            Item(code="c").save(db.conn)
            thread = threading.Thread(target=intrude)
            thread.start()
            thread.join()
        assert [type(error) for error in outcome] == [TransactionError]
        assert await seen(other) == WITH_C


# --- connections that the user opened -------------------------------------------------------


@asynccontextmanager
async def plain(db: Database, **options: Any) -> AsyncIterator[Database]:
    """A connection to the database of `db`, opened without the library."""
    opened: Any
    if db.colour == "sqlite":
        opened = sqlite3.connect(sqlite_path_of(db.url), **options)
    elif db.colour == "aiosqlite":
        opened = await aiosqlite.connect(sqlite_path_of(db.url), **options)
    elif db.colour == "postgres":
        opened = psycopg.connect(db.url, **options)
    else:
        opened = await psycopg.AsyncConnection.connect(db.url, **options)
    conn = Database(db.colour, db.url, opened)
    try:
        yield conn
    finally:
        await conn(opened.close())


def autocommit(db: Database) -> dict[str, Any]:
    return {"isolation_level": None} if db.dialect == "sqlite" else {"autocommit": True}


async def test_on_an_autocommit_connection_each_verb_is_committed(db: Database) -> None:
    async with prepared(db) as (other, reset), plain(db, **autocommit(db)) as conn:
        for name, write, expected in writes():
            await conn(write(conn.conn))
            assert not is_open(conn.conn), name
            assert await seen(other) == expected, name
            await reset()


async def test_on_an_autocommit_connection_a_verb_is_all_or_nothing(db: Database) -> None:
    many = [Item(code=f"n{number}") for number in range(CHUNK + 1)]
    refused: dict[str, Callable[[Any], Any]] = {
        **{name: REFUSED[name] for name in REFUSED if name != "delete"},
        "two chunks inserted": lambda c: Item.insert_many(c, [*many, Item(code="a")]),
        "two chunks saved": lambda c: Item.save_many(c, [*many, Item(code="a")]),
    }
    async with prepared(db) as (other, _), plain(db, **autocommit(db)) as conn:
        await conn(_foreign_keys(conn))
        for name, write in refused.items():
            with pytest.raises(ConstraintViolation):
                await conn(write(conn.conn))
            assert not is_open(conn.conn), name
            assert await seen(other) == START, name
        assert {item.item_id for item in many} == {-1}


def _foreign_keys(db: Database) -> Any:
    if db.dialect == "sqlite":
        return db.conn.execute("PRAGMA foreign_keys=ON")
    return db.conn.execute("SELECT 1")


async def test_transaction_blocks_work_on_an_autocommit_connection(db: Database) -> None:
    async with prepared(db) as (other, _), plain(db, **autocommit(db)) as conn:
        with pytest.raises(Refused):
            async with conn.transaction():
                await conn(Item(code="c").save(conn.conn))
                raise Refused
        assert await seen(other) == START
        async with conn.transaction():
            await conn(Item(code="c").save(conn.conn))
            with suppress(Refused):
                async with conn.transaction():
                    await conn(Item(code="d").save(conn.conn))
                    raise Refused
            assert await seen(other) == START
        assert not is_open(conn.conn)
        assert await seen(other) == WITH_C


async def test_a_connection_opened_plainly_keeps_the_rules_of_its_driver(db: Database) -> None:
    options: dict[str, Any] = {} if db.dialect == "sqlite" else {"row_factory": dict_row}
    async with prepared(db) as (other, reset), plain(db, **options) as conn:
        if db.dialect == "sqlite":
            conn.conn.row_factory = sqlite3.Row
        for name, write, expected in writes():
            await conn(write(conn.conn))
            assert is_open(conn.conn), name
            assert await seen(other) == START, name
            found = await conn(Item.select(conn.conn, order_by="code"))
            assert [(item.code, item.hits) for item in found] == expected, name
            await conn.commit()
            assert await seen(other) == expected, name
            await reset()
        async with conn.transaction():
            await conn(Item(code="z").save(conn.conn))
        assert ("z", 0) in await seen(other)


async def test_a_verb_that_changes_no_row_keeps_no_lock_of_sqlite(db: Database) -> None:
    await db.create(Item, Part)
    await db(Item.update_where(db.conn, {"hits": 1}, code="nobody"))
    await db(Item.delete(db.conn, code="nobody"))
    async with db.second() as other:
        await other(Item(code="a").save(other.conn))
        await other.commit()
    await db.rollback()
    assert await seen(db) == [("a", 0)]
