"""The real command in real processes: an engine in a terminal, killed, begun again, stopped."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from lythonic_compose import DagProvenance, DagRun
from lythonic_compose.trigger import TriggerStore
from lythonic_compose.trigger.tables import TriggerFire

from .conftest import Project

PATIENCE = 40
"""Seconds after which what has not happened never will."""
CONFIGURATION = """
namespace:
  - nsref: "clock:tick"
    gref: "MODULE:dag"
    triggers:
      - {name: each second, schedule: "* * * * * *"}
      - {name: disabled, schedule: "* * * * * *"}
"""
CODE = """
from lythonic_compose import Dag, DagContext

def moment(ctx: DagContext) -> str:
    return str(ctx.scheduled_at)

def shown(moment: str) -> str:
    return moment

with Dag() as dag:
    dag.node(moment) >> dag.node(shown)
"""
SECOND = timedelta(seconds=1)


class Terminal:
    """The real command as a process of its own, in a pseudo-terminal."""

    def __init__(self, *words: str) -> None:
        leader, follower = pty.openpty()
        fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
        self.process = subprocess.Popen(
            [sys.executable, "-m", "lythonic_compose.lyth", *words],
            stdin=follower,
            stdout=follower,
            stderr=follower,
            env={**os.environ, "TERM": "xterm"},
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),  # where Ctrl-C comes from
        )
        os.close(follower)
        self._leader = leader
        self._seen: list[bytes] = []
        self._reading = threading.Thread(target=self._read, daemon=True)
        self._reading.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self._leader, 65536)
            except OSError:  # its terminal is closed
                return
            if not data:
                return
            self._seen.append(data)

    @property
    def seen(self) -> str:
        return b"".join(self._seen).decode()

    def type(self, keys: str) -> None:
        os.write(self._leader, keys.encode())

    def end(self, number: signal.Signals) -> int:
        """Sends a signal, and waits for the exit code."""
        self.process.send_signal(number)
        code = self.process.wait(PATIENCE)
        self._reading.join(PATIENCE)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._reading.join(PATIENCE)
        os.close(self._leader)


@pytest.fixture
def begin(project: Project) -> Iterator[Callable[[], Terminal]]:
    project.write(CONFIGURATION, CODE)
    begun: list[Terminal] = []

    def begin() -> Terminal:
        begun.append(Terminal("start", "--data", str(project.data)))
        return begun[-1]

    yield begin
    for terminal in begun:
        terminal.close()


def wait_for(condition: Callable[[], Any], terminal: Terminal) -> None:
    late = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < late, terminal.seen
        assert terminal.process.poll() is None, terminal.seen
        time.sleep(0.05)


def test_each_second_is_fired_once_whatever_becomes_of_the_engine(
    project: Project, begin: Callable[[], Terminal]
) -> None:
    assert project.lyth("triggers", "disable", "disabled").code == 0
    with (
        TriggerStore(project.data / "triggers.db") as triggers,
        DagProvenance(project.data / "dags.db") as history,
    ):

        def completed() -> list[TriggerFire]:
            """From the first to the last."""
            return triggers.fires("each second", limit=None, status="completed")[::-1]

        first = begin()
        wait_for(lambda: len(completed()) >= 2, first)
        assert first.end(signal.SIGKILL) == -signal.SIGKILL
        last = triggers.fires("each second", limit=1)[0].tick
        assert last is not None
        while datetime.now(UTC) < last + 2.1 * SECOND:  # two ticks are missed
            time.sleep(0.02)
        before = len(completed())
        second = begin()
        wait_for(lambda: len(completed()) >= before + 3, second)

        running = project.lyth("status", "--json").json
        refused = project.lyth("start")
        stopped = second.end(signal.SIGTERM)

        assert running["engine"]["pid"] == second.process.pid
        assert refused.code == 2
        assert f"process {second.process.pid} on" in refused.err
        assert stopped == 0, second.seen
        assert project.lyth("status", "--json").json["engine"] is None
        fires = triggers.fires("each second", limit=None)
        assert_each_tick_is_dealt_with_once(fires)
        assert [fire.kind for fire in fires].count("catch-up") == 1, "what was missed, once"
        assert triggers.fires("disabled", limit=None) == []
        assert_each_fire_has_its_run(fires, history)
    states = {each["name"]: each["state"] for each in project.lyth("triggers", "--json").json}
    assert states == {"each second": "on", "disabled": "disabled"}
    assert re.search(r"clock:tick.* completed", second.seen)
    assert "Traceback" not in first.seen + second.seen


def assert_each_tick_is_dealt_with_once(fires: list[TriggerFire]) -> None:
    """From the first to the last tick, each has a run or was left out, and none is missing."""
    ticks: list[datetime] = []
    for fire in fires:
        if fire.tick is not None:
            ticks.append(fire.tick)
        else:
            assert fire.status == "skipped"
            assert fire.reason
            assert fire.first_tick is not None
            ticks += [fire.first_tick + number * SECOND for number in range(fire.ticks)]
    assert sorted(ticks) == [min(ticks) + number * SECOND for number in range(len(ticks))]


def assert_each_fire_has_its_run(fires: list[TriggerFire], history: DagProvenance) -> None:
    """One run, which completed, began for the tick, and was there for nothing else."""
    fired = {fire.run_id: fire for fire in fires if fire.status != "skipped"}
    with history.open() as conn:
        runs = {run.run_id: run for run in DagRun.select(conn)}
    assert set(runs) == set(fired)
    for run_id, run in runs.items():
        if run.status == "paused":  # the engine was stopped in the middle of it
            continue
        assert run.status == "completed"
        assert run.scheduled_at == fired[run_id].tick
        assert run.initiated_by == "trigger:each second"


def test_a_run_is_shown_live_in_a_terminal_and_paused_by_ctrl_c(project: Project) -> None:
    project.write(
        'namespace:\n- {nsref: "slow:dag", gref: "MODULE:dag"}\n',
        "import time\nfrom pathlib import Path\nfrom lythonic_compose import Dag\n"
        "def sleepy() -> str:\n"
        "    while not (Path(__file__).parent / 'gate').exists(): time.sleep(0.01)\n"
        "    return 'awake'\n"
        "def after(text: str) -> str: return text\n"
        "dag = Dag()\n"
        "dag.node(sleepy) >> dag.node(after)\n",
    )
    terminal = Terminal("run", "slow:dag", "--data", str(project.data))
    try:
        wait_for(lambda: "sleepy" in terminal.seen, terminal)
        terminal.type("\x03")
        wait_for(lambda: "pauses" in terminal.seen, terminal)
        (project.data / "gate").touch()
        code = terminal.process.wait(PATIENCE)
    finally:
        terminal.close()

    assert code == 1
    assert re.search(r"run \w{8} .*paused", terminal.seen), terminal.seen
    restarted = project.lyth("restart", "last", "-q")
    assert (restarted.code, restarted.lines[1]) == (0, 'after: "awake"')
