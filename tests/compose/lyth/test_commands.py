"""What do the commands do, and how does each of them answer people, programs and mistakes?"""

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import DagProvenance, DagRun
from lythonic_compose.dag_runner import new_run_id
from lythonic_compose.engine import Engine, EngineConfig, hold
from lythonic_compose.events import RunStatus
from tests.processes import Python

from .conftest import LYTH, Answer, Project

CONFIGURATION = """
namespace:
  - nsref: "texts:count"
    gref: "MODULE:count"
    triggers:
      - {name: nightly, schedule: "0 0 3 * * *", payload: {read: {text: "a b"}}}
      - name: rarely
        schedule: "0 3 * * *"
        enabled: false
        payload: {read: {text: "a b"}}
  - {nsref: "texts:flaky", gref: "MODULE:flaky"}
  - {nsref: "texts:slow", gref: "MODULE:slow"}
  - {type: cache, nsref: "texts:length", gref: "MODULE:length", min_ttl: 1, max_ttl: 2}
"""
CODE = """
import time
from datetime import date
from pathlib import Path
from lythonic_compose import Dag, DagPause

GATE = Path(__file__).parent / "gate"

def read(text: str, day: date = date(2026, 1, 31)) -> list[str]:
    return text.split()

def size(word: str) -> int:
    return len(word)

def total(sizes: list[int], most: int = 100) -> int:
    return sum(sizes)

def first(text: str = "x") -> str:
    return text

def second(text: str) -> str:
    if not GATE.exists():
        raise OSError("no gate")
    return text * 2

def wait(text: str = "x") -> str:
    while not GATE.exists():
        time.sleep(0.01)
    return text

def after(text: str) -> str:
    return text

def length(word: str, times: int = 1) -> int:
    return len(word) * times

with Dag() as count:
    count.node(read) >> count.map(size, "sizes") >> count.node(total)
with Dag() as flaky:
    flaky.node(first) >> flaky.node(second)
with Dag() as slow:
    slow.node(wait) >> slow.node(after)
"""


@pytest.fixture
def texts(project: Project) -> Project:
    """A Dag that counts, one that fails without a gate, and one that waits for it."""
    project.write(CONFIGURATION, CODE)
    return project


def open_gate(project: Project) -> None:
    (project.data / "gate").touch()


def until(condition: Callable[[], Any]) -> None:
    """Waits until something is so."""
    late = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < late, "it has not become so"
        time.sleep(0.01)


def history(project: Project) -> DagProvenance:
    return DagProvenance(project.data / "dags.db")


# --- init and check -------------------------------------------------------------------------


