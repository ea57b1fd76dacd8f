"""Which statements a verb runs, in which order, and what it does with what comes back.

Each verb knows the dialect and the table, but no connection. It is an `Op`, or a `Single` where
one statement is all there is to it. What begins and ends a transaction around it is decided in
`run.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import count, islice
from operator import attrgetter
from typing import Annotated, Any, Literal, NamedTuple, TypeAlias
from weakref import ReferenceType, ref

from pydantic import BaseModel, TypeAdapter, ValidationError

from . import statements
from .codecs import INT_MAX
from .dialects import Dialect
from .errors import (
    AccessViolation,
    ConstraintViolation,
    FilterError,
    InvalidValue,
    MultipleFound,
    NotFound,
    SchemaError,
    nearest,
)
from .filters import Compiler, Expression, Follows, Source, keyword_conditions, operand
from .op import Fetch, Op, Row, Settled, Single, Statement, Step, as_op
from .rows import (
    Binder,
    ValueBinder,
    ValuesBinder,
    binder,
    encode_value,
    keyed_binder,
    values_binder,
)
from .scope import AllTenants, UserCtx, announce, claim, restriction, scope_values
from .statements import Query
from .table import ColumnSpec, Table

CHUNK = 1000
COPIED = 100
"""So many rows and more are worth the question whether PostgreSQL takes them as a COPY."""

# --- scope ----------------------------------------------------------------------------------

FOREIGN_KEYS = Statement("PRAGMA foreign_keys", "one", control=True)


def enter(
    dialect: Dialect, tables: Sequence[Table], user_ctx: UserCtx, *, writes: bool
) -> Generator[Step, Any, None]:
    """What a scoped verb does first: tell PostgreSQL's policies whose rows it may see, and make
    sure that SQLite enforces the foreign keys which keep tenants apart."""
    scoped = [table for table in tables if table.scope is not None]
    if not scoped:
        return
    values = {setting_of(table): restriction(table, user_ctx) for table in scoped}
    announce(scoped, user_ctx)
    if dialect.name == "postgres":
        params: list[str] = []
        for table in scoped:
            assert table.scope is not None
            value = values[setting_of(table)]
            params += [setting_of(table), "" if value is None else scope_text(table, value)]
        params += [ALL_TENANTS, "on" if isinstance(user_ctx, AllTenants) else ""]
        calls = ", ".join(["set_config(%s, %s, true)"] * (len(params) // 2))
        yield Statement(f"SELECT {calls}", "none", control=True, leads=True), params
    elif writes:
        (enforced,) = yield FOREIGN_KEYS, ()
        if not enforced:
            raise AccessViolation(
                f"{scoped[0].model.__name__} is scoped, and this SQLite connection does not "
                "enforce foreign keys; run PRAGMA foreign_keys=ON first, or use open_sqlite_db"
            )


def reached(table: Table, query: Query, user_ctx: UserCtx) -> Sequence[Table]:
    """The tables that a query looks at: its own, and those to which its filters lead."""
    if user_ctx is None or not any("__" in key for key in query.filters):
        return (table,)
    found = [table]
    for node in keyword_conditions([Source(table)], query.filters):
        while isinstance(node, Follows):
            found.append(node.reference.target)
            node = node.condition
    return found


ALL_TENANTS = "lythonic_state.all_tenants"


def setting_of(table: Table) -> str:
    """The PostgreSQL setting that holds the scope of a verb on this table."""
    assert table.scope is not None
    name = table.scope.name
    plain = name.isascii() and name.isidentifier()
    return f"lythonic_state.scope_{name if plain else name.encode().hex()}"


def scope_text(table: Table, value: Any) -> str:
    assert table.scope is not None
    return str(table.scope.codec.encode_postgres(value))


def row_scope(table: Table, model: BaseModel, user_ctx: UserCtx) -> Any:
    """The scope by which one row is found; its own must be the context's."""
    if table.scope is None:
        return None
    if isinstance(user_ctx, AllTenants):
        return restriction(table, user_ctx)
    return claim(table, vars(model), model.__pydantic_fields_set__, user_ctx)


# --- values of models -----------------------------------------------------------------------


class Assigned:
    """Values put into models before they are written, taken back if the write fails.

    Generated keys of bulk verbs wait until everything is written. Models that come out of an
    iterator are not kept alive for that: what nobody else holds needs no key.
    """

    def __init__(self, rows: Iterable[Any] = ()) -> None:
        self._before: list[tuple[BaseModel, str, Any, bool]] = []
        self._keys: list[tuple[Sequence[BaseModel], Sequence[int]]] = []
        self._loose: list[list[tuple[ReferenceType[BaseModel], int]]] = []
        self._held = isinstance(rows, (list, tuple))

    def put(self, model: BaseModel, field: str, value: Any) -> None:
        fields_set = model.__pydantic_fields_set__
        self._before.append((model, field, vars(model).get(field), field in fields_set))
        vars(model)[field] = value
        fields_set.add(field)

    def undo(self) -> None:
        for model, field, value, was_set in reversed(self._before):
            vars(model)[field] = value
            if not was_set:
                model.__pydantic_fields_set__.discard(field)

    def later(self, models: Sequence[BaseModel], keys: Sequence[int]) -> None:
        """Remembers the new keys of models."""
        if self._held:
            self._keys.append((models, keys))
            return
        if self._loose:  # by now it is known who of the models before these is still there
            self._loose[-1] = [pair for pair in self._loose[-1] if pair[0]() is not None]
        self._loose.append([(ref(model), key) for model, key in zip(models, keys, strict=True)])

    def set_keys(self, table: Table) -> None:
        if table.generated is None:
            return
        field = table.generated.field
        for models, keys in self._keys:
            each = zip(map(_dict_of, models), map(_fields_set_of, models), keys, strict=True)
            for values, fields_set, key in each:
                values[field] = key
                fields_set.add(field)
        for pairs in self._loose:
            for loose, key in pairs:
                model_or_none = loose()
                if model_or_none is not None:
                    _keyed(model_or_none, _dict_of(model_or_none), field, key)


