"""Pipelines: which object reaches which node, what is refused, and what becomes of the objects."""

import asyncio
import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from lythonic_compose import (
    CacheError,
    DagError,
    Retry,
    RunFailed,
    UnknownName,
    WiringError,
    WrongKind,
)
from lythonic_compose.linear import Node, Pipeline
from lythonic_compose.linear.described import OPTIONS


def add(a: int, b: int) -> int:
    return a + b


def append(values: list[int], value: int) -> list[int]:
    values.append(value)
    return values


def count(values: list[int]) -> int:
    return len(values)


Engine = Callable[[Pipeline], Any]
ENGINES: list[Engine] = [
    lambda pipeline: pipeline.run(),
    lambda pipeline: pipeline.run(progress=lambda event: None),
    lambda pipeline: asyncio.run(pipeline.run_async()),
]


@pytest.fixture(params=range(3), ids=["loop", "engine", "async"])
def run(request: pytest.FixtureRequest) -> Engine:
    """Runs a pipeline twice, in each way that there is; the loop is another one the second time."""

    def twice(pipeline: Pipeline) -> Any:
        first = ENGINES[request.param](pipeline)
        second = ENGINES[request.param](pipeline)
        assert first.outputs == second.outputs
        assert tuple(first.ran) == tuple(second.ran)
        return second

    return twice


# what reaches a node


def test_no_node_can_alter_what_another_gets(run: Engine) -> None:
    result = run(
        Pipeline(
            [
                Node(append, ["values", "one"], ["longer"]),
                Node(append, ["longer", "one"], ["longest"]),
                Node(count, ["longer"], ["of_longer"]),
                Node(count, ["values"], ["of_values"]),
                Node(count, ["longest"], ["of_longest"]),
            ],
            values=[1, 2],
            one=1,
        )
    )

    assert result.outputs == {"of_longer": 3, "of_values": 2, "of_longest": 4}


def test_constants_and_the_configuration_are_those_of_the_beginning(run: Engine) -> None:
    values, config = [1], {"deep": {"more": [2]}}
    pipeline = Pipeline(
        [
            Node(append, ["values", "one"], ["a"]),
            Node(append, ["config.deep.more", "one"], ["b"]),
        ],
        config=config,
        values=values,
        one=1,
    )
    values.append(9)
    config["deep"]["more"].append(9)

    assert run(pipeline).outputs == {"a": [1, 1], "b": [2, 1]}


def test_what_cannot_be_copied_is_handed_on_as_it_is(run: Engine) -> None:
    lock = threading.Lock()

    def held(lock: Any) -> Any:
        return lock

    assert run(Pipeline([Node(held, ["lock"], ["same"])], lock=lock))["same"] is lock


class Model(BaseModel):
    depth: int = 3


@dataclass
class Settings:
    depth: int = 3


class Plain:
    depth = 3


@pytest.mark.parametrize(
    "inner", [{"depth": 3}, Model(), Settings(), Plain(), Plain, SimpleNamespace(depth=3)]
)
@pytest.mark.parametrize("wrapped", [dict, lambda **parts: SimpleNamespace(**parts)])
def test_the_configuration_is_looked_up_by_attribute_or_key(inner: Any, wrapped: Any) -> None:
    def seen(whole: Any, depth: int) -> int:
        inner = whole["inner"] if isinstance(whole, dict) else whole.inner
        return depth + (inner["depth"] if isinstance(inner, dict) else inner.depth)

    config = wrapped(inner=inner)
    pipeline = Pipeline([Node(seen, ["config", "config.inner.depth"], ["seen"])], config=config)

    assert pipeline.run()["seen"] == 6


def test_functions_that_are_awaited_are_nodes_too(run: Engine) -> None:
    async def fetched(x: int) -> int:
        await asyncio.sleep(0)
        return x + 1

    pipeline = Pipeline([Node(fetched, ["x"], ["y"]), Node(add, ["x", "y"], ["sum"])], x=1)

    assert run(pipeline)["sum"] == 3


