"""Which rows does a value hold? Those of `DbModel` values anywhere in it, by table and key.

A row whose key is not set (yet) is none. Nothing is stored or read here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time
from decimal import Decimal
from functools import lru_cache
from typing import Any, Literal, NamedTuple, TypeAlias, get_args, get_origin
from uuid import UUID

from pydantic import BaseModel

from lythonic_state import DbModel
from lythonic_state.identity import has_integer_key, key_fields, key_texts, keys_of, table_name

from ..outputs.rows import Rows
from .tables import span_of

Range: TypeAlias = "tuple[int, int]"
"""The first and the last of keys that follow each other."""


class HeldRows(NamedTuple):
    """The rows of one table in a value: a row of `PayloadRows` but for the payload's key."""

    place: str
    table_name: str
    only_rows: bool
    first_key: int | None
    last_key: int | None
    span: int | None
    ranges: list[Range]
    texts: list[str]
    of_run: str | None = None
    of_node: str | None = None


def rows_in(value: Any, place: str = "") -> tuple[HeldRows, ...]:
    """The rows that a value holds, a table each; for values without rows this costs little."""
    kind: Any = type(value)
    if _kind(kind) == "other" or _is_plain(value):
        return ()
    found = _Found()
    found.look_at([value])
    alone = not found.other
    rows = [_held(place, table, keys, alone) for table, keys in sorted(found.keys.items())]
    streams = [
        HeldRows(place, "", alone, None, None, None, [], [], run_id, node)
        for run_id, node in sorted(found.streams)
    ]
    return (*rows, *streams)


def _is_plain(value: Any) -> bool:
    """Whether it is only numbers, text and the like, in lists and dicts: most values are."""
    kind = value.__class__
    if kind in _PLAIN:
        return True
    parts: Collection[Any]
    if kind is dict:
        parts = value.values()
    elif kind is list or kind is tuple:
        parts = value
    else:
        return False
    try:
        return _PLAIN.issuperset(map(type, parts)) or all(map(_is_plain, parts))
    except RecursionError:
        return False


_PLAIN = frozenset((int, float, str, bool, bytes, type(None), date, datetime))


def ranges_of(keys: Iterable[int]) -> list[Range]:
    """Integer keys as the fewest ranges, in order.

    Example:
        >>> ranges_of([7, 2, 1, 3, 7])
        [(1, 3), (7, 7)]
    """
    ordered = sorted(set(keys))
    if ordered and ordered[-1] - ordered[0] == len(ordered) - 1:
        return [(ordered[0], ordered[-1])]
    found: list[Range] = []
    for key in ordered:
        if found and found[-1][1] == key - 1:
            found[-1] = (found[-1][0], key)
        else:
            found.append((key, key))
    return found


def _held(place: str, table: str, keys: set[Any], only_rows: bool) -> HeldRows:
    if isinstance(next(iter(keys)), str):  # as all of them are
        return HeldRows(place, table, only_rows, None, None, None, [], sorted(keys))
    ranges = ranges_of(keys)
    first, last = ranges[0][0], ranges[-1][1]
    return HeldRows(place, table, only_rows, first, last, span_of(first, last), ranges, [])


class _Found:
    """What a walk through a value has found so far, level by level."""

    def __init__(self) -> None:
        self.keys: dict[str, set[Any]] = {}
        """By table: integers, and keys as text."""
        self.streams: set[tuple[str, str]] = set()
        """By run and node."""
        self.other = False
        """Whether there was anything that is no row."""

    def look_at(self, level: Collection[Any]) -> None:
        seen: set[int] = set()  # of what holds more, which may hold itself
        while level:
            inside: list[Any] = []
            # most values of a level are of one class: asking for classes first is quick
            kinds = set(map(type, level))
            for kind in kinds:
                sort = _kind(kind)
                if sort == "nothing":
                    continue
                if sort == "other":
                    self.other = True
                    continue
                members: Collection[Any] = level
                if len(kinds) > 1:
                    members = [item for item in level if type(item) is kind]
                if sort == "stream":
                    self._streams(members)
                    continue
                if sort == "row":
                    self._rows(kind, members)
                    continue
                for item in members:
                    if id(item) not in seen:
                        seen.add(id(item))
                        inside += _parts(item)
            level = inside

    def _streams(self, members: Iterable[Rows[Any]]) -> None:
        self.streams.update((rows.run_id, rows.node) for rows in members)

    def _rows(self, kind: type[Any], rows: Collection[Any]) -> None:
        listed = set(keys_of(kind, rows))
        keys: set[Any] = listed - {None}
        try:
            if not has_integer_key(kind):
                keys = set(key_texts(kind, keys))
            elif keys and (min(keys) < _SMALLEST or max(keys) > -_SMALLEST):
                keys = set()
        except ValueError:  # made without validation; no database has such a row
            keys = set()
        self.other |= not keys or None in listed
        if keys:
            self.keys.setdefault(table_name(kind), set()).update(keys)


_SMALLEST = 1 - 2**63


def _parts(item: Any) -> Iterable[Any]:
    if isinstance(item, Mapping):
        mapping: Mapping[Any, Any] = item
        return mapping.values()
    if isinstance(item, BaseModel):
        return vars(item).values()
    if is_dataclass(item):
        return [getattr(item, each.name, None) for each in fields(item)]
    items: Collection[Any] = item
    return items


_Kind: TypeAlias = Literal["nothing", "row", "stream", "holds", "other"]


@lru_cache(1024)
def _kind(kind: Any) -> _Kind:
    if kind is type(None):
        return "nothing"
    if issubclass(kind, Rows):
        return "stream"
    if issubclass(kind, DbModel) and not kind.__table_options__["abstract"] and key_fields(kind):
        return "row"
    if issubclass(kind, (Mapping, list, tuple, set, frozenset)):
        return "holds"
    if issubclass(kind, BaseModel):
        types = [each.annotation for each in kind.model_fields.values()]
        closed = kind.model_config.get("extra") != "allow"
        return "other" if types and closed and all(map(_holds_no_rows, types)) else "holds"
    return "holds" if is_dataclass(kind) else "other"


def _holds_no_rows(annotation: Any) -> bool:
    """Whether no value of a type can hold a row, as far as that is seen at once."""
    if get_origin(annotation) is not None:
        return all(map(_holds_no_rows, get_args(annotation)))
    return annotation in _SIMPLE


_SIMPLE = (int, float, str, bool, bytes, None, type(None), Decimal, date, datetime, time, UUID)


def may_hold_rows(annotation: Any) -> bool:
    """Whether it is worth looking for rows in values of a declared type."""
    try:
        return _may_hold_rows(annotation)
    except TypeError:  # an annotation that cannot be hashed
        return True


@lru_cache(1024)
def _may_hold_rows(annotation: Any) -> bool:
    return not _holds_no_rows(annotation)
