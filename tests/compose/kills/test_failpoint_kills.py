"""A pipeline is killed at every failpoint, and every promise is kept."""

import json
import signal
import subprocess
import sys
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from lythonic_compose import failpoints
from tests.compose.kills.invariants import violations
from tests.compose.kills.killing import NewStory, Story
from tests.compose.kills.lives import COMPLETED, HERE, Ended, Life, Lives, environment
from tests.compose.kills.witness import History, Record, Seen, log_of, seen, unsound

SIDES = ("before", "inside", "after")
OF_REPLAYS = {f"NodeSkipped.{when}" for when in SIDES}
OF_PRUNING = {"prune.inside", "prune.removed"}
OF_CACHES = {"cache.called", "cache.inside", "cache.kept"}
OF_OUTPUTS = {name for name in failpoints.NAMES if name.startswith("outputs.")}
OF_TRIGGERS = {name for name in failpoints.NAMES if name.startswith("trigger.")}
OF_PIPELINES = (
    failpoints.NAMES.keys() - OF_REPLAYS - OF_PRUNING - OF_CACHES - OF_OUTPUTS - OF_TRIGGERS
)
OF_TROUBLES = {f"{event}.{when}" for event in ("NodeFailed", "NodesEnded") for when in SIDES}
OF_TROUBLES |= {"pause.begun"}
TIMES = (1, 4)
"""Each is killed when it comes to the place for the first time, and then for the fourth."""


def killed_at(story: Story, failpoint: str) -> None:
    if failpoint.startswith(("RunResumed.", "restart.", "recover.")):
        story.live("NodeStarted.after:5")
    before = story.kills
    for kills, nth in enumerate(TIMES, before):
        while story.kills == kills and not story.is_done:
            story.live(f"{failpoint}:{nth}")
    assert story.kills > before, f"no life has come to {failpoint}"


@pytest.mark.parametrize("failpoint", sorted(OF_PIPELINES))
def test_a_pipeline_survives_being_killed_at(
    failpoint: str, new_story: NewStory, undisturbed: Record
) -> None:
    with new_story(troubles=failpoint in OF_TROUBLES) as story:
        killed_at(story, failpoint)
        assert story.to_the_end().wrong(undisturbed) == {}


@pytest.mark.parametrize("failpoint", [*sorted(OF_OUTPUTS), "NodeCompleted.inside"])
def test_a_pipeline_with_its_rows_elsewhere_survives_being_killed_at(
    failpoint: str, new_story: NewStory, undisturbed: Record
) -> None:
    with new_story(elsewhere=True) as story:
        killed_at(story, failpoint)
        assert story.to_the_end().wrong(undisturbed) == {}


@pytest.mark.parametrize("failpoint", sorted(OF_REPLAYS))
def test_a_replay_survives_being_killed_at(failpoint: str, new_story: NewStory) -> None:
    with new_story(work="replay") as story:
        killed_at(story, failpoint)
        story.to_the_end()
        assert story.wrong(story.end) == {}
        _, second = story.end.roots()
        reused = [node for node in story.end.nodes if node.status == "skipped"]
        assert {(node.run_id, node.label) for node in reused} == {(second.run_id, "seed")}


@pytest.mark.parametrize("failpoint", sorted(OF_PRUNING))
def test_what_stays_survives_a_kill_while_the_rest_is_removed_at(
    failpoint: str, new_story: NewStory
) -> None:
    with new_story(work="replay") as story:
        before = story.to_the_end().end
        _, kept = before.roots()
        story.ends.clear()
        story.life = replace(story.life, work="prune")
        killed_at(story, failpoint)
        story.to_the_end()
        assert [wrong for each in story.seen for wrong in each.unsound] == []
        assert [run.run_id for run in story.end.roots()] == [kept.run_id]
        assert list(story.end.nodes) == [
            node for node in before.nodes if before.path_of(node.run_id)[0] == kept.run_id
        ]


@pytest.mark.parametrize("failpoint", sorted(OF_CACHES))
def test_a_cache_survives_being_killed_at(failpoint: str, lives: Lives, tmp_path: Path) -> None:
    life = Life(str(tmp_path / "cache.db"), str(tmp_path / "calls.log"), work="cache")
    assert lives.live(replace(life, failpoint=failpoint)).state == "killed"
    assert unsound(life.store) == []
    assert lives.live(life) == lives.live(life) == Ended("ended", 0)
    calls = Path(life.log).read_text().splitlines()
    assert len(calls) == (1 if failpoint == "cache.kept" else 2)


def test_a_process_is_killed_by_the_environment_too(tmp_path: Path, undisturbed: Record) -> None:
    """Cold processes, of which nothing is left that a fork might have kept."""
    life = Life(str(tmp_path / "run.db"), str(tmp_path / "run.log"))
    codes: list[int] = []
    watched: list[Seen] = []
    while 0 not in codes and len(codes) < 8:
        place = "NodeCompleted.inside:7" if not codes else ""
        done = subprocess.run(
            [sys.executable, "-m", "tests.compose.kills.lives", json.dumps(asdict(life))],
            cwd=HERE,
            env=environment(**{failpoints.VARIABLE: place}),
            check=False,
            capture_output=True,
        )
        codes.append(done.returncode)
        watched.append(seen(life.store, Path(life.log)))
    assert codes == [-signal.SIGKILL, COMPLETED]
    assert violations(History(log_of(Path(life.log)), watched), undisturbed) == {}