def test_init_writes_a_project_that_is_right_and_runs(
    tmp_path: Path, lyth: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    new = tmp_path / "new"

    written = lyth("init", str(new))

    assert written.lines == [f"wrote {new / 'lyth.yaml'}", f"wrote {new / 'pipelines.py'}"]
    assert lyth("check", "--data", str(new)).lines == ["no problems"]
    run = lyth("run", "disks:check", "-q", "-i", f"path={tmp_path}", "--data", str(new))
    assert (run.code, run.lines[1].split(" is ")[0]) == (0, f'judge: "{tmp_path}')
    sys.modules.pop("pipelines", None)


def test_init_overwrites_nothing(tmp_path: Path, lyth: Callable[..., Answer]) -> None:
    (tmp_path / "pipelines.py").write_text("mine")

    refused = lyth("init", "--data", str(tmp_path))

    assert refused.code == 2
    assert "pipelines.py is there already; nothing was written" in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["pipelines.py"]


def test_check_tells_every_problem_with_file_and_line(texts: Project) -> None:
    configuration = (texts.data / "lyth.yaml").read_text()
    broken = configuration.replace("0 0 3 * * *", "0 0 30 2 *").replace(":slow", ":slwo")
    texts.write(broken, CODE)

    checked = texts.lyth("check")
    programs = texts.lyth("check", "--json")

    assert (checked.code, checked.out) == (2, "")
    problems = programs.json["problems"]
    assert len(problems) == 2
    assert checked.err.splitlines() == ["Error: 2 problems:", *problems]
    assert all("lyth.yaml:" in problem for problem in problems)
    assert (programs.code, programs.json["ok"]) == (2, False)


# --- run ------------------------------------------------------------------------------------


def test_a_run_takes_inputs_of_any_type_and_tells_what_came_out(texts: Project) -> None:
    answer = texts.lyth("run", "texts:count", "-i", "read.text=a bb", "--input", "day=2026-02-01")

    assert answer.code == 0
    assert answer.lines[0].endswith(" completed")
    assert answer.lines[1] == "total: 3"
    assert "texts:count" in answer.err, "plain progress, since this is no terminal"
    with history(texts) as store:
        [run] = store.get_recent_runs()
        store.load_io(run)
    assert run.nodes["read"].io is not None
    assert run.nodes["read"].io.input_json == '{"text":"a bb","day":"2026-02-01"}'
    assert (run.dag_nsref, run.initiated_by or "")[0] == "texts:count"
    assert (run.initiated_by or "").startswith("cli")


def test_inputs_come_from_a_file_or_a_pipe_and_options_count_more(
    texts: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = texts.data / "in.json"
    file.write_text('{"read": {"text": "a bb ccc"}, "most": 7}')

    by_file = texts.lyth("run", "-q", "texts:count", "--input-json", str(file), "-i", "text=a")
    read_end, write_end = os.pipe()
    os.write(write_end, b'{"text": "a bb"}')
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        monkeypatch.setattr(sys, "stdin", pipe)
        by_pipe = texts.lyth("run", "-q", "texts:count", "--input-json", "-")

    assert [by_file.lines[1], by_pipe.lines[1]] == ["total: 1", "total: 3"]
    assert (by_file.err, by_pipe.err) == ("", "")


def test_the_json_of_a_run_has_its_outputs(texts: Project) -> None:
    answer = texts.lyth("run", "-q", "texts:count", "-i", "text=a bb", "--json")

    assert answer.json == {
        "run_id": answer.json["run_id"],
        "status": "completed",
        "failed_node": None,
        "error": None,
        "outputs": {"total": 3},
        "run_again": [],
    }


def test_a_run_that_fails_says_where_and_why_and_how_to_go_on(texts: Project) -> None:
    failed = texts.lyth("run", "-q", "texts:flaky", "-i", "first.text=ab")
    short = failed.lines[0].split()[1]

    assert failed.code == 1
    assert failed.lines == [
        f"run {short} failed",
        "second: OSError: no gate",
        f"lyth show {short} tells more, lyth restart {short} goes on",
    ]

    open_gate(texts)
    restarted = texts.lyth("restart", "-q", short)
    assert (restarted.code, restarted.lines) == (0, [f"run {short} completed", 'second: "abab"'])
    again = texts.lyth("restart", "-q", short)
    assert again.code == 2
    assert "has completed; " in again.err


def test_a_replay_runs_nodes_again_as_a_new_run(texts: Project) -> None:
    texts.lyth("run", "-q", "texts:count", "-i", "text=a bb")

    replayed = texts.lyth("replay", "-q", "last", "--node", "sizes", "--downstream", "--json")

    assert (replayed.code, replayed.json["outputs"]) == (0, {"total": 3})
    shown = texts.lyth("show", "last", "--json").json
    statuses = {node["label"]: node["status"] for node in shown["nodes"]}
    assert statuses == {"read": "skipped", "sizes": "completed", "total": "completed"}


@pytest.mark.parametrize(
    ("words", "number", "before"),
    [
        (("run", "texts:slow"), signal.SIGINT, None),
        (("run", "texts:slow"), signal.SIGTERM, None),
        (("fire", "texts:slow"), signal.SIGINT, None),
        (("fire", "texts:slow"), signal.SIGTERM, None),
        (("restart", "last"), signal.SIGINT, "failed"),
        (("restart", "last"), signal.SIGTERM, "failed"),
        (("replay", "last", "--node", "wait", "--downstream"), signal.SIGINT, "completed"),
        (("replay", "last", "--node", "wait", "--downstream"), signal.SIGTERM, "completed"),
        (("recover",), signal.SIGINT, "running"),
        (("recover",), signal.SIGTERM, "running"),
    ],
)
def test_a_signal_pauses_what_a_command_runs_and_a_restart_completes_it(
    texts: Project,
    caplog: pytest.LogCaptureFixture,
    words: tuple[str, ...],
    number: int,
    before: RunStatus | None,
) -> None:
    texts.write(CONFIGURATION.replace('MODULE:slow"', 'MODULE:slow", triggers: [{}]'), CODE)
    if before is not None:
        left_run(texts, "texts:slow", before)

    def interrupt() -> None:
        with history(texts) as store:
            until(lambda: any(run.nodes for run in store.get_active_runs()))
        os.kill(os.getpid(), number)
        until(lambda: "the run pauses" in caplog.text)
        open_gate(texts)

    interrupting = threading.Thread(target=interrupt)
    interrupting.start()
    paused = texts.lyth(*words, "-q")
    interrupting.join()

    assert (paused.code, "paused" in paused.lines[0]) == (1, True), paused
    (run,) = texts.lyth("runs", "--json", "--limit", "1").json
    assert run["status"] == "paused"
    assert texts.lyth("runs", "--status", "running").lines == ["no runs"]
    restarted = texts.lyth("restart", "-q", "last")
    assert (restarted.code, restarted.lines[1]) == (0, 'after: "x"')


def left_run(project: Project, nsref: str, status: RunStatus, number: int = 1) -> None:
    """A run of which nothing was recorded but that it began, by a process that is gone."""
    long_ago = datetime.now(UTC) - timedelta(days=1)
    with history(project) as store, store.open() as conn:
        DagRun(
            run_id=f"{number}{new_run_id()[1:]}",
            dag_nsref=nsref,
            status=status,
            started_at=long_ago + timedelta(seconds=number),
            owner="boot:1:2:3:gone",
            heartbeat_at=long_ago,
        ).insert(conn)
        conn.commit()


def test_the_fire_of_a_run_learns_how_its_restart_ended(texts: Project) -> None:
    texts.write(CONFIGURATION.replace('MODULE:flaky"', 'MODULE:flaky", triggers: [{}]'), CODE)
    assert texts.lyth("fire", "-q", "texts:flaky").code == 1
    (failed,) = texts.lyth("triggers", "fires", "--json").json
    open_gate(texts)
    assert texts.lyth("restart", "-q", "last").code == 0

    (completed,) = texts.lyth("triggers", "fires", "--json").json
    assert (failed["status"], failed["run_id"]) == ("failed", completed["run_id"])
    assert (completed["status"], completed["reason"]) == ("completed", None)


def test_a_run_that_has_completed_is_replayed_and_not_restarted(texts: Project) -> None:
    texts.lyth("run", "-q", "texts:count", "-i", "text=a bb")

    refused = texts.lyth("restart", "-q", "last")

    run_id = texts.lyth("runs", "--json").json[0]["run_id"]
    assert refused.code == 2
    assert f"has completed; `lyth replay {run_id} --node LABEL`" in refused.err


def test_what_a_fire_has_to_be_given_is_asked_for_as_an_option(texts: Project) -> None:
    configuration = CONFIGURATION.replace('payload: {read: {text: "a b"}}}\n', "}\n", 1)
    texts.write(configuration, CODE)

    refused = texts.lyth("fire", "nightly")
    checked = texts.lyth("check")

    assert refused.code == 2
    assert "the input 'text' of read is missing (str); give --input read.text=…" in refused.err
    assert texts.lyth("triggers", "fires").lines == ["no fires"]
    assert "give it in the payload: {read: {text: …}}" in checked.err
    assert texts.lyth("fire", "-q", "nightly", "-i", "text=a b").code == 0


def test_changed_code_is_refused_with_the_two_ways_to_go_on(texts: Project) -> None:
    texts.lyth("run", "-q", "texts:flaky")
    open_gate(texts)
    configuration = (texts.data / "lyth.yaml").read_text()
    other = CODE.replace("    return text\n\ndef second", "    return text + '!'\n\ndef second")
    texts.write(configuration, other)

    refused = texts.lyth("restart", "-q", "last")
    rerun = texts.lyth("restart", "-q", "last", "--on-change", "rerun")

    assert refused.code == 2
    assert "first completed then and changed since; `lyth restart " in refused.err
    assert "--on-change rerun` runs them" in refused.err
    assert (rerun.code, rerun.lines[1]) == (0, 'second: "x!x!"')


def test_recover_goes_on_with_what_was_abandoned_and_says_what_it_left(texts: Project) -> None:
    left_run(texts, "texts:flaky", "running", 1)
    left_run(texts, "texts:gone", "running", 2)
    open_gate(texts)

    listed = texts.lyth("runs", "--status", "abandoned", "--json").json
    recovered = texts.lyth("recover", "-q", "--json")

    assert [(run["run_id"][0], run["status"], run["abandoned"]) for run in listed] == [
        ("2", "running", True),
        ("1", "running", True),
    ]
    assert recovered.code == 1
    found = recovered.json
    assert [(run["run_id"][0], run["status"]) for run in found["continued"]] == [("1", "completed")]
    assert [(run["run_id"][0], run["reason"]) for run in found["left"]] == [("2", "unknown")]
    assert texts.lyth("runs", "--status", "running").lines == ["no runs"]


# --- runs and show --------------------------------------------------------------------------


def test_runs_are_filtered_by_status_dag_and_time(texts: Project) -> None:
    for nsref in ("texts:flaky", "texts:count", "texts:count"):
        texts.lyth("run", "-q", nsref, "-i", f"{'first' if 'fl' in nsref else 'read'}.text=a")

    def found(*words: str) -> list[str]:
        return [run["dag_nsref"] for run in texts.lyth("runs", "--json", *words).json]

    assert found() == ["texts:count", "texts:count", "texts:flaky"]
    assert found("--status", "failed") == ["texts:flaky"]
    assert found("--dag", "texts:count") == ["texts:count"] * 2
    assert found("--dag", "texts:", "-n", "2") == ["texts:count"] * 2
    assert found("--dag", "tex") == []
    assert found("--since", "1h") != []
    assert found("--since", "2999-01-01") == []
    table = texts.lyth("runs")
    assert [line.split()[1] for line in table.lines] == ["DAG", *["texts:count"] * 2, "texts:flaky"]
    assert "second: OSError: no gate" in table.lines[3]


def test_a_run_is_named_by_the_beginning_of_its_id(texts: Project) -> None:
    now = datetime.now(UTC)
    with history(texts) as store, store.open() as conn:
        for run_id in ("aaaa1", "aaab2", "aaab"):
            DagRun(run_id=run_id, status="completed", started_at=now).insert(conn)
        inside = DagRun(run_id="ccc1", status="completed", started_at=now, parent_run_id="aaaa1")
        inside.insert(conn)
        conn.commit()

    def shown(text: str) -> str:
        answer = texts.lyth("show", text, "--json")
        return answer.json["run_id"] if answer.code == 0 else answer.err

    assert shown("aaaa") == "aaaa1"
    assert shown("aaab") == "aaab", "an id that is whole is meant"
    assert shown("ccc") == "ccc1", "a run inside of another one, too"
    assert "several runs begin with 'aa': " in shown("aa")
    assert "there is no run 'b'" in shown("b")
    assert "the id of a run is missing" in shown("")


def test_last_is_the_newest_run_where_there_is_one(texts: Project) -> None:
    assert "there is no run yet" in texts.lyth("show", "last").err
    texts.lyth("run", "-q", "texts:count", "-i", "text=a bb")
    assert texts.lyth("show", "last").lines[2] == "dag: texts:count"


def test_show_has_the_tree_the_values_and_for_programs_everything(texts: Project) -> None:
    texts.lyth("run", "-q", "texts:count", "-i", "text=a bb")

    plain = texts.lyth("show", "last")
    with_io = texts.lyth("show", "last", "--io")
    programs = texts.lyth("show", "last", "--io", "--json").json

    assert [line.split()[:2] for line in plain.lines[5:]] == [
        ["NODE", "STATUS"],
        ["read", "completed"],
        ["sizes", "completed"],
        ["[0]", "completed"],
        ["[1]", "completed"],
        ["total", "completed"],
    ]
    assert '    out: ["a","bb"]' in with_io.lines
    assert programs["sink_outputs"] == {"total": 3}
    assert programs["nodes"][1]["sub_dags"]["sizes[1]"]["nodes"][0]["output"] == 2


def test_show_follows_a_run_to_its_end_and_exits_as_it_did(texts: Project) -> None:
    running = threading.Thread(target=_run_slowly, args=(texts,))
    running.start()
    try:
        with history(texts) as store:
            until(lambda: any(run.nodes for run in store.get_active_runs()))
        follower = Python(LYTH, "show", "last", "--follow", "--data", str(texts.data))
        first = follower.stdout.readline()
        open_gate(texts)
        rest, _ = follower.communicate()
    finally:
        open_gate(texts)
        running.join()

    assert first == "wait: running\n"
    assert follower.returncode == 0
    assert "after: completed after" in rest
    assert re.search(r"^run .* completed$", rest, re.MULTILINE)


def test_ctrl_c_ends_what_carries_out_no_run(texts: Project) -> None:
    with history(texts) as store:
        store.create_run("endless", "texts:slow", {})
        store.record_node_start("endless", "wait", None)

        follower = Python(LYTH, "show", "endless", "--follow", "--data", str(texts.data))
        first = follower.stdout.readline()
        os.kill(follower.pid, signal.SIGINT)
        _, complaints = follower.communicate()

    assert first == "wait: running\n"
    assert (follower.returncode, complaints) == (130, "")


def _run_slowly(project: Project) -> None:
    with Engine(EngineConfig.load(data=project.data)) as engine:
        engine.runner_of("texts:slow").run_sync(dag_nsref="texts:slow")


def test_a_failed_run_that_is_followed_is_a_failure_and_one_that_is_shown_is_not(
    texts: Project,
) -> None:
    texts.lyth("run", "-q", "texts:flaky")

    assert texts.lyth("show", "last").code == 0
    assert texts.lyth("show", "last", "--follow").code == 1
    assert texts.lyth("show", "last", "--follow", "--json").json["status"] == "failed"


# --- graph ----------------------------------------------------------------------------------


def test_a_graph_is_drawn_in_each_form(texts: Project) -> None:
    drawn = {
        form: texts.lyth("graph", "texts:count", "--format", form).out
        for form in ("ascii", "mermaid", "dot")
    }
    programs = texts.lyth("graph", "texts:count", "--json").json

    assert "sizes [map" in drawn["ascii"]
    assert drawn["mermaid"].startswith("flowchart TD")
    assert drawn["dot"].startswith("digraph")
    assert [node["label"] for node in programs["nodes"]] == ["read", "sizes", "total"]
    assert programs["edges"][0] == {
        "upstream": "read",
        "downstream": "sizes",
        "param": "word",
        "rule": "type",
    }
    assert programs["inputs"][0] == {
        "node": "read",
        "param": "text",
        "type": "str",
        "required": True,
    }


# --- triggers -------------------------------------------------------------------------------


def test_triggers_are_listed_before_an_engine_has_ever_run(texts: Project) -> None:
    listed = texts.lyth("triggers", "list", "--json").json

    assert [(each["name"], each["nsref"], each["state"]) for each in listed] == [
        ("nightly", "texts:count", "on"),
        ("rarely", "texts:count", "off"),
    ]
    assert listed[0]["next_tick"] > datetime.now(UTC).isoformat()
    assert (listed[0]["last_fire"], listed[1]["next_tick"]) == (None, None)
    table = texts.lyth("triggers")
    assert [line.split()[0] for line in table.lines] == ["TRIGGER", "nightly", "rarely"]


def test_a_trigger_that_is_disabled_stays_so_until_it_is_enabled(texts: Project) -> None:
    def state() -> str:
        return texts.lyth("triggers", "--json").json[0]["state"]

    assert texts.lyth("triggers", "disable", "nightly").lines == ["nightly is disabled"]
    assert state() == "disabled"
    assert texts.lyth("triggers", "enable", "nightly").lines == ["nightly is enabled"]
    assert state() == "on"
    assert "did you mean 'nightly'?" in texts.lyth("triggers", "disable", "nigthly").err


def test_a_trigger_is_fired_by_hand_with_its_payload_or_another_one(texts: Project) -> None:
    by_payload = texts.lyth("fire", "-q", "nightly")
    by_hand = texts.lyth("fire", "-q", "nightly", "-i", "read.text=a", "-i", "day=2026-03-01")
    fires = texts.lyth("triggers", "fires", "nightly", "--json").json

    assert (by_payload.code, by_payload.lines[1]) == (0, "total: 2")
    assert (by_hand.code, by_hand.lines[1]) == (0, "total: 1")
    assert [(fire["kind"], fire["status"]) for fire in fires] == [("manual", "completed")] * 2
    shown = texts.lyth("show", fires[0]["run_id"], "--io", "--json").json
    assert shown["source_inputs"] == {"read": {"text": "a", "day": "2026-03-01"}}
    assert shown["initiated_by"] == "trigger:nightly"
    assert [line.split()[0] for line in texts.lyth("triggers", "fires").lines] == [
        *("TRIGGER", "nightly", "nightly")
    ]
    assert "there is no trigger 'nihgtly'" in texts.lyth("triggers", "fires", "nihgtly").err


def test_the_payload_of_a_trigger_is_that_of_the_configuration_now(texts: Project) -> None:
    texts.lyth("fire", "-q", "nightly")
    configuration = (texts.data / "lyth.yaml").read_text()
    texts.write(configuration.replace('"a b"', '"a b ccc"'), CODE)

    assert texts.lyth("fire", "-q", "nightly").lines[1] == "total: 5"


# --- status, start, stop --------------------------------------------------------------------


def test_status_says_whether_an_engine_runs_and_what_the_runs_came_to(texts: Project) -> None:
    texts.lyth("run", "-q", "texts:flaky")
    texts.lyth("run", "-q", "texts:count", "-i", "text=a")

    idle = texts.lyth("status")
    with hold(texts.data):
        programs = texts.lyth("status", "--json").json

    assert [line.split(maxsplit=1)[0] for line in idle.lines] == [
        *("engine", "data", "runs", "last", "triggers")
    ]
    assert idle.lines[0].endswith("not running")
    assert idle.lines[3].endswith("1 completed, 1 failed")
    assert programs["engine"]["pid"] == os.getpid()
    assert (programs["runs"]["failed"], programs["triggers"]["off"]) == (1, 1)


def test_there_is_no_stopping_of_what_does_not_run_and_no_second_start(texts: Project) -> None:
    stopped = texts.lyth("stop")
    with hold(texts.data):
        started = texts.lyth("start")

    assert (stopped.code, started.code) == (2, 2)
    assert "no engine runs on" in stopped.err
    assert f"process {os.getpid()} on" in started.err


# --- cache and prune ------------------------------------------------------------------------


def test_caches_are_listed_with_their_hits_and_forget_what_is_asked(texts: Project) -> None:
    with Engine(EngineConfig.load(data=texts.data)) as engine:
        length = engine.namespace.get("texts:length")
        for word in ("a", "bb", "a", "bb", "ccc"):
            length(word)

    [listed] = texts.lyth("cache", "list", "--json").json
    assert listed == {
        "nsref": "texts:length",
        "hits": 2,
        "misses": 3,
        "entries": 3,
        "min_ttl_seconds": 86400.0,
        "max_ttl_seconds": 172800.0,
    }
    assert texts.lyth("cache").lines[1].split() == ["texts:length", "2", "3", "3"]
    one = texts.lyth("cache", "invalidate", "texts:length", "word=a", "times=1")
    assert one.lines == ["forgot 1 results of texts:length"]
    assert texts.lyth("cache", "invalidate", "texts:length", "--all", "--json").json == {
        "forgotten": 2
    }


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("texts:length",), "say which entries go, as PARAM=VALUE, or --all"),
        (("texts:length", "word"), "'word': write it as parameter=value"),
        (("texts:length", "times=x"), "times: it is to be int, got 'x'"),
        (("texts:length", "wrod=a"), "did you mean 'word'?"),
        (("texts:count", "--all"), "texts:count is not cached"),
    ],
)
def test_what_cannot_be_invalidated_is_refused(
    texts: Project, words: tuple[str, ...], said: str
) -> None:
    answer = texts.lyth("cache", "invalidate", *words)

    assert answer.code == 2
    assert said in answer.err


