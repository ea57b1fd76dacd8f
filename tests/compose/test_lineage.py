"""Which rows made which: against a model in plain Python, and in pipelines of every shape."""

# pyright: reportUnusedExpression=false

from __future__ import annotations

import asyncio
import random
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path
from typing import Annotated, Any, cast

import pytest

from lythonic_compose import (
    Dag,
    DagContext,
    DagProvenance,
    DagRunner,
    DagRunResult,
    LineageError,
    LineageInput,
    NullProvenance,
    PayloadRows,
    RowKey,
    RowOrigin,
    Rows,
    RunNotFound,
    UnknownName,
)
from lythonic_compose.dag_provenance import tracing
from lythonic_compose.dag_provenance.origins import newest_origins
from lythonic_compose.dag_provenance.row_lists import Places
from lythonic_state import (
    AllTenants,
    DbModel,
    PrimaryKey,
    Schema,
    ScopeContext,
    Scoped,
    count_statements,
    open_sqlite_db,
)
from lythonic_state.identity import key_of, table_name


class Number(DbModel, table="lineage_number"):
    number_id: Annotated[int, PrimaryKey()] = -1
    value: int = 0


class Word(DbModel, table="lineage_word"):
    word: Annotated[str, PrimaryKey()]
    value: int = 0


Key = tuple[str, Any]
Leaf = float | Number | Word
Value = Leaf | list[Leaf] | list[list[Leaf]] | list[list[list[Leaf]]]


def named(row: Any) -> Key:
    return table_name(type(row)), key_of(row)


def rows_among(value: Any) -> list[Any]:
    if isinstance(value, DbModel):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [row for part in value for row in rows_among(part)] if isinstance(value, list) else []


def is_only_rows(value: Any) -> bool:
    """Rows, at least one, and nothing else."""

    def alone(part: Any) -> bool:
        if isinstance(part, dict):
            part = list(part.values())
        return all(map(alone, part)) if isinstance(part, list) else isinstance(part, DbModel)

    return bool(rows_among(value)) and alone(value)


WRITING: dict[str, Any] = {"write": "insert", "rewrite": "upsert"}
KINDS = ["write", "write", "rewrite", "choose", "count", "count", "mix"]

# --- a model of it, in plain Python -----------------------------------------------------------


@dataclass
class Call:
    """One node, or one element of a map, in one run; what it was given and gave."""

    handed: list[Any]
    """What came from outside of the graph, or is the element."""
    upstreams: list[Call]
    gave: Any = None
    wrote: bool = False
    around: Call | None = None
    """Of an element, the map; a map's element has no upstreams of its own."""
    parts: list[Call] = field(default_factory=list)
    number: int = 0

    def fed(self) -> set[Key]:
        found = {named(row) for value in self.handed for row in rows_among(value)}
        for up in self.upstreams:
            found |= up.carried()
        if self.around is not None and not all(map(is_only_rows, self.handed)):
            (before,) = self.around.upstreams or (None,)
            if before is not None and before.parts and len(before.parts) > self.number:
                partner = before.parts[self.number]
                if partner.gave == self.handed[0]:
                    return found | partner.carried()
            found |= self.around.fed()
        return found

    def carried(self) -> set[Key]:
        mine = {named(row) for row in rows_among(self.gave)}
        if self.wrote or is_only_rows(self.gave):
            return mine
        if self.parts:
            return mine.union(*(part.carried() for part in self.parts))
        return mine | self.fed()


