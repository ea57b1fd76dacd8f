"""What must be true of runs that were killed, whatever happened? One function for each promise.

Each takes what was seen from outside and yields what is wrong with it, in words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

from tests.compose.kills.pipeline import BRANCHES, LASTING, UNRESTORABLE, WRITERS
from tests.compose.kills.witness import History, Line, Place, Record

Invariant: TypeAlias = Callable[[History], Iterator[str]]


def completes_once(history: History) -> Iterator[str]:
    """A node has at most one completed attempt, whichever of its run's processes made it."""
    for seen in history.seen:
        record = seen.record
        nodes = {node.node_id: node for node in record.nodes}
        counted = Counter(
            record.place(nodes[attempt.node_id].run_id, nodes[attempt.node_id].label)
            for attempt in record.attempts
            if attempt.status == "completed"
        )
        for place, times in counted.items():
            if times > 1 and not _is_made_again(place):
                yield f"{place} completed {times} times"


def is_not_started_after_completion(history: History) -> Iterator[str]:
    """What is recorded as completed after a death is never called again, nor what is inside."""
    starts = list(_starts(history))
    for seen in history.seen:
        done = {seen.record.place(*where) for where in seen.record.completed()}
        done = {place for place in done if not _is_made_again(place)}
        for number, line, place in starts:
            if number >= seen.lines:
                for each in done:
                    if place == each or place.is_in(each):
                        yield f"{place} had completed, and was called again: {line}"


def completes_with_its_last_start(history: History) -> Iterator[str]:
    """The attempt that completed is the last one that was called."""
    last = {place: line for _, line, place in _starts(history)}
    for place, attempt in _completed_attempts(history.end).items():
        if place in last and last[place].attempt != attempt:
            yield f"{place} completed with attempt {attempt}, and {last[place]} came later"


def is_recorded_before_it_starts(history: History) -> Iterator[str]:
    """A function is called once per recorded attempt, and never without one."""
    record = history.end
    nodes = {node.node_id: node for node in record.nodes}
    known = {
        (nodes[each.node_id].run_id, nodes[each.node_id].label, each.number)
        for each in record.attempts
    }
    called = Counter(
        (line.run, line.node, line.attempt) for line in history.log if line.what == "start"
    )
    for where, times in called.items():
        if where not in known:
            yield f"{where} was called, and nothing is recorded of it"
        elif times > 1:
            yield f"{where} was called {times} times"


def is_never_lost(history: History) -> Iterator[str]:
    """What was recorded as completed stays so, with the same output."""
    before: Mapping[tuple[str, str], Any] = {}
    for seen in history.seen:
        now = seen.record.completed()
        for where, output in before.items():
            if _is_made_again(history.end.place(*where)):
                continue
            if where not in now:
                yield f"{where} had completed, and has not any more"
            elif now[where] != output:
                yield f"{where} had returned {output!r}, and now {now[where]!r}"
        before = now


def decides_once(history: History) -> Iterator[str]:
    """A switch that has taken a way does not take another one."""
    ways: dict[tuple[Any, ...], set[str]] = {}
    for seen in history.seen:
        for run in seen.record.runs.values():
            if run.branch is not None:
                ways.setdefault(seen.record.path_of(run.run_id), set()).add(run.branch)
    for path, taken in ways.items():
        if len(taken) > 1:
            yield f"{path} went more than one way: {sorted(taken)}"
    walked: dict[str, set[str]] = {}
    for _, line, place in _starts(history):
        for branch, functions in BRANCHES.items():
            if line.node in functions:
                walked.setdefault(place.root, set()).add(branch)
    for root, taken in walked.items():
        if len(taken) > 1:
            yield f"functions of several ways were called in {root}: {sorted(taken)}"


def was_given_what_was_returned(history: History) -> Iterator[str]:
    """What a completed call was given along an edge is what is recorded of the other end."""
    record = history.end
    outputs = record.completed() | {
        (node.run_id, node.label): node.output for node in record.nodes if node.status == "skipped"
    }
    calls = {
        (line.run, line.node, line.attempt): line for line in history.log if line.what == "start"
    }
    completed = _completed_numbers(record)
    for edge in record.edges:
        where = (edge.run_id, edge.downstream)
        call = calls.get((*where, completed.get(where, 0)))
        if call is None or edge.param is None:
            continue
        if (edge.run_id, edge.upstream) not in outputs:
            yield f"{edge} comes from a node that has not completed"
        elif call.value.get(edge.param) != _handed_on(record, outputs[edge.run_id, edge.upstream]):
            yield f"{call} was not given what {edge.upstream} returned"
    for run in record.runs.values():
        if run.parent is None or run.inputs is None:
            continue
        from_outside = _delivered(record, outputs, run.parent, run.label or "", run)
        for label, given in run.inputs.items():
            for param, value in given.items():
                if value != from_outside:
                    yield f"{run} was given {value!r} from outside, which was {from_outside!r}"
                call = calls.get((run.run_id, label, completed.get((run.run_id, label), 0)))
                if call is not None and call.value.get(param) != value:
                    yield f"{call} was not given what is recorded of its run: {value!r}"


