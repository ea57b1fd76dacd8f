"""What a function is told of its run, who began it, and what is never kept."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, Generic, NewType, TypeVar

import pydantic
import pytest
from pydantic import SecretBytes, SecretStr
from typing_extensions import TypeAliasType

from lythonic_compose import DagContext, Secret, initiated_by, inline
from lythonic_compose.context import (
    context_class,
    current_initiator,
    fields_of,
    is_context,
    is_secret,
)
from lythonic_compose.errors import DagError, NotRegistered, WrongKind
from lythonic_compose.registry import Namespace

T = TypeVar("T")


class Client:
    pass


class Plain(DagContext):
    client: Client
    seen: list[str] = field(default_factory=list[str])


@dataclass
class Decorated(DagContext):
    client: Client
    seen: list[str] = field(default_factory=list[str])


@dataclass(slots=True)
class Slotted(Plain):
    more: int = 1


class Shared(DagContext, Generic[T]):
    item: T


# --- contexts -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [Plain, Decorated, Slotted])
def test_a_context_has_fields_of_its_own_however_its_class_is_written(
    kind: type[Plain] | type[Decorated],
) -> None:
    client = Client()
    context = kind(client=client, run_id="r1", attempt=2)

    assert (context.client, context.run_id, context.attempt) == (client, "r1", 2)
    assert context.seen == []
    assert context.seen is not kind(client=client).seen
    assert {"client", "seen"} <= set(fields_of(kind))
    assert not set(fields_of(kind)) & {of.name for of in dataclasses.fields(DagContext)}
    with pytest.raises(TypeError, match="client"):
        kind(run_id="r1")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="clint"):
        kind(clint=client)  # type: ignore[call-arg]


def test_a_context_that_was_made_by_hand_knows_nothing_yet() -> None:
    context = DagContext()

    assert (context.run_id, context.node_label, context.attempt) == ("", "", 1)
    assert context.dag_nsref is context.user_ctx is context.scheduled_at is None
    assert len({context, DagContext()}) == 2, "contexts are keys by what they are"


@pytest.mark.parametrize(
    ("annotation", "found"),
    [
        (DagContext, DagContext),
        (Plain, Plain),
        (Annotated[Plain, "of the shop"], Plain),
        (Plain | None, Plain),
        (Shared[int], Shared),
        (Client, None),
        (int | str, None),
        (None, None),
        ("DagContext", None),
        (list[Plain], None),
    ],
)
def test_an_annotation_asks_for_a_context(annotation: Any, found: Any) -> None:
    assert context_class(annotation) is found
    assert is_context(annotation) == (found is not None)


def shop() -> Namespace:
    namespace = Namespace()

    def price(item: str, nsref: str = "-") -> str:
        return f"{item} {nsref} {threading.current_thread() is threading.main_thread()}"

    async def later(item: str) -> str:
        await asyncio.sleep(0)
        return item

    @inline
    def at_once() -> bool:
        return threading.current_thread() is threading.main_thread()

    namespace.register(price, "shop:price")
    namespace.register(later, "shop:later")
    namespace.register(at_once, "shop:at_once")
    return namespace


async def test_a_context_calls_what_is_registered() -> None:
    context = DagContext(namespace=shop())

    assert context.ns_call("shop:price", "pear", nsref="a parameter's name") == (
        "pear a parameter's name True"
    )
    assert await context.ns_acall("shop:price", item="fig") == "fig - False"
    assert await context.ns_acall("shop:later", item="fig") == "fig"
    assert await context.ns_acall("shop:at_once")


async def test_a_context_that_cannot_call_says_why() -> None:
    context = DagContext(namespace=shop(), node_label="clean")

    with pytest.raises(WrongKind, match=r"await ctx.ns_acall\('shop:later'"):
        context.ns_call("shop:later", item="x")
    with pytest.raises(NotRegistered, match="did you mean 'shop:price'"):
        context.ns_call("shop:prices")
    with pytest.raises(NotRegistered, match="did you mean 'shop:price'"):
        await context.ns_acall("shop:prices")
    with pytest.raises(DagError, match="has no namespace"):
        DagContext().ns_call("shop:price")


# --- who began it ---------------------------------------------------------------------------


def test_blocks_in_each_other_name_who_began_what() -> None:
    assert current_initiator() is None
    with initiated_by("usr_1") as who:
        assert who == current_initiator() == "usr_1"
        with initiated_by("usr_2"):
            assert current_initiator() == "usr_2"
        assert current_initiator() == "usr_1"
    assert current_initiator() is None


def test_a_block_that_raises_ends_like_any_other_and_may_be_entered_again() -> None:
    block = initiated_by("usr_1")
    with pytest.raises(KeyError), block:
        raise KeyError
    assert current_initiator() is None
    with block, block:
        assert current_initiator() == "usr_1"
    assert current_initiator() is None


async def test_tasks_have_the_name_of_the_block_that_they_began_in() -> None:
    async def told() -> str | None:
        await asyncio.sleep(0)
        return current_initiator()

    with initiated_by("usr_1"):
        first = asyncio.create_task(told())
    with initiated_by("usr_2"):
        second = asyncio.create_task(told())

    assert (await first, await second, await told()) == ("usr_1", "usr_2", None)


async def test_a_block_may_end_in_another_context_than_it_began_in() -> None:
    @asynccontextmanager
    async def session() -> AsyncIterator[None]:
        with initiated_by("usr_1"):
            yield

    opened = session()
    await asyncio.create_task(opened.__aenter__())
    assert not await opened.__aexit__(None, None, None)


@pytest.mark.parametrize("who", [None, 3, b"usr"])
def test_who_began_it_is_text(who: Any) -> None:
    with pytest.raises(TypeError, match="kept as text"):
        initiated_by(who)
    with pytest.raises(ValueError, match="empty"):
        initiated_by("")


# --- what is never kept ---------------------------------------------------------------------

Password = NewType("Password", SecretStr)
Token = TypeAliasType("Token", Annotated[str, Secret()])
Tree = TypeAliasType("Tree", "dict[str, Tree | int]")  # type: ignore[misc]


@pytest.mark.parametrize(
    "annotation",
    [
        SecretStr,
        SecretBytes,
        pydantic.Secret[int],
        Annotated[str, Secret()],
        Annotated[str, "a note", Secret],
        SecretStr | None,
        Annotated[str, Secret()] | None,
        Annotated[SecretStr | None, "a note"],
        list[SecretStr],
        dict[str, Annotated[int, Secret()]],
        Password,
        Token,
    ],
)
def test_what_holds_a_secret_is_one(annotation: Any) -> None:
    assert is_secret(annotation)


@pytest.mark.parametrize(
    "annotation", [str, str | None, Annotated[str, "Secret"], list[int], Tree, None, "SecretStr"]
)
def test_what_holds_none_is_not(annotation: Any) -> None:
    assert not is_secret(annotation)
