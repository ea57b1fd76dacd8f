"""What can a store be asked about the rows that nodes have written?

How that is answered stands in `tracing.py`, and by which rules in `lineage.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from lythonic_state import DbModel, UserCtx
from lythonic_state.later import Later

from .tables import NodeExecution

if TYPE_CHECKING:
    from . import explanation, row_lists, tracing
    from .explanation import Explanation
    from .row_lists import Outputs, RowList
    from .tracing import Asking
else:
    explanation, row_lists, tracing = (
        Later(__package__, room) for room in ("explanation", "row_lists", "tracing")
    )

T = TypeVar("T")
R = TypeVar("R", bound=DbModel[Any])


class AskedOfRows:
    """The part of a store that follows rows."""

    def _trace(
        self, read: Callable[[Asking], T], empty: T, outputs: Outputs | None, user_ctx: UserCtx
    ) -> T:
        raise NotImplementedError

    def rows_of(
        self,
        run_id: str,
        label: str,
        model: type[R],
        /,
        *,
        limit: int | None = None,
        outputs: Outputs | None = None,
        user_ctx: UserCtx = None,
    ) -> RowList[R]:
        """The rows of a model that a node wrote in a run, as they are now, in order of their keys.

        Those that another attempt has written since, and those that are deleted, are marked. What
        nodes inside of it wrote counts, too; one of them has a path: "pages/fetch". A node that
        reuses an output has the rows of the attempt that made it. `outputs` is the database (a
        connection, a path or a URL) that the rows were written to, if it is not this store's;
        without it, where the table is not in the store, it is the one that a runner last used.

        Example:
            >>> rows = provenance.rows_of(result.run_id, "clean", Price)
            >>> [price.cents for price in rows], rows.deleted
            ([110, 640], (RowKey(table='Price', key=3),))

        Raises:
            RunNotFound: the run is not in this store, or another tenant's.
            UnknownName: it has no node of such a label.
            LineageError: the table is in another database, or the model's rows belong to tenants
                and `user_ctx` is missing.
            ValueError: `limit` is less than one.
        """
        _check_limit(limit)
        return self._trace(
            lambda asking: tracing.rows_of(asking, run_id, label, model, limit),
            row_lists.RowList(),
            outputs,
            user_ctx,
        )

    def origin_of(self, row: DbModel[Any], /, *, user_ctx: UserCtx = None) -> NodeExecution | None:
        """The node that wrote a row last, by the row's key; None if none did.

        Example:
            >>> provenance.origin_of(price).node_label
            'clean'

        Raises:
            LineageError: it is no row of a table with a key.
        """
        return self._trace(lambda asking: tracing.origin_of(asking, row), None, None, user_ctx)

    def upstream_rows(
        self,
        row: DbModel[Any],
        /,
        *,
        limit: int | None = None,
        outputs: Outputs | None = None,
        user_ctx: UserCtx = None,
    ) -> RowList[Any]:
        """The rows that reached the node which wrote this row, as they are now, table by table.

        That is what the nearest nodes before it wrote, on the way through nodes that write nothing,
        and the rows in values that its run was given or that a node returned. What was written for
        an element of a map comes from that element only. Rows that no node wrote are among them.

        Example:
            >>> [raw.raw_id for raw in provenance.upstream_rows(price)]
            [1, 2]

        Raises:
            LineageError: it is no row of a table with a key, or a table is in another database, or
                rows belong to tenants and `user_ctx` is missing.
            ValueError: `limit` is less than one.
        """
        _check_limit(limit)
        return self._trace(
            lambda asking: tracing.upstream_rows(asking, row, limit),
            row_lists.RowList(),
            outputs,
            user_ctx,
        )

    def downstream_rows(
        self,
        row: DbModel[Any],
        /,
        *,
        limit: int | None = None,
        outputs: Outputs | None = None,
        user_ctx: UserCtx = None,
    ) -> RowList[Any]:
        """The rows written by nodes that this row reached, in all runs, as they are now.

        A row is here exactly if this one is among its `upstream_rows`, or was before it was
        rewritten, which is marked.

        Example:
            >>> [total.cents for total in provenance.downstream_rows(price)]
            [750]

        Raises:
            LineageError: as with `upstream_rows`.
            ValueError: `limit` is less than one.
        """
        _check_limit(limit)
        return self._trace(
            lambda asking: tracing.downstream_rows(asking, row, limit),
            row_lists.RowList(),
            outputs,
            user_ctx,
        )

    def explain(
        self,
        row: DbModel[Any],
        /,
        *,
        depth: int = 10,
        steps: int = 50,
        outputs: Outputs | None = None,
        user_ctx: UserCtx = None,
    ) -> Explanation:
        """How a row came to be: the node that wrote it, those whose rows fed that one, and so on.

        At most so many steps, and so many levels of them; what was cut is said.

        Example:
            >>> print(provenance.explain(total))
            Total 1 {"total_id":1,"cents":750}
            1. total wrote Total 1
            …

        Raises:
            LineageError: it is no row of a table with a key, or belongs to a tenant and `user_ctx`
                is missing.
            ValueError: `depth` or `steps` is less than one.
        """
        for name, value in (("depth", depth), ("steps", steps)):
            if value < 1:
                raise ValueError(f"{name} is how many at most, 1 or more, not {value!r}")
        return self._trace(
            lambda asking: tracing.explain(asking, row, depth, steps),
            explanation.Explanation(tracing.named(row), None),
            outputs,
            user_ctx,
        )


def _check_limit(limit: int | None) -> None:
    if limit is not None and limit < 1:
        raise ValueError(f"limit is how many rows at most, 1 or more, not {limit!r}")
