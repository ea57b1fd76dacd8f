"""Schemas as values, the creation of their tables, and files that hold them."""

import sqlite3
import sys
import threading
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from lythonic_state import (
    AltKey,
    ColumnName,
    ConstraintViolation,
    DatabaseError,
    DbFile,
    DbModel,
    ForeignKey,
    PrimaryKey,
    RenamedFrom,
    Schema,
    SchemaError,
    ScopeContext,
    Scoped,
    StateError,
    Unique,
    open_db,
    open_sqlite_db,
)
from lythonic_state.table import table_of
from tests.databases import Database
from tests.processes import FORKING


class Author(DbModel["Author"]):
    author_id: int = Field(default=-1, description="(PK)")
    name: str = Field(description="(AK)")


class Book(DbModel["Book"]):
    book_id: int = Field(default=-1, description="(PK)")
    author_id: int = Field(description="(FK:Author.author_id)")
    title: str
    year: int | None = None


SCHEMA = Schema([Author, Book])


def another_book() -> type[DbModel[Any]]:
    """The table of `Book` as another version of the program has it."""

    class NewBook(DbModel, table="Book"):
        book_id: int = Field(default=-1, description="(PK)")
        author_id: int = Field(description="(FK:Author.author_id)")
        title: str
        year: str | None = None
        pages: int = 0

    return NewBook


# --- the value ------------------------------------------------------------------------------


def test_a_schema_is_a_collection_of_its_models() -> None:
    assert list(SCHEMA) == [Author, Book]
    assert SCHEMA.models == (Author, Book)
    assert SCHEMA.tables == (table_of(Author), table_of(Book))
    assert len(SCHEMA) == 2
    assert Author in SCHEMA
    assert another_book() not in SCHEMA
    assert repr(SCHEMA) == "Schema([Author, Book])"


def test_children_may_stand_before_their_parents() -> None:
    assert list(Schema([Book, Author])) == [Book, Author]


def test_an_empty_schema_has_nothing_to_create() -> None:
    with open_db("sqlite://") as conn:
        Schema([]).create_schema(conn)
        assert Schema([]).diff(conn) == []


def test_the_same_model_twice_is_refused() -> None:
    with pytest.raises(SchemaError, match="Author stands twice in the Schema; name it once"):
        Schema([Author, Book, Author])


def test_two_models_of_one_table_are_refused_whatever_the_case() -> None:
    class Writer(DbModel, table="AUTHOR"):
        name: str

    with pytest.raises(SchemaError, match=r"Author and Writer are both table 'AUTHOR'.*table=…"):
        Schema([Author, Writer])


def test_an_abstract_model_is_refused() -> None:
    class Base(DbModel, abstract=True):
        name: str

    with pytest.raises(SchemaError, match="Base is abstract and has no table"):
        Schema([Base])


@pytest.mark.parametrize("what", [BaseModel, "Author", Author(name="x")])
def test_what_is_no_db_model_is_refused(what: Any) -> None:
    with pytest.raises(SchemaError, match=r"Schema\(\[…\]\) takes DbModel classes, not"):
        Schema([what])


def test_a_foreign_key_out_of_the_schema_is_refused() -> None:
    message = r"Book.author_id refers to Author, which is not in the Schema; add it: Schema\("
    with pytest.raises(SchemaError, match=message):
        Schema([Book])


def test_a_foreign_key_to_nothing_names_what_is_near() -> None:
    class Chapter(DbModel):
        chapter_id: int = Field(default=-1, description="(PK)")
        book_id: int = Field(description="(FK:Bok.book_id)")

    message = "Chapter.book_id refers to 'Bok', which is not a known model; did you mean 'Book'"
    with pytest.raises(SchemaError, match=message):
        Schema([Author, Book, Chapter])


def test_a_foreign_key_to_a_field_that_is_not_unique_is_refused() -> None:
    class Quote(DbModel):
        title: str = Field(description="(FK:Book.title)")

    with pytest.raises(SchemaError, match=r"Quote.title refers to Book.title, which is neither"):
        Schema([Author, Book, Quote])


