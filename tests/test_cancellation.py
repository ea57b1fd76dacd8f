"""A cancelled verb finishes its hop, takes back what it began, and leaves the connection usable.

Each verb is cancelled after every number of steps of the event loop that it may take.
"""

import asyncio
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiosqlite
import psycopg
import pytest
from pydantic import Field

from lythonic_state import (
    ConstraintViolation,
    DatabaseError,
    DbModel,
    TransactionError,
    open_db,
    open_sqlite_db,
    transaction,
)
from lythonic_state.drivers import worker
from tests.databases import Database

STEPS = range(12)


class Item(DbModel["Item"]):
    item_id: int = Field(default=-1, description="(PK)")
    code: str = Field(description="(AK)")
    hits: int = 0


Rows = list[tuple[str, int]]
START: Rows = [("a", 0), ("b", 0)]


def some(number: int) -> list[Item]:
    return [Item(code=f"n{index:04}") for index in range(number)]


VERBS: dict[str, tuple[Callable[[Any], Any], Rows]] = {
    "save": (lambda c: Item(code="c").save(c), [*START, ("c", 0)]),
    "save a known row": (
        lambda c: Item(item_id=1, code="a", hits=5).save(c),
        [("a", 5), ("b", 0)],
    ),
    "get_or_create": (lambda c: Item.get_or_create(c, code="c"), [*START, ("c", 0)]),
    "insert_many": (
        lambda c: Item.insert_many(c, some(1500)),
        [*START, *((item.code, 0) for item in some(1500))],
    ),
    "save_many": (
        lambda c: Item.save_many(c, [Item(item_id=1, code="a", hits=5), Item(code="c")]),
        [("a", 5), ("b", 0), ("c", 0)],
    ),
    "update_where": (
        lambda c: Item.update_where(c, {"hits": Item.hits + 5}, code="a"),
        [("a", 5), ("b", 0)],
    ),
    "delete": (lambda c: Item.delete(c, code="a"), [("b", 0)]),
}


async def cancelled_after(steps: int, running: Any) -> bool:
    """Whether a task was cancelled that the loop gave so many steps, or had ended by then."""
    task = asyncio.ensure_future(running)
    for _ in range(steps):
        await asyncio.sleep(0)
    task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        return True
    return False


def is_open(conn: Any) -> bool:
    if hasattr(conn, "in_transaction"):
        return bool(conn.in_transaction)
    return bool(conn.info.transaction_status != psycopg.pq.TransactionStatus.IDLE)


async def stored(db: Database) -> Rows:
    rows: Any = await db.execute('SELECT code, hits FROM "Item" ORDER BY code')
    return list(rows)


async def start(db: Database) -> None:
    await db(Item.delete(db.conn, all_rows=True))
    rows = [Item(item_id=1, code="a"), Item(item_id=2, code="b")]
    await db(Item.insert_many(db.conn, rows))
    await db.commit()


# --- verbs ----------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", VERBS)
async def test_a_cancelled_verb_leaves_no_transaction_and_no_half_of_its_work(
    async_db: Database, verb: str
) -> None:
    db = async_db
    await db.create(Item)
    write, expected = VERBS[verb]
    await start(db)
    for steps in STEPS:
        if await cancelled_after(steps, write(db.conn)):
            assert not is_open(db.conn), steps
            assert await stored(db) == START, steps
        else:
            assert is_open(db.conn), steps
            assert await stored(db) == expected, steps
        await db.rollback()
        await db(Item(code="works").save(db.conn))
        assert ("works", 0) in await stored(db)
        await db.rollback()


@pytest.mark.parametrize("verb", VERBS)
async def test_a_verb_cancelled_in_a_pending_transaction_leaves_that_as_it_was(
    async_db: Database, verb: str
) -> None:
    db = async_db
    await db.create(Item)
    write, expected = VERBS[verb]
    await start(db)
    for steps in STEPS:
        await db(Item(code="pending").save(db.conn))
        await cancelled_after(steps, write(db.conn))
        assert is_open(db.conn), steps
        found = [row for row in await stored(db) if row[0] != "pending"]
        assert found in (START, expected), steps
        assert ("pending", 0) in await stored(db), steps
        await db.rollback()


