"""How does a store keep what it is told? `DagProvenance`.

Which rows an event makes stands in `recorder.py`, when they are committed in `writer.py`, and what
every store offers in `provenance.py`.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any, TypeVar, cast

from lythonic_state import AsyncConnection, DbModel, Opener, SchemaError, SyncConnection, UserCtx
from lythonic_state.later import Later

from ..dag_runner import utc_now
from ..events import (
    Event,
    NodeCompleted,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    RunResumed,
    RunStarted,
)
from ..failpoints import reached
from ..outputs.reading import from_anywhere
from ..outputs.rows import RowSource
from . import node_rows, recorder, run_rows
from .known import Author, Write
from .liveness import begin_session, end_session
from .payloads import is_small, payload_of
from .provenance import Provenance
from .tables import (
    STORE_VERSION,
    DagRun,
    StoreMeta,
)
from .writer import Durability, Writer

if TYPE_CHECKING:
    from . import retention, row_lists, row_source, schema, tracing
    from .retention import Pruned
    from .row_lists import Outputs
    from .tracing import Asking
else:
    retention, row_lists, row_source, schema, tracing = (
        Later(__package__, room)
        for room in ("retention", "row_lists", "row_source", "schema", "tracing")
    )

T = TypeVar("T")
LOG = logging.getLogger("lythonic_compose")

BUSY_TIMEOUT = 5.0
"""Seconds for which a write waits for other processes."""


class DagProvenance(Provenance):
    """Keeps runs, their nodes, edges and values in a SQLite file, or in the database of a URL.

    Threads, event loops and processes may share one; after a fork the child has a connection of its
    own. Use it as a context manager, or `close()` it. With `durability="node"` what has happened is
    in the file before anything that depends on it begins. With "run" it is written a little later,
    in the same order, and is there at the latest when a run ends or pauses: faster, and a killed
    process loses the last moments. A write waits `busy_timeout` seconds for other processes.

    Example:
        >>> with DagProvenance("runs.db") as provenance:
        ...     DagRunner(dag, provenance).run_sync(source_inputs={"fetch": {"url": "…"}})
        ...     with provenance.open() as conn:
        ...         failed = DagRun.select(conn, status="failed", order_by="-started_at")

    Raises:
        DatabaseError: the file is no database, or cannot be opened.
        MigrationError: the database has tables of these names and of a shape that cannot be brought
            to this version's by adding to it; nothing was changed.
        ValueError: `durability` is neither "node" nor "run".
    """

    def __init__(
        self,
        path_or_url: str | PathLike[str],
        *,
        durability: Durability = "node",
        busy_timeout: float = BUSY_TIMEOUT,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        super().__init__(clock)
        if durability not in ("node", "run"):
            raise ValueError(f'durability is "node" or "run", not {durability!r}')
        self._target = fspath(path_or_url)
        session = begin_session()
        self._author = author = Author(session)
        self._rows_at: str | None = None
        try:
            self._writer = Writer(
                self._target,
                _prepare,
                lambda: run_rows.heartbeat(author, utc_now()),
                lambda: run_rows.abandoned(author),
                durability,
                busy_timeout,
            )
        except BaseException:
            end_session(session)
            raise
        self._session = session
        self._expected = set[type[DbModel[Any]]]()
        """The models whose tables are there."""
        self._drop = weakref.finalize(self, _dropped, self._writer, session)

    def __repr__(self) -> str:
        return f"DagProvenance({self._target!r})"

    @property
    def blocking(self) -> bool:
        return True

    def emit(self, *events: Event) -> None:
        has_rows = False
        for event in events:
            if isinstance(event, NodeCompleted) and event.written is not None:
                self.expect_rows(event.written.models)
                has_rows = True
        broken = self._broken_among(events)
        try:
            at_once = has_rows or any(isinstance(event, _AWAITED) for event in events)
            writes = recorder.writes_of(events, self._author)
            self._writer.write(writes, at_once=at_once, alone=has_rows)
        except BaseException:
            self._note_ends(events, broken)
            raise

    def try_emit(self, *events: Event) -> bool:
        at_once = False
        for event in events:
            kind = event.__class__
            if kind is not NodeStarted:  # of which there are the most, and nothing to be asked
                if not _is_small(event):
                    return False
                at_once = at_once or kind in _AWAITED
        broken = self._broken_among(events) if self._author.broken else _NONE
        make = partial(recorder.writes_of, events, self._author)
        try:
            return self._writer.try_write(make, at_once=at_once)
        except BaseException:
            self._note_ends(events, broken)
            raise

    @property
    def keeps_rows(self) -> bool:
        return True

    def expect_rows(self, models: Sequence[type[DbModel[Any]]], /) -> None:
        new = [model for model in models if model not in self._expected]
        if new:
            self._writer.take_rows(new)
            self._expected.update(new)

    def rows_are_at(self, target: str, /) -> None:
        self._rows_at = from_anywhere(target)

    def is_at(self, target: str, /) -> bool:
        return from_anywhere(target) == from_anywhere(self._target)

    def keep_output(
        self, run_id: str, label: str, attempt: int, value: Any, declared: Any, /
    ) -> str | None:
        content = payload_of(value, declared, f"what {label} returned", has_origins=True)
        self._writer.write([node_rows.output_kept(run_id, label, attempt, content)], at_once=True)
        return content.payload_hash

    def row_source(self) -> RowSource:
        writer = self._writer
        return row_source.StoreRows(writer.target, writer if writer.in_memory else None)

    def _broken_among(self, events: Sequence[Event]) -> set[str]:
        broken = self._author.broken
        return broken & {event.run_id for event in events} if broken else set()

    def _note_ends(self, events: Sequence[Event], broken: set[str]) -> None:
        """Notes which runs have ended without a record of it, and which still have."""
        ended = (event.run_id for event in events if isinstance(event, RunFinished))
        self._author.broken.update(broken, ended)

    def open(self) -> Opener[SyncConnection, AsyncConnection]:
        """A connection to the same database, for queries of your own; sync or async.

        In memory there is only one connection, which is lent for the `with` block.

        Example:
            >>> with provenance.open() as conn:
            ...     runs = DagRun.select(conn, order_by="-started_at", limit=20)
        """
        return self._writer.opener()

    def close(self) -> None:
        """Writes what still waits, and closes the connection; closing twice is no error."""
        self._drop.detach()
        _end(self._writer, self._session)

    def _write(self, prepare: Callable[[Author], Write]) -> None:
        self._writer.write([prepare(self._author)])

    def _read(self, read: Callable[[SyncConnection], T], empty: T) -> T:
        with self._writer.lent() as conn:
            return read(conn)

    def _trace(
        self, read: Callable[[Asking], T], empty: T, outputs: Outputs | None, user_ctx: UserCtx
    ) -> T:
        # on a connection of its own, so that others write meanwhile
        with self.open() as conn, row_lists.Places(conn, outputs, self._rows_at) as places:
            return read(tracing.Asking(conn, places, user_ctx))

    def _why_running(self, run: DagRun, at: datetime) -> str | None:
        return self._author.why_running(run, at)

    def prune(
        self,
        *,
        older_than: timedelta | datetime | None = None,
        keep_last: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        # on a connection of its own, so that others write between the batches
        with self.open() as conn:
            return retention.prune(conn, self._clock(), older_than, keep_last, dry_run)


def _prepare(conn: SyncConnection) -> None:
    try:
        schema.SCHEMA.create_tables(conn)
    except SchemaError:  # of an older version, as a rule
        conn.rollback()
        schema.SCHEMA.migrate(conn)
    version = StoreMeta(name="version", value=str(STORE_VERSION))
    StoreMeta.insert_many(conn, [version], on_conflict="ignore")
    reached("store.prepared")
    cast(Any, conn).commit()


def _dropped(writer: Writer, session: str) -> None:
    try:
        _end(writer, session)
    except Exception:
        LOG.exception("a store was dropped without close(), and not all of it could be written")


def _end(writer: Writer, session: str) -> None:
    try:
        writer.close()
    finally:
        end_session(session)


_NONE: set[str] = set()
_AWAITED = (RunFinished, RunResumed)
"""Somebody relies on these being written: a run has ended, or goes on here."""


def _is_small(event: Event) -> bool:
    if isinstance(event, NodeCompleted):
        return event.written is None and is_small(event.value)
    if isinstance(event, NodeSkipped):
        return is_small(event.value)
    return not isinstance(event, RunStarted) or is_small(event.inputs)
