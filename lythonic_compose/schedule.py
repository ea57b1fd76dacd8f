"""Which nodes are ready?

Pure bookkeeping: labels go in and come out. Nothing is known of functions, values or time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from .graph import downstreams_of


class Schedule:
    """Tells, as nodes end, which others may start and which never will.

    Example:
        >>> schedule = Schedule({"fetch": (), "clean": ("fetch",)})
        >>> schedule.ready()
        ['fetch']
        >>> schedule.completed("fetch")
        ['clean']
    """

    def __init__(
        self,
        upstreams: Mapping[str, Sequence[str]],
        downstreams: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        """`downstreams` are the same read the other way round, where somebody knows them."""
        self._downstreams = downstreams_of(upstreams) if downstreams is None else downstreams
        self._waiting = {label: len(ups) for label, ups in upstreams.items()}
        self._blocked: set[str] = set()

    def ready(self) -> list[str]:
        """Those that wait for nothing, in the order of the plan."""
        return [label for label, count in self._waiting.items() if count == 0]

    def completed(self, label: str) -> list[str]:
        """Those that may start now that this one has completed."""
        released: list[str] = []
        for downstream in self._downstreams[label]:
            self._waiting[downstream] -= 1
            if self._waiting[downstream] == 0 and downstream not in self._blocked:
                released.append(downstream)
        return released

    def failed(self, label: str) -> list[str]:
        """Those that can never start now that this one has failed, in the order of the plan."""
        lost = [each for each in self._behind(label) if each not in self._blocked]
        self._blocked.update(lost)
        place = {label: number for number, label in enumerate(self._waiting)}
        return sorted(lost, key=place.__getitem__)

    def _behind(self, label: str) -> Iterator[str]:
        seen: set[str] = set()
        stack = list(self._downstreams[label])
        while stack:
            here = stack.pop()
            if here not in seen:
                seen.add(here)
                yield here
                stack.extend(self._downstreams[here])
