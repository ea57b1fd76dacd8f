"""What a model says of its table, computed once and frozen.

Here a class becomes a `Table`: columns with their codecs, keys, foreign keys, constraints. No SQL
text and no connection; the other end of a foreign key is a name here and is found by `find_model`
or, for a whole schema, by `schema.py`.
"""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import field
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from .codecs import Codec, column_type, inner_notes
from .errors import SchemaError, nearest
from .fields import frozen

if TYPE_CHECKING:
    from pydantic_core import SchemaValidator

OnDelete = Literal["no action", "restrict", "cascade", "set null"]

# --- markers --------------------------------------------------------------------------------


@frozen(slots=False)
class PrimaryKey:
    """Marks a field as the primary key, or as a part of it.

    Example:
        >>> from typing import Annotated
        >>> class Country(DbModel):
        ...     code: Annotated[str, PrimaryKey()]
    """


@frozen(slots=False)
class ForeignKey:
    """Marks a field as a reference to another model's key.

    `to` is the model, or "Model.field" where the model is defined later. `on_delete` is
    "no action" (default), "restrict", "cascade" or "set null".

    Example:
        >>> class Book(DbModel):
        ...     author_id: Annotated[int, ForeignKey("Author.author_id", on_delete="cascade")]
    """

    to: type[BaseModel] | str
    on_delete: OnDelete = "no action"


@frozen(slots=False)
class AltKey:
    """Marks a field as a part of the alternative key: what people call the row by."""


@frozen(slots=False)
class Unique:
    """Marks a field as unique, or, with names and in `constraints=[…]`, several together."""

    fields: tuple[str, ...] = ()

    def __init__(self, *fields: str) -> None:
        object.__setattr__(self, "fields", fields)


@frozen(slots=False)
class Index:
    """Marks a field as indexed, or, with names and in `constraints=[…]`, several together.

    `where` is SQL and makes the index partial.
    """

    fields: tuple[str, ...] = ()
    where: str | None = None

    def __init__(self, *fields: str, where: str | None = None) -> None:
        object.__setattr__(self, "fields", fields)
        object.__setattr__(self, "where", where)


@frozen(slots=False)
class Check:
    """A condition in SQL that every row must satisfy: `Check("year > 0")`."""

    sql: str


class ColumnCheck(NamedTuple):
    """A CHECK of a table: its condition, and the column whose field bears it, if one does."""

    sql: str
    column: str | None = None


@frozen(slots=False)
class ColumnName:
    """Gives the column another name than the field's."""

    name: str


@frozen(slots=False)
class Transient:
    """Marks a field that is not a column; it needs a default."""


@frozen(slots=False)
class RenamedFrom:
    """Tells a migration which column (or table) this one was called before."""

    name: str


Marker: TypeAlias = (
    PrimaryKey | ForeignKey | AltKey | Unique | Index | Check | ColumnName | Transient | RenamedFrom
)
MARKERS = (
    PrimaryKey,
    ForeignKey,
    AltKey,
    Unique,
    Index,
    Check,
    ColumnName,
    Transient,
    RenamedFrom,
)
TableConstraint: TypeAlias = Unique | Index | Check | RenamedFrom

_HEAD = re.compile(r"\s*\(([^()]*)\)")
_PLAIN: dict[str, Callable[[], Marker]] = {
    "PK": PrimaryKey,
    "AK": AltKey,
    "UQ": Unique,
    "IX": Index,
}
_FK = r"FK:\s*([^.]+)\.([^.]+)\s*"


def split_description(text: str) -> tuple[list[Marker], str]:
    """The markers at the head of a description, and the rest of it.

    Raises:
        SchemaError: something at the head is meant as a marker and is none.
    """
    found: list[Marker] = []
    position = 0
    while match := _HEAD.match(text, position):
        token = match[1].strip()
        if token in _PLAIN:
            found.append(_PLAIN[token]())
        elif reference := re.fullmatch(_FK, token):
            found.append(ForeignKey(f"{reference[1].strip()}.{reference[2].strip()}"))
        elif _means_a_marker(token):
            raise SchemaError(
                f"({token}) is not a marker; there are (PK), (AK), (UQ), (IX) and "
                "(FK:Model.field). If it is meant as text, do not begin the description with it"
            )
        else:
            break
        position = match.end()
    return found, text[position:].strip()


