"""Which commands carry out runs? `run`, `fire`, `restart`, `replay` and `recover`.

Each waits for the end of what it began, and its exit code says how that was. SIGINT and SIGTERM let
the runs pause.
"""

from __future__ import annotations

import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ...context import initiated_by
from ...dag_provenance import DagRun, Recovery
from ...dag_runner import DagRunResult
from ...errors import WrongRunState
from ...plan import Plan
from ...printable import one_line
from ...progress import live_progress
from ...progress.display import ProgressDisplay
from ...refs import NsRef
from ...trigger.payload import inputs_from
from ...values import safe_json_dumps
from ..app import (
    DONE,
    RUN_FAILED,
    Asked,
    Downstream,
    Json,
    JsonFile,
    Nodes,
    OnChange,
    Place,
    Quiet,
    RunId,
    Texts,
    TriggerName,
    command,
)
from ..as_json import recovery_as_json, result_as_json
from ..finding import run_meant
from ..inputs import Inputs, check_all_given, inputs_of_json, inputs_of_texts, together
from ..known_triggers import keep_trigger
from ..run_text import STYLES, short_ids
from ..screen import Screen
from ..tables import Cell, Line, cut


@command("run")
def run(
    asked: Asked,
    nsref: Place,
    texts: Texts = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Runs a Dag, and waits for its end."""
    with asked.engine(_progress(quiet)) as engine, initiated_by(_me()):
        runner = engine.runner_of(nsref)
        plan = runner.dag.plan()
        given = _inputs(plan, texts, json_file)
        check_all_given(plan, given)
        result = runner.run_sync(given, dag_nsref=str(NsRef(nsref)))
    return _told(result, as_json)


@command("fire")
def fire(
    asked: Asked,
    trigger: TriggerName,
    texts: Texts = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Fires a trigger now, and waits for the end of its run.

    What is given as input takes the place of the same input in the trigger's payload.
    """
    with asked.engine(_progress(quiet)) as engine:
        known = keep_trigger(engine, trigger)
        plan = engine.dag_of(known.nsref).plan()
        payload: Any = None
        if texts or json_file is not None:
            given = _inputs(plan, texts, json_file)
            # it is kept with the fire, as JSON like any payload
            payload = together(known.config.payload, json.loads(safe_json_dumps(given)))
        check_all_given(plan, inputs_from(plan, payload or known.config.payload))
        result = engine.manager.fire_sync(trigger, payload)
    return _told(result, as_json)


@command("restart")
def restart(
    asked: Asked,
    run_id: RunId,
    on_change: OnChange = "raise",
    texts: Texts = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Goes on with a run that did not complete.

    That is one that failed, was paused or cancelled, or whose process is gone. What completed in it
    is not run again.
    """
    with asked.engine(_progress(quiet)) as engine:
        old = run_meant(engine.provenance, run_id)
        place = _place_of(old)
        if old.status == "completed":
            raise WrongRunState(
                f"run {old.run_id} has completed; `lyth replay {old.run_id} --node LABEL` runs "
                "nodes of it again, as a new run"
            )
        runner = engine.runner_of(place)
        given = _inputs(runner.dag.plan(), texts, json_file)
        result = runner.restart_sync(old.run_id, on_change, source_inputs=given)
        if (old.initiated_by or "").startswith("trigger:"):
            engine.triggers.run_ended(result.run_id, result.status, result.error)
    return _told(result, as_json)


@command("replay")
def replay(
    asked: Asked,
    run_id: RunId,
    nodes: Nodes,
    downstream: Downstream = False,
    texts: Texts = None,
    json_file: JsonFile = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Runs nodes of an earlier run again, as a new run.

    All other nodes give what they returned then.
    """
    with asked.engine(_progress(quiet)) as engine, initiated_by(_me()):
        old = run_meant(engine.provenance, run_id)
        runner = engine.runner_of(_place_of(old))
        given = _inputs(runner.dag.plan(), texts, json_file)
        result = runner.replay_sync(old.run_id, nodes, downstream, source_inputs=given)
    return _told(result, as_json)


@command("recover")
def recover(
    asked: Asked,
    on_change: OnChange = "raise",
    quiet: Quiet = False,
    as_json: Json = False,
) -> int:
    """Goes on with all runs whose process is gone.

    The exit code is 1 if one of them did not complete, or could not go on.
    """
    with asked.engine(_progress(quiet)) as engine:
        recovery = engine.reworded(engine.recover_sync(on_change))
    screen = Screen()
    if as_json:
        screen.show_json(recovery_as_json(recovery))
    else:
        screen.say(str(recovery))
    return DONE if _is_well(recovery) else RUN_FAILED


# --- before ---------------------------------------------------------------------------------


def _progress(quiet: bool) -> ProgressDisplay | None:
    return None if quiet else live_progress()


def _me() -> str:
    """Who begins a run here, as its history says it."""
    try:
        return f"cli:{getpass.getuser()}"
    except (OSError, KeyError, ImportError):  # in a container, a number may have no name
        return "cli"


def _inputs(plan: Plan, texts: Sequence[str] | None, file: Path | None) -> Inputs:
    given: Inputs = {}
    if file is not None:
        text = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        given = inputs_of_json(plan, text, "standard input" if str(file) == "-" else str(file))
    return together(given, inputs_of_texts(plan, texts or ()))


def _place_of(old: DagRun) -> str:
    if old.parent_label is not None:
        raise WrongRunState(
            f"run {old.run_id} is a part of run {old.parent_run_id} ({old.path}); take that one"
        )
    if old.dag_nsref is None:
        raise WrongRunState(
            f"run {old.run_id} was begun without a dag_nsref, so that nothing leads to its Dag; "
            "go on with it in Python, with DagRunner(dag, provenance)"
        )
    return old.dag_nsref


# --- after ----------------------------------------------------------------------------------


def _told(result: DagRunResult, as_json: bool) -> int:
    screen = Screen()
    if as_json:
        screen.show_json(result_as_json(result))
    else:
        screen.show(_result_lines(result, screen.width))
    return DONE if result.status == "completed" else RUN_FAILED


def _result_lines(result: DagRunResult, width: int | None) -> list[Line]:
    short = short_ids([result.run_id])[result.run_id]
    lines: list[Line] = [
        (Cell(f"run {short} "), Cell(result.status, STYLES.get(result.status, "")))
    ]
    if result.failed_path:
        error = one_line(f"{result.failed_path}: {result.error}")
        lines.append((Cell(error, "red"),))
    for label, value in result.outputs.items():
        text = f"{label}: {safe_json_dumps(value)}"
        lines.append((Cell(one_line(text if width is None else cut(text, width))),))
    if result.run_again:
        lines.append((Cell(f"run again, since not kept exactly: {', '.join(result.run_again)}"),))
    if result.status != "completed":
        lines.append((Cell(f"lyth show {short} tells more, lyth restart {short} goes on", "dim"),))
    return lines


def _is_well(recovery: Recovery) -> bool:
    ended = all(result.status == "completed" for result in recovery.continued)
    return ended and all(run.reason in ("alive", "taken") for run in recovery.left)
