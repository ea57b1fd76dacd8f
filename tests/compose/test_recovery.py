"""Runs whose process is gone: which go on, which are left, and who of several goes on with them."""

# pyright: reportUnusedExpression=false
# `a >> b` wires a with b, and is a statement of its own

from __future__ import annotations

import asyncio
import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Any, cast

import pytest

from lythonic_compose import (
    Dag,
    DagContext,
    DagError,
    DagProvenance,
    DagRunner,
    Namespace,
    NullProvenance,
    Recovery,
    Secret,
    WrongKind,
    WrongRunState,
    dag_factory,
)
from lythonic_compose.dag_provenance import DagRun
from lythonic_state import ScopeContext, open_sqlite_db
from tests.compose.outputs_models import Price
from tests.processes import Python

CALLS: list[str] = []
DYING: list[DagProvenance] = []


@pytest.fixture(autouse=True)
def nothing_called() -> None:
    CALLS.clear()
    DYING.clear()


def fetch(day: str) -> list[int]:
    CALLS.append(f"fetch {day}")
    return [1, 2, 3]


def convert(number: int) -> int:
    CALLS.append(f"convert {number}")
    if number == 2:
        die()
    return number * 10


def total(numbers: list[int]) -> int:
    CALLS.append("total")
    return sum(numbers)


def die() -> None:
    """Closes the store in the middle of a run, which nobody can go on recording then."""
    if DYING:
        DYING.pop().close()


def daily() -> Dag:
    dag = Dag()
    dag.node(fetch) >> dag.map(convert, "converted", concurrency=1) >> dag.node(total)
    return dag


def namespace(**dags: Any) -> Namespace:
    ns = Namespace()
    for name, dag in {"daily": daily(), **dags}.items():
        ns.register(dag, nsref=f"shop:{name}")
    return ns


async def abandon(
    target: Any, dag: Dag, nsref: str | None = "shop:daily", inputs: Any = None, **options: Any
) -> str:
    """Begins a run that nobody is at work on any more, and gives its id."""
    store = DagProvenance(target)
    DYING.append(store)
    given = {"fetch": {"day": "mon"}} if inputs is None else inputs
    with pytest.raises(WrongRunState, match="is closed"):
        await DagRunner(dag, store, **options).run(given, nsref)
    CALLS.clear()
    with DagProvenance(target) as again:
        return again.get_abandoned_runs()[0].run_id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.db"


def reasons(recovery: Recovery) -> dict[str, str]:
    return {run.run_id: run.reason for run in recovery.left}


# --- what goes on ---------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
async def test_an_abandoned_run_goes_on_and_what_completed_is_not_run_again(db_url: str) -> None:
    run_id = await abandon(db_url, daily())
    with DagProvenance(db_url) as store:
        recovery = await store.recover(namespace())

        (result,) = recovery.continued
        assert (result.run_id, result.status, result.outputs) == (
            run_id,
            "completed",
            {"total": 60},
        )
        assert CALLS == ["convert 2", "convert 3", "total"]
        assert recovery.left == ()
        assert str(recovery) == f"{run_id}: completed"
        assert store.get_active_runs() == []
        # nothing is left to do
        assert await store.recover(namespace()) == Recovery()
        run = store.inspect_run(run_id)
        assert run is not None
        assert all(node.status == "completed" for node in run.nodes.values())
        inside = run.nodes["converted"].sub_dags or {}
        assert [each.status for each in inside.values()] == ["completed"] * 3


def test_a_recovery_needs_no_loop(path: Path) -> None:
    run_id = asyncio.run(abandon(path, daily()))
    with DagProvenance(path) as store:
        recovery = store.recover_sync(namespace())
    assert [result.run_id for result in recovery.continued] == [run_id]


async def test_a_run_that_fails_again_stops_no_other(path: Path) -> None:
    def breaks(day: str) -> None:
        die()
        raise OSError("no such day")

    dag = Dag()
    dag.node(breaks)
    broken = await abandon(path, dag, "shop:broken", {"breaks": {"day": "x"}})
    good = await abandon(path, daily())
    with DagProvenance(path) as store:
        recovery = await store.recover(namespace(broken=dag), concurrency=1)

        assert {each.run_id: each.status for each in recovery.continued} == {
            broken: "failed",
            good: "completed",
        }
        assert str(recovery).splitlines() == [
            f"{broken}: failed at breaks: OSError: no such day",
            f"{good}: completed",
        ]


