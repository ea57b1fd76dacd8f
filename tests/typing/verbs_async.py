"""What type checkers say of each verb on async connections; nothing here runs a verb."""

# ruff: noqa: F841
# pyright: reportUnusedVariable=false
# what a wrong use would give is assigned, so that its type is looked at

from __future__ import annotations

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, assert_type

import aiosqlite

from lythonic_state import (
    Change,
    DbFile,
    Page,
    Plan,
    Schema,
    avg,
    children,
    count,
    join,
    left,
    max_,
    open_db,
    open_sqlite_db,
    parents,
    select_columns,
    sum_,
    transaction,
)

from .models import Author, Book, Plain, Task

if TYPE_CHECKING:
    import psycopg


async def verbs_of_one_row(conn: aiosqlite.Connection, book: Book) -> None:
    assert_type(await book.save(conn), Book)
    assert_type(await book.insert(conn), Book)
    assert_type(await book.insert(conn, auto_increment=True), Book)
    assert_type(await Book.create(conn, {"title": "x"}, year=1), Book)
    assert_type(await book.update(conn), int)
    assert_type(await book.update(conn, year=1900), int)
    assert_type(await book.patch(conn, {"year": 1}), Book)
    assert_type(await book.upsert(conn, on=["title"], update=["year"]), Book)
    assert_type(await Book.get_or_create(conn, {"year": 1}, title="x"), tuple[Book, bool])
    assert_type(await book.refresh(conn), Book)
    assert_type(await book.delete_row(conn), int)
    assert_type(await book.parent(conn, Author), Author | None)
    assert_type(await book.to_ak_dict(conn), dict[str, Any])


async def verbs_on_psycopg(conn: psycopg.AsyncConnection[Any], book: Book) -> None:
    assert_type(await book.save(conn), Book)
    assert_type(await Book.select(conn), list[Book])
    assert_type(await Book.load_by_id(conn, 1), Book | None)
    assert_type(await Book.page(conn, order_by="title"), Page[Book])
    assert_type(Book.iterate(conn), AsyncIterator[Book])
    assert_type(await join(conn, Book, Author), list[tuple[Book, Author]])


async def reading_verbs(conn: aiosqlite.Connection) -> None:
    assert_type(await Book.select(conn, Book.year > 1900, order_by=Book.year.desc()), list[Book])
    assert_type(await Book.first(conn, order_by="-year"), Book | None)
    assert_type(await Book.get(conn, title="x"), Book)
    assert_type(await Book.load_by_id(conn, 1), Book | None)
    assert_type(await Book.select_count(conn, Book.year.is_null()), int)
    assert_type(await Book.exists(conn, title="x"), bool)
    page = await Book.page(conn, "title", 20, after=None)
    assert_type(page, Page[Book])
    assert_type(page.items, list[Book])
    assert_type(page.next, str | None)
    assert_type(Book.iterate(conn, 500), AsyncIterator[Book])
    assert_type(await Task.select(conn), list[Task])


async def bulk_verbs(conn: aiosqlite.Connection, books: list[Book]) -> None:
    assert_type(await Book.insert_many(conn, books, on_conflict="ignore"), int)
    assert_type(await Book.save_many(conn, (book for book in books)), int)
    assert_type(await Book.upsert_many(conn, books, on=["title"]), int)
    assert_type(await Book.update_where(conn, {"year": Book.year + 1}, title="x"), int)
    assert_type(await Book.update_where(conn, {"year": 3000 - Book.year}, title="x"), int)
    assert_type(await Book.delete(conn, Book.title == "x"), int)


async def verbs_across_models(conn: aiosqlite.Connection, books: list[Book], jane: Author) -> None:
    assert_type(await join(conn, Book, Author), list[tuple[Book, Author]])
    assert_type(await join(conn, Book, left(Author)), list[tuple[Book, Author | None]])
    assert_type(
        await join(conn, Book, left(Author), Plain), list[tuple[Book, Author | None, Plain]]
    )
    assert_type(await join(conn, Book, Author, Plain, Task), list[tuple[Book, Author, Plain, Task]])
    assert_type(await jane.children(conn, Book, order_by="title"), list[Book])
    assert_type(await parents(conn, books, Author), list[Author | None])
    assert_type(await children(conn, [jane], Book), list[list[Book]])
    assert_type(await Book.descendants(conn, 1), list[Book])
    assert_type(await Book.ancestors(conn, 1), list[Book])
    assert_type(await Book.load_by_ak(conn, title="x"), Book | None)
    assert_type(await Book.to_ak_dicts(conn, books), list[dict[str, Any]])


