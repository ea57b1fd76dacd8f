"""Hamilton with its cache: results and what they were made of are kept in a folder."""

from __future__ import annotations

import sqlite3
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from hamilton import driver
from hamilton.execution import executors

from .. import peer as text
from ..peer import Kind, Peer, Timed
from ._steps import module_of, step
from .hamilton_ import chain_of

OVER = """from hamilton.htypes import Collect, Parallelizable


def value(x: int) -> Parallelizable[int]:
    yield from range(x, x + 1_000)


def one_more(value: int) -> int:
    return value + 1


def two_more(one_more: int) -> int:
    return one_more + 1


def total(two_more: Collect[int]) -> int:
    return sum(two_more)"""


def fan_of(width: int) -> Any:
    parts = [f"s{at}" for at in range(width)]
    given = ", ".join(f"{part}: int" for part in parts)
    total = f"def total({given}) -> int:\n    return {' + '.join(parts)}"
    return module_of([step("first", "x"), *(step(part, "first") for part in parts), total])


def text_chain_of(length: int) -> Any:
    pairs = pairwise(f"s{at}" for at in range(length))
    steps = [step(name, before, "str", "str", "grown({})") for before, name in pairs]
    first = step("s0", "x", "int", "str", "first_grown({})")
    return module_of([f"from {text.__name__} import first_grown, grown", first, *steps])


class HamiltonCached(Peer):
    title = "Hamilton, cached"
    packages = ("sf-hamilton",)
    note = (
        "keeps results and the key of each, not which run did what when: a node that was "
        "computed before is not run; functions run in place; elements of a map one by one, since "
        "its SQLite store is locked where several write"
    )
    kinds = ("inline",)

    def open(self, folder: str) -> None:
        sys.setrecursionlimit(20_000)  # it goes through a graph by recursion
        self.folder = folder
        self.runs = 0

    def recorded(self) -> tuple[int, int]:
        nodes = 0
        for file in Path(self.folder).rglob("*.db"):
            conn = sqlite3.connect(file)
            tables = [row[0] for row in conn.execute("SELECT name FROM sqlite_master")]
            if "cache_metadata" in tables:
                nodes += conn.execute("SELECT count(*) FROM cache_metadata").fetchone()[0]
            conn.close()
        return self.runs, nodes

    def _driver(self, module: Any, *, is_dynamic: bool = False) -> Any:
        builder = driver.Builder().with_modules(module).with_cache(path=self.folder)
        if is_dynamic:
            builder = builder.enable_dynamic_execution(
                allow_experimental_mode=True
            ).with_remote_executor(executors.SynchronousLocalTaskExecutor())
        return builder.build()

    def _run(self, made: Any, last: str, given: Any) -> Any:
        self.runs += 1
        return made.execute([last], inputs={"x": given})[last]

    def chain(self, length: int, kind: Kind) -> Timed:
        made, last = self._driver(chain_of(length)), f"s{length - 1}"
        return lambda seed: self._run(made, last, seed)

    def fan_out(self, width: int) -> Timed:
        made = self._driver(fan_of(width))
        return lambda seed: self._run(made, "total", seed)

    def map_over(self, count: int) -> Timed:
        made = self._driver(module_of([OVER]), is_dynamic=True)
        return lambda seed: self._run(made, "total", seed)

    def megabytes(self, length: int) -> Timed:
        made, last = self._driver(text_chain_of(length)), f"s{length - 1}"
        return lambda seed: self._run(made, last, seed)


PEER = HamiltonCached
