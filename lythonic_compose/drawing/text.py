"""How is a graph drawn with characters?

Upstreams stand above downstreams, with lines between them; a graph that is too wide for that
becomes a list.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..plan import MapPlan, NodePlan, Plan
from ..printable import columns, one_line, padded
from .layers import Cell, layered, placed
from .words import marked

_GAP = 3
_MOST = 200
"""Nodes and lines beside one another that are drawn where the width is not limited."""
_INDENT = 4
_NARROWEST = 24
_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_LINES = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"
"""The character of a cell, by the directions in which lines leave it."""


def ascii_drawing(plan: Plan, width: int | None = 80) -> str:
    """The graph as lines of text, and below it the graphs inside its nodes.

    Example:
        >>> print(ascii_drawing(plan))
        fetch
          │
          ▼
        clean
    """
    if not plan.nodes:
        return ""
    words = {label: marked(node) for label, node in plan.nodes.items()}
    texts = {label: text for label, (text, _) in words.items()}
    drawn = [_drawn(plan, texts, width) or _listed(plan, texts, width)]
    for label, (_, inside) in words.items():
        drawn += [_inside(plan.nodes[label], name, inner, width) for name, inner in inside]
    return "\n\n".join(drawn)


def _inside(node: NodePlan, branch: str | None, plan: Plan, width: int | None) -> str:
    """A graph inside a node, below a line that says which it is."""
    head = one_line(node.label)
    if isinstance(node.composite, MapPlan):
        head += ", for each element"
    if branch is not None:
        head += f", branch {one_line(branch)}"
    narrower = None if width is None else max(_NARROWEST, width - _INDENT)
    body = ascii_drawing(plan, narrower).splitlines()
    return "\n".join([f"{head}:", *(f"{'':{_INDENT}}{line}".rstrip() for line in body)])


# --- as a list ------------------------------------------------------------------------------


def _listed(plan: Plan, texts: Mapping[str, str], width: int | None) -> str:
    """A line for each node, with its upstreams beside it."""
    room = _MOST if width is None else width
    widest = min(max(columns(text) for text in texts.values()), room * 2 // 3)
    lines: list[str] = []
    for label, node in plan.nodes.items():
        line = texts[label]
        if node.upstreams:
            line = f"{padded(line, widest)}  ←"
        for number, up in enumerate(node.upstreams, start=1):
            word = one_line(up) + ("," if number < len(node.upstreams) else "")
            if number > 1 and columns(line) + 1 + columns(word) > room:
                lines.append(line)
                line = " " * (widest + 3)
            line += f" {word}"
        lines.append(line)
    return "\n".join(lines)


# --- with lines -----------------------------------------------------------------------------


def _drawn(plan: Plan, texts: Mapping[str, str], width: int | None) -> str | None:
    """The nodes at their depths with lines between them; None where that is too wide."""

    def text_of(cell: Cell) -> str:
        return "│" if cell.passing else texts[cell.label]

    most = _MOST if width is None else (width + _GAP) // (1 + _GAP)
    layers = layered(plan.upstreams, most)
    if layers is None:
        return None
    middles = placed(layers, lambda cell: columns(text_of(cell)), _GAP)
    lines: list[str] = []
    for depth, row in enumerate(layers.rows):
        if depth > 0:
            lines.extend(_connectors(layers.rows[depth - 1], row, layers.links, middles))
        line = ""
        for cell in row:
            text = text_of(cell)
            line = padded(line, middles[cell] - columns(text) // 2) + text
        lines.append(line)
    lines = [line.rstrip() for line in lines]
    if width is not None and max(columns(line) for line in lines) > width:
        return None
    return "\n".join(lines)


def _connectors(
    above: Sequence[Cell],
    below: Sequence[Cell],
    links: Mapping[Cell, Sequence[Cell]],
    middles: Mapping[Cell, int],
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
            heads[middles[cell]] = "│" if cell.passing else "▼"
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
