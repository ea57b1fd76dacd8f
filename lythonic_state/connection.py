"""How a connection is opened and closed, alone or from a pool, and what a transaction block is.

Openers work as `with` and as `async with`; what they yield is the driver's own connection.
"""

from __future__ import annotations

import queue
import re
import sqlite3
import warnings
from collections.abc import AsyncGenerator, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from os import PathLike, fspath
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, Literal, cast, get_args, overload
from urllib.parse import unquote, urlsplit

from typing_extensions import TypeVar

from .dialects import Dialect
from .drivers import sqlite as sqlite_driver
from .errors import DatabaseError, StateError, TransactionError, UncommittedWarning, as_driver_error
from .later import asyncio
from .op import Op, Statement, Step, control
from .run import (
    BLOCKS,
    AsyncConnection,
    Block,
    SyncConnection,
    check_block,
    current_owner,
    dialect_of,
    run,
)

if TYPE_CHECKING:
    import aiosqlite

S = TypeVar("S")
A = TypeVar("A")

BUSY_TIMEOUT = 5.0
Synchronous = Literal["OFF", "NORMAL", "FULL", "EXTRA"]
SYNCHRONOUS: tuple[Synchronous, ...] = get_args(Synchronous)


class Opener(Generic[S, A]):
    """A connection to be opened: `with` gives a sync one, `async with` an async one."""

    def __init__(self, sync: Any, asynchronous: Any) -> None:
        self._sync = sync
        self._async = asynchronous
        self._open: list[Any] = []

    def __enter__(self) -> S:
        manager = self._sync()
        conn: S = manager.__enter__()
        self._open.append(manager)
        return conn

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.pop().__exit__(kind, error, traceback)

    async def __aenter__(self) -> A:
        manager = self._async()
        conn: A = await manager.__aenter__()
        self._open.append(manager)
        return conn

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._open.pop().__aexit__(kind, error, traceback)


# --- SQLite ---------------------------------------------------------------------------------


def open_sqlite_db(
    path: str | PathLike[str],
    *,
    readonly: bool = False,
    commit: bool = False,
    busy_timeout: float = BUSY_TIMEOUT,
    synchronous: Synchronous = "FULL",
    autocheckpoint: int | None = None,
) -> Opener[sqlite3.Connection, aiosqlite.Connection]:
    """Opens a SQLite file (created if it is missing) for a `with` or an `async with` block.

    Foreign keys are enforced, files are in WAL mode, a write begins at once and waits for a lock
    `busy_timeout` seconds at most. Commit is yours, unless `commit=True` does it at a clean exit;
    an exception rolls back; writes left uncommitted are rolled back with an `UncommittedWarning`.
    `":memory:"` is a database of its own that ends with the block. A commit that leaves
    `autocheckpoint` pages in the write-ahead log (SQLite's default is 1000) also moves them into
    the file; with 0 that is left to `checkpoint`.

    Example:
        >>> with open_sqlite_db("library.db") as conn:
        ...     Author(name="Jane Austen").save(conn)
        ...     conn.commit()

    Raises:
        DatabaseError: the file is no database, cannot be created, or is missing and `readonly`.
    """
    options = _SqliteOptions(fspath(path), readonly, busy_timeout, synchronous, autocheckpoint)
    return Opener(lambda: _sqlite(options, commit), lambda: _aiosqlite(options, commit))


def _no_such_mode(synchronous: Any) -> ValueError:
    return ValueError(f"synchronous={synchronous!r} is unknown; use OFF, NORMAL, FULL or EXTRA")


