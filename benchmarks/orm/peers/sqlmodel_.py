"""SQLModel: SQLAlchemy's session with models of Pydantic's kind."""

from __future__ import annotations

from datetime import date
from typing import Any

from pydantic import NaiveDatetime
from sqlmodel import JSON, Column, Field, SQLModel

from ._alchemy import Alchemy


class Person(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str
    age: int
    score: float
    active: bool
    email: str | None = None
    created: NaiveDatetime
    birth: date
    note: str
    addr: dict[str, Any] = Field(sa_column=Column(JSON, nullable=False))


class Author(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    name: str
    born: date
    bio: str | None = None


class Book(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    author_id: int = Field(foreign_key="author.id")
    title: str
    year: int
    price: float
    tags: list[str] = Field(sa_column=Column(JSON, nullable=False))


class SqlModel(Alchemy):
    title = "SQLModel"
    packages = ("sqlmodel", "sqlalchemy", "pydantic")
    note = (
        "a model that is a table does not validate, and its nested model is a dict; "
        "the session is SQLAlchemy's"
    )
    metadata = SQLModel.metadata
    person, author, book = Person, Author, Book


PEER = SqlModel
