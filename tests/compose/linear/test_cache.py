"""The persistent cache: what is reused, what is not, and why; and what a crash leaves."""

import asyncio
import gc
import logging
import pickle
import signal
import sqlite3
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pydantic import BaseModel

from lythonic_compose import CacheError, DagError, DagProvenance, RunFailed, UnknownName, failpoints
from lythonic_compose.linear import Node, Pipeline, create_named_partial_function
from lythonic_compose.linear.identity import digest
from lythonic_state import open_sqlite_db
from tests.processes import Python


class Price(BaseModel):
    symbol: str
    cents: int


class Table:
    """Something that only pickle can keep."""

    def __init__(self, rows: list[int]) -> None:
        self.rows = rows


class Model:
    """Something else of that kind."""

    def __init__(self, weight: int) -> None:
        self.weight = weight

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Model) and other.weight == self.weight

    __hash__ = None  # type: ignore[assignment]  # only compared


class Connection:
    """Something that nothing can keep."""

    def __reduce__(self) -> Any:
        raise TypeError("connections cannot be pickled")

    def __deepcopy__(self, memo: Any) -> "Connection":
        return self


def connect() -> Connection:
    return Connection()


def load(connection: Connection) -> list[Price]:
    assert isinstance(connection, Connection)
    return [Price(symbol="A", cents=1), Price(symbol="B", cents=2)]


def frame(prices: list[Price]) -> Table:
    return Table([price.cents for price in prices])


def train(table: Table, depth: int) -> Model:
    return Model(sum(table.rows) * depth)


def report(model: Model) -> None:
    assert isinstance(model, Model)


NAMES = ("connect", "load", "frame", "train", "report")

Run = Callable[[Pipeline], Any]
RUNS: dict[str, Run] = {
    "loop": lambda pipeline: pipeline.run(),
    "engine": lambda pipeline: pipeline.run(progress=lambda event: None),
    "async": lambda pipeline: asyncio.run(pipeline.run_async()),
}


@pytest.fixture(params=RUNS)
def run(request: pytest.FixtureRequest) -> Run:
    return RUNS[request.param]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "not there yet" / "cache.db"


def pipeline(path: Path, depth: int = 2, train: Any = train, **more: Any) -> Pipeline:
    return Pipeline(
        [
            Node(connect, [], ["connection"]),
            Node(load, ["connection"], ["prices"]),
            Node(frame, ["prices"], ["table"]),
            Node(train, ["table", "config.depth"], ["model"]),
            Node(report, ["model"], []),
        ],
        config={"depth": depth},
        use_persistent_cache=True,
        cache_storage_path=path,
        **more,
    )


def actions(pipeline: Pipeline, **part: Any) -> dict[str, str]:
    return {each.node: f"{each.action}: {each.why}" for each in pipeline.plan(**part)}


def test_what_is_kept_is_reused_by_the_next_run(run: Run, path: Path) -> None:
    first = run(pipeline(path))
    assert (tuple(first.ran), first.reused) == (NAMES, ())

    again = run(pipeline(path))

    assert (tuple(again.ran), again.reused) == (("report",), ("load", "frame", "train"))
    with pipeline(path).get_obj_registry() as registry:
        assert registry.placement == dict.fromkeys(("model", "prices", "table"), "cache")
        assert registry.get("prices") == [Price(symbol="A", cents=1), Price(symbol="B", cents=2)]
        assert registry.get("model") == Model(6)
        assert registry.get("table").rows == [1, 2]


def test_values_with_a_type_are_json_and_other_objects_are_pickled(path: Path) -> None:
    pipeline(path).run()

    with sqlite3.connect(path) as conn:
        how = dict(conn.execute("SELECT name, how FROM pipeline_objects"))
        (text,) = conn.execute("SELECT content FROM pipeline_parts WHERE name='prices'").fetchone()
        (dump,) = conn.execute("SELECT content FROM pipeline_parts WHERE name='model'").fetchone()
    conn.close()

    assert how.pop("connection") == "not kept"
    assert how == {"prices": "typed", "table": "pickled", "model": "pickled"}
    assert text == b'[{"symbol":"A","cents":1},{"symbol":"B","cents":2}]'
    assert pickle.loads(dump) == Model(6)


