"""Nodes that write: their rows, in the transaction of their completion, from lists and streams."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import multiprocessing
import threading
import tracemalloc
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
    Sequence,
)
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

from lythonic_compose import (
    Dag,
    DagContext,
    DagError,
    DagPause,
    DagProvenance,
    DagRunner,
    NodeAttempt,
    NodeExecution,
    NullProvenance,
    OutputError,
    OutputsChanged,
    Retry,
    RowOrigin,
    Rows,
    inline,
)
from lythonic_compose.dag_provenance import DagRun
from lythonic_state import (
    AccessViolation,
    ConstraintViolation,
    DatabaseError,
    DbModel,
    Schema,
    SchemaError,
)
from tests.compose.outputs_models import (
    Day,
    Invoice,
    Keyless,
    Org,
    Price,
    Street,
    Town,
    chain,
    each,
    each_async,
    fetch,
    keys,
    one,
    total,
    total_of_rows,
)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Where a store stands, of the kind that `store` asks for."""
    match getattr(request, "param", "file"):
        case "memory":
            return "sqlite://"
        case "postgres":
            return request.getfixturevalue("pg_url")
        case _:
            return tmp_path / "runs.db"


@pytest.fixture
def store(place: Any) -> Iterator[DagProvenance]:
    with DagProvenance(place) as provenance:
        yield provenance


ANY_STORE = pytest.mark.parametrize("place", ["file", "memory", "postgres"], indirect=True)
BOTH = pytest.mark.parametrize("place", ["file", "postgres"], indirect=True)


@pytest.fixture
def file(tmp_path: Path) -> Iterator[DagProvenance]:
    with DagProvenance(tmp_path / "runs.db") as provenance:
        yield provenance


def rows(store: DagProvenance, model: type[DbModel[Any]], **filters: Any) -> list[Any]:
    with store.open() as conn:
        return model.select(conn, **filters)


def names(store: DagProvenance) -> list[str]:
    return sorted(price.name for price in rows(store, Price))


def origins(store: DagProvenance) -> list[tuple[str, Any, Any, Any]]:
    found = rows(store, RowOrigin, order_by="row_origin_id")
    return [(each.table_name, each.first_key, each.last_key, each.key_text) for each in found]


def returning(value: Any, declared: Any = list[Price]) -> Callable[[], Any]:
    """A function without parameters that gives this value."""

    def make() -> Any:
        return value() if callable(value) else value

    make.__annotations__["return"] = declared
    return make


# --- what is written ------------------------------------------------------------------------


@ANY_STORE
async def test_the_rows_of_a_list_are_saved_and_the_next_node_gets_them_with_their_keys(
    store: DagProvenance,
) -> None:
    result = await DagRunner(chain(fetch, keys, write="insert"), store).run({"make": {"count": 3}})
    saved = {price.name: price.price_id for price in rows(store, Price)}
    assert result.raise_for_status().outputs["use"] == [saved[f"p{n}"] for n in range(3)]
    assert result.values["make"][0].price_id == saved["p0"]
    ((table, first, last, text),) = origins(store)
    assert (table, last - first, text) == ("prices", 2, None)
    assert sorted(saved.values()) == list(range(first, last + 1))


@pytest.mark.parametrize("stream", [each, each_async])
@ANY_STORE
async def test_a_stream_reaches_the_next_node_as_rows_that_can_be_read_again(
    store: DagProvenance, stream: Callable[..., Any]
) -> None:
    async def twice(prices: Rows[Price]) -> tuple[int, int, list[str]]:
        read = [price.name async for price in prices]
        return len(prices), sum(1 for _ in prices), read[:2]

    dag = chain(stream, twice, write="insert")
    result = await DagRunner(dag, store).run({"make": {"count": 2500}})
    assert result.raise_for_status().outputs["use"] == (2500, 2500, ["p0", "p1"])
    assert len(origins(store)) == 1