class World:
    """Runs random pipelines, and notes who wrote what."""

    def __init__(self, store: DagProvenance, seed: int) -> None:
        self.store = store
        self.dice = random.Random(seed)
        self.writers: dict[Key, Call] = {}
        self.rows: dict[Key, Any] = {}
        self.words = 0
        self.rewritten: set[Key] = set()
        self.lock = threading.RLock()
        self.calls: dict[tuple[str, str], tuple[list[Any], Any, bool]] = {}

    # what nodes do

    def write(self, ctx: DagContext, *values: Any) -> list[Any]:
        """New rows of two models."""
        return [
            Number(value=self.dice.randint(0, 3)) if self.dice.random() < 0.5 else self.word()
            for _ in range(self.dice.randint(1, 3))
        ]

    def rewrite(self, ctx: DagContext, *values: Any) -> list[Any]:
        """Some of the rows that came, and a new one.

        A row is written again only once in a run: of two nodes beside each other nobody knows which
        is the last to write it.
        """
        with self.lock:
            chosen = {named(row): row for row in self.choose(ctx, *values)}
            again = [row for key, row in chosen.items() if key not in self.rewritten]
            self.rewritten.update(map(named, again))
        return [*again, self.word()]

    def word(self) -> Word:
        with self.lock:
            self.words += 1
            return Word(word=f"w{self.words}")

    def choose(self, ctx: DagContext, *values: Any) -> Any:
        """Some of the rows that came."""
        return [row for row in rows_among(list(values)) if self.dice.random() < 0.7]

    def count(self, ctx: DagContext, *values: Any) -> Any:
        """Numbers that are made of what came."""
        return [float(self.dice.randint(0, 5)) for _ in range(self.dice.randint(1, 3))]

    def mix(self, ctx: DagContext, *values: Any) -> Any:
        rows = rows_among(list(values))
        return [1.5, *rows[:1]]

    def tell(self, kind: str, ctx: DagContext, values: Sequence[Any]) -> list[Leaf]:
        gave: list[Leaf] = getattr(self, kind)(ctx, *values)
        self.calls[ctx.run_id, ctx.node_label] = (list(values), gave, kind in WRITING)
        return gave

    def function(self, kind: str, takes: int) -> Any:
        if takes == 0:

            def first(ctx: DagContext, given: Value) -> list[Leaf]:
                return self.tell(kind, ctx, [given])

            return first
        if takes == 1:

            def one(ctx: DagContext, a: Value) -> list[Leaf]:
                return self.tell(kind, ctx, [a])

            return one

        def two(ctx: DagContext, a: Value, b: Value) -> list[Leaf]:
            return self.tell(kind, ctx, [a, b])

        return two

    # pipelines

    def pipeline(self) -> tuple[Dag, dict[str, tuple[str, list[str], bool]]]:
        """A random graph: by label what a node does, its upstreams, and whether it is a map."""
        dag, nodes = Dag(), dict[str, tuple[str, list[str], bool]]()
        for number in range(self.dice.randint(3, 7)):
            label = f"n{number}"
            many = min(len(nodes), self.dice.choice([0, 1, 1, 1, 1, 2]))
            ups = self.dice.sample(list(nodes)[-3:], many)
            kind = self.dice.choice(KINDS)
            is_map = len(ups) == 1 and self.dice.random() < 0.6
            function = self.function(kind, len(ups))
            write = WRITING.get(kind)
            if is_map:
                inner = Dag()
                inner.node(function, write=write)
                dag.map(inner, label)
                dag.edge(ups[0], label)
            else:
                dag.node(function, label, write=write)
                for up, param in zip(ups, "ab", strict=False):
                    dag.edge(up, label, param=param)
            nodes[label] = (kind, ups, is_map)
        return dag, nodes

    def run(self) -> None:
        dag, nodes = self.pipeline()
        known = list(self.rows.values())
        given = {
            label: {"given": self.dice.sample(known, min(len(known), 2)) or 1.0}
            for label, (_, ups, _) in nodes.items()
            if not ups
        }
        self.rewritten.clear()
        runner = DagRunner(dag, self.store)
        result = runner.run_sync(given).raise_for_status()
        calls = self.note(result.run_id, nodes, given, {})
        if self.dice.random() < 0.5:
            rerun = self.dice.choice(list(nodes))
            self.rewritten.clear()
            again = DagRunner(dag, self.store).replay(result.run_id, [rerun])
            replayed = asyncio.run(again).raise_for_status()
            self.note(replayed.run_id, nodes, given, {k: c for k, c in calls.items() if k != rerun})

    def note(
        self,
        run_id: str,
        nodes: dict[str, tuple[str, list[str], bool]],
        given: dict[str, Any],
        reused: dict[str, Call],
    ) -> dict[str, Call]:
        """The calls of a run as the model sees them."""
        run = self.store.inspect_run(run_id)
        assert run is not None
        calls: dict[str, Call] = {}
        for label, (_, ups, is_map) in nodes.items():
            if label in reused:
                calls[label] = reused[label]
                continue
            before = [calls[up] for up in ups]
            call = calls[label] = Call([], before)
            if not is_map:
                values, call.gave, call.wrote = self.calls[run_id, label]
                call.handed = values if not ups else []
                self.wrote(call)
                continue
            parts = run.nodes[label].sub_dags or {}
            for number, part in enumerate(parts.values()):
                (node,) = part.nodes.values()
                values, gave, wrote = self.calls[part.run_id, node.node_label]
                element = Call(values, [], gave, wrote, call, number=number)
                call.parts.append(element)
                self.wrote(element)
            call.gave = [element.gave for element in call.parts]
        return calls

    def wrote(self, call: Call) -> None:
        for row in call.gave if call.wrote else ():
            self.writers[named(row)] = call
            self.rows[named(row)] = row

    # the comparison

    def check(self) -> None:
        expected = {key: call.fed() for key, call in self.writers.items()}
        for key, row in self.rows.items():
            found = {named(each) for each in self.store.upstream_rows(row)}
            assert found == expected[key], key
            downs = self.store.downstream_rows(row)
            fed = {key for key in map(named, downs) if key not in downs.rewritten}
            assert fed == {other for other, ups in expected.items() if key in ups}, key


def test_rows_flow_as_in_a_model_of_plain_python(store: DagProvenance) -> None:
    world = World(store, seed=203)
    for _ in range(4):
        world.run()
    world.check()
    assert any(call.around is not None for call in world.writers.values())


# --- what a user asks -------------------------------------------------------------------------


class Raw(DbModel, table="lineage_raw"):
    raw_id: Annotated[int, PrimaryKey()] = -1
    cents: int