class _SqliteOptions:
    def __init__(
        self,
        path: str,
        readonly: bool,
        busy_timeout: float,
        synchronous: Synchronous,
        autocheckpoint: int | None = None,
    ) -> None:
        if synchronous not in SYNCHRONOUS:
            raise _no_such_mode(synchronous)
        self.path = path
        self.readonly = readonly
        self.busy_timeout = busy_timeout
        self.synchronous = synchronous
        self.autocheckpoint = autocheckpoint

    def connect(self) -> sqlite3.Connection:
        """A sqlite3 connection in the state that the verbs expect."""
        target, uri = self.path, False
        if self.readonly and self.path != ":memory:":
            target, uri = Path(self.path).absolute().as_uri() + "?mode=ro", True
        try:
            conn = sqlite3.connect(
                target,
                timeout=self.busy_timeout,
                isolation_level="IMMEDIATE",
                check_same_thread=False,
                uri=uri,
            )
        except sqlite3.Error as error:
            raise as_driver_error(
                DatabaseError,
                f"cannot open the SQLite file {self.path}: {error}; "
                + (
                    "it must exist to be opened readonly"
                    if self.readonly
                    else "is its folder there, and may it be written?"
                ),
                error,
            ) from error
        try:
            self._prepare(conn)
        except BaseException:
            conn.close()
            raise
        return conn

    def _prepare(self, conn: sqlite3.Connection) -> None:
        if self.readonly and self.path == ":memory:":
            run_control(conn, "PRAGMA query_only=ON")
        run_control(conn, "PRAGMA foreign_keys=ON")
        row = sqlite_driver.execute(conn, Statement("PRAGMA foreign_keys", "one", control=True), ())
        if row != (1,):
            raise StateError("this build of SQLite cannot enforce foreign keys")
        if not self.readonly:
            # a file that has pages keeps the way in which it was begun
            if sqlite_driver.execute(conn, _PAGES, ()) == (0,):
                run_control(conn, "PRAGMA auto_vacuum=INCREMENTAL")
            run_control(conn, "PRAGMA journal_mode=WAL")
            run_control(conn, f"PRAGMA synchronous={self.synchronous}")
            if self.autocheckpoint is not None:
                run_control(conn, f"PRAGMA wal_autocheckpoint={int(self.autocheckpoint)}")
        else:
            # reads the header, as the others do, so that a file that is no database is told here
            run_control(conn, "PRAGMA schema_version")


@overload
def checkpoint(conn: SyncConnection) -> int: ...
@overload
def checkpoint(conn: AsyncConnection) -> Coroutine[Any, Any, int]: ...
def checkpoint(conn: Any) -> Any:
    """Moves what SQLite's write-ahead log holds into the file, as far as nobody reads it.

    Returns how many pages are left in the log; on PostgreSQL there is nothing to do. Nobody waits
    for it, but it takes as long as the disk needs: so it is for another connection and thread than
    those that must not wait (see `autocheckpoint` of `open_sqlite_db`).

    Example:
        >>> left = checkpoint(conn)
    """
    return run(conn, "read", _checkpoint)


_CHECKPOINT = Statement("PRAGMA wal_checkpoint(PASSIVE)", "one", control=True)


def _checkpoint(dialect: Dialect) -> Op[int]:
    if dialect.name != "sqlite":
        return 0
    _, pages, moved = yield _CHECKPOINT, ()
    return int(pages - moved)


@overload
def set_synchronous(conn: SyncConnection, synchronous: Synchronous) -> None: ...
@overload
def set_synchronous(
    conn: AsyncConnection, synchronous: Synchronous
) -> Coroutine[Any, Any, None]: ...
def set_synchronous(conn: Any, synchronous: Synchronous) -> Any:
    """Changes what `open_sqlite_db` was told: how soon a commit is on the disk itself.

    On PostgreSQL there is nothing to do.

    Example:
        >>> set_synchronous(conn, "FULL")

    Raises:
        DatabaseError: the connection has a transaction open, where SQLite changes nothing.
    """
    if synchronous not in SYNCHRONOUS:
        raise _no_such_mode(synchronous)
    return run(conn, "read", _set_synchronous, synchronous)


def _set_synchronous(dialect: Dialect, synchronous: Synchronous) -> Op[None]:
    if dialect.name != "sqlite":
        return
    yield Statement(f"PRAGMA synchronous={synchronous}", "none", control=True), ()


