"""Where do `Rows` read that nodes have written? In the database of a store, by its `row_origins`.

What else origins tell stands in `origins.py` and `lineage.py`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from lythonic_state import SyncConnection

from ..errors import RunNotFound, WrongKind
from ..outputs.reading import Borrow, NumberedOrigin, OriginReader, connection_to, from_anywhere
from ..outputs.rows import Rows
from .tables import NodeAttempt, NodeExecution, RowOrigin
from .writer import Writer


class StoreRows(OriginReader):
    """Reads the rows that are saved in the database of a store, also in another process."""

    def __init__(self, target: str, writer: Writer | None = None) -> None:
        self._target = target
        self._writer = writer
        """Of a store in memory, which has the only connection."""

    def __reduce__(self) -> Any:
        if self._writer is not None:
            raise WrongKind(
                "the rows of a store in memory cannot travel to another process; keep it in a file"
            )
        return StoreRows, (from_anywhere(self._target),)

    def connection(self) -> AbstractContextManager[Borrow]:
        return connection_to(self._target) if self._writer is None else _lending(self._writer)

    def origins(
        self, conn: SyncConnection, rows: Rows[Any], table: str, after: int, limit: int
    ) -> list[NumberedOrigin]:
        found = RowOrigin.select(
            conn,
            node_attempt_id=_attempt_id(conn, rows),
            table_name=table,
            gt__row_origin_id=after,
            order_by="row_origin_id",
            limit=limit,
        )
        return [
            NumberedOrigin(each.row_origin_id, each.first_key, each.last_key, each.key_text)
            for each in found
        ]


@contextmanager
def _lending(writer: Writer) -> Generator[Borrow]:
    yield writer.lent


def _attempt_id(conn: SyncConnection, rows: Rows[Any]) -> int:
    node = NodeExecution.first(conn, run_id=rows.run_id, node_label=rows.node)
    attempt = node and NodeAttempt.first(
        conn, node_execution_id=node.node_execution_id, number=rows.attempt
    )
    if not attempt:
        raise RunNotFound(
            f"there is no attempt {rows.attempt} of {rows.node!r} in a run {rows.run_id!r} here "
            "(any more), so its rows cannot be told from others"
        )
    return attempt.node_attempt_id
