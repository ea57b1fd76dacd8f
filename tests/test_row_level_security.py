"""PostgreSQL keeps tenants apart by itself, for a role that owns nothing and bypasses nothing."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql
from pydantic import Field

from lythonic_state import (
    AccessViolation,
    AllTenants,
    DbModel,
    Schema,
    ScopeContext,
    Scoped,
    User,
    UserContext,
    UserOwned,
    children,
    col,
    join,
    parents,
    select_columns,
    sum_,
)
from tests.databases import Colour, Database, open_database

pytestmark = pytest.mark.parametrize("colour", ["postgres", "postgres-async"])


class Project(UserOwned["Project"]):
    project_id: int = Field(default=-1, description="(PK)")
    title: str = Field(description="(AK)")


class Task(UserOwned["Task"]):
    task_id: int = Field(default=-1, description="(PK)")
    title: str = Field(description="(AK)")
    project_id: int | None = Field(default=None, description="(FK:Project.project_id)")
    above_id: int | None = Field(default=None, description="(FK:Task.task_id)")
    weight: int = 1


class Label(DbModel["Label"]):
    """Not scoped itself, but it refers to what is."""

    label_id: int = Field(default=-1, description="(PK)")
    task_id: int = Field(description="(FK:Task.task_id)")


class SiteContext(ScopeContext):
    site: UUID


class Sensor(Scoped["Sensor"], scope="site", scope_context=SiteContext):
    sensor_id: int = Field(default=-1, description="(PK)")
    site: UUID = UUID(int=0)
    name: str = Field(description="(UQ)")


SCHEMA = Schema([User, Project, Task, Label, Sensor])
ALL = AllTenants("test of policies")
_roles = count(1)


@asynccontextmanager
async def as_app(url: str, colour: Colour, autocommit: bool = False) -> AsyncIterator[Database]:
    """The database as a role sees it that may write rows, and nothing else."""
    role = sql.Identifier(f"app_{next(_roles)}")
    with psycopg.connect(url, autocommit=True) as owner:
        owner.execute(SCHEMA.ddl("postgres", row_level_security=True))
        owner.execute(sql.SQL("CREATE ROLE {} LOGIN NOBYPASSRLS").format(role))
        try:
            row = owner.execute("SELECT current_schema()").fetchone()
            assert row is not None
            schema = sql.Identifier(row[0])
            for grant in (
                "GRANT USAGE ON SCHEMA {schema} TO {role}",
                "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {role}",
                "GRANT USAGE, SELECT, UPDATE ON ALL SEQUENCES IN SCHEMA {schema} TO {role}",
            ):
                owner.execute(sql.SQL(grant).format(schema=schema, role=role))
            app_url = url.replace("//postgres:", f"//{role._obj[0]}:")
            assert app_url != url
            async with open_database(colour, app_url) as db:
                if autocommit:
                    await db(db.conn.set_autocommit(True))
                yield db
                await db.rollback()
        finally:
            owner.execute(sql.SQL("DROP OWNED BY {role}").format(role=role))
            owner.execute(sql.SQL("DROP ROLE {role}").format(role=role))


async def two_tenants(db: Database) -> tuple[UserContext, UserContext]:
    found: list[UserContext] = []
    for name in ("alice", "bob"):
        ctx = UserContext(user=await db(User().save(db.conn)))
        project = await db(Project(title=f"{name}'s").save(db.conn, user_ctx=ctx))
        top = Task(title=name, project_id=project.project_id)
        await db(top.save(db.conn, user_ctx=ctx))
        below = Task(title="below", project_id=project.project_id, above_id=top.task_id, weight=2)
        await db(below.save(db.conn, user_ctx=ctx))
        found.append(ctx)
    await db.commit()
    return found[0], found[1]


async def titles(db: Database) -> list[str]:
    """What hand-written SQL sees."""
    return [row[0] for row in await db.execute('SELECT title FROM "Task" ORDER BY task_id')]


@pytest.mark.parametrize("autocommit", [False, True], ids=["transactional", "autocommit"])
async def test_the_verbs_work_as_they_do_without_policies(
    colour: Colour, pg_url: str, autocommit: bool
) -> None:
    async with as_app(pg_url, colour, autocommit) as db:
        alice, bob = await two_tenants(db)
        conn = db.conn
        for ctx, name in ((alice, "alice"), (bob, "bob")):
            rows = await db(Task.select(conn, order_by="task_id", user_ctx=ctx))
            assert [row.title for row in rows] == [name, "below"]
            assert await db(Task.select_count(conn, user_ctx=ctx)) == 2
            page = await db(Task.page(conn, "title", size=9, user_ctx=ctx))
            assert len(page) == 2
            projects = await db(parents(conn, rows, Project, user_ctx=ctx))
            assert [project.title for project in projects] == [f"{name}'s"] * 2
            groups = await db(children(conn, projects[:1], Task, order_by="title", user_ctx=ctx))
            assert len(groups[0]) == 2
            assert len(await db(join(conn, Task, Project, user_ctx=ctx))) == 2
            assert len(await db(Task.descendants(conn, rows[0], user_ctx=ctx))) == 1
            found = await db(select_columns(conn, sum_(Task.weight), user_ctx=ctx))
            assert found == [(3,)]
            assert await db(Task.resolve_ak(conn, title="below", user_ctx=ctx)) == rows[1].task_id
            assert await db(rows[0].to_ak_dict(conn, user_ctx=ctx)) == {"title": name}
            streamed = await db.collect(Task.iterate(conn, batch=1, order_by="title", user_ctx=ctx))
            assert len(streamed) == 2
            assert await db(rows[0].patch(conn, {"weight": 5}, user_ctx=ctx)) == rows[0]
            assert await db(rows[0].refresh(conn, user_ctx=ctx)) == rows[0]
            assert await db(rows[0].save(conn, user_ctx=ctx)) == rows[0]
            await db(Task(title="below", weight=7).upsert(conn, on=["title"], user_ctx=ctx))
            more = [Task(title=f"more {i}") for i in range(3)]
            assert await db(Task.insert_many(conn, more, user_ctx=ctx)) == 3
            assert await db(Task.save_many(conn, more, user_ctx=ctx)) == 3
            double = {"weight": col(Task.weight) * 2}
            assert await db(Task.update_where(conn, double, title="more 1", user_ctx=ctx)) == 1
            assert await db(more[0].delete_row(conn, user_ctx=ctx)) == 1
            row, made = await db(Task.get_or_create(conn, title="more 0", user_ctx=ctx))
            assert made
            assert await db(Task.delete(conn, startswith__title="more", user_ctx=ctx)) == 3
            assert await db(Task.load_by_id(conn, row.task_id, user_ctx=ctx)) is None
        assert await db(Task.select_count(conn, user_ctx=ALL)) == 4
        across = await db.collect(Task.iterate(conn, batch=1, user_ctx=ALL))
        assert len(across) == 4
        assert await db(Task.update_where(conn, {"weight": 9}, all_rows=True, user_ctx=ALL)) == 4


@pytest.mark.parametrize("autocommit", [False, True], ids=["transactional", "autocommit"])
async def test_another_tenants_row_is_refused_as_it_is_without_policies(
    colour: Colour, pg_url: str, autocommit: bool
) -> None:
    async with as_app(pg_url, colour, autocommit) as db:
        alice, bob = await two_tenants(db)
        theirs = await db(Task.get(db.conn, title="bob", user_ctx=bob))
        forged = Task(task_id=theirs.task_id, title="stolen")
        for use in (
            lambda: forged.save(db.conn, user_ctx=alice),
            lambda: forged.upsert(db.conn, user_ctx=alice),
            lambda: Task.save_many(db.conn, [forged], user_ctx=alice),
            lambda: Task.get_or_create(
                db.conn, defaults={"title": "x"}, task_id=theirs.task_id, user_ctx=alice
            ),
            lambda: theirs.save(db.conn, user_ctx=alice),
        ):
            with pytest.raises(AccessViolation):
                await db(use())
        assert await db(forged.update(db.conn, user_ctx=alice)) == 0
        assert await db(forged.delete_row(db.conn, user_ctx=alice)) == 0
        assert await db(Task.load_by_id(db.conn, theirs.task_id, user_ctx=alice)) is None
        assert await db(Task.get(db.conn, title="bob", user_ctx=bob)) == theirs


async def test_hand_written_sql_sees_the_tenant_of_the_verb_before_it(
    colour: Colour, pg_url: str
) -> None:
    async with as_app(pg_url, colour) as db:
        alice, bob = await two_tenants(db)
        assert await titles(db) == []
        await db(Task.select_count(db.conn, user_ctx=alice))
        assert await titles(db) == ["alice", "below"]
        await db.execute('UPDATE "Task" SET weight = 100')
        await db(Task.exists(db.conn, user_ctx=bob))
        assert await titles(db) == ["bob", "below"]
        weights = await db(Task.select(db.conn, weight=100, user_ctx=bob))
        assert weights == []
        await db(Task.exists(db.conn, user_ctx=ALL))
        assert await titles(db) == ["alice", "below", "bob", "below"]
        await db(Task.exists(db.conn, user_ctx=bob))
        assert await titles(db) == ["bob", "below"]
        with pytest.raises(psycopg.errors.InsufficientPrivilege, match="row-level security"):
            await db.execute(
                'INSERT INTO "Task" (title, user_id, weight) VALUES (?, ?, 1)', ("x", alice.user_id)
            )
        await db.rollback()
        assert await titles(db) == []


async def test_without_a_context_nothing_is_seen_or_written(colour: Colour, pg_url: str) -> None:
    async with as_app(pg_url, colour, autocommit=True) as db:
        alice, _ = await two_tenants(db)
        assert await titles(db) == []
        await db(Task.select(db.conn, user_ctx=alice))
        await db.collect(Task.iterate(db.conn, batch=1, user_ctx=alice))
        await db(Task.select(db.conn, user_ctx=ALL))
        assert await titles(db) == []
        assert await db.execute('DELETE FROM "Task" RETURNING 1') == []
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await db.execute(
                'INSERT INTO "Task" (title, user_id, weight) VALUES (?, ?, 1)', ("x", alice.user_id)
            )
        async with db.transaction():
            await db(Task.exists(db.conn, user_ctx=alice))
            assert await titles(db) == ["alice", "below"]
        assert await titles(db) == []


async def test_a_stream_reads_its_tenant_whatever_follows_it(colour: Colour, pg_url: str) -> None:
    async with as_app(pg_url, colour) as db:
        alice, bob = await two_tenants(db)
        stream: Any = Task.iterate(db.conn, batch=1, order_by="task_id", user_ctx=alice)
        first = await anext(stream) if db.is_async else next(stream)
        assert first.title == "alice"
        assert await db(Task.exists(db.conn, title="bob", user_ctx=bob))
        assert [row.user_id for row in await db.collect(stream)] == [alice.user_id]


async def test_a_scope_of_another_type_has_its_own_policy(colour: Colour, pg_url: str) -> None:
    async with as_app(pg_url, colour) as db:
        alice, _ = await two_tenants(db)
        sites = [SiteContext(site=UUID(int=n)) for n in (1, 2)]
        for site in sites:
            await db(Sensor(name="door").save(db.conn, user_ctx=site))
            rows = await db.execute('SELECT site FROM "Sensor"')
            assert rows == [(site.site,)]
        await db(Task.exists(db.conn, user_ctx=alice))
        assert await db.execute('SELECT site FROM "Sensor"') == [(sites[1].site,)]
        await db.commit()
        assert await db.execute('SELECT site FROM "Sensor"') == []


async def test_a_table_without_scope_leads_to_ones_own_rows(colour: Colour, pg_url: str) -> None:
    async with as_app(pg_url, colour) as db:
        alice, bob = await two_tenants(db)
        for ctx in (alice, bob):
            task = await db(Task.get(db.conn, title="below", user_ctx=ctx))
            await db(Label(task_id=task.task_id).save(db.conn))
        await db.commit()
        labels = await db(Label.select(db.conn, order_by="label_id"))
        assert await db(parents(db.conn, labels, Task, user_ctx=bob)) == [None, task]
        assert await db(join(db.conn, Label, Task, user_ctx=bob)) == [(labels[1], task)]
        assert await db(children(db.conn, [task], Label, user_ctx=bob)) == [[labels[1]]]
        with pytest.raises(AccessViolation, match="user_ctx="):
            await db(parents(db.conn, labels, Task))


@pytest.mark.parametrize("autocommit", [False, True])
async def test_a_filter_of_a_table_without_scope_finds_what_the_tenant_may_see(
    colour: Colour, pg_url: str, autocommit: bool
) -> None:
    async with as_app(pg_url, colour, autocommit) as db:
        alice, bob = await two_tenants(db)
        labels = {}
        for ctx in (alice, bob):
            task = await db(Task.get(db.conn, title="below", user_ctx=ctx))
            labels[ctx.user_id] = await db(Label(task_id=task.task_id).save(db.conn))
        if not autocommit:
            await db.commit()
        own = [labels[bob.user_id]]
        assert await db(Label.select(db.conn, task_id__title="below", user_ctx=bob)) == own
        assert await db(Label.select_count(db.conn, task_id__title="below", user_ctx=bob)) == 1
        page = await db(Label.page(db.conn, task_id__title="below", user_ctx=bob))
        assert page.items == own
        streamed = Label.iterate(db.conn, task_id__title="below", user_ctx=bob)
        assert await db.collect(streamed) == own
        assert await db(Label.delete(db.conn, task_id__title="below", user_ctx=bob)) == 1
        assert await db(Label.select(db.conn)) == [labels[alice.user_id]]
        with pytest.raises(AccessViolation, match="user_ctx="):
            await db(Label.select(db.conn, task_id__title="below"))
