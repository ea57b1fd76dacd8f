"""How is a value written as SQL text, where nothing can be bound? In CHECKs and defaults.

Values only, no statements: everything that a verb sends is bound instead.
"""

from __future__ import annotations

import math
from datetime import date, datetime, time, timedelta
from typing import Any

from .codecs import Codec
from .dialects import Dialect


def literal(dialect: Dialect, codec: Codec, value: Any) -> str:
    """The stored form of a Python value as SQL text.

    Example:
        >>> literal(SQLITE, TEXT, "it's")
        "'it''s'"

    Raises:
        InvalidValue: the column cannot hold the value.
    """
    if value is None:
        return "NULL"
    stored = dialect.encoder(codec)(value)
    if dialect.name == "sqlite":
        return _sqlite(stored)
    return _postgres(stored, codec.postgres_type.removesuffix(' COLLATE "C"'))


def quoted(dialect: Dialect, text: str) -> str:
    """A text in quotes, which means the same whatever PostgreSQL's settings make of backslashes."""
    doubled = text.replace("'", "''")
    if dialect.name == "postgres" and "\\" in text:
        return "E'" + doubled.replace("\\", "\\\\") + "'"
    return f"'{doubled}'"


def _sqlite(stored: Any) -> str:
    if isinstance(stored, bool):
        return str(int(stored))
    if isinstance(stored, float) and math.isinf(stored):
        return "9e999" if stored > 0 else "-9e999"
    if isinstance(stored, (int, float)):
        return repr(stored)
    if isinstance(stored, bytes):
        return f"X'{stored.hex()}'"
    return "'" + str(stored).replace("'", "''") + "'"


def _postgres(stored: Any, type_: str) -> str:
    from .dialects import POSTGRES

    if isinstance(stored, bool):
        return "TRUE" if stored else "FALSE"
    if isinstance(stored, int) and type_ == "BIGINT":
        return str(stored)
    if isinstance(stored, str) and type_ == "TEXT":
        return quoted(POSTGRES, stored)
    return f"{quoted(POSTGRES, _postgres_text(stored))}::{type_}"


def _postgres_text(stored: Any) -> str:
    if isinstance(stored, bytes):
        return "\\x" + stored.hex()
    if isinstance(stored, (datetime, date, time)):
        return stored.isoformat()
    if isinstance(stored, timedelta):
        return f"{stored.days} days {stored.seconds} seconds {stored.microseconds} microseconds"
    return str(stored)
