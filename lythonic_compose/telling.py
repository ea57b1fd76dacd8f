"""How is what happens in a run told, in order and to the end?

The listener is told first, from the loop or from a thread, and then whoever shows progress. Which
events there are is decided elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

from .call import in_thread, to_the_end
from .events import Event, NodeCompleted
from .failpoints import reached_with
from .tree import Tree

if TYPE_CHECKING:  # programs without models do not pay for them
    from .outputs.elsewhere import Outputs
    from .outputs.found import Written

LOG = logging.getLogger("lythonic_compose")


class Teller:
    """Tells of one run."""

    def __init__(self, tree: Tree) -> None:
        self.tree = tree
        self.fence = 1
        """The number that the run's owner bears."""
        self.unkept: set[str] = set()
        """The nodes that returned and could not be recorded."""
        self._untold: list[Event] = []
        """What is told together with what happens next, so that both are one transaction."""
        self._turn = threading.Lock()

    def later(self, *events: Event) -> None:
        """Leaves it to whoever tells next; a completion is told before what depends on it runs."""
        self._untold.extend(events)

    async def tell(self, *events: Event) -> None:
        """Tells from the loop: in a thread if the listener may have to wait, and to the end."""
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
                    self._hand_on((event,), wait=True)
            else:
                self.tell_and_wait()  # that it has started
                self.later(self._saved_elsewhere(event, written, outputs))
        except Exception as error:
            written.undo()
            if written.is_refused(error):
                return error
            self.unkept.add(event.node.label)
            raise
        return None

    def _saved_elsewhere(
        self, event: NodeCompleted, written: Written, outputs: Outputs
    ) -> NodeCompleted:
        label, keeper = event.node.label, self.tree.keeper

        def keep_value() -> str | None:
            if keeper is None:
                return None
            return keeper.keep_output(
                event.run_id, label, event.attempt, event.value, event.node.returns
            )

        saved = outputs.save(event.run_id, label, event.attempt, self.fence, written, keep_value)
        return event._replace(written=None, elsewhere=saved)

    def _hand_on(self, events: tuple[Event, ...], *, wait: bool) -> bool:
        listener = self.tree.listener
        untold = tuple(self._untold)
        del self._untold[: len(untold)]
        events = (*untold, *events)
        if listener is not None and events:
            reached_with(events, "before")
            try:
                if wait or not listener.blocking:
                    listener.emit(*events)
                elif not listener.try_emit(*events):
                    self._untold[:0] = untold
                    return False
            except BaseException:
                for event in untold:  # what was not kept has not completed
                    if isinstance(event, NodeCompleted):
                        self.unkept.add(event.node.label)
                raise
            reached_with(events, "after")
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