def _means_a_marker(token: str) -> bool:
    if re.match(r"fk\b", token, re.IGNORECASE):
        return True
    if token.upper() in _PLAIN or re.sub(r"\W", "", token).upper() in _PLAIN:
        return True
    return token.isupper() and len(token) in (2, 3) and any(_one_off(token, m) for m in _PLAIN)


def _one_off(token: str, marker: str) -> bool:
    """Whether one typing slip leads from `marker` to `token`."""
    if len(token) == len(marker):
        return sum(a != b for a, b in zip(token, marker, strict=True)) == 1 or (
            token == marker[::-1]
        )
    longer, shorter = (token, marker) if len(token) > len(marker) else (marker, token)
    return any(longer[:i] + longer[i + 1 :] == shorter for i in range(len(longer)))


# --- tables ---------------------------------------------------------------------------------


@frozen(eq=False)
class ColumnSpec:
    """One column: the field it comes from, its name in SQL and its codec."""

    field: str
    name: str
    codec: Codec
    nullable: bool
    primary_key: bool
    alt_key: bool
    python_type: Any
    aliases: tuple[str, ...]
    """The keys under which pydantic takes the field's value besides its name."""
    renamed_from: str | None = None


@frozen
class ForeignKeySpec:
    """A reference as its marker says it: our field, and the model and field it points to."""

    field: str
    to_model: str | type[BaseModel]
    to_field: str | None
    """None where the marker names a model only, and its primary key is meant."""
    on_delete: OnDelete


@frozen(eq=False, slots=False)
class Table:
    """All that is known of a model's table. `cache` keeps SQL text and generated readers."""

    model: type[BaseModel]
    name: str
    columns: tuple[ColumnSpec, ...]
    primary_key: tuple[ColumnSpec, ...]
    generated: ColumnSpec | None
    """The int key that the database gives out, if there is one."""
    alt_key: tuple[ColumnSpec, ...]
    uniques: tuple[tuple[str, ...], ...]
    """Fields that are unique together, without the scope; the alternative key comes first."""
    indexes: tuple[Index, ...]
    checks: tuple[ColumnCheck, ...]
    foreign_keys: tuple[ForeignKeySpec, ...]
    scope: ColumnSpec | None
    scope_context: type[BaseModel] | None
    reuse_keys: bool
    """Whether a generated key may be given out again once its row is deleted, as SQLite does."""
    renamed_from: str | None
    by_field: Mapping[str, ColumnSpec]
    transient: frozenset[str]
    cache: dict[Any, Any] = field(default_factory=dict, repr=False)
    updates: dict[Any, Any] = field(default_factory=dict, repr=False)
    """The last UPDATE by conditions for each dialect: the next one mostly is of the same shape."""

    @property
    def validator(self) -> SchemaValidator:
        found: Any = self.model.__pydantic_validator__  # without `cast`, a call for each row
        validator: SchemaValidator = found
        return validator

    def column(self, name: str) -> ColumnSpec:
        """The column of a field.

        Raises:
            KeyError: there is none.
        """
        return self.by_field[name]

    def need_key(self) -> tuple[ColumnSpec, ...]:
        """The columns of the primary key.

        Raises:
            SchemaError: the model has none.
        """
        if not self.primary_key:
            raise SchemaError(
                f"{self.model.__name__} has no primary key, and this needs one; "
                "mark a field with (PK)"
            )
        return self.primary_key

    @cached_property
    def fixed(self) -> tuple[ColumnSpec, ...]:
        """The columns that are never rewritten: the key and the scope."""
        return tuple(c for c in self.columns if c.primary_key or c is self.scope)

    @cached_property
    def writable(self) -> tuple[ColumnSpec, ...]:
        """The columns that may be written to an existing row: all others."""
        return tuple(c for c in self.columns if c not in self.fixed)


def build_table(
    model: type[BaseModel],
    name: str,
    constraints: Sequence[TableConstraint],
    scope_field: str | None,
    scope_context: type[BaseModel] | None,
    reuse_keys: bool,
) -> Table:
    """The table of a complete model.

    Raises:
        SchemaError: naming the model, the field and the mend.
    """
    return _Builder(model, name, constraints, scope_field, scope_context, reuse_keys).build()


