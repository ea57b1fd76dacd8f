"""What does the user write? The face of what a pipeline is, of its plan, its runs and its objects.

Every method hands on to a room; nothing is decided here.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import cached_property
from logging import INFO
from os import PathLike
from pathlib import Path
from typing import Any

from ..dag import Dag
from ..dag_runner import Progress, utc_now
from ..errors import DagError, WrongKind
from ..events import Listener
from ..signature import MISSING
from .around import Around
from .as_dag import dag_of
from .cache import Cache
from .configuration import merged
from .deciding import WHOLE, PipelinePlan, Selection
from .described import Described, stages_of
from .history import HistoryEntry
from .identity import same
from .node import Node
from .program import Program, written
from .registry import ObjectRegistry
from .result import PipelineResult
from .running import PipelineRun, looked_over, prepared
from .snapshots import snapshot

LOG = logging.getLogger("lythonic_compose")

CACHE_STORAGE_PATH = "./.cache/data_storage"


class Pipeline:
    """Nodes that run one after the other, with named inputs and outputs.

    An input is an output of a node before it, a constant, or `config.<path>` from the
    configuration. Nodes get copies, so that none can alter what another gets; an object is released
    after the last node that takes it. With `track_history` there is a snapshot of what each node
    took and made. With `use_persistent_cache` outputs stay in a file, and a run does not make again
    what is there already and what its code would still make; objects that are no plain typed values
    are pickled for that, so open no cache file from a source that you do not trust.

    Example:
        >>> pipeline = Pipeline([Node(add, inputs=["x", "y"], outputs=["sum"])], x=2, y=3)
        >>> pipeline.run()["sum"]
        5

    Raises:
        WrongKind: something among the nodes is no `Node`.
        DagError: an object has two makers, or is made and given.
    """

    def __init__(
        self,
        nodes: Sequence[Node],
        config: Any = None,
        track_history: bool = False,
        use_persistent_cache: bool = False,
        cache_storage_path: str | PathLike[str] = CACHE_STORAGE_PATH,
        **constants: Any,
    ) -> None:
        given = {name: snapshot(value) for name, value in constants.items()}
        self._described = Described(stages_of(nodes), given, snapshot(config))
        self._described.check_names()
        self._track_history = track_history
        self._use_persistent_cache = use_persistent_cache
        self._cache_storage_path = Path(cache_storage_path)
        self.history: list[HistoryEntry] = []
        """What each node of the last run took and made, with `track_history`."""
        self._left: Mapping[str, Any] = {}
        self._plain: Program | None = None

    def __repr__(self) -> str:
        return f"<Pipeline of {len(self._described.stages)} nodes>"

    # what it is

    @property
    def nodes(self) -> tuple[Node, ...]:
        """The nodes in their order."""
        return tuple(stage.node for stage in self._described.stages)

    @property
    def config(self) -> Any:
        """The configuration, as it was given; a copy."""
        return snapshot(self._described.config)

    @property
    def track_history(self) -> bool:
        """Whether runs are remembered in `history`."""
        return self._track_history

    @property
    def use_persistent_cache(self) -> bool:
        """Whether outputs stay in a file."""
        return self._use_persistent_cache

    @property
    def cache_storage_path(self) -> Path:
        """The file in which they stay."""
        return self._cache_storage_path

    @property
    def node_order(self) -> list[str]:
        """The names of the nodes in their order; the second `clean` is called `clean_2`."""
        return [stage.label for stage in self._described.stages]

    @property
    def nodes_info(self) -> list[dict[str, Any]]:
        """For each node its name as "func", and the names of its "inputs" and "outputs"."""
        return [
            {"func": label, "inputs": list(node.inputs), "outputs": list(node.outputs)}
            for label, node in self._described.stages
        ]

    @property
    def output_hints(self) -> dict[str, Any]:
        """The declared type of each output by its name; None where nobody says."""
        return {
            name: None if hint is MISSING else hint for name, hint in self._described.hints.items()
        }

    def __add__(self, other: Any) -> Pipeline:
        """Both one after the other, with the constants and the configurations of both.

        Example:
            >>> (features + writers).run()

        Raises:
            WrongKind: the other is no pipeline.
            DagError: they make the same output, or say two different things under one name.
        """
        if not isinstance(other, Pipeline):
            raise WrongKind(f"a pipeline can only be added to a Pipeline, not to {other!r}")
        mine, theirs = self._described, other._described
        clashes = [
            name
            for name in mine.constants
            if name in theirs.constants and not same(mine.constants[name], theirs.constants[name])
        ]
        if clashes:
            raise DagError(
                [f"the pipelines have two values for the constant {name!r}" for name in clashes]
            )
        kept = [each for each in (self, other) if each._use_persistent_cache]
        if len({each._cache_storage_path for each in kept}) > 1:
            raise DagError(
                f"the pipelines keep objects in two places, {self._cache_storage_path} and "
                f"{other._cache_storage_path}; give both the same cache_storage_path"
            )
        return Pipeline(
            [*self.nodes, *other.nodes],
            config=merged(mine.config, theirs.config),
            track_history=self._track_history or other._track_history,
            use_persistent_cache=bool(kept),
            cache_storage_path=(kept or [self])[0]._cache_storage_path,
            **{**theirs.constants, **mine.constants},
        )

    def to_dag(self) -> Dag:
        """The same work as a Dag, with everything that a Dag has; nodes stay in their order.

        Example:
            >>> DagRunner(pipeline.to_dag(), provenance).restart_sync(run_id)

        Raises:
            DagError: an input is missing, or anything else is wrong.
        """
        self._described.check()
        return dag_of(self._described, self._described.stages, Around(self._described))

    # what a run would do

    def plan(
        self,
        *,
        only: Sequence[str] | None = None,
        from_node: str | None = None,
        to_node: str | None = None,
    ) -> PipelinePlan:
        """What a run would do with each node, and why: run it, reuse its outputs, or skip it.

        Example:
            >>> print(pipeline.plan())

        Raises:
            DagError: with everything that is wrong.
            CacheError: the cache cannot be read.
        """
        selection = _selection(only, from_node, to_node)
        cache = self._cache()
        return PipelinePlan(tuple(looked_over(self._described, selection, cache).plan))

    # running it

    def run(
        self,
        *,
        provenance: Listener | None = None,
        only: Sequence[str] | None = None,
        from_node: str | None = None,
        to_node: str | None = None,
        progress: Progress | None = None,
    ) -> PipelineResult:
        """Runs the nodes one after the other, or some of them.

        `only` runs these nodes, `from_node` this one and those behind it, whatever is cached;
        `to_node` ends with this one. What they take of others has to be in the cache. With
        `provenance` or `progress`, with nodes that are awaited, and with `retry`, `timeout` or
        `write`, it is run as its Dag is; else in a plain loop.

        Example:
            >>> pipeline.run()["model"]
            >>> pipeline.run(provenance=DagProvenance("runs.db")).run_id

        Raises:
            DagError: with everything that is wrong; nothing has started.
            CacheError: the cache cannot be read; nothing has started.
            RunFailed: a function raised, which is the cause.
            WiringError: a function returned another number of values than it has outputs.
        """
        plain = self._plain
        if (
            plain is not None
            and (provenance is None and progress is None)
            and (only is None and from_node is None and to_node is None)
            and not LOG.isEnabledFor(INFO)
        ):
            self._left = outputs = plain.run()
            return PipelineResult(outputs, plain.labels)
        selection = _selection(only, from_node, to_node)
        if provenance is not None or progress is not None or self._needs_engine:
            run = self._prepared(selection, in_engine=True)
            with run.in_use():
                ran = run.runner(provenance, progress).run_sync(**run.asked())
            return self._ended(run.ended(ran, provenance))
        result = self._ended(self._prepared(selection, in_engine=False).in_a_loop())
        self._write_plain_program()
        return result

    async def run_async(
        self,
        *,
        provenance: Listener | None = None,
        only: Sequence[str] | None = None,
        from_node: str | None = None,
        to_node: str | None = None,
        progress: Progress | None = None,
    ) -> PipelineResult:
        """The same to be awaited; functions that are not awaited run in threads meanwhile.

        Example:
            >>> result = await pipeline.run_async()

        Raises:
            DagError: with everything that is wrong; nothing has started.
            CacheError: the cache cannot be read; nothing has started.
            RunFailed: a function raised, which is the cause.
            WiringError: a function returned another number of values than it has outputs.
        """
        run = self._prepared(_selection(only, from_node, to_node), in_engine=True)
        with run.in_use():
            ran = await run.runner(provenance, progress).run(**run.asked())
        return self._ended(run.ended(ran, provenance))

    def _write_plain_program(self) -> None:
        """What the next runs are, where nothing is asked for but to call the functions."""
        asked = self._track_history or self._use_persistent_cache
        if self._plain is None and not asked and not any(node.profile for node in self.nodes):
            described = self._described
            self._plain = written(described, described.stages, {}, described.finals(), None)

    def _prepared(self, selection: Selection, *, in_engine: bool) -> PipelineRun:
        self.history = []
        history = self.history if self._track_history else None
        return prepared(self._described, selection, self._cache(), history, in_engine=in_engine)

    def _ended(self, result: PipelineResult) -> PipelineResult:
        self._left = result.outputs
        return result

    @cached_property
    def _needs_engine(self) -> bool:
        return any(
            node.method.is_async or node.retry or node.timeout or node.write for node in self.nodes
        )

    # its objects

    def get_obj_registry(self) -> ObjectRegistry:
        """The objects that are there now: constants, what the last run left, what is cached.

        Example:
            >>> with pipeline.get_obj_registry() as registry:
            ...     registry.get("sum")

        Raises:
            CacheError: the cache cannot be read.
        """
        return ObjectRegistry(self._described, self._left, self._cache())

    def forget(self, *names: str) -> int:
        """Removes objects from the persistent cache, all of them if none is named; how many.

        Example:
            >>> pipeline.forget("df_features")

        Raises:
            CacheError: the cache cannot be written.
        """
        cache = self._cache()
        return 0 if cache is None else cache.forget(names or None)

    def _cache(self) -> Cache | None:
        return Cache(self._cache_storage_path, utc_now) if self._use_persistent_cache else None


def _selection(only: Sequence[str] | None, from_node: str | None, to_node: str | None) -> Selection:
    if only is None and from_node is None and to_node is None:
        return WHOLE
    if isinstance(only, str):
        only = [only]
    return Selection(None if only is None else tuple(only), from_node, to_node)
