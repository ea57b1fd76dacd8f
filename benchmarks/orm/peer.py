"""What must a library be able to do to be measured? One method per workload, nothing shared.

A method may be a coroutine function: the worker awaits it. What a library cannot do is left out,
and stands as a dash in the table. No timing and no checking here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .data import AUTHOR_COLUMNS, BOOK_COLUMNS, COLUMNS

Values = dict[str, Any]


class Peer:
    """An adapter: how one library does each workload, written as its documentation shows it."""

    title: str
    packages: tuple[str, ...] = ()  # whose versions the report names
    note: str = ""  # what is not like for like
    gives_keys = True  # an inserted object gets its key

    # -- around the clock, never timed

    def open(self, target: str) -> Any:
        """Opens the database file or URL, which may be new."""
        raise NotImplementedError

    def create(self) -> Any:
        """Creates the tables, and commits."""
        raise NotImplementedError

    def close(self) -> Any:
        raise NotImplementedError

    def pragma(self, name: str) -> Any:
        """A setting of the connection that is measured (SQLite only)."""
        raise NotImplementedError

    def objects(self, rows: Sequence[Values], keys: bool) -> list[Any]:
        """Objects that were never stored; with their keys set, or for the database to set."""
        raise NotImplementedError

    def fill(self, table: str, rows: Sequence[Values]) -> Any:
        """Stores the rows of `person`, `author` or `book`, and commits."""
        raise NotImplementedError

    def plain(self, found: Any) -> tuple[Any, ...]:
        """A person as a plain row, in the order of `data.COLUMNS`."""
        return tuple(getattr(found, column) for column in COLUMNS)

    def plain_pair(self, found: Any) -> tuple[Any, ...]:
        """A book and its author as one plain row."""
        book = (getattr(found, column) for column in BOOK_COLUMNS)
        return (*book, *(getattr(found.author, column) for column in AUTHOR_COLUMNS))

    # -- the workloads. Those that write end with their commit.

    insert_each: Any = None  # (objects): one statement each, one transaction; keys come back
    insert_commit: Any = None  # (objects): one transaction each
    insert_bulk: Any = None  # (objects): as one call
    upsert: Any = None  # (objects): by primary key, as one call
    get: Any = None  # (keys) -> objects
    filter: Any = None  # (ranges) -> objects: keys above the first number, up to the second
    select: Any = None  # () -> objects
    stream: Any = None  # () -> sum of the ages, in constant memory
    update: Any = None  # (keys): one column, by key, one statement each, one transaction
    load_update: Any = (
        None  # (keys): get an object, change one attribute, store it; one transaction
    )
    join: Any = None  # () -> pairs of book and author

    async_open: Any = None
    async_close: Any = None
    async_get: Any = None  # (keys) -> objects
    async_select: Any = None  # () -> objects
