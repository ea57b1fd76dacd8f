"""Random graphs with nodes that fail, flake and pause, which are cancelled and paused at random:
what is told of a run always makes sense, is the truth, and a restart completes it."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from lythonic_compose import (
    AttemptFailed,
    Dag,
    DagPause,
    DagRunner,
    DagRunResult,
    Event,
    NodeCompleted,
    NodeFailed,
    NodesEnded,
    NodeStarted,
    Retry,
    RunFinished,
    RunResumed,
    RunStarted,
    inline,
)
from tests.compose.memory import Remembering

Fate = Literal["ok", "fail", "flaky", "pause"]


@dataclass(frozen=True)
class Work:
    """What a function does: where it runs, how often it lets others go on, and how it ends."""

    where: Literal["inline", "loop", "thread"]
    turns: int
    fate: Fate


@dataclass(frozen=True)
class Step:
    works: tuple[Work, ...]
    """One is a node; several are a map over as many elements, or a Dag of a chain."""
    shape: Literal["function", "map", "dag"]
    on_error: Literal["fail", "skip", "collect"]
    ups: tuple[int, ...]


@dataclass(frozen=True)
class Case:
    steps: tuple[Step, ...]
    act: Literal["nothing", "cancel", "pause"]
    after: int
    """So many events."""
    most: int | None
    busy: bool = False
    """Whether whoever listens has to wait now and then."""


class World:
    """What the functions of one case do, and what they did."""

    def __init__(self) -> None:
        self.healed = False
        self.calls: list[str] = []
        self.in_threads = 0
        self.failed_once: set[str] = set()
        self.lock = threading.Lock()

    def act(self, name: str, fate: Fate) -> int:
        with self.lock:
            self.calls.append(name)
            first = name not in self.failed_once
            self.failed_once.add(name)
        if not self.healed:
            if fate == "fail" or (fate == "flaky" and first):
                raise OSError(name)
            if fate == "pause":
                raise DagPause(name)
        return 1

    def function(self, name: str, work: Work) -> Callable[[], int]:
        element = self.element(name, (work,))
        if work.where == "loop":

            async def on_loop() -> int:
                result: int = await element(0)
                return result

            return on_loop

        def plain() -> int:
            result: int = element(0)
            return result

        return inline(plain) if work.where == "inline" else plain

    def element(self, name: str, works: tuple[Work, ...]) -> Callable[[int], Any]:
        """For the elements of a map; where they run is what the first work says."""
        where = works[0].where
        if where == "loop":

            async def on_loop(x: int) -> int:
                for _ in range(works[x].turns):
                    await asyncio.sleep(0)
                return self.act(f"{name}[{x}]", works[x].fate)

            return on_loop

        def plain(x: int) -> int:
            return self.act(f"{name}[{x}]", works[x].fate)

        def in_thread(x: int) -> int:
            with self.lock:
                self.in_threads += 1
            try:
                for _ in range(works[x].turns):
                    threading.Event().wait(0.0005)
                return self.act(f"{name}[{x}]", works[x].fate)
            finally:
                with self.lock:
                    self.in_threads -= 1

        return inline(plain) if where == "inline" else in_thread


def described(case: Case, world: World) -> Dag:
    dag = Dag()
    for number, step in enumerate(case.steps):
        label = f"n{number}"
        retry = Retry(2) if any(work.fate == "flaky" for work in step.works) else None
        if step.shape == "map":
            inner = Dag()
            inner.node(world.element(label, step.works), "each", retry=retry)
            dag.map(inner, label, concurrency=2, on_error=step.on_error)
        elif step.shape == "dag":
            inner = Dag()
            for at, work in enumerate(step.works):
                inner.node(world.function(f"{label}.{at}", work), f"w{at}", retry=retry)
                if at:
                    inner.edge(f"w{at - 1}", f"w{at}", order_only=True)
            dag.node(inner, label)
        else:
            dag.node(world.function(label, step.works[0]), label, retry=retry)
        for up in step.ups:
            dag.edge(f"n{up}", label, order_only=True)
    return dag


def inputs_of(case: Case) -> dict[str, dict[str, Any]]:
    return {
        f"n{number}": {"x": list(range(len(step.works)))}
        for number, step in enumerate(case.steps)
        if step.shape == "map"
    }


works = st.builds(
    Work,
    st.sampled_from(["inline", "loop", "thread"]),
    st.integers(0, 3),
    st.sampled_from(["ok", "ok", "ok", "ok", "ok", "fail", "flaky", "pause"]),
)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    steps = [
        Step(
            tuple(draw(st.lists(works, min_size=1, max_size=3))),
            draw(st.sampled_from(["function", "function", "map", "dag"])),
            draw(st.sampled_from(["fail", "skip", "collect"])),
            tuple(draw(st.sets(st.integers(0, number - 1), max_size=2))) if number else (),
        )
        for number in range(draw(st.integers(1, 6)))
    ]
    return Case(
        tuple(steps),
        draw(st.sampled_from(["nothing", "cancel", "pause"])),
        draw(st.integers(1, 30)),
        draw(st.sampled_from([None, None, 1, 2])),
        draw(st.booleans()),
    )


# --- what has to hold -------------------------------------------------------------------------

OVER = ("completed", "failed", "upstream_failed", "cancelled", "pending")


class Story:
    """Follows what is told, event by event, and refuses what makes no sense."""

    def __init__(self) -> None:
        self.status: dict[str, str] = {}
        self.nodes: dict[str, dict[str, str]] = {}
        self.plans: dict[str, Any] = {}
        self.around: dict[str, tuple[str, str]] = {}
        self.attempts: dict[tuple[str, str], int] = {}

    def hear(self, told: Event) -> None:
        run = told.run_id
        if isinstance(told, RunStarted):
            assert run not in self.status
            self.begin(told)
            self.nodes[run] = dict.fromkeys(told.plan.nodes, "pending")
            self.plans[run] = told.plan
            if told.place is not None:
                assert told.parent_run_id == told.place.parent_run_id
                self.around[run] = (told.place.parent_run_id, told.place.label)
            self.is_inside(run)
            return
        if isinstance(told, RunResumed):
            assert self.status[run] in ("paused", "failed", "cancelled")
            self.status[run] = "running"
            for label, status in self.nodes[run].items():
                if label in told.done:
                    assert status == "completed"
                else:
                    self.nodes[run][label] = "pending"
            self.is_inside(run)
            return
        assert self.status[run] == "running", f"{told} after the end of its run"
        nodes = self.nodes[run]
        match told:
            case NodeStarted():
                label = told.node.label
                assert nodes[label] in ("pending", "again")
                ups = {nodes[up] for up in self.plans[run].nodes[label].upstreams}
                assert ups <= {"completed"}, f"{label} began before its upstreams had ended: {ups}"
                self.attempts[run, label] = self.attempts.get((run, label), 0) + 1
                assert told.attempt == self.attempts[run, label]
                nodes[label] = "running"
            case NodeCompleted() | NodeFailed() | AttemptFailed():
                label = told.node.label
                assert nodes[label] == "running"
                assert told.attempt == self.attempts[run, label]
                assert not [child for child in self.inside(run, label) if self.running(child)]
                kind = {NodeCompleted: "completed", NodeFailed: "failed", AttemptFailed: "again"}
                nodes[label] = kind[type(told)]
            case NodesEnded():
                for node in told.nodes:
                    before = nodes[node.label]
                    allowed = {
                        "upstream_failed": ("pending",),
                        "cancelled": ("pending", "running", "again"),
                        "pending": ("running", "again"),
                    }
                    assert before in allowed[told.status], f"{before} -> {told.status}"
                    assert not [c for c in self.inside(run, node.label) if self.running(c)]
                    nodes[node.label] = told.status
                if told.status == "upstream_failed":
                    for node in told.nodes:
                        ups = [nodes[up] for up in node.upstreams]
                        assert {"failed", "upstream_failed"} & set(ups)
            case RunFinished():
                found = set(nodes.values())
                assert not found & {"running", "again"}
                wanted = "completed"
                if "cancelled" in found or told.status == "cancelled":
                    wanted = "cancelled"
                elif "failed" in found:
                    wanted = "failed"
                elif "pending" in found:
                    wanted = "paused"
                assert told.status == wanted
                self.status[run] = told.status
            case _:
                pass

    def begin(self, told: RunStarted) -> None:
        self.status[told.run_id] = "running"

    def is_inside(self, run: str) -> None:
        if run in self.around:
            parent, label = self.around[run]
            assert self.status[parent] == "running"
            assert self.nodes[parent][label] == "running"

    def inside(self, run: str, label: str) -> list[str]:
        return [child for child, around in self.around.items() if around == (run, label)]

    def running(self, run: str) -> bool:
        return self.status[run] == "running"


class Acting(Remembering):
    """Remembers, and does something after so many events."""

    def __init__(self, after: int, act: Callable[[], None], busy: bool) -> None:
        super().__init__()
        self.blocking = busy
        self.asked = 0
        self.after = after
        self.act = act
        self.loop = asyncio.get_running_loop()

    def try_emit(self, *events: Event) -> bool:
        self.asked += 1
        if self.asked % 2:
            self.emit(*events)
        return self.asked % 2 == 1

    def emit(self, *events: Event) -> None:
        if self.blocking and threading.current_thread() is not threading.main_thread():
            threading.Event().wait(0.0005)
        before = len(self.events)
        super().emit(*events)
        if before < self.after <= len(self.events):
            self.loop.call_soon_threadsafe(self.act)


async def quiet(world: World) -> None:
    """Until no thread works on what was cancelled."""
    while world.in_threads:  # noqa: ASYNC110 - threads that nobody hears of any more tell nothing
        await asyncio.sleep(0.001)
    await asyncio.sleep(0.002)


async def lived_through(case: Case) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    world = World()
    dag = described(case, world)

    def act() -> None:
        if case.act == "cancel":
            running.cancel()
        elif case.act == "pause":
            runner.pause()

    heard = Acting(case.after, act, case.busy)
    shown: list[Event] = []
    runner = DagRunner(dag, heard, max_concurrency=case.most, progress=shown.append)
    running = asyncio.ensure_future(runner.run(inputs_of(case)))
    result: DagRunResult | None = None
    try:
        result = await running
    except asyncio.CancelledError:
        assert case.act == "cancel"
    heard.after = 0
    await quiet(world)
    story = Story()
    for told in heard.events:
        story.hear(told)
    root = heard.events[0].run_id
    status = story.status[root]
    event(f"{case.act}: {status}")
    assert not [run for run in story.status if story.running(run)]
    if result is not None:
        assert result.status == status
        assert result.node_statuses == story.nodes[root]
    assert sorted(map(id, shown)) == sorted(map(id, heard.events))
    assert isinstance(shown[0], RunStarted)
    assert isinstance(shown[-1], RunFinished)

    if status != "completed":
        world.healed = True
        world.calls.clear()
        done = {label for label, each in story.nodes[root].items() if each == "completed"}
        so_far = len(heard.events)
        again = await runner.restart(root)
        for told in heard.events[so_far:]:
            story.hear(told)
        assert again.status == "completed" == story.status[root]
        assert again.node_statuses == story.nodes[root]
        done -= set(again.run_again)  # which hold a `Failed`, and that does not come back
        assert not [call for call in world.calls if call.partition("[")[0].split(".")[0] in done]
        assert len(world.calls) == len(set(world.calls))
    own = asyncio.current_task()
    assert not [task for task in asyncio.all_tasks() if task is not own]
    gc.collect()
    await asyncio.sleep(0)
    assert not complaints


A_MAP = Step((Work("thread", 2, "ok"), Work("thread", 0, "fail")), "map", "fail", ())


SMALL = Step((Work("thread", 0, "ok"),), "function", "fail", ())
INLINE = Step((Work("inline", 0, "ok"),), "function", "fail", ())


# the start of the run is told by a thread, and must not be overtaken by what is told on the loop
@example(Case((SMALL, INLINE), "nothing", 1, None, busy=True))
@example(Case((A_MAP,), "cancel", 4, None))
@example(Case((Step((Work("loop", 1, "flaky"),), "function", "fail", ()),), "cancel", 3, None))
@settings(max_examples=max(100, settings().max_examples))
@given(cases())
def test_what_is_told_of_a_run_makes_sense_and_a_restart_completes_it(case: Case) -> None:
    asyncio.run(lived_through(case))
