"""What is kept of a run, and how is it read back? The door of its rooms.

`tables` are the models, `payloads` make text of values, `recorder` makes rows of events, `history`
reads them, and `store` holds the connection.
"""

from __future__ import annotations

from .store import DagProvenance, NullProvenance, Provenance
from .tables import (
    SCHEMA,
    DagRun,
    EdgeTraversal,
    GraphSnapshot,
    NodeAttempt,
    NodeExecution,
    Payload,
    RowOrigin,
    StoreMeta,
)

__all__ = [
    "SCHEMA",
    "DagProvenance",
    "DagRun",
    "EdgeTraversal",
    "GraphSnapshot",
    "NodeAttempt",
    "NodeExecution",
    "NullProvenance",
    "Payload",
    "Provenance",
    "RowOrigin",
    "StoreMeta",
]