@pytest.mark.parametrize("how", ["sync", "inline", "async", "plain function, async stream"])
async def test_a_list_and_a_stream_are_written_from_any_kind_of_function(
    file: DagProvenance, how: str
) -> None:
    async def list_async(count: int) -> list[Price]:
        return fetch(count)

    async def stream_async(count: int) -> Iterator[Price]:
        return each(count)

    def stream_of_another(count: int) -> AsyncIterator[Price]:
        return each_async(count)

    kinds: dict[str, list[Callable[..., Any]]] = {
        "sync": [fetch, each],
        "inline": [inline(lambda count: fetch(count)), inline(lambda count: each(count))],
        "async": [list_async, stream_async],
        "plain function, async stream": [stream_of_another],
    }
    for function in kinds[how]:
        dag = Dag()
        dag.node(function, "make", write="upsert")
        result = await DagRunner(dag, file).run({"make": {"count": 1200}})
        assert result.status == "completed", result.error
        assert len(rows(file, Price)) == 1200


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_stream_of_any_length_takes_little_memory(
    file: DagProvenance, tmp_path: Path, elsewhere: bool
) -> None:
    def make(count: int) -> Iterator[Price]:
        for number in range(count):
            yield Price(name=f"{number:0100}")

    def use(made: Rows[Price]) -> int:
        return sum(1 for _ in made)

    outputs = tmp_path / "rows.db" if elsewhere else None
    runner = DagRunner(chain(make, use, write="insert"), file, outputs=outputs)
    await runner.run({"make": {"count": 1}}, targets=["use"])  # what is made only once
    with_all = 6_000 * 600  # bytes that so many models take at the least
    tracemalloc.start()
    try:
        dag = chain(make, use, write="replace")
        result = await DagRunner(dag, file, outputs=outputs).run({"make": {"count": 6_000}})
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert result.raise_for_status().outputs["use"] == 6_000
    assert peak < with_all / 2


@BOTH
async def test_one_model_is_a_row_and_none_is_no_row(store: DagProvenance) -> None:
    only = one(returning(lambda: Price(name="only"), Price | None), write="insert")
    assert (await DagRunner(only, store).run()).outputs["make"].price_id == 1
    nothing = one(returning(None, Price | None), write="insert")
    assert (await DagRunner(nothing, store).run()).raise_for_status().outputs == {"make": None}
    assert names(store) == ["only"]


@pytest.mark.parametrize("made", [list, tuple, iter])
async def test_no_rows_at_all_are_no_error(file: DagProvenance, made: Callable[..., Any]) -> None:
    result = await DagRunner(one(returning(lambda: made([]), Any), write="insert"), file).run()
    assert result.status == "completed"
    assert origins(file) == []
    assert len(result.outputs["make"]) == 0


async def test_a_set_of_models_is_one_with_their_keys_too(file: DagProvenance) -> None:
    class Frozen(Price, table="frozen_prices"):
        model_config = {"frozen": True}

    def use(prices: Any) -> bool:
        return all(price in prices for price in prices)

    for made in (set, frozenset):
        make = returning(lambda made=made: made({Frozen(name=f"{made}")}), Any)
        result = await DagRunner(chain(make, use, write="insert"), file).run()
        assert result.raise_for_status().outputs["use"] is True
        assert type(result.values["make"]) is made


@BOTH
async def test_models_of_several_tables_are_written_parents_first(store: DagProvenance) -> None:
    def make() -> list[Street | Town]:
        return [Street(town="Bern", name="Aarstrasse"), Town(name="Bern")]

    def stream() -> Iterator[Street | Town]:
        yield Street(town="Chur", name="Rheinstrasse")
        yield Town(name="Chur", people=3)

    await DagRunner(one(make, write="insert"), store).run()
    result = await DagRunner(one(stream, write="insert"), store).run()
    assert {street.town for street in rows(store, Street)} == {"Bern", "Chur"}
    assert [type(row) for row in result.raise_for_status().outputs["make"]] == [Town, Street]
    assert {(table, text) for table, _, _, text in origins(store)} == {
        ("towns", '"Bern"'),
        ("towns", '"Chur"'),
        ("streets", None),
    }


@BOTH
async def test_the_tables_that_a_model_refers_to_are_created_too(store: DagProvenance) -> None:
    result = await DagRunner(one(returning([], list[Street]), write="insert"), store).run()
    assert result.status == "completed"
    assert rows(store, Town) == []


async def test_without_write_a_model_is_a_value_like_any_other(file: DagProvenance) -> None:
    result = await DagRunner(chain(fetch, total), file).run({"make": {"count": 2}})
    assert result.outputs["use"] == 1
    assert result.values["make"][0].price_id == -1
    assert origins(file) == []


@BOTH
async def test_upsert_finds_rows_by_their_alternative_key(store: DagProvenance) -> None:
    old = await DagRunner(one(fetch, write="insert"), store).run({"make": {"count": 2}})
    before = {price.name: price.price_id for price in old.outputs["make"]}

    def again() -> list[Price]:
        return [Price(name="p1", cents=50), Price(name="new", cents=60)]

    result = await DagRunner(one(again, write="upsert"), store).run()
    after = {price.name: price for price in rows(store, Price)}
    assert {name: price.cents for name, price in after.items()} == {"p0": 0, "p1": 50, "new": 60}
    assert result.outputs["make"][0].price_id == before["p1"] == after["p1"].price_id


