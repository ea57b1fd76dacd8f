"""sqlite3: executing a statement, and what its errors mean. aiosqlite runs this in its thread."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Callable, Generator
from logging import DEBUG, getLogger
from time import perf_counter
from typing import Any, TypeAlias, cast

from ..codecs import canonical_json
from ..errors import (
    TOO_LARGE,
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

_log = observe.logger
_root = getLogger()
"""The levels of both say that nothing is logged, which is asked for each statement: `isEnabledFor`
costs as much as a tenth of one."""

READ_AT_ONCE = 16
FETCH_CHUNK = 100
"""Rows are read and turned into models in chunks of so many, which keeps the collector young."""

# --- executing ------------------------------------------------------------------------------


def execute(conn: sqlite3.Connection, statement: Statement, params: Any, watch: Any = None) -> Any:
    """What the statement's `fetch` says, raising our errors.

    `watch` is the connection that users know, where it is not `conn` itself.
    """
    if (observe.watched or (_log.level or _root.level) <= DEBUG) and watch is not _TOLD:
        return _observed(conn, statement, params, conn if watch is None else watch)
    fetch = statement.fetch
    try:
        if fetch == "many":
            return _plain_cursor(conn).executemany(statement.sql, params).rowcount
        if fetch == "none" and statement.sql.startswith(("COMMIT", "ROLLBACK")):
            return _end(conn, statement.sql)
        plain = conn if conn.row_factory is None else _plain_cursor(conn)
        cursor = plain.execute(statement.sql, params)
        if fetch == "one":
            return cursor.fetchone()
        if fetch == "count":
            return cursor.rowcount
        if fetch == "key":
            return cursor.lastrowid if cursor.rowcount else None
        return None if fetch == "none" else _fetch_all(cursor, statement.reader)
    except Exception as error:  # noqa: BLE001  # `again` raises it
        return again(conn, error, statement, params, watch)


_TOLD: Any = object()
"""Stands for the connection where somebody is told of the statement already."""


def is_watched() -> bool:
    """Whether somebody is told of each statement, by a hook or by the log."""
    return bool(observe.watched) or (_log.level or _root.level) <= DEBUG


Direct: TypeAlias = Callable[[sqlite3.Connection, Any], Any]
"""A statement that writes, with what binds values to it, in one call: `execute` without watching.

