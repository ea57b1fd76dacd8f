"""How is a graph drawn as a picture? In SVG, made without any network.

It takes its colours from the page around it, be that dark or light.
"""

from __future__ import annotations

from html import escape

from lythonic_state.fields import frozen

from ..plan import NodePlan, Plan
from ..printable import columns, one_line
from .layers import Cell, Layers, layered, placed
from .tables import arguments_of
from .words import branches, title

_FONT = 13
_COLUMN = 8
"""Pixels that one column of text takes at most."""
_LINE = 18
_PAD = 8
_ACROSS, _DOWN = 20, 34
"""Pixels between nodes beside and below one another."""
_MOST_BESIDE = 60
_MOST_NODES = 400


def svg(plan: Plan) -> str | None:
    """The graph as an SVG element; None where it is too large to be looked at so."""
    picture = _graph(plan) if len(plan.paths) <= _MOST_NODES else None
    if picture is None:
        return None
    width, height = picture.width + 2 * _PAD, picture.height + 2 * _PAD
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" role="img" fill="none" stroke="currentColor" '
        f'font-family="monospace" font-size="{_FONT}">{picture.at(_PAD, _PAD)}</svg>'
    )


@frozen
class _Picture:
    """Elements of an SVG, drawn with their left upper corner at 0, 0."""

    width: int
    height: int
    body: str

    def at(self, x: int, y: int) -> str:
        return f'<g transform="translate({x},{y})">{self.body}</g>'


def _graph(plan: Plan) -> _Picture | None:
    """A picture of a graph; None where it would be too wide."""
    layers = layered(plan.upstreams, _MOST_BESIDE)
    if layers is None:
        return None
    pictures = {label: _node(node) for label, node in plan.nodes.items()}

    def width(cell: Cell) -> int:
        return 1 if cell.passing else pictures[cell.label].width

    middles = placed(layers, width, _ACROSS)
    tops: list[int] = []
    bottom = 0
    for row in layers.rows:
        tops.append(bottom)
        bottom += _DOWN + max(0 if cell.passing else pictures[cell.label].height for cell in row)
    body = [
        pictures[cell.label].at(middles[cell] - width(cell) // 2, tops[depth])
        for depth, row in enumerate(layers.rows)
        for cell in row
        if not cell.passing
    ]
    body += _lines(layers, middles, tops, {each: of.height for each, of in pictures.items()})
    right = max(at + (width(cell) + 1) // 2 for cell, at in middles.items())
    return _Picture(right, bottom - _DOWN, "".join(body))


def _lines(
    layers: Layers, middles: dict[Cell, int], tops: list[int], heights: dict[str, int]
) -> list[str]:
    found: list[str] = []
    for start, ends in layers.links.items():
        x = middles[start]
        y = tops[start.depth] + (0 if start.passing else heights[start.label])
        # boxes beside one another differ in height: straight down to where the next row's gap is
        turn = tops[start.depth + 1] - _DOWN
        for end in ends:
            to_x, to_y = middles[end], tops[end.depth]
            bend = (turn + to_y) // 2
            path = f"M{x} {y}V{turn}C{x} {bend} {to_x} {bend} {to_x} {to_y}"
            if not end.passing:
                path += f"M{to_x - 4} {to_y - 7}L{to_x} {to_y}L{to_x + 4} {to_y - 7}"
            found.append(f'<path d="{path}"/>')
    return found


def _node(node: NodePlan) -> _Picture:
    """A box with a node's label, around the graphs inside it if it has any."""
    about = "\n".join(one_line(line) for line in arguments_of(node))
    inside = [_branch(name, plan) for name, plan in branches(node)]
    return _box(title(node), about, inside, "")


def _branch(name: str | None, plan: Plan) -> _Picture:
    picture = _graph(plan) or _text(f"{len(plan.nodes)} nodes")
    if name is None:
        return picture
    return _box(one_line(name), "", [picture], ' stroke-dasharray="4 3"')


def _box(name: str, about: str, inside: list[_Picture], style: str) -> _Picture:
    width = max(
        columns(name) * _COLUMN,
        sum(picture.width for picture in inside) + _ACROSS * (len(inside) - 1),
    )
    height = _LINE + max((_PAD + picture.height for picture in inside), default=0)
    body = [f"<title>{escape(about)}</title>"] if about else []
    body.append(f'<rect width="{width + 2 * _PAD}" height="{height + _PAD}" rx="4"{style}/>')
    body.append(_words(name, width // 2 + _PAD))
    x = _PAD + (width - sum(each.width for each in inside) - _ACROSS * (len(inside) - 1)) // 2
    for picture in inside:
        body.append(picture.at(x, _LINE + _PAD))
        x += picture.width + _ACROSS
    return _Picture(width + 2 * _PAD, height + _PAD, "".join(body))


def _text(words: str) -> _Picture:
    return _Picture(columns(words) * _COLUMN, _LINE, _words(words, columns(words) * _COLUMN // 2))


def _words(text: str, middle: int) -> str:
    return (
        f'<text x="{middle}" y="{_LINE - 1}" text-anchor="middle" fill="currentColor" '
        f'stroke="none">{escape(text)}</text>'
    )