@pytest.mark.parametrize("streamed", [False, True])
@BOTH
async def test_upsert_finds_rows_by_composite_and_text_keys(
    store: DagProvenance, streamed: bool
) -> None:
    def days(rain: float) -> list[Any]:
        return [Day(place="Bern", number=n, rain=rain) for n in (1, 2)] + [Town(name="Bern")]

    def make(rain: float) -> Any:
        return iter(days(rain)) if streamed else days(rain)

    runner = DagRunner(one(make, write="upsert"), store)
    await runner.run({"make": {"rain": 1.0}})
    result = (await runner.run({"make": {"rain": 2.0}})).raise_for_status()
    assert [day.rain for day in rows(store, Day)] == [2.0, 2.0]
    texts = [text for _, _, _, text in origins(store)]
    assert sorted(texts) == sorted(['["Bern",1]', '["Bern",2]', '"Bern"'] * 2)
    if streamed:
        assert {type(row) for row in result.outputs["make"]} == {Day, Town}
        assert len(result.outputs["make"]) == 3


@BOTH
@pytest.mark.parametrize("elsewhere", [False, True])
@pytest.mark.parametrize("model", [Price, Town])
async def test_what_an_upsert_yields_several_times_is_read_once(
    store: DagProvenance, tmp_path: Path, model: Any, elsewhere: bool
) -> None:
    field = "cents" if model is Price else "people"

    def make() -> Iterator[Any]:
        for number in range(2500):
            yield model(name=f"n{number % 1100}", **{field: number})

    def use(given: Rows[Any]) -> list[int]:
        return [getattr(row, field) for row in given]

    outputs = tmp_path / "rows.db" if elsewhere else None
    result = await DagRunner(chain(make, use, write="upsert"), store, outputs=outputs).run()
    used = result.raise_for_status().outputs["use"]
    assert len(used) == len(result.values["make"]) == 1100
    assert sorted(used) == list(range(1400, 2500))


@BOTH
async def test_replace_leaves_only_the_new_rows(store: DagProvenance) -> None:
    runner = DagRunner(one(fetch, write="replace"), store)
    for count in (3, 2):
        await runner.run({"make": {"count": count}})
    first, second = rows(store, RowOrigin, order_by="row_origin_id")
    assert names(store) == ["p0", "p1"]
    assert second.first_key > first.last_key  # no key is given out again


@pytest.mark.parametrize("made", [list, iter])
@BOTH
async def test_replace_by_nothing_leaves_nothing(store: DagProvenance, made: Any) -> None:
    await DagRunner(one(fetch, write="insert"), store).run({"make": {"count": 3}})
    empty = one(returning(lambda: made([]), list[Price] | Iterator[Price]), write="replace")
    assert (await DagRunner(empty, store).run()).status == "completed"
    assert names(store) == []


@BOTH
async def test_rows_with_keys_of_their_own_are_told_from_others(store: DagProvenance) -> None:
    def make() -> list[Price]:
        return [Price(price_id=key, name=str(key)) for key in (7, 3, 4, 9)]

    await DagRunner(one(make, write="insert"), store).run()
    assert [each[1:3] for each in origins(store)] == [(3, 4), (7, 7), (9, 9)]


@pytest.mark.parametrize(
    ("declared", "models", "gives"),
    [
        (Price, [Price], Price),
        (Price | None, [Price], Price | None),
        (list[Price], [Price], list[Price]),
        (tuple[Price, ...], [Price], tuple[Price, ...]),
        (list[Price | Town], [Price, Town], list[Price | Town]),
        (Annotated[list[Price], "of today"], [Price], Annotated[list[Price], "of today"]),
        (Iterable[Price], [Price], Iterable[Price]),
        (Iterator[Price], [Price], Rows[Price]),
        (Generator[Price | Town], [Price, Town], Rows[Price | Town]),
        (AsyncIterator[Price], [Price], Rows[Price]),
        (AsyncGenerator[Price, None], [Price], Rows[Price]),
        (Iterator[Any], [], Rows),
        (list, [], list),
        (DbModel, [], DbModel),
        (Any, [], Any),
        (int, None, None),
        (type(None), None, None),
        (list[int], None, None),
        (list[list[Price]], None, None),
        (dict[str, Price], None, None),
        (str, None, None),
    ],
)
def test_what_a_type_says_of_rows(declared: Any, models: list[Any] | None, gives: Any) -> None:
    dag = one(returning([], declared), write="insert")
    if models is None:
        with pytest.raises(DagError, match=r"make returns .*, which holds no rows"):
            dag.validate()
        return
    node = dag.plan().nodes["make"]
    assert node.writes is not None
    assert list(node.writes.models) == models
    assert node.returns == gives


