"""Opening a database and leaving it: what is refused, what is rolled back, and what is told."""

import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import Field

from lythonic_state import (
    ConstraintViolation,
    DatabaseBusy,
    DatabaseError,
    DbModel,
    Schema,
    UncommittedWarning,
    open_db,
    open_sqlite_db,
)
from lythonic_state.connection import set_synchronous
from tests.databases import Database

both_ways = pytest.mark.parametrize("is_async", [False, True], ids=["with", "async with"])


class Item(DbModel["Item"]):
    item_id: int = Field(default=-1, description="(PK)")
    code: str = Field(description="(AK)")
    body: bytes = b""


class Refused(Exception):
    """What a test raises to leave a block."""


@asynccontextmanager
async def entered(opener: Any, is_async: bool) -> AsyncIterator[Any]:
    """Enters an opener in the way asked for."""
    if is_async:
        async with opener as conn:
            yield conn
    else:
        with opener as conn:
            yield conn


async def given(value: Any) -> Any:
    """A value, awaited if it must be."""
    return await value if hasattr(value, "__await__") else value


async def codes(db: Database) -> list[str]:
    found: Any = await db.execute('SELECT code FROM "Item" ORDER BY code')
    await db.rollback()
    return [row[0] for row in found]


def opened(db: Database, **options: Any) -> Any:
    """A further connection, whose end the test looks at."""
    return entered(open_db(db.url, **options), db.is_async)


# --- what cannot be opened ------------------------------------------------------------------


@both_ways
async def test_a_file_that_is_no_database_is_told_when_it_is_opened(
    tmp_path: Path, is_async: bool
) -> None:
    junk = tmp_path / "junk.db"
    junk.write_bytes(b"this is certainly not a database" * 100)
    with pytest.raises(DatabaseError, match=r"junk\.db.*not a database") as caught:
        async with entered(open_sqlite_db(junk), is_async):
            pass
    assert isinstance(caught.value, sqlite3.DatabaseError)
    assert junk.read_bytes().startswith(b"this is certainly")


@both_ways
async def test_a_file_in_a_missing_folder_is_told_with_its_path(
    tmp_path: Path, is_async: bool
) -> None:
    with pytest.raises(DatabaseError, match=r"nowhere.*is its folder there"):
        async with entered(open_sqlite_db(tmp_path / "nowhere" / "x.db"), is_async):
            pass
    assert not (tmp_path / "nowhere").exists()


@both_ways
async def test_a_missing_file_is_not_created_by_reading(tmp_path: Path, is_async: bool) -> None:
    path = tmp_path / "missing.db"
    with pytest.raises(DatabaseError, match="must exist to be opened readonly"):
        async with entered(open_sqlite_db(path, readonly=True), is_async):
            pass
    assert not path.exists()


@both_ways
async def test_a_failed_opening_can_be_tried_again(tmp_path: Path, is_async: bool) -> None:
    opener = open_sqlite_db(tmp_path / "later" / "x.db")
    with pytest.raises(DatabaseError):
        async with entered(opener, is_async):
            pass
    (tmp_path / "later").mkdir()
    for _ in range(2):
        async with entered(opener, is_async) as conn:
            await given(Schema([Item]).create_tables(conn))
            await given(conn.commit())


@both_ways
@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("library.db", "is not the URL of a database"),
        ("mysql://localhost/x", "is not the URL of a database"),
        ("mysql://me:secret@host/x", "^'mysql://…@host/x' is not the URL of a database"),
        ("", "is not the URL of a database"),
        ("sqlite:library.db", "is not the URL of a database"),
        ("sqlite://library.db", "three slashes"),
    ],
)
async def test_a_url_that_names_no_database_is_refused_with_the_mend(
    url: str, told: str, is_async: bool
) -> None:
    with pytest.raises(ValueError, match=told):
        async with entered(open_db(url), is_async):
            pass


