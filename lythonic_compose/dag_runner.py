"""How do nodes, wiring and schedule become a run?

Takes what is ready, wires it, calls it, and emits what happened. Which output feeds which argument
is decided in `plan.py`; what becomes of an event is the listener's business.
"""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, overload

from .call import in_thread, run_to_result, to_the_end
from .errors import DagError, RunFailed, UnknownName, WrongRunState, nearest
from .events import (
    Event,
    Listener,
    NodeCompleted,
    NodeFailed,
    NodesEnded,
    NodeStarted,
    NodeStatus,
    RunFinished,
    RunStarted,
    RunStatus,
    in_short,
)
from .plan import NodePlan, Plan, Planned
from .schedule import Schedule
from .wiring import Given, arguments, check_inputs

T = TypeVar("T")


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_run_id() -> str:
    return str(uuid.uuid4())


# --- results --------------------------------------------------------------------------------


@dataclass(frozen=True)
class DagRunResult:
    """How a run ended, with the real objects that its sinks returned, by label."""

    run_id: str
    status: RunStatus
    outputs: dict[str, Any]
    failed_node: str | None = None
    """The first node that failed."""
    error: str | None = None
    """Its exception in one line."""
    exception: BaseException | None = field(default=None, repr=False)
    node_statuses: dict[str, NodeStatus] = field(default_factory=dict[str, NodeStatus], repr=False)
    values: dict[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """What every completed node returned, by label."""
    graph: Planned | None = field(default=None, repr=False, compare=False)

    def raise_for_status(self) -> DagRunResult:
        """Returns the result itself if the run completed.

        Example:
            >>> report = (await dag(url="…")).raise_for_status().outputs["report"]

        Raises:
            RunFailed: it did not; the node's own exception is the cause.
        """
        if self.status == "completed":
            return self
        where = f" at {self.failed_node!r}: {self.error}" if self.failed_node else ""
        raise RunFailed(f"run {self.run_id} {self.status}{where}") from self.exception

    @overload
    def __getitem__(self, node: str) -> Any: ...
    @overload
    def __getitem__(self, node: Callable[..., Coroutine[Any, Any, T]]) -> T: ...
    @overload
    def __getitem__(self, node: Callable[..., T]) -> T: ...
    def __getitem__(self, node: Any) -> Any:
        """What a node returned, by its label or its function, typed as the function's return.

        Raises:
            UnknownName: there is no such node.
            WrongRunState: it has not completed.
        """
        label = node
        if not isinstance(node, str):
            if self.graph is None:
                raise UnknownName("this result does not know its graph; give the node's label")
            label = self.graph.label_of_function(node)
        if label in self.values:
            return self.values[label]
        if label not in self.node_statuses:
            raise UnknownName(f"no node {label!r}{nearest(label, self.node_statuses)}")
        raise WrongRunState(
            f"{label!r} returned nothing in run {self.run_id}: it is {self.node_statuses[label]}"
            + (f", since {self.failed_node!r} failed: {self.error}" if self.failed_node else "")
        ) from self.exception


# --- the runner -----------------------------------------------------------------------------


class DagRunner:
    """Runs a graph, and tells `provenance` what happens.

    Independent branches run concurrently, `max_concurrency` nodes at once at most, and a node
    starts as soon as its inputs are there. Coroutine functions run on the loop, functions marked
    with `@inline` as well, all others in threads.

    Example:
        >>> runner = DagRunner(dag, provenance=DagProvenance("runs.db"))
        >>> result = await runner.run(source_inputs={"fetch": {"url": "https://example.com"}})
        >>> result.status
        'completed'

    Raises:
        DagError: `max_concurrency` is less than one.
    """

    def __init__(
        self,
        dag: Planned,
        provenance: Listener | None = None,
        *,
        max_concurrency: int | None = None,
        clock: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = new_run_id,
    ) -> None:
        if max_concurrency is not None and max_concurrency < 1:
            raise DagError(f"max_concurrency={max_concurrency}: at least one node has to run")
        self.dag = dag
        self.provenance = provenance
        self._max_concurrency = max_concurrency
        self._clock = clock
        self._new_id = new_id

    async def run(
        self,
        source_inputs: Given | None = None,
        dag_nsref: str | None = None,
        parent_run_id: str | None = None,
    ) -> DagRunResult:
        """Runs the graph once; inputs are given by node and parameter.

        A failing node fails the run, but not this call: branches that do not need it finish
        first, and the result says what happened (see `DagRunResult.raise_for_status`).

        Raises:
            DagError: the graph cannot run, or an input is missing or unknown; nothing has started.
        """
        plan = self.dag.plan()
        given = source_inputs or {}
        check_inputs(plan, given)
        run = _Run(
            plan,
            given,
            self._new_id(),
            self._clock,
            self.provenance,
            asyncio.Semaphore(self._max_concurrency) if self._max_concurrency else None,
        )
        await run.execute(dag_nsref, parent_run_id)
        return DagRunResult(
            run_id=run.run_id,
            status=run.status,
            outputs=run.sink_outputs(),
            failed_node=run.failed_node,
            error=None if run.error is None else in_short(run.error),
            exception=run.error,
            node_statuses=run.statuses,
            values=run.values,
            graph=self.dag,
        )

    def run_sync(
        self,
        source_inputs: Given | None = None,
        dag_nsref: str | None = None,
        parent_run_id: str | None = None,
    ) -> DagRunResult:
        """`run` for code that does not await; also where an event loop is running already."""
        return run_to_result(lambda: self.run(source_inputs, dag_nsref, parent_run_id))


# --- one run --------------------------------------------------------------------------------


class _Fence:
    """Who may say how a node ended: the first who asks."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._taken = False

    @property
    def taken(self) -> bool:
        return self._taken

    def take(self) -> bool:
        with self._lock:
            first = not self._taken
            self._taken = True
            return first


@dataclass
class _Run:
    plan: Plan
    given: Given
    run_id: str
    clock: Callable[[], datetime]
    listener: Listener | None
    slots: asyncio.Semaphore | None

    def __post_init__(self) -> None:
        self.status: RunStatus = "running"
        self.statuses: dict[str, NodeStatus] = dict.fromkeys(self.plan.nodes, "pending")
        self.values: dict[str, Any] = {}
        self.failed_node: str | None = None
        self.error: BaseException | None = None
        self._schedule = Schedule(self.plan.upstreams)
        self._fences = {label: _Fence() for label in self.plan.nodes}

    def sink_outputs(self) -> dict[str, Any]:
        return {
            label: self.values[label]
            for label, node in self.plan.nodes.items()
            if node.is_sink and label in self.values
        }

    async def execute(self, dag_nsref: str | None, parent_run_id: str | None) -> None:
        began = RunStarted(
            self.run_id, self.clock(), self.plan, self.given, dag_nsref, parent_run_id
        )
        try:
            await self._tell(began)
            async with asyncio.TaskGroup() as group:
                for label in self._schedule.ready():
                    group.create_task(self._node(group, label))
        except BaseException as error:
            # cancelled, or something broke that is not a node: the listener, for example
            cause = _only(error)
            cancelled = isinstance(cause, asyncio.CancelledError)
            self.status = "cancelled" if cancelled else "failed"
            self.error = None if cancelled else cause
            await to_the_end(self._break_off())
            if cause is error:
                raise
            raise cause from None
        self.status = "completed" if self.failed_node is None else "failed"
        await self._tell(self._finished())

    async def _break_off(self) -> None:
        """Records that what has not ended never will, as far as recording still works."""
        left = [
            node
            for label, node in self.plan.nodes.items()
            if self.statuses[label] in ("pending", "running") and self._fences[label].take()
        ]
        self.statuses.update({node.label: "cancelled" for node in left})
        try:
            await self._tell(
                NodesEnded(self.run_id, self.clock(), tuple(left), "cancelled"), self._finished()
            )
        except Exception:
            if self.status == "cancelled":
                raise

    def _finished(self) -> RunFinished:
        return RunFinished(
            self.run_id,
            self.clock(),
            self.plan,
            self.status,
            self.sink_outputs(),
            self.failed_node,
            self.error,
        )

    # one node

    async def _node(self, group: asyncio.TaskGroup, label: str) -> None:
        if self.slots is None:
            await self._attempt(label)
        else:
            async with self.slots:
                await self._attempt(label)
        if self.statuses[label] == "completed":
            for released in self._schedule.completed(label):
                group.create_task(self._node(group, released))
        elif self.statuses[label] == "failed":
            await self._block(label)

    async def _attempt(self, label: str) -> None:
        node = self.plan.nodes[label]
        given = self.given.get(label, {})
        self.statuses[label] = "running"
        try:
            values = arguments(node, self.values, given)
        except Exception as error:  # noqa: BLE001 - a wrong value fails the node, whatever it is
            await self._fail(node, error)
            return
        positional, by_name = node.method.arguments(values)
        function = node.method.target
        if node.method.is_async:
            await self._on_loop(node, given, lambda: function(*positional, **by_name))
        elif node.inline:
            await self._on_loop(node, given, lambda: _now(function(*positional, **by_name)))
        else:
            await self._in_thread(node, given, lambda: function(*positional, **by_name))

    async def _on_loop(
        self, node: NodePlan, given: Mapping[str, Any], call: Callable[[], Awaitable[Any]]
    ) -> None:
        await self._tell(NodeStarted(self.run_id, self.clock(), node, given))
        try:
            value = await call()
        except _NODE_ERRORS as error:
            if _is_cancelled(error):
                raise
            await self._fail(node, error)
            return
        if self._fences[node.label].take():
            await to_the_end(self._tell(NodeCompleted(self.run_id, self.clock(), node, value)))
            self._complete(node, value)

    async def _in_thread(
        self, node: NodePlan, given: Mapping[str, Any], call: Callable[[], Any]
    ) -> None:
        """Start, call and end in one visit to a thread, with what the listener does about them."""

        def visit() -> tuple[Literal["returned", "raised", "await", "late"], Any]:
            if self._fences[node.label].taken:  # cancelled while it waited for a thread
                return "late", None
            self._emit(NodeStarted(self.run_id, self.clock(), node, given))
            try:
                value = call()
            except _NODE_ERRORS as error:
                if not self._fences[node.label].take():
                    return "late", None
                self._emit(NodeFailed(self.run_id, self.clock(), node, error))
                return "raised", error
            if isinstance(value, Awaitable):  # a plain function that hands out a coroutine
                return "await", value
            if not self._fences[node.label].take():
                return "late", None
            self._emit(NodeCompleted(self.run_id, self.clock(), node, value))
            return "returned", value

        how, value = await in_thread(visit)
        if how == "await":
            try:
                value = await value
            except _NODE_ERRORS as error:
                if _is_cancelled(error):
                    raise
                await self._fail(node, error)
                return
            if self._fences[node.label].take():
                await to_the_end(self._tell(NodeCompleted(self.run_id, self.clock(), node, value)))
                self._complete(node, value)
        elif how == "returned":
            self._complete(node, value)
        elif how == "raised":
            self._note_failure(node, value)

    def _complete(self, node: NodePlan, value: Any) -> None:
        self.statuses[node.label] = "completed"
        self.values[node.label] = value

    async def _fail(self, node: NodePlan, error: BaseException) -> None:
        if self._fences[node.label].take():
            await to_the_end(self._tell(NodeFailed(self.run_id, self.clock(), node, error)))
            self._note_failure(node, error)

    def _note_failure(self, node: NodePlan, error: BaseException) -> None:
        self.statuses[node.label] = "failed"
        if self.failed_node is None:
            self.failed_node, self.error = node.label, error

    async def _block(self, label: str) -> None:
        """What depends on a failed node will never start."""
        lost = tuple(self.plan.nodes[each] for each in self._schedule.failed(label))
        for node in lost:
            self._fences[node.label].take()
            self.statuses[node.label] = "upstream_failed"
        if lost:
            event = NodesEnded(self.run_id, self.clock(), lost, "upstream_failed")
            await to_the_end(self._tell(event))

    # telling

    async def _tell(self, *events: Event) -> None:
        """Tells the listener from the loop: in a thread if it may have to wait."""
        if self.listener is None:
            return
        if self.listener.blocking:
            await in_thread(lambda: self._emit(*events))
        else:
            self._emit(*events)

    def _emit(self, *events: Event) -> None:
        if self.listener is not None:
            for event in events:
                self.listener.emit(event)


_NODE_ERRORS = (Exception, SystemExit, asyncio.CancelledError)
"""What a node may raise and thereby fail; a KeyboardInterrupt is not the node's."""


def _is_cancelled(error: BaseException) -> bool:
    """Whether a CancelledError is the run's; a node may have raised one of its own."""
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


async def _now(value: Any) -> Any:
    return await value if isinstance(value, Awaitable) else value


def _only(error: BaseException) -> BaseException:
    """The first exception out of the groups that a TaskGroup makes."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error
