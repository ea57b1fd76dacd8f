"""What does a node get that comes after a stream of rows? `Rows`, which reads them.

How they are found in a database is the business of whoever wrote them, behind `RowSource`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Generic, Protocol, cast

from pydantic import GetCoreSchemaHandler
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypeVar

from ..call import in_thread
from ..errors import WrongRunState
from ..type_names import class_name, named_type

if TYPE_CHECKING:  # programs without models do not pay for them
    from lythonic_state import DbModel

T_co = TypeVar("T_co", covariant=True, default=Any)


class RowSource(Protocol):
    """Where the rows of an attempt are read. Its methods may wait."""

    def batches(self, rows: Rows[Any], /) -> Iterator[list[Any]]:
        """The rows in the order of their keys, so many at a time."""
        ...

    def count(self, rows: Rows[Any], /) -> int:
        """How many of them are there."""
        ...


class RowKeeper(Protocol):
    """A listener that saves the rows of nodes together with their completion."""

    @property
    def keeps_rows(self) -> bool:
        """Whether it does so; one that keeps nothing cannot."""
        ...

    def expect_rows(self, models: Sequence[type[DbModel[Any]]], /) -> None:
        """Makes sure that the tables of these models are there. It may wait."""
        ...

    def row_source(self) -> RowSource:
        """Where the rows are read that it has saved."""
        ...

    def is_at(self, target: str, /) -> bool:
        """Whether it keeps its own record in this database."""
        ...

    def keep_output(
        self, run_id: str, label: str, attempt: int, value: Any, declared: Any, /
    ) -> str | None:
        """Keeps what a running attempt returned, before its rows are saved in another database.

        It says under which key, or None if it keeps nothing. It may wait.
        """
        ...


class Rows(Generic[T_co]):
    """The rows that an attempt of a node has written, as they are now.

    What a node yields that is declared with `write=` reaches the next nodes as this: each `for` or
    `async for` reads the rows anew, a few at a time, table by table in the order of their keys.
    Rows that were deleted since are left out.

    Example:
        >>> def total(prices: Rows[Price]) -> int:
        ...     return sum(price.cents for price in prices)

    Raises:
        WrongRunState: when it is read: it was restored without its database.
        DatabaseError: when it is read: the database cannot be.
    """

    __slots__ = ("_known", "_models", "_names", "_source", "attempt", "node", "run_id", "user_ctx")

    def __init__(
        self,
        run_id: str,
        node: str,
        attempt: int,
        models: tuple[type[DbModel[Any]], ...] = (),
        source: RowSource | None = None,
        user_ctx: Any = None,
        *,
        names: tuple[str, ...] = (),
    ) -> None:
        self.run_id = run_id
        self.node = node
        self.attempt = attempt
        self.user_ctx = user_ctx
        self._models = models
        self._names = names or tuple(map(class_name, models))
        self._source = source

    @property
    def models(self) -> tuple[type[DbModel[Any]], ...]:
        """Of which models the rows are.

        Raises:
            LookupError: one of them is not there any more.
        """
        if not self._models and self._names:
            self._models = tuple(cast("type[DbModel[Any]]", named_type(n)) for n in self._names)
        return self._models

    def connected(
        self,
        source: RowSource,
        user_ctx: Any,
        known: tuple[type[DbModel[Any]], ...] = (),
    ) -> Rows[T_co]:
        """The same, read from there; `known` are models that need not be imported."""
        by_name = {class_name(model): model for model in known}
        models = tuple(by_name[name] for name in self._names if name in by_name)
        if len(models) < len(self._names):
            models = self.models
        return Rows(self.run_id, self.node, self.attempt, models, source, user_ctx)

    # reading

    def __iter__(self) -> Iterator[T_co]:
        for batch in self._connected().batches(self):
            yield from batch

    async def __aiter__(self) -> AsyncIterator[T_co]:
        batches = self._connected().batches(self)
        try:
            while True:
                batch = await in_thread(lambda: next(batches, None))
                if batch is None:
                    break
                for row in batch:
                    yield row
        finally:
            close = getattr(batches, "close", None)
            if close is not None:
                close()

    def __len__(self) -> int:
        return self._connected().count(self)

    def __bool__(self) -> bool:
        return len(self) > 0

    def _connected(self) -> RowSource:
        if self._source is None:
            raise WrongRunState(
                f"{self!r} was read back without its database; ask the provenance for the rows: "
                f"rows_of({self.run_id!r}, {self.node!r}, …)"
            )
        return self._source

    # what it is

    def __repr__(self) -> str:
        names = ", ".join(name.rpartition(":")[2] for name in self._names)
        return f"<Rows of {names or 'nothing'} from {self.node!r}, attempt {self.attempt}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Rows) and self._key() == other._key()

    def __hash__(self) -> int:
        return hash(self._key())

    def _key(self) -> tuple[Any, ...]:
        return self.run_id, self.node, self.attempt, self._names

    def __reduce__(self) -> Any:
        given = (self.run_id, self.node, self.attempt, self._models, self._source, self.user_ctx)
        return _made, (*given, self._names)

    @classmethod
    def __get_pydantic_core_schema__(cls, _: Any, __: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(
            _validated,
            serialization=core_schema.plain_serializer_function_ser_schema(_as_dict),
        )


ROWS = class_name(Rows)
"""Their type as text, by which recorded ones are known."""


def _made(
    run_id: str,
    node: str,
    attempt: int,
    models: tuple[type[DbModel[Any]], ...],
    source: RowSource | None,
    user_ctx: Any,
    names: tuple[str, ...],
) -> Rows[Any]:
    return Rows(run_id, node, attempt, models, source, user_ctx, names=names)


def _as_dict(rows: Rows[Any]) -> dict[str, Any]:
    run_id, node, attempt, names = rows._key()  # its own schema
    return {"run_id": run_id, "node": node, "attempt": attempt, "models": list(names)}


def _validated(value: Any) -> Rows[Any]:
    if isinstance(value, Rows):
        return value
    if isinstance(value, dict) and value.keys() == {"run_id", "node", "attempt", "models"}:
        kept = cast("dict[str, Any]", value)
        return Rows(kept["run_id"], kept["node"], kept["attempt"], names=tuple(kept["models"]))
    raise ValueError("these are no rows that a node has written")
