"""Does every error say where it comes from, and is it what one would catch without us?"""

import pickle
import sqlite3
from enum import Enum
from typing import Annotated, Any

import psycopg
import pytest
from pydantic import Field

import lythonic_state
from lythonic_state import (
    Check,
    ColumnName,
    ConstraintViolation,
    DatabaseError,
    DbModel,
    InvalidValue,
    StateError,
    Unique,
    col,
    errors,
    select_columns,
    sum_,
)
from tests.databases import Database

# --- the tree -------------------------------------------------------------------------------

BUILTINS: dict[str, type[Exception]] = {
    "SchemaError": ValueError,
    "FilterError": ValueError,
    "SqlError": ValueError,
    "InvalidValue": ValueError,
    "RowError": ValueError,
    "AccessViolation": ValueError,
    "NotFound": LookupError,
    "MultipleFound": LookupError,
    "TransactionError": RuntimeError,
    "MigrationError": RuntimeError,
    "DatabaseError": StateError,
    "ConstraintViolation": DatabaseError,
    "DatabaseBusy": DatabaseError,
    "StateError": Exception,
}


def test_every_error_is_a_state_error_and_the_builtin_that_is_documented() -> None:
    exported = {
        name: getattr(lythonic_state, name)
        for name in lythonic_state.__all__
        if isinstance(getattr(lythonic_state, name), type)
        and issubclass(getattr(lythonic_state, name), Exception)
        and not issubclass(getattr(lythonic_state, name), Warning)
    }
    assert set(exported) == set(BUILTINS)
    for name, error in exported.items():
        assert issubclass(error, StateError), name
        assert issubclass(error, BUILTINS[name]), name
        assert getattr(errors, name) is error
        assert error.__doc__
    assert issubclass(lythonic_state.UncommittedWarning, RuntimeWarning)


# --- violated constraints -----------------------------------------------------------------------

ODD = 'odd "table", it\'s a.b'


class Colour(Enum):
    RED = "red"
    BLUE = "it's blue"


class Parent(DbModel["Parent"]):
    parent_id: int = Field(default=-1, description="(PK)")


class Plain(
    DbModel["Plain"],
    constraints=[Unique("left", "right"), Check("low <= high")],
):
    plain_id: int = Field(default=-1, description="(PK)")
    parent_id: int | None = Field(default=None, description="(FK:Parent.parent_id)")
    email: str | None = Field(default=None, description="(UQ)")
    left: str | None = None
    right: str | None = None
    low: int = 0
    high: int = 0
    small: Annotated[int, Check("small < 10")] = 0
    colour: Colour = Colour.RED


class Odd(
    DbModel["Odd"],
    table=ODD,
    constraints=[Unique("left", "right")],
):
    odd_id: Annotated[int, ColumnName("the key.")] = Field(default=-1, description="(PK)")
    parent_id: Annotated[int | None, ColumnName('the "parent" (or none)')] = Field(
        default=None, description="(FK:Parent.parent_id)"
    )
    email: Annotated[str | None, ColumnName("e-mail, (first)")] = Field(
        default=None, description="(UQ)"
    )
    left: Annotated[str | None, ColumnName('a "left"')] = None
    right: Annotated[str | None, ColumnName("right, or wrong")] = None
    colour: Annotated[Colour, ColumnName("colour's name")] = Colour.RED


Case = tuple[Any, str, str, tuple[str, ...]]
"""A model whose second copy, or which alone, is refused; table, kind and columns that are told."""

CASES: dict[str, Case] = {
    "unique": (Plain(email="a"), "Plain", "unique", ("email",)),
    "composite unique": (Plain(left="a", right="b"), "Plain", "unique", ("left", "right")),
    "primary key": (Plain(plain_id=1), "Plain", "unique", ("plain_id",)),
    "foreign key": (Plain(parent_id=9), "Plain", "foreign key", ("parent_id",)),
    "check": (Plain(small=10), "Plain", "check", ("small",)),
    "table's check": (Plain(low=1), "Plain", "check", ()),
    "not null": (
        Plain.construct_trusted(low=None), "Plain", "not null", ("low",)
    ),
    "odd unique": (Odd(email="a"), ODD, "unique", ("e-mail, (first)",)),
    "odd composite": (Odd(left="a", right="b"), ODD, "unique", ('a "left"', "right, or wrong")),
    "odd primary key": (Odd(odd_id=1), ODD, "unique", ("the key.",)),
    "odd foreign key": (Odd(parent_id=9), ODD, "foreign key", ('the "parent" (or none)',)),
}  # fmt: skip
DRIVER = {
    "unique": psycopg.errors.UniqueViolation,
    "foreign key": psycopg.errors.ForeignKeyViolation,
    "check": psycopg.errors.CheckViolation,
    "not null": psycopg.errors.NotNullViolation,
}


