"""How is a plan shown? As text, as mermaid, and as a table of what feeds what.

Only plans are read here; nothing is decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from .fit import shown
from .plan import Binding, Plan

# --- tables ---------------------------------------------------------------------------------


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
    texts = [list(head), *([str(cell) for cell in row] for row in body)]
    widths = [max(len(row[at]) for row in texts) for at in range(len(head))]
    right = [
        bool(body) and all(isinstance(row[at], (int, float)) for row in body)
        for at in range(len(head))
    ]
    texts.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.rjust(width) if to_right else cell.ljust(width)
            for cell, width, to_right in zip(row, widths, right, strict=True)
        ).rstrip()
        for row in texts
    )


def explanation(plan: Plan) -> str:
    """For each parameter of each node, where its argument comes from, and by which rule."""
    rows: list[tuple[str, str, str, str]] = []
    for label, node in plan.nodes.items():
        for binding in node.bindings:
            rows.append((label, _parameter(binding), _source(binding), binding.rule))
        fed = {up for binding in node.bindings for up in binding.upstreams}
        rows.extend((label, "", up, "order") for up in node.upstreams if up not in fed)
        if not node.bindings and not node.upstreams:
            rows.append((label, "", "", ""))
    return table(["node", "parameter", "source", "rule"], rows)


def _parameter(binding: Binding) -> str:
    return f"{binding.param}: {shown(binding.arg.annotation)}"


def _source(binding: Binding) -> str:
    if binding.upstreams:
        return ", ".join(binding.upstreams)
    if binding.rule == "default":
        return f"{binding.arg.default!r}"
    return "given by the caller"


# --- mermaid --------------------------------------------------------------------------------


def mermaid(plan: Plan) -> str:
    """The graph in the language of mermaid; order-only edges are dotted."""
    names = {label: f"n{number}" for number, label in enumerate(plan.nodes)}
    lines = ["flowchart TD"]
    lines += [f'    {names[label]}["{_escaped(label)}"]' for label in plan.nodes]
    for edge in plan.edges:
        arrow = f'-->|"{_escaped(edge.param)}"|' if edge.param else "-.->"
        lines.append(f"    {names[edge.upstream]} {arrow} {names[edge.downstream]}")
    return "\n".join(lines)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


# --- text -----------------------------------------------------------------------------------

_GAP = 3
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
"""The character of a cell, by the directions in which lines leave it."""


@dataclass(frozen=True)
class _Cell:
    """A node at its depth; or, where an edge passes by, a piece of line called after its start."""

    label: str
    depth: int
    text: str


def ascii_drawing(plan: Plan) -> str:
    """The graph as lines of text, upstreams above downstreams.

    Example:
        >>> print(ascii_drawing(plan))
        fetch
          │
          ▼
        clean
    """
    if not plan.nodes:
        return ""
    layers, links = _layered(plan.upstreams)
    middles = _placed(layers, links)
    lines: list[str] = []
    for depth, layer in enumerate(layers):
        if depth > 0:
            lines.extend(_connectors(layers[depth - 1], layer, links, middles))
        lines.append(_names(layer, middles))
    return "\n".join(line.rstrip() for line in lines)


def _layered(
    upstreams: Mapping[str, Sequence[str]],
) -> tuple[list[list[_Cell]], dict[_Cell, list[_Cell]]]:
    """The cells by depth, and to which of the next depth each leads."""
    depth: dict[str, int] = {}
    for label, ups in upstreams.items():
        depth[label] = 1 + max((depth[up] for up in ups), default=-1)
    layers: list[list[_Cell]] = [[] for _ in range(1 + max(depth.values()))]
    for label, at in depth.items():
        layers[at].append(_Cell(label, at, label))
    links: dict[_Cell, list[_Cell]] = {}
    for label, ups in upstreams.items():
        for up in ups:
            here = _Cell(up, depth[up], up)
            for at in range(depth[up] + 1, depth[label] + 1):
                there = _Cell(label, at, label) if at == depth[label] else _Cell(up, at, "│")
                if there not in layers[at]:
                    layers[at].append(there)
                if there not in links.setdefault(here, []):
                    links[here].append(there)
                here = there
    return layers, links


def _placed(
    layers: Sequence[list[_Cell]], links: Mapping[_Cell, Sequence[_Cell]]
) -> dict[_Cell, int]:
    """The column of the middle of each cell: below those that lead to it, where there is room."""
    middles: dict[_Cell, int] = {}
    for depth, layer in enumerate(layers):
        wanted: dict[_Cell, float] = {}
        above = layers[depth - 1] if depth else []
        for cell in layer:
            columns = [middles[up] for up in above if cell in links.get(up, ())]
            wanted[cell] = sum(columns) / len(columns) if columns else 0
        layer.sort(key=wanted.__getitem__)
        packed: dict[_Cell, int] = {}
        column = 0
        for cell in layer:
            packed[cell] = column + len(cell.text) // 2
            column += len(cell.text) + _GAP
        shift = round(sum(wanted[cell] - packed[cell] for cell in layer) / len(layer))
        middles.update({cell: at + shift for cell, at in packed.items()})
    left = min(at - len(cell.text) // 2 for cell, at in middles.items())
    return {cell: at - left for cell, at in middles.items()}


def _names(layer: Sequence[_Cell], middles: Mapping[_Cell, int]) -> str:
    line = ""
    for cell in layer:
        line = line.ljust(middles[cell] - len(cell.text) // 2) + cell.text
    return line


def _connectors(
    above: Sequence[_Cell],
    below: Sequence[_Cell],
    links: Mapping[_Cell, Sequence[_Cell]],
    middles: Mapping[_Cell, int],
) -> list[str]:
    """The lines between two layers: down, along a row of its own for each turning edge, down."""
    leads = {
        middles[cell]: sorted(middles[target] for target in links[cell])
        for cell in above
        if cell in links
    }
    rows = _rows(leads)
    height = max([0, *rows.values()]) + 1
    grid: dict[tuple[int, int], int] = {}

    def draw(row: int, column: int, directions: int) -> None:
        grid[row, column] = grid.get((row, column), 0) | directions

    for start, ends in leads.items():
        turn = rows.get(start, height)
        for row in range(min(turn, height)):
            draw(row, start, _UP | _DOWN)
        if turn == height:
            continue
        draw(turn, start, _UP)
        first, last = min(start, *ends), max(start, *ends)
        for column in range(first, last + 1):
            draw(turn, column, (_LEFT if column > first else 0) | (_RIGHT if column < last else 0))
        for end in ends:
            draw(turn, end, _DOWN)
            for row in range(turn + 1, height):
                draw(row, end, _UP | _DOWN)
    width = 1 + max(column for _, column in grid)
    lines = [
        "".join(_LINES[grid.get((row, column), 0)] for column in range(width))
        for row in range(height)
    ]
    heads = [" "] * width
    for cell in below:
        if any(middles[cell] in ends for ends in leads.values()):
            heads[middles[cell]] = "│" if cell.text == "│" and cell.label != "│" else "▼"
    return [*lines, "".join(heads)]


def _rows(leads: Mapping[int, Sequence[int]]) -> dict[int, int]:
    """The row in which each edge that does not go straight down turns.

    Whoever stands above a target that is not its own turns before the line to that target comes.
    """
    turning = [start for start, ends in leads.items() if list(ends) != [start]]
    rows: dict[int, int] = {}
    waiting = list(turning)
    while waiting:
        start = next(
            (
                each
                for each in waiting
                if not any(other != each and other in leads[each] for other in waiting)
            ),
            waiting[0],
        )
        waiting.remove(start)
        span = range(min(start, *leads[start]), max(start, *leads[start]) + 1)
        row = 0
        for other, taken in rows.items():
            ends = leads[other]
            overlaps = span.start <= max(other, *ends) + 1 and min(other, *ends) <= span.stop
            if overlaps and set(ends) != set(leads[start]):
                row = max(row, taken + 1)
        rows[start] = row
    return rows
