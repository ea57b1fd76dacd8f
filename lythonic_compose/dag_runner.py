"""How is a graph run, restarted and replayed? The runner, and what comes of a run.

What a run was asked for is checked here, before anything starts. How it goes then is the business
of `execution.py`.
"""

from __future__ import annotations

import concurrent.futures
import random
from collections.abc import AsyncGenerator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import MISSING, field
from datetime import UTC, datetime
from os import PathLike, fspath, urandom
from typing import TYPE_CHECKING, Any, TypeVar, cast, overload

from lythonic_state.fields import frozen
from lythonic_state.later import asyncio

from .call import cannot_travel, in_thread, run_to_result, to_the_end
from .context import context_class, current_initiator, fields_of, tenant_of
from .errors import (
    CodeChanged,
    DagError,
    DagPause,
    InputsNotKept,
    OutputsChanged,
    RunFailed,
    RunNotFound,
    RunTakenOver,
    UnknownName,
    WrongKind,
    WrongRunState,
    enumerated,
    nearest,
)
from .events import Listener, NodeStatus, RunStatus, in_short
from .execution import Run
from .failpoints import reached
from .graph import check_limit
from .marks import is_dag_factory
from .outputs.declared import is_stream
from .outputs.rows import RowKeeper
from .plan import NodePlan, Plan, Planned, part_of
from .recall import Memory, OldRun
from .resume import Kept, behind, changed_here, changed_nodes, kept_of, old_inputs
from .retry import Retry
from .stopping import can_be_told, until_told
from .tree import OnChange, Pausing, Progress, Tree
from .wiring import Given, inputs_of

if TYPE_CHECKING:
    from lythonic_state import DbModel

    from .outputs.elsewhere import Outputs

__all__ = [
    "CodeChanged",
    "DagPause",
    "DagRunResult",
    "DagRunner",
    "OnChange",
    "Progress",
    "Retry",
    "utc_now",
]

T = TypeVar("T")


def utc_now() -> datetime:
    return datetime.now(UTC)


def new_run_id() -> str:
    # what str(uuid.uuid4()) is, in a third of the time: a map makes thousands of them
    digits = urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) % 4]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"


# --- results --------------------------------------------------------------------------------


