"""What does each verb on single rows do, and what does it refuse?"""

import asyncio
import datetime
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import Annotated, Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from lythonic_state import (
    AltKey,
    ConstraintViolation,
    DbModel,
    FilterError,
    InvalidValue,
    MultipleFound,
    NotFound,
    PrimaryKey,
    RowError,
    SchemaError,
    Transient,
    Unique,
    col,
    open_db,
)
from tests.databases import Database
from tests.processes import FORKING


class Author(DbModel["Author"]):
    author_id: int = Field(default=-1, description="(PK)")
    name: str
    born: int | None = None


class Site(DbModel["Site"], constraints=[Unique("host", "port")]):
    site_id: int | None = Field(default=None, description="(PK)")
    url: Annotated[str, AltKey()]
    host: str | None = None
    port: int = 0
    hits: int = 0


class Country(DbModel["Country"]):
    code: Annotated[str, PrimaryKey()]
    name: str = ""


class Token(DbModel["Token"]):
    token: Annotated[UUID, PrimaryKey()] = Field(default_factory=uuid4)
    owner: str = ""


class Seat(DbModel["Seat"]):
    hall: Annotated[str, PrimaryKey()]
    day: Annotated[datetime.date, PrimaryKey()]
    number: Annotated[int, PrimaryKey()]
    taken_by: str | None = None


class Tag(DbModel["Tag"]):
    name: Annotated[str, PrimaryKey()]


class Interval(DbModel["Interval"]):
    interval_id: int = Field(default=-1, description="(PK)")
    low: int
    high: int
    note: Annotated[str, Transient()] = ""

    @model_validator(mode="after")
    def _ordered(self) -> "Interval":
        if self.low > self.high:
            raise ValueError("low is above high")
        return self

    @field_validator("high")
    @classmethod
    def _bounded(cls, high: int) -> int:
        if high > 1000:
            raise ValueError("high is above 1000")
        return high


MODELS: tuple[Any, ...] = (Author, Site, Country, Token, Seat, Tag, Interval)


async def stored(db: Database, model: type[Any]) -> list[Any]:
    """What another connection sees."""
    async with db.second() as other:
        return await other(model.select(other.conn, order_by=list(model.model_fields)[:1]))


# --- save and insert


@pytest.mark.parametrize("undefined", [None, -1])
async def test_save_inserts_without_a_key_and_sets_it(db: Database, undefined: int | None) -> None:
    await db.create(Site)
    site = Site(site_id=undefined, url="/")
    assert await db(site.save(db.conn)) is site
    assert site.site_id == 1
    await db.commit()
    assert await stored(db, Site) == [site]


async def test_save_with_a_key_inserts_and_then_updates(db: Database) -> None:
    await db.create(*MODELS)
    for first, second in (
        (Author(author_id=7, name="Jane"), Author(author_id=7, name="Jane Austen", born=1775)),
        (Country(code="FI"), Country(code="FI", name="Suomi")),
        (Tag(name="a"), Tag(name="a")),
        (
            Seat(hall="A", day=datetime.date(2026, 1, 1), number=3),
            Seat(hall="A", day=datetime.date(2026, 1, 1), number=3, taken_by="me"),
        ),
    ):
        await db(first.save(db.conn))
        await db(second.save(db.conn))
        await db.commit()
        assert await stored(db, type(first)) == [second]


async def test_a_saved_key_is_never_given_out_again(db: Database) -> None:
    await db.create(Author)
    for explicit in (5, 900, 4000, 3):
        await db(Author(author_id=explicit, name="given").save(db.conn))
        fresh = await db(Author(name="fresh").save(db.conn))
        assert fresh.author_id > explicit
    await db(Author(author_id=10_000, name="inserted").insert(db.conn))
    await db(Author(author_id=10_001, name="upserted").upsert(db.conn))
    await db(Author.get_or_create(db.conn, {"name": "found"}, author_id=10_002))
    await db(Author.insert_many(db.conn, [Author(author_id=10_003, name="many")]))
    await db(Author.save_many(db.conn, [Author(author_id=10_004, name="many")]))
    await db(Author.upsert_many(db.conn, [Author(author_id=10_005, name="many")]))
    assert (await db(Author(name="last").save(db.conn))).author_id == 10_006


async def test_keys_far_ahead_take_turns_on_postgres(pg_url: str) -> None:
    from lythonic_state import Schema

    with open_db(pg_url) as one, open_db(pg_url) as two:
        Schema([Author]).create_tables(one)
        one.commit()
        Author(author_id=2_000_000, name="far").save(one)
        done = threading.Thread(
            target=lambda: (Author(author_id=1_000_000, name="less far").save(two), two.commit())
        )
        done.start()
        one.commit()
        done.join(timeout=10)
        assert not done.is_alive()
        assert Author(name="next").save(one).author_id == 2_000_001
        one.rollback()


