"""How do rows of text fit into the columns of a terminal?"""

import pytest

from lythonic_compose.lyth.tables import Cell, Cells, Column, Line, cut, table
from lythonic_compose.printable import columns

TITLES = [
    Column("run"),
    Column("dag", least=6),
    Column("took", to_right=True, leave=1),
    Column("by", leave=2),
    Column("error", least=5),
]
ROWS: list[Cells] = [
    ["1a2b3c4d", "reports:daily", "12 ms", "", "ValueError: no such page"],
    ["5e6f7a8b", "disks", Cell("1:02:03", "red"), "", ""],
]


def text(lines: list[Line]) -> list[str]:
    return ["".join(cell.text for cell in line) for line in lines]


def test_columns_are_as_wide_as_they_need_and_empty_ones_are_left_out() -> None:
    assert text(table(TITLES, ROWS)) == [
        "RUN       DAG               TOOK  ERROR",
        "1a2b3c4d  reports:daily    12 ms  ValueError: no such page",
        "5e6f7a8b  disks          1:02:03",
    ]


def test_the_widest_column_that_may_be_is_cut_first() -> None:
    assert text(table(TITLES, ROWS, 50)) == [
        "RUN       DAG               TOOK  ERROR",
        "1a2b3c4d  reports:daily    12 ms  ValueError: no …",
        "5e6f7a8b  disks          1:02:03",
    ]


def test_where_cutting_is_not_enough_columns_are_left_out() -> None:
    assert text(table(TITLES, ROWS, 25)) == [
        "RUN       DAG     ERROR",
        "1a2b3c4d  repor…  ValueE…",
        "5e6f7a8b  disks",
    ]


@pytest.mark.parametrize("width", range(23, 70))
def test_no_line_is_wider_than_the_terminal(width: int) -> None:
    rows = [*ROWS, ["日本語", "データ:毎日の報告", "1 ms", "", "e\u0301\u0301 wide 日本語"]]

    assert max(columns(line) for line in text(table(TITLES, rows, width))) <= width


def test_styles_stay_with_their_cells_and_line_ends_are_shown() -> None:
    rows: list[Cells] = [["a\nb", Cell("late", "red")]]

    lines = table([Column("one"), Column("two")], rows)

    assert text(lines) == ["ONE   TWO", "a\\nb  late"]
    assert [cell.style for cell in lines[1]] == ["", "red"]


@pytest.mark.parametrize(
    ("given", "width", "shown"),
    [("abc", 3, "abc"), ("abcd", 3, "ab…"), ("日本語", 4, "日…"), ("abc", 1, "…"), ("abc", 0, "")],
)
def test_what_is_cut_ends_in_an_ellipsis(given: str, width: int, shown: str) -> None:
    assert cut(given, width) == shown
