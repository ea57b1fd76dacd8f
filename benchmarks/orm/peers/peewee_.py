"""Peewee: no Pydantic, JSON from its SQLite extension."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import peewee
from playhouse.sqlite_ext import JSONField

from ..data import COLUMNS, new_age
from ..peer import Peer, Values

DATABASE = peewee.SqliteDatabase(None)


class Base(peewee.Model):
    class Meta:
        database = DATABASE


class Person(Base):
    id = peewee.AutoField()
    name = peewee.TextField()
    age = peewee.IntegerField()
    score = peewee.FloatField()
    active = peewee.BooleanField()
    email = peewee.TextField(null=True)
    created = peewee.DateTimeField()
    birth = peewee.DateField()
    note = peewee.TextField()
    addr = JSONField()


class Author(Base):
    id = peewee.AutoField()
    name = peewee.TextField()
    born = peewee.DateField()
    bio = peewee.TextField(null=True)


class Book(Base):
    id = peewee.AutoField()
    author = peewee.ForeignKeyField(Author, index=False)
    title = peewee.TextField()
    year = peewee.IntegerField()
    price = peewee.FloatField()
    tags = JSONField()


MODELS: dict[str, Any] = {"person": Person, "author": Author, "book": Book}


class Peewee(Peer):
    title = "Peewee"
    packages = ("peewee",)
    note = "no Pydantic: values are converted, not validated, and the nested model is a dict"

    def open(self, target: str) -> None:
        DATABASE.init(
            target, pragmas={"journal_mode": "wal", "synchronous": "normal", "foreign_keys": 1}
        )
        DATABASE.connect()

    def create(self) -> None:
        DATABASE.create_tables([Person, Author, Book])

    def close(self) -> None:
        DATABASE.close()

    def pragma(self, name: str) -> Any:
        return DATABASE.execute_sql(f"PRAGMA {name}").fetchone()[0]

    def objects(self, rows: Sequence[Values], keys: bool) -> list[Any]:
        return [
            Person(**row) if keys else Person(**{k: v for k, v in row.items() if k != "id"})
            for row in rows
        ]

    def fill(self, table: str, rows: Sequence[Values]) -> None:
        with DATABASE.atomic():
            for start in range(0, len(rows), 1000):
                MODELS[table].insert_many(rows[start : start + 1000]).execute()

    # -- workloads

    def insert_each(self, people: list[Any]) -> None:
        with DATABASE.atomic():
            for person in people:
                person.save(force_insert=True)

    def insert_commit(self, people: list[Any]) -> None:
        for person in people:
            person.save(force_insert=True)

    def insert_bulk(self, people: list[Any]) -> None:
        with DATABASE.atomic():
            Person.bulk_create(people, batch_size=1000)

    def upsert(self, people: list[Any]) -> None:
        fields = [getattr(Person, column) for column in COLUMNS[1:]]
        with DATABASE.atomic():
            for start in range(0, len(people), 1000):
                rows = [person.__data__ for person in people[start : start + 1000]]
                Person.insert_many(rows).on_conflict(
                    conflict_target=[Person.id], preserve=fields
                ).execute()

    def get(self, keys: list[int]) -> list[Any]:
        return [Person.get_by_id(key) for key in keys]

    def filter(self, ranges: list[tuple[int, int]]) -> list[list[Any]]:
        return [
            list(Person.select().where(Person.id > low, Person.id <= high).order_by(Person.id))
            for low, high in ranges
        ]

    def select(self) -> list[Any]:
        return list(Person.select().order_by(Person.id))

    def stream(self) -> int:
        return sum(person.age for person in Person.select().order_by(Person.id).iterator())

    def update(self, keys: list[int]) -> None:
        with DATABASE.atomic():
            for key in keys:
                Person.update(age=new_age(key)).where(Person.id == key).execute()

    def load_update(self, keys: list[int]) -> None:
        with DATABASE.atomic():
            for key in keys:
                person = Person.get_by_id(key)
                person.age = new_age(key)
                person.save(only=[Person.age])

    def join(self) -> list[Any]:
        return list(Book.select(Book, Author).join(Author).order_by(Book.id))


PEER = Peewee
