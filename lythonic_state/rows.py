"""How rows become models, and models become rows: generated once a table, then only called.

Reading goes through the model's own pydantic-core validator, so that what is read is validated; or
past it, where `plain_models.py` says that it would change nothing.
Writing takes values from the instance's dictionary. Both are small generated functions without a
loop over columns; when one fails, a slow twin finds the column and words the error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, date, datetime
from sqlite3 import ProgrammingError
from textwrap import indent
from typing import Any, Literal, NamedTuple, TypeAlias, cast

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from .codecs import OF_TEXT, Codec, Encoder, flat_notes, for_many, inner_notes
from .dialects import Dialect
from .errors import FilterError, InvalidValue, RowError
from .op import Row
from .plain_models import CLASSES, Passing, plain_model
from .table import ColumnSpec, Table, table_of

OnInvalid: TypeAlias = 'Literal["raise", "skip"] | Callable[[RowError], Any]'
"""What to do with a row that its model does not accept: raise `RowError`, leave it out, or call
something, which may return a model to take its place or None to leave it out."""

Reader: TypeAlias = Callable[[list[Any]], list[Any]]
Binder: TypeAlias = Callable[[dict[str, Any]], tuple[Any, ...]]
ValuesBinder: TypeAlias = Callable[..., list[Any] | None]
KeyedBinder: TypeAlias = Callable[[dict[str, Any], Any], tuple[Any, ...]]

# --- reading --------------------------------------------------------------------------------


def _needs_python(table: Table) -> bool:
    """Whether the model looks at its input before pydantic does, or takes no lax input."""
    model = table.model
    decorators = model.__pydantic_decorators__
    modes: set[str] = {item.info.mode for item in decorators.field_validators.values()}
    modes |= {item.info.mode for item in decorators.model_validators.values()}
    if modes & {"before", "wrap", "plain"} or decorators.validators or decorators.root_validators:
        return True
    return bool(model.model_config.get("strict"))


def _is_strict(table: Table, column: ColumnSpec) -> bool:
    info = table.model.__pydantic_fields__[column.field]
    if not info.metadata and isinstance(info.annotation, type):
        return False
    return any(
        getattr(item, "strict", None)
        or hasattr(item, "func")
        or type(item).__name__ in ("BeforeValidator", "WrapValidator", "PlainValidator")
        for item in flat_notes((*info.metadata, *inner_notes(info.annotation)))
    )


def _decoder(table: Table, column: ColumnSpec, python: bool) -> Callable[[Any], Any] | None:
    codec = column.codec
    if codec.lax and not python and not _is_strict(table, column):
        return None
    if codec.plain in ("str", "int", "float", "bytes") or codec.name == "path":
        return None if codec.name != "path" else _as_path(column)
    return codec.decode


def _as_path(column: ColumnSpec) -> Callable[[Any], Any]:
    return cast("Callable[[Any], Any]", column.python_type)


def _by_name(table: Table) -> bool:
    """Whether pydantic must be told that fields go by their names, not by their aliases."""
    fields = table.model.__pydantic_fields__.values()
    return any(info.validation_alias is not None for info in fields)


def _row_part(table: Table, number: int) -> tuple[list[str], str, dict[str, Any]]:
    """Variable names for a row's columns, the lines that make the model `m` and its number of them,
    and what they refer to."""
    names = [f"c{number}_{i}" for i in range(len(table.columns))]
    python = _needs_python(table)
    scope: dict[str, Any] = {f"validate{number}": table.validator.validate_python}
    items: list[str] = []
    for name, column in zip(names, table.columns, strict=True):
        decode = _decoder(table, column, python)
        value = name
        if decode is not None:
            scope[f"decode_{name}"] = decode
            value = f"decode_{name}({name})"
            if column.nullable:
                value = f"(None if {name} is None else {value})"
        items.append(f"{column.field!r}: {value}")
    keywords = ", by_alias=False, by_name=True" if _by_name(table) else ""
    lines = f"m{number} = validate{number}({{{', '.join(items)}}}{keywords})\n"
    plain = plain_model(table)
    if plain is None:
        return names, lines, scope
    lines, plain_scope = _plain_part(table, plain, number, lines)
    return names, lines, scope | plain_scope


def _plain_part(
    table: Table, plain: Mapping[str, Passing], number: int, otherwise: str
) -> tuple[str, dict[str, Any]]:
    """The lines that make a model as its validator would, where all values are seen to be valid."""
    scope: dict[str, Any] = {
        **CLASSES,
        **_SLOTS,
        f"new{number}": table.model.__new__,
        f"model{number}": table.model,
        f"fields{number}": frozenset(table.by_field),
    }
    places = {column.field: f"c{number}_{i}" for i, column in enumerate(table.columns)}
    decoded: list[str] = []
    checks: list[str] = []
    stores: list[str] = []
    for i, (field, passing) in enumerate(plain.items()):
        v = places.get(field, f"o{number}_{i}")
        scope[f"known_{v}"] = passing.known
        if passing.decode is not None:
            scope[f"from_{v}"] = passing.decode
            made = f"None if {v} is None else from_{v}({v})"
            if passing.decode in OF_TEXT:
                scope[f"of_text_{v}"] = OF_TEXT[passing.decode]
                made = f"of_text_{v}({v}) if {v}.__class__ is str else {made}"
            decoded.append(f"{v}_ = {made}\n")
            v = f"{v}_"
        if passing.check:
            checks.append(passing.check.format(v=v))
        stores.append(f"    d[{field!r}] = {passing.value.format(v=v)}\n")
    return (
        f"{''.join(decoded)}"
        f"if {' and '.join(checks) or True}:\n"
        f"    m{number} = new{number}(model{number})\n"
        f"    d = dict_of(m{number})\n"
        f"{''.join(stores)}"
        f"    set_fields(m{number}, set(fields{number}))\n"
        f"    set_extra(m{number}, None)\n"
        f"    set_private(m{number}, None)\n"
        f"else:\n"
        f"    {otherwise}"
    ), scope


_SLOTS: Mapping[str, Any] = {
    "dict_of": vars(BaseModel)["__dict__"].__get__,  # whose keys instances share, as usual
    "set_fields": vars(BaseModel)["__pydantic_fields_set__"].__set__,
    "set_extra": vars(BaseModel)["__pydantic_extra__"].__set__,
    "set_private": vars(BaseModel)["__pydantic_private__"].__set__,
}
"""What pydantic fills of each instance, past a model's own `__setattr__`."""


