"""How are rows found and named by what people call them: their alternative keys?

A part of the key that is a foreign key stands for the alternative key of the row it leads to, to
any depth. Here that tree is worked out and read along its joins; unique constraints are written
by `ddl.py`, and conditions by `filters.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel

from . import ops
from .dialects import Dialect
from .errors import FilterError, InvalidValue, MultipleFound, NotFound, SchemaError, nearest
from .fields import frozen
from .filters import Column, Comparison, Compiler, Expression, Source
from .op import Access, Op, Statement
from .rows import encode_value, reader
from .run import AnyConnection, run
from .scope import AllTenants, UserCtx, scope_values
from .statements import columns_of
from .table import ColumnSpec, FindTable, Reference, Table, find_table, references

VALUES = 10_000
"""About so many values are bound in one statement of `dicts`."""


# --- the key as a tree ----------------------------------------------------------------------


@frozen(eq=False)
class Part:
    """A part of an alternative key: a value, or a foreign key with the parts behind it."""

    name: str
    column: ColumnSpec
    reference: Reference | None = None
    parts: tuple[Part, ...] = ()


def check(table: Table, find: FindTable = find_table) -> None:
    """Follows the alternative key of a table, if it has one, to its ends.

    Raises:
        SchemaError: it leads back to where it was, or to a table that has none.
    """
    if table.alt_key:
        _parts(table, find, ())


def parts_of(table: Table) -> tuple[Part, ...]:
    """The alternative key of a table without its scope, which the context knows.

    Raises:
        SchemaError: the table has none, or `check` fails.
    """
    if not table.alt_key:
        raise SchemaError(
            f"{table.model.__name__} has no alternative key; mark the fields that people call its "
            "rows by with (AK)"
        )
    return _parts(table, find_table, ())


def _parts(table: Table, find: FindTable, way: tuple[Table, ...]) -> tuple[Part, ...]:
    keys = references(table, find)
    found: list[Part] = []
    taken: set[ColumnSpec] = set()
    for column in table.alt_key:
        if column is table.scope or column in taken:
            continue
        reference = next((key for key in keys if _is_part(key, column)), None)
        if reference is None:
            found.append(Part(column.field, column))
        else:
            taken.update(reference.columns)
            behind = _behind(reference, find, (*way, table))
            found.append(Part(column.field, column, reference, behind))
    return tuple(found)


def _is_part(reference: Reference, column: ColumnSpec) -> bool:
    """Whether a foreign key has this column, and the alternative key has all of its columns."""
    return column in reference.columns and all(c.alt_key for c in reference.columns)


def _behind(reference: Reference, find: FindTable, way: tuple[Table, ...]) -> tuple[Part, ...]:
    where = f"{reference.table.model.__name__}.{reference.field}"
    target = reference.target
    if target in way:
        names = " -> ".join(table.model.__name__ for table in (*way, target))
        raise SchemaError(
            f"{where}: the alternative key leads back to itself ({names}), so it would never end; "
            "drop (AK) from one of these foreign keys"
        )
    if not target.alt_key:
        raise SchemaError(
            f"{where} is a part of the alternative key and leads to {target.model.__name__}, which "
            f"has no alternative key; mark what a {target.model.__name__} is called by with (AK)"
        )
    return _parts(target, find, way)


# --- the key as it is given -----------------------------------------------------------------

Path = tuple[str, ...]


def _leaves(parts: Sequence[Part], before: Path = ()) -> Iterator[Path]:
    for part in parts:
        path = (*before, part.name)
        if part.reference is None:
            yield path
        else:
            yield from _leaves(part.parts, path)


def _nodes(parts: Sequence[Part], before: Path = ()) -> Iterator[tuple[Path, Part]]:
    for part in parts:
        path = (*before, part.name)
        yield path, part
        yield from _nodes(part.parts, path)


def _given(table: Table, parts: Sequence[Part], key: Mapping[str, Any]) -> dict[Path, Any]:
    """The value of each leaf of the key.

    Raises:
        FilterError: a part is unknown, ambiguous, missing or given twice.
    """
    values: dict[Path, Any] = {}
    _put_all(table, parts, (), key, values)
    missing = [_address(path) for path in _leaves(parts) if path not in values]
    if missing:
        raise FilterError(
            f"the alternative key of {table.model.__name__} needs {', '.join(missing)} too"
        )
    return values


def _put_all(
    table: Table, parts: Sequence[Part], before: Path, key: Any, values: dict[Path, Any]
) -> None:
    for name, value in key.items():
        path, part = _find(table, parts, before, name)
        _put(table, path, part, value, values)


def _find(table: Table, parts: Sequence[Part], before: Path, name: Any) -> tuple[Path, Part]:
    """The part of this name: a field, a path with `__`, or a name that only one part has."""
    nodes = list(_nodes(parts, before))
    depth = len(before)
    exact = [node for node in nodes if "__".join(node[0][depth:]) == name]
    if exact:
        return min(exact, key=lambda node: len(node[0]))
    named = [node for node in nodes if node[0][-1] == name]
    if len(named) == 1:
        return named[0]
    if named:
        choices = " and ".join(_address(path) for path, _ in named)
        raise FilterError(
            f"{table.model.__name__}: {name!r} could be {choices}; say which is meant"
        )
    known = ["__".join(path[depth:]) for path in _leaves(parts, before)]
    raise FilterError(
        f"{name!r} is no part of the alternative key of {table.model.__name__}"
        f"{nearest(str(name), known)}"
    )


def _put(table: Table, path: Path, part: Part, value: Any, values: dict[Path, Any]) -> None:
    where = f"{table.model.__name__}.{_address(path)}"
    if part.reference is not None:
        if isinstance(value, Mapping):
            _put_all(table, part.parts, path, value, values)
        elif len(part.parts) == 1:
            (only,) = part.parts
            _put(table, (*path, only.name), only, value, values)
        else:
            names = ", ".join(inner.name for inner in part.parts)
            raise FilterError(f"{where} has several parts; give a dict of {names}, not {value!r}")
        return
    if path in values:
        raise FilterError(f"{where} is given twice")
    if value is None or isinstance(value, (list, set, frozenset, range, Mapping, Expression)):
        raise FilterError(f"{where} takes one value, not {value!r}")
    values[path] = value


def _address(path: Path) -> str:
    return "__".join(path)


# --- finding a row --------------------------------------------------------------------------


def resolve(conn: AnyConnection, table: Table, key: Mapping[str, Any], user_ctx: UserCtx) -> Any:
    """The primary key of the row with this alternative key, or None."""
    table.need_key()
    return run(conn, _access(table), _resolve_op, table, key, user_ctx)


def load(conn: AnyConnection, table: Table, key: Mapping[str, Any], user_ctx: UserCtx) -> Any:
    """The row with this alternative key, or None."""
    return run(conn, _access(table), _load_op, table, key, user_ctx)


def _resolve_op(
    dialect: Dialect, table: Table, key: Mapping[str, Any], user_ctx: UserCtx
) -> Op[Any]:
    selected = ", ".join(dialect.read(column, table.name) for column in table.primary_key)
    row = yield from _find_op(dialect, table, selected, None, key, user_ctx)
    if row is None:
        return None
    values = tuple(
        _decoded(column, value) for column, value in zip(table.primary_key, row, strict=True)
    )
    return values[0] if len(values) == 1 else values


def _load_op(dialect: Dialect, table: Table, key: Mapping[str, Any], user_ctx: UserCtx) -> Op[Any]:
    selected = columns_of(table, dialect)
    return (yield from _find_op(dialect, table, selected, reader(table), key, user_ctx))


def _find_op(
    dialect: Dialect,
    table: Table,
    selected: str,
    read: Any,
    key: Mapping[str, Any],
    user_ctx: UserCtx,
) -> Op[Any]:
    parts = parts_of(table)
    own = dict(key)
    scope = table.scope
    tenant = own.pop(scope.field) if scope is not None and scope.field in own else None
    given = _given(table, parts, own)
    yield from ops.enter(dialect, _tables(table), user_ctx, writes=False)
    first = Source(table)
    tree = _Tree(dialect, Compiler(dialect, [first], scope_values(user_ctx)))
    tree.walk(first, parts)
    compiler = Compiler(dialect, tree.sources(first), scope_values(user_ctx))
    terms = compiler.scope_conditions()
    if scope is not None and tenant is not None:
        terms.append(compiler.condition(Comparison(first.column(scope), "eq", tenant)))
    for path, column in tree.leaves.items():
        terms.append(compiler.condition(Comparison(column, "eq", given[path])))
    where = " WHERE " + " AND ".join(terms) if terms else ""
    text = f"SELECT {selected} FROM {dialect.quote(table.name)}{tree.text}{where} LIMIT 2"
    found = yield Statement(text, "all", read), compiler.params
    if len(found) > 1:
        raise MultipleFound(
            f"several tenants have a {table.model.__name__} of this alternative key; "
            f"give its {scope.field if scope is not None else 'scope'} too"
        )
    return found[0] if found else None


class _Tree:
    """The joins along a key, and the columns at its ends."""

    def __init__(self, dialect: Dialect, compiler: Compiler) -> None:
        self.dialect = dialect
        self.compiler = compiler
        self.text = ""
        self.joined: list[Source] = []
        self.leaves: dict[Path, Column[Any]] = {}

    def sources(self, first: Source) -> list[Source]:
        return [first, *self.joined]

    def walk(self, source: Source, parts: Sequence[Part], before: Path = ()) -> None:
        for part in parts:
            path = (*before, part.name)
            if part.reference is None:
                self.leaves[path] = source.column(part.column)
                continue
            ours = [self.dialect.column(c, source.name) for c in part.reference.columns]
            if part.reference.scoped:
                assert source.table.scope is not None
                ours.append(self.dialect.column(source.table.scope, source.name))
            self.join(ours, part, path)

    def join(self, ours: Sequence[str], part: Part, path: Path) -> None:
        """Joins the row that a foreign key, written as `ours`, leads to, and what is behind it."""
        assert part.reference is not None
        inner = Source(part.reference.target, f"_{len(self.joined) + 1}")
        self.joined.append(inner)
        columns = joined_columns(part.reference)
        terms = [
            f"{self.dialect.column(theirs, inner.name)} = {mine}"
            for theirs, mine in zip(columns, ours, strict=True)
        ]
        name = self.dialect.quote(inner.table.name)
        self.text += f" JOIN {name} AS {self.dialect.quote(inner.name)} ON {' AND '.join(terms)}"
        self.walk(inner, part.parts, path)


def joined_columns(reference: Reference) -> tuple[ColumnSpec, ...]:
    """The columns that a foreign key leads to, with the scope where both tables have one."""
    columns = reference.target_columns
    if reference.scoped and reference.target.scope is not None:
        return (*columns, reference.target.scope)
    return columns


# --- naming rows ----------------------------------------------------------------------------


def own_dict(conn: AnyConnection, table: Table, model: BaseModel, user_ctx: UserCtx) -> Any:
    """The alternative key of a row, as `resolve` takes it."""
    return run(conn, _access(table), _own_dict_op, table, model, user_ctx)


def dicts(conn: AnyConnection, table: Table, rows: Iterable[Any], user_ctx: UserCtx) -> Any:
    """The alternative keys of many rows, in their order, in one statement a batch."""
    given = list(rows)
    for row in given:
        if not isinstance(row, table.model):
            name = table.model.__name__
            raise InvalidValue(f"{name}.to_ak_dicts takes {name} objects, not {row!r}")
    return run(conn, _access(table), _dicts_op, table, given, user_ctx)


def _own_dict_op(
    dialect: Dialect, table: Table, model: BaseModel, user_ctx: UserCtx
) -> Op[dict[str, Any]]:
    found = yield from _dicts_op(dialect, table, [model], user_ctx)
    return found[0]


def _dicts_op(
    dialect: Dialect, table: Table, rows: Sequence[BaseModel], user_ctx: UserCtx
) -> Op[list[dict[str, Any]]]:
    parts = parts_of(table)
    yield from ops.enter(dialect, _tables(table), user_ctx, writes=False)
    scopes = [_scope_of(table, row, user_ctx) for row in rows]
    chains = [part for part in parts if part.reference is not None]
    if not chains:
        return [{part.name: row.__dict__[part.name] for part in parts} for row in rows]
    keys = [
        tuple(_chain_key(part, row, scope) for part in chains)
        for row, scope in zip(rows, scopes, strict=True)
    ]
    behind: dict[Any, tuple[Any, ...]] = {}
    width = sum(len(key) for key in keys[0]) if keys else 1
    distinct = list(dict.fromkeys(keys))
    size = max(1, VALUES // width)
    for start in range(0, len(distinct), size):
        batch = distinct[start : start + size]
        behind |= yield from _behind_op(dialect, table, chains, batch, user_ctx)
    found: list[dict[str, Any]] = []
    for row, key in zip(rows, keys, strict=True):
        if key not in behind:
            raise NotFound(_not_found(table, chains, row))
        values = dict(zip((part.name for part in chains), behind[key], strict=True))
        found.append({p.name: values.get(p.name, row.__dict__[p.name]) for p in parts})
    return found


def _scope_of(table: Table, row: BaseModel, user_ctx: UserCtx) -> Any:
    if table.scope is None:
        return None
    if isinstance(user_ctx, AllTenants):
        return row.__dict__[table.scope.field]
    return ops.row_scope(table, row, user_ctx)


def _chain_key(part: Part, row: BaseModel, scope: Any) -> tuple[Any, ...]:
    assert part.reference is not None
    values = tuple(row.__dict__[column.field] for column in part.reference.columns)
    return (*values, scope) if part.reference.scoped else values


def _behind_op(
    dialect: Dialect,
    table: Table,
    chains: Sequence[Part],
    keys: Sequence[tuple[tuple[Any, ...], ...]],
    user_ctx: UserCtx,
) -> Op[dict[Any, tuple[Any, ...]]]:
    """What each of the foreign keys stands for, by their values."""
    compiler = Compiler(dialect, [], scope_values(user_ctx))
    columns = [_chain_columns(part) for part in chains]
    flat = [column for group in columns for column in group]
    marks = "(?, " if dialect.name == "sqlite" else "(%s::bigint, "
    marks += ", ".join(dialect.bind(column.codec) for column in flat) + ")"
    for number, key in enumerate(keys):
        compiler.params.append(number)
        compiler.params.extend(
            encode_value(table, dialect, column, value)
            for column, value in zip(flat, (v for group in key for v in group), strict=True)
        )
    tree = _Tree(dialect, compiler)
    position = 0
    for part, group in zip(chains, columns, strict=True):
        ours = [f"_k._{position + i}" for i in range(len(group))]
        position += len(group)
        tree.join(ours, part, (part.name,))
    compiler.sources = tree.joined
    selected = ", ".join(compiler.selected(column) for column in tree.leaves.values())
    names = ", ".join(f"_{i}" for i in range(len(flat)))
    terms = compiler.scope_conditions()
    where = " WHERE " + " AND ".join(terms) if terms else ""
    text = (
        f"WITH _k(_n, {names}) AS (VALUES {', '.join([marks] * len(keys))}) "
        f"SELECT _k._n, {selected} FROM _k{tree.text}{where}"
    )
    rows = yield Statement(text, "all"), compiler.params
    found: dict[Any, tuple[Any, ...]] = {}
    for number, *values in rows:
        decoded = {
            path: _decoded(column.spec, value)
            for (path, column), value in zip(tree.leaves.items(), values, strict=True)
        }
        found[keys[number]] = tuple(_nested(part, (part.name,), decoded) for part in chains)
    return found


def _chain_columns(part: Part) -> list[ColumnSpec]:
    assert part.reference is not None
    columns = list(part.reference.columns)
    if part.reference.scoped and part.reference.table.scope is not None:
        columns.append(part.reference.table.scope)
    return columns


def _nested(part: Part, path: Path, values: Mapping[Path, Any]) -> Any:
    """The value behind a foreign key, or a dict where the key there has several parts."""
    if part.reference is None:
        return values[path]
    inner = {p.name: _nested(p, (*path, p.name), values) for p in part.parts}
    return next(iter(inner.values())) if len(inner) == 1 else inner


def _not_found(table: Table, chains: Sequence[Part], row: BaseModel) -> str:
    said = ", ".join(
        f"{column.field}={row.__dict__[column.field]!r}"
        for part in chains
        if part.reference is not None
        for column in part.reference.columns
    )
    return (
        f"this {table.model.__name__} has no alternative key yet: what {said} leads to is not in "
        "the database"
    )


# --- below ----------------------------------------------------------------------------------


def _tables(table: Table) -> list[Table]:
    """The tables that the alternative key is read from."""
    found = {table: None}
    for _, part in _nodes(parts_of(table)):
        if part.reference is not None:
            found[part.reference.target] = None
    return list(found)


def _access(table: Table) -> Access:
    return "read" if all(one.scope is None for one in _tables(table)) else "scoped"


def _decoded(column: ColumnSpec, value: Any) -> Any:
    decoded = column.codec.decode(value)
    return column.python_type(decoded) if column.codec.name == "path" else decoded
