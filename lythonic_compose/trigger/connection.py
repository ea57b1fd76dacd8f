"""How is the database of triggers reached, by how many threads ever? One connection, in turns.

What is read and written is not known here.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

from lythonic_state import (
    Opener,
    SyncConnection,
    open_db,
    open_sqlite_db,
    transaction,
)
from lythonic_state.connection import sqlite_path

from ..errors import TriggerError
from ..outputs.reading import end_reading, is_in_memory


class Connection:
    """A connection that is opened when it is needed, and again when the server has ended it.

    Raises:
        DatabaseError: it cannot be opened.
    """

    def __init__(
        self, target: str, busy_timeout: float, prepare: Callable[[SyncConnection], None]
    ) -> None:
        self.target = target
        self._busy_timeout = busy_timeout
        self._lock = threading.RLock()
        self._opener: Opener[Any, Any] | None = None
        self._conn: SyncConnection | None = None
        self._closed = False
        _CONNECTIONS.add(self)
        try:
            with self._lent() as conn:
                prepare(conn)
        except BaseException:
            self.close()
            raise

    @contextmanager
    def reading(self) -> Generator[SyncConnection]:
        """The connection, for reading."""
        with self._lent() as conn:
            try:
                yield conn
            finally:
                end_reading(conn)

    @contextmanager
    def writing(self) -> Generator[SyncConnection]:
        """The connection in a transaction, which is committed at the end of the block."""
        with self._lent() as conn, transaction(conn):
            yield conn

    def close(self) -> None:
        """Closes it for good; closing twice is no error."""
        with self._lock:
            self._closed = True
            self._drop()

    def leave_behind(self) -> None:
        """In the child of a fork: the connection stays the parent's."""
        if self._opener is not None:
            # never closed here: that would speak to the server, or tidy the file, for the parent
            _PARENTS.append((self._opener, self._conn))
            self._closed = self._closed or is_in_memory(self.target)
        self._opener = self._conn = None
        self._lock = threading.RLock()

    @contextmanager
    def _lent(self) -> Generator[SyncConnection]:
        with self._lock:
            if self._closed:
                raise TriggerError(f"the store {self.target!r} is closed; make another one")
            if getattr(self._conn, "closed", False):
                self._drop()
            if self._conn is None:
                self._open()
            assert self._conn is not None
            yield self._conn

    def _open(self) -> None:
        path = self.target if "://" not in self.target else sqlite_path(self.target)
        opener: Opener[Any, Any]
        if path is None:
            opener = open_db(self.target)
        else:
            opener = open_sqlite_db(path, busy_timeout=self._busy_timeout)
        self._conn = opener.__enter__()
        self._opener = opener

    def _drop(self) -> None:
        opener, self._opener, self._conn = self._opener, None, None
        if opener is not None:
            opener.__exit__(None, None, None)


_CONNECTIONS: weakref.WeakSet[Connection] = weakref.WeakSet()
_PARENTS: list[Any] = []
"""The connections of the process from which this one was forked."""


def _leave_all_behind() -> None:
    for connection in list(_CONNECTIONS):
        connection.leave_behind()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all_behind)
