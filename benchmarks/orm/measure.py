"""In which order is what measured? Repetition by repetition, each of all peers in turn.

So a minute in which the machine is busy hits every peer alike. The parent imports no library; each
peer lives in a worker, and each figure of `startup.py` in a new process.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from .workloads import BY_NAME, Workload

ROOT = Path(__file__).parents[2]
STARTUP: dict[str, tuple[str, float, str]] = {
    "import": ("import, with three models", 1.3, "s"),
    "first_query": ("first query after it", 1.3, "s"),
    "stream_memory": ("stream 50,000: peak memory", 1.5, "MB"),
}

Sample = dict[str, tuple[float, float]]  # by name: on the wall, and on a CPU
Say = Callable[[str], None]


class Failed(Exception):
    """A peer that could not do it, or did it wrong."""


class Process:
    """A worker, as its parent sees it."""

    def __init__(self, module: str, target: str, log: Path) -> None:
        self.module, self.target = module, target
        self.log = log.open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.worker", module, target],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.about: dict[str, Any] = self._answer()

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"{self.module}: the process ended; see {self.log.name}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def stop(self) -> None:
        self.process.communicate()
        self.log.close()


def measure(
    peers: Sequence[str],
    targets: dict[str, str],
    workloads: Sequence[str],
    *,
    repetitions: int,
    scale: float,
    folder: Path,
    say: Say,
) -> dict[str, Any]:
    """All samples of these peers on one database; the first repetition of each is thrown away."""
    processes = [Process(peer, targets[peer], folder / f"{peer}.log") for peer in peers]
    try:
        entries = [
            _entry(BY_NAME[name], processes, repetitions, scale, say)
            for name in workloads
            if name in BY_NAME
        ]
        if any(name in STARTUP for name in workloads):
            entries += _startup(processes, repetitions, scale, say)
        return {
            "peers": {process.module: process.about for process in processes},
            "workloads": entries,
        }
    finally:
        for process in processes:
            process.stop()


def _entry(
    workload: Workload, processes: Sequence[Process], repetitions: int, scale: float, say: Say
) -> dict[str, Any]:
    say(workload.name)
    count = rows_of(workload, scale)
    able = [process for process in processes if workload.name in process.about["workloads"]]

    def sample(process: Process) -> Sample:
        answer = process.ask(workload=workload.name, count=count)
        return {workload.name: (answer["seconds"], answer["cpu"])}

    return {
        "name": workload.name,
        "title": workload.title,
        "budget": workload.budget,
        "unit": "s",
        "rows": count,
        "samples": _interleaved(able, [workload.name], repetitions, sample)[workload.name],
    }


def _startup(
    processes: Sequence[Process], repetitions: int, scale: float, say: Say
) -> list[dict[str, Any]]:
    """New processes: each gives all three figures."""
    say("startup")
    count = rows_of(BY_NAME["stream"], scale)
    for process in processes:
        process.ask(workload="stream", count=count, only_fill=True)
    samples = _interleaved(processes, list(STARTUP), repetitions, _started)
    return [
        {
            "name": name,
            "title": title,
            "budget": budget,
            "unit": unit,
            "rows": count,
            "samples": samples[name],
        }
        for name, (title, budget, unit) in STARTUP.items()
    ]


def rows_of(workload: Workload, scale: float) -> int:
    return max(200, int(workload.rows * scale) // 100 * 100)


def _interleaved(
    processes: Sequence[Process],
    names: Sequence[str],
    repetitions: int,
    sample: Callable[[Process], Sample],
) -> dict[str, dict[str, Any]]:
    """Samples by name and peer. Another peer begins each repetition; a failed one is left out."""
    samples: dict[str, dict[str, Any]] = {
        name: {process.module: {"wall": [], "cpu": []} for process in processes} for name in names
    }
    failed = set[str]()
    for repetition in range(repetitions + 1):
        start = repetition % max(len(processes), 1)
        for process in [*processes[start:], *processes[:start]]:
            if process.module in failed:
                continue
            try:
                found = sample(process)
            except Failed as error:
                failed.add(process.module)
                for name in names:
                    samples[name][process.module] = {"error": str(error)}
                continue
            if repetition:
                for name in names:
                    wall, cpu = found[name]
                    samples[name][process.module]["wall"].append(wall)
                    samples[name][process.module]["cpu"].append(cpu)
    return samples


def _started(process: Process) -> Sample:
    command = [sys.executable, "-m", f"{__package__}.startup", process.module, process.target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip().splitlines()[-1][:300])
    found: Sample = json.loads(done.stdout)
    return found
