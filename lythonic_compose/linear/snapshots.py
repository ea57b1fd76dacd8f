"""How does a node get an object that it may change without anybody else noticing? As a copy.

What can be neither changed nor copied (a number, a connection, an iterator) is handed on as it is.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import AsyncIterator, Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final, TypeVar
from uuid import UUID

from ..outputs.rows import Rows

LOG = logging.getLogger("lythonic_compose")

T = TypeVar("T")

UNCHANGING: Final[frozenset[type]] = frozenset(
    {
        *(bool, int, float, complex, str, bytes, type(None)),
        *(date, datetime, time, timedelta, Decimal, UUID, range, type, type(len), type(lambda: 0)),
    }
)
"""Classes whose objects nobody can change."""


def snapshot(value: T) -> T:
    """A copy of an object with all that is in it; the object itself where there can be none."""
    if value.__class__ in UNCHANGING or isinstance(value, (Iterator, AsyncIterator, Rows)):
        return value
    try:
        return copy.deepcopy(value)
    except Exception as error:  # noqa: BLE001 - any class may refuse to be copied, in its own way
        LOG.debug("a %s cannot be copied, and is shared: %s", type(value).__name__, error)
        return value


def is_read_once(value: Any) -> bool:
    """Whether a value is gone after somebody has read it."""
    return isinstance(value, (Iterator, AsyncIterator))
