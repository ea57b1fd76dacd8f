"""Where a function runs: our threads, and what they may not do to those who wait for them."""

import asyncio
import contextvars
import subprocess
import sys
import threading

import pytest

from lythonic_compose.call import in_thread, run_to_result, to_the_end

NAME = contextvars.ContextVar("NAME", default="")


async def test_a_function_runs_in_a_daemon_thread_with_the_callers_context() -> None:
    NAME.set("mine")

    thread, name = await in_thread(lambda: (threading.current_thread(), NAME.get()))

    assert thread is not threading.current_thread()
    assert thread.daemon
    assert name == "mine"


async def test_what_a_function_raises_reaches_who_waits() -> None:
    def broken() -> None:
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        await in_thread(broken)


async def test_a_stop_iteration_does_not_get_lost_in_the_loop() -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await in_thread(lambda: next(iter(())))


async def test_as_many_threads_run_as_are_needed_at_once() -> None:
    barrier = threading.Barrier(40, timeout=30)

    await asyncio.gather(*(in_thread(barrier.wait) for _ in range(40)))


async def test_a_thread_may_wait_for_a_run_of_its_own_at_any_depth() -> None:
    def nested(depth: int) -> int:
        return 0 if depth == 0 else 1 + run_to_result(lambda: in_thread_of(depth - 1))

    async def in_thread_of(depth: int) -> int:
        return await in_thread(lambda: nested(depth))

    assert await in_thread_of(12) == 12


async def test_who_is_cancelled_does_not_hear_of_the_result_and_the_thread_is_used_again() -> None:
    started, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        go_on.wait(30)

    waiting = asyncio.ensure_future(in_thread(wait))
    await in_thread(lambda: started.wait(30))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go_on.set()
    assert await in_thread(lambda: 3) == 3


async def test_work_that_must_not_be_cut_short_is_not() -> None:
    done = asyncio.Event()
    began = asyncio.Event()

    async def work() -> None:
        began.set()
        await done.wait()

    task = asyncio.ensure_future(to_the_end(work()))
    await began.wait()
    task.cancel()
    await asyncio.sleep(0)
    assert not task.done()
    done.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_error_in_such_work_is_raised() -> None:
    async def broken() -> None:
        raise LookupError("x")

    with pytest.raises(LookupError):
        await to_the_end(broken())


def test_a_coroutine_runs_to_its_end_with_and_without_a_running_loop() -> None:
    async def name() -> str:
        await asyncio.sleep(0)
        return NAME.get()

    async def below_a_loop() -> str:
        return run_to_result(name)

    context = contextvars.copy_context()
    context.run(NAME.set, "inherited")

    assert context.run(run_to_result, name) == "inherited"
    assert context.run(asyncio.run, below_a_loop()) == "inherited"


def test_the_interpreter_exits_while_a_function_still_runs() -> None:
    program = """
import asyncio, threading
from lythonic_compose.call import in_thread
started = threading.Event()
async def main():
    waiting = asyncio.ensure_future(in_thread(lambda: (started.set(), threading.Event().wait())))
    await in_thread(started.wait)
    waiting.cancel()
asyncio.run(main())
print("left")
"""
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )

    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "left\n", "")
