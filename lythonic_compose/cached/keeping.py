"""What is kept of one function, and who may call it for a key?

Each question is one transaction with the function's file, in whatever thread it is asked. Nothing
is called and nobody waits here for somebody else.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic.json_schema import GenerateJsonSchema

from lythonic_state.fields import frozen

from ..errors import CacheError, CacheRefreshPushback, WiringError
from ..failpoints import reached
from ..fit import adapter_of, is_known, short, shown
from ..signature import Method
from ..values import decode, exact_text
from .flight import Landed
from .key import Key, NoKey
from .policy import Ttl, moment, ttl
from .renewals import RENEWALS, Held
from .store import UNAVAILABLE, cache_file
from .tables import CacheStats, Entry, Found, FunctionTable

LOG = logging.getLogger("lythonic_compose")

SILENT_SECONDS = 60.0
"""How long the same warning is not repeated."""

utc_now: Callable[[], datetime] = partial(datetime.now, UTC)


class Kept(NamedTuple):
    """What is kept for a key: nothing, or a value that is fresh, or one that is stale."""

    state: Literal["none", "fresh", "stale"] = "none"
    value: Any = None
    text: str | None = None

    def landed(self) -> Landed:
        return Landed(self.value, self.text)


NOTHING = Kept()


@frozen
class Claim:
    """Who may call the function now: the claimant, somebody else, or nobody; or nobody need."""

    state: Literal["free", "taken", "held", "pushed back", "fresh"]
    kept: Kept


class Keeper:
    """The results of a function in their file."""

    def __init__(
        self,
        function: Callable[..., Any],
        names: tuple[str, ...],
        path: Path,
        key: Key,
        ages: Ttl,
        clock: Callable[[], datetime],
        lease: timedelta,
    ) -> None:
        self.names = names
        self.name = names[-1]
        self.file = cache_file(path)
        self._function = function
        self._key = key
        self._ages = ages
        self._clock = clock
        self._lease_seconds = lease.total_seconds()
        if self._lease_seconds <= 0:
            raise CacheError(f"a lease lasts some time, not {lease!r}")
        self._told: dict[str, float] = {}

    @cached_property
    def annotation(self) -> Any:
        """The return type; looked at when first needed, for it may be defined below."""
        found = Method(self._function).return_annotation
        return found if is_known(found) else Any

    @cached_property
    def table(self) -> FunctionTable:
        returns = shown(self.annotation)
        made = FunctionTable(self.names, self._key.parts, returns, _shape_of(self.annotation))
        self.file.tables.append(made)
        return made

    # -- beside calls

    def model(self) -> type[Entry]:
        return self.table.model

    def invalidate(self, **key: Any) -> int:
        parts = [part.name for part in self._key.parts]
        if not key and parts:
            raise CacheError(
                f"invalidate takes parameters of the key ({', '.join(parts)}) by name; "
                "purge() forgets everything"
            )
        self._key.need(key)
        table = self.table

        def work(conn: sqlite3.Connection) -> int:
            table.revoke(conn, self._whole(key))
            return table.delete(conn, key)

        return self.file.write(table, work)

    def purge(self, older_than: float | timedelta | None = None) -> int:
        table = self.table
        before: datetime | None = None
        if older_than is not None:
            before = moment(self._clock(), -ttl(older_than, older_than).max)

        def work(conn: sqlite3.Connection) -> int:
            if before is None:
                table.revoke(conn)
            return table.delete_all(conn, before)

        return self.file.write(table, work)

    def stats(self) -> CacheStats:
        self.file.write(self.table, lambda conn: None)
        return self.file.read(self.table, self.table.stats)

    def _whole(self, key: dict[str, Any]) -> str | None:
        """The key that all parameters together make; None where some are not named."""
        try:
            return self._key.of([key[part.name] for part in self._key.parts])
        except (KeyError, NoKey):
            return None

    # -- for calls

    def judged(self, found: Found | None, chance: float) -> Kept:
        """What an entry is good for now."""
        if found is None:
            return NOTHING
        text, at = found
        decision = self._ages.decide((self._clock() - at).total_seconds(), chance)
        if decision == "call":
            return NOTHING
        try:
            value = decode(text, self.annotation)
        except WiringError:
            return NOTHING
        return Kept("fresh" if decision == "serve" else "stale", value, text)

    def lease(self, key: str, owner: str) -> Held:
        return Held(self.file, self.table, key, owner, self._lease_seconds)

    def claim(self, key: str, chance: float, owner: str, polls: bool) -> Claim:
        """The claim to call the function; `polls` tells that it was held by somebody before.

        Raises:
            StateError, OSError: the file does not do what it should.
        """
        table = self.table

        def look(conn: sqlite3.Connection) -> Claim:
            kept = self.judged(table.load(conn, cache_key=key), chance)
            if kept.state == "fresh":
                return Claim("fresh", kept)
            holder = table.holder(conn, key, utc_now())
            if holder is not None and not RENEWALS.is_left_behind(holder):
                return Claim("held", kept)
            if table.is_pushed_back(conn, self._clock()):
                return Claim("pushed back", kept)
            return Claim("free", kept)

        def take(conn: sqlite3.Connection) -> Claim:
            found = look(conn)
            if found.state != "free":
                return found
            table.take(conn, key, owner, utc_now(), self._lease_seconds)
            return Claim("taken", found.kept)

        if polls:
            found = self.file.read(table, look)
            if found.state != "free":
                return found
        return self.file.write(table, take)

    def keep(self, key: str, owner: str, values: Any, value: Any) -> str | None:
        """Keeps a value; its text, or None where it would not come back as it is."""
        text = exact_text(value, self.annotation)
        if text is None:
            self.tell(
                "value",
                "%s returned a value that would not come back from its cache as it is, and is not "
                "kept: %s",
                self.name,
                short(value),
            )
            self.give_up(key, owner)
            return None
        at = self._clock()
        reached("cache.called")

        def put(conn: sqlite3.Connection) -> None:
            # otherwise it was invalidated, or another owner has taken over
            if self.table.release(conn, key, owner):
                self.table.put(conn, key, values, text, at)
                reached("cache.inside")

        self._write(put)
        reached("cache.kept")
        return text

    def give_up(self, key: str, owner: str, error: Exception | None = None) -> None:
        """Ends a lease without a value, and keeps a pushback."""

        def work(conn: sqlite3.Connection) -> None:
            self.table.release(conn, key, owner)
            if isinstance(error, CacheRefreshPushback):
                self.table.push_back(conn, error.namespace_prefix, self._clock(), error.days)

        self._write(work)

    def write_counts(self) -> None:
        self._write(lambda conn: None)

    def _write(self, work: Callable[[sqlite3.Connection], None]) -> None:
        try:
            self.file.write(self.table, work)
        except UNAVAILABLE as error:
            self.unavailable(error)

    # -- what is said

    def unavailable(self, error: Exception) -> None:
        self.tell("file", "%s does without its cache in %s: %s", self.name, self.file.path, error)

    def tell(self, what: str, text: str, *args: Any) -> None:
        """A warning, at most once in a while for each kind of trouble."""
        now = time.monotonic()
        if now >= self._told.get(what, now):
            self._told[what] = now + SILENT_SECONDS
            LOG.warning(text, *args)


class _Quietly(GenerateJsonSchema):
    ignored_warning_kinds = {"skipped-choice", "non-serializable-default"}


def _shape_of(annotation: Any) -> str:
    """What changes when a value of this type would be kept in another form."""
    adapter = adapter_of(annotation)
    try:
        schema = adapter.json_schema(schema_generator=_Quietly) if adapter is not None else None
    except Exception:  # noqa: BLE001 - of types that have no JSON schema only the name is known
        schema = None
    return json.dumps(schema, sort_keys=True, default=repr)
