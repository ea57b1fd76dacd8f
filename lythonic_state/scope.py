"""Who may see and write a scoped row: the context of a verb against the scope of a table.

Only the decision lives here; the conditions are written in `filters.py` and `statements.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from pydantic import BaseModel, ConfigDict

from .errors import AccessViolation
from .table import Table

logger = logging.getLogger("lythonic_state")


class ScopeContext(BaseModel):
    """Whose rows a verb may touch: a model with an attribute named like the scope column.

    Example:
        >>> class OrgContext(ScopeContext):
        ...     org_id: int
        >>> class Invoice(Scoped, scope="org_id"):
        ...     invoice_id: int = Field(default=-1, description="(PK)")
        ...     org_id: int = -1
        >>> Invoice.select(conn, user_ctx=OrgContext(org_id=7))
    """

    # programs without tenants do not pay for the validator
    model_config = ConfigDict(defer_build=True)


class AllTenants:
    """The one way across all tenants, with the reason, which is logged at each use.

    Example:
        >>> Task.select_count(conn, user_ctx=AllTenants("nightly statistics"))

    Raises:
        ValueError: the reason is empty.
    """

    def __init__(self, reason: str) -> None:
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError("AllTenants needs the reason for reaching across, as text")
        self.reason = reason

    def __repr__(self) -> str:
        return f"AllTenants({self.reason!r})"


UserCtx: TypeAlias = ScopeContext | AllTenants | None


def restriction(table: Table, user_ctx: UserCtx) -> Any:
    """The scope value that a verb is restricted to; None for unscoped tables and `AllTenants`.

    Raises:
        AccessViolation: the table is scoped and there is no fitting context.
    """
    if table.scope is None:
        return None
    if isinstance(user_ctx, AllTenants):
        return None
    return required_scope(table, user_ctx)


def announce(tables: Sequence[Table], user_ctx: UserCtx) -> None:
    """Logs, once for a verb, that it reaches across all tenants, and why."""
    if isinstance(user_ctx, AllTenants):
        names = ", ".join(dict.fromkeys(table.model.__name__ for table in tables))
        logger.warning("%s across all tenants: %s", names, user_ctx.reason)


def required_scope(table: Table, user_ctx: UserCtx) -> Any:
    name = table.model.__name__
    scope = table.scope
    assert scope is not None
    if user_ctx is None:
        raise AccessViolation(
            f"{name} is scoped by {scope.field}; give the verb a context: user_ctx=…"
        )
    wanted = table.scope_context
    if not isinstance(user_ctx, ScopeContext) or (
        wanted is not None and not isinstance(user_ctx, wanted)
    ):
        expected = wanted.__name__ if wanted is not None else "a ScopeContext"
        raise AccessViolation(
            f"{name} is scoped by {scope.field} and takes {expected} as user_ctx, "
            f"not {type(user_ctx).__name__}"
        )
    value = getattr(user_ctx, scope.field, None)
    if value is None:
        raise AccessViolation(
            f"{type(user_ctx).__name__} has no value for {scope.field}, by which {name} is scoped"
        )
    if not isinstance(value, scope.codec.accepts) or (scope.codec.name == "int" and value == -1):
        raise AccessViolation(
            f"{type(user_ctx).__name__}.{scope.field} is {value!r}, which is no {scope.field} "
            f"of {name}; is the user saved?"
        )
    return value


def scope_values(user_ctx: UserCtx) -> Callable[[Table], Any]:
    """`restriction` for every table of a statement."""

    def value(table: Table) -> Any:
        return restriction(table, user_ctx)

    return value


def claim(table: Table, values: dict[str, Any], fields_set: set[str], user_ctx: UserCtx) -> Any:
    """Puts the context's scope into the values of a row that is about to be written.

    Raises:
        AccessViolation: the row names another tenant, or none under `AllTenants`.
    """
    scope = table.scope
    if scope is None:
        return None
    present = values.get(scope.field)
    default = table.model.model_fields[scope.field].default
    named = scope.field in fields_set and present is not None and present != default
    if isinstance(user_ctx, AllTenants):
        restriction(table, user_ctx)
        if not named:
            raise AccessViolation(
                f"{table.model.__name__}: under AllTenants a row must name its own {scope.field}"
            )
        return None
    value = required_scope(table, user_ctx)
    if named and present != value:
        raise AccessViolation(
            f"this {table.model.__name__} belongs to {scope.field}={present!r}, "
            f"and the context to {value!r}; nothing was written"
        )
    return value
