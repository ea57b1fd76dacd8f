"""What differs between a live database and its models, and how that is mended."""

import os
import threading
import types
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal
from uuid import UUID, uuid4

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field, NaiveDatetime

from lythonic_state import (
    AltKey,
    Check,
    ColumnName,
    ConstraintViolation,
    DatabaseBusy,
    DbModel,
    ForeignKey,
    Index,
    MigrationError,
    PrimaryKey,
    RenamedFrom,
    Schema,
    SchemaError,
    Scoped,
    Unique,
    on_statement,
    open_db,
    transaction,
)
from lythonic_state.migrate.create_text import checks_in
from lythonic_state.migrate.history import AppliedMigration
from tests.databases import Database
from tests.processes import FORKING


def model(
    table: str, constraints: Sequence[Any] = (), scope: str | None = None, /, **fields: Any
) -> Any:
    """A model with these fields: an annotation, or an annotation and a default."""
    namespace: dict[str, Any] = {"__annotations__": {}, "__module__": __name__}
    for field, given_ in fields.items():
        annotation, *default = given_ if isinstance(given_, tuple) else (given_,)
        namespace["__annotations__"][field] = annotation
        if default:
            namespace[field] = default[0]
    options: dict[str, Any] = {"table": table, "constraints": constraints}
    if scope is not None:
        options["scope"] = scope
    base = DbModel if scope is None else Scoped
    return types.new_class(table, (base,), options, lambda body: body.update(namespace))


KEY = (Annotated[int, PrimaryKey()], -1)


def owner() -> Any:
    return model("Owner", key=KEY, name=str)


def refers(on_delete: Any = "no action", to: str = "Owner.key") -> Any:
    return ForeignKey(to, on_delete=on_delete)


# --- reading the text of a table ------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CREATE TABLE t (n INTEGER)", []),
        ("CREATE TABLE t (n INTEGER CHECK (n > 0), m)", [(None, "n > 0")]),
        (
            "CREATE TABLE t (n CONSTRAINT a CHECK (n), CONSTRAINT [b c] CHECK ((n)))",
            [("a", "n"), ("b c", "(n)")],
        ),
        ("create table t (n check(n in (')', '(', '''')))", [(None, "n in (')', '(', '''')")]),
        ("CREATE TABLE t (n -- CHECK (no)\n, /* CHECK (no) */ m CHECK (m))", [(None, "m")]),
        ('CREATE TABLE "a(" ("CHECK" INTEGER, `check` TEXT, "x""y" TEXT)', []),
        (
            'CREATE TABLE t (n CONSTRAINT "a""b" CHECK (n > \')\' -- )\n))',
            [('a"b', "n > ')' -- )")],
        ),
        ("CREATE TABLE t (n CONSTRAINT a NOT NULL, m CHECK (1))", [(None, "1")]),
        ("CREATE TABLE t (n DEFAULT 'CHECK (1)', m DEFAULT (CHECKS(1)))", []),
    ],
)
def test_checks_are_found_in_the_text_of_a_table(text: str, expected: Any) -> None:
    assert checks_in(text) == expected


# --- what differs ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Case:
    """Two versions of a schema, and the changes from one to the other by kind and safety."""

    before: Any
    after: Any
    changes: list[tuple[str, str | None, bool]]

    def schemas(self) -> tuple[Schema, Schema]:
        return Schema(self.before()), Schema(self.after())


class Kind(Enum):
    OLD = "it's old"
    NEW = "100% \\new"


class MoreKind(Enum):
    OLD = "it's old"
    NEW = "100% \\new"
    MORE = "more"


def one(*constraints: Any, **fields: Any) -> Any:
    """A schema of the table T with a key, a name and these fields, and of its owner."""
    return lambda: [owner(), model("T", constraints, key=KEY, name=str, **fields)]


