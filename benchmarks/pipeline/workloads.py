"""What is measured, and how is a result known to be right?

A workload names the method of a `Peer` that it prepares with; a row of the table is one figure of
it, with its unit and its budget.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import peer as text
from .peer import Kind

FIRST_SEED, SEED_STEP = 10_000, 10_000
SHORT_HISTORY, LONG_HISTORY = 1_000, 10_000
FEWEST = 20
"""Runs that every history has, however long they take."""
CALLERS = 50
HITS = 100


class WrongResult(Exception):
    """A peer did not do the work: its time does not count."""


@dataclass(frozen=True)
class Workload:
    name: str
    group: str  # what is measured in turns, in one process per peer
    method: str
    arguments: tuple[Any, ...]
    wanted: Callable[[int], Any]  # the result of a seed
    nodes: int = 0  # of one run, which the history must show
    runs: int = 1  # of one call
    kind: Kind | None = None  # that the peer must have
    plain: str = ""  # the method that makes plain values of a result
    history: int = 0  # runs that are there before


def _chain(length: int) -> Callable[[int], int]:
    return lambda seed: seed + length


def _is_history(seed: int) -> list[int]:
    first = seed // SEED_STEP * 10
    return [first + step for step in range(1, 11)]


def _text(seed: int) -> str:
    return text.made(seed + 10)


WORKLOADS = (
    Workload("chain_coroutine", "chains", "chain", (10,), _chain(10), 10, kind="coroutine"),
    Workload("chain_inline", "chains", "chain", (10,), _chain(10), 10, kind="inline"),
    Workload("chain_thread", "chains", "chain", (10,), _chain(10), 10, kind="thread"),
    Workload("late_inline", "chains", "late_chain", (10,), _chain(10), 10, kind="inline"),
    Workload("late_thread", "chains", "late_chain", (10,), _chain(10), 10, kind="thread"),
    Workload("grow_10", "growth", "chain", (10,), _chain(10), 10),
    Workload("grow_100", "growth", "chain", (100,), _chain(100), 100),
    Workload("grow_1000", "growth", "chain", (1_000,), _chain(1_000), 1_000),
    Workload("fan_out", "shapes", "fan_out", (100,), lambda seed: 100 * (seed + 2), 102),
    Workload(
        "map", "shapes", "map_over", (1_000,), lambda seed: 1_000 * seed + 499_500 + 2_000, 2_000
    ),
    Workload(
        "branches_coroutine", "shapes", "branches", (0.05,), lambda seed: 4 * (seed + 2), 6,
        kind="coroutine",
    ),
    Workload(
        "branches_thread", "shapes", "branches", (0.05,), lambda seed: 4 * (seed + 2), 6,
        kind="thread",
    ),
    Workload(
        "concurrent", "shapes", "concurrent", (20, 10),
        lambda seed: [seed + 10 * at + 10 for at in range(20)], 200, runs=20,
    ),
    Workload("megabytes", "megabytes", "megabytes", (10,), _text, 10),
    Workload("plain_inline", "plain", "plain_chain", (10,), _chain(10), kind="inline"),
    Workload("plain_thread", "plain", "plain_chain", (10,), _chain(10), kind="thread"),
    *(
        workload
        for runs in (SHORT_HISTORY, LONG_HISTORY)
        for workload in (
            Workload(
                f"list_{runs}", f"history {runs}", "listing", (20,), lambda seed: [10] * 20,
                plain="lengths", history=runs,
            ),
            Workload(
                f"fetch_{runs}", f"history {runs}", "fetching", (), _is_history,
                plain="outputs", history=runs,
            ),
        )
    ),
    Workload("hits", "caches", "hits", (HITS,), lambda seed: [1.5 * at for at in range(HITS)]),
    Workload("misses", "caches", "misses", (CALLERS,), lambda seed: [seed * 2.0] * CALLERS),
)  # fmt: skip
BY_NAME = {workload.name: workload for workload in WORKLOADS}


@dataclass(frozen=True)
class Row:
    """A line of a table. The budget is a ratio where there is something to stand `over`."""

    name: str
    title: str
    figure: str
    unit: str = "µs"  # of one: seconds are made of it by `UNITS`
    parts: int = 1  # nodes, calls or runs in a figure
    budget: float | None = None
    over: tuple[str, str, int] | None = None  # peer (or "itself"), figure, and its parts
    or_over: float | None = None  # a budget as a ratio to the floor, which is as good


UNITS = {"µs": 1e6, "ms": 1e3, "runs/s": 1.0, "MB": 1.0, "calls": 1.0}
FLOOR = ("floor", "chain_coroutine", 10)

ROWS = (
    Row(
        "chain_coroutine",
        "chain of 10, coroutines",
        "chain_coroutine",
        parts=10,
        budget=1.3,
        over=FLOOR,
    ),
    Row(
        "chain_inline",
        "chain of 10, functions in place",
        "chain_inline",
        parts=10,
        budget=1.3,
        over=FLOOR,
    ),
    Row(
        "chain_thread",
        "chain of 10, functions in threads",
        "chain_thread",
        parts=10,
        budget=2.5,
        over=FLOOR,
    ),
    Row(
        "late_inline", 'durability="run", in place', "late_inline", parts=10, budget=0.6, over=FLOOR
    ),
    Row(
        "late_thread",
        'durability="run", in threads',
        "late_thread",
        parts=10,
        budget=1.8,
        over=FLOOR,
    ),
    Row(
        "grow_100",
        "chain of 100: growth per node",
        "grow_100",
        parts=100,
        budget=1.1,
        over=("itself", "grow_10", 10),
    ),
    Row(
        "grow_1000",
        "chain of 1,000: growth per node",
        "grow_1000",
        parts=1_000,
        budget=1.1,
        over=("itself", "grow_10", 10),
    ),
    Row(
        "fan_out",
        "fan-out of 100",
        "fan_out",
        parts=100,
        budget=1.2,
        over=("floor", "fan_out", 100),
    ),
    Row(
        "map",
        "map over 1,000, 2-node sub-DAG",
        "map",
        parts=2_000,
        budget=1.3,
        over=("floor", "map", 2_000),
    ),
    Row(
        "branches_coroutine", "four branches of 50 ms, async", "branches_coroutine", "ms", budget=54
    ),
    Row("branches_thread", "four branches of 50 ms, threads", "branches_thread", "ms", budget=54),
    Row(
        "concurrent",
        "20 concurrent runs of 10 nodes",
        "concurrent",
        "runs/s",
        parts=20,
        budget=1_000,
        or_over=0.9,
    ),
    Row("megabytes", "chain of 10 with 1 MB per edge", "megabytes", "ms", budget=130),
    Row("disk", "the same: disk per run", "disk", "MB", budget=11),
    Row("plain_inline", "no history: chain of 10, in place", "plain_inline", parts=10, budget=15),
    Row("plain_thread", "no history: chain of 10, threads", "plain_thread", parts=10, budget=110),
    Row("list_10000", "history of 10,000: list 20 with nodes", "list_10000", "ms", budget=1.5),
    Row(
        "list_flat",
        "list 20: 10,000 over 1,000",
        "list_10000",
        budget=1.1,
        over=("itself", "list_1000", 1),
    ),
    Row("fetch_10000", "history of 10,000: fetch one with io", "fetch_10000", "ms", budget=0.3),
    Row(
        "fetch_flat",
        "fetch one: 10,000 over 1,000",
        "fetch_10000",
        budget=1.1,
        over=("itself", "fetch_1000", 1),
    ),
    Row(
        "process",
        "import: the process as a whole",
        "process",
        "ms",
        budget=1.3,
        over=("pydantic_", "process", 1),
    ),
    Row("import", "import alone", "import", "ms", over=("pydantic_", "import", 1)),
    Row("memory", "peak memory of a 10-node run", "memory", "MB", budget=40),
)
CACHE_ROWS = (
    Row("hits", "cache hit", "hits", parts=HITS, budget=15),
    Row("calls", "calls by 50 callers on a miss", "calls", "calls", budget=1),
    Row("misses", "50 callers on a miss of 20 ms", "misses", "ms"),
    Row("process", "import: the process as a whole", "process", "ms",
        over=("pydantic_", "process", 1)),
)  # fmt: skip


def expected(workload: Workload, seed: int, found: Any) -> None:
    """Raises if this is not the result of that seed."""
    wanted = workload.wanted(seed)
    if found != wanted or type(found) is not type(wanted):
        raise WrongResult(f"{workload.name}: {found!r:.100} instead of {wanted!r:.100}")
