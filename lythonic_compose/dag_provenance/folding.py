"""Which rows do several writes make together? An attempt that began and ended is written once."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

from .known import Known, Steps, Write
from .node_rows import Completion, Start
from .parts import OfRunOnly, edge_row, keep_content
from .payloads import Content
from .statements import EDGE, WHOLE_ATTEMPT, WHOLE_NODE


def folded(writes: Iterable[Write]) -> list[Write]:
    """The same writes, for one transaction: of an attempt that begins and completes within them,
    each row is written once, as it is in the end.

    It is left as it is where something else comes in between that may be about nodes.
    """
    found: list[Write] = []
    begun: dict[tuple[str, str], int] = {}
    wholes: dict[tuple[str, str], _Whole] = {}

    def end_wholes() -> None:
        if wholes:
            found.append(partial(_end_wholes, tuple(wholes.values())))
            wholes.clear()

    for write in writes:
        if isinstance(write, Start):
            if (write.run_id, write.label) in wholes:  # once more
                end_wholes()
            begun[write.run_id, write.label] = len(found)
        elif not isinstance(write, OfRunOnly):
            if isinstance(write, Completion):
                key = write.run_id, write.label
                place = begun.pop(key, None)
                whole = None if place is None else _Whole.of(found[place], write)
                if place is not None and whole is not None:
                    found[place] = whole.begin
                    wholes[key] = whole
                    continue
            end_wholes()
            begun.clear()
        found.append(write)
    end_wholes()
    return found


class _Whole:
    """An attempt from its beginning to its completion."""

    def __init__(self, start: Start, completion: Completion, output: Content) -> None:
        self.start = start
        self.completion = completion
        self._output = output
        self._node_id: int | None = None
        self._fence = 0

    @classmethod
    def of(cls, start: Write, completion: Write) -> _Whole | None:
        if not (isinstance(start, Start) and isinstance(completion, Completion)):
            return None
        output = completion.output
        if completion.save_rows is not None or not isinstance(output, Content):
            return None
        if start.number is None or start.number != completion.number:
            return None
        return cls(start, completion, output)

    @property
    def is_first(self) -> bool:
        """Whether the node was not there before; else start and completion are done as they are."""
        return self._node_id is not None

    def begin(self, known: Known) -> Steps:
        start, completion = self.start, self.completion
        if start.given is not None:
            yield from keep_content(known, start.given)
        yield from keep_content(known, self._output)
        self._fence = yield from start.fence(known)
        self._node_id = yield WHOLE_NODE(
            run_id=start.run_id,
            node_label=start.label,
            is_source=start.is_source,
            is_sink=start.is_sink,
            started_at=start.at,
            finished_at=completion.at,
            input_payload=None if start.given is None else start.given.payload_hash,
            output_payload=self._output.payload_hash,
        )
        if self._node_id is None:
            yield from start(known)

    def attempt(self) -> dict[str, Any]:
        return {
            "node_execution_id": self._node_id,
            "number": self.start.number,
            "fence": self._fence,
            "owner": self.start.author.owner,
            "started_at": self.start.at,
            "finished_at": self.completion.at,
        }


def _end_wholes(wholes: Sequence[_Whole], known: Known) -> Steps:
    """What is left of attempts whose nodes are there: the rows of others, by one statement each."""
    attempts = [whole.attempt() for whole in wholes if whole.is_first]
    if attempts:
        yield WHOLE_ATTEMPT.many(attempts)
    edges: list[dict[str, Any]] = []
    for whole in wholes:
        told = whole.completion
        if whole.is_first:
            edges += [edge_row(told.run_id, told.at, edge) for edge in told.edges]
            continue
        if edges:
            yield EDGE.many(edges)
            edges = []
        yield from told(known)
    if edges:
        yield EDGE.many(edges)
