"""Takes stock of the Python environment that it runs in, and of how it did so.

    python -m examples.environment_audit [database] [--break | --kill]

A second run is answered from the cache where nothing has changed. With --break a step fails, and
the run is then restarted with the step mended. With --kill the process kills itself half way, and
the next call finishes what it had begun.
"""

# pyright: reportUnusedExpression=false
# `a >> b` wires a with b, and is a statement of its own

import argparse
import asyncio
import os
import signal
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from lythonic_compose import (
    Dag,
    DagProvenance,
    DagRun,
    DagRunner,
    DagRunResult,
    EdgeTraversal,
    Event,
    Namespace,
    NodeExecution,
    NodeExpanded,
    RunFinished,
    cached,
    live_progress,
)
from lythonic_state import open_sqlite_db

from . import steps

NSREF = "examples:environment_audit"
"""Under which name a run is found again, by whoever goes on with it."""


def build(audit: Callable[..., steps.Audit], count_licences: Callable[..., Any]) -> Dag:
    """Which step comes after which; what goes where follows from the types."""
    with Dag() as dag:
        save = dag.node(steps.save)
        dag.node(steps.installed) >> dag.map(audit, "audit", concurrency=8) >> save
        save >> [
            dag.node(steps.resolve),
            dag.node(steps.find_unmet),
            dag.node(steps.find_damage),
            dag.node(steps.find_largest),
            dag.node(count_licences, "count_licences"),
        ]
    return dag


def broken(saved: steps.Saved) -> dict[str, int]:
    raise RuntimeError("this step is broken, as --break asks for")


class KillHalfWay:
    """Hears what happens, and kills the process when half of the audits are done."""

    def __init__(self, display: Callable[[Event], None]) -> None:
        self.display = display
        self.audits = self.done = 0

    def __call__(self, event: Event) -> None:
        self.display(event)
        if isinstance(event, NodeExpanded):
            self.audits = len(event.keys)
        elif isinstance(event, RunFinished):
            self.done += 1
            if self.done * 2 >= self.audits:
                print(f"\n{self.done} of {self.audits} audits are done; kill -9 {os.getpid()}")
                print("call it again, and it finishes what was begun", flush=True)
                os.kill(os.getpid(), signal.SIGKILL)


def finish(provenance: DagProvenance, dag: Dag, display: Any) -> DagRunResult | None:
    """Goes on with a run whose process was killed, if there is one."""
    namespace = Namespace()
    namespace.register(dag, nsref=NSREF)
    for run in provenance.get_abandoned_runs():
        done = [label for label, node in run.nodes.items() if node.status == "completed"]
        audits = (run.nodes["audit"].sub_dags or {}).values() if "audit" in run.nodes else ()
        completed = sum(audit.status == "completed" for audit in audits)
        print(f"run {run.run_id} was killed; it goes on")
        print(f"not done again: {', '.join(done) or 'no node'}, {completed} audits\n", flush=True)
    recovery = provenance.recover_sync(namespace, progress=display)
    for left in recovery.left:
        print(f"run {left.run_id} cannot go on: {left.why}")
    return recovery.continued[-1] if recovery.continued else None


def main(database: Path, breaks: bool = False, kills: bool = False) -> None:
    audit = cached(database.with_suffix(".cache.db"), min_ttl=1, max_ttl=7)(steps.audit)
    dag = build(audit, steps.count_licences)
    print("A pipeline that audits this Python environment, and what feeds which parameter:\n")
    print(dag.draw(), end="\n\n")
    print(dag.explain(), end="\n\n", flush=True)  # before the progress, which goes to stderr

    hits = audit.stats().hits
    inputs = {"save": {"database": database}}
    with DagProvenance(database) as provenance, live_progress() as progress:
        runner = DagRunner(dag, provenance, progress=KillHalfWay(progress) if kills else progress)
        result = finish(provenance, dag, progress)
        if result is None and breaks:
            failing = DagRunner(build(audit, broken), provenance, progress=progress)
            failed = failing.run_sync(inputs, NSREF)
            print(f"\nfailed at {failed.failed_path}: {failed.error}")
            print("restarting it, mended\n", flush=True)
            result = asyncio.run(runner.restart(failed.run_id))
        elif result is None:
            result = runner.run_sync(inputs, NSREF)
    result.raise_for_status()

    saved = result[steps.save]
    print(
        f"\n{saved.distributions} distributions, {saved.requirements} requirements, "
        f"{saved.files} files; {audit.stats().hits - hits} audits came from the cache\n"
    )
    show_report(result.values)
    show_history(database, result.run_id)


