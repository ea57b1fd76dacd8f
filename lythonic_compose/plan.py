"""In which order do nodes run, and where does each argument come from?

A graph becomes a frozen `Plan` here, or a list of everything that is wrong with it. The rules by
which outputs become arguments are decided here, once; a run looks them up. Graphs inside it are
planned with it: what reaches the source of one, and what its sink returns, decides the wiring
around it.

For each parameter, the first that gives an answer:

1. "edge": an edge that names the parameter;
2. "label": an upstream that is called like it;
3. "type": the only unused upstream whose declared type fits; for parameters without default;
4. "list", "dict": every unused upstream that returns T, for `list[T]` and `dict[str, T]`;
5. "only": the one upstream and the one parameter that are left, where either is not annotated;
6. "input", "default": what the caller gives, else the default.

Before these stand what no upstream gives: the "context", a "resource" of the runner's, and the
"value" that the node around a graph hands in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal, Protocol, TypeAlias, Union, cast, get_args, get_origin

import typing_extensions

from .checks import cycle_problem, cycles, ordered, signature_problems, structural_problems
from .code_hash import code_hash
from .context import is_context
from .errors import DagError, nearest
from .fit import Check, could_fit, fits, is_known, item_type, returns_nothing, shown
from .graph import (
    Body,
    Edge,
    Function,
    Graph,
    Map,
    NodeSpec,
    Once,
    OnError,
    Switch,
    contained_in_itself,
    downstreams_of,
    upstreams_of,
)
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

# --- what a plan is made of -----------------------------------------------------------------


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

    @property
    def is_given(self) -> bool:
        """Whether the caller of the graph may give it."""
        return self.rule in ("input", "default")


@dataclass(frozen=True, slots=True)
class PlannedEdge:
    """An edge with the parameter that it feeds (None for order-only) and the rule that said so."""

    upstream: str
    downstream: str
    param: str | None
    rule: EdgeRule


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class SwitchPlan:
    """The graphs inside a switch, by the name of their branch."""

    branches: Mapping[str, SubPlan]


@dataclass(frozen=True, slots=True)
class MapPlan:
    """What a map does with each element."""

    over: SubPlan | SwitchPlan
    concurrency: int | None
    on_error: OnError
    flatten: bool


Composite: TypeAlias = SubPlan | SwitchPlan | MapPlan


@dataclass(frozen=True)
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

    @property
    def is_source(self) -> bool:
        return not self.upstreams

    @property
    def is_sink(self) -> bool:
        return not self.downstreams

    @property
    def method(self) -> Method:
        """The signature of its function, which a composite node does not have."""
        assert self.function is not None
        return self.function.method

    @cached_property
    def code_hash(self) -> str:
        """Changes when the code of the function does, or that of anything inside."""
        if self.function is not None:
            return code_hash(self.function.method.target)
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


@dataclass(frozen=True, slots=True)
class Input:
    """Something that the caller of a graph gives: a parameter that no edge feeds, by name."""

    name: str
    nodes: tuple[str, ...]
    """The paths of the nodes that take it."""
    annotation: Any


@dataclass(frozen=True)
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


class Planned(Protocol):
    """What can be run: a graph that knows its plan."""

    def plan(self, resources: frozenset[str] = ..., /) -> Plan: ...

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


# --- making one -----------------------------------------------------------------------------


def plan_of(graph: Graph, resources: frozenset[str] = frozenset()) -> Plan:
    """The plan of a graph, whose runner fills the parameters named in `resources`.

    Raises:
        DagError: with everything that is wrong with it.
    """
    endless = contained_in_itself(graph)
    if endless is not None:
        raise DagError(f"{endless}: the Dag inside contains itself; take this node out")
    return _plan_of(graph, resources, {}, False)


def _plan_of(
    graph: Graph, resources: frozenset[str], fed: Mapping[str, Any], check_fed: bool
) -> Plan:
    """`fed` are the parameters of its source that get a value from outside, with its type."""
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
    returns = {label: _declared(spec.body) for label, spec in graph.specs.items()}
    bound: dict[str, _Bound] = {}
    for label in [*order, *stuck]:
        spec = graph.specs[label]
        if any(True for _ in signature_problems(spec)):
            continue
        outside = _Outside(resources, fed if not into[label] else {})
        bound[label] = node = _bind(spec, into[label], returns, outside, check_fed)
        problems.extend(node.problems)
        returns[label] = node.returns
    if problems:
        raise DagError(problems)
    outgoing: dict[str, list[PlannedEdge]] = {label: [] for label in graph.specs}
    for label in order:
        for planned in _planned_edges(label, upstreams[label], bound[label].bindings):
            outgoing[planned.upstream].append(planned)
    nodes: dict[str, NodePlan] = {}
    for label in order:
        spec = graph.specs[label]
        nodes[label] = NodePlan(
            label,
            spec.body if isinstance(spec.body, Function) else None,
            bound[label].composite,
            bound[label].bindings,
            upstreams[label],
            downstreams[label],
            tuple(outgoing[label]),
            bound[label].returns,
            spec.retry,
            spec.timeout,
        )
    return Plan(nodes)


@dataclass(frozen=True, slots=True)
class _Outside:
    """What is known around a node."""

    resources: frozenset[str]
    fed: Mapping[str, Any]


@dataclass
class _Bound:
    """A node, decided."""

    bindings: tuple[Binding, ...]
    returns: Any
    composite: Composite | None = None
    problems: list[str] = field(default_factory=list[str])


def _planned_edges(
    label: str, upstreams: Sequence[str], bindings: Sequence[Binding]
) -> list[PlannedEdge]:
    """An edge for each parameter that an upstream feeds, and order-only ones for the rest."""
    feeding = [
        PlannedEdge(up, label, binding.param, _edge_rule(binding.rule))
        for binding in bindings
        for up in binding.upstreams
    ]
    fed = {edge.upstream for edge in feeding}
    rest = [PlannedEdge(up, label, None, "order") for up in upstreams if up not in fed]
    return feeding + rest


def _edge_rule(rule: Rule) -> EdgeRule:
    assert rule in get_args(EdgeRule)
    return cast("EdgeRule", rule)


# --- one node -------------------------------------------------------------------------------


def _declared(body: Body) -> Any:
    """What a node returns as far as can be said without its surroundings."""
    if not isinstance(body, Function):
        return MISSING
    try:
        return body.method.return_annotation
    except TypeError:  # told of as a problem of the signature
        return MISSING


def _bind(
    spec: NodeSpec,
    edges: Sequence[Edge],
    returns: Mapping[str, Any],
    outside: _Outside,
    check_fed: bool,
) -> _Bound:
    body = spec.body
    if isinstance(body, Function):
        fixed = _fixed(body.method, outside.resources)
        args = [arg for arg in body.method.args if arg.name not in fixed]
        binder = _Binder(spec, edges, returns, args, outside.fed, check_fed, fixed)
        bindings = tuple(binder.bindings[arg.name] for arg in body.method.args)
        problems = [*binder.problems, *_context_problems(spec, bindings)]
        return _Bound(bindings, returns[spec.label], None, problems)
    if isinstance(body, Once):
        return _bind_once(spec, body, edges, returns, outside, check_fed)
    if isinstance(body, Switch):
        return _bind_switch(spec, body, edges, returns, outside, check_fed)
    return _bind_map(spec, body, edges, returns, outside, check_fed)


def _fixed(method: Method, resources: frozenset[str]) -> dict[str, Binding]:
    """The parameters that neither upstreams nor callers fill."""
    found: dict[str, Binding] = {}
    for number, arg in enumerate(method.args):
        if number == 0 and is_context(arg.annotation):
            found[arg.name] = Binding(arg, "context")
        elif arg.name in resources:
            found[arg.name] = Binding(arg, "resource")
    return found


def _context_problems(spec: NodeSpec, bindings: Sequence[Binding]) -> list[str]:
    return [
        f"{spec.label}.{binding.param}: a {shown(binding.arg.annotation)} is only given to the "
        "first parameter; move it there"
        for binding in bindings
        if binding.rule == "input" and is_context(binding.arg.annotation)
    ]


def _ports(spec: NodeSpec, resources: frozenset[str]) -> list[Arg]:
    """What a node takes from outside, as parameters."""
    body = spec.body
    if isinstance(body, Function):
        if any(True for _ in signature_problems(spec)):
            return []
        fixed = _fixed(body.method, resources)
        return [arg for arg in body.method.args if arg.name not in fixed]
    if isinstance(body, Once):
        source = _ends(body.graph)[0]
        return _ports(body.graph.specs[source[0]], resources) if len(source) == 1 else []
    if isinstance(body, Switch):
        return [_SWITCH_ARG]
    return [_collection(body, resources)]


def _ends(graph: Graph) -> tuple[list[str], list[str]]:
    """The labels without upstream, and those without downstream."""
    reached = {edge.downstream for edge in graph.edges}
    left = {edge.upstream for edge in graph.edges}
    return (
        [label for label in graph.specs if label not in reached],
        [label for label in graph.specs if label not in left],
    )


def _takers(args: Sequence[Arg]) -> list[Arg]:
    """The parameters that one value may be meant for."""
    required = [arg for arg in args if arg.required]
    return required or (list(args) if len(args) == 1 else [])


def _end_problems(name: str, graph: Graph) -> list[str]:
    """What keeps a graph from being used as a step."""
    found: list[str] = []
    if not graph.specs:
        return [f"{name}: the Dag inside is empty; give it a node"]
    for what, labels, why in zip(
        ("sources", "sinks"),
        _ends(graph),
        ("where its value goes", "what its result is"),
        strict=True,
    ):
        if len(labels) > 1:
            found.append(
                f"{name}: the Dag inside has several {what} ({', '.join(labels)}); wire them so "
                f"that there is one, which says {why}"
            )
    return found


def _sub_plan(
    name: str,
    graph: Graph,
    fed: Mapping[str, Any],
    spread: bool,
    outside: _Outside,
    check_fed: bool,
) -> tuple[SubPlan | None, list[str]]:
    problems = _end_problems(name, graph)
    try:
        plan = _plan_of(graph, outside.resources, fed, check_fed)
    except DagError as error:
        return None, [*problems, *(f"in {name!r}: {problem}" for problem in error.problems)]
    if problems:
        return None, problems
    sources, sinks = _ends(graph)
    return SubPlan(plan, sources[0], tuple(fed), spread, sinks[0]), []


def _bind_once(
    spec: NodeSpec,
    body: Once,
    edges: Sequence[Edge],
    returns: Mapping[str, Any],
    outside: _Outside,
    check_fed: bool,
) -> _Bound:
    args = _ports(spec, outside.resources)
    takers = _takers(args)
    silent = {edge.upstream for edge in edges if edge.order_only}
    giving = [
        edge.upstream
        for edge in edges
        if edge.upstream not in silent and not returns_nothing(returns[edge.upstream])
    ]
    # one dict for several parameters is given by name
    spread = (
        len(takers) > 1
        and len(giving) == 1
        and not any(edge.param for edge in edges)
        and giving[0] not in [arg.name for arg in takers]
        and _is_dict(returns[giving[0]])
    )
    if spread:
        binder = _Binder(
            spec, edges, returns, [Arg("value", returns[giving[0]], MISSING)], {}, False
        )
        fed = {arg.name: MISSING for arg in takers}
    else:
        binder = _Binder(spec, edges, returns, args, outside.fed, check_fed)
        fed = {
            name: _type_of(binding, returns, outside)
            for name, binding in binder.bindings.items()
            if not binding.is_given
        }
    # what nobody feeds is given, if at all, to the node inside
    bindings = tuple(each for each in binder.bindings.values() if not each.is_given)
    sub, problems = _sub_plan(spec.label, body.graph, fed, spread, outside, spread)
    return _Bound(
        bindings, MISSING if sub is None else sub.returns, sub, [*binder.problems, *problems]
    )


def _type_of(binding: Binding, returns: Mapping[str, Any], outside: _Outside) -> Any:
    """The declared type of the value that a parameter gets; MISSING where nobody says."""
    if binding.rule in ("list", "dict"):
        return binding.arg.annotation
    if binding.upstreams:
        return returns[binding.upstreams[0]]
    return outside.fed.get(binding.param, MISSING)


_SWITCH_ARG = Arg("value", tuple[str, Any] | dict[str, Any], MISSING)
_CONTAINERS = Check(list[Any] | tuple[Any, ...] | dict[Any, Any])

# annotations are made at run time here, which checkers take for annotations of their own
_list: Any = list
_tuple: Any = tuple
_dict: Any = dict


def _bind_switch(
    spec: NodeSpec,
    body: Switch,
    edges: Sequence[Edge],
    returns: Mapping[str, Any],
    outside: _Outside,
    check_fed: bool,
) -> _Bound:
    binder = _Binder(spec, edges, returns, [_SWITCH_ARG], outside.fed, check_fed)
    plan, returned, problems = _switch_plan(spec.label, body, outside)
    return _Bound(tuple(binder.bindings.values()), returned, plan, [*binder.problems, *problems])


def _switch_plan(
    label: str, body: Switch, outside: _Outside
) -> tuple[SwitchPlan | None, Any, list[str]]:
    branches: dict[str, SubPlan] = {}
    problems: list[str] = []
    for name, branch in body.branches.items():
        takers = _takers(_ports(NodeSpec(label, branch), outside.resources))
        fed = {arg.name: MISSING for arg in takers}
        sub, wrong = _sub_plan(
            f"{label}/{name}", branch.graph, fed, len(takers) > 1, outside, check_fed=True
        )
        problems += wrong
        if sub is not None:
            branches[name] = sub
    if problems:
        return None, MISSING, problems
    return SwitchPlan(branches), _one_of([sub.returns for sub in branches.values()]), []


def _collection(body: Map, resources: frozenset[str]) -> Arg:
    """The parameter of a map: a list, tuple or dict of what is inside takes."""
    if isinstance(body.over, Switch):
        name, item = "items", _SWITCH_ARG.annotation
    else:
        takers = _takers(_ports(NodeSpec("", body.over), resources))
        name, item = ("items", Any) if len(takers) != 1 else (takers[0].name, takers[0].annotation)
    if not is_known(item):
        item = Any
    return Arg(name, _list[item] | _tuple[item, ...] | _dict[Any, item], MISSING)


def _bind_map(
    spec: NodeSpec,
    body: Map,
    edges: Sequence[Edge],
    returns: Mapping[str, Any],
    outside: _Outside,
    check_fed: bool,
) -> _Bound:
    arg = _collection(body, outside.resources)
    binder = _Binder(spec, edges, returns, [arg], outside.fed, check_fed)
    binding = binder.bindings[arg.name]
    if binding.check is not None:
        # each element is checked by itself, where it is used
        binding = replace(binding, check=_CONTAINERS)
    coming = _type_of(binding, returns, outside)
    over: SubPlan | SwitchPlan | None
    if isinstance(body.over, Switch):
        over, returned, problems = _switch_plan(spec.label, body.over, outside)
    else:
        takers = _takers(_ports(NodeSpec(spec.label, body.over), outside.resources))
        item = _item_of(coming)
        names, problems = _element_params(spec.label, takers, item)
        fed = {name: item if len(names) == 1 else MISSING for name in names}
        over, wrong = _sub_plan(
            spec.label, body.over.graph, fed, len(fed) > 1, outside, check_fed=True
        )
        problems += wrong
        returned = MISSING if over is None else over.returns
    problems = [*binder.problems, *problems]
    if over is None or problems:
        return _Bound((binding,), MISSING, None, problems)
    composite = MapPlan(over, body.concurrency, body.on_error, body.flatten)
    return _Bound((binding,), _map_returns(body, coming, returned), composite, problems)


def _element_params(label: str, takers: Sequence[Arg], item: Any) -> tuple[list[str], list[str]]:
    """The parameters that an element feeds, and what is wrong."""
    if not takers:
        return [], [
            f"{label}: what is inside takes no parameter that an element could go to; give its "
            "source one"
        ]
    if len(takers) == 1 or _is_dict(item):
        return [arg.name for arg in takers], []
    fitting = [arg.name for arg in takers if fits(item, arg.annotation)]
    if len(fitting) == 1:
        return fitting, []
    several = _and([f"{arg.name}: {shown(arg.annotation)}" for arg in takers])
    return [], [
        f"{label}: elements of type {shown(item)} "
        f"{'fit several' if fitting else 'fit none'} of the parameters without default of what is "
        f"inside ({several}); leave it one, give the others defaults, or map over dicts of them"
    ]


def _is_dict(annotation: Any) -> bool:
    """Whether a value of this type may be a dict with text as keys."""
    return (
        not is_known(annotation)
        or typing_extensions.is_typeddict(annotation)
        or fits(annotation, Mapping[str, Any])
    )


def _item_of(annotation: Any) -> Any:
    """What a list, tuple or dict of this type holds."""
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if origin is list and arguments:
        return arguments[0]
    if origin is dict and len(arguments) == 2:
        return arguments[1]
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return arguments[0]
    return MISSING


def _map_returns(body: Map, coming: Any, returned: Any) -> Any:
    if body.flatten:
        item = _item_of(returned)
        item = Any if not is_known(item) else item
        return _list[item] if body.on_error != "collect" else list[Any]
    item = returned if is_known(returned) and body.on_error != "collect" else Any
    origin = get_origin(coming) or coming
    if origin is dict:
        keys = get_args(coming)[0] if get_args(coming) else Any
        return _dict[keys, item]
    if origin in (list, tuple):
        return _list[item]
    return _list[item] | _dict[Any, item]


def _one_of(kinds: Sequence[Any]) -> Any:
    if not all(is_known(kind) for kind in kinds):
        return MISSING
    union: Any = Union[tuple(kinds)]  # noqa: UP007 - the members are known at run time only
    return union


# --- the rules ------------------------------------------------------------------------------


@dataclass
class _Binder:
    """Applies the rules to one node; each step takes what the steps before it have left."""

    spec: NodeSpec
    edges: Sequence[Edge]
    returns: Mapping[str, Any]
    takes: Sequence[Arg]
    fed: Mapping[str, Any]
    check_fed: bool
    fixed: Mapping[str, Binding] = field(default_factory=dict[str, Binding])

    def __post_init__(self) -> None:
        self.problems: list[str] = []
        self.bindings: dict[str, Binding] = dict(self.fixed)
        self.args = {arg.name: arg for arg in self.takes}
        self.upstreams = tuple(dict.fromkeys(edge.upstream for edge in self.edges))
        self.order_only = {edge.upstream for edge in self.edges if edge.order_only}
        self.used: set[str] = set()
        self.explicit: set[str] = set()
        self._by_value()
        self._by_edge()
        self._by_label()
        if not self._by_type() and not self._by_items():
            self._by_being_left()
            if not self.problems:  # else what is left over only follows from them
                self._unfed()
        self._by_caller()

    # from around the graph

    def _by_value(self) -> None:
        for arg in self._open_args():
            if arg.name in self.fed:
                check = Check(arg.annotation) if self.check_fed else None
                self.bindings[arg.name] = Binding(arg, "value", (), check, arg.annotation)

    # rule 1

    def _by_edge(self) -> None:
        for edge in self.edges:
            if edge.param is None:
                continue
            self.explicit.add(edge.upstream)
            self.used.add(edge.upstream)
            arg = self.args.get(edge.param)
            if edge.param in self.fixed:
                self._problem(
                    f"the edge {edge.upstream} -> {self.spec.label} names the parameter "
                    f"{edge.param!r}, which gets the {self.fixed[edge.param].rule}; name another "
                    "parameter, or drop param="
                )
            elif arg is None:
                self._problem(
                    f"the edge {edge.upstream} -> {self.spec.label} names the parameter "
                    f"{edge.param!r}, which {self.spec.name} does not take"
                    f"{nearest(edge.param, self.args)}"
                )
            elif arg.name in self.bindings:
                first = "".join(self.bindings[arg.name].upstreams[:1]) or "outside"
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


def _and(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"