def test_prune_removes_what_is_old_and_says_so_before_on_request(texts: Project) -> None:
    for _ in range(3):
        texts.lyth("run", "-q", "texts:count", "-i", "text=a bb")

    before = texts.lyth("prune", "--keep-last", "1", "--dry-run")
    pruned = texts.lyth("prune", "--keep-last", "1", "--json").json
    nothing = texts.lyth("prune", "--older-than", "30d")

    assert before.lines[0].startswith("would remove 2 runs with 4 inside of them")
    assert (len(pruned["runs"]), pruned["nested"], pruned["dry_run"]) == (2, 4, False)
    assert nothing.lines[0].startswith("removed 0 runs")
    assert len(texts.lyth("runs", "--json").json) == 1
    assert "say which runs go: --older-than, --keep-last, or both" in texts.lyth("prune").err


# --- mistakes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("run", "texts:cuont"), "nothing is registered as 'texts:cuont'; did you mean"),
        (("run", "texts:length"), "texts:length is"),
        (("run", "texts:count"), "the input 'text' of read is missing (str); give --input read.t"),
        (("run", "texts:count", "-i", "txet=a"), "did you mean 'text'?"),
        (("run", "texts:count", "--input-json", "/nowhere"), "/nowhere: No such file"),
        (("graph", "texts:none"), "nothing is registered as 'texts:none'"),
        (("runs", "--since", "soon"), "'soon' is no moment; write how long ago"),
        (("runs", "--status", "done"), "Invalid value for '--status'"),
        (("prune", "--older-than", "30"), "'30' is no length of time; write 90s"),
        (("replay", "last"), "Missing option '--node'"),
        (("rnu",), "No such command 'rnu'"),
        (("fire", "none"), "there is no trigger 'none'; there are: nightly, rarely"),
    ],
)
def test_a_mistake_is_one_message_and_exit_code_2(
    texts: Project, words: tuple[str, ...], said: str
) -> None:
    answer = texts.lyth(*words)

    assert (answer.code, answer.out) == (2, "")
    assert said in answer.err
    assert "Traceback" not in answer.err


