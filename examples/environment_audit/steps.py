"""What is looked at, one function a step, and the tables that it is saved in.

Nothing here knows how the steps are wired: each is a plain function and can be called as one.
"""

import csv
import hashlib
import re
from base64 import urlsafe_b64encode
from importlib.metadata import Distribution as Metadata
from importlib.metadata import distributions
from pathlib import Path
from typing import Literal, NamedTuple, TypedDict

from pydantic import BaseModel, Field

from lythonic_state import DbModel, Schema, join, open_sqlite_db, transaction

State = Literal["intact", "changed", "missing", "unchecked"]

# --- the tables -----------------------------------------------------------------------------


class Distribution(DbModel["Distribution"]):
    distribution_id: int = Field(default=-1, description="(PK)")
    name: str = Field(description="(AK) As pip normalises it")
    version: str
    summary: str
    licence: str
    size: int = Field(description="Bytes of all files")


class Requirement(DbModel["Requirement"]):
    requirement_id: int = Field(default=-1, description="(PK)")
    distribution_id: int = Field(description="(FK:Distribution.distribution_id) Who needs it")
    needs: str = Field(description="(IX) The name of the distribution that is needed")
    versions: str = Field(description="As in >=2,<3; empty if any will do")
    condition: str = Field(description="An extra or an environment marker; empty if always needed")


class File(DbModel["File"]):
    file_id: int = Field(default=-1, description="(PK)")
    distribution_id: int = Field(description="(FK:Distribution.distribution_id)(IX)")
    path: str
    size: int
    state: State = Field(description="(IX) Whether its content is what RECORD says")


SCHEMA = Schema([Distribution, Requirement, File])

# --- what flows between the steps -----------------------------------------------------------


class Installed(TypedDict):
    """A distribution, how many files it has here, and when one last changed."""

    name: str
    version: str
    files: int
    modified: float


class Need(BaseModel):
    needs: str
    versions: str
    condition: str


class Seen(BaseModel):
    path: str
    size: int
    state: State


class Audit(BaseModel):
    """All that is found out about one distribution."""

    name: str
    version: str
    summary: str
    licence: str
    needs: list[Need]
    files: list[Seen]


class Saved(BaseModel):
    database: Path
    distributions: int
    requirements: int
    files: int


class Dependence(BaseModel):
    """What a distribution brings with it, directly and in all, and by how many it is needed."""

    name: str
    direct: int
    all: int
    needed_by: int


class Unmet(BaseModel):
    name: str
    needs: str
    versions: str
    installed: str | None


class Damage(BaseModel):
    name: str
    path: str
    state: State


# --- the steps ------------------------------------------------------------------------------


def installed() -> list[Installed]:
    """Every distribution that can be imported from here, by name."""
    return [_stamped(name, found) for name, found in sorted(_by_name().items())]


def audit(name: str, version: str, files: int, modified: float) -> Audit:
    """Reads the metadata of a distribution and the content of its files: the slow step.

    What it finds depends on its parameters only, so that they make the key of a cache.
    """
    found = _by_name()[name]
    said: dict[str, str | list[str]] = found.metadata.json
    return Audit(
        name=name,
        version=version,
        summary=str(said.get("summary", "")),
        licence=_licence(said),
        needs=[parse_requirement(text) for text in found.requires or ()],
        files=[_seen(file) for file in _recorded(found) if not file.path.endswith(".pyc")],
    )


def save(audits: list[Audit], database: Path) -> Saved:
    """Replaces what the file says of the environment, in one transaction."""
    rows = [
        Distribution(
            **audit.model_dump(exclude={"needs", "files"}),
            size=sum(file.size for file in audit.files),
        )
        for audit in audits
    ]
    SCHEMA.create_schema(database)
    with open_sqlite_db(database) as conn, transaction(conn):
        for table in (File, Requirement, Distribution):
            table.delete(conn, all_rows=True)
        Distribution.insert_many(conn, rows)  # which gives each its key
        keyed = [(row.distribution_id, audit) for row, audit in zip(rows, audits, strict=True)]
        needs = Requirement.insert_many(
            conn,
            (
                Requirement(distribution_id=key, **need.model_dump())
                for key, audit in keyed
                for need in audit.needs
            ),
        )
        files = File.insert_many(
            conn,
            (
                File(distribution_id=key, **file.model_dump())
                for key, audit in keyed
                for file in audit.files
            ),
        )
    return Saved(database=database, distributions=len(rows), requirements=needs, files=files)


def resolve(saved: Saved) -> list[Dependence]:
    """Who needs whom, through all that those need; who brings most comes first."""
    with open_sqlite_db(saved.database, readonly=True) as conn:
        needs: dict[str, set[str]] = {row.name: set() for row in Distribution.select(conn)}
        for need, who in join(conn, Requirement, Distribution, Requirement__condition=""):
            needs[who.name] |= {need.needs} & needs.keys()
    needed_by = [name for brought in needs.values() for name in brought]
    found = [
        Dependence(
            name=name,
            direct=len(direct),
            all=len(_reached(needs, direct)),
            needed_by=needed_by.count(name),
        )
        for name, direct in needs.items()
    ]
    return sorted(found, key=lambda it: -it.all)


def find_unmet(saved: Saved) -> list[Unmet]:
    """What is always needed and is missing, or is there in a version that was not asked for."""
    with open_sqlite_db(saved.database, readonly=True) as conn:
        there = {row.name: row.version for row in Distribution.select(conn)}
        always = join(conn, Requirement, Distribution, Requirement__condition="")
    return [
        Unmet(
            name=who.name,
            needs=need.needs,
            versions=need.versions,
            installed=there.get(need.needs),
        )
        for need, who in always
        if need.needs not in there or satisfies(there[need.needs], need.versions) is False
    ]