class _Builder:
    def __init__(
        self,
        model: type[BaseModel],
        name: str,
        constraints: Sequence[TableConstraint],
        scope_field: str | None,
        scope_context: type[BaseModel] | None,
        reuse_keys: bool,
    ) -> None:
        self.model = model
        self.name = name
        self.constraints = constraints
        self.scope_field = scope_field
        self.scope_context = scope_context
        self.reuse_keys = reuse_keys
        self.columns: list[ColumnSpec] = []
        self.uniques: list[tuple[str, ...]] = []
        self.indexes: list[Index] = []
        self.checks: list[ColumnCheck] = []
        self.references: list[tuple[str, ForeignKey]] = []
        self.transient: set[str] = set()

    def build(self) -> Table:
        for field_name, info in self.model.model_fields.items():
            try:
                self._field(field_name, info)
            except SchemaError as error:
                if str(error).startswith(self.model.__name__ + "."):
                    raise
                raise SchemaError(f"{self.model.__name__}.{field_name}: {error}") from error
        self._unique_column_names()
        by_field = {column.field: column for column in self.columns}
        renamed_from = self._table_constraints(by_field)
        primary_key = tuple(c for c in self.columns if c.primary_key)
        alt_key = tuple(c for c in self.columns if c.alt_key)
        if alt_key:
            self.uniques.insert(0, tuple(c.field for c in alt_key))
        foreign_keys = self._foreign_keys(by_field)
        return Table(
            model=self.model,
            name=self.name,
            columns=tuple(self.columns),
            primary_key=primary_key,
            generated=self._generated(primary_key, foreign_keys),
            alt_key=alt_key,
            uniques=tuple(dict.fromkeys(self.uniques)),
            indexes=tuple(dict.fromkeys(self.indexes)),
            checks=tuple(self.checks),
            foreign_keys=foreign_keys,
            scope=self._scope(by_field),
            scope_context=self.scope_context,
            reuse_keys=self.reuse_keys,
            renamed_from=renamed_from,
            by_field=by_field,
            transient=frozenset(self.transient),
        )

    def _field(self, name: str, info: FieldInfo) -> None:
        markers = list(_markers(info))
        kinds = [type(marker) for marker in markers]
        if Transient in kinds:
            if info.is_required():
                self._fail(name, "a Transient field needs a default, since no row has its value")
            if len(set(kinds)) > 1:
                self._fail(name, "a Transient field is not a column and takes no other marker")
            self.transient.add(name)
            return
        codec, nullable, python_type = column_type(info.annotation, info.metadata)
        primary_key, alt_key = PrimaryKey in kinds, AltKey in kinds
        column_name, renamed_from = name, None
        for marker in markers:
            match marker:
                case ColumnName(given):
                    column_name = given
                case RenamedFrom(old):
                    renamed_from = old
                case ForeignKey():
                    self.references.append((name, marker))
                case Unique(fields) | Index(fields) if fields:
                    self._fail(name, f"{marker} names fields; that form belongs in constraints=[…]")
                case Unique():
                    self.uniques.append((name,))
                case Index():
                    self.indexes.append(Index(name, where=marker.where))
                case _:
                    pass
        self.checks += [ColumnCheck(m.sql, column_name) for m in markers if isinstance(m, Check)]
        if not column_name or "\0" in column_name:
            self._fail(name, f"{column_name!r} cannot be a column's name")
        if alt_key and nullable:
            self._fail(name, "a part of the alternative key cannot be None; drop `| None`")
        if (primary_key or alt_key) and codec.name == "json":
            self._fail(name, "a JSON column cannot be a key")
        if primary_key and codec.name == "float":
            self._fail(name, "a float cannot be a key; use int, Decimal or str")
        if primary_key and nullable:
            if codec.name != "int" or info.default is not None:
                self._fail(
                    name,
                    "a primary key cannot be None; only `int | None = None` is allowed, "
                    "for a key that the database generates",
                )
            nullable = False
        self.columns.append(
            ColumnSpec(
                name,
                column_name,
                codec,
                nullable,
                primary_key,
                alt_key,
                python_type,
                _aliases(info),
                renamed_from,
            )
        )

    def _unique_column_names(self) -> None:
        seen: dict[str, str] = {}
        for column in self.columns:
            other = seen.setdefault(column.name.lower(), column.field)
            if other != column.field:
                self._fail(
                    column.field,
                    f"its column {column.name!r} is also the column of {other!r} (SQLite does not "
                    "tell upper from lower case); name one of them with ColumnName",
                )

    def _table_constraints(self, by_field: Mapping[str, ColumnSpec]) -> str | None:
        renamed_from = None
        for constraint in self.constraints:
            match constraint:
                case Check(sql):
                    self.checks.append(ColumnCheck(sql))
                    continue
                case RenamedFrom(old):
                    renamed_from = old
                    continue
                case Unique(fields) | Index(fields):
                    pass
                case _:
                    raise SchemaError(
                        f"{self.model.__name__}: {constraint!r} is not a table constraint; "
                        "use Unique('a', 'b'), Index('c'), Check('…') or RenamedFrom('old')"
                    )
            if not fields:
                raise SchemaError(
                    f"{self.model.__name__}: {constraint!r} in constraints=[…] must name its fields"
                )
            for name in fields:
                if name not in by_field:
                    raise SchemaError(
                        f"{self.model.__name__}: {constraint!r} names the unknown field {name!r}"
                        f"{nearest(name, by_field)}"
                    )
            if isinstance(constraint, Unique):
                self.uniques.append(fields)
            else:
                self.indexes.append(constraint)
        return renamed_from

    def _foreign_keys(self, by_field: Mapping[str, ColumnSpec]) -> tuple[ForeignKeySpec, ...]:
        singles: list[ForeignKeySpec] = []
        for name, marker in self.references:
            to_model: str | type[BaseModel]
            to_field: str | None = None
            if isinstance(marker.to, str):
                to_model, dot, to_field = marker.to.rpartition(".")
                if not dot:
                    self._fail(name, f"ForeignKey({marker.to!r}) must name a field: 'Model.field'")
            else:
                to_model = marker.to
            if marker.on_delete not in ("no action", "restrict", "cascade", "set null"):
                self._fail(
                    name,
                    f"on_delete={marker.on_delete!r} is unknown; use 'no action', 'restrict', "
                    "'cascade' or 'set null'",
                )
            if marker.on_delete == "set null" and not by_field[name].nullable:
                self._fail(name, "on_delete='set null' needs a nullable column; add `| None`")
            singles.append(ForeignKeySpec(name, to_model, to_field, marker.on_delete))
        return tuple(singles)

    def _generated(
        self, primary_key: Sequence[ColumnSpec], foreign_keys: Sequence[ForeignKeySpec]
    ) -> ColumnSpec | None:
        if len(primary_key) == 1 and primary_key[0].codec.name == "int":
            column = primary_key[0]
            if not any(column.field == key.field for key in foreign_keys):
                return column
        if not self.reuse_keys:
            raise SchemaError(
                f"{self.model.__name__}: reuse_keys=False is about keys that the database "
                "generates, and this model has none; leave it out, or mark an int field with (PK)"
            )
        return None

    def _scope(self, by_field: Mapping[str, ColumnSpec]) -> ColumnSpec | None:
        if self.scope_field is None:
            return None
        if self.scope_field not in by_field:
            raise SchemaError(
                f"{self.model.__name__}: scope={self.scope_field!r} is not one of its columns"
                f"{nearest(self.scope_field, by_field)}"
            )
        column = by_field[self.scope_field]
        if column.nullable:
            self._fail(column.field, "the scope column cannot be None; drop `| None`")
        return column

    def _fail(self, field_name: str, message: str) -> None:
        raise SchemaError(f"{self.model.__name__}.{field_name}: {message}")


