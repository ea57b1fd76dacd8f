"""Which inputs of a run do texts from a command line mean?"""

from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, Optional
from uuid import UUID

import pytest
from pydantic import BaseModel, SecretStr

from lythonic_compose import Dag, DagError, Secret
from lythonic_compose.lyth.inputs import (
    check_all_given,
    inputs_of_json,
    inputs_of_texts,
    together,
    value_of_text,
)


class Colour(Enum):
    RED = "red"


class Price(BaseModel):
    item: str
    cents: int


class Unknowable:
    """A class that pydantic can only compare by its type."""


def fetch(url: str, limit: int = 10) -> str:
    raise AssertionError("nothing runs here")


def parse(page: str, day: date, limit: int = 3) -> list[str]:
    raise AssertionError("nothing runs here")


def inner(item: str, width: int = 80) -> str:
    raise AssertionError("nothing runs here")


@pytest.fixture
def dag() -> Dag:
    part = Dag()
    part.node(inner)
    made = Dag()
    made.node(fetch) >> made.node(parse) >> made.map(part, "parts")
    return made


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (str, "5", "5"),
        (str, "", ""),
        (int, "5", 5),
        (float, "inf", float("inf")),
        (bool, "yes", True),
        (bool, "false", False),
        (date, "2026-01-31", date(2026, 1, 31)),
        (timedelta, "PT90S", timedelta(seconds=90)),
        (Decimal, "1.10", Decimal("1.10")),
        (UUID, "12345678-1234-5678-1234-567812345678", UUID("12345678123456781234567812345678")),
        (Path, "/tmp/a b", Path("/tmp/a b")),
        (Colour, "red", Colour.RED),
        (Literal["fast", "slow"], "fast", "fast"),
        (Literal[1, 2], "2", 2),
        (Optional[int], "null", None),  # noqa: UP045 - as old code writes it
        (int | None, "7", 7),
        (str | None, "null", "null"),
        (list[int], "[1, 2]", [1, 2]),
        (set[str], '["a"]', {"a"}),
        (dict[str, float], '{"a": 0.5}', {"a": 0.5}),
        (Price, '{"item": "pear", "cents": 110}', Price(item="pear", cents=110)),
        (list[Price], '[{"item": "fig", "cents": 1}]', [Price(item="fig", cents=1)]),
        (int | list[int], "[1]", [1]),
        (SecretStr, "hidden", SecretStr("hidden")),
        (Annotated[str, Secret()], "hidden", "hidden"),
        (Any, '{"a": 1}', {"a": 1}),
        (Any, "plain words", "plain words"),
    ],
)
def test_a_text_becomes_a_value_of_the_parameter_s_type(
    annotation: Any, text: str, value: Any
) -> None:
    found = value_of_text(annotation, text)

    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("annotation", "text", "said"),
    [
        (int, "many", "it is to be int, got 'many' (Input should be a valid integer"),
        (date, "31.1.", "it is to be date, got '31.1.'"),
        (list[int], "1,2", "lists, dicts and models are given as JSON"),
        (list[int], '[1, "x"]', "[1] Input should be a valid integer"),
        (Price, '{"item": "pear"}', "['cents'] Field required"),
        (Unknowable, "x", "it is to be Unknowable"),
        (str, "x" * 5, None),
        (int, "9" * 80 + "x", "…'"),
    ],
)
def test_a_text_that_is_none_is_refused_with_the_type_and_the_reason(
    annotation: Any, text: str, said: str | None
) -> None:
    if said is None:
        assert value_of_text(annotation, text) == text
        return
    with pytest.raises(DagError) as caught:
        value_of_text(annotation, text)
    assert said in str(caught.value)


