"""Do the programs that people see first work as they are written?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

STEPS = """
def fetch(url: str) -> dict:
    return {"source": url, "raw": [1, 2, 3]}

def transform(data: dict) -> dict:
    return {"source": data["source"], "values": [v * 2 for v in data["raw"]]}

def validate(data: dict) -> dict:
    assert all(v > 0 for v in data["values"]), "Negative value found"
    return data
"""


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def ran(*programs: str) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "program"}
    for number, program in enumerate(programs):
        exec(compile(program, f"program{number}", "exec"), names)
    return names


def test_data_flows_from_function_to_function(capsys: pytest.CaptureFixture[str]) -> None:
    ran("""
from lythonic_compose.namespace import Dag

def fetch(url: str) -> dict:
    return {"source": url, "values": [1, 2, 3]}

def double(data: dict) -> dict:
    return {**data, "values": [v * 2 for v in data["values"]]}

dag = Dag()
dag.node(fetch) >> dag.node(double)

import asyncio
result = asyncio.run(dag(url="https://example.com"))
print(result.outputs["double"])
""")
    assert capsys.readouterr().out == ("{'source': 'https://example.com', 'values': [2, 4, 6]}\n")


def test_dags_nest_inside_dags() -> None:
    names = ran("""
from lythonic_compose.namespace import Dag, dag_factory

def extract(source: str) -> list:
    return [source, source]

def transform(rows: list) -> list:
    return [row.upper() for row in rows]

def load(rows: list) -> int:
    return len(rows)

@dag_factory
def etl_pipeline() -> Dag:
    dag = Dag()
    dag.node(extract) >> dag.node(transform) >> dag.node(load)
    return dag

def setup() -> str:
    return "a"

def report(count: int) -> str:
    return f"{count} rows"

parent = Dag()
parent.node(setup) >> parent.node(etl_pipeline, label="etl") >> parent.node(report)
once = parent.run_sync()

def split() -> list[str]:
    return ["a", "b", "c"]

def merge(counts: list[int]) -> int:
    return sum(counts)

parent = Dag()
parent.node(split) >> parent.map(etl_pipeline) >> parent.node(merge)
each = parent.run_sync()
""")
    assert names["once"].outputs == {"report": "2 rows"}
    assert names["each"].outputs == {"merge": 6}


async def test_the_same_dag_runs_with_and_without_a_record() -> None:
    names = ran(
        STEPS,
        """
from pathlib import Path
from lythonic_compose.namespace import Dag

dag = Dag()
dag.node(fetch) >> dag.node(transform)

async def main():
    result = await dag(url="https://example.com")

    from lythonic_compose.dag_runner import DagRunner
    from lythonic_compose.dag_provenance import DagProvenance

    runner = DagRunner(dag, provenance=DagProvenance(Path("runs.db")))
    recorded = await runner.run(source_inputs={"fetch": {"url": "..."}})
    return result, recorded
""",
    )
    quick, recorded = await names["main"]()
    assert quick.outputs == {"transform": {"source": "https://example.com", "values": [2, 4, 6]}}
    assert recorded.outputs == {"transform": {"source": "...", "values": [2, 4, 6]}}
    assert Path("runs.db").exists()


FAN = """
from lythonic_compose.namespace import Dag

with Dag() as dag:
    f = dag.node(fetch)
    t = dag.node(transform)
    v = dag.node(validate)
    f >> t >> v
"""


def test_a_runner_carries_out_a_dag(capsys: pytest.CaptureFixture[str]) -> None:
    ran(
        STEPS,
        FAN,
        """
import asyncio
from lythonic_compose.dag_runner import DagRunner

runner = DagRunner(dag)

async def main():
    result = await runner.run(
        source_inputs={"fetch": {"url": "https://example.com/data"}}
    )
    print(result.status)
    print(result.outputs)

asyncio.run(main())

async def main():
    result = await dag(url="https://example.com/data")
    print(result.status)
    print(result.outputs)

asyncio.run(main())
""",
    )
    once = "completed\n{'validate': {'source': 'https://example.com/data', 'values': [2, 4, 6]}}\n"
    assert capsys.readouterr().out == 2 * once


def test_maps_and_calls_are_composed() -> None:
    names = ran("""
from lythonic_compose.namespace import Dag

def split_text(text: str) -> list[str]:
    return text.split(". ")

def tokenize(text: str) -> list[str]:
    return text.split()

def count(tokens: list[str]) -> int:
    return len(tokens)

def reduce(counts: list[int]) -> int:
    return sum(counts)

sub_dag = Dag()
sub_dag.node(tokenize) >> sub_dag.node(count)

parent = Dag()
parent.node(split_text) >> parent.map(sub_dag, label="chunks") >> parent.node(reduce)
mapped = parent.run_sync(text="one two. three")

def fetch(key: str) -> str:
    return f"<{key}>"

def lookup(record: str) -> dict:
    return {"record": record}

def annotate(found: dict) -> dict:
    return {**found, "note": "seen"}

def save(record: dict) -> str:
    return str(sorted(record))

enrich_dag = Dag()
enrich_dag.node(lookup) >> enrich_dag.node(annotate)

parent = Dag()
parent.node(fetch) >> parent.node(enrich_dag, label="enrich") >> parent.node(save)
called = parent.run_sync(key="k")
""")
    assert names["mapped"].outputs == {"reduce": 3}
    assert names["called"].outputs == {"save": "['note', 'record']"}


async def test_a_run_is_recorded_and_queried(capsys: pytest.CaptureFixture[str]) -> None:
    names = ran(
        STEPS,
        FAN,
        """
from pathlib import Path
from lythonic_compose.dag_runner import DagRunner
from lythonic_compose.dag_provenance import DagProvenance

runner = DagRunner(dag, provenance=DagProvenance(Path("pipeline.db")))

async def main():
    result = await runner.run(
        source_inputs={"fetch": {"url": "https://example.com/data"}},
        dag_nsref="pipeline:enrich",
    )
    print(result.status)

    prov = DagProvenance(Path("pipeline.db"))
    run = prov.get_run(result.run_id)
    print(run["status"])

    nodes = prov.get_node_executions(result.run_id)
    for n in nodes:
        print(f"{n['node_label']}: {n['status']}")
    return result
""",
    )
    result = await names["main"]()
    assert capsys.readouterr().out == (
        "completed\ncompleted\nfetch: completed\ntransform: completed\nvalidate: completed\n"
    )
    again = await names["runner"].replay(result.run_id, rerun_nodes={"transform"})
    assert again.outputs == result.outputs
