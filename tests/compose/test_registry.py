"""Namespaces: registering, finding, mounting, and writing down."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lythonic_compose import Dag, DagContext, registered
from lythonic_compose.config import NsCacheConfig, NsNodeConfig
from lythonic_compose.errors import (
    ConfigError,
    ImportFailed,
    MissingObject,
    NamespaceError,
    NoSuchLeaf,
    NotRegistered,
    WrongKind,
)
from lythonic_compose.marks import (
    dag_factory,
    mount_required,
    mountable,
    nsnode,
    require_cache,
)
from lythonic_compose.refs import GlobalRef, NsRef
from lythonic_compose.registry import Namespace, NamespaceFragment, NamespaceNode, how_to_mount
from tests.compose import fragments_of_files
from tests.compose.fragments_of_files import fetch as marked_elsewhere

HERE = __name__


def fetch(url: str, times: int = 1) -> str:
    """Fetches."""
    return url * times


async def later(url: str) -> str:
    return url


def double(number: int) -> int:
    return number * 2


@require_cache
def price(item: str) -> float:
    return len(item)


@dag_factory
def daily() -> Dag:
    dag = Dag()
    dag.node(double)
    return dag


@dag_factory
def no_dag() -> Any:
    return 3


@dag_factory
def needy(day: str, *, hour: int = 1) -> Dag:
    raise AssertionError(f"never called {day}{hour}")


@dag_factory
async def async_factory() -> Dag:
    raise AssertionError("never called")


class Shop:
    def __init__(self, rate: int) -> None:
        self.rate = rate

    def sell(self, number: int) -> int:
        return number * self.rate

    def __call__(self, number: int) -> int:
        return self.sell(number)


def shout(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def loud(*args: Any, **kwargs: Any) -> Any:
        return f"{function(*args, **kwargs)}!"

    return loud


own = Namespace()


@own.register
def decorated_in_place(number: int) -> int:
    return number + 1


@pytest.fixture
def ns() -> Namespace:
    return Namespace()


# --- registering and finding ----------------------------------------------------------------


def test_what_is_registered_is_found_by_its_path_and_by_dots(ns: Namespace) -> None:
    node = ns.register(fetch, nsref="market.data:fetch", tags=["slow"])

    assert ns.get("market.data:fetch") is node is ns.market.data.fetch
    assert ns.market.data.fetch("x", times=2) == node("x", 2) == "xx"
    assert "market.data:fetch" in ns
    assert "market.data:other" not in ns
    assert 3 not in ns
    assert list(ns) == ns.nodes() == [node]
    assert "market" in dir(ns)
    assert dir(ns.market) == ["data"]
    assert repr(ns.market.data) == "<branch market.data with fetch>"
    assert repr(ns) == "<Namespace of 1>"


def test_a_node_tells_what_it_is(ns: Namespace) -> None:
    node = ns.register(fetch, "a:get_it", tags={"slow"})

    assert (node.nsref, node.tags, node.config, node.metadata) == ("a:get_it", {"slow"}, None, {})
    assert type(node.nsref) is NsRef
    assert [arg.name for arg in node.method.args] == ["url", "times"]
    assert node.method.return_annotation is str
    assert node.method.doc == "Fetches."
    assert node.method.target is node.target is fetch
    assert node.__name__ == "get_it"
    assert str(inspect.signature(node)) == "(url: 'str', times: 'int' = 1) -> 'str'"
    assert repr(node) == "<node a:get_it>"


@pytest.mark.parametrize(
    ("what", "path"),
    [
        (fetch, f"{HERE}:fetch"),
        (later, f"{HERE}:later"),
        (Shop, f"{HERE}:Shop"),
        (Shop(2), f"{HERE}:Shop"),
        (Shop(2).sell, f"{HERE}.Shop:sell"),
        (functools.partial(fetch, "x"), f"{HERE}:fetch"),
        (len, "builtins:len"),
        ("json:dumps", "json:dumps"),
        (GlobalRef("json:dumps"), "json:dumps"),
        (f"{HERE}:daily__", f"{HERE}:daily"),
        (f"{HERE}:Shop.sell", f"{HERE}.Shop:sell"),
    ],
)
def test_without_a_path_it_stands_under_its_module_and_name(
    what: Any, path: str, ns: Namespace
) -> None:
    assert ns.register(what).nsref == path


def test_a_function_of_a_function_stands_under_its_own_name(ns: Namespace) -> None:
    def inner() -> int:
        return 1

    assert ns.register(inner).nsref == f"{HERE}:inner"


@pytest.mark.parametrize("what", [lambda: 1, functools.partial(lambda: 1), Dag()])
def test_what_has_no_name_needs_a_path(what: Any, ns: Namespace) -> None:
    with pytest.raises(NamespaceError, match=r"has no name.*nsref="):
        ns.register(what)
    assert ns.register(what, "a:b").target is what


async def test_everything_that_can_be_called_can_be_registered(ns: Namespace) -> None:
    ns.register(Shop, "a:Shop")
    ns.register(Shop(3), "a:shop")
    ns.register(Shop(4).sell, "a:sell")
    ns.register(functools.partial(fetch, times=2), "a:twice")
    ns.register(lambda number: number - 1, "a:less")
    ns.register(later, "a:later")
    ns.register("json:dumps", "a:dumps")

    assert ns.a.Shop(2).rate == 2
    assert (ns.a.shop(2), ns.a.sell(2), ns.a.twice("x"), ns.a.less(2)) == (6, 8, "xx", 1)
    assert await ns.a.later("x") == "x"
    assert ns.a.dumps([1]) == "[1]"
    assert [ns.get(f"a:{name}").method.is_async for name in ("later", "sell", "dumps")] == [
        True,
        False,
        False,
    ]


def test_a_registered_function_can_be_registered_elsewhere(ns: Namespace) -> None:
    node = Namespace().register(fetch, "a:b", decorate=shout)

    assert ns.register(node).nsref == "a:b"
    assert ns.a.b("x") == "x", "what another namespace has around it stays there"
    assert ns.register(node, "c:d").target is fetch


def test_register_stands_above_a_function() -> None:
    assert isinstance(decorated_in_place, NamespaceNode)
    assert decorated_in_place(1) == 2
    other = Namespace()
    assert other.register(f"{HERE}:decorated_in_place").target is decorated_in_place.target


@pytest.mark.parametrize("thing", [3, None, ["json:dumps"]])
def test_what_cannot_be_called_is_refused(thing: Any, ns: Namespace) -> None:
    with pytest.raises(TypeError):
        ns.register(thing, "a:b")
    assert ns.nodes() == []


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("a:b", r"'a:b' is registered already, as <function double"),
        ("a.b:c", r"goes through 'a.b', which is a leaf already \('a:b'\)"),
        ("a.b.c:d", r"goes through 'a.b', which is a leaf already"),
        ("x.y", r"would be a leaf|the leaf 'x.y' has a dot"),
        ("x:y", r"would be a leaf, and is a branch already \('x.y:z'\)"),
        ("x", r"would be a leaf, and is a branch already"),
        ("a", r"would be a leaf, and is a branch already \('a:b'\)"),
        ("query", r"ns.query is the namespace's own.*nsref='tools:query'"),
        ("get", r"ns.get is the namespace's own"),
        ("a:", r"names a branch and no leaf"),
        ("a b:c", r"cannot be a path"),
    ],
)
def test_a_path_that_is_taken_or_malformed_is_refused(
    path: str, problem: str, ns: Namespace
) -> None:
    ns.register(double, "a:b")
    ns.register(double, "x.y:z")

    with pytest.raises(NamespaceError, match=problem) as caught:
        ns.register(fetch, path)

    assert isinstance(caught.value, ValueError)
    assert [str(node.nsref) for node in ns] == ["a:b", "x.y:z"]


def test_names_of_methods_are_fine_in_branches(ns: Namespace) -> None:
    ns.register(double, "query.get:register")
    ns.register(double, "tools:query")
    ns.register(double, "tools:mount")

    assert ns.tools.query(2) == ns.tools.mount(2) == 4
    assert ns.get("query.get:register")(2) == 4


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("market.data:fetc", "nothing is registered as 'market.data:fetc'; did you mean"),
        ("market:fetch", "did you mean 'market.data:fetch'"),
        ("fetch", "nothing is registered as 'fetch'"),
        ("market.data:", "this names a branch and no leaf: 'market.data:'; did you mean"),
    ],
)
def test_a_missing_path_is_an_error_with_the_nearest(
    path: str, problem: str, ns: Namespace
) -> None:
    ns.register(fetch, "market.data:fetch")

    for find in (ns.get, ns.get_as_dag):
        with pytest.raises(NotRegistered, match=problem) as caught:
            find(path)
        assert isinstance(caught.value, KeyError)
        assert not isinstance(caught.value, AttributeError)


def test_a_missing_name_behind_a_dot_is_an_attribute_error(ns: Namespace) -> None:
    ns.register(fetch, "market.data:fetch")

    with pytest.raises(AttributeError, match="the namespace has no 'markt'; did you mean 'market'"):
        _ = ns.markt
    with pytest.raises(NoSuchLeaf, match=r"branch market.data has no 'fetsh'; did you mean"):
        _ = ns.market.data.fetsh
    with pytest.raises(AttributeError, match=r"<node market.data:fetch> has no 'tagz'; .*'tags'"):
        _ = ns.market.data.fetch.tagz
    assert not hasattr(ns, "markt")
    assert not hasattr(ns.market, "__deepcopy__")
    assert not hasattr(ns, "__deepcopy__")
    assert not hasattr(ns.market.data.fetch, "_private")


def test_all_are_registered_or_none(ns: Namespace) -> None:
    ns.register_all(fetch, later, "json:dumps", Downloads("k"), fragments_of_files)

    assert [node.nsref.name for node in ns] == [
        "fetch",
        "later",
        "dumps",
        "fetch",
        "listed",
        "count",
        "fetch",
        "newest",
    ]
    with pytest.raises(NamespaceError, match="registered already"):
        ns.register_all(double, fetch)
    with pytest.raises(NamespaceError, match="registered already"):
        Namespace().register_all(double, double)
    assert f"{HERE}:double" not in ns


def test_other_alphabets_have_names_too(ns: Namespace) -> None:
    ns.register(double, "märkte.größe:ﬁnde")

    assert ns.märkte.größe.finde(2) == ns.get("ma\u0308rkte.größe:finde")(2) == 4


# --- references -----------------------------------------------------------------------------


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A module that nobody has imported yet."""
    (tmp_path / "looked_at_late.py").write_text(
        "from lythonic_compose.marks import nsnode\n"
        "@nsnode(tags=['late'])\n"
        "def fetch(url: str) -> str: return url\n"
        "class Nodes: pass\n"
        "value = 3\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield "looked_at_late"
    sys.modules.pop("looked_at_late", None)


@pytest.mark.parametrize(
    "look",
    [
        lambda node: node("x"),
        lambda node: node.method.args,
        lambda node: node.tags,
        lambda node: node.expects_dag_context(),
        lambda node: node.target,
    ],
)
def test_a_reference_is_imported_when_it_is_looked_at(
    look: Callable[[NamespaceNode], Any], module: str, ns: Namespace
) -> None:
    node = ns.register(f"{module}:fetch", "a:b", config=NsNodeConfig(tags=frozenset({"given"})))
    ns.mount("storage")
    assert (node.method.name, node.own_tags, ns.a.b) == ("fetch", {"given"}, node)
    assert ns.to_dict()["namespace"][0]["gref"] == f"{module}:fetch"
    assert not node.is_imported
    assert module not in sys.modules

    look(node)

    assert node.is_imported
    assert module in sys.modules
    assert node.tags == {"given", "late"}


@pytest.mark.parametrize(
    ("name", "error", "problem"),
    [
        ("fetsh", MissingObject, "did you mean 'fetch'"),
        ("value", WrongKind, "expected a function or another callable, got looked_at_late:value"),
    ],
)
def test_a_bad_reference_is_an_error_that_says_where_it_stands(
    name: str, error: type[Exception], problem: str, module: str, ns: Namespace
) -> None:
    node = ns.register(f"{module}:{name}", "a:b")

    for look in (node, lambda: node.tags, lambda: ns.query("x"), lambda: node.expects_dag_context):
        with pytest.raises(error, match=problem) as caught:
            look()()
        assert "registered as a:b" in caught.value.__notes__
    with pytest.raises(NamespaceError, match="cannot name a Python object"):
        ns.register("json:1")


def test_a_module_that_raises_is_an_error_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ns: Namespace
) -> None:
    (tmp_path / "raises_when_imported.py").write_text("raise OSError('no disk')")
    monkeypatch.syspath_prepend(tmp_path)
    node = ns.register("raises_when_imported:fetch", "a:b")

    for _ in range(2):
        with pytest.raises(ImportFailed, match="OSError: no disk"):
            node()


