"""Prefect 3 with its own temporary server on SQLite, as its documentation shows it."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Any

from .. import peer as text
from ..peer import Kind, Peer, Timed

HOME = Path(os.environ["HOME"]) / f"prefect-{os.getpid()}"
os.environ |= {
    "PREFECT_HOME": str(HOME),
    "PREFECT_LOGGING_LEVEL": "ERROR",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE": "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    "PREFECT_RESULTS_PERSIST_BY_DEFAULT": "true",
}

from prefect import flow, task  # noqa: E402  # the variables are read by the import
from prefect.client.orchestration import get_client  # noqa: E402
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterId  # noqa: E402
from prefect.client.schemas.sorting import FlowRunSort, TaskRunSort  # noqa: E402


def own_key(context: Any, parameters: Any) -> str:
    """Each task run keeps a value of its own, and none is answered from another's."""
    return str(context.task_run.id)


@task(cache_key_fn=own_key, persist_result=True)
async def step(x: int) -> int:
    return x + 1


@task(cache_key_fn=own_key, persist_result=True)
def step_in_place(x: int) -> int:
    return x + 1


@task(cache_key_fn=own_key, persist_result=True)
async def slow(x: int, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return x + 1


@task(cache_key_fn=own_key, persist_result=True)
def slow_in_thread(x: int, seconds: float) -> int:
    time.sleep(seconds)
    return x + 1


@task(cache_key_fn=own_key, persist_result=True)
async def total(parts: list[int]) -> int:
    return sum(parts)


@task(cache_key_fn=own_key, persist_result=True)
def total_in_place(parts: list[int]) -> int:
    return sum(parts)


@task(cache_key_fn=own_key, persist_result=True)
def grown(megabyte: str) -> str:
    return text.grown(megabyte)


@task(cache_key_fn=own_key, persist_result=True)
def first_grown(seed: int) -> str:
    return text.first_grown(seed)


@flow
async def chain(x: int, length: int) -> int:
    for _ in range(length):
        x = await step(x)
    return x


@flow
def chain_in_place(x: int, length: int) -> int:
    for _ in range(length):
        x = step_in_place(x)
    return x


@flow
def chain_in_threads(x: int, length: int) -> int:
    for _ in range(length):
        x = step_in_place.submit(x).result()
    return x


@flow
def megabytes(seed: int, length: int) -> str:
    megabyte = first_grown(seed)
    for _ in range(length - 1):
        megabyte = grown(megabyte)
    return megabyte


@flow
async def fan(x: int, width: int) -> int:
    x = await step(x)
    return await total(await asyncio.gather(*(step(x) for _ in range(width))))


@flow
async def over(x: int, count: int) -> int:
    values = await asyncio.gather(*(step(value) for value in range(x, x + count)))
    values = await asyncio.gather(*(step(value) for value in values))
    return await total(values)


@flow
async def branching(x: int, seconds: float) -> int:
    x = await step(x)
    return await total(await asyncio.gather(*(slow(x, seconds) for _ in range(4))))


@flow
def branching_in_threads(x: int, seconds: float) -> int:
    x = step_in_place(x)
    begun = [slow_in_thread.submit(x, seconds) for _ in range(4)]
    return total_in_place([each.result() for each in begun])


class Prefect(Peer):
    title = "Prefect"
    packages = ("prefect",)
    note = (
        "its server runs beside it, in another process whose CPU time is not counted; tells it "
        "of tasks in the background, so a run may be over before its history is whole; values "
        "are kept in files; a map is tasks of one flow, without a run per element"
    )
    kinds = ("coroutine", "inline", "thread")

    def open(self, folder: str) -> None:
        HOME.mkdir(parents=True, exist_ok=True)
        self.client = get_client(sync_client=True)
        self.client.hello()

    def chain(self, length: int, kind: Kind) -> Timed:
        if kind == "inline":
            return lambda seed: chain_in_place(seed, length)
        if kind == "thread":
            return lambda seed: chain_in_threads(seed, length)

        async def run(seed: int) -> int:
            return await chain(seed, length)

        return run

    def fan_out(self, width: int) -> Timed:
        async def run(seed: int) -> int:
            return await fan(seed, width)

        return run

    def map_over(self, count: int) -> Timed:
        async def run(seed: int) -> int:
            return await over(seed, count)

        return run

    def branches(self, seconds: float, kind: Kind) -> Timed:
        if kind == "thread":
            return lambda seed: branching_in_threads(seed, seconds)

        async def run(seed: int) -> int:
            return await branching(seed, seconds)

        return run

    def concurrent(self, runs: int, length: int) -> Timed:
        async def run(seed: int) -> list[int]:
            return await asyncio.gather(*(chain(seed + 10 * at, length) for at in range(runs)))

        return run

    def megabytes(self, length: int) -> Timed:
        return lambda seed: megabytes(seed, length)

    def listing(self, limit: int) -> Timed:
        def run(seed: int) -> list[Any]:
            runs = self.client.read_flow_runs(limit=limit, sort=FlowRunSort.START_TIME_DESC)
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=[each.id for each in runs]))
            tasks = self.client.read_task_runs(flow_run_filter=wanted, limit=200)
            return [
                (each, [task for task in tasks if task.flow_run_id == each.id]) for each in runs
            ]

        end = time.monotonic() + 30
        while self.lengths(run(0)) != [10] * limit and time.monotonic() < end:
            time.sleep(0.2)  # until its server has heard of all tasks
        return run

    def lengths(self, found: list[Any]) -> list[int]:
        return [len(tasks) for _, tasks in found]

    def fetching(self) -> Timed:
        runs = self.client.read_flow_runs(limit=200, sort=FlowRunSort.START_TIME_ASC)

        def run(seed: int) -> list[Any]:
            found = self.client.read_flow_run(runs[seed // 10_000 % 200].id)
            wanted = FlowRunFilter(id=FlowRunFilterId(any_=[found.id]))
            tasks = self.client.read_task_runs(flow_run_filter=wanted, sort=TaskRunSort.ID_DESC)
            assert found.parameters
            return sorted(each.state.result(_sync=True) for each in tasks)

        return run

    def outputs(self, found: list[Any]) -> list[int]:
        return found


PEER = Prefect
