"""What do several writes have in common? Fences, attempts, payloads, graphs and edges, as steps."""

from __future__ import annotations

import json
import traceback
from collections import OrderedDict
from collections.abc import Generator, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, NamedTuple

from lythonic_state.fields import mutable

from ..errors import RunNotFound, RunTakenOver, WrongRunState
from ..events import NodeStatus
from ..plan import Plan, PlannedEdge
from ..values import storable
from .known import Author, Known, RunningAttempt, Steps, Write
from .payloads import Content
from .statements import (
    ATTEMPTS_OF,
    EDGE,
    END_ATTEMPTS,
    END_NODE,
    FAIL_ATTEMPT,
    GRAPH,
    NODE,
    NODE_BY_LABEL,
    PAYLOAD,
    PAYLOAD_ROWS,
    RUN_BY_ID,
)


def ask_whose(known: Known, run_id: str, author: Author) -> Steps:
    """Raises if a run is not this owner's any more."""
    if run_id not in known.fences:
        yield from fence_of(known, run_id, author)


def fence_of(
    known: Known, run_id: str, author: Author, *, only_own: bool = True
) -> Generator[Any, Any, int]:
    """The fence of a run, asked of the database, where it is still this owner's."""
    (run,) = (yield RUN_BY_ID(run_id=run_id)) or (None,)
    if run is None:
        raise no_run(run_id)
    if only_own and run.owner != author.owner:
        raise taken_over(run_id)
    known.fences[run_id] = run.fence
    fence: int = run.fence
    return fence


def no_run(run_id: str) -> RunNotFound:
    return RunNotFound(f"there is no run {run_id!r} in this store")


def taken_over(run_id: str) -> RunTakenOver:
    return RunTakenOver(
        f"run {run_id!r} was taken over by another process, which goes on with it; what happens "
        "here is not recorded any more"
    )


class Graph(NamedTuple):
    graph_hash: str
    nodes: list[str]
    edges: list[tuple[str, str, str | None, str]]
    code_hashes: dict[str, str]
    composites: list[str]


_graphs: OrderedDict[int, tuple[Plan, Graph]] = OrderedDict()
"""Of the plans that were run last, by their identity, which stays theirs while they are here."""


def graph_of(plan: Plan) -> Graph:
    found = _graphs.get(id(plan))
    if found is not None:
        return found[1]
    nodes = list(plan.nodes)
    # those into a node in its own order, which is that of a fan-in
    places = {
        (up, label): (number, place)
        for number, (label, node) in enumerate(plan.nodes.items())
        for place, up in enumerate(node.upstreams)
    }
    edges: list[tuple[str, str, str | None, str]] = [
        (edge.upstream, edge.downstream, edge.param, edge.rule)
        for edge in sorted(plan.edges, key=lambda edge: places[edge.upstream, edge.downstream])
    ]
    hashes = dict(plan.code_hashes)
    composites = [label for label, node in plan.nodes.items() if node.composite is not None]
    text = json.dumps([nodes, edges, hashes, composites])
    graph = Graph(sha256(text.encode()).hexdigest(), nodes, edges, hashes, composites)
    _graphs[id(plan)] = (plan, graph)
    if len(_graphs) > 64:
        _graphs.popitem(last=False)
    return graph


def keep_graph(known: Known, graph: Graph | None) -> Steps:
    if graph is not None and not known.has(graph.graph_hash):
        yield GRAPH(**graph._asdict())


def keep_content(known: Known, content: Content) -> Steps:
    if not known.has(content.payload_hash):
        payload_hash, type_name, restorable, text, rows = content
        made = yield (
            PAYLOAD,
            {
                "payload_hash": payload_hash,
                "type_name": type_name,
                "restorable": restorable,
                "text": text,
            },
        )
        if made and rows:
            yield PAYLOAD_ROWS.many(
                {"payload_hash": payload_hash, **each._asdict()} for each in rows
            )


@mutable(eq=False)
class OfRunOnly:
    """A write that does nothing to nodes that have begun."""

    write: Write

    def __call__(self, known: Known) -> Steps:
        return self.write(known)


def attempt_running(
    known: Known, run_id: str, label: str, number: int | None
) -> Generator[Any, Any, RunningAttempt | None]:
    """The attempt of a node that is running, if it is the one of this number."""
    attempt = known.running.get((run_id, label))
    if attempt is None:
        (node,) = (yield NODE_BY_LABEL(run_id=run_id, node_label=label)) or (None,)
        if node is None:
            return None
        node_id = node.node_execution_id
        found = [
            each
            for each in (yield ATTEMPTS_OF(node_execution_id=node_id))
            if each.status == "running"
        ]
        if not found:
            return None
        newest = max(found, key=lambda each: each.number)
        attempt = RunningAttempt(node_id, newest.node_attempt_id, newest.number)
        known.running[run_id, label] = attempt
    return attempt if number in (None, attempt.number) else None


def stale_attempt(run_id: str, label: str, number: int) -> WrongRunState:
    return WrongRunState(
        f"attempt {number} of {label!r} in run {run_id!r} is not running any more (it was ended, "
        "or another one has taken its place); nothing was changed"
    )


def fail_attempt(
    run_id: str,
    label: str,
    attempt: RunningAttempt,
    at: datetime,
    error: str,
    again_at: datetime | None,
) -> Steps:
    values = {"status": "failed", "finished_at": at, "error": error, "again_at": again_at}
    if not (yield FAIL_ATTEMPT(values, node_attempt_id=attempt.attempt_id, status="running")):
        raise stale_attempt(run_id, label, attempt.number)


def end_attempts(node_id: int, status: NodeStatus, at: datetime, error: str | None) -> Steps:
    yield END_ATTEMPTS(
        {"status": status, "finished_at": at, "error": error},
        node_execution_id=node_id,
        status="running",
    )


def outcome_of(status: NodeStatus, at: datetime | None) -> dict[str, Any]:
    return {
        "status": status,
        "finished_at": at,
        "error": None,
        "output_payload": None,
        "reused_from": None,
    }


def put_node(
    run_id: str, label: str, is_source: bool, is_sink: bool, outcome: dict[str, Any]
) -> Generator[Any, Any, int | None]:
    """Writes how a node ended, which may never have started; gives its key if it was there."""
    made = yield NODE(
        run_id=run_id,
        node_label=label,
        is_source=is_source,
        is_sink=is_sink,
        started_at=None,
        input_payload=None,
        **outcome,
    )
    if made is not None:
        return None
    (node,) = yield NODE_BY_LABEL(run_id=run_id, node_label=label)
    node_id: int = node.node_execution_id
    yield END_NODE(outcome, node_execution_id=node_id)
    return node_id


def keep_edges(run_id: str, at: datetime, edges: Sequence[PlannedEdge]) -> Steps:
    if len(edges) == 1:
        yield EDGE, edge_row(run_id, at, edges[0])
    elif edges:
        yield EDGE.many([edge_row(run_id, at, edge) for edge in edges])


def edge_row(run_id: str, at: datetime, edge: PlannedEdge) -> dict[str, Any]:
    return {
        "run_id": run_id,
        "upstream_label": edge.upstream,
        "downstream_label": edge.downstream,
        "param": edge.param,
        "rule": edge.rule,
        "traversed_at": at,
    }


def traceback_of(error: BaseException) -> str:
    return storable("".join(traceback.format_exception(error)))
