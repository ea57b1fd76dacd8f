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
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager, nullcontext, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from typing_extensions import TypeVar

from .dialects import POSTGRES, POSTGRES_BEFORE_17, SQLITE, Dialect
from .drivers import sqlite as sqlite_driver
from .errors import DatabaseError, TransactionError, as_driver_error
from .op import (
    Access,
    Op,
    Single,
    Statement,
    Step,
    as_op,
    control,
    gathered,
    guarded,
    guarded_late,
    guarded_single,
    settled,
)
from .scope import UserCtx
from .table import Table

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
Execute: TypeAlias = Callable[[Any, Statement, Any], Any]
Stop: TypeAlias = Callable[[], Awaitable[None]]
Verb: TypeAlias = Callable[..., Op[Any] | Single]

# --- the loops ------------------------------------------------------------------------------


def drive(execute: Execute, conn: Any, op: Op[T] | Single) -> T:
    """Runs an Op on a sync connection; errors of the database are thrown into it."""
    value: T = settled(carried_out(execute, conn, op))
    return value


def carried_out(execute: Execute, conn: Any, op: Op[Any] | Single) -> Any:
    """The same as a part of a verb, whose models are told later."""
    if isinstance(op, tuple):
        statement, params, finish = op
        result = execute(conn, statement, params)
        return result if finish is None else finish(result)
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
        return done.value


async def drive_async(
    execute: Execute,
    conn: Any,
    made: Op[T] | Single,
    stopper: Callable[[Any, Statement], Stop | None] | None = None,
) -> T:
    """Runs an Op on an async connection; once cancelled, it is not interrupted again.

    What steers a transaction is never interrupted: a cancellation waits for the next statement,
    or for the end. A statement with which such steps travel has a `stopper`, which brings it to an
    end: then it has either failed, or is done with all of them.
    """
    worker = _worker()
    finish, finish_first = worker.finish, worker.finish_first
    op = as_op(made)
    cancelled = False
    waiting: BaseException | None = None
    try:
        statement, params = op.send(None)
        while True:
            try:
                if waiting is not None and not _steers(statement):
                    came, waiting = waiting, None
                    raise came
                stop = None if stopper is None else stopper(conn, statement)
                executing = execute(conn, statement, params)
                if cancelled:
                    result = await finish(executing)
                elif _steers(statement):
                    result, came_now = await finish_first(executing)
                    waiting = waiting or came_now
                elif stop is not None:
                    result, came_now = await finish_first(executing, stop)
                    if came_now is not None and not _is_ended(statement):
                        raise came_now
                    waiting = waiting or came_now
                else:
                    result = await executing
            except BaseException as error:  # noqa: BLE001  # thrown into the verb
                cancelled = cancelled or isinstance(error, worker.CancelledError)
                statement, params = op.throw(error)
            else:
                statement, params = op.send(result)
    except StopIteration as done:
        value: T = settled(done.value)
        if waiting is not None:
            raise waiting from None
        return value


def _steers(statement: Statement) -> bool:
    """Whether it begins or ends a transaction or a savepoint."""
    return statement.control and statement.sql.startswith(
        ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE")
    )


def _is_ended(statement: Statement) -> bool:
    """Whether the savepoint ends with it, after which nothing can be taken back."""
    return bool(statement.after) and _steers(statement.after[-1][0])


# --- transactions around verbs --------------------------------------------------------------

BEGIN_SQLITE = control(SQLITE.begin)
BEGIN_POSTGRES = control(POSTGRES.begin, leads=True)
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
_WHOLE_OF_PSYCOPG: Guard = ((), (COMMIT,), (ROLLBACK,))
"""As above, where psycopg begins by itself."""
_SAVED_POSTGRES: Guard = (
    (control(SAVE[0].sql, leads=True),),
    (RELEASE,),
    (control(RELEASE[0].sql, before=(ROLLBACK_TO,)),),
)


