"""What is registered, and under which path?

A namespace registers, finds, mounts and writes down. What a call of something registered goes
through is known by its node.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from types import ModuleType
from typing import Any, cast, overload

from pydantic_core import PydanticSerializationError

from .config import NsCacheConfig, NsConfig, NsFragmentConfig, NsNodeConfig, entries_of
from .errors import (
    ComposeError,
    ConfigError,
    NamespaceError,
    NoSuchLeaf,
    NotRegistered,
    WrongKind,
    nearest,
)
from .fragment import Fragment, NamespaceFragment, is_fragment
from .marks import checked_tags
from .refs import GlobalRef, NsRef
from .registered import (
    Decorate,
    FunctionConfig,
    Mount,
    MountPoint,
    NamespaceNode,
    P,
    R,
    how_to_mount,
    is_dag,
)
from .tags import parse_tags

__all__ = ["Branch", "Namespace", "NamespaceFragment", "NamespaceNode", "how_to_mount", "is_dag"]


class Namespace:
    """A tree of names for functions and Dags: dots between branches, a colon before the leaf.

    Example:
        >>> ns = Namespace()
        >>> ns.register(fetch, nsref="market.data:fetch", tags=["slow"])
        >>> ns.get("market.data:fetch")(url="https://example.com")
        >>> ns.market.data.fetch(url="https://example.com")
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        # replaced and never changed, so that reading needs no lock
        self._leaves: dict[tuple[str, ...], NamespaceNode] = {}
        self._fragments: tuple[_Placed, ...] = ()
        self._point = MountPoint()

    def __repr__(self) -> str:
        return f"<Namespace of {len(self._leaves)}>"

    # registering

    @overload
    def register(
        self,
        what: str,
        nsref: str | None = None,
        decorate: Decorate | None = None,
        tags: Iterable[str] | None = None,
        config: FunctionConfig | None = None,
    ) -> NamespaceNode: ...
    @overload
    def register(
        self,
        what: Callable[P, R],
        nsref: str | None = None,
        decorate: Decorate | None = None,
        tags: Iterable[str] | None = None,
        config: FunctionConfig | None = None,
    ) -> NamespaceNode[P, R]: ...
    def register(
        self,
        what: Callable[..., Any] | str,
        nsref: str | None = None,
        decorate: Decorate | None = None,
        tags: Iterable[str] | None = None,
        config: FunctionConfig | None = None,
    ) -> NamespaceNode[..., Any]:
        """Registers a function, a Dag, or a reference to one, which is not imported yet.

        Without a path it stands under its module and name. `decorate` is called once with the
        function, and gives what is called instead. It may stand above a function: `@ns.register`.

        Example:
            >>> ns.register(fetch, nsref="market.data:fetch", tags=["slow"])
            >>> ns.register("myapp.pipelines:daily__", nsref="reports:daily")

        Raises:
            NamespaceError: the path is malformed or taken, or there is none to be had.
            WrongKind: it cannot be called, or `register_fragment` takes it.
            ConfigError: it is marked `@require_cache`, and there is none in `config`.
        """
        node = self._node(what, nsref, decorate, tags, config)
        self._add([node])
        return node

    def register_all(self, *cc: Callable[..., Any] | ModuleType | NamespaceFragment | str) -> None:
        """Registers functions, Dags and fragments under their own names, all or none.

        Example:
            >>> ns.register_all(fetch, transform, "myapp.steps:validate", myapp.downloads)

        Raises:
            NamespaceError: as `register` does; also if two have one name.
        """
        nodes: list[NamespaceNode] = []
        fragments: list[_Placed] = []
        for what in cc:
            if is_fragment(what):
                fragments.append(self._placed(what, None, None, None, None))
                nodes += fragments[-1].nodes
            else:
                nodes.append(self._node(cast("Callable[..., Any]", what), None, None, None, None))
        self._add(nodes, fragments)

    def register_fragment(
        self,
        fragment: NamespaceFragment | type[NamespaceFragment] | ModuleType | str,
        nsref: str | None = None,
        *,
        init: Mapping[str, Any] | None = None,
        configs: Mapping[str, FunctionConfig] | None = None,
        tags: Iterable[str] | None = None,
    ) -> list[NamespaceNode]:
        """Registers what is marked `@nsnode` in a class or a module in one branch, all or none.

        A class is made with `init`; `configs` are for its functions by name, and `tags` for all.

        Example:
            >>> ns.register_fragment(Downloads, "downloads:", init={"key": key})
            >>> ns.register_fragment("myapp.steps:", "steps:")

        Raises:
            NamespaceError: nothing is marked, or a path is malformed or taken.
            ConfigError: the class cannot be made with `init`, `configs` names what it has not, or
                something in it is marked `@require_cache` and has none there.
            WrongKind: it is no fragment.
        """
        placed = self._placed(fragment, nsref, init, configs, tags)
        self._add(placed.nodes, [placed])
        return placed.nodes

    # finding

    def get(self, nsref: str) -> NamespaceNode:
        """What is registered under a path.

        Example:
            >>> ns.get("market.data:fetch")(url="https://example.com")

        Raises:
            NotRegistered: nothing is; the message names the nearest.
            NamespaceError: the path is malformed.
        """
        ref = NsRef(nsref)
        node = self._leaves.get(ref.path) if ref.name else None
        if node is None:
            why = "nothing is registered as" if ref.name else "this names a branch and no leaf:"
            known = [str(other.nsref) for other in self.nodes()]
            raise NotRegistered(f"{why} {str(ref)!r}{nearest(ref, known)}")
        return node

    def get_as_dag(self, nsref: str) -> Any:
        """The Dag that is registered under a path, or that the `@dag_factory` there makes, once.

        Example:
            >>> await ns.get_as_dag("reports:daily")(url="https://example.com")

        Raises:
            NotRegistered: nothing is registered there.
            WrongKind: it is no Dag, and makes none.
        """
        return self.get(nsref).as_dag()

    def query(self, tags: str) -> list[NamespaceNode]:
        """Everything whose tags an expression chooses: `~` over `&` over `|`, parentheses.

        The tags of `@nsnode` count, so references are imported.

        Example:
            >>> ns.query("slow & ~market")

        Raises:
            NamespaceError: the expression is malformed.
        """
        chooses = parse_tags(tags)
        return [node for node in self.nodes() if chooses(node.tags)]

    def nodes(self) -> list[NamespaceNode]:
        """Everything that is registered, in that order."""
        return list(self._leaves.values())

    def __iter__(self) -> Iterator[NamespaceNode]:
        return iter(self.nodes())

    def __contains__(self, nsref: object) -> bool:
        try:
            return NsRef(cast(str, nsref)).path in self._leaves
        except ComposeError:
            return False

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # Python and its tools look for many
            raise AttributeError(name)
        return self._below((), name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._names_below(())]

    # mounting

    def mount(self, storage: Any) -> None:
        """Gives it its storage: caches that are configured are opened, and fragments told.

        What has not been imported is mounted when it is. If something cannot be mounted, the
        namespace is not.

        Example:
            >>> ns.mount(StorageConfig(cache_db="cache.db"))

        Raises:
            NamespaceError: it is mounted on another storage already.
        """
        with self._lock:
            before = self._point.mount
            if before is not None and before.storage == storage:
                return
            if before is not None:
                raise NamespaceError(f"this namespace is mounted on {before.storage!r} already")
            mount = Mount(storage)
            ready = [(node, node.made_ready(mount)) for node in self.nodes() if node.is_imported]
            for placed in self._fragments:
                placed.fragment.tell(storage)
            for node, its in ready:
                node.take(its)
            self._point.mount = mount

    # as configuration

    def to_dict(self) -> dict[str, Any]:
        """What is registered, as a configuration says it.

        Example:
            >>> Namespace.from_dict(ns.to_dict()).get("market.data:fetch")

        Raises:
            NamespaceError: with everything that has no name to import it by, or was decorated.
        """
        entries: list[dict[str, Any]] = []
        problems: list[str] = []
        sources: list[NamespaceNode | _Placed] = [
            node for node in self.nodes() if node.fragment is None
        ]
        for source in [*sources, *self._fragments]:
            try:
                entries.append(_dumped(source.to_config()))
            except NamespaceError as error:
                problems.append(str(error))
        if problems:
            raise NamespaceError("\n".join(["this cannot be written down:", *problems]))
        return {"namespace": entries}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Namespace:
        """A namespace as a configuration says it; functions are imported when they are looked at.

        Example:
            >>> Namespace.from_dict({"namespace": [{"nsref": "a:b", "gref": "json:dumps"}]})

        Raises:
            ConfigError: with every place that makes no sense.
        """
        if not isinstance(given, Mapping):
            raise ConfigError(f"a namespace is read from a dict, got {given!r}")
        for key in given:
            if key != "namespace":
                raise ConfigError(f"there is no key {key!r}{nearest(str(key), ['namespace'])}")
        made = cls()
        made.configure(entries_of(given.get("namespace") or []))
        return made

    def configure(self, entries: Iterable[NsConfig]) -> None:
        """Registers the entries of a configuration.

        Example:
            >>> ns.configure([NsCacheConfig(gref="myapp.api:price", min_ttl=0.5, max_ttl=2)])

        Raises:
            ConfigError: with every entry that makes no sense; the others are registered.
        """
        problems: list[str] = []
        for number, entry in enumerate(entries):
            try:
                self._configured(entry)
            except ComposeError as error:
                problems.append(f"namespace[{number}]: {error}")
        if problems:
            raise ConfigError(problems)

    # below

    def _configured(self, entry: NsConfig) -> None:
        if entry.gref is None:
            raise ConfigError('it needs a gref: "package.module:name"')
        if isinstance(entry, NsFragmentConfig):
            self.register_fragment(
                entry.gref, entry.nsref, init=entry.init, configs=entry.configs, tags=entry.tags
            )
        elif is_fragment(entry.gref):
            raise ConfigError(f"{entry.gref} holds several nodes; write type: fragment")
        else:
            self.register(entry.gref, config=cast("FunctionConfig", entry))

    def _node(
        self,
        what: Callable[..., Any] | str,
        nsref: str | None,
        decorate: Decorate | None,
        tags: Iterable[str] | None,
        config: FunctionConfig | None,
        fragment: Fragment | None = None,
    ) -> NamespaceNode:
        if is_fragment(what):
            raise WrongKind(f"{what!r} holds several nodes; register_fragment takes it")
        if config is not None and type(config) not in (NsNodeConfig, NsCacheConfig):
            raise WrongKind(f"config is an NsNodeConfig or an NsCacheConfig, got {config!r}")
        if isinstance(what, NamespaceNode):
            nsref = nsref or what.nsref
            what = cast("Callable[..., Any] | str", what.given)
        given = GlobalRef(what) if isinstance(what, str) else what
        if not nsref:
            nsref = config.nsref if config is not None else None
        place = NsRef(nsref) if nsref is not None else _own_place(given)
        if not place.name:
            raise NamespaceError(f"{str(place)!r} names a branch and no leaf; add a name to it")
        return NamespaceNode(
            place,
            given,
            self._point,
            decorate=decorate,
            tags=checked_tags(tags or ()),
            config=config,
            fragment=fragment,
        )

    def _placed(
        self,
        what: Any,
        nsref: str | None,
        init: Mapping[str, Any] | None,
        configs: Mapping[str, FunctionConfig] | None,
        tags: Iterable[str] | None,
    ) -> _Placed:
        fragment = Fragment(what, init or {})
        place = NsRef(nsref) if nsref is not None else fragment.branch
        if place.name:
            raise NamespaceError(
                f"{str(place)!r} names a leaf, and {fragment.name} a branch; "
                f"did you mean {str(NsRef.of(place.path))!r}?"
            )
        known = dict(configs or {})
        for name in known:
            if name not in fragment.functions:
                raise ConfigError(
                    f"configs: {fragment.name} has no node {name!r}"
                    f"{nearest(name, fragment.functions)}"
                )
        nodes = [
            self._node(function, NsRef.of(place.scope, name), None, tags, known.get(name), fragment)
            for name, function in fragment.functions.items()
        ]
        return _Placed(fragment, place, known, checked_tags(tags or ()), nodes)

    def _add(self, nodes: Sequence[NamespaceNode], fragments: Sequence[_Placed] = ()) -> None:
        for node in nodes:
            if node.is_imported:
                node.check()
        with self._lock:
            leaves = dict(self._leaves)
            for node in nodes:
                _check_place(node, leaves)
                leaves[node.nsref.path] = node
            mount = self._point.mount
            if mount is not None:
                ready = [(node, node.made_ready(mount)) for node in nodes if node.is_imported]
                for placed in fragments:
                    placed.fragment.tell(mount.storage)
                for node, its in ready:
                    node.take(its)
            self._leaves = leaves
            self._fragments = (*self._fragments, *fragments)

    def _below(self, scope: tuple[str, ...], name: str) -> Any:
        leaves = self._leaves
        path = (*scope, name)
        if path in leaves:
            return leaves[path]
        names = self._names_below(scope)
        if name in names:
            return Branch(self, path)
        where = f"the branch {'.'.join(scope)}" if scope else "the namespace"
        raise NoSuchLeaf(f"{where} has no {name!r}{nearest(name, names)}")

    def _names_below(self, scope: tuple[str, ...]) -> list[str]:
        depth = len(scope)
        within = [path for path in self._leaves if len(path) > depth and path[:depth] == scope]
        return sorted({path[depth] for path in within})


