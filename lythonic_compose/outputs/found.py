"""What of a node's value are rows, and can they be written?

A value in memory is taken apart at once, a stream row by row. Nothing is written here.
"""

from __future__ import annotations

import collections.abc
from collections.abc import AsyncIterable, Collection, Iterable, Iterator, Sequence
from dataclasses import field
from graphlib import CycleError, TopologicalSorter
from typing import Any, cast

from pydantic import BaseModel

from lythonic_state import ConstraintViolation, DbModel
from lythonic_state.fields import mutable
from lythonic_state.keyed import KeyedRows
from lythonic_state.ops import is_undefined
from lythonic_state.table import references, table_of

from ..errors import OutputError
from ..fit import short
from .declared import Writing, keyless
from .spool import Spool

Model = type[DbModel[Any]]


@mutable(eq=False)
class Written:
    """What a node returned, as rows that are to be saved together with its completion."""

    how: Writing
    listed: tuple[KeyedRows, ...] = ()
    spools: tuple[tuple[Model, Spool], ...] = ()
    user_ctx: Any = None
    is_stream: bool = False
    replaced: tuple[Model, ...] = ()
    """The tables whose rows give way to these."""
    refused: list[BaseException] = field(default_factory=list[BaseException])
    """What the database said of the rows, the last time that they were to be written."""

    @property
    def models(self) -> tuple[Model, ...]:
        listed = [cast("Model", rows.table.model) for rows in self.listed]
        return (*listed, *(model for model, _ in self.spools))

    def chunks(self) -> Iterator[KeyedRows]:
        """The rows, parents before children, as many at a time as are in memory anyhow."""
        yield from self.listed
        for model, spool in self.spools:
            for models in spool.chunks():
                yield KeyedRows(model, models, self.user_ctx)

    def is_refused(self, error: BaseException) -> bool:
        """Whether an error is about these rows, and not about the record of their node.

        Constraints may also be checked at the very end.
        """
        return isinstance(error, ConstraintViolation) or any(error is each for each in self.refused)

    def undo(self) -> None:
        """Takes back the keys that the models were given, since they are not saved."""
        for rows in self.listed:
            rows.undo()

    def close(self) -> None:
        for _, spool in self.spools:
            spool.close()


