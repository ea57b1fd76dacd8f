"""Do pages, put together, give the whole sorted list once, whatever the order and the cursor?"""

import datetime
import itertools
import json
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from lythonic_state import DbModel, FilterError, Page, PrimaryKey, Schema, col, count, open_db
from tests.databases import Database


class Item(DbModel["Item"]):
    item_id: int = Field(default=-1, description="(PK)")
    a: int
    b: int | None = None
    c: str | None = None


class Everything(DbModel["Everything"]):
    name: Annotated[str, PrimaryKey()]
    number: Annotated[int, PrimaryKey()]
    flag: bool
    ratio: float
    blob: bytes
    day: datetime.date
    clock: datetime.time
    at: datetime.datetime
    lasting: datetime.timedelta
    price: Annotated[Decimal, Field(max_digits=12, decimal_places=2)]
    uuid: UUID
    path: Path


async def all_pages(db: Database, model: Any, **options: Any) -> list[Any]:
    """Every row, by pages, each cursor having gone through JSON."""
    found: list[Any] = []
    after = None
    while True:
        page = await db(model.page(db.conn, after=after, **options))
        assert isinstance(page, Page)
        assert len(page) <= options["size"]
        found += page
        if page.next is None:
            return found
        assert page.items
        after = json.loads(json.dumps(page.next))


ROWS = st.lists(
    st.tuples(
        st.integers(-2, 2),
        st.none() | st.integers(-2, 2),
        st.none() | st.sampled_from(["", "a", "ä", "B", "\U0001f600", "￿"]),
    ),
    max_size=14,
)
ORDERS = [
    [sign + name for sign, name in zip(signs, names, strict=True)]
    for length in range(4)
    for names in itertools.permutations("abc", length)
    for signs in itertools.product(("", "-"), repeat=length)
]


def in_order(rows: list[Item], order: list[str]) -> list[Item]:
    found = sorted(rows, key=lambda row: row.item_id)
    for term in reversed(order):
        name = term.lstrip("-")
        found.sort(
            key=lambda row: (getattr(row, name) is not None, getattr(row, name) or type_of(name)),
            reverse=term.startswith("-"),
        )
    return found


def type_of(name: str) -> Any:
    return "" if name == "c" else 0


@pytest.fixture
def item_conn(db_url: str) -> Any:
    with open_db(db_url) as conn:
        Schema([Item]).create_tables(conn)
        yield conn
        conn.rollback()


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
@settings(max_examples=80)
@given(rows=ROWS, order=st.sampled_from(ORDERS), size=st.integers(1, 5))
def test_pages_put_together_are_the_sorted_table(
    colour: str,
    item_conn: Any,
    rows: list[tuple[int, int | None, str | None]],
    order: list[str],
    size: int,
) -> None:
    Item.delete(item_conn, all_rows=True)
    items = [Item(a=a, b=b, c=c) for a, b, c in rows]
    Item.insert_many(item_conn, items)
    found: list[Item] = []
    after = None
    for _ in range(len(rows) + 1):
        page = Item.page(item_conn, order, size, after)
        found += page.items
        after = page.next
        if after is None:
            break
    # descending sorts reverse ties of sorted(), which is stable either way: keys ascend
    assert found == in_order(items, order)
    assert found == Item.select(item_conn, order_by=[*order, "item_id"])


async def test_every_type_can_stand_in_a_cursor(db: Database) -> None:
    await db.create(Everything)
    utc = datetime.UTC
    rows = [
        Everything(
            name=name,
            number=number,
            flag=bool(number % 2),
            ratio=number / 3,
            blob=bytes([number, 255]),
            day=datetime.date(2026, 1, 1 + number),
            clock=datetime.time(1, 2, number, 5),
            at=datetime.datetime(2026, 1, 1, 0, 0, number, 7, tzinfo=utc),
            lasting=datetime.timedelta(days=-number, microseconds=1),
            price=Decimal(number) / 4,
            uuid=UUID(int=number),
            path=Path(f"a/{number}"),
        )
        for name in ("x", "ÿ")
        for number in range(4)
    ]
    await db(Everything.insert_many(db.conn, rows))
    for field in Everything.model_fields:
        for sign in ("", "-"):
            found = await all_pages(db, Everything, order_by=sign + field, size=3)
            assert found == await db(
                Everything.select(db.conn, order_by=[sign + field, "name", "number"])
            ), sign + field


async def test_pages_keep_their_filters_and_take_typed_orders(db: Database) -> None:
    await db.create(Item)
    await db(Item.insert_many(db.conn, [Item(a=n % 3, b=n) for n in range(20)]))
    found = await all_pages(
        db, Item, order_by=col(Item.b).desc(), size=4, where=col(Item.b) < 15, a=1
    )
    assert [item.b for item in found] == [13, 10, 7, 4, 1]
    found = await all_pages(
        db, Item, order_by=["a"], size=7, where=[col(Item.a) > 0, col(Item.b) > 9]
    )
    assert [item.a for item in found] == sorted(item.a for item in found)
    assert len(found) == 7


async def test_rows_that_come_and_go_neither_repeat_nor_hide_others(db: Database) -> None:
    await db.create(Item)
    await db(Item.insert_many(db.conn, [Item(a=n) for n in range(0, 20, 2)]))
    first = await db(Item.page(db.conn, order_by="a", size=4))
    await db(Item.delete(db.conn, a=[2, 6]))
    await db(Item.insert_many(db.conn, [Item(a=1), Item(a=7)]))
    second = await db(Item.page(db.conn, order_by="a", size=4, after=first.next))
    assert [item.a for item in second] == [7, 8, 10, 12]


async def test_the_last_page_has_no_cursor(db: Database) -> None:
    await db.create(Item)
    empty = await db(Item.page(db.conn))
    assert (empty.items, empty.next) == ([], None)
    await db(Item.insert_many(db.conn, [Item(a=n) for n in range(4)]))
    full = await db(Item.page(db.conn, size=4))
    assert (len(full), full.next) == (4, None)


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "{}",
        "[]",
        "null",
        '["a,item_id"]',
        '["a,item_id",[1]]',
        '["a,item_id",["x",1]]',
        '["a,item_id",[{},1]]',
        '["a,item_id",[1,9223372036854775808]]',
        '["a,item_id",[[1],1]]',
        '["-a,item_id",[1,1]]',
        '["a,item_id",5]',
        '["a,item_id",[null,1]]',
    ],
)
async def test_a_cursor_that_is_none_is_refused(db: Database, cursor: str) -> None:
    await db.create(Item)
    with pytest.raises(FilterError):
        await db(Item.page(db.conn, order_by="a", after=cursor))


@pytest.mark.parametrize("size", [0, -1, True, "3", 2.0, None])
async def test_a_size_that_is_none_is_refused(db: Database, size: Any) -> None:
    await db.create(Item)
    with pytest.raises(FilterError, match="size"):
        await db(Item.page(db.conn, size=size))


async def test_pages_are_ordered_by_columns_only(db: Database) -> None:
    class Keyless(DbModel["Keyless"]):
        name: str

    await db.create(Item, Keyless)
    with pytest.raises(FilterError, match="ordered by columns"):
        await db(Item.page(db.conn, order_by=count().desc()))
    with pytest.raises(ValueError, match="key"):
        await db(Keyless.page(db.conn))
