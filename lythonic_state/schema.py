"""Which tables belong together, and does a database have them? `Schema` and `DbFile`.

Here models are checked against each other, and verbs on whole databases begin and end their
transactions. What a table looks like stands in `shape.py` and `ddl.py`, what differs in a live
database in `migrate/`; these are imported when they are first needed.
"""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from pydantic import BaseModel

from . import alt_key
from .connection import (
    Opener,
    Synchronous,
    open_db,
    open_sqlite_db,
    sqlite_path,
    transaction,
)
from .dialects import POSTGRES, SQLITE, Dialect, DialectName
from .errors import SchemaError, nearest
from .migrate import HISTORY_TABLE
from .model import DbModel
from .run import AnyConnection, AsyncConnection, SyncConnection, Verb, is_async, run
from .table import Reference, Table, find_model, references, table_of

if TYPE_CHECKING:
    import sqlite3

    import aiosqlite

    from .migrate.changes import Change
    from .migrate.plan import Plan
    from .shape import Wanted


class Schema:
    """Models whose tables belong to one database.

    Example:
        >>> SCHEMA = Schema([Author, Book])
        >>> SCHEMA.create_schema("library.db")

    Raises:
        SchemaError: two models have one table, a foreign key leads out of the schema or to what
            is not unique, an alternative key has no end; the error names model, field and mend.
    """

    def __init__(self, tables: Iterable[type[DbModel[Any]]]) -> None:
        self._models = tuple(tables)
        self._tables = tuple(_complete_tables(self._models))
        self._by_name = _by_name(self._tables)
        self._references = {table.name: tuple(self._references_of(table)) for table in self._tables}
        for table in self._tables:
            alt_key.check(table, self.find)
        self._wanted: dict[DialectName, list[Wanted]] = {}

    @property
    def models(self) -> tuple[type[DbModel[Any]], ...]:
        """The models in the order in which they were given."""
        return self._models

    @property
    def tables(self) -> tuple[Table, ...]:
        """What is known of each model's table, in the same order."""
        return self._tables

    def __iter__(self) -> Iterator[type[DbModel[Any]]]:
        return iter(self._models)

    def __len__(self) -> int:
        return len(self._models)

    def __contains__(self, model: object) -> bool:
        return any(model is one for one in self._models)

    def __repr__(self) -> str:
        return f"Schema([{', '.join(model.__name__ for model in self._models)}])"

    # -- the models among each other

    def find(self, name: str | type[BaseModel], near: Table) -> Table:
        """The table of this schema that a foreign key of `near` means.

        A class that was defined anew, as in a notebook, stands for the new one.

        Raises:
            SchemaError: the schema has no such table.
        """
        if isinstance(name, str):
            candidates = self._by_name.get(name, [])
        else:
            candidates = [table for table in self._tables if _is_same_model(table.model, name)]
            name = name.__name__
        module = near.model.__module__
        for table in sorted(candidates, key=lambda one: one.model.__module__ != module):
            return table
        try:
            find_model(name, near.model)
        except SchemaError:
            known = nearest(name, self._by_name)
            raise SchemaError(f"refers to {name!r}, which is not a known model{known}") from None
        raise SchemaError(
            f"refers to {name}, which is not in the Schema; add it: Schema([…, {name}])"
        )

    def _references_of(self, table: Table) -> Iterator[Reference]:
        for key in table.foreign_keys:
            try:
                self.find(key.to_model, table)
            except SchemaError as error:
                raise SchemaError(f"{table.model.__name__}.{key.field} {error}") from None
        for reference in references(table, self.find):
            _check_scopes(reference)
            yield reference

    def _shapes(self, dialect: Dialect) -> list[Wanted]:
        from .shape import Wanted, shape_of

        found = self._wanted.get(dialect.name)
        if found is None:
            found = [
                Wanted(table, shape_of(table, self._references[table.name], dialect))
                for table in self._tables
            ]
            self._wanted[dialect.name] = found
        return found

    # -- creating

    def ddl(self, dialect: DialectName = "sqlite", row_level_security: bool = False) -> str:
        """The SQL that creates all tables, parents before children, each statement ending in `;`.

        Every foreign key has an index that begins with its columns, and what is unique is a
        unique index. On PostgreSQL, `row_level_security=True` adds FORCEd policies to the scoped
        tables, by which a connection sees the tenant of the verb that runs, and nothing without.

        Example:
            >>> print(SCHEMA.ddl("postgres", row_level_security=True))

        Raises:
            SchemaError: the dialect is unknown, a name does not fit it, or it has no policies.
        """
        from . import ddl

        spoken = _dialect(dialect)
        statements = ddl.create_tables([one.shape for one in self._shapes(spoken)], spoken)
        if row_level_security:
            for table in self._tables:
                if table.scope is not None:
                    statements.extend(ddl.row_level_security(table, spoken))
        return "".join(f"{statement};\n" for statement in statements)

    @overload
    def create_schema(
        self, target: str | PathLike[str] | SyncConnection, /, *, reuse_keys: bool = True
    ) -> None: ...
    @overload
    def create_schema(
        self, target: AsyncConnection, /, *, reuse_keys: bool = True
    ) -> Coroutine[Any, Any, None]: ...
    def create_schema(
        self, target: str | PathLike[str] | AnyConnection, /, *, reuse_keys: bool = True
    ) -> Any:
        """Creates the tables that are missing, in one transaction, and commits.

        `target` is a SQLite file (made if it is missing), the URL of a database, or a connection.
        Tables that are there already in the same shape are left alone, and so are tables that
        the schema does not know.

        With `reuse_keys=False` the tables that are created never give out a generated key again,
        as if each model had said so; those that are there stay as they are.

        Example:
            >>> SCHEMA.create_schema("library.db")

        Raises:
            SchemaError: a table has another shape in the database; the error lists the
                differences and names `migrate`, and nothing was created.
            DatabaseError: the file cannot be opened, or is no database.
        """
        create = partial(self._create, reuse_keys=reuse_keys)
        if not isinstance(target, (str, PathLike)):
            return _committed(target, create)
        path = fspath(target)
        is_url = "://" in path
        # a name that the database does not take leaves no file behind
        self._shapes(POSTGRES if is_url and sqlite_path(path) is None else SQLITE)
        opener: Opener[Any, Any] = open_db(path) if is_url else open_sqlite_db(path)
        with opener as conn:
            return _committed(conn, create)

    @overload
    def create_tables(self, conn: SyncConnection, /, *, reuse_keys: bool = True) -> None: ...
    @overload
    def create_tables(
        self, conn: AsyncConnection, /, *, reuse_keys: bool = True
    ) -> Coroutine[Any, Any, None]: ...
    def create_tables(self, conn: AnyConnection, /, *, reuse_keys: bool = True) -> Any:
        """`create_schema` on a connection, leaving the commit to you.

        Example:
            >>> with open_db("sqlite://") as conn:
            ...     SCHEMA.create_tables(conn)

        Raises:
            SchemaError: a table has another shape in the database.
        """
        return run(conn, "sequence", partial(self._create, reuse_keys=reuse_keys))

    def _create(self, dialect: Dialect, *, reuse_keys: bool) -> Any:
        from .migrate.plan import create

        return create(dialect, self._shapes(dialect), reuse_keys)

    # -- comparing and migrating

    @overload
    def check_all_tables_exist(self, conn: SyncConnection, /) -> Literal[True]: ...
    @overload
    def check_all_tables_exist(
        self, conn: AsyncConnection, /
    ) -> Coroutine[Any, Any, Literal[True]]: ...
    def check_all_tables_exist(self, conn: AnyConnection, /) -> Any:
        """Makes sure that the database has every table of the schema, whatever its shape.

        Example:
            >>> assert SCHEMA.check_all_tables_exist(conn)

        Raises:
            SchemaError: naming those that are missing.
        """
        return run(conn, "read", self._check_tables)

    def _check_tables(self, dialect: Dialect) -> Any:
        from .migrate.plan import diff

        _need_tables((yield from diff(dialect, self._shapes(dialect))))
        return True

    def _check_shape(self, dialect: Dialect) -> Any:
        from .migrate.plan import diff, differences

        changes = yield from diff(dialect, self._shapes(dialect))
        different = [change for change in changes if change.kind != "new table"]
        if different:
            raise SchemaError(differences(different))
        _need_tables(changes)

    @overload
    def diff(self, conn: SyncConnection, /) -> list[Change]: ...
    @overload
    def diff(self, conn: AsyncConnection, /) -> Coroutine[Any, Any, list[Change]]: ...
    def diff(self, conn: AnyConnection, /) -> Any:
        """What differs between the database and the models; an empty list if nothing does.

        Compared are tables, columns, types, nullability, keys, CHECKs, foreign keys, uniques and
        indexes. CHECKs and conditions of indexes are compared by the digest in their names.
        Not looked at are tables that the schema does not know, SQL defaults, the order of
        columns and the names of indexes.

        Example:
            >>> for change in SCHEMA.diff(conn):
            ...     print(change, "" if change.safe else change.obstacle)
        """
        return run(conn, "read", self._diff)

    def _diff(self, dialect: Dialect) -> Any:
        from .migrate.plan import diff

        return diff(dialect, self._shapes(dialect))

    @overload
    def migrate(
        self, conn: SyncConnection, /, *, allow_destructive: bool = False, dry_run: bool = False
    ) -> Plan: ...
    @overload
    def migrate(
        self, conn: AsyncConnection, /, *, allow_destructive: bool = False, dry_run: bool = False
    ) -> Coroutine[Any, Any, Plan]: ...
    def migrate(
        self, conn: AnyConnection, /, *, allow_destructive: bool = False, dry_run: bool = False
    ) -> Any:
        """Brings the database to the models' shape, in one transaction, and commits.

        So far it adds: tables, columns that may be NULL or have a default (which the rows that
        exist get), and indexes, unique ones too; and it drops indexes that an earlier version of
        a model had, unless they are unique. Everything else is refused, `allow_destructive` or
        not. With `dry_run` the plan is returned and nothing done. An applied plan is kept with
        its SQL and checksum in the table `lythonic_migrations`. Inside of a `transaction()` block
        it takes effect with the block.

        On SQLite a new column that is NOT NULL keeps its default as a SQL default, which nothing
        here makes use of.

        Example:
            >>> plan = SCHEMA.migrate(conn, dry_run=True)
            >>> print(plan.sql)

        Raises:
            MigrationError: a change cannot be carried out, or the database refused a step; the
                error lists them, and nothing was changed.
        """
        if dry_run:
            return run(conn, "read", self._plan)
        return _committed(conn, self._migrate)

    def _plan(self, dialect: Dialect) -> Any:
        from .migrate.plan import plan

        return plan(dialect, self._shapes(dialect))

    def _migrate(self, dialect: Dialect) -> Any:
        from .migrate.plan import migrate

        return migrate(dialect, self._shapes(dialect), datetime.now(UTC))


