"""What happened, read back: runs in runs, values, tenants, earlier runs for the runner, HTML."""

import cProfile
import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, SecretStr

from lythonic_compose import (
    Dag,
    DagProvenance,
    DagRun,
    DagRunner,
    EdgeTraversal,
    NodeExecution,
    NullProvenance,
    Payload,
    UnknownName,
    WrongRunState,
    initiated_by,
)
from lythonic_compose.context import Secret
from lythonic_compose.dag_provenance.payloads import members
from lythonic_compose.dag_provenance.tables import GraphSnapshot
from lythonic_compose.recall import OldNode
from lythonic_compose.values import Encoded
from lythonic_state import AllTenants, ScopeContext, count_statements, on_statement
from lythonic_state.plain_models import plain_model
from lythonic_state.table import table_of


class Org(ScopeContext):
    org_id: int


class Price(BaseModel):
    amount: Decimal
    day: date


def prices(day: date, number: int = 2) -> list[Price]:
    return [Price(amount=Decimal(f"{n}.10"), day=day) for n in range(number)]


def total(found: list[Price]) -> Decimal:
    return sum((price.amount for price in found), Decimal(0))


def priced() -> Dag:
    with Dag() as dag:
        dag.node(prices) >> dag.node(total)
    return dag


DAY = date(2026, 1, 31)
GIVEN: dict[str, dict[str, Any]] = {"prices": {"day": DAY}}


# --- what it costs --------------------------------------------------------------------------


