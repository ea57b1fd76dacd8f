"""What is wrong with a configuration, before anything runs? A list of problems, each with its mend.

Everything is imported, every Dag planned and every schedule looked at. No database is opened, and
nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lythonic_state.connection import sqlite_path

from ..config import NsNodeConfig, TriggerConfig
from ..errors import ConfigError, DagError, TriggerError
from ..marks import is_dag_factory
from ..refs import GlobalRef
from ..registered import NamespaceNode, is_dag
from ..registry import Namespace
from ..signature import Method
from ..trigger.payload import inputs_from
from ..trigger.policy import schedule_of
from ..wiring import inputs_of
from .config import EngineConfig
from .engine import Engine
from .reading import Place


def check_file(config: Path | None = None, data: Path | None = None) -> list[str]:
    """Everything that is wrong with a file and with what it names; nothing if all is well.

    Example:
        >>> check_file(data=Path("/srv/reports"))
        ["lyth.yaml:7: namespace[0].gref: … there is no module 'myap'; did you mean 'myapp'?"]
    """
    try:
        made, problems = EngineConfig.read(config, data)
    except ConfigError as error:
        return list(error.problems)
    return problems + check(made)


def check(config: EngineConfig) -> list[str]:
    """Everything that is wrong with what a configuration names; nothing if all is well.

    Example:
        >>> check(EngineConfig(namespace=[{"nsref": "a:b", "gref": "myap.steps:b"}]))
        ["namespace[0].gref: myap.steps:b: there is no module 'myap'; did you mean 'myapp'?"]
    """
    with Engine(config) as engine:
        return problems_of(engine)


def problems_of(engine: Engine) -> list[str]:
    """`check` of an engine that is there already."""
    namespace, known = engine.filled_namespace
    problems = list(known)
    for node in namespace.nodes():
        problems += _of_node(engine, node)
    problems += _of_names(engine, namespace)
    problems += _of_on_failure(engine)
    problems += _of_storage(engine)
    return problems


# --- what is registered ---------------------------------------------------------------------


def _of_node(engine: Engine, node: NamespaceNode) -> Iterator[str]:
    place = engine.place_of(node.nsref)
    gref = engine.gref_of(node.nsref)
    dag: Any = None
    try:
        node.check()
        _ = node.callable  # a cache looks at what it is to keep
        if is_dag(node.target) or is_dag_factory(node.target):
            dag = node.as_dag()
            dag.validate()
    except DagError as error:
        for problem in error.problems:
            yield engine.config.told(gref, f"{node.nsref}: {problem}")
        return
    except Exception as error:  # noqa: BLE001 - somebody else's module
        yield engine.said(gref, error)
        return
    triggers = node.config.triggers if isinstance(node.config, NsNodeConfig) else ()
    for number, trigger in enumerate(triggers):
        within = (*place, "triggers", number)
        if dag is None:
            why = f"a trigger runs a Dag, and {node.nsref} is {node.target!r}; put it into one"
            yield engine.config.told(within, why)
            continue
        yield from _of_trigger(engine, within, trigger, dag)


def _of_trigger(engine: Engine, place: Place, trigger: TriggerConfig, dag: Any) -> Iterator[str]:
    try:
        schedule_of(trigger)
    except TriggerError as error:
        yield engine.config.told((*place, "schedule"), str(error))
    if trigger.poll_fn is not None:
        yield from _of_function(engine, (*place, "poll_fn"), GlobalRef(trigger.poll_fn), 0)
    plan = dag.plan()
    # what a poll gives is seen when it is there
    needed = plan.paths if trigger.poll_fn is None else {}
    try:
        inputs_of(plan, trigger.payload, {}, needed, mend=_in_the_payload)
        inputs_from(plan, trigger.payload)
    except DagError as error:
        for problem in error.problems:
            yield engine.config.told((*place, "payload"), problem)


def _in_the_payload(path: str, param: str) -> str:
    return f"give it in the payload: {{{path}: {{{param}: …}}}}"


def _of_names(engine: Engine, namespace: Namespace) -> Iterator[str]:
    """Triggers of one name, over the whole namespace."""
    known: dict[str, str] = {}
    for node in namespace.nodes():
        triggers = node.config.triggers if isinstance(node.config, NsNodeConfig) else ()
        for number, trigger in enumerate(triggers):
            name = trigger.name or str(node.nsref)
            place = (*engine.place_of(node.nsref), "triggers", number)
            if name in known:
                why = f"a trigger of {known[name]} is called {name!r} already; give it another name"
                yield engine.config.told(place, why)
            known.setdefault(name, str(node.nsref))


# --- the rest -------------------------------------------------------------------------------


def _of_on_failure(engine: Engine) -> Iterator[str]:
    if engine.config.on_failure is not None:
        yield from _of_function(engine, ("on_failure",), GlobalRef(engine.config.on_failure), 1)


def _of_function(engine: Engine, place: Place, ref: GlobalRef, given: int) -> Iterator[str]:
    """What is wrong with a function that is called with so many arguments."""
    try:
        function = ref.get_instance()
        if not callable(function):
            yield engine.config.told(place, f"{ref} is {function!r} and no function")
            return
        args = Method(function).args
    except Exception as error:  # noqa: BLE001 - somebody else's module
        yield engine.said(place, error)
        return
    needed = [arg.name for arg in args if arg.required]
    if len(needed) > given or len(args) < given:
        takes = f"needs {', '.join(needed)}" if needed else "takes none"
        how = "the DagRun that failed" if given else "no arguments"
        yield engine.config.told(place, f"{ref} is called with {how}, and {takes}")


def _of_storage(engine: Engine) -> Iterator[str]:
    given: Mapping[str, str] = engine.storage.model_dump(exclude_none=True)
    for key, value in given.items():
        file: str | None = value
        if "://" in value:
            try:
                file = sqlite_path(value)
            except ValueError as error:
                yield engine.config.told(("storage", key), str(error))
                continue
        if file is None or file == ":memory:":
            continue
        directory = Path(file).parent
        if directory != engine.config.data and not directory.is_dir():
            why = f"there is no directory {directory}; make it, or name another place"
            yield engine.config.told(("storage", key), why)
