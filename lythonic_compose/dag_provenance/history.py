"""How are runs read back?

Functions of a connection that give models, each with the same few statements however many runs and
nodes there are, and one more for each graph among them. Nothing is written here; what a runner
wants to know of an earlier run stands in `memory.py`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any, cast

from pydantic import BaseModel

from lythonic_state import AllTenants, SyncConnection, UserCtx

from ..composite import segment
from ..context import tenant_of
from ..errors import RunNotFound, UnknownName, nearest
from ..events import DONE, RunStatus
from .payloads import members
from .recovery import Unfinished
from .statements import COMPOSITES_OF, EDGES_OF
from .tables import DagRun, EdgeTraversal, GraphSnapshot, NodeExecution, NodeIO, Payload, RunIO

# --- runs -----------------------------------------------------------------------------------


def run_by_id(conn: SyncConnection, run_id: str, user_ctx: UserCtx = None) -> DagRun | None:
    only = of_tenant(user_ctx)
    if not only:
        return DagRun.load_by_id(conn, run_id)
    return DagRun.first(conn, run_id=run_id, **only)


def whole_run(conn: SyncConnection, run_id: str, user_ctx: UserCtx = None) -> DagRun | None:
    run = run_by_id(conn, run_id, user_ctx)
    return None if run is None else _whole(conn, [run])[0]


def recent_runs(
    conn: SyncConnection,
    limit: int,
    status: RunStatus | None = None,
    user_ctx: UserCtx = None,
    *,
    nested: bool = True,
) -> list[DagRun]:
    only = of_tenant(user_ctx)
    if status is not None:
        only["status"] = status
    order = ["-started_at", "run_id"]
    found = DagRun.select(conn, parent_run_id=None, order_by=order, limit=limit, **only)
    return _whole(conn, found, nested=nested)


def active_runs(conn: SyncConnection, user_ctx: UserCtx = None) -> list[DagRun]:
    return _whole(conn, _running(conn, user_ctx))


def abandoned_runs(
    conn: SyncConnection,
    why_running: Callable[[DagRun, datetime], str | None],
    now: datetime,
    user_ctx: UserCtx = None,
) -> list[DagRun]:
    found = unfinished(conn, why_running, now, user_ctx)
    return _whole(conn, [each.run for each in reversed(found) if each.by is None])


def unfinished(
    conn: SyncConnection,
    why_running: Callable[[DagRun, datetime], str | None],
    now: datetime,
    user_ctx: UserCtx = None,
) -> list[Unfinished]:
    """The runs that have not ended, oldest first, and who is at work on each.

    Runs that stand inside of others are not among them, and neither are those that a node of an
    abandoned run began: that node is called again, and begins another one.
    """
    running = DagRun.select(
        conn,
        parent_label=None,
        status="running",
        order_by=["started_at", "run_id"],
        **of_tenant(user_ctx),
    )
    parents = [run.parent_run_id for run in running if run.parent_run_id is not None]
    lost = {
        parent.run_id
        for parent in DagRun.select(conn, run_id=parents, status="running")
        if why_running(parent, now) is None
    }
    return [
        Unfinished(run, why_running(run, now)) for run in running if run.parent_run_id not in lost
    ]


def child_runs(conn: SyncConnection, parent_run_id: str, user_ctx: UserCtx = None) -> list[DagRun]:
    if run_by_id(conn, parent_run_id, user_ctx) is None:
        return []
    return _with_parts(conn, _below(conn, [parent_run_id]))


def _running(conn: SyncConnection, user_ctx: UserCtx) -> list[DagRun]:
    return DagRun.select(
        conn,
        parent_run_id=None,
        status="running",
        order_by=["-started_at", "run_id"],
        **of_tenant(user_ctx),
    )


def of_tenant(user_ctx: UserCtx) -> dict[str, Any]:
    """The filter for the runs of a tenant; nothing where none is meant."""
    if user_ctx is None or isinstance(user_ctx, AllTenants):
        return {}
    return {"tenant": tenant_of(user_ctx)}


def _below(conn: SyncConnection, run_ids: Collection[str]) -> list[DagRun]:
    """All runs inside of runs, level by level: a statement for each, however many there are."""
    found: list[DagRun] = []
    while run_ids:
        level = DagRun.select(conn, parent_run_id=list(run_ids), order_by=["started_at", "run_id"])
        found += level
        run_ids = [run.run_id for run in level]
    return found


def _whole(conn: SyncConnection, runs: list[DagRun], *, nested: bool = True) -> list[DagRun]:
    below = _below(conn, [run.run_id for run in runs]) if nested else []
    _with_parts(conn, [*runs, *below], nested=nested)
    return runs


def _with_parts(conn: SyncConnection, runs: list[DagRun], *, nested: bool = True) -> list[DagRun]:
    """The runs with their nodes and edges, and with those of them that stand in each other."""
    by_id = {run.run_id: run for run in runs}
    run_ids = list(by_id)
    # sorting here costs less than in the database, whose index has another order
    for node in sorted(NodeExecution.select(conn, run_id=run_ids), key=_NODE_ID):
        by_id[node.run_id].nodes[node.node_label] = node
    in_order = ["run_id", "edge_traversal_id"]
    for edge in EdgeTraversal.select(conn, run_id=run_ids, order_by=in_order):
        upstream = by_id[edge.run_id].nodes.get(edge.upstream_label)
        if upstream is not None:
            upstream.edges.append(edge)
    if nested:
        _put_into_place(conn, by_id)
    return runs


_NODE_ID = attrgetter("node_execution_id")


def _put_into_place(conn: SyncConnection, runs: Mapping[str, DagRun]) -> None:
    composites: dict[str | None, Sequence[str]] = {None: ()}
    for run in runs.values():
        if run.graph_hash not in composites:
            found = COMPOSITES_OF(conn, graph_hash=run.graph_hash)
            composites[run.graph_hash] = () if found is None else found[0]
        for label in composites[run.graph_hash]:
            if label in run.nodes:
                _put(run.nodes[label], "sub_dags", {})
    # the newest of several for one place comes last
    inside = [run for run in runs.values() if run.parent_label is not None]
    for run in sorted(inside, key=_order_inside):
        node = _node_around(runs, run)
        if node is not None:
            place = segment(run.parent_label or "", run.map_key, run.branch)
            if node.sub_dags is None:
                _put(node, "sub_dags", {})
            cast("dict[str, DagRun]", node.sub_dags)[place] = run


def _order_inside(run: DagRun) -> tuple[int, datetime]:
    return (int(run.map_key) if run.map_key.isdecimal() else 0), run.started_at


def _put(record: BaseModel, field: str, value: Any) -> None:
    """Sets a field that has no column to a value of its type; to assign it would validate it."""
    vars(record)[field] = value
    record.model_fields_set.add(field)


def _node_around(runs: Mapping[str, DagRun], run: DagRun) -> NodeExecution | None:
    parent = runs.get(run.parent_run_id or "")
    return None if parent is None else parent.nodes.get(run.parent_label or "")


# --- nodes ----------------------------------------------------------------------------------


def node_executions(
    conn: SyncConnection, run_id: str, user_ctx: UserCtx = None
) -> list[NodeExecution]:
    run = whole_run(conn, run_id, user_ctx)
    return [] if run is None else list(run.nodes.values())


def edge_traversals(
    conn: SyncConnection, run_id: str, user_ctx: UserCtx = None
) -> list[EdgeTraversal]:
    if user_ctx is not None and run_by_id(conn, run_id, user_ctx) is None:
        return []
    return EdgeTraversal.select(conn, run_id=run_id, order_by="edge_traversal_id")


def node_output(
    conn: SyncConnection, run_id: str, label: str, user_ctx: UserCtx = None
) -> str | None:
    if user_ctx is not None and run_by_id(conn, run_id, user_ctx) is None:
        return None
    node = NodeExecution.first(conn, run_id=run_id, node_label=label, status=list(DONE))
    if node is None or node.output_payload is None:
        return None
    payload = Payload.load_by_id(conn, node.output_payload)
    return None if payload is None else payload.text


def pending_nodes(conn: SyncConnection, run_id: str, user_ctx: UserCtx = None) -> list[str]:
    """The nodes of the run's graph, and those that were started, which are not done."""
    run = run_by_id(conn, run_id, user_ctx)
    if run is None:
        return []
    graph = None if run.graph_hash is None else GraphSnapshot.load_by_id(conn, run.graph_hash)
    nodes = NodeExecution.select(conn, run_id=run_id, order_by="node_execution_id")
    done = {node.node_label for node in nodes if node.status in DONE}
    labels = [*(graph.nodes if graph is not None else ()), *(node.node_label for node in nodes)]
    return [label for label in dict.fromkeys(labels) if label not in done]


