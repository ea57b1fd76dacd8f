"""Typed persistence in which Pydantic models are the tables, on SQLite and PostgreSQL.

This is the door: it re-exports what users rely on and holds nothing else.
"""

from __future__ import annotations

from .codecs import KNOWN_TYPES, KnownType, KnownTypes
from .connection import Opener, Pool, Transaction, open_db, open_pool, open_sqlite_db, transaction
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
from .json_base import JsonBase
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
from .user import Scoped, User, UserContext, UserInfo, UserOwned

__version__ = "0.1.0"

__all__ = [
    "KNOWN_TYPES",
    "AccessViolation",
    "Aliased",
    "AllTenants",
    "AltKey",
    "AsyncConnection",
    "Check",
    "Col",
    "Column",
    "ColumnName",
    "Condition",
    "ConstraintViolation",
    "DatabaseBusy",
    "DatabaseError",
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
    "Pool",
    "PrimaryKey",
    "RenamedFrom",
    "RowError",
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
    "children",
    "col",
    "column",
    "count",
    "count_statements",
    "execute_sql",
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
    "select_columns",
    "sum_",
    "transaction",
]
