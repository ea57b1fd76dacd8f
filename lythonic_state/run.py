"""The two loops that drive every Op, and which of them a connection gets.

A verb hands its Op here with the connection. With a sync connection the value comes back, with an
async one an awaitable of it. Here is decided, from the state that the driver reports, what begins
and ends a transaction around a writing verb; nothing about a connection is remembered beside it.
"""

from __future__ import annotations

import sqlite3
import sys
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from typing_extensions import TypeVar

from .dialects import POSTGRES, POSTGRES_BEFORE_17, SQLITE, Dialect
from .drivers import sqlite as sqlite_driver
from .errors import DatabaseError, TransactionError, as_driver_error
from .op import Access, Op, Statement, Step, control, guarded, guarded_late

if TYPE_CHECKING:
    import aiosqlite

T = TypeVar("T")

# --- what counts as a connection ------------------------------------------------------------


class SyncPostgres(Protocol):
    """What tells a `psycopg.Connection` for type checkers, with or without psycopg installed."""

    autocommit: Any

    def execute(self, query: Any, params: Any = ..., /) -> Any: ...
    def cursor(self) -> Any: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...
    def close(self) -> None: ...
    def pipeline(self) -> AbstractContextManager[Any]: ...


class AsyncPostgres(Protocol):
    """What tells a `psycopg.AsyncConnection` for type checkers."""

    autocommit: Any

    async def execute(self, query: Any, params: Any = ..., /) -> Any: ...
    def cursor(self) -> Any: ...
    async def commit(self) -> None: ...
    async def rollback(self) -> None: ...
    async def close(self) -> None: ...
    def pipeline(self) -> AbstractAsyncContextManager[Any]: ...


class AsyncSqlite(Protocol):
    """Stands for `aiosqlite.Connection` while running, as that is imported when first needed."""

    @property
    def in_transaction(self) -> bool: ...


SyncConnection: TypeAlias = sqlite3.Connection | SyncPostgres
if TYPE_CHECKING:
    AsyncConnection: TypeAlias = aiosqlite.Connection | AsyncPostgres
else:
    # a real type, so that signatures with it can be inspected (FastAPI does, and so do nodes)
    AsyncConnection = AsyncSqlite | AsyncPostgres
AnyConnection: TypeAlias = SyncConnection | AsyncConnection
Verb: TypeAlias = Callable[..., Op[Any]]

# --- the loops ------------------------------------------------------------------------------


def drive(execute: Callable[[Any, Statement, Any], Any], conn: Any, op: Op[T]) -> T:
    """Runs an Op on a sync connection; errors of the database are thrown into it."""
    try:
        statement, params = op.send(None)
        while True:
            try:
                result = execute(conn, statement, params)
            except BaseException as error:  # noqa: BLE001  # thrown into the verb
                statement, params = op.throw(error)
            else:
                statement, params = op.send(result)
    except StopIteration as done:
        value: T = done.value
        return value


async def drive_async(execute: Callable[[Any, Statement, Any], Any], conn: Any, op: Op[T]) -> T:
    """Runs an Op on an async connection; once cancelled, it is not interrupted again.

    What steers a transaction is never interrupted: a cancellation waits for the next statement,
    or for the end.
    """
    from asyncio import CancelledError

    from .drivers.worker import finish, finish_first

    cancelled = False
    waiting: CancelledError | None = None
    try:
        statement, params = op.send(None)
        while True:
            try:
                if waiting is not None and not _steers(statement):
                    came, waiting = waiting, None
                    raise came
                executing = execute(conn, statement, params)
                if cancelled:
                    result = await finish(executing)
                elif _steers(statement):
                    result, came_now = await finish_first(executing)
                    waiting = waiting or came_now
                else:
                    result = await executing
            except BaseException as error:  # noqa: BLE001  # thrown into the verb
                cancelled = cancelled or isinstance(error, CancelledError)
                statement, params = op.throw(error)
            else:
                statement, params = op.send(result)
    except StopIteration as done:
        if waiting is not None:
            raise waiting from None
        value: T = done.value
        return value


def _steers(statement: Statement) -> bool:
    """Whether it begins or ends a transaction or a savepoint."""
    return statement.control and statement.sql.startswith(
        ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
    )


# --- transactions around verbs --------------------------------------------------------------

