"""lyth.yaml is read as models, and everything that is wrong with it is said at once."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from lythonic_compose import EngineConfig, LogConfig, NsFragmentConfig, StorageConfig
from lythonic_compose.errors import ConfigError
from tests.compose.engine.conftest import Project

CONTRACT = """\
storage: {dags_db: dags.db, cache_db: cache.db, triggers_db: triggers.db, log_file: lyth.log}
on_failure: myapp.alerts:notify            # called with the DagRun
namespace:
  - nsref: "reports:daily"
    gref: "myapp.pipelines:daily__"        # __ : call the factory
    tags: [slow]
    triggers: ["0 6 * * *", {name: often, schedule: "*/30 * * * * *", timezone: Europe/Berlin,
               payload: {fetch: {url: "…"}}}]
  - {type: cache, nsref: "market:price", gref: "myapp.api:price", min_ttl: 0.5, max_ttl: 2}
  - {type: fragment, nsref: "downloads:", gref: "myapp.downloads:Downloads", init: {key: "…"},
     configs: {fetch: {min_ttl: 0.5, max_ttl: 2}}}
"""


def loaded(project: Project, text: str, environment: Mapping[str, str] = {}) -> EngineConfig:
    return EngineConfig.load(data=project({"lyth.yaml": text}), environment=environment)


def test_the_example_of_the_documentation_says_what_it_means(project: Project) -> None:
    config = loaded(project, CONTRACT)

    daily, price, downloads = config.namespace
    first, often = daily.triggers
    assert (daily.nsref, daily.gref) == ("reports:daily", "myapp.pipelines:daily__")
    assert (first.schedule, first.name) == ("0 6 * * *", None)
    assert (often.schedule, often.timezone) == ("*/30 * * * * *", "Europe/Berlin")
    assert often.payload == {"fetch": {"url": "…"}}
    assert price.type == "cache"
    assert isinstance(downloads, NsFragmentConfig)
    assert config.on_failure == "myapp.alerts:notify"


def test_an_empty_file_is_an_engine_with_nothing_in_it(project: Project) -> None:
    config = loaded(project, "# nothing yet\n")

    assert config.namespace == ()
    assert config.storage == StorageConfig()
    assert config.log == LogConfig()
    assert (config.recover, config.max_concurrency, config.grace) == (True, None, 10.0)


BROKEN = """\
storage: {dag_db: 3, cache_db: [1], log_file: "http://x"}
log:
  level: loud
  formt: json
data: 3
nmspace: 3
on_failure: "x y"
grace: -1
namespace:
  - nsref: "a:b"
    gref: "m:x"
    gref: ${M}
    tagz: [1]
  - {type: cache, nsref: "a:c", gref: "json:dumps", min_ttl: 3, max_ttl: 2}
  - {type: cach}
  - {nsref: "a:good", gref: "json:dumps"}
  - nsref: "a.b"
    triggers:
      - {schedul: "* * * * *"}
      - overlap: never
