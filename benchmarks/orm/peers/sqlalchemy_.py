"""SQLAlchemy's ORM with declarative models."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from ._alchemy import Alchemy


class Base(DeclarativeBase):
    pass


class Person(Base):
    __tablename__ = "person"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    age: Mapped[int]
    score: Mapped[float]
    active: Mapped[bool]
    email: Mapped[str | None]
    created: Mapped[datetime]
    birth: Mapped[date]
    note: Mapped[str]
    addr: Mapped[dict[str, Any]] = mapped_column(JSON)


class Author(Base):
    __tablename__ = "author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    born: Mapped[date]
    bio: Mapped[str | None]


class Book(Base):
    __tablename__ = "book"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int] = mapped_column(ForeignKey("author.id"))
    title: Mapped[str]
    year: Mapped[int]
    price: Mapped[float]
    tags: Mapped[list[str]] = mapped_column(JSON)


class SqlAlchemy(Alchemy):
    title = "SQLAlchemy"
    packages = ("sqlalchemy",)
    note = (
        "no Pydantic: values are converted, not validated, and the nested model is a dict; "
        "its session sends the rows of one transaction together, also where they are added one "
        "by one, and makes each author of a join once"
    )
    metadata = Base.metadata
    person, author, book = Person, Author, Book


PEER = SqlAlchemy
