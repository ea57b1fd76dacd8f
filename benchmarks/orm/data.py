"""What rows does every peer store and give back? Plain values, the same for all of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

COLUMNS = ("id", "name", "age", "score", "active", "email", "created", "birth", "note", "addr")
AUTHOR_COLUMNS = ("id", "name", "born", "bio")
BOOK_COLUMNS = ("id", "author_id", "title", "year", "price", "tags")
AUTHORS = 500

Plain = tuple[Any, ...]
START = datetime(2026, 1, 1, 9)
FIRST_DAY = date(1950, 1, 1)


def person(key: int, edition: int = 0) -> dict[str, Any]:
    """The row with this key. Another edition has other values, for an upsert to write."""
    return {
        "id": key,
        "name": f"name {key}",
        "age": (key + edition) % 90,
        "score": key * 1.5 + edition,
        "active": key % 2 == 0,
        "email": None if key % 3 else f"{key}@example.org",
        "created": START + timedelta(seconds=key, microseconds=key),
        "birth": FIRST_DAY + timedelta(days=key % 20_000),
        "note": "n" * (20 + edition),
        "addr": {"street": f"street {key % 100}", "zip": key, "tags": ["a", "b"]},
    }


def people(count: int, edition: int = 0) -> list[dict[str, Any]]:
    return [person(key, edition) for key in range(1, count + 1)]


def new_age(key: int) -> int:
    """What `update` writes: never the age that is there."""
    return (key * 7 + 1) % 90 + 100


def author(key: int) -> dict[str, Any]:
    bio = "b" * 30 if key % 2 else None
    return {
        "id": key,
        "name": f"author {key}",
        "born": FIRST_DAY + timedelta(days=key),
        "bio": bio,
    }


def authors() -> list[dict[str, Any]]:
    return [author(key) for key in range(1, AUTHORS + 1)]


def book(key: int) -> dict[str, Any]:
    return {
        "id": key,
        "author_id": key % AUTHORS + 1,
        "title": f"title {key}",
        "year": 1900 + key % 100,
        "price": key / 7,
        "tags": ["x", "y"],
    }


def books(count: int) -> list[dict[str, Any]]:
    return [book(key) for key in range(1, count + 1)]


def plain(values: dict[str, Any], columns: tuple[str, ...] = COLUMNS) -> Plain:
    return tuple(values[column] for column in columns)
