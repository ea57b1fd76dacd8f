"""What a manager begins, and what it keeps of that; time passes where a test says so."""

from __future__ import annotations

import asyncio
import os
import signal
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import (
    ConfigError,
    Dag,
    DagContext,
    DagRun,
    DagRunner,
    Namespace,
    NotRegistered,
    NsNodeConfig,
    RunNotFound,
    TriggerConfig,
    TriggerError,
    TriggerManager,
    TriggerStore,
    UnknownName,
    UnknownTrigger,
)
from lythonic_compose.dag_runner import utc_now
from tests.compose.trigger.world import BEGIN, World, everywhere, settled, told, until

MINUTE = timedelta(minutes=1)
OFTEN = TriggerConfig(name="often", schedule="* * * * *")

answers: list[Any] = []
"""What `poll` says next; an exception is raised."""


def poll() -> Any:
    answer = answers.pop(0)
    if isinstance(answer, Exception):
        raise answer
    return answer


async def poll_on_the_loop() -> Any:
    return poll()


def often(**changes: Any) -> TriggerConfig:
    return TriggerConfig(**{"name": "often", "schedule": "* * * * *", **changes})


def polling(function: str = "poll") -> TriggerConfig:
    return TriggerConfig(
        name="inbox", poll_fn=f"{__name__}:{function}", payload={"work": {"what": "payload"}}
    )


# --- ticks ----------------------------------------------------------------------------------


@everywhere
async def test_a_tick_begins_a_run_that_knows_its_tick_and_its_trigger(world: World) -> None:
    async with world.managed(often(payload={"work": {"what": "it"}})) as manager:
        await world.after(manager, seconds=59)
        assert world.gate.calls == []
        await world.after(manager, seconds=1.25)

    (fire,), (run,) = world.fires(), world.runs()
    assert world.gate.calls == [(BEGIN + MINUTE, "it")]
    assert (run.run_id, run.status, run.dag_nsref) == (fire.run_id, "completed", "a:dag")
    assert (run.scheduled_at, run.initiated_by) == (BEGIN + MINUTE, "trigger:often")
    assert (fire.kind, fire.status, fire.tick) == ("schedule", "completed", BEGIN + MINUTE)
    assert (fire.fired_at, fire.ended_at) == (world.clock.now, world.clock.now)
    state = world.store.state("often")
    assert (state.since, state.last_tick) == (BEGIN + MINUTE, BEGIN + MINUTE)


async def test_the_loop_of_a_manager_begins_by_the_clock_of_the_wall(
    tmp_path: Path,
) -> None:
    with TriggerStore(tmp_path / "triggers.db") as store:
        seen: list[DagContext] = []

        def work(ctx: DagContext) -> None:
            seen.append(ctx)

        with Dag() as dag:
            dag.node(work)
        namespace = Namespace()
        namespace.register(dag, nsref="a:dag")
        manager = TriggerManager(namespace, store, lambda _: DagRunner(dag))
        await manager.start()
        manager.activate("a:dag", TriggerConfig(name="often", schedule="* * * * * *"))
        await until(lambda: len(store.fires(status="completed")) >= 2)
        await manager.stop()

        fires = store.fires(status="completed")
        assert [ctx.scheduled_at for ctx in seen] == told(fires, "tick")[::-1]
        for fire in fires:
            assert fire.tick is not None
            assert timedelta(0) <= fire.fired_at - fire.tick < timedelta(seconds=1)


async def test_a_payload_becomes_what_its_parameters_declare(world: World) -> None:
    seen: list[tuple[date, timedelta]] = []

    def report(day: date, at_most: timedelta = timedelta(1)) -> None:
        seen.append((day, at_most))

    with Dag() as dag:
        dag.node(report)
    world.namespace.register(dag, nsref="a:report")
    payload = {"report": {"day": "2026-01-31", "at_most": "PT90S"}}
    async with world.managed(often(payload=payload), nsref="a:report") as manager:
        await world.after(manager, minutes=1)
        await manager.fire("often", {"report": {"day": date(2026, 2, 28)}})

    assert seen == [(date(2026, 1, 31), timedelta(seconds=90)), (date(2026, 2, 28), timedelta(1))]


