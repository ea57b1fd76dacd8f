"""Which calls share a key, and which functions can have one."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum, Flag, IntEnum, StrEnum
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Literal, NewType, Optional
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import AwareDatetime, SecretStr

from lythonic_compose.cached.key import Key, NoKey
from lythonic_compose.context import DagContext, Secret
from lythonic_compose.errors import CacheError, UnknownCacheKey
from lythonic_compose.signature import Method


class Colour(Enum):
    RED = "red"
    CRIMSON = "red"  # noqa: PIE796  # an alias, on purpose
    BLUE = "blue"


class Level(IntEnum):
    LOW = 1


class Word(str):
    __slots__ = ()


Symbol = NewType("Symbol", str)


def of(function: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    key = Key(Method(function))
    return key.of(key.values(*args, **kwargs))


def of_one(annotation: Any, value: Any) -> str:
    """The key of a call of a function with one parameter of this type."""

    def function(x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    return of(function, value)


def test_positional_keyword_and_default_arguments_share_a_key() -> None:
    def price(symbol: str, day: int = 3, *, deep: bool = False) -> None: ...

    assert (
        len(
            {
                of(price, "A"),
                of(price, "A", 3),
                of(price, "A", day=3),
                of(price, day=3, symbol="A", deep=False),
            }
        )
        == 1
    )
    assert of(price, "A", 4) != of(price, "A")
    assert of(price, "A", deep=True) != of(price, "A")


def test_a_key_does_not_change_from_one_version_to_the_next() -> None:
    def function(x: str, y: int | None, z: float) -> None: ...

    assert of(function, "a", None, 0.5) == "14b765374ed1048aa704c565a716a713"


@pytest.mark.parametrize(
    ("annotation", "one", "same"),
    [
        (float, 1, 1.0),
        (Decimal, Decimal("1.50"), Decimal("1.5")),
        (Decimal, Decimal("0E+3"), Decimal("-0")),
        (Decimal, 100, Decimal("1E+2")),
        (
            datetime,
            datetime(2026, 1, 31, 12, tzinfo=UTC),
            datetime(2026, 1, 31, 14, tzinfo=timezone(timedelta(hours=2))),
        ),
        (Path, Path("a/b"), Path("a//b")),
        (Colour, Colour.RED, Colour.CRIMSON),
        (Symbol, Symbol("A"), "A"),
    ],
)
def test_equal_values_share_a_key(annotation: Any, one: Any, same: Any) -> None:
    assert of_one(annotation, one) == of_one(annotation, same)


@pytest.mark.parametrize(
    ("annotation", "one", "other"),
    [
        (int, 1, True),
        (int, 1, Level.LOW),
        (str, "red", Word("red")),
        (str | None, None, ""),
        (str | None, None, "None"),
        (float, 0.0, -0.0),
        (float, float("inf"), float("-inf")),
        (Decimal, Decimal(10), Decimal(1)),
        (Decimal, Decimal(1), Decimal(-1)),
        (datetime, datetime(2026, 1, 31), datetime(2026, 1, 31, tzinfo=UTC)),
        (Colour, Colour.RED, Colour.BLUE),
        (Literal["a", "b"], "a", "b"),
        (bytes, b"", b"\x00"),
        (bool, True, False),
        (time, time(1), time(1, 0, 1)),
        (timedelta, timedelta(1), timedelta(2)),
        (UUID, UUID(int=1), UUID(int=2)),
        (date, date(2026, 1, 1), date(2026, 1, 2)),
    ],
)
def test_different_values_have_different_keys(annotation: Any, one: Any, other: Any) -> None:
    assert of_one(annotation, one) != of_one(annotation, other)


@pytest.mark.no_cover
@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_two_texts_are_never_taken_for_two_others(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    def function(x: str, y: str) -> None: ...

    try:
        same = of(function, *one) == of(function, *other)
    except NoKey:
        assert any("\0" in text or not text.isprintable() for text in (*one, *other))
    else:
        assert same == (one == other)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "1"),
        (int, None),
        (int, 2**63),
        (str, 1),
        (str, "a\0b"),
        (str, "\ud800"),
        (float, float("nan")),
        (float, 2**53 + 1),
        (float, 10**400),
        (float, True),
        (bool, 1),
        (Decimal, Decimal("NaN")),
        (date, datetime(2026, 1, 31)),
        (datetime, date(2026, 1, 31)),
        (datetime, datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))),
        (time, time(1, tzinfo=UTC)),
        (Path, "a/b"),
        (Path, Path("a\0b")),
        (Colour, "red"),
        (Literal[1, 2], True),
        (Literal["a"], ["a"]),
        (UUID, str(UUID(int=1))),
    ],
)
def test_what_is_not_of_its_type_or_fits_no_column_has_no_key(annotation: Any, value: Any) -> None:
    with pytest.raises(NoKey):
        of_one(annotation, value)


@pytest.mark.parametrize(
    "annotation",
    [
        str,
        Optional[int],  # noqa: UP045  # as it is still written
        int | None,
        Annotated[float, "metres"],
        Symbol,
        PurePosixPath,
        AwareDatetime,
        StrEnum("Size", ["S", "M"]),
        Literal["a", None],
        Literal[1, 2],
    ],
)
def test_simple_types_may_be_part_of_a_key(annotation: Any) -> None:
    def function(x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    assert [part.name for part in Key(Method(function)).parts] == ["x"]


@pytest.mark.parametrize(
    "annotation",
    [
        list[int],
        dict[str, int],
        set[str],
        Iterator[int],
        object,
        Any,
        int | str,
        Word,
        Flag("Bits", ["A", "B"]),
        Enum("Mixed", {"A": 1, "B": "b"}),
        Literal[1, "a"],
        Literal[1, True],
        Callable[[], int],
    ],
)
def test_other_types_are_refused_with_the_mend(annotation: Any) -> None:
    def function(x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    with pytest.raises(CacheError, match=r"the parameter x of function .* ignore=\(\"x\",\)"):
        Key(Method(function))


def test_a_parameter_without_a_type_is_refused() -> None:
    def function(x) -> None: ...  # type: ignore[no-untyped-def]

    with pytest.raises(CacheError, match="the parameter x of function has no type"):
        Key(Method(function))


def test_a_type_that_is_defined_nowhere_is_refused() -> None:
    def function(x: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821

    with pytest.raises(CacheError, match="'Nowhere', which is not known yet"):
        Key(Method(function))


def test_a_method_is_refused_by_its_self() -> None:
    class Api:
        def price(self, symbol: str) -> float: ...  # type: ignore[empty-body]

    with pytest.raises(CacheError, match="the parameter self of price has no type"):
        Key(Method(Api.price))


@pytest.mark.parametrize(
    ("annotation", "what"),
    [
        (Annotated[str, Secret()], "a secret"),
        (SecretStr, "a secret"),
        (DagContext, "the context of a run"),
    ],
)
def test_what_a_cache_must_not_keep_is_refused(annotation: Any, what: str) -> None:
    def function(x: Any) -> None: ...

    function.__annotations__["x"] = annotation
    with pytest.raises(CacheError, match=f"is {what}, which a cache does not keep"):
        Key(Method(function))


def test_generators_and_collecting_parameters_are_refused() -> None:
    def numbers(n: int) -> Iterator[int]:
        yield n

    async def later(n: int) -> AsyncIterator[int]:
        yield n

    def many(*numbers: int, **named: int) -> None: ...

    for function in (numbers, later, functools.partial(numbers, 3)):
        with pytest.raises(CacheError, match="is a generator"):
            Key(Method(function))
    with pytest.raises(CacheError, match=r"many takes \*numbers, \*\*named"):
        Key(Method(many))


def test_an_ignored_parameter_is_no_part_of_the_key_and_may_be_anything() -> None:
    def price(client: object, symbol: str, day: int = 3) -> None: ...

    key = Key(Method(price), ignore=("client",))
    assert key.values(object(), "A") == ("A", 3)
    assert key.values(symbol="A", client=None) == ("A", 3)


def test_an_ignored_parameter_that_is_not_there_is_told_with_the_nearest() -> None:
    def price(client: object, symbol: str) -> None: ...

    with pytest.raises(UnknownCacheKey, match="did you mean 'client'") as caught:
        Key(Method(price), ignore=("clint",))
    assert isinstance(caught.value, KeyError)
    with pytest.raises(CacheError, match=r"ignore=\('client',\)"):
        Key(Method(price), ignore="client")


def test_a_default_of_none_makes_a_parameter_optional() -> None:
    def function(x: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013

    assert of(function) == of(function, None) != of(function, 1)


def test_arguments_are_bound_as_python_binds_them() -> None:
    def function(a: int, /, b: int, c: int = 3, *, d: int, e: int = 5) -> None: ...

    values = Key(Method(function)).values
    assert values(1, 2, d=4) == (1, 2, 3, 4, 5)
    assert values(1, c=0, b=2, d=4, e=6) == (1, 2, 0, 4, 6)
    for args, kwargs in [
        ((), {}),
        ((1, 2), {}),
        ((1, 2, 3, 4), {"d": 1}),
        ((1, 2), {"d": 4, "f": 1}),
        ((1, 2), {"d": 4, "b": 1}),
        ((), {"a": 1, "b": 2, "d": 4}),
    ]:
        with pytest.raises(TypeError):
            values(*args, **kwargs)


def test_a_function_without_parameters_has_one_key() -> None:
    def function() -> None: ...

    assert len(of(function)) == 32