def test_the_newest_runs_are_found_without_looking_at_the_others(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store, store.open() as conn:
        asked: list[str] = []
        with on_statement(None, lambda event: asked.append(event.sql)):
            store.get_recent_runs()
        plans = [
            [row[3] for row in conn.execute(f"EXPLAIN QUERY PLAN {sql}", (20,))]
            for sql in asked
            if "LIMIT" in sql
        ]
    (plan,) = plans
    assert plan[0].startswith("SCAN dag_runs USING INDEX ix_dag_runs_started_at")
    assert plan[1:] == ["USE TEMP B-TREE FOR RIGHT PART OF ORDER BY"]


def test_history_is_read_without_validators() -> None:
    for model in (DagRun, NodeExecution, EdgeTraversal, GraphSnapshot, Payload):
        assert plain_model(table_of(model)) is not None


async def test_a_listed_node_costs_few_calls(tmp_path: Path) -> None:
    with Dag() as dag:
        dag.node(words) >> dag.node(len)
    with DagProvenance(tmp_path / "runs.db") as store:
        for _ in range(70):  # by then, what reads many rows has been generated
            await DagRunner(dag, store).run()
        for _ in range(2):
            store.get_recent_runs(60)
        few, many = (calls_of(lambda n=n: store.get_recent_runs(n)) for n in (10, 60))
    assert (many - few) / 100 < 15  # a node, half an edge and half a run


def calls_of(work: Callable[[], Any]) -> int:
    """How many functions are called, those of C with them."""
    profile = cProfile.Profile()
    profile.runcall(work)
    return sum(entry.callcount for entry in profile.getstats())


# --- runs inside of runs --------------------------------------------------------------------


def words() -> list[str]:
    return ["a", "bb", "ccc"]


def size(word: str) -> int:
    return len(word)


def sizes_by_word(sizes: list[int]) -> dict[str, int]:
    return {"one": sizes[0], "a b": sizes[1], "x:y": sizes[2]}


def routed(found: dict[str, int]) -> dict[str, tuple[str, int]]:
    return {key: ("odd" if value % 2 else "even", value) for key, value in found.items()}


def odd(number: int) -> int:
    return number


def even(number: int) -> int:
    return -number


def chosen(numbers: dict[str, int]) -> tuple[str, int]:
    return ("odd", sum(numbers.values()))


def inner(number: int) -> int:
    return number + 1


def nested() -> Dag:
    with Dag() as once:
        once.node(inner)
    with Dag() as dag:
        (
            dag.node(words)
            >> dag.map(size, "chunks")
            >> dag.node(sizes_by_word)
            >> dag.node(routed)
            >> dag.map(dag.switch({"odd": odd, "even": even}, "each"), "route")
            >> dag.node(chosen)
            >> dag.switch({"odd": odd, "even": even}, "router")
            >> dag.node(once, "enrich")
        )
    return dag


async def test_runs_inside_a_run_are_found_at_their_nodes(store: DagProvenance) -> None:
    result = await DagRunner(nested(), store).run(dag_nsref="tests:nested")
    result.raise_for_status()

    run = store.inspect_run(result.run_id)

    assert run is not None
    keys = {label: node.sub_dags and list(node.sub_dags) for label, node in run.nodes.items()}
    assert keys == {
        "words": None,
        "chunks": ["chunks[0]", "chunks[1]", "chunks[2]"],
        "sizes_by_word": None,
        "routed": None,
        "route": ["route[one:odd]", "route[a b:even]", 'route["x:y":odd]'],
        "chosen": None,
        "router": ["router[odd]"],
        "enrich": ["enrich[]"],
    }
    sub_dags = run.nodes["chunks"].sub_dags
    assert sub_dags is not None
    second = sub_dags["chunks[1]"]
    assert second.path == "tests:nested/chunks[1]"
    assert second.parent_run_id == run.run_id
    assert [node.status for node in second.nodes.values()] == ["completed"]
    children = store.get_child_runs(run.run_id)
    assert {child.path for child in children} == {
        sub.path for node in run.nodes.values() for sub in (node.sub_dags or {}).values()
    }
    assert all(child.nodes for child in children)


async def test_a_map_over_nothing_has_no_parts(store: DagProvenance) -> None:
    def nothing() -> list[str]:
        return []

    with Dag() as dag:
        dag.node(nothing) >> dag.map(size, "chunks")
    result = await DagRunner(dag, store).run()

    run = store.inspect_run(result.run_id)

    assert run is not None
    assert run.nodes["chunks"].sub_dags == {}
    assert run.nodes["nothing"].sub_dags is None


async def test_many_elements_stand_in_their_order(store: DagProvenance) -> None:
    def many() -> list[str]:
        return ["x"] * 12

    with Dag() as dag:
        dag.node(many) >> dag.map(size, "sizes")
    result = await DagRunner(dag, store).run()

    run = store.inspect_run(result.run_id)

    assert run is not None
    assert list(run.nodes["sizes"].sub_dags or {}) == [f"sizes[{n}]" for n in range(12)]


async def test_lists_show_runs_and_not_what_is_inside_of_them(store: DagProvenance) -> None:
    outer = await DagRunner(nested(), store).run()
    other = await DagRunner(priced(), store).run(GIVEN)
    below = await DagRunner(priced(), store).run(GIVEN, parent_run_id=other.run_id)
    store.create_run("open", None, {})

    recent = store.get_recent_runs()
    assert [run.run_id for run in recent] == ["open", other.run_id, outer.run_id]
    assert recent[2].nodes["chunks"].sub_dags
    (shallow,) = store.get_recent_runs(limit=1, status="completed", nested=False)
    assert shallow.run_id == other.run_id
    assert [run.run_id for run in store.get_active_runs()] == ["open"]
    assert [run.run_id for run in store.get_child_runs(other.run_id)] == [below.run_id]


async def test_reading_costs_the_same_however_much_there_is(store: DagProvenance) -> None:
    await DagRunner(nested(), store).run()
    costs: list[int] = []
    for _ in range(2):
        with count_statements() as counted:
            for run in store.get_recent_runs():
                store.inspect_run(run.run_id)
                store.load_io(run)
                break
        costs.append(counted.count)
        for _ in range(4):
            await DagRunner(nested(), store).run()

    assert costs[0] == costs[1] < 22  # of which one for each graph


# --- values ---------------------------------------------------------------------------------


async def test_io_is_loaded_when_it_is_asked_for(store: DagProvenance) -> None:
    result = await DagRunner(priced(), store).run(GIVEN)
    run = store.inspect_run(result.run_id)
    assert run is not None
    assert run.io is None
    assert run.nodes["total"].io is None

    assert store.load_io(run, ["total"]) is run

    assert run.nodes["prices"].io is None
    node = run.nodes["total"]
    assert node.io is not None
    made = '[{"amount":"0.10","day":"2026-01-31"},{"amount":"1.10","day":"2026-01-31"}]'
    assert node.io.input_json == f'{{"found":{made}}}'
    assert node.io["output_json"] == '"1.20"'
    assert run.io is not None
    assert run.io.source_inputs_json == '{"prices":{"day":"2026-01-31"}}'
    assert run.io["sink_outputs_json"] == '{"total":"1.20"}'
    with pytest.raises(KeyError):
        run.io["other"]
    with pytest.raises(KeyError):
        node.io["other"]


async def test_outputs_are_typed_values(store: DagProvenance) -> None:
    result = await DagRunner(priced(), store).run(GIVEN)
    run = store.get_run(result.run_id)
    assert run is not None

    nodes = store.load_io(run).nodes

    assert nodes["prices"].output == prices(DAY)
    assert type(nodes["prices"].output[0]) is Price
    assert nodes["total"].output == Decimal("1.20")


async def test_an_output_that_was_not_read_says_how(store: DagProvenance) -> None:
    result = await DagRunner(priced(), store).run(GIVEN)
    run = store.inspect_run(result.run_id)
    assert run is not None

    with pytest.raises(WrongRunState, match=r"'total' has not been read; call load_io"):
        _ = run.nodes["total"].output


async def test_an_output_that_does_not_come_back_is_what_its_json_says(
    store: DagProvenance,
) -> None:
    def pair() -> Any:
        return (1, {"a": object()})

    with Dag() as dag:
        dag.node(pair)
    result = await DagRunner(dag, store).run()
    run = store.get_run(result.run_id)
    assert run is not None

    number, rest = store.load_io(run).nodes["pair"].output

    assert number == 1
    assert rest["a"].startswith("<object object")


async def test_a_node_without_an_output_has_none(store: DagProvenance) -> None:
    def broken(found: list[Price]) -> int:
        raise LookupError

    with Dag() as dag:
        dag.node(prices) >> dag.node(broken) >> dag.node(inner)
    result = await DagRunner(dag, store).run(GIVEN)
    run = store.inspect_run(result.run_id)
    assert run is not None
    assert run.nodes["broken"].output is None

    store.load_io(run)

    assert run.nodes["inner"].output is None
    io = run.nodes["broken"].io
    assert io is not None
    assert io.input_json is not None
    assert io.output_json is None
    assert run.nodes["inner"].io is not None
    assert run.nodes["inner"].io.input_json is None
    assert run.io is not None
    assert run.io.sink_outputs_json is None


async def test_inputs_of_a_fan_in_are_a_list_or_an_object(store: DagProvenance) -> None:
    def left() -> int:
        return 1

    def right() -> int:
        return 2

    def as_list(numbers: list[int]) -> int:
        return sum(numbers)

    def as_dict(numbers: dict[str, int]) -> int:
        return sum(numbers.values())

    with Dag() as dag:
        one, other = dag.node(left), dag.node(right)
        [other, one] >> dag.node(as_list)
        [one, other] >> dag.node(as_dict)
    result = await DagRunner(dag, store).run()
    run = store.inspect_run(result.run_id)
    assert run is not None

    nodes = store.load_io(run).nodes

    texts = {label: node.io.input_json for label, node in nodes.items() if node.io}
    assert texts["as_list"] == '{"numbers":[2,1]}'
    assert texts["as_dict"] == '{"numbers":{"left":1,"right":2}}'
    assert texts["left"] == "{}"


async def test_an_unknown_label_is_named_with_the_nearest(store: DagProvenance) -> None:
    result = await DagRunner(priced(), store).run(GIVEN)
    run = store.inspect_run(result.run_id)
    assert run is not None

    with pytest.raises(UnknownName, match=r"no node 'totl'; did you mean 'total'"):
        store.load_io(run, ["totl"])


def test_what_was_told_as_text_is_shown_as_it_was_told(store: DagProvenance) -> None:
    store.create_run("r", "tests:told", {"a": {"x": 1}})
    store.record_node_start("r", "a", '{"x": 1.0 }', is_source=True, is_sink=True)
    store.complete_node_with_edges("r", "a", '{ "y": [1] }', [])
    store.finish_run("r", "completed", '{"a": 3}')
    run = store.inspect_run("r")
    assert run is not None

    node = store.load_io(run).nodes["a"]

    assert node.io is not None
    assert (node.io.input_json, node.io.output_json) == ('{"x": 1.0 }', '{ "y": [1] }')
    assert node.output == {"y": [1]}
    assert run.io is not None
    assert run.io.sink_outputs_json == '{"a": 3}'


def test_members_are_kept_as_the_text_that_they_are() -> None:
    assert members("{}") == {}
    text = '{"a":{"b":[1.0,NaN,"}"],"c":-0.0},"d\\"":"x,y"}'
    assert members(text) == {"a": '{"b":[1.0,NaN,"}"],"c":-0.0}', 'd"': '"x,y"'}
    assert members(members(text)["a"]) == {"b": '[1.0,NaN,"}"]', "c": "-0.0"}


# --- tenants --------------------------------------------------------------------------------


async def test_reads_with_a_context_show_that_tenant_only(store: DagProvenance) -> None:
    mine = await DagRunner(nested(), store, user_ctx=Org(org_id=1)).run()
    other = await DagRunner(nested(), store, user_ctx=Org(org_id=2)).run()
    nobodys = await DagRunner(nested(), store).run()
    one, two = Org(org_id=1), Org(org_id=2)

    def ids(runs: list[DagRun]) -> set[str]:
        return {run.run_id for run in runs}

    assert ids(store.get_recent_runs(user_ctx=one)) == {mine.run_id}
    assert ids(store.get_recent_runs(user_ctx=two)) == {other.run_id}
    everybody = {mine.run_id, other.run_id, nobodys.run_id}
    assert ids(store.get_recent_runs()) == everybody
    assert ids(store.get_recent_runs(user_ctx=AllTenants("a test"))) == everybody
    for run_id, seen in ((mine.run_id, True), (other.run_id, False), (nobodys.run_id, False)):
        assert (store.get_run(run_id, user_ctx=one) is not None) is seen
        assert (store.inspect_run(run_id, user_ctx=one) is not None) is seen
        assert bool(store.get_node_executions(run_id, user_ctx=one)) is seen
        assert bool(store.get_child_runs(run_id, user_ctx=one)) is seen
        assert bool(store.get_edge_traversals(run_id, user_ctx=one)) is seen
        assert bool(store.get_node_output(run_id, "words", user_ctx=one)) is seen
    run = store.inspect_run(other.run_id)
    assert run is not None
    with pytest.raises(KeyError, match="of this tenant"):
        store.load_io(run, user_ctx=one)
    assert store.get_run(mine.run_id, user_ctx=one)["tenant"] == "org_id=1"  # type: ignore[index]


def test_running_and_abandoned_runs_of_a_tenant(store: DagProvenance) -> None:
    store.create_run("open", None, {})

    assert [run.run_id for run in store.get_active_runs(user_ctx=AllTenants("a test"))] == ["open"]
    assert store.get_active_runs(user_ctx=Org(org_id=1)) == []
    assert store.get_abandoned_runs(user_ctx=Org(org_id=1)) == []
    assert store.get_pending_nodes("open", user_ctx=Org(org_id=1)) == []


# --- abandoned runs -------------------------------------------------------------------------

BEGIN = """
import sys
from lythonic_compose import DagProvenance
store = DagProvenance(sys.argv[1])
store.create_run("theirs", "tests:theirs", {})
print("begun", flush=True)
input()
"""


def test_a_run_of_a_process_that_was_killed_is_abandoned(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with (
        DagProvenance(path) as store,
        subprocess.Popen(
            [sys.executable, "-c", BEGIN, os.fspath(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        store.create_run("ours", None, {})
        store.create_run("inside", None, {}, parent_run_id="theirs")
        assert {run.run_id for run in store.get_active_runs()} == {"ours", "theirs"}
        assert store.get_abandoned_runs() == []

        process.kill()
        process.wait()

        (run,) = store.get_abandoned_runs()
        assert (run.run_id, run.dag_nsref) == ("theirs", "tests:theirs")


def test_the_runs_of_a_store_that_was_closed_are_abandoned(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as first:
        first.create_run("left", None, {})
    with DagProvenance(tmp_path / "runs.db") as second:
        assert [run.run_id for run in second.get_abandoned_runs()] == ["left"]


# --- what a runner remembers ----------------------------------------------------------------


def login(user: str, token: Annotated[str, Secret()], password: SecretStr, day: date) -> list[str]:
    return [user, str(day)]


def broken_letter(letter: str) -> int:
    raise LookupError(letter)


async def test_an_earlier_run_is_told_to_the_runner(store: DagProvenance) -> None:
    with Dag() as dag:
        dag.node(login) >> dag.map(broken_letter, "letters")
    given = {"user": "ü", "token": "t0p", "password": SecretStr("s3cret"), "day": DAY}
    with initiated_by("usr_1"):
        result = await DagRunner(dag, store, user_ctx=Org(org_id=7)).run(
            {"login": given}, dag_nsref="tests:login"
        )

    old = store.recall(result.run_id)

    assert old is not None
    assert (old.run_id, old.status, old.dag_nsref) == (result.run_id, "failed", "tests:login")
    assert (old.tenant, old.initiated_by) == ("org_id=7", "usr_1")
    assert {path: dict(texts) for path, texts in old.inputs.items()} == {
        "login": {"user": '"ü"', "day": '"2026-01-31"'}
    }
    assert set(old.withheld) == {"login.token", "login.password"}
    assert old.nodes["login"].attempts == 1
    assert old.nodes["letters"].status == "failed"
    assert [edge[:2] for edge in old.edges] == [("login", "letters")]
    assert old.code_hashes["login"].startswith("1:")
    text = store.load(old.nodes["login"].output or "")
    assert text == Encoded('["ü","2026-01-31"]', True, "builtins:list[builtins:str]")
    with store.open() as conn:
        assert not any("t0p" in row.text or "s3cret" in row.text for row in Payload.select(conn))


async def test_the_parts_of_a_node_are_told_by_their_key(store: DagProvenance) -> None:
    result = await DagRunner(nested(), store).run(dag_nsref="tests:nested")
    result.raise_for_status()

    parts = store.recall_nested(result.run_id, "route")

    assert set(parts) == {"one", "a b", '"x:y"'}
    part = parts["a b"]
    assert (part.branch, part.parent_label, part.status) == ("even", "route", "completed")
    assert dict(part.nodes) == {"even": OldNode("even", "completed", 1, part.nodes["even"].output)}
    assert dict(part.inputs["even"]) == {"number": "2"}
    assert store.recall_nested(result.run_id, "words") == {}


async def test_targets_are_remembered(store: DagProvenance) -> None:
    result = await DagRunner(nested(), store).run(targets=["chunks"])

    old = store.recall(result.run_id)

    assert old is not None
    assert old.targets == ("chunks",)
    assert set(old.nodes) == {"words", "chunks"}


def test_what_is_not_there_is_not_remembered(store: DagProvenance) -> None:
    assert store.recall("no such run") is None
    assert store.recall_nested("no such run", "x") == {}
    assert not store.load("no such payload").restorable


async def test_remembering_costs_the_same_however_much_there_is(store: DagProvenance) -> None:
    def many(number: int) -> list[str]:
        return ["x"] * number

    with Dag() as dag:
        dag.node(many) >> dag.map(size, "sizes")
    costs: list[int] = []
    for number in (2, 20):
        result = await DagRunner(dag, store).run({"many": {"number": number}})
        with count_statements() as counted:
            store.recall(result.run_id)
            assert len(store.recall_nested(result.run_id, "sizes")) == number
        costs.append(counted.count)

    assert costs[0] == costs[1]


# --- notebooks ------------------------------------------------------------------------------


async def test_a_run_is_shown_as_an_escaped_table(store: DagProvenance) -> None:
    def markup() -> str:
        return "<script>alert(1)</script>"

    def broken(text: str) -> int:
        raise LookupError("<b>no & no</b>")

    with Dag() as dag:
        dag.node(markup) >> dag.node(broken)
    result = await DagRunner(dag, store).run(dag_nsref="tests:markup")
    run = store.inspect_run(result.run_id)
    assert run is not None

    shown = run._repr_html_()

    assert "LookupError: &lt;b&gt;no &amp; no&lt;/b&gt;" in shown
    assert "<b>no" not in shown
    assert "tests:markup" in shown
    assert result.run_id in shown
    assert ">failed</span>" in shown
    assert "alert" not in shown
    loaded = store.load_io(run)._repr_html_()
    assert "&lt;script&gt;alert(1)" in loaded
    assert "<script>" not in loaded
    assert run.nodes["broken"]._repr_html_().count("<tr>") == 2


async def test_parts_are_shown_below_their_node(store: DagProvenance) -> None:
    result = await DagRunner(nested(), store).run()
    run = store.inspect_run(result.run_id)
    assert run is not None

    shown = run._repr_html_()

    assert "chunks <small>(3)</small>" in shown
    assert shown.count("&nbsp;&nbsp;&nbsp;&nbsp;size") == 3
    assert run.duration is not None


def test_a_run_without_anything_is_shown(store: DagProvenance) -> None:
    store.create_run("r", None, {})
    run = store.get_run("r")

    assert run is not None
    assert "<code>r</code>" in run._repr_html_()
    assert run.duration is None


# --- without a store ------------------------------------------------------------------------


def test_nothing_kept_gives_nothing_back() -> None:
    nothing = NullProvenance()

    assert nothing.get_abandoned_runs() == []
    assert nothing.recall("x") is None
    assert nothing.recall_nested("x", "y") == {}
    assert not nothing.load("x").restorable
    assert nothing.prune(older_than=timedelta(days=1)).runs == ()
    nothing.pin("x")
    run = DagRun(run_id="x", status="running", started_at=datetime.fromisoformat("2026-01-31T00Z"))
    assert nothing.load_io(run) is run
    assert json.loads(run.model_dump_json())["run_id"] == "x"
    assert isinstance(run.nodes, dict)
    assert NodeExecution(run_id="x", node_label="a", status="pending").output is None
