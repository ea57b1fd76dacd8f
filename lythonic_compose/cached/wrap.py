"""How does a function become one that remembers? `cached`.

What is then answered to its calls stands in `answer.py`.
"""

from __future__ import annotations

import functools
import random as chances
import sys
from collections.abc import Callable, Collection
from datetime import datetime, timedelta
from os import PathLike, fspath
from pathlib import Path
from types import MethodType
from typing import Any, ParamSpec, Protocol, TypeVar, cast

from ..errors import CacheError
from ..signature import Method
from .answer import Answers
from .keeping import Keeper, utc_now
from .key import Key
from .policy import Ttl, ttl
from .tables import CacheStats, Entry

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)
R = TypeVar("R")

LEASE = timedelta(seconds=10)


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
    method = Method(function)
    key = Key(method, ignore)
    keeper = Keeper(function, names, Path(target), key, ages, clock, lease)
    answers = Answers(function, key, keeper, random)
    answering = answers.async_function() if method.is_async else answers.sync_function()
    made: Any = functools.wraps(function)(answering)
    made.invalidate = keeper.invalidate
    made.purge = keeper.purge
    made.stats = keeper.stats
    made.model = keeper.model
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
