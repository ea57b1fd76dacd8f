"""What a verb is before any database is touched: a generator of statements.

Only values and types live here: no driver, no SQL, no model. A verb is an `Op[T]`: it yields
steps (a frozen `Statement` and the values bound to it), is sent what came back, and returns its
result. Two loops in `run.py` drive every Op, one for sync and one for async connections.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from typing_extensions import TypeVar

from .errors import DatabaseError

T = TypeVar("T")

Row: TypeAlias = Sequence[Any]
Params: TypeAlias = Sequence[Any]

Fetch = Literal["one", "all", "count", "key", "many", "none"]
"""What a driver sends back: the first row or None; all rows; the number of rows written; the
generated key; the number written by one execution per element of the values; nothing."""


@dataclass(frozen=True, slots=True)
class Statement:
    """SQL text with what is to be fetched; `reader` turns chunks of rows into values."""

    sql: str
    fetch: Fetch = "all"
    reader: Callable[[list[Any]], list[Any]] | None = None
    control: bool = False
    """True for BEGIN, SAVEPOINT and their like, which are not counted as the user's."""


Step: TypeAlias = tuple[Statement, Iterable[Any]]
Op: TypeAlias = Generator[Step, Any, T]

Access = Literal["read", "scoped", "write", "rows", "late", "sequence"]
"""What a verb does to the database: reads; reads after telling PostgreSQL whose rows it may see;
writes rows by one statement; or by several that must take effect together; writes rows if what it
reads first says so; or changes anything, be it rows or tables, by several statements."""


def control(sql: str) -> Step:
    """A step that steers a transaction."""
    return Statement(sql, "none", control=True), ()


def guarded_late(
    op: Op[T], begin: Sequence[Step], end: Sequence[Step], undo: Sequence[Step]
) -> Op[T]:
    """`guarded` from the first step on that is more than a SELECT, and not at all without one."""
    try:
        step = op.send(None)
        while step[0].sql.startswith("SELECT") and not step[0].control:
            try:
                result = yield step
            except BaseException as error:  # noqa: BLE001  # it goes on, or into the verb
                step = op.throw(error)
            else:
                step = op.send(result)
    except StopIteration as done:
        value: T = done.value
        return value
    return (yield from guarded(_resumed(op, step), begin, end, undo))


def _resumed(op: Op[T], step: Step) -> Op[T]:
    """An Op that has been begun, from this step of it on."""
    try:
        while True:
            try:
                result = yield step
            except BaseException as error:  # noqa: BLE001  # it goes on, or into the verb
                step = op.throw(error)
            else:
                step = op.send(result)
    except StopIteration as done:
        value: T = done.value
        return value


def guarded(op: Op[T], begin: Sequence[Step], end: Sequence[Step], undo: Sequence[Step]) -> Op[T]:
    """`op` between the steps that begin and end a transaction or savepoint.

    Whatever goes wrong, `undo` runs before the error goes on.
    """
    try:
        for step in begin:
            yield step
        value = yield from op
        for step in end:
            yield step
    except GeneratorExit:
        raise
    except BaseException:  # it goes on, or into the verb
        for step in undo:
            # when the database has given up the transaction by itself, there is nothing to undo
            with suppress(DatabaseError):
                yield step
        raise
    return value
