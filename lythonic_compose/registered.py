"""What does a call of something registered go through?

One node of a namespace: what it was made of, what is known of it, and how mounting changes its
calls. What else is registered, and how a cache is built, is not known here; a Dag is recognised by
what it can do.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Generic, TypeAlias, cast

from typing_extensions import ParamSpec, TypeVar

from lythonic_state.fields import frozen
from lythonic_state.later import Later

from .context import is_context
from .errors import ConfigError, NamespaceError, WrongKind, nearest
from .fragment import Fragment, is_fragment, tell
from .marks import is_cache_required, is_dag_factory, is_mount_required, nsnode_tags
from .refs import GlobalRef, NsRef
from .signature import Method

if TYPE_CHECKING:
    from . import config as configs
    from .config import NsCacheConfig, NsConfig, NsNodeConfig
else:  # five models, which a graph of plain functions does not need
    configs = Later(__package__, "config")

P = ParamSpec("P", default=...)
R = TypeVar("R", default=Any)

Decorate: TypeAlias = Callable[[Callable[..., Any]], Callable[..., Any]]
FunctionConfig: TypeAlias = "NsNodeConfig | NsCacheConfig"
Mounter: TypeAlias = "Callable[[NamespaceNode, Callable[..., Any], Any], Callable[..., Any]]"
"""Makes of a node, what its calls went through so far, and a storage, what they go through now."""


@frozen(eq=False, slots=False)
class Mount:
    """That something was given this storage."""

    storage: Any


class MountPoint:
    """Where all nodes of a namespace look whether it is mounted."""

    mount: Mount | None = None


@frozen(slots=False)
class Ready:
    """What calls go through on this mount."""

    mount: Mount | None
    call: Callable[..., Any]
    too_early: bool = False
    """It is not to be called before it is mounted."""


_MOUNTERS: Final[dict[type[NsConfig], Mounter | str]] = {}


def how_to_mount(config: type[NsConfig], mounter: Mounter | str) -> None:
    """Says what becomes of the calls of nodes with such a configuration once they are mounted.

    A reference is imported when the first of them is.
    """
    _MOUNTERS[config] = mounter


class NamespaceNode(Generic[P, R]):
    """Something registered: it is called as what it was made of, and tells about it.

    Attributes that it has not are those of what its calls go through.

    Example:
        >>> node = ns.get("market.data:fetch")
        >>> node.nsref, node.tags
        (NsRef('market.data:fetch'), frozenset({'slow'}))
        >>> node(url="https://example.com")
    """

    def __init__(
        self,
        nsref: NsRef,
        given: Callable[P, R] | GlobalRef,
        point: MountPoint,
        *,
        decorate: Decorate | None = None,
        tags: frozenset[str] = frozenset(),
        config: FunctionConfig | None = None,
        fragment: Fragment | None = None,
    ) -> None:
        self.nsref = nsref
        self.__name__ = nsref.name
        self.given = given
        """What was registered: a callable, or a reference that nobody may have looked at yet."""
        self.method = Method(given)
        """What it takes and returns."""
        self.config = config
        self.fragment = fragment
        self.metadata: dict[str, Any] = {}
        """Whatever anybody wants to keep beside it; it is written nowhere."""
        self.own_tags = tags.union(config.tags if config is not None else ())
        """The tags that it was registered with."""
        self._point = point
        self._own_mount: Mount | None = None
        self._decorate = decorate
        self._lock = threading.RLock()
        self._decorated: Callable[..., Any] | None = None
        self._ready: Ready | None = None
        self._dag: Any = None

    def __repr__(self) -> str:
        return f"<node {self.nsref}>"

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        return cast(R, self.callable(*args, **kwargs))

    def __getattr__(self, name: str) -> Any:
        if name == "__wrapped__":  # so that tools see its signature and marks
            return self.target
        if name.startswith("_"):
            raise AttributeError(f"{type(self).__name__} has no {name!r}")
        call = self.callable
        try:
            return getattr(call, name)
        except AttributeError:
            known = [*dir(self), *dir(call)]
            public = [other for other in known if not other.startswith("_")]
            raise AttributeError(f"{self!r} has no {name!r}{nearest(name, public)}") from None

    @property
    def target(self) -> Any:
        """What was registered, without anything around it; a reference is imported now."""
        target = self.method.target
        # "mod:fetch" where @ns.register stands above fetch
        return target.target if isinstance(target, NamespaceNode) else target

    @property
    def callable(self) -> Callable[..., Any]:
        """What calls go through: the function, decorated, and once it is mounted with its cache.

        Raises:
            NamespaceError: it is not to be called before its namespace is mounted.
            ImportFailed: it was registered as a reference, which cannot be imported.
        """
        mount = self._mount
        ready = self._ready
        if ready is None or ready.mount is not mount:
            # before the lock is taken, for another thread may be importing what calls this
            self._look()
            with self._lock:
                ready = self._ready
                if ready is None or ready.mount is not mount:
                    self._ready = ready = self.made_ready(mount)
        if ready.too_early:
            raise NamespaceError(
                f"{self.nsref} is not to be called before it is mounted: ns.mount(storage)"
            )
        return ready.call

    @property
    def tags(self) -> frozenset[str]:
        """The tags that it was registered with, and those of `@nsnode`."""
        return self.own_tags | nsnode_tags(self._look())

    @property
    def is_imported(self) -> bool:
        """Whether it has been looked at: a reference may not have been."""
        return self.method.is_imported

    def expects_dag_context(self) -> bool:
        """Whether its first parameter is given the context of its run."""
        self._look()
        args = self.method.args
        return bool(args) and is_context(args[0].annotation)

    def as_dag(self) -> Any:
        """The Dag that it is, or that it makes as a `@dag_factory`, once.

        Raises:
            WrongKind: it is no Dag, and makes none.
        """
        target = self._look()
        if is_dag(target):
            return target
        if not is_dag_factory(target):
            raise WrongKind(
                f"{self.nsref} is {target!r} and no Dag; put it into one: "
                f"dag = Dag(); dag.node({self.nsref.name}), "
                "or mark it @dag_factory if it returns one"
            )
        with self._lock:
            if self._dag is None:
                self._dag = _made_by(target, self.nsref)
            return self._dag

    def mount(self, storage: Any) -> None:
        """Gives this node alone a storage, in place of the one of its namespace.

        Example:
            >>> node.mount(StorageConfig(cache_db="prices.db"))
        """
        mount = Mount(storage)
        self._look()
        with self._lock:
            self._ready = self.made_ready(mount)
            self._own_mount = mount

    def check(self) -> None:
        """Finds what is wrong with it, importing what is a reference.

        Raises:
            ConfigError: it is marked `@require_cache` and has none.
            WrongKind: `decorate` gave something that cannot be called, or only with await.
        """
        target = self._look()
        if is_fragment(target):
            raise WrongKind(
                f"{self.nsref}: {target!r} holds several nodes; register_fragment takes it, and in "
                "a configuration type: fragment"
            )
        if is_cache_required(target) and not isinstance(self.config, configs.NsCacheConfig):
            raise ConfigError(
                f"{self.nsref} is marked @require_cache and has none; "
                "register it with config=NsCacheConfig(min_ttl=…, max_ttl=…)"
            )
        with self._lock:
            if self._decorated is None:
                self._decorated = self._decorated_now(target)

    # for the namespace

    def made_ready(self, mount: Mount | None) -> Ready:
        """What calls go through on a mount; nothing of the node is changed."""
        self.check()
        call = cast("Callable[..., Any]", self._decorated)
        if mount is None:
            return Ready(None, call, self._waits_for_mount())
        if self.fragment is None:
            tell(self.target, mount.storage)
        if isinstance(self.config, configs.NsCacheConfig):
            call = self._mounter(type(self.config))(self, call, mount.storage)
        return Ready(mount, call)

    def take(self, ready: Ready) -> None:
        """Lets calls go through this from now on."""
        with self._lock:
            self._ready = ready

    def to_config(self) -> NsConfig:
        """The node as an entry of a configuration.

        Raises:
            NamespaceError: it was decorated, or has no name to import it by.
        """
        if self.fragment is not None:
            raise NamespaceError(f"{self.nsref} is part of the fragment {self.fragment.name}")
        if self._decorate is not None:
            raise NamespaceError(
                f"{self.nsref} is decorated in code; "
                "decorate the function where it is defined, and register that"
            )
        config: NsConfig = self.config or configs.NsNodeConfig()
        update = {"nsref": self.nsref, "gref": self._gref(), "tags": self.own_tags}
        return config.model_copy(update=update)

    # below

    @property
    def _mount(self) -> Mount | None:
        return self._own_mount or self._point.mount

    def _look(self) -> Any:
        """What was registered; a reference that cannot be imported says where it stands."""
        try:
            return self.target
        except Exception as error:
            error.add_note(f"registered as {self.nsref}")
            raise

    def _mounter(self, kind: type[NsConfig]) -> Mounter:
        found = _MOUNTERS.get(kind)
        if found is None:
            raise NamespaceError(f"{self.nsref}: nothing says how to mount a {kind.__name__}")
        return cast(Mounter, GlobalRef(found).get_instance()) if isinstance(found, str) else found

    def _waits_for_mount(self) -> bool:
        if self.fragment is not None and self.fragment.waits_for_mount:
            return True
        return is_mount_required(self.target) or is_cache_required(self.target)

    def _decorated_now(self, target: Any) -> Callable[..., Any]:
        if self._decorate is None:
            return cast("Callable[..., Any]", target)
        decorated = self._decorate(target)
        if not callable(decorated):
            raise WrongKind(
                f"{self.nsref}: decorate gave {decorated!r}, which cannot be called; "
                "a decorator returns a function"
            )
        if Method(decorated).is_async and not Method(target).is_async:
            raise WrongKind(
                f"{self.nsref}: decorate made an async function of one that is not; "
                "make the function itself async"
            )
        return decorated

    def _gref(self) -> GlobalRef:
        if isinstance(self.given, GlobalRef):
            return self.given
        target = self.target
        if is_dag(target):
            raise NamespaceError(
                f"{self.nsref} is a Dag that was made in code; "
                'register a reference to it, "package.module:name"'
            )
        try:
            ref = GlobalRef(target)
            found = ref.get_instance()
        except NamespaceError as error:
            raise NamespaceError(f"{self.nsref}: {error}") from error
        if isinstance(found, NamespaceNode):
            found = found.target
        if found != target:
            raise NamespaceError(f"{self.nsref}: {ref} is something else than what was registered")
        return ref


def is_dag(what: Any) -> bool:
    """Whether it is a Dag, which can be planned, run and called."""
    kind = type(what)
    return callable(what) and all(
        callable(getattr(kind, verb, None)) for verb in ("plan", "run_sync")
    )


def _made_by(factory: Callable[..., Any], nsref: NsRef) -> Any:
    method = Method(factory)
    if method.is_async:
        raise WrongKind(f"{nsref} is an async @dag_factory; one that makes a Dag is not")
    needed = [arg.name for arg in method.args if arg.required]
    if needed:
        raise WrongKind(
            f"{nsref} is a @dag_factory that needs {', '.join(needed)}; it is called without "
            "arguments, so give defaults, or make them inputs of the Dag"
        )
    made = factory()
    if not is_dag(made):
        raise WrongKind(f"the @dag_factory {nsref} returned {made!r}, which is no Dag")
    return made
