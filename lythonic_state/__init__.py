"""Typed persistence in which Pydantic models are the tables, on SQLite and PostgreSQL.

This is the door: it re-exports what users rely on and holds nothing else. Rooms that a program
may do without, such as those that open connections, are imported when a name of theirs is used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .codecs import KNOWN_TYPES, KnownType, KnownTypes
from .drivers.observe import (
    StatementCount,
    StatementEvent,
    Subscription,
    count_statements,
    on_statement,
)
from .errors import (
    AccessViolation,
    ConstraintViolation,
    DatabaseBusy,
    DatabaseError,
    FilterError,
    InvalidValue,
    MigrationError,
    MultipleFound,
    NotFound,
    RowError,
    SchemaError,
    SqlError,
    StateError,
    TransactionError,
    UncommittedWarning,
)
from .filters import (
    Aliased,
    Column,
    Condition,
    Expression,
    Order,
    and_,
    avg,
    col,
    count,
    max_,
    min_,
    not_,
    or_,
    sum_,
)
from .model import Col, DbModel, column
from .paging import Page
from .query import Left, children, execute_sql, join, left, parents, select_columns
from .rows import from_multi_model_row
from .run import AsyncConnection, SyncConnection
from .scope import AllTenants, ScopeContext, UserCtx
from .table import (
    AltKey,
    Check,
    ColumnName,
    ForeignKey,
    Index,
    PrimaryKey,
    RenamedFrom,
    Transient,
    Unique,
)

if TYPE_CHECKING:
    from .connection import (
        Opener,
        Pool,
        Transaction,
        checkpoint,
        free_space,
        open_db,
        open_pool,
        open_sqlite_db,
        transaction,
    )
    from .json_base import JsonBase
    from .migrate.changes import Change
    from .migrate.plan import Plan
    from .prepared import (
        PreparedDelete,
        PreparedInsert,
        PreparedSelect,
        PreparedUpdate,
        perform,
    )
    from .schema import DbFile, Schema
    from .user import Scoped, User, UserContext, UserInfo, UserOwned

__version__ = "0.1.0"

__all__ = [
    "KNOWN_TYPES",
    "AccessViolation",
    "Aliased",
    "AllTenants",
    "AltKey",
    "AsyncConnection",
    "Change",
    "Check",
    "Col",
    "Column",
    "ColumnName",
    "Condition",
    "ConstraintViolation",
    "DatabaseBusy",
    "DatabaseError",
    "DbFile",
    "DbModel",
    "Expression",
    "FilterError",
    "ForeignKey",
    "Index",
    "InvalidValue",
    "JsonBase",
    "KnownType",
    "KnownTypes",
    "Left",
    "MigrationError",
    "MultipleFound",
    "NotFound",
    "Opener",
    "Order",
    "Page",
    "Plan",
    "Pool",
    "PreparedDelete",
    "PreparedInsert",
    "PreparedSelect",
    "PreparedUpdate",
    "PrimaryKey",
    "RenamedFrom",
    "RowError",
    "Schema",
    "SchemaError",
    "ScopeContext",
    "Scoped",
    "SqlError",
    "StateError",
    "StatementCount",
    "StatementEvent",
    "Subscription",
    "SyncConnection",
    "Transaction",
    "TransactionError",
    "Transient",
    "UncommittedWarning",
    "Unique",
    "User",
    "UserContext",
    "UserCtx",
    "UserInfo",
    "UserOwned",
    "and_",
    "avg",
    "checkpoint",
    "children",
    "col",
    "column",
    "count",
    "count_statements",
    "execute_sql",
    "free_space",
    "from_multi_model_row",
    "join",
    "left",
    "max_",
    "min_",
    "not_",
    "on_statement",
    "open_db",
    "open_pool",
    "open_sqlite_db",
    "or_",
    "parents",
    "perform",
    "select_columns",
    "sum_",
    "transaction",
]

_LATER = {
    "Opener": "connection",
    "Pool": "connection",
    "Transaction": "connection",
    "checkpoint": "connection",
    "free_space": "connection",
    "open_db": "connection",
    "open_pool": "connection",
    "open_sqlite_db": "connection",
    "transaction": "connection",
    "JsonBase": "json_base",
    "Change": "migrate.changes",
    "Plan": "migrate.plan",
    "PreparedDelete": "prepared",
    "PreparedInsert": "prepared",
    "PreparedSelect": "prepared",
    "PreparedUpdate": "prepared",
    "perform": "prepared",
    "DbFile": "schema",
    "Schema": "schema",
    "Scoped": "user",
    "User": "user",
    "UserContext": "user",
    "UserInfo": "user",
    "UserOwned": "user",
}


def __getattr__(name: str) -> Any:
    room = _LATER.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f".{room}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
