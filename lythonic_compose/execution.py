"""How does one run of a plan go, node after node?

Takes what is ready, wires it, calls it, and emits what happened; a composite node's runs are runs
of the same tree. Which output feeds which argument is decided in `plan.py`, what runs inside a
node in `composite.py`, what of an earlier run is used again in `resume.py`; what becomes of an
event is the listener's business. How a run is asked for is the business of `dag_runner.py`.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import logging
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias, cast

from .call import in_executor, in_thread, to_the_end
from .composite import Elements, Failed, Part, joined, parts, segment
from .context import DagContext, context_class, fields_of
from .errors import DagPause, WiringError
from .events import (
    AttemptFailed,
    Event,
    Listener,
    NodeCompleted,
    NodeExpanded,
    NodeFailed,
    NodesEnded,
    NodeSkipped,
    NodeStarted,
    NodeStatus,
    Place,
    RunFinished,
    RunResumed,
    RunStarted,
    RunStatus,
    in_short,
)
from .log_context import set_where
from .plan import MapPlan, NodePlan, Plan, SubPlan
from .recall import Memory, OldRun
from .resume import Kept, behind, changed_here, completed_part, kept_of, same_part
from .schedule import Schedule
from .wiring import arguments, inside_of

LOG = logging.getLogger("lythonic_compose")

NODES_IN_A_ROW = 20
"""After so many nodes of a chain, others on the loop have their turn."""

OnChange: TypeAlias = Literal["raise", "rerun", "keep"]
Progress: TypeAlias = Callable[[Event], None]

# --- what the runs of a tree share ----------------------------------------------------------


class Pausing:
    """Whether the runs of a tree are to pause, for the loop that they are on and for threads."""

    def __init__(self) -> None:
        self.begun = False
        self.cut_short = False
        """Whether what is cancelled from now on has only paused."""
        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def begin(self) -> None:
        self.begun = True
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:  # the loop is closed, and the runs have ended with it
            pass

    def on_loop(self, call: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:  # as above
            pass

    async def sleep(self, seconds: float) -> None:
        """Waits so long, or until the pause begins."""
        if seconds > 0:
            try:
                await asyncio.wait_for(self._event.wait(), seconds)
            except TimeoutError:
                pass


@dataclass
class Tree:
    """What a run and all the runs inside it share."""

    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    chance: Callable[[], float]
    listener: Listener | None
    progress: Progress | None
    slots: asyncio.Semaphore | None
    threads: asyncio.Semaphore
    executor: concurrent.futures.Executor | None
    user_ctx: Any
    tenant: str | None
    dag_nsref: str | None
    scheduled_at: datetime | None
    initiated_by: str | None
    namespace: Callable[[], Any]
    pausing: Pausing
    memory: Memory | None
    on_change: OnChange
    resources: Mapping[str, Any] = field(default_factory=dict[str, Any])
    complained: bool = False

    def __post_init__(self) -> None:
        self.heard = self.listener is not None or self.progress is not None


class _Fence:
    """Who ends a node: the first to ask, be it the thread that ran it or a cancellation.

    A thread holds `lock` while it tells of the node, so that nobody ends it in between.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.taken = False
        self.again = False
        """Whether only the attempt has ended, and another one follows."""

    def take(self) -> bool:
        with self.lock:
            first = not self.taken
            self.taken = True
        return first

    async def take_from(self) -> bool:
        """`take` from the loop, where a thread may just be telling."""
        return await in_thread(self.take) if self.lock.locked() else self.take()


@dataclass(frozen=True, slots=True)
class _Again:
    """A node that failed is to be called once more, after so many seconds."""

    seconds: float


# --- one run --------------------------------------------------------------------------------


