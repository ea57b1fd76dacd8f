"""Which rows each event makes, seen in a real file; no runner takes part."""

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Literal

import psycopg
import pytest
from pydantic import SecretStr

from lythonic_compose import (
    Dag,
    DagProvenance,
    DagRun,
    EdgeTraversal,
    GraphSnapshot,
    NodeAttempt,
    NodeExecution,
    Payload,
    RunNotFound,
    RunTakenOver,
    WrongRunState,
)
from lythonic_compose.context import Secret
from lythonic_compose.events import (
    AttemptFailed,
    Event,
    NodeCompleted,
    NodeExpanded,
    NodeFailed,
    NodesEnded,
    NodeSkipped,
    NodeStarted,
    Place,
    RunFinished,
    RunResumed,
    RunStarted,
)
from lythonic_compose.plan import Plan
from lythonic_state import ConstraintViolation, count_statements

START = datetime(2026, 1, 31, 9, tzinfo=UTC)


def one() -> int:
    return 1


def double(x: int) -> int:
    return x * 2


def text(x: int, prefix: str) -> str:
    return f"{prefix}{x}"


def login(user: str, token: Annotated[str, Secret()], password: SecretStr) -> str:
    return user


def numbers() -> list[int]:
    return [1, 2]


def sign(x: int, token: Annotated[str, Secret()]) -> str:
    return f"{x}"


def plan_of(*functions: Callable[..., Any]) -> Plan:
    dag = Dag()
    nodes = [dag.node(function) for function in functions]
    for before, after in pairwise(nodes):
        before >> after
    return dag.plan()


@dataclass
class Told:
    """Tells a store what happens in one run, a second after another."""

    store: DagProvenance
    plan: Plan = field(default_factory=lambda: plan_of(one, double, text))
    run_id: str = "r1"
    seconds: int = 0

    def now(self) -> datetime:
        self.seconds += 1
        return START + timedelta(seconds=self.seconds)

    def run(self, inputs: Mapping[str, Mapping[str, Any]] | None = None, **more: Any) -> RunStarted:
        return RunStarted(self.run_id, self.now(), self.plan, inputs or {}, **more)

    def starts(self, label: str, attempt: int = 1) -> NodeStarted:
        return NodeStarted(self.run_id, self.now(), self.plan.nodes[label], {}, attempt)

    def completes(self, label: str, value: Any, attempt: int = 1) -> NodeCompleted:
        return NodeCompleted(self.run_id, self.now(), self.plan.nodes[label], value, attempt)

    def fails(self, label: str, error: Exception, attempt: int = 1) -> NodeFailed:
        return NodeFailed(self.run_id, self.now(), self.plan.nodes[label], error, attempt)

    def end(
        self, status: Literal["upstream_failed", "cancelled", "pending"], *labels: str
    ) -> NodesEnded:
        nodes = tuple(self.plan.nodes[label] for label in labels)
        return NodesEnded(self.run_id, self.now(), nodes, status)

    def finishes(self, status: Any = "completed", **more: Any) -> RunFinished:
        return RunFinished(self.run_id, self.now(), self.plan, status, **more)

    def resumes(self, fence: int | None = None) -> RunResumed:
        return RunResumed(self.run_id, self.now(), self.plan, fence=fence)

    # what is there

    def row(self) -> DagRun:
        run = self.store.get_run(self.run_id)
        assert run is not None
        return run

    def nodes(self) -> dict[str, NodeExecution]:
        with self.store.open() as conn:
            found = NodeExecution.select(conn, run_id=self.run_id, order_by="node_execution_id")
        return {node.node_label: node for node in found}

    def statuses(self) -> dict[str, str]:
        return {label: node.status for label, node in self.nodes().items()}

    def attempts(self, label: str) -> list[tuple[int, str]]:
        with self.store.open() as conn:
            found = self.nodes()[label].children(conn, NodeAttempt, order_by="number")
        return [(attempt.number, attempt.status) for attempt in found]

    def edges(self) -> list[tuple[str, str]]:
        with self.store.open() as conn:
            found = EdgeTraversal.select(conn, run_id=self.run_id, order_by="edge_traversal_id")
        return [(edge.upstream_label, edge.downstream_label) for edge in found]