ADDING = {
    "table": Case(lambda: [owner()], one(o=Annotated[int, refers()]), [("new table", None, True)]),
    "nullable column": Case(one(), one(x=(int | None, None)), [("new column", "x", True)]),
    "required nullable column": Case(one(), one(x=int | None), [("new column", "x", True)]),
    "nullable column with a default": Case(
        one(), one(x=(int | None, 7)), [("new column", "x", True)]
    ),
    "column with a default": Case(one(), one(x=(str, "it's 5% \\")), [("new column", "x", True)]),
    "column with a factory": Case(
        one(), one(x=Annotated[list[int], Field(default_factory=list)]), [("new column", "x", True)]
    ),
    "column of choices": Case(
        one(), one(x=(Kind, Kind.NEW)), [("new column", "x", True), ("new check", "x", True)]
    ),
    "column with a check": Case(
        one(),
        one(x=(Annotated[int, Check("x >= 0")], 0)),
        [("new column", "x", True), ("new check", "x", True)],
    ),
    "two columns with a check of one": Case(
        one(),
        one(x=(Annotated[int, Check("x < y")], 0), y=(int, 1)),
        [("new column", "x", True), ("new column", "y", True), ("new check", "x", True)],
    ),
    "two columns with a check": Case(
        one(),
        one(Check("x < y"), x=(int, 0), y=(int, 1)),
        [("new column", "x", True), ("new column", "y", True), ("new check", None, True)],
    ),
    "unique column": Case(
        one(),
        one(x=(Annotated[str | None, Unique()], None)),
        [("new column", "x", True), ("new unique", None, True)],
    ),
    "foreign key column": Case(
        one(),
        one(x=(Annotated[int | None, refers("set null")], None)),
        [("new column", "x", True), ("new index", None, True), ("new foreign key", None, True)],
    ),
    "foreign key to a new table": Case(
        one(),
        lambda: [
            *one(x=(Annotated[int | None, refers(to="U.name")], None))(),
            model("U", key=KEY, name=(Annotated[int, Unique()])),
        ],
        [
            ("new column", "x", True),
            ("new index", None, True),
            ("new foreign key", None, True),
            ("new table", None, True),
        ],
    ),
    "foreign key to a column that becomes unique": Case(
        one(x=int),
        lambda: [
            owner(),
            model("T", key=KEY, name=str, x=Annotated[int, Unique()]),
            model("U", key=KEY, x=Annotated[int, refers(to="T.x")]),
        ],
        [("new unique", None, True), ("new table", None, True)],
    ),
    "index": Case(one(), one(Index("name", "key")), [("new index", None, True)]),
    "partial index": Case(
        one(), one(Index("name", where="name <> 'x'")), [("new index", None, True)]
    ),
    "unique": Case(one(), one(Unique("name")), [("new unique", None, True)]),
    "alternative key": Case(
        lambda: [model("T", key=KEY, name=str)],
        lambda: [model("T", key=KEY, name=Annotated[str, AltKey()])],
        [("new unique", None, True)],
    ),
    "dropped index": Case(one(Index("name")), one(), [("dropped index", None, True)]),
    "index that becomes partial": Case(
        one(Index("name")),
        one(Index("name", where="name <> 'x'")),
        [("new index", None, True), ("dropped index", None, True)],
    ),
    "other condition of an index": Case(
        one(Index("name", where="key > 0")),
        one(Index("name", where="key > 1")),
        [("new index", None, True), ("dropped index", None, True)],
    ),
    "index of more columns": Case(
        one(Index("name")),
        one(Index("name", "key")),
        [("new index", None, True), ("dropped index", None, True)],
    ),
    "index of a new column": Case(
        one(Index("name")),
        one(Index("name", "x"), x=(int, 1)),
        [("new column", "x", True), ("new index", None, True), ("dropped index", None, True)],
    ),
    "unique instead of an index": Case(
        one(Index("name")),
        one(Unique("name")),
        [("new unique", None, True), ("dropped index", None, True)],
    ),
    "index of a foreign key that becomes partial": Case(
        one(x=(Annotated[int | None, refers()], None)),
        one(Index("x", where="x IS NOT NULL"), x=(Annotated[int | None, refers()], None)),
        [("new index", None, True), ("dropped index", None, True)],
    ),
    "index whose name is cut": Case(
        lambda: [model("T" * 40, [Index("name" * 5)], key=KEY, name=str, **{"name" * 5: (int, 1)})],
        lambda: [
            model(
                "T" * 40,
                [Index("name" * 5, where="key > 0")],
                key=KEY,
                name=str,
                **{"name" * 5: (int, 1)},
            )
        ],
        [("new index", None, True), ("dropped index", None, True)],
    ),
}

