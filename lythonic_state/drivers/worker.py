"""aiosqlite: running a whole verb inside the thread that owns the connection.

aiosqlite offers one thread hop a statement; a verb needs one hop in all. `hook` is the only place
that touches what aiosqlite does not document. Where it is missing, `execute` and `stream` do the
same through the public interface, a hop a statement.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, closing
from time import perf_counter
from typing import TYPE_CHECKING, Any

from typing_extensions import TypeVar

from ..op import Statement
from . import observe
from .sqlite import FETCH_CHUNK, FUNCTIONS, lacks_functions, map_error
from .sqlite import stream as stream_sync

if TYPE_CHECKING:
    import aiosqlite

T = TypeVar("T")
CancelledError = asyncio.CancelledError

Run = Callable[[Callable[[], Any]], Awaitable[Any]]


def hook(conn: aiosqlite.Connection) -> tuple[sqlite3.Connection, Run] | None:
    """The sqlite3 connection below, and what runs a function in its thread; None if either
    cannot be had in this version of aiosqlite."""
    raw = getattr(conn, "_connection", None)
    run = getattr(conn, "_execute", None)
    if run is None or not isinstance(raw, sqlite3.Connection):
        return None
    return raw, run


def let_exit(conn: aiosqlite.Connection) -> None:
    """Lets the interpreter exit although the connection was left open."""
    thread: Any = getattr(conn, "_thread", conn)  # before aiosqlite 0.22, itself a thread
    if isinstance(thread, threading.Thread) and not thread.is_alive():
        thread.daemon = True


async def finish(awaitable: Awaitable[T]) -> T:
    """Awaits to the end, however often the task is cancelled meanwhile."""
    task = asyncio.ensure_future(awaitable)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
        except BaseException:  # noqa: BLE001  # told by task.result()
            break
    return task.result()


async def finish_first(
    awaitable: Awaitable[T], stop: Callable[[], Awaitable[None]] | None = None
) -> tuple[T, asyncio.CancelledError | None]:
    """Awaits to the end; what it gave, and the cancellation that came meanwhile.

    With `stop`, a cancellation asks for the end to come soon, again and again until it has come.

    Raises:
        CancelledError: it was cancelled, and what was awaited failed as well.
    """
    task = asyncio.ensure_future(awaitable)
    try:
        return await asyncio.shield(task), None
    except asyncio.CancelledError as came:
        if task.cancelled():
            raise
        await finish(_ended(task, stop))
        if not task.cancelled() and task.exception() is None:
            return task.result(), came
        raise came from None if task.cancelled() else task.exception()


async def _ended(task: asyncio.Future[Any], stop: Callable[[], Awaitable[None]] | None) -> None:
    while not task.done():
        if stop is not None:
            await stop()
        await asyncio.wait([task], timeout=None if stop is None else STOP_AGAIN)


STOP_AGAIN = 1.0
"""Seconds after which a server is asked again to stop a statement: it may not have begun yet."""


async def mapped(conn: aiosqlite.Connection, error: Exception, sql: str) -> Exception:
    """Our error for one that a statement met in the connection's thread."""
    hooked = hook(conn)
    if hooked is None:
        return _mapped(error, sql)
    raw, run = hooked
    found: Exception = await run(lambda: map_error(raw, error, sql))
    return found


# --- the public way -------------------------------------------------------------------------


async def execute(conn: aiosqlite.Connection, statement: Statement, params: Any) -> Any:
    """What the statement's `fetch` says, through aiosqlite's public interface."""
    started = perf_counter()
    try:
        result = await finish_or_cancel(_execute(conn, statement, params))
    except Exception as error:
        mapped = _mapped(error, statement.sql)
        if observe.observing():
            observe.tell(conn, statement, params, perf_counter() - started, None, mapped)
        if mapped is error:
            raise
        raise mapped from error
    if observe.observing():
        rows = observe.size_of(statement, result)
        observe.tell(conn, statement, params, perf_counter() - started, rows, None)
    return result


def _mapped(error: Exception, sql: str) -> Exception:
    """Our error, without what only the connection below could tell of it."""
    with closing(sqlite3.connect(":memory:")) as unknown:
        return map_error(unknown, error, sql)


async def _execute(conn: aiosqlite.Connection, statement: Statement, params: Any) -> Any:
    try:
        return await _execute_once(conn, statement, params)
    except sqlite3.OperationalError as error:
        if not lacks_functions(error):
            raise
    for name, function in FUNCTIONS.items():
        await conn.create_function(name, 1, function, deterministic=True)
    return await _execute_once(conn, statement, params)


async def _execute_once(conn: aiosqlite.Connection, statement: Statement, params: Any) -> Any:
    if statement.control and not conn.in_transaction and statement.sql.startswith("ROLLBACK"):
        return None
    if statement.fetch == "many":
        async with conn.executemany(statement.sql, params) as cursor:
            return cursor.rowcount
    async with conn.execute(statement.sql, params) as cursor:
        if statement.fetch == "one":
            row = await cursor.fetchone()
            return None if row is None else tuple(row)
        if statement.fetch == "all":
            found: list[Any] = []
            while rows := [tuple(row) for row in await cursor.fetchmany(FETCH_CHUNK)]:
                found += rows if statement.reader is None else statement.reader(rows)
            return found
        if statement.fetch == "count":
            return cursor.rowcount
        return cursor.lastrowid if statement.fetch == "key" and cursor.rowcount else None


# --- streaming ------------------------------------------------------------------------------


async def stream(
    conn: aiosqlite.Connection, statement: Statement, params: Any, batch: int
) -> AsyncGenerator[list[Any], None]:
    """The results in chunks of at most `batch`, a hop to the thread for each."""
    hooked = hook(conn)
    if hooked is None:
        async with aclosing(_stream_public(conn, statement, params, batch)) as rows:
            async for chunk in rows:
                yield chunk
        return
    raw, run = hooked
    chunks = stream_sync(raw, statement, params, batch, conn, at_once=batch)
    try:
        while (chunk := await finish_or_cancel(run(lambda: next(chunks, None)))) is not None:
            yield chunk
    finally:
        await finish(run(chunks.close))


async def _stream_public(
    conn: aiosqlite.Connection, statement: Statement, params: Any, batch: int
) -> AsyncGenerator[list[Any]]:
    started, count, failure = perf_counter(), 0, None
    try:
        # a statement that lacks our functions gets them there
        await execute(conn, Statement(f"EXPLAIN {statement.sql}", "none", control=True), params)
        async with conn.execute(statement.sql, params) as cursor:
            while rows := [tuple(row) for row in await cursor.fetchmany(batch)]:
                count += len(rows)
                yield rows if statement.reader is None else statement.reader(rows)
    except sqlite3.Error as error:
        failure = _mapped(error, statement.sql)
        raise failure from error
    finally:
        if observe.observing():
            shell = Statement(statement.sql, "none")
            observe.tell(conn, shell, params, perf_counter() - started, count, failure)


async def finish_or_cancel(awaitable: Awaitable[T]) -> T:
    """Awaits a hop to its end, and only then lets a cancellation through."""
    task = asyncio.ensure_future(awaitable)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await finish(task)
        raise
