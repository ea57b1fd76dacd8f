"""What is kept of runs, and how it is read back, as models and by the store's own reads."""

import asyncio
import gc
import itertools
import json
import sqlite3
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import (
    Dag,
    DagProvenance,
    DagRun,
    DagRunner,
    EdgeTraversal,
    GraphSnapshot,
    NodeAttempt,
    NodeExecution,
    NullProvenance,
    Payload,
    RunNotFound,
    StoreMeta,
    WrongRunState,
)
from lythonic_compose.dag_provenance import SCHEMA
from lythonic_compose.dag_provenance import writer as writer_room
from lythonic_state import (
    ConstraintViolation,
    DatabaseError,
    MigrationError,
    children,
    count_statements,
)


def one() -> int:
    return 1


def double(x: int) -> int:
    return x * 2


def text(x: int, prefix: str) -> str:
    return f"{prefix}{x}"


def broken(x: int) -> float:
    raise LookupError(f"no {x}")


def after(half: float) -> None: ...


def two_branches() -> Dag:
    """one -> double -> text, and one -> broken -> after."""
    with Dag() as dag:
        start = dag.node(one)
        start >> dag.node(double) >> dag.node(text)
        start >> dag.node(broken) >> dag.node(after)
    return dag


def chain() -> Dag:
    with Dag() as dag:
        dag.node(one) >> dag.node(double) >> dag.node(text)
    return dag


GIVEN = {"text": {"prefix": "x"}}


async def test_a_run_its_nodes_and_edges_are_read_back_as_models(store: DagProvenance) -> None:
    before = datetime.now(UTC)
    result = await DagRunner(chain(), store).run(GIVEN, dag_nsref="tests:chain")

    with store.open() as conn:
        (run,) = DagRun.select(conn, status="completed", order_by="-started_at", limit=20)
        nodes = run.children(conn, NodeExecution, order_by="node_execution_id")
        edges = run.children(conn, EdgeTraversal, order_by="edge_traversal_id")
        attempts = children(conn, nodes, NodeAttempt)
        outputs = {row.payload_hash: row for row in Payload.select(conn)}
        graph = GraphSnapshot.get(conn, graph_hash=run.graph_hash)
    assert (run.run_id, run.dag_nsref, run.error) == (result.run_id, "tests:chain", None)
    assert run.finished_at is not None
    assert before <= run.started_at <= run.finished_at <= datetime.now(UTC)
    assert run.started_at.tzinfo is UTC
    assert [(n.node_label, n.status, n.is_source, n.is_sink) for n in nodes] == [
        ("one", "completed", True, False),
        ("double", "completed", False, False),
        ("text", "completed", False, True),
    ]
    assert all((node.duration or -1) >= 0 for node in nodes)
    assert [(e.upstream_label, e.downstream_label, e.param, e.rule) for e in edges] == [
        ("one", "double", "x", "type"),
        ("double", "text", "x", "type"),
    ]
    assert [(a.number, a.fence, a.status) for each in attempts for a in each] == [
        (1, 1, "completed")
    ] * 3
    assert [outputs[node.output_payload or ""].text for node in nodes] == ["1", "2", '"x2"']
    assert json.loads(outputs[run.source_inputs or ""].text) == {"text": {"prefix": "x"}}
    assert graph.nodes == ["one", "double", "text"]
    assert graph.edges[0] == ("one", "double", "x", "type")


async def test_a_failed_run_keeps_the_traceback_and_what_was_not_run(store: DagProvenance) -> None:
    result = await DagRunner(two_branches(), store).run(GIVEN)
    run = store.inspect_run(result.run_id)

    assert run is not None
    assert (run.status, run.failed_node, run.error) == ("failed", "broken", "LookupError: no 1")
    assert {label: node.status for label, node in run.nodes.items()} == {
        "one": "completed",
        "double": "completed",
        "text": "completed",
        "broken": "failed",
        "after": "upstream_failed",
    }
    failed = run.nodes["broken"]
    assert "Traceback" in (failed.error or "")
    assert 'raise LookupError(f"no {x}")' in (failed.error or "")
    assert run.nodes["after"].started_at is None
    assert [edge.downstream_label for edge in run.nodes["one"].edges] == ["double", "broken"]
    assert store.get_pending_nodes(result.run_id) == ["broken", "after"]
    assert store.get_node_output(result.run_id, "double") == "2"
    assert store.get_node_output(result.run_id, "broken") is None
    with store.open() as conn:
        (attempt,) = failed.children(conn, NodeAttempt)
    assert attempt.status == "failed"
    assert attempt.error == failed.error


