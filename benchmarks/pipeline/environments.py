"""Where does a peer live? In an environment of its own, made of a lock file.

`python -m benchmarks.pipeline.environments NAME REQUIREMENT…` makes an environment anew, and its
lock file of what was installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from ..turns import ROOT

LOCKS = ROOT / "benchmarks" / "locks"
FOLDER = ROOT / "benchmarks" / ".venv" / "peers"


def python_of(environment: str | None) -> Path:
    """The interpreter of an environment; that of the benchmarks themselves for None."""
    return FOLDER / environment / "bin" / "python" if environment else Path(sys.executable)


def prepare(environment: str | None) -> str | None:
    """Installs what its lock file says, if that is not there; why it could not be done."""
    if environment is None:
        return None
    lock, stamp = LOCKS / f"{environment}.lock", FOLDER / environment / ".stamp"
    if stamp.exists() and stamp.read_text() == lock.read_text():
        return None
    print(f"installing {environment} into {FOLDER.relative_to(ROOT)}", file=sys.stderr)
    wrong = _installed(environment, ["--requirement", str(lock)])
    if wrong is None:
        stamp.write_text(lock.read_text())
    return wrong


def _installed(environment: str, what: list[str]) -> str | None:
    folder = FOLDER / environment
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(python_of(environment)), "-m", "pip", "--quiet", "--disable-pip-version-check"]
    for command in ([sys.executable, "-m", "venv", str(folder)], [*pip, "install", *what]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no word why"]
            return f"could not be installed: {lines[-1][:200]}"
    return None


def surroundings(folder: Path) -> dict[str, str]:
    """The variables of a peer's process, which keeps everything in this folder."""
    home = folder / "home"
    home.mkdir(parents=True)
    return os.environ | {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONUNBUFFERED": "1",
        "DO_NOT_TRACK": "1",
    }


def _lock(environment: str, requirements: list[str]) -> None:
    wrong = _installed(environment, requirements)
    if wrong:
        raise SystemExit(wrong)
    freeze = [str(python_of(environment)), "-m", "pip", "freeze", "--exclude-editable"]
    found = subprocess.run(freeze, capture_output=True, text=True, check=True).stdout
    head = f"# Made by: python -m benchmarks.pipeline.environments {environment} "
    for file in (LOCKS / f"{environment}.lock", FOLDER / environment / ".stamp"):
        file.write_text(f"{head}{' '.join(requirements)}\n{found}")


if __name__ == "__main__":
    _lock(sys.argv[1], sys.argv[2:])
