"""What do the samples say? Medians and their ratios, as a table, as Markdown and as a chart.

Everything here comes from the stored JSON, so that a page can be made again without measuring.
"""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from .. import page
from ..machine import sentence

OURS = "lythonic_state_"
BASELINE = {"sqlite": "handwritten", "postgres": "psycopg_"}
TITLES = {"sqlite": "SQLite", "postgres": "PostgreSQL"}

Result = Mapping[str, Any]


def value(entry: Result, peer: str, clock: str = "wall") -> float | None:
    """The median of a peer's samples: seconds, or megabytes."""
    samples = entry["samples"].get(peer, {}).get(clock)
    return median(samples) if samples else None


def ratio(entry: Result, peer: str, database: str, clock: str = "wall") -> float | None:
    ours, base = value(entry, peer, clock), value(entry, BASELINE[database], clock)
    return None if ours is None or not base else ours / base


def is_met(entry: Result, database: str, clock: str = "wall") -> bool | None:
    found = ratio(entry, OURS, database, clock)
    if entry["budget"] is None or found is None:
        return None
    met: bool = found <= entry["budget"] + 0.005  # as it is printed, with two digits
    return met


def rows(result: Result, database: str, clock: str = "wall") -> tuple[list[str], list[list[str]]]:
    """The head and the lines of a table: a workload a line, a ratio a column."""
    part = result["databases"][database]
    base = BASELINE[database]
    peers = sorted((peer for peer in part["peers"] if peer != base), key=_rank)
    head = ["workload", "budget", part["peers"][base]["title"]]
    head += [part["peers"][peer]["title"] for peer in peers]
    lines = []
    for entry in part["workloads"]:
        line = [entry["title"], page.number(entry["budget"]), _absolute(entry, base, clock)]
        for peer in peers:
            text = page.number(ratio(entry, peer, database, clock))
            if "error" in entry["samples"].get(peer, {}):
                text = "failed"
            if peer == OURS and is_met(entry, database, clock) is not None:
                text += " ok" if is_met(entry, database, clock) else " OVER"
            line.append(text)
        lines.append(line)
    return head, lines


def table(result: Result, database: str, clock: str = "wall") -> str:
    """For a terminal."""
    head, lines = rows(result, database, clock)
    title = (
        f"{TITLES[database]}: ratios of medians ({clock} time) to the hand-written code, "
        "which is in µs per row (ms, MB where said)"
    )
    return page.terminal(title, head, lines)


def failures(result: Result) -> list[str]:
    return [
        f"{TITLES[database]}, {entry['title']}, {part['peers'][peer]['title']}: {found['error']}"
        for database, part in result["databases"].items()
        for entry in part["workloads"]
        for peer, found in entry["samples"].items()
        if "error" in found
    ]


def _rank(peer: str) -> tuple[int, str]:
    return (0 if peer == OURS else 1 if peer == "tuples" else 2, peer)


def _absolute(entry: Result, peer: str, clock: str) -> str:
    found = value(entry, peer, clock)
    if found is None:
        return "–"
    if entry["unit"] == "MB":
        return f"{found:.0f} MB"
    if entry["name"] in ("import", "first_query"):
        return f"{found * 1e3:.1f} ms"
    return f"{found / entry['rows'] * 1e6:.1f}"


# --- for the documentation -------------------------------------------------------------------


def markdown(result: Result) -> str:
    """The part of docs/benchmarks.md that is made of figures."""
    out = sentence(dict(result), "lythonic_state", "rows")
    for database in result["databases"]:
        out += [f"### {TITLES[database]}", ""]
        out += ["Wall time, which counts:", "", *_markdown_table(result, database, "wall"), ""]
        out += ["CPU time of the same run, all threads:", ""]
        out += [*_markdown_table(result, database, "cpu"), ""]
    out += ["### Versions and what is not like for like", ""]
    for database, part in result["databases"].items():
        for about in part["peers"].values():
            out.append(f"- {TITLES[database]}, {page.versions(about)}")
    wrong = failures(result)
    if wrong:
        out += ["", "What failed, and has no time:", "", *(f"- {line}" for line in wrong)]
    return "\n".join(out)


def _markdown_table(result: Result, database: str, clock: str) -> list[str]:
    head, lines = rows(result, database, clock)
    return page.markdown(head, lines, 3)


# --- the chart -------------------------------------------------------------------------------

COLOURS = {
    OURS: page.OURS,
    "tuples": page.FLOOR,
    "sqlmodel_": "#1971c2",
    "sqlalchemy_": "#4dabf7",
    "peewee_": "#2f9e44",
    "piccolo_": "#9c36b5",
    "tortoise_": "#e8590c",
    "django_": "#087f5b",
}


def chart(result: Result, database: str = "sqlite") -> str:
    """A line per workload, a dot per peer, to the left of 1 what is faster than by hand."""
    part = result["databases"][database]
    peers = sorted((peer for peer in part["peers"] if peer != BASELINE[database]), key=_rank)
    return page.chart(
        f"{TITLES[database]}: time as a ratio to hand-written code (1), logarithmic; "
        "a bar is the budget",
        {peer: (part["peers"][peer]["title"], COLOURS.get(peer, "#495057")) for peer in peers},
        [
            (
                entry["title"],
                entry["budget"],
                {peer: ratio(entry, peer, database) for peer in peers},
            )
            for entry in part["workloads"]
        ],
    )
