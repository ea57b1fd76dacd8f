"""What tells whether code, or a value, is what it was."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from typing import Any

import pytest

from lythonic_compose.linear.identity import code_of, digest, fingerprint, same


@dataclass
class Cleaner:
    window: int

    def clean(self, rows: list[int]) -> list[int]:
        return rows[: self.window]

    def __call__(self, rows: list[int]) -> list[int]:
        return rows[: self.window]


def made_of(text: str, **names: Any) -> Callable[..., Any]:
    """A function without source."""
    exec(text, names)
    found: Callable[..., Any] = names["f"]
    return found


def add(a: int, b: int = 1) -> int:
    return a + b


SAME: list[Callable[[], Any]] = [
    lambda: add,
    lambda: functools.partial(add, b=2),
    lambda: functools.partial(add, b=[2]),
    lambda: Cleaner(3).clean,
    lambda: Cleaner(3),
    lambda: made_of("def f(x): return x + 1 if x in {1, 2, 'a', 'b'} else 0"),
    lambda: len,
    lambda: dict.fromkeys,
    lambda: Cleaner,
]


@pytest.mark.parametrize("make", SAME)
def test_the_same_code_is_the_same(make: Callable[[], Any]) -> None:
    assert code_of(make()) == code_of(make())


def test_other_code_is_other_code() -> None:
    different = [
        *(make() for make in SAME),
        functools.partial(add, b=3),
        functools.partial(add, b=[3]),
        Cleaner(4).clean,
        made_of("def f(x): return x + 2 if x in {1, 2, 'a', 'b'} else 0"),
        made_of("def f(x): return (lambda: x + 2)()"),
        made_of("def f(x): return (lambda: x + 3)()"),
        max,
    ]

    codes = [code_of(each) for each in different]
    assert len(set(codes)) == len(codes)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 1.0),
        (1, True),
        ("1", 1),
        ((1, 2), [1, 2]),
        (date(2026, 1, 31), "2026-01-31"),
        (Cleaner(3), Cleaner(4)),
        ({1: 2}, {"1": 2}),
        (float("nan"), float("inf")),
    ],
)
def test_different_values_have_different_fingerprints(one: Any, other: Any) -> None:
    assert fingerprint(one) != fingerprint(other)
    assert fingerprint(one) is not None
    assert not same(one, other)
    assert same(one, one)


def test_what_cannot_be_told_has_no_fingerprint() -> None:
    generator = (x for x in [1])

    assert fingerprint(generator) is None
    assert not same(generator, (x for x in [1]))


def test_parts_of_a_digest_do_not_run_into_each_other() -> None:
    assert digest("ab", "c") != digest("a", "bc")
    assert digest("a") == digest(b"a")
