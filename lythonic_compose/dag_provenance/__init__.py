"""What is kept of a run, and how is it read back? The door of its rooms.

`tables` are the models and `shown` their HTML. `payloads` says under which key a value is kept,
`recorder` which rows an event makes, and `writer` when they are committed. `history` reads them for
people, `memory` for the runner; `liveness` knows whether a run's process is there, `retention` what
is removed. `store` is the face of all of them.
"""

from __future__ import annotations

from ..context import initiated_by
from ..values import json_default, safe_json_dumps
from .retention import Pruned
from .store import DagProvenance, NullProvenance, Provenance
from .tables import (
    SCHEMA,
    DagRun,
    EdgeTraversal,
    GraphSnapshot,
    NodeAttempt,
    NodeExecution,
    NodeIO,
    Payload,
    RowOrigin,
    RunIO,
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
    "NodeIO",
    "NullProvenance",
    "Payload",
    "Provenance",
    "Pruned",
    "RowOrigin",
    "RunIO",
    "StoreMeta",
    "initiated_by",
    "json_default",
    "safe_json_dumps",
]
