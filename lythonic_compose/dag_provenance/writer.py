"""When is what was recorded committed, and by whom? One connection, one mutex, one queue.

Whoever holds the mutex commits everything that is queued, as one transaction; the others find their
own writes done when their turn comes. Which rows a write makes is not known here.
"""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from itertools import groupby
from typing import Any, Literal, TypeAlias, TypeVar, cast

from lythonic_state import (
    AsyncConnection,
    ConstraintViolation,
    DatabaseBusy,
    DatabaseError,
    DbModel,
    Opener,
    SyncConnection,
    checkpoint,
    open_db,
    open_sqlite_db,
    perform,
)
from lythonic_state.connection import Synchronous, set_synchronous, sqlite_path

from ..errors import WrongRunState
from ..outputs.reading import end_reading, is_in_memory
from ..outputs.saving import create_tables
from .folding import folded
from .known import Known, Steps, Write
from .liveness import LEASE
from .run_rows import hold

T = TypeVar("T")
LOG = logging.getLogger("lythonic_compose")
Durability: TypeAlias = Literal["node", "run"]

LENT_SECONDS = 10.0
"""How long a store in memory waits for its connection to come back."""
BEAT_SECONDS = 10.0
"""How often the owner of running runs says that it is alive."""
SURE_SECONDS = LEASE.total_seconds() / 2
"""For so long, a run that was this owner's is taken to be so still."""
FLUSH_SECONDS = 0.2
FLUSH_WRITES = 128
"""With durability "run", so much waits to be written at most, and so long."""
CHECKPOINT_WRITES = 100
"""After so many, SQLite's log is moved into the file; that is about its own thousand pages."""
ROWS_OF_A_WRITE = 100
"""Where there are more, they count as several."""
RESTART_WRITES = 400
"""After so many, the log is moved to its end, so that it begins anew. Else it would grow for
as long as there is no pause; and to write over an old log takes half of the time."""


class _Job:
    """The writes of one `write`, which are committed together, and how that went."""

    __slots__ = ("alone", "done", "error", "waited_for", "writes")

    def __init__(self, writes: Sequence[Write], waited_for: bool, *, alone: bool = False) -> None:
        self.writes = writes
        self.waited_for = waited_for
        self.alone = alone
        """Whether it has a transaction of its own: what it writes may well be refused."""
        self.done = False
        self.error: BaseException | None = None


