"""Who looks at the clock, and begins what is due? `TriggerManager`.

What is due is decided by `policy.py`, who gets it by `store.py`, and what becomes of it is the
business of `firing.py`. Here is the loop that asks them, and the face of them all.
"""

from __future__ import annotations

import asyncio
import logging
import random
import weakref
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from lythonic_state.fields import mutable

from ..call import in_thread, run_to_result
from ..config import TriggerConfig
from ..dag_provenance.liveness import (
    begin_session,
    end_session,
    is_alive,
    owner_of_this_process,
)
from ..dag_provenance.provenance import NullProvenance, Provenance
from ..dag_provenance.tables import DagRun
from ..dag_runner import DagRunResult, utc_now
from ..errors import ComposeError, RunNotFound, TriggerError
from ..events import in_short
from ..stopping import GRACE_SECONDS, can_be_told, until_told
from .claims import Claims
from .configured import triggers_of
from .firing import TOLD_BEFORE, Firing, OnFailure, RunnerOf
from .payload import Payload
from .policy import SKEW, Skipped, next_step, next_tick, schedule_of
from .store import TriggerStore
from .tables import TriggerFire, TriggerState

if TYPE_CHECKING:
    from ..registry import Namespace

T = TypeVar("T")
LOG = logging.getLogger("lythonic_compose.trigger")

LOOK = timedelta(seconds=1)
"""How often it is asked what was changed, here or in another process."""
DECIDED_AT_ONCE = 25
"""So many triggers are decided about in one transaction."""
TEND = timedelta(seconds=10)
"""How often it is asked whose process is gone."""


@mutable(slots=False)
class _Ticking:
    """A trigger that fires, and when it is due."""

    state: TriggerState
    due: datetime | None
    starting: bool
    """Whether nothing of it has been decided since the manager was started."""