class AtOnce(Assigned):
    """The same where new keys of bulk verbs are put into the models at once, too."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self._generated = table.generated
        self._bulk: list[tuple[Sequence[BaseModel], list[Any], list[bool]]] = []
        """Models with what was their key, and whether it was set."""
        self.keys: Sequence[int] = ()
        """Those that the models of the last insert have."""

    def later(self, models: Sequence[BaseModel], keys: Sequence[int]) -> None:
        assert self._generated is not None
        self.keys = keys
        field = self._generated.field
        # lists of what is there already: an object for each model would cost as much as its row
        values = list(map(_dict_of, models))
        sets = list(map(_fields_set_of, models))
        was_set = [field in fields_set for fields_set in sets]
        self._bulk.append((models, [each[field] for each in values], was_set))
        for each, fields_set, key in zip(values, sets, keys, strict=True):
            each[field] = key
            fields_set.add(field)

    def undo(self) -> None:
        super().undo()
        self._before.clear()
        for models, before, was_set in reversed(self._bulk):
            assert self._generated is not None
            field = self._generated.field
            for model, value, stays in zip(models, before, was_set, strict=True):
                vars(model)[field] = value
                if not stays:
                    model.__pydantic_fields_set__.discard(field)
        self._bulk.clear()
        self.keys = ()


class _Identity:
    """Membership by identity, since models compare by value."""

    def __init__(self, models: Iterable[BaseModel]) -> None:
        self._ids = {id(model) for model in models}

    def __contains__(self, model: object) -> bool:
        return id(model) in self._ids


_dict_of: Callable[[BaseModel], dict[str, Any]] = attrgetter("__dict__")
_fields_set_of: Callable[[BaseModel], set[str]] = attrgetter("__pydantic_fields_set__")
"""`vars`, and what says which fields were set, in a third of the time."""


UNDEFINED = (None, -1)


def is_undefined(value: Any) -> bool:
    """Whether a generated key has no value yet."""
    return value in UNDEFINED


def key_params(table: Table, dialect: Dialect, key: Any) -> list[Any]:
    """The bound values of a primary key given as a value, a tuple or a dict by field."""
    columns = table.need_key()
    if len(columns) == 1 and key.__class__ in (int, str):
        return [operand(dialect, columns[0].field, columns[0].codec, key)]
    name = table.model.__name__
    if len(columns) == 1:
        values = [key[columns[0].field]] if isinstance(key, Mapping) else [key]
    elif isinstance(key, Mapping):
        if set(key) != {column.field for column in columns}:
            raise FilterError(
                f"the key of {name} is {', '.join(c.field for c in columns)}, not {list(key)}"
            )
        values = [key[column.field] for column in columns]
    else:
        if isinstance(key, (str, bytes)) or not isinstance(key, Sequence):
            raise FilterError(
                f"the key of {name} is a tuple of {', '.join(c.field for c in columns)}, "
                f"not {key!r}"
            )
        if len(key) != len(columns):
            raise FilterError(f"the key of {name} has {len(columns)} parts, not {len(key)}")
        values = list(key)
    return [
        operand(dialect, f"{name}.{column.field}", column.codec, value)
        for column, value in zip(columns, values, strict=True)
    ]


def own_key(table: Table, dialect: Dialect, model: BaseModel) -> list[Any]:
    """The bound primary key of a model that has one.

    Raises:
        InvalidValue: the key is not defined yet.
    """
    values = vars(model)
    if table.generated is not None:
        value = values[table.generated.field]
        if value.__class__ is int and 0 <= value <= INT_MAX:
            return [value]
        if is_undefined(value):
            raise InvalidValue(
                f"this {table.model.__name__} has no {table.generated.field} yet; save it first"
            )
    return [
        encode_value(table, dialect, column, values[column.field]) for column in table.need_key()
    ]


def _scope_param(table: Table, dialect: Dialect, scope: Any) -> list[Any]:
    if scope is None or table.scope is None:
        return []
    return [dialect.encoder(table.scope.codec)(scope)]


def _instances(table: Table, verb: str, rows: list[Any]) -> list[BaseModel]:
    for kind in set(map(type, rows)):
        if not issubclass(kind, table.model):
            raise InvalidValue(
                f"{table.model.__name__}.{verb} takes {table.model.__name__} objects, "
                f"not {kind.__name__}"
            )
    return rows


# --- reading --------------------------------------------------------------------------------


def load_by_id(dialect: Dialect, table: Table, key: Any, user_ctx: UserCtx) -> Op[Any] | Single:
    if table.scope is not None:
        return _load_scoped(dialect, table, key, user_ctx)
    statement, read = statements.load(table, dialect, scoped=False)
    return statement, key_params(table, dialect, key), read


def _load_scoped(dialect: Dialect, table: Table, key: Any, user_ctx: UserCtx) -> Op[Any]:
    yield from enter(dialect, (table,), user_ctx, writes=False)
    scope = restriction(table, user_ctx)
    statement, read = statements.load(table, dialect, scope is not None)
    row = yield statement, key_params(table, dialect, key) + _scope_param(table, dialect, scope)
    return read(row)


NO_CONTEXT = scope_values(None)


def select(
    dialect: Dialect, table: Table, query: Query, user_ctx: UserCtx
) -> Op[list[Any]] | Single:
    if table.scope is not None or user_ctx is not None:
        return selected(dialect, table, query, user_ctx)
    return (*statements.select(table, dialect, query, NO_CONTEXT), None)


def selected(dialect: Dialect, table: Table, query: Query, user_ctx: UserCtx) -> Op[list[Any]]:
    """`select` as a part of another verb."""
    if table.scope is not None or user_ctx is not None:
        yield from enter(dialect, reached(table, query, user_ctx), user_ctx, writes=False)
    found: list[Any] = yield statements.select(table, dialect, query, scope_values(user_ctx))
    return found


def _then(made: Op[Any] | Single, finish: Callable[[Any], Any]) -> Op[Any] | Single:
    """The verb whose result is made by `finish` of what another gives as it came."""
    if isinstance(made, tuple):
        return made[0], made[1], finish
    return _finished(made, finish)


def _finished(op: Op[Any], finish: Callable[[Any], Any]) -> Op[Any]:
    return finish((yield from op))


def first(dialect: Dialect, table: Table, query: Query, user_ctx: UserCtx) -> Op[Any] | Single:
    if query.on_invalid == "raise":
        query = Query(query.expressions, query.filters, query.order_by, 1, query.offset)
    return _then(select(dialect, table, query, user_ctx), _first)


def _first(found: list[Any]) -> Any:
    return found[0] if found else None


def get(dialect: Dialect, table: Table, query: Query, user_ctx: UserCtx) -> Op[Any] | Single:
    both = Query(query.expressions, query.filters, None, 2)
    return _then(select(dialect, table, both, user_ctx), partial(_only, table, query))


def _only(table: Table, query: Query, found: list[Any]) -> Any:
    if len(found) == 1:
        return found[0]
    name = table.model.__name__
    asked = ", ".join(f"{key}={value!r}" for key, value in query.filters.items()) or (
        "these conditions" if query.expressions else "no filter"
    )
    if not found:
        raise NotFound(f"there is no {name} with {asked}")
    raise MultipleFound(f"there are several {name} with {asked}, and get() wants exactly one")


def select_count(
    dialect: Dialect, table: Table, query: Query, user_ctx: UserCtx
) -> Op[int] | Single:
    return _then(_where(dialect, table, _COUNT, query, user_ctx, writes=False), _number)


def _number(row: Row) -> int:
    return int(row[0])


def exists(dialect: Dialect, table: Table, query: Query, user_ctx: UserCtx) -> Op[bool] | Single:
    return _then(_where(dialect, table, _EXISTS, query, user_ctx, writes=False), _is_there)


def _is_there(row: Row | None) -> bool:
    return row is not None


_Shape: TypeAlias = tuple[str, str, Fetch]
"""A statement about the rows of a table: what stands before FROM and after WHERE, what it gives."""
_COUNT: _Shape = ("SELECT count(*)", "", "one")
_EXISTS: _Shape = ("SELECT 1", " LIMIT 1", "one")
_DELETE: _Shape = ("DELETE", "", "count")


def _where(
    dialect: Dialect, table: Table, shape: _Shape, query: Query, user_ctx: UserCtx, *, writes: bool
) -> Op[Any] | Single:
    """What a statement of this shape gives for the rows that satisfy the conditions."""
    if table.scope is not None or user_ctx is not None:
        return _where_scoped(dialect, table, shape, query, user_ctx, writes)
    if query.expressions:
        return (*_where_text(dialect, table, shape, query, None), None)
    key = (dialect.name, shape, *query.filters)
    known: statements.Known | None = table.cache.get(key)
    if known is not None:
        statement, bind = known
        values = bind(query.filters)
        if values is not None:
            return statement, values, None
    statement, params = _where_text(dialect, table, shape, query, None)
    if statements.is_plain(query):
        binders = statements.filter_binders(table, dialect, query)
        table.cache[key] = statement, values_binder(binders)
    return statement, params, None


def _where_scoped(
    dialect: Dialect, table: Table, shape: _Shape, query: Query, user_ctx: UserCtx, writes: bool
) -> Op[Any]:
    yield from enter(dialect, reached(table, query, user_ctx), user_ctx, writes=writes)
    return (yield _where_text(dialect, table, shape, query, user_ctx))


def _where_text(
    dialect: Dialect, table: Table, shape: _Shape, query: Query, user_ctx: UserCtx
) -> tuple[Statement, list[Any]]:
    head, tail, fetch = shape
    compiler = Compiler(dialect, [Source(table)], scope_values(user_ctx))
    where = statements.where_of(compiler, query.expressions, query.filters)
    text = f"{head} FROM {dialect.quote(table.name)}{where}{tail}"
    return Statement(text, fetch), compiler.params


# --- writing one row ------------------------------------------------------------------------


def save(dialect: Dialect, table: Table, model: BaseModel, user_ctx: UserCtx) -> Op[Any] | Single:
    key = table.generated
    if key is not None and _dict_of(model)[key.field] in UNDEFINED:
        return _insert_keyless(dialect, table, model, key, user_ctx)
    if not table.primary_key:
        return _insert(dialect, table, model, True, user_ctx)
    if table.scope is not None:
        return _save_known(dialect, table, model, user_ctx)
    statement, bind = statements.save(table, dialect)
    if dialect.name == "postgres":
        statement = _passing(table, dialect, statement, model)
    return statement, bind(_dict_of(model)), partial(_given, model)


def _given(model: BaseModel, written: Any) -> BaseModel:
    return model


def _save_known(dialect: Dialect, table: Table, model: BaseModel, user_ctx: UserCtx) -> Op[Any]:
    yield from enter(dialect, (table,), user_ctx, writes=True)
    assigned = Assigned()
    try:
        _claim_into(assigned, table, model, user_ctx)
        statement, bind = statements.save(table, dialect)
        written = yield _passing(table, dialect, statement, model), bind(vars(model))
        if not written:
            raise _foreign_row(table)
    except BaseException:
        assigned.undo()
        raise
    return model


def _foreign_row(table: Table) -> AccessViolation:
    return AccessViolation(
        f"a {table.model.__name__} with this key exists under another tenant; nothing was changed"
    )


def _claim_into(assigned: Assigned, table: Table, model: BaseModel, user_ctx: UserCtx) -> None:
    if table.scope is None:
        return
    value = claim(table, vars(model), model.__pydantic_fields_set__, user_ctx)
    if value is not None:
        assigned.put(model, table.scope.field, value)


def _passing(table: Table, dialect: Dialect, statement: Statement, *models: BaseModel) -> Statement:
    """A statement that writes explicit keys, with what lets PostgreSQL generate others after it."""
    if table.generated is None or dialect.name != "postgres":
        return statement
    key = max(vars(model)[table.generated.field] for model in models)
    if key <= 0:
        return statement
    return replace(statement, after=((statements.pass_keys(table, dialect), (key,)),))


def insert(dialect: Dialect, table: Table, model: BaseModel, user_ctx: UserCtx) -> Op[Any] | Single:
    key = table.generated
    with_key = key is None or not is_undefined(_dict_of(model)[key.field])
    return _insert(dialect, table, model, with_key, user_ctx)


def insert_generated(
    dialect: Dialect, table: Table, model: BaseModel, user_ctx: UserCtx
) -> Op[Any] | Single:
    """`insert`, where the database gives out the key, whatever the model's is."""
    if table.generated is None:
        raise SchemaError(
            f"{table.model.__name__} has no key that the database generates; "
            "insert it without auto_increment"
        )
    return _insert(dialect, table, model, False, user_ctx)