Who carries out many, and asks first whether somebody watches, saves three calls for each.
"""


def direct(statement: Statement, bind: Callable[[Any], tuple[Any, ...]]) -> Direct:
    """For values in one piece; the statement gives a key or a count."""
    sql = statement.sql

    def run_for_key(conn: sqlite3.Connection, values: Any) -> int | None:
        bound = bind(values)
        try:
            cursor = conn.execute(sql, bound)
        except Exception as error:  # noqa: BLE001  # `again` raises it
            return cast("int | None", again(conn, error, statement, bound))
        return cursor.lastrowid if cursor.rowcount else None

    def run_for_count(conn: sqlite3.Connection, values: Any) -> int:
        bound = bind(values)
        try:
            return conn.execute(sql, bound).rowcount
        except Exception as error:  # noqa: BLE001  # `again` raises it
            return cast(int, again(conn, error, statement, bound))

    return run_for_key if statement.fetch == "key" else run_for_count


def direct_of_two(statement: Statement, bind: Callable[[Any, Any], tuple[Any, ...]]) -> Direct:
    """For what is set and what it is told by; the statement gives a count."""
    sql = statement.sql

    def run(conn: sqlite3.Connection, values: Any) -> int:
        new, where = values
        bound = bind(new, where)
        try:
            return conn.execute(sql, bound).rowcount
        except Exception as error:  # noqa: BLE001  # `again` raises it
            return cast(int, again(conn, error, statement, bound))

    return run


def again(
    conn: sqlite3.Connection, error: Exception, statement: Statement, bound: Any, watch: Any = None
) -> Any:
    """What a statement gives that failed for want of our functions; else its error, as ours."""
    if isinstance(error, sqlite3.OperationalError) and _add_functions(conn, error):
        return execute(conn, statement, bound, watch)
    mapped = map_error(conn, error, statement.sql)
    if mapped is error:
        raise error
    raise mapped from error


def _observed(conn: sqlite3.Connection, statement: Statement, params: Any, watch: Any) -> Any:
    started = perf_counter()
    try:
        result = execute(conn, statement, params, _TOLD)
    except Exception as error:
        observe.tell(watch, statement, params, perf_counter() - started, None, error)
        raise
    seconds = perf_counter() - started
    observe.tell(watch, statement, params, seconds, observe.size_of(statement, result), None)
    return result


_BEGUN_FOR = frozenset(("INSERT", "UPDATE", "DELETE"))


def begins_with(conn: sqlite3.Connection, statement: Statement) -> bool:
    """Whether sqlite3 itself begins a transaction with this statement as we would, and nobody is
    told of that, where none is open and not every statement is one."""
    return (
        conn.isolation_level == "IMMEDIATE"
        and statement.sql[:6] in _BEGUN_FOR
        and not (observe.watched or (_log.level or _root.level) <= DEBUG)
    )


def _fetch_all(cursor: sqlite3.Cursor, reader: Callable[[list[Any]], list[Any]] | None) -> Any:
    if reader is None:
        return cursor.fetchall()
    found: list[Any] = []
    while rows := cursor.fetchmany(FETCH_CHUNK):
        found += reader(rows)
    return found


def _run(conn: sqlite3.Connection, sql: str, params: Any) -> sqlite3.Cursor:
    """A cursor whose rows are tuples, after a statement that may need our functions."""
    try:
        return _plain_cursor(conn).execute(sql, params)
    except sqlite3.OperationalError as error:
        if not _add_functions(conn, error):
            raise
    return _plain_cursor(conn).execute(sql, params)


def _end(conn: sqlite3.Connection, sql: str) -> None:
    """Ends a transaction or a savepoint. With `autocommit=False` (Python 3.12) sqlite3 itself must
    end a transaction, since it begins the next one then."""
    if sql.startswith("ROLLBACK") and not conn.in_transaction:
        return
    if sql == "COMMIT" and getattr(conn, "autocommit", None) is False:
        conn.commit()
    elif sql == "ROLLBACK" and getattr(conn, "autocommit", None) is False:
        conn.rollback()
    else:
        conn.execute(sql)


def _plain_cursor(conn: sqlite3.Connection) -> sqlite3.Cursor:
    """A cursor whose rows are tuples, whatever the connection makes of its own."""
    cursor = conn.cursor()
    cursor.row_factory = None
    return cursor


def stream(
    conn: sqlite3.Connection,
    statement: Statement,
    params: Any,
    batch: int,
    watch: Any = None,
    at_once: int = READ_AT_ONCE,
) -> Generator[list[Any], None, None]:
    """The results in chunks, fetched `batch` rows at a time when they are asked for.

    Models are made of `at_once` rows at a time, so that few are alive at once.
    """
    shell = Statement(statement.sql, "none")
    started = perf_counter()
    cursor: sqlite3.Cursor | None = None
    count = 0
    failure: BaseException | None = None
    try:
        cursor = _run(conn, statement.sql, params)
        while rows := cursor.fetchmany(batch):
            count += len(rows)
            if statement.reader is None:
                yield rows
                continue
            for start in range(0, len(rows), at_once):
                yield statement.reader(rows[start : start + at_once])
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


def _inside(text: Any, path: str) -> Any:
    """The JSON text at a path of keys, for keys that SQLite's own paths cannot spell."""
    if not isinstance(text, str):
        return None
    value = json.loads(text)
    for key in json.loads(path):
        if not isinstance(value, list if isinstance(key, int) else dict):
            return None
        try:
            value = value[key]
        except LookupError:
            return None
    return json.dumps(value, ensure_ascii=False)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "lythonic_inside": _inside,
    "lythonic_fold": _fold,
    "lythonic_json": _json,
    "lythonic_float": float.fromhex,
    "lythonic_bytes": bytes.fromhex,
}


def lacks_functions(error: sqlite3.OperationalError) -> bool:
    return "no such function: lythonic_" in str(error)


def _add_functions(conn: sqlite3.Connection, error: sqlite3.OperationalError) -> bool:
    """Registers our functions on a connection that lacks them; False if that was not the error."""
    if not lacks_functions(error):
        return False
    for name, function in FUNCTIONS.items():
        conn.create_function(name, -1, function, deterministic=True)
    return True


# --- errors ---------------------------------------------------------------------------------


