"""What reads several tables, or parts of rows: joins, recursion, parents, children, aggregates."""

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from lythonic_state import (
    ColumnName,
    DatabaseError,
    DbModel,
    FilterError,
    ForeignKey,
    InvalidValue,
    RowError,
    Schema,
    SchemaError,
    Unique,
    avg,
    children,
    col,
    count,
    count_statements,
    execute_sql,
    from_multi_model_row,
    join,
    left,
    max_,
    min_,
    on_statement,
    open_db,
    parents,
    select_columns,
    sum_,
)
from tests.databases import Database


class Country(DbModel["Country"]):
    code: str = Field(description="(PK)")
    name: str


class Author(DbModel["Author"]):
    author_id: int = Field(default=-1, description="(PK)")
    name: str
    country: str | None = Field(default=None, description="(FK:Country.code)")


class Book(DbModel["Book"], table="the book"):
    book_id: int = Field(default=-1, description="(PK)")
    title: str
    year: int | None = None
    author_id: int | None = Field(default=None, description="(FK:Author.author_id)")
    editor_id: int | None = Field(default=None, description="(FK:Author.author_id)")


class Loan(DbModel["Loan"]):
    loan_id: int = Field(default=-1, description="(PK)")
    book_id: int = Field(description="(FK:Book.book_id)")
    days: int = 7


class Note(DbModel["Note"]):
    note_id: int = Field(default=-1, description="(PK)")
    loan_id: int = Field(description="(FK:Loan.loan_id)")
    text: str


class Island(DbModel["Island"]):
    island_id: int = Field(default=-1, description="(PK)")


LIBRARY = [Country, Author, Book, Loan, Note, Island]


async def library(db: Database) -> tuple[list[Author], list[Book]]:
    await db.create(*LIBRARY)
    await db(
        Country.insert_many(
            db.conn, [Country(code="GB", name="UK"), Country(code="F", name="France")]
        )
    )
    authors = [
        Author(name="Jane", country="GB"),
        Author(name="Émile", country="F"),
        Author(name="Nobody"),
    ]
    await db(Author.insert_many(db.conn, authors))
    jane, emile, _ = (author.author_id for author in authors)
    books = [
        Book(title="Emma", year=1815, author_id=jane, editor_id=emile),
        Book(title="Nana", year=1880, author_id=emile, editor_id=emile),
        Book(title="Persuasion", year=1817, author_id=jane),
        Book(title="Beowulf"),
    ]
    await db(Book.insert_many(db.conn, books))
    await db(
        Loan.insert_many(db.conn, [Loan(book_id=b.book_id, days=i) for i, b in enumerate(books)])
    )
    loans = await db(Loan.select(db.conn, order_by="loan_id"))
    await db(Note.insert_many(db.conn, [Note(loan_id=loans[1].loan_id, text="torn")]))
    return authors, books


# --- join -----------------------------------------------------------------------------------


async def test_a_join_pairs_rows_by_their_foreign_key(db: Database) -> None:
    (jane, emile, _), (emma, nana, persuasion, _) = await library(db)
    with count_statements(db.conn) as counted:
        found = await db(join(db.conn, Book, Author, via=Book.author_id, order_by="title"))
    assert counted.count == 1
    assert found == [(emma, jane), (nana, emile), (persuasion, jane)]
    turned = await db(join(db.conn, Author, Book, via="author_id", order_by="Book__title"))
    assert turned == [(author, book) for book, author in found]


async def test_a_left_model_may_be_missing(db: Database) -> None:
    (jane, emile, nobody), (emma, nana, persuasion, beowulf) = await library(db)
    found = await db(join(db.conn, Book, left(Author), via=Book.author_id, order_by=Book.title))
    assert found == [(beowulf, None), (emma, jane), (nana, emile), (persuasion, jane)]
    found = await db(
        join(db.conn, Author, left(Book), via=Book.author_id, order_by=["-name", "Book__title"])
    )
    assert found == [(emile, nana), (nobody, None), (jane, emma), (jane, persuasion)]


async def test_what_is_missing_can_be_asked_for_and_sorts_first(db: Database) -> None:
    (*_, nobody), _ = await library(db)
    found = await db(
        join(db.conn, Author, left(Book), col(Book.book_id).is_null(), via=Book.author_id)
    )
    assert found == [(nobody, None)]
    found = await db(
        join(db.conn, Author, left(Book), via=Book.author_id, order_by=[Book.title, Author.name])
    )
    assert [book.title if book else None for _, book in found] == [
        None,
        "Emma",
        "Nana",
        "Persuasion",
    ]
    found = await db(
        join(db.conn, Author, left(Book), via=Book.author_id, order_by=col(Book.title).desc())
    )
    assert [book.title if book else None for _, book in found][-1] is None


async def test_three_to_five_models_join_in_one_statement(db: Database) -> None:
    (_, emile, _), (_, nana, *_) = await library(db)
    found = await db(
        join(db.conn, Book, Author, Country, via=Book.author_id, order_by=Book.book_id, limit=2)
    )
    assert [(b.title, a.name, c.name) for b, a, c in found] == [
        ("Emma", "Jane", "UK"),
        ("Nana", "Émile", "France"),
    ]
    with count_statements(db.conn) as counted:
        found = await db(join(db.conn, Note, Loan, Book, Author, Country, via=Book.author_id))
    assert counted.count == 1
    ((note, loan, book, author, country),) = found
    assert (note.text, loan.days, book, author, country.code) == ("torn", 1, nana, emile, "F")
    found = await db(
        join(
            db.conn,
            Book,
            left(Author),
            left(Country),
            left(Loan),
            left(Note),
            via=Book.author_id,
            order_by=Book.book_id,
        )
    )
    assert [
        (b.title, a and a.name, c and c.code, d and d.days, n and n.text) for b, a, c, d, n in found
    ] == [
        ("Emma", "Jane", "GB", 0, None),
        ("Nana", "Émile", "F", 1, "torn"),
        ("Persuasion", "Jane", "GB", 2, None),
        ("Beowulf", None, None, 3, None),
    ]


