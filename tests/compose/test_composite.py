from __future__ import annotations

import asyncio
from typing import Any, TypedDict

import pytest

from lythonic_compose import Dag, DagError, DagRunner, Failed, Retry, dag_factory
from lythonic_compose.composite import key_text, segment

# --- what is inside -------------------------------------------------------------------------


def words(text: str) -> list[str]:
    return text.split()


def length(word: str) -> int:
    return len(word)


def doubled(number: int) -> int:
    return 2 * number


def total(numbers: list[int]) -> int:
    return sum(numbers)


@dag_factory
def measured() -> Dag:
    dag = Dag()
    dag.node(length) >> dag.node(doubled)
    return dag


async def outputs(dag: Dag, /, **inputs: Any) -> Any:
    result = (await dag(**inputs)).raise_for_status()
    (only,) = result.outputs.values()
    return only


# --- maps -----------------------------------------------------------------------------------


async def test_a_function_is_called_for_each_element_and_its_results_keep_the_order() -> None:
    dag = Dag()
    dag.node(words) >> dag.map(length) >> dag.node(total)
    result = (await dag(text="a bb ccc")).raise_for_status()
    assert result["length"] == [1, 2, 3]
    assert result.outputs == {"total": 6}


async def test_a_dag_or_a_factory_of_one_is_run_for_each_element() -> None:
    for inside in (measured(), measured):
        dag = Dag()
        dag.node(words) >> dag.map(inside, "sizes")
        assert await outputs(dag, text="a bb") == [2, 4]


def test_a_factory_gives_its_name_to_the_node_and_a_dag_needs_a_label() -> None:
    assert Dag().map(measured).label == "measured"
    assert Dag().node(measured).label == "measured"
    with pytest.raises(DagError, match="a Dag has no name of its own"):
        Dag().map(measured())


def prices() -> dict[str, int]:
    return {"pear": 2, "fig": 5}


async def test_a_dict_keeps_its_keys() -> None:
    dag = Dag()
    dag.node(prices) >> dag.map(doubled)
    assert await outputs(dag) == {"pear": 4, "fig": 10}


async def test_nothing_to_map_over_gives_nothing() -> None:
    dag = Dag()
    dag.node(words) >> dag.map(measured) >> dag.node(total)
    assert (await dag(text=""))["measured"] == []


async def test_elements_are_worked_on_at_once_but_no_more_than_asked() -> None:
    running = most = 0

    async def step(number: int) -> int:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        running -= 1
        return number

    def numbers() -> list[int]:
        return list(range(20))

    for concurrency, expected in ((None, 20), (3, 3), (1, 1)):
        most = 0
        dag = Dag()
        dag.node(numbers) >> dag.map(step, concurrency=concurrency)
        assert await outputs(dag) == list(range(20))
        assert most == expected


def halved(number: int) -> int:
    if number % 2:
        raise ValueError(f"{number} is odd")
    return number // 2


def numbers() -> list[int]:
    return [4, 5, 6]


async def test_an_element_that_fails_fails_the_node_and_says_which_it_was() -> None:
    dag = Dag()
    dag.node(numbers) >> dag.map(halved) >> dag.node(total)
    result = await dag()
    assert result.status == "failed"
    assert (result.failed_node, result.failed_path) == ("halved", "halved[1]/halved")
    assert result.error == "ValueError: 5 is odd"
    assert result.node_statuses["total"] == "upstream_failed"
    assert isinstance(result.exception, ValueError)
    assert "halved[1]/halved" in result.exception.__notes__[0]


async def test_no_further_element_is_begun_after_one_has_failed() -> None:
    seen: list[int] = []

    def step(number: int) -> int:
        seen.append(number)
        return halved(number)

    dag = Dag()
    dag.node(numbers) >> dag.map(step, concurrency=1)
    assert (await dag()).status == "failed"
    assert seen == [4, 5]


async def test_elements_that_fail_are_left_out_or_collected() -> None:
    dag = Dag()
    dag.node(numbers) >> dag.map(halved, on_error="skip") >> dag.node(total)
    assert await outputs(dag) == 5

    dag = Dag()
    dag.node(numbers) >> dag.map(halved, on_error="collect")
    two, failed, three = await outputs(dag)
    assert (two, three) == (2, 3)
    assert isinstance(failed, Failed)
    assert failed.key == 1
    assert str(failed.error) == "5 is odd"


