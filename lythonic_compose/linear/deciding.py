"""Which nodes run, which are reused, and why? Decided before anything runs.

From what was described and what a cache says that it keeps: values only, and no value of an object
is looked at. The cached objects of a node are those that its code would make now of the inputs that
it has now, or they are not used.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from typing import Literal, TypeAlias

from lythonic_state.fields import frozen, mutable

from ..drawing import table
from ..errors import DagError, UnknownName, enumerated, nearest
from .described import Described, Stage
from .identity import code_of, fingerprint
from .tables import KeptObject

Action: TypeAlias = Literal["run", "reuse", "skip"]


@frozen
class PlannedNode:
    """What becomes of a node, and why: "run", "reuse" (its outputs are in the cache), "skip"."""

    node: str
    action: Action
    why: str


@frozen(slots=False)
class PipelinePlan:
    """What becomes of each node of a pipeline, in their order; as text it is a table.

    Example:
        >>> print(pipeline.plan())
        node   action  why
        -----  ------  --------------------------------------------
        load   reuse   code and inputs are those of 2026-01-31 12:00
        train  run     config.depth has changed
        >>> pipeline.plan()["train"].action
        'run'
    """

    nodes: tuple[PlannedNode, ...]

    def __iter__(self) -> Iterator[PlannedNode]:
        return iter(self.nodes)

    def __len__(self) -> int:
        return len(self.nodes)

    def __getitem__(self, node: str) -> PlannedNode:
        for each in self.nodes:
            if each.node == node:
                return each
        known = [each.node for each in self.nodes]
        raise UnknownName(f"the pipeline has no node {node!r}{nearest(node, known)}")

    def __str__(self) -> str:
        return table(
            ["node", "action", "why"], [[each.node, each.action, each.why] for each in self.nodes]
        )


@frozen
class Selection:
    """Which part of a pipeline is asked for."""

    only: tuple[str, ...] | None = None
    from_node: str | None = None
    to_node: str | None = None

    def of(self, stages: Sequence[Stage]) -> tuple[set[str], set[str]]:
        """The labels of the nodes that are asked for, and of those that run whatever is kept.

        Raises:
            DagError: it makes no sense.
            UnknownName: there is no such node.
        """
        labels = [stage.label for stage in stages]
        if self.only is not None and (self.from_node, self.to_node) != (None, None):
            raise DagError("only= says which nodes run; leave from_node= and to_node= out")
        for name in (*(self.only or ()), self.from_node, self.to_node):
            if name is not None and name not in labels:
                raise UnknownName(f"the pipeline has no node {name!r}{nearest(name, labels)}")
        if self.only is not None:
            return set(self.only), set(self.only)
        first = 0 if self.from_node is None else labels.index(self.from_node)
        last = len(labels) - 1 if self.to_node is None else labels.index(self.to_node)
        if first > last >= 0:
            raise DagError(f"{self.from_node} comes after {self.to_node}; nothing is between them")
        asked = set(labels[first : last + 1])
        return asked, set() if self.from_node is None else asked


WHOLE = Selection()


@mutable(slots=False)
class Decision:
    """What a run is to do."""

    plan: list[PlannedNode] = field(default_factory=list[PlannedNode])
    run: list[Stage] = field(default_factory=list[Stage])
    load: dict[str, KeptObject] = field(default_factory=dict[str, KeptObject])
    """What is read from the cache, by the name of the object."""
    beside: dict[str, KeptObject] = field(default_factory=dict[str, KeptObject])
    """What was made by the same nodes, and nobody takes."""
    codes: dict[str, str] = field(default_factory=dict[str, str])
    holding: set[str] = field(default_factory=set[str])
    """The nodes of which what is kept holds; those that run all the same are not kept again."""
    versions: dict[str, str] = field(default_factory=dict[str, str])
    """The versions of what is given, and of what is kept and still holds."""

    @property
    def reused(self) -> tuple[str, ...]:
        return tuple(each.node for each in self.plan if each.action == "reuse")


def decided(
    described: Described, selection: Selection, kept: Mapping[str, KeptObject] | None
) -> Decision:
    """What a run of this part is to do; `kept` is None where there is no cache.

    Raises:
        DagError: the selection makes no sense, or a part of the pipeline lacks an object.
    """
    asked, forced = selection.of(described.stages)
    decision = Decision()
    reasons = dict(_reasons(described, asked, forced, kept, decision))
    finals = set(described.finals(asked))
    actions = _actions(described, asked, reasons, kept or {}, finals)
    lacking: list[str] = []
    needed = _needed(described, actions)
    for stage in described.stages:
        action, why = actions[stage.label]
        decision.plan.append(PlannedNode(stage.label, action, why))
        if action == "run":
            decision.run.append(stage)
        wanted = [name for name in stage.node.outputs if name in needed]
        if action == "reuse":
            assert kept is not None
            wanted += [name for name in stage.node.outputs if name in finals]
            decision.load.update({name: kept[name] for name in wanted})
            if wanted:
                decision.beside.update({name: kept[name] for name in stage.node.outputs})
        elif action == "skip" and wanted:
            takers = enumerated([each for name in wanted for each in needed[name]])
            lacking.append(
                f"{takers} takes {enumerated(wanted)} of {stage.label}, which is not asked for and "
                f"cannot be reused ({_why_not(kept, reasons[stage.label])}); let {stage.label} run "
                "as well"
            )
    if lacking:
        raise DagError(lacking)
    return decision


def _why_not(kept: Mapping[str, KeptObject] | None, reason: str | None) -> str:
    if kept is None:
        return "use_persistent_cache=True keeps objects for that"
    return reason or "what it makes cannot be kept"


def _reasons(
    described: Described,
    asked: set[str],
    forced: set[str],
    kept: Mapping[str, KeptObject] | None,
    decision: Decision,
) -> Iterator[tuple[str, str | None]]:
    """Why each node has to run if it is asked for; None where what is kept of it holds."""
    fresh: dict[str, str] = {}
    for label, node in described.stages:
        reason = None
        if label in forced:
            reason = "asked for"
        elif kept is None:
            reason = "there is no persistent cache"
        if kept is not None:
            code = decision.codes[label] = code_of(node.func)
            for name in node.inputs:
                if described.is_given(name) and name not in decision.versions:
                    mark = fingerprint(described.given(name))
                    decision.versions[name] = "not compared" if mark is None else mark
            if reason is None:
                reason = _changed(node.inputs, node.outputs, code, kept, decision, fresh)
        if reason is None:
            assert kept is not None
            decision.holding.add(label)
            decision.versions.update({name: kept[name].version for name in node.outputs})
        else:
            fresh.update(dict.fromkeys(node.outputs, label))
        yield label, reason


def _changed(
    inputs: Sequence[str],
    outputs: Sequence[str],
    code: str,
    kept: Mapping[str, KeptObject],
    decision: Decision,
    fresh: Mapping[str, str],
) -> str | None:
    """Why what is kept of a node does not hold; None if it does."""
    if not outputs:
        return "it has no outputs that could be kept"
    missing = [name for name in outputs if name not in kept]
    if missing:
        return f"{_are(missing)} not in the cache"
    first = kept[outputs[0]]
    if any(kept[name].batch != first.batch for name in outputs):
        return f"{enumerated(outputs)} were not kept together"
    if first.code != code:
        return "its code has changed"
    anew = [name for name in inputs if name in fresh]
    if anew:
        return f"{_are(anew)} made anew"
    changed = [name for name in inputs if first.inputs.get(name) != decision.versions[name]]
    if changed or len(first.inputs) != len(set(inputs)):
        names = changed or list(inputs)
        return f"{enumerated(names)} {'has' if len(names) == 1 else 'have'} changed"
    return None


def _actions(
    described: Described,
    asked: set[str],
    reasons: Mapping[str, str | None],
    kept: Mapping[str, KeptObject],
    finals: set[str],
) -> dict[str, tuple[Action, str]]:
    """From the last node to the first: a node whose object cannot be kept runs if it is needed."""
    actions: dict[str, tuple[Action, str]] = {}
    needed: dict[str, str] = {}
    for label, node in reversed(described.stages):
        reason = reasons[label]
        takers = [needed[name] for name in node.outputs if name in needed]
        lost = [] if reason else [n for n in node.outputs if kept[n].how == "not kept"]
        if lost:  # they are made together
            takers += ["the result"] * any(name in finals for name in node.outputs)
        if label not in asked:
            if reason is None and takers and not lost:
                actions[label] = ("reuse", _holds(kept[node.outputs[0]]))
            else:
                actions[label] = ("skip", "not asked for")
        elif reason is not None:
            actions[label] = ("run", reason)
        elif lost and takers:
            taker = enumerated(list(dict.fromkeys(takers)))
            actions[label] = ("run", f"{enumerated(lost)} cannot be kept, for {taker}")
        elif lost:
            actions[label] = ("skip", f"nothing that runs needs {enumerated(lost)}")
        else:
            actions[label] = ("reuse", _holds(kept[node.outputs[0]]))
        if actions[label][0] == "run":
            needed.update(dict.fromkeys(node.inputs, label))
    return {label: actions[label] for label, _ in described.stages}


def _needed(
    described: Described, actions: Mapping[str, tuple[Action, str]]
) -> dict[str, list[str]]:
    """The nodes that run and take an object, by its name."""
    found: dict[str, list[str]] = {}
    for label, node in described.stages:
        if actions[label][0] == "run":
            for name in dict.fromkeys(node.inputs):
                found.setdefault(name, []).append(label)
    return found


def _are(names: Sequence[str]) -> str:
    return f"{enumerated(names)} {'is' if len(names) == 1 else 'are'}"


def _holds(kept: KeptObject) -> str:
    return f"code and inputs are those of {kept.kept_at:%Y-%m-%d %H:%M}"