BEGIN_SQLITE = control(SQLITE.begin)
BEGIN_POSTGRES = control(POSTGRES.begin)
COMMIT = control("COMMIT")
ROLLBACK = control("ROLLBACK")
SAVE = control("SAVEPOINT lythonic_verb")
RELEASE = control("RELEASE SAVEPOINT lythonic_verb")
ROLLBACK_TO = control("ROLLBACK TO SAVEPOINT lythonic_verb")

Guard: TypeAlias = "tuple[Sequence[Step], Sequence[Step], Sequence[Step]]"
"""The steps before a verb, after it, and instead of the latter when it fails."""

_IN_SAVEPOINT: Guard = ((SAVE,), (RELEASE,), (ROLLBACK_TO, RELEASE))
_OWN_SQLITE: Guard = ((BEGIN_SQLITE,), (), (ROLLBACK,))
_OWN_ROWS_SQLITE: Guard = ((BEGIN_SQLITE,), (), (ROLLBACK,))
"""As above; when no row was changed, the transaction ends with the verb, and its lock with it."""
_WHOLE_SQLITE: Guard = ((BEGIN_SQLITE,), (COMMIT,), (ROLLBACK,))
_OWN_POSTGRES: Guard = ((), (), (ROLLBACK,))
_WHOLE_POSTGRES: Guard = ((BEGIN_POSTGRES,), (COMMIT,), (ROLLBACK,))


def sqlite_guard(conn: Any, access: Access) -> Guard | None:
    """What a verb needs around it on SQLite, in the mode that the connection is in."""
    if access in ("read", "scoped"):
        return None
    if _is_open(conn):
        return None if access == "write" else _IN_SAVEPOINT
    if is_autocommit(conn):
        return None if access == "write" else _WHOLE_SQLITE
    return _OWN_SQLITE if access == "sequence" else _OWN_ROWS_SQLITE


def _is_open(conn: Any) -> bool:
    """Whether a SQLite connection has a transaction open."""
    try:
        return bool(conn.in_transaction)
    except (sqlite3.ProgrammingError, ValueError) as error:
        raise as_driver_error(
            DatabaseError, f"this connection is closed ({error}); open another one", error
        ) from error


def is_autocommit(conn: Any) -> bool:
    """Whether a SQLite connection commits each statement by itself."""
    mode = getattr(conn, "autocommit", -1)
    if mode == -1:  # LEGACY_TRANSACTION_CONTROL, and all there was before Python 3.12
        return conn.isolation_level is None
    return bool(mode)


def postgres_guard(conn: Any, access: Access) -> Guard | None:
    """What a verb needs around it on PostgreSQL, in the mode that the connection is in."""
    idle = conn.info.transaction_status == 0
    if not idle:
        return None if access in ("read", "scoped") else _IN_SAVEPOINT
    if not conn.autocommit:
        return _OWN_POSTGRES
    return None if access in ("read", "write") else _WHOLE_POSTGRES


def postgres_dialect(conn: Any) -> Dialect:
    if conn.closed:
        from psycopg import OperationalError

        raise as_driver_error(
            DatabaseError,
            "this connection is closed, or was lost; open another one",
            OperationalError("the connection is closed"),
        )
    return POSTGRES if conn.info.server_version >= 170000 else POSTGRES_BEFORE_17


def _op(
    access: Access, verb: Verb, dialect: Dialect, args: tuple[Any, ...], guard: Guard | None
) -> Op[Any]:
    op = verb(dialect, *args)
    if guard is None:
        return op
    # on PostgreSQL even a SELECT that fails or is cancelled takes its transaction with it
    late = access == "late" and dialect.name == "sqlite"
    return guarded_late(op, *guard) if late else guarded(op, *guard)


# --- transaction blocks ---------------------------------------------------------------------


class Block:
    """An open `transaction(conn)`, by whom, and how deep it is nested."""

    __slots__ = ("conn", "depth", "owner")

    def __init__(self, conn: Any, owner: Any) -> None:
        self.conn = conn
        self.owner = owner
        self.depth = 0


BLOCKS: dict[int, Block] = {}
"""The open blocks, by the identity of their connection, which each keeps alive."""


def current_owner() -> Any:
    """The running task, or the thread where there is none."""
    asyncio = sys.modules.get("asyncio")
    task = None
    if asyncio is not None:
        with suppress(RuntimeError):  # no loop runs in this thread
            task = asyncio.current_task()
    return task if task is not None else threading.get_ident()


