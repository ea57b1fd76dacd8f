"""What SQLAlchemy and SQLModel have in common: the session. The models come from their files."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Engine, create_engine, event, insert, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.orm import Session

from ..data import AUTHOR_COLUMNS, BOOK_COLUMNS, COLUMNS, new_age
from ..peer import Peer, Values


class Alchemy(Peer):
    metadata: Any
    person: Any
    author: Any
    book: Any

    def open(self, target: str) -> None:
        self.is_sqlite = "://" not in target
        self.url = f"sqlite:///{target}" if self.is_sqlite else _with_driver(target)
        self.engine = create_engine(self.url)
        if self.is_sqlite:
            _set_pragmas(self.engine)
        self.session = Session(self.engine, expire_on_commit=False)

    def create(self) -> None:
        self.metadata.create_all(self.engine)

    def close(self) -> None:
        self.session.close()
        self.engine.dispose()

    def pragma(self, name: str) -> Any:
        with self.engine.connect() as conn:
            return conn.execute(text(f"PRAGMA {name}")).scalar_one()

    def objects(self, rows: Sequence[Values], keys: bool) -> list[Any]:
        return [
            self.person(**row) if keys else self.person(**{c: row[c] for c in COLUMNS[1:]})
            for row in rows
        ]

    def fill(self, table: str, rows: Sequence[Values]) -> None:
        with self.engine.begin() as conn:
            conn.execute(insert(getattr(self, table)), list(rows))

    def plain_pair(self, found: Any) -> tuple[Any, ...]:
        book, author = found
        return (
            *(getattr(book, column) for column in BOOK_COLUMNS),
            *(getattr(author, column) for column in AUTHOR_COLUMNS),
        )

    def _fresh(self) -> Session:
        """A session that remembers nothing of the repetition before."""
        self.session.close()
        return self.session

    # -- workloads

    def insert_each(self, people: list[Any]) -> None:
        for person in people:
            self.session.add(person)
        self.session.commit()

    def insert_commit(self, people: list[Any]) -> None:
        for person in people:
            self.session.add(person)
            self.session.commit()

    def insert_bulk(self, people: list[Any]) -> None:
        self.session.add_all(people)
        self.session.commit()

    def upsert(self, people: list[Any]) -> None:
        rows = [{column: getattr(one, column) for column in COLUMNS} for one in people]
        statement: Any = (sqlite_insert if self.is_sqlite else postgres_insert)(self.person)
        statement = statement.on_conflict_do_update(
            index_elements=["id"],
            set_={column: statement.excluded[column] for column in COLUMNS[1:]},
        )
        self.session.execute(statement, rows)
        self.session.commit()

    def get(self, keys: list[int]) -> list[Any]:
        session = self._fresh()
        return [session.get(self.person, key) for key in keys]

    def filter(self, ranges: list[tuple[int, int]]) -> list[list[Any]]:
        session, person = self._fresh(), self.person
        return [
            list(
                session.scalars(
                    select(person).where(person.id > low, person.id <= high).order_by(person.id)
                )
            )
            for low, high in ranges
        ]

    def select(self) -> list[Any]:
        return list(self._fresh().scalars(select(self.person).order_by(self.person.id)))

    def stream(self) -> int:
        query = select(self.person).order_by(self.person.id)
        query = query.execution_options(yield_per=1000)
        return sum(person.age for person in self._fresh().scalars(query))

    def update(self, keys: list[int]) -> None:
        session, person = self._fresh(), self.person
        for key in keys:
            session.execute(update(person), [{"id": key, "age": new_age(key)}])
        session.commit()

    def load_update(self, keys: list[int]) -> None:
        session = self._fresh()
        for key in keys:
            person = session.get(self.person, key)
            assert person is not None
            person.age = new_age(key)
        session.commit()

    def join(self) -> list[Any]:
        book, author = self.book, self.author
        query = select(book, author).join(author, author.id == book.author_id).order_by(book.id)
        return list(self._fresh().execute(query))

    async def async_open(self) -> None:
        from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

        url = self.url.replace("sqlite://", "sqlite+aiosqlite://")
        self.async_engine = create_async_engine(url)
        if self.is_sqlite:
            _set_pragmas(self.async_engine.sync_engine)
        self.async_session = AsyncSession

    async def async_close(self) -> None:
        await self.async_engine.dispose()

    async def async_get(self, keys: list[int]) -> list[Any]:
        async with self.async_session(self.async_engine) as session:
            return [await session.get(self.person, key) for key in keys]

    async def async_select(self) -> list[Any]:
        async with self.async_session(self.async_engine) as session:
            return list(await session.scalars(select(self.person).order_by(self.person.id)))


def _with_driver(url: str) -> str:
    return url.replace("postgresql://", "postgresql+psycopg://")


def _set_pragmas(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def set_pragmas(conn: Any, record: Any) -> None:
        for pragma in ("journal_mode = WAL", "synchronous = NORMAL", "foreign_keys = ON"):
            conn.execute(f"PRAGMA {pragma}")
