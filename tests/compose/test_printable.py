"""What a terminal shows of a text."""

import pytest

from lythonic_compose.printable import columns, one_line, padded


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("データ é", "データ é"),
        ("a\nb\x1b[2J", r"a\nb\x1b[2J"),
        ("\u202e", r"\u202e"),  # would turn the line around
        ("\udc80", r"\udc80"),
        ("\U000e0001", r"\U000e0001"),
    ],
)
def test_what_cannot_be_shown_is_written_as_python_would(text: str, shown: str) -> None:
    assert one_line(text) == shown
    assert one_line(text).isprintable()


@pytest.mark.parametrize(("text", "width"), [("ab", 2), ("データ", 6), ("e\u0301", 1), ("", 0)])
def test_a_text_is_as_wide_as_its_columns(text: str, width: int) -> None:
    assert columns(text) == width
    assert padded(text, 8) == text + " " * (8 - width)
    assert padded(text, 8, to_right=True) == " " * (8 - width) + text
    assert padded(text, 0) == text