CHANGING = {
    "column without a default": Case(one(), one(x=int), [("new column", "x", False)]),
    "column whose factory never gives the same": Case(
        one(), one(x=Annotated[UUID, Field(default_factory=uuid4)]), [("new column", "x", False)]
    ),
    "column whose factory looks at others": Case(
        one(),
        one(x=Annotated[str, Field(default_factory=lambda data: data["name"])]),
        [("new column", "x", False)],
    ),
    "column whose default is None all the same": Case(
        one(), one(x=(int, None)), [("new column", "x", False)]
    ),
    "column whose default does not fit": Case(one(), one(x=(str, 5)), [("new column", "x", False)]),
    "dropped column": Case(one(x=int), one(), [("dropped column", "x", False)]),
    "renamed column": Case(
        one(old=int),
        one(x=Annotated[int, RenamedFrom("old")]),
        [("renamed column", "x", False)],
    ),
    "renamed table": Case(
        lambda: [owner()],
        lambda: [model("Boss", [RenamedFrom("Owner")], key=KEY, name=str)],
        [("renamed table", None, False)],
    ),
    "other type": Case(one(x=int), one(x=bytes), [("changed type", "x", False)]),
    "now required": Case(one(x=int | None), one(x=int), [("changed nullability", "x", False)]),
    "no longer required": Case(
        one(x=int), one(x=int | None), [("changed nullability", "x", False)]
    ),
    "other primary key": Case(
        lambda: [model("T", a=Annotated[str, PrimaryKey()], b=str)],
        lambda: [model("T", a=Annotated[str, PrimaryKey()], b=Annotated[str, PrimaryKey()])],
        [("changed primary key", None, False)],
    ),
    "new column in the key": Case(
        lambda: [model("T", a=Annotated[str, PrimaryKey()])],
        lambda: [model("T", a=Annotated[str, PrimaryKey()], b=(Annotated[str, PrimaryKey()], "x"))],
        [("new column", "b", False), ("changed primary key", None, False)],
    ),
    "more choices": Case(
        one(x=Kind), one(x=MoreKind), [("new check", "x", False), ("dropped check", "x", False)]
    ),
    "new check": Case(one(), one(Check("key > 0")), [("new check", None, False)]),
    "other check": Case(
        one(Check("key > 0")),
        one(Check("key > 1")),
        [("new check", None, False), ("dropped check", None, False)],
    ),
    "dropped check": Case(one(Check("key > 0")), one(), [("dropped check", None, False)]),
    "dropped unique": Case(one(Unique("name")), one(), [("dropped unique", None, False)]),
    "index instead of a unique": Case(
        one(Unique("name")),
        one(Index("name")),
        [("new index", None, True), ("dropped unique", None, False)],
    ),
    "unique of more columns": Case(
        one(Unique("name")),
        one(Unique("name", "key")),
        [("new unique", None, True), ("dropped unique", None, False)],
    ),
    "new foreign key": Case(
        one(Index("x"), x=int),
        one(Index("x"), x=Annotated[int, refers()]),
        [("new foreign key", None, False)],
    ),
    "dropped foreign key": Case(
        one(Index("x"), x=Annotated[int, refers()]),
        one(Index("x"), x=int),
        [("dropped foreign key", None, False)],
    ),
    "other ON DELETE": Case(
        one(x=Annotated[int, refers()]),
        one(x=Annotated[int, refers("cascade")]),
        [("new foreign key", None, False), ("dropped foreign key", None, False)],
    ),
    "new owner of the rows": Case(
        lambda: [model("T", key=KEY)],
        lambda: [model("T", (), "org", key=KEY, org=(int, -1))],
        [("new column", "org", False), ("new unique", None, True)],
    ),
}
CASES = {**ADDING, **CHANGING}


def _told(changes: Sequence[Any]) -> list[tuple[str, str | None, bool]]:
    """Kind, column where it is of one, and safety of each change."""
    return [(change.kind, _column_of(change.name), change.safe) for change in changes]


def _column_of(name: str | None) -> str | None:
    if name is not None and name.startswith("ck_"):
        return name.partition(".")[2] or None
    return None if name is None or name.startswith(("ix_", "uq_", "fk_")) else name


@pytest.mark.parametrize("case", CASES)
async def test_a_difference_is_told_by_kind_and_in_words(db: Database, case: str) -> None:
    before, after = CASES[case].schemas()
    await db(before.create_schema(db.conn))

    changes = await db(after.diff(db.conn))
    assert _told(changes) == CASES[case].changes
    for change in changes:
        assert str(change) == change.sentence
        assert change.table in str(change)
        assert bool(change.obstacle) is not change.safe
    await db.rollback()
    assert await db(before.diff(db.conn)) == []
    if {change.kind for change in changes} != {"new table"}:
        with pytest.raises(SchemaError, match="another shape"):
            await db(after.create_schema(db.conn))


@pytest.mark.parametrize("case", ADDING)
async def test_what_only_adds_is_migrated_and_keeps_the_rows(db: Database, case: str) -> None:
    before, after = CASES[case].schemas()
    await db(before.create_schema(db.conn))
    for table in before:
        for number, name in enumerate("bc"):
            values = dict.fromkeys(_required(table) - {"name"}, number)
            await db(table(name=name, **values).insert(db.conn))
    await db.commit()

    plan = await db(after.migrate(db.conn))
    await db.rollback()
    assert _told(plan.changes) == CASES[case].changes
    assert await db(after.diff(db.conn)) == []
    names = {table.__name__ for table in before}
    for table in after:
        rows: list[Any] = await db(table.select(db.conn, order_by="key"))
        assert [row.name for row in rows] == (["b", "c"] if table.__name__ in names else [])
        for row in rows:
            new = table.model_validate(row.model_dump(include=_required(table)))
            assert row.model_dump(exclude={"key"}) == new.model_dump(exclude={"key"})


def _required(table: Any) -> set[str]:
    return {field for field, info in table.model_fields.items() if info.is_required()}


