"""The project as a package: its doors, its markers, and nothing in it that belongs to a machine."""

import importlib
import importlib.util
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("lythonic_state", "lythonic_compose")
WRITTEN = {".py", ".md", ".toml", ".yaml", ".yml", ".cfg", ".sh", ".sql", ".typed", ""}

# Put together here, so that this file does not contain what it looks for.
MACHINE_PATHS = ["/" + name + "/" for name in ("work", "root", "home", "opt")] + ["shared" + "/"]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_public_names_are_unique_sorted_and_there(package: str) -> None:
    door = importlib.import_module(package)
    names = list(door.__all__)

    assert names == sorted(set(names), key=_as_ruff_sorts)
    assert [name for name in names if not hasattr(door, name)] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_tells_type_checkers_that_it_is_typed(package: str) -> None:
    assert (ROOT / package / "py.typed").is_file()


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_says_in_its_docstring_what_it_is(package: str) -> None:
    assert importlib.import_module(package).__doc__


def test_the_version_is_the_same_wherever_it_is_written() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for package in PACKAGES:
        written = getattr(importlib.import_module(package), "__version__", project["version"])
        assert written == project["version"]


def test_no_file_names_a_path_of_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {needle}"
        for path in _written_files()
        for text in [path.read_text(encoding="utf-8")]
        for needle in MACHINE_PATHS
        if needle in text
    ]

    assert found == []


def test_the_search_for_machine_paths_reads_the_project() -> None:
    names = {str(path.relative_to(ROOT)) for path in _written_files()}

    assert {"README.md", "Makefile", "pyproject.toml", ".ci/run", "docs/architecture.md"} <= names
    assert {"tests/test_skeleton.py", "lythonic_state/__init__.py"} <= names


def _as_ruff_sorts(name: str) -> tuple[int, str]:
    """Constants, then classes, then the rest: the order of ruff's RUF022."""
    return (0 if name.isupper() else 1 if name[0].isupper() else 2, name)


def _written_files() -> Iterator[Path]:
    """Files that people write; what tools make stands in folders that begin with a dot."""
    made = {"site", "build", "dist", "htmlcov", "__pycache__"}
    for path in [*ROOT.rglob("*"), *(ROOT / ".ci").rglob("*")]:
        parts = path.relative_to(ROOT).parts
        hidden = any(part.startswith(".") for part in parts) and parts[0] != ".ci"
        if path.is_file() and path.suffix in WRITTEN and not hidden and not made & set(parts):
            yield path
