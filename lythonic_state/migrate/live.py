"""What is there? A live database, read into shapes.

Reading only, by catalogue queries; what it means that something differs is told in `changes.py`.
SQLite is read in its main database, PostgreSQL in the connection's current PostgreSQL schema.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..dialects import Dialect
from ..errors import SchemaError
from ..fields import frozen
from ..op import Op, Statement
from ..shape import (
    CheckShape,
    ColumnShape,
    ForeignKeyShape,
    IndexShape,
    TableShape,
    fold_of,
    live_check,
    live_index,
)
from .create_text import checks_in, never_reuses_keys


@frozen
class Live:
    """The tables of a database, and what else bears a name there, by folded name."""

    tables: Mapping[str, TableShape]
    others: Mapping[str, str]


def read_live(dialect: Dialect) -> Op[Live]:
    """The shapes of all tables that a connection finds without saying where."""
    read = _read_sqlite if dialect.name == "sqlite" else _read_postgres
    tables, others = yield from read(dialect)
    fold = fold_of(dialect)
    return Live(
        {fold(table.name): table for table in tables},
        {fold(name): kind for name, kind in others},
    )


def has_table(dialect: Dialect, name: str) -> Op[bool]:
    """Whether a table of this name is there, whatever its shape."""
    found: Any = yield Statement(_IS_THERE[dialect.name], "all"), (name,)
    return bool(found)


_IS_THERE = {
    "sqlite": "SELECT 1 FROM main.sqlite_schema WHERE type = 'table' AND lower(name) = lower(?)",
    "postgres": "SELECT 1 FROM pg_tables WHERE tablename = %s AND schemaname = current_schema()",
}


def _all(sql: str) -> tuple[Statement, tuple[()]]:
    return Statement(sql, "all", control=True), ()


def _by_table(rows: Iterable[Sequence[Any]]) -> dict[str, list[tuple[Any, ...]]]:
    found: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for table, *rest in rows:
        found[table].append(tuple(rest))
    return found


_Read = tuple[list[TableShape], list[tuple[str, str]]]

# --- SQLite ---------------------------------------------------------------------------------

_SQLITE_TABLES = """
SELECT l.name, l.type, l.strict, s.sql
FROM pragma_table_list AS l JOIN main.sqlite_schema AS s ON s.name = l.name
WHERE l.schema = 'main' AND l.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND s.type IN ('table', 'view')
"""
_SQLITE_COLUMNS = """
SELECT s.name, c.name, c.type, c."notnull", c.pk
FROM main.sqlite_schema AS s, pragma_table_xinfo(s.name, 'main') AS c
WHERE s.type = 'table' ORDER BY s.name, c.cid
"""
_SQLITE_INDEXES = """
SELECT s.name, i.name, i."unique", i.partial, x.name, x.desc, d.sql
FROM main.sqlite_schema AS s, pragma_index_list(s.name, 'main') AS i,
     pragma_index_xinfo(i.name, 'main') AS x
     LEFT JOIN main.sqlite_schema AS d ON d.type = 'index' AND d.name = i.name