def test_what_cannot_be_kept_stays_in_memory_and_the_log_says_so(
    run: Run, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(pipeline(path))

    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert line.getMessage() == (
        "connection (tests.compose.linear.test_cache:Connection) cannot be kept, and stays in "
        "memory: TypeError: connections cannot be pickled"
    )


def test_the_plan_says_what_is_run_and_reused_and_why(path: Path) -> None:
    assert actions(pipeline(path)) == {
        "connect": "run: connection is not in the cache",
        "load": "run: prices is not in the cache",
        "frame": "run: table is not in the cache",
        "train": "run: model is not in the cache",
        "report": "run: it has no outputs that could be kept",
    }
    assert not path.exists(), "looking at the plan made a file"
    pipeline(path).run()

    found = actions(pipeline(path))
    reuse = found["load"]
    assert reuse.startswith("reuse: code and inputs are those of 20")
    assert found == {
        "connect": "skip: nothing that runs needs connection",
        "load": reuse,
        "frame": reuse,
        "train": reuse,
        "report": "run: it has no outputs that could be kept",
    }
    assert str(pipeline(path).plan()).splitlines()[2].split() == [
        *("connect", "skip", "nothing", "that", "runs", "needs", "connection"),
    ]


def test_the_plan_of_a_pipeline_without_a_cache_says_so() -> None:
    plan = Pipeline([Node(connect, [], ["connection"])]).plan()

    assert plan["connect"].why == "there is no persistent cache"
    assert [each.action for each in plan] == ["run"]
    with pytest.raises(UnknownName, match="no node 'conect'; did you mean 'connect'"):
        plan["conect"]


def other_train(table: Table, depth: int) -> Model:
    return Model(max(table.rows) * depth)


def test_other_code_or_inputs_make_a_node_and_what_follows_run_again(
    run: Run, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(pipeline(path))
    caplog.clear()

    with caplog.at_level(logging.INFO, "lythonic_compose"):
        result = run(pipeline(path, depth=3))
    assert tuple(result.ran) == ("train", "report")
    assert "[train] run: config.depth has changed" in caplog.messages

    changed = pipeline(path, depth=3, train=create_named_partial_function(other_train, "train"))
    assert actions(changed)["train"] == "run: its code has changed"
    assert tuple(run(changed).ran) == ("train", "report")
    assert changed.get_obj_registry().get("model") == Model(6)


def test_what_follows_a_node_that_is_made_anew_is_made_anew(path: Path) -> None:
    pipeline(path).run()
    pipeline(path).forget("table")

    found = actions(pipeline(path))

    assert found["load"].startswith("reuse")
    assert found["frame"] == "run: table is not in the cache"
    assert found["train"] == "run: table is made anew"


def test_what_cannot_be_kept_is_made_again_if_somebody_needs_it(run: Run, path: Path) -> None:
    run(pipeline(path))
    pipeline(path).forget("prices")

    found = actions(pipeline(path))
    assert found["connect"] == "run: connection cannot be kept, for load"
    assert tuple(run(pipeline(path)).ran) == NAMES
    assert tuple(run(pipeline(path)).ran) == ("report",)


LIMIT = 3


def limited(x: int) -> int:
    return min(x, LIMIT)


def test_a_number_outside_that_a_function_reads_is_part_of_its_code(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def made(factor: int, default: Any = 1) -> Pipeline:
        def times(x: int, by: int = default) -> int:
            return x * factor * by

        return Pipeline(
            [Node(limited, ["x"], ["y"]), Node(times, ["y"], ["z"])],
            use_persistent_cache=True,
            cache_storage_path=path,
            x=5,
        )

    made(2).run()
    assert made(2).run().ran == ()
    assert made(3).run().ran == ("times",)
    assert made(3, 4).run().ran == ("times",)
    monkeypatch.setitem(limited.__globals__, "LIMIT", 4)
    assert made(3, 4).run().ran == ("limited", "times")


def test_what_a_function_writes_outside_is_not_part_of_its_code(path: Path) -> None:
    calls: list[int] = []
    times = 0

    def counted(x: int) -> int:
        nonlocal times
        times += 1
        calls.append(x)
        return x

    for _ in range(3):
        Pipeline(
            [Node(counted, ["x"], ["y"])], use_persistent_cache=True, cache_storage_path=path, x=1
        ).run()

    assert (calls, times) == ([1], 1)


@pytest.mark.parametrize("value", [Table([1]), {"a", "b"}, Price, len, [1.5]])
def test_constants_of_any_kind_are_compared(path: Path, value: Any) -> None:
    def kind(value: Any) -> str:
        return repr(value)

    def made(value: Any) -> Pipeline:
        return Pipeline(
            [Node(kind, ["value"], ["kind"])],
            use_persistent_cache=True,
            cache_storage_path=path,
            value=value,
        )

    made(value).run()

    assert made(value).run().ran == ()
    assert made("another").run().ran == ("kind",)


def test_a_constant_that_cannot_be_compared_does_not_hinder(path: Path) -> None:
    def made() -> Pipeline:
        return Pipeline(
            [Node(load, ["connection"], ["prices"])],
            use_persistent_cache=True,
            cache_storage_path=path,
            connection=Connection(),
        )

    made().run()

    assert made().run().ran == ()


# parts of a pipeline


PART_RUNS: dict[str, dict[str, Any]] = {
    "loop": {},
    "engine": {"progress": lambda event: None},
}


@pytest.mark.parametrize("way", PART_RUNS)
def test_a_part_runs_with_what_is_kept_of_the_rest(way: str, path: Path) -> None:
    def ran(**part: Any) -> tuple[str, ...]:
        return tuple(whole.run(**part, **PART_RUNS[way]).ran)

    whole = pipeline(path)
    assert ran(to_node="load") == ("connect", "load")
    assert ran(to_node="frame") == ("frame",)
    assert ran(only=["frame"]) == ("frame",)
    assert ran(from_node="frame", to_node="train") == ("frame", "train")
    assert ran(from_node="frame") == ("frame", "train", "report")
    assert whole.run(only=["train"], **PART_RUNS[way])["model"] == Model(6)
    assert actions(whole, only=["train"])["frame"].startswith("reuse")
    assert actions(whole, only=["train"])["load"] == "skip: not asked for"


def test_a_part_without_what_it_takes_is_refused_before_anything_runs(path: Path) -> None:
    with pytest.raises(DagError) as caught:
        pipeline(path).run(only=["train"])
    assert str(caught.value) == (
        "train takes table of frame, which is not asked for and cannot be reused (table is not in "
        "the cache); let frame run as well"
    )
    plain = Pipeline([Node(connect, [], ["connection"]), Node(load, ["connection"], ["prices"])])
    with pytest.raises(DagError, match="use_persistent_cache=True keeps objects for that"):
        plain.run(from_node="load")
    pipeline(path).run()
    with pytest.raises(DagError, match=r"load takes connection of connect, .*cannot be kept"):
        pipeline(path).run(only=["load"])
    with pytest.raises(DagError, match="its code has changed"):
        pipeline(path, train=other_train_named()).run(only=["report"])


def other_train_named() -> Any:
    return create_named_partial_function(other_train, "train")


def test_a_part_that_makes_no_sense_is_refused(path: Path) -> None:
    with pytest.raises(UnknownName, match="the pipeline has no node 'trian'; did you mean 'train'"):
        pipeline(path).run(only=["trian"])
    with pytest.raises(DagError, match="leave from_node= and to_node= out"):
        pipeline(path).plan(only=["train"], to_node="train")
    with pytest.raises(DagError, match="train comes after load"):
        pipeline(path).plan(from_node="train", to_node="load")


# a file that does not do what it should


def test_a_file_that_is_no_cache_is_refused_before_anything_runs(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"this is no database" * 100)

    for refused in (pipeline(path).run, pipeline(path).plan, pipeline(path).get_obj_registry):
        with pytest.raises(CacheError, match=r"cannot be used as the cache.*another cache_storage"):
            refused()
    assert path.read_bytes() == b"this is no database" * 100


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE pipeline_parts SET content = substr(content, 1, 20) WHERE name = 'table'",
        "DELETE FROM pipeline_parts WHERE name = 'table'",
        "UPDATE pipeline_objects SET version = 'x' WHERE name = 'table'",
    ],
)
def test_an_object_that_is_not_whole_is_made_anew(
    path: Path, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline(path).run()
    with sqlite3.connect(path) as conn:
        conn.execute(damage)
    conn.close()
    pipeline(path).forget("model")
    caplog.clear()

    assert pipeline(path).run().ran == ("frame", "train", "report")
    assert any("'table' in" in line and "is not used" in line for line in caplog.messages)
    assert pipeline(path).run().ran == ("report",)


def test_an_object_whose_class_has_gone_cannot_be_read(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipeline(path).run()
    with monkeypatch.context() as patched:
        patched.delattr("tests.compose.linear.test_cache.Model")
        with (
            pipeline(path).get_obj_registry() as registry,
            pytest.raises(CacheError, match=r"'model' cannot be read from .*Can't get attribute"),
        ):
            registry.get("model")


def test_an_object_that_cannot_be_unpickled_is_made_anew(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pipeline(path).run()
    with sqlite3.connect(path) as conn:
        content = b"no pickle"
        conn.execute("UPDATE pipeline_parts SET content = ? WHERE name = 'model'", (content,))
        conn.execute(
            "UPDATE pipeline_objects SET version = ? WHERE name = 'model'", (digest(content),)
        )
    conn.close()

    assert pipeline(path).run().ran == ("train", "report")
    assert any("'model' in" in line and "is not used" in line for line in caplog.messages)


def test_a_file_that_cannot_be_written_leaves_objects_in_memory(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = pipeline(path)
    done.run(to_node="load")
    monkeypatch.setattr("lythonic_compose.linear.cache.BUSY_SECONDS", 0.01)
    with open_sqlite_db(path) as conn:
        conn.execute("BEGIN IMMEDIATE")
        result = pipeline(path, depth=5).run()
        conn.rollback()

    assert result.ran[-1] == "report"
    assert any("stay in memory only" in line for line in caplog.messages)


def test_a_large_object_stands_in_several_rows(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lythonic_compose.linear.cache.PART_BYTES", 10)
    pipeline(path).run()

    with sqlite3.connect(path) as conn:
        ((parts,),) = conn.execute("SELECT count(*) FROM pipeline_parts WHERE name = 'table'")
    conn.close()
    assert parts > 5
    assert pipeline(path).run().ran == ("report",)


# a crash


PROGRAM = """
import sys
from pathlib import Path
from tests.compose.linear.test_cache import pipeline
print(*pipeline(Path(sys.argv[1])).run().ran)
"""


@pytest.mark.parametrize("place", ["cache.called", "cache.inside", "cache.kept"])
def test_after_a_kill_at_any_place_the_next_run_goes_on_with_what_is_whole(
    place: str, path: Path
) -> None:
    arm = f"from lythonic_compose import failpoints; failpoints.arm('{place}:3')"
    killed = Python(arm + PROGRAM, str(path))
    killed.wait()
    assert killed.returncode == -signal.SIGKILL
    killed.close()

    with sqlite3.connect(path) as conn:
        kept = {name for (name,) in conn.execute("SELECT name FROM pipeline_objects")}
        whole = {name for (name,) in conn.execute("SELECT DISTINCT name FROM pipeline_parts")}
        assert conn.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    conn.close()
    assert kept - {"connection"} == whole
    assert ("table" in kept) is (place == "cache.kept")

    next_one = Python(PROGRAM, str(path))
    out, _ = next_one.communicate()
    left = ["frame", "train", "report"]
    assert out.split() == left[1 if place == "cache.kept" else 0 :]
    assert failpoints.armed is None


def test_an_interrupted_run_goes_on_where_it_was(path: Path) -> None:
    def interrupted(table: Table, depth: int) -> Model:
        signal.raise_signal(signal.SIGINT)
        raise AssertionError("not reached")

    stopped = create_named_partial_function(interrupted, "train")
    with pytest.raises(KeyboardInterrupt):
        pipeline(path, train=stopped).run()
    assert pipeline(path).run().ran == ("train", "report")


def test_a_failed_run_goes_on_where_it_was(run: Run, path: Path) -> None:
    def failing(table: Table, depth: int) -> Model:
        raise OSError("no disk")

    with pytest.raises(RunFailed, match="no disk"):
        run(pipeline(path, train=create_named_partial_function(failing, "train")))
    assert tuple(run(pipeline(path)).ran) == ("train", "report")


def test_what_is_reused_is_recorded_as_skipped(path: Path) -> None:
    with DagProvenance("sqlite://") as store:
        first = pipeline(path).run(provenance=store)
        again = pipeline(path, depth=3).run(provenance=store)
        assert first.run_id is not None
        assert again.run_id is not None
        old, new = (store.inspect_run(each.run_id) for each in (first, again))
        assert {label: node.status for label, node in old.nodes.items()} == dict.fromkeys(
            NAMES, "completed"
        )
        assert {label: node.status for label, node in new.nodes.items()} == {
            "frame": "skipped",
            "train": "completed",
            "report": "completed",
        }


class Halves(NamedTuple):
    left: list[int]
    right: Model


def as_tuple(x: int) -> tuple[list[int], Model]:
    return [x], Model(x)


def as_list(x: int) -> list[int]:
    return [x, -x]


def as_named(x: int) -> Halves:
    return Halves([x], Model(x))


@pytest.mark.parametrize("func", [as_tuple, as_list, as_named])
def test_one_of_several_outputs_is_reused_as_what_it_was(
    run: Run, func: Callable[..., Any], path: Path
) -> None:
    def made(last: int) -> Pipeline:
        def taken(right: Any, last: int) -> str:
            return f"{type(right).__name__} {last}"

        return Pipeline(
            [Node(func, ["x"], ["left", "right"]), Node(taken, ["right", "last"], ["kind"])],
            use_persistent_cache=True,
            cache_storage_path=path,
            x=1,
            last=last,
        )

    first = run(made(1))
    again = run(made(2))

    assert (tuple(again.ran), again.reused) == (("taken",), (func.__name__,))
    assert again["kind"] == first["kind"].replace("1", "2")
    assert again["left"] == first["left"]


def test_outputs_beside_one_that_cannot_be_kept_are_made_again_with_it(
    run: Run, path: Path
) -> None:
    def both(x: int) -> tuple[Connection, int]:
        return Connection(), x

    def made(last: int) -> Pipeline:
        def taken(number: int, last: int) -> int:
            return number + last

        return Pipeline(
            [Node(both, ["x"], ["connection", "number"]), Node(taken, ["number", "last"], ["sum"])],
            use_persistent_cache=True,
            cache_storage_path=path,
            x=1,
            last=last,
        )

    run(made(1))

    assert made(2).plan()["both"].why == "connection cannot be kept, for taken and the result"
    assert run(made(2)).outputs.keys() == {"connection", "sum"}


class Noticed:
    """An object that is known of as long as it is there."""

    there: weakref.WeakSet[Any] = weakref.WeakSet()

    def __init__(self) -> None:
        self.there.add(self)

    def __setstate__(self, state: Any) -> None:
        self.there.add(self)

    def __getstate__(self) -> Any:
        return {"something": 1}


def notice() -> Noticed:
    return Noticed()


def test_what_was_loaded_is_released_after_the_last_node_that_takes_it(path: Path) -> None:
    seen: list[int] = []

    def used(noticed: Noticed, number: int) -> int:
        seen.append(len(Noticed.there))
        return number

    def behind(number: int) -> int:
        gc.collect()
        seen.append(len(Noticed.there))
        return number

    def made(number: int) -> Pipeline:
        return Pipeline(
            [
                Node(notice, [], ["noticed"]),
                Node(used, ["noticed", "number"], ["same"]),
                Node(behind, ["same"], ["end"]),
            ],
            use_persistent_cache=True,
            cache_storage_path=path,
            number=number,
        )

    made(1).run()
    assert made(2).run().reused == ("notice",)

    assert seen == [2, 0, 2, 0], "the object and the copy of it that a node gets"


def test_a_file_without_tables_and_a_missing_one_keep_nothing(path: Path) -> None:
    assert pipeline(path).forget() == 0
    assert Pipeline([]).forget() == 0
    path.parent.mkdir()
    sqlite3.connect(path).close()

    assert pipeline(path).get_obj_registry().placement == {}
    assert pipeline(path).run().ran == NAMES
    assert pipeline(path).forget("model", "nothing") == 1
    assert pipeline(path).forget() == 3
    assert pipeline(path).forget() == 0


def test_a_directory_that_cannot_be_made_leaves_objects_in_memory(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path.parent.write_text("a file where a directory should be")

    assert pipeline(path).run().ran == NAMES
    assert any("stay in memory only" in line for line in caplog.messages)


def test_two_processes_may_use_one_file(path: Path) -> None:
    others = [Python(PROGRAM, str(path)) for _ in range(2)]

    for other in others:
        out, complaints = other.communicate()
        assert out.split()[-1] == "report"
        assert "Traceback" not in complaints
    assert pipeline(path).run().ran == ("report",)
