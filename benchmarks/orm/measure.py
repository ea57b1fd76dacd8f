"""Which peers are measured with what? Each in a worker, and for `startup.py` in new processes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..turns import ROOT, Failed, Process, Sample, interleaved
from .workloads import BY_NAME, Workload

STARTUP: dict[str, tuple[str, float, str]] = {
    "import": ("import, with three models", 1.3, "s"),
    "first_query": ("first query after it", 1.3, "s"),
    "stream_memory": ("stream 50,000: peak memory", 1.5, "MB"),
}

Say = Callable[[str], None]


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
    processes = {
        peer: Process(
            [sys.executable, "-m", f"{__package__}.worker", peer, targets[peer]],
            folder / f"{peer}.log",
        )
        for peer in peers
    }
    try:
        entries = [
            _entry(BY_NAME[name], processes, repetitions, scale, say)
            for name in workloads
            if name in BY_NAME
        ]
        if any(name in STARTUP for name in workloads):
            entries += _startup(processes, targets, repetitions, scale, say)
        return {
            "peers": {peer: process.about for peer, process in processes.items()},
            "workloads": entries,
        }
    finally:
        for process in processes.values():
            process.stop()


def _entry(
    workload: Workload, processes: dict[str, Process], repetitions: int, scale: float, say: Say
) -> dict[str, Any]:
    say(workload.name)
    count = rows_of(workload, scale)

    def sample(process: Process) -> Sample:
        answer = process.ask(workload=workload.name, count=count)
        return {workload.name: (answer["seconds"], answer["cpu"])}

    able = {
        peer: partial(sample, process)
        for peer, process in processes.items()
        if workload.name in process.about["workloads"]
    }
    return {
        "name": workload.name,
        "title": workload.title,
        "budget": workload.budget,
        "unit": "s",
        "rows": count,
        "samples": interleaved(able, [workload.name], repetitions)[workload.name],
    }


def _startup(
    processes: dict[str, Process],
    targets: dict[str, str],
    repetitions: int,
    scale: float,
    say: Say,
) -> list[dict[str, Any]]:
    """New processes: each gives all three figures."""
    say("startup")
    count = rows_of(BY_NAME["stream"], scale)
    for process in processes.values():
        process.ask(workload="stream", count=count, only_fill=True)
    started = {peer: partial(_started, peer, targets[peer]) for peer in processes}
    samples = interleaved(started, list(STARTUP), repetitions)
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


def _started(peer: str, target: str) -> Sample:
    command = [sys.executable, "-m", f"{__package__}.startup", peer, target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise Failed(done.stderr.strip().splitlines()[-1][:300])
    found: Sample = json.loads(done.stdout)
    return found
