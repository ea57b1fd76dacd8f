"""Wires the steps, runs them, and prints what they found and how the run went."""

# pyright: reportUnusedExpression=false
# `a >> b` wires a with b, and is a statement of its own

import sys
from collections.abc import Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from lythonic_compose import Dag, DagProvenance, DagRun, DagRunner, EdgeTraversal, NodeExecution
from lythonic_state import open_sqlite_db

from . import steps


def build() -> Dag:
    """Which step comes after which; what goes where follows from the types."""
    with Dag() as dag:
        installed = dag.node(steps.installed)
        measure = dag.node(steps.measure)
        requirements = dag.node(steps.read_requirements)
        save = dag.node(steps.save)
        installed >> [measure, requirements] >> save
        installed >> save
        save >> [dag.node(each) for each in (steps.find_unmet, steps.find_largest)]
        save >> dag.node(steps.count_licences)
    return dag


def main(database: Path) -> None:
    dag = build()
    print(dag.draw(), end="\n\n")
    print(dag.explain(), end="\n\n")

    with DagProvenance(database) as provenance:
        result = DagRunner(dag, provenance).run_sync(
            {"save": {"database": database}}, dag_nsref="examples:environment_audit"
        )
    result.raise_for_status()

    saved = result[steps.save]
    print(f"{saved.distributions} distributions, {saved.requirements} requirements\n")
    show(
        ["largest", "version", "files", "kB", "licence"],
        [
            [row.name, row.version, row.files, row.size // 1000, row.licence]
            for row in result[steps.find_largest]
        ],
    )
    show(["licence", "distributions"], list(result[steps.count_licences].items())[:5])
    show(
        ["unmet requirement of", "needs", "installed"],
        [
            [each.name, f"{each.needs} {each.versions}", each.installed or "(missing)"]
            for each in result[steps.find_unmet]
        ]
        or [["(none)", "", ""]],
    )
    show_history(database)


def show_history(database: Path) -> None:
    """Reads the newest run back, as models, from the file that the rows are in."""
    millisecond = timedelta(milliseconds=1)
    with open_sqlite_db(database, readonly=True) as conn:
        runs = DagRun.select(conn, order_by="-started_at", limit=5)
        newest = runs[0]
        nodes = newest.children(conn, NodeExecution, order_by="started_at")
        edges = newest.children(conn, EdgeTraversal, order_by="edge_traversal_id")
    show(
        ["run", "of", "status", "started"],
        [[run.run_id, run.dag_nsref, run.status, f"{run.started_at:%F %T}"] for run in runs],
    )
    show(
        ["node", "status", "began after ms", "took ms"],
        [
            [
                node.node_label,
                node.status,
                round(((node.started_at or newest.started_at) - newest.started_at) / millisecond),
                round((node.duration or 0) * 1000),
            ]
            for node in nodes
        ],
    )
    show(
        ["from", "to", "parameter", "rule"],
        [[edge.upstream_label, edge.downstream_label, edge.param, edge.rule] for edge in edges],
    )
    print(f"all of this is in {database}: sqlite3 {database} 'SELECT * FROM dag_runs'")


def show(head: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Rows in columns, numbers to the right."""
    table = [list(row) for row in rows]
    widths = [max(len(_cell(cell)) for cell in column) for column in zip(head, *table, strict=True)]
    for row in [head, ["-" * width for width in widths], *table]:
        print(
            "  ".join(_cell(cell, width) for cell, width in zip(row, widths, strict=True)).rstrip()
        )
    print()


def _cell(value: object, width: int = 0) -> str:
    return f"{value:>{width},}" if isinstance(value, int) else f"{value!s:<{width}}"


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "environment.db"))
