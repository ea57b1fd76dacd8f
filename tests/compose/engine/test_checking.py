"""Everything that is wrong with what a configuration names is listed, and nothing is touched."""

from pathlib import Path

import pytest

from lythonic_compose import EngineConfig
from lythonic_compose.engine.checking import check, check_file
from tests.compose.engine.conftest import Project
from tests.compose.engine.test_config import CONTRACT

STAND_INS = {
    "myapp/__init__.py": "",
    "myapp/alerts.py": "def notify(run): ...\n",
    "myapp/pipelines.py": """\
        from lythonic_compose import Dag

        def fetch(url: str = "https://example.com") -> str:
            return url

        def daily() -> Dag:
            dag = Dag()
            dag.node(fetch)
            return dag
        """,
    "myapp/api.py": "def price(symbol: str) -> float:\n    return 1.0\n",
    "myapp/downloads.py": """\
        from lythonic_compose import NamespaceFragment, nsnode

        class Downloads(NamespaceFragment):
            def __init__(self, key: str) -> None:
                self.key = key

            @nsnode(tags=["slow"])
            def fetch(self, url: str) -> str:
                return url
        """,
}


def problems(project: Project, files: dict[str, str]) -> list[str]:
    top = project(files)
    return [text.replace(f"{top}/", "") for text in check_file(data=top)]


def test_the_example_of_the_documentation_is_right_and_nothing_is_opened(project: Project) -> None:
    top = project({"lyth.yaml": CONTRACT, **STAND_INS})
    before = sorted(path.name for path in top.iterdir())

    assert check_file(data=top) == []
    assert sorted(path.name for path in top.iterdir()) == before


STEPS = """\
    from datetime import date
    from lythonic_compose import Dag, dag_factory, mountable, nsnode, require_cache

    def fetch(url: str) -> str:
        return url

    def count(fetch: str) -> int:
        return len(fetch)

    def many(values: dict) -> int:
        return 1

    @require_cache
    def price(symbol: str) -> float:
        return 1.0

    def pages() -> Dag:
        dag = Dag()
        dag.node(fetch) >> dag.node(count)
        return dag

    def broken() -> Dag:
        dag = Dag()
        dag.node(fetch, "a") >> dag.node(fetch, "b") >> dag.node(count)
        dag.edge("count", "a", order_only=True)
        return dag

    def failing() -> Dag:
        return {}["nothing"]

    def poll(since: date) -> bool:
        return True

    def none() -> None: ...
    limit = 3
    """


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        ("gref: stps:pages__", "1: namespace[0].gref: stps:pages__: there is no module 'stps'"),
        (
            "gref: steps:page__",
            "1: namespace[0].gref: steps:page__: steps has no 'page'; did you mean 'pages'?",
        ),
        ("gref: steps:failing__", "1: namespace[0].gref: KeyError: 'nothing' (steps.py:29)"),
        ("gref: steps:price", "1: namespace[0].gref: a:b is marked @require_cache and has none"),
        ("nsref: 'a:c'", '1: namespace[0]: it needs a gref: "package.module:name"'),
        (
            "{type: cache, gref: 'steps:many', min_ttl: 1, max_ttl: 2}",
            "1: namespace[0].gref: the parameter values of many is dict, which cannot be part of",
        ),
        ("gref: 'steps:'", "1: namespace[0]: steps: holds several nodes; write type: fragment"),
        (
            "{type: fragment, nsref: 'a:', gref: 'steps:'}",
            "1: namespace[0]: nothing in steps is marked @nsnode",
        ),
        (
            "{gref: 'steps:fetch', triggers: ['* * * * *']}",
            "1: namespace[0].triggers[0]: a trigger runs a Dag, and a:b is <function fetch",
        ),
        (
            "{gref: 'steps:pages__', triggers: ['* * 30 2 *']}",
            "1: namespace[0].triggers[0].schedule: ",
        ),
        (
            "{gref: 'steps:pages__', triggers: ['61 * * * *']}",
            "1: namespace[0].triggers[0].schedule: ",
        ),
        (
            "{gref: 'steps:pages__', triggers: [{schedule: '@daily', timezone: Europe/Berln}]}",
            "1: namespace[0].triggers[0].schedule: there is no time zone 'Europe/Berln'; did you "
            "mean 'Europe/Berlin'?",
        ),
        (
            "{gref: 'steps:pages__', triggers: ['@daily']}",
            "1: namespace[0].triggers[0].payload: the input 'url' of fetch is missing (str)",
        ),
        (
            "{gref: 'steps:pages__', triggers: [{payload: {ftch: {url: x}}}]}",
            "1: namespace[0].triggers[0].payload: inputs are given for the unknown node 'ftch'; "
            "did you mean 'fetch'?",
        ),
        (
            "{gref: 'steps:pages__', triggers: [{payload: {fetch: {ur: x}}}]}",
            "1: namespace[0].triggers[0].payload: ",
        ),
        (
            "{gref: 'steps:pages__', triggers: [{poll_fn: 'steps:pol'}]}",
            "1: namespace[0].triggers[0].poll_fn: steps:pol: steps has no 'pol'; did you mean "
            "'poll'?",
        ),
        (
            "{gref: 'steps:pages__', triggers: [{poll_fn: 'steps:poll'}]}",
            "1: namespace[0].triggers[0].poll_fn: steps:poll is called with no arguments, and "
            "needs since",
        ),
        (
            "{gref: 'steps:pages__', triggers: [{poll_fn: 'steps:limit'}]}",
            "1: namespace[0].triggers[0].poll_fn: steps:limit is 3 and no function",
        ),
    ],
)
def test_what_an_entry_names_is_looked_at(project: Project, entry: str, found: str) -> None:
    inner = entry.strip("{}") if entry.startswith("{") else entry
    nsref = "" if "nsref" in inner else "nsref: 'a:b', "

    said = problems(project, {"lyth.yaml": f"namespace: [{{{nsref}{inner}}}]", "steps.py": STEPS})

    assert [text for text in said if f"lyth.yaml:{found}" in text] == said[:1]


