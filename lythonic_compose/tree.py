"""What do a run and all the runs inside it share?

Whom they tell, what limits them, what is known around them, and whether they are to pause. Nothing
runs here.
"""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Mapping
from dataclasses import field
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from lythonic_state.fields import mutable
from lythonic_state.later import asyncio

from .events import Event, Listener
from .failpoints import reached
from .outputs.rows import RowKeeper
from .recall import Memory

if TYPE_CHECKING:  # programs without models do not pay for them
    from .outputs.elsewhere import Outputs

OnChange: TypeAlias = Literal["raise", "rerun", "keep"]
Progress: TypeAlias = Callable[[Event], None]

THREADS_AT_ONCE = 32
"""How many sync functions of one run are in threads at the same time."""


@mutable(slots=False)
class Tree:
    """What a run and all the runs inside it share."""

    clock: Callable[[], datetime]
    new_id: Callable[[], str]
    chance: Callable[[], float]
    listener: Listener | None
    progress: Progress | None
    slots: asyncio.Semaphore | None
    executor: concurrent.futures.Executor | None
    user_ctx: Any
    tenant: str | None
    dag_nsref: str | None
    scheduled_at: datetime | None
    initiated_by: str | None
    dag: Any
    pausing: Pausing
    memory: Memory | None
    on_change: OnChange
    resources: Mapping[str, Any] = field(default_factory=dict[str, Any])
    complained: bool = False
    """Whether it has been logged that `progress` raises."""
    in_line: int = 0
    """How many nodes wait until one of the others has ended."""
    keeper: RowKeeper | None = None
    """Who saves the rows of nodes, together with the record of their completion."""
    outputs: Outputs | None = None
    """The database that takes them instead; where a node writes, there is one or the other."""

    def __post_init__(self) -> None:
        self.heard = self.listener is not None or self.progress is not None
        """Whether anybody is told what happens."""

    # what not every run needs is made for the first node that does

    @cached_property
    def threads(self) -> asyncio.Semaphore:
        """What each sync function has one of while it is in a thread, without another limit."""
        return asyncio.Semaphore(THREADS_AT_ONCE)

    @cached_property
    def namespace(self) -> Any:
        return getattr(self.dag, "namespace", None)


class Pausing:
    """Whether the runs of a tree are to pause, for the loop that they are on and for threads."""

    def __init__(self) -> None:
        self.begun = False
        self.cut_short = False
        """Whether what is cancelled from now on has only paused."""
        self._loop = asyncio.get_running_loop()
        self._sleeping = set[asyncio.Event]()

    def begin(self) -> None:
        self.begun = True
        reached("pause.begun")
        self.on_loop(self._wake)

    def _wake(self) -> None:
        for event in self._sleeping:
            event.set()

    def on_loop(self, call: Callable[..., None], *args: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(call, *args)
        except RuntimeError:  # the loop is closed, and the runs have ended with it
            pass

    async def sleep(self, seconds: float) -> None:
        """Waits so long, or until the pause begins."""
        if seconds <= 0 or self.begun:
            return
        event = asyncio.Event()
        self._sleeping.add(event)
        try:
            await asyncio.wait_for(event.wait(), seconds)
        except TimeoutError:
            pass
        finally:
            self._sleeping.discard(event)
