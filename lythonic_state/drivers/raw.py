"""Hand-written SQL on a cursor that the user made, with our errors and our observers."""

from __future__ import annotations

import inspect
import sqlite3
from time import perf_counter
from typing import Any

from ..op import Statement
from . import observe
from .sqlite import map_error


def execute(cursor: Any, sql: str, args: Any) -> Any:
    """The cursor after the statement, or an awaitable of it."""
    # the `connection` of aiosqlite's cursor is sqlite3's, and users know the one around it
    conn = getattr(cursor, "_conn", None) or cursor.connection
    statement = Statement(sql, "none")
    started = perf_counter()
    try:
        # without values psycopg takes `%` for itself, and with an empty list of them it does not
        running = cursor.execute(sql, args) if args else cursor.execute(sql)
    except Exception as error:
        raise _failed(conn, statement, args, started, _mapped(conn, error, sql)) from error
    if inspect.isawaitable(running):
        return _awaited(cursor, conn, statement, args, started, running)
    _tell(conn, statement, args, started, None)
    return cursor


async def _awaited(
    cursor: Any, conn: Any, statement: Statement, args: Any, started: float, running: Any
) -> Any:
    try:
        await running
    except sqlite3.Error as error:
        from .worker import mapped

        known = await mapped(conn, error, statement.sql)
        raise _failed(conn, statement, args, started, known) from error
    except Exception as error:
        known = _mapped(conn, error, statement.sql)
        raise _failed(conn, statement, args, started, known) from error
    _tell(conn, statement, args, started, None)
    return cursor


def _mapped(conn: Any, error: Exception, sql: str) -> Exception:
    if isinstance(error, sqlite3.Error):
        return map_error(conn, error, sql)
    if type(error).__module__.startswith("psycopg"):
        from . import postgres

        return postgres.map_error(error)
    return error


def _failed(conn: Any, statement: Statement, args: Any, started: float, error: Any) -> Exception:
    _tell(conn, statement, args, started, error)
    found: Exception = error
    return found


def _tell(
    conn: Any, statement: Statement, args: Any, started: float, error: Exception | None
) -> None:
    if observe.observing():
        observe.tell(conn, statement, args, perf_counter() - started, None, error)