async def test_the_order_of_the_models_is_the_callers(db: Database) -> None:
    _, (emma, *_) = await library(db)
    found = await db(join(db.conn, Country, Book, Author, Book__title="Emma", via=Book.author_id))
    assert [(c.code, b, a.name) for c, b, a in found] == [("GB", emma, "Jane")]


async def test_a_model_that_follows_a_missing_one_is_joined_as_in_sql(db: Database) -> None:
    await library(db)
    found = await db(
        join(db.conn, Book, left(Author), Country, via=Book.author_id, order_by="title")
    )
    assert [book.title for book, _, _ in found] == ["Emma", "Nana", "Persuasion"]


async def test_filters_reach_every_model_of_a_join(db: Database) -> None:
    await library(db)

    async def titles(*where: Any, **filters: Any) -> list[str]:
        found = await db(
            join(db.conn, Book, Author, *where, via=Book.author_id, order_by="title", **filters)
        )
        return [book.title for book, _ in found]

    assert await titles(Author__name="Jane") == ["Emma", "Persuasion"]
    assert await titles(gt__year=1815, Author__name="Jane") == ["Persuasion"]
    assert await titles(gt__Book__year=1815) == ["Nana", "Persuasion"]
    assert await titles(ne__Author__name=["Jane"]) == ["Nana"]
    assert await titles(Author__country__name="France") == ["Nana"]
    assert await titles(editor_id__name="Émile") == ["Emma", "Nana"]
    assert await titles(col(Author.name) == "Jane", col(Book.year) < 1817) == ["Emma"]
    assert await titles((col(Author.name) == "Émile") | (col(Book.year) == 1815)) == [
        "Emma",
        "Nana",
    ]
    assert await titles(col(Book.editor_id) == col(Author.author_id)) == ["Nana"]


async def test_a_join_takes_limit_and_offset(db: Database) -> None:
    await library(db)
    found = await db(
        join(db.conn, Book, Author, via="author_id", order_by="-year", limit=1, offset=1)
    )
    assert [book.title for book, _ in found] == ["Persuasion"]
    found = await db(join(db.conn, Book, Author, via="author_id", order_by="-year", offset=2))
    assert [book.title for book, _ in found] == ["Emma"]


async def test_two_keys_to_one_table_must_be_chosen_from(db: Database) -> None:
    await library(db)
    with pytest.raises(
        FilterError, match=r"Book\.author_id and Book\.editor_id .*via=Book\.author_id"
    ):
        await db(join(db.conn, Book, Author))
    found = await db(join(db.conn, Book, Author, via=Book.editor_id, order_by="title"))
    assert [(book.title, author.name) for book, author in found] == [
        ("Emma", "Émile"),
        ("Nana", "Émile"),
    ]
    with pytest.raises(FilterError, match=r"Book\.title is no foreign key between"):
        await db(join(db.conn, Loan, Book, via=Book.title))
    with pytest.raises(FilterError, match="'author' is no foreign key between"):
        await db(join(db.conn, Loan, Book, via="author"))


async def test_one_model_stands_twice_under_two_names(db: Database) -> None:
    await library(db)
    editor = Author.alias("the editor")
    found = await db(
        join(
            db.conn,
            Book,
            Author,
            left(editor),
            editor.name.is_not_null(),
            via=[Book.author_id, Book.editor_id],
            order_by=[editor.name, Book.title],
        )
    )
    assert [(b.title, a.name, e.name) for b, a, e in found] == [
        ("Emma", "Jane", "Émile"),
        ("Nana", "Émile", "Émile"),
    ]
    with pytest.raises(FilterError, match=r"Author stands twice .* Author\.alias\('other'\)"):
        await db(join(db.conn, Book, Author, Author, via=Book.author_id))
    with pytest.raises(FilterError, match="stands twice"):
        await db(join(db.conn, Book, editor, editor))


class Employee(DbModel["Employee"]):
    employee_id: int = Field(default=-1, description="(PK)")
    name: str
    boss_id: int | None = Field(default=None, description="(FK:Employee.employee_id)")


async def firm(db: Database) -> list[Employee]:
    await db.create(Employee)
    rows = [
        Employee(employee_id=1, name="root"),
        Employee(employee_id=2, name="a", boss_id=1),
        Employee(employee_id=3, name="b", boss_id=1),
        Employee(employee_id=4, name="aa", boss_id=2),
        Employee(employee_id=5, name="aaa", boss_id=4),
        Employee(employee_id=6, name="other"),
    ]
    await db(Employee.insert_many(db.conn, rows))
    return rows


async def test_a_model_joins_itself_up_and_down(db: Database) -> None:
    await firm(db)
    boss = Employee.alias("boss")
    for via in (Employee.boss_id, "boss_id", None):
        found = await db(join(db.conn, Employee, left(boss), via=via, order_by="employee_id"))
        assert [(e.name, b and b.name) for e, b in found] == [
            ("root", None),
            ("a", "root"),
            ("b", "root"),
            ("aa", "a"),
            ("aaa", "aa"),
            ("other", None),
        ]
    below = Employee.alias("below")
    found = await db(join(db.conn, Employee, below, via=below.boss_id, order_by=below.employee_id))
    assert [(e.name, b.name) for e, b in found] == [
        ("root", "a"),
        ("root", "b"),
        ("a", "aa"),
        ("aa", "aaa"),
    ]
    grand = Employee.alias("grand")
    found = await db(
        join(
            db.conn,
            Employee,
            boss,
            grand,
            via=[Employee.boss_id, boss.boss_id],
            order_by="employee_id",
        )
    )
    assert [(e.name, b.name, g.name) for e, b, g in found] == [
        ("aa", "a", "root"),
        ("aaa", "aa", "a"),
    ]
    found = await db(join(db.conn, Employee, boss, boss__name="root", order_by="-name"))
    assert [e.name for e, _ in found] == ["b", "a"]