class Price(DbModel, table="lineage_price"):
    price_id: Annotated[int, PrimaryKey()] = -1
    cents: int


class Total(DbModel, table="lineage_total"):
    total_id: Annotated[int, PrimaryKey()] = -1
    cents: int


class Listing(DbModel, table="lineage_listing"):
    shop: Annotated[str, PrimaryKey()]
    day: Annotated[date, PrimaryKey()]
    cents: int = 0


def fetch(count: int) -> list[Raw]:
    return [Raw(cents=100 * number) for number in range(1, count + 1)]


def clean(raw: list[Raw]) -> list[Price]:
    return [Price(cents=each.cents - 1) for each in raw]


def amounts(prices: list[Price]) -> list[int]:
    return [price.cents for price in prices]


def total(cents: list[int]) -> Total:
    return Total(cents=sum(cents))


def shop() -> Dag:
    dag = Dag()
    cleaned = dag.node(fetch, write="insert") >> dag.node(clean, write="insert")
    cleaned >> dag.node(amounts) >> dag.node(total, write="insert")
    return dag


def sold(store: DagProvenance, count: int = 3) -> DagRunResult:
    return DagRunner(shop(), store).run_sync({"fetch": {"count": count}}, "shop:daily")


def test_a_number_is_followed_up_and_down_through_nodes_that_write_nothing(
    store: DagProvenance,
) -> None:
    result = sold(store)
    row = result.outputs["total"]
    prices = store.upstream_rows(row)
    assert [price.cents for price in prices] == [99, 199, 299]
    assert store.upstream_rows(prices[0]) == store.rows_of(result.run_id, "fetch", Raw)
    assert store.downstream_rows(prices[0]) == [row]
    assert store.upstream_rows(store.upstream_rows(prices[0])[0]) == []
    assert store.downstream_rows(row) == []
    origin = store.origin_of(row)
    assert origin is not None
    assert (origin.run_id, origin.node_label, origin.status) == (
        result.run_id,
        "total",
        "completed",
    )


def test_rows_of_a_node_are_as_they_are_now_and_say_what_became_of_them(
    store: DagProvenance,
) -> None:
    run_id = sold(store, 4).run_id
    rows = store.rows_of(run_id, "clean", Price)
    assert (rows.deleted, rows.rewritten, rows.cut) == ((), (), False)

    def corrected(prices: list[Price]) -> list[Price]:
        return [Price(price_id=price.price_id, cents=7) for price in prices]

    dag = Dag()
    dag.node(corrected, write="upsert")
    again = DagRunner(dag, store).run_sync({"corrected": {"prices": [rows[2]]}})
    with store.open() as conn:
        rows[0].delete_row(conn)
        conn.commit()

    now = store.rows_of(run_id, "clean", Price)
    assert [price.cents for price in now] == [199, 7, 399]
    assert now.deleted == (RowKey("lineage_price", rows[0].price_id),)
    assert now.rewritten == (RowKey("lineage_price", rows[2].price_id),)
    assert store.rows_of(again.run_id, "corrected", Price).rewritten == ()
    part = store.rows_of(run_id, "clean", Price, limit=2)
    assert ([price.cents for price in part], part.cut) == ([199, 7], True)

    # who wrote it last, in whichever run; and from where that came
    origin = store.origin_of(now[1])
    assert origin is not None
    assert origin.run_id == again.run_id
    before = store.upstream_rows(now[1])
    assert before == [now[1]]
    assert before.rewritten == (RowKey("lineage_price", rows[2].price_id),)
    # the total was made of what is not there any more, too
    of_total = store.upstream_rows(store.rows_of(run_id, "total", Total)[0])
    assert (of_total, of_total.deleted, of_total.rewritten) == (now, now.deleted, now.rewritten)


def test_rows_of_what_is_inside_a_node_have_its_path(store: DagProvenance) -> None:
    def price(raw: Raw) -> Price:
        return Price(cents=raw.cents)

    def cheap(raw: Raw) -> Price:
        return Price(cents=0)

    def routed(rows: list[Raw]) -> list[tuple[str, Raw]]:
        return [("dear" if row.cents > 150 else "cheap", row) for row in rows]

    def tail(raw: Raw) -> Raw:
        return raw

    dear, low, dag = Dag(), Dag(), Dag()
    dear.node(tail) >> dear.node(price, write="insert")
    low.node(tail) >> low.node(cheap, write="insert")
    each = dag.map(dag.switch({"dear": dear, "cheap": low}, "route"), "priced")
    dag.node(fetch, write="insert") >> dag.node(routed) >> each
    run_id = DagRunner(dag, store).run_sync({"fetch": {"count": 3}}).raise_for_status().run_id

    everything = store.rows_of(run_id, "priced", Price)
    assert sorted(row.cents for row in everything) == [0, 200, 300]
    dear_ones = store.rows_of(run_id, "priced/dear/price", Price)
    assert sorted(row.cents for row in dear_ones) == [200, 300]
    assert store.rows_of(run_id, "priced/cheap/tail", Price) == []
    for row in dear_ones:  # each element from its own input only
        assert [raw.cents for raw in store.upstream_rows(row)] == [row.cents]
    with pytest.raises(UnknownName, match="did you mean 'price'"):
        store.rows_of(run_id, "priced/dear/prise", Price)
    with pytest.raises(UnknownName, match="has no node 'prized'"):
        store.rows_of(run_id, "prized", Price)
    with pytest.raises(RunNotFound):
        store.rows_of("nowhere", "priced", Price)


