"""psycopg 3: executing a statement in both colours, and what its errors mean.

The only module that imports psycopg, and only once a connection of it is used.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from operator import methodcaller
from time import perf_counter
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.rows import tuple_row

from ..errors import (
    TOO_LARGE,
    ConstraintKind,
    ConstraintViolation,
    DatabaseBusy,
    DatabaseError,
    InvalidValue,
    TransactionError,
    as_driver_error,
)
from ..op import Statement, Step, control
from . import observe

FETCH_CHUNK = 100
IDLE = psycopg.pq.TransactionStatus.IDLE
_ENDS: dict[str, Callable[[Any], Any]] = {
    "COMMIT": methodcaller("commit"),
    "ROLLBACK": methodcaller("rollback"),
}
"""What the connection does itself, which keeps to the rules of psycopg's own transaction blocks."""


def _cursor(conn: Any, **options: Any) -> Any:
    """A cursor whose rows are tuples; untyped, since psycopg's types refuse computed SQL."""
    return conn.cursor(row_factory=tuple_row, **options)


def execute(conn: psycopg.Connection[Any], statement: Statement, params: Any) -> Any:
    """What the statement's `fetch` says, raising our errors.

    What the statement has before and after it travels with it; nothing takes effect after a step
    that failed.
    """
    started = perf_counter()
    before = (*_own_begin(conn, statement), *statement.before)
    try:
        cursor = _cursor(conn)
        if _is_pipelined(conn, statement, before):
            with conn.pipeline() as pipeline:
                for step in before:
                    if not _queue(conn, pipeline, *step):
                        _send(conn, conn.cursor(), *step)
                _send(conn, cursor, statement, params)
                for step in statement.after:
                    if not _queue(conn, pipeline, *step):
                        _send(conn, conn.cursor(), *step)
        else:
            for step in before:
                _send(conn, conn.cursor(), *step)
            _send(conn, cursor, statement, params)
            for step in statement.after:
                _send(conn, conn.cursor(), *step)
        result = _fetched(cursor, statement)
    except Exception as error:
        failure = _failed(conn, statement, params, started, error)
        if failure is error:
            raise
        raise failure from error
    if observe.observing():
        _done(conn, statement, params, started, result)
    return result


async def execute_async(
    conn: psycopg.AsyncConnection[Any], statement: Statement, params: Any
) -> Any:
    """`execute` for an async connection; rows are fetched with the statement, so only it waits."""
    started = perf_counter()
    before = (*_own_begin(conn, statement), *statement.before)
    try:
        cursor = _cursor(conn)
        if _is_pipelined(conn, statement, before):
            async with conn.pipeline() as pipeline:
                for step in before:
                    if not _queue(conn, pipeline, *step):
                        await _send(conn, conn.cursor(), *step)
                await _send(conn, cursor, statement, params)
                for step in statement.after:
                    if not _queue(conn, pipeline, *step):
                        await _send(conn, conn.cursor(), *step)
        else:
            for step in before:
                await _send(conn, conn.cursor(), *step)
            await _send(conn, cursor, statement, params)
            for step in statement.after:
                await _send(conn, conn.cursor(), *step)
        result = await _fetched_async(cursor, statement)
    except Exception as error:
        failure = _failed(conn, statement, params, started, error)
        if failure is error:
            raise
        raise failure from error
    if observe.observing():
        _done(conn, statement, params, started, result)
    return result


def _send(conn: Any, cursor: Any, statement: Statement, params: Any) -> Any:
    """Executes a statement, or puts it into the pipeline that the connection is in."""
    if statement.sql in _ENDS:
        return _ENDS[statement.sql](conn)
    if statement.copy and not conn.pgconn.pipeline_status:
        is_async = isinstance(conn, psycopg.AsyncConnection)
        return (_copy_async if is_async else _copy)(cursor, statement.copy, params)
    if statement.fetch == "many":
        return cursor.executemany(statement.sql, params)
    return cursor.execute(statement.sql, None if statement.control and not params else params)


def _copy(cursor: Any, sql: str, rows: Iterable[Sequence[Any]]) -> None:
    with cursor.copy(sql) as copy:
        for row in rows:
            copy.write_row(row)


async def _copy_async(cursor: Any, sql: str, rows: Iterable[Sequence[Any]]) -> None:
    async with cursor.copy(sql) as copy:
        for row in rows:
            await copy.write_row(row)


# --- one round trip -------------------------------------------------------------------------

_BEGIN = control("BEGIN")


def _own_begin(conn: Any, statement: Statement) -> tuple[Step, ...]:
    """The BEGIN that psycopg would send by itself, and wait for, if it is a plain one."""
    if (
        conn.pgconn.transaction_status != IDLE
        or conn.autocommit
        or statement.leads
        or statement.sql in _ENDS
        or statement.copy
        or not psycopg.Pipeline.is_supported()
        or (conn.isolation_level, conn.read_only, conn.deferrable) != (None, None, None)
    ):
        return ()
    return (_BEGIN,)


