"""YAML is read with the lines of its parts, and what is wrong with the text is said with them."""

from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose.engine.reading import Document, Place, read_yaml, shown
from lythonic_compose.errors import ConfigError


def read(tmp_path: Path, text: str | bytes, environment: Mapping[str, str] = {}) -> Document:
    file = tmp_path / "lyth.yaml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return read_yaml(file, "lyth.yaml", environment)


TEXT = """\
# a comment
a: 1
b:
  - x
  - key: [1, 2,
      3]
  - &shared {inner: 4}
c: *shared
d:
  <<: *shared
  own: 5
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        ((), 1),
        (("a",), 2),
        (("b", 0), 4),
        (("b", 1), 5),
        (("b", 1, "key", 2), 6),
        (("b", 2, "inner"), 7),
        (("c",), 8),
        (("c", "inner"), 7),
        (("d", "own"), 11),
        (("d", "inner"), 7),
        (("b", 7, "what"), 3),
        (("nothing",), 1),
        (("a", "deeper"), 2),
        (("b", "word"), 3),
    ],
)
def test_each_place_has_its_line_and_what_is_not_there_that_around_it(
    tmp_path: Path, place: Place, line: int
) -> None:
    document = read(tmp_path, TEXT)

    assert document.line(place) == line
    assert document.value["d"] == {"inner": 4, "own": 5}


def test_an_empty_file_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path, "# only a comment\n").value is None


def test_a_place_is_shown_as_people_write_it() -> None:
    assert shown(("namespace", 0, "configs", "fetch")) == "namespace[0].configs.fetch"
    assert shown(()) == ""


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\nb: c: 2\n", "lyth.yaml:2: this is no YAML: mapping values are not allowed here"),
        ("a: 1\nb: c: 2\n", "put a text with a colon in it in quotes"),
        ("a:\n\t- 1\n", "lyth.yaml:2: "),
        ("a:\n\t- 1\n", "indented with spaces, not with tabs"),
        ("a: [1,\n", "lyth.yaml:2: "),
        ("a: !!python/object:os.system x\n", "lyth.yaml:1: "),
        ("a: !secret x\n", "tags with ! are not understood here"),
        ("a: *unknown\n", "lyth.yaml:1: "),
        ("a: */5 * * * *\n", "put a text that begins with * or @, as schedules do, in quotes"),
        ("a: @daily\n", "put a text that begins with * or @, as schedules do, in quotes"),
        ("x: 1\n---\ny: 2\n", "lyth.yaml:2: "),
        ("ok: 1\nday: 2026-02-30\n", "lyth.yaml:2: day: '2026-02-30' is no timestamp; "),
        ("a: !!int x\n", "lyth.yaml:1: a: 'x' is no int; put it in quotes if it is a text"),
        ("a:\n  !!bool x: 1\n", "lyth.yaml:2: a: 'x' is no bool; "),
        ("a: &a\n  b: *a\n", "lyth.yaml:1: a.b: an alias stands inside of what it names"),
        ("[" * 1200, "lyth.yaml: this is nested too deeply"),
        ("? [a]\n: 1\n", "lyth.yaml:1: "),
        ("a: \x00\n", "lyth.yaml:1: "),
        (b"a: 1\nb: \xff\n", "lyth.yaml:2: this is no UTF-8; save the file as UTF-8"),
    ],
)
def test_what_is_no_yaml_is_said_with_its_line(
    tmp_path: Path, text: str | bytes, problem: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, text)

    assert problem in str(caught.value)


def test_a_file_that_cannot_be_read_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"x\.yaml cannot be read: No such file"):
        read_yaml(tmp_path / "x.yaml", "x.yaml", {})


def test_a_key_that_stands_twice_is_a_problem_with_both_lines(tmp_path: Path) -> None:
    document = read(tmp_path, "a: {b: 1, c: 2}\nd: 3\na: {b: 1,\n  b: 2}\n")

    found = [(problem.place, problem.line, problem.what) for problem in document.problems]
    assert found == [
        (("a",), 3, "the key stands in line 1 already; keep one of the two"),
        (("a", "b"), 4, "the key stands in line 3 already; keep one of the two"),
    ]
    assert document.value["a"] == {"b": 2}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${HOST}", "db.example.com"),
        ("postgresql://${USER}@${HOST}/runs", "postgresql://ada@db.example.com/runs"),
        ("${NONE:-a default}", "a default"),
        ("${NONE:-}", ""),
        ("${HOST:-a default}", "db.example.com"),
        ("$${HOST}", "${HOST}"),
        ("$HOST and ${} and ${a b}", "$HOST and ${} and ${a b}"),
    ],
)
def test_variables_of_the_environment_are_put_in(tmp_path: Path, text: str, value: Any) -> None:
    environment = {"HOST": "db.example.com", "USER": "ada"}

    document = read(tmp_path, f"a: &a ['{text}']\nb: *a\n", environment)

    assert document.problems == ()
    assert document.value == {"a": [value], "b": [value]}


def test_a_value_of_the_environment_is_no_yaml_and_is_not_looked_into(tmp_path: Path) -> None:
    document = read(tmp_path, "a: ${A}\n", {"A": "{b: ${A}}"})

    assert document.value == {"a": "{b: ${A}}"}


def test_each_variable_that_is_not_set_is_a_problem_with_its_line(tmp_path: Path) -> None:
    document = read(tmp_path, "a: ${HOST}\nb:\n- x${USER}${HOST}\n")

    mend = "set it, or give a default"
    assert [(problem.place, problem.line, problem.what) for problem in document.problems] == [
        (("a",), 1, f"the environment has no HOST; {mend}: ${{HOST:-…}}"),
        (("b", 0), 3, f"the environment has no USER; {mend}: ${{USER:-…}}"),
        (("b", 0), 3, f"the environment has no HOST; {mend}: ${{HOST:-…}}"),
    ]


def test_dates_and_numbers_are_what_yaml_says(tmp_path: Path) -> None:
    assert read(tmp_path, "[2026-03-01, 1.5, 0x10, yes, null]").value == [
        date(2026, 3, 1),
        1.5,
        16,
        True,
        None,
    ]


def test_without_pyyaml_the_error_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)

    with pytest.raises(ConfigError, match=r"pip install 'lythonic-state\[engine\]'"):
        read(tmp_path, "a: 1")