@pytest.mark.parametrize("case", CHANGING)
async def test_what_does_not_only_add_is_refused_and_changes_nothing(
    db: Database, case: str
) -> None:
    before, after = CASES[case].schemas()
    await db(before.create_schema(db.conn))

    for options in ({}, {"allow_destructive": True}, {"dry_run": True}):
        with pytest.raises(MigrationError, match="nothing was changed") as caught:
            await db(after.migrate(db.conn, **options))
        await db.rollback()
        for change in await db(after.diff(db.conn)):
            assert change.safe or f"- {change}: {change.obstacle}" in str(caught.value)
    assert await db(before.diff(db.conn)) == []


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
async def test_sqlite_cannot_add_every_foreign_key(db: Database) -> None:
    before = Schema(one()())
    after = Schema(one(x=(Annotated[int, refers()], 1))())
    await db(before.create_schema(db.conn))
    await db.execute("""INSERT INTO "Owner" (key, name) VALUES (1, 'a')""")
    await db.execute("""INSERT INTO "T" (key, name) VALUES (1, 'a')""")
    await db.commit()

    if db.dialect == "sqlite":
        with pytest.raises(MigrationError, match=r"T.x .*only to a column that may be NULL"):
            await db(after.migrate(db.conn))
    else:
        await db(after.migrate(db.conn))
        assert await db(after.diff(db.conn)) == []


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
async def test_sqlite_cannot_add_a_foreign_key_of_several_columns(db: Database) -> None:
    def folder(**fields: Any) -> list[Any]:
        return [model("F", (), "org", key=KEY, org=(int, -1), **fields)]

    before = Schema(folder())
    after = Schema(folder(up=(Annotated[int | None, refers(to="F.key")], None)))
    await db(before.create_schema(db.conn))
    if db.dialect == "sqlite":
        with pytest.raises(MigrationError, match="several columns only by a rebuild"):
            await db(after.migrate(db.conn))
    else:
        await db(after.migrate(db.conn))
        assert await db(after.diff(db.conn)) == []


# --- databases that others made -------------------------------------------------------------


async def test_a_table_made_by_hand_in_the_same_shape_is_the_same(db: Database) -> None:
    sqlite = db.dialect == "sqlite"
    key = "INTEGER PRIMARY KEY" if sqlite else "BIGSERIAL PRIMARY KEY"
    integer, text = ("INTEGER", "TEXT") if sqlite else ("BIGINT", 'TEXT COLLATE "C"')
    await db.execute(
        f'CREATE TABLE "Owner" (key {key}, name {text} NOT NULL)' + (" STRICT" if sqlite else "")
    )
    await db.execute(
        f'CREATE TABLE "T" (name {text} UNIQUE NOT NULL, key {key}, '
        f'x {integer} NOT NULL DEFAULT 5 REFERENCES "Owner")' + (" STRICT" if sqlite else "")
    )
    await db.execute('CREATE INDEX an_index ON "T" (x)')

    schema = Schema(one(Unique("name"), x=Annotated[int, refers()])())
    assert await db(schema.diff(db.conn)) == []


async def test_what_no_model_can_say_is_told(db: Database) -> None:
    schema = await db.create(*one(x=Annotated[int, refers()])())
    await db.execute('CREATE INDEX upside_down ON "T" (x DESC, name)')
    await db.execute('CREATE INDEX computed ON "T" (lower(name))')
    await db.execute("""CREATE INDEX partial ON "T" (x) WHERE name = 'x'""")

    changes = await db(schema.diff(db.conn))
    assert {change.obstacle.partition(";")[0] for change in changes} == {
        "it is none that a model made, going by its name"
    }
    told = sorted(map(str, changes))
    assert [text.partition(" is in the database")[0] for text in told] == [
        "the index computed on T ((an expression))",
        "the index partial on T (x)",
        "the index upside_down on T (x DESC, name)",
    ]


async def test_only_an_index_that_a_model_made_is_dropped(db: Database) -> None:
    schema = await db.create(*one()())
    earlier = Schema(one(Index("name"), Index("name", "key", where="key > 0"))())
    made = (await db(earlier.migrate(db.conn))).steps
    assert [step.split()[:2] for step in made] == [["CREATE", "INDEX"]] * 2
    for own in ("mine", "ix_T_name", "ix_T_name_00000000"):
        await db.execute(f'CREATE INDEX "{own}" ON "T" (name)')
        await db.commit()
        with pytest.raises(MigrationError, match=rf"index {own} on T .*: it is none that a model"):
            await db(schema.migrate(db.conn))
        await db.rollback()
        assert await db(earlier.diff(db.conn)) == []
        await db.execute(f'DROP INDEX "{own}"')
        await db.commit()

    plan = await db(schema.migrate(db.conn))
    assert plan.steps == tuple(f"DROP INDEX {step.split()[2]}" for step in made)
    assert await db(schema.diff(db.conn)) == []


@pytest.mark.parametrize("colour", ["sqlite"])
async def test_a_table_that_is_not_strict_is_told(db: Database) -> None:
    await db.execute('CREATE TABLE "Owner" (key INTEGER PRIMARY KEY, name TEXT NOT NULL)')
    (change,) = await db(Schema([owner()]).diff(db.conn))
    assert (change.kind, str(change)) == ("not strict", "table Owner is not STRICT in the database")


@pytest.mark.parametrize("colour", ["sqlite"])
async def test_sqlite_does_not_tell_upper_from_lower_case(db: Database) -> None:
    await db.execute('CREATE TABLE "OWNER" (KEY integer PRIMARY KEY, Name text NOT NULL) STRICT')
    assert await db(Schema([owner()]).diff(db.conn)) == []


