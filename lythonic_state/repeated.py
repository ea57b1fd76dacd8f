"""How is an UPDATE carried out whose shape was seen before? By one function, made for the shape.

SQLite needs two or three microseconds for a row by its key, and each call of a Python function on
the way there is a part of that which can be seen. So on a sync SQLite connection with a transaction
open, `update_where` of the same names and classes as the one before takes this way; whatever is
different about a call, from its names to who watches, takes that of every verb.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from functools import partial
from logging import DEBUG, getLogger
from typing import Any, TypeAlias

from pydantic import BaseModel

from .dialects import SQLITE
from .drivers import observe
from .drivers import sqlite as sqlite_driver
from .ops import Change, KnownUpdate, update_where
from .rows import values_writer
from .run import BLOCKS, check_block, run_on
from .scope import UserCtx
from .table import Table

Repeat: TypeAlias = Callable[[Any, Any, Any], "int | None"]
"""Carries an UPDATE out on a connection, with what to set and the filters; None if it cannot."""

REPEATS: dict[type, Repeat] = {}
"""For each model its last UPDATE. To look a model up here takes a third of what it takes to ask it
for its table, since pydantic's metaclass has a `__getattr__`."""
MOST = 100
"""So few, that hardly a model lives on for being remembered here."""

_READY = (
    "conn.__class__ is Connection and conn.in_transaction"
    " and not (observe.watched or (log.level or root.level) <= DEBUG)"  # as `is_watched`
    " and (not BLOCKS or check_block(conn) is None)"
)


def update(
    conn: Any, model: type[BaseModel], table: Table, asked: Change, user_ctx: UserCtx
) -> Any:
    """`update_where` on any connection; what it finds to be repeated is ready for the next call."""
    if conn.__class__ is sqlite3.Connection:
        last: KnownUpdate | None = table.updates.get(SQLITE)
        if last is not None:
            if len(REPEATS) >= MOST:
                REPEATS.clear()
            REPEATS[model] = _repeat_of(table, last)
    return run_on(conn, "write", update_where, table, asked, user_ctx)


def _repeat_of(table: Table, known: KnownUpdate) -> Repeat:
    key = ("repeat", known.statement.sql)
    found: tuple[KnownUpdate, Repeat] | None = table.cache.get(key)
    if found is None or found[0] is not known:
        scope = {
            "sql": known.statement.sql,
            "failed": partial(_failed, known),
            "Connection": sqlite3.Connection,
            "observe": observe,
            "log": observe.logger,
            "root": getLogger(),
            "DEBUG": DEBUG,
            "BLOCKS": BLOCKS,
            "check_block": check_block,
        }
        found = table.cache[key] = known, values_writer(known.groups, _READY, scope)
    return found[1]


def _failed(known: KnownUpdate, conn: sqlite3.Connection, error: Exception, bound: Any) -> Any:
    return sqlite_driver.again(conn, error, known.statement, bound)
