"""How a graph looks."""

import re
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Annotated, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lythonic_compose import Dag
from lythonic_compose.context import DagContext, Secret
from lythonic_compose.drawing import explanation, table
from lythonic_compose.printable import one_line


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
    assert Dag().explain() == table(["node", "parameter", "source", "rule"], [])
    assert parsed_mermaid(Dag().to_mermaid()) == ({}, [])
    assert parsed_dot(Dag().to_dot()) == ({}, [])
    assert Dag()._repr_mimebundle_()["text/plain"] == "(a Dag without nodes)"
    assert "without nodes" in Dag()._repr_html_()


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
    drawn = dag.draw(width=None).splitlines()

    row_of = {
        label: next(row for row, line in enumerate(drawn) if label in line.split())
        for label in dag.specs
    }
    for edge in dag.edges:
        assert row_of[edge.upstream] < row_of[edge.downstream]
        assert "▼" in drawn[row_of[edge.downstream] - 1]


# --- composites -----------------------------------------------------------------------------


def split(page: str) -> list[str]:
    return page.split()


def tokens(page: list[str], low: int = 1) -> list[str]:
    return page[low:]


def size(x: list[str]) -> int:
    return len(x)


def classify(words: list[str]) -> tuple[str, list[str]]:
    return ("text", words)


def text(words: list[str]) -> str:
    return words[0]


def pdf(words: list[str]) -> str:
    return words[0]


def summary(sizes: list[int], best: str) -> str:
    return f"{best} {sizes}"


def chain() -> Dag:
    dag = Dag()
    dag.node(split) >> dag.node(tokens) >> dag.node(size)
    return dag


def inner_diamond() -> Dag:
    dag = Dag()
    first = dag.node(split)
    last = dag.node(lambda one, two: one + two, "last")
    first >> dag.node(size, "one") >> last
    first >> dag.node(size, "two") >> last
    return dag


def start() -> list[str]:
    return ["a page"]


def composites() -> Dag:
    dag = Dag()
    first = dag.node(start)
    end = dag.node(summary)
    first >> dag.map(chain(), "sizes") >> end
    first >> dag.node(classify) >> dag.switch({"text": text, "pdf": pdf}, "best") >> end
    return dag


def test_what_is_inside_a_composite_stands_behind_its_label() -> None:
    assert composites().draw() == lines("""
                           start
                 ┌───────────┴───────────┐
                 ▼                       ▼
sizes [map: split → tokens → size]   classify
                 └───┐               ┌───┘
                     │               ▼
                     │   best [switch: text | pdf]
                     └───────┬───────┘
                             ▼
                          summary
""")


def test_a_graph_that_is_no_chain_is_drawn_below() -> None:
    dag = Dag()
    dag.node(start) >> dag.map(inner_diamond(), "sizes")

    assert dag.draw() == lines("""
   start
     │
     ▼
sizes [map]

sizes, for each element:
      split
     ┌──┴──┐
     ▼     ▼
    one   two
     └──┬──┘
        ▼
      last
""")


def one_node(add: Callable[[Dag], Any]) -> Dag:
    dag = Dag()
    add(dag)
    return dag


@pytest.mark.parametrize(
    ("dag", "drawn"),
    [
        (one_node(lambda dag: dag.map(text)), "text [map]"),
        (one_node(lambda dag: dag.map(text, "words")), "words [map: text]"),
        (one_node(lambda dag: dag.node(chain(), "sizes")), "sizes [dag: split → tokens → size]"),
        (
            one_node(lambda dag: dag.map(dag.switch({"text": text, "pdf": pdf}, "read"))),
            "read [map, switch: text | pdf]",
        ),
        (
            one_node(lambda dag: dag.switch({"plain": text, "pdf": pdf}, "read")),
            "read [switch: plain: text | pdf]",
        ),
        (
            one_node(lambda dag: dag.switch({"a": text, "many": inner_diamond()}, "read")),
            "read [switch: a: text | many]\n\nread, branch many:\n      split",
        ),
        (
            one_node(lambda dag: dag.switch({name * 11: text for name in "abcd"}, "read")),
            "read [switch]\n\nread, branch aaaaaaaaaaa:\n    text\n",
        ),
        (
            one_node(lambda dag: dag.map(one_node(lambda inner: inner.map(text)), "pages")),
            "pages [map]\n\npages, for each element:\n    text [map]",
        ),
    ],
)
def test_each_kind_of_composite_is_marked(dag: Dag, drawn: str) -> None:
    assert dag.draw().startswith(drawn)