# --- values ---------------------------------------------------------------------------------


def load_io(
    conn: SyncConnection,
    run: DagRun,
    labels: Collection[str] | None = None,
    user_ctx: UserCtx = None,
) -> DagRun:
    """Fills `io` of a run and of its nodes, whose own rows are read if they were not.

    Raises:
        RunNotFound: the run is another tenant's.
        UnknownName: the run has no node of such a label.
    """
    if user_ctx is not None and run_by_id(conn, run.run_id, user_ctx) is None:
        raise RunNotFound(f"there is no run {run.run_id!r} of this tenant in this store")
    if not run.nodes:
        _with_parts(conn, [run])
    for label in labels or ():
        if label not in run.nodes:
            raise UnknownName(
                f"run {run.run_id!r} has no node {label!r}{nearest(label, run.nodes)}"
            )
    wanted = {run.source_inputs, run.sink_outputs}
    for node in run.nodes.values():
        wanted.add(node.input_payload)
        wanted.add(node.output_payload)
    hashes = [each for each in wanted if each is not None]
    payloads = {
        payload.payload_hash: payload for payload in Payload.select(conn, payload_hash=hashes)
    }
    given = {} if run.source_inputs is None else members(payloads[run.source_inputs].text)
    outputs = {
        label: payloads[node.output_payload]
        for label, node in run.nodes.items()
        if node.output_payload is not None
    }
    incoming = _incoming(conn, run)
    for label, node in run.nodes.items():
        if labels is None or label in labels:
            text = None
            if node.input_payload is not None:
                text = payloads[node.input_payload].text
            elif node.started_at is not None:
                text = _composed(given.get(label), incoming.get(label, ()), outputs)
            output = outputs.get(label)
            io = NodeIO(
                input_json=text,
                output_json=None if output is None else output.text,
                output_type=None if output is None else output.type_name,
                restorable=output is not None and output.restorable,
            )
            _put(node, "io", io)
    run_io = RunIO(
        source_inputs_json=None if run.source_inputs is None else payloads[run.source_inputs].text,
        sink_outputs_json=_sink_outputs(run, payloads, outputs),
    )
    _put(run, "io", run_io)
    return run


