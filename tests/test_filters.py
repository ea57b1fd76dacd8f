"""Do filters mean on both databases what they mean in Python?

The heart is a property: random rows and random trees of conditions, compared with a model of SQL's
three-valued logic in plain Python. What it cannot reach stands below it, one behaviour a test.
"""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import AwareDatetime, BaseModel, Field

import lythonic_state
from lythonic_state import (
    Column,
    Condition,
    DbModel,
    Expression,
    FilterError,
    ForeignKey,
    InvalidValue,
    PrimaryKey,
    Schema,
    and_,
    col,
    not_,
    or_,
    statements,
    sum_,
)
from lythonic_state.dialects import POSTGRES, SQLITE
from lythonic_state.filters import Compiler, Source, fold, keyword_conditions
from lythonic_state.statements import Query, select
from lythonic_state.table import table_of
from tests.databases import Database

# --- the models -----------------------------------------------------------------------------


class Mood(Enum):
    GOOD = "good"
    BAD = "bad"


class Country(DbModel["Country"]):
    country_id: int = Field(default=-1, description="(PK)")
    code: str | None = None


class Author(DbModel["Author"]):
    author_id: int = Field(default=-1, description="(PK)")
    country_id: int | None = Field(default=None, description="(FK:Country.country_id)")
    mentor_id: int | None = Field(default=None, description="(FK:Author.author_id)")
    name: str | None = None


class Book(DbModel["Book"]):
    book_id: int = Field(default=-1, description="(PK)")
    author_id: int | None = Field(default=None, description="(FK:Author.author_id)")
    title: str
    subtitle: str | None = None
    year: int
    pages: int | None = None
    rating: float | None = None
    price: Annotated[Decimal, Field(max_digits=12, decimal_places=2)] | None = None
    mood: Mood | None = None
    day: date | None = None
    raw: bytes | None = None
    seen: bool | None = None
    meta: dict[str, Any] | None = None


class Product(DbModel["Product"]):
    maker: Annotated[str, PrimaryKey()]
    number: Annotated[int, PrimaryKey()]
    label: str | None = None


class Sale(DbModel["Sale"]):
    sale_id: int = Field(default=-1, description="(PK)")
    maker: Annotated[str | None, ForeignKey("Product.maker")] = None
    number: Annotated[int | None, ForeignKey("Product.number")] = None


ALL = (Country, Author, Book, Product, Sale)

# --- conditions and what they mean in Python ------------------------------------------------

Truth = bool | None
Meaning = Callable[[Book], Truth]


@dataclass(frozen=True)
class Case:
    """A condition in its two spellings, where it has both, and its meaning."""

    typed: Condition
    keywords: dict[str, Any]
    means: Meaning

    def __repr__(self) -> str:
        return f"Case({self.keywords})"


LETTERS = "aAbß%_\\*?[]^-\"'İıiIσΣςé" + "e\u0301"  # noqa: RUF001  # they are meant
TEXT = st.text(LETTERS, max_size=4)
AUTHORS = [None, 1, 2, 3]
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "title": TEXT,
    "subtitle": TEXT,
    "year": st.integers(1998, 2002),
    "pages": st.integers(-2, 2),
    "rating": st.sampled_from([-1.5, 0.0, 0.1, 2.0, float("inf")]),
    "price": st.integers(-200, 200).map(lambda n: Decimal(n) / 100),
    "mood": st.sampled_from(Mood),
    "day": st.dates(date(2026, 1, 1), date(2026, 1, 4)),
    "raw": st.binary(max_size=2),
    "seen": st.booleans(),
}
OPTIONAL = [name for name in VALUES if name not in ("title", "year")]
JSON_VALUES = st.sampled_from(
    [None, True, False, 0, 1, 1.5, 2**40, "a", "ß", "", "1", "true", [1], {"b": 1}]
)
METAS = st.none() | st.dictionaries(
    st.sampled_from(["a", "ß", "0"]),
    JSON_VALUES | st.dictionaries(st.just("in"), JSON_VALUES) | st.lists(JSON_VALUES, max_size=2),
    max_size=3,
)
BOOKS = st.lists(
    st.builds(
        Book,
        author_id=st.sampled_from(AUTHORS),
        title=TEXT,
        year=VALUES["year"],
        meta=METAS,
        **{name: st.none() | VALUES[name] for name in OPTIONAL},
    ),
    max_size=6,
)
COUNTRIES = [Country(country_id=1, code="x"), Country(country_id=2, code=None)]
PEOPLE = [
    Author(author_id=1, country_id=1, name="Ann"),
    Author(author_id=2, country_id=2, mentor_id=1, name=None),
    Author(author_id=3, country_id=None, mentor_id=2, name="Bob"),
]
MARKS = {
    "eq": "__eq__",
    "ne": "__ne__",
    "gt": "__gt__",
    "lt": "__lt__",
    "gte": "__ge__",
    "lte": "__le__",
}


def compare(operator: str, left: Any, right: Any) -> Truth:
    if left is None:
        return None
    left, right = (v.value if isinstance(v, Enum) else v for v in (left, right))
    return {
        "eq": lambda: left == right,
        "ne": lambda: left != right,
        "gt": lambda: left > right,
        "lt": lambda: left < right,
        "gte": lambda: left >= right,
        "lte": lambda: left <= right,
    }[operator]()


def like(pattern: str, *, ignore_case: bool = False) -> Callable[[str], bool]:
    written, characters = "", iter(fold(pattern) if ignore_case else pattern)
    for character in characters:
        if character == "\\":
            written += re.escape(next(characters))
        else:
            written += {"%": ".*", "_": "."}.get(character) or re.escape(character)
    compiled = re.compile(written, re.DOTALL)
    return lambda text: bool(compiled.fullmatch(fold(text) if ignore_case else text))


def whole_pattern(text: str) -> bool:
    return (len(text) - len(text.rstrip("\\"))) % 2 == 0


