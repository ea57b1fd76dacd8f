"""What does a class say of its table, and which mistakes are told when it is built?"""

import json
import subprocess
import sys
import textwrap
import uuid
from datetime import date
from decimal import Decimal
from enum import Enum, Flag
from typing import Annotated, Any, ClassVar, Generic, Literal, NewType, TypeVar

import pytest
from pydantic import (
    AliasChoices,
    AliasPath,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    field_validator,
    model_validator,
)
from typing_extensions import TypeAliasType

from lythonic_state import (
    AltKey,
    Check,
    Col,
    Column,
    ColumnName,
    DbModel,
    ForeignKey,
    Index,
    PrimaryKey,
    RenamedFrom,
    Schema,
    SchemaError,
    Transient,
    Unique,
    UserOwned,
    column,
)
from lythonic_state.table import Table, references, split_description, table_of
from tests.databases import Database


def fields(columns: Any) -> list[str]:
    return [one.field for one in columns]


class Region(DbModel["Region"]):
    region_id: int = Field(default=-1, description="(PK)")
    code: str = Field(description="(AK) the short name")


# --- markers --------------------------------------------------------------------------------


def test_both_spellings_say_the_same_and_mix() -> None:
    class InWords(DbModel["InWords"]):
        team_id: int = Field(default=-1, description="(PK)")
        region_id: int = Field(description="(AK) (FK:Region.region_id) where it plays")
        name: str = Field(description="(AK)")
        email: str = Field(description=" (UQ)(IX) ")

    class InTypes(DbModel["InTypes"]):
        team_id: Annotated[int, PrimaryKey()] = -1
        region_id: Annotated[int, ForeignKey(Region), AltKey()]
        name: Annotated[str, AltKey]
        email: Annotated[str, Unique(), Index]

    class Mixed(DbModel["Mixed"]):
        team_id: Annotated[int, PrimaryKey] = -1
        region_id: Annotated[int, AltKey()] = Field(description="(FK: Region.region_id )")
        name: Annotated[str, Field(description="(AK)")]
        email: Annotated[str, Unique()] = Field(description="(IX) the address")

    for model in (InWords, InTypes, Mixed):
        table = table_of(model)
        assert fields(table.primary_key) == ["team_id"]
        assert table.generated is table.primary_key[0]
        assert fields(table.alt_key) == ["region_id", "name"]
        assert table.uniques == (("region_id", "name"), ("email",))
        assert table.indexes == (Index("email"),)
        (reference,) = references(table)
        assert reference.target is table_of(Region)
        assert fields(reference.target_columns) == ["region_id"]


def test_markers_inside_an_optional_type_or_an_alias_count() -> None:
    region_key = TypeAliasType("region_key", Annotated[int, ForeignKey("Region.region_id")])  # type: ignore[misc]  # not at module level

    class Team(DbModel["Team"]):
        team_id: int = Field(default=-1, description="(PK)")
        one: Annotated[int, ForeignKey(Region)] | None = None
        two: Annotated[int, Field(description="(FK:Region.region_id)")] | None = None
        three: region_key
        price: Annotated[Decimal, Field(max_digits=8, decimal_places=2)] | None = None

    table = table_of(Team)
    assert [key.field for key in table.foreign_keys] == ["one", "two", "three"]
    assert table.by_field["price"].codec.scale == 2
    assert [one.nullable for one in table.columns] == [False, True, True, False, True]


def test_table_constraints_are_given_as_class_arguments() -> None:
    class Hero(
        DbModel["Hero"],
        table="hero",
        constraints=[
            Unique("name", "power"),
            Index("name", where="power > 3"),
            Check("power >= 0"),
            RenamedFrom("heroine"),
        ],
    ):
        hero_id: int = Field(default=-1, description="(PK)")
        name: Annotated[str, RenamedFrom("title"), Check("name <> ''")]
        power: int

    table = table_of(Hero)
    assert (table.name, table.renamed_from) == ("hero", "heroine")
    assert table.uniques == (("name", "power"),)
    assert table.indexes == (Index("name", where="power > 3"),)
    assert {check.sql for check in table.checks} == {"name <> ''", "power >= 0"}
    assert table.by_field["name"].renamed_from == "title"