def test_a_model_that_was_defined_anew_stands_for_the_old_one() -> None:
    def define() -> type[DbModel[Any]]:
        class Shelf(DbModel):
            shelf_id: int = Field(default=-1, description="(PK)")

        return Shelf

    old = define()

    class Place(DbModel):
        place_id: int = Field(default=-1, description="(PK)")
        shelf_id: Annotated[int, ForeignKey(old)]

    new = define()
    schema = Schema([new, Place])
    assert schema.find(old, table_of(Place)) is table_of(new)


def test_another_model_of_the_same_name_is_not_taken_for_it() -> None:
    class Elsewhere:
        class Author(DbModel, table="other_author"):
            author_id: int = Field(default=-1, description="(PK)")

    class Letter(DbModel):
        letter_id: int = Field(default=-1, description="(PK)")
        author_id: Annotated[int, ForeignKey(Elsewhere.Author)]

    with pytest.raises(SchemaError, match=r"Letter.author_id refers to Author, which is not in"):
        Schema([Author, Letter])


def test_forward_references_are_completed_by_the_schema() -> None:
    class Parcel(DbModel):
        parcel_id: int = Field(default=-1, description="(PK)")
        label: "Label | None" = None

    class Label(DbModel):
        label_id: int = Field(default=-1, description="(PK)")

    assert [column.name for column in Schema([Parcel, Label]).tables[0].columns] == [
        "parcel_id",
        "label",
    ]


def test_a_forward_reference_to_nothing_is_refused() -> None:
    class Torso(DbModel):
        torso_id: int = Field(default=-1, description="(PK)")
        label: "Nowhere | None" = None  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(SchemaError, match="Torso refers to a type that is not defined yet"):
        Schema([Torso])


def test_an_alternative_key_that_leads_nowhere_is_refused() -> None:
    class Page(DbModel):
        page_id: int = Field(default=-1, description="(PK)")
        book_id: int = Field(description="(AK) (FK:Book.book_id)")

    with pytest.raises(SchemaError, match=r"Page\.book_id.*Book"):
        Schema([Author, Book, Page])


def test_the_name_of_the_history_table_is_taken() -> None:
    class Mine(DbModel, table="Lythonic_Migrations"):
        mine_id: int = Field(default=-1, description="(PK)")

    with pytest.raises(SchemaError, match="Mine: the table lythonic_migrations keeps"):
        Schema([Mine])


def test_a_foreign_key_into_a_scoped_table_leads_to_its_primary_key() -> None:
    class Account(Scoped, scope="org_id"):
        account_id: int = Field(default=-1, description="(PK)")
        org_id: int = -1
        number: Annotated[str, Unique()]

    class Stamp(DbModel):
        stamp_id: int = Field(default=-1, description="(PK)")
        number: str = Field(description="(FK:Account.number)")

    with pytest.raises(
        SchemaError, match=r"Stamp.number refers to Account.number.*only within org"
    ):
        Schema([Account, Stamp])


# --- creating -------------------------------------------------------------------------------


async def test_created_tables_take_rows(db: Database) -> None:
    await db(SCHEMA.create_schema(db.conn))
    await db.rollback()

    jane = await db(Author(name="Jane").save(db.conn))
    await db(Book(author_id=jane.author_id, title="Emma", year=1815).save(db.conn))
    assert [book.title for book in await db(Book.select(db.conn))] == ["Emma"]
    with pytest.raises(ConstraintViolation):
        await db(Book(author_id=99, title="Nobody's").save(db.conn))


async def test_creating_twice_is_no_error_and_keeps_the_rows(db: Database) -> None:
    await db(SCHEMA.create_schema(db.conn))
    await db(Author(name="Jane").save(db.conn))
    await db(SCHEMA.create_schema(db.conn))

    assert await db(Author.select_count(db.conn)) == 1
    assert await db(SCHEMA.diff(db.conn)) == []


