"""Sync functions in other processes: a pool of them, and a real Dask cluster on this machine."""

from __future__ import annotations

import asyncio
import concurrent.futures
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import distributed
import pytest

from lythonic_compose import AttemptFailed, Dag, DagError, DagRunner, Retry, inline
from lythonic_compose.call import call_by_ref
from lythonic_compose.registry import Namespace
from tests.compose.memory import Remembering
from tests.processes import FORKING


def process_id(number: int) -> int:
    return os.getpid()


def double(number: int) -> int:
    return number * 2


def read(path: str) -> int:
    """Fails when it is called for the first time with this path."""
    file = Path(path)
    if not file.exists():
        file.write_text("was here")
        raise LookupError("far away")
    return len(file.read_text())


def slow(number: int) -> int:
    time.sleep(0.3)
    return number


def exits(number: int) -> int:
    os._exit(3)


def first_of(items: Any) -> Any:
    return next(items)


@pytest.fixture(scope="module", params=["processes", "dask"])
def executor(request: pytest.FixtureRequest) -> Iterator[concurrent.futures.Executor]:
    if request.param == "processes":
        context = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            pool.submit(os.getpid).result()  # its thread starts now, and not in a test
            yield pool
        return
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, processes=True, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
        client.get_executor(pure=False) as pool,
    ):
        yield pool


async def test_sync_functions_travel_and_others_stay(
    executor: concurrent.futures.Executor,
) -> None:
    async def on_loop(number: int) -> int:
        return os.getpid()

    dag = Dag()
    dag.node(inline(lambda: 1), "start")
    far = dag.node(process_id)
    near = dag.node(on_loop)
    dag.edge("start", far, param="number")
    dag.edge("start", near, param="number")
    result = await DagRunner(dag, executor=executor).run()
    assert result[on_loop] == os.getpid()
    assert result[process_id] != os.getpid()


async def test_elements_of_a_map_travel_and_keep_their_order(
    executor: concurrent.futures.Executor,
) -> None:
    dag = Dag()
    dag.map(double, concurrency=4)
    result = await DagRunner(dag, executor=executor).run({"double": {"number": list(range(20))}})
    assert result.outputs == {"double": list(range(0, 40, 2))}


async def test_what_is_registered_travels_too(executor: concurrent.futures.Executor) -> None:
    namespace = Namespace()
    dag = Dag()
    dag.node(namespace.register(double, "math:double"))
    result = await DagRunner(dag, executor=executor).run({"double": {"number": 4}})
    assert result.outputs == {"double": 8}


async def test_another_attempt_really_calls_again(
    executor: concurrent.futures.Executor, tmp_path: Path
) -> None:
    dag = Dag()
    dag.node(read, retry=Retry(2))
    heard = Remembering()
    runner = DagRunner(dag, heard, executor=executor)
    result = await runner.run({"read": {"path": str(tmp_path / "seen")}})
    assert result.outputs == {"read": 8}
    (failed,) = heard.of(AttemptFailed)
    assert (type(failed.error), str(failed.error)) == (LookupError, "far away")


async def test_a_value_that_cannot_travel_fails_the_node(
    executor: concurrent.futures.Executor,
) -> None:
    def opened() -> Any:
        return (line for line in "ab")

    dag = Dag()
    dag.node(inline(opened)) >> dag.node(first_of)
    result = await DagRunner(dag, executor=executor).run()
    assert (result.status, result.failed_node) == ("failed", "first_of")
    assert isinstance(result.exception, TypeError)
    # and nothing is broken
    again = Dag()
    again.node(double)
    assert (await DagRunner(again, executor=executor).run({"double": {"number": 1}})).outputs


async def test_a_node_that_takes_too_long_far_away_fails_in_time(
    executor: concurrent.futures.Executor,
) -> None:
    dag = Dag()
    dag.node(slow, timeout=0.05)
    result = await DagRunner(dag, executor=executor).run({"slow": {"number": 1}})
    assert result.error == "TimeoutError: slow took longer than its timeout of 0.05 s"


async def test_a_cancelled_run_waits_for_nobody_far_away(
    executor: concurrent.futures.Executor,
) -> None:
    dag = Dag()
    dag.map(slow)
    runner = DagRunner(dag, executor=executor)
    running = asyncio.ensure_future(runner.run({"slow": {"number": list(range(50))}}))
    await asyncio.sleep(0.05)
    begun = time.monotonic()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert time.monotonic() - begun < 5  # fifty of them would take fifteen seconds


async def test_a_process_that_dies_fails_its_node() -> None:
    with concurrent.futures.ProcessPoolExecutor(1, mp_context=FORKING) as pool:
        dag = Dag()
        dag.node(exits)
        result = await DagRunner(dag, executor=pool).run({"exits": {"number": 1}})
        assert result.status == "failed"
        assert result.error is not None
        assert result.error.startswith("BrokenProcessPool")


async def test_an_executor_that_is_shut_down_fails_the_node() -> None:
    pool = concurrent.futures.ThreadPoolExecutor(1)
    pool.shutdown()
    dag = Dag()
    dag.node(double)
    result = await DagRunner(dag, executor=pool).run({"double": {"number": 1}})
    assert result.error == "RuntimeError: cannot schedule new futures after shutdown"


@pytest.mark.parametrize("wrapped", ["closure", "lambda", "partial"])
async def test_a_function_without_a_name_cannot_travel(wrapped: str) -> None:
    import functools

    def closure(number: int) -> int:
        return number

    functions: dict[str, Any] = {
        "closure": closure,
        "lambda": lambda number: number,
        "partial": functools.partial(double, number=1),
    }
    dag = Dag()
    dag.node(functions[wrapped], "step")
    with (
        concurrent.futures.ThreadPoolExecutor(1) as pool,
        pytest.raises(DagError, match="step: an executor finds functions by their name"),
    ):
        await DagRunner(dag, executor=pool).run()


# --- a worker that hears of Ctrl-C --------------------------------------------------------------


def hears(times: int) -> str:
    for _ in range(times):
        signal.raise_signal(signal.SIGINT)
    return "went on"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """What Ctrl-C does in a process that nobody has told anything about it, as in a worker."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_of_ctrl_c_a_call_in_a_worker_hears_the_second_time(interruptible: None) -> None:
    ref = f"{__name__}:hears"
    assert call_by_ref(ref, (1,), {}) == "went on"
    with pytest.raises(KeyboardInterrupt):
        call_by_ref(ref, (2,), {})


def test_a_worker_that_ignores_ctrl_c_goes_on_ignoring_it(interruptible: None) -> None:
    ignoring = signal.signal(signal.SIGINT, signal.SIG_IGN)
    assert call_by_ref(f"{__name__}:hears", (2,), {}) == "went on"
    assert signal.signal(signal.SIGINT, ignoring) is signal.SIG_IGN


def interrupted(number: int) -> int:
    raise KeyboardInterrupt


async def test_a_call_that_is_interrupted_in_its_worker_pauses_the_run() -> None:
    dag = Dag()
    dag.node(interrupted)
    # of this process, whose workers are threads: the exception travels in the same way
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        result = await DagRunner(dag, executor=pool).run({"interrupted": {"number": 1}})
    assert (result.status, result.node_statuses) == ("paused", {"interrupted": "pending"})
