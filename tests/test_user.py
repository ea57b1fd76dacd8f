"""Users, what is known of them, and whose rows are whose."""

from typing import Any

import pytest
from pydantic import Field, ValidationError

from lythonic_state import (
    AccessViolation,
    AllTenants,
    DbModel,
    SchemaError,
    ScopeContext,
    Scoped,
    User,
    UserContext,
    UserInfo,
    UserOwned,
)
from lythonic_state.table import table_of
from tests.databases import Database


class Profile(UserInfo):
    """What one app knows of its users."""

    language: str = "en"


class Note(UserOwned["Note"]):
    note_id: int = Field(default=-1, description="(PK)")
    text: str


async def test_a_user_is_a_row_like_any_other(db: Database) -> None:
    await db.create(User)
    alice = await db(User(info=UserInfo(name="Alice", email="a@b.c")).save(db.conn))
    assert await db(User.load_by_id(db.conn, alice.user_id)) == alice
    nobody = await db(User().save(db.conn))
    assert await db(User.load_by_id(db.conn, nobody.user_id)) == nobody


async def test_what_an_app_knows_of_its_users_comes_back_as_its_own_class(db: Database) -> None:
    await db.create(User)
    user = await db(User(info=Profile(name="Émile", language="fr")).save(db.conn))
    found = await db(User.load_by_id(db.conn, user.user_id))
    assert isinstance(found.info, Profile)
    assert found.info.language == "fr"


async def test_a_saved_row_belongs_to_the_user_of_the_context(db: Database) -> None:
    await db.create(User, Note)
    alice, bob = [await db(User().save(db.conn)) for _ in range(2)]
    note = await db(Note(text="x").save(db.conn, user_ctx=UserContext(user=alice)))
    assert note.user_id == alice.user_id
    again = await db(Note(text="y").save_with_ctx(UserContext(user=alice), db.conn))
    assert again.user_id == alice.user_id
    assert await db(Note.select(db.conn, user_ctx=UserContext(user=bob))) == []
    key = note.note_id
    assert await db(Note.load_by_id_with_ctx(db.conn, UserContext(user=alice), key)) == note
    assert await db(Note.load_by_id_with_ctx(db.conn, UserContext(user=bob), key)) is None


async def test_a_user_without_a_key_owns_nothing(db: Database) -> None:
    await db.create(User, Note)
    with pytest.raises(
        AccessViolation, match=r"UserContext\.user_id is -1, .* is the user saved\?"
    ):
        await db(Note(text="x").save(db.conn, user_ctx=UserContext(user=User())))
    assert await db(Note.select_count(db.conn, user_ctx=AllTenants("test"))) == 0


def test_a_context_is_of_a_user_and_of_nothing_else() -> None:
    assert UserContext(user=User(user_id=7)).user_id == 7
    with pytest.raises(ValidationError):
        UserContext(user=7)  # type: ignore[arg-type]


def test_the_owner_is_no_part_of_what_may_be_written() -> None:
    assert set(Note.model_json_schema()["properties"]) == {"note_id", "text"}
    shown = Note.model_json_schema(mode="serialization")["properties"]
    assert shown["user_id"]["readOnly"] is True


def test_a_model_inherits_its_scope_and_may_have_another() -> None:
    class OrgContext(ScopeContext):
        org_id: int

    class OrgOwned(Scoped[Any], abstract=True, scope="org_id", scope_context=OrgContext):
        org_id: int = -1

    class Invoice(OrgOwned["Invoice"]):
        invoice_id: int = Field(default=-1, description="(PK)")

    table = table_of(Invoice)
    assert table.scope is table.by_field["org_id"]
    assert table.scope_context is OrgContext
    scope = table_of(Note).scope
    assert scope is not None
    assert scope.field == "user_id"


def test_a_scoped_model_that_names_no_scope_is_no_table() -> None:
    with pytest.raises(SchemaError, match="Loose is Scoped and does not say by what"):

        class Loose(Scoped["Loose"]):
            loose_id: int = Field(default=-1, description="(PK)")


def test_a_scope_that_may_be_none_is_no_scope() -> None:
    with pytest.raises(SchemaError, match=r"Loose\.org_id: the scope column cannot be None"):

        class Loose(Scoped["Loose"], scope="org_id"):
            loose_id: int = Field(default=-1, description="(PK)")
            org_id: int | None = None


def test_users_are_models_that_can_be_extended() -> None:
    class Member(User, table="member"):
        nickname: str = ""

    assert issubclass(Member, DbModel)
    assert [column.field for column in table_of(Member).columns] == ["user_id", "info", "nickname"]
    assert UserContext(user=Member(user_id=3, nickname="m")).user_id == 3
