"""Are classes of `fields` what dataclasses would be?"""

import copy
import dataclasses
import inspect
import pickle
from dataclasses import field
from typing import Any, ClassVar, Generic, TypeVar

import pydantic
import pytest

from lythonic_state.fields import frozen, mutable, replace

T = TypeVar("T")


@frozen
class Point:
    x: int
    y: int = 0
    seen: list[int] = field(default_factory=list[int], compare=False)
    count: ClassVar[int] = 3


@frozen
class Named(Point):
    name: str = field(default="origin", repr=False)


@frozen(slots=False)
class Loose(Generic[T]):
    value: T
    note: str = field(default="", compare=False)


@frozen(eq=False, repr=False)
class Bare:
    value: int


@frozen
class Nothing:
    pass


@mutable(slots=False)
class Counter:
    step: int = 1
    total: int = 0

    def __post_init__(self) -> None:
        self.total += self.step


@frozen
class Own:
    value: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Own)

    def __repr__(self) -> str:
        return "own"


def test_fields_are_given_by_place_and_name_and_have_defaults() -> None:
    assert (Point(1, 2).y, Point(x=1).y, Point(1).seen) == (2, 0, [])
    assert Point(1).seen is not Point(1).seen
    assert Named(1, name="a") == Named(1, 0, [], "a")
    assert list(inspect.signature(Named).parameters) == ["x", "y", "seen", "name"]
    with pytest.raises(TypeError, match=r"Point.__init__\(\) missing 1 required.* 'x'"):
        Point()  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'z'"):
        Point(1, z=2)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


def test_values_are_compared_hashed_and_shown_by_their_fields() -> None:
    assert Point(1, 2, [3]) == Point(1, 2, [4]) != Point(1, 3)
    assert hash(Point(1, 2)) == hash(Point(1, 2, [9]))
    assert Named(1) != Point(1)
    assert (repr(Named(1)), repr(Loose(1))) == (
        "Named(x=1, y=0, seen=[])",
        "Loose(value=1, note='')",
    )
    assert Loose(1, "a") == Loose(1, "b")
    assert Nothing() == Nothing()
    assert hash(Nothing()) == hash(Nothing())
    assert Bare(1) != Bare(1)
    assert "Bare object" in repr(Bare(1))


def test_what_a_class_says_itself_stays() -> None:
    assert (Own(1), repr(Own(1))) == (Own(2), "own")
    assert hash(Own(1)) == hash(Own(1))


@pytest.mark.parametrize("value", [Point(1), Named(1), Loose(1), Bare(1)])
def test_nothing_of_a_frozen_value_is_set_or_deleted(value: Any) -> None:
    name = dataclasses.fields(value)[0].name
    for attribute in (name, "other"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(value, attribute, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        delattr(value, name)


def test_a_mutable_one_changes_and_is_not_hashed() -> None:
    counter = Counter(2)
    counter.total += 1
    assert counter == Counter(2, 1)
    assert counter.total == 3
    with pytest.raises(TypeError):
        hash(counter)


def test_the_standard_library_and_pydantic_take_it_for_a_dataclass() -> None:
    named = Named(1, name="a")
    assert [each.name for each in dataclasses.fields(Named)] == ["x", "y", "seen", "name"]
    assert dataclasses.asdict(named) == {"x": 1, "y": 0, "seen": [], "name": "a"}
    assert dataclasses.replace(named, y=5) == replace(named, y=5) == Named(1, 5, name="a")
    assert pydantic.TypeAdapter(Named).validate_python({"x": "1"}) == Named(1)
    assert pickle.loads(pickle.dumps(named)) == copy.deepcopy(named) == named
    assert Named.__match_args__ == ("x", "y", "seen", "name")

    @dataclasses.dataclass(frozen=True)
    class Longer(Point):
        z: int = 0

    assert Longer(1, z=2) == Longer(1, 0, [], 2)


def test_a_declaration_that_makes_no_sense_is_refused() -> None:
    with pytest.raises(TypeError, match="'b' has no default"):

        @frozen
        class Behind:
            a: int = 0
            b: int  # type: ignore[misc]  # pyright: ignore[reportGeneralTypeIssues]

    with pytest.raises(TypeError, match="for dataclasses only"):

        @frozen
        class Hidden:
            a: int = field(init=False)