async def test_what_is_missing_is_created_beside_what_is_there(db: Database) -> None:
    await db(Schema([Author]).create_schema(db.conn))
    await db(Author(name="Jane").save(db.conn))
    await db.commit()
    assert [change.kind for change in await db(SCHEMA.diff(db.conn))] == ["new table"]

    await db(SCHEMA.create_schema(db.conn))
    assert await db(Author.select_count(db.conn)) == 1
    assert await db(SCHEMA.diff(db.conn)) == []


async def test_create_tables_leaves_the_commit_to_the_user(db: Database) -> None:
    await db(SCHEMA.create_tables(db.conn))
    await db.rollback()
    with pytest.raises(SchemaError, match="no tables Author, Book; create"):
        await db(SCHEMA.check_all_tables_exist(db.conn))

    await db(SCHEMA.create_tables(db.conn))
    await db.commit()
    assert await db(SCHEMA.check_all_tables_exist(db.conn)) is True


async def test_create_schema_inside_of_a_transaction_goes_with_it(db: Database) -> None:
    with pytest.raises(ZeroDivisionError):
        async with db.transaction():
            await db(SCHEMA.create_schema(db.conn))
            raise ZeroDivisionError

    with pytest.raises(SchemaError, match="Author"):
        await db(SCHEMA.check_all_tables_exist(db.conn))


async def test_another_shape_is_told_in_words_with_the_mend(db: Database) -> None:
    await db(SCHEMA.create_schema(db.conn))
    schema = Schema([Author, another_book()])

    with pytest.raises(SchemaError) as caught:
        await db(schema.create_schema(db.conn))
    message = str(caught.value)
    assert "Book.year is" in message
    assert "Book.pages is missing in the database" in message
    assert "SCHEMA.migrate(conn)" in message
    await db.rollback()
    assert await db(SCHEMA.diff(db.conn)) == []


async def test_nothing_is_created_where_one_table_has_another_shape(db: Database) -> None:
    class Extra(DbModel):
        extra_id: int = Field(default=-1, description="(PK)")

    await db(SCHEMA.create_schema(db.conn))
    with pytest.raises(SchemaError):
        await db(Schema([Extra, Author, another_book()]).create_schema(db.conn))
    with pytest.raises(SchemaError, match="no table Extra"):
        await db(Schema([Extra]).check_all_tables_exist(db.conn))


async def test_tables_of_others_are_left_alone(db: Database) -> None:
    await db.execute("CREATE TABLE theirs (n INTEGER)")
    await db.commit()
    await db(SCHEMA.create_schema(db.conn))

    assert await db(SCHEMA.diff(db.conn)) == []
    assert await db.execute("SELECT n FROM theirs") == []


async def test_a_view_in_the_place_of_a_table_is_told(db: Database) -> None:
    await db.execute('CREATE VIEW "Author" AS SELECT 1 AS author_id')
    await db.commit()

    with pytest.raises(SchemaError, match="Author is a view in the database, not a table"):
        await db(SCHEMA.create_schema(db.conn))
    with pytest.raises(SchemaError, match="no tables Author, Book"):
        await db(SCHEMA.check_all_tables_exist(db.conn))


async def test_a_table_under_its_old_name_is_not_created_anew(db: Database) -> None:
    class Writer(DbModel, constraints=[RenamedFrom("Author")]):
        author_id: int = Field(default=-1, description="(PK)")
        name: str = Field(description="(AK)")

    await db(Schema([Author]).create_schema(db.conn))
    with pytest.raises(SchemaError, match="table Writer is still called Author in the database"):
        await db(Schema([Writer]).create_schema(db.conn))


