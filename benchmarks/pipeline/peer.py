"""What must a library be able to do to be measured? One method per workload, nothing shared.

A method that is a workload prepares, and gives back what is timed: a function or a coroutine
function, which is called with another `seed` each time, so that nobody can answer from memory. What
a library cannot do is left out, and stands as a dash in the table. No timing and no checking here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

Kind = Literal["coroutine", "inline", "thread"]
"""How a node's function is run: awaited, called in place, or in a thread."""
Timed = Callable[[int], Any]


class Peer:
    """An adapter: how one library does each workload, written as its documentation shows it."""

    title: str
    packages: tuple[str, ...] = ()  # whose versions the report names
    note: str = ""  # what is not like for like
    kinds: tuple[Kind, ...] = ()  # of functions, in a chain

    # -- around the clock, never timed

    def open(self, folder: str) -> Any:
        """Opens a new store in this folder, which is empty, and keeps everything there."""

    def close(self) -> Any:
        """Ends everything, so that the process can end."""

    def recorded(self) -> tuple[int, int] | None:
        """Runs and nodes that the history says to be completed; None if there is no history."""
        return None

    # -- the workloads. A node adds one to the integer that it gets; the first one gets the seed.

    chain: Any = None  # (length, kind): nodes one after another; gives the last value
    late_chain: Any = None  # (length, kind): the history is written when a run ends, or later
    plain_chain: Any = None  # (length, kind): without any history
    fan_out: Any = None  # (width): a node, `width` ones that get its value, one that sums
    map_over: Any = None  # (count): for each of seed, seed + 1, …: a graph of two nodes; the sum
    branches: Any = None  # (seconds, kind): one node, four that sleep and add one, one that sums
    concurrent: Any = None  # (runs, length): chains at the same time; gives their last values
    megabytes: Any = None  # (length): a chain of `grown`, whose first node takes the seed

    # -- the history of chains of ten, each begun with the seed (its number) * 10

    fill: Any = None  # (runs): makes it, if not by `chain`; gives nothing
    listing: Any = None  # (limit): the newest runs with their nodes
    lengths: Any = None  # of what that gave: how many nodes each run has
    fetching: Any = None  # (): one run with what went in and out; the seed chooses it
    outputs: Any = None  # of what that gave: the outputs of its nodes

    # -- caches

    hits: Any = None  # (keys): asks for that many values which are there; gives them
    misses: Any = None  # (callers): so many ask at once for what is not there; calls and values


TEXT_SIZE = 1_000_000


def made(seed: int) -> str:
    """A megabyte that begins with a number, and is no other seed's."""
    return f"{seed:012d}{FILLER}"


def first_grown(seed: int) -> str:
    return grown(made(seed))


def grown(text: str) -> str:
    """The same with the next number, and so a megabyte of its own."""
    return f"{int(text[:12]) + 1:012d}{text[12:]}"


def _filler(size: int) -> str:
    """Text without repetitions: the digits of a generator of numbers."""
    state, parts = 1, list[str]()
    for _ in range(size // 16 + 1):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        parts.append(f"{state:016x}")
    return "".join(parts)[:size]


FILLER = ""


def prepare_text() -> None:
    """Only who measures megabytes has them in memory."""
    global FILLER
    FILLER = FILLER or _filler(TEXT_SIZE - 12)