def test_an_import_error_names_the_line_of_the_module_and_debug_shows_the_traceback(
    texts: Project,
) -> None:
    configuration = (texts.data / "lyth.yaml").read_text()
    texts.write(configuration, CODE + "\nnope\n")
    line = len(CODE.splitlines()) + 2

    short = texts.lyth("run", "texts:count", "-i", "text=a")
    long = texts.lyth("run", "texts:count", "-i", "text=a", "--debug")

    assert (short.code, long.code) == (2, 2)
    [message] = short.err.splitlines()
    assert message.startswith("Error: ")
    assert "NameError: name 'nope' is not defined" in message
    assert f"{texts.module}.py:{line}" in message
    assert "Traceback" in long.err


def test_the_options_of_every_command_stand_before_or_behind_it(
    texts: Project, lyth: Callable[..., Answer]
) -> None:
    file = str(texts.data / "lyth.yaml")

    for words in (
        ("--data", str(texts.data), "runs"),
        ("runs", "--data", str(texts.data)),
        ("--config", file, "runs"),
        ("triggers", "--config", file, "fires"),
        ("--data", "/nowhere", "triggers", "fires", "--data", str(texts.data)),
    ):
        answer = lyth(*words)
        assert (answer.code, answer.lines[0].split()[0]) == (0, "no"), words


