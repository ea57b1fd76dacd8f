"""Who is told what happened, and who is asked? `DagProvenance` and `NullProvenance`.

Which rows an event makes stands in `recorder.py`, when they are committed in `writer.py`, how they
are read back in `history.py`.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from os import PathLike, fspath
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from lythonic_state import AsyncConnection, Opener, SchemaError, SyncConnection, UserCtx

from ..dag_runner import utc_now
from ..events import (
    Event,
    NodeCompleted,
    NodeSkipped,
    RunFinished,
    RunResumed,
    RunStarted,
    RunStatus,
)
from ..recall import OldRun
from ..values import Encoded
from . import history, memory, recorder, retention
from .liveness import begin_session, end_session
from .payloads import given_text, inputs_of, is_small
from .recorder import Author, EdgeTold, Write
from .retention import Pruned
from .tables import (
    SCHEMA,
    STORE_VERSION,
    DagRun,
    EdgeTraversal,
    NodeExecution,
    StoreMeta,
)
from .writer import Durability, Writer

T = TypeVar("T")
LOG = logging.getLogger("lythonic_compose")

BUSY_TIMEOUT = 5.0
"""Seconds for which a write waits for other processes."""


class Provenance:
    """What can be told to a store and asked of it. What it does with that, subclasses say."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock

    @property
    def blocking(self) -> bool:
        """Whether telling it may have to wait, so that it must not be done on an event loop."""
        raise NotImplementedError

    def _write(self, prepare: Callable[[Author], Write]) -> None:
        raise NotImplementedError

    def _read(self, read: Callable[[SyncConnection], T], empty: T) -> T:
        raise NotImplementedError

    def _why_running(self, run: DagRun, at: datetime) -> str | None:
        """Who is at work on a run; None if nobody is."""
        raise NotImplementedError

    # writing

    def emit(self, *events: Event) -> None:
        """Records what a runner says has happened, all of it or nothing.

        Raises:
            WrongRunState: the run is running elsewhere, or the attempt is not running any more.
            DatabaseError: it cannot be written.
        """
        raise NotImplementedError

    def try_emit(self, *events: Event) -> bool:
        """`emit` where that needs no waiting; else False, and nothing was done."""
        raise NotImplementedError

    def create_run(
        self,
        run_id: str,
        dag_nsref: str | None,
        source_inputs: Mapping[str, Mapping[str, Any]],
        parent_run_id: str | None = None,
    ) -> None:
        """Begins the record of a run, as running.

        Raises:
            ConstraintViolation: there is a run of this id, or none of the parent's.
        """
        given = inputs_of(source_inputs, None)
        self._write(
            lambda author: recorder.run_created(
                run_id, self._clock(), dag_nsref, given, parent_run_id, author
            )
        )

    def update_run_status(self, run_id: str, status: RunStatus) -> None:
        """Sets the status of a run that has not ended.

        Raises:
            RunNotFound: there is no such run.
        """
        self._write(lambda _: recorder.run_status(run_id, status))

    def finish_run(
        self, run_id: str, status: RunStatus, sink_outputs_json: str | None = None
    ) -> None:
        """Records how a run ended, and when.

        Raises:
            RunNotFound: there is no such run.
        """
        outputs = None if sink_outputs_json is None else given_text(sink_outputs_json)
        self._write(lambda _: recorder.run_finished(run_id, self._clock(), status, outputs))

    def record_node_start(
        self,
        run_id: str,
        node_label: str,
        input_json: str | None,
        is_source: bool = False,
        is_sink: bool = False,
    ) -> None:
        """Records that a node has started, for the first time or again.

        Raises:
            RunNotFound: there is no such run.
        """
        given = None if input_json is None else given_text(input_json)
        self._write(
            lambda author: recorder.node_started(
                run_id, self._clock(), node_label, given, is_source, is_sink, author
            )
        )

    def record_node_skipped(self, run_id: str, node_label: str, output_json: str) -> None:
        """Records that a node was not run, since an older output is used again."""
        output = given_text(output_json)
        self._write(lambda _: recorder.node_skipped(run_id, self._clock(), node_label, output))

    def complete_node_with_edges(
        self, run_id: str, node_label: str, output_json: str, edges: Sequence[EdgeTold]
    ) -> None:
        """Records that a node completed, with its outgoing edges: downstream, parameter, rule.

        Raises:
            WrongRunState: it has not been started.
        """
        output = given_text(output_json)
        self._write(
            lambda _: recorder.node_completed(run_id, self._clock(), node_label, output, edges)
        )

    def fail_node_and_finish_run(self, run_id: str, node_label: str, error: str) -> None:
        """Records that a node failed, and its run with it.

        Raises:
            RunNotFound: there is no such run.
        """
        at = self._clock()
        self._write(
            lambda _: recorder.together(
                recorder.run_finished(run_id, at, "failed", None, node_label, error),
                recorder.node_failed(run_id, at, node_label, error),
            )
        )

    # reading

    def get_run(self, run_id: str, *, user_ctx: UserCtx = None) -> DagRun | None:
        """A run without its nodes, or None. With `user_ctx` every read shows that tenant only."""
        return self._read(lambda conn: history.run_by_id(conn, run_id, user_ctx), None)

    def inspect_run(self, run_id: str, *, user_ctx: UserCtx = None) -> DagRun | None:
        """A run with its nodes, their edges and the runs inside of it, or None.

        Example:
            >>> run = provenance.inspect_run(result.run_id)
            >>> run.nodes["pages"].sub_dags["pages[0]"].nodes["fetch"].status
            'completed'
        """
        return self._read(lambda conn: history.whole_run(conn, run_id, user_ctx), None)

    def load_io(
        self,
        dag_run: DagRun,
        node_labels: Collection[str] | None = None,
        *,
        user_ctx: UserCtx = None,
    ) -> DagRun:
        """Fills `io` of a run and of its nodes (of all, or of these), and returns the run.

        The runs inside of it are not filled: each can be given to `load_io` by itself.

        Example:
            >>> provenance.load_io(run).nodes["fetch"].output
            Page(url='https://example.com')

        Raises:
            RunNotFound: the run is not in this store, or another tenant's.
            UnknownName: it has no node of such a label.
        """
        return self._read(
            lambda conn: history.load_io(conn, dag_run, node_labels, user_ctx), dag_run
        )

    def get_recent_runs(
        self,
        limit: int = 20,
        status: RunStatus | None = None,
        *,
        nested: bool = True,
        user_ctx: UserCtx = None,
    ) -> list[DagRun]:
        """The newest runs first, with their nodes and edges.

        Runs that stand inside of others are found there, as `sub_dags`; with `nested=False` they
        are not read, which is faster where maps are large.
        """
        return self._read(
            lambda conn: history.recent_runs(conn, limit, status, user_ctx, nested=nested), []
        )

    def get_active_runs(self, *, user_ctx: UserCtx = None) -> list[DagRun]:
        """The runs that have not ended, with their nodes and edges, newest first."""
        return self._read(lambda conn: history.active_runs(conn, user_ctx), [])

    def get_abandoned_runs(self, *, user_ctx: UserCtx = None) -> list[DagRun]:
        """The runs that have not ended and whose process is gone; a restart continues them."""
        return self._read(
            lambda conn: history.abandoned_runs(conn, self._why_running, self._clock(), user_ctx),
            [],
        )

    def get_child_runs(self, parent_run_id: str, *, user_ctx: UserCtx = None) -> list[DagRun]:
        """The runs that a run began, and those that they began, outer ones first."""
        return self._read(lambda conn: history.child_runs(conn, parent_run_id, user_ctx), [])

    def get_node_executions(self, run_id: str, *, user_ctx: UserCtx = None) -> list[NodeExecution]:
        """The nodes of a run, with their outgoing edges, in the order in which they started."""
        return self._read(lambda conn: history.node_executions(conn, run_id, user_ctx), [])

    def get_node_output(
        self, run_id: str, node_label: str, *, user_ctx: UserCtx = None
    ) -> str | None:
        """What a completed or skipped node returned, as JSON, or None."""
        return self._read(
            lambda conn: history.node_output(conn, run_id, node_label, user_ctx), None
        )

    def get_pending_nodes(self, run_id: str, *, user_ctx: UserCtx = None) -> list[str]:
        """The labels of the nodes that are neither completed nor skipped."""
        return self._read(lambda conn: history.pending_nodes(conn, run_id, user_ctx), [])

    def get_edge_traversals(self, run_id: str, *, user_ctx: UserCtx = None) -> list[EdgeTraversal]:
        """What went along the edges of a run, in that order."""
        return self._read(lambda conn: history.edge_traversals(conn, run_id, user_ctx), [])

    # what a runner remembers

    def recall(self, run_id: str, /) -> OldRun | None:
        """What a runner needs to continue or to repeat a run; None if there is no such run."""
        return self._read(lambda conn: memory.recall(conn, run_id), None)

    def recall_nested(self, run_id: str, label: str, /) -> Mapping[str, OldRun]:
        """The newest run of each element of a composite node, by the element's key."""
        return self._read(lambda conn: memory.recall_nested(conn, run_id, label), {})

    def load(self, payload_hash: str, /) -> Encoded:
        """A recorded value as text."""
        nothing = Encoded("null", False, "builtins:NoneType")
        return self._read(lambda conn: memory.load(conn, payload_hash), nothing)

    # what stays

    def pin(self, run_id: str, pinned: bool = True) -> None:
        """Keeps a run from being pruned, or with `pinned=False` does so no longer.

        Raises:
            RunNotFound: there is no such run.
        """
        self._write(lambda _: recorder.run_pinned(run_id, pinned))

    def prune(
        self,
        *,
        older_than: timedelta | datetime | None = None,
        keep_last: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """Removes runs that ended that long ago, and are not among the newest so many.

        Runs inside of them go with them, and values that no other run refers to. Runs that are
        running or pinned stay. With `dry_run` nothing is removed, and the result tells what would
        be. A SQLite file shrinks.

        Example:
            >>> provenance.prune(older_than=timedelta(days=30), keep_last=100).runs
            ('6f0c…', '91ab…')

        Raises:
            ValueError: neither is given, or one makes no sense.
        """
        raise NotImplementedError

    # an end

    def close(self) -> None:
        """Ends it; what was told is kept."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class NullProvenance(Provenance):
    """Takes everything and keeps nothing."""

    @property
    def blocking(self) -> bool:
        return False

    def emit(self, *events: Event) -> None:
        pass

    def try_emit(self, *events: Event) -> bool:
        return True

    def _write(self, prepare: Callable[[Author], Write]) -> None:
        pass

    def _read(self, read: Callable[[SyncConnection], T], empty: T) -> T:
        return empty

    def _why_running(self, run: DagRun, at: datetime) -> str | None:
        return None

    def prune(
        self,
        *,
        older_than: timedelta | datetime | None = None,
        keep_last: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        return Pruned(dry_run=dry_run)


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
        try:
            self._writer = Writer(
                self._target,
                _prepare,
                lambda: recorder.heartbeat(author, utc_now()),
                lambda: recorder.abandoned(author),
                durability,
                busy_timeout,
            )
        except BaseException:
            end_session(session)
            raise
        self._session = session
        self._drop = weakref.finalize(self, _dropped, self._writer, session)

    def __repr__(self) -> str:
        return f"DagProvenance({self._target!r})"

    @property
    def blocking(self) -> bool:
        return True

    def emit(self, *events: Event) -> None:
        try:
            self._writer.write(self._writes(events), at_once=_are_awaited(events))
        except BaseException:
            self._note_ends(events)
            raise

    def try_emit(self, *events: Event) -> bool:
        for event in events:
            if not _is_small(event):
                return False
        try:
            make = partial(self._writes, events)
            return self._writer.try_write(make, at_once=_are_awaited(events))
        except BaseException:
            self._note_ends(events)
            raise

    def _writes(self, events: Sequence[Event]) -> list[Write]:
        return [recorder.write_of(event, self._author) for event in events]

    def _note_ends(self, events: Sequence[Event]) -> None:
        """Notes which runs have ended without a record of it."""
        ended = (event.run_id for event in events if isinstance(event, RunFinished))
        self._author.broken.update(ended)

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
        SCHEMA.create_tables(conn)
    except SchemaError:  # of an older version, as a rule
        conn.rollback()
        SCHEMA.migrate(conn)
    version = StoreMeta(name="version", value=str(STORE_VERSION))
    StoreMeta.insert_many(conn, [version], on_conflict="ignore")
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


def _are_awaited(events: Sequence[Event]) -> bool:
    """Whether somebody relies on these being written: a run has ended, or goes on here."""
    return any(isinstance(event, (RunFinished, RunResumed)) for event in events)


def _is_small(event: Event) -> bool:
    if isinstance(event, (NodeCompleted, NodeSkipped)):
        return is_small(event.value)
    return not isinstance(event, RunStarted) or is_small(event.inputs)
