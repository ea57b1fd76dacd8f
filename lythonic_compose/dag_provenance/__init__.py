"""What is kept of a run, and how is it read back? The door of its rooms.

`tables` are the models and `shown` their HTML. `payloads` says under which key a value is kept,
`recorder` which rows an event makes, and `writer` when they are committed. `history` reads them for
people, `memory` for the runner; `liveness` knows whether a run's process is there, `recovery` goes
on with those whose process is gone, `retention` says what is removed. `provenance` is what every
store offers, and `store` the one that keeps things.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..context import initiated_by
    from ..values import json_default, safe_json_dumps
    from .explanation import Explanation, LineageInput, LineageStep
    from .origins import RowKey
    from .provenance import NullProvenance, Provenance
    from .recovery import LeftRun, Recovery
    from .retention import Pruned
    from .row_lists import RowList
    from .schema import SCHEMA
    from .store import DagProvenance
    from .tables import (
        DagRun,
        EdgeTraversal,
        GraphSnapshot,
        NodeAttempt,
        NodeExecution,
        NodeIO,
        Payload,
        PayloadRows,
        RowOrigin,
        RunIO,
        StoreMeta,
    )

__all__ = [
    "SCHEMA",
    "DagProvenance",
    "DagRun",
    "EdgeTraversal",
    "Explanation",
    "GraphSnapshot",
    "LeftRun",
    "LineageInput",
    "LineageStep",
    "NodeAttempt",
    "NodeExecution",
    "NodeIO",
    "NullProvenance",
    "Payload",
    "PayloadRows",
    "Provenance",
    "Pruned",
    "Recovery",
    "RowKey",
    "RowList",
    "RowOrigin",
    "RunIO",
    "StoreMeta",
    "initiated_by",
    "json_default",
    "safe_json_dumps",
]

_ROOM = {
    "initiated_by": "..context",
    "json_default": "..values",
    "safe_json_dumps": "..values",
    "Explanation": "explanation",
    "LineageInput": "explanation",
    "LineageStep": "explanation",
    "RowKey": "origins",
    "NullProvenance": "provenance",
    "Provenance": "provenance",
    "LeftRun": "recovery",
    "Recovery": "recovery",
    "Pruned": "retention",
    "RowList": "row_lists",
    "DagProvenance": "store",
    "DagRun": "tables",
    "EdgeTraversal": "tables",
    "GraphSnapshot": "tables",
    "NodeAttempt": "tables",
    "NodeExecution": "tables",
    "NodeIO": "tables",
    "Payload": "tables",
    "PayloadRows": "tables",
    "RowOrigin": "tables",
    "RunIO": "tables",
    "SCHEMA": "schema",
    "StoreMeta": "tables",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    room = _ROOM[name]
    path = room if room.startswith("..") else f".{room}"
    value = globals()[name] = getattr(import_module(path, __name__), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
