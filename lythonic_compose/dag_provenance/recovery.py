"""Who goes on with the runs whose process is gone? A recovery, and what comes of it.

Which runs these are is asked of a store, and how one goes on is the runner's business: here each is
given its graph, and what cannot go on is listed with the reason. No table is read or written.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import field
from datetime import datetime
from os import PathLike
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from lythonic_state import UserCtx
from lythonic_state.fields import frozen
from lythonic_state.later import asyncio

from ..call import in_thread, run_to_result
from ..context import tenant_of
from ..dag_runner import (
    DagRunner,
    DagRunResult,
    OnChange,
    Progress,
    check_on_change,
    resources_of,
)
from ..errors import CodeChanged, DagError, NotRegistered, OutputsChanged, RunTakenOver
from ..events import Listener, in_short
from ..failpoints import reached
from ..graph import check_limit
from ..stopping import can_be_told, until_told
from .tables import DagRun

if TYPE_CHECKING:
    from ..registry import Namespace

Reason: TypeAlias = Literal[
    "alive",
    "taken",
    "unnamed",
    "unknown",
    "broken",
    "changed",
    "inputs",
    "outputs",
    "tenant",
    "hopeless",
    "stopped",
    "error",
]


RUNS_AT_ONCE = 8
"""How many runs go on at the same time."""
MOST_TIMES = 50
"""A run that was begun and continued so often is not continued once more without being asked."""


@frozen(slots=False)
class LeftRun:
    """A run that was not continued, and why.

    `reason` is one of: "alive" (somebody is at work on it), "taken" (somebody else has just
    continued it), "unnamed" (it was begun without a `dag_nsref`), "unknown" (the namespace has
    nothing there), "broken" (what stands there gives no Dag that could run), "changed" (completed
    nodes have other code), "inputs" (it needs a secret, or another input that is not kept),
    "outputs" (its rows would not be written, or to another database), "tenant" (it belongs to one),
    "hopeless" (it was continued too often already), "stopped" (the recovery was told to pause
    before its turn came) and "error" (`exception` broke it off).
    """

    run_id: str
    dag_nsref: str | None
    reason: Reason
    why: str
    """The same in words, with what can be done about it."""
    exception: BaseException | None = field(default=None, repr=False)


@frozen(slots=False)
class Recovery:
    """What came of a recovery: how the runs ended that it continued, and which it left."""

    continued: tuple[DagRunResult, ...] = ()
    """Oldest first; that a run went on does not mean that it completed."""
    left: tuple[LeftRun, ...] = ()
    """Oldest first."""

    def __str__(self) -> str:
        lines = [
            f"{result.run_id}: {result.status}"
            + (f" at {result.failed_path}: {result.error}" if result.failed_path else "")
            for result in self.continued
        ]
        lines += [f"{run.run_id}: left ({run.reason}), {run.why}" for run in self.left]
        return "\n".join(lines) or "no run has to be recovered"


@frozen
class Unfinished:
    """A run that has not ended, and who is at work on it: None if nobody is."""

    run: DagRun
    by: str | None


class Recovering:
    """A recovery under way.

    `unfinished` gives the outermost runs that have not ended, oldest first, and `runner_of` makes
    the runner of a Dag. At most `concurrency` runs go on at once.
    """

    def __init__(
        self,
        unfinished: Callable[[], Sequence[Unfinished]],
        namespace: Namespace,
        runner_of: Callable[[Any], DagRunner],
        tenant: str | None,
        on_change: OnChange,
        concurrency: int | None,
        most_times: int | None,
    ) -> None:
        self._unfinished = unfinished
        self._namespace = namespace
        self._runner_of = runner_of
        self._tenant = tenant
        self._on_change: OnChange = on_change
        self._concurrency = concurrency
        self._most_times = most_times
        self._runners: set[DagRunner] = set()
        self._pausing = False
        self._is_cut_short = False
        self.others: Callable[[], Collection[str]] = tuple
        """The ids of runs that somebody else continues, so that they are none of its business."""

    async def carried_out(self) -> Recovery:
        """Continues what can be continued."""
        unfinished = await in_thread(self._listed)
        reached("recover.listed")
        outcomes: list[DagRunResult | LeftRun | None] = [None] * len(unfinished)
        waiting = iter(range(len(unfinished)))

        async def work() -> None:
            for number in waiting:
                outcomes[number] = await self._one(unfinished[number])

        try:
            async with asyncio.TaskGroup() as group:
                for _ in unfinished[: self._concurrency]:
                    group.create_task(work())
        except asyncio.CancelledError:
            if not self._is_cut_short:
                raise
        return Recovery(
            tuple(each for each in outcomes if isinstance(each, DagRunResult)),
            tuple(
                _stopped(found.run) if outcome is None else outcome
                for found, outcome in zip(unfinished, outcomes, strict=True)
                if not isinstance(outcome, DagRunResult)
            ),
        )

    async def until_told(self) -> Recovery:
        """The same on the main thread of a process that may be told to stop."""
        return await until_told(self.carried_out(), self.pause, self.cut_short)

    def pause(self) -> None:
        """Pauses the runs that go on, and continues no others."""
        self._pausing = True
        for runner in tuple(self._runners):
            runner.pause()

    def cut_short(self) -> None:
        """Lets what is cancelled from now on only have paused."""
        self._is_cut_short = True
        for runner in tuple(self._runners):
            runner._cut_short()

    def _listed(self) -> list[Unfinished]:
        unfinished = self._unfinished()
        others = self.others()
        return [found for found in unfinished if found.run.run_id not in others]

    async def _one(self, found: Unfinished) -> DagRunResult | LeftRun:
        """How one run went on, or why it did not: whatever it raises stops no other."""
        run = found.run

        def left(reason: Reason, why: str, error: BaseException | None = None) -> LeftRun:
            return LeftRun(run.run_id, run.dag_nsref, reason, why, error)

        if found.by is not None:
            return left("alive", f"it is running {found.by}")
        if self._pausing:
            return _stopped(run)
        if run.tenant != self._tenant:
            return left("tenant", f"it belongs to {run.tenant}; give recover its user_ctx")
        if run.dag_nsref is None:
            return left(
                "unnamed",
                "it was begun without a dag_nsref, so that nothing leads to its Dag; "
                f"DagRunner(dag, provenance).restart({run.run_id!r}) continues it",
            )
        if self._most_times is not None and run.fence > self._most_times:
            return left(
                "hopeless",
                f"it was begun or continued {run.fence} times; a restart continues it all the same",
            )
        try:
            runner = self._runner_of(self._namespace.get_as_dag(run.dag_nsref))
        except NotRegistered as error:
            return left("unknown", in_short(error), error)
        except Exception as error:  # noqa: BLE001 - somebody else's module or factory
            return left("broken", f"{run.dag_nsref}: {in_short(error)}", error)
        self._runners.add(runner)
        try:
            result = await runner._resume(run.run_id, self._on_change, {}, run.fence)
            reached("recover.continued")
            return result
        except CodeChanged as error:
            return left("changed", str(error), error)
        except DagError as error:
            return left("inputs", str(error), error)
        except OutputsChanged as error:
            return left("outputs", str(error), error)
        except RunTakenOver as error:
            return left("taken", "somebody else continues it, or has done so", error)
        except Exception as error:  # noqa: BLE001 - a store or a resource that fails
            return left("error", in_short(error), error)
        finally:
            self._runners.discard(runner)


def _stopped(run: DagRun) -> LeftRun:
    why = "the recovery was told to pause before its turn came"
    return LeftRun(run.run_id, run.dag_nsref, "stopped", why)


class Recovers(Listener):
    """The part of a store that has abandoned runs go on."""

    _clock: Callable[[], datetime]

    def _unfinished(self, user_ctx: UserCtx) -> list[Unfinished]:
        """The outermost runs that have not ended, oldest first."""
        raise NotImplementedError

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
