"""In which order do nodes run, and where does each argument come from? The frozen plan.

Values only: a run, a drawing and a store look them up. They are made in `planning.py`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias

from lythonic_state.fields import frozen, replace

from .code_hash import code_hash
from .context import DagContext, context_class, fields_of
from .fit import Check
from .graph import Function, OnError
from .outputs.declared import Writes
from .retry import Retry
from .signature import MISSING, Arg, Method

Rule: TypeAlias = Literal[
    "edge",
    "label",
    "type",
    "list",
    "dict",
    "only",
    "input",
    "default",
    "value",
    "resource",
    "context",
]
EdgeRule: TypeAlias = Literal["edge", "label", "type", "list", "dict", "only", "order"]


@frozen
class Binding:
    """Where the argument of one parameter comes from."""

    arg: Arg
    rule: Rule
    upstreams: tuple[str, ...] = ()
    check: Check | None = None
    """What each upstream's value must satisfy; for a fan-in, each by itself."""
    expected: Any = MISSING

    @property
    def param(self) -> str:
        return self.arg.name

    @property
    def is_given(self) -> bool:
        """Whether the caller of the graph may give it."""
        return self.rule in ("input", "default")


@frozen
class PlannedEdge:
    """An edge with the parameter that it feeds (None for order-only) and the rule that said so."""

    upstream: str
    downstream: str
    param: str | None
    rule: EdgeRule


@frozen
class SubPlan:
    """A graph inside a node: what it is given goes to its source, its sink gives the result."""

    plan: Plan
    source: str
    params: tuple[str, ...]
    """The parameters of the source that are fed from outside."""
    spread: bool
    """Whether one dict feeds them all, by name."""
    sink: str

    @property
    def returns(self) -> Any:
        return self.plan.nodes[self.sink].returns


@frozen
class SwitchPlan:
    """The graphs inside a switch, by the name of their branch."""

    branches: Mapping[str, SubPlan]


@frozen
class MapPlan:
    """What a map does with each element."""

    over: SubPlan | SwitchPlan
    concurrency: int | None
    on_error: OnError
    flatten: bool


Composite: TypeAlias = SubPlan | SwitchPlan | MapPlan


@frozen(slots=False)
class NodePlan:
    """All that a run needs to know of a node: it calls a function, or runs what is inside it."""

    label: str
    function: Function | None
    composite: Composite | None
    bindings: tuple[Binding, ...]
    upstreams: tuple[str, ...]
    """All that it waits for, whether or not they feed a parameter."""
    downstreams: tuple[str, ...]
    edges: tuple[PlannedEdge, ...]
    """Its outgoing edges."""
    returns: Any
    """The declared type of its output, MISSING where nobody says."""
    retry: Retry | None = None
    timeout: float | None = None
    writes: Writes | None = None
    """What becomes of the models that its function returns."""

    @cached_property
    def is_source(self) -> bool:
        return not self.upstreams

    @cached_property
    def is_sink(self) -> bool:
        return not self.downstreams

    @cached_property
    def on_loop(self) -> bool:
        """Whether its function is called on the event loop, and not in a thread or an executor."""
        function = self.function
        return function is not None and (function.inline or function.method.is_async)

    @cached_property
    def context(self) -> tuple[type[DagContext], tuple[str, ...]] | None:
        """The context that its function takes, with the fields that resources fill."""
        for binding in self.bindings:
            if binding.rule == "context":
                kind = context_class(binding.arg.annotation)
                assert kind is not None
                return kind, tuple(fields_of(kind))
        return None

    @property
    def method(self) -> Method:
        """The signature of its function, which a composite node does not have."""
        assert self.function is not None
        return self.function.method

    @cached_property
    def code_hash(self) -> str:
        """Changes when the code of the function does, or that of anything inside."""
        if self.function is not None:
            own = code_hash(self.function.method.target)
            return own if self.writes is None or own == "unknown" else f"{own}:{self.writes.how}"
        hashes = [sub.plan.code_hashes for _, sub in self.inside()]
        if any("unknown" in each.values() for each in hashes):
            return "unknown"
        return hashlib.sha256(json.dumps(hashes).encode()).hexdigest()

    def inside(self) -> Iterator[tuple[str, SubPlan]]:
        """The graphs inside it with what comes before their nodes' labels in a path."""
        composite = self.composite.over if isinstance(self.composite, MapPlan) else self.composite
        if isinstance(composite, SubPlan):
            yield f"{self.label}/", composite
        elif composite is not None:
            for name, branch in composite.branches.items():
                yield f"{self.label}/{name}/", branch


