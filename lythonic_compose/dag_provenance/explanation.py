"""How did a row come to be? The chain of steps as frozen values, as text and for notebooks.

Nothing is read here; `tracing.py` finds the steps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from html import escape
from typing import Any

from lythonic_state.fields import frozen

from .origins import RowKey

LONGEST = 200
"""So many characters of a value are shown."""


@frozen
class LineageInput:
    """What a step was given for one parameter."""

    param: str
    origin: str
    """The node whose output it was, or "given" where it came with the run's inputs."""
    text: str | None
    """The value as JSON, shortened; None where it is nothing but rows."""


@frozen
class LineageStep:
    """A node that wrote rows of the chain: one attempt in one run."""

    number: int
    """Counts from 1, the step that wrote the row that is explained."""
    node_label: str
    run_id: str
    dag_nsref: str | None
    path: str
    """Where its run stands inside another: "pipeline:dag/chunks[0]"."""
    attempt: int
    finished_at: datetime | None
    code_hash: str
    """Of the node's code when it ran; "unknown" where there was none to be read."""
    inputs: tuple[LineageInput, ...]
    rows: tuple[RowKey, ...]
    """Of the rows of the chain that it wrote, the first."""
    row_count: int
    """How many rows of the chain it wrote."""
    upstream: tuple[int, ...]
    """The numbers of the steps whose rows fed it."""
    seeds: tuple[RowKey, ...] = ()
    """Of the rows that fed it and that no node had written, the first."""


@frozen
class Explanation:
    """How a row came to be: the step that wrote it, the steps whose rows fed that one, and so on.

    Example:
        >>> print(provenance.explain(total))
        Total 1 {"total_id":1,"cents":750}
        1. total wrote Total 1
           run 6f0c… of shop:daily, attempt 1, 2026-01-31 09:00:00 UTC, code 51c2…
           prices from clean: rows
           fed by the rows of step 2
        2. clean wrote Price 1, Price 2
           …
    """

    row: RowKey
    text: str | None
    """The row as it is now, as JSON; None where it is not there any more."""
    steps: tuple[LineageStep, ...] = ()
    """Each once, nearest first; empty where no node has written the row."""
    cut: tuple[str, ...] = ()
    """What was left out, in sentences."""

    def __str__(self) -> str:
        return "\n".join(_lines(self))

    def _repr_html_(self) -> str:
        head = f"<div><b>{escape(shown_key(self.row))}</b> <code>{_part(self.text)}</code></div>"
        names = ("step", "node", "wrote", "run", "when", "code", "inputs", "fed by")
        heads = "".join(f'<th style="text-align:left">{name}</th>' for name in names)
        rows = "".join(f"<tr>{''.join(_cells(step))}</tr>" for step in self.steps)
        notes = "".join(f"<div>{escape(note)}</div>" for note in _notes(self))
        table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        return head + (table if self.steps else "") + notes


def shown_key(row: RowKey) -> str:
    """A row in a few words: "Price 7"."""
    return shortened(f"{row.table} {row.key}")


def numbered(steps: Sequence[int]) -> str:
    """Some steps in a few words: "steps 2, 3"."""
    return f"step{'s' * (len(steps) > 1)} {', '.join(map(str, steps))}"


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def _lines(explanation: Explanation) -> Iterator[str]:
    yield f"{shown_key(explanation.row)} {_now(explanation.text)}"
    for step in explanation.steps:
        yield f"{step.number}. {step.node_label} wrote {_rows(step)}"
        yield f"   {', '.join(_facts(step))}"
        for each in step.inputs:
            yield f"   {_input(each)}"
        if step.upstream or step.seeds:
            yield f"   fed by {_fed_by(step)}"
    yield from _notes(explanation)


def _notes(explanation: Explanation) -> Iterator[str]:
    if not explanation.steps:
        yield "No node of this store has written it."
    yield from explanation.cut


def _now(text: str | None) -> str:
    return "(not there any more)" if text is None else text


def _rows(step: LineageStep) -> str:
    named = ", ".join(map(shown_key, step.rows))
    more = step.row_count - len(step.rows)
    return f"{named} and {more} more" if more > 0 else named


def _facts(step: LineageStep) -> Iterator[str]:
    where = step.path or step.dag_nsref
    yield f"run {step.run_id}" + (f" of {where}" if where else "")
    yield f"attempt {step.attempt}"
    if step.finished_at is not None:
        yield f"{step.finished_at:%Y-%m-%d %H:%M:%S} UTC"
    yield f"code {step.code_hash[:12]}"


def _input(each: LineageInput) -> str:
    value = "rows" if each.text is None else each.text
    if each.origin == "given":
        return f"{each.param} given: {value}"
    return f"{each.param} from {each.origin}: {value}"


def _fed_by(step: LineageStep) -> str:
    parts: list[str] = []
    if step.upstream:
        parts.append(f"the rows of {numbered(step.upstream)}")
    if step.seeds:
        parts.append(f"rows that no node had written: {', '.join(map(shown_key, step.seeds))}")
    return " and ".join(parts)


def _cells(step: LineageStep) -> Iterator[str]:
    at = "" if step.finished_at is None else f"{step.finished_at:%Y-%m-%d %H:%M:%S}"
    where = step.path or step.dag_nsref or ""
    inputs = "<br>".join(_part(_input(each)) for each in step.inputs)
    cells: list[Any] = [
        step.number,
        _part(step.node_label),
        _part(_rows(step)),
        f"{_part(where)} <code>{_part(step.run_id)}</code> ({step.attempt})",
        at,
        f"<code>{_part(step.code_hash[:12])}</code>",
        inputs,
        _part(_fed_by(step)),
    ]
    for cell in cells:
        yield f'<td style="text-align:left;vertical-align:top">{cell}</td>'


def _part(text: str | None) -> str:
    return escape(_now(text))
