"""What do the samples say? Medians with their budgets, as tables and charts, of the stored JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from .. import page
from ..machine import sentence
from .workloads import CACHE_ROWS, FEWEST, LONG_HISTORY, ROWS, SHORT_HISTORY, UNITS, Row

TABLES: dict[str, Sequence[Row]] = {"pipeline": ROWS, "cache": CACHE_ROWS}
TITLES = {"pipeline": "Pipelines", "cache": "Caches"}
OURS = "lythonic_compose_"

Part = Mapping[str, Any]


def name_of(peer: str) -> str:
    return peer.partition(".")[2]


def value(part: Part, figure: str, peer: str, clock: str = "wall") -> float | None:
    """The median of a peer's samples: seconds, megabytes or calls."""
    found = part["samples"].get(figure, {})
    samples = next((s.get(clock) for full, s in found.items() if name_of(full) == peer), None)
    return median(samples) if samples else None


def ratio(part: Part, row: Row, peer: str, clock: str = "wall") -> float | None:
    """To what the row stands over, part by part."""
    assert row.over is not None
    other, figure, parts = row.over
    base = value(part, figure, peer if other == "itself" else other, clock)
    found = value(part, row.figure, peer, clock)
    return None if found is None or not base else found / row.parts / (base / parts)


def shown(part: Part, row: Row, peer: str, clock: str = "wall") -> float | None:
    """The number of a cell."""
    if row.over is not None:
        return ratio(part, row, peer, clock)
    found = value(part, row.figure, peer, clock)
    if found is None:
        return None
    return row.parts / found if row.unit == "runs/s" else found / row.parts * UNITS[row.unit]


def is_met(part: Part, row: Row, clock: str = "wall") -> bool | None:
    found = shown(part, row, OURS, clock)
    if row.budget is None or found is None:
        return None
    if row.unit == "runs/s":
        floor = shown(part, row, "floor", clock)
        least = min(row.budget, row.or_over * floor) if floor and row.or_over else row.budget
        return found >= least
    return found <= row.budget + 0.005  # as it is printed, with two digits


def rows(result: Mapping[str, Any], table: str, clock: str) -> tuple[list[str], list[list[str]]]:
    """The head and the lines of a table: a workload a line, a peer a column."""
    part = result["tables"][table]
    peers = [name_of(peer) for peer in part["peers"] if name_of(peer) != "floor"]
    titles = {name_of(peer): about["title"] for peer, about in part["peers"].items()}
    head = ["workload", "budget", "by hand", *(titles[peer] for peer in peers)]
    lines = []
    for row in TABLES[table]:
        if row.figure not in part["samples"]:
            continue
        line = [row.title, _budget(row), _base(part, row, clock)]
        for peer in peers:
            text = _cell(row, shown(part, row, peer, clock))
            if row.name.endswith("_flat") and not _has_grown(part, peer):
                text = "–"
            error = _error(part, row.figure, peer)
            if error:
                text = "too slow" if error.startswith("TooSlow") else "failed"
            met = is_met(part, row, clock) if peer == OURS else None
            line.append(text if met is None else f"{text} {'ok' if met else 'OVER'}")
        lines.append(line)
    return head, lines


def _has_grown(part: Part, peer: str) -> bool:
    """Whether the long history of a peer has become much longer than its short one."""
    short, long = (
        next((n for full, n in part["filled"].get(group, {}).items() if name_of(full) == peer), 0)
        for group in (f"history {SHORT_HISTORY}", f"history {LONG_HISTORY}")
    )
    return long > 5 * short


def _budget(row: Row) -> str:
    if row.budget is None:
        return "–"
    if row.over is not None:
        return page.number(row.budget)
    text = f"{row.budget:g} {row.unit}"
    return text if row.or_over is None else f"{text} or {row.or_over:g} ×"


def _cell(row: Row, found: float | None) -> str:
    if found is None or row.over is not None:
        return page.number(found)
    if row.unit == "calls":
        return f"{found:g}"
    return f"{found:.1f}" if 10 <= found < 100 else page.number(found)


def _base(part: Part, row: Row, clock: str) -> str:
    """What is 1, where there are ratios; else what the code by hand takes."""
    if row.over is not None and row.over[0] == "itself":
        return _cell(row, shown(part, row, "floor", clock))
    peer, figure, parts = row.over or ("floor", row.figure, row.parts)
    found = value(part, figure, peer, clock)
    if found is None:
        return "–"
    if row.unit == "runs/s":
        return page.number(row.parts / found)
    number = found / parts * UNITS[row.unit]
    return f"{f'{number:.1f}' if 10 <= number < 100 else page.number(number)} {row.unit}"


