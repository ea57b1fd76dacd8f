"""What helps users to test? Two fixtures of a pytest plugin: a connection whose writes are undone.

pytest finds the plugin by itself. Nothing else of the package imports this room, which is the only
one that needs pytest.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

import pytest

from .connection import _is_in_transaction, open_db, open_sqlite_db, sqlite_path
from .drivers.observe import count_statements
from .run import SyncConnection

__all__ = ["count_statements", "db_conn", "lythonic_db_url", "open_undone"]


@pytest.fixture(scope="session")
def lythonic_db_url() -> str:
    """The database that `db_conn` opens: one in memory, unless a fixture of yours says otherwise.

    Example:
        >>> @pytest.fixture(scope="session")
        ... def lythonic_db_url():
        ...     return "postgresql://localhost/library_test"
    """
    return "sqlite://"


@pytest.fixture
def db_conn(lythonic_db_url: str) -> Generator[SyncConnection, None, None]:
    """A sync connection of which nothing is left after the test, whatever it committed."""
    with open_undone(lythonic_db_url) as conn:
        yield conn


@contextmanager
def open_undone(url: str) -> Generator[SyncConnection, None, None]:
    """Opens the database of a URL so that all that is done to it vanishes at the end of the block,
    commits included.

    Of a SQLite file it is a copy in memory. On PostgreSQL `commit` and `rollback` end a savepoint
    of one transaction, which is rolled back. Other connections see nothing of it.

    Example:
        >>> with open_undone("sqlite:///library.db") as conn:
        ...     Author(name="Jane Austen").save(conn)
        ...     conn.commit()

    Raises:
        DatabaseError: the database cannot be opened.
    """
    path = sqlite_path(url)
    opened = _undone_postgres(url) if path is None else _undone_sqlite(path)
    with opened as conn:
        yield conn


@contextmanager
def _undone_sqlite(path: str) -> Generator[SyncConnection, None, None]:
    with open_sqlite_db(":memory:") as conn:
        if path != ":memory:":
            with open_sqlite_db(path, readonly=True) as source:
                source.backup(conn)
        try:
            yield conn
        finally:
            if _is_in_transaction(conn):
                conn.rollback()


SAVEPOINT = "lythonic_test"


@contextmanager
def _undone_postgres(url: str) -> Generator[SyncConnection, None, None]:
    with open_db(url) as opened:
        conn: Any = opened

        def commit() -> None:
            if conn.info.transaction_status == IN_ERROR:
                rollback()
                return
            conn.execute(f"RELEASE SAVEPOINT {SAVEPOINT}")
            conn.execute(f"SAVEPOINT {SAVEPOINT}")

        def rollback() -> None:
            conn.execute(f"ROLLBACK TO SAVEPOINT {SAVEPOINT}")

        conn.execute(f"SAVEPOINT {SAVEPOINT}")
        conn.commit, conn.rollback = commit, rollback
        try:
            yield conn
        finally:
            del conn.commit, conn.rollback
            if not conn.closed:
                conn.rollback()


IN_ERROR = 3
"""libpq's PQTRANS_INERROR: a statement failed, and the transaction only waits for its end."""
