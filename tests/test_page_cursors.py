"""Are wrong cursors, orders and sizes of pages told, and do pages go with conditions?"""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import Field

from lythonic_state import Col, DbModel, FilterError, column
from tests.databases import Database


class Book(DbModel["Book"]):
    book_id: Col[int] = column(default=-1, description="(PK)")
    title: Col[str] = column(default="")
    year: Col[int | None] = column(default=None)
    rating: Col[float | None] = column(default=None)
    price: Decimal = Field(default=Decimal(0), max_digits=10, decimal_places=2)
    day: date | None = None
    raw: bytes = b""


class Seat(DbModel["Seat"]):
    hall: str = Field(description="(PK)")
    number: int = Field(description="(PK)")


async def walk(db: Database, **options: Any) -> list[list[Any]]:
    """All pages; each cursor goes through JSON on its way."""
    found: list[list[Any]] = []
    after: str | None = None
    while True:
        page = await db(Book.page(db.conn, after=after, **options))
        found.append(page.items)
        if page.next is None:
            return found
        after = json.loads(json.dumps({"after": page.next}))["after"]
        assert isinstance(after, str)


# --- one behaviour a test ---------------------------------------------------------------------


async def test_a_page_has_items_a_length_and_a_cursor(db: Database) -> None:
    await db.create(Book)
    empty = await db(Book.page(db.conn))
    assert (empty.items, empty.next, len(empty)) == ([], None, 0)
    await db(Book.insert_many(db.conn, [Book(year=year) for year in range(7)]))
    first = await db(Book.page(db.conn, order_by="-year", size=4))
    assert [book.year for book in first] == [6, 5, 4, 3]
    last = await db(Book.page(db.conn, "-year", 4, first.next))
    assert ([book.year for book in last], last.next) == ([2, 1, 0], None)
    exact = await db(Book.page(db.conn, size=7))
    assert (len(exact), exact.next) == (7, None)


async def test_pages_go_with_filters_and_conditions(db: Database) -> None:
    await db.create(Book)
    rows = [Book(year=year, title="ab"[year % 2]) for year in range(10)]
    await db(Book.insert_many(db.conn, rows))
    found = await walk(db, order_by="-year", size=2, title="a", where=Book.year < 8)
    assert [[book.year for book in page] for page in found] == [[6, 4], [2, 0]]
    found = await walk(db, size=9, where=[Book.year < 8, Book.year > 5])
    assert [[book.year for book in page] for page in found] == [[6, 7]]


async def test_a_composite_key_breaks_ties(db: Database) -> None:
    await db.create(Seat)
    seats = [Seat(hall=hall, number=number) for hall in "ab" for number in range(3)]
    await db(Seat.insert_many(db.conn, seats))
    found: list[Seat] = []
    after = None
    for _ in range(3):
        page = await db(Seat.page(db.conn, "-number", 2, after))
        found += page.items
        after = page.next
    assert after is None
    assert [(seat.number, seat.hall) for seat in found] == [
        (2, "a"), (2, "b"), (1, "a"), (1, "b"), (0, "a"), (0, "b"),
    ]  # fmt: skip


async def test_pages_cost_one_statement_each_and_bind_the_cursor(db: Database) -> None:
    await db.create(Book)
    evil = '\'; DROP TABLE "Book"; --'
    await db(Book.insert_many(db.conn, [Book(title=evil), Book(title=evil), Book(title="~")]))
    found = await walk(db, order_by="title", size=1)
    assert [[book.title for book in page] for page in found] == [[evil], [evil], ["~"]]


WRONG_CURSORS = [
    "", "x", "null", "3", '"year"', "{}", "[]", "[1,2,3]", '["year,book_id"]',
    '["year,book_id",[1]]', '["year,book_id",[1,2,3]]', '["year,book_id",{}]',
    '["year,book_id",["x",1]]', '["year,book_id",[{"hex":"zz"},1]]', '["year,book_id",[1.5,1]]',
    '["year,book_id",[{"a":1},1]]', '["year,book_id",[[1],1]]', '["year,book_id",[1,null]]',
    '["year,book_id",[99999999999999999999,1]]', '["year,book_id",[1,true]]',
]  # fmt: skip


@pytest.mark.parametrize("cursor", WRONG_CURSORS)
async def test_a_wrong_cursor_is_a_filter_error(sync_db: Database, cursor: str) -> None:
    await sync_db.create(Book)
    with pytest.raises(FilterError, match=r"cursor|after|Book\.|64-bit"):
        Book.page(sync_db.conn, order_by="year", after=cursor)
    assert Book.page(sync_db.conn).items == [], "the connection still works"


async def test_what_is_no_text_is_no_cursor(db: Database) -> None:
    await db.create(Book)
    for wrong in (3, b"[]\xff", ["year"], {}):
        with pytest.raises(FilterError, match="not a cursor"):
            await db(Book.page(db.conn, after=wrong))


async def test_a_cursor_belongs_to_its_order(db: Database) -> None:
    await db.create(Book)
    await db(Book.insert_many(db.conn, [Book(year=year) for year in range(3)]))
    page = await db(Book.page(db.conn, order_by="year", size=1))
    for other in ("-year", "title", None, ["title", "year"]):
        with pytest.raises(FilterError, match="ordered by 'year,book_id', not by"):
            await db(Book.page(db.conn, order_by=other, size=1, after=page.next))
    again = await db(Book.page(db.conn, order_by=Book.year, size=1, after=page.next))
    assert again.items[0].year == 1


async def test_size_is_a_number_from_one_on(db: Database) -> None:
    await db.create(Book)
    for wrong in (0, -1, 1.5, "10", True, None):
        with pytest.raises(FilterError, match="size is a number of rows from 1 on"):
            await db(Book.page(db.conn, size=wrong))
    with pytest.raises(FilterError, match=r"size|limit"):
        await db(Book.page(db.conn, size=2**63))


async def test_pages_are_ordered_by_columns_only(db: Database) -> None:
    await db.create(Book)
    with pytest.raises(FilterError, match="pages are ordered by columns"):
        await db(Book.page(db.conn, order_by=Book.year + 1))
    with pytest.raises(FilterError, match="did you mean 'year'"):
        await db(Book.page(db.conn, order_by="-yaer"))
