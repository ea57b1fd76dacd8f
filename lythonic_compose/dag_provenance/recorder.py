"""Which rows does an event make?

What can be prepared without a database is done first (`writes_of`); what is left is a `Write`,
which yields prepared statements to whoever holds the connection. A `Write` may be carried out again
after it failed. Nothing is read for users here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .. import failpoints
from ..events import (
    AttemptFailed,
    Event,
    NodeCompleted,
    NodeExpanded,
    NodeFailed,
    NodesEnded,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    RunResumed,
    RunStarted,
)
from .known import Author, Known, Steps, Write, together
from .node_rows import (
    of_attempt_failed,
    of_node_completed,
    of_node_expanded,
    of_node_failed,
    of_node_skipped,
    of_node_started,
    of_nodes_ended,
)
from .run_rows import of_run_finished, of_run_resumed, of_run_started


def writes_of(events: Iterable[Event], author: Author) -> list[Write]:
    """What events make of the tables."""
    writes = [_WRITES[event.__class__](event, author) for event in events]
    if failpoints.armed is None or not failpoints.armed.endswith(".inside"):
        return writes
    return [together(*pair) for pair in zip(writes, map(_inside, events), strict=True)]


def _inside(event: Event) -> Write:
    def write(_: Known) -> Steps:
        failpoints.reached_with([event], "inside")
        yield from ()

    return write


_WRITES: Mapping[type[Any], Callable[[Any, Author], Write]] = {
    RunStarted: of_run_started,
    RunResumed: of_run_resumed,
    RunFinished: of_run_finished,
    NodeStarted: of_node_started,
    AttemptFailed: of_attempt_failed,
    NodeCompleted: of_node_completed,
    NodeSkipped: of_node_skipped,
    NodeFailed: of_node_failed,
    NodesEnded: of_nodes_ended,
    NodeExpanded: of_node_expanded,
}