class Finder:
    """Finds the rows in what one node returns.

    Of the `declared` models there may be rows, or none. With `lenient`, a value that holds no
    models is none to be written; else it is an error.
    """

    def __init__(
        self,
        label: str,
        how: Writing,
        user_ctx: Any,
        declared: Sequence[Model] = (),
        *,
        lenient: bool = False,
    ) -> None:
        self._declared = declared
        self._label = label
        self._how: Writing = how
        self._user_ctx = user_ctx
        self._lenient = lenient
        self._spools: dict[Model, Spool] = {}
        self._number = 0

    # a value in memory

    def listed(self, value: Any) -> Written | None:
        """
        Raises:
            OutputError: something in it is no row, or cannot be written so.
        """
        if value is None:
            rows: Collection[Any] = ()
        elif isinstance(value, DbModel):
            rows = [value]
        elif _is_collection(value):
            rows = value
        elif self._lenient:
            return None
        else:
            raise self._no_rows(f"returned {short(value)}")
        kinds = list(dict.fromkeys(map(type, rows)))
        if self._lenient and not any(issubclass(kind, DbModel) for kind in kinds):
            return None
        for kind in kinds:
            if not issubclass(kind, DbModel):
                number, wrong = next(pair for pair in enumerate(rows) if type(pair[1]) is kind)
                raise self._no_row(number, wrong)
            self._check_model(kind)
        groups = [(kind, _of_kind(rows, kind, len(kinds) == 1)) for kind in parents_first(kinds)]
        for _, models in groups:
            self._check_keys(models, enumerate(rows))
        listed = [KeyedRows(kind, models, self._user_ctx) for kind, models in groups]
        return Written(self._how, tuple(listed), (), self._user_ctx, replaced=self._replaced(kinds))

    def _check_keys(self, models: Sequence[Any], rows: Iterable[tuple[int, Any]]) -> None:
        if self._how == "upsert":
            for number, row in rows if self._has_no_key(type(models[0])) else ():
                self._check_key(number, row)
        elif len(set(map(id, models))) < len(models):
            places: dict[int, int] = {}
            for number, row in rows:
                first = places.setdefault(id(row), number)
                if first != number:
                    raise OutputError(
                        f"{self._label} returned the same {type(row).__name__} twice, at {first} "
                        f"and at {number}; a row is written once, so give a copy for each"
                    )

    # a stream

    def add(self, row: Any) -> None:
        """
        Raises:
            OutputError: it is no row, or cannot be written.
            InvalidValue: a value of it does not fit its column.
        """
        spool = self._spools.get(type(row))
        if spool is None:
            if not isinstance(row, DbModel):
                raise self._no_row(self._number, row)
            self._check_model(type(row))
            spool = self._spools[type(row)] = Spool(table_of(type(row)))
        if self._how == "upsert":
            self._check_key(self._number, row)
        spool.add(row)
        self._number += 1

    def streamed(self) -> Written:
        """What was added."""
        spools = [(kind, self._spools[kind]) for kind in parents_first(list(self._spools))]
        return Written(
            self._how,
            (),
            tuple(spools),
            self._user_ctx,
            is_stream=True,
            replaced=self._replaced(list(self._spools)),
        )

    def _replaced(self, kinds: Sequence[Model]) -> tuple[Model, ...]:
        if self._how != "replace":
            return ()
        return tuple(parents_first(list(dict.fromkeys((*self._declared, *kinds)))))

    def close(self) -> None:
        """Forgets what was added."""
        for spool in self._spools.values():
            spool.close()

    # what is wrong

    def _check_model(self, kind: Model) -> None:
        if not table_of(kind).primary_key:
            raise OutputError(f"{self._label} {keyless(kind)}")

    def _has_no_key(self, kind: Model) -> bool:
        table = table_of(kind)
        return table.generated is not None and not table.alt_key

    def _check_key(self, number: int, row: DbModel[Any]) -> None:
        table = table_of(type(row))
        if table.generated is None or table.alt_key:
            return
        if is_undefined(vars(row)[table.generated.field]):
            raise OutputError(
                f"{self._label} returned at {number} a {type(row).__name__} without "
                f"{table.generated.field}, and the model has no alternative key, so there is "
                'nothing to upsert it by; set the key, mark fields with (AK), or write="insert"'
            )

    def _no_row(self, number: int, row: Any) -> OutputError:
        what = f"returned at {number} {short(row)}"
        if isinstance(row, collections.abc.Iterable) and not isinstance(row, (str, bytes)):
            return OutputError(
                f"{self._label} {what}, and rows are not nested; return one flat list of models"
            )
        return self._no_rows(what)

    def _no_rows(self, what: str) -> OutputError:
        return OutputError(
            f"{self._label} {what}, which is no row of a table; a node with write= returns a "
            "DbModel, an iterable of them, or None"
        )


def is_stream(value: Any) -> bool:
    """Whether a value is read once, piece by piece, by `for` or by `async for`."""
    if isinstance(value, AsyncIterable):
        return True
    return (
        isinstance(value, Iterable)
        and not _is_collection(value)
        and not isinstance(value, (str, bytes, bytearray, collections.abc.Mapping, BaseModel))
    )


def _is_collection(value: Any) -> bool:
    return isinstance(value, Collection) and not isinstance(
        value, (str, bytes, bytearray, collections.abc.Mapping)
    )


def _of_kind(rows: Collection[Any], kind: Model, all_of_them: bool) -> Sequence[Any]:
    if all_of_them:
        return rows if isinstance(rows, list) else list(rows)
    return [row for row in rows if type(row) is kind]


def parents_first(kinds: Sequence[Model]) -> list[Model]:
    """Models so that a foreign key leads to one that stands before it, where that can be."""
    among = {table_of(kind).name: kind for kind in kinds}
    order: TopologicalSorter[str] = TopologicalSorter()
    for kind in kinds:
        table = table_of(kind)
        parents = [reference.target.name for reference in references(table)]
        order.add(table.name, *(name for name in parents if name in among and name != table.name))
    try:
        return [among[name] for name in order.static_order()]
    except CycleError:
        return list(kinds)
