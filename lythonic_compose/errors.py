"""What can go wrong, as one tree of exceptions.

No other room's names may be imported here; every room may import from here.

    ComposeError
    ├── DagError              ValueError     a graph that cannot run, with every problem it has
    │   ├── UnknownName       KeyError       a label, a parameter or an input that is not there
    │   ├── InputsNotKept                    inputs of an earlier run, to be given again
    │   └── WrongKind         TypeError      an object that cannot be a node
    ├── NamespaceError        ValueError     a reference, path or tag that is malformed, or taken
    │   ├── NotRegistered     KeyError       nothing stands there in the namespace
    │   │   └── NoSuchLeaf    AttributeError the same, asked for with a dot
    │   └── ImportFailed      ImportError    a module that does not import
    │       └── MissingObject KeyError       no such module, or nothing of that name in it
    ├── ConfigError           ValueError     a configuration that makes no sense
    │   └── EngineRunning                    another process has the data directory
    ├── WiringError           ValueError     a value that its edge cannot carry
    ├── OutputError           ValueError     what a node returned cannot be saved as rows
    ├── LineageError          ValueError     rows whose lineage cannot be read as they were given
    ├── RunError                             a run that did not do what was asked
    │   ├── RunFailed         RuntimeError   it ended, but not as "completed"
    │   ├── RunNotFound       KeyError       there is no such run
    │   ├── WrongRunState     ValueError     it is not in a state for what was asked
    │   │   ├── RunTakenOver                 somebody else goes on with it
    │   │   └── OutputsChanged               its rows would not be written, or elsewhere
    │   └── CodeChanged       ValueError     the code of completed nodes is not what it was
    ├── TriggerError          ValueError     a schedule or a trigger that makes no sense
    │   └── UnknownTrigger    KeyError       there is no trigger of this name
    ├── DagPause                             raised by a node to pause its run
    └── CacheError            ValueError     a function that cannot be cached, ages without sense
        ├── UnknownCacheKey   KeyError       a parameter that is no part of a cache's key
        ├── CacheRefreshPushback             raised by a cached function: "not again for so long"
        ├── CacheRefreshSuppressed           that time is not over, and no value is young enough
        └── CacheProhibitDirectCall          a call around the cache
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

__all__ = [
    "CacheError",
    "CacheRefreshPushback",
    "CacheRefreshSuppressed",
    "CodeChanged",
    "ComposeError",
    "ConfigError",
    "DagError",
    "DagPause",
    "EngineRunning",
    "ImportFailed",
    "InputsNotKept",
    "LineageError",
    "MissingObject",
    "NamespaceError",
    "NoSuchLeaf",
    "NotRegistered",
    "OutputError",
    "OutputsChanged",
    "RunError",
    "RunFailed",
    "RunNotFound",
    "RunTakenOver",
    "TriggerError",
    "UnknownCacheKey",
    "UnknownName",
    "UnknownTrigger",
    "WiringError",
    "WrongKind",
    "WrongRunState",
]


class ComposeError(Exception):
    """The root of every error that this package raises on purpose."""

    # KeyError would show the repr of its message, quotes and escapes included
    def __str__(self) -> str:
        return str(self.args[0]) if len(self.args) == 1 else super().__str__()


class DagError(ComposeError, ValueError):
    """A graph, or what it was given to run with, is wrong; `problems` lists everything."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (
            (problems,) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__(_listed(self.problems))

    def __reduce__(self) -> tuple[type[DagError], tuple[Any, ...]]:
        return type(self), (self.problems,)


class UnknownName(DagError, KeyError):
    """A label, a parameter or an input that is not there, with the nearest that is."""


class InputsNotKept(DagError):
    """Inputs of an earlier run that are secret, or have no exact text, and are to be given again.

    `inputs` are they: the path of the node, and the parameter.
    """

    def __init__(self, how: str, inputs: Sequence[tuple[str, str]]) -> None:
        self.how = how
        self.inputs = tuple(inputs)
        super().__init__(
            [
                f"the input {name!r} of {path} is not kept, since it is secret or has no exact "
                f'text; give it again: {how}(…, source_inputs={{"{path}": {{"{name}": …}}}})'
                for path, name in self.inputs
            ]
        )

    def __reduce__(self) -> tuple[type[InputsNotKept], tuple[Any, ...]]:
        return type(self), (self.how, self.inputs)


class WrongKind(DagError, TypeError):
    """An object of a kind that cannot stand where it was put."""


class NamespaceError(ComposeError, ValueError):
    """A reference, a path or a tag is malformed, or a path is taken already."""


class NotRegistered(NamespaceError, KeyError):
    """Nothing is registered under this path."""


