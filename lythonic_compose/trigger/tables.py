"""Which tables hold what is kept of triggers?

All of them are models of the state layer and are queried as such. Nothing is written or read here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import AwareDatetime, BeforeValidator, ValidationError

from lythonic_state import DbModel, Index, PrimaryKey, Schema, Unique

from ..config import TriggerConfig

FireKind: TypeAlias = Literal["schedule", "poll", "manual", "catch-up"]
FireStatus: TypeAlias = Literal[
    "claimed", "running", "queued", "completed", "failed", "paused", "cancelled", "skipped"
]
AT_WORK: tuple[FireStatus, ...] = ("claimed", "running")
"""The statuses of a fire whose run is under way, or about to be."""

NOT_WELL: tuple[FireStatus, ...] = ("paused", "failed", "cancelled")
"""The statuses of a fire whose run a restart continues."""


def _as_far_as_known(value: Any) -> Any:
    """A configuration without what only another version of this package understands."""
    if not isinstance(value, Mapping):
        return value
    given = cast("Mapping[str, Any]", value)
    try:
        return TriggerConfig.model_validate(given)
    except ValidationError as error:
        strange = {detail["loc"][0] for detail in error.errors() if detail["loc"]}
    return {key: each for key, each in given.items() if key not in strange}


class TriggerState(DbModel, table="trigger_states"):
    """A trigger, whether it fires, and up to which moment its ticks have been dealt with."""

    name: Annotated[str, PrimaryKey()]
    nsref: str
    """Where what it runs is registered."""
    config: Annotated[TriggerConfig, BeforeValidator(_as_far_as_known)]
    configured: bool = False
    """Whether it stands in a configuration, and is to go when it stands there no more."""
    active: bool = True
    """False once the configuration has it no more."""
    enabled: bool = True
    """False where it was disabled on purpose, which no restart changes."""
    since: AwareDatetime
    """Ticks up to this moment are dealt with, or nobody's business."""
    last_tick: AwareDatetime | None = None
    """The last tick that it fired for, or left out."""
    changed_at: AwareDatetime

    @property
    def fires(self) -> bool:
        """Whether its ticks are fired now: it is there, and not disabled in either way."""
        return self.active and self.enabled and self.config.enabled


class TriggerFire(
    DbModel,
    table="trigger_fires",
    reuse_keys=False,
    constraints=[
        Unique("trigger", "tick"),
        Index("trigger", "fired_at"),
        Index("fired_at"),
        Index("status", where="status IN ('claimed', 'running', 'queued', 'paused')"),
    ],
):
    """A tick for which a trigger fired, a fire by hand, or ticks that were left out."""

    fire_id: Annotated[int, PrimaryKey()] = -1
    trigger: str
    kind: FireKind
    status: FireStatus
    tick: AwareDatetime | None = None
    """The tick that its run stands for; None of a fire by hand, and of what was left out."""
    first_tick: AwareDatetime | None = None
    """Of what was left out: the first tick, the last one, and how many they are."""
    last_tick: AwareDatetime | None = None
    ticks: int = 1
    """Where very many were left out, only that they were at least so many."""
    reason: str | None = None
    """Why it was left out, or did not complete."""
    run_id: Annotated[str | None, Unique()] = None
    """Its run, which stands here before it begins; None where none is to begin."""
    payload: dict[str, dict[str, Any]] | None = None
    """What its run is given; None where that is the payload of the trigger."""
    polled: bool = False
    """Of a poll: whether the function has said that there is something to do."""
    goes_on: bool = False
    """Whether its run was paused because an engine was stopped, and goes on with the next one."""
    owner: str | None = None
    """The process that is at work on it, and the session of its manager."""
    heartbeat_at: AwareDatetime | None = None
    """When its owner last said that it is alive; asked only where nothing else tells."""
    fired_at: AwareDatetime
    ended_at: AwareDatetime | None = None


class TriggerChange(DbModel, table="trigger_changes"):
    """How often something was changed that managers in other processes have to hear of."""

    name: Annotated[str, PrimaryKey()]
    number: int


SCHEMA = Schema([TriggerState, TriggerFire, TriggerChange])
