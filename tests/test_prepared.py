"""What do prepared statements do, alone and several as one verb, on each colour of connection?"""

import sqlite3
from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any, Literal

import pytest
from pydantic import AwareDatetime, Field, NaiveDatetime

from lythonic_state import (
    AltKey,
    ConstraintViolation,
    DbModel,
    FilterError,
    ForeignKey,
    InvalidValue,
    PreparedDelete,
    PreparedInsert,
    PreparedSelect,
    PreparedUpdate,
    PrimaryKey,
    RowError,
    Schema,
    SchemaError,
    TransactionError,
    UserOwned,
    checkpoint,
    count_statements,
    free_space,
    open_sqlite_db,
    perform,
)
from lythonic_state.prepared import PreparedRow
from tests.databases import Database

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)


class Account(DbModel["Account"]):
    name: Annotated[str, PrimaryKey()]
    cents: int = 0


class Entry(DbModel["Entry"]):
    entry_id: int = Field(default=-1, description="(PK)")
    account: Annotated[str, ForeignKey(Account)]
    token: Annotated[str, AltKey()]
    cents: int
    status: Literal["open", "closed"] = "open"
    note: str | None = None
    at: AwareDatetime | None = None
    tags: list[str] = Field(default_factory=list)


class Stamp(DbModel["Stamp"]):
    stamp_id: int = Field(default=-1, description="(PK)")
    at: AwareDatetime = Field(default_factory=lambda: NOW)


class Task(UserOwned["Task"]):
    task_id: int = Field(default=-1, description="(PK)")
    title: str


ACCOUNT = PreparedInsert(Account, "name")
ENTRY = PreparedInsert(Entry, "account", "token", "cents", "at", "tags")
NEW_ENTRY = PreparedInsert(Entry, "account", "token", "cents", "tags", on_conflict="ignore")
COUNT = PreparedUpdate(Account, ["cents"], ["name"])
CLOSE = PreparedUpdate(Entry, ["status", "note"], ["account", "status"])
ENTRIES = PreparedSelect(Entry, "account")
FORGET = PreparedDelete(Entry, "account", "status")
NOTE = PreparedRow(Entry, ["note", "at", "tags"], ["account", "token"])


def entry(token: str, **more: Any) -> Any:
    values = {"account": "a", "token": token, "cents": 5, "at": NOW, "tags": ["x"], **more}
    return ENTRY(**values)


async def opened(db: Database) -> None:
    await db.create(Account, Entry)
    await db(perform(db.conn, ACCOUNT(name="a")))
    await db.commit()


async def test_a_row_has_what_was_given_and_defaults(db: Database) -> None:
    await opened(db)
    key = await db(perform(db.conn, entry("t1")))
    (found,) = await db(perform(db.conn, ENTRIES(account="a")))

    assert found == await db(Entry.get(db.conn, token="t1"))
    assert found == Entry(entry_id=key, account="a", token="t1", cents=5, at=NOW, tags=["x"])


async def test_several_are_one_verb_that_knows_what_each_gave(db: Database) -> None:
    await opened(db)

    def deposit() -> Any:
        first = yield entry("t1")
        second = yield entry("t2")
        written = yield COUNT({"cents": 10}, name="a")
        closed = yield CLOSE({"status": "closed", "note": "done"}, account="a", status="open")
        found = yield ENTRIES(account="a")
        left = yield FORGET(account="a", status="open")
        gone = yield FORGET(account="a", status="closed")
        return second - first, written, closed, [each.note for each in found], left, gone

    with count_statements() as counted:
        given = await db(perform(db.conn, deposit))
    assert given == (1, 1, 2, ["done", "done"], 0, 2)
    assert counted.count == 7
    assert (await db(Account.get(db.conn, name="a"))).cents == 10


