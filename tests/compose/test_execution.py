from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
import logging
import os
import threading
import time
import tracemalloc
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from typing import Any

import pytest

from lythonic_compose import (
    AttemptFailed,
    Dag,
    DagContext,
    DagError,
    DagPause,
    DagRunner,
    Event,
    LogContext,
    NodeCompleted,
    NodeExpanded,
    NodeFailed,
    NodesEnded,
    NodeStarted,
    Retry,
    RunFinished,
    UnknownName,
    call,
    inline,
)
from tests.processes import FORKING


def one() -> int:
    return 1


def plus_one(number: int) -> int:
    return number + 1


class Listening:
    """Keeps what it is told."""

    blocking = False

    def __init__(self) -> None:
        self.events: list[Event] = []

    def emit(self, *events: Event) -> None:
        self.events += events

    def try_emit(self, *events: Event) -> bool:
        self.emit(*events)
        return True

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


# --- retries --------------------------------------------------------------------------------


class Flaky:
    """Fails so many times before it succeeds."""

    def __init__(self, failures: int, error: type[Exception] = OSError) -> None:
        self.left = failures
        self.calls = 0
        self.error = error

    def next(self) -> int:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise self.error(f"call {self.calls}")
        return self.calls


@pytest.mark.parametrize("where", ["thread", "loop", "inline"])
async def test_a_node_is_tried_again_and_each_attempt_is_told(where: str) -> None:
    flaky = Flaky(2)

    def in_thread() -> int:
        return flaky.next()

    async def on_loop() -> int:
        return flaky.next()

    step = {"thread": in_thread, "loop": on_loop, "inline": inline(lambda: flaky.next())}[where]
    listening = Listening()
    dag = Dag()
    dag.node(step, "step", retry=Retry(3, backoff=0.001))
    result = await DagRunner(dag, listening).run()
    assert result.outputs == {"step": 3}
    assert [event.attempt for event in listening.of(NodeStarted)] == [1, 2, 3]
    failed = listening.of(AttemptFailed)
    assert [str(event.error) for event in failed] == ["call 1", "call 2"]
    assert [event.again_at - event.at for event in failed] == [
        timedelta(milliseconds=1),
        timedelta(milliseconds=2),
    ]


async def test_the_last_attempt_fails_the_node() -> None:
    flaky = Flaky(5)
    dag = Dag()
    dag.node(flaky.next, "step", retry=Retry(3))
    listening = Listening()
    result = await DagRunner(dag, listening).run()
    assert (result.status, result.error, flaky.calls) == ("failed", "OSError: call 3", 3)
    assert [event.attempt for event in listening.of(NodeFailed)] == [3]


async def test_only_the_errors_that_were_named_are_tried_again() -> None:
    flaky = Flaky(1, KeyError)
    dag = Dag()
    dag.node(flaky.next, "step", retry=Retry(3, on=(OSError, ValueError)))
    assert (await dag()).status == "failed"
    flaky = Flaky(1, KeyError)
    dag = Dag()
    dag.node(flaky.next, "step", retry=Retry(3, on=lambda error: "call 1" in str(error)))
    assert (await dag()).status == "completed"


async def test_a_test_of_errors_that_breaks_fails_the_node_and_says_so() -> None:
    flaky = Flaky(1)
    dag = Dag()
    dag.node(flaky.next, "step", retry=Retry(3, on=lambda error: 1 / 0 > 1))
    result = await dag()
    assert result.error == "OSError: call 1"
    assert result.exception is not None
    assert "Retry(on=…) of step raised ZeroDivisionError" in result.exception.__notes__[0]


async def test_a_dag_inside_is_tried_again_as_a_whole() -> None:
    flaky = Flaky(1)
    firsts: list[int] = []

    def first() -> int:
        firsts.append(1)
        return 1

    def second(number: int) -> int:
        return flaky.next() + number

    sub = Dag()
    sub.node(first) >> sub.node(second)
    dag = Dag()
    dag.node(sub, "sub", retry=Retry(2))
    assert (await dag()).outputs == {"sub": 3}
    assert len(firsts) == 2