def test_all_problems_are_said_at_once(project: Project) -> None:
    text = """\
        storage: {dags_db: no/where/dags.db, triggers_db: mysql://x}
        on_failure: steps:none
        grce: 3
        namespace:
          - {nsref: a:b, gref: steps:broken__, triggers: [{name: often}]}
          - {nsref: a:c, gref: other:x}
          - {nsref: a:d, gref: broken:x}
          - {nsref: a:b, gref: steps:fetch}
          - nsref: a:e
            gref: steps:pages__
            triggers:
              - {name: often, payload: {fetch: {url: x}}}
          - {type: cach}
        """
    files = {
        "lyth.yaml": text,
        "steps.py": STEPS,
        "broken.py": "import json\n\ndef x() -> None: ...\n\njson.loads('{')\n",
        "other.py": "def x(:\n    pass\n",
    }

    said = problems(project, files)

    expected = [
        "lyth.yaml:3: grce: there is no such key; did you mean 'grace'?",
        "lyth.yaml:13: namespace[5]: there is no type 'cach'; did you mean 'cache'?",
        "lyth.yaml:8: namespace[3]: 'a:b' is registered already, as GlobalRef('steps:broken__'); ",
        "lyth.yaml:5: namespace[0].gref: a:b: ",
        "lyth.yaml:6: namespace[1].gref: other:x: importing other failed: SyntaxError: invalid "
        "syntax (other.py:1)",
        "lyth.yaml:7: namespace[2].gref: broken:x: importing broken failed: JSONDecodeError: ",
        "lyth.yaml:12: namespace[4].triggers[0]: a trigger of a:b is called 'often' already; ",
        "lyth.yaml:2: on_failure: steps:none is called with the DagRun that failed, and takes none",
        "lyth.yaml:1: storage.dags_db: there is no directory no/where; make it, or name ",
        "lyth.yaml:1: storage.triggers_db: 'mysql://x' is not the URL of a database",
    ]
    assert len(said) == len(expected)
    for text, beginning in zip(said, expected, strict=True):
        assert text.startswith(beginning)