async def test_wrong_joins_say_what_is_wrong(db: Database) -> None:
    await library(db)
    wrong: list[tuple[Any, str]] = [
        (lambda: join(db.conn, Book, Island), "no foreign key leads between Island and Book"),
        (lambda: join(db.conn, Book, "Author"), "join takes models"),
        (lambda: join(db.conn, left(Book), Author), "first model of a join cannot be left"),
        (lambda: join(db.conn, *LIBRARY), "2 to 5 models, not 6"),
        (lambda: join(db.conn, Loan, Book, col(Author.name) == "x"), "Author.name is not a column"),
        (lambda: join(db.conn, Loan, Book, Author__name="x"), "Loan has no field 'Author__name'"),
        (lambda: join(db.conn, Loan, Book, Book__titel="x"), "did you mean 'title'"),
        (lambda: join(db.conn, Loan, Book, order_by="title"), "Loan has no field 'title'"),
        (lambda: join(db.conn, Loan, Book, limit=-1), "limit takes a number"),
    ]
    with count_statements(db.conn) as counted:
        for use, message in wrong:
            with pytest.raises(FilterError, match=message):
                await db(use())
    assert counted.count == 0


class Match(DbModel["Match"]):
    """Two references to one composite key."""

    match_id: int = Field(default=-1, description="(PK)")
    home_land: str = Field(description="(FK:Club.land)")
    home_nr: int = Field(description="(FK:Club.nr)")
    away_land: str | None = Field(default=None, description="(FK:Club.land)")
    away_nr: int | None = Field(default=None, description="(FK:Club.nr)")


class Club(DbModel["Club"]):
    land: Annotated[str, ColumnName("the land")] = Field(description="(PK)")
    nr: int = Field(description="(PK)")
    name: str


async def clubs(db: Database) -> list[Match]:
    await db.create(Club, Match)
    await db(
        Club.insert_many(
            db.conn,
            [Club(land=land, nr=nr, name=f"{land}{nr}") for land in "AB" for nr in (1, 2)],
        )
    )
    matches = [
        Match(home_land="A", home_nr=2, away_land="B", away_nr=1),
        Match(home_land="B", home_nr=1, away_land="A", away_nr=2),
        Match(home_land="A", home_nr=1),
    ]
    await db(Match.insert_many(db.conn, matches))
    return matches


async def test_composite_keys_join_and_lead_as_one(db: Database) -> None:
    matches = await clubs(db)
    with pytest.raises(
        FilterError, match=r"Match\.home_land, home_nr and Match\.away_land, away_nr"
    ):
        await db(join(db.conn, Match, Club))
    found = await db(join(db.conn, Match, left(Club), via=Match.away_nr, order_by="match_id"))
    assert [club and club.name for _, club in found] == ["B1", "A2", None]
    with count_statements(db.conn) as counted:
        home = await db(parents(db.conn, matches, Club, via=Match.home_land))
        away = await db(parents(db.conn, matches, Club, via="away_nr"))
    assert counted.count == 2
    assert [club.name for club in home] == ["A2", "B1", "A1"]
    assert [club and club.name for club in away] == ["B1", "A2", None]
    every = await db(Club.select(db.conn, order_by=["land", "nr"]))
    with count_statements(db.conn) as counted:
        hosted = await db(children(db.conn, every, Match, via="home_land"))
    assert counted.count == 1
    assert hosted == [[matches[2]], [matches[0]], [matches[1]], []]
    assert await db(every[1].children(db.conn, Match, via=Match.away_land)) == [matches[1]]


async def test_composite_keys_are_followed_in_bulk(db: Database) -> None:
    await db.create(Club, Match)
    places = [(f"L{i % 100}", i) for i in range(10_000)]
    await db(Club.insert_many(db.conn, [Club(land=land, nr=nr, name="") for land, nr in places]))
    rows = [Match(home_land=land, home_nr=nr) for land, nr in reversed(places)]
    with count_statements(db.conn) as counted:
        found = await db(parents(db.conn, rows, Club, via="home_nr"))
    assert counted.count == 1
    assert [(club.land, club.nr) for club in found] == places[::-1]


class Seat(DbModel["Seat"], constraints=[Unique("row", "place")]):
    seat_id: int = Field(default=-1, description="(PK)")
    row: str
    place: int


class Guest(DbModel["Guest"]):
    """Refers to a unique pair and, beside it, to the key of the same table."""

    guest_id: int = Field(default=-1, description="(PK)")
    row: Annotated[str | None, ForeignKey("Seat.row", on_delete="cascade")] = None
    place: Annotated[int | None, ForeignKey("Seat.place")] = None
    wish_id: int | None = Field(default=None, description="(FK:Seat.seat_id)")


async def test_a_unique_pair_is_referred_to_as_one_beside_other_keys(db: Database) -> None:
    await db.create(Seat, Guest)
    seats = [Seat(row=row, place=place) for row in "ab" for place in (1, 2)]
    await db(Seat.insert_many(db.conn, seats))
    guest = await db(Guest(row="b", place=1, wish_id=seats[0].seat_id).save(db.conn))
    assert await db(guest.parent(db.conn, Seat, via=Guest.place)) == seats[2]
    assert await db(guest.parent(db.conn, Seat, via=Guest.wish_id)) == seats[0]
    await db(seats[2].delete_row(db.conn))
    assert await db(Guest.select(db.conn)) == []


