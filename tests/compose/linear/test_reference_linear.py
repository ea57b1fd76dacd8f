"""Does what the page of linear pipelines shows work, with nodes and names as it has them?"""

import logging
import types
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose import DagError, viz
from lythonic_compose.linear import Node, Pipeline, create_named_partial_function
from lythonic_compose.viz import draw_ascii_pipeline

SECTIONS = {
    "db": {"url": "sqlite://"},
    "preprocessing": {"drop_below": 2},
    "feature_engineering": {"window": 2},
    "model_params": {"depth": 3},
}


def page_of_nodes() -> Any:
    """The module of functions that a page speaks of without showing it."""

    class Connection:
        def __init__(self, url: str) -> None:
            self.url = url
            self.rows = [1, 2, 3, 4]

    def create_db_engine(db: dict[str, Any]) -> Connection:
        return Connection(db["url"])

    def load_data(conn: Connection) -> list[int]:
        return conn.rows

    def preprocess_data(df: list[int], settings: dict[str, int]) -> list[int]:
        return [row for row in df if row >= settings["drop_below"]]

    def feature_engineering(df: list[int], settings: dict[str, int]) -> list[int]:
        return [row * settings["window"] for row in df]

    def train(df: list[int], params: dict[str, int]) -> tuple[int, int]:
        return sum(df), params["depth"]

    def expensive_function(df: list[int]) -> list[int]:
        return df * 1000

    return types.SimpleNamespace(**locals())


@pytest.mark.parametrize("config", [SECTIONS, types.SimpleNamespace(**SECTIONS)])
def test_a_pipeline_takes_each_node_through_its_named_inputs_and_outputs(config: Any) -> None:
    nodes = page_of_nodes()
    pipeline = Pipeline(
        nodes=[
            Node(
                func=nodes.create_db_engine,
                inputs=["config.db"],
                outputs=["conn"],
            ),
            Node(
                func=nodes.load_data,
                inputs=["conn"],
                outputs=["df"],
            ),
            Node(
                func=nodes.preprocess_data,
                inputs=["df", "config.preprocessing"],
                outputs=["df_processed"],
            ),
            Node(
                func=nodes.feature_engineering,
                inputs=["df_processed", "config.feature_engineering"],
                outputs=["df_features"],
            ),
            Node(
                func=nodes.train,
                inputs=["df_features", "config.model_params"],
                outputs=["model"],
            ),
        ],
        config=config,
    )

    assert pipeline.run()["model"] == (18, 3)
    assert pipeline.node_order[-1] == "train"


def test_a_node_of_two_constants_makes_their_sum() -> None:
    def add(a, b):  # type: ignore[no-untyped-def]
        return a + b

    node = Node(
        func=add,
        inputs=["x", "y"],
        outputs=["sum"],
    )
    pipeline = Pipeline(
        nodes=[node],
        config={},
        x=2,
        y=3,
    )
    pipeline.run()

    registry = pipeline.get_obj_registry()
    assert registry.get("sum") == 5
    assert registry.placement == {"x": "constant", "y": "constant", "sum": "memory"}
    registry.close()


def test_a_class_may_be_the_configuration() -> None:
    class Config:
        window = 5

    def rolling_average(data: list[int], window: int) -> float:
        return sum(data[-window:]) / window

    pipeline = Pipeline(
        [Node(func=rolling_average, inputs=["data", "config.window"], outputs=["features"])],
        config=Config,
        data=list(range(10)),
    )

    assert pipeline.run()["features"] == 7


def count(raw: list[int]) -> int:
    return len(raw)


def double(counted: int) -> int:
    return counted * 2


def test_a_persistent_cache_is_restored_at_the_next_start(tmp_path: Path) -> None:
    def pipeline() -> Pipeline:
        return Pipeline(
            nodes=[Node(count, ["raw"], ["counted"]), Node(double, ["counted"], ["doubled"])],
            config={},
            cache_storage_path=tmp_path / ".cache" / "pipeline.db",
            use_persistent_cache=True,
            raw=[1, 2, 3],
        )

    assert pipeline().run().ran == ("count", "double")
    again = pipeline().run()
    assert (again.ran, again.reused, again["doubled"]) == ((), ("count", "double"), 6)

    registry = pipeline().get_obj_registry()
    assert registry.placement == {"raw": "constant", "counted": "cache", "doubled": "cache"}
    assert registry.get("counted") == 3
    registry.close()


def test_a_name_that_is_a_constant_and_in_the_cache_fails_fast(tmp_path: Path) -> None:
    path = tmp_path / "cache.db"
    Pipeline(
        [Node(count, ["raw"], ["counted"])], None, False, True, path, raw=[1]
    ).run()  # fmt: skip
    later = Pipeline(
        [Node(double, ["counted"], ["doubled"])],
        use_persistent_cache=True,
        cache_storage_path=path,
        counted=10,
    )

    with pytest.raises(DagError, match="'counted': a constant, and also in the persistent cache"):
        later.run()

    assert later.forget("counted") == 1
    assert later.run()["doubled"] == 20


def test_a_node_may_have_no_outputs() -> None:
    written: list[Any] = []

    def write_to_db(df: list[int]) -> None:
        written.append(df)

    Pipeline([Node(func=write_to_db, inputs=["features"], outputs=[])], features=[1]).run()

    assert written == [[1]]


