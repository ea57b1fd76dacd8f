"""Does a stream give what select gives, in constant memory, and close what it opened?"""

import asyncio
import gc
import sqlite3
import tracemalloc
from contextlib import aclosing, closing
from typing import Any

import pytest
from pydantic import Field

from lythonic_state import (
    DatabaseError,
    DbModel,
    FilterError,
    RowError,
    Schema,
    TransactionError,
    col,
    on_statement,
    open_sqlite_db,
    transaction,
)
from tests.databases import Database


class Reading(DbModel["Reading"]):
    reading_id: int = Field(default=-1, description="(PK)")
    sensor: str
    value: float = Field(ge=0)


async def fill(db: Database, count: int) -> list[Reading]:
    await db.create(Reading)
    rows = [Reading(sensor=f"s{n % 3}", value=n) for n in range(count)]
    await db(Reading.insert_many(db.conn, rows))
    await db.commit()
    return rows


async def take(db: Database, stream: Any, count: int) -> list[Any]:
    """The first few, leaving the stream open."""
    if db.is_async:
        return [await anext(stream) for _ in range(count)]
    return [next(stream) for _ in range(count)]


async def close(db: Database, stream: Any) -> None:
    await db(stream.aclose() if db.is_async else stream.close())


@pytest.mark.parametrize("batch", [1, 7, 1000])
async def test_a_stream_gives_what_select_gives(db: Database, batch: int) -> None:
    await fill(db, 100)
    for options in (
        {"order_by": "-value"},
        {"order_by": ["sensor", "value"], "limit": 20, "offset": 3},
        {"order_by": "value", "sensor": ["s0", "s1"], "gt__value": 30},
        {"order_by": "value", "sensor": "none"},
    ):
        streamed = await db.collect(Reading.iterate(db.conn, batch, **options))
        assert streamed == await db(Reading.select(db.conn, **options))
    found = await db.collect(Reading.iterate(db.conn, batch, col(Reading.value) < 2))
    assert len(found) == 2


async def test_a_stream_needs_constant_memory(db: Database) -> None:
    count = 20_000
    await db.create(Reading)
    numbers = (
        "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?) "
        "INSERT INTO \"Reading\" (sensor, value) SELECT 'sensor', i FROM n"
    )
    await db.execute(numbers, (count,))
    await db.commit()
    await db.collect(Reading.iterate(db.conn, limit=1000))

    async def read() -> int:
        seen = 0
        stream: Any = Reading.iterate(db.conn, 500)
        if db.is_async:
            async for _ in stream:
                seen += 1
        else:
            for _ in stream:
                seen += 1
        return seen

    gc.collect()
    tracemalloc.start()
    try:
        assert await read() == count
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # the whole table as models is ten times this
    assert peak < 2_000_000


def test_two_hundred_thousand_rows_need_no_more_memory(sqlite_path: Any) -> None:
    with open_sqlite_db(sqlite_path, synchronous="OFF") as conn:
        Schema([Reading]).create_tables(conn)
        conn.execute(
            "WITH RECURSIVE n(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 199999) "
            "INSERT INTO Reading (sensor, value) SELECT 'sensor', i FROM n"
        )
        conn.commit()
        stream = Reading.iterate(conn, 1000)
        first = next(stream)
        assert first.value == 0
        tracemalloc.start()
        try:
            assert sum(1 for _ in stream) == 199_999
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 2_000_000


async def test_a_stream_that_is_left_early_holds_nothing(db: Database) -> None:
    await fill(db, 50)
    stream = Reading.iterate(db.conn, 2)
    assert len(await take(db, stream, 3)) == 3
    await close(db, stream)
    await db.rollback()
    if db.dialect == "postgres":
        assert await db.execute("SELECT * FROM pg_cursors WHERE is_holdable") == []
    # a read that is still open would keep the table from being dropped
    await db.execute('DROP TABLE "Reading"')
    await db.commit()


