"""Which SQL a verb on one table is: text and the order of its values, cached on the table.

Pure functions of a `Table` and a `Dialect`. What is bound, and in which sequence several
statements run, is decided in `ops.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from types import MappingProxyType
from typing import Any, NamedTuple, TypeAlias
from uuid import UUID

from .codecs import INT_MAX, Codec
from .dialects import Dialect
from .errors import FilterError
from .filters import (
    Comparison,
    Compiler,
    Expression,
    OrderBy,
    ScopeValue,
    Source,
    bound_list,
    conditions_of,
    keyword_conditions,
    operand,
    ordering,
)
from .op import Row, Statement
from .rows import (
    Binder,
    OnInvalid,
    ValueBinder,
    ValuesBinder,
    binder,
    lenient_reader,
    read_one,
    reader,
    values_binder,
)
from .table import ColumnSpec, Table

Build = Callable[[], Statement]


def cached(table: Table, dialect: Dialect, key: tuple[Any, ...], build: Build) -> Statement:
    """The statement under this key, built on first use."""
    full = (dialect.name, *key)
    found: Statement | None = table.cache.get(full)
    if found is None:
        found = table.cache[full] = build()
    return found


def columns_of(
    table: Table,
    dialect: Dialect,
    alias: str | None = None,
    columns: Sequence[ColumnSpec] | None = None,
) -> str:
    """The SELECT list that a table's reader expects, or that of some columns."""
    prefix = dialect.quote(alias or table.name) + "."
    return ", ".join(
        [
            dialect.readable(prefix + dialect.quote(column.name), column.codec)
            for column in (table.columns if columns is None else columns)
        ]
    )


def select_text(table: Table, dialect: Dialect, columns: Sequence[ColumnSpec] | None = None) -> str:
    selected = columns_of(table, dialect, columns=columns)
    return f"SELECT {selected} FROM {dialect.quote(table.name)}"


def equals(dialect: Dialect, columns: Sequence[ColumnSpec]) -> str:
    return " AND ".join(
        f"{dialect.column(column)} = {dialect.bind(column.codec)}" for column in columns
    )


def key_where(table: Table, dialect: Dialect, scoped: bool) -> str:
    """The WHERE clause of one row by its primary key, and by its scope where that is bound."""
    columns = list(table.need_key())
    if scoped and table.scope is not None:
        columns.append(table.scope)
    return " WHERE " + equals(dialect, columns)


def load(table: Table, dialect: Dialect, scoped: bool) -> tuple[Statement, Callable[[Row], Any]]:
    """SELECT of one row by its primary key, and what makes a model of it, and None of None."""
    found: tuple[Statement, Callable[[Row], Any]] | None
    found = table.cache.get((dialect.name, "load", scoped))
    if found is None:
        text = select_text(table, dialect) + key_where(table, dialect, scoped)
        found = (Statement(text, "one"), read_one(table))
        table.cache[dialect.name, "load", scoped] = found
    return found


def insert(table: Table, dialect: Dialect, with_key: bool) -> tuple[Statement, Binder]:
    """INSERT of one row; without `with_key` the database generates the key and returns it."""
    found: tuple[Statement, Binder] | None
    found = table.cache.get((dialect.name, "insert", with_key))
    if found is None:
        columns = table.columns if with_key else _without_generated(table)
        text = insert_text(table, dialect, columns)
        statement = Statement(text, "count")
        if not with_key and table.generated is not None:
            if dialect.name != "sqlite":
                text += f" RETURNING {dialect.column(table.generated)}"
            statement = Statement(text, "key")
        found = (statement, binder(table, dialect, columns))
        table.cache[dialect.name, "insert", with_key] = found
    return found


def insert_or_ignore(table: Table, dialect: Dialect, *, with_key: bool) -> tuple[Statement, Binder]:
    """INSERT of one row unless a unique key stands in the way; returns the row's primary key."""
    columns = table.columns if with_key else _without_generated(table)

    def build() -> Statement:
        key = ", ".join(dialect.read(column) for column in table.need_key())
        text = f"{insert_text(table, dialect, columns)} ON CONFLICT DO NOTHING RETURNING {key}"
        return Statement(text, "one")

    statement = cached(table, dialect, ("insert_or_ignore", with_key), build)
    return statement, binder(table, dialect, columns)


def insert_many(table: Table, dialect: Dialect, *, ignore: bool) -> Statement:
    """INSERT of whole rows, keys included, once for each row of values."""

    def build() -> Statement:
        text = insert_text(table, dialect, table.columns)
        return Statement(text + " ON CONFLICT DO NOTHING" if ignore else text, "many")

    return cached(table, dialect, ("insert_many", ignore), build)


