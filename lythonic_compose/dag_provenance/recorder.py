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
from typing import Any, Literal, NamedTuple, TypeAlias

from lythonic_state import PreparedDelete, PreparedInsert, PreparedSelect, PreparedUpdate

from .. import failpoints
from ..errors import RunNotFound, RunTakenOver, WrongRunState
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
    Place,
    RunFinished,
    RunResumed,
    RunStarted,
    RunStatus,
    in_short,
)
from ..outputs.elsewhere import SavedElsewhere
from ..outputs.found import Written
from ..outputs.saving import Origin, save
from ..plan import EdgeRule, NodePlan, Plan
from ..values import storable
from .held import HeldRows
from .liveness import owner_of_this_process, why_alive
from .payloads import Content, GivenInputs, inputs_of, payload_of
from .tables import (
    DagRun,
    EdgeTraversal,
    GraphSnapshot,
    NodeAttempt,
    NodeExecution,
    Payload,
    PayloadRows,
    RowOrigin,
    span_of,
)

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
    """Of the runs that are running here, as far as it is sure that they still are."""
    at_work: set[str] = field(default_factory=set[str])
    """The runs that were begun or resumed here and have not ended: not what is sure, but what it is
    said of that its owner is alive."""
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
    write = _WRITES[type(event)](event, author)
    if failpoints.armed is None or not failpoints.armed.endswith(".inside"):
        return write
    return together(write, _inside(event))


def together(*writes: Write) -> Write:
    """Several writes as one."""

    def write(known: Known) -> Steps:
        for each in writes:
            yield from each(known)

    return write


def _inside(event: Event) -> Write:
    def write(_: Known) -> Steps:
        failpoints.reached_with([event], "inside")
        yield from ()

    return write


# --- the statements -------------------------------------------------------------------------

_PAYLOAD = PreparedInsert(
    Payload, "payload_hash", "type_name", "restorable", "text", on_conflict="ignore"
)
_PAYLOAD_ROWS = PreparedInsert(PayloadRows, "payload_hash", *HeldRows._fields)
_GRAPH = PreparedInsert(
    GraphSnapshot,
    *("graph_hash", "nodes", "edges", "code_hashes", "composites"),
    on_conflict="ignore",
)
_RUN = PreparedInsert(
    DagRun,
    *("run_id", "dag_nsref", "path", "parent_run_id", "parent_label", "map_key", "branch"),
    *("status", "started_at", "source_inputs", "withheld", "graph_hash", "tenant", "initiated_by"),
    *("targets", "writes", "rows_to", "owner", "heartbeat_at"),
)
_RUN_BY_ID = PreparedSelect(DagRun, "run_id")
_BELOW = PreparedSelect(DagRun, "parent_run_id", "status")
_SET_STATUS = PreparedUpdate(DagRun, ["status"], ["run_id"])
_HOLD = PreparedUpdate(DagRun, ["status"], ["run_id", "fence"])
_PIN = PreparedUpdate(DagRun, ["pinned"], ["run_id"])
_ENDING = ["status", "finished_at", "failed_node", "error", "sink_outputs"]
_FINISH = PreparedUpdate(DagRun, _ENDING, ["run_id"])
_FINISH_OWN = PreparedUpdate(DagRun, _ENDING, ["run_id", "fence"])
_TAKE_OVER = PreparedUpdate(
    DagRun,
    [*_ENDING, "graph_hash", "writes", "rows_to", "owner", "fence", "heartbeat_at"],
    ["run_id", "fence"],
)
_ABANDON = PreparedUpdate(DagRun, ["owner", "heartbeat_at"], ["owner", "status"])
_LEAVE = PreparedUpdate(DagRun, ["owner", "heartbeat_at"], ["run_id", "owner", "status"])
_BEAT = PreparedUpdate(DagRun, ["heartbeat_at"], ["owner", "status"])

