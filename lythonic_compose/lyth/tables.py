"""How do rows of text fit into the columns of a terminal?

Plain values in and lines out. What they say is decided elsewhere, and so is how they are coloured.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import TypeAlias

from lythonic_state.fields import frozen

from ..printable import columns, one_line, padded

GAP = "  "


@frozen
class Cell:
    """A text, and the style that a terminal may show it in."""

    text: str
    style: str = ""


@frozen
class Column:
    """A column of a table."""

    title: str
    least: int | None = None
    """It may be cut down to so many characters; None if it may not be cut."""
    to_right: bool = False
    leave: int = 0
    """Where there is no room, columns are left out: 1 first; those with 0 never."""


Line: TypeAlias = tuple[Cell, ...]
"""What stands beside one another."""
Cells: TypeAlias = list[Cell | str]
"""The cells of a row, one for each column."""


def table(titles: Sequence[Column], rows: Sequence[Cells], width: int | None = None) -> list[Line]:
    """The lines of a table, with its titles above; columns in which nothing stands are left out.

    What is wider than `width` is cut where a column allows it, the widest first.

    Example:
        >>> table([Column("name"), Column("error", least=8)], [["fetch", "no route"]], width=60)
    """
    cells = [[_cell(each) for each in row] for row in rows]
    lines = [[Cell(kind.title.upper(), "dim") for kind in titles], *cells]
    natural = [max(columns(line[at].text) for line in lines) for at in range(len(titles))]
    least = [
        each if kind.least is None else min(each, kind.least)
        for kind, each in zip(titles, natural, strict=True)
    ]
    used = [at for at in range(len(titles)) if any(row[at].text for row in cells)]
    if width is not None:
        used = _with_room(used, titles, least, width)
    widths = _cut_widths(used, natural, least, width)
    return [_line(titles, widths, line) for line in lines]


def cut(text: str, width: int) -> str:
    """A text of so many columns at most; an ellipsis stands for what is left out."""
    if columns(text) <= width:
        return text
    end = len(text)
    while end and columns(text[:end]) > width - 1:
        end -= 1
    return f"{text[:end]}…" if width > 0 else ""


def _cell(given: Cell | str) -> Cell:
    if isinstance(given, str):
        return Cell(one_line(given))
    return Cell(one_line(given.text), given.style)


def _with_room(
    used: list[int], titles: Sequence[Column], least: Sequence[int], width: int
) -> list[int]:
    """Those columns for which there is room, if each is cut as far as it may be."""
    while _together([least[at] for at in used]) > width:
        able = [at for at in used if titles[at].leave]
        if not able:
            break
        first = min(able, key=lambda at: titles[at].leave)
        used = [at for at in used if at != first]
    return used


def _cut_widths(
    used: Sequence[int], natural: Sequence[int], least: Sequence[int], width: int | None
) -> dict[int, int]:
    """How wide each column that is shown becomes."""
    widths = {at: natural[at] for at in used}
    while width is not None and _together(widths.values()) > width:
        able = [at for at in used if widths[at] > least[at]]
        if not able:
            break
        widths[max(able, key=lambda at: widths[at])] -= 1
    return widths


def _together(widths: Collection[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _line(titles: Sequence[Column], widths: Mapping[int, int], cells: Sequence[Cell]) -> Line:
    parts: list[Cell] = []
    for at, width in widths.items():
        cell = cells[at]
        text = padded(cut(cell.text, width), width, to_right=titles[at].to_right)
        parts.append(Cell(GAP + text if parts else text, cell.style))
    while parts and not parts[-1].text.strip():
        parts.pop()
    if parts:
        parts[-1] = Cell(parts[-1].text.rstrip(), parts[-1].style)
    return tuple(parts)
