"""What does a node take and return, as far as can be seen from around it?

A composite node takes what the source of its graph takes, or a value that says which branch, or a
collection; what it returns follows from what is inside. Nothing is planned or bound here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Union, get_args, get_origin

import typing_extensions

from .checks import signature_problems
from .errors import enumerated
from .fit import fits, is_known, shown
from .graph import Body, Function, Graph, Map, NodeSpec, Once, Switch
from .rules import filled_by_runner
from .signature import MISSING, Arg

SWITCH_ARG = Arg("value", tuple[str, Any] | dict[str, Any], MISSING)

# annotations are made at run time here, which checkers take for annotations of their own
_list: Any = list
_tuple: Any = tuple
_dict: Any = dict


def takes(spec: NodeSpec, resources: frozenset[str]) -> list[Arg]:
    """What a node takes from outside, as parameters."""
    body = spec.body
    if isinstance(body, Function):
        if any(True for _ in signature_problems(spec)):
            return []
        fixed = filled_by_runner(body.method, resources)
        return [arg for arg in body.method.args if arg.name not in fixed]
    if isinstance(body, Once):
        source = ends(body.graph)[0]
        return takes(body.graph.specs[source[0]], resources) if len(source) == 1 else []
    if isinstance(body, Switch):
        return [SWITCH_ARG]
    return [collection(body, resources)]


def ends(graph: Graph) -> tuple[list[str], list[str]]:
    """The labels without upstream, and those without downstream."""
    reached = {edge.downstream for edge in graph.edges}
    left = {edge.upstream for edge in graph.edges}
    return (
        [label for label in graph.specs if label not in reached],
        [label for label in graph.specs if label not in left],
    )


def collection(body: Map, resources: frozenset[str]) -> Arg:
    """The parameter of a map: a list, tuple or dict of what is inside takes."""
    if isinstance(body.over, Switch):
        name, item = "items", SWITCH_ARG.annotation
    else:
        takers = feedable(takes(NodeSpec("", body.over), resources))
        name, item = ("items", Any) if len(takers) != 1 else (takers[0].name, takers[0].annotation)
    if not is_known(item):
        item = Any
    return Arg(name, _list[item] | _tuple[item, ...] | _dict[Any, item], MISSING)


def feedable(args: Sequence[Arg]) -> list[Arg]:
    """The parameters that one value may be meant for."""
    required = [arg for arg in args if arg.required]
    return required or (list(args) if len(args) == 1 else [])


def end_problems(name: str, graph: Graph) -> list[str]:
    """What keeps a graph from being used as a step."""
    found: list[str] = []
    if not graph.specs:
        return [f"{name}: the Dag inside is empty; give it a node"]
    for what, labels, why in zip(
        ("sources", "sinks"),
        ends(graph),
        ("where its value goes", "what its result is"),
        strict=True,
    ):
        if len(labels) > 1:
            found.append(
                f"{name}: the Dag inside has several {what} ({', '.join(labels)}); wire them so "
                f"that there is one, which says {why}"
            )
    return found


def element_params(label: str, takers: Sequence[Arg], item: Any) -> tuple[list[str], list[str]]:
    """The parameters that an element feeds, and what is wrong."""
    if not takers:
        return [], [
            f"{label}: what is inside takes no parameter that an element could go to; give its "
            "source one"
        ]
    if len(takers) == 1 or is_dict(item):
        return [arg.name for arg in takers], []
    fitting = [arg.name for arg in takers if fits(item, arg.annotation)]
    if len(fitting) == 1:
        return fitting, []
    several = enumerated([f"{arg.name}: {shown(arg.annotation)}" for arg in takers])
    return [], [
        f"{label}: elements of type {shown(item)} "
        f"{'fit several' if fitting else 'fit none'} of the parameters without default of what is "
        f"inside ({several}); leave it one, give the others defaults, or map over dicts of them"
    ]


def is_dict(annotation: Any) -> bool:
    """Whether a value of this type may be a dict with text as keys."""
    return (
        not is_known(annotation)
        or typing_extensions.is_typeddict(annotation)
        or fits(annotation, Mapping[str, Any])
    )


def declared(body: Body) -> Any:
    """What a node returns as far as can be said without its surroundings."""
    if not isinstance(body, Function):
        return MISSING
    try:
        return body.method.return_annotation
    except TypeError:  # told of as a problem of the signature
        return MISSING


def item_of(annotation: Any) -> Any:
    """What a list, tuple or dict of this type holds."""
    arguments = get_args(annotation)
    origin = get_origin(annotation)
    if origin is list and arguments:
        return arguments[0]
    if origin is dict and len(arguments) == 2:
        return arguments[1]
    if origin is tuple and len(arguments) == 2 and arguments[1] is Ellipsis:
        return arguments[0]
    return MISSING


def map_returns(body: Map, coming: Any, returned: Any) -> Any:
    """What a map returns, given what comes in and what is returned for one element."""
    if body.flatten:
        item = item_of(returned)
        item = Any if not is_known(item) else item
        return _list[item] if body.on_error != "collect" else list[Any]
    item = returned if is_known(returned) and body.on_error != "collect" else Any
    origin = get_origin(coming) or coming
    if origin is dict:
        keys = get_args(coming)[0] if get_args(coming) else Any
        return _dict[keys, item]
    if origin in (list, tuple):
        return _list[item]
    return _list[item] | _dict[Any, item]


def one_of(kinds: Sequence[Any]) -> Any:
    """The type of a value that has one of these, MISSING where one is not known."""
    if not all(is_known(kind) for kind in kinds):
        return MISSING
    union: Any = Union[tuple(kinds)]  # noqa: UP007 - the members are known at run time only
    return union
