"""Hamilton, as its documentation shows it."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from hamilton import driver

from ..peer import Kind, Peer, Timed
from ._steps import module_of, step


def chain_of(length: int) -> Any:
    """A module whose functions name each other: s1(s0), s2(s1), …"""
    labels = ["x", *(f"s{at}" for at in range(length))]
    pairs = pairwise(labels)
    return module_of([step(name, before) for before, name in pairs])


class Hamilton(Peer):
    title = "Hamilton"
    packages = ("sf-hamilton",)
    note = "keeps no history; functions run in place"
    kinds = ("inline",)

    def plain_chain(self, length: int, kind: Kind) -> Timed:
        made = driver.Builder().with_modules(chain_of(length)).build()
        last = f"s{length - 1}"
        return lambda seed: made.execute([last], inputs={"x": seed})[last]


PEER = Hamilton