def test_an_element_of_a_map_over_a_map_comes_from_the_element_before_it(
    store: DagProvenance,
) -> None:
    def doubled(raw: Raw) -> float:
        return raw.cents * 2.0

    def priced(cents: float) -> Price:
        return Price(cents=int(cents))

    inner, dag = Dag(), Dag()
    inner.node(priced, write="insert")
    dag.node(fetch, write="insert") >> dag.map(doubled, "doubles") >> dag.map(inner, "prices")
    run_id = DagRunner(dag, store).run_sync({"fetch": {"count": 3}}).raise_for_status().run_id
    for price in store.rows_of(run_id, "prices", Price):
        (raw,) = store.upstream_rows(price)
        assert raw.cents * 2 == price.cents
        assert store.downstream_rows(raw) == [price]


def test_what_elements_wrote_before_their_map_failed_has_lineage(store: DagProvenance) -> None:
    def picky(raw: Raw) -> Price:
        if raw.cents == 200:
            raise ValueError("not that one")
        return Price(cents=raw.cents)

    inner, dag = Dag(), Dag()
    inner.node(picky, write="insert")
    dag.node(fetch, write="insert") >> dag.map(inner, "prices", concurrency=1)
    result = DagRunner(dag, store).run_sync({"fetch": {"count": 3}})
    assert result.status == "failed"
    (price,) = store.rows_of(result.run_id, "prices", Price)
    (raw,) = store.upstream_rows(price)
    assert raw.cents == price.cents
    assert store.downstream_rows(raw) == [price]


def cents_of(price: Price) -> int:
    return price.cents


def summed_up(cents: list[Any]) -> Total:
    return Total(cents=len(cents))


def test_an_element_that_failed_hands_nothing_out_though_a_part_of_it_wrote_rows(
    store: DagProvenance,
) -> None:
    def grouped(raw: list[Raw]) -> list[list[Raw]]:
        return [raw[:2], raw[2:]]

    def tail(raw: list[Raw]) -> list[Raw]:
        return raw

    def picky(raw: Raw) -> Price:
        if raw.cents == 200:
            raise ValueError("not that one")
        return Price(cents=raw.cents)

    inner, group, dag = Dag(), Dag(), Dag()
    inner.node(picky, write="insert") >> inner.node(cents_of)
    group.node(tail) >> group.map(inner, "prices", concurrency=1)
    groups = dag.node(fetch, write="insert") >> dag.node(grouped)
    groups >> dag.map(group, "groups", on_error="skip") >> dag.node(summed_up, write="insert")
    result = DagRunner(dag, store).run_sync({"fetch": {"count": 3}}).raise_for_status()
    failed, whole = sorted(
        store.rows_of(result.run_id, "groups", Price), key=lambda price: price.cents
    )
    row = result.outputs["summed_up"]
    assert (failed.cents, row.cents) == (100, 1)
    assert store.upstream_rows(row) == [whole]
    assert store.downstream_rows(whole) == [row]
    assert store.downstream_rows(failed) == []


def test_what_a_parameter_was_given_from_outside_is_not_taken_for_the_element(
    store: DagProvenance,
) -> None:
    def priced(raw: Raw, factor: int) -> Price:
        return Price(cents=raw.cents * factor)

    inner, dag = Dag(), Dag()
    inner.node(priced, write="insert")
    dag.node(fetch, write="insert") >> dag.map(inner, "prices")
    given = {"fetch": {"count": 3}, "prices/priced": {"factor": 7}}
    run_id = DagRunner(dag, store).run_sync(given).raise_for_status().run_id
    for price in store.rows_of(run_id, "prices", Price):
        (raw,) = store.upstream_rows(price)
        assert raw.cents * 7 == price.cents
        assert store.downstream_rows(raw) == [price]


def test_of_an_element_that_was_run_again_the_newest_run_counts(store: DagProvenance) -> None:
    def before(raw: Raw) -> Price:
        return Price(cents=1)

    def after(raw: Raw) -> Price:
        return Price(cents=2)

    def stops(cents: list[int]) -> Total:
        raise ValueError("not today")

    def dag_of(price: Callable[[Raw], Price], last: Callable[[list[int]], Total]) -> Dag:
        inner, dag = Dag(), Dag()
        inner.node(price, "priced", write="insert") >> inner.node(cents_of)
        each = dag.node(fetch, write="insert") >> dag.map(inner, "prices")
        each >> dag.node(last, "last", write="insert")
        return dag

    failed = DagRunner(dag_of(before, stops), store).run_sync({"fetch": {"count": 2}})
    old = store.rows_of(failed.run_id, "prices", Price)
    restarted = DagRunner(dag_of(after, summed_up), store).restart(failed.run_id, "rerun")
    row = asyncio.run(restarted).raise_for_status().outputs["last"]
    new = store.upstream_rows(row)
    assert [price.cents for price in (*old, *new)] == [1, 1, 2, 2]
    assert [store.downstream_rows(price) for price in (*old, *new)] == [[], [], [row], [row]]


