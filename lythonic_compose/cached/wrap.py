"""How does a function become one that remembers? `cached`.

What happens in a call that cannot be answered at once is written once, as a generator of steps,
and carried out by two short loops, one for sync and one for async functions.
"""

from __future__ import annotations

import asyncio
import functools
import json
import logging
import random as chances
import sqlite3
import sys
import time
from collections.abc import Callable, Collection, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property, partial
from os import PathLike, fspath
from pathlib import Path
from types import CodeType, MethodType
from typing import Any, Literal, NamedTuple, ParamSpec, Protocol, TypeAlias, TypeVar, cast

from pydantic.json_schema import GenerateJsonSchema

from ..call import in_thread, result_of, to_the_end
from ..errors import CacheError, CacheRefreshPushback, CacheRefreshSuppressed, WiringError
from ..failpoints import reached
from ..fit import adapter_of, is_known, short, shown
from ..signature import Method
from ..values import decode, exact_text
from .flight import INSIDE, RENEWALS, Flights, Held, Inside, Landed
from .key import Key, NoKey
from .policy import Ttl, moment, ttl
from .store import UNAVAILABLE, MustWait, cache_file
from .tables import CacheStats, Entry, FunctionTable

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")

LOG = logging.getLogger("lythonic_compose")

LEASE = timedelta(seconds=10)
FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.25
SILENT_SECONDS = 60.0
"""How long the same warning is not repeated."""


utc_now: Callable[[], datetime] = partial(datetime.now, UTC)


class Cached(Protocol[P, R_co]):
    """What `cached` makes of a function: it is called in the same way, and can do this besides."""

    __name__: str
    __wrapped__: Callable[..., Any]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    def model(self) -> type[Entry]:
        """The model of what is kept, with a column for each parameter, for queries of your own.

        Example:
            >>> with open_sqlite_db("prices.db", readonly=True) as conn:
            ...     price.model().select(conn, symbol="ACME", order_by="-cached_at")
        """
        ...

    def invalidate(self, **key: Any) -> int:
        """Forgets the results for these arguments, of any value for those that are not named.

        Returns how many were forgotten. A call that is under way is not kept.

        Example:
            >>> price.invalidate(symbol="ACME")

        Raises:
            UnknownCacheKey: it is no parameter of the key.
            CacheError: no parameter was named; `purge()` forgets everything.
            DatabaseError: the file does not do what it should.
        """
        ...

    def purge(self, older_than: float | timedelta | None = None) -> int:
        """Forgets all results, or those older than so many days; returns how many they were.

        Example:
            >>> price.purge(older_than=30)

        Raises:
            CacheError: `older_than` is no length of time.
            DatabaseError: the file does not do what it should.
        """
        ...

    def stats(self) -> CacheStats:
        """How often it was answered without a call, and how often not.

        Example:
            >>> price.stats().hits

        Raises:
            DatabaseError: the file does not do what it should.
        """
        ...


def cached(
    path: str | PathLike[str],
    min_ttl: float | timedelta,
    max_ttl: float | timedelta,
    ignore: Collection[str] = (),
    *,
    clock: Callable[[], datetime] = utc_now,
    random: Callable[[], float] = chances.random,
    lease: timedelta = LEASE,
) -> Callable[[Callable[P, R]], Cached[P, R]]:
    """Keeps the results of a function, sync or async, in a SQLite file.

    A result younger than `min_ttl` is served from the file. From then on it is refreshed with a
    probability that grows to 1 at `max_ttl`, and served all the same if that fails. Numbers are
    days. Parameters in `ignore` are no part of the key. A file that does not do what it should is
    logged, and the function called.

    Example:
        >>> @cached("prices.db", min_ttl=timedelta(hours=6), max_ttl=2, ignore=("client",))
        ... def price(symbol: str, day: date, client: Client | None = None) -> float: ...

    Raises:
        CacheError: a parameter's type is not simple, the function cannot be cached, or the ages
            make no sense.
        UnknownCacheKey: `ignore` names no parameter.
    """
    ages = ttl(min_ttl, max_ttl)

    def decorate(function: Callable[P, R]) -> Cached[P, R]:
        return remember(
            function,
            name=name_of(function),
            path=path,
            ages=ages,
            ignore=ignore,
            clock=clock,
            random=random,
            lease=lease,
        )

    return decorate


