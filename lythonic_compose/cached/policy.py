"""Is a kept value young enough, or must the function be called?

Pure: ages, time and chance come in as arguments. Where values are kept is not known here.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Literal, TypeAlias

from lythonic_state.fields import frozen

from ..errors import CacheError

Decision: TypeAlias = Literal["serve", "refresh", "call"]
"""Serve what is kept; call the function and serve what is kept if that fails; call it."""

SECONDS_PER_DAY = 86_400.0


@frozen
class Ttl:
    """From which age on a value may be refreshed, and from which it must be, in seconds."""

    min: float
    max: float

    def decide(self, age: float | None, chance: float) -> Decision:
        """What to do about a value of this age, None if there is none.

        Between the two ages the probability of a refresh grows from 0 to 1; `chance` is evenly
        distributed in [0, 1). A value from the future, which a clock that was set back leaves
        behind, counts as old as it is far away.
        """
        if age is None:
            return "call"
        age = abs(age)
        if age < self.min and age < self.max:
            return "serve"
        if age >= self.max:
            return "call"
        return "refresh" if chance < (age - self.min) / (self.max - self.min) else "serve"


def ttl(min_ttl: float | timedelta, max_ttl: float | timedelta) -> Ttl:
    """Both ages as they are configured: numbers are days.

    Raises:
        CacheError: one is no number from 0 on, or they are in the wrong order.
    """
    made = Ttl(_seconds("min_ttl", min_ttl), _seconds("max_ttl", max_ttl))
    if made.min > made.max:
        raise CacheError(
            f"min_ttl={min_ttl!r} is longer than max_ttl={max_ttl!r}; a value is fresh up to "
            "min_ttl, and served no more from max_ttl on"
        )
    return made


def _seconds(name: str, value: float | timedelta) -> float:
    if isinstance(value, timedelta):
        found = value.total_seconds()
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        found = value * SECONDS_PER_DAY
    else:
        raise CacheError(f"{name} is a number of days or a timedelta, not {value!r}")
    if not found >= 0:
        raise CacheError(f"{name} is an age from 0 on, not {value!r}")
    return found


def length(seconds: float) -> timedelta:
    """So many seconds, or the longest time that there is, in either direction."""
    try:
        return timedelta(seconds=seconds)
    except OverflowError:
        return timedelta.max if seconds > 0 else timedelta.min


def moment(now: datetime, seconds: float) -> datetime:
    """The moment so many seconds from now, or the first or last one that there is."""
    try:
        return now + length(seconds)
    except OverflowError:
        return (datetime.max if seconds > 0 else datetime.min).replace(tzinfo=now.tzinfo)


def stands_below(name: str, prefix: str) -> bool:
    """Whether a function's name, "market.data:price", is a prefix or stands below it."""
    prefix = prefix.rstrip(".:")
    return name == prefix or name.startswith((f"{prefix}.", f"{prefix}:"))
