"""Who is told of each statement: the log, and the callbacks that were registered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import field
from types import TracebackType
from typing import Any

from ..fields import frozen, mutable
from ..op import Statement

logger = logging.getLogger("lythonic_state")


@frozen
class StatementEvent:
    """One executed statement.

    `seconds` is the time until its rows had been fetched (0 for what PostgreSQL was sent together
    with another, which has the time of both), `rows` how many were read or written
    (None where it failed or has no number), `control` is True for BEGIN, SAVEPOINT and their like.
    """

    sql: str
    params: Any
    seconds: float
    rows: int | None
    error: BaseException | None
    control: bool


Callback = Callable[[StatementEvent], Any]

_lock = threading.Lock()
_everywhere: list[Callback] = []
_by_connection: dict[int, tuple[Any, list[Callback]]] = {}
watched = False
"""Whether anybody has registered; a plain flag, so that nobody pays who did not."""


class Subscription:
    """A registered callback; `.stop()` or the end of a `with` block takes it away."""

    def __init__(self, conn: Any, callback: Callback) -> None:
        self._conn = conn
        self._callback = callback
        self._active = True

    def stop(self) -> None:
        """Ends the subscription; a second call does nothing."""
        global watched
        with _lock:
            if not self._active:
                return
            self._active = False
            if self._conn is None:
                _everywhere.remove(self._callback)
            else:
                callbacks = _by_connection[id(self._conn)][1]
                callbacks.remove(self._callback)
                if not callbacks:
                    del _by_connection[id(self._conn)]
            watched = bool(_everywhere or _by_connection)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


def on_statement(conn: Any, callback: Callback) -> Subscription:
    """Calls `callback` with a `StatementEvent` after each statement on `conn`, or on every
    connection of this process where `conn` is None.

    It is called in the thread that ran the statement; what it raises goes to the log. The
    connection is kept alive until the subscription is stopped.

    Example:
        >>> with on_statement(conn, lambda event: print(event.sql)):
        ...     Book.select(conn)
    """
    global watched
    with _lock:
        if conn is None:
            _everywhere.append(callback)
        else:
            _by_connection.setdefault(id(conn), (conn, []))[1].append(callback)
        watched = True
    return Subscription(conn, callback)


@mutable(slots=False)
class StatementCount:
    """What `count_statements` saw: `events` in order, without BEGIN, SAVEPOINT and their like."""

    events: list[StatementEvent] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.events)

    @property
    def statements(self) -> list[str]:
        """The SQL of each, in order."""
        return [event.sql for event in self.events]

    def __len__(self) -> int:
        return len(self.events)


@contextmanager
def count_statements(conn: Any = None) -> Generator[StatementCount, None, None]:
    """Counts the statements that verbs run on `conn` (or on any connection) inside the block.

    Example:
        >>> with count_statements(conn) as counted:
        ...     parents(conn, books, Author)
        >>> assert counted.count == 1
    """
    counted = StatementCount()

    def note(event: StatementEvent) -> None:
        if not event.control:
            counted.events.append(event)

    with on_statement(conn, note):
        yield counted


def observing() -> bool:
    return watched or logger.isEnabledFor(logging.DEBUG)


def tell(
    conn: Any,
    statement: Statement,
    params: Any,
    seconds: float,
    rows: int | None,
    error: BaseException | None,
) -> None:
    """Tells the log and the callbacks of one executed statement."""
    event = StatementEvent(statement.sql, params, seconds, rows, error, statement.control)
    if logger.isEnabledFor(logging.DEBUG):
        outcome = f"{type(error).__name__}" if error is not None else f"{rows} rows"
        logger.debug("%.3f ms, %s: %s", seconds * 1000, outcome, statement.sql)
    callbacks = [*_everywhere, *_by_connection.get(id(conn), (None, ()))[1]]
    for callback in callbacks:
        try:
            callback(event)
        except Exception:
            logger.exception("a callback of on_statement failed")


def size_of(statement: Statement, result: Any) -> int | None:
    if statement.fetch == "one":
        return 0 if result is None else 1
    if statement.fetch == "all":
        return len(result)
    if statement.fetch in ("count", "many"):
        return int(result)
    return 1 if statement.fetch == "key" else None
