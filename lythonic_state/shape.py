"""What is a table inside a database? Frozen shapes, and the shape that a model's table has.

A live database is read into the same shapes (`migrate/live.py`), and DDL is written from them
(`ddl.py`), so what is created and what is compared cannot drift apart. No statements live here.

Expressions (CHECKs and the conditions of partial indexes) are never parsed: their names end or
begin with a digest of their text, and two of them are the same if their digests are.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from hashlib import sha256
from typing import TypeAlias

from .dialects import Dialect, DialectName
from .errors import SchemaError
from .fields import frozen, replace
from .literals import literal
from .table import ColumnSpec, Reference, Table

NAME_BYTES = 63
"""PostgreSQL cuts longer names, silently."""


@frozen
class ColumnShape:
    """A column; `generated` says whether the database remembers which values it gave out.

    On PostgreSQL that is a sequence, on SQLite AUTOINCREMENT.
    """

    name: str
    type: str
    nullable: bool
    generated: bool = False


@frozen
class IndexShape:
    """An index, unique or not, whether it was made as one or as a UNIQUE constraint.

    `digest` stands for the condition of a partial index, and is None where there is none.
    """

    columns: tuple[str, ...]
    unique: bool
    digest: str | None
    name: str = field(compare=False)
    where: str | None = field(default=None, compare=False)


@frozen
class CheckShape:
    """A CHECK, known by the digest of its expression; `column` is the one it belongs to, if any."""

    digest: str
    name: str = field(compare=False)
    sql: str = field(compare=False)
    column: str | None = field(default=None, compare=False)


@frozen
class ForeignKeyShape:
    """A foreign key, with the scope columns of both tables where both are scoped."""

    columns: tuple[str, ...]
    target: str
    target_columns: tuple[str, ...]
    on_delete: str
    name: str = field(compare=False)


@frozen
class TableShape:
    """A table with all that `Schema.diff` compares."""

    name: str
    columns: tuple[ColumnShape, ...]
    primary_key: tuple[str, ...]
    indexes: tuple[IndexShape, ...]
    checks: tuple[CheckShape, ...]
    foreign_keys: tuple[ForeignKeyShape, ...]
    strict: bool = True
    row_security: bool = False


@frozen
class Wanted:
    """A table of a Schema and the shape that it shall have in a database."""

    table: Table
    shape: TableShape


Fold: TypeAlias = Callable[[str], str]


def fold_of(dialect: Dialect) -> Fold:
    """What makes two names of the same thing equal: SQLite ignores the case of ASCII letters."""
    return _fold_ascii if dialect.name == "sqlite" else str


_ASCII = {upper: upper + 32 for upper in range(ord("A"), ord("Z") + 1)}


def _fold_ascii(name: str) -> str:
    return name.translate(_ASCII)


def digest_of(*parts: object) -> str:
    """Eight hexadecimal digits that stand for a text."""
    return sha256("\0".join(map(str, parts)).encode()).hexdigest()[:8]


def shape_of(table: Table, references: Sequence[Reference], dialect: Dialect) -> TableShape:
    """The shape of a model's table on one kind of database.

    Each foreign key has an index that begins with its columns, so that joins, and deletes of
    parents, need not read whole tables; one that the model has with the condition that the column
    IS NOT NULL will do, and is cheaper where it mostly is NULL. Uniques of a scoped table begin
    with the scope.

    Raises:
        SchemaError: a name that this kind of database does not take.
    """
    _check_names(table, dialect)
    keys = tuple(_foreign_key(reference) for reference in references)
    return TableShape(
        name=table.name,
        columns=tuple(_column(table, column, dialect) for column in table.columns),
        primary_key=_names(table.primary_key),
        indexes=tuple(_indexes(table, keys)),
        checks=tuple(dict.fromkeys(_checks(table, dialect))),
        foreign_keys=tuple(dict.fromkeys(keys)),
    )


def _names(columns: Sequence[ColumnSpec]) -> tuple[str, ...]:
    return tuple(column.name for column in columns)


def _column(table: Table, column: ColumnSpec, dialect: Dialect) -> ColumnShape:
    return ColumnShape(
        column.name,
        dialect.type_of(column.codec),
        column.nullable,
        # on SQLite every INTEGER PRIMARY KEY is generated, whether one wants it or not
        generated=column is table.generated
        and (dialect.name == "postgres" or not table.reuse_keys),
    )


def never_reusing_keys(wanted: Wanted) -> Wanted:
    """The same table with a generated key that is never given out again, if it has one."""
    key = wanted.table.generated
    columns = tuple(
        replace(column, generated=True) if key is not None and column.name == key.name else column
        for column in wanted.shape.columns
    )
    return replace(wanted, shape=replace(wanted.shape, columns=columns))


# --- keys -----------------------------------------------------------------------------------


def _foreign_key(reference: Reference) -> ForeignKeyShape:
    table, target = reference.table, reference.target
    pairs = list(zip(reference.columns, reference.target_columns, strict=True))
    if reference.scoped:
        assert table.scope is not None
        assert target.scope is not None
        scopes = (table.scope, target.scope)
        if scopes not in pairs:
            if target.scope in reference.target_columns:
                raise SchemaError(
                    f"{table.model.__name__}.{reference.field} refers to the scope of "
                    f"{target.model.__name__} with another column than its own scope; "
                    f"refer to it with {table.scope.field}"
                )
            pairs.insert(0, scopes)
    ours, theirs = _names([ours for ours, _ in pairs]), _names([theirs for _, theirs in pairs])
    parts = (table.name, ours, target.name, theirs, reference.on_delete)
    name = _fitted("fk", table.name, ours, digest_of(*parts))
    return ForeignKeyShape(ours, target.name, theirs, reference.on_delete, name)


def _indexes(table: Table, keys: Sequence[ForeignKeyShape]) -> Iterator[IndexShape]:
    """Uniques first, for foreign keys need them; each set of columns once."""
    made: list[IndexShape] = []
    for columns in _uniques(table):
        made.append(_index(table, columns, True, None))
    for index in table.indexes:
        columns = _names([table.by_field[name] for name in index.fields])
        made.append(_index(table, columns, False, index.where))
    whole = [index.columns for index in made if index.where is None or _leaves_out_null(index)]
    leading = [_names(table.primary_key), *whole]
    for key in keys:
        size = len(key.columns)
        if not any(set(columns[:size]) == set(key.columns) for columns in leading):
            made.append(_index(table, key.columns, False, None))
            leading.append(key.columns)
    return iter(dict.fromkeys(made))


def _leaves_out_null(index: IndexShape) -> bool:
    """Whether an index of one column holds all rows but those where it is NULL, which is enough to
    find the rows of a foreign key."""
    if index.unique or len(index.columns) != 1 or index.where is None:
        return False
    (column,) = index.columns
    return " ".join(index.where.split()).lower() in (
        f"{column} is not null".lower(),
        f'"{column}" is not null'.lower(),
    )


def _uniques(table: Table) -> Iterator[tuple[str, ...]]:
    """What is unique beside the primary key: as the model says it, within the scope, and the key
    together with the scope, for other scoped tables to refer to."""
    key = set(_names(table.primary_key))
    groups = [_names([table.by_field[name] for name in fields]) for fields in table.uniques]
    if table.scope is not None:
        scope = table.scope.name
        if table.primary_key:
            groups.append(_names(table.primary_key))
        groups = [(scope, *(name for name in group if name != scope)) for group in groups]
    for group in dict.fromkeys(groups):
        if set(group) != key:
            yield group


def _index(table: Table, columns: tuple[str, ...], unique: bool, where: str | None) -> IndexShape:
    where = where.strip() if where else None
    digest = digest_of(table.name, columns, unique, where)
    name = _fitted("uq" if unique else "ix", table.name, columns, digest)
    return IndexShape(columns, unique, digest if where else None, name, where)


_INDEX_NAME = re.compile(r"(?:uq|ix)_.*_([0-9a-f]{8})", re.DOTALL)


def live_index(
    table: str, name: str, columns: tuple[str, ...], unique: bool, where: str | None
) -> IndexShape:
    """An index as a database tells it; the name of one that we made holds its digest."""
    digest = None
    if where is not None:
        ours = _INDEX_NAME.fullmatch(name)
        digest = ours[1] if ours else digest_of(table, columns, unique, where)
    return IndexShape(columns, unique, digest, name, where)


def is_named_by_us(table: str, index: IndexShape) -> bool:
    """Whether an index of a live database has the very name that we give to one of its columns."""
    kind = "uq" if index.unique else "ix"
    digest = index.digest or digest_of(table, index.columns, index.unique, None)
    return index.name == _fitted(kind, table, index.columns, digest)


def _fitted(kind: str, table: str, columns: Sequence[str], digest: str) -> str:
    """A name of at most 63 bytes that says what it is of and, by its digest, is no other's."""
    room = NAME_BYTES - len(kind) - len(digest) - 2
    return f"{kind}_{_cut('_'.join((table, *columns)), room)}_{digest}"


