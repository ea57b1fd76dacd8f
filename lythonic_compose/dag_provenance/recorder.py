"""Which rows does an event make?

What can be prepared without a database is done first (`write_of`); what is left is a `Write`, which
yields prepared statements to whoever holds the connection. A `Write` may be carried out again after
it failed. Nothing is read for users here.
"""

from __future__ import annotations

import json
import os
import traceback
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Any, NamedTuple, TypeAlias

from lythonic_state import PreparedDelete, PreparedInsert, PreparedSelect, PreparedUpdate

from ..errors import RunNotFound, WrongRunState
from ..events import (
    AttemptFailed,
    Event,
    NodeCompleted,
    NodeExpanded,
    NodeFailed,
    NodesEnded,
    NodeSkipped,
    NodeStarted,
    NodeStatus,
    RunFinished,
    RunResumed,
    RunStarted,
    RunStatus,
    in_short,
)
from ..plan import EdgeRule, NodePlan, Plan
from ..values import storable
from .liveness import owner_of_this_process, why_alive
from .payloads import Content, GivenInputs, inputs_of, payload_of
from .tables import DagRun, EdgeTraversal, GraphSnapshot, NodeAttempt, NodeExecution, Payload

Steps: TypeAlias = Generator[Any, Any, None]
Write: TypeAlias = "Callable[[Known], Steps]"
"""What is left to do with a connection."""
EdgeTold: TypeAlias = "tuple[str, str | None, EdgeRule]"
"""A downstream, the parameter that it feeds there, and the rule."""

REMEMBERED = 4096


