"""Who is told what happened, and who is asked? `DagProvenance` and `NullProvenance`.

Which rows an event makes stands in `recorder.py`, when they are committed in `writer.py`, how they
are read back in `history.py`.
"""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from datetime import datetime, timedelta
from functools import partial
from os import PathLike, fspath
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from lythonic_state import AsyncConnection, DbModel, Opener, SchemaError, SyncConnection, UserCtx

from ..call import run_to_result
from ..context import tenant_of
from ..dag_runner import (
    DagRunner,
    OnChange,
    Progress,
    check_on_change,
    resources_of,
    utc_now,
)
from ..events import (
    Event,
    NodeCompleted,
    NodeSkipped,
    RunFinished,
    RunResumed,
    RunStarted,
    RunStatus,
)
from ..failpoints import reached
from ..graph import check_limit
from ..outputs.reading import from_anywhere
from ..outputs.rows import RowSource
from ..recall import OldRun
from ..stopping import can_be_told
from ..values import Encoded
from . import history, known, memory, node_rows, recorder, retention, run_rows, tracing
from .explanation import Explanation
from .known import Author, EdgeTold, Write
from .liveness import begin_session, end_session
from .payloads import given_text, inputs_of, is_small, payload_of
from .recovery import MOST_TIMES, RUNS_AT_ONCE, Recovering, Recovery, Unfinished
from .retention import Pruned
from .row_lists import Outputs, Places, RowList
from .row_source import StoreRows
from .tables import (
    SCHEMA,
    STORE_VERSION,
    DagRun,
    EdgeTraversal,
    NodeExecution,
    StoreMeta,
)
from .tracing import Asking
from .writer import Durability, Writer

if TYPE_CHECKING:
    from ..registry import Namespace