def test_of_a_node_that_was_run_again_in_its_run_the_last_attempt_counts(
    store: DagProvenance,
) -> None:
    def before() -> Dag:
        def priced(raw: list[Raw]) -> list[Price]:
            return [Price(cents=1)]

        def stops(prices: list[Price]) -> Total:
            raise ValueError("not today")

        dag = Dag()
        dag.node(fetch, write="insert") >> dag.node(priced, write="insert") >> dag.node(stops)
        return dag

    def after() -> Dag:
        def priced(raw: list[Raw]) -> list[Price]:
            return [Price(cents=2), Price(cents=3)]

        def stops(prices: list[Price]) -> Total:
            return Total(cents=sum(price.cents for price in prices))

        dag = Dag()
        cleaned = dag.node(fetch, write="insert") >> dag.node(priced, write="insert")
        cleaned >> dag.node(stops, write="insert")
        return dag

    failed = DagRunner(before(), store).run_sync({"fetch": {"count": 1}})
    (first,) = store.rows_of(failed.run_id, "priced", Price)
    done = asyncio.run(DagRunner(after(), store).restart(failed.run_id, on_change="rerun"))
    row = done.raise_for_status().outputs["stops"]
    assert row.cents == 5
    prices = store.rows_of(done.run_id, "priced", Price)
    assert [price.cents for price in prices] == [2, 3]
    assert store.upstream_rows(row) == prices
    assert store.downstream_rows(first) == []
    raws = store.rows_of(done.run_id, "fetch", Raw)
    assert store.upstream_rows(first) == store.upstream_rows(prices[0]) == raws


def test_what_was_pruned_has_no_lineage_any_more(store: DagProvenance) -> None:
    result = sold(store)
    row = result.outputs["total"]
    prices = store.upstream_rows(row)
    dag = Dag()
    dag.node(amounts)
    DagRunner(dag, store).run_sync({"amounts": {"prices": prices}}).raise_for_status()
    with store.open() as conn:
        assert PayloadRows.select_count(conn) == 1
    assert len(store.prune(keep_last=0).runs) == 2
    assert store.origin_of(row) is None
    assert store.upstream_rows(row) == store.downstream_rows(prices[0]) == []
    assert store.explain(row).steps == ()
    with store.open() as conn:
        assert (PayloadRows.select_count(conn), RowOrigin.select_count(conn)) == (0, 0)


def test_a_replay_that_reuses_an_output_has_the_rows_of_the_run_that_made_it(
    store: DagProvenance,
) -> None:
    first = sold(store)
    second = asyncio.run(DagRunner(shop(), store).replay(first.run_id, {"total"}))
    row = second.outputs["total"]
    assert row != first.outputs["total"]
    prices = store.rows_of(second.run_id, "clean", Price)
    assert prices == store.rows_of(first.run_id, "clean", Price)
    assert store.upstream_rows(row) == prices
    assert store.downstream_rows(prices[1]) == [first.outputs["total"], row]
    assert [step.run_id for step in store.explain(row).steps] == [
        second.run_id,
        first.run_id,
        first.run_id,
    ]


def test_rows_go_from_run_to_run_as_inputs_and_as_values_that_a_node_read(
    store: DagProvenance,
) -> None:
    first = sold(store)
    given = store.rows_of(first.run_id, "clean", Price)[:2]

    def read() -> list[Price]:
        return list(given)

    by_input, by_reading = Dag(), Dag()
    by_input.node(amounts) >> by_input.node(total, write="insert")
    by_reading.node(read) >> by_reading.node(amounts) >> by_reading.node(total, write="insert")
    one = DagRunner(by_input, store).run_sync({"amounts": {"prices": given}})
    two = DagRunner(by_reading, store).run_sync()
    totals = [run.raise_for_status().outputs["total"] for run in (first, one, two)]
    for row in totals[1:]:
        before = store.upstream_rows(row)
        assert (before, before.rewritten) == (given, ())  # written before, not since
    assert store.downstream_rows(given[0]) == totals


def yielded(count: int) -> Iterator[Raw]:
    for number in range(1, count + 1):
        yield Raw(cents=number)


def handed_on(rows: Rows[Raw]) -> Rows[Raw]:
    return rows


def summed(rows: Rows[Raw]) -> Total:
    return Total(cents=sum(row.cents for row in rows))