def show_report(found: dict[str, Any]) -> None:
    largest: list[steps.Distribution] = found["find_largest"]
    show(
        ["largest", "version", "kB", "licence"],
        [[row.name, row.version, row.size // 1000, row.licence] for row in largest],
    )
    show(["licence", "distributions"], list(found["count_licences"].items())[:5])
    dependences: list[steps.Dependence] = found["resolve"]
    show(
        ["brings most", "direct", "in all", "needed by"],
        [[each.name, each.direct, each.all, each.needed_by] for each in dependences[:5]],
    )
    unmet: list[steps.Unmet] = found["find_unmet"]
    show(
        ["unmet requirement of", "needs", "installed"],
        [[each.name, f"{each.needs} {each.versions}", each.installed] for each in unmet],
    )
    damage: list[steps.Damage] = found["find_damage"]
    show(
        ["differs from its RECORD", "file", "how"],
        [[each.name, each.path, each.state] for each in damage[:10]],
    )


def show_history(database: Path, run_id: str) -> None:
    """Reads the runs back, as models, from the file that the rows are in."""
    with open_sqlite_db(database, readonly=True) as conn:
        runs = DagRun.select(conn, parent_run_id=None, order_by="-started_at", limit=5)
        run = DagRun.get(conn, run_id=run_id)
        nodes = run.children(conn, NodeExecution, order_by="started_at")
        edges = run.children(conn, EdgeTraversal, order_by="edge_traversal_id")
        audits = DagRun.select(conn, parent_run_id=run_id, parent_label="audit")
    show(
        ["run", "of", "status", "started"],
        [[each.run_id, each.dag_nsref, each.status, f"{each.started_at:%F %T}"] for each in runs],
    )
    show(
        ["node", "status", "took ms"],
        [[node.node_label, node.status, round((node.duration or 0) * 1000)] for node in nodes],
    )
    show(
        ["from", "to", "parameter", "rule"],
        [[edge.upstream_label, edge.downstream_label, edge.param, edge.rule] for edge in edges],
    )
    audits.sort(key=took, reverse=True)
    show(
        ["slowest audit", "took ms"],
        [[each.path, took(each) // timedelta(milliseconds=1)] for each in audits[:3]],
    )
    print(f"all of this is in {database}: sqlite3 {database} 'SELECT * FROM dag_runs'")
    print("a second run is answered from the cache; with --break a step fails and is restarted,")
    print("with --kill the process is killed half way, and the next call finishes the run:")
    print(f"{sys.executable} -m examples.environment_audit {database} --break")


def took(run: DagRun) -> timedelta:
    return (run.finished_at or run.started_at) - run.started_at


def show(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows in columns, numbers to the right."""
    table = [list(row) for row in rows] or [["(none)", *[""] * (len(head) - 1)]]
    widths = [max(len(_cell(cell)) for cell in column) for column in zip(head, *table, strict=True)]
    for row in [head, ["-" * width for width in widths], *table]:
        print(
            "  ".join(_cell(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    print()


def _cell(value: object, width: int = 0) -> str:
    if value is None:
        value = "-"
    return f"{value:>{width},}" if isinstance(value, int) else f"{value!s:<{width}}"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("database", nargs="?", type=Path, default=Path("environment.db"))
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--break", dest="breaks", action="store_true", help="let a step fail")
    how.add_argument("--kill", dest="kills", action="store_true", help="kill -9 it half way")
    given = parser.parse_args()
    main(given.database, given.breaks, given.kills)
