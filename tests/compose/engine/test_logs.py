"""Log records go to a file and the terminal, plain or JSON, with the run and node they are of."""

import io
import json
import logging
import re
import warnings
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import Dag, DagRunner, EngineConfig, LogConfig, Retry, StorageConfig
from lythonic_compose.engine.logs import RunLog, logged
from lythonic_compose.errors import ConfigError

USER = logging.getLogger("myapp.steps")


def fetch(url: str) -> str:
    USER.info("fetching %s", url, extra={"bytes": 7})
    return url


def parse(fetch: str) -> str:
    raise ValueError(f"cannot parse {fetch}")


def config(tmp_path: Path, **log: Any) -> EngineConfig:
    return EngineConfig(data=tmp_path, log=LogConfig(**log))


async def run_pipeline() -> str:
    """A run whose second node fails twice; its id."""
    dag = Dag()
    dag.node(fetch) >> dag.node(parse, retry=Retry(2, backoff=0))
    result = await DagRunner(dag, progress=RunLog()).run(
        {"fetch": {"url": "a://b"}}, dag_nsref="reports:daily"
    )
    return result.run_id


async def test_plain_records_bear_run_and_node(tmp_path: Path) -> None:
    terminal = io.StringIO()

    with logged(config(tmp_path), terminal):
        logging.getLogger("other").warning("outside of runs")
        run_id = await run_pipeline()

    lines = terminal.getvalue().splitlines()
    assert (tmp_path / "lyth.log").read_text() == terminal.getvalue()
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z ", line) for line in lines[:5])
    # a node's thread may be faster than the news of its run
    assert {line.partition("Z ")[2] for line in lines[:4]} == {
        "WARNING other outside of runs",
        f"INFO lythonic_compose.engine [{run_id}] reports:daily started",
        f"INFO myapp.steps [{run_id} fetch] fetching a://b",
        f"WARNING lythonic_compose.engine [{run_id} parse] attempt 1 failed, again in 0.0 s: "
        "ValueError: cannot parse a://b",
    }
    assert lines[4].endswith(f"[{run_id} parse] failed: ValueError: cannot parse a://b")
    assert lines[5] == "Traceback (most recent call last):"
    assert re.search(
        rf"ERROR lythonic_compose\.engine \[{run_id}\] reports:daily failed after \d\.\d s$",
        lines[-1],
    )


async def test_json_records_are_an_object_a_line_with_the_same(tmp_path: Path) -> None:
    with logged(config(tmp_path, format="json")):
        logging.getLogger("other").warning("outside\nof runs")
        run_id = await run_pipeline()

    records = [json.loads(line) for line in (tmp_path / "lyth.log").read_text().splitlines()]
    first, *news, again, failed, ended = records
    started, fetching = sorted(news, key=lambda record: str(record["logger"]))
    assert first["message"] == "outside\nof runs"
    assert (first["run_id"], first["path"], first["node_label"]) == (None, None, None)
    assert re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$", first["time"])
    assert (started["run_id"], started["node_label"]) == (run_id, None)
    assert fetching == {
        "time": fetching["time"],
        "level": "INFO",
        "logger": "myapp.steps",
        "message": "fetching a://b",
        "run_id": run_id,
        "path": "reports:daily",
        "node_label": "fetch",
        "bytes": 7,
    }
    assert (again["level"], again["node_label"]) == ("WARNING", "parse")
    assert failed["exception"].endswith("ValueError: cannot parse a://b")
    assert ended["level"] == "ERROR"


async def test_runs_inside_of_nodes_tell_of_their_failures_once(tmp_path: Path) -> None:
    dag = Dag()
    dag.node(lambda: ["a", "b"], "pages") >> dag.map(parse_one, "chunks")

    with logged(config(tmp_path, format="json")):
        await DagRunner(dag, progress=RunLog()).run()

    records = [json.loads(line) for line in (tmp_path / "lyth.log").read_text().splitlines()]
    messages = [record["message"] for record in records]
    assert messages[0] == "a Dag without a name started"
    assert messages[1] == "failed: ValueError: b"
    assert re.match(r"a Dag without a name failed after ", messages[2])
    assert len(messages) == 3


def parse_one(page: str) -> str:
    if page == "b":
        raise ValueError(page)
    return page


def test_levels_are_set_by_logger_and_are_what_they_were_afterwards(tmp_path: Path) -> None:
    quiet, root = logging.getLogger("myapp.quiet"), logging.getLogger()
    before = (root.level, quiet.level, list(root.handlers))

    with logged(config(tmp_path, level="error", levels={"myapp.quiet": "debug"})):
        logging.getLogger("myapp").warning("left out")
        quiet.debug("kept")
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn("a warning is a record", stacklevel=1)

    text = (tmp_path / "lyth.log").read_text()
    assert "DEBUG myapp.quiet kept" in text
    assert "left out" not in text
    assert (root.level, quiet.level, list(root.handlers)) == before


def test_warnings_are_records(tmp_path: Path) -> None:
    with logged(config(tmp_path)), warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("mind the gap", stacklevel=1)

    assert "UserWarning: mind the gap" in (tmp_path / "lyth.log").read_text()


def test_a_file_that_is_full_is_put_aside_and_the_oldest_go(tmp_path: Path) -> None:
    with logged(config(tmp_path, max_bytes=1000, backups=2)):
        for number in range(100):
            USER.info("a line of some length, number %s", number)

    names = sorted(path.name for path in tmp_path.glob("lyth.log*"))
    assert names == ["lyth.log", "lyth.log.1", "lyth.log.2"]
    assert all(path.stat().st_size <= 1000 for path in tmp_path.glob("lyth.log*"))
    assert "number 99" in (tmp_path / "lyth.log").read_text()


def test_no_file_is_written_where_none_is_wanted(tmp_path: Path) -> None:
    wanted = EngineConfig(data=tmp_path, storage=StorageConfig(log_file=None))

    with logged(wanted):
        USER.info("nowhere")

    assert list(tmp_path.iterdir()) == []


def test_a_file_that_cannot_be_written_is_said_with_its_key(tmp_path: Path) -> None:
    wanted = EngineConfig(data=tmp_path, storage=StorageConfig(log_file="no/where/x.log"))

    with (
        pytest.raises(ConfigError, match=r"^storage\.log_file: .* cannot be written: No such file"),
        logged(wanted),
    ):
        raise AssertionError("it is written nowhere")
