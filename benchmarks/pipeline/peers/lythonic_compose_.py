"""lythonic_compose, as its documentation shows it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from lythonic_compose import Dag, DagProvenance, DagRun, DagRunner, NodeExecution, inline

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
) -> Dag:
    with Dag() as dag:
        last = dag.node(first or function, "s0")
        for at in range(1, length):
            last = last >> dag.node(function, f"s{at}")
    return dag


def fan_of(width: int, function: Callable[[int], Any]) -> Dag:
    with Dag() as dag:
        (
            dag.node(step, "first")
            >> [dag.node(function, f"s{at}") for at in range(width)]
            >> (dag.node(total))
        )
    return dag


class LythonicCompose(Peer):
    title = "lythonic_compose"
    packages = ("pydantic",)
    kinds = ("coroutine", "inline", "thread")

    def open(self, folder: str) -> None:
        self.file = Path(folder) / "runs.db"
        self.store = DagProvenance(self.file)
        self.late: DagProvenance | None = None

    def close(self) -> None:
        self.store.close()
        if self.late is not None:
            self.late.close()

    def recorded(self) -> tuple[int, int]:
        with (self.late or self.store).open() as conn:  # where what waits is written first
            return (
                DagRun.select_count(conn, status="completed"),
                NodeExecution.select_count(conn, status="completed"),
            )

    def chain(self, length: int, kind: Kind) -> Timed:
        return _runs(DagRunner(chain_of(length, STEPS[kind]), self.store), "s0", f"s{length - 1}")

    def late_chain(self, length: int, kind: Kind) -> Timed:
        if self.late is None:
            self.late = DagProvenance(self.file, durability="run")
        return _runs(DagRunner(chain_of(length, STEPS[kind]), self.late), "s0", f"s{length - 1}")

    def plain_chain(self, length: int, kind: Kind) -> Timed:
        return _runs(DagRunner(chain_of(length, STEPS[kind])), "s0", f"s{length - 1}")

    def fan_out(self, width: int) -> Timed:
        return _runs(DagRunner(fan_of(width, step), self.store), "first", "total")

    def map_over(self, count: int) -> Timed:
        with Dag() as dag:
            dag.node(counted, "first") >> dag.map(chain_of(2, step), "each") >> dag.node(total)
        return _runs(DagRunner(dag, self.store), "first", "total")

    def branches(self, seconds: float, kind: Kind) -> Timed:
        import asyncio
        import time

        async def slow(x: int) -> int:
            await asyncio.sleep(seconds)
            return x + 1

        def slow_in_thread(x: int) -> int:
            time.sleep(seconds)
            return x + 1

        function = slow if kind == "coroutine" else slow_in_thread
        return _runs(DagRunner(fan_of(4, function), self.store), "first", "total")

    def concurrent(self, runs: int, length: int) -> Timed:
        import asyncio

        one = self.chain(length, "coroutine")

        async def run(seed: int) -> list[int]:
            found: list[int] = await asyncio.gather(*(one(seed + 10 * at) for at in range(runs)))
            return found

        return run

    def megabytes(self, length: int) -> Timed:
        dag = chain_of(length, grown, first_grown)
        return _runs(DagRunner(dag, self.store), "s0", f"s{length - 1}")

    # -- history

    async def fill(self, runs: int) -> None:
        with DagProvenance(self.file, durability="run") as store:
            run = _runs(DagRunner(chain_of(10, step), store), "s0", "s9")
            for at in range(runs):
                await run(at * 10)

    def listing(self, limit: int) -> Timed:
        return lambda seed: self.store.get_recent_runs(limit)

    def lengths(self, found: list[DagRun]) -> list[int]:
        return [len(run.nodes) for run in found]

    def fetching(self) -> Timed:
        with self.store.open() as conn:
            ids = [run.run_id for run in DagRun.select(conn, order_by="started_at")]

        def run(seed: int) -> DagRun:
            found = self.store.inspect_run(ids[seed // 10_000])
            assert found is not None
            return self.store.load_io(found)

        return run

    def outputs(self, found: DagRun) -> list[int]:
        assert found.io is not None
        assert found.io.source_inputs_json is not None
        return [node.output for node in found.nodes.values()]


def _runs(runner: DagRunner, first: str, last: str) -> Timed:
    async def run(seed: int) -> Any:
        result = await runner.run({first: {"x": seed}})
        return result.outputs[last]

    return run


PEER = LythonicCompose
