"""What reads several tables, or parts of rows: joins, parents, children, recursion, aggregates."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, cast, overload

from pydantic import BaseModel, TypeAdapter
from typing_extensions import TypeVar

from . import ops
from .dialects import Dialect
from .errors import FilterError, SchemaError
from .filters import (
    Aggregate,
    Aliased,
    Arithmetic,
    Column,
    Compiler,
    Condition,
    Expression,
    JsonPath,
    OrderBy,
    Source,
    conditions_of,
    ordering,
)
from .op import Access, Op, Statement
from .rows import joined_reader, lenient_reader
from .run import AnyConnection, AsyncConnection, SyncConnection, run
from .scope import UserCtx, restriction, scope_values
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
    """FROM with its JOINs, whose conditions come from the foreign keys."""
    first = sources[0]
    text = f" FROM {_named(dialect, first)}"
    for position, source in enumerate(sources[1:], start=1):
        mine, theirs, reference = _link(source, sources[:position], via)
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
    return text


def _named(dialect: Dialect, source: Source) -> str:
    name = dialect.quote(source.table.name)
    return f"{name} AS {dialect.quote(source.alias)}" if source.alias else name


def _link(source: Source, before: Sequence[Source], via: Any) -> tuple[Source, Source, Reference]:
    """The foreign key between a model and one before it: who has it, and whom it leads to."""
    found: list[tuple[Source, Source, Reference]] = []
    for other in before:
        for reference in references(other.table):
            if reference.target is source.table:
                found.append((other, source, reference))
        for reference in references(source.table):
            if reference.target is other.table:
                found.append((source, other, reference))
    name = source.alias or source.table.model.__name__
    others = ", ".join(other.alias or other.table.model.__name__ for other in before)
    named = [link for link in found if any(_fits_link(link, one) for one in _vias(via))]
    # a self reference fits both ways round: without more to go by, the earlier row has the key
    for links in (named, found):
        if len(links) == 1 or (len(links) == 2 and links[0][2] is links[1][2]):
            return links[0]
        forward = [link for link in links if link[1] is source]
        if links and len(forward) == 1 and {id(li[2].table) for li in links} == {id(source.table)}:
            return forward[0]
        if links:
            break
    _choose(_distinct([link[2] for link in (named or found)]), None, f"{name} and {others}")
    return (named or found)[0]


def _distinct(candidates: Iterable[Reference]) -> list[Reference]:
    seen: dict[tuple[ColumnSpec, ...], Reference] = {}
    for reference in candidates:
        seen.setdefault(reference.columns, reference)
    return list(seen.values())


def _fits_link(link: tuple[Source, Source, Reference], via: Column[Any] | str) -> bool:
    mine, _, reference = link
    if isinstance(via, Column) and via.source is not None and via.source != mine.alias:
        return False
    if isinstance(via, Column) and via.source is None and mine.alias is not None:
        return False
    return _fits(reference, via)


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
    from .filters import and_, or_

    wanted = list(dict.fromkeys(keys))
    first = source.column(columns[0])
    if len(columns) == 1:
        return first.in_([key[0] for key in wanted])
    if not wanted:
        return first.in_([])
    return or_(
        *(
            and_(*(source.column(c) == value for c, value in zip(columns, key, strict=True)))
            for key in wanted
        )
    )


def _select_where(dialect: Dialect, table: Table, query: Query, user_ctx: UserCtx) -> Op[list[Any]]:
    return (yield from ops.select(dialect, table, query, user_ctx))


def _parents_op(
    dialect: Dialect, reference: Reference, rows: Sequence[BaseModel], user_ctx: UserCtx
) -> Op[list[Any]]:
    keys = [_values(row, reference.columns) for row in rows]
    present = [key for key in keys if key is not None]
    restriction(reference.target, user_ctx)
    if not present:
        return [None] * len(rows)
    source = Source(reference.target)
    condition = _key_condition(source, reference.target_columns, present)
    found = yield from _select_where(dialect, reference.target, Query((condition,)), user_ctx)
    by_key = {_values(model, reference.target_columns): model for model in found}
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
    keys = [_values(row, reference.target_columns) for row in rows]
    present = [key for key in keys if key is not None]
    condition = _key_condition(Source(reference.table), reference.columns, present)
    asked = Query((condition, *query.expressions), query.filters, query.order_by)
    found = yield from _select_where(dialect, reference.table, asked, user_ctx)
    groups: dict[Any, list[Any]] = {}
    for model in found:
        groups.setdefault(_values(model, reference.columns), []).append(model)
    return [list(groups.get(key, ())) for key in keys]


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
        key = ops.own_key(table, dialect, root)
    else:
        key = ops.key_params(table, dialect, root)
    compiler = Compiler(dialect, [Source(table, "_t")], scope_values(user_ctx))
    keys = table.need_key()
    towards = (
        list(zip(reference.columns, reference.target_columns, strict=True))
        if down
        else list(zip(reference.target_columns, reference.columns, strict=True))
    )
    walked = [*keys, *(c for c in (*reference.columns, *reference.target_columns) if c not in keys)]
    walked = list(dict.fromkeys(walked))
    name = dialect.quote(table.name)
    carried = ", ".join(dialect.column(c, "_t") for c in walked)
    names = ", ".join(dialect.quote(f"_{i}") for i in range(len(walked)))
    place = {column: f"_{i}" for i, column in enumerate(walked)}
    begin = " AND ".join(f"{dialect.column(c, '_t')} = {dialect.bind(c.codec)}" for c in keys)
    compiler.params.extend(key)
    begin += "".join(f" AND {term}" for term in compiler.scope_conditions())
    step = " AND ".join(
        f"{dialect.column(new, '_t')} = _w.{dialect.quote(place[old])}" for new, old in towards
    )
    step += "".join(f" AND {term}" for term in compiler.scope_conditions())
    match = " AND ".join(
        f"{dialect.column(c, table.name)} = _n.{dialect.quote(place[c])}" for c in keys
    )
    grouped = ", ".join(dialect.quote(place[c]) for c in keys)
    # a depth beyond the number of rows can only be a cycle, which ends the walk
    text = (
        f"WITH RECURSIVE _w({names}, _depth) AS ("
        f"SELECT {carried}, 0 FROM {name} AS _t WHERE {begin} "
        f"UNION SELECT {carried}, _w._depth + 1 FROM {name} AS _t JOIN _w ON {step} "
        f"WHERE _w._depth < (SELECT count(*) FROM {name})), "
        f"_n AS (SELECT {grouped}, min(_depth) AS _depth FROM _w GROUP BY {grouped}) "
        f"SELECT {columns_of(table, dialect)} FROM {name} JOIN _n ON {match} "
        f"WHERE _n._depth > 0 ORDER BY _n._depth, "
        + ", ".join(dialect.sortable(dialect.column(c, table.name), c.codec) for c in keys)
    )
    statement = Statement(text, "all", lenient_reader(table, "raise"))
    found: list[Any] = yield statement, compiler.params
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
    conditions = _conditions(where)
    sources = _mentioned([*columns, *groups], conditions)
    if into is not None and len(into.model_fields) < len(columns):
        raise FilterError(
            f"{into.__name__} has {len(into.model_fields)} fields for {len(columns)} columns"
        )
    query = Query(conditions, filters, order_by, limit, offset)
    access = _reading(*(source.table for source in sources))
    args = (sources, columns, groups, _conditions(having), query, distinct, via, into, user_ctx)
    return run(conn, access, _columns_op, *args)


def _listed(items: Any) -> list[Any]:
    return list(items) if isinstance(items, (list, tuple)) else [items]


def _conditions(given: Any) -> tuple[Condition, ...]:
    return (given,) if isinstance(given, Condition) else tuple(given)


def _mentioned(expressions: Sequence[Any], conditions: Sequence[Condition]) -> list[Source]:
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


def _columns_in(expression: Any) -> Iterable[Column[Any]]:
    match expression:
        case Column():
            yield expression
        case Arithmetic(first, _, second):
            yield from _columns_in(first)
            yield from _columns_in(second)
        case Aggregate(_, of):
            yield from _columns_in(of)
        case JsonPath(column):
            yield from _columns_in(column)
        case _:
            return


def _columns_op(
    dialect: Dialect,
    sources: Sequence[Source],
    columns: Sequence[Expression[Any]],
    groups: Sequence[Any],
    having: Sequence[Condition],
    query: Query,
    distinct: bool,
    via: Any,
    into: Any,
    user_ctx: UserCtx,
) -> Op[list[Any]]:
    yield from ops.enter(dialect, [s.table for s in sources], user_ctx, writes=False)
    compiler = Compiler(dialect, sources, scope_values(user_ctx))
    selected = ", ".join(compiler.selected(column) for column in columns)
    text = f"SELECT {'DISTINCT ' if distinct else ''}{selected}"
    text += _join_text(dialect, sources, via, compiler)
    text += where_of(compiler, query.expressions, query.filters)
    if groups:
        terms = [compiler.expression(term.by) for term in ordering(sources, groups)]
        text += " GROUP BY " + ", ".join(terms)
    if having:
        conditions = conditions_of(sources, having, {})
        text += " HAVING " + " AND ".join(compiler.condition(node) for node in conditions)
    text += compiler.order(ordering(sources, query.order_by))
    text += limit_text(dialect, query)
    compiler.params.extend(limits(query))
    reader = _tuple_reader(columns, into)
    found: list[Any] = yield Statement(text, "all", reader), compiler.params
    return found


def _tuple_reader(columns: Sequence[Expression[Any]], into: Any) -> Callable[[list[Any]], Any]:
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
        return [_into(into, names, row) for row in values]

    return read


def _into(model: type[BaseModel], names: Sequence[str], row: Sequence[Any]) -> BaseModel:
    made: BaseModel = model.__pydantic_validator__.validate_python(
        dict(zip(names, row, strict=True)), by_alias=False, by_name=True
    )
    return made


def _value_decoder(column: Expression[Any]) -> Callable[[Any], Any]:
    if isinstance(column, Aggregate) and column.function == "avg" and column.of is not None:
        return _mean_decoder(column.of.codec.decode)
    codec = column.codec
    inner = column.of if isinstance(column, Aggregate) and column.of is not None else column
    if codec.name == "path" and isinstance(inner, Column):
        return TypeAdapter(inner.spec.python_type).validate_python
    return codec.decode


def _mean_decoder(decode: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def mean(value: Any) -> Any:
        if not isinstance(value, str):
            return decode(value) if not isinstance(value, float) else value
        total, _, number = value.partition("/")
        return decode(int(total)) / int(number)

    return mean


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
