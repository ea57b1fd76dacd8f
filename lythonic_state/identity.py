"""Which row is this? Of which table a model is, under which key, and how a key is kept as text.

For whoever keeps record of rows without holding them. Nothing is read or written here.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterable
from operator import attrgetter
from typing import Any

from pydantic import BaseModel

from .dialects import SQLITE
from .errors import InvalidValue
from .ops import is_undefined
from .rows import encode_value
from .table import ColumnSpec, Table, models_named, table_of


def table_name(model: type[BaseModel]) -> str:
    """The name of a model's table.

    Example:
        >>> table_name(Book)
        'Book'

    Raises:
        SchemaError: it has none.
    """
    return table_of(model).name


def models_of_table(name: str) -> list[type[Any]]:
    """The models that are known to have this table, the newest first; most often one or none."""
    found = [model for model in models_named(name) if table_of(model).name == name]
    return found[::-1]


def key_fields(model: type[BaseModel]) -> tuple[str, ...]:
    """The fields of a model's primary key; none if it has no key.

    Example:
        >>> key_fields(Book)
        ('book_id',)
    """
    return tuple(column.field for column in table_of(model).primary_key)


def has_integer_key(model: type[BaseModel]) -> bool:
    """Whether a model's key is one column of integers, so that its rows stand in ranges."""
    key = table_of(model).primary_key
    return len(key) == 1 and key[0].python_type is int


def is_scoped(model: type[BaseModel]) -> bool:
    """Whether a model's rows belong to tenants, so that its verbs want a context."""
    return table_of(model).scope is not None


def key_of(row: BaseModel) -> Any:
    """The primary key of a row: a value, or a tuple of them; None if it is not set.

    Example:
        >>> key_of(book)
        7
    """
    return keys_of(type(row), [row])[0]


def keys_of(model: type[BaseModel], rows: Iterable[BaseModel]) -> list[Any]:
    """The keys of rows of one model, in their order."""
    table = table_of(model)
    fields = [column.field for column in table.primary_key]
    if len(fields) == 1:
        (field,) = fields
        keys = list(map(attrgetter(field), rows))
        if table.generated is None:
            return keys
        return [None if is_undefined(key) else key for key in keys] if -1 in keys else keys
    keys = [tuple(vars(row)[field] for field in fields) or None for row in rows]
    return [None if key is None or None in key else key for key in keys]


def key_text(model: type[BaseModel], key: Any) -> str:
    """A key as JSON text: equal keys have the same, and `key_from_text` makes the key of it.

    Example:
        >>> key_text(Country, "CH")
        '"CH"'

    Raises:
        InvalidValue: it is no key of that model.
    """
    return key_texts(model, [key])[0]


def key_texts(model: type[BaseModel], keys: Iterable[Any]) -> list[str]:
    """The texts of keys of one model, in their order."""
    table = table_of(model)
    columns = table.need_key()
    if len(columns) == 1:
        (column,) = columns
        stored = [encode_value(table, SQLITE, column, key) for key in keys]
        return list(
            map(_TEXT, map(_plain, stored) if column.codec.sqlite_type == "BLOB" else stored)
        )
    return [_TEXT(_stored_parts(table, key)) for key in keys]


def _stored_parts(table: Table, key: Any) -> list[Any]:
    columns = table.primary_key
    if not isinstance(key, tuple) or len(parts := tuple(key)) != len(columns):
        raise InvalidValue(
            f"a key of {table.model.__name__} is a tuple of {len(columns)} values, not {key!r}"
        )
    pairs = zip(columns, parts, strict=True)
    return [_plain(encode_value(table, SQLITE, column, part)) for column, part in pairs]


_TEXT = json.JSONEncoder(separators=(",", ":")).encode


def key_from_text(model: type[BaseModel], text: str) -> Any:
    """The key that `key_text` made text of.

    Raises:
        InvalidValue: it is no text of a key of that model (any more).
    """
    columns = table_of(model).need_key()
    try:
        parts: Any = json.loads(text)
        if len(columns) == 1:
            parts = [parts]
        if not isinstance(parts, list) or len(parts) != len(columns):
            raise ValueError(f"a key has {len(columns)} parts")
        pairs: Iterable[tuple[ColumnSpec, Any]] = zip(columns, parts, strict=True)
        key: tuple[Any, ...] = tuple(_key_part(column, part) for column, part in pairs)
    except ValueError as error:
        raise InvalidValue(f"{text} is no key of {model.__name__}: {error}") from error
    return key if len(columns) > 1 else key[0]


def _key_part(column: ColumnSpec, part: Any) -> Any:
    if isinstance(part, dict):
        part = b64decode(part["bytes"])
    decoded = column.codec.decode(part)
    return column.python_type(decoded) if column.codec.name == "path" else decoded


def _plain(value: Any) -> Any:
    return {"bytes": b64encode(value).decode()} if isinstance(value, bytes) else value