def check_driver(db: Database, error: ConstraintViolation) -> None:
    """The error is the driver's own, too, and has what that one has."""
    found: Any = error
    cause: Any = error.__cause__
    if db.dialect == "sqlite":
        assert isinstance(found, sqlite3.IntegrityError)
        assert type(cause) is sqlite3.IntegrityError
        assert found.sqlite_errorname == cause.sqlite_errorname
        assert found.sqlite_errorname.startswith("SQLITE_CONSTRAINT_")
        assert found.sqlite_errorcode == cause.sqlite_errorcode
    else:
        assert isinstance(found, DRIVER[error.kind])
        assert isinstance(found, psycopg.IntegrityError)
        assert found.diag.table_name == error.table
        assert found.sqlstate == cause.sqlstate
        assert found.diag.message_primary == cause.diag.message_primary


@pytest.mark.parametrize("name", CASES)
async def test_a_violation_says_table_columns_and_kind(db: Database, name: str) -> None:
    await db.create(Parent, Plain, Odd)
    model, table, kind, columns = CASES[name]
    row = type(model).construct_trusted(**dict(model))
    if kind == "unique":
        await db(row.model_copy().insert(db.conn))
        await db.commit()
    before = await db(type(row).select_count(db.conn))
    with pytest.raises(ConstraintViolation) as caught:
        await db(row.model_copy().insert(db.conn))
    error = caught.value
    assert (error.table, error.kind, error.columns) == (table, kind, columns)
    check_driver(db, error)
    again = pickle.loads(pickle.dumps(error))
    assert (again.table, again.kind, again.columns) == (table, kind, columns)
    assert str(again) == str(error)
    assert await db(type(row).select_count(db.conn)) == before, "the connection is usable"


@pytest.mark.parametrize("name", ["Plain", "Odd"])
async def test_the_database_itself_knows_the_members_of_an_enum(db: Database, name: str) -> None:
    await db.create(Parent, Plain, Odd)
    model: Any = {"Plain": Plain, "Odd": Odd}[name]
    await db(model(colour=Colour.BLUE).save(db.conn))
    await db.commit()

    class Loose(DbModel["Loose"], table="Plain" if name == "Plain" else ODD):
        row_id: Annotated[int, ColumnName("plain_id" if name == "Plain" else "the key.")] = Field(
            default=-1, description="(PK)"
        )
        colour: Annotated[str, ColumnName("colour" if name == "Plain" else "colour's name")]

    with pytest.raises(ConstraintViolation) as caught:
        await db(Loose.update_where(db.conn, {"colour": "green"}, colour="it's blue"))
    error = caught.value
    column = "colour" if name == "Plain" else "colour's name"
    assert (error.table, error.kind) == ("Plain" if name == "Plain" else ODD, "check")
    assert error.columns == (column,)
    check_driver(db, error)
    assert (await db(model.get(db.conn))).colour is Colour.BLUE


async def test_a_parent_with_children_is_kept_and_they_are_named(db: Database) -> None:
    await db.create(Parent, Plain)
    parent = await db(Parent().save(db.conn))
    await db(Plain(parent_id=parent.parent_id).save(db.conn))
    await db.commit()
    for verb in (
        lambda: parent.delete_row(db.conn),
        lambda: Parent.delete(db.conn, all_rows=True),
    ):
        with pytest.raises(ConstraintViolation) as caught:
            await db(verb())
        error = caught.value
        assert (error.kind, error.table) == ("foreign key", "Plain")
        assert error.columns in ((), ("parent_id",)), "PostgreSQL does not name it"
        check_driver(db, error)
    assert await db(Parent.select_count(db.conn)) == 1


