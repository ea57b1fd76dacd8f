"""How does one attempt at a node go, and how does it end?

The function is called where it belongs: on the loop, in a thread or in an executor. Whoever is the
first to say how the attempt has ended is the only one: the function, its timeout or a cancellation.
What follows from that for the run is not known here.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import BrokenExecutor
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple, TypeAlias

from lythonic_state.fields import frozen
from lythonic_state.later import asyncio

from .call import can_be_awaited, in_executor, in_thread, to_the_end
from .errors import DagPause
from .events import AttemptFailed, NodeCompleted, NodeFailed, NodeStarted, in_short
from .gathering import Gathered, Gatherer, must_be_awaited
from .graph import Function
from .plan import NodePlan
from .telling import Teller

MOST_NOTES = 10
"""More are not added to one exception."""


class Returned(NamedTuple):
    """The node has its value."""

    value: Any


@frozen
class Broke:
    """It has failed, and the node with it unless the event says when there is another attempt."""

    event: AttemptFailed | NodeFailed
    path: str | None = None
    """The node that failed, where it is one inside."""


@frozen
class PutOff:
    """The node waits for a restart."""


End: TypeAlias = Returned | Broke | PutOff | None
"""How an attempt has ended; None where somebody else has said so."""


@frozen
class Unawaited:
    """What a plain function handed out in a thread."""

    value: Any


Found: TypeAlias = End | DagPause | Unawaited
"""What came of a visit to a thread; a pause and an awaitable are left to the loop."""


class Fence:
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

    async def close(self) -> bool:
        """Ends the node for good, whatever its function still does; False if it had ended."""
        return await self.take_from() or self.again


class Attempt:
    """One call of a node's function, or one time through what is inside it."""

    def __init__(
        self,
        teller: Teller,
        run_id: str,
        nested_in: str | None,
        node: NodePlan,
        number: int,
        failures: int,
        given: Mapping[str, Any],
    ) -> None:
        self.teller = teller
        self.tree = teller.tree
        self.run_id = run_id
        self.nested_in = nested_in
        """The path of the run, if it is one inside another."""
        self.node = node
        self.number = number
        self.failures = failures
        """How often the node has failed since the run began or was restarted."""
        self.given = given
        self.fence = Fence()
        self._gatherer: Gatherer | None = None
        if node.writes is not None:
            takes_rows = self.tree.outputs or self.tree.keeper
            assert takes_rows is not None
            source, user_ctx = takes_rows.row_source(), self.tree.user_ctx
            self._gatherer = Gatherer(node.label, node.writes, run_id, number, source, user_ctx)

    # the call

    def call(
        self,
        function: Function,
        values: dict[str, Any],
        go_on: Callable[[Any], object] | None = None,
    ) -> Coroutine[Any, Any, End]:
        """Calls the function of the node with these arguments, where it belongs.

        A thread that has the node's value goes on with it (`go_on`).
        """
        positional, by_name = function.method.arguments(values)
        if self.node.on_loop:
            return self._on_loop(function.target, positional, by_name)
        executor = self.tree.executor
        if executor is not None:
            travelling = executor, function.traveller, positional, by_name
            return self._on_loop(in_executor, travelling, {})
        return self._in_thread(partial(function.target, *positional, **by_name), go_on)

    async def _on_loop(
        self,
        target: Callable[..., Any],
        positional: tuple[Any, ...],
        by_name: Mapping[str, Any],
        *,
        has_started: bool = False,
    ) -> End:
        """Calls on the loop, and waits for an awaitable no longer than the node may take."""
        if self.tree.heard and not has_started:
            await self.teller.tell(self.started())
        try:
            if self.node.timeout is not None:
                value = await self._in_time(partial(target, *positional, **by_name))
            else:
                value = target(*positional, **by_name)
                if self._gatherer is not None or can_be_awaited(type(value)):
                    value = await self._awaited(value)
        except DagPause:
            return self._asked_to_pause()
        except (KeyboardInterrupt, GeneratorExit):  # of whoever runs the loop, not the node's
            raise
        except BaseException as error:
            # one that is not the run's is the node's own
            if isinstance(error, asyncio.CancelledError) and cancelling():
                raise
            if isinstance(error, BrokenExecutor) and self.tree.pausing.begun:
                return self._asked_to_pause()  # its workers were told to stop as well
            return await self.failed(error)
        if isinstance(value, Gathered):
            gathered = value
            return await to_the_end(in_thread(lambda: self._gathered(gathered)))
        return self.returned(value)

    async def _awaited(self, value: Any) -> Any:
        if can_be_awaited(type(value)):
            value = await value
        if self._gatherer is None:
            return value
        function = self.node.function
        return await self._gatherer.on_loop(value, inline=function is not None and function.inline)

    async def _in_time(self, call: Callable[[], Any]) -> Any:
        deadline = asyncio.timeout(self.node.timeout)
        try:
            async with deadline:
                value = await self._awaited(call())
        except TimeoutError:
            if not deadline.expired():
                raise
            raise too_slow(self.node) from None
        end = deadline.when()
        if end is not None and asyncio.get_running_loop().time() > end:  # it never let go
            if isinstance(value, Gathered):
                value.close()
            raise too_slow(self.node)
        return value

    async def _in_thread(
        self, call: Callable[[], Any], go_on: Callable[[Any], object] | None = None
    ) -> End:
        """Start and call in one visit to a thread, with what the listener does about them."""
        has_started = False
        if self.tree.heard and self.teller.chains > 1:  # others may start as well
            await self.teller.share(self.started())
            has_started = True

        def visit() -> Found:
            found = self.visit(call, has_started=has_started)
            if go_on is not None and isinstance(found, Returned):
                go_on(found.value)
            return found

        limit = self.node.timeout
        if limit is None:
            found = await in_thread(visit)
        else:
            visiting = asyncio.ensure_future(in_thread(visit))
            try:
                await asyncio.wait([visiting], timeout=limit)
                if not visiting.done() and await self.fence.take_from():
                    # the thread works on, and nobody hears of it
                    return await self.failed(too_slow(self.node), fenced=True)
                found = await visiting
            finally:
                visiting.cancel()
        return await self.end_of(found)

    def visit(self, call: Callable[[], Any], *, has_started: bool = False) -> Found:
        """What is done in a thread."""
        fence = self.fence
        with fence.lock:
            if fence.taken:  # cancelled while it waited for a thread
                return None
            if self.tree.heard and not has_started:
                self.teller.tell_and_wait(self.started())
        try:
            value = call()
            if self._gatherer is not None and not must_be_awaited(value):
                value = self._gatherer.in_thread(value, lambda: fence.taken)
        except DagPause as error:
            return error
        except BaseException as error:  # noqa: BLE001 - whatever it is, the node has failed
            with fence.lock:
                if fence.taken:
                    return None
                fence.taken = True
                event = self._failure(error, again=True)
                self.teller.tell_and_wait(event)
            return Broke(event)
        if isinstance(value, Gathered):
            return self._gathered(value)
        if self._gatherer is not None or can_be_awaited(type(value)):
            # a plain function that hands out a coroutine, or an async stream of rows
            if fence.taken and isinstance(value, Coroutine):
                value.close()  # nobody will await it
            return Unawaited(value)
        return self.returned(value)

    async def end_of(self, found: Found) -> End:
        """How it ends after a visit to a thread."""
        if isinstance(found, DagPause):
            return self._asked_to_pause()
        if isinstance(found, Unawaited):
            awaitable = found.value
            return await self._on_loop(lambda: awaitable, (), {}, has_started=True)
        return found

    # how it ends

    def started(self) -> NodeStarted:
        return NodeStarted(self.run_id, self.tree.clock(), self.node, self.given, self.number)

    def returned(self, value: Any) -> End:
        """What happens once a node has its value, wherever that came from."""
        with self.fence.lock:
            if self.fence.taken:
                return None
            self.fence.taken = True
            if self.tree.heard:
                at = self.tree.clock()
                self.teller.later(NodeCompleted(self.run_id, at, self.node, value, self.number))
        return Returned(value)

    def _gathered(self, gathered: Gathered) -> End:
        """What happens, in a thread, once a node that writes has its value."""
        value, written = gathered
        if written is None:
            return self.returned(value)
        try:
            with self.fence.lock:
                if self.fence.taken:
                    return None
                self.fence.taken = True
                at = self.tree.clock()
                event = NodeCompleted(self.run_id, at, self.node, value, self.number, written)
                refused = self.teller.save(event)
                if refused is None:
                    return Returned(gathered.saved())
                failure = self._failure(refused, again=True)
                self.teller.tell_and_wait(failure)
                return Broke(failure)
        finally:
            gathered.close()

    async def failed(
        self,
        error: BaseException,
        *,
        again: bool = True,
        fenced: bool = False,
        path: str | None = None,
    ) -> End:
        """What happens, on the loop, once it has failed; `fenced` if nobody else can say so."""
        if not fenced and not self.fence.take():
            return None
        event = self._failure(error, again=again)
        await self.teller.tell(event)
        return Broke(event, path)

    def put_off(self) -> End:
        """What happens if the node is to wait for a restart."""
        return PutOff() if self.fence.take() else None

    def _asked_to_pause(self) -> End:
        self.tree.pausing.begin()
        return self.put_off()

    def _failure(self, error: BaseException, *, again: bool) -> AttemptFailed | NodeFailed:
        node, at = self.node, self.tree.clock()
        pause = None
        if node.retry is not None and again:
            try:
                pause = node.retry.pause(self.failures + 1, error, self.tree.chance())
            except Exception as broken:  # noqa: BLE001 - Retry(on=…) may be the user's function
                _note(error, f"Retry(on=…) of {node.label} raised {in_short(broken)}")
        if pause is None:
            if self.nested_in is not None and node.function is not None:
                _note(error, f"in {self.nested_in}/{node.label}, run {self.run_id}")
            return NodeFailed(self.run_id, at, node, error, self.number)
        self.fence.again = True
        again_at = at + timedelta(seconds=pause)
        return AttemptFailed(self.run_id, at, node, error, self.number, again_at)


def too_slow(node: NodePlan) -> TimeoutError:
    """The error of a node that has taken longer than it may."""
    return TimeoutError(f"{node.label} took longer than its timeout of {node.timeout:g} s")


def cancelling() -> bool:
    """Whether the task at hand is being cancelled."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


def _note(error: BaseException, text: str) -> None:
    """Adds to what an exception says, which many nodes may raise at once."""
    try:
        if len(getattr(error, "__notes__", ())) < MOST_NOTES:
            error.add_note(text)
    except Exception:  # noqa: BLE001 - somebody else's exception; it is told without the note
        pass
