"""When what was told is in the file: many at once, locked and full files, forks, a kill."""

import gc
import shutil
import sqlite3
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import pytest

from lythonic_compose import (
    Dag,
    DagProvenance,
    DagRun,
    DagRunner,
    NodeExecution,
    Place,
    RunTakenOver,
    WrongRunState,
)
from lythonic_compose.dag_provenance import known, recorder
from lythonic_compose.dag_provenance import writer as writer_room
from lythonic_compose.dag_provenance.payloads import is_small
from lythonic_compose.events import RunStarted
from lythonic_state import (
    DatabaseBusy,
    DatabaseError,
    DbModel,
    PrimaryKey,
    StatementEvent,
    checkpoint,
    on_statement,
)
from tests.compose.test_recorder import Told, plan_of
from tests.processes import Python

PLAN = plan_of()


def begin(store: DagProvenance, run_id: str, inputs: Any = None) -> None:
    store.emit(started(run_id, inputs))


def started(run_id: str, inputs: Any = None) -> RunStarted:
    return RunStarted(run_id, datetime.now(UTC), PLAN, inputs or {})


def run_ids(path: Path) -> set[str]:
    with sqlite3.connect(path) as conn:
        found = {row[0] for row in conn.execute("SELECT run_id FROM dag_runs")}
    conn.close()
    return found


def assert_sound(path: Path) -> None:
    conn = sqlite3.connect(path)
    try:
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert conn.execute("PRAGMA foreign_key_check").fetchall() == []
    finally:
        conn.close()


def finished(process: Python, told: str = "") -> str:
    out, err = process.communicate(told)
    assert process.returncode == 0, err
    return out


# --- many at once -----------------------------------------------------------------------------

WRITES_RUNS = """
import sys
from lythonic_compose import DagProvenance

path, name, durability = sys.argv[1:]
with DagProvenance(path, durability=durability) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    for number in range(8):
        run_id = f"{name}{number}"
        store.create_run(run_id, None, {})
        for label in "abc":
            store.record_node_start(run_id, label, None)
            store.complete_node_with_edges(run_id, label, f'"{run_id}"', [("d", "x", "type")])
        store.finish_run(run_id, "completed")
"""


