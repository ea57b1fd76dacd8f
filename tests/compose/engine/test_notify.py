"""systemd is told over its socket, and nobody where there is none."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import mkdtemp

import pytest

from lythonic_compose.engine.notify import Notifier


@pytest.fixture(params=["file", "abstract"])
def listening(request: pytest.FixtureRequest) -> Iterator[tuple[str, socket.socket]]:
    """A socket as systemd opens one, and the name that it gives."""
    directory = Path(mkdtemp(prefix="sd-"))  # a socket's path must be short
    name = str(directory / "notify")
    address = name
    if request.param == "abstract":
        name, address = f"@lyth-{os.getpid()}", f"\0lyth-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(address)
        sock.settimeout(10)
        yield name, sock
    (directory / "notify").unlink(missing_ok=True)
    directory.rmdir()


def test_what_is_said_comes_as_one_datagram(listening: tuple[str, socket.socket]) -> None:
    name, sock = listening

    Notifier({"NOTIFY_SOCKET": name}).say("READY=1", "STATUS=3 triggers")

    assert sock.recv(1000) == b"READY=1\nSTATUS=3 triggers"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "/no/where"}])
def test_where_nobody_listens_nothing_happens(environment: dict[str, str]) -> None:
    Notifier(environment).say("READY=1")


@pytest.mark.parametrize(
    ("environment", "seconds"),
    [
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": str(os.getpid())}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({}, None),
    ],
)
def test_a_watchdog_is_told_twice_in_its_time_if_it_waits_for_this_process(
    environment: dict[str, str], seconds: float | None
) -> None:
    assert Notifier({"NOTIFY_SOCKET": "/x", **environment}).watchdog == seconds
