"""How is a pipeline the same work as a Dag, so that the engine can run it?

Each node becomes a node of the graph under its label, and each name that it takes an edge to a
parameter, or what is given as the parameter's default. Edges without a value keep the order. Where
a node has several outputs, those that take one of them get what it returned, and pick.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

from ..dag import Dag
from ..fit import is_known
from ..signature import MISSING, Arg
from ..values import exact_text
from .around import Around
from .described import Described, Stage


def dag_of(described: Described, stages: Sequence[Stage], around: Around) -> Dag:
    """A Dag of these stages, in their order; what happens around each is the same as in a program.

    Raises:
        DagError: it makes no sense as a Dag.
    """
    dag = Dag()
    labels = [stage.label for stage in stages]
    before: str | None = None
    for stage in stages:
        label, node = stage
        takes = list(_takes(described, stage, labels))
        dag.node(
            _function(stage, takes, around),
            label,
            retry=node.retry,
            timeout=node.timeout,
            write=node.write,
        )
        fed = {each.param: each.maker.label for each in takes if each.maker is not None}
        for param, upstream in fed.items():
            dag.edge(upstream, label, param=param)
        if before is not None and before not in fed.values():
            dag.edge(before, label, order_only=True)
        before = label
    dag.validate()
    return dag


def given_to(
    described: Described, stages: Sequence[Stage], running: Sequence[Stage]
) -> dict[str, dict[str, Any]]:
    """What is given to those that run, by label and parameter, as far as a record can hold it."""
    labels = [stage.label for stage in stages]
    found: dict[str, dict[str, Any]] = {}
    for stage in running:
        for each in _takes(described, stage, labels):
            annotation = each.annotation if is_known(each.annotation) else type(each.given)
            if each.maker is None and exact_text(each.given, annotation) is not None:
                found.setdefault(stage.label, {})[each.param] = each.given
    return found


class _Take(NamedTuple):
    """How one input of a node reaches it."""

    param: str
    annotation: Any
    given: Any
    maker: Stage | None = None
    at: int = 0
    """Which of its maker's outputs it is."""


def _takes(described: Described, stage: Stage, labels: Collection[str]) -> Iterator[_Take]:
    node = stage.node
    own = {arg.name for arg in node.args if arg is not None}
    used: set[str] = set()

    def free(name: str, taken: Collection[str]) -> str:
        while name in taken or name in used:
            name += "_"
        used.add(name)
        return name

    whole: dict[str, str] = {}
    for number, (name, arg) in enumerate(zip(node.inputs, node.args, strict=True), start=1):
        param, annotation = _named(number, arg)
        maker = None if described.is_given(name) else described.makers[name]
        if maker is not None and maker.label not in labels:  # what is reused takes nothing
            yield _Take(free(param, labels), MISSING, None)
        elif maker is None:
            # a parameter that is called like a node would be fed by it
            yield _Take(free(param, labels), annotation, described.given(name))
        elif len(maker.node.outputs) == 1:
            yield _Take(free(param, ()), annotation, None, maker)
        else:
            if maker.label not in whole:
                wished = "from_" + re.sub(r"\W", "_", maker.label)
                whole[maker.label] = free(wished, own)
            at = maker.node.outputs.index(name)
            yield _Take(whole[maker.label], maker.node.returns, None, maker, at)


def _named(number: int, arg: Arg | None) -> tuple[str, Any]:
    if arg is None:
        return f"input_{number}", MISSING
    return arg.name, arg.annotation if is_known(arg.annotation) else MISSING


def _function(stage: Stage, takes: Sequence[_Take], around: Around) -> Callable[..., Any]:
    """What the graph calls: the node's function, with parameters that edges can feed."""

    def values(given: Mapping[str, Any]) -> list[Any]:
        return [
            given.get(each.param, each.given)
            if each.maker is None
            else each.maker.node.spread(given[each.param])[each.at]
            for each in takes
        ]

    def call(**given: Any) -> Any:
        return around.perform(stage, values(given)).result

    async def call_async(**given: Any) -> Any:
        return (await around.perform_async(stage, values(given))).result

    node = stage.node
    made: Any = call_async if node.method.is_async else call
    made.__name__ = made.__qualname__ = node.name
    made.__doc__ = node.method.doc
    made.__wrapped__ = node.func
    made.__signature__ = inspect.Signature(
        [_parameter(each) for each in {each.param: each for each in takes}.values()],
        return_annotation=inspect.Signature.empty if node.returns is MISSING else node.returns,
    )
    return cast("Callable[..., Any]", made)


def _parameter(take: _Take) -> inspect.Parameter:
    return inspect.Parameter(
        take.param,
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if take.maker is not None else take.given,
        annotation=take.annotation if is_known(take.annotation) else inspect.Parameter.empty,
    )
