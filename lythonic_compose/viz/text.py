"""How is a picture drawn with plain characters?

From above to below with a line for each name, which is never wide; or, where there is room, with a
line for each node.
"""

from __future__ import annotations

from typing import Any

from ..printable import columns, one_line, padded
from .picture import Box, Picture, picture_of


def draw_ascii_pipeline(pipeline: Any, width: int | None = None) -> str:
    """A pipeline or a Dag as lines of plain text, its nodes in their order.

    With a `width` there is one line for each node, aligned, if that is not wider; else there is one
    for each name, and what is wider than `width` is cut.

    Example:
        >>> print(draw_ascii_pipeline(pipeline))
        Pipeline (2 nodes)

        [load]
          outputs:
            - raw
              |
              v
        [clean]
          inputs:
            - raw
          (no outputs)
        >>> print(draw_ascii_pipeline(pipeline, width=80))
        Pipeline (2 nodes)

        [load]       -> raw
        [clean]  raw    (no outputs)

    Raises:
        WrongKind: it is neither a Pipeline nor a Dag.
        DagError: a Dag cannot run as it is.
    """
    picture = picture_of(pipeline)
    if not picture.boxes:
        return picture.title
    lines = _wide(picture)
    if width is None or any(columns(line) > width for line in lines):
        lines = _narrow(picture)
    if width is not None:
        lines = [_cut(line, width) for line in lines]
    return "\n".join([picture.title, "", *lines])


def _wide(picture: Picture) -> list[str]:
    rows = [
        (f"[{_label(box)}]", ", ".join(box.inputs), ", ".join(box.outputs)) for box in picture.boxes
    ]
    first = max(columns(row[0]) for row in rows)
    second = max(columns(row[1]) for row in rows)
    return [
        f"{padded(node, first)}  {padded(inputs, second)}"
        + (f"  -> {outputs}" if outputs else "     (no outputs)")
        for node, inputs, outputs in rows
    ]


def _narrow(picture: Picture) -> list[str]:
    lines: list[str] = []
    for box in picture.boxes:
        if lines:
            lines += ["      |", "      v"]
        lines.append(f"[{_label(box)}]")
        if box.inputs:
            lines += ["  inputs:", *(f"    - {name}" for name in box.inputs)]
        if box.outputs:
            lines += ["  outputs:", *(f"    - {name}" for name in box.outputs)]
        else:
            lines.append("  (no outputs)")
    return lines


def _label(box: Box) -> str:
    return one_line(box.label)


def _cut(line: str, width: int) -> str:
    """A line that is no wider than that; what is left out leaves dots."""
    if columns(line) <= width:
        return line
    while line and columns(line) > width - 3:
        line = line[:-1]
    return line + "..."[: max(0, width)]
