"""Values as text: what comes back exactly, and what is only there to be looked at."""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Any, TypedDict
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr

from lythonic_compose.dag_provenance.payloads import given_text, payload_of, storable
from lythonic_compose.fit import adapter_of
from lythonic_compose.signature import MISSING


class Colour(Enum):
    RED = "r"


class Price(BaseModel):
    amount: Decimal
    day: date


class Discount(Price):
    percent: int


@dataclass
class Point:
    x: int


class Row(TypedDict):
    day: date


DAY = date(2026, 1, 31)


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        (1, int),
        (None, type(None)),
        (float("inf"), float),
        ([float("nan"), 1.5], list[float]),
        (b"\x00\xff", bytes),
        ("\0 and ü", str),
        (DAY, date),
        (datetime(2026, 1, 31, 9, tzinfo=UTC), datetime),
        (timedelta(days=3, microseconds=7), timedelta),
        (Decimal("1.10"), Decimal),
        (UUID(int=7), UUID),
        (Path("a/b"), Path),
        (Colour.RED, Colour),
        ((1, "x"), tuple[int, str]),
        ({1, 2}, set[int]),
        ({DAY: [Price(amount=Decimal("1.10"), day=DAY)]}, dict[date, list[Price]]),
        (Point(3), Point),
        ({"day": DAY}, Row),
        ({"a": [1, {"b": None}]}, dict[str, Any]),
        ({"a": 1}, dict),
    ],
)
def test_a_value_comes_back_exactly_through_its_declared_type(value: Any, annotation: Any) -> None:
    payload = payload_of(value, annotation, "it")

    assert payload.restorable
    adapter = adapter_of(annotation)
    assert adapter is not None
    back = adapter.validate_json(payload.text)
    assert type(back) is type(value)
    assert back == value or repr(back) == repr(value)  # NaN is not equal to itself


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        ((1, 2), MISSING),
        ([(1, 2)], list[Any]),
        (Discount(amount=Decimal(1), day=DAY, percent=5), Price),
        ("text", int),
        ({1: "one"}, dict[Any, str]),
        (Decimal("1.0"), Any),
    ],
)
def test_what_loses_its_type_on_the_way_is_kept_but_not_said_to_come_back(
    value: Any, annotation: Any
) -> None:
    payload = payload_of(value, annotation, "it")

    assert not payload.restorable
    json.loads(payload.text)


def test_a_subclass_is_kept_with_all_its_fields() -> None:
    payload = payload_of(Discount(amount=Decimal(1), day=DAY, percent=5), Price, "it")

    assert json.loads(payload.text)["percent"] == 5
    assert payload.type_name == f"{__name__}:Discount"


def test_what_cannot_be_serialised_is_kept_as_its_repr_with_a_warning(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Handle:
        def __repr__(self) -> str:
            return "<handle \0\ud800>"

    with caplog.at_level(logging.WARNING, "lythonic_compose"):
        payload = payload_of(Handle(), Handle, "what open returned")

    assert not payload.restorable
    assert json.loads(payload.text) == "<handle \\0\\ud800>"
    assert "what open returned cannot be serialised" in caplog.text


def test_a_repr_that_raises_does_no_harm() -> None:
    class Nasty:
        def __repr__(self) -> str:
            raise LookupError

    assert "whose repr raises LookupError" in payload_of(Nasty(), MISSING, "it").text


def test_an_iterator_is_not_consumed() -> None:
    numbers = iter([1, 2])

    assert not payload_of(numbers, Iterator[int], "it").restorable
    assert list(numbers) == [1, 2]


def test_a_secret_is_not_in_the_text() -> None:
    class Login(BaseModel):
        password: SecretStr

    payload = payload_of(Login(password=SecretStr("hunter2")), Login, "it")

    assert "hunter2" not in payload.text
    assert not payload.restorable


def test_equal_content_is_one_payload_and_other_types_are_others() -> None:
    assert payload_of(1, int, "a") == payload_of(1, int, "b")
    hashes = {
        payload.payload_hash
        for payload in (
            payload_of(1, int, "it"),
            payload_of(True, bool, "it"),
            given_text("1"),
        )
    }
    assert len(hashes) == 3


@given(st.text(st.characters()))
def test_any_text_can_be_made_storable(text: str) -> None:
    made = storable(text)

    assert "\0" not in made
    made.encode()