class Run:
    """One run of a plan; those inside its composite nodes are runs of the same tree."""

    def __init__(
        self,
        tree: Tree,
        plan: Plan,
        given: dict[str, dict[str, Any]],
        run_id: str,
        path: str,
        parent_run_id: str | None,
        *,
        place: Place | None = None,
        kept: Kept | None = None,
        old: OldRun | None = None,
        resuming: bool = False,
    ) -> None:
        self.tree = tree
        self.plan = plan
        self.given = given
        self.run_id = run_id
        self.path = path
        self.parent_run_id = parent_run_id
        self.place = place
        self.kept = kept
        self.old = old
        self.resuming = resuming
        self.targets: tuple[str, ...] | None = None
        self.status: RunStatus = "running"
        self.statuses: dict[str, NodeStatus] = dict.fromkeys(plan.nodes, "pending")
        self.values: dict[str, Any] = {}
        self.failed_node: str | None = None
        self.failed_path: str | None = None
        self.error: BaseException | None = None
        self._schedule = Schedule(plan.upstreams if kept is None else _waited_for(plan, kept))
        self._fences: dict[str, _Fence] = {}
        self._untold: list[Event] = []
        """What is told together with what happens next, so that both are one transaction."""
        self._unkept: set[str] = set()
        """The nodes that returned and could not be recorded."""
        self._telling = threading.Lock()
        self._tasks = 0

    def sink_outputs(self) -> dict[str, Any]:
        return {
            label: self.values[label]
            for label, node in self.plan.nodes.items()
            if node.is_sink and label in self.values
        }

    # from its beginning to its end

    async def execute(self) -> None:
        ready = self._ready()
        begun = False
        try:
            if self.resuming:  # which may be refused
                await self._tell(*self._beginning())
            elif self.tree.heard:
                self._later(*self._beginning())
            begun = True
            async with asyncio.TaskGroup() as group:
                for label in ready:
                    self._begin_task(group, label)
            self.status = self._outcome()
            if self.tree.heard:
                await self._tell(self._finished())
        except BaseException as error:
            # cancelled, or something broke that is not a node: the listener, for example
            cause = _only(error)
            cancelled = isinstance(cause, asyncio.CancelledError)
            if not begun and not cancelled:  # refused, so that there is nothing to end
                raise
            if cancelled and self.status != "running":  # after the end, which has been told
                raise
            self.status = "failed"
            if cancelled:
                self.status = "paused" if self.tree.pausing.cut_short else "cancelled"
            self.error = None if cancelled else cause
            await to_the_end(self._break_off())
            if cause is error:
                raise
            raise cause from None

    def _outcome(self) -> RunStatus:
        if self.failed_node is not None:
            return "failed"
        return "paused" if "pending" in self.statuses.values() else "completed"

    def _beginning(self) -> list[Event]:
        at = self.tree.clock()
        if self.resuming:
            done = () if self.kept is None else tuple(self.kept.done)
            return [RunResumed(self.run_id, at, self.plan, self.tree.dag_nsref, self.place, done)]
        events: list[Event] = [
            RunStarted(
                self.run_id,
                at,
                self.plan,
                self.given,
                self.tree.dag_nsref,
                self.parent_run_id,
                self.path,
                self.place,
                self.tree.tenant,
                self.tree.initiated_by,
                self.targets,
            )
        ]
        if self.kept is not None and self.old is not None:
            for label, old in self.kept.done.items():
                node = self.plan.nodes[label]
                events.append(NodeSkipped(self.run_id, at, node, None, self.old.run_id, old.output))
        elif self.kept is not None:
            for label, value in self.kept.values.items():
                if label in self.plan.nodes:
                    events.append(NodeSkipped(self.run_id, at, self.plan.nodes[label], value))
        return events

    def _ready(self) -> list[str]:
        """The nodes that may start, once what is used again is done."""
        ready = self._schedule.ready()
        if self.kept is None:
            return ready
        for label, value in self.kept.values.items():
            if label in self.statuses:
                self.values[label] = value
        found: list[str] = []
        for label in ready:
            old = self.kept.done.get(label)
            if old is None and label not in self.kept.values:
                found.append(label)
                continue
            self.statuses[label] = "skipped" if old is None or not self.resuming else old.status
            found += self._schedule.completed(label)
        ready_now = set(found)
        return [label for label in self.plan.nodes if label in ready_now]

    async def _break_off(self) -> None:
        """Records what becomes of nodes that have not ended, as far as recording still works."""
        paused = self.status == "paused"
        open_ = ("running",) if paused else ("pending", "running")
        left = [
            node
            for label, node in self.plan.nodes.items()
            if self.statuses[label] in open_ and (label in self._unkept or await self._end(label))
        ]
        status: Literal["pending", "cancelled"] = "pending" if paused else "cancelled"
        self.statuses.update({node.label: status for node in left})
        finished = self._finished()
        ended = NodesEnded(self.run_id, self.tree.clock(), tuple(left), status)
        try:
            await self._tell(*([ended] if left else []), finished)
        except Exception:
            if self.tree.progress is not None:  # which shows the run as under way
                self.tree.pausing.on_loop(self._show, finished)
            if self.status != "failed":
                raise

    async def _end(self, label: str) -> bool:
        """Ends a node for good, whatever its function still does; False if it had ended."""
        fence = self._fences.get(label)
        return fence is None or await fence.take_from() or fence.again

    def _finished(self) -> RunFinished:
        return RunFinished(
            self.run_id,
            self.tree.clock(),
            self.plan,
            self.status,
            self.sink_outputs(),
            self.failed_node,
            self.error,
        )

    # nodes, one after the other

    def _begin_task(self, group: asyncio.TaskGroup, label: str) -> None:
        self._tasks += 1
        group.create_task(self._nodes(group, label))

    async def _nodes(self, group: asyncio.TaskGroup, label: str) -> None:
        await self._chain(group, label)
        self._tasks -= 1
        if self._tasks:  # else the end of the run is told at once, and this with it
            await self._tell()

    async def _chain(self, group: asyncio.TaskGroup, label: str) -> None:
        """A node, and then what it releases: the first in the same task, others beside it."""
        following: str | None = label
        number = 0
        while following is not None:
            label, following = following, None
            number += 1
            if _cancelling():  # and the node before did not care
                raise asyncio.CancelledError
            if number % NODES_IN_A_ROW == 0:
                await asyncio.sleep(0)
            if self.tree.pausing.begun:
                return
            await self._node(self.plan.nodes[label])
            if self.statuses[label] == "completed":
                released = self._schedule.completed(label)
                for other in released[1:]:
                    self._begin_task(group, other)
                following = released[0] if released else None
            elif self.statuses[label] == "failed":
                await self._block(label)

    async def _node(self, node: NodePlan) -> None:
        """Calls a node until it has ended, or is to wait for a restart."""
        tree = self.tree
        number = 0
        if self.resuming and self.old is not None and node.label in self.old.nodes:
            number = self.old.nodes[node.label].attempts
        failures = 0
        while True:
            number += 1
            again = await self._in_a_slot(node, number, failures)
            if again is None:
                return
            failures += 1
            await tree.pausing.sleep(again.seconds)
            if tree.pausing.begun:
                await self._put_off(node)
                return

    async def _in_a_slot(self, node: NodePlan, number: int, failures: int) -> _Again | None:
        tree = self.tree
        if node.function is None:  # what runs inside takes the slots
            return await self._attempt(node, number, failures)
        slots = tree.slots
        if slots is None:
            if node.function.inline or node.function.method.is_async or tree.executor is not None:
                return await self._attempt(node, number, failures)
            slots = tree.threads
        if slots.locked():  # it may take long until something else is told
            await self._tell()
        async with slots:
            return await self._begin(node, number, failures)

    async def _begin(self, node: NodePlan, number: int, failures: int) -> _Again | None:
        if self.tree.pausing.begun:  # while it waited for its turn
            if failures:
                await self._put_off(node)
            return None
        return await self._attempt(node, number, failures)

    # one attempt

    async def _attempt(self, node: NodePlan, number: int, failures: int) -> _Again | None:
        tree = self.tree
        label = node.label
        self.statuses[label] = "running"
        fence = self._fences[label] = _Fence()
        attempt = _Attempt(node, number, failures, fence, self.given.get(label, {}))
        set_where(self.run_id, self.path, label)
        try:
            values = arguments(
                node,
                self.values,
                attempt.given,
                tree.resources,
                self._context(node, number),
            )
            inside = [] if node.composite is None else parts(node, values)
        except Exception as error:  # noqa: BLE001 - a wrong value fails the node, whatever it is
            await self._fail(attempt, error, again=False)
            return None
        if node.function is None:
            return await self._composite(attempt, values, inside)
        method = node.function.method
        target = node.function.target
        positional, by_name = method.arguments(values)
        if method.is_async or node.function.inline:
            if tree.heard:
                await self._tell(self._started(attempt))
            return await self._on_loop(attempt, lambda: target(*positional, **by_name))
        if tree.executor is not None:
            executor, traveller = tree.executor, node.function.traveller
            await self._tell(self._started(attempt))
            return await self._on_loop(
                attempt, lambda: in_executor(executor, traveller, positional, by_name)
            )
        return await self._in_thread(attempt, lambda: target(*positional, **by_name))

    def _context(self, node: NodePlan, number: int) -> DagContext | None:
        for binding in node.bindings:
            if binding.rule == "context":
                kind = context_class(binding.arg.annotation)
                assert kind is not None
                tree = self.tree
                own = fields_of(kind)
                return kind(
                    run_id=self.run_id,
                    dag_nsref=tree.dag_nsref,
                    node_label=node.label,
                    attempt=number,
                    user_ctx=tree.user_ctx,
                    scheduled_at=tree.scheduled_at,
                    namespace=tree.namespace(),
                    **{name: tree.resources[name] for name in own if name in tree.resources},
                )
        return None

    async def _on_loop(self, attempt: _Attempt, call: Callable[[], Any]) -> _Again | None:
        """Calls on the loop, and waits for an awaitable no longer than the node may take."""
        try:
            if attempt.node.timeout is None:
                value = call()
                if isinstance(value, Awaitable):
                    value = await value
            else:
                value = await self._in_time(attempt.node, call)
        except DagPause:
            await self._pause_at(attempt)
            return None
        except (KeyboardInterrupt, GeneratorExit):  # of whoever runs the loop, not the node's
            raise
        except BaseException as error:
            # one that is not the run's is the node's own
            if isinstance(error, asyncio.CancelledError) and _cancelling():
                raise
            return await self._fail(attempt, error)
        if attempt.fence.take():
            if self.tree.heard:
                self._later(self._completed(attempt, value))
            self._complete(attempt.node, value)
        return None

    async def _in_time(self, node: NodePlan, call: Callable[[], Any]) -> Any:
        deadline = asyncio.timeout(node.timeout)
        try:
            async with deadline:
                value = call()
                if isinstance(value, Awaitable):
                    value = await value
        except TimeoutError:
            if not deadline.expired():
                raise
            raise _too_slow(node) from None
        end = deadline.when()
        if end is not None and asyncio.get_running_loop().time() > end:  # it never let go
            raise _too_slow(node)
        return value

    async def _in_thread(self, attempt: _Attempt, call: Callable[[], Any]) -> _Again | None:
        """Start and call in one visit to a thread, with what the listener does about them."""
        fence = attempt.fence

        def visit() -> tuple[_How, Any]:
            with fence.lock:
                if fence.taken:  # cancelled while it waited for a thread
                    return "late", None
                self._emit(self._started(attempt))
            try:
                value = call()
            except DagPause as error:
                return "paused", error
            except BaseException as error:  # noqa: BLE001 - whatever it is, the node has failed
                with fence.lock:
                    if fence.taken:
                        return "late", None
                    fence.taken = True
                    event = self._failed(attempt, error)
                    self._emit(event)
                return "raised", event
            if isinstance(value, Awaitable):  # a plain function that hands out a coroutine
                if fence.taken and isinstance(value, Coroutine):
                    value.close()  # nobody will await it
                return "await", value
            with fence.lock:
                if fence.taken:
                    return "late", None
                fence.taken = True
                self._later(self._completed(attempt, value))
            return "returned", value

        limit = attempt.node.timeout
        if limit is None:
            how, value = await in_thread(visit)
        else:
            visiting = asyncio.ensure_future(in_thread(visit))
            try:
                await asyncio.wait([visiting], timeout=limit)
                if not visiting.done() and await fence.take_from():
                    # the thread works on, and nobody hears of it
                    return await self._fail(attempt, _too_slow(attempt.node), fenced=True)
                how, value = await visiting
            finally:
                visiting.cancel()
        if how == "await":
            awaitable = value
            return await self._on_loop(attempt, lambda: awaitable)
        if how == "paused":
            await self._pause_at(attempt)
        elif how == "returned":
            self._complete(attempt.node, value)
        elif how == "raised":
            return self._note_failure(attempt, value)
        return None

    # how an attempt ends

    def _started(self, attempt: _Attempt) -> NodeStarted:
        return NodeStarted(
            self.run_id, self.tree.clock(), attempt.node, attempt.given, attempt.number
        )

    def _completed(self, attempt: _Attempt, value: Any) -> NodeCompleted:
        return NodeCompleted(self.run_id, self.tree.clock(), attempt.node, value, attempt.number)

    def _failed(
        self, attempt: _Attempt, error: BaseException, *, again: bool = True
    ) -> AttemptFailed | NodeFailed:
        node, at = attempt.node, self.tree.clock()
        pause = None
        if node.retry is not None and again:
            try:
                pause = node.retry.pause(attempt.failures + 1, error, self.tree.chance())
            except Exception as broken:  # noqa: BLE001 - Retry(on=…) may be the user's function
                _note(error, f"Retry(on=…) of {node.label} raised {in_short(broken)}")
        if pause is None:
            if self.place is not None and node.function is not None:
                _note(error, f"in {self.path}/{node.label}, run {self.run_id}")
            return NodeFailed(self.run_id, at, node, error, attempt.number)
        attempt.fence.again = True
        again_at = at + timedelta(seconds=pause)
        return AttemptFailed(self.run_id, at, node, error, attempt.number, again_at)

    def _complete(self, node: NodePlan, value: Any) -> None:
        self.statuses[node.label] = "completed"
        self.values[node.label] = value

    async def _fail(
        self,
        attempt: _Attempt,
        error: BaseException,
        *,
        again: bool = True,
        fenced: bool = False,
        failed_path: str | None = None,
    ) -> _Again | None:
        if not fenced and not attempt.fence.take():
            return None
        event = self._failed(attempt, error, again=again)
        await self._tell(event)
        return self._note_failure(attempt, event, failed_path)

    def _note_failure(
        self,
        attempt: _Attempt,
        event: AttemptFailed | NodeFailed,
        failed_path: str | None = None,
    ) -> _Again | None:
        if isinstance(event, AttemptFailed):
            return _Again((event.again_at - event.at).total_seconds())
        label = attempt.node.label
        self.statuses[label] = "failed"
        if self.failed_node is None:
            self.failed_node, self.error = label, event.error
            self.failed_path = failed_path or label
        return None

    async def _pause_at(self, attempt: _Attempt) -> None:
        """A node asked for a pause: it will be called again by the restart."""
        self.tree.pausing.begin()
        if attempt.fence.take():
            await self._put_off(attempt.node)

    async def _put_off(self, node: NodePlan) -> None:
        self.statuses[node.label] = "pending"
        event = NodesEnded(self.run_id, self.tree.clock(), (node,), "pending")
        await self._tell(event)

    async def _block(self, label: str) -> None:
        """What depends on a failed node will never start."""
        lost = tuple(self.plan.nodes[each] for each in self._schedule.failed(label))
        self.statuses.update({node.label: "upstream_failed" for node in lost})
        if lost:
            event = NodesEnded(self.run_id, self.tree.clock(), lost, "upstream_failed")
            await self._tell(event)

    # what runs inside a node

    async def _composite(
        self, attempt: _Attempt, values: Mapping[str, Any], inside: Sequence[Part]
    ) -> _Again | None:
        node = attempt.node
        if self.tree.heard:
            events: list[Event] = [self._started(attempt)]
            if isinstance(inside, Elements):
                events.append(NodeExpanded(self.run_id, self.tree.clock(), node, inside.places))
            await self._tell(*events)
        limit = node.timeout
        try:
            deadline = asyncio.timeout(limit)
            try:
                async with deadline:
                    outcomes = await self._all_parts(node, inside)
            except TimeoutError:
                if not deadline.expired():
                    raise
                return await self._fail(attempt, _too_slow(node))
            failed = _first_failure(node, outcomes)
            if failed is not None:
                error = cast(BaseException, failed.error)
                return await self._fail(attempt, error, failed_path=failed.path)
            if any(outcome.status == "paused" for outcome in outcomes):
                if attempt.fence.take():
                    await self._put_off(node)
                return None
            value = _value_of(node, values, inside, outcomes)
        except WiringError as error:
            return await self._fail(attempt, error)
        if attempt.fence.take():
            self._later(self._completed(attempt, value))
            self._complete(node, value)
        return None

    async def _all_parts(self, node: NodePlan, inside: Sequence[Part]) -> list[_Outcome]:
        earlier: Mapping[str, OldRun] = {}
        memory = self.tree.memory
        if self.resuming and self.old is not None and memory is not None:
            if node.label in self.old.nodes:
                old_id = self.old.run_id
                earlier = await in_thread(lambda: memory.recall_nested(old_id, node.label))
        composite = node.composite
        most = len(inside)
        stop_early = True
        if isinstance(composite, MapPlan):
            most = min(most, composite.concurrency or most)
            stop_early = composite.on_error == "fail"
        outcomes = [_LEFT_OUT] * len(inside)
        waiting = iter(range(len(inside)))
        given = {before: inside_of(self.given, before) for before, _ in node.inside()}

        async def work() -> None:
            for number in waiting:
                if self.tree.pausing.begun:
                    outcomes[number] = _PAUSED
                    continue
                part = inside[number]
                outcome = await self._part(node, part, given, earlier.get(part.place))
                outcomes[number] = outcome
                if stop_early and outcome.status == "failed":
                    for _ in waiting:  # nobody begins another one
                        pass

        if most == 1:
            await work()
        else:
            async with _only_one_error(), asyncio.TaskGroup() as group:
                for _ in range(most):
                    group.create_task(work())
        return outcomes

    async def _part(
        self,
        node: NodePlan,
        part: Part,
        given: Mapping[str, dict[str, dict[str, Any]]],
        old: OldRun | None,
    ) -> _Outcome:
        """Runs one graph inside a node, or what is left of it."""
        tree = self.tree
        here = segment(node.label, part.place, part.branch)
        sub = part.sub
        if sub is None:
            return _Outcome("failed", None, part.error, here)
        kept: Kept | None = None
        if old is not None:
            memory = tree.memory
            assert memory is not None
            known = old
            found = await in_thread(lambda: _kept_inside(tree, sub, part, known, memory))
            if isinstance(found, tuple):
                return _Outcome("completed", found[0])
            old, kept = (None, None) if found is None else (known, found)
        before = f"{node.label}/" if part.branch is None else f"{node.label}/{part.branch}/"
        inner = {**given[before]}
        inner[sub.source] = {**inner.get(sub.source, {}), **part.given}
        child = Run(
            tree,
            sub.plan,
            inner,
            tree.new_id() if old is None else old.run_id,
            f"{self.path}/{here}" if self.path else here,
            self.run_id,
            place=Place(self.run_id, node.label, part.place, part.branch),
            kept=kept,
            old=old,
            resuming=old is not None,
        )
        await child.execute()
        if child.status == "failed":
            return _Outcome("failed", None, child.error, f"{here}/{child.failed_path}")
        if child.status == "paused":
            return _PAUSED
        return _Outcome("completed", child.values[sub.sink])

    # telling

    def _later(self, *events: Event) -> None:
        """Leaves it to whoever tells next; a completion is told before what depends on it runs."""
        self._untold.extend(events)

    async def _tell(self, *events: Event) -> None:
        """Tells from the loop: in a thread if the listener may have to wait, and to the end."""
        if self._telling.acquire(blocking=False):
            try:
                told = self._hand_on(events, wait=False)
            finally:
                self._telling.release()
        else:
            told = False
        if not told:
            await to_the_end(in_thread(lambda: self._emit(*events)))

    def _emit(self, *events: Event) -> None:
        """Tells from a thread."""
        with self._telling:  # so that nothing overtakes what was left untold
            self._hand_on(events, wait=True)

    def _hand_on(self, events: tuple[Event, ...], *, wait: bool) -> bool:
        listener = self.tree.listener
        untold = tuple(self._untold)
        del self._untold[: len(untold)]
        events = (*untold, *events)
        if listener is not None and events:
            try:
                if wait or not listener.blocking:
                    listener.emit(*events)
                elif not listener.try_emit(*events):
                    self._untold[:0] = untold
                    return False
            except BaseException:
                for event in untold:  # what was not kept has not completed
                    if isinstance(event, NodeCompleted):
                        self._unkept.add(event.node.label)
                        self.statuses[event.node.label] = "running"
                raise
        if self.tree.progress is not None:
            for event in events:
                self.tree.pausing.on_loop(self._show, event)
        return True

    def _show(self, event: Event) -> None:
        progress = self.tree.progress
        assert progress is not None
        try:
            progress(event)
        except (Exception, asyncio.CancelledError):
            if not self.tree.complained:
                self.tree.complained = True
                LOG.warning("progress=%r raised; the run goes on", progress, exc_info=True)


