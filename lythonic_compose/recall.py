"""What is known of an earlier run, so that it can go on or be repeated? Frozen values.

A store offers them to the runner through `Memory`. How they were kept is not known here, and what
is made of them is decided in the runner.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from typing import Protocol

from lythonic_state.fields import frozen

from .events import DONE, NodeStatus, RunStatus
from .outputs.rows import RowSource
from .values import Encoded


@frozen
class OldNode:
    """A node of an earlier run."""

    label: str
    status: NodeStatus
    attempts: int
    """How many times its function was called."""
    output: str | None = None
    """The key under which `Memory.load` finds what it returned."""


@frozen
class OldRun:
    """An earlier run with its nodes by label."""

    run_id: str
    status: RunStatus
    dag_nsref: str | None
    path: str
    nodes: Mapping[str, OldNode]
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    """JSON text by the path of a node and parameter."""
    withheld: tuple[str, ...] = ()
    """Inputs, as "fetch.token", that are secret or could not be kept exactly."""
    code_hashes: Mapping[str, str] = field(default_factory=dict[str, str])
    """By label, of the graph as it was run; "unknown" where there was no source."""
    edges: tuple[tuple[str, str, str | None, str], ...] = ()
    """Of that graph: upstream, downstream, parameter, rule."""
    parent_run_id: str | None = None
    parent_label: str | None = None
    """Of a nested run: the node of the run above that it is inside of."""
    targets: tuple[str, ...] | None = None
    """The nodes that the run was for, where that was not the whole graph."""
    tenant: str | None = None
    initiated_by: str | None = None
    branch: str | None = None
    fence: int = 1
    """Counts those who began or resumed it."""
    writes: tuple[str, ...] | None = None
    """The nodes that write rows, as `Plan.writing`; None where none do, or nobody has said so."""
    rows_to: str | None = None
    """The database that takes these rows; None for that of the store itself."""
    scheduled_at: datetime | None = None
    """The tick of a schedule that it stands for."""

    def done(self) -> frozenset[str]:
        """The nodes that have completed, or were skipped since an older output is used."""
        return frozenset(label for label, node in self.nodes.items() if node.status in DONE)


class Memory(Protocol):
    """A store of earlier runs. Its methods may wait and are not called on an event loop."""

    def recall(self, run_id: str, /) -> OldRun | None:
        """A run, or None."""
        ...

    def recall_nested(self, run_id: str, label: str, /) -> Mapping[str, OldRun]:
        """The newest run of each element of a composite node, by the element's key."""
        ...

    def load(self, payload_hash: str, /) -> Encoded:
        """A value as text."""
        ...

    def row_source(self) -> RowSource:
        """Where the rows are read that nodes have written."""
        ...
