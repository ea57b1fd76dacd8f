"""How are rows saved, and which keys have they got? Steps that somebody else carries out.

What is yielded is what `lythonic_state.perform` takes. In which transaction that is, and what is
written beside it, is not known here.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeAlias, cast

from lythonic_state import DatabaseBusy, Schema, SyncConnection, transaction
from lythonic_state.identity import has_integer_key, key_text
from lythonic_state.keyed import delete_all
from lythonic_state.schema import models_reusing_keys
from lythonic_state.table import references, table_of

from .found import Model, Written, parents_first
from .spool import CHUNK

LOG = logging.getLogger("lythonic_compose")

Steps: TypeAlias = Generator[Any, Any, None]


class Origin(NamedTuple):
    """Which rows an attempt wrote: a range of integer keys, or one key as text."""

    table_name: str
    first_key: int | None = None
    last_key: int | None = None
    key_text: str | None = None


def save(
    written: Written, keep: Callable[[list[Origin]], Any], kept: Callable[[Origin], Any]
) -> Steps:
    """Saves the rows of a node, and where they came from.

    `keep` makes a call that keeps some origins, `kept` one that gives something if an origin with a
    text is among them: what is upserted may come again.
    """
    try:
        for model in reversed(written.replaced):
            yield delete_all(model, written.user_ctx)
        may_repeat = written.how == "upsert" and written.is_stream
        keys: dict[Model, _Ranges] = {}
        for rows in written.chunks():
            model = cast("Model", rows.table.model)
            yield rows.upsert() if written.how == "upsert" else rows.insert()
            if has_integer_key(model):
                if model not in keys:
                    keys[model] = _Ranges(rows.table.name, may_repeat)
                origins = keys[model].of(rows.written_keys())
            else:
                origins = _texts(model, rows.table.name, rows.written_keys())
                if may_repeat:
                    origins = yield from _without(origins, kept)
            if origins:
                yield keep(origins)
        for ranges in keys.values():
            for origins in ranges.rest():
                yield keep(origins)
    except DatabaseBusy:
        raise
    except Exception as error:
        written.refused.append(error)
        raise


def _texts(model: Model, table: str, keys: Sequence[Any]) -> list[Origin]:
    texts = dict.fromkeys(key_text(model, key) for key in keys)
    return [Origin(table, key_text=text) for text in texts]


def _without(
    origins: list[Origin], kept: Callable[[Origin], Any]
) -> Generator[Any, Any, list[Origin]]:
    new: list[Origin] = []
    for origin in origins:
        if not (yield kept(origin)):
            new.append(origin)
    return new


def create_tables(conn: SyncConnection, models: Sequence[Model]) -> None:
    """Creates the tables of these models that are missing, and those that they refer to.

    A key is never given out again there, so that an origin means one row for ever. A table that
    somebody else created without that is taken as it is.

    Raises:
        SchemaError: a table has another shape in the database.
    """
    schema = Schema(tables_of(models))
    with transaction(conn):
        schema.create_tables(conn, reuse_keys=False)
        reusing = models_reusing_keys(conn, schema)
    for model in reusing:
        if model in models:
            LOG.warning(
                "the table of %s was created without reuse_keys=False: once the newest rows of it "
                "are deleted, SQLite gives their keys to others, and what is recorded of where "
                "those came from may be told of these",
                model.__name__,
            )


def tables_of(models: Sequence[Model]) -> list[Model]:
    """These models and those that their foreign keys lead to, which have to be there, too."""
    found: dict[str, Model] = {}
    waiting: list[Any] = list(models)
    while waiting:
        table = table_of(waiting.pop(0))
        if table.name not in found:
            found[table.name] = cast("Model", table.model)
            waiting += [reference.target.model for reference in references(table)]
    return parents_first(list(found.values()))


class _Ranges:
    """Integer keys that come in batches, as few ranges as can be, without holding many.

    Where keys may come again, all of them are held, each in eight bytes.
    """

    def __init__(self, table_name: str, may_repeat: bool) -> None:
        self._name = table_name
        self._all = array("q") if may_repeat else None
        self._open: tuple[int, int] | None = None

    def of(self, keys: Sequence[int]) -> list[Origin]:
        if self._all is not None:
            self._all.extend(keys)
            return []
        if not isinstance(keys, range):
            keys = sorted(set(keys))
        return [Origin(self._name, *each) for each in self._ended(keys)]

    def _ended(self, keys: Sequence[int]) -> Iterator[tuple[int, int]]:
        """The ranges of these keys but for the last, which may go on."""
        for first, last in _runs(keys):
            if self._open is None:
                self._open = first, last
            elif first == self._open[1] + 1:
                self._open = self._open[0], last
            else:
                yield self._open
                self._open = first, last

    def rest(self) -> Iterator[list[Origin]]:
        if self._all:
            ended = (Origin(self._name, *each) for each in self._ended(sorted(set(self._all))))
            while batch := list(islice(ended, CHUNK)):
                yield batch
        if self._open is not None:
            yield [Origin(self._name, *self._open)]


def _runs(keys: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Keys in ascending order as ranges."""
    if keys[-1] - keys[0] + 1 == len(keys):
        yield keys[0], keys[-1]
        return
    first = last = keys[0]
    for key in keys[1:]:
        if key != last + 1:
            yield first, last
            first = key
        last = key
    yield first, last
