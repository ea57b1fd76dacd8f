"""A run: what runs at once, what a failure and a cancellation leave, what the result tells."""

import asyncio
import contextvars
import itertools
import re
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest

from lythonic_compose import (
    ComposeError,
    Dag,
    DagError,
    DagRunner,
    Event,
    NodeCompleted,
    NodeFailed,
    NodesEnded,
    NodeStarted,
    RunFailed,
    RunFinished,
    RunStarted,
    UnknownName,
    WiringError,
    WrongKind,
    WrongRunState,
    dag_factory,
    inline,
)


class Heard:
    """A listener that keeps what it is told."""

    def __init__(self, blocking: bool = False) -> None:
        self.blocking = blocking
        self.events: list[Event] = []
        self.threads: list[threading.Thread] = []

    def emit(self, *events: Event) -> None:
        self.events += events
        self.threads.append(threading.current_thread())

    def try_emit(self, *events: Event) -> bool:
        """Whoever is blocking always sends the runner to a thread."""
        if self.blocking:
            return False
        self.emit(*events)
        return True

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def ended(self) -> dict[str, str]:
        return {node.label: event.status for event in self.of(NodesEnded) for node in event.nodes}


def one() -> int:
    return 1


def double(x: int) -> int:
    return x * 2


def text(x: int) -> str:
    return str(x)


def broken(x: int) -> float:
    raise LookupError(f"no {x}")


# --- concurrency ----------------------------------------------------------------------------


def meeting(parties: int, is_async: bool) -> Callable[[], Any]:
    """A function that returns when so many of its calls are there at the same time."""
    if not is_async:
        barrier = threading.Barrier(parties, timeout=30)

        def meet() -> None:
            barrier.wait()

        return meet
    here = itertools.count(1)
    all_here = asyncio.Event()

    async def meet_async() -> None:
        if next(here) == parties:
            all_here.set()
        await asyncio.wait_for(all_here.wait(), 30)

    return meet_async


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("blocking", [False, True])
async def test_independent_branches_run_at_once(is_async: bool, blocking: bool) -> None:
    meet, heard, dag = meeting(4, is_async), Heard(blocking), Dag()
    for number in range(4):
        dag.node(meet, f"branch{number}")

    result = await DagRunner(dag, heard).run()

    assert result.raise_for_status().status == "completed"
    kinds = [type(event) for event in heard.events]
    assert kinds == [RunStarted] + [NodeStarted] * 4 + [NodeCompleted] * 4 + [RunFinished]


async def test_a_node_starts_as_soon_as_its_own_inputs_are_there() -> None:
    fast_done = threading.Event()

    def slow() -> str:
        assert fast_done.wait(30)  # the branch beside it gets to its end first
        return "slow"

    @inline
    def after_fast(x: int) -> None:
        fast_done.set()

    dag = Dag()
    dag.node(slow)
    dag.node(one) >> dag.node(after_fast)

    assert (await dag()).raise_for_status().outputs == {"slow": "slow", "after_fast": None}


async def test_no_more_nodes_run_at_once_than_are_allowed() -> None:
    running, most = 0, 0

    async def busy() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0)
        running -= 1

    dag = Dag()
    for number in range(6):
        dag.node(busy, f"busy{number}")

    (await DagRunner(dag, max_concurrency=2).run()).raise_for_status()
    assert most == 2
    with pytest.raises(DagError, match="at least one"):
        DagRunner(dag, max_concurrency=0)


async def test_each_kind_of_function_runs_where_it_should() -> None:
    loop_thread = threading.current_thread()
    name = contextvars.ContextVar("name", default="")
    name.set("carried over")

    def in_a_thread() -> tuple[bool, str]:
        return threading.current_thread() is loop_thread, name.get()

    @inline
    def on_the_loop() -> tuple[bool, str]:
        return in_a_thread()

    async def coroutine() -> tuple[bool, str]:
        return in_a_thread()

    def hands_out_a_coroutine() -> Any:
        return coroutine()

    dag = Dag()
    for function in (in_a_thread, on_the_loop, coroutine, hands_out_a_coroutine):
        dag.node(function)
    dag.node(partial(on_the_loop), "partial")
    result = (await dag()).raise_for_status()

    assert {label: thread for label, (thread, _) in result.outputs.items()} == {
        "in_a_thread": False,
        "on_the_loop": True,
        "coroutine": True,
        "hands_out_a_coroutine": True,
        "partial": True,
    }
    assert {carried for _, carried in result.outputs.values()} == {"carried over"}


