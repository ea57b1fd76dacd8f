"""lythonic (of PyPI), as its documentation shows it."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lythonic.compose.dag_provenance import DagProvenance
from lythonic.compose.dag_runner import DagRunner
from lythonic.compose.namespace import Dag, inline

from .. import peer as text
from ..peer import Kind, Peer, Timed


async def step(x: int) -> int:
    return x + 1


@inline
def step_in_place(x: int) -> int:
    return x + 1


def step_in_thread(x: int) -> int:
    return x + 1


async def counted(x: int) -> list[int]:
    return [*range(x, x + 1_000)]


async def total(parts: list[int]) -> int:
    return sum(parts)


async def first_grown(x: int) -> str:
    return text.first_grown(x)


async def grown(megabyte: str) -> str:
    return text.grown(megabyte)


STEPS: dict[Kind, Callable[[int], Any]] = {
    "coroutine": step,
    "inline": step_in_place,
    "thread": step_in_thread,
}


def chain_of(
    length: int, function: Callable[[Any], Any], first: Callable[[Any], Any] | None = None
) -> Any:
    dag = Dag()
    last = dag.node(first or function, "s0")
    for at in range(1, length):
        following = dag.node(function, f"s{at}")
        last >> following
        last = following
    return dag


def fan_of(width: int, function: Callable[[int], Any]) -> Any:
    dag = Dag()
    first, last = dag.node(step, "first"), dag.node(total)
    for at in range(width):
        part = dag.node(function, f"s{at}")
        first >> part
        part >> last
    return dag


class Lythonic(Peer):
    title = "lythonic"
    packages = ("lythonic", "pydantic")
    note = "SQLite with its own journal mode, one connection per write"
    kinds = ("coroutine", "inline", "thread")

    def open(self, folder: str) -> None:
        self.file = Path(folder) / "runs.db"
        self.store = DagProvenance(self.file)

    def recorded(self) -> tuple[int, int]:
        conn = sqlite3.connect(self.file)
        found = conn.execute(
            "SELECT (SELECT count(*) FROM dag_runs WHERE status = 'completed'),"
            " (SELECT count(*) FROM node_executions WHERE status = 'completed')"
        )
        runs, nodes = found.fetchone()
        conn.close()
        return runs, nodes

    def chain(self, length: int, kind: Kind) -> Timed:
        return _runs(DagRunner(chain_of(length, STEPS[kind]), self.store), "s0", f"s{length - 1}")

    def plain_chain(self, length: int, kind: Kind) -> Timed:
        return _runs(DagRunner(chain_of(length, STEPS[kind])), "s0", f"s{length - 1}")

    def fan_out(self, width: int) -> Timed:
        return _runs(DagRunner(fan_of(width, step), self.store), "first", "total")

    def map_over(self, count: int) -> Timed:
        dag = Dag()
        dag.node(counted, "first") >> dag.map(chain_of(2, step), "each") >> dag.node(total)
        return _runs(DagRunner(dag, self.store), "first", "total")

    def branches(self, seconds: float, kind: Kind) -> Timed:
        async def slow(x: int) -> int:
            await asyncio.sleep(seconds)
            return x + 1

        def slow_in_thread(x: int) -> int:
            time.sleep(seconds)
            return x + 1

        function = slow if kind == "coroutine" else slow_in_thread
        return _runs(DagRunner(fan_of(4, function), self.store), "first", "total")

    def concurrent(self, runs: int, length: int) -> Timed:
        one = self.chain(length, "coroutine")

        async def run(seed: int) -> list[int]:
            return await asyncio.gather(*(one(seed + 10 * at) for at in range(runs)))

        return run

    def megabytes(self, length: int) -> Timed:
        dag = chain_of(length, grown, first_grown)
        return _runs(DagRunner(dag, self.store), "s0", f"s{length - 1}")

    def listing(self, limit: int) -> Timed:
        return lambda seed: self.store.get_recent_runs(limit)

    def lengths(self, found: list[Any]) -> list[int]:
        return [len(run.nodes) for run in found]

    def fetching(self) -> Timed:
        conn = sqlite3.connect(self.file)
        ids = [row[0] for row in conn.execute("SELECT run_id FROM dag_runs ORDER BY started_at")]
        conn.close()

        def run(seed: int) -> Any:
            found = self.store.inspect_run(ids[seed // 10_000])
            assert found is not None
            self.store.load_io(found)
            return found

        return run

    def outputs(self, found: Any) -> list[int]:
        return sorted(int(node.io.output_json) for node in found.nodes.values())


def _runs(runner: DagRunner, first: str, last: str) -> Timed:
    async def run(seed: int) -> Any:
        result = await runner.run({first: {"x": seed}})
        return result.outputs[last]

    return run


PEER = Lythonic
