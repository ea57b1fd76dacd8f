"""Fixtures of the pipeline's tests: stores in each kind of place where a store may be."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import DagProvenance


@pytest.fixture(params=["file", "memory", "postgres"])
def target(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Where a store is to be: in a new file, in memory, or in an empty PostgreSQL schema."""
    match request.param:
        case "file":
            return tmp_path / "runs.db"
        case "memory":
            return "sqlite://"
        case _:
            return request.getfixturevalue("pg_url")


@pytest.fixture
def store(target: Any) -> Iterator[DagProvenance]:
    """An empty store in each of these places."""
    with DagProvenance(target) as provenance:
        yield provenance
