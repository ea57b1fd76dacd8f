"""The types of cached functions: those of the function, and what can be done besides."""

from typing import assert_type

from lythonic_compose import CacheStats, cached


@cached("prices.db", 0.5, 2)
def price(symbol: str, day: int = 3) -> float:
    return 1.5


@cached("prices.db", 0.5, 2, ignore=("client",))
async def volume(symbol: str, client: object = None) -> int:
    return 3


assert_type(price("ACME"), float)
assert_type(price(symbol="ACME", day=4), float)
assert_type(price.invalidate(symbol="ACME"), int)
assert_type(price.purge(older_than=30), int)
assert_type(price.stats(), CacheStats)

price(3)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
price("ACME", dya=3)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
cached("prices.db", "1", 2)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def called() -> None:
    assert_type(await volume("ACME"), int)
