"""Steps wired into a graph, run, and recorded as typed rows.

A function is a node; what flows between nodes is typed; what a run did is kept as models of
`lythonic_state`. This is the door: it re-exports the rooms and holds no code of its own.
"""

from __future__ import annotations

from ._inline import inline
from .dag import Dag
from .dag_provenance import (
    DagProvenance,
    DagRun,
    EdgeTraversal,
    GraphSnapshot,
    NodeAttempt,
    NodeExecution,
    NullProvenance,
    Payload,
    RowOrigin,
    StoreMeta,
)
from .dag_runner import DagRunner, DagRunResult
from .errors import (
    ComposeError,
    DagError,
    RunError,
    RunFailed,
    RunNotFound,
    UnknownName,
    WiringError,
    WrongKind,
    WrongRunState,
)
from .events import (
    Event,
    Listener,
    NodeCompleted,
    NodeFailed,
    NodesEnded,
    NodeStarted,
    RunFinished,
    RunStarted,
)
from .graph import Node
from .plan import Input, Plan
from .signature import Method

__all__ = [
    "ComposeError",
    "Dag",
    "DagError",
    "DagProvenance",
    "DagRun",
    "DagRunResult",
    "DagRunner",
    "EdgeTraversal",
    "Event",
    "GraphSnapshot",
    "Input",
    "Listener",
    "Method",
    "Node",
    "NodeAttempt",
    "NodeCompleted",
    "NodeExecution",
    "NodeFailed",
    "NodeStarted",
    "NodesEnded",
    "NullProvenance",
    "Payload",
    "Plan",
    "RowOrigin",
    "RunError",
    "RunFailed",
    "RunFinished",
    "RunNotFound",
    "RunStarted",
    "StoreMeta",
    "UnknownName",
    "WiringError",
    "WrongKind",
    "WrongRunState",
    "inline",
]