def _cut(text: str, size: int) -> str:
    return text.encode()[:size].decode(errors="ignore")


# --- checks ---------------------------------------------------------------------------------


ONE_BY_ONE = 100
"""So many values are compared faster than a list of them is built."""


def _checks(table: Table, dialect: Dialect) -> Iterator[CheckShape]:
    for column in table.columns:
        values = _allowed(column, dialect)
        if values is not None:
            name = dialect.quote_ddl(column.name)
            shape = _check(table.name, column.name, f"{name} IN ({', '.join(values)})", dialect)
            if dialect.name == "sqlite" and 2 < len(values) <= ONE_BY_ONE:
                # SQLite makes a table of a longer list, anew in every statement; whoever has the
                # list has the same check, so the name stays
                shape = replace(shape, sql=" OR ".join(f"{name} = {value}" for value in values))
            yield shape
    for check in table.checks:
        if not check.sql.strip():
            raise SchemaError(f"{table.model.__name__}: a Check needs a condition in SQL")
        yield _check(table.name, check.column, check.sql.strip(), dialect)


def _allowed(column: ColumnSpec, dialect: Dialect) -> list[str] | None:
    """The literals that a column may hold, where these are a closed set."""
    codec = column.codec
    if codec.choices is not None:
        return [literal(dialect, codec, choice) for choice in codec.choices]
    if codec.postgres_type == "BOOLEAN" and dialect.name == "sqlite":
        return ["0", "1"]
    return None


