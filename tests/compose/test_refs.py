"""References: places in a namespace and Python objects, by text."""

from __future__ import annotations

import functools
import json
import os.path
import pickle
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter, ValidationError

from lythonic_compose import ComposeError
from lythonic_compose.errors import ImportFailed, MissingObject, NamespaceError, WrongKind
from lythonic_compose.namespace import _parse_nsref
from lythonic_compose.refs import GlobalRef, NsRef

HERE = __name__


def fetch(url: str) -> str:
    return url


async def later() -> int:
    return 1


def made_list() -> list[int]:
    return [1, 2]


def kept__() -> str:
    return "its own name"


def kept() -> str:
    raise AssertionError("there is a kept__, so nobody calls this")


async def made_later() -> list[int]:
    raise AssertionError("never called")


def broken_factory() -> Any:
    raise ZeroDivisionError("no data")


CONSTANT = 3


class Shop:
    def sell(self) -> None: ...

    @staticmethod
    def close() -> str:
        return "closed"

    @classmethod
    def make(cls) -> Shop:
        return cls()

    class Till:
        pass


# --- places in a namespace ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "scope", "name", "shown"),
    [
        ("market.data:fetch", ("market", "data"), "fetch", "market.data:fetch"),
        ("market:fetch", ("market",), "fetch", "market:fetch"),
        ("fetch", (), "fetch", "fetch"),
        (":fetch", (), "fetch", "fetch"),
        ("downloads:", ("downloads",), "", "downloads:"),
        ("a.b-c:d e"[:7], ("a", "b-c"), "d", "a.b-c:d"),
        ("märkte:größe", ("märkte",), "größe", "märkte:größe"),
        ("ma\u0308rkte:x", ("märkte",), "x", "märkte:x"),
    ],
)
def test_a_path_has_branches_and_a_leaf(
    text: str, scope: tuple[str, ...], name: str, shown: str
) -> None:
    ref = NsRef(text)

    assert (ref.scope, ref.name, str(ref)) == (scope, name, shown)
    assert ref.path == ((*scope, name) if name else scope)
    assert all(type(part) is str for part in (*ref.path, str(ref)))


def test_a_path_is_the_text_that_it_is_made_of() -> None:
    ref = NsRef("a.b:c")

    assert ref == "a.b:c"
    assert {ref: 1}["a.b:c"] == 1
    assert NsRef(ref) is ref
    assert NsRef.of(["a", "b"], "c") == ref
    assert pickle.loads(pickle.dumps(ref)).scope == ("a", "b")
    assert json.loads(json.dumps({"at": ref})) == {"at": "a.b:c"}
    assert repr(ref) == "NsRef('a.b:c')"


def test_the_example_of_the_cache_takes_a_path_apart() -> None:
    assert _parse_nsref("market.data:fetch") == (["market", "data"], "fetch")
    assert _parse_nsref("fetch") == ([], "fetch")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "nothing in it"),
        (":", "nothing in it"),
        ("a:b:c", "two colons"),
        ("market.data.fetch", "did you mean 'market.data:fetch'"),
        ("market:data.fetch", "did you mean 'market.data:fetch'"),
        (".fetch", "the leaf '.fetch' has a dot"),
        ("a..b:c", "a branch has no name"),
        (".a:c", "a branch has no name"),
        ("a.:c", "a branch has no name"),
        ("a b:c", "has a ' '"),
        ("a:c\n", "has a '\\n'"),
        ("a/b:c", "has a '/'"),
        ("a:\0", "has a '\\x00'"),
    ],
)
def test_a_malformed_path_says_what_is_wrong_with_it(text: str, problem: str) -> None:
    with pytest.raises(NamespaceError) as caught:
        NsRef(text)

    assert isinstance(caught.value, ValueError)
    assert problem in str(caught.value)
    assert "market.data:fetch" in str(caught.value)


@pytest.mark.parametrize("thing", [None, 3, b"a:b", ["a", "b"]])
def test_a_path_is_text(thing: Any) -> None:
    with pytest.raises(TypeError, match="a path is a text"):
        NsRef(thing)


PARTS = st.text(min_size=1, max_size=8)


