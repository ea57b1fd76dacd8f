"""Which rows does it make that a run begins, goes on, is looked after, or ends?"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from datetime import datetime
from typing import Any, Literal

from ..errors import RunTakenOver, WrongRunState
from ..events import DONE, Place, RunFinished, RunResumed, RunStarted, RunStatus, in_short
from ..values import storable
from .known import Author, Known, Steps, Write
from .parts import (
    Graph,
    OfRunOnly,
    ask_whose,
    end_attempts,
    fence_of,
    graph_of,
    keep_content,
    keep_graph,
    no_run,
    outcome_of,
    taken_over,
)
from .payloads import Content, GivenInputs, inputs_of
from .statements import (
    ABANDON,
    BEAT,
    BELOW,
    FINISH,
    FINISH_OWN,
    HOLD,
    LEAVE,
    NODES_OF,
    PIN,
    RUN,
    RUN_BY_ID,
    SET_STATUS,
    STOP_NODE,
    TAKE_OVER,
)
from .tables import DagRun


def of_run_started(event: RunStarted, author: Author) -> Write:
    return _run_begun(
        event.run_id,
        event.at,
        event.dag_nsref,
        inputs_of(event.inputs, event.plan),
        event.parent_run_id,
        author,
        graph=graph_of(event.plan),
        path=event.path,
        place=event.place,
        tenant=event.tenant,
        initiated_by=event.initiated_by,
        targets=event.targets,
        writes=event.writes,
        rows_to=event.rows_to,
        scheduled_at=event.scheduled_at,
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
    graph: Graph | None = None,
    path: str = "",
    place: Place | None = None,
    tenant: str | None = None,
    initiated_by: str | None = None,
    targets: Sequence[str] | None = None,
    writes: Sequence[str] | None = None,
    rows_to: str | None = None,
    scheduled_at: datetime | None = None,
) -> Write:
    def write(known: Known) -> Steps:
        if place is not None:
            yield from ask_whose(known, place.parent_run_id, author)
        yield from keep_content(known, given.content)
        yield from keep_graph(known, graph)
        yield RUN(
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
            scheduled_at=scheduled_at,
            targets=None if targets is None else list(targets),
            writes=None if writes is None else list(writes),
            rows_to=rows_to,
            owner=author.owner,
            heartbeat_at=at,
        )
        known.fences[run_id] = 1
        known.at_work.add(run_id)

    return OfRunOnly(write)


def of_run_resumed(event: RunResumed, author: Author) -> Write:
    run_id, at, graph = event.run_id, event.at, graph_of(event.plan)

    def write(known: Known) -> Steps:
        (found,) = (yield RUN_BY_ID(run_id=run_id)) or (None,)
        if found is not None and event.fence not in (None, found.fence):
            raise _just_taken(run_id)
        run = _resumable(found, run_id, at, author)
        if event.place is None:
            yield from _end_below(known, run, at)
        else:
            yield from ask_whose(known, event.place.parent_run_id, author)
        yield from keep_graph(known, graph)
        taken = yield TAKE_OVER(
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
    for child in (yield BELOW(parent_run_id=run.run_id, status="running")):
        if child.parent_label is None and child.owner != run.owner:
            continue
        yield from _end_below(known, child, at)
        taken = yield TAKE_OVER(
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
    for node in (yield NODES_OF(run_id=run_id, status="running")):
        yield from end_attempts(node.node_execution_id, "cancelled", at, None)
        # not if a commit that was under way when its process died has completed it just now
        yield STOP_NODE(
            outcome_of(status, ended), node_execution_id=node.node_execution_id, status="running"
        )
        known.running.pop((run_id, node.node_label), None)


def _done(run_id: str) -> Generator[Any, Any, set[str]]:
    """The nodes of a run that need not be run."""
    done: set[str] = set()
    for status in DONE:
        done |= {each.node_label for each in (yield NODES_OF(run_id=run_id, status=status))}
    return done


def _just_taken(run_id: str) -> RunTakenOver:
    return RunTakenOver(f"run {run_id!r} has just been taken over by somebody else")


def _resumable(run: DagRun | None, run_id: str, at: datetime, author: Author) -> DagRun:
    if run is None:
        raise no_run(run_id)
    if run.status == "completed":
        raise WrongRunState(f"run {run_id!r} completed at {run.finished_at}; nothing is left to do")
    if run.status == "running":
        by_whom = author.why_running(run, at)
        if by_whom is not None:
            raise WrongRunState(f"run {run_id!r} is running {by_whom}")
    return run


def of_run_finished(event: RunFinished, author: Author) -> Write:
    error = None if event.error is None else storable(in_short(event.error))
    run_id, status = event.run_id, event.status
    values = _ended(status, None if status == "paused" else event.at)
    values.update(failed_node=event.failed_node, error=error)

    def write(known: Known) -> Steps:
        fence = known.fences.get(run_id) or (yield from fence_of(known, run_id, author))
        if not (yield FINISH_OWN(values, run_id=run_id, fence=fence)):
            raise taken_over(run_id)
        del known.fences[run_id]
        known.at_work.discard(run_id)
        if status == "completed" and fence > 1:
            yield from _end_paused(run_id, event.at)

    return OfRunOnly(write)


def _end_paused(run_id: str, at: datetime) -> Steps:
    """Ends what had paused inside of a run, and whose place others took after a restart."""
    for child in (yield BELOW(parent_run_id=run_id, status="paused")):
        if child.parent_label is not None:
            yield from _end_paused(child.run_id, at)
            yield FINISH(_ended("cancelled", at), run_id=child.run_id)


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
            yield from keep_content(known, sink_outputs)
            values["sink_outputs"] = sink_outputs.payload_hash
        if not (yield FINISH(values, run_id=run_id)):
            raise no_run(run_id)
        known.fences.pop(run_id, None)
        known.at_work.discard(run_id)

    return write


def run_status(run_id: str, status: RunStatus) -> Write:
    def write(_: Known) -> Steps:
        if not (yield SET_STATUS({"status": status}, run_id=run_id)):
            raise no_run(run_id)

    return write


def run_pinned(run_id: str, pinned: bool) -> Write:
    """Whether a run stays when others are removed."""

    def write(_: Known) -> Steps:
        if not (yield PIN({"pinned": pinned}, run_id=run_id)):
            raise no_run(run_id)

    return write


def heartbeat(author: Author, at: datetime) -> Write:
    """Says of all runs of this owner that it is alive, and notices when one is not its any more.

    Of runs whose end could not be recorded it says that nobody is at work on them.
    """

    def write(known: Known) -> Steps:
        nobody = {"owner": None, "heartbeat_at": None}
        for run_id in tuple(author.broken):
            yield LEAVE(nobody, run_id=run_id, owner=author.owner, status="running")
            known.at_work.discard(run_id)
        own = yield BEAT({"heartbeat_at": at}, owner=author.owner, status="running")
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
        if not (yield HOLD({"status": "running"}, run_id=run_id, fence=fence)):
            raise taken_over(run_id)


def abandoned(author: Author) -> Write:
    """Nobody is at work on the runs of this owner any more."""

    def write(known: Known) -> Steps:
        yield ABANDON({"owner": None, "heartbeat_at": None}, owner=author.owner, status="running")
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