async def test_a_cancelled_verb_on_an_autocommit_connection_is_whole_or_not_there(
    async_db: Database, db_url: str
) -> None:
    db = async_db
    await db.create(Item)
    if db.dialect == "sqlite":
        path = db_url.removeprefix("sqlite:///")
        opened: Any = await aiosqlite.connect(path, isolation_level=None)
    else:
        opened = await psycopg.AsyncConnection.connect(db_url, autocommit=True)
    try:
        for name in ("save", "get_or_create", "insert_many", "save_many"):
            write, expected = VERBS[name]
            for steps in STEPS:
                await start(db)
                await cancelled_after(steps, write(opened))
                assert not is_open(opened), (name, steps)
                assert await stored(db) in (START, expected), (name, steps)
                await db.rollback()
    finally:
        await opened.close()


async def test_models_of_a_cancelled_bulk_verb_have_keys_exactly_if_they_are_stored(
    async_db: Database,
) -> None:
    db = async_db
    await db.create(Item)
    for steps in STEPS:
        models = some(1500)
        await cancelled_after(steps, Item.insert_many(db.conn, models))
        there = await db(Item.select_count(db.conn))
        if there == 0:
            assert {model.item_id for model in models} == {-1}, steps
        else:
            assert there == 1500, steps
            assert len({model.item_id for model in models} - {-1}) == 1500, steps
        await db.rollback()


async def test_other_verbs_on_the_connection_are_untouched_by_a_cancelled_one(
    async_db: Database,
) -> None:
    db = async_db
    await db.create(Item)
    for steps in STEPS:
        await start(db)
        others = [asyncio.ensure_future(Item(code=f"o{n}").save(db.conn)) for n in range(3)]
        await cancelled_after(steps, Item.insert_many(db.conn, some(50)))
        saved = await asyncio.gather(*others)
        assert len({item.item_id for item in saved}) == 3
        await db.commit()
        codes = [code for code, _ in await stored(db)]
        assert [code for code in codes if code.startswith("o")] == ["o0", "o1", "o2"], steps
        assert len([code for code in codes if code.startswith("n")]) in (0, 50), steps
        await db.rollback()


# --- while PostgreSQL waits for a lock ------------------------------------------------------

only_postgres = pytest.mark.parametrize("colour", ["postgres-async"])


async def cancelled_while_waiting(running: Any, holder: Database, times: int = 1) -> None:
    """Cancels a verb that waits for a lock, as often as said."""
    task = asyncio.ensure_future(running)
    asked = "SELECT count(*) FROM pg_locks WHERE NOT granted"
    async with asyncio.timeout(20):
        waiting = 0
        while not waiting:
            ((waiting,),) = await holder.execute(asked)
        for _ in range(times):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task


@only_postgres
async def test_a_write_that_waits_is_cancelled_and_its_transaction_stays_usable(
    async_db: Database,
) -> None:
    db = async_db
    await db.create(Item)
    await start(db)
    async with db.second() as holder:
        await holder(Item.update_where(holder.conn, {"hits": 1}, code="a"))
        await db(Item(code="pending").save(db.conn))
        waiting = Item(item_id=1, code="a", hits=3)
        for write in (
            Item.update_where(db.conn, {"hits": 2}, code="a"),
            waiting.save(db.conn),
            Item.save_many(db.conn, [Item(code="new"), waiting]),
        ):
            await cancelled_while_waiting(write, holder, times=3)
            assert await stored(db) == [*START, ("pending", 0)]
            assert not await has_savepoint(db)
        await db.commit()
        await holder.rollback()
    assert await stored(db) == [*START, ("pending", 0)]


async def has_savepoint(db: Database) -> bool:
    """Whether a verb has left its savepoint in the open transaction."""
    try:
        async with db.transaction():
            await db.execute("RELEASE SAVEPOINT lythonic_verb")
    except psycopg.errors.InvalidSavepointSpecification:
        return False
    return True