max_concurrency: ${MANY}
"""


def test_everything_that_is_wrong_is_said_at_once_with_line_key_and_mend(project: Project) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(project, BROKEN)

    file = str(project({}) / "lyth.yaml")
    assert [problem.removeprefix(file) for problem in caught.value.problems] == [
        ":1: storage.cache_db: Input should be a valid string",
        ":1: storage.log_file: this is a file, and no URL, got 'http://x'",
        ":1: storage.dag_db: there is no such key; did you mean 'dags_db'?",
        ":3: log.level: Input should be 'DEBUG', 'INFO', 'WARNING', 'ERROR' or 'CRITICAL', "
        "got 'LOUD'",
        ":4: log.formt: there is no such key; did you mean 'format'?",
        ":5: data: this is given to the command, and not written here: --data DIR, --config FILE",
        ":6: nmspace: there is no such key; did you mean 'namespace'?",
        ":7: on_failure: 'x y' cannot name a Python object: 'x y' cannot be a module; it looks "
        "like \"package.module:name\", got 'x y'",
        ":8: grace: Input should be greater than or equal to 0, got -1",
        ":12: namespace[0].gref: the key stands in line 11 already; keep one of the two",
        ":12: namespace[0].gref: the environment has no M; set it, or give a default: ${M:-…}",
        ":13: namespace[0].tagz: there is no such key; did you mean 'tags'?",
        ":14: namespace[1]: min_ttl 3 days, 0:00:00 is longer than max_ttl 2 days, 0:00:00",
        ":15: namespace[2]: there is no type 'cach'; did you mean 'cache'?",
        ":17: namespace[4].nsref: 'a.b' cannot be a path in a namespace: the leaf 'a.b' has a dot; "
        "did you mean 'a:b'?; it looks like \"market.data:fetch\", branches with dots and after "
        "the colon a leaf, got 'a.b'",
        ":19: namespace[4].triggers[0].schedul: there is no such key; did you mean 'schedule'?",
        ":20: namespace[4].triggers[1].overlap: Input should be 'skip', 'queue' or 'parallel', "
        "got 'never'",
        ":21: max_concurrency: the environment has no MANY; set it, or give a default: ${MANY:-…}",
    ]
    assert str(caught.value) == "\n".join(caught.value.problems)


def test_what_is_right_in_a_broken_file_can_be_looked_at_with_its_own_lines(
    project: Project,
) -> None:
    config, problems = EngineConfig.read(data=project({"lyth.yaml": BROKEN}), environment={})

    assert len(problems) == 18
    assert [entry.nsref for entry in config.namespace] == ["a:good"]
    assert config.told(("namespace", 0, "gref"), "no").endswith(":16: namespace[3].gref: no")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[1, 2]", "lyth.yaml:1: this is to be keys with values, got [1, 2]"),
        ("namespace: {a: 1}", "lyth.yaml:1: namespace: Input should be a valid "),
        ("namespace: [3]", "lyth.yaml:1: namespace[0]: Input should be a valid dictionary"),
        ("on: 3", "lyth.yaml:1: the key True is no text; put it in quotes if it is one"),
        ("namespace: [{on: 3}]", "lyth.yaml:1: namespace[0]: the key True is no text"),
        ("storage: {dags_db: ' '}", "storage.dags_db: this is empty; give a file or a URL"),
        ("storage: {dags_db: '${A:-}'}", "storage.dags_db: this is empty; give a file or a URL"),
        ("log: {levels: {myapp: loud}}", "log.levels.myapp: Input should be 'DEBUG'"),
        (
            "namespace: [{gref: 'a:b', triggers: [{name: off}]}]",
            "triggers[0].name: Input should be a valid string, got False; YAML reads yes, no, on "
            "and off so: put it in quotes",
        ),
        ("storage: {dags_db: 12}", "got 12; put it in quotes if it is a text"),
        (
            "namespace: [{gref: 'a:b', triggers: 0 6 * * *}]",
            "triggers: Input should be a valid tuple, got '0 6 * * *'; this is a list: put it in",
        ),
        ("a: b: c", "lyth.yaml:1: this is no YAML"),
    ],
)
def test_what_no_engine_can_be_made_of_is_said_with_its_line(
    project: Project, text: str, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(project, text)

    assert problem in str(caught.value)


def test_what_is_in_the_environment_is_in_no_message(project: Project) -> None:
    text = "max_concurrency: ${TOKEN}\nstorage: {cache_db: 'http://${TOKEN}@x'}"
    with pytest.raises(ConfigError) as caught:
        loaded(project, text, {"TOKEN": "hidden"})

    assert len(caught.value.problems) == 2
    assert "hidden" not in str(caught.value)


def test_numbers_from_the_environment_are_numbers(project: Project) -> None:
    assert loaded(project, "max_concurrency: ${MANY}", {"MANY": "3"}).max_concurrency == 3


# --- where it is read from ------------------------------------------------------------------


def test_the_data_directory_is_that_of_the_file_unless_it_is_given(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    top = project({"lyth.yaml": "", "conf/other.yaml": "grace: 1"})
    monkeypatch.chdir(top)

    here = EngineConfig.load()
    by_file = EngineConfig.load(config=Path("conf/other.yaml"))
    both = EngineConfig.load(Path("conf/other.yaml"), Path("new"))

    assert (here.file, here.data) == (top / "lyth.yaml", top)
    assert (by_file.file, by_file.data) == (top / "conf/other.yaml", top / "conf")
    assert (both.file, both.data, both.grace) == (top / "conf/other.yaml", top / "new", 1)


def test_a_problem_names_the_file_as_it_is_seen_from_here(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project({"conf/lyth.yaml": "grce: 1"}))

    with pytest.raises(ConfigError) as caught:
        EngineConfig.load(data=Path("conf"))

    name = Path("conf", "lyth.yaml")
    assert str(caught.value) == f"{name}:1: grce: there is no such key; did you mean 'grace'?"


@pytest.mark.parametrize(
    ("config", "data", "problem"),
    [
        (None, "no/where", "there is no {top}/no/where/lyth.yaml; `lyth init` writes one"),
        ("no.yaml", None, "there is no {top}/no.yaml; `lyth init` writes one"),
        ("conf", None, "{top}/conf is a directory; name the file in it: --config "),
        ("lyth.yaml", "lyth.yaml", "the data directory {top}/lyth.yaml is a file"),
    ],
)
def test_files_that_are_not_there_are_said(
    project: Project, config: str | None, data: str | None, problem: str
) -> None:
    top = project({"lyth.yaml": "", "conf/lyth.yaml": ""})

    with pytest.raises(ConfigError) as caught:
        EngineConfig.load(None if config is None else top / config, data and top / data)

    assert problem.format(top=top) in str(caught.value)


def test_files_are_in_the_data_directory_and_urls_stay() -> None:
    storage = StorageConfig(
        dags_db="postgresql://db/runs", triggers_db="/srv/triggers.db", log_file=None
    )

    placed = storage.within(Path("/data"))

    assert placed == StorageConfig(
        dags_db="postgresql://db/runs",
        triggers_db="/srv/triggers.db",
        cache_db="/data/cache.db",
        log_file=None,
    )


def test_a_configuration_made_in_code_names_places_without_a_file() -> None:
    config = EngineConfig(namespace=[{"nsref": "a:b", "gref": "json:dumps"}])

    assert config.told(("namespace", 0), "no") == "namespace[0]: no"
    assert config.told((), "no") == "no"
