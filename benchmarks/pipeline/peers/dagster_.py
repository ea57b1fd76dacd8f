"""Dagster on its SQLite instance, as its documentation shows it."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"

from dagster import (  # the variable is read by the import
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    DynamicOut,
    DynamicOutput,
    FilesystemIOManager,
    RunsFilter,
    graph,
    in_process_executor,
    job,
    op,
)

from .. import peer as text
from ..peer import Kind, Peer, Timed


@op
def step(x: int) -> int:
    return x + 1


@op
def total(parts: list[int]) -> int:
    return sum(parts)


@op(out=DynamicOut(int))
def counted(x: int) -> Iterator[Any]:
    for value in range(x, x + 1_000):
        yield DynamicOutput(value, mapping_key=f"v{value}")


@graph
def element(x: int) -> int:
    return step.alias("b")(step.alias("a")(x))


@op
def first_grown(x: int) -> str:
    return text.first_grown(x)


@op
def grown(x: str) -> str:
    return text.grown(x)


class Dagster(Peer):
    title = "Dagster"
    packages = ("dagster",)
    note = (
        "jobs run in this process, without its daemon and without processes for steps; values "
        "are pickled into files; run with io is its events and the files of its values"
    )
    kinds = ("inline",)

    def open(self, folder: str) -> None:
        self.instance = DagsterInstance.local_temp(folder)
        self.nodes: dict[str, int] = {}
        self.files = FilesystemIOManager(base_dir=f"{folder}/values")

    def close(self) -> None:
        self.instance.dispose()

    def recorded(self) -> tuple[int, int]:
        done = RunsFilter(statuses=[DagsterRunStatus.SUCCESS])
        for run in self.instance.get_runs(done):
            if run.run_id not in self.nodes:
                succeeded = DagsterEventType.STEP_SUCCESS
                self.nodes[run.run_id] = len(self.instance.all_logs(run.run_id, of_type=succeeded))
        return len(self.nodes), sum(self.nodes.values())

    def _runs(self, function: Callable[[], Any], first: str, last: str) -> Timed:
        made = job(resource_defs={"io_manager": self.files}, executor_def=in_process_executor)(
            function
        )

        def run(value: Any) -> Any:
            given = {
                "ops": {first: {"inputs": {"x": {"value": value}}}},
                "loggers": {"console": {"config": {"log_level": "ERROR"}}},
            }
            result = made.execute_in_process(run_config=given, instance=self.instance)
            return result.output_for_node(last)

        return run

    def _chain(self, length: int, one: Any, first: Any) -> Timed:
        def chain() -> None:
            value = first.alias("s0")()
            for at in range(1, length):
                value = one.alias(f"s{at}")(value)

        return self._runs(chain, "s0", f"s{length - 1}")

    def chain(self, length: int, kind: Kind) -> Timed:
        return self._chain(length, step, step)

    def megabytes(self, length: int) -> Timed:
        return self._chain(length, grown, first_grown)

    def fan_out(self, width: int) -> Timed:
        def fan() -> None:
            first = step.alias("first")()
            total([step.alias(f"s{at}")(first) for at in range(width)])

        return self._runs(fan, "first", "total")

    def map_over(self, count: int) -> Timed:
        def over() -> None:
            total(counted.alias("first")().map(element).collect())

        return self._runs(over, "first", "total")

    def listing(self, limit: int) -> Timed:
        def run(seed: int) -> list[Any]:
            newest = self.instance.get_run_records(limit=limit)
            return [
                (each, self.instance.get_run_step_stats(each.dagster_run.run_id)) for each in newest
            ]

        return run

    def lengths(self, found: list[Any]) -> list[int]:
        return [len(steps) for _, steps in found]

    def fetching(self) -> Timed:
        ids = [each.dagster_run.run_id for each in self.instance.get_run_records(ascending=True)]

        def run(seed: int) -> list[Any]:
            run_id = ids[seed // 10_000]
            record = self.instance.get_run_by_id(run_id)
            assert record is not None
            events = self.instance.all_logs(run_id, of_type=DagsterEventType.HANDLED_OUTPUT)
            paths = [each.get_dagster_event().event_specific_data.metadata for each in events]
            return [pickle.loads(Path(path["path"].value).read_bytes()) for path in paths]

        return run

    def outputs(self, found: list[Any]) -> list[int]:
        return found


PEER = Dagster