def test_partial_functions_with_names_make_one_function_several_nodes() -> None:
    tables: dict[str, Any] = {}

    def write_pipeline_output(df: list[int], table_name: str, schema: str) -> None:
        tables[f"{schema}.{table_name}"] = df

    write_val_metrics = Node(
        func=create_named_partial_function(
            func=write_pipeline_output,
            func_name="write_val_metrics",
            table_name="metrics",
            schema="ml",
        ),
        inputs=["val_metrics"],
        outputs=[],
    )
    write_predictions = Node(
        func=create_named_partial_function(
            func=write_pipeline_output,
            func_name="write_predictions",
            table_name="predictions",
            schema="ml",
        ),
        inputs=["predictions"],
        outputs=[],
    )
    pipeline = Pipeline([write_val_metrics, write_predictions], val_metrics=[1], predictions=[2])
    pipeline.run()

    assert tables == {"ml.metrics": [1], "ml.predictions": [2]}
    assert pipeline.node_order == ["write_val_metrics", "write_predictions"]


def test_pipelines_are_added() -> None:
    feature_pipeline = Pipeline(
        [Node(count, ["raw"], ["counted"])], config={"a": {"x": 1}}, raw=[1, 2]
    )
    writer_pipeline = Pipeline([Node(double, ["counted"], ["doubled"])], config={"a": {"y": 2}})

    full_pipeline = feature_pipeline + writer_pipeline

    assert full_pipeline.run()["doubled"] == 4
    assert full_pipeline.node_order == ["count", "double"]
    assert full_pipeline.config == {"a": {"x": 1, "y": 2}}
    with pytest.raises(ValueError, match="'counted' is made by count and by count_2"):
        _ = full_pipeline + feature_pipeline


def goals() -> Pipeline:
    def load_data() -> list[int]:
        raise NotImplementedError

    def clean_data(raw_data: list[int]) -> list[int]:
        raise NotImplementedError

    def rolling_goals(clean_data: list[int], window: int, min_periods: int) -> list[float]:
        raise NotImplementedError

    def merge(clean_data: list[int], rolling_features: list[float]) -> list[float]:
        raise NotImplementedError

    def write_features(features: list[float]) -> None:
        raise NotImplementedError

    return Pipeline(
        [
            Node(load_data, [], ["raw_data"]),
            Node(clean_data, ["raw_data"], ["clean_data"]),
            Node(
                rolling_goals,
                ["clean_data", "config.window", "config.min_periods"],
                ["rolling_features"],
            ),
            Node(merge, ["clean_data", "rolling_features"], ["features"]),
            Node(write_features, ["features"], []),
        ]
    )


DRAWN = """\
Pipeline (5 nodes)

[load_data]
  outputs:
    - raw_data
      |
      v
[clean_data]
  inputs:
    - raw_data
  outputs:
    - clean_data
      |
      v
[rolling_goals]
  inputs:
    - clean_data
    - config.window
    - config.min_periods
  outputs:
    - rolling_features
      |
      v
[merge]
  inputs:
    - clean_data
    - rolling_features
  outputs:
    - features
      |
      v
[write_features]
  inputs:
    - features
  (no outputs)"""


def test_a_pipeline_is_drawn_in_lines_before_it_could_run() -> None:
    assert viz.draw_ascii_pipeline(goals()) == draw_ascii_pipeline(goals()) == DRAWN


def test_a_pipeline_is_drawn_by_plotly_under_both_names() -> None:
    figure = viz.plot_pipeline_graph(goals())

    assert list(figure.data[0].text) == goals().node_order
    assert len(figure.layout.annotations) == 5
    assert viz.plot_pipeline is viz.plot_pipeline_graph


@pytest.mark.parametrize("cached", [False, True])
def test_the_history_has_a_snapshot_of_what_each_node_took_and_made(
    cached: bool, tmp_path: Path
) -> None:
    def extend(values: list[int]) -> list[int]:
        values.append(4)
        return values

    pipeline = Pipeline(
        nodes=[Node(extend, ["values"], ["extended"]), Node(count, ["extended"], ["counted"])],
        config=None,
        track_history=True,
        use_persistent_cache=cached,
        cache_storage_path=tmp_path / "cache.db",
        values=[1, 2, 3],
    )
    pipeline.run()

    first, second = pipeline.history
    assert first == {
        "node": "extend",
        "inputs": {"values": [1, 2, 3]},
        "outputs": {"extended": [1, 2, 3, 4]},
    }
    assert (second.node, second.inputs, second.outputs) == (
        "count",
        {"extended": [1, 2, 3, 4]},
        {"counted": 4},
    )


def test_a_profiled_node_tells_the_log_what_it_took(caplog: pytest.LogCaptureFixture) -> None:
    nodes = page_of_nodes()
    pipeline = Pipeline(
        nodes=[
            Node(
                func=nodes.expensive_function,
                inputs=["df"],
                outputs=["df_processed"],
                profile=True,
            )
        ],
        df=list(range(1000)),
    )
    with caplog.at_level(logging.INFO, "lythonic_compose"):
        result = pipeline.run()

    (line,) = [text for text in caplog.messages if "ΔMem" in text]
    used = result.memory["expensive_function"]
    assert line == f"[expensive_function] ΔMem: {used.delta:.2f} MiB | Peak: {used.peak:.2f} MiB"
    assert 7 < used.delta <= used.peak < 9
