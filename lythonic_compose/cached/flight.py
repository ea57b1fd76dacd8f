"""Who in this process is calling a function for a key now, so that nobody else calls it too?

Whoever comes meanwhile waits for the same flight, be it in a thread or on an event loop. What is
called, and what is kept, is not known here.
"""

from __future__ import annotations

import asyncio
import os
import threading
from concurrent.futures import Future
from contextlib import suppress
from typing import Any
from weakref import WeakSet

from lythonic_state.fields import frozen


@frozen
class Landed:
    """How a flight ended: with a value, with an error, or with neither, if it was cut short."""

    value: Any = None
    text: str | None = None
    """The value as it is kept, of which each may make one of its own."""
    error: Exception | None = None
    cut_short: bool = False

    def result(self) -> Any:
        if self.error is not None:
            raise self.error
        return self.value


class Flight:
    """A call that is under way.

    Where `nothing_kept` could be served instead, whoever comes has to wait for it.
    """

    def __init__(self, nothing_kept: bool) -> None:
        self.nothing_kept = nothing_kept
        self._end: Future[Landed] = Future()
        self._end.set_running_or_notify_cancel()  # nobody who waits for it can cancel it
        self._on_loops: dict[asyncio.AbstractEventLoop, asyncio.Event] = {}

    def land(self, landed: Landed) -> None:
        self._end.set_result(landed)

    def wait(self) -> Landed:
        """How it ends, for whoever may hold up its thread."""
        return self._end.result()

    async def wait_on_loop(self) -> Landed:
        """The same on an event loop, which is told once for all who wait there."""
        loop = asyncio.get_running_loop()
        ended = self._on_loops.get(loop)
        if ended is None:
            ended = self._on_loops[loop] = asyncio.Event()
            self._end.add_done_callback(lambda _: _tell(loop, ended))
        await ended.wait()
        return self._end.result()


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    with suppress(RuntimeError):  # the loop has been closed; nobody waits any more
        loop.call_soon_threadsafe(ended.set)


class Flights:
    """The calls of one function that are under way, by key."""

    def __init__(self) -> None:
        _FLIGHTS.add(self)
        self.forget()

    def join(self, key: str, nothing_kept: bool) -> tuple[Flight, bool]:
        """The flight of a key; and whether it is the caller's own, to `land`."""
        with self._lock:
            found = self.by_key.get(key)
            if found is not None:
                return found, False
            made = self.by_key[key] = Flight(nothing_kept)
            return made, True

    def land(self, key: str, flight: Flight, landed: Landed) -> None:
        with self._lock:
            if self.by_key.get(key) is flight:  # not so in a child that was forked meanwhile
                del self.by_key[key]
        flight.land(landed)

    def forget(self) -> None:
        """In a forked child: whoever calls is in the parent."""
        self._lock = threading.Lock()
        self.by_key: dict[str, Flight] = {}


_FLIGHTS: WeakSet[Flights] = WeakSet()


def _forget_all() -> None:
    for flights in list(_FLIGHTS):
        flights.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
