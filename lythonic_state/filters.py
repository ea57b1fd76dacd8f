"""What a condition means and how it is written: typed columns, keyword filters, ordering.

Both spellings, `Book.year > 1900` and `gt__year=1900`, become the same nodes here and are written
by the same compiler. Nothing here runs SQL; a node is a frozen value, and values are always bound.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, KeysView, Mapping, Sequence, ValuesView
from dataclasses import field
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, NoReturn, TypeAlias, cast, overload

from pydantic import BaseModel
from typing_extensions import TypeVar

from . import codecs
from .codecs import INT_MAX, INT_MIN, Codec, canonical_json, scaled_floor
from .dialects import SQLITE, Dialect
from .errors import FilterError, InvalidValue, nearest
from .fields import frozen, mutable, replace
from .table import ColumnSpec, Reference, Table, references, table_of

if TYPE_CHECKING:
    from datetime import timedelta
    from decimal import Decimal

T = TypeVar("T")
N = TypeVar("N", bound="int | float | Decimal | timedelta | None")

Operator = Literal["eq", "ne", "gt", "lt", "gte", "lte"]
OPERATORS = (
    "eq ne gt lt gte lte in nin between like ilike contains startswith endswith isnull".split()
)
_SIGNS = {"eq": "=", "ne": "<>", "gt": ">", "lt": "<", "gte": ">=", "lte": "<="}
_ORDERING = frozenset(("gt", "lt", "gte", "lte", "between"))
_TEXT = frozenset(("like", "ilike", "contains", "startswith", "endswith"))

# --- conditions -----------------------------------------------------------------------------


class Condition:
    """A condition on rows, made by comparing columns; combine them with `&`, `|` and `~`."""

    __slots__ = ()

    def __and__(self, other: Condition) -> Condition:
        return AllOf((self, _condition(other)))

    def __or__(self, other: Condition) -> Condition:
        return AnyOf((self, _condition(other)))

    def __invert__(self) -> Condition:
        return NoneOf(self)

    def __bool__(self) -> bool:
        raise FilterError(
            "a condition has no truth value before it runs; combine conditions with &, | and ~ "
            "(in parentheses), and write between(a, b) instead of a < column < b"
        )


def _condition(value: Any) -> Condition:
    if not isinstance(value, Condition):
        raise FilterError(f"expected a condition such as Book.year > 1900, got {value!r}")
    return value


@frozen(eq=False)
class AllOf(Condition):
    items: tuple[Condition, ...]


@frozen(eq=False)
class AnyOf(Condition):
    items: tuple[Condition, ...]


@frozen(eq=False)
class NoneOf(Condition):
    item: Condition


@frozen(eq=False)
class Comparison(Condition):
    left: Expression[Any]
    operator: str
    right: Any


@frozen(eq=False)
class KeyIn(Condition):
    """Several columns together hold one of these keys, of which there may be any number."""

    columns: tuple[Column[Any], ...]
    keys: Sequence[tuple[Any, ...]]


@frozen(eq=False)
class Follows(Condition):
    """A condition on the row that a foreign key leads to."""

    reference: Reference
    source: str | None
    condition: Condition
    alias: str


def or_(*conditions: Condition) -> Condition:
    """At least one of the conditions holds.

    Example:
        >>> Book.select(conn, or_(Book.year < 1900, Book.title.like("P%")))
    """
    if not conditions:
        raise FilterError("or_() needs at least one condition")
    return AnyOf(tuple(_condition(item) for item in conditions))


def and_(*conditions: Condition) -> Condition:
    """All of the conditions hold."""
    return AllOf(tuple(_condition(item) for item in conditions))


def not_(condition: Condition) -> Condition:
    """The condition is false; as in SQL, a comparison with NULL is neither true nor false.

    Example:
        >>> Book.select(conn, not_(Book.year > 1900))
    """
    return NoneOf(_condition(condition))


# --- expressions ----------------------------------------------------------------------------


@frozen(eq=False)
class Order:
    """An expression with a direction, for `order_by`."""

    by: Expression[Any]
    descending: bool = False


class Expression(Generic[T]):
    """Something with a value for each row (or group): a column, arithmetic, an aggregate."""

    __slots__ = ()

    @property
    def codec(self) -> Codec:
        raise NotImplementedError

    @property
    def nullable(self) -> bool:
        return True

    @property
    def label(self) -> str:
        raise NotImplementedError

    def __eq__(self, other: T | Expression[T] | Sequence[T] | None) -> Condition:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # a condition, not a truth value
        return Comparison(self, "eq", other)

    def __ne__(self, other: T | Expression[T] | Sequence[T] | None) -> Condition:  # type: ignore[override]  # pyright: ignore[reportIncompatibleMethodOverride]  # a condition, not a truth value
        return Comparison(self, "ne", other)

    __hash__ = object.__hash__

    def __gt__(self, other: T | Expression[T]) -> Condition:
        return Comparison(self, "gt", other)

    def __lt__(self, other: T | Expression[T]) -> Condition:
        return Comparison(self, "lt", other)

    def __ge__(self, other: T | Expression[T]) -> Condition:
        return Comparison(self, "gte", other)

    def __le__(self, other: T | Expression[T]) -> Condition:
        return Comparison(self, "lte", other)

    def in_(self, values: Iterable[T]) -> Condition:
        """The value is one of `values`, of which there may be any number."""
        return Comparison(self, "in", list(values))

    def not_in(self, values: Iterable[T]) -> Condition:
        """The value is none of `values`; a row whose value is NULL does not match."""
        return Comparison(self, "nin", list(values))

    def between(self, low: T, high: T) -> Condition:
        """The value is at least `low` and at most `high`."""
        return Comparison(self, "between", (low, high))

    def is_null(self) -> Condition:
        return Comparison(self, "isnull", True)

    def is_not_null(self) -> Condition:
        return Comparison(self, "isnull", False)

    def like(self: Expression[str] | Expression[str | None], pattern: str) -> Condition:
        r"""Case-sensitive pattern: `%` is any text, `_` one character, `\` takes both literally."""
        return Comparison(self, "like", pattern)

    def ilike(self: Expression[str] | Expression[str | None], pattern: str) -> Condition:
        """`like` without regard to upper and lower case, in all of Unicode."""
        return Comparison(self, "ilike", pattern)

    def contains(self: Expression[str] | Expression[str | None], text: str) -> Condition:
        """The text stands somewhere inside; `%` and `_` are ordinary characters."""
        return Comparison(self, "contains", text)

    def startswith(self: Expression[str] | Expression[str | None], text: str) -> Condition:
        return Comparison(self, "startswith", text)

    def endswith(self: Expression[str] | Expression[str | None], text: str) -> Condition:
        return Comparison(self, "endswith", text)

    def asc(self) -> Order:
        """Smallest first, NULLs before everything."""
        return Order(self)

    def desc(self) -> Order:
        """Largest first, NULLs after everything."""
        return Order(self, descending=True)

    def __neg__(self) -> Order:
        return Order(self, descending=True)

    def __add__(self: Expression[N], other: N | Expression[N]) -> Expression[N]:
        return Arithmetic(self, "+", other)

    def __radd__(self: Expression[N], other: N) -> Expression[N]:
        return Arithmetic(self, "+", other, swapped=True)

    def __sub__(self: Expression[N], other: N | Expression[N]) -> Expression[N]:
        return Arithmetic(self, "-", other)

    def __rsub__(self: Expression[N], other: N) -> Expression[N]:
        return Arithmetic(self, "-", other, swapped=True)

    def __mul__(self: Expression[N], other: N | Expression[N]) -> Expression[N]:
        return Arithmetic(self, "*", other)

    def __rmul__(self: Expression[N], other: N) -> Expression[N]:
        return Arithmetic(self, "*", other, swapped=True)

    def __iter__(self) -> NoReturn:
        raise FilterError(f"{self.label} is a column, not a list of values")

    def __getitem__(self, key: str | int) -> JsonPath:
        """A path inside a JSON column: `Book.meta["city"]`."""
        if self.codec.name != "json":
            raise FilterError(f"{self.label} is not a JSON column and has no path inside")
        return JsonPath(self, (key,))


@frozen(eq=False, repr=False)
class Column(Expression[T]):
    """A column of a model, as `Book.year` gives it."""

    table: Table
    spec: ColumnSpec
    source: str | None = None
    """The alias of the table in the statement; None is the table itself."""

    @property
    def codec(self) -> Codec:
        return self.spec.codec

    @property
    def nullable(self) -> bool:
        return self.spec.nullable

    @property
    def label(self) -> str:
        return f"{self.source or self.table.model.__name__}.{self.spec.field}"

    @property
    def name(self) -> str:
        """The name of the column in SQL."""
        return self.spec.name

    def __repr__(self) -> str:
        return f"<Column {self.label}>"


@frozen(eq=False)
class Arithmetic(Expression[T]):
    left: Expression[T]
    sign: str
    right: Any
    swapped: bool = False
    """Whether `right`, a value, stands on the left: `2025 - Book.year`."""

    def __post_init__(self) -> None:
        codec = self.left.codec
        if not codec.numeric or codec.ordering is None:
            raise FilterError(
                f"{self.left.label} is {codec.name}; arithmetic needs int, float, timedelta or a "
                "Decimal with max_digits and decimal_places"
            )
        if self.sign == "*" and (codec.scale is not None or codec.name == "timedelta"):
            raise FilterError(f"{self.left.label} is {codec.name} and cannot be multiplied in SQL")

    @property
    def codec(self) -> Codec:
        return self.left.codec

    @property
    def label(self) -> str:
        if self.swapped:
            return f"… {self.sign} {self.left.label}"
        return f"{self.left.label} {self.sign} …"


@frozen(eq=False)
class JsonPath(Expression[Any]):
    """A value inside a JSON column; it compares with str, int, float, bool and None."""

    column: Expression[Any]
    path: tuple[str | int, ...]

    @property
    def codec(self) -> Codec:
        return self.column.codec

    @property
    def label(self) -> str:
        return self.column.label + "".join(f"[{key!r}]" for key in self.path)

    def __getitem__(self, key: str | int) -> JsonPath:
        return JsonPath(self.column, (*self.path, key))


@frozen(eq=False)
class Aggregate(Expression[T]):
    """`count()`, `sum_(…)` and their like; `of` is None for `count(*)`."""

    function: Literal["count", "sum", "min", "max", "avg"]
    of: Expression[Any] | None
    distinct: bool = False

    def __post_init__(self) -> None:
        if self.of is None:
            return
        codec = self.of.codec
        if self.function in ("sum", "avg") and not codec.numeric:
            raise FilterError(f"{self.of.label} is {codec.name}, which has no {self.function}")
        if self.function != "count" and codec.ordering is None:
            raise FilterError(
                f"{self.of.label} is {codec.name}, which has no {self.function} on every database; "
                f"{codec.ordering_mend}"
            )
        if codec.name == "bool" and self.function != "count":
            raise FilterError(f"{self.of.label} is bool, which has no {self.function}")

    @property
    def codec(self) -> Codec:
        if self.function == "count" or self.of is None:
            return codecs.INT
        if self.function == "avg" and self.of.codec.name in ("int", "float", "enum", "literal"):
            return codecs.FLOAT
        if self.function == "sum" and self.of.codec.name in ("enum", "literal"):
            return codecs.INT
        return self.of.codec

    @property
    def nullable(self) -> bool:
        return self.function != "count"

    @property
    def label(self) -> str:
        return f"{self.function}({self.of.label if self.of is not None else ''})"


def count(of: Any = None, *, distinct: bool = False) -> Expression[int]:
    """How many rows, or how many rows whose value is not NULL.

    Example:
        >>> select_columns(conn, Book.year, count(), group_by=Book.year)
    """
    return Aggregate("count", None if of is None else col(of), distinct)


@overload
def sum_(of: Expression[T]) -> Expression[T | None]: ...
@overload
def sum_(of: Any) -> Expression[Any]: ...
def sum_(of: Any) -> Expression[Any]:
    """The sum of the values that are not NULL; None when there is none. Decimals stay exact."""
    return Aggregate("sum", col(of))


@overload
def min_(of: Expression[T]) -> Expression[T | None]: ...
@overload
def min_(of: Any) -> Expression[Any]: ...
def min_(of: Any) -> Expression[Any]:
    """The smallest value; None when there is none."""
    return Aggregate("min", col(of))


@overload
def max_(of: Expression[T]) -> Expression[T | None]: ...
@overload
def max_(of: Any) -> Expression[Any]: ...
def max_(of: Any) -> Expression[Any]:
    """The largest value; None when there is none."""
    return Aggregate("max", col(of))


@overload
def avg(of: Expression[int] | Expression[float]) -> Expression[float | None]: ...
@overload
def avg(of: Expression[int | None] | Expression[float | None]) -> Expression[float | None]: ...
@overload
def avg(of: Expression[T]) -> Expression[T | None]: ...
@overload
def avg(of: Any) -> Expression[Any]: ...
def avg(of: Any) -> Expression[Any]:
    """The mean of the values that are not NULL: a float, or a Decimal or timedelta of its own."""
    return Aggregate("avg", col(of))


@overload
def col(column: Expression[T]) -> Column[T]: ...
@overload
def col(column: T) -> Column[T]: ...
def col(column: Any) -> Column[Any]:
    """Tells type checkers that a plainly annotated class attribute is a column.

    Example:
        >>> Book.select(conn, col(Book.year) > 1900)

    Raises:
        FilterError: it is not a column.
    """
    if not isinstance(column, Expression):
        raise FilterError(f"expected a column such as Book.year, got {column!r}")
    return cast("Column[Any]", column)


class Aliased(Generic[T]):
    """A model's table under another name; its attributes are the columns, its text is SQL."""

    def __init__(self, model: type[T], name: str) -> None:
        self._model = model
        self._name = name

    def __str__(self) -> str:
        table = table_of(cast("type[BaseModel]", self._model))
        return f"{SQLITE.quote(table.name)} AS {SQLITE.quote(self._name)}"

    def __getattr__(self, field: str) -> Column[Any]:
        if field.startswith("__"):
            raise AttributeError(field)
        table = table_of(cast("type[BaseModel]", self._model))
        if field not in table.by_field:
            raise AttributeError(f"{table.model.__name__} has no column {field!r}")
        return Column(table, table.by_field[field], self._name)


# --- keyword filters ------------------------------------------------------------------------


@frozen
class Source:
    """A table in a statement: under its own name, or under an alias."""

    table: Table
    alias: str | None = None
    outer: bool = False

    @property
    def name(self) -> str:
        return self.alias or self.table.name

    def column(self, spec: ColumnSpec) -> Column[Any]:
        return Column(self.table, spec, self.alias)


def keyword_conditions(sources: Sequence[Source], filters: Mapping[str, Any]) -> list[Condition]:
    """The conditions behind keyword filters such as `gt__year=1900`.

    Raises:
        FilterError: an unknown field or operator, with the nearest valid name.
    """
    return [_keyword(sources, key, value) for key, value in filters.items()]


def _keyword(sources: Sequence[Source], key: str, value: Any) -> Condition:
    first = sources[0]
    if key in first.table.by_field:
        return Comparison(first.column(first.table.by_field[key]), "eq", value)
    parts = key.split("__")
    operator = "eq"
    if len(parts) > 1 and parts[0] in OPERATORS:
        operator, *parts = parts
    elif len(parts) > 1 and parts[1] in first.table.by_field and not _starts(sources, parts[0]):
        raise FilterError(f"{key!r}: {parts[0]!r} is not an operator{nearest(parts[0], OPERATORS)}")
    rest = "__".join(parts)
    for source in sources[1:]:
        for name in (source.alias, source.table.model.__name__, source.table.name):
            if name is not None and rest.startswith(name + "__"):
                return _path([source], rest.removeprefix(name + "__").split("__"), operator, value)
    name = first.table.model.__name__
    if rest.startswith(name + "__"):
        parts = rest.removeprefix(name + "__").split("__")
    return _path([first], parts, operator, value)


def _starts(sources: Sequence[Source], name: str) -> bool:
    return any(
        name in (s.alias, s.table.model.__name__, s.table.name) or name in s.table.by_field
        for s in sources
    )


def _path(
    sources: Sequence[Source], parts: Sequence[str], operator: str, value: Any, depth: int = 0
) -> Condition:
    source = sources[0]
    table = source.table
    whole = "__".join(parts)
    if whole in table.by_field:
        return Comparison(source.column(table.by_field[whole]), operator, value)
    for length in range(len(parts) - 1, 0, -1):
        head, rest = "__".join(parts[:length]), parts[length:]
        if head not in table.by_field:
            continue
        spec = table.by_field[head]
        if spec.codec.name == "json":
            keys = tuple(int(key) if key.isdecimal() else key for key in rest)
            return Comparison(JsonPath(source.column(spec), keys), operator, value)
        for reference in references(table):
            if spec in reference.columns:
                alias = f"_{depth + 1}_{head}"
                inner = _path([Source(reference.target, alias)], rest, operator, value, depth + 1)
                return Follows(reference, source.alias, inner, alias)
        raise FilterError(
            f"{table.model.__name__}.{head} is neither a foreign key nor a JSON column, so "
            f"{whole!r} leads nowhere"
        )
    raise FilterError(
        f"{table.model.__name__} has no field {whole!r}{nearest(whole, table.by_field)}"
    )


OrderBy: TypeAlias = (
    "str | Expression[Any] | Order | Sequence[str | Expression[Any] | Order] | None"
)


def ordering(sources: Sequence[Source], order_by: OrderBy) -> list[Order]:
    """The terms of an `order_by`: columns, `"-year"`, or a list of them.

    Raises:
        FilterError: an unknown field, or a column that has no order.
    """
    if order_by is None:
        return []
    if isinstance(order_by, (str, Expression, Order)) or not isinstance(order_by, Iterable):
        return [_order(sources, order_by)]
    return [_order(sources, item) for item in order_by]


def _order(sources: Sequence[Source], item: Any) -> Order:
    if isinstance(item, str):
        by = named_column(sources, item.removeprefix("-"), "order_by")
        return _orderable(Order(by, item.startswith("-")))
    if isinstance(item, Order):
        return _orderable(item)
    if isinstance(item, Expression):
        return _orderable(Order(item))
    raise FilterError(f"order_by: expected a field's name or a column, got {item!r}")


def named_column(sources: Sequence[Source], name: str, what: str) -> Column[Any]:
    """The column of a name: a field of the first table, or `Author__name` of any.

    Raises:
        FilterError: there is none.
    """
    for source in sources:
        for prefix in (source.alias, source.table.model.__name__, source.table.name):
            if prefix and name.startswith(prefix + "__"):
                rest = name.removeprefix(prefix + "__")
                if rest in source.table.by_field:
                    return source.column(source.table.by_field[rest])
    table = sources[0].table
    if name not in table.by_field:
        raise FilterError(
            f"{what}: {table.model.__name__} has no field {name!r}{nearest(name, table.by_field)}"
        )
    return sources[0].column(table.by_field[name])


def _orderable(order: Order) -> Order:
    codec = order.by.codec
    if codec.ordering is None:
        raise FilterError(
            f"{order.by.label} is {codec.name}, which has no order on every database; "
            f"{codec.ordering_mend}"
        )
    return order


# --- writing them as SQL --------------------------------------------------------------------

ScopeValue: TypeAlias = Callable[[Table], Any]
"""What a scoped table is restricted to in a statement; None where it is not restricted."""


def unrestricted(_: Table) -> Any:
    return None


def unplaced(_: Expression[Any]) -> str | None:
    return None


def operand(dialect: Dialect, label: str, codec: Codec, value: Any) -> Any:
    """`value` as it is bound beside a column of this codec.

    Raises:
        FilterError: it is not a value of the column's type.
    """
    if codec is codecs.INT and value.__class__ is int and INT_MIN <= value <= INT_MAX:
        return value
    if codec is codecs.TEXT and value.__class__ is str and value.isascii() and "\0" not in value:
        return value
    try:
        if codec.converter is not None:
            value = codec.converter(value)
        if not isinstance(value, codec.accepts) or (
            isinstance(value, bool) and codec.name not in ("bool", "literal", "json")
        ):
            wanted = " or ".join(kind.__name__ for kind in codec.accepts)
            raise FilterError(f"{label} compares with {wanted}, not with {value!r}")
        if codec.scale is not None:
            scaled_floor(value, codec.scale)
        encoded = dialect.encoder(codec)(value)
        if codec.name == "json" and dialect.name == "sqlite":
            return canonical_json(encoded)
        return encoded
    except InvalidValue as error:
        raise FilterError(f"{label}: {error}") from error


def bound_list(dialect: Dialect, encoded: list[Any]) -> Any:
    """Values as one: an array on PostgreSQL, and for SQLite's json_each a text."""
    return encoded if dialect.name == "postgres" else _AS_JSON(encoded)


_AS_JSON = json.JSONEncoder(ensure_ascii=False).encode


@mutable(slots=False)
class Compiler:
    """Writes nodes as SQL text and collects the values to bind, in order."""

    dialect: Dialect
    sources: Sequence[Source]
    scope_value: ScopeValue = unrestricted
    params: list[Any] = field(default_factory=list)
    negated: bool = False
    """Whether what is being written stands below a NOT, where false and unknown differ."""

    def where(self, conditions: Sequence[Condition]) -> str:
        """A WHERE clause with its leading space, or nothing."""
        if not conditions:
            return ""
        return " WHERE " + " AND ".join(self.condition(_condition(item)) for item in conditions)

    def condition(self, node: Condition) -> str:
        match node:
            case AllOf(items):
                return "(" + " AND ".join(self.condition(item) for item in items) + ")"
            case AnyOf(items):
                return "(" + " OR ".join(self.condition(item) for item in items) + ")"
            case NoneOf(item):
                before, self.negated = self.negated, True
                written = f"(NOT {self.condition(item)})"
                self.negated = before
                return written
            case Follows():
                return self._follows(node)
            case Comparison():
                return self._comparison(node)
            case KeyIn(columns, keys):
                return self._key_in(columns, keys)
            case _:
                raise FilterError(f"expected a condition, got {node!r}")

    def expression(self, node: Expression[Any]) -> str:
        match node:
            case Column():
                self._check_source(node)
                return self.dialect.column(node.spec, node.source or node.table.name)
            case Arithmetic(left, sign, right, swapped):
                if isinstance(right, Expression):
                    _need_one_type(left, right)
                    return f"({self.expression(left)} {sign} {self.expression(right)})"
                if left.codec.scale is not None and isinstance(right, left.codec.accepts):
                    _need_exact(left, right)
                if swapped:
                    bound = self._bound(left.codec, left.label, right)
                    return f"({bound} {sign} {self.expression(left)})"
                written = self.expression(left)
                return f"({written} {sign} {self._bound(left.codec, left.label, right)})"
            case Aggregate():
                return self._aggregate(node)
            case JsonPath():
                raise FilterError(
                    f"{node.label}: a path inside a JSON column can be compared, nothing else"
                )
            case _:
                raise FilterError(f"expected a column or an expression, got {node!r}")

    def selected(self, node: Expression[Any]) -> str:
        """An expression in a SELECT list, in the form that its codec decodes."""
        if isinstance(node, Aggregate) and node.function == "avg" and node.of is not None:
            return self._mean(node.of)
        return self.dialect.readable(self.expression(node), node.codec)

    def order(
        self,
        terms: Sequence[Order],
        place: Callable[[Expression[Any]], str | None] = unplaced,
    ) -> str:
        """An ORDER BY clause with its leading space, or nothing.

        `place` may know an expression by its number in the SELECT list.
        """
        if not terms:
            return ""
        written = (
            self.dialect.order(
                place(term.by) or self.expression(term.by),
                term.by.codec,
                term.descending,
                self._may_be_null(term.by),
            )
            for term in terms
        )
        return " ORDER BY " + ", ".join(written)

    def scope_conditions(self) -> list[str]:
        """For each scoped source that is restricted, its condition; outer ones are left out."""
        found: list[str] = []
        for source in self.sources:
            if not source.outer:
                found.extend(self.scope_condition(source))
        return found

    def scope_condition(self, source: Source) -> list[str]:
        scope = source.table.scope
        value = self.scope_value(source.table)
        if scope is None or value is None:
            return []
        self.params.append(self.dialect.encoder(scope.codec)(value))
        return [f"{self.dialect.column(scope, source.name)} = {self.dialect.bind(scope.codec)}"]

    # -- inside

    def _may_be_null(self, node: Expression[Any]) -> bool:
        if node.nullable:
            return True
        return isinstance(node, Column) and any(
            source.outer
            for source in self.sources
            if source.name == (node.source or node.table.name)
        )

    def _check_source(self, node: Column[Any]) -> None:
        for source in self.sources:
            if source.table is node.table and source.alias == node.source:
                return
        here = ", ".join(source.alias or source.table.model.__name__ for source in self.sources)
        raise FilterError(
            f"{node.label} is not a column of this statement, which reads {here}; filter across "
            "a foreign key by its field (author_id__name=…), or join the models"
        )

    def _bound(self, codec: Codec, label: str, value: Any) -> str:
        self.params.append(operand(self.dialect, label, codec, value))
        return self.dialect.bind(codec)

    def _comparison(self, node: Comparison) -> str:
        left, operator, right = node.left, node.operator, node.right
        if operator in ("eq", "ne", "in", "nin") and isinstance(
            right, (list, tuple, set, frozenset, range, KeysView, ValuesView)
        ):
            if isinstance(left, JsonPath) or not isinstance(right, left.codec.accepts):
                return self._membership(left, list(right), negated=operator in ("ne", "nin"))
        if operator in ("in", "nin"):
            if isinstance(right, (str, bytes)) or not isinstance(right, Iterable):
                raise FilterError(f"{left.label}: {operator} takes a list, not {right!r}")
            return self._membership(left, list(right), negated=operator == "nin")
        if operator == "isnull" or (right is None and operator in ("eq", "ne")):
            return self._null(left, operator, right)
        if right is None:
            raise FilterError(
                f"{left.label}: {operator} with None has no answer; use isnull or eq=None"
            )
        if isinstance(left, JsonPath):
            return self._json_comparison(left, operator, right)
        if operator in _TEXT:
            return self._text(left, operator, right)
        if operator in _ORDERING and left.codec.ordering is None:
            raise FilterError(
                f"{left.label} is {left.codec.name} and knows equality only; "
                f"{left.codec.ordering_mend}"
            )
        if operator == "between":
            low, high = _pair(left, right)
            first = self._comparison(Comparison(left, "gte", low))
            return f"({first} AND {self._comparison(Comparison(left, 'lte', high))})"
        return self._plain_comparison(left, operator, right)

    def _plain_comparison(self, left: Expression[Any], operator: str, right: Any) -> str:
        sign = _SIGNS[operator]
        if isinstance(right, Expression):
            _need_one_type(left, right)
            return f"{self._side(left, operator)} {sign} {self._side(right, operator)}"
        if left.codec.name == "json":
            return self._json_equality(left, sign, right)
        if left.codec.scale is not None and self.dialect.name == "sqlite":
            return self._scaled(left, operator, right)
        written = self._side(left, operator)
        bound = self._bound(left.codec, left.label, right)
        if operator in _ORDERING:
            bound = self.dialect.sortable(bound, left.codec)
        return f"{written} {sign} {bound}"

    def _side(self, node: Expression[Any], operator: str) -> str:
        written = self.expression(node)
        if node.codec.name == "json" and self.dialect.name == "sqlite":
            return f"lythonic_json({written})"
        return self.dialect.sortable(written, node.codec) if operator in _ORDERING else written

    def _scaled(self, left: Expression[Any], operator: str, right: Any) -> str:
        """A decimal kept as a scaled integer against any decimal, exactly."""
        scale = left.codec.scale
        assert scale is not None
        if isinstance(right, bool) or not isinstance(right, left.codec.accepts):
            raise FilterError(f"{left.label} compares with Decimal or int, not with {right!r}")
        written = self.expression(left)
        try:
            number, exact = scaled_floor(right, scale)
        except InvalidValue as error:
            raise FilterError(f"{left.label}: {error}") from error
        if not exact:
            if operator in ("eq", "ne"):
                return self._known(left, operator == "ne")
            number += operator in ("gte", "lt")
        self.params.append(number)
        return f"{written} {_SIGNS[operator]} {self.dialect.mark}"

    def _known(self, left: Expression[Any], value: bool) -> str:
        """True or false for every row that has a value, unknown where it is NULL."""
        written, again = self.expression(left), self.expression(left)
        return f"{written} {'=' if value else '<>'} {again}"

    def _null(self, left: Expression[Any], operator: str, right: Any) -> str:
        if operator == "isnull" and not isinstance(right, bool):
            raise FilterError(f"{left.label}: isnull takes True or False, not {right!r}")
        wanted = right if operator == "isnull" else operator == "eq"
        written = self._json_text(left) if isinstance(left, JsonPath) else self.expression(left)
        return f"{written} IS {'' if wanted else 'NOT '}NULL"

    def _membership(self, left: Expression[Any], values: list[Any], negated: bool) -> str:
        present = [value for value in values if value is not None]
        with_null = len(present) < len(values)
        if isinstance(left, JsonPath):
            return self._json_membership(left, present, with_null, negated)
        if not present:
            if with_null:
                return f"{self.expression(left)} IS {'NOT ' if negated else ''}NULL"
            return self._known(left, negated)
        found = self._list(left, present, negated)
        if not with_null:
            return found
        again = self.expression(left)
        if negated:
            return f"({found} AND {again} IS NOT NULL)"
        return f"({found} OR {again} IS NULL)"

    def _list(self, left: Expression[Any], values: list[Any], negated: bool) -> str:
        codec = left.codec
        if codec.name == "json":
            raise FilterError(f"{left.label} is a JSON column; {codec.ordering_mend}")
        if self.dialect.name == "postgres":
            written = self.expression(left)
            label = left.label
            encoded = [operand(self.dialect, label, codec, value) for value in values]
            self.params.append(bound_list(self.dialect, encoded))
            array = self.dialect.bind(codec) + "[]"
            return f"{written} <> ALL({array})" if negated else f"{written} = ANY({array})"
        encoded = [
            value
            for value in (self._list_value(left, value) for value in values)
            if value is not None
        ]
        if not encoded:
            return self._known(left, negated)
        written = self.expression(left)
        negation = "NOT " if negated else ""
        value_sql = "value"
        if isinstance(encoded[0], bytes):
            value_sql = "lythonic_bytes(value)"
            encoded = [value.hex() for value in encoded]
        elif isinstance(encoded[0], float):
            value_sql = "lythonic_float(value)"
            encoded = [value.hex() for value in encoded]
        self.params.append(bound_list(self.dialect, encoded))
        return f"{written} {negation}IN (SELECT {value_sql} FROM json_each(?))"

    def _key_in(self, columns: Sequence[Column[Any]], keys: Sequence[tuple[Any, ...]]) -> str:
        left = ", ".join(self.expression(column) for column in columns)
        if self.dialect.name == "postgres":
            for column, values in zip(columns, zip(*keys, strict=True), strict=True):
                encoded = [operand(self.dialect, column.label, column.codec, v) for v in values]
                self.params.append(encoded)
            arrays = ", ".join(self.dialect.bind(column.codec) + "[]" for column in columns)
            return f"({left}) IN (SELECT * FROM unnest({arrays}))"
        rows = [[self._list_value(c, v) for c, v in zip(columns, key, strict=True)] for key in keys]
        parts: list[str] = []
        for number, column in enumerate(columns):
            part = f"json_extract(value, '$[{number}]')"
            if column.codec.sqlite_type == "BLOB":
                part = f"lythonic_bytes({part})"
                for row in rows:
                    row[number] = row[number].hex()
            parts.append(part)
        self.params.append(json.dumps(rows, ensure_ascii=False))
        return f"({left}) IN (SELECT {', '.join(parts)} FROM json_each(?))"

    def _list_value(self, left: Expression[Any], value: Any) -> Any:
        """The stored form of one element; None for a decimal that the column cannot hold."""
        codec = left.codec
        if codec.scale is not None and isinstance(value, codec.accepts):
            try:
                number, exact = scaled_floor(value, codec.scale)
                return number if exact else None
            except InvalidValue as error:
                raise FilterError(f"{left.label}: {error}") from error
        return operand(self.dialect, left.label, codec, value)

    def _text(self, left: Expression[Any], operator: str, right: Any) -> str:
        if left.codec.sqlite_type != "TEXT" or left.codec.name not in (
            "str",
            "path",
            "enum",
            "literal",
        ):
            raise FilterError(f"{left.label} is {left.codec.name}; {operator} is for text columns")
        if not isinstance(right, str):
            raise FilterError(f"{left.label}: {operator} takes a str, not {right!r}")
        return self._text_match(self.expression(left), operator, _text(left.label, right))

    def _text_match(self, written: str, operator: str, text: str) -> str:
        if self.dialect.name == "sqlite":
            return self._text_sqlite(written, operator, text)
        match operator:
            case "like":
                self.params.append(_pattern(text))
                return f"{written} LIKE %s"
            case "ilike":
                folding = f'COLLATE "{self.dialect.folding}"'
                self.params.append(_pattern(text))
                return f"lower(upper({written} {folding})) LIKE lower(upper(%s::text {folding}))"
            case "contains":
                self.params.append(text)
                return f"strpos({written}, %s) > 0"
            case "startswith":
                self.params.append(text)
                return f"starts_with({written}, %s)"
            case _:
                self.params.extend((text, text))
                return f"right({written}, length(%s)) = %s"

    def _text_sqlite(self, written: str, operator: str, text: str) -> str:
        match operator:
            case "like":
                self.params.append(glob_of(text))
            case "ilike":
                self.params.append(glob_of(fold(_pattern(text))))
                return f"lythonic_fold({written}) GLOB ?"
            case "contains":
                self.params.append(text)
                return f"instr({written}, ?) > 0"
            case "startswith" if len(text) > _LONG:
                self.params.append(text)
                return f"substr({written}, 1, {len(text)}) = ?"
            case "startswith":
                self.params.append(_glob_literal(text) + "*")
            case _ if len(text) > _LONG:
                self.params.append(text)
                return f"substr({written}, -{len(text)}) = ?"
            case _:
                self.params.append("*" + _glob_literal(text))
        return f"{written} GLOB ?"

    # -- JSON

    def _json_equality(self, left: Expression[Any], sign: str, right: Any) -> str:
        text = operand(self.dialect, left.label, left.codec, right)
        written = self.expression(left)
        self.params.append(text)
        if self.dialect.name == "postgres":
            return f"{written} {sign} %s::jsonb"
        return f"lythonic_json({written}) {sign} ?"

    def _json_at(self, node: JsonPath) -> str:
        """PostgreSQL: the value inside. A str key is of an object only, an int of an array only."""
        written = self.expression(node.column)
        for key in node.path:
            if isinstance(key, int):
                # `->` would take a scalar for an array of one element
                place = str(key) if key >= 0 else f"last - {-key - 1}"
                written = f"jsonb_path_query_first({written}, %s::jsonpath, '{{}}', true)"
                self.params.append(f"strict $[{place}]")
            else:
                written += " -> %s::text"
                self.params.append(key)
        return f"({written})"

    def _json_arguments(self, node: JsonPath) -> str:
        """SQLite: the column and the bound path as arguments of a JSON function."""
        written = self.expression(node.column)
        if any(isinstance(key, str) and re.search(_ODD_KEY, key) for key in node.path):
            self.params.append(json.dumps(node.path))
            return f"lythonic_inside({written}, ?), '$'"
        steps = (
            (f"[{key}]" if key >= 0 else f"[#{key}]") if isinstance(key, int) else f'."{key}"'
            for key in node.path
        )
        self.params.append("$" + "".join(steps))
        return f"{written}, ?"

    def _json_text(self, node: JsonPath) -> str:
        if self.dialect.name == "postgres":
            return f"({self._json_at(node)} #>> '{{}}') COLLATE \"C\""
        return f"json_extract({self._json_arguments(node)})"

    def _json_is(self, node: JsonPath, kind: type) -> str:
        """Whether the value inside is of the JSON type that values of `kind` have."""
        for_sqlite, for_postgres = _JSON_KINDS[kind]
        if self.dialect.name == "postgres":
            return f"jsonb_typeof({self._json_at(node)}) = '{for_postgres}'"
        return f"json_type({self._json_arguments(node)}) IN ({for_sqlite})"

    def _json_case(self, node: JsonPath, kind: type, write: Callable[[str], str]) -> str:
        """What `write` makes of the value inside if it is of that kind; a value of another kind
        is false, and one that is missing or null is unknown."""
        guard = self._json_is(node, kind)
        written = self._json_text(node)
        if self.dialect.name == "postgres" and kind is not str:
            written = f"({written})::{'boolean' if kind is bool else 'numeric'}"
        inner = write(written)
        there = f"{self._json_text(node)} IS NOT NULL"
        return f"(CASE WHEN {guard} THEN {inner} WHEN {there} THEN FALSE END)"

    def _json_comparison(self, left: JsonPath, operator: str, right: Any) -> str:
        if operator == "between":
            low, high = _pair(left, right)
            first = self._json_comparison(left, "gte", low)
            return f"({first} AND {self._json_comparison(left, 'lte', high)})"
        if operator == "ne":
            return f"(NOT {self._json_comparison(left, 'eq', right)})"
        kind, value = _json_operand(left, right)
        if operator in _ORDERING and kind is bool:
            raise FilterError(f"{left.label}: {operator} with a bool has no meaning")
        if operator in _TEXT:
            if kind is not str:
                raise FilterError(f"{left.label}: {operator} takes a str, not {right!r}")
            return self._json_case(
                left, kind, lambda written: self._text_match(written, operator, value)
            )

        def compare(written: str) -> str:
            self.params.append(value)
            bound = self.dialect.mark
            if self.dialect.name == "postgres" and kind is not str:
                bound += "::boolean" if kind is bool else "::numeric"
            return f"{written} {_SIGNS[operator]} {bound}"

        return self._json_case(left, kind, compare)

    def _json_membership(
        self, left: JsonPath, values: list[Any], with_null: bool, negated: bool
    ) -> str:
        by_kind: dict[type, list[Any]] = {}
        for item in values:
            kind, value = _json_operand(left, item)
            by_kind.setdefault(kind, []).append(value)
        parts = [
            self._json_case(left, kind, partial(self._json_in, kind, group))
            for kind, group in by_kind.items()
        ]
        if with_null:
            parts.append(f"{self._json_text(left)} IS NULL")
        if not parts:
            parts.append(f"{self._json_text(left)} <> {self._json_text(left)}")
        found = f"({' OR '.join(parts)})"
        return f"(NOT {found})" if negated else found

    def _json_in(self, kind: type, values: list[Any], written: str) -> str:
        if self.dialect.name == "postgres":
            if kind is float:
                values = [repr(value) for value in values]
            self.params.append(values)
            array = "text" if kind is str else "boolean" if kind is bool else "numeric"
            return f"{written} = ANY(%s::{array}[])"
        self.params.append(json.dumps(values, ensure_ascii=False))
        return f"{written} IN (SELECT value FROM json_each(?))"

    # -- across tables and groups

    def _follows(self, node: Follows) -> str:
        reference = node.reference
        inner = Source(reference.target, node.alias)
        outer = Source(reference.table, node.source)
        within = Compiler(self.dialect, [inner], self.scope_value, self.params, self.negated)
        source = f"{self.dialect.quote(reference.target.name)} AS {self.dialect.quote(node.alias)}"
        ours = [self.dialect.column(c, outer.name) for c in reference.columns]
        theirs = [self.dialect.column(c, node.alias) for c in reference.target_columns]
        if self.negated:
            # unlike IN and EXISTS, this is unknown where the condition is, or where no row is
            answer = within.condition(node.condition)
            same = [f"{a} = {b}" for a, b in zip(theirs, ours, strict=True)]
            where = " AND ".join(same + within.scope_condition(inner))
            return f"(SELECT {answer} FROM {source} WHERE {where})"
        terms: list[str] = []
        if len(ours) > 1:
            terms += [f"{a} = {b}" for a, b in zip(theirs, ours, strict=True)]
        terms += within.scope_condition(inner)
        terms.append(within.condition(node.condition))
        where = " AND ".join(terms)
        if len(ours) > 1:
            return f"EXISTS (SELECT 1 FROM {source} WHERE {where})"
        return f"{ours[0]} IN (SELECT {theirs[0]} FROM {source} WHERE {where})"

    def _aggregate(self, node: Aggregate[Any]) -> str:
        if node.of is None:
            return "count(*)"
        inner = self.expression(node.of)
        if node.function == "count":
            return f"count({'DISTINCT ' if node.distinct else ''}{inner})"
        if node.function in ("min", "max") and node.of.codec.ordering == "path":
            raise FilterError(f"{node.label}: paths have no {node.function} in SQL")
        if self.dialect.name == "postgres" and node.function in ("min", "max"):
            if node.of.codec.name == "uuid":
                return f"{node.function}({inner}::text)::uuid"
        if self.dialect.name == "postgres" and node.function == "avg":
            if node.codec is codecs.FLOAT:
                return f"avg({inner})::double precision"
        if node.function == "avg" and node.of.codec.scale is not None:
            raise FilterError(
                f"{node.label}: the mean of decimals can be selected, but not compared or sorted "
                "by exactly; compare the sum"
            )
        return f"{node.function}({inner})"

    def _mean(self, of: Expression[Any]) -> str:
        inner = self.expression(of)
        if of.codec.name in ("int", "float", "enum", "literal"):
            return f"avg({inner})" + (
                "::double precision" if self.dialect.name == "postgres" else ""
            )
        # the sum as a whole number of the smallest units, by which the mean is exact
        total = f"sum({inner})"
        if self.dialect.name == "postgres" and of.codec.scale is not None:
            total = f"trunc({total} * 1{'0' * of.codec.scale})::text"
        elif self.dialect.name == "postgres":
            total = f"(extract(epoch FROM {total}) * 1000000)::bigint::text"
        return f"{total} || '/' || count({self.expression(of)})"


_JSON_KINDS: dict[type, tuple[str, str]] = {
    bool: ("'true', 'false'", "boolean"),
    str: ("'text'", "string"),
    float: ("'integer', 'real'", "number"),
}
_ODD_KEY = r'["\\\x00-\x1f]|^$'


def _json_operand(left: JsonPath, value: Any) -> tuple[type, Any]:
    """The kind of a value beside a JSON path (bool, str, or float for all numbers), and it."""
    try:
        if isinstance(value, bool):
            return bool, value
        if isinstance(value, str):
            return str, codecs.encode_text(value)
        if isinstance(value, int):
            return float, codecs.encode_int(value)
        if isinstance(value, float):
            if value - value != 0:
                raise InvalidValue(f"{value} is not a number of JSON")
            return float, value
    except InvalidValue as error:
        raise FilterError(f"{left.label}: {error}") from error
    raise FilterError(f"{left.label} compares with str, int, float or bool, not with {value!r}")


def _need_one_type(left: Expression[Any], right: Expression[Any]) -> None:
    """Two expressions must be stored alike, so that comparing what is stored compares values."""
    ours, theirs = left.codec, right.codec
    if isinstance(left, JsonPath) or isinstance(right, JsonPath):
        raise FilterError(
            f"{left.label} and {right.label}: a path inside a JSON column compares with a value"
        )
    if (ours.sqlite_type, ours.postgres_type, ours.ordering) != (
        theirs.sqlite_type,
        theirs.postgres_type,
        theirs.ordering,
    ):
        raise FilterError(
            f"{left.label} is {ours.name} and {right.label} is {theirs.name}; "
            "columns of two types do not go together"
        )
    if ours.scale != theirs.scale:
        raise FilterError(
            f"{left.label} has {ours.scale} decimal places and {right.label} {theirs.scale}; "
            "give both the same decimal_places"
        )


def _need_exact(left: Expression[Any], value: Any) -> None:
    try:
        scale = left.codec.scale or 0
        exact = scaled_floor(value, scale)[1]
    except InvalidValue as error:
        raise FilterError(f"{left.label}: {error}") from error
    if not exact:
        raise FilterError(f"{left.label}: {value} has more than {scale} decimal places")


def _pair(left: Expression[Any], value: Any) -> tuple[Any, Any]:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence) or len(value) != 2:
        raise FilterError(f"{left.label}: between takes a low and a high value, not {value!r}")
    return value[0], value[1]


def _text(label: str, text: str) -> str:
    try:
        return cast(str, codecs.encode_text(text))
    except InvalidValue as error:
        raise FilterError(f"{label}: {error}") from error


_LONG = 4_000
"""Characters (each at most 12 bytes of a pattern) up to which SQLite's GLOB is used; it takes
50,000 bytes."""


def _pattern(text: str) -> str:
    if len(text) > _LONG:
        raise FilterError(
            f"a pattern has at most {_LONG} characters, this one {len(text)}; "
            "contains, startswith and endswith take any length"
        )
    trailing = len(text) - len(text.rstrip("\\"))
    if trailing % 2:
        raise FilterError(
            rf"the pattern {text!r} ends in a single backslash, which takes the next character "
            r"literally; write \\ for a backslash"
        )
    return text


def glob_of(pattern: str) -> str:
    """A LIKE pattern as a pattern of SQLite's GLOB, which is case-sensitive."""
    _pattern(pattern)
    written: list[str] = []
    characters = iter(pattern)
    for character in characters:
        if character == "\\":
            written.append(_glob_literal(next(characters)))
        elif character == "%":
            written.append("*")
        elif character == "_":
            written.append("?")
        else:
            written.append(_glob_literal(character))
    return "".join(written)


def _glob_literal(text: str) -> str:
    return text.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")


def fold(text: str) -> str:
    """Text without the difference of upper and lower case, one character for one."""
    return "".join(map(_fold_character, text)) if not text.isascii() else text.lower()


def _fold_character(character: str) -> str:
    if character == "\u0130":  # a capital I with a dot, whose small letter is a plain i
        return "i"
    upper = character.upper()
    upper = upper if len(upper) == 1 else character
    lower = upper.lower()
    return lower if len(lower) == 1 else upper


def conditions_of(
    sources: Sequence[Source], expressions: Sequence[Any], filters: Mapping[str, Any]
) -> list[Condition]:
    """Positional conditions and keyword filters as one list."""
    for item in expressions:
        if isinstance(item, (bool, str)) or not isinstance(item, Condition):
            raise FilterError(
                f"expected a condition such as Book.year > 1900, got {item!r}; "
                "filters by name are given as keywords"
            )
    return [*expressions, *keyword_conditions(sources, filters)]


def aliased(column: Column[Any], source: str) -> Column[Any]:
    return replace(column, source=source)