async def test_insert_refuses_a_key_that_is_there(db: Database) -> None:
    await db.create(Author)
    await db(Author(author_id=1, name="a").insert(db.conn))
    with pytest.raises(ConstraintViolation):
        await db(Author(author_id=1, name="b").insert(db.conn))
    await db.commit()
    assert [a.name for a in await stored(db, Author)] == ["a"]


async def test_insert_with_auto_increment_leaves_the_key_to_the_database(db: Database) -> None:
    await db.create(Author, Country)
    author = Author(author_id=99, name="a")
    assert await db(author.insert(db.conn, auto_increment=True)) is author
    assert author.author_id == 1
    with pytest.raises(SchemaError, match="no key that the database generates"):
        await db(Country(code="X").insert(db.conn, auto_increment=True))


async def test_a_default_factory_makes_the_key(db: Database) -> None:
    await db.create(Token)
    token = Token(owner="me")
    key = token.token
    await db(token.save(db.conn))
    assert (await db(Token.load_by_id(db.conn, key))).owner == "me"


# --- create


class NewAuthor(BaseModel):
    author_id: int = 5
    name: str = "x"
    born: int | None = None


async def test_create_never_takes_a_generated_key_from_the_body(db: Database) -> None:
    await db.create(Author)
    for body in (
        {"author_id": 77, "name": "a"},
        NewAuthor(author_id=77, name="b"),
        Author(author_id=77, name="c"),
    ):
        made = await db(Author.create(db.conn, body, born=1900))
        assert made.author_id < 10
        assert made.born == 1900
    with pytest.raises(InvalidValue, match="did you mean 'name'"):
        await db(Author.create(db.conn, {"nam": "a"}))
    with pytest.raises(ValidationError):
        await db(Author.create(db.conn, {"name": None}))
    with pytest.raises(InvalidValue, match="dict or a model"):
        await db(Author.create(db.conn, "Jane"))
    assert await db(Author.select_count(db.conn)) == 3


async def test_create_takes_only_what_was_set_on_a_body(db: Database) -> None:
    await db.create(Author)
    with pytest.raises(ValidationError):
        await db(Author.create(db.conn, NewAuthor(born=3)))


# --- update and patch


async def test_update_writes_the_own_row_or_those_that_match(db: Database) -> None:
    await db.create(Author, Tag)
    rows = [await db(Author(name=name).save(db.conn)) for name in "abc"]
    rows[1].name = "B"
    assert await db(rows[1].update(db.conn)) == 1
    assert await db(Author(author_id=99, name="z").update(db.conn)) == 0
    assert await db(Author(name="x", born=1).update(db.conn, author_id=[1, 3])) == 2
    assert await db(Author(name="y").update(db.conn, col(Author.born) == 2)) == 0
    assert [
        (a.author_id, a.name) for a in await db(Author.select(db.conn, order_by="author_id"))
    ] == [
        (1, "x"),
        (2, "B"),
        (3, "x"),
    ]
    with pytest.raises(InvalidValue, match="save it first"):
        await db(Author(name="new").update(db.conn))
    tag = await db(Tag(name="only a key").save(db.conn))
    assert await db(tag.update(db.conn)) == 1
    assert await db(tag.update(db.conn, name="only a key")) == 1
    assert await db(tag.update(db.conn, name="other")) == 0


async def test_patch_validates_the_changes_together_and_is_atomic(db: Database) -> None:
    await db.create(Interval)
    span = await db(Interval(low=1, high=5).save(db.conn))
    assert await db(span.patch(db.conn, {"low": 7, "high": 9})) is span
    assert (span.low, span.high) == (7, 9)
    before = span.model_copy()
    for wrong in ({"low": 10}, {"low": 1, "high": 5000}, {"low": 99, "high": "x"}):
        with pytest.raises(ValidationError):
            await db(span.patch(db.conn, wrong))
        assert span == before
    with pytest.raises(InvalidValue, match="no field 'hihg'"):
        await db(span.patch(db.conn, {"hihg": 3}))
    assert (await db(Interval.get(db.conn))).high == 9


