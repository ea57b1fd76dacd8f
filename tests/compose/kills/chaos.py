"""What `make chaos` does: thousands of kills at random moments, and a table of what came of them.

`python -m tests.compose.kills.chaos [kills]`; `LYTHONIC_KILL_SEED` repeats the choices of an
earlier run (the moments themselves depend on the machine).
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.compose.kills.killing import RandomKills, Story
from tests.compose.kills.lives import Life, Lives
from tests.compose.kills.witness import Record
from tests.databases import PostgresDatabase, run_postgres

KILLS = 2000


@dataclass
class Account:
    """What came of the kills on one database."""

    kills: int = 0
    stories: int = 0
    lives: int = 0
    minutes: float = 0.0
    broken: Counter[str] = field(default_factory=Counter[str])


def chaos(kills: int, seed: int) -> dict[str, Account]:
    """Kills so often in all, half of that on each database."""
    with (
        tempfile.TemporaryDirectory() as place,
        Lives() as lives,
        run_postgres() as server,
        server.database("chaos") as database,
    ):
        return _killed_on_both(Path(place), lives, database, kills, seed)


def _killed_on_both(
    home: Path, lives: Lives, postgres: PostgresDatabase, kills: int, seed: int
) -> dict[str, Account]:
    undisturbed = Story(lives, Life(f"{home}/undisturbed.db", f"{home}/undisturbed.log"))
    expected = undisturbed.to_the_end().end
    accounts: dict[str, Account] = {}
    for database in ("SQLite", "PostgreSQL"):
        account = accounts[database] = Account()
        began = time.monotonic()
        killing = RandomKills(seed)
        while account.kills < kills // 2:
            name = f"{database}{account.stories}"
            durability: Any = killing.chances.choice(["node", "node", "run"])
            troubles = killing.chances.choice([False, True])
            elsewhere = killing.chances.choice([False, False, True])
            with _places(database, name, home, postgres) as (store, rows):
                outputs = rows if elsewhere else ""
                life = Life(
                    store,
                    f"{home}/{name}.log",
                    outputs,
                    troubles=troubles,
                    durability=durability,
                )
                _told(account, Story(lives, life), killing, expected)
        account.minutes = (time.monotonic() - began) / 60
    return accounts


@contextmanager
def _places(
    database: str, name: str, home: Path, postgres: PostgresDatabase
) -> Iterator[tuple[str, str]]:
    """An empty database for a store, and one for rows."""
    if database == "SQLite":
        yield f"{home}/{name}.db", f"{home}/{name}.rows.db"
        return
    with postgres.schema(name.lower()) as store, postgres.schema(f"{name.lower()}_rows") as rows:
        yield store, rows


def _told(account: Account, story: Story, killing: RandomKills, expected: Record) -> None:
    try:
        wrong = killing.to_the_end(story).wrong(expected)
    except AssertionError as error:  # it did not come to an end, or said something
        wrong = {"comes_to_an_end": str(error)}
    account.stories += 1
    account.kills += story.kills
    account.lives += len(story.ends)
    account.broken.update(wrong.keys())
    for promise, how in wrong.items():
        print(f"{promise}, {story.life}:\n{how}\n", flush=True)


def main(kills: int = KILLS) -> int:
    seed = int(os.environ.get("LYTHONIC_KILL_SEED", random.SystemRandom().randrange(2**32)))
    print(f"LYTHONIC_KILL_SEED={seed}, {kills} kills", flush=True)
    accounts = chaos(kills, seed)
    print(f"{'':<12}{'kills':>8}{'runs':>8}{'lives':>8}{'minutes':>9}  promises broken")
    for database, account in accounts.items():
        broken = ", ".join(f"{name} ({times})" for name, times in account.broken.items()) or "none"
        print(
            f"{database:<12}{account.kills:>8}{account.stories:>8}{account.lives:>8}"
            f"{account.minutes:>9.1f}  {broken}"
        )
    return int(any(account.broken for account in accounts.values()))


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
