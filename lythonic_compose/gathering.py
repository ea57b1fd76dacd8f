"""How are the rows of what a node returned gathered, before the node completes?

A stream is read to its end here, in the thread or on the loop where it belongs, and waits on a
disk. Which values are rows is decided in `outputs`, when they are saved by whoever listens.
"""

from __future__ import annotations

import threading
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Callable,
    Generator,
    Iterable,
    Iterator,
)
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from lythonic_state.later import asyncio

from .call import can_be_awaited, in_thread
from .outputs.declared import Writes, is_model
from .outputs.rows import Rows, RowSource

if TYPE_CHECKING:
    from .outputs.found import Written

CHUNK = 1000
"""So many rows are taken before somebody looks whether they are still wanted."""

_NOTHING: Any = object()


class Gathered(NamedTuple):
    """What a node returned, as the next nodes get it."""

    value: Any
    written: Written | None
    """Its rows; None where it has none that are to be written."""

    def close(self) -> None:
        if self.written is not None:
            self.written.close()

    def saved(self) -> Any:
        """The value once its models have their keys, by which a set may find them."""
        if isinstance(self.value, (set, frozenset)):
            return type(self.value)(list(self.value))  # a copy of a set would not hash them anew
        return self.value


class Gatherer:
    """Gathers the rows of one attempt.

    Raises:
        OutputError: what came is no row, or cannot be written.
        InvalidValue: a value of a row does not fit its column.
    """

    def __init__(
        self,
        label: str,
        writes: Writes,
        run_id: str,
        attempt: int,
        source: RowSource,
        user_ctx: Any,
    ) -> None:
        # programs whose nodes write nothing do not pay for it
        from .outputs.found import Finder, is_stream

        self._is_stream = is_stream
        self._writes = writes
        self._finder = Finder(label, writes.how, user_ctx, writes.models, lenient=writes.lenient)
        self._place = run_id, label, attempt
        self._source = source
        self._user_ctx = user_ctx

    def in_thread(self, value: Any, is_late: Callable[[], bool]) -> Gathered:
        """What there is once everything has come; nobody wants it any more if it is late."""
        if not self._is_stream(value):
            return Gathered(value, self._finder.listed(value))
        stream = iter(cast("Iterable[Any]", value))
        try:
            first = next(stream, _NOTHING)
            if self._is_other(first):
                return _untouched(value, first, stream)
            self._add(first)
            while not is_late() and self._some(stream):
                pass
            if isinstance(stream, Generator):  # of which nobody wants the rest
                stream.close()
        except BaseException:
            self._finder.close()
            raise
        return self._whole()

    async def on_loop(self, value: Any, *, inline: bool) -> Gathered:
        """The same from the loop; only the stream of an inline function is read there."""
        is_awaited = must_be_awaited(value)
        if not self._is_stream(value) or not (inline or is_awaited):
            return await self._handed_over(value)
        try:
            return await (self._async(value) if is_awaited else self._in_turns(value))
        except BaseException:
            self._finder.close()
            raise

    async def _in_turns(self, value: Iterable[Any]) -> Gathered:
        stream = iter(value)
        first = next(stream, _NOTHING)
        if self._is_other(first):
            return _untouched(value, first, stream)
        self._add(first)
        while self._some(stream):  # others have their turn
            await asyncio.sleep(0)
        return self._whole()

    async def _handed_over(self, value: Any) -> Gathered:
        """What a thread gathers; if nobody waits for it any more, it is closed once that ends."""
        lock = threading.Lock()
        late = False
        gathered: Gathered | None = None

        def visit() -> Gathered:
            nonlocal gathered
            found = self.in_thread(value, lambda: late)
            with lock:
                gathered = found
                if late:
                    found.close()
            return found

        try:
            return await in_thread(visit)
        except BaseException:
            with lock:
                late = True
                if gathered is not None:
                    gathered.close()
            raise

    async def _async(self, value: AsyncIterable[Any]) -> Gathered:
        stream = aiter(value)
        first = await anext(stream, _NOTHING)
        is_other = self._is_other(first)
        if is_other and stream is value:
            return Gathered(_chained(first, stream), None)
        try:
            if is_other:
                return Gathered(value, None)
            self._add(first)
            number = 0
            async for row in stream:
                self._finder.add(row)
                number += 1
                if number % CHUNK == 0:  # others have their turn
                    await asyncio.sleep(0)
        finally:
            close = getattr(stream, "aclose", None)
            if close is not None:
                await close()
        return self._whole()

    def _is_other(self, first: Any) -> bool:
        """Whether it is a stream of something else, which nobody has said to be rows."""
        return self._writes.lenient and first is not _NOTHING and not is_model(type(first))

    def _add(self, first: Any) -> None:
        if first is not _NOTHING:
            self._finder.add(first)

    def _some(self, stream: Iterator[Any]) -> bool:
        """Takes so many; False at the end."""
        for _ in range(CHUNK):
            row = next(stream, _NOTHING)
            if row is _NOTHING:
                return False
            self._finder.add(row)
        return True

    def _whole(self) -> Gathered:
        written = self._finder.streamed()
        models = written.models or self._writes.models
        return Gathered(Rows(*self._place, models, self._source, self._user_ctx), written)


def must_be_awaited(value: Any) -> bool:
    """Whether it can only go on where a loop is."""
    return can_be_awaited(type(value)) or (
        isinstance(value, AsyncIterable) and not isinstance(value, Iterable)
    )


def _untouched(value: Any, first: Any, stream: Iterator[Any]) -> Gathered:
    """What is not to be written: itself where it can be read anew, else with what was taken."""
    return Gathered(chain([first], stream) if stream is value else value, None)


async def _chained(first: Any, stream: AsyncIterator[Any]) -> AsyncIterator[Any]:
    yield first
    async for row in stream:
        yield row
