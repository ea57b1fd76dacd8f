"""What do the samples say? Medians and their ratios, as a table, as Markdown and as a chart.

Everything here comes from the stored JSON, so that a page can be made again without measuring.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any
from xml.sax.saxutils import escape

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
    return found <= entry["budget"] + 0.005  # as it is printed, with two digits


def rows(result: Result, database: str, clock: str = "wall") -> tuple[list[str], list[list[str]]]:
    """The head and the lines of a table: a workload a line, a ratio a column."""
    part = result["databases"][database]
    base = BASELINE[database]
    peers = sorted((peer for peer in part["peers"] if peer != base), key=_rank)
    head = ["workload", "budget", part["peers"][base]["title"]]
    head += [part["peers"][peer]["title"] for peer in peers]
    lines = []
    for entry in part["workloads"]:
        line = [entry["title"], _number(entry["budget"]), _absolute(entry, base, clock)]
        for peer in peers:
            text = _number(ratio(entry, peer, database, clock))
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
    widths = [max(len(line[at]) for line in [head, *lines]) for at in range(len(head))]
    out = [
        f"{TITLES[database]}: ratios of medians ({clock} time) to the hand-written code, "
        "which is in µs per row (ms, MB where said)"
    ]
    for line in [head, ["-" * width for width in widths], *lines]:
        first, *others = zip(line, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        out.append("  ".join(cells))
    return "\n".join(out)


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


def _number(found: float | None) -> str:
    if found is None:
        return "–"
    return f"{found:.2f}" if found < 10 else f"{found:.0f}"


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
    machine = result["machine"]
    settings = result["settings"]
    out = [
        f"Measured on {machine['date']}: {machine['processor']}, {machine['cores']} cores, "
        f"{machine['system']}, Python {machine['python']}, SQLite {machine['sqlite']}, "
        f"lythonic_state at {machine['commit']}; "
        f"{settings['repetitions']} repetitions, {settings['scale']:g} times the rows. "
        f"The load average was {machine['load_before']:.1f} before and "
        f"{machine['load_after']:.1f} after the run, whose own is about 1.",
        "",
    ]
    if settings["remark"]:
        out += [f"**{settings['remark']}**", ""]
    for database in result["databases"]:
        out += [f"### {TITLES[database]}", ""]
        out += ["Wall time, which counts:", "", *_markdown_table(result, database, "wall"), ""]
        out += ["CPU time of the same run, all threads:", ""]
        out += [*_markdown_table(result, database, "cpu"), ""]
    out += ["### Versions and what is not like for like", ""]
    for database, part in result["databases"].items():
        for about in part["peers"].values():
            versions = ", ".join(f"{name} {text}" for name, text in about["versions"].items())
            tail = f": {about['note']}" if about["note"] else ""
            out.append(f"- {TITLES[database]}, {about['title']} ({versions or 'stdlib'}){tail}.")
    wrong = failures(result)
    if wrong:
        out += ["", "What failed, and has no time:", "", *(f"- {line}" for line in wrong)]
    return "\n".join(out)


def _markdown_table(result: Result, database: str, clock: str) -> list[str]:
    head, lines = rows(result, database, clock)
    bold = [[f"**{cell}**" if at == 3 else cell for at, cell in enumerate(line)] for line in lines]
    return [
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 1),
        *("| " + " | ".join(line) + " |" for line in bold),
    ]


# --- the chart -------------------------------------------------------------------------------

COLOURS = {
    OURS: "#d6336c",
    "tuples": "#868e96",
    "sqlmodel_": "#1971c2",
    "sqlalchemy_": "#4dabf7",
    "peewee_": "#2f9e44",
    "piccolo_": "#9c36b5",
    "tortoise_": "#e8590c",
    "django_": "#087f5b",
}
LEFT, WIDTH, LINE, TOP = 290, 620, 26, 64


def chart(result: Result, database: str = "sqlite") -> str:
    """A line per workload, a dot per peer, to the left of 1 what is faster than by hand."""
    part = result["databases"][database]
    peers = sorted((p for p in part["peers"] if p != BASELINE[database]), key=_rank)
    entries = part["workloads"]
    found = {
        (entry["name"], peer): ratio(entry, peer, database) for entry in entries for peer in peers
    }
    numbers = [number for number in found.values() if number]
    low, high = min(numbers, default=0.5) * 0.9, max(numbers, default=2) * 1.1

    def x(number: float) -> float:
        return LEFT + WIDTH * math.log(number / low) / math.log(high / low)

    height = TOP + LINE * len(entries) + 16
    full = LEFT + WIDTH + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full} {height}" width="{full}" '
        f'height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{full}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="20" font-size="14" fill="#212529">{TITLES[database]}: time as a ratio '
        "to hand-written code (1), logarithmic; a bar is the budget</text>",
    ]
    at = 12.0
    for peer in peers:
        title = part["peers"][peer]["title"]
        out.append(f'<circle cx="{at + 5:.0f}" cy="38" r="5" fill="{_colour(peer)}"/>')
        out.append(f'<text x="{at + 14:.0f}" y="42" fill="#212529">{escape(title)}</text>')
        at += 30 + 6.9 * len(title)
    bottom = height - 14
    for tick in _ticks(low, high):
        colour = "#212529" if tick == 1 else "#dee2e6"
        out.append(f'<path d="M{x(tick):.1f} {TOP - 6}V{bottom}" stroke="{colour}"/>')
        out.append(
            f'<text x="{x(tick):.1f}" y="{height - 3}" font-size="10" text-anchor="middle" '
            f'fill="#495057">{tick:g}</text>'
        )
    for line, entry in enumerate(entries):
        y = TOP + LINE * line + 8
        out.append(f'<text x="12" y="{y + 4}" fill="#212529">{escape(entry["title"])}</text>')
        if entry["budget"]:
            out.append(
                f'<path d="M{x(entry["budget"]):.1f} {y - 9}v18" stroke="{COLOURS[OURS]}" '
                'stroke-width="2"/>'
            )
        for peer in reversed(peers):  # ours is drawn last, on top
            number = found[entry["name"], peer]
            if number:
                out.append(
                    f'<circle cx="{x(number):.1f}" cy="{y}" r="{6 if peer == OURS else 4}" '
                    f'fill="{_colour(peer)}" fill-opacity="0.85"><title>'
                    f"{escape(part['peers'][peer]['title'])} {_number(number)}</title></circle>"
                )
    return "\n".join([*out, "</svg>", ""])


def _colour(peer: str) -> str:
    return COLOURS.get(peer, "#495057")


def _ticks(low: float, high: float) -> Sequence[float]:
    ticks = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500]
    return [tick for tick in ticks if low <= tick <= high]
