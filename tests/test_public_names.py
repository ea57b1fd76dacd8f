"""Every public name is in the reference with its signature, and the reference names no other."""

import inspect
import re
from pathlib import Path
from typing import Any, get_type_hints

import lythonic_compose
import lythonic_state

REFERENCE = Path(__file__).parent.parent / "docs" / "reference.md"

_SECTION = re.compile(r"^## (.*)$", re.MULTILINE)
_ROW = re.compile(r"^\| `([^`]+)` \| \S", re.MULTILINE)


def sections(package: str = "lythonic_state") -> dict[str, str]:
    """The text of each section of a package's part by its title."""
    text = REFERENCE.read_text(encoding="utf-8").partition(f"# Reference of {package}\n")[2]
    parts = _SECTION.split(text.partition("\n# ")[0])[1:]
    return dict(zip(parts[::2], parts[1::2], strict=True))


def entries(text: str) -> dict[str, str]:
    """What stands in the first cells of tables, by the name it begins with."""
    found = [(re.split(r"\W", shown)[0], shown) for shown in _ROW.findall(text)]
    assert len(dict(found)) == len(found), "a name stands in the reference twice"
    return dict(found)


def documented() -> dict[str, str]:
    """The names that users import. Methods of classes stand in tables of their own."""
    verbs, schema = "Verbs of a model", "Schemas and files"
    texts = sections()
    texts.pop(verbs)
    texts[schema] = texts[schema].partition("| of a `Schema`")[0]
    return entries("".join(texts.values()))


def documented_of_compose() -> dict[str, str]:
    texts = sections("lythonic_compose").values()
    return entries("".join(re.sub(r"(?m)^\| of a(.*\n)+?(?!\|)", "", text) for text in texts))


def signature(name: str, called: Any) -> str:
    """A call as the reference writes it: no annotations, no `self`, no `/`, no `user_ctx`."""
    shown: list[str] = []
    starred = False
    for parameter in inspect.signature(called).parameters.values():
        if parameter.name in ("self", "user_ctx"):
            continue
        if parameter.kind is parameter.VAR_KEYWORD:
            shown.append(f"**{parameter.name}")
            continue
        if parameter.kind is parameter.VAR_POSITIONAL:
            shown.append(f"*{parameter.name}")
            starred = True
            continue
        if parameter.kind is parameter.KEYWORD_ONLY and not starred:
            shown.append("*")
            starred = True
        default = "" if parameter.default is parameter.empty else f"={parameter.default!r}"
        shown.append(parameter.name + default)
    return f"{name}({', '.join(shown)})"


def public_methods(cls: type) -> list[str]:
    return [name for name, of in vars(cls).items() if name[0] != "_" and _is_method(of)]


def _is_method(found: Any) -> bool:
    return callable(found) or isinstance(found, classmethod)


def test_the_reference_names_what_users_import_and_nothing_else() -> None:
    assert sorted(documented()) == sorted(lythonic_state.__all__)


def test_every_function_is_written_with_its_signature() -> None:
    wrong = {
        name: signature(name, public)
        for name, shown in documented().items()
        for public in [getattr(lythonic_state, name)]
        if "(" in shown or inspect.isfunction(public)
        if shown != signature(name, public)
    }

    assert wrong == {}


def test_what_the_reference_names_of_compose_is_there_and_written_with_its_signature() -> None:
    names = documented_of_compose()
    assert sorted(names) == sorted(lythonic_compose.__all__)
    wrong = {
        name: signature(name, public)
        for name, shown in names.items()
        for public in [getattr(lythonic_compose, name)]
        if "(" in shown or inspect.isfunction(public)
        if shown != signature(name, public)
    }

    assert wrong == {}


def test_every_method_of_a_namespace_is_written_with_its_signature() -> None:
    text = sections("lythonic_compose")["Names and namespaces"].partition("| of a `Namespace`")[2]

    assert entries(text) == {
        name: signature(name, getattr(lythonic_compose.Namespace, name))
        for name in public_methods(lythonic_compose.Namespace)
    }


def test_every_method_of_a_runner_is_written_with_its_signature() -> None:
    text = sections("lythonic_compose")["Runs"].partition("| of a `DagRunner`")[2]

    assert entries(text) == {
        name: signature(name, getattr(lythonic_compose.DagRunner, name))
        for name in public_methods(lythonic_compose.DagRunner)
    }


def test_every_method_of_a_pipeline_is_written_with_its_signature() -> None:
    text = sections("lythonic_compose")["Linear pipelines"].partition("| of a `Pipeline`")[2]

    assert entries(text) == {
        name: signature(name, getattr(lythonic_compose.Pipeline, name))
        for name in public_methods(lythonic_compose.Pipeline)
    }


def test_every_verb_is_written_with_its_signature() -> None:
    verbs = public_methods(lythonic_state.DbModel)

    assert entries(sections()["Verbs of a model"]) == {
        name: signature(name, getattr(lythonic_state.DbModel, name)) for name in verbs
    }


def test_every_method_of_a_schema_is_written_with_its_signature() -> None:
    text = sections()["Schemas and files"].partition("| of a `Schema`")[2]

    assert entries(text) == {
        name: signature(name, getattr(lythonic_state.Schema, name))
        for name in public_methods(lythonic_state.Schema)
    }


def test_every_public_name_has_a_docstring() -> None:
    without = [
        name
        for package in (lythonic_state, lythonic_compose)
        for name in package.__all__
        for public in [getattr(package, name)]
        if (inspect.isclass(public) or inspect.isfunction(public)) and not inspect.getdoc(public)
    ]

    assert without == []


def test_signatures_with_the_types_of_connections_can_be_inspected() -> None:
    def node(
        one: lythonic_state.SyncConnection, other: lythonic_state.AsyncConnection | None
    ) -> None:
        raise AssertionError("only looked at")

    assert set(get_type_hints(node)) == {"one", "other", "return"}


def test_what_a_page_links_to_is_there() -> None:
    pages = sorted(REFERENCE.parent.glob("*.md"))
    dead = [
        f"{page.name}: {target}"
        for page in [*pages, REFERENCE.parent.parent / "README.md"]
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if not (page.parent / target).exists()
    ]

    assert dead == []
