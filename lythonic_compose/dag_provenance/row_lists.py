"""What are these rows now? They are read by their keys, and what became of the others is marked.

Whose keys they are is found in `lineage.py` and `origins.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from os import PathLike, fspath
from typing import Any, Generic, TypeAlias

from typing_extensions import TypeVar

from lythonic_state import (
    DbModel,
    SyncConnection,
    UserCtx,
    and_,
    col,
    open_db,
    open_sqlite_db,
    or_,
)
from lythonic_state.connection import sqlite_path
from lythonic_state.identity import (
    has_integer_key,
    is_scoped,
    key_fields,
    key_from_text,
    key_text,
    keys_of,
    models_of_table,
    table_name,
)
from lythonic_state.schema import has_table

from ..errors import LineageError
from ..type_names import named_type
from .lineage import Source
from .origins import PAGE, KeysOfTable, RowKey, StoredKey, Wrote, newest_origins
from .tables import NodeAttempt, Payload

M = TypeVar("M", default=Any)


class RowList(list[M], Generic[M]):
    """Rows as they are now, in the order of their keys, with what has happened to them since.

    Example:
        >>> rows = provenance.rows_of(run_id, "clean", Price)
        >>> [price.cents for price in rows]
        [110, 640]
        >>> rows.deleted
        (RowKey(table='Price', key=3),)
    """

    deleted: tuple[RowKey, ...]
    """Those that are not there any more; they are not in the list."""
    rewritten: tuple[RowKey, ...]
    """Those in the list that another attempt has written since: they are not what they were."""
    cut: bool
    """Whether `limit` left some out."""

    def __init__(
        self,
        rows: Iterable[M] = (),
        *,
        deleted: Iterable[RowKey] = (),
        rewritten: Iterable[RowKey] = (),
        cut: bool = False,
    ) -> None:
        super().__init__(rows)
        self.deleted = tuple(deleted)
        self.rewritten = tuple(rewritten)
        self.cut = cut


def stored_key(row: Any) -> tuple[str, StoredKey] | None:
    """The table of a row, and its key as origins have it; None if the key is not set.

    Raises:
        LineageError: it is no row of a table with a key.
    """
    model: type[Any] = row.__class__
    if not isinstance(row, DbModel) or not key_fields(model):
        raise LineageError(
            f"lineage is of rows, of a DbModel with a primary key; {model.__name__} is none"
        )
    (key,) = keys_of(model, [row])
    return None if key is None else (table_name(model), _stored(model, key))


def _stored(model: type[Any], key: Any) -> StoredKey:
    if has_integer_key(model):
        number: int = key
        return number
    return key_text(model, key)


def row_key(model: type[Any], key: StoredKey) -> RowKey:
    return RowKey(table_name(model), key_from_text(model, key) if isinstance(key, str) else key)


Outputs: TypeAlias = "SyncConnection | str | PathLike[str]"
"""A database that rows were written to."""


class Places:
    """In which database the rows of a model are: in the one that is said; else in the store's own,
    or where a runner last wrote to. What has to be opened is closed at the end of a `with`."""

    def __init__(
        self, own: SyncConnection, said: Outputs | None = None, last: str | None = None
    ) -> None:
        self._order: list[Outputs] = (
            [said] if said is not None else [own, *([last] if last else [])]
        )
        self._open = ExitStack()
        self._opened: dict[str, SyncConnection] = {}

    def __enter__(self) -> Places:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def of(self, model: type[Any]) -> SyncConnection | None:
        """A connection to the database that has the table; None if none has it."""
        for place in self._order:
            conn = self._connection(place)
            if has_table(conn, model):
                return conn
        return None

    def _connection(self, place: Outputs) -> SyncConnection:
        if not isinstance(place, (str, PathLike)):
            return place
        target = fspath(place)
        if target not in self._opened:
            path = sqlite_path(target) if "://" in target else target
            opener: Any = open_db(target) if path is None else open_sqlite_db(path, readonly=True)
            self._opened[target] = self._open.enter_context(opener)
        return self._opened[target]


class Reader:
    """Reads the rows of sources: origins from one connection, the rows where they are."""

    def __init__(self, conn: SyncConnection, places: Places, user_ctx: UserCtx) -> None:
        self._conn = conn
        self._places = places
        self._user_ctx = user_ctx

    def read(
        self,
        sources: Sequence[Source],
        models: Mapping[str, type[Any]],
        limit: int | None,
    ) -> RowList[Any]:
        """The rows of sources, table by table, as far as `limit`; `models` are known by table."""
        found: RowList[Any] = RowList()
        deleted: list[RowKey] = []
        rewritten: list[RowKey] = []
        for table in sorted({table for source in sources for table in source.tables}):
            mine = [source for source in sources if table in source.tables]
            model = models.get(table) or self._model(table, mine)
            if is_scoped(model) and self._user_ctx is None:
                raise needs_context(model)
            held = [each for source in mine for each in source.held if each.table_name == table]
            attempts = {
                source.attempt.node_attempt_id for source in mine if source.attempt is not None
            }
            there = self._places.of(model)
            if there is None and attempts:
                raise LineageError(
                    f"there is no table {table!r} in this database, and a node wrote rows of it: "
                    "give the database that they were written to as outputs="
                )
            if there is None:
                continue
            size = PAGE if limit is None else max(limit + 1, 100)
            for page in KeysOfTable(self._conn, table, attempts, held, size).pages():
                rows = current_rows(there, model, page, self._user_ctx)
                wrote = newest_origins(self._conn, table, page)
                changed = self._changed(page, wrote, attempts, mine)
                for key in page:
                    row = rows.get(key)
                    if row is None:
                        if key in wrote:  # else there never was such a row here
                            deleted.append(row_key(model, key))
                        continue
                    if limit is not None and len(found) >= limit:
                        found.deleted, found.rewritten = tuple(deleted), tuple(rewritten)
                        found.cut = True
                        return found
                    found.append(row)
                    if key in changed:
                        rewritten.append(row_key(model, key))
        found.deleted, found.rewritten = tuple(deleted), tuple(rewritten)
        return found

    def _changed(
        self,
        page: Sequence[StoredKey],
        wrote: Mapping[StoredKey, Wrote],
        attempts: set[int],
        sources: Sequence[Source],
    ) -> set[StoredKey]:
        """The keys that another attempt has written since these sources had them."""
        others = {key: each for key, each in wrote.items() if each.node_attempt_id not in attempts}
        if not others:
            return set()
        seen = [source.at for source in sources if source.attempt is None and source.at is not None]
        if not seen:
            return set(others)
        last = max(seen)
        ended = {
            each.node_attempt_id: each.finished_at or datetime.max.replace(tzinfo=UTC)
            for each in NodeAttempt.select(
                self._conn, node_attempt_id=list({each.node_attempt_id for each in others.values()})
            )
        }
        return {key for key, each in others.items() if ended[each.node_attempt_id] > last}

    def _model(self, table: str, sources: Sequence[Source]) -> type[Any]:
        """The model of a table: one that is known here, else by what the nodes returned."""
        names = self._type_names(sources)
        found = models_of_table(table)
        if not found:
            for name in names:
                _import(name)
            found = models_of_table(table)
        if not found:
            raise LineageError(
                f"no model with the table {table!r} is known; import the module that defines it"
            )
        named = [model for model in found if any(_names(name, model) for name in names)]
        return (named or found)[0]

    def _type_names(self, sources: Sequence[Source]) -> list[str]:
        hashes = {source.node.output_payload for source in sources if not source.given}
        wanted = [each for each in hashes if each is not None]
        return [each.type_name for each in Payload.select(self._conn, payload_hash=wanted[:100])]


def current_rows(
    conn: SyncConnection, model: type[Any], page: Sequence[StoredKey], user_ctx: UserCtx
) -> dict[StoredKey, Any]:
    """The rows of these keys that are there."""
    if not page:
        return {}
    fields = key_fields(model)
    options: dict[str, Any] = {"user_ctx": user_ctx} if is_scoped(model) else {}
    if isinstance(page[0], int):
        (field,) = fields
        column: Any = getattr(model, field)
        first, last = page[0], page[-1]
        together = isinstance(last, int) and last - first == len(page) - 1
        where = col(column).between(first, last) if together else col(column).in_(page)
        return dict(_by_key(model, model.select(conn, where, **options)))
    keys = [key_from_text(model, str(key)) for key in page]
    if len(fields) == 1:
        found = model.select(conn, **{fields[0]: keys}, **options)
        return dict(_by_key(model, found))
    rows: dict[StoredKey, Any] = {}
    for part in _pieces(keys):
        ways = [
            and_(
                *(
                    col(getattr(model, name)) == value
                    for name, value in zip(fields, key, strict=True)
                )
            )
            for key in part
        ]
        where = or_(*ways) if len(ways) > 1 else ways[0]
        rows.update(_by_key(model, model.select(conn, where, **options)))
    return rows


def needs_context(model: type[Any]) -> LineageError:
    return LineageError(f"{model.__name__} belongs to tenants; say whose rows to read: user_ctx=…")


def _by_key(model: type[Any], rows: Sequence[Any]) -> Iterator[tuple[StoredKey, Any]]:
    for key, row in zip(keys_of(model, rows), rows, strict=True):
        yield _stored(model, key), row


def _pieces(keys: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for at in range(0, len(keys), 100):
        yield keys[at : at + 100]


def _import(type_name: str) -> None:
    try:
        named_type(type_name)
    except LookupError:
        pass


def _names(type_name: str, model: type[Any]) -> bool:
    return f"{model.__module__}:{model.__qualname__}" in type_name