def _compile(source: str, scope: dict[str, Any], name: str) -> Any:
    exec(source, scope)
    return scope[name]


GENERATED_AFTER = 100
"""To generate a reader takes as long as so many rows take without one."""


def read_one(table: Table) -> Callable[[Row], Any]:
    """The function that makes a model of one row, and None of None."""
    found: Callable[[Row], Any] | None = table.cache.get("read_one")
    if found is None:
        found = table.cache["read_one"] = _read_one(table)
    return found


def _read_one(table: Table) -> Callable[[Row | None], Any]:
    slowly = plain_reader(table)
    read_many: Reader | None = None
    count = 0

    def read(row: Row | None) -> Any:
        nonlocal count, read_many
        if row is None:
            return None
        if read_many is not None:
            return read_many([row])[0]
        count += 1
        if count == GENERATED_AFTER:
            read_many = _generated(table)
        return slowly(row)

    return read


def plain_reader(table: Table) -> Callable[[Row], Any]:
    """The function that makes a model of one row, not generated."""
    python = _needs_python(table)
    fields = [column.field for column in table.columns]
    decoders = [(column.field, _decoder(table, column, python)) for column in table.columns]
    needed = [(field, decode) for field, decode in decoders if decode is not None]
    keywords: dict[str, Any] = {"by_alias": False, "by_name": True} if _by_name(table) else {}
    validate = table.validator.validate_python

    def read(row: Row) -> Any:
        try:
            values = dict(zip(fields, row, strict=True))
            for field, decode in needed:
                value = values[field]
                if value is not None:
                    values[field] = decode(value)
            return validate(values, **keywords)
        except Exception as error:
            raise explain_row(table, row, error) from error

    return read


