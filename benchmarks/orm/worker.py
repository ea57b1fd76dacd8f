"""How is one peer run? A process of its own, which takes one order a line and answers in JSON.

The process that measures holds one library only, so that no peer pays for the memory, the garbage
or the settings of another. It is the parent (`measure.py`) that takes turns between them.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import inspect
import json
import sys
import traceback
from collections.abc import Coroutine
from importlib.metadata import version
from typing import Any

from ..clock import Clock, Spent
from .data import people
from .peer import Peer
from .target import committed, empty
from .workloads import BY_NAME, Workload, WrongResult, content


class Worker:
    def __init__(self, module: str, target: str) -> None:
        self.target = target
        self.peer: Peer = importlib.import_module(f"{__package__}.peers.{module}").PEER()
        self.runner = asyncio.Runner()  # one loop and one context for all calls
        self.filled: tuple[str, int] | None = None
        self.is_open = False

    def wait(self, result: Any) -> Any:
        return self.runner.run(result) if inspect.iscoroutine(result) else result

    def about(self) -> dict[str, Any]:
        peer = self.peer
        return {
            "title": peer.title,
            "note": peer.note,
            "versions": {package: version(package) for package in peer.packages},
            "workloads": [
                name
                for name, workload in BY_NAME.items()
                if getattr(peer, workload.method) is not None
            ],
        }

    def start(self) -> None:
        self.wait(self.peer.open(self.target))
        if self.peer.async_open is not None:
            self.wait(self.peer.async_open())
        if "://" not in self.target:
            settings = {
                name: self.wait(self.peer.pragma(name)) for name in ("journal_mode", "synchronous")
            }
            if settings != {"journal_mode": "wal", "synchronous": 1}:
                raise WrongResult(f"other settings than the others': {settings}")
        self.is_open = True

    def stop(self) -> None:
        if self.peer.async_close is not None:
            self.wait(self.peer.async_close())
        self.wait(self.peer.close())
        self.is_open = False

    def measure(self, workload: Workload, count: int) -> Spent:
        """What the one call took; what it did is checked before that is returned."""
        peer = self.peer
        is_written = workload.objects is not None or workload.name in ("update", "load_update")
        self.fill(workload, count)
        argument = self._argument(workload, count)
        call = getattr(peer, workload.method)
        gc.collect()
        if workload.tasks:
            spent, found = self.wait(_in_tasks(call, argument, workload.tasks))
        elif inspect.iscoroutinefunction(call):
            spent, found = self.wait(_awaited(call, argument))
        else:
            arguments = () if argument is None else (argument,)
            clock = Clock()
            found = call(*arguments)
            spent = clock.stop()
        if is_written:
            self.filled = None
        self._check(workload, count, argument, found, is_written)
        return spent

    def fill(self, workload: Workload, count: int) -> None:
        wanted = (workload.content, count)
        if self.filled == wanted:
            return
        if self.is_open:
            self.stop()
        empty(self.target)
        self.start()
        self.wait(self.peer.create())
        for table, rows in content(workload, count).items():
            self.wait(self.peer.fill(table, rows))
        self.filled = wanted

    def _argument(self, workload: Workload, count: int) -> Any:
        if workload.objects is None:
            return None if workload.arguments is None else workload.arguments(count)
        edition = 1 if workload.name == "upsert" else 0
        rows = people(count, edition)
        return self.wait(self.peer.objects(rows, workload.objects == "keyed"))

    def _check(
        self, workload: Workload, count: int, argument: Any, found: Any, is_written: bool
    ) -> None:
        peer = self.peer
        if is_written:
            if workload.name == "insert_each" and peer.gives_keys:
                if {one.id for one in argument} != {*range(1, count + 1)}:
                    raise WrongResult("the objects did not get their keys")
            found = self.wait(peer.select())
            ages = sum(peer.plain(row)[2] for row in found)
            if committed(self.target) != (count, ages):
                raise WrongResult("another connection does not see what was written")
        if workload.method == "filter":
            found = [one for part in found for one in part]
        if workload.method != "stream":
            to_plain = peer.plain_pair if workload.is_pair else peer.plain
            found = [to_plain(one) for one in found]
        workload.check(count, argument, found)


async def _awaited(call: Any, argument: Any) -> tuple[Spent, Any]:
    arguments = () if argument is None else (argument,)
    clock = Clock()
    found = await call(*arguments)
    return clock.stop(), found


async def _in_tasks(call: Any, argument: Any, tasks: int) -> tuple[Spent, Any]:
    if tasks == 1:
        return await _awaited(call, argument)
    size = len(argument) // tasks
    parts = [argument[at * size : (at + 1) * size] for at in range(tasks)]
    clock = Clock()
    found = await asyncio.gather(*(_as_task(call(part)) for part in parts))
    spent = clock.stop()
    return spent, [one for part in found for one in part]


def _as_task(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    return asyncio.ensure_future(coroutine)


def main() -> None:
    module, target = sys.argv[1:]
    answers = sys.stdout
    sys.stdout = sys.stderr  # a library that prints does not get between the answers
    worker = Worker(module, target)
    print(json.dumps(worker.about()), file=answers, flush=True)
    for line in sys.stdin:
        order = json.loads(line)
        try:
            workload, count = BY_NAME[order["workload"]], order["count"]
            if order.get("only_fill"):
                worker.fill(workload, count)
                answer: dict[str, Any] = {}
            else:
                seconds, cpu = worker.measure(workload, count)
                answer = {"seconds": seconds, "cpu": cpu}
        except Exception as error:  # noqa: BLE001  # whatever a library raises is its answer
            traceback.print_exc(file=sys.stderr)
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
            worker.filled = None
        print(json.dumps(answer), file=answers, flush=True)
    if worker.is_open:
        worker.stop()


if __name__ == "__main__":
    main()
