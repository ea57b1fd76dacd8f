"""How are many rows written as a part of `perform`, so that their keys are known at once?

`KeyedRows` are models that are about to be written, and make the calls that a function given to
`perform` yields; `RowForm` is what they are while they wait on a disk. Which statements it takes
stands in `ops.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pydantic import BaseModel

from . import ops
from .dialects import SQLITE, Dialect
from .identity import keys_of
from .op import Op, as_op
from .prepared import Call, Performable
from .rows import binder, keyed_binder, reader
from .scope import UserCtx
from .statements import Query
from .table import Table, table_of


class _Verb(Performable):
    """A verb as one of the calls of `perform`."""

    def __init__(self, verb: Callable[..., Op[Any]], *args: Any) -> None:
        self._verb = verb
        self._args = args

    def step(self, dialect: Dialect, values: Any) -> Op[Any]:
        return self._verb(dialect, *self._args)


class KeyedRows:
    """Models of one table that are written as a part of `perform` and know their keys at once.

    The same calls may be carried out again after they failed. Once it is sure that the transaction
    will not be committed, `undo` takes back what the models were given.

    Example:
        >>> rows = KeyedRows(Price, prices)
        >>> def work():
        ...     yield rows.insert()
        ...     yield log(first_key=prices[0].price_id)
        >>> perform(conn, work, commit=True)
    """

    def __init__(
        self, model: type[BaseModel], models: Sequence[BaseModel], user_ctx: UserCtx = None
    ) -> None:
        self.table = table_of(model)
        self.models = models
        self._user_ctx = user_ctx
        self._assigned = ops.AtOnce(self.table)

    def insert(self) -> Call:
        """Inserts them; what gives their number."""
        return _Verb(self._written, ops.insert_rows), None

    def upsert(self) -> Call:
        """Inserts or updates them: by the primary key where it is set, else the alternative one."""
        return _Verb(self._written, ops.upsert_rows), None

    def _written(self, dialect: Dialect, verb: Callable[..., Op[int]]) -> Op[int]:
        self.undo()
        return (yield from verb(dialect, self.table, self.models, self._user_ctx, self._assigned))

    def written_keys(self) -> Sequence[Any]:
        """Their primary keys, once they are written; of several columns as tuples."""
        new = self._assigned.keys
        if len(new) == len(self.models):
            return new
        return keys_of(self.table.model, self.models)

    def undo(self) -> None:
        """Takes back the keys and scopes that they were given."""
        self._assigned.undo()


def delete_all(model: type[BaseModel], user_ctx: UserCtx = None) -> Call:
    """Deletes all rows of a table, or of the tenant's; what gives their number."""
    return _Verb(_delete_all, table_of(model), user_ctx), None


def _delete_all(dialect: Dialect, table: Table, user_ctx: UserCtx) -> Op[int]:
    return as_op(ops.delete(dialect, table, (Query(), True), user_ctx))


class RowForm:
    """The models of a table as tuples of plain values, and back, exactly.

    Example:
        >>> form = RowForm(table_of(Price))
        >>> form.models([form.row(price)]) == [price]
        True

    Raises:
        InvalidValue: `row`: a value that its column cannot hold.
        RowError: `models`: a row that does not validate.
    """

    def __init__(self, table: Table) -> None:
        self._generated = table.generated
        self._keyed = keyed_binder(table, SQLITE)
        self._bind = binder(table, SQLITE, table.columns)
        self.models = reader(table)

    def row(self, model: BaseModel) -> tuple[Any, ...]:
        """A key that is still to be generated is -1."""
        values = vars(model)
        if self._generated is not None:
            key = values[self._generated.field]
            if ops.is_undefined(key):
                return tuple(self._keyed(values, -1))
        return tuple(self._bind(values))
