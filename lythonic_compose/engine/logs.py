"""Where do log records go, and how do they look? A file and the terminal, plain or JSON.

Each says the run and the node that it belongs to. Which runs there are is told by their events.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, TextIO

from ..errors import ConfigError
from ..events import (
    AttemptFailed,
    Event,
    NodeFailed,
    RunFinished,
    RunResumed,
    RunStarted,
    in_short,
)
from ..log_context import PARTS, LogContext
from ..progress.lines import duration
from .config import EngineConfig, LogConfig

LOG = logging.getLogger("lythonic_compose.engine")

_LEVELS = {"completed": logging.INFO, "failed": logging.ERROR}
_OF_EVERY_RECORD = set(vars(logging.makeLogRecord({}))) | {*PARTS, "message", "asctime", "taskName"}


@contextmanager
def logged(config: EngineConfig, terminal: TextIO | None = None) -> Generator[None]:
    """Has the records of this process written to the log file, and to a terminal if one is given.

    Example:
        >>> with logged(config, sys.stderr):
        ...     logging.info("here I am")

    Raises:
        ConfigError: the log file cannot be written.
    """
    root = logging.getLogger()
    levels = {"": config.log.level, **config.log.levels}
    with ExitStack() as stack:
        for handler in _handlers(config, terminal):
            handler.addFilter(LogContext())
            handler.setFormatter(Plain() if config.log.format == "plain" else Json())
            root.addHandler(handler)
            stack.callback(handler.close)
            stack.callback(root.removeHandler, handler)
        for name, level in levels.items():
            logger = logging.getLogger(name)
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(level)
        logging.captureWarnings(True)
        stack.callback(logging.captureWarnings, False)
        yield


class Plain(logging.Formatter):
    """Records as lines for people: when, how bad, who, for which run and node, and what."""

    def format(self, record: logging.LogRecord) -> str:
        at = _at(record).strftime("%Y-%m-%d %H:%M:%S.%f")[:-3]
        known = [each for each in (_part(record, "run_id"), _part(record, "node_label")) if each]
        where = f" [{' '.join(known)}]" if known else ""
        return f"{at}Z {record.levelname} {record.name}{where} {_message(self, record)}"


class Json(logging.Formatter):
    """Records as JSON, one object a line.

    Its keys are time, level, logger, message, run_id, path, node_label, exception where there is
    one, and whatever `extra=` gave to the record.
    """

    def format(self, record: logging.LogRecord) -> str:
        said: dict[str, Any] = {
            "time": _at(record).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **{name: _part(record, name) for name in PARTS},
        }
        if record.exc_info:
            said["exception"] = self.formatException(record.exc_info)
        for key, value in vars(record).items():
            if key not in _OF_EVERY_RECORD:
                said.setdefault(key, value)
        return json.dumps(said, default=str, ensure_ascii=False)


class RunLog:
    """Logs what happens in runs, as `progress` of a runner: beginnings, ends and failures.

    Example:
        >>> DagRunner(dag, progress=RunLog())
    """

    def __init__(self) -> None:
        self._began: dict[str, tuple[str, datetime]] = {}
        """Of the outermost runs that are under way: what they are called, and when they began."""

    def __call__(self, event: Event) -> None:
        match event:
            case RunStarted(place=None) | RunResumed(place=None):
                name = event.dag_nsref or "a Dag without a name"
                self._began[event.run_id] = name, event.at
                goes = "goes on" if isinstance(event, RunResumed) else "started"
                _log(logging.INFO, event.run_id, "-", f"{name} {goes}")
            case AttemptFailed():
                pause = duration((event.again_at - event.at).total_seconds())
                text = f"attempt {event.attempt} failed, again in {pause}: {in_short(event.error)}"
                _log(logging.WARNING, event.run_id, event.node.label, text)
            case NodeFailed() if event.node.composite is None:  # what is inside has told of itself
                text = f"failed: {in_short(event.error)}"
                _log(logging.ERROR, event.run_id, event.node.label, text, event.error)
            case RunFinished(run_id=run_id) if run_id in self._began:
                name, began = self._began.pop(run_id)
                took = duration((event.at - began).total_seconds())
                level = _LEVELS.get(event.status, logging.WARNING)
                _log(level, run_id, "-", f"{name} {event.status} after {took}")
            case _:
                pass


def _log(
    level: int, run_id: str, label: str, text: str, error: BaseException | None = None
) -> None:
    extra = {"run_id": run_id, "node_label": label}
    LOG.log(level, "%s", text, extra=extra, exc_info=error)


def _handlers(config: EngineConfig, terminal: TextIO | None) -> list[logging.Handler]:
    made: list[logging.Handler] = []
    file = config.storage.within(config.data).log_file
    if file is not None:
        try:
            made.append(_rotating(Path(file), config.log))
        except OSError as error:
            why = f"{file} cannot be written: {error.strerror}; name another file, or none: null"
            raise ConfigError(config.told(("storage", "log_file"), why)) from error
    if terminal is not None:
        made.append(logging.StreamHandler(terminal))
    return made


def _rotating(file: Path, log: LogConfig) -> logging.Handler:
    return RotatingFileHandler(
        file, maxBytes=log.max_bytes, backupCount=log.backups, encoding="utf-8"
    )


def _at(record: logging.LogRecord) -> datetime:
    return datetime.fromtimestamp(record.created, UTC)


def _part(record: logging.LogRecord, name: str) -> str | None:
    value = getattr(record, name, "-")
    return None if value == "-" else str(value)


def _message(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    """What a record says, with its traceback."""
    lines = [record.getMessage()]
    if record.exc_info:
        lines.append(formatter.formatException(record.exc_info))
    if record.stack_info:
        lines.append(formatter.formatStack(record.stack_info))
    return "\n".join(lines)
