"""Which arguments does a node get, now that these outputs are there?

Carries out what the plan has decided: looks values up and checks their types. It decides nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from .errors import DagError, UnknownName, WiringError, nearest
from .fit import shown
from .plan import Binding, NodePlan, Plan

Given = Mapping[str, Mapping[str, Any]]
"""What the caller gives, by node and parameter."""


def arguments(node: NodePlan, outputs: Mapping[str, Any], given: Mapping[str, Any]) -> Any:
    """The arguments of a node by name; a parameter that is left to its default is left out.

    Raises:
        WiringError: a value is not of the type that its edge declares.
    """
    found: dict[str, Any] = {}
    for binding in node.bindings:
        if binding.upstreams:
            found[binding.param] = _from_upstreams(node, binding, outputs)
        elif binding.param in given:
            found[binding.param] = given[binding.param]
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


# --- what the caller gives ------------------------------------------------------------------


def check_inputs(plan: Plan, given: Given) -> None:
    """Whether everything that must be given is, and nothing else.

    Raises:
        UnknownName: a node or a parameter that is not there.
        DagError: with every input that is missing, or that an edge feeds already.
    """
    for label, values in given.items():
        if label not in plan.nodes:
            raise UnknownName(
                f"inputs are given for the unknown node {label!r}{nearest(label, plan.nodes)}"
            )
        known = {binding.param for binding in plan.nodes[label].bindings}
        for name in values:
            if name not in known:
                raise UnknownName(f"{label} takes no parameter {name!r}{nearest(name, known)}")
    problems: list[str] = []
    for label, node in plan.nodes.items():
        values = given.get(label, {})
        for binding in node.bindings:
            if binding.upstreams and binding.param in values:
                problems.append(
                    f"{label}.{binding.param} is given, but {' and '.join(binding.upstreams)} "
                    "feeds it; take the input out, or the edge"
                )
            if binding.rule == "input" and binding.param not in values:
                problems.append(
                    f"the input {binding.param!r} of {label} is missing "
                    f"({shown(binding.arg.annotation)}); give {binding.param}=… or "
                    f'source_inputs={{"{label}": {{"{binding.param}": …}}}}'
                )
    if problems:
        raise DagError(problems)


def inputs_by_node(plan: Plan, inputs: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Inputs by the name of a parameter, or by node as `label={…}`, sorted to their nodes.

    Raises:
        UnknownName: a name that nothing takes.
        DagError: a name that is both, or the values of a node that are no dict.
    """
    takers: dict[str, list[str]] = {}
    fed: dict[str, str] = {}
    for label, node in plan.nodes.items():
        for binding in node.bindings:
            if binding.upstreams:
                fed[binding.param] = f"{label}.{binding.param}"
            else:
                takers.setdefault(binding.param, []).append(label)
    found: dict[str, dict[str, Any]] = {}
    for name, value in inputs.items():
        if name in takers and name in plan.nodes:
            raise DagError(
                f"{name!r} is a parameter (of {', '.join(takers[name])}) and also a node; use "
                f'DagRunner(dag).run(source_inputs={{"{takers[name][0]}": {{"{name}": …}}}})'
            )
        if name in takers:
            for label in takers[name]:
                found.setdefault(label, {})[name] = value
        elif name in plan.nodes:
            if not isinstance(value, Mapping):
                raise DagError(f"{name!r} is a node: give its inputs as {name}={{'parameter': …}}")
            found.setdefault(name, {}).update(cast("Mapping[str, Any]", value))
        elif name in fed:
            raise UnknownName(f"no input {name!r}: {fed[name]} is fed by an edge")
        else:
            raise UnknownName(
                f"nothing takes the input {name!r}{nearest(name, [*takers, *plan.nodes])}"
            )
    return found
