"""What is there to be drawn? Boxes with the names of what goes in and out, and arrows between them.

Values only, the same for a pipeline and for a Dag; how they are drawn is the business of others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lythonic_state.fields import frozen

from ..dag import Dag
from ..drawing.words import title
from ..errors import WrongKind
from ..fit import is_known, shown
from ..linear import Pipeline
from ..plan import NodePlan, Plan
from ..printable import one_line


@frozen
class Box:
    """A node: its label, and the names of what it takes and makes."""

    label: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


@frozen
class Arrow:
    """The way from one box to another, and what goes there; nothing where only the order counts."""

    start: str
    end: str
    names: tuple[str, ...]


@frozen(slots=False)
class Picture:
    """All that a drawing shows."""

    title: str
    boxes: tuple[Box, ...]
    arrows: tuple[Arrow, ...]

    @property
    def upstreams(self) -> dict[str, tuple[str, ...]]:
        """The labels that lead to each."""
        found: dict[str, list[str]] = {box.label: [] for box in self.boxes}
        for arrow in self.arrows:
            found[arrow.end].append(arrow.start)
        return {label: tuple(ups) for label, ups in found.items()}


def picture_of(what: Any) -> Picture:
    """The picture of a pipeline or a Dag.

    Raises:
        WrongKind: it is neither.
        DagError: a Dag cannot run as it is.
    """
    if isinstance(what, Pipeline):
        return _of_pipeline(what)
    if isinstance(what, Dag):
        return _of_plan(what.plan())
    raise WrongKind(f"what is drawn is a Pipeline or a Dag, got {what!r}")


def _of_pipeline(pipeline: Pipeline) -> Picture:
    infos = pipeline.nodes_info
    makers: dict[str, str] = {}
    ways: dict[tuple[str, str], dict[str, None]] = {}
    boxes: list[Box] = []
    for info in infos:
        label = info["func"]
        for name in info["inputs"]:
            if name in makers:
                ways.setdefault((makers[name], label), {})[name] = None
        makers.update(dict.fromkeys(info["outputs"], label))
        boxes.append(Box(label, _printable(info["inputs"]), _printable(info["outputs"])))
    arrows = [Arrow(start, end, _printable(names)) for (start, end), names in ways.items()]
    return Picture(f"Pipeline ({_counted(boxes)})", tuple(boxes), tuple(arrows))


def _of_plan(plan: Plan) -> Picture:
    boxes = [Box(label, _inputs(node), _outputs(node)) for label, node in plan.nodes.items()]
    ways: dict[tuple[str, str], dict[str, None]] = {}
    for edge in plan.edges:
        names = ways.setdefault((edge.upstream, edge.downstream), {})
        if edge.param is not None:
            names[edge.param] = None
    arrows = [Arrow(start, end, _printable(names)) for (start, end), names in ways.items()]
    return Picture(f"Dag ({_counted(boxes)})", tuple(boxes), tuple(arrows))


def _inputs(node: NodePlan) -> tuple[str, ...]:
    """The parameters of a node of a Dag, with the nodes that feed them."""
    return tuple(
        f"{one_line(each.param)} ({', '.join(map(one_line, each.upstreams))})"
        if each.upstreams
        else one_line(each.param)
        for each in node.bindings
        if each.upstreams or each.is_given
    )


def _outputs(node: NodePlan) -> tuple[str, ...]:
    """What a node of a Dag returns; nothing where it returns None."""
    if node.returns is type(None):
        return ()
    return (one_line(shown(node.returns)) if is_known(node.returns) else title(node),)


def _printable(names: Mapping[str, None] | list[str]) -> tuple[str, ...]:
    return tuple(one_line(name) for name in names)


def _counted(boxes: list[Box]) -> str:
    return f"{len(boxes)} node{'' if len(boxes) == 1 else 's'}"
