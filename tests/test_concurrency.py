"""Several processes, threads and tasks write at once, and nothing is lost or made twice."""

import asyncio
import textwrap
import threading
from typing import Any

from pydantic import Field

from lythonic_state import DbModel, open_db
from tests.databases import Database
from tests.processes import Python

PROCESSES = 8
TIMES = 10


class Counter(DbModel["Counter"]):
    counter_id: int = Field(default=-1, description="(PK)")
    name: str = Field(description="(AK)")
    hits: int = 0


MODEL = """
    import sys
    from pydantic import Field
    from lythonic_state import DbModel, open_db, transaction

    class Counter(DbModel["Counter"]):
        counter_id: int = Field(default=-1, description="(PK)")
        name: str = Field(description="(AK)")
        hits: int = 0

    url, times, number = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    print("ready", flush=True)
    sys.stdin.readline()
"""

BY_EXPRESSION = """
    with open_db(url) as conn:
        for _ in range(times):
            Counter.update_where(conn, {"hits": Counter.hits + 1}, name="one")
            conn.commit()
"""

BY_READ_AND_WRITE = """
    with open_db(url) as conn:
        for _ in range(times):
            with transaction(conn):
                # takes the row's lock on PostgreSQL; on SQLite the block has the file's already
                Counter.update_where(conn, {"name": "one"}, name="one")
                counter = Counter.get(conn, name="one")
                counter.hits += 1
                counter.save(conn)
"""

BY_GET_OR_CREATE = """
    with open_db(url) as conn:
        for index in range(times):
            Counter.get_or_create(conn, name=f"key {index}")
            conn.commit()
            Counter.get_or_create(conn, {"hits": number}, name=f"other {index}")
            conn.commit()
"""

BY_NEW_ROWS = """
    with open_db(url) as conn:
        for index in range(times):
            Counter(name=f"{number}/{index}").save(conn)
            conn.commit()
            Counter.insert_many(conn, [Counter(name=f"{number}/{index}/{n}") for n in range(3)])
            conn.commit()
"""


def in_processes(url: str, script: str, count: int = PROCESSES, times: int = TIMES) -> None:
    """Runs a script in several processes, which begin together."""
    text = textwrap.dedent(MODEL) + textwrap.dedent(script)
    processes = [Python(text, url, str(times), str(number)) for number in range(count)]
    for process in processes:
        process.stdout.readline()
    for process in processes:
        process.tell("go")
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors


# --- processes ------------------------------------------------------------------------------


async def test_eight_processes_lose_no_increment(sync_db: Database) -> None:
    db = sync_db
    await db.create(Counter)
    Counter(name="one").save(db.conn)
    db.conn.commit()
    in_processes(db.url, BY_EXPRESSION + BY_READ_AND_WRITE)
    assert Counter.get(db.conn, name="one").hits == PROCESSES * TIMES * 2


async def test_processes_make_each_wanted_row_once_and_new_rows_with_keys_of_their_own(
    sync_db: Database,
) -> None:
    db = sync_db
    await db.create(Counter)
    in_processes(db.url, BY_GET_OR_CREATE + BY_NEW_ROWS, count=3)
    rows = Counter.select(db.conn)
    wanted = [row.name for row in rows if "/" not in row.name]
    expected = [f"{what} {index}" for what in ("key", "other") for index in range(TIMES)]
    assert sorted(wanted) == sorted(expected)
    assert len(rows) - len(wanted) == 3 * TIMES * 4
    assert len({row.counter_id for row in rows}) == len(rows)


# --- threads and tasks ----------------------------------------------------------------------


async def test_threads_that_want_the_same_row_make_one(sync_db: Database) -> None:
    db = sync_db
    await db.create(Counter)
    barrier = threading.Barrier(6)
    found: list[tuple[int, bool]] = []

    def work() -> None:
        with open_db(db.url) as conn:
            barrier.wait()
            counter, created = Counter.get_or_create(conn, name="one")
            conn.commit()
            found.append((counter.counter_id, created))

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 6
    assert [created for _, created in found].count(True) == 1
    assert len({key for key, _ in found}) == 1
    assert Counter.select_count(db.conn) == 1


async def test_tasks_with_connections_of_their_own_make_one_row(async_db: Database) -> None:
    db = async_db
    await db.create(Counter)

    async def work() -> bool:
        async with open_db(db.url) as conn:
            _, created = await Counter.get_or_create(conn, name="one")
            await conn.commit()
            return created

    created = await asyncio.gather(*(work() for _ in range(6)))
    assert created.count(True) == 1
    assert await Counter.select_count(db.conn) == 1


