"""What is known of the runs that are under way? Kept up to date by their events.

Nothing is written here. Of the elements of a map only their numbers are kept, not each of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import field

from lythonic_state.fields import frozen, mutable

from ..events import (
    AttemptFailed,
    Event,
    NodeCompleted,
    NodeExpanded,
    NodeFailed,
    NodesEnded,
    NodeSkipped,
    NodeStarted,
    NodeStatus,
    Place,
    RunFinished,
    RunResumed,
    RunStarted,
    RunStatus,
    in_short,
)
from ..plan import Plan
from ..printable import one_line


@mutable(slots=False)
class Elements:
    """How far a map is."""

    total: int
    completed: int = 0
    failed: int = 0
    running: int = 0
    numbers: Mapping[str, int] | None = None
    """By key, in a run that goes on: the elements before one that runs have completed earlier."""
    reached: int = 0
    told: int = 0
    """The tenths of them that a line has told of."""

    @property
    def done(self) -> int:
        return max(self.completed + self.failed, self.reached - self.running)


@mutable(slots=False)
class Node:
    """One node of a run that is shown."""

    label: str
    status: NodeStatus = "pending"
    began: float | None = None
    ended: float | None = None
    attempt: int = 1
    again_at: float | None = None
    """When it is called again, while it waits for that, by the clock of the board."""
    note: str = ""
    elements: Elements | None = None
    inner: Run | None = None
    """The run inside it, of a graph or a switch; those inside of a map are elements."""


@mutable(slots=False)
class Run:
    """A run that is shown: one that was started by somebody, or one inside a node of such a run."""

    run_id: str
    name: str
    root: str
    """The run that was started by somebody."""
    nodes: dict[str, Node]
    began: float
    resumed: bool = False
    path: str = ""
    """What comes before its labels: "pages/"."""
    status: RunStatus = "running"
    ended: float | None = None
    note: str = ""

    def count(self, *statuses: NodeStatus) -> int:
        return sum(1 for node in self.nodes.values() if node.status in statuses)

    def all_nodes(self, depth: int = 0) -> Iterator[tuple[int, Node]]:
        """The nodes, each with those inside it as long as it has not ended well."""
        for node in self.nodes.values():
            yield depth, node
            if node.inner is not None and node.status != "completed":
                yield from node.inner.all_nodes(depth + 1)


@frozen
class _Element:
    """A run inside of a map: an element, or one that is inside an element."""

    run: Run
    """The run that has the map."""
    node: Node
    elements: Elements | None
    """Where it counts; None for what is inside an element."""


@mutable(slots=False)
class Board:
    """All that is shown."""

    clock: Callable[[], float] = time.monotonic
    runs: dict[str, Run] = field(default_factory=dict[str, Run])
    _elements: dict[str, _Element] = field(default_factory=dict[str, _Element])

    def roots(self) -> list[Run]:
        return [run for run in self.runs.values() if run.root == run.run_id]

    def take(self, event: Event) -> tuple[Run, Node | None] | None:
        """Notes what happened, and says where; None where it is nothing that is shown."""
        if isinstance(event, (RunStarted, RunResumed)):
            return self._begin(event)
        run = self.runs.get(event.run_id)
        if run is None:
            return self._take_inside(event)
        if isinstance(event, RunFinished):
            return self._finish(run, event)
        if isinstance(event, NodesEnded):
            for ended in event.nodes:
                node = run.nodes[ended.label]
                node.status, node.again_at, node.ended = event.status, None, self.clock()
            return run, None
        node = run.nodes[event.node.label]
        self._note(run, node, event)
        return run, node

    def _begin(self, event: RunStarted | RunResumed) -> tuple[Run, Node | None] | None:
        place = event.place
        if place is None:
            name = f"{event.dag_nsref or 'run'} {event.run_id[:8]}"
            run = self._new(event, one_line(name), event.run_id, "")
            return run, None
        around = self.runs.get(place.parent_run_id)
        if around is None:
            element = self._elements.get(place.parent_run_id)
            if element is not None:
                inside = _Element(element.run, element.node, None)
                self._elements[event.run_id] = inside
            return None
        node = around.nodes[place.label]
        if not place.key:
            before = f"{around.path}{one_line(place.label)}/"
            node.inner = self._new(event, around.name, around.root, before)
            return node.inner, None
        self._elements[event.run_id] = _Element(around, node, node.elements)
        self._begin_element(node, place)
        return around, node

    def _begin_element(self, node: Node, place: Place) -> None:
        elements = node.elements
        if elements is not None:
            elements.running += 1
            if elements.numbers is not None:
                elements.reached = max(elements.reached, elements.numbers[place.key] + 1)

    def _new(self, event: RunStarted | RunResumed, name: str, root: str, path: str) -> Run:
        plan: Plan = event.plan
        nodes = {label: Node(label) for label in plan.nodes}
        resumed = isinstance(event, RunResumed)
        if isinstance(event, RunResumed):
            for label in event.done:
                nodes[label].status, nodes[label].note = "completed", "earlier"
        run = Run(event.run_id, name, root, nodes, self.clock(), resumed, path)
        self.runs[event.run_id] = run
        return run

    def _take_inside(self, event: Event) -> tuple[Run, Node | None] | None:
        element = self._elements.get(event.run_id)
        if element is None or not isinstance(event, RunFinished):
            return None
        del self._elements[event.run_id]
        elements = element.elements
        if elements is None:
            return None
        elements.running -= 1
        if event.status == "completed":
            elements.completed += 1
        elif event.status == "failed":
            elements.failed += 1
            if event.error is not None:
                element.node.note = _in_short(event.error)
        return element.run, element.node

    def _note(
        self,
        run: Run,
        node: Node,
        event: NodeStarted
        | AttemptFailed
        | NodeCompleted
        | NodeSkipped
        | NodeFailed
        | NodeExpanded,
    ) -> None:
        now = self.clock()
        if isinstance(event, NodeStarted):
            node.status, node.attempt, node.again_at = "running", event.attempt, None
            node.began = now if node.began is None else node.began
        elif isinstance(event, NodeExpanded):
            numbers = {key: at for at, key in enumerate(event.keys)} if run.resumed else None
            node.elements = Elements(len(event.keys), numbers=numbers)
        elif isinstance(event, AttemptFailed):
            node.again_at = now + (event.again_at - event.at).total_seconds()
            node.note = _in_short(event.error)
        elif isinstance(event, NodeSkipped):
            node.status = "skipped"
            node.note = "given" if event.reused_from is None else "reused"
        elif isinstance(event, NodeCompleted):
            node.status, node.ended = "completed", now
            if node.elements is not None:
                node.elements.completed = node.elements.total - node.elements.failed
            else:
                node.note = ""
        else:
            node.status, node.ended, node.again_at = "failed", now, None
            node.note = _in_short(event.error)

    def _finish(self, run: Run, event: RunFinished) -> tuple[Run, None]:
        run.status, run.ended = event.status, self.clock()
        if event.failed_node is None and event.error is not None:
            run.note = _in_short(event.error)
        del self.runs[run.run_id]
        if run.root == run.run_id:
            for inside in [each for each, of in self.runs.items() if of.root == run.root]:
                del self.runs[inside]
            for inside in [each for each, of in self._elements.items() if of.run.root == run.root]:
                del self._elements[inside]
        return run, None


def _in_short(error: BaseException) -> str:
    return one_line(in_short(error).strip().partition("\n")[0])
