"""How do other processes know that this one is still calling a function? It renews its leases.

One thread does so, which is there while there are leases. What a lease is for is not known here.
"""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime
from uuid import uuid4

from lythonic_state.fields import frozen

from .store import UNAVAILABLE, CacheFile
from .tables import FunctionTable

IDLE_SECONDS = 3.0
"""How long the renewing thread stays when there is nothing to renew. It is less than a third of the
usual lease, so that the thread need not be woken for one."""


@frozen(eq=False)
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
        """In a forked child: the leases and the thread are the parent's."""
        self._process = uuid4().hex
        self._changed = threading.Condition()
        self._due: dict[Held, float] = {}
        self._running = False
        self._wakes_at = 0.0
        """When the thread looks again by itself."""

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
        due = time.monotonic() + lease.seconds / 3
        with self._changed:
            self._due[lease] = due
            if not self._running:
                self._running = True
                threading.Thread(
                    target=self._run, name="lythonic-cache-leases", daemon=True
                ).start()
            elif due < self._wakes_at:
                self._changed.notify()

    def end(self, lease: Held) -> None:
        with self._changed:
            self._due.pop(lease, None)

    def _run(self) -> None:
        while True:
            with self._changed:
                if not self._due:
                    self._sleep(IDLE_SECONDS)
                    if not self._due:
                        self._running = False
                        return
                now = time.monotonic()
                due = [lease for lease, at in self._due.items() if at <= now]
                for lease in due:
                    self._due[lease] = now + lease.seconds / 3
                if not due:
                    self._sleep(min(self._due.values()) - now)
            for lease in due:
                self._renew(lease)

    def _sleep(self, seconds: float) -> None:
        self._wakes_at = time.monotonic() + seconds
        self._changed.wait(seconds)
        self._wakes_at = 0.0

    def _renew(self, lease: Held) -> None:
        now = datetime.now(UTC)
        try:
            lease.file.write(
                lease.table, lambda conn: lease.table.renew(conn, lease.key, lease.owner, now)
            )
        except UNAVAILABLE:
            pass  # it is tried again before the lease runs out


RENEWALS = _Renewals()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=RENEWALS.forget)
