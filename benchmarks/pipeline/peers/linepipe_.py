"""linepipe, as its documentation shows it."""

from __future__ import annotations

from itertools import pairwise

from linepipe.node import Node
from linepipe.pipeline import Pipeline

from ..peer import Kind, Peer, Timed
from ._steps import add_one


class Linepipe(Peer):
    title = "linepipe"
    packages = ("linepipe",)
    note = (
        "keeps no history; its last value is read by a last node, and a pipeline is made for each "
        "input, since constants are its inputs"
    )
    kinds = ("inline",)

    def plain_chain(self, length: int, kind: Kind) -> Timed:
        labels = ["x", *(f"s{at}" for at in range(length))]
        found: list[int] = []
        nodes = [Node(add_one, [before], [after]) for before, after in pairwise(labels)]
        nodes.append(Node(found.append, [labels[-1]], []))

        def run(seed: int) -> int:
            Pipeline(nodes, x=seed).run()
            return found.pop()

        return run


PEER = Linepipe