@both_ways
async def test_a_server_that_is_not_there_is_told_without_the_password(
    tmp_path: Path, is_async: bool
) -> None:
    url = f"postgresql://jane:secret@/library?host={tmp_path}"
    with pytest.raises(DatabaseError, match="cannot connect to PostgreSQL") as caught:
        async with entered(open_db(url), is_async):
            pass
    assert isinstance(caught.value, psycopg.OperationalError)
    assert "secret" not in str(caught.value)


async def test_an_unknown_synchronous_mode_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="FULL"):
        open_sqlite_db(tmp_path / "x.db", synchronous="SOMETIMES")  # type: ignore[arg-type]


# --- what an opened connection is like ------------------------------------------------------


@both_ways
async def test_a_sqlite_file_is_opened_with_foreign_keys_and_a_write_ahead_log(
    sqlite_path: Path, is_async: bool
) -> None:
    opener = open_sqlite_db(sqlite_path, busy_timeout=1.5, synchronous="NORMAL")
    async with entered(opener, is_async) as conn:
        found = []
        for pragma in ("foreign_keys", "journal_mode", "busy_timeout", "synchronous"):
            cursor = await given(conn.execute(f"PRAGMA {pragma}"))
            found.append((await given(cursor.fetchone()))[0])
        assert found == [1, "wal", 1500, 1]


@both_ways
async def test_a_database_in_memory_ends_with_its_block(is_async: bool) -> None:
    for url in ("sqlite://", "sqlite:///:memory:"):
        async with entered(open_db(url), is_async) as conn:
            await given(Schema([Item]).create_tables(conn))
            await given(Item(code="a").save(conn))
            assert await given(Item.select_count(conn)) == 1
            await given(conn.commit())
    async with entered(open_sqlite_db(":memory:"), is_async) as conn:
        with pytest.raises(DatabaseError, match="no such table"):
            await given(Item.select(conn))


@both_ways
async def test_urls_of_files_may_be_relative_absolute_and_quoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_async: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    urls = {
        "sqlite:///near.db": "near.db",
        f"sqlite:///{tmp_path}/far.db": "far.db",
        "sqlite:///a%20b.db": "a b.db",
    }
    for url, name in urls.items():
        async with entered(open_db(url, commit=True), is_async) as conn:
            await given(Schema([Item]).create_tables(conn))
        assert (tmp_path / name).exists(), url


@pytest.mark.parametrize("name", ["a b", "per%20cent", "what?mode=ro", "hash#tag", "ünï"])
@both_ways
async def test_a_file_of_any_name_is_opened_to_write_and_to_read(
    tmp_path: Path, name: str, is_async: bool
) -> None:
    path = tmp_path / f"{name}.db"
    async with entered(open_sqlite_db(path, commit=True), is_async) as conn:
        await given(Schema([Item]).create_tables(conn))
        await given(Item(code="a").save(conn))
    assert path.exists()
    async with entered(open_sqlite_db(path, readonly=True), is_async) as conn:
        assert await given(Item.select_count(conn)) == 1


async def test_writing_to_a_readonly_connection_is_refused(db: Database) -> None:
    await db.create(Item)
    async with db.second(readonly=True) as reader:
        assert await reader(Item.select(reader.conn)) == []
        with pytest.raises(DatabaseError, match=r"readonly|read-only"):
            await reader(Item(code="a").save(reader.conn))
        await reader.rollback()
        assert await reader(Item.select_count(reader.conn)) == 0
    assert await codes(db) == []


@both_ways
async def test_writing_to_a_readonly_database_in_memory_is_refused(is_async: bool) -> None:
    async with entered(open_sqlite_db(":memory:", readonly=True), is_async) as conn:
        with pytest.raises(DatabaseError, match="readonly"):
            await given(Schema([Item]).create_tables(conn))


# --- how a connection is left ---------------------------------------------------------------


async def test_leaving_with_uncommitted_writes_rolls_back_and_warns(db: Database) -> None:
    await db.create(Item)
    with pytest.warns(UncommittedWarning, match="uncommitted writes") as told:
        async with opened(db) as conn:
            await db(Item(code="a").save(conn))
    assert len(told) == 1
    assert await codes(db) == []