def test_a_graph_that_is_too_wide_is_a_list_that_keeps_to_the_width() -> None:
    dag = Dag()
    end = dag.node(lambda: None, "end")
    for number in range(12):
        dag.edge(dag.node(lambda: None, f"step_{number}"), end, order_only=True)

    assert dag.draw(width=44) == "\n".join(
        [
            *(f"step_{number}" for number in range(12)),
            "end      ← step_0, step_1, step_2, step_3,",
            "           step_4, step_5, step_6, step_7,",
            "           step_8, step_9, step_10, step_11",
        ]
    )
    assert "▼" in dag.draw(width=None)


def test_wide_characters_take_two_columns() -> None:
    dag = Dag()
    first = dag.node(lambda: None, "データ")
    for label in ("e\u0301", "ok"):  # an accent of its own takes no column
        dag.edge(first, dag.node(lambda: None, label), order_only=True)

    assert dag.draw() == lines("""
データ
 ┌─┴──┐
 ▼    ▼
 e\u0301   ok
""")
    assert table(["n", "x"], [["データ", 1], ["a", 22]]).splitlines()[2:] == [
        "データ   1",
        "a       22",
    ]


def test_what_is_not_printable_is_written_as_python_would() -> None:
    dag = Dag()
    dag.node(a, 'a\n"b"\x1b[31m\u202e')

    assert dag.draw() == 'a\\n"b"\\x1b[31m\\u202e'
    assert 'a\\n"b"' in dag.explain()


def test_an_explanation_goes_into_composites() -> None:
    assert composites().explain() == lines("""
node            parameter                                source                 rule
--------------  ---------------------------------------  ---------------------  -------
start
sizes           page: list or dict of str                start                  type
sizes/split     page: str                                each element of sizes  value
sizes/tokens    page: list[str]                          split                  type
sizes/tokens    low: int                                 1                      default
sizes/size      x: list[str]                             tokens                 type
classify        words: list[str]                         start                  type
best            value: tuple[str, Any] | dict[str, Any]  classify               type
best/text/text  words: list[str]                         best                   value
best/pdf/pdf    words: list[str]                         best                   value
summary         sizes: list[int]                         sizes                  label
summary         best: str                                best                   label
""")


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


def test_an_explanation_names_resources_and_the_runner_and_shows_no_secret() -> None:
    def step(
        ctx: DagContext,
        client: object,
        password: Annotated[str, Secret()] = "hunter2",
        odd: object = Broken(),
    ) -> None: ...

    dag = Dag()
    dag.node(step)
    told = explanation(dag.plan(frozenset({"client"})))

    assert re.search(r"ctx: DagContext +the runner +context", told)
    assert re.search(r"client: object +the runner's resources +resource", told)
    assert "hunter2" not in told
    assert "hunter2" not in dag._repr_html_()
    assert "(secret)" in told
    assert "whose repr raises RuntimeError" in told


def test_a_node_that_writes_rows_says_so() -> None:
    dag = Dag()
    _ = dag.node(lambda: [1], "made") >> dag.node(lambda rows: rows, "clean", write="upsert")
    assert "clean [upsert]" in dag.draw()
    assert 'n1["clean (upsert)"]' in dag.to_mermaid()
    assert "clean (upsert)" in dag.to_dot()


# --- mermaid and dot, read back -------------------------------------------------------------

Titles = dict[str, str]
Ends = list[tuple[str, str, str | None]]

_MERMAID_NODE = re.compile(r'(\w+)\["([^"`<>\n]+)"\]')
_MERMAID_BOX = re.compile(r'subgraph (\w+)\["([^"`<>\n]+)"\]')
_MERMAID_EDGE = re.compile(r'(\w+) (?:-->\|"([^"|]+)"\||(-\.->)) (\w+)')


