"""A project of a user: a lyth.yaml and modules beside it, which only this test can import."""

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from textwrap import dedent

import pytest

Project = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Writes files, by name, into a directory; what was imported from there is forgotten."""
    path, modules = list(sys.path), set(sys.modules)

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(dedent(text), encoding="utf-8")
        importlib.invalidate_caches()
        return tmp_path

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file is not None and Path(file).is_relative_to(tmp_path):
            del sys.modules[name]
