"""What does a person read about runs? A table of many, or the tree of one.

Lines of text with styles; what programs read stands in `as_json.py`, and how lines get to a
terminal in `screen.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import TypeAlias
from uuid import UUID

from lythonic_state.fields import frozen

from ..dag_provenance import DagRun, NodeExecution
from ..events import NodeStatus
from ..printable import one_line
from .as_json import Attempts
from .tables import Cell, Cells, Column, Line, cut, table
from .times import shown_length, shown_moment

STYLES: Mapping[str, str] = {
    "running": "cyan",
    "completed": "green",
    "skipped": "dim",
    "failed": "bold red",
    "upstream_failed": "dim",
    "pending": "dim",
    "paused": "yellow",
    "cancelled": "yellow",
    "abandoned": "bold yellow",
}
_WORDS: Mapping[str, str] = {"skipped": "reused", "upstream_failed": "not run"}
ELEMENTS = 20
"""Of the elements of a map so many are shown, unless all are asked for."""
ERRORS = 3
"""So many tracebacks are shown, unless all are asked for."""
_OWN = str(Path(__file__).parents[1])


def run_table(
    runs: Sequence[DagRun], abandoned: AbstractSet[str], now: datetime, width: int | None
) -> list[Line]:
    """Runs as a table, a line for each."""
    short = short_ids([run.run_id for run in runs])
    rows: list[Cells] = [
        [
            short[run.run_id],
            run.dag_nsref or "",
            _status("abandoned" if run.run_id in abandoned else run.status),
            shown_moment(run.started_at, now),
            shown_length(_so_far(run, now)),
            run.initiated_by or "",
            f"{run.failed_node}: {run.error}" if run.failed_node else run.error or "",
        ]
        for run in runs
    ]
    titles = [
        Column("run"),
        Column("dag", least=8),
        Column("status"),
        Column("started", leave=3),
        Column("took", to_right=True, leave=2),
        Column("by", least=8, leave=1),
        Column("error", least=8),
    ]
    return table(titles, rows, width)


def short_ids(ids: Sequence[str]) -> dict[str, str]:
    """The beginnings of UUIDs, as long as they need to be to differ; other ids as they are."""
    for length in range(8, 36):
        short = {each: each[:length] if _is_uuid(each) else each for each in ids}
        if len(set(short.values())) == len(set(ids)):
            return short
    return {each: each for each in ids}


@frozen(slots=False)
class Shown:
    """How much of a run is shown."""

    now: datetime
    width: int | None = None
    everything: bool = False
    """All elements of maps, and all tracebacks."""
    attempts: Attempts = field(default_factory=dict)
    abandoned: bool = False
    errors: bool = True
    """Whether tracebacks stand below the tree."""


def run_lines(run: DagRun, shown: Shown) -> list[Line]:
    """A run with its nodes and the runs inside of them, and what went wrong."""
    lines = [*_head(run, shown), (), *_tree(run, shown)]
    if shown.errors:
        failed = list(_failed(run, ""))
        for path, node in failed[: None if shown.everything else ERRORS]:
            lines += [(), (Cell(f"{path} failed:", "bold red"),)]
            text = without_own_frames(node.error or "").rstrip().splitlines()
            lines += [(Cell(one_line(line)),) for line in text]
        if len(failed) > ERRORS and not shown.everything:
            lines += [(), (Cell(f"{len(failed) - ERRORS} more failed: --all", "dim"),)]
    return lines


def changes(before: DagRun | None, after: DagRun) -> list[Line]:
    """What happened to the nodes of a run since it was looked at, a line for each."""
    old = {} if before is None else {path: node.status for path, node in _nodes(before, "")}
    lines: list[Line] = []
    for path, node in _nodes(after, ""):
        if old.get(path) == node.status:
            continue
        note = exception_line(node.error)
        took = shown_length(node.duration)
        text = f" after {took}" if took else ""
        lines.append(
            (Cell(f"{path}: "), _status(node.status), Cell(text + (f": {note}" if note else "")))
        )
    return lines


def without_own_frames(traceback: str) -> str:
    """A traceback without the lines that are this package's own."""
    kept: list[str] = []
    own = False
    for line in traceback.splitlines(keepends=True):
        if line.startswith('  File "'):
            own = line.startswith(f'  File "{_OWN}')
        elif not line.startswith("   "):
            own = False
        if not own:
            kept.append(line)
    return "".join(kept)


def exception_line(traceback: str | None) -> str:
    """The line of a traceback that says what was raised."""
    lines = (traceback or "").rstrip().splitlines()
    for at in range(len(lines) - 1, -1, -1):
        if lines[at].startswith((" ", "Traceback")):
            return lines[at + 1] if at + 1 < len(lines) else ""
    return lines[0] if lines else ""


# --- a run ----------------------------------------------------------------------------------


