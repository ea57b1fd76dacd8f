"""What becomes of a run when the process is told to stop?

Signals only: the first one lets a run pause, and if that takes too long, or another one comes, what
runs is broken off. How a run pauses is the runner's business. Handlers stand while the run lasts,
on the main thread, and those before them are back afterwards.
"""

from __future__ import annotations

import logging
import signal
import threading
from collections.abc import Awaitable, Callable, Collection, Generator
from contextlib import contextmanager
from types import FrameType
from typing import TypeVar

from lythonic_state.later import asyncio

T = TypeVar("T")

LOG = logging.getLogger("lythonic_compose")

GRACE_SECONDS = 10.0
"""How long nodes that have begun may go on after the first signal."""

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def can_be_told() -> bool:
    """Whether signals reach this thread, and no event loop runs on it that they may be for."""
    if threading.current_thread() is not threading.main_thread():
        return False
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return True
    return False


async def until_told(
    work: Awaitable[T], pause: Callable[[], None], break_off: Callable[[], None]
) -> T:
    """Awaits work; a signal pauses it, and after the grace period or another one it is cancelled.

    `break_off` is called before the cancellation.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.ensure_future(work)
    grace: list[asyncio.TimerHandle] = []

    def cut() -> None:
        if not task.done():
            break_off()
            task.cancel()

    def heard(name: str) -> None:
        if grace:
            cut()
            return
        LOG.warning("%s: the run pauses once its nodes have ended; again to break them off", name)
        grace.append(loop.call_later(GRACE_SECONDS, cut))
        pause()

    try:
        with handled(loop, heard):
            return await task
    finally:
        for timer in grace:
            timer.cancel()


@contextmanager
def handled(
    loop: asyncio.AbstractEventLoop,
    heard: Callable[[str], None],
    signals: Collection[signal.Signals] = SIGNALS,
) -> Generator[None]:
    """Has a function called on a loop with the name of each signal that comes in the block.

    What is ignored (as `nohup` has it) stays ignored.
    """
    standing = {each: signal.getsignal(each) for each in signals}
    # None: not of Python's making, so that it could not be put back
    mine = {
        each: before
        for each, before in standing.items()
        if before is not None and before is not signal.SIG_IGN
    }
    waking = signal.set_wakeup_fd(-1)
    try:
        for each in mine:
            _handle(loop, each, heard)
        yield
    finally:
        for each, before in mine.items():
            try:
                loop.remove_signal_handler(each)
            except NotImplementedError:
                pass
            signal.signal(each, before)
        signal.set_wakeup_fd(waking)


def _handle(
    loop: asyncio.AbstractEventLoop, number: signal.Signals, heard: Callable[[str], None]
) -> None:
    try:
        # wakes the loop, whichever thread the system interrupts
        loop.add_signal_handler(number, heard, number.name)
    except NotImplementedError:  # on Windows, where a loop is woken anyway

        def handler(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(heard, number.name)

        signal.signal(number, handler)
