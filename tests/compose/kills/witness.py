"""What is seen of runs from outside? The log of their functions, and the tables as they stand.

Read with the databases' own drivers, in one transaction, and never through the library under test.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import psycopg

from tests.compose.kills.pipeline import WRITERS


class Line(NamedTuple):
    """A start or an end, as a function has said it itself."""

    what: str
    run: str
    node: str
    attempt: int
    value: Any
    """What it was given, by parameter, or what it returns."""


class Run(NamedTuple):
    run_id: str
    parent: str | None
    label: str | None
    key: str
    branch: str | None
    status: str
    inputs: Any
    """By node and parameter."""


class Node(NamedTuple):
    node_id: int
    run_id: str
    label: str
    status: str
    output: Any


class Attempt(NamedTuple):
    attempt_id: int
    node_id: int
    number: int
    fence: int
    status: str


class Edge(NamedTuple):
    run_id: str
    upstream: str
    downstream: str
    param: str | None
    rule: str


class Written(NamedTuple):
    """A row that a node has written, which says itself of which attempt it is."""

    table: str
    row_id: int
    run: str
    node: str
    attempt: int
    number: int
    text: str


class Origin(NamedTuple):
    """Which attempt is recorded to have written which rows, oldest first."""

    attempt_id: int
    table: str
    first_key: int
    last_key: int


class Place(NamedTuple):
    """A node, wherever its run came from: the run that contains all, and the way down to it."""

    root: str
    path: tuple[tuple[str, str], ...]
    """The nodes around it, each with the key of the element."""
    label: str

    def is_in(self, other: Place) -> bool:
        """Whether it is inside of another node."""
        depth = len(other.path)
        return (
            self.root == other.root
            and self.path[:depth] == other.path
            and [label for label, _ in self.path[depth : depth + 1]] == [other.label]
        )


@dataclass(frozen=True)
class Record:
    """The tables at one moment."""

    runs: Mapping[str, Run] = field(default_factory=dict[str, Run])
    nodes: Sequence[Node] = ()
    attempts: Sequence[Attempt] = ()
    edges: Sequence[Edge] = ()
    rows: Sequence[Written] = ()
    origins: Sequence[Origin] = ()
    markers: frozenset[tuple[str, str, int]] = frozenset()
    """By run, node and attempt: of whom it is said beside the rows that they are there, where they
    are in another database."""

    def path_of(self, run_id: str) -> tuple[str, tuple[tuple[str, str], ...]]:
        """The run around all others, and the way down from it."""
        path: list[tuple[str, str]] = []
        run = self.runs[run_id]
        while run.parent is not None:
            path.append((run.label or "", run.key))
            run = self.runs[run.parent]
        return run.run_id, tuple(reversed(path))

    def place(self, run_id: str, label: str) -> Place:
        root, path = self.path_of(run_id)
        return Place(root, path, label)

    def completed(self) -> dict[tuple[str, str], Any]:
        """What completed nodes returned, by run and label."""
        return {
            (node.run_id, node.label): node.output
            for node in self.nodes
            if node.status == "completed"
        }

    def roots(self) -> list[Run]:
        return [run for run in self.runs.values() if run.parent is None]


@dataclass(frozen=True)
class Seen:
    """What was seen after a death: the tables, and how long the log was."""

    record: Record
    lines: int
    unsound: tuple[str, ...] = ()
    """What the database itself finds wrong."""


@dataclass(frozen=True)
class History:
    """Everything that was seen of one database: after each death, and at the end."""

    log: Sequence[Line]
    seen: Sequence[Seen]

    @property
    def end(self) -> Record:
        return self.seen[-1].record


def log_of(path: Path) -> list[Line]:
    """The whole lines; one that was cut off by a kill would not be one."""
    if not path.exists():
        return []
    found: list[Line] = []
    for text in path.read_text().splitlines():
        line = json.loads(text)
        value = line["given"] if line["what"] == "start" else line["value"]
        found.append(Line(line["what"], line["run"], line["node"], line["attempt"], value))
    return found


# --- tables ---------------------------------------------------------------------------------

_TABLES = (
    *("store_meta", "payloads", "payload_rows", "graphs", "dag_runs", "node_executions"),
    *("node_attempts", "edge_traversals", "row_origins", *WRITERS.values()),
)
_RUNS = """
SELECT r.run_id, r.parent_run_id, r.parent_label, r.map_key, r.branch, r.status, p.text
FROM dag_runs r LEFT JOIN payloads p ON p.payload_hash = r.source_inputs
ORDER BY r.started_at
"""
_NODES = """
SELECT n.node_execution_id, n.run_id, n.node_label, n.status, p.text
FROM node_executions n LEFT JOIN payloads p ON p.payload_hash = n.output_payload
ORDER BY n.node_execution_id
"""
_ATTEMPTS = """
SELECT node_attempt_id, node_execution_id, number, fence, status FROM node_attempts
ORDER BY node_execution_id, number
"""
_EDGES = """
SELECT run_id, upstream_label, downstream_label, param, rule FROM edge_traversals
ORDER BY edge_traversal_id
"""


_ORIGINS = """
SELECT node_attempt_id, table_name, first_key, last_key FROM row_origins ORDER BY row_origin_id
"""
_ROWS = """
SELECT '{0}', row_id, run, node, attempt, number, text FROM {0} ORDER BY row_id
"""


def seen(store: str, log: Path, outputs: str = "") -> Seen:
    """What is to be seen of a store now, and of the database where the rows are."""
    found = _seen(store, log)
    if not outputs:
        return found
    with _reading(outputs) as conn:
        record = replace(found.record, rows=_rows(conn), markers=_markers(conn))
        return replace(found, record=record, unsound=(*found.unsound, *_unsound(conn)))


def _seen(store: str, log: Path) -> Seen:
    lines = len(log_of(log))
    with _reading(store) as conn:
        if not _is_made(conn, "edge_traversals"):
            return Seen(Record(), lines, tuple(_unsound(conn)))
        runs = [
            Run(*row[:6], inputs=None if row[6] is None else json.loads(row[6]))
            for row in conn.execute(_RUNS)
        ]
        record = Record(
            {run.run_id: run for run in runs},
            [
                Node(*row[:4], output=None if row[4] is None else json.loads(row[4]))
                for row in conn.execute(_NODES)
            ],
            [Attempt(*row) for row in conn.execute(_ATTEMPTS)],
            [Edge(*row) for row in conn.execute(_EDGES)],
            _rows(conn),
            [Origin(*row) for row in conn.execute(_ORIGINS)],
        )
        return Seen(record, lines, tuple(_unsound(conn)))


def _rows(conn: Any) -> list[Written]:
    return [
        Written(*row)
        for table in WRITERS.values()
        if _is_made(conn, table)
        for row in conn.execute(_ROWS.format(table))
    ]


def _markers(conn: Any) -> frozenset[tuple[str, str, int]]:
    table = "lythonic_output_markers"
    if not _is_made(conn, table):
        return frozenset()
    return frozenset(
        (run_id, node, attempt)
        for run_id, node, attempt in conn.execute(
            f"SELECT run_id, node_label, attempt FROM {table}"
        )
    )


def unsound(store: str) -> list[str]:
    """What a database finds wrong with itself."""
    with _reading(store) as conn:
        return list(_unsound(conn))


def is_in_transaction(store: str) -> bool:
    """Whether somebody else is writing just now."""
    if not store.startswith("postgresql"):
        with closing(sqlite3.connect(store, timeout=0, isolation_level=None)) as conn:
            try:
                conn.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            return False
    with psycopg.connect(store) as conn:
        others = conn.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND pid <> pg_backend_pid() AND xact_start IS NOT NULL AND backend_type LIKE 'client%'"
        ).fetchone()
        return others != (0,)


def everything(store: str) -> dict[str, list[tuple[Any, ...]]]:
    """Every row of every table of a store of runs."""
    with _reading(store) as conn:
        return {
            table: sorted(map(tuple, conn.execute(f"SELECT * FROM {table}")), key=repr)
            for table in _TABLES
        }


@contextmanager
def _reading(store: str) -> Iterator[Any]:
    """A connection on which everything is of one moment."""
    if store.startswith("postgresql"):
        with psycopg.connect(store) as conn:
            conn.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            yield conn
    else:
        with closing(sqlite3.connect(store, isolation_level=None)) as conn:
            conn.execute("BEGIN")
            yield conn


def _is_made(conn: Any, table: str) -> bool:
    if isinstance(conn, sqlite3.Connection):
        asked = f"SELECT count(*) FROM sqlite_master WHERE name = '{table}'"
        return bool(conn.execute(asked).fetchone()[0])
    return bool(conn.execute(f"SELECT to_regclass('{table}')").fetchone()[0])


def _unsound(conn: Any) -> Iterator[str]:
    """What SQLite finds in its file; on PostgreSQL the server is not what was killed."""
    if isinstance(conn, sqlite3.Connection):
        for (text,) in conn.execute("PRAGMA integrity_check"):
            if text != "ok":
                yield text
        for row in conn.execute("PRAGMA foreign_key_check"):
            yield f"a foreign key leads nowhere: {row}"
