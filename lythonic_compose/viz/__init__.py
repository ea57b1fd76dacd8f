"""How does a pipeline, or a Dag, look? As text, in the language of mermaid, or as a plotly figure.

The door of this package; nothing runs in it, and a pipeline need not be complete to be drawn.
"""

from __future__ import annotations

from .diagram import draw_mermaid_pipeline
from .plotted import plot_pipeline_graph
from .text import draw_ascii_pipeline

plot_pipeline = plot_pipeline_graph

__all__ = [
    "draw_ascii_pipeline",
    "draw_mermaid_pipeline",
    "plot_pipeline",
    "plot_pipeline_graph",
]