class Author:
    """Who records, as the owner of the runs that it begins and resumes."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._pid = -1
        self._owner = ""
        self.broken: set[str] = set()
        """The runs whose end could not be recorded, so that they only seem to be running."""

    @property
    def owner(self) -> str:
        if self._pid != os.getpid():  # after a fork we are somebody else
            self._pid, self._owner = os.getpid(), owner_of_this_process(self._session)
        return self._owner

    def why_running(self, run: DagRun, at: datetime) -> str | None:
        """Who is at work on a run that is running; None if nobody is."""
        if run.run_id in self.broken and run.owner == self.owner:
            return None
        return why_alive(run.owner, run.heartbeat_at, at)


class _Attempt(NamedTuple):
    """The attempt of a node that is running."""

    node_id: int
    attempt_id: int
    number: int


@dataclass
class Known:
    """What need not be asked of the database, since it was written from here.

    `forget` is called whenever a write has failed. What is missing is asked for.
    """

    running: dict[tuple[str, str], _Attempt] = field(
        default_factory=dict[tuple[str, str], _Attempt]
    )
    """By run and label."""
    fences: dict[str, int] = field(default_factory=dict[str, int])
    """Of the runs that are running here."""
    contents: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])
    """Payloads and graphs that are there, by their hash."""

    def forget(self) -> None:
        self.running.clear()
        self.fences.clear()
        self.contents.clear()

    def has(self, content_hash: str) -> bool:
        """Whether it is there already; else it is taken to be there from now on."""
        if content_hash in self.contents:
            return True
        self.contents[content_hash] = None
        if len(self.contents) > REMEMBERED:
            self.contents.popitem(last=False)
        return False


def write_of(event: Event, author: Author) -> Write:
    """What an event makes of the tables."""
    return _WRITES[type(event)](event, author)


def together(*writes: Write) -> Write:
    """Several writes as one."""

    def write(known: Known) -> Steps:
        for each in writes:
            yield from each(known)

    return write


# --- the statements -------------------------------------------------------------------------

_PAYLOAD = PreparedInsert(
    Payload, "payload_hash", "type_name", "restorable", "text", on_conflict="ignore"
)
_GRAPH = PreparedInsert(
    GraphSnapshot,
    *("graph_hash", "nodes", "edges", "code_hashes", "composites"),
    on_conflict="ignore",
)
_RUN = PreparedInsert(
    DagRun,
    *("run_id", "dag_nsref", "path", "parent_run_id", "parent_label", "map_key", "branch"),
    *("status", "started_at", "source_inputs", "withheld", "graph_hash", "tenant", "initiated_by"),
    *("targets", "owner", "heartbeat_at"),
)
_RUN_BY_ID = PreparedSelect(DagRun, "run_id")
_SET_STATUS = PreparedUpdate(DagRun, ["status"], ["run_id"])
_PIN = PreparedUpdate(DagRun, ["pinned"], ["run_id"])
_ENDING = ["status", "finished_at", "failed_node", "error", "sink_outputs"]
_FINISH = PreparedUpdate(DagRun, _ENDING, ["run_id"])
_FINISH_OWN = PreparedUpdate(DagRun, _ENDING, ["run_id", "fence"])
_TAKE_OVER = PreparedUpdate(
    DagRun,
    [*_ENDING, "graph_hash", "owner", "fence", "heartbeat_at"],
    ["run_id", "fence"],
)
_ABANDON = PreparedUpdate(DagRun, ["owner", "heartbeat_at"], ["owner", "status"])
_BEAT = PreparedUpdate(DagRun, ["heartbeat_at"], ["owner", "status"])

_NODE = PreparedInsert(
    NodeExecution,
    *("run_id", "node_label", "status", "is_source", "is_sink", "started_at", "finished_at"),
    *("error", "input_payload", "output_payload", "reused_from"),
    on_conflict="ignore",
)
_START = PreparedInsert(
    NodeExecution,
    *("run_id", "node_label", "status", "is_source", "is_sink", "started_at", "input_payload"),
    on_conflict="ignore",
)
_NODE_BY_LABEL = PreparedSelect(NodeExecution, "run_id", "node_label")
_NODES_RUNNING = PreparedSelect(NodeExecution, "run_id", "status")
_OUTCOME = ["status", "finished_at", "error", "output_payload", "reused_from"]
_END_NODE = PreparedUpdate(NodeExecution, _OUTCOME, ["node_execution_id"])
_COMPLETE = PreparedUpdate(
    NodeExecution, ["status", "finished_at", "output_payload"], ["node_execution_id"]
)
_START_AGAIN = PreparedUpdate(
    NodeExecution, [*_OUTCOME, "started_at", "input_payload"], ["node_execution_id"]
)

_ATTEMPT = PreparedInsert(
    NodeAttempt, "node_execution_id", "number", "fence", "owner", "status", "started_at"
)
_ATTEMPTS_OF = PreparedSelect(NodeAttempt, "node_execution_id")
_END_ATTEMPT = PreparedUpdate(NodeAttempt, ["status", "finished_at"], ["node_attempt_id", "status"])
_FAIL_ATTEMPT = PreparedUpdate(
    NodeAttempt, ["status", "finished_at", "error", "again_at"], ["node_attempt_id", "status"]
)
_END_ATTEMPTS = PreparedUpdate(
    NodeAttempt, ["status", "finished_at", "error"], ["node_execution_id", "status"]
)

_EDGE = PreparedInsert(
    EdgeTraversal,
    *("run_id", "upstream_label", "downstream_label", "param", "rule", "traversed_at"),
)
_FORGET_EDGES = PreparedDelete(EdgeTraversal, "run_id", "upstream_label")

# --- runs -----------------------------------------------------------------------------------


def _run_started(event: RunStarted, author: Author) -> Write:
    given = inputs_of(event.inputs, event.plan)
    graph = _graph_of(event.plan)
    place = event.place
    values = {
        "parent_label": None if place is None else place.label,
        "map_key": "" if place is None else place.key,
        "branch": None if place is None else place.branch,
        "path": event.path,
        "tenant": event.tenant,
        "initiated_by": event.initiated_by,
        "targets": None if event.targets is None else list(event.targets),
    }
    return partial(
        _begin_run,
        run_id=event.run_id,
        at=event.at,
        dag_nsref=event.dag_nsref,
        parent_run_id=event.parent_run_id,
        given=given,
        graph=graph,
        owner=author.owner,
        values=values,
    )


def run_created(
    run_id: str,
    at: datetime,
    dag_nsref: str | None,
    given: GivenInputs,
    parent_run_id: str | None,
    author: Author,
) -> Write:
    """A run that somebody else begins, without a graph that is known."""
    values = {
        "parent_label": None,
        "map_key": "",
        "branch": None,
        "path": "",
        "tenant": None,
        "initiated_by": None,
        "targets": None,
    }
    return partial(
        _begin_run,
        run_id=run_id,
        at=at,
        dag_nsref=dag_nsref,
        parent_run_id=parent_run_id,
        given=given,
        graph=None,
        owner=author.owner,
        values=values,
    )


def _begin_run(
    known: Known,
    *,
    run_id: str,
    at: datetime,
    dag_nsref: str | None,
    parent_run_id: str | None,
    given: GivenInputs,
    graph: _Graph | None,
    owner: str,
    values: Mapping[str, Any],
) -> Steps:
    yield from _keep(known, given.content)
    yield from _keep_graph(known, graph)
    yield _RUN(
        run_id=run_id,
        dag_nsref=dag_nsref,
        parent_run_id=parent_run_id,
        status="running",
        started_at=at,
        source_inputs=given.content.payload_hash,
        withheld=given.withheld,
        graph_hash=None if graph is None else graph.graph_hash,
        owner=owner,
        heartbeat_at=at,
        **values,
    )
    known.fences[run_id] = 1


def _run_resumed(event: RunResumed, author: Author) -> Write:
    run_id, at, graph = event.run_id, event.at, _graph_of(event.plan)

    def write(known: Known) -> Steps:
        (found,) = (yield _RUN_BY_ID(run_id=run_id)) or (None,)
        run = _resumable(found, run_id, at, author)
        yield from _keep_graph(known, graph)
        taken = yield _TAKE_OVER(
            {
                **_ended("running", None),
                "graph_hash": graph.graph_hash,
                "owner": author.owner,
                "fence": run.fence + 1,
                "heartbeat_at": at,
            },
            run_id=run_id,
            fence=run.fence,
        )
        if not taken:
            raise WrongRunState(f"run {run_id!r} has just been taken over by somebody else")
        for node in (yield _NODES_RUNNING(run_id=run_id, status="running")):
            yield from _end_attempts(node.node_execution_id, "cancelled", at, None)
            yield _END_NODE(_outcome("pending", None), node_execution_id=node.node_execution_id)
            known.running.pop((run_id, node.node_label), None)
        known.fences[run_id] = run.fence + 1

    return write


def _resumable(run: DagRun | None, run_id: str, at: datetime, author: Author) -> DagRun:
    if run is None:
        raise _no_run(run_id)
    if run.status == "completed":
        raise WrongRunState(f"run {run_id!r} completed at {run.finished_at}; nothing is left to do")
    if run.status == "running":
        by_whom = author.why_running(run, at)
        if by_whom is not None:
            raise WrongRunState(f"run {run_id!r} is running {by_whom}")
    return run


def _run_finished(event: RunFinished, author: Author) -> Write:
    error = None if event.error is None else storable(in_short(event.error))
    run_id, status = event.run_id, event.status
    values = _ended(status, None if status == "paused" else event.at)
    values.update(failed_node=event.failed_node, error=error)

    def write(known: Known) -> Steps:
        fence = known.fences.get(run_id) or (yield from _fence(known, run_id, author))
        if not (yield _FINISH_OWN(values, run_id=run_id, fence=fence)):
            raise _taken_over(run_id)
        del known.fences[run_id]

    return write


def run_finished(
    run_id: str,
    at: datetime,
    status: RunStatus,
    sink_outputs: Content | None,
    failed_node: str | None = None,
    error: str | None = None,
) -> Write:
    """How a run ended, whoever began it."""

    def write(known: Known) -> Steps:
        values = _ended(status, None if status in ("paused", "running") else at)
        values.update(failed_node=failed_node, error=error)
        if sink_outputs is not None:
            yield from _keep(known, sink_outputs)
            values["sink_outputs"] = sink_outputs.payload_hash
        if not (yield _FINISH(values, run_id=run_id)):
            raise _no_run(run_id)
        known.fences.pop(run_id, None)

    return write


def run_status(run_id: str, status: RunStatus) -> Write:
    def write(_: Known) -> Steps:
        if not (yield _SET_STATUS({"status": status}, run_id=run_id)):
            raise _no_run(run_id)

    return write


def run_pinned(run_id: str, pinned: bool) -> Write:
    """Whether a run stays when others are removed."""

    def write(_: Known) -> Steps:
        if not (yield _PIN({"pinned": pinned}, run_id=run_id)):
            raise _no_run(run_id)

    return write


def heartbeat(author: Author, at: datetime) -> Write:
    """Says of all runs of this owner that it is alive, and notices when one is not its any more."""

    def write(known: Known) -> Steps:
        own = yield _BEAT({"heartbeat_at": at}, owner=author.owner, status="running")
        if own < len(known.fences):
            known.fences.clear()

    return write


def abandoned(author: Author) -> Write:
    """Nobody is at work on the runs of this owner any more."""

    def write(known: Known) -> Steps:
        yield _ABANDON({"owner": None, "heartbeat_at": None}, owner=author.owner, status="running")
        known.fences.clear()

    return write


def _ended(status: RunStatus, at: datetime | None) -> dict[str, Any]:
    return {
        "status": status,
        "finished_at": at,
        "failed_node": None,
        "error": None,
        "sink_outputs": None,
    }


def _fence(
    known: Known, run_id: str, author: Author, *, only_own: bool = True
) -> Generator[Any, Any, int]:
    """The fence of a run, asked of the database, where it is still this owner's."""
    (run,) = (yield _RUN_BY_ID(run_id=run_id)) or (None,)
    if run is None:
        raise _no_run(run_id)
    if only_own and run.owner != author.owner:
        raise _taken_over(run_id)
    known.fences[run_id] = run.fence
    fence: int = run.fence
    return fence


