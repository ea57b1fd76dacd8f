"""Which rows does an event make?

Each function prepares what it can beforehand and gives back a `Write`: what is left to do with a
connection, as one transaction that the store begins and ends. Nothing is read for users here.
"""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal, TypeAlias

from lythonic_state import SyncConnection

from ..errors import RunNotFound, WrongRunState
from ..events import (
    Event,
    NodeCompleted,
    NodeFailed,
    NodesEnded,
    NodeStarted,
    NodeStatus,
    RunFinished,
    RunStarted,
    RunStatus,
    in_short,
)
from ..plan import EdgeRule, Plan
from .payloads import given_text, inputs_payload, payload_of, storable
from .tables import (
    DagRun,
    EdgeTraversal,
    GraphSnapshot,
    NodeAttempt,
    NodeExecution,
    Payload,
)

Write: TypeAlias = Callable[[SyncConnection], None]
EdgeTold: TypeAlias = "tuple[str, str | None, EdgeRule]"
"""A downstream, the parameter that it feeds there, and the rule."""


def write_of(event: Event) -> Write:
    """What an event makes of the tables."""
    match event:
        case RunStarted():
            return run_started(
                event.run_id,
                event.at,
                event.dag_nsref,
                inputs_payload(event.inputs, event.plan),
                event.parent_run_id,
                snapshot_of(event.plan),
            )
        case NodeStarted(run_id, at, node):
            return node_started(run_id, at, node.label, None, node.is_source, node.is_sink)
        case NodeCompleted(run_id, at, node, value):
            payload = payload_of(
                value, node.method.return_annotation, f"what {node.label} returned"
            )
            edges: list[EdgeTold] = [
                (edge.downstream, edge.param, edge.rule) for edge in node.edges
            ]
            return node_completed(run_id, at, node.label, payload, edges)
        case NodeFailed(run_id, at, node, error):
            text = storable("".join(traceback.format_exception(error)))
            return node_ended(run_id, at, node.label, "failed", text, node.is_source, node.is_sink)
        case NodesEnded(run_id, at, nodes, status):
            return together(
                [
                    node_ended(run_id, at, node.label, status, None, node.is_source, node.is_sink)
                    for node in nodes
                ]
            )
        case RunFinished():
            short = None if event.error is None else storable(in_short(event.error))
            return run_finished(
                event.run_id, event.at, event.status, None, event.failed_node, short
            )


def together(writes: Sequence[Write]) -> Write:
    def write(conn: SyncConnection) -> None:
        for each in writes:
            each(conn)

    return write


# --- runs -----------------------------------------------------------------------------------


def run_started(
    run_id: str,
    at: datetime,
    dag_nsref: str | None,
    inputs: Payload,
    parent_run_id: str | None,
    graph: GraphSnapshot | None,
) -> Write:
    def write(conn: SyncConnection) -> None:
        Payload.insert_many(conn, [inputs], on_conflict="ignore")
        if graph is not None:
            GraphSnapshot.insert_many(conn, [graph], on_conflict="ignore")
        DagRun(
            run_id=run_id,
            dag_nsref=dag_nsref,
            parent_run_id=parent_run_id,
            status="running",
            started_at=at,
            source_inputs=inputs.payload_hash,
            graph_hash=None if graph is None else graph.graph_hash,
        ).insert(conn)

    return write


def run_status(run_id: str, status: RunStatus) -> Write:
    return lambda conn: _update_run(conn, run_id, {"status": status})


def run_finished(
    run_id: str,
    at: datetime,
    status: RunStatus,
    sink_outputs: Payload | None,
    failed_node: str | None = None,
    error: str | None = None,
) -> Write:
    def write(conn: SyncConnection) -> None:
        values: dict[str, Any] = {"status": status, "finished_at": at}
        if failed_node is not None or error is not None:
            values.update(failed_node=failed_node, error=error)
        if sink_outputs is not None:
            Payload.insert_many(conn, [sink_outputs], on_conflict="ignore")
            values["sink_outputs"] = sink_outputs.payload_hash
        _update_run(conn, run_id, values)

    return write


