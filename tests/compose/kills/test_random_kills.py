"""A pipeline is killed at random moments, several processes want to go on with it, and one that was
taken for dead comes back: every promise is kept."""

import os
import random
import signal
from dataclasses import replace

import pytest

from tests.compose.kills.invariants import violations
from tests.compose.kills.killing import NewStory, RandomKills
from tests.compose.kills.lives import REFUSED
from tests.compose.kills.witness import Record, everything

RANDOM_KILLS = 200
"""On each of the two databases. `make chaos` takes five times as many."""
SEED = int(os.environ.get("LYTHONIC_KILL_SEED", random.SystemRandom().randrange(2**32)))


def test_a_pipeline_survives_random_kills(new_story: NewStory, undisturbed: Record) -> None:
    print(f"LYTHONIC_KILL_SEED={SEED}")
    kills = RandomKills(SEED)
    done = 0
    while done < RANDOM_KILLS:
        durability = kills.chances.choice(["node", "node", "run"])
        elsewhere = kills.chances.choice([False, False, True])
        troubles = kills.chances.choice([False, False, True])
        with new_story(durability=durability, elsewhere=elsewhere, troubles=troubles) as story:
            assert kills.to_the_end(story).wrong(undisturbed) == {}, f"LYTHONIC_KILL_SEED={SEED}"
            done += story.kills


# --- more than one at once --------------------------------------------------------------------


@pytest.mark.parametrize("failpoint", ["NodeStarted.after:9", "NodeCompleted.before:12"])
def test_of_several_who_go_on_at_once_one_does(
    failpoint: str, new_story: NewStory, undisturbed: Record
) -> None:
    with new_story(troubles=True) as story:
        assert story.live(failpoint).state == "killed"
        while not story.is_done:
            story.live_together(3)
        assert story.wrong(undisturbed) == {}


BEFORE_OTHERS_GO_ON = ("RunStarted.before:3", "NodeStarted.before:9", "NodeStarted.after:9")
AFTER_THEIR_END = (
    *("RunStarted.after:3", "NodeStarted.before:9", "NodeCompleted.before:9"),
    *("NodeCompleted.after:9", "AttemptFailed.before:2", "NodesEnded.before:1"),
    "RunFinished.before:3",
)


@pytest.mark.parametrize(
    ("failpoint", "others"),
    [
        *((failpoint, "have resumed the run") for failpoint in BEFORE_OTHERS_GO_ON),
        *((failpoint, "have ended the run") for failpoint in AFTER_THEIR_END),
    ],
)
def test_who_was_taken_for_dead_changes_nothing_when_he_goes_on_and_others(
    failpoint: str, others: str, new_story: NewStory, undisturbed: Record
) -> None:
    with new_story(troubles=failpoint.startswith("NodesEnded.")) as story:
        sleeper = story.fall_asleep(failpoint)
        story.life = replace(story.life, impatient=True)
        if others == "have resumed the run":
            assert story.live("RunResumed.after").state == "killed"
        else:
            story.to_the_end()
        before = everything(story.life.store)
        os.kill(sleeper, signal.SIGCONT)
        assert story.lives.wait(sleeper).code == REFUSED, story.complaints()
        assert everything(story.life.store) == before
        assert violations(story.to_the_end().history(), undisturbed, at_once=False) == {}