# --- timeouts -------------------------------------------------------------------------------


async def test_a_node_that_takes_too_long_fails() -> None:
    release = threading.Event()

    def slow() -> None:
        release.wait(10)

    async def slow_too() -> None:
        await asyncio.sleep(10)

    for step in (slow, slow_too):
        listening = Listening()
        dag = Dag()
        dag.node(step, "step", timeout=0.02)
        result = await DagRunner(dag, listening).run()
        assert result.error == "TimeoutError: step took longer than its timeout of 0.02 s"
        assert isinstance(result.exception, TimeoutError)
    release.set()


@pytest.mark.parametrize("late", ["returns", "raises"])
async def test_the_late_end_of_a_thread_is_fenced_off(late: str) -> None:
    release = threading.Event()
    workers: list[threading.Thread] = []

    def slow_at_first() -> int:
        workers.append(threading.current_thread())
        if len(workers) == 1:
            release.wait(10)
            if late == "raises":
                raise LookupError("nobody asks any more")
        return len(workers)

    async def last(calls: int) -> int:
        """Goes on with the run once the late thread has ended, which might tell of it now."""
        release.set()
        async with asyncio.timeout(10):
            while workers[0] not in call._THREADS._idle:  # noqa: ASYNC110 - a thread tells no loop
                await asyncio.sleep(0.001)
        return calls

    listening = Listening()
    dag = Dag()
    dag.node(slow_at_first, "step", timeout=0.05, retry=Retry(2)) >> dag.node(last)
    result = await DagRunner(dag, listening).run()
    assert result.outputs == {"last": 2}
    assert [
        (type(event), event.attempt)
        for event in listening.events
        if isinstance(event, (NodeStarted, AttemptFailed, NodeCompleted, NodeFailed))
        and event.node.label == "step"
    ] == [(NodeStarted, 1), (AttemptFailed, 1), (NodeStarted, 2), (NodeCompleted, 2)]


async def test_a_timeout_of_the_function_itself_is_an_error_like_any() -> None:
    async def raises() -> None:
        raise TimeoutError("the server said nothing")

    dag = Dag()
    dag.node(raises, timeout=10)
    assert (await dag()).error == "TimeoutError: the server said nothing"


async def test_a_dag_inside_that_takes_too_long_is_cancelled() -> None:
    cancelled: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.sleep(10)
        except asyncio.CancelledError:
            cancelled.append("slow")
            raise

    sub = Dag()
    sub.node(slow)
    dag = Dag()
    dag.node(sub, "sub", timeout=0.02)
    result = await dag()
    assert result.error == "TimeoutError: sub took longer than its timeout of 0.02 s"
    assert cancelled == ["slow"]


# --- context and resources ------------------------------------------------------------------


class Client:
    def __init__(self) -> None:
        self.open = 0
        self.closed = 0

    def __enter__(self) -> Client:
        self.open += 1
        return self

    def __exit__(self, *_: object) -> None:
        self.closed += 1


class ShopContext(DagContext):
    client: Client


async def test_the_context_is_the_first_parameter_with_the_facts_of_the_run() -> None:
    seen: list[DagContext] = []

    def step(ctx: ShopContext, number: int) -> int:
        seen.append(ctx)
        return number + ctx.client.open

    sub = Dag()
    sub.node(step)
    dag = Dag()
    dag.node(one) >> dag.node(sub, "inner")
    client = Client()
    runner = DagRunner(dag, resources={"client": client})
    result = (await runner.run(dag_nsref="shop:daily")).raise_for_status()
    assert result.outputs == {"inner": 2}
    (ctx,) = seen
    assert (ctx.dag_nsref, ctx.node_label, ctx.attempt) == ("shop:daily", "step", 1)
    assert ctx.run_id != result.run_id  # that of the run inside
    assert (client.open, client.closed) == (1, 1)


