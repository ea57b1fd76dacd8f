"""Nodes that write to another database than the one that records their runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

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
    OutputsChanged,
    Retry,
    RowOrigin,
    Rows,
    RunTakenOver,
)
from lythonic_compose.dag_provenance import DagRun
from lythonic_compose.dag_runner import utc_now
from lythonic_compose.outputs.elsewhere import OutputFence, OutputMarker, Outputs
from lythonic_compose.outputs.reading import place_of
from lythonic_state import ConstraintViolation, DatabaseError, DbModel, open_db
from tests.compose.outputs_models import Invoice, Org, Price, Town, chain, each, fetch, keys, one
from tests.databases import sqlite_url


@pytest.fixture(params=["sqlite to sqlite", "sqlite to postgres", "postgres to postgres"])
def places(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str]:
    """The database of the runs, and that of the rows."""
    rows = sqlite_url(tmp_path / "rows.db")
    runs = str(tmp_path / "runs.db")
    match request.param:
        case "sqlite to sqlite":
            return runs, rows
        case "sqlite to postgres":
            return runs, str(request.getfixturevalue("pg_url"))
        case _:
            # one server; that they are two databases is told by their URLs
            url = str(request.getfixturevalue("pg_url"))
            return url, url + ("&" if "?" in url else "?") + "application_name=rows"


@pytest.fixture
def store(places: tuple[str, str]) -> Iterator[DagProvenance]:
    with DagProvenance(places[0]) as provenance:
        yield provenance


@pytest.fixture
def target(places: tuple[str, str]) -> str:
    return places[1]


def rows(target: str, model: type[DbModel[Any]], **filters: Any) -> list[Any]:
    with open_db(target) as conn:
        return model.select(conn, **filters)


def origins(store: DagProvenance) -> list[tuple[str, Any, Any, Any]]:
    with store.open() as conn:
        found = RowOrigin.select(conn, order_by="row_origin_id")
    return [(each.table_name, each.first_key, each.last_key, each.key_text) for each in found]


async def test_rows_go_there_and_where_they_came_from_is_recorded_here(
    store: DagProvenance, target: str
) -> None:
    result = await DagRunner(chain(fetch, keys, write="insert"), store, outputs=target).run(
        {"make": {"count": 3}}
    )
    saved = {price.name: price.price_id for price in rows(target, Price)}
    assert result.raise_for_status().outputs["use"] == [saved[f"p{n}"] for n in range(3)]
    ((table, first, last, _),) = origins(store)
    assert (table, sorted(saved.values())) == ("prices", list(range(first, last + 1)))
    (marker,) = rows(target, OutputMarker)
    with store.open() as conn:
        node = NodeExecution.get(conn, run_id=result.run_id, node_label="make")
    assert (marker.run_id, marker.node_label, marker.attempt) == (result.run_id, "make", 1)
    assert marker.payload_hash == node.output_payload


async def test_a_stream_is_read_there(store: DagProvenance, target: str) -> None:
    async def use(made: Rows[Any]) -> tuple[int, int, set[str]]:
        return len(made), len([row async for row in made]), {row.name for row in made}

    def make() -> Iterator[Price | Town]:
        yield from each(1500)
        yield Town(name="Bern")

    runner = DagRunner(chain(make, use, write="insert"), store, outputs=target)
    result = await runner.run()
    used = result.raise_for_status().outputs["use"]
    assert used == (1501, 1501, {"Bern", *(f"p{number}" for number in range(1500))})
    again = await runner.replay(result.run_id, {"use"})
    assert again.raise_for_status().outputs["use"] == used


async def test_what_is_refused_there_fails_the_node_and_leaves_nothing(
    store: DagProvenance, target: str
) -> None:
    def make(ctx: DagContext) -> list[Price]:
        return [Price(name="a"), Price(name="a" if ctx.attempt == 1 else "b")]

    once = await DagRunner(one(make, write="insert"), store, outputs=target).run()
    assert isinstance(once.exception, ConstraintViolation)
    assert rows(target, Price) == rows(target, OutputMarker) == origins(store) == []
    dag = one(make, write="insert", retry=Retry(2, backoff=0))
    twice = await DagRunner(dag, store, outputs=target).run()
    assert twice.status == "completed"
    assert [marker.attempt for marker in rows(target, OutputMarker)] == [2]


async def test_replace_and_scoped_rows_work_there_too(store: DagProvenance, target: str) -> None:
    def make(cents: int) -> list[Invoice]:
        return [Invoice(cents=cents)]

    for org, cents in ((1, 5), (2, 6), (1, 7)):
        runner = DagRunner(
            one(make, write="replace"), store, outputs=target, user_ctx=Org(org_id=org)
        )
        assert (await runner.run({"make": {"cents": cents}})).status == "completed"
    with open_db(target) as conn:
        found = [Invoice.select(conn, user_ctx=Org(org_id=org)) for org in (1, 2)]
    assert [[invoice.cents for invoice in each] for each in found] == [[7], [6]]


@pytest.mark.parametrize("stream", [fetch, each])
async def test_what_a_dead_process_had_saved_is_not_written_again(
    store: DagProvenance, target: str, stream: Callable[..., Any]
) -> None:
    """The process ends after the commit there and before the one here."""
    called: list[int] = []

    def make(count: int) -> Any:
        called.append(count)
        return stream(count)

    def use(made: Iterable[Price]) -> list[str]:
        return [price.name for price in made]

    make.__annotations__["return"] = list[Price] if stream is fetch else Iterator[Price]

    class Dies(Exception):
        pass

    runner = DagRunner(chain(make, use, write="insert"), store, outputs=target)

    def die(*_: Any) -> Any:
        raise Dies

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Dies):
        patch.setattr("lythonic_compose.dag_provenance.node_rows._completed_elsewhere", die)
        await runner.run({"make": {"count": 2}})
    (run,) = store.get_recent_runs()
    assert origins(store) == []
    result = await runner.restart(run.run_id)
    assert result.raise_for_status().outputs["use"] == ["p0", "p1"]
    assert called == [2]
    assert len(rows(target, Price)) == 2
    assert len(origins(store)) == 1
    with store.open() as conn:
        attempts = NodeAttempt.select(conn, order_by="node_attempt_id")
    assert [attempt.status for attempt in attempts] == ["completed", "completed"]


async def test_what_is_to_run_again_does_so_and_writes_again(
    store: DagProvenance, target: str
) -> None:
    def other(count: int) -> list[Price]:
        return [Price(name=f"q{number}") for number in range(count)]

    def use(made: list[Price]) -> list[str]:
        if made[0].name == "p0":
            raise LookupError("not those")
        return [price.name for price in made]

    failed = await DagRunner(chain(fetch, use, write="insert"), store, outputs=target).run(
        {"make": {"count": 2}}
    )
    runner = DagRunner(chain(other, use, write="insert"), store, outputs=target)
    result = await runner.restart(failed.run_id, on_change="rerun")
    assert result.raise_for_status().outputs["use"] == ["q0", "q1"]
    assert len(rows(target, Price)) == 4
    assert [marker.attempt for marker in rows(target, OutputMarker)] == [2]


async def test_who_was_taken_over_from_writes_nothing(store: DagProvenance, target: str) -> None:
    def make(ctx: DagContext) -> list[Price]:
        other = Outputs(target, utc_now)
        with other.in_use():
            other.take_over(ctx.run_id, 2)
        return [Price(name="a")]

    runner = DagRunner(one(make, write="insert"), store, outputs=target)
    with pytest.raises(RunTakenOver):
        await runner.run()
    assert rows(target, Price) == []
    assert [fence.fence for fence in rows(target, OutputFence)] == [2]


def test_a_fence_is_never_lowered(target: str) -> None:
    outputs = Outputs(target, utc_now)
    with outputs.in_use():
        outputs.take_over("r", 3)
        with pytest.raises(RunTakenOver):
            outputs.take_over("r", 2)
    assert [fence.fence for fence in rows(target, OutputFence)] == [3]


def pausing(times: int) -> Dag:
    """A node that pauses its run so many times, and one that writes."""
    left = iter(range(times))

    def begin(count: int) -> int:
        if next(left, None) is not None:
            raise DagPause("not yet")
        return count

    dag = Dag()
    _ = dag.node(begin) >> dag.node(fetch, "make", write="upsert")
    return dag


async def test_a_run_does_not_go_on_where_its_rows_would_go_to_another_database(
    store: DagProvenance, target: str, tmp_path: Path
) -> None:
    dag = pausing(2)
    there, here = DagRunner(dag, store, outputs=target), DagRunner(dag, store)
    other = DagRunner(dag, store, outputs=tmp_path / "other.db")
    paused = [await runner.run({"begin": {"count": 2}}) for runner in (there, here)]
    with store.open() as conn:
        before = DagRun.select(conn, order_by="run_id")

    for result, runner, places in (
        (paused[0], here, (place_of(target), "the store that records it")),
        (paused[0], other, (place_of(target), str(tmp_path / "other.db"))),
        (paused[1], there, ("the store that records it", place_of(target))),
    ):
        mend = "without outputs=" if result is paused[1] else f"with outputs={places[0]!r}"
        for on_change in ("raise", "keep", "rerun"):
            with pytest.raises(OutputsChanged) as refused:
                await runner.restart(result.run_id, on_change)
            assert f"its rows to {places[0]}, and here they would go to {places[1]};" in str(
                refused.value
            )
            assert f"make the runner {mend}" in str(refused.value)
    with store.open() as conn:
        assert DagRun.select(conn, order_by="run_id") == before
    assert not (tmp_path / "other.db").exists()

    assert (await there.restart(paused[0].run_id)).status == "completed"
    assert [price.name for price in rows(target, Price)] == ["p0", "p1"]
    assert (await here.restart(paused[1].run_id)).status == "completed"
    with store.open() as conn:
        assert [price.name for price in Price.select(conn)] == ["p0", "p1"]


async def test_a_relative_file_is_the_same_from_every_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    dag = pausing(1)
    with DagProvenance(tmp_path / "runs.db") as store:
        monkeypatch.chdir(tmp_path)
        paused = await DagRunner(dag, store, outputs="rows.db").run({"begin": {"count": 1}})
        run = store.get_run(paused.run_id)
        assert run is not None
        assert run.rows_to == str(tmp_path / "rows.db")
        monkeypatch.chdir(tmp_path / "sub")
        with pytest.raises(OutputsChanged):
            await DagRunner(dag, store, outputs="rows.db").restart(paused.run_id)
        again = DagRunner(dag, store, outputs="../rows.db")
        assert (await again.restart(paused.run_id)).status == "completed"


async def test_no_password_is_kept_and_another_one_is_the_same_place(
    pg_url: str, tmp_path: Path
) -> None:
    dag = pausing(1)
    with DagProvenance(tmp_path / "runs.db") as store:
        urls = [
            f"{pg_url}{'&' if '?' in pg_url else '?'}password={word}" for word in ("hush", "psst")
        ]
        paused = await DagRunner(dag, store, outputs=urls[0]).run({"begin": {"count": 1}})
        run = store.get_run(paused.run_id)
        assert run is not None
        assert run.rows_to == pg_url.replace("postgres:@", "postgres@")
        with pytest.raises(OutputsChanged, match="and the password, which is not kept"):
            await DagRunner(dag, store).restart(paused.run_id)
        again = DagRunner(dag, store, outputs=urls[1])
        assert (await again.restart(paused.run_id)).status == "completed"
    assert b"hush" not in b"".join(file.read_bytes() for file in tmp_path.iterdir())


async def test_a_database_that_is_not_there_stops_a_run_before_it_is_recorded(
    tmp_path: Path,
) -> None:
    """Also where no model is declared; so what is kept of a URL is of one that the driver takes."""
    target = "postgresql://me:hu/sh@localhost/db"
    with DagProvenance(tmp_path / "runs.db") as store:
        with pytest.raises(DatabaseError):
            await DagRunner(one(lambda: 1), store, outputs=target, write_models=True).run()
        assert store.get_recent_runs() == []


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("postgresql://me:hush@h:5/db?a=1&password=hush&b=x@y", "postgresql://me@h:5/db?a=1&b=x@y"),
        ("postgresql://me:h?us#h@h/db", "postgresql://me@h/db"),
        ("postgresql://h/db?sslpassword=hush", "postgresql://h/db"),
        ("postgresql://h/db?user=a:b@c&%70assword=hush", "postgresql://h/db?user=a:b@c"),
        ("postgres://me@h/db", "postgres://me@h/db"),
        ("postgresql:///db?host=/run", "postgresql:///db?host=/run"),
        ("sqlite:////x/../y/rows.db", "/y/rows.db"),
    ],
)
def test_a_place_is_told_without_its_password(target: str, place: str) -> None:
    assert place_of(target) == place


async def test_rows_can_be_written_without_a_record_of_the_run(target: str) -> None:
    def use(made: Rows[Price]) -> list[str]:
        return [price.name for price in made]

    for provenance in (None, NullProvenance()):
        runner = DagRunner(chain(each, use, write="upsert"), provenance, outputs=target)
        result = await runner.run({"make": {"count": 2}})
        assert result.raise_for_status().outputs["use"] == ["p0", "p1"]


async def test_naming_the_database_of_the_runs_is_the_same_as_naming_none(tmp_path: Path) -> None:
    with DagProvenance(tmp_path / "runs.db") as store:
        for outputs in (tmp_path / "runs.db", sqlite_url(tmp_path / "x" / ".." / "runs.db")):
            runner = DagRunner(one(fetch, write="upsert"), store, outputs=outputs)
            await runner.run({"make": {"count": 1}})
        with store.open() as conn:
            assert Price.select_count(conn) == 1


def test_a_database_in_memory_cannot_take_rows() -> None:
    with pytest.raises(DagError, match="in memory, which ends with the run"):
        DagRunner(one(fetch, write="insert"), outputs="sqlite://")