def _update_run(conn: SyncConnection, run_id: str, values: Mapping[str, Any]) -> None:
    if not DagRun.update_where(conn, values, run_id=run_id):
        raise RunNotFound(f"there is no run {run_id!r} in this store")


def snapshot_of(plan: Plan) -> GraphSnapshot:
    nodes = list(plan.nodes)
    edges: list[tuple[str, str, str | None, str]] = [
        (edge.upstream, edge.downstream, edge.param, edge.rule) for edge in plan.edges
    ]
    hashes = dict.fromkeys(nodes, "unknown")
    text = json.dumps([nodes, edges, hashes])
    return GraphSnapshot(
        graph_hash=sha256(text.encode()).hexdigest(), nodes=nodes, edges=edges, code_hashes=hashes
    )


# --- nodes ----------------------------------------------------------------------------------


def node_started(
    run_id: str,
    at: datetime,
    label: str,
    input_json: str | None,
    is_source: bool,
    is_sink: bool,
) -> Write:
    given = None if input_json is None else given_text(input_json)

    def write(conn: SyncConnection) -> None:
        if given is not None:
            Payload.insert_many(conn, [given], on_conflict="ignore")
        node = NodeExecution(
            run_id=run_id,
            node_label=label,
            status="running",
            is_source=is_source,
            is_sink=is_sink,
            started_at=at,
            input_payload=None if given is None else given.payload_hash,
        )
        node.insert(conn)
        NodeAttempt(
            node_execution_id=node.node_execution_id,
            number=1,
            fence=1,
            status="running",
            started_at=at,
        ).insert(conn)

    return write


def node_completed(
    run_id: str, at: datetime, label: str, output: Payload, edges: Sequence[EdgeTold]
) -> Write:
    traversals = [
        EdgeTraversal(
            run_id=run_id,
            upstream_label=label,
            downstream_label=downstream,
            param=param,
            rule=rule,
            traversed_at=at,
        )
        for downstream, param, rule in edges
    ]

    def write(conn: SyncConnection) -> None:
        Payload.insert_many(conn, [output], on_conflict="ignore")
        node = NodeExecution.first(conn, run_id=run_id, node_label=label)
        if node is None:
            raise WrongRunState(f"{label!r} has not been started in run {run_id!r}")
        values = {
            "status": "completed",
            "finished_at": at,
            "output_payload": output.payload_hash,
        }
        node.patch(conn, values)
        _end_attempts(conn, node, "completed", at, None)
        if traversals:
            EdgeTraversal.insert_many(conn, traversals)

    return write


def node_ended(
    run_id: str,
    at: datetime,
    label: str,
    status: Literal["failed", "upstream_failed", "cancelled"],
    error: str | None,
    is_source: bool = False,
    is_sink: bool = False,
) -> Write:
    def write(conn: SyncConnection) -> None:
        node = NodeExecution.first(conn, run_id=run_id, node_label=label)
        if node is None:
            # it never started: an upstream failed, or a value could not go along its edge
            NodeExecution(
                run_id=run_id,
                node_label=label,
                status=status,
                is_source=is_source,
                is_sink=is_sink,
                finished_at=at,
                error=error,
            ).insert(conn)
            return
        node.patch(conn, {"status": status, "finished_at": at, "error": error})
        _end_attempts(conn, node, status, at, error)

    return write


def node_skipped(run_id: str, at: datetime, label: str, output_json: str) -> Write:
    output = given_text(output_json)

    def write(conn: SyncConnection) -> None:
        Payload.insert_many(conn, [output], on_conflict="ignore")
        NodeExecution(
            run_id=run_id,
            node_label=label,
            status="skipped",
            finished_at=at,
            output_payload=output.payload_hash,
        ).insert(conn)

    return write


def _end_attempts(
    conn: SyncConnection, node: NodeExecution, status: NodeStatus, at: datetime, error: str | None
) -> None:
    NodeAttempt.update_where(
        conn,
        {"status": status, "finished_at": at, "error": error},
        node_execution_id=node.node_execution_id,
        status="running",
    )