class Branch:
    """A branch of a namespace: its attributes are what stands in it."""

    def __init__(self, namespace: Namespace, scope: tuple[str, ...]) -> None:
        self.__namespace = namespace
        self.__scope = scope

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return self.__namespace._below(self.__scope, name)

    def __dir__(self) -> list[str]:
        return self.__namespace._names_below(self.__scope)

    def __repr__(self) -> str:
        return f"<branch {'.'.join(self.__scope)} with {', '.join(dir(self))}>"


class _Placed:
    """A fragment in its branch."""

    def __init__(
        self,
        fragment: Fragment,
        place: NsRef,
        configs: Mapping[str, FunctionConfig],
        tags: frozenset[str],
        nodes: list[NamespaceNode],
    ) -> None:
        self.fragment = fragment
        self.nodes = nodes
        self._place = place
        self._configs = configs
        self._tags = tags

    def to_config(self) -> NsFragmentConfig:
        return NsFragmentConfig(
            nsref=self._place,
            gref=self.fragment.ref,
            tags=self._tags,
            init=self.fragment.init,
            configs=dict(self._configs),
        )


def _own_place(given: Callable[..., Any] | GlobalRef) -> NsRef:
    """Where something stands if nobody says where: its module and its name."""
    if isinstance(given, GlobalRef):
        module, name = given.module, given.name.removesuffix("__")
    else:
        if is_dag(given):
            raise NamespaceError(f'{given!r} has no name of its own; give it one: nsref="a.b:name"')
        inner: Any = given
        while isinstance(inner, partial):
            inner = inner.func
        named = inner if isinstance(getattr(inner, "__qualname__", None), str) else type(inner)
        module = getattr(named, "__module__", None) or ""
        name = named.__qualname__.rpartition("<locals>.")[2]
        if name == "<lambda>":
            raise NamespaceError('a lambda has no name; give it one: nsref="a.b:name"')
    *classes, leaf = name.split(".")
    return NsRef.of([*filter(None, [module]), *classes], leaf)


