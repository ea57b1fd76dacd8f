"""In which order do nodes run, and where does each argument come from?

A graph becomes a frozen `Plan` here, or a list of everything that is wrong with it. The rules by
which outputs become arguments are decided here, once; a run looks them up.

For each parameter, the first that gives an answer:

1. "edge": an edge that names the parameter;
2. "label": an upstream that is called like it;
3. "type": the only unused upstream whose declared type fits; for parameters without default;
4. "list", "dict": every unused upstream that returns T, for `list[T]` and `dict[str, T]`;
5. "only": the one upstream and the one parameter that are left, where either is not annotated;
6. "input", "default": what the caller gives, else the default.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from .checks import cycle_problem, cycles, ordered, signature_problems, structural_problems
from .errors import DagError, nearest
from .fit import Check, could_fit, fits, is_known, item_type, returns_nothing, shown
from .graph import Edge, Graph, NodeSpec, downstreams_of, upstreams_of
from .signature import MISSING, Arg, Method

Rule: TypeAlias = Literal["edge", "label", "type", "list", "dict", "only", "input", "default"]
EdgeRule: TypeAlias = Literal["edge", "label", "type", "list", "dict", "only", "order"]


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class PlannedEdge:
    """An edge with the parameter that it feeds (None for order-only) and the rule that said so."""

    upstream: str
    downstream: str
    param: str | None
    rule: EdgeRule


@dataclass(frozen=True, slots=True)
class NodePlan:
    """All that a run needs to know of a node."""

    label: str
    method: Method
    inline: bool
    bindings: tuple[Binding, ...]
    upstreams: tuple[str, ...]
    """All that it waits for, whether or not they feed a parameter."""
    downstreams: tuple[str, ...]
    edges: tuple[PlannedEdge, ...]
    """Its outgoing edges."""

    @property
    def is_source(self) -> bool:
        return not self.upstreams

    @property
    def is_sink(self) -> bool:
        return not self.downstreams


@dataclass(frozen=True, slots=True)
class Input:
    """Something that the caller of a graph gives: a parameter that no edge feeds, by name."""

    name: str
    nodes: tuple[str, ...]
    annotation: Any


@dataclass(frozen=True, slots=True)
class Plan:
    """The nodes in an order in which they can run, by label."""

    nodes: Mapping[str, NodePlan]

    @property
    def edges(self) -> tuple[PlannedEdge, ...]:
        return tuple(edge for node in self.nodes.values() for edge in node.edges)

    @property
    def upstreams(self) -> dict[str, tuple[str, ...]]:
        return {label: node.upstreams for label, node in self.nodes.items()}

    def inputs(self) -> dict[str, Input]:
        """What has to be given, by the name of the parameter."""
        found: dict[str, Input] = {}
        for label, node in self.nodes.items():
            for binding in node.bindings:
                if binding.rule == "input":
                    known = found.get(binding.param)
                    found[binding.param] = Input(
                        binding.param,
                        (*known.nodes, label) if known else (label,),
                        known.annotation if known else binding.arg.annotation,
                    )
        return found


class Planned(Protocol):
    """What can be run: a graph that knows its plan."""

    def plan(self) -> Plan: ...

    def label_of_function(self, function: Callable[..., Any], /) -> str: ...


def plan_of(graph: Graph) -> Plan:
    """The plan of a graph.

    Raises:
        DagError: with everything that is wrong with it.
    """
    problems = structural_problems(graph)
    upstreams = upstreams_of(graph.edges, graph.specs)
    order, stuck = ordered(upstreams)
    if stuck:
        problems.extend(cycle_problem(cycle) for cycle in cycles(upstreams))
    downstreams = downstreams_of(upstreams)
    into: dict[str, list[Edge]] = {label: [] for label in graph.specs}
    for edge in graph.edges:
        if edge.upstream in graph.specs and edge.downstream in graph.specs:
            into[edge.downstream].append(edge)
    bound: dict[str, _Binder] = {}
    for label, spec in graph.specs.items():
        if any(True for _ in signature_problems(spec)):
            continue
        bound[label] = binder = _Binder(spec, into[label], graph.specs)
        problems.extend(binder.problems)
    if problems:
        raise DagError(problems)
    outgoing: dict[str, list[PlannedEdge]] = {label: [] for label in graph.specs}
    for label in order:
        for planned in bound[label].planned_edges():
            outgoing[planned.upstream].append(planned)
    return Plan(
        {
            label: NodePlan(
                label,
                graph.specs[label].method,
                graph.specs[label].inline,
                bound[label].ordered_bindings(),
                upstreams[label],
                downstreams[label],
                tuple(outgoing[label]),
            )
            for label in order
        }
    )


@dataclass
class _Binder:
    """Applies the rules to one node; each step takes what the steps before it have left."""

    spec: NodeSpec
    edges: Sequence[Edge]
    specs: Mapping[str, NodeSpec]
    bindings: dict[str, Binding] = field(default_factory=dict[str, Binding])
    problems: list[str] = field(default_factory=list[str])

    def __post_init__(self) -> None:
        self.args = {arg.name: arg for arg in self.spec.method.args}
        self.upstreams = tuple(dict.fromkeys(edge.upstream for edge in self.edges))
        self.order_only = {edge.upstream for edge in self.edges if edge.order_only}
        self.returns = {up: _returns(self.specs[up]) for up in self.upstreams}
        self.used: set[str] = set()
        self.explicit: set[str] = set()
        self._by_edge()
        self._by_label()
        if not self._by_type() and not self._by_items():
            self._by_being_left()
            if not self.problems:  # else what is left over only follows from them
                self._unfed()
        self._by_caller()

    # rule 1

    def _by_edge(self) -> None:
        for edge in self.edges:
            if edge.param is None:
                continue
            self.explicit.add(edge.upstream)
            self.used.add(edge.upstream)
            arg = self.args.get(edge.param)
            if arg is None:
                self._problem(
                    f"the edge {edge.upstream} -> {self.spec.label} names the parameter "
                    f"{edge.param!r}, which {self.spec.method.name} does not take"
                    f"{nearest(edge.param, self.args)}"
                )
            elif arg.name in self.bindings:
                first = self.bindings[arg.name].upstreams[0]
                self._problem(
                    f"{self.spec.label}.{arg.name} is fed by two edges, from {first} and from "
                    f"{edge.upstream}; keep one of them"
                )
            else:
                self._bind_one(arg, "edge", edge.upstream)

    # rule 2

    def _by_label(self) -> None:
        for arg in self._open_args():
            if arg.name in self.upstreams and arg.name not in self.order_only:
                self.used.add(arg.name)
                self._bind_one(arg, "label", arg.name)

    # rule 3

    def _by_type(self) -> bool:
        """Whether something was ambiguous, so that nothing can be said about the rest."""
        candidates = {
            arg.name: [up for up in self._unused() if self._fits(up, arg.annotation)]
            for arg in self._open_args()
            if arg.required
        }
        ambiguous = False
        for name, ups in candidates.items():
            if len(ups) > 1:
                ambiguous = True
                self._problem(
                    f"{self.spec.label}.{name}: {shown(self.args[name].annotation)} could come "
                    f"from {_and(ups)}, which both fit; {self._mend(ups[0], name)}"
                    if len(ups) == 2
                    else f"{self.spec.label}.{name}: {shown(self.args[name].annotation)} could "
                    f"come from any of {_and(ups)}; {self._mend(ups[0], name)}"
                )
        for up in self._unused():
            names = [name for name, ups in candidates.items() if up in ups]
            if len(names) > 1:
                ambiguous = True
                self._problem(
                    f"{up} returns {shown(self.returns[up])}, which fits several parameters of "
                    f"{self.spec.label}: {_and(names)}; {self._mend(up, names[0])}"
                )
        if ambiguous:
            return True
        for name, ups in candidates.items():
            if ups:
                self.used.add(ups[0])
                self._bind_one(self.args[name], "type", ups[0])
        return False

    # rule 4

    def _by_items(self) -> bool:
        """Whether something was ambiguous, so that nothing can be said about the rest."""
        wanted = {
            arg.name: (*kind, [up for up in self._unused() if self._fits(up, kind[1])])
            for arg in self._open_args()
            if (kind := item_type(arg.annotation)) is not None
        }
        ambiguous = False
        for up in self._unused():
            names = [name for name, (_, _, ups) in wanted.items() if up in ups]
            if len(names) > 1:
                ambiguous = True
                self._problem(
                    f"{up} returns {shown(self.returns[up])}, which several parameters of "
                    f"{self.spec.label} collect: {_and(names)}; {self._mend(up, names[0])}"
                )
        if ambiguous:
            return True
        for name, (shape, item, ups) in wanted.items():
            if ups:
                self.used.update(ups)
                self.bindings[name] = Binding(self.args[name], shape, tuple(ups), Check(item), item)
        return False

    # rule 5

    def _by_being_left(self) -> None:
        args = [arg for arg in self._open_args() if arg.required]
        ups = self._unused()
        if len(args) == 1 and len(ups) == 1:
            if not is_known(args[0].annotation) or not is_known(self.returns[ups[0]]):
                self.used.add(ups[0])
                self._bind_one(args[0], "only", ups[0])

    # what is left over

    def _unfed(self) -> None:
        args = [arg for arg in self._open_args() if arg.required]
        unused = self._unused()
        for up in unused:
            returned = self.returns[up]
            left = args or [
                arg
                for arg in self._open_args()
                if not is_known(arg.annotation)
                or not is_known(returned)
                or fits(returned, arg.annotation)
            ]
            if not left:
                continue
            first = left[0]
            if len(left) == 1 and len(unused) == 1 and args:
                what = (
                    f"incompatible types on the edge {up} -> {self.spec.label}: {up} returns "
                    f"{shown(returned)}, and {self.spec.label}.{first.name} takes "
                    f"{shown(first.annotation)}"
                )
            else:
                what = (
                    f"{up} returns {shown(returned)} and feeds no parameter of "
                    f"{self.spec.label}, where there {'is' if len(left) == 1 else 'are'} "
                    + _and([f"{arg.name}: {shown(arg.annotation)}" for arg in left])
                    + ("" if args else ", with a default")
                )
            mend = (
                self._mend(up, first.name)
                if could_fit(returned, first.annotation)
                else "put a step between them that converts it"
            )
            self._problem(
                f"{what}; {mend}, or say that it only comes first: "
                f"dag.edge({up!r}, {self.spec.label!r}, order_only=True)"
            )

    # rule 6

    def _by_caller(self) -> None:
        for arg in self._open_args():
            self.bindings[arg.name] = Binding(arg, "input" if arg.required else "default")

    # what came of it

    def ordered_bindings(self) -> tuple[Binding, ...]:
        return tuple(self.bindings[name] for name in self.args)

    def planned_edges(self) -> list[PlannedEdge]:
        """An edge for each parameter that an upstream feeds, and order-only ones for the rest."""
        label = self.spec.label
        feeding = [
            PlannedEdge(up, label, binding.param, _edge_rule(binding.rule))
            for binding in self.ordered_bindings()
            for up in binding.upstreams
        ]
        fed = {edge.upstream for edge in feeding}
        rest = [PlannedEdge(up, label, None, "order") for up in self.upstreams if up not in fed]
        return feeding + rest

    # helpers

    def _open_args(self) -> list[Arg]:
        return [arg for name, arg in self.args.items() if name not in self.bindings]

    def _unused(self) -> list[str]:
        """The upstreams that have a value to give and have not given it."""
        return [
            up
            for up in self.upstreams
            if up not in self.used
            and up not in self.order_only
            and not returns_nothing(self.returns[up])
        ]

    def _fits(self, upstream: str, annotation: Any) -> bool:
        returned = self.returns[upstream]
        return is_known(returned) and annotation is not MISSING and fits(returned, annotation)

    def _bind_one(self, arg: Arg, rule: Rule, upstream: str) -> None:
        returned = self.returns[upstream]
        # what is known of the parameter decides; where nothing is, what the upstream promised
        expected = arg.annotation if is_known(arg.annotation) else returned
        self.bindings[arg.name] = Binding(arg, rule, (upstream,), Check(expected), expected)
        if not could_fit(returned, arg.annotation):
            self._problem(
                f"incompatible types on the edge {upstream} -> {self.spec.label}: {upstream} "
                f"returns {shown(returned)}, and {self.spec.label}.{arg.name} takes "
                f"{shown(arg.annotation)}; change one of the annotations, or wire another node"
            )

    def _mend(self, upstream: str, param: str) -> str:
        return (
            f"name the parameter: dag.edge({upstream!r}, {self.spec.label!r}, param={param!r}), "
            f"or give the node the parameter's name as its label: {param!r}"
        )

    def _problem(self, text: str) -> None:
        self.problems.append(text)


def _returns(spec: NodeSpec) -> Any:
    if any(True for _ in signature_problems(spec)):
        return MISSING
    return spec.method.return_annotation


def _edge_rule(rule: Rule) -> EdgeRule:
    assert rule != "input"
    assert rule != "default"
    return rule


def _and(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
