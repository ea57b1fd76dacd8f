"""Which functions are so light that they run on the event loop instead of in a thread?

Only the mark and the question for it live here; `call.py` acts on it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeVar

from .marks import mark_of, marked

F = TypeVar("F", bound=Callable[..., Any])

_INLINE: Final = "__lythonic_inline__"


def inline(function: F) -> F:
    """Marks a function that neither waits nor computes for long: it runs on the loop itself.

    Example:
        >>> @inline
        ... def total(prices: list[float]) -> float:
        ...     return sum(prices)
    """
    return marked(function, _INLINE, True, "@inline")


def is_inline(function: Any) -> bool:
    """Whether it, or what a partial or a wrapper stands for, is marked `@inline`."""
    return bool(mark_of(function, _INLINE))