def copy_many(table: Table, dialect: Dialect) -> Statement:
    """PostgreSQL: `insert_many`, as a COPY where the connection can do that."""

    def build() -> Statement:
        names = ", ".join(dialect.quote_ddl(column.name) for column in table.columns)
        text = f"COPY {dialect.quote_ddl(table.name)} ({names}) FROM STDIN"
        return Statement(insert_text(table, dialect, table.columns), "many", copy=text)

    return cached(table, dialect, ("copy_many",), build)


def takes_copy(table: Table, dialect: Dialect) -> Statement:
    """PostgreSQL: whether COPY into this table means what INSERT does: it is no view, no rule
    rewrites it, and it has no row level security, to which COPY does not keep."""

    def build() -> Statement:
        name = dialect.quote_ddl(table.name).replace("'", "''")
        text = (
            "SELECT relkind IN ('r', 'p') AND NOT relhasrules AND NOT row_security_active(oid) "
            f"FROM pg_class WHERE oid = '{name}'::regclass"
        )
        return Statement(text, "one", control=True)

    return cached(table, dialect, ("takes_copy",), build)


def upsert(
    table: Table,
    dialect: Dialect,
    on: tuple[ColumnSpec, ...],
    update: tuple[ColumnSpec, ...],
    *,
    with_key: bool,
    returning: bool,
    many: bool = False,
) -> tuple[Statement, Binder]:
    """INSERT … ON CONFLICT (on) DO UPDATE, never touching a row of another scope.

    With `returning`, the key of the row that was written comes back.
    """
    columns = table.columns if with_key else _without_generated(table)

    def build() -> Statement:
        target = ", ".join(dialect.column(column) for column in on)
        text = f"{insert_text(table, dialect, columns)} ON CONFLICT ({target}) DO "
        if update:
            sets = ", ".join(f"{dialect.column(c)} = excluded.{dialect.column(c)}" for c in update)
            text += f"UPDATE SET {sets}"
        elif table.scope is not None or returning or many:
            # a row that is left as it is comes back, or is counted, all the same
            same = dialect.column(on[0])
            text += f"UPDATE SET {same} = excluded.{same}"
        else:
            text += "NOTHING"
        if table.scope is not None:
            scope = dialect.column(table.scope)
            text += f" WHERE {dialect.quote(table.name)}.{scope} = excluded.{scope}"
        if many:
            return Statement(text, "many")
        if returning:
            key = ", ".join(dialect.read(column) for column in table.need_key())
            return Statement(f"{text} RETURNING {key}", "one")
        return Statement(text, "count")

    key = ("upsert", on, update, with_key, returning, many)
    return cached(table, dialect, key, build), binder(table, dialect, columns)


def save(table: Table, dialect: Dialect) -> tuple[Statement, Binder]:
    """The upsert of one row with a key, by this key."""
    found: tuple[Statement, Binder] | None = table.cache.get((dialect.name, "save"))
    if found is None:
        found = table.cache[dialect.name, "save"] = upsert(
            table, dialect, table.primary_key, table.writable, with_key=True, returning=False
        )
    return found


def update_row(
    table: Table, dialect: Dialect, columns: tuple[ColumnSpec, ...], scoped: bool
) -> tuple[Statement, Binder]:
    """UPDATE of these columns in one row, whose key and scope are bound after their values."""
    key = (dialect.name, "update", columns, scoped)
    found: tuple[Statement, Binder] | None = table.cache.get(key)
    if found is None:
        sets = ", ".join(
            f"{dialect.column(column)} = {dialect.bind(column.codec)}" for column in columns
        )
        where = key_where(table, dialect, scoped)
        statement = Statement(f"UPDATE {dialect.quote(table.name)} SET {sets}{where}", "count")
        found = table.cache[key] = statement, binder(table, dialect, columns)
    return found


def delete_row(table: Table, dialect: Dialect, scoped: bool) -> Statement:
    def build() -> Statement:
        return Statement(
            f"DELETE FROM {dialect.quote(table.name)}{key_where(table, dialect, scoped)}", "count"
        )

    return cached(table, dialect, ("delete", scoped), build)


def highest_key(table: Table, dialect: Dialect) -> Statement:
    """SQLite: the highest key that is there, and whether any table here never reuses its keys."""
    assert table.generated is not None
    key = dialect.column(table.generated)
    return Statement(
        f"SELECT (SELECT max({key}) FROM {dialect.quote(table.name)}), "
        "EXISTS (SELECT 1 FROM main.sqlite_schema WHERE name = 'sqlite_sequence')",
        "one",
    )


HIGHEST_GIVEN = Statement(
    "SELECT max(seq) FROM main.sqlite_sequence WHERE name = ? COLLATE NOCASE", "one"
)
"""SQLite: the highest key that the table of this name ever had, if it never reuses its keys."""