def _is_pipelined(conn: Any, statement: Statement, before: Sequence[Step]) -> bool:
    if conn.pgconn.pipeline_status:
        return True
    if statement.copy:  # which no pipeline takes
        return False
    return bool(before or statement.after) and psycopg.Pipeline.is_supported()


def _queue(conn: Any, pipeline: Any, statement: Statement, params: Any) -> bool:
    """Adds a control step to what will be sent, which a cursor would send at once; whether that
    was possible.

    The only place that touches what psycopg does not document: which results a pipeline awaits.
    """
    expected = getattr(pipeline, "result_queue", None)
    if expected is None or params:
        return False
    conn.pgconn.send_query_params(statement.sql.encode(), None)
    expected.append(None)
    return True


def settle(conn: psycopg.Connection[Any]) -> None:
    """Waits for what the user has put into a pipeline, so that the connection's state is known."""
    with conn.pipeline():
        pass


async def settle_async(conn: psycopg.AsyncConnection[Any]) -> None:
    async with conn.pipeline():
        pass


def stopper(conn: Any, statement: Statement) -> Callable[[], Awaitable[None]] | None:
    """What asks the server to give up a statement that may not be interrupted, since psycopg
    would leave a pipeline with results that nobody has collected."""
    before = (*_own_begin(conn, statement), *statement.before)
    is_pipelined = statement.fetch == "many" or _is_pipelined(conn, statement, before)
    return partial(_stop, conn) if is_pipelined else None


async def _stop(conn: psycopg.AsyncConnection[Any]) -> None:
    with suppress(psycopg.Error):
        await conn.cancel_safe()


def _fetched(cursor: psycopg.Cursor[Any], statement: Statement) -> Any:
    match statement.fetch:
        case "one":
            return cursor.fetchone()
        case "key":
            row = cursor.fetchone()
            return row[0] if row else None
        case "all":
            if statement.reader is None:
                return cursor.fetchall()
            found: list[Any] = []
            while rows := cursor.fetchmany(FETCH_CHUNK):
                found += statement.reader(rows)
            return found
        case "count" | "many":
            return max(cursor.rowcount, 0)
        case _:
            return None


async def _fetched_async(cursor: psycopg.AsyncCursor[Any], statement: Statement) -> Any:
    match statement.fetch:
        case "one":
            return await cursor.fetchone()
        case "key":
            row = await cursor.fetchone()
            return row[0] if row else None
        case "all":
            if statement.reader is None:
                return await cursor.fetchall()
            found: list[Any] = []
            while rows := await cursor.fetchmany(FETCH_CHUNK):
                found += statement.reader(rows)
            return found
        case "count" | "many":
            return max(cursor.rowcount, 0)
        case _:
            return None


def _failed(
    conn: Any, statement: Statement, params: Any, started: float, error: Exception
) -> Exception:
    mapped = map_error(error)
    if observe.observing():
        _tell_steps(conn, statement.before)
        observe.tell(conn, statement, params, perf_counter() - started, None, mapped)
    return mapped


def _done(conn: Any, statement: Statement, params: Any, started: float, result: Any) -> None:
    rows = observe.size_of(statement, result)
    _tell_steps(conn, statement.before)
    observe.tell(conn, statement, params, perf_counter() - started, rows, None)
    _tell_steps(conn, statement.after)


def _tell_steps(conn: Any, steps: Sequence[Step]) -> None:
    """Tells of what travelled with a statement, to which its time is counted."""
    for statement, params in steps:
        observe.tell(conn, statement, params, 0.0, None, None)


# --- streaming ------------------------------------------------------------------------------

_names = count(1)


def _cursor_options() -> dict[str, Any]:
    """A cursor on the server that lives on over commits."""
    return {
        "name": f"lythonic_stream_{next(_names)}",
        "withhold": True,
    }


def stream(
    conn: psycopg.Connection[Any],
    before: Sequence[Step],
    statement: Statement,
    params: Any,
    batch: int,
) -> Generator[list[Any], None, None]:
    """The results in chunks of at most `batch`, fetched when they are asked for.

    The steps `before` hold for the statement; where each statement is its own transaction, one
    is put around them, which the cursor outlives.
    """
    started = perf_counter()
    total = 0
    own = bool(before) and conn.autocommit and conn.info.transaction_status == IDLE
    _need_no_pipeline(conn)
    try:
        with _cursor(conn, **_cursor_options()) as cursor:
            if own:
                conn.execute("BEGIN")
            for step, values in before:
                execute(conn, step, values)
            cursor.execute(statement.sql, params)
            if own:
                conn.execute("COMMIT")
            while rows := cursor.fetchmany(batch):
                total += len(rows)
                yield statement.reader(rows) if statement.reader is not None else rows
    except psycopg.Error as error:
        raise _failed(conn, statement, params, started, error) from error
    if observe.observing():
        shell = Statement(statement.sql, "count")
        observe.tell(conn, shell, params, perf_counter() - started, total, None)