def letters(word: str) -> list[str]:
    return list(word)


async def test_flatten_joins_lists_into_one() -> None:
    dag = Dag()
    dag.node(words) >> dag.map(letters, flatten=True)
    assert await outputs(dag, text="ab c") == ["a", "b", "c"]


async def test_flatten_says_what_is_no_list() -> None:
    dag = Dag()
    dag.node(words) >> dag.map(length, flatten=True)
    result = await dag(text="ab c")
    assert result.error == "WiringError: flatten=True joins lists, and element 0 gave 2"


async def test_a_wrong_element_fails_by_itself() -> None:
    def mixed() -> list[Any]:
        return [1, "two", 3]

    dag = Dag()
    dag.node(mixed) >> dag.map(doubled, on_error="collect")
    one, failed, three = await outputs(dag)
    assert (one, three) == (2, 6)
    assert str(failed.error) == "the value for doubled.number is to be int, got str: 'two'"


async def test_a_map_of_no_collection_is_an_error_of_the_edge() -> None:
    def one() -> Any:
        return 7

    dag = Dag()
    dag.edge(dag.node(one), dag.map(doubled), param="number")
    result = await dag()
    assert result.failed_node == "doubled"
    assert "the edge one -> doubled.number expects" in str(result.error)
    assert "got int: 7" in str(result.error)


async def test_keys_that_look_the_same_are_refused() -> None:
    class Other:
        def __str__(self) -> str:
            return "x"

    def keyed() -> dict[Any, int]:
        return {"x": 1, Other(): 2}

    dag = Dag()
    dag.node(keyed) >> dag.map(doubled)
    # an object's key is written in quotes, a word as it is
    assert len(await outputs(dag)) == 2

    def same() -> dict[Any, int]:
        return {Other(): 1, Other(): 2}

    dag = Dag()
    dag.node(same) >> dag.map(doubled)
    assert "look the same" in str((await dag()).error)


class Pair(TypedDict):
    left: int
    right: int


def pairs() -> list[Pair]:
    return [Pair(left=1, right=2), Pair(left=3, right=4)]


def added(left: int, right: int) -> int:
    return left + right


async def test_a_dict_feeds_several_parameters_by_name() -> None:
    dag = Dag()
    dag.node(pairs) >> dag.map(added)
    assert await outputs(dag) == [3, 7]


async def test_a_dict_without_a_parameter_says_which_is_missing() -> None:
    def partial_pairs() -> list[dict[str, int]]:
        return [{"left": 1}]

    dag = Dag()
    dag.node(partial_pairs) >> dag.map(added)
    assert (await dag()).error == (
        "WiringError: added/added takes left, right; the dict has no right: {'left': 1}"
    )


def test_elements_that_fit_no_parameter_are_a_problem_of_the_graph() -> None:
    dag = Dag()
    dag.node(words) >> dag.map(doubled)
    with pytest.raises(DagError, match="incompatible types on the edge words -> doubled"):
        dag.validate()


def test_a_map_over_what_takes_nothing_is_a_problem_of_the_graph() -> None:
    def nothing() -> int:
        return 1

    dag = Dag()
    dag.node(words) >> dag.map(nothing)
    with pytest.raises(DagError, match="takes no parameter that an element could go to"):
        dag.validate()


async def test_the_type_of_a_map_follows_from_what_is_inside() -> None:
    def of_texts(texts: list[str]) -> int:
        return len(texts)

    dag = Dag()
    dag.node(words) >> dag.map(length) >> dag.node(of_texts)
    with pytest.raises(DagError, match=r"length returns list\[int\]"):
        dag.validate()


async def test_a_map_at_the_beginning_of_a_graph_inside_knows_what_comes_from_around() -> None:
    def rows() -> list[list[int]]:
        return [[1, 2], [3]]

    sub = Dag()
    sub.map(doubled) >> sub.node(total)
    dag = Dag()
    dag.node(rows) >> dag.map(sub, "sums") >> dag.node(total)
    assert await outputs(dag) == 12
    dag = Dag()
    dag.node(numbers) >> dag.node(sub, "sum")
    assert await outputs(dag) == 30


