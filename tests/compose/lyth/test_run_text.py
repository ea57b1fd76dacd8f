"""What does a person read about runs, and what a program?"""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from lythonic_compose import Dag, DagProvenance, DagRun, DagRunner, Retry
from lythonic_compose.dag_provenance import NodeExecution
from lythonic_compose.lyth.as_json import run_as_json, whole_run_as_json
from lythonic_compose.lyth.finding import attempts_of
from lythonic_compose.lyth.run_text import (
    Shown,
    changes,
    exception_line,
    run_lines,
    run_table,
    short_ids,
    without_own_frames,
)
from lythonic_compose.lyth.tables import Line

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def words(text: str = "a bb c") -> list[str]:
    return text.split()


def size(word: str) -> int:
    if word == "c":
        raise ValueError("no c please")
    return len(word)


def twice(number: int) -> int:
    return number * 2


def total(numbers: list[int]) -> int:
    raise AssertionError("what it needs fails")


def text(lines: list[Line]) -> list[str]:
    return ["".join(cell.text for cell in line) for line in lines]


@pytest.fixture
def store() -> Iterator[DagProvenance]:
    with DagProvenance("sqlite://") as made:
        yield made


@pytest.fixture
def failed(store: DagProvenance) -> DagRun:
    part = Dag()
    part.node(size, retry=Retry(2, backoff=0)) >> part.node(twice)
    dag = Dag()
    dag.node(words) >> dag.map(part, "sizes") >> dag.node(total)
    result = DagRunner(dag, store).run_sync(dag_nsref="texts:count")
    run = store.inspect_run(result.run_id)
    assert run is not None
    return run


def _at_rest(run: DagRun) -> DagRun:
    """The same run as if everything had taken one second, a second after the other."""
    for number, node in enumerate(run.nodes.values()):
        if node.started_at is not None:
            node.started_at = NOW + number * SECOND
            node.finished_at = node.started_at + SECOND
        for part in (node.sub_dags or {}).values():
            _at_rest(part)
    run.started_at, run.finished_at = NOW, NOW + 2 * SECOND
    return run


def test_a_run_is_shown_as_a_tree_with_what_is_inside_and_why_it_failed(
    store: DagProvenance, failed: DagRun
) -> None:
    shown = Shown(NOW, width=70, attempts=attempts_of(store, failed))

    lines = text(run_lines(_at_rest(failed), shown))

    head, error = lines.index(""), lines.index("", lines.index("") + 1)
    assert lines[0] == f"run {failed.run_id}  failed"
    assert re.fullmatch(r"began: \d\d:\d\d:\d\d, took 2.0 s", lines[1])
    assert lines[2:head] == ["dag: texts:count", "error: sizes: ValueError: no c please"]
    assert lines[head + 1 : error] == [
        "NODE       STATUS      TOOK",
        "words      completed  1.0 s",
        "sizes      failed     1.0 s  3 inside, 1 failed",
        "  [0]      completed  2.0 s",
        "    size   completed  1.0 s",
        "    twice  completed  1.0 s",
        "  [1]      completed  2.0 s",
        "    size   completed  1.0 s",
        "    twice  completed  1.0 s",
        "  [2]      failed     2.0 s  ValueError: no c please",
        "    size   failed     1.0 s  2 attempts; ValueError: no c please",
        "    twice  not run",
        "total      not run",
    ]
    assert lines[error + 1 : error + 3] == [
        "sizes[2]/size failed:",
        "Traceback (most recent call last):",
    ]
    assert "lythonic_compose" not in "\n".join(lines[error + 3 :])
    assert lines[-2] == "ValueError: no c please"


def test_what_went_in_and_out_stands_below_each_node(store: DagProvenance) -> None:
    dag = Dag()
    dag.node(words) >> dag.map(twice_text, "doubled")
    result = DagRunner(dag, store).run_sync({"words": {"text": "a\nb" + "c" * 99}})
    run = store.inspect_run(result.run_id)
    assert run is not None
    store.load_io(run)

    lines = text(run_lines(_at_rest(run), Shown(NOW, width=40)))

    start = lines.index("words    completed  1.0 s")
    given, returned = lines[start + 1 : start + 3]
    assert given.startswith('    in:  {"text":"a\\nbccc')
    assert returned.startswith('    out: ["a","bccc')
    assert [(len(line), line[-1]) for line in (given, returned)] == [(40, "…"), (40, "…")]


def twice_text(word: str) -> str:
    return word * 2