def is_recorded_as_returned(history: History) -> Iterator[str]:
    """The output of a completed node is what its function has said that it returns."""
    ends = {(line.run, line.node, line.attempt): line for line in history.log if line.what == "end"}
    outputs = history.end.completed()
    for where, number in _completed_numbers(history.end).items():
        line = ends.get((*where, number))
        if where[1] not in WRITERS and line is not None and line.value != outputs[where]:
            yield f"{outputs[where]!r} is recorded of {line}"


def has_the_rows_of_what_completed(history: History) -> Iterator[str]:
    """At any time, exactly those attempts have rows that have completed, and all of theirs."""
    returned = {
        (line.run, line.node, line.attempt): line.value
        for line in history.log
        if line.what == "end" and line.node in WRITERS
    }
    for seen in history.seen:
        record = seen.record
        numbers = _completed_numbers(record)
        completed = {
            (run, node, number) for (run, node), number in numbers.items() if node in WRITERS
        }
        if seen is history.seen[-1]:
            for of in record.markers - completed:
                yield f"the rows of {of} are there, and it has not completed"
        completed |= record.markers  # which will complete without being called again
        rows: dict[tuple[str, str, int], list[tuple[int, str]]] = {}
        for row in record.rows:
            of = (row.run, row.node, row.attempt)
            rows.setdefault(of, []).append((row.number, row.text))
            if of not in completed:
                yield f"the attempt of {row} has not completed"
        newest = {node: (run, node, number) for run, node, number in _in_order(record, completed)}
        for of in completed:
            if WRITERS[of[1]] in LASTING or of == newest[of[1]]:
                wanted = [(row["number"], row["text"]) for row in returned.get(of, ())]
                if sorted(rows.get(of, ())) != sorted(wanted):
                    yield f"{of} has completed and left {rows.get(of)}, not {wanted}"


def knows_where_rows_came_from(history: History) -> Iterator[str]:
    """The newest origin of a row is the attempt that it bears, and no origin has no row."""
    for seen in history.seen:
        record = seen.record
        nodes = {node.node_id: node for node in record.nodes}
        attempts = {
            each.attempt_id: (nodes[each.node_id].run_id, nodes[each.node_id].label, each.number)
            for each in record.attempts
        }
        origins: dict[tuple[str, int], tuple[str, str, int]] = {}
        for origin in record.origins:
            for key in range(origin.first_key, origin.last_key + 1):
                origins[origin.table, key] = attempts[origin.attempt_id]
        waiting = record.markers - set(attempts.values()) | {
            of for of in record.markers if of not in origins.values()
        }
        for row in record.rows:
            if (row.run, row.node, row.attempt) in waiting:
                continue
            if origins.pop((row.table, row.row_id), None) != (row.run, row.node, row.attempt):
                yield f"another attempt is recorded to have written {row}, or none"
        for (table, key), of in origins.items():
            if table in LASTING:
                yield f"{of} is recorded to have written row {key} of {table}, which is not there"


def leaves_nothing_open(history: History) -> Iterator[str]:
    """At the end no run, node or attempt is still running, or waits."""
    record = history.end
    runs = record.runs.values()
    completed = {record.path_of(run.run_id) for run in runs if run.status == "completed"}
    for run in runs:
        # another run may have taken the place of one that was cut off, or failed
        if run.status in ("running", "paused") or record.path_of(run.run_id) not in completed:
            yield f"left as {run.status}: {run}"
    for node in record.nodes:
        is_open = node.status not in ("completed", "skipped")
        if node.status == "running" or (is_open and record.runs[node.run_id].status == "completed"):
            yield f"left as {node.status}: {node}"
    for attempt in record.attempts:
        if attempt.status == "running":
            yield f"left running: {attempt}"


def is_sound(history: History) -> Iterator[str]:
    """The database finds nothing wrong with itself after any death."""
    for number, seen in enumerate(history.seen, 1):
        for text in seen.unsound:
            yield f"after death {number}: {text}"


