"""Under which key is a value kept, and what is not kept at all?

How a value becomes text stands in `values.py`. No table is written here.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from functools import lru_cache
from hashlib import sha256
from pathlib import PurePath
from typing import Any, NamedTuple
from uuid import UUID

from ..context import is_secret
from ..plan import Plan
from ..signature import MISSING
from ..values import encode
from .held import HeldRows, may_hold_rows, rows_in
from .tables import PAYLOAD_FORMAT


class Content(NamedTuple):
    """A value as text with the key of its content: a row of `Payload` but for what all share."""

    payload_hash: str
    type_name: str
    restorable: bool
    text: str
    rows: tuple[HeldRows, ...] = ()
    """The rows in it, which are kept in a table of their own."""


class GivenInputs(NamedTuple):
    """What a run was given."""

    content: Content
    withheld: list[str]
    """The names of those that are secret, or are not kept exactly: "fetch.token"."""


def is_small(value: Any) -> bool:
    """Whether it is surely little, and quick, to make text of a value. A rough guess."""
    parts, size, left = 0, 0, [value]
    while left:
        item = left.pop()
        kind = item.__class__
        if kind is str or kind is bytes:
            size += len(item)
        elif kind is int:
            size += item.bit_length() >> 3
        elif kind not in _SCALARS:
            inside = _inside(item)
            if inside is None:
                return False
            parts += len(inside)
            if parts > _SMALL_PARTS:
                return False
            left += inside
        if size > _SMALL_BYTES:
            return False
    return True


_SMALL_BYTES = 64 * 1024
_SMALL_PARTS = 2000
_SCALARS = frozenset((float, bool, type(None), complex, datetime, date, time, timedelta, UUID))


def _inside(item: Any) -> Collection[Any] | None:
    """What an object holds; None where that is not to be seen."""
    if isinstance(item, Mapping):
        mapping: Mapping[Any, Any] = item
        return mapping.values()
    if isinstance(item, (list, tuple, set, frozenset)):
        items: Collection[Any] = item
        return items
    if isinstance(item, (Enum, type, Decimal, PurePath)):
        return ()
    if is_dataclass(item):
        return [getattr(item, each.name, None) for each in fields(item)]
    attributes: dict[str, Any] | None = getattr(item, "__dict__", None)
    return None if attributes is None else attributes.values()


def payload_of(value: Any, annotation: Any, what: str, *, has_origins: bool = False) -> Content:
    """A value as it is kept; `what` is named in the warning when only its repr can be.

    Of rows that have origins, since their node wrote them, nothing is kept beside it.
    """
    if _is_secret(annotation):
        return _content('"**********"', _type_name(value), restorable=False)
    encoded = encode(value, annotation, what)
    rows = () if has_origins or not may_hold_rows(annotation) else rows_in(value)
    return _content(encoded.text, encoded.type_name, encoded.restorable, rows)


def given_text(text: str) -> Content:
    """JSON text that somebody else made."""
    return _content(text, "json", restorable=True)


def inputs_of(inputs: Mapping[str, Mapping[str, Any]], plan: Plan | None) -> GivenInputs:
    """What was given to a run, by the path of a node and parameter, by its declared type."""
    withheld: list[str] = []
    nodes: list[str] = []
    rows: list[HeldRows] = []
    for path, values in inputs.items():
        declared = {} if plan is None else _declared(plan, path)
        members: list[str] = []
        for name, value in values.items():
            annotation = declared.get(name, MISSING)
            if _is_secret(annotation):
                withheld.append(f"{path}.{name}")
                continue
            encoded = encode(value, annotation, f"the input {path}.{name}")
            if not encoded.restorable:
                withheld.append(f"{path}.{name}")
            members.append(f"{json.dumps(name)}:{encoded.text}")
            if may_hold_rows(annotation):
                rows += rows_in(value, f"{path}.{name}")
        nodes.append(f"{json.dumps(path)}:{{{','.join(members)}}}")
    text = f"{{{','.join(nodes)}}}"
    return GivenInputs(_content(text, "inputs", not withheld, tuple(rows)), withheld)


def members(text: str) -> dict[str, str]:
    """The members of a JSON object that was written here, each as the text that it is."""
    found: dict[str, str] = {}
    at = 1
    while text[at] != "}":
        name, at = _JSON.raw_decode(text, at + (text[at] == ","))
        begin = at + 1  # after the colon
        _, at = _JSON.raw_decode(text, begin)
        found[name] = text[begin:at]
    return found


_JSON = json.JSONDecoder()


def _declared(plan: Plan, path: str) -> dict[str, Any]:
    node = plan.paths.get(path)
    return {} if node is None else {each.param: each.arg.annotation for each in node.bindings}


def _is_secret(annotation: Any) -> bool:
    try:
        return _is_secret_type(annotation)
    except TypeError:  # an annotation that cannot be hashed
        return is_secret(annotation)


@lru_cache(1024)
def _is_secret_type(annotation: Any) -> bool:
    return is_secret(annotation)


def _content(
    text: str, type_name: str, restorable: bool, rows: tuple[HeldRows, ...] = ()
) -> Content:
    key = f"{PAYLOAD_FORMAT}\n{type_name}\n{restorable}\n{text}"
    if rows:  # rows of two tables may look the same
        key += f"\n{[(each.place, each.table_name, each.of_run) for each in rows]}"
    return Content(sha256(key.encode()).hexdigest(), type_name, restorable, text, rows)


def _type_name(value: Any) -> str:
    kind = type(value)
    return f"{kind.__module__}:{kind.__qualname__}"