async def stream_async(
    conn: psycopg.AsyncConnection[Any],
    before: Sequence[Step],
    statement: Statement,
    params: Any,
    batch: int,
) -> AsyncGenerator[list[Any], None]:
    """`stream` for an async connection."""
    started = perf_counter()
    total = 0
    own = bool(before) and conn.autocommit and conn.info.transaction_status == IDLE
    _need_no_pipeline(conn)
    try:
        async with _cursor(conn, **_cursor_options()) as cursor:
            if own:
                await conn.execute("BEGIN")
            for step, values in before:
                await execute_async(conn, step, values)
            await cursor.execute(statement.sql, params)
            if own:
                await conn.execute("COMMIT")
            while rows := await cursor.fetchmany(batch):
                total += len(rows)
                yield statement.reader(rows) if statement.reader is not None else rows
    except psycopg.Error as error:
        raise _failed(conn, statement, params, started, error) from error
    if observe.observing():
        shell = Statement(statement.sql, "count")
        observe.tell(conn, shell, params, perf_counter() - started, total, None)


def _need_no_pipeline(conn: Any) -> None:
    if conn.pgconn.pipeline_status:
        raise TransactionError(
            "rows cannot be streamed inside of conn.pipeline(); iterate outside of it, or select()"
        )


# --- errors ---------------------------------------------------------------------------------

_KINDS: tuple[tuple[type[psycopg.Error], ConstraintKind], ...] = (
    (pg.UniqueViolation, "unique"),
    (pg.ExclusionViolation, "unique"),
    (pg.ForeignKeyViolation, "foreign key"),
    (pg.RestrictViolation, "foreign key"),
    (pg.CheckViolation, "check"),
    (pg.NotNullViolation, "not null"),
)
_BUSY = (pg.LockNotAvailable, pg.DeadlockDetected, pg.SerializationFailure, pg.QueryCanceled)


def map_error(error: Exception) -> Exception:
    """Our error for one of psycopg, which stays its instance; other errors as they are."""
    if isinstance(error, UnicodeEncodeError):
        return InvalidValue(f"text with a lone surrogate cannot be stored: {error}")
    if not isinstance(error, psycopg.Error) or isinstance(error, DatabaseError):
        return error
    text = str(error).strip()
    for driver_class, kind in _KINDS:
        if isinstance(error, driver_class):
            mapped = as_driver_error(ConstraintViolation, text, error)
            assert isinstance(mapped, ConstraintViolation)
            mapped.kind = kind
            mapped.table = error.diag.table_name
            mapped.columns = _columns(error)
            return mapped
    if isinstance(error, _BUSY):
        return as_driver_error(
            DatabaseBusy, f"another transaction is in the way: {text}; run it again", error
        )
    if isinstance(error, pg.NumericValueOutOfRange):
        return as_driver_error(InvalidValue, f"PostgreSQL: {text}; {TOO_LARGE}", error)
    mend = ""
    if isinstance(error, pg.InFailedSqlTransaction):
        mend = (
            "; an earlier statement failed or was cancelled outside of a savepoint: roll back, or "
            "put what may fail into a transaction() block of its own"
        )
    if isinstance(error, (pg.UndefinedTable, pg.UndefinedColumn)):
        mend = "; create the tables with Schema.create_tables(conn), or migrate them"
    return as_driver_error(DatabaseError, f"PostgreSQL: {text}{mend}", error)


def _columns(error: psycopg.Error) -> tuple[str, ...]:
    """The columns of a violated constraint, as far as the server names them."""
    diag = error.diag
    if diag.column_name:
        return (diag.column_name,)
    detail = diag.message_detail or ""
    if " is still referenced from table " in detail:
        return ()  # the key named there is that of the other table
    if detail.startswith("Key ("):
        names = detail[5:].partition(")=(")[0]
        if isinstance(error, pg.ForeignKeyViolation):  # the server does not quote these
            return tuple(names.split(", "))
        return tuple(_unquoted(name) for name in _NAMES.findall(names))
    name = diag.constraint_name or ""
    # our CHECK constraints are named ck_<digest>_<table>[.<column>]
    if name.startswith("ck_") and "." in name:
        return (name.partition(".")[2],)
    return ()


_NAMES = re.compile(r'"(?:[^"]|"")*"|[^", ][^",]*')


def _unquoted(name: str) -> str:
    if name.startswith('"') and name.endswith('"'):
        return name[1:-1].replace('""', '"')
    return name
