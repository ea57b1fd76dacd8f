"""How are rows saved in a database that is not the one where runs are recorded?

In one transaction there with a marker, which says that an attempt has written and where its value
is kept. What is kept of the run itself is not known here. Whoever goes on with a run raises its
fence there, so that an attempt of an earlier owner writes nothing any more.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from os import PathLike, fspath
from typing import Annotated, Any

from pydantic import AwareDatetime

from lythonic_state import (
    DbModel,
    Index,
    PreparedDelete,
    PreparedInsert,
    PreparedSelect,
    PreparedUpdate,
    PrimaryKey,
    SyncConnection,
    perform,
)
from lythonic_state.fields import frozen

from ..errors import DagError, RunTakenOver
from ..failpoints import reached
from .found import Written
from .reading import (
    Borrow,
    NumberedOrigin,
    OriginReader,
    connection_to,
    from_anywhere,
    is_in_memory,
    place_of,
)
from .rows import Rows, RowSource
from .saving import Origin, Steps, create_tables, save


class OutputMarker(DbModel, table="lythonic_output_markers"):
    """The rows of this node are there: those of this attempt, as long as it is the newest."""

    run_id: Annotated[str, PrimaryKey()]
    node_label: Annotated[str, PrimaryKey()]
    attempt: int
    fence: int
    payload_hash: str | None = None
    """Under which the store of the run keeps what the node returned."""
    written_at: AwareDatetime


class OutputFence(DbModel, table="lythonic_output_fences"):
    """Who may write for a run: the owner that bears this number, as in its record."""

    run_id: Annotated[str, PrimaryKey()]
    fence: int


class OutputOrigin(
    DbModel,
    table="lythonic_output_origins",
    constraints=[Index("run_id", "node_label", "attempt", "table_name", "key_text")],
):
    """Which rows an attempt wrote, as in `row_origins` of a store."""

    output_origin_id: Annotated[int, PrimaryKey()] = -1
    run_id: str
    node_label: str
    attempt: int
    table_name: str
    first_key: int | None = None
    last_key: int | None = None
    key_text: str | None = None


_OWN: tuple[type[DbModel[Any]], ...] = (OutputMarker, OutputFence, OutputOrigin)
_MARKER = PreparedInsert(
    OutputMarker, "run_id", "node_label", "attempt", "fence", "payload_hash", "written_at"
)
_FORGET_MARKER = PreparedDelete(OutputMarker, "run_id", "node_label")
_MARKER_OF = PreparedSelect(OutputMarker, "run_id", "node_label")
_FENCE = PreparedInsert(OutputFence, "run_id", "fence", on_conflict="ignore")
_FENCE_OF = PreparedSelect(OutputFence, "run_id")
_RAISE = PreparedUpdate(OutputFence, ["fence"], ["run_id", "fence"])
_ORIGIN = PreparedInsert(
    OutputOrigin,
    *("run_id", "node_label", "attempt", "table_name", "first_key", "last_key", "key_text"),
)
_ORIGIN_OF_TEXT = PreparedSelect(
    OutputOrigin, "run_id", "node_label", "attempt", "table_name", "key_text"
)


@frozen
class SavedElsewhere:
    """The rows of a node are saved in a database of their own."""

    payload_hash: str | None
    origins: Callable[[], Iterator[list[Origin]]]
    adopted: bool = False
    """Whether this is found out later: whoever saved them could not record it any more."""


class Outputs:
    """A database that takes the rows of nodes; it is open as long as somebody runs.

    Raises:
        DagError: it is one in memory, which would end with the run.
    """

    keeps_rows = True

    def __init__(self, target: str | PathLike[str], clock: Callable[[], datetime]) -> None:
        self.target = fspath(target)
        if is_in_memory(self.target):
            raise DagError(
                f"outputs={self.target!r} is a database in memory, which ends with the run; name a "
                "file or a URL, or leave it out to write where the runs are recorded"
            )
        self.place = place_of(self.target)
        """The same for who keeps or shows it."""
        self._clock = clock
        self._lock = threading.RLock()
        self._users = 0
        self._open = ExitStack()
        self._borrow: Borrow | None = None
        self._expected: set[type[DbModel[Any]]] = set()

    @contextmanager
    def in_use(self) -> Generator[None]:
        """The connection is closed when nobody uses it any more."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                if not self._users:
                    self._close()

    def _close(self) -> None:
        self._borrow = None
        self._open.close()

    @contextmanager
    def _held(self) -> Generator[SyncConnection]:
        with self._lock:
            if self._borrow is not None:
                with self._borrow() as conn:
                    if getattr(conn, "closed", False):  # the server has ended it
                        self._close()
            if self._borrow is None:
                self._borrow = self._open.enter_context(connection_to(self.target))
            with self._borrow() as conn:
                yield conn

    # what the runner asks of whoever keeps rows

    def expect_rows(self, models: Sequence[type[DbModel[Any]]], /) -> None:
        new = [model for model in (*_OWN, *models) if model not in self._expected]
        if not new:
            return
        with self._held() as conn:
            create_tables(conn, new)
        self._expected.update(new)

    def row_source(self) -> RowSource:
        return _OutputRows(self.target)

    # writing

    def save(
        self,
        run_id: str,
        label: str,
        attempt: int,
        fence: int,
        written: Written,
        keep_value: Callable[[], str | None],
    ) -> SavedElsewhere:
        """Saves the rows, all or none; `keep_value` is called once the models have their keys.

        Raises:
            RunTakenOver: the run is another owner's now; nothing was written.
            DatabaseError: they are refused, which is noted in `written`, or cannot be written.
        """
        node = {"run_id": run_id, "node_label": label}
        hashes: list[str | None] = []
        broken: list[Exception] = []

        def work() -> Steps:
            yield _FENCE(run_id=run_id, fence=fence)
            # it is written although it stays what it is, so that nobody raises it meanwhile
            if not (yield _RAISE({"fence": fence}, run_id=run_id, fence=fence)):
                raise _taken_over(run_id)
            yield from save(written, *_origin_calls({**node, "attempt": attempt}))
            try:
                payload_hash = keep_value()
            except Exception as error:
                broken.append(error)
                raise
            reached("outputs.kept")
            yield _FORGET_MARKER(**node)
            yield _MARKER(
                **node,
                attempt=attempt,
                fence=fence,
                payload_hash=payload_hash,
                written_at=self._clock(),
            )
            hashes.append(payload_hash)
            reached("outputs.inside")

        try:
            self.expect_rows(written.models)
            with self._held() as conn:
                perform(conn, work, commit=True)
        except RunTakenOver:
            raise
        except Exception as error:
            if not any(error is each for each in broken):
                written.refused.append(error)
            raise
        reached("outputs.saved")
        return SavedElsewhere(hashes[-1], self._origins_of(run_id, label, attempt))

    # going on with a run

    def take_over(self, run_id: str, fence: int) -> None:
        """Lets nobody write for a run who bears a lower number.

        Raises:
            RunTakenOver: somebody bears a higher one.
        """

        def work() -> Steps:
            yield _FENCE(run_id=run_id, fence=fence)
            while True:
                (known,) = yield _FENCE_OF(run_id=run_id)
                if known.fence > fence:
                    raise _taken_over(run_id)
                if (yield _RAISE({"fence": fence}, run_id=run_id, fence=known.fence)):
                    return

        self.expect_rows(())
        with self._held() as conn:
            perform(conn, work, commit=True)

    def saved(self, run_id: str, label: str, attempt: int) -> SavedElsewhere | None:
        """What this attempt has saved, if it came so far."""
        with self._held() as conn:
            found = perform(conn, _MARKER_OF(run_id=run_id, node_label=label))
        marker: OutputMarker | None = found[0] if found else None
        if marker is None or marker.attempt != attempt:
            return None
        origins = self._origins_of(run_id, label, attempt)
        return SavedElsewhere(marker.payload_hash, origins, adopted=True)

    def _origins_of(
        self, run_id: str, label: str, attempt: int
    ) -> Callable[[], Iterator[list[Origin]]]:
        def batches() -> Iterator[list[Origin]]:
            with connection_to(self.target) as borrow, borrow() as conn:
                after = -1
                while found := _origins(conn, run_id, label, attempt, after, 1000):
                    after = found[-1].output_origin_id
                    yield [
                        Origin(each.table_name, each.first_key, each.last_key, each.key_text)
                        for each in found
                    ]

        return batches


