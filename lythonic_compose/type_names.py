"""How is a type written as text, and how is it found again?

`list[Price]` is "builtins:list[shop:Price]". Classes are named by module and name, and nothing
else is: what has no such name has no text. No value is read or written here.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
import typing
from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal, Union, cast, get_args, get_origin

import typing_extensions

_NONE = "builtins:NoneType"
_TOKEN = re.compile(r"[^\[\],|]+|[\[\],|]")


def class_name(kind: type) -> str:
    """A class as "module:qualname", by the module that it is imported from: "pathlib:Path"."""
    module = kind.__module__
    outer, _, last = module.rpartition(".")
    # where a library keeps it ("pathlib._local") changes with its version
    while last.startswith("_") and _shows(outer, kind):
        module = outer
        outer, _, last = module.rpartition(".")
    return f"{module}:{kind.__qualname__}"


def _shows(module: str, kind: type) -> bool:
    return getattr(sys.modules.get(module), kind.__qualname__, None) is kind


def type_name(annotation: Any) -> str | None:
    """A type as text that `named_type` understands; None where there is none.

    Example:
        >>> type_name(dict[str, int | float])
        'builtins:dict[builtins:str,builtins:int|builtins:float]'
    """
    if annotation is None or annotation is types.NoneType:
        return _NONE
    if annotation is Any:
        return "typing:Any"
    if annotation is Ellipsis:
        return "..."
    if get_origin(annotation) is Annotated:
        return type_name(get_args(annotation)[0])
    if isinstance(annotation, typing.NewType):
        return type_name(annotation.__supertype__)
    if isinstance(annotation, typing_extensions.TypeAliasType):
        return type_name(annotation.__value__)
    if is_union(annotation):
        return _joined("|", get_args(annotation))
    if get_origin(annotation) is Literal:
        return "|".join(dict.fromkeys(class_name(type(value)) for value in get_args(annotation)))
    origin, arguments = _parts(annotation)
    if not isinstance(origin, type) or origin is types.GenericAlias:
        return None
    name = class_name(origin)
    if _object(name) is not origin:
        return None
    if not arguments:
        return name
    inner = _joined(",", arguments)
    return None if inner is None else f"{name}[{inner}]"


def named_type(name: str) -> Any:
    """The type of a text, its modules imported if they are not yet.

    Raises:
        LookupError: a module or a class is not there (any more), or the text is no type.
    """
    tokens = _TOKEN.findall(name)
    try:
        found = _union(tokens)
    except (IndexError, TypeError) as error:
        raise LookupError(f"{name!r} is no type: {error}") from error
    if tokens:
        raise LookupError(f"{name!r} is no type: it should have ended before {tokens[0]!r}")
    return found


def is_union(annotation: Any) -> bool:
    return get_origin(annotation) in (Union, types.UnionType)


def _parts(annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    """A generic and its arguments; a model that is generic has them in a place of its own."""
    model = getattr(annotation, "__pydantic_generic_metadata__", None)
    if model and model["origin"] is not None:
        return model["origin"], model["args"]
    return get_origin(annotation) or annotation, get_args(annotation)


def _joined(between: str, members: tuple[Any, ...]) -> str | None:
    names = [type_name(member) for member in members]
    return None if None in names else between.join(cast("list[str]", names))


def _object(name: str) -> Any:
    """What stands in a module under a name; None if it is not there."""
    module, _, path = name.partition(":")
    found: Any = sys.modules.get(module)
    for part in path.split("."):
        found = getattr(found, part, None)
    return found


def _union(tokens: list[str]) -> Any:
    """Takes one type off the front."""
    members = [_single(tokens)]
    while tokens and tokens[0] == "|":
        del tokens[0]
        members.append(_single(tokens))
    return reduce(or_, members)


def _single(tokens: list[str]) -> Any:
    name = tokens.pop(0)
    if name == _NONE:
        return None
    if name == "...":
        return Ellipsis
    if name == "typing:Any":
        return Any
    found = _imported(name)
    if not tokens or tokens[0] != "[":
        return found
    arguments: list[Any] = []
    while tokens[0] != "]":
        del tokens[0]  # the bracket or the comma
        arguments.append(_union(tokens))
    del tokens[0]
    return cast(Any, found)[tuple(arguments)]


def _imported(name: str) -> type:
    module = name.partition(":")[0]
    try:
        importlib.import_module(module)
    except Exception as error:  # whatever importing somebody's module raises
        raise LookupError(f"the module of {name!r} cannot be imported: {error}") from error
    found = _object(name)
    if not isinstance(found, type):
        raise LookupError(f"there is no class {name!r} any more")
    return found