@overload
def free_space(conn: SyncConnection, pages: int = ...) -> int: ...
@overload
def free_space(conn: AsyncConnection, pages: int = ...) -> Coroutine[Any, Any, int]: ...
def free_space(conn: Any, pages: int = 1000) -> Any:
    """Takes up to so many pages that hold nothing any more out of a SQLite file.

    Returns how many it took; with 0 there are none left, or the file was begun by another program
    that keeps them. It is a transaction of its own, and the file shrinks when its log is moved into
    it (`checkpoint`). PostgreSQL sees to that by itself.

    Example:
        >>> while free_space(conn):
        ...     pass

    Raises:
        TransactionError: the connection has a transaction open.
    """
    return run(conn, "whole", _free_space, pages)


_PAGES = Statement("PRAGMA page_count", "one", control=True)
_FREE = Statement("PRAGMA freelist_count", "one", control=True)
_FREE_ONE = Statement("PRAGMA incremental_vacuum(1)", "all", control=True)


def _free_space(dialect: Dialect, pages: int) -> Op[int]:
    if dialect.name != "sqlite":
        return 0
    (free,) = yield _FREE, ()
    for _ in range(min(int(free), pages)):
        # a call takes one page, since sqlite3 does not step through what has no columns
        yield _FREE_ONE, ()
    (left,) = yield _FREE, ()
    return int(free - left)


def run_control(conn: sqlite3.Connection, sql: str) -> None:
    sqlite_driver.execute(conn, Statement(sql, "all", control=True), ())


@contextmanager
def _sqlite(options: _SqliteOptions, commit: bool) -> Generator[sqlite3.Connection, None, None]:
    conn = options.connect()
    try:
        with _left_sqlite(conn, commit):
            yield conn
    finally:
        conn.close()


@contextmanager
def _left_sqlite(conn: sqlite3.Connection, commit: bool) -> Generator[None, None, None]:
    """What happens to the open transaction at the end of a block."""
    try:
        yield
        if not _is_in_transaction(conn):
            return
        if commit:
            run(conn, "read", _one_step, control("COMMIT"))
            return
    except BaseException:
        if _is_in_transaction(conn):
            conn.rollback()
        raise
    conn.rollback()
    _warn()


def _is_in_transaction(conn: Any) -> bool:
    """Whether a SQLite connection, which the user may have closed, has a transaction open."""
    try:
        return bool(conn.in_transaction)
    except (sqlite3.ProgrammingError, ValueError):
        return False


def _warn(frames: int = 7) -> None:
    """Warns at the block that was left, so many frames above."""
    warnings.warn(
        "left a connection with uncommitted writes, which were rolled back; "
        "call conn.commit(), or open it with commit=True",
        UncommittedWarning,
        stacklevel=frames,
    )


def _one_step(_: Any, step: Step) -> Op[Any]:
    result = yield step
    return result


@asynccontextmanager
async def _aiosqlite(
    options: _SqliteOptions, commit: bool
) -> AsyncGenerator[aiosqlite.Connection, None]:
    from .drivers.worker import finish

    conn = await connect_aiosqlite(options)
    try:
        async with _left_aiosqlite(conn, commit):
            yield conn
    finally:
        await finish(conn.close())


@asynccontextmanager
async def _left_aiosqlite(conn: aiosqlite.Connection, commit: bool) -> AsyncGenerator[None, None]:
    from .drivers.worker import finish

    try:
        yield
        if not _is_in_transaction(conn):
            return
        if commit:
            await run(conn, "read", _one_step, control("COMMIT"))
            return
    except BaseException:
        # what was cancelled may still be under way in the thread, so it is not asked beforehand
        with suppress(ValueError):
            await finish(conn.rollback())
        raise
    await finish(conn.rollback())
    _warn()


