"""lythonic_state, as its documentation shows it."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from pydantic import BaseModel, Field, NaiveDatetime

from lythonic_state import DbModel, Schema, join, open_db, open_sqlite_db

from ..data import new_age
from ..peer import Peer, Values


class Address(BaseModel):
    street: str
    zip: int
    tags: list[str]


class Person(DbModel["Person"], table="person"):
    id: int = Field(default=-1, description="(PK)")
    name: str
    age: int
    score: float
    active: bool
    email: str | None = None
    created: NaiveDatetime
    birth: date
    note: str
    addr: Address


class Author(DbModel["Author"], table="author"):
    id: int = Field(default=-1, description="(PK)")
    name: str
    born: date
    bio: str | None = None


class Book(DbModel["Book"], table="book"):
    id: int = Field(default=-1, description="(PK)")
    author_id: int = Field(description="(FK:author.id)")
    title: str
    year: int
    price: float
    tags: list[str]


SCHEMA = Schema([Person, Author, Book])
MODELS = {"person": Person, "author": Author, "book": Book}


def _opener(url: str) -> Any:
    if url.startswith("sqlite:///"):
        return open_sqlite_db(url.removeprefix("sqlite:///"), synchronous="NORMAL")
    return open_db(url)


class LythonicState(Peer):
    title = "lythonic_state"
    packages = ("pydantic", "aiosqlite", "psycopg")

    def open(self, target: str) -> None:
        self.url = target if "://" in target else f"sqlite:///{target}"
        self.opened = _opener(self.url)
        self.conn: Any = self.opened.__enter__()

    def create(self) -> None:
        SCHEMA.create_tables(self.conn)
        self.conn.commit()

    def close(self) -> None:
        self.opened.__exit__(None, None, None)

    def pragma(self, name: str) -> Any:
        return self.conn.execute(f"PRAGMA {name}").fetchone()[0]

    def objects(self, rows: Sequence[Values], keys: bool) -> list[Person]:
        return [Person(**(row if keys else row | {"id": -1})) for row in rows]

    def fill(self, table: str, rows: Sequence[Values]) -> None:
        MODELS[table].insert_many(self.conn, [MODELS[table](**row) for row in rows])
        self.conn.commit()

    def plain(self, found: Person) -> tuple[Any, ...]:
        return tuple(found.model_dump().values())

    def plain_pair(self, found: tuple[Book, Author]) -> tuple[Any, ...]:
        book, author = found
        return (*book.model_dump().values(), *author.model_dump().values())

    # -- workloads

    def insert_each(self, people: list[Person]) -> None:
        for person in people:
            person.save(self.conn)
        self.conn.commit()

    def insert_commit(self, people: list[Person]) -> None:
        for person in people:
            person.save(self.conn)
            self.conn.commit()

    def insert_bulk(self, people: list[Person]) -> None:
        Person.insert_many(self.conn, people)
        self.conn.commit()

    def upsert(self, people: list[Person]) -> None:
        Person.upsert_many(self.conn, people)
        self.conn.commit()

    def get(self, keys: list[int]) -> list[Person | None]:
        return [Person.load_by_id(self.conn, key) for key in keys]

    def filter(self, ranges: list[tuple[int, int]]) -> list[list[Person]]:
        return [
            Person.select(self.conn, gt__id=low, lte__id=high, order_by="id")
            for low, high in ranges
        ]

    def select(self) -> list[Person]:
        return Person.select(self.conn, order_by="id")

    def stream(self) -> int:
        return sum(person.age for person in Person.iterate(self.conn, order_by="id"))

    def update(self, keys: list[int]) -> None:
        for key in keys:
            Person.update_where(self.conn, {"age": new_age(key)}, id=key)
        self.conn.commit()

    def load_update(self, keys: list[int]) -> None:
        for key in keys:
            person = Person.load_by_id(self.conn, key)
            assert person is not None
            person.patch(self.conn, {"age": new_age(key)})
        self.conn.commit()

    def join(self) -> list[tuple[Book, Author]]:
        return join(self.conn, Book, Author, order_by="Book__id")

    async def async_open(self) -> None:
        self.aopened = _opener(self.url)
        self.aconn: Any = await self.aopened.__aenter__()

    async def async_close(self) -> None:
        await self.aopened.__aexit__(None, None, None)

    async def async_get(self, keys: list[int]) -> list[Person | None]:
        return [await Person.load_by_id(self.aconn, key) for key in keys]

    async def async_select(self) -> list[Person]:
        found: list[Person] = await Person.select(self.aconn, order_by="id")
        return found


PEER = LythonicState
