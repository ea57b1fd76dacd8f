"""sqlite3 without models: what no code above it can be faster than."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

from ..data import new_age
from ..peer import Peer, Values
from . import _sql as sql


class Tuples(Peer):
    title = "raw tuples (floor)"
    gives_keys = False
    note = "no models: rows go in and come out as the file holds them"

    def open(self, target: str) -> None:
        self.conn = sqlite3.connect(target, isolation_level="IMMEDIATE")
        self.conn.execute("PRAGMA journal_mode = WAL")
        self.conn.execute("PRAGMA synchronous = NORMAL")
        self.conn.execute("PRAGMA foreign_keys = ON")

    def create(self) -> None:
        self.conn.executescript(sql.TABLES)

    def close(self) -> None:
        self.conn.close()

    def pragma(self, name: str) -> Any:
        return self.conn.execute(f"PRAGMA {name}").fetchone()[0]

    def objects(self, rows: Sequence[Values], keys: bool) -> list[tuple[Any, ...]]:
        return [tuple(_text(v) for v in row.values())[0 if keys else 1 :] for row in rows]

    def fill(self, table: str, rows: Sequence[Values]) -> None:
        marks = ", ".join("?" for _ in rows[0])
        values = (tuple(_text(v) for v in row.values()) for row in rows)
        self.conn.executemany(f"INSERT INTO {table} VALUES ({marks})", values)
        self.conn.commit()

    def plain(self, found: Sequence[Any]) -> tuple[Any, ...]:
        key, name, age, score, active, email, created, birth, note, addr = found
        moment, day = datetime.fromisoformat(created), date.fromisoformat(birth)
        return (
            key, name, age, score, bool(active), email, moment, day, note, json.loads(addr)
        )  # fmt: skip

    def plain_pair(self, found: Sequence[Any]) -> tuple[Any, ...]:
        *book, tags, key, name, born, bio = found
        return (*book, json.loads(tags), key, name, date.fromisoformat(born), bio)

    # -- workloads

    def insert_each(self, people: list[tuple[Any, ...]]) -> None:
        for person in people:
            self.conn.execute(sql.INSERT, person)
        self.conn.commit()

    def insert_commit(self, people: list[tuple[Any, ...]]) -> None:
        for person in people:
            self.conn.execute(sql.INSERT, person)
            self.conn.commit()

    def insert_bulk(self, people: list[tuple[Any, ...]]) -> None:
        self.conn.executemany(sql.INSERT, people)
        self.conn.commit()

    def upsert(self, people: list[tuple[Any, ...]]) -> None:
        self.conn.executemany(sql.UPSERT, people)
        self.conn.commit()

    def get(self, keys: list[int]) -> list[Any]:
        return [self.conn.execute(sql.GET, (key,)).fetchone() for key in keys]

    def filter(self, ranges: list[tuple[int, int]]) -> list[list[Any]]:
        return [self.conn.execute(sql.FILTER, ends).fetchall() for ends in ranges]

    def select(self) -> list[Any]:
        return self.conn.execute(sql.SELECT_ALL).fetchall()

    def stream(self) -> int:
        return sum(row[2] for row in self.conn.execute(sql.SELECT_ALL))

    def update(self, keys: list[int]) -> None:
        for key in keys:
            self.conn.execute(sql.UPDATE, (new_age(key), key))
        self.conn.commit()

    def load_update(self, keys: list[int]) -> None:
        for key in keys:
            self.conn.execute(sql.GET, (key,)).fetchone()
            self.conn.execute(sql.UPDATE, (new_age(key), key))
        self.conn.commit()

    def join(self) -> list[Any]:
        return self.conn.execute(sql.JOIN).fetchall()


def _text(value: Any) -> Any:
    if isinstance(value, dict | list):
        return json.dumps(value)
    return value.isoformat() if isinstance(value, date) else value


PEER = Tuples
