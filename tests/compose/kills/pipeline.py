"""The pipeline that is killed: a map of a graph, switches, a nested graph, retries, a pause.

Every function says in an append-only log when it starts, with what it was given, and when it ends,
with what it returns. What the run ends with depends neither on the way that its switch takes, which
is drawn by lot, nor on how often a function is called.
"""

from __future__ import annotations

import json
import os
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, Field

from lythonic_compose import Dag, DagContext, DagPause, Namespace, Retry, Rows, inline
from lythonic_state import DbModel, PrimaryKey

T = TypeVar("T")

SIZE = 3
"""How many pages there are."""


class Log:
    """One line per start and end, each in one write to a file that is only appended to.

    With `troubles`, the run is to pause once, and to fail once.
    """

    def __init__(self, path: str | Path, *, troubles: bool) -> None:
        self.troubles = troubles
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def write(self, **line: Any) -> None:
        os.write(self._file, (json.dumps({**line, "pid": os.getpid()}) + "\n").encode())


class Told(DagContext):
    log: Log

    def mark(self) -> dict[str, Any]:
        """What every row of this attempt bears."""
        return {"run": self.run_id, "node": self.node_label, "attempt": self.attempt}

    def start(self, **given: Any) -> Callable[[T], T]:
        """Says that the function has started, and gives what says that it ends."""
        self.log.write(what="start", **self.mark(), given=_plain(given))

        def end(value: T) -> T:
            self.log.write(what="end", **self.mark(), value=_plain(value))
            return value

        return end


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Handle):
        return repr(value)
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (list, tuple)) else value


# --- the functions --------------------------------------------------------------------------


class Page(BaseModel):
    number: int
    text: str


class Row(DbModel, abstract=True):
    """A row that says itself which attempt made it."""

    row_id: Annotated[int, PrimaryKey()] = -1
    run: str
    node: str
    attempt: int
    number: int
    text: str


class Reading(Row, table="readings"):
    """Inserted, as a list, inside of a map."""


class Total(Row, table="totals"):
    """Inserted, as a stream."""


class Newest(Row, table="newest"):
    """Upserted by an alternative key."""

    number: int = Field(description="(AK)")


class Whole(Row, table="whole"):
    """Replaced."""


def seed(ctx: Told, size: int) -> list[int]:
    return ctx.start(size=size)(list(range(size)))


@inline
def parse(ctx: Told, number: int) -> Page:
    return ctx.start(number=number)(Page(number=number, text=f"page {number}"))


async def enrich(ctx: Told, page: Page) -> Page:
    end = ctx.start(page=page)
    if page.number == 1 and ctx.attempt % 2:
        raise OSError("every other time")
    return end(Page(number=page.number, text=page.text.upper()))


def keep(ctx: Told, page: Page) -> list[Reading]:
    end = ctx.start(page=page)
    return end([Reading(**ctx.mark(), number=page.number, text=each) for each in page.text])


def measure(ctx: Told, readings: list[Reading]) -> int:
    return ctx.start(readings=readings)(sum(len(each.text) + each.number for each in readings))


async def stream(ctx: Told, pages: list[int]) -> AsyncIterator[Total]:
    end = ctx.start(pages=pages)
    totals: list[Total] = []
    for page in pages:
        for part in range(3):
            totals.append(Total(**ctx.mark(), number=page * part, text=f"{page}/{part}"))
            yield totals[-1].model_copy()
    end(totals)


def summed(ctx: Told, totals: Rows[Total]) -> int:
    numbers = [total.number for total in totals]
    return ctx.start(totals=numbers)(sum(numbers))


def newest(ctx: Told, pages: list[int]) -> list[Newest]:
    end = ctx.start(pages=pages)
    return end(
        [Newest(**ctx.mark(), number=number, text=f"{page}") for number, page in enumerate(pages)]
    )


@inline
def whole(ctx: Told, pages: list[int]) -> list[Whole]:
    end = ctx.start(pages=pages)
    return end([Whole(**ctx.mark(), number=page, text="") for page in pages])


def flaky(ctx: Told, pages: list[int]) -> int:
    end = ctx.start(pages=pages)
    if ctx.attempt % 3:
        raise OSError("two times out of three")
    return end(sum(pages))