async def test_resources_fill_parameters_of_their_name_and_are_closed_whatever_happens() -> None:
    log: list[str] = []

    @asynccontextmanager
    async def pool() -> AsyncGenerator[str]:
        log.append("open")
        yield "pool"
        log.append("closed")

    @contextmanager
    def lock() -> Iterator[str]:
        log.append("locked")
        try:
            yield "lock"
        finally:
            log.append("unlocked")

    def use(number: int, pool: str, lock: str, plain: list[int]) -> None:
        log.append(f"{number} {pool} {lock} {plain}")
        raise ValueError("after all")

    dag = Dag()
    dag.node(one) >> dag.node(use)
    runner = DagRunner(dag, resources={"pool": pool(), "lock": lock(), "plain": [7]})
    assert (await runner.run()).status == "failed"
    assert log == ["open", "locked", "1 pool lock [7]", "unlocked", "closed"]


async def test_a_resource_that_nobody_takes_is_an_error() -> None:
    def use(client: Client) -> int:
        return client.open

    dag = Dag()
    dag.node(use)
    with pytest.raises(DagError, match="no node takes the resource 'clint'; did you mean 'client'"):
        await DagRunner(dag, resources={"clint": Client()}).run()


async def test_a_resource_leaves_the_other_parameter_to_the_value() -> None:
    def price(item: str, client: Client) -> str:
        return f"{item}{client.open}"

    def items() -> list[str]:
        return ["a", "b"]

    dag = Dag()
    dag.node(items) >> dag.map(price)
    result = await DagRunner(dag, resources={"client": Client()}).run()
    assert result.outputs == {"price": ["a1", "b1"]}


async def test_log_records_know_their_run_and_node(caplog: pytest.LogCaptureFixture) -> None:
    def speaks(number: int) -> None:
        logging.getLogger("app").info("hello %d", number)

    async def speaks_too(number: int) -> None:
        logging.getLogger("app").info("hello %d", number)

    caplog.set_level("INFO", "app")
    caplog.handler.addFilter(LogContext())
    dag = Dag()
    first = dag.node(one)
    first >> dag.node(speaks)
    first >> dag.node(speaks_too)
    result = await dag()
    logging.getLogger("app").info("outside")
    found = {(r.__dict__["run_id"], r.__dict__["node_label"]) for r in caplog.records}
    assert found == {(result.run_id, "speaks"), (result.run_id, "speaks_too"), ("-", "-")}


# --- parts of a graph -----------------------------------------------------------------------


async def test_targets_run_only_what_they_need() -> None:
    calls: list[str] = []

    def fetch(url: str) -> str:
        calls.append("fetch")
        return url

    def clean(page: str) -> str:
        calls.append("clean")
        return page.strip()

    def publish(page: str) -> None:
        calls.append("publish")

    def other(key: str) -> None:
        calls.append("other")

    dag = Dag()
    dag.node(fetch) >> dag.node(clean) >> dag.node(publish)
    dag.node(other)
    runner = DagRunner(dag)
    result = await runner.run({"fetch": {"url": " x "}}, targets=[clean])
    assert result.outputs == {"clean": "x"}
    assert calls == ["fetch", "clean"]
    with pytest.raises(DagError, match="no node 'cleen'; did you mean 'clean'"):
        await runner.run(targets=["cleen"])


async def test_overrides_replace_nodes_and_what_only_they_need() -> None:
    calls: list[str] = []

    def login(password: str) -> float:
        calls.append("login")
        return 1.0

    def fetch(session: float) -> str:
        calls.append("fetch")
        return "real"

    def shout(page: str) -> str:
        return page.upper()

    dag = Dag()
    dag.node(login) >> dag.node(fetch) >> dag.node(shout)
    result = await DagRunner(dag).run(overrides={"fetch": "fake"})
    assert result.outputs == {"shout": "FAKE"}
    assert calls == []
    assert result.node_statuses == {"fetch": "skipped", "shout": "completed"}
    wrong = await DagRunner(dag).run(overrides={"fetch": 7})
    assert wrong.error == "WiringError: the edge fetch -> shout.page expects str, got int: 7"


