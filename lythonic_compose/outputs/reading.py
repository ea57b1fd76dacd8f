"""How are the rows of an attempt read back, by where it said that they came from?

In batches, from one connection, with the rows as they are now. Where origins are kept is not known
here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import unquote

from lythonic_state import DbModel, SyncConnection, open_db, open_sqlite_db
from lythonic_state.connection import sqlite_path
from lythonic_state.identity import has_integer_key, key_fields, key_from_text, table_name

from .rows import Rows

BATCH = 1000
"""So many rows, or origins, are read at a time."""

Borrow: TypeAlias = "Callable[[], AbstractContextManager[SyncConnection]]"


class NumberedOrigin(NamedTuple):
    """An origin with its number among all that are kept, in the order of their writing."""

    number: int
    first_key: int | None
    last_key: int | None
    key_text: str | None


class OriginReader(ABC):
    """Reads rows by their origins, which a subclass finds."""

    @abstractmethod
    def origins(
        self, conn: SyncConnection, rows: Rows[Any], table: str, after: int, limit: int
    ) -> list[NumberedOrigin]:
        """The origins in one table with higher numbers, the lowest first."""

    @abstractmethod
    def connection(self) -> AbstractContextManager[Borrow]:
        """What lends a connection for as long as the rows are read."""

    def batches(self, rows: Rows[Any], /) -> Iterator[list[Any]]:
        with self.connection() as borrow:
            for model in rows.models:
                for keys in self._keys(borrow, rows, model):
                    with borrow() as conn:
                        found = _rows(conn, model, keys, rows.user_ctx)
                    if found:
                        yield found

    def count(self, rows: Rows[Any], /) -> int:
        total = 0
        with self.connection() as borrow:
            for model in rows.models:
                for keys in self._keys(borrow, rows, model):
                    with borrow() as conn:
                        total += _count(conn, model, keys, rows.user_ctx)
        return total

    def _keys(
        self, borrow: Borrow, rows: Rows[Any], model: type[DbModel[Any]]
    ) -> Iterator[list[Any]]:
        """The keys in batches: integers as ranges, others one by one."""
        after = -1
        while True:
            with borrow() as conn:
                origins = self.origins(conn, rows, table_name(model), after, BATCH)
            if not origins:
                return
            after = origins[-1].number
            if has_integer_key(model):
                yield from _pieces(origins)
            else:
                yield [key_from_text(model, each.key_text or "") for each in origins]


@contextmanager
def connection_to(target: str) -> Generator[Borrow]:
    """A connection of its own to a file or URL, which is lent again and again."""
    is_path = "://" not in target
    opener: Any = open_sqlite_db(target) if is_path else open_db(target)
    with opener as conn:

        @contextmanager
        def lend() -> Generator[SyncConnection]:
            try:
                yield conn
            finally:
                end_reading(conn)

        yield lend


def end_reading(conn: SyncConnection) -> None:
    """Ends the transaction that a read has begun on PostgreSQL.

    A connection that is lost has none, and what was to be said of that has been said.
    """
    with suppress(Exception):
        conn.rollback()


def is_in_memory(target: str) -> bool:
    """Whether it is a database that nobody else can open."""
    return target in ("sqlite://", "sqlite:///:memory:", ":memory:")


def from_anywhere(target: str) -> str:
    """A file or URL so that it means the same in another process and directory."""
    path = target if "://" not in target else sqlite_path(target)
    return target if path is None else str(Path(path).resolve())


def place_of(target: str) -> str:
    """The same without what is secret, so that it can be kept and shown."""
    found = from_anywhere(target)
    return found if "://" not in found else _without_secrets(found)


def _without_secrets(url: str) -> str:
    # taken apart as the driver does it: a password may have a "?" or a "#" in it
    scheme, _, rest = url.partition("://")
    who, at, server = rest.partition("@")
    if not at or "/" in who:
        who, at, server = "", "", rest
    server, _, options = server.partition("?")
    kept = "&".join(each for each in options.split("&") if not _is_secret(each))
    return f"{scheme}://{who.partition(':')[0]}{at}{server}{'?' if kept else ''}{kept}"


def _is_secret(option: str) -> bool:
    name = unquote(option.partition("=")[0])
    return any(word in name for word in ("password", "secret", "_key"))


def _pieces(origins: Iterable[NumberedOrigin]) -> Iterator[list[tuple[int, int]]]:
    """Ranges with so many keys together as are read at a time."""
    piece: list[tuple[int, int]] = []
    room = BATCH
    for origin in origins:
        first, last = origin.first_key, origin.last_key
        assert first is not None
        assert last is not None
        while first <= last:
            end = min(last, first + room - 1)
            piece.append((first, end))
            room -= end - first + 1
            first = end + 1
            if room == 0:
                yield piece
                piece, room = [], BATCH
    if piece:
        yield piece


def _rows(conn: SyncConnection, model: Any, keys: list[Any], user_ctx: Any) -> list[Any]:
    fields: list[str] = list(key_fields(model))
    if len(fields) > 1:
        loaded = [model.load_by_id(conn, key, user_ctx=user_ctx) for key in keys]
        return [row for row in loaded if row is not None]
    field = fields[0]
    condition = _of_keys(model, field, keys)
    found: list[Any] = model.select(conn, order_by=field, user_ctx=user_ctx, **condition)
    if has_integer_key(model):
        return found
    by_key = {getattr(row, field): row for row in found}
    return [by_key[key] for key in keys if key in by_key]


def _count(conn: SyncConnection, model: Any, keys: list[Any], user_ctx: Any) -> int:
    fields: list[str] = list(key_fields(model))
    if len(fields) > 1:
        return len(_rows(conn, model, keys, user_ctx))
    number: int = model.select_count(conn, user_ctx=user_ctx, **_of_keys(model, fields[0], keys))
    return number


def _of_keys(model: Any, field: str, keys: list[Any]) -> dict[str, Any]:
    if not has_integer_key(model):
        return {field: keys}
    if len(keys) == 1:
        return {f"between__{field}": keys[0]}
    return {field: [key for first, last in keys for key in range(first, last + 1)]}