def test_several_outputs_are_taken_one_by_one(run: Engine) -> None:
    def split(x: int) -> tuple[int, str]:
        return x, str(x)

    def joined(text: str, more: int, x: int) -> str:
        return text + str(more) + str(x)

    result = run(
        Pipeline(
            [
                Node(split, ["x"], ["number", "text"]),
                Node(split, ["number"], ["more", "other"]),
                Node(joined, ["text", "more", "x"], ["joined"]),
            ],
            x=1,
        )
    )

    assert result.outputs == {"other": "1", "joined": "111"}


def test_nodes_stay_in_their_order_without_anything_between_them(run: Engine) -> None:
    calls: list[str] = []

    def noted(name: str) -> Callable[[], None]:
        def note() -> None:
            calls.append(name)

        return note

    run(Pipeline([Node(noted(name), [], []) for name in "abcde"]))

    assert calls == list("abcde") * 2


def test_the_same_function_twice_has_two_labels(run: Engine) -> None:
    pipeline = Pipeline(
        [Node(add, ["x", "y"], ["s"]), Node(add, ["s", "y"], ["t"]), Node(add, ["t", "t"], ["u"])],
        x=1,
        y=2,
    )

    assert pipeline.node_order == ["add", "add_2", "add_3"]
    assert pipeline.nodes_info[1] == {"func": "add_2", "inputs": ["s", "y"], "outputs": ["t"]}
    assert pipeline.output_hints == {"s": int, "t": int, "u": int}
    assert run(pipeline).outputs == {"u": 10}


def test_an_iterator_goes_to_one_node_only(run: Engine) -> None:
    def numbers() -> Iterator[int]:
        yield from range(3)

    def total(numbers: Iterator[int]) -> int:
        return sum(numbers)

    once = Pipeline([Node(numbers, [], ["n"]), Node(total, ["n"], ["sum"])])
    assert run(once)["sum"] == 3

    twice = Pipeline(
        [Node(numbers, [], ["n"]), Node(total, ["n"], ["sum"]), Node(total, ["n"], ["again"])]
    )
    with pytest.raises(WiringError, match=r"numbers makes 'n' as an iterator.*total and total_2"):
        run(twice)


class Big:
    """An object of which it can be seen when it ends."""


def test_an_object_is_released_after_the_last_node_that_takes_it() -> None:
    alive: list[list[bool]] = []
    refs: dict[str, weakref.ref[Big]] = {}

    def made(name: str) -> Callable[..., Big]:
        def make(*others: Big) -> Big:
            gc.collect()
            alive.append([ref() is not None for ref in refs.values()])
            big = Big()
            refs[name] = weakref.ref(big)
            return big

        return make

    pipeline = Pipeline(
        [
            Node(made("a"), [], ["a"]),
            Node(made("b"), ["a"], ["b"]),
            Node(made("c"), ["a"], ["c"]),
            Node(made("d"), ["b"], ["d"]),
            Node(made("e"), [], ["e"]),
        ]
    )
    for _ in range(2):
        refs.clear()
        alive.clear()
        result = pipeline.run()
        assert alive == [[], [True], [True, True], [False, True, True], [False, False, True, True]]
        assert set(result.outputs) == {"c", "d", "e"}
        del result
        pipeline._left = {}


def test_the_registry_says_where_objects_are_and_gives_copies(run: Engine) -> None:
    pipeline = Pipeline(
        [Node(append, ["values", "one"], ["longer"]), Node(append, ["longer", "one"], ["longest"])],
        values=[1],
        one=1,
    )
    run(pipeline)

    with pipeline.get_obj_registry() as registry:
        assert registry.placement == {"values": "constant", "one": "constant", "longest": "memory"}
        registry.get("values").append(5)
        registry.get("longest").append(5)
        assert (registry.get("values"), registry.get("longest")) == ([1], [1, 1, 1])
        assert registry.has("one")
        assert not registry.has("longer")
        with pytest.raises(UnknownName, match="append makes it, and it is not kept after a run"):
            registry.get("longer")
        with pytest.raises(UnknownName, match="no object 'vlues'; did you mean 'values'"):
            registry.get("vlues")
    with pytest.raises(CacheError, match="the registry is closed"):
        registry.get("values")


