"""How is a result kept, so that the next call need not be made? The door; it only re-exports.

`lythonic_compose.cached` is this module and, called, the decorator: `from lythonic_compose import
cached` cannot give one without hiding the other.
"""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

from ..config import NsCacheConfig
from ..errors import (
    CacheError,
    CacheRefreshPushback,
    CacheRefreshSuppressed,
    UnknownCacheKey,
)
from .inside import CacheProhibitDirectCall
from .mounting import mount_cached, register_cached_callable
from .tables import CacheStats
from .wrap import Cached, cached

__all__ = [
    "CacheError",
    "CacheProhibitDirectCall",
    "CacheRefreshPushback",
    "CacheRefreshSuppressed",
    "CacheStats",
    "Cached",
    "NsCacheConfig",
    "UnknownCacheKey",
    "cached",
    "mount_cached",
    "register_cached_callable",
]


class _Door(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return cached(*args, **kwargs)


sys.modules[__name__].__class__ = _Door
