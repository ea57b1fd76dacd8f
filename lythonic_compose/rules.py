"""Which output feeds which parameter of one node? The rules.

They are applied here, once, when a graph is planned; a run looks up what came of them. Nothing is
known of what a node does with its arguments.

For each parameter, the first that gives an answer:

1. "edge": an edge that names the parameter;
2. "label": an upstream that is called like it;
3. "type": the only unused upstream whose declared type fits; for parameters without default;
4. "list", "dict": every unused upstream that returns T, for `list[T]` and `dict[str, T]`;
5. "only": the one upstream and the one parameter that are left, where either is not annotated;
6. "input", "default": what the caller gives, else the default.

Before these stand what no upstream gives: the "context", a "resource" of the runner's, and the
"value" that the node around a graph hands in.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from lythonic_state.fields import mutable

from .context import is_context
from .errors import enumerated, nearest
from .fit import Check, could_fit, fits, is_known, item_type, returns_nothing, shown
from .graph import Edge, NodeSpec
from .plan import Binding, Rule
from .signature import MISSING, Arg, Method


@mutable(slots=False)
class Binder:
    """Applies the rules to one node; each step takes what the steps before it have left."""

    spec: NodeSpec
    edges: Sequence[Edge]
    returns: Mapping[str, Any]
    takes: Sequence[Arg]
    fed: Mapping[str, Any]
    check_fed: bool
    fixed: Mapping[str, Binding] = field(default_factory=dict[str, Binding])

    def __post_init__(self) -> None:
        self.problems: list[str] = []
        self.bindings: dict[str, Binding] = dict(self.fixed)
        self.args = {arg.name: arg for arg in self.takes}
        self.upstreams = tuple(dict.fromkeys(edge.upstream for edge in self.edges))
        self.order_only = {edge.upstream for edge in self.edges if edge.order_only}
        self.used: set[str] = set()
        self.explicit: set[str] = set()
        self._by_value()
        self._by_edge()
        self._by_label()
        if not self._by_type() and not self._by_items():
            self._by_being_left()
            if not self.problems:  # else what is left over only follows from them
                self._unfed()
        self._by_caller()

    # from around the graph

    def _by_value(self) -> None:
        for arg in self._open_args():
            if arg.name in self.fed:
                check = Check(arg.annotation) if self.check_fed else None
                self.bindings[arg.name] = Binding(arg, "value", (), check, arg.annotation)

    # rule 1

    def _by_edge(self) -> None:
        for edge in self.edges:
            if edge.param is None:
                continue
            self.explicit.add(edge.upstream)
            self.used.add(edge.upstream)
            arg = self.args.get(edge.param)
            if edge.param in self.fixed:
                self._problem(
                    f"the edge {edge.upstream} -> {self.spec.label} names the parameter "
                    f"{edge.param!r}, which gets the {self.fixed[edge.param].rule}; name another "
                    "parameter, or drop param="
                )
            elif arg is None:
                self._problem(
                    f"the edge {edge.upstream} -> {self.spec.label} names the parameter "
                    f"{edge.param!r}, which {self.spec.name} does not take"
                    f"{nearest(edge.param, self.args)}"
                )
            elif arg.name in self.bindings:
                first = "".join(self.bindings[arg.name].upstreams[:1]) or "outside"
                self._problem(
                    f"{self.spec.label}.{arg.name} is fed by two edges, from {first} and from "
                    f"{edge.upstream}; keep one of them"
                )
            else:
                self._bind_one(arg, "edge", edge.upstream)

    # rule 2

    def _by_label(self) -> None:
        for arg in self._open_args():
            if arg.name in self.upstreams and arg.name not in self.order_only:
                self.used.add(arg.name)
                self._bind_one(arg, "label", arg.name)

    # rule 3

    def _by_type(self) -> bool:
        """Whether something was ambiguous, so that nothing can be said about the rest."""
        candidates = {
            arg.name: [up for up in self._unused() if self._fits(up, arg.annotation)]
            for arg in self._open_args()
            if arg.required
        }
        ambiguous = False
        for name, ups in candidates.items():
            if len(ups) > 1:
                ambiguous = True
                self._problem(
                    f"{self.spec.label}.{name}: {shown(self.args[name].annotation)} could come "
                    f"from {enumerated(ups)}, which both fit; {self._mend(ups[0], name)}"
                    if len(ups) == 2
                    else f"{self.spec.label}.{name}: {shown(self.args[name].annotation)} could "
                    f"come from any of {enumerated(ups)}; {self._mend(ups[0], name)}"
                )
        for up in self._unused():
            names = [name for name, ups in candidates.items() if up in ups]
            if len(names) > 1:
                ambiguous = True
                self._problem(
                    f"{up} returns {shown(self.returns[up])}, which fits several parameters of "
                    f"{self.spec.label}: {enumerated(names)}; {self._mend(up, names[0])}"
                )
        if ambiguous:
            return True
        for name, ups in candidates.items():
            if ups:
                self.used.add(ups[0])
                self._bind_one(self.args[name], "type", ups[0])
        return False

    # rule 4

    def _by_items(self) -> bool:
        """Whether something was ambiguous, so that nothing can be said about the rest."""
        wanted = {
            arg.name: (*kind, [up for up in self._unused() if self._fits(up, kind[1])])
            for arg in self._open_args()
            if (kind := item_type(arg.annotation)) is not None
        }
        ambiguous = False
        for up in self._unused():
            names = [name for name, (_, _, ups) in wanted.items() if up in ups]
            if len(names) > 1:
                ambiguous = True
                self._problem(
                    f"{up} returns {shown(self.returns[up])}, which several parameters of "
                    f"{self.spec.label} collect: {enumerated(names)}; {self._mend(up, names[0])}"
                )
        if ambiguous:
            return True
        for name, (shape, item, ups) in wanted.items():
            if ups:
                self.used.update(ups)
                self.bindings[name] = Binding(self.args[name], shape, tuple(ups), Check(item), item)
        return False

    # rule 5

    def _by_being_left(self) -> None:
        args = [arg for arg in self._open_args() if arg.required]
        ups = self._unused()
        if len(args) == 1 and len(ups) == 1:
            if not is_known(args[0].annotation) or not is_known(self.returns[ups[0]]):
                self.used.add(ups[0])
                self._bind_one(args[0], "only", ups[0])

    # what is left over

    def _unfed(self) -> None:
        args = [arg for arg in self._open_args() if arg.required]
        unused = self._unused()
        for up in unused:
            returned = self.returns[up]
            left = args or [
                arg
                for arg in self._open_args()
                if not is_known(arg.annotation)
                or not is_known(returned)
                or fits(returned, arg.annotation)
            ]
            if not left:
                continue
            first = left[0]
            if len(left) == 1 and len(unused) == 1 and args:
                what = (
                    f"incompatible types on the edge {up} -> {self.spec.label}: {up} returns "
                    f"{shown(returned)}, and {self.spec.label}.{first.name} takes "
                    f"{shown(first.annotation)}"
                )
            else:
                what = (
                    f"{up} returns {shown(returned)} and feeds no parameter of "
                    f"{self.spec.label}, where there {'is' if len(left) == 1 else 'are'} "
                    + enumerated([f"{arg.name}: {shown(arg.annotation)}" for arg in left])
                    + ("" if args else ", with a default")
                )
            mend = (
                self._mend(up, first.name)
                if could_fit(returned, first.annotation)
                else "put a step between them that converts it"
            )
            self._problem(
                f"{what}; {mend}, or say that it only comes first: "
                f"dag.edge({up!r}, {self.spec.label!r}, order_only=True)"
            )

    # rule 6

    def _by_caller(self) -> None:
        for arg in self._open_args():
            self.bindings[arg.name] = Binding(arg, "input" if arg.required else "default")

    # helpers

    def _open_args(self) -> list[Arg]:
        return [arg for name, arg in self.args.items() if name not in self.bindings]

    def _unused(self) -> list[str]:
        """The upstreams that have a value to give and have not given it."""
        return [
            up
            for up in self.upstreams
            if up not in self.used
            and up not in self.order_only
            and not returns_nothing(self.returns[up])
        ]

    def _fits(self, upstream: str, annotation: Any) -> bool:
        returned = self.returns[upstream]
        return is_known(returned) and annotation is not MISSING and fits(returned, annotation)

    def _bind_one(self, arg: Arg, rule: Rule, upstream: str) -> None:
        returned = self.returns[upstream]
        # what is known of the parameter decides; where nothing is, what the upstream promised
        expected = arg.annotation if is_known(arg.annotation) else returned
        self.bindings[arg.name] = Binding(arg, rule, (upstream,), Check(expected), expected)
        if not could_fit(returned, arg.annotation):
            self._problem(
                f"incompatible types on the edge {upstream} -> {self.spec.label}: {upstream} "
                f"returns {shown(returned)}, and {self.spec.label}.{arg.name} takes "
                f"{shown(arg.annotation)}; change one of the annotations, or wire another node"
            )

    def _mend(self, upstream: str, param: str) -> str:
        return (
            f"name the parameter: dag.edge({upstream!r}, {self.spec.label!r}, param={param!r}), "
            f"or give the node the parameter's name as its label: {param!r}"
        )

    def _problem(self, text: str) -> None:
        self.problems.append(text)


def filled_by_runner(method: Method, resources: frozenset[str]) -> dict[str, Binding]:
    """The parameters that neither upstreams nor callers fill."""
    found: dict[str, Binding] = {}
    for number, arg in enumerate(method.args):
        if number == 0 and is_context(arg.annotation):
            found[arg.name] = Binding(arg, "context")
        elif arg.name in resources:
            found[arg.name] = Binding(arg, "resource")
    return found


def context_problems(spec: NodeSpec, bindings: Sequence[Binding]) -> list[str]:
    return [
        f"{spec.label}.{binding.param}: a {shown(binding.arg.annotation)} is only given to the "
        "first parameter; move it there"
        for binding in bindings
        if binding.rule == "input" and is_context(binding.arg.annotation)
    ]