def reader(table: Table) -> Reader:
    """The function that makes models of a chunk of rows, raising `RowError`."""
    found: Reader | None = table.cache.get("reader")
    if found is None:
        found = table.cache["reader"] = _reader(table)
    return found


def _reader(table: Table) -> Reader:
    slowly = plain_reader(table)
    read_many: Reader | None = None
    count = 0

    def read(rows: list[Any]) -> list[Any]:
        nonlocal count, read_many
        if read_many is None:
            count += len(rows)
            if count < GENERATED_AFTER:
                return [slowly(row) for row in rows]
            read_many = _generated(table)
        return read_many(rows)

    return read


def _generated(table: Table) -> Reader:
    found: Reader | None = table.cache.get("generated reader")
    if found is None:
        found = table.cache["generated reader"] = joined_reader([(table, False)])
    return found


def lenient_reader(table: Table, on_invalid: OnInvalid) -> Reader:
    """A reader that does with invalid rows what `on_invalid` says."""
    if on_invalid == "raise":
        return reader(table)
    if on_invalid != "skip" and not callable(on_invalid):
        raise FilterError(f"on_invalid is 'raise', 'skip' or a function, not {on_invalid!r}")
    one = read_one(table)

    def read(rows: list[Any]) -> list[Any]:
        found: list[Any] = []
        for row in rows:
            try:
                found.append(one(row))
            except RowError as error:
                if callable(on_invalid):
                    instead = on_invalid(error)
                    if instead is not None:
                        found.append(instead)
        return found

    return read


def joined_reader(parts: Sequence[tuple[Table, bool]]) -> Reader:
    """A reader of rows that hold the columns of several models one after another.

    The second of each pair says that the model may be missing (a left join): its primary key
    is NULL then, and None stands in its place. One model is read as itself, several as a tuple.
    """
    names: list[str] = []
    lines: list[str] = []
    scope: dict[str, Any] = {}
    for number, (table, optional) in enumerate(parts):
        part_names, part, part_scope = _row_part(table, number)
        if optional:
            key = part_names[table.columns.index(table.need_key()[0])]
            part = f"if {key} is None:\n    m{number} = None\nelse:\n{indent(part, '    ')}"
        names += part_names
        lines.append(part)
        scope |= part_scope
    models = [f"m{number}" for number in range(len(parts))]
    made = models[0] if len(parts) == 1 else f"({', '.join(models)})"

    def explain(rows: Sequence[Row], error: Exception) -> Exception:
        readers = [plain_reader(table) for table, _ in parts]
        for row in rows:
            position = 0
            for (table, optional), read in zip(parts, readers, strict=True):
                part = row[position : position + len(table.columns)]
                position += len(table.columns)
                if optional and all(value is None for value in part):
                    continue
                read(part)
        return error

    scope["explain"] = explain
    unpacked = f"({', '.join(names)},)"
    return cast(
        Reader,
        _compile(
            f"def read(rows):\n"
            f"    found = []\n"
            f"    try:\n"
            f"        for {unpacked} in rows:\n"
            f"{indent(''.join(lines), ' ' * 12)}"
            f"            found.append({made})\n"
            f"    except Exception as error:\n"
            f"        raise explain(rows, error)\n"
            f"    return found\n",
            scope,
            "read",
        ),
    )