async def connect_aiosqlite(options: _SqliteOptions) -> aiosqlite.Connection:
    import aiosqlite

    from .drivers.worker import finish, let_exit

    failures: list[BaseException] = []

    def connect() -> sqlite3.Connection:
        try:
            return options.connect()
        except BaseException as error:  # noqa: BLE001  # raised below
            failures.append(error)
            # something to close: aiosqlite's thread ends in order only after a connection
            return sqlite3.connect(":memory:", check_same_thread=False)

    conn = aiosqlite.Connection(connect, iter_chunk_size=64)
    let_exit(conn)
    opening = asyncio.ensure_future(_await(conn))
    try:
        await asyncio.shield(opening)
    except asyncio.CancelledError:
        await finish((await finish(opening)).close())
        raise
    if failures:
        await finish(conn.close())
        raise failures[0]
    return conn


async def _await(conn: aiosqlite.Connection) -> aiosqlite.Connection:
    return await conn


# --- PostgreSQL -----------------------------------------------------------------------------


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError as error:
        raise StateError(
            "PostgreSQL needs psycopg: pip install 'lythonic-state[postgres]'"
        ) from error
    return psycopg


@contextmanager
def _postgres(url: str, commit: bool, readonly: bool) -> Generator[Any, None, None]:
    conn = _connected(_psycopg().Connection, url)
    try:
        conn.read_only = True if readonly else None
        yield conn
        _leave_postgres(conn, commit)
    except BaseException:
        with suppress(_psycopg().Error):  # a connection that is lost has nothing to roll back
            conn.rollback()
        raise
    finally:
        conn.close()


def _connected(kind: Any, url: str) -> Any:
    psycopg = _psycopg()
    try:
        return kind.connect(url)
    except psycopg.Error as error:
        raise _unreachable(url, error) from error


def _unreachable(url: str, error: Exception) -> DatabaseError:
    parts = urlsplit(url)
    where = f"{parts.hostname or 'localhost'}{parts.path}"
    return as_driver_error(
        DatabaseError, f"cannot connect to PostgreSQL at {where}: {error}", error
    )


def _wrote(conn: Any) -> str | None:
    """SQL that tells whether the open transaction has written; None where there is none open."""
    return _HAS_WRITTEN if conn.info.transaction_status == 2 else None


# A write that was refused and rolled back has assigned an id, too, but holds no lock any more.
# A sequence keeps its lock, though it takes nothing back.
_HAS_WRITTEN = """
    SELECT CASE WHEN pg_current_xact_id_if_assigned() IS NOT NULL THEN EXISTS (
        SELECT 1 FROM pg_locks LEFT JOIN pg_class ON pg_class.oid = relation
        WHERE pid = pg_backend_pid() AND locktype = 'relation' AND relkind IS DISTINCT FROM 'S'
        AND mode NOT IN ('AccessShareLock', 'RowShareLock')
    ) ELSE FALSE END
"""


def _leave_postgres(conn: Any, commit: bool) -> None:
    if conn.closed:
        return
    if commit:
        conn.commit()
        return
    asked = _wrote(conn)
    if asked is not None and conn.execute(asked).fetchone()[0]:
        conn.rollback()
        _warn(6)


@asynccontextmanager
async def _postgres_async(url: str, commit: bool, readonly: bool) -> AsyncGenerator[Any, None]:
    from .drivers.worker import finish

    psycopg = _psycopg()
    try:
        conn = await psycopg.AsyncConnection.connect(url)
    except psycopg.Error as error:
        raise _unreachable(url, error) from error
    try:
        await conn.set_read_only(True if readonly else None)
        yield conn
        await _leave_postgres_async(conn, commit)
    except BaseException:
        with suppress(psycopg.Error):
            await finish(conn.rollback())
        raise
    finally:
        await finish(conn.close())


async def _leave_postgres_async(conn: Any, commit: bool) -> None:
    if conn.closed:
        return
    if commit:
        await conn.commit()
        return
    asked = _wrote(conn)
    if asked is not None and (await (await conn.execute(asked)).fetchone())[0]:
        await conn.rollback()
        _warn(6)


