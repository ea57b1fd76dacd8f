"""Who is told of a statement, and what of it?"""

import logging
from typing import Any

import pytest
from pydantic import Field

from lythonic_state import (
    ConstraintViolation,
    DbModel,
    StatementEvent,
    children,
    count_statements,
    on_statement,
    parents,
)
from lythonic_state.drivers import observe
from tests.databases import Database


class Author(DbModel["Author"]):
    author_id: int = Field(default=-1, description="(PK)")
    name: str = Field(description="(UQ)")


class Book(DbModel["Book"]):
    book_id: int = Field(default=-1, description="(PK)")
    author_id: int = Field(description="(FK:Author.author_id)")


@pytest.fixture
def events() -> list[StatementEvent]:
    return []


@pytest.mark.parametrize("set_on", ["lythonic_state", None], ids=["itself", "the root"])
async def test_the_log_has_statement_time_and_rows_but_no_values(
    db: Database, caplog: pytest.LogCaptureFixture, set_on: str | None
) -> None:
    await db.create(Author)
    with caplog.at_level(logging.DEBUG, logger=set_on):
        await db(Author(name="a secret").save(db.conn))
        await db(Author.select(db.conn, name="a secret"))
    lines = [record.getMessage() for record in caplog.records if record.name == "lythonic_state"]
    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    (insert,) = [line for line in lines if "INSERT" in line]
    (select,) = [line for line in lines if "SELECT" in line]
    for line in (insert, select):
        assert line.split()[1] == "ms,"
        assert float(line.split()[0]) > 0
        assert ", 1 rows: " in line.replace(" ms, ", " ms, ", 1)
    assert 'INSERT INTO "Author"' in insert
    assert "secret" not in "".join(lines)
    caplog.clear()
    await db(Author.select(db.conn))
    assert not caplog.records, "below DEBUG nothing is said"


async def test_the_log_says_which_error_there_was(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    await db.create(Author)
    await db(Author(name="a").save(db.conn))
    caplog.set_level(logging.DEBUG, logger="lythonic_state")
    with pytest.raises(ConstraintViolation):
        await db(Author(name="a").save(db.conn))
    assert any("ConstraintViolation: INSERT" in record.getMessage() for record in caplog.records)


async def test_a_callback_gets_the_whole_event(db: Database, events: list[StatementEvent]) -> None:
    await db.create(Author)
    with on_statement(db.conn, events.append):
        await db(Author(name="a").save(db.conn))
        await db(Author.insert_many(db.conn, [Author(name="b"), Author(name="c")]))
        await db(Author.select(db.conn))
        await db(Author.update_where(db.conn, {"name": "z"}, name="b"))
        await db(Author.load_by_id(db.conn, 99))
    told = [(event.sql.split()[0], event.rows) for event in events if not event.control]
    wanted = [("INSERT", 1), ("INSERT", 2), ("SELECT", 3), ("UPDATE", 1), ("SELECT", 0)]
    assert [entry for entry in told if entry in wanted] == wanted
    for event in events:
        assert event.seconds >= 0
        assert event.error is None
    assert "a" in list(events[1 if events[0].control else 0].params)
    seen = len(events)
    await db(Author.select(db.conn))
    assert len(events) == seen, "it ended with its block"
    assert not observe.watched


async def test_a_connection_is_watched_alone_or_all_of_them(
    db: Database, events: list[StatementEvent]
) -> None:
    await db.create(Author)
    everywhere: list[StatementEvent] = []
    async with db.second() as other:
        here = on_statement(db.conn, events.append)
        all_of_them = on_statement(None, everywhere.append)
        await db(Author.select_count(other.conn))
        assert (len(events), len(everywhere)) == (0, 1)
        await db(Author.select_count(db.conn))
        assert (len(events), len(everywhere)) == (1, 2)
        here.stop()
        here.stop()
        await db(Author.select_count(db.conn))
        assert (len(events), len(everywhere)) == (1, 3)
        all_of_them.stop()
        await db(Author.select_count(db.conn))
        assert (len(events), len(everywhere)) == (1, 3)


async def test_two_callbacks_of_one_connection_end_apart(
    db: Database, events: list[StatementEvent]
) -> None:
    await db.create(Author)
    one, two = on_statement(db.conn, events.append), on_statement(db.conn, events.append)
    await db(Author.select_count(db.conn))
    assert len(events) == 2
    one.stop()
    await db(Author.select_count(db.conn))
    assert len(events) == 3
    two.stop()
    assert not observe.watched


async def test_a_callback_that_raises_is_logged_and_harms_nothing(
    db: Database, events: list[StatementEvent], caplog: pytest.LogCaptureFixture
) -> None:
    await db.create(Author)

    def fail(event: StatementEvent) -> None:
        raise KeyError("broken callback")

    with on_statement(db.conn, fail), on_statement(db.conn, events.append):
        author = await db(Author(name="a").save(db.conn))
    assert author.author_id == 1
    assert events, "the next callback is called all the same"
    assert "a callback of on_statement failed" in caplog.text
    assert "broken callback" in caplog.text
    await db.commit()
    assert await db(Author.select_count(db.conn)) == 1


async def test_a_failing_statement_carries_its_error(
    db: Database, events: list[StatementEvent]
) -> None:
    await db.create(Author)
    await db(Author(name="a").save(db.conn))
    await db.commit()
    with on_statement(db.conn, events.append), pytest.raises(ConstraintViolation) as caught:
        await db(Author(name="a").save(db.conn))
    (failed,) = [event for event in events if event.error is not None]
    assert failed.error is caught.value
    assert failed.rows is None
    assert failed.sql.startswith("INSERT")


async def test_statements_of_verbs_are_counted_and_those_of_transactions_are_not(
    db: Database, events: list[StatementEvent]
) -> None:
    await db.create(Author, Book)
    with on_statement(db.conn, events.append), count_statements(db.conn) as counted:
        async with db.transaction():
            async with db.transaction():
                await db(Author(name="a").save(db.conn))
            await db(Author.select(db.conn))
    assert [sql.split()[0] for sql in counted.statements] == ["INSERT", "SELECT"]
    assert counted.count == len(counted) == 2
    assert any(event.control for event in events), "BEGIN and its like are told as such"
    with count_statements() as everywhere, count_statements(db.conn) as here:
        async with db.second() as other:
            await db(Author.select(other.conn))
        await db(Author.select(db.conn))
    assert (everywhere.count, here.count) == (2, 1)


async def test_relatives_of_fifty_rows_are_one_statement(db: Database) -> None:
    await db.create(Author, Book)
    authors = [Author(name=str(number)) for number in range(10)]
    await db(Author.insert_many(db.conn, authors))
    books = [Book(author_id=authors[number % 10].author_id) for number in range(50)]
    await db(Book.insert_many(db.conn, books))
    with count_statements(db.conn) as counted:
        found: Any = await db(parents(db.conn, books, Author))
    assert counted.count == 1, counted.statements
    assert len(found) == 10 or len(found) == 50
    with count_statements(db.conn) as counted:
        await db(children(db.conn, authors, Book))
    assert counted.count == 1, counted.statements


async def test_a_stream_is_told_when_it_ends(db: Database, events: list[StatementEvent]) -> None:
    await db.create(Author)
    await db(Author.insert_many(db.conn, [Author(name=str(number)) for number in range(9)]))
    with on_statement(db.conn, events.append):
        await db.collect(Author.iterate(db.conn, 4))
    assert [event.rows for event in events if not event.control] == [9]