def reserve_keys(table: Table, dialect: Dialect) -> Statement:
    """PostgreSQL: as many new keys as the bound number, in order."""
    return Statement(
        f"SELECT nextval({_sequence(table, dialect)}) FROM generate_series(1, %s)", "all"
    )


NEAR = 1000


def pass_keys(table: Table, dialect: Dialect) -> Statement:
    """PostgreSQL: makes generated keys go on after an explicitly given one, which is bound.

    To one that is near, key by key is drawn: nextval never goes back, whoever else draws keys
    meanwhile. To one far ahead it leaps: setval could take back what another leap has set, so they
    take turns until their commit.
    """

    def build() -> Statement:
        last = "coalesce(pg_sequence_last_value(sequence), 0)"
        return Statement(
            f"WITH given AS MATERIALIZED (SELECT sequence, key, key - {last} AS gap FROM "
            f"(SELECT {_sequence(table, dialect)} AS sequence, %s::bigint AS key) AS s), "
            "turn AS MATERIALIZED (SELECT sequence, key, "
            "pg_advisory_xact_lock(1819896936, sequence::oid::int)::text AS taken "
            f"FROM given WHERE gap > {NEAR}) "
            "SELECT (SELECT max(nextval(sequence)) FROM given, "
            f"generate_series(1, CASE WHEN gap > {NEAR} THEN 0 ELSE gap END)), "
            "(SELECT setval(sequence, key) FROM turn "
            f"WHERE {last} < key + length(taken))",
            "none",
            control=True,
            leads=True,
        )

    return cached(table, dialect, ("pass_keys",), build)


def _sequence(table: Table, dialect: Dialect) -> str:
    assert table.generated is not None
    name = dialect.quote(table.name).replace("'", "''")
    key = table.generated.name.replace("'", "''").replace("%", "%%")
    return f"pg_get_serial_sequence('{name}', '{key}')::regclass"


def _without_generated(table: Table) -> tuple[ColumnSpec, ...]:
    return tuple(column for column in table.columns if column is not table.generated)


def insert_text(table: Table, dialect: Dialect, columns: Sequence[ColumnSpec]) -> str:
    if not columns:
        return f"INSERT INTO {dialect.quote(table.name)} DEFAULT VALUES"
    names = ", ".join(dialect.column(column) for column in columns)
    marks = ", ".join(dialect.bind(column.codec) for column in columns)
    return f"INSERT INTO {dialect.quote(table.name)} ({names}) VALUES ({marks})"


_NO_FILTERS: Mapping[str, Any] = MappingProxyType({})


class Query(NamedTuple):
    """What a reading verb was asked for, before it is SQL."""

    expressions: tuple[Any, ...] = ()
    filters: Mapping[str, Any] = _NO_FILTERS
    order_by: OrderBy = None
    limit: int | None = None
    offset: int | None = None
    on_invalid: OnInvalid = "raise"


def select(
    table: Table, dialect: Dialect, query: Query, scope_value: ScopeValue
) -> tuple[Statement, list[Any]]:
    """SELECT of whole rows, and its values. Text of keyword filters is cached by their shape."""
    scope = scope_value(table) if table.scope is not None else None
    if query.on_invalid != "raise":
        statement, params = _select(table, dialect, query, scope_value)
        return replace(statement, reader=lenient_reader(table, query.on_invalid)), params
    key = _select_key(dialect, query, scope is not None)
    found = None if key is None else table.cache.get(key)
    values = None if found is None else found[1](query.filters)
    if key is not None and found is not None and values is None:
        # what came first under these names were values of other classes: None, or lists
        key = (*key, *map(type, query.filters.values()))
        found = table.cache.get(key)
        values = None if found is None else found[1](query.filters)
    if found is not None and values is not None:
        if scope is not None and table.scope is not None:
            values.insert(0, dialect.encoder(table.scope.codec)(scope))
        if query.limit is not None or query.offset is not None:
            values += limits(query)
        return found[0], values
    statement, params = _select(table, dialect, query, scope_value)
    if key is not None and _has_one_text(table, query):
        binders = filter_binders(table, dialect, query)
        table.cache[key] = statement, values_binder(binders)
    return statement, params


def _select_key(dialect: Dialect, query: Query, scoped: bool) -> tuple[Any, ...] | None:
    """What decides the text of a query without conditions, beside the kinds of its values."""
    order: Any = query.order_by
    if order is not None and order.__class__ is not str:
        if order.__class__ is not list or any(each.__class__ is not str for each in order):
            return None
        order = tuple(order)
    if query.expressions:
        return None
    return (
        dialect.name,
        "select",
        *query.filters,
        order,
        query.limit is None,
        query.offset is None,
        scoped,
    )


_SCALARS = frozenset((int, str, float, bool, bytes, datetime, date, UUID))
_SIMPLE = frozenset(("eq", "ne", "gt", "lt", "gte", "lte"))


