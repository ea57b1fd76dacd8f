"""When a schedule ticks: values, and a model that looks at each minute."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lythonic_compose.errors import TriggerError
from lythonic_compose.trigger.clock import Schedule

BERLIN = "Europe/Berlin"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def ticks(text: str, zone: str, after: str, number: int) -> list[str]:
    """The next ticks, as the wall clock of the zone shows them."""
    schedule, at = Schedule(text, zone), utc(after)
    found: list[str] = []
    for _ in range(number):
        tick = schedule.next_after(at)
        assert tick is not None
        assert tick > at
        assert tick.tzinfo is UTC
        at = tick
        found.append(tick.astimezone(ZoneInfo(zone)).strftime("%d.%m. %H:%M:%S %z"))
    return found


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        ("0 6 * * *", "2026-01-01T06:00", "2026-01-02T06:00"),
        ("0 6 * * *", "2026-01-01T05:59:59.999999", "2026-01-01T06:00"),
        ("*/15 9-17 * * mon-fri", "2026-01-02T17:45", "2026-01-05T09:00"),
        ("0 0 1,15 * *", "2026-01-02", "2026-01-15"),
        ("0 0 L * *", "2026-02-01", "2026-02-28"),
        ("0 0 L,15 * *", "2026-02-16", "2026-02-28"),
        ("0 0 29 2 *", "2096-03-01", "2104-02-29"),
        ("0 0 * 2 mon#5", "2073-01-01", "2112-02-29"),
        ("0 0 * * fri#2", "2026-01-01", "2026-01-09"),
        ("0 0 * * L5", "2026-01-01", "2026-01-30"),
        ("0 0 * * 7", "2026-01-01", "2026-01-04"),
        ("0 0 13 * fri", "2026-01-01", "2026-01-02"),  # one of the two days is enough
        ("0 0 31 2,4,5 *", "2026-01-01", "2026-05-31"),
        ("@hourly", "2026-01-01T00:30", "2026-01-01T01:00"),
        ("@Weekly", "2026-01-01", "2026-01-04"),
        ("@yearly", "2026-01-01", "2027-01-01"),
        ("0 22-2 * * *", "2026-01-01T02:00", "2026-01-01T22:00"),
        ("5-5 * * * *", "2026-01-01T00:05", "2026-01-01T01:05"),
        ("0 0 * * 3-3/2,5", "2026-01-01", "2026-01-02"),
        ("*,5 * * * *", "2026-01-01", "2026-01-01T00:01"),
        # of six fields the first is seconds
        ("15 30 6 * * *", "2026-01-01", "2026-01-01T06:30:15"),
        ("*/30 * * * * *", "2026-01-01T00:00:00.5", "2026-01-01T00:00:30"),
        ("50 * * * * *", "2026-12-31T23:59:50", "2027-01-01T00:00:50"),
    ],
)
def test_a_schedule_ticks_next_at(text: str, after: str, expected: str) -> None:
    assert Schedule(text).next_after(utc(after)) == utc(expected)


@pytest.mark.parametrize(
    ("text", "after", "expected"),
    [
        # a time of day in the gap of spring ticks at its end, once
        ("30 2 * * *", "2026-03-28T12:00", ["29.03. 03:00:00 +0200", "30.03. 02:30:00 +0200"]),
        ("0,30 2 * * *", "2026-03-28T12:00", ["29.03. 03:00:00 +0200", "30.03. 02:00:00 +0200"]),
        ("*/20 2 * * *", "2026-03-28T12:00", ["29.03. 03:00:00 +0200", "30.03. 02:00:00 +0200"]),
        ("0 2,3 * * *", "2026-03-28T12:00", ["29.03. 03:00:00 +0200", "30.03. 02:00:00 +0200"]),
        ("0 3 * * *", "2026-03-28T12:00", ["29.03. 03:00:00 +0200", "30.03. 03:00:00 +0200"]),
        # what ticks in each hour misses nothing
        ("30 * * * *", "2026-03-29T00:00", ["29.03. 01:30:00 +0100", "29.03. 03:30:00 +0200"]),
        ("59 59 * * * *", "2026-03-29T00:30", ["29.03. 01:59:59 +0100", "29.03. 03:59:59 +0200"]),
        # a time of day that comes twice in autumn ticks at the first
        ("30 2 * * *", "2026-10-24T12:00", ["25.10. 02:30:00 +0200", "26.10. 02:30:00 +0100"]),
        ("0,30 2 * * *", "2026-10-25T00:10", ["25.10. 02:30:00 +0200", "26.10. 02:00:00 +0100"]),
        # what goes by the hour, or in steps within one, goes on by the time that passes
        ("30 * * * *", "2026-10-25T00:00", ["25.10. 02:30:00 +0200", "25.10. 02:30:00 +0100"]),
        ("*/30 2 * * *", "2026-10-25T00:10", ["25.10. 02:30:00 +0200", "25.10. 02:00:00 +0100"]),
        ("0 0 2 * * *", "2026-10-24T12:00", ["25.10. 02:00:00 +0200", "26.10. 02:00:00 +0100"]),
    ],
)
def test_when_clocks_are_changed(text: str, after: str, expected: list[str]) -> None:
    assert ticks(text, BERLIN, after, len(expected)) == expected


def test_within_the_hour_that_comes_again_what_has_ticked_in_the_first_is_over() -> None:
    once_a_year = Schedule("30 2 25 10 *", BERLIN)

    for moment in ("2026-10-25T00:45", "2026-10-25T01:10", "2026-10-25T01:30"):
        assert once_a_year.next_after(utc(moment)) == utc("2027-10-25T00:30")


def test_a_day_that_a_zone_leaves_out_ticks_at_its_end() -> None:
    # Samoa went over the date line, and had no 30 December in 2011
    assert ticks("5 12 30 12 *", "Pacific/Apia", "2011-12-01", 2) == [
        "31.12. 00:00:00 +1400",
        "30.12. 12:05:00 +1400",
    ]


def test_clocks_may_be_changed_by_half_an_hour_and_across_midnight() -> None:
    # Lord Howe Island: by half an hour; Asunción: at midnight
    assert ticks("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T00:00", 2) == [
        "04.10. 02:30:00 +1100",
        "05.10. 02:15:00 +1100",
    ]
    assert ticks("@daily", "America/Asuncion", "2023-09-30T12:00", 2) == [
        "01.10. 01:00:00 -0300",
        "02.10. 00:00:00 -0300",
    ]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "has 0 fields; it has five"),
        ("0 6 * *", "has 4 fields"),
        ("0 0 6 * * * 2026", "has 7 fields"),
        ("@dayly", "the schedule '@dayly' is not known; did you mean '@daily'?"),
        ("61 * * * *", "'61' is no minute (out of range)"),
        ("61 0 * * * *", "'61' is no second (out of range)"),
        ("0 24 * * *", "'24' is no hour"),
        ("0 0 32 * *", "'32' is no day of month"),
        ("0 0 * foo *", "'foo' is no month"),
        ("0 0 * * 8", "'8' is no day of week"),
        ("*/0 * * * *", "'*/0' is no minute"),
        ("-1 * * * *", "'-1' is no minute"),
        ("0 0 15W * *", "the weekday nearest to a day is not understood"),
        ("R * * * *", "use jitter"),
        ("0 0,h(2-4) * * *", "is no hour"),
        ("0 0 30 2 *", "never ticks: no month that it names has such a day"),
        ("0 0 31 4,6,9,11 *", "never ticks"),
    ],
)
def test_what_is_no_schedule_says_why(text: str, why: str) -> None:
    with pytest.raises(TriggerError) as caught:
        Schedule(text)

    assert isinstance(caught.value, ValueError)
    assert repr(text) in str(caught.value)
    assert why in str(caught.value)


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("Europe/Berln", "did you mean 'Europe/Berlin'?"),
        ("", "there are: "),
        ("../etc", "'../etc'"),
    ],
)
def test_an_unknown_time_zone_says_the_nearest(zone: str, hint: str) -> None:
    with pytest.raises(TriggerError, match="there is no time zone") as caught:
        Schedule("@daily", zone)

    assert hint in str(caught.value)


def test_without_croniter_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "croniter", None)

    with pytest.raises(TriggerError, match=r"pip install 'lythonic-state\[engine\]'"):
        Schedule("@daily")


def test_at_the_end_of_the_calendar_there_is_no_tick() -> None:
    schedule = Schedule("0 0 1 1 *", "Asia/Tokyo")

    assert schedule.next_after(utc("9998-06-01")) == utc("9998-12-31T15:00")
    assert schedule.next_after(utc("9999-06-01")) is None
    assert schedule.newest(utc("9999-06-01"), utc("9999-12-31")) is None


def test_the_newest_tick_is_found_wherever_it_is() -> None:
    now = utc("2026-07-01T12:00:30")

    assert Schedule("* * * * * *").newest(utc("2000-01-01"), now) == now
    assert Schedule("0 6 * * *").newest(utc("2000-01-01"), now) == utc("2026-07-01T06:00")
    assert Schedule("0 0 29 2 *").newest(utc("2000-01-01"), now) == utc("2024-02-29")
    assert Schedule("0 6 * * *").newest(utc("2026-07-01T06:00"), now) is None
    assert Schedule("0 0 3 * * *").newest(utc("2026-06-30"), now) == utc("2026-07-01T03:00")
    # every second of one hour a day
    assert Schedule("* * 3 * * *").newest(utc("2020-01-01"), now) == utc("2026-07-01T03:59:59")


# --- a model --------------------------------------------------------------------------------

WINDOWS = [
    (BERLIN, "2026-03-28T20:00"),
    (BERLIN, "2026-10-24T20:00"),
    ("America/New_York", "2026-11-01T00:00"),
    ("Australia/Lord_Howe", "2026-10-03T06:00"),
    ("Australia/Lord_Howe", "2026-04-04T06:00"),
    ("America/Asuncion", "2023-09-30T20:00"),
    ("UTC", "2026-02-27T18:00"),
]
MINUTES = 24 * 60


def some(low: int, high: int) -> st.SearchStrategy[str]:
    """A field: everything, steps, or a list."""
    number = st.integers(low, high)
    return st.one_of(
        st.just("*"),
        st.integers(1, high).map(lambda step: f"*/{step}"),
        st.lists(number, min_size=1, max_size=4).map(lambda all_: ",".join(map(str, all_))),
        st.tuples(number, number).map(lambda two: f"{min(two)}-{max(two)}"),
    )


def values_of(field: str, low: int, high: int) -> set[int]:
    if field.startswith("*"):
        return set(range(low, high + 1, int(field[2:] or 1)))
    first, dash, last = field.partition("-")
    return (
        set(range(int(first), int(last) + 1)) if dash else {int(each) for each in field.split(",")}
    )


def modelled(fields: list[str], zone: str, begin: datetime) -> list[datetime]:
    """All ticks of a window, by looking at each minute that passes."""
    minute, hour, day, weekday = (
        values_of(field, *of)
        for field, of in zip(fields, [(0, 59), (0, 23), (1, 31), (0, 6)], strict=True)
    )
    by_day, by_weekday = len(day) < 31, len(weekday) < 7
    each_hour = hour == set(range(24))
    twice = each_hour or "*" in fields[0]

    def fits(wall: datetime) -> bool:
        of_day, of_weekday = wall.day in day, wall.isoweekday() % 7 in weekday
        right_day = of_day or of_weekday if by_day and by_weekday else of_day and of_weekday
        return right_day and wall.minute in minute and wall.hour in hour

    found: list[datetime] = []
    before = (begin.astimezone(ZoneInfo(zone))).replace(tzinfo=None)
    for number in range(1, MINUTES + 1):
        at = begin + timedelta(minutes=number)
        local = at.astimezone(ZoneInfo(zone))
        wall = local.replace(tzinfo=None)
        # the minutes of the wall clock that were left out on the way here
        gap = [before + timedelta(minutes=n) for n in range(1, int((wall - before).seconds / 60))]
        left_out = [] if wall < before else gap
        if (fits(wall) and (twice or local.fold == 0)) or (
            not each_hour and any(map(fits, left_out))
        ):
            found.append(at)
        before = wall
    return found


@settings(max_examples=80)
@given(
    window=st.sampled_from(WINDOWS),
    fields=st.tuples(some(0, 59), some(0, 23), some(1, 31), some(0, 6)).map(list),
)
def test_a_schedule_ticks_where_looking_at_each_minute_finds_it(
    window: tuple[str, str], fields: list[str]
) -> None:
    zone, begin = window[0], utc(window[1])
    minute, hour, day, weekday = fields
    schedule = Schedule(f"{minute} {hour} {day} * {weekday}", zone)
    end = begin + timedelta(minutes=MINUTES)
    expected = modelled(fields, zone, begin)

    assert schedule.ticks(begin, end, MINUTES) == expected
    assert schedule.newest(begin, end) == (expected[-1] if expected else None)