@pytest.mark.parametrize(
    ("text", "rest"),
    [
        ("(PK) the key", "the key"),
        (" (AK)  (UQ)(IX) x", "x"),
        ("(FK:A.b)", ""),
        ("(in metres) how high", "(in metres) how high"),
        ("(optional) (PK)", "(optional) (PK)"),
        ("how (PK) are written", "how (PK) are written"),
        ("(EUR) price", "(EUR) price"),
        ("(A) first", "(A) first"),
        ("", ""),
    ],
)
def test_only_the_head_of_a_description_holds_markers(text: str, rest: str) -> None:
    assert split_description(text)[1] == rest


@pytest.mark.parametrize(
    "text",
    ["(pk)", "(P K)", "(PKK)", "(KP)", "(fk:A.b)", "(FK)", "(FK:A)", "(FK: A.)", "(FK A.b)",
     "(FK:A.b.c)", "(Ak) x", "(UQ) (ix)", "(PK:)", "(QU)", "(UX)"],
)  # fmt: skip
def test_a_misspelt_marker_is_an_error_that_names_its_field(text: str) -> None:
    with pytest.raises(SchemaError, match=r"Wrong\.value: .* is not a marker"):

        class Wrong(DbModel["Wrong"]):
            wrong_id: int = Field(default=-1, description="(PK)")
            value: int = Field(default=0, description=text)


# --- mistakes -------------------------------------------------------------------------------


class Shade(Enum):
    DARK = 1
    LIGHT = "l"


class Access(Flag):
    READ = 1
    WRITE = 2


class Nothing:
    pass