class NoSuchLeaf(NotRegistered, AttributeError):
    """Nothing is registered under this name, which was asked for with a dot."""


class ImportFailed(NamespaceError, ImportError):
    """A module that a reference names raised while it was imported; the cause is what it raised."""


class MissingObject(ImportFailed, KeyError):
    """A reference names a module that does not exist, or nothing in it."""


class ConfigError(ComposeError, ValueError):
    """A configuration makes no sense; `problems` lists every place in it that does not."""

    def __init__(self, problems: str | Sequence[str]) -> None:
        self.problems: tuple[str, ...] = (
            (problems,) if isinstance(problems, str) else tuple(problems)
        )
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[type[ConfigError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class EngineRunning(ConfigError):
    """Another process runs an engine on this data directory; the message says which."""


class WiringError(ComposeError, ValueError):
    """A value that is not of the type that its edge declares."""


class OutputError(ComposeError, ValueError):
    """What a node with `write=` returned is not made of rows that can be saved."""


class LineageError(ComposeError, ValueError):
    """Rows cannot be followed or read: what was given is no row, or their table is not here."""


class RunError(ComposeError):
    """A run did not do, or cannot do, what was asked of it."""


class RunFailed(RunError, RuntimeError):
    """A run ended in another state than "completed"; the node's exception is the cause."""


class RunNotFound(RunError, KeyError):
    """There is no run of this id."""


class WrongRunState(RunError, ValueError):
    """The run, or the node of it that was asked for, is not in a state for that."""


class RunTakenOver(WrongRunState):
    """Somebody else has resumed the run; what happens here is not recorded any more."""


class OutputsChanged(WrongRunState):
    """A run cannot simply go on: what it writes would not be written now, or somewhere else."""


class TriggerError(ComposeError, ValueError):
    """A schedule or a trigger makes no sense, or what it was asked for."""


class UnknownTrigger(TriggerError, KeyError):
    """There is no trigger of this name; the message has the nearest."""


class CacheError(ComposeError, ValueError):
    """A function that cannot be cached, or ages that make no sense."""


class UnknownCacheKey(CacheError, KeyError):
    """A parameter that is no part of a cache's key, with the nearest that is."""


class CacheRefreshPushback(CacheError):
    """Raised by a cached function: its refreshes are suppressed for so many days.

    With a `namespace_prefix`, so are those of every cached function below it.

    Example:
        >>> if answer.status_code == 429:
        ...     raise CacheRefreshPushback(days=1 / 24, namespace_prefix="market")

    Raises:
        CacheError: `days` is not a positive number or timedelta.
    """

    def __init__(self, days: float | timedelta, namespace_prefix: str | None = None) -> None:
        number = days.total_seconds() / 86_400 if isinstance(days, timedelta) else days
        if isinstance(number, bool) or not isinstance(number, (int, float)) or not number > 0:
            raise CacheError(f"a pushback is for a positive number of days, not {days!r}")
        self.days = float(number)
        self.namespace_prefix = namespace_prefix
        where = "" if namespace_prefix is None else f" of what stands below {namespace_prefix!r}"
        super().__init__(f"refreshes{where} are pushed back for {self.days:g} days")

    def __reduce__(self) -> tuple[type[CacheRefreshPushback], tuple[Any, ...]]:
        return type(self), (self.days, self.namespace_prefix)


class CacheRefreshSuppressed(CacheError):
    """A function has pushed back, and there is no value that is young enough to be served."""


class CodeChanged(RunError, ValueError):
    """A run cannot simply go on: the code of `nodes`, which completed, is not what it was."""

    def __init__(self, run_id: str, nodes: Sequence[str]) -> None:
        self.run_id = run_id
        self.nodes = tuple(nodes)
        super().__init__(run_id, self.nodes)

    def __str__(self) -> str:
        return (
            f"run {self.run_id} was begun with other code: {', '.join(self.nodes)} completed then "
            'and changed since. restart(…, on_change="rerun") runs them and what is behind them '
            'again, on_change="keep" uses what they returned'
        )


class DagPause(ComposeError):
    """Raised by a node to pause its run, which a restart continues with that node.

    Example:
        >>> def publish(report: Report) -> None:
        ...     if not approved(report):
        ...         raise DagPause("waits for approval")
    """


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the name that was probably meant, or the list of what there is."""
    from difflib import get_close_matches  # only for who made a mistake

    names = sorted(set(known))
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if not names:
        return "; there is none"
    return f"; there are: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}"


def enumerated(names: Sequence[str]) -> str:
    """Several names in a sentence: "a, b and c"."""
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _listed(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} problems:", *(f"- {problem}" for problem in problems)])
