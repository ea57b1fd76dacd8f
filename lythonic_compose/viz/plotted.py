"""How is a picture drawn by plotly? It is imported here, on first use, and nowhere else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..drawing.layers import layered, placed
from ..errors import ConfigError
from ..printable import columns
from .picture import Box, Picture, picture_of

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

_COLUMN = 8
"""Pixels that a character of a label takes."""
_ROW = 90
_PAD = 40
_MOST_BESIDE = 200


def plot_pipeline_graph(pipeline: Any) -> Figure:
    """A pipeline or a Dag as a plotly figure, which notebooks show; `.write_html(path)` keeps it.

    Pointing at a node shows what it takes and makes. It needs plotly:
    `pip install 'lythonic-state[plot]'`. `plot_pipeline` is another name for it.

    Example:
        >>> plot_pipeline_graph(pipeline).write_html("pipeline.html")

    Raises:
        WrongKind: it is neither a Pipeline nor a Dag.
        DagError: a Dag cannot run as it is.
        ConfigError: plotly is not installed.
    """
    picture = picture_of(pipeline)
    try:
        from plotly import graph_objects
    except ImportError as error:
        raise ConfigError(
            "drawing with plotly needs it: pip install 'lythonic-state[plot]'"
        ) from error
    spots = _spots(picture)
    figure = graph_objects.Figure(
        graph_objects.Scatter(
            x=[spots[box.label][0] for box in picture.boxes],
            y=[spots[box.label][1] for box in picture.boxes],
            text=[box.label for box in picture.boxes],
            hovertext=[_about(box) for box in picture.boxes],
            hoverinfo="text",
            mode="markers+text",
            textposition="middle right",
            marker={"size": 16, "symbol": "square"},
        )
    )
    for arrow in picture.arrows:
        (x, y), (to_x, to_y) = spots[arrow.start], spots[arrow.end]
        figure.add_annotation(
            x=to_x, y=to_y, ax=x, ay=y, axref="x", ayref="y", xref="x", yref="y",
            showarrow=True, arrowhead=3, standoff=10, startstandoff=10, opacity=0.6,
            hovertext=", ".join(arrow.names) or "comes first", text="",
        )  # fmt: skip
    depth = 1 + max((-y for _, y in spots.values()), default=0)
    figure.update_layout(
        title=picture.title,
        showlegend=False,
        plot_bgcolor="white",
        height=round(_ROW * (depth + 1)),
    )
    figure.update_xaxes(visible=False, range=_range([x for x, _ in spots.values()]))
    figure.update_yaxes(visible=False)
    return figure


def _spots(picture: Picture) -> dict[str, tuple[float, float]]:
    """Where each node stands: below those that it takes something of."""
    if not picture.boxes:
        return {}
    layers = layered(picture.upstreams, _MOST_BESIDE)
    if layers is None:  # too wide to be looked at: one below the other
        return {box.label: (0.0, -float(at)) for at, box in enumerate(picture.boxes)}
    middles = placed(
        layers, lambda cell: 1 if cell.passing else columns(cell.label) * _COLUMN + _PAD, _PAD
    )
    return {
        cell.label: (float(middles[cell]), -float(cell.depth))
        for row in layers.rows
        for cell in row
        if not cell.passing
    }


def _range(across: list[float]) -> list[float] | None:
    if not across:
        return None
    return [min(across) - 4 * _PAD, max(across) + 12 * _PAD]


def _about(box: Box) -> str:
    takes = ", ".join(box.inputs) or "nothing"
    makes = ", ".join(box.outputs) or "nothing"
    return f"<b>{_escaped(box.label)}</b><br>takes {_escaped(takes)}<br>makes {_escaped(makes)}"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")