# --- decorating -----------------------------------------------------------------------------


def test_a_decorator_is_called_once_and_what_it_gives_is_called_instead(ns: Namespace) -> None:
    calls: list[Any] = []

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        calls.append(function)
        return lambda *args: f"<{function(*args)}>"

    node = ns.register(fetch, "a:b", decorate=counted)
    lazy = ns.register(f"{HERE}:fetch", "a:c", decorate=counted)

    assert calls == [fetch]
    assert (node("x"), node("y"), lazy("z"), lazy("z")) == ("<x>", "<y>", "<z>", "<z>")
    assert calls == [fetch, fetch]
    assert [arg.name for arg in node.method.args] == ["url", "times"], "as of the function"
    assert node.target is fetch
    assert node.callable is not fetch


def test_what_a_decorator_may_not_give_is_refused(ns: Namespace) -> None:
    async def waiting(url: str) -> str:
        return url

    with pytest.raises(WrongKind, match="decorate gave None"):
        ns.register(fetch, "a:b", decorate=lambda function: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(WrongKind, match="made an async function of one that is not"):
        ns.register(fetch, "a:b", decorate=lambda function: waiting)
    assert ns.register(later, "a:b", decorate=shout).method.is_async


def test_attributes_of_what_is_called_are_those_of_the_node(ns: Namespace) -> None:
    node = ns.register(functools.lru_cache(double), "a:b")

    assert (node(2), node(2)) == (4, 4)
    assert node.cache_info().hits == 1


# --- tags -----------------------------------------------------------------------------------


def test_a_query_finds_what_its_tags_choose(ns: Namespace) -> None:
    ns.register(fetch, "a:fetch", tags=["slow"], config=NsNodeConfig(tags=frozenset({"market"})))
    ns.register(double, "a:double", tags=["slow"])
    ns.register(marked_elsewhere, "a:marked")
    ns.register(len, "a:len")

    def found(query: str) -> list[str]:
        return [node.nsref.name for node in ns.query(query)]

    assert found("slow & ~market") == ["double", "marked"]
    assert found("market | ~slow") == ["fetch", "len"]
    assert found("nobody") == []
    with pytest.raises(ValueError, match="at character 6"):
        ns.query("slow market")


@pytest.mark.parametrize("tags", ["slow", ["a b"], [3]])
def test_tags_are_checked_when_they_are_given(tags: Any, ns: Namespace) -> None:
    with pytest.raises((WrongKind, NamespaceError)):
        ns.register(fetch, "a:b", tags=tags)


# --- contexts and Dags ----------------------------------------------------------------------


class ShopContext(DagContext):
    rate: int


def test_a_node_says_whether_it_expects_a_context(ns: Namespace) -> None:
    def first(ctx: DagContext, item: str) -> None: ...
    def of_its_own(ctx: ShopContext) -> None: ...
    def second(item: str, ctx: DagContext) -> None: ...
    def untyped(ctx, item): ...  # type: ignore[no-untyped-def]
    def none() -> None: ...

    class Callable_:  # noqa: N801
        def __call__(self, ctx: DagContext) -> None: ...

    found = [
        ns.register(what, f"a:n{number}").expects_dag_context()
        for number, what in enumerate([first, of_its_own, second, untyped, none, Callable_()])
    ]
    assert found == [True, True, False, False, False, True]


async def test_a_dag_is_found_as_one(ns: Namespace) -> None:
    dag = daily()
    ns.register(dag, "dags:it")
    ns.register(daily, "dags:factory")
    ns.register(f"{HERE}:daily", "dags:reference")
    ns.register(f"{HERE}:daily__", "dags:made")

    assert ns.get_as_dag("dags:it") is dag
    for path in ("dags:factory", "dags:reference", "dags:made"):
        found = ns.get_as_dag(path)
        assert isinstance(found, Dag)
        assert ns.get_as_dag(path) is found is not dag
        assert (await found(number=2)).outputs == {"double": 4}
    assert (await ns.dags.made(number=3)).outputs == {"double": 6}
    assert isinstance(ns.dags.factory(), Dag)


@pytest.mark.parametrize(
    ("what", "problem"),
    [
        (double, r"is <function double .* and no Dag; put it into one: dag = Dag\(\)"),
        (Dag, "and no Dag"),
        (no_dag, "returned 3, which is no Dag"),
        (needy, "needs day; it is called without arguments"),
        (async_factory, "is an async @dag_factory"),
    ],
)
def test_what_is_no_dag_is_not_found_as_one(what: Any, problem: str, ns: Namespace) -> None:
    ns.register(what, "a:b")

    with pytest.raises(TypeError, match=problem):
        ns.get_as_dag("a:b")


def test_a_dag_takes_nodes_of_a_namespace(ns: Namespace) -> None:
    ns.register(fetch, "a:first", decorate=shout)
    ns.register(len, "a:size")
    with Dag() as dag:
        dag.node(ns.get("a:first")) >> dag.node(ns.a.size)

    result = dag.run_sync(url="xy")
    assert result.outputs == {"size": 3}
    assert result[fetch] == "xy!"


# --- fragments ------------------------------------------------------------------------------


class Downloads(NamespaceFragment):
    def __init__(self, key: str) -> None:
        self.key = key

    @nsnode(tags=["slow"])
    def fetch(self, url: str) -> str:
        return f"{self.key} {url}"

    @nsnode
    async def listed(self) -> list[str]:
        return [self.key]

    @nsnode
    @staticmethod
    def count(items: list[str]) -> int:
        return len(items)

    def helper(self) -> None:
        raise AssertionError("not marked")


class Faster(Downloads):
    @nsnode(tags=["fast"])
    def fetch(self, url: str) -> str:
        return f"fast {super().fetch(url)}"

    async def listed(self) -> list[str]:  # not marked again, so it is no node
        return []


@mount_required
class Stored(NamespaceFragment):
    def __init__(self) -> None:
        self.storage: Any = None

    def mount(self, storage: Any) -> None:
        self.storage = storage

    @nsnode
    def where(self) -> Any:
        return self.storage


class Nothing(NamespaceFragment):
    pass


class Prices(NamespaceFragment):
    @nsnode
    @require_cache
    def price(self, item: str) -> float:
        return len(item)


async def test_a_class_is_registered_with_what_is_marked_in_it(ns: Namespace) -> None:
    nodes = ns.register_fragment(Downloads, "downloads:", init={"key": "k"}, tags=["all"])

    assert [str(node.nsref) for node in nodes] == [
        "downloads:fetch",
        "downloads:listed",
        "downloads:count",
    ]
    assert ns.downloads.fetch("u") == "k u"
    assert await ns.downloads.listed() == ["k"]
    assert ns.downloads.count(["a", "b"]) == 2
    assert ns.downloads.fetch.tags == {"slow", "all"}
    assert [arg.name for arg in ns.downloads.fetch.method.args] == ["url"]
    with pytest.raises(NamespaceError, match="is part of the fragment Downloads"):
        nodes[0].to_config()


def test_what_a_derived_class_says_counts(ns: Namespace) -> None:
    ns.register_fragment(Faster("k"), "faster:")

    assert dir(ns.faster) == ["count", "fetch"]
    assert ns.faster.fetch("u") == "fast k u"
    assert ns.faster.fetch.tags == {"fast"}


@pytest.mark.parametrize("module", [fragments_of_files, "tests.compose.fragments_of_files:"])
def test_a_module_is_registered_with_what_is_marked_in_it(module: Any, ns: Namespace) -> None:
    ns.register_fragment(module, "files:")
    assert ns.files.fetch("u") == "file u"
    assert dir(ns.files) == ["fetch", "newest"]

    other = Namespace()
    other.register_fragment(module)
    assert other.tests.compose.fragments_of_files.fetch("u") == "file u"


@pytest.mark.parametrize(
    ("fragment", "options", "error", "problem"),
    [
        (Downloads, {}, ConfigError, "init: Downloads needs 'key'"),
        (
            Downloads,
            {"init": {"key": 1, "kei": 2}},
            ConfigError,
            "init: Downloads takes no 'kei'; did you mean 'key'",
        ),
        (Downloads("k"), {"init": {"key": 1}}, ConfigError, "has been made already"),
        (Nothing, {}, NamespaceError, "nothing in Nothing is marked @nsnode"),
        (fetch, {}, WrongKind, "a fragment is a NamespaceFragment or a module"),
        (f"{HERE}:fetch", {}, WrongKind, f"got {HERE}:fetch"),
        (Downloads("k"), {"nsref": "a:b"}, NamespaceError, "did you mean 'a.b:'"),
        (
            Downloads("k"),
            {"configs": {"fetsh": NsNodeConfig()}},
            ConfigError,
            "has no node 'fetsh'; did you mean 'fetch'",
        ),
        (Prices, {}, ConfigError, "is marked @require_cache and has none"),
    ],
)
def test_what_is_wrong_with_a_fragment_is_told_and_nothing_is_registered(
    fragment: Any, options: Any, error: type[Exception], problem: str, ns: Namespace
) -> None:
    with pytest.raises(error, match=problem):
        ns.register_fragment(fragment, **options)
    assert ns.nodes() == []


@pytest.mark.parametrize(
    "what", [Downloads, Downloads("k"), fragments_of_files, "json:", "json", f"{HERE}:Downloads"]
)
def test_register_sends_a_fragment_where_it_belongs(what: Any, ns: Namespace) -> None:
    with pytest.raises(TypeError, match="register_fragment takes it"):
        ns.register(what, "a:b")(1)


# --- mounting -------------------------------------------------------------------------------

CACHE = NsCacheConfig.model_validate({"min_ttl": 0.5, "max_ttl": 2})


@pytest.fixture
def remembering(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Caches that are mounted say so instead of being caches, and which they are."""
    mounted: list[str] = []

    def mount(node: NamespaceNode, call: Callable[..., Any], storage: Any) -> Callable[..., Any]:
        if storage == "broken":
            raise ConfigError("no such storage")
        mounted.append(f"{node.nsref} on {storage}")
        return lambda *args, **kwargs: ("cached", storage, call(*args, **kwargs))

    monkeypatch.setattr(registered, "_MOUNTERS", {})
    how_to_mount(NsCacheConfig, mount)
    return mounted


def test_what_is_configured_as_cached_goes_through_its_cache_once_mounted(
    remembering: list[str], ns: Namespace
) -> None:
    ns.register(fetch, "a:cached", config=CACHE, decorate=shout)
    ns.register(fetch, "a:plain")
    ns.register(f"{HERE}:fetch", "a:lazy", config=CACHE)
    before = ns.a.cached
    assert before("x") == "x!"

    ns.mount("disk")

    assert remembering == ["a:cached on disk"]
    assert before("x") == ns.a.cached("x") == ("cached", "disk", "x!")
    assert ns.a.plain("x") == "x"
    assert ns.a.lazy("x") == ns.a.lazy("x") == ("cached", "disk", "x")
    ns.register(fetch, "a:after", config=CACHE)
    assert remembering == ["a:cached on disk", "a:lazy on disk", "a:after on disk"]


def test_a_dag_that_was_described_before_mounting_runs_through_the_cache(
    remembering: list[str], ns: Namespace
) -> None:
    ns.register(fetch, "a:fetch", config=CACHE)
    dag = Dag()
    dag.node(ns.get("a:fetch"))
    dag.validate()
    ns.mount("disk")

    assert remembering == ["a:fetch on disk"]
    assert dag.run_sync(url="x").outputs == {"fetch": ("cached", "disk", "x")}


def test_a_node_can_be_mounted_alone(remembering: list[str], ns: Namespace) -> None:
    ns.register(fetch, "a:one", config=CACHE).mount("its own")
    ns.register(fetch, "a:other", config=CACHE)
    assert (ns.a.one("x"), ns.a.other("x")) == (("cached", "its own", "x"), "x")

    ns.mount("disk")

    assert (ns.a.one("x")[1], ns.a.other("x")[1]) == ("its own", "disk")


def test_a_namespace_is_mounted_once(ns: Namespace) -> None:
    ns.mount("disk")
    ns.mount("disk")

    with pytest.raises(NamespaceError, match="is mounted on 'disk' already"):
        ns.mount("another")


def test_a_namespace_that_cannot_be_mounted_is_as_before(
    remembering: list[str], ns: Namespace
) -> None:
    ns.register_fragment(Stored(), "stored:")
    ns.register(fetch, "a:b", config=CACHE)

    with pytest.raises(ConfigError, match="no such storage"):
        ns.mount("broken")

    assert ns.a.b("x") == "x"
    with pytest.raises(NamespaceError, match="not to be called before it is mounted"):
        ns.stored.where()
    ns.mount("disk")
    assert (ns.a.b("x"), ns.stored.where()) == (("cached", "disk", "x"), "disk")


def test_a_configuration_that_nothing_can_mount_is_an_error(
    monkeypatch: pytest.MonkeyPatch, ns: Namespace
) -> None:
    monkeypatch.setattr(registered, "_MOUNTERS", {})
    ns.register(fetch, "a:b", config=CACHE)

    with pytest.raises(NamespaceError, match="a:b: nothing says how to mount a NsCacheConfig"):
        ns.mount("disk")


def mount_loudly(node: NamespaceNode, call: Callable[..., Any], storage: Any) -> Any:
    return shout(call)


def test_how_to_mount_may_be_a_reference(monkeypatch: pytest.MonkeyPatch, ns: Namespace) -> None:
    monkeypatch.setattr(registered, "_MOUNTERS", {})
    how_to_mount(NsCacheConfig, f"{HERE}:mount_loudly")
    ns.register(fetch, "a:b", config=CACHE)
    ns.mount("disk")

    assert ns.a.b("x") == "x!"


def test_a_function_that_requires_a_cache_is_not_called_without(
    remembering: list[str], ns: Namespace
) -> None:
    with pytest.raises(ConfigError, match="config=NsCacheConfig") as caught:
        ns.register(price, "a:b")
    assert isinstance(caught.value, ValueError)
    with pytest.raises(ConfigError):
        ns.register(price, "a:b", config=NsNodeConfig())
    with pytest.raises(ConfigError):
        Namespace().register(f"{HERE}:price", "a:b")("x")

    node = ns.register(price, "a:b", config=CACHE)
    with pytest.raises(NamespaceError, match=r"before it is mounted: ns.mount\(storage\)"):
        node("pear")
    ns.mount("disk")
    assert node("pear") == ("cached", "disk", 4)


def test_fragments_and_objects_are_told_their_storage(ns: Namespace) -> None:
    @mountable
    class Feed:
        storage: Any = None

        def mount(self, storage: Any) -> None:
            self.storage = storage

        def __call__(self) -> Any:
            return self.storage

    fragments_of_files.TOLD.clear()
    ns.register_fragment(Stored, "stored:")
    ns.register_fragment(fragments_of_files, "files:")
    ns.register(Feed(), "a:feed")
    assert ns.a.feed() is None, "mountable is not mount_required"
    for call in (ns.stored.where, ns.files.newest):
        with pytest.raises(ValueError, match="is not to be called before it is mounted"):
            call()
    assert ns.files.fetch("u") == "file u"

    ns.mount("disk")
    ns.register_fragment(Stored(), "later:")

    assert ns.stored.where() == ns.later.where() == ns.files.newest() == ns.a.feed() == "disk"
    assert fragments_of_files.TOLD == ["disk"]


def test_what_is_called_to_mount_is_not_async(ns: Namespace) -> None:
    @mountable
    class Slow(NamespaceFragment):
        async def mount(self, storage: Any) -> None: ...

        @nsnode
        def one(self) -> None: ...

    ns.register_fragment(Slow, "slow:")
    with pytest.raises(WrongKind, match=r"Slow\.mount is async"):
        ns.mount("disk")


# --- as configuration -----------------------------------------------------------------------


def test_what_is_written_down_is_registered_again(remembering: list[str], ns: Namespace) -> None:
    ns.register(fetch, "a:fetch", tags=["slow", "market"])
    ns.register(price, config=CACHE)
    ns.register(f"{HERE}:daily__", "dags:daily")
    ns.register(f"{HERE}:decorated_in_place")
    ns.register(decorated_in_place, "a:in_place")
    ns.register_fragment(
        Downloads, "downloads:", init={"key": "k"}, configs={"fetch": CACHE}, tags=["all"]
    )
    ns.register_fragment(fragments_of_files)

    written = ns.to_dict()

    assert written["namespace"][:3] == [
        {"nsref": "a:fetch", "gref": f"{HERE}:fetch", "tags": ["market", "slow"]},
        {
            "type": "cache",
            "nsref": f"{HERE}:price",
            "gref": f"{HERE}:price",
            "min_ttl": 0.5,
            "max_ttl": 2.0,
        },
        {"nsref": "dags:daily", "gref": f"{HERE}:daily__"},
    ]
    assert written["namespace"][5] == {
        "type": "fragment",
        "nsref": "downloads:",
        "gref": f"{HERE}:Downloads",
        "tags": ["all"],
        "init": {"key": "k"},
        "configs": {"fetch": {"min_ttl": 0.5, "max_ttl": 2.0}},
    }
    again = Namespace.from_dict(written)
    assert again.to_dict() == written
    assert sorted(node.nsref for node in again) == sorted(node.nsref for node in ns)
    assert {node.nsref: node.tags for node in again} == {node.nsref: node.tags for node in ns}
    again.mount("disk")
    assert again.downloads.fetch("u") == ("cached", "disk", "k u")
    assert again.a.in_place(1) == 2
    assert isinstance(again.get_as_dag("dags:daily"), Dag)


def other_place() -> Callable[..., Any]:
    @functools.wraps(fetch)
    def impostor(*args: Any) -> Any:
        return fetch(*args)

    return impostor


def test_everything_that_cannot_be_written_down_is_told_at_once(ns: Namespace) -> None:
    ns.register(functools.partial(fetch, "x"), "a:partial")
    ns.register(lambda: 1, "a:lambda")
    ns.register(Shop(1), "a:instance")
    ns.register(Shop(1).sell, "a:method")
    ns.register(daily(), "a:dag")
    ns.register(fetch, "a:decorated", decorate=shout)
    ns.register(other_place(), "a:other")
    ns.register_fragment(Downloads("k"), "made:")
    ns.register_fragment(Downloads, "unwritable:", init={"key": object()})
    ns.register(fetch, "a:fine")

    with pytest.raises(NamespaceError) as caught:
        ns.to_dict()

    first, *lines = str(caught.value).splitlines()
    assert first == "this cannot be written down:"
    problems = [
        "a:partial: .* is a partial",
        "a:lambda: .* is a lambda",
        "a:instance: .* is an instance",
        "a:method: .* is bound to an object",
        "a:dag is a Dag that was made in code",
        "a:decorated is decorated in code",
        "a:other: .*:fetch is something else",
        "a Downloads was made in code",
        "unwritable:: ",
    ]
    assert len(lines) == len(problems)
    for line, problem in zip(lines, problems, strict=True):
        assert re.match(problem, line)


@pytest.mark.parametrize(
    ("given_", "problem"),
    [
        (3, "read from a dict, got 3"),
        ({"namespce": []}, "no key 'namespce'; did you mean 'namespace'"),
        ({"namespace": {"a": 1}}, "namespace: Input should be a valid list"),
        ({"namespace": [{"nsref": "a:b"}]}, r"namespace\[0\]: it needs a gref"),
        ({"namespace": [{"gref": "json:dumps", "x": 1}]}, r"namespace\[0\].x: there is no such"),
        (
            {"namespace": [{"gref": "json:dumps"}, {"gref": "json:dumps"}]},
            r"namespace\[1\]: 'json:dumps' is registered already",
        ),
        ({"namespace": [{"type": "fragment", "gref": "jsoon:"}]}, r"namespace\[0\]: .*'jsoon'"),
    ],
)
def test_a_configuration_that_makes_no_sense_is_an_error(given_: Any, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        Namespace.from_dict(given_)


def test_an_empty_configuration_is_an_empty_namespace() -> None:
    assert Namespace.from_dict({}).nodes() == []
    assert Namespace.from_dict({"namespace": None}).to_dict() == {"namespace": []}


def test_a_config_is_one(ns: Namespace) -> None:
    with pytest.raises(TypeError, match="config is an NsNodeConfig"):
        ns.register(fetch, "a:b", config={"min_ttl": 1})  # type: ignore[call-overload]


PATHS = st.lists(
    st.builds(
        lambda scope, name: (*scope, name),
        st.lists(st.sampled_from("abc"), max_size=2),
        st.sampled_from("abcd"),
    ),
    max_size=12,
)


@given(paths=PATHS)
def test_a_namespace_holds_what_a_tree_can(paths: list[tuple[str, ...]]) -> None:
    ns = Namespace()
    held: list[tuple[str, ...]] = []
    for path in paths:
        clash = any(path[: len(other)] == other or other[: len(path)] == path for other in held)
        try:
            ns.register(double, NsRef.of(path[:-1], path[-1]))
        except NamespaceError:
            assert clash
        else:
            assert not clash
            held.append(path)
    assert [node.nsref.path for node in ns] == held
    for path in held:
        assert functools.reduce(getattr, path, ns) is ns.get(NsRef.of(path[:-1], path[-1]))


# --- threads --------------------------------------------------------------------------------


def test_threads_register_and_read_at_once_and_one_of_two_duplicates_wins(ns: Namespace) -> None:
    refused: list[str] = []
    starting = threading.Barrier(4)

    def register(thread: int) -> None:
        starting.wait()
        for number in range(40):
            ns.register(double, f"t{thread}.b:n{number}")
            try:
                ns.register(double, f"shared:n{number}")
            except NamespaceError as error:
                refused.append(str(error))
            assert ns.get(f"t{thread}.b:n{number}")(1) == 2
            assert len(ns.query("~none")) >= number

    threads = [threading.Thread(target=register, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(ns.nodes()) == 5 * 40
    assert len(refused) == 3 * 40


def test_threads_that_look_at_once_see_one_dag_and_decorate_once(ns: Namespace) -> None:
    decorated: list[Any] = []
    starting = threading.Barrier(8)
    made: set[int] = set()
    dags: set[int] = set()

    def once(function: Callable[..., Any]) -> Callable[..., Any]:
        decorated.append(function)
        return function

    node = ns.register(f"{HERE}:fetch", "a:b", decorate=once)
    ns.register(f"{HERE}:daily__", "a:made")
    ns.register(f"{HERE}:daily", "a:factory")

    def look() -> None:
        starting.wait()
        node("x")
        made.add(id(ns.get_as_dag("a:made")))
        dags.add(id(ns.get_as_dag("a:factory")))

    threads = [threading.Thread(target=look) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(decorated), len(made), len(dags)) == (1, 1, 1)