# --- what cannot be written -----------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
@ANY_STORE
async def test_one_row_that_is_refused_fails_the_node_and_none_is_written(
    store: DagProvenance, streamed: bool
) -> None:
    def make() -> Any:
        prices = [Price(name=f"p{number}") for number in range(1500)]
        prices[-1] = Price(name="p3")
        return iter(prices) if streamed else prices

    dag = Dag()
    dag.node(make, "make", write="insert") >> dag.node(lambda made: made, "use")
    dag.node(fetch, "other", write="insert")
    result = await DagRunner(dag, store).run({"other": {"count": 0}})
    assert result.status == "failed"
    assert isinstance(result.exception, ConstraintViolation)
    assert result.node_statuses == {
        "make": "failed",
        "other": "completed",
        "use": "upstream_failed",
    }
    assert names(store) == []
    assert origins(store) == []
    (node,) = rows(store, NodeExecution, node_label="make")
    assert "ConstraintViolation" in node.error
    assert "Traceback" in node.error


async def test_a_table_that_is_gone_fails_the_node_and_no_other_run(
    file: DagProvenance,
) -> None:
    runner = DagRunner(one(fetch, write="insert"), file)
    await runner.run({"make": {"count": 1}})
    with file.open() as conn:
        conn.execute("DROP TABLE prices")
        conn.commit()
    plain = DagRunner(chain(fetch, total), file)
    broken, *fine = await asyncio.gather(
        runner.run({"make": {"count": 1}}),
        *(plain.run({"make": {"count": 2}}) for _ in range(5)),
    )
    assert isinstance(broken.exception, DatabaseError)
    assert {result.status for result in fine} == {"completed"}


@BOTH
async def test_models_that_are_not_saved_have_no_keys(store: DagProvenance) -> None:
    prices = [Price(name="a"), Price(name="a")]
    await DagRunner(one(returning(prices), write="insert"), store).run()
    assert [price.price_id for price in prices] == [-1, -1]


@BOTH
async def test_a_node_whose_rows_were_refused_is_called_again(store: DagProvenance) -> None:
    prices = [Price(name="a"), Price(name="a")]

    def make(ctx: DagContext) -> list[Price]:
        if ctx.attempt == 2:
            prices[1].name = "b"
        return prices

    dag = one(make, write="insert", retry=Retry(2, backoff=0))
    result = await DagRunner(dag, store).run()
    assert result.raise_for_status().outputs["make"] == prices
    assert {price.name: price.price_id for price in rows(store, Price)} == {
        price.name: price.price_id for price in prices
    }
    assert [each.status for each in rows(store, NodeAttempt, order_by="number")] == [
        "failed",
        "completed",
    ]


@BOTH
async def test_a_row_that_is_taken_back_with_others_has_no_key_any_more(
    store: DagProvenance,
) -> None:
    price = Price(name="a")

    def make() -> list[Price | Town]:
        return [price, Town(name="twice"), Town(name="twice")]

    result = await DagRunner(one(make, write="insert"), store).run()
    assert isinstance(result.exception, ConstraintViolation)
    assert (price.price_id, names(store)) == (-1, [])


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ("text", "make returned at 1100 'text', which is no row of a table"),
        ([Price(name="x")], "at 1100 .*rows are not nested"),
        (Keyless(name="x"), "make writes Keyless, which has no primary key"),
    ],
)
async def test_what_is_no_row_is_named_with_its_place(
    file: DagProvenance, wrong: Any, told: str, streamed: bool
) -> None:
    def make() -> Any:
        found = [*(Price(name=f"p{number}") for number in range(1100)), wrong]
        return iter(found) if streamed else found

    result = await DagRunner(one(make, write="insert"), file).run()
    with pytest.raises(OutputError, match=told):
        raise result.exception or AssertionError(result.status)
    assert origins(file) == []


@pytest.mark.parametrize("value", [3, "text", {"a": Price(name="a")}])
async def test_a_value_that_holds_no_rows_is_named(file: DagProvenance, value: Any) -> None:
    result = await DagRunner(one(returning(value, Any), write="insert"), file).run()
    with pytest.raises(OutputError, match="returns a DbModel, an iterable of them, or None"):
        raise result.exception or AssertionError(result.status)


async def test_the_same_object_twice_is_told(file: DagProvenance) -> None:
    price = Price(name="a")
    result = await DagRunner(one(returning([price, price]), write="insert"), file).run()
    with pytest.raises(OutputError, match="twice, at 0 and at 1"):
        raise result.exception or AssertionError(result.status)


@pytest.mark.parametrize("streamed", [False, True])
async def test_an_upsert_without_any_key_to_go_by_is_told(
    file: DagProvenance, streamed: bool
) -> None:
    def make() -> Any:
        found = [Street(street_id=1, town="x", name="x"), Street(town="x", name="y")]
        return iter(found) if streamed else found

    result = await DagRunner(one(make, write="upsert"), file).run()
    with pytest.raises(OutputError, match="at 1 a Street without street_id"):
        raise result.exception or AssertionError(result.status)


