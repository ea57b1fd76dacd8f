"""What is an engine made of? The models of `lyth.yaml`, and how they come from a file.

Nothing is imported, registered or opened here: what stands in a namespace is looked at by
`checking.py` and `engine.py`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
)

from ..config import NsEntry, Object, problem_of
from ..errors import ConfigError
from .reading import Document, Place, Problem, introduced, read_yaml

FILE_NAME = "lyth.yaml"


def _upper(value: Any) -> Any:
    return value.upper() if isinstance(value, str) else value


Level: TypeAlias = Annotated[
    Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(_upper)
]


class StorageConfig(BaseModel):
    """Where an engine keeps what it knows: files in the data directory, or databases by URL.

    Example:
        >>> StorageConfig(dags_db="postgresql://db.example.com/runs")
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dags_db: str = "dags.db"
    """The history of runs: a file, or a URL."""
    cache_db: str = "cache.db"
    """What cached functions returned: a file."""
    triggers_db: str = "triggers.db"
    """Triggers and their fires: a file, or a URL. Engines that share it fire each tick once."""
    outputs_db: str | None = None
    """Rows of nodes with `write=`: a file, or a URL; without it they go to `dags_db`."""
    log_file: str | None = "lyth.log"
    """Where log records go to besides the terminal; None for nowhere."""

    @field_validator("*")
    @classmethod
    def _is_a_place(cls, value: str | None) -> str | None:
        if value is not None and not value.strip():
            raise ValueError("this is empty; give a file or a URL, or leave it out")
        return value

    @field_validator("cache_db", "log_file")
    @classmethod
    def _is_a_file(cls, value: str | None) -> str | None:
        if value is not None and "://" in value:
            raise ValueError("this is a file, and no URL")
        return value

    def within(self, data: Path) -> StorageConfig:
        """The same with files under a data directory; URLs, and absolute files, stay as they are.

        Example:
            >>> StorageConfig().within(Path("/srv/reports")).dags_db
            '/srv/reports/dags.db'
        """
        given: dict[str, str] = self.model_dump(exclude_none=True)
        top = data.absolute()
        files = {key: str(top / value) for key, value in given.items() if "://" not in value}
        return self.model_copy(update=files)


