"""What a run meets beside a kill: a process that sleeps past its lease, a full disk, a server that
is restarted. Each time it ends cleanly or is fenced off, and a restart completes it."""

# pyright: reportUnusedExpression=false
# `a >> b` wires a with b, and is a statement of its own

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal, cast

import psycopg
import pytest

from lythonic_compose import (
    Dag,
    DagProvenance,
    DagRun,
    DagRunner,
    NodeAttempt,
    NodeExecution,
    Retry,
)
from lythonic_compose.dag_provenance import liveness
from lythonic_state import DatabaseError, DbModel, PrimaryKey, open_db
from tests.databases import PostgresServer, run_postgres

PIPELINE = """
import os, sys, time
from pathlib import Path
from lythonic_compose import Dag, DagProvenance, DagRunner, Namespace, WrongRunState

WHO = "child" if __name__ == "__main__" else "parent"

def note(text: str) -> None:
    with open("log.txt", "a") as log:
        log.write(f"{WHO} {text}\\n")

def numbers() -> list[int]:
    note("numbers")
    return [1, 2]

def first(number: int) -> int:
    note(f"first {number}")
    while WHO == "child" and not Path("go").exists():
        time.sleep(0.01)
    return number * 10 + (WHO == "child")

def second(number: int) -> int:
    note(f"second {number}")
    return number

def total(numbers: list[int]) -> int:
    note("total")
    return sum(numbers)

element = Dag()
element.node(first) >> element.node(second)
dag = Dag()
dag.node(numbers) >> dag.map(element, "elements") >> dag.node(total)
ns = Namespace()
ns.register(dag, nsref="sums:daily")

if __name__ == "__main__":
    from lythonic_compose.dag_provenance import liveness, writer

    target, place = sys.argv[1:]
    writer.SURE_SECONDS = 0.1
    if place == "elsewhere":
        # what the system would tell on another machine
        liveness._this_process = lambda pid: ("another boot", "pid:[1]", pid, "1")
    with DagProvenance(target) as store:
        try:
            print(DagRunner(dag, store).run_sync(dag_nsref="sums:daily").status)
        except WrongRunState as error:
            print(error)
"""


@pytest.fixture
def pipeline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "sleeping.py").write_text(PIPELINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "sleeping", raising=False)
    return importlib.import_module("sleeping")


def until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def logged(who: str = "") -> list[str]:
    lines = Path("log.txt").read_text().splitlines() if Path("log.txt").exists() else []
    return [line for line in lines if line.startswith(who)]


def stop(process: subprocess.Popen[str], store: DagProvenance) -> None:
    """Stops a process, but not while it keeps the database locked, in which nobody could write."""
    while True:
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED)
        try:
            with store.open() as conn:
                DagRun.update_where(conn, {"pinned": False}, run_id="nobody's")
                cast(Any, conn).rollback()
        except DatabaseError:
            process.send_signal(signal.SIGCONT)
        else:
            return


