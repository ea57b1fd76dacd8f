"""What a cached function does, sync and async: when it is called, and what its callers get."""

import functools
import logging
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from types import FrameType
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel

from lythonic_compose.cached import (
    CacheError,
    CacheProhibitDirectCall,
    CacheRefreshPushback,
    CacheRefreshSuppressed,
    CacheStats,
    UnknownCacheKey,
    cached,
)
from lythonic_compose.signature import Method
from lythonic_state import count_statements, open_sqlite_db
from tests.compose.caches import KINDS, Clock, Source, result

MOST_CALLS = 44
"""Of Python and C functions in a hit."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache.db"


@pytest.fixture(params=KINDS)
def source(request: pytest.FixtureRequest, path: Path) -> Source:
    return Source(request.param, path)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


# --- ages -----------------------------------------------------------------------------------


async def test_a_young_result_is_served_and_the_function_not_called(source: Source) -> None:
    assert await source("A") == 1.5
    source.value = 2.5
    source.clock.passes(hours=23)
    source.chance.value = 0.0

    assert await source("A") == 1.5
    assert await source(symbol="A") == 1.5
    assert await source("B") == 2.5
    assert source.calls == ["A", "B"]


async def test_between_the_ages_chance_decides_on_a_refresh(source: Source) -> None:
    await source("A")
    source.value = 2.5
    source.clock.passes(days=2)

    source.chance.value = 0.51
    assert await source("A") == 1.5
    source.chance.value = 0.49
    assert await source("A") == 2.5
    source.chance.value = 0.0
    assert await source("A") == 2.5  # it is young again
    assert source.calls == ["A", "A"]


async def test_an_old_result_is_asked_for_again(source: Source) -> None:
    await source("A")
    source.value = 2.5
    source.clock.passes(days=3)

    assert await source("A") == 2.5
    assert source.calls == ["A", "A"]


async def test_a_failing_refresh_serves_what_was_kept(
    source: Source, caplog: pytest.LogCaptureFixture
) -> None:
    await source("A")
    source.value = ConnectionError("no route")
    source.chance.value = 0.0
    source.clock.passes(days=2)

    assert await source("A") == 1.5
    assert source.calls == ["A", "A"]
    assert "could not be refreshed" in warnings_in(caplog)[0]
    assert "no route" in warnings_in(caplog)[0]

    source.clock.passes(days=1)
    with pytest.raises(ConnectionError, match="no route"):
        await source("A")


async def test_an_exception_is_raised_and_not_kept(source: Source) -> None:
    source.value = LookupError("no such symbol")
    for _ in range(2):
        with pytest.raises(LookupError) as caught:
            await source("A")
        assert caught.value is source.value
    source.value = 1.5

    assert await source("A") == 1.5
    assert source.calls == ["A", "A", "A"]


@pytest.mark.no_cover
@pytest.mark.parametrize("kind", KINDS)
async def test_a_hit_is_one_statement_and_few_calls(kind: str, path: Path) -> None:
    source = Source(kind, path)
    for symbol in ("A", "B", "C"):
        await source(symbol)

    with count_statements() as counted:
        await source("A")
    assert len(counted) == 1

    calls = 0

    def note(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    given = source.cached
    before = sys.getprofile()
    sys.setprofile(note)
    try:
        made = given("A")
        if kind == "async":
            await made
    finally:
        sys.setprofile(before)
    assert calls <= MOST_CALLS


def test_a_stop_iteration_is_raised_as_it_is(path: Path) -> None:
    @cached(path, 1, 2)
    def first(n: int) -> int:
        return next(iter(()))

    with pytest.raises(StopIteration):
        first(1)


@pytest.mark.parametrize("kind", KINDS)
async def test_with_ages_of_zero_each_call_is_made(kind: str, path: Path) -> None:
    source = Source(kind, path, min_ttl=0, max_ttl=0)

    await source("A")
    await source("A")

    assert source.calls == ["A", "A"]


async def test_a_clock_that_was_set_back_does_not_keep_a_result_for_ever(source: Source) -> None:
    await source("A")
    source.clock.passes(hours=-1)
    await source("A")
    assert source.calls == ["A"]

    source.clock.passes(days=-30)
    await source("A")
    assert source.calls == ["A", "A"]


def test_ages_that_make_no_sense_are_refused_before_a_function_is_there(path: Path) -> None:
    with pytest.raises(CacheError, match="longer than max_ttl"):
        cached(path, 2, timedelta(hours=1))
    with pytest.raises(CacheError, match="a lease lasts some time"):
        cached(path, 1, 2, lease=timedelta(0))(lambda: None)


# --- values ---------------------------------------------------------------------------------


class Size(Enum):
    SMALL = 1


class Price(BaseModel):
    amount: Decimal
    day: date


@dataclass
class Point:
    x: float


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (None, None),
        (int | None, None),
        (Price, Price(amount=Decimal("1.50"), day=date(2026, 1, 31))),
        (list[Price], [Price(amount=Decimal(2), day=date(2026, 1, 31))]),
        (Point, Point(1.5)),
        (datetime, datetime(2026, 1, 31, tzinfo=UTC)),
        (tuple[int, str], (1, "a")),
        (set[UUID], {UUID(int=1)}),
        (dict[date, float], {date(2026, 1, 31): float("inf")}),
        (Size, Size.SMALL),
        (bytes, b"\x00\xff"),
        (Path, Path("a/b")),
        (Any, {"a": [1, None, "x"]}),
    ],
)
def test_a_served_value_is_of_the_declared_type(path: Path, annotation: Any, value: Any) -> None:
    calls: list[int] = []

    def function() -> Any:
        calls.append(1)
        return value

    function.__annotations__["return"] = annotation
    remembering = cached(path, 1, 2)(function)

    assert remembering() is value
    again = remembering()
    assert again == value
    assert type(again) is type(value)
    assert calls == [1]


def test_a_served_value_is_nobody_elses(path: Path) -> None:
    @cached(path, 1, 2)
    def numbers(n: int) -> list[int]:
        return [n]

    numbers(1)
    numbers(1).append(2)

    assert numbers(1) == [1]


class Handle:
    """Nothing that JSON could hold."""


@pytest.mark.parametrize("kind", KINDS)
async def test_a_value_that_would_not_come_back_is_returned_and_not_kept(
    kind: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(kind, path)
    source.value = Handle()

    assert await source("A") is source.value
    assert await source("A") is source.value

    assert source.calls == ["A", "A"]
    assert len(warnings_in(caplog)) == 1
    assert "would not come back" in warnings_in(caplog)[0]
    assert source.cached.stats() == CacheStats(hits=0, misses=2, entries=0)


@pytest.mark.parametrize("kind", KINDS)
async def test_arguments_without_a_key_are_passed_on(
    kind: str, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Source(kind, path)

    for _ in range(2):
        assert await source(3) == 1.5

    assert source.calls == [3, 3]
    assert warnings_in(caplog) == [
        f"{Source.__module__}:Source.__init__.<locals>."
        f"{source.cached.__name__} was called without its cache: expected str, got 3"
    ]


@pytest.mark.parametrize("kind", KINDS)
async def test_wrong_arguments_are_told_by_the_function_itself(kind: str, path: Path) -> None:
    source = Source(kind, path)

    with pytest.raises(TypeError, match=r"price\w*\(\) got an unexpected keyword argument 'day'"):
        await source("A", day=3)


# --- functions ------------------------------------------------------------------------------


def test_a_cached_function_keeps_its_face(path: Path) -> None:
    @cached(path, 1, 2)
    async def price(symbol: str, day: int = 3) -> float:
        """What it costs."""
        raise NotImplementedError

    assert price.__name__ == "price"
    assert price.__doc__ == "What it costs."
    method = Method(price)
    assert method.is_async
    assert [(arg.name, arg.annotation) for arg in method.args] == [("symbol", str), ("day", int)]
    assert method.return_annotation is float


def test_the_return_type_may_be_defined_below(path: Path) -> None:
    @cached(path, 1, 2)
    def price() -> "Later":
        return Later(3)

    @dataclass
    class Later:
        amount: int

    price()
    assert price() == Later(3)


def test_functions_of_one_name_in_two_modules_have_two_tables(path: Path) -> None:
    def made(module: str) -> Any:
        def price(symbol: str) -> str:
            return module

        price.__module__ = module
        return cached(path, 1, 2)(price)

    one, other = made("shop"), made("market")

    assert [one("A"), other("A"), one("A"), other("A")] == ["shop", "market"] * 2
    assert one.model() is not other.model()


def test_a_long_or_foreign_name_still_makes_a_table(path: Path) -> None:
    def price(symbol: str) -> int:
        return 1

    price.__qualname__ = "Preisfür_" + "x" * 200
    remembering = cached(path, 1, 2)(price)
    remembering("A")

    (table,) = [model.__table_options__["table"] for model in [remembering.model()]]
    assert len(table.encode()) <= 63
    assert table.isidentifier()


def test_parameters_may_be_called_like_anything(path: Path) -> None:
    @cached(path, 1, 2)
    def odd(
        save: int,
        cache_key: int,
        model_x: int,
        _hidden: int,
        x: int,
        X: int,  # noqa: N803  # the same column to SQLite
        select: str,
    ) -> int:
        return save + cache_key + model_x + _hidden + x + X

    assert odd(1, 2, 3, 4, 5, 6, select="a") == 21
    assert odd(1, 2, 3, 4, 5, 6, select="a") == 21
    assert odd.invalidate(X=6, cache_key=2, _hidden=4) == 1
    assert odd.stats() == CacheStats(hits=1, misses=1, entries=0)


def test_what_has_no_name_of_its_own_is_refused(path: Path) -> None:
    class Api:
        def price(self, symbol: str) -> float:
            raise NotImplementedError

        @classmethod
        def rate(cls, symbol: str) -> float:
            return 1.5

    with pytest.raises(CacheError, match=r"Api\.price is bound to one object"):
        cached(path, 1, 2)(Api().price)
    with pytest.raises(CacheError, match="has no name under which"):
        cached(path, 1, 2)(functools.partial(Api.rate, "A"))
    assert cached(path, 1, 2)(Api.rate)("A") == 1.5


@pytest.mark.parametrize("target", [":memory:", "sqlite:///cache.db", "postgresql://x/y"])
def test_a_cache_is_a_file(target: str) -> None:
    def price(symbol: str) -> float:
        raise NotImplementedError

    with pytest.raises(CacheError, match="needs a path"):
        cached(target, 1, 2)(price)


def test_what_cannot_be_a_key_is_refused_when_it_is_decorated(path: Path) -> None:
    with pytest.raises(CacheError, match="the parameter items of total is list"):

        @cached(path, 1, 2)
        def total(items: list[int]) -> int:
            raise NotImplementedError


def test_generators_are_refused(path: Path) -> None:
    with pytest.raises(CacheError, match="numbers is a generator"):

        @cached(path, 1, 2)
        def numbers(n: int) -> Iterator[int]:
            yield n


def test_a_relative_path_stays_where_it_was_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path)

    @cached("deep/down/cache.db", 1, 2)
    def price(symbol: str) -> float:
        return 1.5

    monkeypatch.chdir(tmp_path / "other")
    price("A")

    assert (tmp_path / "deep" / "down" / "cache.db").is_file()


# --- a changed signature --------------------------------------------------------------------


def test_another_key_or_return_type_is_a_miss_and_what_was_kept_stays_for_the_other(
    path: Path,
) -> None:
    def version_1(symbol: str) -> int:
        return 1

    def version_2(symbol: str, day: int = 0) -> int:
        return 2

    def version_3(symbol: str, day: str = "") -> int:
        return 3

    def version_4(symbol: str, day: str = "") -> float:
        return 4.0

    versions: list[Any] = [version_1, version_2, version_3, version_4]
    for version in versions:
        version.__qualname__ = version.__name__ = "price"
    caches = [cached(path, 1, 2)(version) for version in versions]

    assert [price("A") for price in caches] == [1, 2, 3, 4.0]
    assert [price("A") for price in caches] == [1, 2, 3, 4.0]
    assert [price.stats().hits for price in caches] == [1, 1, 1, 1]
    assert caches[0].purge() == 4  # the former tables of the same function, too


def test_a_model_with_another_field_is_another_return_type(path: Path) -> None:
    class Old(BaseModel):
        a: int

    class New(BaseModel):
        a: int
        b: int = 0

    New.__name__ = New.__qualname__ = Old.__qualname__

    def made(of: type[BaseModel], value: BaseModel) -> Any:
        def price(symbol: str) -> Any:
            return value

        price.__annotations__["return"] = of
        return cached(path, 1, 2)(price)

    made(Old, Old(a=1))("A")
    assert made(New, New(a=2, b=3))("A") == New(a=2, b=3)


# --- forgetting, and counting ---------------------------------------------------------------


def test_entries_are_rows_of_a_model_with_a_column_for_each_parameter(path: Path) -> None:
    clock = Clock()

    @cached(path, 1, 2, ignore=("client",), clock=clock)
    def price(symbol: str, day: date, size: Size | None = None, client: object = None) -> float:
        return 1.5

    price("A", date(2026, 1, 31), client=object())
    price("B", date(2026, 1, 30), Size.SMALL)

    entries: Any = price.model()
    with open_sqlite_db(path, readonly=True) as conn:
        rows = entries.select(conn, gt__day=date(2026, 1, 30))
        assert [(row.symbol, row.size, row.cached_value) for row in rows] == [("A", None, "1.5")]
        assert rows[0].cached_at == clock.now
        assert entries.select_count(conn, size=Size.SMALL) == 1


async def test_a_result_is_forgotten_by_its_arguments(source: Source) -> None:
    await source("A")
    await source("B")

    assert source.cached.invalidate(symbol="A") == 1
    assert source.cached.invalidate(symbol="C") == 0
    await source("A")
    await source("B")

    assert source.calls == ["A", "B", "A"]


def test_results_are_forgotten_by_a_part_of_their_key(path: Path) -> None:
    calls: list[tuple[str, int | None]] = []

    @cached(path, 1, 2)
    def price(symbol: str, day: int | None = None) -> float:
        calls.append((symbol, day))
        return 1.5

    for symbol in "AB":
        for day in (1, None):
            price(symbol, day)

    assert price.invalidate(day=None) == 2
    assert price.invalidate(symbol="A") == 1
    assert price.stats().entries == 1
    price("B", 1)
    assert len(calls) == 4


async def test_invalidate_names_parameters_of_the_key(source: Source) -> None:
    with pytest.raises(UnknownCacheKey, match="did you mean 'symbol'"):
        source.cached.invalidate(symbl="A")
    with pytest.raises(CacheError, match="purge"):
        source.cached.invalidate()


async def test_purge_forgets_everything_or_what_is_old(source: Source) -> None:
    await source("A")
    source.clock.passes(days=2)
    await source("B")

    assert source.cached.purge(older_than=timedelta(days=1)) == 1
    assert source.cached.stats().entries == 1
    assert source.cached.purge() == 1
    assert source.cached.purge() == 0
    with pytest.raises(CacheError, match="is an age"):
        source.cached.purge(older_than=-1)


async def test_what_is_invalidated_while_it_is_computed_is_not_kept(path: Path) -> None:
    calls: list[str] = []

    @cached(path, 1, 2)
    def price(symbol: str) -> float:
        calls.append(symbol)
        if len(calls) == 1:
            price.invalidate(symbol="A")
        return float(len(calls))

    assert [price("A"), price("A"), price("A")] == [1.0, 2.0, 2.0]


async def test_hits_and_misses_are_counted_and_outlive_the_process(
    source: Source, path: Path
) -> None:
    for symbol in "AABA":
        await source(symbol)

    assert source.cached.stats() == CacheStats(hits=2, misses=2, entries=2)
    kind = "async" if Method(source.cached).is_async else "sync"
    again = Source(kind, path)
    again.clock = source.clock
    await again("A")
    assert again.cached.stats() == CacheStats(hits=3, misses=2, entries=2)


async def test_hits_do_not_write(source: Source) -> None:
    with open_sqlite_db(source_path := _path_of(source), readonly=False) as conn:
        await source("A")
        await source("A")
        (before,) = conn.execute("PRAGMA data_version").fetchone()
        for _ in range(50):
            await source("A")
        (after,) = conn.execute("PRAGMA data_version").fetchone()

    assert before == after, source_path


async def test_a_thousand_hits_are_written_at_once(source: Source) -> None:
    await source("A")
    for _ in range(1000):
        await source("A")

    table = source.cached.model().__table_options__["table"]
    with open_sqlite_db(_path_of(source), readonly=True) as conn:
        sql = "SELECT hits, misses FROM cached_functions WHERE table_name = ?"
        ((hits, misses),) = conn.execute(sql, (table,)).fetchall()
    assert hits >= 990
    assert misses == 1


def _path_of(source: Source) -> Path:
    found: Path = source.cached.stats.__self__.file.path
    return found


# --- pushback -------------------------------------------------------------------------------


async def test_a_pushback_serves_what_was_kept_and_suppresses_calls(source: Source) -> None:
    await source("A")
    source.chance.value = 0.0
    source.clock.passes(days=1.5)
    source.value = CacheRefreshPushback(days=3)

    assert await source("A") == 1.5
    source.value = 2.5
    source.clock.passes(days=1)
    assert await source("A") == 1.5
    assert source.calls == ["A", "A"]

    source.clock.passes(days=1)  # past max_ttl, within the pushback
    with pytest.raises(CacheRefreshSuppressed, match="not to be called for a while"):
        await source("A")
    with pytest.raises(CacheRefreshSuppressed):  # nothing is kept for it at all
        await source("B")
    assert source.calls == ["A", "A"]

    source.clock.passes(days=2)
    assert await source("A") == 2.5


async def test_a_pushback_without_a_value_to_serve_is_told(source: Source) -> None:
    source.value = CacheRefreshPushback(days=1)

    with pytest.raises(CacheRefreshSuppressed) as caught:
        await source("A")
    assert caught.value.__cause__ is source.value


def test_a_pushback_by_prefix_reaches_what_stands_below(path: Path) -> None:
    clock, calls = Clock(), []

    def made(name: str, error: Exception | None) -> Any:
        def function(symbol: str) -> float:
            calls.append(name)
            if error is not None:
                raise error
            return 1.5

        function.__module__, function.__qualname__ = name.split(":")
        return cached(path, 1, 2, clock=clock)(function)

    limited = made("market.data:fetch", CacheRefreshPushback(timedelta(hours=1), "market"))
    beside, elsewhere = made("market:price", None), made("markets:price", None)

    with pytest.raises(CacheRefreshSuppressed):
        limited("A")
    with pytest.raises(CacheRefreshSuppressed):
        beside("A")
    assert elsewhere("A") == 1.5
    clock.passes(hours=1)
    assert beside("A") == 1.5
    assert calls == ["market.data:fetch", "markets:price", "market:price"]


@pytest.mark.parametrize("days", [0, -1, True, "1", float("nan")])
def test_a_pushback_is_for_a_positive_time(days: Any) -> None:
    with pytest.raises(CacheError, match="positive number of days"):
        CacheRefreshPushback(days)


# --- direct calls ---------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
async def test_a_function_may_refuse_calls_around_its_cache(kind: str, path: Path) -> None:
    def price(symbol: str) -> float:
        CacheProhibitDirectCall.require()
        return 1.5

    async def price_async(symbol: str) -> float:
        CacheProhibitDirectCall.require()
        return 1.5

    direct: Any = price if kind == "sync" else price_async
    through = cached(path, 1, 2)(direct)

    @cached(path, 1, 2)
    async def other(symbol: str) -> float:
        return float(await result(direct(symbol)))

    assert await result(through("A")) == 1.5
    with pytest.raises(CacheProhibitDirectCall, match=r"price\w* is only to be called through"):
        await result(direct("A"))
    with pytest.raises(CacheProhibitDirectCall):  # another's cache is not its own
        await other("A")
    assert isinstance(CacheProhibitDirectCall(), CacheError)


def test_a_decorated_function_is_still_called_through_its_cache(path: Path) -> None:
    def logged(function: Any) -> Any:
        @functools.wraps(function)
        def wrapper(*args: Any) -> Any:
            return function(*args)

        return wrapper

    @cached(path, 1, 2)
    @logged
    def price(symbol: str) -> float:
        CacheProhibitDirectCall.require()
        return 1.5

    assert price("A") == 1.5