def test_streams_of_rows_have_lineage_wherever_they_go(store: DagProvenance) -> None:
    first, second = Dag(), Dag()
    first.node(yielded, write="insert") >> first.node(handed_on)
    second.node(handed_on) >> second.node(summed, write="insert")
    one = DagRunner(first, store).run_sync({"yielded": {"count": 3}}).raise_for_status()
    stream = one.outputs["handed_on"]
    two = DagRunner(second, store).run_sync({"handed_on": {"rows": stream}}).raise_for_status()
    row = two.outputs["summed"]
    rows = store.upstream_rows(row)
    assert rows == list(stream) == store.rows_of(one.run_id, "yielded", Raw)
    assert store.downstream_rows(rows[1]) == [row]
    assert store.explain(row).steps[0].inputs == (LineageInput("rows", "handed_on", None),)


def test_an_element_that_is_a_stream_is_upstream_of_what_was_made_of_it_only(
    store: DagProvenance,
) -> None:
    def counts() -> list[int]:
        return [1, 2]

    def all_of_them(totals: list[Total], streams: list[Rows[Raw]]) -> Word:
        return Word(word="all")

    wide, narrow, dag = Dag(), Dag(), Dag()
    wide.node(yielded, write="insert")
    narrow.node(summed, write="insert")
    streams = dag.node(counts) >> dag.map(wide, "streams")
    streams >> dag.map(narrow, "totals") >> dag.node(all_of_them, write="insert")
    dag.edge("streams", "all_of_them")
    result = DagRunner(dag, store).run_sync().raise_for_status()
    totals = store.rows_of(result.run_id, "totals", Total)
    for row in totals:
        rows = store.upstream_rows(row)
        assert sum(raw.cents for raw in rows) == row.cents
        for raw in rows:
            assert set(map(named, store.downstream_rows(raw))) == {
                named(row),
                ("lineage_word", "all"),
            }
    everything = store.upstream_rows(result.outputs["all_of_them"])
    raws = store.rows_of(result.run_id, "streams", Raw)
    assert set(map(named, everything)) == {*map(named, raws), *map(named, totals)}


def test_rows_that_no_node_wrote_are_upstream_if_they_are_there(store: DagProvenance) -> None:
    with store.open() as conn:
        Schema([Raw]).create_tables(conn)
        seed = Raw(cents=5).save(conn)
        conn.commit()
    dag = Dag()
    dag.node(clean, write="insert")
    never_saved = Raw(raw_id=99, cents=1)
    result = DagRunner(dag, store).run_sync({"clean": {"raw": [seed, never_saved]}})
    (row, _) = result.raise_for_status().outputs["clean"]
    assert store.origin_of(seed) is None
    before = store.upstream_rows(row)
    assert (before, before.deleted) == ([seed], ())
    assert store.downstream_rows(seed) == result.outputs["clean"]
    assert store.explain(seed).steps == ()
    assert "No node of this store has written it." in str(store.explain(seed))
    assert store.explain(row).steps[0].seeds[0] == RowKey("lineage_raw", seed.raw_id)


def test_keys_of_text_and_of_several_columns_have_lineage_too(store: DagProvenance) -> None:
    def listed(count: int) -> list[Listing]:
        return [
            Listing(shop=f"s{number}", day=date(2026, 1, number + 1)) for number in range(count)
        ]

    def named(found: list[Listing]) -> Word:
        return Word(word="-".join(each.shop for each in found))

    dag = Dag()
    dag.node(listed, write="insert") >> dag.node(named, write="insert")
    result = DagRunner(dag, store).run_sync({"listed": {"count": 3}}).raise_for_status()
    word = result.outputs["named"]
    listings = store.upstream_rows(word)
    assert listings == store.rows_of(result.run_id, "listed", Listing)
    assert [each.shop for each in listings] == ["s0", "s1", "s2"]
    assert store.downstream_rows(listings[2]) == [word]
    with store.open() as conn:
        listings[1].delete_row(conn)
        conn.commit()
    gone = RowKey("lineage_listing", ("s1", date(2026, 1, 2)))
    assert store.rows_of(result.run_id, "listed", Listing).deleted == (gone,)
    assert store.explain(word).steps[1].rows[1] == gone


# --- explanations -----------------------------------------------------------------------------


def test_an_explanation_is_a_chain_of_frozen_steps_as_data_text_and_html(
    store: DagProvenance,
) -> None:
    result = sold(store)
    made = store.explain(result.outputs["total"])
    assert [step.node_label for step in made.steps] == ["total", "clean", "fetch"]
    last, middle, first = made.steps
    assert (last.upstream, middle.upstream, first.upstream) == ((2,), (3,), ())
    assert last.inputs == (LineageInput("cents", "amounts", "[99,199,299]"),)
    assert middle.inputs == (LineageInput("raw", "fetch", None),)
    assert first.inputs == (LineageInput("count", "given", "3"),)
    assert (middle.row_count, middle.attempt, middle.dag_nsref) == (3, 1, "shop:daily")
    assert last.code_hash.startswith("1:")
    text = str(made)
    assert f"1. total wrote lineage_total {result.outputs['total'].total_id}\n" in text
    assert "   fed by the rows of step 3\n" in text
    assert "count given: 3" in text
    html = made._repr_html_()
    assert html.count("<tr>") == 4
    assert "lineage_total" in html
    with pytest.raises(AttributeError):
        made.cut = ("all",)  # type: ignore[misc]  # pyright: ignore[reportAttributeAccessIssue]