def map_error(conn: sqlite3.Connection, error: Exception, sql: str = "") -> Exception:
    """Our error for one of sqlite3, which stays its instance; other errors as they are.

    The statement helps where SQLite does not say which foreign key was violated.
    """
    if isinstance(error, OverflowError):
        return InvalidValue(f"a number does not fit a 64-bit integer column: {error}")
    if isinstance(error, UnicodeEncodeError):
        return InvalidValue(f"text with a lone surrogate cannot be stored: {error}")
    if not isinstance(error, sqlite3.Error) or isinstance(error, DatabaseError):
        return error
    text = str(error)
    if isinstance(error, sqlite3.IntegrityError):
        beyond = re.match(_BEYOND, text)
        if beyond:
            return as_driver_error(InvalidValue, f"{beyond[1]}: {TOO_LARGE}", error)
        return _constraint(conn, error, sql)
    name = getattr(error, "sqlite_errorname", "") or ""
    if text == "integer overflow":
        return as_driver_error(InvalidValue, f"a sum: {TOO_LARGE}", error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or "is locked" in text:
        return as_driver_error(
            DatabaseBusy,
            f"{_where(conn)} is locked by another connection ({text}); finish the transaction "
            "there, or give this one a longer busy timeout",
            error,
        )
    return as_driver_error(DatabaseError, f"{_where(conn)}: {text}{_mend(name, text)}", error)


_BEYOND = r"(?s)cannot store REAL value in INTEGER column (.+)"


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
        for _, name, path in _plain_cursor(conn).execute("PRAGMA database_list"):
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
_COLUMNS = r"(?s)(?:UNIQUE|NOT NULL) constraint failed: (.+)"


def _constraint(conn: sqlite3.Connection, error: sqlite3.IntegrityError, sql: str) -> Exception:
    text = str(error)
    mapped = as_driver_error(ConstraintViolation, text, error)
    assert isinstance(mapped, ConstraintViolation)
    mapped.kind = _KINDS.get(getattr(error, "sqlite_errorname", ""), "check")
    if "FOREIGN KEY" in text:
        mapped.kind = "foreign key"
    found = re.search(_COLUMNS, text)
    if found and not found[1].startswith("index "):
        table, columns = _split_columns(conn, found[1])
        mapped.table, mapped.columns = table, columns
    elif mapped.kind == "foreign key":
        mapped.table, mapped.columns = _foreign_key(conn, sql)
    elif mapped.kind == "check":
        # our CHECK constraints are named ck_<digest>_<table>[.<column>]
        name = text.partition("failed: ")[2]
        if name.startswith("ck_"):
            mapped.table, mapped.columns = _split_columns(conn, name.split("_", 2)[2])
    return mapped


_WRITES = r'(INSERT INTO|UPDATE|DELETE FROM) "((?:[^"]|"")+)"'
_FOREIGN_KEYS = """
    SELECT child.name, fk.id, fk."from", fk."table"
    FROM sqlite_schema AS child, pragma_foreign_key_list(child.name) AS fk
    WHERE child.type = 'table' ORDER BY child.name, fk.id, fk.seq
"""


def _foreign_key(conn: sqlite3.Connection, sql: str) -> tuple[str | None, tuple[str, ...]]:
    """The referring table and columns, as far as the statement leaves only one possibility."""
    found = re.match(_WRITES, sql)
    if found is None:
        return None, ()
    written = found[2].replace('""', '"')
    removes = found[1] == "DELETE FROM"
    keys: dict[tuple[str, int], tuple[str, ...]] = {}
    for child, number, column, parent in _plain_cursor(conn).execute(_FOREIGN_KEYS):
        if (parent if removes else child).lower() == written.lower():
            keys[child, number] = (*keys.get((child, number), ()), column)
    tables = {child for child, _ in keys}
    return (
        tables.pop() if len(tables) == 1 else None,
        next(iter(keys.values())) if len(keys) == 1 else (),
    )


def _split_columns(conn: sqlite3.Connection, text: str) -> tuple[str | None, tuple[str, ...]]:
    """`"A.x, A.y"` as table and columns, whatever dots the names hold."""
    tables = _plain_cursor(conn).execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
    for name in sorted((row[0] for row in tables), key=len, reverse=True):
        if text == name:
            return name, ()
        if text.startswith(name + "."):
            parts = text.split(", " + name + ".")
            return name, (parts[0].removeprefix(name + "."), *parts[1:])
    return None, ()