@BOTH
async def test_a_stream_that_breaks_writes_nothing(store: DagProvenance) -> None:
    def make() -> Iterator[Price]:
        yield from each(1500)
        raise LookupError("no more")

    result = await DagRunner(one(make, write="insert"), store).run()
    assert isinstance(result.exception, LookupError)
    assert names(store) == []


async def test_a_stream_may_pause_its_run(file: DagProvenance) -> None:
    go_on: list[bool] = []

    def make() -> Iterator[Price]:
        yield Price(name="a")
        if not go_on:
            raise DagPause("not yet")

    runner = DagRunner(one(make, write="insert"), file)
    paused = await runner.run()
    assert (paused.status, names(file)) == ("paused", [])
    go_on.append(True)
    assert (await runner.restart(paused.run_id)).status == "completed"
    assert names(file) == ["a"]


def test_what_can_never_be_written_is_a_problem_of_the_graph() -> None:
    dag = Dag()
    dag.node(total, "total", write="insert")
    dag.node(returning([], list[Keyless]), "keyless", write="insert")
    inner = Dag()
    inner.node(fetch, "inner", write="replace")
    dag.map(inner, "map")
    with pytest.raises(DagError) as caught:
        dag.validate()
    assert [problem.partition(";")[0] for problem in caught.value.problems] == [
        "total returns int, which holds no rows",
        "keyless writes Keyless, which has no primary key by which its rows could be found again",
        'map/inner has write="replace" inside a map, whose elements would replace each other\'s '
        "rows",
    ]


def test_write_is_one_of_three_words_and_belongs_to_a_function() -> None:
    dag = Dag()
    with pytest.raises(DagError, match='one of "insert", "upsert" and "replace"'):
        dag.node(fetch, write="append")  # type: ignore[arg-type]
    with pytest.raises(DagError, match="a node inside this Dag"):
        dag.node(one(fetch), "inner", write="insert")


@pytest.mark.parametrize("provenance", [None, NullProvenance()])
async def test_a_node_that_writes_needs_something_that_keeps_its_rows(provenance: Any) -> None:
    for runner in (
        DagRunner(one(fetch, write="insert"), provenance),
        DagRunner(one(returning([], Any)), provenance, write_models=True),
    ):
        with pytest.raises(DagError, match=r"make writes the rows .*, and nothing is there"):
            await runner.run()


async def test_a_table_of_another_shape_is_told_before_the_run(file: DagProvenance) -> None:
    class Other(DbModel, table="prices"):
        name: str = ""

    with file.open() as conn:
        Schema([Other]).create_tables(conn)
        conn.commit()
    with pytest.raises(SchemaError, match="prices"):
        await DagRunner(one(fetch, write="insert"), file).run({"make": {"count": 1}})
    assert file.get_recent_runs() == []


async def test_a_table_that_gives_keys_out_again_is_told_of(
    file: DagProvenance, caplog: pytest.LogCaptureFixture
) -> None:
    with file.open() as conn:
        Schema([Price]).create_schema(conn)
    runner = DagRunner(one(fetch, write="insert"), file)
    for count in (1, 0):
        assert (await runner.run({"make": {"count": count}})).status == "completed"
    (told,) = [record.getMessage() for record in caplog.records]
    assert told.startswith("the table of Price was created without reuse_keys=False")


# --- all functions --------------------------------------------------------------------------


async def test_with_write_models_every_function_writes_what_it_may_return(
    file: DagProvenance,
) -> None:
    @inline
    def bare(prices: list[Price]):  # type: ignore[no-untyped-def]
        return [Town(name=price.name) for price in prices]

    def plain(prices: list[Price]):  # type: ignore[no-untyped-def]
        return [price.name for price in prices]

    def numbers(prices: list[Price]):  # type: ignore[no-untyped-def]
        yield from range(len(prices))

    async def async_numbers(prices: list[Price]):  # type: ignore[no-untyped-def]
        for number in range(len(prices)):
            yield number

    dag = Dag()
    made = dag.node(fetch, "make")
    for function in (bare, plain, numbers, async_numbers, total):
        made >> dag.node(function)
    result = await DagRunner(dag, file, write_models=True).run({"make": {"count": 2}})
    assert names(file) == [town.name for town in rows(file, Town)] == ["p0", "p1"]
    assert result.raise_for_status().outputs["plain"] == ["p0", "p1"]
    assert list(result.outputs["numbers"]) == [0, 1]
    assert [number async for number in result.outputs["async_numbers"]] == [0, 1]


async def test_with_write_models_a_value_that_is_no_row_stays_what_it_is(
    file: DagProvenance,
) -> None:
    class Settings(BaseModel):
        """It can be iterated over, as every model."""

        depth: int = 1

    class Often:
        def __iter__(self) -> Iterator[int]:
            return iter([1, 2])

    class OftenAsync:
        def __aiter__(self) -> AsyncIterator[Price]:
            return aiter(numbers())

    async def numbers() -> AsyncGenerator[Any]:
        yield 1

    for value in (Settings(), Often(), OftenAsync()):
        for make in (returning(value, Any), inline(returning(value, Any))):
            result = await DagRunner(one(make), file, write_models=True).run()
            assert result.raise_for_status().outputs["make"] is value