def sqlite_guard(conn: Any, access: Access) -> Guard | None:
    """What a verb needs around it on SQLite, in the mode that the connection is in."""
    if access in ("read", "scoped"):
        return None
    if _is_open(conn):
        if access == "whole":
            raise _already_open()
        return None if access == "write" else _IN_SAVEPOINT
    if access == "whole":
        return _WHOLE_SQLITE
    if is_autocommit(conn):
        return None if access == "write" else _WHOLE_SQLITE
    return _OWN_SQLITE if access == "sequence" else _OWN_ROWS_SQLITE


def _is_open(conn: Any) -> bool:
    """Whether a SQLite connection has a transaction open."""
    try:
        return bool(conn.in_transaction)
    except (sqlite3.ProgrammingError, ValueError) as error:
        raise _closed(error) from error


def _closed(error: Exception) -> DatabaseError:
    return as_driver_error(
        DatabaseError, f"this connection is closed ({error}); open another one", error
    )


_HAS_MODES = sys.version_info >= (3, 12)


def is_autocommit(conn: Any) -> bool:
    """Whether a SQLite connection commits each statement by itself."""
    mode = getattr(conn, "autocommit", -1) if _HAS_MODES else -1
    if mode == -1:  # LEGACY_TRANSACTION_CONTROL, and all there was before Python 3.12
        return conn.isolation_level is None
    return bool(mode)


def postgres_guard(conn: Any, access: Access) -> Guard | None:
    """What a verb needs around it on PostgreSQL, in the mode that the connection is in.

    Outside of a savepoint, an error would end the transaction of which the verb is a part.
    """
    idle = conn.pgconn.transaction_status == 0
    if not idle:
        if access == "whole":
            raise _already_open()
        return None if access in ("read", "scoped") else _SAVED_POSTGRES
    if not conn.autocommit:
        return _WHOLE_OF_PSYCOPG if access == "whole" else _OWN_POSTGRES
    return None if access in ("read", "write") else _WHOLE_POSTGRES


def _already_open() -> TransactionError:
    return TransactionError(
        "this connection has a transaction open, and a whole one was asked for; commit or roll "
        "back first, or leave out commit=True"
    )


def postgres_dialect(conn: Any) -> Dialect:
    if conn.closed:
        from psycopg import OperationalError

        raise as_driver_error(
            DatabaseError,
            "this connection is closed, or was lost; open another one",
            OperationalError("the connection is closed"),
        )
    return POSTGRES if conn.pgconn.server_version >= 170000 else POSTGRES_BEFORE_17


def _sqlite_op(access: Access, made: Op[Any] | Single, guard: Guard | None) -> Op[Any] | Single:
    if guard is None:
        return made
    op = as_op(made)
    return guarded_late(op, *guard) if access == "late" else guarded(op, *guard)


def _postgres_op(conn: Any, access: Access, verb: Verb, args: tuple[Any, ...]) -> Op[Any] | Single:
    made = verb(postgres_dialect(conn), *args)
    guard = postgres_guard(conn, access)
    if guard is None:
        return made if isinstance(made, tuple) else gathered(made)
    if guard is _SAVED_POSTGRES and isinstance(made, tuple):
        return gathered(guarded_single(made, *guard))
    # even a SELECT that fails or is cancelled takes its transaction with it, so "late" is no case
    return gathered(guarded(as_op(made), *guard))


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
    if asyncio is not None and asyncio._get_running_loop() is not None:
        return asyncio.current_task() or threading.get_ident()
    return threading.get_ident()


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
    return runner_of(conn)(conn, access, verb, args)