# --- a Dag as a node ------------------------------------------------------------------------


async def test_a_dag_is_a_node_that_runs_once() -> None:
    def first(numbers: list[str]) -> str:
        return numbers[0]

    dag = Dag()
    dag.node(words) >> dag.node(first) >> dag.node(measured, "size")
    assert await outputs(dag, text="abc d") == 6


async def test_dags_nest_to_any_depth() -> None:
    inner = measured()
    for depth in range(5):
        outer = Dag()
        outer.node(inner, f"level{depth}")
        inner = outer
    dag = Dag()
    dag.node(words) >> dag.map(inner, "deep")
    assert await outputs(dag, text="a bbb") == [2, 6]


async def test_inputs_of_nested_nodes_are_given_by_name_by_path_and_by_the_node_around() -> None:
    def fetch(url: str, pages: int = 1) -> list[str]:
        return [url] * pages

    def joined(parts: list[str]) -> str:
        return "+".join(parts)

    sub = Dag()
    sub.node(fetch) >> sub.node(joined)
    dag = Dag()
    dag.node(sub, "site")
    assert list(dag.inputs()) == ["url"]
    assert dag.inputs()["url"].nodes == ("site/fetch",)
    assert await outputs(dag, url="x", pages=2) == "x+x"
    runner = DagRunner(dag)
    for given in (
        {"site/fetch": {"url": "x", "pages": 2}},
        {"site": {"url": "x", "pages": 2}},
    ):
        assert (await runner.run(given)).outputs == {"site": "x+x"}
    with pytest.raises(DagError, match="the input 'url' of site/fetch is missing"):
        await runner.run()
    with pytest.raises(DagError, match="inputs are given for the unknown node 'site/fetsh'"):
        await runner.run({"site/fetsh": {"url": "x"}})


async def test_constants_reach_every_element() -> None:
    def scaled(number: int, factor: int = 1) -> int:
        return number * factor

    dag = Dag()
    dag.node(numbers) >> dag.map(scaled)
    assert await outputs(dag, factor=10) == [40, 50, 60]
    result = await DagRunner(dag).run({"scaled/scaled": {"factor": 2}})
    assert result.outputs == {"scaled": [8, 10, 12]}


async def test_several_upstreams_feed_the_source_of_a_dag_by_type() -> None:
    def name() -> str:
        return "pear"

    def count() -> int:
        return 3

    def line(count: int, name: str) -> str:
        return f"{count} {name}"

    sub = Dag()
    sub.node(line)
    dag = Dag()
    [dag.node(name), dag.node(count)] >> dag.node(sub, "lines")
    assert await outputs(dag) == "3 pear"


def test_a_dag_inside_needs_one_source_and_one_sink() -> None:
    def one() -> int:
        return 1

    def two() -> int:
        return 2

    sub = Dag()
    sub.node(one)
    sub.node(two)
    dag = Dag()
    dag.node(sub, "both")
    dag.node(Dag(), "nothing")
    with pytest.raises(DagError) as caught:
        dag.validate()
    text = str(caught.value)
    assert "both: the Dag inside has several sources (one, two)" in text
    assert "both: the Dag inside has several sinks (one, two)" in text
    assert "nothing: the Dag inside is empty" in text


def test_problems_inside_are_told_with_those_around() -> None:
    sub = Dag()
    sub.node(words) >> sub.node(doubled)
    dag = Dag()
    dag.node(sub, "inner") >> dag.node(letters)
    dag.edge("nowhere", "letters")
    with pytest.raises(DagError) as caught:
        dag.validate()
    assert len(caught.value.problems) == 2
    assert "unknown node 'nowhere'" in caught.value.problems[0]
    assert caught.value.problems[1].startswith("in 'inner': incompatible types on the edge words")


def test_a_dag_cannot_contain_itself() -> None:
    dag = Dag()
    with pytest.raises(DagError, match="cannot be a node of itself"):
        dag.node(dag, "again")
    outer = Dag()
    outer.node(dag, "inner")
    dag.node(outer, "outer")
    with pytest.raises(DagError, match="the Dag inside contains itself"):
        dag.validate()


