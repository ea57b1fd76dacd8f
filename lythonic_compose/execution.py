"""How does one run of a plan go, node after node?

Takes what is ready, wires it, has it attempted, and keeps the books of what has come of it; a
composite node's runs are runs of the same tree. Which output feeds which argument is decided in
`rules.py`, how an attempt goes and ends in `attempt.py`, what becomes of the runs inside a node in
`nested.py`, what of an earlier run is used again in `resume.py`; what becomes of an event is the
listener's business. How a run is asked for is the business of `dag_runner.py`.
"""

from __future__ import annotations

import contextvars
from collections.abc import Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, Literal

from lythonic_state.later import asyncio

from .attempt import Attempt, Broke, End, Found, PutOff, Returned
from .call import in_thread, to_the_end
from .composite import Part, parts, segment
from .context import DagContext
from .events import (
    DONE,
    AttemptFailed,
    Event,
    NodeCompleted,
    NodesEnded,
    NodeSkipped,
    NodeStatus,
    Place,
    RunFinished,
    RunResumed,
    RunStarted,
    RunStatus,
)
from .failpoints import reached
from .log_context import set_where
from .nested import PAUSED, Outcome, only, run_inside, side_by_side
from .outputs.rows import RowSource
from .plan import NodePlan, Plan
from .recall import OldNode, OldRun
from .resume import Kept, left_of_part, restored
from .schedule import Schedule
from .telling import Teller
from .tree import Tree
from .wiring import arguments, inside_of

NODES_IN_A_ROW = 20
"""After so many nodes of a chain, others on the loop have their turn."""


