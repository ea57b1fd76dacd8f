"""When is a node that failed called again? A pure rule: numbers and errors in, seconds out."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, TypeAlias

from lythonic_state.fields import frozen

from .errors import DagError

ErrorTest: TypeAlias = (
    "type[BaseException] | tuple[type[BaseException], ...] | Callable[[BaseException], bool]"
)


@frozen
class Retry:
    """How often a node is tried, with which pauses, and after which errors.

    The pause after the n-th failure is `backoff * factor ** (n - 1)` seconds, `longest` at most,
    and then up to `jitter` times as much more or less, at random. `on` is an exception class, a
    tuple of them, or a function that says of an error whether to try again.

    Example:
        >>> dag.node(fetch, retry=Retry(5, backoff=0.5, jitter=0.2, on=OSError))

    Raises:
        DagError: a number that makes no sense.
    """

    attempts: int = 3
    backoff: float | timedelta = 0.0
    jitter: float = 0.0
    factor: float = 2.0
    longest: float | timedelta = 3600.0
    on: ErrorTest = Exception

    def __post_init__(self) -> None:
        if isinstance(self.attempts, bool) or self.attempts < 1:
            raise DagError(f"Retry(attempts={self.attempts}): a node is tried at least once")
        if _seconds(self.backoff) < 0 or _seconds(self.longest) < 0 or self.factor < 1:
            raise DagError(f"{self!r}: pauses are not negative, and do not shrink (factor >= 1)")
        if not 0 <= self.jitter <= 1:
            raise DagError(f"Retry(jitter={self.jitter}): jitter is a share from 0 to 1")

    def pause(self, failures: int, error: BaseException, chance: float) -> float | None:
        """Seconds until the next attempt after so many failures; None when there is none.

        `chance` is a random number from 0 to 1, which says where in the jitter the pause falls.

        Example:
            >>> Retry(3, backoff=1.0).pause(2, OSError(), 0.5)
            2.0
            >>> Retry(3, backoff=1.0).pause(3, OSError(), 0.5)
        """
        if failures >= self.attempts or not self._is_for(error):
            return None
        longest = _seconds(self.longest)
        try:
            pause = min(_seconds(self.backoff) * self.factor ** (failures - 1), longest)
        except OverflowError:
            pause = longest
        return pause * (1 + self.jitter * (2 * chance - 1))

    def _is_for(self, error: BaseException) -> bool:
        if isinstance(self.on, (type, tuple)):
            return isinstance(error, self.on)
        test: Any = self.on
        return bool(test(error))


def _seconds(value: float | timedelta) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else value
