"""Where does one function run: on the event loop, or in a thread?

Threads are our own daemons, as many as are needed at once: a run inside a run cannot wait for a
thread that the outer one holds, and the interpreter exits whatever they do. What is called, with
which arguments, and what becomes of the result is not known here.
"""

from __future__ import annotations

import concurrent.futures
import contextvars
import os
import queue
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, TypeVar

from lythonic_state.later import asyncio

from .errors import ComposeError, DagPause
from .refs import GlobalRef

T = TypeVar("T")

IDLE_SECONDS = 10.0
"""How long a thread without work waits for more."""


class _Worker(threading.Thread):
    def __init__(self, pool: _Threads) -> None:
        super().__init__(name="lythonic-compose", daemon=True)
        self.jobs: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._pool = pool

    def run(self) -> None:
        while True:
            try:
                job = self.jobs.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                if self._pool.retire(self):
                    return
                continue
            job()
            del job
            self._pool.idle(self)


class _Threads:
    """Daemon threads that are used again; a new one starts when none is idle."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._idle: list[_Worker] = []

    def submit(self, job: Callable[[], None]) -> None:
        with self._lock:
            worker = self._idle.pop() if self._idle else None
        if worker is None:
            worker = _Worker(self)
            worker.start()
        worker.jobs.put(job)

    def idle(self, worker: _Worker) -> None:
        with self._lock:
            self._idle.append(worker)

    def retire(self, worker: _Worker) -> bool:
        """Takes a thread out that has waited long enough; False if it has just been given work."""
        with self._lock:
            if worker not in self._idle:
                return False
            self._idle.remove(worker)
            return True

    def forget(self) -> None:
        """After a fork none of the threads is there any more."""
        self._lock = threading.Lock()
        self._idle = []


_THREADS = _Threads()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_THREADS.forget)


async def in_thread(function: Callable[[], T]) -> T:
    """Calls a function in a thread, with the caller's context variables.

    If the awaiting task is cancelled, the thread works on and nobody hears of its result.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()
    context = contextvars.copy_context()

    def job() -> None:
        try:
            value = context.run(function)
        except BaseException as error:  # noqa: BLE001 - whatever it is, the awaiting task gets it
            _tell(loop, _reject, future, error)
        else:
            _tell(loop, _resolve, future, value)

    _THREADS.submit(job)
    return await future


def _can_be_awaited(kind: Any) -> bool:
    return issubclass(kind, Awaitable)


can_be_awaited: Callable[[Any], bool] = lru_cache(maxsize=256)(_can_be_awaited)
"""Whether what is of this type can be awaited."""


async def in_executor(
    executor: concurrent.futures.Executor,
    function: Callable[..., Any],
    positional: tuple[Any, ...],
    by_name: dict[str, Any],
) -> Any:
    """Calls a function in an executor, which gets its name and plain values.

    Raises:
        DagPause: the call was interrupted where it ran.
    """
    ref = str(GlobalRef(function))
    try:
        return await asyncio.wrap_future(executor.submit(call_by_ref, ref, positional, by_name))
    except KeyboardInterrupt as error:  # of the worker, and not of this process
        raise DagPause(f"{ref} was interrupted in its worker") from error


def call_by_ref(ref: str, positional: tuple[Any, ...], by_name: dict[str, Any]) -> Any:
    """Calls the function of this name; what an executor is given to run."""
    with _patient():
        return GlobalRef(ref).get_instance()(*positional, **by_name)


@contextmanager
def _patient() -> Generator[None]:
    """Lets the first Ctrl-C pass: a terminal sends it to workers, too, and the process that runs
    the nodes gives them time to end."""
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.default_int_handler or not _is_main_thread():
        yield
        return
    signal.signal(signal.SIGINT, lambda _, __: signal.signal(signal.SIGINT, before))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def cannot_travel(function: Callable[..., Any]) -> str | None:
    """Why a function cannot be called in another process; None if it can."""
    try:
        found = GlobalRef(str(GlobalRef(function))).get_instance()
    except (ComposeError, ImportError) as error:
        return str(error)
    return None if found is function else f"{GlobalRef(function)} is another object"


def _run(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """`asyncio.run`, which on its way out makes text of the task with all that it has returned."""
    results: list[T] = []

    async def keep() -> None:
        results.append(await work())

    asyncio.run(keep())
    return results[0]


def _tell(loop: asyncio.AbstractEventLoop, what: Callable[..., None], *args: Any) -> None:
    try:
        loop.call_soon_threadsafe(what, *args)
    except RuntimeError:  # the loop has been closed; nobody waits any more
        pass


def _resolve(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _reject(future: asyncio.Future[Any], error: BaseException) -> None:
    if future.done():
        return
    if isinstance(error, StopIteration):  # which a future does not take
        wrapped = RuntimeError(f"the function raised StopIteration({error.value!r})")
        wrapped.__cause__ = error
        error = wrapped
    future.set_exception(error)


async def to_the_end(work: Coroutine[Any, Any, T]) -> T:
    """Awaits work that must not be cut short; a cancellation has to wait for it."""
    task = asyncio.ensure_future(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
            cancelled = True
        except BaseException:  # noqa: BLE001 - it is raised below, from the task
            break
    value = task.result()
    if cancelled:
        raise asyncio.CancelledError
    return value


def run_to_result(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Runs a coroutine to its end from sync code, also below a running event loop."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return _run(work)
    context = contextvars.copy_context()
    answer: concurrent.futures.Future[T] = concurrent.futures.Future()

    def job() -> None:
        try:
            answer.set_result(context.run(lambda: _run(work)))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            answer.set_exception(error)

    _THREADS.submit(job)
    return answer.result()
