"""What happens around the function of a node, wherever it is run?

Its inputs are copied, its outputs counted, and where that is asked for it is logged, measured,
remembered in the history and kept in the cache. Who calls whom is not known here.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from ..errors import WiringError, enumerated
from .cache import Cache
from .deciding import Decision
from .described import Described, Stage
from .history import HistoryEntry, snapshots
from .memory import MemoryUse, measured
from .snapshots import is_read_once, snapshot

LOG = logging.getLogger("lythonic_compose")


class Performed(NamedTuple):
    """What a function returned, and what of it goes under which name of an output."""

    result: Any
    outputs: tuple[Any, ...]


class Around:
    """What one run does around each of its nodes."""

    def __init__(
        self,
        described: Described,
        history: list[HistoryEntry] | None = None,
        cache: Cache | None = None,
        decision: Decision | None = None,
    ) -> None:
        self._described = described
        self._history = history
        self._cache = cache
        self._decision = decision
        self.ran: list[str] = []
        self.memory: dict[str, MemoryUse] = {}

    def perform(self, stage: Stage, values: Sequence[Any]) -> Performed:
        """Calls the function with copies of these values."""
        copies = [snapshot(value) for value in values]
        seen = self._begun(stage, values)
        with self._measured(stage):
            result = stage.node.call(copies)
        return self._ended(stage, seen, result)

    async def perform_async(self, stage: Stage, values: Sequence[Any]) -> Performed:
        """The same for a function that is awaited."""
        copies = [snapshot(value) for value in values]
        seen = self._begun(stage, values)
        with self._measured(stage):
            result = await stage.node.call(copies)
        return self._ended(stage, seen, result)

    def _begun(self, stage: Stage, values: Sequence[Any]) -> dict[str, Any]:
        LOG.info("[%s] runs", stage.label)
        if self._history is None:
            return {}
        return snapshots(dict(zip(stage.node.inputs, values, strict=True)))

    @contextmanager
    def _measured(self, stage: Stage) -> Generator[None]:
        if not stage.node.profile:
            yield
            return
        with measured() as use:
            yield
        self.memory[stage.label] = use
        LOG.info("[%s] %s", stage.label, use)

    def _ended(self, stage: Stage, seen: dict[str, Any], result: Any) -> Performed:
        outputs = stage.node.spread(result)
        named = dict(zip(stage.node.outputs, outputs, strict=True))
        check_read_once(self._described, stage, outputs)
        if self._cache is not None and self._decision is not None:
            self._keep(self._cache, self._decision, stage, named)
        if self._history is not None:
            entry = {"node": stage.label, "inputs": seen, "outputs": snapshots(named)}
            self._history.append(HistoryEntry(entry))
        self.ran.append(stage.label)
        return Performed(result, outputs)

    def _keep(
        self, cache: Cache, decision: Decision, stage: Stage, named: Mapping[str, Any]
    ) -> None:
        label, node = stage
        if not named or label in decision.holding:
            return
        inputs = {name: decision.versions[name] for name in node.inputs}
        outputs = [(name, value, node.hints[name]) for name, value in named.items()]
        decision.versions.update(cache.keep(label, decision.codes[label], inputs, outputs))


def check_read_once(described: Described, stage: Stage, outputs: Sequence[Any]) -> None:
    """
    Raises:
        WiringError: several nodes would read from one iterator.
    """
    for name, value in zip(stage.node.outputs, outputs, strict=True):
        if is_read_once(value):
            takers = [each.label for each in described.stages if name in each.node.inputs]
            if len(takers) > 1:
                raise WiringError(
                    f"{stage.label} makes {name!r} as an iterator, which can be read once, and "
                    f"{enumerated(takers)} take it; let it return a list"
                )
