"""Which database, and which colour? The command line of the example."""

import argparse
import asyncio
from typing import Any, cast

import examples.library
from examples.library.app import main
from lythonic_state import open_db


def run(url: str, *, asynchronous: bool) -> None:
    if asynchronous:
        asyncio.run(_run_async(url))
        return
    with open_db(url, commit=True) as conn:
        asyncio.run(main(cast(Any, conn)))


async def _run_async(url: str) -> None:
    async with open_db(url, commit=True) as conn:
        await main(conn)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        prog="python -m examples.library",
        description=examples.library.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("url", nargs="?", default="sqlite://", help="default: SQLite in memory")
    parser.add_argument("--async", dest="asynchronous", action="store_true")
    given = parser.parse_args()
    run(given.url, asynchronous=given.asynchronous)
