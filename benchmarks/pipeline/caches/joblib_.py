"""joblib's Memory, as its documentation shows it."""

from __future__ import annotations

import time
from typing import Any

from joblib import Memory

from ..peer import Peer, Timed
from ._asking import SECONDS, Counted, threads

CALLS = Counted()


def price(symbol: str, day: int) -> float:
    return 1.5 * day


def slow(x: int) -> float:
    CALLS()
    time.sleep(SECONDS)
    return x * 2.0


class Joblib(Peer):
    title = "joblib"
    packages = ("joblib",)
    note = "50 callers are threads; entries do not grow old"

    def open(self, folder: str) -> None:
        self.memory = Memory(folder, verbose=0)

    def hits(self, keys: int) -> Timed:
        asked = self.memory.cache(price)

        def run(seed: int) -> list[float]:
            return [asked(f"S{at}", at) for at in range(keys)]

        run(0)
        return run

    def misses(self, callers: int) -> Timed:
        asked = self.memory.cache(slow)

        def run(seed: int) -> tuple[int, Any]:
            found = threads(asked, callers, seed)
            return CALLS.since(), found

        return run


PEER = Joblib
