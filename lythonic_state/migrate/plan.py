"""Which statements bring a database to its models' shape, and how are they carried out?

A `Plan` is computed first, as a value, and then carried out in one transaction; what begins and
commits that transaction stands in `schema.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from hashlib import sha256

from .. import ddl
from ..dialects import Dialect, DialectName
from ..errors import DatabaseBusy, DatabaseError, MigrationError, SchemaError
from ..fields import frozen
from ..op import Op, Statement, control
from ..shape import (
    CheckShape,
    ColumnShape,
    ForeignKeyShape,
    IndexShape,
    TableShape,
    Wanted,
    fold_of,
    never_reusing_keys,
)
from . import HISTORY_TABLE
from .changes import Change, ChangeKind, changes_between
from .fill import fill_of
from .live import Live, read_live


@frozen
class Plan:
    """What a migration does: the changes, and the SQL that makes them, in order.

    Example:
        >>> plan = SCHEMA.migrate(conn, dry_run=True)
        >>> print(plan.sql)
    """

    dialect: DialectName
    changes: tuple[Change, ...]
    steps: tuple[str, ...]

    @property
    def sql(self) -> str:
        """The steps as one text."""
        return "".join(f"{step};\n" for step in self.steps)

    @property
    def checksum(self) -> str:
        """SHA-256 of dialect and SQL, in hexadecimal: equal plans have equal ones."""
        return sha256(f"{self.dialect}\n{self.sql}".encode()).hexdigest()


# --- writing a plan -------------------------------------------------------------------------


def make_plan(
    changes: Sequence[Change], wanted: Sequence[Wanted], live: Live, dialect: Dialect
) -> Plan:
    """The steps that carry these changes out.

    Raises:
        MigrationError: one of the changes is not safe, with all of those.
    """
    _refuse(changes)
    tables = {one.shape.name: one for one in wanted}
    steps: list[str] = []
    for name, mine in _by_table(changes):
        steps.extend(_columns(tables[name], mine, dialect))
    for name, mine in _by_table(changes):
        for change in mine:
            if isinstance(change.detail, IndexShape):
                steps.append(_index(name, change.kind, change.detail, dialect))
    created = [change.detail for change in changes if isinstance(change.detail, TableShape)]
    steps.extend(ddl.create_tables(created, dialect))
    if dialect.name == "postgres":
        for change in changes:
            if isinstance(change.detail, ForeignKeyShape):
                steps.append(ddl.add_foreign_key(change.table, change.detail, dialect))
    new = [one for one in wanted if one.shape in created]
    steps.extend(policies(new, wanted, live, dialect))
    return Plan(dialect.name, tuple(changes), tuple(steps))


def _index(table: str, kind: ChangeKind, index: IndexShape, dialect: Dialect) -> str:
    if kind == "dropped index":
        return ddl.drop_index(index, dialect)
    return ddl.create_index(table, index, dialect)


def _refuse(changes: Sequence[Change]) -> None:
    refused = [change for change in changes if not change.safe]
    if refused:
        lines = "".join(f"\n  - {change}: {change.obstacle}" for change in refused)
        raise MigrationError(f"nothing was changed, for migrate cannot carry out:{lines}")


def _by_table(changes: Sequence[Change]) -> Iterator[tuple[str, list[Change]]]:
    for name in dict.fromkeys(change.table for change in changes):
        yield name, [change for change in changes if change.table == name]


def _columns(one: Wanted, changes: Sequence[Change], dialect: Dialect) -> Iterator[str]:
    new = [change.detail for change in changes if isinstance(change.detail, ColumnShape)]
    checks = [change.detail for change in changes if isinstance(change.detail, CheckShape)]
    keys = [change.detail for change in changes if isinstance(change.detail, ForeignKeyShape)]
    for column in new:
        yield from _add_column(one, column, checks, keys, column is new[-1], dialect)
    if dialect.name == "postgres":
        table = dialect.quote_ddl(one.shape.name)
        for check in checks:
            yield f"ALTER TABLE {table} ADD {ddl.define_check(check, dialect)}"


def _add_column(
    one: Wanted,
    column: ColumnShape,
    checks: Sequence[CheckShape],
    keys: Sequence[ForeignKeyShape],
    is_last: bool,
    dialect: Dialect,
) -> Iterator[str]:
    """The rows that exist get the field's default.

    On PostgreSQL by a DEFAULT that is dropped at once, which touches no row. SQLite cannot drop
    one, so that of a NOT NULL column stays; no statement of ours makes use of it.
    """
    table, name = dialect.quote_ddl(one.shape.name), dialect.quote_ddl(column.name)
    spec = next(spec for spec in one.table.columns if spec.name == column.name)
    fill = fill_of(one.table, spec, dialect).sql
    text = f"ALTER TABLE {table} ADD COLUMN {ddl.define_column(column, one.shape, dialect)}"
    if dialect.name == "postgres":
        yield text if fill is None else f"{text} DEFAULT {fill}"
        if fill is not None:
            yield f"ALTER TABLE {table} ALTER COLUMN {name} DROP DEFAULT"
        return
    if not column.nullable:
        text += f" DEFAULT {fill}"
    for check in checks if is_last else ():  # one may name several of the new columns
        text += " " + ddl.define_check(check, dialect)
    for key in keys:
        if key.columns == (column.name,):
            named = f"CONSTRAINT {dialect.quote_ddl(key.name)}"
            text += f" {named} {ddl.references_clause(key, dialect)}"
    yield text
    if column.nullable and fill is not None:
        yield f"UPDATE {table} SET {name} = {fill}"


def policies(
    new: Sequence[Wanted], wanted: Sequence[Wanted], live: Live, dialect: Dialect
) -> list[str]:
    """Row level security for new scoped tables, in a database where scoped tables have it."""
    fold = fold_of(dialect)
    secured = any(
        there.row_security
        for one in wanted
        if one.table.scope is not None
        and (there := live.tables.get(fold(one.shape.name))) is not None
    )
    if not secured:
        return []
    scoped = [one.table for one in new if one.table.scope is not None]
    return [step for table in scoped for step in ddl.row_level_security(table, dialect)]


# --- carrying it out ------------------------------------------------------------------------


def diff(dialect: Dialect, wanted: Sequence[Wanted]) -> Op[list[Change]]:
    """The changes that a database needs."""
    live = yield from read_live(dialect)
    return changes_between(live, wanted, dialect)


def plan(dialect: Dialect, wanted: Sequence[Wanted]) -> Op[Plan]:
    """The plan for a database, without touching it."""
    live = yield from read_live(dialect)
    return make_plan(changes_between(live, wanted, dialect), wanted, live, dialect)


def migrate(dialect: Dialect, wanted: Sequence[Wanted], now: datetime) -> Op[Plan]:
    """Makes the plan for a database and carries it out; the transaction is the caller's."""
    yield from alone(dialect)
    live = yield from read_live(dialect)
    made = make_plan(changes_between(live, wanted, dialect), wanted, live, dialect)
    if made.steps:
        for step in made.steps:
            yield from _take(step)
        yield from _verify(dialect, wanted, made)
        yield from _record(dialect, made, live, now)
    return made