def parsed_mermaid(told: str) -> tuple[Titles, Ends]:
    """The titles by id, those of nodes and boxes alike, and the edges with their words."""
    head, *body = told.splitlines()
    assert head == "flowchart TD"
    titles: Titles = {}
    edges: Ends = []
    depth = 0
    for line in map(str.strip, body):
        if line == "end":
            depth -= 1
            assert depth >= 0
        elif found := _MERMAID_EDGE.fullmatch(line):
            edges.append((found[1], found[4], found[2] and from_mermaid(found[2])))
        else:
            box = _MERMAID_BOX.fullmatch(line)
            depth += box is not None
            found = box or _MERMAID_NODE.fullmatch(line)
            assert found is not None, line
            assert found[1] not in titles
            titles[found[1]] = from_mermaid(found[2])
    assert depth == 0
    assert {end for edge in edges for end in edge[:2]} <= set(titles)
    return titles, edges


def from_mermaid(told: str) -> str:
    assert not re.match(r"\d+\. |[-+*] |_|\s", told)  # which markdown would take for its own
    assert re.fullmatch(r"(#\d+;|[^#\"*`\[\]<>&|;])*", told)
    return re.sub(r"#(\d+);", lambda found: chr(int(found[1])), told)


_DOT_TOKEN = re.compile(r'\s*(?:("(?:[^"\\]|\\.)*")|([A-Za-z_]\w*)|(->|[{}\[\]=;,]))')


def parsed_dot(told: str) -> tuple[Titles, Ends]:
    """The same of Graphviz's language, by its grammar as far as it is used."""
    tokens: list[str] = []
    at = 0
    while at < len(told.rstrip()):
        found = _DOT_TOKEN.match(told, at)
        assert found is not None, told[at : at + 40]
        tokens.append(found[0].strip())
        at = found.end()
    stream = iter(tokens)
    titles: Titles = {}
    edges: Ends = []
    boxes: dict[str, set[str]] = {}

    def expect(*wanted: str) -> str:
        token = next(stream)
        assert token in wanted, (token, wanted)
        return token

    def value() -> str:
        expect("=")
        token = next(stream)
        return re.sub(r"\\(.)", r"\1", token[1:-1]) if token[0] == '"' else token

    def attributes() -> dict[str, str]:
        found: dict[str, str] = {}
        separator = ","
        while separator == ",":
            name = next(stream)
            found[name] = value()
            separator = expect(",", "]")
        return found

    def statements(box: str) -> set[str]:
        inside: set[str] = set()
        for token in stream:
            if token == "}":
                return inside
            if token == "subgraph":
                name = next(stream)
                expect("{")
                boxes[name] = statements(name)
                inside |= boxes[name]
                continue
            following = expect("=", "[", "->")
            if following == "=":
                word = next(stream)
                if token == "label":
                    titles[box] = re.sub(r"\\(.)", r"\1", word[1:-1])
            elif following == "[":
                about = attributes()
                if token != "node":
                    inside.add(token)
                    titles[token] = about["label"]
            else:
                end = next(stream)
                expect("[")
                about = attributes()
                assert {token, end} <= set(titles)
                assert "ltail" not in about or token in boxes[about["ltail"]]
                assert "lhead" not in about or end in boxes[about["lhead"]]
                edges.append(
                    (about.get("ltail", token), about.get("lhead", end), about.get("label"))
                )
            expect(";")
        raise AssertionError("no end")

    expect("digraph")
    expect("{")
    statements("")
    assert next(stream, None) is None
    return titles, edges


def named(titles: Titles, edges: Ends) -> tuple[Counter[str], Counter[Any]]:
    return (
        Counter(titles.values()),
        Counter((titles[up], titles[down], word) for up, down, word in edges),
    )


def test_mermaid_and_dot_tell_the_same() -> None:
    dag = composites()
    dag.edge("start", "summary", order_only=True)
    titles, edges = named(*parsed_mermaid(dag.to_mermaid()))

    assert (titles, edges) == named(*parsed_dot(dag.to_dot()))
    assert titles == Counter(
        {"start": 1, "sizes (map)": 1, "split": 1, "tokens": 1, "size": 1, "classify": 1}
        | {"best (switch)": 1, "text": 2, "pdf": 2, "summary": 1}
    )
    assert edges == Counter(
        [
            ("start", "sizes (map)", "page"),
            ("split", "tokens", "page"),
            ("tokens", "size", "x"),
            ("start", "classify", "words"),
            ("classify", "best (switch)", "value"),
            ("sizes (map)", "summary", "sizes"),
            ("best (switch)", "summary", "best"),
            ("start", "summary", None),
        ]
    )