class _OutputRows(OriginReader):
    """Reads them again, also in another process."""

    def __init__(self, target: str) -> None:
        self._target = target

    def __reduce__(self) -> Any:
        return _OutputRows, (from_anywhere(self._target),)

    def connection(self) -> Any:
        return connection_to(self._target)

    def origins(
        self, conn: SyncConnection, rows: Rows[Any], table: str, after: int, limit: int
    ) -> list[NumberedOrigin]:
        found = _origins(conn, rows.run_id, rows.node, rows.attempt, after, limit, table_name=table)
        return [
            NumberedOrigin(each.output_origin_id, each.first_key, each.last_key, each.key_text)
            for each in found
        ]


def _origin_calls(
    place: dict[str, Any],
) -> tuple[Callable[[list[Origin]], Any], Callable[[Origin], Any]]:
    """The calls with which `save` keeps origins of an attempt, and finds one."""

    def keep(origins: list[Origin]) -> Any:
        return _ORIGIN.many({**place, **origin._asdict()} for origin in origins)

    def kept(origin: Origin) -> Any:
        return _ORIGIN_OF_TEXT(**place, table_name=origin.table_name, key_text=origin.key_text)

    return keep, kept


def _origins(
    conn: SyncConnection,
    run_id: str,
    label: str,
    attempt: int,
    after: int,
    limit: int,
    **filters: Any,
) -> list[OutputOrigin]:
    return OutputOrigin.select(
        conn,
        run_id=run_id,
        node_label=label,
        attempt=attempt,
        gt__output_origin_id=after,
        order_by="output_origin_id",
        limit=limit,
        **filters,
    )


def _taken_over(run_id: str) -> RunTakenOver:
    return RunTakenOver(
        f"run {run_id!r} was taken over by another process, which goes on with it; the rows that "
        "came here were not written"
    )