def _insert_keyless(
    dialect: Dialect, table: Table, model: BaseModel, key: ColumnSpec, user_ctx: UserCtx
) -> Op[Any] | Single:
    """INSERT of a row whose key the database gives out."""
    if table.scope is not None:
        return _insert_scoped(dialect, table, model, False, user_ctx)
    statement, bind = statements.insert(table, dialect, False)
    values = _dict_of(model)
    return statement, bind(values), partial(_keyed, model, values, key.field)


def _insert(
    dialect: Dialect, table: Table, model: BaseModel, with_key: bool, user_ctx: UserCtx
) -> Op[Any] | Single:
    if not with_key and table.generated is not None:
        return _insert_keyless(dialect, table, model, table.generated, user_ctx)
    if table.scope is not None:
        return _insert_scoped(dialect, table, model, with_key, user_ctx)
    statement, bind = statements.insert(table, dialect, with_key)
    values = _dict_of(model)
    if dialect.name == "postgres":
        statement = _passing(table, dialect, statement, model)
    return statement, bind(values), partial(_given, model)


def _keyed(model: BaseModel, values: dict[str, Any], field: str, key: Any) -> BaseModel:
    values[field] = key
    model.__pydantic_fields_set__.add(field)
    return model


def _insert_scoped(
    dialect: Dialect, table: Table, model: BaseModel, with_key: bool, user_ctx: UserCtx
) -> Op[Any]:
    yield from enter(dialect, (table,), user_ctx, writes=True)
    assigned = Assigned()
    try:
        _claim_into(assigned, table, model, user_ctx)
        statement, bind = statements.insert(table, dialect, with_key)
        if with_key:
            statement = _passing(table, dialect, statement, model)
        returned = yield statement, bind(vars(model))
        if not with_key:
            assert table.generated is not None
            assigned.put(model, table.generated.field, returned)
    except BaseException:
        assigned.undo()
        raise
    return model


