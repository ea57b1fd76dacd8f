"""How is what happens in a run told, in order and to the end?

The listener is told first, from the loop or from a thread, and then whoever shows progress. Which
events there are is decided elsewhere.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from lythonic_state.later import asyncio

from . import failpoints
from .call import in_thread, to_the_end
from .events import Event, NodeCompleted
from .tree import Tree

if TYPE_CHECKING:  # programs without models do not pay for them
    from .outputs.elsewhere import Outputs
    from .outputs.found import Written

LOG = logging.getLogger("lythonic_compose")


class Teller:
    """Tells of a run and of all the runs inside it."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.fences: dict[str, int] = {}
        """The number that the owner bears of a run that was resumed; of all others it is 1."""
        self.unkept: set[tuple[str, str]] = set()
        """The nodes that returned and could not be recorded, by run and label."""
        self.chains = 0
        """How many chains of nodes are under way on the loop."""
        self._untold: list[Event] = []
        """What is told together with what happens next, so that both are one transaction."""
        self._turn = threading.Lock()
        self._waiting: list[asyncio.Future[None]] = []
        """Those on the loop that wait until what is untold has been told."""
        self._awaited: Event | None = None
        """The last one that they wait for."""
        self._sharing: asyncio.Task[None] | None = None
        self._lost: BaseException | None = None
        """Why what they wait for was not kept, where somebody else told it."""

    def later(self, *events: Event) -> None:
        """Leaves it to whoever tells next; a completion is told before what depends on it runs."""
        self._untold.extend(events)

    async def tell(self, *events: Event) -> None:
        """Tells from the loop, and with what others have to tell if there are any."""
        if self.chains > 1:
            await self.share(*events)
        else:
            await self._tell(*events)

    async def share(self, *events: Event) -> None:
        """Tells from the loop what all have to tell in this turn of it, as one transaction.

        Who is cancelled meanwhile leaves it to the others.
        """
        self.later(*events)
        left = events or tuple(self._untold)
        if not left:
            return
        self._awaited = left[-1]
        told = asyncio.get_running_loop().create_future()
        self._waiting.append(told)
        if len(self._waiting) == 1:
            self._sharing = asyncio.ensure_future(self._tell_for_all())
        await told

    async def _tell_for_all(self) -> None:
        waiting, self._waiting = self._waiting, []
        lost: BaseException | None = asyncio.CancelledError()
        try:
            # looked at in this order: whoever takes events holds the turn until they are told
            is_left = any(event is self._awaited for event in tuple(self._untold))
            if is_left or self._turn.locked():
                await self._tell()
            lost = self._lost
        except Exception as error:  # noqa: BLE001 - told to everybody who waits
            lost = error
        finally:
            for each in waiting:
                if each.done():
                    continue
                if lost is None:
                    each.set_result(None)
                elif isinstance(lost, Exception):
                    each.set_exception(lost)
                else:
                    each.cancel()

    async def _tell(self, *events: Event) -> None:
        """Tells in a thread if the listener may have to wait, and to the end."""
        if self._turn.acquire(blocking=False):
            try:
                told = self._hand_on(events, wait=False)
            finally:
                self._turn.release()
        else:
            told = False
        if not told:
            await to_the_end(in_thread(lambda: self.tell_and_wait(*events)))

    def tell_and_wait(self, *events: Event) -> None:
        """Tells from a thread."""
        with self._turn:  # so that nothing overtakes what was left untold
            self._hand_on(events, wait=True)

    def save(self, event: NodeCompleted) -> Exception | None:
        """Tells, from a thread, of a node whose rows are saved with it; why they were refused."""
        written, outputs = event.written, self.tree.outputs
        assert written is not None
        try:
            if outputs is None:
                with self._turn:
                    self._hand_on((), wait=True)  # what is untold does not fail with it
                    self._hand_on((event,), wait=True, alone=True)
            else:
                self.tell_and_wait()  # that it has started
                self.later(self._saved_elsewhere(event, written, outputs))
        except Exception as error:
            written.undo()
            if written.is_refused(error):
                return error
            self.unkept.add((event.run_id, event.node.label))
            raise
        return None

    def _saved_elsewhere(
        self, event: NodeCompleted, written: Written, outputs: Outputs
    ) -> NodeCompleted:
        label, keeper = event.node.label, self.tree.keeper
        fence = self.fences.get(event.run_id, 1)

        def keep_value() -> str | None:
            if keeper is None:
                return None
            return keeper.keep_output(
                event.run_id, label, event.attempt, event.value, event.node.returns
            )

        saved = outputs.save(event.run_id, label, event.attempt, fence, written, keep_value)
        return event._replace(written=None, elsewhere=saved)

    def _hand_on(self, events: tuple[Event, ...], *, wait: bool, alone: bool = False) -> bool:
        listener = self.tree.listener
        # while one is told alone, others may leave something untold
        untold = () if alone else tuple(self._untold)
        del self._untold[: len(untold)]
        events = (*untold, *events)
        if listener is not None and events:
            if failpoints.armed is not None:
                failpoints.reached_with(events, "before")
            try:
                if wait or not listener.blocking:
                    listener.emit(*events)
                elif not listener.try_emit(*events):
                    self._untold[:0] = untold
                    return False
            except BaseException as error:
                self._lost = error if untold else self._lost
                for event in untold:  # what was not kept has not completed
                    if isinstance(event, NodeCompleted):
                        self.unkept.add((event.run_id, event.node.label))
                raise
            if failpoints.armed is not None:
                failpoints.reached_with(events, "after")
        if self.tree.progress is not None:
            for event in events:
                self.tree.pausing.on_loop(self.show, event)
        return True

    def show(self, event: Event) -> None:
        """Tells whoever shows progress, on the loop."""
        progress = self.tree.progress
        assert progress is not None
        try:
            progress(event)
        except (Exception, asyncio.CancelledError):
            if not self.tree.complained:
                self.tree.complained = True
                LOG.warning("progress=%r raised; the run goes on", progress, exc_info=True)
