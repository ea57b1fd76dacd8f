"""How are statements written once and carried out many times, several of them as one verb?

`PreparedInsert`, `PreparedUpdate`, `PreparedDelete` and `PreparedSelect` hold the SQL of one table
and bind values to it; `perform` carries out what a function yields of them. Models are not made to
write rows here: that is what the verbs of `DbModel` are for.
"""

from __future__ import annotations

import sqlite3
from abc import abstractmethod
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeAlias, overload

from pydantic import BaseModel
from typing_extensions import TypeVar

from . import statements
from .dialects import SQLITE, Dialect
from .drivers import sqlite as sqlite_driver
from .errors import FilterError, InvalidValue, SchemaError, nearest
from .op import Op, Single, Statement, Step
from .ops import OnConflict
from .rows import Group, columns_reader, encode_value, exact_binder, reader
from .run import (
    BLOCKS,
    AsyncConnection,
    Execute,
    SyncConnection,
    carried_out,
    run,
    run_on,
    whole_on_sqlite,
)
from .table import ColumnSpec, Table, table_of

T = TypeVar("T")
M = TypeVar("M", bound=BaseModel)

Call: TypeAlias = "tuple[Performable, Any]"
"""A prepared statement, or a verb, with its values, as `perform` takes it."""
Work: TypeAlias = Generator[Call, Any, T]
"""What `perform` carries out: yields calls, is sent what each gives, returns a value."""


@overload
def perform(conn: SyncConnection, work: Callable[[], Work[T]], /, *, commit: bool = False) -> T: ...
@overload
def perform(conn: SyncConnection, work: Call, /, *, commit: bool = False) -> Any: ...
@overload
def perform(
    conn: AsyncConnection, work: Callable[[], Work[T]], /, *, commit: bool = False
) -> Coroutine[Any, Any, T]: ...
@overload
def perform(
    conn: AsyncConnection, work: Call, /, *, commit: bool = False
) -> Coroutine[Any, Any, Any]: ...
def perform(conn: Any, work: Callable[[], Work[Any]] | Call, /, *, commit: bool = False) -> Any:
    """Carries out a call of a prepared statement, or those that a generator yields, as one verb.

    They take effect together, or not at all, and an async connection needs one hop for all of
    them. As with every writing verb, committing is yours, unless `commit=True` makes it a whole
    transaction.

    Example:
        >>> add = PreparedInsert(Entry, "account_id", "cents")
        >>> count = PreparedUpdate(Account, ["cents"], ["account_id"])
        >>> def deposit():
        ...     entry_id = yield add(account_id=1, cents=500)
        ...     yield count({"cents": 500}, account_id=1)
        ...     return entry_id
        >>> perform(conn, deposit)

    Raises:
        TransactionError: `commit=True`, and the connection has a transaction open.
        ConstraintViolation: the database refused a row.
        InvalidValue: a value that its column cannot hold, one that is missing, or one too many.
    """
    if commit and conn.__class__ is sqlite3.Connection and not isinstance(work, tuple):
        return whole_on_sqlite(conn, _carried_out, work)
    return run(conn, "whole" if commit else "sequence", _performed, work)


def _carried_out(execute: Execute, conn: Any, work: Callable[[], Work[T]]) -> T:
    """`_performed` where nothing has to wait: who records all day comes this way."""
    calls = work()
    is_watched = sqlite_driver.is_watched()
    try:
        prepared, values = calls.send(None)
        while True:
            try:
                direct = None if is_watched else prepared.direct
                if direct is not None:
                    result = direct(conn, values)
                else:
                    step = prepared.step(SQLITE, values)
                    if isinstance(step, tuple):
                        result = execute(conn, step[0], step[1])
                    else:
                        result = carried_out(execute, conn, step)
            except BaseException as error:  # noqa: BLE001  # thrown into the work
                prepared, values = calls.throw(error)
            else:
                prepared, values = calls.send(result)
    except StopIteration as done:
        value: T = done.value
        return value


def _performed(dialect: Dialect, work: Callable[[], Work[T]] | Call) -> Op[T]:
    if isinstance(work, tuple):
        prepared, values = work
        step = prepared.step(dialect, values)
        only: T = (yield step) if isinstance(step, tuple) else (yield from step)
        return only
    calls = work()
    try:
        prepared, values = calls.send(None)
        while True:
            try:
                step = prepared.step(dialect, values)
                result = (yield step) if isinstance(step, tuple) else (yield from step)
            except BaseException as error:  # noqa: BLE001  # thrown into the work
                prepared, values = calls.throw(error)
            else:
                prepared, values = calls.send(result)
    except StopIteration as done:
        value: T = done.value
        return value


