"""What a run does less often than it might: hops to threads, transactions, Python calls."""

import asyncio
import contextvars
import sys
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import (
    Dag,
    DagPause,
    DagProvenance,
    DagRunner,
    Event,
    NodeStarted,
    Retry,
    RunFinished,
    WiringError,
    call,
    inline,
)
from lythonic_compose.log_context import where
from lythonic_state import StatementEvent, on_statement


class Told:
    """A listener that keeps what it is told in one call."""

    blocking = False

    def __init__(self) -> None:
        self.told: list[list[Event]] = []

    def emit(self, *events: Event) -> None:
        self.told.append(list(events))

    def try_emit(self, *events: Event) -> bool:
        self.emit(*events)
        return True

    def names(self) -> list[str]:
        """What each call told of: "NodeCompleted, 4 NodeStarted"."""
        found: list[str] = []
        for events in self.told:
            kinds = [type(event).__name__ for event in events]
            counted = {kind: kinds.count(kind) for kind in kinds}
            found.append(", ".join(f"{n} {kind}" if n > 1 else kind for kind, n in counted.items()))
        return found


def plus_one(x: int) -> int:
    return x + 1


@inline
def plus_one_in_place(x: int) -> int:
    return x + 1


async def plus_one_async(x: int) -> int:
    return x + 1


def chain_of(*functions: Callable[..., Any], retry: Retry | None = None) -> Dag:
    with Dag() as dag:
        last = dag.node(functions[0], "s0")
        for number, function in enumerate(functions[1:], 1):
            last = last >> dag.node(function, f"s{number}", retry=retry)
    return dag


