"""What is due, and what becomes of it? Pure decisions, from a configuration and a moment.

Ticks that are due fire, wait in the queue, or are left out with a reason. Nothing is read, written
or begun here.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Literal, TypeAlias, cast

from lythonic_state.fields import frozen

from ..config import TriggerConfig
from ..events import RunStatus
from .clock import Schedule
from .tables import FireKind, FireStatus

ON_TIME = timedelta(seconds=30)
"""A tick that is noticed so soon was not missed."""
SKEW = timedelta(seconds=60)
"""So far may clocks of several machines be apart. A clock that goes back further was set."""
MOST_AT_ONCE = 100
"""For so many ticks runs are made up for with one look; the others have to wait for the next."""
MOST_QUEUED = 1000
"""So many fires of one trigger wait at most."""
MOST_COUNTED = 1000
"""Of more ticks that were missed only so many are counted."""
POLL_SCHEDULE = "* * * * *"
"""When a function is polled for which there is no schedule: each minute."""

MISSED = "missed: no engine was there"
TOO_OLD = "missed: longer ago than catch_up_window"
FULL = f"{MOST_QUEUED} others wait already"


@frozen
class Situation:
    """What a decision is made from."""

    config: TriggerConfig
    since: datetime
    """Ticks up to here are dealt with."""
    now: datetime
    running: Sequence[str] = ()
    """The runs of the trigger that are under way, oldest first."""
    queued: int = 0
    """How many fires wait for their end."""
    starting: bool = False
    """Whether this is the first look since the engine was started."""


@frozen
class Fire:
    """A tick for which a run begins, at once or when its turn comes."""

    tick: datetime
    kind: FireKind
    queued: bool = False


@frozen
class Skipped:
    """Ticks for which none does."""

    first: datetime
    last: datetime
    ticks: int
    reason: str


@frozen
class Decision:
    """What becomes of the ticks that are due. From now on, those up to `since` are dealt with."""

    since: datetime
    fires: tuple[Fire, ...] = ()
    skipped: tuple[Skipped, ...] = ()

    @property
    def last_tick(self) -> datetime | None:
        """The last tick that it is about."""
        ticks = [*(fire.tick for fire in self.fires), *(left.last for left in self.skipped)]
        return max(ticks, default=None)


def schedule_of(config: TriggerConfig) -> Schedule | None:
    """When a trigger ticks; None if it only fires by hand.

    Raises:
        TriggerError: the schedule or the time zone makes no sense.
    """
    if config.schedule is not None:
        return _schedule(config.schedule, config.timezone)
    return None if config.poll_fn is None else _schedule(POLL_SCHEDULE, config.timezone)


def next_tick(config: TriggerConfig, since: datetime) -> datetime | None:
    """The first tick after a moment; None if there is none."""
    schedule = schedule_of(config)
    return None if schedule is None else schedule.next_after(since)


def decide(situation: Situation) -> Decision:
    """What becomes of the ticks since the last decision.

    Example:
        >>> decide(Situation(TriggerConfig(schedule="0 6 * * *"), since=five_o_clock, now=seven))
        Decision(since=six, fires=(Fire(six, "catch-up"),))

    Raises:
        TriggerError: the schedule or the time zone makes no sense.
    """
    config, since, now = situation.config, situation.since, situation.now
    if now < since:
        # what has a run gets no other one, and the rest is as if nobody had looked at it yet
        return Decision(now if since - now > SKEW else since)
    schedule = schedule_of(config)
    newest = None if schedule is None else schedule.newest(since, now)
    if schedule is None or newest is None:
        return Decision(since)
    on_time = now - newest <= ON_TIME
    if config.poll_fn is not None:
        busy = bool(situation.running) and config.overlap != "parallel"
        late = not on_time and config.catch_up == "none"
        # the function itself tells of what there was to do meanwhile
        return Decision(newest, () if busy or late else (Fire(newest, "poll"),))
    if config.catch_up == "all":
        return _each(situation, schedule, newest)
    if config.catch_up == "none" and not on_time:
        return Decision(newest, (), _left_out(schedule, since, newest, MISSED))
    missed = _left_out(schedule, since, newest - timedelta(seconds=1), MISSED)
    makes_up = config.catch_up == "once" and (bool(missed) or not on_time)
    fire = Fire(newest, "catch-up" if makes_up else "schedule")
    return _placed(situation, [fire], newest, missed)


def _each(situation: Situation, schedule: Schedule, newest: datetime) -> Decision:
    """A fire for each tick that is not too old."""
    since, now = situation.since, situation.now
    begin = max(since, now - cast(timedelta, situation.config.catch_up_window))
    too_old = _left_out(schedule, since, begin, TOO_OLD)
    ticks = schedule.ticks(begin, newest, MOST_AT_ONCE)
    fires = [
        Fire(tick, "schedule" if tick == newest and now - tick <= ON_TIME else "catch-up")
        for tick in ticks
    ]
    # if there are still more of them, their turn comes with the next look
    return _placed(situation, fires, ticks[-1] if ticks else newest, too_old)


def _placed(
    situation: Situation, fires: Sequence[Fire], since: datetime, left: tuple[Skipped, ...]
) -> Decision:
    """Which of the fires begin at once, which wait, and which are left out."""
    overlap = situation.config.overlap
    if overlap == "parallel":
        return Decision(since, tuple(fires), left)
    busy = bool(situation.running or situation.queued)
    kept: list[Fire] = []
    for fire in fires:
        waits = busy or bool(kept)
        if waits and not kept and not _may_wait(situation, fire):
            left = (*left, Skipped(fire.tick, fire.tick, 1, _in_the_way(situation)))
        elif situation.queued + len(kept) >= MOST_QUEUED:
            left = (*left, Skipped(fire.tick, fire.tick, 1, FULL))
        else:
            kept.append(Fire(fire.tick, fire.kind, queued=waits))
    return Decision(since, tuple(kept), left)


def _may_wait(situation: Situation, fire: Fire) -> bool:
    if situation.config.overlap == "queue":
        return True
    # what is caught up waits for what a dead engine had begun, and which goes on now
    at_start = situation.starting and not situation.queued
    return fire.kind == "catch-up" and (situation.config.catch_up == "all" or at_start)


def _in_the_way(situation: Situation) -> str:
    if not situation.running:
        return "others wait for their turn"
    return f"run {situation.running[0]} had not ended"


def _left_out(
    schedule: Schedule, after: datetime, until: datetime, reason: str
) -> tuple[Skipped, ...]:
    """All ticks of a stretch of time, as one."""
    ticks = schedule.ticks(after, until, MOST_COUNTED)
    if not ticks:
        return ()
    last = schedule.newest(after, until) if len(ticks) == MOST_COUNTED else ticks[-1]
    return (Skipped(ticks[0], last or ticks[-1], len(ticks), reason),)


# --- after a start --------------------------------------------------------------------------

Step: TypeAlias = Literal["begin", "continue", "wait", "settle"]


def next_step(
    status: FireStatus,
    *,
    polls: bool,
    goes_on: bool,
    run: RunStatus | None,
    run_is_alive: bool,
    is_known: bool,
) -> Step:
    """What becomes of a fire whose owner is gone, by what is known of its run.

    `polls` says that its function has not been asked yet, `goes_on` that an engine that was stopped
    paused the run, and `is_known` that there is a history that would know of it.
    """
    if run is None:
        # without a history, only what was not begun is surely to be begun
        return "begin" if polls or status == "claimed" or is_known else "settle"
    if run == "running":
        return "wait" if run_is_alive else "continue"
    return "continue" if run == "paused" and goes_on else "settle"


@lru_cache(maxsize=1024)
def _schedule(text: str, timezone: str) -> Schedule:
    return Schedule(text, timezone)