WHERE s.type = 'table' AND i.origin <> 'pk' AND x.key
ORDER BY s.name, i.seq DESC, x.seqno
"""
_SQLITE_KEYS = """
SELECT s.name, k.id, k."table", k."from", k."to", k.on_delete
FROM main.sqlite_schema AS s, pragma_foreign_key_list(s.name, 'main') AS k
WHERE s.type = 'table' ORDER BY s.name, k.id DESC, k.seq
"""


def _read_sqlite(dialect: Dialect) -> Op[_Read]:
    rows = yield _all(_SQLITE_TABLES)
    columns = _by_table((yield _all(_SQLITE_COLUMNS)))
    indexes = _by_table((yield _all(_SQLITE_INDEXES)))
    keys = _by_table((yield _all(_SQLITE_KEYS)))
    fold = fold_of(dialect)
    primary = {fold(name): _sqlite_primary_key(found) for name, found in columns.items()}
    tables = [
        TableShape(
            name=name,
            columns=tuple(_sqlite_columns(columns[name], sql)),
            primary_key=primary[fold(name)],
            indexes=tuple(_sqlite_indexes(name, indexes[name])),
            checks=tuple(_distinct(live_check(*check) for check in checks_in(sql))),
            foreign_keys=tuple(
                ForeignKeyShape(ours, target, theirs or primary.get(fold(target), ()), action, "")
                for ours, target, theirs, action in _sqlite_keys(keys[name])
            ),
            strict=bool(strict),
        )
        for name, kind, strict, sql in rows
        if kind == "table"
    ]
    return tables, [(name, kind) for name, kind, *_ in rows if kind != "table"]


def _distinct(checks: Iterable[CheckShape]) -> Iterable[CheckShape]:
    return dict.fromkeys(checks)


def _sqlite_columns(rows: Iterable[tuple[Any, ...]], sql: str) -> Iterable[ColumnShape]:
    never_reused = never_reuses_keys(sql)
    for name, type_, not_null, key in rows:
        nullable = not (not_null or key)
        yield ColumnShape(name, type_.upper(), nullable, generated=bool(key) and never_reused)


def _sqlite_primary_key(rows: Iterable[tuple[Any, ...]]) -> tuple[str, ...]:
    parts = sorted((key, name) for name, _, _, key in rows if key)
    return tuple(name for _, name in parts)


def _sqlite_indexes(table: str, rows: Iterable[tuple[Any, ...]]) -> Iterable[IndexShape]:
    groups: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for name, *rest in rows:
        groups[name].append(tuple(rest))
    for name, parts in groups.items():
        unique, partial, _, _, sql = parts[0]
        columns = tuple(
            ("(an expression)" if column is None else column) + (" DESC" if descending else "")
            for _, _, column, descending, _ in parts
        )
        yield live_index(table, name, columns, bool(unique), sql if partial else None)


def _sqlite_keys(
    rows: Iterable[tuple[Any, ...]],
) -> Iterable[tuple[tuple[str, ...], str, tuple[str, ...], str]]:
    """Columns, target, its columns (none where its primary key is meant), and ON DELETE."""
    groups: dict[int, list[tuple[Any, ...]]] = defaultdict(list)
    for number, *rest in rows:
        groups[number].append(tuple(rest))
    for parts in groups.values():
        target, _, _, action = parts[0]
        ours = tuple(column for _, column, _, _ in parts)
        theirs = tuple(column for _, _, column, _ in parts if column is not None)
        yield ours, target, theirs, action.lower()


# --- PostgreSQL -----------------------------------------------------------------------------

_HERE = "(SELECT oid FROM pg_namespace WHERE nspname = current_schema())"
_POSTGRES_RELATIONS = f"""
SELECT c.relname::text, c.relkind::text, c.relrowsecurity
FROM pg_class AS c WHERE c.relnamespace = {_HERE} AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
ORDER BY c.relname
"""
_POSTGRES_COLUMNS = f"""
SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
  CASE WHEN a.attcollation <> t.typcollation THEN l.collname::text END,
  a.attnotnull,
  a.attidentity = 'd' OR a.attidentity = '' AND a.atthasdef AND
    pg_get_serial_sequence(c.oid::regclass::text, a.attname) IS NOT NULL
FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
  JOIN pg_type AS t ON t.oid = a.atttypid
  LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
