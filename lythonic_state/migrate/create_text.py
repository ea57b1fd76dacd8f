"""What does only the text of a CREATE TABLE tell? Its CHECKs, and whether keys are given out again.

SQLite keeps these nowhere else.

The text is cut into words, names, strings and brackets; what a CHECK says is not looked into.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..fields import frozen

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*|/\*.*?(?:\*/|\Z))
    | (?P<string>'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    | (?P<word>[^\W\d][\w$]*)
    | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)


@frozen
class _Token:
    kind: str
    text: str
    start: int
    end: int

    def is_word(self, word: str) -> bool:
        return self.kind == "word" and self.text.upper() == word


def checks_in(text: str) -> list[tuple[str | None, str]]:
    """The CHECKs of a table: name, None where it has none, and expression.

    Example:
        >>> checks_in("CREATE TABLE t (n INTEGER CONSTRAINT c CHECK (n > 0))")
        [('c', 'n > 0')]
    """
    tokens = list(_tokens(text))
    found: list[tuple[str | None, str]] = []
    depth, name, position = 0, None, 0
    while position < len(tokens):
        token = tokens[position]
        depth += {"(": 1, ")": -1}.get(token.text, 0) if token.kind == "other" else 0
        if depth == 1 and token.is_word("CONSTRAINT") and position + 1 < len(tokens):
            position += 1
            name = _unquoted(tokens[position])
        elif depth == 1 and token.is_word("CHECK"):
            start = position + 1
            position = _closing(tokens, start)
            inside = text[tokens[start].end : tokens[position].start]
            found.append((name, inside.strip()))
            name = None
        elif token.text == "," and depth == 1:
            name = None
        position += 1
    return found


def never_reuses_keys(text: str) -> bool:
    """Whether a table's key is AUTOINCREMENT, a word that SQLite takes for nothing else.

    Example:
        >>> never_reuses_keys("CREATE TABLE t (n INTEGER PRIMARY KEY AUTOINCREMENT)")
        True
    """
    return any(token.is_word("AUTOINCREMENT") for token in _tokens(text))


def _tokens(text: str) -> Iterator[_Token]:
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup or ""
        if kind != "space":
            yield _Token(kind, match[0], match.start(), match.end())


def _closing(tokens: list[_Token], opening: int) -> int:
    """Where the bracket that opens at this token closes."""
    depth = 0
    for position in range(opening, len(tokens)):
        token = tokens[position]
        if token.kind == "other":
            depth += {"(": 1, ")": -1}.get(token.text, 0)
        if depth == 0:
            return position
    return len(tokens) - 1


def _unquoted(token: _Token) -> str:
    if token.kind not in ("name", "string"):
        return token.text
    mark = token.text[-1]
    inside = token.text[1:-1]
    return inside if mark == "]" else inside.replace(mark * 2, mark)