@pytest.fixture(params=["node", "run", "postgres"])
def told(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Told]:
    target, durability = tmp_path / "runs.db", request.param
    if request.param == "postgres":
        target, durability = request.getfixturevalue("pg_url"), "node"
    with DagProvenance(target, durability=durability) as store:
        yield Told(store)


# --- runs -----------------------------------------------------------------------------------


def test_a_run_is_there_with_its_owner_graph_and_inputs(told: Told) -> None:
    began = told.run(
        {"text": {"prefix": "x"}},
        dag_nsref="tests:chain",
        tenant="acme",
        initiated_by="usr_1",
    )
    told.store.emit(began)

    run = told.row()
    assert (run.status, run.dag_nsref, run.tenant, run.initiated_by) == (
        "running",
        "tests:chain",
        "acme",
        "usr_1",
    )
    assert (run.started_at, run.heartbeat_at, run.finished_at) == (began.at, began.at, None)
    assert (run.path, run.parent_label, run.map_key, run.branch) == ("", None, "", None)
    assert (run.owner is not None, run.fence) == (True, 1)
    with told.store.open() as conn:
        given = Payload.get(conn, payload_hash=run.source_inputs)
        graph = GraphSnapshot.get(conn, graph_hash=run.graph_hash)
    assert (given.text, given.restorable) == ('{"text":{"prefix":"x"}}', True)
    assert graph.nodes == ["one", "double", "text"]
    assert graph.edges == [("one", "double", "x", "type"), ("double", "text", "x", "type")]
    assert graph.code_hashes == told.plan.code_hashes


def test_a_nested_run_keeps_its_place(told: Told) -> None:
    inner = Told(told.store, run_id="r1.0")
    place = Place("r1", "chunks", "0", "image")
    told.store.emit(told.run())
    told.store.emit(inner.run(parent_run_id="r1", path="tests:chain/chunks[0:image]", place=place))

    run = inner.row()
    assert (run.parent_run_id, run.parent_label, run.map_key, run.branch, run.path) == (
        "r1",
        "chunks",
        "0",
        "image",
        "tests:chain/chunks[0:image]",
    )
    assert [child.run_id for child in told.store.get_child_runs("r1")] == ["r1.0"]


def test_secrets_are_never_stored_and_are_named_with_what_is_not_kept_exactly(
    told: Told, tmp_path: Path
) -> None:
    told.plan = plan_of(login)
    given = {"user": object(), "token": "hunter2", "password": SecretStr("hunter3")}
    told.store.emit(told.run({"login": given}))

    assert told.row().withheld == ["login.user", "login.token", "login.password"]
    told.store.close()
    files = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"hunter" not in files


def test_inputs_of_nested_nodes_go_through_their_declared_types(told: Told) -> None:
    dag = Dag()
    dag.node(numbers) >> dag.map(sign, label="each")
    told.plan = dag.plan()
    told.store.emit(told.run({"each/sign": {"token": "hunter2"}}))

    assert told.row().withheld == ["each/sign.token"]


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled"])
def test_a_run_that_ended_has_its_end(told: Told, status: str) -> None:
    told.store.emit(told.run())
    ended = told.finishes(status, failed_node="double", error=LookupError("no \0 1"))
    told.store.emit(ended)

    run = told.row()
    assert (run.status, run.finished_at, run.failed_node) == (status, ended.at, "double")
    assert run.error == "LookupError: no \\0 1"
    assert told.store.get_active_runs() == []


def test_a_paused_run_has_no_end(told: Told) -> None:
    told.store.emit(told.run())
    told.store.emit(told.finishes("paused"))

    assert (told.row().status, told.row().finished_at) == ("paused", None)