def test_inputs_are_given_by_node_or_where_one_node_takes_them_by_parameter(dag: Dag) -> None:
    given = inputs_of_texts(
        dag.plan(), ["fetch.url=http://a?b=c", "parse.limit=5", "day=2026-01-31", "parts.width=3"]
    )

    assert given == {
        "fetch": {"url": "http://a?b=c"},
        "parse": {"limit": 5, "day": date(2026, 1, 31)},
        "parts/inner": {"width": 3},
    }


def test_everything_wrong_with_inputs_is_said_at_once(dag: Dag) -> None:
    with pytest.raises(DagError) as caught:
        inputs_of_texts(
            dag.plan(),
            [
                *("limit=1", "fetch.url", "fetsh.url=x", "fetch.ulr=x", "page=x", "fetch=x"),
                *("fetch.limit=1", "fetch.limit=2", "ulr=x"),
            ],
        )

    assert caught.value.problems == (
        "--input limit: several nodes take 'limit': say fetch.limit or parse.limit",
        "--input fetch.url: write it as node.parameter=value",
        "--input fetsh.url: there is no node 'fetsh'; did you mean 'fetch'?",
        "--input fetch.ulr: fetch takes no parameter 'ulr'; did you mean 'url'?",
        "--input page: no input 'page': parse.page is fed by an edge",
        "--input fetch: 'fetch' is a node: give its parameters, as fetch.parameter=…",
        "--input fetch.limit: fetch.limit is given twice",
        "--input ulr: nothing takes the input 'ulr'; did you mean 'url'?",
    )


def test_inputs_come_as_json_by_node_or_by_parameter(dag: Dag) -> None:
    text = '{"fetch": {"url": "http://a", "limit": 2}, "day": "2026-01-31", "parts.width": 3}'

    assert inputs_of_json(dag.plan(), text, "in.json") == {
        "fetch": {"url": "http://a", "limit": 2},
        "parse": {"day": date(2026, 1, 31)},
        "parts/inner": {"width": 3},
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "in.json is no JSON: "),
        (b"\xff\xfe\xff", "in.json is no JSON: "),
        ("[1]", "in.json: inputs are an object by node"),
        ('{"fetch": {"url": 5}}', "in.json: fetch.url: it is to be str, got '5'"),
        ('{"fetch": {"ulr": 5}}', "in.json: fetch.ulr: fetch takes no parameter 'ulr'"),
        ('{"fetch.limit": 1, "fetch": {"limit": 1}}', "fetch.limit is given twice"),
    ],
)
def test_json_that_makes_no_sense_is_refused_with_its_place(
    dag: Dag, text: str | bytes, said: str
) -> None:
    with pytest.raises(DagError) as caught:
        inputs_of_json(dag.plan(), text, "in.json")
    assert said in str(caught.value)


def test_of_two_inputs_for_one_parameter_the_latter_counts() -> None:
    file = {"fetch": {"url": "a", "limit": 1}}

    assert together(file, {"fetch": {"url": "b"}, "parse": {"limit": 2}}) == {
        "fetch": {"url": "b", "limit": 1},
        "parse": {"limit": 2},
    }


def test_what_is_missing_is_said_as_somebody_at_a_terminal_gives_it(dag: Dag) -> None:
    check_all_given(dag.plan(), {"fetch": {"url": "a"}, "parse": {"day": date(2026, 1, 31)}})
    with pytest.raises(DagError) as caught:
        check_all_given(dag.plan(), {})
    assert caught.value.problems == (
        "the input 'url' of fetch is missing (str); give --input fetch.url=…",
        "the input 'day' of parse is missing (date); give --input parse.day=…",
    )


def test_parameters_without_annotation_take_json_or_else_the_text() -> None:
    def loose(value, times=1):  # type: ignore[no-untyped-def]
        raise AssertionError("nothing runs here")

    untyped: Callable[..., Any] = loose
    dag = Dag()
    dag.node(untyped)

    assert inputs_of_texts(dag.plan(), ["value=3", "times=x"]) == {
        "loose": {"value": 3, "times": "x"}
    }
