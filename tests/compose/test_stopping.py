"""What a signal does to a run on the main thread, and what it leaves of one in a process."""

# pyright: reportUnusedExpression=false
# `a >> b` wires a with b, and is a statement of its own

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import (
    Dag,
    DagProvenance,
    DagRunner,
    NodeAttempt,
    NodeExecution,
    RunFinished,
    RunStarted,
    inline,
    stopping,
)
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


def test_a_restart_and_a_replay_are_paused_as_well(sent: signal.Signals, tmp_path: Path) -> None:
    told = 3

    def first() -> int:
        nonlocal told
        told -= 1
        if told >= 0:
            runner.asked.clear()
            send(sent)
            assert runner.asked.wait(10)
        if told > 0:
            raise OSError("not yet")
        return 1

    def second(number: int) -> int:
        return number + 1

    dag = Dag()
    dag.node(first) >> dag.node(second)
    with DagProvenance(tmp_path / "runs.db") as store:
        runner = Pausable(dag, store)
        begun = runner.run_sync()
        again = runner.restart_sync(begun.run_id)
        assert (begun.status, again.status, again.run_id) == ("failed", "failed", begun.run_id)
        replayed = runner.replay_sync(begun.run_id, [first])
        assert (replayed.status, replayed.values) == ("paused", {"first": 1})
        assert runner.restart_sync(replayed.run_id).outputs == {"second": 2}


def test_a_pause_that_comes_before_a_replay_begins_is_heard(tmp_path: Path) -> None:
    dag = Dag()
    dag.node(lambda: 1, "one")
    with DagProvenance(tmp_path / "runs.db") as store:
        done = DagRunner(dag, store).run_sync()
        runner = DagRunner(dag, store)

        async def paused_at_once() -> str:
            replaying = asyncio.ensure_future(runner.replay(done.run_id, ["one"]))
            await asyncio.sleep(0)  # it asks the store in a thread now
            runner.pause()
            return (await replaying).status

        assert asyncio.run(paused_at_once()) == "paused"


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


# --- in a process of its own ------------------------------------------------------------------

STOPPED = """
import asyncio, os, sys, time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from lythonic_compose import Dag, DagProvenance, DagRunner, stopping

HEALED = Path("healed").exists()

def numbers() -> list[int]:
    return [1, 2, 3]

def one(number: int) -> int:
    # the first waits to be let go, the second does not end, the third waits where it can be ended
    return number if HEALED or number > 2 else wait(f"go{number}", number)

def wait(file: str, number: int) -> int:
    Path(f"begun{number}").touch()
    while not Path(file).exists():
        time.sleep(0.01)
    return number

async def two(number: int) -> int:
    if number == 3 and not HEALED:
        Path("begun3").touch()
        await asyncio.Event().wait()
    return number * 10

def total(numbers: list[int]) -> int:
    return sum(numbers)

element = Dag()
element.node(one) >> element.node(two)
dag = Dag()
dag.node(numbers) >> dag.map(element, "elements") >> dag.node(total)

pooled = Dag()
pooled.node(wait) >> pooled.node(two)

if __name__ == "__main__":
    how, durability, stopping.GRACE_SECONDS = sys.argv[1], sys.argv[2], float(sys.argv[3])
    with DagProvenance("runs.db", durability=durability) as store:
        if how == "sync":
            print(DagRunner(dag, store).run_sync().status)
        elif how == "pool":
            with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
                given = {"wait": {"file": "go1", "number": 1}}
                print(DagRunner(pooled, store, executor=pool).run_sync(given).status)
        else:
            try:
                asyncio.run(DagRunner(dag, store).run())
            except KeyboardInterrupt:
                print("interrupted")
"""


