"""What do the bulk verbs do with lists, generators and async generators, and when one row fails?"""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Annotated, Any
from weakref import ReferenceType, ref

import pytest
from pydantic import Field

from lythonic_state import (
    AltKey,
    ConstraintViolation,
    DbModel,
    FilterError,
    InvalidValue,
    PrimaryKey,
    count_statements,
)
from tests.databases import Database


class Word(DbModel["Word"]):
    word_id: int = Field(default=-1, description="(PK)")
    text: Annotated[str, AltKey()]
    uses: int = 0


class Point(DbModel["Point"]):
    x: Annotated[int, PrimaryKey()]
    y: Annotated[int, PrimaryKey()]
    colour: str = ""


class Line(DbModel["Line"]):
    text: str


BULK: tuple[str, ...] = ("insert_many", "save_many", "upsert_many")


def words(*texts: str) -> list[Word]:
    return [Word(text=text) for text in texts]


async def texts(db: Database) -> list[tuple[int, str]]:
    found = await db(Word.select(db.conn, order_by="word_id"))
    return [(word.word_id, word.text) for word in found]


async def unchanged(db: Database, rows: Sequence[Any]) -> None:
    """Nothing is stored, here or elsewhere, and the models have no keys."""
    await db.commit()
    async with db.second() as other:
        assert await other(Word.select_count(other.conn)) == 0
    assert all(row.word_id == -1 for row in rows)
    assert all("word_id" not in row.model_fields_set for row in rows)


@pytest.mark.parametrize("verb", BULK)
async def test_keys_are_set_on_the_given_models(db: Database, verb: str) -> None:
    await db.create(Word)
    rows = words(*(f"{n:04}" for n in range(2500)))
    assert await db(getattr(Word, verb)(db.conn, rows)) == 2500
    assert sorted(row.word_id for row in rows) == list(range(1, 2501))
    assert await texts(db) == sorted((row.word_id, row.text) for row in rows)
    assert (await db(Word(text="next").save(db.conn))).word_id > 2500


@pytest.mark.parametrize("verb", BULK)
async def test_rows_come_from_any_iterable(db: Database, verb: str) -> None:
    await db.create(Word)
    bulk = getattr(Word, verb)
    assert await db(bulk(db.conn, [])) == 0
    assert await db(bulk(db.conn, tuple(words("a", "b")))) == 2
    assert await db(bulk(db.conn, (word for word in words("c", "d")))) == 2
    assert await db(bulk(db.conn, {word.text: word for word in words("e")}.values())) == 1
    assert [text for _, text in await texts(db)] == list("abcde")


@pytest.mark.parametrize("verb", BULK)
async def test_rows_come_from_async_generators_too(async_db: Database, verb: str) -> None:
    await async_db.create(Word)

    async def source() -> AsyncIterator[Word]:
        for text in "abc":
            # on the same connection, which the source may use until the writing begins
            yield Word(text=text, uses=await Word.select_count(async_db.conn))

    assert await async_db(getattr(Word, verb)(async_db.conn, source())) == 3
    assert len(await texts(async_db)) == 3


async def test_an_async_source_needs_an_async_connection(sync_db: Database) -> None:
    await sync_db.create(Word)

    async def source() -> AsyncIterator[Word]:
        yield Word(text="a")

    with pytest.raises(InvalidValue, match="async connection"):
        Word.insert_many(sync_db.conn, source())


@pytest.mark.parametrize("verb", BULK)
async def test_other_things_than_rows_are_refused(db: Database, verb: str) -> None:
    await db.create(Word)
    bulk = getattr(Word, verb)
    for wrong in (Word(text="a"), "text", [Line(text="a")], [{"text": "a"}]):
        with pytest.raises(InvalidValue, match="Word"):
            await db(bulk(db.conn, wrong))
    await unchanged(db, [])


@pytest.mark.parametrize("verb", BULK)
async def test_a_source_that_fails_leaves_nothing(db: Database, verb: str) -> None:
    await db.create(Word)
    rows = words(*map(str, range(1500)))

    def source() -> Iterator[Word]:
        yield from rows
        raise KeyError("source")

    with pytest.raises(KeyError):
        await db(getattr(Word, verb)(db.conn, source()))
    await unchanged(db, rows)


@pytest.mark.parametrize("verb", ["insert_many", "save_many"])
async def test_a_row_that_fails_leaves_nothing(db: Database, verb: str) -> None:
    await db.create(Word)
    rows = words(*map(str, range(1500)), "7")
    with pytest.raises(ConstraintViolation) as caught:
        await db(getattr(Word, verb)(db.conn, rows))
    assert (caught.value.kind, caught.value.columns) == ("unique", ("text",))
    await unchanged(db, rows)


async def test_a_value_that_fails_leaves_nothing(db: Database) -> None:
    await db.create(Word)
    for verb in BULK:
        rows = [*words("a", "b"), Word.construct_trusted(text="c", uses=2**63, word_id=-1)]
        with pytest.raises(InvalidValue, match=r"Word\.uses"):
            await db(getattr(Word, verb)(db.conn, rows))
        await unchanged(db, rows[:2])


