"""How is a cache file reached, by how many threads, loops and processes ever?

Connections wait in a stack for whoever comes next, so that a hit opens none. A file that is
deleted, locked, broken or inherited by a fork is dealt with here. What is read and written is said
by `tables.py`; no function is called.
"""

from __future__ import annotations

import atexit
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar
from weakref import WeakValueDictionary

from lythonic_state import (
    DatabaseBusy,
    DatabaseError,
    Opener,
    StateError,
    open_sqlite_db,
    transaction,
)

from .tables import Found, FunctionTable

T = TypeVar("T")

BUSY_SECONDS = 2.0
"""How long a locked file is waited for."""
REST_SECONDS = 1.0
"""How long a file that cannot be opened is left alone, and how soon a deleted one is noticed."""

MOST_IDLE = 8
"""How many connections that can wait are kept open."""

UNAVAILABLE: Final = (StateError, sqlite3.Error, OSError)
"""What is raised where a file does not do what it should."""


class MustWait(Exception):
    """This cannot be had at once, and the caller said that it cannot wait."""


class _Open(NamedTuple):
    conn: sqlite3.Connection
    opener: Opener[sqlite3.Connection, Any]
    file: object
    """Which file it leads to: another one after that at the path was deleted."""

    def close(self) -> None:
        self.opener.__exit__(None, None, None)