async def test_a_run_that_cannot_even_begin_to_go_on_stops_no_other(path: Path) -> None:
    @contextmanager
    def gone() -> Iterator[str]:
        raise OSError("no such server")
        yield ""

    def priced(day: str, server: str) -> str:
        die()
        return server

    dag = Dag()
    dag.node(priced)
    given, resources = {"priced": {"day": "x"}}, {"server": "here"}
    broken = await abandon(path, dag, "shop:priced", given, resources=resources)
    good = await abandon(path, daily())
    with DagProvenance(path) as store:
        recovery = await store.recover(
            namespace(priced=dag), resources={"server": gone()}, concurrency=1
        )
        assert reasons(recovery) == {broken: "error"}
        assert recovery.left[0].why == "OSError: no such server"
        assert [each.run_id for each in recovery.continued] == [good]


class Client(DagContext):
    rate: int


async def test_each_run_gets_the_resources_that_it_takes(path: Path) -> None:
    def priced(ctx: Client, day: str, currency: str) -> str:
        die()
        return f"{ctx.rate} {currency}"

    dag = Dag()
    dag.node(priced)
    resources = {"currency": "EUR", "rate": 110}
    first = await abandon(path, daily())
    second = await abandon(path, dag, "shop:priced", {"priced": {"day": "x"}}, resources=resources)
    with DagProvenance(path) as store:
        recovery = await store.recover(namespace(priced=dag), resources=resources)
    assert {each.run_id: each.outputs for each in recovery.continued} == {
        first: {"total": 60},
        second: {"priced": "110 EUR"},
    }


async def test_a_run_that_a_node_began_ends_with_that_node_s_run(path: Path) -> None:
    """The node is called again, and begins another one."""
    runners: list[DagRunner] = []

    async def outer(ctx: DagContext) -> int:
        result = await runners[-1].run({"fetch": {"day": "x"}}, "shop:daily", ctx.run_id)
        return int(result.outputs["total"])

    dag = Dag()
    dag.node(outer)
    store = DagProvenance(path)
    DYING.append(store)
    runners.append(DagRunner(daily(), store))
    with pytest.raises(WrongRunState):
        await DagRunner(dag, store).run(dag_nsref="shop:outer")
    with DagProvenance(path) as store:
        (run,) = store.get_abandoned_runs()
        assert run.dag_nsref == "shop:outer"
        runners.append(DagRunner(daily(), store))
        recovery = await store.recover(namespace(outer=dag))
        assert [each.run_id for each in recovery.continued] == [run.run_id]
        begun = store.get_child_runs(run.run_id)
        assert [each.status for each in begun if each.dag_nsref == "shop:daily"].count(
            "cancelled"
        ) == 2, "the first run, and the element of its map that was under way"
        assert not [each for each in begun if each.status == "running"]
        assert store.get_abandoned_runs() == []


# --- what is left ---------------------------------------------------------------------------


async def test_a_run_without_the_name_of_its_dag_is_left_and_says_what_to_do(path: Path) -> None:
    run_id = await abandon(path, daily(), None)
    with DagProvenance(path) as store:
        (left,) = (await store.recover(namespace())).left
        assert (left.run_id, left.dag_nsref, left.reason) == (run_id, None, "unnamed")
        assert f"DagRunner(dag, provenance).restart({run_id!r})" in left.why
        assert (await DagRunner(daily(), store).restart(run_id)).status == "completed"


@dag_factory
def bad_factory() -> Dag:
    raise RuntimeError("no configuration")


def looping() -> Dag:
    dag = Dag()
    (a, b) = dag.node(total, "a"), dag.node(total, "b")
    a >> b >> a
    return dag


@pytest.mark.parametrize(
    ("registered", "reason", "why"),
    [
        (None, "unknown", r"nothing is registered as 'shop:dayly'.*did you mean 'shop:daily'"),
        (bad_factory, "broken", "shop:dayly: RuntimeError: no configuration"),
        ("no.such.module:dag", "broken", "shop:dayly: .*no.such.module"),
        (total, "broken", "shop:dayly: WrongKind: .*no Dag"),
        (looping(), "broken", "shop:dayly: DagError: .*cycle"),
    ],
)
async def test_a_run_whose_dag_cannot_be_had_is_left(
    path: Path, registered: Any, reason: str, why: str
) -> None:
    run_id = await abandon(path, daily(), "shop:dayly")
    ns = namespace() if registered is None else namespace(dayly=registered)
    with DagProvenance(path) as store:
        recovery = await store.recover(ns)
        (left,) = recovery.left
        assert (left.run_id, left.dag_nsref, left.reason) == (run_id, "shop:dayly", reason)
        assert re.search(why, left.why), left.why
        assert left.exception is not None
        assert str(recovery) == f"{run_id}: left ({reason}), {left.why}"
        assert [run.run_id for run in store.get_abandoned_runs()] == [run_id]
    assert CALLS == []