@given(scope=st.lists(PARTS, max_size=4), name=PARTS)
@example(scope=["ﬁ"], name="\uff1a")
@example(scope=[], name="\uff0e")
def test_what_is_a_path_comes_back_from_its_text(scope: list[str], name: str) -> None:
    try:
        ref = NsRef.of(scope, name)
    except NamespaceError:
        return

    again = NsRef(str(ref))
    assert (again, again.scope, again.name) == (ref, ref.scope, ref.name)
    assert NsRef.of(ref.scope, ref.name) == ref
    assert TypeAdapter(NsRef).validate_json(TypeAdapter(NsRef).dump_json(ref)) == ref


@given(
    scope=st.lists(st.from_regex(r"[a-z_][a-z0-9_-]{0,5}", fullmatch=True), max_size=4),
    name=st.from_regex(r"[a-zäß_][a-z0-9_-]{0,5}", fullmatch=True),
)
def test_plain_names_stay_as_they_are(scope: list[str], name: str) -> None:
    ref = NsRef.of(scope, name)

    assert (list(ref.scope), ref.name) == (scope, name)


# --- Python objects -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "text"),
    [
        (fetch, f"{HERE}:fetch"),
        (json.dumps, "json:dumps"),
        (len, "builtins:len"),
        (Shop, f"{HERE}:Shop"),
        (Shop.Till, f"{HERE}:Shop.Till"),
        (Shop.close, f"{HERE}:Shop.close"),
        (Shop.make, f"{HERE}:Shop.make"),
        (Shop.sell, f"{HERE}:Shop.sell"),
        (json, "json:"),
    ],
)
def test_what_has_a_name_is_found_by_it(what: Any, text: str) -> None:
    ref = GlobalRef(what)

    assert str(ref) == text
    assert ref.get_instance() == what
    assert ref.refers_to(what)
    assert not ref.refers_to(object())
    assert GlobalRef(text) == ref
    assert GlobalRef(ref) is ref


def test_a_reference_tells_of_what_kind_its_object_is() -> None:
    def kinds(text: str) -> tuple[bool, bool, bool]:
        ref = GlobalRef(text)
        return ref.is_async(), ref.is_class(), ref.is_module()

    assert kinds("json:dumps") == (False, False, False)
    assert kinds(f"{HERE}:later") == (True, False, False)
    assert kinds(f"{HERE}:Shop") == (False, True, False)
    assert kinds("json") == kinds("json:") == (False, False, True)
    assert GlobalRef("os.path:").get_instance() is os.path


def test_a_name_with_two_underscores_is_what_the_function_without_them_makes() -> None:
    assert GlobalRef(f"{HERE}:made_list__").get_instance() == [1, 2]
    assert GlobalRef(f"{HERE}:Shop.make__").get_instance().sell() is None
    assert GlobalRef(f"{HERE}:kept__").get_instance() is kept__
    assert GlobalRef(f"{HERE}:__name__").get_instance() == HERE


@pytest.mark.parametrize(
    ("name", "error", "problem"),
    [
        ("CONSTANT__", WrongKind, "is no function"),
        ("made_later__", WrongKind, "is async"),
        ("mad_list__", MissingObject, "did you mean 'made_list'"),
    ],
)
def test_a_factory_that_can_make_nothing_is_an_error(
    name: str, error: type[Exception], problem: str
) -> None:
    with pytest.raises(error, match=problem):
        GlobalRef(f"{HERE}:{name}").get_instance()


