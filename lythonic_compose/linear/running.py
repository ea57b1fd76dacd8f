"""How is one run of a pipeline prepared and carried out, and what has come of it?

What it is to do is decided first, and what it takes from the cache is read before anything runs:
what cannot be read is made anew. A loop or the engine's runner then carries it out.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lythonic_state.fields import frozen

from ..dag_runner import DagRunner, DagRunResult, Progress
from ..errors import WiringError
from ..events import Listener
from ..signature import MISSING
from .around import Around
from .as_dag import dag_of, given_to
from .cache import Cache, Damaged
from .deciding import Decision, Selection, decided
from .described import Described, Stage
from .history import HistoryEntry
from .program import written
from .result import PipelineResult

LOG = logging.getLogger("lythonic_compose")


def looked_over(described: Described, selection: Selection, cache: Cache | None) -> Decision:
    """What a run is to do, once everything that could be wrong has been looked at.

    Raises:
        DagError: with everything that is wrong.
        CacheError: the cache cannot be read.
    """
    kept = None if cache is None else cache.objects()
    described.check([name for name, each in (kept or {}).items() if each.how != "not kept"])
    return decided(described, selection, kept)


def prepared(
    described: Described,
    selection: Selection,
    cache: Cache | None,
    history: list[HistoryEntry] | None,
    *,
    in_engine: bool,
) -> PipelineRun:
    """A run that knows what it is to do, with what it takes from the cache.

    In the engine, that is all that a node which is reused once returned.

    Raises:
        DagError: with everything that is wrong.
        CacheError: the cache cannot be read.
    """
    decision = looked_over(described, selection, cache)
    loaded: dict[str, Any] = {}
    if cache is not None:
        damaged: set[str] = set()
        with cache.in_use():
            while not _loaded(described, cache, decision, loaded, damaged, in_engine):
                kept = {name: of for name, of in cache.objects().items() if name not in damaged}
                decision = decided(described, selection, kept)
        for each in decision.plan:
            LOG.info("[%s] %s: %s", each.node, each.action, each.why)
    asked, _ = selection.of(described.stages)
    around = Around(described, history, cache, decision)
    return PipelineRun(described, described.finals(asked), decision, loaded, around, cache)


def _loaded(
    described: Described,
    cache: Cache,
    decision: Decision,
    loaded: dict[str, Any],
    damaged: set[str],
    in_engine: bool,
) -> bool:
    """Reads what is reused; False if something of it is damaged, which is not used then."""
    wanted = {**decision.load, **decision.beside} if in_engine else decision.load
    for name, kept in wanted.items():
        if name not in loaded:
            try:
                loaded[name] = cache.value(kept, described.hints.get(name, MISSING))
            except Damaged as error:
                LOG.warning("%r in %s is not used: %s", name, cache.path, error)
                damaged.add(name)
                return False
    return True


@frozen(slots=False)
class PipelineRun:
    """One run of a pipeline, to be carried out once."""

    described: Described
    finals: tuple[str, ...]
    decision: Decision
    loaded: dict[str, Any]
    around: Around
    cache: Cache | None

    def in_use(self) -> AbstractContextManager[None]:
        """A block in which it is carried out."""
        return nullcontext() if self.cache is None else self.cache.in_use()

    def in_a_loop(self) -> PipelineResult:
        """Carries it out here and now.

        Raises:
            RunFailed: a function raised, which is the cause.
            WiringError: a function returned another number of values than it has outputs.
        """
        # what is released there must not stand here
        loaded = {name: self.loaded.pop(name) for name in self.decision.load}
        self.loaded.clear()
        program = written(self.described, self.decision.run, loaded, self.finals, self.around)
        with self.in_use():
            return self._result(program.run())

    def runner(self, provenance: Listener | None, progress: Progress | None) -> DagRunner:
        """The engine's runner of the nodes that run and of those whose outputs are reused."""
        dag = dag_of(self.described, self._stages(), self.around)
        return DagRunner(dag, provenance, progress=progress)

    def asked(self) -> dict[str, Any]:
        """What the runner is asked for."""
        given = given_to(self.described, self._stages(), self.decision.run)
        asked: dict[str, Any] = {"source_inputs": given}
        if len(self.decision.run) < len(self.described.stages):
            reused = [stage for stage in self._stages() if stage not in self.decision.run]
            asked["overrides"] = {stage.label: self._returned(stage) for stage in reused}
            asked["targets"] = [stage.label for stage in self._stages()]
        return asked

    def ended(self, run: DagRunResult, provenance: Listener | None) -> PipelineResult:
        """What has come of it in the engine.

        Raises:
            RunFailed: a function raised, which is the cause.
            WiringError: a function returned another number of values than it has outputs.
        """
        if run.status == "failed" and isinstance(run.exception, WiringError):
            raise run.exception
        if run.status != "paused":
            run.raise_for_status()
        outputs: dict[str, Any] = {}
        for stage in self._stages():
            if stage.label in run.values:
                values = stage.node.spread(run.values[stage.label])
                outputs.update(zip(stage.node.outputs, values, strict=True))
        found = {name: outputs[name] for name in self.finals if name in outputs}
        result = self._result(found)
        result.run_id = None if provenance is None else run.run_id
        result.status = run.status
        return result

    def _result(self, outputs: Mapping[str, Any]) -> PipelineResult:
        result = PipelineResult(outputs, tuple(self.around.ran))
        result.reused = self.decision.reused
        result.memory = self.around.memory
        return result

    def _stages(self) -> list[Stage]:
        """The nodes that run, and those whose outputs they need."""
        makers = {self.described.makers[name].label for name in self.decision.load}
        running = {stage.label for stage in self.decision.run}
        return [each for each in self.described.stages if each.label in running | makers]

    def _returned(self, stage: Stage) -> Any:
        """What a node whose outputs are reused returned."""
        return stage.node.returned([self.loaded[name] for name in stage.node.outputs])
