"""Is an UPDATE that is repeated the same as the first, and how many Python calls do verbs take?"""

import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from pydantic import Field

import lythonic_state
from lythonic_state import (
    ConstraintViolation,
    DatabaseError,
    DbModel,
    FilterError,
    InvalidValue,
    TransactionError,
    col,
    count_statements,
    open_sqlite_db,
    transaction,
)
from lythonic_state.repeated import MOST, REPEATS


class Page(DbModel["Page"]):
    page_id: int = Field(default=-1, description="(PK)")
    url: str = Field(description="(UQ)")
    hits: int = 0
    rate: float = Field(default=0.0, ge=0)
    raw: bytes = b""


@pytest.fixture
def conn(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with open_sqlite_db(tmp_path / "pages.db") as conn:
        lythonic_state.Schema([Page]).create_tables(conn)
        Page.insert_many(conn, [Page(url=f"/{n}") for n in range(1, 4)])
        conn.commit()
        for hits in (1, 2):  # the second time it is known to be repeated
            Page.update_where(conn, {"hits": hits}, page_id=1)
        yield conn
        with suppress(sqlite3.ProgrammingError):  # a test has closed it
            conn.rollback()


def calls_of(function: Callable[[], Any]) -> int:
    """How many Python functions are called."""
    count = -1  # the function itself

    def note(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(before)
    return count


@pytest.mark.no_cover
def test_verbs_of_one_row_take_few_calls(conn: sqlite3.Connection) -> None:
    def update() -> None:
        Page.update_where(conn, {"hits": 5}, page_id=1)

    rows = [Page(url=f"/new/{n}") for n in range(4)]
    page = rows[0].save(conn)
    page.patch(conn, {"hits": 1})
    Page.load_by_id(conn, 1)
    assert calls_of(update) == 2
    assert calls_of(lambda: rows[1].save(conn)) <= 8
    assert calls_of(lambda: Page.load_by_id(conn, 1)) <= 11
    assert calls_of(lambda: page.patch(conn, {"hits": 2})) <= 15
    conn.commit()
    assert calls_of(lambda: rows[2].save(conn)) <= 11
    assert conn.in_transaction


def test_values_are_set_and_rows_are_counted(conn: sqlite3.Connection) -> None:
    assert Page in REPEATS
    assert Page.update_where(conn, {"hits": 3}, page_id=2) == 1
    assert Page.update_where(conn, {"hits": 4}, page_id=99) == 0
    assert Page.update_where(conn, {"hits": 5}, url="/3") == 1
    assert Page.update_where(conn, {"hits": 6, "raw": b"x"}, url="/3") == 1
    assert Page.update_where(conn, {"hits": col(Page.hits) + 1}, page_id=2) == 1
    assert Page.update_where(conn, {"hits": 7}, col(Page.hits) > 5) == 1
    assert Page.update_where(conn, {"hits": 8}, page_id=1) == 1
    found = [(page.hits, page.raw) for page in Page.select(conn, order_by="page_id")]
    assert found == [(8, b""), (4, b""), (7, b"x")]


WRONG: Mapping[str, tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = {
    "an unknown field": ({"hist": 1}, {"page_id": 1}, FilterError, "hits"),
    "an unknown filter": ({"hits": 1}, {"page": 1}, FilterError, "page_id"),
    "one more": ({"hits": 1, "hist": 1}, {"page_id": 1}, FilterError, "hits"),
    "the key": ({"page_id": 2}, {"page_id": 1}, FilterError, "never rewritten"),
    "too large": ({"hits": 2**63}, {"page_id": 1}, InvalidValue, "64-bit"),
    "too small": ({"hits": -(2**63) - 1}, {"page_id": 1}, InvalidValue, "64-bit"),
    "a text": ({"hits": "many"}, {"page_id": 1}, InvalidValue, "Page.hits"),
    "None": ({"hits": None}, {"page_id": 1}, InvalidValue, "Page.hits"),
    "a filter of another class": ({"hits": 1}, {"page_id": "one"}, FilterError, "page_id"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_is_wrong_is_refused_as_ever(conn: sqlite3.Connection, what: str) -> None:
    values, filters, error, text = WRONG[what]
    with pytest.raises(error, match=text):
        Page.update_where(conn, values, **filters)
    assert [page.hits for page in Page.select(conn, order_by="page_id")] == [2, 0, 0]


@pytest.mark.parametrize(
    ("field", "good", "wrong", "text"),
    [
        ("url", "/a", "a\0b", "Page.url"),
        ("rate", 1.5, -1.0, "greater"),
        ("url", "/a", "\ud800", "surrogate"),
    ],
)
def test_values_are_checked_each_time(
    conn: sqlite3.Connection, field: str, good: Any, wrong: Any, text: str
) -> None:
    for _ in range(3):
        Page.update_where(conn, {field: good}, page_id=1)
    with pytest.raises(InvalidValue, match=text):
        Page.update_where(conn, {field: wrong}, page_id=1)
    assert Page.get(conn, page_id=1).__dict__[field] == good


def test_errors_of_the_database_are_ours(conn: sqlite3.Connection) -> None:
    for _ in range(3):
        Page.update_where(conn, {"url": "/one"}, page_id=1)
    with pytest.raises(ConstraintViolation) as caught:
        Page.update_where(conn, {"url": "/2"}, page_id=1)
    assert (caught.value.table, caught.value.columns) == ("Page", ("url",))
    assert conn.in_transaction
    conn.rollback()
    conn.close()
    with pytest.raises(DatabaseError, match="closed"):
        Page.update_where(conn, {"url": "/3"}, page_id=1)


def test_a_transaction_is_begun_where_none_is_open(conn: sqlite3.Connection) -> None:
    conn.rollback()
    Page.update_where(conn, {"hits": 7}, page_id=99)
    assert not conn.in_transaction
    Page.update_where(conn, {"hits": 7}, page_id=1)
    assert conn.in_transaction
    conn.rollback()
    assert Page.get(conn, page_id=1).hits == 0


def test_who_watches_is_told(conn: sqlite3.Connection) -> None:
    with count_statements(conn) as counted:
        Page.update_where(conn, {"hits": 7}, page_id=1)
    assert counted.statements == ['UPDATE "Page" SET "hits" = ? WHERE "Page"."page_id" = ?']


def test_who_watches_is_told_that_a_transaction_begins(conn: sqlite3.Connection) -> None:
    conn.rollback()
    seen: list[str] = []
    with lythonic_state.on_statement(conn, lambda event: seen.append(event.sql)):
        Page(url="/seen").save(conn)
    assert (seen[0], len(seen)) == ("BEGIN IMMEDIATE", 2)


def test_the_block_of_another_thread_is_refused(tmp_path: Path) -> None:
    with closing(
        sqlite3.connect(
            tmp_path / "shared.db", isolation_level="IMMEDIATE", check_same_thread=False
        )
    ) as conn:
        lythonic_state.Schema([Page]).create_tables(conn)
        Page(url="/").save(conn)
        for _ in range(2):
            Page.update_where(conn, {"hits": 1}, page_id=1)
        conn.commit()
        raised: list[Exception] = []

        def update() -> None:
            try:
                Page.update_where(conn, {"hits": 2}, page_id=1)
            except TransactionError as error:
                raised.append(error)

        with transaction(conn):
            Page.update_where(conn, {"hits": 3}, page_id=1)
            thread = threading.Thread(target=update)
            thread.start()
            thread.join()
        assert len(raised) == 1
        assert Page.get(conn, page_id=1).hits == 3


def test_only_so_many_models_are_remembered(conn: sqlite3.Connection) -> None:
    for number in range(MOST):
        REPEATS[type(f"Other{number}", (), {})] = lambda *_: None
    try:
        Page.update_where(conn, {"hits": 2, "raw": b""}, page_id=1)
        Page.update_where(conn, {"hits": 2, "raw": b""}, page_id=1)
        assert set(REPEATS) == {Page}
    finally:
        REPEATS.clear()


def test_a_model_that_is_built_anew_is_written_anew(conn: sqlite3.Connection) -> None:
    assert Page in REPEATS
    Page.model_rebuild(force=True)
    assert Page not in REPEATS
    assert Page.update_where(conn, {"hits": 9}, page_id=1) == 1