def is_plain(query: Query, *values: Any) -> bool:
    """Whether the text stays the same for other values of the same classes."""
    if query.expressions or any(value.__class__ not in _SCALARS for value in values):
        return False
    for key, value in query.filters.items():
        if value.__class__ not in _SCALARS:
            return False
        if "__" in key and (key.partition("__")[0] not in _SIMPLE or key.count("__") > 1):
            return False
    return True


def _has_one_text(table: Table, query: Query) -> bool:
    """`is_plain`, where fields may also be equal to None, or to one of a list."""
    scalars: dict[str, Any] = {}
    for key, value in query.filters.items():
        if value is not None and value.__class__ is not list:
            scalars[key] = value
        elif key not in table.by_field or not _is_equalled(table.by_field[key].codec, value):
            return False
    return is_plain(query._replace(filters=scalars))


def _is_equalled(codec: Codec, value: list[Any] | None) -> bool:
    """Whether to be equal to None, or to any of a list, is the same text for all such lists."""
    if value is None:
        return True
    is_listed = codec.sqlite_type in ("TEXT", "INTEGER") and codec.name != "json"
    return is_listed and codec.scale is None and bool(value) and None not in value


def _list_operand(dialect: Dialect, label: str, codec: Codec, values: list[Any]) -> Any:
    if not _is_equalled(codec, values):
        raise FilterError(f"{label}: an empty list, or None in one, is written otherwise")
    return bound_list(dialect, [operand(dialect, label, codec, value) for value in values])


Known: TypeAlias = tuple[Statement, ValuesBinder]
"""A statement whose text is known for values of certain names and classes, and what binds them.

For others that gives None, also where one is not accepted: then the statement is built anew (and
the error worded there).
"""


def filter_binders(table: Table, dialect: Dialect, query: Query) -> dict[str, ValueBinder]:
    """For each keyword filter, what binds its value."""
    nodes = keyword_conditions([Source(table)], query.filters)
    lefts = [node.left for node in nodes if isinstance(node, Comparison)]
    return {
        name: _filter_binder(dialect, left, value)
        for left, (name, value) in zip(lefts, query.filters.items(), strict=True)
    }


def _filter_binder(dialect: Dialect, left: Expression[Any], value: Any) -> ValueBinder:
    if value is None:
        return ValueBinder(type(None), None)
    if value.__class__ is list:
        return ValueBinder(list, partial(_list_operand, dialect, left.label, left.codec))
    found = plain_binder(dialect, left.codec, value)
    if found is not None:
        return found
    return ValueBinder(value.__class__, partial(operand, dialect, left.label, left.codec))


def plain_binder(dialect: Dialect, codec: Codec, value: Any) -> ValueBinder | None:
    """The encoder itself where a value is of the column's own plain type."""
    if codec.plain in ("int", "str", "bool", "bytes") and value.__class__ is codec.accepts[0]:
        return ValueBinder(value.__class__, dialect.encoder(codec), codec.plain)
    return None


def _select(
    table: Table, dialect: Dialect, query: Query, scope_value: ScopeValue
) -> tuple[Statement, list[Any]]:
    compiler = Compiler(dialect, [Source(table)], scope_value)
    tail = tail_of(compiler, query)
    return Statement(select_text(table, dialect) + tail, "all", reader(table)), compiler.params


def tail_of(compiler: Compiler, query: Query) -> str:
    """The clauses after FROM, with their values left in the compiler."""
    tail = where_of(compiler, query.expressions, query.filters)
    tail += compiler.order(ordering(compiler.sources, query.order_by))
    tail += limit_text(compiler.dialect, query)
    compiler.params.extend(limits(query))
    return tail


def where_of(compiler: Compiler, expressions: Sequence[Any], filters: Mapping[str, Any]) -> str:
    """The WHERE clause of filters and of the scope, which comes first."""
    terms = compiler.scope_conditions()
    nodes = conditions_of(compiler.sources, expressions, filters)
    terms.extend(compiler.condition(node) for node in nodes)
    return " WHERE " + " AND ".join(terms) if terms else ""


def limit_text(dialect: Dialect, query: Query) -> str:
    text = ""
    if query.limit is not None:
        text += f" LIMIT {dialect.mark}"
    if query.offset is not None:
        if query.limit is None and dialect.name == "sqlite":
            text += " LIMIT -1"
        text += f" OFFSET {dialect.mark}"
    return text


def limits(query: Query) -> list[int]:
    """The values of LIMIT and OFFSET.

    Raises:
        FilterError: one of them is not a number from 0 on.
    """
    found: list[int] = []
    for name, value in (("limit", query.limit), ("offset", query.offset)):
        if value is None:
            continue
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= INT_MAX:
            raise FilterError(f"{name} takes a number from 0 on, not {value!r}")
        found.append(value)
    return found
