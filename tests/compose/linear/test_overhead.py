"""What a plain run does beyond the calls themselves, in calls."""

import sys
from types import FrameType
from typing import Any

import pytest

from lythonic_compose.linear import Node, Pipeline


def add_one(value: int) -> int:
    return value + 1


def calls_of(pipeline: Pipeline) -> int:
    """How many functions are called in one run, those of Python and those of C."""
    count = 0

    def note(frame: FrameType, event: str, arg: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(note)
    try:
        pipeline.run()
    finally:
        sys.setprofile(before)
    return count


def trivial(nodes: int) -> Pipeline:
    return Pipeline([Node(add_one, [f"n{at}"], [f"n{at + 1}"]) for at in range(nodes)], n0=0)


@pytest.mark.no_cover
def test_a_plain_run_calls_nothing_but_the_functions_of_its_nodes() -> None:
    ten, twenty = trivial(10), trivial(20)
    assert (ten.run()["n10"], twenty.run()["n20"]) == (10, 20)
    assert calls_of(twenty) - calls_of(ten) == 10
    assert calls_of(ten) <= 2 * 10
