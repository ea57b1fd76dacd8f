"""Which peers are measured with what? Group by group, each in a new process with a new store."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from ..turns import ROOT, Failed, Process, Sample, end, interleaved, last_line
from .environments import prepare, python_of, surroundings
from .workloads import BY_NAME, FEWEST, WORKLOADS

PEERS: dict[str, str | None] = {
    "peers.floor": None,
    "peers.lythonic_compose_": None,
    "peers.dbos_": "dbos",
    "peers.lythonic_": "lythonic",
    "peers.redun_": "redun",
    "peers.hamilton_cached": "hamilton",
    "peers.prefect_": "prefect",
    "peers.dagster_": "dagster",
    "peers.hamilton_": "hamilton",
    "peers.linepipe_": "linepipe",
    "peers.kedro_": "kedro",
}
"""Adapters, and the environments that they live in: None is that of the benchmarks themselves."""
CACHES: dict[str, str | None] = {
    "caches.floor": None,
    "caches.lythonic_compose_": None,
    "caches.lythonic_": "lythonic",
    "caches.diskcache_": "caches",
    "caches.joblib_": "caches",
    "caches.cashews_": "caches",
    "caches.aiocache_": "caches",
}
BASE = "peers.pydantic_"
STARTUP = ("process", "import", "memory")
SECONDS = 0.4
"""So long a repetition is of one workload, if one run is not longer."""
LONG_START = 8.0
"""Whose process takes longer from its start to its end is started once."""
FILLING = 45.0
"""Nobody's history is filled for longer."""

Say = Callable[[str], None]