def _markers(info: FieldInfo) -> Iterator[Marker]:
    if info.description:
        yield from split_description(info.description)[0]
    for item in (*info.metadata, *inner_notes(info.annotation)):
        if isinstance(item, MARKERS):
            yield item
        elif isinstance(item, FieldInfo):
            yield from _markers(item)
        elif isinstance(item, type) and issubclass(
            item, (PrimaryKey, AltKey, Transient, Unique, Index)
        ):
            yield item()
        elif isinstance(item, type) and issubclass(item, MARKERS):
            raise SchemaError(f"{item.__name__} needs its arguments: {item.__name__}(…)")


def _aliases(info: FieldInfo) -> tuple[str, ...]:
    alias = info.validation_alias
    choices = alias.choices if isinstance(alias, AliasChoices) else [alias]
    return tuple(choice for choice in choices if isinstance(choice, str))


# --- finding models by name -----------------------------------------------------------------

_MODELS: dict[str, list[weakref.ref[type[BaseModel]]]] = {}
_registered = count(1)
_generation = 0
"""Changes whenever a model is registered, so that what was found by name is looked up again."""


def register_model(model: type[BaseModel], table_name: str) -> None:
    """Make a model findable by its class name and its table's name."""
    global _generation
    for name in {model.__name__, table_name}:
        alive = [ref for ref in _MODELS.get(name, []) if ref() is not None]
        alive.append(weakref.ref(model))
        _MODELS[name] = alive
    _generation = next(_registered)


