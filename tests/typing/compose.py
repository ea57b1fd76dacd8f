"""Types of wiring and results: right uses with `assert_type`, wrong ones with an ignore each."""

# pyright: reportUnusedExpression=false

from datetime import datetime
from pathlib import Path
from typing import Any, assert_type

from lythonic_compose import (
    Dag,
    DagProvenance,
    DagRun,
    DagRunner,
    DagRunResult,
    Node,
    NodeExecution,
    NullProvenance,
    inline,
)
from lythonic_compose.graph import Nodes


def fetch(url: str) -> list[int]:
    raise NotImplementedError


@inline
def total(numbers: list[int]) -> int:
    raise NotImplementedError


async def shown(number: int) -> str:
    raise NotImplementedError


async def wiring() -> None:
    dag = Dag()
    a, b, c = dag.node(fetch), dag.node(total, label="sum"), dag.node(shown)
    assert_type(a, Node)
    assert_type(a >> b, Node)
    assert_type(a >> [b, c], Nodes)
    assert_type([a, b] >> c, Node)
    assert_type(a >> [b, c] >> c, Node)
    with Dag() as inner:
        assert_type(inner, Dag)
    assert_type(total([1]), int)

    a >> fetch  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    dag.node(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    dag.edge(a, b, param=3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def results(dag: Dag) -> None:
    assert_type(await dag(url="x"), DagRunResult)
    result = dag.run_sync(url="x")
    assert_type(result[fetch], list[int])
    assert_type(result[total], int)
    assert_type(result[shown], str)
    assert_type(result["shown"], Any)
    assert_type(result.raise_for_status(), DagRunResult)
    if result.status == "complete":  # type: ignore[comparison-overlap]
        raise AssertionError


async def history(dag: Dag) -> None:
    async with DagProvenance(Path("runs.db")) as store:
        await DagRunner(dag, store).run(source_inputs={"fetch": {"url": "x"}})
        assert_type(store.get_run("x"), DagRun | None)
        assert_type(store.get_node_executions("x"), list[NodeExecution])
        with store.open() as conn:
            runs = DagRun.select(conn, status="failed", order_by="-started_at", limit=20)
            assert_type(runs, list[DagRun])
            assert_type(runs[0].started_at, datetime)
        async with store.open() as aconn:
            assert_type(await DagRun.select(aconn), list[DagRun])
        store.get_recent_runs(status="done")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    DagRunner(dag, NullProvenance(), max_concurrency=4)
    DagRunner(fetch)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
