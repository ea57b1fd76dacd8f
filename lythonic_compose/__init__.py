"""Steps wired into a graph, run, and recorded as typed rows.

A function is a node; what flows between nodes is typed; what a run did is kept as models of
`lythonic_state`. This is the door: it re-exports the rooms and holds no code of its own. What not
every program uses (the store with its tables, caches, a display of progress) is imported when its
name is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._inline import inline
from .composite import Failed
from .config import NsCacheConfig, NsFragmentConfig, NsNodeConfig, TriggerConfig
from .context import DagContext, Secret, initiated_by
from .dag import Dag
from .dag_runner import DagRunner, DagRunResult
from .errors import (
    CacheError,
    CacheRefreshPushback,
    CacheRefreshSuppressed,
    CodeChanged,
    ComposeError,
    ConfigError,
    DagError,
    DagPause,
    EngineRunning,
    ImportFailed,
    InputsNotKept,
    LineageError,
    MissingObject,
    NamespaceError,
    NoSuchLeaf,
    NotRegistered,
    OutputError,
    OutputsChanged,
    RunError,
    RunFailed,
    RunNotFound,
    RunTakenOver,
    TriggerError,
    UnknownCacheKey,
    UnknownName,
    UnknownTrigger,
    WiringError,
    WrongKind,
    WrongRunState,
)
from .events import (
    AttemptFailed,
    Event,
    Listener,
    NodeCompleted,
    NodeExpanded,
    NodeFailed,
    NodesEnded,
    NodeSkipped,
    NodeStarted,
    Place,
    RunFinished,
    RunResumed,
    RunStarted,
)
from .graph import DagNode
from .log_context import LogContext
from .marks import dag_factory, mount_required, mountable, nsnode, require_cache
from .outputs.rows import Rows
from .plan import Input, Plan
from .refs import GlobalRef, NsRef
from .registry import Namespace, NamespaceFragment, NamespaceNode, how_to_mount
from .retry import Retry
from .signature import Method
from .values import json_default, safe_json_dumps

if TYPE_CHECKING:
    from .cached import (
        Cached,
        CacheProhibitDirectCall,
        CacheStats,
        cached,
        register_cached_callable,
    )
    from .dag_provenance import (
        DagProvenance,
        DagRun,
        EdgeTraversal,
        Explanation,
        GraphSnapshot,
        LeftRun,
        LineageInput,
        LineageStep,
        NodeAttempt,
        NodeExecution,
        NodeIO,
        NullProvenance,
        Payload,
        PayloadRows,
        Pruned,
        Recovery,
        RowKey,
        RowList,
        RowOrigin,
        RunIO,
        StoreMeta,
    )
    from .engine import Engine, EngineConfig, LogConfig, StorageConfig
    from .linear import (
        HistoryEntry,
        MemoryUse,
        Node,
        ObjectRegistry,
        Pipeline,
        PipelinePlan,
        PipelineResult,
        PlannedNode,
        create_named_partial_function,
    )
    from .progress import ProgressDisplay, live_progress
    from .trigger import TriggerFire, TriggerManager, TriggerState, TriggerStore
    from .viz import (
        draw_ascii_pipeline,
        draw_mermaid_pipeline,
        plot_pipeline,
        plot_pipeline_graph,
    )

__all__ = [
    "AttemptFailed",
    "CacheError",
    "CacheProhibitDirectCall",
    "CacheRefreshPushback",
    "CacheRefreshSuppressed",
    "CacheStats",
    "Cached",
    "CodeChanged",
    "ComposeError",
    "ConfigError",
    "Dag",
    "DagContext",
    "DagError",
    "DagNode",
    "DagPause",
    "DagProvenance",
    "DagRun",
    "DagRunResult",
    "DagRunner",
    "EdgeTraversal",
    "Engine",
    "EngineConfig",
    "EngineRunning",
    "Event",
    "Explanation",
    "Failed",
    "GlobalRef",
    "GraphSnapshot",
    "HistoryEntry",
    "ImportFailed",
    "Input",
    "InputsNotKept",
    "LeftRun",
    "LineageError",
    "LineageInput",
    "LineageStep",
    "Listener",
    "LogConfig",
    "LogContext",
    "MemoryUse",
    "Method",
    "MissingObject",
    "Namespace",
    "NamespaceError",
    "NamespaceFragment",
    "NamespaceNode",
    "NoSuchLeaf",
    "Node",
    "NodeAttempt",
    "NodeCompleted",
    "NodeExecution",
    "NodeExpanded",
    "NodeFailed",
    "NodeIO",
    "NodeSkipped",
    "NodeStarted",
    "NodesEnded",
    "NotRegistered",
    "NsCacheConfig",
    "NsFragmentConfig",
    "NsNodeConfig",
    "NsRef",
    "NullProvenance",
    "ObjectRegistry",
    "OutputError",
    "OutputsChanged",
    "Payload",
    "PayloadRows",
    "Pipeline",
    "PipelinePlan",
    "PipelineResult",
    "Place",
    "Plan",
    "PlannedNode",
    "ProgressDisplay",
    "Pruned",
    "Recovery",
    "Retry",
    "RowKey",
    "RowList",
    "RowOrigin",
    "Rows",
    "RunError",
    "RunFailed",
    "RunFinished",
    "RunIO",
    "RunNotFound",
    "RunResumed",
    "RunStarted",
    "RunTakenOver",
    "Secret",
    "StorageConfig",
    "StoreMeta",
    "TriggerConfig",
    "TriggerError",
    "TriggerFire",
    "TriggerManager",
    "TriggerState",
    "TriggerStore",
    "UnknownCacheKey",
    "UnknownName",
    "UnknownTrigger",
    "WiringError",
    "WrongKind",
    "WrongRunState",
    "cached",
    "create_named_partial_function",
    "dag_factory",
    "draw_ascii_pipeline",
    "draw_mermaid_pipeline",
    "initiated_by",
    "inline",
    "json_default",
    "live_progress",
    "mount_required",
    "mountable",
    "nsnode",
    "plot_pipeline",
    "plot_pipeline_graph",
    "register_cached_callable",
    "require_cache",
    "safe_json_dumps",
]

_LATER = {
    "HistoryEntry": "linear",
    "MemoryUse": "linear",
    "Node": "linear",
    "ObjectRegistry": "linear",
    "Pipeline": "linear",
    "PipelinePlan": "linear",
    "PipelineResult": "linear",
    "PlannedNode": "linear",
    "create_named_partial_function": "linear",
    "draw_ascii_pipeline": "viz",
    "draw_mermaid_pipeline": "viz",
    "plot_pipeline": "viz",
    "plot_pipeline_graph": "viz",
    "CacheProhibitDirectCall": "cached",
    "CacheStats": "cached",
    "Cached": "cached",
    "DagProvenance": "dag_provenance",
    "DagRun": "dag_provenance",
    "EdgeTraversal": "dag_provenance",
    "Engine": "engine",
    "EngineConfig": "engine",
    "GraphSnapshot": "dag_provenance",
    "LeftRun": "dag_provenance",
    "LogConfig": "engine",
    "NodeAttempt": "dag_provenance",
    "NodeExecution": "dag_provenance",
    "NodeIO": "dag_provenance",
    "NullProvenance": "dag_provenance",
    "Payload": "dag_provenance",
    "ProgressDisplay": "progress",
    "Pruned": "dag_provenance",
    "Recovery": "dag_provenance",
    "RowOrigin": "dag_provenance",
    "RunIO": "dag_provenance",
    "StorageConfig": "engine",
    "StoreMeta": "dag_provenance",
    "TriggerFire": "trigger",
    "TriggerManager": "trigger",
    "TriggerState": "trigger",
    "TriggerStore": "trigger",
    "cached": "cached",
    "live_progress": "progress",
    "register_cached_callable": "cached",
    "Explanation": "dag_provenance",
    "LineageInput": "dag_provenance",
    "LineageStep": "dag_provenance",
    "PayloadRows": "dag_provenance",
    "RowKey": "dag_provenance",
    "RowList": "dag_provenance",
}

how_to_mount(NsCacheConfig, "lythonic_compose.cached:mount_cached")


def __getattr__(name: str) -> Any:
    if name not in _LATER:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    room = import_module(f"{__name__}.{_LATER[name]}")
    # a room of the name itself can be called, and must not be hidden
    value = globals()[name] = room if name == _LATER[name] else getattr(room, name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
