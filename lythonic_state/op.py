"""What a verb is before any database is touched: a generator of statements.

Only values and types live here: no driver, no SQL, no model. A verb is an `Op[T]`: it yields
steps (a frozen `Statement` and the values bound to it), is sent what came back, and returns its
result. Two loops in `run.py` drive every Op, one for sync and one for async connections.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import suppress
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias

from typing_extensions import TypeVar

from .errors import DatabaseError
from .fields import frozen, replace

T = TypeVar("T")

Row: TypeAlias = Sequence[Any]
Params: TypeAlias = Sequence[Any]

Fetch = Literal["one", "all", "count", "key", "many", "none"]
"""What a driver sends back: the first row or None; all rows; the number of rows written; the
generated key, or None if nothing was written; the number written by one execution per element of
the values; nothing."""


@frozen
class Statement:
    """SQL text with what is to be fetched; `reader` turns chunks of rows into values."""

    sql: str
    fetch: Fetch = "all"
    reader: Callable[[list[Any]], list[Any]] | None = None
    control: bool = False
    """True for BEGIN, SAVEPOINT and their like, which are not counted as the user's."""
    leads: bool = False
    """True for a step without a result that only prepares the next, and may travel with it."""
    before: tuple[Step, ...] = ()
    after: tuple[Step, ...] = ()
    """Control steps that PostgreSQL is sent together with this one, in one round trip."""
    copy: str = ""
    """The COPY by which PostgreSQL takes the same rows of values, in a fraction of the time."""


Step: TypeAlias = tuple[Statement, Iterable[Any]]
Op: TypeAlias = Generator[Step, Any, T]

Single: TypeAlias = tuple[Statement, Iterable[Any], Callable[[Any], Any] | None]
"""A verb that is one statement: this, its values, and what makes the result of what came back
(None where that is the result). It says the same as an Op of one step, and costs less."""


class Settled(NamedTuple):
    """What an Op returns whose models are to be told what was written (their keys).

    `tell` does so, once the verb cannot be cancelled any more.
    """

    value: Any
    tell: Callable[[], None]


def settled(value: Any) -> Any:
    """The value of a verb, after its models have been told."""
    if isinstance(value, Settled):
        value.tell()
        return value.value
    return value


def as_op(made: Op[T] | Single) -> Op[T]:
    """What a verb made, as an Op."""
    return _op_of(*made) if isinstance(made, tuple) else made


def _op_of(
    statement: Statement, params: Iterable[Any], finish: Callable[[Any], Any] | None
) -> Op[Any]:
    result: Any = yield statement, params
    return result if finish is None else finish(result)


Access = Literal["read", "scoped", "write", "rows", "late", "sequence", "whole"]
"""What a verb does to the database: reads; reads after telling PostgreSQL whose rows it may see;
writes rows by one statement; or by several that must take effect together; writes rows if what it
reads first says so; changes anything, be it rows or tables, by several statements; or does so in a
transaction of its own, which ends with it."""


@lru_cache
def control(sql: str, *, leads: bool = False, before: tuple[Step, ...] = ()) -> Step:
    """A step that steers a transaction."""
    return Statement(sql, "none", control=True, leads=leads, before=before), ()


def gathered(op: Op[T]) -> Op[T]:
    """`op`, whose steps that lead to another travel with that, in one round trip."""
    leading: list[Step] = []
    try:
        step = op.send(None)
        while True:
            statement, params = step
            if statement.leads:
                leading.append(step)
                step = op.send(None)
                continue
            if leading:
                statement = replace(statement, before=(*leading, *statement.before))
                leading.clear()
            try:
                result = yield statement, params
            except BaseException as error:  # noqa: BLE001  # it goes on, or into the verb
                step = op.throw(error)
            else:
                step = op.send(result)
    except StopIteration as done:
        if leading:  # to nothing, as at the start of a transaction block
            statement, params = leading.pop()
            yield replace(statement, before=tuple(leading)), params
        value: T = done.value
        return value


def guarded_single(
    single: Single, begin: Sequence[Step], end: Sequence[Step], undo: Sequence[Step]
) -> Op[Any]:
    """`guarded` for one statement, with which what ends the savepoint travels."""
    statement, params, finish = single
    statement = replace(statement, after=(*statement.after, *end))
    result: Any = yield from guarded(as_op((statement, params, None)), begin, (), undo)
    return result if finish is None else finish(result)


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
