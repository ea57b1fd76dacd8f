"""What do users import to describe pipelines? The door: it re-exports, and holds nothing else."""

from __future__ import annotations

from ._inline import inline
from .composite import Failed
from .config import NsCacheConfig, NsFragmentConfig, NsNodeConfig
from .context import DagContext
from .dag import Dag
from .dag_runner import DagRunner, DagRunResult
from .graph import DagNode
from .marks import dag_factory, mount_required, mountable, nsnode, require_cache
from .refs import GlobalRef, NsRef
from .refs import parse_nsref as _parse_nsref
from .registry import Namespace, NamespaceFragment, NamespaceNode
from .retry import Retry
from .signature import Method

__all__ = [
    "Dag",
    "DagContext",
    "DagNode",
    "DagRunResult",
    "DagRunner",
    "Failed",
    "GlobalRef",
    "Method",
    "Namespace",
    "NamespaceFragment",
    "NamespaceNode",
    "NsCacheConfig",
    "NsFragmentConfig",
    "NsNodeConfig",
    "NsRef",
    "Retry",
    "_parse_nsref",
    "dag_factory",
    "inline",
    "mount_required",
    "mountable",
    "nsnode",
    "require_cache",
]