# --- asleep ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("colour", "place"), [("sqlite", "here"), ("sqlite", "elsewhere"), ("postgres", "elsewhere")]
)
async def test_a_process_that_sleeps_is_alive_here_and_is_taken_over_from_elsewhere(
    db_url: str, place: str, pipeline: ModuleType
) -> None:
    ahead = timedelta(0)
    process = subprocess.Popen(
        [sys.executable, "sleeping.py", db_url, place],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with process, DagProvenance(db_url, clock=lambda: datetime.now(UTC) + ahead) as store:
        until(lambda: len(logged()) == 3)
        stop(process, store)
        stopped_at = time.monotonic()
        # its heartbeat is young, or it is seen to be there
        (left,) = (await store.recover(pipeline.ns)).left
        assert left.reason == "alive"
        # past the lease, and past what the process itself relies on
        ahead = liveness.LEASE + timedelta(seconds=1)
        until(lambda: time.monotonic() - stopped_at > 0.2)
        recovery = await store.recover(pipeline.ns)
        if place == "here":
            assert [run.reason for run in recovery.left] == ["alive"]
            assert f"process {process.pid}" in recovery.left[0].why
        else:
            assert [run.outputs for run in recovery.continued] == [{"total": 30}]
        Path("go").touch()
        process.send_signal(signal.SIGCONT)
        said = process.communicate(timeout=60)[0]

        (run,) = store.get_recent_runs()
        assert run.status == "completed"
        with store.open() as conn:
            statuses = {node.status for node in NodeExecution.select(conn)}
            attempts = [attempt.status for attempt in NodeAttempt.select(conn)]
        assert statuses == {"completed"}
        if place == "here":
            assert said == "completed\n"
            assert logged("parent") == []
            return
        assert "not running any more" in said or "taken over" in said
        assert run.nodes["total"].status == "completed"
        assert store.get_node_output(run.run_id, "total") == "30"
        assert run.fence == 2
        # those that slept, and the map around them
        assert attempts.count("cancelled") == 3
        assert [line for line in logged("child") if "second" in line or "total" in line] == []
        assert sorted(logged("parent")) == [
            *("parent first 1", "parent first 2", "parent second 10", "parent second 20"),
            "parent total",
        ]


# --- a full disk ----------------------------------------------------------------------------

called: list[str] = []
SERVERS: list[Callable[[], None]] = []


def words() -> list[int]:
    return [1, 2, 3, 4]


def word(number: int) -> str:
    called.append(f"word {number}")
    if number == 3 and SERVERS:
        SERVERS.pop()()
    return f"{number}" * 50_000


def length(words: list[str]) -> int:
    called.append("length")
    return sum(map(len, words))


def lengths() -> Dag:
    dag = Dag()
    dag.node(words) >> dag.map(word, "words_", concurrency=1) >> dag.node(length)
    return dag


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    called.clear()
    SERVERS.clear()


def running(store: DagProvenance) -> set[str]:
    """What anything in a store that is running belongs to."""
    with store.open() as conn:
        found = DagRun.select(conn, status="running")
        return {"run" for _ in found} | {
            node.node_label for node in NodeExecution.select(conn, status="running")
        }


def completed(store: DagProvenance) -> dict[str, str | None]:
    """By element of the map, what its node has returned, for those that have completed."""
    (outer,) = store.get_recent_runs(nested=False)
    return {
        run.map_key: store.get_node_output(run.run_id, "word")
        for run in store.get_child_runs(outer.run_id)
        if run.status == "completed"
    }


@pytest.mark.parametrize("durability", ["node", "run"])
async def test_a_run_on_a_full_disk_ends_with_that_and_goes_on_when_there_is_room(
    tmp_path: Path, durability: Any
) -> None:
    path = tmp_path / "runs.db"
    with DagProvenance(path, durability=durability) as store:

        def fill() -> None:
            """Leaves room for less than what the third element gives."""
            store._writer.flush()
            disk: Any = store._writer._conn
            (pages,) = disk.execute("PRAGMA page_count").fetchone()
            disk.execute(f"PRAGMA max_page_count={pages + 4}")

        SERVERS.append(fill)
        with pytest.raises(DatabaseError, match=r"runs\.db: .*full; make room on the disk"):
            await DagRunner(lengths(), store).run(dag_nsref="words:daily")
        disk: Any = store._writer._conn
        disk.execute("PRAGMA max_page_count=1000000")
    with DagProvenance(path) as store:
        done = completed(store)
        assert set(done) >= {"0", "1"}
        assert all(text == f'"{str(int(key) + 1) * 50_000}"' for key, text in done.items())
        called.clear()
        (run,) = store.get_recent_runs(nested=False)
        result = await DagRunner(lengths(), store).restart(run.run_id)
        assert result.outputs == {"length": 200_000}
        assert called == [*(f"word {n}" for n in range(1, 5) if str(n - 1) not in done), "length"]
        assert running(store) == set()
        with store.open() as conn:
            assert cast(Any, conn).execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert cast(Any, conn).execute("PRAGMA foreign_key_check").fetchall() == []


# --- a server that is restarted ---------------------------------------------------------------


@pytest.fixture(scope="module")
def own_server() -> Iterator[PostgresServer]:
    """A server that this module may stop, and which keeps what it has committed."""
    with run_postgres() as server:
        with psycopg.connect(server.url, autocommit=True) as admin:
            admin.execute("ALTER SYSTEM SET synchronous_commit = on")
            admin.execute("SELECT pg_reload_conf()")
        yield server


@pytest.mark.parametrize(("how", "durability"), [("fast", "run"), ("immediate", "node")])
async def test_a_server_that_is_restarted_in_mid_run_ends_it_and_it_goes_on(
    own_server: PostgresServer, how: Literal["fast", "immediate"], durability: Any
) -> None:
    with psycopg.connect(own_server.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE restarted_{how}")
    url = own_server.url.replace("/postgres?", f"/restarted_{how}?")
    with DagProvenance(url, durability=durability) as store:
        SERVERS.append(lambda: own_server.restart(how))
        with pytest.raises(DatabaseError, match=r"connection|terminating"):
            await DagRunner(lengths(), store).run(dag_nsref="words:daily")
        # the same store works again, and was told how the run has ended
        (run,) = store.get_recent_runs(nested=False)
        assert run.status == "failed"
        assert re.search("connection|terminating", run.error or "")
        assert running(store) == set()
        called.clear()
        done = completed(store)
        result = await DagRunner(lengths(), store).restart(run.run_id)
        assert result.outputs == {"length": 200_000}
        assert called == [*(f"word {n}" for n in range(1, 5) if str(n - 1) not in done), "length"]
        assert running(store) == set()


class Word(DbModel):
    word_id: Annotated[int, PrimaryKey()] = -1
    text: str


def spelled(number: int) -> list[Word]:
    called.append(f"spelled {number}")
    if SERVERS:
        SERVERS.pop()()
    return [Word(text=f"{number}")]


@pytest.mark.parametrize("retry", [None, Retry(2)])
async def test_rows_that_go_to_a_server_that_is_restarted_are_there_once_after_a_restart(
    own_server: PostgresServer, tmp_path: Path, retry: Retry | None
) -> None:
    name = f"outputs_{retry is None}".lower()
    with psycopg.connect(own_server.url, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")
    url = own_server.url.replace("/postgres?", f"/{name}?")
    element = Dag()
    element.node(spelled, write="insert", retry=retry)
    dag = Dag()
    dag.node(words) >> dag.map(element, "spelling", concurrency=1)
    with DagProvenance(tmp_path / "runs.db") as store:
        runner = DagRunner(dag, store, outputs=url)
        SERVERS.append(lambda: own_server.restart("fast"))
        result = await runner.run()
        if retry is None:
            assert result.status == "failed"
            assert isinstance(result.exception, DatabaseError)
            result = await runner.restart(result.run_id)
        assert result.status == "completed"
        assert running(store) == set()
        assert called == [f"spelled {number}" for number in (1, 1, 2, 3, 4)]
        with open_db(url) as conn:
            assert [word.text for word in Word.select(conn, order_by="word_id")] == list("1234")
