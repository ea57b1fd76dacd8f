"""Do docs/lyth.md and docs/getting-started.md say what the command does? They are followed here."""

import re
import shlex
import time
import tomllib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import DagProvenance
from lythonic_compose.engine import hold
from lythonic_compose.lyth.app import ORDER
from lythonic_compose.lyth.project import FILES
from tests.processes import Python

from .conftest import LYTH, Answer, Project

DOCS = Path(__file__).parents[3] / "docs"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE = 30
THERE = "import os, sys; os.chdir(sys.argv.pop(1)); "


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def words(text: str) -> list[str]:
    """A help text without what versions of typer write differently."""
    text = re.sub(r" <(str|path|int|float)>", "", text)
    return re.sub(r"[{}<>\[\]]", " ", text).split()


# --- the command's page ---------------------------------------------------------------------


def documented() -> dict[str, str]:
    """The help of each command by its words, as the page has it."""
    found: dict[str, str] = {}
    for _, block in BLOCK.findall(page("lyth.md")):
        line, _, text = block.partition("\n")
        if line.startswith("$ lyth ") and line.endswith("--help"):
            found[line.removeprefix("$ lyth").removesuffix("--help").strip()] = text
    return found


def commands(lyth: Callable[..., Answer]) -> Iterator[str]:
    """Every command that help lists, and those of the groups."""
    yield ""
    for name in _listed(lyth("--help").out):
        yield name
        for inner in _listed(lyth(name, "--help").out):
            yield f"{name} {inner}"


def _listed(text: str) -> list[str]:
    return re.findall(r"^  (\w+) ", text.partition("\nCommands:\n")[2], re.MULTILINE)


