"""What is said of an error at a terminal? One message with its place and its mend.

Exceptions in, text out; which of them end a command is decided in `app.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lythonic_state import StateError

from ..engine.blame import explained
from ..errors import ComposeError, ConfigError, DagError, InputsNotKept


def complaint(error: BaseException, top: Path) -> str:
    """What an error says; where somebody's code below `top` raised it, with file and line."""
    if isinstance(error, InputsNotKept):
        return explained(error, top)
    if isinstance(error, (DagError, ConfigError)) and len(error.problems) > 1:
        return listed(error.problems)
    if isinstance(error, (ComposeError, StateError)):
        return explained(error, top)
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return f"{explained(error, top)}; --debug shows where"


def listed(problems: Sequence[str]) -> str:
    """Several problems, one below the other."""
    if len(problems) == 1:
        return problems[0]
    return "\n".join([f"{len(problems)} problems:", *problems])