def test_one_foreign_key_of_several_columns_has_one_way_to_be_deleted() -> None:
    class Torn(DbModel["Torn"]):
        torn_id: int = Field(default=-1, description="(PK)")
        row: Annotated[str | None, ForeignKey("Seat.row", on_delete="cascade")] = None
        place: Annotated[int | None, ForeignKey("Seat.place", on_delete="set null")] = None

    with pytest.raises(SchemaError, match=r"Torn\.row, place is one foreign key .* cascade and"):
        Schema([Seat, Torn])

    class Stuck(DbModel["Stuck"]):
        stuck_id: int = Field(default=-1, description="(PK)")
        row: Annotated[str | None, ForeignKey("Seat.row", on_delete="set null")] = None
        place: Annotated[int, ForeignKey("Seat.place")]

    with pytest.raises(SchemaError, match=r"Stuck\.row, place: on_delete=.set null. needs"):
        Schema([Seat, Stuck])

    class Half(DbModel["Half"]):
        half_id: int = Field(default=-1, description="(PK)")
        row: str = Field(description="(FK:Seat.row)")

    with pytest.raises(SchemaError, match=r"Half\.row refers to Seat\.row, which is neither"):
        Schema([Seat, Half])


# --- parents and children -------------------------------------------------------------------


async def test_a_row_has_a_parent_or_none(db: Database) -> None:
    (jane, *_), (emma, _, _, beowulf) = await library(db)
    assert await db(emma.parent(db.conn, Author, via=Book.author_id)) == jane
    with count_statements(db.conn) as counted:
        assert await db(beowulf.parent(db.conn, Author, via="author_id")) is None
    assert counted.count == 0
    assert await db(jane.parent(db.conn, Country)) == Country(code="GB", name="UK")


async def test_parents_come_in_order_and_in_one_statement(db: Database) -> None:
    (jane, emile, _), (emma, nana, persuasion, beowulf) = await library(db)
    asked = [nana, emma, beowulf, persuasion, emma]
    with count_statements(db.conn) as counted:
        found = await db(parents(db.conn, iter(asked), Author, via="author_id"))
    assert counted.count == 1
    assert found == [emile, jane, None, jane, jane]
    with count_statements(db.conn) as counted:
        assert await db(parents(db.conn, [], Author)) == []
        assert await db(children(db.conn, [], Book)) == []
    assert counted.count == 0


async def test_children_come_with_filters_order_and_in_one_statement(db: Database) -> None:
    (jane, emile, nobody), (emma, nana, persuasion, _) = await library(db)
    with count_statements(db.conn) as counted:
        found = await db(
            children(db.conn, [nobody, jane, emile, jane], Book, via="author_id", order_by="-year")
        )
    assert counted.count == 1
    assert found == [[], [persuasion, emma], [nana], [persuasion, emma]]
    assert found[1] is not found[3]
    assert await db(jane.children(db.conn, Book, col(Book.year) > 1815, via="author_id")) == [
        persuasion
    ]
    found = await db(children(db.conn, [jane], Book, via="author_id", lt__year=1816))
    assert found == [[emma]]
    assert await db(emile.children(db.conn, Book, via=Book.editor_id, order_by="title")) == [
        emma,
        nana,
    ]


async def test_ten_thousand_rows_have_their_parents_and_children_in_one_statement(
    db: Database,
) -> None:
    await db.create(*LIBRARY)
    authors = [Author(name=f"a{i}") for i in range(10_000)]
    await db(Author.insert_many(db.conn, authors))
    books = [Book(title=f"b{i}", author_id=authors[-i].author_id) for i in range(10_000)]
    await db(Book.insert_many(db.conn, books))
    with count_statements(db.conn) as counted:
        found = await db(parents(db.conn, books, Author, via="author_id"))
        groups = await db(children(db.conn, authors, Book, via="author_id"))
    assert counted.count == 2
    assert [author.author_id for author in found] == [book.author_id for book in books]
    assert [len(group) for group in groups] == [1] * 10_000
    assert all(g[0].author_id == a.author_id for g, a in zip(groups, authors, strict=True))


async def test_wrong_parents_and_children_say_what_is_wrong(db: Database) -> None:
    (jane, *_), (emma, *_) = await library(db)
    wrong: list[tuple[Any, str]] = [
        (lambda: emma.parent(db.conn, Author), r"Book\.author_id and Book\.editor_id both lead"),
        (lambda: jane.children(db.conn, Book), r"Book\.author_id and Book\.editor_id both lead"),
        (lambda: emma.parent(db.conn, Author, via="title"), "'title' is no foreign key of Book"),
        (lambda: emma.parent(db.conn, Author, via=Loan.book_id), "no foreign key of Book"),
        (lambda: emma.parent(db.conn, Loan), "no foreign key leads between Book and Loan"),
        (lambda: parents(db.conn, [emma, jane], Author), "rows of one model, not of Author, Book"),
        (lambda: children(db.conn, [emma, jane], Loan), "rows of one model, not of Author, Book"),
    ]
    for use, message in wrong:
        with pytest.raises(FilterError, match=message):
            await db(use())


# --- recursion ------------------------------------------------------------------------------


async def test_descendants_and_ancestors_come_nearest_first(db: Database) -> None:
    rows = await firm(db)
    names = {row.employee_id: row.name for row in rows}

    async def below(root: Any) -> list[str]:
        return [row.name for row in await db(Employee.descendants(db.conn, root))]

    async def above(root: Any) -> list[str]:
        return [row.name for row in await db(Employee.ancestors(db.conn, root))]

    with count_statements(db.conn) as counted:
        assert await below(1) == ["a", "b", "aa", "aaa"]
        assert await above(5) == ["aa", "a", "root"]
    assert counted.count == 2
    assert await below(rows[1]) == ["aa", "aaa"]
    assert await above(rows[1]) == ["root"]
    assert await below(6) == await above(6) == await below(999) == []
    assert len(names) == 6


