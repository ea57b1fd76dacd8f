"""What can go wrong, as one tree of exceptions, and how each is worded.

No other room's names may be imported here; every room may import from here.

    StateError
    ├── SchemaError           ValueError     a model or a schema that cannot be a table
    ├── FilterError           ValueError     an unknown column or operator, a wrong operand
    ├── SqlError              ValueError     hand-written SQL that does not fit the schema
    ├── InvalidValue          ValueError     a value that its column cannot hold exactly
    ├── RowError              ValueError     a stored row that no longer validates
    ├── AccessViolation       ValueError     a reach across tenants, or a scoped verb without one
    ├── NotFound              LookupError    `get` found no row
    ├── MultipleFound         LookupError    `get` found several rows
    ├── TransactionError      RuntimeError   a transaction used against its rules
    ├── MigrationError        RuntimeError   a migration that cannot be carried out
    └── DatabaseError                        the database refused; also the driver's own class
        ├── ConstraintViolation
        └── DatabaseBusy
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any, Literal, cast

from typing_extensions import TypeVar

__all__ = [
    "AccessViolation",
    "ConstraintKind",
    "ConstraintViolation",
    "DatabaseBusy",
    "DatabaseError",
    "FilterError",
    "InvalidValue",
    "MigrationError",
    "MultipleFound",
    "NotFound",
    "RowError",
    "SchemaError",
    "SqlError",
    "StateError",
    "TransactionError",
    "UncommittedWarning",
]

ConstraintKind = Literal["unique", "foreign key", "check", "not null"]


class StateError(Exception):
    """The root of every error that this package raises on purpose."""


class SchemaError(StateError, ValueError):
    """A model or a schema that cannot be turned into tables, with the mend."""


class FilterError(StateError, ValueError):
    """A filter that names no column, knows no operator or compares with a wrong value."""


class SqlError(StateError, ValueError):
    """Hand-written SQL that does not fit the schema."""


class InvalidValue(StateError, ValueError):
    """A value that its column cannot hold, found before any statement ran."""


class AccessViolation(StateError, ValueError):
    """A scoped verb without a context, or a reach into another tenant's rows."""


class NotFound(StateError, LookupError):
    """`get` found no row."""


class MultipleFound(StateError, LookupError):
    """`get` found more than one row."""


class TransactionError(StateError, RuntimeError):
    """A transaction used against its rules: from another task, or committed inside its block."""


class MigrationError(StateError, RuntimeError):
    """A migration that cannot be carried out."""


class RowError(StateError, ValueError):
    """A stored row that its model does not accept any more.

    `table`, `key` (the primary key as stored), `column` and `value` say where;
    pydantic's error is the cause.
    """

    def __init__(
        self, message: str, *, table: str, key: Any, column: str | None, value: Any
    ) -> None:
        super().__init__(message)
        self.table = table
        self.key = key
        self.column = column
        self.value = value

    def __reduce__(self) -> Any:
        where = {"table": self.table, "key": self.key, "column": self.column, "value": self.value}
        return partial(RowError, **where), self.args


class DatabaseError(StateError):
    """The database refused a statement; also an instance of the driver's own error class."""


class ConstraintViolation(DatabaseError):
    """A constraint refused a write; nothing of the statement was kept.

    `kind` is "unique", "foreign key", "check" or "not null"; `table` is the table's name and
    `columns` the names of its columns, as far as the database tells them.
    """

    table: str | None = None
    columns: tuple[str, ...] = ()
    kind: ConstraintKind = "unique"


class DatabaseBusy(DatabaseError):
    """Another connection holds the lock that the statement needs."""


class UncommittedWarning(RuntimeWarning):
    """A connection was left normally with writes that nobody committed; they were undone."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint ` (did you mean 'x'?)` for a misspelt name, or the list of what there is."""
    from difflib import get_close_matches

    names: Sequence[str] = sorted(set(known))
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", …" if len(names) > 12 else "")
    return f"; there are: {shown}"


TOO_LARGE = (
    "the result is beyond 64 bits, or no whole number; compute it in Python, or in a float column"
)
"""What to do about arithmetic and sums whose result an int column cannot hold."""

E = TypeVar("E", bound=StateError)


def as_driver_error(kind: type[E], message: str, cause: Exception) -> E:
    """An error of `kind` that `except <the driver's class>` catches as well."""
    error = _mixed(kind, type(cause))(message)
    for name, value in vars(cause).items():
        setattr(error, name, value)
    return cast(E, error)


def _unpickled(kind: type[StateError], driver_class: type[Exception], args: Any) -> Any:
    return _mixed(kind, driver_class)(*args)


_MIXED: dict[tuple[type[StateError], type[Exception]], type[StateError]] = {}


def _mixed(kind: type[StateError], driver_class: type[Exception]) -> type[StateError]:
    found = _MIXED.get((kind, driver_class))
    if found is None:

        def reduce(self: Exception) -> Any:
            """A class made while running is found again by what it was made of."""
            state = driver_class.__reduce__(self)[2:]
            return (_unpickled, (kind, driver_class, self.args), *state)

        found = type(
            kind.__name__,
            (kind, driver_class),
            {"__module__": kind.__module__, "__doc__": kind.__doc__, "__reduce__": reduce},
        )
        _MIXED[kind, driver_class] = found
    return found