async def test_what_is_the_same_every_time_need_not_be_given(db: Database) -> None:
    await opened(db)
    closed = PreparedInsert(
        Entry, "token", "at", always={"account": "a", "cents": 7, "status": "closed", "tags": []}
    )
    shut = PreparedUpdate(
        Entry, ["note"], ["account"], always={"status": "closed"}, only={"status": "open"}
    )
    empty = PreparedUpdate(Account, [], [], always={"cents": 0}, only={"name": "a"})

    def work() -> Any:
        yield entry("t1")
        yield closed(token="t2", at=NOW)
        yield closed.many([{"token": "t3", "at": NOW}])
        return (yield shut({"note": "done"}, account="a")), (yield empty({}))

    assert await db(perform(db.conn, work)) == (1, 1)
    found = await db(perform(db.conn, ENTRIES(account="a")))
    assert {(each.token, each.cents, each.status, each.note) for each in found} == {
        ("t1", 5, "closed", "done"),
        ("t2", 7, "closed", None),
        ("t3", 7, "closed", None),
    }


async def test_committing_is_the_users_unless_it_was_asked_for(db: Database) -> None:
    await opened(db)
    await db(perform(db.conn, entry("t1")))
    await db.rollback()
    assert await db(Entry.select_count(db.conn)) == 0
    await db.rollback()

    await db(perform(db.conn, entry("t2"), commit=True))
    await db.rollback()
    async with db.second() as other:
        assert await other(Entry.select_count(other.conn)) == 1


async def test_a_whole_transaction_does_not_end_one_that_is_open(db: Database) -> None:
    await opened(db)
    await db(perform(db.conn, entry("t1")))
    with pytest.raises(TransactionError, match="a whole one was asked for"):
        await db(perform(db.conn, entry("t2"), commit=True))
    await db.commit()
    assert await db(Entry.select_count(db.conn)) == 1


@pytest.mark.parametrize("commit", [False, True])
async def test_of_several_all_take_effect_or_none(db: Database, commit: bool) -> None:
    await opened(db)

    def fails() -> Any:
        yield entry("t1")
        yield COUNT({"cents": 1}, name="a")
        yield entry("t1")

    with pytest.raises(ConstraintViolation):
        await db(perform(db.conn, fails, commit=commit))
    assert await db(Entry.select_count(db.conn)) == 0
    assert (await db(Account.get(db.conn, name="a"))).cents == 0


async def test_inside_a_transaction_only_the_verb_is_undone(db: Database) -> None:
    await opened(db)

    def fails() -> Any:
        yield entry("t2")
        raise LookupError("mine")

    async with db.transaction():
        await db(perform(db.conn, entry("t1")))
        with pytest.raises(LookupError, match="mine"):
            await db(perform(db.conn, fails))
    assert [each.token for each in await db(Entry.select(db.conn))] == ["t1"]


async def test_an_error_reaches_the_work_where_it_happened(sync_db: Database) -> None:
    db = sync_db
    await opened(db)

    def goes_on() -> Any:
        try:
            yield ENTRY(account="a")
        except InvalidValue:
            return (yield entry("t1"))
        raise AssertionError

    assert await db(perform(db.conn, goes_on)) >= 1


async def test_a_row_that_is_there_is_left_out_if_so_asked(db: Database) -> None:
    await opened(db)

    def work() -> Any:
        new = {"account": "a", "cents": 1, "tags": []}
        first = yield NEW_ENTRY(token="t1", **new)
        again = yield NEW_ENTRY(token="t1", **new)
        many = yield NEW_ENTRY.many({"token": f"t{number}", **new} for number in range(3))
        return first is not None, again, many

    assert await db(perform(db.conn, work)) == (True, None, 2)
    assert await db(perform(db.conn, ACCOUNT(name="b"))) == 1


async def test_many_rows_are_one_call(db: Database) -> None:
    await opened(db)
    rows = [
        {"account": "a", "token": f"t{number}", "cents": number, "at": None, "tags": []}
        for number in range(50)
    ]
    with count_statements() as counted:
        assert await db(perform(db.conn, ENTRY.many(rows))) == 50
    assert counted.count == 1
    found = await db(Entry.select(db.conn, order_by="entry_id"))
    assert [each.cents for each in found] == list(range(50))