def find_model(name: str | type[BaseModel], near: type[BaseModel]) -> type[BaseModel]:
    """The model that a foreign key of `near` means: of the same module first, else the newest.

    Raises:
        SchemaError: there is none.
    """
    if not isinstance(name, str):
        return name
    alive = models_named(name)
    same = [model for model in alive if model.__module__ == near.__module__]
    scoped = [
        m for m in same if m.__qualname__.rpartition(".")[0] == near.__qualname__.rpartition(".")[0]
    ]
    for candidates in (scoped, same, alive):
        if candidates:
            return candidates[-1]
    raise SchemaError(
        f"{near.__name__} refers to {name!r}, which is not a known model{nearest(name, _MODELS)}"
    )


def models_named(name: str) -> list[type[BaseModel]]:
    """The models of this class or table name, in the order in which they were defined."""
    return [model for ref in _MODELS.get(name, []) if (model := ref()) is not None]


def table_of(model: type[BaseModel]) -> Table:
    """The table of a model.

    Raises:
        SchemaError: it has none, being abstract or not yet complete.
    """
    found: Table | None = getattr(model, "__table__", None)  # each class has one of its own
    if found is not None:
        return found
    build = getattr(model, "__build_table__", None)
    if build is None:
        raise SchemaError(f"{getattr(model, '__name__', model)!s} is not a DbModel")
    built: Table = build()
    return built


# --- foreign keys whose other end is known --------------------------------------------------


@frozen(eq=False)
class Reference:
    """A foreign key between two known tables; composite keys are one reference.

    `columns` and `target_columns` are without the scope; `scoped` says that both tables are
    scoped, so that in the database the key begins with the scope columns of both.
    """

    table: Table
    columns: tuple[ColumnSpec, ...]
    target: Table
    target_columns: tuple[ColumnSpec, ...]
    on_delete: OnDelete

    @property
    def scoped(self) -> bool:
        if self.table.scope is None or self.target.scope is None:
            return False
        return self.table.scope not in self.columns

    @property
    def field(self) -> str:
        return ", ".join(column.field for column in self.columns)


FindTable: TypeAlias = Callable[["str | type[BaseModel]", Table], Table]


def find_table(name: str | type[BaseModel], near: Table) -> Table:
    return table_of(find_model(name, near.model))


def references(table: Table, find: FindTable = find_table) -> tuple[Reference, ...]:
    """The foreign keys of a table with the tables that they lead to.

    Raises:
        SchemaError: a key leads to no known table or field, to a field that is not unique, or to
            one of another type.
    """
    if find is not find_table:
        return _found_references(table, find)
    cached = table.cache.get("references")
    if cached is None or cached[0] != _generation:
        cached = table.cache["references"] = (_generation, _found_references(table, find))
    found: tuple[Reference, ...] = cached[1]
    return found


def _found_references(table: Table, find: FindTable) -> tuple[Reference, ...]:
    groups: dict[int, tuple[Table, list[ForeignKeySpec]]] = {}
    for key in table.foreign_keys:
        target = find(key.to_model, table)
        groups.setdefault(id(target), (target, []))[1].append(key)
    found: list[Reference] = []
    for target, keys in groups.values():
        found.extend(_grouped(table, target, keys))
    order = {key.field: number for number, key in enumerate(table.foreign_keys)}
    return tuple(sorted(found, key=lambda reference: order[reference.columns[0].field]))


