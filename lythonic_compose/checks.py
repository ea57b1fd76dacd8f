"""What is wrong with a graph, whatever flows along its edges? A list of problems.

Unknown labels, cycles, and signatures that cannot be read. What is wrong with the wiring of one
node is found where the wiring is decided, in `rules.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from heapq import heapify, heappop, heappush

from .errors import WrongKind, nearest
from .graph import Function, Graph, NodeSpec, downstreams_of
from .signature import Unresolved


def structural_problems(graph: Graph) -> list[str]:
    """Everything that is wrong with the labels and signatures of a graph."""
    problems = list(dict.fromkeys(_unknown_labels(graph)))
    for spec in graph.specs.values():
        problems.extend(signature_problems(spec))
    return problems


def _unknown_labels(graph: Graph) -> Iterator[str]:
    for edge in graph.edges:
        for label in (edge.upstream, edge.downstream):
            if label not in graph.specs:
                yield (
                    f"the edge {edge.upstream} -> {edge.downstream} names the unknown node "
                    f"{label!r}{nearest(label, graph.specs)}"
                )


def signature_problems(spec: NodeSpec) -> Iterator[str]:
    """What cannot be read of a function's signature."""
    if not isinstance(spec.body, Function):
        return
    method = spec.body.method
    try:
        annotations = {arg.name: arg.annotation for arg in method.args}
        annotations["return"] = method.return_annotation
    except WrongKind as error:
        yield f"{spec.label}: {error}"
        return
    for name, annotation in annotations.items():
        if isinstance(annotation, Unresolved):
            what = "what it returns" if name == "return" else f"its parameter {name!r}"
            yield (
                f"{spec.label}: the annotation {annotation.text!r} of {what} cannot be resolved "
                f"({annotation.reason}); import or define the name at the level of the module"
            )


def ordered(upstreams: Mapping[str, Sequence[str]]) -> tuple[list[str], list[str]]:
    """The labels so that each stands after its upstreams, and otherwise as they were described;
    and those that stand in a cycle or behind one."""
    labels = list(upstreams)
    place = {label: number for number, label in enumerate(labels)}
    waiting = {label: len(set(ups)) for label, ups in upstreams.items()}
    downstreams = downstreams_of({label: sorted(set(ups)) for label, ups in upstreams.items()})
    ready = [place[label] for label in labels if waiting[label] == 0]
    heapify(ready)
    order: list[str] = []
    while ready:
        label = labels[heappop(ready)]
        order.append(label)
        for downstream in downstreams[label]:
            waiting[downstream] -= 1
            if waiting[downstream] == 0:
                heappush(ready, place[downstream])
    done = set(order)
    return order, [label for label in labels if label not in done]


def cycles(upstreams: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """A cycle for each knot of nodes that lead back to themselves, as labels in their order."""
    left = set(ordered(upstreams)[1])
    found: list[list[str]] = []
    while left:
        start = next(label for label in upstreams if label in left)
        walked: list[str] = []
        here = start
        while here not in walked:
            walked.append(here)
            # each that is left waits for another that is left
            here = next(up for up in upstreams[here] if up in left)
        cycle = walked[walked.index(here) :][::-1]
        first = min(range(len(cycle)), key=lambda at: list(upstreams).index(cycle[at]))
        found.append(cycle[first:] + cycle[:first])
        left -= set(cycle)
        # what only stood behind that cycle is in none
        rest = {label: [up for up in upstreams[label] if up in left] for label in left}
        still = set(ordered({label: rest[label] for label in upstreams if label in rest})[1])
        left = still
    return found


def cycle_problem(cycle: Sequence[str]) -> str:
    return (
        f"there is a cycle: {' -> '.join([*cycle, cycle[0]])}; a node cannot wait for its own "
        "output, so take one of these edges out"
    )
