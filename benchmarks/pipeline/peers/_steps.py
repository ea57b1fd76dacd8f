"""The functions of those libraries that find what feeds a parameter by its name, in a module."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType


def add_one(x: int) -> int:
    return x + 1


def step(
    name: str, parameter: str, given: str = "int", gives: str = "int", made: str = "{} + 1"
) -> str:
    return f"def {name}({parameter}: {given}) -> {gives}:\n    return {made.format(parameter)}"


def module_of(functions: Sequence[str]) -> ModuleType:
    """As if a user had written them into a file, whose source the library may look for."""
    file = Path(tempfile.mkdtemp()) / f"steps_{abs(hash(tuple(functions)))}.py"
    file.write_text("\n\n\n".join(functions) + "\n")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return module
