"""Who of several managers gets a tick, and what do they tell of it?

Decisions are kept in the transaction in which they are made, with the trigger locked, so that a
tick is dealt with once. What is to be decided is the business of `policy.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from lythonic_state import SyncConnection, and_, col, or_
from lythonic_state.fields import frozen

from ..errors import TriggerError
from ..failpoints import reached
from . import rows
from .payload import Payload
from .policy import Fire, Situation, Skipped, decide
from .store import TriggerStore
from .tables import AT_WORK, TriggerChange, TriggerFire, TriggerState


@frozen
class Decided:
    """What came of a decision: the trigger as it is now, if it fires, and what is to be begun."""

    state: TriggerState | None = None
    fires: Sequence[TriggerFire] = ()
    left_out: Sequence[Skipped] = ()
    """What nothing was left out before for the same reason."""


class Claims:
    """What one manager asks and tells of the fires of a store, under the name of its owner."""

    def __init__(self, store: TriggerStore, owner: str) -> None:
        self._store = store
        self._connection = store._connection
        self._owner = owner

    # whose turn it is

    def changes(self) -> int:
        """A number that is another one when somebody has changed or requested something."""
        with self._connection.reading() as conn:
            found = TriggerChange.load_by_id(conn, rows.CHANGES)
        return 0 if found is None else found.number

    def decide(self, due: Mapping[str, bool]) -> dict[str, Decided]:
        """Decides what becomes of the ticks of triggers that are due, and keeps it.

        For each name it is said whether this is its first look. The fires are this owner's to
        begin. Who comes later finds the ticks dealt with.
        """
        now = self._store._clock()
        # in one order, so that two who do the same never wait for each other
        with self._connection.writing() as conn:
            decided = {name: self._decided(conn, name, due[name], now) for name in sorted(due)}
            reached("trigger.inside")
        return decided

    def _decided(self, conn: SyncConnection, name: str, starting: bool, now: datetime) -> Decided:
        state = rows.locked(conn, name)
        if state is None or not state.fires:
            return Decided()
        try:
            decision = decide(
                Situation(
                    state.config,
                    state.since,
                    now,
                    [fire.run_id or "" for fire in rows.at_work(conn, name)],
                    TriggerFire.select_count(conn, trigger=name, status="queued"),
                    starting,
                )
            )
        except TriggerError:  # of a schedule that makes no sense, which has been said
            return Decided()
        first = [each for each in decision.skipped if rows.keep_skipped(conn, name, each, now)]
        fires = [
            self._fire(name, fire, now).insert(conn)
            for fire in decision.fires
            if not TriggerFire.exists(conn, trigger=name, tick=fire.tick)
        ]
        if decision.since != state.since:
            last_tick = decision.last_tick or state.last_tick
            state = state.patch(conn, {"since": decision.since, "last_tick": last_tick})
        return Decided(state, [fire for fire in fires if fire.status == "claimed"], first)

    def _fire(self, name: str, fire: Fire, now: datetime) -> TriggerFire:
        return TriggerFire(
            trigger=name,
            kind=fire.kind,
            status="queued" if fire.queued else "claimed",
            tick=fire.tick,
            run_id=self._store._new_id(),
            owner=None if fire.queued else self._owner,
            heartbeat_at=None if fire.queued else now,
            fired_at=now,
        )

    def by_hand(self, name: str, payload: Payload | None) -> TriggerFire:
        """A fire that this owner begins at once.

        Raises:
            UnknownTrigger: there is no trigger of this name.
        """
        run_id, now = self._store._new_id(), self._store._clock()
        with self._connection.writing() as conn:
            return rows.by_hand(conn, name, run_id, payload, "claimed", self._owner, now)

    def queued_triggers(self) -> list[str]:
        """The triggers with fires that wait for their turn."""
        with self._connection.reading() as conn:
            queued = TriggerFire.select(conn, status="queued", order_by="fire_id")
        return list(dict.fromkeys(fire.trigger for fire in queued))

    def claim_queued(self, name: str) -> list[TriggerFire]:
        """The fires whose turn has come, which are this owner's to begin from now on.

        Those by hand wait for nothing; of the others one begins when no run is under way.
        """
        with self._connection.reading() as conn:
            if not TriggerFire.exists(conn, trigger=name, status="queued"):
                return []
        now = self._store._clock()
        with self._connection.writing() as conn:
            state = rows.locked(conn, name)
            queued = TriggerFire.select(conn, trigger=name, status="queued", order_by="fire_id")
            by_hand = [fire for fire in queued if fire.kind == "manual"]
            ticks = [fire for fire in queued if fire.kind != "manual"]
            if state is None or state.config.overlap != "parallel":
                ticks = [] if by_hand or rows.at_work(conn, name) else ticks[:1]
            claim = {"status": "claimed", "owner": self._owner, "heartbeat_at": now}
            return [fire.patch(conn, claim) for fire in [*by_hand, *ticks]]

    # what becomes of it

    def note(self, fire: TriggerFire, **values: Any) -> bool:
        """Changes a fire while it is this owner's; False if it is not any more."""
        with self._connection.writing() as conn:
            changed = TriggerFire.update_where(
                conn, values, fire_id=fire.fire_id, owner=self._owner
            )
            return changed > 0

    def withdraw(self, fire: TriggerFire) -> None:
        """Removes the fire of a poll after which there was nothing to do."""
        with self._connection.writing() as conn:
            TriggerFire.delete(conn, fire_id=fire.fire_id, owner=self._owner)

    def let_go_on(self) -> None:
        """Notes of all that this owner is at work on that it goes on with the next engine."""
        with self._connection.writing() as conn:
            TriggerFire.update_where(conn, {"goes_on": True}, owner=self._owner, in__status=AT_WORK)

    def beat(self) -> None:
        """Says that this owner is alive, as long as it is at work on something."""
        now = self._store._clock()
        with self._connection.writing() as conn:
            TriggerFire.update_where(
                conn, {"heartbeat_at": now}, owner=self._owner, in__status=AT_WORK
            )

    # what others have left

    def open_fires(self) -> list[TriggerFire]:
        """The fires that somebody is at work on, or that go on with the next engine, oldest first.

        Those that wait for their turn are not among them.
        """
        status, goes_on = col(TriggerFire.status), col(TriggerFire.goes_on)
        condition = or_(status.in_(AT_WORK), and_(status == "paused", goes_on == True))  # noqa: E712
        with self._connection.reading() as conn:
            return TriggerFire.select(conn, condition, order_by="fire_id")

    def take_over(self, fire: TriggerFire) -> TriggerFire | None:
        """Makes a fire whose owner is gone this one's; None if somebody else was faster."""
        values = {"owner": self._owner, "heartbeat_at": self._store._clock()}
        with self._connection.writing() as conn:
            taken = TriggerFire.update_where(
                conn, values, fire_id=fire.fire_id, owner=fire.owner, status=fire.status
            )
            return TriggerFire.load_by_id(conn, fire.fire_id) if taken else None