async def test_a_listener_that_may_wait_is_never_told_on_the_loop() -> None:
    async def coroutine(x: int) -> int:
        return x

    @inline
    def light(x: int) -> None: ...

    heard, dag = Heard(blocking=True), Dag()
    dag.node(one) >> dag.node(coroutine) >> dag.node(light)
    (await DagRunner(dag, heard).run()).raise_for_status()

    assert threading.current_thread() not in heard.threads


async def test_what_happened_to_sync_nodes_is_told_in_the_threads_that_run_them() -> None:
    ran_in: list[threading.Thread] = []

    def note() -> int:
        ran_in.append(threading.current_thread())
        return 1

    def note_again(x: int) -> None:
        ran_in.append(threading.current_thread())

    heard, dag = Heard(blocking=True), Dag()
    dag.node(note) >> dag.node(note_again)
    await DagRunner(dag, heard).run()

    assert heard.threads[:2] == ran_in


@pytest.mark.parametrize("light", [True, False])
async def test_an_end_is_told_with_the_start_that_follows_it(light: bool) -> None:
    """Each telling is a transaction: n + 1 of them for a chain of n nodes, not 2n + 2."""

    class Counts(Heard):
        def __init__(self) -> None:
            super().__init__()
            self.told: list[list[str]] = []

        def emit(self, *events: Event) -> None:
            super().emit(*events)
            self.told.append([type(event).__name__ for event in events])

    step = inline(lambda x: x) if light else (lambda x: x)
    heard, dag = Counts(), Dag()
    dag.node(step, "a") >> dag.node(step, "b") >> dag.node(step, "c")
    (await DagRunner(dag, heard).run({"a": {"x": 1}})).raise_for_status()

    assert heard.told == [
        ["RunStarted", "NodeStarted"],
        ["NodeCompleted", "NodeStarted"],
        ["NodeCompleted", "NodeStarted"],
        ["NodeCompleted", "RunFinished"],
    ]


async def test_an_end_is_told_at_once_where_nothing_follows_soon() -> None:
    ended = asyncio.Event()

    class Waits(Heard):
        def emit(self, *events: Event) -> None:
            super().emit(*events)
            if any(isinstance(event, NodeCompleted) for event in events):
                ended.set()

    async def slow() -> None:
        await asyncio.wait_for(ended.wait(), 10)

    heard, dag = Waits(), Dag()
    dag.node(inline(one), "quick")
    dag.node(slow)
    assert (await DagRunner(dag, heard).run()).status == "completed"


async def test_a_long_chain_and_a_wide_graph_run() -> None:
    @inline
    def step(x: int) -> int:
        return x + 1

    @inline
    def total(xs: list[int]) -> int:
        return sum(xs)

    dag = Dag()
    node = dag.node(inline(partial(one)), "n0")
    for number in range(1, 300):
        node = node >> dag.node(step, f"n{number}")
    wide = [dag.node(step, f"w{number}") for number in range(100)]
    node >> wide >> dag.node(total)

    assert (await dag()).raise_for_status()[total] == 301 * 100


# --- failure --------------------------------------------------------------------------------


def failing_dag() -> Dag:
    """one -> broken -> behind -> far_behind, and one -> double -> beside."""
    dag = Dag()
    start = dag.node(one)
    behind = dag.node(lambda: None, "behind")
    start >> dag.node(broken) >> behind >> dag.node(lambda: None, "far_behind")
    start >> dag.node(double) >> dag.node(text, "beside")
    dag.edge("broken", "behind", order_only=True)
    return dag


async def test_branches_that_do_not_need_a_failed_node_finish() -> None:
    heard = Heard()
    result = await DagRunner(failing_dag(), heard).run()

    assert result.status == "failed"
    assert result.failed_node == "broken"
    assert result.error == "LookupError: no 1"
    assert isinstance(result.exception, LookupError)
    assert result.outputs == {"beside": "2"}
    assert result.node_statuses == {
        "one": "completed",
        "broken": "failed",
        "double": "completed",
        "behind": "upstream_failed",
        "beside": "completed",
        "far_behind": "upstream_failed",
    }
    assert heard.ended() == {"behind": "upstream_failed", "far_behind": "upstream_failed"}
    (finished,) = heard.of(RunFinished)
    assert (finished.status, finished.failed_node) == ("failed", "broken")