@frozen(slots=False)
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
    failed_path: str | None = None
    """Where it failed, inside of nodes too: "chunks[3]/parse"."""
    run_again: tuple[str, ...] = ()
    """Nodes that had completed before a restart, or in the run that was replayed, and were called
    again, since their output does not come back exactly from what was recorded."""
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
        where = f" at {self.failed_path!r}: {self.error}" if self.failed_path else ""
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

    Independent branches run concurrently, `max_concurrency` nodes at once at most (else any number,
    of which 32 may be sync functions in threads), and a node starts as soon as its inputs are
    there. Coroutine functions run on the loop, functions marked with `@inline` as well; all others
    run in threads, or in `executor`, which gets their name and plain values. `resources` fill
    parameters, and fields of a `DagContext`, of their name: a context manager is entered once per
    run and left at its end. `progress` is called with each event, on the loop. With `write_models`
    every function that may return models writes them, as if its node said `write="insert"`. Rows
    go to the database of `outputs` (a file or URL), else to that of `provenance`.

    Example:
        >>> runner = DagRunner(dag, provenance=DagProvenance("runs.db"))
        >>> result = await runner.run(source_inputs={"fetch": {"url": "https://example.com"}})
        >>> result.status
        'completed'

    Raises:
        DagError: `max_concurrency` is less than one.
        WrongKind: `user_ctx` names no tenant.
    """

    def __init__(
        self,
        dag: Planned,
        provenance: Listener | None = None,
        *,
        executor: concurrent.futures.Executor | None = None,
        max_concurrency: int | None = None,
        progress: Progress | None = None,
        resources: Mapping[str, Any] | None = None,
        outputs: str | PathLike[str] | None = None,
        write_models: bool = False,
        user_ctx: Any = None,
        clock: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = new_run_id,
        chance: Callable[[], float] = random.random,
    ) -> None:
        check_limit("max_concurrency", max_concurrency)
        self.dag = _planned(dag)
        self.provenance = provenance
        self._outputs = _outputs_of(outputs, self.provenance, clock)
        self._write_models = write_models
        self._executor = executor
        self._max_concurrency = max_concurrency
        self._progress = progress
        self._resources = dict(resources or {})
        self._user_ctx = user_ctx
        self._tenant = tenant_of(user_ctx)
        self._clock = clock
        self._new_id = new_id
        self._chance = chance
        self._pausing: set[Pausing] = set()
        self._checked: Plan | None = None

    async def run(
        self,
        source_inputs: Given | None = None,
        dag_nsref: str | None = None,
        parent_run_id: str | None = None,
        *,
        targets: Iterable[str | Callable[..., Any]] | None = None,
        overrides: Mapping[Any, Any] | None = None,
        scheduled_at: datetime | None = None,
        run_id: str | None = None,
    ) -> DagRunResult:
        """Runs the graph, or what `targets` need of it, with inputs by node and parameter.

        Inputs of nodes inside others are addressed by path: "pages/fetch". `overrides` give the
        outputs of nodes, which are not called then, and neither is what only they need. A `run_id`
        is for those who have to know it before the run begins; there must be no run of it yet.

        Example:
            >>> await runner.run({"fetch": {"url": "https://example.com"}})
            >>> await runner.run(targets=["clean"], overrides={"fetch": page})

        Raises:
            DagError: the graph is wrong, an input is missing, or `scheduled_at` has no time zone;
                nothing has started.
            UnknownName: an input, a target, an override or a resource that nothing takes.
        """
        if scheduled_at is not None and scheduled_at.tzinfo is None:
            raise DagError(
                f"scheduled_at={scheduled_at} has no time zone; give it one, such as UTC"
            )
        plan = whole = self._plan()
        labels = None
        values: dict[str, Any] = {}
        for node, value in (overrides or {}).items():
            values[self._labels(whole, [node])[0]] = value
        if targets is not None or values:
            plan, labels = self._part(whole, targets, values)
        needed = _not_below(plan, values)
        given = inputs_of(whole, source_inputs or {}, self._resources, needed)
        tree = self._tree(dag_nsref, scheduled_at, current_initiator())
        kept = Kept({}, values, ()) if values else None
        run_id = self._new_id() if run_id is None else run_id
        run = Run(tree, plan, given, run_id, dag_nsref or "", parent_run_id, kept=kept)
        run.targets = labels
        return await self._carried_out(run)

    def run_sync(
        self,
        source_inputs: Given | None = None,
        dag_nsref: str | None = None,
        parent_run_id: str | None = None,
        *,
        targets: Iterable[str | Callable[..., Any]] | None = None,
        overrides: Mapping[Any, Any] | None = None,
        scheduled_at: datetime | None = None,
        run_id: str | None = None,
    ) -> DagRunResult:
        """`run` for code that does not await; also below a running event loop.

        On the main thread, SIGINT and SIGTERM pause the run: what has begun may end within a grace
        period, and the result says "paused". A second signal breaks off at once.

        Raises:
            DagError: the graph is wrong, an input is missing, or `scheduled_at` has no time zone;
                nothing has started.
            UnknownName: an input, a target, an override or a resource that nothing takes.
        """
        return self._until_told(
            lambda: self.run(
                source_inputs,
                dag_nsref,
                parent_run_id,
                targets=targets,
                overrides=overrides,
                scheduled_at=scheduled_at,
                run_id=run_id,
            )
        )

    def _until_told(self, work: Callable[[], Coroutine[Any, Any, DagRunResult]]) -> DagRunResult:
        """Carries out work for code that does not await; signals that are heard pause it."""
        if not can_be_told():
            return run_to_result(work)
        return run_to_result(lambda: until_told(work(), self.pause, self._cut_short))

    def pause(self) -> None:
        """Pauses the runs that are under way: nodes that have begun end, and no others begin.

        Their status is "paused" then, and `restart` continues them. Any thread may call it.

        Example:
            >>> runner.pause()
        """
        for pausing in tuple(self._pausing):
            pausing.begin()

    def _cut_short(self) -> None:
        for pausing in tuple(self._pausing):
            pausing.cut_short = True

    async def restart(
        self,
        run_id: str,
        on_change: OnChange = "raise",
        *,
        source_inputs: Given | None = None,
    ) -> DagRunResult:
        """Continues a run that was paused, failed, was cancelled, or whose process is gone.

        What completed is not run again; its values come back as the types that are declared. A node
        whose output does not come back exactly is run again, and `result.run_again` names it.
        Secrets, and inputs that could not be kept, are asked for by name, and are given as
        `source_inputs`. If the code of completed nodes has changed, `on_change` says whether to
        "raise" that, to "rerun" them with all that is behind them, or to "keep" what they returned.

        Example:
            >>> result = await runner.restart(result.run_id)

        Raises:
            RunNotFound: there is no such run.
            WrongRunState: it has completed, is running, or is another tenant's.
            OutputsChanged: its rows would not be written, or not where the run writes them.
            CodeChanged: completed nodes have other code now; `nodes` names them.
            DagError: an input that was not kept is missing.
        """
        return await self._resume(run_id, on_change, source_inputs or {}, None)

    def restart_sync(
        self,
        run_id: str,
        on_change: OnChange = "raise",
        *,
        source_inputs: Given | None = None,
    ) -> DagRunResult:
        """`restart` for code that does not await; also below a running event loop.

        On the main thread, SIGINT and SIGTERM pause the run, as in `run_sync`.

        Raises:
            RunNotFound: there is no such run.
            WrongRunState: it has completed, is running, or is another tenant's.
            OutputsChanged: its rows would not be written, or not where the run writes them.
            CodeChanged: completed nodes have other code now; `nodes` names them.
            DagError: an input that was not kept is missing.
        """
        return self._until_told(
            lambda: self.restart(run_id, on_change, source_inputs=source_inputs)
        )

    async def _resume(
        self, run_id: str, on_change: OnChange, source_inputs: Given, fence: int | None
    ) -> DagRunResult:
        """`restart`; with a fence only if nobody has resumed the run since it was seen with it."""
        check_on_change(on_change)
        pausing = Pausing()
        self._pausing.add(pausing)  # what is asked for from now on is heard when the run begins
        try:
            return await self._gone_on_with(run_id, on_change, source_inputs, fence, pausing)
        finally:
            self._pausing.discard(pausing)

    async def _gone_on_with(
        self,
        run_id: str,
        on_change: OnChange,
        source_inputs: Given,
        fence: int | None,
        pausing: Pausing,
    ) -> DagRunResult:
        memory, old = await self._recalled(run_id)
        if fence not in (None, old.fence):
            raise RunTakenOver(f"run {run_id} has been taken over by somebody else")
        if old.status == "completed":
            raise WrongRunState(
                f"run {run_id} has completed; replay(…) runs nodes of it again, as a new run"
            )
        plan = self._plan()
        if old.targets is not None:
            plan, _ = self._part(plan, old.targets, ())
        if old.writes is not None:
            if on_change == "raise":
                _check_writes(plan, old, old.writes)
            _check_rows_to(old, None if self._outputs is None else self._outputs.place)
        changed = await in_thread(lambda: changed_nodes(plan, old, memory))
        if changed and on_change == "raise":
            raise CodeChanged(run_id, changed)
        rerun = behind(plan, changed_here(plan, old)) if on_change == "rerun" else set[str]()
        user_ctx = self._user_ctx
        source = None if self._outputs is None else self._outputs.row_source()
        kept = await in_thread(
            lambda: kept_of(plan, old, rerun, memory, user_ctx, source, all_values=True)
        )
        given = self._given_again("restart", plan, old, kept, source_inputs)
        reached("restart.decided")
        at, who = old.scheduled_at, old.initiated_by
        tree = self._tree(old.dag_nsref, at, who, memory, on_change, pausing)
        run = Run(
            tree,
            plan,
            given,
            run_id,
            old.path,
            old.parent_run_id,
            kept=kept,
            old=old,
            resuming=True,
        )
        return await self._carried_out(run)

    async def replay(
        self,
        run_id: str,
        rerun_nodes: Iterable[str | Callable[..., Any]],
        downstream: bool = False,
        *,
        source_inputs: Given | None = None,
    ) -> DagRunResult:
        """Runs some nodes of an earlier run again, as a new run with its inputs.

        All other nodes give what they returned then; with `downstream=True` what is behind the
        nodes runs, too. So does what had not completed, or does not come back exactly.

        Example:
            >>> again = await runner.replay(result.run_id, {"transform"}, downstream=True)

        Raises:
            RunNotFound: there is no such run.
            UnknownName: there is no such node.
            WrongRunState: it is running, or is another tenant's.
            DagError: an input that was not kept is missing.
        """
        pausing = Pausing()
        self._pausing.add(pausing)  # as at a restart
        try:
            return await self._again(run_id, rerun_nodes, downstream, source_inputs or {}, pausing)
        finally:
            self._pausing.discard(pausing)

    def replay_sync(
        self,
        run_id: str,
        rerun_nodes: Iterable[str | Callable[..., Any]],
        downstream: bool = False,
        *,
        source_inputs: Given | None = None,
    ) -> DagRunResult:
        """`replay` for code that does not await; also below a running event loop.

        On the main thread, SIGINT and SIGTERM pause the run, as in `run_sync`.

        Raises:
            RunNotFound: there is no such run.
            UnknownName: there is no such node.
            WrongRunState: it is running, or is another tenant's.
            DagError: an input that was not kept is missing.
        """
        return self._until_told(
            lambda: self.replay(run_id, rerun_nodes, downstream, source_inputs=source_inputs)
        )

    async def _again(
        self,
        run_id: str,
        rerun_nodes: Iterable[str | Callable[..., Any]],
        downstream: bool,
        source_inputs: Given,
        pausing: Pausing,
    ) -> DagRunResult:
        memory, old = await self._recalled(run_id)
        if old.status == "running":
            raise WrongRunState(f"run {run_id} is running; pause it, or wait for its end")
        plan = self._plan()
        if old.targets is not None:
            plan, _ = self._part(plan, old.targets, ())
        rerun = set(self._labels(plan, rerun_nodes))
        if downstream:
            rerun = behind(plan, rerun)
        user_ctx = self._user_ctx
        source = None if self._outputs is None else self._outputs.row_source()
        kept = await in_thread(
            lambda: kept_of(plan, old, rerun, memory, user_ctx, source, all_values=True)
        )
        given = self._given_again("replay", plan, old, kept, source_inputs)
        at, who = old.scheduled_at, current_initiator()
        tree = self._tree(old.dag_nsref, at, who, pausing=pausing)
        run = Run(tree, plan, given, self._new_id(), old.path, None, kept=kept, old=old)
        run.targets = old.targets
        return await self._carried_out(run)

    # before a run

    def _plan(self) -> Plan:
        plan = self.dag.plan(frozenset(self._resources), self._write_models)
        if plan is not self._checked:
            _check_resources(plan, self._resources)
            if self._keeper() is None and self._outputs is None:
                _check_nobody_writes(plan)
            if self._user_ctx is None:
                _check_nothing_is_scoped(plan)
            if self._executor is not None:
                _check_travellers(plan)
            self._checked = plan
        return plan

    def _keeper(self) -> RowKeeper | None:
        """Who saves the rows of nodes."""
        keeper = self.provenance
        return cast("RowKeeper", keeper) if getattr(keeper, "keeps_rows", False) else None

    def _labels(self, plan: Plan, nodes: Iterable[str | Callable[..., Any]]) -> list[str]:
        if isinstance(nodes, str):
            nodes = [nodes]
        found: list[str] = []
        for node in nodes:
            label = node if isinstance(node, str) else self.dag.label_of_function(node)
            if label not in plan.nodes:
                raise UnknownName(f"no node {label!r}{nearest(label, plan.nodes)}")
            found.append(label)
        return found

    def _part(
        self,
        plan: Plan,
        targets: Iterable[str | Callable[..., Any]] | None,
        overrides: Iterable[str],
    ) -> tuple[Plan, tuple[str, ...]]:
        given = self._labels(plan, overrides)
        wanted = (
            [label for label, node in plan.nodes.items() if node.is_sink]
            if targets is None
            else self._labels(plan, targets)
        )
        return part_of(plan, wanted, given), tuple(wanted)

    def _tree(
        self,
        dag_nsref: str | None,
        scheduled_at: datetime | None,
        initiated_by: str | None,
        memory: Memory | None = None,
        on_change: OnChange = "raise",
        pausing: Pausing | None = None,
    ) -> Tree:
        most = self._max_concurrency
        return Tree(
            self._clock,
            self._new_id,
            self._chance,
            self.provenance,
            self._progress,
            None if most is None else asyncio.Semaphore(most),
            self._executor,
            self._user_ctx,
            self._tenant,
            dag_nsref,
            scheduled_at,
            initiated_by,
            self.dag,
            pausing or Pausing(),
            memory,
            on_change,
            keeper=self._keeper(),
            outputs=self._outputs,
        )

    async def _recalled(self, run_id: str) -> tuple[Memory, OldRun]:
        if not hasattr(self.provenance, "recall"):
            raise WrongRunState(
                "nothing is known of earlier runs; make the runner with provenance=DagProvenance(…)"
            )
        memory = cast("Memory", self.provenance)
        old = await in_thread(lambda: memory.recall(run_id))
        if old is None:
            raise RunNotFound(f"there is no run {run_id!r} in {self.provenance!r}")
        if old.parent_label is not None:
            raise WrongRunState(
                f"run {run_id} is a part of run {old.parent_run_id} ({old.path}); take that one"
            )
        if old.tenant != self._tenant:
            raise WrongRunState(
                f"run {run_id} belongs to {old.tenant or 'no tenant'}, and this runner to "
                f"{self._tenant or 'no tenant'}; give DagRunner the user_ctx of the run"
            )
        return memory, old

    def _given_again(
        self, how: str, plan: Plan, old: OldRun, kept: Kept, extra: Given
    ) -> dict[str, dict[str, Any]]:
        given: dict[str, dict[str, Any]] = old_inputs(plan, old)
        new = inputs_of(plan, extra, self._resources, {})
        for path, values in new.items():
            given.setdefault(path, {}).update(values)
        missing = [
            (path, name)
            for path, _, name in (each.rpartition(".") for each in old.withheld)
            if path in plan.paths
            and path.partition("/")[0] not in kept.done
            and name not in given.get(path, {})
            and any(binding.param == name for binding in plan.paths[path].bindings)
        ]
        if missing:
            raise InputsNotKept(how, missing)
        return inputs_of(plan, given, self._resources, _not_below(plan, kept.done))

    # a run

    async def _carried_out(self, run: Run) -> DagRunResult:
        pausing, outputs = run.tree.pausing, self._outputs
        self._pausing.add(pausing)
        in_use = ExitStack()
        try:
            if outputs is not None:
                in_use.enter_context(outputs.in_use())
            takes_rows = (outputs or run.tree.keeper) if run.plan.writing else None
            if takes_rows is not None:
                models = _models_written(run.plan)
                await in_thread(lambda: takes_rows.expect_rows(models))
            if self._resources:
                async with _opened(self._resources) as resources:
                    run.tree.resources = resources
                    await run.execute()
            else:
                await run.execute()
        except asyncio.CancelledError:
            if run.status != "paused":
                raise
        finally:
            self._pausing.discard(pausing)
            if outputs is not None:  # to close a file may take a while
                await to_the_end(in_thread(in_use.close))
            if self._progress is not None:  # what it was to hear of stands in the loop's queue
                await asyncio.sleep(0)
        return DagRunResult(
            run.run_id,
            run.status,
            run.sink_outputs(),
            run.failed_node,
            None if run.error is None else in_short(run.error),
            run.error,
            run.failed_path,
            () if run.kept is None else run.kept.again,
            dict(run.statuses),
            run.values,
            self.dag,
        )


def _planned(dag: Any) -> Planned:
    """A Dag, or the one that a factory makes, or what a Pipeline is as one."""
    found = dag() if is_dag_factory(dag) else dag
    if callable(getattr(found, "to_dag", None)):
        found = found.to_dag()
    if not callable(getattr(found, "plan", None)):
        raise WrongKind(f"DagRunner runs a Dag, got {dag!r}")
    return cast("Planned", found)


def _not_below(plan: Plan, labels: Collection[str]) -> Mapping[str, NodePlan]:
    """All nodes by path, except those of these labels and what is inside them."""
    if not labels:
        return plan.paths
    return {path: node for path, node in plan.paths.items() if path.partition("/")[0] not in labels}


def check_on_change(on_change: OnChange) -> None:
    if on_change not in ("raise", "rerun", "keep"):
        raise DagError(f'on_change={on_change!r}: it is one of "raise", "rerun" and "keep"')


def resources_of(plan: Plan) -> set[str]:
    """The names of the resources that fill parameters, and fields of contexts, of a plan."""
    taken: set[str] = set()
    for node in plan.paths.values():
        for binding in node.bindings:
            if binding.rule == "resource":
                taken.add(binding.param)
            elif binding.rule == "context":
                kind = context_class(binding.arg.annotation)
                assert kind is not None
                taken |= set(fields_of(kind))
    return taken


def _check_resources(plan: Plan, resources: Mapping[str, Any]) -> None:
    taken = resources_of(plan)
    open_to: set[str] = set()
    problems: list[str] = []
    for path, node in plan.paths.items():
        for binding in node.bindings:
            if binding.is_given:
                open_to.add(binding.param)
            elif binding.rule == "context":
                kind = context_class(binding.arg.annotation)
                assert kind is not None
                problems += [
                    f"{path} takes a {kind.__name__}, whose field {name!r} is not filled; give "
                    f'resources={{"{name}": …}}, or the field a default'
                    for name, of in fields_of(kind).items()
                    if name not in resources
                    and of.default is MISSING is of.default_factory
                    and of.init
                ]
    for name in resources:
        if name not in taken:
            hint = nearest(name, taken | open_to)
            raise UnknownName(f"no node takes the resource {name!r}{hint}")
    if problems:
        raise DagError(problems)


def _outputs_of(
    target: str | PathLike[str] | None, provenance: Any, clock: Callable[[], datetime]
) -> Outputs | None:
    """The other database that takes rows; none where it is the one of the record itself."""
    if target is None:
        return None
    is_at = getattr(provenance, "is_at", None)
    if is_at is not None and is_at(fspath(target)):
        return None
    from .outputs.elsewhere import Outputs

    note = getattr(provenance, "rows_are_at", None)
    if note is not None:  # who is asked for the rows later
        note(fspath(target))
    return Outputs(target, clock)


def _models_written(plan: Plan) -> list[type[DbModel[Any]]]:
    """The models of which nodes have declared that they write them."""
    writes = [node.writes for node in plan.paths.values() if node.writes is not None]
    return list(dict.fromkeys(model for each in writes for model in each.models))


def _check_nobody_writes(plan: Plan) -> None:
    problems = [
        f"{path} writes the rows that it returns ({node.writes.how}), and nothing is there to keep "
        "them; give the runner provenance=DagProvenance(…), or outputs= a database"
        for path, node in plan.paths.items()
        if node.writes is not None
    ]
    if problems:
        raise DagError(problems)


def _check_writes(plan: Plan, old: OldRun, writes: Iterable[str]) -> None:
    wrote = {path: how for path, _, how in (each.rpartition(":") for each in writes)}
    silent = [
        f"{path} ({how})"
        for path, how in wrote.items()
        if path in plan.paths and plan.paths[path].writes is None
    ]
    if silent:
        raise OutputsChanged(
            f"run {old.run_id} writes the rows of {enumerated(silent)}, and here nothing would be "
            "written; make the runner with write_models=True or the node with write=…, as when the "
            'run was begun, or say on_change="keep" (or "rerun") if that is meant'
        )


def _check_rows_to(old: OldRun, place: str | None) -> None:
    if old.rows_to == place:
        return
    mend = "without outputs="
    if old.rows_to is not None:
        mend = f"with outputs={old.rows_to!r}"
        if "://" in old.rows_to:
            mend += " (and the password, which is not kept)"
    store = "the store that records it"
    raise OutputsChanged(
        f"run {old.run_id} writes its rows to {old.rows_to or store}, and here they would go to "
        f"{place or store}; make the runner {mend}, or begin a new run with replay(…)"
    )


def _check_nothing_is_scoped(plan: Plan) -> None:
    if not _models_written(plan):
        return
    # who writes models has imported it already, and who writes none need not
    from lythonic_state.identity import is_scoped

    problems = [
        f"{path} writes {model.__name__}, whose rows belong to tenants; give the runner the "
        "tenant's context: user_ctx=…"
        for path, node in plan.paths.items()
        for model in (() if node.writes is None else node.writes.models)
        if is_scoped(model)
    ]
    if problems:
        raise DagError(problems)


def _check_travellers(plan: Plan) -> None:
    problems: list[str] = []
    for path, node in plan.paths.items():
        function = node.function
        if function is None or function.inline or function.method.is_async:
            continue
        here = "mark it @inline or make it async, so that it runs in this process"
        for binding in node.bindings:
            if binding.rule in ("resource", "context"):
                problems.append(
                    f"{path}: the {binding.rule} {binding.param!r} cannot travel to an executor; "
                    f"{here}"
                )
        if node.writes is not None and (
            function.method.is_generator or is_stream(function.method.return_annotation)
        ):
            problems.append(
                f"{path} gives its rows one by one, which cannot travel from an executor; return a "
                f"list, or {here}"
            )
        why = cannot_travel(function.traveller)
        if why is not None:
            problems.append(
                f"{path}: an executor finds functions by their name, which does not lead to this "
                f"one ({why}); define it at the level of a module, or {here}"
            )
    if problems:
        raise DagError(problems)


@asynccontextmanager
async def _opened(resources: Mapping[str, Any]) -> AsyncGenerator[dict[str, Any]]:
    """The resources, those that are context managers entered."""
    async with AsyncExitStack() as stack:
        opened: dict[str, Any] = {}
        for name, resource in resources.items():
            resource = _anew(resource)
            if hasattr(type(resource), "__aenter__"):
                opened[name] = await stack.enter_async_context(resource)
            elif hasattr(type(resource), "__enter__"):
                opened[name] = stack.enter_context(resource)
            else:
                opened[name] = resource
        yield opened


def _anew(resource: Any) -> Any:
    """What a `@contextmanager` made can be entered once; each run enters one of its own."""
    again = getattr(type(resource), "_recreate_cm", None)
    return resource if again is None else again(resource)
