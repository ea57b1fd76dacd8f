"""What does a new process cost? Run in a process of its own, once per figure.

`import` is the library and the definition of three models, `first` the way from there to the first
object read by key: connection and query. Then all people are streamed, and the peak of the memory
of the whole process counts. Only what a figure needs is imported before it.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

from ..clock import peak_megabytes
from . import data  # what every adapter imports is not the library's cost
from . import peer as _peer  # noqa: F401  # and so is this


def main() -> None:
    module, target = sys.argv[1:]
    if "://" not in target:
        # Who works with files has no driver of a server installed, for a library to look for.
        for driver in ("psycopg", "psycopg2", "asyncpg"):
            sys.modules[driver] = None  # type: ignore[assignment]  # means: not there

    start, start_cpu = time.perf_counter(), time.process_time()
    adapter = importlib.import_module(f"{__package__}.peers.{module}")
    end, end_cpu = time.perf_counter(), time.process_time()
    peer = adapter.PEER()

    wait = _waiting()
    wait(peer.open(target))
    found = wait(peer.get([1]))
    first, first_cpu = time.perf_counter(), time.process_time()
    if peer.plain(found[0]) != data.plain(data.person(1)):
        raise SystemExit(f"wrong result: {found}")
    wait(peer.stream())
    memory = peak_megabytes()

    import json

    print(
        json.dumps(
            {
                "import": [end - start, end_cpu - start_cpu],
                "first_query": [first - end, first_cpu - end_cpu],
                "stream_memory": [memory, memory],
            }
        )
    )
    wait(peer.close())


def _waiting() -> Any:
    """Waits for a coroutine. asyncio is imported by the first, and so counts for who needs it."""
    runner: Any = None

    def wait(result: Any) -> Any:
        nonlocal runner
        if not hasattr(result, "cr_frame"):
            return result
        if runner is None:
            import asyncio

            runner = asyncio.Runner()
        return runner.run(result)

    return wait


if __name__ == "__main__":
    main()
