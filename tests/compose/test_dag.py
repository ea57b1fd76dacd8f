"""What a user writes: describing, looking at and calling a Dag."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import ComposeError
from lythonic_compose.dag_provenance import DagProvenance
from lythonic_compose.dag_runner import DagRunner
from lythonic_compose.errors import DagError, UnknownName, WrongKind
from lythonic_compose.namespace import Dag, inline


def fetch(url: str) -> dict[str, Any]:
    return {"source": url, "raw": [1, 2, 3]}


def transform(data: dict[str, Any]) -> dict[str, Any]:
    return {"source": data["source"], "values": [each * 2 for each in data["raw"]]}


def validate(data: dict[str, Any]) -> dict[str, Any]:
    assert all(each > 0 for each in data["values"]), "a negative value"
    return data


URL = "https://example.com/data"
VALID = {"source": URL, "values": [2, 4, 6]}


def pipeline() -> Dag:
    with Dag() as dag:
        dag.node(fetch) >> dag.node(transform) >> dag.node(validate)
    return dag


# --- what the reference pages show ----------------------------------------------------------


def test_two_functions_are_wired_and_called() -> None:
    def get(url: str) -> dict:  # type: ignore[type-arg]
        return {"source": url, "values": [1, 2, 3]}

    def double(data: dict) -> dict:  # type: ignore[type-arg]
        return {**data, "values": [each * 2 for each in data["values"]]}

    dag = Dag()
    dag.node(get) >> dag.node(double)
    result = asyncio.run(dag(url="https://example.com"))

    assert result.outputs["double"] == {"source": "https://example.com", "values": [2, 4, 6]}


async def test_a_runner_takes_inputs_by_node() -> None:
    runner = DagRunner(pipeline())
    result = await runner.run(source_inputs={"fetch": {"url": URL}})

    assert result.status == "completed"
    assert result.outputs == {"validate": VALID}


async def test_a_dag_is_called_with_inputs_by_name() -> None:
    result = await pipeline()(url=URL)

    assert result.status == "completed"
    assert result.outputs == {"validate": VALID}


async def test_one_node_feeds_several() -> None:
    with Dag() as dag:
        f, t, v = dag.node(fetch), dag.node(transform), dag.node(validate)
        f >> t >> v

    assert (await dag(url=URL)).outputs == {"validate": VALID}


async def test_a_run_is_kept_and_read_back(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "pipeline.db") as provenance:
        runner = DagRunner(pipeline(), provenance=provenance)
        result = await runner.run(
            source_inputs={"fetch": {"url": URL}}, dag_nsref="pipeline:enrich"
        )
    with DagProvenance(tmp_path / "pipeline.db") as again:
        run = again.get_run(result.run_id)
        nodes = again.get_node_executions(result.run_id)

    assert run is not None
    assert (run["status"], run.status, run.dag_nsref) == ("completed",) * 2 + ("pipeline:enrich",)
    assert [(node["node_label"], node["status"]) for node in nodes] == [
        ("fetch", "completed"),
        ("transform", "completed"),
        ("validate", "completed"),
    ]


# --- describing -----------------------------------------------------------------------------


def a() -> int:
    return 1


def b(x: int) -> str:
    return str(x)


def c(x: int) -> float:
    return x / 2


def d(text: str, half: float) -> str:
    return f"{text} {half}"


async def test_lists_of_nodes_fan_out_and_in() -> None:
    with Dag() as dag:
        (dag.node(a) >> [dag.node(b), dag.node(c)]) >> dag.node(d)

    assert (await dag())[d] == "1 0.5"
    assert [(edge.upstream, edge.downstream) for edge in dag.edges] == [
        ("a", "b"),
        ("a", "c"),
        ("b", "d"),
        ("c", "d"),
    ]


def test_several_nodes_are_wired_with_several() -> None:
    dag = Dag()
    first, second = dag.node(a), dag.node(a, "a2")
    third, fourth = dag.node(b), dag.node(c)
    [first, second] >> (first >> [third, fourth])

    assert {(edge.upstream, edge.downstream) for edge in dag.edges} == {
        ("a", "b"),
        ("a", "c"),
        ("a2", "b"),
        ("a2", "c"),
    }
    assert len(dag.edges) == 4


def test_a_block_validates_at_its_end_unless_it_raises_anyway() -> None:
    with pytest.raises(DagError, match="cycle: b -> b"), Dag() as dag:
        node = dag.node(b)
        node >> node
    with pytest.raises(LookupError, match="mine"), Dag() as dag:
        dag.node(b) >> dag.node(c)
        raise LookupError("mine")


def test_a_label_is_taken_once_and_the_error_says_how_to_give_another() -> None:
    dag = Dag()
    dag.node(a)

    with pytest.raises(DagError, match=r"a node 'a' already.*label='a_2'"):
        dag.node(a)
    assert dag.node(a, label="a_2").label == "a_2"
    assert dag.node(partial(b, 3)).label == "b"


@pytest.mark.parametrize("label", ["", "a/b", "a\0b", 3])
def test_some_texts_cannot_be_labels(label: Any) -> None:
    with pytest.raises(DagError, match="cannot be a label"):
        Dag().node(a, label)


def test_only_nodes_are_wired() -> None:
    dag = Dag()
    node = dag.node(a)

    with pytest.raises(WrongKind, match=r"write dag.node\(b\) first") as caught:
        node >> b  # type: ignore[operator]
    assert isinstance(caught.value, TypeError)
    with pytest.raises(WrongKind):
        b >> node  # type: ignore[operator]
    with pytest.raises(WrongKind, match="is a node already"):
        dag.node(node)  # type: ignore[arg-type]
    with pytest.raises(WrongKind, match="expected a function"):
        dag.node(3)  # type: ignore[arg-type]


def test_nodes_of_two_dags_are_not_wired() -> None:
    with pytest.raises(DagError, match="'b' belongs to another Dag"):
        Dag().node(a) >> Dag().node(b)


def test_edges_are_described_by_node_label_or_function() -> None:
    dag = Dag()
    node = dag.node(a)
    dag.node(b)
    dag.edge(node, b, param="x")

    assert dag.plan().nodes["b"].bindings[0].rule == "edge"
    with pytest.raises(UnknownName, match="no node runs c"):
        dag.edge(a, c)
    with pytest.raises(DagError, match="carries no value"):
        dag.edge(a, b, param="x", order_only=True)


def test_a_node_that_is_added_later_is_planned_too() -> None:
    dag = Dag()
    dag.node(a)
    assert [node.label for node in dag.topological_order()] == ["a"]
    dag.node(b)
    dag.edge(a, b)

    assert [node.label for node in dag.topological_order()] == ["a", "b"]
    assert dag.sources() == [dag.nodes()["a"]]
    assert dag.sinks() == [dag.nodes()["b"]] != dag.sources()


def test_an_input_that_several_nodes_take_is_one_input() -> None:
    dag = Dag()
    dag.node(b)
    dag.node(c)

    assert {name: each.nodes for name, each in dag.inputs().items()} == {"x": ("b", "c")}
    assert dag.run_sync(x=4).outputs == {"b": "4", "c": 2.0}


def test_inline_is_the_same_wherever_it_is_imported_from() -> None:
    import lythonic_compose
    from lythonic_compose import _inline

    assert inline is _inline.inline is lythonic_compose.inline


def test_every_error_is_of_one_family_and_can_be_pickled() -> None:
    import pickle

    from lythonic_compose import errors

    of_their_own: dict[str, ComposeError] = {
        "CodeChanged": errors.CodeChanged("4be1", ["fetch"]),
        "CacheRefreshPushback": errors.CacheRefreshPushback(0.5, "market"),
        "InputsNotKept": errors.InputsNotKept("restart", [("fetch", "token")]),
    }
    for name in errors.__all__:
        kind = getattr(errors, name)
        error = of_their_own.get(name) or kind("what is wrong: 'this'")
        again = pickle.loads(pickle.dumps(error))
        assert isinstance(again, ComposeError)
        assert type(again) is kind
        assert str(again) == str(error)
        assert vars(again) == vars(error)
        if name not in of_their_own:
            assert str(error) == "what is wrong: 'this'"
