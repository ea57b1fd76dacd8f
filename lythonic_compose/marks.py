"""What has been written above a function to say how it is meant?

Marks only: each is an attribute, and each has the question for it. What follows from a mark is the
business of the room that asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final, TypeVar, cast, overload

from .errors import NamespaceError, WrongKind

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_NODE: Final = "__lythonic_node__"
_DAG_FACTORY: Final = "__lythonic_dag_factory__"
_REQUIRE_CACHE: Final = "__lythonic_require_cache__"
_MOUNTABLE: Final = "__lythonic_mountable__"
_MOUNT_REQUIRED: Final = "__lythonic_mount_required__"


# --- what users write -----------------------------------------------------------------------


@overload
def nsnode(function: F, /) -> F: ...
@overload
def nsnode(*, tags: Iterable[str] = ()) -> Callable[[F], F]: ...
def nsnode(function: F | None = None, /, *, tags: Iterable[str] = ()) -> F | Callable[[F], F]:
    """Marks a function of a fragment as a node of the namespace that the fragment joins.

    Example:
        >>> class Downloads(NamespaceFragment):
        ...     @nsnode(tags=["slow"])
        ...     def fetch(self, url: str) -> bytes: ...

    Raises:
        WrongKind: it is not a function, or the tags are one text.
        NamespaceError: a tag cannot be one.
    """
    checked = checked_tags(tags)
    if function is not None:
        return marked(function, _NODE, checked, "@nsnode")
    return lambda above: marked(above, _NODE, checked, "@nsnode(…)")


def dag_factory(function: F) -> F:
    """Marks a function without parameters that returns a Dag: it stands wherever a Dag may.

    Example:
        >>> @dag_factory
        ... def daily() -> Dag:
        ...     with Dag() as dag:
        ...         dag.node(fetch) >> dag.node(report)
        ...     return dag
    """
    return marked(function, _DAG_FACTORY, True, "@dag_factory")


def require_cache(function: F) -> F:
    """Marks a function that a namespace only takes with a cache, and only calls through it.

    Example:
        >>> @nsnode
        ... @require_cache
        ... def price(item: str) -> float: ...
    """
    return marked(function, _REQUIRE_CACHE, True, "@require_cache")


def mountable(what: T) -> T:
    """Marks what is given the storage when its namespace is mounted.

    That is a class with a method `mount(storage)`, or a function `(storage)` of a module that is
    registered as a fragment.

    Example:
        >>> @mountable
        ... class Downloads(NamespaceFragment):
        ...     def mount(self, storage: StorageConfig) -> None:
        ...         self.folder = storage.data_dir / "downloads"

    Raises:
        WrongKind: it is a class without such a method.
    """
    if isinstance(what, type) and not callable(getattr(what, "mount", None)):
        raise WrongKind(f"the @mountable {what.__name__} needs a method mount(self, storage)")
    return marked(what, _MOUNTABLE, True, "@mountable")


def mount_required(what: F) -> F:
    """Marks a function, or a class of them, that is not called before its namespace is mounted.

    Example:
        >>> @nsnode
        ... @mount_required
        ... def newest(folder: Path) -> Path: ...
    """
    return marked(what, _MOUNT_REQUIRED, True, "@mount_required")


# --- what rooms ask -------------------------------------------------------------------------


def is_nsnode(what: Any) -> bool:
    """Whether it is marked `@nsnode`."""
    return mark_of(what, _NODE) is not None


def nsnode_tags(what: Any) -> frozenset[str]:
    """The tags of `@nsnode`; none where it does not stand."""
    return cast("frozenset[str] | None", mark_of(what, _NODE)) or frozenset()


def is_dag_factory(what: Any) -> bool:
    """Whether it is marked `@dag_factory`."""
    return bool(mark_of(what, _DAG_FACTORY))


def is_cache_required(what: Any) -> bool:
    """Whether it is marked `@require_cache`."""
    return bool(mark_of(what, _REQUIRE_CACHE))


def is_mountable(what: Any) -> bool:
    """Whether it, or the class that it is an instance of, is marked `@mountable`."""
    return bool(mark_of(what, _MOUNTABLE))


def is_mount_required(what: Any) -> bool:
    """Whether it, or the class that it is an instance of, is marked `@mount_required`."""
    return bool(mark_of(what, _MOUNT_REQUIRED))


def checked_tags(tags: Iterable[str]) -> frozenset[str]:
    """Tags that an expression can name.

    Raises:
        WrongKind: they are one text, or no texts.
        NamespaceError: one is empty, or holds a blank or one of `~&|()`.
    """
    if isinstance(tags, (str, bytes)) or not isinstance(tags, Iterable):
        raise WrongKind(f"tags are a list of texts, got {tags!r}; write tags=[{tags!r}]")
    found = list(tags)
    for tag in found:
        if not isinstance(tag, str):
            raise WrongKind(f"a tag is a text, got {tag!r}")
        if not tag or any(sign.isspace() or sign in "~&|()" for sign in tag):
            raise NamespaceError(
                f"{tag!r} cannot be a tag: one is not empty, and holds no blank and none of ~&|()"
            )
    return frozenset(found)


def marked(what: T, mark: str, value: Any, shown: str) -> T:
    bearer: Any = what.__func__ if isinstance(what, (staticmethod, classmethod)) else what
    try:
        if not callable(bearer):
            raise TypeError("it cannot be called")
        setattr(bearer, mark, value)
    except (AttributeError, TypeError) as error:  # builtins and properties take no marks
        raise WrongKind(
            f"{shown} stands above a function or a class, got {what!r} ({error})"
        ) from error
    return what


def mark_of(what: Any, mark: str) -> Any:
    """A mark of a callable, of its class, or of what a partial or a wrapper stands for."""
    while True:
        found = getattr(what, mark, None)
        if found is not None:
            return found
        inner = what.func if isinstance(what, partial) else getattr(what, "__wrapped__", None)
        if inner is None:
            return None
        what = inner
