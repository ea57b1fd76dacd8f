"""Is what users do wrong with a verb told clearly, and does it change nothing?"""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel, Field

from lythonic_state import (
    DbModel,
    FilterError,
    InvalidValue,
    StateError,
    children,
    col,
    join,
    parents,
    select_columns,
)
from tests.databases import Database


class Author(DbModel["Author"]):
    author_id: int = Field(default=-1, description="(PK)")
    name: str = Field(description="(AK)")
    born: int | None = None


class Book(DbModel["Book"]):
    book_id: int = Field(default=-1, description="(PK)")
    author_id: int = Field(description="(FK:Author.author_id)")
    title: str = ""


class Seat(DbModel["Seat"]):
    hall: str = Field(description="(PK)")
    number: int = Field(description="(PK)")


class Plain(BaseModel):
    name: str = ""


Mistake = tuple[Callable[[Any], Any], type[Exception] | tuple[type[Exception], ...], str]
ADA = Author(author_id=1, name="Ada")

MISTAKES: dict[str, Mistake] = {
    "a word for an int key": (
        lambda c: Author.load_by_id(c, "1"), FilterError, "author_id.*int"),
    "None for a key": (lambda c: Author.load_by_id(c, None), FilterError, "author_id|None"),
    "bool for a key": (lambda c: Author.load_by_id(c, True), FilterError, "author_id.*int"),
    "a large key": (lambda c: Author.load_by_id(c, 2**63), FilterError, "64-bit"),
    "one part of two": (lambda c: Seat.load_by_id(c, "a"), FilterError, "hall, number"),
    "one of two in a tuple": (lambda c: Seat.load_by_id(c, ("a",)), FilterError, "2 parts, not 1"),
    "another part": (
        lambda c: Seat.load_by_id(c, {"hall": "a", "seat": 1}), FilterError, "hall, number"),
    "update_where of nothing": (
        lambda c: Author.update_where(c, {}, name="Ada"), FilterError, "nothing to set"),
    "update_where of an unknown field": (
        lambda c: Author.update_where(c, {"nmae": "x"}, name="Ada"), FilterError, "'name'"),
    "update_where of a key": (
        lambda c: Author.update_where(c, {"author_id": 5}, name="Ada"), FilterError,
        "never rewritten"),
    "update_where of a wrong value": (
        lambda c: Author.update_where(c, {"born": "long ago"}, name="Ada"), InvalidValue,
        "Author.born cannot be 'long ago'"),
    "update_where of None": (
        lambda c: Author.update_where(c, {"name": None}, name="Ada"), InvalidValue, "Author.name"),
    "update_where of another type's column": (
        lambda c: Author.update_where(c, {"born": col(Author.name)}, name="Ada"), FilterError,
        "Author.born is"),
    "update_where with a large number": (
        lambda c: Author.update_where(c, {"born": 2**63}, name="Ada"), InvalidValue, "64-bit"),
    "patch with None": (lambda c: ADA.model_copy().patch(c, None), InvalidValue, "dict or a model"),
    "patch with a list": (
        lambda c: ADA.model_copy().patch(c, [("name", "x")]), InvalidValue, "dict or a model"),
    "create from a class": (lambda c: Author.create(c, Plain), InvalidValue, "dict or a model"),
    "parent that is none": (
        lambda c: ADA.parent(c, Book), StateError, "Author.*Book"),
    "children that are none": (
        lambda c: Book(book_id=1, author_id=1).children(c, Author), StateError, "Author"),
    "parents of two models": (
        lambda c: parents(c, [ADA], Seat), StateError, "Author.*Seat"),
    "children of none": (lambda c: children(c, [ADA], Seat), StateError, "Seat"),
    "join of strangers": (lambda c: join(c, Author, Seat), StateError, "Seat"),
    "no columns": (lambda c: select_columns(c), (StateError, TypeError), "column"),
    "a model for a column": (
        lambda c: select_columns(c, Author), (StateError, TypeError), "column"),
    "order by nothing known": (
        lambda c: Author.select(c, order_by="nmae"), FilterError, "did you mean 'name'"),
    "order by a number": (lambda c: Author.select(c, order_by=3), FilterError, "order"),
    "an unknown alternative key": (
        lambda c: Author.resolve_ak(c, nmae="Ada"), FilterError, "name"),
    "no alternative key": (lambda c: Seat.resolve_ak(c, hall="a"), StateError, "Seat"),
    "a path": (lambda c: Author.select("library.db"), TypeError, "expected a connection.*str"),
    "no connection": (lambda c: Author.select(None), TypeError, "expected a connection"),
    "a cursor": (
        lambda c: ADA.model_copy().save(object()), TypeError, "a cursor's .connection"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
async def test_a_mistake_is_told_and_changes_nothing(db: Database, name: str) -> None:
    await db.create(Author, Book, Seat)
    await db(Author(name="Ada", born=1815).save(db.conn))
    await db.commit()
    call, error, message = MISTAKES[name]
    with pytest.raises(error, match=message):
        result = call(db.conn)
        await db(result)
    assert await db.execute('SELECT author_id, name, born FROM "Author"') == [(1, "Ada", 1815)]
    assert await db.execute('SELECT count(*) FROM "Book"') == [(0,)]
    assert Author(author_id=1, name="Ada") == ADA


async def test_a_value_that_was_trusted_wrongly_is_refused_before_or_by_the_database(
    db: Database,
) -> None:
    await db.create(Author)
    for wrong in ({"name": None}, {"name": "a\0"}, {"name": "x", "born": 2**64}):
        row = Author.construct_trusted(**wrong)
        for verb in (row.save, row.insert, row.upsert):
            with pytest.raises(StateError):
                await db(verb(db.conn))
            assert row.author_id == -1
    assert await db(Author.select_count(db.conn)) == 0
