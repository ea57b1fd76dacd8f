"""What is certain of values, seen from pydantic's schema of their type."""

from typing import Any

import pytest

from lythonic_compose.exactness import DEEPEST, is_plain_json, surely


@pytest.mark.parametrize("kind", ["int", "str", "float", "bool", "none", "bytes", "date", "uuid"])
def test_a_plain_class_is_certain(kind: str) -> None:
    assert surely({"type": kind}) is not None


@pytest.mark.parametrize(
    "schema",
    [
        {"type": "int", "new_setting": True},
        {"type": "str", "min_length": 1},
        {"type": "str", "serialization": {"type": "to-string"}},
        {"type": "new-type"},
        {"type": "list", "items_schema": {"type": "new-type"}},
        {"type": "function-after", "schema": {"type": "int"}},
        {"type": "union", "choices": [{"type": "date"}, {"type": "str"}]},
        {"type": "dict", "keys_schema": {"type": "float"}, "values_schema": {"type": "int"}},
    ],
)
def test_a_schema_that_says_more_than_is_known_here_is_not_certain(schema: Any) -> None:
    assert surely(schema) is None


def test_being_of_a_subclass_is_not_certain() -> None:
    class Name(str):
        __slots__ = ()

    check = surely({"type": "list", "items_schema": {"type": "str"}})

    assert check is not None
    assert check(["a"])
    assert not check(["a", Name("b")])
    assert not check(("a",))


def test_a_value_that_contains_itself_is_not_certain() -> None:
    circle: list[Any] = []
    circle.append(circle)
    check = surely({"type": "any"})

    assert check is not None
    assert not check(circle)


def test_plain_json_is_what_reading_json_makes() -> None:
    assert is_plain_json([1, "a", None, True, 1.5, [], {"a": [{}]}])
    assert not is_plain_json([(1,)])
    assert not is_plain_json([{"a": {1: 2}}])
    assert not is_plain_json([{"a": [b""]}])


def test_what_is_nested_more_deeply_than_json_is_read_is_not_certain() -> None:
    tower: list[Any] = []
    for _ in range(DEEPEST - 1):
        tower = [tower]

    assert is_plain_json(tower)
    assert not is_plain_json([tower])
