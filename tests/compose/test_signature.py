"""Signatures: what a callable takes and returns, however it came to be."""

from __future__ import annotations

import functools
from collections.abc import Awaitable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from lythonic_compose import DagError, Method
from lythonic_compose.refs import GlobalRef
from lythonic_compose.signature import MISSING, Unresolved


class Price(BaseModel):
    amount: float


def take(
    price: Price, /, count: int = 2, *rest: str, note: Annotated[str, "x"], **more: Any
) -> str:
    """Takes a price."""
    return f"{price}{count}{rest}{note}{more}"


class Shop:
    rate = 2

    def sell(self, price: Price) -> Price:
        return Price(amount=price.amount * self.rate)

    @staticmethod
    def close(price: Price) -> None: ...

    @classmethod
    def make(cls, rate: int) -> Shop:
        return cls()

    async def __call__(self, price: Price) -> int:
        return int(price.amount)


def described(method: Method) -> dict[str, Any]:
    return {arg.name: arg.annotation for arg in method.args}


def test_string_annotations_are_resolved_and_variadic_parameters_are_left_out() -> None:
    method = Method(take)

    assert described(method) == {"price": Price, "count": int, "note": Annotated[str, "x"]}
    assert [arg.default for arg in method.args] == [MISSING, 2, MISSING]
    assert [arg.required for arg in method.args] == [True, False, True]
    assert method.return_annotation is str
    assert (method.name, method.doc, method.is_async) == ("take", "Takes a price.", False)


def test_positional_only_parameters_are_passed_by_position() -> None:
    price = Price(amount=1)

    assert Method(take).arguments({"note": "n", "price": price}) == ((price,), {"note": "n"})


def test_a_partial_has_the_parameters_that_are_left() -> None:
    method = Method(functools.partial(functools.partial(take, Price(amount=1)), note="n"))

    assert described(method) == {"count": int, "note": Annotated[str, "x"]}
    assert [arg.required for arg in method.args] == [False, False]
    assert method.name == "take"


@pytest.mark.parametrize("bound", [Shop().sell, Shop.close, Shop()])
def test_methods_and_callable_objects_are_seen_without_self(bound: Any) -> None:
    assert described(Method(bound)) == {"price": Price}


def test_a_callable_object_is_async_if_its_call_is() -> None:
    assert Method(Shop()).is_async
    assert Method(Shop()).name == "Shop"
    assert not Method(Shop().sell).is_async


class Around:
    """An object around a function, as a namespace or a cache makes one."""

    def __init__(self, function: Any) -> None:
        self.__wrapped__ = function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__wrapped__(*args, **kwargs)


async def later(price: Price, *, count: int = 1) -> int:
    return count


@pytest.mark.parametrize(
    "around", [Around(later), Around(Around(later)), functools.partial(Around(later), count=2)]
)
def test_an_object_around_a_function_has_its_signature_and_colour(around: Any) -> None:
    assert described(Method(around)) == {"price": Price, "count": int}
    assert Method(around).return_annotation is int
    assert Method(around).is_async
    assert not Method(Around(take)).is_async


@pytest.mark.parametrize("ref", [f"{__name__}:take", GlobalRef(take)])
def test_a_reference_is_imported_when_it_is_looked_at(ref: str) -> None:
    method = Method(ref)
    assert (method.name, method.is_imported, method.ref) == ("take", False, f"{__name__}:take")

    assert method.target is take
    assert method.is_imported
    assert described(method) == described(Method(take))
    assert Method(take).is_imported
    assert Method(take).ref is None


def test_the_name_of_a_factory_is_that_of_what_it_makes() -> None:
    assert Method("myapp.pipelines:Reports.daily__").name == "daily"


@pytest.mark.parametrize(
    ("ref", "error", "problem"),
    [
        ("json:__name__", TypeError, "got json:__name__, which is 'json'"),
        ("json:", TypeError, "expected a function or another callable, got json:, which is <mod"),
        ("json:dumpz", KeyError, "did you mean 'dump"),
    ],
)
def test_a_bad_reference_is_found_when_it_is_looked_at(
    ref: str, error: type[Exception], problem: str
) -> None:
    method = Method(ref)

    with pytest.raises(error, match=problem):
        assert method.args


def test_a_text_that_is_no_reference_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="names no module"):
        Method(":dumps")


def test_a_class_method_may_return_its_own_class() -> None:
    assert Method(Shop.make).return_annotation is Shop


def test_a_class_is_called_with_its_fields_and_returns_itself() -> None:
    assert described(Method(Price)) == {"amount": float}
    assert Method(Price).return_annotation is Price


def test_a_wrapped_function_shows_its_own_parameters() -> None:
    @functools.wraps(take)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        return take(*args, **kwargs)

    assert described(Method(wrapper))["price"] is Price


def test_what_is_awaited_counts_as_the_return() -> None:
    def later() -> Awaitable[int]:
        raise NotImplementedError

    assert Method(later).return_annotation is int


def test_a_name_of_the_enclosing_function_is_found_where_the_function_uses_it() -> None:
    class Local(BaseModel):
        x: int

    def uses(value: Local) -> Local:
        return Local(x=value.x)

    assert described(Method(uses)) == {"value": Local}


def test_a_name_that_is_nowhere_is_told_and_the_others_are_resolved() -> None:
    def broken(x: int, y: Nowhere) -> str:  # type: ignore[name-defined]  # noqa: F821
        raise NotImplementedError

    found = described(Method(broken))
    assert found["x"] is int
    assert isinstance(found["y"], Unresolved)
    assert found["y"].text == "Nowhere"
    assert "Nowhere" in found["y"].reason


def test_what_is_missing_is_not_any() -> None:
    def plain(x, y: Any):  # type: ignore[no-untyped-def]
        raise NotImplementedError

    assert described(Method(plain)) == {"x": MISSING, "y": Any}
    assert Method(plain).return_annotation is MISSING


@pytest.mark.parametrize("thing", [3, b"json:dumps", None])
def test_what_is_not_callable_is_refused(thing: Any) -> None:
    with pytest.raises(TypeError, match="expected a function") as caught:
        Method(thing)
    assert isinstance(caught.value, DagError)
