"""On what, and of what, was it measured?"""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from .turns import ROOT


def machine() -> dict[str, Any]:
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        processor = names[0].partition(":")[2].strip() if names else processor
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "processor": processor,
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "commit": _commit(),
    }


def _commit() -> str:
    """What is measured, where this is a clone; `-dirty` where it is not what was committed."""
    command = ["git", "describe", "--always", "--dirty", "--exclude=*"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "no known commit"


def sentence(result: dict[str, Any], ours: str, scaled: str) -> list[str]:
    """The lines that stand above figures."""
    found, settings = result["machine"], result["settings"]
    out = [
        f"Measured on {found['date']}: {found['processor']}, {found['cores']} cores, "
        f"{found['system']}, Python {found['python']}, SQLite {found['sqlite']}, "
        f"{ours} at {found['commit']}; "
        f"{settings['repetitions']} repetitions, {settings['scale']:g} times the {scaled}. "
        f"The load average was {found['load_before']:.1f} before and "
        f"{found['load_after']:.1f} after the run, whose own is about 1.",
        "",
    ]
    if settings["remark"]:
        out += [f"**{settings['remark']}**", ""]
    return out