@only_postgres
async def test_a_cancelled_read_needs_a_block_around_it_for_the_transaction_to_stay_usable(
    async_db: Database,
) -> None:
    db = async_db
    await db.create(Item)
    await start(db)

    async def read_in_a_block() -> None:
        async with transaction(db.conn):
            await Item.select(db.conn)

    async with db.second() as holder:
        await holder.execute('LOCK TABLE "Item"')
        await db.execute("CREATE TABLE pending ()")
        await cancelled_while_waiting(read_in_a_block(), holder)
        assert await db.execute("SELECT * FROM pending") == []
        await cancelled_while_waiting(Item.select(db.conn), holder)
        await holder.rollback()
    with pytest.raises(DatabaseError, match="roll back, or put what may fail into a transaction"):
        await Item.select(db.conn)
    await db.rollback()
    assert await stored(db) == START


# --- blocks and streams ---------------------------------------------------------------------


async def test_a_cancelled_transaction_is_undone_and_its_connection_free(
    async_db: Database,
) -> None:
    db = async_db
    await db.create(Item)
    await start(db)

    async def block() -> None:
        async with transaction(db.conn):
            await Item(code="c").save(db.conn)
            async with transaction(db.conn):
                await Item(code="d").save(db.conn)
            await Item.delete(db.conn, code="a")

    done: Rows = [("b", 0), ("c", 0), ("d", 0)]
    undone = 0
    for steps in (*range(40), 10_000):
        was_cancelled = await cancelled_after(steps, block())
        assert not is_open(db.conn), steps
        found = await stored(db)
        # a cancellation that meets the COMMIT comes too late to undo anything
        assert found in ((START, done) if was_cancelled else (done,)), steps
        undone += found == START
        await start(db)
        await db.rollback()
        async with db.transaction():  # nobody's block is left on the connection
            pass
    assert undone > 5


async def test_a_cancelled_block_leaves_pending_work_pending(async_db: Database) -> None:
    db = async_db
    await db.create(Item)
    await start(db)

    async def block() -> None:
        async with transaction(db.conn):
            await Item(code="c").save(db.conn)
            await asyncio.Event().wait()

    for steps in (0, 1, 2, 3, 5, 8, 30):
        await db(Item(code="pending").save(db.conn))
        assert await cancelled_after(steps, block())
        assert is_open(db.conn), steps
        assert await stored(db) == [*START, ("pending", 0)], steps
        await db.rollback()


async def test_a_cancelled_stream_leaves_the_connection_usable(async_db: Database) -> None:
    db = async_db
    await db.create(Item)
    await db(Item.insert_many(db.conn, some(300)))
    await db.commit()

    async def read() -> int:
        return len([item async for item in Item.iterate(db.conn, 10)])

    for steps in range(0, 60, 3):
        await cancelled_after(steps, read())
        await db(Item(code="works").save(db.conn))
        await db.rollback()
    assert await read() == 300


async def test_leaving_an_opened_connection_by_cancellation_rolls_back(
    async_db: Database,
) -> None:
    db = async_db
    await db.create(Item)
    await start(db)

    async def work() -> None:
        async with open_db(db.url) as conn:
            await Item(code="c").save(conn)
            await asyncio.Event().wait()

    for steps in (*STEPS, 200):
        assert await cancelled_after(steps, work())
        assert await stored(db) == START, steps
        await db(Item(code="lock").save(db.conn))  # which nobody else holds any more
        await db.rollback()


# --- leaving the interpreter ----------------------------------------------------------------


