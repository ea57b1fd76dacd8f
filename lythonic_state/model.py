"""What a user writes as a class and calls as verbs: `DbModel`.

Each verb is a line: it hands an Op of `ops.py` to the loop that fits the connection. The overloads
say what comes back: the value with a sync connection, an awaitable of it with an async one.
"""

from __future__ import annotations

import threading
from collections.abc import (
    AsyncIterator,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from contextvars import ContextVar
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    ClassVar,
    Generic,
    Literal,
    Self,
    cast,
    get_origin,
    overload,
)

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr
from pydantic._internal._model_construction import ModelMetaclass
from pydantic_core import SchemaValidator
from typing_extensions import TypeVar, dataclass_transform

from . import alt_key, ops, paging, query, repeated
from .codecs import with_known_types
from .errors import SchemaError
from .filters import Aliased, Column, Condition, OrderBy
from .ops import OnConflict
from .paging import Page
from .repeated import REPEATS
from .rows import OnInvalid
from .run import AnyConnection, AsyncConnection, SyncConnection, run, run_on, run_stream
from .scope import UserCtx
from .statements import Query, columns_of
from .table import (
    ColumnSpec,
    Table,
    TableConstraint,
    build_table,
    register_model,
    split_description,
    table_of,
)

if TYPE_CHECKING:
    from pydantic import GetJsonSchemaHandler
    from pydantic.json_schema import JsonSchemaValue
    from pydantic_core import CoreSchema

S = TypeVar("S", default=Any)
T = TypeVar("T")
P = TypeVar("P", bound="DbModel[Any]")

# --- typed columns --------------------------------------------------------------------------


class Col(Generic[T]):
    """`year: Col[int]` is the field `year: int`, and tells type checkers that `Book.year` is a
    `Column[int]`. A default is given by `column(default=…)`."""

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: Any) -> Column[T]: ...
        @overload
        def __get__(self, instance: object, owner: Any) -> T: ...
        def __get__(self, instance: Any, owner: Any) -> Any: ...
        def __set__(self, instance: Any, value: T) -> None: ...
    else:

        def __class_getitem__(cls, item: Any) -> Any:
            return Annotated[item, _IS_COL]


class _IsCol:
    """Left in the annotation of a `Col`, so that there is an Annotated to make."""


_IS_COL = _IsCol()


def column(*, default: Any = ..., **options: Any) -> Any:
    """pydantic's `Field` for a `Col[…]`, whose default type checkers would refuse otherwise.

    Example:
        >>> class Book(DbModel):
        ...     book_id: Col[int] = column(default=-1, description="(PK)")
        ...     year: Col[int | None] = column(default=None)
    """
    if "default_factory" in options:
        return Field(**options)
    return Field(default, **options)


# --- the class ------------------------------------------------------------------------------


