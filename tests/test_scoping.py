"""No verb reaches another tenant's rows: every verb times two tenants, found by looking."""

import inspect
import logging
import sqlite3
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

import lythonic_state
from lythonic_state import (
    AccessViolation,
    AllTenants,
    ConstraintViolation,
    DbModel,
    FilterError,
    ForeignKey,
    MultipleFound,
    NotFound,
    Schema,
    SchemaError,
    ScopeContext,
    Scoped,
    User,
    UserContext,
    UserInfo,
    UserOwned,
    children,
    col,
    count,
    count_statements,
    join,
    left,
    parents,
    select_columns,
)
from tests.databases import Database


class Project(UserOwned["Project"]):
    project_id: int = Field(default=-1, description="(PK)")
    title: str = Field(description="(AK)")


class Task(UserOwned["Task"]):
    task_id: int = Field(default=-1, description="(PK)")
    title: str = Field(description="(AK)")
    project_id: int | None = Field(default=None, description="(FK:Project.project_id)")
    above_id: int | None = Field(default=None, description="(FK:Task.task_id)")


class Label(DbModel["Label"]):
    """Not scoped itself, but it refers to what is."""

    label_id: int = Field(default=-1, description="(PK)")
    task_id: int = Field(description="(FK:Task.task_id)")


@dataclass
class Tenant:
    """A tenant's rows, which both tenants have alike but for their names."""

    name: str
    ctx: UserContext
    project: Project
    task: Task
    below: Task

    @property
    def own(self) -> int:
        return self.ctx.user_id

    def forged(self) -> Task:
        """An object with the key of this tenant's row, which says nothing of whose it is."""
        return Task(task_id=self.task.task_id, title="forged")

    def forged_project(self) -> Project:
        return Project(project_id=self.project.project_id, title="forged")


ALL = AllTenants("test of scoping")


async def tenant(db: Database, name: str) -> Tenant:
    user = await db(User(info=UserInfo(name=name)).save(db.conn))
    ctx = UserContext(user=user)
    project = await db(Project(title=f"{name}'s project").save(db.conn, user_ctx=ctx))
    key = project.project_id
    task = await db(Task(title=name, project_id=key).save(db.conn, user_ctx=ctx))
    below = Task(title=f"below {name}", project_id=key, above_id=task.task_id)
    await db(below.save(db.conn, user_ctx=ctx))
    return Tenant(name, ctx, project, task, below)


async def two_tenants(db: Database) -> tuple[Tenant, Tenant]:
    await db.create(User, Project, Task, Label)
    both = await tenant(db, "alice"), await tenant(db, "bob")
    await db.commit()
    return both


async def rows_of(db: Database, who: Tenant) -> list[Any]:
    """What is stored for a tenant, read without the library."""
    found: list[Any] = []
    for table in ("Project", "Task"):
        found += await db.execute(
            f'SELECT * FROM "{table}" WHERE user_id = ? ORDER BY 1, 2', (who.own,)
        )
    return sorted(map(repr, found))


# --- the matrix -------------------------------------------------------------------------------

Use = Callable[[Any, Tenant, Any], Any]
"""Calls a verb on a connection, with rows or keys of a tenant, in a context."""


