"""What happened in a run? Frozen values, in the order in which it happened.

Whoever listens gets them; the runner does not know what is done with them. Nothing is stored,
serialised or decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from lythonic_state.fields import frozen

from .plan import NodePlan, Plan

if TYPE_CHECKING:  # programs without models do not pay for them
    from .outputs.elsewhere import SavedElsewhere
    from .outputs.found import Written

RunStatus: TypeAlias = Literal["running", "completed", "failed", "paused", "cancelled"]
NodeStatus: TypeAlias = Literal[
    "pending", "running", "completed", "failed", "skipped", "upstream_failed", "cancelled"
]
DONE: tuple[NodeStatus, ...] = ("completed", "skipped")
"""Of a node that has its output, and is not called again."""


@frozen
class Place:
    """Where a nested run stands: below which run and node, for which element and branch."""

    parent_run_id: str
    label: str
    key: str = ""
    """The element of a map, as text; empty where there is only one."""
    branch: str | None = None
    """Which way a switch went."""


@frozen
class RunStarted:
    """A run begins; `inputs` are by the path of a node ("fetch", "pages/fetch") and parameter."""

    run_id: str
    at: datetime
    plan: Plan
    inputs: Mapping[str, Mapping[str, Any]]
    dag_nsref: str | None = None
    parent_run_id: str | None = None
    path: str = ""
    place: Place | None = None
    """Of a nested run; `parent_run_id` is then the same as there."""
    tenant: str | None = None
    initiated_by: str | None = None
    targets: tuple[str, ...] | None = None
    """The nodes that it is for, where that is not the whole graph."""
    writes: tuple[str, ...] | None = None
    """The nodes that write rows, with how: "pages/fetch:insert"; None where none do. Of a nested
    run the one around it says so."""
    rows_to: str | None = None
    """The database that takes the rows, without a password; None for that of the record itself."""
    scheduled_at: datetime | None = None
    """The tick of a schedule that it stands for."""


@frozen
class RunResumed:
    """A run that had not completed goes on; what is recorded of its completed nodes stays."""

    run_id: str
    at: datetime
    plan: Plan
    dag_nsref: str | None = None
    place: Place | None = None
    """Of a nested run."""
    done: tuple[str, ...] = ()
    """The labels of the nodes that are not run again."""
    fence: int | None = None
    """That of the run when this was decided: if another one has resumed it since, this is refused.
    None asks for no such thing."""
    completed: frozenset[str] | None = None
    """The nodes that had completed when this was decided: if it is others by now, since the run was
    still under way, this is refused. None asks for no such thing."""
    writes: tuple[str, ...] | None = None
    """As in `RunStarted`, for what is run from now on; empty where none do any more."""
    rows_to: str | None = None


class NodeStarted(NamedTuple):  # a tuple is made five times as fast as a frozen dataclass
    """A node's function is about to be called; `given` is what did not come along an edge."""

    run_id: str
    at: datetime
    node: NodePlan
    given: Mapping[str, Any]
    attempt: int = 1
    """Counts from 1 over the whole life of a run, restarts included."""


@frozen
class AttemptFailed:
    """A node's function raised or was too slow, and will be called again at `again_at`."""

    run_id: str
    at: datetime
    node: NodePlan
    error: BaseException
    attempt: int
    again_at: datetime


class NodeCompleted(NamedTuple):
    """A node's function returned."""

    run_id: str
    at: datetime
    node: NodePlan
    value: Any
    attempt: int = 1
    written: Written | None = None
    """The rows that are to be saved with it; it is told alone then, and from a thread."""
    elsewhere: SavedElsewhere | None = None
    """The rows that are saved already, in another database."""


@frozen
class NodeSkipped:
    """A node was not called: an output of an earlier run is used again, or a value was given."""

    run_id: str
    at: datetime
    node: NodePlan
    value: Any
    reused_from: str | None = None
    """The run whose output it is; None for an override."""
    payload_hash: str | None = None
    """Under which that run kept it, so that it need not be written again."""


@frozen
class NodeFailed:
    """A node's function raised, or a value could not go along an edge to it."""

    run_id: str
    at: datetime
    node: NodePlan
    error: BaseException
    attempt: int = 1


@frozen
class NodeExpanded:
    """A map knows how many elements it has."""

    run_id: str
    at: datetime
    node: NodePlan
    keys: tuple[str, ...]


@frozen
class NodesEnded:
    """These nodes will not run (upstream_failed), were not let to end (cancelled), or wait for a
    restart (pending)."""

    run_id: str
    at: datetime
    nodes: tuple[NodePlan, ...]
    status: Literal["upstream_failed", "cancelled", "pending"]


@frozen
class RunFinished:
    """A run has ended, or has paused; `outputs` are those of its sinks, by label."""

    run_id: str
    at: datetime
    plan: Plan
    status: RunStatus
    outputs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    failed_node: str | None = None
    error: BaseException | None = None


Event: TypeAlias = (
    RunStarted
    | RunResumed
    | NodeStarted
    | AttemptFailed
    | NodeCompleted
    | NodeSkipped
    | NodeFailed
    | NodeExpanded
    | NodesEnded
    | RunFinished
)


class Listener(Protocol):
    """Whoever is told what happens in a run, from the loop and from threads.

    Events that are told in one call belong together: all of them are kept, or none. They may be of
    several runs, and a node's start may follow the completion that it waited for.
    """

    @property
    def blocking(self) -> bool:
        """Whether `emit` may have to wait, so that it is never called on an event loop."""
        ...

    def emit(self, *events: Event) -> None:
        """Takes events, and has done with them what is to be done when it returns."""
        ...

    def try_emit(self, *events: Event) -> bool:
        """`emit` where it needs no waiting, for event loops; else False, and nothing was done.

        What `emit` would raise, it raises.
        """
        ...


def in_short(error: BaseException) -> str:
    """An exception in one line."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - somebody else's __str__
        text = "(its message cannot be shown)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
