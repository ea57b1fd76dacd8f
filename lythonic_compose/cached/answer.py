"""What is answered to a call of a cached function: what is kept, or what it returns now?

A hit is answered at once. All else is a generator of steps, written once for sync and async
functions, which `steps.py` carries out; what is kept is known by `keeping.py`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator
from functools import partial
from typing import Any, TypeAlias

from ..errors import CacheRefreshPushback, CacheRefreshSuppressed
from ..values import decode
from .flight import Flights, Landed
from .inside import Inside, codes_of, stands_inside
from .keeping import NOTHING, Claim, Keeper, Kept
from .key import Key, NoKey
from .renewals import RENEWALS
from .steps import Blocking, Call, Pause, Step, Steps, Wait, carry_out, carry_out_async
from .store import UNAVAILABLE, MustWait
from .tables import Found, FunctionTable

LOG = logging.getLogger("lythonic_compose")

FIRST_PAUSE = 0.01
LONGEST_PAUSE = 0.25

Look: TypeAlias = Callable[[FunctionTable, str], Found | None]


class Answers:
    """Answers the calls of one function."""

    def __init__(
        self, function: Callable[..., Any], key: Key, keeper: Keeper, random: Callable[[], float]
    ) -> None:
        self._function = function
        self._key = key
        self._keeper = keeper
        self._random = random
        self._flights = Flights()
        self._codes = codes_of(function)

    def sync_function(self) -> Callable[..., Any]:
        """What takes the place of a sync function."""
        begin, look, function = self._begin, self._keeper.file.get, self._function

        def call(*args: Any, **kwargs: Any) -> Any:
            value, steps = begin(look, args, kwargs)
            return value if steps is None else carry_out(steps, function, args, kwargs)

        return call

    def async_function(self) -> Callable[..., Any]:
        """What takes the place of an async function."""
        begin, look, function = self._begin, self._keeper.file.get_at_once, self._function

        async def call(*args: Any, **kwargs: Any) -> Any:
            value, steps = begin(look, args, kwargs)
            return value if steps is None else await carry_out_async(steps, function, args, kwargs)

        return call

    def _begin(self, look: Look, args: Any, kwargs: Any) -> tuple[Any, Steps | None]:
        """The value that is answered at once; or what has to be done for it."""
        try:
            values = self._key.values(*args, **kwargs)
            key = self._key.of(values)
        except (NoKey, TypeError) as error:
            return None, self._without_key(error)
        chance = self._random()
        flight = self._flights.by_key.get(key)
        if flight is not None and flight.nothing_kept:  # somebody has looked just now
            return None, self._answer(key, chance, NOTHING, values)
        keeper = self._keeper
        try:
            kept = keeper.judged(look(keeper.table, key), chance)
        except MustWait:
            return None, self._looked_up(key, chance, values)
        except UNAVAILABLE as error:
            keeper.unavailable(error)
            return None, self._answer(key, chance, None, values)
        if kept.state == "fresh":
            return kept.value, self._many_served(kept) if keeper.table.count_hit() else None
        return None, self._answer(key, chance, kept, values)

    def _looked_up(self, key: str, chance: float, values: Any) -> Steps:
        """Looks where it may wait for the file."""
        keeper = self._keeper
        look = partial(keeper.file.get_and_open, keeper.table, key)
        kept: Kept | None = None
        try:
            found = yield Blocking(look, may_be_left=True)
            kept = keeper.judged(found, chance)
        except UNAVAILABLE as error:
            keeper.unavailable(error)
        if kept is None or kept.state != "fresh":
            return (yield from self._answer(key, chance, kept, values))
        if keeper.table.count_hit():
            return (yield from self._many_served(kept))
        return kept.landed()

    def _many_served(self, kept: Kept) -> Steps:
        """Serves a value, after which as many hits have gathered as are written together."""
        yield Blocking(self._keeper.write_counts, may_be_left=True)
        return kept.landed()

    def _without_key(self, error: NoKey | TypeError) -> Steps:
        # of wrong arguments the function itself tells
        if isinstance(error, NoKey):
            name = self._keeper.name
            self._keeper.tell("key", "%s was called without its cache: %s", name, error)
        landed: Landed = yield Call(Inside(self, "", self._codes))
        return landed

    def _answer(self, key: str, chance: float, kept: Kept | None, values: Any) -> Steps:
        """What happens when the value cannot be served at once; `kept` is None if the file does
        not do what it should."""
        table = self._keeper.table
        here = Inside(self, key, self._codes)
        if stands_inside(self, key):  # it asks for what it is computing, and cannot wait for it
            nested: Landed = yield Call(here)
            return nested
        while True:
            flight, mine = self._flights.join(key, kept is None or kept.state != "stale")
            if mine:
                break
            if kept is not None and kept.state == "stale":
                table.count_hit()
                return kept.landed()
            landed: Landed = yield Wait(flight)
            if not landed.cut_short:
                table.count_hit()
                return self._own(landed)
        landed = Landed(cut_short=True)
        try:
            if kept is None:
                table.count_miss()
                landed = yield Call(here)
            else:
                landed = yield from self._lead(key, chance, here, values)
            return landed
        finally:
            self._flights.land(key, flight, landed)

    def _own(self, landed: Landed) -> Landed:
        """The result of another's call, without sharing its mutable value."""
        if landed.text is None:
            return landed
        return Landed(decode(landed.text, self._keeper.annotation), landed.text)

    def _lead(self, key: str, chance: float, here: Inside, values: Any) -> Steps:
        """Calls the function under a lease, unless somebody else does or has, or nobody may."""
        keeper = self._keeper
        owner = RENEWALS.new_owner()
        lease = keeper.lease(key, owner)
        RENEWALS.begin(lease)
        try:
            claim: Claim | None = yield from self._claimed(key, chance, owner)
            if claim is None:
                keeper.table.count_miss()
                uncached: Landed = yield Call(here)
                return uncached
            if claim.state == "taken":
                keeper.table.count_miss()
                landed: Landed = yield Call(here)
                if landed.error is None:
                    text = yield Blocking(partial(keeper.keep, key, owner, values, landed.value))
                    return Landed(landed.value, text)
                yield Blocking(partial(keeper.give_up, key, owner, landed.error))
                return self._instead(landed.error, claim.kept)
        except BaseException:  # cut short, perhaps after the lease was taken
            yield Blocking(partial(keeper.give_up, key, owner))
            raise
        finally:
            RENEWALS.end(lease)
        if claim.kept.state == "none":
            return Landed(error=self._suppressed())
        keeper.table.count_hit()
        return claim.kept.landed()

    def _claimed(self, key: str, chance: float, owner: str) -> Generator[Step, Any, Claim | None]:
        """The claim to call the function, once nobody else is calling it whose result has to be
        waited for; None if the file does not do what it should."""
        pause, polls = FIRST_PAUSE, False
        while True:
            try:
                claim: Claim = yield Blocking(
                    partial(self._keeper.claim, key, chance, owner, polls)
                )
            except UNAVAILABLE as error:
                self._keeper.unavailable(error)
                return None
            if claim.state != "held" or claim.kept.state == "stale":
                return claim
            yield Pause(pause)
            pause, polls = min(pause * 1.5, LONGEST_PAUSE), True

    def _instead(self, error: Exception, kept: Kept) -> Landed:
        """What a failed call gives."""
        if kept.state == "stale":
            LOG.warning(
                "%s could not be refreshed, so its kept value is served: %r",
                self._keeper.name,
                error,
            )
            return kept.landed()
        if isinstance(error, CacheRefreshPushback):
            suppressed = self._suppressed()
            suppressed.__cause__ = error
            return Landed(error=suppressed)
        return Landed(error=error)

    def _suppressed(self) -> CacheRefreshSuppressed:
        return CacheRefreshSuppressed(
            f"{self._keeper.name} has asked not to be called for a while, and no value is kept "
            "that is young enough; try again later"
        )
