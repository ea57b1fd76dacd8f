"""diskcache, as its documentation shows it."""

from __future__ import annotations

import time
from typing import Any

from diskcache import Cache, Lock, barrier

from ..peer import Peer, Timed
from ._asking import SECONDS, Counted, threads


class DiskCache(Peer):
    title = "diskcache"
    packages = ("diskcache",)
    note = "50 callers are threads at its `barrier`; values are pickled"

    def open(self, folder: str) -> None:
        self.cache = Cache(folder)

    def close(self) -> None:
        self.cache.close()

    def hits(self, keys: int) -> Timed:
        @self.cache.memoize(expire=86_400)  # type: ignore[untyped-decorator]
        def price(symbol: str, day: int) -> float:
            return 1.5 * day

        def run(seed: int) -> list[float]:
            return [price(f"S{at}", at) for at in range(keys)]

        run(0)
        return run

    def misses(self, callers: int) -> Timed:
        calls = Counted()

        @self.cache.memoize(expire=86_400)  # type: ignore[untyped-decorator]
        @barrier(self.cache, Lock)  # type: ignore[untyped-decorator]
        @self.cache.memoize(expire=86_400)  # type: ignore[untyped-decorator]
        def slow(x: int) -> float:
            calls()
            time.sleep(SECONDS)
            return x * 2.0

        def run(seed: int) -> tuple[int, Any]:
            found = threads(slow, callers, seed)
            return calls.since(), found

        return run


PEER = DiskCache
