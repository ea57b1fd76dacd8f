"""How is one entry of a namespace configured?

Models of configuration only: nothing is imported, registered or opened here.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import date, timedelta
from typing import Annotated, Any, Literal, TypeAlias, cast

from pydantic import (
    AfterValidator,
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
    field_validator,
    model_validator,
)
from pydantic_core import PydanticSerializationError, to_jsonable_python

from .errors import ConfigError, nearest
from .marks import checked_tags
from .refs import GlobalRef, NsRef

# --- types of fields ------------------------------------------------------------------------


def _as_length(unit: str) -> Callable[[Any], Any]:
    """Numbers, and texts of numbers, are so many of a unit; all else is left to pydantic."""

    def read(value: Any) -> Any:
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                return value
        if isinstance(value, bool):
            raise ValueError(f"a length of time is a number of {unit}")
        if not isinstance(value, (int, float)):
            return value
        try:
            return timedelta(**{unit: value})
        except (OverflowError, ValueError):
            raise ValueError(f"{value} {unit} are no length of time") from None

    return read


_Days: TypeAlias = Annotated[
    timedelta,
    BeforeValidator(_as_length("days")),
    PlainSerializer(lambda value: value / timedelta(days=1), return_type=float),
    Field(ge=timedelta(0)),
]
_Seconds: TypeAlias = Annotated[
    timedelta,
    BeforeValidator(_as_length("seconds")),
    PlainSerializer(lambda value: value / timedelta(seconds=1), return_type=float),
    Field(ge=timedelta(0)),
]


def _as_json(payload: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    try:
        plain = to_jsonable_python(payload, inf_nan_mode="strings")
    except (PydanticSerializationError, ValueError) as error:
        raise ValueError(f"it cannot be kept as JSON: {error}") from error
    return cast("dict[str, dict[str, Any]]", plain)


_Tags: TypeAlias = Annotated[
    frozenset[str],
    BeforeValidator(lambda tags: checked_tags(tags)),
    PlainSerializer(sorted, return_type=list[str]),
]

# Type checkers see what may be given; what is read is always the one of them that is named.
Days: TypeAlias = Annotated[float | timedelta, GetPydanticSchema(lambda _, make: make(_Days))]
"""A length of time, given as a number of days or a timedelta, and read as a timedelta."""
Seconds: TypeAlias = Annotated[float | timedelta, GetPydanticSchema(lambda _, make: make(_Seconds))]
"""The same, as a number of seconds."""
Tags: TypeAlias = Annotated[Collection[str], GetPydanticSchema(lambda _, make: make(_Tags))]
"""Tags, given as any collection, and read as a frozenset."""
Path: TypeAlias = Annotated[str, GetPydanticSchema(lambda _, make: make(NsRef))]
"""A place in a namespace, given as text, and read as an `NsRef`."""
Object: TypeAlias = Annotated[str, GetPydanticSchema(lambda _, make: make(GlobalRef))]
"""A Python object, given as text, and read as a `GlobalRef`."""
Payload: TypeAlias = Annotated[dict[str, dict[str, Any]], AfterValidator(_as_json)]
"""What a run is given, by node and parameter, and read as JSON would say it."""

# --- triggers -------------------------------------------------------------------------------


class TriggerConfig(BaseModel):
    """What begins runs by itself: a schedule of cron, a function that is polled, or `fire` alone.

    A bare text is a schedule. Five fields are minute, hour, day of month, month and day of week; of
    six, the first is seconds: "0 30 6 * * *" is half past six, and "*/30 * * * * *" every 30
    seconds. "@hourly", "@daily" and the like are known as well.

    Example:
        >>> TriggerConfig(name="often", schedule="*/30 * * * * *", timezone="Europe/Berlin")
        >>> TriggerConfig(poll_fn="myapp.inbox:new_files", schedule="*/5 * * * *")
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = Field(default=None, min_length=1)
    """What it is called; without a name as the place that it hangs on."""
    schedule: str | None = None
    """When it fires, or with a `poll_fn` when that is called."""
    timezone: str = "UTC"
    """Of which time zone the schedule tells the clock: "Europe/Berlin"."""
    poll_fn: Object | None = None
    """Called without arguments, each minute where there is no schedule: False or None means that
    nothing is to be done, True that a run begins, a dict that one begins with this payload."""
    payload: Payload = Field(default_factory=dict[str, dict[str, Any]])
    """What a run is given, by node and parameter: {"fetch": {"url": "…"}}."""
    overlap: Literal["skip", "queue", "parallel"] = "skip"
    """What becomes of a tick while a run of this trigger is under way: it is left out, waits for
    the end of that run, or begins one beside it."""
    catch_up: Literal["once", "none", "all"] = "once"
    """What becomes of ticks that nobody was there for: one run for the newest of them, none, or one
    run for each within `catch_up_window`."""
    catch_up_window: Seconds = timedelta(days=1)
    """With `catch_up="all"`: for how old a tick a run is made up; a number is seconds."""
    jitter: Seconds = timedelta(0)
    """A run begins up to so much later than its tick, by chance; a number is seconds."""
    enabled: bool = True
    """False in a configuration switches it off until the configuration says otherwise."""

    @model_validator(mode="before")
    @classmethod
    def _shorthand(cls, given: Any) -> Any:
        return {"schedule": given} if isinstance(given, str) else given


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
    triggers: tuple[TriggerConfig, ...] = ()
    """What runs it by itself; a bare text is a schedule. One of them needs no name."""

    @field_validator("triggers")
    @classmethod
    def _named_apart(cls, triggers: tuple[TriggerConfig, ...]) -> tuple[TriggerConfig, ...]:
        names = [trigger.name for trigger in triggers]
        for name in names:
            if names.count(name) > 1:
                why = "have no name" if name is None else f"are called {name!r}"
                raise ValueError(f"{names.count(name)} triggers {why}; give each its own: name")
        return triggers


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
        problems: list[str] = []
        for detail in error.errors(include_url=False):
            where, what = problem_of(detail)
            parts = [f"[{part}]" if isinstance(part, int) else f".{part}" for part in where]
            problems.append(f"{place}{''.join(parts)}: {what}")
        raise ConfigError(problems) from error


