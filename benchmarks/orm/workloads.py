"""What is measured, with how many rows, and how is a result known to be right?

A workload names the method of a `Peer` that it times. Everything before and after that call stands
here too, once for all peers: rows to begin with, arguments, and the check of what came out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .data import (
    AUTHOR_COLUMNS,
    BOOK_COLUMNS,
    Plain,
    author,
    authors,
    book,
    books,
    new_age,
    people,
    person,
    plain,
)

Content = Literal["nothing", "people", "books"]


class WrongResult(Exception):
    """A peer did not do the work: its time does not count."""


@dataclass(frozen=True)
class Workload:
    name: str
    title: str
    method: str
    budget: float | None  # as a ratio to the hand-written code
    rows: int  # in one repetition
    content: Content
    arguments: Callable[[int], Any] | None  # of the number of rows
    check: Callable[[int, Any, Any], None]  # the number of rows, the argument, the result
    objects: Literal["keyed", "keyless"] | None = None  # the argument is objects of the peer
    tasks: int = 0  # of an async workload
    is_pair: bool = False


# --- checks: of results, and of what the table holds afterwards ------------------------------


def _same(found: Sequence[Plain], wanted: Sequence[Plain]) -> None:
    if len(found) != len(wanted):
        raise WrongResult(f"{len(found)} rows, not {len(wanted)}")
    for one, other in zip(found, wanted, strict=True):
        if one != other:
            raise WrongResult(f"{one} is not {other}")


def _is_people(count: int, argument: Any, found: Any) -> None:
    _same(found, [plain(row) for row in people(count)])


def _is_slices(count: int, argument: Any, found: Any) -> None:
    _same(
        found,
        [plain(person(key)) for low, high in argument for key in range(low + 1, high + 1)],
    )


def _is_pairs(count: int, argument: Any, found: Any) -> None:
    wanted = []
    for key in range(1, count + 1):
        values = book(key)
        wanted.append(
            (*plain(values, BOOK_COLUMNS), *plain(author(values["author_id"]), AUTHOR_COLUMNS))
        )
    _same(found, wanted)


def _is_sum_of_ages(count: int, argument: Any, found: Any) -> None:
    wanted = sum(row["age"] for row in people(count))
    if found != wanted:
        raise WrongResult(f"the sum of the ages is {wanted}, not {found}")


def _now(edition: int, ages: Callable[[int], int] | None = None) -> Callable[[int, Any, Any], None]:
    """The check of a writing workload: `found` is what the peer reads back."""

    def check(count: int, argument: Any, found: Any) -> None:
        wanted = people(count, edition)
        for row in wanted:
            if ages is not None:
                row["age"] = ages(row["id"])
        _same(found, [plain(row) for row in wanted])

    return check


# --- arguments -------------------------------------------------------------------------------


def keys(count: int) -> list[int]:
    """Each key once, in an order that no cache of pages likes best."""
    step = 7919 if count % 7919 else 7907
    return [(number * step) % count + 1 for number in range(count)]


def ranges(count: int) -> list[tuple[int, int]]:
    return [(low, low + 100) for low in range(0, count - 99, 100)]


def _is_those(count: int, argument: Any, found: Any) -> None:
    _same(found, [plain(person(key)) for key in argument])


# --- the list --------------------------------------------------------------------------------

WORKLOADS = (
    Workload(
        "insert_each", "insert one by one, one transaction", "insert_each",
        1.4, 2_000, "nothing", None, _now(0), objects="keyless",
    ),
    Workload(
        "insert_bulk", "bulk insert of 50,000", "insert_bulk",
        0.95, 50_000, "nothing", None, _now(0), objects="keyless",
    ),
    Workload(
        "insert_commit", "insert + commit", "insert_commit",
        1.15, 500, "nothing", None, _now(0), objects="keyless",
    ),
    Workload(
        "get", "get by primary key", "get",
        1.15, 2_000, "people", keys, _is_those,
    ),
    Workload(
        "filter", "filter, 100 rows", "filter",
        1.0, 5_000, "people", ranges, _is_slices,
    ),
    Workload(
        "select", "select 50,000 into models", "select",
        0.95, 50_000, "people", None, _is_people,
    ),
    Workload(
        "stream", "stream 50,000", "stream",
        0.9, 50_000, "people", None, _is_sum_of_ages,
    ),
    Workload(
        "update", "update one column by key", "update",
        1.4, 2_000, "people", keys, _now(0, new_age),
    ),
    Workload(
        "load_update", "get by key, change one column, store it", "load_update",
        None, 2_000, "people", keys, _now(0, new_age),
    ),
    Workload(
        "upsert", "upsert of 10,000", "upsert",
        1.0, 10_000, "people", None, _now(1), objects="keyed",
    ),
    Workload(
        "join", "join of 10,000, pairs", "join",
        0.9, 10_000, "books", None, _is_pairs, is_pair=True,
    ),
    Workload(
        "async_get", "async get, 1 task", "async_get",
        0.5, 1_000, "people", keys, _is_those, tasks=1,
    ),
    Workload(
        "async_get_20", "async get, 20 tasks", "async_get",
        0.6, 2_000, "people", keys, _is_those, tasks=20,
    ),
    Workload(
        "async_select", "async select of everything", "async_select",
        1.0, 20_000, "people", None, _is_people, tasks=1,
    ),
)  # fmt: skip
BY_NAME = {workload.name: workload for workload in WORKLOADS}


def content(workload: Workload, count: int) -> dict[str, list[dict[str, Any]]]:
    """The rows that are there before the clock starts."""
    if workload.content == "people":
        return {"person": people(count)}
    if workload.content == "books":
        return {"author": authors(), "book": books(count)}
    return {}
