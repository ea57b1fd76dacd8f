"""Several managers on one database: each tick has one run, whoever dies."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import (
    Dag,
    DagContext,
    DagProvenance,
    DagRunner,
    Namespace,
    NullProvenance,
    TriggerConfig,
    TriggerManager,
    TriggerStore,
    failpoints,
)
from tests.compose.trigger.world import BEGIN, Clock, World, everywhere, settled, told, until
from tests.processes import FORKING

MINUTE = timedelta(minutes=1)
OFTEN = TriggerConfig(name="often", schedule="* * * * *")


@contextmanager
def another(places: tuple[Any, Any], clock: Clock) -> Iterator[World]:
    """A world like another process has it, on the same databases."""
    with DagProvenance(places[0], clock=clock) as runs, TriggerStore(places[1], clock=clock) as of:
        yield World(runs, of, clock)


@everywhere
async def test_two_managers_fire_each_tick_once(
    world: World, places: tuple[Any, Any], clock: Clock
) -> None:
    with another(places, clock) as other:
        async with world.managed(OFTEN) as one, other.managed() as two:
            for _ in range(5):
                clock.passes(minutes=1)
                await asyncio.gather(one._look(), two._look())
                await asyncio.gather(settled(one), settled(two))
        calls = world.gate.ticks + other.gate.ticks

    ticks = [BEGIN + n * MINUTE for n in range(1, 6)]
    assert sorted(filter(None, calls)) == ticks
    assert told(world.fires(), "status", "tick") == [("completed", tick) for tick in ticks]
    assert [run.scheduled_at for run in world.runs()] == ticks


@everywhere
async def test_a_run_of_one_manager_is_in_the_way_of_the_other(
    world: World, places: tuple[Any, Any], clock: Clock
) -> None:
    with another(places, clock) as other:
        async with world.managed(OFTEN) as one:
            world.gate.close()
            clock.passes(minutes=1)
            await world.look(one)
            async with other.managed() as two:
                clock.passes(minutes=1)
                await other.look(two)
                # whoever looks at what others have left sees that this one is there
                clock.passes(seconds=11)
                await other.look(two)
                assert other.gate.calls == []

    assert told(world.fires(), "status", "ticks") == [("completed", 1), ("skipped", 1)]


# --- processes that are killed ----------------------------------------------------------------


def live(places: tuple[Any, Any], log: Path, failpoint: str, holds: bool) -> None:
    """A process in which the tick of the first minute is fired, and which somebody kills."""

    async def fire() -> None:
        clock = Clock()
        with another(places, clock) as world:
            _log_calls(world, log, holds)
            async with world.managed(
                TriggerConfig(name="often", schedule="0 6,7 * * *")
            ) as manager:
                failpoints.arm(failpoint)
                await world.after(manager, hours=1)

    asyncio.run(fire())


def _log_calls(world: World, log: Path, holds: bool = False) -> None:
    def note() -> None:
        tick = world.gate.ticks[-1]
        with log.open("a") as file:
            file.write(f"{tick}\n")
        if holds:
            world.gate.close()
            world.gate.passed(Any, None)  # type: ignore[arg-type]

    world.gate.behaviour = note


async def goes_on(places: tuple[Any, Any], log: Path) -> World:
    """A second life at the same moment; how the world looks after it."""
    clock = Clock()
    clock.passes(hours=1)
    with another(places, clock) as world:
        _log_calls(world, log)
        async with world.managed() as manager:
            await settled(manager)
            (fire,), (run,) = world.fires(), world.runs()
    tick = BEGIN + timedelta(hours=1)
    assert (fire.status, fire.kind, fire.tick) == ("completed", "schedule", tick)
    assert (run.run_id, run.status, run.scheduled_at) == (fire.run_id, "completed", tick)
    assert run.initiated_by == "trigger:often"
    return world


@pytest.mark.parametrize(
    ("failpoint", "calls"),
    [
        ("trigger.inside", 1),
        ("trigger.claimed", 1),
        ("RunStarted.before", 1),
        ("RunStarted.after", 1),
        ("NodeCompleted.before", 2),  # nobody knows that it has returned
        ("NodeCompleted.after", 1),
        ("RunFinished.before", 2),  # which is written together with that
        ("RunFinished.after", 1),
        ("trigger.ended", 1),
    ],
)
async def test_a_tick_has_one_run_wherever_its_process_dies(
    places: tuple[Any, Any], tmp_path: Path, failpoint: str, calls: int
) -> None:
    log = tmp_path / "calls"
    process = FORKING.Process(target=live, args=(places, log, failpoint, False))
    process.start()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -9

    await goes_on(places, log)
    assert len(log.read_text().splitlines()) == calls


@everywhere
async def test_a_process_that_is_killed_in_the_middle_of_a_run(
    places: tuple[Any, Any], tmp_path: Path
) -> None:
    log = tmp_path / "calls"
    process = FORKING.Process(target=live, args=(places, log, "", True))
    process.start()
    await until(lambda: log.exists() and log.read_text())
    process.kill()
    await asyncio.to_thread(process.join, 60)
    assert process.exitcode == -9

    await goes_on(places, log)
    assert len(log.read_text().splitlines()) == 2


async def test_a_run_that_kills_its_process_again_and_again_is_given_up(
    world: World, clock: Clock, places: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lythonic_compose.trigger.firing.MOST_TIMES", 0)
    with another(places, clock) as other:
        async with other.managed(OFTEN) as manager:
            other.gate.close()
            clock.passes(minutes=1)
            await other.look(manager)
            await until(lambda: other.gate.calls)
            await manager.stop(grace=0)
    async with world.managed() as manager:
        await settled(manager)

    assert world.gate.calls == []
    (fire,) = world.fires()
    assert fire.status == "failed"
    assert fire.reason is not None
    assert "was begun or continued 1 times" in fire.reason


async def test_a_run_whose_code_has_changed_says_so(
    world: World, clock: Clock, places: tuple[Any, Any], caplog: pytest.LogCaptureFixture
) -> None:
    with another(places, clock) as other:
        async with other.managed(OFTEN, nsref="a:two") as manager:
            await stopped_in_the_middle(other, manager)
    changed = World(world.provenance, world.store, clock)
    changed.namespace = Namespace()
    changed.namespace.register(_of_other_code(), nsref="a:two")
    async with changed.managed() as manager:
        await settled(manager)

    (fire,) = world.fires()
    assert fire.status == "failed"
    assert fire.reason is not None
    assert fire.reason.startswith("it cannot go on: CodeChanged: ")
    assert "cannot go on" in caplog.text


def _of_other_code() -> Dag:
    def work(ctx: DagContext, what: str = "nothing") -> str:
        return f"{what} else"

    def more(work: str) -> str:
        return f"{work} more"

    with Dag() as dag:
        dag.node(work) >> dag.node(more)
    return dag


# --- runs that others continue, or that nothing is known of -------------------------------------


async def stopped_in_the_middle(world: World, manager: TriggerManager) -> None:
    """A tick whose run is paused after its first node, since its engine was stopped."""
    world.gate.close()
    world.clock.passes(minutes=1)
    await world.look(manager)
    await until(lambda: world.gate.calls)
    stopping = asyncio.create_task(manager.stop())
    await until(manager._firing._stopping.is_set)
    world.gate.open()
    await stopping


async def test_a_run_that_somebody_restarted_meanwhile_is_noted(world: World) -> None:
    async with world.managed(OFTEN, nsref="a:two") as manager:
        await stopped_in_the_middle(world, manager)
    (run,) = world.runs()
    await world.runner_of("a:two").restart(run.run_id)
    async with world.managed() as manager:
        await settled(manager)

    (fire,) = world.fires()
    assert (fire.status, fire.reason, fire.goes_on) == ("completed", None, False)


async def test_who_is_late_to_continue_a_run_leaves_it_to_whoever_does(world: World) -> None:
    async with world.managed(OFTEN, nsref="a:two") as manager:
        await stopped_in_the_middle(world, manager)
    (seen,) = world.runs()
    async with world.managed() as manager:
        await settled(manager)
        (fire,) = world.fires()
        await manager._firing.continued(fire, world.store.state("often"), seen)

    assert told(world.fires(), "status") == ["running"], "until the next look"
    async with world.managed() as manager:
        await settled(manager)
    assert told(world.fires(), "status") == ["completed"]
    assert len(world.gate.calls) == 1


async def test_of_two_managers_one_continues_what_a_third_has_left(
    world: World, places: tuple[Any, Any], clock: Clock
) -> None:
    async with world.managed(OFTEN, nsref="a:two") as manager:
        await stopped_in_the_middle(world, manager)
    with another(places, clock) as other:
        one, two = world.manager(), other.manager()
        await asyncio.gather(one._look(), two._look())
        await asyncio.gather(settled(one), settled(two))
        await one.stop()
        await two.stop()

    (fire,), (run,) = world.fires(), world.runs()
    assert (fire.status, run.status, run.fence) == ("completed", "completed", 2)


async def test_a_run_that_goes_on_without_its_manager_is_waited_for(world: World) -> None:
    async with world.managed(OFTEN) as manager:
        world.gate.close()
        world.clock.passes(minutes=1)
        await world.look(manager)
        await until(lambda: world.gate.calls)
        manager._ending()  # as if it were gone, while its run is not
        async with world.managed() as other:
            assert not other._tasks
            world.clock.passes(seconds=11)
            await other._look()
            assert not other._tasks
        await settled(manager)

    assert told(world.fires(), "status") == ["completed"]
    assert len(world.gate.calls) == 1


@pytest.mark.parametrize("provenance", [None, NullProvenance()])
async def test_without_a_history_what_had_begun_is_given_up(
    world: World, provenance: NullProvenance | None
) -> None:
    def runner_of(nsref: str) -> DagRunner:
        return DagRunner(world.namespace.get_as_dag(nsref))

    lost, other = (world.manager(provenance=provenance, runner_of=runner_of) for _ in range(2))
    lost.activate("a:dag", OFTEN)
    await lost._look()
    world.clock.passes(minutes=1)
    world.gate.close()
    await world.look(lost)
    await until(lambda: world.gate.calls)
    lost._ending()
    await other._look()
    await settled(other)
    reason = "its process is gone, and no history says what became of it"
    assert told(world.fires(), "status", "reason") == [("failed", reason)]

    world.gate.open()
    await settled(lost)
    assert told(world.fires(), "status") == ["failed"], "it is not its any more"
    for manager in (lost, other):
        await manager.stop()


async def test_a_run_that_ends_and_breaks_off_then_has_ended(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    @contextmanager
    def client() -> Iterator[str]:
        yield "client"
        raise OSError("it does not close")

    def use(client: str) -> str:
        return client

    dag = Dag()
    dag.node(use)
    world.namespace.register(dag, nsref="a:client")
    runner = DagRunner(dag, world.provenance, clock=world.clock, resources={"client": client()})
    async with world.managed(OFTEN, nsref="a:client") as manager:
        manager._firing._runner_of = lambda _: runner
        await world.after(manager, minutes=1)

    assert told(world.fires(), "status") == ["completed"]
    assert "broke off" in caplog.text
    assert world.failures == []
