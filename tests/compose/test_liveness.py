"""Owners of runs: alive, gone, or somewhere else."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from lythonic_compose.dag_provenance.liveness import (
    LEASE,
    Here,
    Owner,
    begin_session,
    end_session,
    is_alive,
    owner_of_this_process,
    why_alive,
)

NOW = datetime(2026, 1, 31, 9, tzinfo=UTC)
HERE = Here("boot", "pid:[1]", {7: "100", 8: "200"}.get, 8, frozenset({"mine"}))
OWNER = Owner("boot", "pid:[1]", 7, "100", "a")
FRESH, STALE = NOW - LEASE, NOW - LEASE - timedelta(seconds=1)

SAY_WHO = (
    "from lythonic_compose.dag_provenance.liveness import owner_of_this_process as me\n"
    "print(me('session'), flush=True)\n"
    "input()"
)


@pytest.fixture
def other() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process, and how it calls itself as an owner."""
    with subprocess.Popen(
        [sys.executable, "-c", SAY_WHO],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process, process.stdout.readline().strip()
        finally:
            process.kill()


def test_a_process_is_alive_until_it_is_killed(other: tuple[subprocess.Popen[str], str]) -> None:
    process, owner = other
    assert is_alive(owner, None, NOW)
    assert why_alive(owner, STALE, NOW) == f"by process {process.pid}"

    process.kill()
    process.wait()

    assert not is_alive(owner, NOW, NOW)


def test_a_process_that_ended_and_was_not_waited_for_is_gone(
    other: tuple[subprocess.Popen[str], str],
) -> None:
    process, owner = other
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)

    assert not is_alive(owner, NOW, NOW)
    assert process.returncode is None


def test_this_process_is_alive_for_as_long_as_its_store_is_open() -> None:
    session = begin_session()
    owner = owner_of_this_process(session)
    assert is_alive(owner, None, NOW)
    assert why_alive(owner, None, NOW) == "in this process"

    end_session(session)

    assert not is_alive(owner, NOW, NOW)


def test_another_process_with_the_same_number_is_not_the_owner() -> None:
    assert is_alive(str(OWNER), None, NOW, HERE)
    assert not is_alive(str(replace(OWNER, start="99")), NOW, NOW, HERE)
    assert not is_alive(str(replace(OWNER, pid=9)), NOW, NOW, HERE)


def test_another_session_of_this_process_is_known_by_its_name() -> None:
    mine = Owner("boot", "pid:[1]", 8, "200", "mine")

    assert is_alive(str(mine), None, NOW, HERE)
    assert not is_alive(str(replace(mine, session="closed")), NOW, NOW, HERE)
    # our number, but it was somebody before us who had it
    assert not is_alive(str(replace(mine, start="199")), NOW, NOW, HERE)


@pytest.mark.parametrize(
    "owner",
    [
        str(replace(OWNER, boot="another boot")),
        str(replace(OWNER, namespace="pid:[2]")),
        str(replace(OWNER, boot="", namespace="", start="")),
        str(replace(OWNER, start="")),
        "what an older version wrote",
        "a/b/c/d/e",
        None,
    ],
)
def test_elsewhere_the_heartbeat_decides(owner: str | None) -> None:
    assert is_alive(owner, FRESH, NOW, HERE)
    assert not is_alive(owner, STALE, NOW, HERE)
    assert not is_alive(owner, None, NOW, HERE)
    # a clock that is a little ahead of ours
    assert why_alive(owner, NOW + timedelta(seconds=3), NOW, HERE) == (
        f"by {owner}, which was alive 0 s ago"
    )


def test_where_the_system_tells_nothing_the_heartbeat_decides() -> None:
    nowhere = replace(HERE, boot="", namespace="", start_of=lambda _: None)
    owner = str(Owner("", "", 7, "", "a"))

    assert is_alive(owner, FRESH, NOW, nowhere)
    assert not is_alive(owner, STALE, NOW, nowhere)


def test_an_owner_comes_back_from_its_text() -> None:
    assert Owner.parse(str(OWNER)) == OWNER
    assert Owner.parse(owner_of_this_process("x")) is not None