async def test_a_run_whose_code_has_changed_is_left_or_goes_on_as_is_said(path: Path) -> None:
    def changed(day: str) -> list[int]:
        CALLS.append("changed")
        return [5]

    dag = Dag()
    dag.node(changed, "fetch") >> dag.map(convert, "converted") >> dag.node(total)
    run_id = await abandon(path, daily())
    with DagProvenance(path) as store:
        ns = Namespace()
        ns.register(dag, nsref="shop:daily")
        (left,) = (await store.recover(ns)).left
        assert (left.run_id, left.reason) == (run_id, "changed")
        assert "fetch" in left.why
        (result,) = (await store.recover(ns, "rerun")).continued
        assert result.outputs == {"total": 50}


async def test_a_run_that_needs_a_secret_is_left_and_names_it(path: Path) -> None:
    def login(token: Annotated[str, Secret()]) -> int:
        die()
        return len(token)

    dag = Dag()
    dag.node(login)
    run_id = await abandon(path, dag, "shop:login", {"login": {"token": "abc"}})
    with DagProvenance(path) as store:
        (left,) = (await store.recover(namespace(login=dag))).left
        assert (left.run_id, left.reason) == (run_id, "inputs")
        assert "the input 'token' of login is not kept" in left.why


async def test_a_run_whose_rows_would_be_lost_or_go_astray_is_left(path: Path) -> None:
    def waits(count: int) -> int:
        die()
        return count

    def prices(count: int) -> list[Price]:
        return [Price(name=f"p{number}") for number in range(count)]

    dag = Dag()
    dag.node(waits) >> dag.node(prices)
    elsewhere = path.parent / "rows.db"
    options: dict[str, Any] = {"write_models": True, "outputs": elsewhere}
    run_id = await abandon(path, dag, "shop:prices", {"waits": {"count": 2}}, **options)
    ns = namespace(prices=dag)
    with DagProvenance(path) as store:
        for given, why in (
            ({}, "write_models=True"),
            ({"outputs": elsewhere}, "write_models=True"),
            ({"write_models": True}, f"outputs={str(elsewhere)!r}"),
            ({"on_change": "keep"}, f"outputs={str(elsewhere)!r}"),
        ):
            recovery = await store.recover(ns, **cast(Any, given))
            (left,) = recovery.left
            assert (left.run_id, left.reason, recovery.continued) == (run_id, "outputs", ())
            assert why in left.why
        assert [run.run_id for run in store.get_abandoned_runs()] == [run_id]
        (result,) = (await store.recover(ns, **options)).continued
        assert result.status == "completed"
    with open_sqlite_db(elsewhere) as conn:
        assert [price.name for price in Price.select(conn, order_by="name")] == ["p0", "p1"]


class Org(ScopeContext):
    org_id: int


async def test_with_a_context_only_that_tenants_runs_are_looked_at(path: Path) -> None:
    mine = await abandon(path, daily(), user_ctx=Org(org_id=1))
    theirs = await abandon(path, daily(), user_ctx=Org(org_id=2))
    with DagProvenance(path) as store:
        assert reasons(await store.recover(namespace())) == {mine: "tenant", theirs: "tenant"}
        recovery = await store.recover(namespace(), user_ctx=Org(org_id=1))
        assert [each.run_id for each in recovery.continued] == [mine]
        assert recovery.left == ()
        assert [run.run_id for run in store.get_abandoned_runs()] == [theirs]


async def test_a_run_that_somebody_is_at_work_on_is_listed_as_alive(path: Path) -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def waits() -> None:
        began.set()
        await release.wait()

    dag = Dag()
    dag.node(waits)
    with DagProvenance(path) as store, DagProvenance(path) as other:
        task = asyncio.create_task(DagRunner(dag, store).run(dag_nsref="shop:waits"))
        await began.wait()
        (left,) = (await other.recover(namespace(waits=dag))).left
        assert (left.reason, left.why) == ("alive", "it is running in this process")
        release.set()
        assert (await task).status == "completed"


