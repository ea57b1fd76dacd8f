"""How does a test get other processes without waiting for their imports? One server forks them.

Each is a real process with a pid and a memory of its own, that can be killed. The server is the
standard library's: it has imported what is needed, has one thread, and opens nothing. What is
about the interpreter's start, or its exit, needs a process of `subprocess` instead: here nothing
that was registered with `atexit` is called.
"""

import contextlib
import multiprocessing
import multiprocessing.reduction
import os
import sys
import tempfile
import threading
import warnings
from typing import Any

FORKING = multiprocessing.get_context("forkserver")
"""For functions of test modules: `FORKING.Process(target=function, args=(...))`."""
FORKING.set_forkserver_preload(
    [
        *("pytest", "hypothesis", "psycopg", "tests.processes", "tests.databases"),
        *("lythonic_state.schema", "lythonic_state.user", "lythonic_state.query"),
        *("lythonic_compose.namespace", "lythonic_compose.dag_provenance"),
        "lythonic_compose.lyth.commands",
    ]
)


class Python:
    """A process that runs a text, with pipes to it, used as `subprocess.Popen` is."""

    def __init__(self, code: str, *args: str) -> None:
        told, to_it = os.pipe()
        from_it, said = os.pipe()
        self.stdin, self.stdout = os.fdopen(to_it, "w"), os.fdopen(from_it)
        self._complaints = tempfile.TemporaryFile("w+")  # noqa: SIM115 - until it has ended
        ends = (told, said, self._complaints.fileno())
        wish = (code, args, [_Sent(end) for end in ends])
        self._process = FORKING.Process(target=_run, args=wish, daemon=True)
        self._process.start()
        os.close(told)
        os.close(said)
        self.pid: int = self._process.pid or 0

    @property
    def returncode(self) -> int | None:
        """None while it runs, -9 after SIGKILL."""
        return self._process.exitcode

    def tell(self, line: str) -> None:
        self.stdin.write(line + "\n")
        self.stdin.flush()

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float = 60) -> int | None:
        self._process.join(timeout)
        return self.returncode

    def close(self) -> None:
        """Kills it if it has not ended, and closes what led to it."""
        self.kill()
        self._process.join()
        for file in (self.stdin, self.stdout, self._complaints):
            with contextlib.suppress(BrokenPipeError):
                file.close()

    def communicate(self, told: str = "", timeout: float = 60) -> tuple[str, str]:
        """What it writes until its end, to stdout and to stderr; it is killed after `timeout`."""
        late = threading.Timer(timeout, self.kill)
        late.start()
        try:
            with contextlib.suppress(BrokenPipeError), self.stdin:  # it may have ended
                self.stdin.write(told)
            with self.stdout:
                out = self.stdout.read()
            self._process.join()
        finally:
            late.cancel()
            late.join()
        with self._complaints:
            self._complaints.seek(0)
            return out, self._complaints.read()


class _Sent:
    """A file descriptor that goes to the new process along with the wish for it."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __reduce__(self) -> Any:
        return _received, (multiprocessing.reduction.DupFd(self.number),)


def _received(sent: Any) -> int:
    number: int = sent.detach()
    return number


def _run(code: str, args: tuple[str, ...], ends: list[int]) -> None:
    for number, end in enumerate(ends):
        os.dup2(end, number)
        os.close(end)
    sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w")  # noqa: SIM115
    sys.argv = ["-c", *args]
    warnings.simplefilter("error")
    names = {"__name__": "__main__", "__builtins__": __builtins__}
    sys.modules["__main__"].__dict__.update(names)
    exec(compile(code, "<string>", "exec"), sys.modules["__main__"].__dict__)
    sys.stdout.flush()