def update_own(
    dialect: Dialect, table: Table, model: BaseModel, user_ctx: UserCtx
) -> Op[int] | Single:
    return _update_columns(dialect, table, model, vars(model), table.writable, user_ctx)


def _update_columns(
    dialect: Dialect,
    table: Table,
    model: BaseModel,
    values: dict[str, Any],
    columns: tuple[ColumnSpec, ...],
    user_ctx: UserCtx,
) -> Op[int] | Single:
    """Writes these columns into the model's row; gives how many rows that were."""
    if table.scope is not None:
        return _update_scoped(dialect, table, model, values, columns, user_ctx)
    step = _update_step(dialect, table, model, values, columns, None)
    return (*step, None if columns else _row_count)


def _update_scoped(
    dialect: Dialect,
    table: Table,
    model: BaseModel,
    values: dict[str, Any],
    columns: tuple[ColumnSpec, ...],
    user_ctx: UserCtx,
) -> Op[int]:
    scope = row_scope(table, model, user_ctx)
    yield from enter(dialect, (table,), user_ctx, writes=True)
    written = yield _update_step(dialect, table, model, values, columns, scope)
    return written if columns else _row_count(written)


def _update_step(
    dialect: Dialect,
    table: Table,
    model: BaseModel,
    values: dict[str, Any],
    columns: tuple[ColumnSpec, ...],
    scope: Any,
) -> Step:
    key = own_key(table, dialect, model)
    if scope is not None:
        key += _scope_param(table, dialect, scope)
    if not columns:  # nothing to write, but is the row there?
        where = statements.key_where(table, dialect, scope is not None)
        return Statement(f"SELECT 1 FROM {dialect.quote(table.name)}{where}", "one"), key
    statement, bind = statements.update_row(table, dialect, columns, scope is not None)
    return statement, (*bind(values), *key)


def _row_count(row: Row | None) -> int:
    return 0 if row is None else 1


def patch(
    dialect: Dialect, table: Table, asked: tuple[BaseModel, Any], user_ctx: UserCtx
) -> Op[Any] | Single:
    model, changes = asked
    given = body_values(table, changes)
    for column in table.fixed:
        given.pop(column.field, None)
    changed = vars(validated(table, {**vars(model), **given}))
    if not given:
        return _unchanged(model)
    columns = tuple([table.by_field[name] for name in given if name in table.by_field])
    done = partial(_patched, table, model, given, changed)
    if table.scope is None and columns:
        return (*_update_step(dialect, table, model, changed, columns, None), done)
    return _then(_update_columns(dialect, table, model, changed, columns, user_ctx), done)


def _unchanged(model: BaseModel) -> Op[BaseModel]:
    yield from ()
    return model


def _patched(
    table: Table, model: BaseModel, given: Iterable[str], changed: dict[str, Any], written: Any
) -> BaseModel:
    if not written:
        raise NotFound(f"this {table.model.__name__} is not in the database (any more)")
    for name in given:
        vars(model)[name] = changed[name]
        model.__pydantic_fields_set__.add(name)
    return model


def body_values(table: Table, body: Any) -> dict[str, Any]:
    """The values of a request body: what was set on a model, or a dict by field name.

    Raises:
        InvalidValue: the dict has a name that the model lacks.
    """
    fields = table.model.__pydantic_fields__
    if isinstance(body, BaseModel):
        return {name: getattr(body, name) for name in body.model_fields_set if name in fields}
    if body.__class__ is dict and body.keys() <= fields.keys():
        return dict(body)
    if not isinstance(body, Mapping):
        raise InvalidValue(
            f"expected a dict or a model for {table.model.__name__}, not {type(body).__name__}"
        )
    by_alias = {alias: column.field for column in table.columns for alias in column.aliases}
    values: dict[str, Any] = {}
    for name, value in body.items():
        known = name if name in fields else by_alias.get(name)
        if known is None:
            raise InvalidValue(
                f"{table.model.__name__} has no field {name!r}{nearest(str(name), fields)}"
            )
        values[known] = value
    return values