async def test_tables_of_a_cycle_are_created(db: Database) -> None:
    class Team(DbModel):
        team_id: int = Field(default=-1, description="(PK)")
        captain: Annotated[int | None, ForeignKey("Player.player_id")] = None

    class Player(DbModel):
        player_id: int = Field(default=-1, description="(PK)")
        team_id: int = Field(description="(FK:Team.team_id)")
        mentor: int | None = Field(default=None, description="(FK:Player.player_id)")

    schema = await db.create(Team, Player)
    assert await db(schema.diff(db.conn)) == []
    team = await db(Team().save(db.conn))
    ann = await db(Player(team_id=team.team_id).save(db.conn))
    with pytest.raises(ConstraintViolation):
        await db(Team(captain=ann.player_id + 1).save(db.conn))


class OrgContext(ScopeContext):
    org: str


class Folder(Scoped, scope="org", scope_context=OrgContext):
    folder_id: int = Field(default=-1, description="(PK)")
    org: str = ""
    inside: int | None = Field(default=None, description="(FK:Folder.folder_id)")
    name: Annotated[str, AltKey()]


async def test_a_scoped_child_cannot_point_at_another_tenants_parent(db: Database) -> None:
    schema = await db.create(Folder)
    assert await db(schema.diff(db.conn)) == []
    ours, theirs = OrgContext(org="ours"), OrgContext(org="theirs")

    parent = await db(Folder(name="a").save(db.conn, user_ctx=ours))
    await db(Folder(name="a").save(db.conn, user_ctx=theirs))
    await db(Folder(name="b", inside=parent.folder_id).save(db.conn, user_ctx=ours))
    with pytest.raises(ConstraintViolation) as caught:
        await db(Folder(name="c", inside=parent.folder_id).save(db.conn, user_ctx=theirs))
    assert caught.value.kind == "foreign key"
    with pytest.raises(ConstraintViolation) as caught:
        await db(Folder(name="b").save(db.conn, user_ctx=ours))
    assert (caught.value.kind, caught.value.columns) == ("unique", ("org", "name"))


@pytest.mark.parametrize("name", ["Order", "group", 'a "b" c', "50%", "ünïcode 表", "a.b", "it's"])
async def test_any_name_may_be_a_table_and_its_columns(db: Database, name: str) -> None:
    class Odd(DbModel, table=name):
        key: Annotated[int, PrimaryKey(), ColumnName(name + " id")] = -1
        value: Annotated[str, Unique(), ColumnName(name)]
        other: Annotated[int | None, ForeignKey("Odd.key"), ColumnName(name + " other")] = None
        sure: Annotated[bool, ColumnName(name + " sure")] = True

    schema = await db.create(Odd)
    assert await db(schema.diff(db.conn)) == []
    odd = await db(Odd(value="x").save(db.conn))
    assert await db(Odd.select(db.conn)) == [odd]
    with pytest.raises(ConstraintViolation) as caught:
        await db(Odd(value="x").save(db.conn))
    assert (caught.value.table, caught.value.columns) == (name, (name,))


async def test_names_of_63_bytes_fit(db: Database) -> None:
    table, column = "t" * 61 + "é", "c" * 63

    class Long(DbModel, table=table):
        key: Annotated[int, PrimaryKey()] = -1
        value: Annotated[Literal["a", "b"], Unique(), ColumnName(column)]
        other: Annotated[int | None, ForeignKey("Long.key"), ColumnName("d" * 63)] = None

    class Longer(DbModel, table="t" * 62):
        key: Annotated[int, PrimaryKey()] = -1
        value: Annotated[Literal["a", "b"], Unique(), ColumnName(column)]
        other: Annotated[int | None, ForeignKey(Long), ColumnName("d" * 63)] = None

    schema = await db.create(Long, Longer)
    assert await db(schema.diff(db.conn)) == []


def test_a_name_that_postgres_would_cut_is_refused_there() -> None:
    class TooLong(DbModel, table="t" * 64):
        key: Annotated[int, PrimaryKey()] = -1

    class TooLongColumn(DbModel):
        key: Annotated[int, PrimaryKey(), ColumnName("ü" * 32)] = -1

    class System(DbModel):
        key: Annotated[int, PrimaryKey(), ColumnName("ctid")] = -1

    assert Schema([TooLong, TooLongColumn, System]).ddl("sqlite")
    with pytest.raises(SchemaError, match=r"TooLong: PostgreSQL cuts .* 63 bytes.*table=…"):
        Schema([TooLong]).ddl("postgres")
    with pytest.raises(SchemaError, match=r"TooLongColumn.key: PostgreSQL .*ColumnName"):
        Schema([TooLongColumn]).ddl("postgres")
    with pytest.raises(SchemaError, match=r"System.key: PostgreSQL .*ColumnName"):
        Schema([System]).ddl("postgres")


