"""How do the runs inside a node go, beside each other, and what do they come to?

Which graphs run there, and with which values, is decided in `composite.py`; how one of them runs is
not known here.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Literal, TypeAlias, cast

from lythonic_state.fields import frozen
from lythonic_state.later import asyncio

from .attempt import Attempt, End, too_slow
from .composite import Elements, Failed, Part, joined
from .errors import WiringError
from .events import Event, NodeExpanded
from .plan import MapPlan, NodePlan
from .tree import Pausing


@frozen
class Outcome:
    """How one run inside a node ended."""

    status: Literal["completed", "failed", "paused", "left out"]
    value: Any = None
    error: BaseException | None = None
    path: str | None = None


PAUSED = Outcome("paused")
_LEFT_OUT = Outcome("left out")

RunOne: TypeAlias = Callable[[Part], Awaitable[Outcome]]


async def run_inside(
    attempt: Attempt,
    values: Mapping[str, Any],
    inside: Sequence[Part],
    outcomes_of: Callable[[NodePlan, Sequence[Part]], Awaitable[list[Outcome]]],
) -> End:
    """One time through what is inside a node, which was given these values."""
    node, tree = attempt.node, attempt.tree
    if tree.heard:
        events: list[Event] = [attempt.started()]
        if isinstance(inside, Elements):
            events.append(NodeExpanded(attempt.run_id, tree.clock(), node, inside.places))
        await attempt.teller.tell(*events)
    try:
        deadline = asyncio.timeout(node.timeout)
        try:
            async with deadline:
                outcomes = await outcomes_of(node, inside)
        except TimeoutError:
            if not deadline.expired():
                raise
            return await attempt.failed(too_slow(node))
        failed = _first_failure(node, outcomes)
        if failed is not None:
            return await attempt.failed(cast(BaseException, failed.error), path=failed.path)
        if any(outcome.status == "paused" for outcome in outcomes):
            return attempt.put_off()
        value = _value_of(node, values, inside, outcomes)
    except WiringError as error:
        return await attempt.failed(error)
    return attempt.returned(value)


async def side_by_side(
    node: NodePlan, inside: Sequence[Part], run_one: RunOne, pausing: Pausing
) -> list[Outcome]:
    """Runs the parts of a node, as many at once as it says, and no more after a pause began."""
    composite = node.composite
    most = len(inside)
    stop_early = True
    if isinstance(composite, MapPlan):
        most = min(most, composite.concurrency or most)
        stop_early = composite.on_error == "fail"
    outcomes = [_LEFT_OUT] * len(inside)
    waiting = iter(range(len(inside)))

    async def work() -> None:
        for number in waiting:
            if pausing.begun:
                outcomes[number] = PAUSED
                continue
            outcome = await run_one(inside[number])
            outcomes[number] = outcome
            if stop_early and outcome.status == "failed":
                for _ in waiting:  # nobody begins another one
                    pass

    if most == 1:
        await work()
    else:
        async with _only_one_error(), asyncio.TaskGroup() as group:
            for _ in range(most):
                group.create_task(work())
    return outcomes


def _first_failure(node: NodePlan, outcomes: Sequence[Outcome]) -> Outcome | None:
    if isinstance(node.composite, MapPlan) and node.composite.on_error != "fail":
        return None
    return next((outcome for outcome in outcomes if outcome.status == "failed"), None)


def _value_of(
    node: NodePlan, values: Mapping[str, Any], inside: Sequence[Part], outcomes: Sequence[Outcome]
) -> Any:
    composite = node.composite
    if not isinstance(composite, MapPlan) or not isinstance(inside, Elements):
        return outcomes[0].value
    (collection,) = values.values()
    results: list[tuple[Any, Any]] = []
    for key, outcome in zip(inside.keys, outcomes, strict=True):
        if outcome.status == "completed":
            results.append((key, outcome.value))
        elif composite.on_error == "collect":
            assert outcome.error is not None
            results.append((key, Failed(key, outcome.error)))
    return joined(composite, collection, results)


@asynccontextmanager
async def _only_one_error() -> AsyncGenerator[None]:
    """Raises the exception itself that a TaskGroup makes a group of."""
    try:
        yield
    except BaseExceptionGroup as error:
        raise only(error) from None


def only(error: BaseException) -> BaseException:
    """The first exception out of the groups that a TaskGroup makes."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return error
