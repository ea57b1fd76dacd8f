"""What was done to a database, and when? The table that keeps each applied plan.

It is a model like anybody's, imported only by what migrates, since a model takes time to define.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime

from ..dialects import Dialect
from ..model import DbModel
from ..op import Op, as_op
from ..ops import insert_generated
from ..shape import TableShape, shape_of
from ..table import PrimaryKey, table_of
from . import HISTORY_TABLE


class AppliedMigration(DbModel["AppliedMigration"], table=HISTORY_TABLE):
    """A plan that was carried out.

    Example:
        >>> AppliedMigration.select(conn, order_by="migration_id")
    """

    migration_id: Annotated[int, PrimaryKey()] = -1
    applied_at: AwareDatetime
    checksum: str
    changes: list[str]
    steps: list[str]


def history_shape(dialect: Dialect) -> TableShape:
    return shape_of(table_of(AppliedMigration), (), dialect)


def record(dialect: Dialect, applied: AppliedMigration) -> Op[None]:
    """Keeps one applied plan."""
    yield from as_op(insert_generated(dialect, table_of(AppliedMigration), applied, None))