class Writer:
    """The one who writes to a database, for as long as a store lives.

    Raises:
        DatabaseError: the database cannot be opened, or a write fails in it.
        DatabaseBusy: others kept it locked for longer than `busy_timeout` seconds.
    """

    def __init__(
        self,
        target: str,
        prepare: Callable[[SyncConnection], None],
        beat: Callable[[], Write],
        leave: Callable[[], Write],
        durability: Durability,
        busy_timeout: float,
    ) -> None:
        self.target = target
        self.in_memory = is_in_memory(target)
        self._is_sqlite = "://" not in target or sqlite_path(target) is not None
        self._beat = beat
        self._leave = leave
        self._durability = durability
        self._busy_timeout = busy_timeout
        self._known = Known()
        self._queue: deque[_Job] = deque()
        self._unheard: BaseException | None = None
        self._mutex = threading.RLock()
        self._opener: Opener[SyncConnection, AsyncConnection] | None = None
        self._conn: SyncConnection | None = None
        self._forked = False
        self._keeper: _Keeper | None = None
        self._since_checkpoint = 0
        self._since_restart = 0
        self._lending = 0
        self._began = False
        """Whether the transaction has begun that is carried out now, or was last."""
        # a killed process loses nothing of a run's history; a power cut may lose the last commits
        self._synchronous: Synchronous = "NORMAL"
        self._sure_at = 0.0, 0.0
        _WRITERS.add(self)
        with self._mutex:
            self._open()
            try:
                self._patiently(lambda: prepare(cast(SyncConnection, self._conn)))
            except BaseException:
                self.close()
                raise

    # writing

    def write(self, writes: Sequence[Write], *, at_once: bool = False, alone: bool = False) -> None:
        """Has done them all, or none, when it returns; with durability "run", they may wait.

        What is written `alone` shares no transaction, so that its failure is nobody else's.
        """
        self._raise_unheard()
        if self._durability == "run" and not at_once:
            self._queue.append(_Job(writes, waited_for=False))
            self._look_after()
            if len(self._queue) >= FLUSH_WRITES:
                self.flush()
            return
        job = _Job(writes, waited_for=True, alone=alone)
        self._queue.append(job)
        try:
            with self._held():
                if not job.done:
                    self._commit_queued(patient=True)
        except BaseException:
            with suppress(ValueError):  # it is written, or was about to be
                self._queue.remove(job)
            raise
        self._look_after()
        if job.error is not None:
            raise job.error
        self._raise_unheard()

    def try_write(self, make: Callable[[], Sequence[Write]], *, at_once: bool = False) -> bool:
        """`write` where nobody has to be waited for; else False, and nothing was done.

        What is to be written is made once it is sure that it can be.
        """
        if self._unheard is not None:
            self._raise_unheard()
        if self._durability == "run" and not at_once:
            if len(self._queue) >= FLUSH_WRITES:
                return False
            self._queue.append(_Job(make(), waited_for=False))
            self._look_after()
            return True
        if not self._is_sqlite or not self._mutex.acquire(blocking=False):
            return False
        try:
            if self._conn is None or self._lending or (self._queue and not self._few_are_queued()):
                return False
            job = _Job(make(), waited_for=True)
            self._commit_jobs([*self._taken(), job] if self._queue else [job], patient=False)
        finally:
            self._mutex.release()
        if isinstance(job.error, DatabaseBusy):
            return False
        self._look_after()
        if job.error is not None:
            raise job.error
        if self._unheard is not None:
            self._raise_unheard()
        return True

    def flush(self) -> None:
        """Writes what is queued."""
        self.flush_quietly()
        self._raise_unheard()

    def _few_are_queued(self) -> bool:
        """Whether what comes first is little, and can wait if the database is locked."""
        queued = list(self._queue)
        return len(queued) <= 32 and not any(job.waited_for for job in queued)

    def _commit_queued(self, *, patient: bool) -> DatabaseError | None:
        """Why something is still queued, if it is."""
        jobs = self._taken()
        return self._commit_jobs(jobs, patient=patient) if jobs else None

    def _taken(self) -> list[_Job]:
        """What is queued, which is not any more."""
        jobs: list[_Job] = []
        try:
            while self._queue:
                jobs.append(self._queue.popleft())
        except IndexError:  # whoever queued it has just given up
            pass
        return jobs

    def _commit_jobs(self, jobs: Sequence[_Job], *, patient: bool) -> DatabaseError | None:
        """Why something is queued again, if it is."""
        try:
            self._commit(jobs, patient=patient)
        except DatabaseError as error:
            # what nobody waits for keeps its turn; the others are told
            left = [job for job in jobs if not job.done]
            queued = [job for job in left if not job.waited_for]
            self._queue.extendleft(reversed(queued))
            told = [job for job in left if job.waited_for]
            for job in told:
                job.done, job.error = True, error
            if not told and not isinstance(error, DatabaseBusy):
                self._unheard = error
            return error if queued else None
        return None

    def _commit(self, jobs: Sequence[_Job], *, patient: bool) -> None:
        """Does them in one transaction; where that fails, one by one, each with its own error.

        Raises:
            DatabaseError: what is not done now cannot be: the database is locked, or full.
        """
        if len(jobs) > 1 and any(job.alone for job in jobs):
            for _, batch in groupby(jobs, lambda job: job.alone and id(job)):
                self._commit(list(batch), patient=patient)
            return
        conn: Any = self._conn
        before = conn.total_changes if self._is_sqlite else 0
        try:
            self._transact(jobs, patient=patient)
        except BaseException as error:
            if isinstance(error, DatabaseError) and not isinstance(error, ConstraintViolation):
                if isinstance(error, DatabaseBusy) or not jobs[0].alone:
                    raise
            if len(jobs) > 1:
                for job in jobs:
                    self._commit([job], patient=patient)
                return
            (job,) = jobs
            job.done, job.error = True, error
            if not job.waited_for:
                self._unheard = self._unheard or error
        else:
            for job in jobs:
                job.done = True
            size = len(jobs)
            if self._is_sqlite:
                size += (conn.total_changes - before) // ROWS_OF_A_WRITE
            self._since_checkpoint += size
            self._since_restart += size

    def _transact(self, jobs: Sequence[_Job], *, patient: bool) -> None:
        writes = [write for job in jobs for write in job.writes]
        if self._durability == "run":
            # where a start waits for its transaction, its completion may do so, too
            writes = folded(writes)
        attempt = partial(self._once, partial(self._work, writes))
        if patient:
            attempt = partial(self._patiently, attempt)
        try:
            attempt()
        except ConstraintViolation:
            # it may be that what was known to be there has been deleted by somebody else
            attempt()

    def _once(self, work: Callable[[], Steps]) -> None:
        assert self._conn is not None
        self._began = False
        try:
            perform(self._conn, work, commit=True)
        except BaseException:
            if self._began:
                self._known.forget()
            raise

    def _work(self, writes: Sequence[Write]) -> Steps:
        self._began = True
        known = self._known
        if self._is_doubtful():
            known.fences.clear()
        for write in writes:
            yield from write(known)
        if self._is_doubtful():  # it has slept in the middle, or worked for long
            yield from hold(known)

    def _is_doubtful(self) -> bool:
        """Whether a process that slept since may have lost its runs; who asks makes sure of that,
        inside of the transaction that relies on them."""
        # the first may stand still while the machine sleeps
        now, by_wall = time.monotonic(), time.time()
        sure_at, by_wall_at = self._sure_at
        if now - sure_at <= SURE_SECONDS and -SURE_SECONDS <= by_wall - by_wall_at <= SURE_SECONDS:
            return False
        self._sure_at = now, by_wall
        return True

    def _patiently(self, function: Callable[[], T]) -> T:
        """Calls it until the database is not locked by others, for the time that is given."""
        until = time.monotonic() + self._busy_timeout
        pause = 0.001
        while True:
            try:
                return function()
            except DatabaseBusy:
                if time.monotonic() + pause > until:
                    raise
                time.sleep(pause)
                pause = min(pause * 1.5, 0.02)

    def _raise_unheard(self) -> None:
        """An error of what nobody waited for is told to the next who comes."""
        if self._unheard is not None:
            error, self._unheard = self._unheard, None
            raise error

    def take_rows(self, models: Sequence[type[DbModel[Any]]]) -> None:
        """Creates the tables of these models that are missing, and those that they refer to.

        From then on a commit is on the disk itself: people's rows are not a run's history.
        """
        with self._held() as conn:
            self._commit_queued(patient=True)
            if self._synchronous == "NORMAL":
                set_synchronous(conn, "FULL")
                self._synchronous = "FULL"
            self._patiently(lambda: create_tables(conn, models))

    # reading

    @contextmanager
    def lent(self) -> Generator[SyncConnection]:
        """The connection, for reading; what is queued is there."""
        with self._held() as conn:
            self._commit_queued(patient=True)
            self._lending += 1
            try:
                yield conn
            finally:
                self._lending -= 1
                end_reading(conn)

    def opener(self) -> Opener[SyncConnection, AsyncConnection]:
        """Connections for somebody else, to the same database."""
        if self.in_memory:
            return Opener(self.lent, _no_async)
        self.flush()
        return self._new_opener(self._busy_timeout)

    # the connection

    @contextmanager
    def _held(self) -> Generator[SyncConnection]:
        # whoever lends the only connection of a store in memory may be waiting for us
        if not self._mutex.acquire(timeout=LENT_SECONDS if self.in_memory else -1):
            raise WrongRunState(
                f"the only connection of the store {self.target!r} is lent; leave the block of "
                "`with .open()` before a run goes on, or keep the store in a file"
            )
        try:
            if self._conn is None:
                if not self._forked:
                    raise WrongRunState(f"the store {self.target!r} is closed; make another one")
                self._open()
            elif getattr(self._conn, "closed", False):  # the server has ended it
                self._known.forget()
                self._open()
            assert self._conn is not None
            yield self._conn
        finally:
            self._mutex.release()

    def _open(self) -> None:
        if self._forked and self.in_memory:
            raise WrongRunState(
                "a store in memory belongs to the process that made it; make another one after "
                "a fork, or keep it in a file"
            )
        opener = self._new_opener(0)
        self._conn = self._patiently(opener.__enter__)
        self._opener = opener
        self._forked = False

    def _new_opener(self, busy_timeout: float) -> Opener[SyncConnection, AsyncConnection]:
        if not self._is_sqlite:
            return open_db(self.target)
        opener = open_sqlite_db(
            self.target if "://" not in self.target else sqlite_path(self.target) or "",
            busy_timeout=busy_timeout,
            synchronous=self._synchronous,
            autocheckpoint=0 if busy_timeout == 0 else None,
        )
        return cast("Opener[SyncConnection, AsyncConnection]", opener)

    def close(self) -> None:
        """Writes what is queued and closes the connection; closing twice is no error."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None:
            keeper.stop()
        with self._mutex:
            opener, self._opener = self._opener, None
            if opener is None:
                return
            self._forked = False
            try:
                lost = self._commit_queued(patient=True)
                if lost is None and self._known.at_work:
                    self._queue.append(_Job([self._leave()], waited_for=True))
                    self._commit_queued(patient=True)
            finally:
                self._conn = None
                opener.__exit__(None, None, None)
        if lost is not None:
            raise lost
        self._raise_unheard()

    def leave_behind(self) -> None:
        """In the child of a fork: the connection stays the parent's, and so does what is queued."""
        if self._opener is not None:
            # never closed here: that would speak to the server, or tidy the file, for the parent
            _PARENTS.append((self._opener, self._conn))
            self._forked = True
        self._opener = self._conn = self._keeper = None
        self._queue = deque()
        self._known = Known()
        self._mutex = threading.RLock()
        self._lending = 0

    # what is done beside

    def _look_after(self) -> None:
        """Has somebody do what need not, or must not, be done by those who write."""
        if self.in_memory and self._durability == "node":
            return
        if self._keeper is None:
            with self._mutex:
                if self._keeper is None and self._opener is not None:
                    self._keeper = _Keeper(self.tend)
        if self._queue or self._since_checkpoint >= CHECKPOINT_WRITES:
            keeper = self._keeper
            if keeper is not None and not keeper.is_woken:
                keeper.wake()

    def tend(self, beats: bool) -> None:
        """Writes what is queued, moves SQLite's log into the file, and says that we are alive."""
        with suppress(WrongRunState):  # closed, or lent
            self.flush_quietly()
            if self._since_checkpoint >= CHECKPOINT_WRITES and not self.in_memory:
                self._since_checkpoint = 0
                self._checkpoint()
            if beats and self._known.at_work:
                self.write([self._beat()], at_once=True)

    def flush_quietly(self) -> None:
        """Writes what is queued; an error waits for those who ask for something."""
        if self._queue:
            with self._held():
                self._commit_queued(patient=True)

    def _checkpoint(self) -> None:
        if not self._is_sqlite:
            return
        with self._new_opener(self._busy_timeout) as conn:
            checkpoint(conn)
        if self._since_restart >= RESTART_WRITES:
            # what was written meanwhile; it is little, and no more comes until it is moved
            with self._held() as conn:
                if not checkpoint(conn):
                    self._since_restart = 0


