"""What does a runner get to know of an earlier run? The rows of a store as the values of `recall`.

Functions of a connection, with the same few statements however many nodes there are. What is made
of these values is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lythonic_state import SyncConnection

from ..recall import OldNode, OldRun
from ..values import Encoded
from .payloads import members
from .tables import DagRun, GraphSnapshot, NodeAttempt, NodeExecution, Payload


def recall(conn: SyncConnection, run_id: str) -> OldRun | None:
    """A run with its nodes, or None."""
    run = DagRun.load_by_id(conn, run_id)
    return None if run is None else _old(conn, [run])[0]


def recall_nested(conn: SyncConnection, run_id: str, label: str) -> dict[str, OldRun]:
    """The newest run of each element of a composite node, by the element's key."""
    runs = DagRun.select(
        conn, parent_run_id=run_id, parent_label=label, order_by=["started_at", "run_id"]
    )
    newest = {run.map_key: run for run in runs}
    return dict(zip(newest, _old(conn, list(newest.values())), strict=True))


def load(conn: SyncConnection, payload_hash: str) -> Encoded:
    """A value as text; one that is gone is none that comes back."""
    found = Payload.load_by_id(conn, payload_hash)
    if found is None:
        return Encoded("null", False, "builtins:NoneType")
    return Encoded(found.text, found.restorable, found.type_name)


def _old(conn: SyncConnection, runs: Sequence[DagRun]) -> list[OldRun]:
    nodes = NodeExecution.select(
        conn, run_id=[run.run_id for run in runs], order_by="node_execution_id"
    )
    attempts: dict[int, int] = {}
    for attempt in NodeAttempt.select(
        conn, node_execution_id=[node.node_execution_id for node in nodes]
    ):
        known = attempts.get(attempt.node_execution_id, 0)
        attempts[attempt.node_execution_id] = max(known, attempt.number)
    inputs = [run.source_inputs for run in runs if run.source_inputs is not None]
    texts = {
        payload.payload_hash: payload.text
        for payload in Payload.select(conn, payload_hash=list(set(inputs)))
    }
    hashes = list({run.graph_hash for run in runs if run.graph_hash is not None})
    graphs = {graph.graph_hash: graph for graph in GraphSnapshot.select(conn, graph_hash=hashes)}
    by_run: dict[str, dict[str, OldNode]] = {run.run_id: {} for run in runs}
    for node in nodes:
        by_run[node.run_id][node.node_label] = OldNode(
            node.node_label,
            node.status,
            attempts.get(node.node_execution_id, 0),
            node.output_payload,
        )
    return [
        _old_run(run, by_run[run.run_id], texts, graphs.get(run.graph_hash or "")) for run in runs
    ]


def _old_run(
    run: DagRun,
    nodes: Mapping[str, OldNode],
    texts: Mapping[str, str],
    graph: GraphSnapshot | None,
) -> OldRun:
    inputs = {} if run.source_inputs is None else members(texts[run.source_inputs])
    return OldRun(
        run_id=run.run_id,
        status=run.status,
        dag_nsref=run.dag_nsref,
        path=run.path,
        nodes=nodes,
        inputs={path: members(given) for path, given in inputs.items()},
        withheld=tuple(run.withheld),
        code_hashes={} if graph is None else graph.code_hashes,
        edges=() if graph is None else tuple(graph.edges),
        parent_run_id=run.parent_run_id,
        parent_label=run.parent_label,
        targets=None if run.targets is None else tuple(run.targets),
        tenant=run.tenant,
        initiated_by=run.initiated_by,
        scheduled_at=run.scheduled_at,
        branch=run.branch,
        fence=run.fence,
        writes=None if run.writes is None else tuple(run.writes),
        rows_to=run.rows_to,
    )
