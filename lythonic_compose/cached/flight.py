"""Who is calling a function for a key now, so that nobody else calls it too?

In this process a flight that others join, and the thread that renews the leases by which other
processes know. What is called, and what is kept, is not known here.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import UTC, datetime
from types import CodeType
from typing import Any
from uuid import uuid4
from weakref import WeakSet

from ..errors import CacheError
from .store import UNAVAILABLE, CacheFile
from .tables import FunctionTable

IDLE_SECONDS = 5.0
"""How long the renewing thread stays when there is nothing to renew."""


@dataclass(frozen=True, slots=True)
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


class Flights:
    """The calls of one function that are under way, by key."""

    def __init__(self) -> None:
        _FLIGHTS.add(self)
        self.forget()

    def join(self, key: str) -> tuple[Future[Landed], bool]:
        """What will tell how the flight ends; and whether it is the caller's own, to `land`."""
        with self._lock:
            found = self._by_key.get(key)
            if found is not None:
                return found, False
            made: Future[Landed] = Future()
            made.set_running_or_notify_cancel()  # nobody who waits for it can cancel it
            self._by_key[key] = made
            return made, True

    def land(self, key: str, flight: Future[Landed], landed: Landed) -> None:
        with self._lock:
            if self._by_key.get(key) is flight:  # not so in a child that was forked meanwhile
                del self._by_key[key]
        flight.set_result(landed)

    def forget(self) -> None:
        """In a forked child: whoever calls is in the parent."""
        self._lock = threading.Lock()
        self._by_key: dict[str, Future[Landed]] = {}


_FLIGHTS: WeakSet[Flights] = WeakSet()


# --- inside of a call -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Inside:
    """A call that a cache makes: whose, for which key, and of which code."""

    of: object
    key: str
    codes: frozenset[CodeType]


INSIDE: ContextVar[tuple[Inside, ...]] = ContextVar("lythonic_inside_cached", default=())
"""The calls by caches in which the running code stands, the outermost first."""


class CacheProhibitDirectCall(CacheError):
    """A function that wants to be called through its cache was called around it."""

    @classmethod
    def require(cls) -> None:
        """Refuses, inside of a function, every call of it that does not come from its cache.

        Example:
            >>> @cached("prices.db", min_ttl=0.25, max_ttl=2)
            ... def price(symbol: str) -> float:
            ...     CacheProhibitDirectCall.require()
            ...     return ask_the_exchange(symbol)

        Raises:
            CacheProhibitDirectCall: the function that stands around it was called directly.
        """
        code = sys._getframe(1).f_code
        if not any(code in call.codes for call in INSIDE.get()):
            raise cls(f"{code.co_qualname} is only to be called through its cache")


# --- leases ---------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class Held:
    """A lease of this process."""

    file: CacheFile
    table: FunctionTable
    key: str
    owner: str
    seconds: float


class _Renewals:
    """Renews the leases of this process, in a thread that is there while there are any."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        self._process = uuid4().hex
        self._changed = threading.Condition()
        self._due: dict[Held, float] = {}
        self._running = False

    def new_owner(self) -> str:
        """A name for a lease of this process that no other has."""
        return f"{self._process}-{uuid4().hex}"

    def is_left_behind(self, owner: str) -> bool:
        """Whether a lease was this process's, and could not be released when its call was over."""
        with self._changed:
            return owner.startswith(self._process) and all(
                lease.owner != owner for lease in self._due
            )

    def begin(self, lease: Held) -> None:
        with self._changed:
            self._due[lease] = time.monotonic() + lease.seconds / 3
            if not self._running:
                self._running = True
                threading.Thread(
                    target=self._run, name="lythonic-cache-leases", daemon=True
                ).start()
            self._changed.notify()

    def end(self, lease: Held) -> None:
        with self._changed:
            self._due.pop(lease, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._due and not self._changed.wait(IDLE_SECONDS) and not self._due:
                    self._running = False
                    return
                now = time.monotonic()
                due = [lease for lease, at in self._due.items() if at <= now]
                for lease in due:
                    self._due[lease] = now + lease.seconds / 3
                if not due and self._due:
                    self._changed.wait(min(self._due.values()) - now)
            for lease in due:
                self._renew(lease)

    def _renew(self, lease: Held) -> None:
        now = datetime.now(UTC)
        try:
            lease.file.write(
                lease.table, lambda conn: lease.table.renew(conn, lease.key, lease.owner, now)
            )
        except UNAVAILABLE:
            pass  # it is tried again before the lease runs out


RENEWALS = _Renewals()


def _forget_all() -> None:
    RENEWALS.forget()
    for flights in list(_FLIGHTS):
        flights.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