async def test_a_foreign_key_names_its_table_in_every_writing_verb(db: Database) -> None:
    await db.create(Parent, Plain)
    plain = await db(Plain().save(db.conn))
    await db.commit()
    wrong = Plain(parent_id=99)
    verbs: list[Any] = [
        lambda: Plain(parent_id=99).save(db.conn),
        lambda: Plain(plain_id=1, parent_id=99).save(db.conn),
        lambda: plain.patch(db.conn, {"parent_id": 99}),
        lambda: wrong.update(db.conn, plain_id=1),
        lambda: Plain.update_where(db.conn, {"parent_id": 99}, plain_id=1),
        lambda: Plain(email="x", parent_id=99).upsert(db.conn, on=["email"]),
        lambda: Plain.create(db.conn, {"parent_id": 99}),
        lambda: Plain.get_or_create(db.conn, {"parent_id": 99}, email="x"),
        lambda: Plain.insert_many(db.conn, [wrong]),
        lambda: Plain.save_many(db.conn, [wrong]),
    ]
    for verb in verbs:
        with pytest.raises(ConstraintViolation) as caught:
            await db(verb())
        error = caught.value
        assert (error.kind, error.table) == ("foreign key", "Plain")
        assert error.columns == ("parent_id",)
    assert await db(Plain.select(db.conn)) == [plain]
    assert plain.parent_id is None


# --- other errors of the database ---------------------------------------------------------------


async def test_a_missing_table_or_column_is_told_with_the_mend(db: Database) -> None:
    with pytest.raises(DatabaseError, match=r"create the tables with Schema\.create_tables") as one:
        await db(Plain.select(db.conn))
    await db.rollback()
    await db.execute('CREATE TABLE "Parent" (other INTEGER)')
    await db.commit()
    with pytest.raises(DatabaseError, match=r"create the tables with Schema\.create_tables") as two:
        await db(Parent.select(db.conn))
    for caught in (one, two):
        error: Any = caught.value
        if db.dialect == "sqlite":
            assert isinstance(error, sqlite3.OperationalError)
            assert error.sqlite_errorname == "SQLITE_ERROR"
        else:
            assert isinstance(error, psycopg.ProgrammingError)
            assert error.sqlstate in ("42P01", "42703")


async def test_errors_that_are_not_the_databases_stay_themselves(db: Database) -> None:
    """What a callback raises while rows are read is raised as it is, and is not its own cause."""
    await db.create(Parent, Plain)
    await db(Plain().save(db.conn))
    stop = KeyError("stop")

    class Strict(DbModel["Strict"], table="Plain"):
        plain_id: int = Field(default=-1, description="(PK)")
        low: int = Field(default=5, gt=3)

    def fail(_: Any) -> None:
        raise stop

    with pytest.raises(KeyError) as caught:
        await db(Strict.select(db.conn, on_invalid=fail))
    assert caught.value is stop
    assert stop.__cause__ is None


async def test_what_an_int_cannot_hold_is_an_invalid_value_and_changes_nothing(
    db: Database,
) -> None:
    await db.create(Parent, Plain)
    row = await db(Plain(low=2**62, high=2**62).save(db.conn))
    await db(Plain(low=2**62, high=2**63 - 1).save(db.conn))
    for values in ({"high": col(Plain.high) + 2**62}, {"high": col(Plain.high) * 2}):
        with pytest.raises(InvalidValue, match="beyond 64 bits") as caught:
            await db(Plain.update_where(db.conn, values, all_rows=True))
        error: Any = caught.value
        if db.dialect == "sqlite":
            assert "Plain.high" in str(error)
            assert isinstance(error, sqlite3.IntegrityError)
        else:
            assert isinstance(error, psycopg.DataError)
    await db(row.refresh(db.conn))
    assert row.high == 2**62
    if db.dialect == "sqlite":
        with pytest.raises(InvalidValue, match="beyond 64 bits") as caught:
            await db(select_columns(db.conn, sum_(Plain.high)))
        assert isinstance(caught.value, sqlite3.OperationalError)
    else:
        assert await db(select_columns(db.conn, sum_(Plain.high))) == [(2**62 + 2**63 - 1,)]
