"""Which rows does it make that a node starts, completes, fails, or is not called?"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from lythonic_state.fields import mutable

from ..errors import WrongRunState
from ..events import (
    AttemptFailed,
    NodeCompleted,
    NodeExpanded,
    NodeFailed,
    NodesEnded,
    NodeSkipped,
    NodeStarted,
)
from ..outputs.found import Written
from ..outputs.saving import Origin, save
from ..plan import PlannedEdge
from .known import Author, Known, RunningAttempt, Steps, Write, together
from .parts import (
    attempt_running,
    end_attempts,
    fail_attempt,
    fence_of,
    keep_content,
    keep_edges,
    outcome_of,
    put_node,
    stale_attempt,
    traceback_of,
)
from .payloads import Content, payload_of
from .statements import (
    ATTEMPT,
    ATTEMPTS_OF,
    COMPLETE,
    COMPLETE_ATTEMPT,
    FORGET_EDGES,
    KEEP_OUTPUT,
    NODE_BY_LABEL,
    ORIGIN,
    ORIGIN_OF_TEXT,
    REVIVE,
    START,
    START_AGAIN,
)
from .tables import span_of

if TYPE_CHECKING:
    from ..outputs.elsewhere import SavedElsewhere


def of_node_started(event: NodeStarted, author: Author) -> Write:
    run_id, at, node, _, attempt = event
    return Start(run_id, at, node.label, None, node.is_source, node.is_sink, author, attempt)


def node_started(
    run_id: str,
    at: datetime,
    label: str,
    given: Content | None,
    is_source: bool,
    is_sink: bool,
    author: Author,
    number: int | None = None,
) -> Write:
    """An attempt begins: of this number, or of the next one."""
    return Start(run_id, at, label, given, is_source, is_sink, author, number)


@mutable(eq=False)
class Start:
    run_id: str
    at: datetime
    label: str
    given: Content | None
    is_source: bool
    is_sink: bool
    author: Author
    number: int | None

    def __call__(self, known: Known) -> Steps:
        run_id, at, label, given, number = self.run_id, self.at, self.label, self.given, self.number
        if given is not None:
            yield from keep_content(known, given)
        fence = known.fences.get(run_id)
        if fence is None:
            fence = yield from self.fence(known)
        # the calls that every node takes are written as the tuples that they are, which is faster
        node_id = yield (
            START,
            {
                "run_id": run_id,
                "node_label": label,
                "is_source": self.is_source,
                "is_sink": self.is_sink,
                "started_at": at,
                "input_payload": None if given is None else given.payload_hash,
            },
        )
        attempt = 1 if number is None else number
        if node_id is None:
            (node,) = yield NODE_BY_LABEL(run_id=run_id, node_label=label)
            node_id = node.node_execution_id
            before = [each.number for each in (yield ATTEMPTS_OF(node_execution_id=node_id))]
            attempt = max(before, default=0) + 1 if number is None else number
            if attempt in before:
                raise WrongRunState(
                    f"attempt {attempt} of {label!r} in run {run_id!r} has begun already"
                )
            yield from end_attempts(node_id, "cancelled", at, None)
            values = outcome_of("running", None)
            values.update(
                started_at=at, input_payload=None if given is None else given.payload_hash
            )
            yield START_AGAIN(values, node_execution_id=node_id)
            yield FORGET_EDGES(run_id=run_id, upstream_label=label)
        attempt_id = yield (
            ATTEMPT,
            {
                "node_execution_id": node_id,
                "number": attempt,
                "fence": fence,
                "owner": self.author.owner,
                "started_at": at,
            },
        )
        known.running[run_id, label] = RunningAttempt(node_id, attempt_id, attempt)

    def fence(self, known: Known) -> Generator[Any, Any, int]:
        fence = known.fences.get(self.run_id)
        if fence is None:
            own = self.number is not None
            fence = yield from fence_of(known, self.run_id, self.author, only_own=own)
        return fence


def of_attempt_failed(event: AttemptFailed, _: Author) -> Write:
    run_id, label = event.run_id, event.node.label
    error = traceback_of(event.error)

    def write(known: Known) -> Steps:
        attempt = yield from attempt_running(known, run_id, label, event.attempt)
        if attempt is None:
            raise stale_attempt(run_id, label, event.attempt)
        yield from fail_attempt(run_id, label, attempt, event.at, error, event.again_at)
        del known.running[run_id, label]

    return write


def of_node_completed(event: NodeCompleted, _: Author) -> Write:
    node, written = event.node, event.written
    if event.elsewhere is not None:
        return _completed_elsewhere(event, event.elsewhere)

    what = f"what {node.label} returned"
    if written is None:
        output = payload_of(event.value, node.returns, what)
        return Completion(event.run_id, event.at, node.label, output, node.edges, event.attempt)
    return Completion(
        event.run_id,
        event.at,
        node.label,
        # made once the rows in it have their keys
        partial(payload_of, event.value, node.returns, what, has_origins=True),
        node.edges,
        event.attempt,
        partial(_save, written),
    )


def _completed_elsewhere(event: NodeCompleted, saved: SavedElsewhere) -> Write:
    """The rows are there, and so is the value; only where the rows came from is copied."""
    node = event.node
    content: Content | str
    if saved.payload_hash is None:
        content = payload_of(event.value, node.returns, f"what {node.label} returned")
    else:
        content = saved.payload_hash

    def copy_origins(attempt_id: int) -> Steps:
        for origins in saved.origins():
            yield ORIGIN.many(_origin_rows(attempt_id, origins))

    return node_completed(
        event.run_id,
        event.at,
        node.label,
        content,
        node.edges,
        event.attempt,
        copy_origins,
        adopted=saved.adopted,
    )


def _origin_rows(attempt_id: int, origins: Iterable[Origin]) -> list[dict[str, Any]]:
    return [
        {
            "node_attempt_id": attempt_id,
            "table_name": name,
            "first_key": first,
            "last_key": last,
            "span": None if first is None or last is None else span_of(first, last),
            "key_text": text,
        }
        for name, first, last, text in origins
    ]


def _save(written: Written, attempt_id: int) -> Steps:
    def keep(origins: list[Origin]) -> Any:
        return ORIGIN.many(_origin_rows(attempt_id, origins))

    def kept(origin: Origin) -> Any:
        return ORIGIN_OF_TEXT(
            node_attempt_id=attempt_id, table_name=origin.table_name, key_text=origin.key_text
        )

    yield from save(written, keep, kept)


def node_completed(
    run_id: str,
    at: datetime,
    label: str,
    output: Content | str | Callable[[], Content],
    edges: Sequence[PlannedEdge],
    number: int | None = None,
    save_rows: Callable[[int], Steps] | None = None,
    *,
    adopted: bool = False,
) -> Write:
    """The attempt of this number, or whichever is running, has returned.

    What it returned may be made once its rows are saved, for which the key of the attempt is given.
    An attempt that is `adopted` had returned before its process ended, and was ended since.
    """
    completion = Completion(run_id, at, label, output, edges, number, save_rows)
    if not adopted or number is None:
        return completion
    return together(partial(_run_on, run_id, label, number), completion)


def _run_on(run_id: str, label: str, number: int, _: Known) -> Steps:
    """Has an attempt run that was ended when its run was resumed."""
    (node,) = yield NODE_BY_LABEL(run_id=run_id, node_label=label)
    yield REVIVE({"status": "running"}, node_execution_id=node.node_execution_id, number=number)


def output_kept(run_id: str, label: str, number: int, output: Content) -> Write:
    """What a running attempt has returned, whose rows are about to be saved elsewhere."""

    def write(known: Known) -> Steps:
        attempt = yield from attempt_running(known, run_id, label, number)
        if attempt is None:
            raise stale_attempt(run_id, label, number)
        yield from keep_content(known, output)
        yield KEEP_OUTPUT(
            {"output_payload": output.payload_hash}, node_execution_id=attempt.node_id
        )

    return write


@mutable(eq=False)
class Completion:
    run_id: str
    at: datetime
    label: str
    output: Content | str | Callable[[], Content]
    edges: Sequence[PlannedEdge]
    number: int | None
    save_rows: Callable[[int], Steps] | None = None

    def __call__(self, known: Known) -> Steps:
        run_id, at, label, number, output = (
            self.run_id,
            self.at,
            self.label,
            self.number,
            self.output,
        )
        attempt = known.running.get((run_id, label))
        if attempt is None or attempt.number != number:
            attempt = yield from attempt_running(known, run_id, label, number)
        if attempt is None:
            if number is None:
                raise WrongRunState(f"{label!r} has not been started in run {run_id!r}")
            raise stale_attempt(run_id, label, number)
        running = {"node_attempt_id": attempt.attempt_id}
        ended = yield COMPLETE_ATTEMPT, ({"finished_at": at}, running)
        if not ended:
            raise stale_attempt(run_id, label, attempt.number)
        if self.save_rows is not None:
            yield from self.save_rows(attempt.attempt_id)
        content = output() if callable(output) else output
        if isinstance(content, Content):
            yield from keep_content(known, content)
            content = content.payload_hash
        done = {"finished_at": at, "output_payload": content}
        yield COMPLETE, (done, {"node_execution_id": attempt.node_id})
        if self.edges:
            yield from keep_edges(run_id, at, self.edges)
        del known.running[run_id, label]


def of_node_skipped(event: NodeSkipped, _: Author) -> Write:
    node = event.node
    content: Content | str
    if event.payload_hash is None:
        content = payload_of(event.value, node.returns, f"the output of {node.label}")
    else:
        content = event.payload_hash
    return node_skipped(
        event.run_id,
        event.at,
        node.label,
        content,
        node.edges,
        node.is_source,
        node.is_sink,
        event.reused_from,
    )


def node_skipped(
    run_id: str,
    at: datetime,
    label: str,
    output: Content | str,
    edges: Sequence[PlannedEdge] = (),
    is_source: bool = False,
    is_sink: bool = False,
    reused_from: str | None = None,
) -> Write:
    """A node was not run; its output is new here, or known by its hash."""

    def write(known: Known) -> Steps:
        output_hash = output
        if isinstance(output, Content):
            output_hash = output.payload_hash
            yield from keep_content(known, output)
        values = outcome_of("skipped", at)
        values.update(output_payload=output_hash, reused_from=reused_from)
        yield from put_node(run_id, label, is_source, is_sink, values)
        yield FORGET_EDGES(run_id=run_id, upstream_label=label)
        yield from keep_edges(run_id, at, edges)

    return write


def of_node_failed(event: NodeFailed, _: Author) -> Write:
    node = event.node
    return node_failed(
        event.run_id,
        event.at,
        node.label,
        traceback_of(event.error),
        node.is_source,
        node.is_sink,
        event.attempt,
    )


def node_failed(
    run_id: str,
    at: datetime,
    label: str,
    error: str,
    is_source: bool = False,
    is_sink: bool = False,
    number: int | None = None,
) -> Write:
    """The attempt of this number, or whichever is running, failed; or the node never started."""

    def write(known: Known) -> Steps:
        attempt = yield from attempt_running(known, run_id, label, number)
        if attempt is not None:
            yield from fail_attempt(run_id, label, attempt, at, error, None)
            del known.running[run_id, label]
        elif number is not None:
            (node,) = (yield NODE_BY_LABEL(run_id=run_id, node_label=label)) or (None,)
            if node is not None:
                attempts = yield ATTEMPTS_OF(node_execution_id=node.node_execution_id)
                if any(each.number >= number for each in attempts):
                    raise stale_attempt(run_id, label, number)
        values = {**outcome_of("failed", at), "error": error}
        yield from put_node(run_id, label, is_source, is_sink, values)

    return write


def of_nodes_ended(event: NodesEnded, author: Author) -> Write:
    run_id, status = event.run_id, event.status
    at = None if status == "pending" else event.at

    def write(known: Known) -> Steps:
        yield from fence_of(known, run_id, author)
        for node in event.nodes:
            known.running.pop((run_id, node.label), None)
            node_id = yield from put_node(
                run_id, node.label, node.is_source, node.is_sink, outcome_of(status, at)
            )
            if node_id is not None:
                yield from end_attempts(node_id, "cancelled", event.at, None)

    return write


def of_node_expanded(_: NodeExpanded, __: Author) -> Write:
    """The elements are runs of their own, which have their rows when they start."""
    return _nothing


def _nothing(_: Known) -> Steps:
    yield from ()
