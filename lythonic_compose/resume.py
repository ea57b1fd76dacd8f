"""What of an earlier run is used again, and what has to run?

Decided from what a store remembers; values are restored here, but nothing runs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

from pydantic_core import from_json

from lythonic_state.fields import frozen

from .composite import Part
from .events import DONE
from .outputs.rows import ROWS, Rows, RowSource
from .plan import NodePlan, Plan, SubPlan, SwitchPlan
from .recall import Memory, OldNode, OldRun
from .values import Encoded, decode, encode


@frozen
class Kept:
    """What of an earlier run is used again."""

    done: Mapping[str, OldNode]
    """The nodes that do not run, by label."""
    values: Mapping[str, Any]
    """What they returned, as far as somebody needs it."""
    again: tuple[str, ...]
    """The nodes that had completed and run all the same, since their output does not come back."""


def kept_of(
    plan: Plan,
    old: OldRun,
    rerun: Iterable[str],
    memory: Memory,
    user_ctx: Any = None,
    source: RowSource | None = None,
    *,
    all_values: bool = False,
) -> Kept:
    """What need not run again; the nodes in `rerun` do, whatever they had come to.

    Rows are read from `source`, or else where the store has them. With `all_values` the outputs
    that nobody needs are restored, too, where that can be done.
    """
    run = {label for label in plan.nodes if not _is_done(old, label)} | set(rerun)
    values: dict[str, Any] = {}
    again: list[str] = []
    asked = [label for label, node in plan.nodes.items() if node.is_sink]
    asked += [up for label in run for up in _feeding(plan.nodes[label])]
    while asked:
        label = asked.pop()
        if label in run or label in values:
            continue
        found = restored(plan.nodes[label], old.nodes[label], memory, user_ctx, source)
        if found is None:
            run.add(label)
            again.append(label)
            asked += _feeding(plan.nodes[label])
        else:
            (values[label],) = found
    done = {label: old.nodes[label] for label in plan.nodes if label not in run}
    for label in done if all_values else ():
        if label in values:
            continue
        found = restored(plan.nodes[label], done[label], memory, user_ctx, source)
        if found is not None:
            (values[label],) = found
    return Kept(done, values, tuple(label for label in plan.nodes if label in again))


def _is_done(old: OldRun, label: str) -> bool:
    return label in old.nodes and old.nodes[label].status in DONE


def _feeding(node: NodePlan) -> Iterator[str]:
    for binding in node.bindings:
        yield from binding.upstreams


def restored(
    node: NodePlan, old: OldNode, memory: Memory, user_ctx: Any, source: RowSource | None
) -> tuple[Any] | None:
    """The output of a node, if it comes back as what it was."""
    if old.output is None:
        return None
    kept = memory.load(old.output)
    if kept.type_name != ROWS:
        return _decoded(kept, node.returns)
    (rows,) = cast("tuple[Rows[Any]]", _decoded(kept, Rows))
    models = () if node.writes is None else node.writes.models
    try:
        return (rows.connected(source or memory.row_source(), user_ctx, models),)
    except LookupError:  # their models are not there any more
        return None


def _decoded(kept: Encoded, annotation: Any) -> tuple[Any] | None:
    if not kept.restorable:
        return None
    try:
        return (decode(kept.text, annotation),)
    except ValueError:  # the declared type is another one now
        return None


# --- inputs ---------------------------------------------------------------------------------


def old_inputs(plan: Plan, old: OldRun) -> dict[str, dict[str, Any]]:
    """What an earlier run was given, as far as it was kept and is still asked for."""
    found: dict[str, dict[str, Any]] = {}
    for path, texts in old.inputs.items():
        node = plan.paths.get(path)
        if node is None:
            continue
        for binding in node.bindings:
            text = texts.get(binding.param)
            if text is None or f"{path}.{binding.param}" in old.withheld:
                continue
            value = _decoded(Encoded(text, True, ""), binding.arg.annotation)
            if value is not None:
                found.setdefault(path, {})[binding.param] = value[0]
    return found


# --- what has changed -----------------------------------------------------------------------


def changed_nodes(plan: Plan, old: OldRun, memory: Memory) -> list[str]:
    """The paths of the nodes that completed in an earlier run and have other code or edges now."""
    found: list[str] = []
    for label, node in old.nodes.items():
        if node.status in DONE:
            if label not in plan.nodes or _is_changed(plan, old, label):
                found.append(label)
        elif label in plan.nodes and plan.nodes[label].composite is not None:
            for child in memory.recall_nested(old.run_id, label).values():
                sub = sub_plan_of(plan.nodes[label], child.branch)
                if sub is not None:
                    inner = changed_nodes(sub.plan, child, memory)
                    found += [f"{label}/{path}" for path in inner]
    return list(dict.fromkeys(found))


def changed_here(plan: Plan, old: OldRun) -> set[str]:
    """The labels of those of this graph itself."""
    return {label for label in plan.nodes if _is_done(old, label) and _is_changed(plan, old, label)}


def _is_changed(plan: Plan, old: OldRun, label: str) -> bool:
    mine = {
        (edge.upstream, edge.downstream, edge.param, edge.rule)
        for up in plan.nodes[label].upstreams
        for edge in plan.nodes[up].edges
        if edge.downstream == label
    }
    theirs = {tuple(edge) for edge in old.edges if edge[1] == label}
    return plan.nodes[label].code_hash != old.code_hashes.get(label) or mine != theirs


def behind(plan: Plan, labels: Iterable[str]) -> set[str]:
    """These nodes and all that are downstream of them."""
    found: set[str] = set()
    stack = list(labels)
    while stack:
        label = stack.pop()
        if label not in found:
            found.add(label)
            stack += plan.nodes[label].downstreams
    return found


# --- nested runs ----------------------------------------------------------------------------


def sub_plan_of(node: NodePlan, branch: str | None) -> SubPlan | None:
    """The graph inside a node that a nested run of it was a run of."""
    composite = node.composite
    if composite is not None and not isinstance(composite, (SubPlan, SwitchPlan)):
        composite = composite.over
    if isinstance(composite, SwitchPlan):
        return None if branch is None else composite.branches.get(branch)
    return composite


def left_of_part(
    part: Part,
    old: OldRun,
    memory: Memory,
    user_ctx: Any = None,
    source: RowSource | None = None,
    *,
    keep_changed: bool,
) -> tuple[Any] | Kept | None:
    """What is left of an earlier nested run: its value, what it had done, or nothing."""
    if part.sub is None or not _same_part(part, part.sub, old):
        return None
    plan = part.sub.plan
    changed = set[str]() if keep_changed else behind(plan, changed_here(plan, old))
    if old.status == "completed":
        return None if changed else _completed_part(part.sub, old, memory, user_ctx, source)
    return kept_of(plan, old, changed, memory, user_ctx, source)


def _same_part(part: Part, sub: SubPlan, old: OldRun) -> bool:
    """Whether a nested run was given what it is to be given now, and went the same way."""
    if part.branch != old.branch:
        return False
    annotations = {
        binding.param: binding.arg.annotation for binding in sub.plan.nodes[sub.source].bindings
    }
    before = old.inputs.get(sub.source, {})
    for param, value in part.given.items():
        now = encode(value, annotations[param])
        if not now.restorable or f"{sub.source}.{param}" in old.withheld or param not in before:
            return False
        if from_json(now.text) != from_json(before[param]):
            return False
    return True


def _completed_part(
    sub: SubPlan, old: OldRun, memory: Memory, user_ctx: Any, source: RowSource | None
) -> tuple[Any] | None:
    """What a nested run that completed returned, if its value comes back as it was."""
    node = old.nodes.get(sub.sink)
    if node is None or node.status not in DONE:
        return None
    return restored(sub.plan.nodes[sub.sink], node, memory, user_ctx, source)
