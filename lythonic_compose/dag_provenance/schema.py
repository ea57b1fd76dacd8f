"""Which tables belong to a store? All of `tables`, checked among each other."""

from __future__ import annotations

from lythonic_state import Schema

from .tables import (
    DagRun,
    EdgeTraversal,
    GraphSnapshot,
    NodeAttempt,
    NodeExecution,
    Payload,
    PayloadRows,
    RowOrigin,
    StoreMeta,
)

SCHEMA = Schema(
    [
        StoreMeta,
        Payload,
        GraphSnapshot,
        DagRun,
        NodeExecution,
        NodeAttempt,
        EdgeTraversal,
        RowOrigin,
        PayloadRows,
    ]
)