# what a function raises


def test_what_a_function_raises_is_told_of_with_its_node(run: Engine) -> None:
    def divided(a: int, b: int) -> float:
        return a / b

    pipeline = Pipeline(
        [Node(add, ["x", "y"], ["sum"]), Node(divided, ["sum", "x"], ["d"])], x=0, y=1
    )

    for _ in range(2):
        with pytest.raises(RunFailed, match=r"'divided'.*ZeroDivisionError") as caught:
            run(pipeline)
        assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_a_wrong_number_of_values_is_told_of(run: Engine) -> None:
    pipeline = Pipeline([Node(lambda: (1, 2, 3), [], ["a", "b"])])

    with pytest.raises(WiringError, match=r"has 2 outputs \(a, b\) and returned 3 values"):
        run(pipeline)


def test_a_node_is_tried_again_if_that_was_asked_for() -> None:
    calls: list[int] = []

    def flaky() -> int:
        calls.append(1)
        if len(calls) < 3:
            raise OSError("not yet")
        return len(calls)

    assert Pipeline([Node(flaky, [], ["n"], retry=Retry(3))]).run()["n"] == 3


# what is refused before anything runs


def text(x: str) -> str:
    raise AssertionError("nothing may run")


def number() -> int:
    raise AssertionError("nothing may run")


REFUSED: list[tuple[Pipeline, str]] = [
    (
        Pipeline([Node(number, [], ["n"]), Node(text, ["windw"], ["y"])], window="a"),
        "text takes 'windw', which no node makes and no constant gives: add a node with this "
        "output before it, or give Pipeline(…, windw=…); did you mean 'window'?",
    ),
    (
        Pipeline([Node(number, [], ["n"]), Node(text, ["n"], ["y"])]),
        "text takes 'n' as x: str, and number makes it as int",
    ),
    (
        Pipeline([Node(text, ["y"], ["x"]), Node(number, [], ["y"])]),
        "text takes 'y', which is made by number, which comes later; change the order",
    ),
    (Pipeline([Node(text, ["y"], ["y"])]), "text takes 'y', which is made by itself"),
    (
        Pipeline([Node(text, ["config.dept"], ["y"])], config={"depth": "3"}),
        "text takes config.dept: config has no 'dept'; did you mean 'depth'?",
    ),
    (
        Pipeline([Node(text, ["config.a.b"], ["y"])], config={"a": Settings()}),
        "text takes config.a.b: config.a has no 'b'; there are: depth",
    ),
    (Pipeline([Node(text, ["config.a"], ["y"])]), "the pipeline has no config"),
    (
        Pipeline([Node(number, [], ["n"])], track_histroy=True),
        "no node takes the constant 'track_histroy'; did you mean 'track_history'?",
    ),
    (
        Pipeline([Node(text, ["config.window"], ["n"])], config={"window": "5"}, windw=4),
        "no node takes the constant 'windw'; did you mean 'window'?",
    ),
]


@pytest.mark.parametrize(("pipeline", "message"), REFUSED)
@pytest.mark.parametrize("way", ["run", "plan", "to_dag"])
def test_what_is_wrong_is_told_of_before_anything_runs(
    pipeline: Pipeline, message: str, way: str
) -> None:
    with pytest.raises(DagError) as caught:
        getattr(pipeline, way)()

    assert message in str(caught.value)


def test_everything_that_is_wrong_is_told_of_at_once() -> None:
    pipeline = Pipeline([Node(text, ["a"], ["y"]), Node(text, ["b"], ["z"])])

    with pytest.raises(DagError) as caught:
        pipeline.run()

    assert len(caught.value.problems) == 2