def _no_run(run_id: str) -> RunNotFound:
    return RunNotFound(f"there is no run {run_id!r} in this store")


def _taken_over(run_id: str) -> WrongRunState:
    return WrongRunState(
        f"run {run_id!r} was taken over by another process, which goes on with it; what happens "
        "here is not recorded any more"
    )


# --- graphs and payloads ----------------------------------------------------------------------


class _Graph(NamedTuple):
    graph_hash: str
    nodes: list[str]
    edges: list[tuple[str, str, str | None, str]]
    code_hashes: dict[str, str]
    composites: list[str]


_graphs: OrderedDict[int, tuple[Plan, _Graph]] = OrderedDict()
"""Of the plans that were run last, by their identity, which stays theirs while they are here."""


def _graph_of(plan: Plan) -> _Graph:
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
    graph = _Graph(sha256(text.encode()).hexdigest(), nodes, edges, hashes, composites)
    _graphs[id(plan)] = (plan, graph)
    if len(_graphs) > 64:
        _graphs.popitem(last=False)
    return graph


def _keep_graph(known: Known, graph: _Graph | None) -> Steps:
    if graph is not None and not known.has(graph.graph_hash):
        yield _GRAPH(**graph._asdict())


def _keep(known: Known, content: Content) -> Steps:
    if not known.has(content.payload_hash):
        yield _PAYLOAD(**content._asdict())