@st.composite
def comparisons(draw: st.DrawFn) -> Case:
    name = draw(st.sampled_from(list(VALUES)))
    operator, value = draw(st.sampled_from(list(MARKS))), draw(VALUES[name])
    column: Any = getattr(Book, name)
    return Case(
        getattr(column, MARKS[operator])(value),
        {name if operator == "eq" else f"{operator}__{name}": value},
        lambda book: compare(operator, getattr(book, name), value),
    )


@st.composite
def finer_decimals(draw: st.DrawFn) -> Case:
    """Comparisons with more decimal places than the column holds."""
    operator = draw(st.sampled_from(list(MARKS)))
    value = draw(st.integers(-2500, 2500).map(lambda n: Decimal(n) / 1000))
    column: Any = Book.price
    return Case(
        getattr(column, MARKS[operator])(value),
        {f"{operator}__price": value},
        lambda book: compare(operator, book.price, value),
    )


@st.composite
def ranges(draw: st.DrawFn) -> Case:
    name = draw(st.sampled_from(list(VALUES)))
    low, high = draw(VALUES[name]), draw(VALUES[name])

    def means(book: Book) -> Truth:
        value = getattr(book, name)
        return both(compare("gte", value, low), compare("lte", value, high))

    column: Any = getattr(Book, name)
    return Case(column.between(low, high), {f"between__{name}": (low, high)}, means)


@st.composite
def memberships(draw: st.DrawFn) -> Case:
    name = draw(st.sampled_from(list(VALUES)))
    values = draw(st.lists(st.none() | VALUES[name], max_size=3))
    if name == "price":
        values += draw(st.lists(st.just(Decimal("0.125")), max_size=1))
    operator = draw(st.sampled_from(["eq", "ne", "in", "nin"]))
    negated = operator in ("ne", "nin")

    def means(book: Book) -> Truth:
        value = getattr(book, name)
        if value is None:
            found: Truth = True if None in values else None
        else:
            found = value in values
        return negation(found) if negated else found

    column: Any = getattr(Book, name)
    typed = {
        "eq": lambda: column == values,
        "ne": lambda: column != values,
        "in": lambda: column.in_(values),
        "nin": lambda: column.not_in(values),
    }[operator]()
    return Case(typed, {name if operator == "eq" else f"{operator}__{name}": values}, means)


@st.composite
def nulls(draw: st.DrawFn) -> Case:
    name = draw(st.sampled_from([*VALUES, "meta", "author_id"]))
    wanted, spelling = draw(st.booleans()), draw(st.sampled_from(["isnull", "eq"]))
    column: Any = getattr(Book, name)
    if spelling == "isnull":
        key: dict[str, Any] = {f"isnull__{name}": wanted}
        typed = column.is_null() if wanted else column.is_not_null()
    else:
        key = {name if wanted else f"ne__{name}": None}
        typed = (column == None) if wanted else (column != None)  # noqa: E711  # a condition
    return Case(typed, key, lambda book: (getattr(book, name) is None) == wanted)


@st.composite
def texts(draw: st.DrawFn) -> Case:
    name = draw(st.sampled_from(["title", "subtitle"]))
    operator = draw(st.sampled_from(["like", "ilike", "contains", "startswith", "endswith"]))
    patterns = operator in ("like", "ilike")
    text = draw(TEXT.filter(whole_pattern) if patterns else TEXT)
    test: Callable[[str], bool] = {
        "like": like(text) if patterns else bool,
        "ilike": like(text, ignore_case=True) if patterns else bool,
        "contains": lambda value: text in value,
        "startswith": lambda value: value.startswith(text),
        "endswith": lambda value: value.endswith(text),
    }[operator]

    def means(book: Book) -> Truth:
        value = getattr(book, name)
        return None if value is None else test(value)

    return Case(getattr(getattr(Book, name), operator)(text), {f"{operator}__{name}": text}, means)


def inside(value: Any, path: Sequence[str | int]) -> Any:
    for key in path:
        kind = list if isinstance(key, int) else dict
        if not isinstance(value, kind):
            return None
        try:
            value = value[key]
        except LookupError:
            return None
    return value


def kind_of(value: Any) -> type:
    return float if type(value) is int else type(value)


@st.composite
def json_paths(draw: st.DrawFn) -> Case:
    path = draw(
        st.sampled_from([("a",), ("ß",), ("a", "in"), ("a", 0), ("ß", 1), ("missing",), ("a", -1)])
    )
    operator = draw(st.sampled_from(list(MARKS)))
    scalar: Any = st.sampled_from([0, 1, 1.5, 2**40, "a", "ß", "", "1"])
    if operator in ("eq", "ne"):
        scalar |= st.booleans() | st.none()
    value = draw(scalar)

    def means(book: Book) -> Truth:
        found = inside(book.meta, path)
        if value is None:
            return (found is None) == (operator == "eq")
        if found is None:
            return None
        if kind_of(found) is not kind_of(value):
            return operator == "ne"
        return compare(operator, found, value)

    column: Any = Book.meta
    for key in path:
        column = column[key]
    typed = getattr(column, MARKS[operator])(value)
    if -1 in path:
        return Case(typed, {}, means)
    key = "__".join(["meta", *map(str, path)])
    return Case(typed, {key if operator == "eq" else f"{operator}__{key}": value}, means)


@st.composite
def json_memberships(draw: st.DrawFn) -> Case:
    values = draw(st.lists(st.sampled_from([None, True, 0, 1, 1.5, "a", "1", ""]), max_size=4))
    negated = draw(st.booleans())

    def means(book: Book) -> Truth:
        found = inside(book.meta, ["a"])
        if found is None:
            answer: Truth = True if None in values else None
        else:
            answer = any(
                kind_of(found) is kind_of(v) and found == v for v in values if v is not None
            )
        return negation(answer) if negated else answer

    path: Any = col(Book.meta)["a"]
    typed = path.not_in(values) if negated else path.in_(values)
    return Case(typed, {f"{'nin' if negated else 'in'}__meta__a": values}, means)


def by_id(rows: Sequence[Any], key: Any) -> Any:
    return None if key is None else rows[key - 1]


