"""Which commands are about the engine and its triggers? `start`, `stop`, `status`, `triggers`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, cast

from ...dag_provenance import DagProvenance, DagRun
from ...dag_runner import utc_now
from ...engine import Engine, holder, serve
from ...engine import stop as stop_engine
from ...trigger.policy import next_tick
from ...trigger.tables import TriggerFire
from ..app import (
    DONE,
    REFUSED,
    TRIGGERS,
    Asked,
    Json,
    Limit,
    Moment,
    OneTrigger,
    Patience,
    TriggerName,
    by_itself,
    command,
    complain,
)
from ..finding import abandoned_among
from ..known_triggers import KnownTrigger, keep_trigger, known_triggers, trigger_meant
from ..run_text import STYLES, short_ids
from ..screen import Screen
from ..tables import Cell, Cells, Column, Line, table
from ..times import shown_length, shown_moment

STATUSES = ("completed", "failed", "paused", "cancelled")
LATELY = timedelta(hours=24)


@command("start")
def start(asked: Asked) -> int:
    """Starts the engine, which runs what is due until it is stopped.

    It stays in the foreground. Runs whose process is gone go on first. SIGTERM or Ctrl-C ends it:
    nodes that are running may end, and their runs go on with the next start.
    """
    return serve(asked.load())


@command("stop")
def stop(asked: Asked, timeout: Patience = 60.0) -> int:
    """Stops the engine of the data directory, and waits for its end."""
    if stop_engine(asked.data_directory, timeout):
        Screen().say("stopped")
        return DONE
    complain(f"the engine still runs after {shown_length(timeout)}; its nodes may take longer")
    return REFUSED


@command("status")
def status(asked: Asked, as_json: Json = False) -> int:
    """Shows whether the engine runs, and what it has come to."""
    screen, now = Screen(), utc_now()
    with asked.engine() as engine:
        found = _status(engine, now)
    if as_json:
        screen.show_json(found)
    else:
        screen.show(_status_lines(found, now))
    return DONE


# --- triggers -------------------------------------------------------------------------------


@by_itself(TRIGGERS)
def triggers(asked: Asked, as_json: Json = False) -> int:
    """Lists the triggers, with their next fire and their last one."""
    return listed(asked, as_json)


@command("list", TRIGGERS)
def listed(asked: Asked, as_json: Json = False) -> int:
    """Lists the triggers, with their next fire and their last one."""
    screen, now = Screen(), utc_now()
    with asked.engine() as engine:
        found = [_trigger_as_json(each, engine, now) for each in known_triggers(engine).values()]
    if as_json:
        screen.show_json(found)
    elif found:
        screen.show(_trigger_table(found, now, screen.width))
    else:
        screen.say("no triggers")
    return DONE


@command("enable", TRIGGERS)
def enable(asked: Asked, trigger: TriggerName) -> int:
    """Lets a trigger fire again, from its next tick on."""
    with asked.engine() as engine:
        keep_trigger(engine, trigger)
        engine.triggers.enable(trigger)
    Screen().say(f"{trigger} is enabled")
    return DONE


@command("disable", TRIGGERS)
def disable(asked: Asked, trigger: TriggerName) -> int:
    """Lets a trigger fire no more, until it is enabled again."""
    with asked.engine() as engine:
        keep_trigger(engine, trigger)
        engine.triggers.disable(trigger)
    Screen().say(f"{trigger} is disabled")
    return DONE


@command("fires", TRIGGERS)
def fires(
    asked: Asked,
    trigger: OneTrigger = None,
    since: Moment = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> int:
    """Lists what triggers have fired, and what they left out and why."""
    screen = Screen()
    with asked.engine() as engine:
        if trigger is not None:
            trigger_meant(engine, trigger)
        found = engine.triggers.fires(trigger, since, limit)
    if as_json:
        screen.show_json([_fire_as_json(fire) for fire in found])
    elif found:
        screen.show(_fire_table(found, utc_now(), screen.width))
    else:
        screen.say("no fires")
    return DONE


def _trigger_as_json(trigger: KnownTrigger, engine: Engine, now: datetime) -> dict[str, Any]:
    fires = engine.triggers.fires(trigger.name, limit=1)
    upcoming = next_tick(trigger.config, now) if trigger.state == "on" else None
    return {
        "name": trigger.name,
        "nsref": trigger.nsref,
        "schedule": trigger.config.schedule,
        "timezone": trigger.config.timezone,
        "state": trigger.state,
        "next_tick": None if upcoming is None else upcoming.isoformat(),
        "last_fire": _fire_as_json(fires[0]) if fires else None,
    }


def _fire_as_json(fire: TriggerFire) -> dict[str, Any]:
    def moment(at: datetime | None) -> str | None:
        return None if at is None else at.astimezone(UTC).isoformat()

    return {
        "trigger": fire.trigger,
        "kind": fire.kind,
        "status": fire.status,
        "tick": moment(fire.tick),
        "first_tick": moment(fire.first_tick),
        "last_tick": moment(fire.last_tick),
        "ticks": fire.ticks,
        "reason": fire.reason,
        "run_id": fire.run_id,
        "fired_at": moment(fire.fired_at),
        "ended_at": moment(fire.ended_at),
    }


def _trigger_table(found: list[dict[str, Any]], now: datetime, width: int | None) -> list[Line]:
    styles = {"on": "green", "disabled": "yellow", "off": "dim", "gone": "dim"}
    titles = [
        Column("trigger", least=8),
        Column("dag", least=8, leave=2),
        Column("schedule", least=9, leave=1),
        Column("state"),
        Column("next", leave=3),
        Column("last", least=8),
    ]
    rows: list[Cells] = [
        [
            each["name"],
            each["nsref"],
            _schedule(each),
            Cell(each["state"], styles[each["state"]]),
            _shown(each["next_tick"], now),
            _last(each["last_fire"], now),
        ]
        for each in found
    ]
    return table(titles, rows, width)


def _schedule(trigger: Mapping[str, Any]) -> str:
    zone = "" if trigger["timezone"] == "UTC" else f" {trigger['timezone']}"
    return f"{trigger['schedule']}{zone}" if trigger["schedule"] else ""


def _last(fire: Mapping[str, Any] | None, now: datetime) -> str:
    return "" if fire is None else f"{fire['status']} {_shown(fire['fired_at'], now)}"


def _shown(text: str | None, now: datetime) -> str:
    return "" if text is None else shown_moment(datetime.fromisoformat(text), now)


def _fire_table(found: list[TriggerFire], now: datetime, width: int | None) -> list[Line]:
    short = short_ids([fire.run_id for fire in found if fire.run_id])
    titles = [
        Column("trigger", least=8),
        Column("tick"),
        Column("kind", leave=1),
        Column("status"),
        Column("run", leave=2),
        Column("reason", least=8),
    ]
    rows: list[Cells] = [
        [
            fire.trigger,
            _ticks(fire, now),
            fire.kind,
            Cell(fire.status, STYLES.get(fire.status, "dim")),
            short.get(fire.run_id or "", ""),
            fire.reason or "",
        ]
        for fire in found
    ]
    return table(titles, rows, width)


def _ticks(fire: TriggerFire, now: datetime) -> str:
    if fire.ticks > 1:
        return f"{fire.ticks} until {shown_moment(fire.last_tick, now)}"
    return shown_moment(fire.tick or fire.last_tick or fire.fired_at, now)


# --- status ---------------------------------------------------------------------------------


def _status(engine: Engine, now: datetime) -> dict[str, Any]:
    held = holder(engine.config.data)
    states = [each.state for each in known_triggers(engine).values()]
    return {
        "data": str(engine.config.data),
        "engine": None
        if held is None
        else {
            "pid": held.pid,
            "host": held.host,
            "since": None if held.since is None else held.since.isoformat(),
        },
        "runs": _run_numbers(engine.provenance, now),
        "triggers": {state: states.count(state) for state in ("on", "disabled", "off")},
    }


def _run_numbers(provenance: DagProvenance, now: datetime) -> dict[str, int]:
    """How many runs are under way, and how many ended in which way lately."""
    with provenance.open() as conn:
        under_way = DagRun.select(conn, parent_run_id=None, status="running")
        ended = {
            each: DagRun.select_count(
                conn, parent_run_id=None, status=each, gte__started_at=now - LATELY
            )
            for each in STATUSES
        }
    gone = abandoned_among(provenance, under_way)
    return {"running": len(under_way) - len(gone), "abandoned": len(gone), **ended}


def _status_lines(found: Mapping[str, Any], now: datetime) -> list[Line]:
    engine = found["engine"]
    if engine is None:
        about = Cell("not running", "yellow")
    else:
        since = _shown(engine["since"], now)
        about = Cell(f"running since {since}, process {engine['pid']} on {engine['host']}", "green")
    runs = cast("dict[str, int]", found["runs"])
    numbers = [f"{runs[each]} {each}" for each in ("running", "abandoned") if runs[each]]
    ended = [f"{runs[each]} {each}" for each in STATUSES if runs[each]]
    on = [f"{number} {state}" for state, number in found["triggers"].items() if number]
    return [
        (Cell("engine    "), about),
        (Cell(f"data      {found['data']}"),),
        (Cell(f"runs      {', '.join(numbers) or 'none under way'}"),),
        (Cell(f"last 24 h {', '.join(ended) or 'none ended'}"),),
        (Cell(f"triggers  {', '.join(on) or 'none'}"),),
    ]
