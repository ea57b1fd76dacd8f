"""How does a plain run go, without an engine? As Python code that is written for its nodes.

One line for each node, in their order: a local name for each object, which ends after the last line
that needs it. That costs little more than calling the functions by hand. What is to happen around
the functions of an observed run is called there; nothing is decided while it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, TracebackType
from typing import Any, cast

from lythonic_state.fields import frozen

from ..errors import RunFailed, WiringError
from ..events import in_short
from .around import Around, check_read_once
from .described import Described, Stage
from .snapshots import UNCHANGING, snapshot


@frozen(slots=False)
class Program:
    """What is to be called, and which node stands in which of its lines."""

    code: FunctionType
    nodes: Mapping[int, str]
    """The label of each node by its line."""
    labels: tuple[str, ...]
    text: str

    def run(self) -> dict[str, Any]:
        """Calls the functions; the objects that the run is for, by name.

        Raises:
            RunFailed: a function raised, which is the cause.
            WiringError: a function returned another number of values than it has outputs.
        """
        try:
            found: dict[str, Any] = self.code()
            return found
        except WiringError:
            raise
        except Exception as error:
            node = self._at(error.__traceback__)
            raise RunFailed(f"node {node!r} failed: {in_short(error)}") from error

    def _at(self, trace: TracebackType | None) -> str:
        while trace is not None:
            if trace.tb_frame.f_code is self.code.__code__:
                return self.nodes[trace.tb_lineno]
            trace = trace.tb_next
        raise AssertionError("an exception that does not come from the program")


def written(
    described: Described,
    stages: Sequence[Stage],
    loaded: dict[str, Any],
    finals: Sequence[str],
    around: Around | None,
) -> Program:
    """The program of a run of these stages.

    What is `loaded` is taken out of there when it runs. With `around` it does what is asked for
    around each node, and is for one run only.
    """
    writer = _Writer(described, stages, set(finals))
    for name in loaded:
        writer.take(name)
    for number, stage in enumerate(stages):
        writer.call(number, stage, around)
    found = ", ".join(
        f"{name!r}: {writer.locals[name]}" for name in finals if name in writer.locals
    )
    text = "\n".join(["def program():", *writer.lines, f"    return {{{found}}}", ""])
    names = {"unchanging": UNCHANGING, "copied": snapshot, "loaded": loaded, **writer.names}
    exec(compile(text, "<pipeline>", "exec"), names)
    code = cast("FunctionType", names["program"])
    return Program(code, writer.nodes, tuple(stage.label for stage in stages), text)


class _Writer:
    """Writes the lines of a program."""

    def __init__(self, described: Described, stages: Sequence[Stage], finals: set[str]) -> None:
        self.lines: list[str] = []
        self.nodes: dict[int, str] = {}
        self.names: dict[str, Any] = {}
        """What the lines call and are given, by name."""
        self.locals: dict[str, str] = {}
        """The local name of each object that is made or loaded."""
        self._given: dict[str, str] = {}
        self._described = described
        self._finals = finals
        self._last = {name: at for at, stage in enumerate(stages) for name in stage.node.inputs}
        self._takers: dict[str, int] = {}
        for stage in stages:
            for name in set(stage.node.inputs):
                self._takers[name] = self._takers.get(name, 0) + 1

    def take(self, name: str) -> None:
        """Writes that an object which was loaded has a local name now."""
        self.lines.append(f"    {self._local(name)} = loaded.pop({name!r})")

    def call(self, number: int, stage: Stage, around: Around | None) -> None:
        """Writes the line of a node, and ends the names that nobody needs behind it."""
        label, node = stage
        values = [self._value(name) for name in node.inputs]
        spread = len(node.outputs) > 1 or any(
            self._takers.get(each, 0) > 1 for each in node.outputs
        )
        if around is not None:
            spread = True
            self.names[f"perform{number}"] = lambda *values: around.perform(stage, values).outputs
            text = f"perform{number}({', '.join(values)})"
        else:
            self.names[f"function{number}"] = node.func if node.is_positional else node.call_with
            copies = [self._copied(value) for value in values]
            text = f"function{number}({', '.join(copies)})"
            if spread:
                self.names[f"outputs{number}"] = self._outputs(stage)
                text = f"outputs{number}({text})"
        targets = ", ".join(self._local(name) for name in node.outputs)
        if targets:
            text = f"{targets}{',' if spread else ''} = {text}"
        self.lines.append(f"    {text}")
        self.nodes[len(self.lines) + 1] = label  # behind the line with def
        over = [
            self.locals[name]
            for name in dict.fromkeys(node.inputs)
            if self._last[name] == number and name in self.locals and name not in self._finals
        ]
        if over:
            self.lines.append(f"    del {', '.join(over)}")

    def _local(self, name: str) -> str:
        return self.locals.setdefault(name, f"object{len(self.locals)}")

    def _value(self, name: str) -> str:
        """The name of what a node takes: a local one, or that of something that is given."""
        if name in self.locals:
            return self.locals[name]
        if name not in self._given:
            self._given[name] = f"given{len(self._given)}"
            self.names[self._given[name]] = self._described.given(name)
        return self._given[name]

    def _copied(self, value: str) -> str:
        """A copy of an object, if somebody could change it; of what is given that is known now."""
        if value in self.names and self.names[value].__class__ in UNCHANGING:
            return value
        return f"{value} if {value}.__class__ in unchanging else copied({value})"

    def _outputs(self, stage: Stage) -> Callable[[Any], tuple[Any, ...]]:
        def outputs(result: Any) -> tuple[Any, ...]:
            found = stage.node.spread(result)
            check_read_once(self._described, stage, found)
            return found

        return outputs
