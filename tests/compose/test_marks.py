"""Marks: each is found on what bears it, however that is handed on."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from lythonic_compose import inline
from lythonic_compose._inline import is_inline
from lythonic_compose.errors import NamespaceError, WrongKind
from lythonic_compose.marks import (
    dag_factory,
    is_cache_required,
    is_dag_factory,
    is_mount_required,
    is_mountable,
    is_nsnode,
    mount_required,
    mountable,
    nsnode,
    nsnode_tags,
    require_cache,
)

MARKS: list[tuple[Callable[[Any], Any], Callable[[Any], bool]]] = [
    (nsnode, is_nsnode),
    (nsnode(tags=["slow"]), is_nsnode),
    (dag_factory, is_dag_factory),
    (require_cache, is_cache_required),
    (mountable, is_mountable),
    (mount_required, is_mount_required),
    (inline, is_inline),
]


@pytest.mark.parametrize(("mark", "is_marked"), MARKS)
def test_a_mark_is_seen_through_methods_partials_and_wrappers(
    mark: Callable[[Any], Any], is_marked: Callable[[Any], bool]
) -> None:
    def plain() -> int:
        return 1

    class Shop:
        @mark
        def sell(self) -> None: ...

        @mark
        @staticmethod
        def close() -> None: ...

        @classmethod
        @mark
        def make(cls) -> None: ...

    assert not is_marked(plain)
    assert mark(plain) is plain
    assert plain() == 1
    assert is_marked(plain)
    assert is_marked(functools.partial(functools.partial(plain)))
    assert is_marked(functools.lru_cache(plain))
    assert is_marked(functools.wraps(plain)(lambda: 1))
    assert all(is_marked(of) for of in (Shop.sell, Shop().sell, Shop.close, Shop.make))
    assert not is_marked(Shop)


@pytest.mark.parametrize("mark", [mark for mark, _ in MARKS])
@pytest.mark.parametrize("thing", [3, "json:dumps", property(lambda self: 1), len])
def test_what_cannot_bear_a_mark_is_refused(mark: Callable[[Any], Any], thing: Any) -> None:
    with pytest.raises(TypeError, match="stands above a function or a class"):
        mark(thing)


def test_a_node_of_a_fragment_has_tags() -> None:
    @nsnode(tags={"slow", "market"})
    def tagged() -> None: ...

    @nsnode
    def plain() -> None: ...

    assert nsnode_tags(tagged) == {"slow", "market"}
    assert nsnode_tags(plain) == nsnode_tags(len) == frozenset()


@pytest.mark.parametrize("tag", ["", "two words", "a&b", "a|b", "~a", "(a", "a)", "a\n"])
def test_a_tag_is_what_an_expression_can_name(tag: str) -> None:
    with pytest.raises(NamespaceError, match="cannot be a tag"):
        nsnode(tags=[tag])


@pytest.mark.parametrize("tags", ["slow", b"slow", 3, [3]])
def test_tags_are_a_list_of_texts(tags: Any) -> None:
    with pytest.raises(TypeError, match=r"a text, got|a list of texts"):
        nsnode(tags=tags)


def test_a_mountable_class_can_be_given_its_storage() -> None:
    with pytest.raises(WrongKind, match="the @mountable Without needs a method mount"):

        @mountable
        class Without:
            pass

    @mountable
    class With:
        def mount(self, storage: Any) -> None: ...

    class Derived(With):
        pass

    assert is_mountable(With())
    assert is_mountable(Derived())
    assert not is_mount_required(With())