async def test_patch_writes_only_its_columns_and_never_the_key(db: Database) -> None:
    await db.create(Interval)
    span = await db(Interval(low=1, high=5).save(db.conn))
    await db(Interval.update_where(db.conn, {"high": 50}, all_rows=True))
    await db(span.patch(db.conn, {"low": 2, "interval_id": 99, "note": "kept"}))
    found = await db(Interval.get(db.conn))
    assert (found.interval_id, found.low, found.high) == (1, 2, 50)
    assert span.note == "kept"
    await db(span.patch(db.conn, {}))
    await db(span.delete_row(db.conn))
    before = span.model_copy()
    with pytest.raises(NotFound):
        await db(span.patch(db.conn, {"low": 3}))
    assert span == before


async def test_a_refused_patch_leaves_the_model_as_it_was(db: Database) -> None:
    await db.create(Site)
    await db(Site(url="/a").save(db.conn))
    site = await db(Site(url="/b", host="b").save(db.conn))
    with pytest.raises(ConstraintViolation):
        await db(site.patch(db.conn, {"url": "/a", "hits": 9}))
    assert (site.url, site.hits) == ("/b", 0)


# --- upsert and get_or_create


async def test_upsert_finds_the_row_by_key_or_by_alternative_key(db: Database) -> None:
    await db.create(Site)
    first = await db(Site(url="/", hits=1).upsert(db.conn))
    again = await db(Site(url="/", hits=2, host="h").upsert(db.conn, update=["hits"]))
    assert again.site_id == first.site_id
    found = await db(Site.get(db.conn))
    assert (found.hits, found.host) == (2, None)
    await db(Site(site_id=first.site_id, url="/moved", hits=3, host="h").upsert(db.conn))
    assert (await db(Site.get(db.conn))).url == "/moved"
    await db(Site(url="/x", host="h", hits=8).upsert(db.conn, on=["port", "host"], update=["hits"]))
    found = await db(Site.get(db.conn))
    assert (found.url, found.hits) == ("/moved", 8)
    kept = await db(Site(url="/moved", hits=99).upsert(db.conn, update=[]))
    assert kept.site_id == first.site_id
    assert (await db(Site.get(db.conn))).hits == 8


async def test_upsert_takes_typed_columns_and_names_its_mistakes(db: Database) -> None:
    await db.create(Site, Author)
    await db(Site(url="/").upsert(db.conn, on=[Site.url], update=[Site.hits]))
    with pytest.raises(FilterError, match="not unique in Site; unique are"):
        await db(Site(url="/").upsert(db.conn, on=["hits"]))
    with pytest.raises(FilterError, match="did you mean 'hits'"):
        await db(Site(url="/").upsert(db.conn, update=["hit"]))
    with pytest.raises(FilterError, match="never changes"):
        await db(Site(url="/").upsert(db.conn, update=["site_id"]))
    with pytest.raises(FilterError, match="no alternative key"):
        await db(Author(name="a").upsert(db.conn))
    assert await db(Site.select_count(db.conn)) == 1


async def test_a_refused_upsert_leaves_the_model_as_it_was(db: Database) -> None:
    await db.create(Site)
    await db(Site(url="/a", host="h", port=1).save(db.conn))
    site = Site(url="/b", host="h", port=1, hits=1)
    with pytest.raises(ConstraintViolation):
        await db(site.upsert(db.conn))
    assert site.site_id is None


async def test_get_or_create_says_whether_it_created(db: Database) -> None:
    await db.create(Site)
    site, created = await db(Site.get_or_create(db.conn, {"hits": 1}, url="/"))
    assert created
    assert site.site_id == 1
    same, created = await db(Site.get_or_create(db.conn, {"hits": 2}, url="/"))
    assert not created
    assert same == site
    with pytest.raises(FilterError, match="not unique"):
        await db(Site.get_or_create(db.conn, hits=3))
    with pytest.raises(FilterError, match="no field 'ulr'"):
        await db(Site.get_or_create(db.conn, ulr="/"))
    with pytest.raises(ConstraintViolation, match="nothing was created"):
        await db(Site.get_or_create(db.conn, {"site_id": 1}, url="/other"))


async def test_get_or_create_of_a_row_that_is_there_holds_no_lock(db: Database) -> None:
    await db.create(Site)
    await db(Site(url="/").save(db.conn))
    await db.commit()
    await db(Site.get_or_create(db.conn, url="/"))
    async with db.second() as other:
        await other(Site(url="/other").save(other.conn))
        await other.commit()


def _get_or_create(url: str, rounds: int) -> list[tuple[int, bool]]:
    found = []
    with open_db(url) as conn:
        for number in range(rounds):
            site, created = Site.get_or_create(conn, url=f"/{number}")
            conn.commit()
            found.append((site.site_id or 0, created))
    return found