# --- nodes ----------------------------------------------------------------------------------


def _node_started(event: NodeStarted, author: Author) -> Write:
    node = event.node
    return node_started(
        event.run_id,
        event.at,
        node.label,
        None,
        node.is_source,
        node.is_sink,
        author,
        event.attempt,
    )


def node_started(
    run_id: str,
    at: datetime,
    label: str,
    given: Content | None,
    is_source: bool,
    is_sink: bool,
    author: Author,
    number: int | None = None,
) -> Write:
    """An attempt begins: of this number, or of the next one."""
    given_hash = None if given is None else given.payload_hash

    def write(known: Known) -> Steps:
        if given is not None:
            yield from _keep(known, given)
        fence = known.fences.get(run_id)
        if fence is None:
            fence = yield from _fence(known, run_id, author, only_own=number is not None)
        node_id = yield _START(
            run_id=run_id,
            node_label=label,
            status="running",
            is_source=is_source,
            is_sink=is_sink,
            started_at=at,
            input_payload=given_hash,
        )
        attempt = 1 if number is None else number
        if node_id is None:
            (node,) = yield _NODE_BY_LABEL(run_id=run_id, node_label=label)
            node_id = node.node_execution_id
            before = [each.number for each in (yield _ATTEMPTS_OF(node_execution_id=node_id))]
            attempt = max(before, default=0) + 1 if number is None else number
            if attempt in before:
                raise WrongRunState(
                    f"attempt {attempt} of {label!r} in run {run_id!r} has begun already"
                )
            yield from _end_attempts(node_id, "cancelled", at, None)
            values = _outcome("running", None)
            yield _START_AGAIN(
                {**values, "started_at": at, "input_payload": given_hash}, node_execution_id=node_id
            )
            yield _FORGET_EDGES(run_id=run_id, upstream_label=label)
        attempt_id = yield _ATTEMPT(
            node_execution_id=node_id,
            number=attempt,
            fence=fence,
            owner=author.owner,
            status="running",
            started_at=at,
        )
        known.running[run_id, label] = _Attempt(node_id, attempt_id, attempt)

    return write