def test_the_help_of_every_command_is_in_the_docs(
    lyth: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    helps = documented()

    assert list(helps) == list(commands(lyth))
    for name, text in helps.items():
        answer = lyth(*name.split(), "--help")
        assert answer.code == 0
        assert words(text) == words(answer.out), f"lyth {name} --help"
    assert set(ORDER) == {name for name in helps if name and " " not in name}


def test_what_each_command_does_fits_a_narrow_terminal(
    lyth: Callable[..., Answer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    lines = [line for name in ([], ["triggers"], ["cache"]) for line in lyth(*name, "--help").lines]

    assert [line for line in lines if line.startswith("  ") and line.endswith("...")] == []


# --- what programs read ---------------------------------------------------------------------

CALLS: dict[str, tuple[str, ...]] = {
    "check": ("check",),
    "run": ("run", "a:b", "-q"),
    "fire": ("fire", "a:b", "-q"),
    "status": ("status",),
    "triggers": ("triggers",),
    "triggers list": ("triggers", "list"),
    "triggers fires": ("triggers", "fires"),
    "replay": ("replay", "last", "-q", "--node", "words"),
    "restart": ("restart", "last", "-q"),
    "runs": ("runs",),
    "show": ("show", "last", "--io"),
    "graph": ("graph", "a:b"),
    "cache": ("cache",),
    "cache list": ("cache", "list"),
    "cache invalidate": ("cache", "invalidate", "a:c", "--all"),
    "prune": ("prune", "--keep-last", "9", "--dry-run"),
    "recover": ("recover", "-q"),
}
"""A call of each command whose JSON is described, in an order in which they can be made."""
VALUES = {"outputs", "source_inputs", "sink_outputs", "input", "output", "last_fire"}
"""Keys below which stands what is the user's, or is described elsewhere."""
BY_NAME = {"sub_dags", "inside"}
"""Keys below which stand names, and the same again below these."""


def described() -> dict[str, set[str]]:
    """The keys that the page has for each command."""
    found: dict[str, set[str]] = {}
    table = page("lyth.md").partition("| command | keys |")[2].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        _, names, keys, _ = row.split("|")
        for name in re.findall(r"`([\w ]+)`", names):
            found[name] = set(re.findall(r"`(\w+)`", keys))
    return found


def keys_in(value: Any) -> set[str]:
    if isinstance(value, list):
        return {key for each in value for key in keys_in(each)}
    if not isinstance(value, dict):
        return set()
    below: set[str] = set()
    for key, each in value.items():
        if key in BY_NAME and each:
            below |= keys_in(list(each.values()))
        elif key not in VALUES:
            below |= keys_in(each)
    return below | set(value)


def test_the_keys_of_json_are_in_the_docs(project: Project) -> None:
    project.write(
        'namespace:\n- {nsref: "a:b", gref: "MODULE:dag", triggers: ["0 3 * * *"]}\n'
        '- {type: cache, nsref: "a:c", gref: "MODULE:length", min_ttl: 1, max_ttl: 2}\n',
        "from pathlib import Path\nfrom lythonic_compose import Dag\n"
        "def length(word: str = 'a') -> int: return len(word)\n"
        "def words(text: str = 'a b') -> list[str]: return text.split()\n"
        "def last(sizes: list[int]) -> int:\n"
        "    if not (Path(__file__).parent / 'gate').exists(): raise OSError('no gate')\n"
        "    return sum(sizes)\n"
        "dag = Dag()\n"
        "dag.node(words) >> dag.map(length) >> dag.node(last)\n",
    )
    told = described()
    assert set(told) == set(CALLS)
    told["show"] |= told["runs"]  # "the same of one run, and …"
    # a run that fails, and goes on
    assert project.lyth("run", "a:b", "-q").code == 1
    (project.data / "gate").touch()
    assert project.lyth(*CALLS["restart"], "--json").code == 0
    with hold(project.data):
        for name, call in CALLS.items():
            if name == "restart":
                continue
            answer = project.lyth(*call, "--json")
            assert answer.code == 0, name
            found = keys_in(answer.json)
            assert found <= told[name], name
            if name == "recover":  # there is nothing to recover
                assert found == {"continued", "left"}
            else:
                assert found == told[name], name


# --- getting started ------------------------------------------------------------------------


def test_getting_started_is_followed_to_the_letter(tmp_path: Path) -> None:
    blocks = BLOCK.findall(page("getting-started.md"))
    install = blocks.pop(0)
    assert install == ("sh", 'pip install "lythonic-state[engine]"\n')
    with (DOCS.parent / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    assert project["name"] == "lythonic-state"
    assert project["scripts"]["lyth"] == "lythonic_compose.lyth:main"
    with ExitStack() as stack:
        reader = Reader(tmp_path, stack)
        for language, text in blocks:
            reader.takes(language, text)


class Reader:
    """Somebody who types what a page says, and compares what they see."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._here = directory
        self._stack = stack
        self._seen = ""
        self._engine: Python | None = None

    def takes(self, language: str, text: str) -> None:
        if language == "sh":
            assert self._seen == "", "what was shown before stands on the page"
            self._seen = "".join(self._types(line) for line in text.splitlines())
        elif language == "text":
            assert alike(self._seen) == alike(text)
            self._seen = ""
        else:
            name = {"python": "pipelines.py", "yaml": "lyth.yaml"}[language]
            assert text == FILES[name] == (self._here / name).read_text(encoding="utf-8")

    def _types(self, line: str) -> str:
        command, *words = shlex.split(line)
        if command == "mkdir":
            (self._here / words[0]).mkdir()
            return ""
        if command == "cd":
            self._here = self._here / words[0]
            return ""
        assert command == "lyth"
        process = Python(THERE + LYTH, str(self._here), *words)
        self._stack.callback(process.close)
        if words == ["start"]:
            self._engine = process
            self._waits_a_few_seconds()
            return ""
        out, err = process.communicate()
        assert process.returncode == 0, err
        if words == ["stop"]:
            assert self._engine is not None
            assert self._engine.wait() == 0
        return out

    def _waits_a_few_seconds(self) -> None:
        late = time.monotonic() + PATIENCE
        with DagProvenance(self._here / "dags.db") as store:
            while not any(
                (run.initiated_by, run.status) == ("trigger:often", "completed")
                for run in store.get_recent_runs()
            ):
                assert time.monotonic() < late, "the engine has run nothing"
                time.sleep(0.05)


def alike(text: str) -> list[str]:
    """What a person sees, without what differs from day to day and from one machine to another."""
    text = re.sub(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", "ID", text)
    text = re.sub(r"\b[0-9a-f]{8}\b", "ID", text)
    text = re.sub(r"(?m)^data .*$", "data PATH", text)
    text = re.sub(r"\bon [\w.-]+$", "on HOST", text, flags=re.MULTILINE)
    text = re.sub(r"cli:\S+|\bcli\b", "ME", text)
    text = re.sub(r"\d\d:\d\d:\d\d|\d+-\d\d-\d\d \d\d:\d\d", "TIME", text)
    text = re.sub(r"\d+(\.\d+)? m?s\b", "TOOK", text)
    text = re.sub(r"0\.\d{2,}|\d+%|\b\d+ completed", "SO MANY", text)
    text = re.sub(r"process \d+", "process PID", text)
    return [" ".join(line.split()) for line in text.splitlines()]
