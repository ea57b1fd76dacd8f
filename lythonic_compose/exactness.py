"""Of which types do values surely come back from JSON? Decided from types, without trying.

A type's pydantic schema becomes a check of values: true only where each part of a value is of
exactly the class that reading its JSON makes again. False or None says nothing: then one tries.
A check takes many values at once, a column, so that most of its work is done by `map` and `set`.
"""

from __future__ import annotations

import dataclasses
import decimal
import enum
import pathlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from itertools import chain
from operator import attrgetter
from typing import Any, TypeAlias
from uuid import UUID

from lythonic_state.fields import frozen

Column: TypeAlias = Sequence[Any]
Schema: TypeAlias = Mapping[str, Any]


@frozen
class Surely:
    """Tells of a column of values whether all of them surely come back."""

    check: Callable[[Column], bool]
    classes: frozenset[type] | None = None
    """Where being of one of these classes is all there is to check."""

    def is_sure_of(self, value: Any) -> bool:
        if self.classes is not None:
            return type(value) in self.classes
        return self.check((value,))

    def __call__(self, value: Any) -> bool:
        try:
            return self.is_sure_of(value)
        except Exception:  # noqa: BLE001 - values that lie about their class, or contain themselves
            return False


def surely(schema: Schema) -> Surely | None:
    """The check for a pydantic schema; None where nothing is sure."""
    return _Reader().read(schema)


def is_plain_json(column: Column) -> bool:
    """Whether values are what reading JSON without a type makes."""
    level: Collection[Any] = column
    for _ in range(DEEPEST):
        kinds = set(map(type, level))
        if kinds <= PLAIN:
            return True
        if not kinds <= _PLAIN_OR_NESTED:
            return False
        dicts = [value for value in level if type(value) is dict]
        if not set(map(type, chain.from_iterable(dicts))) <= {str}:
            return False
        lists = [value for value in level if type(value) is list]
        values = chain.from_iterable([one.values() for one in dicts])
        level = [*values, *chain.from_iterable(lists)]
    return False


DEEPEST = 100
"""How many levels of lists and dicts are sure; pydantic reads no more than about 200."""

PLAIN: frozenset[type] = frozenset({int, str, float, bool, type(None)})
_PLAIN_OR_NESTED = PLAIN | {dict, list}

_BY_CLASS: Mapping[str, type] = {
    "int": int,
    "str": str,
    "float": float,
    "bool": bool,
    "none": type(None),
    "bytes": bytes,
    "date": date,
    "timedelta": timedelta,
    "uuid": UUID,
}

# what a schema may say without any effect on whether values come back
_NEUTRAL = {"type", "ref", "metadata", "microseconds_precision"}
_NEUTRAL_CONFIG = {
    "title",
    "frozen",
    "from_attributes",
    "hide_input_in_errors",
    "loc_by_alias",
    "populate_by_name",
    "revalidate_instances",
    "ser_json_bytes",
    "ser_json_inf_nan",
    "ser_json_temporal",
    "ser_json_timedelta",
    "serialize_by_alias",
    "val_json_bytes",
    "validate_by_alias",
    "validate_by_name",
    "validate_default",
    "validation_error_cause",
    "extra_fields_behavior",
    "cache_strings",
    "regex_engine",
}
_KEYS = {"str", "int", "date", "uuid", "any"}
_SCALARS = {"int", "str", "float", "bool", "none"}


def _of_classes(*classes: type) -> Surely:
    allowed = frozenset(classes)
    return Surely(lambda column: set(map(type, column)) <= allowed, allowed)


def _says_only(schema: Schema, *known: str) -> bool:
    return all(
        name in _NEUTRAL or name in known or value is False or value is None
        for name, value in schema.items()
    )