async def test_a_failed_run_raises_when_asked_with_the_nodes_error_as_the_cause() -> None:
    result = await failing_dag()()

    with pytest.raises(RunFailed, match="failed at 'broken': LookupError: no 1") as caught:
        result.raise_for_status()
    assert caught.value.__cause__ is result.exception
    assert isinstance(caught.value, RuntimeError)
    with pytest.raises(WrongRunState, match="it is upstream_failed, since 'broken' failed"):
        result["behind"]


@pytest.mark.parametrize("error", [ValueError, SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize("kind", ["thread", "inline", "async"])
async def test_whatever_a_node_raises_fails_it_and_the_run(
    error: type[BaseException], kind: str
) -> None:
    def sync() -> None:
        raise error("x")

    async def coroutine() -> None:
        raise error("x")

    dag = Dag()
    if kind == "inline":
        inline(sync)
    dag.node(coroutine if kind == "async" else sync, "node")
    result = await dag()

    assert (result.status, result.failed_node) == ("failed", "node")
    assert type(result.exception) is error


async def test_a_coroutine_that_a_plain_function_hands_out_may_fail_too() -> None:
    async def fails() -> int:
        raise LookupError("late")

    def hands_out() -> Any:
        return fails()

    dag = Dag()
    dag.node(hands_out) >> dag.node(double)
    result = await dag()

    assert result.error == "LookupError: late"
    assert result.node_statuses == {"hands_out": "failed", "double": "upstream_failed"}


async def test_a_value_of_another_type_fails_its_edge_and_names_everything() -> None:
    def liar() -> int:
        return "one"  # type: ignore[return-value]

    heard, dag = Heard(), Dag()
    dag.node(liar) >> dag.node(double)
    result = await DagRunner(dag, heard).run()

    assert result.failed_node == "double"
    assert isinstance(result.exception, WiringError)
    assert isinstance(result.exception, ValueError)
    assert str(result.exception) == "the edge liar -> double.x expects int, got str: 'one'"
    assert [event.node.label for event in heard.of(NodeStarted)] == ["liar"]
    assert [event.node.label for event in heard.of(NodeFailed)] == ["double"]


async def test_a_wrong_value_in_a_fan_in_names_the_node_that_it_came_from() -> None:
    def liar() -> int:
        return None  # type: ignore[return-value]

    def total(xs: list[int]) -> int:
        return sum(xs)

    dag = Dag()
    [dag.node(one), dag.node(liar)] >> dag.node(total)
    result = await dag()

    assert result.error is not None
    assert "the edge liar -> total.xs expects int, got NoneType: None" in result.error


async def test_a_listener_that_breaks_ends_the_run_and_is_not_taken_for_a_node() -> None:
    class Breaks(Heard):
        def emit(self, *events: Event) -> None:
            super().emit(*events)
            if any(isinstance(event, NodeCompleted) for event in events):
                raise OSError("disk full")

    dag = Dag()
    dag.node(one) >> dag.node(double)
    for blocking in (False, True):
        heard = Breaks(blocking)
        with pytest.raises(OSError, match="disk full"):
            await DagRunner(dag, heard).run()
        assert heard.of(RunFinished)[0].status == "failed"


async def test_a_listener_that_always_breaks_is_told_by_its_first_error() -> None:
    class Broken(Heard):
        def emit(self, *events: Event) -> None:
            super().emit(*events)
            raise OSError(f"number {len(self.events)}")

    dag = Dag()
    dag.node(one)
    with pytest.raises(OSError, match="number 2"):  # the run's start with that of its first node
        await DagRunner(dag, Broken()).run()


# --- cancellation ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["thread", "async"])
@pytest.mark.parametrize("blocking", [False, True])
async def test_a_cancelled_run_is_told_as_such_and_late_results_are_not(
    kind: str, blocking: bool
) -> None:
    started, go_on, ended = asyncio.Event(), threading.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hangs() -> int:
        loop.call_soon_threadsafe(started.set)
        go_on.wait(30)
        loop.call_soon(ended.set)
        return 1

    async def hangs_async() -> int:
        started.set()
        await asyncio.Event().wait()
        return 1

    heard, dag = Heard(blocking), Dag()
    dag.node(hangs if kind == "thread" else hangs_async, "hangs") >> dag.node(double)
    task = asyncio.ensure_future(DagRunner(dag, heard).run())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    assert heard.ended() == {"hangs": "cancelled", "double": "cancelled"}
    assert heard.of(RunFinished)[0].status == "cancelled"
    go_on.set()
    if kind == "thread":
        await asyncio.to_thread(ended.wait, 30)
    assert heard.of(NodeCompleted) == []


# --- what is given and what comes back ------------------------------------------------------


async def test_clock_and_ids_come_in_as_arguments() -> None:
    ticks = (datetime(2026, 1, 31, tzinfo=UTC) + timedelta(seconds=n) for n in itertools.count())
    heard, dag = Heard(), Dag()
    dag.node(one)
    runner = DagRunner(dag, heard, clock=lambda: next(ticks), new_id=lambda: "run-1")
    result = await runner.run(dag_nsref="tests:one", parent_run_id="run-0")

    assert result.run_id == "run-1"
    assert [event.at.second for event in heard.events] == [0, 1, 2, 3]
    (began,) = heard.of(RunStarted)
    assert (began.dag_nsref, began.parent_run_id) == ("tests:one", "run-0")


def calls_add() -> Dag:
    def add(x: int, y: int, z: int = 0) -> int:
        return x + y + z

    dag = Dag()
    dag.node(one) >> dag.node(add)
    dag.edge("one", "add", param="x")
    return dag


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({}, "the input 'y' of add is missing"),
        ({"add": {"y": 1, "x": 2}}, "add.x is given, but one feeds it"),
        ({"ad": {"y": 1}}, "unknown node 'ad'; did you mean 'add'?"),
        ({"add": {"y": 1, "zz": 1}}, "add takes no parameter 'zz'; did you mean 'z'?"),
    ],
)
async def test_wrong_inputs_are_told_before_anything_starts(
    given: dict[str, Any], problem: str
) -> None:
    heard = Heard()
    with pytest.raises(DagError) as caught:
        await DagRunner(calls_add(), heard).run(source_inputs=given)
    assert problem in str(caught.value)
    assert heard.events == []


