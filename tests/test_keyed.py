"""Rows that are written as a part of `perform`: their keys, what takes them back, their form."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any

import pytest
from pydantic import Field

from lythonic_state import (
    AccessViolation,
    AltKey,
    ConstraintViolation,
    DbModel,
    InvalidValue,
    PreparedInsert,
    PrimaryKey,
    ScopeContext,
    Scoped,
    perform,
)
from lythonic_state.keyed import KeyedRows, RowForm, delete_all
from lythonic_state.table import table_of
from tests.databases import Database


class Price(DbModel, table="prices"):
    price_id: Annotated[int, PrimaryKey()] = -1
    name: Annotated[str, AltKey()]
    cents: int = 0


class Note(DbModel, table="notes"):
    note_id: Annotated[int, PrimaryKey()] = -1
    text: str


class Org(ScopeContext):
    org_id: int


class Invoice(Scoped, scope="org_id", table="invoices"):
    invoice_id: Annotated[int, PrimaryKey()] = -1
    org_id: int = -1
    cents: int


_NOTE = PreparedInsert(Note, "text")


def prices(*names: str, **values: Any) -> list[Price]:
    return [Price(name=name, **values) for name in names]


async def test_inserted_models_know_their_keys_within_the_same_transaction(db: Database) -> None:
    await db.create(Price, Note)
    rows = KeyedRows(Price, models := prices("a", "b", "c"))
    known: list[int] = []

    def work() -> Any:
        count = yield rows.insert()
        known.extend(price.price_id for price in models)
        yield _NOTE(text=f"{count} from {known[0]}")

    await db(perform(db.conn, work, commit=True))
    assert known == [1, 2, 3]
    assert [price.name for price in await db(Price.select(db.conn, order_by="price_id"))] == [
        "a",
        "b",
        "c",
    ]
    assert (await db(Note.first(db.conn))).text == "3 from 1"


async def test_a_call_may_stand_alone(db: Database) -> None:
    await db.create(Price)
    models = prices("a", "b")
    assert await db(perform(db.conn, KeyedRows(Price, models).insert(), commit=True)) == 2
    assert [price.price_id for price in models] == [1, 2]


async def test_given_keys_stay_and_others_are_allotted_beside_them(db: Database) -> None:
    await db.create(Price)
    models = [Price(name="a"), Price(price_id=7, name="b"), Price(name="c")]
    await db(perform(db.conn, KeyedRows(Price, models).insert(), commit=True))
    assert models[1].price_id == 7
    assert len({price.price_id for price in models}) == 3
    found = await db(Price.select(db.conn))
    assert {price.price_id: price.name for price in found} == {
        price.price_id: price.name for price in models
    }


async def test_what_failed_can_be_carried_out_again_and_be_taken_back(db: Database) -> None:
    await db.create(Price)
    await db(Price(name="b").save(db.conn))
    await db.commit()
    rows = KeyedRows(Price, models := prices("a", "b"))

    with pytest.raises(ConstraintViolation):
        await db(perform(db.conn, rows.insert(), commit=True))
    rows.undo()
    assert [price.price_id for price in models] == [-1, -1]
    assert "price_id" not in models[0].model_fields_set

    await db(Price.delete(db.conn, name="b"))
    await db.commit()
    await db(perform(db.conn, rows.insert(), commit=True))
    again = {price.name: price.price_id for price in models}
    assert again == {p.name: p.price_id for p in await db(Price.select(db.conn))}


async def test_carrying_it_out_again_allots_new_keys_for_those_of_a_failed_time(
    db: Database,
) -> None:
    await db.create(Price)
    rows = KeyedRows(Price, models := prices("a", "b"))

    def failing() -> Any:
        yield rows.insert()
        raise LookupError("after the rows")

    with pytest.raises(LookupError):
        await db(perform(db.conn, failing, commit=True))
    assert await db(Price.select_count(db.conn)) == 0
    await db(Price(name="z").save(db.conn))  # has the key that the first would have had on SQLite
    await db.commit()
    await db(perform(db.conn, rows.insert(), commit=True))
    assert {price.name: price.price_id for price in models}.items() <= {
        p.name: p.price_id for p in await db(Price.select(db.conn))
    }.items()


async def test_upserted_models_get_the_key_of_the_row_that_was_there(db: Database) -> None:
    await db.create(Price)
    old = await db(Price(name="a", cents=1).save(db.conn))
    await db.commit()
    models = [Price(name="a", cents=5), Price(name="n", cents=6)]
    await db(perform(db.conn, KeyedRows(Price, models).upsert(), commit=True))
    assert models[0].price_id == old.price_id
    found = await db(Price.select(db.conn, order_by="name"))
    assert [(price.name, price.cents) for price in found] == [("a", 5), ("n", 6)]
    assert models[1].price_id == found[1].price_id


async def test_all_rows_are_deleted_or_those_of_the_tenant(db: Database) -> None:
    await db.create(Price, Invoice)
    one, two = Org(org_id=1), Org(org_id=2)
    await db(perform(db.conn, KeyedRows(Price, prices("a", "b")).insert(), commit=True))
    for ctx in (one, two):
        await db(Invoice(cents=1).save(db.conn, user_ctx=ctx))
    await db.commit()
    assert await db(perform(db.conn, delete_all(Price), commit=True)) == 2
    assert await db(perform(db.conn, delete_all(Invoice, one), commit=True)) == 1
    assert await db(Invoice.select_count(db.conn, user_ctx=two)) == 1


async def test_scoped_rows_take_the_scope_of_the_context_and_give_it_back(db: Database) -> None:
    await db.create(Invoice)
    one = Org(org_id=1)
    mine, foreign = (
        [Invoice(cents=1), Invoice(cents=2)],
        [Invoice(cents=1), Invoice(org_id=2, cents=2)],
    )
    await db(perform(db.conn, KeyedRows(Invoice, mine, one).insert(), commit=True))
    assert {invoice.org_id for invoice in mine} == {1}

    rows = KeyedRows(Invoice, foreign, one)
    with pytest.raises(AccessViolation):
        await db(perform(db.conn, rows.insert(), commit=True))
    rows.undo()
    assert [invoice.org_id for invoice in foreign] == [-1, 2]
    assert await db(Invoice.select_count(db.conn, user_ctx=one)) == 2


class Everything(DbModel, table="everything"):
    key: Annotated[str, PrimaryKey()]
    at: datetime
    amount: Decimal
    data: bytes
    more: dict[str, list[int]] = Field(default_factory=dict[str, list[int]])
    flag: bool | None = None


def test_the_form_of_a_row_holds_plain_values_and_gives_an_equal_model() -> None:
    row = Everything(
        key="k",
        at=datetime(2026, 1, 31, 9, tzinfo=UTC),
        amount=Decimal("1.50"),
        data=b"\xff",
        more={"a": [1]},
    )
    form = RowForm(table_of(Everything))
    stored = form.row(row)
    assert {type(value) for value in stored} <= {str, int, float, bytes, type(None)}
    assert form.models([stored]) == [row]


def test_in_the_form_of_a_row_a_key_that_is_to_be_generated_stays_so() -> None:
    form = RowForm(table_of(Price))
    assert form.models([form.row(Price(name="a"))]) == [Price(name="a")]
    assert form.models([form.row(Price(price_id=3, name="a"))])[0].price_id == 3


def test_what_no_column_holds_is_told_when_the_form_is_made() -> None:
    with pytest.raises(InvalidValue, match="64-bit"):
        RowForm(table_of(Price)).row(Price(name="a", cents=2**70))