async def test_a_run_that_overruns_skips_ticks_with_one_warning(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.managed(OFTEN) as manager:
        world.gate.close()
        for _ in range(4):
            world.clock.passes(minutes=1)
            await world.look(manager)
        world.gate.open()
        await settled(manager)
        await world.after(manager, minutes=1)

    fires = world.fires()
    assert told(fires, "status", "tick") == [
        ("completed", BEGIN + MINUTE),
        ("skipped", None),
        ("completed", BEGIN + 5 * MINUTE),
    ]
    assert told(fires, "first_tick", "last_tick", "ticks", "reason")[1] == (
        BEGIN + 2 * MINUTE,
        BEGIN + 4 * MINUTE,
        3,
        f"run {fires[0].run_id} had not ended",
    )
    assert len([each for each in caplog.records if "no run for the tick" in each.message]) == 1
    assert world.gate.ticks == [BEGIN + MINUTE, BEGIN + 5 * MINUTE]


@everywhere
async def test_ticks_that_are_queued_run_one_after_the_other(world: World) -> None:
    async with world.managed(often(overlap="queue")) as manager:
        world.gate.close()
        for _ in range(3):
            world.clock.passes(minutes=1)
            await world.look(manager)
        assert told(world.fires(), "status") == ["running", "queued", "queued"]
        assert len(world.gate.calls) <= 1
        world.gate.open()
        await settled(manager)

    assert told(world.fires(), "status", "tick") == [
        ("completed", BEGIN + n * MINUTE) for n in (1, 2, 3)
    ]
    ends = [(run.started_at, run.finished_at) for run in world.runs()]
    assert world.gate.ticks == [BEGIN + n * MINUTE for n in (1, 2, 3)]
    assert len(ends) == 3


async def test_in_parallel_runs_go_beside_each_other(world: World) -> None:
    async with world.managed(often(overlap="parallel")) as manager:
        world.gate.close()
        for _ in range(3):
            world.clock.passes(minutes=1)
            await world.look(manager)
        await until(lambda: len(world.gate.calls) == 3)
        world.gate.open()
        await settled(manager)

    assert told(world.fires(), "status") == ["completed"] * 3


async def test_jitter_begins_a_run_later_by_chance(world: World) -> None:
    async with world.managed(often(jitter=0.2), chance=lambda: 0.5) as manager:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        await world.after(manager, minutes=1)
        took = loop.time() - begin

    assert took >= 0.1
    assert world.gate.ticks == [BEGIN + MINUTE]


async def test_a_manager_that_stops_leaves_what_jitter_holds_back_to_the_next(
    world: World,
) -> None:
    async with world.managed(often(jitter=3600), chance=lambda: 1.0) as manager:
        world.clock.passes(minutes=1)
        await world.look(manager)
    assert (told(world.fires(), "status"), world.gate.calls) == (["claimed"], [])

    async with world.managed(chance=lambda: 0.0) as manager:
        await settled(manager)
    assert (told(world.fires(), "status"), world.gate.ticks) == (["completed"], [BEGIN + MINUTE])


# --- what was missed, and clocks that are set -------------------------------------------------


@everywhere
@pytest.mark.parametrize(
    ("catch_up", "ticks", "kinds"),
    [
        ("once", [5], ["catch-up"]),
        ("none", [], []),
        ("all", [3, 4, 5], ["catch-up"] * 3),
    ],
)
async def test_ticks_missed_while_no_engine_was_there(
    world: World, catch_up: Any, ticks: list[int], kinds: list[str]
) -> None:
    daily = often(schedule="0 6 * * *", catch_up=catch_up, catch_up_window=timedelta(days=2.5))
    async with world.managed(daily):
        pass
    world.clock.passes(days=5, hours=1)
    async with world.managed() as manager:
        await settled(manager)
        await world.after(manager, hours=1)

    fires = [fire for fire in world.fires() if fire.status != "skipped"]
    assert told(fires, "tick") == [BEGIN + timedelta(days=day) for day in ticks]
    assert told(fires, "kind", "status") == [(kind, "completed") for kind in kinds]
    assert world.gate.ticks == told(fires, "tick")
    left = sum(fire.ticks for fire in world.fires() if fire.status == "skipped")
    assert left == 5 - len(ticks)


async def test_a_disabled_trigger_stays_so_across_restarts(world: World) -> None:
    async with world.managed(OFTEN) as manager:
        manager.deactivate("often")
        await world.after(manager, minutes=1)
    async with world.managed(OFTEN) as manager:
        await world.after(manager, minutes=1)
        assert world.fires() == []
        manager.enable("often")
        await world.after(manager, minutes=1)

    assert told(world.fires(), "tick") == [BEGIN + 3 * MINUTE]


@everywhere
async def test_another_process_enables_disables_and_asks_for_fires(
    world: World, places: tuple[Any, Any]
) -> None:
    async with world.managed(OFTEN) as manager:
        with TriggerStore(places[1], clock=world.clock) as elsewhere:
            elsewhere.disable("often")
            await world.after(manager, minutes=1)
            assert world.fires() == []
            asked = elsewhere.request("often", {"work": {"what": "asked"}})
            await world.after(manager, seconds=1)
            elsewhere.enable("often")
            await world.after(manager, minutes=1)

    assert world.gate.calls == [(None, "asked"), (BEGIN + 2 * MINUTE, "nothing")]
    first, second = world.fires()
    assert (first.run_id, first.kind, first.status) == (asked.run_id, "manual", "completed")
    assert second.tick == BEGIN + 2 * MINUTE


@everywhere
async def test_a_clock_that_is_set_back_fires_nothing_twice(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    async with world.managed(OFTEN) as manager:
        for _ in range(3):
            await world.after(manager, minutes=1)
        world.clock.passes(minutes=-2, seconds=-30)
        await world.after(manager, seconds=0)
        for _ in range(6):
            await world.after(manager, minutes=1)

    assert "the clock was set back" in caplog.text
    assert world.gate.ticks == [BEGIN + n * MINUTE for n in range(1, 7)]
    assert told(world.fires(), "status") == ["completed"] * 6


async def test_a_clock_that_was_far_ahead_does_not_keep_a_trigger_from_firing(
    world: World,
) -> None:
    async with world.managed(OFTEN) as manager:
        await world.after(manager, days=900)
        await world.after(manager, days=-900)
        await world.after(manager, minutes=1)

    late = BEGIN + timedelta(days=900)
    assert world.gate.ticks == [late, BEGIN + MINUTE]


async def test_a_clock_that_is_set_forward_has_missed_ticks(world: World) -> None:
    async with world.managed(OFTEN) as manager:
        await world.after(manager, hours=2)

    assert told(world.fires(), "status", "kind", "ticks") == [
        ("skipped", "schedule", 119),
        ("completed", "catch-up", 1),
    ]


async def test_what_an_engine_cannot_read_does_not_stop_the_others(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.store.put("older", "a:dag", TriggerConfig(schedule="0 0 30 2 *"))
    async with world.managed(OFTEN) as manager:
        await world.after(manager, minutes=1)

    assert "trigger older does not fire: the schedule '0 0 30 2 *' never ticks" in caplog.text
    assert world.gate.ticks == [BEGIN + MINUTE]


# --- polling ----------------------------------------------------------------------------------


@everywhere
@pytest.mark.parametrize("function", ["poll", "poll_on_the_loop"])
async def test_a_function_that_is_polled_says_whether_there_is_something_to_do(
    world: World, function: str
) -> None:
    answers[:] = [None, False, True, {"work": {"what": "found"}}, {}]
    async with world.managed(polling(function)) as manager:
        for _ in range(5):
            await world.after(manager, minutes=1)

    assert answers == []
    assert world.gate.calls == [
        (BEGIN + 3 * MINUTE, "payload"),
        (BEGIN + 4 * MINUTE, "found"),
        (BEGIN + 5 * MINUTE, "nothing"),
    ]
    assert told(world.fires(), "kind", "status", "tick", "payload") == [
        ("poll", "completed", BEGIN + 3 * MINUTE, {"work": {"what": "payload"}}),
        ("poll", "completed", BEGIN + 4 * MINUTE, {"work": {"what": "found"}}),
        ("poll", "completed", BEGIN + 5 * MINUTE, {}),
    ]


async def test_a_poll_that_fails_is_kept_and_told_once_in_a_row(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    answers[:] = [OSError("no route"), OSError("no route"), 5, True]
    async with world.managed(polling()) as manager:
        for _ in range(4):
            await world.after(manager, minutes=1)

    wrong = (
        f"TriggerError: what {__name__}:poll returns, if it is no bool and not None, is a payload"
    )
    fires = world.fires()
    assert told(fires, "status") == ["failed", "failed", "failed", "completed"]
    assert told(fires, "reason")[:2] == ["OSError: no route"] * 2
    assert fires[2].reason is not None
    assert fires[2].reason.startswith(wrong)
    assert [run.error for run in world.failures] == [fires[0].reason, fires[2].reason]
    assert "trigger inbox: no run: OSError: no route" in caplog.text
    assert len(world.runs()) == 1


async def test_what_is_polled_has_to_be_there(world: World) -> None:
    async with world.managed(polling("pol")) as manager:
        await world.after(manager, minutes=1)

    (fire,) = world.fires()
    assert fire.status == "failed"
    assert fire.reason is not None
    assert "did you mean 'poll'?" in fire.reason


# --- failures ---------------------------------------------------------------------------------


async def test_on_failure_is_called_with_the_run_that_failed(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        raise ValueError("out of order")

    async def complain(run: DagRun) -> None:
        world.failures.append(run)
        raise RuntimeError("the mail server is down")

    world.gate.behaviour = fail
    async with world.managed(OFTEN, on_failure=complain) as manager:
        await world.after(manager, minutes=1)
        world.gate.behaviour = lambda: None
        await world.after(manager, minutes=1)

    assert told(world.fires(), "status", "reason") == [
        ("failed", "ValueError: out of order"),
        ("completed", None),
    ]
    (run,) = world.failures
    assert (run.status, run.failed_node, run.scheduled_at) == ("failed", "work", BEGIN + MINUTE)
    assert "on_failure was called with run" in caplog.text
    assert "the mail server is down" in caplog.text


async def test_a_run_that_cannot_begin_is_a_failure_too(world: World) -> None:
    async with world.managed(often(payload={"wrk": {}})) as manager:
        await world.after(manager, minutes=1)

    (fire,), (run,) = world.fires(), world.failures
    why = "UnknownName: inputs are given for the unknown node 'wrk'; did you mean 'work'?"
    assert (fire.status, fire.reason, fire.ended_at) == ("failed", why, world.clock.now)
    assert (run.run_id, run.error, run.dag_nsref) == (fire.run_id, why, "a:dag")
    assert run.scheduled_at == BEGIN + MINUTE
    assert world.runs() == []


async def test_a_payload_of_the_wrong_type_names_the_parameter(world: World) -> None:
    async with world.managed(often(payload={"work": {"what": [1]}})) as manager:
        await world.after(manager, minutes=1)

    (fire,) = world.fires()
    assert fire.reason == "DagError: work.what is to be str: Input should be a valid string"


async def test_a_run_paused_by_its_own_node_stays_paused(world: World) -> None:
    async with world.managed(OFTEN, nsref="a:pausing") as manager:
        await world.after(manager, minutes=1)
    async with world.managed() as manager:
        await settled(manager)
        await world.after(manager, minutes=1)

    reason = "a node or a signal paused it; restart continues it"
    assert told(world.fires(), "status", "reason") == [("paused", reason)] * 2
    assert [run.status for run in world.runs()] == ["paused", "paused"]


async def test_others_tell_of_the_failures_that_no_fire_tells_of(world: World) -> None:
    def fail() -> None:
        raise ValueError("out of order")

    world.gate.behaviour = fail
    run_id = (await world.runner_of("a:dag").run(dag_nsref="a:dag")).run_id
    async with world.managed(OFTEN) as manager:
        await manager.tell_failure(run_id)
        assert [run.run_id for run in world.failures] == [run_id]
        world.gate.close()
        world.clock.passes(minutes=1)
        await world.look(manager)
        await until(lambda: len(world.gate.calls) == 2)
        (fire,) = world.fires()
        assert fire.run_id is not None
        await manager.tell_failure(fire.run_id)
        assert len(world.failures) == 1, "its fire has not ended, and tells of it then"
        world.gate.open()
        await settled(manager)
        assert len(world.failures) == 2
        with pytest.raises(RunNotFound, match="there is no run 'nothing'"):
            await manager.tell_failure("nothing")


# --- by hand ----------------------------------------------------------------------------------


async def test_a_fire_by_hand_begins_at_once_and_says_how_it_ended(world: World) -> None:
    world.store.put("by hand", "a:dag", TriggerConfig(payload={"work": {"what": "payload"}}))
    world.store.disable("by hand")
    manager = world.manager()
    first = await manager.fire("by hand")
    second = await manager.fire("by hand", {"work": {"what": "given"}})
    await manager.stop()

    assert [first.outputs, second.outputs] == [{"work": "payload"}, {"work": "given"}]
    assert world.gate.ticks == [None, None]
    assert told(world.fires(), "kind", "status", "run_id") == [
        ("manual", "completed", first.run_id),
        ("manual", "completed", second.run_id),
    ]
    assert [run.initiated_by for run in world.runs()] == ["trigger:by hand"] * 2


async def test_a_fire_by_hand_does_not_wait_and_is_in_the_way_of_ticks(world: World) -> None:
    async with world.managed(OFTEN) as manager:
        world.gate.close()
        world.clock.passes(minutes=1)
        await world.look(manager)
        by_hand = asyncio.create_task(manager.fire("often"))
        await until(lambda: len(world.gate.calls) == 2)
        world.gate.open()
        await by_hand
        await settled(manager)

    assert told(world.fires(), "kind", "status") == [
        ("schedule", "completed"),
        ("manual", "completed"),
    ]


async def test_a_fire_that_cannot_begin_raises_and_is_kept(world: World) -> None:
    world.store.put("often", "a:dag", OFTEN)
    manager = world.manager()
    with pytest.raises(UnknownTrigger, match=r"no trigger 'oftn'; did you mean 'often'\?"):
        await manager.fire("oftn")
    with pytest.raises(UnknownName, match="unknown node 'wrk'"):
        await manager.fire("often", {"wrk": {}})
    await manager.stop()

    assert told(world.fires(), "status") == ["failed"]
    with pytest.raises(TriggerError, match="this manager was stopped"):
        await manager.fire("often")


async def test_who_cancels_a_fire_cancels_its_run(world: World) -> None:
    async with world.managed(OFTEN) as manager:
        world.gate.close()
        fired = asyncio.create_task(manager.fire("often"))
        await until(lambda: world.gate.calls)
        fired.cancel()
        with pytest.raises(asyncio.CancelledError):
            await fired
        await settled(manager)

    assert told(world.fires(), "status") == ["cancelled"]
    assert [run.status for run in world.runs()] == ["cancelled"]


# --- stopping ---------------------------------------------------------------------------------


@everywhere
async def test_what_a_stop_pauses_goes_on_with_the_next_manager(world: World) -> None:
    async with world.managed(OFTEN, nsref="a:two") as manager:
        world.gate.close()
        world.clock.passes(minutes=1)
        await world.look(manager)
        await until(lambda: world.gate.calls)
        stopping = asyncio.create_task(manager.stop())
        await until(lambda: manager._firing._stopping.is_set())
        world.gate.open()
        await stopping
    (fire,) = world.fires()
    assert (fire.status, fire.goes_on, fire.ended_at) == ("paused", True, None)
    assert [run.status for run in world.runs()] == ["paused"]

    async with world.managed() as manager:
        await settled(manager)
    (fire,), (run,) = world.fires(), world.runs()
    assert (fire.status, fire.goes_on, fire.reason) == ("completed", False, None)
    assert (run.status, run.initiated_by, run.scheduled_at) == (
        "completed",
        "trigger:often",
        BEGIN + MINUTE,
    )
    assert len(world.gate.calls) == 1, "its first node had completed"


async def test_what_a_signal_pauses_waits_for_a_restart_of_which_the_next_manager_learns(
    world: World,
) -> None:
    async def begun_and_stopped() -> tuple[str, bool]:
        manager = world.manager()
        await manager.start()
        await manager.stop()
        (fire,) = world.fires()
        return fire.status, fire.goes_on

    manager = world.manager()
    manager.activate("a:two", OFTEN)
    world.gate.close()
    firing = asyncio.create_task(manager._until_told(lambda: manager.fire("often")))
    await until(lambda: world.gate.calls)
    os.kill(os.getpid(), signal.SIGTERM)
    await until(manager._firing._stopping.is_set)
    world.gate.open()
    result = await firing
    await manager.stop()

    assert result.status == "paused"
    assert await begun_and_stopped() == ("paused", False)
    assert [run.status for run in world.runs()] == ["paused"]
    await world.runner_of("a:two").restart(result.run_id)
    assert await begun_and_stopped() == ("completed", False)


async def test_a_signal_before_a_run_begins_is_the_end_of_its_fire(world: World) -> None:
    manager = world.manager()

    def told_meanwhile(nsref: str) -> DagRunner:
        manager._firing.pause()
        return world.runner_of(nsref)

    manager._firing._runner_of = told_meanwhile
    manager.activate("a:two", OFTEN)
    with pytest.raises(TriggerError, match="the fire of 'often' came to nothing: it was told to"):
        await manager._until_told(lambda: manager.fire("often"))
    await manager.stop()

    assert told(world.fires(), "status") == ["cancelled"]
    assert world.runs() == []


async def test_what_takes_too_long_is_broken_off_and_paused(world: World) -> None:
    async with world.managed(OFTEN) as manager:
        world.gate.close()
        world.clock.passes(minutes=1)
        await world.look(manager)
        await until(lambda: world.gate.calls)
        await manager.stop(grace=0.01)
    (fire,) = world.fires()
    assert (fire.status, fire.goes_on) == ("paused", True)

    async with world.managed() as manager:
        await settled(manager)
    assert told(world.fires(), "status") == ["completed"]
    assert world.gate.ticks == [BEGIN + MINUTE] * 2


async def test_a_manager_is_started_and_stopped_once(world: World) -> None:
    manager = world.manager()
    await manager.start()
    with pytest.raises(TriggerError, match="has been started already"):
        await manager.start()
    await manager.stop()
    await manager.stop()
    with pytest.raises(TriggerError, match="was stopped; make another one"):
        await manager.start()


async def test_a_database_that_is_away_for_a_while_is_complained_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lythonic_compose.trigger.manager.LOOK", timedelta(milliseconds=1))
    with TriggerStore(tmp_path / "triggers.db") as store:
        manager = TriggerManager(Namespace(), store, lambda _: DagRunner(Dag()))
        await manager.start()
        store.close()
        await until(lambda: "triggers cannot be looked after" in caplog.text)
        failures = len(caplog.records)
        looked: list[int] = []
        monkeypatch.setattr(manager, "_clock", lambda: looked.append(1) or utc_now())
        await until(lambda: len(looked) > 5)
        await manager.stop()

    assert failures == 1
    assert len(caplog.records) == 1


# --- configurations ---------------------------------------------------------------------------


def configured(world: World, *triggers: TriggerConfig) -> TriggerManager:
    namespace = Namespace()
    config = NsNodeConfig(triggers=triggers)
    namespace.register(world.namespace.get_as_dag("a:dag"), "a:dag", config=config)
    return TriggerManager(namespace, world.store, world.runner_of, clock=world.clock)


def test_the_triggers_of_a_namespace_are_kept_and_no_others(world: World) -> None:
    world.manager().activate("a:dag", TriggerConfig(name="in code"))
    states = configured(world, TriggerConfig(schedule="@daily"), OFTEN).activate_configured()
    assert told(states, "name", "nsref") == [("a:dag", "a:dag"), ("often", "a:dag")]  # type: ignore[arg-type]

    configured(world, TriggerConfig(schedule="@hourly")).activate_configured()
    fire = {state.name: state.config.schedule for state in world.store.states() if state.fires}
    assert fire == {"a:dag": "@hourly", "in code": None}


def test_everything_wrong_with_configured_triggers_is_told_and_nothing_kept(world: World) -> None:
    namespace = Namespace()
    for nsref, schedule in (("a:one", "61 * * * *"), ("a:two", "0 0 30 2 *"), ("a:three", None)):
        config = NsNodeConfig(triggers=(TriggerConfig(name="often", schedule=schedule),))
        namespace.register(world.namespace.get_as_dag("a:dag"), nsref, config=config)

    with pytest.raises(ConfigError) as caught:
        TriggerManager(namespace, world.store, world.runner_of).activate_configured()
    assert [problem[:52] for problem in caught.value.problems] == [
        "a:one: the schedule '61 * * * *' makes no sense: '61",
        "a:two: a trigger of a:one is called 'often' already;",
        "a:three: a trigger of a:one is called 'often' alread",
    ]
    assert world.store.states() == []


def test_only_what_is_registered_and_makes_sense_is_activated(world: World) -> None:
    manager = world.manager()
    with pytest.raises(NotRegistered, match="'a:dg'; did you mean 'a:dag'"):
        manager.activate("a:dg", OFTEN)
    with pytest.raises(TriggerError, match="there is no time zone 'Mars'"):
        manager.activate("a:dag", often(timezone="Mars"))
    assert manager.activate("a:dag", often(name=None)).name == "a:dag"
    assert told(world.store.states(), "name") == ["a:dag"]  # type: ignore[arg-type]
