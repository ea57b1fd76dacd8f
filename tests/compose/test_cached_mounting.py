"""How functions in a namespace get their caches: in code, by configuration, as in the tutorial."""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from lythonic_compose.cached import (
    CacheError,
    CacheRefreshPushback,
    CacheRefreshSuppressed,
    register_cached_callable,
)
from lythonic_compose.config import NsCacheConfig
from lythonic_compose.errors import ConfigError, ImportFailed, NamespaceError
from lythonic_compose.marks import nsnode, require_cache
from lythonic_compose.registry import Namespace, NamespaceFragment

CALLS: list[Any] = []


@pytest.fixture(autouse=True)
def no_calls_yet() -> None:
    CALLS.clear()


@dataclass(frozen=True)
class Storage:
    cache_db: Path | None


def price(symbol: str, client: object = None) -> float:
    CALLS.append(symbol)
    if symbol == "limited":
        raise CacheRefreshPushback(1, "market")
    return 1.5


async def volume(symbol: str) -> int:
    CALLS.append(symbol)
    return 3


@require_cache
def needs_cache(symbol: str) -> float:
    CALLS.append(symbol)
    return 1.5


class Downloads(NamespaceFragment):
    def __init__(self, key: str) -> None:
        self.key = key

    @nsnode
    def fetch(self, name: str) -> str:
        CALLS.append((self.key, name))
        return f"{self.key}/{name}"


def test_the_tutorials_caching_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    ns = Namespace()

    register_cached_callable(
        ns,
        gref="lythonic_compose.namespace:_parse_nsref",
        min_ttl=0.5,
        max_ttl=2.0,
        db_path=Path("cache.db"),
        nsref="cache:parse_nsref",
    )

    for _ in range(2):
        result = ns.cache.parse_nsref(nsref="market.data:fetch_prices")
        assert result == (["market", "data"], "fetch_prices")
    stats = ns.cache.parse_nsref.stats()
    assert (stats.hits, stats.misses) == (1, 1)
    assert (tmp_path / "cache.db").is_file()


async def test_functions_and_references_are_registered_with_their_caches(tmp_path: Path) -> None:
    ns = Namespace()
    path = tmp_path / "cache.db"
    node = register_cached_callable(
        ns, price, timedelta(hours=6), 2, path, "market:price", ignore=("client",), tags=["slow"]
    )
    register_cached_callable(ns, f"{__name__}:volume", 0.5, 2, path)

    assert [ns.market.price("A", client=object()), ns.market.price(symbol="A")] == [1.5, 1.5]
    volume_here = ns.get(f"{__name__}:volume")
    assert [await volume_here("A"), await volume_here("A")] == [3, 3]
    assert CALLS == ["A", "A"]
    assert ns.query("slow") == [node]
    assert node.invalidate(symbol="A") == 1


def test_what_cannot_be_cached_is_not_registered(tmp_path: Path) -> None:
    ns = Namespace()
    path = tmp_path / "cache.db"

    with pytest.raises(CacheError, match="the parameter client of price is object"):
        register_cached_callable(ns, price, 1, 2, path)
    with pytest.raises(CacheError, match="longer than max_ttl"):
        register_cached_callable(ns, volume, 2, 1, path)
    with pytest.raises(ImportFailed):
        register_cached_callable(ns, f"{__name__}:prise", 1, 2, path)
    assert ns.nodes() == []


def test_ages_without_end_are_as_long_as_there_are(tmp_path: Path) -> None:
    ns = Namespace()
    register_cached_callable(
        ns, needs_cache, float("inf"), float("inf"), tmp_path / "cache.db", "a:b"
    )

    assert [ns.a.b("A"), ns.a.b("A")] == [1.5, 1.5]
    assert CALLS == ["A"]


def test_configured_caches_are_opened_when_the_namespace_is_mounted(tmp_path: Path) -> None:
    ns = Namespace.from_dict(
        {
            "namespace": [
                {
                    "type": "cache",
                    "nsref": "market:price",
                    "gref": f"{__name__}:price",
                    "min_ttl": 0.5,
                    "max_ttl": 2,
                    "ignore": ["client"],
                }
            ]
        }
    )
    ns.market.price("A")
    ns.market.price("A")
    assert CALLS == ["A", "A"]

    ns.mount(Storage(tmp_path / "cache.db"))
    ns.market.price("A")
    ns.market.price("A")
    assert CALLS == ["A", "A", "A"]


def test_a_storage_without_a_place_for_caches_is_refused() -> None:
    ns = Namespace()
    ns.register(price, "a:b", config=NsCacheConfig(min_ttl=1, max_ttl=2, ignore=("client",)))

    with pytest.raises(ConfigError, match=r"a:b has a cache, and .* says no cache_db"):
        ns.mount(Storage(None))


def test_a_function_that_requires_a_cache_is_called_through_it_only(tmp_path: Path) -> None:
    ns = Namespace()
    ns.register(needs_cache, "a:b", config=NsCacheConfig(min_ttl=1, max_ttl=2))
    with pytest.raises(NamespaceError, match="before it is mounted"):
        ns.a.b("A")

    ns.mount(Storage(tmp_path / "cache.db"))
    assert [ns.a.b("A"), ns.a.b("A")] == [1.5, 1.5]
    assert CALLS == ["A"]


def test_fragments_of_one_class_do_not_share_results(tmp_path: Path) -> None:
    ns = Namespace()
    config = NsCacheConfig(min_ttl=1, max_ttl=2)
    for branch in ("one", "two"):
        ns.register_fragment(
            Downloads, f"{branch}:", init={"key": branch}, configs={"fetch": config}
        )
    ns.mount(Storage(tmp_path / "cache.db"))

    for _ in range(2):
        assert ns.one.fetch("x") == "one/x"
        assert ns.two.fetch("x") == "two/x"
    assert CALLS == [("one", "x"), ("two", "x")]


def test_a_pushback_reaches_functions_by_their_place_in_the_namespace(tmp_path: Path) -> None:
    ns = Namespace()
    path = tmp_path / "cache.db"
    register_cached_callable(ns, price, 1, 2, path, "market:price", ignore=("client",))
    register_cached_callable(ns, needs_cache, 1, 2, path, "market.deep:other")
    register_cached_callable(ns, needs_cache, 1, 2, path, "elsewhere:other")

    for call, symbol in [(ns.market.price, "limited"), (ns.market.deep.other, "A")]:
        with pytest.raises(CacheRefreshSuppressed):
            call(symbol)
    assert ns.elsewhere.other("A") == 1.5
