"""Where can this process be made to die? At named places between a piece of work and its record.

`LYTHONIC_FAILPOINT=name` in the environment kills the process (SIGKILL) when it reaches the place
of this name, `name:3` when it does so for the third time; `name:3:stop` stops it (SIGSTOP) instead.
Tests and rehearsals of a crash use it; else a place costs a look at one variable. What is kept, and
what becomes of it afterwards, is not known here.
"""

from __future__ import annotations

import itertools
import os
import signal
from collections.abc import Iterable, Iterator, Mapping

from .errors import ConfigError, nearest

VARIABLE = "LYTHONIC_FAILPOINT"

_EVENTS = (
    *("RunStarted", "RunResumed", "RunFinished"),
    *("NodeStarted", "AttemptFailed", "NodeCompleted", "NodeSkipped", "NodeFailed"),
    *("NodeExpanded", "NodesEnded"),
)
_WHEN = {
    "before": "it has happened and is about to be told",
    "inside": "its rows are written, and COMMIT comes next",
    "after": 'it is told (with durability="node": committed), and nothing was done about it yet',
}

NAMES: Mapping[str, str] = {
    **{f"{event}.{when}": text for event in _EVENTS for when, text in _WHEN.items()},
    "store.prepared": "the tables of a store are made or migrated, and COMMIT comes next",
    "switch.decided": "a switch knows its way, and its branch has not begun",
    "pause.begun": "a pause was asked for, and no node has heard of it",
    "restart.decided": "what of a run is used again is known, and the run is not resumed yet",
    "recover.listed": "which runs are abandoned is known, and none is continued yet",
    "recover.continued": "an abandoned run was continued to its end, and the next one is not",
    "outputs.kept": "what a node returned is kept, and its rows are about to go to outputs=",
    "outputs.inside": "rows are written to outputs= with their marker, and COMMIT comes next",
    "outputs.saved": "rows are in outputs=, and their node is not recorded as completed",
    "cache.called": "a cached function has returned, and its value is not kept",
    "cache.inside": "a value is written to its cache, and COMMIT comes next",
    "cache.kept": "a value is in its cache, and the caller does not have it",
    "trigger.inside": "it is written what becomes of a tick, and COMMIT comes next",
    "trigger.claimed": "a tick is somebody's, and its run has not begun",
    "trigger.ended": "the run of a fire has ended, and the fire has not",
    "prune.inside": "a batch is removed, and COMMIT comes next",
    "prune.removed": "a batch is removed, and the next one is not",
}
"""What lies on both sides of each place. One per event of a run and side of its commit, and those
that no event tells of."""

_SIGNALS = {
    "kill": getattr(signal, "SIGKILL", signal.SIGTERM),  # on Windows, SIGTERM ends at once
    "stop": getattr(signal, "SIGSTOP", signal.SIGTERM),
}

armed: str | None = None
"""The name of the place where something happens."""
_signal: int = _SIGNALS["kill"]
_nth = 1
_times: Iterator[int] = itertools.count(1)


def reached(name: str) -> None:
    """Says that the process is at this place."""
    if armed == name and next(_times) == _nth:
        os.kill(os.getpid(), _signal)


def reached_with(events: Iterable[object], when: str) -> None:
    """Says so for each event: "before", "inside" or "after" its record."""
    if armed is not None:
        for event in events:
            reached(f"{type(event).__name__}.{when}")


def arm(text: str) -> None:
    """Chooses a place as the environment variable does; an empty text chooses none.

    Raises:
        ConfigError: there is no such place, number or action.
    """
    global armed, _nth, _signal, _times
    name, _, rest = text.partition(":")
    nth, _, action = rest.partition(":")
    if name and name not in NAMES:
        raise ConfigError(f"{VARIABLE}={text}: no failpoint {name!r}{nearest(name, NAMES)}")
    if nth and (not nth.isdecimal() or int(nth) < 1):
        raise ConfigError(f"{VARIABLE}={text}: the n-th time is a number from 1 on, not {nth!r}")
    if action and action not in _SIGNALS:
        raise ConfigError(f"{VARIABLE}={text}: the action is kill or stop, not {action!r}")
    armed = name or None
    _nth = int(nth or 1)
    _signal = _SIGNALS[action or "kill"]
    _times = itertools.count(1)


arm(os.environ.get(VARIABLE, ""))