def test_the_error_of_a_factory_says_for_what_it_was_called() -> None:
    with pytest.raises(ZeroDivisionError) as caught:
        GlobalRef(f"{HERE}:broken_factory__").get_instance()

    assert f"{HERE}:broken_factory__" in "".join(caught.value.__notes__)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("json:dumpz", "json has no 'dumpz'; did you mean 'dump"),
        ("jsoon:dumps", "there is no module 'jsoon'; did you mean 'json'"),
        ("json.decoderr:x", "did you mean 'json.decoder'"),
        ("json.decoder.deeper:x", "json.decoder is a module and not a package"),
        (f"{HERE}:Shop.clos", "Shop has no 'clos'; did you mean 'close'"),
        (f"{HERE}:Nothing.at.all", "has no 'Nothing'"),
    ],
)
def test_what_is_not_there_is_an_error_with_the_nearest(text: str, problem: str) -> None:
    with pytest.raises(MissingObject) as caught:
        GlobalRef(text).get_instance()

    assert isinstance(caught.value, KeyError)
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, ComposeError)
    assert str(caught.value).startswith(text)
    assert problem in str(caught.value)


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def (", "SyntaxError"),
        ("import lacking_dependency_of_it", "No module named 'lacking_dependency_of_it'"),
    ],
)
def test_a_module_that_raises_is_told_from_one_that_is_not_there(
    source: str, problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "raises_on_import.py").write_text(source)
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ImportFailed) as caught:
        GlobalRef("raises_on_import:thing").get_instance()

    assert not isinstance(caught.value, MissingObject)
    assert problem in str(caught.value)
    assert caught.value.__cause__ is not None


def test_modules_that_import_each_other_are_told_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "imports_itself.py").write_text(
        "from lythonic_compose.refs import GlobalRef\n"
        "GlobalRef('imports_itself:below').get_instance()\n"
        "below = 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    with pytest.raises(ImportFailed, match="two modules import each other"):
        GlobalRef("imports_itself:below").get_instance()


def local() -> Callable[[], None]:
    def inner() -> None: ...

    return inner


@pytest.mark.parametrize(
    ("what", "error", "problem"),
    [
        (lambda: 1, NamespaceError, "is a lambda"),
        (local(), NamespaceError, "inside a function"),
        (functools.partial(fetch, "x"), NamespaceError, "is a partial"),
        (Shop().sell, NamespaceError, "bound to an object"),
        (functools.partial, NamespaceError, ""),
        (3, WrongKind, "named by a text or by itself"),
    ],
)
def test_what_has_no_name_to_import_is_an_error_that_says_how_to_give_it_one(
    what: Any, error: type[Exception], problem: str
) -> None:
    if what is functools.partial:
        assert GlobalRef(what).get_instance() is what
        return
    with pytest.raises(error, match=problem):
        GlobalRef(what)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "names no module"),
        (":dumps", "names no module"),
        (".json:dumps", "a dot too many"),
        ("json.:dumps", "a dot too many"),
        ("my json:dumps", "cannot be a module"),
        ("json:1", "is no name in Python"),
        ("json:a..b", "is no name in Python"),
        ("json:dumps:more", "is no name in Python"),
        ("json:dumps()", "is no name in Python"),
    ],
)
def test_a_malformed_reference_says_what_is_wrong_with_it(text: str, problem: str) -> None:
    with pytest.raises(NamespaceError, match=problem) as caught:
        GlobalRef(text)

    assert isinstance(caught.value, ValueError)


def test_a_reference_to_nothing_refers_to_nothing() -> None:
    assert not GlobalRef("a_module_that_nobody_has:thing").refers_to(fetch)


def test_nothing_is_imported_before_it_is_looked_at() -> None:
    GlobalRef("a_module_that_nobody_has:thing")

    assert "a_module_that_nobody_has" not in sys.modules


class Job(BaseModel):
    place: NsRef
    function: GlobalRef
    more: dict[NsRef, list[GlobalRef]] = {}


def test_references_are_fields_of_models_and_serialised_as_text() -> None:
    job = Job.model_validate(
        {"place": "a:b", "function": json.dumps, "more": {"c": ["json:loads", types]}}
    )

    assert type(job.place) is NsRef
    assert type(job.more[NsRef("c")][0]) is GlobalRef
    written = {"place": "a:b", "function": "json:dumps", "more": {"c": ["json:loads", "types:"]}}
    assert job.model_dump() == job.model_dump(mode="json") == written
    assert type(job.model_dump()["place"]) is str
    assert Job.model_validate_json(job.model_dump_json()) == job
    assert Job.model_json_schema()["properties"]["place"]["type"] == "string"


@pytest.mark.parametrize("bad", ["a b:c", 3, None])
def test_a_bad_reference_in_a_model_is_a_validation_error(bad: Any) -> None:
    with pytest.raises(ValidationError):
        Job(place=bad, function=GlobalRef("json:dumps"))
    with pytest.raises(ValidationError):
        Job(place=NsRef("a"), function=bad)