def run_on(
    conn: Any,
    access: Literal["read", "write"],
    verb: Verb,
    table: Table,
    asked: Any,
    user_ctx: UserCtx,
) -> Any:
    """`run` for a verb on one table, which takes what was asked for and the context.

    Most calls come this way: one statement on a sync SQLite connection, and nothing around it.
    SQLite needs two or three microseconds for many of these, so the way there is kept short.
    """
    if table.scope is not None or user_ctx is not None:
        # a context counts for a model without scope too: a filter may lead to one that has it
        around: Access = "scoped" if access == "read" else "rows"
        return run(conn, around, verb, table, asked, user_ctx)
    if conn.__class__ is not sqlite3.Connection:
        return runner_of(conn)(conn, access, verb, (table, asked, None))
    if BLOCKS:
        check_block(conn)
    try:
        begins = access == "write" and not conn.in_transaction and not is_autocommit(conn)
    except sqlite3.ProgrammingError as error:
        raise _closed(error) from error
    made = verb(SQLITE, table, asked, None)
    if begins:
        return _beginning(conn, made)
    if isinstance(made, tuple):
        statement, params, finish = made
        result = sqlite_driver.execute(conn, statement, params)
        return result if finish is None else finish(result)
    return drive(sqlite_driver.execute, conn, made)


Runner: TypeAlias = Callable[[Any, Access, Verb, tuple[Any, ...]], Any]


def run_sqlite(conn: sqlite3.Connection, access: Access, verb: Verb, args: tuple[Any, ...]) -> Any:
    if BLOCKS:
        check_block(conn)
    guard = sqlite_guard(conn, access)
    made = verb(SQLITE, *args)
    if guard is _OWN_ROWS_SQLITE:
        return _beginning(conn, made, access)
    return drive(sqlite_driver.execute, conn, _sqlite_op(access, made, guard))


def _beginning(conn: sqlite3.Connection, made: Op[Any] | Single, access: Access = "write") -> Any:
    """A verb that begins a transaction, which ends with it if no row was changed."""
    before = conn.total_changes
    if isinstance(made, tuple):  # the same as with the guard around it
        execute = sqlite_driver.execute
        statement, params, finish = made
        if not sqlite_driver.begins_with(conn, statement):
            execute(conn, *BEGIN_SQLITE)
        try:
            value = execute(conn, statement, params)
            if finish is not None:
                value = finish(value)
        except BaseException:
            with suppress(DatabaseError):  # the database has given the transaction up by itself
                execute(conn, *ROLLBACK)
            raise
    else:
        guarded_op = _sqlite_op(access, made, _OWN_ROWS_SQLITE)
        value = drive(sqlite_driver.execute, conn, guarded_op)
    if conn.total_changes == before:
        conn.rollback()
    return value


def whole_on_sqlite(
    conn: sqlite3.Connection, carry_out: Callable[[Execute, Any, Any], T], work: Any
) -> T:
    """Has work carried out in a transaction of its own: as "whole", and without a generator."""
    if BLOCKS:
        check_block(conn)
    if _is_open(conn):
        raise _already_open()
    execute = sqlite_driver.execute
    execute(conn, *BEGIN_SQLITE)
    try:
        value = carry_out(execute, conn, work)
        execute(conn, *COMMIT)
    except BaseException:
        with suppress(DatabaseError):  # the database has given the transaction up by itself
            execute(conn, *ROLLBACK)
        raise
    return value


