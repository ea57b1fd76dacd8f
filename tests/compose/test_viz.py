"""Pipelines and Dags are drawn: as text for wide and narrow terminals, in mermaid, by plotly."""

import sys
from typing import Any

import pytest

from lythonic_compose import ConfigError, Dag, DagError, WrongKind
from lythonic_compose.linear import Node, Pipeline, create_named_partial_function
from lythonic_compose.viz import draw_ascii_pipeline, draw_mermaid_pipeline, plot_pipeline_graph


def fetch(url: str) -> list[int]:
    raise NotImplementedError


def clean(rows: list[int], least: int = 0) -> list[int]:
    raise NotImplementedError


def paint(rows: list[int], also: list[int]) -> None:
    raise NotImplementedError


def pipeline() -> Pipeline:
    return Pipeline(
        [
            Node(fetch, ["url"], ["rows"]),
            Node(clean, ["rows", "config.least"], ["clean_rows"]),
            Node(create_named_partial_function(paint, "描く"), ["clean_rows", "rows"], []),
        ]
    )


def dag() -> Dag:
    dag = Dag()
    first, second, last = dag.node(fetch), dag.node(clean), dag.node(paint, "描く")
    first >> second  # pyright: ignore[reportUnusedExpression]
    dag.edge(second, last, param="rows")
    dag.edge(first, last, param="also")
    return dag


WIDE = """\
Pipeline (3 nodes)

[fetch]  url                 -> rows
[clean]  rows, config.least  -> clean_rows
[描く]   clean_rows, rows       (no outputs)"""

NARROW = """\
Dag (3 nodes)

[fetch]
  inputs:
    - url
  outputs:
    - list[int]
      |
      v
[clean]
  inputs:
    - rows (fe...
    - least
  outputs:
    - list[int]
      |
      v
[描く]
  inputs:
    - rows (cl...
    - also (fe...
  (no outputs)"""


def test_a_pipeline_has_a_line_for_each_node_where_there_is_room() -> None:
    assert draw_ascii_pipeline(pipeline(), width=44) == WIDE
    assert draw_ascii_pipeline(pipeline(), width=43) == draw_ascii_pipeline(pipeline())


def test_a_dag_is_drawn_and_what_is_too_wide_is_cut() -> None:
    assert draw_ascii_pipeline(dag(), width=17) == NARROW


@pytest.mark.parametrize("width", [1, 3, 10, 17, 40, 80, None])
@pytest.mark.parametrize("what", [pipeline, dag])
def test_no_line_is_wider_than_was_asked_for(what: Any, width: int | None) -> None:
    lines = draw_ascii_pipeline(what(), width).splitlines()[2:]

    assert all(width is None or len(line) <= width for line in lines)


def test_a_pipeline_is_written_for_mermaid_with_what_is_given_in_rounded_boxes() -> None:
    assert draw_mermaid_pipeline(pipeline()).splitlines() == [
        "flowchart TD",
        '    n0["fetch"]',
        '    n1["clean"]',
        '    n2["描く"]',
        '    n0 -->|"rows"| n1',
        '    n1 -->|"clean_rows"| n2',
        '    n0 -->|"rows"| n2',
        '    g0(["url"]) --> n0',
        '    g1(["config.least"]) --> n1',
    ]
    assert draw_mermaid_pipeline(dag()) == dag().to_mermaid()


def test_mermaid_is_told_of_each_given_thing_once() -> None:
    twice = Pipeline([Node(clean, ["a", "b"], ["c"]), Node(clean, ["b", "b"], ["d"])])

    assert draw_mermaid_pipeline(twice).splitlines()[3:] == [
        '    g0(["a"]) --> n0',
        '    g1(["b"]) --> n0',
        "    g1 --> n1",
    ]


@pytest.mark.parametrize("what", [pipeline, dag])
def test_a_figure_has_each_node_below_those_that_it_takes_something_of(what: Any) -> None:
    figure = plot_pipeline_graph(what())
    (points,) = figure.data

    assert list(points.text) == ["fetch", "clean", "描く"]
    assert list(points.y) == [0, -1, -2]
    assert len(figure.layout.annotations) == 3
    assert "takes" in points.hovertext[0]
    assert "<script" in figure.to_html()


def test_a_pipeline_without_nodes_is_drawn_as_what_it_is() -> None:
    empty = Pipeline([])

    assert draw_ascii_pipeline(empty) == "Pipeline (0 nodes)"
    assert draw_mermaid_pipeline(empty) == "flowchart TD"
    assert len(plot_pipeline_graph(empty).data[0].x) == 0


@pytest.mark.parametrize("draw", [draw_ascii_pipeline, draw_mermaid_pipeline, plot_pipeline_graph])
def test_what_is_neither_cannot_be_drawn(draw: Any) -> None:
    with pytest.raises(WrongKind, match="what is drawn is a Pipeline or a Dag"):
        draw(fetch)
    broken = dag()
    broken.edge("clean", "fetch", order_only=True)
    with pytest.raises(DagError, match="there is a cycle"):
        draw(broken)


def test_without_plotly_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)

    with pytest.raises(ConfigError, match=r"pip install 'lythonic-state\[plot\]'"):
        plot_pipeline_graph(pipeline())