def test_the_interpreter_exits_though_a_connection_was_left_open(tmp_path: Path) -> None:
    script = """
        import asyncio, sys
        from pydantic import Field
        from lythonic_state import DbModel, Schema, open_sqlite_db

        class Item(DbModel["Item"]):
            item_id: int = Field(default=-1, description="(PK)")
            code: str

        async def main():
            opener = open_sqlite_db(sys.argv[1])
            conn = await opener.__aenter__()
            await Schema([Item]).create_tables(conn)
            await Item(code="c").save(conn)
            globals()["kept"] = opener, conn
            print("left open")

        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), str(tmp_path / "left.db")],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.stdout == "left open\n", done.stderr
    assert done.returncode == 0, done.stderr


# --- without what aiosqlite does not document -----------------------------------------------


async def test_the_installed_aiosqlite_has_what_a_verb_in_one_hop_needs() -> None:
    async with open_sqlite_db(":memory:") as conn:
        hooked = worker.hook(conn)
        assert hooked is not None
        raw, in_thread = hooked
        assert await in_thread(lambda: raw.execute("SELECT 42").fetchone()) == (42,)


@pytest.fixture
async def public(colour: str, async_db: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A database of aiosqlite with only the public interface to go by."""
    del colour
    monkeypatch.setattr(worker, "hook", lambda conn: None)
    await async_db.create(Item)
    await start(async_db)
    return async_db


only_aiosqlite = pytest.mark.parametrize("colour", ["aiosqlite"])


@only_aiosqlite
async def test_verbs_work_through_the_public_interface_alone(public: Database) -> None:
    conn = public.conn
    item = await Item(code="c").save(conn)
    assert item.item_id == 3
    item.hits = 1
    assert await item.update(conn) == 1
    assert (await Item(code="c", hits=2).upsert(conn)).item_id == 3
    found, created = await Item.get_or_create(conn, code="c")
    assert (found.hits, created) == (2, False)
    new, created = await Item.get_or_create(conn, code="d")
    assert (new.item_id, created) == (4, True)
    models = some(1200)
    assert await Item.insert_many(conn, models) == 1200
    assert len({model.item_id for model in models} - {-1}) == 1200
    assert await Item.update_where(conn, {"hits": Item.hits + 1}, code="c") == 1
    assert (await Item.get(conn, code="c")).hits == 3
    assert await Item.select_count(conn, ilike__code="C") == 1
    assert await Item.delete(conn, startswith__code="n") == 1200
    assert await Item.select_count(conn) == 4
    await conn.commit()
    assert [code for code, _ in await stored(public)] == ["a", "b", "c", "d"]


@only_aiosqlite
async def test_violations_are_told_and_undone_through_the_public_interface(
    public: Database,
) -> None:
    with pytest.raises(ConstraintViolation) as caught:
        await Item.insert_many(public.conn, [Item(code="c"), Item(code="a")])
    assert caught.value.kind == "unique"
    assert not public.conn.in_transaction
    await Item(code="x").save(public.conn)
    with pytest.raises(ConstraintViolation):
        await Item.insert_many(public.conn, [Item(code="c"), Item(code="a")])
    await public.conn.commit()
    assert await stored(public) == [*START, ("x", 0)]


@only_aiosqlite
async def test_a_transaction_works_through_the_public_interface(public: Database) -> None:
    conn = public.conn
    async with transaction(conn):
        await Item(code="c").save(conn)
        with pytest.raises(LookupError):
            async with transaction(conn):
                await Item(code="d").save(conn)
                raise LookupError
    assert not conn.in_transaction
    with pytest.raises(TransactionError):
        async with transaction(conn):
            await conn.commit()
    assert await stored(public) == [*START, ("c", 0)]


@only_aiosqlite
async def test_a_stream_works_through_the_public_interface(public: Database) -> None:
    await Item.insert_many(public.conn, some(250))
    found = [item.code async for item in Item.iterate(public.conn, 100, order_by="code")]
    assert found == ["a", "b", *(item.code for item in some(250))]
    async for item in Item.iterate(public.conn, 10):
        assert item.code
        break
    await public.conn.rollback()
    assert await Item.select_count(public.conn) == 2


@only_aiosqlite
async def test_a_cancelled_verb_is_undone_through_the_public_interface(public: Database) -> None:
    for steps in range(60):
        if await cancelled_after(steps, Item.insert_many(public.conn, some(30))):
            assert not public.conn.in_transaction, steps
        assert await stored(public) in (START, [*START, *((i.code, 0) for i in some(30))])
        await public.rollback()