@dataclass_transform(kw_only_default=True, field_specifiers=(Field, PrivateAttr, column))
class DbModelMeta(ModelMetaclass):
    """Gives a model its table, and its class attributes their columns."""

    def __new__(
        mcs,
        name: str,
        bases: tuple[type[Any], ...],
        namespace: dict[str, Any],
        *,
        table: str | None = None,
        constraints: Sequence[TableConstraint] = (),
        abstract: bool = False,
        scope: str | None = None,
        scope_context: type[BaseModel] | None = None,
        reuse_keys: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        _refuse_verbs_as_fields(name, bases, namespace)
        cls = super().__new__(mcs, name, bases, namespace, **kwargs)
        options = {
            "table": table or cls.__name__,
            "constraints": tuple(constraints),
            "abstract": abstract,
            "scope": scope or getattr(cls, "__scope__", None),
            "scope_context": scope_context or getattr(cls, "__scope_context__", None),
            "reuse_keys": _reuses_keys(cls, reuse_keys),
        }
        type.__setattr__(cls, "__table_options__", options)
        type.__setattr__(cls, "__table__", None)  # until it is built, and not the parent's
        type.__setattr__(cls, "__scope__", options["scope"])
        type.__setattr__(cls, "__scope_context__", options["scope_context"])
        type.__setattr__(cls, "__reuse_keys__", options["reuse_keys"])
        if namespace.get("__module__") != __name__:
            _finish(cls)
        return cls

    if not TYPE_CHECKING:  # to checkers only the columns that are declared exist

        def __getattr__(cls, name: str) -> Any:  # noqa: N805  # of a metaclass
            if not name.startswith("_"):
                found = _column(cls, name)
                if found is not None:
                    return found
            return super().__getattr__(name)

    def __setattr__(cls, name: str, value: Any) -> None:  # noqa: N805  # of a metaclass
        super().__setattr__(name, value)
        if name == "__pydantic_complete__" and value and "__table_options__" in cls.__dict__:
            type.__setattr__(cls, "__table__", None)
            REPEATS.pop(cls, None)


def _column(cls: Any, name: str) -> Column[Any] | None:
    fields = cls.__dict__.get("__pydantic_fields__")
    if not fields or name not in fields:
        return None
    try:
        table = table_of(cls)
    except SchemaError:
        return None
    spec = table.by_field.get(name)
    return None if spec is None else Column(table, spec)


def _reuses_keys(cls: Any, said: bool | None) -> bool:
    """What the class says, else what its parent does."""
    found: bool = getattr(cls, "__reuse_keys__", True) if said is None else said
    return found


def _refuse_verbs_as_fields(
    name: str, bases: tuple[type[Any], ...], namespace: dict[str, Any]
) -> None:
    verbs = {
        verb
        for base in bases
        for part in base.__mro__
        if part.__module__ == __name__ or part.__module__.endswith("_state.user")
        for verb in vars(part)
        if not verb.startswith("_") and callable(getattr(part, verb, None))
    }
    if not verbs:
        return
    inherited = {
        field
        for base in bases
        if not isinstance(base, DbModelMeta)
        for field in getattr(base, "model_fields", {})
    }
    annotated = namespace.get("__annotations__", {})
    for field, annotation in annotated.items():
        text = annotation if isinstance(annotation, str) else ""
        if "ClassVar" in text or get_origin(annotation) is ClassVar:
            continue
        if field in verbs:
            raise _verb_as_field(name, field)
    for field in inherited & verbs:
        raise _verb_as_field(name, field)


def _verb_as_field(model: str, field: str) -> SchemaError:
    return SchemaError(
        f"{model}.{field}: {field!r} is a verb of DbModel and cannot be a field; name the field "
        f'otherwise and its column so: {field}_: Annotated[…, ColumnName("{field}")]'
    )


def _finish(cls: Any) -> None:
    """Builds the table of a complete model; one with forward references waits."""
    options = cls.__table_options__
    if options["abstract"] or _is_generic(cls):
        for field, info in cls.model_fields.items():
            if info.description:
                _checked_markers(cls, field, info.description)
        return
    register_model(cls, options["table"])
    if cls.__pydantic_complete__:
        cls.__build_table__()


def _let_pydantic_know_registered_types(cls: Any) -> None:
    changed = False
    for info in cls.model_fields.values():
        known = with_known_types(info.annotation)
        if known is not info.annotation:
            info.annotation, changed = known, True
    if changed:
        cls.model_rebuild(force=True)


def _checked_markers(cls: Any, field: str, description: str) -> None:
    try:
        split_description(description)
    except SchemaError as error:
        raise SchemaError(f"{cls.__name__}.{field}: {error}") from error


def _is_generic(cls: Any) -> bool:
    return bool(cls.__pydantic_generic_metadata__.get("parameters"))


if TYPE_CHECKING:

    class _Base(BaseModel, Generic[S], metaclass=DbModelMeta):
        pass
else:

    class _Base(BaseModel, metaclass=DbModelMeta, abstract=True):
        def __class_getitem__(cls, item: Any) -> Any:
            if cls.__pydantic_generic_metadata__["parameters"]:
                return super().__class_getitem__(item)
            return cls


_build_lock = threading.RLock()
_assigning: ContextVar[frozenset[int]] = ContextVar("assigning", default=frozenset())


class DbModel(_Base[S], abstract=True):  # type: ignore[call-arg,unused-ignore]  # our metaclass takes it
    """A Pydantic model that is a table, with the verbs to work with its rows.

    Example:
        >>> class Author(DbModel["Author"]):
        ...     author_id: int = Field(default=-1, description="(PK)")
        ...     name: str

    Class arguments: `table="hero"` names the table, `constraints=[Unique("a", "b"), …]` are those
    of the whole table, `abstract=True` makes a parent without a table. With `reuse_keys=False` a
    generated key is never given out again, not even once its row is deleted: AUTOINCREMENT on
    SQLite, and what PostgreSQL does anyway.

    Raises:
        SchemaError: the class cannot be a table; the error names model, field and mend.
    """

    # arbitrary types: whether a column can hold a type is for the table to say
    model_config = ConfigDict(validate_assignment=True, arbitrary_types_allowed=True)

    if TYPE_CHECKING:
        __table__: ClassVar[Table | None]
        __table_options__: ClassVar[dict[str, Any]]

        def __init_subclass__(
            cls,
            *,
            table: str | None = None,
            constraints: Sequence[TableConstraint] = (),
            abstract: bool = False,
            scope: str | None = None,
            scope_context: type[BaseModel] | None = None,
            reuse_keys: bool | None = None,
            **kwargs: Any,
        ) -> None: ...

    @classmethod
    def __build_table__(cls) -> Table:
        with _build_lock:
            found: Table | None = cls.__table__
            if found is not None:
                return found
            options = cls.__table_options__
            if options["abstract"] or _is_generic(cls):
                raise SchemaError(f"{cls.__name__} is abstract and has no table")
            if not cls.__pydantic_complete__ and not cls.model_rebuild(raise_errors=False):
                raise SchemaError(
                    f"{cls.__name__} refers to a type that is not defined yet; define it, "
                    f"or call {cls.__name__}.model_rebuild()"
                )
            _let_pydantic_know_registered_types(cls)
            table = build_table(
                cls,
                options["table"],
                options["constraints"],
                options["scope"],
                options["scope_context"],
                options["reuse_keys"],
            )
            type.__setattr__(cls, "__table__", table)
            return table

    # -- a model is always valid

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in type(self).__pydantic_fields__:
            super().__setattr__(name, value)
            return
        active = _assigning.get()
        before, fields_set = dict(self.__dict__), set(self.__pydantic_fields_set__)
        if id(self) in active:
            # inside one of the model's own validators, which would call itself for ever
            fields: Any = _fields_validator(type(self)).validate_assignment(before, name, value)
            vars(self)[name] = fields[0][name]
            self.__pydantic_fields_set__.add(name)
            return
        token = _assigning.set(active | {id(self)})
        try:
            super().__setattr__(name, value)
        except BaseException:
            vars(self).clear()
            vars(self).update(before)
            self.__pydantic_fields_set__.clear()
            self.__pydantic_fields_set__.update(fields_set)
            raise
        finally:
            _assigning.reset(token)

    @classmethod
    def construct_trusted(cls, **values: Any) -> Self:
        """Makes a model of values that are valid already, without looking at them.

        For bulk loads from a source that you trust; a wrong value is only found when it is
        stored, or never.
        """
        return cls.model_construct(**values)

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core_schema: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core_schema)
        if not cls.__table_options__["abstract"] and not _is_generic(cls):
            _clean_json_schema(table_of(cls), handler.resolve_ref_schema(schema), handler.mode)
        return schema

    # -- writing one row

    @overload
    def save(self, conn: SyncConnection, /, *, user_ctx: UserCtx = None) -> Self: ...
    @overload
    def save(
        self, conn: AsyncConnection, /, *, user_ctx: UserCtx = None
    ) -> Coroutine[Any, Any, Self]: ...
    def save(self, conn: AnyConnection, /, *, user_ctx: UserCtx = None) -> Any:
        """Inserts the row if its key is undefined, and sets the key; else inserts or updates it
        by its primary key, in one statement. Returns the model.

        Example:
            >>> jane = Author(name="Jane Austen").save(conn)

        Raises:
            ConstraintViolation: the database refused the row.
            InvalidValue: a value that its column cannot hold.
            AccessViolation: the row is another tenant's, or there is no context.
        """
        table = self.__table__ or table_of(type(self))
        return run_on(conn, "write", ops.save, table, self, user_ctx)

    @overload
    def save_with_ctx(self, ctx: UserCtx, conn: SyncConnection, /) -> Self: ...
    @overload
    def save_with_ctx(
        self, ctx: UserCtx, conn: AsyncConnection, /
    ) -> Coroutine[Any, Any, Self]: ...
    def save_with_ctx(self, ctx: UserCtx, conn: Any, /) -> Any:
        """`save` with the context first."""
        return self.save(conn, user_ctx=ctx)

    @overload
    def insert(
        self, conn: SyncConnection, /, auto_increment: bool = False, *, user_ctx: UserCtx = None
    ) -> Self: ...
    @overload
    def insert(
        self, conn: AsyncConnection, /, auto_increment: bool = False, *, user_ctx: UserCtx = None
    ) -> Coroutine[Any, Any, Self]: ...
    def insert(
        self, conn: AnyConnection, /, auto_increment: bool = False, *, user_ctx: UserCtx = None
    ) -> Any:
        """Inserts the row; a key that is there already is a `ConstraintViolation`.

        With `auto_increment` the database gives out the key, whatever the model's is, and it is
        set; so it is when the key is undefined.
        """
        table = table_of(type(self))
        verb = ops.insert_generated if auto_increment else ops.insert
        return run_on(conn, "write", verb, table, self, user_ctx)

    @overload
    @classmethod
    def create(
        cls,
        conn: SyncConnection,
        body: Mapping[str, Any] | BaseModel,
        /,
        *,
        user_ctx: UserCtx = None,
        **more: Any,
    ) -> Self: ...
    @overload
    @classmethod
    def create(
        cls,
        conn: AsyncConnection,
        body: Mapping[str, Any] | BaseModel,
        /,
        *,
        user_ctx: UserCtx = None,
        **more: Any,
    ) -> Coroutine[Any, Any, Self]: ...
    @classmethod
    def create(
        cls,
        conn: AnyConnection,
        body: Mapping[str, Any] | BaseModel,
        /,
        *,
        user_ctx: UserCtx = None,
        **more: Any,
    ) -> Any:
        """Builds a model from a dict or another model and inserts it; `more` adds and overrides.

        A generated key and the scope are never taken from `body`, which may come from a request.

        Example:
            >>> task = Task.create(conn, request_body, user_ctx=ctx)

        Raises:
            InvalidValue: `body` has a name that the model lacks.
            pydantic.ValidationError: a value does not validate.
        """
        table = table_of(cls)
        return run_on(conn, "write", ops.create, table, (body, more), user_ctx)

    @overload
    def update(
        self, conn: SyncConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> int: ...
    @overload
    def update(
        self, conn: AsyncConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> Coroutine[Any, Any, int]: ...
    def update(
        self, conn: AnyConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> Any:
        """Writes this model's columns to its row, or with filters to all that match; returns how
        many rows that were. Keys and the scope are never written."""
        table = table_of(type(self))
        if where or filters:
            asked = (self, Query(where, filters))
            return run_on(conn, "write", ops.update_matching, table, asked, user_ctx)
        return run_on(conn, "write", ops.update_own, table, self, user_ctx)

    @overload
    def patch(
        self,
        conn: SyncConnection,
        changes: Mapping[str, Any] | BaseModel,
        /,
        *,
        user_ctx: UserCtx = None,
    ) -> Self: ...
    @overload
    def patch(
        self,
        conn: AsyncConnection,
        changes: Mapping[str, Any] | BaseModel,
        /,
        *,
        user_ctx: UserCtx = None,
    ) -> Coroutine[Any, Any, Self]: ...
    def patch(
        self,
        conn: AnyConnection,
        changes: Mapping[str, Any] | BaseModel,
        /,
        *,
        user_ctx: UserCtx = None,
    ) -> Any:
        """Validates the changes together, writes those columns only, and then changes the model.

        Of another model what was set is taken. Keys and the scope are left as they are.

        Raises:
            NotFound: the row is not there (any more).
            pydantic.ValidationError: the changed model would not be valid; nothing is written.
        """
        table = table_of(type(self))
        return run_on(conn, "write", ops.patch, table, (self, changes), user_ctx)

    @overload
    def upsert(
        self,
        conn: SyncConnection,
        /,
        on: Sequence[Any] | None = None,
        update: Sequence[Any] | None = None,
        *,
        user_ctx: UserCtx = None,
    ) -> Self: ...
    @overload
    def upsert(
        self,
        conn: AsyncConnection,
        /,
        on: Sequence[Any] | None = None,
        update: Sequence[Any] | None = None,
        *,
        user_ctx: UserCtx = None,
    ) -> Coroutine[Any, Any, Self]: ...
    def upsert(
        self,
        conn: AnyConnection,
        /,
        on: Sequence[Any] | None = None,
        update: Sequence[Any] | None = None,
        *,
        user_ctx: UserCtx = None,
    ) -> Any:
        """Inserts the row, or updates the one with the same unique key, and sets the primary key.

        `on` names the fields of that key (by default the primary key if it is set, else the
        alternative key), `update` those to write (by default all others).

        Example:
            >>> Page(url="https://example.com", hits=1).upsert(conn, on=["url"], update=["hits"])

        Raises:
            FilterError: `on` is not a unique key.
            AccessViolation: the row is another tenant's; nothing is changed.
        """
        table = table_of(type(self))
        return run_on(conn, "write", ops.upsert, table, (self, on, update), user_ctx)

    @overload
    @classmethod
    def get_or_create(
        cls,
        conn: SyncConnection,
        /,
        defaults: Mapping[str, Any] | None = None,
        *,
        user_ctx: UserCtx = None,
        **key: Any,
    ) -> tuple[Self, bool]: ...
    @overload
    @classmethod
    def get_or_create(
        cls,
        conn: AsyncConnection,
        /,
        defaults: Mapping[str, Any] | None = None,
        *,
        user_ctx: UserCtx = None,
        **key: Any,
    ) -> Coroutine[Any, Any, tuple[Self, bool]]: ...
    @classmethod
    def get_or_create(
        cls,
        conn: AnyConnection,
        /,
        defaults: Mapping[str, Any] | None = None,
        *,
        user_ctx: UserCtx = None,
        **key: Any,
    ) -> Any:
        """The row with this unique key, made of it and `defaults` if it is not there yet, and
        whether it was made. Callers at the same time get the same row.

        Raises:
            FilterError: the fields are not a unique key.
        """
        table = table_of(cls)
        return run(conn, "late", ops.get_or_create, table, defaults, key, user_ctx)

    @overload
    def refresh(self, conn: SyncConnection, /, *, user_ctx: UserCtx = None) -> Self: ...
    @overload
    def refresh(
        self, conn: AsyncConnection, /, *, user_ctx: UserCtx = None
    ) -> Coroutine[Any, Any, Self]: ...
    def refresh(self, conn: AnyConnection, /, *, user_ctx: UserCtx = None) -> Any:
        """Reads the row again, by primary key, into this model.

        Raises:
            NotFound: the row is not there (any more).
        """
        table = table_of(type(self))
        return run_on(conn, "read", ops.refresh, table, self, user_ctx)

    @overload
    def delete_row(self, conn: SyncConnection, /, *, user_ctx: UserCtx = None) -> int: ...
    @overload
    def delete_row(
        self, conn: AsyncConnection, /, *, user_ctx: UserCtx = None
    ) -> Coroutine[Any, Any, int]: ...
    def delete_row(self, conn: AnyConnection, /, *, user_ctx: UserCtx = None) -> Any:
        """Deletes the row by primary key; returns 1, or 0 if it was not there."""
        table = table_of(type(self))
        return run_on(conn, "write", ops.delete_row, table, self, user_ctx)

    # -- reading

    @overload
    @classmethod
    def select(
        cls,
        conn: SyncConnection,
        /,
        *where: Condition,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        on_invalid: OnInvalid = "raise",
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> list[Self]: ...
    @overload
    @classmethod
    def select(
        cls,
        conn: AsyncConnection,
        /,
        *where: Condition,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        on_invalid: OnInvalid = "raise",
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Coroutine[Any, Any, list[Self]]: ...
    @classmethod
    def select(
        cls,
        conn: AnyConnection,
        /,
        *where: Condition,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        on_invalid: OnInvalid = "raise",
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Any:
        """All rows that satisfy the conditions, as models.

        Example:
            >>> Book.select(conn, col(Book.year) > 1900, title="Persuasion", order_by="-year")

        Raises:
            FilterError: an unknown field or operator, or a wrong operand.
            RowError: a stored row is not valid (see `on_invalid`).
        """
        table = table_of(cls)
        asked = Query(where, filters, order_by, limit, offset, on_invalid)
        return run_on(conn, "read", ops.select, table, asked, user_ctx)

    @overload
    @classmethod
    def first(
        cls,
        conn: SyncConnection,
        /,
        *where: Condition,
        order_by: OrderBy = None,
        offset: int | None = None,
        on_invalid: OnInvalid = "raise",
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Self | None: ...
    @overload
    @classmethod
    def first(
        cls,
        conn: AsyncConnection,
        /,
        *where: Condition,
        order_by: OrderBy = None,
        offset: int | None = None,
        on_invalid: OnInvalid = "raise",
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Coroutine[Any, Any, Self | None]: ...
    @classmethod
    def first(
        cls,
        conn: AnyConnection,
        /,
        *where: Condition,
        order_by: OrderBy = None,
        offset: int | None = None,
        on_invalid: OnInvalid = "raise",
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Any:
        """The first row that `select` would give, or None."""
        table = table_of(cls)
        asked = Query(where, filters, order_by, None, offset, on_invalid)
        return run_on(conn, "read", ops.first, table, asked, user_ctx)

    @overload
    @classmethod
    def get(
        cls, conn: SyncConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> Self: ...
    @overload
    @classmethod
    def get(
        cls, conn: AsyncConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> Coroutine[Any, Any, Self]: ...
    @classmethod
    def get(
        cls, conn: AnyConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> Any:
        """The only row that satisfies the conditions.

        Raises:
            NotFound: there is none.
            MultipleFound: there are several.
        """
        table = table_of(cls)
        asked = Query(where, filters)
        return run_on(conn, "read", ops.get, table, asked, user_ctx)

    @overload
    @classmethod
    def load_by_id(
        cls, conn: SyncConnection, key: Any, /, *, user_ctx: UserCtx = None
    ) -> Self | None: ...
    @overload
    @classmethod
    def load_by_id(
        cls, conn: AsyncConnection, key: Any, /, *, user_ctx: UserCtx = None
    ) -> Coroutine[Any, Any, Self | None]: ...
    @classmethod
    def load_by_id(cls, conn: AnyConnection, key: Any, /, *, user_ctx: UserCtx = None) -> Any:
        """The row with this primary key, or None; a composite key is a tuple or a dict by field.

        A row of another tenant is None as well.
        """
        table = table_of(cls)
        return run_on(conn, "read", ops.load_by_id, table, key, user_ctx)

    @overload
    @classmethod
    def load_by_id_with_ctx(
        cls, conn: SyncConnection, ctx: UserCtx, key: Any, /
    ) -> Self | None: ...
    @overload
    @classmethod
    def load_by_id_with_ctx(
        cls, conn: AsyncConnection, ctx: UserCtx, key: Any, /
    ) -> Coroutine[Any, Any, Self | None]: ...
    @classmethod
    def load_by_id_with_ctx(cls, conn: Any, ctx: UserCtx, key: Any, /) -> Any:
        """`load_by_id` with the context second."""
        return cls.load_by_id(conn, key, user_ctx=ctx)

    @overload
    @classmethod
    def select_count(
        cls, conn: SyncConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> int: ...
    @overload
    @classmethod
    def select_count(
        cls, conn: AsyncConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> Coroutine[Any, Any, int]: ...
    @classmethod
    def select_count(
        cls, conn: AnyConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> Any:
        """How many rows satisfy the conditions."""
        table = table_of(cls)
        asked = Query(where, filters)
        return run_on(conn, "read", ops.select_count, table, asked, user_ctx)

    @overload
    @classmethod
    def exists(
        cls, conn: SyncConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> bool: ...
    @overload
    @classmethod
    def exists(
        cls, conn: AsyncConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> Coroutine[Any, Any, bool]: ...
    @classmethod
    def exists(
        cls, conn: AnyConnection, /, *where: Condition, user_ctx: UserCtx = None, **filters: Any
    ) -> Any:
        """Whether any row satisfies the conditions."""
        table = table_of(cls)
        asked = Query(where, filters)
        return run_on(conn, "read", ops.exists, table, asked, user_ctx)

    @overload
    @classmethod
    def page(
        cls,
        conn: SyncConnection,
        /,
        order_by: OrderBy = None,
        size: int = 50,
        after: str | None = None,
        *,
        where: Condition | Sequence[Condition] = (),
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Page[Self]: ...
    @overload
    @classmethod
    def page(
        cls,
        conn: AsyncConnection,
        /,
        order_by: OrderBy = None,
        size: int = 50,
        after: str | None = None,
        *,
        where: Condition | Sequence[Condition] = (),
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Coroutine[Any, Any, Page[Self]]: ...
    @classmethod
    def page(
        cls,
        conn: AnyConnection,
        /,
        order_by: OrderBy = None,
        size: int = 50,
        after: str | None = None,
        *,
        where: Condition | Sequence[Condition] = (),
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Any:
        """A page of at most `size` rows; `after` is the `next` of the page before.

        It costs the same for the thousandth page as for the first, and rows that come or go
        meanwhile neither repeat nor hide others. Ties are broken by the primary key.

        Example:
            >>> page = Book.page(conn, order_by="-year", size=20)
            >>> page.items, page.next
            >>> Book.page(conn, order_by="-year", size=20, after=page.next)

        Raises:
            FilterError: `after` is not a cursor of this order.
        """
        table = table_of(cls)
        given = (where,) if isinstance(where, Condition) else tuple(where)
        asked = (Query(given, filters, order_by), size, after)
        return run_on(conn, "read", paging.page, table, asked, user_ctx)

    @overload
    @classmethod
    def iterate(
        cls,
        conn: SyncConnection,
        /,
        batch: int | Condition = 1000,
        *where: Condition,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        on_invalid: OnInvalid = "raise",
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Iterator[Self]: ...
    @overload
    @classmethod
    def iterate(
        cls,
        conn: AsyncConnection,
        /,
        batch: int | Condition = 1000,
        *where: Condition,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        on_invalid: OnInvalid = "raise",
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> AsyncIterator[Self]: ...
    @classmethod
    def iterate(
        cls,
        conn: AnyConnection,
        /,
        batch: int | Condition = 1000,
        *where: Condition,
        order_by: OrderBy = None,
        limit: int | None = None,
        offset: int | None = None,
        on_invalid: OnInvalid = "raise",
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Any:
        """Streams the rows that `select` would give, `batch` rows at a time.

        An iterator, or an async iterator; memory stays the same however many rows there are.
        On SQLite rows inserted meanwhile may be seen, so that a loop that inserts one for each it
        reads may not end; on PostgreSQL they are not.
        Conditions may stand in the place of `batch`, as they do in `select`.

        Example:
            >>> for book in Book.iterate(conn, order_by="year"):
            ...     print(book.title)
        """
        if isinstance(batch, Condition):
            where, batch = (batch, *where), 1000
        asked = Query(where, filters, order_by, limit, offset, on_invalid)
        return run_stream(conn, paging.streamed(table_of(cls), asked, user_ctx), batch)

    # -- many rows

    @overload
    @classmethod
    def insert_many(
        cls,
        conn: SyncConnection,
        rows: Iterable[Self],
        /,
        on_conflict: OnConflict = "raise",
        *,
        user_ctx: UserCtx = None,
    ) -> int: ...
    @overload
    @classmethod
    def insert_many(
        cls,
        conn: AsyncConnection,
        rows: Iterable[Self] | AsyncIterator[Self],
        /,
        on_conflict: OnConflict = "raise",
        *,
        user_ctx: UserCtx = None,
    ) -> Coroutine[Any, Any, int]: ...
    @classmethod
    def insert_many(
        cls,
        conn: AnyConnection,
        rows: Any,
        /,
        on_conflict: OnConflict = "raise",
        *,
        user_ctx: UserCtx = None,
    ) -> Any:
        """Inserts all rows or none and sets their generated keys; returns how many there were.

        With `on_conflict="ignore"` rows whose unique key is there already are left out.
        """
        table = table_of(cls)
        return paging.run_bulk(conn, rows, ops.insert_many, table, on_conflict, user_ctx)

    @overload
    @classmethod
    def save_many(
        cls, conn: SyncConnection, rows: Iterable[Self], /, *, user_ctx: UserCtx = None
    ) -> int: ...
    @overload
    @classmethod
    def save_many(
        cls,
        conn: AsyncConnection,
        rows: Iterable[Self] | AsyncIterator[Self],
        /,
        *,
        user_ctx: UserCtx = None,
    ) -> Coroutine[Any, Any, int]: ...
    @classmethod
    def save_many(cls, conn: AnyConnection, rows: Any, /, *, user_ctx: UserCtx = None) -> Any:
        """`save` for all rows or none; returns how many were written."""
        return paging.run_bulk(conn, rows, ops.save_many, table_of(cls), user_ctx)

    @overload
    @classmethod
    def upsert_many(
        cls,
        conn: SyncConnection,
        rows: Iterable[Self],
        /,
        on: Sequence[Any] | None = None,
        update: Sequence[Any] | None = None,
        *,
        user_ctx: UserCtx = None,
    ) -> int: ...
    @overload
    @classmethod
    def upsert_many(
        cls,
        conn: AsyncConnection,
        rows: Iterable[Self] | AsyncIterator[Self],
        /,
        on: Sequence[Any] | None = None,
        update: Sequence[Any] | None = None,
        *,
        user_ctx: UserCtx = None,
    ) -> Coroutine[Any, Any, int]: ...
    @classmethod
    def upsert_many(
        cls,
        conn: AnyConnection,
        rows: Any,
        /,
        on: Sequence[Any] | None = None,
        update: Sequence[Any] | None = None,
        *,
        user_ctx: UserCtx = None,
    ) -> Any:
        """`upsert` for all rows or none; returns how many were written."""
        return paging.run_bulk(conn, rows, ops.upsert_many, table_of(cls), on, update, user_ctx)

    @overload
    @classmethod
    def update_where(
        cls,
        conn: SyncConnection,
        values: Mapping[str, Any],
        /,
        *where: Condition,
        all_rows: bool = False,
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> int: ...
    @overload
    @classmethod
    def update_where(
        cls,
        conn: AsyncConnection,
        values: Mapping[str, Any],
        /,
        *where: Condition,
        all_rows: bool = False,
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Coroutine[Any, Any, int]: ...
    @classmethod
    def update_where(
        cls,
        conn: AnyConnection,
        values: Mapping[str, Any],
        /,
        *where: Condition,
        all_rows: bool = False,
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Any:
        """Sets columns in all rows that satisfy the conditions; returns how many rows that were.

        A value may be an expression, which the database computes for each row.

        Example:
            >>> Page.update_where(conn, {"hits": col(Page.hits) + 1}, url="/")

        Raises:
            FilterError: without a filter and without `all_rows=True`, or a key is to be set.
        """
        repeat = REPEATS.get(cls)
        if repeat is not None and not where and user_ctx is None:
            written: int | None = repeat(conn, values, filters)
            if written is not None:
                return written
        asked = (values, where, filters, all_rows)
        return repeated.update(conn, cls, table_of(cls), asked, user_ctx)

    @overload
    @classmethod
    def delete(
        cls,
        conn: SyncConnection,
        /,
        *where: Condition,
        all_rows: bool = False,
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> int: ...
    @overload
    @classmethod
    def delete(
        cls,
        conn: AsyncConnection,
        /,
        *where: Condition,
        all_rows: bool = False,
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Coroutine[Any, Any, int]: ...
    @classmethod
    def delete(
        cls,
        conn: AnyConnection,
        /,
        *where: Condition,
        all_rows: bool = False,
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Any:
        """Deletes all rows that satisfy the conditions; returns how many.

        Raises:
            FilterError: without a filter and without `all_rows=True`.
        """
        table = table_of(cls)
        asked = Query(where, filters)
        return run_on(conn, "write", ops.delete, table, (asked, all_rows), user_ctx)

    # -- along foreign keys and alternative keys

    @overload
    def parent(
        self,
        conn: SyncConnection,
        model: type[P],
        /,
        *,
        via: Any = None,
        user_ctx: UserCtx = None,
    ) -> P | None: ...
    @overload
    def parent(
        self,
        conn: AsyncConnection,
        model: type[P],
        /,
        *,
        via: Any = None,
        user_ctx: UserCtx = None,
    ) -> Coroutine[Any, Any, P | None]: ...
    def parent(
        self, conn: AnyConnection, model: Any, /, *, via: Any = None, user_ctx: UserCtx = None
    ) -> Any:
        """The row of `model` that this one's foreign key leads to, or None.

        `via` names the foreign key where several lead there.
        """
        return query.parent(conn, self, model, via, user_ctx)

    @overload
    def children(
        self,
        conn: SyncConnection,
        model: type[P],
        /,
        *where: Condition,
        via: Any = None,
        order_by: OrderBy = None,
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> list[P]: ...
    @overload
    def children(
        self,
        conn: AsyncConnection,
        model: type[P],
        /,
        *where: Condition,
        via: Any = None,
        order_by: OrderBy = None,
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Coroutine[Any, Any, list[P]]: ...
    def children(
        self,
        conn: AnyConnection,
        model: Any,
        /,
        *where: Condition,
        via: Any = None,
        order_by: OrderBy = None,
        user_ctx: UserCtx = None,
        **filters: Any,
    ) -> Any:
        """The rows of `model` whose foreign key leads to this one."""
        asked = Query(where, filters, order_by)
        return query.own_children(conn, self, model, via, asked, user_ctx)

    @overload
    @classmethod
    def descendants(
        cls,
        conn: SyncConnection,
        root: Self | Any,
        /,
        *,
        via: Any = None,
        user_ctx: UserCtx = None,
    ) -> list[Self]: ...
    @overload
    @classmethod
    def descendants(
        cls,
        conn: AsyncConnection,
        root: Self | Any,
        /,
        *,
        via: Any = None,
        user_ctx: UserCtx = None,
    ) -> Coroutine[Any, Any, list[Self]]: ...
    @classmethod
    def descendants(
        cls, conn: AnyConnection, root: Any, /, *, via: Any = None, user_ctx: UserCtx = None
    ) -> Any:
        """All rows below `root` (a model or a key) along a foreign key to the model itself,
        nearest first; a cycle is walked once."""
        return query.recurse(conn, table_of(cls), root, via, True, user_ctx)

    @overload
    @classmethod
    def ancestors(
        cls,
        conn: SyncConnection,
        root: Self | Any,
        /,
        *,
        via: Any = None,
        user_ctx: UserCtx = None,
    ) -> list[Self]: ...
    @overload
    @classmethod
    def ancestors(
        cls,
        conn: AsyncConnection,
        root: Self | Any,
        /,
        *,
        via: Any = None,
        user_ctx: UserCtx = None,
    ) -> Coroutine[Any, Any, list[Self]]: ...
    @classmethod
    def ancestors(
        cls, conn: AnyConnection, root: Any, /, *, via: Any = None, user_ctx: UserCtx = None
    ) -> Any:
        """All rows above `root` (a model or a key) along a foreign key to the model itself,
        nearest first; a cycle is walked once."""
        return query.recurse(conn, table_of(cls), root, via, False, user_ctx)

    @overload
    @classmethod
    def resolve_ak(
        cls, conn: SyncConnection, /, *, user_ctx: UserCtx = None, **key: Any
    ) -> Any: ...
    @overload
    @classmethod
    def resolve_ak(
        cls, conn: AsyncConnection, /, *, user_ctx: UserCtx = None, **key: Any
    ) -> Coroutine[Any, Any, Any]: ...
    @classmethod
    def resolve_ak(cls, conn: AnyConnection, /, *, user_ctx: UserCtx = None, **key: Any) -> Any:
        """The primary key of the row with this alternative key, or None.

        A part that is a foreign key is given by the alternative key of the row it leads to.

        Example:
            >>> Team.resolve_ak(conn, code="us-west", name="Eagles")

        Raises:
            FilterError: the parts are not those of the alternative key.
        """
        return alt_key.resolve(conn, table_of(cls), key, user_ctx)

    @overload
    @classmethod
    def load_by_ak(
        cls, conn: SyncConnection, /, *, user_ctx: UserCtx = None, **key: Any
    ) -> Self | None: ...
    @overload
    @classmethod
    def load_by_ak(
        cls, conn: AsyncConnection, /, *, user_ctx: UserCtx = None, **key: Any
    ) -> Coroutine[Any, Any, Self | None]: ...
    @classmethod
    def load_by_ak(cls, conn: AnyConnection, /, *, user_ctx: UserCtx = None, **key: Any) -> Any:
        """The row with this alternative key (see `resolve_ak`), or None."""
        return alt_key.load(conn, table_of(cls), key, user_ctx)

    @overload
    def to_ak_dict(
        self, conn: SyncConnection, /, *, user_ctx: UserCtx = None
    ) -> dict[str, Any]: ...
    @overload
    def to_ak_dict(
        self, conn: AsyncConnection, /, *, user_ctx: UserCtx = None
    ) -> Coroutine[Any, Any, dict[str, Any]]: ...
    def to_ak_dict(self, conn: AnyConnection, /, *, user_ctx: UserCtx = None) -> Any:
        """The alternative key by field, with foreign keys as the alternative keys behind them.

        Example:
            >>> team.to_ak_dict(conn)
            {'region_id': 'us-west', 'name': 'Eagles'}
        """
        return alt_key.own_dict(conn, table_of(type(self)), self, user_ctx)

    @overload
    @classmethod
    def to_ak_dicts(
        cls, conn: SyncConnection, rows: Iterable[Self], /, *, user_ctx: UserCtx = None
    ) -> list[dict[str, Any]]: ...
    @overload
    @classmethod
    def to_ak_dicts(
        cls, conn: AsyncConnection, rows: Iterable[Self], /, *, user_ctx: UserCtx = None
    ) -> Coroutine[Any, Any, list[dict[str, Any]]]: ...
    @classmethod
    def to_ak_dicts(
        cls, conn: AnyConnection, rows: Iterable[Any], /, *, user_ctx: UserCtx = None
    ) -> Any:
        """`to_ak_dict` for many rows, in one statement a batch."""
        return alt_key.dicts(conn, table_of(cls), rows, user_ctx)

    # -- for hand-written SQL

    @classmethod
    def columns(cls, alias: str | None = None) -> str:
        """The SELECT list of all columns, quoted, for hand-written SQL.

        Example:
            >>> sql = f"SELECT {Book.columns('b')} FROM {Book.alias('b')} WHERE b.year > 1900"
        """
        from .dialects import SQLITE

        return columns_of(table_of(cls), SQLITE, alias)

    @classmethod
    def alias(cls, name: str) -> Aliased[Self]:
        """The table under another name: for `join` with itself, and as text for hand-written SQL.

        Example:
            >>> boss = Employee.alias("boss")
            >>> join(conn, Employee, left(boss), via=Employee.boss_id)
        """
        return Aliased(cls, name)


# --- below ----------------------------------------------------------------------------------


_field_validators: dict[type[BaseModel], SchemaValidator] = {}


def _fields_validator(model: type[BaseModel]) -> SchemaValidator:
    """A validator of the model's fields without its model validators."""
    found = model.__dict__.get("__fields_validator__")
    if found is None:
        schema: Any = model.__pydantic_core_schema__
        definitions = schema.get("definitions") if schema["type"] == "definitions" else None
        while schema["type"] != "model-fields":
            schema = schema["schema"]
        if definitions is not None:
            schema = {"type": "definitions", "schema": schema, "definitions": definitions}
        found = SchemaValidator(schema)
        type.__setattr__(model, "__fields_validator__", found)
    return cast(SchemaValidator, found)


def _clean_json_schema(
    table: Table, schema: dict[str, Any], mode: Literal["validation", "serialization"]
) -> None:
    """Takes markers out of descriptions; generated keys are readOnly, scopes not to be written."""
    properties: dict[str, Any] = schema.get("properties", {})
    required: list[str] = schema.setdefault("required", [])
    for name, info in table.model.model_fields.items():
        spec: ColumnSpec | None = table.by_field.get(name)
        names = (name, info.alias, info.serialization_alias, info.validation_alias)
        key = next((key for key in names if isinstance(key, str) and key in properties), None)
        if key is None:
            continue
        shown = properties[key]
        if info.description:
            rest = split_description(info.description)[1]
            shown.pop("description", None)
            if rest:
                shown["description"] = rest
        given_out = spec is not None and spec is table.generated and not info.is_required()
        if given_out or (spec is not None and spec is table.scope):
            _read_only(shown, mode, key, properties, required, hidden=spec is table.scope)
    if not required:
        schema.pop("required")


def _read_only(
    shown: dict[str, Any],
    mode: str,
    key: str,
    properties: dict[str, Any],
    required: list[str],
    *,
    hidden: bool,
) -> None:
    shown.pop("default", None)
    members = [item for item in shown.get("anyOf", []) if item.get("type") != "null"]
    if len(members) == 1:
        del shown["anyOf"]
        shown.update(members[0])
    shown["readOnly"] = True
    if mode == "serialization":
        if key not in required:
            required.insert(0, key)
        return
    if key in required:
        required.remove(key)
    if hidden:
        del properties[key]