def find_damage(saved: Saved) -> list[Damage]:
    """The files that are gone, or whose content is not what was installed."""
    with open_sqlite_db(saved.database, readonly=True) as conn:
        found = join(conn, File, Distribution, File__state=["changed", "missing"])
    damages = [Damage(name=who.name, path=file.path, state=file.state) for file, who in found]
    return sorted(damages, key=lambda damage: (damage.name, damage.path))


def find_largest(saved: Saved) -> list[Distribution]:
    """The five that take the most space."""
    with open_sqlite_db(saved.database, readonly=True) as conn:
        return Distribution.select(conn, order_by="-size", limit=5)


def count_licences(saved: Saved) -> dict[str, int]:
    """How many distributions are under each licence, the most frequent first."""
    with open_sqlite_db(saved.database, readonly=True) as conn:
        found = [row.licence for row in Distribution.select(conn)]
    return dict(sorted(((each, found.count(each)) for each in set(found)), key=lambda it: -it[1]))


def _reached(needs: dict[str, set[str]], start: set[str]) -> set[str]:
    reached: set[str] = set()
    waiting = list(start)
    while waiting:
        name = waiting.pop()
        if name not in reached:
            reached.add(name)
            waiting += needs[name]
    return reached


# --- reading files --------------------------------------------------------------------------


class Recorded(NamedTuple):
    path: str
    """As RECORD writes it."""
    place: Path
    hash: str
    """Like sha256=…, or empty."""


def _recorded(found: Metadata) -> list[Recorded]:
    """What RECORD lists; `Distribution.files` leaves out what is gone, from Python 3.12 on."""
    rows = csv.reader((found.read_text("RECORD") or "").splitlines())
    return [Recorded(path, Path(str(found.locate_file(path))), hashed) for path, hashed, *_ in rows]


def _stamped(name: str, found: Metadata) -> Installed:
    places = [file.place for file in _recorded(found)]
    times = [place.stat().st_mtime for place in places if place.is_file()]
    return Installed(
        name=name, version=found.version, files=len(times), modified=max(times, default=0.0)
    )


def _seen(file: Recorded) -> Seen:
    if not file.place.is_file():
        return Seen(path=file.path, size=0, state="missing")
    content = file.place.read_bytes()
    state: State = "unchecked"  # RECORD has no hash of itself
    if file.hash:
        mode, _, value = file.hash.partition("=")
        digest = hashlib.new(mode, content).digest()
        same = urlsafe_b64encode(digest).rstrip(b"=").decode() == value
        state = "intact" if same else "changed"
    return Seen(path=file.path, size=len(content), state=state)


# --- reading metadata -----------------------------------------------------------------------

_REQUIREMENT = re.compile(
    r"\s*(?P<needs>[\w.-]+)\s*(?:\[[^]]*])?\s*\(?(?P<versions>[^;)]*)\)?\s*(?:;(?P<condition>.*))?"
)


def parse_requirement(text: str) -> Need:
    """`Requires-Dist` in its parts; extras of what is needed are left out."""
    parts = _REQUIREMENT.match(text)
    if parts is None:
        raise ValueError(f"{text!r} is no requirement")
    return Need(
        needs=normalised(parts["needs"]),
        versions=parts["versions"].strip(),
        condition=(parts["condition"] or "").strip(),
    )


def satisfies(version: str, wanted: str) -> bool | None:
    """Whether a version is one of those wanted; None where it is not made of numbers only."""
    verdict: bool | None = True
    for clause in filter(None, (part.strip() for part in wanted.split(","))):
        parts = re.fullmatch(r"(>=|<=|==|!=|~=|>|<)\s*(\d+(?:\.\d+)*)(\.\*)?", clause)
        if parts is None or not re.fullmatch(r"\d+(\.\d+)*", version):
            verdict = None
            continue
        operator, bound, prefix = parts.groups()
        have, want = _numbers(version), _numbers(bound)
        if prefix or operator == "~=":
            length = len(want) if prefix else len(want) - 1
            alike = (have + [0] * length)[:length] == want[:length]
        else:
            alike = _trimmed(have) == _trimmed(want)
        later = _trimmed(have) > _trimmed(want)
        satisfied = {
            "==": alike,
            "!=": not alike,
            "~=": alike and not _trimmed(have) < _trimmed(want),
            ">=": later or alike,
            "<=": not later,
            ">": later,
            "<": not later and not alike,
        }[operator]
        if not satisfied:
            return False
    return verdict


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".")]


def _trimmed(numbers: list[int]) -> list[int]:
    """1.0 is the same version as 1."""
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers = numbers[:-1]
    return numbers


def _by_name() -> dict[str, Metadata]:
    """What is installed; where a name is there twice, the first is the one that is imported."""
    found: dict[str, Metadata] = {}
    for each in distributions():
        found.setdefault(normalised(each.metadata["Name"]), each)
    return found


def _licence(said: dict[str, str | list[str]]) -> str:
    """What the metadata says, by the newest way of saying it that is there."""
    if "license_expression" in said:
        return str(said["license_expression"])
    for classifier in said.get("classifier", ()):
        if classifier.startswith("License ::"):
            return classifier.rpartition(" :: ")[2]
    text = str(said.get("license", "")).strip()
    return text.splitlines()[0][:40] if text else "(not said)"