class _Keeper:
    """A thread that tends a writer: when it is woken, and now and then."""

    def __init__(self, tend: Callable[[bool], None]) -> None:
        self._tend = tend
        self._woken = threading.Event()
        self.is_woken = False
        """The same, and cheaper to look at."""
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lythonic-provenance", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        self.is_woken = True
        self._woken.set()

    def stop(self) -> None:
        self._stopped.set()
        self._woken.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self) -> None:
        beat_at = time.monotonic() + BEAT_SECONDS
        while True:
            woken = self._woken.wait(max(beat_at - time.monotonic(), 0))
            if woken and self._stopped.wait(FLUSH_SECONDS):
                return
            self._woken.clear()
            self.is_woken = False  # whoever still saw it true finds what is done from here on
            if self._stopped.is_set():  # it may be what has just been cleared
                return
            beats = time.monotonic() >= beat_at
            if beats:
                beat_at = time.monotonic() + BEAT_SECONDS
            try:
                self._tend(beats)
            except Exception:
                LOG.exception("what belongs to a run's record could not be done")


_WRITERS: weakref.WeakSet[Writer] = weakref.WeakSet()
_PARENTS: list[Any] = []
"""The connections of the process from which this one was forked."""


def _leave_all_behind() -> None:
    for writer in list(_WRITERS):
        writer.leave_behind()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_all_behind)


def _no_async() -> Any:
    raise WrongRunState("a store in memory has one sync connection; use `with`, not `async with`")
