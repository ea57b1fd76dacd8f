"""How do lines get to a terminal, or into a pipe?"""

import io
import os
import pty
from collections.abc import Iterator
from pathlib import Path

import pytest

from lythonic_compose.lyth.project import write_project
from lythonic_compose.lyth.screen import Screen, update
from lythonic_compose.lyth.tables import Cell, Line
from tests.processes import Python

LINES: list[Line] = [
    (Cell("RUN", "dim"), Cell("  STATUS")),
    (Cell("[bold]1[/bold]"), Cell("  ✓ :smile: 5", "green")),
]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, Screen]]:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("LINES", "4")
    monkeypatch.delenv("NO_COLOR", raising=False)
    leader, follower = pty.openpty()
    with os.fdopen(follower, "w", encoding="utf-8") as file:
        yield leader, Screen(file)
    os.close(leader)


def until(last: str, leader: int) -> str:
    """What is seen in a terminal up to there; it arrives in pieces."""
    seen = ""
    while last not in seen:
        seen += os.read(leader, 65536).decode()
    return seen


def test_in_a_pipe_lines_are_plain_and_whole() -> None:
    file = io.StringIO()
    screen = Screen(file)
    long: Line = (Cell("x" * 500, "red"),)

    screen.show([*LINES, long])

    assert file.getvalue() == f"RUN  STATUS\n[bold]1[/bold]  ✓ :smile: 5\n{'x' * 500}\n"
    assert (screen.is_terminal, screen.width) == (False, None)


def test_in_a_terminal_they_are_coloured_and_nothing_in_them_is_markup(
    terminal: tuple[int, Screen],
) -> None:
    leader, screen = terminal

    screen.show(LINES)

    seen = until(":smile: 5\x1b[0m", leader)
    assert "\x1b[2mRUN\x1b[0m  STATUS" in seen
    assert "[bold]1[/bold]\x1b[32m  ✓ :smile: 5\x1b[0m" in seen
    assert (screen.is_terminal, screen.width, screen.height) == (True, 60, 4)


def test_what_is_shown_live_gives_its_place_back_and_fits_the_screen(
    terminal: tuple[int, Screen],
) -> None:
    leader, screen = terminal

    with screen.live() as live:
        update(live, [(Cell(f"line {number}"),) for number in range(9)], screen.height)
    screen.show([(Cell("the end"),)])

    seen = until("the end", leader)
    assert [f"line {number}" in seen for number in range(4)] == [True, True, True, False]
    assert "\x1b[2K" in seen
    assert seen.rstrip().endswith("the end")


def test_what_an_encoding_does_not_know_is_escaped() -> None:
    data = io.BytesIO()
    screen = Screen(io.TextIOWrapper(data, encoding="ascii", write_through=True))

    screen.show(LINES[1:])
    screen.show_json({"sign": "✓"})

    assert data.getvalue().decode("ascii").splitlines() == [
        "[bold]1[/bold]  \\u2713 :smile: 5",
        "{",
        '  "sign": "\\u2713"',
        "}",
    ]


def test_who_stops_reading_a_pipe_hears_no_complaint(tmp_path: Path) -> None:
    write_project(tmp_path)
    process = Python(
        "import os, sys\n"
        "from lythonic_compose.lyth import main\n"
        "os.chdir(sys.argv[1])\n"
        "sys.stdin.readline()\n"
        "code = main(['graph', 'disks:check'])\n"
        "sys.stdout.flush()\n"
        "sys.exit(code)\n",
        str(tmp_path),
    )
    try:
        process.stdout.close()
        process.tell("nobody reads any more")
        assert process.wait() == 141
    finally:
        process.close()
