"""Rows are found anywhere in a value, by table and key."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Annotated, Any, NamedTuple
from uuid import UUID

from pydantic import BaseModel

from lythonic_compose import Rows
from lythonic_compose.dag_provenance.held import HeldRows, ranges_of, rows_in
from lythonic_state import DbModel, PrimaryKey


class Pear(DbModel, table="held_pear"):
    pear_id: Annotated[int, PrimaryKey()] = -1


class Fig(DbModel, table="held_fig"):
    fig_id: Annotated[UUID, PrimaryKey()]


class Page(DbModel, table="held_page"):
    book: Annotated[str, PrimaryKey()]
    number: Annotated[int, PrimaryKey()]


class Crate(BaseModel):
    pears: list[Pear]


@dataclass
class Box:
    crate: Crate
    label: Any = None


class Pair(NamedTuple):
    left: Any
    right: Any


def pears(*keys: int) -> list[Pear]:
    return [Pear(pear_id=key) for key in keys]


def found(value: Any) -> list[tuple[str, bool, Any]]:
    return [(each.table_name, each.only_rows, each.ranges or each.texts) for each in rows_in(value)]


def test_rows_stand_in_collections_models_and_dataclasses_at_any_depth() -> None:
    assert found(Pear(pear_id=3)) == [("held_pear", True, [(3, 3)])]
    assert found({"a": pears(2, 1), "b": (pears(4, 3, 9),)}) == [
        ("held_pear", True, [(1, 4), (9, 9)])
    ]
    assert found([Box(Crate(pears=pears(5)))]) == [("held_pear", True, [(5, 5)])]
    assert found(Pair(pears(1), {"x": None})) == [("held_pear", True, [(1, 1)])]


def test_what_stands_beside_rows_is_noticed() -> None:
    assert found(Box(Crate(pears=pears(5)), "of wood")) == [("held_pear", False, [(5, 5)])]
    assert found([*pears(5), Pear()]) == [("held_pear", False, [(5, 5)])]
    assert found([*pears(5), iter([])]) == [("held_pear", False, [(5, 5)])]


def test_values_without_rows_hold_none() -> None:
    values: list[Any] = [
        None,
        1.5,
        "text",
        [],
        {},
        [1, [2, "a"]],
        Pear(),
        [Pear()],
        Crate(pears=[]),
    ]
    for value in values:
        assert rows_in(value) == ()


def test_keys_of_other_types_are_kept_as_text_and_tables_apart() -> None:
    fig = Fig(fig_id=UUID(int=1))
    pages = [Page(book="b", number=2), Page(book="a", number=10)]
    assert found([fig, *pages, *pears(1)]) == [
        ("held_fig", True, ['"00000000-0000-0000-0000-000000000001"']),
        ("held_page", True, ['["a",10]', '["b",2]']),
        ("held_pear", True, [(1, 1)]),
    ]


def test_what_can_be_no_row_of_a_database_is_none() -> None:
    assert rows_in(Pear.construct_trusted(pear_id=2**64)) == ()
    assert rows_in(Page.construct_trusted(book=date(2026, 1, 1), number=1)) == ()


def test_a_value_that_holds_itself_is_looked_at_once() -> None:
    value: list[Any] = pears(1)
    value += [value, value]
    assert found(value) == [("held_pear", True, [(1, 1)])]


def test_a_stream_is_kept_as_the_node_that_wrote_it() -> None:
    (held,) = rows_in([Rows("run", "fetch", 1, (Pear,))], "sum.rows")
    assert held == HeldRows("sum.rows", "", True, None, None, None, [], [], "run", "fetch")


def test_ranges_are_as_few_as_can_be() -> None:
    assert ranges_of([]) == []
    assert ranges_of([7, 2, 1, 3, 7, -1]) == [(-1, -1), (1, 3), (7, 7)]
