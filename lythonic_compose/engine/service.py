"""How does a process serve a configuration, from its start to its clean end?

The lock, the logs, what an earlier life has left, the triggers, and the signals that end it. What
each of these does is known by its own room.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
from pathlib import Path

from ..call import in_thread
from ..dag_provenance.liveness import HERE, LEASE, look
from ..dag_provenance.recovery import Recovering, Recovery
from ..errors import ConfigError
from ..stopping import SIGNALS, can_be_told, handled
from .checking import problems_of
from .config import EngineConfig
from .engine import Engine
from .lock import hold, holder
from .logs import RunLog, logged
from .notify import Notifier

LOG = logging.getLogger("lythonic_compose.engine")

ENDING = (*SIGNALS, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else []))
"""Signals that end an engine; the last is that its terminal was closed."""


def serve(config: EngineConfig) -> int:
    """Fires the triggers of a configuration until the process is told to stop; its exit code.

    Runs whose process is gone go on. SIGTERM and SIGINT end it: no run begins any more, nodes that
    are running get `config.grace` seconds to end, and their runs are paused, to go on at the next
    start; a second signal breaks them off at once. systemd is told when triggers are firing, if it
    asked for that.

    Example:
        >>> sys.exit(serve(EngineConfig.load()))

    Raises:
        EngineRunning: another process serves this data directory.
        ConfigError: with everything that is wrong with the configuration, or it is not the main
            thread, which alone hears signals; nothing has begun.
    """
    if not can_be_told():
        raise ConfigError(
            "serve is for the main thread of a process, outside of an event loop; elsewhere, await "
            "engine.manager.start() and engine.manager.stop()"
        )
    terminal = sys.stderr if config.log.terminal else None
    with (
        hold(config.data),
        logged(config, terminal),
        Engine(config, progress=RunLog()) as engine,
    ):
        problems = problems_of(engine)
        if problems:
            raise ConfigError(problems)
        asyncio.run(_Service(engine, Notifier(os.environ)).carried_out())
    return 0


def stop(data: Path, timeout: float = 60.0) -> bool:
    """Tells the process that has a data directory to stop, and waits; False if it still runs then.

    Example:
        >>> stop(Path("/srv/reports"))
        True

    Raises:
        ConfigError: no process has it, or one that cannot be told from here.
    """
    found = holder(data)
    if found is None:
        raise ConfigError(f"no engine runs on {data}")
    if not found.is_seen_from(look()):
        raise ConfigError(
            f"the engine on {data} is {found}, in another container or on another machine; "
            "stop it there"
        )
    try:
        os.kill(found.pid, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it has just ended
    except PermissionError as error:
        raise ConfigError(f"the engine on {data} is {found}, of another user") from error
    until = time.monotonic() + timeout
    while (now := holder(data)) is not None and now.owner == found.owner:
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True


class _Service:
    """An engine while it serves."""

    def __init__(self, engine: Engine, notifier: Notifier) -> None:
        self._engine = engine
        self._notifier = notifier
        self._told = asyncio.Event()
        self._told_again = asyncio.Event()
        self._recovering: Recovering | None = None
        self._left: set[str] = set()
        """Runs of which it has been said that they were left."""

    async def carried_out(self) -> None:
        manager = self._engine.manager
        with handled(asyncio.get_running_loop(), self._heard, ENDING):
            watching = asyncio.create_task(self._watch())
            try:
                triggers = await in_thread(manager.activate_configured)
                await manager.start()
                await self._serve(len(triggers))
            finally:
                watching.cancel()
        LOG.info("stopped")

    async def _serve(self, triggers: int) -> None:
        config, number = self._engine.config, f"{triggers} trigger{'' if triggers == 1 else 's'}"
        recovering = asyncio.create_task(self._recover()) if config.recover else None
        try:
            LOG.info("serving %s with %s", config.data, number)
            self._notifier.say("READY=1", f"STATUS={number}")
            await self._told.wait()
        finally:
            self._notifier.say("STOPPING=1", "STATUS=waits for nodes that are running")
            await self._stopped(recovering)

    def _heard(self, name: str) -> None:
        if self._told.is_set():
            self._told_again.set()
            return
        grace = self._engine.config.grace
        LOG.info("%s: stops once running nodes have ended, after %g s at most", name, grace)
        self._told.set()

    async def _stopped(self, recovering: asyncio.Task[None] | None) -> None:
        """Lets runs pause, and breaks off what still runs after the grace or a second signal."""
        manager, grace = self._engine.manager, self._engine.config.grace
        self._told.set()
        if self._recovering is not None:
            self._recovering.pause()
        stopping = asyncio.create_task(manager.stop(grace))
        timer = asyncio.get_running_loop().call_later(grace, self._told_again.set)
        again = asyncio.create_task(self._told_again.wait())
        work = {stopping} if recovering is None else {stopping, recovering}
        while work and not again.done():
            done, _ = await asyncio.wait({*work, again}, return_when=asyncio.FIRST_COMPLETED)
            work -= done
        timer.cancel()
        again.cancel()
        if work:
            LOG.warning("nodes that are running are broken off, and their runs paused")
            manager.cut_short()
            if self._recovering is not None and recovering is not None:
                self._recovering.cut_short()
                recovering.cancel()
            await asyncio.wait(work)
        await stopping

    # beside the triggers

    async def _recover(self) -> None:
        """Continues the runs whose process is gone, those too of which that is known later only."""
        while not self._told.is_set():
            again = True
            try:
                self._recovering = self._engine.recovering()
                self._recovering.others = self._engine.manager.open_runs
                recovery = await self._recovering.carried_out()
                await self._tell(recovery)
                again = any(run.reason == "alive" and HERE not in run.why for run in recovery.left)
            except Exception:
                LOG.exception("runs whose process is gone cannot be continued; trying again later")
            if not again:
                return
            await self._wait(LEASE.total_seconds())

    async def _tell(self, recovery: Recovery) -> None:
        for run in self._engine.reworded(recovery).left:
            if run.run_id not in self._left and run.reason not in ("alive", "stopped"):
                self._left.add(run.run_id)
                LOG.warning("run %s was left (%s): %s", run.run_id, run.reason, run.why)
        for result in recovery.continued:
            if result.status == "paused":
                LOG.warning("run %s paused; `lyth restart` continues it", result.run_id)
            elif result.status == "failed":
                await self._engine.manager.tell_failure(result.run_id)

    async def _watch(self) -> None:
        """Says to a watchdog that the loop goes round."""
        while self._notifier.watchdog is not None:
            self._notifier.say("WATCHDOG=1")
            await asyncio.sleep(self._notifier.watchdog)

    async def _wait(self, seconds: float) -> None:
        """Waits so long, or until it is told to stop."""
        try:
            await asyncio.wait_for(self._told.wait(), seconds)
        except TimeoutError:
            pass
