"""DBOS on SQLite, as its documentation shows it."""

from __future__ import annotations

import asyncio
import sqlite3
from typing import Any

from dbos import DBOS

from .. import peer as text
from ..peer import Kind, Peer, Timed


@DBOS.step()
async def step(x: int) -> int:
    return x + 1


@DBOS.step()
def step_in_place(x: int) -> int:
    return x + 1


@DBOS.step()
async def slow(x: int, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return x + 1


@DBOS.step()
async def counted(x: int, count: int) -> list[int]:
    return [*range(x, x + count)]


@DBOS.step()
async def total(parts: list[int]) -> int:
    return sum(parts)


@DBOS.step()
def first_grown(seed: int) -> str:
    return text.first_grown(seed)


@DBOS.step()
def grown(megabyte: str) -> str:
    return text.grown(megabyte)


@DBOS.workflow()
async def chain(x: int, length: int) -> int:
    for _ in range(length):
        x = await step(x)
    return x


@DBOS.workflow()
def chain_in_place(x: int, length: int) -> int:
    for _ in range(length):
        x = step_in_place(x)
    return x


@DBOS.workflow()
def megabytes(seed: int, length: int) -> str:
    megabyte = first_grown(seed)
    for _ in range(length - 1):
        megabyte = grown(megabyte)
    return megabyte


@DBOS.workflow()
async def fan(x: int, width: int) -> int:
    x = await step(x)
    return await total(await asyncio.gather(*(step(x) for _ in range(width))))


@DBOS.workflow()
async def over(x: int, count: int) -> int:
    values = await counted(x, count)
    values = await asyncio.gather(*(step(value) for value in values))
    values = await asyncio.gather(*(step(value) for value in values))
    return await total(values)


@DBOS.workflow()
async def branching(x: int, seconds: float) -> int:
    x = await step(x)
    return await total(await asyncio.gather(*(slow(x, seconds) for _ in range(4))))


class Dbos(Peer):
    title = "DBOS"
    packages = ("dbos", "sqlalchemy")
    note = (
        "a history of steps in the order in which they were called: no graph, no edges and no "
        "begin of a step; a map is steps of one workflow, without a run per element; steps that "
        "are no coroutines run in place"
    )
    kinds = ("coroutine", "inline")

    def open(self, folder: str) -> None:
        self.file = f"{folder}/dbos.sqlite"
        DBOS(
            config={
                "name": "bench",
                "system_database_url": f"sqlite:///{self.file}",
                "log_level": "ERROR",
                "run_migrations": True,
            }
        )
        DBOS.launch()
        self.conn = sqlite3.connect(self.file)

    def close(self) -> None:
        DBOS.destroy()
        self.conn.close()

    def recorded(self) -> tuple[int, int]:
        found = self.conn.execute(
            "SELECT (SELECT count(*) FROM workflow_status WHERE status = 'SUCCESS'),"
            " (SELECT count(*) FROM operation_outputs)"
        )
        runs, nodes = found.fetchone()
        return runs, nodes

    def chain(self, length: int, kind: Kind) -> Timed:
        if kind == "inline":
            return lambda seed: chain_in_place(seed, length)

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
            found = DBOS.list_workflows(limit=limit, sort_desc=True)
            return [(each, DBOS.list_workflow_steps(each.workflow_id)) for each in found]

        return run

    def lengths(self, found: list[Any]) -> list[int]:
        return [len(steps) for _, steps in found]

    def fetching(self) -> Timed:
        rows = self.conn.execute(
            "SELECT workflow_uuid FROM workflow_status ORDER BY created_at, rowid"
        )
        ids = [row[0] for row in rows]

        def run(seed: int) -> tuple[Any, Any]:
            key = ids[seed // 10_000]
            return DBOS.get_workflow_status(key), DBOS.list_workflow_steps(key)

        return run

    def outputs(self, found: tuple[Any, Any]) -> list[int]:
        assert found[0].input is not None
        return [step["output"] for step in found[1]]


PEER = Dbos
