"""docs/engine.md names every key of lyth.yaml with its default, and its examples are right."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel
from pydantic_core import PydanticUndefined, to_jsonable_python

from lythonic_compose import (
    EngineConfig,
    LogConfig,
    NsCacheConfig,
    NsFragmentConfig,
    NsNodeConfig,
    StorageConfig,
)
from lythonic_compose.config import TriggerConfig
from lythonic_compose.engine import check_file
from tests.compose.engine.conftest import Project
from tests.compose.engine.test_checking import STAND_INS

PAGE = Path(__file__).parents[3] / "docs" / "engine.md"
TEXT = PAGE.read_text(encoding="utf-8")

SECTIONS: dict[str, tuple[type[BaseModel], ...]] = {
    "## What may stand in lyth.yaml?": (EngineConfig,),
    "### storage": (StorageConfig,),
    "### log": (LogConfig,),
    "### namespace": (NsNodeConfig, NsCacheConfig, NsFragmentConfig),
    "### triggers": (TriggerConfig,),
}


def rows(section: str) -> dict[str, list[str]]:
    """The cells of a section's table by the key that stands in the first."""
    text = TEXT.partition(f"\n{section}\n")[2]
    text = re.split(r"\n##", text)[0]
    found = [line.strip("|").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in found}


@pytest.mark.parametrize("section", SECTIONS)
def test_every_key_is_there_and_no_other(section: str) -> None:
    known = {
        name
        for model in SECTIONS[section]
        for name, field in model.model_fields.items()
        if not field.exclude
    }

    assert set(rows(section)) == known


@pytest.mark.parametrize("section", SECTIONS)
def test_a_default_that_is_said_is_the_default(section: str) -> None:
    for key, cells in rows(section).items():
        said = re.fullmatch(r"`(.*)`", cells[-1].strip(" |"))
        if said is None:
            continue
        (default,) = {_default(model, key) for model in SECTIONS[section]}
        assert yaml.safe_load(said[1]) == default, key


def _default(model: type[BaseModel], key: str) -> Any:
    field = model.model_fields[key]
    assert field.default is not PydanticUndefined, key
    value = to_jsonable_python(field.default)
    if isinstance(value, str) and key in ("jitter", "catch_up_window"):
        return field.default.total_seconds()
    return value.lower() if key == "level" else value


def test_the_example_is_right(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
    monkeypatch.setenv("API_KEY", "secret")
    top = project({"lyth.yaml": example, **STAND_INS})

    assert check_file(data=top) == []
    assert set(yaml.safe_load(example)) == set(rows("## What may stand in lyth.yaml?"))
