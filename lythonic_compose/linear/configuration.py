"""What stands in a configuration under a name such as `config.model.depth`?

A configuration is anything with attributes or keys, at each level. Two of them become one here, for
pipelines that are added. What a node does with a value is not known.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from pydantic import BaseModel

from ..errors import DagError, UnknownName, nearest
from .identity import same
from .node import CONFIG


def looked_up(config: Any, name: str) -> Any:
    """The value of `config` or `config.a.b`, by attributes or keys.

    Raises:
        UnknownName: there is none.
    """
    here, value = CONFIG, config
    for part in name.split(".")[1:]:
        if config is None:
            raise UnknownName(f"{name}: the pipeline has no config; give Pipeline(…, config=…)")
        if isinstance(value, Mapping) and part in value:
            value = value[part]
        elif not part.startswith("__") and hasattr(value, part):
            value = getattr(value, part)
        else:
            raise UnknownName(f"{name}: {here} has no {part!r}{nearest(part, parts_of(value))}")
        here = f"{here}.{part}"
    return value


def parts_of(config: Any) -> dict[str, Any]:
    """What a configuration says of itself by name, without what it inherits from `object`."""
    if isinstance(config, Mapping):
        return {name: value for name, value in config.items() if isinstance(name, str)}
    if isinstance(config, BaseModel):
        return dict(config)
    kind: type = config if isinstance(config, type) else type(config)
    found: dict[str, Any] = {}
    for base in reversed(kind.__mro__[:-1]):
        found.update(vars(base))
    if not isinstance(config, type):
        found.update(getattr(config, "__dict__", {}))
    return {
        name: value
        for name, value in found.items()
        if not name.startswith("_")
        and not isinstance(value, (property, classmethod, staticmethod))
        and not (callable(value) and not isinstance(value, type))
    }


def merged(one: Any, other: Any, here: str = CONFIG) -> Any:
    """What both say, as one configuration.

    Raises:
        DagError: they say two different things under one name.
    """
    if other is None or one is other:
        return one
    if one is None:
        return other
    if type(one) is type(other) and same(one, other):
        return one
    mine, theirs = parts_of(one), parts_of(other)
    if not (_is_branch(one) and _is_branch(other)):
        raise DagError(
            f"the pipelines have two values for {here}: {_short(one)} and {_short(other)}; let "
            "them be the same, or call one otherwise"
        )
    parts = {**mine, **theirs}
    for name in mine:
        if name in theirs:
            parts[name] = merged(mine[name], theirs[name], f"{here}.{name}")
    if parts.keys() == mine.keys() and all(parts[name] is mine[name] for name in mine):
        return one
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return parts
    return SimpleNamespace(**parts)


def _is_branch(config: Any) -> bool:
    """Whether it has parts of its own, rather than being a value, such as a number or a table."""
    if isinstance(config, (Mapping, BaseModel, type)):
        return True
    own = getattr(config, "__dict__", None)
    return own is not None and not any(name.startswith("_") for name in own)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 60 else text[:59] + "…"