WHERE c.relnamespace = {_HERE} AND c.relkind IN ('r', 'p')
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""
_POSTGRES_CONSTRAINTS = f"""
SELECT c.relname::text, k.contype::text, k.conname::text,
  ARRAY(SELECT a.attname::text FROM unnest(k.conkey) WITH ORDINALITY AS u(number, place)
        JOIN pg_attribute AS a ON a.attrelid = k.conrelid AND a.attnum = u.number
        ORDER BY u.place),
  CASE WHEN t.relnamespace <> c.relnamespace THEN s.nspname || '.' ELSE '' END || t.relname,
  ARRAY(SELECT a.attname::text FROM unnest(k.confkey) WITH ORDINALITY AS u(number, place)
        JOIN pg_attribute AS a ON a.attrelid = k.confrelid AND a.attnum = u.number
        ORDER BY u.place),
  k.confdeltype::text, pg_get_expr(k.conbin, k.conrelid)
FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid
  LEFT JOIN pg_class AS t ON t.oid = k.confrelid
  LEFT JOIN pg_namespace AS s ON s.oid = t.relnamespace
WHERE c.relnamespace = {_HERE} AND k.contype IN ('p', 'f', 'c')
ORDER BY c.relname, k.conname
"""
_POSTGRES_INDEXES = f"""
SELECT c.relname::text, i.relname::text, x.indisunique, pg_get_expr(x.indpred, x.indrelid),
  ARRAY(SELECT coalesce(a.attname::text, '(an expression)') ||
               CASE WHEN x.indoption[n - 1] & 1 = 1 THEN ' DESC' ELSE '' END
        FROM generate_series(1, x.indnkeyatts) AS n
        LEFT JOIN pg_attribute AS a ON a.attrelid = x.indrelid AND a.attnum = x.indkey[n - 1]
        ORDER BY n)
FROM pg_index AS x JOIN pg_class AS c ON c.oid = x.indrelid
  JOIN pg_class AS i ON i.oid = x.indexrelid
WHERE c.relnamespace = {_HERE} AND c.relkind IN ('r', 'p') AND NOT x.indisprimary AND x.indisvalid
ORDER BY c.relname, i.relname
"""

_KINDS = {"v": "view", "m": "materialized view", "f": "foreign table"}
_ACTIONS = {
    "a": "no action",
    "r": "restrict",
    "c": "cascade",
    "n": "set null",
    "d": "set default",
}
_TYPES = {
    "timestamp with time zone": "TIMESTAMPTZ",
    "timestamp without time zone": "TIMESTAMP",
    "time without time zone": "TIME",
}


def _read_postgres(dialect: Dialect) -> Op[_Read]:
    (here,) = yield Statement("SELECT current_schema()::text", "one", control=True), ()
    if here is None:
        raise SchemaError(
            "this connection's search_path names no PostgreSQL schema that exists; "
            "create one, or SET search_path"
        )
    relations = yield _all(_POSTGRES_RELATIONS)
    columns = _by_table((yield _all(_POSTGRES_COLUMNS)))
    constraints = _by_table((yield _all(_POSTGRES_CONSTRAINTS)))
    indexes = _by_table((yield _all(_POSTGRES_INDEXES)))
    tables = [
        TableShape(
            name=name,
            columns=tuple(_postgres_column(*row) for row in columns[name]),
            primary_key=next((tuple(c[2]) for c in constraints[name] if c[0] == "p"), ()),
            indexes=tuple(
                live_index(name, index, tuple(parts), unique, where)
                for index, unique, where, parts in indexes[name]
            ),
            checks=tuple(
                _distinct(live_check(c[1], c[6]) for c in constraints[name] if c[0] == "c")
            ),
            foreign_keys=tuple(
                ForeignKeyShape(tuple(ours), target, tuple(theirs), _ACTIONS[action], constraint)
                for kind, constraint, ours, target, theirs, action, _ in constraints[name]
                if kind == "f"
            ),
            row_security=row_security,
        )
        for name, kind, row_security in relations
        if kind in ("r", "p")
    ]
    return tables, [(name, _KINDS[kind]) for name, kind, _ in relations if kind in _KINDS]


def _postgres_column(
    name: str, type_: str, collation: str | None, not_null: bool, generated: bool
) -> ColumnShape:
    shown = _TYPES.get(type_, type_.upper())
    if collation is not None:
        shown += f' COLLATE "{collation}"'
    return ColumnShape(name, shown, nullable=not not_null, generated=generated)