def validated(table: Table, values: dict[str, Any]) -> BaseModel:
    """A new model of these values, by field name."""
    made: BaseModel = table.validator.validate_python(values, by_alias=False, by_name=True)
    return made


def create(
    dialect: Dialect, table: Table, asked: tuple[Any, Mapping[str, Any]], user_ctx: UserCtx
) -> Op[Any] | Single:
    body, more = asked
    values = body_values(table, body)
    if table.generated is not None:
        values.pop(table.generated.field, None)
    if table.scope is not None:
        values.pop(table.scope.field, None)
    values |= body_values(table, more)
    scope = table.scope
    if scope is not None and scope.field not in values:
        if table.model.model_fields[scope.field].is_required():
            values[scope.field] = restriction(table, user_ctx)
    return insert(dialect, table, validated(table, values), user_ctx)


def upsert(
    dialect: Dialect,
    table: Table,
    asked: tuple[BaseModel, Sequence[Any] | None, Sequence[Any] | None],
    user_ctx: UserCtx,
) -> Op[Any] | Single:
    """Of a model, by the key of these fields, writing those: None where that is not said."""
    model, on, update = asked
    target = conflict_target(table, on, model)
    changed = _update_target(table, update, target)
    if table.scope is not None:
        return _upsert_scoped(dialect, table, model, target, changed, user_ctx)
    statement, bind = _upsert_of(table, dialect, model, target, changed)
    finish = partial(_put_key, Assigned(), table, model)
    return statement, bind(vars(model)), finish


def _upsert_of(
    table: Table,
    dialect: Dialect,
    model: BaseModel,
    target: tuple[ColumnSpec, ...],
    update: tuple[ColumnSpec, ...],
) -> tuple[Statement, Binder]:
    """The upsert of one row, which gives its primary key if it has one."""
    key = table.generated
    with_key = key is None or not is_undefined(vars(model)[key.field])
    returning = bool(table.primary_key)
    statement, bind = statements.upsert(
        table, dialect, target, update, with_key=with_key, returning=returning
    )
    return (_passing(table, dialect, statement, model) if with_key else statement), bind


def _put_key(assigned: Assigned, table: Table, model: BaseModel, row: Any) -> BaseModel:
    if table.primary_key and row:
        for column, value in zip(table.primary_key, row, strict=True):
            assigned.put(model, column.field, column.codec.decode(value))
    return model


def _upsert_scoped(
    dialect: Dialect,
    table: Table,
    model: BaseModel,
    target: tuple[ColumnSpec, ...],
    update: tuple[ColumnSpec, ...],
    user_ctx: UserCtx,
) -> Op[Any]:
    yield from enter(dialect, (table,), user_ctx, writes=True)
    assigned = Assigned()
    try:
        _claim_into(assigned, table, model, user_ctx)
        statement, bind = _upsert_of(table, dialect, model, target, update)
        row = yield statement, bind(vars(model))
        if not row:
            raise _foreign_row(table)
        return _put_key(assigned, table, model, row)
    except BaseException:
        assigned.undo()
        raise


def _names(table: Table, items: Sequence[Any], what: str) -> list[ColumnSpec]:
    """Columns given by field name or as typed columns."""
    if isinstance(items, (str, Expression)):
        items = [items]
    found: list[ColumnSpec] = []
    for item in items:
        name = item if isinstance(item, str) else getattr(getattr(item, "spec", None), "field", "")
        if name not in table.by_field:
            raise FilterError(
                f"{what}: {table.model.__name__} has no field {name or item!r}"
                f"{nearest(str(name), table.by_field)}"
            )
        found.append(table.by_field[name])
    return found


def conflict_target(
    table: Table, on: Sequence[Any] | None, model: BaseModel | None
) -> tuple[ColumnSpec, ...]:
    """The unique key by which an upsert finds the row, the scope included.

    By default the primary key if the model has one, else the alternative key.

    Raises:
        FilterError: `on` is no unique key of the model.
    """
    if on is None:
        key = table.generated
        undefined = key is not None and (model is None or is_undefined(vars(model)[key.field]))
        if table.primary_key and not undefined:
            return table.primary_key
        if not table.alt_key:
            raise FilterError(
                f"{table.model.__name__} has no alternative key, and its primary key is not set; "
                "say by which unique fields to upsert: on=[…]"
            )
        return _with_scope(table, table.alt_key)
    columns = _names(table, on, "on")
    fields = {column.field for column in columns}
    if fields == {column.field for column in table.primary_key}:
        return table.primary_key
    if table.scope is not None:
        fields.discard(table.scope.field)
    for unique in table.uniques:
        if set(unique) - ({table.scope.field} if table.scope else set()) == fields:
            return _with_scope(table, [table.by_field[name] for name in unique])
    keys = [tuple(c.field for c in table.primary_key), *table.uniques]
    shown = "; ".join(", ".join(key) for key in keys if key)
    raise FilterError(
        f"on={[column.field for column in columns]} is not unique in {table.model.__name__}; "
        f"unique are: {shown or 'none'}"
    )


def _with_scope(table: Table, columns: Sequence[ColumnSpec]) -> tuple[ColumnSpec, ...]:
    if table.scope is None:
        return tuple(columns)
    return (table.scope, *(column for column in columns if column is not table.scope))


def _update_target(
    table: Table, update: Sequence[Any] | None, target: Sequence[ColumnSpec]
) -> tuple[ColumnSpec, ...]:
    if update is None:
        return tuple(c for c in table.writable if c not in target)
    columns = _names(table, update, "update")
    for column in columns:
        if column.primary_key or column is table.scope:
            raise FilterError(
                f"update: {table.model.__name__}.{column.field} is a key or the scope, "
                "which an upsert never changes"
            )
    return tuple(columns)


