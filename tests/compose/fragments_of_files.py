"""A module that is registered as a fragment by tests/compose/test_registry.py."""

from __future__ import annotations

from typing import Any

from lythonic_compose.marks import mount_required, mountable, nsnode

TOLD: list[Any] = []


@mountable
def remember(storage: Any) -> None:
    TOLD.append(storage)


@nsnode(tags=["slow"])
def fetch(url: str) -> str:
    return f"file {url}"


@nsnode
@mount_required
def newest() -> Any:
    return TOLD[-1]


def helper() -> None:
    raise AssertionError("not marked")
