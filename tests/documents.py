"""How is a document run as a test? Its Python blocks in order, sharing one namespace.

The word after `python` on a block's first line says how: nothing is run as it stands, `no-run`
is skipped (it needs a server that no test has), `postgres` finds the URL of an empty database
as `PG_URL`.
"""

import ast
import asyncio
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

KINDS = ("", "no-run", "postgres")

_FENCE = re.compile(r"^(?P<indent> *)(?P<fence>`{3,}|~{3,})(?P<info>[^\n`]*)$")


@dataclass(frozen=True)
class Block:
    """One Python block: where its code begins, how it is run, and the code."""

    line: int
    kind: str
    code: str


def python_blocks(text: str) -> Iterator[Block]:
    """The Python blocks of a Markdown text, in order.

    Raises `ValueError` for a kind that does not exist and for a block without an end.
    """
    lines = iter(enumerate(text.splitlines(), start=1))
    for number, line in lines:
        opening = _FENCE.match(line)
        if opening is None:
            continue
        code: list[str] = []
        for _, inner in lines:
            closing = inner.strip()
            if (
                closing
                and set(closing) == {opening["fence"][0]}
                and len(closing) >= len(opening["fence"])
            ):
                break
            code.append(inner.removeprefix(opening["indent"]))
        else:
            raise ValueError(f"line {number}: this block has no end")
        language, _, kind = opening["info"].strip().partition(" ")
        if language not in ("python", "py"):
            continue
        if kind not in KINDS:
            raise ValueError(f"line {number}: {kind!r} is none of {KINDS}")
        yield Block(number + 1, kind, "\n".join(code) + "\n")


def run_document(path: Path, postgres_url: Callable[[], str]) -> None:
    """Run what `path` shows, in the current directory; tracebacks name the document's own lines."""
    blocks = list(python_blocks(path.read_text(encoding="utf-8")))
    with _module(path) as namespace, asyncio.Runner() as runner:
        for block in blocks:
            if block.kind == "no-run":
                continue
            if block.kind == "postgres":
                namespace.setdefault("PG_URL", postgres_url())
            source = "\n" * (block.line - 1) + block.code
            code = compile(
                source, str(path), "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True
            )
            if code.co_flags & inspect.CO_COROUTINE:
                runner.run(eval(code, namespace))
            else:
                # Outside of a loop, so that a block may start one with asyncio.run.
                eval(code, namespace)


@contextmanager
def _module(path: Path) -> Iterator[dict[str, Any]]:
    """A namespace that is a real module, so that annotations in it resolve as in a file."""
    name = "document_" + re.sub(r"\W", "_", path.stem)
    module = types.ModuleType(name)
    sys.modules[name] = module
    try:
        yield module.__dict__
    finally:
        del sys.modules[name]