T = TypeVar("T")
R = TypeVar("R", bound=DbModel[Any])
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
            lambda author: run_rows.run_created(
                run_id, self._clock(), dag_nsref, given, parent_run_id, author
            )
        )

    def update_run_status(self, run_id: str, status: RunStatus) -> None:
        """Sets the status of a run that has not ended.

        Raises:
            RunNotFound: there is no such run.
        """
        self._write(lambda _: run_rows.run_status(run_id, status))

    def finish_run(
        self, run_id: str, status: RunStatus, sink_outputs_json: str | None = None
    ) -> None:
        """Records how a run ended, and when.

        Raises:
            RunNotFound: there is no such run.
        """
        outputs = None if sink_outputs_json is None else given_text(sink_outputs_json)
        self._write(lambda _: run_rows.run_finished(run_id, self._clock(), status, outputs))

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
            lambda author: node_rows.node_started(
                run_id, self._clock(), node_label, given, is_source, is_sink, author
            )
        )

    def record_node_skipped(self, run_id: str, node_label: str, output_json: str) -> None:
        """Records that a node was not run, since an older output is used again."""
        output = given_text(output_json)
        self._write(lambda _: node_rows.node_skipped(run_id, self._clock(), node_label, output))

    def complete_node_with_edges(
        self, run_id: str, node_label: str, output_json: str, edges: Sequence[EdgeTold]
    ) -> None:
        """Records that a node completed, with its outgoing edges: downstream, parameter, rule.

        Raises:
            WrongRunState: it has not been started.
        """
        output = given_text(output_json)
        self._write(
            lambda _: node_rows.node_completed(run_id, self._clock(), node_label, output, edges)
        )

    def fail_node_and_finish_run(self, run_id: str, node_label: str, error: str) -> None:
        """Records that a node failed, and its run with it.

        Raises:
            RunNotFound: there is no such run.
        """
        at = self._clock()
        self._write(
            lambda _: known.together(
                run_rows.run_finished(run_id, at, "failed", None, node_label, error),
                node_rows.node_failed(run_id, at, node_label, error),
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

    # the rows of nodes

    @property
    def keeps_rows(self) -> bool:
        """Whether the rows of nodes with `write=` can be saved here."""
        return False

    def expect_rows(self, models: Sequence[type[DbModel[Any]]], /) -> None:
        """Makes sure that the tables of these models are there, before a run needs them.

        Raises:
            SchemaError: a table has another shape in the database.
        """
        raise NotImplementedError

    def row_source(self) -> RowSource:
        """Where `Rows` read what nodes have written."""
        raise NotImplementedError

    def is_at(self, target: str, /) -> bool:
        """Whether this is the database of the store."""
        return False

    def rows_are_at(self, target: str, /) -> None:
        """Notes where a runner writes rows to, so that they are found when they are asked for."""

    def keep_output(
        self, run_id: str, label: str, attempt: int, value: Any, declared: Any, /
    ) -> str | None:
        """Keeps what a running attempt returned, before its rows are saved in another database.

        Raises:
            WrongRunState: the attempt is not running any more.
        """
        raise NotImplementedError

    # who goes on

    async def recover(
        self,
        namespace: Namespace,
        on_change: OnChange = "raise",
        *,
        resources: Mapping[str, Any] | None = None,
        user_ctx: Any = None,
        executor: Executor | None = None,
        max_concurrency: int | None = None,
        progress: Progress | None = None,
        outputs: str | PathLike[str] | None = None,
        write_models: bool = False,
        concurrency: int | None = RUNS_AT_ONCE,
        most_times: int | None = MOST_TIMES,
    ) -> Recovery:
        """Continues the abandoned runs whose Dag a namespace has, each as `restart` would.

        A run is found by the `dag_nsref` that it was begun with. Those that cannot be continued are
        listed with the reason, and so are those that somebody is at work on; none stops the others.
        Of several recoveries at once, one gets a run. `resources`, `executor`, `max_concurrency`,
        `progress`, `outputs` and `write_models` are as in `DagRunner`, and each run gets those of
        the resources that it takes. With `user_ctx` only that tenant's runs are looked at.
        `concurrency` runs go on at once, and one that was begun or continued more than `most_times`
        times is left: it may be what kills the process.

        Example:
            >>> recovery = await provenance.recover(namespace)
            >>> for run in recovery.left:
            ...     print(run.run_id, run.reason, run.why)

        Raises:
            DagError: an option makes no sense; nothing has been continued.
            WrongKind: `user_ctx` names no tenant.
        """
        recovering = self._recovering(
            namespace,
            on_change,
            resources or {},
            user_ctx,
            concurrency,
            most_times,
            executor=executor,
            max_concurrency=max_concurrency,
            progress=progress,
            outputs=outputs,
            write_models=write_models,
        )
        return await recovering.carried_out()

    def recover_sync(
        self,
        namespace: Namespace,
        on_change: OnChange = "raise",
        *,
        resources: Mapping[str, Any] | None = None,
        user_ctx: Any = None,
        executor: Executor | None = None,
        max_concurrency: int | None = None,
        progress: Progress | None = None,
        outputs: str | PathLike[str] | None = None,
        write_models: bool = False,
        concurrency: int | None = RUNS_AT_ONCE,
        most_times: int | None = MOST_TIMES,
    ) -> Recovery:
        """`recover` for code that does not await; also below a running event loop.

        On the main thread, SIGINT and SIGTERM pause the runs that go on, as in `run_sync`, and no
        others are continued.

        Raises:
            DagError: an option makes no sense; nothing has been continued.
            WrongKind: `user_ctx` names no tenant.
        """
        recovering = self._recovering(
            namespace,
            on_change,
            resources or {},
            user_ctx,
            concurrency,
            most_times,
            executor=executor,
            max_concurrency=max_concurrency,
            progress=progress,
            outputs=outputs,
            write_models=write_models,
        )
        return run_to_result(recovering.until_told if can_be_told() else recovering.carried_out)

    def _recovering(
        self,
        namespace: Namespace,
        on_change: OnChange,
        resources: Mapping[str, Any],
        user_ctx: Any,
        concurrency: int | None,
        most_times: int | None,
        *,
        max_concurrency: int | None,
        **options: Any,
    ) -> Recovering:
        def runner_of(dag: Any) -> DagRunner:
            taken = resources_of(dag.plan(frozenset(resources)))
            return DagRunner(
                dag,
                self,
                max_concurrency=max_concurrency,
                resources={name: value for name, value in resources.items() if name in taken},
                user_ctx=user_ctx,
                clock=self._clock,
                **options,
            )

        check_on_change(on_change)
        check_limit("max_concurrency", max_concurrency)
        check_limit("concurrency", concurrency)
        check_limit("most_times", most_times)
        tenant = tenant_of(user_ctx)
        return Recovering(
            lambda: self._unfinished(user_ctx),
            namespace,
            runner_of,
            tenant,
            on_change,
            concurrency,
            most_times,
        )

    def _unfinished(self, user_ctx: UserCtx) -> list[Unfinished]:
        return self._read(
            lambda conn: history.unfinished(conn, self._why_running, self._clock(), user_ctx), []
        )

    # rows

    def rows_of(
        self,
        run_id: str,
        label: str,
        model: type[R],
        /,
        *,
        limit: int | None = None,
        outputs: Outputs | None = None,
        user_ctx: UserCtx = None,
    ) -> RowList[R]:
        """The rows of a model that a node wrote in a run, as they are now, in order of their keys.

        Those that another attempt has written since, and those that are deleted, are marked. What
        nodes inside of it wrote counts, too; one of them has a path: "pages/fetch". A node that
        reuses an output has the rows of the attempt that made it. `outputs` is the database (a
        connection, a path or a URL) that the rows were written to, if it is not this store's;
        without it, where the table is not in the store, it is the one that a runner last used.

        Example:
            >>> rows = provenance.rows_of(result.run_id, "clean", Price)
            >>> [price.cents for price in rows], rows.deleted
            ([110, 640], (RowKey(table='Price', key=3),))

        Raises:
            RunNotFound: the run is not in this store, or another tenant's.
            UnknownName: it has no node of such a label.
            LineageError: the table is in another database, or the model's rows belong to tenants
                and `user_ctx` is missing.
        """
        return self._trace(
            lambda asking: tracing.rows_of(asking, run_id, label, model, limit),
            RowList(),
            outputs,
            user_ctx,
        )

    def origin_of(self, row: DbModel[Any], /, *, user_ctx: UserCtx = None) -> NodeExecution | None:
        """The node that wrote a row last, by the row's key; None if none did.

        Example:
            >>> provenance.origin_of(price).node_label
            'clean'

        Raises:
            LineageError: it is no row of a table with a key.
        """
        return self._trace(lambda asking: tracing.origin_of(asking, row), None, None, user_ctx)

    def upstream_rows(
        self,
        row: DbModel[Any],
        /,
        *,
        limit: int | None = None,
        outputs: Outputs | None = None,
        user_ctx: UserCtx = None,
    ) -> RowList[Any]:
        """The rows that reached the node which wrote this row, as they are now, table by table.

        That is what the nearest nodes before it wrote, on the way through nodes that write nothing,
        and the rows in values that its run was given or that a node returned. What was written for
        an element of a map comes from that element only. Rows that no node wrote are among them.

        Example:
            >>> [raw.raw_id for raw in provenance.upstream_rows(price)]
            [1, 2]

        Raises:
            LineageError: it is no row of a table with a key, or a table is in another database, or
                rows belong to tenants and `user_ctx` is missing.
        """
        return self._trace(
            lambda asking: tracing.upstream_rows(asking, row, limit), RowList(), outputs, user_ctx
        )

    def downstream_rows(
        self,
        row: DbModel[Any],
        /,
        *,
        limit: int | None = None,
        outputs: Outputs | None = None,
        user_ctx: UserCtx = None,
    ) -> RowList[Any]:
        """The rows written by nodes that this row reached, in all runs, as they are now.

        A row is here exactly if this one is among its `upstream_rows`, or was before it was
        rewritten, which is marked.

        Example:
            >>> [total.cents for total in provenance.downstream_rows(price)]
            [750]

        Raises:
            LineageError: as with `upstream_rows`.
        """
        return self._trace(
            lambda asking: tracing.downstream_rows(asking, row, limit), RowList(), outputs, user_ctx
        )

    def explain(
        self,
        row: DbModel[Any],
        /,
        *,
        depth: int = 10,
        steps: int = 50,
        outputs: Outputs | None = None,
        user_ctx: UserCtx = None,
    ) -> Explanation:
        """How a row came to be: the node that wrote it, those whose rows fed that one, and so on.

        At most so many steps, and so many levels of them; what was cut is said.

        Example:
            >>> print(provenance.explain(total))
            Total 1 {"total_id":1,"cents":750}
            1. total wrote Total 1
            …

        Raises:
            LineageError: it is no row of a table with a key, or belongs to a tenant and `user_ctx`
                is missing.
            ValueError: `depth` or `steps` is less than one.
        """
        for name, value in (("depth", depth), ("steps", steps)):
            if value < 1:
                raise ValueError(f"{name} is how many at most, 1 or more, not {value!r}")
        return self._trace(
            lambda asking: tracing.explain(asking, row, depth, steps),
            Explanation(tracing.named(row), None),
            outputs,
            user_ctx,
        )

    def _trace(
        self, read: Callable[[Asking], T], empty: T, outputs: Outputs | None, user_ctx: UserCtx
    ) -> T:
        raise NotImplementedError

    # what stays

    def pin(self, run_id: str, pinned: bool = True) -> None:
        """Keeps a run from being pruned, or with `pinned=False` does so no longer.

        Raises:
            RunNotFound: there is no such run.
        """
        self._write(lambda _: run_rows.run_pinned(run_id, pinned))

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
    """Takes everything and keeps nothing, so that no node can write rows with it."""

    @property
    def blocking(self) -> bool:
        return False

    def emit(self, *events: Event) -> None:
        pass

    def try_emit(self, *events: Event) -> bool:
        return True

    def keep_output(
        self, run_id: str, label: str, attempt: int, value: Any, declared: Any, /
    ) -> str | None:
        return None

    def _write(self, prepare: Callable[[Author], Write]) -> None:
        pass

    def _read(self, read: Callable[[SyncConnection], T], empty: T) -> T:
        return empty

    def _trace(
        self, read: Callable[[Asking], T], empty: T, outputs: Outputs | None, user_ctx: UserCtx
    ) -> T:
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
            at_once = _are_awaited(events)
            self._writer.write(self._writes(events), at_once=at_once, alone=has_rows)
        except BaseException:
            self._note_ends(events, broken)
            raise

    def try_emit(self, *events: Event) -> bool:
        for event in events:
            if not _is_small(event):
                return False
        broken = self._broken_among(events)
        try:
            make = partial(self._writes, events)
            return self._writer.try_write(make, at_once=_are_awaited(events))
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
        return StoreRows(writer.target, writer if writer.in_memory else None)

    def _writes(self, events: Sequence[Event]) -> list[Write]:
        return [recorder.write_of(event, self._author) for event in events]

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
        with self.open() as conn, Places(conn, outputs, self._rows_at) as places:
            return read(Asking(conn, places, user_ctx))

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


def _are_awaited(events: Sequence[Event]) -> bool:
    """Whether somebody relies on these being written: a run has ended, or goes on here, or rows may
    be refused."""
    for event in events:
        if isinstance(event, NodeCompleted):
            if event.written is not None:
                return True
        elif isinstance(event, (RunFinished, RunResumed)):
            return True
    return False


def _is_small(event: Event) -> bool:
    if isinstance(event, NodeCompleted):
        return event.written is None and is_small(event.value)
    if isinstance(event, NodeSkipped):
        return is_small(event.value)
    return not isinstance(event, RunStarted) or is_small(event.inputs)