class Performable:
    """What `perform` carries out when it is given values."""

    direct: sqlite_driver.Direct | None = None
    """What does the same on SQLite, where nobody watches."""

    @abstractmethod
    def step(self, dialect: Dialect, values: Any) -> Step | Op[Any]:
        """The statement with these values bound; or a verb of several statements."""


class _Written:
    """A statement on one table, written when it is first carried out on each kind of database."""

    def __init__(self, model: type[BaseModel]) -> None:
        self._model = model
        self._written: dict[str, Any] = {}

    @abstractmethod
    def _write(self, table: Table, dialect: Dialect) -> Any: ...

    def _made(self, dialect: Dialect) -> Any:
        found = self._written.get(dialect.name)
        if found is None:
            table = table_of(self._model)
            if table.scope is not None:
                raise SchemaError(
                    f"{table.model.__name__} is scoped, and a prepared statement has no context; "
                    "use the verbs of the model"
                )
            found = self._written[dialect.name] = self._write(table, dialect)
        return found


class Prepared(Performable, _Written):
    """A written statement that `perform` carries out."""

    @abstractmethod
    def step(self, dialect: Dialect, values: Any) -> Step:
        """The statement with these values bound."""

    def _made(self, dialect: Dialect) -> Any:
        found = super()._made(dialect)
        if dialect is SQLITE:
            self.direct = self._direct(found)
        return found

    def _direct(self, written: Any) -> sqlite_driver.Direct | None:
        """The way of what was written that `perform` takes on SQLite, if there is one."""
        return None


class PreparedInsert(Prepared):
    """INSERT of rows with these fields; the others have their defaults.

    What is given is bound as its column's type; the model's own validators do not see it. Fields in
    `always` have the same value in every row. The result is the key if the database generates it
    (None for a row that `on_conflict="ignore"` left out), else the number of rows written.

    Example:
        >>> add = PreparedInsert(Entry, "account_id", "cents")
        >>> entry_id = perform(conn, add(account_id=1, cents=500))

    Raises:
        SchemaError: when it is first used: the model is scoped, or a field without a default is
            not among those given.
    """

    def __init__(
        self,
        model: type[BaseModel],
        *fields: str,
        always: Mapping[str, Any] | None = None,
        on_conflict: OnConflict = "raise",
    ) -> None:
        super().__init__(model)
        if on_conflict not in ("raise", "ignore"):
            raise FilterError(f"on_conflict is 'raise' or 'ignore', not {on_conflict!r}")
        self._fields = fields
        self._always = always or {}
        self._ignore = on_conflict == "ignore"

    def __call__(self, **values: Any) -> Call:
        """One row."""
        return self, values

    def many(self, rows: Iterable[Mapping[str, Any]]) -> Call:
        """Several rows by one call; the result is how many were written."""
        return _Rows(self), rows

    def step(self, dialect: Dialect, values: Any) -> Step:
        one, _, bind = self._written.get(dialect.name) or self._made(dialect)
        return one, bind(values)

    def steps(self, dialect: Dialect, rows: Iterable[Mapping[str, Any]]) -> Step:
        """One statement for all rows."""
        _, many, bind = self._written.get(dialect.name) or self._made(dialect)
        return many, map(bind, rows)

    def _direct(self, written: Any) -> sqlite_driver.Direct:
        one, _, bind = written
        return sqlite_driver.direct(one, bind)

    def _write(self, table: Table, dialect: Dialect) -> Any:
        given, same = _apart(table, self._fields, self._always, "PreparedInsert")
        if table.generated in (*given, *same):
            raise SchemaError(
                f"PreparedInsert: the key of {table.model.__name__} is generated by the database; "
                "leave it out"
            )
        same |= _defaults(table, (*given, *same))
        columns = (*given, *same)
        text = statements.insert_text(table, dialect, columns)
        if self._ignore:
            text += " ON CONFLICT DO NOTHING"
        many = Statement(text, "many")
        one = Statement(text, "count")
        if table.generated is not None:
            if dialect.name != "sqlite":
                text += f" RETURNING {dialect.column(table.generated)}"
            one = Statement(text, "key")
        return one, many, _binder(table, dialect, Group(given, _encoded(table, dialect, same)))


class _Rows(Performable):
    """Several rows of a `PreparedInsert` by one call."""

    def __init__(self, insert: PreparedInsert) -> None:
        self._insert = insert

    def step(self, dialect: Dialect, values: Any) -> Step:
        return self._insert.steps(dialect, values)


