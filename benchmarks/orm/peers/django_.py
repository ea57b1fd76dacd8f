"""Django's ORM, without the rest of Django."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import django
from django.conf import settings

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": "",
            "OPTIONS": {
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL;",
            },
        }
    },
    USE_TZ=False,
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
)
django.setup()

# Django's models can only be made once it is configured.
from django.db import connection, models, transaction  # noqa: E402

from ..data import COLUMNS, new_age  # noqa: E402
from ..peer import Peer, Values  # noqa: E402


class Person(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.TextField()
    age = models.IntegerField()
    score = models.FloatField()
    active = models.BooleanField()
    email = models.TextField(null=True)
    created = models.DateTimeField()
    birth = models.DateField()
    note = models.TextField()
    addr = models.JSONField()

    class Meta:
        app_label = "benchmarks"
        db_table = "person"


class Author(models.Model):
    id = models.BigAutoField(primary_key=True)
    name = models.TextField()
    born = models.DateField()
    bio = models.TextField(null=True)

    class Meta:
        app_label = "benchmarks"
        db_table = "author"


class Book(models.Model):
    id = models.BigAutoField(primary_key=True)
    author = models.ForeignKey(Author, models.PROTECT, db_index=False)
    title = models.TextField()
    year = models.IntegerField()
    price = models.FloatField()
    tags = models.JSONField()

    class Meta:
        app_label = "benchmarks"
        db_table = "book"


MODELS: dict[str, Any] = {"person": Person, "author": Author, "book": Book}


class Django(Peer):
    title = "Django"
    packages = ("django",)
    note = (
        "no Pydantic: values are converted, not validated, and the nested model is a dict; "
        "its async verbs run the sync ones in a thread"
    )

    def open(self, target: str) -> None:
        connection.settings_dict["NAME"] = target
        connection.ensure_connection()

    def create(self) -> None:
        with connection.schema_editor() as editor:
            for model in MODELS.values():
                editor.create_model(model)

    def close(self) -> None:
        connection.close()

    def pragma(self, name: str) -> Any:
        with connection.cursor() as cursor:
            return cursor.execute(f"PRAGMA {name}").fetchone()[0]

    def objects(self, rows: Sequence[Values], keys: bool) -> list[Any]:
        return [
            Person(**row) if keys else Person(**{c: row[c] for c in COLUMNS[1:]}) for row in rows
        ]

    def fill(self, table: str, rows: Sequence[Values]) -> None:
        MODELS[table].objects.bulk_create([MODELS[table](**row) for row in rows])

    # -- workloads

    def insert_each(self, people: list[Any]) -> None:
        with transaction.atomic():
            for person in people:
                person.save(force_insert=True)

    def insert_commit(self, people: list[Any]) -> None:
        for person in people:
            person.save(force_insert=True)

    def insert_bulk(self, people: list[Any]) -> None:
        Person.objects.bulk_create(people)

    def upsert(self, people: list[Any]) -> None:
        Person.objects.bulk_create(
            people, update_conflicts=True, update_fields=COLUMNS[1:], unique_fields=["id"]
        )

    def get(self, keys: list[int]) -> list[Any]:
        return [Person.objects.get(pk=key) for key in keys]

    def filter(self, ranges: list[tuple[int, int]]) -> list[list[Any]]:
        return [
            list(Person.objects.filter(id__gt=low, id__lte=high).order_by("id"))
            for low, high in ranges
        ]

    def select(self) -> list[Any]:
        return list(Person.objects.order_by("id"))

    def stream(self) -> int:
        return sum(person.age for person in Person.objects.order_by("id").iterator())

    def update(self, keys: list[int]) -> None:
        with transaction.atomic():
            for key in keys:
                Person.objects.filter(pk=key).update(age=new_age(key))

    def load_update(self, keys: list[int]) -> None:
        with transaction.atomic():
            for key in keys:
                person = Person.objects.get(pk=key)
                person.age = new_age(key)
                person.save(update_fields=["age"])

    def join(self) -> list[Any]:
        return list(Book.objects.select_related("author").order_by("id"))

    async def async_open(self) -> None:
        """Nothing: Django opens a connection for its thread of async calls by itself."""

    async def async_close(self) -> None:
        from asgiref.sync import sync_to_async

        await sync_to_async(lambda: connection.close())()

    async def async_get(self, keys: list[int]) -> list[Any]:
        return [await Person.objects.aget(pk=key) for key in keys]

    async def async_select(self) -> list[Any]:
        return [person async for person in Person.objects.order_by("id")]


PEER = Django