class _Reader:
    """Reads one schema with the definitions in it."""

    def __init__(self) -> None:
        self._defined: dict[str, Schema] = {}
        self._reading: list[str] = []

    def read(self, schema: Schema) -> Surely | None:
        kind = schema["type"]
        if kind in _BY_CLASS:
            return _of_classes(_BY_CLASS[kind]) if _says_only(schema) else None
        reader = getattr(self, "_" + kind.replace("-", "_"), None)
        return None if reader is None else reader(schema)

    def _any(self, schema: Schema) -> Surely | None:
        return Surely(is_plain_json) if _says_only(schema) else None

    def _default(self, schema: Schema) -> Surely | None:
        known = ("schema", "default", "default_factory", "default_factory_takes_data")
        return self.read(schema["schema"]) if _says_only(schema, *known) else None

    # definitions

    def _definitions(self, schema: Schema) -> Surely | None:
        if not _says_only(schema, "schema", "definitions"):
            return None
        self._defined = {definition["ref"]: definition for definition in schema["definitions"]}
        return self.read(schema["schema"])

    def _definition_ref(self, schema: Schema) -> Surely | None:
        ref = schema["schema_ref"]
        # values of a type that contains itself may be nested more deeply than JSON can be read
        if ref in self._reading or not _says_only(schema, "schema_ref"):
            return None
        self._reading.append(ref)
        try:
            return self.read(self._defined[ref])
        finally:
            self._reading.pop()

    # scalars that need more than their class

    def _datetime(self, schema: Schema) -> Surely | None:
        if not _says_only(schema):
            return None
        return Surely(
            lambda column: (
                set(map(type, column)) <= {datetime}
                and all(_is_exact_time(value) for value in column)
            )
        )

    def _time(self, schema: Schema) -> Surely | None:
        if not _says_only(schema):
            return None
        return Surely(
            lambda column: (
                set(map(type, column)) <= {time} and all(_is_exact_time(value) for value in column)
            )
        )

    def _decimal(self, schema: Schema) -> Surely | None:
        if not _says_only(schema, "allow_inf_nan"):
            return None
        kind = decimal.Decimal
        return Surely(
            lambda column: (
                set(map(type, column)) <= {kind} and all(value.is_finite() for value in column)
            )
        )

    def _enum(self, schema: Schema) -> Surely | None:
        cls = schema["cls"]
        if not _says_only(schema, "cls", "members", "sub_type") or issubclass(cls, enum.Flag):
            return None
        kinds = {type(member.value) for member in schema["members"]}
        return _of_classes(cls) if kinds in ({str}, {int}) else None

    def _literal(self, schema: Schema) -> Surely | None:
        expected = {(type(value), value) for value in schema["expected"]}
        if not _says_only(schema, "expected") or any(kind not in PLAIN for kind, _ in expected):
            return None
        return Surely(lambda column: set(zip(map(type, column), column, strict=True)) <= expected)

    def _lax_or_strict(self, schema: Schema) -> Surely | None:
        """pydantic's own schema of `Path`."""
        inner = schema["strict_schema"].get("python_schema", {})
        return _of_classes(type(pathlib.Path())) if inner.get("cls") is pathlib.Path else None

    # choices

    def _nullable(self, schema: Schema) -> Surely | None:
        inner = self.read(schema["schema"]) if _says_only(schema, "schema") else None
        if inner is None:
            return None
        if inner.classes is not None:
            return _of_classes(type(None), *inner.classes)
        return Surely(lambda column: inner.check([value for value in column if value is not None]))

    def _union(self, schema: Schema) -> Surely | None:
        """Sure where each member has a kind of JSON of its own."""
        if not _says_only(schema, "choices"):
            return None
        kinds: list[str] = []
        for choice in schema["choices"]:
            if not isinstance(choice, dict) or choice["type"] not in _SCALARS:
                return None
            if not _says_only(choice):
                return None
            kinds.append(choice["type"])
        return _of_classes(*(_BY_CLASS[kind] for kind in kinds))

    # containers

    def _items(self, schema: Schema, kind: type) -> Surely | None:
        if not _says_only(schema, "items_schema"):
            return None
        return _container(kind, self.read(schema.get("items_schema", {"type": "any"})))

    def _list(self, schema: Schema) -> Surely | None:
        return self._items(schema, list)

    def _set(self, schema: Schema) -> Surely | None:
        return self._items(schema, set)

    def _frozenset(self, schema: Schema) -> Surely | None:
        return self._items(schema, frozenset)

    def _tuple(self, schema: Schema) -> Surely | None:
        if not _says_only(schema, "items_schema", "variadic_item_index"):
            return None
        parts = [self.read(part) for part in schema["items_schema"]]
        if "variadic_item_index" in schema:
            return _container(tuple, parts[0]) if len(parts) == 1 else None
        sure = [part for part in parts if part is not None]
        if len(sure) < len(parts):
            return None

        def check(column: Column) -> bool:
            return (
                set(map(type, column)) <= {tuple}
                and set(map(len, column)) <= {len(sure)}
                and all(
                    part.check([value[index] for value in column])
                    for index, part in enumerate(sure)
                )
            )

        return Surely(check)

    def _dict(self, schema: Schema) -> Surely | None:
        if not _says_only(schema, "keys_schema", "values_schema"):
            return None
        keys = self._keys(schema.get("keys_schema", {"type": "any"}))
        values = self.read(schema.get("values_schema", {"type": "any"}))
        if keys is None or values is None:
            return None
        return Surely(
            lambda column: (
                set(map(type, column)) <= {dict}
                and keys.check(list(chain.from_iterable(column)))
                and values.check(list(chain.from_iterable(one.values() for one in column)))
            )
        )

    def _keys(self, schema: Schema) -> Surely | None:
        """Keys are text in JSON, whatever they were."""
        if schema["type"] == "any":
            return _of_classes(str) if _says_only(schema) else None
        if schema["type"] == "enum":
            texts = all(type(member.value) is str for member in schema["members"])
            return self.read(schema) if texts else None
        return self.read(schema) if schema["type"] in _KEYS else None

    # records

    def _fields(self, fields: Iterable[tuple[str, Schema]]) -> dict[str, Surely] | None:
        found: dict[str, Surely] = {}
        for name, field in fields:
            allowed = (
                "schema",
                "name",
                "validation_alias",
                "serialization_alias",
                "frozen",
                "required",
                "init",
                "kw_only",
            )
            check = self.read(field["schema"]) if _says_only(field, *allowed) else None
            if check is None:
                return None
            found[name] = check
        return found

    def _model(self, schema: Schema) -> Surely | None:
        inner = schema["schema"]
        if (
            not _says_only(schema, "cls", "config", "schema", "generic_origin", "frozen")
            or not _is_neutral(schema.get("config", {}))
            or inner["type"] != "model-fields"
            or not _says_only(inner, "fields", "model_name", "computed_fields")
        ):
            return None
        fields = self._fields(inner["fields"].items())
        cls = schema["cls"]
        if fields is None:
            return None

        def check(column: Column) -> bool:
            if not set(map(type, column)) <= {cls}:
                return False
            rows = [value.__dict__ for value in column]
            if len(rows) == 1:
                return all(part.is_sure_of(rows[0][name]) for name, part in fields.items())
            return all(part.check([row[name] for row in rows]) for name, part in fields.items())

        return Surely(check)

    def _dataclass(self, schema: Schema) -> Surely | None:
        inner = schema["schema"]
        if (
            not _says_only(
                schema, "cls", "config", "fields", "schema", "frozen", "slots", "generic_origin"
            )
            or not _is_neutral(schema.get("config", {}))
            or inner["type"] != "dataclass-args"
            or not _says_only(inner, "fields", "dataclass_name", "computed_fields")
        ):
            return None
        fields = self._fields((field["name"], field) for field in inner["fields"])
        cls = schema["cls"]
        if fields is None or set(fields) != {field.name for field in dataclasses.fields(cls)}:
            return None
        getters = {name: attrgetter(name) for name in fields}

        def check(column: Column) -> bool:
            return set(map(type, column)) <= {cls} and all(
                part.check(list(map(getters[name], column))) for name, part in fields.items()
            )

        return Surely(check)

    def _typed_dict(self, schema: Schema) -> Surely | None:
        known = (
            "cls",
            "cls_name",
            "fields",
            "total",
            "config",
            "extra_behavior",
            "computed_fields",
        )
        if not _says_only(schema, *known) or not _is_neutral(schema.get("config", {})):
            return None
        fields = self._fields(schema["fields"].items())
        if fields is None:
            return None
        required = {name for name, field in schema["fields"].items() if field.get("required")}

        def check(column: Column) -> bool:
            return (
                set(map(type, column)) <= {dict}
                and all(required <= row.keys() <= fields.keys() for row in column)
                and all(
                    part.check([row[name] for row in column if name in row])
                    for name, part in fields.items()
                )
            )

        return Surely(check)


def _container(kind: type, items: Surely | None) -> Surely | None:
    if items is None:
        return None
    return Surely(
        lambda column: (
            set(map(type, column)) <= {kind} and items.check(list(chain.from_iterable(column)))
        )
    )


def _is_neutral(config: Mapping[str, Any]) -> bool:
    return config.get("extra_fields_behavior") != "allow" and all(
        name in _NEUTRAL_CONFIG or value is False or value is None for name, value in config.items()
    )


def _is_exact_time(value: datetime | time) -> bool:
    """ISO text tells the offset of that moment, in minutes: no zone, and no second of two."""
    if value.fold:
        return False
    if value.tzinfo is None:
        return True
    offset = value.tzinfo.utcoffset(None)
    return offset is not None and not offset % timedelta(minutes=1)
