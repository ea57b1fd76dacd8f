"""Generated keys that are never given out again: of a model, and of tables that are created so."""

from collections.abc import Callable
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field

from lythonic_state import (
    DbModel,
    MigrationError,
    PreparedInsert,
    Schema,
    SchemaError,
    open_db,
    perform,
)
from lythonic_state.migrate.create_text import never_reuses_keys
from lythonic_state.user import User, UserContext, UserOwned
from tests.databases import Database


class Price(DbModel["Price"], table='price "x"', reuse_keys=False):
    price_id: int = Field(default=-1, description="(PK)")
    code: str = Field(description="(AK)")
    cents: int = 0


def plain_price() -> Any:
    """The same table of a model that does not say so."""

    class Plain(DbModel["Plain"], table='price "x"'):
        price_id: int = Field(default=-1, description="(PK)")
        code: str = Field(description="(AK)")
        cents: int = 0

    return Plain


class Note(UserOwned["Note"], reuse_keys=False):
    note_id: int = Field(default=-1, description="(PK)")
    text: str = ""


ALICE = UserContext(user=User(user_id=1))

WRITES: dict[str, Callable[[Any, Any, str], Any]] = {
    "save": lambda model, conn, code: model(code=code).save(conn),
    "insert": lambda model, conn, code: model(code=code).insert(conn),
    "insert anew": lambda model, conn, code: model(price_id=1, code=code).insert(
        conn, auto_increment=True
    ),
    "create": lambda model, conn, code: model.create(conn, {"code": code}),
    "upsert": lambda model, conn, code: model(code=code).upsert(conn, on=["code"]),
    "get_or_create": lambda model, conn, code: model.get_or_create(conn, code=code),
    "insert_many": lambda model, conn, code: model.insert_many(conn, [model(code=code)]),
    "insert_many, ignoring": lambda model, conn, code: model.insert_many(
        conn, [model(code=code)], on_conflict="ignore"
    ),
    "save_many": lambda model, conn, code: model.save_many(conn, [model(code=code)]),
    "upsert_many": lambda model, conn, code: model.upsert_many(
        conn, [model(code=code)], on=["code"]
    ),
    "perform": lambda model, conn, code: perform(conn, PreparedInsert(model, "code")(code=code)),
}


@pytest.mark.parametrize("said_by", ["model", "creation"])
async def test_no_verb_gives_a_key_out_again(db: Database, said_by: str) -> None:
    model: Any = Price if said_by == "model" else plain_price()
    await db(Schema([model]).create_tables(db.conn, reuse_keys=said_by != "creation"))
    past = 0
    for verb, write in WRITES.items():
        for code in "abc":
            await db(write(model, db.conn, code))
        keys = [row.price_id for row in await db(model.select(db.conn, order_by="price_id"))]
        assert len(keys) == 3, verb
        assert keys[0] > past, verb
        past = keys[2]
        await db(model.delete(db.conn, gt__price_id=keys[0]))
        await db(write(model, db.conn, "d"))
        row = await db(model.get(db.conn, code="d"))
        assert row.price_id > past, verb
        past = row.price_id
        await db(model.delete(db.conn, all_rows=True))


async def test_keys_of_scoped_models_are_not_given_out_again(db: Database) -> None:
    await db(Schema([Note]).create_tables(db.conn))
    first: Any = await db(Note(text="a").save(db.conn, user_ctx=ALICE))
    await db(Note.delete(db.conn, all_rows=True, user_ctx=ALICE))
    rows = [Note(text="b"), Note(text="c")]
    await db(Note.insert_many(db.conn, rows, user_ctx=ALICE))
    assert [row.note_id for row in rows] == [first.note_id + 1, first.note_id + 2]


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("save"), st.sampled_from([[None], [1], [4]])),
        st.tuples(
            st.just("insert_many"),
            st.tuples(st.sets(st.integers(1, 4)), st.integers(0, 3)).flatmap(
                lambda some: st.permutations([*some[0], *[None] * some[1]])
            ),
        ),
        st.tuples(st.just("delete"), st.integers(0, 4).map(lambda number: [number])),
    ),
    max_size=8,
)
"""What is done, and to which keys: None is a new one, numbers count from the highest so far."""


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
def test_whatever_was_written_and_deleted_a_new_key_is_higher_than_all_before(db_url: str) -> None:
    codes = map(str, count())
    highest = 0
    with open_db(db_url, commit=True) as conn:
        Schema([Price]).create_tables(conn)

        @given(_STEPS)
        def check(steps: list[tuple[str, list[Any]]]) -> None:
            nonlocal highest
            for verb, keys in steps:
                if verb == "delete":
                    Price.delete(conn, gt__price_id=highest - keys[0])
                    continue
                rows = [
                    Price(price_id=-1 if key is None else highest + key, code=next(codes))
                    for key in keys
                ]
                if verb == "save":
                    rows[0].save(conn)
                else:
                    Price.insert_many(conn, rows)
                fresh = [row.price_id for row, key in zip(rows, keys, strict=True) if key is None]
                assert sorted(set(fresh)) == fresh
                assert all(key > highest for key in fresh)
                highest = max([highest, *(row.price_id for row in rows)])

        check()