async def test_the_warning_points_at_the_block_that_was_left(db: Database) -> None:
    await db.create(Item)
    opener: Any = open_db(db.url)
    with pytest.warns(UncommittedWarning) as told:  # noqa: PT031  # the block is what is looked at
        if db.is_async:
            async with opener as conn:
                await Item(code="a").save(conn)
        else:
            with opener as conn:
                Item(code="a").save(conn)
    assert told[0].filename == __file__


async def test_leaving_after_reads_says_nothing(db: Database) -> None:
    await db.create(Item)
    async with opened(db) as conn:
        assert await db(Item.select(conn)) == []
        await db(Item.update_where(conn, {"body": b"x"}, code="nobody"))
        assert await db(Item.load_by_id(conn, 1)) is None


async def test_leaving_after_a_write_that_was_refused_says_nothing(db: Database) -> None:
    await db.create(Item)
    await db(Item(code="a").save(db.conn))
    await db.commit()
    async with opened(db) as conn:
        assert await db(Item.exists(conn, code="a"))
        with pytest.raises(ConstraintViolation):
            await db(Item(code="a").save(conn))
        assert await db(Item.select_count(conn)) == 1


async def test_leaving_after_a_write_beside_a_refused_one_warns(db: Database) -> None:
    await db.create(Item)

    async def write_twice() -> None:
        async with opened(db) as conn:
            await db(Item(code="a").save(conn))
            with pytest.raises(ConstraintViolation):
                await db(Item(code="a").save(conn))

    with pytest.warns(UncommittedWarning):
        await write_twice()
    assert await codes(db) == []


async def test_leaving_after_a_commit_or_a_rollback_says_nothing(db: Database) -> None:
    await db.create(Item)
    async with opened(db) as conn:
        await db(Item(code="a").save(conn))
        await db(conn.commit())
    async with opened(db) as conn:
        await db(Item(code="b").save(conn))
        await db(conn.rollback())
    assert await codes(db) == ["a"]


async def test_commit_true_commits_at_a_clean_exit(db: Database) -> None:
    await db.create(Item)
    async with opened(db, commit=True) as conn:
        await db(Item(code="a").save(conn))
    assert await codes(db) == ["a"]


@pytest.mark.parametrize("commit", [False, True])
async def test_an_exception_rolls_back_and_stays_what_it_is(db: Database, commit: bool) -> None:
    await db.create(Item)
    with pytest.raises(Refused) as caught:
        async with opened(db, commit=commit) as conn:
            await db(Item(code="a").save(conn))
            raise Refused
    assert caught.value.__context__ is None
    assert await codes(db) == []


@pytest.mark.parametrize("commit", [False, True])
async def test_a_connection_that_was_closed_inside_is_left_quietly(
    db: Database, commit: bool
) -> None:
    await db.create(Item)
    async with opened(db, commit=commit) as conn:
        await db(Item(code="a").save(conn))
        await db(conn.close())
    assert await codes(db) == []


async def test_an_exception_after_closing_inside_is_not_masked(db: Database) -> None:
    await db.create(Item)
    with pytest.raises(Refused):
        async with opened(db) as conn:
            await db(conn.close())
            raise Refused


async def test_a_verb_on_a_closed_connection_is_an_error_of_the_database(db: Database) -> None:
    await db.create(Item)
    async with opened(db) as conn:
        await db(conn.close())
        with pytest.raises(DatabaseError, match="closed"):
            await db(Item(code="a").save(conn))
        with pytest.raises(DatabaseError, match="closed"):
            await db(Item.select(conn))


async def test_a_connection_is_closed_when_its_block_is_left(db: Database) -> None:
    await db.create(Item)
    async with opened(db) as conn:
        pass
    with pytest.raises(DatabaseError, match="closed"):
        await db(Item.select(conn))


def test_something_else_than_a_connection_is_refused_with_the_way_to_open_one() -> None:
    with pytest.raises(TypeError, match="open_sqlite_db"):
        Item.select("library.db")  # type: ignore[call-overload]


# --- locks and full disks -------------------------------------------------------------------


