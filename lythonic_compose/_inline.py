"""Which functions are so light that they run on the event loop instead of in a thread?

Only the mark and the question for it live here; `call.py` acts on it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])

_MARK = "__lythonic_inline__"


def inline(function: F) -> F:
    """Marks a function that neither waits nor computes for long: it runs on the loop itself.

    Example:
        >>> @inline
        ... def total(prices: list[float]) -> float:
        ...     return sum(prices)
    """
    setattr(function, _MARK, True)
    return function


def is_inline(function: Any) -> bool:
    while isinstance(function, partial):
        function = function.func
    return bool(getattr(function, _MARK, False))
