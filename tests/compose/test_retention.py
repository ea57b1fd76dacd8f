"""What of the history is removed, and what stays."""

import threading
from collections.abc import Callable, Iterator
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
    Payload,
    RunNotFound,
)
from lythonic_compose.dag_provenance import Pruned, retention
from lythonic_state import free_space, on_statement

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)


class Clock:
    """Says what it is told to."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["file", "memory", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path, clock: Clock) -> Iterator[DagProvenance]:
    match request.param:
        case "file":
            target: Any = tmp_path / "runs.db"
        case "memory":
            target = "sqlite://"
        case _:
            target = request.getfixturevalue("pg_url")
    with DagProvenance(target, clock=clock) as provenance:
        yield provenance


def texts(word: str) -> list[str]:
    return [word * 3, word * 4]


def upper(text: str) -> str:
    return text.upper()


def mapped() -> Dag:
    with Dag() as dag:
        dag.node(texts) >> dag.map(upper, "each")
    return dag


@pytest.fixture
def ran(store: DagProvenance, clock: Clock) -> Callable[..., str]:
    """Runs the graph so many days ago, on a word, and gives the run's id."""

    def run(days: int, word: str = "x") -> str:
        clock.now = NOW - days * DAY
        runner = DagRunner(mapped(), store, clock=clock)
        result = runner.run_sync({"texts": {"word": word}})
        result.raise_for_status()
        clock.now = NOW
        return result.run_id

    return run


def there(store: DagProvenance) -> list[str]:
    return [run.run_id for run in store.get_recent_runs(limit=1000)]


def count_of(store: DagProvenance, *models: Any) -> list[int]:
    with store.open() as conn:
        return [model.select_count(conn) for model in models]


def test_old_runs_go_with_all_that_is_theirs(store: DagProvenance, ran: Callable[..., str]) -> None:
    old, middle, new = ran(40, "a"), ran(20, "b"), ran(1, "c")

    pruned = store.prune(older_than=30 * DAY)

    assert pruned == Pruned(runs=(old,), nested=2, nodes=4, payloads=8 - 1)
    assert there(store) == [new, middle]
    assert count_of(store, DagRun, NodeExecution, NodeAttempt, EdgeTraversal) == [6, 8, 8, 2]
    texts_left = [text for run in (middle, new) for text in _texts(store, run)]
    with store.open() as conn:
        assert {row.text for row in Payload.select(conn)} == set(texts_left)


def _texts(store: DagProvenance, run_id: str) -> Iterator[str]:
    for run in [store.inspect_run(run_id), *store.get_child_runs(run_id)]:
        assert run is not None
        store.load_io(run)
        assert run.io is not None
        yield run.io.source_inputs_json or ""
        for node in run.nodes.values():
            assert node.io is not None
            yield node.io.output_json or ""


def test_the_newest_stay(store: DagProvenance, ran: Callable[..., str]) -> None:
    runs = [ran(days) for days in (5, 4, 3, 2, 1)]

    assert store.prune(keep_last=2).runs == tuple(runs[:3])

    assert there(store) == [runs[4], runs[3]]


def test_old_runs_that_are_among_the_newest_stay(
    store: DagProvenance, ran: Callable[..., str]
) -> None:
    runs = [ran(days) for days in (50, 40, 35, 1)]

    assert store.prune(older_than=NOW - 30 * DAY, keep_last=2).runs == tuple(runs[:2])


def test_a_dry_run_tells_and_removes_nothing(store: DagProvenance, ran: Callable[..., str]) -> None:
    old, shared = ran(40, "a"), ran(1, "b")
    before = count_of(store, DagRun, NodeExecution, Payload, GraphSnapshot)

    told = store.prune(older_than=30 * DAY, dry_run=True)

    assert told.dry_run
    assert count_of(store, DagRun, NodeExecution, Payload, GraphSnapshot) == before
    assert there(store) == [shared, old]
    done = store.prune(older_than=30 * DAY)
    assert (told.runs, told.nested, told.nodes, told.payloads) == (
        done.runs,
        done.nested,
        done.nodes,
        done.payloads,
    )


def test_a_run_that_is_running_or_pinned_stays(
    store: DagProvenance, ran: Callable[..., str], clock: Clock
) -> None:
    pinned, old = ran(40), ran(35)
    clock.now = NOW - 50 * DAY
    store.create_run("open", None, {})
    store.create_run("outer", None, {})
    store.create_run("inner", None, {}, parent_run_id="outer")
    store.finish_run("outer", "completed")
    clock.now = NOW
    store.pin(pinned)

    assert store.prune(keep_last=0).runs == (old,)

    assert set(there(store)) == {pinned, "open", "outer"}
    store.pin(pinned, False)
    store.finish_run("inner", "completed")
    assert store.prune(older_than=30 * DAY).runs == ("outer", pinned)
    assert there(store) == ["open"]


