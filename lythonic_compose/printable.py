"""What of a text can a terminal show, and how many columns does that take?

Characters only; what they say is decided elsewhere.
"""

from __future__ import annotations

import unicodedata


def one_line(text: str) -> str:
    """Text with line ends and all else that is not printable as Python would write it."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def columns(text: str) -> int:
    """How wide a terminal shows text: two columns for a wide character, none for an accent."""
    if text.isascii():
        return len(text)
    return sum(
        0
        if unicodedata.category(char) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )


def padded(text: str, width: int, *, to_right: bool = False) -> str:
    """Text with the spaces that it lacks for so many columns."""
    spaces = " " * (width - columns(text))
    return spaces + text if to_right else text + spaces
