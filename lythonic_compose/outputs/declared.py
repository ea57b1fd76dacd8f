"""Which types can hold rows, and what does a node give that writes them?

Types only; what a value holds is seen in `found.py`.
"""

from __future__ import annotations

import collections.abc
import sys
from collections.abc import Iterable, Iterator
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Literal,
    NewType,
    TypeAlias,
    cast,
    get_args,
    get_origin,
)

from pydantic import BaseModel
from typing_extensions import TypeAliasType

from lythonic_state.fields import frozen

from ..fit import is_known, shown
from ..signature import MISSING
from ..type_names import is_union
from .rows import Rows

if TYPE_CHECKING:
    from lythonic_state import DbModel

Writing: TypeAlias = Literal["insert", "upsert", "replace"]
WAYS: tuple[Writing, ...] = ("insert", "upsert", "replace")

_STREAMS: tuple[Any, ...] = (
    collections.abc.Iterator,
    collections.abc.Generator,
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    collections.abc.AsyncIterable,
)


@frozen
class Writes:
    """What a node does with the rows that it returns."""

    how: Writing
    models: tuple[type[DbModel[Any]], ...] = ()
    """Those that are declared."""
    lenient: bool = False
    """Whether a value without models is one like any other: nobody has said that it is rows."""


def writes_of(annotation: Any, how: Writing | None, write_models: bool) -> Writes | None:
    """What a node of this type does that is declared so, or for which all nodes write models."""
    if how is None and not (write_models and can_hold_rows(annotation)):
        return None
    models = tuple(declared_models(annotation))
    return Writes(how or "insert", models, lenient=how is None and not models)


def can_hold_rows(annotation: Any) -> bool:
    """Whether a value of this type may be a row, or hold rows; so may what nobody says."""
    return not is_known(annotation) or any(True for _ in _items(annotation))


def declared_models(annotation: Any) -> list[type[DbModel[Any]]]:
    """The models whose rows a value of this type holds, as far as that is said."""
    return list(dict.fromkeys(item for item in _items(annotation) if _is_table(item)))


def is_stream(annotation: Any) -> bool:
    """Whether a value of this type can be read once, and comes piece by piece."""
    return any(get_origin(each) in _STREAMS or each in _STREAMS for each in _members(annotation))


def as_written(annotation: Any, writes: Writes) -> Any:
    """What the next nodes get of a node of this type: of a stream, the rows of it."""
    if not is_stream(annotation):
        return annotation
    if writes.lenient:
        return MISSING
    if not writes.models:
        return Rows
    rows: Any = writes.models[0]
    for model in writes.models[1:]:
        rows = rows | model
    return cast(Any, Rows)[rows]


def problem(annotation: Any) -> str | None:
    """Why a node of this type cannot write rows, for a sentence about it."""
    if not can_hold_rows(annotation):
        return (
            f"returns {shown(annotation)}, which holds no rows; return a DbModel or an iterable of "
            "them, or leave out write="
        )
    for model in declared_models(annotation):
        from lythonic_state.identity import key_fields

        if not key_fields(model):
            return keyless(model)
    return None


def keyless(model: type[BaseModel]) -> str:
    return (
        f"writes {model.__name__}, which has no primary key by which its rows could be found "
        "again; mark a field with (PK)"
    )


# --- types taken apart ----------------------------------------------------------------------


def _items(annotation: Any) -> Iterator[Any]:
    """The types of the rows: models, and Any where one is not said."""
    for member in _members(annotation):
        origin = get_origin(member) or member
        if not is_known(member):
            yield Any
        elif not isinstance(origin, type):
            continue
        elif is_model(origin):
            yield member
        elif _holds_others(origin):
            arguments = get_args(member)
            if issubclass(origin, (collections.abc.Generator, collections.abc.AsyncGenerator)):
                arguments = arguments[:1]
            yield from _elements(arguments) if arguments else [Any]


def _elements(arguments: Iterable[Any]) -> Iterator[Any]:
    for argument in arguments:
        for member in _members(argument):
            if not is_known(member) or member is object:
                yield Any
            elif is_model(member):
                yield member


def _holds_others(origin: type) -> bool:
    return issubclass(
        origin, (collections.abc.Iterable, collections.abc.AsyncIterable)
    ) and not issubclass(origin, (str, bytes, bytearray, collections.abc.Mapping, BaseModel))


def _members(annotation: Any) -> Iterator[Any]:
    """What a type stands for, each member of a union by itself."""
    while True:
        if isinstance(annotation, TypeAliasType):
            annotation = annotation.__value__
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        else:
            break
    if not is_union(annotation):
        yield annotation
        return
    for member in get_args(annotation):
        yield from _members(member)


def is_model(kind: Any) -> bool:
    """Whether it is a class of rows. Without the state layer there are none, nor is it imported."""
    state = sys.modules.get("lythonic_state.model")
    return state is not None and isinstance(kind, type) and issubclass(kind, state.DbModel)


def _is_table(kind: Any) -> bool:
    """Whether it is a model with a table of its own, which an abstract one has not."""
    if not is_model(kind):
        return False
    from lythonic_state import SchemaError
    from lythonic_state.table import table_of

    try:
        table_of(kind)
    except SchemaError:
        return False
    return True
