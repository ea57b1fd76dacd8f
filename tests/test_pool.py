"""A pool hands out connections, waits when there is none, and takes them back clean."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from pydantic import Field

from lythonic_state import (
    DatabaseError,
    DbModel,
    Schema,
    StateError,
    UncommittedWarning,
    open_db,
    open_pool,
    transaction,
)
from tests.databases import Database

both_ways = pytest.mark.parametrize("is_async", [False, True], ids=["with", "async with"])


class Item(DbModel["Item"]):
    item_id: int = Field(default=-1, description="(PK)")
    code: str = Field(description="(AK)")
    hits: int = 0


class Refused(Exception):
    """What a test raises to leave a block."""


@asynccontextmanager
async def entered(block: Any, is_async: bool) -> AsyncIterator[Any]:
    """Enters a pool or a connection of one in the way asked for."""
    if is_async:
        async with block as opened:
            yield opened
    else:
        with block as opened:
            yield opened


@asynccontextmanager
async def pooled(db: Database, size: int = 2) -> AsyncIterator[Any]:
    """A pool on the database of `db`, in which the table is."""
    await db.create(Item)
    async with entered(open_pool(db.url, size=size), db.is_async) as pool:
        yield pool


async def codes(db: Database) -> list[str]:
    found: Any = await db.execute('SELECT code FROM "Item" ORDER BY code')
    await db.rollback()
    return [row[0] for row in found]


# --- what is handed out ---------------------------------------------------------------------


async def test_a_connection_of_the_pool_serves_the_verbs_and_is_committed_by_its_user(
    db: Database,
) -> None:
    async with pooled(db) as pool:
        async with entered(pool.connection(), db.is_async) as conn:
            await db(Item(code="a").save(conn))
            await db(conn.commit())
        async with entered(pool.connection(commit=True), db.is_async) as conn:
            await db(Item(code="b").save(conn))
        async with entered(pool.connection(readonly=True), db.is_async) as conn:
            assert await db(Item.select_count(conn)) == 2
    assert await codes(db) == ["a", "b"]


async def test_a_connection_is_used_again(db: Database) -> None:
    async with pooled(db, size=1) as pool:
        seen = set()
        for _ in range(3):
            async with entered(pool.connection(), db.is_async) as conn:
                seen.add(id(conn))
        assert len(seen) == 1


async def test_a_reader_sees_what_was_committed_and_nothing_else(db: Database) -> None:
    async with (
        pooled(db) as pool,
        entered(pool.connection(commit=True), db.is_async) as writer,
    ):
        await db(Item(code="a").save(writer))
        async with entered(pool.connection(readonly=True), db.is_async) as reader:
            assert await db(Item.select_count(reader)) == 0
        await db(writer.commit())
        async with entered(pool.connection(readonly=True), db.is_async) as reader:
            assert await db(Item.select_count(reader)) == 1


async def test_a_readonly_connection_cannot_write_and_the_next_one_can(db: Database) -> None:
    async with pooled(db, size=1) as pool:
        for _ in range(2):
            async with entered(pool.connection(readonly=True), db.is_async) as conn:
                with pytest.raises(DatabaseError, match=r"readonly|read-only"):
                    await db(Item(code="no").save(conn))
            async with entered(pool.connection(commit=True), db.is_async) as conn:
                await db(Item.get_or_create(conn, code="yes"))
    assert await codes(db) == ["yes"]


@both_ways
async def test_a_pool_in_memory_is_one_database(is_async: bool) -> None:
    async with entered(open_pool("sqlite://", size=3), is_async) as pool:

        async def given(value: Any) -> Any:
            return await value if is_async else value

        async with entered(pool.connection(commit=True), is_async) as conn:
            await given(Schema([Item]).create_tables(conn))
            await given(Item(code="a").save(conn))
        async with entered(pool.connection(readonly=True), is_async) as conn:
            assert await given(Item.select_count(conn)) == 1
            with pytest.raises(DatabaseError, match="readonly"):
                await given(Item(code="no").save(conn))
        async with entered(pool.connection(commit=True), is_async) as conn:
            await given(Item(code="b").save(conn))
            assert await given(Item.select_count(conn)) == 2


@both_ways
async def test_a_reader_may_come_before_the_file_is_there(tmp_path: Any, is_async: bool) -> None:
    url = f"sqlite:///{tmp_path}/new.db"
    async with (
        entered(open_pool(url), is_async) as pool,
        entered(pool.connection(readonly=True), is_async) as conn,
    ):
        cursor = conn.execute("SELECT 1")
        assert (await (await cursor).fetchone() if is_async else cursor.fetchone()) == (1,)


# --- how it comes back ----------------------------------------------------------------------


async def test_an_exception_rolls_back_and_the_connection_is_clean_for_the_next(
    db: Database,
) -> None:
    async with pooled(db, size=1) as pool:
        with pytest.raises(Refused):
            async with entered(pool.connection(commit=True), db.is_async) as conn:
                await db(Item(code="a").save(conn))
                raise Refused
        async with entered(pool.connection(commit=True), db.is_async) as conn:
            assert await db(Item.select_count(conn)) == 0
            await db(Item(code="b").save(conn))
    assert await codes(db) == ["b"]


async def test_uncommitted_writes_are_rolled_back_with_a_warning(db: Database) -> None:
    async with pooled(db, size=1) as pool:
        with pytest.warns(UncommittedWarning):
            async with entered(pool.connection(), db.is_async) as conn:
                await db(Item(code="a").save(conn))
        async with entered(pool.connection(), db.is_async) as conn:
            assert await db(Item.select_count(conn)) == 0
    assert await codes(db) == []


async def test_a_connection_that_its_user_closed_is_replaced(db: Database) -> None:
    async with pooled(db, size=1) as pool:
        async with entered(pool.connection(), db.is_async) as conn:
            await db(conn.close())
        async with entered(pool.connection(commit=True), db.is_async) as conn:
            await db(Item(code="a").save(conn))
    assert await codes(db) == ["a"]


async def test_a_transaction_works_on_a_connection_of_the_pool(db: Database) -> None:
    async with pooled(db) as pool:
        async with (
            entered(pool.connection(), db.is_async) as conn,
            entered(transaction(conn), db.is_async),
        ):
            await db(Item(code="a").save(conn))
        assert await codes(db) == ["a"]


# --- many at once ---------------------------------------------------------------------------


async def test_twenty_tasks_share_a_pool(async_db: Database) -> None:
    db = async_db
    async with pooled(db, size=3) as pool:

        async def work(number: int) -> int:
            async with pool.connection(commit=True) as conn:
                await Item(code=f"n{number:02}").save(conn)
            async with pool.connection(readonly=True) as conn:
                count: int = await Item.select_count(conn)
                return count

        counts = await asyncio.gather(*(work(number) for number in range(20)))
        assert max(counts) == 20
        assert min(counts) >= 1
    assert await codes(db) == [f"n{number:02}" for number in range(20)]


async def test_twenty_threads_share_a_pool(sync_db: Database) -> None:
    db = sync_db
    async with pooled(db, size=3) as pool:
        counts: list[int] = []

        def work(number: int) -> None:
            with pool.connection(commit=True) as conn:
                Item(code=f"n{number:02}").save(conn)
            with pool.connection(readonly=True) as conn:
                counts.append(Item.select_count(conn))

        threads = [threading.Thread(target=work, args=(number,)) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(counts) == 20
        assert max(counts) == 20
    assert await codes(db) == [f"n{number:02}" for number in range(20)]


async def test_who_finds_no_connection_waits_for_one(async_db: Database) -> None:
    db = async_db
    async with pooled(db, size=1) as pool:
        order: list[str] = []
        first_is_in = asyncio.Event()
        let_go = asyncio.Event()

        async def first() -> None:
            async with pool.connection():
                first_is_in.set()
                await let_go.wait()
                order.append("first")

        async def second() -> None:
            await first_is_in.wait()
            async with pool.connection():
                order.append("second")

        tasks = [asyncio.create_task(first()), asyncio.create_task(second())]
        await first_is_in.wait()
        for _ in range(20):
            await asyncio.sleep(0)
        assert order == []
        let_go.set()
        await asyncio.gather(*tasks)
        assert order == ["first", "second"]


async def test_who_is_cancelled_while_waiting_takes_no_connection_with_him(
    async_db: Database,
) -> None:
    db = async_db
    async with pooled(db, size=1) as pool:

        async def work() -> None:
            async with pool.connection(commit=True) as conn:
                await Item(code="no").save(conn)
                await asyncio.Event().wait()

        for steps in (0, 1, 2, 3, 5, 8, 50):
            async with pool.connection():
                waiting = asyncio.create_task(work())
                for _ in range(steps):
                    await asyncio.sleep(0)
                waiting.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waiting
            working = asyncio.create_task(work())
            for _ in range(steps):
                await asyncio.sleep(0)
            working.cancel()
            with pytest.raises(asyncio.CancelledError):
                await working
        async with asyncio.timeout(10), pool.connection(commit=True) as conn:
            await Item(code="a").save(conn)
    assert await codes(db) == ["a"]


# --- misuse ---------------------------------------------------------------------------------


async def test_a_pool_that_is_not_open_says_how_to_open_it(db: Database) -> None:
    pool = open_pool(db.url)
    way = "async with" if db.is_async else "with"
    with pytest.raises(StateError, match=rf"^open the pool with `{way} open_pool"):
        async with entered(pool.connection(), db.is_async):
            pass


async def test_a_pool_of_the_other_colour_says_how_to_open_it(db: Database) -> None:
    async with pooled(db) as pool:
        way = "with" if db.is_async else "async with"
        with pytest.raises(StateError, match=rf"^open the pool with `{way} open_pool"):
            async with entered(pool.connection(), not db.is_async):
                pass


async def test_a_pool_is_not_opened_twice_and_can_be_opened_again(db: Database) -> None:
    pool = open_pool(db.url)
    async with entered(pool, db.is_async):
        with pytest.raises(StateError, match="open already"):
            async with entered(pool, db.is_async):
                pass
    async with entered(pool, db.is_async), entered(pool.connection(), db.is_async) as conn:
        await db(Schema([Item]).create_tables(conn))
        await db(conn.commit())
    with pytest.raises(StateError, match="open the pool"):
        async with entered(pool.connection(), db.is_async):
            pass


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "4"])
def test_the_size_of_a_pool_is_a_positive_number(size: Any) -> None:
    with pytest.raises(ValueError, match="from 1 on"):
        open_pool("sqlite://", size=size)


def test_a_pool_of_an_unknown_url_is_refused() -> None:
    with pytest.raises(ValueError, match="is not the URL of a database"):
        open_pool("mysql://localhost")


async def test_a_pool_closes_what_it_opened(db: Database) -> None:
    await db.create(Item)
    async with (
        entered(open_pool(db.url, size=1), db.is_async) as pool,
        entered(pool.connection(), db.is_async) as conn,
    ):
        pass
    with pytest.raises(DatabaseError, match="closed"):
        await db(Item.select(conn))
    async with entered(open_db(db.url), db.is_async) as other:
        assert await db(Item.select(other)) == []