@dataclass(frozen=True, slots=True)
class _Attempt:
    """One call of a node's function."""

    node: NodePlan
    number: int
    failures: int
    """How often it has failed since this run began or was restarted."""
    fence: _Fence
    given: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How one run inside a node ended."""

    status: Literal["completed", "failed", "paused", "left out"]
    value: Any = None
    error: BaseException | None = None
    path: str | None = None


MOST_NOTES = 10
"""More are not added to one exception."""

_LEFT_OUT = _Outcome("left out")
_PAUSED = _Outcome("paused")

_How: TypeAlias = Literal["returned", "raised", "paused", "await", "late"]


def _waited_for(plan: Plan, kept: Kept) -> dict[str, tuple[str, ...]]:
    """The upstreams of each node; what is used again waits for nothing."""
    return {
        label: () if label in kept.done or label in kept.values else upstreams
        for label, upstreams in plan.upstreams.items()
    }


def _kept_inside(
    tree: Tree, sub: SubPlan, part: Part, old: OldRun, memory: Memory
) -> tuple[Any] | Kept | None:
    """What is left of an earlier nested run: its value, what it had done, or nothing."""
    if not same_part(part, old):
        return None
    changed = set[str]()
    if tree.on_change != "keep":
        changed = behind(sub.plan, changed_here(sub.plan, old))
    if old.status == "completed":
        return None if changed else completed_part(part, old, memory)
    return kept_of(sub.plan, old, changed, memory)


def _first_failure(node: NodePlan, outcomes: Sequence[_Outcome]) -> _Outcome | None:
    if isinstance(node.composite, MapPlan) and node.composite.on_error != "fail":
        return None
    return next((outcome for outcome in outcomes if outcome.status == "failed"), None)


def _value_of(
    node: NodePlan, values: Mapping[str, Any], inside: Sequence[Part], outcomes: Sequence[_Outcome]
) -> Any:
    composite = node.composite
    if not isinstance(composite, MapPlan) or not isinstance(inside, Elements):
        return outcomes[0].value
    (collection,) = values.values()
    results: list[tuple[Any, Any]] = []
    for key, outcome in zip(inside.keys, outcomes, strict=True):
        if outcome.status == "completed":
            results.append((key, outcome.value))
        elif composite.on_error == "collect":
            assert outcome.error is not None
            results.append((key, Failed(key, outcome.error)))
    return joined(composite, collection, results)


def _too_slow(node: NodePlan) -> TimeoutError:
    return TimeoutError(f"{node.label} took longer than its timeout of {node.timeout:g} s")


def _note(error: BaseException, text: str) -> None:
    """Adds to what an exception says, which many nodes may raise at once."""
    try:
        if len(getattr(error, "__notes__", ())) < MOST_NOTES:
            error.add_note(text)
    except Exception:  # noqa: BLE001 - somebody else's exception; it is told without the note
        pass


def _cancelling() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


@asynccontextmanager
async def _only_one_error() -> AsyncGenerator[None]:
    """Raises the exception itself that a TaskGroup makes a group of."""
    try:
        yield
    except BaseExceptionGroup as error:
        raise _only(error) from None


def _only(error: BaseException) -> BaseException:
    """The first exception out of the groups that a TaskGroup makes."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error
