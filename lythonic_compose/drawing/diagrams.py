"""How is a graph written in the languages of mermaid and Graphviz?

A composite is a box around the nodes inside it, with a box for each branch of a switch.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import count

from lythonic_state.fields import frozen

from ..plan import Plan, PlannedEdge
from ..printable import one_line
from .words import branches, title

# --- mermaid --------------------------------------------------------------------------------


def mermaid(plan: Plan) -> str:
    """The graph in the language of mermaid; order-only edges are dotted.

    Example:
        >>> print(mermaid(plan))
        flowchart TD
            n0["fetch"]
            n1["clean"]
            n0 -->|"page"| n1
    """
    return "\n".join(["flowchart TD", *_mermaid_graph(plan, "    ", _ids("n"))])


def _mermaid_graph(plan: Plan, indent: str, new_id: Callable[[], str]) -> Iterator[str]:
    ids: dict[str, str] = {}
    for label, node in plan.nodes.items():
        ids[label] = new_id()
        if node.composite is None:
            yield f'{indent}{ids[label]}["{for_mermaid(title(node))}"]'
            continue
        yield f'{indent}subgraph {ids[label]}["{for_mermaid(title(node))}"]'
        for name, inner in branches(node):
            if name is None:
                yield from _mermaid_graph(inner, indent + "    ", new_id)
            else:
                yield f'{indent}    subgraph {new_id()}["{for_mermaid(one_line(name))}"]'
                yield from _mermaid_graph(inner, indent + "        ", new_id)
                yield f"{indent}    end"
        yield f"{indent}end"
    for edge in plan.edges:
        arrow = f'-->|"{for_mermaid(edge.param)}"|' if edge.param else "-.->"
        yield f"{indent}{ids[edge.upstream]} {arrow} {ids[edge.downstream]}"


_READ_BY_MERMAID = re.compile(
    r"[^\w ,:=→()/.-]"  # quotes and brackets, and what markdown takes for emphasis or code
    r"|(?<![^\W_])_|_(?![^\W_])"  # an underscore that is not inside a word
    r"|^[ -]|(?<=\d)\.(?= )"  # the beginning of a list
)


def for_mermaid(text: str) -> str:
    """Text between quotes of mermaid, which would read some of its characters."""
    return _READ_BY_MERMAID.sub(lambda found: f"#{ord(found[0])};", text)


# --- dot ------------------------------------------------------------------------------------


def dot(plan: Plan) -> str:
    """The graph in Graphviz's language; order-only edges are dotted.

    Example:
        >>> print(dot(plan))
        digraph {
            compound=true;
            node [shape=box];
            n0 [label="fetch"];
            n1 [label="clean"];
            n0 -> n1 [label="page"];
        }
    """
    lines, _ = _dot_graph(plan, "    ", _ids("n"), _ids("cluster_"))
    return "\n".join(["digraph {", "    compound=true;", "    node [shape=box];", *lines, "}"])


@frozen
class _Spot:
    """Where an edge can touch a node: Graphviz joins nodes, and clips an edge at a cluster."""

    first: str
    last: str
    cluster: str | None = None


def _dot_graph(
    plan: Plan, indent: str, new_id: Callable[[], str], new_cluster: Callable[[], str]
) -> tuple[list[str], _Spot]:
    """The lines of a graph, and where an edge to the whole of it begins or ends."""
    lines: list[str] = []
    spots: dict[str, _Spot] = {}
    for label, node in plan.nodes.items():
        if node.composite is None:
            name = new_id()
            spots[label] = _Spot(name, name)
            lines.append(f"{indent}{name} [label={_quoted(title(node))}];")
            continue
        cluster = new_cluster()
        lines.append(f"{indent}subgraph {cluster} {{")
        lines.append(f"{indent}    label={_quoted(title(node))};")
        inside: list[_Spot] = []
        for branch, inner in branches(node):
            deeper = indent + "    " * (1 if branch is None else 2)
            body, spot = _dot_graph(inner, deeper, new_id, new_cluster)
            inside.append(spot)
            if branch is not None:
                lines.append(f"{indent}    subgraph {new_cluster()} {{")
                lines.append(f"{deeper}label={_quoted(one_line(branch))};")
            lines += body
            if branch is not None:
                lines.append(f"{indent}    }}")
        lines.append(f"{indent}}}")
        spots[label] = _Spot(inside[0].first, inside[0].last, cluster)
    for edge in plan.edges:
        lines.append(f"{indent}{_dot_edge(edge, spots[edge.upstream], spots[edge.downstream])}")
    labels = list(plan.nodes)
    whole = _Spot("", "") if not labels else _Spot(spots[labels[0]].first, spots[labels[-1]].last)
    return lines, whole


def _dot_edge(edge: PlannedEdge, start: _Spot, end: _Spot) -> str:
    about = [f"label={_quoted(edge.param)}" if edge.param else "style=dotted"]
    if start.cluster is not None:
        about.append(f"ltail={start.cluster}")
    if end.cluster is not None:
        about.append(f"lhead={end.cluster}")
    return f"{start.last} -> {end.first} [{', '.join(about)}];"


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _ids(before: str) -> Callable[[], str]:
    numbers = count()
    return lambda: f"{before}{next(numbers)}"