MISTAKES: dict[str, tuple[Any, Any, str]] = {
    "two types": (int | str, ..., "not the union int | str"),
    "two types or none": (int | str | None, None, "not the union"),
    "a model or a number": (Region | int, ..., "not the union"),
    "a mixed enum": (Shade, ..., "all str, all int or all bool"),
    "a flag": (Access, ..., "is a Flag"),
    "a mixed literal": (Literal["a", 1], ..., "all str, all int or all bool"),
    "an unknown type": (Nothing, ..., "KNOWN_TYPES"),
    "a complex number": (complex, ..., "KNOWN_TYPES"),
    "a nullable AK": (Annotated[str | None, AltKey()], None, "drop `| None`"),
    "a nullable PK": (Annotated[str | None, PrimaryKey()], None, "cannot be None"),
    "a nullable int PK with a default": (Annotated[int | None, PrimaryKey()], 3, "cannot be None"),
    "a nullable required PK": (Annotated[int | None, PrimaryKey()], ..., "cannot be None"),
    "a float PK": (Annotated[float, PrimaryKey()], ..., "float cannot be a key"),
    "a JSON PK": (Annotated[list[int], PrimaryKey()], ..., "JSON column cannot be a key"),
    "a JSON AK": (Annotated[dict[str, int], AltKey()], ..., "JSON column cannot be a key"),
    "a transient without default": (Annotated[int, Transient()], ..., "needs a default"),
    "a transient key": (Annotated[int, Transient(), AltKey()], 3, "no other marker"),
    "unique with names": (Annotated[int, Unique("a")], ..., "belongs in constraints"),
    "index with names": (Annotated[int, Index("a")], ..., "belongs in constraints"),
    "a bare ForeignKey": (Annotated[int, ForeignKey], ..., "ForeignKey needs its arguments"),
    "a ForeignKey to a word": (Annotated[int, ForeignKey("Region")], ..., "must name a field"),
    "an unknown on_delete": (
        Annotated[int, ForeignKey(Region, on_delete="vanish")],  # type: ignore[arg-type]
        ...,
        "on_delete='vanish' is unknown",
    ),
    "set null on a required column": (
        Annotated[int, ForeignKey(Region, on_delete="set null")],
        ...,
        "needs a nullable column",
    ),
    "an empty column name": (Annotated[int, ColumnName("")], ..., "cannot be a column's name"),
    "a column name with NUL": (Annotated[int, ColumnName("a\0")], ..., "cannot be a column"),
    "a column name taken": (Annotated[int, ColumnName("Wrong_Id")], ..., "is also the column of"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_when_the_class_is_built(name: str) -> None:
    annotation, default, message = MISTAKES[name]
    with pytest.raises(SchemaError) as caught:
        type(
            "Wrong",
            (DbModel,),
            {
                "__module__": __name__,
                "__annotations__": {"wrong_id": int, "value": annotation},
                "wrong_id": Field(default=-1, description=None),
                "value": default,
            },
        )
    assert str(caught.value).startswith("Wrong.value: ")
    assert message in str(caught.value)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize(
    ("constraint", "message"),
    [
        (Unique("nmae"), "did you mean 'name'"),
        (Index("nmae"), "did you mean 'name'"),
        (Unique(), "must name its fields"),
        ("name", "is not a table constraint"),
        (PrimaryKey(), "is not a table constraint"),
    ],
)
def test_a_mistaken_table_constraint_is_told(constraint: Any, message: str) -> None:
    with pytest.raises(SchemaError, match=message):

        class Wrong(DbModel["Wrong"], constraints=[constraint]):
            name: str


def test_a_verb_cannot_be_a_field_but_its_column_can_be_called_so() -> None:
    for verb in ("select", "first", "update", "save", "columns", "parent"):
        with pytest.raises(SchemaError, match=rf"Wrong\.{verb}.*ColumnName\(\"{verb}\"\)"):
            type("Wrong", (DbModel,), {"__module__": __name__, "__annotations__": {verb: int}})

    class Plain(BaseModel):
        select: str = ""

    with pytest.raises(SchemaError, match=r"Wrong\.select"):
        type("Wrong", (Plain, DbModel), {"__module__": __name__})

    class Right(DbModel["Right"]):
        right_id: int = Field(default=-1, description="(PK)")
        first_: Annotated[int, ColumnName("first")] = 0
        constant: ClassVar[int] = 3

    assert [one.name for one in table_of(Right).columns] == ["right_id", "first"]


# --- keys -----------------------------------------------------------------------------------


async def test_a_key_is_generated_for_minus_one_and_none(db: Database) -> None:
    class ByNumber(DbModel["ByNumber"]):
        row_id: int = Field(default=-1, description="(PK)")

    class ByNone(DbModel["ByNone"]):
        row_id: int | None = Field(default=None, description="(PK)")

    await db.create(ByNumber, ByNone)
    for model in (ByNumber, ByNone):
        assert table_of(model).generated is not None
        assert not table_of(model).primary_key[0].nullable
        rows = [await db(model().save(db.conn)) for _ in range(2)]
        assert [row.row_id for row in rows] == [1, 2]
        assert await db(model.load_by_id(db.conn, 2)) == rows[1]


class Suit(Enum):
    HEARTS = "h"
    SPADES = "s"


KEYS: dict[str, tuple[Any, Any, Any]] = {
    "str": (str, "a", "b"),
    "uuid": (uuid.UUID, uuid.UUID(int=1), uuid.UUID(int=2)),
    "date": (date, date.min, date.max),
    "bytes": (bytes, b"\0", b"\1"),
    "enum": (Suit, Suit.HEARTS, Suit.SPADES),
    "bool": (bool, True, False),
    "decimal": (Decimal, Decimal("1.50"), Decimal("1E+20")),
}


@pytest.mark.parametrize("kind", KEYS)
async def test_any_scalar_can_be_the_key(db: Database, kind: str) -> None:
    annotation, one, two = KEYS[kind]
    thing: Any = type(
        "Thing",
        (DbModel,),
        {
            "__module__": __name__,
            "__annotations__": {"key": annotation, "number": int},
            "key": Field(description="(PK)"),
        },
    )
    await db.create(thing)
    assert table_of(thing).generated is None
    first, second = thing(key=one, number=1), thing(key=two, number=2)
    await db(first.save(db.conn))
    await db(second.save(db.conn))
    first.number = 5
    await db(first.save(db.conn))
    assert await db(thing.load_by_id(db.conn, one)) == first
    assert await db(thing.load_by_id(db.conn, two)) == second
    assert await db(second.delete_row(db.conn)) == 1
    assert await db(thing.select(db.conn)) == [first]


async def test_a_key_of_several_columns_and_one_from_a_factory(db: Database) -> None:
    class Seat(DbModel["Seat"]):
        row: Annotated[str, PrimaryKey()]
        number: int = Field(description="(PK)")
        taken: bool = False

    class Ticket(DbModel["Ticket"]):
        ticket_id: uuid.UUID = Field(default_factory=uuid.uuid4, description="(PK)")

    await db.create(Seat, Ticket)
    for row, number in (("a", 1), ("a", 2), ("b", 1)):
        await db(Seat(row=row, number=number).save(db.conn))
    await db(Seat(row="a", number=2, taken=True).save(db.conn))
    assert await db(Seat.load_by_id(db.conn, ("a", 2))) == Seat(row="a", number=2, taken=True)
    assert await db(Seat.load_by_id(db.conn, {"number": 1, "row": "b"})) is not None
    assert await db(Seat.select_count(db.conn)) == 3
    ticket = await db(Ticket().save(db.conn))
    assert await db(Ticket.load_by_id(db.conn, ticket.ticket_id)) == ticket


async def test_any_name_works_for_tables_and_columns(db: Database) -> None:
    class Order(DbModel["Order"], table='or"der %s ?'):
        order_id: int = Field(default=-1, description="(PK)")
        group: int = 1
        where: Annotated[str, ColumnName("a 'b' \"c\" %d ?")] = Field(
            default="x", description="(UQ)"
        )
        größe: int = 3
        user: str = "u"

    await db.create(Order)
    row = await db(Order(group=2).save(db.conn))
    row.where = "z"
    await db(row.save(db.conn))
    assert await db(Order.get(db.conn, where="z", group=2, gt__größe=0)) == row
    assert await db(Order.update_where(db.conn, {"where": "y"}, Order.where == "z")) == 1
    assert await db(Order.select_count(db.conn, startswith__where="y")) == 1


# --- transient fields, inheritance ------------------------------------------------------------


async def test_a_transient_field_is_no_column(db: Database) -> None:
    class Job(DbModel["Job"]):
        job_id: int = Field(default=-1, description="(PK)")
        name: str
        note: Annotated[str, Transient()] = "none"
        cache: Annotated[dict[Any, Any], Transient()] = Field(default_factory=dict)

    await db.create(Job)
    job = await db(Job(name="x", note="kept in memory", cache={1: object()}).save(db.conn))
    loaded = await db(Job.load_by_id(db.conn, job.job_id))
    assert (loaded.name, loaded.note, loaded.cache) == ("x", "none", {})
    assert fields(table_of(Job).columns) == ["job_id", "name"]
    with pytest.raises(AttributeError):
        Job.note  # noqa: B018


class TaskIn(BaseModel):
    """A plain model, with markers."""

    title: str = Field(description="(UQ) what to do")
    done: bool = False


class Task(TaskIn, DbModel["Task"]):
    task_id: int = Field(default=-1, description="(PK)")


class Stamped(DbModel["Stamped"], abstract=True):
    note: str = Field(default="", description="(IX)")


class Page(Stamped):
    page_id: int = Field(default=-1, description="(PK)")


class Animal(DbModel["Animal"]):
    animal_id: int = Field(default=-1, description="(PK)")
    name: str = ""


class Dog(Animal):
    barks: bool = True


async def test_columns_come_from_plain_bases_parents_and_abstract_ones(db: Database) -> None:
    assert fields(table_of(Task).columns) == ["title", "done", "task_id"]
    assert table_of(Task).uniques == (("title",),)
    assert fields(table_of(Page).columns) == ["note", "page_id"]
    assert table_of(Page).indexes == (Index("note"),)
    assert fields(table_of(Dog).columns) == ["animal_id", "name", "barks"]
    await db.create(Task, Page, Animal, Dog)
    for row in (Task(title="t"), Page(note="n"), Animal(name="a"), Dog(name="d", barks=False)):
        await db(row.save(db.conn))
        assert await db(type(row).select(db.conn)) == [row]
    assert await db(Animal.select_count(db.conn)) == 1
    assert isinstance(Task.title, Column)
    assert Dog.name.table is table_of(Dog)


async def test_an_abstract_model_has_no_table(sync_db: Database) -> None:
    for verb in (
        lambda: Stamped.select(sync_db.conn),
        lambda: DbModel.select(sync_db.conn),
        lambda: Schema([Stamped]),
        lambda: Stamped().save(sync_db.conn),
    ):
        with pytest.raises(SchemaError, match="abstract"):
            verb()


def test_a_parent_and_its_child_keep_their_own_tables_and_names() -> None:
    class Named(DbModel["Named"], table="named"):
        named_id: int = Field(default=-1, description="(PK)")

    class Child(Named):
        more: int = 0

    assert (table_of(Named).name, table_of(Child).name) == ("named", "Child")


T = TypeVar("T")


class Envelope(BaseModel, Generic[T]):
    payload: T


async def test_generic_models_are_tables_once_they_are_filled(db: Database) -> None:
    class Box(DbModel["Box"], Generic[T]):
        box_id: int = Field(default=-1, description="(PK)")
        content: T

    class IntBox(Box[int]):
        pass

    class Letter(DbModel["Letter"]):
        letter_id: int = Field(default=-1, description="(PK)")
        envelope: Envelope[list[int]]

    await db.create(IntBox, Letter)
    box = await db(IntBox(content=3).save(db.conn))
    assert await db(IntBox.get(db.conn, content=3)) == box
    letter = await db(Letter(envelope=Envelope(payload=[1])).save(db.conn))
    assert await db(Letter.get(db.conn)) == letter


NEW_INT = NewType("NEW_INT", int)


async def test_typed_columns_are_columns_on_the_class_and_values_on_rows(db: Database) -> None:
    class Movie(DbModel["Movie"]):
        movie_id: Col[int] = column(default=-1, description="(PK)")
        title: Col[str]
        year: Col[int | None] = column(default=None)
        tags: Col[list[str]] = column(default_factory=list)
        kind: Col[NEW_INT] = column(default=NEW_INT(1), ge=0)
        code: Annotated[Col[str], AltKey()] = "x"  # type: ignore[assignment]  # pydantic's, not the descriptor's

    await db.create(Movie)
    movie = await db(Movie(title="M", year=1931).save(db.conn))
    assert (movie.title, movie.year, movie.tags, movie.kind) == ("M", 1931, [], 1)
    assert await db(Movie.select(db.conn, Movie.year == 1931, Movie.title.like("M%"))) == [movie]
    assert isinstance(Movie.year, Column)
    assert fields(table_of(Movie).alt_key) == ["code"]
    with pytest.raises(ValidationError):
        movie.kind = NEW_INT(-1)


# --- forward references, notebooks ------------------------------------------------------------


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_annotations_may_be_strings_and_refer_to_what_comes_later() -> None:
    out = run_python("""
        from __future__ import annotations
        from decimal import Decimal
        from typing import Annotated, ClassVar
        from pydantic import BaseModel, Field
        from lythonic_state import *
        from lythonic_state.table import table_of

        class Book(DbModel["Book"]):
            book_id: int = Field(default=-1, description="(PK)")
            author_id: Annotated[int, ForeignKey("Author.author_id")]
            price: Annotated[Decimal, Field(max_digits=8, decimal_places=2)]
            details: Details | None = None
            other: Annotated[int, Index()] | None = None
            kind: ClassVar[str] = "book"

        try:
            table_of(Book)
        except SchemaError as error:
            print(error)

        class Details(BaseModel):
            pages: int

        class Author(DbModel["Author"]):
            author_id: int = Field(default=-1, description="(PK)")

        with open_db("sqlite://") as conn:
            Schema([Book, Author]).create_tables(conn)
            author = Author().save(conn)
            book = Book(author_id=author.author_id, price="1.50", details=Details(pages=3))
            book.save(conn)
            assert Book.get(conn, details__pages=3) == book
            assert table_of(Book).by_field["price"].codec.scale == 2
            assert table_of(Book).indexes == (Index("other"),)
            conn.rollback()
        print("done")
    """)
    first, last = out.splitlines()
    assert first.startswith("Book refers to a type that is not defined yet")
    assert last == "done"


def test_a_verb_as_a_field_is_found_in_string_annotations_too() -> None:
    out = run_python("""
        from __future__ import annotations
        from lythonic_state import *
        try:
            class Book(DbModel["Book"]):
                select: str
        except SchemaError as error:
            print(error)
    """)
    assert out.startswith("Book.select: ")


async def test_a_model_may_be_defined_again(db: Database) -> None:
    def define(more: bool) -> Any:
        class Cell(DbModel["Cell"]):
            cell_id: int = Field(default=-1, description="(PK)")
            if more:
                text: str = "new"

        return Cell

    old = define(more=False)

    class Note(DbModel["Note"]):
        note_id: int = Field(default=-1, description="(PK)")
        cell_id: int = Field(description="(FK:Cell.cell_id)")

    new = define(more=True)
    await db.create(new, Note)
    cell = await db(new().save(db.conn))
    note = await db(Note(cell_id=cell.cell_id).save(db.conn))
    assert await db(note.parent(db.conn, new)) == cell
    assert await db(Note.select(db.conn, cell_id__text="new")) == [note]
    assert fields(table_of(old).columns) == ["cell_id"]


# --- a model is always valid ------------------------------------------------------------------


class Span(DbModel["Span"]):
    span_id: int = Field(default=-1, description="(PK)")
    low: int = Field(default=0, ge=0)
    high: int = 10
    width: int = 10
    name: str = ""

    @field_validator("name")
    @classmethod
    def _tidy(cls, value: str) -> str:
        return value.strip()

    @model_validator(mode="after")
    def _in_order(self) -> "Span":
        if self.low > self.high:
            raise ValueError("low is above high")
        self.width = self.high - self.low  # an assignment inside a validator
        return self


def test_a_failed_assignment_leaves_the_model_unchanged() -> None:
    span = Span(low=1, high=5)
    before, fields_set = span.model_dump(), set(span.model_fields_set)
    for name, value in (("low", -1), ("low", 9), ("high", 0), ("low", "x"), ("span_id", "y")):
        with pytest.raises(ValidationError):
            setattr(span, name, value)
        assert span.model_dump() == before
        assert span.model_fields_set == fields_set
    with pytest.raises(ValueError, match="nothing"):
        span.nothing = 3  # type: ignore[attr-defined]


def test_an_assignment_validates_and_validators_may_assign() -> None:
    span = Span(low=1, high=5)
    assert span.width == 4
    span.high = 11
    assert span.width == 10
    span.name = "  a "
    assert span.name == "a"
    span.low = "3"  # type: ignore[assignment]  # pydantic converts
    assert (span.low, span.width) == (3, 8)


def test_wrong_assignments_inside_a_validator_are_errors_and_change_nothing() -> None:
    class Clumsy(DbModel["Clumsy"]):
        clumsy_id: int = Field(default=-1, description="(PK)")
        value: int = 0
        other: int = Field(default=0, le=10)

        @model_validator(mode="after")
        def _spoil(self) -> "Clumsy":
            self.other = self.value
            return self

    clumsy = Clumsy(value=3)
    with pytest.raises(ValidationError):
        clumsy.value = 99
    assert (clumsy.value, clumsy.other) == (3, 3)
    with pytest.raises(ValidationError):
        Clumsy(value=11)


async def test_reading_goes_through_validation(db: Database) -> None:
    await db.create(Span)
    await db(Span(low=1, high=5, name=" x ").save(db.conn))
    await db.execute('UPDATE "Span" SET name = ?, width = ?', ["  y  ", 99])
    span = await db(Span.get(db.conn))
    assert (span.name, span.width) == ("y", 4)
    await db.execute('UPDATE "Span" SET low = ?', [-5])
    with pytest.raises(ValueError, match=r"Span\.low is -5"):
        await db(Span.get(db.conn))
    assert await db(Span.select(db.conn, on_invalid="skip")) == []


def test_trusted_values_are_taken_as_they_are_by_a_name_that_says_so() -> None:
    assert Span.construct_trusted(low=9, high=1).low == 9


# --- pydantic's own settings --------------------------------------------------------------------


def split(value: Any) -> Any:
    return value.split(",") if isinstance(value, str) else value


class Settled(DbModel["Settled"]):
    model_config = ConfigDict(extra="forbid")
    settled_id: int = Field(default=-1, description="(PK)", alias="id")
    name: str = Field(alias="fullName")
    mail: str = Field(validation_alias="e-mail", serialization_alias="mailAddress")
    phone: str = Field(default="", validation_alias=AliasChoices("tel", "mobile"))
    city: str = Field(default="", validation_alias=AliasPath("address", "city"))
    tags: Annotated[list[str], BeforeValidator(split)] = []


async def test_aliases_are_for_input_and_names_for_the_database(db: Database) -> None:
    await db.create(Settled)
    body = {
        "fullName": "A",
        "e-mail": "a@b",
        "mobile": "1",
        "address": {"city": "C"},
        "tags": "x,y",
    }
    row = await db(Settled(**body).save(db.conn))
    assert [one.name for one in table_of(Settled).columns] == [
        "settled_id", "name", "mail", "phone", "city", "tags",
    ]  # fmt: skip
    assert await db(Settled.get(db.conn, name="A", phone="1", city="C")) == row
    for values in (
        {"fullName": "B", "e-mail": "m", "tel": "2"},
        {"name": "B", "mail": "m", "phone": "2"},
    ):
        made = await db(Settled.create(db.conn, values))
        assert (made.name, made.phone) == ("B", "2")
        assert await db(Settled.load_by_id(db.conn, made.settled_id)) == made
    await db(row.patch(db.conn, {"fullName": "Z"}))
    assert (await db(Settled.load_by_id(db.conn, row.settled_id))).name == "Z"
    with pytest.raises(ValidationError, match="extra"):
        Settled(**body, more=1)
    with pytest.raises(ValueError, match="no field 'nmae'"):
        await db(Settled.create(db.conn, {"nmae": "B"}))


async def test_generated_aliases_work_too(db: Database) -> None:
    class Camel(DbModel["Camel"]):
        model_config = ConfigDict(alias_generator=lambda name: name.replace("_", "-"))
        camel_id: int = Field(default=-1, description="(PK)")
        first_name: str

    await db.create(Camel)
    row = await db(Camel(**{"first-name": "A"}).save(db.conn))
    assert await db(Camel.get(db.conn, first_name="A")) == row


async def test_frozen_models_are_saved_and_get_their_key(db: Database) -> None:
    class Fixed(DbModel["Fixed"]):
        model_config = ConfigDict(frozen=True)
        fixed_id: int = Field(default=-1, description="(PK)")
        name: str

    await db.create(Fixed)
    row = await db(Fixed(name="x").save(db.conn))
    assert row.fixed_id == 1
    assert await db(Fixed.get(db.conn)) == row
    with pytest.raises(ValidationError, match="frozen"):
        row.name = "y"  # type: ignore[misc]
    assert row.name == "x"


async def test_strict_models_are_read_back(db: Database) -> None:
    class Strict(DbModel["Strict"]):
        model_config = ConfigDict(strict=True)
        strict_id: int = Field(default=-1, description="(PK)")
        yes: bool = True
        day: date = date(2026, 1, 1)
        key: uuid.UUID = uuid.UUID(int=1)
        suit: Suit = Suit.SPADES
        price: Annotated[Decimal, Field(max_digits=8, decimal_places=2)] = Decimal("1.50")
        pair: tuple[int, int] = (1, 2)
        number: float = 1.0

    class Partly(DbModel["Partly"]):
        partly_id: int = Field(default=-1, description="(PK)")
        yes: StrictBool = True
        maybe: StrictBool | None = False
        count: StrictInt | None = 1
        field: bool = Field(default=True, strict=True)
        listed: Annotated[bool, BeforeValidator(lambda value: value is True)] = True
        inner: Annotated[bool, BeforeValidator(lambda value: value is True)] | None = True

    await db.create(Strict, Partly)
    for model in (Strict, Partly):
        row = await db(model().save(db.conn))
        assert await db(model.get(db.conn)) == row


async def test_validators_that_look_first_see_python_values(db: Database) -> None:
    seen: list[Any] = []

    class Looking(DbModel["Looking"]):
        looking_id: int = Field(default=-1, description="(PK)")
        yes: bool = True
        day: date = date(2026, 1, 1)
        key: uuid.UUID = uuid.UUID(int=1)
        suit: Suit = Suit.SPADES

        @model_validator(mode="before")
        @classmethod
        def _look(cls, values: Any) -> Any:
            seen.append(values)
            return values

    await db.create(Looking)
    row = await db(Looking().save(db.conn))
    seen.clear()
    assert await db(Looking.get(db.conn)) == row
    assert seen == [row.__dict__]


# --- JSON schema --------------------------------------------------------------------------------


class Member(UserOwned["Member"]):
    member_id: int = Field(default=-1, description="(PK)")
    maybe_id: Annotated[int | None, ForeignKey("Member.member_id")] = None
    name: str = Field(description="(AK) what people say")
    code: Annotated[str, Unique()] = Field(alias="theCode", description="(IX)")


class Plain(DbModel["Plain"]):
    plain_id: int | None = Field(default=None, description="(PK) the number")
    text: str = Field(default="", description="(optional) words")


def test_the_json_schema_shows_no_marker_and_no_scope_to_write() -> None:
    shown = {
        mode: Member.model_json_schema(mode=mode)  # type: ignore[arg-type]
        for mode in ("validation", "serialization")
    }
    for schema in shown.values():
        assert "(PK)" not in json.dumps(schema)
        assert "(AK)" not in json.dumps(schema)
        assert "(IX)" not in json.dumps(schema)
        assert "FK" not in json.dumps(schema)
        assert schema["properties"]["name"]["description"] == "what people say"
        assert "description" not in schema["properties"]["theCode"]
        assert schema["properties"]["member_id"]["readOnly"] is True
        assert "default" not in schema["properties"]["member_id"]
    validation, serialization = shown["validation"], shown["serialization"]
    assert "user_id" not in validation["properties"]
    assert set(validation["required"]) == {"name", "theCode"}
    assert serialization["properties"]["user_id"]["readOnly"] is True
    assert {"user_id", "member_id", "name"} <= set(serialization["required"])
    nullable = Plain.model_json_schema(mode="serialization")["properties"]
    assert nullable["plain_id"]["type"] == "integer"
    assert nullable["plain_id"]["description"] == "the number"
    assert nullable["text"]["description"] == "(optional) words"


def test_a_model_inside_another_has_the_same_clean_schema() -> None:
    class Reply(BaseModel):
        items: list[Plain]

    for mode in ("validation", "serialization"):
        text = json.dumps(Reply.model_json_schema(mode=mode))  # type: ignore[arg-type]
        assert "(PK)" not in text
        assert "readOnly" in text


# --- the frozen table ---------------------------------------------------------------------------


def test_a_table_is_computed_once_and_frozen() -> None:
    table = table_of(Plain)
    assert isinstance(table, Table)
    assert table_of(Plain) is table
    with pytest.raises(AttributeError):
        table.name = "other"  # type: ignore[misc]
    with pytest.raises(SchemaError, match="is not a DbModel"):
        table_of(TaskIn)
    with pytest.raises(SchemaError, match="no primary key"):

        class Keyless(DbModel["Keyless"]):
            text: str

        table_of(Keyless).need_key()


def test_a_foreign_key_needs_a_key_of_the_same_type() -> None:
    def model(**annotations: Any) -> Any:
        return type("From", (DbModel,), {"__module__": __name__, "__annotations__": annotations})

    wrong = {
        "is int": (Annotated[str, ForeignKey(Region)], "give both the same type"),
        "no such field": (Annotated[int, ForeignKey("Region.region")], "did you mean 'region_id'"),
        "not unique": (Annotated[str, ForeignKey("Plain.text")], "neither its primary key nor"),
        "no such model": (Annotated[int, ForeignKey("Regoin.region_id")], "not a known model"),
    }
    for annotation, message in wrong.values():
        with pytest.raises(SchemaError, match=message):
            references(table_of(model(other=annotation)))