def _check_place(node: NamespaceNode, leaves: Mapping[tuple[str, ...], NamespaceNode]) -> None:
    path = node.nsref.path
    taken = leaves.get(path)
    if taken is not None:
        raise NamespaceError(
            f"{str(node.nsref)!r} is registered already, as {taken.given!r}; "
            "choose another path with nsref="
        )
    for length in range(1, len(path)):
        if path[:length] in leaves:
            leaf = leaves[path[:length]].nsref
            raise NamespaceError(
                f"{str(node.nsref)!r} goes through {'.'.join(path[:length])!r}, which is a leaf "
                f"already ({str(leaf)!r}); choose another path with nsref="
            )
    within = next((other for other in leaves if other[: len(path)] == path), None)
    if within is not None:
        raise NamespaceError(
            f"{str(node.nsref)!r} would be a leaf, and is a branch already "
            f"({str(leaves[within].nsref)!r}); choose another path with nsref="
        )
    if len(path) == 1 and hasattr(Namespace, path[0]):
        raise NamespaceError(
            f"ns.{path[0]} is the namespace's own, so {path[0]!r} cannot stand at its root; "
            f"put it into a branch: nsref={f'tools:{path[0]}'!r}"
        )


def _dumped(entry: NsConfig) -> dict[str, Any]:
    try:
        dumped = entry.model_dump(mode="json", exclude_defaults=True)
    except PydanticSerializationError as error:
        raise NamespaceError(f"{entry.nsref}: {error}") from error
    kind = {} if isinstance(entry, NsNodeConfig) else {"type": cast(Any, entry).type}
    return {**kind, **dumped}


how_to_mount(NsCacheConfig, "lythonic_compose.cached:mount_cached")