class _Walk:
    """A thread's way from node to node, for as long as the task that began it waits for it."""

    is_over = False


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
        teller: Teller | None = None,
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
        self._schedule = (
            Schedule(plan.upstreams, plan.downstreams)
            if kept is None
            else Schedule(_waited_for(plan, kept))
        )
        self._attempts: dict[str, Attempt] = {}
        self._nested_in = None if place is None else path
        self._ahead: dict[str, tuple[Attempt, Found]] = {}
        """What threads have come to by themselves, for the loop to catch up with."""
        self._teller = Teller(tree) if teller is None else teller
        if resuming and old is not None:
            self._teller.fences[run_id] = old.fence + 1
        self._tasks = 0

    def sink_outputs(self) -> dict[str, Any]:
        values = self.values
        return {label: values[label] for label in self.plan.sinks if label in values}

    # from its beginning to its end

    async def execute(self) -> None:
        ready = self._ready()
        begun = False
        try:
            if self.resuming:  # which may be refused
                await self._teller.tell(*self._beginning())
                await self._take_over_outputs()
            elif self.tree.heard:
                self._teller.later(*self._beginning())
            begun = True
            async with asyncio.TaskGroup() as group:
                for label in ready:
                    self._begin_task(group, label)
            self.status = self._outcome()
            if self.tree.heard:
                finished = self._finished()
                # other elements of a map may end as well
                await (self._teller.share if self.place else self._teller.tell)(finished)
        except BaseException as error:
            # cancelled, or something broke that is not a node: the listener, for example
            cause = only(error)
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

    def _rows(self) -> tuple[tuple[str, ...] | None, str | None]:
        """Which nodes write and where to, for the record of the outermost run."""
        if self.place is not None:
            return None, None
        wrote = self.resuming and self.old is not None and self.old.writes is not None
        if not self.plan.writing and not wrote:
            return None, None
        outputs = self.tree.outputs
        return self.plan.writing, None if outputs is None else outputs.place

    def _beginning(self) -> list[Event]:
        at = self.tree.clock()
        if self.resuming:
            done = () if self.kept is None else tuple(self.kept.done)
            fence, completed = None, None
            if self.old is not None:
                fence, completed = self.old.fence, self.old.done()
            nsref, place = self.tree.dag_nsref, self.place
            return [
                RunResumed(
                    self.run_id, at, self.plan, nsref, place, done, fence, completed, *self._rows()
                )
            ]
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
                *self._rows(),
                self.tree.scheduled_at,
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
            if (self.run_id, label) in self._teller.unkept
            or (self.statuses[label] in open_ and await self._close(label))
        ]
        status: Literal["pending", "cancelled"] = "pending" if paused else "cancelled"
        self.statuses.update({node.label: status for node in left})
        finished = self._finished()
        ended = NodesEnded(self.run_id, self.tree.clock(), tuple(left), status)
        try:
            await self._teller.tell(*([ended] if left else []), finished)
        except Exception:
            if self.tree.progress is not None:  # which shows the run as under way
                self.tree.pausing.on_loop(self._teller.show, finished)
            if self.status != "failed":
                raise

    async def _close(self, label: str) -> bool:
        """Ends a node for good; False if it had ended."""
        attempt = self._attempts.get(label)
        return attempt is None or await attempt.fence.close()

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
        self._teller.chains += 1
        group.create_task(self._nodes(group, label))

    async def _nodes(self, group: asyncio.TaskGroup, label: str) -> None:
        try:
            await self._chain(group, label)
        finally:
            self._tasks -= 1
            self._teller.chains -= 1
        if self._tasks:  # else the end of the run is told at once, and this with it
            await self._teller.share()

    async def _chain(self, group: asyncio.TaskGroup, label: str) -> None:
        """A node, and then what it releases: the first in the same task, others beside it."""
        following: str | None = label
        task = asyncio.current_task()
        assert task is not None
        number = 0
        while following is not None:
            label, following = following, None
            number += 1
            if number % NODES_IN_A_ROW == 0:
                await asyncio.sleep(0)
            ahead = self._ahead.pop(label, None) if self._ahead else None
            if ahead is None:
                if task.cancelling():  # and the node before did not care
                    raise asyncio.CancelledError
                if self.tree.pausing.begun:
                    return
            await self._node(self.plan.nodes[label], ahead)
            status = self.statuses[label]
            if status == "completed":
                released = self._schedule.completed(label)
                if released:
                    following = released[0]
                    for other in released[1:]:
                        self._begin_task(group, other)
            elif status == "failed":
                await self._block(label)

    async def _node(self, node: NodePlan, ahead: tuple[Attempt, Found] | None = None) -> None:
        """Calls a node until it has ended, or is to wait for a restart.

        What a thread has come to in the first attempt, ahead of the loop, is only noted.
        """
        number = 0
        if self.resuming and self.old is not None and node.label in self.old.nodes:
            number = self.old.nodes[node.label].attempts
            if await self._is_saved(node, number):
                return
        failures = 0
        while True:
            number += 1
            if ahead is not None:
                (attempt, found), ahead = ahead, None
                end = await attempt.end_of(found)
            else:
                slots = self._slots_of(node)
                end = await (
                    self._attempt(node, number, failures)
                    if slots is None
                    else self._in_a_slot(slots, node, number, failures)
                )
            if isinstance(end, Returned):
                self.statuses[node.label] = "completed"
                self.values[node.label] = end.value
                return
            if isinstance(end, PutOff):
                await self._put_off(node)
                return
            again = None if end is None else self._failed(node, end)
            if again is None:
                return
            failures += 1
            pausing = self.tree.pausing
            await pausing.sleep(again)
            if pausing.begun:
                await self._put_off(node)
                return

    async def _take_over_outputs(self) -> None:
        """Keeps those from writing who had this run before."""
        outputs, fence = self.tree.outputs, self._teller.fences[self.run_id]
        if outputs is not None and any(node.writes for node in self.plan.nodes.values()):
            await in_thread(lambda: outputs.take_over(self.run_id, fence))

    async def _is_saved(self, node: NodePlan, number: int) -> bool:
        """Whether the last attempt had saved its rows when its process ended; then it completes."""
        outputs, memory = self.tree.outputs, self.tree.memory
        if outputs is None or memory is None or node.writes is None or number == 0:
            return False
        if self.old is None or self.old.nodes[node.label].status in DONE:  # it is to run again
            return False
        saved = await in_thread(lambda: outputs.saved(self.run_id, node.label, number))
        if saved is None or saved.payload_hash is None:
            return False
        old = OldNode(node.label, "completed", number, saved.payload_hash)
        source, user_ctx = outputs.row_source(), self.tree.user_ctx
        value = await in_thread(lambda: restored(node, old, memory, user_ctx, source))
        if value is None:
            return False
        at = self.tree.clock()
        await self._teller.tell(
            NodeCompleted(self.run_id, at, node, value[0], number, elsewhere=saved)
        )
        self.statuses[node.label] = "completed"
        self.values[node.label] = value[0]
        return True

    def _slots_of(self, node: NodePlan) -> asyncio.Semaphore | None:
        """What it must have one of while it runs; None if it needs none."""
        tree = self.tree
        if node.function is None:  # what runs inside takes the slots
            return None
        if tree.slots is None and (node.on_loop or tree.executor is not None):
            return None
        return tree.threads if tree.slots is None else tree.slots

    async def _in_a_slot(
        self, slots: asyncio.Semaphore, node: NodePlan, number: int, failures: int
    ) -> End:
        tree = self.tree
        if slots.locked():  # it may take long until something else is told
            await self._teller.tell()
            tree.in_line += 1
            try:
                await slots.acquire()
            finally:
                tree.in_line -= 1
        else:
            await slots.acquire()
        try:
            if not tree.pausing.begun:  # while it waited for its turn
                return await self._attempt(node, number, failures)
        finally:
            slots.release()
        return PutOff() if failures else None

    # one attempt, and what comes of it

    def _attempt(self, node: NodePlan, number: int, failures: int) -> Coroutine[Any, Any, End]:
        """Wires a node; what is to be awaited then is the attempt itself."""
        self.statuses[node.label] = "running"
        attempt = self._begun(node, number, failures)
        try:
            values = self._wired(attempt)
            inside = [] if node.composite is None else parts(node, values)
        except Exception as error:  # noqa: BLE001 - a wrong value fails the node, whatever it is
            return attempt.failed(error, again=False)
        if node.function is None:
            return run_inside(attempt, values, inside, self._outcomes)
        if self.kept is None and node.label in self.plan.followers:
            return self._ahead_from(attempt, values)
        return attempt.call(node.function, values)

    def _begun(self, node: NodePlan, number: int, failures: int) -> Attempt:
        label = node.label
        given = self.given.get(label, {})
        attempt = Attempt(self._teller, self.run_id, self._nested_in, node, number, failures, given)
        self._attempts[label] = attempt
        set_where(self.run_id, self.path, label)
        return attempt

    def _wired(self, attempt: Attempt) -> dict[str, Any]:
        """The arguments of an attempt's function.

        Raises:
            WiringError: a value is not of the type that its edge declares.
        """
        node = attempt.node
        context = None if node.context is None else self._context(node, attempt.number)
        return arguments(node, self.values, attempt.given, self.tree.resources, context)

    def _context(self, node: NodePlan, number: int) -> DagContext:
        assert node.context is not None
        kind, own = node.context
        tree = self.tree
        return kind(
            run_id=self.run_id,
            dag_nsref=tree.dag_nsref,
            node_label=node.label,
            attempt=number,
            user_ctx=tree.user_ctx,
            scheduled_at=tree.scheduled_at,
            namespace=tree.namespace,
            **{name: tree.resources[name] for name in own if name in tree.resources},
        )

    async def _ahead_from(self, attempt: Attempt, values: dict[str, Any]) -> End:
        """Calls a node in a thread, which then goes on by itself: two hops less for each node."""
        function, walk = attempt.node.function, _Walk()
        assert function is not None
        # the context as the task has it, and not as the node's function leaves it
        go_on = partial(self._go_on, attempt.node, contextvars.copy_context(), walk)
        try:
            return await attempt.call(function, values, go_on)
        except BaseException:
            walk.is_over = True
            raise

    def _go_on(self, node: NodePlan, context: contextvars.Context, walk: _Walk, value: Any) -> None:
        """In the thread that has a node's value: calls what follows it alone, node after node."""
        label, followers = node.label, self.plan.followers
        while label in followers:
            self.values[label] = value
            self.statuses[label] = "completed"
            node = followers[label]
            ahead = context.copy().run(self._visited, node, walk)
            if ahead is None:
                return
            label = node.label
            self._ahead[label] = ahead
            found = ahead[1]
            if not isinstance(found, Returned):
                return
            value = found.value

    def _visited(self, node: NodePlan, walk: _Walk) -> tuple[Attempt, Found] | None:
        """What came of a node in a thread; None if it is for the loop to begin it."""
        function, tree = node.function, self.tree
        assert function is not None
        if tree.in_line or tree.pausing.begun:  # others wait for this thread's slot
            return None
        attempt = self._begun(node, 1, 0)
        try:
            values = self._wired(attempt)
        except Exception:  # noqa: BLE001 - the slower way says what is wrong
            return None
        # in this order: who ends what runs has said before that the walk is over
        self.statuses[node.label] = "running"
        if walk.is_over:
            self.statuses[node.label] = "pending"
            return None
        positional, by_name = function.method.arguments(values)
        return attempt, attempt.visit(partial(function.target, *positional, **by_name))

    def _failed(self, node: NodePlan, end: Broke) -> float | None:
        """Notes a failure; the seconds until there is another attempt, if there is."""
        event = end.event
        if isinstance(event, AttemptFailed):
            return (event.again_at - event.at).total_seconds()
        self.statuses[node.label] = "failed"
        if self.failed_node is None:
            self.failed_node, self.error = node.label, event.error
            self.failed_path = end.path or node.label
        return None

    async def _put_off(self, node: NodePlan) -> None:
        self.statuses[node.label] = "pending"
        event = NodesEnded(self.run_id, self.tree.clock(), (node,), "pending")
        await self._teller.tell(event)

    async def _block(self, label: str) -> None:
        """What depends on a failed node will never start."""
        lost = tuple(self.plan.nodes[each] for each in self._schedule.failed(label))
        self.statuses.update({node.label: "upstream_failed" for node in lost})
        if lost:
            event = NodesEnded(self.run_id, self.tree.clock(), lost, "upstream_failed")
            await self._teller.tell(event)

    # the runs inside a node

    async def _outcomes(self, node: NodePlan, inside: Sequence[Part]) -> list[Outcome]:
        earlier: Mapping[str, OldRun] = {}
        memory = self.tree.memory
        if self.resuming and self.old is not None and memory is not None:
            if node.label in self.old.nodes:
                old_id = self.old.run_id
                earlier = await in_thread(lambda: memory.recall_nested(old_id, node.label))
        given = {before: inside_of(self.given, before) for before, _ in node.inside()}

        async def run_one(part: Part) -> Outcome:
            return await self._part(node, part, given, earlier.get(part.place))

        self._teller.chains -= 1  # this one has nothing to tell meanwhile
        try:
            return await side_by_side(node, inside, run_one, self.tree.pausing)
        finally:
            self._teller.chains += 1

    def _row_source(self) -> RowSource | None:
        outputs = self.tree.outputs
        return None if outputs is None else outputs.row_source()

    async def _part(
        self,
        node: NodePlan,
        part: Part,
        given: Mapping[str, dict[str, dict[str, Any]]],
        old: OldRun | None,
    ) -> Outcome:
        """Runs one graph inside a node, or what is left of it."""
        tree = self.tree
        here = segment(node.label, part.place, part.branch)
        sub = part.sub
        if sub is None:
            return Outcome("failed", None, part.error, here)
        if part.branch is not None:
            reached("switch.decided")
        kept: Kept | None = None
        if old is not None:
            memory = tree.memory
            assert memory is not None
            known = old
            keep = tree.on_change == "keep"
            found = await in_thread(
                lambda: left_of_part(
                    part, known, memory, tree.user_ctx, self._row_source(), keep_changed=keep
                )
            )
            if isinstance(found, tuple):
                return Outcome("completed", found[0])
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
            teller=self._teller,
        )
        await child.execute()
        if child.status == "failed":
            return Outcome("failed", None, child.error, f"{here}/{child.failed_path}")
        if child.status == "paused":
            return PAUSED
        return Outcome("completed", child.values[sub.sink])


def _waited_for(plan: Plan, kept: Kept) -> dict[str, tuple[str, ...]]:
    """The upstreams of each node; what is used again waits for nothing."""
    return {
        label: () if label in kept.done or label in kept.values else upstreams
        for label, upstreams in plan.upstreams.items()
    }
