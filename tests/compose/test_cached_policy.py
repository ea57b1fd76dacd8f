"""Which ages are served, refreshed or called for: values in, decisions out."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lythonic_compose.cached.policy import Ttl, moment, stands_below, ttl
from lythonic_compose.errors import CacheError

DAY = 86_400.0


@pytest.mark.parametrize(
    ("age", "chance", "decision"),
    [
        (None, 0.0, "call"),
        (0.0, 0.0, "serve"),
        (9.9, 0.0, "serve"),
        (10.0, 0.0, "serve"),  # the probability is 0 at min_ttl itself
        (15.0, 0.24, "refresh"),
        (15.0, 0.25, "serve"),
        (20.0, 0.49, "refresh"),
        (20.0, 0.5, "serve"),
        (29.9, 0.99, "refresh"),
        (30.0, 0.999, "call"),
        (1e9, 0.999, "call"),
    ],
)
def test_between_the_ages_the_chance_of_a_refresh_grows(
    age: float | None, chance: float, decision: str
) -> None:
    assert Ttl(10, 30).decide(age, chance) == decision


def test_a_value_from_the_future_counts_as_old_as_it_is_far_away() -> None:
    ages = Ttl(10, 30)

    assert ages.decide(-5, 0.0) == "serve"
    assert ages.decide(-20, 0.1) == "refresh"
    assert ages.decide(-31, 0.9) == "call"


def test_with_ages_of_zero_everything_is_called_for() -> None:
    assert Ttl(0, 0).decide(0.0, 0.99) == "call"


def test_with_equal_ages_nothing_is_refreshed_by_chance() -> None:
    assert Ttl(5, 5).decide(4.99, 0.0) == "serve"
    assert Ttl(5, 5).decide(5.0, 0.99) == "call"


def test_what_never_grows_old_is_always_served() -> None:
    assert ttl(math.inf, math.inf).decide(1e12, 0.0) == "serve"
    assert ttl(0, math.inf).decide(1e12, 0.0) == "serve"


@given(
    ages=st.tuples(st.floats(0, 1e9), st.floats(0, 1e9)).map(sorted),
    age=st.floats(0, 1e9),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_an_older_value_is_never_served_where_a_younger_one_is_not(
    ages: list[float], age: float, chance: float
) -> None:
    order = ["serve", "refresh", "call"]
    low, high = ages
    decide = Ttl(low, high).decide

    assert order.index(decide(age, chance)) <= order.index(decide(age * 1.01 + 1, chance))


def test_numbers_are_days_and_a_timedelta_is_itself() -> None:
    assert ttl(0.5, timedelta(days=2)) == Ttl(DAY / 2, 2 * DAY)


@pytest.mark.parametrize(
    ("low", "high", "problem"),
    [
        (2, 1, "min_ttl=2 is longer than max_ttl=1"),
        (-1, 1, "min_ttl is an age from 0 on, not -1"),
        (0, math.nan, "max_ttl is an age from 0 on, not nan"),
        ("1", 2, "min_ttl is a number of days or a timedelta, not '1'"),
        (0, True, "max_ttl is a number of days or a timedelta, not True"),
    ],
)
def test_ages_that_make_no_sense_are_refused(low: Any, high: Any, problem: str) -> None:
    with pytest.raises(CacheError, match=problem) as caught:
        ttl(low, high)
    assert isinstance(caught.value, ValueError)


def test_a_moment_beyond_the_calendar_is_its_end() -> None:
    now = datetime(2026, 1, 31, tzinfo=UTC)

    assert moment(now, 60) == now + timedelta(minutes=1)
    assert moment(now, 1e300) == datetime.max.replace(tzinfo=UTC)
    assert moment(now, -1e12) == datetime.min.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "prefix", "below"),
    [
        ("market:price", "market", True),
        ("market.data:price", "market", True),
        ("market.data:price", "market.data:", True),
        ("market:price", "market:price", True),
        ("markets:price", "market", False),
        ("market:price", "market:pri", False),
    ],
)
def test_a_prefix_ends_where_a_name_does(name: str, prefix: str, below: bool) -> None:
    assert stands_below(name, prefix) is below