_NODE = PreparedInsert(
    NodeExecution,
    *("run_id", "node_label", "status", "is_source", "is_sink", "started_at", "finished_at"),
    *("error", "input_payload", "output_payload", "reused_from"),
    on_conflict="ignore",
)
_START = PreparedInsert(
    NodeExecution,
    *("run_id", "node_label", "is_source", "is_sink", "started_at", "input_payload"),
    always={"status": "running"},
    on_conflict="ignore",
)
_WHOLE_NODE = PreparedInsert(
    NodeExecution,
    *("run_id", "node_label", "is_source", "is_sink", "started_at", "finished_at"),
    *("input_payload", "output_payload"),
    always={"status": "completed"},
    on_conflict="ignore",
)
_NODE_BY_LABEL = PreparedSelect(NodeExecution, "run_id", "node_label")
_NODES_OF = PreparedSelect(NodeExecution, "run_id", "status")
_OUTCOME = ["status", "finished_at", "error", "output_payload", "reused_from"]
_END_NODE = PreparedUpdate(NodeExecution, _OUTCOME, ["node_execution_id"])
_STOP_NODE = PreparedUpdate(NodeExecution, _OUTCOME, ["node_execution_id", "status"])
_COMPLETE = PreparedUpdate(
    NodeExecution,
    ["finished_at", "output_payload"],
    ["node_execution_id"],
    always={"status": "completed"},
)
_START_AGAIN = PreparedUpdate(
    NodeExecution, [*_OUTCOME, "started_at", "input_payload"], ["node_execution_id"]
)

_ATTEMPT = PreparedInsert(
    NodeAttempt,
    *("node_execution_id", "number", "fence", "owner", "started_at"),
    always={"status": "running"},
)
_WHOLE_ATTEMPT = PreparedInsert(
    NodeAttempt,
    *("node_execution_id", "number", "fence", "owner", "started_at", "finished_at"),
    always={"status": "completed"},
)
_ATTEMPTS_OF = PreparedSelect(NodeAttempt, "node_execution_id")
_COMPLETE_ATTEMPT = PreparedUpdate(
    NodeAttempt,
    ["finished_at"],
    ["node_attempt_id"],
    always={"status": "completed"},
    only={"status": "running"},
)
_REVIVE = PreparedUpdate(NodeAttempt, ["status"], ["node_execution_id", "number"])
_KEEP_OUTPUT = PreparedUpdate(NodeExecution, ["output_payload"], ["node_execution_id"])
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
_ORIGIN = PreparedInsert(
    RowOrigin, "node_attempt_id", "table_name", "first_key", "last_key", "span", "key_text"
)
_ORIGIN_OF_TEXT = PreparedSelect(RowOrigin, "node_attempt_id", "table_name", "key_text")

_FORGET_EDGES = PreparedDelete(EdgeTraversal, "run_id", "upstream_label")

# --- runs -----------------------------------------------------------------------------------


