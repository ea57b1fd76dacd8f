"""When does a schedule tick? Pure: from its text, its time zone and a moment.

A schedule speaks of the wall clock of its time zone, and moments are UTC. Its text is read by
croniter, which is imported here and nowhere else; which days and times fit, and what the change to
summer time and back makes of them, stands here.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from calendar import monthrange
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo, available_timezones

from lythonic_state.fields import frozen

from ..errors import TriggerError, nearest

ALIASES: Mapping[str, str] = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
FIELDS = ("second", "minute", "hour", "day of month", "month", "day of week")

_SECOND = timedelta(seconds=1)
_DAY = timedelta(days=1)
_LEAST_LEAP = 41
"""In any so many years there is a 29 February of each day of the week, also around 2100."""


class Schedule:
    """A schedule in a time zone.

    A time of day that does not exist, since clocks go forward over it, ticks at the end of the gap
    instead, once; but where each hour ticks, nothing is missing. A time that comes twice, since
    clocks go back, ticks at the first; but what ticks in each hour, or in steps (`*/5`) within one,
    goes on by the time that passes.

    Example:
        >>> Schedule("30 6 * * *", "Europe/Berlin").next_after(datetime(2026, 7, 1, tzinfo=UTC))
        datetime.datetime(2026, 7, 1, 4, 30, tzinfo=datetime.timezone.utc)

    Raises:
        TriggerError: the text is no schedule, or one that never ticks; there is no such time zone.
    """

    def __init__(self, text: str, timezone: str = "UTC") -> None:
        self.text = text
        self.timezone = timezone
        self._zone = _zone(timezone)
        fields = _fields(text)
        self._times = _times(text, fields)
        self._each_hour = len(self._times.hours) == 24
        in_steps = any(re.search(r"[*/]", field) for field in fields[:2])
        self._twice = self._each_hour or in_steps
        """Whether it ticks again when a time of day comes again."""
        if self._times.next_after(datetime(2000, 1, 1)) is None:
            raise TriggerError(
                f"the schedule {text!r} never ticks: no month that it names has such a day"
            )

    def __repr__(self) -> str:
        return f"Schedule({self.text!r}, {self.timezone!r})"

    def next_after(self, moment: datetime) -> datetime | None:
        """The first tick after a moment, in UTC; None where the calendar ends before it.

        Example:
            >>> schedule.next_after(datetime.now(UTC))
        """
        at = moment.astimezone(UTC)
        try:
            while True:
                found = self._after(at)
                if found is None or self._twice or found.astimezone(self._zone).fold == 0:
                    return found
                at = found
        except OverflowError:
            return None

    def ticks(self, after: datetime, until: datetime, limit: int) -> list[datetime]:
        """The first so many ticks after a moment, up to another one and with it."""
        found: list[datetime] = []
        tick = self.next_after(after)
        while tick is not None and tick <= until and len(found) < limit:
            found.append(tick)
            tick = self.next_after(tick)
        return found

    def newest(self, after: datetime, until: datetime) -> datetime | None:
        """The last tick up to a moment and with it, but after another one; None if there is none.

        Example:
            >>> schedule.newest(datetime.now(UTC) - timedelta(days=1), datetime.now(UTC))
        """
        found = self.next_after(after)
        if found is None or found > until:
            return None
        # first back in longer and longer steps, then halving what is left
        span, low = _SECOND, found
        while until - span > found:
            tick = self.next_after(until - span)
            if tick is not None and tick <= until:
                low = tick
                break
            span *= 2
        while True:
            tick = self.next_after(low)
            if tick is None or tick > until:
                return low
            middle = self.next_after(low + (until - low) / 2)
            low = middle if middle is not None and middle <= until else tick

    # the wall clock

    def _after(self, at: datetime) -> datetime | None:
        """The first tick, by each time of day as often as it comes."""
        offset = self._offset(at)
        since = _naive(at) + offset
        while True:
            wall = self._times.next_after(since)
            if wall is None:
                return None
            tick = (wall - offset).replace(tzinfo=UTC)
            change = self._change(at, tick)
            if change is None:
                return tick
            # the clock is set before the tick, and goes on from here; what it leaves out is missing
            at, offset = change, self._offset(change)
            goes_on = _naive(change) + offset
            if wall < goes_on and not self._each_hour:
                return change
            since = goes_on - _SECOND

    def _offset(self, moment: datetime) -> timedelta:
        offset = moment.astimezone(self._zone).utcoffset()
        assert offset is not None
        return offset

    def _change(self, after: datetime, until: datetime) -> datetime | None:
        """The first moment after one, up to another one and with it, at which the offset is new."""
        if self._zone is UTC:
            return None
        offset, low = self._offset(after), after
        while low < until:
            high = min(low + _DAY, until)
            if self._offset(high) != offset:
                return self._change_between(low, high)
            low = high
        return None

    def _change_between(self, low: datetime, high: datetime) -> datetime:
        offset = self._offset(low)
        first, last = int(low.timestamp()), int(high.timestamp()) + 1
        while last - first > 1:
            middle = (first + last) // 2
            if self._offset(datetime.fromtimestamp(middle, UTC)) == offset:
                first = middle
            else:
                last = middle
        return datetime.fromtimestamp(last, UTC)


@frozen
class _Times:
    """Which times of a clock that never changes a schedule means."""

    seconds: Sequence[int]
    minutes: Sequence[int]
    hours: Sequence[int]
    days: frozenset[int | str] | None
    """Of the month; "l" is its last day. None where all are, however that is written."""
    months: frozenset[int]
    weekdays: frozenset[int] | None
    """From Sunday, 0, on."""
    which: Mapping[int, set[int | str]]
    """For a day of the week which of the month: its first, its second, its last ("l")."""

    def next_after(self, wall: datetime) -> datetime | None:
        """The first time after another one."""
        at = wall.replace(microsecond=0)
        try:
            at += _SECOND
            for day in self._days_from(at.date()):
                begin = at.time() if day == at.date() else time()
                found = self._time_from(begin)
                if found is not None:
                    return datetime.combine(day, found)
        except OverflowError:
            pass
        return None

    def _days_from(self, day: date) -> Iterator[date]:
        last = day.year + _LEAST_LEAP
        while day.year <= last:
            if day.month not in self.months:
                day = day.replace(day=monthrange(day.year, day.month)[1]) + _DAY
                continue
            if self._fits(day):
                yield day
            day += _DAY

    def _fits(self, day: date) -> bool:
        """As cron has it: where both kinds of days are named, one of them is enough."""
        last = monthrange(day.year, day.month)[1]
        by_day = self.days is None or day.day in self.days or (day.day == last and "l" in self.days)
        if self.weekdays is None:
            return by_day
        by_weekday = self._fits_weekday(day, last)
        return by_weekday if self.days is None else by_day or by_weekday

    def _fits_weekday(self, day: date, last: int) -> bool:
        assert self.weekdays is not None
        weekday = day.isoweekday() % 7
        if weekday not in self.weekdays:
            return False
        which = self.which.get(weekday)
        if which is None:
            return True
        return (day.day + 6) // 7 in which or ("l" in which and day.day + 7 > last)

    def _time_from(self, begin: time) -> time | None:
        """The first time of a day that is not before another one."""
        hours, minutes, seconds = self.hours, self.minutes, self.seconds
        for hour in hours[bisect_left(hours, begin.hour) :]:
            if hour > begin.hour:
                return time(hour, minutes[0], seconds[0])
            for minute in minutes[bisect_left(minutes, begin.minute) :]:
                if minute > begin.minute:
                    return time(hour, minute, seconds[0])
                at = bisect_left(seconds, begin.second)
                if at < len(seconds):
                    return time(hour, minute, seconds[at])
        return None


# --- reading --------------------------------------------------------------------------------


def _fields(text: str) -> list[str]:
    """Six fields, of which the first is seconds."""
    given = text.split()
    if len(given) == 1 and given[0].startswith("@"):
        alias = ALIASES.get(given[0].lower())
        if alias is None:
            raise TriggerError(f"the schedule {text!r} is not known{nearest(text, ALIASES)}")
        given = alias.split()
    if len(given) not in (5, 6):
        raise TriggerError(
            f"the schedule {text!r} has {len(given)} fields; it has five (minute, hour, day of "
            "month, month, day of week), or six with seconds before them"
        )
    # croniter takes 5-5 for everything
    plain = [re.sub(r"(?<![^,])(\w+)-\1(/\d+)?(?![^,])", r"\1", field) for field in given]
    return plain if len(plain) == 6 else ["0", *plain]


def _times(text: str, fields: Sequence[str]) -> _Times:
    """What the fields mean."""
    read = [_read(text, number, field) for number, field in enumerate(fields)]
    second, minute, hour, day, month, weekday = (values for values, _ in read)
    which = read[-1][1]

    def listed(values: Sequence[Any], all_: range) -> list[int]:
        return list(all_) if "*" in values else sorted(values)

    return _Times(
        listed(second, range(60)),
        listed(minute, range(60)),
        listed(hour, range(24)),
        None if "*" in day or len(day) > 30 else frozenset(day),
        frozenset(listed(month, range(1, 13))),
        None if "*" in weekday or (len(weekday) > 6 and not which) else frozenset(weekday),
        which,
    )


def _read(text: str, number: int, field: str) -> tuple[list[Any], Mapping[int, set[int | str]]]:
    """The values of one field, and for days of the week which of the month."""
    place = max(number - 1, 0)  # seconds are read as minutes are
    alone = ["*"] * 5
    alone[place] = field
    croniter = _croniter()
    problem = _problem(number, field)
    try:
        if problem is None:
            values, which = croniter.expand(" ".join(alone))
            return values[place], which
    except (ValueError, KeyError) as error:
        said = str(error).partition("] ")[2] or str(error)
        said = said.removeprefix("is not acceptable").partition("Cron:")[0].strip(" ,.")
        problem = said or "it is not understood"
    raise TriggerError(
        f"the schedule {text!r} makes no sense: {field!r} is no {FIELDS[number]} ({problem})"
    )


def _problem(number: int, field: str) -> str | None:
    """What croniter would take, and is not to be had here."""
    parts = field.lower().split(",")
    if any(re.match(r"[hr](\(|/|$)", part) for part in parts):
        return "it says that chance decides; use jitter"
    if FIELDS[number] == "day of month" and any("w" in part for part in parts):
        return "the weekday nearest to a day is not understood"
    return None


def _croniter() -> Any:
    try:
        from croniter import croniter
    except ImportError as error:
        raise TriggerError(
            "schedules are read by croniter, which is not installed: "
            "pip install 'lythonic-state[engine]'"
        ) from error
    return croniter


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (KeyError, OSError, ValueError):
        known = available_timezones()
        hint = nearest(name, known) if known else "; install tzdata, for this system has none"
        raise TriggerError(f"there is no time zone {name!r}{hint}") from None


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)
