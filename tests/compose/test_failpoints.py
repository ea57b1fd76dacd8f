"""Places where a test kills the process: which there are, and that no typing error hides one."""

import ast
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

import lythonic_compose
from lythonic_compose import ConfigError, failpoints
from lythonic_compose.events import Event

PACKAGE = Path(lythonic_compose.__file__).parent


@pytest.fixture
def signals(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """What would have been sent to this process."""
    sent: list[int] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: sent.append(number))
    yield sent
    failpoints.arm("")


def calls_of(name: str) -> Iterator[Any]:
    """The text arguments of every call of a function in the package."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else node.func
                if called == name or (isinstance(called, ast.Name) and called.id == name):
                    yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant))


def test_every_place_is_reached_somewhere_and_every_one_has_its_meaning() -> None:
    events = {event.__name__ for event in get_args(Event)}
    sides = set(calls_of("reached_with"))
    assert sides == {"before", "inside", "after"}
    of_events = {f"{event}.{side}" for event in events for side in sides}
    assert of_events | set(calls_of("reached")) == failpoints.NAMES.keys()


def test_nothing_happens_where_no_place_is_chosen(signals: list[int]) -> None:
    for name in failpoints.NAMES:
        failpoints.reached(name)
    assert signals == []


@pytest.mark.parametrize(
    ("chosen", "sent"),
    [
        ("prune.inside", [signal.SIGKILL, None, None, None]),
        ("prune.inside:3", [None, None, signal.SIGKILL, None]),
        ("prune.inside:2:stop", [None, signal.SIGSTOP, None, None]),
        ("prune.removed", [None, None, None, None]),
    ],
)
def test_the_process_is_killed_at_one_place_and_time(
    signals: list[int], chosen: str, sent: list[int | None]
) -> None:
    failpoints.arm(chosen)
    for expected in sent:
        failpoints.reached("prune.inside")
        failpoints.reached("cache.kept")
        assert signals == ([] if expected is None else [expected])
        signals.clear()


@pytest.mark.parametrize(
    ("chosen", "why"),
    [
        ("NodeCompletd.before", "no failpoint 'NodeCompletd.before'; did you mean 'NodeCompleted"),
        ("prune.inside:0", "the n-th time is a number from 1 on, not '0'"),
        ("prune.inside:two", "the n-th time is a number from 1 on, not 'two'"),
        ("prune.inside:1:hang", "the action is kill or stop, not 'hang'"),
    ],
)
def test_what_is_no_place_is_refused(chosen: str, why: str) -> None:
    before = failpoints.armed
    with pytest.raises(ConfigError, match=re.escape(f"LYTHONIC_FAILPOINT={chosen}: {why}")):
        failpoints.arm(chosen)
    assert failpoints.armed == before


@pytest.mark.parametrize(("chosen", "code"), [("NodeCompletd", 1), ("prune.inside", -9)])
def test_the_environment_chooses_when_the_room_is_imported(chosen: str, code: int) -> None:
    ended = subprocess.run(
        [
            *(sys.executable, "-c"),
            "from lythonic_compose.failpoints import reached; reached('prune.inside')",
        ],
        env={**os.environ, failpoints.VARIABLE: chosen},
        check=False,
        capture_output=True,
        text=True,
    )
    assert ended.returncode == code
    assert ("ConfigError" in ended.stderr) == (code == 1)
