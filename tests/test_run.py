"""Which statements does a verb run, in which order, and what stands around it? No database here.

Ops are stepped by hand: they yield a statement, are sent what came back, and return their value.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Annotated, Any, cast

import pytest
from pydantic import Field

from lythonic_state import (
    AltKey,
    DatabaseError,
    DbModel,
    FilterError,
    PrimaryKey,
    Schema,
    on_statement,
    ops,
)
from lythonic_state.dialects import POSTGRES, SQLITE, Dialect
from lythonic_state.op import Op, Single, Statement, as_op, control, guarded, guarded_late, settled
from lythonic_state.run import drive, run
from lythonic_state.statements import Query
from lythonic_state.table import Table, table_of
from tests.databases import Database


class Site(DbModel["Site"]):
    site_id: int = Field(default=-1, description="(PK)")
    url: Annotated[str, AltKey()]
    hits: int = 0


class Pair(DbModel["Pair"]):
    left: Annotated[int, PrimaryKey()]
    right: Annotated[int, PrimaryKey()]
    note: str = ""


TABLE: Table = table_of(Site)


def stepped(made: Op[Any] | Single, *results: Any) -> tuple[list[str], list[list[Any]], Any]:
    """The SQL and values of an op that is sent these results, and what it returns.

    A result that is an exception is raised inside the op, as a driver's error is.
    """
    sql: list[str] = []
    values: list[list[Any]] = []
    answers: Iterator[Any] = iter(results)
    op = as_op(made)
    try:
        statement, params = op.send(None)
        while True:
            sql.append(statement.sql)
            values.append(list(params))
            answer = next(answers)
            if isinstance(answer, BaseException):
                statement, params = op.throw(answer)
            else:
                statement, params = op.send(answer)
    except StopIteration as done:
        assert list(answers) == [], "the op asked for less than it was sent"
        return sql, values, settled(done.value)


# --- the SQL of verbs -----------------------------------------------------------------------


def test_save_without_a_key_is_one_insert_that_returns_it() -> None:
    for dialect, expected in (
        (SQLITE, 'INSERT INTO "Site" ("url", "hits") VALUES (?, ?)'),
        (
            POSTGRES,
            'INSERT INTO "Site" ("url", "hits") VALUES (%s::text, %s::bigint) RETURNING "site_id"',
        ),
    ):
        site = Site(url="/", hits=3)
        sql, values, saved = stepped(ops.save(dialect, TABLE, site, None), 7)
        assert sql == [expected]
        assert values == [["/", 3]]
        assert saved is site
        assert site.site_id == 7


def test_save_with_a_key_is_one_upsert_and_on_postgres_passes_the_key() -> None:
    site = Site(site_id=4, url="/")
    sql, values, _ = stepped(ops.save(SQLITE, TABLE, site, None), 1)
    assert sql == [
        'INSERT INTO "Site" ("site_id", "url", "hits") VALUES (?, ?, ?) '
        'ON CONFLICT ("site_id") DO UPDATE SET "url" = excluded."url", "hits" = excluded."hits"'
    ]
    assert values == [[4, "/", 0]]
    statement, _, _ = cast(Single, ops.save(POSTGRES, TABLE, site, None))
    ((passing, values),) = statement.after
    assert "nextval" in passing.sql
    assert (passing.control, values) == (True, (4,))


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES], ids=lambda d: d.name)
def test_a_verb_of_one_statement_is_no_more_than_that(dialect: Dialect) -> None:
    site = Site(site_id=4, url="/")
    asked = Query(filters={"url": "/"})
    for made in (
        ops.load_by_id(dialect, TABLE, 4, None),
        ops.select(dialect, TABLE, asked, None),
        ops.first(dialect, TABLE, asked, None),
        ops.get(dialect, TABLE, asked, None),
        ops.exists(dialect, TABLE, asked, None),
        ops.select_count(dialect, TABLE, asked, None),
        ops.save(dialect, TABLE, Site(url="/"), None),
        ops.insert_generated(dialect, TABLE, site, None),
        ops.update_own(dialect, TABLE, site, None),
        ops.patch(dialect, TABLE, (site, {"hits": 2}), None),
        ops.delete_row(dialect, TABLE, site, None),
        ops.update_where(dialect, TABLE, ({"hits": 1}, (), {"url": "/"}, False), None),
        ops.delete(dialect, TABLE, (asked, False), None),
    ):
        assert isinstance(made, tuple)


def test_sql_is_written_once_for_a_shape_and_values_are_bound_each_time() -> None:
    def update(hits: Any, url: Any) -> Single:
        values, filters = {"hits": hits}, {"url": url}
        return cast(Single, ops.update_where(SQLITE, TABLE, (values, (), filters, False), None))

    def count(url: Any) -> Single:
        return cast(Single, ops.select_count(SQLITE, TABLE, Query(filters={"url": url}), None))

    first, again, other = update(1, "/a"), update(2, "/b"), update(3, None)
    assert again[0] is first[0]
    assert list(again[1]) == [2, "/b"]
    assert other[0].sql == 'UPDATE "Site" SET "hits" = ? WHERE "Site"."url" IS NULL'
    assert list(other[1]) == [3]
    assert count("/b")[0] is count("/c")[0] is not count(["/b", "/c"])[0]


def test_an_update_is_told_from_the_one_before_by_its_names() -> None:
    shapes: list[tuple[dict[str, Any], dict[str, Any]]] = [
        ({"hits": 1}, {"url": "/"}),
        ({"url": "/"}, {"hits": 1}),
        ({"hits": 1}, {"site_id": 1}),
        ({"hits": 1, "url": "/"}, {"site_id": 1}),
        ({"hits": 1}, {"site_id": 1, "url": "/"}),
    ]

    def written(values: dict[str, Any], filters: dict[str, Any]) -> tuple[str, list[Any]]:
        statement, params, _ = cast(
            Single, ops.update_where(SQLITE, TABLE, (values, (), filters, False), None)
        )
        return statement.sql, list(params)

    for values, filters in shapes * 2:
        sets = ", ".join(f'"{name}" = ?' for name in values)
        where = " AND ".join(f'"Site"."{name}" = ?' for name in filters)
        wanted = f'UPDATE "Site" SET {sets} WHERE {where}', [*values.values(), *filters.values()]
        assert written(values, filters) == wanted


def test_update_and_delete_find_the_row_by_its_whole_key() -> None:
    pair = Pair(left=1, right=2, note="n")
    sql, values, count = stepped(ops.update_own(SQLITE, table_of(Pair), pair, None), 1)
    assert sql == ['UPDATE "Pair" SET "note" = ? WHERE "left" = ? AND "right" = ?']
    assert (values, count) == ([["n", 1, 2]], 1)
    sql, values, count = stepped(ops.delete_row(SQLITE, table_of(Pair), pair, None), 0)
    assert sql == ['DELETE FROM "Pair" WHERE "left" = ? AND "right" = ?']
    assert (values, count) == ([[1, 2]], 0)


def test_patch_writes_only_what_changes() -> None:
    site = Site(site_id=4, url="/", hits=1)
    sql, values, _ = stepped(ops.patch(SQLITE, TABLE, (site, {"hits": 2, "site_id": 9}), None), 1)
    assert sql == ['UPDATE "Site" SET "hits" = ? WHERE "site_id" = ?']
    assert values == [[2, 4]]
    assert (site.site_id, site.hits) == (4, 2)
    assert stepped(ops.patch(SQLITE, TABLE, (site, {}), None))[0] == []


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES], ids=lambda d: d.name)
def test_get_or_create_of_a_row_that_is_there_is_one_select(dialect: Dialect) -> None:
    there = Site(site_id=1, url="/")
    op = ops.get_or_create(dialect, TABLE, None, {"url": "/"}, None)
    sql, _, found = stepped(op, [there])
    assert found == (there, False)
    assert len(sql) == 1
    assert sql[0].startswith("SELECT")


def test_get_or_create_that_loses_a_race_reads_the_winner() -> None:
    winner = Site(site_id=1, url="/")
    op = ops.get_or_create(SQLITE, TABLE, {"hits": 5}, {"url": "/"}, None)
    sql, _, found = stepped(op, [], None, [winner])
    assert found == (winner, False)
    assert [text.split()[0] for text in sql] == ["SELECT", "INSERT", "SELECT"]
    assert "ON CONFLICT DO NOTHING" in sql[1]


def test_insert_many_takes_its_keys_first() -> None:
    rows = [Site(url="a"), Site(site_id=3, url="b"), Site(url="c")]
    sql, values, count = stepped(
        ops.insert_many(SQLITE, TABLE, iter(rows), "raise", None), (10, 0), 3
    )
    assert count == 3
    assert [row.site_id for row in rows] == [11, 3, 12]
    assert sql[0].startswith('SELECT (SELECT max("site_id") FROM "Site")')
    assert sorted(values[1]) == [(3, "b", 0), (11, "a", 0), (12, "c", 0)]


def test_a_failing_write_takes_back_what_was_put_into_the_model() -> None:
    for op_of in (
        lambda site: ops.save(SQLITE, TABLE, site, None),
        lambda site: ops.insert_generated(SQLITE, TABLE, site, None),
        lambda site: ops.upsert(SQLITE, TABLE, (site, None, None), None),
        lambda site: ops.insert_many(SQLITE, TABLE, [site], "raise", None),
    ):
        site = Site(url="/")
        op = as_op(op_of(site))
        op.send(None)
        with pytest.raises(DatabaseError):
            op.throw(DatabaseError("no"))
        assert site.site_id == -1
        assert site.model_fields_set == {"url"}


@pytest.mark.parametrize("dialect", [SQLITE, POSTGRES], ids=lambda d: d.name)
def test_mistakes_are_found_before_any_statement(dialect: Dialect) -> None:
    for made in (
        lambda: ops.delete(dialect, TABLE, (Query(), False), None),
        lambda: ops.update_where(dialect, TABLE, ({"hits": 1}, (), {}, False), None),
        lambda: ops.update_where(dialect, TABLE, ({"hist": 1}, (), {"url": "/"}, False), None),
        lambda: ops.upsert(dialect, TABLE, (Site(url="/"), ["hits"], None), None),
        lambda: ops.get_or_create(dialect, TABLE, None, {"hits": 1}, None),
        lambda: ops.select(dialect, TABLE, Query(filters={"ulr": "/"}), None),
        lambda: ops.insert_many(dialect, TABLE, [], "replace", None),  # type: ignore[arg-type]  # on purpose
    ):
        with pytest.raises(FilterError):
            as_op(made()).send(None)


# --- what stands around a verb ----------------------------------------------------------------

BEGIN, END, UNDO = control("BEGIN"), control("COMMIT"), control("ROLLBACK")


def verb(*statements: str) -> Op[str]:
    """An op of these statements, which returns "done"."""
    for text in statements:
        yield Statement(text, "none"), ()
    return "done"


def test_a_guarded_verb_begins_and_ends() -> None:
    sql, _, value = stepped(guarded(verb("INSERT"), [BEGIN], [END], [UNDO]), None, None, None)
    assert (sql, value) == (["BEGIN", "INSERT", "COMMIT"], "done")


@pytest.mark.parametrize("failing", [0, 1, 2])
def test_a_guarded_verb_is_undone_wherever_it_fails(failing: int) -> None:
    results: list[Any] = [None, None, None]
    results[failing] = KeyError("it")
    op = guarded(verb("INSERT"), [BEGIN], [END], [UNDO])
    with pytest.raises(KeyError, match="it"):
        stepped(op, *results[: failing + 1], None)


def test_undoing_what_is_gone_already_hides_no_error() -> None:
    op = guarded(verb("INSERT"), [BEGIN], [END], [UNDO])
    with pytest.raises(KeyError):
        stepped(op, None, KeyError("it"), DatabaseError("no transaction is open"))


def test_a_late_guard_lets_reading_through_and_begins_at_the_first_write() -> None:
    op = guarded_late(verb("SELECT 1", "SELECT 2", "INSERT", "SELECT 3"), [BEGIN], [END], [UNDO])
    sql, _, value = stepped(op, *[None] * 6)
    assert sql == ["SELECT 1", "SELECT 2", "BEGIN", "INSERT", "SELECT 3", "COMMIT"]
    assert value == "done"
    sql, _, value = stepped(guarded_late(verb("SELECT 1"), [BEGIN], [END], [UNDO]), None)
    assert (sql, value) == (["SELECT 1"], "done")
    assert stepped(guarded_late(verb(), [BEGIN], [END], [UNDO]))[0] == []


def test_a_late_guard_undoes_only_what_it_began() -> None:
    with pytest.raises(KeyError):  # nothing more is asked for
        stepped(guarded_late(verb("SELECT 1"), [BEGIN], [END], [UNDO]), KeyError())
    op = guarded_late(verb("SELECT 1", "INSERT"), [BEGIN], [END], [UNDO])
    assert op.send(None)[0].sql == "SELECT 1"
    assert op.send(None)[0].sql == "BEGIN"
    assert op.send(None)[0].sql == "INSERT"
    assert op.throw(KeyError())[0].sql == "ROLLBACK"
    with pytest.raises(KeyError):
        op.send(None)


def test_an_interrupt_is_thrown_into_the_verb() -> None:
    seen: list[str] = []

    def execute(conn: Any, statement: Statement, params: Any) -> None:
        seen.append(statement.sql)
        if statement.sql == "INSERT":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        drive(execute, None, guarded(verb("INSERT"), [BEGIN], [END], [UNDO]))
    assert seen == ["BEGIN", "INSERT", "ROLLBACK"]


async def around(db: Database, running: Any) -> list[str]:
    """The first word of what is executed, control statements included."""
    seen: list[str] = []
    with on_statement(db.conn, lambda event: seen.append(event.sql.split()[0])):
        await db(running())
    return seen


async def test_what_stands_around_a_verb_depends_on_the_open_transaction(db: Database) -> None:
    await db.create(Site)
    rows = [Site(url=f"/{n}") for n in range(3)]
    alone = await around(db, lambda: Site(url="/").save(db.conn))
    assert alone == (["BEGIN", "INSERT"] if db.dialect == "sqlite" else ["INSERT"])
    within = await around(db, lambda: Site(url="/again").save(db.conn))
    assert within == (["INSERT"] if db.dialect == "sqlite" else ["SAVEPOINT", "INSERT", "RELEASE"])
    many = await around(db, lambda: Site.insert_many(db.conn, rows))
    assert many == ["SAVEPOINT", "SELECT", "INSERT", "RELEASE"]
    assert await around(db, lambda: Site.select(db.conn)) == ["SELECT"]
    await db.rollback()


# --- which loop -------------------------------------------------------------------------------


def test_subclasses_of_a_connection_are_that_connection() -> None:
    class Own(sqlite3.Connection):
        pass

    with closing(sqlite3.connect(":memory:", factory=Own)) as conn:
        Schema([Site]).create_tables(conn)
        assert Site(url="/").save(conn).site_id == 1


@pytest.mark.parametrize("wrong", [None, "library.db", 3])
def test_what_is_no_connection_is_told(wrong: Any) -> None:
    with pytest.raises(TypeError, match="open_sqlite_db"):
        run(wrong, "read", verb, "SELECT 1")


def test_a_cursor_is_told_to_have_a_connection() -> None:
    with closing(sqlite3.connect(":memory:")) as conn, pytest.raises(TypeError, match="cursor's"):
        run(conn.cursor(), "read", verb, "SELECT 1")
