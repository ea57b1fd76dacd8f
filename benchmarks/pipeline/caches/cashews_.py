"""cashews on its disk store (diskcache), as its documentation shows it."""

from __future__ import annotations

import asyncio
from typing import Any

from cashews import Cache

from ..peer import Peer, Timed
from ._asking import SECONDS, Counted, tasks


class Cashews(Peer):
    title = "cashews"
    packages = ("cashews", "diskcache")
    note = "async only; on disk through diskcache; 50 callers are tasks under `lock=True`"

    def open(self, folder: str) -> None:
        self.cache = Cache()
        self.cache.setup(f"disk://?directory={folder}&shards=0")

    async def close(self) -> None:
        await self.cache.close()

    async def hits(self, keys: int) -> Timed:
        @self.cache(ttl="1d", key="price:{symbol}:{day}")
        async def price(symbol: str, day: int) -> float:
            return 1.5 * day

        async def run(seed: int) -> list[float]:
            return [await price(f"S{at}", at) for at in range(keys)]

        await run(0)
        return run

    def misses(self, callers: int) -> Timed:
        calls = Counted()

        @self.cache(ttl="1d", key="slow:{x}", lock=True)
        async def slow(x: int) -> float:
            calls()
            await asyncio.sleep(SECONDS)
            return x * 2.0

        async def run(seed: int) -> tuple[int, Any]:
            found = await tasks(slow, callers, seed)
            return calls.since(), found

        return run


PEER = Cashews
