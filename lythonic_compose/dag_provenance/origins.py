"""Who wrote this key, and which keys did an attempt write? `row_origins`, found by their indexes.

Keys are as they are stored: integers, or the text of `lythonic_state.identity.key_text`. What flows
from node to node stands in `lineage.py`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple, TypeAlias

from lythonic_state import Condition, SyncConnection, and_, col, max_, or_, select_columns

from .held import Range
from .tables import NodeAttempt, PayloadRows, RowOrigin

StoredKey: TypeAlias = "int | str"

PAGE = 1000
"""So many keys are looked at together, at most."""


class RowKey(NamedTuple):
    """Which row: the name of its table, and its key (a tuple where several columns make it)."""

    table: str
    key: Any


class Wrote(NamedTuple):
    """Who wrote a key last."""

    node_attempt_id: int
    row_origin_id: int


# --- who wrote a key ------------------------------------------------------------------------


def newest_origins(
    conn: SyncConnection, table: str, keys: Sequence[StoredKey], before: int | None = None
) -> dict[StoredKey, Wrote]:
    """Who wrote these keys of a table last; keys that nobody here wrote are left out.

    With `before`, the id of an origin, only older ones count.
    """
    found: dict[StoredKey, Wrote] = {}
    numbers = sorted(key for key in keys if isinstance(key, int))
    for origin in sorted(_origins_over(conn, table, keys), key=lambda each: each[0]):
        row_origin_id, attempt_id, first, last, text = origin
        if before is not None and row_origin_id >= before:
            break
        wrote = Wrote(attempt_id, row_origin_id)
        if first is None:
            found[text] = wrote
        else:
            for key in numbers[bisect_left(numbers, first) : bisect_right(numbers, last)]:
                found[key] = wrote
    return found


def attempts_that_wrote(conn: SyncConnection, table: str, key: StoredKey) -> list[int]:
    """All attempts that ever wrote a key, the newest first."""
    found = sorted(_origins_over(conn, table, [key]), reverse=True)
    return list(dict.fromkeys(attempt_id for _, attempt_id, *_ in found))


def payloads_with(conn: SyncConnection, table: str, key: StoredKey) -> list[PayloadRows]:
    """The kept values that hold a row."""
    if isinstance(key, str):
        where = [col(PayloadRows.span).is_null()]
    else:
        where = _near(conn, PayloadRows, table, key, key)
    return [
        each
        for each in PayloadRows.iterate(conn, PAGE, *where, table_name=table)
        if (key in each.texts if isinstance(key, str) else _in_ranges(each.ranges, key))
    ]


def _origins_over(conn: SyncConnection, table: str, keys: Sequence[StoredKey]) -> Iterator[Any]:
    columns: Any = (
        col(RowOrigin.row_origin_id),
        col(RowOrigin.node_attempt_id),
        col(RowOrigin.first_key),
        col(RowOrigin.last_key),
        col(RowOrigin.key_text),
    )
    texts = [key for key in keys if isinstance(key, str)]
    if texts:
        yield from select_columns(conn, *columns, table_name=table, key_text=texts)
    for first, last in _windows([key for key in keys if isinstance(key, int)]):
        where = _near(conn, RowOrigin, table, first, last)
        yield from select_columns(conn, *columns, where=where, table_name=table)


def _near(conn: SyncConnection, rows: Any, table: str, first: int, last: int) -> list[Condition]:
    """Ranges of a table that overlap this one, each length looked for as far as it can reach."""
    ((longest,),) = select_columns(conn, max_(rows.span), table_name=table)
    ways = [
        and_(
            col(rows.span) == span,
            col(rows.first_key) >= max(first - 2**span + 1, -(2**63)),
            col(rows.first_key) <= last,
        )
        for span in range(0 if longest is None else longest + 1)
    ]
    if not ways:
        return [col(rows.span) == -1]
    return [or_(*ways) if len(ways) > 1 else ways[0], col(rows.last_key) >= first]


def _windows(keys: Collection[int]) -> Iterator[Range]:
    """Stretches that hold these keys, without the wide gaps between them."""
    first = last = None
    for key in sorted(keys):
        if first is None or last is None:
            first = key
        elif key - last > _GAP:
            yield first, last
            first = key
        last = key
    if first is not None and last is not None:
        yield first, last


_GAP = 100


def _in_ranges(ranges: Sequence[Range], key: int) -> bool:
    at = bisect_right(ranges, key, key=lambda each: each[0]) - 1
    return at >= 0 and ranges[at][1] >= key


# --- which keys an attempt wrote --------------------------------------------------------------


def tables_of(conn: SyncConnection, attempts: Collection[int]) -> dict[int, list[str]]:
    """The tables that attempts wrote into; attempts that wrote nothing are left out."""
    found: dict[int, list[str]] = {}
    asked = select_columns(
        conn,
        col(RowOrigin.node_attempt_id),
        col(RowOrigin.table_name),
        node_attempt_id=list(attempts),
        distinct=True,
    )
    for attempt_id, table in sorted(asked):
        found.setdefault(attempt_id, []).append(table)
    return found


def newest_attempts(conn: SyncConnection, nodes: Collection[int]) -> dict[int, NodeAttempt]:
    """Of each node execution, the newest attempt that completed."""
    found: dict[int, NodeAttempt] = {}
    for attempt in NodeAttempt.select(
        conn, node_execution_id=list(nodes), status="completed", order_by="number"
    ):
        found[attempt.node_execution_id] = attempt
    return found


class KeysOfTable:
    """The keys of one table that several attempts wrote and several values hold, in order.

    Keys come in pages of a bounded size; ranges are not unfolded before their turn.
    """

    def __init__(
        self,
        conn: SyncConnection,
        table: str,
        attempts: Collection[int],
        held: Iterable[PayloadRows] = (),
        page: int = PAGE,
    ) -> None:
        self._conn = conn
        self._table = table
        self._attempts = list(attempts)
        self._page = min(page, PAGE)
        self._ranges: list[Range] = []
        self._texts: set[str] = set()
        for each in held:
            self._ranges += each.ranges
            self._texts.update(each.texts)

    def pages(self) -> Iterator[list[StoredKey]]:
        keys = _unfolded(_joined([*self._ranges, *self._written_ranges()]))
        yield from _pages(keys, self._page)
        yield from _pages(sorted(self._texts), self._page)
        for page in self._written_texts():
            yield [text for text in page if text not in self._texts]

    def _written_ranges(self) -> list[Range]:
        found: Any = select_columns(
            self._conn,
            col(RowOrigin.first_key),
            col(RowOrigin.last_key),
            where=col(RowOrigin.first_key).is_not_null(),
            node_attempt_id=self._attempts,
            table_name=self._table,
        )
        return list(found)

    def _written_texts(self) -> Iterator[list[Any]]:
        last = ""
        while True:
            found: Any = select_columns(
                self._conn,
                col(RowOrigin.key_text),
                gt__key_text=last,
                node_attempt_id=self._attempts,
                table_name=self._table,
                distinct=True,
                order_by="key_text",
                limit=self._page,
            )
            if not found:
                return
            yield [text for (text,) in found]
            last = found[-1][0]


def _joined(ranges: Iterable[Range]) -> list[Range]:
    """Ranges in order, those that touch as one."""
    found: list[Range] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _unfolded(ranges: Iterable[Range]) -> Iterator[int]:
    for first, last in ranges:
        yield from range(first, last + 1)


def _pages(keys: Iterable[StoredKey], size: int) -> Iterator[list[StoredKey]]:
    left = iter(keys)
    while page := list(islice(left, size)):
        yield page
