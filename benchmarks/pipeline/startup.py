"""What does a new process cost? Run in a process of its own: its import, then one run of ten nodes.

The parent takes the time until the first line comes; the peak of the memory stands in the second.
"""

from __future__ import annotations

import importlib
import os
import sys
import time
from typing import Any

from ..clock import peak_megabytes
from . import peer as _peer  # noqa: F401  # what every adapter imports is not the library's cost


def main() -> None:
    module, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # a library that prints does not get between the answers
    start, start_cpu = time.perf_counter(), time.process_time()
    adapter = importlib.import_module(f"{__package__}.{module}")
    end, end_cpu = time.perf_counter(), time.process_time()
    print(end - start, end_cpu - start_cpu, end_cpu, file=answers, flush=True)

    peer = adapter.PEER()
    memory = 0.0
    if peer.chain is not None or peer.plain_chain is not None:
        _run(peer, folder)
        memory = peak_megabytes()
    print(memory, file=answers, flush=True)
    sys.stdin.readline()  # until the parent ends it


def _run(peer: Any, folder: str) -> None:
    """asyncio is imported by who needs it, and so counts for them."""
    runner: Any = None

    def wait(result: Any) -> Any:
        if not hasattr(result, "cr_frame"):
            return result
        import asyncio

        nonlocal runner
        runner = runner or asyncio.Runner()
        return runner.run(result)

    wait(peer.open(folder))
    run = wait((peer.chain or peer.plain_chain)(10, peer.kinds[0]))
    found = wait(run(100))
    if found != 110:
        raise SystemExit(f"wrong result: {found}")


if __name__ == "__main__":
    main()