# --- pausing --------------------------------------------------------------------------------


async def test_a_pause_lets_nodes_end_and_begins_no_others() -> None:
    dag = Dag()
    runner = DagRunner(dag)
    ended: list[str] = []

    def first() -> int:
        runner.pause()
        ended.append("first")
        return 1

    def second(number: int) -> None:
        ended.append("second")

    dag.node(first) >> dag.node(second)
    result = await runner.run()
    assert (result.status, ended) == ("paused", ["first"])
    assert result.node_statuses == {"first": "completed", "second": "pending"}
    assert result["first"] == 1


async def test_a_node_can_ask_for_a_pause_from_inside_of_a_map() -> None:
    seen: list[int] = []

    def numbers() -> list[int]:
        return [1, 2, 3]

    def step(number: int) -> int:
        seen.append(number)
        if number == 2:
            raise DagPause("wait for approval")
        return number

    dag = Dag()
    dag.node(numbers) >> dag.map(step, concurrency=1)
    result = await dag()
    assert (result.status, seen) == ("paused", [1, 2])
    assert result.node_statuses["step"] == "pending"
    assert result.error is None


async def test_a_pause_does_not_wait_for_the_next_attempt() -> None:
    dag = Dag()
    runner = DagRunner(dag)

    def fails() -> None:
        asyncio.get_running_loop  # noqa: B018 - a thread has no loop; nothing is called
        runner.pause()
        raise OSError("once")

    dag.node(fails, retry=Retry(2, backoff=60))
    result = await asyncio.wait_for(runner.run(), 10)
    assert (result.status, result.node_statuses) == ("paused", {"fails": "pending"})


async def test_a_pause_when_nothing_runs_does_nothing() -> None:
    dag = Dag()
    dag.node(one)
    runner = DagRunner(dag)
    runner.pause()
    assert (await runner.run()).status == "completed"


# --- progress -------------------------------------------------------------------------------


async def test_progress_hears_of_everything_on_the_loop() -> None:
    events: list[Event] = []
    threads: set[int] = set()

    def progress(event: Event) -> None:
        events.append(event)
        threads.add(threading.get_ident())

    def numbers() -> list[int]:
        return [1, 2]

    dag = Dag()
    dag.node(numbers) >> dag.map(plus_one)
    result = await DagRunner(dag, progress=progress).run()
    assert threads == {threading.get_ident()}
    names = [type(event).__name__ for event in events if event.run_id == result.run_id]
    assert names == [
        "RunStarted",
        "NodeStarted",
        "NodeCompleted",
        "NodeStarted",
        "NodeExpanded",
        "NodeCompleted",
        "RunFinished",
    ]
    (expanded,) = [event for event in events if isinstance(event, NodeExpanded)]
    assert expanded.keys == ("0", "1")


async def test_progress_that_raises_is_logged_once_and_harms_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def progress(event: Event) -> None:
        raise RuntimeError("no terminal")

    dag = Dag()
    dag.node(one) >> dag.node(plus_one)
    assert (await DagRunner(dag, progress=progress).run()).outputs == {"plus_one": 2}
    assert len([r for r in caplog.records if "the run goes on" in r.message]) == 1


# --- executors ------------------------------------------------------------------------------


def process_id(number: int) -> int:
    return os.getpid()


def fails_far_away(number: int) -> None:
    raise LookupError("far away")


async def test_sync_functions_run_in_an_executor_and_others_do_not() -> None:
    async def here(pid: int) -> bool:
        return pid != os.getpid()

    dag = Dag()
    dag.node(inline(lambda: 1), "start")
    dag.edge("start", dag.node(process_id), param="number")
    dag.edge("process_id", dag.node(here), param="pid")
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=FORKING) as executor:
        result = await DagRunner(dag, executor=executor).run()
        assert result.raise_for_status().outputs == {"here": True}
        dag = Dag()
        dag.node(fails_far_away)
        failed = await DagRunner(dag, executor=executor).run({"fails_far_away": {"number": 1}})
        assert failed.error == "LookupError: far away"


