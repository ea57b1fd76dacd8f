"""What the tests of caches share: a clock that stands, and functions in both colours."""

import inspect
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lythonic_compose.cached import cached

KINDS = ("sync", "async")


class Clock:
    """A time that passes only when it is told to."""

    def __init__(self) -> None:
        self.now = datetime(2026, 1, 31, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def passes(self, **time: float) -> None:
        self.now += timedelta(**time)


class Chance:
    """A random number that is always the same, until another one is set."""

    def __init__(self, value: float = 0.999) -> None:
        self.value = value

    def __call__(self) -> float:
        return self.value


class Source:
    """A function with a parameter `symbol`, cached in one colour, that notes its calls.

    It returns `value`, or raises it.
    """

    def __init__(self, kind: str, path: Path, **options: Any) -> None:
        self.calls: list[str] = []
        self.value: Any = 1.5
        self.clock = Clock()
        self.chance = Chance()
        source = self

        def price(symbol: str) -> float:
            return source._answer(symbol)

        async def price_async(symbol: str) -> float:
            return source._answer(symbol)

        function: Any = price if kind == "sync" else price_async
        given: dict[str, Any] = {"min_ttl": 1, "max_ttl": 3, **options}
        make: Callable[[Any], Any] = cached(path, clock=self.clock, random=self.chance, **given)
        self.cached = make(function)

    def _answer(self, symbol: str) -> float:
        self.calls.append(symbol)
        if isinstance(self.value, BaseException):
            raise self.value
        found: float = self.value
        return found

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return await result(self.cached(*args, **kwargs))


async def result(of: Any) -> Any:
    """A value, or what an awaitable gives."""
    return await of if inspect.isawaitable(of) else of