def check_block(conn: Any) -> None:
    """Refuses a verb of one task on a connection where another has a transaction open."""
    block = BLOCKS.get(id(conn))
    if block is not None and block.owner != current_owner():
        raise TransactionError(
            "another task has a transaction() open on this connection; await the verb in the task "
            "that opened it, or use a connection of your own (open_pool)"
        )


# --- which connection gets which loop ---------------------------------------------------------


def run(conn: Any, access: Access, verb: Verb, *args: Any) -> Any:
    """Runs a verb on a connection: the value, or an awaitable of it."""
    if conn.__class__ is sqlite3.Connection:
        if BLOCKS:
            check_block(conn)
        if access == "read":
            return drive(sqlite_driver.execute, conn, verb(SQLITE, *args))
        return run_sqlite(conn, access, verb, args)
    return runner_of(conn)(conn, access, verb, args)


Runner: TypeAlias = Callable[[Any, Access, Verb, tuple[Any, ...]], Any]


def run_sqlite(conn: sqlite3.Connection, access: Access, verb: Verb, args: tuple[Any, ...]) -> Any:
    if BLOCKS:
        check_block(conn)
    guard = sqlite_guard(conn, access)
    op = _op(access, verb, SQLITE, args, guard)
    if guard is not _OWN_ROWS_SQLITE:
        return drive(sqlite_driver.execute, conn, op)
    before = conn.total_changes
    value = drive(sqlite_driver.execute, conn, op)
    if conn.total_changes == before:
        conn.rollback()
    return value


class _Hop:
    """A verb in the connection's thread, which knows whether it began a transaction."""

    def __init__(
        self, raw: sqlite3.Connection, watch: Any, access: Access, verb: Verb, args: Any
    ) -> None:
        self.raw = raw
        self.watch = watch
        self.access: Access = access
        self.verb = verb
        self.args = args
        self.cancelled = False
        self.undoing = False
        self.guard: Guard | None = None
        self.began_with: int | None = None

    def __call__(self) -> Any:
        if self.cancelled:
            return None
        raw = self.raw
        guard = self.guard = sqlite_guard(raw, self.access)
        before = raw.total_changes
        op = _op(self.access, self.verb, SQLITE, self.args, guard)
        value = drive(self._execute, raw, op)
        if guard is _OWN_ROWS_SQLITE and raw.total_changes == before:
            raw.rollback()
        elif guard is _OWN_SQLITE or guard is _OWN_ROWS_SQLITE:
            self.began_with = raw.total_changes
        return value

    def _execute(self, raw: sqlite3.Connection, statement: Statement, params: Any) -> Any:
        result = sqlite_driver.execute(raw, statement, params, self.watch)
        if self.cancelled and self.guard is not None and not (self.undoing or statement.control):
            # thrown into the verb, which takes back what it did to models and to rows
            self.undoing = True
            raise sys.modules["asyncio"].CancelledError
        return result

    def undo(self) -> None:
        """Rolls back the transaction that this verb began, unless another verb joined it."""
        if self.began_with is not None and self.began_with == self.raw.total_changes:
            self.raw.rollback()


async def run_aiosqlite(
    conn: aiosqlite.Connection, access: Access, verb: Verb, args: tuple[Any, ...]
) -> Any:
    from asyncio import CancelledError

    from .drivers import worker

    if BLOCKS:
        check_block(conn)
    hooked = worker.hook(conn)
    if hooked is None:
        return await _run_public(conn, access, verb, args)
    raw, in_thread = hooked
    hop = _Hop(raw, conn, access, verb, args)
    try:
        return await in_thread(hop)
    except CancelledError:
        hop.cancelled = True
        with suppress(ValueError):  # somebody closed the connection meanwhile
            await worker.finish(in_thread(hop.undo))
        raise


async def _run_public(
    conn: aiosqlite.Connection, access: Access, verb: Verb, args: tuple[Any, ...]
) -> Any:
    """A verb through aiosqlite's public interface, one hop a statement."""
    from .drivers import worker

    async with _lock_of(conn):
        guard = sqlite_guard(conn, access)
        op = _op(access, verb, SQLITE, args, guard)
        _is_open(conn)
        before = conn.total_changes
        value = await drive_async(worker.execute, conn, op)
        if guard is _OWN_ROWS_SQLITE and conn.total_changes == before:
            await worker.finish(conn.rollback())
        return value


