"""The tree of errors is as it is drawn."""

import re
from collections.abc import Iterator

import lythonic_compose
from lythonic_compose import errors
from lythonic_compose.errors import ComposeError


def drawn() -> Iterator[tuple[str, str | None, str | None]]:
    """Each error of the drawing: its name, its parent's and the builtin that it is besides."""
    above: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ([ │├└─]*)([A-Z]\w+)(?: +([A-Z]\w+Error)\b)?", line)
        if found is None:
            continue
        depth, name, builtin = len(found[1]), found[2], found[3]
        above = [(other, parent) for other, parent in above if other < depth]
        yield name, above[-1][1] if above else None, builtin
        above.append((depth, name))


def test_every_error_is_public_and_what_the_drawing_says() -> None:
    tree = list(drawn())
    assert {name for name, _, _ in tree} == {
        name for name in lythonic_compose.__all__ if _is_error(getattr(lythonic_compose, name))
    }
    for name, parent, builtin in tree:
        bases = [base.__name__ for base in getattr(lythonic_compose, name).__bases__]
        assert bases[0] == (parent or "Exception"), name
        assert bases[1:] == ([] if builtin is None else [builtin]), name


def _is_error(thing: object) -> bool:
    return isinstance(thing, type) and issubclass(thing, ComposeError)
