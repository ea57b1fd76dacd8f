"""Which rows become models without their validator, since that would change nothing of them?

Where a field's schema says no more than a class and its limits, as `str` or `datetime | None` do, a
value of that class is valid as it is. Of models with only such fields, readers (`rows.py`) make the
instances themselves, as pydantic's validator does; a row with any other value goes through that.
What is seen here are pydantic's schemas; nothing is read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any, NamedTuple, TypeAlias, get_origin

from pydantic import BaseModel
from pydantic_core import SchemaValidator

from .table import ColumnSpec, Table

Schema: TypeAlias = Mapping[str, Any]


class Passing(NamedTuple):
    """How a value is seen to be valid, and what its field holds then: expressions of `{v}`."""

    check: str
    """Empty where there is nothing to check."""
    value: str = "{v}"
    decode: Callable[[Any], Any] | None = None
    """What makes a value of what was stored, before it is checked; None if nothing has to."""
    known: Any = None
    """What the expressions refer to as `known_{v}`."""


def plain_model(table: Table) -> dict[str, Passing] | None:
    """What an instance holds, field by field in its order; for those without a column, what their
    default is. None where the validator may say more than is seen here."""
    validator: Any = table.model.__pydantic_validator__
    schema: Any = table.model.__pydantic_core_schema__
    if type(validator) is not SchemaValidator or not isinstance(schema, dict):
        return None  # it is watched by a plugin, or not built yet
    fields = _fields_of(table.model, schema)
    if fields is None:
        return None
    definitions = {each["ref"]: each for each in schema.get("definitions", ())}
    found: dict[str, Passing] = {}
    for name, field in fields.items():
        column = table.by_field.get(name)
        if column is None:
            passing = _default(field["schema"])
        else:
            passing = _passing(field["schema"], column, definitions)
        if passing is None:
            return None
        found[name] = passing
    return found


# --- the model ------------------------------------------------------------------------------

_NEUTRAL = {"type", "ref", "metadata", "serialization"}
_NEUTRAL_OF_MODEL = {"cls", "schema", "custom_init", "root_model", "config", "frozen"}
_NEUTRAL_OF_FIELDS = {"fields", "model_name", "computed_fields", "extra_behavior"}
_NEUTRAL_OF_FIELD = {"schema", "frozen", "validation_alias", "serialization_alias"} | {
    "serialization_exclude",
    "serialization_exclude_if",
}
_NEUTRAL_CONFIG = {
    "title",
    "frozen",
    "extra_fields_behavior",
    "from_attributes",
    "hide_input_in_errors",
    "loc_by_alias",
    "populate_by_name",
    "serialize_by_alias",
    "validate_by_alias",
    "validate_by_name",
    "validation_error_cause",
}
"""What a schema may say without any effect on a row that is valid."""


def _says_only(schema: Schema, *known: str) -> bool:
    return schema.keys() <= _NEUTRAL.union(known)


def _fields_of(model: type[BaseModel], schema: Schema) -> Mapping[str, Schema] | None:
    """The schemas of a model's fields, where nothing else is done when an instance is made."""
    if schema["type"] == "definitions":
        reference = schema["schema"].get("schema_ref")
        found = (each for each in schema["definitions"] if each.get("ref") == reference)
        schema = next(found, schema["schema"])
    if schema["type"] != "model" or not _says_only(schema, *_NEUTRAL_OF_MODEL):
        return None
    config = schema.get("config") or {}
    inner = schema["schema"]
    if (
        schema["cls"] is not model
        or schema.get("custom_init")
        or schema.get("root_model")
        or not config.keys() <= _NEUTRAL_CONFIG
        or inner["type"] != "model-fields"
        or not _says_only(inner, *_NEUTRAL_OF_FIELDS)
        or "allow" in (inner.get("extra_behavior"), config.get("extra_fields_behavior"))
    ):
        return None
    fields: Mapping[str, Schema] = inner["fields"]
    if not all(_says_only(field, *_NEUTRAL_OF_FIELD) for field in fields.values()):
        return None
    return fields


def _default(schema: Schema) -> Passing | None:
    """What a field holds that no column fills."""
    if schema["type"] != "default" or schema.get("validate_default"):
        return None
    factory: Any = schema.get("default_factory")
    if factory is None:
        value = schema.get("default", ...)
        if type(value) not in (type(None), bool, int, float, str):
            return None
        return Passing("", "known_{v}", known=value)
    factory = get_origin(factory) or factory  # list[int]() makes a list, and is slow
    if schema.get("default_factory_takes_data"):
        return None
    return Passing("", _EMPTY.get(factory, "known_{v}()"), known=factory)


_EMPTY: Mapping[Any, str] = {list: "[]", dict: "{{}}"}  # braces, as in a format


# --- its fields -----------------------------------------------------------------------------

_DEFAULTS = ("default_factory", "default_factory_takes_data", "copy_default", "validate_default")