def test_a_node_added_to_a_dag_inside_is_seen() -> None:
    sub = Dag()
    last = sub.node(length)
    dag = Dag()
    dag.node(words) >> dag.map(sub, "sizes")
    dag.validate()
    last >> sub.node(doubled)
    assert dag.run_sync(text="abc").outputs == {"sizes": [6]}


# --- switches -------------------------------------------------------------------------------


def kind_of(text: str) -> tuple[str, str]:
    return ("number" if text.isdigit() else "word"), text


def parsed(text: str) -> int:
    return int(text)


def texts() -> list[str]:
    return ["12", "abc", "7"]


async def test_a_switch_goes_the_way_that_a_pair_names() -> None:
    dag = Dag()
    dag.node(kind_of) >> dag.switch({"number": parsed, "word": measured}, "route")
    assert await outputs(dag, text="12") == 12
    assert await outputs(dag, text="abc") == 6


async def test_a_dict_names_the_way_and_arrives_unchanged() -> None:
    given = {"__switch__": "b", "x": 1}

    def chosen() -> dict[str, Any]:
        return given

    def take(data: dict[str, Any]) -> dict[str, Any]:
        return data

    dag = Dag()
    dag.node(chosen) >> dag.switch({"a": length, "b": take})
    assert await outputs(dag) is given


async def test_an_unknown_branch_fails_with_the_nearest() -> None:
    def chosen() -> tuple[str, str]:
        return "wrod", "abc"

    dag = Dag()
    dag.node(chosen) >> dag.switch({"number": parsed, "word": length}, "route")
    result = await dag()
    assert result.error == "WiringError: route has no branch 'wrod'; did you mean 'word'?"


async def test_what_names_no_branch_is_an_error() -> None:
    def chosen() -> Any:
        return {"x": 1}

    dag = Dag()
    dag.node(chosen) >> dag.switch({"number": parsed})
    assert "switch needs to be told the branch" in str((await dag()).error)


async def test_each_element_of_a_map_goes_its_own_way() -> None:
    def pairs_of() -> list[tuple[str, str]]:
        return [kind_of(text) for text in texts()]

    dag = Dag()
    dag.node(pairs_of) >> dag.map(dag.switch({"number": parsed, "word": length}, "route"))
    assert list(dag.nodes()) == ["pairs_of", "route"]
    assert await outputs(dag) == [12, 3, 7]


def test_only_a_switch_of_its_own_can_be_mapped() -> None:
    dag = Dag()
    node = dag.node(length)
    with pytest.raises(TypeError, match="is no switch"):
        dag.map(node)
    wired = dag.switch({"a": length}, "way")
    node >> wired
    with pytest.raises(TypeError, match="is wired"):
        dag.map(wired)


def test_bad_arguments_are_refused_at_once() -> None:
    dag = Dag()
    with pytest.raises(DagError, match="at least one branch"):
        dag.switch({})
    with pytest.raises(DagError, match="cannot be the name of a branch"):
        dag.switch({"a/b": length})
    with pytest.raises(DagError, match="concurrency=0"):
        dag.map(length, concurrency=0)
    with pytest.raises(DagError, match="on_error='ignore'"):
        dag.map(length, on_error="ignore")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    with pytest.raises(DagError, match="timeout=0"):
        dag.node(length, timeout=0)
    with pytest.raises(DagError, match="tried at least once"):
        dag.node(length, retry=Retry(0))
    assert dag.nodes() == {}


# --- names ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("label", "key", "branch", "expected"),
    [
        ("chunks", "0", None, "chunks[0]"),
        ("enrich", "", None, "enrich[]"),
        ("router", "", "text", "router[text]"),
        ("route", "0", "text", "route[0:text]"),
        ("route", "", "a]b", 'route["a]b"]'),
    ],
)
def test_segments_of_paths(label: str, key: str, branch: str | None, expected: str) -> None:
    assert segment(label, key, branch) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [(0, "0"), ("0", '"0"'), ("pear", "pear"), ("a:b", '"a:b"'), ("", '""'), (1.5, '"1.5"')],
)
def test_keys_as_text(key: Any, expected: str) -> None:
    assert key_text(key) == expected