# --- going on with a run --------------------------------------------------------------------


def test_a_failed_run_goes_on_as_if_it_had_not_ended(told: Told) -> None:
    told.store.emit(told.run(), told.starts("one"))
    told.store.emit(told.fails("one", ValueError("x")))
    told.store.emit(told.finishes("failed", failed_node="one", error=ValueError("x")))
    before = told.row()
    resumed = told.resumes()
    told.store.emit(resumed)

    run = told.row()
    assert (run.status, run.finished_at, run.failed_node, run.error) == (
        "running",
        None,
        None,
        None,
    )
    assert (run.fence, run.heartbeat_at, run.started_at) == (2, resumed.at, before.started_at)


def test_a_run_goes_on_with_the_graph_that_it_has_then(told: Told) -> None:
    told.store.emit(told.run())
    told.store.emit(told.finishes("paused"))
    before = told.row().graph_hash
    told.plan = plan_of(one, double)
    told.store.emit(told.resumes())

    assert told.row().graph_hash != before


@pytest.mark.parametrize("status", ["running", "completed"])
def test_a_run_that_runs_or_has_completed_does_not_go_on(told: Told, status: str) -> None:
    told.store.emit(told.run())
    if status == "completed":
        told.store.emit(told.finishes())

    with pytest.raises(WrongRunState, match=f"run 'r1' .*{status}"):
        told.store.emit(told.resumes())
    assert (told.row().status, told.row().fence) == (status, 1)


def test_a_run_that_is_not_there_does_not_go_on(told: Told) -> None:
    with pytest.raises(RunNotFound, match="no run 'r1'"):
        told.store.emit(told.resumes())
    with pytest.raises(RunNotFound, match="no run 'r1'"):
        told.store.emit(told.finishes())


def test_what_ran_when_a_run_was_taken_over_waits_for_its_next_attempt(told: Told) -> None:
    told.store.emit(told.run(), told.starts("one"))
    told.store.emit(told.finishes("paused"))
    told.store.emit(told.resumes())
    assert told.statuses() == {"one": "pending"}
    assert told.attempts("one") == [(1, "cancelled")]

    told.store.emit(told.starts("one", 2))
    assert told.statuses() == {"one": "running"}
    assert told.attempts("one") == [(1, "cancelled"), (2, "running")]
    with told.store.open() as conn:
        assert [each.fence for each in NodeAttempt.select(conn, order_by="number")] == [1, 2]


@pytest.mark.parametrize("first_tells", ["completes", "fails", "ends", "finishes"])
def test_whoever_was_taken_over_from_records_nothing_more(tmp_path: Path, first_tells: str) -> None:
    with DagProvenance(tmp_path / "a.db") as one_store, DagProvenance(tmp_path / "a.db") as other:
        first, second = Told(one_store), Told(other)
        one_store.emit(first.run(), first.starts("one"))
        # as if the other did not know that the first is alive
        one_store.update_run_status("r1", "paused")
        other.emit(second.resumes())

        late: dict[str, Event] = {
            "completes": first.completes("one", 1),
            "fails": first.fails("one", ValueError()),
            "ends": first.end("cancelled", "one", "double"),
            "finishes": first.finishes("failed"),
        }
        # what is refused first may rely on what was known before, the others on nothing
        for told in (late.pop(first_tells), *late.values()):
            with pytest.raises(WrongRunState, match=r"not running any more|taken over"):
                one_store.emit(told)
        assert second.statuses() == {"one": "pending"}
        assert second.row().status == "running"
        other.emit(second.starts("one", 2))
        other.emit(second.completes("one", 1, 2), second.finishes())
        assert second.row().status == "completed"