@pytest.mark.parametrize(("seconds", "continued"), [(59, 0), (61, 1)])
async def test_a_run_from_elsewhere_goes_on_when_its_last_heartbeat_is_old(
    path: Path, seconds: int, continued: int
) -> None:
    run_id = await abandon(path, daily())
    beat = datetime(2026, 1, 31, 9, tzinfo=UTC)
    with DagProvenance(path, clock=lambda: beat + timedelta(seconds=seconds)) as store:
        with store.open() as conn:
            elsewhere = {"owner": "another boot/pid:[1]/7/100/a", "heartbeat_at": beat}
            DagRun.update_where(conn, elsewhere, run_id=run_id)
            cast(Any, conn).commit()
        recovery = await store.recover(namespace())
        assert len(recovery.continued) == continued
        assert reasons(recovery) == ({} if continued else {run_id: "alive"})


async def test_a_run_that_is_continued_again_and_again_is_left_at_last(path: Path) -> None:
    run_id = await abandon(path, daily())
    with DagProvenance(path) as store:
        (left,) = (await store.recover(namespace(), most_times=1)).continued
        assert left.status == "completed"
    run_id = await abandon(path, daily())
    with DagProvenance(path) as store, store.open() as conn:
        DagRun.update_where(conn, {"fence": 51}, run_id=run_id)
        cast(Any, conn).commit()
        (hopeless,) = (await store.recover(namespace())).left
        assert (hopeless.reason, "51 times" in hopeless.why) == ("hopeless", True)
        assert len((await store.recover(namespace(), most_times=None)).continued) == 1


@pytest.mark.parametrize(
    ("option", "error"),
    [
        ({"on_change": "maybe"}, DagError),
        ({"concurrency": 0}, DagError),
        ({"max_concurrency": "two"}, WrongKind),
        ({"most_times": 0}, DagError),
        ({"user_ctx": "me"}, WrongKind),
    ],
)
async def test_an_option_without_sense_is_told_before_anything_goes_on(
    path: Path, option: dict[str, Any], error: type[Exception]
) -> None:
    run_id = await abandon(path, daily())
    with DagProvenance(path) as store:
        with pytest.raises(error, match=f"{next(iter(option))}="):
            await store.recover(namespace(), **option)
        assert [run.run_id for run in store.get_abandoned_runs()] == [run_id]


async def test_where_nothing_is_kept_nothing_is_recovered() -> None:
    assert await NullProvenance().recover(namespace()) == Recovery()
    assert str(Recovery()) == "no run has to be recovered"


# --- told to stop ---------------------------------------------------------------------------


async def stops(number: int) -> int:
    if DYING:
        die()
    else:
        signal.raise_signal(signal.SIGTERM)
        await asyncio.sleep(0.05)  # the loop hears of it
    return number


async def stuck(number: int) -> int:
    if DYING:
        die()
    else:
        signal.raise_signal(signal.SIGTERM)
        signal.raise_signal(signal.SIGINT)
        await asyncio.Event().wait()
    return number


@pytest.mark.parametrize("function", [stops, stuck])
def test_a_recovery_that_is_told_to_stop_pauses_what_it_continues_and_leaves_the_rest(
    path: Path, function: Any
) -> None:
    dag = Dag()
    dag.node(function, "one") >> dag.node(convert, "two")
    given = {"one": {"number": 1}}
    first = asyncio.run(abandon(path, dag, "shop:stops", given))
    second = asyncio.run(abandon(path, dag, "shop:stops", given))
    with DagProvenance(path) as store:
        recovery = store.recover_sync(namespace(stops=dag), concurrency=1)

        (result,) = recovery.continued
        assert (result.run_id, result.status) == (first, "paused")
        done = "completed" if function is stops else "pending"
        assert result.node_statuses == {"one": done, "two": "pending"}
        assert reasons(recovery) == {second: "stopped"}
        assert [run.run_id for run in store.get_abandoned_runs()] == [second]


