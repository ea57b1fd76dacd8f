"""Do the verbs that read tell an invalid row alike, and say what `on_invalid` may be?"""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import Field, ValidationError

from lythonic_state import ConstraintViolation, DbModel, FilterError, RowError
from lythonic_state.rows import GENERATED_AFTER
from tests.databases import Database


class Page(DbModel["Page"]):
    page_id: int = Field(default=-1, description="(PK)")
    url: str = Field(description="(AK)")
    hits: int = Field(default=0, ge=0)


async def spoiled(db: Database) -> None:
    """Three rows, of which the second is not valid any more."""
    await db.create(Page)
    await db(Page.insert_many(db.conn, [Page(url=url) for url in ("/1", "/2", "/3")]))
    await db.execute("UPDATE \"Page\" SET hits = -7 WHERE url = '/2'")


READERS: dict[str, Callable[[Any], Any]] = {
    "select": lambda conn: Page.select(conn, order_by="page_id"),
    "first": lambda conn: Page.first(conn, url="/2"),
    "get": lambda conn: Page.get(conn, url="/2"),
    "load_by_id": lambda conn: Page.load_by_id(conn, 2),
    "refresh": lambda conn: Page(page_id=2, url="/2").refresh(conn),
    "page": lambda conn: Page.page(conn, size=2),
}


@pytest.mark.parametrize("verb", READERS)
async def test_an_invalid_row_is_an_error_that_says_where(db: Database, verb: str) -> None:
    await spoiled(db)
    with pytest.raises(RowError, match="Page") as caught:
        await db(READERS[verb](db.conn))
    error = caught.value
    assert (error.table, error.key, error.column, error.value) == ("Page", 2, "hits", -7)
    assert isinstance(error.__cause__, ValidationError)


async def test_a_row_is_read_the_same_the_first_time_and_after_many(db: Database) -> None:
    """After so many rows by key, the generated reader of many is taken for one."""
    await spoiled(db)
    told: set[str] = set()
    for _ in range(GENERATED_AFTER + 1):
        assert await db(Page.load_by_id(db.conn, 3)) == Page(page_id=3, url="/3")
        assert await db(Page.load_by_id(db.conn, 4)) is None
        with pytest.raises(RowError) as caught:
            await db(Page.load_by_id(db.conn, 2))
        told.add(str(caught.value))
        assert isinstance(caught.value.__cause__, ValidationError)
    assert len(told) == 1


async def test_on_invalid_must_be_one_of_three_things(db: Database) -> None:
    await spoiled(db)
    for wrong in ("ignore", None, 3):
        with pytest.raises(FilterError, match="on_invalid is 'raise', 'skip' or a function"):
            await db(Page.select(db.conn, on_invalid=wrong))


async def test_a_refused_save_leaves_the_model_without_a_key(db: Database) -> None:
    await db.create(Page)
    await db(Page(url="/").save(db.conn))
    again = Page(url="/", hits=1)
    with pytest.raises(ConstraintViolation):
        await db(again.save(db.conn))
    assert again == Page(url="/", hits=1)
    assert "page_id" not in again.model_fields_set