# --- what is created and what is compared ---------------------------------------------------


def test_on_sqlite_the_key_is_autoincrement_and_on_postgres_an_identity_as_ever() -> None:
    for schema in (Schema([Price]), Schema([Note])):
        assert "INTEGER PRIMARY KEY AUTOINCREMENT" in schema.ddl("sqlite")
    assert "AUTOINCREMENT" not in Schema([plain_price()]).ddl("sqlite")
    assert Schema([Price]).ddl("postgres") == Schema([plain_price()]).ddl("postgres")


async def test_a_table_that_remembers_its_keys_does_for_a_model_that_does_not_ask(
    db: Database,
) -> None:
    await db(Schema([Price]).create_schema(db.conn))
    for schema in (Schema([Price]), Schema([plain_price()])):
        assert await db(schema.diff(db.conn)) == []
        assert (await db(schema.migrate(db.conn))).steps == ()
        await db(schema.create_schema(db.conn))


@pytest.mark.parametrize("colour", ["sqlite", "postgres"])
async def test_a_table_that_forgets_its_keys_does_not_do_for_a_model_that_asks(
    db: Database,
) -> None:
    await db(Schema([plain_price()]).create_schema(db.conn))
    changes = await db(Schema([Price]).diff(db.conn))
    if db.dialect == "postgres":
        assert changes == []
        return
    assert [(change.kind, change.name) for change in changes] == [
        ("changed generated key", "price_id")
    ]
    with pytest.raises(SchemaError, match="given out again in the database"):
        await db(Schema([Price]).create_schema(db.conn))
    with pytest.raises(MigrationError, match=r"given out again in the database.*rebuilt"):
        await db(Schema([Price]).migrate(db.conn))


async def test_only_tables_that_are_missing_are_created_so(db: Database) -> None:
    await db(Schema([plain_price()]).create_schema(db.conn))
    other = type("Other", (plain_price(),), {}, table="other")
    both = Schema([plain_price(), other])
    await db(both.create_schema(db.conn, reuse_keys=False))
    assert await db(both.diff(db.conn)) == []
    table: Any
    for table in both:
        rows = [table(code="a"), table(code="b")]
        await db(table.insert_many(db.conn, rows))
        await db(rows[1].delete_row(db.conn))
        again: Any = await db(table(code="c").save(db.conn))
        reused = table is not other and db.dialect == "sqlite"
        assert again.price_id == rows[1].price_id + (0 if reused else 1)


async def test_tables_without_a_generated_key_may_be_created_so(db: Database) -> None:
    class Country(DbModel["Country"]):
        code: str = Field(description="(PK)")

    schema = Schema([Country])
    await db(schema.create_schema(db.conn, reuse_keys=False))
    assert await db(schema.diff(db.conn)) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CREATE TABLE t (n INTEGER PRIMARY KEY ASC ON CONFLICT ABORT autoincrement)", True),
        ("CREATE TABLE t (n INTEGER, PRIMARY KEY (n AUTOINCREMENT))", True),
        ("CREATE TABLE t (n INTEGER PRIMARY KEY) -- AUTOINCREMENT", False),
        ("CREATE TABLE t (\"AUTOINCREMENT\" TEXT CHECK (x <> 'AUTOINCREMENT'))", False),
    ],
)
def test_autoincrement_is_found_in_the_text_of_a_table(text: str, expected: bool) -> None:
    assert never_reuses_keys(text) is expected


# --- models ---------------------------------------------------------------------------------


def test_a_child_says_the_same_as_its_parent_unless_it_says_otherwise() -> None:
    class Remembering(DbModel, abstract=True, reuse_keys=False):
        key: int = Field(default=-1, description="(PK)")

    class One(Remembering):
        pass

    class Other(Remembering, reuse_keys=True):
        pass

    assert "AUTOINCREMENT" in Schema([One]).ddl()
    assert "AUTOINCREMENT" not in Schema([Other]).ddl()


def test_a_model_whose_keys_are_not_generated_cannot_say_so() -> None:
    with pytest.raises(SchemaError, match=r"Country: reuse_keys=False .* leave it out"):

        class Country(DbModel["Country"], reuse_keys=False):
            code: str = Field(description="(PK)")
