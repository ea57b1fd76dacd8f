"""Who writes what happened, where, and who may read it? `DagProvenance` and `NullProvenance`.

One connection and one lock for as long as the store lives; each write is one transaction. Which
rows an event makes stands in `recorder.py`, how they are read back in `history.py`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from os import PathLike, fspath
from types import TracebackType
from typing import Any, Self, TypeVar, cast

from lythonic_state import (
    AsyncConnection,
    Opener,
    SyncConnection,
    open_db,
    open_sqlite_db,
    transaction,
)

from ..dag_runner import utc_now
from ..errors import WrongRunState
from ..events import Event, RunStatus
from . import history, recorder
from .payloads import given_text, inputs_payload
from .recorder import EdgeTold, Write
from .tables import (
    SCHEMA,
    STORE_VERSION,
    DagRun,
    EdgeTraversal,
    NodeExecution,
    StoreMeta,
)

T = TypeVar("T")

LENT_SECONDS = 10.0
"""How long a store in memory waits for its connection to come back."""


class Provenance:
    """What can be told to a store and asked of it. What it does with that, subclasses say."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock

    @property
    def blocking(self) -> bool:
        """Whether telling it may have to wait, so that it must not be done on an event loop."""
        raise NotImplementedError

    def _write(self, prepare: Callable[[], Write]) -> None:
        raise NotImplementedError

    def _read(self, read: Callable[[SyncConnection], T], empty: T) -> T:
        raise NotImplementedError

    # writing

    def emit(self, event: Event, /) -> None:
        """Records what a runner says has happened."""
        self._write(lambda: recorder.write_of(event))

    def create_run(
        self,
        run_id: str,
        dag_nsref: str | None,
        source_inputs: Mapping[str, Mapping[str, Any]],
        parent_run_id: str | None = None,
    ) -> None:
        """Begins the record of a run, as running."""
        self._write(
            lambda: recorder.run_started(
                run_id,
                self._clock(),
                dag_nsref,
                inputs_payload(source_inputs, None),
                parent_run_id,
                None,
            )
        )

    def update_run_status(self, run_id: str, status: RunStatus) -> None:
        """Sets the status of a run that has not ended.

        Raises:
            RunNotFound: there is no such run.
        """
        self._write(lambda: recorder.run_status(run_id, status))

    def finish_run(
        self, run_id: str, status: RunStatus, sink_outputs_json: str | None = None
    ) -> None:
        """Records how a run ended, and when.

        Raises:
            RunNotFound: there is no such run.
        """
        outputs = None if sink_outputs_json is None else given_text(sink_outputs_json)
        self._write(lambda: recorder.run_finished(run_id, self._clock(), status, outputs))

    def record_node_start(
        self,
        run_id: str,
        node_label: str,
        input_json: str | None,
        is_source: bool = False,
        is_sink: bool = False,
    ) -> None:
        """Records that a node has started."""
        self._write(
            lambda: recorder.node_started(
                run_id, self._clock(), node_label, input_json, is_source, is_sink
            )
        )

    def record_node_skipped(self, run_id: str, node_label: str, output_json: str) -> None:
        """Records that a node was not run, since an older output is used again."""
        self._write(lambda: recorder.node_skipped(run_id, self._clock(), node_label, output_json))

    def complete_node_with_edges(
        self, run_id: str, node_label: str, output_json: str, edges: Sequence[EdgeTold]
    ) -> None:
        """Records that a node completed, with its outgoing edges: downstream, parameter, rule.

        Raises:
            WrongRunState: it has not been started.
        """
        output = given_text(output_json)
        self._write(
            lambda: recorder.node_completed(run_id, self._clock(), node_label, output, edges)
        )

    def fail_node_and_finish_run(self, run_id: str, node_label: str, error: str) -> None:
        """Records that a node failed, and its run with it.

        Raises:
            RunNotFound: there is no such run.
        """
        at = self._clock()
        self._write(
            lambda: recorder.together(
                [
                    recorder.node_ended(run_id, at, node_label, "failed", error),
                    recorder.run_finished(run_id, at, "failed", None, node_label, error),
                ]
            )
        )

    # reading

    def get_run(self, run_id: str) -> DagRun | None:
        """A run without its nodes, or None."""
        return self._read(lambda conn: history.run_by_id(conn, run_id), None)

    def inspect_run(self, run_id: str) -> DagRun | None:
        """A run with its nodes and their edges, or None."""
        return self._read(lambda conn: history.whole_run(conn, run_id), None)

    def get_recent_runs(self, limit: int = 20, status: RunStatus | None = None) -> list[DagRun]:
        """The newest runs first, with their nodes and edges."""
        return self._read(lambda conn: history.recent_runs(conn, limit, status), [])

    def get_active_runs(self) -> list[DagRun]:
        """The runs that have not ended, with their nodes and edges."""
        return self._read(history.active_runs, [])

    def get_child_runs(self, parent_run_id: str) -> list[DagRun]:
        """The runs that a run began, and those that they began."""
        return self._read(lambda conn: history.child_runs(conn, parent_run_id), [])

    def get_node_executions(self, run_id: str) -> list[NodeExecution]:
        """The nodes of a run, with their outgoing edges, in the order in which they started."""
        return self._read(lambda conn: history.node_executions(conn, run_id), [])

    def get_node_output(self, run_id: str, node_label: str) -> str | None:
        """What a completed or skipped node returned, as JSON, or None."""
        return self._read(lambda conn: history.node_output(conn, run_id, node_label), None)

    def get_pending_nodes(self, run_id: str) -> list[str]:
        """The labels of the nodes that are neither completed nor skipped."""
        return self._read(lambda conn: history.pending_nodes(conn, run_id), [])

    def get_edge_traversals(self, run_id: str) -> list[EdgeTraversal]:
        """What went along the edges of a run, in that order."""
        return self._read(lambda conn: history.edge_traversals(conn, run_id), [])

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

    def _write(self, prepare: Callable[[], Write]) -> None:
        pass

    def _read(self, read: Callable[[SyncConnection], T], empty: T) -> T:
        return empty


