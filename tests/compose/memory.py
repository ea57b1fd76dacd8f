"""A listener in memory that keeps what it is told, and remembers runs as a store does."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any

from lythonic_compose import (
    AttemptFailed,
    Event,
    NodeCompleted,
    NodeFailed,
    NodesEnded,
    NodeSkipped,
    NodeStarted,
    RunFinished,
    RunResumed,
    RunStarted,
)
from lythonic_compose.events import NodeStatus, RunStatus
from lythonic_compose.recall import OldNode, OldRun
from lythonic_compose.values import Encoded, encode


class Remembering:
    """Every event in the order of telling; `recall` makes runs of them."""

    def __init__(self) -> None:
        self.blocking = False
        self.events: list[Event] = []
        self.payloads: dict[str, Encoded] = {}
        self._lock = threading.Lock()

    def emit(self, *events: Event) -> None:
        with self._lock:
            self.events += events

    def try_emit(self, *events: Event) -> bool:
        self.emit(*events)
        return True

    def of(self, kind: type[Any], run_id: str | None = None) -> list[Any]:
        return [
            event
            for event in self.events
            if isinstance(event, kind) and run_id in (None, event.run_id)
        ]

    # what a store offers the runner

    def recall(self, run_id: str, /) -> OldRun | None:
        started = self.of(RunStarted, run_id)
        if not started:
            return None
        (start,) = started
        plan = start.plan
        status: RunStatus = "running"
        nodes: dict[str, OldNode] = {label: OldNode(label, "pending", 0) for label in plan.nodes}
        for event in self.events:
            if event.run_id != run_id:
                continue
            match event:
                case RunResumed():
                    plan, status = event.plan, "running"
                case RunFinished():
                    status = event.status
                case NodeStarted():
                    self._set(nodes, event.node.label, "running", event.attempt)
                case AttemptFailed() | NodeFailed():
                    self._set(nodes, event.node.label, "failed", event.attempt)
                case NodeCompleted():
                    kept = self._keep(run_id, event.node, event.value)
                    self._set(nodes, event.node.label, "completed", event.attempt, kept)
                case NodeSkipped():
                    kept = event.payload_hash or self._keep(run_id, event.node, event.value)
                    self._set(nodes, event.node.label, "skipped", 0, kept)
                case NodesEnded():
                    for node in event.nodes:
                        self._set(nodes, node.label, event.status, None)
                case _:
                    pass
        place = start.place
        return OldRun(
            run_id,
            status,
            start.dag_nsref,
            start.path,
            nodes,
            {
                path: {name: encode(value, Any).text for name, value in values.items()}
                for path, values in start.inputs.items()
            },
            (),
            plan.code_hashes,
            tuple((e.upstream, e.downstream, e.param, e.rule) for e in plan.edges),
            start.parent_run_id,
            None if place is None else place.label,
            start.targets,
            start.tenant,
            start.initiated_by,
            None if place is None else place.branch,
            scheduled_at=start.scheduled_at,
        )

    def recall_nested(self, run_id: str, label: str, /) -> Mapping[str, OldRun]:
        found: dict[str, OldRun] = {}
        for start in self.of(RunStarted):
            place = start.place
            if place is not None and (place.parent_run_id, place.label) == (run_id, label):
                old = self.recall(start.run_id)
                assert old is not None
                found[place.key] = old
        return found

    def load(self, payload_hash: str, /) -> Encoded:
        return self.payloads[payload_hash]

    def _keep(self, run_id: str, node: Any, value: Any) -> str:
        key = f"{run_id}/{node.label}"
        self.payloads[key] = encode(value, node.returns)
        return key

    def _set(
        self,
        nodes: dict[str, OldNode],
        label: str,
        status: NodeStatus,
        attempt: int | None,
        output: str | None = None,
    ) -> None:
        attempts = nodes[label].attempts if attempt is None else attempt
        nodes[label] = OldNode(label, status, attempts, output)