def test_of_many_elements_those_are_shown_that_have_not_ended_well(store: DagProvenance) -> None:
    dag = Dag()
    dag.node(words) >> dag.map(size, "sizes", on_error="collect")
    text_of_many = " ".join(["a"] * 40 + ["c"] + ["b"] * 9 + ["c", "c", "c"])
    result = DagRunner(dag, store).run_sync({"words": {"text": text_of_many}})
    run = store.inspect_run(result.run_id)
    assert run is not None

    lines = text(run_lines(run, Shown(NOW)))
    everything = text(run_lines(run, Shown(NOW, everything=True)))

    shown = [line.split()[0] for line in lines if line.startswith("  [")]
    assert shown == [f"[{number}]" for number in [*range(16), 40, 50, 51, 52]]
    assert "  and 33 more: --all" in lines
    assert sum(line.endswith(" failed:") for line in lines) == 3
    assert lines[-1] == "1 more failed: --all"
    assert sum(line.startswith("  [") for line in everything) == 53
    assert sum(line.endswith(" failed:") for line in everything) == 4


def test_runs_are_a_table_that_says_which_are_abandoned() -> None:
    runs = [
        DagRun(
            run_id="6f0c2a4e-0000-4000-8000-000000000000",
            dag_nsref="texts:count",
            status="failed",
            started_at=NOW - 3 * SECOND,
            finished_at=NOW,
            failed_node="sizes",
            error="ValueError: no c please",
            initiated_by="trigger:often",
        ),
        DagRun(
            run_id="6f0c2a4e-1111-4000-8000-000000000000",
            dag_nsref="texts:count",
            status="running",
            started_at=NOW - 90 * SECOND,
        ),
        DagRun(run_id="nightly-2026-03-01", status="paused", started_at=NOW),
    ]

    lines = text(run_table(runs, {runs[1].run_id}, NOW, None))

    assert [line.split("  ")[0] for line in lines] == [
        "RUN",
        "6f0c2a4e-0",
        "6f0c2a4e-1",
        "nightly-2026-03-01",
    ]
    assert "trigger:often  sizes: ValueError: no c please" in lines[1]
    assert " abandoned " in lines[2]
    assert " 1:30" in lines[2]


def test_short_ids_are_as_long_as_they_need_to_be_to_differ() -> None:
    one, other = f"{'a' * 8}-0000-4000-8000-{'0' * 12}", f"{'b' * 8}-0000-4000-8000-{'0' * 12}"

    assert short_ids([one, other, one, "mine"]) == {
        one: "a" * 8,
        other: "b" * 8,
        "mine": "mine",
    }


def test_what_changed_since_the_last_look_is_a_line_for_each_node(failed: DagRun) -> None:
    before = failed.model_copy(deep=True)
    before.nodes = {"words": NodeExecution(run_id="1", node_label="words", status="running")}

    lines = text(changes(before, _at_rest(failed)))

    assert lines[0] == "words: completed after 1.0 s"
    assert "sizes[2]/size: failed after 1.0 s: ValueError: no c please" in lines
    assert lines[-1] == "total: not run"
    assert changes(failed, failed) == []


def test_the_json_of_a_run_has_its_nodes_attempts_and_the_runs_inside(
    store: DagProvenance, failed: DagRun
) -> None:
    store.load_io(failed)
    found = whole_run_as_json(failed, attempts_of(store, failed))

    assert json.loads(json.dumps(found)) == found
    assert {key: found[key] for key in ("status", "dag_nsref", "failed_node")} == {
        "status": "failed",
        "dag_nsref": "texts:count",
        "failed_node": "sizes",
    }
    nodes = {node["label"]: node for node in found["nodes"]}
    assert nodes["words"]["output"] == ["a", "bb", "c"]
    assert nodes["words"]["sub_dags"] is None
    inside = nodes["sizes"]["sub_dags"]["sizes[2]"]
    attempts = inside["nodes"][0]["attempts"]
    assert [(each["number"], each["status"]) for each in attempts] == [(1, "failed"), (2, "failed")]
    assert datetime.fromisoformat(found["started_at"]) == failed.started_at
    assert "nodes" not in run_as_json(failed)


def test_a_traceback_is_shown_without_the_frames_of_this_package(failed: DagRun) -> None:
    traceback = failed.nodes["sizes"].sub_dags["sizes[2]"].nodes["size"].error  # type: ignore[index]
    assert traceback is not None

    shown = without_own_frames(traceback)

    assert "attempt.py" in traceback
    assert "attempt.py" not in shown
    assert 'raise ValueError("no c please")' in shown
    assert exception_line(traceback) == "ValueError: no c please"
    assert exception_line("KeyError: 'x'") == "KeyError: 'x'"
    assert exception_line(None) == ""
