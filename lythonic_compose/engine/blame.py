"""What is said of an exception to who uses `lyth`? One line, with the file and line of their code.

Only exceptions are read here; nothing is imported, and no configuration is known.
"""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..dag_provenance import Recovery
from ..errors import (
    CodeChanged,
    ComposeError,
    ImportFailed,
    InputsNotKept,
    MissingObject,
    OutputsChanged,
)
from ..events import in_short

_OURS = Path(__file__).parent.parent


def explained(error: BaseException, top: Path) -> str:
    """What an exception says, and where it was raised: the last line of a file below `top`.

    Example:
        >>> explained(error, Path("/srv/reports"))
        "importing steps failed: NameError: name 'x' is not defined (steps.py:7)"
    """
    text = _worded(error)
    origin = _origin(error)
    where = None if origin is None else _line_of(origin, top)
    mend = ""
    if isinstance(origin, SyntaxError):  # which says the line, and not of which file
        text = text.replace(f" ({Path(origin.filename or '').name}, line {origin.lineno})", "")
    if isinstance(origin, ModuleNotFoundError) and not isinstance(error, MissingObject):
        mend = "; install it where this Python finds it"
    return f"{text}{'' if where is None else f' ({where})'}{mend}"


def reworded(recovery: Recovery, top: Path) -> Recovery:
    """The same, and why runs were left in the words of the command."""
    ours = ("changed", "inputs", "outputs")
    left = [
        replace(run, why=explained(run.exception, top))
        if run.exception is not None and run.reason in ours
        else run
        for run in recovery.left
    ]
    return replace(recovery, left=tuple(left))


def _worded(error: BaseException) -> str:
    if isinstance(error, CodeChanged):
        return (
            f"run {error.run_id} was begun with other code: {', '.join(error.nodes)} completed "
            f"then and changed since; `lyth restart {error.run_id} --on-change rerun` runs them "
            "and what is behind them again, --on-change keep uses what they returned"
        )
    if isinstance(error, InputsNotKept):
        names = [f"{path}.{name}" for path, name in error.inputs]
        given = " ".join(f"--input {name}=…" for name in names)
        return (
            f"inputs of this run are not kept, since they are secret or have no exact text: "
            f"{', '.join(names)}; give them to `lyth {error.how}` again: {given}"
        )
    if isinstance(error, OutputsChanged):
        return f"{error} (outputs= is storage.outputs_db, and on_change= is --on-change)"
    return str(error) if isinstance(error, ComposeError) else in_short(error)


def _origin(error: BaseException) -> BaseException | None:
    """What somebody's code raised; None where we found something wrong with it."""
    if isinstance(error, MissingObject):
        return None
    if isinstance(error, ImportFailed):
        return error.__cause__
    return None if isinstance(error, ComposeError) else error


def _line_of(error: BaseException, top: Path) -> str | None:
    if isinstance(error, SyntaxError) and error.filename and error.lineno:
        return f"{_short(Path(error.filename), top)}:{error.lineno}"
    frames = list(_frames(error))
    below = [frame for frame in frames if frame[0].is_relative_to(top)]
    if not frames:
        return None
    file, line = (below or frames)[-1]
    return f"{_short(file, top)}:{line}"


def _frames(error: BaseException) -> Iterator[tuple[Path, int]]:
    for frame, line in traceback.walk_tb(error.__traceback__):
        file = Path(frame.f_code.co_filename)
        if file.is_file() and not file.is_relative_to(_OURS) and "importlib" not in file.parts:
            yield file, line


def _short(file: Path, top: Path) -> str:
    return str(file.relative_to(top)) if file.is_relative_to(top) else str(file)