def columns_reader(
    table: Table, columns: Sequence[ColumnSpec]
) -> Callable[[Row | None], tuple[Any, ...] | None]:
    """The function that makes a tuple of the values of some columns, and None of no row.

    What a column cannot hold raises `RowError`; the model's own validators do not see it.
    """
    scope: dict[str, Any] = {}
    values: list[str] = []
    for i, column in enumerate(columns):
        decode = _decoder(table, column, python=True)
        value = f"c{i}"
        if decode is not None:
            scope[f"decode_{value}"] = decode
            value = f"decode_{value}({value})"
            if column.nullable:
                value = f"(None if c{i} is None else {value})"
        values.append(value)

    def explain(row: Row, error: Exception) -> Exception:
        return explain_row(table, row, error, columns)

    scope["explain"] = explain
    taken = "".join(f"c{i}, " for i in range(len(columns)))
    return cast(
        "Callable[[Row | None], tuple[Any, ...] | None]",
        _compile(
            f"def read(row):\n"
            f"    if row is None:\n"
            f"        return None\n"
            f"    try:\n"
            f"        {taken} = row\n"
            f"        return ({', '.join(values)},)\n"
            f"    except Exception as error:\n"
            f"        raise explain(row, error) from error\n",
            scope,
            "read",
        ),
    )


def explain_row(
    table: Table, row: Row, error: Exception, columns: Sequence[ColumnSpec] | None = None
) -> Exception:
    """The `RowError` behind a failure to read a row, or some columns of one."""
    columns = table.columns if columns is None else columns
    values = dict(zip((column.field for column in columns), row, strict=False))
    key: Any = tuple(values.get(column.field) for column in table.primary_key)
    key = key[0] if len(key) == 1 else key
    column, message = None, str(error)
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        place = str(first["loc"][0]) if first["loc"] else None
        column = next((c.field for c in columns if place in (c.field, c.name, *c.aliases)), None)
        message = first["msg"]
    if column is None or not isinstance(error, ValidationError):
        column = _undecodable(columns, row) or column
    where = f"{table.name}.{column}" if column else table.name
    value = values.get(column) if column else None
    shown = repr(value)
    shown = shown if len(shown) <= 120 else shown[:117] + "..."
    return RowError(
        f"the row of {table.name} with key {key!r} is not a valid {table.model.__name__}: "
        f"{where} is {shown}: {message}",
        table=table.name,
        key=key,
        column=column,
        value=value,
    )


def _undecodable(columns: Sequence[ColumnSpec], row: Row) -> str | None:
    for column, value in zip(columns, row, strict=False):
        if value is not None:
            try:
                column.codec.decode(value)
            except Exception:  # noqa: BLE001  # a user's own type may raise anything
                return column.field
    return None


def from_multi_model_row(row: Row, models: Sequence[type[BaseModel]]) -> tuple[Any, ...]:
    """The models behind a row of hand-written SQL that selects their columns in this order.

    A model whose columns are all NULL is None, as a LEFT JOIN leaves it.

    Example:
        >>> sql = f"SELECT {Book.columns('b')}, {Author.columns('a')} FROM Book b JOIN Author a …"
        >>> book, author = from_multi_model_row(cursor.fetchone(), [Book, Author])

    Raises:
        ValueError: the row has another number of columns than the models.
        RowError: a part of it does not validate.
    """
    tables = [table_of(model) for model in models]
    values = tuple(row)
    expected = sum(len(table.columns) for table in tables)
    if len(values) != expected:
        raise ValueError(
            f"the row has {len(values)} columns, but {', '.join(t.model.__name__ for t in tables)} "
            f"have {expected} together; select them with Model.columns('alias')"
        )
    found: list[Any] = []
    position = 0
    for table in tables:
        part = values[position : position + len(table.columns)]
        position += len(table.columns)
        found.append(
            None if all(value is None for value in part) else read_one(table)(_decoded(table, part))
        )
    return tuple(found)


def _decoded(table: Table, part: Row) -> list[Any]:
    """Values as a driver's defaults load them, in the forms that `read_one` takes."""
    return [
        column.codec.decode(value)
        if value is not None and column.codec.name != "json" and not column.codec.plain
        else value
        for column, value in zip(table.columns, part, strict=True)
    ]


# --- writing --------------------------------------------------------------------------------

_PLAIN = {
    "int": "{v}.bit_length() < 64",
    "str": "{v}.isascii() and '\\0' not in {v}",
    "float": "{v} == {v}",
    "bool": None,
    "bytes": None,
}
"""What a value of one of these classes must satisfy to be bound as it is; others are encoded."""

