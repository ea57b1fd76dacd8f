"""How does a graph become a plan?

A graph becomes a frozen `Plan` here, or a list of everything that is wrong with it. Graphs inside
it are planned with it: what reaches the source of one, and what its sink returns, decides the
wiring around it. Which output feeds which parameter is decided by the rules in `rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, cast, get_args

from lythonic_state.fields import frozen, mutable, replace

from .checks import cycle_problem, cycles, ordered, signature_problems, structural_problems
from .errors import DagError
from .fit import Check, returns_nothing
from .graph import (
    Edge,
    Function,
    Graph,
    Map,
    NodeSpec,
    Once,
    Switch,
    contained_in_itself,
    downstreams_of,
    upstreams_of,
)
from .outputs.declared import Writes, as_written, writes_of
from .outputs.declared import problem as write_problem
from .plan import (
    Binding,
    Composite,
    EdgeRule,
    MapPlan,
    NodePlan,
    Plan,
    PlannedEdge,
    Rule,
    SubPlan,
    SwitchPlan,
)
from .ports import (
    SWITCH_ARG,
    collection,
    declared,
    element_params,
    end_problems,
    ends,
    feedable,
    is_dict,
    item_of,
    map_returns,
    one_of,
    takes,
)
from .rules import Binder, context_problems, filled_by_runner
from .signature import MISSING, Arg

_CONTAINERS = Check(list[Any] | tuple[Any, ...] | dict[Any, Any])


def plan_of(
    graph: Graph, resources: frozenset[str] = frozenset(), write_models: bool = False
) -> Plan:
    """The plan of a graph, whose runner fills the parameters named in `resources`.

    With `write_models` every function writes the models that it returns.

    Raises:
        DagError: with everything that is wrong with it.
    """
    endless = contained_in_itself(graph)
    if endless is not None:
        raise DagError(f"{endless}: the Dag inside contains itself; take this node out")
    return _plan_of(graph, _Outside(resources, {}, write_models), False)


def _plan_of(graph: Graph, around: _Outside, check_fed: bool) -> Plan:
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
    returns = {label: declared(spec.body) for label, spec in graph.specs.items()}
    bound: dict[str, _Bound] = {}
    for label in [*order, *stuck]:
        spec = graph.specs[label]
        if any(True for _ in signature_problems(spec)):
            continue
        outside = around if not into[label] else replace(around, fed={})
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
            bound[label].writes,
        )
    return Plan(nodes)


@frozen
class _Outside:
    """What is known around a node."""

    resources: frozenset[str]
    fed: Mapping[str, Any]
    """The parameters of a source that get a value from outside, with its type."""
    write_models: bool


@mutable(slots=False)
class _Bound:
    """A node, decided."""

    bindings: tuple[Binding, ...]
    returns: Any
    composite: Composite | None = None
    problems: list[str] = field(default_factory=list[str])
    writes: Writes | None = None


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


def _bind(
    spec: NodeSpec,
    edges: Sequence[Edge],
    returns: Mapping[str, Any],
    outside: _Outside,
    check_fed: bool,
) -> _Bound:
    body = spec.body
    if isinstance(body, Function):
        fixed = filled_by_runner(body.method, outside.resources)
        args = [arg for arg in body.method.args if arg.name not in fixed]
        binder = Binder(spec, edges, returns, args, outside.fed, check_fed, fixed)
        bindings = tuple(binder.bindings[arg.name] for arg in body.method.args)
        problems = [*binder.problems, *context_problems(spec, bindings)]
        returned = returns[spec.label]
        writes = writes_of(returned, spec.write, outside.write_models)
        if writes is None:
            return _Bound(bindings, returned, None, problems)
        wrong = write_problem(returned)
        if wrong is not None:
            problems.append(f"{spec.label} {wrong}")
        return _Bound(bindings, as_written(returned, writes), None, problems, writes)
    if isinstance(body, Once):
        return _bind_once(spec, body, edges, returns, outside, check_fed)
    if isinstance(body, Switch):
        return _bind_switch(spec, body, edges, returns, outside, check_fed)
    return _bind_map(spec, body, edges, returns, outside, check_fed)


def _type_of(binding: Binding, returns: Mapping[str, Any], outside: _Outside) -> Any:
    """The declared type of the value that a parameter gets; MISSING where nobody says."""
    if binding.rule in ("list", "dict"):
        return binding.arg.annotation
    if binding.upstreams:
        return returns[binding.upstreams[0]]
    return outside.fed.get(binding.param, MISSING)


# --- graphs inside ---------------------------------------------------------------------------


def _sub_plan(
    name: str,
    graph: Graph,
    fed: Mapping[str, Any],
    spread: bool,
    outside: _Outside,
    check_fed: bool,
) -> tuple[SubPlan | None, list[str]]:
    problems = end_problems(name, graph)
    try:
        plan = _plan_of(graph, replace(outside, fed=fed), check_fed)
    except DagError as error:
        return None, [*problems, *(f"in {name!r}: {problem}" for problem in error.problems)]
    if problems:
        return None, problems
    sources, sinks = ends(graph)
    return SubPlan(plan, sources[0], tuple(fed), spread, sinks[0]), []


def _bind_once(
    spec: NodeSpec,
    body: Once,
    edges: Sequence[Edge],
    returns: Mapping[str, Any],
    outside: _Outside,
    check_fed: bool,
) -> _Bound:
    args = takes(spec, outside.resources)
    takers = feedable(args)
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
        and is_dict(returns[giving[0]])
    )
    if spread:
        binder = Binder(
            spec, edges, returns, [Arg("value", returns[giving[0]], MISSING)], {}, False
        )
        fed = {arg.name: MISSING for arg in takers}
    else:
        binder = Binder(spec, edges, returns, args, outside.fed, check_fed)
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


def _bind_switch(
    spec: NodeSpec,
    body: Switch,
    edges: Sequence[Edge],
    returns: Mapping[str, Any],
    outside: _Outside,
    check_fed: bool,
) -> _Bound:
    binder = Binder(spec, edges, returns, [SWITCH_ARG], outside.fed, check_fed)
    plan, returned, problems = _switch_plan(spec.label, body, outside)
    return _Bound(tuple(binder.bindings.values()), returned, plan, [*binder.problems, *problems])


def _switch_plan(
    label: str, body: Switch, outside: _Outside
) -> tuple[SwitchPlan | None, Any, list[str]]:
    branches: dict[str, SubPlan] = {}
    problems: list[str] = []
    for name, branch in body.branches.items():
        takers = feedable(takes(NodeSpec(label, branch), outside.resources))
        fed = {arg.name: MISSING for arg in takers}
        sub, wrong = _sub_plan(
            f"{label}/{name}", branch.graph, fed, len(takers) > 1, outside, check_fed=True
        )
        problems += wrong
        if sub is not None:
            branches[name] = sub
    if problems:
        return None, MISSING, problems
    return SwitchPlan(branches), one_of([sub.returns for sub in branches.values()]), []


def _bind_map(
    spec: NodeSpec,
    body: Map,
    edges: Sequence[Edge],
    returns: Mapping[str, Any],
    outside: _Outside,
    check_fed: bool,
) -> _Bound:
    arg = collection(body, outside.resources)
    binder = Binder(spec, edges, returns, [arg], outside.fed, check_fed)
    binding = binder.bindings[arg.name]
    if binding.check is not None:
        # each element is checked by itself, where it is used
        binding = replace(binding, check=_CONTAINERS)
    coming = _type_of(binding, returns, outside)
    over: SubPlan | SwitchPlan | None
    if isinstance(body.over, Switch):
        over, returned, problems = _switch_plan(spec.label, body.over, outside)
    else:
        takers = feedable(takes(NodeSpec(spec.label, body.over), outside.resources))
        item = item_of(coming)
        names, problems = element_params(spec.label, takers, item)
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
    problems = [
        f'{spec.label}/{path} has write="replace" inside a map, whose elements would replace each '
        'other\'s rows; use "insert" or "upsert", or write in a node behind the map'
        for path, node in _below(composite)
        if node.writes is not None and node.writes.how == "replace"
    ]
    return _Bound((binding,), map_returns(body, coming, returned), composite, problems)


def _below(composite: MapPlan) -> Iterator[tuple[str, NodePlan]]:
    """The nodes inside a map with their paths from there."""
    over = composite.over
    inside = {"": over} if isinstance(over, SubPlan) else over.branches
    for name, sub in inside.items():
        for path, node in sub.plan.paths.items():
            yield f"{name}/{path}" if name else path, node