@st.composite
def relations(draw: st.DrawFn) -> Case:
    """Conditions across one and two foreign keys, which no keyword less than a path expresses."""
    operator = draw(st.sampled_from(["eq", "ne", "gt"]))
    value = draw(st.sampled_from(["Ann", "Bob", "x"]))
    path = draw(
        st.sampled_from(
            ["author_id__name", "author_id__mentor_id__name", "author_id__country_id__code"]
        )
    )

    def means(book: Book) -> Truth:
        author = by_id(PEOPLE, book.author_id)
        if author is None:
            return None
        row, field = author, "name"
        if "mentor" in path:
            row = by_id(PEOPLE, author.mentor_id)
        elif "country" in path:
            row, field = by_id(COUNTRIES, author.country_id), "code"
        return None if row is None else compare(operator, getattr(row, field), value)

    key = path if operator == "eq" else f"{operator}__{path}"
    (typed,) = keyword_conditions([Source(table_of(Book))], {key: value})
    return Case(typed, {key: value}, means)


def negation(truth: Truth) -> Truth:
    return None if truth is None else not truth


def both(a: Truth, b: Truth) -> Truth:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def either(a: Truth, b: Truth) -> Truth:
    return negation(both(negation(a), negation(b)))


LEAVES = st.one_of(
    comparisons(), finer_decimals(), ranges(), memberships(), nulls(), texts(), json_paths(),
    json_memberships(), relations(),
)  # fmt: skip


def combined(inner: st.SearchStrategy[Case]) -> st.SearchStrategy[Case]:
    pairs = st.tuples(inner, inner, st.booleans())
    return st.one_of(
        inner.map(lambda a: Case(~a.typed, {}, lambda book: negation(a.means(book)))),
        inner.map(lambda a: Case(not_(a.typed), {}, lambda book: negation(a.means(book)))),
        pairs.map(
            lambda p: Case(
                p[0].typed & p[1].typed if p[2] else and_(p[0].typed, p[1].typed),
                {},
                lambda book: both(p[0].means(book), p[1].means(book)),
            )
        ),
        pairs.map(
            lambda p: Case(
                p[0].typed | p[1].typed if p[2] else or_(p[0].typed, p[1].typed),
                {},
                lambda book: either(p[0].means(book), p[1].means(book)),
            )
        ),
    )


