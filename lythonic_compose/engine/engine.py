"""What belongs to one configuration? Its namespace, its databases and what runs its Dags.

Each part is made when it is first asked for, so that who only reads a history imports nothing of
the user's. What is wrong with a configuration is listed by `checking.py`, and how a process serves
it stands in `service.py`.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from datetime import datetime
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, cast

from lythonic_state import StateError

from ..call import run_to_result
from ..config import NsFragmentConfig
from ..dag_provenance import DagProvenance, DagRun, Recovery
from ..dag_provenance.recovery import MOST_TIMES, RUNS_AT_ONCE, Recovering
from ..dag_runner import DagRunner, OnChange, Progress, utc_now
from ..errors import ConfigError
from ..refs import GlobalRef, NsRef
from ..registry import Namespace
from ..stopping import can_be_told
from .blame import explained, reworded
from .config import EngineConfig
from .reading import Place

if TYPE_CHECKING:  # who only runs or shows something has no triggers to wait for
    from ..trigger import TriggerManager, TriggerStore

T = TypeVar("T")


class Engine:
    """A configuration at work: its namespace, the history of its runs, its triggers.

    `progress` is told each event of the runs that it begins. Modules beside the configuration's
    file can be imported from the moment on when the engine is made.

    Example:
        >>> with Engine(EngineConfig.load(data=Path("/srv/reports"))) as engine:
        ...     engine.runner_of("reports:daily").run_sync(dag_nsref="reports:daily")
        ...     engine.provenance.get_recent_runs(limit=5)
    """

    def __init__(
        self,
        config: EngineConfig,
        *,
        progress: Progress | None = None,
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        self.config = config
        self.storage = config.storage.within(config.data)
        """Where its databases are, as absolute paths and URLs."""
        self._progress = progress
        self._clock = clock
        self._lock = threading.RLock()
        self._places: dict[NsRef, Place] = {}
        self._opened: list[DagProvenance | TriggerStore] = []
        _let_import(self._top)

    def __repr__(self) -> str:
        return f"<Engine on {self.config.data}>"

    # its parts

    @cached_property
    def namespace(self) -> Namespace:
        """What is registered, with its caches mounted.

        Raises:
            ConfigError: with every entry that makes no sense.
        """
        namespace, problems = self.filled_namespace
        if problems:
            raise ConfigError(problems)
        return namespace

    @property
    def provenance(self) -> DagProvenance:
        """The history of its runs.

        Raises:
            ConfigError: its database cannot be opened.
        """
        with self._lock:
            return self._provenance

    @property
    def triggers(self) -> TriggerStore:
        """Its triggers as they stand, and their fires.

        Raises:
            ConfigError: their database cannot be opened.
        """
        with self._lock:
            return self._triggers

    @cached_property
    def manager(self) -> TriggerManager:
        """What fires its triggers; nobody has started it.

        Raises:
            ConfigError: the configuration makes no sense, or a database cannot be opened.
        """
        from ..trigger import TriggerManager

        return TriggerManager(
            self.namespace,
            self.triggers,
            self.runner_of,
            provenance=self.provenance,
            on_failure=self.on_failure,
            clock=self._clock,
        )

    @cached_property
    def on_failure(self) -> Callable[[DagRun], Any] | None:
        """The function that is told of a run that failed.

        Raises:
            ConfigError: there is no such function.
        """
        if self.config.on_failure is None:
            return None
        ref = GlobalRef(self.config.on_failure)
        try:
            found = ref.get_instance()
        except Exception as error:
            raise ConfigError(self.said(("on_failure",), error)) from error
        if not callable(found):
            why = f"{ref} is {found!r} and no function; name one that takes a DagRun"
            raise ConfigError(self.config.told(("on_failure",), why))
        return cast("Callable[[DagRun], Any]", found)

    # its Dags

    def dag_of(self, nsref: str) -> Any:
        """The Dag that stands at a path.

        Raises:
            NotRegistered: nothing does; the message names the nearest.
            ConfigError: what stands there is no Dag or cannot be imported, with file and line.
        """
        node = self.namespace.get(nsref)
        try:
            return node.as_dag()
        except Exception as error:
            raise ConfigError(self.said(self.gref_of(node.nsref), error)) from error

    def runner_of(self, nsref: str) -> DagRunner:
        """A new runner of the Dag that stands at a path, which records what it does.

        Example:
            >>> await engine.runner_of("reports:daily").run(dag_nsref="reports:daily")

        Raises:
            NotRegistered: nothing stands there; the message names the nearest.
            ConfigError: what stands there is no Dag or cannot be imported, with file and line.
            DagError: the Dag makes no sense.
        """
        return DagRunner(
            self.dag_of(nsref),
            self.provenance,
            max_concurrency=self.config.max_concurrency,
            progress=self._progress,
            outputs=self.storage.outputs_db,
            clock=self._clock,
        )

    async def recover(self, on_change: OnChange = "raise") -> Recovery:
        """Continues the runs whose process is gone, as `DagProvenance.recover` does.

        Example:
            >>> print(await engine.recover())
            6f0c…: completed
        """
        return await self.recovering(on_change).carried_out()

    def recover_sync(self, on_change: OnChange = "raise") -> Recovery:
        """`recover` for code that does not await; the main thread hears SIGINT and SIGTERM."""
        work = self.recovering(on_change)
        return run_to_result(work.until_told if can_be_told() else work.carried_out)

    # an end

    def close(self) -> None:
        """Closes its databases; the manager must have been stopped before."""
        with self._lock:
            while self._opened:
                self._opened.pop().close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # for other rooms of the engine

    @cached_property
    def filled_namespace(self) -> tuple[Namespace, list[str]]:
        """A namespace with everything that could be registered, and what is wrong with the rest."""
        namespace = Namespace()
        problems: list[str] = []
        known: set[NsRef] = set()
        for number, entry in enumerate(self.config.namespace):
            place: Place = ("namespace", number)
            try:
                namespace._configured(entry)
            except Exception as error:  # noqa: BLE001 - a class of fragments is made here
                problems.append(self.said(place, error))
            for node in namespace.nodes():
                if node.nsref not in known:
                    known.add(node.nsref)
                    inner = isinstance(entry, NsFragmentConfig) and node.nsref.name in entry.configs
                    within = ("configs", node.nsref.name) if inner else ()
                    self._places[node.nsref] = (*place, *within)
        try:
            namespace.mount(self.storage)
        except Exception as error:  # noqa: BLE001 - a hook of somebody's fragment
            problems.append(self.said(("namespace",), error))
        return namespace, problems

    def place_of(self, nsref: str) -> Place:
        """Where in the configuration something that is registered stands."""
        return self._places.get(NsRef(nsref), ("namespace",))

    def gref_of(self, nsref: str) -> Place:
        """Where in the configuration it is said what that is."""
        place = self.place_of(nsref)
        return place if place[-2:-1] == ("configs",) else (*place, "gref")

    def said(self, place: Place, error: BaseException) -> str:
        """An exception in words: where in the configuration, and where in the user's code."""
        return self.config.told(place, explained(error, self._top))

    def reworded(self, recovery: Recovery) -> Recovery:
        """The same, and why runs were left in the words of the command."""
        return reworded(recovery, self._top)

    def recovering(self, on_change: OnChange = "raise") -> Recovering:
        """A recovery that has not begun, and that can be paused."""
        return self.provenance._recovering(
            self.namespace,
            on_change,
            {},
            None,
            RUNS_AT_ONCE,
            MOST_TIMES,
            max_concurrency=self.config.max_concurrency,
            progress=self._progress,
            outputs=self.storage.outputs_db,
        )

    # below

    @property
    def _top(self) -> Path:
        """Where modules are imported from first."""
        file = self.config.file
        return (self.config.data if file is None else file.parent).absolute()

    @cached_property
    def _provenance(self) -> DagProvenance:
        made = self._at("dags_db", lambda: DagProvenance(self.storage.dags_db, clock=self._clock))
        self._opened.append(made)
        return made

    @cached_property
    def _triggers(self) -> TriggerStore:
        from ..trigger import TriggerStore

        place = self.storage.triggers_db
        made = self._at("triggers_db", lambda: TriggerStore(place, clock=self._clock))
        self._opened.append(made)
        return made

    def _at(self, key: str, opened: Callable[[], T]) -> T:
        """What is opened, or what is wrong with the place that the configuration gives for it."""
        try:
            return opened()
        except (StateError, OSError, ValueError) as error:
            raise ConfigError(self.config.told(("storage", key), str(error))) from error


def _let_import(top: Path) -> None:
    if str(top) not in sys.path:
        sys.path.insert(0, str(top))