def _run_started(event: RunStarted, author: Author) -> Write:
    return _run_begun(
        event.run_id,
        event.at,
        event.dag_nsref,
        inputs_of(event.inputs, event.plan),
        event.parent_run_id,
        author,
        graph=_graph_of(event.plan),
        path=event.path,
        place=event.place,
        tenant=event.tenant,
        initiated_by=event.initiated_by,
        targets=event.targets,
        writes=event.writes,
        rows_to=event.rows_to,
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
    return _run_begun(run_id, at, dag_nsref, given, parent_run_id, author)


def _run_begun(
    run_id: str,
    at: datetime,
    dag_nsref: str | None,
    given: GivenInputs,
    parent_run_id: str | None,
    author: Author,
    *,
    graph: _Graph | None = None,
    path: str = "",
    place: Place | None = None,
    tenant: str | None = None,
    initiated_by: str | None = None,
    targets: Sequence[str] | None = None,
    writes: Sequence[str] | None = None,
    rows_to: str | None = None,
) -> Write:
    def write(known: Known) -> Steps:
        if place is not None:
            yield from _own(known, place.parent_run_id, author)
        yield from _keep(known, given.content)
        yield from _keep_graph(known, graph)
        yield _RUN(
            run_id=run_id,
            dag_nsref=dag_nsref,
            path=path,
            parent_run_id=parent_run_id,
            parent_label=None if place is None else place.label,
            map_key="" if place is None else place.key,
            branch=None if place is None else place.branch,
            status="running",
            started_at=at,
            source_inputs=given.content.payload_hash,
            withheld=given.withheld,
            graph_hash=None if graph is None else graph.graph_hash,
            tenant=tenant,
            initiated_by=initiated_by,
            targets=None if targets is None else list(targets),
            writes=None if writes is None else list(writes),
            rows_to=rows_to,
            owner=author.owner,
            heartbeat_at=at,
        )
        known.fences[run_id] = 1
        known.at_work.add(run_id)

    return _OfRunOnly(write)


def _run_resumed(event: RunResumed, author: Author) -> Write:
    run_id, at, graph = event.run_id, event.at, _graph_of(event.plan)

    def write(known: Known) -> Steps:
        (found,) = (yield _RUN_BY_ID(run_id=run_id)) or (None,)
        if found is not None and event.fence not in (None, found.fence):
            raise _just_taken(run_id)
        run = _resumable(found, run_id, at, author)
        if event.place is None:
            yield from _end_below(known, run, at)
        else:
            yield from _own(known, event.place.parent_run_id, author)
        yield from _keep_graph(known, graph)
        taken = yield _TAKE_OVER(
            {
                **_ended("running", None),
                "graph_hash": graph.graph_hash,
                "writes": None if event.writes is None else list(event.writes),
                "rows_to": event.rows_to,
                "owner": author.owner,
                "fence": run.fence + 1,
                "heartbeat_at": at,
            },
            run_id=run_id,
            fence=run.fence,
        )
        if not taken:
            raise _just_taken(run_id)
        yield from _end_running_nodes(known, run_id, at, "pending")
        if event.completed is not None and (yield from _done(run_id)) != event.completed:
            raise _just_taken(run_id)
        known.fences[run_id] = run.fence + 1
        known.at_work.add(run_id)
        author.broken.discard(run_id)

    return write


def _end_below(known: Known, run: DagRun, at: datetime) -> Steps:
    """Ends what an owner who is gone has left running inside of a run, so that it can tell of it no
    more should it come back. Runs that its nodes only began are ended if they were its own."""
    for child in (yield _BELOW(parent_run_id=run.run_id, status="running")):
        if child.parent_label is None and child.owner != run.owner:
            continue
        yield from _end_below(known, child, at)
        taken = yield _TAKE_OVER(
            {
                **_ended("cancelled", at),
                "graph_hash": child.graph_hash,
                "writes": child.writes,
                "rows_to": child.rows_to,
                "owner": None,
                "fence": child.fence + 1,
                "heartbeat_at": None,
            },
            run_id=child.run_id,
            fence=child.fence,
        )
        if taken:
            yield from _end_running_nodes(known, child.run_id, at, "cancelled")


def _end_running_nodes(
    known: Known, run_id: str, at: datetime, status: Literal["pending", "cancelled"]
) -> Steps:
    """Whatever becomes of a node: its attempt that is running can end nothing any more."""
    ended = None if status == "pending" else at
    for node in (yield _NODES_OF(run_id=run_id, status="running")):
        yield from _end_attempts(node.node_execution_id, "cancelled", at, None)
        # not if a commit that was under way when its process died has completed it just now
        yield _STOP_NODE(
            _outcome(status, ended), node_execution_id=node.node_execution_id, status="running"
        )
        known.running.pop((run_id, node.node_label), None)


def _done(run_id: str) -> Generator[Any, Any, set[str]]:
    """The nodes of a run that need not be run."""
    done: set[str] = set()
    for status in ("completed", "skipped"):
        done |= {each.node_label for each in (yield _NODES_OF(run_id=run_id, status=status))}
    return done


def _just_taken(run_id: str) -> RunTakenOver:
    return RunTakenOver(f"run {run_id!r} has just been taken over by somebody else")


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
        known.at_work.discard(run_id)
        if status == "completed" and fence > 1:
            yield from _end_paused(run_id, event.at)

    return _OfRunOnly(write)


def _end_paused(run_id: str, at: datetime) -> Steps:
    """Ends what had paused inside of a run, and whose place others took after a restart."""
    for child in (yield _BELOW(parent_run_id=run_id, status="paused")):
        if child.parent_label is not None:
            yield from _end_paused(child.run_id, at)
            yield _FINISH(_ended("cancelled", at), run_id=child.run_id)


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
        known.at_work.discard(run_id)

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
    """Says of all runs of this owner that it is alive, and notices when one is not its any more.

    Of runs whose end could not be recorded it says that nobody is at work on them.
    """

    def write(known: Known) -> Steps:
        nobody = {"owner": None, "heartbeat_at": None}
        for run_id in tuple(author.broken):
            yield _LEAVE(nobody, run_id=run_id, owner=author.owner, status="running")
            known.at_work.discard(run_id)
        own = yield _BEAT({"heartbeat_at": at}, owner=author.owner, status="running")
        if own < len(known.at_work):
            known.fences.clear()

    return write


def hold(known: Known) -> Steps:
    """Makes sure that the runs of this owner are so still, and that nobody takes them over before
    this transaction is committed.

    Raises:
        RunTakenOver: somebody has.
    """
    for run_id, fence in tuple(known.fences.items()):
        if not (yield _HOLD({"status": "running"}, run_id=run_id, fence=fence)):
            raise _taken_over(run_id)


def abandoned(author: Author) -> Write:
    """Nobody is at work on the runs of this owner any more."""

    def write(known: Known) -> Steps:
        yield _ABANDON({"owner": None, "heartbeat_at": None}, owner=author.owner, status="running")
        known.fences.clear()
        known.at_work.clear()

    return write


def _ended(status: RunStatus, at: datetime | None) -> dict[str, Any]:
    return {
        "status": status,
        "finished_at": at,
        "failed_node": None,
        "error": None,
        "sink_outputs": None,
    }


def _own(known: Known, run_id: str, author: Author) -> Steps:
    """Raises if a run is not this owner's any more."""
    if run_id not in known.fences:
        yield from _fence(known, run_id, author)


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


def _taken_over(run_id: str) -> RunTakenOver:
    return RunTakenOver(
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
        payload_hash, type_name, restorable, text, rows = content
        made = yield _PAYLOAD(
            payload_hash=payload_hash, type_name=type_name, restorable=restorable, text=text
        )
        if made and rows:
            yield _PAYLOAD_ROWS.many(
                {"payload_hash": payload_hash, **each._asdict()} for each in rows
            )


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
    return _Start(run_id, at, label, given, is_source, is_sink, author, number)


@dataclass(eq=False, slots=True)
class _Start:
    run_id: str
    at: datetime
    label: str
    given: Content | None
    is_source: bool
    is_sink: bool
    author: Author
    number: int | None

    def __call__(self, known: Known) -> Steps:
        run_id, at, label, given, number = self.run_id, self.at, self.label, self.given, self.number
        if given is not None:
            yield from _keep(known, given)
        fence = yield from self.fence(known)
        node_id = yield _START(
            run_id=run_id,
            node_label=label,
            is_source=self.is_source,
            is_sink=self.is_sink,
            started_at=at,
            input_payload=None if given is None else given.payload_hash,
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
            values.update(
                started_at=at, input_payload=None if given is None else given.payload_hash
            )
            yield _START_AGAIN(values, node_execution_id=node_id)
            yield _FORGET_EDGES(run_id=run_id, upstream_label=label)
        attempt_id = yield _ATTEMPT(
            node_execution_id=node_id,
            number=attempt,
            fence=fence,
            owner=self.author.owner,
            started_at=at,
        )
        known.running[run_id, label] = _Attempt(node_id, attempt_id, attempt)

    def fence(self, known: Known) -> Generator[Any, Any, int]:
        fence = known.fences.get(self.run_id)
        if fence is None:
            own = self.number is not None
            fence = yield from _fence(known, self.run_id, self.author, only_own=own)
        return fence


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
    node, written = event.node, event.written
    if event.elsewhere is not None:
        return _completed_elsewhere(event, event.elsewhere)

    def content() -> Content:
        what = f"what {node.label} returned"
        return payload_of(event.value, node.returns, what, has_origins=written is not None)

    return node_completed(
        event.run_id,
        event.at,
        node.label,
        content() if written is None else content,  # which has the keys of its rows then
        _edges_of(node),
        event.attempt,
        None if written is None else partial(_save, written),
    )


def _completed_elsewhere(event: NodeCompleted, saved: SavedElsewhere) -> Write:
    """The rows are there, and so is the value; only where the rows came from is copied."""
    node = event.node
    content: Content | str
    if saved.payload_hash is None:
        content = payload_of(event.value, node.returns, f"what {node.label} returned")
    else:
        content = saved.payload_hash

    def copy_origins(attempt_id: int) -> Steps:
        for origins in saved.origins():
            yield _ORIGIN.many(_origin_rows(attempt_id, origins))

    return node_completed(
        event.run_id,
        event.at,
        node.label,
        content,
        _edges_of(node),
        event.attempt,
        copy_origins,
        adopted=saved.adopted,
    )


def _origin_rows(attempt_id: int, origins: Iterable[Origin]) -> list[dict[str, Any]]:
    return [
        {
            "node_attempt_id": attempt_id,
            "table_name": name,
            "first_key": first,
            "last_key": last,
            "span": None if first is None or last is None else span_of(first, last),
            "key_text": text,
        }
        for name, first, last, text in origins
    ]


def _save(written: Written, attempt_id: int) -> Steps:
    def keep(origins: list[Origin]) -> Any:
        return _ORIGIN.many(_origin_rows(attempt_id, origins))

    def kept(origin: Origin) -> Any:
        return _ORIGIN_OF_TEXT(
            node_attempt_id=attempt_id, table_name=origin.table_name, key_text=origin.key_text
        )

    yield from save(written, keep, kept)


def node_completed(
    run_id: str,
    at: datetime,
    label: str,
    output: Content | str | Callable[[], Content],
    edges: Sequence[EdgeTold],
    number: int | None = None,
    save_rows: Callable[[int], Steps] | None = None,
    *,
    adopted: bool = False,
) -> Write:
    """The attempt of this number, or whichever is running, has returned.

    What it returned may be made once its rows are saved, for which the key of the attempt is given.
    An attempt that is `adopted` had returned before its process ended, and was ended since.
    """
    completion = _Completion(run_id, at, label, output, edges, number, save_rows)
    if not adopted or number is None:
        return completion
    return together(partial(_run_on, run_id, label, number), completion)


def _run_on(run_id: str, label: str, number: int, _: Known) -> Steps:
    """Has an attempt run that was ended when its run was resumed."""
    (node,) = yield _NODE_BY_LABEL(run_id=run_id, node_label=label)
    yield _REVIVE({"status": "running"}, node_execution_id=node.node_execution_id, number=number)


def output_kept(run_id: str, label: str, number: int, output: Content) -> Write:
    """What a running attempt has returned, whose rows are about to be saved elsewhere."""

    def write(known: Known) -> Steps:
        attempt = yield from _running(known, run_id, label, number)
        if attempt is None:
            raise _stale(run_id, label, number)
        yield from _keep(known, output)
        yield _KEEP_OUTPUT(
            {"output_payload": output.payload_hash}, node_execution_id=attempt.node_id
        )

    return write


@dataclass(eq=False, slots=True)
class _Completion:
    run_id: str
    at: datetime
    label: str
    output: Content | str | Callable[[], Content]
    edges: Sequence[EdgeTold]
    number: int | None
    save_rows: Callable[[int], Steps] | None

    def __call__(self, known: Known) -> Steps:
        run_id, at, label, number, output = (
            self.run_id,
            self.at,
            self.label,
            self.number,
            self.output,
        )
        attempt = yield from _running(known, run_id, label, number)
        if attempt is None:
            if number is None:
                raise WrongRunState(f"{label!r} has not been started in run {run_id!r}")
            raise _stale(run_id, label, number)
        ended = yield _COMPLETE_ATTEMPT({"finished_at": at}, node_attempt_id=attempt.attempt_id)
        if not ended:
            raise _stale(run_id, label, attempt.number)
        if self.save_rows is not None:
            yield from self.save_rows(attempt.attempt_id)
        content = output() if callable(output) else output
        if isinstance(content, Content):
            yield from _keep(known, content)
            content = content.payload_hash
        yield _COMPLETE(
            {"finished_at": at, "output_payload": content},
            node_execution_id=attempt.node_id,
        )
        yield from _keep_edges(run_id, at, label, self.edges)
        del known.running[run_id, label]


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


# --- several of them --------------------------------------------------------------------------


def folded(writes: Iterable[Write]) -> list[Write]:
    """The same writes, for one transaction: of an attempt that begins and completes within them,
    each row is written once, as it is in the end.

    It is left as it is where something else comes in between that may be about nodes.
    """
    found: list[Write] = []
    begun: dict[tuple[str, str], int] = {}
    wholes: dict[tuple[str, str], _Whole] = {}

    def end_wholes() -> None:
        if wholes:
            found.append(partial(_end_wholes, tuple(wholes.values())))
            wholes.clear()

    for write in writes:
        if isinstance(write, _Start):
            if (write.run_id, write.label) in wholes:  # once more
                end_wholes()
            begun[write.run_id, write.label] = len(found)
        elif not isinstance(write, _OfRunOnly):
            if isinstance(write, _Completion):
                key = write.run_id, write.label
                place = begun.pop(key, None)
                whole = None if place is None else _Whole.of(found[place], write)
                if place is not None and whole is not None:
                    found[place] = whole.begin
                    wholes[key] = whole
                    continue
            end_wholes()
            begun.clear()
        found.append(write)
    end_wholes()
    return found


@dataclass(eq=False, slots=True)
class _OfRunOnly:
    """A write that does nothing to nodes that have begun."""

    write: Write

    def __call__(self, known: Known) -> Steps:
        return self.write(known)


class _Whole:
    """An attempt from its beginning to its completion."""

    def __init__(self, start: _Start, completion: _Completion, output: Content) -> None:
        self.start = start
        self.completion = completion
        self._output = output
        self._node_id: int | None = None
        self._fence = 0

    @classmethod
    def of(cls, start: Write, completion: Write) -> _Whole | None:
        if not (isinstance(start, _Start) and isinstance(completion, _Completion)):
            return None
        output = completion.output
        if completion.save_rows is not None or not isinstance(output, Content):
            return None
        if start.number is None or start.number != completion.number:
            return None
        return cls(start, completion, output)

    @property
    def is_first(self) -> bool:
        """Whether the node was not there before; else start and completion are done as they are."""
        return self._node_id is not None

    def begin(self, known: Known) -> Steps:
        start, completion = self.start, self.completion
        if start.given is not None:
            yield from _keep(known, start.given)
        yield from _keep(known, self._output)
        self._fence = yield from start.fence(known)
        self._node_id = yield _WHOLE_NODE(
            run_id=start.run_id,
            node_label=start.label,
            is_source=start.is_source,
            is_sink=start.is_sink,
            started_at=start.at,
            finished_at=completion.at,
            input_payload=None if start.given is None else start.given.payload_hash,
            output_payload=self._output.payload_hash,
        )
        if self._node_id is None:
            yield from start(known)

    def attempt(self) -> dict[str, Any]:
        return {
            "node_execution_id": self._node_id,
            "number": self.start.number,
            "fence": self._fence,
            "owner": self.start.author.owner,
            "started_at": self.start.at,
            "finished_at": self.completion.at,
        }


def _end_wholes(wholes: Sequence[_Whole], known: Known) -> Steps:
    """What is left of attempts whose nodes are there: the rows of others, by one statement each."""
    attempts = [whole.attempt() for whole in wholes if whole.is_first]
    if attempts:
        yield _WHOLE_ATTEMPT.many(attempts)
    edges: list[dict[str, Any]] = []
    for whole in wholes:
        told = whole.completion
        if whole.is_first:
            edges += _edge_rows(told.run_id, told.at, told.label, told.edges)
            continue
        yield from _keep_edge_rows(edges)
        edges = []
        yield from told(known)
    yield from _keep_edge_rows(edges)


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
    return _keep_edge_rows(_edge_rows(run_id, at, label, edges))


def _edge_rows(
    run_id: str, at: datetime, label: str, edges: Iterable[EdgeTold]
) -> list[dict[str, Any]]:
    return [
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


def _keep_edge_rows(rows: Sequence[dict[str, Any]]) -> Steps:
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