def test_mermaid_is_told_in_readable_words() -> None:
    dag = Dag()
    dag.node(a, 'a "quoted" <b>') >> dag.node(left, "read_it")
    dag.node(lambda: None, "1. __first__")
    dag.edge("1. __first__", "read_it", order_only=True)

    assert dag.to_mermaid() == lines("""
flowchart TD
    n0["a #34;quoted#34; #60;b#62;"]
    n1["1#46; #95;#95;first#95;#95;"]
    n2["read_it"]
    n0 -->|"x"| n2
    n1 -.-> n2
""")


# --- notebooks ------------------------------------------------------------------------------

_SVG = "{http://www.w3.org/2000/svg}"
Box = tuple[float, float, float, float]


def drawn_boxes(html: str) -> tuple[Box, list[str], list[list[Box]]]:
    """The whole picture, all its words, and the boxes that stand beside one another."""
    root = ET.fromstring(html)
    picture = root.find(f"{_SVG}svg")
    assert picture is not None
    x, y, width, height = (float(part) for part in picture.attrib["viewBox"].split())
    groups: list[list[Box]] = []
    top = boxes_in(picture, 0, 0, groups)
    groups.append(top)
    words = [element.text or "" for element in root.iter(f"{_SVG}text")]
    return (x, y, x + width, y + height), words, groups


def boxes_in(parent: ET.Element, x: float, y: float, groups: list[list[Box]]) -> list[Box]:
    """The outermost boxes below an element; those inside them become groups of their own."""
    own: list[Box] = []
    for rect in parent.findall(f"{_SVG}rect"):
        own.append((x, y, x + float(rect.attrib["width"]), y + float(rect.attrib["height"])))
    inner: list[Box] = []
    for group in parent.findall(f"{_SVG}g"):
        found = re.fullmatch(r"translate\((-?\d+),(-?\d+)\)", group.attrib["transform"])
        assert found is not None
        inner += boxes_in(group, x + int(found[1]), y + int(found[2]), groups)
    if not own:
        return inner
    if inner:
        assert all(holds(own[0], box) for box in inner)
        groups.append(inner)
    return own


def holds(outer: Box, inner: Box) -> bool:
    return (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )


def apart(one: Box, other: Box) -> bool:
    return one[2] < other[0] or other[2] < one[0] or one[3] < other[1] or other[3] < one[1]


def test_a_notebook_shows_a_picture_in_which_every_word_is_escaped() -> None:
    dag = composites()
    dag.node(lambda: None, '<script>alert("&")')
    html = dag._repr_html_()
    whole, words, groups = drawn_boxes(html)

    assert "<script" not in html
    assert '<script>alert("&")' in words
    assert {"start", "sizes (map)", "split", "best (switch)", "text", "summary"} <= set(words)
    assert all(holds(whole, box) for group in groups for box in group)


def test_a_notebook_may_choose_its_form() -> None:
    dag = composites()
    forms = dag._repr_mimebundle_(include=None, exclude=None)

    assert forms == {
        "text/plain": dag.draw(),
        "text/html": dag._repr_html_(),
        "text/vnd.mermaid": dag.to_mermaid(),
    }


def test_a_notebook_shows_what_is_wrong_with_a_graph_that_is_not_finished() -> None:
    dag = Dag()
    first = dag.node(a, "<one>")
    second = dag.node(left)
    first >> second >> first
    forms = dag._repr_mimebundle_()

    assert "there is a cycle: <one> -> left -> <one>" in forms["text/plain"]
    assert "there is a cycle: &lt;one&gt; -&gt; left" in forms["text/html"]
    assert "text/vnd.mermaid" not in forms


@pytest.mark.parametrize("inside", [False, True])
def test_a_graph_too_large_for_a_picture_is_shown_as_text(inside: bool) -> None:
    dag = Dag()
    first = dag.node(lambda x: None, "first")
    last = dag.node(lambda: None, "last")
    for number in range(100):
        node = dag.node(lambda: None, f"n{number}")
        dag.edge(first, node, order_only=True)
        dag.edge(node, last, order_only=True)
    if inside:
        outer = Dag()
        outer.node(dag, "wide")
        _, words, _ = drawn_boxes(outer._repr_html_())
        assert words == ["wide (dag)", "102 nodes"]
    else:
        root = ET.fromstring(dag._repr_html_())
        assert root.tag == "pre"
        assert "n99" in (root.text or "")