_locks: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def _lock_of(conn: Any) -> Any:
    """The lock by which the verbs of several tasks take turns on one connection."""
    lock = _locks.get(conn)
    if lock is None:
        from asyncio import Lock

        lock = _locks[conn] = Lock()
    return lock


def _thread_lock_of(conn: Any) -> Any:
    lock = _locks.get(conn)
    if lock is None:
        lock = _locks.setdefault(conn, threading.RLock())
    return lock


def run_postgres(conn: Any, access: Access, verb: Verb, args: tuple[Any, ...]) -> Any:
    from .drivers import postgres

    if BLOCKS:
        check_block(conn)
    with _thread_lock_of(conn):
        op = _op(access, verb, postgres_dialect(conn), args, postgres_guard(conn, access))
        return drive(postgres.execute, conn, op)


async def run_postgres_async(conn: Any, access: Access, verb: Verb, args: tuple[Any, ...]) -> Any:
    from .drivers import postgres

    if BLOCKS:
        check_block(conn)
    async with _lock_of(conn):
        op = _op(access, verb, postgres_dialect(conn), args, postgres_guard(conn, access))
        return await drive_async(postgres.execute_async, conn, op)


_RUNNERS: dict[type, Runner] = {sqlite3.Connection: run_sqlite}


def runner_of(conn: Any) -> Runner:
    """The loop for this kind of connection.

    Raises:
        TypeError: it is none of the four.
    """
    kind = type(conn)
    found = _RUNNERS.get(kind)
    if found is None:
        found = _RUNNERS[kind] = _find_runner(conn)
    return found


_KINDS: dict[tuple[str, str], Runner] = {
    ("aiosqlite", "Connection"): run_aiosqlite,
    ("psycopg", "Connection"): run_postgres,
    ("psycopg", "AsyncConnection"): run_postgres_async,
}


def _find_runner(conn: Any) -> Runner:
    if isinstance(conn, sqlite3.Connection):
        return run_sqlite
    for base in type(conn).__mro__:
        found = _KINDS.get((base.__module__.partition(".")[0], base.__name__))
        if found is not None:
            return found
    raise TypeError(
        f"expected a connection of sqlite3, aiosqlite or psycopg, got {type(conn).__name__}; "
        "open one with `with open_sqlite_db(path) as conn:`, and give a cursor's .connection"
    )


def is_async(conn: Any) -> bool:
    """Whether verbs on this connection are awaited."""
    return runner_of(conn) in (run_aiosqlite, run_postgres_async)


def dialect_of(conn: Any) -> Dialect:
    """The dialect that a connection speaks."""
    if runner_of(conn) in (run_sqlite, run_aiosqlite):
        return SQLITE
    return postgres_dialect(conn)


# --- streams --------------------------------------------------------------------------------

Build: TypeAlias = Callable[[Dialect], tuple[Sequence[Step], Statement, Any]]
"""What a stream reads: steps to run before, the statement, and its values."""


def run_stream(conn: Any, build: Build, batch: int) -> Any:
    """An iterator over the results of a statement, or an async one, fetched batch by batch."""
    if isinstance(batch, bool) or not isinstance(batch, int) or batch < 1:
        raise ValueError(f"batch is a number of rows from 1 on, not {batch!r}")
    before, statement, params = build(dialect_of(conn))
    if is_async(conn):
        return _stream_async(conn, before, statement, params, batch)
    return _stream(conn, before, statement, params, batch)


def _stream(
    conn: Any, before: Sequence[Step], statement: Statement, params: Any, batch: int
) -> Iterator[Any]:
    check_block(conn)
    if isinstance(conn, sqlite3.Connection):
        chunks = sqlite_driver.stream(conn, statement, params, batch)
    else:
        from .drivers import postgres

        chunks = postgres.stream(conn, before, statement, params, batch)
    try:
        for chunk in chunks:
            yield from chunk
    finally:
        chunks.close()


async def _stream_async(
    conn: Any, before: Sequence[Step], statement: Statement, params: Any, batch: int
) -> AsyncIterator[Any]:
    check_block(conn)
    if runner_of(conn) is run_aiosqlite:
        from .drivers import worker

        chunks = worker.stream(conn, statement, params, batch)
    else:
        from .drivers import postgres

        chunks = postgres.stream_async(conn, before, statement, params, batch)
    try:
        async for chunk in chunks:
            for item in chunk:
                yield item
    finally:
        await chunks.aclose()
