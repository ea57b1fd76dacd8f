"""How are facts shown in columns, and where does each argument come from?

The text of the table only; which argument comes from where was decided in the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..context import is_secret
from ..fit import short, shown
from ..plan import Binding, MapPlan, NodePlan, Plan, SubPlan
from ..printable import columns, one_line, padded


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Rows of text in columns; numbers stand to the right.

    Example:
        >>> print(table(["node", "ms"], [["fetch", 12], ["clean", 3]]))
        node   ms
        -----  --
        fetch  12
        clean   3
    """
    body = [list(row) for row in rows]
    texts = [list(head), *([one_line(str(cell)) for cell in row] for row in body)]
    widths = [max(columns(row[at]) for row in texts) for at in range(len(head))]
    right = [
        bool(body) and all(isinstance(row[at], (int, float)) for row in body)
        for at in range(len(head))
    ]
    texts.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            padded(cell, width, to_right=to_right)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in texts
    )


def explanation(plan: Plan) -> str:
    """For each parameter of each node, where its argument comes from, and by which rule.

    Nodes inside others stand below them, under their path.
    """
    return table(["node", "parameter", "source", "rule"], _rows(plan, "", ""))


def arguments_of(node: NodePlan) -> list[str]:
    """The parameters of a node, each in a line with its source and rule."""
    return [
        f"{name}: from {source} ({rule})" if name else f"after {source}"
        for _, name, source, rule in _rows_of(node, "", "the node around it")
        if name or source
    ]


def _rows(plan: Plan, before: str, value: str) -> Iterator[tuple[str, str, str, str]]:
    """`value` says where what comes from outside the graph comes from."""
    for node in plan.nodes.values():
        yield from _rows_of(node, before, value)
        path = before + node.label
        inner = f"each element of {path}" if isinstance(node.composite, MapPlan) else path
        for inside, sub in node.inside():
            yield from _rows(sub.plan, before + inside, inner)


def _rows_of(node: NodePlan, before: str, value: str) -> Iterator[tuple[str, str, str, str]]:
    path = before + node.label
    for binding in node.bindings:
        yield path, _parameter(node, binding), _source(binding, value), binding.rule
    fed = {up for binding in node.bindings for up in binding.upstreams}
    for up in node.upstreams:
        if up not in fed:
            yield path, "", up, "order"
    if not node.bindings and not node.upstreams:
        yield path, "", "", ""


def _parameter(node: NodePlan, binding: Binding) -> str:
    kind = shown(binding.arg.annotation)
    if isinstance(node.composite, MapPlan):  # its own annotation says so for lists, tuples, dicts
        kind = "list or dict"
        over = node.composite.over
        if isinstance(over, SubPlan) and len(over.params) == 1:
            takes = {each.param: each.arg for each in over.plan.nodes[over.source].bindings}
            kind += f" of {shown(takes[over.params[0]].annotation)}"
    return f"{binding.param}: {kind}"


def _source(binding: Binding, value: str) -> str:
    if binding.upstreams:
        return ", ".join(binding.upstreams)
    if binding.rule == "default":
        return "(secret)" if is_secret(binding.arg.annotation) else short(binding.arg.default, 40)
    return {
        "value": value,
        "resource": "the runner's resources",
        "context": "the runner",
    }.get(binding.rule, "given by the caller")
