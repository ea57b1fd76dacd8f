from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, NamedTuple
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr

from lythonic_compose import (
    CodeChanged,
    Dag,
    DagContext,
    DagError,
    DagPause,
    DagProvenance,
    DagRun,
    DagRunner,
    Failed,
    NullProvenance,
    Retry,
    RunNotFound,
    Secret,
    WrongRunState,
)
from lythonic_state import DbModel, PrimaryKey, ScopeContext


@pytest.fixture
def store(tmp_path: Path) -> Generator[DagProvenance]:
    with DagProvenance(tmp_path / "runs.db") as provenance:
        yield provenance


class Journal:
    """Which functions were called, and which of them are to fail for now."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.broken: set[str] = set()

    def note(self, name: str) -> None:
        self.calls.append(name)
        if name in self.broken:
            raise OSError(f"{name} is broken")

    def taken(self) -> list[str]:
        calls, self.calls = self.calls, []
        return calls


JOURNAL = Journal()


@pytest.fixture(autouse=True)
def journal() -> Journal:
    JOURNAL.calls.clear()
    JOURNAL.broken.clear()
    return JOURNAL


def first(start: int) -> int:
    JOURNAL.note("first")
    return start + 1


def second(number: int) -> int:
    JOURNAL.note("second")
    return number * 10


def third(number: int) -> str:
    JOURNAL.note("third")
    return f"<{number}>"


def chain() -> Dag:
    dag = Dag()
    dag.node(first) >> dag.node(second) >> dag.node(third)
    return dag


INPUTS = {"first": {"start": 1}}

# --- restart --------------------------------------------------------------------------------


async def test_a_failed_run_goes_on_where_it_failed(store: DagProvenance) -> None:
    JOURNAL.broken.add("second")
    runner = DagRunner(chain(), store)
    failed = await runner.run(INPUTS)
    assert failed.status == "failed"
    assert JOURNAL.taken() == ["first", "second"]
    JOURNAL.broken.clear()
    done = await runner.restart(failed.run_id)
    assert JOURNAL.taken() == ["second", "third"]
    assert done.run_id == failed.run_id
    assert done.outputs == {"third": "<20>"}
    assert done.run_again == ()
    assert done[first] == 2
    run = store.inspect_run(failed.run_id)
    assert run is not None
    assert (run.status, run.failed_node, run.error) == ("completed", None, None)
    assert {label: node.status for label, node in run.nodes.items()} == dict.fromkeys(
        ("first", "second", "third"), "completed"
    )
    assert [node.error for node in run.nodes.values()] == [None, None, None]


async def test_a_run_in_another_process_goes_on_from_the_file(tmp_path: Path) -> None:
    JOURNAL.broken.add("third")
    with DagProvenance(tmp_path / "runs.db") as store:
        failed = await DagRunner(chain(), store).run(INPUTS, dag_nsref="shop:daily")
    JOURNAL.broken.clear()
    JOURNAL.taken()
    with DagProvenance(tmp_path / "runs.db") as store:
        done = await DagRunner(chain(), store).restart(failed.run_id)
        assert done.outputs == {"third": "<20>"}
        run = store.get_run(failed.run_id)
        assert run is not None
        assert run.dag_nsref == "shop:daily"
    assert JOURNAL.taken() == ["third"]


async def test_a_paused_run_goes_on(store: DagProvenance) -> None:
    approved = False

    def approval(number: int) -> int:
        if not approved:
            raise DagPause("waits")
        return number

    dag = Dag()
    dag.node(first) >> dag.node(approval) >> dag.node(second)
    runner = DagRunner(dag, store)
    paused = await runner.run(INPUTS)
    assert paused.status == "paused"
    run = store.inspect_run(paused.run_id)
    assert run is not None
    assert (run.status, run.finished_at) == ("paused", None)
    assert run.nodes["approval"].status == "pending"
    assert store.get_pending_nodes(paused.run_id) == ["approval", "second"]
    again = await runner.restart(paused.run_id)
    assert again.status == "paused"
    approved = True
    done = await runner.restart(paused.run_id)
    assert done.outputs == {"second": 20}
    assert JOURNAL.taken() == ["first", "second"]


async def test_a_pause_that_comes_before_a_restarted_run_begins_is_heard(tmp_path: Path) -> None:
    JOURNAL.broken.add("second")

    class Pausing(DagProvenance):
        def recall(self, run_id: str, /) -> Any:
            runner.pause()
            return super().recall(run_id)

    with Pausing(tmp_path / "runs.db") as store:
        runner = DagRunner(chain(), store)
        failed = await runner.run(INPUTS)
        JOURNAL.taken()
        paused = await runner.restart(failed.run_id)
        assert paused.status == "paused"
        assert JOURNAL.taken() == []
        assert store.get_pending_nodes(failed.run_id) == ["second", "third"]


async def test_a_cancelled_run_goes_on(store: DagProvenance) -> None:
    waiting = asyncio.Event()
    release = False

    async def waits(number: int) -> int:
        waiting.set()
        if not release:
            await asyncio.sleep(60)
        return number

    dag = Dag()
    dag.node(first) >> dag.node(waits)
    runner = DagRunner(dag, store)
    task = asyncio.create_task(runner.run(INPUTS))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    (run,) = store.get_recent_runs()
    assert (run.status, run.nodes["waits"].status) == ("cancelled", "cancelled")
    release = True
    done = await runner.restart(run.run_id)
    assert done.outputs == {"waits": 2}
    assert JOURNAL.taken() == ["first"]


async def test_attempts_are_counted_over_restarts(store: DagProvenance) -> None:
    JOURNAL.broken.add("first")
    dag = Dag()
    dag.node(first, retry=Retry(2))
    runner = DagRunner(dag, store)
    failed = await runner.run(INPUTS)
    JOURNAL.broken.clear()
    await runner.restart(failed.run_id)
    with store.open() as conn:
        from lythonic_compose import NodeAttempt

        attempts = NodeAttempt.select(conn, order_by="number")
    assert [(a.number, a.status) for a in attempts] == [
        (1, "failed"),
        (2, "failed"),
        (3, "completed"),
    ]


async def test_what_cannot_be_restarted_says_why(store: DagProvenance) -> None:
    runner = DagRunner(chain(), store)
    done = await runner.run(INPUTS)
    with pytest.raises(WrongRunState, match="has completed; replay"):
        await runner.restart(done.run_id)
    with pytest.raises(RunNotFound, match="there is no run 'nope'"):
        await runner.restart("nope")
    with pytest.raises(WrongRunState, match="make the runner with provenance=DagProvenance"):
        await DagRunner(chain()).restart(done.run_id)
    with pytest.raises(RunNotFound):
        await DagRunner(chain(), NullProvenance()).restart(done.run_id)
    with pytest.raises(DagError, match="on_change='maybe'"):
        await runner.restart(done.run_id, "maybe")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_run_that_is_running_cannot_be_restarted(store: DagProvenance) -> None:
    began, release = threading.Event(), threading.Event()

    def waits(start: int) -> int:
        began.set()
        release.wait(10)
        return start

    dag = Dag()
    dag.node(waits)
    runner = DagRunner(dag, store)
    task = asyncio.create_task(runner.run({"waits": {"start": 1}}))
    assert await asyncio.to_thread(began.wait, 10)
    (run,) = store.get_active_runs()
    with pytest.raises(WrongRunState, match="running"):
        await runner.restart(run.run_id)
    with pytest.raises(WrongRunState, match="running"):
        await runner.replay(run.run_id, {"waits"})
    release.set()
    assert (await task).status == "completed"


async def test_a_part_of_a_run_is_not_restarted_by_itself(store: DagProvenance) -> None:
    JOURNAL.broken.add("second")
    dag = Dag()
    dag.node(chain(), "inner")
    failed = await DagRunner(dag, store).run({"inner/first": {"start": 1}})
    (child,) = store.get_child_runs(failed.run_id)
    with pytest.raises(WrongRunState, match=rf"is a part of run {failed.run_id} \(inner\[\]\)"):
        await DagRunner(dag, store).restart(child.run_id)


# --- values come back as their types --------------------------------------------------------


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    when: datetime
    amount: Decimal


class Outer(BaseModel):
    inner: list[Inner]
    by_day: dict[date, float]


class Row(DbModel["Row"]):
    row_id: Annotated[int, PrimaryKey()] = -1
    name: str


@dataclass
class Point:
    x: int
    y: float


class Pair(NamedTuple):
    left: int
    right: str


MOMENT = datetime(2026, 3, 1, 12, tzinfo=UTC)
VALUES: list[tuple[Any, Any]] = [
    (
        Outer,
        Outer(inner=[Inner(when=MOMENT, amount=Decimal("1.10"))], by_day={date(2026, 1, 2): 1.5}),
    ),
    (list[Row], [Row(row_id=3, name="x")]),
    (Point, Point(1, 2.5)),
    (Pair, Pair(1, "x")),
    (Colour, Colour.RED),
    (UUID, UUID(int=5)),
    (Decimal, Decimal("0.10")),
    (datetime, MOMENT),
    (timedelta, timedelta(seconds=3)),
    (tuple[int, str], (1, "x")),
    (set[int], {1, 2}),
    (frozenset[str], frozenset({"a"})),
    (dict[int, bytes], {1: b"\xff\x00"}),
    (float, float("inf")),
    (Path, Path("/tmp/x")),
    (int | None, None),
]


@pytest.mark.parametrize(("annotation", "value"), VALUES, ids=[str(kind) for kind, _ in VALUES])
async def test_a_restart_gives_values_of_the_declared_types(
    store: DagProvenance, annotation: Any, value: Any
) -> None:
    got: list[Any] = []
    fail = True

    def make() -> Any:
        JOURNAL.note("make")
        return value

    def use(it: Any) -> None:
        if fail:
            raise OSError("not yet")
        got.append(it)

    make.__annotations__["return"] = annotation
    use.__annotations__["it"] = annotation
    dag = Dag()
    dag.node(make) >> dag.node(use)
    runner = DagRunner(dag, store)
    failed = await runner.run()
    assert failed.error == "OSError: not yet"
    fail = False
    done = (await runner.restart(failed.run_id, on_change="keep")).raise_for_status()
    assert JOURNAL.taken() == ["make"]
    assert got == [value]
    assert type(got[0]) is type(value)
    assert done.run_again == ()


class Opaque:
    """Something that no text says."""


async def test_what_does_not_come_back_is_run_again_and_the_result_says_so(
    store: DagProvenance,
) -> None:
    def make(start: int) -> Opaque:
        JOURNAL.note("make")
        return Opaque()

    def use(it: Opaque) -> str:
        JOURNAL.note("use")
        return type(it).__name__

    dag = Dag()
    dag.node(make) >> dag.node(use)
    JOURNAL.broken.add("use")
    runner = DagRunner(dag, store)
    failed = await runner.run({"make": {"start": 1}})
    JOURNAL.broken.clear()
    JOURNAL.taken()
    done = await runner.restart(failed.run_id)
    assert done.outputs == {"use": "Opaque"}
    assert done.run_again == ("make",)
    assert JOURNAL.taken() == ["make", "use"]


# --- changed code ---------------------------------------------------------------------------


def changed(name: str, body: str) -> Callable[..., Any]:
    """A function with a source, which tests can have in two versions."""
    import linecache

    text = f"def {name}(number: int) -> int:\n    {body}\n"
    filename = f"<{name} {abs(hash(text))}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(True), filename)
    namespace: dict[str, Any] = {"JOURNAL": JOURNAL, "__name__": __name__}
    exec(compile(text, filename, "exec"), namespace)
    function: Callable[..., Any] = namespace[name]
    return function


def changing(version: int) -> Dag:
    middle = changed("middle", f"JOURNAL.note('middle'); return number + {version}")
    dag = Dag()
    dag.node(first) >> dag.node(middle) >> dag.node(second) >> dag.node(third)
    return dag


async def test_changed_code_is_told_before_anything_runs(store: DagProvenance) -> None:
    JOURNAL.broken.add("third")
    failed = await DagRunner(changing(1), store).run(INPUTS)
    JOURNAL.broken.clear()
    JOURNAL.taken()
    with pytest.raises(CodeChanged) as caught:
        await DagRunner(changing(100), store).restart(failed.run_id)
    assert caught.value.nodes == ("middle",)
    assert 'on_change="rerun"' in str(caught.value)
    assert JOURNAL.taken() == []
    run = store.get_run(failed.run_id)
    assert run is not None
    assert run.status == "failed"

    kept = await DagRunner(changing(100), store).restart(failed.run_id, "keep")
    assert kept.outputs == {"third": "<30>"}
    assert JOURNAL.taken() == ["third"]


async def test_changed_code_runs_again_with_all_that_is_behind_it(store: DagProvenance) -> None:
    JOURNAL.broken.add("third")
    failed = await DagRunner(changing(1), store).run(INPUTS)
    JOURNAL.broken.clear()
    JOURNAL.taken()
    done = await DagRunner(changing(100), store).restart(failed.run_id, "rerun")
    assert done.outputs == {"third": "<1020>"}
    assert JOURNAL.taken() == ["middle", "second", "third"]


async def test_a_node_that_had_not_completed_runs_with_its_new_code(store: DagProvenance) -> None:
    failing = changed("middle", "raise OSError('old code')")
    dag = Dag()
    dag.node(first) >> dag.node(failing)
    failed = await DagRunner(dag, store).run(INPUTS)
    mended = Dag()
    mended.node(first) >> mended.node(changed("middle", "return number + 5"))
    done = await DagRunner(mended, store).restart(failed.run_id)
    assert done.outputs == {"middle": 7}


async def test_changed_code_inside_of_a_map_is_found(store: DagProvenance) -> None:
    def numbers() -> list[int]:
        return [1, 2]

    def mapped(version: int) -> Dag:
        sub = Dag()
        sub.node(changed("middle", f"return number + {version}")) >> sub.node(second)
        dag = Dag()
        dag.node(numbers) >> dag.map(sub, "steps", concurrency=1)
        return dag

    JOURNAL.broken.add("second")
    failed = await DagRunner(mapped(1), store).run()
    JOURNAL.broken.clear()
    with pytest.raises(CodeChanged) as caught:
        await DagRunner(mapped(2), store).restart(failed.run_id)
    assert caught.value.nodes == ("steps/middle",)
    done = await DagRunner(mapped(2), store).restart(failed.run_id, "rerun")
    assert done.outputs == {"steps": [30, 40]}


# --- composites -----------------------------------------------------------------------------


def numbers() -> list[int]:
    JOURNAL.note("numbers")
    return [1, 2, 3, 4]


def step(number: int) -> int:
    JOURNAL.note(f"step {number}")
    return number * 10


async def test_elements_that_completed_are_not_run_again(store: DagProvenance) -> None:
    dag = Dag()
    dag.node(numbers) >> dag.map(step, "steps", concurrency=1)
    runner = DagRunner(dag, store)
    JOURNAL.broken.add("step 3")
    failed = await runner.run()
    assert JOURNAL.taken() == ["numbers", "step 1", "step 2", "step 3"]
    again = await runner.restart(failed.run_id)
    assert again.status == "failed"
    assert JOURNAL.taken() == ["step 3"]
    JOURNAL.broken.clear()
    done = await runner.restart(failed.run_id)
    assert done.outputs == {"steps": [10, 20, 30, 40]}
    assert JOURNAL.taken() == ["step 3", "step 4"]
    run = store.inspect_run(failed.run_id)
    assert run is not None
    children = run.nodes["steps"].sub_dags
    assert children is not None
    assert sorted(children) == ["steps[0]", "steps[1]", "steps[2]", "steps[3]"]
    assert {child.status for child in children.values()} == {"completed"}


async def test_a_map_inside_a_map_goes_on_inside(store: DagProvenance) -> None:
    def rows() -> dict[str, list[int]]:
        return {"a": [1, 2], "b": [3, 4]}

    sub = Dag()
    sub.map(step, "steps", concurrency=1)
    dag = Dag()
    dag.node(rows) >> dag.map(sub, "rows_done", concurrency=1)
    runner = DagRunner(dag, store)
    JOURNAL.broken.add("step 4")
    failed = await runner.run()
    assert failed.failed_path == "rows_done[b]/steps[1]/step"
    assert JOURNAL.taken() == ["step 1", "step 2", "step 3", "step 4"]
    JOURNAL.broken.clear()
    done = await runner.restart(failed.run_id)
    assert done.outputs == {"rows_done": {"a": [10, 20], "b": [30, 40]}}
    assert JOURNAL.taken() == ["step 4"]


async def test_an_element_that_is_another_now_is_run_anew(store: DagProvenance) -> None:
    values = [1, 2, 3]

    def opaque() -> Opaque:
        return Opaque()

    def listed(it: Opaque) -> list[int]:
        return list(values)

    dag = Dag()
    dag.node(opaque) >> dag.node(listed, "listed") >> dag.map(step, "steps", concurrency=1)
    runner = DagRunner(dag, store)
    JOURNAL.broken.add("step 3")
    failed = await runner.run()
    JOURNAL.broken.clear()
    JOURNAL.taken()
    with store.open() as conn:
        # as if the list had not come back, so that it is made again
        from lythonic_compose import NodeExecution

        (node,) = NodeExecution.select(conn, node_label="listed")
        NodeExecution.update_where(conn, {"status": "cancelled"}, node_label="listed")
        conn.commit()
    assert node.status == "completed"
    values[1] = 9
    done = await runner.restart(failed.run_id)
    assert done.outputs == {"steps": [10, 90, 30]}
    assert JOURNAL.taken() == ["step 9", "step 3"]


async def test_an_element_that_paused_and_is_another_now_does_not_wait_for_ever(
    store: DagProvenance,
) -> None:
    def opaque() -> list[Opaque]:
        return [Opaque(), Opaque()]

    def rest(it: Opaque) -> int:
        JOURNAL.note("rest")
        if len(JOURNAL.calls) == 1:
            raise DagPause
        return 1

    dag = Dag()
    dag.node(opaque) >> dag.map(rest, "rests", concurrency=1)
    runner = DagRunner(dag, store)
    paused = await runner.run()
    assert [child.status for child in store.get_child_runs(paused.run_id)] == ["paused"]
    done = await runner.restart(paused.run_id)
    assert (done.status, done.outputs) == ("completed", {"rests": [1, 1]})
    statuses = [child.status for child in store.get_child_runs(paused.run_id)]
    assert sorted(statuses) == ["cancelled", "completed", "completed"]


async def test_collected_failures_are_what_a_restart_runs(store: DagProvenance) -> None:
    def use(results: list[Any]) -> int:
        JOURNAL.note("use")
        return sum(isinstance(result, Failed) for result in results)

    dag = Dag()
    dag.node(numbers) >> dag.map(step, "steps", on_error="collect") >> dag.node(use)
    runner = DagRunner(dag, store)
    JOURNAL.broken.update({"step 3", "use"})
    failed = await runner.run()
    JOURNAL.broken.clear()
    JOURNAL.taken()
    done = await runner.restart(failed.run_id)
    # what failed is no text that comes back, so the map is run again: where it failed
    assert done.outputs == {"use": 0}
    assert done.run_again == ("steps",)
    assert JOURNAL.taken() == ["step 3", "use"]


async def test_a_switch_goes_the_same_way_again(store: DagProvenance) -> None:
    def way(start: int) -> tuple[str, int]:
        return ("big" if start > 1 else "small"), start

    dag = Dag()
    dag.node(way) >> dag.switch({"big": chain(), "small": third}, "route")
    runner = DagRunner(dag, store)
    JOURNAL.broken.add("third")
    failed = await runner.run({"way": {"start": 5}})
    assert failed.failed_path == "route[big]/third"
    JOURNAL.broken.clear()
    JOURNAL.taken()
    done = await runner.restart(failed.run_id)
    assert done.outputs == {"route": "<60>"}
    assert JOURNAL.taken() == ["third"]


async def test_another_way_of_a_switch_takes_nothing_from_the_way_before(
    store: DagProvenance,
) -> None:
    """Both have nodes of the same names, and are handed the same."""

    def to_the_left(start: int) -> tuple[str, int]:
        return "left", start

    def to_the_right(start: int) -> tuple[str, int]:
        return "right", start

    def branch(name: str) -> Dag:
        def begin(start: int) -> str:
            JOURNAL.note(f"begin {name}")
            return f"{name} {start}"

        def end(text: str) -> str:
            JOURNAL.note("end")
            return text

        dag = Dag()
        dag.node(begin) >> dag.node(end)
        return dag

    def going(way: Callable[[int], tuple[str, int]]) -> DagRunner:
        dag = Dag()
        branches = {"left": branch("left"), "right": branch("right")}
        dag.node(way, "way") >> dag.switch(branches, "route")
        return DagRunner(dag, store)

    JOURNAL.broken.add("end")
    failed = await going(to_the_left).run({"way": {"start": 5}})
    JOURNAL.broken.clear()
    JOURNAL.taken()
    done = await going(to_the_right).restart(failed.run_id, "rerun")
    assert done.outputs == {"route": "right 5"}
    assert JOURNAL.taken() == ["begin right", "end"]


# --- inputs that are not kept ---------------------------------------------------------------


async def test_secrets_are_asked_for_and_never_kept(store: DagProvenance, tmp_path: Path) -> None:
    def login(user: str, token: Annotated[str, Secret()], pin: SecretStr) -> str:
        JOURNAL.note("login")
        return f"{user} {len(token)} {len(pin.get_secret_value())}"

    dag = Dag()
    dag.node(login)
    runner = DagRunner(dag, store)
    JOURNAL.broken.add("login")
    given = {"login": {"user": "ann", "token": "tok-123", "pin": SecretStr("pin-4567")}}
    failed = await runner.run(given)
    JOURNAL.broken.clear()
    with pytest.raises(DagError) as caught:
        await runner.restart(failed.run_id)
    assert len(caught.value.problems) == 2
    assert "the input 'token' of login is not kept" in caught.value.problems[0]
    done = await runner.restart(
        failed.run_id, source_inputs={"login": {"token": "t", "pin": SecretStr("pp")}}
    )
    assert done.outputs == {"login": "ann 1 2"}
    store.close()
    for file in tmp_path.iterdir():
        content = file.read_bytes()
        assert b"tok-123" not in content
        assert b"pin-4567" not in content


async def test_secrets_of_nodes_that_completed_are_not_asked_for(store: DagProvenance) -> None:
    def login(token: Annotated[str, Secret()]) -> int:
        return len(token)

    dag = Dag()
    dag.node(login) >> dag.node(second)
    runner = DagRunner(dag, store)
    JOURNAL.broken.add("second")
    failed = await runner.run({"login": {"token": "abc"}})
    JOURNAL.broken.clear()
    assert (await runner.restart(failed.run_id)).outputs == {"second": 30}


# --- replay ---------------------------------------------------------------------------------


async def test_a_replay_is_a_new_run_with_old_outputs(store: DagProvenance) -> None:
    runner = DagRunner(chain(), store)
    done = await runner.run(INPUTS)
    JOURNAL.taken()
    again = await runner.replay(done.run_id, {"second"})
    assert again.run_id != done.run_id
    assert JOURNAL.taken() == ["second"]
    assert again.outputs == {"third": "<20>"}
    assert again.node_statuses == {"first": "skipped", "second": "completed", "third": "skipped"}
    run = store.inspect_run(again.run_id)
    assert run is not None
    assert run.nodes["first"].reused_from == done.run_id
    assert store.get_node_output(again.run_id, "third") == '"<20>"'

    await runner.replay(done.run_id, [first], downstream=True)
    assert JOURNAL.taken() == ["first", "second", "third"]
    with pytest.raises(DagError, match="no node 'secnd'; did you mean 'second'"):
        await runner.replay(done.run_id, {"secnd"})


async def test_a_replay_of_a_failed_run_runs_what_has_no_output(store: DagProvenance) -> None:
    runner = DagRunner(chain(), store)
    JOURNAL.broken.add("third")
    failed = await runner.run(INPUTS)
    JOURNAL.broken.clear()
    JOURNAL.taken()
    again = await runner.replay(failed.run_id, {"first"})
    assert sorted(JOURNAL.taken()) == ["first", "third"]
    assert again.outputs == {"third": "<20>"}
    old = store.get_run(failed.run_id)
    assert old is not None
    assert old.status == "failed"


async def test_a_replay_of_a_map_runs_its_elements_anew(store: DagProvenance) -> None:
    dag = Dag()
    dag.node(numbers) >> dag.map(step, "steps", concurrency=1)
    runner = DagRunner(dag, store)
    done = await runner.run()
    JOURNAL.taken()
    again = await runner.replay(done.run_id, {"steps"})
    assert again.outputs == {"steps": [10, 20, 30, 40]}
    assert JOURNAL.taken() == ["step 1", "step 2", "step 3", "step 4"]


async def test_a_replay_of_a_replay_reuses_again(store: DagProvenance) -> None:
    runner = DagRunner(chain(), store)
    done = await runner.run(INPUTS)
    once = await runner.replay(done.run_id, {"third"})
    JOURNAL.taken()
    twice = await runner.replay(once.run_id, {"third"})
    assert JOURNAL.taken() == ["third"]
    assert twice.outputs == {"third": "<20>"}


# --- what a run stands for ------------------------------------------------------------------

TICK = datetime(2026, 3, 29, 6, tzinfo=UTC)


async def test_a_run_keeps_the_tick_that_it_stands_for(store: DagProvenance) -> None:
    seen: list[datetime | None] = []

    def note(ctx: DagContext) -> int:
        seen.append(ctx.scheduled_at)
        JOURNAL.note("note")
        return 1

    dag = Dag()
    dag.node(note)
    runner = DagRunner(dag, store)
    JOURNAL.broken.add("note")
    failed = await runner.run(scheduled_at=TICK)
    JOURNAL.broken.clear()
    await runner.restart(failed.run_id)
    again = await runner.replay(failed.run_id, ["note"])
    assert seen == [TICK, TICK, TICK]
    for run_id in (failed.run_id, again.run_id):
        run = store.get_run(run_id)
        assert run is not None
        assert run.scheduled_at == TICK
        assert "for 2026-03-29 06:00:00 UTC" in run._repr_html_()
    with store.open() as conn:
        assert len(DagRun.select(conn, scheduled_at=TICK)) == 2
    with pytest.raises(DagError, match="has no time zone"):
        await runner.run(scheduled_at=TICK.replace(tzinfo=None))


# --- parts of a graph, tenants --------------------------------------------------------------


async def test_a_run_of_a_part_goes_on_as_a_part(store: DagProvenance) -> None:
    runner = DagRunner(chain(), store)
    JOURNAL.broken.add("second")
    failed = await runner.run(targets=["second"], overrides={"first": 7})
    assert JOURNAL.taken() == ["second"]
    JOURNAL.broken.clear()
    done = await runner.restart(failed.run_id)
    assert done.outputs == {"second": 70}
    assert JOURNAL.taken() == ["second"]


class OrgContext(ScopeContext):
    org_id: int


async def test_a_run_of_one_tenant_is_not_restarted_by_another(store: DagProvenance) -> None:
    JOURNAL.broken.add("second")
    failed = await DagRunner(chain(), store, user_ctx=OrgContext(org_id=1)).run(INPUTS)
    JOURNAL.broken.clear()
    with pytest.raises(WrongRunState, match="belongs to org_id=1, and this runner to org_id=2"):
        await DagRunner(chain(), store, user_ctx=OrgContext(org_id=2)).restart(failed.run_id)
    with pytest.raises(WrongRunState, match="no tenant"):
        await DagRunner(chain(), store).restart(failed.run_id)
    done = await DagRunner(chain(), store, user_ctx=OrgContext(org_id=1)).restart(failed.run_id)
    assert done.status == "completed"
