"""How does a function in a namespace get its cache? `register_cached_callable`, and mounting.

What a cache does is known by `wrap.py`, and what a namespace does by `registry.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from datetime import timedelta
from os import PathLike
from typing import Any

from lythonic_state.fields import frozen

from ..config import NsCacheConfig
from ..errors import ConfigError
from ..registered import NamespaceNode
from ..registry import Namespace
from ..signature import Method
from .key import Key
from .policy import length, ttl
from .wrap import Cached, is_bound, name_of, remember


@frozen
class CacheStorage:
    """The part of a namespace's storage that caches need."""

    cache_db: str | PathLike[str]


def register_cached_callable(
    ns: Namespace,
    gref: str | Callable[..., Any],
    min_ttl: float | timedelta,
    max_ttl: float | timedelta,
    db_path: str | PathLike[str],
    nsref: str | None = None,
    *,
    ignore: Collection[str] = (),
    tags: Iterable[str] | None = None,
) -> NamespaceNode:
    """Registers a function, or a reference to one, whose results are kept in a SQLite file.

    Ages are days; see `cached` for what they mean. Without `nsref` it stands under its module and
    name.

    Example:
        >>> register_cached_callable(
        ...     ns, "myapp.api:price", 0.5, 2, db_path="cache.db", nsref="market:price"
        ... )
        >>> ns.market.price(symbol="ACME")

    Raises:
        CacheError: a parameter's type is not simple, the function cannot be cached, or the ages
            make no sense; nothing is registered then.
        NamespaceError: the path is malformed or taken.
        ImportFailed: the reference cannot be imported.
    """
    ages = ttl(min_ttl, max_ttl)
    Key(Method(gref), ignore)
    config = NsCacheConfig(min_ttl=length(ages.min), max_ttl=length(ages.max), ignore=tuple(ignore))
    node = ns.register(gref, nsref, tags=tags, config=config)
    node.mount(CacheStorage(db_path))
    return node


def mount_cached(node: NamespaceNode, call: Callable[..., Any], storage: Any) -> Cached[..., Any]:
    """What calls of a node go through, once its namespace has a storage."""
    config = node.config
    assert isinstance(config, NsCacheConfig)
    path = getattr(storage, "cache_db", None)
    if path is None:
        raise ConfigError(f"{node.nsref} has a cache, and {storage!r} says no cache_db for it")
    # objects of one class share their methods' names, and not their results
    own = f"{call.__qualname__}@{node.nsref}" if is_bound(call) else name_of(call)
    return remember(
        call,
        name=own,
        also=str(node.nsref),
        path=path,
        ages=ttl(config.min_ttl, config.max_ttl),
        ignore=config.ignore,
    )
