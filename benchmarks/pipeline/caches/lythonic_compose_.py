"""lythonic_compose's `cached`, as its documentation shows it."""

from __future__ import annotations

from typing import Any

from lythonic_compose import cached

from ..peer import Peer, Timed
from ._asking import SECONDS, Counted, tasks


class LythonicCompose(Peer):
    title = "lythonic_compose"
    packages = ("pydantic",)
    note = "50 callers are tasks"

    def open(self, folder: str) -> None:
        self.file = f"{folder}/cache.db"

    def hits(self, keys: int) -> Timed:
        @cached(self.file, min_ttl=1, max_ttl=2)
        def price(symbol: str, day: int) -> float:
            return 1.5 * day

        def run(seed: int) -> list[float]:
            return [price(f"S{at}", at) for at in range(keys)]

        run(0)
        return run

    def misses(self, callers: int) -> Timed:
        import asyncio

        calls = Counted()

        @cached(self.file, min_ttl=1, max_ttl=2)
        async def slow(x: int) -> float:
            calls()
            await asyncio.sleep(SECONDS)
            return x * 2.0

        async def run(seed: int) -> tuple[int, Any]:
            found = await tasks(slow, callers, seed)
            return calls.since(), found

        return run


PEER = LythonicCompose