async def test_breaking_out_of_a_loop_closes_the_cursor(db: Database) -> None:
    await fill(db, 50)
    if db.is_async:
        async with aclosing(Reading.iterate(db.conn, 2)) as astream:
            async for _ in astream:
                break
    else:
        for _ in Reading.iterate(db.conn, 2):
            break
    await db.rollback()
    await db.execute('DROP TABLE "Reading"')
    await db.commit()


async def test_rows_may_be_written_while_they_are_streamed(db: Database) -> None:
    await fill(db, 30)
    stream: Any = Reading.iterate(db.conn, 4, order_by="reading_id")
    for seen in range(30):
        (reading,) = await take(db, stream, 1)
        reading.value += 100
        await db(reading.update(db.conn))
        if seen == 10:
            await db.commit()
    assert await db.collect(stream) == []
    await db.commit()
    assert await db(Reading.select_count(db.conn, gte__value=100)) == 30


async def test_a_stream_inside_a_transaction_sees_its_writes(db: Database) -> None:
    await fill(db, 3)
    async with db.transaction():
        await db(Reading(sensor="new", value=9).save(db.conn))
        found = await db.collect(Reading.iterate(db.conn, 2))
        assert len(found) == 4


@pytest.mark.parametrize("batch", [0, -1, True, 2.5, "10"])
async def test_a_batch_that_is_none_is_refused(db: Database, batch: Any) -> None:
    await db.create(Reading)
    with pytest.raises(ValueError, match="batch"):
        Reading.iterate(db.conn, batch)


async def test_a_wrong_filter_is_told_at_once(db: Database) -> None:
    await db.create(Reading)
    with pytest.raises(FilterError):
        Reading.iterate(db.conn, sensr="x")


async def test_a_missing_table_is_told_by_our_error(db: Database) -> None:
    with pytest.raises(DatabaseError, match="create_tables"):
        await db.collect(Reading.iterate(db.conn))
    await db.rollback()


async def test_a_row_that_no_longer_validates_ends_a_stream(db: Database) -> None:
    await fill(db, 5)
    await db.execute('UPDATE "Reading" SET value = -1 WHERE reading_id = 4')
    stream: Any = Reading.iterate(db.conn, 2, order_by="reading_id")
    assert len(await take(db, stream, 2)) == 2
    with pytest.raises(RowError, match="value"):
        await db.collect(stream)
    assert await db(Reading.select_count(db.conn)) == 5


async def test_streams_are_told_to_observers(db: Database) -> None:
    await fill(db, 5)
    events: list[Any] = []
    with on_statement(db.conn, events.append):
        await db.collect(Reading.iterate(db.conn, 2))
    (event,) = [event for event in events if not event.control]
    assert event.rows == 5
    assert "Reading" in event.sql


async def test_a_stream_in_another_task_is_kept_out_of_a_transaction(async_db: Database) -> None:
    await fill(async_db, 3)

    async def elsewhere() -> list[Any]:
        return await async_db.collect(Reading.iterate(async_db.conn))

    async with transaction(async_db.conn):
        with pytest.raises(TransactionError):
            await asyncio.create_task(elsewhere())


async def test_a_cancelled_stream_can_be_left(async_db: Database) -> None:
    await fill(async_db, 200)
    started = asyncio.Event()

    async def read() -> None:
        async with aclosing(Reading.iterate(async_db.conn, 1)) as stream:
            async for _ in stream:
                started.set()

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await async_db.rollback()
    assert await async_db(Reading.select_count(async_db.conn)) == 200


def test_plain_connections_stream_whatever_their_row_factory(sqlite_path: Any) -> None:
    with closing(sqlite3.connect(sqlite_path)) as conn:
        conn.row_factory = sqlite3.Row
        Schema([Reading]).create_tables(conn)
        Reading.insert_many(conn, [Reading(sensor="a", value=n) for n in range(5)])
        assert [r.value for r in Reading.iterate(conn, 2)] == [0, 1, 2, 3, 4]