def _need_tables(changes: Iterable[Change]) -> None:
    absent = ("new table", "renamed table", "not a table")
    missing = [change.table for change in changes if change.kind in absent]
    if missing:
        raise SchemaError(
            f"the database has no {'table' if len(missing) == 1 else 'tables'} "
            f"{', '.join(missing)}; create what is missing with SCHEMA.create_schema(…)"
        )


@overload
def has_table(conn: SyncConnection, model: type[DbModel[Any]], /) -> bool: ...
@overload
def has_table(conn: AsyncConnection, model: type[DbModel[Any]], /) -> Coroutine[Any, Any, bool]: ...
def has_table(conn: Any, model: type[DbModel[Any]], /) -> Any:
    """Whether a database has the table of a model, whatever its shape.

    Example:
        >>> has_table(conn, Book)
        True
    """
    from .migrate.live import has_table as is_there

    return run(conn, "read", is_there, table_of(model).name)


def models_reusing_keys(conn: SyncConnection, schema: Schema) -> list[type[DbModel[Any]]]:
    """The models whose table, as it is there, may give out a generated key again."""
    found: list[type[DbModel[Any]]] = run(conn, "read", _reusing_keys, schema)
    return found


def _reusing_keys(dialect: Dialect, schema: Schema) -> Any:
    from .migrate.live import read_live
    from .shape import fold_of

    live = yield from read_live(dialect)
    fold = fold_of(dialect)
    found: list[type[DbModel[Any]]] = []
    for model, table in zip(schema.models, schema.tables, strict=True):
        shape = live.tables.get(fold(table.name))
        key = table.generated
        if shape is not None and key is not None:
            name = fold(key.name)
            if not any(column.generated and fold(column.name) == name for column in shape.columns):
                found.append(model)
    return found