def _head(run: DagRun, shown: Shown) -> Iterator[Line]:
    status = "abandoned" if shown.abandoned else run.status
    yield Cell(f"run {run.run_id}  ", "bold"), _status(status)
    began, took = shown_moment(run.started_at, shown.now), shown_length(_so_far(run, shown.now))
    about = [
        ("began", f"{began}, took {took}" if took else began),
        ("dag", run.path or run.dag_nsref or ""),
        ("inside of", run.parent_run_id or ""),
        ("by", run.initiated_by or ""),
        ("for", shown_moment(run.scheduled_at, shown.now)),
        ("error", f"{run.failed_node}: {run.error}" if run.failed_node else run.error or ""),
    ]
    for title, text in about:
        if text:
            yield _fitting(Cell(f"{title}: {one_line(text)}"), shown.width)
    if shown.abandoned:
        yield (Cell("its process is gone: lyth recover continues it", "yellow"),)


def _tree(run: DagRun, shown: Shown) -> list[Line]:
    rows = list(_rows(run, shown, 0))
    titles = [
        Column("node", least=12),
        Column("status"),
        Column("took", to_right=True, leave=1),
        Column("", least=12),
    ]
    lines = table(titles, [row for row, _ in rows], shown.width)
    found = lines[:1]
    for line, (_, more) in zip(lines[1:], rows, strict=True):
        found.append(line)
        found += [_fitting(Cell(text, "dim"), shown.width) for text in more]
    return found


_Row: TypeAlias = tuple[Cells, list[str]]
"""The cells of a line, and the texts below it."""


def _rows(run: DagRun, shown: Shown, depth: int) -> Iterator[_Row]:
    for node in run.nodes.values():
        yield _row(node.node_label, node, node.status, shown, depth)
        if node.sub_dags:
            yield from _inside(node, node.sub_dags, shown, depth + 1)


def _inside(
    node: NodeExecution, parts: Mapping[str, DagRun], shown: Shown, depth: int
) -> Iterator[_Row]:
    chosen = list(parts) if shown.everything else _chosen(parts)
    for key in chosen:
        run = parts[key]
        name = key.removeprefix(node.node_label)
        name = name if name != "[]" else "(inside)"
        only = next(iter(run.nodes.values())) if len(run.nodes) == 1 else None
        if only is not None and only.sub_dags is None:  # a function for each element
            yield _row(name, only, only.status, shown, depth)
        else:
            note = "" if run.error is None else run.error
            cells: Cells = [
                "  " * depth + name,
                _status(run.status),
                shown_length(run.duration),
                note,
            ]
            yield cells, []
            yield from _rows(run, shown, depth + 1)
    if len(chosen) < len(parts):
        text = f"and {len(parts) - len(chosen)} more: --all"
        yield ["  " * depth + text, "", "", ""], []


def _chosen(parts: Mapping[str, DagRun]) -> list[str]:
    """Those first that have not ended well; all in their order."""
    urgent = sorted(parts, key=lambda key: parts[key].status == "completed")[:ELEMENTS]
    taken = set(urgent)
    return [key for key in parts if key in taken]


def _row(label: str, node: NodeExecution, status: NodeStatus, shown: Shown, depth: int) -> _Row:
    notes: list[str] = []
    number = len(shown.attempts.get(node.node_execution_id, ()))
    if number > 1:
        notes.append(f"{number} attempts")
    if node.sub_dags:
        failed = sum(1 for run in node.sub_dags.values() if run.status == "failed")
        if len(node.sub_dags) > 1 or failed:
            some = f", {failed} failed" if failed else ""
            notes.append(f"{len(node.sub_dags)} inside{some}")
    if node.reused_from is not None:
        notes.append(f"of run {short_ids([node.reused_from])[node.reused_from]}")
    if node.error is not None and not node.sub_dags:
        notes.append(exception_line(node.error))
    more: list[str] = []
    if node.io is not None:
        before = "  " * (depth + 2)
        if node.io.input_json not in (None, "{}"):
            more.append(f"{before}in:  {one_line(node.io.input_json or '')}")
        if node.io.output_json is not None:
            more.append(f"{before}out: {one_line(node.io.output_json)}")
    took = shown_length(_so_far(node, shown.now))
    return ["  " * depth + label, _status(status), took, "; ".join(notes)], more


def _failed(run: DagRun, before: str) -> Iterator[tuple[str, NodeExecution]]:
    """The nodes that failed and have a traceback of their own, innermost only."""
    for path, node in _nodes(run, before):
        inside = node.sub_dags or {}
        if node.status == "failed" and node.error:
            if not any(part.status == "failed" for part in inside.values()):
                yield path, node


def _nodes(run: DagRun, before: str) -> Iterator[tuple[str, NodeExecution]]:
    """All nodes by their path: "pages", "pages[0]/fetch"."""
    for label, node in run.nodes.items():
        yield f"{before}{label}", node
        for key, part in (node.sub_dags or {}).items():
            yield from _nodes(part, f"{before}{key}/")


def _so_far(what: DagRun | NodeExecution, now: datetime) -> float | None:
    """Seconds from start to end, or until now."""
    if what.status == "running" and what.started_at is not None:
        return max(0.0, (now - what.started_at).total_seconds())
    return what.duration


def _status(status: str) -> Cell:
    word = _WORDS.get(status, status)
    return Cell(word, STYLES.get(status, ""))


def _fitting(cell: Cell, width: int | None) -> Line:
    return (cell if width is None else Cell(cut(cell.text, width), cell.style),)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False
