"""How does systemd learn how an engine does? By datagrams to the socket that it names.

Where nobody asked (`NOTIFY_SOCKET` is not set), nothing is sent. What is said is decided elsewhere.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping


class Notifier:
    """Says how a process does: "READY=1", "STOPPING=1", "STATUS=…", "WATCHDOG=1".

    Example:
        >>> Notifier(os.environ).say("READY=1", "STATUS=3 triggers")
    """

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._address = environment.get("NOTIFY_SOCKET", "")
        self.watchdog = _seconds_of_watchdog(environment) if self._address else None
        """How often it is to be told "WATCHDOG=1", in seconds; None where nobody waits for that."""

    def say(self, *what: str) -> None:
        """Sends what is to be known; a socket that is gone is no reason to fail."""
        if not self._address:
            return
        # "@" stands for the zero byte of an abstract socket
        address = "\0" + self._address[1:] if self._address[0] == "@" else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto("\n".join(what).encode(), address)
        except OSError:
            pass


def _seconds_of_watchdog(environment: Mapping[str, str]) -> float | None:
    """Half of the time after which systemd would take the process for dead."""
    for_whom = environment.get("WATCHDOG_PID")
    if for_whom not in (None, str(os.getpid())):
        return None
    try:
        microseconds = int(environment.get("WATCHDOG_USEC", ""))
    except ValueError:
        return None
    return microseconds / 2e6 if microseconds > 0 else None
