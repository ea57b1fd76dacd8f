"""How is a pipeline killed until it is done, and what has been seen of it then?"""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tests.compose.kills.invariants import violations
from tests.compose.kills.lives import BROKEN, COMPLETED, REFUSED, Ended, Life, Lives
from tests.compose.kills.witness import History, Record, Seen, is_in_transaction, log_of, seen

MOST_LIVES = 40
"""A pipeline that is not done after so many lives goes round in circles."""


@dataclass
class Story:
    """One store, the lives that worked on it, and what was seen after each."""

    lives: Lives
    life: Life
    kills: int = 0
    ends: list[Ended] = field(default_factory=list[Ended])
    seen: list[Seen] = field(default_factory=list[Seen])

    @property
    def log(self) -> Path:
        return Path(self.life.log)

    @property
    def is_done(self) -> bool:
        return any(ended.code == COMPLETED for ended in self.ends if ended.state == "ended")

    def live(self, failpoint: str = "", seconds: float | None = None) -> Ended:
        """One more life, which is killed at a failpoint, or after so long, or ends by itself."""
        life = self.next_life(failpoint=failpoint)
        ended = self.lives.live(life) if seconds is None else self.lives.live_for(life, seconds)
        assert ended.code != REFUSED or ended.state == "killed", self.complaints()
        self.note(ended)
        return ended

    def live_together(self, number: int) -> list[Ended]:
        """Lives that begin at the same moment; all but one of them may be refused."""
        pids = [self.lives.start(self.next_life()) for _ in range(number)]
        together = [self.lives.wait(pid) for pid in pids]
        self.note(*together)
        return together

    def next_life(self, **changed: Any) -> Life:
        """Every other life goes on by recovering."""
        return replace(self.life, recovers=len(self.ends) % 2 == 1, **changed)

    def note(self, *ended: Ended) -> None:
        """Lives have ended, and none is there."""
        for each in ended:
            assert each.code != BROKEN or each.state == "killed", self.complaints()
            self.kills += each.state == "killed"
        self.ends += ended
        self.seen.append(seen(self.life.store, self.log, self.life.outputs))
        assert len(self.ends) < MOST_LIVES, "it does not come to an end"

    def fall_asleep(self, failpoint: str) -> int:
        """A life that has stopped at a failpoint, or soon after, with its run still running. It
        looks like one on another machine, and believes in no lease."""
        while True:
            life = self.next_life(failpoint=f"{failpoint}:stop", elsewhere=True, impatient=True)
            pid = self.lives.start(life)
            ended = self._leave_its_transaction(pid)
            if ended.state == "stopped":
                record = seen(life.store, self.log).record
                if any(run.status == "running" for run in record.roots()):
                    return pid
                os.kill(pid, signal.SIGCONT)
                ended = self.lives.wait(pid)
            self.note(ended)  # it was nearly over, and woken for another thread of it

    def _leave_its_transaction(self, pid: int) -> Ended:
        ended = self.lives.wait(pid)
        assert ended.state == "stopped", self.complaints()
        while ended.state == "stopped" and is_in_transaction(self.life.store):
            os.kill(pid, signal.SIGCONT)
            ended = self.lives.wait(pid, 0.002)
            if ended.state == "running":
                os.kill(pid, signal.SIGSTOP)
                ended = self.lives.wait(pid)
        return ended

    def to_the_end(self) -> Story:
        """Lives that nothing happens to, until nothing is left to do."""
        while not self.is_done:
            self.live()
        return self

    def complaints(self) -> str:
        return self.life.complaints.read_text()

    @property
    def end(self) -> Record:
        """What was seen last."""
        return self.seen[-1].record

    def history(self) -> History:
        return History(log_of(self.log), self.seen)

    def wrong(self, undisturbed: Record) -> dict[str, str]:
        """The promises that were broken."""
        at_once = self.life.durability == "node"
        return violations(self.history(), undisturbed, at_once=at_once)


MOST_KILLS = 16
"""No pipeline is killed more often."""

NewStory = Callable[..., AbstractContextManager[Story]]
"""Opens a story in an empty database, by the fields of its `Life`."""


class RandomKills:
    """Kills at random moments of lives; `longest` follows what an undisturbed life takes now."""

    def __init__(self, seed: int, longest: float = 0.4) -> None:
        self.chances = random.Random(seed)
        self.longest = longest

    def to_the_end(self, story: Story) -> Story:
        """Kills until the pipeline comes to its end all the same, or there were many."""
        while not story.is_done and story.kills < MOST_KILLS:
            seconds = self.chances.uniform(0, self.longest)
            ended = story.live(seconds=seconds)
            # four of five lives are to be cut short
            self.longest *= 0.8 if ended.state == "ended" else 1.055
        if not story.is_done:  # the machine is slower than was thought
            self.longest *= 2
        return story.to_the_end()