def get_or_create(
    dialect: Dialect,
    table: Table,
    defaults: Mapping[str, Any] | None,
    key: Mapping[str, Any],
    user_ctx: UserCtx,
) -> Op[tuple[Any, bool]]:
    for name in key:
        if name not in table.by_field:
            raise FilterError(
                f"{table.model.__name__} has no field {name!r}{nearest(name, table.by_field)}"
            )
    conflict_target(table, list(key), None)
    query = Query((), dict(key), limit=2)
    found = yield from selected(dialect, table, query, user_ctx)
    if len(found) > 1:
        raise MultipleFound(
            f"several tenants have a {table.model.__name__} with this key; give a context of one"
        )
    if found:
        return found[0], False
    values = {**body_values(table, defaults or {}), **key}
    scope = table.scope
    if scope is not None and table.model.model_fields[scope.field].is_required():
        values.setdefault(scope.field, restriction(table, user_ctx))
    model = validated(table, values)
    yield from enter(dialect, (table,), user_ctx, writes=True)
    assigned = Assigned()
    _claim_into(assigned, table, model, user_ctx)
    generated = table.generated
    with_key = generated is None or not is_undefined(vars(model)[generated.field])
    statement, bind = statements.insert_or_ignore(table, dialect, with_key=with_key)
    if with_key:
        statement = _passing(table, dialect, statement, model)
    row = yield statement, bind(vars(model))
    if row is not None:
        if generated is not None and not with_key:
            assigned.put(model, generated.field, row[0])
        return model, True
    found = yield from selected(dialect, table, query, user_ctx)
    if found:
        return found[0], False
    if table.scope is not None and set(key) == {c.field for c in table.primary_key}:
        raise _foreign_row(table)
    violation = ConstraintViolation(
        f"a {table.model.__name__} with another {', '.join(key)} has the same value in a unique "
        "column; nothing was created"
    )
    violation.table = table.name
    raise violation


def refresh(dialect: Dialect, table: Table, model: BaseModel, user_ctx: UserCtx) -> Op[Any]:
    scope = row_scope(table, model, user_ctx)
    yield from enter(dialect, (table,), user_ctx, writes=False)
    statement, read = statements.load(table, dialect, scope is not None)
    key = own_key(table, dialect, model)
    row = yield statement, key + _scope_param(table, dialect, scope)
    fresh = read(row)
    if fresh is None:
        raise NotFound(f"this {table.model.__name__} is not in the database (any more)")
    for column in table.columns:
        vars(model)[column.field] = vars(fresh)[column.field]
    model.__pydantic_fields_set__.update(column.field for column in table.columns)
    return model


def delete_row(
    dialect: Dialect, table: Table, model: BaseModel, user_ctx: UserCtx
) -> Op[int] | Single:
    if table.scope is not None:
        return _delete_scoped(dialect, table, model, user_ctx)
    statement = statements.delete_row(table, dialect, scoped=False)
    return statement, own_key(table, dialect, model), None


def _delete_scoped(dialect: Dialect, table: Table, model: BaseModel, user_ctx: UserCtx) -> Op[int]:
    scope = row_scope(table, model, user_ctx)
    yield from enter(dialect, (table,), user_ctx, writes=True)
    statement = statements.delete_row(table, dialect, scope is not None)
    key = own_key(table, dialect, model)
    deleted: int = yield statement, key + _scope_param(table, dialect, scope)
    return deleted


# --- writing many rows by condition -----------------------------------------------------------


def _need_filter(table: Table, verb: str, query: Query, all_rows: bool) -> None:
    if not (query.expressions or query.filters or all_rows):
        raise FilterError(
            f"{table.model.__name__}.{verb} without a filter would touch every row; "
            "say all_rows=True to mean it"
        )


Change: TypeAlias = tuple[Mapping[str, Any], tuple[Any, ...], Mapping[str, Any], bool]
"""What to set; conditions and filters of the rows; and whether all rows may be meant."""


class KnownUpdate(NamedTuple):
    """An UPDATE whose text is known for values of certain names and classes, and their binders."""

    statement: Statement
    bind: ValuesBinder
    groups: tuple[Mapping[str, ValueBinder], Mapping[str, ValueBinder]]


def update_where(
    dialect: Dialect, table: Table, asked: Change, user_ctx: UserCtx
) -> Op[int] | Single:
    values, expressions, filters, all_rows = asked
    key: Any = None
    if filters and not expressions and table.scope is None and user_ctx is None:
        last: KnownUpdate | None = table.updates.get(dialect)
        if last is not None:
            bound = last.bind(values, filters)
            if bound is not None:
                return last.statement, bound, None
        key = (dialect.name, "update where", *values, None, *filters)
        known: KnownUpdate | None = table.cache.get(key)
        if known is not None:
            bound = known.bind(values, filters)
            if bound is not None:
                table.updates[dialect] = known
                return known.statement, bound, None
    query = Query(expressions, filters)
    _need_filter(table, "update_where", query, all_rows)
    if table.scope is not None or user_ctx is not None:
        return _update_where_scoped(dialect, table, values, query, user_ctx)
    statement, params = _update_text(dialect, table, values, query, None)
    if key is not None and statements.is_plain(query, *values.values()):
        setters = {
            name: _setter(table, dialect, table.by_field[name], value)
            for name, value in values.items()
        }
        found = statements.filter_binders(table, dialect, query)
        made = KnownUpdate(statement, values_binder(setters, found), (setters, found))
        table.updates[dialect] = table.cache[key] = made
    return statement, params, None


def _update_where_scoped(
    dialect: Dialect, table: Table, values: Mapping[str, Any], query: Query, user_ctx: UserCtx
) -> Op[int]:
    yield from enter(dialect, reached(table, query, user_ctx), user_ctx, writes=True)
    written: int = yield _update_text(dialect, table, values, query, user_ctx)
    return written


def _update_text(
    dialect: Dialect, table: Table, values: Mapping[str, Any], query: Query, user_ctx: UserCtx
) -> tuple[Statement, list[Any]]:
    columns = _set_columns(table, values)
    compiler = Compiler(dialect, [Source(table)], scope_values(user_ctx))
    sets = ", ".join(
        f"{dialect.column(column)} = {_set_value(compiler, table, column, value)}"
        for column, value in zip(columns, values.values(), strict=True)
    )
    where = statements.where_of(compiler, query.expressions, query.filters)
    text = f"UPDATE {dialect.quote(table.name)} SET {sets}{where}"
    return Statement(text, "count"), compiler.params


