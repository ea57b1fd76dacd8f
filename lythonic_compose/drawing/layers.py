"""Where does each node stand in a drawing? At which depth, and how far to the right.

Numbers only: whether they count characters or pixels is the caller's business.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from lythonic_state.fields import frozen


@frozen
class Cell:
    """A node at its depth; or, where an edge passes by, a piece of line called after its start."""

    label: str
    depth: int
    passing: bool = False


@frozen
class Layers:
    """The cells by depth, and to which of the next depth each leads."""

    rows: list[list[Cell]]
    links: dict[Cell, list[Cell]]


def layered(upstreams: Mapping[str, Sequence[str]], most: int) -> Layers | None:
    """Every node below its upstreams; None where a row would have more than `most` cells."""
    depth: dict[str, int] = {}
    for label, ups in upstreams.items():
        depth[label] = 1 + max((depth[up] for up in ups), default=-1)
    rows: list[dict[Cell, None]] = [{} for _ in range(1 + max(depth.values()))]
    for label, at in depth.items():
        rows[at][Cell(label, at)] = None
        if len(rows[at]) > most:
            return None
    links: dict[Cell, dict[Cell, None]] = {}
    for label, ups in upstreams.items():
        for up in ups:
            here = Cell(up, depth[up])
            for at in range(depth[up] + 1, depth[label] + 1):
                there = Cell(label, at) if at == depth[label] else Cell(up, at, passing=True)
                rows[at][there] = None
                if len(rows[at]) > most:
                    return None
                links.setdefault(here, {})[there] = None
                here = there
    return Layers(
        [list(row) for row in rows], {cell: list(targets) for cell, targets in links.items()}
    )


def placed(layers: Layers, width: Callable[[Cell], int], gap: int) -> dict[Cell, int]:
    """The middle of each cell: below those that lead to it, where there is room.

    The leftmost cell begins at 0. Each row is put into the order in which it stands.
    """
    above: dict[Cell, list[Cell]] = {}
    for cell, targets in layers.links.items():
        for target in targets:
            above.setdefault(target, []).append(cell)
    middles: dict[Cell, int] = {}
    for row in layers.rows:
        wanted: dict[Cell, float] = {}
        for cell in row:
            at = [middles[up] for up in above.get(cell, ())]
            wanted[cell] = sum(at) / len(at) if at else 0
        row.sort(key=wanted.__getitem__)
        packed: dict[Cell, int] = {}
        column = 0
        for cell in row:
            packed[cell] = column + width(cell) // 2
            column += width(cell) + gap
        shift = round(sum(wanted[cell] - packed[cell] for cell in row) / len(row))
        middles.update({cell: at + shift for cell, at in packed.items()})
    left = min(at - width(cell) // 2 for cell, at in middles.items())
    return {cell: at - left for cell, at in middles.items()}