class PreparedUpdate(Prepared):
    """UPDATE of some fields where others are equal to what is given; the result is a count.

    Fields in `always` are set to the same value every time, and `only` rows where these fields are
    equal to these values are looked at.

    Example:
        >>> close = PreparedUpdate(
        ...     Order, ["closed_at"], ["order_id"], always={"status": "closed"},
        ...     only={"status": "open"},
        ... )
        >>> def closing():
        ...     return (yield close({"closed_at": now}, order_id=7))
        >>> closed = perform(conn, closing)

    Raises:
        SchemaError: when it is first used: the model is scoped.
        FilterError: when it is first used: there is no such field, or the condition is on JSON.
    """

    def __init__(
        self,
        model: type[BaseModel],
        values: Sequence[str],
        where: Sequence[str],
        *,
        always: Mapping[str, Any] | None = None,
        only: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(model)
        self._values = values
        self._where = where
        self._always = always or {}
        self._only = only or {}

    def __call__(self, values: dict[str, Any], /, **where: Any) -> Call:
        return self, (values, where)

    def step(self, dialect: Dialect, values: tuple[dict[str, Any], dict[str, Any]]) -> Step:
        statement, bind = self._written.get(dialect.name) or self._made(dialect)
        return statement, bind(values[0], values[1])

    def _direct(self, written: Any) -> sqlite_driver.Direct:
        return sqlite_driver.direct_of_two(*written)

    def _write(self, table: Table, dialect: Dialect) -> Any:
        given, same = _apart(table, self._values, self._always, "PreparedUpdate")
        columns = (*given, *same)
        for column in columns:
            if column.primary_key:
                raise FilterError(
                    f"{table.model.__name__}.{column.field} is a key, never rewritten"
                )
        where, only = _apart(table, self._where, self._only, "PreparedUpdate")
        if None in only.values():
            raise _equals_nothing(table)
        sets = ", ".join(f"{dialect.column(c)} = {dialect.bind(c.codec)}" for c in columns)
        condition = _condition(table, dialect, (*where, *only), "PreparedUpdate")
        return (
            Statement(f"UPDATE {dialect.quote(table.name)} SET {sets}{condition}", "count"),
            _binder(
                table,
                dialect,
                Group(given, _encoded(table, dialect, same)),
                Group(where, _encoded(table, dialect, only), compared=True),
            ),
        )


class _Equal(Prepared):
    """A statement on the rows whose fields are equal to what is given."""

    def __init__(self, model: type[BaseModel], *where: str) -> None:
        super().__init__(model)
        self._where = where

    def __call__(self, **where: Any) -> Call:
        return self, where

    def step(self, dialect: Dialect, values: dict[str, Any]) -> Step:
        statement, bind = self._written.get(dialect.name) or self._made(dialect)
        return statement, bind(values)


class PreparedDelete(_Equal):
    """DELETE of rows where some fields are equal to what is given; the result is a count.

    Example:
        >>> forget = PreparedDelete(Entry, "account_id")
        >>> deleted = perform(conn, forget(account_id=1))

    Raises:
        SchemaError: when it is first used: the model is scoped.
        FilterError: when it is first used: there is no such field, or the condition is on JSON.
    """

    def _write(self, table: Table, dialect: Dialect) -> Any:
        columns = columns_named(table, self._where, "PreparedDelete")
        where = _condition(table, dialect, columns, "PreparedDelete")
        text = f"DELETE FROM {dialect.quote(table.name)}{where}"
        return Statement(text, "count"), _binder(table, dialect, Group(columns, compared=True))

    def _direct(self, written: Any) -> sqlite_driver.Direct:
        return sqlite_driver.direct(*written)


class PreparedSelect(_Equal, Generic[M]):
    """SELECT of the models whose fields are equal to what is given; the result is a list.

    Example:
        >>> entries = PreparedSelect(Entry, "account_id")
        >>> found = perform(conn, entries(account_id=1))

    Raises:
        SchemaError: when it is first used: the model is scoped.
        FilterError: when it is first used: there is no such field, or the condition is on JSON.
    """

    def __init__(self, model: type[M], *where: str) -> None:
        super().__init__(model, *where)

    def _write(self, table: Table, dialect: Dialect) -> Any:
        columns = columns_named(table, self._where, "PreparedSelect")
        where = _condition(table, dialect, columns, "PreparedSelect")
        text = statements.select_text(table, dialect) + where
        bind = _binder(table, dialect, Group(columns, compared=True))
        return Statement(text, "all", reader(table)), bind


class PreparedRow(_Written):
    """SELECT of some columns of the row whose fields are equal to what is given.

    It is called with a connection, as a reading verb is: nothing is begun. The result is a tuple
    of the columns' values, or None; the model's own validators do not see them.

    Example:
        >>> balance = PreparedRow(Account, ["cents", "changed_at"], ["account_id"])
        >>> balance(conn, account_id=1)
        (500, datetime.datetime(2026, 1, 31, 12, 0, tzinfo=datetime.timezone.utc))

    Raises:
        SchemaError: when it is first used: the model is scoped.
        FilterError: when it is first used: there is no such field, or the condition is on JSON.
        RowError: a column holds what it cannot.
    """

    def __init__(
        self, model: type[BaseModel], columns: Sequence[str], where: Sequence[str]
    ) -> None:
        super().__init__(model)
        self._columns = columns
        self._where = where

    @cached_property
    def _table(self) -> Table:
        return table_of(self._model)

    @overload
    def __call__(self, conn: SyncConnection, /, **where: Any) -> tuple[Any, ...] | None: ...
    @overload
    def __call__(
        self, conn: AsyncConnection, /, **where: Any
    ) -> Coroutine[Any, Any, tuple[Any, ...] | None]: ...
    def __call__(self, conn: Any, /, **where: Any) -> Any:
        if conn.__class__ is sqlite3.Connection and not BLOCKS:  # as `run_on`, in fewer calls
            statement, bind, read = self._written.get("sqlite") or self._made(SQLITE)
            return read(sqlite_driver.execute(conn, statement, bind(where)))
        return run_on(conn, "read", self._single, self._table, where, None)

    def _single(self, dialect: Dialect, table: Table, where: dict[str, Any], _: None) -> Single:
        statement, bind, read = self._written.get(dialect.name) or self._made(dialect)
        return statement, bind(where), read

    def _write(self, table: Table, dialect: Dialect) -> Any:
        columns = columns_named(table, self._columns, "PreparedRow")
        known_by = columns_named(table, self._where, "PreparedRow")
        where = _condition(table, dialect, known_by, "PreparedRow")
        return (
            Statement(statements.select_text(table, dialect, columns) + where, "one"),
            _binder(table, dialect, Group(known_by, compared=True)),
            columns_reader(table, columns),
        )


# --- how they are written -------------------------------------------------------------------


def columns_named(table: Table, fields: Sequence[str], what: str) -> tuple[ColumnSpec, ...]:
    for name in fields:
        if name not in table.by_field:
            raise FilterError(
                f"{what}: {table.model.__name__} has no field {name!r}"
                f"{nearest(name, table.by_field)}"
            )
    if not fields:
        raise FilterError(f"{what}: name the fields of {table.model.__name__}, at least one")
    return tuple(table.by_field[name] for name in dict.fromkeys(fields))


def _defaults(table: Table, given: Sequence[ColumnSpec]) -> dict[ColumnSpec, Any]:
    """What the columns hold that are not given; one that is NULL need not be written."""
    found: dict[ColumnSpec, Any] = {}
    for column in table.columns:
        if column in given or column is table.generated:
            continue
        field = table.model.model_fields[column.field]
        if field.is_required() or field.default_factory is not None:
            raise SchemaError(
                f"PreparedInsert: {table.model.__name__}.{column.field} has no constant default; "
                "name it among the fields"
            )
        if field.default is not None:
            found[column] = field.default
    return found


def _apart(
    table: Table, fields: Sequence[str], constants: Mapping[str, Any], what: str
) -> tuple[tuple[ColumnSpec, ...], dict[ColumnSpec, Any]]:
    """The columns that are given a value each time, and those that have the same every time."""
    columns = columns_named(table, (*fields, *constants), what)
    for name in constants:
        if name in fields:
            raise FilterError(
                f"{what}: {table.model.__name__}.{name} has the same value every time; it cannot "
                "be given as well"
            )
    given = columns[: len(columns) - len(constants)]
    return given, {column: constants[column.field] for column in columns[len(given) :]}


def _equals_nothing(table: Table) -> InvalidValue:
    return InvalidValue(f"a condition on {table.model.__name__} is None, which equals nothing")


def _encoded(
    table: Table, dialect: Dialect, constants: Mapping[ColumnSpec, Any]
) -> tuple[Any, ...]:
    return tuple(encode_value(table, dialect, column, value) for column, value in constants.items())


def _condition(table: Table, dialect: Dialect, columns: Sequence[ColumnSpec], what: str) -> str:
    for column in columns:
        if column.codec.name == "json":
            raise FilterError(
                f"{what}: {table.model.__name__}.{column.field} is JSON, which is not compared "
                "with a bound value; use a verb of the model with a path into it"
            )
    return " WHERE " + statements.equals(dialect, columns)


def _binder(table: Table, dialect: Dialect, *groups: Group) -> Callable[..., tuple[Any, ...]]:
    """What binds values of exactly these columns."""

    def wrong(*given: dict[str, Any]) -> InvalidValue:
        for group, values in zip(groups, given, strict=True):
            known = [column.field for column in group.columns]
            for name in values:
                if name not in known:
                    return InvalidValue(
                        f"{table.model.__name__}.{name} was not prepared for{nearest(name, known)}"
                    )
        return _equals_nothing(table)

    return exact_binder(table, dialect, groups, wrong)
