"""The harness itself: whatever else is tested stands on these."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.databases import Database, PostgresDatabase


async def test_a_test_starts_with_an_empty_database(db: Database) -> None:
    await db.execute("CREATE TABLE first_come (n INTEGER)")
    await db.commit()


async def test_the_next_test_starts_with_an_empty_database_too(db: Database) -> None:
    await db.execute("CREATE TABLE first_come (n INTEGER)")
    await db.commit()


async def test_raw_sql_takes_question_marks_and_gives_tuples(db: Database) -> None:
    await db.execute("CREATE TABLE t (n INTEGER, s TEXT)")

    assert await db.execute("INSERT INTO t VALUES (?, ?)", (1, "a%")) == []
    assert await db.execute("SELECT n, s FROM t WHERE s LIKE 'a%'") == [(1, "a%")]


async def test_a_second_connection_sees_what_was_committed(db: Database) -> None:
    await db.execute("CREATE TABLE t (n INTEGER)")
    await db.commit()
    await db.execute("INSERT INTO t VALUES (1)")

    async with db.second() as other:
        assert (other.colour, other.url) == (db.colour, db.url)
        assert await other.execute("SELECT n FROM t") == []
        await other.rollback()
        await db.commit()
        assert await other.execute("SELECT n FROM t") == [(1,)]


async def test_what_a_test_leaves_uncommitted_is_rolled_back_in_silence(db: Database) -> None:
    await db.execute("CREATE TABLE t (n INTEGER)")
    await db.commit()
    await db.execute("INSERT INTO t VALUES (1)")


async def test_a_test_may_close_its_connection(db: Database) -> None:
    await db(db.conn.close())


async def test_a_block_commits_or_undoes(db: Database) -> None:
    await db.execute("CREATE TABLE t (n INTEGER)")
    await db.commit()
    async with db.transaction():
        await db.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(ZeroDivisionError):
        async with db.transaction():
            await db.execute("INSERT INTO t VALUES (2)")
            raise ZeroDivisionError

    assert await db.execute("SELECT n FROM t") == [(1,)]


async def test_a_verb_of_the_wrong_colour_is_noticed(sync_db: Database) -> None:
    async def an_async_verb() -> int:
        return 1

    awaitable = an_async_verb()
    with pytest.raises(AssertionError, match="a plain value was expected"):
        await sync_db(awaitable)
    awaitable.close()
    assert await sync_db(1) == 1


async def test_a_plain_value_on_an_async_colour_is_noticed(async_db: Database) -> None:
    with pytest.raises(AssertionError, match="an awaitable was expected"):
        await async_db(1)


async def test_collect_takes_the_iterator_of_its_colour(db: Database) -> None:
    async def numbers_async() -> AsyncIterator[int]:
        yield 1
        yield 2

    numbers = numbers_async() if db.is_async else iter([1, 2])
    assert await db.collect(numbers) == [1, 2]


@pytest.mark.parametrize("colour", ["sqlite"])
async def test_a_test_may_choose_its_colours(db: Database, sqlite_path: Path) -> None:
    assert (db.colour, db.dialect, db.is_async) == ("sqlite", "sqlite", False)
    assert sqlite_path.is_file()


async def test_the_server_is_far_from_utc(pg_database: PostgresDatabase) -> None:
    assert pg_database.admin.execute("SHOW timezone").fetchone() == ("Asia/Kathmandu",)