async def test_a_cycle_is_walked_once(db: Database) -> None:
    await firm(db)
    await db(Employee.update_where(db.conn, {"boss_id": 5}, employee_id=1))
    await db(Employee.update_where(db.conn, {"boss_id": 6}, employee_id=6))
    found = await db(Employee.descendants(db.conn, 2))
    assert [row.name for row in found] == ["aa", "aaa", "root", "b"]
    found = await db(Employee.ancestors(db.conn, 2))
    assert [row.name for row in found] == ["root", "aaa", "aa"]
    assert await db(Employee.descendants(db.conn, 6)) == []


async def test_a_deep_chain_and_a_large_cycle_are_walked_in_one_statement(db: Database) -> None:
    await db.create(Employee)
    size = 10_000
    rows = [Employee(employee_id=i, name="", boss_id=i - 1 or None) for i in range(1, size + 1)]
    await db(Employee.insert_many(db.conn, rows))
    with count_statements(db.conn) as counted:
        below = await db(Employee.descendants(db.conn, 1))
        above = await db(Employee.ancestors(db.conn, size))
    assert counted.count == 2
    assert [row.employee_id for row in below] == list(range(2, size + 1))
    assert [row.employee_id for row in above] == list(range(size - 1, 0, -1))
    await db(Employee.update_where(db.conn, {"boss_id": size}, employee_id=1))
    assert len(await db(Employee.descendants(db.conn, 7))) == size - 1


class Part(DbModel["Part"]):
    """A self reference of two columns, and a second one."""

    plant: str = Field(description="(PK)")
    number: int = Field(description="(PK)")
    in_plant: str | None = Field(default=None, description="(FK:Part.plant)")
    in_number: int | None = Field(default=None, description="(FK:Part.number)")
    like_plant: str | None = Field(default=None, description="(FK:Part.plant)")
    like_number: int | None = Field(default=None, description="(FK:Part.number)")


async def test_composite_and_several_self_references_are_walked(db: Database) -> None:
    await db.create(Part)
    await db(Part(plant="x", number=1).insert(db.conn))
    await db(Part(plant="y", number=1, in_plant="x", in_number=1).insert(db.conn))
    await db(
        Part(plant="y", number=2, in_plant="y", in_number=1, like_plant="x", like_number=1).insert(
            db.conn
        )
    )
    below = await db(Part.descendants(db.conn, ("x", 1), via="in_plant"))
    assert [(part.plant, part.number) for part in below] == [("y", 1), ("y", 2)]
    below = await db(Part.descendants(db.conn, {"plant": "x", "number": 1}, via=Part.like_number))
    assert [(part.plant, part.number) for part in below] == [("y", 2)]
    with pytest.raises(FilterError, match="both lead between Part and Part"):
        await db(Part.ancestors(db.conn, ("x", 1)))
    await db.create(Country)
    with pytest.raises(SchemaError, match="no foreign key to itself"):
        await db(Country.descendants(db.conn, "GB"))


# --- columns and aggregates -----------------------------------------------------------------


class Sale(DbModel["Sale"]):
    sale_id: int = Field(default=-1, description="(PK)")
    shop: str
    amount: int | None = None
    price: Decimal | None = Field(default=None, max_digits=12, decimal_places=2)
    weight: float | None = None
    took: timedelta | None = None
    at: datetime | None = None
    ref: UUID | None = None
    place: PurePosixPath | None = None
    blob: bytes | None = None
    meta: dict[str, Any] | None = None
    exact: Decimal | None = None


class ShopTotal(BaseModel):
    shop: str
    sales: int
    total: Decimal | None = None


async def sales(db: Database) -> None:
    await db.create(Sale)
    rows = [
        Sale(shop="a", amount=1, price=Decimal("0.10"), took=timedelta(seconds=1), blob=b"\xff"),
        Sale(shop="a", amount=2, price=Decimal("0.20"), took=timedelta(microseconds=1), blob=b"a"),
        Sale(shop="a", price=Decimal("0.03"), took=timedelta(days=3), meta={"k": [1, "x"]}),
        Sale(shop="b", amount=5, weight=2.5, at=datetime(2026, 1, 2, 3, tzinfo=UTC)),
        Sale(shop="b", ref=UUID(int=7), place=PurePosixPath("x/y"), exact=Decimal("1.10")),
        Sale(shop="c"),
    ]
    await db(Sale.insert_many(db.conn, rows))


async def test_columns_are_read_as_tuples_of_their_types(db: Database) -> None:
    await sales(db)
    found = await db(
        select_columns(
            db.conn,
            Sale.price,
            Sale.took,
            Sale.at,
            Sale.ref,
            Sale.place,
            Sale.blob,
            Sale.meta,
            Sale.exact,
            order_by=Sale.sale_id,
        )
    )
    assert found[0] == (
        Decimal("0.10"),
        timedelta(seconds=1),
        None,
        None,
        None,
        b"\xff",
        None,
        None,
    )
    assert found[2][6] == {"k": [1, "x"]}
    assert found[3][2] == datetime(2026, 1, 2, 3, tzinfo=UTC)
    assert found[3][2].tzinfo is UTC
    assert found[4][3:5] == (UUID(int=7), PurePosixPath("x/y"))
    assert found[4][7] == Decimal("1.10")
    found = await db(
        select_columns(
            db.conn,
            Sale.shop,
            where=Sale.price > Decimal("0.05"),
            limit=1,
            offset=1,
            order_by="sale_id",
        )
    )
    assert found == [("a",)]


