"""Which rows does it make that a trigger is changed, fires, or leaves something out?

What stands here is part of a transaction of somebody else's.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from lythonic_state import SchemaError, SyncConnection, col

from ..config import TriggerConfig
from ..errors import UnknownTrigger, nearest
from .payload import Payload, kept_payload
from .policy import Skipped
from .tables import AT_WORK, SCHEMA, FireStatus, TriggerChange, TriggerFire, TriggerState

CHANGES = "triggers"
"""The name of the row that counts changes."""
_WHEN = ("schedule", "timezone", "poll_fn", "enabled")
"""What of a configuration says when a trigger fires."""


def prepare(conn: SyncConnection) -> None:
    """Makes the tables, or brings those of an older version to this one's shape."""
    try:
        SCHEMA.create_tables(conn)
    except SchemaError:
        conn.rollback()
        SCHEMA.migrate(conn)
    none_yet = TriggerChange(name=CHANGES, number=0)
    TriggerChange.insert_many(conn, [none_yet], on_conflict="ignore")
    cast(Any, conn).commit()


# --- triggers -------------------------------------------------------------------------------


def known(conn: SyncConnection, name: str) -> TriggerState:
    """A trigger.

    Raises:
        UnknownTrigger: there is none of this name; the message has the nearest.
    """
    state = TriggerState.load_by_id(conn, name)
    if state is None:
        names = [each.name for each in TriggerState.select(conn)]
        raise UnknownTrigger(f"there is no trigger {name!r}{nearest(name, names)}")
    return state


def locked(conn: SyncConnection, name: str) -> TriggerState | None:
    """A trigger about which nobody else decides until the transaction ends."""
    same = {"since": col(TriggerState.since)}
    if not TriggerState.update_where(conn, same, name=name):
        return None
    return TriggerState.load_by_id(conn, name)


def put(
    conn: SyncConnection,
    name: str,
    nsref: str,
    config: TriggerConfig,
    configured: bool,
    now: datetime,
) -> TriggerState:
    """Keeps a trigger as it is from now on; with another schedule it begins anew."""
    before = locked(conn, name)
    if before is None:
        state = TriggerState(
            name=name, nsref=nsref, config=config, configured=configured, since=now, changed_at=now
        )
        changed(conn)
        return state.insert(conn)
    wanted = {"nsref": nsref, "config": config, "configured": configured, "active": True}
    after = before.model_copy(update=wanted)
    if after == before:
        return before
    anew = not before.active or any(
        getattr(before.config, each) != getattr(config, each) for each in _WHEN
    )
    changed(conn)
    return before.patch(conn, {**wanted, "since": now if anew else before.since, "changed_at": now})


def retire(conn: SyncConnection, name: str, now: datetime) -> None:
    """Takes a trigger out that a configuration has no more."""
    TriggerState.update_where(conn, {"active": False, "changed_at": now}, name=name)
    drop_queued(conn, name, "the configuration has the trigger no more", now)
    changed(conn)


def changed(conn: SyncConnection) -> None:
    """Lets the managers of all processes know that they have to look."""
    TriggerChange.update_where(conn, {"number": col(TriggerChange.number) + 1}, name=CHANGES)


def alone(conn: SyncConnection) -> None:
    """Makes others wait who change triggers, until the transaction ends."""
    TriggerChange.update_where(conn, {"number": col(TriggerChange.number)}, name=CHANGES)


# --- fires ----------------------------------------------------------------------------------


def by_hand(
    conn: SyncConnection,
    name: str,
    run_id: str,
    payload: Payload | None,
    status: FireStatus,
    owner: str | None,
    now: datetime,
) -> TriggerFire:
    known(conn, name)
    return TriggerFire(
        trigger=name,
        kind="manual",
        status=status,
        run_id=run_id,
        payload=None if payload is None else kept_payload(payload, f"what fires {name!r}"),
        owner=owner,
        heartbeat_at=None if owner is None else now,
        fired_at=now,
    ).insert(conn)


def at_work(conn: SyncConnection, name: str) -> list[TriggerFire]:
    """The fires of a trigger whose runs are under way, or about to be, oldest first."""
    return TriggerFire.select(conn, trigger=name, in__status=AT_WORK, order_by="fire_id")


def keep_skipped(conn: SyncConnection, name: str, skipped: Skipped, now: datetime) -> bool:
    """Keeps all that is left out in a row, for one reason, as one; True if it is the first."""
    newest = TriggerFire.first(conn, trigger=name, order_by=("-fired_at", "-fire_id"))
    if newest is not None and newest.status == "skipped" and newest.reason == skipped.reason:
        ticks = newest.ticks + skipped.ticks
        newest.patch(conn, {"last_tick": skipped.last, "ticks": ticks, "ended_at": now})
        return False
    TriggerFire(
        trigger=name,
        kind="schedule",
        status="skipped",
        first_tick=skipped.first,
        last_tick=skipped.last,
        ticks=skipped.ticks,
        reason=skipped.reason,
        fired_at=now,
        ended_at=now,
    ).insert(conn)
    return True


def drop_queued(conn: SyncConnection, name: str, reason: str, now: datetime) -> None:
    """Leaves out what waits for its turn."""
    values = {"status": "skipped", "reason": reason, "ended_at": now}
    TriggerFire.update_where(conn, values, trigger=name, status="queued")