# --- any graph ------------------------------------------------------------------------------

LABELS = st.text(min_size=1, max_size=12).filter(lambda text: not set(text) & {"/", "\0"})
ODD = ['a"b', "<x>", "a\nb", "end", "データ", "1. a", "- a", "_a_", "a`b`", "#35;", "\\", "\\N"]
Shape = tuple[str, list[str], list[Any]]


def shapes() -> st.SearchStrategy[list[Shape]]:
    """Nodes by kind, with the names of branches and the graphs inside."""
    names = st.one_of(st.sampled_from(ODD), LABELS)
    flat: st.SearchStrategy[list[Shape]] = st.lists(
        st.tuples(st.just("function"), st.just([""]), st.just([])), min_size=1, max_size=4
    )
    return st.recursive(
        flat,
        lambda inner: st.lists(
            st.tuples(
                st.sampled_from(["function", "map", "once", "switch", "map switch"]),
                st.lists(names, min_size=1, max_size=3, unique=True),
                st.lists(inner, min_size=3, max_size=3),
            ),
            min_size=1,
            max_size=4,
        ),
        max_leaves=6,
    )


def built(shape: list[Shape], labels: Iterator[str], edges: Iterator[int]) -> Dag:
    """A graph of one source and one sink, with some edges between its nodes."""
    dag = Dag()
    at: list[str] = []
    for kind, names, inside in shape:
        label = next(labels)
        at.append(label)
        subs = [built(each, labels, edges) for each in inside]
        if kind == "function":
            dag.node(lambda x=1: x, label)
        elif kind == "map":
            dag.map(subs[0], label)
        elif kind == "once":
            dag.node(subs[0], label)
        else:
            switch = dag.switch(dict(zip(names, subs, strict=False)), label)
            if kind == "map switch":
                dag.map(switch)
    for number, label in enumerate(at[1:], start=1):
        dag.edge(at[next(edges) % number], label, order_only=True)
    for label in {edge.upstream for edge in dag.edges} ^ set(at):
        if label != at[-1]:
            dag.edge(label, at[-1], order_only=True)
    return dag


@st.composite
def dags(draw: st.DrawFn) -> Dag:
    shape = draw(shapes())
    odd = draw(st.lists(st.one_of(st.sampled_from(ODD), LABELS), unique=True, max_size=60))
    taken = set(odd)
    more = (name for number in range(10_000) if (name := f"step {number}") not in taken)

    def labels() -> Iterator[str]:
        yield from odd
        yield from more

    choices = draw(st.lists(st.integers(0, 9), min_size=1, max_size=20))

    def edges() -> Iterator[int]:
        while True:
            yield from choices

    return built(shape, labels(), edges())


@pytest.mark.no_cover
@given(dags(), st.one_of(st.none(), st.integers(1, 200)))
@settings(max_examples=60)
def test_any_graph_is_shown_with_all_of_its_labels(dag: Dag, width: int | None) -> None:
    plan = dag.plan()
    labels = [one_line(node.label) for node in plan.paths.values()]
    drawn = dag.draw(width)
    html = dag._repr_html_()
    mermaid, dot = parsed_mermaid(dag.to_mermaid()), parsed_dot(dag.to_dot())
    whole, words, groups = drawn_boxes(html)

    assert all(label in drawn for label in labels)
    assert all(one_line(path) in dag.explain() for path in plan.paths)
    assert named(*mermaid) == named(*dot)
    assert Counter(words) == Counter(mermaid[0].values())
    assert not Counter(labels) - Counter(re.sub(r" \([a-z, ]+\)$", "", each) for each in words)
    assert all(holds(whole, box) for group in groups for box in group)
    assert all(
        apart(one, other)
        for group in groups
        for number, one in enumerate(group)
        for other in group[:number]
    )


def test_large_graphs_are_shown_soon_enough() -> None:
    dag = Dag()
    for number in range(600):
        dag.node(lambda: None, f"n{number}")
        for up in {number // 2, number - 1} if number else ():
            dag.edge(f"n{up}", f"n{number}", order_only=True)

    assert dag.draw().count("n599") == 1
    assert dag._repr_html_().startswith("<pre")
