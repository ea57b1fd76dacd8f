"""What did a node take and make? A snapshot of each, for people who look for a mistake."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .snapshots import snapshot


class HistoryEntry(dict[str, Any]):
    """One call of a node: `entry["node"]`, `entry["inputs"]` and `entry["outputs"]` by name.

    Each is an attribute, too.

    Example:
        >>> pipeline.history[0].outputs["sum"]
        5
    """

    @property
    def node(self) -> str:
        return str(self["node"])

    @property
    def inputs(self) -> dict[str, Any]:
        found: dict[str, Any] = self["inputs"]
        return found

    @property
    def outputs(self) -> dict[str, Any]:
        found: dict[str, Any] = self["outputs"]
        return found


def snapshots(objects: Mapping[str, Any]) -> dict[str, Any]:
    """Copies that stay as they are, whatever becomes of the objects."""
    return {name: snapshot(value) for name, value in objects.items()}