class Measurement:
    def __init__(self, folder: Path, repetitions: int, scale: float, say: Say) -> None:
        self.folder, self.repetitions, self.scale, self.say = folder, repetitions, scale, say
        self.seconds = max(0.02, SECONDS * scale)
        self.filled: dict[str, dict[str, int]] = {}
        self.lasted: dict[str, float] = {}

    def __call__(self, peers: dict[str, str | None], names: Sequence[str]) -> dict[str, Any]:
        """Samples by figure and peer, and what is known of each peer."""
        about = {peer: self._about(peer, environment) for peer, environment in peers.items()}
        able = {peer: env for peer, env in peers.items() if "error" not in about[peer]}
        samples: dict[str, dict[str, Any]] = {}
        for group in dict.fromkeys(workload.group for workload in WORKLOADS):
            chosen = [w.name for w in WORKLOADS if w.group == group and w.name in names]
            wanted = {
                peer: [name for name in chosen if name in about[peer]["workloads"]] for peer in able
            }
            if any(wanted.values()):
                self.say(group)
                samples |= self._group(group, able, wanted)
        if "startup" in names:
            self.say("startup")
            samples |= self._startup(able | {BASE: None})
        return {"peers": about, "samples": samples, "filled": self.filled}

    def _process(self, peer: str, environment: str | None, place: str) -> Process:
        folder = self.folder / place / peer
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        return Process(
            [str(python_of(environment)), "-m", f"{__package__}.worker", peer, str(folder)],
            self.folder / f"{peer}.log",
            rests=True,
            environ=surroundings(folder),
        )

    def _about(self, peer: str, environment: str | None) -> dict[str, Any]:
        self.say(peer)
        wrong = prepare(environment)
        if wrong is None:
            try:
                process = self._process(peer, environment, "about")
                process.stop()
                return process.about
            except Failed as error:
                wrong = f"cannot be imported: {error}"
        return {
            "title": peer.partition(".")[2].strip("_"),
            "note": "",
            "versions": {},
            "workloads": [],
            "error": wrong,
        }

    def _group(
        self, group: str, peers: dict[str, str | None], wanted: dict[str, list[str]]
    ) -> dict[str, dict[str, Any]]:
        processes: dict[str, Process] = {}
        lost: dict[str, Failed] = {}
        try:
            for peer, environment in peers.items():
                if wanted[peer]:
                    try:
                        place = group.replace(" ", "-")
                        processes[peer] = self._process(peer, environment, place)
                    except Failed as error:
                        lost[peer] = error
            runs = max(BY_NAME[name].history for found in wanted.values() for name in found)
            if runs:
                lost |= self._fill(group, processes, runs)
            turns: dict[str, Callable[[], Sample]] = {
                peer: _Turn(process, wanted[peer], self.seconds)
                for peer, process in processes.items()
            }
            turns |= {peer: partial(_fail, error) for peer, error in lost.items()}
            names = dict.fromkeys(name for found in wanted.values() for name in found)
            figures = [figure for name in names for figure in FIGURES.get(name, (name,))]
            return interleaved(turns, figures, self.repetitions)
        finally:
            for process in processes.values():
                process.stop()

    def _fill(self, group: str, processes: dict[str, Process], runs: int) -> dict[str, Failed]:
        """Makes the histories, all at the same time; who could not."""
        count, seconds = max(FEWEST, int(runs * self.scale)), FILLING * max(self.scale, 0.3)
        lost: dict[str, Failed] = {}

        def fill(peer: str) -> None:
            try:
                answer = processes[peer].ask(fill=count, seconds=seconds)
                self.filled.setdefault(group, {})[peer] = answer["filled"]
            except Failed as error:
                lost[peer] = error

        with ThreadPoolExecutor() as pool:
            list(pool.map(fill, processes))
        return lost

    def _startup(self, peers: dict[str, str | None]) -> dict[str, dict[str, Any]]:
        turns = {
            peer: partial(self._started, peer, environment) for peer, environment in peers.items()
        }
        return interleaved(turns, STARTUP, self.repetitions)

    def _started(self, peer: str, environment: str | None) -> Sample:
        if self.lasted.get(peer, 0) > LONG_START:
            return {}
        begin = time.monotonic()
        found = self._start(peer, environment)
        self.lasted[peer] = time.monotonic() - begin
        return found

    def _start(self, peer: str, environment: str | None) -> Sample:
        folder = self.folder / "startup" / peer
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = [str(python_of(environment)), "-m", f"{__package__}.startup", peer, str(folder)]
        with (self.folder / f"{peer}.log").open("a") as log:
            begin = time.perf_counter()
            process = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=surroundings(folder),
                process_group=0,
            )
            assert process.stdout is not None
            first = process.stdout.readline()
            wall = time.perf_counter() - begin
            second = process.stdout.readline()
            end(process)
        if not second:
            raise Failed(f"the process ended: {last_line(Path(log.name))}")
        import_wall, import_cpu, cpu = map(float, first.split())
        found: dict[str, tuple[float, float] | Failed] = {
            "process": (wall, cpu),
            "import": (import_wall, import_cpu),
        }
        memory = float(second)
        return found | ({"memory": (memory, memory)} if memory else {})


FIGURES = {"megabytes": ("megabytes", "disk"), "misses": ("misses", "calls")}
"""What a workload gives, where that is more than its time."""


class _Turn:
    """All workloads of a group, in one peer's process; called for each repetition."""

    def __init__(self, process: Process, names: Sequence[str], seconds: float) -> None:
        self.process, self.names, self.seconds = process, list(names), seconds

    def __call__(self) -> Sample:
        found: dict[str, tuple[float, float] | Failed] = {}
        for name in list(self.names):
            try:
                answer = self.process.ask(workload=name, seconds=self.seconds)
            except Failed as error:
                self.names.remove(name)
                found |= dict.fromkeys(FIGURES.get(name, (name,)), error)
                continue
            if answer.get("is_long"):
                self.names.remove(name)
            found[name] = answer["wall"], answer["cpu"]
            for figure in FIGURES.get(name, ())[1:]:
                found[figure] = answer[figure], answer[figure]
        return found


def _fail(error: Failed) -> Sample:
    raise error