def test_an_explanation_is_bounded_and_says_what_was_cut(store: DagProvenance) -> None:
    def price(raw: Raw) -> Price:
        return Price(cents=raw.cents)

    inner, dag = Dag(), Dag()
    inner.node(price, write="insert")
    each = dag.node(fetch, write="insert") >> dag.map(inner, "prices")
    each >> dag.node(amounts) >> dag.node(total, write="insert")
    result = DagRunner(dag, store).run_sync({"fetch": {"count": 6}}).raise_for_status()
    row = result.outputs["total"]
    assert len(store.explain(row).steps) == 8
    made = store.explain(row, steps=4)
    assert len(made.steps) == 4
    assert made.cut[0] == "3 more attempts fed step 1 (steps=4)."
    made = store.explain(row, depth=1)
    assert len(made.steps) == 7
    assert "What fed steps 2, 3, 4, 5, 6, 7 is not looked at (depth=1)." in str(made)
    with pytest.raises(ValueError, match="depth"):
        store.explain(row, depth=0)


def test_a_row_that_was_rewritten_is_explained_by_who_wrote_it_before(
    store: DagProvenance,
) -> None:
    def corrected(prices: list[Price]) -> list[Price]:
        return [Price(price_id=price.price_id, cents=7) for price in prices]

    with store.open() as conn:
        Schema([Price]).create_tables(conn)
        seed = Price(cents=5).save(conn)
        conn.commit()
    made = store.rows_of(sold(store).run_id, "clean", Price)[:1]
    dag = Dag()
    dag.node(corrected, write="upsert")
    given = {"corrected": {"prices": [seed, *made]}}
    DagRunner(dag, store).run_sync(given).raise_for_status()
    result = DagRunner(dag, store).run_sync(given).raise_for_status()
    (_, row) = result.outputs["corrected"]
    steps = store.explain(row).steps
    assert [step.node_label for step in steps] == ["corrected", "corrected", "clean", "fetch"]
    assert [step.upstream for step in steps] == [(2,), (3,), (4,), ()]
    seeds = [RowKey("lineage_price", seed.price_id)]
    assert [list(step.seeds) for step in steps] == [[], seeds, [], []]


def test_html_of_an_explanation_is_escaped(store: DagProvenance) -> None:
    def told(text: str) -> Word:
        return Word(word=text)

    dag = Dag()
    dag.node(told, "a<b", write="insert")
    result = DagRunner(dag, store).run_sync({"a<b": {"text": "<script>"}}).raise_for_status()
    html = store.explain(result.outputs["a<b"])._repr_html_()
    assert "<script>" not in html
    assert "a&lt;b" in html


# --- who may ask, and where -------------------------------------------------------------------


class Org(ScopeContext):
    org_id: int


class Bill(Scoped, scope="org_id", table="lineage_bill"):
    bill_id: Annotated[int, PrimaryKey()] = -1
    org_id: int = 0
    cents: int


def test_a_tenant_sees_the_lineage_of_its_own_rows_only(store: DagProvenance) -> None:
    def billed(cents: int) -> list[Bill]:
        return [Bill(cents=cents)]

    def summed(bills: list[Bill]) -> Bill:
        return Bill(cents=sum(bill.cents for bill in bills))

    dag = Dag()
    dag.node(billed, write="insert") >> dag.node(summed, write="insert")
    mine, theirs = Org(org_id=1), Org(org_id=2)
    runs = {
        org.org_id: DagRunner(dag, store, user_ctx=org).run_sync({"billed": {"cents": 5}})
        for org in (mine, theirs)
    }
    row = runs[1].raise_for_status().outputs["summed"]
    before = store.upstream_rows(row, user_ctx=mine)
    assert before == store.rows_of(runs[1].run_id, "billed", Bill, user_ctx=mine)
    assert store.downstream_rows(before[0], user_ctx=mine) == [row]
    assert len(store.explain(row, user_ctx=mine).steps) == 2

    assert store.origin_of(row, user_ctx=theirs) is None
    assert store.upstream_rows(row, user_ctx=theirs) == []
    assert store.downstream_rows(before[0], user_ctx=theirs) == []
    assert store.explain(row, user_ctx=theirs).steps == ()
    assert store.explain(row, user_ctx=theirs).text is None
    with pytest.raises(RunNotFound):
        store.rows_of(runs[1].run_id, "billed", Bill, user_ctx=theirs)
    with pytest.raises(LineageError, match="user_ctx="):
        store.upstream_rows(row)
    with pytest.raises(LineageError, match="user_ctx="):
        store.explain(row)
    everybody = AllTenants("an audit")
    assert store.upstream_rows(row, user_ctx=everybody) == before


def test_what_is_no_row_is_refused_and_a_row_without_key_has_no_lineage(
    store: DagProvenance,
) -> None:
    class NoKey(DbModel, table="lineage_no_key"):
        text: str

    for thing in (NoKey(text="a"), cast(Any, 7)):
        for ask in (store.origin_of, store.upstream_rows, store.downstream_rows, store.explain):
            with pytest.raises(LineageError, match="primary key"):
                ask(thing)
    fresh = Price(cents=1)
    assert store.origin_of(fresh) is None
    assert store.upstream_rows(fresh) == store.downstream_rows(fresh) == []
    assert store.explain(fresh).row == RowKey("lineage_price", None)