# --- by URL ---------------------------------------------------------------------------------


def sqlite_path(url: str) -> str | None:
    """The file that a `sqlite://` URL names; None for a URL of PostgreSQL.

    Raises:
        ValueError: it is neither.
    """
    scheme, separator, rest = url.partition("://")
    if scheme == "sqlite" and separator:
        if not rest or rest == "/:memory:":
            return ":memory:"
        if not rest.startswith("/"):
            raise ValueError(
                f"{url!r}: a relative file has three slashes (sqlite:///library.db), "
                "an absolute one four (sqlite:////srv/library.db)"
            )
        return unquote(rest[1:])
    if scheme in ("postgresql", "postgres") and separator:
        return None
    shown = re.sub(r"//[^/@]*@", "//…@", url)  # who reads this is not to know a password
    raise ValueError(
        f"{shown!r} is not the URL of a database; use sqlite:///library.db, sqlite:// (in memory) "
        "or postgresql://user@host/name"
    )


def open_db(
    url: str, *, readonly: bool = False, commit: bool = False
) -> Opener[SyncConnection, AsyncConnection]:
    """Opens the database of a URL for a `with` or an `async with` block.

    `sqlite:///library.db` is a file, `sqlite://` a database in memory, `postgresql://…` a server
    (with the extra `postgres`). The rules of `open_sqlite_db` about commits hold for each.

    Example:
        >>> async with open_db("postgresql://localhost/library") as conn:
        ...     await Author(name="Jane Austen").save(conn)
        ...     await conn.commit()

    Raises:
        ValueError: the URL names no database that is known here.
        DatabaseError: it cannot be opened.
    """
    path = sqlite_path(url)
    if path is not None:
        opener = open_sqlite_db(path, readonly=readonly, commit=commit)
        return cast("Opener[SyncConnection, AsyncConnection]", opener)
    return Opener(
        lambda: _postgres(url, commit, readonly), lambda: _postgres_async(url, commit, readonly)
    )


# --- pools ----------------------------------------------------------------------------------


def open_pool(url: str, size: int = 4) -> Pool:
    """A pool of connections for a `with` or an `async with` block, as web apps want it.

    On PostgreSQL it holds up to `size` connections; on SQLite one that writes and up to `size`
    that read, in memory a single one.

    Example:
        >>> async with open_pool("sqlite:///app.db") as pool:
        ...     async with pool.connection(commit=True) as conn:
        ...         await Task(title="x").save(conn, user_ctx=ctx)
        ...     async with pool.connection(readonly=True) as conn:
        ...         tasks = await Task.select(conn, user_ctx=ctx)
    """
    if isinstance(size, bool) or not isinstance(size, int) or size < 1:
        raise ValueError(f"the size of a pool is a number from 1 on, not {size!r}")
    path = sqlite_path(url)
    return _PostgresPool(url, size) if path is None else _SqlitePool(path, size)


class Pool:
    """Connections that are handed out and come back; made by `open_pool`."""

    def connection(
        self, *, readonly: bool = False, commit: bool = False
    ) -> Opener[SyncConnection, AsyncConnection]:
        """A connection of the pool for a `with` or `async with` block, by the rules of `open_db`.

        Waits until one is free. With `readonly=True` it cannot write, and on SQLite it does not
        wait for the one that can.
        """
        raise NotImplementedError

    _colour: Literal["sync", "async"] | None = None

    def _need(self, colour: Literal["sync", "async"]) -> None:
        if self._colour != colour:
            way = "with" if colour == "sync" else "async with"
            raise StateError(
                f"open the pool with `{way} open_pool(…) as pool:` before `{way} pool.connection()`"
            )

    def __enter__(self) -> Pool:
        raise NotImplementedError

    def __exit__(self, *details: object) -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Pool:
        raise NotImplementedError

    async def __aexit__(self, *details: object) -> None:
        raise NotImplementedError


