"""What type checkers say of each verb on sync connections; nothing here runs a verb."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, assert_type

from lythonic_state import (
    Change,
    DbFile,
    Page,
    Plan,
    Schema,
    avg,
    children,
    col,
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


def verbs_of_one_row(conn: sqlite3.Connection, book: Book) -> None:
    assert_type(book.save(conn), Book)
    assert_type(book.insert(conn), Book)
    assert_type(book.insert(conn, auto_increment=True), Book)
    assert_type(Book.create(conn, {"title": "x"}, year=1), Book)
    assert_type(book.update(conn), int)
    assert_type(book.update(conn, year=1900), int)
    assert_type(book.patch(conn, {"year": 1}), Book)
    assert_type(book.upsert(conn, on=["title"], update=["year"]), Book)
    assert_type(Book.get_or_create(conn, {"year": 1}, title="x"), tuple[Book, bool])
    assert_type(book.refresh(conn), Book)
    assert_type(book.delete_row(conn), int)
    assert_type(book.parent(conn, Author), Author | None)
    assert_type(book.to_ak_dict(conn), dict[str, Any])


def verbs_on_psycopg(conn: psycopg.Connection[Any], book: Book) -> None:
    assert_type(book.save(conn), Book)
    assert_type(Book.select(conn), list[Book])
    assert_type(Book.load_by_id(conn, 1), Book | None)
    assert_type(Book.page(conn, order_by="title"), Page[Book])
    assert_type(Book.iterate(conn), Iterator[Book])
    assert_type(join(conn, Book, Author), list[tuple[Book, Author]])


def reading_verbs(conn: sqlite3.Connection) -> None:
    assert_type(Book.select(conn, Book.year > 1900, order_by=Book.year.desc()), list[Book])
    assert_type(Book.first(conn, order_by="-year"), Book | None)
    assert_type(Book.get(conn, title="x"), Book)
    assert_type(Book.load_by_id(conn, 1), Book | None)
    assert_type(Book.select_count(conn, Book.year.is_null()), int)
    assert_type(Book.exists(conn, title="x"), bool)
    page = Book.page(conn, "title", 20, after=None)
    assert_type(page, Page[Book])
    assert_type(page.items, list[Book])
    assert_type(page.next, str | None)
    assert_type(Book.iterate(conn, 500), Iterator[Book])
    assert_type(Task.select(conn), list[Task])


def bulk_verbs(conn: sqlite3.Connection, books: list[Book]) -> None:
    assert_type(Book.insert_many(conn, books, on_conflict="ignore"), int)
    assert_type(Book.save_many(conn, (book for book in books)), int)
    assert_type(Book.upsert_many(conn, books, on=["title"]), int)
    assert_type(Book.update_where(conn, {"year": Book.year + 1}, title="x"), int)
    assert_type(Book.update_where(conn, {"year": 3000 - Book.year}, title="x"), int)
    assert_type(Book.delete(conn, Book.title == "x"), int)


def verbs_across_models(conn: sqlite3.Connection, books: list[Book], jane: Author) -> None:
    assert_type(join(conn, Book, Author), list[tuple[Book, Author]])
    assert_type(join(conn, Book, left(Author)), list[tuple[Book, Author | None]])
    assert_type(join(conn, Book, left(Author), Plain), list[tuple[Book, Author | None, Plain]])
    assert_type(join(conn, Book, Author, Plain, Task), list[tuple[Book, Author, Plain, Task]])
    assert_type(jane.children(conn, Book, order_by="title"), list[Book])
    assert_type(parents(conn, books, Author), list[Author | None])
    assert_type(children(conn, [jane], Book), list[list[Book]])
    assert_type(Book.descendants(conn, 1), list[Book])
    assert_type(Book.ancestors(conn, 1), list[Book])
    assert_type(Book.load_by_ak(conn, title="x"), Book | None)
    assert_type(Book.to_ak_dicts(conn, books), list[dict[str, Any]])


def columns_and_aggregates(conn: sqlite3.Connection) -> None:
    assert_type(select_columns(conn, Book.title), list[tuple[str]])
    assert_type(select_columns(conn, Book.title, Book.year), list[tuple[str, int | None]])
    assert_type(
        select_columns(conn, Book.title, count(), max_(Book.price), group_by=Book.title),
        list[tuple[str, int, Decimal | None]],
    )
    assert_type(
        select_columns(conn, sum_(Book.price), avg(Book.book_id)),
        list[tuple[Decimal | None, float | None]],
    )
    assert_type(select_columns(conn, Book.title, into=Plain), list[Plain])


def openers() -> None:
    with open_sqlite_db("library.db") as conn:
        assert_type(conn, sqlite3.Connection)
    with open_db("sqlite://") as anything:
        assert_type(Book.select(anything), list[Book])
        with transaction(anything):
            Book.delete(anything, all_rows=True)
        Schema([Author, Book]).create_tables(anything)


def schemas(conn: sqlite3.Connection) -> None:
    schema = Schema([Author, Book])
    assert_type(schema.create_schema("library.db"), None)
    assert_type(schema.create_schema(conn), None)
    assert_type(schema.create_tables(conn), None)
    assert_type(schema.check_all_tables_exist(conn), Literal[True])
    assert_type(schema.ddl("postgres", row_level_security=True), str)
    assert_type(schema.diff(conn), list[Change])
    assert_type(schema.migrate(conn, dry_run=True), Plan)
    with DbFile("library.db", schema).check().open() as opened:
        assert_type(opened, sqlite3.Connection)


def columns_on_class_and_instance(book: Book) -> None:
    assert_type(book.year, int | None)
    assert_type(book.title, str)
    assert_type(Author(name="x"), Author)
    col(Plain.year)


def wrong_uses(conn: sqlite3.Connection, book: Book) -> None:
    _ = Book.author_id > "1900"  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    Book.author_id.like("x")  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]
    Book.nothing  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
    Author(name=1)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    Author(nam="x")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    Plain(name="x", year="y")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    book.year = "x"  # type: ignore[assignment]  # pyright: ignore[reportAttributeAccessIssue]
    book.save("library.db")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.select(conn, order_by=1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.select(conn, "year > 1900")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.insert_many(conn, [Author(name="x")])  # type: ignore[list-item]  # pyright: ignore[reportCallIssue, reportArgumentType]
    _ = Book.title + 1  # type: ignore[operator]  # pyright: ignore[reportOperatorIssue]
    _ = "x" + Book.title  # pyright: ignore[reportOperatorIssue]
    await_me: int = Book.select_count(conn)
    del await_me


def every_verb_wants_a_connection(path: str, book: Book, books: list[Book]) -> None:
    book.save(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    book.insert(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.create(path, {})  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    book.update(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    book.patch(path, {})  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    book.upsert(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.get_or_create(path, title="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    book.refresh(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    book.delete_row(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.select(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.first(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.get(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.load_by_id(path, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.select_count(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.exists(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.page(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.iterate(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.insert_many(path, books)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.save_many(path, books)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.upsert_many(path, books)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.update_where(path, {})  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.delete(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    book.parent(path, Author)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    book.children(path, Author)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.descendants(path, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.ancestors(path, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.resolve_ak(path, title="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.load_by_ak(path, title="x")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    book.to_ak_dict(path)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    Book.to_ak_dicts(path, books)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    join(path, Book, Author)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    parents(path, books, Author)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    children(path, books, Author)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    select_columns(path, Book.title)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