_INLINE = {
    kind: f"{{v}}.__class__ is {kind}" + (f" and {test}" if test else "")
    for kind, test in _PLAIN.items()
}
_MOMENT = (
    "(t[1:28].decode() if len(t := to_json({v})) == 29"
    ' else t[1:20].decode() + ".%06dZ" % {v}.microsecond)',
    "{v}.__class__ is datetime and {v}.tzinfo is UTC",
)
_NAIVE = (
    "(t[1:27].decode() if len(t := to_json({v})) == 28"
    ' else t[1:20].decode() + ".%06d" % {v}.microsecond)',
    "{v}.__class__ is datetime and {v}.tzinfo is None",
)
_SQLITE_USUAL = {
    "bool": (("+{v}", _INLINE["bool"]),),  # the driver looks long for what a bool is
    "aware datetime": (_MOMENT,),
    "naive datetime": (_NAIVE,),
    "datetime": (_MOMENT, _NAIVE),
    "date": (("{v}.isoformat()", "{v}.__class__ is date"),),
}
"""Values that SQLite gets in another form: how the usual ones are written, and what tells them.
pydantic writes a datetime twice as fast as `isoformat`, but without a fraction that is zero."""


def binder(table: Table, dialect: Dialect, columns: tuple[ColumnSpec, ...]) -> Binder:
    """The function that takes a model's dictionary and returns the values of these columns."""
    key = ("binder", dialect.name, columns)
    found: Binder | None = table.cache.get(key)
    if found is not None:
        return found
    made: Binder = _binder(table, dialect, columns, None)
    table.cache[key] = made
    return made


def keyed_binder(table: Table, dialect: Dialect) -> KeyedBinder:
    """The function that takes a model's dictionary and its generated key, and gives all values."""
    found: KeyedBinder | None = table.cache.get(("keyed binder", dialect.name))
    if found is not None:
        return found
    made: KeyedBinder = _binder(table, dialect, table.columns, table.generated)
    table.cache["keyed binder", dialect.name] = made
    return made


def _binder(
    table: Table, dialect: Dialect, columns: tuple[ColumnSpec, ...], given: ColumnSpec | None
) -> Any:
    """A function that binds values of a dictionary, and that of one column as it is given."""
    taken = tuple(column for column in columns if column is not given)
    scope: dict[str, Any] = {"datetime": datetime, "date": date, "UTC": UTC, "to_json": to_json}
    lines: list[str] = []
    values: list[str] = []
    for i, column in enumerate(columns):
        if column is given:
            values.append("key")
            continue
        scope[f"e{i}"] = for_many(dialect.encoder(column.codec))
        lines.append(f"        v{i} = d[{column.field!r}]")
        values.append(_bound(dialect, column, f"v{i}", f"e{i}"))

    def explain(d: dict[str, Any], error: Exception) -> Exception:
        return explain_values(table, dialect, taken, d, error)

    scope["explain"] = explain
    body = "\n".join(lines) or "        pass"
    return _compile(
        f"def bind(d{'' if given is None else ', key'}):\n"
        f"    try:\n"
        f"{body}\n"
        f"        return ({', '.join(values)}{',' if values else ''})\n"
        f"    except Exception as error:\n"
        f"        raise explain(d, error) from error\n",
        scope,
        "bind",
    )


class Group(NamedTuple):
    """Columns whose values come from one dictionary, and what is bound behind them every time."""

    columns: tuple[ColumnSpec, ...]
    constants: tuple[Any, ...] = ()
    compared: bool = False
    """Whether they are compared, so that None would equal nothing."""


