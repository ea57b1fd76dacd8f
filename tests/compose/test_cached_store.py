"""Files that do not do what they should: the function is called, and its caller hears nothing."""

import asyncio
import logging
import os
import sqlite3
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose.cached import CacheStats, cached, store
from lythonic_state import DatabaseError
from tests.compose.caches import KINDS, Source


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, path: Path) -> Source:
    return Source(request.param, path)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is waited for and left alone only a moment."""
    monkeypatch.setattr(store, "BUSY_SECONDS", 0.05)
    monkeypatch.setattr(store, "REST_SECONDS", 0.0)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def file_of(source: Source) -> Any:
    return source.cached.stats.__self__.file


async def test_a_file_that_is_no_database_is_done_without(
    source: Source, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.write_bytes(b"this is a letter, and not a database" * 100)

    assert [await source("A"), await source("A")] == [1.5, 1.5]

    assert source.calls == ["A", "A"]
    (told,) = warnings_in(caplog)
    assert "does without its cache" in told
    assert "not a database" in told
    assert path.read_bytes().startswith(b"this is a letter")
    with pytest.raises(DatabaseError, match="not a database"):
        source.cached.stats()


@pytest.mark.parametrize("kind", KINDS)
async def test_a_place_where_nothing_can_be_written_is_done_without(
    kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "folder").mkdir()
    for target in (tmp_path / "file" / "cache.db", tmp_path / "folder"):
        caplog.clear()
        source = Source(kind, target)

        assert [await source("A"), await source("A")] == [1.5, 1.5]
        assert source.calls == ["A", "A"]
        assert len(warnings_in(caplog)) == 1


@pytest.mark.usefixtures("hurried")
async def test_a_locked_file_still_serves_and_a_miss_does_without(
    source: Source, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    await source("A")
    locked = sqlite3.connect(path, isolation_level=None)
    locked.execute("BEGIN IMMEDIATE")
    try:
        assert await source("A") == 1.5
        assert source.calls == ["A"]
        assert await source("B") == 1.5
        assert await source("B") == 1.5
        assert source.calls == ["A", "B", "B"]
        assert "is locked" in warnings_in(caplog)[0]
        assert len(warnings_in(caplog)) == 1
    finally:
        locked.execute("ROLLBACK")
        locked.close()

    assert await source("B") == 1.5
    await source("B")
    assert source.calls == ["A", "B", "B", "B"]


async def test_a_locked_file_does_not_hold_up_the_loop(path: Path) -> None:
    source = Source("async", path)
    await source("A")
    locked = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    locked.execute("BEGIN IMMEDIATE")
    waiting = asyncio.create_task(source("B"))
    longest, before = 0.0, time.monotonic()
    for _ in range(40):
        await asyncio.sleep(0.005)
        longest, before = max(longest, time.monotonic() - before), time.monotonic()
    assert not waiting.done()
    locked.execute("ROLLBACK")
    locked.close()

    assert await waiting == 1.5
    assert longest < store.BUSY_SECONDS / 4
    assert source.cached.stats().entries == 2


@pytest.mark.usefixtures("hurried")
async def test_a_deleted_file_is_begun_anew(source: Source, path: Path) -> None:
    await source("A")
    for left in path.parent.iterdir():
        left.unlink()

    assert await source("A") == 1.5
    assert await source("A") == 1.5
    assert source.calls == ["A", "A"]
    assert source.cached.stats().entries == 1
    assert path.is_file()


@pytest.mark.usefixtures("hurried")
async def test_a_file_that_breaks_while_it_is_used_is_done_without(
    source: Source, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(200):
        await source(str(number))
    file_of(source).close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(os.urandom(path.stat().st_size - 100))
    calls = len(source.calls)

    assert await source("5") == 1.5
    assert await source("5") == 1.5

    assert len(source.calls) == calls + 2
    assert warnings_in(caplog)


async def test_an_entry_that_cannot_be_read_is_asked_for_again(source: Source, path: Path) -> None:
    await source("A")
    model = source.cached.model()
    with sqlite3.connect(path) as conn:
        model.update_where(conn, {"cached_value": '"much"'}, all_rows=True)
    conn.close()

    assert await source("A") == 1.5
    assert await source("A") == 1.5
    assert source.calls == ["A", "A"]


async def test_the_tables_of_somebody_else_are_left_alone(
    source: Source, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with sqlite3.connect(path) as conn:
        conn.execute("CREATE TABLE cache_leases (mine TEXT)")
    conn.close()

    assert await source("A") == 1.5
    assert "cache_leases" in warnings_in(caplog)[0]


def test_a_full_disk_is_done_without(tmp_path: Path) -> None:
    program = textwrap.dedent(
        """
        import resource, sys
        from lythonic_compose.cached import cached

        calls = []

        @cached(sys.argv[1], 1, 2)
        def page(number: int) -> str:
            calls.append(number)
            return str(number) * 20_000

        page(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        for _ in range(2):
            for number in range(1, 30):
                assert page(number) == str(number) * 20_000
        assert calls.count(1) == 1 and calls.count(29) == 2, calls
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(tmp_path / "cache.db")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("does without its cache") == 1


def test_counts_are_written_when_the_program_ends(path: Path) -> None:
    program = textwrap.dedent(
        """
        import sys
        from lythonic_compose.cached import cached

        @cached(sys.argv[1], 1, 2)
        def price(symbol: str) -> float:
            return 1.5

        for symbol in "AABA":
            price(symbol)
        """
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, str(path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    with sqlite3.connect(path) as conn:
        assert conn.execute("SELECT hits, misses FROM cached_functions").fetchall() == [(2, 2)]
    conn.close()


def test_one_file_holds_many_functions_and_few_connections(path: Path) -> None:
    @cached(path, 1, 2)
    def price(symbol: str) -> float:
        return 1.5

    @cached(path, 1, 2)
    def volume(symbol: str, day: int) -> int:
        return day

    for number in range(20):
        assert (price("A"), volume("A", number)) == (1.5, number)

    assert volume.stats() == CacheStats(hits=0, misses=20, entries=20)
    assert len(price.stats.__self__.file._patient) <= 2  # type: ignore[attr-defined]


def test_connections_go_with_the_last_function_of_a_file(path: Path) -> None:
    def used() -> None:
        @cached(path, 1, 2)
        def price(symbol: str) -> float:
            return 1.5

        price("A")
        assert open_files(path)

    used()
    import gc

    gc.collect()
    assert not open_files(path)


def open_files(path: Path) -> list[str]:
    links = Path("/proc/self/fd").iterdir()
    found = [str(link.readlink()) for link in links if link.exists()]
    return [target for target in found if target.startswith(str(path))]