@both_ways
async def test_a_locked_file_is_busy_and_free_again_after_the_commit(
    sqlite_path: Path, is_async: bool
) -> None:
    with open_sqlite_db(sqlite_path, commit=True) as holder:
        Schema([Item]).create_tables(holder)
        holder.commit()
        Item(code="a").save(holder)
        async with entered(open_sqlite_db(sqlite_path, busy_timeout=0.01), is_async) as conn:
            assert await given(Item.select(conn)) == []  # readers do not wait
            with pytest.raises(DatabaseBusy, match=r"test\.db.*locked") as caught:
                await given(Item(code="b").save(conn))
            assert isinstance(caught.value, sqlite3.OperationalError)
            assert not conn.in_transaction
            holder.commit()
            await given(Item(code="b").save(conn))
            await given(conn.commit())
    with open_sqlite_db(sqlite_path) as reader:
        assert Item.select_count(reader) == 2


async def test_a_lock_on_postgres_that_is_not_had_in_time_is_busy(
    pg_url: str,
) -> None:
    with open_db(pg_url) as holder, open_db(pg_url) as other:
        Schema([Item]).create_tables(holder)
        Item(code="a").save(holder)
        holder.commit()
        Item.update_where(holder, {"body": b"x"}, code="a")
        other.execute("SET lock_timeout = '20ms'")
        other.commit()
        with pytest.raises(DatabaseBusy, match="run it again") as caught:
            Item.update_where(other, {"body": b"y"}, code="a")
        assert isinstance(caught.value, psycopg.errors.LockNotAvailable)
        holder.rollback()
        assert Item.update_where(other, {"body": b"y"}, code="a") == 1
        other.rollback()


@pytest.mark.parametrize("pending", [False, True], ids=["alone", "after pending work"])
@both_ways
async def test_a_full_disk_is_told_and_nothing_of_the_verb_stays(
    sqlite_path: Path, is_async: bool, pending: bool
) -> None:
    async with entered(open_sqlite_db(sqlite_path), is_async) as conn:
        await given(Schema([Item]).create_tables(conn))
        await given(Item(code="before").save(conn))
        await given(conn.commit())
        await given(conn.execute("PRAGMA max_page_count=20"))
        if pending:
            await given(Item(code="pending").save(conn))
        rows = [Item(code=f"n{number}", body=b"x" * 1000) for number in range(500)]
        with pytest.raises(DatabaseError, match="full"):
            await given(Item.insert_many(conn, rows))
        assert {row.item_id for row in rows} == {-1}
        assert await given(Item.select_count(conn, startswith__code="n")) == 0
        await given(conn.commit())
        await given(Item(code="small").save(conn))  # the connection goes on
        await given(conn.commit())
    with open_sqlite_db(sqlite_path) as reader:
        found = {item.code for item in Item.select(reader)}
    assert found - {"pending"} == {"before", "small"}


# --- imports --------------------------------------------------------------------------------


def test_opening_sqlite_the_sync_way_imports_no_driver_that_it_does_not_need() -> None:
    script = (
        "import sys, lythonic_state\n"
        "with lythonic_state.open_sqlite_db(':memory:'): pass\n"
        "print(sorted({'aiosqlite', 'psycopg', 'psycopg_pool'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stdout == "[]\n"


async def test_how_soon_a_commit_is_on_the_disk_can_be_changed(db: Database) -> None:
    await db(set_synchronous(db.conn, "NORMAL"))
    if db.dialect == "sqlite":
        assert await db.execute("PRAGMA synchronous") == [(1,)]
        await db.execute("CREATE TABLE t (x)")
        await db.commit()
        await db.execute("INSERT INTO t VALUES (1)")
        with pytest.raises(DatabaseError, match="inside a transaction"):
            await db(set_synchronous(db.conn, "FULL"))
        await db.rollback()
    with pytest.raises(ValueError, match="use OFF, NORMAL, FULL or EXTRA"):
        await db(set_synchronous(db.conn, "SOMETIMES"))  # type: ignore[call-overload]
