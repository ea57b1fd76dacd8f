"""A process serves a configuration until it is told to stop, and the next one takes over.

The processes are real; what they did is read from outside.
"""

import asyncio
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from lythonic_compose import DagProvenance, Engine, EngineConfig
from lythonic_compose.call import in_thread
from lythonic_compose.engine import hold, holder, serve, stop
from lythonic_compose.engine.notify import Notifier
from lythonic_compose.engine.service import _Service
from lythonic_compose.errors import ConfigError, EngineRunning
from lythonic_compose.trigger import TriggerStore
from tests.compose.engine.conftest import Project
from tests.processes import Python

SERVES = """
import os, signal, sys
from pathlib import Path
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # which nohup has its children ignore
os.environ.update(dict(each.split("=", 1) for each in sys.argv[2:]))
from lythonic_compose.engine import EngineConfig, serve
sys.exit(serve(EngineConfig.load(data=Path(sys.argv[1]))))
"""

PIPELINE = """\
    import time
    from pathlib import Path
    from lythonic_compose import Dag

    HERE = Path(__file__).parent

    def begun(data: str) -> str:
        Path(HERE / f"{data}.begun").touch()
        until = time.monotonic() + 60
        while not (HERE / f"{data}.go").exists() and time.monotonic() < until:
            time.sleep(0.01)
        return data

    def ended(begun: str) -> str:
        if begun == "bad":
            raise ValueError("this is bad")
        with (HERE / "ended").open("a") as file:
            file.write(begun + " ")
        return begun

    def dag() -> Dag:
        made = Dag()
        made.node(begun) >> made.node(ended)
        return made

    def notify(run) -> None:
        with (HERE / "notified").open("a") as file:
            file.write(f"{run.dag_nsref} {run.failed_node} {run.initiated_by}\\n")
    """
YAML = """\
    log: {level: info}
    on_failure: pipeline:notify
    grace: GRACE
    namespace:
      - nsref: "a:b"
        gref: "pipeline:dag__"
        triggers: [{name: by_hand, payload: {begun: {data: one}}}]
    """


class Served:
    """A process that serves a directory, with what it says to systemd."""

    def __init__(self, top: Path, stack: ExitStack, *, environment: tuple[str, ...] = ()) -> None:
        self.top = top
        directory = stack.enter_context(TemporaryDirectory(prefix="sd-"))
        self.socket = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.socket.bind(f"{directory}/s")
        self.socket.settimeout(1)
        named = f"NOTIFY_SOCKET={directory}/s"
        self.process = Python(SERVES, str(top), named, *environment)
        stack.callback(self.process.close)

    def hears(self, what: str) -> str:
        """Waits until it has said so, and returns that."""
        said = ""
        while what not in said:
            try:
                said = self.socket.recv(1000).decode()
            except TimeoutError:
                assert self.process.returncode is None, self.ended()
        return said

    def tell(self, number: signal.Signals) -> None:
        os.kill(self.process.pid, number)

    def ended(self) -> int | None:
        """Its exit code; what it has complained of is shown where a test fails."""
        code = self.process.wait(30)
        self.process._complaints.seek(0)
        print(self.process._complaints.read())
        return code

    @property
    def log(self) -> str:
        return (self.top / "lyth.log").read_text()


@pytest.fixture
def serving(project: Project) -> Iterator[Callable[..., Served]]:
    """Begins processes that serve one project, and waits until each is ready."""
    with ExitStack() as stack:

        def begin(grace: float = 30.0, more: str = "", **options: Any) -> Served:
            yaml = f"    {more}\n{YAML}".replace("GRACE", str(grace))
            served = Served(project({"lyth.yaml": yaml, "pipeline.py": PIPELINE}), stack, **options)
            served.hears("READY=1")
            return served

        yield begin


def until(true: Callable[[], Any]) -> None:
    """Waits until something is so."""
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline, "this has not come true"
        time.sleep(0.01)


def request(top: Path, **data: str) -> str:
    """Asks the engine for a run; its id."""
    payload = {"begun": data} if data else None
    with TriggerStore(top / "triggers.db") as store:
        run_id = store.request("by_hand", payload).run_id
    assert run_id is not None
    return run_id