def decide(ctx: Told, pages: list[int]) -> tuple[str, list[int]]:
    """Drawn by lot each time, so that deciding twice is seen."""
    end = ctx.start(pages=pages)
    return end((random.SystemRandom().choice(["left", "right"]), pages))


def left(ctx: Told, numbers: list[int]) -> int:
    return ctx.start(numbers=numbers)(max(numbers))


async def reverse(ctx: Told, numbers: list[int]) -> list[int]:
    return ctx.start(numbers=numbers)(numbers[::-1])


def highest(ctx: Told, numbers: list[int]) -> int:
    return ctx.start(numbers=numbers)(max(numbers))


@inline
def sort(ctx: Told, pages: list[int]) -> list[tuple[str, int]]:
    end = ctx.start(pages=pages)
    return end([("even" if page % 2 == 0 else "odd", page) for page in pages])


async def even(ctx: Told, number: int) -> int:
    return ctx.start(number=number)(number // 2)


def odd(ctx: Told, number: int) -> int:
    return ctx.start(number=number)(3 * number + 1)


def gate(ctx: Told, pages: list[int]) -> int:
    end = ctx.start(pages=pages)
    if ctx.attempt == 1 and ctx.log.troubles:
        raise DagPause("once")
    return end(len(pages))


def fragile(ctx: Told, gate: int) -> int:
    end = ctx.start(gate=gate)
    if ctx.attempt == 1 and ctx.log.troubles:
        raise ValueError("once")
    return end(gate + 1)


@inline
def after(ctx: Told, fragile: int) -> int:
    return ctx.start(fragile=fragile)(fragile * 2)


class Handle:
    """What does not come back from text, so that a restart has to make it again."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __repr__(self) -> str:
        return f"Handle({self.number})"


def handles(ctx: Told, pages: list[int]) -> list[Handle]:
    end = ctx.start(pages=pages)
    return end([Handle(page) for page in pages[:2]])


def use(ctx: Told, handle: Handle) -> int:
    return ctx.start(handle=handle)(handle.number)


def report(
    ctx: Told, flaky: int, route: int, ways: list[int], nested: int, uses: list[int], summed: int
) -> dict[str, Any]:
    given = {"flaky": flaky, "route": route, "ways": ways, "nested": nested, "uses": uses}
    given["summed"] = summed
    return ctx.start(**given)(given)


# --- the graph ------------------------------------------------------------------------------


def made() -> Dag:
    page = Dag()
    kept = page.node(keep, write="insert")
    page.node(parse) >> page.node(enrich, retry=Retry(3)) >> kept >> page.node(measure)

    right = Dag()
    right.node(reverse) >> right.node(highest)

    nested = Dag()
    nested.node(gate) >> nested.node(fragile) >> nested.node(after)

    dag = Dag()
    pages = dag.map(page, "pages", concurrency=3)
    dag.node(seed) >> pages
    ways = dag.map(dag.switch({"even": even, "odd": odd}), "ways")
    pages >> dag.node(sort) >> ways
    route = dag.switch({"left": left, "right": right}, "route")
    pages >> dag.node(decide) >> route
    rest = [dag.node(flaky, retry=Retry(3)), dag.node(nested, "nested")]
    pages >> rest
    uses = dag.map(use, "uses")
    pages >> dag.node(handles) >> uses
    total = dag.node(summed)
    pages >> dag.node(stream, write="insert") >> total
    pages >> [dag.node(newest, write="upsert"), dag.node(whole, write="replace")]
    [*rest, ways, route, uses, total] >> dag.node(report)
    return dag


DAG = made()
NSREF = "kills:pipeline"


def namespace() -> Namespace:
    """Where a recovery finds the pipeline."""
    found = Namespace()
    found.register(DAG, nsref=NSREF)
    return found


BRANCHES = {"left": {"left"}, "right": {"reverse", "highest"}}
"""The functions on each way of `route`."""
WRITERS = {"keep": "readings", "stream": "totals", "newest": "newest", "whole": "whole"}
"""The nodes that write, each with its table."""
LASTING = ("readings", "totals")
"""The tables whose rows no later attempt takes away or rewrites."""
UNRESTORABLE = ("handles", "uses")
"""A node whose output does not come back, and the map whose elements are compared with it: they
are run again until the map has completed."""