def test_a_name_that_sqlite_keeps_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    class Stat(DbModel, table="SQLite_stat9"):
        key: Annotated[int, PrimaryKey()] = -1

    with pytest.raises(SchemaError, match="Stat: SQLite keeps names that begin with sqlite_"):
        Schema([Stat]).create_schema(tmp_path / "x.db")
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_no_database_takes_is_refused() -> None:
    class Null(DbModel, table="nu\0ll"):
        key: Annotated[int, PrimaryKey()] = -1

    with pytest.raises(SchemaError, match=r"Null: .* cannot be a table's name"):
        Schema([Null]).ddl()


def test_a_model_without_columns_is_refused() -> None:
    class Nothing(DbModel):
        pass

    with pytest.raises(SchemaError, match="Nothing has no columns"):
        Schema([Nothing]).ddl()


async def test_a_search_path_to_nowhere_is_told(pg_url: str) -> None:
    with open_db(pg_url) as conn:
        conn.execute("SET search_path = nowhere")  # type: ignore[union-attr]  # psycopg
        with pytest.raises(SchemaError, match="search_path names no PostgreSQL schema"):
            SCHEMA.create_tables(conn)
        conn.rollback()


# --- files and URLs -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
def test_a_file_is_created_with_its_tables(sqlite_path: Path, kind: Any) -> None:
    SCHEMA.create_schema(kind(sqlite_path))
    SCHEMA.create_schema(kind(sqlite_path))

    with open_sqlite_db(sqlite_path, readonly=True) as conn:
        assert SCHEMA.check_all_tables_exist(conn)
        assert SCHEMA.diff(conn) == []


async def test_a_database_is_created_by_its_url(db: Database) -> None:
    SCHEMA.create_schema(db.url)
    assert await db(SCHEMA.diff(db.conn)) == []


MODES: list[dict[str, Any]] = [
    {"isolation_level": mode} for mode in (None, "", "DEFERRED", "IMMEDIATE", "EXCLUSIVE")
]
if sys.version_info >= (3, 12):
    MODES += [{"autocommit": True}, {"autocommit": False}]


@pytest.mark.parametrize("mode", MODES, ids=repr)
def test_a_connection_of_any_mode_will_do(sqlite_path: Path, mode: dict[str, Any]) -> None:
    conn = sqlite3.connect(sqlite_path, **mode)
    SCHEMA.create_schema(conn)
    conn.rollback()
    assert SCHEMA.diff(conn) == []
    conn.close()


def test_a_connection_with_a_row_factory_will_do(sqlite_path: Path) -> None:
    conn = sqlite3.connect(sqlite_path)
    conn.row_factory = sqlite3.Row
    SCHEMA.create_schema(conn)
    assert SCHEMA.diff(conn) == []
    conn.close()


def test_a_postgres_connection_with_autocommit_will_do(pg_url: str) -> None:
    import psycopg
    from psycopg.rows import dict_row

    with psycopg.connect(pg_url, autocommit=True, row_factory=dict_row) as conn:
        SCHEMA.create_schema(conn)
        assert conn.info.transaction_status == psycopg.pq.TransactionStatus.IDLE
        assert SCHEMA.diff(conn) == []


