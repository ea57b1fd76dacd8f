"""Fixtures of the command's tests: projects in directories of their own, and the command itself."""

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose.lyth import main

_numbers = count(1)

LYTH = "import sys; from lythonic_compose.lyth import main; sys.exit(main(sys.argv[1:]))"
"""The command for a process of its own, which `tests.processes.Python` forks."""


@dataclass(frozen=True)
class Answer:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass(frozen=True)
class Project:
    """A data directory with a configuration and a module, whose name no other test has."""

    data: Path
    module: str
    call: Callable[..., Answer]

    def lyth(self, *words: str) -> Answer:
        """Calls the command on this directory, in this process."""
        return self.call(*words, "--data", str(self.data))

    def write(self, configuration: str, code: str) -> None:
        """Writes both files; MODULE in the configuration is the name of the module."""
        text = configuration.replace("MODULE", self.module)
        (self.data / "lyth.yaml").write_text(text, encoding="utf-8")
        (self.data / f"{self.module}.py").write_text(code, encoding="utf-8")
        sys.modules.pop(self.module, None)


@pytest.fixture
def lyth(capfd: pytest.CaptureFixture[str]) -> Callable[..., Answer]:
    def call(*words: str) -> Answer:
        capfd.readouterr()
        code = main(words)
        return Answer(code, *capfd.readouterr())

    return call


@pytest.fixture
def project(tmp_path: Path, lyth: Callable[..., Answer]) -> Iterator[Project]:
    made = Project(tmp_path, f"pipelines_{next(_numbers)}", lyth)
    path = list(sys.path)
    yield made
    sys.modules.pop(made.module, None)
    sys.path[:] = path
