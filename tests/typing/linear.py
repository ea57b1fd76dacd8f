"""The types of linear pipelines, as a program that uses them sees them."""

from pathlib import Path
from typing import Any, assert_type

from lythonic_compose import (
    Dag,
    DagProvenance,
    HistoryEntry,
    MemoryUse,
    Node,
    ObjectRegistry,
    Pipeline,
    PipelinePlan,
    PipelineResult,
    PlannedNode,
    Retry,
    create_named_partial_function,
    draw_ascii_pipeline,
    draw_mermaid_pipeline,
)


def add(a: int, b: int) -> int:
    return a + b


def plain(provenance: DagProvenance) -> None:
    node = Node(add, inputs=["x", "y"], outputs=["sum"], retry=Retry(3), timeout=1.5)
    assert_type(node, Node)
    assert_type(node.run({"x": 1, "y": 2}), dict[str, Any])
    pipeline = Pipeline([node], {"window": 5}, cache_storage_path=Path("cache.db"), x=1, y=2)
    assert_type(pipeline + pipeline, Pipeline)
    assert_type(pipeline.to_dag(), Dag)
    assert_type(pipeline.history, list[HistoryEntry])
    assert_type(pipeline.get_obj_registry(), ObjectRegistry)

    result = pipeline.run(provenance=provenance, only=["add"])
    assert_type(result, PipelineResult)
    assert_type(result["sum"], Any)
    assert_type(result.run_id, str | None)
    assert_type(result.memory["add"], MemoryUse)

    plan = pipeline.plan(to_node="add")
    assert_type(plan, PipelinePlan)
    assert_type(plan["add"], PlannedNode)

    create_named_partial_function(add, "add_one", b=1)(2)
    assert_type(draw_ascii_pipeline(pipeline, width=80), str)
    assert_type(draw_mermaid_pipeline(pipeline), str)

    Node("add", ["x"], ["y"])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Pipeline([add])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


async def awaited(pipeline: Pipeline) -> None:
    assert_type(await pipeline.run_async(from_node="add"), PipelineResult)
