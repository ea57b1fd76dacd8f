"""The demo, on a small environment that is made for it and on the one that the tests run in."""

import hashlib
import re
import signal
import sqlite3
import subprocess
import sys
from base64 import urlsafe_b64encode
from importlib.metadata import distributions
from pathlib import Path

import pytest

from examples.environment_audit import steps
from examples.environment_audit.__main__ import build, main
from examples.environment_audit.steps import (
    Damage,
    Dependence,
    Distribution,
    File,
    Need,
    Requirement,
    Unmet,
    normalised,
    parse_requirement,
    satisfies,
)
from lythonic_compose import DagRun, NodeAttempt, NodeExecution
from lythonic_state import open_sqlite_db

ENVIRONMENT = {
    "App_One-1.0": """
License-Expression: MIT
Summary: An app
Requires-Dist: lib-two[fast] (>=2,<3)
Requires-Dist: gone
Requires-Dist: extra-only; extra == "more"
""",
    "lib_two-1.9": """
Classifier: Topic :: Database
Classifier: License :: OSI Approved :: BSD License
""",
}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site"
    digest = urlsafe_b64encode(hashlib.sha256(b"x" * 1000).digest()).rstrip(b"=").decode()
    for name, metadata in ENVIRONMENT.items():
        folder = site / f"{name}.dist-info"
        folder.mkdir(parents=True)
        project, _, version = name.partition("-")
        head = f"Metadata-Version: 2.4\nName: {project}\nVersion: {version}\n"
        (folder / "METADATA").write_text(head + metadata.lstrip())
        (site / f"{project}.py").write_bytes(b"x" * 1000)
        (folder / "RECORD").write_text(
            f"{project}.py,sha256={digest},1000\n{folder.name}/METADATA,,\n"
        )
    monkeypatch.setattr(steps, "distributions", lambda: distributions(path=[str(site)]))
    return site


@pytest.fixture
def database(site: Path) -> Path:
    return site.parent / "environment.db"


def test_an_environment_is_saved_as_typed_rows_and_the_run_beside_them(database: Path) -> None:
    for _ in range(2):
        main(database)

    with open_sqlite_db(database, readonly=True) as conn:
        app, lib = Distribution.select(conn, order_by="name")
        needs = app.children(conn, Requirement, order_by="needs")
        files = lib.children(conn, File, order_by="path")
        runs = DagRun.select(conn, parent_run_id=None, order_by="-started_at")
        nodes = runs[0].children(conn, NodeExecution)
        audits = DagRun.select(conn, parent_run_id=runs[0].run_id, order_by="map_key")
    assert (app.name, app.version, app.licence, app.summary) == ("app-one", "1.0", "MIT", "An app")
    assert (lib.name, lib.licence) == ("lib-two", "BSD License")
    assert [(file.path, file.state) for file in files] == [
        ("lib_two-1.9.dist-info/METADATA", "unchecked"),
        ("lib_two.py", "intact"),
    ]
    assert lib.size == 1000 + files[0].size
    assert [(need.needs, need.versions, need.condition) for need in needs] == [
        ("extra-only", "", 'extra == "more"'),
        ("gone", "", ""),
        ("lib-two", ">=2,<3", ""),
    ]
    assert [run.status for run in runs] == ["completed", "completed"]
    assert {node.node_label for node in nodes} == {
        *("installed", "audit", "save", "resolve", "find_unmet", "find_damage", "find_largest"),
        "count_licences",
    }
    assert all(node.duration is not None for node in nodes)
    assert [audit.path for audit in audits] == [
        "examples:environment_audit/audit[0]",
        "examples:environment_audit/audit[1]",
    ]