async def test_a_wrong_value_on_an_edge_is_kept_as_the_failure_of_its_node(
    store: DagProvenance,
) -> None:
    def liar() -> int:
        return "one"  # type: ignore[return-value]

    dag = Dag()
    dag.node(liar) >> dag.node(double)
    result = await DagRunner(dag, store).run()
    run = store.inspect_run(result.run_id)

    assert run is not None
    assert (run.nodes["double"].status, run.nodes["double"].started_at) == ("failed", None)
    assert "the edge liar -> double.x expects int" in (run.nodes["double"].error or "")


async def test_a_cancelled_run_is_kept_as_cancelled(store: DagProvenance) -> None:
    started = asyncio.Event()

    async def hangs() -> int:
        started.set()
        await asyncio.Event().wait()
        return 1

    dag = Dag()
    dag.node(hangs) >> dag.node(double)
    task = asyncio.ensure_future(DagRunner(dag, store).run())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    (run,) = store.get_recent_runs()
    assert run.status == "cancelled"
    assert run.finished_at is not None
    assert {label: node.status for label, node in run.nodes.items()} == {
        "hangs": "cancelled",
        "double": "cancelled",
    }
    assert store.get_active_runs() == []


async def test_what_cannot_be_serialised_fails_no_run(store: DagProvenance) -> None:
    def handle() -> object:
        return threading.Lock()

    dag = Dag()
    dag.node(handle)
    result = (await DagRunner(dag, store).run()).raise_for_status()

    assert "lock" in (store.get_node_output(result.run_id, "handle") or "")


async def test_an_error_with_bytes_that_no_database_takes_is_kept(store: DagProvenance) -> None:
    def nul() -> None:
        raise ValueError("a \0 and a \ud800")

    dag = Dag()
    dag.node(nul)
    result = await DagRunner(dag, store).run()

    run = store.get_run(result.run_id)
    assert run is not None
    assert run.error == "ValueError: a \\0 and a \\ud800"


async def test_many_runs_at_once_are_all_kept(store: DagProvenance) -> None:
    dag = chain()
    await asyncio.gather(*(DagRunner(dag, store).run(GIVEN) for _ in range(12)))

    runs = store.get_recent_runs(limit=50, status="completed")
    assert len(runs) == 12
    assert all(len(run.nodes) == 3 for run in runs)
    with store.open() as conn:
        # each value, the inputs and the graph are there once, however often they came
        assert Payload.select_count(conn) == 4
        assert GraphSnapshot.select_count(conn) == 1


async def test_reading_runs_takes_the_same_statements_however_many_they_are(
    store: DagProvenance,
) -> None:
    counts: list[int] = []
    for _ in range(2):
        for _ in range(3):
            await DagRunner(chain(), store).run(GIVEN)
        with count_statements() as counted:
            store.get_recent_runs()
        counts.append(counted.count)

    assert counts[0] == counts[1] <= 6


async def test_the_newest_runs_come_first(target: Any) -> None:
    clock = ticking()
    with DagProvenance(target) as store:
        for number in range(4):
            runner = DagRunner(chain(), store, clock=clock, new_id=lambda n=number: f"run{n}")
            await runner.run(GIVEN)
        with store.open() as conn:
            late = DagRun.select(
                conn, gte__started_at=datetime(2026, 1, 31, 0, 0, 10, tzinfo=UTC), order_by="run_id"
            )
        assert [run.run_id for run in store.get_recent_runs(limit=3)] == ["run3", "run2", "run1"]
        assert [run.run_id for run in late] == ["run2", "run3"]


def ticking() -> Callable[[], datetime]:
    seconds = itertools.count()
    return lambda: datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=next(seconds))


async def test_a_row_is_read_by_attribute_and_by_item(store: DagProvenance) -> None:
    result = await DagRunner(chain(), store).run(GIVEN)
    run = store.inspect_run(result.run_id)

    assert run is not None
    assert run["status"] == run.status == "completed"
    assert run["nodes"]["one"]["node_label"] == "one"
    assert store.get_edge_traversals(result.run_id)[0]["rule"] == "type"
    with pytest.raises(KeyError, match="statsu"):
        run["statsu"]


