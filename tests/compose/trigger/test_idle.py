"""What it costs to wait: counted in statements, and not in time."""

from __future__ import annotations

from datetime import timedelta

from lythonic_compose import NsNodeConfig, TriggerConfig
from lythonic_state import count_statements
from tests.compose.trigger.world import BEGIN, World, settled

SECONDS = 100


async def test_two_hundred_triggers_that_wait_cost_a_statement_each_second(world: World) -> None:
    config = NsNodeConfig(
        triggers=tuple(
            TriggerConfig(name=f"t{number}", schedule=f"{number % 60} 7 * * *", timezone=zone)
            for number, zone in enumerate(["UTC", "Europe/Berlin"] * 100)
        )
    )
    world.namespace.register(world.namespace.get_as_dag("a:dag"), "a:idle", config=config)
    manager = world.manager()
    manager.activate_configured()
    await manager._look()

    waits: list[float] = []
    with count_statements() as counted:
        for _ in range(SECONDS):
            world.clock.passes(seconds=1)
            waits.append(await manager._look())
            assert await manager._look() == waits[-1]
    await manager.stop()

    # one a second, and each ten seconds one more, after those whose process is gone
    assert len(counted) == SECONDS + SECONDS // 10
    assert set(waits) == {1.0}
    assert world.fires() == []


async def test_a_manager_sleeps_until_the_next_tick_but_hears_of_changes_within_a_second(
    world: World,
) -> None:
    async with world.managed(TriggerConfig(name="often", schedule="15 * * * * *")) as manager:
        world.clock.now = BEGIN + timedelta(seconds=14, milliseconds=200)
        assert await manager._look() == 0.8
        world.clock.now = BEGIN + timedelta(seconds=15, milliseconds=50)
        await manager._look()
        await settled(manager)
        assert world.gate.ticks == [BEGIN + timedelta(seconds=15)]
        assert await manager._look() == 0.15