def test_the_second_run_audits_only_what_has_changed(
    site: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(database)
    assert "0 audits came from the cache" in capsys.readouterr().out
    main(database)
    assert "2 audits came from the cache" in capsys.readouterr().out

    changed = site / "lib_two.py"
    changed.write_bytes(b"y")
    (site / "App_One.py").unlink()
    main(database)
    printed = capsys.readouterr().out
    assert "0 audits came from the cache" in printed
    result = build(steps.audit, steps.count_licences).run_sync(database=database)
    assert result[steps.find_damage] == [
        Damage(name="app-one", path="App_One.py", state="missing"),
        Damage(name="lib-two", path="lib_two.py", state="changed"),
    ]


def test_a_step_that_breaks_is_mended_and_nothing_else_runs_again(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(database, breaks=True)
    printed = capsys.readouterr().out

    assert "failed at count_licences: RuntimeError: this step is broken" in printed
    with open_sqlite_db(database, readonly=True) as conn:
        (run,) = DagRun.select(conn, parent_run_id=None)
        nodes = run.children(conn, NodeExecution)
        attempts = {
            node.node_label: [each.status for each in node.children(conn, NodeAttempt)]
            for node in nodes
        }
    assert run.status == "completed"
    assert attempts.pop("count_licences") == ["failed", "completed"]
    assert set(map(tuple, attempts.values())) == {("completed",)}


KILLED = """
import sys
from importlib.metadata import distributions
from pathlib import Path
from examples.environment_audit import __main__, steps

steps.distributions = lambda: distributions(path=[sys.argv[1]])
__main__.main(Path(sys.argv[2]), kills=True)
"""


def test_a_call_that_kills_itself_is_finished_by_the_next(
    site: Path, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(site), str(database)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert killed.returncode == -signal.SIGKILL
    assert re.search(r"[12] of 2 audits are done; kill -9 \d+", killed.stdout)

    main(database, kills=True)  # the run is finished, and nothing is killed
    printed = capsys.readouterr().out
    assert re.search(
        r"run \S+ was killed; it goes on\nnot done again: installed, [12] aud", printed
    )
    assert "2 distributions, 3 requirements, 4 files" in printed
    with open_sqlite_db(database, readonly=True) as conn:
        (run,) = DagRun.select(conn, parent_run_id=None)
        completed = NodeAttempt.select(conn, status="completed")
        nodes = {node.node_execution_id: node for node in NodeExecution.select(conn)}
    assert run.status == "completed"
    labels = [nodes[attempt.node_execution_id].node_label for attempt in completed]
    assert labels.count("installed") == 1
    assert len(labels) == len(nodes) == 10, "each node has completed once"


def test_what_is_needed_and_not_there_is_reported(database: Path) -> None:
    dag = build(steps.audit, steps.count_licences)
    result = dag.run_sync(database=database).raise_for_status()

    assert sorted(result[steps.find_unmet], key=lambda unmet: unmet.needs) == [
        Unmet(name="app-one", needs="gone", versions="", installed=None),
        Unmet(name="app-one", needs="lib-two", versions=">=2,<3", installed="1.9"),
    ]
    assert result[steps.count_licences] == {"MIT": 1, "BSD License": 1}
    assert result[steps.resolve] == [
        Dependence(name="app-one", direct=1, all=1, needed_by=0),
        Dependence(name="lib-two", direct=0, all=0, needed_by=1),
    ]


def test_it_prints_the_graph_the_report_and_the_history(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(database)
    printed = capsys.readouterr().out

    for line in (
        "audit [map]",
        "save            audits: list[Audit]  audit                  type",
        "2 distributions, 3 requirements, 4 files",
        "app-one               lib-two >=2,<3  1.9",
        "app-one               gone            -",
        "audit      save            audits     type",
    ):
        assert line in printed
    assert "examples:environment_audit  completed" in printed


def test_the_file_opens_with_sqlite3(database: Path) -> None:
    main(database)

    plain = sqlite3.connect(database)
    try:
        assert plain.execute('SELECT name FROM "Distribution" ORDER BY name').fetchall() == [
            ("app-one",),
            ("lib-two",),
        ]
    finally:
        plain.close()


@pytest.mark.no_cover
def test_every_requirement_of_this_environment_can_be_read() -> None:
    by_name = {found["name"]: found for found in steps.installed()}

    pydantic = by_name["pydantic"]
    audit = steps.audit(**pydantic)
    assert {file.state for file in audit.files} == {"intact", "unchecked"}
    for distribution in distributions():
        for text in distribution.requires or ():
            need = parse_requirement(text)
            assert need.needs == normalised(need.needs)
            satisfies("1.0", need.versions)


@pytest.mark.parametrize(
    ("text", "needs", "versions", "condition"),
    [
        ("pytest", "pytest", "", ""),
        ("Typing_Extensions>=4.6 ; python_version < '3.13'", "typing-extensions", ">=4.6",
         "python_version < '3.13'"),
        ("psycopg[binary, pool] >=3.2,<4", "psycopg", ">=3.2,<4", ""),
        ("zope.interface (==5.*)", "zope-interface", "==5.*", ""),
    ],
)  # fmt: skip
def test_a_requirement_is_taken_apart(text: str, needs: str, versions: str, condition: str) -> None:
    assert parse_requirement(text) == Need(needs=needs, versions=versions, condition=condition)


@pytest.mark.parametrize(
    ("version", "wanted", "verdict"),
    [
        ("2.1", "", True),
        ("2.1", ">=2,<3", True),
        ("3", ">=2,<3", False),
        ("3.0", "==3", True),
        ("3.0.1", "==3", False),
        ("3.0.1", "==3.*", True),
        ("3.1", "!=3.1.*", False),
        ("2.2", "~=2.1", True),
        ("2.0", "~=2.1", False),
        ("3.0", "~=2.1", False),
        ("2.10", ">2.9", True),
        ("2.9", "<=2.9.0", True),
        ("2.0rc1", ">=2", None),
        ("2.0", ">=2.0rc1", None),
        ("1.0", ">=2,!=1.0rc1", False),
    ],
)
def test_versions_of_numbers_are_compared_and_others_are_not_judged(
    version: str, wanted: str, verdict: bool | None
) -> None:
    assert satisfies(version, wanted) is verdict