class LogConfig(BaseModel):
    """What is logged, and how.

    Example:
        >>> LogConfig(level="debug", format="json")
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    level: Level = "INFO"
    """Records below it are left out."""
    levels: dict[str, Level] = Field(default_factory=dict[str, Level])
    """The same for single loggers by name: `{"myapp.api": "debug"}`."""
    format: Literal["plain", "json"] = "plain"
    """Lines for people, or one JSON object a line."""
    terminal: bool = True
    """Whether `lyth start` writes them to its standard error, too."""
    max_bytes: int = Field(default=10_000_000, ge=0)
    """A file of this size is put aside and a new one begun; 0 for never."""
    backups: int = Field(default=5, ge=1)
    """So many files that were put aside are kept."""


class EngineConfig(BaseModel):
    """What `lyth.yaml` says, and where its data directory is.

    Example:
        >>> config = EngineConfig.load(Path("lyth.yaml"))
        >>> config.storage.dags_db
        'dags.db'
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    data: Path = Field(default=Path(), exclude=True)
    """The data directory; given to `load`, and by no file."""
    file: Path | None = Field(default=None, exclude=True)
    """The file that it was read from; the modules beside it can be imported."""
    storage: StorageConfig = StorageConfig()
    log: LogConfig = LogConfig()
    namespace: tuple[NsEntry, ...] = ()
    """What is registered: nodes, caches and fragments."""
    on_failure: Object | None = None
    """A function that is called with the DagRun of a run that failed."""
    recover: bool = True
    """Whether runs whose process is gone are continued when the engine starts."""
    max_concurrency: int | None = Field(default=None, ge=1)
    """How many nodes of one run are at work at once; None for any number."""
    grace: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    """Seconds that nodes which are running get to end when the engine is stopped."""

    _document: Document | None = PrivateAttr(default=None)
    _numbers: tuple[int, ...] = PrivateAttr(default=())

    @classmethod
    def load(
        cls,
        config: Path | None = None,
        data: Path | None = None,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> Self:
        """Reads a configuration: `config`, or the lyth.yaml of the data directory.

        Without `data` the data directory is that of the file; without both, the current one.

        Example:
            >>> EngineConfig.load(data=Path("/srv/reports")).file
            PosixPath('/srv/reports/lyth.yaml')

        Raises:
            ConfigError: with every problem that the file has, each with file, line, key and mend.
        """
        read, problems = cls.read(config, data, environment=environment)
        if problems:
            raise ConfigError(problems)
        return read

    @classmethod
    def read(
        cls,
        config: Path | None = None,
        data: Path | None = None,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> tuple[Self, list[str]]:
        """What `load` reads, as far as it makes sense, and every problem that the file has.

        Raises:
            ConfigError: there is no such file, or it is no YAML.
        """
        file, data = _places(config, data)
        document = read_yaml(file, _name(file), os.environ if environment is None else environment)
        problems = list(document.problems)
        given = {} if document.value is None else document.value
        if not isinstance(given, Mapping):
            raise ConfigError(document.told((), f"this is to be keys with values, got {given!r}"))
        raw = dict(cast("Mapping[str, Any]", given))
        for key in ("data", "file"):
            if key in raw:
                del raw[key]
                why = (
                    "this is given to the command, and not written here: --data DIR, --config FILE"
                )
                problems.append(Problem((key,), document.line((key,)), why))
        made, numbers = cls._without_what_is_wrong(raw, data, file, document, problems)
        made._document, made._numbers = document, numbers
        problems.sort(key=lambda problem: problem.line)
        return made, [
            f"{document.name}:{problem.line}: {introduced(problem.place)}{problem.what}"
            for problem in problems
        ]

    def told(self, place: Place, what: str) -> str:
        """A problem at a place of the file, in words, such as "lyth.yaml:12: on_failure: …".

        The number of an entry of the namespace counts those that this configuration has.
        """
        if len(place) > 1 and place[0] == "namespace" and self._numbers:
            place = ("namespace", self._numbers[cast(int, place[1])], *place[2:])
        if self._document is None:
            return f"{introduced(place)}{what}"
        return self._document.told(place, what)

    @classmethod
    def _without_what_is_wrong(
        cls,
        raw: dict[str, Any],
        data: Path,
        file: Path,
        document: Document,
        problems: list[Problem],
    ) -> tuple[Self, tuple[int, ...]]:
        """The model of what is right, the numbers of its entries, and what is wrong noted."""
        try:
            made = cls.model_validate({**raw, "data": data, "file": file})
            return made, tuple(range(len(made.namespace)))
        except ValidationError as error:
            details = error.errors(include_url=False)
        wrong: set[Place] = set()
        known = {problem.place for problem in problems}
        for detail in details:
            place, what = problem_of(detail, cls)
            if place in document.from_environment:
                what = problem_of({**detail, "input": None}, cls)[1]
            wrong.add(place)
            if place not in known:  # a variable that is missing is no number, either
                problems.append(Problem(place, document.line(place), what))
        bad_keys = {place[0] for place in wrong if place}
        left = {key: raw[key] for key in cls.model_fields if key in raw and key not in bad_keys}
        numbers: tuple[int, ...] = ()
        entries = raw.get("namespace")
        if isinstance(entries, list):
            bad = {place[1] for place in wrong if place[:1] == ("namespace",) and len(place) > 1}
            numbers = tuple(at for at in range(len(entries)) if at not in bad)
            left["namespace"] = [entries[at] for at in numbers]
        return cls.model_validate({**left, "data": data, "file": file}), numbers


def _places(config: Path | None, data: Path | None) -> tuple[Path, Path]:
    """The file and the data directory."""
    if data is None:
        data = Path() if config is None else config.parent
    file = data / FILE_NAME if config is None else config
    if file.is_dir():
        raise ConfigError(
            f"{file} is a directory; name the file in it: --config {file / FILE_NAME}"
        )
    if not file.exists():
        raise ConfigError(
            f"there is no {file}; `lyth init` writes one, --data DIR names the directory of "
            "another, and --config FILE the file itself"
        )
    if data.exists() and not data.is_dir():
        raise ConfigError(f"the data directory {data} is a file; name a directory: --data DIR")
    return file.absolute(), data.absolute()


def _name(file: Path) -> str:
    """A file as people know it: from where they are, if it is below."""
    try:
        return str(file.relative_to(Path.cwd()))
    except ValueError:
        return str(file)