def test_only_a_run_that_is_there_can_be_pinned(store: DagProvenance) -> None:
    with pytest.raises(RunNotFound, match="no run 'nothing'"):
        store.pin("nothing")


async def test_what_a_replay_uses_again_stays(store: DagProvenance, clock: Clock) -> None:
    clock.now = NOW - 40 * DAY
    runner = DagRunner(mapped(), store, clock=clock)
    old = await runner.run({"texts": {"word": "a"}})
    clock.now = NOW
    again = await runner.replay(old.run_id, {"each"})

    assert store.prune(older_than=30 * DAY).runs == (old.run_id,)

    run = store.get_run(again.run_id)
    assert run is not None
    store.load_io(run)
    assert run.nodes["texts"].reused_from == old.run_id
    assert run.nodes["texts"].output == ["aaa", "aaaa"]
    assert (await runner.replay(again.run_id, {"each"})).outputs == again.outputs


def test_a_run_goes_on_after_what_it_shared_was_removed(
    store: DagProvenance, ran: Callable[..., str]
) -> None:
    ran(40, "same")
    store.prune(older_than=30 * DAY)

    # the store knows of payloads that it has written, and these are gone
    again = ran(1, "same")

    assert there(store) == [again]
    run = store.get_run(again)
    assert run is not None
    assert store.load_io(run).nodes["texts"].output == ["same" * 3, "same" * 4]


def test_values_that_nothing_refers_to_are_removed(store: DagProvenance) -> None:
    with store.open() as conn:
        Payload(payload_hash="x", type_name="json", restorable=True, text="1").insert(conn)
        conn.commit()  # type: ignore[union-attr]

    assert store.prune(keep_last=10).payloads == 1

    assert count_of(store, Payload) == [0]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({}, "say which runs to remove"),
        ({"keep_last": -1}, "0 or more, not -1"),
        ({"keep_last": "3"}, "0 or more, not '3'"),
        ({"older_than": -DAY}, "is negative"),
        ({"older_than": datetime(2026, 1, 1)}, "with a time zone"),
        ({"older_than": 3}, "is a timedelta or a datetime"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    with (
        DagProvenance(tmp_path / "runs.db") as store,
        pytest.raises(ValueError, match=message),
    ):
        store.prune(**wrong)


def test_no_transaction_removes_more_than_a_batch(
    store: DagProvenance, ran: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "BATCH", 4)
    for days in range(40, 45):
        ran(days, str(days))
    removed: list[int] = []

    def note(event: Any) -> None:
        if event.sql.startswith("DELETE"):
            removed.append(event.rows)

    with on_statement(None, note):
        pruned = store.prune(keep_last=0)

    assert (len(pruned.runs), pruned.nested, pruned.nodes) == (5, 10, 20)
    assert count_of(store, DagRun, NodeExecution, Payload, GraphSnapshot) == [0, 0, 0, 0]
    assert max(removed) <= 4
    assert len(removed) > 10


def test_the_file_shrinks(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path, clock=clock) as store:
        clock.now = NOW - 40 * DAY
        for number in range(20):
            store.create_run(str(number), None, {"a": {"x": f"{number}" * 100_000}})
            store.finish_run(str(number), "completed")
        clock.now = NOW
        store.prune(older_than=50 * DAY)
        large = path.stat().st_size

        store.prune(older_than=30 * DAY)

        assert large > 2_000_000
        assert path.stat().st_size < 300_000
        with store.open() as conn:
            assert free_space(conn) == 0


def test_others_write_while_old_runs_are_removed(tmp_path: Path, clock: Clock) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path, clock=clock) as store, DagProvenance(path) as other:
        clock.now = NOW - 40 * DAY
        runner = DagRunner(mapped(), store, clock=clock)
        for number in range(15):
            runner.run_sync({"texts": {"word": str(number % 3)}})
        clock.now = NOW
        done = threading.Event()
        kept: list[str] = []

        def work() -> None:
            while not done.is_set() or len(kept) < 5:
                # the same values as those that are being removed
                result = DagRunner(mapped(), other).run_sync({"texts": {"word": "1"}})
                result.raise_for_status()
                kept.append(result.run_id)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            assert len(store.prune(older_than=30 * DAY).runs) == 15
        finally:
            done.set()
            thread.join()

        assert set(there(store)) == set(kept)
        for run_id in kept:
            run = other.get_run(run_id)
            assert run is not None
            assert other.load_io(run).nodes["texts"].output == ["111", "1111"]
