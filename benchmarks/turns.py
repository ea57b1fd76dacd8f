"""In which order is what measured? Repetition by repetition, each of all peers in turn.

So a minute in which the machine is busy hits every peer alike. The parent imports no library; a
peer lives in a worker, which takes one order a line and answers in JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]


class Failed(Exception):
    """A peer that could not do it, or did it wrong."""


Sample = Mapping[str, tuple[float, float] | Failed]
"""By name: on the wall, and on a CPU. A name that is missing was not measured this time."""


class Process:
    """A worker, as its parent sees it. With `rests` it stands still until it is asked."""

    def __init__(
        self,
        command: Sequence[str],
        log: Path,
        *,
        rests: bool = False,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self.rests = rests
        self.log = log.open("a")
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
            env=environ,
            process_group=0,  # of this session: stopped workers are woken if this process dies
        )
        try:
            self.about: dict[str, Any] = self._answer()
        except Failed:
            self.stop()
            raise
        self._signal(signal.SIGSTOP)

    def ask(self, **order: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self._signal(signal.SIGCONT)
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        answer = self._answer()
        self._signal(signal.SIGSTOP)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def stop(self) -> None:
        self._signal(signal.SIGCONT)
        try:
            self.process.communicate(timeout=20)
        except subprocess.TimeoutExpired:
            pass
        end(self.process)
        self.log.close()

    def _answer(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise Failed(f"the process ended: {last_line(Path(self.log.name))}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _signal(self, number: signal.Signals) -> None:
        if self.rests and self.process.poll() is None:
            os.killpg(self.process.pid, number)


def last_line(log: Path) -> str:
    """What a process said before it ended."""
    lines = [line.strip() for line in log.read_text().splitlines() if line.strip()]
    return lines[-1][:200] if lines else "without a word"


def end(process: subprocess.Popen[str]) -> None:
    """And what it has started, if that is still there."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()


def interleaved(
    peers: Mapping[str, Callable[[], Sample]], names: Sequence[str], repetitions: int
) -> dict[str, dict[str, Any]]:
    """Samples by name and peer. Another peer begins each repetition; a failed one is left out.

    The first repetition does not count, except where it is the only one.
    """
    samples: dict[str, dict[str, Any]] = {
        name: {peer: {"wall": [], "cpu": []} for peer in peers} for name in names
    }
    order, failed = list(peers), set[str]()
    for repetition in range(repetitions + 1):
        start = repetition % max(len(order), 1)
        for peer in [*order[start:], *order[:start]]:
            if peer in failed:
                continue
            try:
                found = peers[peer]()
            except Failed as error:
                failed.add(peer)
                found = dict.fromkeys(names, error)
            for name, spent in found.items():
                if isinstance(spent, Failed):
                    samples[name][peer] = {"error": str(spent)}
                elif "error" not in samples[name][peer]:
                    samples[name][peer]["wall"].append(spent[0])
                    samples[name][peer]["cpu"].append(spent[1])
    for found_of in samples.values():
        for series in found_of.values():
            for clock in ("wall", "cpu"):
                if len(series.get(clock, ())) > 1:
                    del series[clock][0]
    return samples
