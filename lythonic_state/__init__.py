"""Typed persistence in which Pydantic models are the tables, on SQLite and PostgreSQL.

This is the door: it re-exports what users rely on and holds nothing else. A room is imported when a
name of it is first used, so that a program pays for what it does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .codecs import (
        KNOWN_TYPES,
        KnownType,
        KnownTypes,
    )
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
    from .json_base import (
        JsonBase,
    )
    from .migrate.changes import (
        Change,
    )
    from .migrate.plan import (
        Plan,
    )
    from .model import (
        Col,
        DbModel,
        column,
    )
    from .paging import (
        Page,
    )
    from .prepared import (
        PreparedDelete,
        PreparedInsert,
        PreparedSelect,
        PreparedUpdate,
        perform,
    )
    from .query import (
        Left,
        children,
        execute_sql,
        join,
        left,
        parents,
        select_columns,
    )
    from .rows import (
        from_multi_model_row,
    )
    from .run import (
        AsyncConnection,
        SyncConnection,
    )
    from .schema import (
        DbFile,
        Schema,
    )
    from .scope import (
        AllTenants,
        ScopeContext,
        UserCtx,
    )
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
    from .user import (
        Scoped,
        User,
        UserContext,
        UserInfo,
        UserOwned,
    )

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

_ROOM = {
    "KNOWN_TYPES": "codecs",
    "KnownType": "codecs",
    "KnownTypes": "codecs",
    "Opener": "connection",
    "Pool": "connection",
    "Transaction": "connection",
    "checkpoint": "connection",
    "free_space": "connection",
    "open_db": "connection",
    "open_pool": "connection",
    "open_sqlite_db": "connection",
    "transaction": "connection",
    "StatementCount": "drivers.observe",
    "StatementEvent": "drivers.observe",
    "Subscription": "drivers.observe",
    "count_statements": "drivers.observe",
    "on_statement": "drivers.observe",
    "AccessViolation": "errors",
    "ConstraintViolation": "errors",
    "DatabaseBusy": "errors",
    "DatabaseError": "errors",
    "FilterError": "errors",
    "InvalidValue": "errors",
    "MigrationError": "errors",
    "MultipleFound": "errors",
    "NotFound": "errors",
    "RowError": "errors",
    "SchemaError": "errors",
    "SqlError": "errors",
    "StateError": "errors",
    "TransactionError": "errors",
    "UncommittedWarning": "errors",
    "Aliased": "filters",
    "Column": "filters",
    "Condition": "filters",
    "Expression": "filters",
    "Order": "filters",
    "and_": "filters",
    "avg": "filters",
    "col": "filters",
    "count": "filters",
    "max_": "filters",
    "min_": "filters",
    "not_": "filters",
    "or_": "filters",
    "sum_": "filters",
    "JsonBase": "json_base",
    "Change": "migrate.changes",
    "Plan": "migrate.plan",
    "Col": "model",
    "DbModel": "model",
    "column": "model",
    "Page": "paging",
    "PreparedDelete": "prepared",
    "PreparedInsert": "prepared",
    "PreparedSelect": "prepared",
    "PreparedUpdate": "prepared",
    "perform": "prepared",
    "Left": "query",
    "children": "query",
    "execute_sql": "query",
    "join": "query",
    "left": "query",
    "parents": "query",
    "select_columns": "query",
    "from_multi_model_row": "rows",
    "AsyncConnection": "run",
    "SyncConnection": "run",
    "DbFile": "schema",
    "Schema": "schema",
    "AllTenants": "scope",
    "ScopeContext": "scope",
    "UserCtx": "scope",
    "AltKey": "table",
    "Check": "table",
    "ColumnName": "table",
    "ForeignKey": "table",
    "Index": "table",
    "PrimaryKey": "table",
    "RenamedFrom": "table",
    "Transient": "table",
    "Unique": "table",
    "Scoped": "user",
    "User": "user",
    "UserContext": "user",
    "UserInfo": "user",
    "UserOwned": "user",
}


def __getattr__(name: str) -> Any:
    room = _ROOM.get(name)
    if room is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    found = globals()[name] = getattr(import_module(f".{room}", __name__), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