def create(dialect: Dialect, wanted: Sequence[Wanted], reuse_keys: bool) -> Op[None]:
    """Creates the tables that are missing; those that are there must have the wanted shape."""
    yield from alone(dialect)
    live = yield from read_live(dialect)
    changes = changes_between(live, wanted, dialect)
    different = [change for change in changes if change.kind != "new table"]
    if different:
        raise SchemaError(differences(different))
    missing = {change.table for change in changes}
    new = [one for one in wanted if one.shape.name in missing]
    if not reuse_keys:
        new = list(map(never_reusing_keys, new))
    for step in ddl.create_tables([one.shape for one in new], dialect):
        yield control(step)
    for step in policies(new, wanted, live, dialect):
        yield control(step)


def differences(changes: Sequence[Change]) -> str:
    """What to tell somebody whose database has another shape."""
    lines = "".join(f"\n  - {change}" for change in changes)
    return (
        f"the database has another shape than the models:{lines}\n"
        "SCHEMA.migrate(conn) brings it to theirs, SCHEMA.migrate(conn, dry_run=True) shows how"
    )


def alone(dialect: Dialect) -> Op[None]:
    """PostgreSQL: one at a time creates or migrates tables of this PostgreSQL schema.

    On SQLite there is only one writer anyway.
    """
    if dialect.name == "postgres":
        yield control("SELECT pg_advisory_xact_lock(hashtext('lythonic ' || current_schema()))")


def _take(step: str) -> Op[None]:
    try:
        yield control(step)
    except DatabaseBusy:
        raise
    except DatabaseError as error:
        raise MigrationError(
            f"nothing was changed, for the database refused a step ({error}):\n{step}"
        ) from error


def _verify(dialect: Dialect, wanted: Sequence[Wanted], made: Plan) -> Op[None]:
    left = yield from diff(dialect, wanted)
    if left:
        lines = "".join(f"\n  - {change}" for change in left)
        raise MigrationError(f"nothing was changed, for after all steps it would remain:{lines}")
    if dialect.name != "sqlite":
        return
    for table in dict.fromkeys(change.table for change in made.changes):
        sql = f"PRAGMA foreign_key_check({dialect.quote_ddl(table)})"
        row = yield Statement(sql, "one", control=True), ()
        if row is not None:
            raise MigrationError(
                f"nothing was changed, for row {row[1]} of {table} refers to no row of {row[2]}"
            )


def _record(dialect: Dialect, made: Plan, live: Live, now: datetime) -> Op[None]:
    from .history import AppliedMigration, history_shape, record

    if HISTORY_TABLE not in live.tables:
        for step in ddl.create_tables([history_shape(dialect)], dialect):
            yield control(step)
    yield from record(
        dialect,
        AppliedMigration(
            applied_at=now,
            checksum=made.checksum,
            changes=[str(change) for change in made.changes],
            steps=list(made.steps),
        ),
    )
