"""The command: `benchmarks/run orm`, or `benchmarks/run orm --help`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from ..machine import machine
from ..page import PAGE, publish
from ..turns import ROOT
from . import report
from .measure import STARTUP, measure
from .server import databases
from .workloads import WORKLOADS

PEERS = {
    "sqlite": (
        "handwritten", "tuples", "lythonic_state_", "sqlmodel_", "sqlalchemy_", "peewee_",
        "piccolo_", "tortoise_", "django_",
    ),
    "postgres": ("psycopg_", "lythonic_state_", "sqlalchemy_", "tortoise_"),
}  # fmt: skip
POSTGRES_BUDGETS = {"get": 1.2, "select": 1.2, "insert_bulk": 1.0}
STORED = ROOT / "benchmarks" / "results" / "orm.json"
CHARTS = {name: ROOT / "docs" / f"benchmarks-{name}.svg" for name in PEERS}


def main() -> None:
    options = _options()
    result = json.loads(options.stored.read_text()) if options.stored else _measure(options)
    for database in result["databases"]:
        for clock in ("wall", "cpu"):
            print("\n" + report.table(result, database, clock))
    for line in report.failures(result):
        print("failed:", line)
    if options.publish:
        STORED.parent.mkdir(exist_ok=True)
        STORED.write_text(json.dumps(result, indent=1) + "\n")
        _publish(result)
    elif not options.stored:
        folder = ROOT / "benchmarks" / "out"
        folder.mkdir(exist_ok=True)
        (folder / "orm.json").write_text(json.dumps(result, indent=1) + "\n")
        for database in result["databases"]:
            (folder / f"orm-{database}.svg").write_text(report.chart(result, database))
        print(f"\n{folder.relative_to(ROOT)}/orm.json and charts written")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run orm", description=__doc__)
    names = [*(workload.name for workload in WORKLOADS), *STARTUP]
    peers = sorted({peer.strip("_") for part in PEERS.values() for peer in part})
    parser.add_argument("--databases", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--workloads", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--peers", nargs="+", choices=peers, default=peers, metavar="NAME")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1.0, help="times the number of rows")
    parser.add_argument("--remark", default="", help="stands beside the figures in the docs")
    parser.add_argument("--publish", action="store_true", help="into benchmarks/results and docs/")
    parser.add_argument(
        "--from", dest="stored", type=Path, metavar="FILE", help="figures of before, not new ones"
    )
    return parser.parse_args()


def _measure(options: argparse.Namespace) -> dict[str, Any]:
    started, load = time.monotonic(), os.getloadavg()[0]
    result: dict[str, Any] = {
        "machine": machine(),
        "settings": {
            "repetitions": options.repetitions,
            "scale": options.scale,
            "remark": options.remark,
        },
        "databases": {},
    }
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        for database in options.databases:
            folder = Path(name) / database
            folder.mkdir(mode=0o700)  # which the server asks for
            peers = [
                peer
                for peer in PEERS[database]
                if peer.strip("_") in options.peers or peer == report.BASELINE[database]
            ]
            say = _progress(database)
            if database == "sqlite":
                targets = {peer: str(folder / f"{peer}.db") for peer in peers}
                part = _run(peers, targets, options, folder, say)
            else:
                with databases(folder / "server", peers) as targets:
                    part = _run(peers, targets, options, folder, say)
                for entry in part["workloads"]:
                    entry["budget"] = POSTGRES_BUDGETS.get(entry["name"])
            result["databases"][database] = part
            if report.failures(result):
                shutil.copytree(folder, ROOT / "benchmarks" / "out" / "logs" / database,
                                ignore=lambda _, names: [n for n in names if n[-4:] != ".log"],
                                dirs_exist_ok=True)  # fmt: skip
    result["machine"] |= {"load_before": load, "load_after": os.getloadavg()[0]}
    print(f"\r{' ' * 60}\r{time.monotonic() - started:.0f} s", file=sys.stderr)
    return result


def _run(
    peers: list[str],
    targets: dict[str, str],
    options: argparse.Namespace,
    folder: Path,
    say: Any,
) -> dict[str, Any]:
    return measure(
        peers,
        targets,
        options.workloads,
        repetitions=options.repetitions,
        scale=options.scale,
        folder=folder,
        say=say,
    )


def _progress(database: str) -> Any:
    def say(name: str) -> None:
        print(f"\r{database}: {name:40}", end="", file=sys.stderr, flush=True)

    return say


def _publish(result: dict[str, Any]) -> None:
    """Replaces the figures of the page, and the charts."""
    publish("orm", report.markdown(result))
    for database in result["databases"]:
        CHARTS[database].write_text(report.chart(result, database))
    print(f"{PAGE.relative_to(ROOT)} and its charts written")


if __name__ == "__main__":
    main()
