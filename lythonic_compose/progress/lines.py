"""Which line says what just happened? For logs, pipes, and wherever a display cannot move.

One line for each event of a node, and one for each tenth of a map.
"""

from __future__ import annotations

from ..events import (
    DONE,
    AttemptFailed,
    Event,
    NodeCompleted,
    NodeExpanded,
    NodeFailed,
    NodesEnded,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    RunResumed,
    RunStarted,
)
from ..printable import one_line
from .board import Elements, Node, Run

_ENDED = {
    "upstream_failed": "not run",
    "cancelled": "cancelled",
    "pending": "waits for a restart",
}


def line(event: Event, run: Run, node: Node | None) -> str | None:
    """What happened to a run or a node that is shown; None where that is not worth a line."""
    text = _of_run(event, run) if node is None else _of_node(event, run, node)
    return None if text is None else f"{run.name}: {text}"


def summary(run: Run) -> str:
    """How many nodes are done, running and so on."""
    counts = [
        (run.count(*DONE), "done"),
        (run.count("running"), "running"),
        (run.count("failed"), "failed"),
        (run.count("upstream_failed"), "not run"),
        (run.count("cancelled"), "cancelled"),
        (run.count("pending"), "waiting"),
    ]
    return ", ".join(f"{number} {word}" for number, word in counts if number) or "no nodes"


def duration(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes == 0:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def counted(elements: Elements) -> str:
    failed = f", {elements.failed} failed" if elements.failed else ""
    return f"{elements.done} of {_number(elements.total, 'element')}{failed}"


def _of_run(event: Event, run: Run) -> str | None:
    if isinstance(event, NodesEnded):
        if not event.nodes:
            return None
        labels = ", ".join(run.path + one_line(node.label) for node in event.nodes)
        return f"{labels}: {_ENDED[event.status]}"
    if run.path:  # its node tells of it
        return None
    if isinstance(event, RunStarted):
        return f"started, {_number(len(run.nodes), 'node')}"
    if isinstance(event, RunResumed):
        return f"goes on, {run.count('completed')} of {_number(len(run.nodes), 'node')} done"
    took = duration((run.ended or run.began) - run.began)
    text = f"{run.status} after {took}: {summary(run)}"
    return f"{text}; {run.note}" if run.note else text


def _of_node(event: Event, run: Run, node: Node) -> str | None:
    name = run.path + one_line(node.label)
    elements = node.elements
    took = "" if node.began is None or node.ended is None else duration(node.ended - node.began)
    match event:
        case NodeStarted():
            return f"{name}: started" + (f", attempt {event.attempt}" if event.attempt > 1 else "")
        case NodeExpanded():
            return f"{name}: {_number(len(event.keys), 'element')}"
        case AttemptFailed():
            pause = duration((event.again_at - event.at).total_seconds())
            return f"{name}: attempt {event.attempt} failed, again in {pause}: {node.note}"
        case NodeCompleted():
            failed = (
                f", {_number(elements.failed, 'element')} failed"
                if elements and elements.failed
                else ""
            )
            return f"{name}: done in {took}{failed}"
        case NodeSkipped():
            return f"{name}: {node.note}"
        case NodeFailed():
            return f"{name}: failed after {took}: {node.note}"
        case RunFinished() if elements is not None:
            return _of_elements(name, node, elements)
        case _:
            return None


def _of_elements(name: str, node: Node, elements: Elements) -> str | None:
    tenths = 10 * elements.done // max(1, elements.total)
    if tenths <= elements.told or elements.done == elements.total:
        return None
    elements.told = tenths
    return f"{name}: {counted(elements)}" + (f"; {node.note}" if node.note else "")


def _number(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
