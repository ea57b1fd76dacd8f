"""Are many rows a COPY on PostgreSQL, and the same as if each had been inserted?"""

import asyncio
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import Field

from lythonic_state import AltKey, ConstraintViolation, DatabaseError, DbModel, InvalidValue
from lythonic_state.drivers import postgres
from tests.databases import Database

pytestmark = pytest.mark.parametrize("colour", ["postgres", "postgres-async"])


class Leaf(DbModel["Leaf"]):
    leaf_id: int = Field(default=-1, description="(PK)")
    text: Annotated[str, AltKey()]


def leaves(count: int = 100) -> list[Leaf]:
    return [Leaf(text=f"{number:04}\\\t\n%s") for number in range(count)]


@pytest.fixture
def copied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The COPY statements that were carried out."""
    found: list[str] = []

    def noting(name: str) -> Callable[..., Any]:
        before = getattr(postgres, name)

        def copy(cursor: Any, sql: str, rows: Any) -> Any:
            found.append(sql)
            return before(cursor, sql, rows)

        return copy

    for name in ("_copy", "_copy_async"):
        monkeypatch.setattr(postgres, name, noting(name))
    return found


async def test_many_rows_are_copied(db: Database, copied: list[str]) -> None:
    await db.create(Leaf)
    rows = leaves(1500)
    assert await db(Leaf.insert_many(db.conn, rows)) == 1500
    assert copied == ['COPY "Leaf" ("leaf_id", "text") FROM STDIN'] * 2
    assert await db(Leaf.select(db.conn, order_by="leaf_id")) == rows
    assert [row.leaf_id for row in rows] == list(range(1, 1501))
    await db(Leaf.insert_many(db.conn, [Leaf(text=f"few {n}") for n in range(99)]))
    assert len(copied) == 2


async def test_a_violation_names_its_columns_and_leaves_the_transaction_usable(
    db: Database, copied: list[str]
) -> None:
    await db.create(Leaf)
    await db(Leaf(text="before").save(db.conn))
    rows = [*leaves(), Leaf(text="before")]
    with pytest.raises(ConstraintViolation) as caught:
        await db(Leaf.insert_many(db.conn, rows))
    assert (caught.value.kind, caught.value.table) == ("unique", "Leaf")
    assert caught.value.columns == ("text",)
    assert await db(Leaf.select_count(db.conn)) == 1
    assert {row.leaf_id for row in rows} == {-1}
    assert len(copied) == 1


async def test_a_value_that_cannot_be_stored_is_named(db: Database, copied: list[str]) -> None:
    await db.create(Leaf)
    rows = [*leaves(), Leaf(text="\0")]
    with pytest.raises(InvalidValue, match=r"Leaf\.text"):
        await db(Leaf.insert_many(db.conn, rows))
    assert await db(Leaf.insert_many(db.conn, leaves())) == 100
    assert len(copied) == 2


async def test_what_a_copy_would_not_do_is_inserted(db: Database, copied: list[str]) -> None:
    await db.create(Leaf)
    assert await db(Leaf.insert_many(db.conn, leaves(), on_conflict="ignore")) == 100
    await db.execute('CREATE RULE none AS ON INSERT TO "Leaf" DO ALSO NOTHING')
    await db(Leaf.delete(db.conn, all_rows=True))
    assert await db(Leaf.insert_many(db.conn, leaves())) == 100
    await db.execute('DROP RULE none ON "Leaf"')
    await db.execute('ALTER TABLE "Leaf" RENAME TO "Tree"')
    await db.execute('CREATE VIEW "Leaf" AS SELECT * FROM "Tree"')
    rows = [Leaf(leaf_id=1000 + n, text=f"v{n}") for n in range(100)]
    assert await db(Leaf.insert_many(db.conn, rows)) == 100
    assert copied == []


async def test_nothing_is_copied_in_a_pipeline_of_the_user(db: Database, copied: list[str]) -> None:
    await db.create(Leaf)
    if db.is_async:
        async with db.conn.pipeline():
            await Leaf.insert_many(db.conn, leaves())
    else:
        with db.conn.pipeline():
            Leaf.insert_many(db.conn, leaves())
    assert (await db(Leaf.select_count(db.conn)), copied) == (100, [])


async def test_a_copy_that_waits_can_be_cancelled(db: Database, copied: list[str]) -> None:
    await db.create(Leaf)
    async with db.second() as other:
        await other.execute('LOCK TABLE "Leaf"')
        if db.is_async:
            task = asyncio.ensure_future(Leaf.insert_many(db.conn, leaves()))
        else:
            task = asyncio.ensure_future(asyncio.to_thread(Leaf.insert_many, db.conn, leaves()))
        while not await other.execute("SELECT 1 FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110  # the server knows
            await asyncio.sleep(0.01)
        if db.is_async:
            task.cancel()
        else:
            db.conn.cancel()
        with pytest.raises(asyncio.CancelledError if db.is_async else DatabaseError):
            await task
    assert await db(Leaf.insert_many(db.conn, leaves())) == 100
