"""What does a store know of its runs without asking the database, and who writes them?

A `Write` is what is left to do with a connection; nothing is written here.
"""

from __future__ import annotations

import os
from collections import OrderedDict
from collections.abc import Callable, Generator
from dataclasses import field
from datetime import datetime
from typing import Any, NamedTuple, TypeAlias

from lythonic_state.fields import mutable

from .liveness import owner_of_this_process, why_alive
from .tables import DagRun

Steps: TypeAlias = Generator[Any, Any, None]
Write: TypeAlias = "Callable[[Known], Steps]"
"""What is left to do with a connection."""
REMEMBERED = 4096


class Author:
    """Who records, as the owner of the runs that it begins and resumes."""

    def __init__(self, session: str) -> None:
        self._session = session
        self._pid = -1
        self._owner = ""
        self.broken: set[str] = set()
        """The runs whose end could not be recorded, so that they only seem to be running."""

    @property
    def owner(self) -> str:
        if self._pid != os.getpid():  # after a fork we are somebody else
            self._pid, self._owner = os.getpid(), owner_of_this_process(self._session)
        return self._owner

    def why_running(self, run: DagRun, at: datetime) -> str | None:
        """Who is at work on a run that is running; None if nobody is."""
        if run.run_id in self.broken and run.owner == self.owner:
            return None
        return why_alive(run.owner, run.heartbeat_at, at)


class RunningAttempt(NamedTuple):
    """The attempt of a node that is running."""

    node_id: int
    attempt_id: int
    number: int


@mutable(slots=False)
class Known:
    """What need not be asked of the database, since it was written from here.

    `forget` is called whenever a write has failed. What is missing is asked for.
    """

    running: dict[tuple[str, str], RunningAttempt] = field(
        default_factory=dict[tuple[str, str], RunningAttempt]
    )
    """By run and label."""
    fences: dict[str, int] = field(default_factory=dict[str, int])
    """Of the runs that are running here, as far as it is sure that they still are."""
    at_work: set[str] = field(default_factory=set[str])
    """The runs that were begun or resumed here and have not ended: not what is sure, but what it is
    said of that its owner is alive."""
    contents: OrderedDict[str, None] = field(default_factory=OrderedDict[str, None])
    """Payloads and graphs that are there, by their hash."""

    def forget(self) -> None:
        self.running.clear()
        self.fences.clear()
        self.contents.clear()

    def has(self, content_hash: str) -> bool:
        """Whether it is there already; else it is taken to be there from now on."""
        if content_hash in self.contents:
            return True
        self.contents[content_hash] = None
        if len(self.contents) > REMEMBERED:
            self.contents.popitem(last=False)
        return False


def together(*writes: Write) -> Write:
    """Several writes as one."""

    def write(known: Known) -> Steps:
        for each in writes:
            yield from each(known)

    return write
