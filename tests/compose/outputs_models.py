"""The models and functions of the tests of typed outputs; other processes import them, too."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Annotated, Any

from lythonic_compose import Dag, Rows
from lythonic_state import AltKey, Check, DbModel, ForeignKey, PrimaryKey, ScopeContext, Scoped


class Price(DbModel, table="prices", constraints=[Check("cents >= 0")]):
    price_id: Annotated[int, PrimaryKey()] = -1
    name: Annotated[str, AltKey()]
    cents: int = 0


class Day(DbModel, table="days"):
    """Its key is two columns."""

    place: Annotated[str, PrimaryKey()]
    number: Annotated[int, PrimaryKey()]
    rain: float = 0.0


class Town(DbModel, table="towns"):
    """Its key is text."""

    name: Annotated[str, PrimaryKey()]
    people: int = 0


class Street(DbModel, table="streets"):
    street_id: Annotated[int, PrimaryKey()] = -1
    town: Annotated[str, ForeignKey(Town)]
    name: str


class Keyless(DbModel, table="keyless"):
    name: str


class Org(ScopeContext):
    org_id: int


class Invoice(Scoped, scope="org_id", table="invoices"):
    invoice_id: Annotated[int, PrimaryKey()] = -1
    org_id: int = -1
    cents: int


def fetch(count: int) -> list[Price]:
    return [Price(name=f"p{number}", cents=number) for number in range(count)]


def each(count: int) -> Iterator[Price]:
    for number in range(count):
        yield Price(name=f"p{number}", cents=number)


async def each_async(count: int) -> AsyncIterator[Price]:
    for number in range(count):
        yield Price(name=f"p{number}", cents=number)


def total(prices: list[Price]) -> int:
    return sum(price.cents for price in prices)


def keys(prices: list[Price]) -> list[int]:
    return [price.price_id for price in prices]


def total_of_rows(prices: Rows[Price]) -> int:
    return sum(price.cents for price in prices)


def one(function: Callable[..., Any], **options: Any) -> Dag:
    dag = Dag()
    dag.node(function, "make", **options)
    return dag


def chain(first: Callable[..., Any], second: Callable[..., Any], **options: Any) -> Dag:
    dag = Dag()
    _ = dag.node(first, "make", **options) >> dag.node(second, "use")
    return dag