async def test_groups_have_aggregates(db: Database) -> None:
    await sales(db)
    with count_statements(db.conn) as counted:
        found = await db(
            select_columns(
                db.conn,
                Sale.shop,
                count(),
                count(Sale.amount),
                sum_(Sale.amount),
                sum_(Sale.price),
                avg(Sale.price),
                sum_(Sale.took),
                avg(Sale.took),
                min_(Sale.price),
                max_(Sale.took),
                avg(Sale.amount),
                group_by=Sale.shop,
                order_by=Sale.shop,
            )
        )
    assert counted.count == 1
    took = timedelta(days=3, seconds=1, microseconds=1)
    assert found == [
        (
            "a",
            3,
            2,
            3,
            Decimal("0.33"),
            Decimal("0.11"),
            took,
            took / 3,
            Decimal("0.03"),
            timedelta(days=3),
            1.5,
        ),
        ("b", 2, 1, 5, None, None, None, None, None, None, 5.0),
        ("c", 1, 0, None, None, None, None, None, None, None, None),
    ]
    assert [type(value) for value in found[0][1:6]] == [int, int, int, Decimal, Decimal]
    assert type(found[1][-1]) is float


async def test_all_that_has_an_order_has_a_smallest_and_a_largest(db: Database) -> None:
    await sales(db)
    columns = [Sale.shop, Sale.amount, Sale.weight, Sale.at, Sale.ref, Sale.blob]
    ((*found,),) = await db(select_columns(db.conn, *[f(c) for c in columns for f in (min_, max_)]))
    at = datetime(2026, 1, 2, 3, tzinfo=UTC)
    assert found == ["a", "c", 1, 5, 2.5, 2.5, at, at, UUID(int=7), UUID(int=7), b"a", b"\xff"]


async def test_an_empty_table_has_no_rows_one_count_and_no_sum(db: Database) -> None:
    await db.create(Sale)
    assert await db(select_columns(db.conn, Sale.shop)) == []
    asked = (count(Sale.shop), sum_(Sale.price), avg(Sale.took), min_(Sale.at), avg(Sale.amount))
    assert await db(select_columns(db.conn, *asked)) == [(0, None, None, None, None)]
    found = await db(select_columns(db.conn, Sale.shop, *asked, group_by=Sale.shop))
    assert found == []


async def test_having_keeps_groups_and_order_knows_aggregates(db: Database) -> None:
    await sales(db)
    found = await db(
        select_columns(
            db.conn, Sale.shop, group_by="shop", having=count() > 1, order_by=count().desc()
        )
    )
    assert found == [("a",), ("b",)]
    found = await db(
        select_columns(
            db.conn,
            Sale.shop,
            group_by=[Sale.shop],
            having=[sum_(Sale.price) > Decimal("0.3"), max_(Sale.took) > timedelta(days=1)],
        )
    )
    assert found == [("a",)]
    found = await db(
        select_columns(
            db.conn,
            Sale.shop,
            sum_(Sale.amount),
            group_by=Sale.shop,
            order_by=[sum_(Sale.amount), "-shop"],
            having=sum_(Sale.amount) != 4,
        )
    )
    assert found == [("a", 3), ("b", 5)]
    found = await db(
        select_columns(db.conn, count(Sale.shop, distinct=True), where=Sale.amount.is_not_null())
    )
    assert found == [(2,)]


async def test_distinct_rows_come_once_and_in_order(db: Database) -> None:
    await sales(db)
    found = await db(select_columns(db.conn, Sale.shop, distinct=True, order_by="-shop"))
    assert found == [("c",), ("b",), ("a",)]
    for column in (Sale.at, Sale.meta, Sale.ref, Sale.price):
        found = await db(select_columns(db.conn, column, distinct=True, where=column.is_not_null()))
        assert len(found) == len(set(map(str, found)))
    found = await db(select_columns(db.conn, Sale.at, distinct=True, order_by=col(Sale.at).desc()))
    assert found == [(datetime(2026, 1, 2, 3, tzinfo=UTC),), (None,)]


async def test_arithmetic_can_be_selected_grouped_and_ordered_by(db: Database) -> None:
    await sales(db)
    double = col(Sale.amount) * 2
    found = await db(
        select_columns(
            db.conn,
            double,
            count(),
            group_by=double,
            order_by=double.desc(),
            where=Sale.amount.is_not_null(),
        )
    )
    assert found == [(10, 1), (4, 1), (2, 1)]
    found = await db(
        select_columns(
            db.conn, col(Sale.price) + Decimal("1.00"), distinct=True, shop="a", amount=1
        )
    )
    assert found == [(Decimal("1.10"),)]


async def test_columns_of_several_models_are_joined(db: Database) -> None:
    await library(db)
    with count_statements(db.conn) as counted:
        found = await db(
            select_columns(
                db.conn,
                Author.name,
                count(Book.book_id),
                min_(Book.year),
                group_by=Author.name,
                via=Book.author_id,
                order_by=Author.name,
            )
        )
    assert counted.count == 1
    assert found == [("Jane", 2, 1815), ("Émile", 1, 1880)]
    found = await db(
        select_columns(
            db.conn,
            Country.name,
            sum_(Loan.days),
            where=Author.name != "x",
            having=count(Book.book_id) > 1,
            group_by=Country.code,
            via=Book.author_id,
        )
    )
    assert found == [("UK", 2)]
    boss = Author.alias("boss")
    found = await db(
        select_columns(db.conn, Book.title, boss.name, via="editor_id", order_by=Book.title)
    )
    assert found == [("Emma", "Émile"), ("Nana", "Émile")]


