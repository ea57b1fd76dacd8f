"""sqlite3: executing a statement, and what its errors mean. aiosqlite runs this in its thread."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Iterator
from time import perf_counter
from typing import Any

from ..codecs import canonical_json
from ..errors import (
    ConstraintKind,
    ConstraintViolation,
    DatabaseBusy,
    DatabaseError,
    InvalidValue,
    as_driver_error,
)
from ..filters import fold
from ..op import Statement
from . import observe

FETCH_CHUNK = 100
"""Rows are read and turned into models in chunks of so many, which keeps the collector young."""

# --- executing ------------------------------------------------------------------------------


def execute(conn: sqlite3.Connection, statement: Statement, params: Any, watch: Any = None) -> Any:
    """What the statement's `fetch` says, raising our errors.

    `watch` is the connection that users know, where it is not `conn` itself.
    """
    if observe.watched or observe.observing():
        return _observed(conn, statement, params, conn if watch is None else watch)
    try:
        return _execute(conn, statement, params)
    except Exception as error:
        mapped = map_error(conn, error)
        if mapped is error:
            raise
        raise mapped from error


def _observed(conn: sqlite3.Connection, statement: Statement, params: Any, watch: Any) -> Any:
    started = perf_counter()
    try:
        result = _execute(conn, statement, params)
    except Exception as error:
        mapped = map_error(conn, error)
        observe.tell(watch, statement, params, perf_counter() - started, None, mapped)
        if mapped is error:
            raise
        raise mapped from error
    seconds = perf_counter() - started
    observe.tell(watch, statement, params, seconds, observe.size_of(statement, result), None)
    return result


def _execute(conn: sqlite3.Connection, statement: Statement, params: Any) -> Any:
    fetch = statement.fetch
    if statement.control and not conn.in_transaction and statement.sql.startswith("ROLLBACK"):
        return None
    if fetch == "many":
        return _run(conn, statement.sql, params, many=True).rowcount
    cursor = _run(conn, statement.sql, params)
    if fetch == "one":
        row = cursor.fetchone()
        if row is not None:
            cursor.close()
        return row
    if fetch == "all":
        return _fetch_all(cursor, statement.reader)
    if fetch == "count":
        return cursor.rowcount
    return cursor.lastrowid if fetch == "key" else None


def _fetch_all(cursor: sqlite3.Cursor, reader: Callable[[list[Any]], list[Any]] | None) -> Any:
    if reader is None:
        return cursor.fetchall()
    found: list[Any] = []
    while rows := cursor.fetchmany(FETCH_CHUNK):
        found += reader(rows)
    return found


def _run(conn: sqlite3.Connection, sql: str, params: Any, many: bool = False) -> sqlite3.Cursor:
    try:
        return _start(conn, sql, params, many)
    except sqlite3.OperationalError as error:
        if not _add_functions(conn, error):
            raise
    return _start(conn, sql, params, many)


def _start(conn: sqlite3.Connection, sql: str, params: Any, many: bool) -> sqlite3.Cursor:
    if conn.row_factory is None:
        return conn.executemany(sql, params) if many else conn.execute(sql, params)
    cursor = conn.cursor()
    cursor.row_factory = None
    return cursor.executemany(sql, params) if many else cursor.execute(sql, params)


def stream(
    conn: sqlite3.Connection,
    statement: Statement,
    params: Any,
    batch: int,
    watch: Any = None,
) -> Iterator[list[Any]]:
    """The results in chunks of at most `batch`, fetched when they are asked for."""
    shell = Statement(statement.sql, "none")
    started = perf_counter()
    cursor: sqlite3.Cursor | None = None
    count = 0
    failure: BaseException | None = None
    try:
        cursor = _run(conn, statement.sql, params)
        while rows := cursor.fetchmany(batch):
            count += len(rows)
            yield statement.reader(rows) if statement.reader is not None else rows
    except sqlite3.Error as error:
        failure = map_error(conn, error)
        raise failure from error
    finally:
        if cursor is not None:
            cursor.close()
        if observe.observing():
            watched = conn if watch is None else watch
            observe.tell(watched, shell, params, perf_counter() - started, count, failure)


# --- functions that our SQL calls -----------------------------------------------------------


def _fold(value: Any) -> Any:
    return fold(value) if isinstance(value, str) else value


def _json(value: Any) -> Any:
    return canonical_json(value) if isinstance(value, str) else value


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "lythonic_fold": _fold,
    "lythonic_json": _json,
    "lythonic_float": float.fromhex,
    "lythonic_bytes": bytes.fromhex,
}


def _add_functions(conn: sqlite3.Connection, error: sqlite3.OperationalError) -> bool:
    """Registers our functions on a connection that lacks them; False if that was not the error."""
    if "no such function: lythonic_" not in str(error):
        return False
    for name, function in _FUNCTIONS.items():
        conn.create_function(name, 1, function, deterministic=True)
    return True


# --- errors ---------------------------------------------------------------------------------


def map_error(conn: sqlite3.Connection, error: Exception) -> Exception:
    """Our error for one of sqlite3, which stays its instance; other errors as they are."""
    if isinstance(error, OverflowError):
        return InvalidValue(f"a number does not fit a 64-bit integer column: {error}")
    if isinstance(error, UnicodeEncodeError):
        return InvalidValue(f"text with a lone surrogate cannot be stored: {error}")
    if not isinstance(error, sqlite3.Error) or isinstance(error, DatabaseError):
        return error
    if isinstance(error, sqlite3.IntegrityError):
        return _constraint(conn, error)
    name = getattr(error, "sqlite_errorname", "") or ""
    text = str(error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "is locked" in text:
        return as_driver_error(
            DatabaseBusy,
            f"{_where(conn)} is locked by another connection ({text}); finish the transaction "
            "there, or give this one a longer busy timeout",
            error,
        )
    return as_driver_error(DatabaseError, f"{_where(conn)}: {text}{_mend(name, text)}", error)


def _mend(name: str, text: str) -> str:
    if name.startswith("SQLITE_NOTADB") or "not a database" in text:
        return "; the file was written by something else, so give another path"
    if name.startswith("SQLITE_READONLY"):
        return "; open it without readonly=True, or check the permissions of the file and folder"
    if name.startswith("SQLITE_FULL"):
        return "; make room on the disk, nothing of the statement was kept"
    if "no such table" in text or "no such column" in text or "has no column" in text:
        return "; create the tables with Schema.create_tables(conn), or migrate them"
    return ""


def _where(conn: sqlite3.Connection) -> str:
    try:
        for _, name, path in conn.execute("PRAGMA database_list"):
            if name == "main":
                return f"the SQLite file {path}" if path else "the SQLite database in memory"
    except sqlite3.Error:
        pass
    return "the SQLite database"


_KINDS: dict[str, ConstraintKind] = {
    "SQLITE_CONSTRAINT_UNIQUE": "unique",
    "SQLITE_CONSTRAINT_PRIMARYKEY": "unique",
    "SQLITE_CONSTRAINT_ROWID": "unique",
    "SQLITE_CONSTRAINT_FOREIGNKEY": "foreign key",
    "SQLITE_CONSTRAINT_CHECK": "check",
    "SQLITE_CONSTRAINT_NOTNULL": "not null",
    "SQLITE_CONSTRAINT_DATATYPE": "check",
    "SQLITE_CONSTRAINT_TRIGGER": "foreign key",
}
_COLUMNS = re.compile(r"(?:UNIQUE|NOT NULL) constraint failed: (.+)", re.DOTALL)


def _constraint(conn: sqlite3.Connection, error: sqlite3.IntegrityError) -> Exception:
    text = str(error)
    mapped = as_driver_error(ConstraintViolation, text, error)
    assert isinstance(mapped, ConstraintViolation)
    mapped.kind = _KINDS.get(getattr(error, "sqlite_errorname", ""), "check")
    if "FOREIGN KEY" in text:
        mapped.kind = "foreign key"
    found = _COLUMNS.search(text)
    if found and not found[1].startswith("index "):
        table, columns = _split_columns(conn, found[1])
        mapped.table, mapped.columns = table, columns
    elif mapped.kind == "check":
        # our CHECK constraints are named ck_<digest>_<table>[.<column>]
        name = text.partition("failed: ")[2]
        if name.startswith("ck_"):
            table_name, _, column = name.split("_", 2)[2].partition(".")
            mapped.table, mapped.columns = table_name, (column,) if column else ()
    return mapped


def _split_columns(conn: sqlite3.Connection, text: str) -> tuple[str | None, tuple[str, ...]]:
    """`"A.x, A.y"` as table and columns, whatever dots the names hold."""
    try:
        names = [
            row[0] for row in conn.execute("SELECT name FROM sqlite_schema WHERE type='table'")
        ]
    except sqlite3.Error:
        names = []
    for name in sorted(names, key=len, reverse=True):
        if text.startswith(name + "."):
            parts = text.split(", " + name + ".")
            return name, (parts[0].removeprefix(name + "."), *parts[1:])
    return None, ()