def _passing(
    schema: Schema, column: ColumnSpec, definitions: Mapping[str, Schema]
) -> Passing | None:
    kind = schema["type"]
    if kind == "default":
        if not _says_only(schema, "schema", "default", *_DEFAULTS):
            return None
        return _passing(schema["schema"], column, definitions)
    if kind == "nullable":
        inner = _says_only(schema, "schema") and _passing(schema["schema"], column, definitions)
        return _or_none(inner) if inner else None
    if column.codec.name == "json":
        # decoding has validated it already, by the same type
        return Passing("", decode=column.codec.decode) if _stays(schema, definitions) else None
    if kind not in column.codec.name:  # "datetime" in "aware datetime"
        return None  # of a type that a user has registered
    if kind in ("literal", "enum"):
        return _choice(schema)
    if kind == "uuid" and _says_only(schema):
        validate = SchemaValidator({"type": "uuid"}).validate_python
        return Passing("", decode=validate)
    if kind in _CLASSES:
        return _of_class(_CLASSES[kind], schema)
    if kind == "bool" and _says_only(schema):
        return Passing("({v} == 0 or {v} == 1)", "({v} == 1)")
    decoded = _DECODED.get(kind)
    if decoded is None or not _says_only(schema, "microseconds_precision", "tz_constraint"):
        return None
    check = f"{{v}}.__class__ is {decoded.__name__}"
    if schema.get("tz_constraint") in ("aware", "naive"):
        is_naive = schema["tz_constraint"] == "naive"
        check += f" and {{v}}.tzinfo is {'' if is_naive else 'not '}None"
    elif "tz_constraint" in schema:
        return None
    if decoded is Decimal:
        check += " and {v}.is_finite()"
    return Passing(check, decode=column.codec.decode)


_CLASSES: Mapping[str, type] = {"str": str, "int": int, "float": float, "bytes": bytes}
"""What a driver gives as what it is."""
_DECODED: Mapping[str, type] = {
    "datetime": datetime,
    "date": date,
    "time": time,
    "timedelta": timedelta,
    "decimal": Decimal,
}
CLASSES: Mapping[str, type] = {kind.__name__: kind for kind in _DECODED.values()}
"""What checks refer to by name, beside what is built in."""

_LENGTHS = {"min_length": ">=", "max_length": "<="}
_LIMITS = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}


def _of_class(kind: type, schema: Schema) -> Passing | None:
    limits = _LIMITS if kind in (int, float) else _LENGTHS
    if not _says_only(schema, *limits):
        return None
    check = f"{{v}}.__class__ is {kind.__name__}"
    measured = "{v}" if limits is _LIMITS else "len({v})"
    for name, operator in limits.items():
        limit = schema.get(name)
        if limit is not None:
            if type(limit) is not int:
                return None
            check += f" and {measured} {operator} {limit}"
    return Passing(check)


def _choice(schema: Schema) -> Passing | None:
    """One of a few values, found by what is stored."""
    members: Any = schema.get("members" if schema["type"] == "enum" else "expected")
    if not _says_only(schema, "expected", "cls", "members", "sub_type", "missing"):
        return None
    known = {each.value if isinstance(each, Enum) else each: each for each in members}
    for kind in (str, int):
        if all(type(stored) is kind for stored in known):
            check = f"{{v}}.__class__ is {kind.__name__} and {{v}} in known_{{v}}"
            return Passing(check, "known_{v}[{v}]", known=known)
    return None


def _or_none(inner: Passing) -> Passing:
    return inner._replace(
        check=inner.check and f"({{v}} is None or {inner.check})",
        value="{v}" if inner.value == "{v}" else f"(None if {{v}} is None else {inner.value})",
    )


_SIMPLE = {"str", "int", "float", "bool", "none", "any", "literal", "enum", "uuid", "decimal"} | {
    "date",
    "datetime",
    "time",
    "timedelta",
}
_NESTED = {
    "list": ("items_schema",),
    "set": ("items_schema",),
    "frozenset": ("items_schema",),
    "dict": ("keys_schema", "values_schema"),
    "nullable": ("schema",),
    "tuple": ("items_schema", "variadic_item_index"),
}


def _stays(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    """Whether a value that is valid already is the same after it has been validated again."""
    if schema["type"] == "definition-ref" and _says_only(schema, "schema_ref"):
        schema = definitions.get(schema["schema_ref"], schema)
    kind = schema["type"]
    if kind == "model":  # an instance stays as it is
        return "revalidate_instances" not in {*schema, *(schema.get("config") or ())}
    if kind in _SIMPLE:
        return True
    if kind not in _NESTED or not _says_only(schema, *_NESTED[kind]):
        return False
    inside: list[Schema] = []
    for name in _NESTED[kind]:
        part = schema.get(name, ())
        if isinstance(part, Mapping):
            inside.append(part)
        elif isinstance(part, (list, tuple)):
            inside += part
    return all(_stays(each, definitions) for each in inside)
