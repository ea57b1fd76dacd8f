"""Tortoise: async only, so its sync workloads run in one event loop, opened beforehand."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tortoise import Tortoise, fields
from tortoise.models import Model
from tortoise.transactions import in_transaction

from ..data import COLUMNS, new_age
from ..peer import Peer, Values


class Person(Model):
    id = fields.BigIntField(primary_key=True)
    name = fields.TextField()
    age = fields.IntField()
    score = fields.FloatField()
    active = fields.BooleanField()
    email = fields.TextField(null=True)
    created = fields.DatetimeField()
    birth = fields.DateField()
    note = fields.TextField()
    addr: Any = fields.JSONField()

    class Meta:
        table = "person"


class Author(Model):
    id = fields.BigIntField(primary_key=True)
    name = fields.TextField()
    born = fields.DateField()
    bio = fields.TextField(null=True)

    class Meta:
        table = "author"


class Book(Model):
    id = fields.BigIntField(primary_key=True)
    author: Any = fields.ForeignKeyField("models.Author")
    title = fields.TextField()
    year = fields.IntField()
    price = fields.FloatField()
    tags: Any = fields.JSONField()

    class Meta:
        table = "book"


MODELS: dict[str, Any] = {"person": Person, "author": Author, "book": Book}


class TortoiseOrm(Peer):
    title = "Tortoise"
    packages = ("tortoise-orm", "aiosqlite", "asyncpg")
    note = (
        "async only: its time in a sync row includes its event loop and thread; no Pydantic: the "
        "nested model is a dict; reads everything where the others stream"
    )

    async def open(self, target: str) -> None:
        self.is_sqlite = "://" not in target
        url = f"sqlite://{target}?journal_mode=WAL&synchronous=NORMAL&foreign_keys=ON"
        if not self.is_sqlite:
            url = target.replace("postgresql://", "asyncpg://")
        await Tortoise.init(db_url=url, modules={"models": [__name__]}, use_tz=False)

    async def create(self) -> None:
        await Tortoise.generate_schemas()

    async def close(self) -> None:
        await Tortoise.close_connections()

    async def pragma(self, name: str) -> Any:
        rows = await Tortoise.get_connection("default").execute_query_dict(f"PRAGMA {name}")
        return rows[0][name]

    def objects(self, rows: Sequence[Values], keys: bool) -> list[Any]:
        return [
            Person(**row) if keys else Person(**{c: row[c] for c in COLUMNS[1:]}) for row in rows
        ]

    async def fill(self, table: str, rows: Sequence[Values]) -> None:
        await MODELS[table].bulk_create([MODELS[table](**row) for row in rows], batch_size=1000)

    # -- workloads

    async def insert_each(self, people: list[Any]) -> None:
        async with in_transaction() as conn:
            for person in people:
                await person.save(using_db=conn)

    async def insert_commit(self, people: list[Any]) -> None:
        for person in people:
            await person.save()

    async def insert_bulk(self, people: list[Any]) -> None:
        await Person.bulk_create(people)

    async def upsert(self, people: list[Any]) -> None:
        await Person.bulk_create(people, on_conflict=["id"], update_fields=COLUMNS[1:])

    async def get(self, keys: list[int]) -> list[Any]:
        return [await Person.get(id=key) for key in keys]

    async def filter(self, ranges: list[tuple[int, int]]) -> list[list[Any]]:
        return [
            await Person.filter(id__gt=low, id__lte=high).order_by("id") for low, high in ranges
        ]

    async def select(self) -> list[Any]:
        return await Person.all().order_by("id")

    async def stream(self) -> int:
        return sum([person.age async for person in Person.all().order_by("id")])

    async def update(self, keys: list[int]) -> None:
        async with in_transaction() as conn:
            for key in keys:
                await Person.filter(id=key).using_db(conn).update(age=new_age(key))

    async def load_update(self, keys: list[int]) -> None:
        async with in_transaction() as conn:
            for key in keys:
                person = await Person.get(id=key, using_db=conn)
                person.age = new_age(key)
                await person.save(update_fields=["age"], using_db=conn)

    async def join(self) -> list[Any]:
        return await Book.all().select_related("author").order_by("id")

    async_get = get
    async_select = select


PEER = TortoiseOrm