class Process:
    """A run in a process (and group) of its own, in an empty directory."""

    def __init__(self, home: Path, how: str, durability: str = "node", grace: float = 60) -> None:
        self.home = home
        (home / "stopped.py").write_text(STOPPED)
        self.process = subprocess.Popen(
            [sys.executable, "stopped.py", how, durability, str(grace)],
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
        )

    def wait_for(self, *files: str) -> None:
        until = time.monotonic() + 60
        while not all((self.home / file).exists() for file in files):
            assert self.process.poll() is None, self.process.communicate()[1]
            assert time.monotonic() < until
            time.sleep(0.005)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal to all of the group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def hears(self, number: signal.Signals) -> None:
        """Sends it, and waits until it was heard."""
        self.send(number)
        assert self.process.stderr is not None
        assert f"{number.name}: the run pauses" in self.process.stderr.readline()

    def let_go(self, file: str) -> None:
        (self.home / file).touch()

    def wait_until_completed(self, label: str, map_key: str) -> None:
        with DagProvenance(self.home / "runs.db") as store, store.open() as conn:
            until = time.monotonic() + 60
            while not NodeExecution.exists(
                conn, run_id__map_key=map_key, node_label=label, status="completed"
            ):
                assert time.monotonic() < until
                time.sleep(0.01)

    def said(self) -> str:
        out, err = self.process.communicate(timeout=60)
        assert self.process.returncode == 0, err
        return out.strip()

    def recorded(self) -> tuple[str, dict[str, str]]:
        """The status of the run and of its nodes by path; nothing of it may be running."""
        with DagProvenance(self.home / "runs.db") as store:
            (outer,) = store.get_recent_runs()
            runs = [outer, *store.get_child_runs(outer.run_id)]
            with store.open() as conn:
                assert "running" not in {attempt.status for attempt in NodeAttempt.select(conn)}
        assert "running" not in {run.status for run in runs}
        return outer.status, {
            f"{run.map_key}{node.node_label}": node.status
            for run in runs
            for node in run.nodes.values()
        }

    def restarted(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        """What comes of the run here, where the nodes end."""
        (self.home / "healed").touch()
        monkeypatch.chdir(self.home)
        monkeypatch.syspath_prepend(self.home)
        monkeypatch.delitem(sys.modules, "stopped", raising=False)
        dag = importlib.import_module("stopped").dag
        with DagProvenance(self.home / "runs.db") as store:
            (run,) = store.get_recent_runs(nested=False)
            return asyncio.run(DagRunner(dag, store).restart(run.run_id)).outputs


@pytest.mark.parametrize(
    ("number", "durability"), [(signal.SIGTERM, "node"), (signal.SIGINT, "run")]
)
def test_a_process_that_is_told_to_stop_leaves_a_paused_run_and_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals, durability: str
) -> None:
    process = Process(tmp_path, "sync", durability)
    process.wait_for("begun1", "begun2", "begun3")
    process.hears(number)
    process.let_go("go1")  # the others do not end, and are not waited for any longer
    process.wait_until_completed("one", map_key="0")
    process.send(number)

    assert process.said() == "paused"
    status, nodes = process.recorded()
    assert status == "paused"
    assert nodes == {
        "numbers": "completed",
        "elements": "pending",
        "0one": "completed",
        "1one": "pending",
        "2one": "completed",
        "2two": "pending",
    }
    assert process.restarted(monkeypatch) == {"total": 60}


def test_a_process_that_is_told_to_stop_does_not_wait_for_ever(tmp_path: Path) -> None:
    process = Process(tmp_path, "sync", grace=0.01)
    process.wait_for("begun1", "begun2", "begun3")
    process.hears(signal.SIGTERM)

    assert process.said() == "paused"
    status, nodes = process.recorded()
    assert (status, nodes["0one"], nodes["2two"]) == ("paused", "pending", "pending")


def test_a_task_that_is_cancelled_by_ctrl_c_leaves_a_cancelled_run(tmp_path: Path) -> None:
    process = Process(tmp_path, "async")
    process.wait_for("begun1", "begun2", "begun3")
    process.send(signal.SIGINT)

    assert process.said() == "interrupted"
    status, nodes = process.recorded()
    assert status == "cancelled"
    assert nodes == {
        **dict.fromkeys(("elements", "total"), "cancelled"),
        **dict.fromkeys(("0one", "0two", "1one", "1two", "2two"), "cancelled"),
        "numbers": "completed",
        "2one": "completed",
    }


@pytest.mark.parametrize(
    ("number", "node"), [(signal.SIGINT, "completed"), (signal.SIGTERM, "pending")]
)
def test_workers_are_told_as_well_and_the_run_is_paused_all_the_same(
    tmp_path: Path, number: signal.Signals, node: str
) -> None:
    """Of Ctrl-C a worker hears, too, and goes on; SIGTERM ends it, and its node waits."""
    process = Process(tmp_path, "pool")
    process.wait_for("begun1")
    process.hears(number)
    process.let_go("go1")

    assert process.said() == "paused"
    status, nodes = process.recorded()
    assert (status, nodes["wait"]) == ("paused", node)