def test_what_a_module_raised_is_said_with_its_own_line(project: Project) -> None:
    files = {
        "lyth.yaml": "namespace: [{gref: 'deep.a:x'}, {gref: 'lacks:x'}, {gref: 'syntax:x'}]",
        "deep/__init__.py": "",
        "deep/a.py": "from deep import b\n",
        "deep/b.py": "\n\nimport json\njson.loads('{')\n",
        "lacks.py": "import a_package_that_is_not_there\n",
        "syntax.py": "\nx = (\n",
    }

    said = problems(project, files)

    assert said[0].endswith("(char 1) (deep/b.py:4)")
    assert said[1].endswith(
        "lacks:x: importing lacks failed: No module named 'a_package_that_is_not_there' "
        "(lacks.py:1); install it where this Python finds it"
    )
    assert said[2].endswith("(syntax.py:2)")


def test_a_configuration_made_in_code_is_checked_without_a_file(tmp_path: Path) -> None:
    config = EngineConfig(data=tmp_path, namespace=[{"nsref": "a:b", "gref": "jsn:dumps"}])

    assert check(config) == [
        "namespace[0].gref: jsn:dumps: there is no module 'jsn'; did you mean 'json'?"
    ]


def test_a_file_that_is_none_is_its_only_problem(project: Project) -> None:
    assert problems(project, {"lyth.yaml": "a: b: c"}) == [
        "lyth.yaml:1: this is no YAML: mapping values are not allowed here (column 5: a: b: c); "
        "put a text with a colon in it in quotes"
    ]
    assert len(check_file(data=Path("/no/where"))) == 1


def test_a_fragment_that_cannot_be_made_says_where(project: Project) -> None:
    files = {
        "lyth.yaml": """\
            namespace:
              - {type: fragment, gref: "parts:Parts", init: {key: x}}
              - {type: fragment, gref: "parts:Good", init: {ky: x}}
              - {type: fragment, nsref: "c:", gref: "parts:Good", init: {key: x},
                 configs: {fetch: {triggers: ["* * * * *"]}, ftch: {}}}
              - {type: fragment, nsref: "d:", gref: "parts:Good", init: {key: x},
                 configs: {fetch: {triggers: ["* * * * *"]}}}
            """,
        "parts.py": """\
            from lythonic_compose import NamespaceFragment, nsnode

            class Good(NamespaceFragment):
                def __init__(self, key: str) -> None: ...

                @nsnode
                def fetch(self) -> int:
                    return 1

            class Parts(Good):
                def __init__(self, key: str) -> None:
                    raise RuntimeError("no")
            """,
    }

    assert [text.partition("<")[0] for text in problems(project, files)] == [
        "lyth.yaml:2: namespace[0]: RuntimeError: no (parts.py:12)",
        "lyth.yaml:3: namespace[1]: init: Good needs 'key'",
        "lyth.yaml:4: namespace[2]: configs: Good has no node 'ftch'; did you mean 'fetch'?",
        "lyth.yaml:7: namespace[3].configs.fetch.triggers[0]: a trigger runs a Dag, and d:fetch "
        "is ",
    ]


def test_what_a_hook_raises_and_what_no_function_is_are_problems(project: Project) -> None:
    files = {
        "lyth.yaml": "on_failure: 'hooks:x'\nnamespace: [{type: fragment, gref: 'hooks:'}]",
        "hooks.py": """\
            from lythonic_compose import mountable, nsnode

            x = 3

            @nsnode
            def fetch() -> int:
                return 1

            @mountable
            def mount(storage) -> None:
                raise OSError("no room for " + storage.cache_db.rpartition("/")[2])
            """,
    }

    assert problems(project, files) == [
        "lyth.yaml:2: namespace: OSError: no room for cache.db (hooks.py:11)",
        "lyth.yaml:1: on_failure: hooks:x is 3 and no function",
    ]
