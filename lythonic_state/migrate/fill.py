"""What do the rows that exist get in a new column? The field's default, as SQL, or an obstacle.

Python defaults are filled by the model and are no SQL defaults; this is the one place where a
database is told of one, for the rows that were there before the column.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ..dialects import Dialect
from ..errors import InvalidValue
from ..literals import literal
from ..table import ColumnSpec, Table


class Fill(NamedTuple):
    """The SQL of a value, None for NULL; or why there is none."""

    sql: str | None
    obstacle: str = ""


def fill_of(table: Table, column: ColumnSpec, dialect: Dialect) -> Fill:
    """What existing rows get in this column if it is added to their table.

    A `default_factory` counts where it gives the same value twice (`list`), for one value is
    written to all rows; one that gives each row another (`uuid4`) does not.
    """
    if column.primary_key:
        return Fill(None, "rows that exist have no value for a part of their key")
    if column is table.scope:
        return Fill(None, "nothing says to whom the rows that exist would belong")
    value, obstacle = _default(table, column)
    if obstacle:
        return Fill(None) if column.nullable else Fill(None, obstacle)
    if value is None:
        return Fill(None) if column.nullable else Fill(None, _NO_VALUE)
    try:
        return Fill(literal(dialect, column.codec, value))
    except InvalidValue as error:
        return Fill(None, f"its default cannot be stored: {error}")


_NO_VALUE = "rows that exist have no value for it; give the field a default, or allow None"


def _default(table: Table, column: ColumnSpec) -> tuple[Any, str]:
    info = table.model.model_fields[column.field]
    if info.is_required():
        return None, _NO_VALUE
    if info.default_factory is None:
        return info.default, ""
    if info.default_factory_takes_validated_data:
        return None, "its default_factory looks at other fields; give the field a plain default"
    factory: Any = info.default_factory
    first, second = factory(), factory()
    if first == second:
        return first, ""
    return None, (
        "its default_factory gives each row another value; add it as `| None = None` first, "
        "fill the rows, and then require it"
    )