async def test_a_run_tells_what_happened_last(target: Any) -> None:
    with DagProvenance(target) as store:
        runner = DagRunner(chain(), store, clock=ticking())
        run = store.inspect_run((await runner.run(GIVEN)).run_id)

    assert run is not None
    assert run.latest_update() == run.finished_at
    started = run.nodes["double"].started_at
    assert started is not None
    assert [node.node_label for node in run.nodes_changed_since(started)] == ["double", "text"]


# --- the writing interface ------------------------------------------------------------------


def test_a_run_is_recorded_step_by_step(store: DagProvenance) -> None:
    store.create_run("r1", "tests:x", {"fetch": {"url": "u"}})
    store.create_run("r2", None, {}, parent_run_id="r1")
    store.create_run("r3", None, {}, parent_run_id="r2")
    store.record_node_start("r1", "fetch", '{"url": "u"}', is_source=True)
    assert store.get_pending_nodes("r1") == ["fetch"]
    store.complete_node_with_edges("r1", "fetch", "[1, 2]", [("clean", "rows", "type")])
    store.record_node_skipped("r1", "old", '"reused"')
    store.update_run_status("r1", "paused")
    assert [run.run_id for run in store.get_active_runs()] != ["r1"]
    store.finish_run("r1", "completed", '{"fetch": [1, 2]}')
    store.fail_node_and_finish_run("r2", "broken", "it broke")

    run, child = store.inspect_run("r1"), store.inspect_run("r2")
    assert run is not None
    assert child is not None
    assert (run.status, child.status, child.failed_node) == ("completed", "failed", "broken")
    assert store.get_node_output("r1", "fetch") == "[1, 2]"
    assert store.get_node_output("r1", "old") == '"reused"'
    assert store.get_pending_nodes("r1") == []
    assert [edge.param for edge in run.nodes["fetch"].edges] == ["rows"]
    assert [each.run_id for each in store.get_child_runs("r1")] == ["r2", "r3"]


def test_what_is_not_there_is_none_to_read_and_an_error_to_write(store: DagProvenance) -> None:
    assert store.get_run("nope") is None
    assert store.inspect_run("nope") is None
    assert store.get_node_output("nope", "x") is None
    assert store.get_pending_nodes("nope") == []
    with pytest.raises(RunNotFound, match="no run 'nope'"):
        store.finish_run("nope", "completed")
    with pytest.raises(KeyError):
        store.update_run_status("nope", "paused")
    store.create_run("r1", None, {})
    with pytest.raises(WrongRunState, match="'x' has not been started"):
        store.complete_node_with_edges("r1", "x", "1", [])


def test_a_write_that_fails_leaves_nothing_of_itself(store: DagProvenance) -> None:
    store.create_run("r1", None, {})
    with pytest.raises(WrongRunState):
        store.complete_node_with_edges("r1", "x", '"only here"', [])
    with pytest.raises(ConstraintViolation):
        store.create_run("r1", None, {"a": {"b": "only here"}})

    with store.open() as conn:
        assert [row.text for row in Payload.select(conn)] == ["{}"]
    store.finish_run("r1", "completed")


# --- stores ---------------------------------------------------------------------------------


async def test_two_runs_are_kept_in_one_file_that_sqlite3_opens(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    for _ in range(2):
        with DagProvenance(path) as store:
            await DagRunner(chain(), store).run(GIVEN)

    plain = sqlite3.connect(path)
    try:
        assert plain.execute("SELECT status FROM dag_runs").fetchall() == [("completed",)] * 2
        assert plain.execute("SELECT count(*) FROM node_executions").fetchone() == (6,)
        assert plain.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert plain.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        plain.close()


def test_a_store_has_all_tables_and_its_version_from_the_first_time_on(
    store: DagProvenance,
) -> None:
    with store.open() as conn:
        assert SCHEMA.diff(conn) == []
        assert StoreMeta.get(conn, name="version").value == "1"
    assert {table.name for table in SCHEMA.tables} == {
        "dag_runs",
        "node_executions",
        "node_attempts",
        "edge_traversals",
        "payloads",
        "graphs",
        "row_origins",
        "payload_rows",
        "store_meta",
    }


async def test_a_file_is_also_queried_on_an_async_connection(tmp_path: Path) -> None:
    async with DagProvenance(tmp_path / "runs.db") as store:
        await DagRunner(chain(), store).run(GIVEN)
        async with store.open() as conn:
            assert [run.status for run in await DagRun.select(conn)] == ["completed"]


async def test_two_stores_write_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path) as first, DagProvenance(path) as second:
        await asyncio.gather(*(DagRunner(chain(), each).run(GIVEN) for each in [first, second] * 4))
        assert len(second.get_recent_runs(status="completed")) == 8


