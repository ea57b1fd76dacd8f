"""How is one entry of a namespace configured?

Models of configuration only: nothing is imported, registered or opened here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import timedelta
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    GetPydanticSchema,
    PlainSerializer,
    Tag,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from .errors import ConfigError, nearest
from .marks import checked_tags
from .refs import GlobalRef, NsRef

# --- types of fields ------------------------------------------------------------------------


def _as_days(value: Any) -> Any:
    """Numbers, and texts of numbers, are days; all else is left to pydantic."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, bool):
        raise ValueError("a length of time is a number of days")
    if not isinstance(value, (int, float)):
        return value
    try:
        return timedelta(days=value)
    except (OverflowError, ValueError):
        raise ValueError(f"{value} days are no length of time") from None


_Days: TypeAlias = Annotated[
    timedelta,
    BeforeValidator(_as_days),
    PlainSerializer(lambda value: value / timedelta(days=1), return_type=float),
    Field(ge=timedelta(0)),
]
_Tags: TypeAlias = Annotated[
    frozenset[str],
    BeforeValidator(lambda tags: checked_tags(tags)),
    PlainSerializer(sorted, return_type=list[str]),
]

# Type checkers see what may be given; what is read is always the one of them that is named.
Days: TypeAlias = Annotated[float | timedelta, GetPydanticSchema(lambda _, make: make(_Days))]
"""A length of time, given as a number of days or a timedelta, and read as a timedelta."""
Tags: TypeAlias = Annotated[Collection[str], GetPydanticSchema(lambda _, make: make(_Tags))]
"""Tags, given as any collection, and read as a frozenset."""
Path: TypeAlias = Annotated[str, GetPydanticSchema(lambda _, make: make(NsRef))]
"""A place in a namespace, given as text, and read as an `NsRef`."""
Object: TypeAlias = Annotated[str, GetPydanticSchema(lambda _, make: make(GlobalRef))]
"""A Python object, given as text, and read as a `GlobalRef`."""

# --- entries --------------------------------------------------------------------------------


class NsConfig(BaseModel):
    """What every entry of a namespace may have."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    nsref: Path | None = None
    """Its place; without one it is the object's module and name."""
    gref: Object | None = None
    """The Python object."""
    tags: Tags = frozenset()


class NsNodeConfig(NsConfig):
    """A function or a Dag in a namespace.

    Example:
        >>> NsNodeConfig(nsref="reports:daily", gref="myapp.pipelines:daily__", tags=["slow"])
    """

    type: Literal["node"] = "node"
    triggers: tuple[str | dict[str, Any], ...] = ()
    """When it is run: schedules of cron, or triggers with a name and more."""


class NsCacheConfig(NsConfig):
    """A function whose results are kept, once its namespace is mounted.

    Example:
        >>> NsCacheConfig(min_ttl=0.5, max_ttl=timedelta(days=2))
    """

    type: Literal["cache"] = "cache"
    min_ttl: Days
    """Younger results are not asked for again; a number is days."""
    max_ttl: Days
    """Older ones always are."""
    ignore: tuple[str, ...] = ()
    """Parameters that do not matter to the result, such as a client."""

    @model_validator(mode="after")
    def _in_order(self) -> NsCacheConfig:
        if cast(timedelta, self.min_ttl) > cast(timedelta, self.max_ttl):
            raise ValueError(f"min_ttl {self.min_ttl} is longer than max_ttl {self.max_ttl}")
        return self


class NsFragmentConfig(NsConfig):
    """The marked functions of a class or a module, registered together under one branch.

    Example:
        >>> NsFragmentConfig(gref="myapp.downloads:Downloads", init={"key": "…"})
    """

    type: Literal["fragment"] = "fragment"
    init: dict[str, Any] = Field(default_factory=dict[str, Any])
    """What the class is made with."""
    configs: dict[str, NsFunctionConfig] = Field(default_factory=dict[str, "NsFunctionConfig"])
    """For each function by name what is configured of it."""


def _type_of(entry: Any) -> str:
    if isinstance(entry, Mapping):
        given = cast("Mapping[str, Any]", entry)
        return str(given.get("type", "cache" if {"min_ttl", "max_ttl"} & set(given) else "node"))
    return str(getattr(entry, "type", "node"))


NsFunctionConfig: TypeAlias = Annotated[
    Annotated[NsNodeConfig, Tag("node")] | Annotated[NsCacheConfig, Tag("cache")],
    Discriminator(_type_of),
]
"""A node or a cache, as `type` says; what has a `min_ttl` is a cache anyway."""

NsEntry: TypeAlias = Annotated[
    Annotated[NsNodeConfig, Tag("node")]
    | Annotated[NsCacheConfig, Tag("cache")]
    | Annotated[NsFragmentConfig, Tag("fragment")],
    Discriminator(_type_of),
]
"""One entry of a namespace, as `type` says."""

NsFragmentConfig.model_rebuild()


def entries_of(listed: Any, place: str = "namespace") -> list[NsEntry]:
    """The entries of a configuration, each as its model.

    Example:
        >>> entries_of([{"type": "cache", "gref": "myapp.api:price", "min_ttl": 0.5, "max_ttl": 2}])

    Raises:
        ConfigError: with every place that makes no sense.
    """
    try:
        return TypeAdapter(list[NsEntry]).validate_python(listed)
    except ValidationError as error:
        problems = [_worded(place, detail) for detail in error.errors(include_url=False)]
        raise ConfigError("\n".join(problems)) from error


_KINDS: Mapping[str, type[NsConfig]] = {
    "node": NsNodeConfig,
    "cache": NsCacheConfig,
    "fragment": NsFragmentConfig,
}


def _worded(place: str, detail: Any) -> str:
    kind: type[NsConfig] | None = None
    where = place
    loc = detail["loc"]
    for at, part in enumerate(loc):
        # the tag of a union stands behind the key of an entry, and in no configuration
        if part in _KINDS and at and (isinstance(loc[at - 1], int) or loc[at - 2] == "configs"):
            kind = _KINDS[part]
        else:
            where += f"[{part}]" if isinstance(part, int) else f".{part}"
    if detail["type"] == "extra_forbidden" and kind is not None:
        return f"{where}: there is no such key{nearest(str(loc[-1]), kind.model_fields)}"
    if detail["type"] == "union_tag_invalid":
        given = detail["ctx"]["tag"]
        return f"{where}: there is no type {given!r}{nearest(given, _KINDS)}"
    given = detail["input"]
    # a whole entry says nothing, and may hold what nobody should read
    shown = f", got {given!r}" if isinstance(given, (str, int, float)) else ""
    return f"{where}: {detail['msg'].removeprefix('Value error, ')}{shown}"
