"""Piccolo: async only, so its sync workloads run in one event loop."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from piccolo.columns import (
    JSON,
    BigInt,
    Boolean,
    Date,
    DoublePrecision,
    ForeignKey,
    Integer,
    Serial,
    Text,
    Timestamp,
)
from piccolo.engine.sqlite import SQLiteEngine
from piccolo.table import Table

from ..data import AUTHOR_COLUMNS, BOOK_COLUMNS, COLUMNS, new_age
from ..peer import Peer, Values


class Connection(sqlite3.Connection):
    """Piccolo has no option for it, and opens a connection for each query."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.execute("PRAGMA journal_mode = WAL")
        self.execute("PRAGMA synchronous = NORMAL")


ENGINE = SQLiteEngine(factory=Connection)


class Person(Table, db=ENGINE, tablename="person"):
    id = Serial(primary_key=True)
    name = Text()
    age = Integer()
    score = DoublePrecision()
    active = Boolean()
    email = Text(null=True, default=None)
    created = Timestamp()
    birth = Date()
    note = Text()
    addr = JSON()


class Author(Table, db=ENGINE, tablename="author"):
    id = Serial(primary_key=True)
    name = Text()
    born = Date()
    bio = Text(null=True, default=None)


class Book(Table, db=ENGINE, tablename="book"):
    id = Serial(primary_key=True)
    author_id = ForeignKey(Author)
    title = Text()
    year = BigInt()
    price = DoublePrecision()
    tags = JSON()


MODELS: dict[str, Any] = {"person": Person, "author": Author, "book": Book}
AT_ONCE = 1000  # SQLite takes 32,766 parameters, and Piccolo does not cut


class Piccolo(Peer):
    title = "Piccolo"
    packages = ("piccolo", "aiosqlite")
    note = (
        "async only, and a new connection for each query outside a transaction, which stands in "
        "all of its times; no Pydantic: the nested model is a dict"
    )

    async def open(self, target: str) -> None:
        ENGINE.path = target

    async def create(self) -> None:
        for model in MODELS.values():
            await model.create_table(if_not_exists=True)

    async def close(self) -> None:
        """Nothing: no connection stays open."""

    async def pragma(self, name: str) -> Any:
        return next(iter((await Person.raw(f"PRAGMA {name}"))[0].values()))

    def objects(self, rows: Sequence[Values], keys: bool) -> list[Any]:
        return [
            Person(**row) if keys else Person(**{c: row[c] for c in COLUMNS[1:]}) for row in rows
        ]

    async def fill(self, table: str, rows: Sequence[Values]) -> None:
        for start in range(0, len(rows), AT_ONCE):
            objects = [MODELS[table](**row) for row in rows[start : start + AT_ONCE]]
            await MODELS[table].insert(*objects)

    def plain_pair(self, found: Any) -> tuple[Any, ...]:
        author = found.author_id
        *book, tags = (getattr(found, column) for column in BOOK_COLUMNS if column != "author_id")
        return (
            book[0],
            author.id,
            *book[1:],
            tags,
            *(getattr(author, column) for column in AUTHOR_COLUMNS),
        )

    # -- workloads

    async def insert_each(self, people: list[Any]) -> None:
        async with ENGINE.transaction():
            for person in people:
                await person.save()

    async def insert_commit(self, people: list[Any]) -> None:
        for person in people:
            await person.save()

    async def insert_bulk(self, people: list[Any]) -> None:
        async with ENGINE.transaction():
            for start in range(0, len(people), AT_ONCE):
                await Person.insert(*people[start : start + AT_ONCE])

    async def upsert(self, people: list[Any]) -> None:
        async with ENGINE.transaction():
            for start in range(0, len(people), AT_ONCE):
                await Person.insert(*people[start : start + AT_ONCE]).on_conflict(
                    target=Person.id, action="DO UPDATE", values=Person.all_columns()[1:]
                )

    async def get(self, keys: list[int]) -> list[Any]:
        return [await Person.objects().get(Person.id == key).output(load_json=True) for key in keys]

    async def filter(self, ranges: list[tuple[int, int]]) -> list[list[Any]]:
        return [
            await Person.objects()
            .where((Person.id > low) & (Person.id <= high))
            .order_by(Person.id)
            .output(load_json=True)
            for low, high in ranges
        ]

    async def select(self) -> list[Any]:
        found: list[Any] = await Person.objects().order_by(Person.id).output(load_json=True)
        return found

    async def stream(self) -> int:
        ages = 0
        query = Person.objects().order_by(Person.id).output(load_json=True)
        async with await query.batch(batch_size=1000) as batches:
            async for batch in batches:
                ages += sum(person.age for person in batch)
        return ages

    async def update(self, keys: list[int]) -> None:
        async with ENGINE.transaction():
            for key in keys:
                await Person.update({Person.age: new_age(key)}).where(Person.id == key)

    async def load_update(self, keys: list[int]) -> None:
        async with ENGINE.transaction():
            for key in keys:
                person = await Person.objects().get(Person.id == key)
                assert person is not None
                person.age = new_age(key)
                await person.save(columns=[Person.age])

    async def join(self) -> list[Any]:
        found: list[Any] = (
            await Book.objects(Book.author_id).order_by(Book.id).output(load_json=True)
        )
        return found

    async_get = get
    async_select = select


PEER = Piccolo