def exact_binder(
    table: Table, dialect: Dialect, groups: Sequence[Group], wrong: Callable[..., Exception]
) -> Callable[..., tuple[Any, ...]]:
    """The function that takes a dictionary for each group, of exactly its columns, and returns the
    values of all; `wrong` makes the error where one has more, or None where it is compared."""
    scope: dict[str, Any] = {"datetime": datetime, "date": date, "UTC": UTC, "to_json": to_json}
    lines: list[str] = []
    values: list[str] = []
    checks: list[str] = []
    for number, group in enumerate(groups):
        checks.append(f"len(d{number}) != {len(group.columns)}")
        for i, column in enumerate(group.columns):
            v, e = f"v{number}_{i}", f"e{number}_{i}"
            scope[e] = for_many(dialect.encoder(column.codec))
            lines.append(f"        {v} = d{number}[{column.field!r}]\n")
            bound = _bound(dialect, column, v, e)
            if dialect.name == "sqlite" and _MOMENT in _SQLITE_USUAL.get(column.codec.name, ()):
                # one moment often stands in several rows that are written together
                found = f"(m := moments.get(id({v}), nothing))[0] is {v}"
                bound = f"m[1] if {found} else keep({v}, {bound})"
            values.append(bound)
            if group.compared:
                checks.append(f"{v} is None")
        for i, constant in enumerate(group.constants):
            scope[f"c{number}_{i}"] = constant
            values.append(f"c{number}_{i}")

    def explain(*given: dict[str, Any]) -> Exception | None:
        for group, d in zip(groups, given, strict=True):
            found = explain_values(table, dialect, group.columns, d, _NOTHING)
            if found is not _NOTHING:
                return found
        return None

    scope |= {"explain": explain, "wrong": wrong}
    scope |= {"moments": _MOMENTS, "nothing": (_NOTHING, None), "keep": _keep_moment}
    taken = ", ".join(f"d{number}" for number in range(len(groups)))
    source = (
        f"def bind({taken}):\n"
        f"    try:\n"
        f"{''.join(lines)}"
        f"        bound = ({', '.join(values)}{',' if values else ''})\n"
        f"    except Exception as error:\n"
        f"        raise explain({taken}) or error from error\n"
        f"    if {' or '.join(checks)}:\n"
        f"        raise wrong({taken})\n"
        f"    return bound\n"
    )
    return cast("Callable[..., tuple[Any, ...]]", _compile(source, scope, "bind"))


_NOTHING = Exception()
_MOMENTS: dict[int, tuple[Any, Any]] = {}
"""The moments that were bound last, and how, by their identity, which stays theirs while they are
here."""


def _keep_moment(value: Any, bound: Any) -> Any:
    if value.__class__ is datetime and value.tzinfo is UTC:  # others are not for every column
        if len(_MOMENTS) >= 256:
            _MOMENTS.clear()
        _MOMENTS[id(value)] = value, bound
    return bound


class ValueBinder(NamedTuple):
    """How values of one class are bound; `plain` names those that mostly pass as they are."""

    kind: type
    encode: Encoder | None
    """None where nothing is bound, since the text says it all."""
    plain: str | None = None

    def expression(self, v: str, encode: str) -> str:
        """What is bound of a variable that is of this class."""
        if self.plain not in _PLAIN:
            return f"{encode}({v})"
        test = _PLAIN[self.plain]
        return v if test is None else f"{v} if {test.format(v=v)} else {encode}({v})"


def values_binder(*groups: Mapping[str, ValueBinder]) -> ValuesBinder:
    """The function that takes a mapping for each group and binds the values under these names.

    It gives None where there are other names, or a value is of another class or not accepted.
    """
    scope: dict[str, Any] = {"refused": (FilterError, InvalidValue)}
    names, taken, checks, values = _unpacked(groups, scope)
    return cast(
        ValuesBinder,
        _compile(
            f"def bind({', '.join(f'g{number}' for number in range(len(groups)))}):\n"
            f"    if {names}:\n"
            f"{taken}"
            f"        if {checks}:\n"
            f"            try:\n"
            f"                return [{', '.join(values)}]\n"
            f"            except refused:\n"
            f"                pass\n"
            f"    return None\n",
            scope,
            "bind",
        ),
    )


