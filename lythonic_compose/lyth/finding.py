"""Which run is meant by what somebody typed, and which are asked for?

Runs are found here; nothing is shown, and nothing is changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal, TypeAlias

from lythonic_state import SyncConnection

from ..dag_provenance import DagProvenance, DagRun, NodeAttempt, NodeExecution
from ..dag_runner import utc_now
from ..errors import RunNotFound, enumerated
from .as_json import Attempts

Status: TypeAlias = Literal["running", "completed", "failed", "paused", "cancelled", "abandoned"]
NEWEST_FIRST = ["-started_at", "run_id"]


def run_meant(provenance: DagProvenance, text: str) -> DagRun:
    """The run of this id, or the only one whose id begins so; "last" is the newest.

    Raises:
        RunNotFound: there is none, or there are several.
    """
    with provenance.open() as conn:
        if text == "last":
            newest = DagRun.first(conn, parent_run_id=None, order_by=NEWEST_FIRST)
            if newest is None:
                raise RunNotFound("there is no run yet; `lyth run` begins one")
            return newest
        found = DagRun.first(conn, run_id=text)
        if found is not None:
            return found
        return _only_one(conn, text)


def _only_one(conn: SyncConnection, text: str) -> DagRun:
    if not text:
        raise RunNotFound("the id of a run is missing; `lyth runs` lists them")
    # whose runs stand inside of others is seldom meant
    outermost: dict[str, Any] = {"parent_run_id": None}
    for only in (outermost, dict[str, Any]()):
        found = DagRun.select(conn, startswith__run_id=text, limit=6, order_by=NEWEST_FIRST, **only)
        if len(found) == 1:
            return found[0]
        if found:
            ids = [run.run_id for run in found[:5]]
            more = " and more" if len(found) > 5 else ""
            raise RunNotFound(
                f"several runs begin with {text!r}: {enumerated(ids)}{more}; write more of the id"
            )
    raise RunNotFound(f"there is no run {text!r}; `lyth runs` lists them")


def runs_asked_for(
    provenance: DagProvenance,
    *,
    status: Status | None,
    dag: str | None,
    since: datetime | None,
    limit: int,
) -> list[DagRun]:
    """The newest runs first, without those inside of others."""
    only: dict[str, Any] = {"parent_run_id": None}
    if status is not None:
        only["status"] = "running" if status == "abandoned" else status
    if dag is not None:
        # a path that ends in a colon is a branch
        only["startswith__dag_nsref" if dag.endswith((":", ".")) else "dag_nsref"] = dag
    if since is not None:
        only["gte__started_at"] = since
    with provenance.open() as conn:
        if status in ("running", "abandoned"):
            found = DagRun.select(conn, order_by=NEWEST_FIRST, **only)
        else:
            return DagRun.select(conn, order_by=NEWEST_FIRST, limit=limit, **only)
    gone = abandoned_among(provenance, found)
    return [run for run in found if (run.run_id in gone) == (status == "abandoned")][:limit]


def abandoned_among(provenance: DagProvenance, runs: Sequence[DagRun]) -> set[str]:
    """The ids of those that have not ended, and whose process is gone."""
    now = utc_now()
    return {
        run.run_id
        for run in runs
        if run.status == "running" and provenance._why_running(run, now) is None
    }


def attempts_of(provenance: DagProvenance, run: DagRun) -> Attempts:
    """The attempts at the nodes of a run that is loaded, and of the runs inside of it."""
    found: dict[int, list[NodeAttempt]] = {}
    ids = [node.node_execution_id for node in all_nodes(run)]
    with provenance.open() as conn:
        for attempt in NodeAttempt.select(
            conn, node_execution_id=ids, order_by=["node_execution_id", "number"]
        ):
            found.setdefault(attempt.node_execution_id, []).append(attempt)
    return found


def all_runs(run: DagRun) -> list[DagRun]:
    """A run that is loaded, and all that are inside of it."""
    found = [run]
    for node in run.nodes.values():
        for part in (node.sub_dags or {}).values():
            found += all_runs(part)
    return found


def all_nodes(run: DagRun) -> list[NodeExecution]:
    """The nodes of these."""
    return [node for each in all_runs(run) for node in each.nodes.values()]
