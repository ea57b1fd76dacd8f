"""What happened in a run? Frozen values, in the order in which it happened.

Whoever listens gets them; the runner does not know what is done with them. Nothing is stored,
serialised or decided here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol, TypeAlias

from .plan import NodePlan, Plan

RunStatus: TypeAlias = Literal["running", "completed", "failed", "paused", "cancelled"]
NodeStatus: TypeAlias = Literal[
    "pending", "running", "completed", "failed", "skipped", "upstream_failed", "cancelled"
]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """A run begins; `inputs` are by node and parameter."""

    run_id: str
    at: datetime
    plan: Plan
    inputs: Mapping[str, Mapping[str, Any]]
    dag_nsref: str | None = None
    parent_run_id: str | None = None


@dataclass(frozen=True, slots=True)
class NodeStarted:
    """A node's function is about to be called; `given` is what did not come along an edge."""

    run_id: str
    at: datetime
    node: NodePlan
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class NodeCompleted:
    """A node's function returned."""

    run_id: str
    at: datetime
    node: NodePlan
    value: Any


@dataclass(frozen=True, slots=True)
class NodeFailed:
    """A node's function raised, or a value could not go along an edge to it."""

    run_id: str
    at: datetime
    node: NodePlan
    error: BaseException


@dataclass(frozen=True, slots=True)
class NodesEnded:
    """These nodes will not run (upstream_failed), or were not let to end (cancelled)."""

    run_id: str
    at: datetime
    nodes: tuple[NodePlan, ...]
    status: Literal["upstream_failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class RunFinished:
    """A run has ended; `outputs` are those of its sinks, by label."""

    run_id: str
    at: datetime
    plan: Plan
    status: RunStatus
    outputs: Mapping[str, Any]
    failed_node: str | None = None
    error: BaseException | None = None


Event: TypeAlias = RunStarted | NodeStarted | NodeCompleted | NodeFailed | NodesEnded | RunFinished


class Listener(Protocol):
    """Whoever is told what happens in a run, from the loop and from threads.

    `emit` of a listener that is `blocking` is never called on the event loop.
    """

    @property
    def blocking(self) -> bool: ...

    def emit(self, event: Event, /) -> None: ...


def in_short(error: BaseException) -> str:
    """An exception in one line."""
    try:
        text = str(error)
    except Exception:  # noqa: BLE001 - somebody else's __str__
        text = "(its message cannot be shown)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