async def test_rows_fill_a_model_by_position(db: Database) -> None:
    await sales(db)
    found = await db(
        select_columns(
            db.conn,
            Sale.shop,
            count(),
            sum_(Sale.price),
            into=ShopTotal,
            group_by=Sale.shop,
            order_by=Sale.shop,
            limit=1,
        )
    )
    assert found == [ShopTotal(shop="a", sales=3, total=Decimal("0.33"))]
    assert await db(
        select_columns(db.conn, Sale.shop, count(), into=ShopTotal, group_by="shop", shop="c")
    ) == [ShopTotal(shop="c", sales=1)]
    with pytest.raises(
        RowError, match="is not a valid ShopTotal: sales: Input should be a valid int"
    ) as caught:
        await db(select_columns(db.conn, Sale.shop, Sale.amount, into=ShopTotal, shop="c"))
    assert (caught.value.table, caught.value.column, caught.value.value) == ("Sale", "sales", None)


async def test_wrong_selections_say_what_is_wrong(db: Database) -> None:
    await library(db)
    await db.create(Sale)
    conn = db.conn
    wrong: list[tuple[Any, str]] = [
        (lambda: select_columns(conn), "at least one column"),
        (lambda: select_columns(conn, "title"), "expected a column"),
        (lambda: select_columns(conn, Book), "expected a column"),
        (lambda: select_columns(conn, count()), "no column that says which table"),
        (
            lambda: select_columns(conn, Book.title, count()),
            "Book.title has several values in a gr",
        ),
        (lambda: select_columns(conn, Book.title, group_by=Book.year), "several values in a group"),
        (
            lambda: select_columns(conn, Book.title, distinct=True, order_by=Book.year),
            "Book.year has several values",
        ),
        (lambda: select_columns(conn, Book.title, group_by="titel"), "did you mean 'title'"),
        (lambda: select_columns(conn, Book.title, group_by=count()), "group_by: expected"),
        (lambda: select_columns(conn, Book.title, Island.island_id), "no foreign key leads"),
        (lambda: select_columns(conn, Book.title, Author.name), "say which is meant"),
        (lambda: select_columns(conn, Book.title, into=Author), "Author is a table"),
        (lambda: select_columns(conn, Book.title, into=dict), "into takes a Pydantic model"),
        (lambda: select_columns(conn, Book.title, into=ShopTotal), "ShopTotal needs sales too"),
        (
            lambda: select_columns(conn, *[Book.title] * 4, into=ShopTotal),
            "3 fields for 4 columns",
        ),
        (lambda: select_columns(conn, sum_(Book.title)), "str, which has no sum"),
        (lambda: select_columns(conn, sum_(Sale.exact)), "max_digits"),
        (lambda: select_columns(conn, max_(Sale.meta)), "has no max"),
        (lambda: select_columns(conn, min_(Sale.place)), "paths have no min"),
        (lambda: sum_("amount"), "expected a column"),
        (lambda: select_columns(conn, Sale.meta["k"]), "can be compared, nothing else"),
        (lambda: select_columns(conn, Sale.shop, order_by=Sale.meta), "no order"),
        (
            lambda: select_columns(
                conn, Sale.shop, group_by="shop", having=avg(Sale.price) > Decimal(1)
            ),
            "compare the sum",
        ),
    ]
    with count_statements(conn) as counted:
        for use, message in wrong:
            with pytest.raises(FilterError, match=message):
                await db(use())
    assert counted.count == 0


prices = st.none() | st.decimals(-1000, 1000, places=2)
spans = st.none() | st.timedeltas(timedelta(days=-400), timedelta(days=400))
rows_of_sales = st.lists(
    st.tuples(st.sampled_from("xyz"), st.none() | st.integers(-(2**40), 2**40), prices, spans),
    max_size=12,
)


def _plain(rows: list[tuple[Any, ...]]) -> dict[str, tuple[Any, ...]]:
    """What the aggregates of these rows are, by plain Python."""
    groups: dict[str, list[tuple[Any, ...]]] = defaultdict(list)
    for row in rows:
        groups[row[0]].append(row)

    def present(group: list[tuple[Any, ...]], place: int) -> list[Any]:
        return [row[place] for row in group if row[place] is not None]

    def mean(values: list[Any]) -> Any:
        return sum(values[1:], values[0]) / len(values) if values else None

    return {
        shop: (
            len(group),
            len(present(group, 1)),
            sum(present(group, 1)) if present(group, 1) else None,
            min(present(group, 1), default=None),
            max(present(group, 2), default=None),
            sum(present(group, 2)) if present(group, 2) else None,
            mean(present(group, 2)),
            min(present(group, 3), default=None),
            sum(present(group, 3), timedelta()) if present(group, 3) else None,
            mean(present(group, 3)),
        )
        for shop, group in groups.items()
    }


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
async def test_aggregates_agree_with_plain_python(db: Database) -> None:
    await db.create(Sale)

    @settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(rows_of_sales)
    def agree(rows: list[tuple[Any, ...]]) -> None:
        Sale.delete(db.conn, all_rows=True)
        Sale.insert_many(
            db.conn,
            [Sale(shop=s, amount=a, price=p, took=t) for s, a, p, t in rows],
        )
        found = select_columns(
            db.conn,
            Sale.shop,
            count(),
            count(Sale.amount),
            sum_(Sale.amount),
            min_(Sale.amount),
            max_(Sale.price),
            sum_(Sale.price),
            avg(Sale.price),
            min_(Sale.took),
            sum_(Sale.took),
            avg(Sale.took),
            group_by=Sale.shop,
        )
        assert {row[0]: row[1:] for row in found} == _plain(rows)
        found = select_columns(
            db.conn,
            Sale.shop,
            avg(Sale.amount),
            group_by=Sale.shop,
            having=count(Sale.amount) > 1,
        )
        numbers = defaultdict(list)
        for shop, amount, *_ in rows:
            if amount is not None:
                numbers[shop].append(amount)
        means = {s: float(Fraction(sum(n), len(n))) for s, n in numbers.items() if len(n) > 1}
        assert dict(found) == pytest.approx(means)
        found = select_columns(db.conn, Sale.shop, Sale.amount, distinct=True)
        assert Counter(found) == Counter({row[:2] for row in rows})

    agree()