# --- restart, replay ------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [fetch, each])
@ANY_STORE
async def test_a_restart_does_not_write_again_and_gives_what_was_written(
    store: DagProvenance, stream: Callable[..., Any]
) -> None:
    broken = [True]

    def use(made: Iterable[Price]) -> list[tuple[int, str]]:
        if broken:
            raise LookupError("not today")
        return [(price.price_id, price.name) for price in made]

    runner = DagRunner(chain(stream, use, write="insert"), store)
    failed = await runner.run({"make": {"count": 2}})
    broken.clear()
    result = await runner.restart(failed.run_id)
    assert result.raise_for_status().run_again == ()
    assert result.outputs["use"] == [(price.price_id, price.name) for price in rows(store, Price)]
    replayed = await runner.replay(failed.run_id, {"use"})
    assert replayed.raise_for_status().outputs == result.outputs
    assert names(store) == ["p0", "p1"]
    assert len(origins(store)) == 1


def pages(waits: list[str]) -> Dag:
    """Two nodes that may write, one of them in a map, behind one that pauses the run."""

    def begin() -> list[int]:
        if waits:
            raise DagPause(waits.pop())
        return [1, 2]

    def price(count: int) -> Price:
        return Price(name=f"p{count}")

    def town(made: list[Price]) -> Town:
        return Town(name=made[0].name)

    page = Dag()
    page.node(price)
    dag = Dag()
    _ = dag.node(begin) >> dag.map(page, "pages") >> dag.node(town)
    return dag


def recorded(store: DagProvenance, run_id: str) -> list[str] | None:
    run = store.get_run(run_id)
    assert run is not None
    return run.writes


@BOTH
async def test_a_run_does_not_go_on_where_what_it_writes_would_not_be_written(
    store: DagProvenance,
) -> None:
    dag = pages(["not yet", "nor now"])
    writing, silent = DagRunner(dag, store, write_models=True), DagRunner(dag, store)
    first, second = [await writing.run() for _ in range(2)]
    assert recorded(store, first.run_id) == ["pages/price:insert", "town:insert"]
    before = rows(store, DagRun, order_by="run_id")

    with pytest.raises(OutputsChanged) as refused:
        await silent.restart(first.run_id)
    assert "the rows of pages/price (insert) and town (insert), and here" in str(refused.value)
    assert "write_models=True" in str(refused.value)
    assert 'on_change="keep"' in str(refused.value)
    assert rows(store, DagRun, order_by="run_id") == before

    assert (await writing.restart(first.run_id)).status == "completed"
    assert names(store) == ["p1", "p2"]
    children = store.get_child_runs(first.run_id)
    assert [child.writes for child in children] == [None, None]
    # if it is meant
    assert (await silent.restart(second.run_id, on_change="keep")).status == "completed"
    assert names(store) == ["p1", "p2"]
    assert recorded(store, second.run_id) == []


async def test_a_node_that_writes_no_more_stops_a_restart_until_that_is_meant(
    file: DagProvenance,
) -> None:
    waits = ["not yet"]

    def begin() -> int:
        if waits:
            raise DagPause(waits.pop())
        return 2

    def dag(**options: Any) -> Dag:
        made = Dag()
        _ = made.node(begin) >> made.node(fetch, **options)
        return made

    paused = await DagRunner(dag(write="upsert"), file).run()
    with pytest.raises(OutputsChanged, match=r"the rows of fetch \(upsert\)"):
        await DagRunner(dag(), file).restart(paused.run_id)
    # another way of writing is one, too
    assert (await DagRunner(dag(write="insert"), file).restart(paused.run_id)).status == "completed"
    assert recorded(file, paused.run_id) == ["fetch:insert"]


async def test_what_a_restart_begins_to_write_the_next_one_must_write_too(
    file: DagProvenance,
) -> None:
    dag = pages(["not yet", "nor now"])
    writing, silent = DagRunner(dag, file, write_models=True), DagRunner(dag, file)
    paused = await silent.run()
    assert recorded(file, paused.run_id) is None
    assert (await writing.restart(paused.run_id)).status == "paused"
    with pytest.raises(OutputsChanged):
        await silent.restart(paused.run_id)


async def test_a_run_of_which_nothing_is_recorded_goes_on_with_any_runner(
    file: DagProvenance,
) -> None:
    dag = pages(["not yet"])
    paused = await DagRunner(dag, file, write_models=True).run()
    with file.open() as conn:
        DagRun.update_where(conn, {"writes": None}, run_id=paused.run_id)
        conn.commit()
    assert (await DagRunner(dag, file).restart(paused.run_id)).status == "completed"


