"""Fixtures that every test may ask for: databases in four colours, and what a test may not leave.

`db` runs a test on all four colours, `sync_db` and `async_db` on two each. The server of the
PostgreSQL colours starts when the first test needs it.
"""

import asyncio
import faulthandler
import gc
import inspect
import itertools
import os
import re
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from tests.databases import (
    ASYNC_COLOURS,
    COLOURS,
    SYNC_COLOURS,
    Colour,
    Database,
    PostgresDatabase,
    PostgresServer,
    open_database,
    run_postgres,
    sqlite_url,
)

# The project's own plugin, which addopts keep from being loaded too early.
pytest_plugins = ["lythonic_state.testing"]

# The default run is repeatable. HYPOTHESIS_PROFILE=search looks in new places every time.
settings.register_profile(
    "repeatable",
    deadline=None,  # a database on a busy machine takes the time it takes
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
settings.register_profile(
    "search", settings.get_profile("repeatable"), derandomize=False, max_examples=1000
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))

# What a script starts in the background ignores Ctrl-C, and so would the processes of tests.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_numbers = itertools.count(1)

IN_MEMORY, ENOUGH = Path("/dev/shm"), 2 * 1024**3
"""Where Linux keeps files in memory, and how many bytes must be free there."""


def pytest_configure() -> None:
    """The files of tests stand in memory where there is room, since a commit waits for a disk.

    `TMPDIR` says another place.
    """
    if "TMPDIR" in os.environ or not os.access(IN_MEMORY, os.W_OK):
        return
    if shutil.disk_usage(IN_MEMORY).free >= ENOUGH:
        # for processes that tests start, and for this one
        os.environ["TMPDIR"] = tempfile.tempdir = str(IN_MEMORY)


@pytest.fixture(scope="module", autouse=True)
def _what_is_there_stays() -> None:
    """What was imported and noted so far is no garbage: no collection looks through it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def pg_server() -> Iterator[PostgresServer]:
    with run_postgres() as server:
        yield server


@pytest.fixture(scope="module")
def pg_database(
    pg_server: PostgresServer, request: pytest.FixtureRequest
) -> Iterator[PostgresDatabase]:
    module = re.sub(r"\W", "_", request.node.name.rpartition("/")[2].removesuffix(".py"))
    with pg_server.database(f"{module}_{next(_numbers)}"[-63:]) as database:
        yield database


@pytest.fixture
def pg_url(pg_database: PostgresDatabase) -> Iterator[str]:
    """The URL of an empty PostgreSQL schema that this test has for itself."""
    with pg_database.schema(f"test_{next(_numbers)}") as url:
        yield url


@pytest.fixture
def sqlite_path(tmp_path: Path) -> Path:
    """Where this test's SQLite file stands; nothing is there yet."""
    return tmp_path / "test.db"


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what asks for a database once per colour, unless the test names its colours itself."""
    marks = metafunc.definition.iter_markers("parametrize")
    if "colour" not in metafunc.fixturenames or any("colour" in mark.args[0] for mark in marks):
        return
    colours = COLOURS
    if "sync_db" in metafunc.fixturenames:
        colours = SYNC_COLOURS
    elif "async_db" in metafunc.fixturenames:
        colours = ASYNC_COLOURS
    metafunc.parametrize("colour", colours)


@pytest.fixture
def db_url(colour: Colour, request: pytest.FixtureRequest) -> str:
    """The URL that `db` is opened with, for tests that open connections themselves."""
    if colour in ("postgres", "postgres-async"):
        return str(request.getfixturevalue("pg_url"))
    return sqlite_url(request.getfixturevalue("sqlite_path"))


@pytest.fixture
async def db(colour: Colour, db_url: str) -> AsyncIterator[Database]:
    """A database in each of the four colours."""
    async with open_database(colour, db_url) as database:
        yield database


@pytest.fixture
def sync_db(db: Database) -> Database:
    """A database in each of the two sync colours."""
    return db


@pytest.fixture
def async_db(db: Database) -> Database:
    """A database in each of the two async colours."""
    return db


@pytest.fixture(autouse=True)
def _nothing_left_running(request: pytest.FixtureRequest) -> Iterator[None]:
    """A test ends its tasks, and no thread of its making would keep the interpreter alive."""
    before = set(threading.enumerate())
    if inspect.iscoroutinefunction(getattr(request.node, "obj", None)):
        request.getfixturevalue("_no_task_left")
    yield
    for thread in set(threading.enumerate()) - before:
        # The threads of the event loop's own pool end with the loop, after this fixture.
        if not thread.daemon and not thread.name.startswith("asyncio_"):
            thread.join(timeout=2)
            assert not thread.is_alive(), f"the test left a thread running: {thread}"


@pytest.fixture
async def _no_task_left() -> AsyncIterator[None]:
    before = asyncio.all_tasks()
    yield
    own = asyncio.current_task()
    left = [task for task in asyncio.all_tasks() - before if task is not own and not task.done()]
    assert not left, f"the test left tasks running: {left}"


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    """A thread that somebody forgot must not make the whole run wait for ever: fail and show it."""
    if hasattr(config, "workerinput"):  # a worker waits for the others to end
        return
    faulthandler.dump_traceback_later(30, exit=True, file=sys.__stderr__)
