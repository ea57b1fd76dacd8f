"""How is the board shown in a terminal? By rich, which is imported here and nowhere else.

Only the board is read; what it says was decided by events.
"""

from __future__ import annotations

import atexit
import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from ..printable import one_line
from .board import Board, Node, Run
from .lines import counted, duration, summary

_SIGNS = {
    "pending": ("·", ".", "dim"),
    "running": ("▸", ">", "cyan"),
    "completed": ("✓", "+", "green"),
    "skipped": ("✓", "+", "dim"),
    "failed": ("✗", "x", "bold red"),
    "upstream_failed": ("–", "-", "dim"),
    "cancelled": ("■", "#", "yellow"),
}
"""For each status its sign, the same for terminals that know only ASCII, and the style."""
_STYLES = {"completed": "green", "failed": "bold red", "paused": "yellow", "cancelled": "yellow"}
_AT_THE_END = 40
"""Nodes that are shown of a run that has ended."""


class LiveOutput:
    """Shows the runs of a board at the bottom of a terminal, and leaves those above that ended."""

    def __init__(self, board: Board, file: TextIO, lock: AbstractContextManager[object]) -> None:
        self._board = board
        self._lock = lock
        self._console = Console(file=file)
        self._ascii = self._console.options.ascii_only
        self._live: Live | None = None
        self._spinner = Spinner("line" if self._ascii else "dots", style="cyan")

    @property
    def possible(self) -> bool:
        """Whether the terminal is one whose cursor can be moved."""
        return self._console.is_interactive

    def start(self) -> None:
        if self._live is not None:
            return
        self._live = Live(
            get_renderable=self._render,
            console=self._console,
            refresh_per_second=8,
            transient=True,
            # what a program writes into a file has to get there
            redirect_stdout=_is_terminal(sys.stdout),
            redirect_stderr=_is_terminal(sys.stderr),
        )
        self._live.start()
        atexit.register(self.stop)  # or the cursor stays hidden

    def leave(self, run: Run) -> None:
        """Writes what became of a run where it stays."""
        self._console.print(self._shown(run, _AT_THE_END))

    def stop(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            atexit.unregister(self.stop)
            live.stop()

    # what is shown

    def _render(self) -> RenderableType:
        with self._lock:
            runs = self._board.roots()
            room = max(1, (self._console.height - 1) // max(1, len(runs)) - 2)
            return Group(*(self._shown(run, room) for run in runs))

    def _shown(self, run: Run, room: int) -> RenderableType:
        now = self._board.clock()
        took = duration((now if run.ended is None else run.ended) - run.began)
        head = Text(run.name, style="bold", no_wrap=True, overflow="ellipsis")
        if run.status != "running":
            head.append(f" {run.status}", style=_STYLES[run.status])
        head.append(f"  {took}  {summary(run)}", style="not bold dim")
        if run.note:
            head.append(f"  {run.note}", style="not bold red")
        table = Table.grid(padding=(0, 1))
        table.add_column(width=1)
        table.add_column(no_wrap=True, overflow="ellipsis", max_width=40)
        table.add_column(no_wrap=True, overflow="ellipsis")
        table.add_column(no_wrap=True, justify="right")
        nodes = list(run.all_nodes())
        chosen = _chosen(nodes, room)
        for depth, node in chosen:
            table.add_row(
                self._sign(node, now),
                Text("  " * depth + one_line(node.label)),
                self._middle(node, now),
                Text(_time(node, now), style="dim"),
            )
        if len(chosen) < len(nodes):
            table.add_row("", Text(f"and {len(nodes) - len(chosen)} more", style="dim"), "", "")
        return Group(head, table)

    def _sign(self, node: Node, now: float) -> RenderableType:
        if node.status == "running" and node.again_at is None:
            return self._spinner.render(now)
        sign, plain, style = _SIGNS[node.status]
        return Text(plain if self._ascii else sign, style=style)

    def _middle(self, node: Node, now: float) -> RenderableType:
        if node.again_at is not None:
            left = max(0.0, node.again_at - now)
            return Text(
                f"attempt {node.attempt} failed, again in {duration(left)}: {node.note}",
                style="yellow",
            )
        if node.status == "failed":
            return Text(node.note, style="red")
        if node.elements is not None:
            words = Text(counted(node.elements))
            if node.status != "running":
                return words
            bar = ProgressBar(
                total=max(1, node.elements.total), completed=node.elements.done, width=20
            )
            both = Table.grid(padding=(0, 1))
            both.add_row(bar, words)
            return both
        if node.status == "upstream_failed":
            return Text("not run", style="dim")
        if node.status == "running" and node.attempt > 1:
            return Text(f"attempt {node.attempt}", style="yellow")
        return Text(node.note, style="dim")


def _chosen(nodes: Sequence[tuple[int, Node]], room: int) -> list[tuple[int, Node]]:
    """As many nodes as there is room for, in their order: those first that need to be seen."""
    if len(nodes) <= room:
        return list(nodes)
    urgency = {"failed": 0, "running": 1, "cancelled": 2, "pending": 3}
    by_need = sorted(range(len(nodes)), key=lambda at: urgency.get(nodes[at][1].status, 4))
    return [nodes[at] for at in sorted(by_need[:room])]


def _time(node: Node, now: float) -> str:
    if node.began is None:
        return ""
    return duration((now if node.ended is None else node.ended) - node.began)


def _is_terminal(stream: TextIO | None) -> bool:
    return stream is not None and stream.isatty()
