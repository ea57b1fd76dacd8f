"""What runs inside a map, a switch or a nested graph, and what becomes of the results?

Values go in and come out: the parts of a composite node with what each is given, and one value made
of theirs. Nothing runs here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any, cast

from lythonic_state.fields import frozen

from .errors import WiringError, nearest
from .fit import short
from .plan import MapPlan, NodePlan, SubPlan, SwitchPlan


@frozen
class Failed:
    """Stands in the results of `dag.map(…, on_error="collect")` for an element that failed.

    Example:
        >>> [result for result in results if isinstance(result, Failed)]
        [Failed(key=3, error=ValueError('no price'))]
    """

    key: Any
    """The element's number in a list, or its key in a dict."""
    error: BaseException


@frozen
class Part:
    """One run inside a composite node: which graph, and what its source is given."""

    place: str
    """The key of its place as text; "" where there is only one."""
    key: Any = None
    branch: str | None = None
    sub: SubPlan | None = None
    given: Mapping[str, Any] = field(default_factory=dict[str, Any])
    error: Exception | None = None
    """Why it cannot run; then there is no graph."""


def segment(label: str, key: str, branch: str | None) -> str:
    """A part of a path: "chunks[0]", "enrich[]", "router[text]", "route[0:text]"."""
    inner = ":".join(([key] if key else []) + ([] if branch is None else [_quoted(branch)]))
    return f"{label}[{inner}]"


def key_text(key: Any) -> str:
    """The key of a list or dict as text: a plain word or number as it is, all else in JSON."""
    if isinstance(key, str):
        # "1" and 1 are two keys
        return json.dumps(key) if re.fullmatch(r"-?\d+", key) else _quoted(key)
    return str(key) if type(key) is int else json.dumps(str(key))


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w.@ -]*\w", text) else json.dumps(text)


# --- before ---------------------------------------------------------------------------------


class Elements(Sequence[Part]):
    """The parts of a map, each made when it is asked for, so that few exist at a time.

    Raises:
        WiringError: it is no collection, or two of its keys look the same.
    """

    def __init__(self, composite: MapPlan, label: str, value: Any) -> None:
        self.keys: Sequence[Any]
        if isinstance(value, Mapping):
            self.keys, self._items = tuple(value), tuple(value.values())
            _check_keys(label, self.keys)
        elif isinstance(value, (list, tuple)):
            self._items = tuple(cast("Sequence[Any]", value))
            self.keys = range(len(self._items))
        else:
            raise WiringError(f"{label} maps over a list, a tuple or a dict, got {short(value)}")
        self._composite = composite
        self._label = label

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, number: Any) -> Any:
        return _element(self._composite, self._label, self.keys[number], self._items[number])

    @property
    def places(self) -> tuple[str, ...]:
        return tuple(map(key_text, self.keys))


def _check_keys(label: str, keys: Sequence[Any]) -> None:
    places: dict[str, Any] = {}
    for key in keys:
        place = key_text(key)
        if place in places:
            raise WiringError(
                f"{label}: the keys {places[place]!r} and {key!r} look the same; "
                "use keys of one type"
            )
        places[place] = key


def parts(node: NodePlan, values: Mapping[str, Any]) -> Sequence[Part]:
    """What runs inside a node that was given these arguments.

    Raises:
        WiringError: a value is none that the node can take apart.
    """
    composite = node.composite
    if isinstance(composite, SubPlan):
        if composite.spread:
            (value,) = values.values()
            return [Part("", None, None, composite, _by_name(node.label, composite, value))]
        return [Part("", None, None, composite, values)]
    (value,) = values.values()
    if isinstance(composite, SwitchPlan):
        part = _chosen(composite, node.label, "", None, value)
        if part.error is not None:
            raise part.error
        return [part]
    assert composite is not None
    return Elements(composite, node.label, value)


def _element(composite: MapPlan, label: str, key: Any, item: Any) -> Part:
    place = key_text(key)
    if isinstance(composite.over, SwitchPlan):
        return _chosen(composite.over, label, place, key, item)
    try:
        return Part(place, key, None, composite.over, _delivered(label, composite.over, item))
    except Exception as error:  # noqa: BLE001 - a value may be anything; it fails by itself
        return Part(place, key, error=error)


def _chosen(switch: SwitchPlan, label: str, place: str, key: Any, value: Any) -> Part:
    try:
        branch, data = _routed(label, value)
        if branch not in switch.branches:
            raise WiringError(
                f"{label} has no branch {branch!r}{nearest(str(branch), switch.branches)}"
            )
        sub = switch.branches[branch]
        return Part(place, key, branch, sub, _delivered(label, sub, data))
    except Exception as error:  # noqa: BLE001 - a value may be anything; it fails by itself
        return Part(place, key, error=error)


def _routed(label: str, value: Any) -> tuple[Any, Any]:
    if isinstance(value, Mapping) and "__switch__" in value:
        return cast(Any, value)["__switch__"], value
    if isinstance(value, tuple):
        if len(value) == 2 and isinstance(value[0], str):
            return value[0], value[1]
    raise WiringError(
        f'{label} needs to be told the branch: ("name", data) or {{"__switch__": "name", …}}, '
        f"got {short(value)}"
    )


def _delivered(label: str, sub: SubPlan, value: Any) -> Mapping[str, Any]:
    if sub.spread:
        return _by_name(label, sub, value)
    return dict.fromkeys(sub.params, value)


def _by_name(label: str, sub: SubPlan, value: Any) -> Mapping[str, Any]:
    names = ", ".join(sub.params)
    if not isinstance(value, Mapping):
        raise WiringError(
            f"{label}/{sub.source} takes several parameters ({names}) and so a dict of them, got "
            f"{short(value)}"
        )
    by_name = cast("Mapping[str, Any]", value)
    missing = [name for name in sub.params if name not in by_name]
    if missing:
        raise WiringError(
            f"{label}/{sub.source} takes {names}; the dict has no {' and no '.join(missing)}: "
            f"{short(value)}"
        )
    known = [binding.param for binding in sub.plan.nodes[sub.source].bindings]
    return {name: by_name[name] for name in known if name in by_name}


# --- after ----------------------------------------------------------------------------------


def joined(composite: MapPlan, value: Any, results: Iterable[tuple[Any, Any]]) -> Any:
    """The result of a map, from the keys and results of its elements in their order."""
    if composite.flatten:
        flat: list[Any] = []
        for key, result in results:
            if isinstance(result, (list, tuple, set, frozenset)):
                flat += cast("Iterable[Any]", result)
            elif isinstance(result, Failed):
                flat.append(result)
            else:
                raise WiringError(
                    f"flatten=True joins lists, and element {key!r} gave {short(result)}"
                )
        return flat
    if isinstance(value, Mapping):
        return dict(results)
    return [result for _, result in results]
