"""What is different between a live database and the models? Each difference as a `Change`.

Shapes are compared, nothing is read or written. Whether `migrate` can carry a change out is said
with it: an obstacle is the reason why not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import Literal, TypeAlias

from ..dialects import Dialect
from ..fields import frozen
from ..shape import (
    CheckShape,
    ColumnShape,
    Fold,
    ForeignKeyShape,
    IndexShape,
    TableShape,
    Wanted,
    fold_of,
    is_named_by_us,
)
from .fill import Fill, fill_of
from .live import Live

ChangeKind: TypeAlias = Literal[
    "new table",
    "new column",
    "new index",
    "new unique",
    "new check",
    "new foreign key",
    "renamed table",
    "renamed column",
    "changed type",
    "changed nullability",
    "changed generated key",
    "changed primary key",
    "dropped column",
    "dropped index",
    "dropped unique",
    "dropped check",
    "dropped foreign key",
    "not strict",
    "not a table",
]
Detail: TypeAlias = TableShape | ColumnShape | IndexShape | CheckShape | ForeignKeyShape


@frozen
class Change:
    """One difference between a live database and its models; `str(change)` says it in words.

    `kind` is named by what a migration would do ("new column": the database lacks it). `name` is
    the column, or the name of the index or constraint, None where the table itself is meant.
    `safe` says that `migrate` carries it out without losing anything; if not, `obstacle` says why.

    Example:
        >>> for change in SCHEMA.diff(conn):
        ...     print(change)
        Book.year is missing in the database (INTEGER, may be NULL)
    """

    kind: ChangeKind
    table: str
    name: str | None
    sentence: str
    obstacle: str = ""
    detail: Detail | None = field(default=None, repr=False, compare=False)

    @property
    def safe(self) -> bool:
        return not self.obstacle

    def __str__(self) -> str:
        return self.sentence


REBUILD = "the table would have to be rebuilt, which migrate does not do yet"
NOT_YET = "migrate only adds so far; it neither drops nor changes what is there"
NOT_OURS = (
    "it is none that a model made, going by its name; drop it with DROP INDEX, "
    "or let the model have it: Index(…)"
)
NARROWS = "rows that exist may not satisfy it, and migrate only adds so far"


def changes_between(live: Live, wanted: Sequence[Wanted], dialect: Dialect) -> list[Change]:
    """What must change in a database for it to have the wanted shapes.

    Tables that no model speaks of are not looked at; nor are SQL defaults, the order of columns,
    and the names of indexes and keys.
    """
    fold = fold_of(dialect)
    known = {fold(one.shape.name) for one in wanted}
    found: list[Change] = []
    for one in wanted:
        there = live.tables.get(fold(one.shape.name))
        if there is None:
            found.append(_missing_table(one, live, known, fold))
        else:
            found.extend(_Comparison(one, there, dialect).changes())
    return found


def _missing_table(one: Wanted, live: Live, known: set[str], fold: Fold) -> Change:
    name = one.shape.name
    other = live.others.get(fold(name))
    if other is not None:
        return Change(
            "not a table",
            name,
            None,
            f"{name} is a {other} in the database, not a table",
            f"the {other} stands where the table should be; drop it, or name the table otherwise",
        )
    before = one.table.renamed_from
    if before is not None and fold(before) in live.tables and fold(before) not in known:
        return Change(
            "renamed table",
            name,
            None,
            f"table {name} is still called {before} in the database",
            "migrate does not rename yet; do it with ALTER TABLE … RENAME TO …",
        )
    return Change(
        "new table", name, None, f"table {name} is missing in the database", detail=one.shape
    )


class _Comparison:
    """One table as it is wanted against the same table as it is there."""

    def __init__(self, wanted: Wanted, there: TableShape, dialect: Dialect) -> None:
        self.table = wanted.table
        self.wanted = wanted.shape
        self.there = there
        self.dialect = dialect
        self.fold = fold_of(dialect)
        self.name = wanted.shape.name
        present = {self.fold(column.name) for column in there.columns}
        self.new = [c for c in self.wanted.columns if self.fold(c.name) not in present]
        self.specs = {column.name: column for column in self.table.columns}

    def changes(self) -> Iterator[Change]:
        if not self.there.strict:
            sentence = f"table {self.name} is not STRICT in the database"
            yield Change("not strict", self.name, None, sentence, REBUILD)
        yield from self._columns()
        ours, theirs = self._folded(self.wanted.primary_key), self._folded(self.there.primary_key)
        if ours != theirs:
            yield Change(
                "changed primary key",
                self.name,
                None,
                f"the primary key of {self.name} is {_shown(self.there.primary_key)} in the "
                f"database and {_shown(self.wanted.primary_key)} in the model",
                NOT_YET,
            )
        yield from self._indexes()
        yield from self._checks()
        yield from self._foreign_keys()

    def _folded(self, names: Sequence[str]) -> tuple[str, ...]:
        return tuple(map(self.fold, names))

    # -- columns

    def _columns(self) -> Iterator[Change]:
        there = {self.fold(column.name): column for column in self.there.columns}
        renamed: set[str] = set()
        for column in self.wanted.columns:
            found = there.pop(self.fold(column.name), None)
            if found is not None:
                yield from self._column(column, found)
                continue
            before = self.specs[column.name].renamed_from
            if before is not None and self.fold(before) in self._unclaimed():
                renamed.add(self.fold(before))
                yield Change(
                    "renamed column",
                    self.name,
                    column.name,
                    f"{self.name}.{column.name} is still called {before} in the database",
                    "migrate does not rename yet; do it with ALTER TABLE … RENAME COLUMN … TO …",
                )
                continue
            yield self._new_column(column)
        for key, column in there.items():
            if key not in renamed:
                sentence = f"{self.name}.{column.name} is in the database and not in the model"
                yield Change("dropped column", self.name, column.name, sentence, NOT_YET)

    def _unclaimed(self) -> set[str]:
        ours = {self.fold(column.name) for column in self.wanted.columns}
        return {self.fold(column.name) for column in self.there.columns} - ours

    def _new_column(self, column: ColumnShape) -> Change:
        fill = fill_of(self.table, self.specs[column.name], self.dialect)
        sentence = (
            f"{self.name}.{column.name} is missing in the database "
            f"({column.type}, {'may be NULL' if column.nullable else 'NOT NULL'})"
        )
        obstacle = self._column_obstacle(column, fill)
        return Change("new column", self.name, column.name, sentence, obstacle, column)

    def _column_obstacle(self, column: ColumnShape, fill: Fill) -> str:
        if fill.obstacle:
            return fill.obstacle
        refers = any(key.columns == (column.name,) for key in self.wanted.foreign_keys)
        if self.dialect.name == "sqlite" and refers and not column.nullable:
            return "SQLite adds a foreign key only to a column that may be NULL; " + REBUILD
        return ""

    def _column(self, ours: ColumnShape, theirs: ColumnShape) -> Iterator[Change]:
        where = f"{self.name}.{ours.name}"
        if ours.type != theirs.type:
            sentence = f"{where} is {theirs.type} in the database and {ours.type} in the model"
            yield Change("changed type", self.name, ours.name, sentence, NOT_YET)
        if ours.nullable != theirs.nullable:
            may, must = "may be NULL", "is NOT NULL"
            sentence = (
                f"{where} {may if theirs.nullable else must} in the database and "
                f"{may if ours.nullable else must} in the model"
            )
            yield Change("changed nullability", self.name, ours.name, sentence, NOT_YET)
        if self.dialect.name == "sqlite":
            # a table that does more than its model asks for will do
            if ours.generated and not theirs.generated:
                sentence = (
                    f"{where} is given out again in the database once its row is deleted, and in "
                    "the model it is not (AUTOINCREMENT)"
                )
                yield Change("changed generated key", self.name, ours.name, sentence, REBUILD)
        elif ours.generated != theirs.generated:
            places = ("database", "model") if theirs.generated else ("model", "database")
            sentence = f"{where} is generated in the {places[0]} and not in the {places[1]}"
            yield Change("changed generated key", self.name, ours.name, sentence, NOT_YET)

    # -- indexes and constraints

    def _indexes(self) -> Iterator[Change]:
        def key(index: IndexShape) -> object:
            return self._folded(index.columns), index.unique, index.digest

        there = set(map(key, self.there.indexes))
        for index in self.wanted.indexes:
            if key(index) not in there:
                what = "unique index" if index.unique else "index"
                yield Change(
                    "new unique" if index.unique else "new index",
                    self.name,
                    index.name,
                    f"the {what} on {self.name} {_shown(index.columns)} is missing in the database"
                    + (f" (where {index.where})" if index.where is not None else ""),
                    detail=index,
                )
        wanted = set(map(key, self.wanted.indexes))
        for index in self.there.indexes:
            if key(index) not in wanted:
                yield self._dropped_index(index)

    def _dropped_index(self, index: IndexShape) -> Change:
        """An index that an earlier version of the model had holds nothing that would be lost."""
        what = f"index {index.name} on {self.name} {_shown(index.columns)}"
        tail = "is in the database and not in the model"
        if index.unique:
            sentence, obstacle = f"the unique {what} {tail}", NOT_YET
            return Change("dropped unique", self.name, index.name, sentence, obstacle)
        obstacle = "" if is_named_by_us(self.name, index) else NOT_OURS
        return Change("dropped index", self.name, index.name, f"the {what} {tail}", obstacle, index)

    def _checks(self) -> Iterator[Change]:
        there = {check.digest: check for check in self.there.checks}
        for check in self.wanted.checks:
            if there.pop(check.digest, None) is None:
                sentence = f"CHECK ({check.sql}) of {self.name} is missing in the database"
                obstacle = "" if self._of_new_column(check) else NARROWS
                yield Change("new check", self.name, check.name, sentence, obstacle, check)
        for check in there.values():
            sentence = f"CHECK ({check.sql}) of {self.name} is in the database and not in the model"
            yield Change("dropped check", self.name, check.name, sentence, NOT_YET)

    def _of_new_column(self, check: CheckShape) -> bool:
        """Whether it comes with a new column, by which it can be added."""
        return any(
            check.column == column.name
            if check.column is not None
            else re.search(rf"(?<!\w){re.escape(column.name)}(?!\w)", check.sql, re.IGNORECASE)
            for column in self.new
        )

    def _foreign_keys(self) -> Iterator[Change]:
        def key(one: ForeignKeyShape) -> object:
            columns, theirs = self._folded(one.columns), self._folded(one.target_columns)
            pairs = frozenset(zip(columns, theirs, strict=False))
            return pairs, self.fold(one.target), one.on_delete

        there = {key(one): one for one in self.there.foreign_keys}
        for one in self.wanted.foreign_keys:
            if there.pop(key(one), None) is None:
                sentence = f"the foreign key {self._reference(one)} is missing in the database"
                obstacle = self._key_obstacle(one)
                yield Change("new foreign key", self.name, one.name, sentence, obstacle, one)
        for one in there.values():
            sentence = (
                f"the foreign key {self._reference(one)} is in the database and not in the model"
            )
            yield Change("dropped foreign key", self.name, one.name or None, sentence, NOT_YET)

    def _key_obstacle(self, key: ForeignKeyShape) -> str:
        if not any(column.name in key.columns for column in self.new):
            return NARROWS
        if self.dialect.name == "sqlite" and len(key.columns) > 1:
            return "SQLite adds a foreign key of several columns only by a rebuild; " + REBUILD
        return ""

    def _reference(self, key: ForeignKeyShape) -> str:
        text = f"of {self.name} {_shown(key.columns)} to {key.target} {_shown(key.target_columns)}"
        return text if key.on_delete == "no action" else f"{text} ON DELETE {key.on_delete.upper()}"


def _shown(names: Sequence[str]) -> str:
    return f"({', '.join(names)})"
