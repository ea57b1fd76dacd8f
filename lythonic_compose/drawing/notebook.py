"""What does a notebook show of a graph? The same in each of the forms that it may ask for.

A graph that is not finished is shown with what is wrong with it, for cells are run half way.
"""

from __future__ import annotations

from collections.abc import Callable
from html import escape

from ..errors import DagError
from ..plan import Plan
from .diagrams import mermaid
from .svg import svg
from .text import ascii_drawing


def views(plan: Callable[[], Plan]) -> dict[str, str]:
    """The views of a graph by their media type."""
    try:
        planned = plan()
    except DagError as error:
        lines = ["This Dag cannot run yet:", *(f"- {problem}" for problem in error.problems)]
        text = "\n".join(lines)
        return {"text/plain": text, "text/html": _preformatted(text)}
    text = ascii_drawing(planned) or "(a Dag without nodes)"
    picture = svg(planned) if planned.nodes else None
    return {
        "text/plain": text,
        "text/html": _preformatted(text)
        if picture is None
        else f'<div style="overflow:auto">{picture}</div>',
        "text/vnd.mermaid": mermaid(planned),
    }


def _preformatted(text: str) -> str:
    return f'<pre style="line-height:1.2">{escape(text)}</pre>'
