"""A pipeline in the engine: the same work as a Dag, with record, restart and rows."""

import inspect
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import SecretStr

from lythonic_compose import (
    CodeChanged,
    Dag,
    DagPause,
    DagProvenance,
    DagRunner,
    NodeStarted,
    RunFailed,
)
from lythonic_compose.linear import Node, Pipeline, create_named_partial_function
from lythonic_compose.signature import Method
from lythonic_state import DbModel, PrimaryKey


class Price(DbModel, table="linear_prices"):
    symbol: Annotated[str, PrimaryKey()]
    cents: int


def split(symbols: list[str]) -> tuple[list[str], int]:
    return symbols, len(symbols)


def priced(symbols: list[str], cents: int) -> list[Price]:
    return [Price(symbol=symbol, cents=cents) for symbol in symbols]


def total(prices: list[Price], count: int) -> int:
    return sum(price.cents for price in prices) * 10 + count


def pipeline(priced: Any = priced, **options: Any) -> Pipeline:
    return Pipeline(
        [
            Node(split, ["symbols"], ["names", "count"]),
            Node(priced, ["names", "config.cents"], ["prices"], **options),
            Node(total, ["prices", "count"], ["total"]),
        ],
        config={"cents": 5},
        symbols=["A", "B"],
    )


def test_a_pipeline_is_a_graph_whose_edges_are_its_names() -> None:
    dag = pipeline().to_dag()

    assert isinstance(dag, Dag)
    assert [line.split() for line in dag.explain().splitlines()[2:]] == [
        ["split", "symbols:", "list[str]", "['A',", "'B']", "default"],
        ["priced", "from_split:", "tuple[list[str],", "int]", "split", "edge"],
        ["priced", "cents:", "int", "5", "default"],
        ["total", "prices:", "list[Price]", "priced", "edge"],
        ["total", "from_split:", "tuple[list[str],", "int]", "split", "edge"],
    ]
    assert dag.run_sync().outputs == {"total": 102}
    assert dag.run_sync(cents=1).outputs == {"total": 22}


def test_a_node_of_the_graph_has_the_name_code_and_doc_of_its_function() -> None:
    def documented(x: int) -> int:
        """Twice as much."""
        return x * 2

    dag = Pipeline([Node(documented, ["x"], ["y"])], x=1).to_dag()
    other = Dag()
    other.node(documented)

    method = dag.plan().nodes["documented"].method
    assert (method.name, method.doc) == ("documented", "Twice as much.")
    assert dag.plan().code_hashes == other.plan().code_hashes


def test_a_parameter_that_is_called_like_a_node_gets_what_it_is_given() -> None:
    def scale(x: int) -> int:
        return x * 2

    def apply(scaled: int, scale: int) -> int:
        return scaled + scale

    made = Pipeline([Node(scale, ["x"], ["s"]), Node(apply, ["s", "k"], ["y"])], x=1, k=10)

    assert made.run()["y"] == made.to_dag().run_sync().outputs["apply"] == 12


def test_a_runner_takes_the_pipeline_itself() -> None:
    assert DagRunner(pipeline()).run_sync().outputs == {"total": 102}


def test_a_run_is_recorded_with_what_it_was_given(store: DagProvenance) -> None:
    result = pipeline().run(provenance=store)
    assert result.run_id is not None
    run = store.inspect_run(result.run_id)
    store.load_io(run)

    assert (run.status, result.status, result["total"]) == ("completed", "completed", 102)
    assert {label: node.output for label, node in run.nodes.items()} == {
        "split": (["A", "B"], 2),
        "priced": [Price(symbol="A", cents=5), Price(symbol="B", cents=5)],
        "total": 102,
    }
    assert run.nodes["priced"].io is not None
    assert '"cents":5' in str(run.nodes["priced"].io.input_json)


def test_secrets_of_a_pipeline_are_not_recorded(store: DagProvenance) -> None:
    def login(password: SecretStr) -> int:
        return len(password.get_secret_value())

    made = Pipeline([Node(login, ["password"], ["n"])], password=SecretStr("hunter2"))
    result = made.run(provenance=store)
    assert result.run_id is not None

    run = store.inspect_run(result.run_id)
    store.load_io(run)
    assert result["n"] == 7
    assert "hunter2" not in str(run.nodes["login"].io)


def test_a_failed_run_is_continued_from_where_it_was(store: DagProvenance) -> None:
    broken = True

    def fragile(symbols: list[str], cents: int) -> list[Price]:
        if broken:
            raise OSError("no network")
        return priced(symbols, cents)

    made = pipeline(fragile)
    with pytest.raises(RunFailed, match=r"run .* failed at 'fragile': OSError: no network"):
        made.run(provenance=store)
    (run,) = store.get_recent_runs()
    broken = False
    started: list[str] = []

    def heard(event: Any) -> None:
        if isinstance(event, NodeStarted):
            started.append(event.node.label)

    result = DagRunner(made, store, progress=heard).restart_sync(run.run_id)

    assert (result.status, result.outputs) == ("completed", {"total": 102})
    assert started == ["fragile", "total"]


def test_a_paused_run_says_so(store: DagProvenance) -> None:
    waits = True

    def waiting(symbols: list[str], cents: int) -> list[Price]:
        if waits:
            raise DagPause("not yet")
        return priced(symbols, cents)

    made = pipeline(waiting)
    result = made.run(provenance=store)

    assert (result.status, result.outputs) == ("paused", {})
    waits = False
    assert result.run_id is not None
    assert DagRunner(made, store).restart_sync(result.run_id).outputs == {"total": 102}


def test_a_node_writes_its_rows_if_that_was_asked_for(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        result = pipeline(write="upsert").run(provenance=store)
        assert result.run_id is not None
        with store.open() as conn:
            assert {row.symbol: row.cents for row in Price.select(conn)} == {"A": 5, "B": 5}
        assert [row.symbol for row in store.rows_of(result.run_id, "priced", Price)] == ["A", "B"]


async def test_a_pipeline_is_awaited_with_a_record(store: DagProvenance) -> None:
    result = await pipeline().run_async(provenance=store)

    assert result["total"] == 102
    assert result.run_id == store.get_recent_runs()[0].run_id


def test_what_is_public_of_a_graph_node_is_the_signature_of_its_function() -> None:
    function: Any = pipeline().to_dag().specs["priced"].body
    signature = inspect.signature(function.target)

    assert list(signature.parameters) == ["from_split", "cents"]
    assert Method(function.target).return_annotation == list[Price]


def test_a_restart_notices_that_a_bound_argument_has_changed(store: DagProvenance) -> None:
    def made(times: int) -> Pipeline:
        func = create_named_partial_function(multiplied, "multiplied", times=times)
        return Pipeline([Node(func, ["x"], ["y"]), Node(pausing, ["y"], ["z"])], x=2)

    result = made(2).run(provenance=store)
    assert result.run_id is not None

    with pytest.raises(CodeChanged, match="multiplied"):
        DagRunner(made(3), store).restart_sync(result.run_id)
    again = DagRunner(made(3), store).restart_sync(result.run_id, "rerun")
    assert (again.status, again.values["multiplied"]) == ("paused", 6)


def multiplied(x: int, times: int) -> int:
    return x * times


def pausing(y: int) -> int:
    raise DagPause("for ever")