def remember(
    function: Callable[P, R],
    *,
    name: str,
    also: str | None = None,
    path: str | PathLike[str],
    ages: Ttl,
    ignore: Collection[str] = (),
    clock: Callable[[], datetime] = utc_now,
    random: Callable[[], float] = chances.random,
    lease: timedelta = LEASE,
) -> Cached[P, R]:
    """`cached` for a function of any kind, under a name that tells its results from others'.

    It is `also` known by another name, by which it can be pushed back.
    """
    target = fspath(path)
    if "://" in target or target == ":memory:":
        raise CacheError(f"a cache is a SQLite file and needs a path, not {target!r}")
    names = (name,) if also is None else (name, also)
    cache = Cache(function, names, Path(target), ages, ignore, clock, random, lease)
    made: Any = functools.wraps(function)(
        cache.async_function() if cache.method.is_async else cache.sync_function()
    )
    made.invalidate = cache.invalidate
    made.purge = cache.purge
    made.stats = cache.stats
    made.model = cache.model
    return cast("Cached[P, R]", made)


def name_of(function: Callable[..., Any]) -> str:
    """The name under which a function's results are kept: "module:qualified.name".

    Raises:
        CacheError: it has none that is its own.
    """
    if is_bound(function):
        raise CacheError(
            f"{function.__qualname__} is bound to one object, and others of its class would share "
            "its results; cache a function that takes what results depend on"
        )
    qualified = getattr(function, "__qualname__", None)
    module = getattr(function, "__module__", None)
    if not isinstance(qualified, str) or not isinstance(module, str):
        raise CacheError(
            f"{function!r} has no name under which its results could be kept; wrap it in a function"
        )
    return f"{_module_name(module)}:{qualified}"


def is_bound(function: Callable[..., Any]) -> bool:
    """Whether it is a method of an object, rather than of a class."""
    return isinstance(function, MethodType) and not isinstance(function.__self__, type)


def _module_name(module: str) -> str:
    """A script is called as if it were imported, so that it shares its results with itself."""
    if module != "__main__":
        return module
    main = sys.modules.get("__main__")
    spec = getattr(main, "__spec__", None)
    if spec is not None:
        return str(spec.name)
    file = getattr(main, "__file__", None)
    return Path(file).stem if file else module


# --- steps ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Blocking:
    """Do this, which may wait for a disk or a lock."""

    work: Callable[[], Any]


@dataclass(frozen=True, slots=True)
class Wait:
    """Wait for the flight of somebody else, which gives a `Landed`."""

    flight: Future[Landed]


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait a moment."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Call:
    """Call the function, which gives a `Landed`, too."""

    inside: Inside


Step: TypeAlias = Blocking | Wait | Pause | Call
Steps: TypeAlias = Generator[Step, Any, Landed]


