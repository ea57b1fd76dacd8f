"""Is the owner of a run still there?

An owner is a process and the session of its store, as text. In the same boot of the same machine
and the same pid namespace, the process is looked for: its number and the time of its start. From
anywhere else, and where the system does not tell such things (macOS and Windows have no /proc), the
owner is alive as long as its last heartbeat is not older than a lease. No table is known here.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from dataclasses import astuple
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path

from lythonic_state.fields import frozen

LEASE = timedelta(seconds=60)
"""So old may a heartbeat be where nothing else tells."""
HERE = "in this process"
"""Said of an owner that is a store of this process, which is open."""


@frozen
class Owner:
    """A process and the session of its store; what the system does not tell is empty."""

    boot: str
    namespace: str
    pid: int
    start: str
    """When the process began, in the system's own count."""
    session: str

    def __str__(self) -> str:
        return "/".join(map(str, astuple(self)))

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """The owner of a text; None if the text is no owner."""
        parts = text.split("/")
        if len(parts) != 5 or not parts[2].isdecimal():
            return None
        return cls(parts[0], parts[1], int(parts[2]), parts[3], parts[4])


@frozen
class Here:
    """From where one looks: a boot, a pid namespace, and what it tells of processes."""

    boot: str
    namespace: str
    start_of: Callable[[int], str | None]
    """When the process of a number began; None if there is none."""
    pid: int
    sessions: frozenset[str]
    """Those of this process whose stores are open."""


def owner_of_this_process(session: str) -> str:
    """This process, also after a fork, as the owner of runs by the session of one of its stores.

    Example:
        >>> owner_of_this_process("4be1")
        '0e8f…/pid:[4026531836]/4711/88123/4be1'
    """
    return str(Owner(*_this_process(os.getpid()), session))


def begin_session() -> str:
    """A name for a store of this process that is open from now on."""
    session = uuid.uuid4().hex
    _OPEN.add(session)
    return session


def end_session(session: str) -> None:
    """Says that a store of this process is closed: what it has begun and not ended is abandoned."""
    _OPEN.discard(session)


def is_alive(
    owner: str | None, heartbeat_at: datetime | None, now: datetime, here: Here | None = None
) -> bool:
    """Whether an owner is still there, as far as can be told from here.

    Example:
        >>> is_alive(run.owner, run.heartbeat_at, datetime.now(UTC))
        True
    """
    return why_alive(owner, heartbeat_at, now, here) is not None


def why_alive(
    owner: str | None, heartbeat_at: datetime | None, now: datetime, here: Here | None = None
) -> str | None:
    """The same in words; None if it is gone."""
    known = None if owner is None else Owner.parse(owner)
    if known is not None:
        here = here or look()
        if _same_place(known, here):
            if known.pid == here.pid and known.start == here.start_of(known.pid):
                return HERE if known.session in here.sessions else None
            found = here.start_of(known.pid)
            return f"by process {known.pid}" if found == known.start else None
    if heartbeat_at is None or now - heartbeat_at > LEASE:
        return None
    seconds = max(0, round((now - heartbeat_at).total_seconds()))
    return f"by {owner}, which was alive {seconds} s ago"


def look() -> Here:
    """What is seen from this process."""
    boot, namespace, pid, _ = _this_process(os.getpid())
    return Here(boot, namespace, _start_of, pid, frozenset(_OPEN))


def _same_place(owner: Owner, here: Here) -> bool:
    """Whether the process would be seen from here; what is not known is not the same."""
    return (
        owner.boot == here.boot != ""
        and owner.namespace == here.namespace != ""
        and owner.start != ""
    )


_OPEN: set[str] = set()


@lru_cache(maxsize=2)
def _this_process(pid: int) -> tuple[str, str, int, str]:
    """By pid, since a fork is another process."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # no /proc, or not for us
        return "", "", pid, ""
    return boot.replace("/", ""), namespace.replace("/", ""), pid, _start_of(pid) or ""


def _start_of(pid: int) -> str | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    # the name of the program stands in parentheses, and may hold some
    state, *fields = text.rpartition(")")[2].split()
    return None if state in ("Z", "X") else fields[18]