class TriggerManager:
    """Fires the triggers of a store, for what stands in a namespace.

    `runner_of` gives the runner of what is registered under a path. `provenance` is where these
    runners record: by it a manager knows what became of the runs of a process that is gone.
    `on_failure` is called with the `DagRun` when a run that a trigger began failed, or could not
    begin. Managers of several processes may share a store: each tick is fired once.

    Example:
        >>> manager = TriggerManager(namespace, store, runner_of, provenance=provenance)
        >>> manager.activate("reports:daily", TriggerConfig(schedule="0 6 * * *"))
        >>> await manager.start()
        >>> await manager.stop()
    """

    def __init__(
        self,
        namespace: Namespace,
        store: TriggerStore,
        runner_of: RunnerOf,
        *,
        provenance: Provenance | None = None,
        on_failure: OnFailure | None = None,
        clock: Callable[[], datetime] = utc_now,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._namespace = namespace
        self._store = store
        # what keeps nothing knows nothing
        provenance = None if isinstance(provenance, NullProvenance) else provenance
        self._provenance = provenance
        self._clock = clock
        self._session = begin_session()
        self._ending = weakref.finalize(self, end_session, self._session)
        self._owner = owner_of_this_process(self._session)
        self._claims = claims = Claims(store, self._owner)
        self._firing = Firing(store, claims, runner_of, provenance, on_failure, clock, chance)
        self._triggers: dict[str, _Ticking] = {}
        self._changes: int | None = None
        self._looked_at = self._heard_at = self._tended_at = datetime.min.replace(tzinfo=UTC)
        self._advancing: set[str] = set()
        """Triggers of which a run has ended, so that another may begin."""
        self._tasks: dict[asyncio.Task[Any], int] = {}
        """What is under way, each with its fire."""
        self._claiming = asyncio.Lock()
        """Held until what was claimed by hand is under way, so that it is not taken for left."""
        self._wake = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._stopping = False

    # triggers

    def activate(self, nsref: str, config: TriggerConfig) -> TriggerState:
        """Keeps a trigger of what stands under a path, from now on and across restarts.

        Its name is that of the configuration, else the path. One that was disabled stays so.

        Example:
            >>> manager.activate("reports:daily", TriggerConfig(schedule="0 6 * * *"))

        Raises:
            NotRegistered: nothing stands there.
            TriggerError: the schedule or the time zone makes no sense, or never ticks; a trigger of
                this name hangs on something else.
        """
        node = self._namespace.get(nsref)
        schedule_of(config)
        return self._store.put(config.name or str(node.nsref), str(node.nsref), config)

    def activate_configured(self) -> list[TriggerState]:
        """Keeps all triggers that the namespace is configured with, and no others of those.

        What the configuration has no more does not fire any more; what was disabled stays so.

        Raises:
            ConfigError: with everything that makes no sense; nothing was changed.
        """
        return self._store.put_configured(triggers_of(self._namespace))

    def deactivate(self, name: str) -> TriggerState:
        """Lets a trigger fire no more until it is enabled, whatever is restarted or configured.

        Raises:
            UnknownTrigger: there is none of this name.
        """
        return self._store.disable(name)

    def enable(self, name: str) -> TriggerState:
        """Lets a trigger fire again, from its next tick on.

        Raises:
            UnknownTrigger: there is none of this name.
        """
        return self._store.enable(name)

    # firing

    async def fire(self, name: str, payload: Payload | None = None) -> DagRunResult:
        """Begins a run of a trigger now, whether it is enabled or not, and returns how it ended.

        It is given the payload, else that of the trigger. No manager needs to be started for that.

        Example:
            >>> (await manager.fire("often", {"fetch": {"url": "…"}})).raise_for_status()

        Raises:
            UnknownTrigger: there is none of this name.
            DagError: the payload does not fit; that is kept, and nothing has run.
        """
        state = await in_thread(partial(self._store.state, name))
        self._check_not_stopping()
        async with self._claiming:
            fire = await in_thread(partial(self._claims.by_hand, name, payload))
            task = self._spawn(fire, self._firing.begun(fire, state))
        result = await task
        if result is None:  # the next manager begins it
            self._check_not_stopping()
            if self._firing.stays_paused:
                raise TriggerError(f"the fire of {name!r} came to nothing: {TOLD_BEFORE}")
            raise TriggerError(f"the fire of {name!r} was taken over by another process")
        return result

    def fire_sync(self, name: str, payload: Payload | None = None) -> DagRunResult:
        """`fire` for code that does not await; the main thread hears SIGINT and SIGTERM.

        They pause the run as in `DagRunner.run_sync`; a restart goes on with it, and no manager.
        """
        work = partial(self.fire, name, payload)
        return run_to_result(partial(self._until_told, work) if can_be_told() else work)

    async def _until_told(self, work: Callable[[], Awaitable[T]]) -> T:
        self._firing.stays_paused = True
        return await until_told(work(), self._firing.pause, self.cut_short)

    def open_runs(self) -> set[str]:
        """The runs of fires that have not ended, with which a manager goes on by itself."""
        return {fire.run_id for fire in self._claims.open_fires() if fire.run_id is not None}

    async def tell_failure(self, run_id: str) -> None:
        """Calls `on_failure` with a run that somebody continued and that failed.

        Of the run of a fire that has not ended nothing is done: its own end tells of it.

        Raises:
            RunNotFound: there is no such run.
        """
        fire = await in_thread(partial(self._store.fire_of, run_id))
        if fire is not None and fire.ended_at is None:
            return
        provenance = self._provenance
        run = None
        if provenance is not None:
            run = await in_thread(lambda: provenance.get_run(run_id))
        if run is None:
            raise RunNotFound(f"there is no run {run_id!r} in {self._provenance!r}")
        await self._firing.told(run)

    # as long as it lasts

    async def start(self) -> None:
        """Goes on with what a process that is gone has left, and fires what is due from now on.

        It returns at once; the work goes on until `stop`.

        Raises:
            TriggerError: it has been started before.
            DatabaseError: the store, or the history of runs, cannot be read.
        """
        self._check_not_stopping()
        if self._watching is not None:
            raise TriggerError("this manager has been started already")
        await self._firing.noted_since()
        await self._look()
        self._watching = asyncio.create_task(self._watch(), name="triggers")

    async def stop(self, grace: float = GRACE_SECONDS) -> None:
        """Fires no more, pauses the runs that are under way, and waits for them.

        Nodes that are running may end within so many seconds, then they are broken off. The runs go
        on when a manager is started next.
        """
        self._stopping = True
        self._wake.set()
        if self._watching is not None:
            await self._watching
        if self._tasks:
            await in_thread(self._claims.let_go_on)
            self._firing.pause()
            timer = asyncio.get_running_loop().call_later(grace, self.cut_short)
            try:
                while self._tasks:  # they may have ended while that was kept
                    await asyncio.wait(self._tasks)
            finally:
                timer.cancel()
        self._ending()

    def cut_short(self) -> None:
        """Breaks off what still runs while `stop` waits for it; these runs are paused as well."""
        self._firing.cut_short()
        for task in tuple(self._tasks):
            task.cancel()

    # the loop

    async def _watch(self) -> None:
        wait, complaint = 0.0, ""
        while not self._stopping:
            try:
                await asyncio.wait_for(self._wake.wait(), wait)
            except TimeoutError:
                pass
            self._wake.clear()
            try:
                wait = await self._look()
                complaint = ""
            except Exception as error:
                wait = LOOK.total_seconds()
                if complaint != in_short(error):
                    complaint = in_short(error)
                    LOG.exception("triggers cannot be looked after; trying again each second")

    async def _look(self) -> float:
        """Begins what is due; for how many seconds nothing else will be."""
        now = self._clock()
        if now + SKEW < self._looked_at:
            LOG.warning("the clock was set back from %s to %s", self._looked_at, now)
            self._heard_at = self._tended_at = datetime.min.replace(tzinfo=UTC)
            for ticking in self._triggers.values():
                ticking.due = now
        self._looked_at = now
        if now - self._heard_at >= LOOK:
            await self._hear()
            self._heard_at = now
        if now - self._tended_at >= TEND:
            await self._tend(now)
            self._tended_at = now
        while self._advancing and not self._stopping:
            await self._advance(self._advancing.pop())
        due = [name for name, of in self._triggers.items() if of.due and of.due <= now]
        while due and not self._stopping:
            some, due = due[:DECIDED_AT_ONCE], due[DECIDED_AT_ONCE:]
            await self._decide({name: self._triggers[name] for name in some})
        times = [each.due for each in self._triggers.values() if each.due is not None]
        until = min([self._heard_at + LOOK, *times]) - self._clock()
        return min(max(until, timedelta(0)), LOOK).total_seconds()

    async def _hear(self) -> None:
        """Learns what was changed or requested."""
        changes = await in_thread(self._claims.changes)
        if changes == self._changes:
            return
        found: dict[str, _Ticking] = {}
        for state in await in_thread(self._store.states):
            if state.fires:
                before = self._triggers.get(state.name)
                starting = self._changes is None if before is None else before.starting
                found[state.name] = _Ticking(state, _due(state), starting)
        self._triggers = found
        self._advancing.update(await in_thread(self._claims.queued_triggers))
        self._changes = changes

    async def _decide(self, due: Mapping[str, _Ticking]) -> None:
        starting = {name: ticking.starting for name, ticking in due.items()}
        for name, decided in (await in_thread(partial(self._claims.decide, starting))).items():
            ticking, state = due[name], decided.state
            ticking.starting = False
            ticking.due = None if state is None else _due(state)
            for left in decided.left_out:
                _say_left_out(name, left)
            for fire in decided.fires:
                assert state is not None
                self._spawn(fire, self._firing.begun(fire, state))

    async def _advance(self, name: str) -> None:
        """Begins what has waited for the end of others, if its turn has come."""
        claimed = await in_thread(partial(self._claims.claim_queued, name))
        if claimed:
            state = await in_thread(partial(self._store.state, name))
            for fire in claimed:
                self._spawn(fire, self._firing.begun(fire, state))

    # fires whose process is gone

    async def _tend(self, now: datetime) -> None:
        """Says that this manager is alive, and goes on with the fires of those that are not."""
        if self._tasks:
            await in_thread(self._claims.beat)
        async with self._claiming:
            found = await in_thread(self._claims.open_fires)
            under_way = set(self._tasks.values())
        for fire in found:
            if fire.owner == self._owner:
                is_cared_for = fire.fire_id in under_way
            else:
                is_cared_for = is_alive(fire.owner, fire.heartbeat_at, now)
            if not is_cared_for and not self._stopping:
                await self._go_on_with(fire, now)

    async def _go_on_with(self, fire: TriggerFire, now: datetime) -> None:
        run = await self._firing.run_of(fire)
        step = next_step(
            fire.status,
            polls=fire.kind == "poll" and not fire.polled,
            goes_on=fire.goes_on,
            run=None if run is None else run.status,
            run_is_alive=run is not None and self._why_running(run, now) is not None,
            is_known=self._provenance is not None,
        )
        if step == "wait":
            return
        taken = await in_thread(partial(self._claims.take_over, fire))
        if taken is None:
            return
        state = await in_thread(partial(self._store.state, fire.trigger))
        LOG.info("trigger %s: what was fired at %s goes on", fire.trigger, fire.fired_at)
        if step == "begin":
            self._spawn(taken, self._firing.begun(taken, state))
        elif step == "continue" and run is not None:
            self._spawn(taken, self._firing.continued(taken, state, run))
        else:
            self._spawn(taken, self._firing.settled(taken, run))

    def _why_running(self, run: DagRun, now: datetime) -> str | None:
        return None if self._provenance is None else self._provenance._why_running(run, now)

    # tasks

    def _spawn(self, fire: TriggerFire, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.create_task(work, name=f"trigger {fire.trigger}")
        self._tasks[task] = fire.fire_id
        task.add_done_callback(partial(self._done, fire.trigger))
        return task

    def _done(self, name: str, task: asyncio.Task[Any]) -> None:
        del self._tasks[task]
        error = None if task.cancelled() else task.exception()
        if error is not None:
            trace = None if isinstance(error, ComposeError) else error
            LOG.error("trigger %s: no run: %s", name, in_short(error), exc_info=trace)
        self._advancing.add(name)
        self._wake.set()

    def _check_not_stopping(self) -> None:
        if self._stopping:
            raise TriggerError("this manager was stopped; make another one")


def _say_left_out(name: str, left: Skipped) -> None:
    ticks = "tick" if left.ticks == 1 else f"{left.ticks} ticks from {left.first} to"
    LOG.warning("trigger %s: no run for the %s %s: %s", name, ticks, left.last, left.reason)


def _due(state: TriggerState) -> datetime | None:
    try:
        return next_tick(state.config, state.since)
    except ComposeError as error:
        LOG.error("trigger %s does not fire: %s", state.name, error)
        return None
