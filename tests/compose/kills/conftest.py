"""What every test that kills has: a launcher of lives, stories, and a run that is left alone."""

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.compose.kills.killing import NewStory, Story
from tests.compose.kills.lives import Life, Lives
from tests.compose.kills.witness import Record

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def lives() -> Iterator[Lives]:
    with Lives() as launcher:
        yield launcher


@pytest.fixture(params=["sqlite", "postgres"])
def new_story(request: pytest.FixtureRequest, tmp_path: Path, lives: Lives) -> NewStory:
    """Makes stories, each in an empty database."""

    @contextmanager
    def made(*, elsewhere: bool = False, **life: Any) -> Iterator[Story]:
        """With the rows in another database, if `elsewhere`."""
        number = next(_numbers)
        place = str(tmp_path / f"{number}")
        log = f"{place}.log"
        if request.param == "sqlite":
            outputs = f"{place}.rows.db" if elsewhere else ""
            yield Story(lives, Life(f"{place}.db", log, outputs, **life))
            return
        postgres = request.getfixturevalue("pg_database")
        with postgres.schema(f"s{number}") as url, postgres.schema(f"s{number}_rows") as rows:
            yield Story(lives, Life(url, log, rows if elsewhere else "", **life))

    return made


@pytest.fixture(scope="module")
def undisturbed(lives: Lives, tmp_path_factory: pytest.TempPathFactory) -> Record:
    """The record of a run that nothing happens to."""
    home = tmp_path_factory.mktemp("undisturbed")
    story = Story(lives, Life(str(home / "run.db"), str(home / "run.log")))
    return story.to_the_end().end
