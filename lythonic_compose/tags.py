"""Which sets of tags does an expression like "slow & ~market" choose?

Texts and sets only; what carries the tags is not known here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final, NoReturn, TypeAlias

from .errors import NamespaceError, WrongKind

Chooses: TypeAlias = Callable[[Collection[str]], bool]
"""Whether tags are among those that an expression chooses."""

_TOKEN: Final = re.compile(r"\s*([~&|()]|[^\s~&|()]+)")


def parse_tags(expression: str) -> Chooses:
    """What an expression means: `~` binds closer than `&`, `&` closer than `|`; parentheses group.

    Example:
        >>> chooses = parse_tags("slow & ~(market | weather)")
        >>> chooses({"slow", "weather"})
        False

    Raises:
        NamespaceError: it is malformed; the message shows the place.
        WrongKind: it is no text.
    """
    if not isinstance(expression, str):
        raise WrongKind(f'tags are asked for by a text like "slow & ~market", got {expression!r}')
    try:
        return _Parser(expression).parsed()
    except RecursionError:
        raise NamespaceError("cannot read the tags: too many parentheses in each other") from None


class _Parser:
    """Reads an expression from left to right, one method for each strength of binding."""

    def __init__(self, text: str) -> None:
        self._text = text
        found = [(match.start(1), match[1]) for match in _TOKEN.finditer(text)]
        self._tokens = [*found, (len(text.rstrip()), "")]
        self._next = 0

    def parsed(self) -> Chooses:
        if len(self._tokens) == 1:
            self._fail("it is empty")
        chooses = self._any_of()
        if self._sees(")"):
            self._fail("this ) closes nothing")
        if not self._sees(""):
            self._fail("there is no & or | before this")
        return chooses

    def _any_of(self) -> Chooses:
        members = [self._all_of()]
        while self._took("|"):
            members.append(self._all_of())
        return members[0] if len(members) == 1 else _any_of(members)

    def _all_of(self) -> Chooses:
        members = [self._negated()]
        while self._took("&"):
            members.append(self._negated())
        return members[0] if len(members) == 1 else _all_of(members)

    def _negated(self) -> Chooses:
        times = 0
        while self._took("~"):
            times += 1
        chooses = self._single()
        return _none_of(chooses) if times % 2 else chooses

    def _single(self) -> Chooses:
        place, token = self._tokens[self._next]
        if self._took("("):
            chooses = self._any_of()
            if not self._took(")"):
                if self._sees(""):
                    self._fail("this ( is not closed", place)
                self._fail("there is no & or | before this")
            return chooses
        if token in ("", ")", "&", "|"):
            self._fail("a tag is missing here")
        self._next += 1
        return _is_tag(token)

    def _sees(self, token: str) -> bool:
        return self._tokens[self._next][1] == token

    def _took(self, token: str) -> bool:
        if not self._sees(token):
            return False
        self._next += 1
        return True

    def _fail(self, why: str, place: int | None = None) -> NoReturn:
        at = self._tokens[self._next][0] if place is None else place
        line = re.sub(r"\s", " ", self._text)
        raise NamespaceError(
            f"cannot read the tags {self._text!r}: {why}, at character {at + 1}\n"
            f"  {line}\n  {' ' * at}^"
        )


def _is_tag(tag: str) -> Chooses:
    return lambda tags: tag in tags


def _none_of(chooses: Chooses) -> Chooses:
    return lambda tags: not chooses(tags)


def _all_of(members: list[Chooses]) -> Chooses:
    return lambda tags: all(chooses(tags) for chooses in members)


def _any_of(members: list[Chooses]) -> Chooses:
    return lambda tags: any(chooses(tags) for chooses in members)
