"""Which tables does a cache file have, and what is done with their rows?

A table for each function, made from its parameters, and three that all share; all are models of the
state layer. What stands here is part of a transaction of somebody else's: how the file is reached
is the business of `store.py`.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import cached_property
from hashlib import blake2b
from typing import Annotated, Any, NamedTuple, TypeAlias

from pydantic import AwareDatetime, create_model

from lythonic_state import DbModel, Index, PrimaryKey, Schema, col
from lythonic_state.prepared import PreparedRow

from .key import KeyPart
from .policy import SECONDS_PER_DAY, moment, stands_below

FLUSH_AT = 1000
"""Hits are counted in memory, and written when so many have gathered."""


class Entry(DbModel, abstract=True):
    """What is kept of one call; the parameters of the function are columns beside."""

    cache_key: Annotated[str, PrimaryKey()]
    cached_value: str
    """JSON, through the declared return type."""
    cached_at: AwareDatetime


Found: TypeAlias = tuple[str, datetime]
"""Of an entry, what a call needs: `cached_value` and `cached_at`."""


class KeptFunction(DbModel, table="cached_functions"):
    """A function with its table, and how often that could answer."""

    table_name: Annotated[str, PrimaryKey()]
    function: Annotated[str, Index()]
    parameters: str
    returns: str
    hits: int = 0
    misses: int = 0


class Lease(DbModel, table="cache_leases"):
    """Who is calling a function for a key now, so that others wait for the result.

    It holds for so many seconds after it was renewed.
    """

    table_name: Annotated[str, PrimaryKey()]
    cache_key: Annotated[str, PrimaryKey()]
    owner: str
    renewed_at: AwareDatetime
    seconds: float

    def holds(self, now: datetime) -> bool:
        """Whether its owner is thought to be at work; a clock that was set back ends it, too."""
        return abs((now - self.renewed_at).total_seconds()) < self.seconds


class Pushback(DbModel, table="cache_pushbacks"):
    """Until when the functions of this name, and those below it, are not to be called."""

    name: Annotated[str, PrimaryKey()]
    until: AwareDatetime


class CacheStats(NamedTuple):
    """How often a function need not be called: `hits` are answers without a call, `misses` calls,
    by every process that used the file; `entries` is how many values are kept now."""

    hits: int
    misses: int
    entries: int


class Counter:
    """Counts what several threads do, without a lock where it is counted."""

    def __init__(self) -> None:
        self.add: Callable[[], int] = itertools.count(1).__next__
        """Counts one; a number that grows with every one (and every `take`)."""
        self._taken = 0
        self._lock = threading.Lock()

    def take(self) -> int:
        """How many were added since the last time."""
        with self._lock:
            now = self.add()
            since, self._taken = now - self._taken - 1, now
            return since

    def put_back(self, number: int) -> None:
        """Lets the next `take` give so many more."""
        with self._lock:
            self._taken -= number


class FunctionTable:
    """The table of one function, and what this process has counted of it.

    The table belongs to the first of the function's names; it is pushed back by any of them.
    """

    def __init__(
        self, names: Sequence[str], parts: Sequence[KeyPart], returns: str, shape: str
    ) -> None:
        self.names = tuple(names)
        self.function = names[0]
        self.parts = tuple(parts)
        self.returns = returns
        self._shape = shape
        self.ready_in: object = None
        """The opened file in which the tables are known to be."""
        self._hits = Counter()
        self._misses = Counter()

    @cached_property
    def name(self) -> str:
        """The table's name, at most 63 bytes. It changes with the names and types of the columns,
        and with the return type: what was kept with another meaning is not found."""
        columns = Schema([self._model("columns")]).ddl()
        meaning = f"{self.function}\n{columns}\n{self.returns}\n{self._shape}"
        digest = blake2b(meaning.encode("utf-8", "surrogatepass"), digest_size=6)
        readable = re.sub(r"\W+", "_", self.function.encode("ascii", "replace").decode())
        return f"cache_{readable[-44:].strip('_')}_{digest.hexdigest()}"

    @cached_property
    def model(self) -> type[Entry]:
        """The model of entries, with one column for each parameter of the key."""
        return self._model(self.name)

    @cached_property
    def load(self) -> PreparedRow:
        """Reads the value and the time of a key."""
        return PreparedRow(self.model, ("cached_value", "cached_at"), ("cache_key",))

    @cached_property
    def schema(self) -> Schema:
        return Schema([self.model, KeptFunction, Lease, Pushback])

    @cached_property
    def fields(self) -> dict[str, str]:
        """The field in the model of entries for each parameter."""
        taken = {*Entry.model_fields}
        found: dict[str, str] = {}
        for part in self.parts:
            name = part.name.lstrip("_") or "p"
            # SQLite takes upper and lower case for the same, and a verb is no field
            while name.lower() in taken or hasattr(DbModel, name) or name.startswith("model_"):
                name = f"p_{name}" if name.startswith("model_") else f"{name}_"
            taken.add(name.lower())
            found[part.name] = name
        return found

    def _model(self, table: str, parts: Sequence[KeyPart] | None = None) -> type[Entry]:
        columns: dict[str, Any] = {
            self.fields[part.name]: (part.annotation, ...)
            for part in (self.parts if parts is None else parts)
        }
        return create_model(
            "CacheEntry", __base__=Entry, __cls_kwargs__={"table": table}, **columns
        )

    # -- counts

    def count_hit(self) -> bool:
        """Whether so many have gathered now that they should be written."""
        return self._hits.add() % FLUSH_AT == 0

    def count_miss(self) -> None:
        self._misses.add()

    def take_counts(self) -> tuple[int, int]:
        """The hits and misses since they were last taken, to be written."""
        return self._hits.take(), self._misses.take()

    def put_back(self, counts: tuple[int, int]) -> None:
        """Counts that could not be written."""
        self._hits.put_back(counts[0])
        self._misses.put_back(counts[1])

    def forget_counts(self) -> None:
        """In a forked child: what was counted before is the parent's to write."""
        self._hits = Counter()
        self._misses = Counter()

    def write_counts(self, conn: sqlite3.Connection, counts: tuple[int, int]) -> None:
        if any(counts):
            more = {
                "hits": col(KeptFunction.hits) + counts[0],
                "misses": col(KeptFunction.misses) + counts[1],
            }
            KeptFunction.update_where(conn, more, table_name=self.name)

    # -- rows

    def create(self, conn: sqlite3.Connection) -> None:
        """Makes the tables that are missing."""
        self.schema.create_tables(conn)
        names = ", ".join(part.name for part in self.parts)
        known = KeptFunction(
            table_name=self.name, function=self.function, parameters=names, returns=self.returns
        )
        KeptFunction.insert_many(conn, [known], on_conflict="ignore")

    def put(
        self, conn: sqlite3.Connection, key: str, values: Sequence[Any], text: str, at: datetime
    ) -> None:
        """Keeps a value, in the place of the one that was kept before."""
        columns = {self.fields[p.name]: v for p, v in zip(self.parts, values, strict=True)}
        self.model.construct_trusted(
            cache_key=key, cached_value=text, cached_at=at, **columns
        ).save(conn)

    def delete(self, conn: sqlite3.Connection, given: Mapping[str, Any]) -> int:
        """Deletes the entries with these values of parameters."""
        return self.model.delete(conn, **{self.fields[name]: v for name, v in given.items()})

    def delete_all(self, conn: sqlite3.Connection, before: datetime | None = None) -> int:
        """Deletes all entries of the function, or those that were kept before a moment; with
        them those of its former tables, which had other parameters or another return type."""
        deleted = 0
        for kept in KeptFunction.select(conn, function=self.function):
            former = self._model(kept.table_name, ())
            if before is None:
                deleted += former.delete(conn, all_rows=True)
            else:
                deleted += former.delete(conn, lt__cached_at=before)
        return deleted

    def stats(self, conn: sqlite3.Connection) -> CacheStats:
        """What was written of the counts, and how much is kept."""
        kept = KeptFunction.load_by_id(conn, self.name)
        entries = self.model.select_count(conn)
        return CacheStats(kept.hits, kept.misses, entries) if kept else CacheStats(0, 0, entries)

    # -- leases

    def holder(self, conn: sqlite3.Connection, key: str, now: datetime) -> str | None:
        """Who calls the function for this key now."""
        lease = Lease.load_by_id(conn, (self.name, key))
        return lease.owner if lease is not None and lease.holds(now) else None

    def take(
        self, conn: sqlite3.Connection, key: str, owner: str, now: datetime, seconds: float
    ) -> None:
        """Makes somebody the one who calls the function for this key."""
        Lease(
            table_name=self.name, cache_key=key, owner=owner, renewed_at=now, seconds=seconds
        ).save(conn)

    def renew(self, conn: sqlite3.Connection, key: str, owner: str, now: datetime) -> bool:
        """Whether the lease is still the owner's, who goes on."""
        changed = Lease.update_where(
            conn, {"renewed_at": now}, table_name=self.name, cache_key=key, owner=owner
        )
        return changed > 0

    def release(self, conn: sqlite3.Connection, key: str, owner: str) -> bool:
        """Ends a lease; False if it was the owner's no more."""
        return Lease.delete(conn, table_name=self.name, cache_key=key, owner=owner) > 0

    def revoke(self, conn: sqlite3.Connection, key: str | None = None) -> None:
        """Takes a lease, or all of them, from their owners, whose results are then not kept."""
        if key is None:
            Lease.delete(conn, table_name=self.name)
        else:
            Lease.delete(conn, table_name=self.name, cache_key=key)

    # -- pushbacks

    def push_back(
        self, conn: sqlite3.Connection, prefix: str | None, now: datetime, days: float
    ) -> None:
        """Keeps that the function, or what stands below a prefix, is not to be called."""
        name = self.function if prefix is None else prefix
        Pushback(name=name, until=moment(now, days * SECONDS_PER_DAY)).save(conn)

    def is_pushed_back(self, conn: sqlite3.Connection, now: datetime) -> bool:
        return any(
            stands_below(name, pushback.name)
            for pushback in Pushback.select(conn, gt__until=now)
            for name in self.names
        )
