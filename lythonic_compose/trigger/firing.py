"""How does a fire become a run, and what is kept of how that ends?

One fire at a time: from its claim to the end of its run, and the same for one whose process is
gone. When triggers tick, and who gets a tick, is not known here.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from inspect import isawaitable
from typing import Any, cast

from ..call import in_thread, to_the_end
from ..context import initiated_by
from ..dag_provenance.provenance import Provenance
from ..dag_provenance.recovery import MOST_TIMES
from ..dag_provenance.tables import DagRun
from ..dag_runner import DagRunner, DagRunResult
from ..events import RunStatus, in_short
from ..failpoints import reached
from ..refs import GlobalRef
from ..signature import Method
from .claims import Claims
from .payload import Payload, inputs_from, kept_payload
from .store import TriggerStore
from .tables import FireStatus, TriggerFire, TriggerState

LOG = logging.getLogger("lythonic_compose.trigger")

STOPPED = "the engine was stopped; it goes on with the next one"
PAUSED = "a node or a signal paused it; restart continues it"
TOLD_BEFORE = "it was told to stop before its run began"
UNKNOWN = "its process is gone, and no history says what became of it"

RunnerOf = Callable[[str], DagRunner]
OnFailure = Callable[[DagRun], Any]


class Firing:
    """Carries out the fires of one manager."""

    def __init__(
        self,
        store: TriggerStore,
        claims: Claims,
        runner_of: RunnerOf,
        provenance: Provenance | None,
        on_failure: OnFailure | None,
        clock: Callable[[], datetime],
        chance: Callable[[], float],
    ) -> None:
        self._store = store
        self._claims = claims
        self._runner_of = runner_of
        self._provenance = provenance
        self._on_failure = on_failure
        self._clock = clock
        self._chance = chance
        self._runners: dict[DagRunner, int] = {}
        self._stopping = asyncio.Event()
        self.stays_paused = False
        """Whether what `pause` pauses waits for a restart, and not for the next manager."""

    # stopping

    def pause(self) -> None:
        """Pauses the runs that are under way, and lets no other begin."""
        again = self._stopping.is_set()
        self._stopping.set()
        for runner in tuple(self._runners):
            runner.pause()
        if self._runners and not again:
            many = sum(self._runners.values())
            LOG.info("runs that pause once the nodes that are running have ended: %s", many)

    def cut_short(self) -> None:
        """Lets what is cancelled from now on only have paused."""
        self.pause()
        for runner in tuple(self._runners):
            runner._cut_short()

    # one fire

    async def begun(self, fire: TriggerFire, state: TriggerState) -> DagRunResult | None:
        """How the run of a fire ended; None if none was begun.

        Raises:
            ComposeError: the run could not begin; that is kept.
        """
        reached("trigger.claimed")
        if fire.kind != "manual" and not await self._waited(state):
            return None
        payload: Payload = state.config.payload if fire.payload is None else fire.payload
        try:
            if fire.kind == "poll" and not fire.polled:
                answer = await self._polled(fire, state)
                if answer is None:
                    await in_thread(partial(self._claims.withdraw, fire))
                    return None
                payload = answer
            run = partial(self._run, fire, state, payload)
            return await self._carried_out(fire, state.nsref, run)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            await self._refused(fire, state, error)
            raise

    async def continued(self, fire: TriggerFire, state: TriggerState, run: DagRun) -> None:
        """Goes on with the run of a fire whose process is gone, or was stopped."""
        if run.fence > MOST_TIMES:
            why = f"it was begun or continued {run.fence} times; restart continues it all the same"
            await self._end(fire, "failed", why)
            return

        async def work(runner: DagRunner) -> DagRunResult:
            return await runner._resume(run.run_id, "raise", {}, run.fence)

        try:
            await self._carried_out(fire, state.nsref, work)
        except Exception as error:  # noqa: BLE001 - the user's code, or what is around it
            now = await self.run_of(fire)
            if now is not None and now.fence != run.fence:
                # somebody continues it, or did; a later look sees how it ended
                LOG.info("trigger %s: %s", fire.trigger, error)
                return
            LOG.error("trigger %s: run %s cannot go on: %s", fire.trigger, run.run_id, error)
            await self._end(fire, "failed", f"it cannot go on: {in_short(error)}")

    async def settled(self, fire: TriggerFire, run: DagRun | None) -> None:
        """Keeps of a fire how its run has ended meanwhile."""
        if run is None:
            await self._end(fire, "failed", UNKNOWN)
        else:
            await self._ended(fire, run.status, run.error)

    async def noted_since(self) -> None:
        """Keeps of fires whose run was paused how it has ended since, by somebody's restart."""
        for fire in await in_thread(partial(self._store.fires, status="paused", limit=None)):
            run = None if fire.goes_on else await self.run_of(fire)
            if run is not None:
                await in_thread(partial(self._store.run_ended, run.run_id, run.status, run.error))

    # the parts of it

    async def _waited(self, state: TriggerState) -> bool:
        """Waits by chance, as long as the jitter lets it; False if it is to stop meanwhile."""
        seconds = cast(timedelta, state.config.jitter).total_seconds() * self._chance()
        if seconds > 0:
            try:
                await asyncio.wait_for(self._stopping.wait(), seconds)
            except TimeoutError:
                pass
        return not self._stopping.is_set()

    async def _polled(self, fire: TriggerFire, state: TriggerState) -> Payload | None:
        """Asks the function; what a run is given, or None if there is nothing to do."""
        answer = await _asked(GlobalRef(cast(str, state.config.poll_fn)))
        if answer is None or answer is False:
            return None
        given = state.config.payload
        if answer is not True:
            whose = f"what {state.config.poll_fn} returns, if it is no bool and not None,"
            given = kept_payload(answer, whose)
        await in_thread(partial(self._claims.note, fire, polled=True, payload=given))
        return given

    async def _run(
        self, fire: TriggerFire, state: TriggerState, payload: Payload, runner: DagRunner
    ) -> DagRunResult:
        return await runner.run(
            inputs_from(runner._plan(), payload),
            dag_nsref=state.nsref,
            run_id=fire.run_id,
            scheduled_at=fire.tick,
        )

    async def _carried_out(
        self,
        fire: TriggerFire,
        nsref: str,
        work: Callable[[DagRunner], Awaitable[DagRunResult]],
    ) -> DagRunResult | None:
        runner = await in_thread(partial(self._runner_of, nsref))
        mine = await in_thread(partial(self._claims.note, fire, status="running"))
        # from here until the runner knows of the run, nobody else has a turn
        if mine and self._stopping.is_set() and self.stays_paused:
            await self._end(fire, "cancelled", TOLD_BEFORE)
        if not mine or self._stopping.is_set():
            return None
        self._runners[runner] = self._runners.get(runner, 0) + 1
        try:
            with initiated_by(f"trigger:{fire.trigger}"):
                result = await work(runner)
        except asyncio.CancelledError:
            await to_the_end(self._ended(fire, "cancelled", None))
            raise
        finally:
            self._runners[runner] -= 1
            if not self._runners[runner]:
                del self._runners[runner]
        reached("trigger.ended")
        goes_on = self._stopping.is_set() and not self.stays_paused
        await to_the_end(self._ended(fire, result.status, result.error, goes_on))
        return result

    async def _ended(
        self, fire: TriggerFire, status: RunStatus, error: str | None, goes_on: bool = False
    ) -> None:
        """Keeps how a run ended; who is to be told of a failure is told first, rather twice than
        not at all."""
        if status == "paused" and goes_on:
            values = {"status": status, "goes_on": True, "reason": STOPPED}
            await in_thread(partial(self._claims.note, fire, **values))
            return
        if status == "failed":
            run = await self.run_of(fire)
            await self.told(self._made_up(fire, None, error) if run is None else run)
        await self._end(fire, cast(FireStatus, status), PAUSED if status == "paused" else error)

    async def _end(self, fire: TriggerFire, status: FireStatus, reason: str | None) -> None:
        values = {
            "status": status,
            "reason": reason,
            "goes_on": False,
            "ended_at": self._clock(),
        }
        await in_thread(partial(self._claims.note, fire, **values))

    async def _refused(self, fire: TriggerFire, state: TriggerState, error: Exception) -> None:
        """Keeps that no run could be begun, or how one ended that was recorded all the same."""
        run = await self.run_of(fire)
        if run is not None:
            LOG.error("trigger %s: run %s broke off", fire.trigger, run.run_id, exc_info=error)
            if run.status != "running":  # else a later look continues it
                await self._ended(fire, run.status, run.error)
            return
        why = in_short(error)
        if not await self._has_failed_so(fire, why):
            await self.told(self._made_up(fire, state.nsref, why))
        await self._end(fire, "failed", why)

    async def _has_failed_so(self, fire: TriggerFire, why: str) -> bool:
        """Whether the function that is polled has failed just as before: that has been told."""
        if fire.kind != "poll":
            return False
        before = await in_thread(partial(self._store.fires, fire.trigger, limit=2))
        return any(
            each.fire_id != fire.fire_id and each.status == "failed" and each.reason == why
            for each in before
        )

    def _made_up(self, fire: TriggerFire, nsref: str | None, error: str | None) -> DagRun:
        """What there is to tell of a run that no history knows."""
        now = self._clock()
        return DagRun(
            run_id=fire.run_id or "",
            dag_nsref=nsref,
            status="failed",
            started_at=now,
            finished_at=now,
            error=error,
            initiated_by=f"trigger:{fire.trigger}",
            scheduled_at=fire.tick,
        )

    async def run_of(self, fire: TriggerFire) -> DagRun | None:
        """What the history knows of the run of a fire."""
        provenance, run_id = self._provenance, fire.run_id
        if provenance is None or run_id is None:
            return None
        return await in_thread(lambda: provenance.get_run(run_id))

    async def told(self, run: DagRun) -> None:
        """Calls `on_failure`; what that raises is logged and stops nothing."""
        if self._on_failure is None:
            return
        try:
            await _answer(self._on_failure, run)
        except Exception:
            LOG.exception("on_failure was called with run %s, and failed itself", run.run_id)


async def _asked(ref: GlobalRef) -> Any:
    function = await in_thread(ref.get_instance)
    return await _answer(function)


async def _answer(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function of the user's, which is async or runs in a thread."""
    if Method(function).is_async:
        return await function(*args)
    answer = await in_thread(partial(function, *args))
    return await answer if isawaitable(answer) else answer
