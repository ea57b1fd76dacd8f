"""How do lines get to a terminal, or into a pipe? rich is imported here and by nobody else.

In a terminal lines are coloured and fitted to its width; elsewhere they are plain and whole.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from .tables import Cell, Line

NARROWEST = 40


class Screen:
    """Where the answers of a command are written: standard output, if nothing else is given."""

    def __init__(self, file: TextIO | None = None) -> None:
        self._file = sys.stdout if file is None else file
        self.is_terminal = self._file.isatty()

    @property
    def width(self) -> int | None:
        """How many columns there are; None where a line may have any length."""
        return max(NARROWEST, shutil.get_terminal_size().columns) if self.is_terminal else None

    def show(self, lines: Iterable[Line]) -> None:
        """Writes lines.

        Raises:
            BrokenPipeError: nobody reads them any more.
        """
        if self.is_terminal:
            console = self._console()
            for line in lines:
                console.print(_text(line), soft_wrap=True)
            return
        for line in lines:
            self.write("".join(cell.text for cell in line) + "\n")
        self._file.flush()

    def say(self, text: str, style: str = "") -> None:
        """Writes a text as it is, which may have several lines."""
        self.show([(Cell(line, style),) for line in text.splitlines()])

    def show_json(self, value: Any) -> None:
        """Writes a value as JSON."""
        self.write(json.dumps(value, indent=2, ensure_ascii=not self._is_utf()) + "\n")
        self._file.flush()

    def write(self, text: str) -> None:
        """Writes text; what the file's encoding does not know is escaped."""
        encoding = getattr(self._file, "encoding", None) or "utf-8"
        self._file.write(text.encode(encoding, "backslashreplace").decode(encoding))

    @contextmanager
    def live(self) -> Generator[Live]:
        """Lines that are shown in the place of those before, as long as the block lasts."""
        with Live(console=self._console(), auto_refresh=False, transient=True) as live:
            yield live

    @property
    def height(self) -> int:
        return shutil.get_terminal_size().lines

    def _is_utf(self) -> bool:
        return (getattr(self._file, "encoding", None) or "utf-8").lower().startswith("utf")

    def _console(self) -> Console:
        return Console(file=self._file, highlight=False, markup=False, emoji=False)


def update(live: Live, lines: Sequence[Line], height: int) -> None:
    """Shows as many of the lines as there is room for."""
    shown = [_text(line, no_wrap=True) for line in lines[: max(1, height - 1)]]
    live.update(Group(*shown), refresh=True)


def _text(line: Line, *, no_wrap: bool = False) -> Text:
    cells = [(cell.text, cell.style) for cell in line]
    return Text.assemble(*cells, no_wrap=no_wrap, overflow="ellipsis" if no_wrap else None)
