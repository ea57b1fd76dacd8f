"""Nodes: which names fit a function, and what is said when they do not."""

import functools
import re
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy
import pytest

from lythonic_compose import DagError, WiringError, WrongKind
from lythonic_compose.linear import Node, create_named_partial_function
from lythonic_compose.signature import MISSING


def add(a: int, b: int) -> int:
    return a + b


def split(x: int) -> tuple[int, str]:
    return x, str(x)


def scaled(x: int, *, factor: int) -> int:
    return x * factor


def total(*numbers: int) -> int:
    return sum(numbers)


class Halves(NamedTuple):
    left: list[int]
    right: list[int]


def halves(x: list[int]) -> Halves:
    return Halves(x[: len(x) // 2], x[len(x) // 2 :])


@pytest.mark.parametrize(
    ("func", "inputs", "outputs", "data", "made"),
    [
        (add, ["x", "y"], ["sum"], {"x": 2, "y": 3}, {"sum": 5}),
        (split, ["x"], ["number", "text"], {"x": 4}, {"number": 4, "text": "4"}),
        (split, ["x"], ["both"], {"x": 4}, {"both": (4, "4")}),
        (add, ["x", "x"], [], {"x": 1}, {}),
        (scaled, ["x", "by"], ["y"], {"x": 2, "by": 3}, {"y": 6}),
        (total, ["x", "y", "z"], ["sum"], {"x": 1, "y": 2, "z": 3}, {"sum": 6}),
        (halves, ["x"], ["a", "b"], {"x": [1, 2]}, {"a": [1], "b": [2]}),
        (max, ["x", "y"], ["most"], {"x": 2, "y": 3}, {"most": 3}),
        (functools.partial(add, b=2), ["x"], ["sum"], {"x": 1}, {"sum": 3}),
        (functools.partial(add, a=2), ["x"], ["sum"], {"x": 1}, {"sum": 3}),
    ],
)
def test_inputs_go_to_parameters_in_their_order_and_outputs_get_what_is_returned(
    func: Callable[..., Any],
    inputs: list[str],
    outputs: list[str],
    data: dict[str, Any],
    made: dict[str, Any],
) -> None:
    assert Node(func, inputs, outputs).run(data) == made


def test_several_outputs_may_be_an_array() -> None:
    def rows(x: int) -> Any:
        return numpy.ones((2, x))

    found = Node(rows, ["x"], ["a", "b"]).run({"x": 3})

    assert [len(found[name]) for name in "ab"] == [3, 3]


def test_the_types_of_outputs_are_those_that_are_declared() -> None:
    def anything(x: int) -> Any: ...

    def many(x: int) -> tuple[float, ...]:
        return (0.0, float(x))

    assert Node(split, ["x"], ["a", "b"]).hints == {"a": int, "b": str}
    assert Node(halves, ["x"], ["a", "b"]).hints == {"a": list[int], "b": list[int]}
    assert Node(many, ["x"], ["a", "b"]).hints == {"a": float, "b": float}
    assert Node(anything, ["x"], ["a", "b"]).hints == {"a": MISSING, "b": MISSING}
    assert Node(anything, ["x"], []).hints == {}


def three(x: int) -> tuple[int, int, int]:
    return x, x, x


WRONG = [
    (add, ["x"], ["y"], "add takes a, b, and has no input for b: [x]; give one name for each"),
    (add, ["x", "y", "z"], ["s"], "add takes a, b, and has 3 inputs: [x, y, z]"),
    (three, ["x"], ["a", "b"], "has 2 outputs (a, b), and is declared to return 3 values"),
    (add, ["x", "y"], ["a", "b"], "declared to return int; declare a tuple of 2"),
    (add, ["x", "y"], ["s", "s"], "add has the output s twice"),
    (add, ["x", "y"], ["config.s"], "'config.s', and names with config are looked up"),
]


@pytest.mark.parametrize(("func", "inputs", "outputs", "message"), WRONG)
def test_names_that_do_not_fit_the_function_are_refused(
    func: Callable[..., Any], inputs: list[str], outputs: list[str], message: str
) -> None:
    with pytest.raises(DagError, match=re.escape(message)):
        Node(func, inputs, outputs)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((3, ["x"], ["y"]), "expected a function"),
        ((add, "xy", ["z"]), "add: inputs='xy': write a list of names"),
        ((add, ["x", "y"], "z"), "add: outputs='z': write a list of names"),
        ((add, ["x", 1], ["z"]), "add: inputs has 1"),
    ],
)
def test_what_is_no_function_and_no_list_of_names_is_refused(arguments: Any, message: str) -> None:
    with pytest.raises(WrongKind, match=re.escape(message)):
        Node(*arguments)


@pytest.mark.parametrize(
    ("returned", "told"),
    [((1, 2, 3), "3 values"), ([1], "1 values"), ("ab", "one of type str"), (7, "of type int")],
)
def test_another_number_of_values_than_of_outputs_is_told_of(returned: Any, told: str) -> None:
    node = Node(lambda: returned, [], ["a", "b"])

    with pytest.raises(WiringError, match=rf"has 2 outputs \(a, b\) and returned {told}|{told}"):
        node.run({})


def test_a_missing_input_of_one_node_is_told_of() -> None:
    with pytest.raises(DagError, match="add takes y"):
        Node(add, ["x", "y"], ["sum"]).run({"x": 1})


def test_a_named_partial_refuses_what_its_function_does_not_take() -> None:
    made = create_named_partial_function(scaled, "doubled", factor=2)

    assert (made.__name__, made(4)) == ("doubled", 8)
    with pytest.raises(DagError, match="scaled has no parameter factr; it takes x and factor"):
        create_named_partial_function(scaled, "doubled", factr=2)
    with pytest.raises(WrongKind, match="a name is text"):
        create_named_partial_function(scaled, "")