@BOTH
async def test_a_list_comes_back_as_it_was_whatever_became_of_its_rows(
    store: DagProvenance,
) -> None:
    runner = DagRunner(chain(fetch, total, write="insert"), store)
    first = await runner.run({"make": {"count": 3}})
    with store.open() as conn:
        Price.update_where(conn, {"cents": 100}, name="p0")
        Price.delete(conn, name="p1")
        conn.commit()
    again = await runner.replay(first.run_id, {"use"})
    assert again.raise_for_status().values["make"] == first.values["make"]
    assert again.outputs["use"] == 3


@BOTH
async def test_the_rows_of_a_stream_are_those_that_are_there_now(store: DagProvenance) -> None:
    runner = DagRunner(chain(each, total_of_rows, write="insert"), store)
    first = await runner.run({"make": {"count": 4}})
    with store.open() as conn:
        Price.update_where(conn, {"cents": 100}, name="p0")
        Price.delete(conn, name="p3")
        conn.commit()
    again = await runner.replay(first.run_id, {"use"})
    assert again.raise_for_status().outputs["use"] == 103
    assert len(again.values["make"]) == 3


@BOTH
async def test_what_is_overridden_or_reused_writes_nothing(store: DagProvenance) -> None:
    runner = DagRunner(chain(fetch, total, write="insert"), store)
    result = await runner.run(overrides={"make": [Price(name="a", cents=7)]})
    assert result.raise_for_status().outputs["use"] == 7
    assert names(store) == []


async def test_a_node_that_began_to_write_has_changed(file: DagProvenance) -> None:
    def use(prices: list[Price]) -> int:
        raise LookupError("never")

    failed = await DagRunner(chain(fetch, use), file).run({"make": {"count": 1}})
    runner = DagRunner(chain(fetch, use, write="insert"), file)
    again = await runner.restart(failed.run_id, on_change="rerun")
    assert again.status == "failed"
    assert names(file) == ["p0"]


# --- inside others, and beside each other ---------------------------------------------------


@BOTH
async def test_nodes_that_write_inside_a_map_and_a_switch_write_for_each_element(
    store: DagProvenance,
) -> None:
    def price(number: int) -> Price:
        return Price(name=f"p{number}", cents=-1 if number == 3 else number)

    def town(number: int) -> Iterator[Town]:
        yield Town(name=f"t{number}")

    def people(towns: Rows[Town]) -> int:
        return len(towns)

    def numbers() -> list[tuple[str, int]]:
        return [("town" if number % 5 == 0 else "price", number) for number in range(1, 21)]

    with_price, with_town = Dag(), Dag()
    with_price.node(price, write="insert")
    with_town.node(town, write="insert") >> with_town.node(people)
    dag = Dag()
    made = dag.map(dag.switch({"price": with_price, "town": with_town}, "way"), on_error="skip")
    dag.node(numbers) >> made
    result = await DagRunner(dag, store).run()
    assert len(result.raise_for_status().outputs["way"]) == 19
    assert len(names(store)) == 15
    assert len(rows(store, Town)) == 4
    assert len(origins(store)) == 19


@BOTH
async def test_two_branches_write_beside_each_other(store: DagProvenance) -> None:
    met = threading.Barrier(2, timeout=10)

    def make(ctx: DagContext) -> list[Price]:
        met.wait()
        return [Price(name=f"{ctx.node_label}{number}") for number in range(50)]

    dag = Dag()
    dag.node(make, "a", write="insert")
    dag.node(make, "b", write="insert")
    assert (await DagRunner(dag, store).run()).status == "completed"
    assert len(names(store)) == 100
    assert sum(last - first + 1 for _, first, last, _ in origins(store)) == 100


class Slow:
    """A stream that waits after so many rows until it is let go."""

    def __init__(self, before: int) -> None:
        self.before = before
        self.go = threading.Event()
        self.has_ended = threading.Event()
        self.was_read_to_the_end = False

    def rows(self) -> Iterator[Price]:
        try:
            for number in range(self.before):
                yield Price(name=f"a{number}")
            self.go.wait(10)
            for number in range(3000):
                yield Price(name=f"b{number}")
            self.was_read_to_the_end = True
        finally:
            self.has_ended.set()

    async def let_go(self) -> None:
        self.go.set()
        assert await asyncio.to_thread(self.has_ended.wait, 10)


@BOTH
async def test_a_function_that_is_too_late_writes_nothing(store: DagProvenance) -> None:
    slow = Slow(1)

    def make() -> Iterator[Price]:
        return slow.rows()

    result = await DagRunner(one(make, write="insert", timeout=0.2), store).run()
    assert isinstance(result.exception, TimeoutError)
    await slow.let_go()
    assert (names(store), slow.was_read_to_the_end) == ([], False)