async def test_what_cannot_travel_is_told_before_the_run() -> None:
    calls: list[int] = []

    def local() -> int:
        calls.append(1)
        return 1

    def with_context(ctx: DagContext, number: int) -> int:
        return number

    dag = Dag()
    dag.node(local) >> dag.node(with_context)
    with (
        concurrent.futures.ThreadPoolExecutor(1) as executor,
        pytest.raises(DagError) as caught,
    ):
        await DagRunner(dag, executor=executor).run()
    text = str(caught.value)
    assert "local: an executor finds functions by their name" in text
    assert "with_context: the context 'ctx' cannot travel to an executor" in text
    assert calls == []


# --- concurrency ----------------------------------------------------------------------------


async def test_a_limit_holds_for_nodes_inside_of_nodes_and_nothing_deadlocks() -> None:
    running = most = 0
    lock = threading.Lock()

    def step(number: int) -> int:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.001)
        with lock:
            running -= 1
        return number

    def numbers() -> list[int]:
        return list(range(10))

    sub = Dag()
    sub.node(numbers) >> sub.map(step)
    dag = Dag()
    for at in range(3):
        dag.node(sub, f"sub{at}")
    result = await DagRunner(dag, max_concurrency=2).run()
    assert result.status == "completed"
    assert most == 2


async def test_a_chain_of_a_thousand_nodes_runs() -> None:
    dag = Dag()
    last = dag.node(one)
    for at in range(999):
        step = dag.node(inline(lambda number: number + 1), f"n{at}")
        last >> step
        last = step
    assert (await dag()).outputs == {"n998": 1000}


async def test_an_override_of_a_map_needs_nothing_of_what_is_inside() -> None:
    def numbers() -> list[int]:
        return [1, 2]

    def times(number: int, by: int = 1) -> int:
        return number * by

    def first(number: int) -> int:
        return number

    def second(number: int, by: int) -> int:
        return number * by

    inner = Dag()
    inner.edge(inner.node(first), inner.node(second), param="number")
    dag = Dag()
    dag.node(numbers) >> dag.map(inner, "all") >> dag.node(sum, "total")
    runner = DagRunner(dag)
    with pytest.raises(DagError, match="the input 'by' of all/second is missing"):
        await runner.run()
    assert (await runner.run(overrides={"all": [5, 6]})).outputs == {"total": 11}


async def test_nodes_are_overridden_by_their_function_too() -> None:
    dag = Dag()
    dag.node(one) >> dag.node(plus_one)
    result = await DagRunner(dag).run(overrides={one: 41})
    assert result.outputs == {"plus_one": 42}
    assert result.node_statuses == {"one": "skipped", "plus_one": "completed"}
    with pytest.raises(UnknownName, match="no node 'on'; did you mean 'one'"):
        await DagRunner(dag).run(overrides={"on": 1})


# --- what nodes may do to their run -----------------------------------------------------------


class Abort(BaseException):
    pass


@pytest.mark.parametrize("kind", [SystemExit, asyncio.CancelledError, Abort])
@pytest.mark.parametrize("where", ["thread", "loop", "inline"])
async def test_exceptions_of_every_kind_fail_their_node(
    where: str, kind: type[BaseException]
) -> None:
    def plain() -> int:
        raise kind("on purpose")

    async def on_loop() -> int:
        raise kind("on purpose")

    dag = Dag()
    dag.node({"thread": plain, "loop": on_loop, "inline": inline(plain)}[where], "step")
    dag.node(one)
    result = await dag()
    assert result.node_statuses == {"step": "failed", "one": "completed"}
    assert result.error == f"{kind.__name__}: on purpose"


@pytest.mark.parametrize("kind", [KeyboardInterrupt, GeneratorExit])
async def test_in_a_thread_these_are_the_nodes_own(kind: type[BaseException]) -> None:
    def step() -> int:
        raise kind("on purpose")

    dag = Dag()
    dag.node(step)
    assert (await dag()).error == f"{kind.__name__}: on purpose"