def test_a_run_that_somebody_went_on_with_meanwhile_is_not_resumed(told: Told) -> None:
    told.store.emit(told.run(), told.starts("one"))
    told.store.emit(told.finishes("paused"))
    told.store.emit(told.resumes(fence=1))
    told.store.emit(told.finishes("paused"))  # nothing more has completed
    with pytest.raises(RunTakenOver, match="taken over by somebody else"):
        told.store.emit(told.resumes(fence=1))
    assert (told.row().status, told.row().fence) == ("paused", 2)


def test_what_a_lost_owner_left_running_inside_of_a_run_ends_with_the_take_over(
    tmp_path: Path,
) -> None:
    with DagProvenance(tmp_path / "a.db") as gone, DagProvenance(tmp_path / "a.db") as other:
        root, inner, innermost = (Told(gone, run_id=name) for name in ("r1", "r2", "r3"))
        begun, elsewhere = Told(gone, run_id="begun"), Told(other, run_id="elsewhere")
        gone.emit(root.run(), root.starts("one"))
        place = Place("r1", "one")
        gone.emit(inner.run(parent_run_id="r1", place=place), inner.starts("one"))
        gone.emit(innermost.run(parent_run_id="r2", place=Place("r2", "one")))
        gone.emit(innermost.starts("double"), begun.run(parent_run_id="r1"), begun.starts("one"))
        other.emit(elsewhere.run(parent_run_id="r1"))
        # as if the other did not know that the first is alive
        other.update_run_status("r1", "paused")
        other.emit(Told(other).resumes())

        assert root.statuses() == {"one": "pending"}
        assert [each.row().status for each in (inner, innermost, begun)] == ["cancelled"] * 3
        assert [each.statuses() for each in (inner, innermost, begun)] == [
            {"one": "cancelled"},
            {"double": "cancelled"},
            {"one": "cancelled"},
        ]
        assert elsewhere.row().status == "running", "which is not of the lost owner's"
        for late in (inner.completes("one", 1), innermost.fails("double", ValueError())):
            with pytest.raises(WrongRunState, match="not running any more"):
                gone.emit(late)
        for each in (innermost, inner, begun):
            with pytest.raises(RunTakenOver):
                gone.emit(each.finishes())


def test_a_run_that_has_gone_on_since_is_not_resumed(told: Told) -> None:
    told.store.emit(told.run(), told.finishes("paused"))
    told.store.emit(told.resumes(), told.finishes("failed"))
    with pytest.raises(RunTakenOver, match="'r1' has just been taken over"):
        told.store.emit(RunResumed("r1", told.now(), told.plan, fence=1))
    assert (told.row().status, told.row().fence) == ("failed", 2)
    told.store.emit(RunResumed("r1", told.now(), told.plan, fence=2))
    assert (told.row().status, told.row().fence) == ("running", 3)


def test_a_run_of_which_more_has_completed_than_was_known_is_not_resumed(told: Told) -> None:
    # decided while it was running, after which it went on and paused
    told.store.emit(told.run(), told.starts("one"), told.completes("one", 1))
    told.store.emit(told.finishes("paused"))
    known: frozenset[str] = frozenset()
    with pytest.raises(RunTakenOver, match="'r1' has just been taken over"):
        told.store.emit(RunResumed("r1", told.now(), told.plan, fence=1, completed=known))
    assert (told.row().status, told.row().fence) == ("paused", 1)
    told.store.emit(RunResumed("r1", told.now(), told.plan, fence=1, completed=known | {"one"}))
    assert (told.row().status, told.row().fence) == ("running", 2)


