"""A configuration at work: each part is made when it is asked for, and says where it is wrong."""

import sys
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import Engine, EngineConfig
from lythonic_compose.errors import ConfigError, NotRegistered
from tests.compose.engine.conftest import Project
from tests.compose.engine.test_checking import STAND_INS
from tests.compose.engine.test_config import CONTRACT


def engine_of(project: Project, files: dict[str, str], **options: Any) -> Engine:
    return Engine(EngineConfig.load(data=project(files)), **options)


async def test_the_example_of_the_documentation_runs_and_is_recorded(project: Project) -> None:
    with engine_of(project, {"lyth.yaml": CONTRACT, **STAND_INS}) as engine:
        result = await engine.runner_of("reports:daily").run(dag_nsref="reports:daily")

        assert result.outputs == {"fetch": "https://example.com"}
        (run,) = engine.provenance.get_recent_runs()
        assert (run.run_id, run.dag_nsref) == (result.run_id, "reports:daily")
        assert engine.namespace.market.price("ACME") == 1.0
        assert engine.namespace.get("market:price").stats().misses == 1
        assert engine.namespace.downloads.fetch("x") == "x"
        assert engine.on_failure is not None
        assert engine.on_failure.__name__ == "notify"

    files = {path.name for path in project({}).iterdir()}
    assert {"dags.db", "cache.db"} <= files
    assert "triggers.db" not in files


def test_nothing_of_the_user_is_imported_before_it_is_asked_for(project: Project) -> None:
    files = {
        "lyth.yaml": "namespace: [{nsref: 'a:b', gref: 'falls_over:b'}]",
        "falls_over.py": "raise RuntimeError('imported')\n",
    }
    with engine_of(project, files) as engine:
        assert engine.provenance.get_recent_runs() == []
        assert [str(node.nsref) for node in engine.namespace] == ["a:b"]
        assert "falls_over" not in sys.modules


@pytest.mark.parametrize(
    ("nsref", "problem"),
    [
        ("a:falls", ":2: namespace[0].gref: falls_over:b: importing falls_over failed: "),
        ("a:falls", "RuntimeError: imported (falls_over.py:1)"),
        ("a:none", ":3: namespace[1].gref: steps:nothing: steps has no 'nothing'"),
        ("a:function", ":4: namespace[2].gref: a:function is <function fetch"),
        ("a:factory", ":5: namespace[3].gref: ZeroDivisionError: division by zero (steps.py:4)"),
    ],
)
def test_what_no_dag_can_be_made_of_says_where(project: Project, nsref: str, problem: str) -> None:
    files = {
        "lyth.yaml": """\
            namespace:
              - {nsref: "a:falls", gref: "falls_over:b"}
              - {nsref: "a:none", gref: "steps:nothing"}
              - {nsref: "a:function", gref: "steps:fetch"}
              - {nsref: "a:factory", gref: "steps:factory__"}
            """,
        "falls_over.py": "raise RuntimeError('imported')\n",
        "steps.py": "def fetch(): ...\n\ndef factory() -> int:\n    return 1 / 0\n",
    }
    with engine_of(project, files) as engine, pytest.raises(ConfigError) as caught:
        engine.runner_of(nsref)

    assert problem in str(caught.value)


def test_a_path_where_nothing_stands_names_the_nearest(project: Project) -> None:
    with (
        engine_of(project, {"lyth.yaml": CONTRACT, **STAND_INS}) as engine,
        pytest.raises(NotRegistered, match="did you mean 'reports:daily'"),
    ):
        engine.dag_of("reports:dayly")


def test_entries_that_make_no_sense_are_all_said(project: Project) -> None:
    text = (
        "namespace:\n- {nsref: 'a:b', gref: 'json:dumps'}\n" + "- {nsref: 'a:b', gref: 'm:x'}\n" * 2
    )
    with engine_of(project, {"lyth.yaml": text}) as engine, pytest.raises(ConfigError) as caught:
        _ = engine.namespace

    assert [problem.partition("lyth.yaml")[2][:28] for problem in caught.value.problems] == [
        ":3: namespace[1]: 'a:b' is r",
        ":4: namespace[2]: 'a:b' is r",
    ]


def test_a_database_that_cannot_be_opened_is_said_with_its_key(project: Project) -> None:
    text = "storage:\n  dags_db: no/where/dags.db\n  triggers_db: text.txt\n"
    files = {"lyth.yaml": text, "text.txt": "this is no database" * 100}
    with engine_of(project, files) as engine:
        with pytest.raises(ConfigError, match=r"lyth\.yaml:2: storage\.dags_db: .*no/where"):
            _ = engine.provenance
        with pytest.raises(
            ConfigError, match=r"lyth\.yaml:3: storage\.triggers_db: .*not a database"
        ):
            _ = engine.triggers


