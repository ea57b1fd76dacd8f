"""The command: `benchmarks/run pipeline`, or `benchmarks/run pipeline --help`."""

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
from .measure import CACHES, PEERS, Measurement
from .workloads import WORKLOADS

STORED = ROOT / "benchmarks" / "results" / "pipeline.json"
CHARTS = {name: ROOT / "docs" / f"benchmarks-{name}.svg" for name in report.TABLES}


def main() -> None:
    options = _options()
    result = json.loads(options.stored.read_text()) if options.stored else _measure(options)
    for name in result["tables"]:
        for clock in ("wall", "cpu"):
            if report.rows(result, name, clock)[1]:
                print("\n" + report.table(result, name, clock))
    for line in report.failures(result):
        print("failed:", line)
    if options.publish:
        STORED.parent.mkdir(exist_ok=True)
        STORED.write_text(json.dumps(result, indent=1) + "\n")
        publish("pipeline", report.markdown(result))
        for name in result["tables"]:
            CHARTS[name].write_text(report.chart(result, name))
        print(f"{PAGE.relative_to(ROOT)} and its charts written")
    elif not options.stored:
        folder = ROOT / "benchmarks" / "out"
        folder.mkdir(exist_ok=True)
        (folder / "pipeline.json").write_text(json.dumps(result, indent=1) + "\n")
        for name in result["tables"]:
            (folder / f"{name}.svg").write_text(report.chart(result, name))
        print(f"\n{folder.relative_to(ROOT)}/pipeline.json and charts written")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks/run pipeline", description=__doc__)
    names = [*(workload.name for workload in WORKLOADS), "startup"]
    peers = sorted({report.name_of(peer).strip("_") for peer in [*PEERS, *CACHES]})
    parser.add_argument("--workloads", nargs="+", choices=names, default=names, metavar="NAME")
    parser.add_argument("--peers", nargs="+", choices=peers, default=peers, metavar="NAME")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="times the time per repetition, and the histories"
    )
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
        "tables": {},
    }
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        for table, peers in (("pipeline", PEERS), ("cache", CACHES)):
            chosen = {
                peer: environment
                for peer, environment in peers.items()
                if report.name_of(peer) == "floor"
                or report.name_of(peer).strip("_") in options.peers
            }
            measure = Measurement(
                Path(name) / table, options.repetitions, options.scale, _progress(table)
            )
            result["tables"][table] = measure(chosen, options.workloads)
        if report.failures(result):
            shutil.copytree(name, ROOT / "benchmarks" / "out" / "logs", ignore=_all_but_logs,
                            dirs_exist_ok=True)  # fmt: skip
    result["machine"] |= {"load_before": load, "load_after": os.getloadavg()[0]}
    print(f"\r{' ' * 60}\r{time.monotonic() - started:.0f} s", file=sys.stderr)
    return result


def _all_but_logs(folder: str, names: list[str]) -> list[str]:
    """Of a folder of a table: what is not the log of a peer."""
    return [name for name in names if not name.endswith(".log") and name not in report.TABLES]


def _progress(table: str) -> Any:
    def say(name: str) -> None:
        print(f"\r{table}: {name:40}", end="", file=sys.stderr, flush=True)

    return say


if __name__ == "__main__":
    main()