def _same_rows_once(results: list[list[tuple[int, bool]]]) -> None:
    for answers in zip(*results, strict=True):
        assert len({key for key, _ in answers}) == 1
        assert sum(created for _, created in answers) == 1


async def test_threads_that_get_or_create_share_one_row(sync_db: Database) -> None:
    await sync_db.create(Site)
    results = await asyncio.gather(
        *(asyncio.to_thread(_get_or_create, sync_db.url, 10) for _ in range(4))
    )
    _same_rows_once(results)


async def test_tasks_that_get_or_create_share_one_row(async_db: Database) -> None:
    await async_db.create(Site)

    async def one() -> list[tuple[int, bool]]:
        found = []
        async with async_db.second() as other:
            for number in range(10):
                site, created = await other(Site.get_or_create(other.conn, url=f"/{number}"))
                await other.commit()
                found.append((site.site_id, created))
        return found

    _same_rows_once(await asyncio.gather(*(one() for _ in range(4))))


async def test_processes_that_get_or_create_share_one_row(sync_db: Database) -> None:
    await sync_db.create(Site)
    with ProcessPoolExecutor(3, mp_context=FORKING) as pool:
        jobs = [pool.submit(_get_or_create, sync_db.url, 10) for _ in range(3)]
        _same_rows_once([await asyncio.wrap_future(job) for job in jobs])


# --- reading one row


async def test_first_get_and_exists(db: Database) -> None:
    await db.create(Author)
    for name, born in (("a", 1), ("b", 2), ("b", 3)):
        await db(Author(name=name, born=born).save(db.conn))
    assert (await db(Author.first(db.conn, order_by="-born"))).born == 3
    assert (await db(Author.first(db.conn, order_by="born", offset=1))).born == 2
    assert await db(Author.first(db.conn, name="z")) is None
    assert (await db(Author.get(db.conn, name="a"))).born == 1
    assert (await db(Author.get(db.conn, col(Author.born) == 2))).name == "b"
    with pytest.raises(NotFound, match="no Author with name='z'"):
        await db(Author.get(db.conn, name="z"))
    with pytest.raises(MultipleFound, match="several Author with name='b'"):
        await db(Author.get(db.conn, name="b"))
    with pytest.raises(LookupError):
        await db(Author.get(db.conn))
    assert await db(Author.exists(db.conn, born=3))
    assert not await db(Author.exists(db.conn, born=4))
    assert await db(Author.select_count(db.conn, name="b")) == 2


async def test_load_by_id_takes_every_kind_of_key(db: Database) -> None:
    await db.create(*MODELS)
    day = datetime.date(2026, 2, 3)
    seat = await db(Seat(hall="A", day=day, number=1).save(db.conn))
    assert await db(Seat.load_by_id(db.conn, ("A", day, 1))) == seat
    assert await db(Seat.load_by_id(db.conn, {"number": 1, "hall": "A", "day": day})) == seat
    assert await db(Seat.load_by_id(db.conn, ("A", day, 2))) is None
    token = await db(Token().save(db.conn))
    assert await db(Token.load_by_id(db.conn, token.token)) == token
    await db(Country(code="FI").save(db.conn))
    assert await db(Country.load_by_id(db.conn, "FI"))
    for wrong in ("A", ("A", day), ("A", day, "x"), {"hall": "A"}, None):
        with pytest.raises(FilterError):
            await db(Seat.load_by_id(db.conn, wrong))
    with pytest.raises(FilterError):
        await db(Author.load_by_id(db.conn, "one"))


async def test_refresh_reads_the_row_into_the_model(db: Database) -> None:
    await db.create(Interval)
    span = await db(Interval(low=1, high=2, note="mine").save(db.conn))
    await db(Interval.update_where(db.conn, {"high": 9}, interval_id=1))
    assert await db(span.refresh(db.conn)) is span
    assert (span.high, span.note) == (9, "mine")
    await db(Interval.delete(db.conn, all_rows=True))
    with pytest.raises(NotFound):
        await db(span.refresh(db.conn))
    assert span.high == 9
    with pytest.raises(InvalidValue):
        await db(Interval(low=1, high=2).refresh(db.conn))


async def test_delete_row_deletes_only_its_row(db: Database) -> None:
    await db.create(Seat)
    day = datetime.date(2026, 1, 1)
    seats = [await db(Seat(hall="A", day=day, number=n).save(db.conn)) for n in (1, 2)]
    assert await db(seats[0].delete_row(db.conn)) == 1
    assert await db(seats[0].delete_row(db.conn)) == 0
    assert await db(Seat.select(db.conn)) == [seats[1]]