def _attempt_failed(event: AttemptFailed, _: Author) -> Write:
    run_id, label = event.run_id, event.node.label
    error = _traceback(event.error)

    def write(known: Known) -> Steps:
        attempt = yield from _running(known, run_id, label, event.attempt)
        if attempt is None:
            raise _stale(run_id, label, event.attempt)
        yield from _fail_attempt(run_id, label, attempt, event.at, error, event.again_at)
        del known.running[run_id, label]

    return write


def _node_completed(event: NodeCompleted, _: Author) -> Write:
    node = event.node
    content = payload_of(event.value, node.returns, f"what {node.label} returned")
    return node_completed(
        event.run_id, event.at, node.label, content, _edges_of(node), event.attempt
    )


def node_completed(
    run_id: str,
    at: datetime,
    label: str,
    output: Content,
    edges: Sequence[EdgeTold],
    number: int | None = None,
) -> Write:
    """The attempt of this number, or whichever is running, has returned."""

    def write(known: Known) -> Steps:
        attempt = yield from _running(known, run_id, label, number)
        if attempt is None:
            if number is None:
                raise WrongRunState(f"{label!r} has not been started in run {run_id!r}")
            raise _stale(run_id, label, number)
        yield from _keep(known, output)
        ended = {"status": "completed", "finished_at": at}
        if not (yield _END_ATTEMPT(ended, node_attempt_id=attempt.attempt_id, status="running")):
            raise _stale(run_id, label, attempt.number)
        yield _COMPLETE(
            {"status": "completed", "finished_at": at, "output_payload": output.payload_hash},
            node_execution_id=attempt.node_id,
        )
        yield from _keep_edges(run_id, at, label, edges)
        del known.running[run_id, label]

    return write


def _node_skipped(event: NodeSkipped, _: Author) -> Write:
    node = event.node
    content: Content | str
    if event.payload_hash is None:
        content = payload_of(event.value, node.returns, f"the output of {node.label}")
    else:
        content = event.payload_hash
    return node_skipped(
        event.run_id,
        event.at,
        node.label,
        content,
        _edges_of(node),
        node.is_source,
        node.is_sink,
        event.reused_from,
    )


def node_skipped(
    run_id: str,
    at: datetime,
    label: str,
    output: Content | str,
    edges: Sequence[EdgeTold] = (),
    is_source: bool = False,
    is_sink: bool = False,
    reused_from: str | None = None,
) -> Write:
    """A node was not run; its output is new here, or known by its hash."""

    def write(known: Known) -> Steps:
        output_hash = output
        if isinstance(output, Content):
            output_hash = output.payload_hash
            yield from _keep(known, output)
        values = _outcome("skipped", at)
        values.update(output_payload=output_hash, reused_from=reused_from)
        yield from _put_node(run_id, label, is_source, is_sink, values)
        yield _FORGET_EDGES(run_id=run_id, upstream_label=label)
        yield from _keep_edges(run_id, at, label, edges)

    return write


def _node_failed(event: NodeFailed, _: Author) -> Write:
    node = event.node
    return node_failed(
        event.run_id,
        event.at,
        node.label,
        _traceback(event.error),
        node.is_source,
        node.is_sink,
        event.attempt,
    )


def node_failed(
    run_id: str,
    at: datetime,
    label: str,
    error: str,
    is_source: bool = False,
    is_sink: bool = False,
    number: int | None = None,
) -> Write:
    """The attempt of this number, or whichever is running, failed; or the node never started."""

    def write(known: Known) -> Steps:
        attempt = yield from _running(known, run_id, label, number)
        if attempt is not None:
            yield from _fail_attempt(run_id, label, attempt, at, error, None)
            del known.running[run_id, label]
        elif number is not None:
            (node,) = (yield _NODE_BY_LABEL(run_id=run_id, node_label=label)) or (None,)
            if node is not None:
                attempts = yield _ATTEMPTS_OF(node_execution_id=node.node_execution_id)
                if any(each.number >= number for each in attempts):
                    raise _stale(run_id, label, number)
        values = {**_outcome("failed", at), "error": error}
        yield from _put_node(run_id, label, is_source, is_sink, values)

    return write


