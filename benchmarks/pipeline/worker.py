"""How is one peer run? A process of its own, which takes one order a line and answers in JSON."""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import os
import sqlite3
import sys
import time
import traceback
from importlib.metadata import version
from pathlib import Path
from statistics import mean
from typing import Any

from ..clock import Clock, Spent
from . import peer as text
from .peer import Peer, Timed
from .workloads import BY_NAME, FEWEST, FIRST_SEED, SEED_STEP, Workload, WrongResult, expected

PATIENCE, MANY = 15.0, 100
"""Runs of many nodes that would take longer, as far as others of the peer's tell, are left out."""
LONG = 2.0
"""Who needs more seconds for one run is measured once."""


class TooSlow(Exception):
    """There is no patience for this workload."""


class Worker:
    def __init__(self, module: str, folder: Path) -> None:
        self.folder = folder
        self.peer: Peer = importlib.import_module(f"{__package__}.{module}").PEER()
        self.runner = asyncio.Runner()  # one loop and one context for all calls
        self.is_open = False
        self.seed = FIRST_SEED
        self.filled = 0
        self.per_node = 0.0
        self.prepared: dict[str, Timed] = {}
        self.times: dict[str, int] = {}

    def wait(self, result: Any) -> Any:
        return self.runner.run(result) if inspect.iscoroutine(result) else result

    def about(self) -> dict[str, Any]:
        peer = self.peer
        return {
            "title": peer.title,
            "note": peer.note,
            "versions": {package: version(package) for package in peer.packages},
            "workloads": [
                name
                for name, workload in BY_NAME.items()
                if getattr(peer, workload.method) is not None
                and (workload.kind is None or workload.kind in peer.kinds)
            ],
        }

    def open(self) -> None:
        if not self.is_open:
            self.wait(self.peer.open(str(self.folder)))
            self.is_open = True

    def close(self) -> None:
        if self.is_open:
            self.wait(self.peer.close())

    def fill(self, runs: int, seconds: float) -> int:
        """Makes a history, as long as it comes in that time; how long it became."""
        self.open()
        if self.peer.fill is not None:
            self.wait(self.peer.fill(runs))
            self.filled = runs
            return runs
        run = self.wait(self._made(BY_NAME["grow_10"]))
        end = time.monotonic() + seconds
        while self.filled < runs and (self.filled < FEWEST or time.monotonic() < end):
            seed = self.filled * 10
            expected(BY_NAME["grow_10"], seed, self.wait(run(seed)))
            self.filled += 1
        return self.filled

    def measure(self, workload: Workload, seconds: float) -> dict[str, Any]:
        """Seconds of one run, in the middle of as many as there is time for."""
        self.open()
        if workload.method == "megabytes":
            text.prepare_text()
        if workload.name not in self.prepared:
            self.prepared[workload.name] = self.wait(self._made(workload))
        run = self.prepared[workload.name]
        if workload.name not in self.times:
            guess = self.per_node * workload.nodes
            if guess > PATIENCE and workload.nodes >= MANY:
                raise TooSlow(f"too slow: one run would take about {guess:.0f} s")
            first = self._runs(workload, run, 1)
            wall = first["wall"]
            self.per_node = wall / workload.nodes if workload.nodes else 0.0
            self.times[workload.name] = max(1, min(2_000, round(seconds / wall)))
            if wall > LONG:
                return first | {"is_long": True}
        return self._runs(workload, run, self.times[workload.name])

    def _made(self, workload: Workload) -> Any:
        arguments = workload.arguments
        if workload.kind is not None:
            arguments = (*arguments, workload.kind)
        elif workload.method == "chain":
            arguments = (*arguments, self.peer.kinds[0])
        return getattr(self.peer, workload.method)(*arguments)

    def _runs(self, workload: Workload, run: Timed, times: int) -> dict[str, Any]:
        before = self._recorded()
        size = self._size() if workload.method == "megabytes" else 0
        gc.collect()
        answer: dict[str, Any] = self.wait(self._timed(workload, run, times))
        if workload.method == "megabytes":
            answer["disk"] = (self._size() - size) / times / 1e6
        after = self._recorded()
        if before and after and workload.nodes:
            runs, nodes = after[0] - before[0], after[1] - before[1]
            if runs < times * workload.runs or nodes < times * workload.nodes:
                raise WrongResult(f"the history has {runs} more runs with {nodes} nodes")
        return answer

    def _timed(self, workload: Workload, run: Timed, times: int) -> dict[str, Any]:
        """The runs one after another, each checked as soon as the clock stands."""
        answer: dict[str, Any] = {}
        spent: list[Spent] = []

        def look(seed: int, found: Any, took: Spent) -> None:
            if workload.method == "misses":
                answer["calls"], found = max(answer.get("calls", 0), found[0]), found[1]
            if workload.plain:
                found = getattr(self.peer, workload.plain)(found)
            expected(workload, seed, found)
            spent.append(took)

        async def wait() -> None:
            for _ in range(times):
                seed = self._next_seed(workload)
                clock = Clock()
                found = await run(seed)
                look(seed, found, clock.stop())

        if inspect.iscoroutinefunction(run):
            self.runner.run(wait())
        else:
            for _ in range(times):
                seed = self._next_seed(workload)
                clock = Clock()
                found = run(seed)
                look(seed, found, clock.stop())
        # what only some runs wait for, such as a checkpoint, counts for all
        wall, cpu = (mean(series) for series in zip(*spent, strict=True))
        return answer | {"wall": wall, "cpu": cpu}

    def _next_seed(self, workload: Workload) -> int:
        """One that was not there before; for a history the number of one of its runs."""
        self.seed += SEED_STEP
        if workload.history:
            return self.seed // SEED_STEP * 7919 % self.filled * SEED_STEP
        return self.seed

    def _recorded(self) -> tuple[int, int] | None:
        found: tuple[int, int] | None = self.wait(self.peer.recorded())
        return found

    def _size(self) -> int:
        """Bytes of all files, after what SQLite's logs hold has gone into theirs."""
        files = [path for path in self.folder.rglob("*") if path.is_file()]
        for path in files:
            with path.open("rb") as file:
                is_database = file.read(16) == b"SQLite format 3\0"
            if is_database:
                conn = sqlite3.connect(path)
                conn.execute("PRAGMA wal_checkpoint(TRUNCATE)")
                conn.close()
        return sum(path.stat().st_size for path in files if path.exists())


def main() -> None:
    module, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library that prints does not get between the answers
    worker = Worker(module, Path(folder))
    print(json.dumps(worker.about()), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            if "fill" in order:
                answer: dict[str, Any] = {"filled": worker.fill(order["fill"], order["seconds"])}
            else:
                answer = worker.measure(BY_NAME[order["workload"]], order["seconds"])
        except Exception as error:  # noqa: BLE001  # whatever a library raises is its answer
            traceback.print_exc(file=sys.stderr)
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        print(json.dumps(answer), file=answers, flush=True)
    worker.close()


if __name__ == "__main__":
    main()