class _SqlitePool(Pool):
    """One writing connection and up to `size` reading ones, opened when first needed."""

    def __init__(self, path: str, size: int) -> None:
        self._writer_options = _SqliteOptions(path, False, BUSY_TIMEOUT, "FULL")
        self._reader_options = _SqliteOptions(path, True, BUSY_TIMEOUT, "FULL")
        self._size = 0 if path == ":memory:" else size
        self._writers: Any = None
        self._readers: Any = None
        self._made: list[Any] = []

    def connection(
        self, *, readonly: bool = False, commit: bool = False
    ) -> Opener[SyncConnection, AsyncConnection]:
        return Opener(lambda: self._sync(readonly, commit), lambda: self._async(readonly, commit))

    def _make_file(self) -> None:
        """Creates the file, which a reading connection cannot."""
        if not Path(self._writer_options.path).exists():
            self._writer_options.connect().close()

    # sync

    def __enter__(self) -> Pool:
        self._begin("sync", queue.LifoQueue)
        return self

    def _begin(self, colour: Literal["sync", "async"], kind: Any) -> None:
        if self._colour is not None:
            raise StateError("this pool is open already")
        self._colour = colour
        self._writers, self._readers = kind(), kind()
        self._writers.put_nowait(None)
        for _ in range(self._size):
            self._readers.put_nowait(None)

    def __exit__(self, *details: object) -> None:
        self._colour = None
        made, self._made = self._made, []
        for conn in made:
            conn.close()

    @contextmanager
    def _sync(self, readonly: bool, commit: bool) -> Generator[Any, None, None]:
        self._need("sync")
        reads = readonly and self._size > 0
        idle = self._readers if reads else self._writers
        conn = idle.get()
        try:
            if conn is None:
                options = self._reader_options if reads else self._writer_options
                if reads:
                    self._make_file()
                conn = options.connect()
                self._made.append(conn)
            with _left_sqlite(conn, commit):
                self._only_reading(conn, readonly)
                yield conn
        finally:
            idle.put_nowait(self._kept(conn))

    def _only_reading(self, conn: sqlite3.Connection, readonly: bool) -> None:
        """In memory readers and writers share a connection, which may forbid writing."""
        if self._size == 0:
            run_control(conn, f"PRAGMA query_only={'ON' if readonly else 'OFF'}")

    def _kept(self, conn: Any) -> Any:
        """A connection that comes back, or None for one that was closed."""
        if conn is None or _is_usable(conn):
            return conn
        self._made.remove(conn)
        return None

    # async

    async def __aenter__(self) -> Pool:
        self._begin("async", asyncio.LifoQueue)
        return self

    async def __aexit__(self, *details: object) -> None:
        from .drivers.worker import finish

        self._colour = None
        made, self._made = self._made, []
        for conn in made:
            await finish(conn.close())

    @asynccontextmanager
    async def _async(self, readonly: bool, commit: bool) -> AsyncGenerator[Any, None]:
        self._need("async")
        reads = readonly and self._size > 0
        idle = self._readers if reads else self._writers
        conn = await idle.get()
        try:
            if conn is None:
                options = self._reader_options if reads else self._writer_options
                if reads:
                    self._make_file()
                conn = await connect_aiosqlite(options)
                self._made.append(conn)
            async with _left_aiosqlite(conn, commit):
                if self._size == 0:
                    await conn.execute(f"PRAGMA query_only={'ON' if readonly else 'OFF'}")
                yield conn
        finally:
            idle.put_nowait(self._kept(conn))


def _is_usable(conn: Any) -> bool:
    try:
        return conn.in_transaction is not None
    except (sqlite3.ProgrammingError, ValueError):
        return False


