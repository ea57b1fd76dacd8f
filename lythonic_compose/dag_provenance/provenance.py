"""What is every store, whatever becomes of what it is told? `Provenance`, and `NullProvenance`.

The store that keeps things is `DagProvenance`, in `store.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from lythonic_state import DbModel, SyncConnection, UserCtx
from lythonic_state.later import Later

from ..dag_runner import utc_now
from ..events import Event
from ..outputs.rows import RowSource
from .asked import AskedOfRuns
from .asked_rows import AskedOfRows
from .known import Author, Write
from .recovery import Recovers
from .tables import DagRun
from .told import Told

if TYPE_CHECKING:
    from . import retention
    from .retention import Pruned
    from .row_lists import Outputs
    from .tracing import Asking
else:
    retention = Later(__package__, "retention")

T = TypeVar("T")


class Provenance(Told, AskedOfRuns, AskedOfRows, Recovers):
    """What can be told to a store and asked of it. What it does with that, subclasses say."""

    def __init__(self, clock: Callable[[], datetime] = utc_now) -> None:
        self._clock = clock

    @property
    def blocking(self) -> bool:
        """Whether telling it may have to wait, so that it must not be done on an event loop."""
        raise NotImplementedError

    def emit(self, *events: Event) -> None:
        """Records what a runner says has happened, all of it or nothing.

        Raises:
            WrongRunState: the run is running elsewhere, or the attempt is not running any more.
            DatabaseError: it cannot be written.
        """
        raise NotImplementedError

    def try_emit(self, *events: Event) -> bool:
        """`emit` where that needs no waiting; else False, and nothing was done."""
        raise NotImplementedError

    # the rows of nodes

    @property
    def keeps_rows(self) -> bool:
        """Whether the rows of nodes with `write=` can be saved here."""
        return False

    def expect_rows(self, models: Sequence[type[DbModel[Any]]], /) -> None:
        """Makes sure that the tables of these models are there, before a run needs them.

        Raises:
            SchemaError: a table has another shape in the database.
        """
        raise NotImplementedError

    def row_source(self) -> RowSource:
        """Where `Rows` read what nodes have written."""
        raise NotImplementedError

    def is_at(self, target: str, /) -> bool:
        """Whether this is the database of the store."""
        return False

    def rows_are_at(self, target: str, /) -> None:
        """Notes where a runner writes rows to, so that they are found when they are asked for."""

    def keep_output(
        self, run_id: str, label: str, attempt: int, value: Any, declared: Any, /
    ) -> str | None:
        """Keeps what a running attempt returned, before its rows are saved in another database.

        Raises:
            WrongRunState: the attempt is not running any more.
        """
        raise NotImplementedError

    # what stays

    def prune(
        self,
        *,
        older_than: timedelta | datetime | None = None,
        keep_last: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        """Removes runs that ended that long ago, and are not among the newest so many.

        Runs inside of them go with them, and values that no other run refers to. Runs that are
        running or pinned stay. With `dry_run` nothing is removed, and the result tells what would
        be. A SQLite file shrinks.

        Example:
            >>> provenance.prune(older_than=timedelta(days=30), keep_last=100).runs
            ('6f0c…', '91ab…')

        Raises:
            ValueError: neither is given, or one makes no sense.
        """
        raise NotImplementedError

    # an end

    def close(self) -> None:
        """Ends it; what was told is kept."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


class NullProvenance(Provenance):
    """Takes everything and keeps nothing, so that no node can write rows with it."""

    @property
    def blocking(self) -> bool:
        return False

    def emit(self, *events: Event) -> None:
        pass

    def try_emit(self, *events: Event) -> bool:
        return True

    def keep_output(
        self, run_id: str, label: str, attempt: int, value: Any, declared: Any, /
    ) -> str | None:
        return None

    def _write(self, prepare: Callable[[Author], Write]) -> None:
        pass

    def _read(self, read: Callable[[SyncConnection], T], empty: T) -> T:
        return empty

    def _trace(
        self, read: Callable[[Asking], T], empty: T, outputs: Outputs | None, user_ctx: UserCtx
    ) -> T:
        return empty

    def _why_running(self, run: DagRun, at: datetime) -> str | None:
        return None

    def prune(
        self,
        *,
        older_than: timedelta | datetime | None = None,
        keep_last: int | None = None,
        dry_run: bool = False,
    ) -> Pruned:
        return retention.Pruned(dry_run=dry_run)