def statuses(top: Path) -> list[str]:
    with DagProvenance(top / "dags.db") as provenance:
        return [run.status for run in provenance.get_recent_runs()]


def test_systemd_is_told_when_it_is_ready_that_it_lives_and_that_it_stops(
    serving: Callable[..., Served],
) -> None:
    served = serving(environment=("WATCHDOG_USEC=20000",))

    assert str(holder(served.top)).startswith(f"process {served.process.pid} on ")
    for _ in range(3):
        served.hears("WATCHDOG=1")
    served.tell(signal.SIGTERM)
    served.hears("STOPPING=1")

    assert served.ended() == 0
    assert holder(served.top) is None
    assert "SIGTERM: stops once running nodes have ended, after 30 s at most" in served.log
    assert served.log.endswith("INFO lythonic_compose.engine stopped\n")


def test_a_node_that_runs_may_end_and_its_run_goes_on_with_the_next_start(
    serving: Callable[..., Served],
) -> None:
    first = serving()
    run_id = request(first.top)
    until((first.top / "one.begun").exists)
    first.tell(signal.SIGINT)
    first.hears("STOPPING=1")
    until(lambda: "nodes that are running have ended: 1" in first.log)
    (first.top / "one.go").touch()

    assert first.ended() == 0
    assert statuses(first.top) == ["paused"]
    assert not (first.top / "ended").exists()

    second = serving()
    until((second.top / "ended").exists)
    assert stop(second.top, timeout=30) is True
    assert second.ended() == 0
    assert statuses(second.top) == ["completed"]
    assert (second.top / "ended").read_text() == "one "
    assert f"[{run_id}] a:b completed after" in second.log
    with TriggerStore(second.top / "triggers.db") as store:
        (fire,) = store.fires("by_hand")
    assert (fire.run_id, fire.status) == (run_id, "completed")


@pytest.mark.parametrize(("grace", "signals"), [(0.2, 1), (60.0, 2)])
def test_a_node_that_does_not_end_is_broken_off_after_the_grace_or_a_second_signal(
    serving: Callable[..., Served], grace: float, signals: int
) -> None:
    served = serving(grace)
    request(served.top)
    until((served.top / "one.begun").exists)
    began = time.monotonic()
    served.tell(signal.SIGTERM)
    served.hears("STOPPING=1")
    if signals == 2:
        served.tell(signal.SIGTERM)

    assert served.ended() == 0
    assert time.monotonic() - began < 20
    assert statuses(served.top) == ["paused"]
    assert "broken off, and their runs paused" in served.log


def test_what_a_killed_process_has_left_goes_on_and_failures_are_told(
    serving: Callable[..., Served], project: Project
) -> None:
    first = serving()
    fired = request(first.top, data="fired")
    until((first.top / "fired.begun").exists)
    first.process.kill()
    assert first.ended() == -9
    by_hand = abandoned_run(first.top, "bad")
    with DagProvenance(first.top / "dags.db") as provenance:
        provenance.create_run("lost", "no:where", {})
    for data in ("fired", "bad"):
        (first.top / f"{data}.go").touch()

    second = serving()
    until((second.top / "notified").exists)
    until(lambda: sorted(statuses(second.top)) == ["completed", "failed", "running"])
    second.tell(signal.SIGTERM)
    assert second.ended() == 0

    with DagProvenance(second.top / "dags.db") as provenance:
        found = {run.run_id: run.status for run in provenance.get_recent_runs()}
    assert found == {fired: "completed", by_hand: "failed", "lost": "running"}
    assert (
        "run lost was left (unknown): NotRegistered: nothing is registered as 'no:where'"
        in second.log
    )
    assert (second.top / "ended").read_text() == "fired "
    assert (second.top / "notified").read_text() == "a:b ended None\n"
    assert f"[{by_hand} ended] failed: ValueError: this is bad" in second.log


def abandoned_run(top: Path, data: str) -> str:
    """A run of another program that was killed; its id."""
    other = running(top, data)
    try:
        other.kill()
        assert other.wait() == -9
    finally:
        other.close()
    with DagProvenance(top / "dags.db") as provenance:
        return max(provenance.get_abandoned_runs(), key=lambda run: run.started_at).run_id


