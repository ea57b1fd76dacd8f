"""Who carries out the steps of a call that cannot be answered at once?

Two short loops, one for sync and one for async functions. What the steps are for is said by whoever
yields them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Generator
from typing import Any, TypeAlias

from lythonic_state.fields import frozen

from ..call import in_thread, to_the_end
from .flight import Flight, Landed
from .inside import INSIDE, Inside


@frozen
class Blocking:
    """Do this, which may wait for a disk or a lock."""

    work: Callable[[], Any]
    may_be_left: bool = False
    """Whether a caller who is cancelled need not wait for its end."""


@frozen
class Wait:
    """Wait for the flight of somebody else, which gives a `Landed`."""

    flight: Flight


@frozen
class Pause:
    """Wait a moment."""

    seconds: float


@frozen
class Call:
    """Call the function, which gives a `Landed`, too."""

    inside: Inside


Step: TypeAlias = Blocking | Wait | Pause | Call
Steps: TypeAlias = Generator[Step, Any, Landed]


def carry_out(steps: Steps, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Carries out the steps of a sync function's call; what it raises is raised."""
    landed = Landed(cut_short=True)
    try:
        step = steps.send(None)
        while True:
            try:
                result = _carried_out(step, function, args, kwargs)
            except BaseException as error:  # noqa: BLE001 - thrown into the steps
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as done:
        landed = done.value
    return landed.result()


def _carried_out(step: Step, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    match step:
        case Blocking(work):
            return work()
        case Wait(flight):
            return flight.wait()
        case Pause(seconds):
            time.sleep(seconds)
            return None
        case Call(inside):
            token = INSIDE.set((*INSIDE.get(), inside))
            try:
                return Landed(function(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - the steps say what becomes of it
                return Landed(error=error)
            finally:
                INSIDE.reset(token)


async def carry_out_async(
    steps: Steps, function: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    """The same of an async function; nothing on the loop waits for a disk or a lock."""
    landed = Landed(cut_short=True)
    try:
        step = steps.send(None)
        while True:
            try:
                result = await _carried_out_async(step, function, args, kwargs)
            except BaseException as error:  # noqa: BLE001 - thrown into the steps
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as done:
        landed = done.value
    return landed.result()


async def _carried_out_async(
    step: Step, function: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    match step:
        case Blocking(work, may_be_left):
            return await (in_thread(work) if may_be_left else to_the_end(in_thread(work)))
        case Wait(flight):
            return await flight.wait_on_loop()
        case Pause(seconds):
            return await asyncio.sleep(seconds)
        case Call(inside):
            token = INSIDE.set((*INSIDE.get(), inside))
            try:
                return Landed(await function(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - the steps say what becomes of it
                return Landed(error=error)
            finally:
                INSIDE.reset(token)
