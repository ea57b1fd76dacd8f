"""What did it take? Time on the wall, time of all threads on a CPU, and memory at its peak."""

from __future__ import annotations

import time

Spent = tuple[float, float]  # seconds on the wall, seconds of all threads on a CPU


class Clock:
    def __init__(self) -> None:
        self.cpu, self.wall = time.process_time(), time.perf_counter()

    def stop(self) -> Spent:
        wall, cpu = time.perf_counter(), time.process_time()
        return wall - self.wall, cpu - self.cpu


def peak_megabytes() -> float:
    """The most memory that this program had, without what it was forked from."""
    with open("/proc/self/status") as status:  # noqa: PTH123  # pathlib would count as memory
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    raise SystemExit("this system does not say what its processes' memory was at most")
