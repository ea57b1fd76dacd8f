"""Every promise on docs/guarantees.md names tests that exist, and every failpoint is listed."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from lythonic_compose import failpoints

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "guarantees.md"

_TEST = re.compile(r"^- `(tests/[^`:]+)::(test_\w+)`$", re.MULTILINE)
_PROMISE = re.compile(
    r"^\*\*(?P<what>.+?)\*\*(?P<rest>.*?)(?=^\*\*|^## |\Z)", re.MULTILINE | re.DOTALL
)


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def promises() -> dict[str, list[tuple[str, str]]]:
    """The tests that are named below each promise, which begins with words in bold."""
    return {
        " ".join(found["what"].split()): _TEST.findall(found["rest"])
        for found in _PROMISE.finditer(page())
    }


@cache
def names_in(file: str) -> frozenset[str]:
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in tree.body if isinstance(node, functions))


@pytest.mark.parametrize("promise", promises())
def test_a_promise_is_held_by_tests_that_exist(promise: str) -> None:
    tests = promises()[promise]

    assert tests, "a promise needs a test that holds it"
    assert [f"{file}::{name}" for file, name in tests if name not in names_in(file)] == []


def test_every_test_on_the_page_stands_below_a_promise() -> None:
    named = re.findall(r"tests/\S+?::\w+", page())

    assert len(named) > 40
    assert named == [f"{file}::{name}" for tests in promises().values() for file, name in tests]


def test_every_failpoint_is_listed_and_no_other() -> None:
    rows = dict(re.findall(r"^\| `([^`]+)` \| (.+) \|$", page(), re.MULTILINE))
    places = {name: there for name, there in rows.items() if not name.startswith(".")}
    (listed,) = re.findall(r"told in events: (.*?)\. ", page().replace("\n", " "))
    for event in re.findall(r"`(\w+)`", listed):
        places |= {event + name: there for name, there in rows.items() if name.startswith(".")}

    assert places == dict(failpoints.NAMES)
