"""How much memory did a call take? Measured by the standard library's tracemalloc.

It counts what Python and libraries such as numpy allocate through it, not the process as a whole,
and makes the call slower. What is measured is decided elsewhere.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Generator
from contextlib import contextmanager

from lythonic_state.fields import mutable

MIB = 2**20


@mutable(slots=False)
class MemoryUse:
    """What a call took, in MiB: `delta` is what is left of it, `peak` the most there was."""

    delta: float = 0.0
    peak: float = 0.0

    def __str__(self) -> str:
        return f"ΔMem: {self.delta:.2f} MiB | Peak: {self.peak:.2f} MiB"


@contextmanager
def measured() -> Generator[MemoryUse]:
    """Measures what happens in the block; the figures are there at its end.

    Example:
        >>> with measured() as use:
        ...     table = load()
        >>> print(use)
        ΔMem: 0.94 MiB | Peak: 0.94 MiB
    """
    use = MemoryUse()
    ours = not tracemalloc.is_tracing()
    if ours:
        tracemalloc.start()
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    try:
        yield use
    finally:
        after, peak = tracemalloc.get_traced_memory()
        use.delta, use.peak = (after - before) / MIB, (peak - before) / MIB
        if ours:
            tracemalloc.stop()
