"""Kedro, as its documentation shows it."""

from __future__ import annotations

import logging
from itertools import pairwise

from kedro.io import DataCatalog, MemoryDataset
from kedro.pipeline import node, pipeline
from kedro.runner import SequentialRunner, ThreadRunner

from ..peer import Kind, Peer, Timed
from ._steps import add_one


class Kedro(Peer):
    title = "Kedro"
    packages = ("kedro",)
    note = "keeps no history; values are held in memory and copied, as is its default"
    kinds = ("inline", "thread")

    def open(self, folder: str) -> None:
        logging.getLogger("kedro").setLevel(logging.ERROR)

    def plain_chain(self, length: int, kind: Kind) -> Timed:
        labels = ["x", *(f"s{at}" for at in range(length))]
        made = pipeline(
            node(add_one, before, after, name=after) for before, after in pairwise(labels)
        )
        runner = SequentialRunner() if kind == "inline" else ThreadRunner()

        def run(seed: int) -> int:
            catalog = DataCatalog({"x": MemoryDataset(seed)})
            found: int = runner.run(made, catalog)[labels[-1]].load()
            return found

        return run


PEER = Kedro
