"""How is a module used that most programs need late, or never? By its name, when it comes to it.

For a room this stands beside an import under `TYPE_CHECKING`, which says to type checkers and to
the rules of the rooms what it is. It is not for a room that is used for every node or row.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["Later", "asyncio"]


class Later:
    """A room that is imported when something of it is asked for."""

    def __init__(self, package: str, room: str) -> None:
        self._name = f"{package}.{room}"

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(self._name), name)


class _Asyncio:
    """asyncio, imported with the first run: with ssl and subprocess it is a sixth of pydantic.

    What was asked for is kept, and from then on found as quickly as in the module.
    """

    def __getattr__(self, name: str) -> Any:
        found = getattr(import_module("asyncio"), name)
        setattr(self, name, found)
        return found


if TYPE_CHECKING:
    import asyncio as asyncio
else:
    asyncio = _Asyncio()
