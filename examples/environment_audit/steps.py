"""What is looked at, one function a step, and the two tables that it is saved in.

Nothing here knows how the steps are wired: each is a plain function and can be called as one.
"""

import re
from importlib.metadata import Distribution as Metadata
from importlib.metadata import distributions
from pathlib import Path

from pydantic import BaseModel, Field

from lythonic_state import DbModel, Schema, join, open_sqlite_db, transaction

# --- the tables -----------------------------------------------------------------------------


class Distribution(DbModel["Distribution"]):
    distribution_id: int = Field(default=-1, description="(PK)")
    name: str = Field(description="(AK) As pip normalises it")
    version: str
    summary: str
    licence: str
    files: int
    size: int = Field(description="Bytes of all files")


class Requirement(DbModel["Requirement"]):
    requirement_id: int = Field(default=-1, description="(PK)")
    distribution_id: int = Field(description="(FK:Distribution.distribution_id) Who needs it")
    needs: str = Field(description="(IX) The name of the distribution that is needed")
    versions: str = Field(description="As in >=2,<3; empty if any will do")
    condition: str = Field(description="An extra or an environment marker; empty if always needed")


SCHEMA = Schema([Distribution, Requirement])

# --- what flows between the steps -----------------------------------------------------------


class Package(BaseModel):
    name: str
    version: str
    summary: str
    licence: str


class Size(BaseModel):
    name: str
    files: int
    size: int


class Need(BaseModel):
    name: str
    needs: str
    versions: str
    condition: str


class Saved(BaseModel):
    database: Path
    distributions: int
    requirements: int


class Unmet(BaseModel):
    name: str
    needs: str
    versions: str
    installed: str | None


# --- the steps ------------------------------------------------------------------------------


def installed() -> list[Package]:
    """Every distribution that can be imported from here, by name."""
    packages: list[Package] = []
    for name, found in sorted(_by_name().items()):
        said: dict[str, str | list[str]] = found.metadata.json
        packages.append(
            Package(
                name=name,
                version=str(said["version"]),
                summary=str(said.get("summary", "")),
                licence=_licence(said),
            )
        )
    return packages


def measure(packages: list[Package]) -> list[Size]:
    """How many files each has, and their size: the slow step, since it asks for each file."""
    found = _by_name()
    sizes: list[Size] = []
    for package in packages:
        paths = [Path(str(file.locate())) for file in found[package.name].files or ()]
        bytes_each = [path.stat().st_size for path in paths if path.is_file()]
        sizes.append(Size(name=package.name, files=len(bytes_each), size=sum(bytes_each)))
    return sizes


def read_requirements(packages: list[Package]) -> list[Need]:
    """What each says that it needs."""
    found = _by_name()
    return [
        parse_requirement(package.name, text)
        for package in packages
        for text in found[package.name].requires or ()
    ]


def save(packages: list[Package], sizes: list[Size], needs: list[Need], database: Path) -> Saved:
    """Replaces what the file says of the environment, in one transaction."""
    size_of = {size.name: size for size in sizes}
    rows = {
        package.name: Distribution(
            **package.model_dump(),
            files=size_of[package.name].files,
            size=size_of[package.name].size,
        )
        for package in packages
    }
    SCHEMA.create_schema(database)
    with open_sqlite_db(database) as conn, transaction(conn):
        Requirement.delete(conn, all_rows=True)
        Distribution.delete(conn, all_rows=True)
        Distribution.insert_many(conn, rows.values())  # which gives each its key
        Requirement.insert_many(
            conn,
            [
                Requirement(
                    distribution_id=rows[need.name].distribution_id,
                    **need.model_dump(exclude={"name"}),
                )
                for need in needs
            ],
        )
    return Saved(database=database, distributions=len(rows), requirements=len(needs))


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


def find_largest(saved: Saved) -> list[Distribution]:
    """The five that take the most space."""
    with open_sqlite_db(saved.database, readonly=True) as conn:
        return Distribution.select(conn, order_by="-size", limit=5)


def count_licences(saved: Saved) -> dict[str, int]:
    """How many distributions are under each licence, the most frequent first."""
    with open_sqlite_db(saved.database, readonly=True) as conn:
        found = [row.licence for row in Distribution.select(conn)]
    return dict(sorted(((each, found.count(each)) for each in set(found)), key=lambda it: -it[1]))


# --- reading metadata -----------------------------------------------------------------------

_REQUIREMENT = re.compile(
    r"\s*(?P<needs>[\w.-]+)\s*(?:\[[^]]*])?\s*\(?(?P<versions>[^;)]*)\)?\s*(?:;(?P<condition>.*))?"
)


def parse_requirement(name: str, text: str) -> Need:
    """`Requires-Dist` in its parts; extras of what is needed are left out."""
    parts = _REQUIREMENT.match(text)
    if parts is None:
        raise ValueError(f"{name} requires {text!r}, which is no requirement")
    return Need(
        name=name,
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
