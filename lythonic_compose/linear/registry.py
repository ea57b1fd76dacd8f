"""Where do the objects of a pipeline stand, and what are they? Opened after a run, to look at them.

It reads; what is kept, and for how long, is decided elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Literal, Self, TypeAlias

from ..errors import CacheError, UnknownName, nearest
from ..signature import MISSING
from .cache import Cache, Damaged
from .described import Described
from .snapshots import snapshot

Placement: TypeAlias = Literal["constant", "memory", "cache"]


class ObjectRegistry:
    """The objects of a pipeline by name: its constants, what the last run left, and what is cached.

    Example:
        >>> with pipeline.get_obj_registry() as registry:
        ...     registry.placement
        ...     registry.get("sum")
        {'x': 'constant', 'y': 'constant', 'sum': 'memory'}
        5
    """

    def __init__(
        self, described: Described, left: Mapping[str, Any], cache: Cache | None = None
    ) -> None:
        self._described = described
        self._left = dict(left)
        self._cache = cache
        self._kept = {} if cache is None else cache.objects()
        self._open = True

    @property
    def placement(self) -> dict[str, Placement]:
        """Where each object stands: "constant", "memory" or "cache".

        Raises:
            CacheError: the registry has been closed.
        """
        self._check_open()
        found: dict[str, Placement] = dict.fromkeys(self._described.constants, "constant")
        for name in self._left:
            found[name] = "memory"
        for name, kept in self._kept.items():
            if kept.how != "not kept":
                found[name] = "cache"
        return found

    def has(self, name: str) -> bool:
        """Whether there is an object of this name."""
        return name in self.placement

    def get(self, name: str) -> Any:
        """A copy of an object.

        Raises:
            UnknownName: there is none.
            CacheError: what is in the cache cannot be read back, or the registry has been closed.
        """
        where = self.placement
        if name not in where:
            made = self._described.makers.get(name)
            why = "" if made is None else f" {made.label} makes it, and it is not kept after a run;"
            raise UnknownName(f"there is no object {name!r};{why}{nearest(name, where)[1:]}")
        if where[name] == "constant":
            return snapshot(self._described.constants[name])
        if name in self._left:
            return snapshot(self._left[name])
        assert self._cache is not None
        try:
            return self._cache.value(self._kept[name], self._described.hints.get(name, MISSING))
        except Damaged as error:
            raise CacheError(f"{name!r} cannot be read from {self._cache.path}: {error}") from error

    def close(self) -> None:
        """Lets go of the objects."""
        self._left.clear()
        self._kept.clear()
        self._open = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<registry: {self.placement}>" if self._open else "<registry, closed>"

    def _check_open(self) -> None:
        if not self._open:
            raise CacheError("the registry is closed; pipeline.get_obj_registry() opens another")
