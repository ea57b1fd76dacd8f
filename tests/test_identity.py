"""Which row a model is: its table, its key, and the key as text and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import AwareDatetime, Field, create_model

from lythonic_state import DbModel, InvalidValue, PrimaryKey, Schema, SchemaError, open_sqlite_db
from lythonic_state.identity import (
    has_integer_key,
    key_fields,
    key_from_text,
    key_of,
    key_text,
    keys_of,
    models_of_table,
    table_name,
)
from lythonic_state.schema import has_table
from tests.databases import Database


class Colour(Enum):
    RED = "red"


class Numbered(DbModel, table="identity_numbered"):
    number: Annotated[int, PrimaryKey()] = -1


class Unset(DbModel, table="identity_optional"):
    number: Annotated[int | None, PrimaryKey()] = None


class Both(DbModel, table="identity_both"):
    name: Annotated[str, PrimaryKey()]
    day: Annotated[date, PrimaryKey()]


class Keyless(DbModel, table="identity_keyless"):
    name: str


def model_with_key(kind: Any) -> Any:
    key: Any = (kind, Field(description="(PK)"))
    return create_model("Keyed", __base__=DbModel, key=key)


KEYS = [
    (str, 'a "b" \x01 é'),
    (bytes, b"\x00\xff"),
    (UUID, UUID(int=7)),
    (date, date(2026, 1, 31)),
    (AwareDatetime, datetime(2026, 1, 31, 9, tzinfo=UTC)),
    (Decimal, Decimal("1.5")),
    (Path, Path("a/b")),
    (Colour, Colour.RED),
    (bool, True),
    (timedelta, timedelta(seconds=3)),
]


@pytest.mark.parametrize(("kind", "key"), KEYS, ids=lambda each: getattr(each, "__name__", "key"))
def test_a_key_of_any_type_comes_back_from_its_text(kind: Any, key: Any) -> None:
    model = model_with_key(kind)
    back = key_from_text(model, key_text(model, key))
    assert vars(model(key=back))["key"] == key
    assert key_text(model, back) == key_text(model, key)


def test_equal_keys_have_the_same_text() -> None:
    model = model_with_key(AwareDatetime)
    noon = datetime(2026, 1, 31, 12, tzinfo=UTC)
    assert key_text(model, noon) == key_text(model, noon.astimezone(timezone(timedelta(hours=2))))
    assert key_text(Both, ("a", date(2026, 1, 31))) == '["a","2026-01-31"]'


def test_the_key_of_a_row_is_its_own_value_or_a_tuple_or_none_while_it_is_not_set() -> None:
    assert key_of(Numbered(number=7)) == 7
    assert key_of(Numbered()) is None
    assert key_of(Unset()) is None
    assert key_of(Both(name="a", day=date(2026, 1, 31))) == ("a", date(2026, 1, 31))
    assert key_of(Keyless(name="a")) is None
    assert keys_of(Numbered, [Numbered(number=2), Numbered()]) == [2, None]
    assert (key_fields(Both), key_fields(Keyless)) == (("name", "day"), ())
    assert [has_integer_key(each) for each in (Numbered, Unset, Both)] == [True, True, False]


def test_what_is_no_key_of_a_model_is_refused() -> None:
    with pytest.raises(InvalidValue, match="a tuple of 2 values"):
        key_text(Both, "a")
    with pytest.raises(InvalidValue, match="is no key of Both"):
        key_from_text(Both, '["a"]')
    for text in ("no JSON", '"a"'):
        with pytest.raises(InvalidValue, match="is no key of Numbered"):
            key_from_text(Numbered, text)
    with pytest.raises(SchemaError, match="no primary key"):
        key_text(Keyless, "a")


def test_models_are_found_by_their_table() -> None:
    assert table_name(Both) == "identity_both"
    assert models_of_table("identity_both") == [Both]
    assert models_of_table("Both") == []


async def test_a_database_has_a_table_or_not_whatever_its_shape(db: Database) -> None:
    assert await db(has_table(db.conn, Numbered)) is False
    await db.execute("CREATE TABLE identity_numbered (other TEXT)")
    assert await db(has_table(db.conn, Numbered)) is True


def test_schemas_and_has_table_agree(tmp_path: Path) -> None:
    with open_sqlite_db(tmp_path / "a.db") as conn:
        Schema([Both]).create_tables(conn)
        assert has_table(conn, Both)
        assert not has_table(conn, Keyless)
        conn.commit()