def test_several_processes_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    durabilities = ["node", "run", "node"]
    processes = [
        Python(WRITES_RUNS, str(path), f"p{number}_", durability)
        for number, durability in enumerate(durabilities)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        finished(process, "go\n")

    with DagProvenance(path) as store:
        runs = store.get_recent_runs(limit=100, status="completed")
    assert len(runs) == 24
    assert all(
        [(node.status, len(node.edges)) for node in run.nodes.values()] == [("completed", 1)] * 3
        for run in runs
    )
    assert_sound(path)


@pytest.mark.parametrize("durability", ["node", "run"])
def test_twenty_runs_at_once_are_all_kept(tmp_path: Path, durability: Any) -> None:
    path = tmp_path / "runs.db"
    together = threading.Barrier(20)

    def one_run(number: int) -> None:
        told = Told(store, run_id=f"r{number}")
        together.wait()
        store.emit(told.run())
        for label in ("one", "double", "text"):
            store.emit(told.starts(label))
            store.emit(told.completes(label, number))
        store.emit(told.finishes())

    with DagProvenance(path, durability=durability) as store, ThreadPoolExecutor(20) as pool:
        list(pool.map(one_run, range(20)))
        runs = store.get_recent_runs(limit=50, status="completed")
    assert len(runs) == 20
    assert all(len(run.nodes) == 3 for run in runs)
    assert_sound(path)


@contextmanager
def commits() -> Iterator[list[str]]:
    """The transactions that end in the block."""
    seen: list[str] = []

    def note(event: StatementEvent) -> None:
        if event.sql in ("COMMIT", "ROLLBACK"):
            seen.append(event.sql)

    with on_statement(None, note):
        yield seen


def test_what_waits_for_its_turn_is_committed_together(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store, ThreadPoolExecutor(6) as pool:
        begin(store, "taken")
        with commits() as seen:
            with store._writer.lent():
                told = [pool.submit(begin, store, f"r{number}") for number in range(6)]
                while len(store._writer._queue) < 6:
                    time.sleep(0.001)
            for each in told:
                each.result()
        assert seen == ["COMMIT"]
    assert len(run_ids(tmp_path / "runs.db")) == 7


def test_who_fails_among_others_fails_alone(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store, ThreadPoolExecutor(3) as pool:
        with store._writer.lent():
            good = [pool.submit(begin, store, f"r{number}") for number in range(2)]
            bad = pool.submit(store.finish_run, "nope", "completed")
            while len(store._writer._queue) < 3:
                time.sleep(0.001)
        for each in good:
            each.result()
        with pytest.raises(KeyError, match="no run 'nope'"):
            bad.result()
    assert run_ids(tmp_path / "runs.db") == {"r0", "r1"}


RESUMES = """
import sys
from datetime import UTC, datetime
from lythonic_compose import Dag, DagProvenance, WrongRunState
from lythonic_compose.events import RunResumed

def one() -> int:
    return 1

dag = Dag()
dag.node(one)
with DagProvenance(sys.argv[1]) as store:
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        store.emit(RunResumed("r1", datetime.now(UTC), dag.plan()))
        print("won", flush=True)
    except WrongRunState as error:
        print(error, flush=True)
    sys.stdin.readline()
"""


@pytest.mark.parametrize("status", ["paused", "running"])
def test_of_several_processes_that_resume_a_run_one_does(tmp_path: Path, status: str) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path) as store:
        begin(store, "r1")
        store.update_run_status("r1", cast(Any, status))
    processes = [Python(RESUMES, str(path)) for _ in range(3)]
    assert [each.stdout.readline() for each in processes] == ["ready\n"] * 3
    for each in processes:
        each.tell("go")
    answers = sorted(each.stdout.readline() for each in processes)
    for process in processes:
        finished(process, "end\n")

    assert answers[2] == "won\n"
    assert all(answer.startswith("run 'r1' is running by process") for answer in answers[:2])
    with DagProvenance(path) as store:
        run = store.get_run("r1")
    assert run is not None
    assert (run.status, run.fence) == ("running", 2)


def test_a_run_whose_store_was_closed_or_killed_can_go_on(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        told = Told(store)
        store.emit(told.run(), told.starts("one"))
        told_so = pytest.raises(WrongRunState, match="is running in this process")
        with DagProvenance(tmp_path / "runs.db") as other, told_so:
            other.emit(Told(other).resumes())
    with DagProvenance(tmp_path / "runs.db") as other:
        later = Told(other)
        other.emit(later.resumes())
        assert later.statuses() == {"one": "pending"}


# --- without waiting --------------------------------------------------------------------------


def test_what_needs_no_waiting_is_done_at_once(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        assert store.try_emit(started("r1"))
        assert run_ids(tmp_path / "runs.db") == {"r1"}


def test_nobody_waits_for_a_busy_store_who_must_not(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        with store._writer.lent(), ThreadPoolExecutor(1) as pool:
            assert not pool.submit(store.try_emit, started("r1")).result()
        assert store.try_emit(started("r1"))


def test_what_is_much_is_left_to_a_thread(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        assert not store.try_emit(started("r1", {"one": {"x": "x" * 100_000}}))
        assert run_ids(tmp_path / "runs.db") == set()


@pytest.mark.parametrize(
    ("value", "small"),
    [
        (None, True),
        ([1, 2.5, "x", {"a": (True, b"x")}], True),
        ({"day": datetime.now(UTC), "path": Path("x")}, True),
        (DagRun(run_id="r", status="running", started_at=datetime.now(UTC)), True),
        ("x" * 100_000, False),
        ([b"x" * 40_000] * 2, False),
        (list(range(10_000)), False),
        pytest.param(10**1_000_000, False, id="long"),
        (bytearray(10), False),
        (iter([1]), False),
    ],
)
def test_what_is_little_is_seen_without_making_text_of_it(value: Any, small: bool) -> None:
    assert is_small(value) is small


# --- a locked file ----------------------------------------------------------------------------


@contextmanager
def locked(path: Path) -> Iterator[sqlite3.Connection]:
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield other
    finally:
        other.close()


def test_a_file_that_stays_locked_is_told_and_nothing_is_lost(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path, busy_timeout=0.05) as store:
        told = Told(store)
        store.emit(told.run(), told.starts("one"))
        completed = told.completes("one", 1)
        with locked(path):
            assert not store.try_emit(completed)
            with pytest.raises(DatabaseBusy, match="locked by another connection"):
                store.emit(completed)
            assert told.row().status == "running"  # reading goes on
        store.emit(completed, told.finishes())
        assert told.statuses() == {"one": "completed"}
    assert_sound(path)


def is_waiting(store: DagProvenance) -> bool:
    """Whether somebody holds the mutex, which can only be whoever waits for the file."""
    mutex = store._writer._mutex
    free = mutex.acquire(blocking=False)
    if free:
        mutex.release()
    return not free


def test_a_write_waits_for_a_lock_that_ends(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path, busy_timeout=30) as store, ThreadPoolExecutor(1) as pool:
        with locked(path) as other:
            waiting = pool.submit(begin, store, "r1")
            while not is_waiting(store):
                time.sleep(0.001)
            assert not waiting.done()
            other.execute("COMMIT")
            waiting.result()
        assert run_ids(path) == {"r1"}


def test_with_durability_run_a_locked_file_delays_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path, durability="run", busy_timeout=0.05) as store:
        told = Told(store)
        with locked(path):
            store.emit(told.run(), told.starts("one"))
            store.emit(told.completes("one", 1))
            with pytest.raises(DatabaseBusy):
                store.emit(told.finishes())
        assert told.statuses() == {"one": "completed"}
        assert told.row().status == "running"
        store.emit(told.finishes())
        assert told.row().status == "completed"


def test_closing_says_what_could_not_be_written(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    store = DagProvenance(path, durability="run", busy_timeout=0.05)
    begin(store, "r1")
    with locked(path), pytest.raises(DatabaseBusy):
        store.close()
    assert run_ids(path) == set()
    store.close()


def test_a_store_outlives_a_lost_connection_to_its_server(pg_url: str) -> None:
    with DagProvenance(pg_url) as store:
        begin(store, "r1")
        backend = cast(Any, store._writer._conn).info.backend_pid
        with store.open() as conn:
            cast(Any, conn).execute("SELECT pg_terminate_backend(%s)", [backend])
        with pytest.raises(DatabaseError):
            begin(store, "r2")
        begin(store, "r2")
        assert [run.run_id for run in store.get_active_runs()] == ["r2", "r1"]


@pytest.mark.parametrize("taken", [True, False])
def test_who_has_slept_in_a_transaction_makes_sure_that_its_runs_are_its_own(
    pg_url: str, monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    """It would take effect when the process wakes up, though others had gone on with its runs."""
    monkeypatch.setattr(writer_room, "SURE_SECONDS", 0.05)
    with DagProvenance(pg_url) as store, DagProvenance(pg_url) as other:
        mine, theirs = Told(store), Told(other)
        store.emit(mine.run())

        def sleeps(_: Any) -> Any:
            if taken:
                other.update_run_status("r1", "paused")
                other.emit(theirs.resumes())
            time.sleep(0.1)
            yield from ()

        (starts,) = recorder.writes_of([mine.starts("one")], store._author)
        write = known.together(starts, sleeps)
        if taken:
            with pytest.raises(RunTakenOver):
                store._writer.write([write])
        else:
            store._writer.write([write])
        assert mine.statuses() == ({} if taken else {"one": "running"})


def test_a_run_that_has_ended_is_not_ended_once_more(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        told = Told(store)
        store.emit(told.run())
        store.emit(told.finishes())
        ended = told.row()
        with pytest.raises(RunTakenOver):
            store.emit(told.finishes())
        assert told.row() == ended


def test_what_is_written_alone_fails_alone(tmp_path: Path) -> None:
    def fails(_: Any) -> Any:
        yield from ()
        raise DatabaseError("there is no such table")

    path = tmp_path / "runs.db"
    with DagProvenance(path) as store:
        told = Told(store)
        alone = writer_room._Job([fails], waited_for=True, alone=True)
        other = writer_room._Job(recorder.writes_of([told.run()], store._author), waited_for=True)
        store._writer._queue.extend([alone, other])
        store._writer.flush()
        assert isinstance(alone.error, DatabaseError)
        assert (other.done, other.error) == (True, None)
        assert run_ids(path) == {"r1"}


class Word(DbModel):
    word_id: Annotated[int, PrimaryKey()] = -1
    text: str


def words() -> list[Word]:
    return [Word(text="one")]


def test_commits_wait_for_the_disk_as_soon_as_a_store_takes_rows(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:

        def synchronous() -> int:
            conn: Any = store._writer._conn
            return int(conn.execute("PRAGMA synchronous").fetchone()[0])

        normal, full = 1, 2
        for write, expected in ((None, normal), ("insert", full), (None, full)):
            dag = Dag()
            dag.node(words, write=cast(Any, write))
            assert DagRunner(dag, store).run_sync().status == "completed"
            assert synchronous() == expected


# --- a full disk ------------------------------------------------------------------------------


@pytest.mark.parametrize("durability", ["node", "run"])
def test_a_full_disk_is_told_and_what_was_recorded_stays(tmp_path: Path, durability: Any) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path, durability=durability) as store:
        told = Told(store)
        store.emit(told.run(), told.starts("one"), told.completes("one", 1), told.starts("double"))
        store._writer.flush()
        conn: Any = store._writer._conn
        (pages,) = conn.execute("PRAGMA page_count").fetchone()
        conn.execute(f"PRAGMA max_page_count={pages + 2}")

        with pytest.raises(DatabaseError, match=r"full.*make room on the disk"):
            store.emit(told.completes("double", "x" * 500_000))
            store._writer.flush()
        with pytest.raises(DatabaseError, match="full"):
            store.emit(told.finishes("failed", error=ValueError("x" * 500_000)))
        assert_sound(path)
        conn.execute("PRAGMA max_page_count=1000000")
        # it could not be recorded that the run has failed, and yet nobody is at work on it
        assert store._author.why_running(told.row(), told.now()) is None
        store.emit(*([told.completes("double", 2)] if durability == "node" else []))
        store.emit(told.finishes())
        assert told.statuses() == {"one": "completed", "double": "completed"}
        assert told.row().status == "completed"
    assert_sound(path)


# --- later ------------------------------------------------------------------------------------


def test_with_durability_run_what_was_told_is_there_a_little_later(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path, durability="run") as store:
        assert store.try_emit(started("r1"))
        assert run_ids(path) == set()
        until = time.monotonic() + 5  # a fifth of a second is said; machines may be busy
        while run_ids(path) == set() and time.monotonic() < until:
            time.sleep(0.01)
        assert run_ids(path) == {"r1"}


@pytest.mark.parametrize("ended", ["paused", "failed", "completed"])
def test_with_durability_run_the_end_of_a_run_is_there_at_once(tmp_path: Path, ended: Any) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path, durability="run") as store:
        told = Told(store)
        assert store.try_emit(told.run(), told.starts("one"))
        assert store.try_emit(told.finishes(ended))
        conn = sqlite3.connect(path)
        assert conn.execute("SELECT status FROM dag_runs").fetchall() == [(ended,)]
        conn.close()


def test_with_durability_run_much_is_written_without_waiting_for_the_end(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path, durability="run") as store:
        for number in range(writer_room.FLUSH_WRITES):
            begin(store, f"r{number}")
        assert len(run_ids(path)) == writer_room.FLUSH_WRITES


def test_with_durability_run_readers_see_what_was_told(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db", durability="run") as store:
        begin(store, "r1")
        assert store.get_run("r1") is not None
        begin(store, "r2")
        with store.open() as conn:
            assert DagRun.select_count(conn) == 2


def test_an_error_of_what_nobody_waited_for_is_told_to_the_next(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db", durability="run") as store:
        told = Told(store)
        store.emit(told.run())
        store.emit(told.completes("one", 1))
        store._writer.flush_quietly()
        with pytest.raises(WrongRunState, match="'one'"):
            store.emit(told.starts("double"))
        store.emit(told.finishes("failed"))
        assert told.row().status == "failed"


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    store = DagProvenance(tmp_path / "runs.db", durability="run")
    begin(store, "r1")
    store.close()
    assert run_ids(tmp_path / "runs.db") == {"r1"}


def test_dropping_writes_what_waits_and_is_quiet(tmp_path: Path) -> None:
    store = DagProvenance(tmp_path / "runs.db", durability="run")
    begin(store, "r1")
    del store
    gc.collect()
    assert run_ids(tmp_path / "runs.db") == {"r1"}
    assert not list(tmp_path.glob("*-wal"))


IS_KILLED = """
import os, sys
from lythonic_compose import DagProvenance

store = DagProvenance(sys.argv[1], durability="run")
for number in range(300):
    store.create_run(f"r{number:03}", None, {})
    store.record_node_start(f"r{number:03}", "a", None)
os._exit(0)
"""


def test_a_kill_loses_the_last_moments_and_never_the_order(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    finished(Python(IS_KILLED, str(path)))

    with DagProvenance(path) as store:
        runs = sorted(store.get_recent_runs(limit=1000), key=lambda run: run.run_id)
    assert [run.run_id for run in runs] == [f"r{number:03}" for number in range(len(runs))]
    assert len(runs) > 100
    assert all(len(run.nodes) == 1 for run in runs[:-1])
    assert_sound(path)


# --- beside it --------------------------------------------------------------------------------


def test_the_log_is_moved_into_the_file_beside_the_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_room, "CHECKPOINT_WRITES", 2)
    path, copy = tmp_path / "runs.db", tmp_path / "copy.db"
    with DagProvenance(path) as store:
        begin(store, "r1")
        begin(store, "r2")
        until = time.monotonic() + 30
        while store._writer._since_checkpoint and time.monotonic() < until:
            time.sleep(0.01)
        store.close()
        shutil.copy(path, copy)
    assert run_ids(copy) == {"r1", "r2"}


def test_a_log_that_grows_while_it_is_moved_is_moved_to_its_end_between_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, copy = tmp_path / "runs.db", tmp_path / "copy.db"
    with DagProvenance(path) as store:
        begin(store, "r1")

        def checkpoint_while_others_write(conn: sqlite3.Connection) -> int:
            left = checkpoint(conn)
            if len(store.get_recent_runs()) == 1:
                begin(store, "r2")
            return left

        monkeypatch.setattr(writer_room, "CHECKPOINT_WRITES", 0)
        monkeypatch.setattr(writer_room, "RESTART_WRITES", 0)
        monkeypatch.setattr(writer_room, "checkpoint", checkpoint_while_others_write)
        store._writer.tend(False)
        shutil.copy(path, copy)
        assert run_ids(copy) == {"r1", "r2"}

        log = Path(f"{path}-wal")
        size = log.stat().st_size
        begin(store, "r3")
        assert log.stat().st_size == size  # it began anew


def test_the_owner_of_running_runs_says_that_it_is_alive(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        told = Told(store)
        store.emit(told.run())
        before = told.row().heartbeat_at
        store._writer.tend(True)
        after = told.row().heartbeat_at
        assert before is not None
        assert after is not None
        assert after > before
        store.emit(told.finishes())
        store._writer.tend(True)
        assert told.row().heartbeat_at == after


def test_who_missed_being_taken_over_from_starts_no_more_nodes(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path) as first, DagProvenance(path) as other:
        mine, theirs = Told(first), Told(other)
        first.emit(mine.run())
        other.update_run_status("r1", "paused")
        other.emit(theirs.resumes())
        first._writer.tend(True)
        with pytest.raises(WrongRunState, match="taken over"):
            first.emit(mine.starts("one"))


def test_who_has_slept_asks_whose_its_runs_are_before_it_begins_anything(tmp_path: Path) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path) as first, DagProvenance(path) as other:
        mine, inside = Told(first), Told(first, run_id="r2")
        first.emit(mine.run())
        other.update_run_status("r1", "paused")
        other.emit(Told(other).resumes())
        # which only time tells
        monotonic, wall = first._writer._sure_at
        first._writer._sure_at = monotonic, wall - writer_room.SURE_SECONDS - 1
        for event in (
            mine.starts("one"),
            inside.run(parent_run_id="r1", place=Place("r1", "one")),
        ):
            with pytest.raises(RunTakenOver):
                first.emit(event)
        assert run_ids(path) == {"r1"}
        assert mine.nodes() == {}


def test_a_write_that_fails_leaves_the_other_runs_of_its_owner_alive(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        told = Told(store)
        store.emit(told.run(), told.starts("one"))
        with pytest.raises(WrongRunState):
            store.emit(told.completes("one", 1, 7))
        before = told.row().heartbeat_at
        store._writer.tend(True)
        after = told.row().heartbeat_at
        assert before is not None
        assert after is not None
        assert after > before


def test_a_run_whose_end_could_not_be_recorded_is_given_up_when_that_works_again(
    tmp_path: Path,
) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path, busy_timeout=0.05) as store, DagProvenance(path) as other:
        told = Told(store)
        store.emit(told.run(), told.starts("one"))
        with locked(path), pytest.raises(DatabaseBusy):
            store.emit(told.finishes("failed"))
        # a resumption that fails as well changes nothing
        with locked(path), pytest.raises(DatabaseBusy):
            store.emit(told.resumes())
        assert store._author.why_running(told.row(), told.now()) is None
        with pytest.raises(WrongRunState, match="is running in this process"):
            other.emit(told.resumes())
        store._writer.tend(True)
        assert told.row().owner is None
        other.emit(told.resumes())
        store._writer.tend(True)
        assert told.row().owner == other._author.owner


FORKS = """
import os, sys, warnings
warnings.simplefilter("ignore", DeprecationWarning)
from lythonic_compose import DagProvenance

store = DagProvenance(sys.argv[1], durability=sys.argv[2])
store.create_run("before", None, {})
child = os.fork()
if child == 0:
    try:
        store.create_run("child", None, {}, "before" if sys.argv[2] == "node" else None)
        store.finish_run("child", "completed")
        assert store.get_run("child").status == "completed"
        store.close()
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
    os._exit(0)
_, status = os.waitpid(child, 0)
store.create_run("after", None, {})
store.close()
sys.exit(1 if status else 0)
"""


@pytest.mark.parametrize("durability", ["node", "run"])
def test_after_a_fork_each_process_has_a_connection_of_its_own(
    tmp_path: Path, durability: str
) -> None:
    path = tmp_path / "runs.db"
    finished(Python(FORKS, str(path), durability))

    assert run_ids(path) == {"before", "child", "after"}
    assert_sound(path)


def test_after_a_fork_a_store_in_memory_is_the_parents(tmp_path: Path) -> None:
    with DagProvenance("sqlite://") as store:
        begin(store, "r1")
        writer = store._writer
        writer.leave_behind()
        with pytest.raises(WrongRunState, match="belongs to the process that made it"):
            begin(store, "r2")
        opener, _ = writer_room._PARENTS.pop()
        opener.__exit__(None, None, None)


def test_what_is_open_in_memory_is_lent_and_comes_back(tmp_path: Path) -> None:
    with DagProvenance("sqlite://", durability="run") as store:
        begin(store, "r1")
        with store.open() as conn:
            assert DagRun.select_count(conn) == 1
            assert NodeExecution.select_count(conn) == 0
        begin(store, "r2")
        assert store.get_run("r2") is not None


def test_who_tends_a_store_stops_even_if_that_is_asked_for_at_the_last_moment() -> None:
    class Told(threading.Event):
        def clear(self) -> None:
            asked.start()  # between its look at whether it was stopped, and its rest
            stopped.wait(10)
            super().clear()

    keeper = writer_room._Keeper(lambda _: None)
    stopped = keeper._stopped
    asked = threading.Thread(target=keeper.stop, daemon=True)
    keeper._woken.__class__ = Told
    keeper.wake()

    assert stopped.wait(5)
    asked.join(5)
    assert not asked.is_alive()


def test_a_durability_that_is_not_known_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'always'"):
        DagProvenance(tmp_path / "runs.db", durability="always")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert not list(tmp_path.iterdir())
