"""What a signal does to a run on the main thread."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from lythonic_compose import Dag, DagRunner, RunFinished, RunStarted, inline, stopping
from tests.compose.memory import Remembering


def send(number: signal.Signals) -> None:
    os.kill(os.getpid(), number)


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def sent(request: pytest.FixtureRequest) -> Iterator[signal.Signals]:
    """A signal whose handler outside of runs must never be called."""
    number: signal.Signals = request.param
    strays: list[int] = []

    def note(number: int, frame: Any) -> None:
        strays.append(number)

    before = signal.signal(number, note)
    try:
        yield number
        assert signal.getsignal(number) is note
        assert not strays
    finally:
        signal.signal(number, before)


class Pausable(DagRunner):
    """Tells when it was asked to pause."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.asked = threading.Event()

    def pause(self) -> None:
        super().pause()
        self.asked.set()


def test_a_signal_lets_what_has_begun_end_and_begins_nothing_else(sent: signal.Signals) -> None:
    def first() -> int:
        send(sent)
        assert runner.asked.wait(10)
        return 1

    def second(number: int) -> int:
        return number + 1

    dag = Dag()
    dag.node(first) >> dag.node(second)
    memory = Remembering()
    runner = Pausable(dag, memory)
    result = runner.run_sync()
    assert result.status == "paused"
    assert result.node_statuses == {"first": "completed", "second": "pending"}
    assert asyncio.run(runner.restart(result.run_id)).outputs == {"second": 2}


def test_after_the_grace_period_what_runs_is_broken_off_and_still_paused(
    sent: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stopping, "GRACE_SECONDS", 0.01)
    healed = False

    async def forever(number: int) -> int:
        if not healed:
            send(sent)
            await asyncio.Event().wait()
        return number

    dag = Dag()
    dag.map(forever, "all") >> dag.node(len, "end")
    memory = Remembering()
    runner = DagRunner(dag, memory)
    result = runner.run_sync({"all": {"number": [1]}})
    assert result.status == "paused"
    assert result.node_statuses == {"all": "pending", "end": "pending"}
    assert [event.status for event in memory.of(RunFinished)] == ["paused", "paused"]
    healed = True
    assert asyncio.run(runner.restart(result.run_id)).outputs == {"end": 1}


def test_a_second_signal_does_not_wait(sent: signal.Signals) -> None:
    stop = threading.Event()

    def stuck() -> None:
        send(sent)
        assert runner.asked.wait(10)
        send(sent)
        stop.wait(10)

    dag = Dag()
    dag.node(stuck)
    runner = Pausable(dag)
    result = runner.run_sync()
    assert not stop.is_set()
    assert (result.status, result.node_statuses) == ("paused", {"stuck": "pending"})
    stop.set()


def test_a_signal_after_the_last_node_changes_nothing(sent: signal.Signals) -> None:
    @inline
    def last() -> int:
        send(sent)
        return 1

    dag = Dag()
    dag.node(last)
    assert dag.run_sync().outputs == {"last": 1}


def test_what_is_ignored_stays_ignored() -> None:
    def step() -> int:
        send(signal.SIGTERM)
        return 1

    dag = Dag()
    dag.node(step)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        assert dag.run_sync().status == "completed"
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, before)


async def test_nobody_touches_signals_below_a_loop_or_in_another_thread() -> None:
    def handlers() -> list[Any]:
        return [signal.getsignal(each) for each in stopping.SIGNALS]

    dag = Dag()
    dag.node(handlers)
    before = handlers()
    runner = DagRunner(dag)
    assert runner.run_sync().outputs == {"handlers": before}
    assert (await asyncio.to_thread(runner.run_sync)).outputs == {"handlers": before}
    assert (await runner.run()).outputs == {"handlers": before}


def test_a_run_that_cannot_begin_leaves_the_signals_alone(sent: signal.Signals) -> None:
    def step(number: int) -> int:
        return number

    dag = Dag()
    dag.node(step)
    memory = Remembering()
    with pytest.raises(ValueError, match="the input 'number' of step is missing"):
        DagRunner(dag, memory).run_sync()
    assert not memory.of(RunStarted)