class _PostgresPool(Pool):
    """psycopg_pool's pool of the colour in which this one was entered."""

    def __init__(self, url: str, size: int) -> None:
        self._url = url
        self._size = size
        self._pool: Any = None

    def _made(self, name: str) -> Any:
        if self._pool is not None:
            raise StateError("this pool is open already")
        try:
            import psycopg_pool
        except ImportError as error:
            raise StateError(
                "a pool on PostgreSQL needs psycopg_pool: pip install 'lythonic-state[postgres]'"
            ) from error
        kind = getattr(psycopg_pool, name)
        return kind(self._url, min_size=1, max_size=self._size, open=False)

    def connection(
        self, *, readonly: bool = False, commit: bool = False
    ) -> Opener[SyncConnection, AsyncConnection]:
        return Opener(lambda: self._sync(readonly, commit), lambda: self._async(readonly, commit))

    def __enter__(self) -> Pool:
        self._pool = self._made("ConnectionPool")
        self._colour = "sync"
        self._pool.open()
        return self

    def __exit__(self, *details: object) -> None:
        pool, self._pool, self._colour = self._pool, None, None
        pool.close()

    async def __aenter__(self) -> Pool:
        self._pool = self._made("AsyncConnectionPool")
        self._colour = "async"
        await self._pool.open()
        return self

    async def __aexit__(self, *details: object) -> None:
        pool, self._pool, self._colour = self._pool, None, None
        await pool.close()

    @contextmanager
    def _sync(self, readonly: bool, commit: bool) -> Generator[Any, None, None]:
        self._need("sync")
        with self._pool.connection() as conn:
            conn.read_only = True if readonly else None
            yield conn
            _leave_postgres(conn, commit)
            if not conn.closed:
                conn.rollback()

    @asynccontextmanager
    async def _async(self, readonly: bool, commit: bool) -> AsyncGenerator[Any, None]:
        self._need("async")
        async with self._pool.connection() as conn:
            await conn.set_read_only(True if readonly else None)
            yield conn
            await _leave_postgres_async(conn, commit)
            if not conn.closed:
                await conn.rollback()


# --- transaction blocks ---------------------------------------------------------------------


def transaction(conn: SyncConnection | AsyncConnection) -> Transaction:
    """A block whose writes take effect together: `with` or `async with`, as the connection is.

    The outermost block begins at once (IMMEDIATE on SQLite) and commits at its end, together with
    what was pending on the connection; an exception undoes what the block did. Blocks inside are
    savepoints. The block belongs to its task: a verb of another task on the same connection
    raises `TransactionError` while it is open.

    Example:
        >>> with transaction(conn):
        ...     Account.update_where(conn, {"cents": Account.cents - 500}, account_id=1)
        ...     Account.update_where(conn, {"cents": Account.cents + 500}, account_id=2)

    Raises:
        TransactionError: at the end, if it was committed or rolled back inside.
    """
    return Transaction(conn)


