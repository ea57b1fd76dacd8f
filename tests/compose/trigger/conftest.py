"""A world in which triggers fire: in files, and `everywhere` on PostgreSQL, too."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import DagProvenance, TriggerStore
from tests.compose.trigger.world import Clock, World


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Any, Any]:
    """Where runs and triggers are kept: in two files, or in one database."""
    if getattr(request, "param", "file") == "file":
        return tmp_path / "runs.db", tmp_path / "triggers.db"
    url = request.getfixturevalue("pg_url")
    return url, url


@pytest.fixture
def world(places: tuple[Any, Any], clock: Clock) -> Iterator[World]:
    with DagProvenance(places[0], clock=clock) as runs, TriggerStore(places[1], clock=clock) as of:
        yield World(runs, of, clock)
