"""Which run and node does a log record belong to?

The runner says where it is; a filter writes it into the records. How logs are formatted or where
they go is not known here.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Where:
    """The run, its path and the node that the code at hand is running for."""

    run_id: str
    path: str
    node_label: str


_WHERE: ContextVar[Where | None] = ContextVar("lythonic_where", default=None)


def where() -> Where | None:
    """The node that is running here; None outside of nodes.

    Example:
        >>> where().node_label
        'fetch'
    """
    return _WHERE.get()


def set_where(run_id: str, path: str, node_label: str) -> None:
    """Says for the rest of this task which node is running."""
    _WHERE.set(Where(run_id, path, node_label))


class LogContext(logging.Filter):
    """Gives each record `run_id`, `path` and `node_label`, "-" where no node is running.

    Example:
        >>> handler.addFilter(LogContext())
        >>> handler.setFormatter(logging.Formatter("%(run_id)s %(node_label)s %(message)s"))
    """

    def filter(self, record: logging.LogRecord) -> bool:
        here = _WHERE.get()
        record.run_id = "-" if here is None else here.run_id
        record.path = "-" if here is None else here.path
        record.node_label = "-" if here is None else here.node_label
        return True