# --- rows that no longer validate


async def _spoil(db: Database) -> None:
    await db.create(Interval)
    for high in (1, 2, 3):
        await db(Interval(low=0, high=high).save(db.conn))
    await db.execute('UPDATE "Interval" SET high = 5000 WHERE interval_id = 2')


async def test_a_row_that_no_longer_validates_is_told(db: Database) -> None:
    await _spoil(db)
    for verb in (
        lambda: Interval.select(db.conn),
        lambda: Interval.get(db.conn, interval_id=2),
        lambda: Interval.load_by_id(db.conn, 2),
        lambda: Interval.first(db.conn, interval_id=2),
        lambda: Interval.page(db.conn),
    ):
        with pytest.raises(RowError, match="high") as caught:
            await db(verb())
        error = caught.value
        assert (error.table, error.key, error.column, error.value) == ("Interval", 2, "high", 5000)
        assert isinstance(error.__cause__, ValidationError)
    assert await db(Interval.select_count(db.conn)) == 3


async def test_rows_that_no_longer_validate_are_skipped_or_handed_over(db: Database) -> None:
    await _spoil(db)
    found = await db(Interval.select(db.conn, on_invalid="skip", order_by="interval_id"))
    assert [span.interval_id for span in found] == [1, 3]
    told: list[Any] = []
    found = await db(Interval.select(db.conn, on_invalid=told.append))
    assert len(found) == 2
    assert [error.key for error in told] == [2]
    found = await db(
        Interval.select(db.conn, on_invalid=lambda error: Interval(low=0, high=0, note="mended"))
    )
    assert [span.note for span in found if span.note] == ["mended"]
    assert (
        await db(Interval.first(db.conn, order_by="interval_id", offset=1, on_invalid="skip"))
    ).interval_id == 3

    def stop(error: RowError) -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        await db(Interval.select(db.conn, on_invalid=stop))
    streamed = await db.collect(Interval.iterate(db.conn, 1, on_invalid="skip"))
    assert len(streamed) == 2


# --- by condition


async def test_update_where_computes_in_the_database(db: Database) -> None:
    await db.create(Site, Author)
    for number in range(4):
        await db(Site(url=f"/{number}", hits=number, port=number).save(db.conn))
    hits: Any = col(Site.hits)
    changed = await db(
        Site.update_where(db.conn, {"hits": hits * 2 + col(Site.port), "host": "h"}, hits >= 2)
    )
    assert changed == 2
    found = await db(Site.select(db.conn, order_by="url"))
    assert [(site.hits, site.host) for site in found] == [(0, None), (1, None), (6, "h"), (9, "h")]
    assert await db(Site.update_where(db.conn, {"hits": 0}, url="none")) == 0
    assert await db(Site.update_where(db.conn, {"hits": 0}, all_rows=True)) == 4
    await db(Author(name="a", born=3).save(db.conn))
    assert await db(Author.update_where(db.conn, {"born": None}, name="a")) == 1
    assert await db(Author.exists(db.conn, born=None))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"hits": 1}, "all_rows=True"),
        ({}, "nothing to set"),
        ({"hit": 1}, "did you mean 'hits'"),
        ({"site_id": 1}, "never rewritten"),
        ({"hits": None}, "cannot be None"),
        ({"hits": "many"}, "cannot be 'many'"),
        ({"hits": 2**63}, "64"),
        ({"hits": col(Site.url)}, "is not"),
        ({"hits": col(Author.born)}, "Author"),
    ],
)
async def test_update_where_refuses_what_it_cannot_mean(
    db: Database, values: dict[str, Any], message: str
) -> None:
    await db.create(Site)
    site = await db(Site(url="/").save(db.conn))
    filters = {} if message == "all_rows=True" else {"url": "/"}
    with pytest.raises((FilterError, InvalidValue), match=message):
        await db(Site.update_where(db.conn, values, **filters))
    assert await db(Site.get(db.conn)) == site


async def test_delete_wants_a_filter_or_all_rows(db: Database) -> None:
    await db.create(Author)
    for name in "aab":
        await db(Author(name=name).save(db.conn))
    with pytest.raises(FilterError, match="all_rows=True"):
        await db(Author.delete(db.conn))
    assert await db(Author.delete(db.conn, name="a")) == 2
    assert await db(Author.delete(db.conn, name="a")) == 0
    assert await db(Author.delete(db.conn, all_rows=True)) == 1


async def test_a_verb_wants_a_connection() -> None:
    with pytest.raises(TypeError, match="expected a connection of sqlite3"):
        Author.select(object())  # type: ignore[call-overload]  # what is tested
