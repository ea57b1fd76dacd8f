"""How does a value become text, and does it come back exactly?

Values go through the type that a function declares. What cannot be serialised is kept as its repr,
to be looked at. No table is written here.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any

from pydantic import BaseModel

from ..fit import adapter_of, is_known, short
from ..plan import Plan
from .tables import PAYLOAD_FORMAT, Payload

LOG = logging.getLogger("lythonic_compose")


def payload_of(value: Any, annotation: Any, what: str) -> Payload:
    """A value as a payload; `what` is named in the warning when it can only be kept as its repr."""
    text, restorable = _encoded(value, annotation, what)
    return _payload(text, _type_name(value), restorable)


def given_text(text: str) -> Payload:
    """A payload of JSON text that somebody else made."""
    return _payload(text, "json", restorable=True)


def inputs_payload(inputs: Mapping[str, Mapping[str, Any]], plan: Plan | None) -> Payload:
    """What was given to a run, by node and parameter, each value by its declared type."""
    exact = True
    nodes: list[str] = []
    for label, values in inputs.items():
        declared = {}
        if plan is not None:
            declared = {arg.name: arg.annotation for arg in plan.nodes[label].method.args}
        members: list[str] = []
        for name, value in values.items():
            annotation = declared.get(name, Any)
            text, restorable = _encoded(value, annotation, f"the input {label}.{name}")
            exact = exact and restorable
            members.append(f"{json.dumps(name)}:{text}")
        nodes.append(f"{json.dumps(label)}:{{{','.join(members)}}}")
    return _payload(f"{{{','.join(nodes)}}}", "inputs", exact)


def storable(text: str) -> str:
    """Text without what a database cannot hold: NUL, and halves of surrogate pairs."""
    if "\0" in text:
        text = text.replace("\0", "\\0")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _payload(text: str, type_name: str, restorable: bool) -> Payload:
    key = f"{PAYLOAD_FORMAT}\n{type_name}\n{restorable}\n{text}"
    return Payload(
        payload_hash=sha256(key.encode()).hexdigest(),
        type_name=type_name,
        restorable=restorable,
        text=text,
    )


def _type_name(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}:{kind.__qualname__}"


def _encoded(value: Any, annotation: Any, what: str) -> tuple[str, bool]:
    text = None
    # an iterator would be consumed by serialising it
    if not isinstance(value, Iterator):
        declared = annotation if is_known(annotation) else Any
        text = _dumped(value, declared)
        if text is not None and _comes_back(value, declared, text):
            return text, True
        # what the declared type leaves out (the fields of a subclass) is shown all the same
        text = _dumped(value, Any) or text
    if text is not None:
        return text, False
    shown = storable(short(value, 10_000))
    LOG.warning("%s cannot be serialised and is kept as its repr: %s", what, storable(short(value)))
    return json.dumps(shown), False


def _dumped(value: Any, annotation: Any) -> str | None:
    """JSON by pydantic; None where it cannot, or where the value is not of the type."""
    adapter = adapter_of(annotation)
    if adapter is None:
        return None
    try:
        return adapter.dump_json(value, warnings="error").decode()
    except Exception:  # noqa: BLE001 - a serialiser may be the user's; the value is shown by repr
        return None


def _comes_back(value: Any, annotation: Any, text: str) -> bool:
    adapter = adapter_of(annotation)
    try:
        return adapter is not None and _same(adapter.validate_json(text), value)
    except Exception:  # noqa: BLE001 - a validator may be the user's; then it does not come back
        return False


def _same(one: Any, other: Any) -> bool:
    """Equal, and of the same types all the way down; NaN is the same as NaN."""
    if type(one) is not type(other):
        return False
    if isinstance(one, BaseModel):
        return _same(one.__dict__, other.__dict__) and one == other
    if isinstance(one, dict):
        mine: dict[Any, Any] = one
        theirs: dict[Any, Any] = other
        return list(mine) == list(theirs) and all(
            type(a) is type(b) and _same(mine[a], theirs[b])
            for a, b in zip(mine, theirs, strict=True)
        )
    if isinstance(one, (list, tuple)):
        left: Sequence[Any] = one
        right: Sequence[Any] = other
        return len(left) == len(right) and all(map(_same, left, right))
    if isinstance(one, float) and one != one:
        return bool(other != other)
    return bool(one == other)
