"""How does a process live and die cheaply? A launcher that has imported everything forks each one.

A life is a real process that can really be killed. The launcher (`python -m
tests.compose.kills.lives`) has one thread and opens nothing of a store, so that a fork is as good
as a start, and a hundred times cheaper. `Lives` speaks to it from a test.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias, cast

import psycopg  # noqa: F401 - what a life on PostgreSQL needs, imported before there are lives

from lythonic_compose import DagProvenance, DagRun, DagRunner, WrongRunState, call, failpoints
from lythonic_compose.cached import cached
from lythonic_compose.dag_provenance import liveness, writer
from tests.compose.kills.pipeline import DAG, NSREF, SIZE, Log, namespace

HERE = Path(__file__).parents[3]

Work: TypeAlias = Literal["go", "replay", "prune", "cache"]
COMPLETED, LEFT, REFUSED, BROKEN = 0, 10, 20, 30
"""How a life ends by itself: nothing is left to do, a run paused or failed, another process has
it, or what must not happen."""


@dataclass(frozen=True)
class Life:
    """What one process is to do."""

    store: str
    log: str
    """Where the functions say that they start and end."""
    outputs: str = ""
    """Where the rows go, if not to the store."""
    work: Work = "go"
    """To run the pipeline, or to replay it after that; to remove all runs but the newest; to call a
    function through a cache."""
    troubles: bool = False
    """Whether a node pauses the run when it is first called, and another one fails it."""
    durability: Literal["node", "run"] = "node"
    recovers: bool = False
    """Whether `recover` continues what was abandoned, instead of `restart`."""
    elsewhere: bool = False
    """Whether its owner looks like one of another machine, of whom only heartbeats tell."""
    impatient: bool = False
    """Whether a lease is over as soon as it begins, for whoever looks at others and at itself."""
    failpoint: str = ""

    @property
    def complaints(self) -> Path:
        """What lives have written to stderr."""
        return Path(self.log).with_suffix(".err")


@dataclass(frozen=True)
class Ended:
    """How a process ended, or that it is stopped or goes on."""

    state: Literal["ended", "killed", "stopped", "running"]
    code: int = 0


# --- in the life ----------------------------------------------------------------------------


def live(life: Life) -> int:
    """Begins the work if there is none, and continues what there is."""
    if life.failpoint:
        failpoints.arm(life.failpoint)
    if life.elsewhere:
        liveness._this_process = lambda pid: ("elsewhere", "elsewhere", pid, "1")
    if life.impatient:
        liveness.LEASE, writer.SURE_SECONDS = timedelta(0), 0.0
    if life.work == "cache":
        return _call_through_a_cache(life)
    try:
        with DagProvenance(life.store, durability=life.durability) as store:
            if life.work == "prune":
                store.prune(keep_last=1)
                return COMPLETED
            return asyncio.run(_work(life, store))
    except WrongRunState as error:
        print(f"refused: {error}", file=sys.stderr)
        return REFUSED


async def _work(life: Life, store: DagProvenance) -> int:
    resources = {"log": Log(life.log, troubles=life.troubles)}
    outputs = life.outputs or None
    runner = DagRunner(DAG, store, resources=resources, outputs=outputs)
    runs = _runs(store)
    if not runs:
        await runner.run({"seed": {"size": SIZE}}, dag_nsref=NSREF)
    elif life.work == "replay" and len(runs) == 1 and runs[0].status == "completed":
        await runner.replay(runs[0].run_id, {"decide", "pages"}, downstream=True)
    elif life.recovers and any(run.status == "running" for run in runs):
        recovery = await store.recover(
            namespace(), resources=resources, outputs=outputs, most_times=None
        )
        if recovery.left:
            raise WrongRunState(str(recovery))
    else:
        for run in runs:
            if run.status != "completed":
                await runner.restart(run.run_id)
    runs = _runs(store)
    is_done = all(run.status == "completed" for run in runs)
    return COMPLETED if is_done and len(runs) == (2 if life.work == "replay" else 1) else LEFT


def _runs(store: DagProvenance) -> list[DagRun]:
    with store.open() as conn:
        return DagRun.select(conn, parent_run_id=None, order_by="started_at")


def _call_through_a_cache(life: Life) -> int:
    log = Log(life.log, troubles=False)

    @cached(life.store, min_ttl=1, max_ttl=2, lease=timedelta(seconds=0.1))
    def answer(question: int) -> int:
        log.write(what="called", question=question)
        return question * 2

    return COMPLETED if answer(21) == 42 else BROKEN


# --- the launcher ---------------------------------------------------------------------------


def launch() -> None:
    """Does what is asked, line by line, until nobody asks any more."""
    # what it says of values that do not come back is known
    logging.getLogger("lythonic_compose").setLevel(logging.ERROR)
    _warm_up()
    gc.collect()
    gc.freeze()
    lives: set[int] = set()
    print("{}", flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        answer: dict[str, Any] = {}
        if asked["do"] == "start":
            answer["pid"] = _forked(Life(**asked["life"]))
            lives.add(answer["pid"])
        else:
            state, code = _waited(asked["pid"], asked["seconds"])
            answer.update(state=state, code=code)
            if state in ("ended", "killed"):
                lives.remove(asked["pid"])
        print(json.dumps(answer), flush=True)
    for pid in lives:
        os.kill(pid, signal.SIGKILL)


def _warm_up() -> None:
    """Has everything imported and compiled that lives need; no thread and no store is left."""
    idle, call.IDLE_SECONDS = call.IDLE_SECONDS, 0.0
    with DagProvenance("sqlite://") as store:
        for _ in range(3):
            asyncio.run(_work(Life("sqlite://", os.devnull, troubles=True), store))
    for thread in threading.enumerate():
        if thread is not threading.main_thread():
            thread.join()
    call.IDLE_SECONDS = idle


def _forked(life: Life) -> int:
    pid = os.fork()
    if pid:
        return pid
    code = BROKEN
    try:
        said = os.open(life.complaints, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(said, 1)
        os.dup2(said, 2)
        code = live(life)
    except BaseException:  # noqa: BLE001 - whatever it is, nobody else would say it
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def _waited(pid: int, seconds: float | None) -> tuple[str, int]:
    until = None if seconds is None else time.monotonic() + seconds
    while True:
        found, status = os.waitpid(pid, os.WUNTRACED | (0 if until is None else os.WNOHANG))
        if found:
            if os.WIFSTOPPED(status):
                return "stopped", os.WSTOPSIG(status)
            if os.WIFSIGNALED(status):
                return "killed", os.WTERMSIG(status)
            return "ended", os.WEXITSTATUS(status)
        left = 0.0 if until is None else until - time.monotonic()
        if left <= 0:
            return "running", 0
        time.sleep(min(left, 0.001))


# --- in the test ----------------------------------------------------------------------------


class Lives:
    """The lives of a test, each a process of its own."""

    def __enter__(self) -> Self:
        self._launcher = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=HERE,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._launcher.communicate(timeout=60)

    def start(self, life: Life) -> int:
        """Begins a life; its pid."""
        return cast(int, self._ask(do="start", life=asdict(life))["pid"])

    def wait(self, pid: int, seconds: float | None = None) -> Ended:
        """Waits until a life has ended or is stopped, or so long."""
        return Ended(**self._ask(do="wait", pid=pid, seconds=seconds))

    def live(self, life: Life) -> Ended:
        """A life until its end."""
        return self.wait(self.start(life))

    def live_for(self, life: Life, seconds: float) -> Ended:
        """A life that is killed after so long, if it has not ended by then."""
        pid = self.start(life)
        ended = self.wait(pid, seconds)
        if ended.state == "running":
            os.kill(pid, signal.SIGKILL)
            ended = self.wait(pid)
        return ended

    def _ask(self, **asked: Any) -> dict[str, Any]:
        assert self._launcher.stdin is not None
        self._launcher.stdin.write(json.dumps(asked) + "\n")
        self._launcher.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._launcher.stdout is not None
        line = self._launcher.stdout.readline()
        assert line, "the launcher of lives has died"
        return cast("dict[str, Any]", json.loads(line))


def environment(**more: str) -> Mapping[str, str]:
    return {**os.environ, "PYTHONPATH": str(HERE), **more}


if __name__ == "__main__":
    if len(sys.argv) > 1:  # a life without a launcher
        sys.exit(live(Life(**json.loads(sys.argv[1]))))
    launch()