class _Hop:
    """A verb in the connection's thread, which knows whether it began a transaction."""

    cancelled = False
    undoing = False
    guard: Guard | None = None
    began_with: int | None = None
    finish: Callable[[Any], Any] | None = None

    def __init__(
        self, raw: sqlite3.Connection, watch: Any, access: Access, verb: Verb, args: Any
    ) -> None:
        self.raw = raw
        self.watch = watch
        self.access: Access = access
        self.verb = verb
        self.args = args

    def __call__(self) -> Any:
        if self.cancelled:
            return None
        raw = self.raw
        if self.access == "read":
            return self._read(raw)
        guard = self.guard = sqlite_guard(raw, self.access)
        before = raw.total_changes
        made = self.verb(SQLITE, *self.args)
        if isinstance(made, tuple) and self.access not in ("read", "scoped"):
            statement, params, self.finish = made
            made = statement, params, None
        value = carried_out(self._execute, raw, _sqlite_op(self.access, made, guard))
        if guard is _OWN_ROWS_SQLITE and raw.total_changes == before:
            raw.rollback()
        elif guard is _OWN_SQLITE or guard is _OWN_ROWS_SQLITE:
            self.began_with = raw.total_changes
        return value

    def _read(self, raw: sqlite3.Connection) -> Any:
        """What a reading verb gives, with nothing around it. Many rows become models here; one does
        on the loop, which waits less for that than for the lock that both need to run Python."""
        made = self.verb(SQLITE, *self.args)
        if not isinstance(made, tuple):
            return carried_out(self._execute, raw, made)
        statement, params, self.finish = made
        return sqlite_driver.execute(raw, statement, params, self.watch)

    def told(self, value: Any) -> Any:
        """The verb's value, after its models have been told: it came through, and stands."""
        value = settled(value)
        return value if self.finish is None else self.finish(value)

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
    worker = _worker()
    if BLOCKS:
        check_block(conn)
    hooked = worker.hook(conn)
    if hooked is None:
        return await _run_public(conn, access, verb, args)
    raw, in_thread = hooked
    hop = _Hop(raw, conn, access, verb, args)
    try:
        value = await in_thread(hop)
    except worker.CancelledError:
        hop.cancelled = True
        with suppress(ValueError):  # somebody closed the connection meanwhile
            await worker.finish(in_thread(hop.undo))
        raise
    return hop.told(value)


async def _run_public(
    conn: aiosqlite.Connection, access: Access, verb: Verb, args: tuple[Any, ...]
) -> Any:
    """A verb through aiosqlite's public interface, one hop a statement."""
    from .drivers import worker

    async with _lock_of(conn):
        guard = sqlite_guard(conn, access)
        op = _sqlite_op(access, verb(SQLITE, *args), guard)
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


@cache
def _postgres() -> Any:
    """The driver, which imports psycopg; to import it in each verb would take as long as a lock."""
    from .drivers import postgres

    return postgres


@cache
def _worker() -> Any:
    """The same for aiosqlite's, which imports asyncio."""
    from .drivers import worker

    return worker


def run_postgres(conn: Any, access: Access, verb: Verb, args: tuple[Any, ...]) -> Any:
    postgres = _postgres()
    if BLOCKS:
        check_block(conn)
    with _thread_lock_of(conn):
        if conn.pgconn.pipeline_status:
            postgres.settle(conn)
        return drive(postgres.execute, conn, _postgres_op(conn, access, verb, args))


async def run_postgres_async(conn: Any, access: Access, verb: Verb, args: tuple[Any, ...]) -> Any:
    postgres = _postgres()
    if BLOCKS:
        check_block(conn)
    async with _lock_of(conn):
        if conn.pgconn.pipeline_status:
            await _worker().finish(postgres.settle_async(conn))
        op = _postgres_op(conn, access, verb, args)
        return await drive_async(postgres.execute_async, conn, op, postgres.stopper)


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
        turn: Any = nullcontext()
    else:
        from .drivers import postgres

        chunks = postgres.stream(conn, before, statement, params, batch)
        turn = _thread_lock_of(conn)
    try:
        while True:
            with turn:  # psycopg cannot fetch in the middle of another verb's pipeline
                chunk = next(chunks, None)
            if chunk is None:
                break
            yield from chunk
    finally:
        with turn:
            chunks.close()


async def _stream_async(
    conn: Any, before: Sequence[Step], statement: Statement, params: Any, batch: int
) -> AsyncIterator[Any]:
    check_block(conn)
    if runner_of(conn) is run_aiosqlite:
        from .drivers import worker

        chunks = worker.stream(conn, statement, params, batch)
        turn: Any = nullcontext()
    else:
        from .drivers import postgres

        chunks = postgres.stream_async(conn, before, statement, params, batch)
        turn = _lock_of(conn)
    try:
        while True:
            async with turn:
                chunk = await anext(chunks, None)
            if chunk is None:
                break
            for item in chunk:
                yield item
    finally:
        async with turn:
            await chunks.aclose()
