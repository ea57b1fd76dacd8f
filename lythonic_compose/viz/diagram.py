"""How is a pipeline written in the language of mermaid?

A Dag has its own way to be written so, in `drawing`, which is used for it.
"""

from __future__ import annotations

from typing import Any

from ..dag import Dag
from ..drawing import mermaid
from ..drawing.diagrams import for_mermaid
from .picture import picture_of


def draw_mermaid_pipeline(pipeline: Any) -> str:
    """A pipeline or a Dag in the language of mermaid, which GitHub and notebooks show.

    What is given (constants and `config.<path>`) stands in rounded boxes.

    Example:
        >>> print(draw_mermaid_pipeline(pipeline))
        flowchart TD
            n0["load"]
            n1["clean"]
            n0 -->|"raw"| n1
            g0(["config.cleaning"]) --> n1

    Raises:
        WrongKind: it is neither a Pipeline nor a Dag.
        DagError: a Dag cannot run as it is.
    """
    picture = picture_of(pipeline)
    if isinstance(pipeline, Dag):
        return mermaid(pipeline.plan())
    ids = {box.label: f"n{number}" for number, box in enumerate(picture.boxes)}
    lines = [f'    {ids[box.label]}["{for_mermaid(box.label)}"]' for box in picture.boxes]
    for arrow in picture.arrows:
        names = for_mermaid(", ".join(arrow.names))
        lines.append(f'    {ids[arrow.start]} -->|"{names}"| {ids[arrow.end]}')
    fed = {(arrow.end, name) for arrow in picture.arrows for name in arrow.names}
    given: dict[str, str] = {}
    for box in picture.boxes:
        for name in dict.fromkeys(box.inputs):
            if (box.label, name) not in fed:
                start = f'g{len(given)}(["{for_mermaid(name)}"])'
                lines.append(f"    {given.get(name, start)} --> {ids[box.label]}")
                given.setdefault(name, f"g{len(given)}")
    return "\n".join(["flowchart TD", *lines])