@pytest.fixture
def hops(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one with each visit to a thread."""
    seen: list[str] = []
    submit = call._THREADS.submit

    def counted(job: Callable[[], None]) -> None:
        seen.append("hop")
        submit(job)

    monkeypatch.setattr(call._THREADS, "submit", counted)
    return seen


# --- threads --------------------------------------------------------------------------------


@pytest.mark.parametrize("kept", [False, True])
async def test_a_thread_goes_on_with_what_follows_its_node_alone(
    hops: list[str], tmp_path: Path, kept: bool
) -> None:
    dag = chain_of(*[plus_one] * 30)
    if kept:
        with DagProvenance(tmp_path / "runs.db") as store:
            result = await DagRunner(dag, store).run({"s0": {"x": 0}})
            run = store.inspect_run(result.run_id)
            assert run is not None
            assert {node.status for node in run.nodes.values()} == {"completed"}
    else:
        result = await DagRunner(dag).run({"s0": {"x": 0}})
    assert result.outputs == {"s29": 30}
    assert set(result.node_statuses.values()) == {"completed"}
    assert len(hops) == 1


async def test_what_begins_beside_others_or_on_the_loop_is_left_to_the_loop(
    hops: list[str],
) -> None:
    def total(parts: list[int]) -> int:
        return sum(parts)

    with Dag() as dag:
        first, last = dag.node(plus_one, "first"), dag.node(total)
        first >> [dag.node(plus_one, "left"), dag.node(plus_one, "right")] >> last
        last >> dag.node(plus_one_async, "light") >> dag.node(plus_one, "slow", timeout=60)
    result = await dag(first={"x": 0})
    assert result.outputs == {"slow": 6}
    assert len(hops) == 5  # one for each function that is not async


async def test_each_node_of_a_thread_has_a_context_of_its_own() -> None:
    name = contextvars.ContextVar("name", default="nobody")
    seen: list[tuple[str, str]] = []

    def note(x: int) -> int:
        here = where()
        assert here is not None
        seen.append((here.node_label, name.get()))
        name.set(f"set by {here.node_label}")
        return x

    name.set("caller")
    (await chain_of(note, note, note)(s0={"x": 1})).raise_for_status()
    assert seen == [("s0", "caller"), ("s1", "caller"), ("s2", "caller")]
    assert where() is None


async def test_a_thread_gives_way_to_those_who_wait_for_its_place() -> None:
    order: list[str] = []

    def note(x: int) -> int:
        here = where()
        assert here is not None
        order.append(here.node_label)
        return x

    dag = Dag()
    for name in "ab":
        dag.node(note, f"{name}0") >> dag.node(note, f"{name}1") >> dag.node(note, f"{name}2")
    await DagRunner(dag, max_concurrency=1).run({"a0": {"x": 1}, "b0": {"x": 1}})
    assert order == ["a0", "b0", "a1", "b1", "a2", "b2"]


async def test_a_failure_ahead_of_the_loop_is_one_like_any() -> None:
    def breaks(x: int) -> int:
        raise LookupError(f"no {x}")

    result = await chain_of(plus_one, breaks, plus_one)(s0={"x": 0})
    assert (result.status, result.failed_node) == ("failed", "s1")
    assert result.error == "LookupError: no 1"
    assert result.node_statuses == {"s0": "completed", "s1": "failed", "s2": "upstream_failed"}


async def test_a_wrong_value_ahead_of_the_loop_fails_its_node() -> None:
    def lies(x: int) -> int:
        return "text"  # type: ignore[return-value]  # what the check of the edge is for

    result = await chain_of(plus_one, lies, plus_one)(s0={"x": 0})
    assert (result.status, result.failed_node) == ("failed", "s2")
    assert isinstance(result.exception, WiringError)


async def test_a_node_ahead_of_the_loop_is_tried_again() -> None:
    calls: list[int] = []

    def flaky(x: int) -> int:
        calls.append(x)
        if len(calls) < 3:
            raise OSError("not yet")
        return x

    heard = Told()
    dag = chain_of(plus_one, flaky, plus_one, retry=Retry(3))
    result = await DagRunner(dag, heard).run({"s0": {"x": 0}})
    assert result.outputs == {"s2": 2}
    started = [event for told in heard.told for event in told if isinstance(event, NodeStarted)]
    assert [(event.node.label, event.attempt) for event in started] == [
        ("s0", 1), ("s1", 1), ("s1", 2), ("s1", 3), ("s2", 1),
    ]  # fmt: skip


async def test_a_pause_and_a_coroutine_ahead_of_the_loop_are_the_loops() -> None:
    async def later(x: int) -> int:
        return x + 10

    def hands_out(x: int) -> Any:
        return later(x)

    def pauses(x: int) -> int:
        raise DagPause

    result = await chain_of(plus_one, hands_out, plus_one)(s0={"x": 0})
    assert result.outputs == {"s2": 12}
    paused = await chain_of(plus_one, pauses, plus_one)(s0={"x": 0})
    assert paused.status == "paused"
    assert paused.node_statuses == {"s0": "completed", "s1": "pending", "s2": "pending"}


def hops_under_way() -> bool:
    alive = {thread for thread in threading.enumerate() if isinstance(thread, call._Worker)}
    return not alive <= set(call._THREADS._idle)


@pytest.mark.parametrize("how", ["cancel", "pause"])
async def test_a_thread_begins_nothing_once_the_run_is_to_end(how: str) -> None:
    begun, go_on, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop, called = asyncio.get_running_loop(), list[str]()

    def waits(x: int) -> int:
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(30)
        ended.set()
        return x

    def note(x: int) -> int:
        called.append("note")
        return x

    heard = Told()
    runner = DagRunner(chain_of(plus_one, waits, note), heard)
    task = asyncio.ensure_future(runner.run({"s0": {"x": 0}}))
    await begun.wait()
    if how == "cancel":
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
    else:
        runner.pause()
        go_on.set()
        assert (await task).node_statuses == {"s0": "completed", "s1": "completed", "s2": "pending"}
    assert await asyncio.to_thread(ended.wait, 30)
    while hops_under_way():  # noqa: ASYNC110 - threads that nobody hears of any more tell nothing
        await asyncio.sleep(0.001)
    assert called == []
    assert isinstance(heard.told[-1][-1], RunFinished)


# --- what is told together ------------------------------------------------------------------


def fan_of(function: Callable[..., Any], width: int) -> Dag:
    async def total(parts: list[int]) -> int:
        return sum(parts)

    with Dag() as dag:
        branches = [dag.node(function, f"s{number}") for number in range(width)]
        dag.node(plus_one_async, "first") >> branches >> dag.node(total)
    return dag


@pytest.mark.parametrize("function", [plus_one_async, plus_one_in_place])
async def test_what_begins_and_ends_in_one_turn_is_one_transaction(
    function: Callable[..., Any],
) -> None:
    heard = Told()
    await DagRunner(fan_of(function, 4), heard).run({"first": {"x": 1}})
    assert heard.names() == [
        "RunStarted, NodeStarted",
        "NodeCompleted, 4 NodeStarted",
        "4 NodeCompleted, NodeStarted",
        "NodeCompleted, RunFinished",
    ]


async def test_threads_that_begin_in_one_turn_are_told_of_together() -> None:
    heard = Told()
    await DagRunner(fan_of(plus_one, 4), heard).run({"first": {"x": 1}})
    assert heard.names()[:2] == ["RunStarted, NodeStarted", "NodeCompleted, 4 NodeStarted"]


async def test_elements_of_a_map_share_transactions(tmp_path: Path) -> None:
    def numbers(x: int) -> list[int]:
        return [x] * 50

    dag, seen = Dag(), list[str]()
    inner = chain_of(plus_one_async, plus_one_async)
    dag.node(numbers) >> dag.map(inner, "each")

    def note(event: StatementEvent) -> None:
        if event.sql == "COMMIT":
            seen.append(event.sql)

    with DagProvenance(tmp_path / "runs.db") as store:
        with on_statement(None, note):
            result = await DagRunner(dag, store).run({"numbers": {"x": 1}})
        assert result.outputs == {"each": [3] * 50}
        assert len(store.get_child_runs(result.run_id)) == 50
    assert len(seen) <= 8


async def test_who_waits_with_others_hears_of_what_went_wrong() -> None:
    class Breaks(Told):
        def emit(self, *events: Event) -> None:
            super().emit(*events)
            if sum(isinstance(event, NodeStarted) for event in events) > 1:
                raise OSError("disk full")

    called: list[int] = []

    @inline
    def note(x: int) -> int:
        called.append(x)
        return x

    heard = Breaks()
    with pytest.raises(OSError, match="disk full"):
        await DagRunner(fan_of(note, 4), heard).run({"first": {"x": 1}})
    assert called == []
    assert heard.names()[-1] == "NodesEnded, RunFinished"


# --- Python calls ---------------------------------------------------------------------------


async def python_calls(dag: Dag) -> int:
    runner, number = DagRunner(dag), 0
    await runner.run({"s0": {"x": 0}})  # what is made once

    def note(_: Any, event: str, __: Any) -> None:
        nonlocal number
        number += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        await runner.run({"s0": {"x": 0}})
    finally:
        sys.setprofile(before)
    return number


@pytest.mark.parametrize("function", [plus_one_in_place, plus_one_async])
async def test_a_node_costs_few_python_calls(function: Callable[..., Any]) -> None:
    short, long = chain_of(*[function] * 3), chain_of(*[function] * 13)
    per_node = (await python_calls(long) - await python_calls(short)) / 10
    assert per_node <= 24
    assert await python_calls(short) <= 3 * per_node + 110


async def test_the_id_of_a_run_is_a_random_uuid() -> None:
    ids = [(await chain_of(plus_one_in_place)(x=1)).run_id for _ in range(20)]
    assert len(set(ids)) == 20
    for each in ids:
        read = uuid.UUID(each)
        assert (str(read), read.version, read.variant) == (each, 4, uuid.RFC_4122)