@dataclass(frozen=True)
class Row:
    """What a verb does with one's own rows, and each way to reach for another's with its end.

    The end is an error, or the value that the verb gives, as if the other's row were not there.
    """

    use: Use
    reaches: list[tuple[Use, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Mine:
    """The end of a reach that does what it can with one's own rows: all of it is one's own."""


MINE = Mine()

DENIED = AccessViolation
VERBS: dict[str, Row] = {
    "save": Row(
        lambda c, t, x: t.task.save(c, user_ctx=x),
        [
            (lambda c, t, x: t.task.save(c, user_ctx=x), DENIED),
            (lambda c, t, x: t.forged().save(c, user_ctx=x), DENIED),
            (lambda c, t, x: Task(title="x", user_id=t.own).save(c, user_ctx=x), DENIED),
            (lambda c, t, x: Task(title=t.name).save(c, user_ctx=x), MINE),
        ],
    ),
    "save_with_ctx": Row(
        lambda c, t, x: t.task.save_with_ctx(x, c),
        [
            (lambda c, t, x: t.task.save_with_ctx(x, c), DENIED),
            (lambda c, t, x: t.forged().save_with_ctx(x, c), DENIED),
        ],
    ),
    "insert": Row(
        lambda c, t, x: Task(title="new").insert(c, user_ctx=x),
        [
            (lambda c, t, x: t.forged().insert(c, user_ctx=x), ConstraintViolation),
            (lambda c, t, x: t.task.insert(c, user_ctx=x), DENIED),
            (
                lambda c, t, x: Task(title="x", user_id=t.own).insert(c, True, user_ctx=x),
                DENIED,
            ),
            (
                lambda c, t, x: Task(title="x", project_id=t.project.project_id).insert(
                    c, user_ctx=x
                ),
                ConstraintViolation,
            ),
        ],
    ),
    "create": Row(
        lambda c, t, x: Task.create(c, {"title": "new"}, user_ctx=x),
        [
            (
                lambda c, t, x: Task.create(
                    c, {"title": "n", "user_id": t.own, "task_id": t.task.task_id}, user_ctx=x
                ),
                MINE,
            ),
            (lambda c, t, x: Task.create(c, t.task, user_ctx=x), ConstraintViolation),
            (lambda c, t, x: Task.create(c, {"title": "n"}, user_id=t.own, user_ctx=x), DENIED),
            (
                lambda c, t, x: Task.create(
                    c, {"title": "n"}, project_id=t.project.project_id, user_ctx=x
                ),
                ConstraintViolation,
            ),
        ],
    ),
    "update": Row(
        lambda c, t, x: t.task.update(c, user_ctx=x),
        [
            (lambda c, t, x: t.task.update(c, user_ctx=x), DENIED),
            (lambda c, t, x: t.forged().update(c, user_ctx=x), 0),
            (lambda c, t, x: t.forged().update(c, title=t.name, user_ctx=x), 0),
            (lambda c, t, x: t.forged().update(c, user_id=t.own, user_ctx=x), 0),
        ],
    ),
    "patch": Row(
        lambda c, t, x: t.task.patch(c, {"title": "patched"}, user_ctx=x),
        [
            (lambda c, t, x: t.task.patch(c, {"title": "x"}, user_ctx=x), DENIED),
            (lambda c, t, x: t.forged().patch(c, {"title": "x"}, user_ctx=x), NotFound),
        ],
    ),
    "upsert": Row(
        lambda c, t, x: t.task.upsert(c, on=["title"], user_ctx=x),
        [
            (lambda c, t, x: t.task.upsert(c, user_ctx=x), DENIED),
            (lambda c, t, x: t.forged().upsert(c, user_ctx=x), DENIED),
            (lambda c, t, x: t.forged().upsert(c, on=["task_id"], user_ctx=x), DENIED),
            (lambda c, t, x: t.forged().upsert(c, on=["task_id"], update=[], user_ctx=x), DENIED),
            (lambda c, t, x: Task(title=t.name).upsert(c, on=["title"], user_ctx=x), MINE),
        ],
    ),
    "get_or_create": Row(
        lambda c, t, x: Task.get_or_create(c, title=t.name, user_ctx=x),
        [
            (lambda c, t, x: Task.get_or_create(c, title=t.name, user_ctx=x), MINE),
            (
                lambda c, t, x: Task.get_or_create(
                    c, defaults={"title": "n"}, task_id=t.task.task_id, user_ctx=x
                ),
                DENIED,
            ),
        ],
    ),
    "refresh": Row(
        lambda c, t, x: t.task.refresh(c, user_ctx=x),
        [
            (lambda c, t, x: t.task.refresh(c, user_ctx=x), DENIED),
            (lambda c, t, x: t.forged().refresh(c, user_ctx=x), NotFound),
        ],
    ),
    "delete_row": Row(
        lambda c, t, x: t.below.delete_row(c, user_ctx=x),
        [
            (lambda c, t, x: t.task.delete_row(c, user_ctx=x), DENIED),
            (lambda c, t, x: t.forged().delete_row(c, user_ctx=x), 0),
        ],
    ),
    "select": Row(
        lambda c, t, x: Task.select(c, user_ctx=x),
        [
            (lambda c, t, x: Task.select(c, user_ctx=x), MINE),
            (lambda c, t, x: Task.select(c, title=t.name, user_ctx=x), []),
            (lambda c, t, x: Task.select(c, user_id=t.own, user_ctx=x), []),
            (lambda c, t, x: Task.select(c, col(Task.user_id) == t.own, user_ctx=x), []),
            (
                lambda c, t, x: Task.select(
                    c, (col(Task.title) == t.name) | col(Task.title).is_null(), user_ctx=x
                ),
                [],
            ),
            (lambda c, t, x: Task.select(c, ne__title="", on_invalid="skip", user_ctx=x), MINE),
            (lambda c, t, x: Task.select(c, project_id__title=t.project.title, user_ctx=x), []),
            (lambda c, t, x: Task.select(c, above_id__title=t.name, user_ctx=x), []),
            (lambda c, t, x: Label.select(c, task_id__title=t.name, user_ctx=x), []),
        ],
    ),
    "first": Row(
        lambda c, t, x: Task.first(c, order_by="title", user_ctx=x),
        [
            (lambda c, t, x: Task.first(c, title=t.name, user_ctx=x), None),
            (lambda c, t, x: Task.first(c, order_by="-title", user_ctx=x), MINE),
        ],
    ),
    "get": Row(
        lambda c, t, x: Task.get(c, title=t.name, user_ctx=x),
        [(lambda c, t, x: Task.get(c, title=t.name, user_ctx=x), NotFound)],
    ),
    "load_by_id": Row(
        lambda c, t, x: Task.load_by_id(c, t.task.task_id, user_ctx=x),
        [(lambda c, t, x: Task.load_by_id(c, t.task.task_id, user_ctx=x), None)],
    ),
    "load_by_id_with_ctx": Row(
        lambda c, t, x: Task.load_by_id_with_ctx(c, x, t.task.task_id),
        [(lambda c, t, x: Task.load_by_id_with_ctx(c, x, t.task.task_id), None)],
    ),
    "select_count": Row(
        lambda c, t, x: Task.select_count(c, user_ctx=x),
        [
            (lambda c, t, x: Task.select_count(c, user_ctx=x), 2),
            (lambda c, t, x: Task.select_count(c, title=t.name, user_ctx=x), 0),
        ],
    ),
    "exists": Row(
        lambda c, t, x: Task.exists(c, user_ctx=x),
        [(lambda c, t, x: Task.exists(c, title=t.name, user_ctx=x), False)],
    ),
    "page": Row(
        lambda c, t, x: Task.page(c, "title", size=1, user_ctx=x),
        [(lambda c, t, x: Task.page(c, "title", size=9, user_ctx=x), MINE)],
    ),
    "iterate": Row(
        lambda c, t, x: Task.iterate(c, batch=1, user_ctx=x),
        [
            (lambda c, t, x: Task.iterate(c, batch=1, user_ctx=x), MINE),
            (lambda c, t, x: Task.iterate(c, batch=1, title=t.name, user_ctx=x), []),
        ],
    ),
    "insert_many": Row(
        lambda c, t, x: Task.insert_many(c, [Task(title="n1"), Task(title="n2")], user_ctx=x),
        [
            (lambda c, t, x: Task.insert_many(c, [Task(title="n"), t.task], user_ctx=x), DENIED),
            (
                lambda c, t, x: Task.insert_many(c, [Task(title="n"), t.forged()], user_ctx=x),
                ConstraintViolation,
            ),
            (lambda c, t, x: Task.insert_many(c, [t.forged()], "ignore", user_ctx=x), 0),
        ],
    ),
    "save_many": Row(
        lambda c, t, x: Task.save_many(c, [t.task, Task(title="n")], user_ctx=x),
        [
            (lambda c, t, x: Task.save_many(c, [Task(title="n"), t.task], user_ctx=x), DENIED),
            (lambda c, t, x: Task.save_many(c, [Task(title="n"), t.forged()], user_ctx=x), DENIED),
        ],
    ),
    "upsert_many": Row(
        lambda c, t, x: Task.upsert_many(c, [t.task, Task(title="n")], ["title"], user_ctx=x),
        [
            (lambda c, t, x: Task.upsert_many(c, [t.forged()], ["task_id"], user_ctx=x), DENIED),
            (lambda c, t, x: Task.upsert_many(c, [t.task], ["title"], user_ctx=x), DENIED),
            (lambda c, t, x: Task.upsert_many(c, [Task(title=t.name)], ["title"], user_ctx=x), 1),
        ],
    ),
    "update_where": Row(
        lambda c, t, x: Task.update_where(c, {"above_id": None}, all_rows=True, user_ctx=x),
        [
            (lambda c, t, x: Task.update_where(c, {"title": "x"}, title=t.name, user_ctx=x), 0),
            (
                lambda c, t, x: Task.update_where(
                    c, {"title": "x"}, project_id__title=t.project.title, user_ctx=x
                ),
                0,
            ),
            (
                lambda c, t, x: Task.update_where(c, {"user_id": t.own}, all_rows=True, user_ctx=x),
                FilterError,
            ),
            (
                lambda c, t, x: Task.update_where(
                    c, {"project_id": t.project.project_id}, all_rows=True, user_ctx=x
                ),
                ConstraintViolation,
            ),
        ],
    ),
    "delete": Row(
        lambda c, t, x: Task.delete(c, title=t.below.title, user_ctx=x),
        [
            (lambda c, t, x: Task.delete(c, title=t.name, user_ctx=x), 0),
            (lambda c, t, x: Task.delete(c, project_id__title=t.project.title, user_ctx=x), 0),
            (lambda c, t, x: Task.delete(c, all_rows=True, user_ctx=x), 2),
        ],
    ),
    "parent": Row(
        lambda c, t, x: t.task.parent(c, Project, user_ctx=x),
        [
            (lambda c, t, x: t.task.parent(c, Project, user_ctx=x), DENIED),
            (
                lambda c, t, x: Task(title="", project_id=t.project.project_id).parent(
                    c, Project, user_ctx=x
                ),
                None,
            ),
            (lambda c, t, x: Label(task_id=t.task.task_id).parent(c, Task, user_ctx=x), None),
        ],
    ),
    "children": Row(
        lambda c, t, x: t.project.children(c, Task, user_ctx=x),
        [
            (lambda c, t, x: t.project.children(c, Task, user_ctx=x), DENIED),
            (lambda c, t, x: t.forged_project().children(c, Task, user_ctx=x), []),
        ],
    ),
    "descendants": Row(
        lambda c, t, x: Task.descendants(c, t.task.task_id, user_ctx=x),
        [
            (lambda c, t, x: Task.descendants(c, t.task.task_id, user_ctx=x), []),
            (lambda c, t, x: Task.descendants(c, t.forged(), user_ctx=x), []),
            (lambda c, t, x: Task.descendants(c, t.task, user_ctx=x), DENIED),
        ],
    ),
    "ancestors": Row(
        lambda c, t, x: Task.ancestors(c, t.below.task_id, user_ctx=x),
        [
            (lambda c, t, x: Task.ancestors(c, t.below.task_id, user_ctx=x), []),
            (lambda c, t, x: Task.ancestors(c, t.below, user_ctx=x), DENIED),
        ],
    ),
    "resolve_ak": Row(
        lambda c, t, x: Task.resolve_ak(c, title=t.name, user_ctx=x),
        [(lambda c, t, x: Task.resolve_ak(c, title=t.name, user_ctx=x), None)],
    ),
    "load_by_ak": Row(
        lambda c, t, x: Task.load_by_ak(c, title=t.name, user_ctx=x),
        [(lambda c, t, x: Task.load_by_ak(c, title=t.name, user_ctx=x), None)],
    ),
    "to_ak_dict": Row(
        lambda c, t, x: t.task.to_ak_dict(c, user_ctx=x),
        [(lambda c, t, x: t.task.to_ak_dict(c, user_ctx=x), DENIED)],
    ),
    "to_ak_dicts": Row(
        lambda c, t, x: Task.to_ak_dicts(c, [t.task], user_ctx=x),
        [(lambda c, t, x: Task.to_ak_dicts(c, [t.task], user_ctx=x), DENIED)],
    ),
}
FUNCTIONS: dict[str, Row] = {
    "join": Row(
        lambda c, t, x: join(c, Task, Project, user_ctx=x),
        [
            (lambda c, t, x: join(c, Task, Project, user_ctx=x), MINE),
            (lambda c, t, x: join(c, Project, left(Task), user_ctx=x), MINE),
            (
                lambda c, t, x: join(c, Task, Project, Project__title=t.project.title, user_ctx=x),
                [],
            ),
            (lambda c, t, x: join(c, Task, left(Task.alias("up")), user_ctx=x), MINE),
            (lambda c, t, x: join(c, Label, Task, user_ctx=x), []),
        ],
    ),
    "parents": Row(
        lambda c, t, x: parents(c, [t.task, t.below], Project, user_ctx=x),
        [
            (lambda c, t, x: parents(c, [t.task], Project, user_ctx=x), DENIED),
            (lambda c, t, x: parents(c, [Label(task_id=t.task.task_id)], Task, user_ctx=x), [None]),
        ],
    ),
    "children": Row(
        lambda c, t, x: children(c, [t.project], Task, user_ctx=x),
        [
            (lambda c, t, x: children(c, [t.project], Task, user_ctx=x), DENIED),
            (lambda c, t, x: children(c, [t.forged_project()], Task, user_ctx=x), [[]]),
        ],
    ),
    "select_columns": Row(
        lambda c, t, x: select_columns(c, Task.user_id, count(), group_by="user_id", user_ctx=x),
        [
            (lambda c, t, x: select_columns(c, Task.user_id, title=t.name, user_ctx=x), []),
            (lambda c, t, x: select_columns(c, count(Task.task_id), user_ctx=x), [(2,)]),
            (
                lambda c, t, x: select_columns(
                    c, Project.title, Task.title, where=Task.user_id == t.own, user_ctx=x
                ),
                [],
            ),
        ],
    ),
}
MATRIX = [*VERBS.items(), *FUNCTIONS.items()]
NAMES = [*VERBS, *(f"{name}()" for name in FUNCTIONS)]


def _takes_conn(function: Any) -> bool:
    return callable(function) and "conn" in inspect.signature(function).parameters


def test_every_verb_stands_in_the_matrix() -> None:
    verbs = {
        name
        for name in vars(DbModel)
        if not name.startswith("_") and _takes_conn(getattr(DbModel, name))
    }
    assert verbs == set(VERBS)


def test_every_function_that_reads_rows_stands_in_the_matrix() -> None:
    functions = {
        name
        for name in lythonic_state.__all__
        if inspect.isfunction(function := getattr(lythonic_state, name))
        and "user_ctx" in inspect.signature(function).parameters
    }
    assert functions == set(FUNCTIONS)


async def call(db: Database, use: Use, who: Tenant, ctx: Any) -> Any:
    """The verb's result, on copies of the tenant's objects; a stream is read to its end."""
    result = use(db.conn, deepcopy(who), ctx)
    if hasattr(result, "__anext__") or isinstance(result, Iterator):
        return await db.collect(result)
    return await db(result)


def models_in(value: Any) -> Iterator[BaseModel]:
    if isinstance(value, BaseModel):
        yield value
    elif isinstance(value, (list, tuple, lythonic_state.Page)):
        for item in value:
            yield from models_in(item)


def owners(value: Any) -> set[int]:
    return {model.user_id for model in models_in(value) if isinstance(model, (Task, Project))}


@pytest.mark.parametrize(("_name", "row"), MATRIX, ids=NAMES)
async def test_a_verb_sees_and_writes_its_own_tenants_rows_only(
    db: Database, _name: str, row: Row
) -> None:
    alice, bob = await two_tenants(db)
    theirs = await rows_of(db, bob)
    result = await call(db, row.use, alice, alice.ctx)
    assert result not in (None, [], 0, False)
    assert owners(result) <= {alice.own}
    assert await rows_of(db, bob) == theirs
    for reach, end in row.reaches:
        await db.rollback()
        before = await rows_of(db, alice)
        if isinstance(end, type):
            with pytest.raises(end):
                await call(db, reach, bob, alice.ctx)
            assert await rows_of(db, alice) == before
        else:
            result = await call(db, reach, bob, alice.ctx)
            assert owners(result) <= {alice.own}
            if end is MINE:
                assert owners(result) == {alice.own}
            else:
                assert result == end
        assert await rows_of(db, bob) == theirs


class OtherContext(ScopeContext):
    user_id: int = 1


@pytest.mark.parametrize(("_name", "row"), MATRIX, ids=NAMES)
async def test_a_verb_without_its_kind_of_context_touches_nothing(
    db: Database, _name: str, row: Row
) -> None:
    alice, bob = await two_tenants(db)
    before = await rows_of(db, alice), await rows_of(db, bob)
    wrong: list[tuple[Any, str]] = [
        (None, r"is scoped by user_id; give the verb a context: user_ctx="),
        (OtherContext(), "takes UserContext as user_ctx, not OtherContext"),
        (alice.ctx.user, "takes UserContext as user_ctx, not User"),
        (UserContext(user=User()), "is the user saved"),
    ]
    for ctx, message in wrong:
        with count_statements(db.conn) as counted, pytest.raises(AccessViolation, match=message):
            await call(db, row.use, alice, ctx)
        assert counted.count == 0
    assert (await rows_of(db, alice), await rows_of(db, bob)) == before


WRITES_A_NEW_ROW = {"insert", "create", "insert_many", "save_many", "upsert_many"}


@pytest.mark.parametrize(("name", "row"), MATRIX, ids=NAMES)
async def test_reaching_across_all_tenants_is_logged_once_with_its_reason(
    db: Database, name: str, row: Row, caplog: pytest.LogCaptureFixture
) -> None:
    alice, _ = await two_tenants(db)
    with caplog.at_level(logging.WARNING, "lythonic_state"):
        if name in WRITES_A_NEW_ROW:
            with pytest.raises(AccessViolation, match="under AllTenants a row must name its own"):
                await call(db, row.use, alice, ALL)
        elif name != "get":
            await call(db, row.use, alice, ALL)
    logged = [record.getMessage() for record in caplog.records]
    if name != "get":
        assert len(logged) == 1
        assert logged[0].endswith("across all tenants: test of scoping")


# --- nothing moves a row ------------------------------------------------------------------------


async def test_no_verb_writes_the_scope_of_a_row(db: Database) -> None:
    alice, bob = await two_tenants(db)
    task = alice.task
    await db(task.patch(db.conn, {"user_id": bob.own, "title": "kept"}, user_ctx=alice.ctx))
    assert (task.user_id, task.title) == (alice.own, "kept")
    moved = Task(**{**task.model_dump(), "user_id": bob.own})
    for use in (
        lambda: moved.save(db.conn, user_ctx=alice.ctx),
        lambda: moved.update(db.conn, user_ctx=alice.ctx),
        lambda: moved.update(db.conn, user_ctx=bob.ctx),
        lambda: moved.update(db.conn, user_ctx=ALL),
        lambda: moved.update(db.conn, title="kept", user_ctx=alice.ctx),
        lambda: moved.save(db.conn, user_ctx=ALL),
        lambda: moved.upsert(db.conn, user_ctx=ALL),
        lambda: moved.patch(db.conn, {"user_id": bob.own}, user_ctx=ALL),
    ):
        try:
            await db(use())
        except AccessViolation:
            pass
        rows = await db.execute('SELECT user_id FROM "Task" WHERE task_id = ?', (task.task_id,))
        assert rows == [(alice.own,)]


async def test_a_failed_save_leaves_the_object_as_it_was(db: Database) -> None:
    alice, bob = await two_tenants(db)
    forged = alice.forged()
    with pytest.raises(AccessViolation):
        await db(forged.save(db.conn, user_ctx=bob.ctx))
    assert forged == Task(task_id=alice.task.task_id, title="forged")
    assert "user_id" not in forged.model_fields_set


async def test_two_tenants_may_use_one_alternative_key_and_one_tenant_only_once(
    db: Database,
) -> None:
    alice, bob = await two_tenants(db)
    await db(Task(title="alice").save(db.conn, user_ctx=bob.ctx))
    with pytest.raises(ConstraintViolation) as caught:
        await db(Task(title="alice").save(db.conn, user_ctx=alice.ctx))
    assert caught.value.kind == "unique"
    assert caught.value.columns == ("user_id", "title")


async def test_the_database_refuses_a_child_of_another_tenants_parent(db: Database) -> None:
    alice, bob = await two_tenants(db)
    await db.commit()
    with pytest.raises(Exception, match=r"(?i)foreign key"):
        await db.execute(
            'INSERT INTO "Task" (task_id, title, project_id, user_id) VALUES (99, ?, ?, ?)',
            ("by hand", alice.project.project_id, bob.own),
        )
    await db.rollback()
    for child in (
        Task(title="x", project_id=alice.project.project_id),
        Task(title="x", above_id=alice.task.task_id),
    ):
        with pytest.raises(ConstraintViolation) as caught:
            await db(child.save(db.conn, user_ctx=bob.ctx))
        assert caught.value.kind == "foreign key"


async def test_the_cursor_of_another_tenant_leads_to_ones_own_rows(db: Database) -> None:
    alice, bob = await two_tenants(db)
    first = await db(Task.page(db.conn, "title", size=1, user_ctx=alice.ctx))
    assert first.next is not None
    page = await db(Task.page(db.conn, "title", size=9, after=first.next, user_ctx=bob.ctx))
    assert owners(page) == {bob.own}
    last = await db(Task.page(db.conn, "title", size=9, after=first.next, user_ctx=alice.ctx))
    assert [task.title for task in last] == [alice.below.title]


async def test_one_sees_both_tenants_only_across_all(db: Database) -> None:
    alice, bob = await two_tenants(db)
    both = {alice.own, bob.own}
    assert owners(await db(Task.select(db.conn, user_ctx=ALL))) == both
    assert owners(await db(join(db.conn, Task, Project, user_ctx=ALL))) == both
    tasks = [alice.task, bob.task]
    found = await db(parents(db.conn, tasks, Project, user_ctx=ALL))
    assert found == [alice.project, bob.project]
    found = await db(children(db.conn, [bob.project, alice.project], Task, user_ctx=ALL))
    assert [owners(group) for group in found] == [{bob.own}, {alice.own}]
    await db(Task(title="alice").save(db.conn, user_ctx=bob.ctx))
    with pytest.raises(MultipleFound, match="several tenants have a Task with this key"):
        await db(Task.get_or_create(db.conn, title="alice", user_ctx=ALL))
    for reason in ("", " ", None):
        with pytest.raises(ValueError, match="reason"):
            AllTenants(reason)  # type: ignore[arg-type]


# --- scopes of all kinds ----------------------------------------------------------------------


class OrgContext(ScopeContext):
    org: str


class Document(Scoped["Document"], scope="org", scope_context=OrgContext):
    """The scope is text and a part of the key."""

    org: str = Field(default="", description="(PK)")
    number: int = Field(description="(PK)")
    text: str = ""


class Line(Scoped["Line"], scope="org", scope_context=OrgContext):
    org: str
    line_id: int = Field(default=-1, description="(PK)")
    number: int = Field(description="(FK:Document.number)")


class SiteContext(ScopeContext):
    site: UUID


class Sensor(Scoped["Sensor"], scope="site"):
    sensor_id: int = Field(default=-1, description="(PK)")
    site: UUID = UUID(int=0)
    name: str = Field(description="(UQ)")


async def test_a_scope_is_of_any_type_and_may_be_part_of_the_key(db: Database) -> None:
    await db.create(Document, Line, Sensor)
    one, two = OrgContext(org="o'ne"), OrgContext(org="two")
    for ctx in (one, two):
        await db(Document(number=1, text=ctx.org).save(db.conn, user_ctx=ctx))
        line = await db(Line.create(db.conn, {"number": 1}, user_ctx=ctx))
        assert line.org == ctx.org
        parent = await db(line.parent(db.conn, Document, user_ctx=ctx))
        assert parent.text == ctx.org
    documents = await db(Document.select(db.conn, order_by="org", user_ctx=ALL))
    assert [document.text for document in documents] == ["o'ne", "two"]
    lines = await db(Line.select(db.conn, order_by="org", user_ctx=ALL))
    assert await db(parents(db.conn, lines, Document, user_ctx=ALL)) == documents
    found = await db(children(db.conn, documents, Line, user_ctx=ALL))
    assert found == [[line] for line in lines]
    found = await db(join(db.conn, Line, Document, order_by="org", user_ctx=ALL))
    assert found == list(zip(lines, documents, strict=True))
    with pytest.raises(ConstraintViolation):
        await db(Line(org="two", number=2).save(db.conn, user_ctx=two))
    sites = [SiteContext(site=UUID(int=n)) for n in (1, 2)]
    for site in sites:
        sensor = await db(Sensor(name="door").save(db.conn, user_ctx=site))
        assert sensor.site == site.site
        assert await db(Sensor.select(db.conn, user_ctx=site)) == [sensor]
    with pytest.raises(AccessViolation, match="OrgContext has no value for site"):
        await db(Sensor.select(db.conn, user_ctx=one))
    with pytest.raises(AccessViolation, match="takes OrgContext as user_ctx, not SiteContext"):
        await db(Document.select(db.conn, user_ctx=sites[0]))


def test_what_would_let_rows_move_is_no_schema() -> None:
    class Shelf(UserOwned["Shelf"]):
        shelf_id: int = Field(default=-1, description="(PK)")

    class Item(UserOwned["Item"]):
        item_id: int = Field(default=-1, description="(PK)")
        shelf_id: Annotated[int | None, ForeignKey(Shelf, on_delete="set null")] = None

    with pytest.raises(SchemaError, match=r"Item\.shelf_id: on_delete='set null' between two sc"):
        Schema([Shelf, Item])

    class Stray(Scoped["Stray"], scope="org"):
        stray_id: int = Field(default=-1, description="(PK)")
        org: str = ""
        shelf_id: int = Field(description="(FK:Shelf.shelf_id)")

    with pytest.raises(SchemaError, match="scope both models by the same column"):
        Schema([Shelf, Stray])
    with pytest.raises(SchemaError, match=r"scope='orgg' is not one of its columns"):

        class Typo(Scoped["Typo"], scope="orgg"):
            typo_id: int = Field(default=-1, description="(PK)")
            org: str = ""


# --- connections in every mode ------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["default", "autocommit", "immediate"])
def test_scoped_writes_need_a_connection_that_enforces_foreign_keys(mode: str) -> None:
    level = {"default": "", "autocommit": None, "immediate": "IMMEDIATE"}[mode]
    conn = sqlite3.connect(":memory:", isolation_level=level)
    Schema([User, Project, Task]).create_tables(conn)
    alice = UserContext(user=User().save(conn))
    conn.commit()
    conn.execute("PRAGMA foreign_keys = OFF")
    for use in (
        lambda: Project(title="x").save(conn, user_ctx=alice),
        lambda: Project.insert_many(conn, [Project(title="x")], user_ctx=alice),
        lambda: Project.delete(conn, all_rows=True, user_ctx=alice),
    ):
        with pytest.raises(AccessViolation, match="PRAGMA foreign_keys=ON"):
            use()
        assert not conn.in_transaction
    assert Project.select(conn, user_ctx=alice) == []
    conn.execute("PRAGMA foreign_keys = ON")
    project = Project(title="x").save(conn, user_ctx=alice)
    assert conn.in_transaction == (mode != "autocommit")
    assert Project.select(conn, user_ctx=alice) == [project]
    conn.rollback()
    conn.close()
