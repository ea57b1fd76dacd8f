"""How is a run shown in a notebook? HTML tables of what is loaded of it.

All text of a run is escaped. Nothing is read here, and no table of a database is known: records are
asked for their attributes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import Any

LONGEST = 300
"""So many characters of a value are shown."""

_COLOURS = {
    "completed": "#1a7f37",
    "skipped": "#57606a",
    "running": "#0969da",
    "paused": "#9a6700",
    "failed": "#cf222e",
    "upstream_failed": "#bc4c00",
    "cancelled": "#57606a",
}


def run_html(run: Any) -> str:
    """A run with its nodes, and those of the runs inside it that are loaded."""
    facts = [_status(run.status), _seconds(run.duration), f"{run.started_at:%Y-%m-%d %H:%M:%S} UTC"]
    facts += [f"{name} {escape(value)}" for name, value in _whose(run) if value]
    title = escape(run.path or run.dag_nsref or "run")
    lines = [f"<div><b>{title}</b> <code>{escape(run.run_id)}</code><br>{' · '.join(facts)}"]
    if run.error:
        where = f"{run.failed_node}: " if run.failed_node else ""
        lines.append(f"<br>{_shortened(where + run.error)}")
    lines.append("</div>")
    if run.nodes:
        lines.append(nodes_html(run.nodes.values()))
    return "".join(lines)


def nodes_html(nodes: Iterable[Any]) -> str:
    """A table of nodes, with what they were given and returned where that is loaded."""
    rows = list(_with_inner(nodes, 0))
    with_io = any(node.io is not None for _, node in rows)
    heads = ["node", "status", "started", "seconds", "error", *(["input", "output"] * with_io)]
    head = "".join(f'<th style="text-align:left">{name}</th>' for name in heads)
    body = "".join(f"<tr>{''.join(_cells(depth, node, with_io))}</tr>" for depth, node in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _with_inner(nodes: Iterable[Any], depth: int) -> Iterator[tuple[int, Any]]:
    for node in nodes:
        yield depth, node
        for run in (node.sub_dags or {}).values():
            yield from _with_inner(run.nodes.values(), depth + 1)


def _cells(depth: int, node: Any, with_io: bool) -> Iterator[str]:
    last = (node.error or "").strip().rpartition("\n")[2]
    name = "&nbsp;" * 4 * depth + escape(node.node_label)
    if node.sub_dags:
        name += f" <small>({len(node.sub_dags)})</small>"
    started = "" if node.started_at is None else f"{node.started_at:%H:%M:%S}"
    cells = [name, _status(node.status), started, _seconds(node.duration), _shortened(last)]
    if with_io:
        cells += [_shortened(part) for part in _texts(node.io)]
    for cell in cells:
        yield f'<td style="text-align:left;vertical-align:top">{cell}</td>'


def _texts(io: Any) -> tuple[str, str]:
    return ("", "") if io is None else (io.input_json or "", io.output_json or "")


def _whose(run: Any) -> list[tuple[str, str | None]]:
    at = run.scheduled_at
    return [
        ("of", run.tenant),
        ("by", run.initiated_by),
        ("for", None if at is None else f"{at:%Y-%m-%d %H:%M:%S %Z}"),
        ("inside", run.parent_run_id),
    ]


def _status(status: str) -> str:
    return f'<span style="color:{_COLOURS.get(status, "inherit")}">{escape(status)}</span>'


def _seconds(duration: float | None) -> str:
    return "" if duration is None else f"{duration:.3f} s"


def _shortened(text: str) -> str:
    return escape(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
