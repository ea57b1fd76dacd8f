"""How many rows are read or written in pieces: keyset pages, streams, async sources of bulk verbs.

Built on the Ops and the loops; no SQL of its own but the condition that a page begins after.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, Callable, Iterator, Sequence
from typing import Any, Generic

from pydantic import BaseModel
from typing_extensions import TypeVar

from . import ops, statements
from .dialects import Dialect
from .errors import FilterError, InvalidValue
from .fields import frozen
from .filters import (
    AllOf,
    AnyOf,
    Column,
    Comparison,
    Condition,
    Order,
    Source,
    ordering,
)
from .op import Op, Statement, Step
from .run import Build, is_async, run
from .scope import UserCtx, scope_values
from .statements import Query
from .table import ColumnSpec, Table

T = TypeVar("T")


@frozen(slots=False)
class Page(Generic[T]):
    """A page of rows: `items`, and `next`, the cursor of the page after (None on the last).

    The cursor is text and survives JSON and URLs' query strings.
    """

    items: list[T]
    next: str | None

    def __iter__(self) -> Iterator[T]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


def page(
    dialect: Dialect, table: Table, asked: tuple[Query, int, str | None], user_ctx: UserCtx
) -> Op[Page[Any]]:
    query, size, after = asked
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise FilterError(f"size is a number of rows from 1 on, not {size!r}")
    source = Source(table)
    order = _total_order(table, ordering([source], query.order_by))
    conditions = query.expressions
    if after is not None:
        conditions = (*conditions, _beyond(order, _read_cursor(table, order, after)))
    one_more = Query(conditions, query.filters, order, limit=size + 1)
    found = yield from ops.selected(dialect, table, one_more, user_ctx)
    if len(found) <= size:
        return Page(found, None)
    items = found[:size]
    return Page(items, _cursor(order, items[-1]))


def _total_order(table: Table, order: list[Order]) -> list[Order]:
    """The order with the primary key at its end, so that no two rows are equal in it."""
    source = Source(table)
    for term in order:
        if not isinstance(term.by, Column):
            raise FilterError(f"pages are ordered by columns, not by {term.by.label}")
    named = {term.by.spec.field for term in order if isinstance(term.by, Column)}
    missing = [column for column in table.need_key() if column.field not in named]
    return [*order, *(Order(source.column(column)) for column in missing)]


def _spec(term: Order) -> ColumnSpec:
    assert isinstance(term.by, Column)
    return term.by.spec


def _cursor(order: Sequence[Order], last: BaseModel) -> str:
    values: list[Any] = []
    for term in order:
        spec = _spec(term)
        value = last.__dict__[spec.field]
        stored = None if value is None else spec.codec.encode_sqlite(value)
        values.append({"hex": stored.hex()} if isinstance(stored, bytes) else stored)
    return json.dumps([_order_text(order), values], separators=(",", ":"))


def _order_text(order: Sequence[Order]) -> str:
    return ",".join(("-" if term.descending else "") + _spec(term).field for term in order)


def _read_cursor(table: Table, order: Sequence[Order], after: str) -> list[Any]:
    name = table.model.__name__
    try:
        text, values = json.loads(after)
        stored = [bytes.fromhex(v["hex"]) if isinstance(v, dict) else v for v in values]
    except (ValueError, TypeError, KeyError) as error:
        raise FilterError(
            f"after={after!r} is not a cursor; give the `next` of a page of {name}"
        ) from error
    if text != _order_text(order) or len(stored) != len(order):
        raise FilterError(
            f"this cursor is of pages of {name} ordered by {text!r}, not by {_order_text(order)!r}"
        )
    found: list[Any] = []
    for term, value in zip(order, stored, strict=True):
        spec = _spec(term)
        try:
            found.append(_decoded(spec, value))
        except (ValueError, TypeError, ArithmeticError) as error:
            raise FilterError(f"after: {value!r} is no value of {spec.field}") from error
    return found


def _decoded(spec: ColumnSpec, value: Any) -> Any:
    """A value of a cursor; one that no row can have had is a ValueError."""
    if value is None and spec.nullable:
        return None
    decoded = spec.codec.decode(value)
    decoded = spec.python_type(decoded) if spec.codec.name == "path" else decoded
    again = spec.codec.encode_sqlite(decoded)
    if again.__class__ is not value.__class__ or again != value:
        raise ValueError(f"{value!r} is not how {spec.field} is stored")
    return decoded


def _beyond(order: Sequence[Order], values: Sequence[Any]) -> Condition:
    """Rows that come after the one with these values: beyond in the first column that differs."""
    ways: list[Condition] = []
    for position, term in enumerate(order):
        further = _further(term, values[position])
        if further is None:
            continue
        same = [_same(order[i], values[i]) for i in range(position)]
        ways.append(AllOf((*same, further)))
    return AnyOf(tuple(ways))


def _same(term: Order, value: Any) -> Condition:
    return Comparison(term.by, "eq", value)


def _further(term: Order, value: Any) -> Condition | None:
    """Beyond this value in the term's direction; NULLs come first ascending, last descending."""
    if term.descending:
        if value is None:
            return None
        below = Comparison(term.by, "lt", value)
        return AnyOf((below, Comparison(term.by, "isnull", True))) if term.by.nullable else below
    if value is None:
        return Comparison(term.by, "isnull", False)
    return Comparison(term.by, "gt", value)


# --- streams --------------------------------------------------------------------------------


def streamed(table: Table, query: Query, user_ctx: UserCtx) -> Build:
    """What a stream of a select runs."""

    def build(dialect: Dialect) -> tuple[Sequence[Step], Statement, Any]:
        tables = ops.reached(table, query, user_ctx)
        before: list[Step] = list(ops.enter(dialect, tables, user_ctx, writes=False))
        statement, params = statements.select(table, dialect, query, scope_values(user_ctx))
        return before, statement, params

    return build


# --- bulk from async sources ------------------------------------------------------------------


def run_bulk(conn: Any, rows: Any, verb: Callable[..., Op[Any]], table: Table, *args: Any) -> Any:
    """Runs a bulk verb on the rows of any iterable, async ones on async connections.

    On an async connection the rows are taken before the database is touched, so that no lock is
    held while the source is waited for, and the source runs where it belongs.
    """
    if isinstance(rows, AsyncIterable):
        if not is_async(conn):
            raise InvalidValue(
                "rows of an async iterable need an async connection; collect them first"
            )
        return _run_bulk_async(conn, rows, verb, table, args)
    if isinstance(rows, (str, bytes, BaseModel)):
        raise InvalidValue(f"expected an iterable of {table.model.__name__}, not {rows!r}")
    if is_async(conn) and not isinstance(rows, (list, tuple)):
        rows = list(rows)
    return run(conn, "rows", verb, table, rows, *args)


async def _run_bulk_async(
    conn: Any, rows: AsyncIterable[Any], verb: Callable[..., Op[Any]], table: Table, args: Any
) -> Any:
    collected = [row async for row in rows]
    return await run(conn, "rows", verb, table, collected, *args)
