"""What can a store be asked about its runs?

How that is read stands in `history.py`, and in `memory.py` what a runner asks.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, TypeVar

from lythonic_state import SyncConnection, UserCtx
from lythonic_state.later import Later

from ..events import RunStatus
from ..recall import OldRun
from ..values import Encoded
from .tables import DagRun, EdgeTraversal, NodeExecution

if TYPE_CHECKING:
    from . import history, memory
    from .recovery import Unfinished
else:  # who only writes the history does not read it
    history, memory = Later(__package__, "history"), Later(__package__, "memory")

T = TypeVar("T")


class AskedOfRuns:
    """The part of a store that reads runs."""

    _clock: Callable[[], datetime]

    def _read(self, read: Callable[[SyncConnection], T], empty: T) -> T:
        raise NotImplementedError

    def _why_running(self, run: DagRun, at: datetime) -> str | None:
        """Who is at work on a run; None if nobody is."""
        raise NotImplementedError

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

    def _unfinished(self, user_ctx: UserCtx) -> list[Unfinished]:
        return self._read(
            lambda conn: history.unfinished(conn, self._why_running, self._clock(), user_ctx), []
        )