def test_what_a_dead_process_still_commits_is_not_undone_by_who_resumes_its_run(
    pg_url: str,
) -> None:
    with DagProvenance(pg_url) as store, ThreadPoolExecutor() as threads:
        told = Told(store)
        store.emit(told.run(), told.starts("one"))
        store.update_run_status("r1", "paused")
        resumed = RunResumed("r1", told.now(), told.plan, completed=frozenset())
        with psycopg.connect(pg_url) as late:
            late.execute("UPDATE node_attempts SET status = 'completed'")
            late.execute("UPDATE node_executions SET status = 'completed'")
            resuming = threads.submit(store.emit, resumed)
            with psycopg.connect(pg_url, autocommit=True) as looking:
                waits = "SELECT count(*) FROM pg_locks WHERE NOT granted"
                while looking.execute(waits).fetchone() == (0,):
                    assert not resuming.done()
        with pytest.raises(RunTakenOver):
            resuming.result()
        assert told.statuses() == {"one": "completed"}
        assert told.attempts("one") == [(1, "completed")]


# --- nodes ----------------------------------------------------------------------------------


def test_a_node_that_starts_has_a_running_attempt(told: Told) -> None:
    told.store.emit(told.run())
    started = told.starts("one")
    told.store.emit(started)

    node = told.nodes()["one"]
    assert (node.status, node.started_at, node.finished_at) == ("running", started.at, None)
    assert (node.is_source, node.is_sink) == (True, False)
    assert told.attempts("one") == [(1, "running")]


def test_a_node_that_completes_has_its_output_and_its_edges(told: Told) -> None:
    told.store.emit(told.run(), told.starts("one"))
    completed = told.completes("one", 1)
    told.store.emit(completed)

    node = told.nodes()["one"]
    assert (node.status, node.finished_at, node.error) == ("completed", completed.at, None)
    assert told.attempts("one") == [(1, "completed")]
    assert told.edges() == [("one", "double")]
    assert told.store.get_node_output("r1", "one") == "1"


def test_the_end_of_one_node_and_the_start_of_the_next_are_one_transaction(
    tmp_path: Path,
) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        told = Told(store)
        store.emit(told.run(), told.starts("one"))
        with count_statements() as counted:
            store.emit(told.completes("one", 1), told.starts("double"))
        # payload, attempt, node, edge; node and attempt
        assert counted.count == 6
        with count_statements() as counted:
            store.emit(told.completes("double", 1))
        # a value that is there already is not written again
        assert counted.count == 3
    with DagProvenance(tmp_path / "runs.db") as store:
        assert Told(store).statuses() == {"one": "completed", "double": "completed"}


def test_of_events_that_are_told_together_all_are_kept_or_none(told: Told) -> None:
    told.store.emit(told.run())
    told.store.emit(told.finishes("paused"))  # with durability "run", this writes
    told.store.emit(told.resumes())
    with pytest.raises(WrongRunState, match="attempt 1 of 'double'"):
        told.store.emit(told.starts("one"), told.completes("double", 2), told.finishes("completed"))

    assert told.statuses() == {}
    assert told.row().status == "running"
    told.store.emit(told.starts("one"), told.completes("one", 1))
    assert told.statuses() == {"one": "completed"}


def test_an_attempt_that_fails_is_kept_beside_the_next(told: Told) -> None:
    told.store.emit(told.run(), told.starts("one"))
    node = told.plan.nodes["one"]
    again_at = START + timedelta(minutes=1)
    failed = AttemptFailed("r1", told.now(), node, ValueError("first"), 1, again_at)
    told.store.emit(failed)
    assert told.statuses() == {"one": "running"}
    told.store.emit(told.starts("one", 2))
    told.store.emit(told.completes("one", 1, 2))

    with told.store.open() as conn:
        first, second = NodeAttempt.select(conn, order_by="number")
    assert (first.number, first.status, first.again_at) == (1, "failed", again_at)
    assert (first.finished_at, second.error, second.again_at) == (failed.at, None, None)
    assert "ValueError: first" in (first.error or "")
    assert (second.number, second.status) == (2, "completed")
    assert told.statuses() == {"one": "completed"}
    assert told.nodes()["one"].error is None