class DbFile:
    """A SQLite file and the schema of the tables in it.

    Example:
        >>> library = DbFile("library.db", SCHEMA).check(ensure=True)
        >>> with library.open() as conn:
        ...     Author.select(conn)
    """

    def __init__(self, path: str | PathLike[str], schema: Schema) -> None:
        self.path = Path(path)
        self.schema = schema

    def __repr__(self) -> str:
        return f"DbFile({str(self.path)!r}, {self.schema!r})"

    def check(self, ensure: bool = False) -> DbFile:
        """Makes sure that the file is there and its tables have the shape of the models.

        With `ensure`, the file and tables that are missing are created; a table of another shape
        is an error all the same. Returns this object.

        Raises:
            SchemaError: the file or a table is missing, or has another shape.
            DatabaseError: the file is no database.
        """
        if ensure:
            self.schema.create_schema(self.path)
            return self
        if not self.path.is_file():
            raise SchemaError(f"there is no file {self.path}; create it with .check(ensure=True)")
        with open_sqlite_db(self.path, readonly=True) as conn:
            run(conn, "read", self.schema._check_shape)
        return self

    def open(
        self,
        *,
        readonly: bool = False,
        commit: bool = False,
        busy_timeout: float = 5.0,
        synchronous: Synchronous = "FULL",
    ) -> Opener[sqlite3.Connection, aiosqlite.Connection]:
        """A connection to the file, for `with` or `async with`; see `open_sqlite_db`."""
        return open_sqlite_db(
            self.path,
            readonly=readonly,
            commit=commit,
            busy_timeout=busy_timeout,
            synchronous=synchronous,
        )


