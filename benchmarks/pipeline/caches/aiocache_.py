"""aiocache in memory, as its documentation shows it."""

from __future__ import annotations

import asyncio
from typing import Any

from aiocache import cached, cached_stampede

from ..peer import Peer, Timed
from ._asking import SECONDS, Counted, tasks


class Aiocache(Peer):
    title = "aiocache"
    packages = ("aiocache",)
    note = (
        "async only; in memory, for without a server it has no other store: a hit reads no "
        "disk, and is gone with the process; 50 callers are tasks of its `cached_stampede`"
    )

    async def hits(self, keys: int) -> Timed:
        @cached(ttl=86_400)  # type: ignore[untyped-decorator]
        async def price(symbol: str, day: int) -> float:
            return 1.5 * day

        async def run(seed: int) -> list[float]:
            return [await price(f"S{at}", at) for at in range(keys)]

        await run(0)
        return run

    def misses(self, callers: int) -> Timed:
        calls = Counted()

        @cached_stampede(lease=5, ttl=86_400)  # type: ignore[untyped-decorator]
        async def slow(x: int) -> float:
            calls()
            await asyncio.sleep(SECONDS)
            return x * 2.0

        async def run(seed: int) -> tuple[int, Any]:
            found = await tasks(slow, callers, seed)
            return calls.since(), found

        return run


PEER = Aiocache
