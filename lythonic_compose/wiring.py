"""Which arguments does a node get, now that these outputs are there?

Carries out what the plan has decided: looks values up and checks their types. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from .errors import DagError, UnknownName, WiringError, WrongKind, nearest
from .fit import shown
from .plan import Binding, MapPlan, NodePlan, Plan, SubPlan

Given = Mapping[str, Mapping[str, Any]]
"""What the caller gives, by the path of a node ("fetch", "pages/fetch") and parameter."""


def arguments(
    node: NodePlan,
    outputs: Mapping[str, Any],
    given: Mapping[str, Any],
    resources: Mapping[str, Any],
    context: Any = None,
) -> dict[str, Any]:
    """The arguments of a node by name; a parameter that is left to its default is left out.

    Raises:
        WiringError: a value is not of the type that its edge declares.
    """
    found: dict[str, Any] = {}
    for binding in node.bindings:
        param = binding.arg.name
        if binding.upstreams:
            found[param] = _from_upstreams(node, binding, outputs)
        elif binding.rule == "context":
            found[param] = context
        elif binding.rule == "resource":
            found[param] = resources[param]
        elif param in given:
            found[param] = given[param]
            complaint = binding.check.complaint(given[param]) if binding.check else None
            if complaint is not None:
                raise WiringError(
                    f"the value for {node.label}.{param} is to be {shown(binding.expected)}, "
                    f"{complaint}"
                )
    return found


def _from_upstreams(node: NodePlan, binding: Binding, outputs: Mapping[str, Any]) -> Any:
    for upstream in binding.upstreams:
        complaint = binding.check.complaint(outputs[upstream]) if binding.check else None
        if complaint is not None:
            raise WiringError(
                f"the edge {upstream} -> {node.label}.{binding.param} expects "
                f"{shown(binding.expected)}, {complaint}"
            )
    if binding.rule == "list":
        return [outputs[upstream] for upstream in binding.upstreams]
    if binding.rule == "dict":
        return {upstream: outputs[upstream] for upstream in binding.upstreams}
    return outputs[binding.upstreams[0]]


_OTHERS: Mapping[str, str] = {
    "context": "the runner",
    "resource": "the resource of this name",
    "value": "what is around it",
}
"""Who gives what neither an edge nor the caller does, by rule."""


# --- what the caller gives ------------------------------------------------------------------


def _as_argument(path: str, param: str) -> str:
    return f'give {param}=… or source_inputs={{"{path}": {{"{param}": …}}}}'


def inputs_of(
    plan: Plan,
    given: Given,
    resources: Mapping[str, Any],
    needed: Mapping[str, NodePlan],
    *,
    mend: Callable[[str, str], str] = _as_argument,
) -> dict[str, dict[str, Any]]:
    """What is given, sorted to the nodes that take it, once all that `needed` nodes need is.

    What is given for a node that runs a graph goes to that graph's source. The nodes in `needed`
    are by path. `mend` says how a missing input is given, by its path and parameter.

    Raises:
        UnknownName: a node or a parameter that is not there.
        DagError: with every input that is missing, or that an edge feeds already.
        WrongKind: they are no dict.
    """
    found: dict[str, dict[str, Any]] = {}
    if not isinstance(cast(Any, given), Mapping):
        raise WrongKind(f'inputs are a dict by node, {{"fetch": {{"url": …}}}}, got {given!r}')
    for path, values in given.items():
        if path not in plan.paths:
            raise UnknownName(
                f"inputs are given for the unknown node {path!r}{nearest(path, plan.paths)}"
            )
        if not isinstance(cast(Any, values), Mapping):
            raise DagError(f"the inputs of {path!r} are to be a dict by parameter, got {values!r}")
        for name, value in values.items():
            where = taker(plan, path, name)
            there = found.setdefault(where, {})
            if name in there:
                raise DagError(f"{where}.{name} is given twice; give it as {where!r} only")
            there[name] = value
    problems: list[str] = []
    for path, node in needed.items():
        if path not in found and path not in plan.asking:
            continue
        values = found.get(path, {})
        for binding in node.bindings:
            if binding.param in values and not binding.is_given:
                source = _OTHERS.get(binding.rule, " and ".join(binding.upstreams))
                problems.append(
                    f"{path}.{binding.param} is given, but {source} feeds it; take the input out"
                )
            if (
                binding.rule == "input"
                and binding.param not in values
                and binding.param not in resources
            ):
                problems.append(
                    f"the input {binding.param!r} of {path} is missing "
                    f"({shown(binding.arg.annotation)}); {mend(path, binding.param)}"
                )
    if problems:
        raise DagError(problems)
    return found


def taker(plan: Plan, path: str, name: str) -> str:
    """The path of the node whose parameter this is: the node itself, or the source inside it."""
    node = plan.paths[path]
    known = [binding.param for binding in node.bindings]
    if name in known:
        return path
    inside = node.composite.over if isinstance(node.composite, MapPlan) else node.composite
    if isinstance(inside, SubPlan):
        try:
            return f"{path}/{taker(inside.plan, inside.source, name)}"
        except UnknownName:
            known += [each.param for each in inside.plan.nodes[inside.source].bindings]
    raise UnknownName(f"{path} takes no parameter {name!r}{nearest(name, known)}")


def inside_of(given: Mapping[str, dict[str, Any]], before: str) -> dict[str, dict[str, Any]]:
    """The part of the inputs that is for the nodes inside another."""
    return {
        path[len(before) :]: values for path, values in given.items() if path.startswith(before)
    }


def inputs_by_node(plan: Plan, inputs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Inputs by the name of a parameter, or by node as `label={…}`, sorted to their nodes.

    Raises:
        UnknownName: a name that nothing takes.
        DagError: a name that is both, or the values of a node that are no dict.
    """
    takers: dict[str, list[str]] = {}
    fed: dict[str, str] = {}
    for path, node in plan.paths.items():
        for binding in node.bindings:
            if binding.is_given:
                takers.setdefault(binding.param, []).append(path)
            else:
                how = "an edge" if binding.upstreams else _OTHERS[binding.rule]
                fed.setdefault(binding.param, f"{path}.{binding.param} is fed by {how}")
    found: dict[str, dict[str, Any]] = {}
    for name, value in inputs.items():
        if name in takers and name in plan.nodes:
            raise DagError(
                f"{name!r} is a parameter (of {', '.join(takers[name])}) and also a node; use "
                f'DagRunner(dag).run(source_inputs={{"{takers[name][0]}": {{"{name}": …}}}})'
            )
        if name in takers:
            for path in takers[name]:
                found.setdefault(path, {})[name] = value
        elif name in plan.paths:
            if not isinstance(value, Mapping):
                raise DagError(f"{name!r} is a node: give its inputs as {name}={{'parameter': …}}")
            found.setdefault(name, {}).update(cast("Mapping[str, Any]", value))
        elif name in fed:
            raise UnknownName(f"no input {name!r}: {fed[name]}")
        else:
            raise UnknownName(
                f"nothing takes the input {name!r}{nearest(name, [*takers, *plan.paths])}"
            )
    return found
