"""What does somebody type to run Dags by hand and by schedule? The command `lyth`, and its door.

The commands are typed for people and for scripts; what they do is done by the rooms below.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(words: Sequence[str] | None = None) -> int:
    """Carries out a command line, that of the process if none is given, and gives its exit code.

    0 is done, 1 means that a run did not complete, 2 that the command or a configuration is wrong.

    Example:
        >>> main(["run", "reports:daily", "--data", "/srv/reports"])
        0
    """
    try:
        from . import commands
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        print(  # noqa: T201 - what would print it otherwise is what is missing
            f"Error: lyth needs {error.name}: pip install 'lythonic-state[engine]'",
            file=sys.stderr,
        )
        return 2
    return commands.carried_out(words)
