"""Who has this data directory? One process at a time, by a lock that its end gives back.

The lock is the system's, on a file that says who holds it: whatever becomes of the process, the
lock is free when it is gone. What is done under the lock is not known here.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lythonic_state.fields import frozen

from ..dag_provenance.liveness import Here, Owner, owner_of_this_process
from ..dag_runner import utc_now
from ..errors import ConfigError, EngineRunning

FILE_NAME = "lyth.lock"
PATIENCE = 0.5
"""Seconds for which a lock is asked for again: who only looks holds it for a moment, too."""


@frozen(slots=False)
class Holder:
    """The process that has a data directory; what is not known of it is empty."""

    pid: int
    host: str
    since: datetime | None
    owner: str = ""
    """The process as run histories know it, by which it is told from another of its number."""

    def __str__(self) -> str:
        if not self.pid:
            return "another process"
        since = "" if self.since is None else f" since {self.since:%Y-%m-%d %H:%M:%S} UTC"
        return f"process {self.pid} on {self.host}{since}"

    def is_seen_from(self, here: Here) -> bool:
        """Whether its number means this process here: not on other machines, nor in containers."""
        owner = Owner.parse(self.owner)
        if owner is None or not owner.boot or not here.boot:
            return self.host == socket.gethostname()
        same_place = (owner.boot, owner.namespace) == (here.boot, here.namespace)
        return same_place and here.start_of(owner.pid) == owner.start


@contextmanager
def hold(data: Path, clock: Callable[[], datetime] = utc_now) -> Generator[Holder]:
    """Has a data directory, which is made if need be, for as long as the block lasts.

    Example:
        >>> with hold(Path("/srv/reports")):
        ...     serve()

    Raises:
        EngineRunning: another process has it; the message says which, and since when.
        ConfigError: the directory cannot be written.
    """
    try:
        data.mkdir(parents=True, exist_ok=True)
        file = os.open(data / FILE_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise ConfigError(f"the data directory {data} cannot be used: {error.strerror}") from error
    mine = Holder(os.getpid(), socket.gethostname(), clock(), owner_of_this_process(""))
    try:
        if not _taken(file, exclusive=True, patience=PATIENCE):
            raise EngineRunning(
                f"an engine runs on {data} already: {_said(file)}; `lyth stop` ends it"
            )
        _say(file, json.dumps({**asdict(mine), "since": mine.since}, default=_text))
        _FORKED.add(file)
        yield mine
        _say(file, "")
    finally:
        if os.getpid() == mine.pid:  # a child that was forked has closed it
            _FORKED.discard(file)
            _unlock(file)
            os.close(file)


def holder(data: Path) -> Holder | None:
    """Who has a data directory now; None if nobody has.

    Example:
        >>> print(holder(Path("/srv/reports")))
        process 4711 on reports-1 since 2026-03-01 06:00:12 UTC

    Raises:
        ConfigError: it cannot be seen, for want of rights.
    """
    try:
        file = os.open(data / FILE_NAME, os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise ConfigError(f"{data / FILE_NAME} cannot be read: {error.strerror}") from error
    try:
        return None if _taken(file, exclusive=False, patience=0) else _said(file)
    finally:
        os.close(file)


def _said(file: int) -> Holder:
    """What the file says of who has it; it is written just after it was locked."""
    for _ in range(20):
        os.lseek(file, 0, os.SEEK_SET)
        try:
            said: dict[str, Any] = json.loads(os.read(file, 4096))
            since = datetime.fromisoformat(said.pop("since"))
            return Holder(**said, since=since)
        except (ValueError, TypeError, KeyError):
            time.sleep(0.01)
    return Holder(0, "", None)


def _say(file: int, text: str) -> None:
    os.ftruncate(file, 0)
    os.lseek(file, 0, os.SEEK_SET)
    os.write(file, text.encode())


def _text(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()


def _taken(file: int, *, exclusive: bool, patience: float) -> bool:
    until = time.monotonic() + patience
    while not _lock(file, exclusive):
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


if sys.platform == "win32":
    import msvcrt

    _FAR = 1 << 30
    """A byte that is locked cannot be read there, so it is one behind the text."""

    def _lock(file: int, exclusive: bool) -> bool:
        os.lseek(file, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        if not exclusive:
            _unlock(file)
        return True

    def _unlock(file: int) -> None:
        os.lseek(file, _FAR, os.SEEK_SET)
        try:
            msvcrt.locking(file, msvcrt.LK_UNLCK, 1)
        except OSError:  # it was not locked
            pass

else:
    import fcntl

    def _lock(file: int, exclusive: bool) -> bool:
        try:
            fcntl.flock(file, (fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _unlock(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_UN)


_FORKED: set[int] = set()
"""Files of locks that are held: a child that was forked would keep them beyond this process."""


def _leave_to_the_parent() -> None:
    for file in _FORKED:
        with contextlib.suppress(OSError):
            os.close(file)
    _FORKED.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_the_parent)
