"""Who owns a row: the general `Scoped`, and `UserOwned`, the case that most apps have."""

from __future__ import annotations

from typing import Any

from pydantic import Field
from typing_extensions import TypeVar

from .errors import SchemaError
from .json_base import JsonBase
from .model import DbModel
from .scope import AllTenants, ScopeContext, UserCtx
from .table import Table

S = TypeVar("S", default=Any)

__all__ = [
    "AllTenants",
    "ScopeContext",
    "Scoped",
    "User",
    "UserContext",
    "UserCtx",
    "UserInfo",
    "UserOwned",
]


class UserInfo(JsonBase):
    """What is known of a user beside the key; subclass it to know more."""

    name: str | None = None
    email: str | None = None


class User(DbModel["User"]):
    """A user of the app, whom rows may belong to.

    Example:
        >>> alice = User(info=UserInfo(name="Alice")).save(conn)
    """

    user_id: int = Field(default=-1, description="(PK)")
    info: UserInfo = UserInfo()


class UserContext(ScopeContext):
    """In whose name a verb runs."""

    user: User

    @property
    def user_id(self) -> int:
        return self.user.user_id


class Scoped(DbModel[S], abstract=True):
    """A model whose rows belong to a tenant: `class Invoice(Scoped, scope="org_id")`.

    The scope is a column of the model. Every verb takes `user_ctx=`, a `ScopeContext` with an
    attribute of that name (of the class `scope_context=…`, if one is given), and sees and writes
    that tenant's rows only.

    Raises:
        SchemaError: a model that is not abstract names no scope, or one that is not its column.
    """

    @classmethod
    def __build_table__(cls) -> Table:
        if getattr(cls, "__scope__", None) is None and not cls.__table_options__["abstract"]:
            raise SchemaError(
                f"{cls.__name__} is Scoped and does not say by what; name the column: "
                f'class {cls.__name__}(Scoped, scope="org_id")'
            )
        return super().__build_table__()


class UserOwned(Scoped[S], abstract=True, scope="user_id", scope_context=UserContext):
    """A model whose rows belong to a user.

    Example:
        >>> class Task(UserOwned["Task"]):
        ...     task_id: int = Field(default=-1, description="(PK)")
        ...     title: str
        >>> Task(title="x").save(conn, user_ctx=UserContext(user=alice))
    """

    user_id: int = Field(default=-1)
