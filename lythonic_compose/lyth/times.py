"""How does a person write a moment or a length of time, and how is one shown to them?

Texts and values only; what the time is comes in as an argument.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from ..progress.lines import duration

_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}
_LENGTH = re.compile(r"(?:\d+(?:\.\d+)?[smhdw])+")
_PART = re.compile(r"(\d+(?:\.\d+)?)([smhdw])")


def length_of(text: str) -> timedelta:
    """A length of time: "90s", "15m", "2h", "1d12h", "4w".

    Raises:
        ValueError: it is none.
    """
    if not _LENGTH.fullmatch(text):
        raise ValueError(f"{text!r} is no length of time; write 90s, 15m, 2h, 1d12h or 4w")
    parts = _PART.findall(text)
    try:
        return sum((timedelta(**{_UNITS[unit]: float(n)}) for n, unit in parts), timedelta())
    except OverflowError:
        raise ValueError(f"{text!r} is longer than there is time") from None


def moment_of(text: str, now: datetime) -> datetime:
    """A moment: how long ago ("2h"), or a date with or without a time, local if no zone is said.

    Raises:
        ValueError: it is none.
    """
    if _LENGTH.fullmatch(text):
        try:
            return now - length_of(text)
        except OverflowError:
            return datetime.min.replace(tzinfo=UTC)
    try:
        return datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no moment; write how long ago (2h, 7d), or 2026-01-31, "
            "or 2026-01-31T06:00"
        ) from None


def shown_moment(moment: datetime | None, now: datetime) -> str:
    """A moment in local time; the date is left out where it is today's."""
    if moment is None:
        return ""
    local, today = moment.astimezone(), now.astimezone()
    return local.strftime("%H:%M:%S" if local.date() == today.date() else "%Y-%m-%d %H:%M")


def shown_length(seconds: float | None) -> str:
    """A length of time as people say it."""
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if 0 <= seconds < 0.9995 else duration(seconds)
