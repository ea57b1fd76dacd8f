"""What do users import to describe pipelines? The door: it re-exports, and holds nothing else."""

from __future__ import annotations

from ._inline import inline
from .dag import Dag
from .dag_runner import DagRunner, DagRunResult
from .graph import Node

__all__ = ["Dag", "DagRunResult", "DagRunner", "Node", "inline"]