def running(top: Path, data: str) -> Python:
    """Another program, whose run is under way."""
    other = Python(
        "import sys\n"
        "from pathlib import Path\n"
        "from lythonic_compose.engine import Engine, EngineConfig\n"
        "engine = Engine(EngineConfig.load(data=Path(sys.argv[1])))\n"
        "given = {'begun': {'data': sys.argv[2]}}\n"
        "engine.runner_of('a:b').run_sync(given, dag_nsref='a:b')\n",
        str(top),
        data,
    )
    until((top / f"{data}.begun").exists)
    return other


def test_without_recover_only_the_runs_of_triggers_go_on(
    serving: Callable[..., Served],
) -> None:
    first = serving(more="recover: false")
    fired = request(first.top, data="fired")
    until((first.top / "fired.begun").exists)
    first.process.kill()
    assert first.ended() == -9
    by_hand = abandoned_run(first.top, "later")
    for data in ("fired", "later"):
        (first.top / f"{data}.go").touch()

    second = serving(more="recover: false")
    until((second.top / "ended").exists)
    assert stop(second.top, timeout=30) is True
    assert second.ended() == 0
    with DagProvenance(second.top / "dags.db") as provenance:
        assert [run.run_id for run in provenance.get_abandoned_runs()] == [by_hand]
        found = provenance.get_run(fired)
    assert found is not None
    assert found.status in ("completed", "paused")
    assert by_hand not in second.log


async def test_a_run_whose_process_goes_later_is_continued_later(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = project({"lyth.yaml": YAML.replace("GRACE", "1"), "pipeline.py": PIPELINE})
    monkeypatch.setattr("lythonic_compose.engine.service.LEASE", timedelta(milliseconds=10))
    other = running(top, "later")
    looks: list[Any] = []
    with Engine(EngineConfig.load(data=top)) as engine:
        look = engine.recovering
        monkeypatch.setattr(engine, "recovering", lambda: looks.append(None) or look())
        service = _Service(engine, Notifier({}))
        recovering = asyncio.create_task(service._recover())
        await in_thread(lambda: until(lambda: len(looks) > 2))
        assert statuses(top) == ["running"]
        other.kill()
        (top / "later.go").touch()
        await asyncio.wait_for(recovering, 30)
        other.close()

    assert statuses(top) == ["completed"]


def test_a_directory_is_served_once(serving: Callable[..., Served]) -> None:
    served = serving()

    with pytest.raises(EngineRunning, match=f"process {served.process.pid} on "):
        serve(EngineConfig.load(data=served.top))

    served.tell(signal.SIGHUP)
    assert served.ended() == 0


def test_with_a_broken_configuration_nothing_begins(project: Project) -> None:
    text = "namespace:\n- {nsref: 'a:b', gref: 'no:x'}\n- {nsref: 'a:c', gref: 'nor:x'}\n"
    config = EngineConfig.load(data=project({"lyth.yaml": text}))

    with pytest.raises(ConfigError) as caught:
        serve(config)

    assert len(caught.value.problems) == 2
    assert not (project({}) / "triggers.db").exists()
    assert holder(project({})) is None


async def test_only_a_main_thread_without_a_loop_can_serve(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="serve is for the main thread"):
        serve(EngineConfig(data=tmp_path))


def test_stopping_what_does_not_run_or_does_not_end_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no engine runs on "):
        stop(tmp_path)

    heard: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: heard.append(number))
    try:
        with hold(tmp_path):
            assert stop(tmp_path, timeout=0.1) is False
    finally:
        signal.signal(signal.SIGTERM, before)
    assert heard == [signal.SIGTERM]


def test_an_engine_elsewhere_is_not_told_a_number_that_means_another_process(
    tmp_path: Path,
) -> None:
    with hold(tmp_path):
        lock = tmp_path / "lyth.lock"
        lock.write_text(lock.read_text().replace('"owner": "', '"owner": "another-boot'))

        with pytest.raises(ConfigError, match="in another container or on another machine"):
            stop(tmp_path)