def test_what_is_told_of_failures_has_to_be_a_function(project: Project) -> None:
    files = {"lyth.yaml": "on_failure: 'json:__doc__'"}
    with engine_of(project, files) as engine, pytest.raises(ConfigError, match="no function"):
        _ = engine.on_failure


def test_rows_go_to_the_database_that_is_configured(project: Project) -> None:
    files = {
        "lyth.yaml": """\
            storage: {outputs_db: rows.db}
            namespace: [{nsref: "a:b", gref: "rows_of:dag__"}]
            """,
        "rows_of.py": """\
            from typing import Annotated
            from lythonic_compose import Dag
            from lythonic_state import DbModel, PrimaryKey

            class Price(DbModel):
                key: Annotated[int, PrimaryKey()] = -1
                cents: int

            def price() -> Price:
                return Price(cents=3)

            def dag() -> Dag:
                made = Dag()
                made.node(price, write="insert")
                return made
            """,
    }
    with engine_of(project, files) as engine:
        result = engine.runner_of("a:b").run_sync(dag_nsref="a:b")

        assert result.raise_for_status().outputs["price"].cents == 3
        assert (project({}) / "rows.db").exists()


async def test_runs_whose_process_is_gone_go_on(project: Project) -> None:
    files = {
        "lyth.yaml": "namespace: [{nsref: 'a:b', gref: 'two:dag__'}]",
        "two.py": """\
            from lythonic_compose import Dag

            calls, doomed = [], []

            def first() -> int:
                calls.append("first")
                return 1

            def second(first: int) -> int:
                calls.append("second")
                if doomed:
                    doomed.pop().close()
                return first + 1

            def dag() -> Dag:
                made = Dag()
                made.node(first) >> made.node(second)
                return made
            """,
    }
    config = EngineConfig.load(data=project(files))
    with Engine(config) as engine:
        runner = engine.runner_of("a:b")
        # whose store is closed is gone, for whoever looks
        sys.modules["two"].doomed.append(engine.provenance)
        with pytest.raises(ValueError, match="is closed"):
            await runner.run(dag_nsref="a:b")

    events: list[Any] = []
    with Engine(config, progress=events.append) as engine:
        (result,) = (await engine.recover()).continued

    assert result.outputs == {"second": 2}
    assert sys.modules["two"].calls == ["first", "second", "second"]
    assert events


def test_the_modules_of_a_file_are_found_beside_it_and_not_in_the_data(project: Project) -> None:
    top = project(
        {
            "conf/lyth.yaml": "namespace: [{nsref: 'a:b', gref: 'beside_it:dag__'}]",
            "conf/beside_it.py": """\
                from lythonic_compose import Dag

                def one() -> int:
                    return 1

                def dag() -> Dag:
                    made = Dag()
                    made.node(one)
                    return made
                """,
        }
    )
    with Engine(EngineConfig.load(top / "conf/lyth.yaml", top / "data")) as engine:
        (top / "data").mkdir()
        result = engine.runner_of("a:b").run_sync()

    assert result.outputs == {"one": 1}
    assert (top / "data" / "dags.db").exists()


async def test_the_databases_may_be_on_a_server(project: Project, pg_url: str) -> None:
    text = CONTRACT.replace("dags_db: dags.db", "dags_db: '${PG_URL}'").replace(
        "triggers_db: triggers.db", "triggers_db: '${PG_URL}'"
    )
    top = project({"lyth.yaml": text, **STAND_INS})
    config = EngineConfig.load(data=top, environment={"PG_URL": pg_url})
    with Engine(config) as engine:
        engine.manager.activate_configured()
        result = await engine.manager.fire("often", {"fetch": {"url": "x"}})

        assert result.outputs == {"fetch": "x"}
        assert [run.run_id for run in engine.provenance.get_recent_runs()] == [result.run_id]
        assert [state.name for state in engine.triggers.states()] == ["often", "reports:daily"]

    assert not list(top.glob("*.db"))


def test_an_engine_made_in_code_needs_no_file(tmp_path: Path) -> None:
    config = EngineConfig(data=tmp_path, namespace=[{"nsref": "a:b", "gref": "json:dumps"}])

    with Engine(config) as engine:
        assert engine.namespace.a.b([1]) == "[1]"
