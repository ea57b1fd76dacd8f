"""What does a node's function know of the run that called it?

The context that is injected, who initiated a run, and the mark of what is never kept. Who builds
contexts is the runner's business; what is registered is not looked at here.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import TracebackType, UnionType
from typing import Annotated, Any, NewType, Protocol, Union, get_args, get_origin

import pydantic
from typing_extensions import TypeAliasType, dataclass_transform

from lythonic_state.fields import frozen

from ._inline import is_inline
from .call import in_thread
from .errors import DagError, WrongKind
from .signature import Method


class Registered(Protocol):
    """What a namespace gives for a path: it can be called, and tells how."""

    @property
    def method(self) -> Method: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any: ...


class Lookup(Protocol):
    """What `DagContext` asks of a namespace."""

    def get(self, nsref: str, /) -> Registered: ...


@dataclass_transform(kw_only_default=True)
class _WithFields:
    """Makes every subclass a dataclass whose fields are given by name."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "__dataclass_fields__" in vars(cls):  # the copy that dataclass(slots=True) makes
            return
        declared = {name: of for name, of in vars(cls).items() if isinstance(of, dataclasses.Field)}
        dataclass(kw_only=True, eq=False)(cls)
        # so that a user's own @dataclass above the class finds what was declared
        for name, of in declared.items():
            setattr(cls, name, of)


class DagContext(_WithFields):
    """What a function learns of its run, as its first parameter; subclasses add fields.

    A field of a subclass is filled from the runner's `resources` by its name.

    Example:
        >>> class ShopContext(DagContext):
        ...     client: Client
        >>> def fetch(ctx: ShopContext, item: str) -> float:
        ...     print(ctx.run_id, ctx.attempt)
        ...     return ctx.client.price(item)
    """

    run_id: str = ""
    dag_nsref: str | None = None
    """Where the run's Dag is registered; None if it is not."""
    node_label: str = ""
    attempt: int = 1
    """Which call of this node it is, from 1 on."""
    user_ctx: Any = None
    """The tenant's context that the run was given."""
    scheduled_at: datetime | None = None
    """The tick of a schedule that the run stands for; None if no schedule began it."""
    namespace: Lookup | None = field(default=None, repr=False)

    def ns_call(self, nsref: str, /, *args: Any, **kwargs: Any) -> Any:
        """Calls what the run's namespace has under a path.

        Example:
            >>> ctx.ns_call("market:price", item="pear")

        Raises:
            NotRegistered: nothing is registered there.
            WrongKind: it is async.
            DagError: the run has no namespace.
        """
        found = self._look_up(nsref)
        if found.method.is_async:
            raise WrongKind(f"{nsref} is async; write await ctx.ns_acall({str(nsref)!r}, …)")
        return found(*args, **kwargs)

    async def ns_acall(self, nsref: str, /, *args: Any, **kwargs: Any) -> Any:
        """The same from a coroutine; what is not async is called in a thread.

        Example:
            >>> await ctx.ns_acall("market:price", item="pear")

        Raises:
            NotRegistered: nothing is registered there.
            DagError: the run has no namespace.
        """
        found = self._look_up(nsref)
        if found.method.is_async:
            return await found(*args, **kwargs)
        if is_inline(found):
            return found(*args, **kwargs)
        return await in_thread(partial(found, *args, **kwargs))

    def _look_up(self, nsref: str) -> Registered:
        if self.namespace is None:
            raise DagError(
                f"the run of {self.node_label or 'this node'} has no namespace to find {nsref} in; "
                "run a Dag that is registered in one"
            )
        return self.namespace.get(nsref)


