"""What of the history is removed, and in which bites?

Runs go with all that is inside of them, in transactions of a bounded size, so that others may write
in between. Then the payloads and graphs go that no run refers to any more. A run that is running or
pinned stays, and so does one with such a run inside.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeVar

from lythonic_state import (
    ConstraintViolation,
    Expression,
    SyncConnection,
    checkpoint,
    col,
    count,
    free_space,
    select_columns,
    transaction,
)
from lythonic_state.fields import frozen

from ..failpoints import reached
from .tables import DagRun, GraphSnapshot, NodeExecution, Payload

T = TypeVar("T")

BATCH = 1000
"""So many nodes or payloads are removed in one transaction, at most."""


@frozen
class Pruned:
    """What `prune` removed, or would remove."""

    runs: tuple[str, ...] = ()
    """The ids of the runs, oldest first, without those inside of them."""
    nested: int = 0
    """How many runs were inside of them."""
    nodes: int = 0
    payloads: int = 0
    """How many values no run refers to any more."""
    dry_run: bool = False


def prune(
    conn: SyncConnection,
    now: datetime,
    older_than: timedelta | datetime | None,
    keep_last: int | None,
    dry_run: bool,
) -> Pruned:
    """Removes the runs that are older than that and not among the newest so many."""
    before = _checked(now, older_than, keep_last)
    going = _going(conn, before, keep_last)
    if dry_run:
        inside = [run_id for each in going.values() for run_id in each]
        all_of_them = [*going, *inside]
        nodes = sum(_node_counts(conn, all_of_them).values())
        payloads = sum(len(each) for each in _unused_payloads(conn, all_of_them))
        return Pruned(tuple(going), len(inside), nodes, payloads, dry_run=True)
    gone: list[str] = []
    nested = nodes = 0
    for run_id, parts in going.items():
        counts = _node_counts(conn, [run_id, *parts])
        # what is innermost goes first, so that no single step removes more than it says
        for batch in _batches(reversed(parts), counts):
            _remove_runs(conn, batch)
        if _remove_runs(conn, [run_id]):
            gone.append(run_id)
            nested += len(parts)
            nodes += sum(counts.values())
    payloads = sum(_remove_payloads(conn, each) for each in _unused_payloads(conn, []))
    _remove_graphs(conn)
    while free_space(conn):
        pass
    checkpoint(conn)
    return Pruned(tuple(gone), nested, nodes, payloads)


def _checked(
    now: datetime, older_than: timedelta | datetime | None, keep_last: int | None
) -> datetime:
    """Before when a run must have ended."""
    if older_than is None and keep_last is None:
        raise ValueError("say which runs to remove: older_than=…, keep_last=… or both")
    if keep_last is not None and (type(keep_last) is not int or keep_last < 0):
        raise ValueError(f"keep_last is how many runs to keep, 0 or more, not {keep_last!r}")
    if older_than is None:
        return now
    if isinstance(older_than, timedelta):
        if older_than < timedelta(0):
            raise ValueError(f"older_than={older_than!r} is negative; give how long ago")
        return now - older_than
    if not isinstance(older_than, datetime) or older_than.tzinfo is None:
        raise ValueError(
            f"older_than is a timedelta or a datetime with a time zone, not {older_than!r}"
        )
    return older_than


# --- which ----------------------------------------------------------------------------------


_WHAT: tuple[Expression[Any], ...] = (
    col(DagRun.run_id),
    col(DagRun.parent_run_id),
    col(DagRun.status),
    col(DagRun.pinned),
)


def _going(conn: SyncConnection, before: datetime, keep_last: int | None) -> dict[str, list[str]]:
    """The runs to remove, oldest first, each with those inside of it, outermost first."""
    columns = (*_WHAT, col(DagRun.started_at), col(DagRun.finished_at))
    order = ["-started_at", "run_id"]
    found: list[Any] = select_columns(conn, *columns, parent_run_id=None, order_by=order)
    old = [
        run_id
        for run_id, _, status, pinned, started_at, finished_at in found[keep_last or 0 :]
        if status != "running" and not pinned and (finished_at or started_at) < before
    ]
    going: dict[str, list[str]] = {run_id: [] for run_id in reversed(old)}
    staying: set[str] = set()
    root_of = {run_id: run_id for run_id in going}
    level = list(going)
    while level:
        inside: list[Any] = select_columns(
            conn,
            *_WHAT,
            parent_run_id=level,
            order_by="run_id",
        )
        for run_id, parent, status, pinned in inside:
            root = root_of[run_id] = root_of[parent]
            going[root].append(run_id)
            if status == "running" or pinned:
                staying.add(root)
        level = [run_id for run_id, *_ in inside]
    return {run_id: parts for run_id, parts in going.items() if run_id not in staying}


def _node_counts(conn: SyncConnection, run_ids: Collection[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for part in _pieces(list(run_ids)):
        found.update(
            select_columns(
                conn,
                col(NodeExecution.run_id),
                count(),
                run_id=part,
                group_by=col(NodeExecution.run_id),
            )
        )
    return found


def _unused_payloads(conn: SyncConnection, without: Collection[str]) -> Iterator[list[str]]:
    """Page by page, the payloads to which no run but those refers."""
    last = ""
    while True:
        page = select_columns(
            conn,
            col(Payload.payload_hash),
            gt__payload_hash=last,
            order_by="payload_hash",
            limit=BATCH,
        )
        hashes = [each for (each,) in page]
        if not hashes:
            return
        last = hashes[-1]
        unused = _unused(conn, hashes, without)
        if unused:
            yield unused


def _unused(conn: SyncConnection, hashes: list[str], without: Collection[str]) -> list[str]:
    used: set[Any] = set()
    columns: list[tuple[Expression[Any], Expression[Any]]] = [
        (col(NodeExecution.output_payload), col(NodeExecution.run_id)),
        (col(NodeExecution.input_payload), col(NodeExecution.run_id)),
        (col(DagRun.source_inputs), col(DagRun.run_id)),
        (col(DagRun.sink_outputs), col(DagRun.run_id)),
    ]
    for column, run_id in columns:
        where = [column.in_(hashes)]
        if without:
            where.append(run_id.not_in(list(without)))
        used.update(each for (each,) in select_columns(conn, column, where=where, distinct=True))
    return [each for each in hashes if each not in used]


# --- removing -------------------------------------------------------------------------------


def _remove_runs(conn: SyncConnection, run_ids: Sequence[str]) -> int:
    """Removes runs with their nodes; none that somebody has resumed or pinned meanwhile."""
    with transaction(conn):
        if DagRun.exists(conn, parent_run_id=list(run_ids), status="running"):
            return 0
        removed = DagRun.delete(conn, ne__status="running", run_id=list(run_ids), pinned=False)
        reached("prune.inside")
    reached("prune.removed")
    return removed


def _remove_payloads(conn: SyncConnection, hashes: list[str]) -> int:
    return _unless_used(
        conn,
        lambda: Payload.delete(conn, payload_hash=_unused(conn, hashes, [])),
    )


def _remove_graphs(conn: SyncConnection) -> int:
    used = select_columns(conn, col(DagRun.graph_hash), distinct=True)
    known = [each for (each,) in used if each is not None]
    return _unless_used(
        conn,
        lambda: GraphSnapshot.delete(conn, col(GraphSnapshot.graph_hash).not_in(known)),
    )


def _unless_used(conn: SyncConnection, remove: Callable[[], int]) -> int:
    """What somebody has begun to refer to meanwhile stays, with its whole batch, for next time."""
    try:
        with transaction(conn):
            removed = remove()
            reached("prune.inside")
    except ConstraintViolation:
        return 0
    reached("prune.removed")
    return removed


def _batches(run_ids: Iterable[str], counts: dict[str, int]) -> Iterator[list[str]]:
    batch: list[str] = []
    size = 0
    for run_id in run_ids:
        size += 1 + counts.get(run_id, 0)
        if batch and size > BATCH:
            yield batch
            batch, size = [], 1 + counts.get(run_id, 0)
        batch.append(run_id)
    if batch:
        yield batch


def _pieces(items: list[T]) -> Iterator[list[T]]:
    for at in range(0, len(items), BATCH):
        yield items[at : at + BATCH]
