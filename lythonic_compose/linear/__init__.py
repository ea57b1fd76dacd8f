"""How are plain functions run one after the other, by the names of what they take and make?

The door of this package: it re-exports, and holds nothing else.
"""

from __future__ import annotations

from .deciding import PipelinePlan, PlannedNode
from .history import HistoryEntry
from .memory import MemoryUse
from .node import Node, create_named_partial_function
from .pipeline import Pipeline
from .registry import ObjectRegistry
from .result import PipelineResult

__all__ = [
    "HistoryEntry",
    "MemoryUse",
    "Node",
    "ObjectRegistry",
    "Pipeline",
    "PipelinePlan",
    "PipelineResult",
    "PlannedNode",
    "create_named_partial_function",
]