def context_class(annotation: Any) -> type[DagContext] | None:
    """The context that a parameter of this annotation asks for; None if it asks for none."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if get_origin(annotation) in (Union, UnionType):  # ctx: DagContext | None = None
        found = [context_class(member) for member in get_args(annotation)]
        return next((kind for kind in found if kind is not None), None)
    kind = get_origin(annotation) or annotation
    return kind if isinstance(kind, type) and issubclass(kind, DagContext) else None


def is_context(annotation: Any) -> bool:
    """Whether a parameter of this annotation is given the context of its run."""
    return context_class(annotation) is not None


# --- who began it ---------------------------------------------------------------------------

_INITIATOR: ContextVar[str | None] = ContextVar("lythonic_initiator", default=None)


class _InitiatedBy(AbstractContextManager[str]):
    def __init__(self, who: str) -> None:
        self._who = who
        self._before: list[str | None] = []

    def __enter__(self) -> str:
        self._before.append(_INITIATOR.get())
        _INITIATOR.set(self._who)
        return self._who

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # set, not reset: a generator fixture may leave in another context than it entered
        _INITIATOR.set(self._before.pop())


def initiated_by(who: str) -> AbstractContextManager[str]:
    """Attributes the runs that are started in a block, and the runs inside of these.

    Example:
        >>> with initiated_by("usr_1"):
        ...     await runner.run(source_inputs={"fetch": {"url": url}})

    Raises:
        WrongKind: it is not text.
        DagError: it is empty.
    """
    if not isinstance(who, str):
        raise WrongKind(f"who initiated a run is kept as text, got {who!r}; give str(…) of it")
    if not who:
        raise DagError("who initiated a run cannot be an empty text")
    return _InitiatedBy(who)


def current_initiator() -> str | None:
    """Who the runs that start here are attributed to; None if nobody was named."""
    return _INITIATOR.get()


# --- whose it is ----------------------------------------------------------------------------


def tenant_of(user_ctx: Any) -> str | None:
    """The tenant that a context stands for, as text; None without one.

    Example:
        >>> tenant_of(UserContext(user=alice))
        'user_id=1'

    Raises:
        WrongKind: it is no context that scopes a run.
    """
    if user_ctx is None:
        return None
    # who gives one has imported it already, and who gives none need not
    from lythonic_state import ScopeContext, UserContext

    if not isinstance(user_ctx, ScopeContext):
        raise WrongKind(
            f"user_ctx={user_ctx!r} names no tenant; give a UserContext or another ScopeContext"
        )
    if isinstance(user_ctx, UserContext):  # its field is the whole user
        return f"user_id={user_ctx.user_id}"
    values = user_ctx.model_dump(mode="json")
    return ",".join(f"{name}={value}" for name, value in values.items())


# --- what is never kept ---------------------------------------------------------------------


@frozen
class Secret:
    """Marks a parameter whose value is never stored; a restart asks for it again.

    Example:
        >>> def login(user: str, password: Annotated[str, Secret()]) -> Session: ...
    """


_KEPT_SECRET = (pydantic.SecretStr, pydantic.SecretBytes, pydantic.Secret)


def is_secret(annotation: Any) -> bool:
    """Whether values of this annotation are, or hold, something that is never stored."""
    return _holds_secret(annotation, set())


def _holds_secret(annotation: Any, seen: set[int]) -> bool:
    if id(annotation) in seen:  # `type Tree = dict[str, Tree]`
        return False
    seen.add(id(annotation))
    if isinstance(annotation, TypeAliasType):
        return _holds_secret(annotation.__value__, seen)
    if isinstance(annotation, NewType):
        return _holds_secret(annotation.__supertype__, seen)
    kind = get_origin(annotation) or annotation
    if isinstance(kind, type) and issubclass(kind, _KEPT_SECRET):
        return True
    if kind is Annotated:
        marks = annotation.__metadata__
        if any(isinstance(mark, Secret) or mark is Secret for mark in marks):
            return True
        return _holds_secret(get_args(annotation)[0], seen)
    return any(_holds_secret(member, seen) for member in get_args(annotation))


def fields_of(kind: type[DagContext]) -> Mapping[str, dataclasses.Field[Any]]:
    """The fields that a subclass adds to `DagContext`, by name: those that resources fill."""
    own = {of.name for of in dataclasses.fields(DagContext)}
    return {of.name: of for of in dataclasses.fields(kind) if of.name not in own}
