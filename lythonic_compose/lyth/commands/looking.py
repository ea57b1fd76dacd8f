"""Which commands show what was, and what could be? `runs`, `show` and `graph`.

Each of them writes JSON for programs if it is asked to. Nothing is changed.
"""

from __future__ import annotations

import time
from collections.abc import Iterator

from ...dag_provenance import DagProvenance, DagRun
from ...dag_runner import utc_now
from ...drawing import ascii_drawing, dot, mermaid
from ...refs import NsRef
from ..app import (
    DONE,
    RUN_FAILED,
    Asked,
    Everything,
    Follow,
    Format,
    InOut,
    Json,
    Limit,
    Moment,
    Place,
    RunId,
    Status,
    TheDag,
    command,
)
from ..as_json import graph_as_json, run_as_json, whole_run_as_json
from ..finding import abandoned_among, all_runs, attempts_of, run_meant, runs_asked_for
from ..run_text import Shown, changes, run_lines, run_table
from ..screen import Screen, update


@command("runs")
def runs(
    asked: Asked,
    status: Status = None,
    dag: TheDag = None,
    since: Moment = None,
    limit: Limit = 20,
    as_json: Json = False,
) -> int:
    """Lists the newest runs."""
    screen = Screen()
    with asked.engine() as engine:
        provenance = engine.provenance
        found = runs_asked_for(provenance, status=status, dag=dag, since=since, limit=limit)
        gone = abandoned_among(provenance, found)
    if as_json:
        screen.show_json([run_as_json(run, abandoned=run.run_id in gone) for run in found])
    elif found:
        screen.show(run_table(found, gone, utc_now(), screen.width))
    else:
        screen.say("no runs")
    return DONE


@command("show")
def show(
    asked: Asked,
    run_id: RunId,
    io: InOut = False,
    follow: Follow = False,
    everything: Everything = False,
    as_json: Json = False,
) -> int:
    """Shows a run: its nodes with what is inside, times, errors.

    With --follow the exit code is that of the run.
    """
    screen = Screen()
    with asked.engine() as engine:
        provenance = engine.provenance
        meant = run_meant(provenance, run_id)
        if follow:
            _follow(provenance, meant.run_id, screen, quiet=as_json)
        run = _loaded(provenance, meant.run_id, io)
        gone = bool(abandoned_among(provenance, [run]))
        attempts = attempts_of(provenance, run)
    if as_json:
        screen.show_json(whole_run_as_json(run, attempts, abandoned=gone))
    else:
        shown = Shown(utc_now(), screen.width, everything, attempts, gone)
        screen.show(run_lines(run, shown))
    return RUN_FAILED if follow and run.status != "completed" else DONE


@command("graph")
def graph(asked: Asked, nsref: Place, form: Format = "ascii", as_json: Json = False) -> int:
    """Draws a Dag: as text, for mermaid, or for Graphviz."""
    screen = Screen()
    with asked.engine() as engine:
        plan = engine.dag_of(nsref).plan()
    if as_json:
        screen.show_json(graph_as_json(str(NsRef(nsref)), plan))
    elif form == "ascii":
        screen.say(ascii_drawing(plan, screen.width or 80))
    else:
        screen.say((mermaid if form == "mermaid" else dot)(plan))
    return DONE


# --- one run --------------------------------------------------------------------------------

SHORTEST_PAUSE = 0.3
"""Seconds between two looks at a run that is followed."""
LOOKING = 5
"""So many times as long as a look took is waited before the next one."""


def _loaded(provenance: DagProvenance, run_id: str, io: bool = False) -> DagRun:
    run = provenance.inspect_run(run_id)
    assert run is not None, "it was there a moment ago"
    if io:
        for each in all_runs(run):
            provenance.load_io(each)
    return run


def _follow(provenance: DagProvenance, run_id: str, screen: Screen, *, quiet: bool) -> None:
    """Shows what happens in a run until it has ended, or its process is gone."""
    if screen.is_terminal and not quiet:
        with screen.live() as live:
            for run in _looks(provenance, run_id):
                shown = Shown(utc_now(), screen.width, errors=False)
                update(live, run_lines(run, shown), screen.height)
        return
    before: DagRun | None = None
    for run in _looks(provenance, run_id):
        if not quiet:
            screen.show(changes(before, run))
        before = run


def _looks(provenance: DagProvenance, run_id: str) -> Iterator[DagRun]:
    """A run as it is again and again, until nothing will happen in it any more."""
    while True:
        began = time.monotonic()
        run = _loaded(provenance, run_id)
        yield run
        outermost = _outermost(provenance, run)
        if outermost.status != "running" or abandoned_among(provenance, [outermost]):
            return
        time.sleep(max(SHORTEST_PAUSE, LOOKING * (time.monotonic() - began)))


def _outermost(provenance: DagProvenance, run: DagRun) -> DagRun:
    """The run that was begun by somebody, whose process carries out all that is inside of it."""
    while run.parent_run_id is not None and run.parent_label is not None:
        around = provenance.get_run(run.parent_run_id)
        if around is None:
            break
        run = around
    return run