def test_without_a_configuration_the_way_to_one_is_told(
    tmp_path: Path, lyth: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    answer = lyth("runs")

    assert answer.code == 2
    assert "`lyth init` writes one" in answer.err


def test_without_a_command_there_is_help(lyth: Callable[..., Answer]) -> None:
    answer = lyth()

    assert answer.code == 2
    assert "Usage: lyth [OPTIONS] COMMAND" in answer.out + answer.err


def test_a_missing_extra_is_named(
    lyth: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("lythonic_compose.lyth.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "typer", None)  # type: ignore[arg-type]
    monkeypatch.delattr("lythonic_compose.lyth.commands")

    answer = lyth("runs")

    assert answer.code == 2
    assert "lyth needs typer: pip install 'lythonic-state[engine]'" in answer.err


def test_every_reading_command_writes_json(texts: Project) -> None:
    texts.lyth("run", "-q", "texts:count", "-i", "text=a bb")
    commands: list[tuple[str, ...]] = [
        *(("check",), ("status",), ("runs",), ("show", "last"), ("graph", "texts:count")),
        *(("triggers",), ("triggers", "list"), ("triggers", "fires"), ("cache",)),
        *(("cache", "list"), ("prune", "--keep-last", "9", "--dry-run")),
    ]

    for words in commands:
        answer = texts.lyth(*words, "--json")
        found: Any = json.loads(answer.out)
        assert answer.code == 0, words
        assert isinstance(found, (list, dict)), words


# --- where things are kept ------------------------------------------------------------------


def test_a_history_on_postgresql_answers_as_one_in_a_file(texts: Project, pg_url: str) -> None:
    configuration = (texts.data / "lyth.yaml").read_text()
    storage = f'storage: {{dags_db: "{pg_url}", triggers_db: "{pg_url}"}}\n'
    texts.write(storage + configuration, CODE)

    failed = texts.lyth("run", "-q", "texts:flaky")
    short = failed.lines[0].split()[1]
    open_gate(texts)
    restarted = texts.lyth("restart", "-q", short)
    fired = texts.lyth("fire", "-q", "nightly")
    texts.lyth("triggers", "disable", "nightly")

    assert (failed.code, restarted.code, fired.code) == (1, 0, 0)
    runs = texts.lyth("runs", "--since", "1h", "--dag", "texts:", "--json").json
    assert [run["dag_nsref"] for run in runs] == ["texts:count", "texts:flaky"]
    assert texts.lyth("show", short, "--io").lines[0].split()[2] == "completed"
    assert texts.lyth("status", "--json").json["runs"]["completed"] == 2
    assert texts.lyth("triggers", "--json").json[0]["state"] == "disabled"
    assert len(texts.lyth("prune", "--keep-last", "0", "--json").json["runs"]) == 2
    assert not (texts.data / "dags.db").exists()


def test_a_file_that_is_no_database_is_named(texts: Project) -> None:
    (texts.data / "dags.db").write_text("these are my notes, and no database at all" * 99)

    answer = texts.lyth("runs")

    assert answer.code == 2
    assert str(texts.data / "dags.db") in answer.err
    assert "Traceback" not in answer.err


def test_a_configuration_that_makes_no_sense_is_told_by_every_command(texts: Project) -> None:
    texts.write("namespase: []\nlog: {level: loud}\n", CODE)

    for words in (("runs",), ("status",), ("run", "texts:count"), ("start",), ("check",)):
        answer = texts.lyth(*words)
        assert answer.code == 2
        assert answer.err.splitlines()[0] == "Error: 2 problems:", words
        assert "lyth.yaml:1: namespase: there is no such key; did you mean 'namespace'?" in (
            answer.err
        )


def test_a_secret_that_was_not_kept_is_asked_for_as_an_option(texts: Project) -> None:
    code = CODE.replace(
        'def first(text: str = "x") -> str:',
        "from typing import Annotated\nfrom lythonic_compose import Secret\n"
        "def first(text: Annotated[str, Secret()]) -> str:\n"
        "    if not GATE.exists(): raise OSError('no gate')",
    )
    texts.write((texts.data / "lyth.yaml").read_text(), code)
    texts.lyth("run", "-q", "texts:flaky", "-i", "first.text=hidden")
    open_gate(texts)

    refused = texts.lyth("restart", "-q", "last")
    given = texts.lyth("restart", "-q", "last", "-i", "first.text=hidden")

    assert refused.code == 2
    assert "give them to `lyth restart` again: --input first.text=…" in refused.err
    assert "source_inputs" not in refused.err
    assert (given.code, given.lines[1]) == (0, 'second: "hiddenhidden"')


def test_a_run_inside_of_another_one_is_shown_and_not_restarted(texts: Project) -> None:
    texts.lyth("run", "-q", "texts:count", "-i", "text=a bb")
    whole = texts.lyth("show", "last", "--json").json
    inside = whole["nodes"][1]["sub_dags"]["sizes[1]"]["run_id"]

    shown = texts.lyth("show", inside)
    restarted = texts.lyth("restart", inside)

    assert shown.lines[2:4] == [
        "dag: texts:count/sizes[1]",
        f"inside of: {whole['run_id']}",
    ]
    assert restarted.code == 2
    assert f"is a part of run {whole['run_id']}" in restarted.err