async def test_inputs_are_given_by_name_or_by_node() -> None:
    dag = calls_add()

    assert (await dag(y=1)).outputs == {"add": 2}
    assert (await dag(add={"y": 1, "z": 5})).outputs == {"add": 7}
    assert (await dag(y=1, z=5)).outputs == {"add": 7}


@pytest.mark.parametrize(
    ("inputs", "problem", "kind"),
    [
        ({"yy": 1}, "nothing takes the input 'yy'; did you mean 'y'?", KeyError),
        ({"x": 1}, "no input 'x': add.x is fed by an edge", KeyError),
        ({"add": 3}, "'add' is a node: give its inputs as add={", ValueError),
    ],
)
async def test_a_name_that_nothing_takes_is_told_with_the_nearest(
    inputs: dict[str, Any], problem: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        await calls_add()(**inputs)
    assert problem in str(caught.value)
    assert isinstance(caught.value, ComposeError)


async def test_a_name_that_is_a_node_and_a_parameter_is_refused() -> None:
    def other(one: str) -> str:
        return one

    dag = Dag()
    dag.node(one)
    dag.node(other)

    with pytest.raises(DagError, match=r"is a parameter .* and also a node"):
        await dag(one="x")
    result = await DagRunner(dag).run({"other": {"one": "x"}})
    assert result.outputs == {"one": 1, "other": "x"}


async def test_a_result_is_asked_by_label_or_by_function() -> None:
    dag = Dag()
    dag.node(one) >> dag.node(double) >> dag.node(double, "again")
    result = await dag()

    assert result.outputs == {"again": 4}
    assert (result[one], result["double"], result["again"]) == (1, 2, 4)
    with pytest.raises(DagError, match="several nodes run this function: double, again"):
        result[double]
    with pytest.raises(UnknownName, match="no node runs text"):
        result[text]
    with pytest.raises(KeyError, match="no node 'agian'; did you mean 'again'"):
        result["agian"]


async def test_a_dag_runs_from_sync_code_below_a_running_loop() -> None:
    dag = Dag()
    dag.node(one) >> dag.node(double)

    assert dag.run_sync().outputs == {"double": 2}
    assert DagRunner(dag).run_sync().outputs == {"double": 2}


async def test_a_node_may_run_a_dag_of_its_own() -> None:
    inner = Dag()
    inner.node(one) >> inner.node(double)

    def outer() -> int:
        return inner.run_sync()[double]

    dag = Dag()
    for number in range(10):
        dag.node(outer, f"outer{number}")

    assert set((await dag()).outputs.values()) == {2}


async def test_positional_only_parameters_are_wired_like_others() -> None:
    def divide(top: int, bottom: int, /) -> float:
        return top / bottom

    dag = Dag()
    dag.node(one, "bottom") >> dag.node(divide)

    assert (await dag(top=3)).outputs == {"divide": 3.0}


async def test_the_same_dag_runs_many_times_at_once() -> None:
    dag = Dag()
    dag.node(one) >> dag.node(double) >> dag.node(text)

    results = await asyncio.gather(*(dag() for _ in range(20)))
    assert len({result.run_id for result in results}) == 20
    assert {result.outputs["text"] for result in results} == {"2"}


# --- what a runner is made of -------------------------------------------------------------------


async def test_a_runner_takes_a_factory_of_a_dag() -> None:
    @dag_factory
    def made() -> Dag:
        dag = Dag()
        dag.node(one)
        return dag

    assert (await DagRunner(made).run()).outputs == {"one": 1}


def test_a_runner_of_something_else_is_refused() -> None:
    with pytest.raises(WrongKind, match="DagRunner runs a Dag, got <built-in function print>"):
        DagRunner(print)  # type: ignore[arg-type]


@pytest.mark.parametrize("limit", ["4", 2.0, True])
def test_a_limit_is_a_whole_number(limit: Any) -> None:
    with pytest.raises(WrongKind, match=re.escape(f"max_concurrency={limit!r}: a limit is a")):
        DagRunner(Dag(), max_concurrency=limit)
    with pytest.raises(WrongKind, match=re.escape(f"concurrency={limit!r}: a limit is a")):
        Dag().map(one, concurrency=limit)


def test_retries_and_timeouts_of_a_wrong_kind_are_refused_at_once() -> None:
    with pytest.raises(WrongKind, match=r"one: retry=3: write retry=Retry\(3\)"):
        Dag().node(one, retry=3)  # type: ignore[arg-type]
    with pytest.raises(WrongKind, match="one: timeout='5': a timeout is seconds or a timedelta"):
        Dag().node(one, timeout="5")  # type: ignore[arg-type]


async def test_inputs_that_are_no_dict_are_told() -> None:
    dag = Dag()
    dag.node(one)
    with pytest.raises(WrongKind, match="inputs are a dict by node"):
        await DagRunner(dag).run([1])  # type: ignore[arg-type]


async def test_a_node_inside_is_given_its_inputs_by_path() -> None:
    def first(number: int) -> int:
        return number

    def second(number: int, by: int) -> int:
        return number * by

    inner = Dag()
    inner.edge(inner.node(first), inner.node(second), param="number")
    dag = Dag()
    dag.map(inner, "all")
    inputs: dict[str, Any] = {"number": [1, 2], "all/second": {"by": 3}}
    assert (await dag(**inputs)).outputs == {"all": [3, 6]}


async def test_a_function_inside_of_a_map_is_asked_for_by_the_label() -> None:
    def plus_one(number: int) -> int:
        return number + 1

    dag = Dag()
    dag.map(plus_one, "all")
    result = await dag(number=[1])
    assert result["all"] == [2]
    with pytest.raises(UnknownName, match="plus_one runs inside of all; give the label"):
        result[plus_one]


async def test_one_runner_serves_many_loops_and_threads_at_once() -> None:
    def start(number: int) -> list[int]:
        return list(range(number))

    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return number * 2

    dag = Dag()
    dag.node(start) >> dag.map(double, concurrency=2) >> dag.node(sum, "total")
    runner = DagRunner(dag)
    here = [runner.run({"start": {"number": number}}) for number in range(20)]
    there = [
        asyncio.to_thread(runner.run_sync, {"start": {"number": number}}) for number in range(20)
    ]
    results = await asyncio.gather(*here, *there)
    totals = [result.outputs["total"] for result in results]
    assert totals == [number * (number - 1) for number in range(20)] * 2
    assert len({result.run_id for result in results}) == 40
