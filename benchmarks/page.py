"""How do figures become a table, a part of a page, and a chart? Nothing is measured here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any
from xml.sax.saxutils import escape

from .turns import ROOT

PAGE = ROOT / "docs" / "benchmarks.md"


def publish(half: str, text: str) -> None:
    """Replaces the figures of one half on the page, between its two marks."""
    begin, end = f"<!-- {half} figures: begin -->", f"<!-- {half} figures: end -->"
    head, _, rest = PAGE.read_text().partition(begin)
    tail = rest.partition(end)[2]
    PAGE.write_text(f"{head}{begin}\n\n{text}\n\n{end}{tail}")


def number(found: float | None) -> str:
    if found is None:
        return "–"
    return f"{found:.2f}" if found < 10 else f"{found:.0f}"


def terminal(title: str, head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    widths = [max(len(line[at]) for line in [head, *lines]) for at in range(len(head))]
    out = [title]
    for line in [head, ["-" * width for width in widths], *lines]:
        first, *others = zip(line, widths, strict=True)
        cells = [first[0].ljust(first[1]), *(text.rjust(width) for text, width in others)]
        out.append("  ".join(cells))
    return "\n".join(out)


def markdown(head: Sequence[str], lines: Sequence[Sequence[str]], bold: int) -> list[str]:
    """With the cells of one column in bold."""
    marked = [
        [f"**{cell}**" if at == bold else cell for at, cell in enumerate(line)] for line in lines
    ]
    return [
        "| " + " | ".join(head) + " |",
        "|---|" + "---:|" * (len(head) - 1),
        *("| " + " | ".join(line) + " |" for line in marked),
    ]


def versions(about: Mapping[str, Any]) -> str:
    found = ", ".join(f"{name} {text}" for name, text in about["versions"].items())
    tail = f": {about['note']}" if about["note"] else ""
    return f"{about['title']} ({found or 'stdlib'}){tail}."


# --- the chart -------------------------------------------------------------------------------

OURS = "#d6336c"
FLOOR = "#868e96"
OTHERS = (
    "#1971c2", "#4dabf7", "#2f9e44", "#9c36b5", "#e8590c", "#087f5b", "#f08c00", "#5f3dc4",
    "#0b7285", "#a61e4d", "#66a80f",
)  # fmt: skip
LEFT, WIDTH, LINE, TOP = 290, 620, 26, 64

Line = tuple[str, float | None, Mapping[str, float | None]]
"""A title, a budget, and a number by peer."""


def chart(title: str, peers: Mapping[str, tuple[str, str]], lines: Sequence[Line]) -> str:
    """A line per workload and a dot per peer, given with title and colour; ours comes first."""
    numbers = [value for _, _, found in lines for value in found.values() if value]
    low, high = min(numbers, default=0.5) * 0.9, max(numbers, default=2) * 1.1

    def x(value: float) -> float:
        return LEFT + WIDTH * math.log(value / low) / math.log(high / low)

    legend, top = _legend(peers)
    height = top + LINE * len(lines) + 16
    full = LEFT + WIDTH + 30
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {full} {height}" width="{full}" '
        f'height="{height}" font-family="sans-serif" font-size="12">',
        f'<rect width="{full}" height="{height}" fill="#ffffff"/>',
        f'<text x="12" y="20" font-size="14" fill="#212529">{escape(title)}</text>',
        *legend,
    ]
    for tick in _ticks(low, high):
        colour = "#212529" if tick == 1 else "#dee2e6"
        out.append(f'<path d="M{x(tick):.1f} {top - 6}V{height - 14}" stroke="{colour}"/>')
        out.append(
            f'<text x="{x(tick):.1f}" y="{height - 3}" font-size="10" text-anchor="middle" '
            f'fill="#495057">{tick:g}</text>'
        )
    for at, (name, budget, found) in enumerate(lines):
        y = top + LINE * at + 8
        out.append(f'<text x="12" y="{y + 4}" fill="#212529">{escape(name)}</text>')
        if budget:
            out.append(
                f'<path d="M{x(max(budget, low)):.1f} {y - 9}v18" stroke="{OURS}" '
                'stroke-width="2"/>'
            )
        for peer, (called, colour) in reversed(list(peers.items())):  # ours is drawn last, on top
            value = found.get(peer)
            if value:
                out.append(
                    f'<circle cx="{x(value):.1f}" cy="{y}" r="{6 if colour == OURS else 4}" '
                    f'fill="{colour}" fill-opacity="0.85"><title>'
                    f"{escape(called)} {number(value)}</title></circle>"
                )
    return "\n".join([*out, "</svg>", ""])


def _legend(peers: Mapping[str, tuple[str, str]]) -> tuple[list[str], int]:
    """Its lines, and where the space below it begins."""
    out, at, y = list[str](), 12.0, 38
    for title, colour in peers.values():
        width = 30 + 6.9 * len(title)
        if at + width > LEFT + WIDTH + 30:
            at, y = 12.0, y + 20
        out.append(f'<circle cx="{at + 5:.0f}" cy="{y}" r="5" fill="{colour}"/>')
        out.append(f'<text x="{at + 14:.0f}" y="{y + 4}" fill="#212529">{escape(title)}</text>')
        at += width
    return out, TOP + y - 38


def _ticks(low: float, high: float) -> Sequence[float]:
    ticks = [step * 10**power for power in range(-4, 7) for step in (1, 2, 5)]
    found = [tick for tick in ticks if low <= tick <= high]
    return found if len(found) < 16 else found[_first_decade(found) :: 3]


def _first_decade(ticks: Sequence[float]) -> int:
    return next(at for at, tick in enumerate(ticks) if math.log10(tick).is_integer())