async def columns_and_aggregates(conn: aiosqlite.Connection) -> None:
    assert_type(await select_columns(conn, Book.title), list[tuple[str]])
    assert_type(await select_columns(conn, Book.title, Book.year), list[tuple[str, int | None]])
    assert_type(
        await select_columns(conn, Book.title, count(), max_(Book.price), group_by=Book.title),
        list[tuple[str, int, Decimal | None]],
    )
    assert_type(
        await select_columns(conn, sum_(Book.price), avg(Book.book_id)),
        list[tuple[Decimal | None, float | None]],
    )
    assert_type(await select_columns(conn, Book.title, into=Plain), list[Plain])


async def openers() -> None:
    async with open_sqlite_db("library.db") as conn:
        assert_type(conn, aiosqlite.Connection)
    async with open_db("sqlite://") as anything:
        assert_type(await Book.select(anything), list[Book])
        async with transaction(anything):
            await Book.delete(anything, all_rows=True)
        await Schema([Author, Book]).create_tables(anything)


async def schemas(conn: aiosqlite.Connection) -> None:
    schema = Schema([Author, Book])
    assert_type(await schema.create_schema(conn), None)
    assert_type(await schema.create_tables(conn), None)
    assert_type(await schema.check_all_tables_exist(conn), Literal[True])
    assert_type(await schema.diff(conn), list[Change])
    assert_type(await schema.migrate(conn, dry_run=True), Plan)
    async with DbFile("library.db", schema).open() as opened:
        assert_type(opened, aiosqlite.Connection)


async def wrong_uses(conn: aiosqlite.Connection, book: Book) -> None:
    count_of_books: int = Book.select_count(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    Book.select(conn)[0]  # type: ignore[index]  # pyright: ignore[reportIndexIssue]
    for _ in Book.iterate(conn):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    await Book.get(conn, title="x").title  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    with open_sqlite_db("library.db") as sync:
        await Book.select(sync)  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]
    del count_of_books, book


async def every_verb_is_awaited(
    conn: aiosqlite.Connection, book: Book, books: list[Book], jane: Author
) -> None:
    row: Book
    number: int
    rows: list[Book]
    row = book.save(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    row = book.insert(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    row = Book.create(conn, {})  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    row = book.patch(conn, {})  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    row = book.upsert(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    row = book.refresh(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    row = Book.get(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number = book.update(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number = book.delete_row(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number = Book.select_count(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number = Book.insert_many(conn, books)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number = Book.save_many(conn, books)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number = Book.upsert_many(conn, books)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number = Book.update_where(conn, {})  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    number = Book.delete(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    rows = Book.select(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    rows = jane.children(conn, Book)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    rows = Book.descendants(conn, 1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    rows = Book.ancestors(conn, 1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    maybe: Book | None
    maybe = Book.first(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    maybe = Book.load_by_id(conn, 1)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    maybe = Book.load_by_ak(conn, title="x")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    author: Author | None
    author = book.parent(conn, Author)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    yes: bool
    yes = Book.exists(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    page: Page[Book]
    page = Book.page(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    made: tuple[Book, bool]
    made = Book.get_or_create(conn, title="x")  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    names: dict[str, Any]
    names = book.to_ak_dict(conn)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    all_names: list[dict[str, Any]]
    all_names = Book.to_ak_dicts(conn, books)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    pairs: list[tuple[Book, Author]]
    pairs = join(conn, Book, Author)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    above: list[Author | None]
    above = parents(conn, books, Author)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    below: list[list[Book]]
    below = children(conn, [jane], Book)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    titles: list[tuple[str]]
    titles = select_columns(conn, Book.title)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
