"""Are processes that are forked by the server processes like any others?"""

import os
import signal

from tests.processes import Python


def test_a_process_is_told_what_to_do_and_answers() -> None:
    code = """
import os, sys
print(os.getpid(), __name__, sys.argv[1:], flush=True)
print(input())
print("to stderr", file=sys.stderr)
sys.exit(3)
"""
    process = Python(code, "a", "b")
    assert process.stdout.readline() == f"{process.pid} __main__ ['a', 'b']\n"
    assert process.returncode is None
    assert process.pid != os.getpid()
    process.tell("said")
    assert process.communicate() == ("said\n", "to stderr\n")
    assert process.returncode == 3


def test_an_error_and_a_warning_end_a_process() -> None:
    for code, wanted in (("1 / 0", "ZeroDivisionError"), ("'\\d'", "SyntaxError: invalid escape")):
        process = Python(code)
        _, complaints = process.communicate()
        assert process.returncode == 1
        assert wanted in complaints


def test_a_process_can_be_killed_and_its_end_be_seen() -> None:
    process = Python("print('ready', flush=True); input()")
    assert process.stdout.readline() == "ready\n"
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert process.communicate("too late\n") == ("", "")
    other = Python("input()")
    other.close()
    assert other.returncode == -signal.SIGKILL


def test_a_process_has_imported_what_most_need() -> None:
    needed = {"lythonic_compose.dag_runner", "lythonic_state.query", "psycopg"}
    process = Python(f"import sys; print({needed} <= sys.modules.keys())")
    assert process.communicate() == ("True\n", "")