# --- transactions around whole databases ----------------------------------------------------


def _committed(conn: Any, verb: Verb) -> Any:
    """Runs a verb in a `transaction()`, which commits, or is a part of one that is open."""
    if is_async(conn):
        return _committed_async(conn, verb)
    with transaction(conn):
        return run(conn, "sequence", verb)


async def _committed_async(conn: Any, verb: Verb) -> Any:
    async with transaction(conn):
        return await run(conn, "sequence", verb)


# --- models among each other ----------------------------------------------------------------


def _complete_tables(models: tuple[Any, ...]) -> Iterator[Table]:
    names = {getattr(model, "__name__", ""): model for model in models}
    seen: dict[str, Any] = {}
    for model in models:
        if not (isinstance(model, type) and issubclass(model, DbModel)):
            raise SchemaError(f"Schema([…]) takes DbModel classes, not {model!r}")
        if not model.__pydantic_complete__:
            model.model_rebuild(raise_errors=False, _types_namespace=names)
        table = table_of(model)
        other = seen.setdefault(table.name.lower(), model)
        if other is not model:
            raise SchemaError(
                f"{other.__name__} and {model.__name__} are both table {table.name!r} (upper and "
                f"lower case are the same); give one another name: class {model.__name__}"
                "(DbModel, table=…)"
            )
        if table.name.lower() == HISTORY_TABLE:
            raise SchemaError(
                f"{model.__name__}: the table {HISTORY_TABLE} keeps what was migrated; "
                "name it otherwise: table=…"
            )
        yield table
    if len(seen) < len(models):
        twice = next(model for model in models if sum(one is model for one in models) > 1)
        raise SchemaError(f"{twice.__name__} stands twice in the Schema; name it once")


def _is_same_model(ours: type[BaseModel], named: type[BaseModel]) -> bool:
    """Whether a class is the named one, or was defined in its place later."""
    return ours is named or (
        (ours.__module__, ours.__qualname__) == (named.__module__, named.__qualname__)
    )


def _by_name(tables: Iterable[Table]) -> dict[str, list[Table]]:
    found: dict[str, list[Table]] = {}
    for table in tables:
        for name in {table.model.__name__, table.name}:
            found.setdefault(name, []).append(table)
    return found


def _check_scopes(reference: Reference) -> None:
    """A foreign key into a scoped table, from one that is not, can only lead to the primary key."""
    table, target = reference.table, reference.target
    if table.scope is not None or target.scope is None:
        return
    if {c.field for c in reference.target_columns} != {c.field for c in target.primary_key}:
        raise SchemaError(
            f"{table.model.__name__}.{reference.field} refers to {target.model.__name__}."
            f"{', '.join(c.field for c in reference.target_columns)}, which is unique only within "
            f"{target.scope.field}; refer to its primary key, or scope {table.model.__name__}, too"
        )


def _dialect(name: str) -> Dialect:
    if name == "sqlite":
        return SQLITE
    if name in ("postgres", "postgresql"):
        return POSTGRES
    raise SchemaError(f"dialect={name!r} is unknown; use 'sqlite' or 'postgres'")
