"""The floor: an asyncio loop written by hand that keeps the same facts with sqlite3.

A run begins and ends with a commit, and so does each node. There is no graph, no type is checked
and nothing can be restarted: it is what writing the history costs, and not more.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .. import peer as text
from ..peer import Kind, Peer, Timed
from ._floor_tables import TABLES

OWNER = "the one process that there is"
TYPES = {int: "builtins:int", str: "builtins:str", list: "list[int]", dict: "inputs"}

BEGIN_RUN = (
    "INSERT INTO dag_runs (run_id, path, parent_run_id, parent_label, map_key, status, started_at,"
    " source_inputs, graph_hash, owner, fence, heartbeat_at)"
    " VALUES (?, ?, ?, ?, ?, 'running', ?, ?, 'g', ?, 1, ?)"
)
END_RUN = "UPDATE dag_runs SET status = 'completed', finished_at = ? WHERE run_id = ?"
PAYLOAD = "INSERT INTO payloads VALUES (?, 1, ?, 1, ?) ON CONFLICT DO NOTHING"
BEGIN_NODE = (
    "INSERT INTO node_executions (run_id, path, node_label, map_key, status, is_source, is_sink,"
    " started_at) VALUES (?, ?, ?, '', 'running', ?, ?, ?)"
)
BEGIN_ATTEMPT = (
    "INSERT INTO node_attempts (node_execution_id, number, fence, owner, status, started_at)"
    " VALUES (?, 1, 1, ?, 'running', ?)"
)
END_NODE = (
    "UPDATE node_executions SET status = 'completed', finished_at = ?, output_payload = ?"
    " WHERE node_execution_id = ?"
)
END_ATTEMPT = (
    "UPDATE node_attempts SET status = 'completed', finished_at = ?"
    " WHERE node_attempt_id = ? AND status = 'running'"
)
EDGE = (
    "INSERT INTO edge_traversals (run_id, path, map_key, upstream_label, downstream_label, param,"
    " rule, traversed_at) VALUES (?, ?, '', ?, ?, 'x', 'type', ?)"
)
NEWEST = (
    "SELECT run_id, status, started_at, finished_at FROM dag_runs WHERE parent_run_id IS NULL"
    " ORDER BY started_at DESC LIMIT ?"
)
NODES_OF = (
    "SELECT run_id, node_label, status, started_at, finished_at, error FROM node_executions"
    " WHERE run_id IN ({}) ORDER BY node_execution_id"
)
EDGES_OF = (
    "SELECT run_id, upstream_label, downstream_label, param, rule FROM edge_traversals"
    " WHERE run_id IN ({}) ORDER BY edge_traversal_id"
)
WITH_IO = (
    "SELECT node_label, status, started_at, finished_at, text FROM node_executions"
    " JOIN payloads ON payload_hash = output_payload WHERE run_id = ? ORDER BY node_execution_id"
)
RUN_WITH_INPUTS = (
    "SELECT run_id, status, started_at, finished_at, text FROM dag_runs"
    " JOIN payloads ON payload_hash = source_inputs WHERE run_id = ?"
)


def now() -> str:
    return datetime.now(UTC).isoformat()[:26] + "Z"


async def step(x: int) -> int:
    return x + 1


def step_sync(x: int) -> int:
    return x + 1


async def slow(x: int, seconds: float) -> int:
    await asyncio.sleep(seconds)
    return x + 1


def slow_sync(x: int, seconds: float) -> int:
    time.sleep(seconds)
    return x + 1


async def grown(megabyte: int | str) -> str:
    return text.first_grown(megabyte) if isinstance(megabyte, int) else text.grown(megabyte)


class Run:
    """One run, as rows."""

    def __init__(
        self,
        conn: sqlite3.Connection,
        inputs: Any,
        path: str = "",
        parent: tuple[str, str, str] | tuple[None, None, str] = (None, None, ""),
    ) -> None:
        self.conn, self.path, self.id = conn, path, str(uuid.uuid4())
        conn.execute("BEGIN IMMEDIATE")
        at, given = now(), self.payload(inputs)
        conn.execute(BEGIN_RUN, (self.id, path, *parent, at, given, OWNER, at))
        conn.execute("COMMIT")

    def payload(self, value: Any) -> str:
        kept = json.dumps(value)
        key = hashlib.sha256(kept.encode()).hexdigest()
        self.conn.execute(PAYLOAD, (key, TYPES[type(value)], kept))
        return key

    def begin(self, label: str, is_source: bool = False, is_sink: bool = False) -> tuple[Any, Any]:
        execute, at = self.conn.execute, now()
        execute("BEGIN IMMEDIATE")
        key = execute(BEGIN_NODE, (self.id, self.path, label, is_source, is_sink, at)).lastrowid
        attempt = execute(BEGIN_ATTEMPT, (key, OWNER, at)).lastrowid
        execute("COMMIT")
        return key, attempt

    def end(self, begun: tuple[Any, Any], label: str, downstream: Sequence[str], value: Any) -> Any:
        execute, at = self.conn.execute, now()
        execute("BEGIN IMMEDIATE")
        execute(END_NODE, (at, self.payload(value), begun[0]))
        execute(END_ATTEMPT, (at, begun[1]))
        for other in downstream:
            execute(EDGE, (self.id, self.path, label, other, at))
        execute("COMMIT")
        return value

    def close(self) -> None:
        self.conn.execute("BEGIN IMMEDIATE")
        self.conn.execute(END_RUN, (now(), self.id))
        self.conn.execute("COMMIT")


class Floor(Peer):
    title = "by hand, sqlite3"
    kinds = ("coroutine", "thread")

    def open(self, folder: str) -> None:
        self.conn = sqlite3.connect(str(Path(folder) / "runs.db"), isolation_level=None)
        self.conn.execute("PRAGMA journal_mode = WAL")
        self.conn.execute("PRAGMA synchronous = NORMAL")
        self.conn.execute("PRAGMA foreign_keys = ON")
        self.conn.executescript(TABLES)
        self.conn.execute("INSERT INTO graphs VALUES ('g', '[]', '[]')")

    def close(self) -> None:
        self.conn.close()

    def recorded(self) -> tuple[int, int]:
        found = self.conn.execute(
            "SELECT (SELECT count(*) FROM dag_runs WHERE status = 'completed'),"
            " (SELECT count(*) FROM node_executions WHERE status = 'completed')"
        )
        runs, nodes = found.fetchone()
        return runs, nodes

    def chain(self, length: int, kind: Kind) -> Timed:
        if kind == "thread":
            return self._chain(length, lambda x: asyncio.to_thread(step_sync, x))
        return self._chain(length, step)

    def megabytes(self, length: int) -> Timed:
        return self._chain(length, grown)

    def _chain(self, length: int, function: Callable[[Any], Any]) -> Timed:
        labels = [f"s{at}" for at in range(length)]
        following = [[label] for label in labels[1:]] + [[]]

        async def run(seed: int) -> Any:
            value: Any = seed
            run = Run(self.conn, {"s0": {"x": seed}})
            for label, downstream in zip(labels, following, strict=True):
                begun = run.begin(label, label == "s0", not downstream)
                value = run.end(begun, label, downstream, await function(value))
            run.close()
            return value

        return run

    def fan_out(self, width: int) -> Timed:
        return self._fan(width, step)

    def branches(self, seconds: float, kind: Kind) -> Timed:
        if kind == "thread":
            return self._fan(4, lambda x: asyncio.to_thread(slow_sync, x, seconds))
        return self._fan(4, lambda x: slow(x, seconds))

    def _fan(self, width: int, function: Callable[[int], Any]) -> Timed:
        labels = [f"s{at}" for at in range(width)]

        async def run(seed: int) -> int:
            run = Run(self.conn, {"first": {"x": seed}})
            value: int = run.end(run.begin("first", True), "first", labels, await step(seed))

            async def branch(label: str) -> int:
                begun = run.begin(label)
                found: int = run.end(begun, label, ["total"], await function(value))
                return found

            parts = await asyncio.gather(*(branch(label) for label in labels))
            total: int = run.end(run.begin("total", False, True), "total", [], sum(parts))
            run.close()
            return total

        return run

    def map_over(self, count: int) -> Timed:
        async def run(seed: int) -> int:
            run = Run(self.conn, {"first": {"x": seed}})
            values = [*range(seed, seed + count)]
            run.end(run.begin("first", True), "first", ["each"], values)
            begun = run.begin("each")

            async def element(at: int, value: int) -> int:
                part = Run(self.conn, value, f"each[{at}]", (run.id, "each", str(at)))
                value = part.end(part.begin("a", True), "a", ["b"], await step(value))
                value = part.end(part.begin("b", False, True), "b", [], await step(value))
                part.close()
                return value

            found = await asyncio.gather(*(element(*pair) for pair in enumerate(values)))
            run.end(begun, "each", ["total"], found)
            total: int = run.end(run.begin("total", False, True), "total", [], sum(found))
            run.close()
            return total

        return run

    def concurrent(self, runs: int, length: int) -> Timed:
        one = self.chain(length, "coroutine")

        async def run(seed: int) -> list[int]:
            found: list[int] = await asyncio.gather(*(one(seed + 10 * at) for at in range(runs)))
            return found

        return run

    # -- history

    async def fill(self, runs: int) -> None:
        self.conn.execute("PRAGMA synchronous = OFF")
        run = self.chain(10, "coroutine")
        for at in range(runs):
            await run(at * 10)
        self.conn.execute("PRAGMA synchronous = NORMAL")

    def listing(self, limit: int) -> Timed:
        marks = ", ".join("?" for _ in range(limit))
        nodes_of, edges_of = NODES_OF.format(marks), EDGES_OF.format(marks)

        def run(seed: int) -> dict[str, Any]:
            rows = self.conn.execute(NEWEST, (limit,)).fetchall()
            keys = [row[0] for row in rows]
            found: dict[str, Any] = {row[0]: (row, {}, []) for row in rows}
            for row in self.conn.execute(nodes_of, keys):
                found[row[0]][1][row[1]] = row
            for row in self.conn.execute(edges_of, keys):
                found[row[0]][2].append(row)
            return found

        return run

    def lengths(self, found: dict[str, Any]) -> list[int]:
        return [len(nodes) for _, nodes, _ in found.values()]

    def fetching(self) -> Timed:
        ids = [row[0] for row in self.conn.execute("SELECT run_id FROM dag_runs ORDER BY rowid")]

        def run(seed: int) -> tuple[Any, ...]:
            run_id = ids[seed // 10_000]
            row = self.conn.execute(RUN_WITH_INPUTS, (run_id,)).fetchone()
            nodes = self.conn.execute(WITH_IO, (run_id,)).fetchall()
            edges = self.conn.execute(EDGES_OF.format("?"), (run_id,)).fetchall()
            return row, nodes, edges

        return run

    def outputs(self, found: tuple[Any, ...]) -> list[int]:
        return [json.loads(node[-1]) for node in found[1]]


PEER = Floor