def _set_columns(table: Table, values: Mapping[str, Any]) -> list[ColumnSpec]:
    if not values:
        raise FilterError(f"{table.model.__name__}.update_where: there is nothing to set")
    columns: list[ColumnSpec] = []
    for name in values:
        if name not in table.by_field:
            raise FilterError(
                f"update_where: {table.model.__name__} has no field {name!r}"
                f"{nearest(name, table.by_field)}"
            )
        column = table.by_field[name]
        if column.primary_key or column is table.scope:
            raise FilterError(
                f"update_where: {table.model.__name__}.{name} is "
                f"{'the scope' if column is table.scope else 'a key'} and is never rewritten"
            )
        columns.append(column)
    return columns


def _setter(table: Table, dialect: Dialect, column: ColumnSpec, value: Any) -> ValueBinder:
    """What checks and binds a value of a column; one of its own type is taken as it is."""
    field = table.model.model_fields[column.field]
    if not field.metadata:
        plain = statements.plain_binder(dialect, column.codec, value)
        if plain is not None:
            return plain
        if field.annotation is value.__class__:
            return ValueBinder(type(value), dialect.encoder(column.codec))
    return ValueBinder(value.__class__, partial(_bound_value, table, dialect, column))


def _bound_value(table: Table, dialect: Dialect, column: ColumnSpec, value: Any) -> Any:
    """A value after the field's own validation, as it is bound."""
    return encode_value(table, dialect, column, checked_value(table, column, value))


def _set_value(compiler: Compiler, table: Table, column: ColumnSpec, value: Any) -> str:
    where = f"{table.model.__name__}.{column.field}"
    if isinstance(value, Expression):
        if value.codec.sqlite_type != column.codec.sqlite_type or (
            value.codec.postgres_type != column.codec.postgres_type
            or value.codec.scale != column.codec.scale
        ):
            raise FilterError(f"{where} is {column.codec.name}, and {value.label} is not")
        return compiler.expression(value)
    if value is None and not column.nullable:
        raise InvalidValue(f"{where} cannot be None")
    bound = None if value is None else _bound_value(table, compiler.dialect, column, value)
    compiler.params.append(bound)
    return compiler.dialect.bind(column.codec)


def checked_value(table: Table, column: ColumnSpec, value: Any) -> Any:
    """A value after the field's own validation.

    Raises:
        InvalidValue: the field does not accept it.
    """
    key = ("adapter", column.field)
    adapter = table.cache.get(key)
    if adapter is None:
        info = table.model.model_fields[column.field]
        annotation: Any = info.annotation
        if info.metadata:
            annotation = Annotated[(annotation, *info.metadata)]
        adapter = table.cache[key] = TypeAdapter(annotation)
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        message = error.errors(include_url=False)[0]["msg"]
        raise InvalidValue(
            f"{table.model.__name__}.{column.field} cannot be {value!r}: {message}"
        ) from error


def update_matching(
    dialect: Dialect, table: Table, asked: tuple[BaseModel, Query], user_ctx: UserCtx
) -> Op[int]:
    """`model.update(conn, **filters)`: its columns into all matching rows."""
    model, query = asked
    columns = table.writable
    if not columns:
        return (yield from as_op(select_count(dialect, table, query, user_ctx)))
    values = binder(table, dialect, columns)(vars(model))
    compiler = Compiler(dialect, [Source(table)], scope_values(user_ctx), list(values))
    sets = ", ".join(f"{dialect.column(c)} = {dialect.bind(c.codec)}" for c in columns)
    where = statements.where_of(compiler, query.expressions, query.filters)
    yield from enter(dialect, reached(table, query, user_ctx), user_ctx, writes=True)
    text = f"UPDATE {dialect.quote(table.name)} SET {sets}{where}"
    written: int = yield Statement(text, "count"), compiler.params
    return written


def delete(
    dialect: Dialect, table: Table, asked: tuple[Query, bool], user_ctx: UserCtx
) -> Op[int] | Single:
    query, all_rows = asked
    _need_filter(table, "delete", query, all_rows)
    return _where(dialect, table, _DELETE, query, user_ctx, writes=True)


# --- bulk -----------------------------------------------------------------------------------