def _error(part: Part, figure: str, peer: str) -> str | None:
    found = part["samples"].get(figure, {})
    return next((s.get("error") for full, s in found.items() if name_of(full) == peer), None)


def failures(result: Mapping[str, Any]) -> list[str]:
    found = []
    for table, part in result["tables"].items():
        for about in part["peers"].values():
            if "error" in about:
                found.append(f"{TITLES[table]}, {about['title']}: {about['error']}")
        for figure, samples in part["samples"].items():
            for peer, sample in samples.items():
                if "error" in sample and peer in part["peers"]:
                    title = part["peers"][peer]["title"]
                    error = sample["error"].removeprefix("TooSlow: ")
                    found.append(f"{TITLES[table]}, {figure}, {title}: {error}")
    return found


def table(result: Mapping[str, Any], name: str, clock: str) -> str:
    """For a terminal."""
    head, lines = rows(result, name, clock)
    return page.terminal(
        f"{TITLES[name]} ({clock} time): ratios of medians to what stands under `by hand`, and "
        "where the budget has a unit, figures in that unit",
        head,
        lines,
    )


# --- for the documentation -------------------------------------------------------------------


def markdown(result: Mapping[str, Any]) -> str:
    out = sentence(dict(result), "lythonic_compose", "time per repetition and runs of histories")
    for name in result["tables"]:
        out += [f"### {TITLES[name]}", "", "Wall time, which counts:", ""]
        out += [*page.markdown(*rows(result, name, "wall"), 3), ""]
        out += ["CPU time of the same run, all threads:", ""]
        out += [*page.markdown(*rows(result, name, "cpu"), 3), ""]
    out += ["### Versions, and what is not like for like", ""]
    for name, part in result["tables"].items():
        out += [
            f"- {TITLES[name]}, {page.versions(about)}"
            for about in part["peers"].values()
            if "error" not in about
        ]
    out += [*_short(result), *_once(result)]
    wrong = failures(result)
    if wrong:
        out += ["", "What failed or could not be measured, and has no figure:", ""]
        out += [f"- {line}" for line in wrong]
    return "\n".join(out)


def _short(result: Mapping[str, Any]) -> list[str]:
    """Whose histories are shorter than the table says."""
    part, scale = result["tables"]["pipeline"], result["settings"]["scale"]
    short = [
        f"{part['peers'][peer]['title']} {filled:,} of {runs:,}"
        for runs in (SHORT_HISTORY, LONG_HISTORY)
        for peer, filled in part["filled"].get(f"history {runs}", {}).items()
        if filled < max(FEWEST, int(runs * scale))
    ]
    return ["", f"Histories that could not be filled in time: {', '.join(short)}."] if short else []


def _once(result: Mapping[str, Any]) -> list[str]:
    part = result["tables"]["pipeline"]
    once = [
        f"{part['peers'][peer]['title']} {figure}"
        for figure, samples in part["samples"].items()
        for peer, sample in samples.items()
        if peer in part["peers"] and len(sample.get("wall", ())) == 1
    ]
    many = result["settings"]["repetitions"] > 1 and once
    return ["", f"Measured once, since one run takes seconds: {', '.join(once)}."] if many else []


def chart(result: Mapping[str, Any], name: str) -> str:
    """A line per workload, a dot per peer, to the left of 1 what is faster than by hand."""
    part = result["tables"][name]
    others = iter(page.OTHERS)
    peers = {}
    for peer, about in part["peers"].items():
        if name_of(peer) != "floor" and "error" not in about:
            colour = page.OURS if name_of(peer) == OURS else next(others)
            peers[name_of(peer)] = (about["title"], colour)
    lines: list[page.Line] = []
    for row in TABLES[name]:
        floor = shown(part, row, "floor")
        found = {peer: shown(part, row, peer) for peer in peers}
        if row.over is not None:
            lines.append((row.title, row.budget, found))
        elif floor:
            is_rate = row.unit == "runs/s"
            lines.append(
                (
                    row.title,
                    row.budget and (floor / row.budget if is_rate else row.budget / floor),
                    {
                        peer: number and (floor / number if is_rate else number / floor)
                        for peer, number in found.items()
                    },
                )
            )
    return page.chart(
        f"{TITLES[name]}: ratios to code by hand, or to oneself or pydantic, logarithmic; "
        "a bar is the budget",
        peers,
        lines,
    )