def _check(table: str, column: str | None, sql: str, dialect: Dialect) -> CheckShape:
    digest = digest_of(sql)
    return CheckShape(digest, _check_name(table, column, digest, dialect.name), sql, column)


def _check_name(table: str, column: str | None, digest: str, dialect: DialectName) -> str:
    """`ck_<digest>_<table>.<column>`, from which a driver tells what a violation is of."""
    tail = f".{column}" if column is not None else ""
    if dialect == "sqlite":
        return f"ck_{digest}_{table}{tail}"
    room = NAME_BYTES - len(f"ck_{digest}_")
    if len(tail.encode()) > room:
        tail = ""
    return f"ck_{digest}_{_cut(table.replace('.', '_'), room - len(tail.encode()))}{tail}"


_CHECK_NAME = re.compile(r"ck_([0-9a-f]{8})_(?:.*?\.(.*))?", re.DOTALL)


def live_check(name: str | None, sql: str) -> CheckShape:
    """A CHECK as a database tells it; the name of one that we made begins with its digest."""
    ours = _CHECK_NAME.match(name or "")
    digest = ours[1] if ours else digest_of(sql)
    return CheckShape(digest, name or "", sql, ours[2] if ours else None)


# --- names ----------------------------------------------------------------------------------

_POSTGRES_SYSTEM_COLUMNS = {"tableoid", "xmin", "cmin", "xmax", "cmax", "ctid"}


def _check_names(table: Table, dialect: Dialect) -> None:
    model = table.model.__name__
    if not table.columns:
        raise SchemaError(f"{model} has no columns; give it a field that is not Transient")
    if not table.name or "\0" in table.name:
        raise SchemaError(f"{model}: {table.name!r} cannot be a table's name")
    if dialect.name == "sqlite":
        if _fold_ascii(table.name).startswith("sqlite_"):
            raise SchemaError(
                f"{model}: SQLite keeps names that begin with sqlite_ to itself; "
                f"give it another: class {model}(DbModel, table=…)"
            )
        return
    if len(table.name.encode()) > NAME_BYTES:
        raise SchemaError(
            f"{model}: PostgreSQL cuts the table's name {table.name!r} at {NAME_BYTES} bytes; "
            f"give it a shorter one: class {model}(DbModel, table=…)"
        )
    for column in table.columns:
        if len(column.name.encode()) > NAME_BYTES or column.name in _POSTGRES_SYSTEM_COLUMNS:
            raise SchemaError(
                f"{model}.{column.field}: PostgreSQL does not take {column.name!r} as the name of "
                f"a column, being over {NAME_BYTES} bytes or a name of its own; give it another "
                "with ColumnName"
            )