class DagProvenance(Provenance):
    """Keeps runs, their nodes, edges and values in a SQLite file, or in the database of a URL.

    Threads and event loops may share one. Use it as a context manager, or `close()` it.

    Example:
        >>> with DagProvenance("runs.db") as provenance:
        ...     DagRunner(dag, provenance).run_sync(source_inputs={"fetch": {"url": "…"}})
        ...     with provenance.open() as conn:
        ...         failed = DagRun.select(conn, status="failed", order_by="-started_at")

    Raises:
        DatabaseError: the file is no database, or cannot be opened.
        SchemaError: the database has tables of these names and another shape.
    """

    def __init__(
        self, path_or_url: str | PathLike[str], *, clock: Callable[[], datetime] = utc_now
    ) -> None:
        super().__init__(clock)
        self._target = fspath(path_or_url)
        self._in_memory = self._target in ("sqlite://", "sqlite:///:memory:", ":memory:")
        self._lock = threading.RLock()
        self._opener = self._new_opener()
        self._conn: SyncConnection | None = self._opener.__enter__()
        try:
            self._prepare(self._conn)
        except BaseException:
            self.close()
            raise

    def __repr__(self) -> str:
        return f"DagProvenance({self._target!r})"

    @property
    def blocking(self) -> bool:
        return True

    def open(self) -> Opener[SyncConnection, AsyncConnection]:
        """A connection to the same database, for queries of your own; sync or async.

        In memory there is only one connection, which is lent for the `with` block.

        Example:
            >>> with provenance.open() as conn:
            ...     runs = DagRun.select(conn, order_by="-started_at", limit=20)
        """
        return Opener(self._lent, _no_async) if self._in_memory else self._new_opener()

    def close(self) -> None:
        """Closes the connection; closing twice is no error."""
        with self._lock:
            if self._conn is not None:
                self._conn = None
                self._opener.__exit__(None, None, None)

    def _new_opener(self) -> Opener[SyncConnection, AsyncConnection]:
        if "://" in self._target:
            return open_db(self._target)
        # a killed process loses nothing of a run's history; a power cut may lose the last commits
        opener = open_sqlite_db(self._target, synchronous="NORMAL")
        return cast("Opener[SyncConnection, AsyncConnection]", opener)

    def _prepare(self, conn: SyncConnection) -> None:
        SCHEMA.create_tables(conn)
        version = StoreMeta(name="version", value=str(STORE_VERSION))
        StoreMeta.insert_many(conn, [version], on_conflict="ignore")
        cast(Any, conn).commit()

    @contextmanager
    def _connected(self) -> Generator[SyncConnection]:
        # whoever lends the only connection of a store in memory may be waiting for us
        if not self._lock.acquire(timeout=LENT_SECONDS if self._in_memory else -1):
            raise WrongRunState(
                f"the only connection of {self!r} is lent; leave the block of `with .open()` "
                "before a run goes on, or keep the store in a file"
            )
        try:
            if self._conn is None:
                raise WrongRunState(f"{self!r} is closed; make another one")
            yield self._conn
        finally:
            self._lock.release()

    @contextmanager
    def _lent(self) -> Generator[SyncConnection]:
        with self._connected() as conn:
            try:
                yield conn
            finally:
                conn.rollback()

    def _write(self, prepare: Callable[[], Write]) -> None:
        write = prepare()
        with self._connected() as conn, transaction(conn):
            write(conn)

    def _read(self, read: Callable[[SyncConnection], T], empty: T) -> T:
        with self._lent() as conn:
            return read(conn)


def _no_async() -> Any:
    raise WrongRunState("a store in memory has one sync connection; use `with`, not `async with`")