async def test_a_sum_beyond_64_bits_is_exact_or_an_error(db: Database) -> None:
    await db.create(Sale)
    for _ in range(2):
        await db(Sale(shop="a", amount=2**62 + 1).save(db.conn))
    await db.commit()
    if db.dialect == "postgres":
        assert await db(select_columns(db.conn, sum_(Sale.amount))) == [(2**63 + 2,)]
        return
    with pytest.raises(InvalidValue, match="beyond 64 bits"):
        await db(select_columns(db.conn, sum_(Sale.amount)))


# --- hand-written SQL -----------------------------------------------------------------------


class Odd(DbModel["Odd"], table='o"dd %s'):
    odd_id: int = Field(default=-1, description="(PK)")
    percent: Annotated[str, ColumnName("100%")]
    at: Annotated[datetime | None, ColumnName('a"t')] = None
    meta: dict[str, Any] | None = None
    tags: list[str] = []
    ref: UUID | None = None
    price: Decimal | None = Field(default=None, max_digits=10, decimal_places=2)
    took: timedelta | None = None
    blob: bytes | None = None
    place: PurePosixPath | None = None


async def test_rows_of_hand_written_sql_become_models(db: Database) -> None:
    await library(db)
    await db.create(Odd)
    odd = Odd(
        percent="50%",
        at=datetime(2026, 6, 1, 12, 30, tzinfo=UTC),
        meta={"a": [1, None, "x"]},
        tags=["b"],
        ref=UUID(int=9),
        price=Decimal("12.30"),
        took=timedelta(days=-1, microseconds=3),
        blob=b"\0\xff",
        place=PurePosixPath("p/q"),
    )
    await db(odd.save(db.conn))
    if db.dialect == "postgres":
        await db.execute("SET TIME ZONE 'America/St_Johns'")
    cursor = await db(db.conn.cursor()) if db.colour == "aiosqlite" else db.conn.cursor()
    await db(execute_sql(cursor, f"SELECT {Odd.columns('x')} FROM {Odd.alias('x')}"))
    row = await db(cursor.fetchone())
    (read,) = from_multi_model_row(row, [Odd])
    assert read == odd
    assert read.at.tzinfo is UTC
    sql = (
        f"SELECT {Book.columns('b')}, {Author.columns('a')} FROM {Book.alias('b')} "
        f"LEFT JOIN {Author.alias('a')} ON b.author_id = a.author_id WHERE b.title = "
    )
    mark = "%s" if db.dialect == "postgres" else "?"
    for title, name in (("Emma", "Jane"), ("Beowulf", None)):
        await db(execute_sql(cursor, sql + mark, (title,)))
        book, author = from_multi_model_row(await db(cursor.fetchone()), [Book, Author])
        assert (book.title, author and author.name) == (title, name)
    named = "%(title)s" if db.dialect == "postgres" else ":title"
    await db(execute_sql(cursor, sql + named, {"title": "Emma"}))
    assert len(await db(cursor.fetchall())) == 1
    await db(cursor.close())
    with pytest.raises(ValueError, match="the row has 2 columns, but Author have 3 together"):
        from_multi_model_row((1, 2), [Author])


async def test_columns_without_an_alias_are_those_of_the_table(db: Database) -> None:
    authors, _ = await library(db)
    rows = await db.execute(f'SELECT {Author.columns()} FROM "Author" ORDER BY author_id')
    assert [from_multi_model_row(row, [Author])[0] for row in rows] == authors


async def test_a_row_that_does_not_validate_names_its_column(db: Database) -> None:
    await library(db)
    with pytest.raises(RowError) as caught:
        from_multi_model_row((1, None, "GB"), [Author])
    assert (caught.value.table, caught.value.key, caught.value.column) == ("Author", 1, "name")


async def test_hand_written_sql_is_counted_and_its_errors_are_ours(db: Database) -> None:
    await library(db)
    await db.commit()
    cursor = await db(db.conn.cursor()) if db.colour == "aiosqlite" else db.conn.cursor()
    seen: list[str] = []
    watching = on_statement(db.conn, lambda event: seen.append(event.sql))
    with watching, count_statements(db.conn) as counted:
        await db(execute_sql(cursor, "SELECT 1"))
    assert counted.count == 1
    assert seen == ["SELECT 1"]
    with pytest.raises(DatabaseError, match="nowhere"):
        await db(execute_sql(cursor, "SELECT * FROM nowhere"))
    await db.rollback()
    await db(cursor.close())


def test_what_was_found_by_name_follows_a_model_that_is_defined_anew() -> None:
    class Owner(DbModel["Owner"]):
        owner_id: int = Field(default=-1, description="(PK)")

    class Pet(DbModel["Pet"]):
        pet_id: int = Field(default=-1, description="(PK)")
        owner_id: int = Field(description="(FK:Owner.owner_id)")

    with open_db("sqlite://") as conn:
        Schema([Owner, Pet]).create_tables(conn)
        owner = Owner().save(conn)
        assert Pet(owner_id=owner.owner_id).save(conn).parent(conn, Owner) == owner

        class Owner(DbModel["Owner"]):  # type: ignore[no-redef]  # as a notebook does
            owner_id: int = Field(default=-1, description="(PK)")

        assert Pet(owner_id=owner.owner_id).parent(conn, Owner) == Owner(owner_id=owner.owner_id)
        conn.rollback()
