"""Stores that earlier versions made are migrated when they are opened, and go on being used."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from lythonic_compose import CodeChanged, Dag, DagProvenance, DagRunner
from lythonic_compose.dag_provenance import SCHEMA
from lythonic_state.migrate.history import AppliedMigration

STORES = Path(__file__).parent / "stores"
FAILED, COMPLETED, KILLED = "run-1", "run-2", "run-3"

called: list[str] = []


def one() -> int:
    called.append("one")
    return 1


def double(x: int) -> int:
    called.append("double")
    return x * 2


def text(x: int, prefix: str) -> str:
    called.append("text")
    return f"{prefix}{x}"


def chain() -> Dag:
    with Dag() as dag:
        dag.node(one) >> dag.node(double) >> dag.node(text)
    return dag


@pytest.fixture(params=["sqlite", "postgres"])
def first_store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A store as the first version made it, with three runs of `chain`."""
    tables = (STORES / f"first_{request.param}.sql").read_text()
    rows = (STORES / "first_rows.sql").read_text()
    if request.param == "postgres":
        url = request.getfixturevalue("pg_url")
        with psycopg.connect(url) as server:
            server.execute(tables.encode())
            server.execute(rows.encode())
        return url
    path = tmp_path / "runs.db"
    file = sqlite3.connect(path)
    try:
        file.executescript(tables + rows)
    finally:
        file.close()
    return path


@pytest.fixture
def store(first_store: Any) -> Iterator[DagProvenance]:
    called.clear()
    with DagProvenance(first_store) as provenance:
        yield provenance


def test_the_first_store_is_migrated_once_by_steps_that_lose_nothing(first_store: Any) -> None:
    for _ in range(2):
        with DagProvenance(first_store) as store, store.open() as conn:
            assert SCHEMA.diff(conn) == []
            (applied,) = AppliedMigration.select(conn)
    dropped = [step for step in applied.steps if "DROP" in step and "DEFAULT" not in step]
    assert dropped
    assert all(step.startswith('DROP INDEX "ix_') for step in dropped)


def test_runs_of_the_first_store_are_read(store: DagProvenance) -> None:
    runs = {run.run_id: run for run in store.get_recent_runs()}
    assert {run_id: run.status for run_id, run in runs.items()} == {
        FAILED: "failed",
        COMPLETED: "completed",
        KILLED: "running",
    }
    completed = store.inspect_run(COMPLETED)
    assert completed is not None
    store.load_io(completed)
    assert [(node.node_label, node.output) for node in completed.nodes.values()] == [
        ("one", 1),
        ("double", 2),
        ("text", "x2"),
    ]
    assert completed.io is not None
    assert completed.io.source_inputs_json == '{"text":{"prefix":"x"}}'
    failed = store.inspect_run(FAILED)
    assert failed is not None
    assert "LookupError: nothing" in (failed.nodes["text"].error or "")
    assert [edge.downstream_label for edge in failed.nodes["one"].edges] == ["double"]
    assert [run.run_id for run in store.get_abandoned_runs()] == [KILLED]


async def test_new_runs_are_recorded_in_the_first_store(store: DagProvenance) -> None:
    result = await DagRunner(chain(), store).run({"text": {"prefix": "y"}})
    assert (result.status, result.outputs) == ("completed", {"text": "y2"})
    assert store.get_node_output(result.run_id, "text") == '"y2"'


@pytest.mark.parametrize("run_id", [FAILED, KILLED])
async def test_runs_of_the_first_store_go_on_where_they_were(
    store: DagProvenance, run_id: str
) -> None:
    runner = DagRunner(chain(), store)
    with pytest.raises(CodeChanged):  # the first version kept no hash of a node's code
        await runner.restart(run_id)
    assert called == []

    result = await runner.restart(run_id, on_change="keep")
    assert (result.status, result.outputs) == ("completed", {"text": "x2"})
    assert called == ["text"]
    run = store.get_run(run_id)
    assert run is not None
    assert (run.status, run.fence) == ("completed", 2)


async def test_runs_of_the_first_store_are_replayed(store: DagProvenance) -> None:
    result = await DagRunner(chain(), store).replay(COMPLETED, ["text"])
    assert (result.status, result.outputs) == ("completed", {"text": "x2"})
    assert called == ["text"]
