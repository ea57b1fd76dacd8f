"""How do many ask at once? Tasks of one loop, or threads, for what takes 20 ms to compute."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor

SECONDS = 0.02


class Counted:
    """Counts the calls that a function has had since it was asked last."""

    def __init__(self) -> None:
        self.mutex, self.calls = threading.Lock(), 0

    def __call__(self) -> None:
        with self.mutex:
            self.calls += 1

    def since(self) -> int:
        calls, self.calls = self.calls, 0
        return calls


async def tasks(
    function: Callable[[int], Awaitable[float]], callers: int, seed: int
) -> list[float]:
    return await asyncio.gather(*(function(seed) for _ in range(callers)))


def threads(function: Callable[[int], float], callers: int, seed: int) -> list[float]:
    with ThreadPoolExecutor(callers) as pool:
        return list(pool.map(function, [seed] * callers))