@pytest.mark.parametrize("colour", ["postgres"])
async def test_postgres_tells_a_key_that_nothing_generates(db: Database) -> None:
    await db.execute(
        'CREATE TABLE "Owner" (key BIGINT PRIMARY KEY, name TEXT COLLATE "C" NOT NULL)'
    )
    assert [str(change) for change in await db(Schema([owner()]).diff(db.conn))] == [
        "Owner.key is generated in the model and not in the database"
    ]


@pytest.mark.parametrize("colour", ["postgres"])
async def test_postgres_tells_a_text_of_another_order(db: Database) -> None:
    await db.execute(
        'CREATE TABLE "Owner" (key BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, '
        "name TEXT NOT NULL)"
    )
    assert [str(change) for change in await db(Schema([owner()]).diff(db.conn))] == [
        'Owner.name is TEXT in the database and TEXT COLLATE "C" in the model'
    ]


# --- carrying out ---------------------------------------------------------------------------


async def test_a_dry_run_shows_the_plan_and_changes_nothing(db: Database) -> None:
    before, after = ADDING["column of choices"].schemas()
    await db(before.create_schema(db.conn))

    plan = await db(after.migrate(db.conn, dry_run=True))
    await db.rollback()
    assert plan.dialect == db.dialect
    assert plan.sql == "".join(step + ";\n" for step in plan.steps)
    assert 'ALTER TABLE "T" ADD COLUMN "x"' in plan.sql
    assert await db(before.diff(db.conn)) == []
    assert (await db(after.migrate(db.conn))) == plan


async def test_a_migration_that_is_done_has_nothing_to_do(db: Database) -> None:
    before, after = ADDING["index"].schemas()
    await db(before.create_schema(db.conn))
    assert (await db(before.migrate(db.conn))).steps == ()
    assert (await db(after.migrate(db.conn))).steps != ()
    again = await db(after.migrate(db.conn))
    assert (again.changes, again.steps, again.sql) == ((), (), "")


async def test_an_empty_database_can_be_migrated(db: Database) -> None:
    schema = Schema(one(x=Annotated[int, refers()])())
    plan = await db(schema.migrate(db.conn))
    assert [change.kind for change in plan.changes] == ["new table", "new table"]
    assert await db(schema.diff(db.conn)) == []


async def test_applied_plans_are_kept_with_their_sql(db: Database) -> None:
    before = datetime.now(UTC)
    first, second = ADDING["index"].schemas()
    plans = [await db(schema.migrate(db.conn)) for schema in (first, second, second)]
    await db.rollback()

    kept = await db(AppliedMigration.select(db.conn, order_by="migration_id"))
    assert [row.checksum for row in kept] == [plan.checksum for plan in plans[:2]]
    assert [row.steps for row in kept] == [list(plan.steps) for plan in plans[:2]]
    assert [row.changes for row in kept] == [[str(c) for c in plan.changes] for plan in plans[:2]]
    assert before <= kept[0].applied_at <= kept[1].applied_at <= datetime.now(UTC)
    assert len({plan.checksum for plan in plans}) == 3
    assert await db(second.diff(db.conn)) == []
    assert await db(Schema([AppliedMigrationAgain]).diff(db.conn)) != []


class AppliedMigrationAgain(DbModel):
    """A table of another name, which the history is not taken for."""

    migration_id: Annotated[int, PrimaryKey()] = -1


async def test_a_step_that_the_database_refuses_undoes_them_all(db: Database) -> None:
    before = Schema(one()())
    after = Schema(one(Unique("name"), x=(int, 5))())
    await db(before.create_schema(db.conn))
    await db.execute("""INSERT INTO "T" (name) VALUES ('twin'), ('twin')""")
    await db.commit()

    with pytest.raises(MigrationError, match="the database refused a step") as caught:
        await db(after.migrate(db.conn))
    assert isinstance(caught.value.__cause__, ConstraintViolation)
    assert "CREATE UNIQUE INDEX" in str(caught.value)
    assert await db.execute('SELECT count(*) FROM "T"') == [(2,)]
    await db.rollback()
    assert await db(before.diff(db.conn)) == []


async def test_a_check_that_the_default_breaks_undoes_all(db: Database) -> None:
    before = Schema(one()())
    after = Schema(one(y=(int, 1), x=(Annotated[int, Check("x > 5")], 5))())
    await db(before.create_schema(db.conn))
    await db.execute("""INSERT INTO "T" (name) VALUES ('a')""")
    await db.commit()

    with pytest.raises(MigrationError, match="the database refused a step"):
        await db(after.migrate(db.conn))
    assert await db(before.diff(db.conn)) == []


async def test_a_migration_inside_of_a_transaction_goes_with_it(db: Database) -> None:
    before, after = ADDING["column with a default"].schemas()
    await db(before.create_schema(db.conn))
    with pytest.raises(ZeroDivisionError):
        async with db.transaction():
            await db(after.migrate(db.conn))
            assert await db(after.diff(db.conn)) == []
            raise ZeroDivisionError
    assert await db(before.diff(db.conn)) == []


