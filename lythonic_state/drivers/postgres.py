"""psycopg 3: executing a statement in both colours, and what its errors mean.

The only module that imports psycopg, and only once a connection of it is used.
"""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Generator, Sequence
from itertools import count
from operator import methodcaller
from time import perf_counter
from typing import Any

import psycopg
from psycopg import errors as pg
from psycopg.rows import tuple_row

from ..errors import (
    ConstraintKind,
    ConstraintViolation,
    DatabaseBusy,
    DatabaseError,
    InvalidValue,
    as_driver_error,
)
from ..op import Statement, Step
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
    """What the statement's `fetch` says, raising our errors."""
    started = perf_counter()
    try:
        with _cursor(conn) as cursor:
            result: Any = None
            if statement.sql in _ENDS:
                _ENDS[statement.sql](conn)
            elif statement.fetch == "many":
                cursor.executemany(statement.sql, params)
                result = max(cursor.rowcount, 0)
            else:
                cursor.execute(statement.sql, None if statement.control and not params else params)
                result = _fetched(cursor, statement)
    except Exception as error:
        failure = _failed(conn, statement, params, started, error)
        if failure is error:
            raise
        raise failure from error
    _done(conn, statement, params, started, result)
    return result


async def execute_async(
    conn: psycopg.AsyncConnection[Any], statement: Statement, params: Any
) -> Any:
    """`execute` for an async connection; rows are fetched with the statement, so only it waits."""
    started = perf_counter()
    try:
        async with _cursor(conn) as cursor:
            result: Any = None
            if statement.sql in _ENDS:
                await _ENDS[statement.sql](conn)
            elif statement.fetch == "many":
                await cursor.executemany(statement.sql, params)
                result = max(cursor.rowcount, 0)
            else:
                await cursor.execute(
                    statement.sql, None if statement.control and not params else params
                )
                result = await _fetched_async(cursor, statement)
    except Exception as error:
        failure = _failed(conn, statement, params, started, error)
        if failure is error:
            raise
        raise failure from error
    _done(conn, statement, params, started, result)
    return result


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
        case "count":
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
        case "count":
            return max(cursor.rowcount, 0)
        case _:
            return None


def _failed(
    conn: Any, statement: Statement, params: Any, started: float, error: Exception
) -> Exception:
    mapped = map_error(error)
    if observe.observing():
        observe.tell(conn, statement, params, perf_counter() - started, None, mapped)
    return mapped


def _done(conn: Any, statement: Statement, params: Any, started: float, result: Any) -> None:
    if observe.observing():
        rows = observe.size_of(statement, result)
        observe.tell(conn, statement, params, perf_counter() - started, rows, None)


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
    mend = ""
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