async def test_a_stream_that_a_coroutine_returns_too_late_leaves_nothing(
    file: DagProvenance,
) -> None:
    slow = Slow(1)

    async def make() -> Iterator[Price]:
        return slow.rows()

    result = await DagRunner(one(make, write="insert", timeout=0.2), file).run()
    assert isinstance(result.exception, TimeoutError)
    await slow.let_go()
    gc.collect()  # a file that nobody has closed would say so
    assert (names(file), slow.was_read_to_the_end) == ([], False)


async def test_an_async_stream_that_is_too_slow_writes_nothing(file: DagProvenance) -> None:
    closed: list[bool] = []

    async def make() -> AsyncIterator[Price]:
        try:
            yield Price(name="a")
            await asyncio.Event().wait()
        finally:
            closed.append(True)

    result = await DagRunner(one(make, write="insert", timeout=0.05), file).run()
    assert isinstance(result.exception, TimeoutError)
    assert (names(file), closed) == ([], [True])


async def test_with_durability_run_rows_are_there_when_the_next_node_starts(
    tmp_path: Path,
) -> None:
    def use(prices: list[Price]) -> int:
        with DagProvenance(tmp_path / "runs.db") as other:
            return len(rows(other, Price))

    with DagProvenance(tmp_path / "runs.db", durability="run") as store:
        result = await DagRunner(chain(fetch, use, write="insert"), store).run(
            {"make": {"count": 4}}
        )
        assert result.raise_for_status().outputs["use"] == 4
        refused = await DagRunner(one(fetch, write="insert"), store).run({"make": {"count": 4}})
        assert isinstance(refused.exception, ConstraintViolation)


def test_rows_are_made_in_other_processes_and_read_there(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with (
        DagProvenance(tmp_path / "runs.db") as store,
        concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool,
    ):
        made = DagRunner(chain(fetch, keys, write="insert"), store, executor=pool)
        assert made.run_sync({"make": {"count": 2}}).raise_for_status().outputs["use"] == [1, 2]
        read = Dag()
        read.node(inline(lambda count: each(count)), "make", write="upsert") >> read.node(
            total_of_rows, "use"
        )
        result = DagRunner(read, store, executor=pool).run_sync({"make": {"count": 4}})
        assert result.raise_for_status().outputs["use"] == 6


@pytest.mark.parametrize("function", [each, returning([], Iterator[Price])])
def test_a_stream_does_not_come_from_another_process(
    file: DagProvenance, function: Callable[..., Any]
) -> None:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        runner = DagRunner(one(function, write="insert"), file, executor=pool)
        with pytest.raises(DagError, match="one by one, which cannot travel from an executor"):
            runner.run_sync({"make": {"count": 1}} if function is each else None)


# --- tenants --------------------------------------------------------------------------------


@pytest.mark.parametrize("streamed", [False, True])
@BOTH
async def test_scoped_rows_take_the_tenant_of_the_run(store: DagProvenance, streamed: bool) -> None:
    def make(cents: Sequence[int]) -> Any:
        found = [Invoice(cents=each) for each in cents]
        return iter(found) if streamed else found

    def use(made: Any) -> int:
        return sum(invoice.cents for invoice in made)

    for org, how in ((1, "insert"), (2, "insert"), (1, "replace")):
        make.__annotations__["return"] = Iterator[Invoice] if streamed else list[Invoice]
        dag = chain(make, use, write=how)
        runner = DagRunner(dag, store, user_ctx=Org(org_id=org))
        result = await runner.run({"make": {"cents": [org, 10]}})
        assert result.raise_for_status().outputs["use"] == org + 10
        again = await runner.replay(result.run_id, {"use"})
        assert again.raise_for_status().outputs["use"] == org + 10
    with store.open() as conn:
        for org in (1, 2):
            invoices = Invoice.select(conn, user_ctx=Org(org_id=org))
            assert sorted(each.cents for each in invoices) == [org, 10]


@BOTH
async def test_a_row_of_another_tenant_fails_the_node(store: DagProvenance) -> None:
    foreign = one(
        returning(lambda: [Invoice(cents=1), Invoice(org_id=2, cents=1)], list[Invoice]),
        write="insert",
    )
    result = await DagRunner(foreign, store, user_ctx=Org(org_id=1)).run()
    assert isinstance(result.exception, AccessViolation)
    with store.open() as conn:
        assert Invoice.select_count(conn, user_ctx=Org(org_id=1)) == 0


async def test_scoped_rows_need_a_tenant_before_anything_runs(file: DagProvenance) -> None:
    runner = DagRunner(one(returning([], list[Invoice]), write="insert"), file)
    with pytest.raises(DagError, match="make writes Invoice, whose rows belong to tenants"):
        await runner.run()
