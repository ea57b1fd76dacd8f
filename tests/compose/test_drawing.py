"""How a graph looks."""

from hypothesis import given
from hypothesis import strategies as st

from lythonic_compose import Dag
from lythonic_compose.drawing import table


def a() -> int:
    return 1


def left(x: int) -> str:
    return str(x)


def right(x: int) -> float:
    return x / 2


def end(text: str, half: float, url: bytes, n: int = 3) -> None: ...


def diamond() -> Dag:
    with Dag() as dag:
        dag.node(a) >> [dag.node(left), dag.node(right)] >> dag.node(end)
    return dag


def lines(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())


def test_a_diamond_is_drawn_as_one() -> None:
    assert diamond().draw() == lines("""
      a
  ┌───┴──┐
  ▼      ▼
left   right
  └──┬───┘
     ▼
    end
""")


def test_an_edge_past_a_layer_is_a_line_beside_it() -> None:
    dag = diamond()
    dag.edge("a", "end", order_only=True)

    assert dag.draw() == lines("""
         a
  ┌──────┼─────┐
  ▼      ▼     │
left   right   │
  └──────┼─────┘
         ▼
        end
""")


def test_a_chain_is_drawn_straight() -> None:
    dag = Dag()
    dag.node(a) >> dag.node(left)

    assert dag.draw() == "  a\n  │\n  ▼\nleft"


def test_an_explanation_lists_each_parameter_with_source_and_rule() -> None:
    dag = diamond()
    dag.edge("a", "end", order_only=True)

    assert dag.explain() == lines("""
node   parameter    source               rule
-----  -----------  -------------------  -------
a
left   x: int       a                    type
right  x: int       a                    type
end    text: str    left                 type
end    half: float  right                type
end    url: bytes   given by the caller  input
end    n: int       3                    default
end                 a                    order
""")


def test_mermaid_names_parameters_and_dots_what_is_order_only() -> None:
    dag = Dag()
    dag.node(a, 'a "quoted" <b>') >> dag.node(left)
    dag.node(lambda: None, "before")
    dag.edge("before", "left", order_only=True)

    assert dag.to_mermaid() == lines("""
flowchart TD
    n0["a &quot;quoted&quot; &lt;b>"]
    n1["before"]
    n2["left"]
    n0 -->|"x"| n2
    n1 -.-> n2
""")


def test_numbers_stand_to_the_right() -> None:
    assert table(["node", "ms"], [["fetch", 12], ["clean", 3]]) == lines("""
node   ms
-----  --
fetch  12
clean   3
""")
    assert table(["node"], []) == "node\n----"


def test_nothing_is_drawn_as_nothing() -> None:
    assert Dag().draw() == ""


@given(
    st.lists(st.sets(st.integers(0, 9), max_size=4), min_size=1, max_size=10),
)
def test_any_graph_is_drawn_with_each_label_below_its_upstreams(rows: list[set[int]]) -> None:
    dag = Dag()
    for at in range(len(rows)):
        dag.node(lambda: None, f"node{at}")
    for at, ups in enumerate(rows):
        for up in ups:
            if up < at:
                dag.edge(f"node{up}", f"node{at}", order_only=True)
    drawn = dag.draw().splitlines()

    row_of = {
        label: next(row for row, line in enumerate(drawn) if label in line.split())
        for label in dag.specs
    }
    for edge in dag.edges:
        assert row_of[edge.upstream] < row_of[edge.downstream]
        assert "▼" in drawn[row_of[edge.downstream] - 1]