def _carry_out(steps: Steps, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Carries out the steps of a sync function's call; what it raises is raised."""
    landed = Landed(cut_short=True)
    try:
        step = steps.send(None)
        while True:
            try:
                result = _carried_out(step, function, args, kwargs)
            except BaseException as error:  # noqa: BLE001 - thrown into the steps
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as done:
        landed = done.value
    return landed.result()


def _carried_out(step: Step, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    match step:
        case Blocking(work):
            return work()
        case Wait(flight):
            return flight.result()
        case Pause(seconds):
            time.sleep(seconds)
            return None
        case Call(inside):
            token = INSIDE.set((*INSIDE.get(), inside))
            try:
                return Landed(function(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - the steps say what becomes of it
                return Landed(error=error)
            finally:
                INSIDE.reset(token)


async def _carry_out_async(
    steps: Steps, function: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    """The same of an async function; nothing on the loop waits for a disk or a lock."""
    landed = Landed(cut_short=True)
    try:
        step = steps.send(None)
        while True:
            try:
                result = await _carried_out_async(step, function, args, kwargs)
            except BaseException as error:  # noqa: BLE001 - thrown into the steps
                step = steps.throw(error)
            else:
                step = steps.send(result)
    except StopIteration as done:
        landed = done.value
    return landed.result()


async def _carried_out_async(
    step: Step, function: Callable[..., Any], args: Any, kwargs: Any
) -> Any:
    match step:
        case Blocking(work):
            return await to_the_end(in_thread(work))
        case Wait(flight):
            return await result_of(flight)
        case Pause(seconds):
            return await asyncio.sleep(seconds)
        case Call(inside):
            token = INSIDE.set((*INSIDE.get(), inside))
            try:
                return Landed(await function(*args, **kwargs))
            except Exception as error:  # noqa: BLE001 - the steps say what becomes of it
                return Landed(error=error)
            finally:
                INSIDE.reset(token)


# --- a cached function ----------------------------------------------------------------------


class _Kept(NamedTuple):
    """What is kept for a key: nothing, or a value that is fresh, or one that is stale."""

    state: Literal["none", "fresh", "stale"] = "none"
    value: Any = None
    text: str | None = None

    def landed(self) -> Landed:
        return Landed(self.value, self.text)


_NOTHING = _Kept()
_NOT_FRESH: Any = object()


@dataclass(frozen=True, slots=True)
class _Claim:
    """Who may call the function now: the claimant, somebody else, or nobody; or nobody need."""

    state: Literal["free", "taken", "held", "pushed back", "fresh"]
    kept: _Kept


class Cache:
    """A function with its key, its ages and its table."""

    def __init__(
        self,
        function: Callable[..., Any],
        names: tuple[str, ...],
        path: Path,
        ages: Ttl,
        ignore: Collection[str],
        clock: Callable[[], datetime],
        random: Callable[[], float],
        lease: timedelta,
    ) -> None:
        self.function = function
        self.names = names
        self.name = names[-1]
        self.method = Method(function)
        self.key = Key(self.method, ignore)
        self.ages = ages
        self.file = cache_file(path)
        self._clock = clock
        self._random = random
        self._lease_seconds = lease.total_seconds()
        if self._lease_seconds <= 0:
            raise CacheError(f"a lease lasts some time, not {lease!r}")
        self._flights = Flights()
        self._codes = _codes_of(function)
        self._told: dict[str, float] = {}

    @cached_property
    def annotation(self) -> Any:
        """The return type; looked at when first needed, for it may be defined below."""
        found = Method(self.function).return_annotation
        return found if is_known(found) else Any

    @cached_property
    def table(self) -> FunctionTable:
        returns = shown(self.annotation)
        made = FunctionTable(self.names, self.key.parts, returns, _shape_of(self.annotation))
        self.file.tables.append(made)
        return made

    # -- beside calls

    def model(self) -> type[Entry]:
        return self.table.model

    def invalidate(self, **key: Any) -> int:
        parts = [part.name for part in self.key.parts]
        if not key and parts:
            raise CacheError(
                f"invalidate takes parameters of the key ({', '.join(parts)}) by name; "
                "purge() forgets everything"
            )
        self.key.need(key)
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
            return self.key.of([key[part.name] for part in self.key.parts])
        except (KeyError, NoKey):
            return None

    # -- calls

    def sync_function(self) -> Callable[..., Any]:
        """What takes the place of a sync function."""
        key_values, key_of = self.key.values, self.key.of

        def call(*args: Any, **kwargs: Any) -> Any:
            try:
                values = key_values(*args, **kwargs)
                key = key_of(values)
            except (NoKey, TypeError) as error:
                steps = self._without_key(error)
            else:
                chance = self._random()
                kept: _Kept | None = None
                try:
                    entry = self.file.get(self.table, key)
                    value = self._fresh(entry, chance)
                    if value is not _NOT_FRESH:
                        if self.table.count_hit():
                            self._write_counts()
                        return value
                    kept = self._judged(entry, chance)
                except UNAVAILABLE as error:
                    self._unavailable(error)
                steps = self._answer(key, chance, kept, values)
            return _carry_out(steps, self.function, args, kwargs)

        return call

    def async_function(self) -> Callable[..., Any]:
        """What takes the place of an async function."""
        key_values, key_of = self.key.values, self.key.of

        async def call(*args: Any, **kwargs: Any) -> Any:
            try:
                values = key_values(*args, **kwargs)
                key = key_of(values)
            except (NoKey, TypeError) as error:
                steps = self._without_key(error)
            else:
                chance = self._random()
                kept: _Kept | None = None
                try:
                    try:
                        entry = self.file.get_at_once(self.table, key)
                    except MustWait:
                        entry = await in_thread(partial(self.file.get_and_open, self.table, key))
                    value = self._fresh(entry, chance)
                    if value is not _NOT_FRESH:
                        if self.table.count_hit():
                            await in_thread(self._write_counts)
                        return value
                    kept = self._judged(entry, chance)
                except UNAVAILABLE as error:
                    self._unavailable(error)
                steps = self._answer(key, chance, kept, values)
            return await _carry_out_async(steps, self.function, args, kwargs)

        return call

    def _fresh(self, entry: Entry | None, chance: float) -> Any:
        """The value of an entry that is to be served, else `_NOT_FRESH`: the short way of a hit."""
        if entry is None:
            return _NOT_FRESH
        age = (self._clock() - entry.cached_at).total_seconds()
        if self.ages.decide(age, chance) != "serve":
            return _NOT_FRESH
        try:
            return decode(entry.cached_value, self.annotation)
        except WiringError:
            return _NOT_FRESH

    def _judged(self, entry: Entry | None, chance: float) -> _Kept:
        if entry is None:
            return _NOTHING
        age = (self._clock() - entry.cached_at).total_seconds()
        decision = self.ages.decide(age, chance)
        if decision == "call":
            return _NOTHING
        try:
            value = decode(entry.cached_value, self.annotation)
        except WiringError:
            return _NOTHING
        return _Kept("fresh" if decision == "serve" else "stale", value, entry.cached_value)

    def _without_key(self, error: NoKey | TypeError) -> Steps:
        # of wrong arguments the function itself tells
        if isinstance(error, NoKey):
            self._tell("key", "%s was called without its cache: %s", self.name, error)
        landed: Landed = yield Call(Inside(self, "", self._codes))
        return landed

    def _answer(self, key: str, chance: float, kept: _Kept | None, values: Any) -> Steps:
        """What happens when the value cannot be served at once; `kept` is None if the file does
        not do what it should."""
        here = Inside(self, key, self._codes)
        if any(call.of is self and call.key == key for call in INSIDE.get()):
            # it asks for what it is computing, and cannot wait for it
            nested: Landed = yield Call(here)
            return nested
        while True:
            flight, mine = self._flights.join(key)
            if mine:
                break
            if kept is not None and kept.state == "stale":
                self.table.count_hit()
                return kept.landed()
            landed: Landed = yield Wait(flight)
            if not landed.cut_short:
                self.table.count_hit()
                return self._own(landed)
        landed = Landed(cut_short=True)
        try:
            if kept is None:
                self.table.count_miss()
                landed = yield Call(here)
            else:
                landed = yield from self._lead(key, chance, here, values)
            return landed
        finally:
            self._flights.land(key, flight, landed)

    def _own(self, landed: Landed) -> Landed:
        """The result of another's call, without sharing its mutable value."""
        if landed.text is None:
            return landed
        return Landed(decode(landed.text, self.annotation), landed.text)

    def _lead(self, key: str, chance: float, here: Inside, values: Any) -> Steps:
        """Calls the function under a lease, unless somebody else does or has, or nobody may."""
        owner = RENEWALS.new_owner()
        lease = Held(self.file, self.table, key, owner, self._lease_seconds)
        RENEWALS.begin(lease)
        try:
            claim: _Claim | None = yield from self._claimed(key, chance, owner)
            if claim is None:
                self.table.count_miss()
                uncached: Landed = yield Call(here)
                return uncached
            if claim.state == "taken":
                self.table.count_miss()
                landed: Landed = yield Call(here)
                if landed.error is None:
                    text = yield Blocking(partial(self._keep, key, owner, values, landed.value))
                    return Landed(landed.value, text)
                yield Blocking(partial(self._give_up, key, owner, landed.error))
                return self._instead(landed.error, claim.kept)
        except BaseException:  # cut short, perhaps after the lease was taken
            yield Blocking(partial(self._give_up, key, owner))
            raise
        finally:
            RENEWALS.end(lease)
        if claim.kept.state == "none":
            return Landed(error=self._suppressed())
        self.table.count_hit()
        return claim.kept.landed()

    def _claimed(self, key: str, chance: float, owner: str) -> Generator[Step, Any, _Claim | None]:
        """The claim to call the function, once nobody else is calling it whose result has to be
        waited for; None if the file does not do what it should."""
        pause, polls = FIRST_PAUSE, False
        while True:
            try:
                claim: _Claim = yield Blocking(partial(self._claim, key, chance, owner, polls))
            except UNAVAILABLE as error:
                self._unavailable(error)
                return None
            if claim.state != "held" or claim.kept.state == "stale":
                return claim
            yield Pause(pause)
            pause, polls = min(pause * 1.5, LONGEST_PAUSE), True

    def _instead(self, error: Exception, kept: _Kept) -> Landed:
        """What a failed call gives."""
        if kept.state == "stale":
            LOG.warning(
                "%s could not be refreshed, so its kept value is served: %r", self.name, error
            )
            return kept.landed()
        if isinstance(error, CacheRefreshPushback):
            suppressed = self._suppressed()
            suppressed.__cause__ = error
            return Landed(error=suppressed)
        return Landed(error=error)

    # -- what may wait for the disk

    def _claim(self, key: str, chance: float, owner: str, polls: bool) -> _Claim:
        table = self.table

        def look(conn: sqlite3.Connection) -> _Claim:
            kept = self._judged(table.load(conn, key), chance)
            if kept.state == "fresh":
                return _Claim("fresh", kept)
            holder = table.holder(conn, key, utc_now())
            if holder is not None and not RENEWALS.is_left_behind(holder):
                return _Claim("held", kept)
            if table.is_pushed_back(conn, self._clock()):
                return _Claim("pushed back", kept)
            return _Claim("free", kept)

        def take(conn: sqlite3.Connection) -> _Claim:
            found = look(conn)
            if found.state != "free":
                return found
            table.take(conn, key, owner, utc_now(), self._lease_seconds)
            return _Claim("taken", found.kept)

        if polls:
            found = self.file.read(table, look)
            if found.state != "free":
                return found
        return self.file.write(table, take)

    def _keep(self, key: str, owner: str, values: Any, value: Any) -> str | None:
        """Keeps a value; its text, or None where it would not come back as it is."""
        text = exact_text(value, self.annotation)
        if text is None:
            self._tell(
                "value",
                "%s returned a value that would not come back from its cache as it is, and is not "
                "kept: %s",
                self.name,
                short(value),
            )
            self._give_up(key, owner)
            return None
        at = self._clock()
        reached("cache.called")

        def put(conn: sqlite3.Connection) -> None:
            # otherwise it was invalidated, or another owner has taken over
            if self.table.release(conn, key, owner):
                self.table.put(conn, key, values, text, at)
                reached("cache.inside")

        try:
            self.file.write(self.table, put)
        except UNAVAILABLE as error:
            self._unavailable(error)
        reached("cache.kept")
        return text

    def _give_up(self, key: str, owner: str, error: Exception | None = None) -> None:
        """Ends a lease without a value, and keeps a pushback."""

        def work(conn: sqlite3.Connection) -> None:
            self.table.release(conn, key, owner)
            if isinstance(error, CacheRefreshPushback):
                self.table.push_back(conn, error.namespace_prefix, self._clock(), error.days)

        try:
            self.file.write(self.table, work)
        except UNAVAILABLE as unavailable:
            self._unavailable(unavailable)

    def _write_counts(self) -> None:
        try:
            self.file.write(self.table, lambda conn: None)
        except UNAVAILABLE as error:
            self._unavailable(error)

    # -- what is said

    def _suppressed(self) -> CacheRefreshSuppressed:
        return CacheRefreshSuppressed(
            f"{self.name} has asked not to be called for a while, and no value is kept that is "
            "young enough; try again later"
        )

    def _unavailable(self, error: Exception) -> None:
        self._tell("file", "%s does without its cache in %s: %s", self.name, self.file.path, error)

    def _tell(self, what: str, text: str, *args: Any) -> None:
        """A warning, at most once in a while for each kind of trouble."""
        now = time.monotonic()
        if now >= self._told.get(what, now):
            self._told[what] = now + SILENT_SECONDS
            LOG.warning(text, *args)


def _codes_of(function: Any) -> frozenset[CodeType]:
    """The code of a function, and of what its decorators wrap."""
    found: list[CodeType] = []
    while function is not None:
        inner = function.func if isinstance(function, partial) else function
        code = getattr(inner, "__code__", None) or getattr(type(inner).__call__, "__code__", None)
        if isinstance(code, CodeType):
            found.append(code)
        function = inner if inner is not function else getattr(inner, "__wrapped__", None)
    return frozenset(found)


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