@pytest.mark.parametrize("colour", ["sqlite"])
async def test_a_file_that_is_busy_is_told_as_such(db: Database) -> None:
    before, after = ADDING["index"].schemas()
    await db(before.create_schema(db.conn))
    await db.execute("PRAGMA busy_timeout=10")
    async with db.second() as other:
        await other.execute("BEGIN IMMEDIATE")
        with pytest.raises(DatabaseBusy):
            await db(after.migrate(db.conn))
    assert await db(before.diff(db.conn)) == []


@pytest.mark.parametrize("colour", ["postgres"])
async def test_a_table_that_is_busy_is_told_as_such(db: Database) -> None:
    before, after = ADDING["column with a default"].schemas()
    await db(before.create_schema(db.conn))
    await db.execute("SET lock_timeout = '50ms'")
    await db.commit()
    async with db.second() as other:
        await other.execute('LOCK TABLE "T"')
        with pytest.raises(DatabaseBusy):
            await db(after.migrate(db.conn))
    assert await db(before.diff(db.conn)) == []


@pytest.mark.parametrize("colour", ["sqlite"])
async def test_rows_that_refer_to_nothing_are_found_before_the_end(db: Database) -> None:
    before = Schema(one(x=Annotated[int, refers()])())
    after = Schema(one(x=Annotated[int, refers()], y=(int, 0))())
    await db(before.create_schema(db.conn))
    await db.execute("PRAGMA foreign_keys=OFF")
    await db.execute("""INSERT INTO "T" (name, x) VALUES ('lost', 99)""")
    await db.commit()
    await db.execute("PRAGMA foreign_keys=ON")

    with pytest.raises(MigrationError, match="row 1 of T refers to no row of Owner"):
        await db(after.migrate(db.conn))
    assert await db(before.diff(db.conn)) == []


class Inner(BaseModel):
    n: int = 1
    text: str = 'it\'s {"quoted"} \\ 100%'


async def test_a_default_of_any_type_reaches_the_rows_that_exist(db: Database) -> None:
    fields: dict[str, Any] = {
        "int_": (int, -(2**63)),
        "bool_": (bool, True),
        "float_": (float, 0.1),
        "infinite": (float, float("inf")),
        "text": (str, 'it\'s "x" \\ 100% ünï\n'),
        "bytes_": (bytes, b"\x00'\xff"),
        "aware": (AwareDatetime, datetime(2026, 1, 31, 9, 0, 0, 1, UTC)),
        "naive": (NaiveDatetime, datetime(2026, 1, 31, 9)),
        "date_": (date, date(1, 1, 1)),
        "time_": (time, time(23, 59, 59, 999999)),
        "delta": (timedelta, timedelta(days=-1, microseconds=5)),
        "decimal": (Decimal, Decimal("1.50")),
        "scaled": (Annotated[Decimal, Field(max_digits=9, decimal_places=2)], Decimal("-1.50")),
        "uuid": (UUID, UUID(int=5)),
        "path": (Path, Path("a/b")),
        "kind": (Kind, Kind.NEW),
        "literal": (Literal["a", "b'"], "b'"),
        "json_": (Inner, Inner()),
        "tuple_": (tuple[int, str], (1, "'")),
    }
    nullable = {f"{name}_or_none": (kind | None, value) for name, (kind, value) in fields.items()}
    before, after = Schema(one()()), Schema(one(**fields, **nullable)())
    await db(before.create_schema(db.conn))
    await db.execute("""INSERT INTO "T" (name) VALUES ('old')""")
    await db.commit()

    await db(after.migrate(db.conn))
    table = after.models[1]
    (old,) = await db(table.select(db.conn))
    new = await db(table(name="old").save(db.conn))
    assert old.model_dump(exclude={"key"}) == new.model_dump(exclude={"key"})
    assert await db(after.diff(db.conn)) == []


@pytest.mark.parametrize("colour", ["postgres"])
async def test_postgres_keeps_no_default_behind(db: Database) -> None:
    before, after = ADDING["column with a default"].schemas()
    await db(before.create_schema(db.conn))
    await db(after.migrate(db.conn))
    assert await db.execute(
        "SELECT column_default FROM information_schema.columns "
        "WHERE table_name = 'T' AND column_name = 'x' AND table_schema = current_schema()"
    ) == [(None,)]


@pytest.mark.parametrize("colour", ["postgres"])
async def test_a_new_scoped_table_has_a_policy_where_others_have_one(db: Database) -> None:
    def scoped(name: str) -> Any:
        return model(name, (), "org", key=KEY, org=(int, -1))

    await db.execute(Schema([scoped("A")]).ddl("postgres", row_level_security=True))
    await db.commit()
    await db(Schema([scoped("A"), scoped("B")]).migrate(db.conn))
    await db(Schema([scoped("A"), scoped("C"), owner()]).create_schema(db.conn))

    assert await db.execute(
        "SELECT relname::text, relforcerowsecurity FROM pg_class WHERE relkind = 'r' "
        "AND relnamespace = current_schema()::regnamespace ORDER BY relname"
    ) == [
        ("A", True),
        ("B", True),
        ("C", True),
        ("Owner", False),
        ("lythonic_migrations", False),
    ]