def _nodes_ended(event: NodesEnded, author: Author) -> Write:
    run_id, status = event.run_id, event.status
    at = None if status == "pending" else event.at

    def write(known: Known) -> Steps:
        yield from _fence(known, run_id, author)
        for node in event.nodes:
            known.running.pop((run_id, node.label), None)
            node_id = yield from _put_node(
                run_id, node.label, node.is_source, node.is_sink, _outcome(status, at)
            )
            if node_id is not None:
                yield from _end_attempts(node_id, "cancelled", event.at, None)

    return write


def _node_expanded(_: NodeExpanded, __: Author) -> Write:
    """The elements are runs of their own, which have their rows when they start."""
    return _nothing


def _nothing(_: Known) -> Steps:
    yield from ()


# --- parts of them ----------------------------------------------------------------------------


def _running(
    known: Known, run_id: str, label: str, number: int | None
) -> Generator[Any, Any, _Attempt | None]:
    """The attempt of a node that is running, if it is the one of this number."""
    attempt = known.running.get((run_id, label))
    if attempt is None:
        (node,) = (yield _NODE_BY_LABEL(run_id=run_id, node_label=label)) or (None,)
        if node is None:
            return None
        node_id = node.node_execution_id
        found = [
            each
            for each in (yield _ATTEMPTS_OF(node_execution_id=node_id))
            if each.status == "running"
        ]
        if not found:
            return None
        newest = max(found, key=lambda each: each.number)
        attempt = _Attempt(node_id, newest.node_attempt_id, newest.number)
        known.running[run_id, label] = attempt
    return attempt if number in (None, attempt.number) else None


def _stale(run_id: str, label: str, number: int) -> WrongRunState:
    return WrongRunState(
        f"attempt {number} of {label!r} in run {run_id!r} is not running any more (it was ended, "
        "or another one has taken its place); nothing was changed"
    )


def _fail_attempt(
    run_id: str,
    label: str,
    attempt: _Attempt,
    at: datetime,
    error: str,
    again_at: datetime | None,
) -> Steps:
    values = {"status": "failed", "finished_at": at, "error": error, "again_at": again_at}
    if not (yield _FAIL_ATTEMPT(values, node_attempt_id=attempt.attempt_id, status="running")):
        raise _stale(run_id, label, attempt.number)


def _end_attempts(node_id: int, status: NodeStatus, at: datetime, error: str | None) -> Steps:
    yield _END_ATTEMPTS(
        {"status": status, "finished_at": at, "error": error},
        node_execution_id=node_id,
        status="running",
    )


def _outcome(status: NodeStatus, at: datetime | None) -> dict[str, Any]:
    return {
        "status": status,
        "finished_at": at,
        "error": None,
        "output_payload": None,
        "reused_from": None,
    }


def _put_node(
    run_id: str, label: str, is_source: bool, is_sink: bool, outcome: dict[str, Any]
) -> Generator[Any, Any, int | None]:
    """Writes how a node ended, which may never have started; gives its key if it was there."""
    made = yield _NODE(
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
    (node,) = yield _NODE_BY_LABEL(run_id=run_id, node_label=label)
    node_id: int = node.node_execution_id
    yield _END_NODE(outcome, node_execution_id=node_id)
    return node_id


def _edges_of(node: NodePlan) -> list[EdgeTold]:
    return [(edge.downstream, edge.param, edge.rule) for edge in node.edges]


def _keep_edges(run_id: str, at: datetime, label: str, edges: Iterable[EdgeTold]) -> Steps:
    rows = [
        {
            "run_id": run_id,
            "upstream_label": label,
            "downstream_label": downstream,
            "param": param,
            "rule": rule,
            "traversed_at": at,
        }
        for downstream, param, rule in edges
    ]
    if len(rows) == 1:
        yield _EDGE(**rows[0])
    elif rows:
        yield _EDGE.many(rows)


def _traceback(error: BaseException) -> str:
    return storable("".join(traceback.format_exception(error)))


_WRITES: Mapping[type[Any], Callable[[Any, Author], Write]] = {
    RunStarted: _run_started,
    RunResumed: _run_resumed,
    RunFinished: _run_finished,
    NodeStarted: _node_started,
    AttemptFailed: _attempt_failed,
    NodeCompleted: _node_completed,
    NodeSkipped: _node_skipped,
    NodeFailed: _node_failed,
    NodesEnded: _nodes_ended,
    NodeExpanded: _node_expanded,
}
