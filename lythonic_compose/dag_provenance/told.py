"""What can be told to a store by hand, where no runner does it?

Which rows that makes stands in `run_rows.py` and `node_rows.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, TypeAlias

from ..events import RunStatus
from ..plan import EdgeRule, PlannedEdge
from . import known, node_rows, run_rows
from .known import Author, Write
from .payloads import given_text, inputs_of

EdgeTold: TypeAlias = tuple[str, str | None, EdgeRule]
"""A downstream, the parameter that it feeds there, and the rule."""


class Told:
    """The part of a store that takes single facts."""

    _clock: Callable[[], datetime]

    def _write(self, prepare: Callable[[Author], Write]) -> None:
        raise NotImplementedError

    def create_run(
        self,
        run_id: str,
        dag_nsref: str | None,
        source_inputs: Mapping[str, Mapping[str, Any]],
        parent_run_id: str | None = None,
    ) -> None:
        """Begins the record of a run, as running.

        Raises:
            ConstraintViolation: there is a run of this id, or none of the parent's.
        """
        given = inputs_of(source_inputs, None)
        self._write(
            lambda author: run_rows.run_created(
                run_id, self._clock(), dag_nsref, given, parent_run_id, author
            )
        )

    def update_run_status(self, run_id: str, status: RunStatus) -> None:
        """Sets the status of a run that has not ended.

        Raises:
            RunNotFound: there is no such run.
        """
        self._write(lambda _: run_rows.run_status(run_id, status))

    def finish_run(
        self, run_id: str, status: RunStatus, sink_outputs_json: str | None = None
    ) -> None:
        """Records how a run ended, and when.

        Raises:
            RunNotFound: there is no such run.
        """
        outputs = None if sink_outputs_json is None else given_text(sink_outputs_json)
        self._write(lambda _: run_rows.run_finished(run_id, self._clock(), status, outputs))

    def record_node_start(
        self,
        run_id: str,
        node_label: str,
        input_json: str | None,
        is_source: bool = False,
        is_sink: bool = False,
    ) -> None:
        """Records that a node has started, for the first time or again.

        Raises:
            RunNotFound: there is no such run.
        """
        given = None if input_json is None else given_text(input_json)
        self._write(
            lambda author: node_rows.node_started(
                run_id, self._clock(), node_label, given, is_source, is_sink, author
            )
        )

    def record_node_skipped(self, run_id: str, node_label: str, output_json: str) -> None:
        """Records that a node was not run, since an older output is used again."""
        output = given_text(output_json)
        self._write(lambda _: node_rows.node_skipped(run_id, self._clock(), node_label, output))

    def complete_node_with_edges(
        self, run_id: str, node_label: str, output_json: str, edges: Sequence[EdgeTold]
    ) -> None:
        """Records that a node completed, with its outgoing edges: downstream, parameter, rule.

        Raises:
            WrongRunState: it has not been started.
        """
        output = given_text(output_json)
        planned = [PlannedEdge(node_label, *edge) for edge in edges]
        self._write(
            lambda _: node_rows.node_completed(run_id, self._clock(), node_label, output, planned)
        )

    def fail_node_and_finish_run(self, run_id: str, node_label: str, error: str) -> None:
        """Records that a node failed, and its run with it.

        Raises:
            RunNotFound: there is no such run.
        """
        at = self._clock()
        self._write(
            lambda _: known.together(
                run_rows.run_finished(run_id, at, "failed", None, node_label, error),
                node_rows.node_failed(run_id, at, node_label, error),
            )
        )

    def pin(self, run_id: str, pinned: bool = True) -> None:
        """Keeps a run from being pruned, or with `pinned=False` does so no longer.

        Raises:
            RunNotFound: there is no such run.
        """
        self._write(lambda _: run_rows.run_pinned(run_id, pinned))