_KINDS: Mapping[str, type[NsConfig]] = {
    "node": NsNodeConfig,
    "cache": NsCacheConfig,
    "fragment": NsFragmentConfig,
}
_LISTED: Mapping[Any, type[BaseModel]] = {"triggers": TriggerConfig}
"""What the elements of a list are, by the list's key."""


def problem_of(
    detail: Any, kind: type[BaseModel] | None = None
) -> tuple[tuple[str | int, ...], str]:
    """One of pydantic's errors: where in a configuration, and what is wrong, with the mend.

    `kind` is the model that was validated, if it is no list of entries.

    Example:
        >>> problem_of({"loc": ("storage", "dag_db"), "type": "extra_forbidden", …}, EngineConfig)
        (('storage', 'dag_db'), "there is no such key; did you mean 'dags_db'?")
    """
    place: list[str | int] = []
    loc = detail["loc"]
    for at, part in enumerate(loc):
        before = loc[at - 1] if at else None
        # the tag of a union stands behind the key of an entry, and in no configuration
        if part in _KINDS and (isinstance(before, int) or (at > 1 and loc[at - 2] == "configs")):
            kind = _KINDS[part]
            continue
        place.append(part)
        if before in _LISTED and isinstance(part, int):
            kind = _LISTED[before]
        elif kind is not None and part in kind.model_fields:
            within = kind.model_fields[part].annotation
            if isinstance(within, type) and issubclass(within, BaseModel):
                kind = within
    if detail["type"] == "invalid_key":  # YAML's yes, no, on and off are no texts
        why = f"the key {detail['input']!r} is no text; put it in quotes if it is one"
        return tuple(place[:-1]), why
    return tuple(place), _worded(detail, kind)


def _worded(detail: Any, kind: type[BaseModel] | None) -> str:
    if detail["type"] == "extra_forbidden" and kind is not None:
        known = [name for name, field in kind.model_fields.items() if not field.exclude]
        return f"there is no such key{nearest(str(detail['loc'][-1]), known)}"
    if detail["type"] == "union_tag_invalid":
        given = detail["ctx"]["tag"]
        return f"there is no type {given!r}{nearest(given, _KINDS)}"
    given = detail["input"]
    # a whole entry says nothing, and may hold what nobody should read
    shown = f", got {given!r}" if isinstance(given, (str, int, float)) else ""
    return f"{detail['msg'].removeprefix('Value error, ')}{shown}{_mend(detail['type'], given)}"


def _mend(kind: str, given: Any) -> str:
    if kind == "string_type" and isinstance(given, bool):
        return "; YAML reads yes, no, on and off so: put it in quotes if it is a text"
    if kind == "string_type" and isinstance(given, (int, float, date)):
        return "; put it in quotes if it is a text"
    if kind in ("tuple_type", "list_type") and isinstance(given, (str, Mapping)):
        return "; this is a list: put it in brackets"
    return ""