class Watch(DbModel["Watch"]):
    watch_id: int = Field(default=-1, description="(PK)")
    at: AwareDatetime | None
    local: NaiveDatetime | None = None


async def test_one_moment_in_many_rows_is_told_from_others(db: Database) -> None:
    await db.create(Watch)
    watch = PreparedInsert(Watch, "at", "local")
    elsewhere = NOW.astimezone(timezone(timedelta(hours=5)))
    local, later = datetime(2026, 1, 31, 9, 0, 0, 5), NOW + timedelta(microseconds=1)
    moments = [NOW, NOW, later, None, NOW, elsewhere, elsewhere, NOW, NOW.replace()]

    def work() -> Any:
        for moment in moments:
            yield watch(at=moment, local=local)

    await db(perform(db.conn, work))
    with pytest.raises(InvalidValue, match="time zone"):
        await db(perform(db.conn, watch(at=local, local=local)))
    with pytest.raises(InvalidValue, match="without a time zone"):
        await db(perform(db.conn, watch(at=NOW, local=NOW)))
    found = await db(Watch.select(db.conn, order_by="watch_id"))
    assert [each.at for each in found] == moments
    assert {each.local for each in found} == {local}


MISTAKES = {
    "a value too few": (lambda: ENTRY(account="a"), InvalidValue, "Entry.token has no value"),
    "a value too many": (
        lambda: entry("t1", statsu="open"),
        InvalidValue,
        "Entry.statsu was not prepared for",
    ),
    "a wrong value": (lambda: entry("t1", cents="x"), InvalidValue, "Entry.cents"),
    "a wrong choice": (
        lambda: CLOSE({"status": "shut", "note": None}, account="a", status="open"),
        InvalidValue,
        "Entry.status: 'shut' is not one of",
    ),
    "None in a condition": (lambda: ENTRIES(account=None), InvalidValue, "equals nothing"),
    "no such field": (lambda: PreparedSelect(Entry, "acount")(), FilterError, "'account'"),
    "no field": (lambda: PreparedDelete(Entry)(), FilterError, "at least one"),
    "JSON in a condition": (
        lambda: PreparedSelect(Entry, "tags")(tags=[]),
        FilterError,
        "Entry.tags is JSON",
    ),
    "a key that is generated": (
        lambda: PreparedInsert(Stamp, "stamp_id", "at")(stamp_id=1, at=NOW),
        SchemaError,
        "generated by the database",
    ),
    "a key that is rewritten": (
        lambda: PreparedUpdate(Account, ["name"], ["name"])({"name": "b"}, name="a"),
        FilterError,
        "Account.name is a key",
    ),
    "a value that is given and the same every time": (
        lambda: PreparedInsert(Account, "name", always={"name": "b"})(name="b"),
        FilterError,
        "Account.name has the same value every time",
    ),
    "None in a condition that is the same every time": (
        lambda: PreparedUpdate(Account, ["cents"], [], only={"name": None})({"cents": 1}),
        InvalidValue,
        "equals nothing",
    ),
    "a default that is made": (
        lambda: PreparedInsert(Entry, "account", "token", "cents")(),
        SchemaError,
        "Entry.tags has no constant default",
    ),
    "a scoped model": (
        lambda: PreparedSelect(Task, "title")(title="x"),
        SchemaError,
        "Task is scoped",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
async def test_a_mistake_is_named_and_nothing_is_changed(sync_db: Database, mistake: str) -> None:
    db = sync_db
    make, kind, told = MISTAKES[mistake]
    await opened(db)

    def work() -> Any:
        yield COUNT({"cents": 1}, name="a")
        yield make()

    with pytest.raises(kind, match=told):
        await db(perform(db.conn, work))
    assert (await db(Account.get(db.conn, name="a"))).cents == 0


def test_a_conflict_rule_that_is_not_known_is_told() -> None:
    with pytest.raises(FilterError, match="'replace'"):
        PreparedInsert(Account, "name", on_conflict="replace")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_the_log_is_moved_into_the_file_when_it_is_asked_for(db: Database) -> None:
    await opened(db)
    assert await db(checkpoint(db.conn)) == 0


def test_a_log_that_is_left_alone_keeps_its_pages(tmp_path: Any) -> None:
    path = tmp_path / "test.db"
    with open_sqlite_db(path, autocheckpoint=0) as conn:
        conn.execute("CREATE TABLE t (x)")
        conn.commit()
        assert b"CREATE TABLE t" not in path.read_bytes()
        assert checkpoint(conn) == 0
        assert b"CREATE TABLE t" in path.read_bytes()


async def test_nothing_is_taken_out_of_a_database_that_is_full(db: Database) -> None:
    await opened(db)
    assert await db(free_space(db.conn)) == 0


def test_a_file_gives_back_what_it_does_not_need(tmp_path: Any) -> None:
    path = tmp_path / "test.db"
    with open_sqlite_db(path) as conn:
        conn.execute("CREATE TABLE t (x)")
        conn.execute("INSERT INTO t VALUES (zeroblob(1000000))")
        conn.execute("DELETE FROM t")
        conn.commit()
        checkpoint(conn)
        large = path.stat().st_size

        assert free_space(conn, 10) == 10
        while free_space(conn):
            pass
        checkpoint(conn)

        assert large > 1_000_000
        assert path.stat().st_size < 20_000


def test_a_file_of_another_program_keeps_its_pages(tmp_path: Any) -> None:
    path = tmp_path / "test.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE t (x)")
    other.execute("INSERT INTO t VALUES (zeroblob(100000))")
    other.execute("DELETE FROM t")
    other.commit()
    other.close()

    with open_sqlite_db(path) as conn:
        assert free_space(conn) == 0
        assert conn.execute("PRAGMA auto_vacuum").fetchone() == (0,)


# --- some columns of one row ----------------------------------------------------------------


async def test_some_columns_of_a_row_are_read_and_nothing_is_begun(db: Database) -> None:
    await opened(db)
    await db(perform(db.conn, entry("t1")))
    await db.commit()

    with count_statements(db.conn) as counted:
        assert await db(NOTE(db.conn, account="a", token="t1")) == (None, NOW, ["x"])
        assert await db(NOTE(db.conn, account="a", token="t2")) is None
    assert len(counted) == 2
    if db.dialect == "sqlite":
        assert not db.conn.in_transaction


def test_a_column_that_holds_what_it_cannot_is_told() -> None:
    with open_sqlite_db(":memory:", commit=True) as conn:
        Schema([Account, Entry]).create_tables(conn)
        perform(conn, ACCOUNT(name="a"))
        perform(conn, entry("t1"))
        conn.execute("UPDATE Entry SET at = 'once'")

        with pytest.raises(RowError, match=r"Entry\.at is 'once'") as caught:
            NOTE(conn, account="a", token="t1")

    assert (caught.value.table, caught.value.column) == ("Entry", "at")


def test_what_is_wrong_with_a_row_that_is_asked_for_is_named() -> None:
    with open_sqlite_db(":memory:") as conn:
        with pytest.raises(InvalidValue, match="equals nothing"):
            NOTE(conn, account=None, token="t1")
        with pytest.raises(InvalidValue, match="was not prepared for"):
            NOTE(conn, account="a", token="t1", cents=1)
        with pytest.raises(FilterError, match="'account'"):
            PreparedRow(Entry, ["acount"], ["token"])(conn, token="t1")
        with pytest.raises(SchemaError, match="Task is scoped"):
            PreparedRow(Task, ["title"], ["task_id"])(conn, task_id=1)
