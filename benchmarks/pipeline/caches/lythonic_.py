"""The cache of lythonic (of PyPI), as its documentation shows it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from lythonic.compose.cached import mount_cached_node
from lythonic.compose.namespace import Namespace, NsCacheConfig

from ..peer import Peer, Timed
from ._asking import SECONDS, Counted, tasks

CALLS = Counted()


def price(symbol: str, day: int) -> float:
    return 1.5 * day


async def slow(x: int) -> float:
    CALLS()
    await asyncio.sleep(SECONDS)
    return x * 2.0


class Lythonic(Peer):
    title = "lythonic"
    packages = ("lythonic", "pydantic")
    note = "50 callers are tasks"

    def open(self, folder: str) -> None:
        self.file = Path(folder) / "cache.db"
        self.namespace = Namespace()

    def _cached(self, name: str) -> Any:
        config = NsCacheConfig(nsref=f"bench:{name}", min_ttl=1, max_ttl=2)
        node = self.namespace.register(f"{__name__}:{name}", nsref=f"bench:{name}", config=config)
        mount_cached_node(node, self.file)
        return node

    def hits(self, keys: int) -> Timed:
        asked = self._cached("price")

        def run(seed: int) -> list[float]:
            return [asked(symbol=f"S{at}", day=at) for at in range(keys)]

        run(0)
        return run

    def misses(self, callers: int) -> Timed:
        asked = self._cached("slow")

        async def run(seed: int) -> tuple[int, Any]:
            found = await tasks(lambda x: asked(x=x), callers, seed)
            return CALLS.since(), found

        return run


PEER = Lythonic
