"""One process at a time has a data directory, and whoever asks is told which."""

import os
import re
import signal
import socket
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lythonic_compose.dag_provenance.liveness import Here
from lythonic_compose.engine.lock import FILE_NAME, Holder, hold, holder
from lythonic_compose.errors import ConfigError, EngineRunning
from tests.processes import Python

MOMENT = datetime(2026, 3, 1, 6, 0, 12, tzinfo=UTC)

HOLDS = """
import sys
from datetime import datetime
from pathlib import Path
from lythonic_compose.engine.lock import hold
with hold(Path(sys.argv[1]), lambda: datetime.fromisoformat(sys.argv[2])):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_directory_is_had_by_one_process_and_is_free_after_its_end(tmp_path: Path) -> None:
    data = tmp_path / "new" / "data"
    other = Python(HOLDS, str(data), MOMENT.isoformat())
    try:
        assert other.stdout.readline() == "held\n"
        who = f"process {other.pid} on {socket.gethostname()} since 2026-03-01 06:00:12 UTC"

        assert str(holder(data)) == who
        with (
            pytest.raises(EngineRunning, match=re.escape(who)) as caught,
            hold(data),
        ):
            raise AssertionError("two have it")
        assert "`lyth stop` ends it" in str(caught.value)

        other.tell("end")
        assert other.wait() == 0
        assert holder(data) is None
        with hold(data):
            pass
    finally:
        other.close()


def test_a_directory_is_free_after_its_process_was_killed(tmp_path: Path) -> None:
    other = Python(HOLDS, str(tmp_path), MOMENT.isoformat())
    try:
        assert other.stdout.readline() == "held\n"
        other.kill()
        assert other.wait() == -9

        assert holder(tmp_path) is None
        with hold(tmp_path) as mine:
            assert holder(tmp_path) == mine
    finally:
        other.close()


FORKS = """
import os, sys
from pathlib import Path
from lythonic_compose.engine.lock import hold
with hold(Path(sys.argv[1])):
    child = os.fork()
    if child == 0:
        print(os.getpid(), flush=True)
        sys.stdin.readline()  # it outlives the parent
        os._exit(0)
    os.waitpid(child, 0)
"""


def test_a_child_that_was_forked_does_not_keep_it(tmp_path: Path) -> None:
    other = Python(FORKS, str(tmp_path))
    try:
        child = int(other.stdout.readline())
        assert (found := holder(tmp_path)) is not None
        assert found.pid == other.pid
        other.kill()
        assert other.wait() == -9

        assert holder(tmp_path) is None
        os.kill(child, signal.SIGKILL)  # it was there all the time
    finally:
        other.close()


def test_within_a_process_there_is_one_at_a_time_too(tmp_path: Path) -> None:
    with hold(tmp_path), pytest.raises(EngineRunning), hold(tmp_path):
        raise AssertionError("two have it")


def test_who_looks_is_in_nobodys_way(tmp_path: Path) -> None:
    with hold(tmp_path):
        pass
    done = threading.Event()

    def look_on() -> None:
        while not done.is_set():
            assert (found := holder(tmp_path)) is None or found.pid in (0, os.getpid())

    watching = threading.Thread(target=look_on)
    watching.start()
    try:
        for _ in range(50):
            with hold(tmp_path):
                pass
    finally:
        done.set()
        watching.join()


def test_nobody_has_a_directory_that_is_not_there(tmp_path: Path) -> None:
    assert holder(tmp_path / "nowhere") is None


def test_a_lock_that_cannot_be_seen_is_said(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).symlink_to(FILE_NAME)  # to itself, which even root cannot read

    with pytest.raises(ConfigError, match=r"lyth\.lock cannot be read: Too many levels"):
        holder(tmp_path)


def test_a_directory_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with (
        pytest.raises(ConfigError, match=r"the data directory .* cannot be used: Not a directory"),
        hold(tmp_path / "file" / "data"),
    ):
        raise AssertionError("it is no directory")


def test_who_has_it_and_has_not_said_so_is_another_process(tmp_path: Path) -> None:
    with hold(tmp_path):
        (tmp_path / FILE_NAME).write_text("{")

        assert str(holder(tmp_path)) == "another process"


@pytest.mark.parametrize(
    ("owner", "host", "seen"),
    [
        ("boot/pidns/1/2/s", "elsewhere", True),
        ("boot/pidns/1/3/s", "here", False),
        ("boot/other/1/2/s", "here", False),
        ("other/pidns/1/2/s", "here", False),
        ("", "here", True),
        ("", "elsewhere", False),
    ],
)
def test_a_number_means_a_process_only_where_it_was_given(
    owner: str, host: str, seen: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "here")
    here = Here("boot", "pidns", lambda _: "2", 1, frozenset())

    assert Holder(1, host, None, owner).is_seen_from(here) is seen
