"""Each promise is seen to be broken when it is: a history that is right, and what spoils it."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from tests.compose.kills import invariants
from tests.compose.kills.invariants import Invariant, violations
from tests.compose.kills.witness import (
    Attempt,
    Edge,
    History,
    Line,
    Node,
    Origin,
    Record,
    Run,
    Seen,
    Written,
)

RUNS = [
    Run("root", None, None, "", None, "completed", {"seed": {"size": 1}}),
    Run("page", "root", "pages", "0", None, "completed", {"parse": {"number": 7}}),
    Run("way", "root", "route", "", "left", "completed", {"left": {"numbers": [7]}}),
]
NODES = [
    Node(1, "root", "seed", "completed", [7]),
    Node(2, "root", "pages", "completed", [8]),
    Node(3, "page", "parse", "completed", 8),
    Node(4, "root", "decide", "completed", ["left", [7]]),
    Node(5, "root", "route", "completed", 7),
    Node(6, "way", "left", "completed", 7),
    Node(
        7,
        "root",
        "stream",
        "completed",
        {"run_id": "root", "node": "stream", "attempt": 2, "models": []},
    ),
    Node(8, "root", "summed", "completed", 5),
]
ATTEMPTS = [Attempt(10 + node.node_id, node.node_id, 2, 1, "completed") for node in NODES]
EDGES = [
    Edge("root", "seed", "pages", "number", "type"),
    Edge("root", "pages", "decide", "pages", "label"),
    Edge("root", "decide", "route", "value", "type"),
    Edge("root", "stream", "summed", "totals", "type"),
]
ROWS = [
    Written("totals", 1, "root", "stream", 2, 2, "two"),
    Written("totals", 2, "root", "stream", 2, 3, "three"),
]
ORIGINS = [Origin(17, "totals", 1, 2)]
END = Record(
    {run.run_id: run for run in RUNS},
    NODES,
    [Attempt(1, 1, 1, 1, "failed"), *ATTEMPTS],
    EDGES,
    ROWS,
    ORIGINS,
)
LOG = [
    Line("start", "root", "seed", 1, {"size": 1}),
    Line("start", "root", "seed", 2, {"size": 1}),
    Line("end", "root", "seed", 2, [7]),
    Line("start", "page", "parse", 2, {"number": 7}),
    Line("end", "page", "parse", 2, 8),
    Line("start", "root", "decide", 2, {"pages": [8]}),
    Line("end", "root", "decide", 2, ["left", [7]]),
    Line("start", "way", "left", 2, {"numbers": [7]}),
    Line("end", "way", "left", 2, 7),
    Line("start", "root", "stream", 2, {}),
    Line(
        "end", "root", "stream", 2, [{"number": 2, "text": "two"}, {"number": 3, "text": "three"}]
    ),
    Line("start", "root", "summed", 2, {"totals": [2, 3]}),
    Line("end", "root", "summed", 2, 5),
]
HALF_WAY = Seen(
    Record({"root": RUNS[0]._replace(status="running")}, NODES[:1], ATTEMPTS[:1], []), lines=3
)
RIGHT = History(LOG, [HALF_WAY, Seen(END, len(LOG))])


def with_end(**changed: Any) -> History:
    return History(LOG, [HALF_WAY, Seen(replace(END, **changed), len(LOG))])


def with_log(*lines: Line) -> History:
    return History([*LOG, *lines], RIGHT.seen)


def with_node(label: str, **changed: Any) -> History:
    nodes = [node._replace(**changed) if node.label == label else node for node in NODES]
    return with_end(nodes=nodes)


def with_run(run_id: str, **changed: Any) -> History:
    return with_end(runs=END.runs | {run_id: END.runs[run_id]._replace(**changed)})


def test_nothing_is_wrong_with_a_history_that_is_right() -> None:
    assert violations(RIGHT, END) == {}


SECOND_PAGE = Run("again", "root", "pages", "0", None, "completed", None)
OTHER_WAY = Run("other", "root", "route", "", "right", "completed", None)

BROKEN: list[tuple[Callable[..., Any], str, History]] = [
    (
        invariants.completes_once,
        "in two attempts",
        with_end(attempts=[*ATTEMPTS, Attempt(2, 1, 3, 2, "completed")]),
    ),
    (
        invariants.completes_once,
        "an element in two runs",
        with_end(
            runs=END.runs | {"again": SECOND_PAGE},
            nodes=[*NODES, Node(7, "again", "parse", "completed", 8)],
            attempts=[*ATTEMPTS, Attempt(2, 7, 1, 1, "completed")],
        ),
    ),
    (
        invariants.is_not_started_after_completion,
        "the node itself",
        with_log(Line("start", "root", "seed", 3, {})),
    ),
    (
        invariants.is_not_started_after_completion,
        "what is inside of it",
        History(
            [*LOG, Line("start", "page", "parse", 3, {})],
            [Seen(replace(END, nodes=[NODES[1]]), len(LOG)), *RIGHT.seen],
        ),
    ),
    (
        invariants.completes_with_its_last_start,
        "another one came later",
        with_log(Line("start", "root", "decide", 3, {})),
    ),
    (
        invariants.is_recorded_before_it_starts,
        "no attempt",
        with_log(Line("start", "root", "decide", 3, {})),
    ),
    (
        invariants.is_recorded_before_it_starts,
        "called twice as one attempt",
        with_log(Line("start", "root", "seed", 2, {})),
    ),
    (invariants.is_never_lost, "not completed any more", with_node("seed", status="pending")),
    (invariants.is_never_lost, "another output", with_node("seed", output=[9])),
    (
        invariants.decides_once,
        "two runs of two ways",
        with_end(runs=END.runs | {"other": OTHER_WAY}),
    ),
    (
        invariants.decides_once,
        "a function of the other way",
        with_log(Line("start", "way", "highest", 1, {})),
    ),
    (
        invariants.was_given_what_was_returned,
        "along an edge",
        with_node("pages", output=[9]),
    ),
    (
        invariants.was_given_what_was_returned,
        "from a node that has not completed",
        with_node("pages", status="failed"),
    ),
    (
        invariants.was_given_what_was_returned,
        "into a run",
        with_run("page", inputs={"parse": {"number": 9}}),
    ),
    (
        invariants.was_given_what_was_returned,
        "out of a stream",
        with_end(rows=[ROWS[0], ROWS[1]._replace(number=4)]),
    ),
    (invariants.has_the_rows_of_what_completed, "one is missing", with_end(rows=ROWS[:1])),
    (
        invariants.has_the_rows_of_what_completed,
        "they are of an attempt that has not completed",
        with_end(rows=[*ROWS, ROWS[0]._replace(row_id=3, attempt=1)]),
    ),
    (
        invariants.has_the_rows_of_what_completed,
        "they are there before their attempt completes",
        History(
            LOG, [replace(HALF_WAY, record=replace(HALF_WAY.record, rows=ROWS)), Seen(END, 99)]
        ),
    ),
    (
        invariants.has_the_rows_of_what_completed,
        "elsewhere, and their attempt never completes",
        with_end(
            rows=[*ROWS, ROWS[0]._replace(row_id=3, run="way")],
            markers=frozenset({("way", "stream", 2)}),
        ),
    ),
    (invariants.knows_where_rows_came_from, "nowhere", with_end(origins=())),
    (
        invariants.knows_where_rows_came_from,
        "another attempt",
        with_end(origins=[Origin(18, "totals", 1, 2)]),
    ),
    (
        invariants.knows_where_rows_came_from,
        "an origin without a row",
        with_end(origins=[Origin(17, "totals", 1, 3)]),
    ),
    (invariants.ends_like(END), "another row", with_end(rows=ROWS[:1])),
    (invariants.is_recorded_as_returned, "another value", with_node("parse", output=9)),
    (invariants.leaves_nothing_open, "a run", with_run("page", status="running")),
    (invariants.leaves_nothing_open, "a node", with_node("parse", status="pending")),
    (
        invariants.leaves_nothing_open,
        "an attempt",
        with_end(attempts=[*ATTEMPTS, Attempt(2, 1, 3, 1, "running")]),
    ),
    (
        invariants.is_sound,
        "a broken file",
        History(LOG, [replace(HALF_WAY, unsound=("row missing",)), Seen(END, len(LOG))]),
    ),
    (invariants.ends_like(END), "another output", with_node("pages", output=[9])),
    (invariants.ends_like(END), "a node less", with_end(nodes=NODES[:3])),
    (
        invariants.ends_like(END),
        "a node more",
        with_end(nodes=[*NODES, Node(9, "root", "more", "completed", 1)]),
    ),
]


@pytest.mark.parametrize(
    ("promise", "history"),
    [
        pytest.param(promise, history, id=f"{promise.__name__}: {how}")
        for promise, how, history in BROKEN
    ],
)
def test_a_broken_promise_is_seen(promise: Invariant, history: History) -> None:
    assert list(promise(RIGHT)) == []
    assert len(list(promise(history))) > 0


def test_every_promise_is_seen_to_be_broken_above() -> None:
    broken = {promise.__name__ for promise, *_ in BROKEN}
    promises = (*invariants.EVER, *invariants.AT_ONCE, invariants.ends_like(END))
    assert {promise.__name__ for promise in promises} == broken