class Transaction:
    """See `transaction`."""

    def __init__(self, conn: Any) -> None:
        self._conn = conn
        self._block: Block | None = None
        self._name = ""
        self._pending = False
        self._ended = False

    # the steps, the same for both colours

    def _enter(self) -> None:
        if self._block is not None:
            raise TransactionError("this transaction() block is open already; make another one")
        conn = self._conn
        dialect_of(conn)
        check_block(conn)
        block = BLOCKS.get(id(conn))
        if block is None:
            block = Block(conn, current_owner())
        BLOCKS[id(conn)] = block
        self._block = block
        block.depth += 1
        self._ended = False
        self._name = f"lythonic_{block.depth}"

    def _begin_op(self, dialect: Any, must_begin: bool) -> Op[None]:
        if must_begin:
            yield control(dialect.begin, leads=dialect.name == "postgres")
        yield control(f"SAVEPOINT {self._name}")

    def _end_op(self, dialect: Any, outermost: bool) -> Op[None]:
        yield control(f"RELEASE SAVEPOINT {self._name}")
        if outermost:
            yield control("COMMIT")
        self._ended = True

    def _undo_op(self, dialect: Any, outermost: bool) -> Op[None]:
        if outermost and not self._pending:
            yield control("ROLLBACK")
            return
        yield control(f"ROLLBACK TO SAVEPOINT {self._name}", leads=dialect.name == "postgres")
        yield control(f"RELEASE SAVEPOINT {self._name}")

    def _must_begin(self) -> bool:
        """Whether a BEGIN is needed; psycopg sends it by itself unless it is in autocommit."""
        if self._pending:
            return False
        return dialect_of(self._conn).name == "sqlite" or bool(self._conn.autocommit)

    def _in_transaction(self) -> bool:
        conn = self._conn
        if hasattr(conn, "in_transaction"):
            return bool(conn.in_transaction)
        return conn.info.transaction_status in (1, 2, 3)  # neither idle nor lost

    def _leave(self) -> bool:
        """Takes the block off; whether it was the outermost."""
        block = self._block
        assert block is not None
        block.depth -= 1
        self._block = None
        if block.depth == 0:
            BLOCKS.pop(id(self._conn), None)
        return block.depth == 0

    def _broken(self) -> TransactionError:
        return TransactionError(
            "the transaction was committed or rolled back inside its block; leave that to "
            "transaction(), and raise an exception to undo it"
        )

    # sync

    def __enter__(self) -> Transaction:
        self._enter()
        try:
            self._pending = self._in_transaction()
            run(self._conn, "read", self._begin_op, self._must_begin())
        except BaseException:
            if not self._pending and self._in_transaction():
                self._conn.rollback()
            self._leave()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block = self._block
        assert block is not None
        outermost = block.depth == 1
        try:
            if error is None:
                try:
                    run(self._conn, "read", self._end_op, outermost)
                    return
                except BaseException as failure:
                    self._undo(outermost)
                    if _is_lost_savepoint(failure):
                        raise self._broken() from failure
                    raise
            self._undo(outermost)
        finally:
            self._leave()

    def _undo(self, outermost: bool) -> None:
        try:
            run(self._conn, "read", self._undo_op, outermost)
        except DatabaseError:
            # the savepoint went with its transaction; what is still open is of this block
            if outermost and self._in_transaction():
                self._conn.rollback()

    # async

    async def __aenter__(self) -> Transaction:
        from .drivers.worker import finish

        self._enter()
        try:
            self._pending = self._in_transaction()
            await run(self._conn, "read", self._begin_op, self._must_begin())
        except BaseException:
            if not self._pending:
                with suppress(ValueError):  # aiosqlite's word for a closed connection
                    await finish(self._conn.rollback())
            self._leave()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        block = self._block
        assert block is not None
        outermost = block.depth == 1
        try:
            if error is None:
                try:
                    await run(self._conn, "read", self._end_op, outermost)
                    return
                except BaseException as failure:
                    if not self._ended:  # a cancellation may come when all is done
                        await self._undo_async(outermost)
                    if _is_lost_savepoint(failure):
                        raise self._broken() from failure
                    raise
            await self._undo_async(outermost)
        finally:
            self._leave()

    async def _undo_async(self, outermost: bool) -> None:
        from .drivers.worker import finish

        try:
            await _owned(self._block, run(self._conn, "read", self._undo_op, outermost))
        except DatabaseError:
            if outermost and self._in_transaction():
                await finish(self._conn.rollback())


async def _owned(block: Block | None, awaitable: Any) -> Any:
    """Awaits to the end in a task of its own, which owns the block for as long."""
    from .drivers.worker import finish

    assert block is not None

    async def undo() -> Any:
        block.owner = current_owner()
        return await awaitable

    owner = block.owner
    try:
        return await finish(undo())
    finally:
        block.owner = owner


def _is_lost_savepoint(error: BaseException) -> bool:
    text = str(error).lower() if isinstance(error, DatabaseError) else ""
    return "savepoint" in text or "no transaction is active" in text