def test_a_keyboard_interrupt_on_the_loop_ends_the_run() -> None:
    async def step() -> int:
        raise KeyboardInterrupt

    dag = Dag()
    dag.node(step)
    listening = Listening()
    with pytest.raises(KeyboardInterrupt):
        DagRunner(dag, listening).run_sync()
    assert [event.status for event in listening.of(RunFinished)] == ["failed"]


async def test_an_exception_that_takes_no_notes_is_told_without() -> None:
    def odd(number: int) -> int:
        error = ValueError("odd")
        error.__notes__ = 3  # type: ignore[assignment]
        raise error

    dag = Dag()
    dag.map(odd)
    assert (await dag(number=[1])).error == "ValueError: odd"


async def test_an_exception_that_many_elements_share_is_told_of_few() -> None:
    shared = ValueError("the same")

    async def step(number: int) -> int:
        raise shared

    dag = Dag()
    dag.map(step, on_error="collect")
    result = await dag(number=list(range(300)))
    assert {failed.error for failed in result.outputs["step"]} == {shared}
    assert len(shared.__notes__) == 10


async def test_a_node_on_the_loop_that_never_lets_go_is_too_slow_as_well() -> None:
    @inline
    def busy() -> int:
        end = time.monotonic() + 0.02
        while time.monotonic() < end:
            pass
        return 1

    dag = Dag()
    dag.node(busy, timeout=0.01)
    assert (await dag()).error == "TimeoutError: busy took longer than its timeout of 0.01 s"


async def test_nothing_begins_behind_a_node_that_ignores_its_cancellation() -> None:
    begun = asyncio.Event()
    calls: list[str] = []

    async def stubborn() -> int:
        begun.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            calls.append("ignored")
        return 1

    async def after(number: int) -> int:
        calls.append("after")
        return number

    dag = Dag()
    dag.node(stubborn) >> dag.node(after)
    listening = Listening()
    running = asyncio.ensure_future(DagRunner(dag, listening).run())
    await begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert calls == ["ignored"]
    (finished,) = listening.of(RunFinished)
    assert finished.status == "cancelled"


async def test_a_node_that_waits_for_its_next_attempt_is_cancelled_with_its_run() -> None:
    failed = asyncio.Event()

    class Telling(Listening):
        def emit(self, *events: Event) -> None:
            super().emit(*events)
            if any(isinstance(event, AttemptFailed) for event in events):
                failed.set()

    async def step() -> int:
        raise OSError

    dag = Dag()
    dag.node(step, retry=Retry(2, backoff=60))
    listening = Telling()
    running = asyncio.ensure_future(DagRunner(dag, listening).run())
    await failed.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    (ended,) = listening.of(NodesEnded)
    assert ([node.label for node in ended.nodes], ended.status) == (["step"], "cancelled")


# --- size ---------------------------------------------------------------------------------------


async def test_a_long_map_has_few_tasks_and_little_memory_at_a_time() -> None:
    most = 0

    async def step(number: int) -> int:
        nonlocal most
        if number % 500 == 0:
            most = max(most, len(asyncio.all_tasks()))
        await asyncio.sleep(0)
        return number

    dag = Dag()
    dag.map(step, concurrency=8)
    numbers = list(range(3_000))
    runner = DagRunner(dag)
    await runner.run({"step": {"number": [1]}})
    tracemalloc.start()
    try:
        result = await runner.run({"step": {"number": numbers}})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.outputs == {"step": numbers}
    assert most <= 2 * 8 + 3
    assert peak / len(numbers) < 400  # bytes


async def test_thousands_of_elements_at_once_run() -> None:
    async def step(number: int) -> int:
        await asyncio.sleep(0)
        return number

    dag = Dag()
    dag.map(step)
    numbers = list(range(2_000))
    assert (await dag(number=numbers)).outputs == {"step": numbers}