def test_a_late_attempt_changes_nothing(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        told = Told(store)
        node = told.plan.nodes["one"]
        store.emit(told.run(), told.starts("one"))
        store.emit(AttemptFailed("r1", told.now(), node, TimeoutError(), 1, START))
        for late in (told.completes("one", 0), told.fails("one", ValueError())):
            with pytest.raises(WrongRunState, match=r"attempt 1 of 'one' .* not running any more"):
                store.emit(late)
        store.emit(told.starts("one", 2))
        for late in (told.completes("one", 0), told.fails("one", ValueError())):
            with pytest.raises(WrongRunState, match=r"attempt 1 of 'one' .* not running any more"):
                store.emit(late)
        store.emit(told.completes("one", 1, 2))
        for late in (told.completes("one", 0, 2), told.fails("one", ValueError(), 2)):
            with pytest.raises(WrongRunState, match="not running any more"):
                store.emit(late)

        assert told.attempts("one") == [(1, "failed"), (2, "completed")]
        assert told.statuses() == {"one": "completed"}
        assert store.get_node_output("r1", "one") == "1"
        assert told.edges() == [("one", "double")]


def test_one_attempt_does_not_begin_twice(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        told = Told(store)
        store.emit(told.run(), told.starts("one"))
        with pytest.raises(WrongRunState, match=r"attempt 1 of 'one' .* has begun already"):
            store.emit(told.starts("one"))
        assert told.attempts("one") == [(1, "running")]


def test_a_node_that_runs_again_loses_what_it_gave_before(told: Told) -> None:
    told.store.emit(told.run(), told.starts("one"), told.completes("one", 1))
    told.store.emit(told.starts("one", 2))

    assert told.edges() == []
    assert told.nodes()["one"].output_payload is None
    assert told.store.get_node_output("r1", "one") is None
    told.store.emit(told.completes("one", 5, 2))
    assert told.edges() == [("one", "double")]
    assert told.store.get_node_output("r1", "one") == "5"


def test_a_node_that_fails_has_its_traceback(told: Told) -> None:
    told.store.emit(told.run(), told.starts("one"))
    try:
        raise LookupError("no \ud800")
    except LookupError as error:
        told.store.emit(told.fails("one", error))

    node = told.nodes()["one"]
    assert node.status == "failed"
    assert "Traceback" in (node.error or "")
    assert "no \\ud800" in (node.error or "")
    assert told.attempts("one") == [(1, "failed")]


def test_a_node_that_never_started_can_fail_and_run_later(told: Told) -> None:
    told.store.emit(told.run())
    told.store.emit(told.fails("double", ValueError("what came is no int")))
    node = told.nodes()["double"]
    assert (node.status, node.started_at) == ("failed", None)
    assert told.attempts("double") == []

    told.store.emit(told.starts("double", 1))
    assert told.statuses() == {"double": "running"}
    assert told.nodes()["double"].error is None


@pytest.mark.parametrize("status", ["upstream_failed", "cancelled", "pending"])
def test_nodes_that_will_not_end_say_why(
    told: Told, status: Literal["upstream_failed", "cancelled", "pending"]
) -> None:
    told.store.emit(told.run(), told.starts("one"))
    ended = told.end(status, "one", "double")
    told.store.emit(ended)

    assert told.statuses() == {"one": status, "double": status}
    assert told.attempts("one") == [(1, "cancelled")]
    at = None if status == "pending" else ended.at
    assert told.nodes()["double"].finished_at == at


def test_an_output_of_another_run_is_not_written_again(told: Told) -> None:
    told.store.emit(told.run(), told.starts("one"), told.completes("one", 1))
    old = told.nodes()["one"].output_payload
    again = Told(told.store, run_id="r2")
    node = again.plan.nodes["one"]
    again.store.emit(
        again.run(),
        NodeSkipped("r2", again.now(), node, 1, reused_from="r1", payload_hash=old),
    )

    skipped = again.nodes()["one"]
    assert (skipped.status, skipped.reused_from) == ("skipped", "r1")
    assert skipped.output_payload == old
    assert again.edges() == [("one", "double")]
    assert again.attempts("one") == []


def test_a_value_in_the_place_of_a_node_is_kept(told: Told) -> None:
    told.store.emit(told.run())
    told.store.emit(NodeSkipped("r1", told.now(), told.plan.nodes["one"], 7))

    assert (told.statuses(), told.nodes()["one"].reused_from) == ({"one": "skipped"}, None)
    assert told.store.get_node_output("r1", "one") == "7"
    # the next one starts as if it had run
    told.store.emit(told.starts("double"))


def test_the_elements_of_a_map_make_no_rows_of_their_own(told: Told) -> None:
    told.store.emit(told.run())
    told.store.emit(NodeExpanded("r1", told.now(), told.plan.nodes["one"], ("0", "1")))

    assert told.statuses() == {}


def test_a_fan_out_writes_its_edges_by_one_statement(tmp_path: Path) -> None:
    dag = Dag()
    start = dag.node(one)
    for number in range(20):
        start >> dag.node(double, label=f"double{number}")
    with DagProvenance(tmp_path / "runs.db") as store:
        told = Told(store, dag.plan())
        store.emit(told.run(), told.starts("one"))
        with count_statements() as counted:
            store.emit(told.completes("one", 1))
        assert counted.count == 4
        assert len(told.edges()) == 20


# --- what is written once ---------------------------------------------------------------------


def written(store: DagProvenance) -> list[Any]:
    """All rows of nodes, attempts and edges, without keys and without who wrote them."""
    with store.open() as conn:
        nodes = NodeExecution.select(conn, order_by="node_execution_id")
        attempts = NodeAttempt.select(conn, order_by=["node_execution_id", "number"])
        edges = EdgeTraversal.select(conn, order_by="edge_traversal_id")
        runs = DagRun.select(conn, order_by="run_id")
    labels = {node.node_execution_id: (node.run_id, node.node_label) for node in nodes}
    keys = {"node_execution_id", "node_attempt_id", "edge_traversal_id", "owner", "heartbeat_at"}
    return [
        *(each.model_dump(exclude=keys) for each in (*runs, *nodes, *edges)),
        *((labels[each.node_execution_id], each.model_dump(exclude=keys)) for each in attempts),
    ]


def again_at_once(told: Told) -> Iterator[Event]:
    yield from (told.run(), told.starts("one"), told.completes("one", 1))
    yield from (told.starts("one", 2), told.completes("one", 2, 2))
    yield from (told.starts("one", 3), told.finishes("paused"))


def twice_at_once(told: Told) -> Iterator[Event]:
    yield from (told.run(), told.starts("one"), told.completes("one", 1))
    yield from (told.starts("one", 2), told.completes("one", 2, 2), told.finishes())


def in_a_row(told: Told) -> Iterator[Event]:
    yield told.run()
    for label, value in (("one", 1), ("double", 2), ("text", "a2")):
        yield told.starts(label)
        yield told.completes(label, value)
    yield told.finishes()


def side_by_side(told: Told) -> Iterator[Event]:
    yield from (told.run(), told.starts("double"), told.starts("one"))
    yield from (told.completes("one", 1), told.completes("double", 2), told.finishes())


def one_fails_beside_another(told: Told) -> Iterator[Event]:
    yield from (told.run(), told.starts("one"), told.starts("double"))
    yield from (told.fails("double", ValueError("no")), told.end("upstream_failed", "text"))
    yield from (told.completes("one", 1), told.finishes("failed"))


def at_the_second_attempt(told: Told) -> Iterator[Event]:
    yield from (told.run(), told.starts("one"))
    node, at = told.plan.nodes["one"], told.now()
    yield AttemptFailed(told.run_id, at, node, ValueError("not yet"), 1, at + timedelta(seconds=1))
    yield from (told.starts("one", 2), told.completes("one", 1, 2), told.finishes())


def again_after_a_pause(told: Told) -> Iterator[Event]:
    yield from (told.run(), told.starts("one"), told.completes("one", 1), told.starts("double"))
    yield from (told.end("pending", "double"), told.finishes("paused"), told.resumes())
    yield from (told.starts("double", 2), told.completes("double", 2, 2), told.finishes())


def with_a_skipped_one(told: Told) -> Iterator[Event]:
    yield from (told.run(), told.starts("double"), told.completes("double", 2))
    yield NodeSkipped(told.run_id, told.now(), told.plan.nodes["one"], 1)
    yield from (told.starts("text"), told.completes("text", "a2"), told.finishes())


def around_another_run(told: Told) -> Iterator[Event]:
    inner = Told(told.store, run_id="r1.0", seconds=100)
    yield from (told.run(), told.starts("one"))
    yield inner.run(parent_run_id="r1", path="chain/one[]", place=Place("r1", "one"))
    yield from (inner.starts("one"), inner.completes("one", 1), inner.finishes())
    yield from (told.completes("one", 1), told.finishes())


@pytest.mark.parametrize(
    "story",
    [
        in_a_row,
        side_by_side,
        one_fails_beside_another,
        at_the_second_attempt,
        again_after_a_pause,
        again_at_once,
        twice_at_once,
        with_a_skipped_one,
        around_another_run,
    ],
)
def test_what_is_written_once_is_what_was_written_step_by_step(
    tmp_path: Path, story: Callable[[Told], Iterator[Event]]
) -> None:
    found: list[list[Any]] = []
    for durability in ("node", "run"):
        with DagProvenance(tmp_path / f"{durability}.db", durability=durability) as store:
            for event in story(Told(store, plan_of(one, double, text))):
                store.emit(event)
            found.append(written(store))
    assert found[0] == found[1]


def test_with_durability_run_a_node_is_one_statement(tmp_path: Path) -> None:
    dag = Dag()
    before = dag.node(one)
    for number in range(9):
        after = dag.node(double, f"double{number}")
        before >> after
        before = after
    plan = dag.plan()
    with DagProvenance(tmp_path / "runs.db", durability="run") as store:
        told = Told(store, plan)
        nodes = [
            event
            for label in plan.nodes
            for event in (told.starts(label), told.completes(label, 1))
        ]
        with count_statements() as counted:
            store.emit(told.run(), *nodes, told.finishes())

        assert [attempts for label in plan.nodes for attempts in told.attempts(label)] == [
            (1, "completed")
        ] * 10
        assert len(told.edges()) == 9
    # the graph, what was given and returned, the run, its end; all attempts, all edges
    assert counted.count == 10 + 5 + 2


# --- what is known without asking -------------------------------------------------------------


def test_another_store_goes_on_where_the_first_has_written(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as first, DagProvenance(tmp_path / "runs.db") as other:
        first.create_run("r1", None, {})
        other.record_node_start("r1", "fetch", None)
        first.complete_node_with_edges("r1", "fetch", "1", [])
        other.finish_run("r1", "completed")

        assert first.get_node_output("r1", "fetch") == "1"


def test_a_value_that_somebody_has_deleted_is_written_again(told: Told) -> None:
    told.store.emit(told.run(), told.starts("one"), told.completes("one", 12345))
    told.store.emit(told.starts("one", 2))
    with told.store.open() as conn:
        assert Payload.delete(conn, text="12345") == 1
        conn.commit()
    told.store.emit(told.completes("one", 12345, 2))

    assert told.store.get_node_output("r1", "one") == "12345"


def test_a_run_is_not_begun_twice(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        told = Told(store)
        store.emit(told.run())
        with pytest.raises(ConstraintViolation):
            store.emit(told.run())
        store.emit(told.starts("one"))
        assert told.statuses() == {"one": "running"}


def test_events_are_values_of_which_each_has_a_write() -> None:
    from typing import get_args

    from lythonic_compose.dag_provenance import recorder

    assert set(recorder._WRITES) == set(get_args(Event))