def ends_like(undisturbed: Record) -> Invariant:
    """The nodes and outputs are those of a run that nothing has happened to."""

    def ends_like_without_kills(history: History) -> Iterator[str]:
        mine, theirs = _outcome(history.end), _outcome(undisturbed)
        for place in mine.keys() | theirs.keys():
            if place not in mine:
                yield f"{place} is missing"
            elif place not in theirs:
                yield f"{place} is there, and is not without kills"
            elif mine[place] != theirs[place]:
                yield f"{place} returned {mine[place]!r}, and without kills {theirs[place]!r}"
        left, right = _rows_of(history.end), _rows_of(undisturbed)
        if left != right:
            yield f"there are the rows {left}, and without kills {right}"

    return ends_like_without_kills


EVER: tuple[Invariant, ...] = (
    completes_once,
    is_never_lost,
    was_given_what_was_returned,
    is_recorded_as_returned,
    has_the_rows_of_what_completed,
    knows_where_rows_came_from,
    leaves_nothing_open,
    is_sound,
)
"""What is promised however late things are written."""
AT_ONCE: tuple[Invariant, ...] = (
    is_not_started_after_completion,
    completes_with_its_last_start,
    is_recorded_before_it_starts,
    decides_once,
)
"""What is promised besides where a completion is written before anything is built on it."""


def violations(history: History, undisturbed: Record, *, at_once: bool = True) -> dict[str, str]:
    """What is wrong, by the promise that is broken."""
    promises = (*EVER, *(AT_ONCE if at_once else ()), ends_like(undisturbed))
    found = {promise.__name__: list(promise(history)) for promise in promises}
    return {name: "\n".join(wrong) for name, wrong in found.items() if wrong}


# --- what they look at ----------------------------------------------------------------------


def _is_made_again(place: Place) -> bool:
    """Whether it is, or is inside of, what a restart has to call again; the map itself is not."""
    made, mapped = (Place(place.root, (), label) for label in UNRESTORABLE)
    return place == made or place.is_in(mapped)


def _starts(history: History) -> Iterator[tuple[int, Line, Place]]:
    """The starts of runs that are recorded, with their number in the log and their place."""
    for number, line in enumerate(history.log):
        if line.what == "start" and line.run in history.end.runs:
            yield number, line, history.end.place(line.run, line.node)


def _completed_numbers(record: Record) -> dict[tuple[str, str], int]:
    """The number of the attempt that completed, by run and label."""
    nodes = {node.node_id: node for node in record.nodes}
    return {
        (nodes[each.node_id].run_id, nodes[each.node_id].label): each.number
        for each in record.attempts
        if each.status == "completed"
    }


def _completed_attempts(record: Record) -> dict[Place, int]:
    return {record.place(*where): number for where, number in _completed_numbers(record).items()}


def _delivered(
    record: Record, outputs: Mapping[tuple[str, str], Any], parent: str, label: str, run: Any
) -> Any:
    """What a node hands to the run inside of it."""
    (edge,) = [
        edge
        for edge in record.edges
        if edge.run_id == parent and edge.downstream == label and edge.param is not None
    ]
    value = outputs[parent, edge.upstream]
    if run.key:
        value = value[int(run.key)]
    return value if run.branch is None else value[1]


def _outcome(record: Record) -> dict[tuple[int, Any, str], Any]:
    """What is not left to chance: outputs by the number of the run, and the way down."""
    number = {run.run_id: place for place, run in enumerate(record.roots())}
    found: dict[tuple[int, Any, str], Any] = {}
    for node in record.nodes:
        root, path = record.path_of(node.run_id)
        if node.label == "decide" or any(label == "route" for label, _ in path):
            continue
        found[number[root], path, node.label] = _unmarked(node.output)
    return found


def _rows_of(record: Record) -> list[tuple[str, str, int, str]]:
    """All rows, but for what differs from run to run."""
    return sorted((row.table, row.node, row.number, row.text) for row in record.rows)


def _unmarked(value: Any) -> Any:
    """A value without keys, run ids and numbers of attempts."""
    if isinstance(value, dict):
        own = ("row_id", "run", "run_id", "attempt")
        return {name: _unmarked(each) for name, each in value.items() if name not in own}
    return [_unmarked(each) for each in value] if isinstance(value, list) else value


def _handed_on(record: Record, output: Any) -> Any:
    """What the next function gets; of a stream, the numbers of the rows that are there."""
    if not isinstance(output, dict) or "models" not in output:
        return output
    of = (output["run_id"], output["node"], output["attempt"])
    return [row.number for row in record.rows if (row.run, row.node, row.attempt) == of]


def _in_order(
    record: Record, completed: set[tuple[str, str, int]]
) -> Iterator[tuple[str, str, int]]:
    """Attempts, those of a later run after those of an earlier one."""
    for run_id in record.runs:
        yield from (of for of in completed if of[0] == run_id)