Pair: TypeAlias = "tuple[ForeignKeySpec, ColumnSpec, ColumnSpec]"
"""A foreign key of one column: its marker, our column and the one it refers to."""


def _grouped(table: Table, target: Table, keys: Sequence[ForeignKeySpec]) -> Iterator[Reference]:
    """One reference a key, or one for several that together name a composite key of the target.

    Where the columns of a composite key are named twice, the first of each belong together.
    """
    left: list[Pair] = [
        (key, table.by_field[key.field], _target_column(table, target, key)) for key in keys
    ]
    for whole in (tuple(c.field for c in target.primary_key), *target.uniques):
        named = [[pair for pair in left if pair[2].field == name] for name in whole]
        if len(whole) > 1 and named[0] and len({len(pairs) for pairs in named}) == 1:
            for group in zip(*named, strict=True):
                yield _checked_reference(table, target, group)
            left = [pair for pair in left if pair[2].field not in whole]
    for pair in left:
        yield _checked_reference(table, target, [pair])


def _target_column(table: Table, target: Table, key: ForeignKeySpec) -> ColumnSpec:
    where = f"{table.model.__name__}.{key.field}"
    if key.to_field is None:
        if len(target.primary_key) != 1:
            raise SchemaError(
                f"{where}: {target.model.__name__} has no primary key of one column; "
                "name the field that is meant: 'Model.field'"
            )
        return target.primary_key[0]
    if key.to_field not in target.by_field:
        raise SchemaError(
            f"{where} refers to the unknown field {target.model.__name__}.{key.to_field}"
            f"{nearest(key.to_field, target.by_field)}"
        )
    return target.by_field[key.to_field]


def _checked_reference(table: Table, target: Table, pairs: Sequence[Pair]) -> Reference:
    where = f"{table.model.__name__}.{', '.join(mine.field for _, mine, _ in pairs)}"
    scoped = _same_scope(table, target, where)
    scope = target.scope.field if scoped and target.scope is not None else None
    fields = {other.field for _, _, other in pairs} - {scope}
    keys = [{column.field for column in target.primary_key}, *map(set, target.uniques)]
    if fields not in [key - {scope} for key in keys]:
        raise SchemaError(
            f"{where} refers to {target.model.__name__}.{', '.join(sorted(fields))}, which is "
            "neither its primary key nor unique; mark it (PK) or (UQ)"
        )
    for _, mine, other in pairs:
        if mine.codec.sqlite_type != other.codec.sqlite_type or (
            mine.codec.postgres_type != other.codec.postgres_type
        ):
            raise SchemaError(
                f"{table.model.__name__}.{mine.field} is {mine.codec.name}, but "
                f"{target.model.__name__}.{other.field}, which it refers to, is "
                f"{other.codec.name}; give both the same type"
            )
    wanted: set[OnDelete] = {key.on_delete for key, _, _ in pairs}
    wanted.discard("no action")
    if len(wanted) > 1:
        raise SchemaError(
            f"{where} is one foreign key and takes one on_delete, not "
            f"{' and '.join(sorted(wanted))}"
        )
    on_delete: OnDelete = wanted.pop() if wanted else "no action"
    if scoped and on_delete == "set null":
        raise SchemaError(
            f"{where}: on_delete='set null' between two scoped tables would clear the scope too; "
            "use 'cascade' or 'restrict'"
        )
    if on_delete == "set null" and not all(mine.nullable for _, mine, _ in pairs):
        raise SchemaError(f"{where}: on_delete='set null' needs nullable columns; add `| None`")
    own = [pair for pair in pairs if not (scoped and pair[1] is table.scope)] or pairs
    return Reference(
        table,
        tuple(mine for _, mine, _ in own),
        target,
        tuple(other for _, _, other in own),
        on_delete,
    )


def _same_scope(table: Table, target: Table, where: str) -> bool:
    """Whether both tables are scoped, which they must be in the same way."""
    ours, theirs = table.scope, target.scope
    if ours is None or theirs is None:
        return False
    if ours.field != theirs.field or ours.codec.postgres_type != theirs.codec.postgres_type:
        raise SchemaError(
            f"{where}: {table.model.__name__} is scoped by {ours.field} and "
            f"{target.model.__name__} by {theirs.field}, so the database could not tell whether "
            "both rows belong to one tenant; scope both models by the same column"
        )
    return True
