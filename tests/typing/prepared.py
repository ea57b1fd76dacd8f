"""What type checkers say of prepared statements in both colours; nothing here runs one."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, assert_type

import aiosqlite

from lythonic_state import PreparedInsert, PreparedSelect, PreparedUpdate, checkpoint, perform

from .models import Author, Book

if TYPE_CHECKING:
    import psycopg

ADD = PreparedInsert(Author, "name")
RENAME = PreparedUpdate(Author, ["name"], ["author_id"])
BY_TITLE = PreparedSelect(Book, "title")


def add_and_rename() -> Generator[Any, Any, int]:
    key: int = yield ADD(name="x")
    yield RENAME({"name": "y"}, author_id=key)
    return key


def sync(conn: sqlite3.Connection, pg: psycopg.Connection[Any]) -> None:
    assert_type(perform(conn, add_and_rename), int)
    assert_type(perform(pg, add_and_rename, commit=True), int)
    perform(conn, BY_TITLE(title="x"))
    assert_type(checkpoint(conn), int)


async def asynchronous(conn: aiosqlite.Connection, pg: psycopg.AsyncConnection[Any]) -> None:
    assert_type(await perform(conn, add_and_rename), int)
    assert_type(await perform(pg, add_and_rename, commit=True), int)
    await perform(conn, BY_TITLE(title="x"))
    assert_type(await checkpoint(conn), int)


def wrong(conn: sqlite3.Connection) -> None:
    perform("library.db", add_and_rename)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    text: str = perform(conn, add_and_rename)  # type: ignore[assignment]  # pyright: ignore[reportAssignmentType]
    del text
    RENAME(author_id=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    PreparedInsert(Author, "name", on_conflict="replace")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
