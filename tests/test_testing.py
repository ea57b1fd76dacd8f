"""Does the pytest plugin give a connection of which nothing is left after a test?"""

import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from lythonic_state import (
    ConstraintViolation,
    DatabaseError,
    DbModel,
    Schema,
    TransactionError,
    count_statements,
    open_db,
    testing,
    transaction,
)
from lythonic_state.testing import open_undone
from tests.databases import sqlite_url


class Author(DbModel["Author"]):
    author_id: int = Field(default=-1, description="(PK)")
    name: str = Field(description="(UQ)")


APP = """
from pydantic import Field
from lythonic_state import DbModel, Schema

class Author(DbModel["Author"]):
    author_id: int = Field(default=-1, description="(PK)")
    name: str = Field(description="(UQ)")

SCHEMA = Schema([Author])
"""
TESTS = """
import pytest
from app import SCHEMA, Author
from lythonic_state import transaction
from lythonic_state.testing import count_statements

@pytest.mark.parametrize("turn", range(3))
def test_nothing_is_left_of_the_turn_before(db_conn, turn):
    assert [author.name for author in Author.select(db_conn)] == EXPECTED
    with count_statements(db_conn) as counted:
        Author(name="committed").save(db_conn)
    assert counted.count == 1
    db_conn.commit()
    Author(name="rolled back").save(db_conn)
    db_conn.rollback()
    with transaction(db_conn):
        Author(name="in a block").save(db_conn)
    Author(name="pending").save(db_conn)
    names = [author.name for author in Author.select(db_conn, order_by="author_id")]
    assert names == [*EXPECTED, "committed", "in a block", "pending"]

def test_a_failing_test_leaves_nothing_either(db_conn):
    Author(name="committed").save(db_conn)
    db_conn.commit()
    raise KeyError("on purpose")

def test_then_nothing_is_there(db_conn):
    assert Author.select_count(db_conn) == len(EXPECTED)
"""
OWN_URL = """
@pytest.fixture(scope="session")
def lythonic_db_url():
    return {url!r}
"""
OWN_TABLES = """
@pytest.fixture(autouse=True)
def tables(db_conn):
    SCHEMA.create_tables(db_conn)
    db_conn.commit()
"""


def run_tests(where: Path, *texts: str, expected: list[str]) -> None:
    """Runs the tests of a user, who has the plugin by its entry point, in a process of their own.

    Not by pytester, which in this process forgets the modules that were imported meanwhile.
    """
    (where / "app.py").write_text(APP)
    (where / "test_app.py").write_text("".join([f"EXPECTED = {expected!r}\n", TESTS, *texts]))
    (where / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n")
    options = ["-p", "no:cacheprovider", "-p", "no:asyncio"]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=where, capture_output=True, text=True
    )
    assert "1 failed, 4 passed" in ran.stdout, ran.stdout + ran.stderr
    assert "KeyError: 'on purpose'" in ran.stdout
    assert "Warning" not in ran.stdout + ran.stderr


def made(url: str) -> None:
    with open_db(url, commit=True) as conn:
        Schema([Author]).create_tables(conn)
        Author(name="there before").save(conn)


def names(url: str) -> list[str]:
    with open_db(url) as conn:
        return [author.name for author in Author.select(conn)]


def test_by_default_each_test_has_a_database_in_memory(tmp_path: Path) -> None:
    run_tests(tmp_path, OWN_TABLES, expected=[])


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_a_database_of_the_users_is_as_it_was(tmp_path: Path, db_url: str) -> None:
    made(db_url)
    run_tests(tmp_path, OWN_URL.format(url=db_url), expected=["there before"])
    assert names(db_url) == ["there before"]


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_tables_made_in_a_test_vanish_with_it(db_url: str) -> None:
    with open_db(db_url, commit=True):
        pass
    for _ in range(2):
        with open_undone(db_url) as conn:
            Schema([Author]).create_tables(conn)
            conn.commit()
            Author(name="a").save(conn)
    with open_db(db_url) as conn, pytest.raises(DatabaseError):
        Author.select(conn)


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_the_connection_keeps_the_rules_of_every_other(db_url: str) -> None:
    made(db_url)
    with open_undone(db_url) as conn:
        with pytest.raises(ConstraintViolation):
            Author(name="there before").save(conn)
        conn.commit()
        with pytest.raises(KeyError), transaction(conn):
            Author(name="undone").save(conn)
            raise KeyError
        with pytest.raises(TransactionError), transaction(conn):
            Author(name="kept or not").save(conn)
            conn.commit()
        with count_statements(conn) as counted:
            Author.insert_many(conn, [Author(name="x"), Author(name="y")])
        assert counted.count >= 1
        assert Author.select_count(conn, name="undone") == 0
        assert Author.exists(conn, name="y")
    assert names(db_url) == ["there before"]


def test_a_failed_statement_of_ones_own_can_be_committed_away(pg_url: str) -> None:
    """PostgreSQL makes a rollback of a commit after an error, and so does this connection."""
    made(pg_url)
    with open_undone(pg_url) as opened:
        conn: Any = opened
        Author(name="lost").save(conn)
        with pytest.raises(Exception, match="division by zero"):
            conn.execute("SELECT 1 / 0")
        conn.commit()
        assert [author.name for author in Author.select(conn)] == ["there before"]
    assert names(pg_url) == ["there before"]


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_a_test_may_close_its_connection(db_url: str) -> None:
    made(db_url)
    with open_undone(db_url) as conn, closing(conn):
        Author(name="x").save(conn)
    assert names(db_url) == ["there before"]


def test_a_file_that_is_missing_is_told_and_not_created(tmp_path: Path) -> None:
    path = tmp_path / "missing.db"
    with pytest.raises(DatabaseError, match="must exist"), open_undone(sqlite_url(path)):
        raise AssertionError("opened what is not there")
    assert not path.exists()


def test_the_fixtures_work_in_this_process_too(db_conn: Any, lythonic_db_url: str) -> None:
    assert lythonic_db_url == "sqlite://"
    Schema([Author]).create_tables(db_conn)
    assert Author(name="a").save(db_conn).author_id == 1
    assert testing.count_statements is count_statements