def test_a_file_that_is_no_database_is_left_as_it_is(sqlite_path: Path) -> None:
    sqlite_path.write_text("this is a letter to my aunt, and long enough to be a header\n" * 9)
    before = sqlite_path.read_bytes()

    with pytest.raises(DatabaseError, match="not a database"):
        SCHEMA.create_schema(sqlite_path)
    with pytest.raises(DatabaseError, match="not a database"):
        DbFile(sqlite_path, SCHEMA).check(ensure=True)
    with pytest.raises(DatabaseError, match="not a database"):
        DbFile(sqlite_path, SCHEMA).check()
    assert sqlite_path.read_bytes() == before


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="is its folder there"):
        SCHEMA.create_schema(tmp_path / "no" / "x.db")


def test_a_db_file_is_created_checked_and_opened(sqlite_path: Path) -> None:
    library = DbFile(sqlite_path, SCHEMA)
    with pytest.raises(SchemaError, match=r"there is no file .*test.db; create it with .check\("):
        library.check()
    assert not sqlite_path.exists()

    assert library.check(ensure=True) is library
    assert library.check(ensure=True).check() is library
    with library.open(commit=True) as conn:
        Author(name="Jane").save(conn)
    with library.open(readonly=True) as conn:
        assert Author.select_count(conn) == 1


async def test_a_db_file_opens_for_async_with(sqlite_path: Path) -> None:
    library = DbFile(sqlite_path, SCHEMA).check(ensure=True)
    async with library.open(commit=True) as conn:
        await Author(name="Jane").save(conn)
    async with library.open(readonly=True) as conn:
        assert await Author.select_count(conn) == 1


def test_a_db_file_without_all_tables_is_told_and_mended(sqlite_path: Path) -> None:
    Schema([Author]).create_schema(sqlite_path)
    library = DbFile(sqlite_path, SCHEMA)
    with pytest.raises(SchemaError, match="the database has no table Book"):
        library.check()
    library.check(ensure=True).check()


@pytest.mark.parametrize("ensure", [True, False])
def test_a_db_file_of_another_shape_is_told(sqlite_path: Path, ensure: bool) -> None:
    SCHEMA.create_schema(sqlite_path)
    library = DbFile(sqlite_path, Schema([Author, another_book()]))
    with pytest.raises(SchemaError, match=r"Book.pages is missing in the database"):
        library.check(ensure=ensure)


def test_only_connections_paths_and_urls_are_taken() -> None:
    with pytest.raises(TypeError, match="expected a connection of sqlite3, aiosqlite or psycopg"):
        SCHEMA.create_schema(42)  # type: ignore[call-overload]  # what is tested
    with pytest.raises(ValueError, match="not the URL of a database"):
        SCHEMA.create_schema("mysql://localhost/x")


def test_a_db_file_says_what_it_is() -> None:
    assert repr(DbFile("x.db", SCHEMA)) == "DbFile('x.db', Schema([Author, Book]))"


def test_the_errors_are_those_of_the_state_layer() -> None:
    assert issubclass(SchemaError, StateError)


# --- many at once ---------------------------------------------------------------------------


def _create_in_process(url: str, start: Any, outcome: Any) -> None:
    start.wait()
    try:
        SCHEMA.create_schema(url)
        outcome.put(None)
    except BaseException as error:  # noqa: BLE001  # whatever it is, it is shown
        outcome.put(repr(error))


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_several_processes_may_create_the_same_schema_at_once(db_url: str) -> None:
    context = FORKING
    start, outcome = context.Event(), context.Queue()
    workers = [
        context.Process(target=_create_in_process, args=(db_url, start, outcome)) for _ in range(5)
    ]
    for worker in workers:
        worker.start()
    start.set()
    outcomes = [outcome.get(timeout=60) for _ in workers]
    for worker in workers:
        worker.join()

    assert outcomes == [None] * len(workers)
    with open_db(db_url) as conn:
        assert SCHEMA.diff(conn) == []
        conn.rollback()


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_several_threads_may_create_the_same_schema_at_once(db_url: str) -> None:
    barrier = threading.Barrier(8)
    failures: list[BaseException] = []

    def create() -> None:
        barrier.wait()
        try:
            SCHEMA.create_schema(db_url)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is shown
            failures.append(error)

    threads = [threading.Thread(target=create) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