async def test_a_hundred_dags_inside_each_other_run_and_are_drawn() -> None:
    inner = Dag()
    inner.node(plus_one)
    for number in range(100):
        outer = Dag()
        outer.node(inner, f"level{number}")
        inner = outer
    assert (await inner(number=1)).outputs == {"level99": 2}
    assert "level99" in inner.draw()
    assert "level0" in inner.explain()
    assert "plus_one" in inner.to_mermaid()


async def test_a_fan_out_of_two_thousand_runs() -> None:
    dag = Dag()
    start = dag.node(inline(one), "start")
    end = dag.node(total)
    for number in range(2_000):
        start >> dag.node(inline_plus_one, f"n{number}") >> end
    assert (await dag()).outputs == {"total": 4_000}


@inline
def inline_plus_one(number: int) -> int:
    return number + 1


@inline
def total(numbers: list[int]) -> int:
    return sum(numbers)


# --- resources ------------------------------------------------------------------------------------


async def test_what_a_contextmanager_made_is_entered_anew_for_each_run() -> None:
    opened: list[str] = []

    @contextmanager
    def opening(name: str) -> Iterator[str]:
        opened.append(name)
        yield name
        opened.append(f"{name} closed")

    @asynccontextmanager
    async def opening_async(name: str) -> AsyncGenerator[str]:
        opened.append(name)
        yield name

    def step(client: str, pool: str) -> str:
        return client + pool

    dag = Dag()
    dag.node(step)
    runner = DagRunner(dag, resources={"client": opening("a"), "pool": opening_async("b")})
    for _ in range(2):
        assert (await runner.run()).outputs == {"step": "ab"}
    assert opened == ["a", "b", "a closed"] * 2


async def test_a_resource_that_cannot_be_opened_or_closed_is_told_to_whoever_runs() -> None:
    class Broken:
        def __init__(self, at: str) -> None:
            self.at = at

        def __enter__(self) -> str:
            if self.at == "open":
                raise OSError("cannot open")
            return "client"

        def __exit__(self, *_: object) -> None:
            raise OSError("cannot close")

    def step(client: str) -> str:
        return client

    dag = Dag()
    dag.node(step)
    listening = Listening()
    with pytest.raises(OSError, match="cannot open"):
        await DagRunner(dag, listening, resources={"client": Broken("open")}).run()
    assert not listening.events
    with pytest.raises(OSError, match="cannot close"):
        await DagRunner(dag, listening, resources={"client": Broken("close")}).run()
    assert [event.status for event in listening.of(RunFinished)] == ["completed"]


class MarketContext(DagContext):
    client: str
    currency: str = "EUR"


async def test_a_field_of_a_context_that_nothing_fills_is_told_before_the_run() -> None:
    def step(ctx: MarketContext) -> str:
        return ctx.client + ctx.currency

    dag = Dag()
    dag.node(step)
    message = "step takes a MarketContext, whose field 'client' is not filled; give resources="
    with pytest.raises(DagError, match=message):
        await dag()
    runner = DagRunner(dag, resources={"client": "c"})
    assert (await runner.run()).outputs == {"step": "cEUR"}


async def test_progress_that_cancels_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    def progress(event: Event) -> None:
        raise asyncio.CancelledError

    dag = Dag()
    dag.node(one)
    assert (await DagRunner(dag, progress=progress).run()).outputs == {"one": 1}
    assert len(caplog.records) == 1


async def test_a_coroutine_that_is_handed_out_too_late_is_closed() -> None:
    begun, go_on = threading.Event(), threading.Event()

    async def never() -> int:
        return 1

    handed = never()

    def step() -> Any:
        begun.set()
        go_on.wait(10)
        return handed

    dag = Dag()
    dag.node(step)
    running = asyncio.ensure_future(dag())
    await asyncio.to_thread(begun.wait, 10)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    go_on.set()
    async with asyncio.timeout(10):
        while inspect.getcoroutinestate(handed) != inspect.CORO_CLOSED:  # noqa: ASYNC110
            await asyncio.sleep(0.001)
