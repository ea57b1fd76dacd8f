"""Types with types, and values with types."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    NewType,
    Optional,
    Protocol,
    TypedDict,
    TypeVar,
    Union,
    runtime_checkable,
)

import pytest
from pydantic import BaseModel, Field

from lythonic_compose.fit import Check, could_fit, fits, is_known, shown
from lythonic_compose.signature import MISSING

T = TypeVar("T")


class Animal: ...


class Dog(Animal):
    def bark(self) -> str:
        return "wuff"


class Barks(Protocol):
    def bark(self) -> str: ...


class Named(Protocol):
    name: str


@runtime_checkable
class Called(Protocol):
    name: str


class Cat(Animal):
    name: str = "Tom"


class Box(Generic[T]): ...


class Crate(Box[list[T]]): ...


class DogBox(Box[Dog]): ...


class Names(list[str]): ...


class Row(TypedDict):
    name: str


class Twin(TypedDict):
    name: str


UserId = NewType("UserId", int)
Metres = Annotated[float, "m"]
Feet = Annotated[float, "ft"]


@dataclass
class Point:
    x: int


class Price(BaseModel):
    amount: float


FIT = [
    (int, int),
    (bool, int),
    (Dog, Animal),
    (Dog, object),
    (int, Any),
    (Dog, Barks),
    (dict, dict[str, int]),
    (dict[str, int], dict),
    (list[Dog], list[Animal]),
    (list[Dog], Sequence[Animal]),
    (list[int], Iterable[int]),
    (dict[str, int], Mapping[str, int]),
    (dict[str, int], Iterable[str]),
    (tuple[int, int], tuple[int, ...]),
    (tuple[int, ...], Sequence[int]),
    (tuple[int, bool], Sequence[int]),
    (str, Sequence[str]),
    (DogBox, Box[Animal]),
    (Box[Dog], Box[Animal]),
    (Names, list[str]),
    (Crate[Dog], Box[list[Animal]]),
    (Crate, Box[list[int]]),
    (Cat, Named),
    (Cat, Called),
    (list[Cat], list[Named]),
    (int, int | None),
    (int, Optional[int]),  # noqa: UP045 - the older spelling is another object
    (Union[int, str], int | str | None),  # noqa: UP007
    (Literal["a"], str),
    (Literal["a"], Literal["a", "b"]),
    (UserId, UserId),
    (UserId, UserId | None),
    (Metres, Metres),
    (Row, Row),
    (type(None), None),
    (Callable[[int], int], Callable[..., Any]),
    (type[Dog], type[Animal]),
]
MISFIT = [
    (Animal, Dog),
    (int, str),
    (int, float),
    (int, bool),
    (Animal, Barks),
    (list[Animal], list[Dog]),
    (list[int], list[str]),
    (list[int], int),
    (int, list[int]),
    (dict[str, int], dict[str, str]),
    (dict[str, int], list[int]),
    (tuple[int, str], tuple[int, ...]),
    (tuple[int, int], tuple[int]),
    (str, Sequence[int]),
    (DogBox, Box[int]),
    (Names, list[int]),
    (Crate[Dog], Box[Dog]),
    (Dog, Named),
    (Dog, Called),
    (int | None, int),
    (int | str, int),
    (str, Literal["a"]),
    (Literal["a", "c"], Literal["a", "b"]),
    (UserId, int),
    (int, UserId),
    (Metres, Feet),
    (Metres, float),
    (float, Metres),
    (Row, Twin),
    (Row, dict),
    (dict, Row),
    (None, int),
    (Any, int),
    (MISSING, int),
    (int, MISSING),
]


@pytest.mark.parametrize(("declared", "wanted"), FIT)
def test_a_type_fits_where_each_of_its_values_may_stand(declared: Any, wanted: Any) -> None:
    assert fits(declared, wanted)
    assert could_fit(declared, wanted)


@pytest.mark.parametrize(("declared", "wanted"), MISFIT)
def test_a_type_does_not_fit_where_one_of_its_values_may_not_stand(
    declared: Any, wanted: Any
) -> None:
    assert not fits(declared, wanted)


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        (Animal, Dog),
        (int | None, int),
        (UserId, int),
        (int, UserId),
        (Metres, float),
        (int, float),
        (Row, dict),
        (dict[str, Any], Row),
        (Any, int),
        (MISSING, int),
        (dict[str, Any], dict[str, int]),
        (list[int | None], list[int]),
        (tuple[Animal, ...], tuple[Dog, ...]),
    ],
)
def test_an_edge_of_the_users_choice_may_carry_what_only_some_values_allow(
    declared: Any, wanted: Any
) -> None:
    assert could_fit(declared, wanted)


@pytest.mark.parametrize(
    ("declared", "wanted"),
    [
        (int, str),
        (str, list[str]),
        (None, int),
        (Dog, int),
        (Point, Price),
        (list[str], list[int]),
        (tuple[int], tuple[int, int]),
        (Literal["a"], Literal["b"]),
        (int | str, list[int] | None),
    ],
)
def test_types_without_a_common_value_are_incompatible_on_any_edge(
    declared: Any, wanted: Any
) -> None:
    assert not could_fit(declared, wanted)


def test_a_type_variable_stands_for_its_bound_or_its_constraints() -> None:
    bound = TypeVar("bound", bound=Animal)
    constrained = TypeVar("constrained", int, str)

    assert fits(int, T)
    assert fits(Dog, bound)
    assert not fits(int, bound)
    assert fits(str, constrained)
    assert not fits(Dog, constrained)


def test_missing_any_and_type_variables_say_nothing() -> None:
    assert [is_known(each) for each in (MISSING, Any, T, int, None)] == [False] * 3 + [True] * 2


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (1, int),
        (True, int),
        ([True, 2], list[int]),
        (1, float),
        (Dog(), Animal),
        (None, int | None),
        ({"name": "x"}, Row),
        (Price(amount=1), Price),
        ([Point(1)], list[Point]),
        ((1, 2), tuple[int, ...]),
        (Path("x"), Path),
        ([Dog()], list[Dog]),
        (UserId(3), UserId),
        ({"a": [1]}, dict),
        (date(2026, 1, 31), date),
        (Dog(), Barks),
        (object(), Any),
        (object(), MISSING),
        (3, Annotated[int, Field(gt=2)]),
    ],
)
def test_a_value_of_the_type_is_taken(value: Any, annotation: Any) -> None:
    assert Check(annotation).complaint(value) is None


@pytest.mark.parametrize(
    ("value", "annotation", "said"),
    [
        ("1", int, "got str: '1'"),
        (1, str, "got int: 1"),
        ("1", int | None, "got str"),
        ([1, "2"], list[int], "got list with '2' at 1"),
        ({"name": 3}, Row, "at name"),
        ({}, Row, "name"),
        ({"amount": 1.0}, Price, "got dict"),
        ([{"x": 1}], list[Point], "got list with {'x': 1} at 0"),
        (Animal(), Dog, "got Animal"),
        (None, int, "got NoneType: None"),
        ("x", Literal["a"], "got str: 'x'"),
        (1, Annotated[int, Field(gt=2)], "got int: 1"),
    ],
)
def test_a_value_of_another_type_is_refused_and_the_complaint_says_what_came(
    value: Any, annotation: Any, said: str
) -> None:
    complaint = Check(annotation).complaint(value)

    assert complaint is not None
    assert said in complaint


def test_checking_an_iterator_does_not_consume_it() -> None:
    numbers = iter([1, 2])

    assert Check(Iterator[int]).complaint(numbers) is None
    assert Check(Iterable[int]).complaint(numbers) is None
    assert list(numbers) == [1, 2]


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, "int"),
        (None, "None"),
        (type(None), "None"),
        (int | None, "int | None"),
        (list[Dog], "list[Dog]"),
        (tuple[int, ...], "tuple[int, ...]"),
        (dict[str, list[int]], "dict[str, list[int]]"),
        (MISSING, "(not annotated)"),
        (UserId, "UserId"),
    ],
)
def test_an_annotation_is_shown_as_a_person_writes_it(annotation: Any, text: str) -> None:
    assert text in shown(annotation)


def test_a_tuple_of_any_length_is_none_of_a_certain_length() -> None:
    assert not fits(tuple[int, ...], tuple[int, int])
    assert not fits(tuple[str, ...], tuple[str])
    assert fits(tuple[bool, ...], tuple[int, ...])


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int | str, True),
        (list[int | None], [True, None]),
        (list[int] | str, [True]),
        (dict[str, tuple[int, ...]], {"a": (True, 1)}),
    ],
)
def test_a_bool_is_an_int_inside_of_unions_and_collections(annotation: Any, value: Any) -> None:
    assert Check(annotation).complaint(value) is None


def test_a_bool_is_still_no_text() -> None:
    assert Check(tuple[int, str]).complaint((True, True)) is not None
