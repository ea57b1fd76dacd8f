"""What can go wrong, as one tree of exceptions.

No other room's names may be imported here; every room may import from here.

    ComposeError
    ├── DagError              ValueError     a graph that cannot run, with every problem it has
    │   ├── UnknownName       KeyError       a label, a parameter or an input that is not there
    │   └── WrongKind         TypeError      an object that cannot be a node
    ├── WiringError           ValueError     a value that its edge cannot carry
    └── RunError                             a run that did not do what was asked
        ├── RunFailed         RuntimeError   it ended, but not as "completed"
        ├── RunNotFound       KeyError       there is no such run
        └── WrongRunState     ValueError     it is not in a state for what was asked
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches

__all__ = [
    "ComposeError",
    "DagError",
    "RunError",
    "RunFailed",
    "RunNotFound",
    "UnknownName",
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

    def __reduce__(self) -> tuple[type[DagError], tuple[tuple[str, ...]]]:
        return type(self), (self.problems,)


class UnknownName(DagError, KeyError):
    """A label, a parameter or an input that is not there, with the nearest that is."""


class WrongKind(DagError, TypeError):
    """An object of a kind that cannot stand where it was put."""


class WiringError(ComposeError, ValueError):
    """A value that is not of the type that its edge declares."""


class RunError(ComposeError):
    """A run did not do, or cannot do, what was asked of it."""


class RunFailed(RunError, RuntimeError):
    """A run ended in another state than "completed"; the node's exception is the cause."""


class RunNotFound(RunError, KeyError):
    """There is no run of this id."""


class WrongRunState(RunError, ValueError):
    """The run, or the node of it that was asked for, is not in a state for that."""


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint with the name that was probably meant, or the list of what there is."""
    names = sorted(set(known))
    close = get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    if not names:
        return "; there is none"
    return f"; there are: {', '.join(names[:12])}{', …' if len(names) > 12 else ''}"


def _listed(problems: Sequence[str]) -> str:
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} problems:", *(f"- {problem}" for problem in problems)])