def _incoming(conn: SyncConnection, run: DagRun) -> dict[str, list[EdgeTraversal]]:
    """What came along edges into each node, in the order of the graph."""
    incoming: dict[str, list[EdgeTraversal]] = {}
    for node in run.nodes.values():
        for edge in node.edges:
            incoming.setdefault(edge.downstream_label, []).append(edge)
    if run.graph_hash is not None and any(len(edges) > 1 for edges in incoming.values()):
        found = EDGES_OF(conn, graph_hash=run.graph_hash)
        ordered: Sequence[tuple[str, ...]] = () if found is None else found[0]
        places = {(up, down): place for place, (up, down, *_) in enumerate(ordered)}
        for edges in incoming.values():
            edges.sort(key=lambda edge: places.get((edge.upstream_label, edge.downstream_label), 0))
    return incoming


def _composed(
    given: str | None, edges: Iterable[EdgeTraversal], outputs: Mapping[str, Payload]
) -> str:
    """What a node was given, of what its caller gave and what came along its edges."""
    arguments = {} if given is None else members(given)
    fans: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for edge in edges:
        output = outputs.get(edge.upstream_label)
        if edge.param is None or output is None:
            continue
        if edge.rule in ("list", "dict"):
            fan = fans.setdefault((edge.param, edge.rule), [])
            fan.append((edge.upstream_label, output.text))
        else:
            arguments[edge.param] = output.text
    for (param, rule), parts in fans.items():
        if rule == "list":
            arguments[param] = f"[{','.join(text for _, text in parts)}]"
        else:
            arguments[param] = _object(parts)
    return _object(arguments.items())


def _sink_outputs(
    run: DagRun, payloads: Mapping[str, Payload], outputs: Mapping[str, Payload]
) -> str | None:
    if run.sink_outputs is not None:
        return payloads[run.sink_outputs].text
    if run.status != "completed":
        return None
    sinks = [label for label, node in run.nodes.items() if node.is_sink and label in outputs]
    return _object((label, outputs[label].text) for label in sinks)


def _object(parts: Iterable[tuple[str, str]]) -> str:
    return f"{{{','.join([f'{_quoted(name)}:{text}' for name, text in parts])}}}"


@lru_cache(1024)
def _quoted(name: str) -> str:
    return json.dumps(name)
