"""Which tables does a library need, and which of them belong to one library alone?

Authors are shared by all. Books and loans are scoped: each verb on them takes the context of one
library, and the database itself refuses a loan of another library's book.
"""

from datetime import date

from pydantic import Field

from lythonic_state import Col, DbModel, Schema, ScopeContext, Scoped, Unique, column


class Library(DbModel["Library"]):
    """A tenant."""

    library_id: int = Field(default=-1, description="(PK)")
    city: str = Field(description="(AK)")


class LibraryContext(ScopeContext):
    """In whose name a verb runs: what `user_ctx=` takes here."""

    library_id: int


class Author(DbModel["Author"]):
    author_id: Col[int] = column(default=-1, description="(PK)")
    name: Col[str] = column(description="(AK)")


class Book(Scoped["Book"], scope="library_id", scope_context=LibraryContext):
    """Known by its author and title, within its library."""

    book_id: Col[int] = column(default=-1, description="(PK)")
    library_id: int = Field(default=-1, description="(FK:Library.library_id)")
    author_id: Col[int] = column(description="(AK) (FK:Author.author_id)")
    title: Col[str] = column(description="(AK)")
    year: Col[int | None] = column(default=None)


class Loan(
    Scoped["Loan"],
    scope="library_id",
    scope_context=LibraryContext,
    constraints=[Unique("book_id", "lent_on")],
):
    loan_id: Col[int] = column(default=-1, description="(PK)")
    library_id: int = -1
    book_id: Col[int] = column(description="(FK:Book.book_id)")
    reader: Col[str]
    lent_on: Col[date]
    returned_on: Col[date | None] = column(default=None)


SCHEMA = Schema([Library, Author, Book, Loan])