def test_a_constant_that_nobody_takes_and_that_is_like_no_name_is_left_alone() -> None:
    pipeline = Pipeline([Node(add, ["x_train", "y"], ["s"])], x_train=1, y=2, x_test=3, other=4)

    assert pipeline.run()["s"] == 3


@pytest.mark.parametrize(
    ("nodes", "constants", "message"),
    [
        ([Node(number, [], ["n"]), Node(number, [], ["n"])], {}, "made by number and by number_2"),
        ([Node(number, [], ["n"])], {"n": 1}, "'n' is a constant and also an output of number"),
    ],
)
def test_an_object_is_made_or_given_once(
    nodes: list[Node], constants: dict[str, Any], message: str
) -> None:
    with pytest.raises(DagError, match=message):
        Pipeline(nodes, **constants)


def test_a_pipeline_is_made_of_nodes() -> None:
    nodes: Any = [add]
    with pytest.raises(WrongKind, match=r"write Node\(add, inputs="):
        Pipeline(nodes)
    nodes = Node(number, [], ["n"])
    with pytest.raises(WrongKind, match="write a list of nodes"):
        Pipeline(nodes)


def test_the_options_of_a_pipeline_are_those_that_a_constant_may_be_taken_for() -> None:
    import inspect

    assert tuple(inspect.signature(Pipeline).parameters) == (*OPTIONS, "constants")


# adding


def test_only_pipelines_are_added() -> None:
    pipeline = Pipeline([Node(number, [], ["n"])])
    for other in (None, 3, Node(number, [], ["m"])):
        with pytest.raises(TypeError, match="can only be added to a Pipeline"):
            _ = pipeline + other


def test_two_values_for_one_name_are_refused_and_the_same_one_is_not() -> None:
    def with_constants(config: Any, name: str, **constants: Any) -> Pipeline:
        return Pipeline([Node(number, [], [name])], config=config, **constants)

    same = with_constants(Settings(), "a", x=[1]) + with_constants(Settings(), "b", x=[1], y=2)
    assert same.config == Settings()

    with pytest.raises(DagError, match="two values for the constant 'x'"):
        _ = with_constants(None, "a", x=1) + with_constants(None, "b", x=2)
    with pytest.raises(DagError, match=r"two values for config\.deep\.x: 1 and 2"):
        _ = with_constants({"deep": {"x": 1}}, "a") + with_constants({"deep": {"x": 2}}, "b")
    with pytest.raises(DagError, match=r"two values for config\.depth: 3 and 4"):
        _ = with_constants(Settings(), "a") + with_constants(Settings(4), "b")


def test_two_configurations_become_one_that_has_what_both_have() -> None:
    class First:
        x = 1

    class Second:
        y = 2

    one = Pipeline([Node(add, ["config.x", "config.x"], ["a"])], config=First)
    other = Pipeline([Node(add, ["a", "config.y"], ["b"])], config=Second())

    assert (one + other).run()["b"] == 4


def test_adding_keeps_history_and_cache_if_one_of_them_has_it(tmp_path: Any) -> None:
    one = Pipeline([Node(number, [], ["a"])], track_history=True)
    other = Pipeline(
        [Node(number, [], ["b"])], use_persistent_cache=True, cache_storage_path=tmp_path / "c"
    )
    both = one + other

    assert both.track_history
    assert (both.use_persistent_cache, both.cache_storage_path) == (True, tmp_path / "c")
    third = Pipeline(
        [Node(number, [], ["c"])], use_persistent_cache=True, cache_storage_path=tmp_path / "d"
    )
    with pytest.raises(DagError, match="keep objects in two places"):
        _ = other + third


def test_a_pipeline_without_nodes_does_nothing() -> None:
    assert Pipeline([]).run().outputs == {}
    assert len(Pipeline([]).plan()) == 0
