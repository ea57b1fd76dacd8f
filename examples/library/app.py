"""What does a day in two libraries look like? Written once, for sync and async connections.

An app has one colour: it calls the verbs, or it awaits them. This one is to run in both, so it is
written for async connections and each verb stands in `done(…)`.
"""

from collections.abc import Awaitable
from datetime import date
from inspect import isawaitable
from typing import TypeVar

from examples.library.models import SCHEMA, Author, Book, Library, LibraryContext, Loan
from lythonic_state import (
    AsyncConnection,
    count,
    join,
    left,
    max_,
    parents,
    select_columns,
)

T = TypeVar("T")

STOCK: dict[str, list[tuple[str, str, int | None]]] = {
    "Vienna": [
        ("Jane Austen", "Emma", 1815),
        ("Jane Austen", "Persuasion", 1817),
        ("Mary Shelley", "Frankenstein", 1818),
        ("Anonymous", "Lazarillo de Tormes", None),
    ],
    "Graz": [("Jane Austen", "Emma", 1815), ("George Eliot", "Middlemarch", 1871)],
}


async def done(result: Awaitable[T]) -> T:
    """What a verb gives; on a sync connection, whatever its type says here, the value itself."""
    return await result if isawaitable(result) else result


async def main(conn: AsyncConnection) -> None:
    """Fills both libraries, which a second time changes nothing, and prints what is in them."""
    await done(SCHEMA.create_tables(conn))
    for city, books in STOCK.items():
        library, _ = await done(Library.get_or_create(conn, city=city))
        ctx = LibraryContext(library_id=library.library_id)
        await fill(conn, ctx, books)
        await lend(conn, ctx)
        print(city)
        await show(conn, ctx)
        print()
        await done(conn.commit())


async def fill(
    conn: AsyncConnection, ctx: LibraryContext, books: list[tuple[str, str, int | None]]
) -> None:
    """Puts books on the shelves; the alternative key knows those that are there."""
    for name, title, year in books:
        author, _ = await done(Author.get_or_create(conn, name=name))
        book = Book(author_id=author.author_id, title=title, year=year)
        await done(book.upsert(conn, user_ctx=ctx))


async def lend(conn: AsyncConnection, ctx: LibraryContext) -> None:
    """Lends Emma twice; the first reader has brought it back."""
    emma = await done(Book.resolve_ak(conn, name="Jane Austen", title="Emma", user_ctx=ctx))
    loans = [
        Loan(book_id=emma, reader="Ada", lent_on=date(2026, 1, 5), returned_on=date(2026, 1, 19)),
        Loan(book_id=emma, reader="Emil", lent_on=date(2026, 1, 20)),
    ]
    await done(Loan.insert_many(conn, loans, on_conflict="ignore", user_ctx=ctx))


async def show(conn: AsyncConnection, ctx: LibraryContext) -> None:
    """Prints the shelf page by page, who has which book, and a few numbers."""
    after: str | None = None
    number = 1
    while True:
        page = await done(Book.page(conn, order_by="title", size=3, after=after, user_ctx=ctx))
        authors = await done(parents(conn, page.items, Author, user_ctx=ctx))
        print(f"  books, page {number}")
        for book, author in zip(page.items, authors, strict=True):
            print(f"    {book.title} ({book.year or 'no year'}), {author.name if author else '?'}")
        if page.next is None:
            break
        after, number = page.next, number + 1

    print("  loans")
    lent = join(conn, Book, left(Loan), order_by=[Book.title, Loan.lent_on], user_ctx=ctx)
    for book, loan in await done(lent):
        if loan is None:
            print(f"    {book.title}: never lent")
        else:
            state = f"back on {loan.returned_on}" if loan.returned_on else "still out"
            print(f"    {book.title}: {loan.reader} since {loan.lent_on}, {state}")

    print("  by author")
    rows = await done(
        select_columns(
            conn,
            Author.name,
            count(Book.book_id),
            max_(Book.year),
            group_by=Author.name,
            order_by=Author.name,
            user_ctx=ctx,
        )
    )
    for name, books, latest in rows:
        print(f"    {name}: {books}, the latest of {latest or 'no known year'}")

    out = await done(Loan.select_count(conn, Loan.returned_on.is_null(), user_ctx=ctx))
    total = await done(Loan.select_count(conn, user_ctx=ctx))
    print(f"  {out} of {total} loans are still out")
