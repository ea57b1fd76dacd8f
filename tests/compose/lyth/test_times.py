"""How does a person write a moment or a length of time, and how is one shown to them?"""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from lythonic_compose.lyth.times import length_of, moment_of, shown_length, shown_moment

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


@pytest.fixture
def kathmandu(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A local time of 5:45 before UTC."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Kathmandu")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("1.5h", timedelta(minutes=90)),
        ("1d12h", timedelta(hours=36)),
        ("4w", timedelta(weeks=4)),
    ],
)
def test_a_length_is_written_with_units(text: str, length: timedelta) -> None:
    assert length_of(text) == length


@pytest.mark.parametrize("text", ["", "3", "3x", "-1h", "h", "1h 2m", "1e3s"])
def test_a_length_without_sense_is_refused_with_examples(text: str) -> None:
    with pytest.raises(ValueError, match="is no length of time; write 90s, 15m"):
        length_of(text)


def test_a_length_beyond_all_time_is_refused() -> None:
    with pytest.raises(ValueError, match="longer than there is time"):
        length_of("9999999999w")


def test_a_moment_is_how_long_ago_or_a_local_date(kathmandu: None) -> None:
    assert moment_of("2h", NOW) == NOW - timedelta(hours=2)
    assert moment_of("2026-01-31", NOW) == datetime(2026, 1, 30, 18, 15, tzinfo=UTC)
    assert moment_of("2026-01-31T06:00+00:00", NOW) == datetime(2026, 1, 31, 6, tzinfo=UTC)
    assert moment_of("99999w", NOW).year == 109
    assert moment_of("999999w", NOW) == datetime.min.replace(tzinfo=UTC)


def test_a_moment_without_sense_is_refused_with_examples() -> None:
    with pytest.raises(ValueError, match="'yesterday' is no moment; write how long ago"):
        moment_of("yesterday", NOW)


def test_a_moment_is_shown_in_local_time_and_without_the_date_of_today(kathmandu: None) -> None:
    assert shown_moment(NOW - timedelta(hours=1), NOW) == "16:45:00"
    assert shown_moment(NOW - timedelta(hours=20), NOW) == "2026-02-28 21:45"
    assert shown_moment(None, NOW) == ""


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(None, ""), (0.0004, "0 ms"), (0.25, "250 ms"), (2.04, "2.0 s"), (75, "1:15")],
)
def test_a_length_is_shown_as_people_say_it(seconds: float | None, shown: str) -> None:
    assert shown_length(seconds) == shown
