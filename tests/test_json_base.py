"""Does a value kept as JSON come back as the subclass that it was, and never as anything else?"""

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lythonic_state import DbModel, JsonBase, RowError
from lythonic_state.json_base import known_subclass, type_reference
from tests.databases import Database


class Shape(JsonBase):
    name: str = ""


class Circle(Shape):
    radius: float


class Group(Shape):
    """Holds others, and things that JSON writes otherwise than Python."""

    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    members: list[Shape] = []
    raw: bytes = b""
    day: date = date(2026, 1, 1)
    size: Decimal = Decimal(0)
    keyed: dict[int, tuple[int, ...]] = {}
    given: int = Field(default=0, alias="theGiven")


class Strict(Shape):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)
    day: date
    pair: tuple[int, int]


class Unrelated(JsonBase):
    secret: str = ""


class Drawing(DbModel["Drawing"]):
    drawing_id: int = Field(default=-1, description="(PK)")
    shape: Shape
    extra: Shape | None = None
    many: list[Shape] = []
    anything: JsonBase | None = None


SHAPES: list[Shape] = [
    Shape(name="plain"),
    Circle(name="c", radius=1.5),
    Group(
        members=[Circle(radius=2), Group(members=[Shape()]), Strict(day=date.min, pair=(1, 2))],
        raw=b"\x00\xff",
        day=date.max,
        size=Decimal("1.50"),
        keyed={1: (1, 2)},
        theGiven=3,
    ),
    Strict(day=date.max, pair=(3, 4)),
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
async def test_a_field_typed_as_the_base_comes_back_as_the_subclass(
    db: Database, shape: Shape
) -> None:
    await db.create(Drawing)
    row = Drawing(shape=shape, extra=shape, many=[shape, Shape()], anything=shape)
    await db(row.save(db.conn))
    loaded = await db(Drawing.get(db.conn))
    assert loaded == row
    assert type(loaded.shape) is type(loaded.extra) is type(loaded.anything) is type(shape)
    assert [type(item) for item in loaded.many] == [type(shape), Shape]
    assert await db(Drawing.select_count(db.conn, shape=shape)) == 1
    assert await db(Drawing.select_count(db.conn, shape=Shape(name="other"))) == 0


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: type(shape).__name__)
def test_a_model_survives_json_and_python_dumps(shape: Shape) -> None:
    row = Drawing(shape=shape, many=[shape], anything=shape)
    assert Drawing.model_validate_json(row.model_dump_json()) == row
    assert Drawing.model_validate(row.model_dump()) == row
    aliased = Drawing.model_validate_json(row.model_dump_json(by_alias=True))
    assert aliased == row
    assert type(aliased.shape) is type(shape)
    assert json.loads(row.model_dump_json())["shape"]["$type"] == type_reference(type(shape))


REFERENCES = [
    "os:system",
    "builtins:dict",
    "pydantic.main:BaseModel",
    type_reference(Unrelated),
    type_reference(JsonBase),
    type_reference(Drawing),
    "tests.test_json_base:Missing",
    "no colon",
    "",
    3,
    None,
    ["x"],
    {"a": 1},
]


@pytest.mark.parametrize("reference", REFERENCES, ids=str)
async def test_no_row_and_no_request_chooses_a_class_outside_the_family(
    db: Database, reference: Any
) -> None:
    body = {"shape": {"$type": reference, "name": "x"}}
    with pytest.raises(ValidationError, match="not a known subclass of Shape"):
        Drawing.model_validate(body)
    with pytest.raises(ValidationError, match="not a known subclass of Shape"):
        Drawing.model_validate_json(json.dumps(body))
    await db.create(Drawing)
    await db(Drawing(shape=Shape()).save(db.conn))
    stored = json.dumps(body["shape"])
    cast = "?::jsonb" if db.dialect == "postgres" else "?"
    await db.execute(f'UPDATE "Drawing" SET shape = {cast}', [stored])
    with pytest.raises(RowError, match=r"Drawing\.shape"):
        await db(Drawing.select(db.conn))


def test_a_body_without_a_type_is_the_declared_one() -> None:
    assert type(Drawing.model_validate({"shape": {"name": "x"}}).shape) is Shape
    with pytest.raises(ValidationError, match="radius"):
        Drawing.model_validate({"shape": {"$type": type_reference(Circle)}})


def test_a_class_that_was_defined_again_is_the_newest() -> None:
    def define(default: int) -> type[Shape]:
        class Again(Shape):
            number: int = default

        return Again

    first, second = define(1), define(2)
    assert type_reference(first) == type_reference(second)
    assert known_subclass(Shape, type_reference(second)) is second


def test_a_subclass_is_found_below_any_ancestor_but_not_above() -> None:
    class Small(Circle):
        pass

    reference = type_reference(Small)
    for base in (JsonBase, Shape, Circle, Small):
        assert known_subclass(base, reference) is Small
    assert known_subclass(Small, type_reference(Circle)) is None


def test_the_schema_of_a_field_is_that_of_its_model() -> None:
    class Plain(BaseModel):
        shape: Shape
        other: Shape

    for mode in ("validation", "serialization"):
        schema = Plain.model_json_schema(mode=mode)
        assert "readOnly" not in json.dumps(schema)
        shape = schema["properties"]["shape"]
        assert shape["properties"] == {"name": {"default": "", "title": "Name", "type": "string"}}
