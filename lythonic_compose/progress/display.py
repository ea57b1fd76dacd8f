"""Where is progress shown? Chooses between a live display and lines, and writes.

Nothing that happens to the output is a run's business: what cannot be written is not written.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Self, TextIO, cast

from ..events import Event, RunFinished
from .board import Board, Run
from .lines import line

if TYPE_CHECKING:
    from .live import LiveOutput


class ProgressDisplay:
    """Shows what runs do: live in a terminal if rich is installed, and in plain lines elsewhere.

    `file` is where, standard error if not given; `live=False` asks for lines in a terminal, too.
    Several runners may share one. It ends with the last run, and may be used again; `close` ends it
    before.

    Example:
        >>> runner = DagRunner(dag, progress=ProgressDisplay())
        >>> runner.run_sync({"fetch": {"url": "https://example.com"}})
    """

    def __init__(self, file: TextIO | None = None, *, live: bool = True) -> None:
        self._output = _Output(sys.stderr if file is None else file)
        self._board = Board()
        self._turn = threading.RLock()
        """Held while something is written; taken before any lock of rich's."""
        self._reading = threading.Lock()
        """Held while the board changes or is read, by rich's thread too; taken last."""
        self._live = self._live_output() if live and self._output.isatty() else None

    def __call__(self, event: Event) -> None:
        with self._turn:
            with self._reading:
                found = self._board.take(event)
                text = line(event, *found) if found and self._live is None else None
                left = bool(self._board.runs)
            if found is None:
                return
            if text is not None:
                self._output.write(f"{text}\n")
                self._output.flush()
            if self._live is not None:
                self._show(self._live, event, found[0], left)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Gives the terminal back, whatever is under way. What comes later is shown again.

        Example:
            >>> display.close()
        """
        with self._turn:
            if self._live is not None:
                self._live.stop()

    def _show(self, live: LiveOutput, event: Event, run: Run, left: bool) -> None:
        live.start()
        if isinstance(event, RunFinished) and run.root == event.run_id:
            live.leave(run)
            if not left:
                live.stop()

    def _live_output(self) -> LiveOutput | None:
        try:
            from .live import LiveOutput
        except ImportError:
            return None
        live = LiveOutput(self._board, cast("TextIO", self._output), self._reading)
        return live if live.possible else None


def live_progress(file: TextIO | None = None, *, live: bool = True) -> ProgressDisplay:
    """A display of what runs do, for `DagRunner(dag, progress=live_progress())`.

    Example:
        >>> DagRunner(dag, progress=live_progress()).run_sync()
    """
    return ProgressDisplay(file, live=live)


class _Output:
    """A text file that never raises: what it cannot encode is escaped, or else is lost."""

    def __init__(self, file: TextIO | None) -> None:
        self._file = file
        self.encoding: str = getattr(file, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        if self._file is not None:
            try:
                text = text.encode(self.encoding, "backslashreplace").decode(self.encoding)
                self._file.write(text)
            except (OSError, ValueError):  # nobody is there any more, or it is closed
                self._file = None
        return len(text)

    def flush(self) -> None:
        if self._file is not None:
            try:
                self._file.flush()
            except (OSError, ValueError):
                self._file = None

    def isatty(self) -> bool:
        try:
            return self._file is not None and self._file.isatty()
        except ValueError:
            return False
