"""What do people ask of triggers, and tell them? `TriggerStore`.

What managers ask, who fire them, stands in `claims.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from os import PathLike, fspath
from types import TracebackType
from typing import Any, Self

from ..config import TriggerConfig
from ..dag_runner import new_run_id, utc_now
from ..errors import TriggerError
from ..events import RunStatus
from . import rows
from .connection import Connection
from .payload import Payload
from .tables import NOT_WELL, FireStatus, TriggerFire, TriggerState

BUSY_TIMEOUT = 5.0
"""Seconds for which a write waits for other processes."""


class TriggerStore:
    """Keeps triggers and their fires in a SQLite file, or in the database of a URL.

    Threads and processes may share one. Use it as a context manager, or `close()` it.

    Example:
        >>> with TriggerStore("triggers.db") as store:
        ...     store.disable("often")
        ...     for fire in store.fires("often", limit=10):
        ...         print(fire.tick, fire.status, fire.run_id)

    Raises:
        DatabaseError: the file is no database, or cannot be opened.
        MigrationError: it has tables of these names and of another shape; nothing was changed.
    """

    def __init__(
        self,
        path_or_url: str | PathLike[str],
        *,
        busy_timeout: float = BUSY_TIMEOUT,
        clock: Callable[[], datetime] = utc_now,
        new_id: Callable[[], str] = new_run_id,
    ) -> None:
        self._clock = clock
        self._new_id = new_id
        self._connection = Connection(fspath(path_or_url), busy_timeout, rows.prepare)

    def __repr__(self) -> str:
        return f"TriggerStore({self._connection.target!r})"

    # triggers

    def put(
        self, name: str, nsref: str, config: TriggerConfig, *, configured: bool = False
    ) -> TriggerState:
        """Keeps a trigger under a name, new or changed; one that is disabled stays so.

        With another schedule than before it begins anew: no earlier tick was missed. One that is
        `configured` goes with the configuration that has it no more.

        Example:
            >>> store.put("often", "reports:daily", TriggerConfig(schedule="*/30 * * * * *"))

        Raises:
            TriggerError: a trigger of this name hangs on something else.
        """
        with self._connection.writing() as conn:
            rows.alone(conn)
            before = TriggerState.load_by_id(conn, name)
            if before is not None and before.active and before.nsref != nsref:
                raise TriggerError(
                    f"the trigger {name!r} runs {before.nsref} already; give the one of {nsref} "
                    "another name"
                )
            configured = configured or (before is not None and before.configured)
            return rows.put(conn, name, nsref, config, configured, self._clock())

    def put_configured(
        self, triggers: Mapping[str, tuple[str, TriggerConfig]]
    ) -> list[TriggerState]:
        """Keeps the triggers of a configuration, by name with what they run, and returns them.

        Those that it has no more fire no more; what they fired stays known.

        Example:
            >>> hourly = TriggerConfig(schedule="@hourly")
            >>> store.put_configured({"often": ("reports:daily", hourly)})
        """
        now = self._clock()
        with self._connection.writing() as conn:
            rows.alone(conn)
            for state in TriggerState.select(conn, configured=True, active=True):
                if state.name not in triggers:
                    rows.retire(conn, state.name, now)
            return [
                rows.put(conn, name, nsref, config, True, now)
                for name, (nsref, config) in triggers.items()
            ]

    def enable(self, name: str) -> TriggerState:
        """Lets a trigger fire again, from its next tick on.

        Raises:
            UnknownTrigger: there is none of this name.
        """
        now = self._clock()
        with self._connection.writing() as conn:
            rows.alone(conn)
            state = rows.known(conn, name)
            if not state.enabled:
                state = state.patch(conn, {"enabled": True, "since": now, "changed_at": now})
                rows.changed(conn)
            return state

    def disable(self, name: str) -> TriggerState:
        """Lets a trigger fire no more until it is enabled, whatever is restarted or configured.

        What waits in its queue is left out, and what runs goes on.

        Raises:
            UnknownTrigger: there is none of this name.
        """
        now = self._clock()
        with self._connection.writing() as conn:
            rows.alone(conn)
            state = rows.known(conn, name)
            if state.enabled:
                state = state.patch(conn, {"enabled": False, "changed_at": now})
                rows.drop_queued(conn, name, "the trigger was disabled", now)
                rows.changed(conn)
            return state

    def states(self) -> list[TriggerState]:
        """All triggers by name, also those that a configuration has no more."""
        with self._connection.reading() as conn:
            return TriggerState.select(conn, order_by="name")

    def state(self, name: str) -> TriggerState:
        """A trigger.

        Raises:
            UnknownTrigger: there is none of this name; the message has the nearest.
        """
        with self._connection.reading() as conn:
            return rows.known(conn, name)

    # fires

    def fires(
        self,
        name: str | None = None,
        since: datetime | None = None,
        limit: int | None = 100,
        *,
        status: FireStatus | Sequence[FireStatus] | None = None,
    ) -> list[TriggerFire]:
        """What triggers fired and left out, newest first.

        Example:
            >>> store.fires("often", since=yesterday, status="skipped")
        """
        asked: dict[str, Any] = {}
        if name is not None:
            asked["trigger"] = name
        if since is not None:
            asked["gte__fired_at"] = since
        if status is not None:
            asked["in__status"] = [status] if isinstance(status, str) else list(status)
        with self._connection.reading() as conn:
            return TriggerFire.select(
                conn, order_by=("-fired_at", "-fire_id"), limit=limit, **asked
            )

    def fire_of(self, run_id: str) -> TriggerFire | None:
        """The fire that a run was begun for, or None."""
        with self._connection.reading() as conn:
            return TriggerFire.first(conn, run_id=run_id)

    def run_ended(self, run_id: str, status: RunStatus, error: str | None = None) -> bool:
        """Keeps of the fire that a run was begun for how the run ended when it was restarted.

        False if there is none, if an engine is at work on it, or if the run has not ended.

        Example:
            >>> store.run_ended(result.run_id, result.status, result.error)
        """
        if status in ("running", "paused"):
            return False
        ended = {"status": status, "reason": error, "goes_on": False, "ended_at": self._clock()}
        with self._connection.writing() as conn:
            return TriggerFire.update_where(conn, ended, run_id=run_id, in__status=NOT_WELL) > 0

    def request(self, name: str, payload: Payload | None = None) -> TriggerFire:
        """Asks the engine that runs for a fire by hand, which begins within a second.

        Example:
            >>> store.request("often", {"fetch": {"url": "…"}}).run_id
            '6f0c…'

        Raises:
            UnknownTrigger: there is none of this name.
        """
        with self._connection.writing() as conn:
            rows.changed(conn)
            return rows.by_hand(conn, name, self._new_id(), payload, "queued", None, self._clock())

    def prune(self, older_than: datetime, *, dry_run: bool = False) -> int:
        """Removes what was fired or left out before a moment, and has ended; returns how much.

        With `dry_run` nothing is removed.

        Example:
            >>> store.prune(datetime.now(UTC) - timedelta(days=90))
            1204
        """
        old: dict[str, Any] = {"lt__fired_at": older_than, "isnull__ended_at": False}
        if dry_run:
            with self._connection.reading() as conn:
                return TriggerFire.select_count(conn, **old)
        with self._connection.writing() as conn:
            return TriggerFire.delete(conn, **old)

    # an end

    def close(self) -> None:
        """Closes the connection; closing twice is no error."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
