"""Which models the typing tests speak of."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from pydantic import Field

from lythonic_state import Col, DbModel, UserOwned, column


class Author(DbModel["Author"]):
    author_id: Col[int] = column(default=-1, description="(PK)")
    name: Col[str]


class Book(DbModel["Book"]):
    book_id: Col[int] = column(default=-1, description="(PK)")
    author_id: Col[int] = column(description="(FK:Author.author_id)")
    title: Col[str]
    year: Col[int | None] = column(default=None)
    price: Col[Decimal] = column(default=Decimal(0), max_digits=9, decimal_places=2)
    added: Col[datetime]


class Plain(DbModel):
    plain_id: int = Field(default=-1, description="(PK)")
    name: str
    year: int | None = None


class Task(UserOwned["Task"]):
    task_id: int = Field(default=-1, description="(PK)")
    title: str