def test_a_limit_that_allows_nothing_is_refused_whatever_there_is(store: DagProvenance) -> None:
    row = Price(price_id=1, cents=1)
    for asked in (store, NullProvenance()):
        for ask in (asked.upstream_rows, asked.downstream_rows):
            with pytest.raises(ValueError, match="limit is how many rows at most, 1 or more"):
                ask(row, limit=0)
        with pytest.raises(ValueError, match="limit"):
            asked.rows_of("none", "fetch", Raw, limit=-1)


def test_a_null_provenance_knows_of_no_row() -> None:
    store, row = NullProvenance(), Price(price_id=1, cents=1)
    assert store.origin_of(row) is None
    assert store.rows_of("run", "clean", Price) == []
    assert store.upstream_rows(row) == store.downstream_rows(row) == []
    assert store.explain(row).steps == ()


def test_rows_are_read_in_the_database_that_is_said(store: DagProvenance, tmp_path: Path) -> None:
    result = sold(store, 2)
    elsewhere = tmp_path / "elsewhere.db"
    with open_sqlite_db(elsewhere) as conn:
        Schema([Price]).create_tables(conn)
        for price in store.rows_of(result.run_id, "clean", Price)[:1]:
            Price(price_id=price.price_id, cents=-1).save(conn)
        conn.commit()
        here = store.rows_of(result.run_id, "clean", Price, outputs=conn)
    assert [price.cents for price in here] == [-1]
    for place in (elsewhere, f"sqlite:///{elsewhere}"):
        there = store.upstream_rows(result.outputs["total"], outputs=place)
        assert (there, len(there.deleted)) == (here, 1)
    made = store.explain(result.outputs["total"], outputs=elsewhere)
    assert made.text is not None
    with pytest.raises(LineageError, match="outputs="):
        store.rows_of(result.run_id, "fetch", Raw, outputs=elsewhere)


def test_rows_that_a_runner_wrote_elsewhere_are_found_there(
    store: DagProvenance, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.db"
    runner = DagRunner(shop(), store, outputs=elsewhere)
    result = runner.run_sync({"fetch": {"count": 2}}).raise_for_status()
    row = result.outputs["total"]
    prices = store.rows_of(result.run_id, "clean", Price)
    assert [price.cents for price in prices] == [99, 199]
    assert store.upstream_rows(row) == prices
    assert store.downstream_rows(prices[0]) == [row]
    assert [step.node_label for step in store.explain(row).steps] == ["total", "clean", "fetch"]
    assert store.upstream_rows(row, outputs=f"sqlite:///{elsewhere}") == prices


# --- what it costs ----------------------------------------------------------------------------


def test_questions_take_as_many_statements_however_many_rows_there_are(tmp_path: Path) -> None:
    asked: dict[str, set[int]] = {}
    for count in (2, 900):
        with DagProvenance(tmp_path / f"{count}.db") as store:
            for name, number in statements_of_questions(store, count):
                asked.setdefault(name, set()).add(number)
    assert all(len(counts) == 1 for counts in asked.values()), asked


def statements_of_questions(store: DagProvenance, count: int) -> Iterator[tuple[str, int]]:
    sold(store, count)
    result = sold(store, count)
    row = result.outputs["total"]
    price = store.rows_of(result.run_id, "clean", Price)[-1]
    questions: dict[str, Callable[[tracing.Asking], Any]] = {
        "origin": lambda asking: tracing.origin_of(asking, price),
        "up": lambda asking: tracing.upstream_rows(asking, row, None),
        "down": lambda asking: tracing.downstream_rows(asking, price, None),
        "explain": lambda asking: tracing.explain(asking, row, 10, 50),
    }
    for name, ask in questions.items():
        with store.open() as conn, count_statements(conn) as statements:
            ask(tracing.Asking(conn, Places(conn)))
        yield name, statements.count


def test_the_origin_of_one_row_among_many_is_found_by_an_index(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        result = sold(store, 1)
        with store.open() as conn:
            (known,) = RowOrigin.select(conn, table_name="lineage_price")
            attempt_id = known.node_attempt_id
            RowOrigin.insert_many(
                conn,
                (
                    RowOrigin(
                        node_attempt_id=attempt_id,
                        table_name="lineage_price",
                        first_key=key,
                        last_key=key,
                        span=0,
                    )
                    for key in range(10, 20_010)
                ),
            )
            conn.commit()
            began = [0]

            def looked() -> int:
                began[0] += 1
                return 0

            cast(sqlite3.Connection, conn).set_progress_handler(looked, 100)
            found = newest_origins(conn, "lineage_price", [15_000])
            assert found[15_000].node_attempt_id == attempt_id
            assert began[0] < 20  # steps of SQLite's machine, by the hundred
        assert result.status == "completed"
