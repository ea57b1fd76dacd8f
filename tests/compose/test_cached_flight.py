"""One call for all who want the same value: threads, tasks, loops, processes, forks and kills."""

import asyncio
import os
import signal
import textwrap
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose.cached import CacheStats, cached
from lythonic_compose.cached.tables import Lease
from lythonic_state import count_statements, open_sqlite_db
from tests.compose.caches import KINDS, Source, result
from tests.processes import Python

CALLERS = 50


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


def until(condition: Callable[[], object], seconds: float = 30.0) -> None:
    """Waits for something that another thread or process brings about."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it never came about"
        time.sleep(0.005)


async def until_async(condition: Callable[[], object]) -> None:
    await asyncio.to_thread(until, condition)


# --- in one process -------------------------------------------------------------------------


def test_concurrent_threads_call_the_function_once(path: Path) -> None:
    calls: list[str] = []
    together = threading.Barrier(CALLERS, timeout=30)
    go_on = threading.Event()

    @cached(path, 1, 2)
    def price(symbol: str) -> list[str]:
        calls.append(symbol)
        go_on.wait(30)
        return [symbol]

    def call(_: int) -> list[str]:
        together.wait()
        return price("A")

    with ThreadPoolExecutor(CALLERS) as pool:
        results = pool.map(call, range(CALLERS))
        until(lambda: calls)
        go_on.set()
        values = list(results)

    assert calls == ["A"]
    assert values == [["A"]] * CALLERS
    assert len({id(value) for value in values}) == CALLERS  # nobody can change another's
    assert price.stats() == CacheStats(hits=CALLERS - 1, misses=1, entries=1)


async def test_concurrent_tasks_call_the_function_once(path: Path) -> None:
    calls: list[str] = []

    @cached(path, 1, 2)
    async def price(symbol: str) -> float:
        calls.append(symbol)
        await asyncio.sleep(0.01)
        return 1.5

    assert await asyncio.gather(*(price("A") for _ in range(CALLERS))) == [1.5] * CALLERS
    assert calls == ["A"]


async def test_who_comes_while_nothing_is_kept_waits_without_asking_the_file(path: Path) -> None:
    @cached(path, 1, 2)
    async def price(symbol: str) -> float:
        await asyncio.sleep(0.01)
        return 1.5

    await price("A")  # the file is open
    loop = asyncio.get_running_loop()
    told: list[Any] = []
    inner = loop.call_soon_threadsafe
    with count_statements() as one:
        await price("B")
    with count_statements() as many, pytest.MonkeyPatch.context() as patched:
        patched.setattr(
            loop, "call_soon_threadsafe", lambda *args: (told.append(args), inner(*args))
        )
        await asyncio.gather(*(price("C") for _ in range(CALLERS)))

    assert len(many) == len(one)
    assert len(told) <= 3  # the claim, the result, and once for all who wait
    assert price.stats() == CacheStats(hits=CALLERS - 1, misses=3, entries=3)


def test_concurrent_event_loops_call_the_function_once(path: Path) -> None:
    calls: list[str] = []
    together = threading.Barrier(8, timeout=30)

    @cached(path, 1, 2)
    async def price(symbol: str) -> float:
        calls.append(symbol)
        await asyncio.sleep(0.05)
        return 1.5

    def call(_: int) -> float:
        together.wait()
        return asyncio.run(_of(price("A")))

    async def _of(awaitable: Any) -> float:
        return float(await awaitable)

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(call, range(8))) == [1.5] * 8
    assert calls == ["A"]


async def test_different_keys_do_not_wait_for_each_other(path: Path) -> None:
    together = asyncio.Barrier(3)

    @cached(path, 1, 2)
    async def price(symbol: str) -> float:
        await asyncio.wait_for(together.wait(), 30)
        return 1.5

    await asyncio.gather(*(price(symbol) for symbol in "ABC"))


async def test_an_error_is_shared_by_those_who_wait(path: Path) -> None:
    calls: list[str] = []

    @cached(path, 1, 2)
    async def price(symbol: str) -> float:
        if symbol == "A":
            calls.append(symbol)
            await asyncio.sleep(0.01)
            raise LookupError("no such symbol")
        return 1.5

    await price("B")  # the file is open, and everybody comes at once
    results = await asyncio.gather(*(price("A") for _ in range(5)), return_exceptions=True)

    assert [type(error) for error in results] == [LookupError] * 5
    assert calls == ["A"]


async def test_when_who_calls_is_cancelled_another_takes_over(path: Path) -> None:
    calls: list[str] = []

    @cached(path, 1, 2)
    async def price(symbol: str) -> float:
        calls.append(symbol)
        if len(calls) == 1:
            await asyncio.sleep(3600)
        return 1.5

    first = asyncio.create_task(price("A"))
    await until_async(lambda: calls)
    others = [asyncio.create_task(price("A")) for _ in range(3)]
    await asyncio.sleep(0)
    first.cancel()

    assert await asyncio.gather(*others) == [1.5] * 3
    with pytest.raises(asyncio.CancelledError):
        await first
    assert calls == ["A", "A"]


async def test_who_waits_may_be_cancelled_alone(path: Path) -> None:
    go_on = asyncio.Event()
    calls: list[str] = []

    @cached(path, 1, 2)
    async def price(symbol: str) -> float:
        calls.append(symbol)
        await go_on.wait()
        return 1.5

    first = asyncio.create_task(price("A"))
    await until_async(lambda: calls)
    second, third = (asyncio.create_task(price("A")) for _ in range(2))
    await asyncio.sleep(0.02)
    second.cancel()
    go_on.set()

    assert await asyncio.gather(first, third) == [1.5, 1.5]
    assert second.cancelled() or second.cancelling()
    assert calls == ["A"]


@pytest.mark.parametrize("kind", KINDS)
async def test_while_somebody_refreshes_others_are_served_what_was_kept(
    kind: str, path: Path
) -> None:
    source = Source(kind, path)
    await source("A")
    source.clock.passes(days=2)
    source.chance.value = 0.0
    source.value = 2.5
    seen: list[Any] = []
    inner = source._answer

    def answer(symbol: str) -> float:
        seen.append(in_thread_of_its_own(lambda: asyncio.run(served())))
        return inner(symbol)

    async def served() -> Any:
        return await source("A")

    source._answer = answer  # type: ignore[method-assign]
    assert await source("A") == 2.5
    assert seen == [1.5]


def in_thread_of_its_own(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result(30)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_function_that_asks_for_its_own_value_does_not_wait_for_itself(
    kind: str, path: Path
) -> None:
    calls: list[int] = []

    def fact(n: int) -> int:
        calls.append(n)
        # the second call of the same key is not answered by the first
        return 1 if len(calls) > 1 else int(cache(n)) + 1

    async def fact_async(n: int) -> int:
        calls.append(n)
        return 1 if len(calls) > 1 else await asyncio.create_task(_awaited(cache(n))) + 1

    async def _awaited(of: Any) -> int:
        return int(await of)

    function: Any = fact if kind == "sync" else fact_async
    cache: Any = cached(path, 1, 2)(function)

    assert await result(cache(3)) == 2
    assert await result(cache(3)) == 2
    assert calls == [3, 3]


# --- across processes -----------------------------------------------------------------------

PROGRAM = textwrap.dedent(
    """
    import os, sys, time
    from datetime import timedelta
    from pathlib import Path
    from lythonic_compose.cached import cached

    folder, kind = Path(sys.argv[1]), sys.argv[2]

    @cached(folder / "cache.db", 1, 2, lease=timedelta(seconds=float(sys.argv[3])))
    def price(symbol: str) -> int:
        with open(folder / "calls", "a") as log:
            log.write(f"{os.getpid()}\\n")
        if kind == "hangs":
            time.sleep(3600)
        time.sleep(float(sys.argv[4]))
        return os.getpid()

    price.__wrapped__  # it is there before anybody is told so
    (folder / f"ready-{os.getpid()}").touch()
    while not (folder / "go").exists():
        time.sleep(0.002)
    print(price("A"))
    """
)


@contextmanager
def processes(
    folder: Path, count: int, kind: str = "", lease: float = 10, takes: float = 0.2
) -> Iterator[list[Python]]:
    program = folder / "program.py"
    program.write_text(PROGRAM)
    run = "import runpy, sys; runpy.run_path(sys.argv.pop(1), run_name='__main__')"
    args = (str(program), str(folder), kind, str(lease), str(takes))
    running = [Python(run, *args) for _ in range(count)]
    try:
        yield running
    finally:
        for process in running:
            process.close()


def calls_in(folder: Path) -> list[str]:
    log = folder / "calls"
    return log.read_text().split() if log.exists() else []


def test_concurrent_processes_call_the_function_once(tmp_path: Path) -> None:
    with processes(tmp_path, 4) as running:
        until(lambda: len(list(tmp_path.glob("ready-*"))) == 4)
        (tmp_path / "go").touch()
        printed = [process.communicate()[0].strip() for process in running]

    assert len(calls_in(tmp_path)) == 1
    assert printed == calls_in(tmp_path) * 4


def test_a_lease_is_renewed_while_the_function_runs(tmp_path: Path) -> None:
    with processes(tmp_path, 2, lease=1.5, takes=2.5) as running:
        until(lambda: len(list(tmp_path.glob("ready-*"))) == 2)
        (tmp_path / "go").touch()
        printed = [process.communicate()[0].strip() for process in running]

    assert len(calls_in(tmp_path)) == 1
    assert printed == calls_in(tmp_path) * 2


def test_the_lease_of_a_killed_process_runs_out(tmp_path: Path) -> None:
    with processes(tmp_path, 1, "hangs", lease=0.5) as (first,):
        (tmp_path / "go").touch()
        until(lambda: calls_in(tmp_path))
        os.kill(first.pid, signal.SIGKILL)
        first.wait()

        with processes(tmp_path, 1, lease=0.5, takes=0) as (second,):
            printed = second.communicate()[0].strip()

    assert calls_in(tmp_path) == [str(first.pid), str(second.pid)]
    assert printed == str(second.pid)


def test_who_was_overtaken_does_not_overwrite(path: Path) -> None:
    @cached(path, 1, 2)
    def price(symbol: str) -> float:
        # as if this process had slept for long, and another had taken the lease and called
        with open_sqlite_db(path, commit=True) as conn:
            Lease.update_where(conn, {"owner": "another"}, all_rows=True)
        return 1.5

    assert price("A") == 1.5
    assert price.stats().entries == 0


@pytest.mark.parametrize("kind", KINDS)
async def test_no_lease_is_left_behind(kind: str, path: Path) -> None:
    source = Source(kind, path)
    await source("A")
    source.value = LookupError()
    with pytest.raises(LookupError):
        await source("B")
    source.value = object()
    await source("C")
    source.value = KeyboardInterrupt()
    if kind == "sync":  # a loop would be stopped by it
        with pytest.raises(KeyboardInterrupt):
            await source("D")

    with open_sqlite_db(path, readonly=True) as conn:
        assert Lease.select(conn) == []


async def test_a_cancelled_call_leaves_no_lease(path: Path) -> None:
    started = asyncio.Event()

    @cached(path, 1, 2)
    async def price(symbol: str) -> float:
        started.set()
        await asyncio.sleep(3600)
        return 1.5

    task = asyncio.create_task(price("A"))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    with open_sqlite_db(path, readonly=True) as conn:
        assert Lease.select(conn) == []


# --- forks ----------------------------------------------------------------------------------


def in_child(work: Callable[[], None]) -> int:
    """The exit status of a forked child that does this, 0 if it raised nothing."""
    pid = os.fork()
    if pid == 0:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_uses_connections_and_counts_of_its_own(path: Path) -> None:
    calls: list[str] = []

    @cached(path, 1, 2)
    def price(symbol: str) -> float:
        calls.append(symbol)
        return 1.5

    price("A")
    price("A")
    mine = price.stats.__self__.file._patient[0].conn  # type: ignore[attr-defined]

    def work() -> None:
        file = price.stats.__self__.file  # type: ignore[attr-defined]
        assert file._patient == []
        assert (price("A"), price("B")) == (1.5, 1.5)
        assert all(one.conn is not mine for one in file._patient)
        file.close()  # as a process does at its end; the counts of the parent are not written

    assert in_child(work) == 0
    assert calls == ["A"]
    assert price("B") == 1.5
    assert price.stats() == CacheStats(hits=3, misses=2, entries=2)


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_child_that_was_forked_during_a_call_does_not_wait_for_its_parent(path: Path) -> None:
    started, go_on = threading.Event(), threading.Event()

    @cached(path, 1, 2, lease=timedelta(seconds=0.3))
    def price(symbol: str) -> float:
        if threading.current_thread() is not threading.main_thread():
            started.set()
            go_on.wait(30)
        return 1.5

    with ThreadPoolExecutor(1) as pool:
        calling = pool.submit(price, "A")
        started.wait(30)

        def work() -> None:
            assert price("B") == 1.5

        assert in_child(work) == 0
        go_on.set()
        assert calling.result(30) == 1.5
