"""What reads several tables, or parts of rows: joins, parents, children, recursion, aggregates."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Generic, TypeAlias, cast, overload

from pydantic import BaseModel, ValidationError
from typing_extensions import TypeVar

from . import ops
from .codecs import Codec
from .dialects import Dialect
from .errors import FilterError, RowError, SchemaError
from .filters import (
    Aggregate,
    Aliased,
    AllOf,
    AnyOf,
    Arithmetic,
    Column,
    Comparison,
    Compiler,
    Condition,
    Expression,
    JsonPath,
    KeyIn,
    NoneOf,
    Order,
    OrderBy,
    Source,
    conditions_of,
    named_column,
    ordering,
)
from .op import Access, Op, Statement
from .rows import joined_reader, reader
from .run import AnyConnection, AsyncConnection, SyncConnection, run
from .scope import AllTenants, UserCtx, restriction, scope_values
from .statements import Query, columns_of, limit_text, limits, where_of
from .table import ColumnSpec, Reference, Table, references, table_of

T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
D = TypeVar("D")
E = TypeVar("E")
F = TypeVar("F")
P = TypeVar("P", bound=BaseModel)

# --- which models a join reads --------------------------------------------------------------


class Left(Generic[T]):
    """A model that may be missing from a row of a join; made by `left`."""

    def __init__(self, model: Any) -> None:
        self.model = model


def left(model: type[T] | Aliased[T], /) -> Left[T | None]:
    """Makes a model of a join optional: where no row fits, None stands in its place.

    Example:
        >>> join(conn, Book, left(Author))
    """
    return Left(model)


Joined: TypeAlias = "type[T] | Left[T] | Aliased[T]"


def _source(part: Any, taken: Sequence[Source]) -> Source:
    outer = isinstance(part, Left)
    model = part.model if outer else part
    alias = None
    if isinstance(model, type):
        table = table_of(model)
    elif isinstance(model, Aliased):
        table, alias = table_of(model._model), model._name
    else:
        raise FilterError(f"join takes models, left(Model) and Model.alias('a'), not {model!r}")
    source = Source(table, alias, outer)
    if any(other.name == source.name for other in taken):
        raise FilterError(
            f"{table.model.__name__} stands twice in the join; give one of them another name: "
            f"{table.model.__name__}.alias('other')"
        )
    if outer:
        table.need_key()
    return source


def _sources(parts: Sequence[Any]) -> list[Source]:
    sources: list[Source] = []
    for part in parts:
        sources.append(_source(part, sources))
    if sources[0].outer:
        raise FilterError("the first model of a join cannot be left(…); put another one first")
    return sources


def _vias(via: Any) -> list[Column[Any] | str]:
    if via is None:
        return []
    return list(via) if isinstance(via, (list, tuple)) else [via]


def _fits(reference: Reference, via: Column[Any] | str) -> bool:
    if isinstance(via, str):
        return any(column.field == via for column in reference.columns)
    return any(column is via.spec for column in reference.columns)


def _choose(candidates: list[Reference], via: Any, between: str) -> Reference:
    """The only reference, or the one that `via` names.

    Raises:
        FilterError: there is none, or there are several to choose from.
    """
    named = [r for r in candidates if any(_fits(r, one) for one in _vias(via))]
    if len(named) == 1:
        return named[0]
    if not candidates:
        raise FilterError(f"no foreign key leads between {between}")
    if len(candidates) == 1 and not named:
        return candidates[0]
    keys = " and ".join(f"{r.table.model.__name__}.{r.field}" for r in (named or candidates))
    first = candidates[0]
    raise FilterError(
        f"{keys} both lead between {between}; say which is meant: "
        f"via={first.table.model.__name__}.{first.columns[0].field}"
    )


def _join_text(dialect: Dialect, sources: Sequence[Source], via: Any, compiler: Compiler) -> str:
    """FROM with its JOINs, whose conditions come from the foreign keys.

    Raises:
        FilterError: no foreign key fits, several do, or `via` names one that leads nowhere here.
    """
    text = f" FROM {_named(dialect, sources[0])}"
    vias = _vias(via)
    joined, waiting = [sources[0]], list(sources[1:])
    while waiting:
        # a model that nothing before it is linked to waits for one that links them
        source = next((one for one in waiting if _links(one, joined)), waiting[0])
        mine, theirs, reference = _link(source, joined, vias)
        waiting.remove(source)
        joined.append(source)
        terms = [
            f"{dialect.column(a, mine.name)} = {dialect.column(b, theirs.name)}"
            for a, b in zip(reference.columns, reference.target_columns, strict=True)
        ]
        if reference.scoped and reference.table.scope and reference.target.scope:
            terms.append(
                f"{dialect.column(reference.table.scope, mine.name)} = "
                f"{dialect.column(reference.target.scope, theirs.name)}"
            )
        if source.outer:
            terms += compiler.scope_condition(source)
        kind = "LEFT JOIN" if source.outer else "JOIN"
        text += f" {kind} {_named(dialect, source)} ON {' AND '.join(terms)}"
    if vias:
        raise FilterError(f"via: {_via_name(vias[0])} is no foreign key between these models")
    return text


def _named(dialect: Dialect, source: Source) -> str:
    name = dialect.quote(source.table.name)
    return f"{name} AS {dialect.quote(source.alias)}" if source.alias else name


Link: TypeAlias = "tuple[Source, Source, Reference]"
"""Who has the foreign key, whom it leads to, and the key."""


def _link(source: Source, before: Sequence[Source], vias: list[Column[Any] | str]) -> Link:
    """The foreign key between a model and one before it; a `via` that names it is used up."""
    found = _links(source, before)
    for position, via in enumerate(vias):
        named = _forward([link for link in found if _fits_link(link, via)], source)
        if named:
            del vias[position]
            found = named
            break
    else:
        found = _forward(found, source)
    if len(found) == 1:
        return found[0]
    name = source.alias or source.table.model.__name__
    others = ", ".join(other.alias or other.table.model.__name__ for other in before)
    if not found:
        raise FilterError(f"no foreign key leads between {name} and {others}")
    keys = [f"{link[0].alias or link[0].table.model.__name__}.{link[2].field}" for link in found]
    raise FilterError(
        f"{' and '.join(keys)} lead between {name} and {others}; say which is meant: via={keys[0]}"
    )


def _links(source: Source, before: Sequence[Source]) -> list[Link]:
    found: list[Link] = []
    for other in before:
        for key in references(other.table):
            if key.target is source.table:
                found.append((other, source, key))
        for key in references(source.table):
            if key.target is other.table:
                found.append((source, other, key))
    return found


def _forward(links: list[Link], source: Source) -> list[Link]:
    """A self reference fits both ways round; unless told otherwise, the earlier row has the key."""
    forward = {(id(mine), reference) for mine, theirs, reference in links if theirs is source}
    return [link for link in links if link[1] is source or (id(link[1]), link[2]) not in forward]


def _fits_link(link: Link, via: Column[Any] | str) -> bool:
    mine, _, reference = link
    if isinstance(via, Column) and via.source != mine.alias:
        return False
    return _fits(reference, via)


def _via_name(via: Any) -> str:
    return via.label if isinstance(via, Expression) else repr(via)


# --- join -----------------------------------------------------------------------------------


@overload
def join(
    conn: SyncConnection,
    a: type[A] | Aliased[A],
    b: Joined[B],
    /,
    *where: Condition,
    via: Any = None,
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> list[tuple[A, B]]: ...
@overload
def join(
    conn: AsyncConnection,
    a: type[A] | Aliased[A],
    b: Joined[B],
    /,
    *where: Condition,
    via: Any = None,
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Coroutine[Any, Any, list[tuple[A, B]]]: ...
@overload
def join(
    conn: SyncConnection,
    a: type[A] | Aliased[A],
    b: Joined[B],
    c: Joined[C],
    /,
    *where: Condition,
    via: Any = None,
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> list[tuple[A, B, C]]: ...
@overload
def join(
    conn: AsyncConnection,
    a: type[A] | Aliased[A],
    b: Joined[B],
    c: Joined[C],
    /,
    *where: Condition,
    via: Any = None,
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Coroutine[Any, Any, list[tuple[A, B, C]]]: ...
@overload
def join(
    conn: SyncConnection,
    a: type[A] | Aliased[A],
    b: Joined[B],
    c: Joined[C],
    d: Joined[D],
    /,
    *where: Condition,
    via: Any = None,
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> list[tuple[A, B, C, D]]: ...
@overload
def join(
    conn: AsyncConnection,
    a: type[A] | Aliased[A],
    b: Joined[B],
    c: Joined[C],
    d: Joined[D],
    /,
    *where: Condition,
    via: Any = None,
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Coroutine[Any, Any, list[tuple[A, B, C, D]]]: ...
@overload
def join(
    conn: SyncConnection,
    a: type[A] | Aliased[A],
    b: Joined[B],
    c: Joined[C],
    d: Joined[D],
    e: Joined[E],
    /,
    *where: Condition,
    via: Any = None,
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> list[tuple[A, B, C, D, E]]: ...
@overload
def join(
    conn: AsyncConnection,
    a: type[A] | Aliased[A],
    b: Joined[B],
    c: Joined[C],
    d: Joined[D],
    e: Joined[E],
    /,
    *where: Condition,
    via: Any = None,
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Coroutine[Any, Any, list[tuple[A, B, C, D, E]]]: ...
def join(
    conn: AnyConnection,
    a: Any,
    b: Any,
    /,
    *rest: Any,
    via: Any = None,
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Any:
    """Rows of 2 to 5 models that belong together by their foreign keys, as tuples.

    Conditions follow the models; a keyword may name another model: `Author__name="Jane"`. Where
    several foreign keys lead between two models, `via` names the one that is meant (or a list).

    Example:
        >>> for book, author in join(conn, Book, left(Author), order_by="title"):
        ...     print(book.title, author.name if author else "anonymous")

    Raises:
        FilterError: no foreign key leads between the models, or several without `via`.
    """
    parts = [a, b, *(part for part in rest if not isinstance(part, Condition))]
    where = tuple(part for part in rest if isinstance(part, Condition))
    if len(parts) > 5:
        raise FilterError(f"join takes 2 to 5 models, not {len(parts)}")
    sources = _sources(parts)
    query = Query(where, filters, order_by, limit, offset)
    access = _reading(*(source.table for source in sources))
    return run(conn, access, _join_op, sources, query, via, user_ctx)


def _join_op(
    dialect: Dialect, sources: Sequence[Source], query: Query, via: Any, user_ctx: UserCtx
) -> Op[list[Any]]:
    yield from ops.enter(dialect, [s.table for s in sources], user_ctx, writes=False)
    compiler = Compiler(dialect, sources, scope_values(user_ctx))
    select = ", ".join(columns_of(source.table, dialect, source.name) for source in sources)
    text = f"SELECT {select}{_join_text(dialect, sources, via, compiler)}"
    text += where_of(compiler, query.expressions, query.filters)
    text += compiler.order(ordering(sources, query.order_by))
    text += limit_text(dialect, query)
    compiler.params.extend(limits(query))
    found: list[Any] = yield Statement(text, "all", _joined(sources)), compiler.params
    return found


def _joined(sources: Sequence[Source]) -> Callable[[list[Any]], list[Any]]:
    parts = [(source.table, source.outer) for source in sources]
    key = ("joined", *((id(table), outer) for table, outer in parts))
    first = sources[0].table
    found = first.cache.get(key)
    if found is None:
        # the tables are kept beside the reader, so that their identities stay theirs
        found = first.cache[key] = (joined_reader(parts), parts)
    return cast("Callable[[list[Any]], list[Any]]", found[0])


# --- parents and children -------------------------------------------------------------------


def _reference(table: Table, target: Table, via: Any) -> Reference:
    candidates = [r for r in references(table) if r.target is target]
    if via is not None and not any(_fits(r, one) for r in candidates for one in _vias(via)):
        raise FilterError(
            f"via: {via!r} is no foreign key of {table.model.__name__} that leads to "
            f"{target.model.__name__}"
        )
    return _choose(candidates, via, f"{table.model.__name__} and {target.model.__name__}")


def _values(model: BaseModel, columns: Sequence[ColumnSpec]) -> tuple[Any, ...] | None:
    values = tuple(model.__dict__[column.field] for column in columns)
    return None if any(value is None for value in values) else values


def _key_condition(
    source: Source, columns: Sequence[ColumnSpec], keys: Iterable[tuple[Any, ...]]
) -> Condition:
    """Rows whose columns hold one of these keys."""
    wanted = list(dict.fromkeys(keys))
    if len(columns) == 1 or not wanted:
        return source.column(columns[0]).in_([key[0] for key in wanted])
    return KeyIn(tuple(source.column(column) for column in columns), wanted)


def _matched(
    table: Table, columns: Sequence[ColumnSpec], reference: Reference, row: BaseModel, scope: Any
) -> tuple[Any, ...] | None:
    """The values by which rows belong together: those of the key, and the scope both share."""
    values = _values(row, columns)
    if values is None or not reference.scoped or table.scope is None:
        return values
    return (*values, row.__dict__[table.scope.field] if scope is None else scope)


def _scopes(table: Table, rows: Sequence[BaseModel], user_ctx: UserCtx) -> list[Any]:
    """The tenant of each row that is given, where it is not the row itself that tells.

    Raises:
        AccessViolation: a row belongs to another tenant than the context.
    """
    if table.scope is None or isinstance(user_ctx, AllTenants):
        return [None] * len(rows)
    return [ops.row_scope(table, row, user_ctx) for row in rows]


def _parents_op(
    dialect: Dialect, reference: Reference, rows: Sequence[BaseModel], user_ctx: UserCtx
) -> Op[list[Any]]:
    table, target = reference.table, reference.target
    scopes = _scopes(table, rows, user_ctx)
    restriction(target, user_ctx)
    wanted = [key for row in rows if (key := _values(row, reference.columns)) is not None]
    if not wanted:
        return [None] * len(rows)
    condition = _key_condition(Source(target), reference.target_columns, wanted)
    found = yield from ops.selected(dialect, target, Query((condition,)), user_ctx)
    theirs = reference.target_columns
    by_key = {_matched(target, theirs, reference, model, None): model for model in found}
    keys = [
        _matched(table, reference.columns, reference, row, scope)
        for row, scope in zip(rows, scopes, strict=True)
    ]
    return [None if key is None else by_key.get(key) for key in keys]


def _one_parent_op(
    dialect: Dialect, reference: Reference, row: BaseModel, user_ctx: UserCtx
) -> Op[Any]:
    found = yield from _parents_op(dialect, reference, [row], user_ctx)
    return found[0]


def _rows_of(rows: Iterable[Any], what: str) -> tuple[list[Any], Table | None]:
    given = list(rows)
    tables = {id(t): t for t in (table_of(type(row)) for row in given)}
    if len(tables) > 1:
        names = ", ".join(sorted(t.model.__name__ for t in tables.values()))
        raise FilterError(f"{what} takes rows of one model, not of {names}")
    return given, next(iter(tables.values()), None)


@overload
def parents(
    conn: SyncConnection,
    rows: Iterable[BaseModel],
    model: type[P],
    /,
    *,
    via: Any = None,
    user_ctx: UserCtx = None,
) -> list[P | None]: ...
@overload
def parents(
    conn: AsyncConnection,
    rows: Iterable[BaseModel],
    model: type[P],
    /,
    *,
    via: Any = None,
    user_ctx: UserCtx = None,
) -> Coroutine[Any, Any, list[P | None]]: ...
def parents(
    conn: AnyConnection,
    rows: Iterable[Any],
    model: Any,
    /,
    *,
    via: Any = None,
    user_ctx: UserCtx = None,
) -> Any:
    """For each row the row of `model` that its foreign key leads to, or None, in the same order.

    One statement, however many rows there are.

    Example:
        >>> for book, author in zip(books, parents(conn, books, Author)):
        ...     print(book.title, author.name if author else "anonymous")
    """
    given, table = _rows_of(rows, "parents")
    target = table_of(model)
    if table is None:
        return run(conn, "read", _nothing, target, user_ctx)
    reference = _reference(table, target, via)
    return run(conn, _reading(target), _parents_op, reference, given, user_ctx)


def _nothing(dialect: Dialect, table: Table, user_ctx: UserCtx) -> Op[list[Any]]:
    restriction(table, user_ctx)
    yield from ()
    return []


def _reading(*tables: Table) -> Access:
    return "read" if all(table.scope is None for table in tables) else "scoped"


def _children_op(
    dialect: Dialect,
    reference: Reference,
    rows: Sequence[BaseModel],
    query: Query,
    user_ctx: UserCtx,
) -> Op[list[list[Any]]]:
    table, target = reference.table, reference.target
    scopes = _scopes(target, rows, user_ctx)
    theirs = reference.target_columns
    wanted = [key for row in rows if (key := _values(row, theirs)) is not None]
    condition = _key_condition(Source(table), reference.columns, wanted)
    asked = Query((condition, *query.expressions), query.filters, query.order_by)
    found = yield from ops.selected(dialect, table, asked, user_ctx)
    groups: dict[Any, list[Any]] = {}
    for model in found:
        key = _matched(table, reference.columns, reference, model, None)
        groups.setdefault(key, []).append(model)
    keys = [
        _matched(target, theirs, reference, row, scope)
        for row, scope in zip(rows, scopes, strict=True)
    ]
    return [[] if key is None else list(groups.get(key, ())) for key in keys]


def _own_children_op(
    dialect: Dialect, reference: Reference, row: BaseModel, query: Query, user_ctx: UserCtx
) -> Op[list[Any]]:
    found = yield from _children_op(dialect, reference, [row], query, user_ctx)
    return found[0]


@overload
def children(
    conn: SyncConnection,
    rows: Iterable[BaseModel],
    model: type[P],
    /,
    *where: Condition,
    via: Any = None,
    order_by: OrderBy = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> list[list[P]]: ...
@overload
def children(
    conn: AsyncConnection,
    rows: Iterable[BaseModel],
    model: type[P],
    /,
    *where: Condition,
    via: Any = None,
    order_by: OrderBy = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Coroutine[Any, Any, list[list[P]]]: ...
def children(
    conn: AnyConnection,
    rows: Iterable[Any],
    model: Any,
    /,
    *where: Condition,
    via: Any = None,
    order_by: OrderBy = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Any:
    """For each row the list of those rows of `model` whose foreign key leads to it, in order.

    One statement, however many rows there are.

    Example:
        >>> for author, books in zip(authors, children(conn, authors, Book)):
        ...     print(author.name, len(books))
    """
    given, target = _rows_of(rows, "children")
    table = table_of(model)
    if target is None:
        return run(conn, "read", _nothing, table, user_ctx)
    reference = _reference(table, target, via)
    query = Query(where, filters, order_by)
    return run(conn, _reading(table), _children_op, reference, given, query, user_ctx)


def parent(conn: Any, row: BaseModel, model: Any, via: Any, user_ctx: UserCtx) -> Any:
    target = table_of(model)
    reference = _reference(table_of(type(row)), target, via)
    return run(conn, _reading(target), _one_parent_op, reference, row, user_ctx)


def own_children(
    conn: Any, row: BaseModel, model: Any, via: Any, query: Query, user_ctx: UserCtx
) -> Any:
    table = table_of(model)
    reference = _reference(table, table_of(type(row)), via)
    return run(conn, _reading(table), _own_children_op, reference, row, query, user_ctx)


# --- recursion ------------------------------------------------------------------------------


def recurse(conn: Any, table: Table, root: Any, via: Any, down: bool, user_ctx: UserCtx) -> Any:
    """The rows below or above one, along a foreign key of the table to itself."""
    candidates = [r for r in references(table) if r.target is table]
    if not candidates:
        raise SchemaError(
            f"{table.model.__name__} has no foreign key to itself, so nothing is above or below"
        )
    reference = _reference(table, table, via)
    return run(conn, _reading(table), _recurse_op, reference, root, down, user_ctx)


def _recurse_op(
    dialect: Dialect, reference: Reference, root: Any, down: bool, user_ctx: UserCtx
) -> Op[list[Any]]:
    table = reference.table
    yield from ops.enter(dialect, (table,), user_ctx, writes=False)
    if isinstance(root, table.model):
        _scopes(table, [root], user_ctx)
        key = ops.own_key(table, dialect, root)
    else:
        key = ops.key_params(table, dialect, root)
    compiler = Compiler(dialect, [Source(table, "_t")], scope_values(user_ctx))
    keys = table.need_key()
    near, far = reference.target_columns, reference.columns
    if not down:
        near, far = far, near
    walked = list(dict.fromkeys((*keys, *near)))
    place = {column: f'"_{i}"' for i, column in enumerate(walked)}
    name = dialect.quote(table.name)
    carried = ", ".join(dialect.column(c, "_t") for c in walked)
    begin = [f"{dialect.column(c, '_t')} = {dialect.bind(c.codec)}" for c in keys]
    compiler.params.extend(key)
    begin += compiler.scope_conditions()
    step = [
        f"{dialect.column(b, '_t')} = _w.{place[a]}" for a, b in zip(near, far, strict=True)
    ] + compiler.scope_conditions()
    match = " AND ".join(f"{dialect.column(c, table.name)} = _w.{place[c]}" for c in keys)
    order = ", ".join(dialect.sortable(dialect.column(c, table.name), c.codec) for c in keys)
    if dialect.name == "postgres":
        # OFFSET 0 keeps the planner from reading the whole table at each step of the way
        one = f"SELECT {carried} FROM {name} AS _t WHERE {' AND '.join(step)} OFFSET 0"
        further = f"SELECT _s.* FROM _w CROSS JOIN LATERAL ({one}) AS _s"
    else:
        further = f"SELECT {carried} FROM _w JOIN {name} AS _t ON {' AND '.join(step)}"
    # UNION drops what was walked already, so that a cycle ends and no way is walked twice
    text = (
        f"WITH RECURSIVE _w({', '.join(place.values())}) AS ("
        f"SELECT {carried} FROM {name} AS _t WHERE {' AND '.join(begin)} "
        f"UNION {further}) "
        f"SELECT {columns_of(table, dialect)} FROM _w JOIN {name} ON {match} ORDER BY {order}"
    )
    found: list[Any] = yield Statement(text, "all", reader(table)), compiler.params
    roots = [row for row in found if ops.own_key(table, dialect, row) == list(key)]
    return _nearest_first(found, near, far, roots)


def _nearest_first(
    rows: Sequence[Any],
    near: Sequence[ColumnSpec],
    far: Sequence[ColumnSpec],
    roots: Sequence[Any],
) -> list[Any]:
    """The rows that were walked from the root, by their distance from it and then as they come."""
    beyond: dict[Any, list[Any]] = {}
    for row in rows:
        beyond.setdefault(_values(row, far), []).append(row)
    level = list(roots)
    seen = {id(row) for row in level}
    place = {id(row): number for number, row in enumerate(rows)}
    found: list[Any] = []
    while level:
        steps = dict.fromkeys(_values(row, near) for row in level)
        level = [row for step in steps if step for row in beyond.get(step, ())]
        level = [row for row in level if id(row) not in seen]
        level.sort(key=lambda row: place[id(row)])
        seen.update(map(id, level))
        found += level
    return found


# --- columns and aggregates -----------------------------------------------------------------

Selected: TypeAlias = "Expression[T]"
M = TypeVar("M", bound=BaseModel)


@overload
def select_columns(
    conn: SyncConnection,
    a: Expression[A],
    /,
    *,
    into: None = None,
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> list[tuple[A]]: ...
@overload
def select_columns(
    conn: SyncConnection,
    a: Expression[A],
    b: Expression[B],
    /,
    *,
    into: None = None,
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> list[tuple[A, B]]: ...
@overload
def select_columns(
    conn: SyncConnection,
    a: Expression[A],
    b: Expression[B],
    c: Expression[C],
    /,
    *,
    into: None = None,
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> list[tuple[A, B, C]]: ...
@overload
def select_columns(
    conn: SyncConnection,
    a: Expression[A],
    b: Expression[B],
    c: Expression[C],
    d: Expression[D],
    /,
    *,
    into: None = None,
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> list[tuple[A, B, C, D]]: ...
@overload
def select_columns(
    conn: AsyncConnection,
    a: Expression[A],
    /,
    *,
    into: None = None,
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Coroutine[Any, Any, list[tuple[A]]]: ...
@overload
def select_columns(
    conn: AsyncConnection,
    a: Expression[A],
    b: Expression[B],
    /,
    *,
    into: None = None,
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Coroutine[Any, Any, list[tuple[A, B]]]: ...
@overload
def select_columns(
    conn: AsyncConnection,
    a: Expression[A],
    b: Expression[B],
    c: Expression[C],
    /,
    *,
    into: None = None,
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Coroutine[Any, Any, list[tuple[A, B, C]]]: ...
@overload
def select_columns(
    conn: AsyncConnection,
    a: Expression[A],
    b: Expression[B],
    c: Expression[C],
    d: Expression[D],
    /,
    *,
    into: None = None,
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Coroutine[Any, Any, list[tuple[A, B, C, D]]]: ...
@overload
def select_columns(
    conn: SyncConnection,
    /,
    *columns: Expression[Any],
    into: type[M],
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> list[M]: ...
@overload
def select_columns(
    conn: AsyncConnection,
    /,
    *columns: Expression[Any],
    into: type[M],
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Coroutine[Any, Any, list[M]]: ...
@overload
def select_columns(
    conn: SyncConnection,
    /,
    *columns: Expression[Any],
    into: None = None,
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> list[tuple[Any, ...]]: ...
@overload
def select_columns(
    conn: AsyncConnection,
    /,
    *columns: Expression[Any],
    into: None = None,
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Coroutine[Any, Any, list[tuple[Any, ...]]]: ...
def select_columns(
    conn: AnyConnection,
    /,
    *columns: Any,
    into: Any = None,
    where: Condition | Sequence[Condition] = (),
    group_by: Any = None,
    having: Condition | Sequence[Condition] = (),
    order_by: OrderBy = None,
    limit: int | None = None,
    offset: int | None = None,
    distinct: bool = False,
    via: Any = None,
    user_ctx: UserCtx = None,
    **filters: Any,
) -> Any:
    """Columns and aggregates of rows or groups as tuples, or as models of the class `into`.

    Columns of several models join them by their foreign keys. The fields of `into` are filled by
    position.

    Example:
        >>> select_columns(conn, Book.year, count(), group_by=Book.year, having=count() > 1)
        [(1813, 2), (1817, 3)]

    Raises:
        FilterError: nothing is selected, or something that is not a column of the models.
    """
    if not columns:
        raise FilterError("select_columns needs at least one column or aggregate")
    for column in columns:
        if not isinstance(column, Expression):
            raise FilterError(f"expected a column such as Book.title, got {column!r}")
    groups = [] if group_by is None else _listed(group_by)
    conditions, kept = _conditions(where), _conditions(having)
    orders = [] if order_by is None else _listed(order_by)
    sources = _mentioned([*columns, *groups, *conditions, *kept, *orders])
    if into is not None:
        _check_into(into, columns)
    query = Query(conditions, filters, order_by, limit, offset)
    access = _reading(*(source.table for source in sources))
    args = (sources, columns, groups, kept, query, distinct, via, into, user_ctx)
    return run(conn, access, _columns_op, *args)


def _listed(items: Any) -> list[Any]:
    return list(items) if isinstance(items, (list, tuple)) else [items]


def _conditions(given: Any) -> tuple[Condition, ...]:
    return (given,) if isinstance(given, Condition) else tuple(given)


def _check_into(into: Any, columns: Sequence[Any]) -> None:
    if not isinstance(into, type) or not issubclass(into, BaseModel):
        raise FilterError(f"into takes a Pydantic model, not {into!r}")
    if hasattr(into, "__build_table__"):
        raise FilterError(
            f"{into.__name__} is a table, which would be read in part; use {into.__name__}.select, "
            "or give `into` a model of these columns"
        )
    fields = list(into.model_fields.items())
    if len(fields) < len(columns):
        raise FilterError(f"{into.__name__} has {len(fields)} fields for {len(columns)} columns")
    left_out = [name for name, info in fields[len(columns) :] if info.is_required()]
    if left_out:
        raise FilterError(
            f"{into.__name__} needs {', '.join(left_out)} too, for which no column is selected"
        )


def _mentioned(expressions: Sequence[Any]) -> list[Source]:
    """The tables whose columns are mentioned, in order."""
    sources: dict[str, Source] = {}
    for expression in expressions:
        for column in _columns_in(expression):
            source = Source(column.table, column.source)
            sources.setdefault(source.name, source)
    if not sources:
        raise FilterError(
            "there is no column that says which table is meant; count a column: count(Book.book_id)"
        )
    return list(sources.values())


def _columns_in(node: Any) -> Iterable[Column[Any]]:
    match node:
        case Column():
            yield node
        case Arithmetic(left=first, right=second) | Comparison(left=first, right=second):
            yield from _columns_in(first)
            yield from _columns_in(second)
        case Aggregate(of=inner) | Order(by=inner) | NoneOf(item=inner) | JsonPath(column=inner):
            yield from _columns_in(inner)
        case AllOf(items=items) | AnyOf(items=items):
            for item in items:
                yield from _columns_in(item)
        case _:
            return


def _columns_op(
    dialect: Dialect,
    sources: Sequence[Source],
    columns: Sequence[Expression[Any]],
    group_by: Sequence[Any],
    having: Sequence[Condition],
    query: Query,
    distinct: bool,
    via: Any,
    into: Any,
    user_ctx: UserCtx,
) -> Op[list[Any]]:
    order = ordering(sources, query.order_by)
    groups = [_group(sources, item) for item in group_by]
    aggregated = bool(groups) or any(map(_aggregates, columns)) or bool(having)
    if distinct and not aggregated:
        # the same rows, and one may order by what is not written in the form that is selected
        groups, aggregated, distinct = list(columns), True, False
    if aggregated:
        _check_grouped([*columns, *(term.by for term in order)], groups)
    yield from ops.enter(dialect, [s.table for s in sources], user_ctx, writes=False)
    compiler = Compiler(dialect, sources, scope_values(user_ctx))
    selected = ", ".join(compiler.selected(column) for column in columns)
    text = f"SELECT {'DISTINCT ' if distinct else ''}{selected}"
    text += _join_text(dialect, sources, via, compiler)
    text += where_of(compiler, query.expressions, query.filters)
    if groups:
        written = (_place(item, columns) or compiler.expression(item) for item in groups)
        text += " GROUP BY " + ", ".join(written)
    if having:
        conditions = conditions_of(sources, having, {})
        text += " HAVING " + " AND ".join(compiler.condition(node) for node in conditions)
    text += compiler.order(order, lambda item: _place(item, columns))
    text += limit_text(dialect, query)
    compiler.params.extend(limits(query))
    reader = _tuple_reader(columns, into, sources[0].table)
    found: list[Any] = yield Statement(text, "all", reader), compiler.params
    return found


def _group(sources: Sequence[Source], item: Any) -> Expression[Any]:
    if isinstance(item, str):
        return named_column(sources, item, "group_by")
    if not isinstance(item, Expression) or _aggregates(item):
        raise FilterError(f"group_by: expected a field's name or a column, got {item!r}")
    return item


def _aggregates(node: Any) -> bool:
    match node:
        case Aggregate():
            return True
        case Arithmetic(left=first, right=second):
            return _aggregates(first) or _aggregates(second)
        case _:
            return False


def _check_grouped(expressions: Sequence[Expression[Any]], groups: Sequence[Any]) -> None:
    """What stands beside groups must have one value in each of them.

    Raises:
        FilterError: a column has several.
    """
    grouped = {_identity(item) for item in groups}
    for expression in expressions:
        for column in _bare_columns(expression, grouped):
            keys = column.table.primary_key
            whole = [_identity(Column(column.table, key, column.source)) for key in keys]
            if not (whole and grouped.issuperset(whole)):
                raise FilterError(
                    f"{column.label} has several values in a group; give it in group_by, or take "
                    f"an aggregate of it such as min_({column.label})"
                )


def _identity(node: Any) -> Any:
    return (node.table, node.spec, node.source) if isinstance(node, Column) else id(node)


def _bare_columns(node: Any, grouped: set[Any]) -> Iterable[Column[Any]]:
    """Columns outside of aggregates that are not grouped by."""
    if _identity(node) in grouped or isinstance(node, Aggregate):
        return
    if isinstance(node, Arithmetic):
        yield from _bare_columns(node.left, grouped)
        yield from _bare_columns(node.right, grouped)
    elif isinstance(node, Column):
        yield node


def _place(item: Expression[Any], columns: Sequence[Expression[Any]]) -> str | None:
    """The place in the SELECT list of an expression with bound values.

    Written again, its values would be bound again, and PostgreSQL would not know it for the same.
    """
    if isinstance(item, Column):
        return None
    return next((str(place) for place, c in enumerate(columns, start=1) if c is item), None)


def _tuple_reader(
    columns: Sequence[Expression[Any]], into: Any, table: Table
) -> Callable[[list[Any]], Any]:
    decoders = [_value_decoder(column) for column in columns]
    names = list(into.model_fields)[: len(columns)] if into is not None else []

    def read(rows: list[Any]) -> list[Any]:
        values = [
            tuple(
                None if value is None else decode(value)
                for decode, value in zip(decoders, row, strict=True)
            )
            for row in rows
        ]
        if into is None:
            return values
        return [_into(into, names, row, table) for row in values]

    return read


def _into(
    model: type[BaseModel], names: Sequence[str], row: Sequence[Any], table: Table
) -> BaseModel:
    values = dict(zip(names, row, strict=True))
    try:
        made: BaseModel = model.__pydantic_validator__.validate_python(
            values, by_alias=False, by_name=True
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        field = str(first["loc"][0]) if first["loc"] else None
        raise RowError(
            f"{row!r} is not a valid {model.__name__}: {field or 'it'}: {first['msg']}",
            table=table.name,
            key=None,
            column=field,
            value=values.get(field) if field is not None else None,
        ) from error
    return made


def _value_decoder(column: Expression[Any]) -> Callable[[Any], Any]:
    if isinstance(column, Aggregate) and column.function == "avg" and column.of is not None:
        return partial(_mean, column.of.codec)
    codec = column.codec
    inner = column.of if isinstance(column, Aggregate) and column.of is not None else column
    if codec.name == "path" and isinstance(inner, Column):
        return cast("Callable[[Any], Any]", inner.spec.python_type)
    return codec.decode


def _mean(codec: Codec, value: Any) -> Any:
    """The mean behind what `Compiler.selected` selects: a float, or a sum and a count."""
    if not isinstance(value, str):
        return float(value)
    total, _, number = value.partition("/")
    return codec.decode(int(total)) / int(number)


# --- hand-written SQL -----------------------------------------------------------------------


def execute_sql(cursor: Any, sql: str, args: Sequence[Any] | Mapping[str, Any] = ()) -> Any:
    """Runs hand-written SQL on a driver's cursor, and tells the log and the hooks of it.

    `args` are the driver's: `?` or `:name` on SQLite, `%s` or `%(name)s` on PostgreSQL. Returns
    the cursor, or with an async cursor an awaitable of it.

    Example:
        >>> cursor = execute_sql(conn.cursor(), f"SELECT {Book.columns('b')} FROM Book b")
        >>> books = [from_multi_model_row(row, [Book])[0] for row in cursor]

    Raises:
        DatabaseError: the database refused the statement.
    """
    from .drivers.raw import execute

    return execute(cursor, sql, args)