@pytest.mark.parametrize("colour", ["postgres"])
async def test_rows_behind_a_policy_get_the_default_too(db: Database) -> None:
    def schema(**fields: Any) -> Schema:
        return Schema([model("A", (), "org", key=KEY, org=(int, -1), **fields)])

    await db.execute(schema().ddl("postgres", row_level_security=True))
    await db.execute('INSERT INTO "A" (org) VALUES (1)')
    role = "owner_" + (await db.execute("SELECT current_schema()::text"))[0][0]
    await db.execute(f"CREATE ROLE {role}")
    await db.execute(f'ALTER TABLE "A" OWNER TO {role}')
    here = (await db.execute("SELECT current_schema()::text"))[0][0]
    await db.execute(f"GRANT ALL ON SCHEMA {here} TO {role}")
    await db.execute(f"SET LOCAL ROLE {role}")
    assert await db.execute('SELECT key FROM "A"') == []

    async with db.transaction():
        await db(schema(x=(int | None, 5), y=(int, 6)).migrate(db.conn))
        await db.execute("RESET ROLE")
        assert await db.execute('SELECT org, x, y FROM "A"') == [(1, 5, 6)]
        await db.execute(f"DROP OWNED BY {role}")
        await db.execute(f"DROP ROLE {role}")


# --- many at once, and crashes --------------------------------------------------------------


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_several_may_migrate_at_once_and_one_does_it(db_url: str) -> None:
    before, after = ADDING["foreign key column"].schemas()
    before.create_schema(db_url)
    barrier = threading.Barrier(5)
    failures: list[BaseException] = []
    plans: list[Any] = []

    def migrate() -> None:
        barrier.wait()
        try:
            with open_db(db_url) as conn:
                plans.append(after.migrate(conn))
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is shown
            failures.append(error)

    threads = [threading.Thread(target=migrate) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert sorted(len(plan.steps) > 0 for plan in plans) == [False] * 4 + [True]
    with open_db(db_url) as conn:
        assert AppliedMigration.select_count(conn) == 1
        assert after.diff(conn) == []
        conn.rollback()


def _migrate_and_die(url: str, statements: int) -> None:
    _, after = ADDING["foreign key column"].schemas()
    seen = 0

    def die(_: Any) -> None:
        nonlocal seen
        seen += 1
        if seen == statements:
            os._exit(9)

    with open_db(url) as conn, on_statement(conn, die):
        after.migrate(conn)


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_a_crash_leaves_the_old_schema_or_the_new_one(db_url: str) -> None:
    before, after = ADDING["foreign key column"].schemas()
    before.create_schema(db_url)
    died = 0
    for statements in range(3, 60, 4):
        process = FORKING.Process(target=_migrate_and_die, args=(db_url, statements))
        process.start()
        process.join()
        with open_db(db_url) as conn:
            is_old, is_new = before.diff(conn) == [], after.diff(conn) == []
            conn.rollback()
        assert is_old != is_new
        if process.exitcode == 0:
            assert is_new
            break
        died += 1
    assert died >= 3


# --- any models -----------------------------------------------------------------------------


class _Undone(Exception):
    """Ends an example, whose tables go with its transaction."""


_TYPES: list[tuple[Any, Any]] = [
    (int, 5),
    (bool, False),
    (float, 0.5),
    (str, "x'y"),
    (bytes, b"\x01"),
    (AwareDatetime, datetime(2026, 1, 1, tzinfo=UTC)),
    (NaiveDatetime, datetime(2026, 1, 1)),
    (date, date(2026, 1, 1)),
    (time, time(1)),
    (timedelta, timedelta(hours=1)),
    (Decimal, Decimal("1.5")),
    (Annotated[Decimal, Field(max_digits=9, decimal_places=2)], Decimal("1.5")),
    (UUID, UUID(int=1)),
    (Path, Path("a")),
    (Kind, Kind.OLD),
    (Literal["a'", "\\b"], "\\b"),
    (list[int], [1]),
]
_NAMES = st.text(
    st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1, max_size=15
).filter(lambda name: name not in {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"})


@st.composite
def _fields(draw: st.DrawFn, names: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for number, name in enumerate(names):
        kind, default = draw(st.sampled_from(_TYPES))
        markers: list[Any] = [ColumnName(name)]
        if kind is not list[int]:
            markers += draw(st.lists(st.sampled_from([Unique(), Index()]), max_size=2, unique=True))
        if draw(st.booleans()):
            kind = kind | None
        annotation = Annotated[(kind, *markers)]  # type: ignore[valid-type]  # built
        found[f"f{number}"] = (annotation, default) if draw(st.booleans()) else annotation
    return found


@dataclass
class _Description:
    """What a generated table is made of, so that a later version of it can be made too."""

    name: str
    fields: dict[str, Any]
    scope: str | None
    constraints: list[Any]

    def model(self) -> Any:
        return model(self.name, self.constraints, self.scope, **self.fields)


_KEYS: list[dict[str, Any]] = [
    {"k": KEY},
    {"k": Annotated[str, PrimaryKey()]},
    {"k": Annotated[UUID, PrimaryKey()]},
    {"k": Annotated[date, PrimaryKey()], "k2": Annotated[int, PrimaryKey()]},
    {},
]


@st.composite
def _descriptions(draw: st.DrawFn) -> list[_Description]:
    tables = draw(
        st.lists(
            _NAMES.filter(lambda name: not name.lower().startswith(("sqlite_", "lythonic_"))),
            min_size=1,
            max_size=3,
            unique_by=str.lower,
        )
    )
    found: list[_Description] = []
    for table in tables:
        key = draw(st.sampled_from(_KEYS))
        names = draw(
            st.lists(
                _NAMES.filter(lambda name: name.lower() not in {"k", "k2", "org", "above"}),
                min_size=1,
                max_size=5,
                unique_by=str.lower,
            )
        )
        fields = {**key, **draw(_fields(names))}
        scope = "org" if draw(st.booleans()) else None
        if scope:
            fields["org"] = (int, -1)
        parents = [one_ for one_ in found if set(one_.fields) & {"k", "k2"} == {"k"}]
        if parents and draw(st.booleans()):
            parent = draw(st.sampled_from(parents))
            kind = parent.fields["k"]
            bare = (kind[0] if isinstance(kind, tuple) else kind).__origin__
            action = draw(st.sampled_from(["no action", "cascade", "restrict"]))
            marker = ForeignKey(f"{parent.name}.k", on_delete=action)
            fields["above"] = (Annotated[bare | None, marker], None)
        constraints: list[Any] = []
        if draw(st.booleans()):
            column = '"' + names[0].replace('"', '""') + '"'
            constraints.append(Index("f0", where=f"{column} IS NOT NULL"))
            constraints.append(Check(f"{column} IS NULL OR {column} = {column} -- always"))
        plain = [name for name in fields if name not in ("k", "k2")]
        if draw(st.booleans()):
            constraints.append(Unique(*draw(st.permutations(plain))[:3]))
        found.append(_Description(table, fields, scope, constraints))
    return found


def _without_dots(found: list[_Description]) -> bool:
    """A foreign key is written "Table.field", so a parent's name has no dot, nor brackets."""
    return not any("." in one_.name for one_ in found)


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_what_any_schema_creates_has_no_difference(db_url: str) -> None:
    with open_db(db_url) as conn:

        @given(_descriptions().filter(_without_dots))
        def has_no_difference(found: list[_Description]) -> None:
            schema = Schema([one_.model() for one_ in found])
            with suppress(_Undone), transaction(conn):
                schema.create_tables(conn)
                assert schema.diff(conn) == []
                schema.create_tables(conn)
                raise _Undone

        has_no_difference()


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_any_schema_with_more_columns_and_other_indexes_is_reached_by_migrating(
    db_url: str,
) -> None:
    with open_db(db_url) as conn:

        @given(_descriptions().filter(_without_dots), st.data())
        def is_reached(found: list[_Description], data: st.DataObject) -> None:
            before = Schema([one_.model() for one_ in found])
            for one_ in found:
                one_.fields.update(_added(data, one_))
                one_.constraints = list(_with_other_indexes(data, one_))
            after = Schema([*(one_.model() for one_ in found), owner()])
            with suppress(_Undone), transaction(conn):
                before.create_tables(conn)
                changes = after.diff(conn)
                if all(change.safe for change in changes):
                    after.migrate(conn)
                    assert after.diff(conn) == []
                else:
                    with pytest.raises(MigrationError):
                        after.migrate(conn)
                    assert before.diff(conn) == []
                raise _Undone

        is_reached()


def _added(data: st.DataObject, description: _Description) -> Iterator[tuple[str, Any]]:
    for number in range(data.draw(st.integers(0, 3))):
        kind, default = data.draw(st.sampled_from(_TYPES))
        given_ = (kind, default) if data.draw(st.booleans()) else (kind | None, None)
        if data.draw(st.booleans()) and kind is not list[int]:
            given_ = (Annotated[(given_[0], Index())], given_[1])
        yield f"added {number}".replace(" ", "_"), given_


def _with_other_indexes(data: st.DataObject, description: _Description) -> Iterator[Any]:
    for constraint in description.constraints:
        if not isinstance(constraint, Index) or data.draw(st.booleans()):
            yield constraint
    if data.draw(st.booleans()):
        yield Index(*data.draw(st.permutations(list(description.fields)))[:2])


def test_psycopg_is_the_driver_of_these_tests() -> None:
    assert psycopg.__version__ >= "3.2"
