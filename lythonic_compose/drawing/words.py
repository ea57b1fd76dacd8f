"""How is a node called in a drawing, and what is inside it?

Nothing is placed here.
"""

from __future__ import annotations

from collections.abc import Iterator

from ..plan import MapPlan, NodePlan, Plan, SubPlan
from ..printable import columns, one_line

_LONGEST = 40
"""Columns that the words in brackets may take; what is longer is drawn below."""


def kind(node: NodePlan) -> str:
    """What a composite node is: "map", "switch", "map, switch" or "dag"."""
    composite = node.composite
    if isinstance(composite, MapPlan):
        return "map" if isinstance(composite.over, SubPlan) else "map, switch"
    return "dag" if isinstance(composite, SubPlan) else "switch"


def branches(node: NodePlan) -> Iterator[tuple[str | None, Plan]]:
    """The graphs inside a node, each with the name of its branch if it is one of a switch."""
    over = node.composite.over if isinstance(node.composite, MapPlan) else node.composite
    if isinstance(over, SubPlan):
        yield None, over.plan
    elif over is not None:
        for name, sub in over.branches.items():
            yield name, sub.plan


def title(node: NodePlan) -> str:
    """The label, of a composite with what it is: "chunks (map)"; and what it writes: "clean
    (upsert)"."""
    label = one_line(node.label)
    if node.composite is None:
        return label if node.writes is None else f"{label} ({node.writes.how})"
    return f"{label} ({kind(node)})"


def marked(node: NodePlan) -> tuple[str, list[tuple[str | None, Plan]]]:
    """The label, of a composite with what is inside in brackets; and the graphs that this does
    not tell of.

    Example:
        >>> marked(node)
        ('chunks [map: tokenize → count]', [])
    """
    label = one_line(node.label)
    if node.composite is None:
        return label if node.writes is None else f"{label} [{node.writes.how}]", []
    inside = list(branches(node))
    told = [_told(name, plan) for name, plan in inside]
    words = " | ".join(text for text, _ in told)
    if inside[0][0] is None and words == label:  # dag.map(parse)
        return f"{label} [{kind(node)}]", []
    if columns(words) > _LONGEST:
        told = [
            ("" if name is None else one_line(name), _chain(plan) == [name])
            for name, plan in inside
        ]
        words = " | ".join(text for text, _ in told)
    if not words or columns(words) > _LONGEST:
        return f"{label} [{kind(node)}]", inside
    left = [each for each, (_, says_it_all) in zip(inside, told, strict=True) if not says_it_all]
    return f"{label} [{kind(node)}: {words}]", left


def _told(name: str | None, plan: Plan) -> tuple[str, bool]:
    """A graph in words, and whether these say all of it."""
    chain = _chain(plan)
    words = " → ".join(one_line(label) for label in chain)
    if name is None:
        return words, bool(chain)
    if not chain or chain == [name]:
        return one_line(name), bool(chain)
    return f"{one_line(name)}: {words}", True


def _chain(plan: Plan) -> list[str]:
    """The labels of a graph that is a plain chain; of any other, none."""
    nodes = list(plan.nodes.values())
    before: tuple[str, ...] = ()
    for node in nodes:
        if node.composite is not None or node.upstreams != before:
            return []
        before = (node.label,)
    return [node.label for node in nodes]