def chunks(rows: Iterable[Any]) -> Iterator[list[Any]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


OnConflict = Literal["raise", "ignore"]


def insert_many(
    dialect: Dialect,
    table: Table,
    rows: Iterable[Any],
    on_conflict: OnConflict,
    user_ctx: UserCtx,
) -> Op[Settled]:
    if on_conflict not in ("raise", "ignore"):
        raise FilterError(f"on_conflict is 'raise' or 'ignore', not {on_conflict!r}")
    yield from enter(dialect, (table,), user_ctx, writes=True)
    assigned = Assigned(rows)
    total = 0
    try:
        for chunk in chunks(rows):
            models = _instances(table, "insert_many", chunk)
            total += yield from _insert_chunk(
                dialect, table, models, on_conflict == "ignore", user_ctx, assigned
            )
    except BaseException:
        assigned.undo()
        raise
    return Settled(total, partial(assigned.set_keys, table))


def insert_rows(
    dialect: Dialect,
    table: Table,
    models: Sequence[BaseModel],
    user_ctx: UserCtx,
    assigned: AtOnce,
) -> Op[int]:
    """`insert_many` of what is at hand, as a part of a verb: the models have their keys at once."""
    yield from enter(dialect, (table,), user_ctx, writes=True)
    return (yield from _insert_chunk(dialect, table, models, False, user_ctx, assigned))


def upsert_rows(
    dialect: Dialect,
    table: Table,
    models: Sequence[BaseModel],
    user_ctx: UserCtx,
    assigned: AtOnce,
) -> Op[int]:
    """The same for `upsert_many`, by the primary key where it is set, else the alternative one."""
    yield from enter(dialect, (table,), user_ctx, writes=True)
    total = 0
    for target, group in _by_target(table, models, None):
        changed = _update_target(table, None, target)
        total += yield from _upsert_chunk(
            dialect, table, group, target, changed, user_ctx, assigned
        )
    return total


def _insert_chunk(
    dialect: Dialect,
    table: Table,
    models: Sequence[BaseModel],
    ignore: bool,
    user_ctx: UserCtx,
    assigned: Assigned,
) -> Op[int]:
    """Inserts models, whose new keys `assigned` sets when all chunks are in."""
    for model in models if table.scope is not None else ():
        _claim_into(assigned, table, model, user_ctx)
    statement = statements.insert_many(table, dialect, ignore=ignore)
    if dialect.name == "postgres" and len(models) >= COPIED and not ignore and table.scope is None:
        (takes_copy,) = yield statements.takes_copy(table, dialect), ()
        if takes_copy:
            statement = statements.copy_many(table, dialect)
    values = list(map(_dict_of, models))
    written: int
    if table.generated is None:
        written = yield statement, map(binder(table, dialect, table.columns), values)
        return written
    keys = yield from _keys(dialect, table, values)
    written = yield statement, map(keyed_binder(table, dialect), values, keys)
    if ignore and written < len(models):
        there = yield from _present(dialect, table, keys)
        pairs = [pair for pair in zip(models, keys, strict=True) if pair[1] in there]
        models, keys = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    assigned.later(models, keys)
    return written


def _keys(dialect: Dialect, table: Table, values: Sequence[dict[str, Any]]) -> Op[Sequence[int]]:
    """A key for each row: its own, or a new one where there was none.

    New keys are higher than those that were there, which may stand further down in the rows.
    On SQLite the write lock is held, so that the highest key cannot change below us; PostgreSQL
    gives out as many of its sequence as are needed.
    """
    key = table.generated
    assert key is not None
    field = key.field
    encode = dialect.encoder(key.codec)
    keys = [d[field] for d in values]
    missing = keys.count(-1) + keys.count(None)
    given: list[int] = []
    if missing < len(keys):
        given = [encode(value) for value in keys if not is_undefined(value)]
    if given and dialect.name == "postgres" and max(given) > 0:
        yield statements.pass_keys(table, dialect), (max(given),)
    if not missing:
        return given
    if dialect.name == "postgres":
        rows = yield statements.reserve_keys(table, dialect), (missing,)
        fresh = (row[0] for row in rows)
        return [next(fresh) if is_undefined(value) else value for value in keys]
    highest, remembered = yield statements.highest_key(table, dialect), ()
    if remembered:
        (past,) = yield statements.HIGHEST_GIVEN, (table.name,)
        highest = max(highest or 0, past or 0)
    first = max(highest or 0, *given, 0) + 1
    if not given:
        return range(first, first + missing)
    new = count(first)
    return [next(new) if is_undefined(value) else value for value in keys]


def _present(dialect: Dialect, table: Table, keys: Sequence[int]) -> Op[set[int]]:
    """Which of these keys are in the table."""
    key = table.generated
    assert key is not None
    compiler = Compiler(dialect, [Source(table)])
    where = compiler.where([Source(table).column(key).in_(keys)])
    text = f"SELECT {dialect.column(key)} FROM {dialect.quote(table.name)}{where}"
    rows = yield Statement(text, "all"), compiler.params
    return {row[0] for row in rows}


def save_many(
    dialect: Dialect, table: Table, rows: Iterable[Any], user_ctx: UserCtx
) -> Op[Settled]:
    key = table.generated
    if not table.primary_key:
        return (yield from insert_many(dialect, table, rows, "raise", user_ctx))
    yield from enter(dialect, (table,), user_ctx, writes=True)
    assigned = Assigned(rows)
    total = 0
    update = table.writable
    try:
        for chunk in chunks(rows):
            models = _instances(table, "save_many", chunk)
            new = [
                model
                for model in models
                if key is not None and is_undefined(vars(model)[key.field])
            ]
            without = _Identity(new)
            old = [model for model in models if model not in without] if new else models
            total += yield from _upsert_chunk(
                dialect, table, old, table.primary_key, update, user_ctx, assigned
            )
            if new:
                total += yield from _insert_chunk(dialect, table, new, False, user_ctx, assigned)
    except BaseException:
        assigned.undo()
        raise
    return Settled(total, partial(assigned.set_keys, table))


def upsert_many(
    dialect: Dialect,
    table: Table,
    rows: Iterable[Any],
    on: Sequence[Any] | None,
    update: Sequence[Any] | None,
    user_ctx: UserCtx,
) -> Op[int]:
    yield from enter(dialect, (table,), user_ctx, writes=True)
    assigned = Assigned()
    total = 0
    try:
        for chunk in chunks(rows):
            models = _instances(table, "upsert_many", chunk)
            for target, group in _by_target(table, models, on):
                changed = _update_target(table, update, target)
                total += yield from _upsert_chunk(
                    dialect, table, group, target, changed, user_ctx, assigned
                )
    except BaseException:
        assigned.undo()
        raise
    return total


def _by_target(
    table: Table, models: Sequence[BaseModel], on: Sequence[Any] | None
) -> Iterable[tuple[tuple[ColumnSpec, ...], Sequence[BaseModel]]]:
    if on is not None:
        return [(conflict_target(table, on, None), models)]
    groups: dict[tuple[ColumnSpec, ...], list[BaseModel]] = {}
    for model in models:
        groups.setdefault(conflict_target(table, on, model), []).append(model)
    return groups.items()


def _upsert_chunk(
    dialect: Dialect,
    table: Table,
    models: Sequence[BaseModel],
    target: tuple[ColumnSpec, ...],
    update: tuple[ColumnSpec, ...],
    user_ctx: UserCtx,
    assigned: Assigned,
) -> Op[int]:
    if not models:
        return 0
    for model in models if table.scope is not None else ():
        _claim_into(assigned, table, model, user_ctx)
    if target == table.primary_key:
        statement, bind = statements.upsert(
            table, dialect, target, update, with_key=True, returning=False, many=True
        )
        statement = _passing(table, dialect, statement, *models)
        written: int = yield statement, map(bind, list(map(_dict_of, models)))
        if table.scope is not None and written < len(models):
            raise _foreign_row(table)
        return written
    total = 0
    for model in models:
        statement, bind = _upsert_of(table, dialect, model, target, update)
        row = yield statement, bind(vars(model))
        if table.scope is not None and not row:
            raise _foreign_row(table)
        total += 1 if row else 0
        _put_key(assigned, table, model, row)
    return total