async def test_explicit_keys_further_down_do_not_collide_with_new_ones(db: Database) -> None:
    await db.create(Word)
    rows = [Word(text="a"), Word(word_id=1, text="b"), Word(text="c"), Word(word_id=4, text="d")]
    assert await db(Word.insert_many(db.conn, rows)) == 4
    assert len({row.word_id for row in rows}) == 4
    assert (rows[1].word_id, rows[3].word_id) == (1, 4)
    assert (await db(Word(text="e").save(db.conn))).word_id > max(row.word_id for row in rows)


async def test_ignored_rows_get_no_key(db: Database) -> None:
    await db.create(Word)
    old = await db(Word(text="b", uses=5).save(db.conn))
    rows = [*words("a", "b", "c", "a"), Word(word_id=old.word_id, text="z")]
    assert await db(Word.insert_many(db.conn, rows, on_conflict="ignore")) == 2
    assert [row.word_id == -1 for row in rows] == [False, True, False, True, False]
    assert rows[4].word_id == old.word_id
    stored = {word.text: word for word in await db(Word.select(db.conn))}
    assert set(stored) == {"a", "b", "c"}
    assert stored["a"].word_id == rows[0].word_id
    assert stored["c"].word_id == rows[2].word_id
    assert stored["b"].uses == 5
    with pytest.raises(FilterError, match="'raise' or 'ignore'"):
        await db(Word.insert_many(db.conn, [], on_conflict="replace"))


async def test_save_many_inserts_and_updates(db: Database) -> None:
    await db.create(Word, Point, Line)
    old = await db(Word(text="old").save(db.conn))
    old.uses = 9
    rows = [Word(text="new"), old, Word(word_id=50, text="given")]
    assert await db(Word.save_many(db.conn, rows)) == 3
    assert {word.text: word.uses for word in await db(Word.select(db.conn))} == {
        "old": 9,
        "new": 0,
        "given": 0,
    }
    points = [Point(x=1, y=2), Point(x=1, y=3)]
    assert await db(Point.save_many(db.conn, points)) == 2
    points[0].colour = "red"
    assert await db(Point.save_many(db.conn, points)) == 2
    assert await db(Point.select_count(db.conn, colour="red")) == 1
    assert await db(Line.save_many(db.conn, [Line(text="a"), Line(text="a")])) == 2


async def test_upsert_many_finds_rows_by_any_unique_key(db: Database) -> None:
    await db.create(Word, Point)
    await db(Word(text="a", uses=1).save(db.conn))
    rows = [Word(text="a", uses=2), Word(text="b", uses=2)]
    assert await db(Word.upsert_many(db.conn, rows, on=["text"], update=["uses"])) == 2
    assert rows[0].word_id == 1
    by_key = [Word(word_id=1, text="A"), Word(word_id=77, text="c")]
    assert await db(Word.upsert_many(db.conn, by_key)) == 2
    found = {word.text: word for word in await db(Word.select(db.conn))}
    assert {text: word.uses for text, word in found.items()} == {"A": 0, "b": 2, "c": 0}
    assert found["c"].word_id == 77
    assert await db(Point.upsert_many(db.conn, [Point(x=1, y=1)] * 2)) == 2
    with pytest.raises(FilterError, match="not unique"):
        await db(Word.upsert_many(db.conn, words("a"), on=["uses"]))


async def test_a_generator_may_read_from_the_same_connection(sync_db: Database) -> None:
    await sync_db.create(Word)
    Word.insert_many(sync_db.conn, words("a", "b", "c"))
    doubled = (Word(text=word.text * 2) for word in Word.select(sync_db.conn))
    assert Word.insert_many(sync_db.conn, doubled) == 3
    assert [text for _, text in await texts(sync_db)] == ["a", "b", "c", "aa", "bb", "cc"]


@pytest.mark.parametrize("verb", ["insert_many", "save_many"])
async def test_what_nobody_else_holds_is_not_kept_for_its_key(sync_db: Database, verb: str) -> None:
    await sync_db.create(Word)
    made: list[ReferenceType[Word]] = []
    held: list[Word] = []

    def source() -> Iterator[Word]:
        for n in range(6000):
            word = Word(text=f"{n:04}")
            made.append(ref(word))
            if n % 1500 == 0:
                held.append(word)
            yield word
            if n % 1000 == 0:
                assert sum(loose() is not None for loose in made[:-3000]) <= len(held)

    assert getattr(Word, verb)(sync_db.conn, source()) == 6000
    assert [word.word_id for word in held] == [1, 1501, 3001, 4501]
    await sync_db.rollback()


async def test_a_thousand_rows_take_a_few_statements(db: Database) -> None:
    await db.create(Word, Point)
    with count_statements(db.conn) as counted:
        await db(Word.insert_many(db.conn, words(*map(str, range(1000)))))
    assert counted.count <= 2
    with count_statements(db.conn) as counted:
        await db(Point.save_many(db.conn, [Point(x=n, y=0) for n in range(1000)]))
    assert counted.count == 1