@frozen
class Input:
    """Something that the caller of a graph gives: a parameter that no edge feeds, by name."""

    name: str
    nodes: tuple[str, ...]
    """The paths of the nodes that take it."""
    annotation: Any


@frozen(slots=False)
class Plan:
    """The nodes in an order in which they can run, by label."""

    nodes: Mapping[str, NodePlan]

    @cached_property
    def edges(self) -> tuple[PlannedEdge, ...]:
        return tuple(edge for node in self.nodes.values() for edge in node.edges)

    @cached_property
    def upstreams(self) -> dict[str, tuple[str, ...]]:
        return {label: node.upstreams for label, node in self.nodes.items()}

    @cached_property
    def downstreams(self) -> dict[str, tuple[str, ...]]:
        return {label: node.downstreams for label, node in self.nodes.items()}

    @cached_property
    def sinks(self) -> tuple[str, ...]:
        return tuple(label for label, node in self.nodes.items() if node.is_sink)

    @cached_property
    def followers(self) -> dict[str, NodePlan]:
        """By label the node that a thread may go on with: nothing else waits for the first one,
        nothing else is waited for by the second, and neither needs more than a thread."""
        found: dict[str, NodePlan] = {}
        for label, node in self.nodes.items():
            if len(node.downstreams) == 1 and _needs_a_thread_only(node):
                following = self.nodes[node.downstreams[0]]
                if following.upstreams == (label,) and _needs_a_thread_only(following):
                    found[label] = following
        return found

    @cached_property
    def asking(self) -> frozenset[str]:
        """The paths of the nodes that have to be given something."""
        return frozenset(
            path
            for path, node in self.paths.items()
            if any(binding.rule == "input" for binding in node.bindings)
        )

    @cached_property
    def code_hashes(self) -> dict[str, str]:
        """The hash of each node's code by label; "unknown" where there is no source."""
        return {label: node.code_hash for label, node in self.nodes.items()}

    @cached_property
    def paths(self) -> dict[str, NodePlan]:
        """Every node, those inside others too, by its path: "pages", "pages/fetch"."""
        found: dict[str, NodePlan] = {}
        for label, node in self.nodes.items():
            found[label] = node
            for before, sub in node.inside():
                found.update({before + path: inner for path, inner in sub.plan.paths.items()})
        return found

    @cached_property
    def writing(self) -> tuple[str, ...]:
        """The nodes that write rows, with how they do so: "pages/fetch:insert"."""
        return tuple(
            f"{path}:{node.writes.how}"
            for path, node in self.paths.items()
            if node.writes is not None
        )

    def inputs(self) -> dict[str, Input]:
        """What has to be given, by the name of the parameter."""
        found: dict[str, Input] = {}
        for path, node in self.paths.items():
            for binding in node.bindings:
                if binding.rule == "input":
                    known = found.get(binding.param)
                    found[binding.param] = Input(
                        binding.param,
                        (*known.nodes, path) if known else (path,),
                        known.annotation if known else binding.arg.annotation,
                    )
        return found


def _needs_a_thread_only(node: NodePlan) -> bool:
    """Whether it is called in a thread, and the loop has no part in it: no timeout is waited for,
    and no context made."""
    return (
        node.function is not None
        and not node.on_loop
        and node.timeout is None
        and node.writes is None
        and node.context is None
    )


class Planned(Protocol):
    """What can be run: a graph that knows its plan."""

    def plan(self, resources: frozenset[str] = ..., write_models: bool = ..., /) -> Plan: ...

    def label_of_function(self, function: Callable[..., Any], /) -> str: ...


def part_of(plan: Plan, targets: Sequence[str], given: Sequence[str] = ()) -> Plan:
    """What of a plan is needed for some nodes; nothing before those whose output is given."""
    needed: set[str] = set()
    stack = list(targets)
    while stack:
        label = stack.pop()
        if label not in needed:
            needed.add(label)
            stack += () if label in given else plan.nodes[label].upstreams
    return Plan(
        {
            label: replace(
                node,
                upstreams=() if label in given else node.upstreams,
                bindings=() if label in given else node.bindings,
                downstreams=tuple(
                    down for down in node.downstreams if down in needed and down not in given
                ),
                edges=tuple(
                    edge
                    for edge in node.edges
                    if edge.downstream in needed and edge.downstream not in given
                ),
            )
            for label, node in plan.nodes.items()
            if label in needed
        }
    )
