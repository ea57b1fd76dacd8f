"""sqlite3 and pydantic by hand: what the ratios are ratios to."""

from __future__ import annotations

import json
import sqlite3
from datetime import date
from typing import Any

from pydantic import BaseModel, NaiveDatetime

from ..data import AUTHOR_COLUMNS, BOOK_COLUMNS, COLUMNS, new_age
from ..peer import Peer, Values
from ._sql import FILTER, GET, INSERT, JOIN, SELECT_ALL, TABLES, UPDATE, UPSERT


class Address(BaseModel):
    street: str
    zip: int
    tags: list[str]


class Person(BaseModel):
    id: int = -1
    name: str
    age: int
    score: float
    active: bool
    email: str | None = None
    created: NaiveDatetime
    birth: date
    note: str
    addr: Address


class Author(BaseModel):
    id: int = -1
    name: str
    born: date
    bio: str | None = None


class Book(BaseModel):
    id: int = -1
    author_id: int
    title: str
    year: int
    price: float
    tags: list[str]


def stored(person: Person) -> tuple[Any, ...]:
    return (
        person.name,
        person.age,
        person.score,
        person.active,
        person.email,
        person.created.isoformat(),
        person.birth.isoformat(),
        person.note,
        person.addr.model_dump_json(),
    )


def read(row: tuple[Any, ...]) -> Person:
    values = dict(zip(COLUMNS, row, strict=True))
    values["addr"] = json.loads(values["addr"])
    return Person.model_validate(values)


def read_pair(row: tuple[Any, ...]) -> tuple[Book, Author]:
    book = dict(zip(BOOK_COLUMNS, row[: len(BOOK_COLUMNS)], strict=True))
    book["tags"] = json.loads(book["tags"])
    author = dict(zip(AUTHOR_COLUMNS, row[len(BOOK_COLUMNS) :], strict=True))
    return Book.model_validate(book), Author.model_validate(author)


class HandWritten(Peer):
    title = "sqlite3 + model_validate"
    packages = ("pydantic",)

    def open(self, target: str) -> None:
        self.target = target
        self.conn = sqlite3.connect(target, isolation_level="IMMEDIATE")
        self.conn.execute("PRAGMA journal_mode = WAL")
        self.conn.execute("PRAGMA synchronous = NORMAL")
        self.conn.execute("PRAGMA foreign_keys = ON")

    def create(self) -> None:
        self.conn.executescript(TABLES)

    def close(self) -> None:
        self.conn.close()

    def pragma(self, name: str) -> Any:
        return self.conn.execute(f"PRAGMA {name}").fetchone()[0]

    def objects(self, rows: list[Values], keys: bool) -> list[Person]:
        return [Person(**(row if keys else row | {"id": -1})) for row in rows]

    def fill(self, table: str, rows: list[Values]) -> None:
        marks = ", ".join("?" for _ in rows[0])
        values = (
            tuple(json.dumps(v) if isinstance(v, dict | list) else _text(v) for v in row.values())
            for row in rows
        )
        self.conn.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
        self.conn.commit()

    def plain(self, found: Person) -> tuple[Any, ...]:
        return tuple(found.model_dump().values())

    def plain_pair(self, found: tuple[Book, Author]) -> tuple[Any, ...]:
        book, author = found
        return (*book.model_dump().values(), *author.model_dump().values())

    # -- workloads

    def insert_each(self, people: list[Person]) -> None:
        for person in people:
            key = self.conn.execute(INSERT, stored(person)).lastrowid
            assert key is not None
            person.id = key
        self.conn.commit()

    def insert_commit(self, people: list[Person]) -> None:
        for person in people:
            key = self.conn.execute(INSERT, stored(person)).lastrowid
            assert key is not None
            person.id = key
            self.conn.commit()

    def insert_bulk(self, people: list[Person]) -> None:
        self.conn.executemany(INSERT, (stored(person) for person in people))
        self.conn.commit()

    def upsert(self, people: list[Person]) -> None:
        self.conn.executemany(UPSERT, ((person.id, *stored(person)) for person in people))
        self.conn.commit()

    def get(self, keys: list[int]) -> list[Person]:
        return [read(self.conn.execute(GET, (key,)).fetchone()) for key in keys]

    def filter(self, ranges: list[tuple[int, int]]) -> list[list[Person]]:
        return [[read(row) for row in self.conn.execute(FILTER, ends)] for ends in ranges]

    def select(self) -> list[Person]:
        return [read(row) for row in self.conn.execute(SELECT_ALL)]

    def stream(self) -> int:
        return sum(read(row).age for row in self.conn.execute(SELECT_ALL))

    def update(self, keys: list[int]) -> None:
        for key in keys:
            self.conn.execute(UPDATE, (new_age(key), key))
        self.conn.commit()

    def load_update(self, keys: list[int]) -> None:
        for key in keys:
            person = read(self.conn.execute(GET, (key,)).fetchone())
            person.age = new_age(key)
            self.conn.execute(UPDATE, (person.age, key))
        self.conn.commit()

    def join(self) -> list[tuple[Book, Author]]:
        return [read_pair(row) for row in self.conn.execute(JOIN)]

    async def async_open(self) -> None:
        import aiosqlite  # costs an import of asyncio, which the other workloads do without

        self.aconn = await aiosqlite.connect(self.target)

    async def async_close(self) -> None:
        await self.aconn.close()

    async def async_get(self, keys: list[int]) -> list[Person]:
        found = []
        for key in keys:
            cursor = await self.aconn.execute(GET, (key,))
            row = await cursor.fetchone()
            await cursor.close()
            assert row is not None
            found.append(read(tuple(row)))
        return found

    async def async_select(self) -> list[Person]:
        cursor = await self.aconn.execute(SELECT_ALL)
        rows = await cursor.fetchall()
        await cursor.close()
        return [read(row) for row in rows]


def _text(value: Any) -> Any:
    return value.isoformat() if isinstance(value, date) else value


PEER = HandWritten