async def test_a_recovery_that_is_cancelled_cancels_what_it_continues(path: Path) -> None:
    began = asyncio.Event()

    async def waits(number: int) -> int:
        if DYING:
            die()
        else:
            began.set()
            await asyncio.Event().wait()
        return number

    dag = Dag()
    dag.node(waits)
    run_id = await abandon(path, dag, "shop:waits", {"waits": {"number": 1}})
    with DagProvenance(path) as store:
        task = asyncio.create_task(store.recover(namespace(waits=dag)))
        await began.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        run = store.get_run(run_id)
        assert run is not None
        assert run.status == "cancelled"


# --- several at once ------------------------------------------------------------------------


async def test_of_two_recoveries_in_one_process_one_gets_each_run(path: Path) -> None:
    runs = {await abandon(path, daily()) for _ in range(5)}
    with DagProvenance(path) as store, DagProvenance(path) as other:
        one, same, two = await asyncio.gather(
            store.recover(namespace()), store.recover(namespace()), other.recover(namespace())
        )
    done = [each.run_id for recovery in (one, same, two) for each in recovery.continued]
    assert sorted(done) == sorted(runs)
    left = [each for recovery in (one, same, two) for each in recovery.left]
    assert {each.reason for each in left} <= {"taken", "alive"}
    assert len(left) == 10
    assert CALLS.count("total") == 5


async def test_who_decided_before_another_one_went_on_is_refused(path: Path) -> None:
    """It would run again what the other has completed since."""
    run_id = await abandon(path, daily())
    decided, went_on = threading.Event(), threading.Event()

    class Slow(DagProvenance):
        def recall(self, run_id: str, /) -> Any:
            old = super().recall(run_id)
            decided.set()
            assert went_on.wait(10)
            return old

    def other() -> None:
        assert decided.wait(10)
        fails = Dag()
        fails.node(fetch) >> fails.map(convert, "converted") >> fails.node(divide, "total")
        with DagProvenance(path) as store:
            result = asyncio.run(DagRunner(fails, store).restart(run_id))
            assert result.status == "failed"
        CALLS.clear()
        went_on.set()

    def divide(numbers: list[int]) -> int:
        return sum(numbers) // 0

    thread = threading.Thread(target=other)
    thread.start()
    with Slow(path) as store:
        recovery = await store.recover(namespace())
        assert reasons(recovery) == {run_id: "taken"}
        run = store.get_run(run_id)
        assert run is not None
        assert (run.status, run.fence) == ("failed", 2)
    thread.join()
    assert CALLS == []


PIPELINE = """
import os, sys, time
from lythonic_compose import Dag, DagProvenance, DagRunner, Namespace

os.chdir(sys.argv[3])

def note(text: str) -> None:
    with open("log.txt", "a") as log:
        log.write(text + "\\n")

def numbers() -> list[int]:
    note("numbers")
    return list(range(6))

def square(number: int) -> int:
    note(f"square {number}")
    if number == 3 and sys.argv[1] == "begin":
        os.kill(os.getpid(), 9)
    time.sleep(0.02)
    return number * number

def total(squares: list[int]) -> int:
    note("total")
    return sum(squares)

dag = Dag()
dag.node(numbers) >> dag.map(square, "squares", concurrency=1) >> dag.node(total)
ns = Namespace()
ns.register(dag, nsref="math:squares")
with DagProvenance(sys.argv[2]) as store:
    if sys.argv[1] == "begin":
        DagRunner(dag, store).run_sync(dag_nsref="math:squares")
    print("ready", flush=True)
    sys.stdin.readline()
    recovery = store.recover_sync(ns)
    print([run.reason for run in recovery.left], [run.outputs for run in recovery.continued])
"""


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_after_a_kill_two_processes_recover_at_once_and_the_work_is_done_once(
    db_url: str, tmp_path: Path
) -> None:
    killed = Python(PIPELINE, "begin", db_url, str(tmp_path))
    killed.communicate()
    assert killed.returncode == -signal.SIGKILL
    both = [Python(PIPELINE, "recover", db_url, str(tmp_path)) for _ in range(2)]
    assert [each.stdout.readline() for each in both] == ["ready\n"] * 2
    for each in both:
        each.tell("go")
    answers = sorted(each.communicate()[0] for each in both)

    assert answers[1] == "[] [{'total': 55}]\n"
    assert answers[0] in ("['taken'] []\n", "['alive'] []\n", "[] []\n")
    assert (tmp_path / "log.txt").read_text().splitlines() == [
        "numbers",
        *(f"square {number}" for number in range(4)),
        *(f"square {number}" for number in range(3, 6)),
        "total",
    ]