TREES = st.recursive(LEAVES, combined, max_leaves=4)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def conn(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A connection to a database with authors and countries, for many examples of books."""
    url = f"sqlite:///{tmp_path_factory.mktemp('filters') / 'filters.db'}"
    if request.param == "postgres":
        url = request.getfixturevalue("pg_database").url
    with lythonic_state.open_db(url) as opened:
        Schema(ALL).create_tables(opened)
        Country.insert_many(opened, [row.model_copy() for row in COUNTRIES])
        Author.insert_many(opened, [row.model_copy() for row in PEOPLE])
        opened.commit()
        yield opened
        opened.rollback()


def test_filters_mean_what_they_mean_in_python(conn: Any) -> None:
    @given(BOOKS, st.lists(TREES, min_size=1, max_size=3), st.data())
    @settings(max_examples=150)
    def check(books: list[Book], cases: list[Case], data: st.DataObject) -> None:
        try:
            Book.insert_many(conn, books)
            typed: list[Condition] = []
            filters: dict[str, Any] = {}
            for case in cases:
                if (
                    case.keywords
                    and not case.keywords.keys() & filters
                    and data.draw(st.booleans())
                ):
                    filters |= case.keywords
                else:
                    typed.append(case.typed)
            found = [
                row.book_id for row in Book.select(conn, *typed, order_by="book_id", **filters)
            ]
            assert found == [row.book_id for row in books if all(case.means(row) for case in cases)]
            assert Book.select_count(conn, *typed, **filters) == len(found)
        finally:
            conn.rollback()

    check()


def test_both_spellings_of_a_filter_are_the_same_statement() -> None:
    @given(LEAVES.filter(lambda case: case.keywords))
    @settings(max_examples=100)
    def check(case: Case) -> None:
        source = Source(table_of(Book))
        for dialect in (SQLITE, POSTGRES):
            one, two = Compiler(dialect, [source]), Compiler(dialect, [source])
            keywords = keyword_conditions([source], case.keywords)
            assert one.where([case.typed]) == two.where(keywords)
            assert one.params == two.params

    check()


def test_a_cached_statement_is_the_one_that_would_be_written_anew() -> None:
    class Note(DbModel["Note"]):
        note_id: int = Field(default=-1, description="(PK)")
        text: str
        data: dict[str, Any] | list[Any] = {}

    keys = st.sampled_from(["note_id", "gt__note_id", "ne__text", "text", "lte__text"])
    numbers = st.integers(-3, 3)
    values = st.one_of(numbers, st.none(), st.lists(st.one_of(numbers, st.none()), max_size=3))
    orders = st.sampled_from([None, "text", "-note_id", ["text", "-note_id"], ["-note_id"]])

    def asked(model: type[BaseModel], dialect: Any, query: Query) -> Any:
        try:
            statement, params = select(table_of(model), dialect, query, lambda _: None)
        except FilterError as error:
            return str(error)
        return statement.sql, params

    def as_text(value: Any) -> Any:
        if isinstance(value, list):
            return [as_text(each) for each in value]
        return None if value is None else str(value)

    @given(st.dictionaries(keys, values), orders, st.sampled_from([None, 1]),
           st.sampled_from([None, 0]))  # fmt: skip
    def check(filters: dict[str, Any], order: Any, limit: Any, offset: Any) -> None:
        given_ = {k: as_text(v) if "text" in k else v for k, v in filters.items()}
        query = Query((), given_, order, limit, offset)
        fresh: Any = type("Note", (Note,), {"__module__": __name__}, table="Note")
        for dialect in (SQLITE, POSTGRES):
            anew = asked(fresh, dialect, query)
            assert anew == asked(Note, dialect, query) == asked(Note, dialect, query)

    check()


def test_a_list_or_none_is_written_once(monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Query] = []

    def counted(table: Any, dialect: Any, query: Query, scope_value: Any) -> Any:
        written.append(query)
        return write(table, dialect, query, scope_value)

    write = statements._select
    monkeypatch.setattr(statements, "_select", counted)
    table = table_of(type("Tale", (Book,), {"__module__": __name__}, table="Tale"))
    for _ in range(3):
        for values in ([1], [2, 3], [1, 2, 3]):
            query = Query((), {"author_id": values, "mood": None}, ["title", "-year"], 5)
            _, params = select(table, SQLITE, query, lambda _: None)
            assert params == [json.dumps(values), 5]
        select(table, SQLITE, Query((), {"author_id": 1, "mood": None}), lambda _: None)
        select(table, SQLITE, Query((), {"author_id": None, "mood": None}), lambda _: None)
    assert len(written) == 3


@pytest.mark.parametrize(
    ("meta", "path", "found"),
    [
        ({"a": True}, ("a", 0), None),
        ({"a": 7}, ("a", 0), None),
        ({"a": [7, 8]}, ("a", 0), 7),
        ({"a": [7, 8]}, ("a", -1), 8),
        ({"a": [7, 8]}, ("a", -2), 7),
        ({"a": [7, 8]}, ("a", 2), None),
        ({"a": [7, 8]}, ("a", -3), None),
        ({"a": {"0": 7}}, ("a", 0), None),
        ({"a": [[1], [2, 3]]}, ("a", 1, 1), 3),
    ],
)
def test_a_number_in_a_path_is_the_place_in_an_array_and_in_nothing_else(
    conn: Any, meta: dict[str, Any], path: tuple[str | int, ...], found: int | None
) -> None:
    try:
        book = Book(title="x", year=2000, meta=meta).save(conn)
        there: Any = col(Book.meta)
        for key in path:
            there = there[key]
        key = Book.book_id == book.book_id
        assert Book.exists(conn, key & there.is_null()) is (found is None)
        if found is not None:
            assert Book.exists(conn, key & (there == found))
    finally:
        conn.rollback()


def test_equality_of_a_json_column_is_the_same_when_asked_twice(conn: Any) -> None:
    try:
        Book(title="a", year=1, meta={"b": 1, "a": [1.0, {"d": 1, "c": 2}]}).save(conn)
        same = {"a": [1, {"c": 2, "d": 1.0}], "b": 1.0}
        for _ in range(3):
            assert Book.select_count(conn, meta=same) == len(Book.select(conn, meta=same)) == 1
            assert Book.select_count(conn, ne__meta=same) == 0
    finally:
        conn.rollback()


# --- case ------------------------------------------------------------------------------------


async def test_ilike_folds_every_letter_alike_on_both_databases(sync_db: Database) -> None:
    class Letter(DbModel["Letter"]):
        letter_id: int = Field(default=-1, description="(PK)")
        text: str

    await sync_db.create(Letter)
    letters = [
        chr(n)
        for n in range(1, 0x1E944)
        if not 0xD800 <= n < 0xE000 and (chr(n).upper() != chr(n) or chr(n).lower() != chr(n))
    ]
    Letter.insert_many(sync_db.conn, [Letter(text=letter) for letter in letters])
    pairs = [
        ("ß", "ß"),
        ("İ", "i"),
        ("Σ", "ς"),
        ("ς", "Σ"),
        ("Ǆ", "ǅ"),
        ("É", "é"),
        ("\u212a", "k"),
    ]
    for a, b in pairs:
        found = {row.text for row in Letter.select(sync_db.conn, ilike__text=a)}
        assert found == {letter for letter in letters if fold(letter) == fold(a)}, (a, b)
        assert b in found


async def test_like_knows_case_and_ilike_does_not(db: Database) -> None:
    await db.create(*ALL)
    for title in ("Pride", "pride", "ÉTÉ", "été", "50%", "a_b", "axb", "[x]"):
        await db(Book(title=title, year=1).save(db.conn))

    async def titles(**filters: Any) -> list[str]:
        found = await db(Book.select(db.conn, order_by="title", **filters))
        return [row.title for row in found]

    assert await titles(like__title="P%") == ["Pride"]
    assert await titles(ilike__title="P%") == ["Pride", "pride"]
    assert await titles(ilike__title="Été") == ["ÉTÉ", "été"]
    assert await titles(contains__title="%") == ["50%"]
    assert await titles(contains__title="_") == ["a_b"]
    assert await titles(like__title=r"a\_b") == ["a_b"]
    assert await titles(like__title="[x]") == ["[x]"]
    assert await titles(endswith__title="e") == ["Pride", "pride"]


async def test_a_pattern_may_not_end_in_a_lone_backslash(db: Database) -> None:
    await db.create(*ALL)
    for key in ("like__title", "ilike__title"):
        with pytest.raises(FilterError, match="backslash"):
            await db(Book.select(db.conn, **{key: "a\\"}))


async def test_long_texts_are_searched_for_and_long_patterns_refused(sync_db: Database) -> None:
    await sync_db.create(*ALL)
    text = "[é]" * 30_000
    Book(title=text, year=1).save(sync_db.conn)
    for operator in ("contains", "startswith", "endswith"):
        assert Book.select_count(sync_db.conn, **{f"{operator}__title": text}) == 1
        assert Book.select_count(sync_db.conn, **{f"{operator}__title": text + "x"}) == 0
    with pytest.raises(FilterError, match="at most"):
        Book.select(sync_db.conn, like__title=text)


# --- lists ----------------------------------------------------------------------------------

CENTS = Annotated[Decimal, Field(max_digits=12, decimal_places=3)]
MANY: dict[str, tuple[Any, Callable[[int], Any]]] = {
    "int": (int, lambda n: n * 10**13),
    "str": (str, lambda n: f"'{n}'\\%s"),
    "float": (float, lambda n: n / 7),
    "bytes": (bytes, lambda n: n.to_bytes(4, "big")),
    "uuid": (UUID, lambda n: UUID(int=n * 2**60)),
    "datetime": (AwareDatetime, lambda n: datetime(1, 1, 2, tzinfo=UTC) + timedelta(minutes=n)),
    "decimal": (CENTS, lambda n: Decimal(n) / 8),
    "text_decimal": (Decimal, lambda n: Decimal(n) / 8),
    "json": (dict[str, Any], lambda n: {"a": n}),
}  # fmt: skip


@pytest.mark.no_cover  # few lines very often, which take four times as long when measured
@pytest.mark.parametrize("kind", MANY)
async def test_a_list_may_hold_a_hundred_thousand_values(sync_db: Database, kind: str) -> None:
    annotation, make = MANY[kind]
    thing: Any = type(
        "Thing",
        (DbModel,),
        {
            "__module__": __name__,
            "__annotations__": {"thing_id": int, "value": annotation | None},
            "thing_id": Field(default=-1, description="(PK)"),
            "value": None,
        },
    )
    await sync_db.create(thing)
    thing.insert_many(sync_db.conn, [thing(value=make(n)) for n in (1, 99_999, 100_001)])
    thing().save(sync_db.conn)
    numbers = range(100_000)
    if kind == "json":
        inner: Any = list(numbers)
        key = "value__a"
    else:
        inner, key = [make(n) for n in numbers], "value"
    assert thing.select_count(sync_db.conn, **{key: [*inner, None]}) == 3
    assert thing.select_count(sync_db.conn, **{f"nin__{key}": inner}) == 1


async def test_lists_come_in_many_shapes(db: Database) -> None:
    await db.create(*ALL)
    await db(Book.insert_many(db.conn, [Book(title="t", year=year) for year in range(5)]))
    shapes: list[Any] = [
        [1, 2],
        (1, 2),
        {1, 2},
        frozenset((1, 2)),
        range(1, 3),
        {1: 0, 2: 0}.keys(),
    ]
    for shape in shapes:
        assert await db(Book.select_count(db.conn, year=shape)) == 2
        assert await db(Book.select_count(db.conn, in__year=shape)) == 2
        assert await db(Book.select_count(db.conn, nin__year=shape)) == 3
    assert await db(Book.select_count(db.conn, Book.year.in_(n for n in (1, 2)))) == 2
    assert await db(Book.select_count(db.conn, in__year=[])) == 0
    assert await db(Book.select_count(db.conn, year=[])) == 0
    assert await db(Book.select_count(db.conn, nin__year=[])) == 5


# --- names ----------------------------------------------------------------------------------


class Odd(DbModel["Odd"]):
    odd_id: int = Field(default=-1, description="(PK)")
    limit: int = 0
    offset: int = 0
    order_by: str = ""
    like: int = 0
    isnull: int = 0
    in_: int = 0
    eq: int = 0
    gt__x: int = 0
    a__b: int = 0
    meta: dict[str, Any] = {}


async def test_columns_may_be_called_like_operators_and_arguments(db: Database) -> None:
    await db.create(Odd)
    await db(
        Odd(limit=10, offset=3, order_by="x", like=1, isnull=2, eq=5, gt__x=6, a__b=7).save(db.conn)
    )
    await db(Odd().save(db.conn))
    found: list[dict[str, Any]] = [
        {"eq__limit": 10},
        {"gt__limit": 9},
        {"eq__offset": 3},
        {"eq__order_by": "x"},
        {"like": 1},
        {"eq__like": 1},
        {"gt__isnull": 1},
        {"isnull": 2},
        {"eq": 5},
        {"eq__eq": 5},
        {"gt__x": 6},
        {"lte__gt__x": 6, "gte__gt__x": 6},
        {"a__b": 7},
        {"in__a__b": [7]},
    ]
    for filters in found:
        assert await db(Odd.select_count(db.conn, **filters)) == 1, filters
        for _ in range(2):
            assert len(await db(Odd.select(db.conn, **filters))) == 1, filters
    assert len(await db(Odd.select(db.conn, limit=1))) == 1


UNKNOWN: dict[str, tuple[dict[str, Any], str]] = {
    "field": ({"yaer": 1}, "no field 'yaer'; did you mean 'year'"),
    "field after an operator": ({"gt__yaer": 1}, "did you mean 'year'"),
    "operator": ({"gtt__year": 1}, "'gtt' is not an operator; did you mean 'gt'"),
    "operator before a path": ({"likee__author_id__name": "x"}, "did you mean 'like'"),
    "field behind a key": ({"author_id__nmae": 1}, "Author has no field 'nmae'; did you mean"),
    "field two keys on": ({"author_id__country_id__kode": 1}, "Country has no field 'kode'"),
    "path through a plain column": ({"title__x": 1}, "Book.title is neither a foreign key nor"),
}  # fmt: skip


@pytest.mark.parametrize("name", UNKNOWN)
async def test_an_unknown_name_is_an_error_with_the_nearest_one(db: Database, name: str) -> None:
    await db.create(*ALL)
    filters, message = UNKNOWN[name]
    verbs: list[Callable[[], Any]] = [
        lambda: Book.select(db.conn, **filters),
        lambda: Book.first(db.conn, **filters),
        lambda: Book.select_count(db.conn, **filters),
        lambda: Book.exists(db.conn, **filters),
        lambda: Book.delete(db.conn, **filters),
        lambda: Book.update_where(db.conn, {"year": 1}, **filters),
    ]
    for verb in verbs:
        with pytest.raises(FilterError, match=re.escape(message)):
            await db(verb())


WRONG: dict[str, tuple[Callable[[], tuple[tuple[Any, ...], dict[str, Any]]], str]] = {
    "str for int": (lambda: ((Book.year > "1900",), {}), "Book.year compares with int"),  # type: ignore[operator]
    "str for int by keyword": (lambda: ((), {"gt__year": "1900"}), "Book.year compares with int"),
    "bool for int": (lambda: ((), {"year": True}), "compares with int"),
    "int for str": (lambda: ((), {"title": 3}), "compares with str"),
    "int for bool": (lambda: ((), {"seen": 1}), "compares with bool"),
    "float for decimal": (lambda: ((), {"price": 1.5}), "compares with Decimal"),
    "datetime for date": (lambda: ((), {"day": datetime(2026, 1, 1)}), "expected a date"),
    "str for date": (lambda: ((), {"day": "2026-01-01"}), "compares with date"),
    "int for text": (lambda: ((), {"like__title": 3}), "like takes a str"),
    "text for int": (lambda: ((), {"like__year": "1"}), "like is for text columns"),
    "another enum's value": (lambda: ((), {"mood": "angry"}), "not one of Mood: 'good', 'bad'"),
    "64 bits": (lambda: ((), {"year": 2**63}), "64-bit"),
    "64 bits in a list": (lambda: ((), {"year": [1, 2**63]}), "64-bit"),
    "64 bits in JSON": (lambda: ((), {"meta__a": 2**63}), "64-bit"),
    "a large decimal": (lambda: ((), {"lt__price": Decimal("1E+30")}), "18 digits"),
    "a huge decimal": (lambda: ((), {"lt__price": Decimal("1E+999999999")}), "NUMERIC|18 digits"),
    "a large decimal in a list": (lambda: ((), {"price": [Decimal("1E+30")]}), "18 digits"),
    "NaN": (lambda: ((), {"rating": float("nan")}), "NaN"),
    "NaN in JSON": (lambda: ((), {"meta__a": float("nan")}), "not a number of JSON"),
    "a large int for float": (lambda: ((), {"rating": 10**400}), "too large"),
    "NUL": (lambda: ((), {"title": "a\0"}), "NUL"),
    "NUL in a pattern": (lambda: ((), {"contains__title": "\0"}), "NUL"),
    "NUL in JSON": (lambda: ((), {"meta__a": "\0"}), "NUL"),
    "a surrogate": (lambda: ((), {"title": "\ud800"}), "surrogate"),
    "ordering with None": (lambda: ((), {"gt__pages": None}), "gt with None has no answer"),
    "typed ordering with None": (lambda: ((Book.pages < None,), {}), "lt with None"),  # type: ignore[operator]
    "between with None": (lambda: ((), {"between__pages": (None, 1)}), "gte with None"),
    "like None": (lambda: ((), {"like__title": None}), "like with None"),
    "between of one": (lambda: ((), {"between__pages": 3}), "between takes a low and a high"),
    "between of three": (lambda: ((), {"between__pages": (1, 2, 3)}), "between takes"),
    "in of a str": (lambda: ((), {"in__title": "abc"}), "in takes a list"),
    "in of an int": (lambda: ((), {"in__year": 3}), "in takes a list"),
    "isnull of a word": (lambda: ((), {"isnull__pages": "yes"}), "True or False"),
    "ordering of JSON": (lambda: ((), {"gt__meta": {}}), "equality only"),
    "list of JSON": (lambda: ((), {"in__meta": [{}]}), "JSON column"),
    "JSON of a wrong type": (lambda: ((), {"meta": 3}), "no value of its"),
    "a dict beside a path": (lambda: ((), {"meta__a": {"b": 1}}), "compares with str, int"),
    "bool order in JSON": (lambda: ((), {"gt__meta__a": True}), "no meaning"),
    "path in a plain column": (lambda: ((col(Book.title)["a"] == 1,), {}), "not a JSON column"),
    "another model's column": (lambda: ((Author.name == "x",), {}), "not a column of this"),
    "columns of two types": (lambda: ((Book.year == Book.title,), {}), "do not go together"),  # type: ignore[comparison-overlap]
    "a str condition": (lambda: (("year > 3",), {}), "expected a condition"),
    "a bool condition": (lambda: ((True,), {}), "expected a condition"),
    "a column as a condition": (lambda: ((Book.seen,), {}), "expected a condition"),
    "a column as a list": (lambda: ((col(Book.year).in_(Book.pages),), {}), "not a list"),  # type: ignore[arg-type]
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
async def test_a_wrong_operand_is_an_error_that_says_what_is_right(
    sync_db: Database, name: str
) -> None:
    await sync_db.create(*ALL)
    book = Book(title="kept", year=1).save(sync_db.conn)

    make, message = WRONG[name]

    def ask(verb: Callable[..., Any]) -> None:
        where, filters = make()
        verb(*where, **filters)

    verbs: list[Callable[..., Any]] = [
        lambda *w, **f: Book.select(sync_db.conn, *w, **f),
        lambda *w, **f: Book.select_count(sync_db.conn, *w, **f),
        lambda *w, **f: Book.delete(sync_db.conn, *w, **f),
    ]
    for verb in verbs:
        with pytest.raises(FilterError, match=message):
            ask(verb)
    assert Book.select(sync_db.conn) == [book]


def test_a_condition_has_no_truth_value() -> None:
    year: Any = Book.year
    wrong: list[Callable[[], Any]] = [
        lambda: 1900 < year < 2000,
        lambda: (year > 1) and (year < 2),
        lambda: (year > 1) or (year < 2),
        lambda: not (year > 1),
        lambda: bool(year == 1),
        lambda: 1 in year,
        lambda: (year > 1) & True,
        lambda: (year > 1) | "x",
        lambda: not_("x"),
        lambda: or_(),
        lambda: or_("x"),
    ]
    for call in wrong:
        with pytest.raises(FilterError):
            call()


# --- across tables --------------------------------------------------------------------------


async def test_filters_follow_composite_keys_and_self_references(db: Database) -> None:
    await db.create(*ALL)
    await db(Country.insert_many(db.conn, [row.model_copy() for row in COUNTRIES]))
    await db(Author.insert_many(db.conn, [row.model_copy() for row in PEOPLE]))
    await db(
        Product.insert_many(db.conn, [Product(maker="m", number=n, label=str(n)) for n in (1, 2)])
    )
    sales = [Sale(maker="m", number=1), Sale(maker="m", number=2), Sale()]
    await db(Sale.insert_many(db.conn, sales))

    async def found(model: Any, *where: Any, **filters: Any) -> list[Any]:
        return list(
            await db(
                model.select(db.conn, *where, order_by=f"{model.__name__.lower()}_id", **filters)
            )
        )

    assert await found(Sale, maker__label="1") == sales[:1]
    assert await found(Sale, number__label=["1", "2"]) == sales[:2]
    (label,) = keyword_conditions([Source(table_of(Sale))], {"maker__label": "1"})
    assert await found(Sale, not_(label)) == sales[1:2]
    assert [a.author_id for a in await found(Author, mentor_id__name="Ann")] == [2]
    assert [a.author_id for a in await found(Author, mentor_id__mentor_id__name="Ann")] == [3]
    assert [a.author_id for a in await found(Author, mentor_id__country_id__code="x")] == [2]
    assert await db(Author.delete(db.conn, mentor_id__mentor_id__name="Ann")) == 1


# --- JSON -----------------------------------------------------------------------------------


class Settings(BaseModel):
    theme: str = "dark"
    sizes: list[int] = []


class Account(DbModel["Account"]):
    account_id: int = Field(default=-1, description="(PK)")
    settings: Settings = Settings()
    data: dict[str, Any] = {}


async def test_paths_reach_into_models_and_odd_keys(db: Database) -> None:
    await db.create(Account)
    keys = ['"', "\\", "a.b", "[0]", "", "ß", "\n", "'", "%s", "?", "$", "0", "-1", "a b"]
    data = {key: number for number, key in enumerate(keys)}
    account = await db(
        Account(settings=Settings(sizes=[5, 7]), data={**data, "list": [{"x": 1}]}).save(db.conn)
    )
    for key, number in data.items():
        assert await db(Account.select(db.conn, col(Account.data)[key] == number)) == [account], key
        assert await db(Account.select(db.conn, col(Account.data)[key] == -5)) == [], key
    assert await db(Account.select_count(db.conn, settings__theme="dark")) == 1
    assert await db(Account.select_count(db.conn, settings__sizes__1=7)) == 1
    assert await db(Account.select_count(db.conn, col(Account.settings)["sizes"][-1] == 7)) == 1
    assert await db(Account.select_count(db.conn, data__list__0__x=1)) == 1
    assert await db(Account.select_count(db.conn, settings=Settings(sizes=[5, 7]))) == 1
    assert await db(Account.select_count(db.conn, settings={"sizes": [5, 7]})) == 1
    assert await db(Account.select_count(db.conn, ne__settings=Settings())) == 1
    assert await db(Account.select_count(db.conn, like__settings__theme="d%")) == 1
    assert await db(Account.select_count(db.conn, like__settings__sizes="%")) == 0


# --- order and number -----------------------------------------------------------------------


async def test_rows_are_ordered_by_names_columns_and_lists_of_them(db: Database) -> None:
    await db.create(*ALL)
    rows = [("b", 1, None), ("a", 2, 5), ("a", 1, 7)]
    for title, year, pages in rows:
        await db(Book(title=title, year=year, pages=pages).save(db.conn))
    orders: list[tuple[Any, list[int]]] = [
        ("title", []),
        (["title", "year"], [3, 2, 1]),
        (["-title", "year"], [1, 3, 2]),
        ((Book.title, col(Book.year).desc()), [2, 3, 1]),
        ([-col(Book.title), "year"], [1, 3, 2]),
        ("pages", [1, 2, 3]),
        ("-pages", [3, 2, 1]),
        (col(Book.pages).asc(), [1, 2, 3]),
        ("Book__pages", [1, 2, 3]),
        ([], []),
    ]
    for order, expected in orders:
        found = [row.book_id for row in await db(Book.select(db.conn, order_by=order))]
        assert found == expected or not expected, order
    wrong: list[tuple[Any, str]] = [
        ("titel", "did you mean 'title'"),
        ("-titel", "did you mean 'title'"),
        (3, "expected a field's name or a column"),
        ("meta", "no order"),
        (Author.name, "not a column of this statement"),
        (col(Book.meta)["a"], "no order"),
    ]
    for order, message in wrong:
        with pytest.raises(FilterError, match=message):
            await db(Book.select(db.conn, order_by=order))


async def test_limit_and_offset_take_numbers_from_zero_on(db: Database) -> None:
    await db.create(*ALL)
    await db(Book.insert_many(db.conn, [Book(title="t", year=year) for year in range(5)]))

    async def years(**more: Any) -> list[int]:
        return [row.year for row in await db(Book.select(db.conn, order_by="year", **more))]

    assert await years(limit=0) == []
    assert await years(limit=2) == [0, 1]
    assert await years(offset=3) == [3, 4]
    assert await years(limit=2, offset=4) == [4]
    assert await years(offset=10) == []
    assert await years(limit=2**63 - 1, offset=0) == [0, 1, 2, 3, 4]
    for wrong in (-1, 1.5, "1", True, 2**63):
        for name in ("limit", "offset"):
            with pytest.raises(FilterError, match=f"{name} takes a number from 0 on"):
                await years(**{name: wrong})


# --- columns against columns, arithmetic ----------------------------------------------------


class Stock(DbModel["Stock"]):
    stock_id: int = Field(default=-1, description="(PK)")
    hits: int = 0
    goal: int | None = None
    rate: float = 0.0
    price: Decimal = Field(default=Decimal(0), max_digits=10, decimal_places=2)
    cost: Decimal = Field(default=Decimal(0), max_digits=10, decimal_places=2)
    fine: Decimal = Field(default=Decimal(0), max_digits=10, decimal_places=4)
    span: timedelta = timedelta()
    name: str = ""
    path: Path = Path()
    data: dict[str, Any] = {}
    other: dict[str, Any] = {}


async def test_columns_compare_with_columns(db: Database) -> None:
    await db.create(Stock)
    one = {"a": 1, "b": 2}
    rows = [
        Stock(hits=1, goal=2, price=Decimal("1.50"), cost=Decimal("1.5"), data=one, other=one),
        Stock(hits=3, goal=2, price=Decimal(2), cost=Decimal(10), data={"a": 1}),
        Stock(hits=5),
    ]
    rows[0].other = {"b": 2.0, "a": 1}
    await db(Stock.insert_many(db.conn, rows))

    async def ids(*where: Any) -> list[int]:
        found = await db(Stock.select(db.conn, *where, order_by="stock_id"))
        return [row.stock_id for row in found]

    assert await ids(Stock.hits < Stock.goal) == [1]
    assert await ids(Stock.hits >= Stock.goal) == [2]
    assert await ids(~(col(Stock.hits) < Stock.goal)) == [2]
    assert await ids(Stock.price == Stock.cost) == [1, 3]
    assert await ids(Stock.price < Stock.cost) == [2]
    assert await ids(Stock.data == Stock.other) == [1, 3]
    assert await ids(col(Stock.hits) + 1 == Stock.goal) == [1]
    assert await ids(col(Stock.hits) - col(Stock.goal) > 0) == [2]
    assert await ids(col(Stock.goal).between(1, 2)) == [1, 2]
    assert await ids(col(Stock.hits).between(1, col(Stock.goal))) == [1]
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: Stock.price < Stock.fine, "same decimal_places"),
        (lambda: Stock.hits < Stock.price, "do not go together"),
        (lambda: Stock.hits < Stock.span, "do not go together"),
        (lambda: Stock.name < Stock.path, "do not go together"),
        (lambda: col(Stock.data)["a"] == Stock.hits, "compares with"),
        (lambda: col(Stock.hits) + col(Stock.price) > 1, "do not go together"),
    ]
    for condition, message in wrong:
        with pytest.raises(FilterError, match=message):
            await ids(condition())


async def test_a_value_may_stand_before_a_column(db: Database) -> None:
    await db.create(Stock)
    span = timedelta(hours=1)
    row = Stock(hits=3, goal=4, rate=1.5, price=Decimal("1.50"), span=span)
    await db(row.save(db.conn))
    hits, rate, price = col(Stock.hits), col(Stock.rate), col(Stock.price)
    conditions = [
        1 + hits == 4,
        10 - hits == 7,
        10 - (1 + hits) == 6,
        2 * hits == 6,
        (2 * hits) - hits == 3,
        2 * (10 - hits) == 14,
        10 - hits == 11 - col(Stock.goal),
        2.0 * rate == 3.0,
        4.0 - rate == 2.5,
        Decimal("2.25") - price == Decimal("0.75"),
        Decimal("0.25") + price == Decimal("1.75"),
        timedelta(hours=3) - col(Stock.span) == timedelta(hours=2),
    ]
    for place, condition in enumerate(conditions):
        assert await db(Stock.select_count(db.conn, condition)) == 1, place
        assert await db(Stock.select_count(db.conn, ~condition)) == 0, place
    await db(Stock.update_where(db.conn, {"hits": 100 - hits, "rate": 2.0 * rate}, hits=3))
    await db(row.refresh(db.conn))
    assert (row.hits, row.rate) == (97, 3.0)
    wrong: list[tuple[Callable[[], Any], str]] = [
        (lambda: "x" + col(Stock.name), "arithmetic needs"),
        (lambda: 2 * price, "cannot be multiplied"),
        (lambda: Stock.select_count(db.conn, 1.5 * hits == 3), "compares with int"),
        (lambda: Stock.select_count(db.conn, Decimal("0.001") - price == 1), "decimal places"),
    ]
    for make, message in wrong:
        with pytest.raises(FilterError, match=message):
            await db(make())


async def test_update_where_computes_in_the_database(db: Database) -> None:
    await db.create(Stock)
    row = await db(
        Stock(hits=1, rate=1.5, price=Decimal("1.50"), span=timedelta(hours=1)).save(db.conn)
    )
    values = {
        "hits": col(Stock.hits) + 1,
        "rate": col(Stock.rate) * 2.0,
        "price": col(Stock.price) + Decimal("0.25"),
        "cost": col(Stock.price),
        "span": col(Stock.span) - timedelta(minutes=1),
        "goal": col(Stock.hits) * 10,
    }
    assert await db(Stock.update_where(db.conn, values, hits=1)) == 1
    await db(row.refresh(db.conn))
    assert (row.hits, row.rate, row.price, row.cost) == (2, 3.0, Decimal("1.75"), Decimal("1.5"))
    assert (row.span, row.goal) == (timedelta(minutes=59), 10)
    wrong: list[tuple[Callable[[], dict[str, Any]], str]] = [
        (lambda: {"hits": col(Stock.price)}, "is int"),
        (lambda: {"fine": col(Stock.price)}, "is decimal"),
        (lambda: {"price": col(Stock.price) + Decimal("0.001")}, "more than 2 decimal places"),
        (lambda: {"price": col(Stock.price) * 2}, "cannot be multiplied"),
        (lambda: {"name": col(Stock.name) + "x"}, "arithmetic needs"),  # type: ignore[operator]
        (lambda: {"hits": col(Stock.hits) + 1.5}, "compares with int"),
        (lambda: {"hits": "many"}, "cannot be 'many'"),
        (lambda: {"hits": None}, "cannot be None"),
        (lambda: {"nothing": 1}, "no field 'nothing'"),
        (lambda: {"stock_id": 1}, "is a key"),
        (dict, "nothing to set"),
    ]
    for make, message in wrong:
        with pytest.raises((FilterError, InvalidValue), match=message):
            await db(Stock.update_where(db.conn, make(), all_rows=True))
    assert await db(Stock.get(db.conn)) == row


async def test_writing_without_a_filter_must_be_meant(db: Database) -> None:
    await db.create(Stock)
    await db(Stock().save(db.conn))
    with pytest.raises(FilterError, match="all_rows=True"):
        await db(Stock.delete(db.conn))
    with pytest.raises(FilterError, match="all_rows=True"):
        await db(Stock.update_where(db.conn, {"hits": 1}))
    assert await db(Stock.update_where(db.conn, {"hits": 1}, all_rows=True)) == 1
    assert await db(Stock.delete(db.conn, all_rows=True)) == 1


def test_a_column_tells_its_name() -> None:
    assert isinstance(Book.year, Column)
    assert repr(Book.year) == "<Column Book.year>"
    assert col(Book.year).name == "year"
    assert isinstance(sum_(Book.year), Expression)
    with pytest.raises(FilterError, match="expected a column"):
        col("year")
    with pytest.raises(AttributeError):
        Book.yaer  # type: ignore[attr-defined]  # noqa: B018
