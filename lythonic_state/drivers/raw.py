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
    conn = getattr(cursor, "connection", None) or getattr(cursor, "_conn", None)
    statement = Statement(sql, "none")
    started = perf_counter()
    try:
        running = cursor.execute(sql, args)
    except Exception as error:
        raise _failed(conn, statement, args, started, error) from error
    if inspect.isawaitable(running):
        return _awaited(cursor, conn, statement, args, started, running)
    _tell(conn, statement, args, started, None)
    return cursor


async def _awaited(
    cursor: Any, conn: Any, statement: Statement, args: Any, started: float, running: Any
) -> Any:
    try:
        await running
    except Exception as error:
        raise _failed(conn, statement, args, started, error) from error
    _tell(conn, statement, args, started, None)
    return cursor


def _failed(
    conn: Any, statement: Statement, args: Any, started: float, error: Exception
) -> Exception:
    if isinstance(error, sqlite3.Error) and isinstance(conn, sqlite3.Connection):
        mapped = map_error(conn, error)
    elif type(error).__module__.startswith("psycopg"):
        from . import postgres

        mapped = postgres.map_error(error)
    else:
        mapped = error
    _tell(conn, statement, args, started, mapped)
    return mapped


def _tell(
    conn: Any, statement: Statement, args: Any, started: float, error: Exception | None
) -> None:
    if observe.observing():
        observe.tell(conn, statement, args, perf_counter() - started, None, error)
