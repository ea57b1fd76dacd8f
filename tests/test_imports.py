"""What does a program pay for that only imports us, and for its first run?

Counted in modules, in a process of its own. What is added here is time at the start of every
program; a room that few programs need is imported when it is used.
"""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = """
import json, sys
said = []
def say():
    said.append(sorted(sys.modules))
import pydantic, sqlite3
from lythonic_state import DbModel
class Person(DbModel):
    id: int = pydantic.Field(default=-1, description="(PK)")
    name: str
say()
from lythonic_state import Schema, open_sqlite_db
Schema([Person])
with open_sqlite_db(":memory:"):
    pass
say()
from lythonic_compose import Dag, DagProvenance, DagRun, DagRunner, NodeExecution, inline
say()
@inline
def one(x: int) -> int:
    return x + 1
@inline
def two(x: int) -> int:
    return x + 1
with Dag() as dag:
    dag.node(one) >> dag.node(two)
import asyncio
with DagProvenance(sys.argv[1]) as store:
    result = asyncio.run(DagRunner(dag, store).run({"one": {"x": 1}}))
    assert result.outputs == {"two": 3}
say()
print(json.dumps(said))
"""

HEAVY = {
    *("asyncio", "ssl", "subprocess", "concurrent.futures.thread"),
    *("aiosqlite", "sqlglot", "psycopg", "difflib", "html", "pkgutil"),
}
LATE = {
    *("cached", "config", "drawing", "engine", "linear", "lyth", "progress", "registry"),
    *("outputs.elsewhere", "trigger", "viz"),
    *(f"dag_provenance.{room}" for room in ("history", "lineage", "memory", "origins")),
    *(f"dag_provenance.{room}" for room in ("retention", "row_source", "shown", "tracing")),
}
"""Rooms of lythonic_compose without which a graph is described and run with a history."""


def _ours(names: set[str], package: str) -> set[str]:
    start = f"{package}."
    return {name.removeprefix(start) for name in names if name.startswith(start)}


def test_only_what_is_used_is_imported(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "runs.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    model, opened, imported, ran = (set(names) for names in json.loads(done.stdout))

    assert model & HEAVY == opened & HEAVY == imported & HEAVY == set()
    assert not _ours(model, "lythonic_state") & {"connection", "json_base", "prepared", "schema"}
    assert not _ours(opened, "lythonic_state") & {"json_base", "keyed", "prepared", "user"}
    assert not _ours(imported, "lythonic_compose") & LATE
    assert not _ours(imported, "lythonic_compose") & {"dag_provenance.schema"}
    assert not _ours(ran, "lythonic_compose") & LATE
    assert not ran & {"aiosqlite", "sqlglot", "psycopg", "difflib", "html"}

    # more are more time; fewer is what to write here next
    assert len(_ours(model, "lythonic_state")) <= 25
    assert len(_ours(opened, "lythonic_state")) <= 30
    assert len(_ours(imported, "lythonic_compose")) <= 75
    assert len(_ours(ran, "lythonic_compose")) <= 76