def values_writer(
    groups: Sequence[Mapping[str, ValueBinder]], ready: str, scope: dict[str, Any]
) -> Callable[..., int | None]:
    """As `values_binder`, with the statement carried out on SQLite: how many rows were written.

    It gives None, and has done nothing, also where the connection `conn` is not `ready`, which is
    an expression. `scope` says what that means, the text `sql`, and what becomes of an error of
    SQLite, `failed`.
    """
    scope = {**scope, "refused": (FilterError, InvalidValue, ProgrammingError)}
    # a number that is too large is refused by sqlite3 before it does anything
    names, taken, checks, values = _unpacked(groups, scope, unchecked="int")
    return cast(
        "Callable[..., int | None]",
        _compile(
            f"def write(conn, {', '.join(f'g{number}' for number in range(len(groups)))}):\n"
            f"    if {names}:\n"
            f"{taken}"
            f"        try:\n"
            f"            if not ({checks} and {ready}):\n"
            f"                return None\n"
            f"            bound = ({', '.join(values)},)\n"
            f"        except refused:\n"
            f"            return None\n"
            f"        try:\n"
            f"            return conn.execute(sql, bound).rowcount\n"
            f"        except OverflowError:\n"
            f"            return None\n"
            f"        except Exception as error:\n"
            f"            return failed(conn, error, bound)\n"
            f"    return None\n",
            scope,
            "write",
        ),
    )


def _unpacked(
    groups: Sequence[Mapping[str, ValueBinder]], scope: dict[str, Any], unchecked: str = ""
) -> tuple[str, str, str, list[str]]:
    """What tells that each mapping `g0`, `g1`… has its names, the lines that take the values, what
    tells that they are of their classes, and how each is bound; what these mean goes into `scope`.
    """
    names: list[str] = []
    taken: list[str] = []
    checks: list[str] = []
    values: list[str] = []
    for number, group in enumerate(groups):
        names.append(f"len(g{number}) == {len(group)}")
        for name, binder in group.items():
            v, e = f"v{len(checks)}", f"e{len(checks)}"
            scope |= {f"kind_{v}": binder.kind, e: binder.encode}
            names.append(f"{name!r} in g{number}")
            taken.append(f"        {v} = g{number}[{name!r}]\n")
            checks.append(f"{v}.__class__ is kind_{v}")
            if binder.encode is not None:
                is_unchecked = unchecked and binder.plain == unchecked
                values.append(v if is_unchecked else binder.expression(v, e))
    return " and ".join(names), "".join(taken), " and ".join(checks) or "True", values


def _bound(dialect: Dialect, column: ColumnSpec, v: str, encode: str) -> str:
    """The expression of a value as it is bound; the usual ones are written without a call."""
    otherwise = f"(None if {v} is None else {encode}({v}))"
    if dialect.name == "sqlite" and column.codec.name in _SQLITE_USUAL:
        usual = _SQLITE_USUAL[column.codec.name]
        return "".join(f"{w.format(v=v)} if {u.format(v=v)} else " for w, u in usual) + otherwise
    if column.codec.plain in _INLINE:
        return f"{v} if {_INLINE[column.codec.plain].format(v=v)} else {otherwise}"
    return otherwise


def explain_values(
    table: Table,
    dialect: Dialect,
    columns: Sequence[ColumnSpec],
    values: dict[str, Any],
    error: Exception,
) -> Exception:
    """The error of the column whose value cannot be stored."""
    for column in columns:
        if column.field not in values:
            return InvalidValue(f"{table.model.__name__}.{column.field} has no value")
        try:
            encode_value(table, dialect, column, values[column.field])
        except InvalidValue as named:
            return named
    return error


def encode_value(table: Table, dialect: Dialect, column: ColumnSpec, value: Any) -> Any:
    """One value of a column as it is bound.

    Raises:
        InvalidValue: naming the column.
    """
    if value is None:
        return None
    codec: Codec = column.codec
    try:
        return dialect.encoder(codec)(value)
    except InvalidValue as error:
        raise InvalidValue(f"{table.model.__name__}.{column.field}: {error}") from error
