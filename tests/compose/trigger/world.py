"""What the tests of triggers share: a clock that is set by hand, Dags, and managers of a store."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lythonic_compose import (
    Dag,
    DagContext,
    DagPause,
    DagProvenance,
    DagRun,
    DagRunner,
    Namespace,
    TriggerConfig,
    TriggerFire,
    TriggerManager,
    TriggerStore,
)

BEGIN = datetime(2026, 7, 1, 6, 0, 0, tzinfo=UTC)


everywhere = pytest.mark.parametrize("places", ["file", "postgres"], indirect=True)


class Clock:
    """A clock that stands until it is set."""

    def __init__(self, now: datetime = BEGIN) -> None:
        self.now = now

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **length: float) -> None:
        self.now += timedelta(**length)


class Gate:
    """What nodes do: they note that they were called, and wait while the gate is closed."""

    def __init__(self) -> None:
        self.calls: list[tuple[datetime | None, Any]] = []
        self._open = threading.Event()
        self._open.set()
        self.behaviour: Callable[[], Any] = lambda: None

    def close(self) -> None:
        self._open.clear()

    def open(self) -> None:
        self._open.set()

    def passed(self, ctx: DagContext, what: Any) -> None:
        self.calls.append((ctx.scheduled_at, what))
        assert self._open.wait(30)
        self.behaviour()

    @property
    def ticks(self) -> list[datetime | None]:
        return [tick for tick, _ in self.calls]


def gated(gate: Gate) -> Dag:
    """A Dag of one node, which goes through a gate."""

    def work(ctx: DagContext, what: str = "nothing") -> str:
        gate.passed(ctx, what)
        return what

    with Dag() as dag:
        dag.node(work)
    return dag


def of_two(gate: Gate) -> Dag:
    """The same with a node behind that one."""

    def work(ctx: DagContext, what: str = "nothing") -> str:
        gate.passed(ctx, what)
        return what

    def more(work: str) -> str:
        return f"{work} more"

    with Dag() as dag:
        dag.node(work) >> dag.node(more)
    return dag


def pausing() -> Dag:
    """A Dag whose only node pauses its run."""

    def ask() -> None:
        raise DagPause("somebody has to look")

    with Dag() as dag:
        dag.node(ask)
    return dag


class World:
    """A namespace with its runs and triggers; managers come and go."""

    def __init__(self, provenance: DagProvenance, store: TriggerStore, clock: Clock) -> None:
        self.provenance = provenance
        self.store = store
        self.clock = clock
        self.gate = Gate()
        self.namespace = Namespace()
        self.namespace.register(gated(self.gate), nsref="a:dag")
        self.namespace.register(of_two(self.gate), nsref="a:two")
        self.namespace.register(pausing(), nsref="a:pausing")
        self.failures: list[DagRun] = []

    def runner_of(self, nsref: str) -> DagRunner:
        return DagRunner(self.namespace.get_as_dag(nsref), self.provenance, clock=self.clock)

    def manager(self, store: TriggerStore | None = None, **options: Any) -> TriggerManager:
        return TriggerManager(
            self.namespace,
            store or self.store,
            options.pop("runner_of", self.runner_of),
            **{
                "provenance": self.provenance,
                "on_failure": self.failures.append,
                "clock": self.clock,
                **options,
            },
        )

    @asynccontextmanager
    async def managed(
        self, *triggers: TriggerConfig, nsref: str = "a:dag", **options: Any
    ) -> AsyncIterator[TriggerManager]:
        """A manager with these triggers, whose loop is the test: `look` is called by hand."""
        manager = self.manager(**options)
        for trigger in triggers:
            manager.activate(nsref, trigger)
        await manager._look()
        try:
            yield manager
        finally:
            self.gate.open()
            await manager.stop()

    async def after(self, manager: TriggerManager, **length: float) -> None:
        """Lets time pass, and what is due then begin and end."""
        self.clock.passes(**length)
        await self.look(manager)
        await settled(manager)

    async def look(self, manager: TriggerManager) -> None:
        while await manager._look() == 0.0:
            pass

    def runs(self) -> list[DagRun]:
        """All runs, oldest first."""
        with self.provenance.open() as conn:
            return DagRun.select(conn, order_by=("scheduled_at", "started_at"))

    def fires(self, name: str | None = None) -> list[TriggerFire]:
        """All fires, oldest first."""
        return self.store.fires(name, limit=None)[::-1]


async def settled(manager: TriggerManager) -> None:
    """Waits for what is under way, and for what waited for that."""
    while manager._tasks or manager._advancing:
        if manager._tasks:
            await asyncio.wait(set(manager._tasks))
        await manager._look()


async def until(holds: Callable[[], Any], seconds: float = 30.0) -> None:
    """Waits until something holds that another thread or process does."""
    async with asyncio.timeout(seconds):
        while not holds():  # noqa: ASYNC110 - nobody sets an event
            await asyncio.sleep(0.002)


def told(fires: list[TriggerFire], *names: str) -> list[Any]:
    """Of each fire what these fields say."""
    rows = [tuple(getattr(fire, name) for name in names) for fire in fires]
    return [row[0] for row in rows] if len(names) == 1 else rows
