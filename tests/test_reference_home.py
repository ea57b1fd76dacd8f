"""Does the first program that people see of this layer work as it is written?"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

PROGRAM = """
from lythonic_state import DbModel, Schema, open_sqlite_db
from pydantic import Field

class Author(DbModel["Author"]):
    author_id: int = Field(default=-1, description="(PK)")
    name: str

SCHEMA = Schema([Author])
SCHEMA.create_schema("library.db")

with open_sqlite_db("library.db") as conn:
    Author(name="Jane Austen").save(conn)
    conn.commit()
"""


def test_the_program_runs_and_a_second_run_adds_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for _ in range(2):
        exec(compile(PROGRAM, "home", "exec"), {"__name__": "home"})
    stored = sqlite3.connect("library.db")
    try:
        assert stored.execute("SELECT author_id, name FROM Author").fetchall() == [
            (1, "Jane Austen"),
            (2, "Jane Austen"),
        ]
    finally:
        stored.close()
