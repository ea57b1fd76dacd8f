"""In which calls that caches make does the running code stand?

A function may ask for its own cached value, and may refuse to be called around its cache. Who
makes the calls is not known here.
"""

from __future__ import annotations

import sys
from contextvars import ContextVar
from functools import partial
from types import CodeType
from typing import Any

from lythonic_state.fields import frozen

from ..errors import CacheError


@frozen
class Inside:
    """A call that a cache makes: whose, for which key, and of which code."""

    of: object
    key: str
    codes: frozenset[CodeType]


INSIDE: ContextVar[tuple[Inside, ...]] = ContextVar("lythonic_inside_cached", default=())
"""The calls by caches in which the running code stands, the outermost first."""


def stands_inside(of: object, key: str) -> bool:
    """Whether the running code is part of a call by this cache for this key."""
    return any(call.of is of and call.key == key for call in INSIDE.get())


class CacheProhibitDirectCall(CacheError):
    """A function that wants to be called through its cache was called around it."""

    @classmethod
    def require(cls) -> None:
        """Refuses, inside of a function, every call of it that does not come from its cache.

        Example:
            >>> @cached("prices.db", min_ttl=0.25, max_ttl=2)
            ... def price(symbol: str) -> float:
            ...     CacheProhibitDirectCall.require()
            ...     return ask_the_exchange(symbol)

        Raises:
            CacheProhibitDirectCall: the function that stands around it was called directly.
        """
        code = sys._getframe(1).f_code
        if not any(code in call.codes for call in INSIDE.get()):
            raise cls(f"{code.co_qualname} is only to be called through its cache")


def codes_of(function: Any) -> frozenset[CodeType]:
    """The code of a function, and of what its decorators wrap."""
    found: list[CodeType] = []
    while function is not None:
        inner = function.func if isinstance(function, partial) else function
        code = getattr(inner, "__code__", None) or getattr(type(inner).__call__, "__code__", None)
        if isinstance(code, CodeType):
            found.append(code)
        function = inner if inner is not function else getattr(inner, "__wrapped__", None)
    return frozenset(found)
