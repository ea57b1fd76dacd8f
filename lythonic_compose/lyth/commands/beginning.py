"""Which commands stand at the beginning? `init` and `check`."""

from __future__ import annotations

from pathlib import Path

from ..app import DONE, REFUSED, Asked, Directory, Json, command, complain
from ..complaints import listed
from ..project import write_project
from ..screen import Screen


@command("init")
def init(asked: Asked, directory: Directory = None) -> int:
    """Writes a lyth.yaml with comments, and a small pipeline."""
    for path in write_project(directory or asked.data or Path()):
        Screen().say(f"wrote {path}")
    return DONE


@command("check")
def check(asked: Asked, as_json: Json = False) -> int:
    """Loads what is configured, and tells all problems at once.

    Every module is imported, every Dag validated, and every schedule looked at. Nothing runs.
    """
    from ...engine import check_file

    problems = check_file(asked.config, asked.data)
    if as_json:
        Screen().show_json({"ok": not problems, "problems": problems})
    elif not problems:
        Screen().say("no problems")
    else:
        complain(listed(problems))
    return REFUSED if problems else DONE
