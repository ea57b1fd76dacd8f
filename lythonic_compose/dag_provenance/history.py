"""How are runs read back?

Functions of a connection that give models. Nothing is written here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lythonic_state import SyncConnection

from ..events import RunStatus
from .tables import DagRun, EdgeTraversal, GraphSnapshot, NodeExecution, Payload

DONE = ("completed", "skipped")


def run_by_id(conn: SyncConnection, run_id: str) -> DagRun | None:
    return DagRun.load_by_id(conn, run_id)


def whole_run(conn: SyncConnection, run_id: str) -> DagRun | None:
    run = DagRun.load_by_id(conn, run_id)
    return None if run is None else with_nodes(conn, [run])[0]


def with_nodes(conn: SyncConnection, runs: Sequence[DagRun]) -> list[DagRun]:
    """The runs with their nodes and edges, in two statements however many runs there are."""
    by_id = {run.run_id: run for run in runs}
    for node in _nodes_of(conn, list(by_id)):
        by_id[node.run_id].nodes[node.node_label] = node
    return list(runs)


def recent_runs(conn: SyncConnection, limit: int, status: RunStatus | None) -> list[DagRun]:
    only: dict[str, Any] = {} if status is None else {"status": status}
    found = DagRun.select(conn, order_by=["-started_at", "run_id"], limit=limit, **only)
    return with_nodes(conn, found)


def active_runs(conn: SyncConnection) -> list[DagRun]:
    return with_nodes(conn, DagRun.select(conn, status="running", order_by="-started_at"))


def child_runs(conn: SyncConnection, parent_run_id: str) -> list[DagRun]:
    below = DagRun.descendants(conn, parent_run_id)
    return with_nodes(conn, [run for run in below if run.run_id != parent_run_id])


def node_executions(conn: SyncConnection, run_id: str) -> list[NodeExecution]:
    return _nodes_of(conn, [run_id])


def edge_traversals(conn: SyncConnection, run_id: str) -> list[EdgeTraversal]:
    return EdgeTraversal.select(conn, run_id=run_id, order_by="edge_traversal_id")


def node_output(conn: SyncConnection, run_id: str, label: str) -> str | None:
    node = NodeExecution.first(conn, run_id=run_id, node_label=label, status=list(DONE))
    if node is None or node.output_payload is None:
        return None
    payload = Payload.load_by_id(conn, node.output_payload)
    return None if payload is None else payload.text


def pending_nodes(conn: SyncConnection, run_id: str) -> list[str]:
    """The nodes of the run's graph, and those that were started, which are not done."""
    run = DagRun.load_by_id(conn, run_id)
    if run is None:
        return []
    graph = None if run.graph_hash is None else GraphSnapshot.load_by_id(conn, run.graph_hash)
    nodes = NodeExecution.select(conn, run_id=run_id, order_by="node_execution_id")
    done = {node.node_label for node in nodes if node.status in DONE}
    labels = [*(graph.nodes if graph is not None else ()), *(node.node_label for node in nodes)]
    return [label for label in dict.fromkeys(labels) if label not in done]


def _nodes_of(conn: SyncConnection, run_ids: list[str]) -> list[NodeExecution]:
    nodes = NodeExecution.select(conn, run_id=run_ids, order_by="node_execution_id")
    by_key = {(node.run_id, node.path, node.map_key, node.node_label): node for node in nodes}
    for edge in EdgeTraversal.select(conn, run_id=run_ids, order_by="edge_traversal_id"):
        upstream = by_key.get((edge.run_id, edge.path, edge.map_key, edge.upstream_label))
        if upstream is not None:
            upstream.edges.append(edge)
    return nodes
