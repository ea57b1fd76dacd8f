"""Types as text, and types found by it."""

import sys
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Generic, Literal, NewType, TypedDict, TypeVar
from uuid import UUID

import pytest
from pydantic import BaseModel

from lythonic_compose.type_names import named_type, type_name

T = TypeVar("T")
Name = NewType("Name", str)


class Row(TypedDict):
    day: date


class Outer:
    class Inner(BaseModel):
        a: int


class Box(BaseModel, Generic[T]):
    inside: T


@pytest.mark.parametrize(
    "annotation",
    [
        int,
        list,
        Any,
        list[int],
        dict[str, list[Outer.Inner]],
        tuple[int, ...],
        tuple[int, str],
        int | None,
        list[int | str] | dict[str, UUID] | None,
        Row,
        Box[date],
        list[Box[int | None]],
        Mapping[str, int],
    ],
)
def test_a_type_is_found_again_by_its_name(annotation: Any) -> None:
    name = type_name(annotation)

    assert name is not None
    assert named_type(name) == annotation


@pytest.mark.parametrize(
    ("annotation", "name"),
    [
        (None, "builtins:NoneType"),
        (Annotated[int, "euros"], "builtins:int"),
        (Name, "builtins:str"),
        (Literal["a", "b", 1], "builtins:str|builtins:int"),
        (dict[str, Outer.Inner], f"builtins:dict[builtins:str,{__name__}:Outer.Inner]"),
    ],
)
def test_a_name_says_what_values_are_at_run_time(annotation: Any, name: str) -> None:
    assert type_name(annotation) == name


def test_what_cannot_be_imported_has_no_name() -> None:
    class Local:
        pass

    assert type_name(Local) is None
    assert type_name(list[Local]) is None
    assert type_name(T) is None


@pytest.mark.parametrize(
    "name",
    [
        "no_such_module:Price",
        f"{__name__}:Price",
        "os:path",
        "os",
        "",
        "builtins:list[",
        "builtins:list[builtins:int",
        "builtins:int]",
        "builtins:int[builtins:str]",
        "builtins:list[,]",
        "|",
    ],
)
def test_a_name_of_no_type_is_an_error_that_shows_it(name: str) -> None:
    with pytest.raises(LookupError):
        named_type(name)


def test_a_class_is_named_by_the_module_that_it_is_imported_from(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shown, kept, hidden = (ModuleType(name) for name in ("shown", "shown._kept", "hidden._kept"))
    for module in (shown, kept, hidden):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    one = type("One", (), {"__module__": "shown._kept"})
    other = type("Other", (), {"__module__": "hidden._kept"})
    vars(kept)["One"] = vars(shown)["One"] = one
    vars(hidden)["Other"] = other
    assert type_name(one) == "shown:One"
    assert type_name(other) == "hidden._kept:Other"
    assert type_name(Path) == "pathlib:Path"
