"""The demo, on a small environment that is made for it and on the one that the tests run in."""

import sqlite3
from importlib.metadata import distributions
from pathlib import Path

import pytest

from examples.environment_audit import steps
from examples.environment_audit.__main__ import build, main
from examples.environment_audit.steps import (
    Distribution,
    Need,
    Requirement,
    Unmet,
    normalised,
    parse_requirement,
    satisfies,
)
from lythonic_compose import DagRun, NodeExecution
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
def database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    site = tmp_path / "site"
    for name, metadata in ENVIRONMENT.items():
        folder = site / f"{name}.dist-info"
        folder.mkdir(parents=True)
        project, _, version = name.partition("-")
        head = f"Metadata-Version: 2.4\nName: {project}\nVersion: {version}\n"
        (folder / "METADATA").write_text(head + metadata.lstrip())
        (site / f"{project}.py").write_bytes(b"x" * 1000)
        (folder / "RECORD").write_text(f"{project}.py,,\n{folder.name}/METADATA,,\ngone.py,,\n")
    monkeypatch.setattr(steps, "distributions", lambda: distributions(path=[str(site)]))
    return tmp_path / "environment.db"


def test_an_environment_is_saved_as_typed_rows_and_the_run_beside_them(database: Path) -> None:
    for _ in range(2):
        main(database)

    with open_sqlite_db(database, readonly=True) as conn:
        app, lib = Distribution.select(conn, order_by="name")
        needs = app.children(conn, Requirement, order_by="needs")
        runs = DagRun.select(conn, order_by="-started_at")
        nodes = runs[0].children(conn, NodeExecution)
    assert (app.name, app.version, app.licence, app.summary) == ("app-one", "1.0", "MIT", "An app")
    assert (lib.name, lib.licence, lib.files) == ("lib-two", "BSD License", 2)
    assert lib.size > 1000
    assert [(need.needs, need.versions, need.condition) for need in needs] == [
        ("extra-only", "", 'extra == "more"'),
        ("gone", "", ""),
        ("lib-two", ">=2,<3", ""),
    ]
    assert [run.status for run in runs] == ["completed", "completed"]
    assert {node.node_label for node in nodes} == set(build().specs)
    assert all(node.duration is not None for node in nodes)


def test_what_is_needed_and_not_there_is_reported(database: Path) -> None:
    result = build().run_sync(database=database).raise_for_status()

    assert sorted(result[steps.find_unmet], key=lambda unmet: unmet.needs) == [
        Unmet(name="app-one", needs="gone", versions="", installed=None),
        Unmet(name="app-one", needs="lib-two", versions=">=2,<3", installed="1.9"),
    ]
    assert result[steps.count_licences] == {"MIT": 1, "BSD License": 1}


def test_it_prints_the_graph_the_report_and_the_history(
    database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main(database)
    printed = capsys.readouterr().out

    for line in (
        "   measure   read_requirements   │",
        "save               needs: list[Need]        read_requirements    type",
        "2 distributions, 3 requirements",
        "app-one               lib-two >=2,<3  1.9",
        "app-one               gone            (missing)",
        "read_requirements  save               needs      type",
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


def test_measuring_and_reading_requirements_wait_for_the_same_and_not_for_each_other() -> None:
    nodes = build().plan().nodes

    assert nodes["measure"].upstreams == nodes["read_requirements"].upstreams == ("installed",)


def test_every_requirement_of_this_environment_can_be_read() -> None:
    packages = steps.installed()

    assert "pydantic" in {package.name for package in packages}
    for need in steps.read_requirements(packages):
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
    assert parse_requirement("x", text) == Need(
        name="x", needs=needs, versions=versions, condition=condition
    )


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