def test_a_file_that_is_no_database_is_told_when_the_store_is_made(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to be taken for one by its size" * 20)

    with pytest.raises(DatabaseError):
        DagProvenance(path)
    assert path.read_text().startswith("not a database")


def test_a_closed_store_says_so_and_closing_twice_is_no_error(tmp_path: Path) -> None:
    store = DagProvenance(tmp_path / "runs.db")
    store.close()
    store.close()

    with pytest.raises(WrongRunState, match="is closed"):
        store.get_recent_runs()


def test_a_store_that_is_only_dropped_is_quiet(tmp_path: Path) -> None:
    store = DagProvenance(tmp_path / "runs.db")
    store.create_run("r1", None, {})
    del store
    gc.collect()

    with DagProvenance(tmp_path / "runs.db") as again:
        assert again.get_run("r1") is not None


async def test_memory_has_no_async_connection_to_give() -> None:
    with DagProvenance("sqlite://") as store, pytest.raises(WrongRunState, match="use `with`"):
        async with store.open():
            raise AssertionError


async def test_a_run_does_not_wait_for_ever_for_a_connection_that_is_lent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(writer_room, "LENT_SECONDS", 0.05)
    told = pytest.raises(WrongRunState, match=r"the only connection .* is lent")
    with DagProvenance("sqlite://") as store, store.open(), told:
        await DagRunner(chain(), store).run(GIVEN)


async def test_a_null_provenance_takes_everything_and_keeps_nothing() -> None:
    with NullProvenance() as store:
        result = await DagRunner(chain(), store).run(GIVEN)
        store.create_run("r1", None, {})
        store.finish_run("nope", "completed")

        assert result.status == "completed"
        assert store.get_run(result.run_id) is None
        assert store.get_recent_runs() == store.get_node_executions("r1") == []


# --- stores of other versions ---------------------------------------------------------------


def add_one(x: int) -> int:
    return x + 1


def kept_run(path: Path) -> str:
    dag = Dag()
    dag.node(add_one)
    with DagProvenance(path) as store:
        return DagRunner(dag, store).run_sync({"add_one": {"x": 1}}).run_id


def changed_by(path: Path, *statements: str) -> None:
    plain = sqlite3.connect(path)
    try:
        for statement in statements:
            plain.execute(statement)
        plain.commit()
    finally:
        plain.close()


def test_a_store_that_lacks_what_came_later_is_migrated_and_keeps_its_runs(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    before = kept_run(path)
    changed_by(
        path,
        "ALTER TABLE node_attempts DROP COLUMN again_at",
        "ALTER TABLE dag_runs DROP COLUMN fence",
        "DROP TABLE row_origins",
    )

    after = kept_run(path)

    with DagProvenance(path) as store:
        assert {run.run_id for run in store.get_recent_runs()} == {before, after}
        assert store.get_node_output(before, "add_one") == "2"
        with store.open() as conn:
            assert SCHEMA.diff(conn) == []


def test_a_store_of_a_shape_that_nothing_can_be_added_to_is_refused_unchanged(
    tmp_path: Path,
) -> None:
    path = tmp_path / "runs.db"
    run_id = kept_run(path)
    changed_by(path, "ALTER TABLE dag_runs ADD COLUMN somebody_elses TEXT")

    with pytest.raises(MigrationError, match="somebody_elses"):
        DagProvenance(path)

    plain = sqlite3.connect(path)
    try:
        assert plain.execute("SELECT run_id, somebody_elses FROM dag_runs").fetchall() == [
            (run_id, None)
        ]
    finally:
        plain.close()
