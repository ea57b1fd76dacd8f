"""Values as payloads: one for each content, and what is not kept at all."""

import json
from datetime import date
from typing import Annotated, Any

import pytest
from pydantic import SecretStr

from lythonic_compose import Dag
from lythonic_compose.context import Secret
from lythonic_compose.dag_provenance.payloads import (
    given_text,
    inputs_of,
    is_small,
    payload_of,
)
from lythonic_compose.values import encode


def test_equal_content_is_one_payload_and_other_types_are_others() -> None:
    assert payload_of(1, int, "a") == payload_of(1, int, "b")
    kept = payload_of([1], list[int], "a")
    assert (kept.text, kept.restorable, kept.type_name) == encode([1], list[int])
    hashes = {
        payload.payload_hash
        for payload in (
            payload_of(1, int, "it"),
            payload_of(True, bool, "it"),
            payload_of(1.0, float, "it"),
            payload_of("1", str, "it"),
            given_text("1"),
        )
    }
    assert len(hashes) == 5


@pytest.mark.parametrize(
    ("value", "annotation"),
    [
        ("hunter2", Annotated[str, Secret()]),
        (SecretStr("hunter2"), SecretStr),
        (["hunter2"], list[Annotated[str, Secret()]]),
    ],
)
def test_a_secret_output_is_not_kept(value: Any, annotation: Any) -> None:
    payload = payload_of(value, annotation, "it")

    assert "hunter2" not in payload.text
    assert not payload.restorable


def fetch(url: str, token: Annotated[str, Secret()], day: date, password: SecretStr) -> str:
    return url


def test_secret_inputs_are_left_out_and_listed() -> None:
    dag = Dag()
    dag.node(fetch)
    given = {
        "url": "u",
        "token": "hunter2",
        "day": date(2026, 1, 31),
        "password": SecretStr("hunter3"),
    }

    inputs = inputs_of({"fetch": given}, dag.plan())

    assert json.loads(inputs.content.text) == {"fetch": {"url": "u", "day": "2026-01-31"}}
    assert inputs.withheld == ["fetch.token", "fetch.password"]
    assert not inputs.content.restorable


def test_inputs_that_do_not_come_back_are_shown_and_listed() -> None:
    def count(items: Any) -> int:
        return len(items)

    dag = Dag()
    dag.node(count)

    inputs = inputs_of({"count": {"items": (1, 2)}}, dag.plan())

    assert json.loads(inputs.content.text) == {"count": {"items": [1, 2]}}
    assert inputs.withheld == ["count.items"]


def test_what_is_small_is_guessed_without_serialising() -> None:
    assert is_small({"a": [1, "b", date(2026, 1, 31), None]})
    assert not is_small("x" * 100_000)
    assert not is_small([[1]] * 5000)
    assert not is_small(10**1_000_000)