async def test_twenty_tasks_save_on_one_connection(async_db: Database) -> None:
    db = async_db
    await db.create(Counter)
    rows = [Counter(name=f"n{number}") for number in range(20)]
    await asyncio.gather(*(row.save(db.conn) for row in rows))
    await db.commit()
    assert len({row.counter_id for row in rows}) == 20
    async with db.second() as other:
        assert await other(Counter.select_count(other.conn)) == 20


async def test_tasks_interleave_verbs_of_every_kind_on_one_connection(
    async_db: Database,
) -> None:
    db = async_db
    await db.create(Counter)

    async def work(number: int) -> None:
        name = f"n{number}"
        row = await Counter(name=name).save(db.conn)
        await Counter.update_where(db.conn, {"hits": Counter.hits + 1}, name=name)
        await Counter.insert_many(db.conn, [Counter(name=f"{name}/{n}") for n in range(5)])
        assert (await row.refresh(db.conn)).hits == 1
        names = [found.name async for found in Counter.iterate(db.conn, 2, startswith__name=name)]
        assert name in names
        assert await Counter.delete(db.conn, startswith__name=f"{name}/") == 5
        assert await Counter.get_or_create(db.conn, name=name) == (row, False)

    await asyncio.gather(*(work(number) for number in range(10, 20)))
    await db.commit()
    async with db.second() as other:
        rows = await other(Counter.select(other.conn))
    assert {row.name: row.hits for row in rows} == {f"n{number}": 1 for number in range(10, 20)}


async def test_a_verb_that_fails_does_not_disturb_those_beside_it(async_db: Database) -> None:
    db = async_db
    await db.create(Counter)
    await db(Counter(name="there").save(db.conn))
    outcomes: list[Any] = await asyncio.gather(
        *(
            Counter(name="there" if number % 2 else f"n{number}").save(db.conn)
            for number in range(10)
        ),
        return_exceptions=True,
    )
    await db.commit()
    assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, True] * 5
    assert await Counter.select_count(db.conn) == 6


# --- keys -----------------------------------------------------------------------------------


async def test_generated_keys_never_meet_explicit_ones(db: Database) -> None:
    await db.create(Counter)
    conn = db.conn
    keys: list[int] = []

    async def generated() -> None:
        """New rows, one by one and in bulk, whose keys nobody has."""
        row = await db(Counter(name=f"g{len(keys)}").save(conn))
        keys.append(row.counter_id)
        rows = [Counter(name=f"g{len(keys) + n}") for n in range(3)]
        await db(Counter.insert_many(conn, rows))
        keys.extend(row.counter_id for row in rows)
        row = await db(Counter.create(conn, {"name": f"g{len(keys)}"}))
        keys.append(row.counter_id)
        assert len(set(keys)) == len(keys)

    async def explicit(write: Any) -> None:
        """A row with a key beyond those that are there, written in some way."""
        key = max(keys) + 3
        await db(write(Counter(counter_id=key, name=f"e{key}")))
        keys.append(key)
        await generated()

    await generated()
    await explicit(lambda row: row.save(conn))
    await explicit(lambda row: row.insert(conn))
    await explicit(lambda row: row.upsert(conn))
    await explicit(lambda row: Counter.insert_many(conn, [row]))
    await explicit(lambda row: Counter.save_many(conn, [row]))
    await explicit(lambda row: Counter.upsert_many(conn, [row]))
    await explicit(
        lambda row: Counter.get_or_create(conn, {"name": row.name}, counter_id=row.counter_id)
    )
    await db.commit()
    assert await db(Counter.select_count(conn)) == len(keys)


async def test_explicit_and_generated_keys_mix_in_one_bulk_insert(db: Database) -> None:
    await db.create(Counter)
    await db(Counter(name="first").save(db.conn))
    rows = [
        Counter(name="a"),
        Counter(counter_id=50, name="b"),
        Counter(name="c"),
        Counter(counter_id=40, name="d"),
        Counter(name="e"),
    ]
    assert await db(Counter.insert_many(db.conn, rows)) == 5
    later = [Counter(name=f"l{number}") for number in range(60)]
    await db(Counter.insert_many(db.conn, later))
    after = await db(Counter(name="after").save(db.conn))
    every = [row.counter_id for row in (*rows, *later, after)]
    assert len({1, *every}) == 67
    stored = {row.name: row.counter_id for row in await db(Counter.select(db.conn))}
    assert {row.name: row.counter_id for row in (*rows, *later, after)} | {"first": 1} == stored


async def test_an_explicit_key_that_was_rolled_back_does_no_harm(db: Database) -> None:
    await db.create(Counter)
    await db(Counter(counter_id=7, name="gone").save(db.conn))
    await db.rollback()
    rows = [await db(Counter(name=f"n{number}").save(db.conn)) for number in range(10)]
    assert len({row.counter_id for row in rows}) == 10
