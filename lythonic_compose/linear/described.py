"""What was described as a pipeline, and what is wrong with it? A list of problems.

Nodes under labels, constants and a configuration: values only. Nothing runs here, and no file is
opened; what is kept of an earlier run is given.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cached_property
from typing import Any, NamedTuple

from lythonic_state.fields import frozen

from ..errors import DagError, UnknownName, WrongKind, enumerated, nearest
from ..fit import could_fit, shown
from ..signature import Unresolved
from .configuration import looked_up
from .node import CONFIG, Node, is_config

OPTIONS = ("nodes", "config", "track_history", "use_persistent_cache", "cache_storage_path")
"""What a pipeline takes beside its constants."""


class Stage(NamedTuple):
    """A node under a label that no other node of its pipeline has."""

    label: str
    node: Node


def stages_of(nodes: Any) -> tuple[Stage, ...]:
    """Nodes under their names; the second of a name is called `clean_2`.

    Raises:
        WrongKind: something among them is no Node.
    """
    if not isinstance(nodes, (list, tuple)):
        raise WrongKind(f"Pipeline(nodes={nodes!r}): write a list of nodes, [Node(…), …]")
    stages: list[Stage] = []
    taken: set[str] = set()
    given: Sequence[Any] = nodes
    for node in given:
        if not isinstance(node, Node):
            name = getattr(node, "__name__", repr(node))
            raise WrongKind(f"a pipeline is made of nodes; write Node({name}, inputs=[…], …)")
        label, number = node.name.replace("/", "_"), 1
        while label in taken:
            number += 1
            label = f"{node.name.replace('/', '_')}_{number}"
        taken.add(label)
        stages.append(Stage(label, node))
    return tuple(stages)


@frozen(slots=False)
class Described:
    """A pipeline as it was described."""

    stages: tuple[Stage, ...]
    constants: Mapping[str, Any]
    config: Any

    @cached_property
    def makers(self) -> dict[str, Stage]:
        """Which stage makes an object, by its name."""
        return {name: stage for stage in self.stages for name in stage.node.outputs}

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The declared type of each object that is made."""
        return {name: hint for stage in self.stages for name, hint in stage.node.hints.items()}

    def given(self, name: str) -> Any:
        """What is given under a name, as a constant or in the configuration."""
        return looked_up(self.config, name) if is_config(name) else self.constants[name]

    def is_given(self, name: str) -> bool:
        return is_config(name) or name in self.constants

    def finals(self, among: Collection[str] | None = None) -> tuple[str, ...]:
        """The objects that are made and that nobody takes; those of some stages only."""
        stages = [each for each in self.stages if among is None or each.label in among]
        taken = {name for stage in stages for name in stage.node.inputs}
        return tuple(name for stage in stages for name in stage.node.outputs if name not in taken)

    # what is wrong

    def check_names(self) -> None:
        """What is wrong with the names, whatever other pipelines are added.

        Raises:
            DagError: an object is made twice, or made and given.
        """
        problems: list[str] = []
        makers: dict[str, str] = {}
        for label, node in self.stages:
            for name in node.outputs:
                if name in makers:
                    problems.append(
                        f"the output {name!r} is made by {makers[name]} and by {label}; give one "
                        "of them another name"
                    )
                elif name in self.constants:
                    problems.append(
                        f"{name!r} is a constant and also an output of {label}; give one of them "
                        "another name"
                    )
                makers.setdefault(name, label)
        if problems:
            raise DagError(problems)

    def check(self, kept: Collection[str] = ()) -> None:
        """What is wrong before it is run, with the names of what a cache keeps.

        Raises:
            DagError: it lists everything.
        """
        problems = [
            *self._input_problems(),
            *self._constant_problems(),
            *self._cache_problems(kept),
        ]
        if problems:
            raise DagError(problems)

    def _input_problems(self) -> Iterator[str]:
        made: dict[str, str] = {}
        for label, node in self.stages:
            for name, arg in zip(node.inputs, node.args, strict=True):
                if is_config(name):
                    try:
                        looked_up(self.config, name)
                    except UnknownName as error:
                        yield f"{label} takes {error}"
                elif name in made:
                    wanted = None if arg is None else arg.annotation
                    returned = self.hints[name]
                    if arg is not None and _clash(returned, wanted):
                        yield (
                            f"{label} takes {name!r} as {arg.name}: {shown(wanted)}, and "
                            f"{made[name]} makes it as {shown(returned)}; change one of the "
                            "annotations"
                        )
                elif name not in self.constants:
                    yield self._missing(label, name, made)
            made.update(dict.fromkeys(node.outputs, label))

    def _missing(self, label: str, name: str, made: Mapping[str, str]) -> str:
        later = self.makers.get(name)
        if later is not None:
            where = "itself" if later.label == label else f"{later.label}, which comes later"
            return (
                f"{label} takes {name!r}, which is made by {where}; change the order of the nodes"
            )
        known = [*made, *self.constants, CONFIG]
        return (
            f"{label} takes {name!r}, which no node makes and no constant gives: add a node with "
            f"this output before it, or give Pipeline(…, {name}=…){nearest(name, known)}"
        )

    def _constant_problems(self) -> Iterator[str]:
        taken = {name for stage in self.stages for name in stage.node.inputs}
        meant = {name.rpartition(".")[2] for name in taken} | set(self.makers) | set(OPTIONS)
        for name in self.constants:
            if name not in taken:
                close = get_close_matches(name, sorted(meant - set(self.constants)), 1, 0.8)
                if close:
                    yield (
                        f"no node takes the constant {name!r}; did you mean {close[0]!r}? Else "
                        "take it out"
                    )

    def _cache_problems(self, kept: Collection[str]) -> Iterator[str]:
        both = [name for name in self.constants if name in kept]
        if both:
            yield (
                f"{enumerated([repr(name) for name in both])}: a constant, and also in the "
                "persistent cache, so that the old object could stand for the new; give the "
                "constant another name, or call pipeline.forget(…) or use another "
                "cache_storage_path"
            )


def _clash(returned: Any, wanted: Any) -> bool:
    return not isinstance(wanted, Unresolved) and not could_fit(returned, wanted)