class CacheFile:
    """A cache file in this process; `cache_file` gives the one of a path.

    Whoever runs on an event loop must not be held up by a lock, and has connections of its own
    that never wait.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.tables: list[FunctionTable] = []
        self._begin()

    def __repr__(self) -> str:
        return f"CacheFile({str(self.path)!r})"

    def __del__(self) -> None:
        self._close_idle()

    def _begin(self) -> None:
        self._lock = threading.Lock()
        self._making = threading.Lock()
        self._patient: list[_Open] = []
        self._quick: list[_Open] = []
        self._file: object = object()
        self._identity: tuple[int, int] | None = None
        self._look_at = 0.0
        self._rests_until = 0.0
        self._refusal = ""

    def get(self, table: FunctionTable, key: str) -> Found | None:
        """The entry of a key.

        Raises:
            DatabaseError, OSError: the file does not do what it should.
        """
        if time.monotonic() >= self._look_at or table.ready_in is not self._file:
            self._make_ready(table)
        idle = self._patient
        try:
            one = idle.pop()
        except IndexError:
            one = self._opened(BUSY_SECONDS)
        try:
            found = table.load(one.conn, cache_key=key)
        except BaseException:
            one.close()
            raise
        if one.file is self._file and len(idle) < MOST_IDLE:
            idle.append(one)
        else:
            one.close()
        return found

    def get_at_once(self, table: FunctionTable, key: str) -> Found | None:
        """The same on an event loop.

        Raises:
            MustWait: it has to be asked for in a thread, by `get_and_open`.
        """
        self._look()
        if table.ready_in is not self._file:
            raise MustWait
        one = self._idle(self._quick)
        if one is None:
            raise MustWait
        try:
            found = table.load(one.conn, cache_key=key)
        except DatabaseBusy as error:
            self._quick.append(one)
            raise MustWait from error
        except BaseException:
            one.close()
            raise
        self._quick.append(one)
        return found

    def get_and_open(self, table: FunctionTable, key: str) -> Found | None:
        """`get`, after which somebody on an event loop finds a connection."""
        found = self.get(table, key)
        if not self._quick:
            self._quick.append(self._opened(busy_timeout=0.0))
        return found

    def read(self, table: FunctionTable, work: Callable[[sqlite3.Connection], T]) -> T:
        """Does something with a connection, without a transaction."""
        self._make_ready(table)
        one = self._idle(self._patient) or self._opened(BUSY_SECONDS)
        try:
            done = work(one.conn)
        except DatabaseError as error:
            if isinstance(error, DatabaseBusy):
                self._leave(one)
            else:  # it may be the connection's fault
                one.close()
            raise
        except BaseException:
            one.close()
            raise
        self._leave(one)
        return done

    def write(self, table: FunctionTable, work: Callable[[sqlite3.Connection], T]) -> T:
        """Does something in one transaction, and writes what was counted with it."""
        counts = table.take_counts()

        def together(conn: sqlite3.Connection) -> T:
            with transaction(conn):
                done = work(conn)
                table.write_counts(conn, counts)
                return done

        try:
            return self.read(table, together)
        except BaseException:
            table.put_back(counts)
            raise

    def close(self) -> None:
        """Writes what was counted, and closes the connections that nobody uses."""
        for table in self.tables:
            if table.ready_in is self._file:
                with suppress(*UNAVAILABLE):
                    self.write(table, lambda conn: None)
        self._close_idle()

    def forget(self) -> None:
        """In a forked child: the connections are the parent's, and are neither used nor closed."""
        _INHERITED.extend([*self._patient, *self._quick])
        for table in self.tables:
            table.forget_counts()
        self._begin()

    # connections

    def _idle(self, idle: list[_Open]) -> _Open | None:
        while True:
            try:
                one = idle.pop()
            except IndexError:
                return None
            if one.file is self._file:
                return one
            one.close()

    def _leave(self, one: _Open) -> None:
        """For whoever comes next; after a rush, only a few are kept."""
        if len(self._patient) < MOST_IDLE:
            self._patient.append(one)
        else:
            one.close()

    def _close_idle(self) -> None:
        for idle in (self._patient, self._quick):
            while idle:
                idle.pop().close()

    def _make_ready(self, table: FunctionTable) -> None:
        """Makes sure that the file is that at the path, and that the tables are there."""
        self._look()
        if table.ready_in is self._file:
            return
        with self._making:  # many may come at once, and one will do
            if table.ready_in is self._file:
                return
            one = self._opened(BUSY_SECONDS)
            try:
                with transaction(one.conn):
                    table.create(one.conn)
            except BaseException:
                one.close()
                raise
            table.ready_in = one.file
            self._patient.append(one)

    def _opened(self, busy_timeout: float) -> _Open:
        """A new connection; opening it may take its time, whatever it is for."""
        if time.monotonic() < self._rests_until:
            raise DatabaseError(self._refusal)
        try:
            return self._open(busy_timeout)
        except UNAVAILABLE as error:
            self._refusal = str(error)
            self._rests_until = time.monotonic() + REST_SECONDS
            raise

    def _open(self, busy_timeout: float) -> _Open:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        deadline = time.monotonic() + BUSY_SECONDS
        while True:
            file = self._file
            opener = open_sqlite_db(self.path, busy_timeout=busy_timeout, synchronous="NORMAL")
            try:
                conn = opener.__enter__()
            except DatabaseBusy:  # somebody else is making the file just now
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.01)
                continue
            with self._lock:
                if self._identity is None:
                    self._identity = self._identity_now()
            return _Open(conn, opener, file)

    def _look(self) -> None:
        """Notices now and then that the file was deleted or replaced, and begins anew with it."""
        now = time.monotonic()
        if now < self._look_at:
            return
        with self._lock:
            self._look_at = now + REST_SECONDS
            if self._identity is None or self._identity == self._identity_now():
                return
            self._identity = None
            self._file = object()
        self._close_idle()

    def _identity_now(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_dev, found.st_ino


_FILES: WeakValueDictionary[Path, CacheFile] = WeakValueDictionary()
_INHERITED: list[_Open] = []
"""The connections that a forked process came with, kept so that nothing closes them."""
_files_lock = threading.Lock()


def cache_file(path: Path) -> CacheFile:
    """The cache file of a path, which all functions that are kept in it share."""
    absolute = path.absolute()
    with _files_lock:
        found = _FILES.get(absolute)
        if found is None:
            found = _FILES[absolute] = CacheFile(absolute)
        return found


@atexit.register
def _close_all() -> None:
    for file in list(_FILES.values()):
        file.close()


def _forget_all() -> None:
    global _files_lock
    _files_lock = threading.Lock()
    for file in list(_FILES.values()):
        file.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
