"""Which run and node does a log record belong to?

The runner says where it is; a filter writes it into the records. How logs are formatted or where
they go is not known here.
"""

from __future__ import annotations

import logging
from contextvars import ContextVar
from typing import NamedTuple


class Where(NamedTuple):
    """The run, its path and the node that the code at hand is running for."""

    run_id: str
    path: str
    node_label: str


PARTS = ("run_id", "path", "node_label")
"""What of it stands in a record."""

# plain tuples, since one is set for each node and few are ever looked at
_WHERE: ContextVar[tuple[str, str, str] | None] = ContextVar("lythonic_where", default=None)


def where() -> Where | None:
    """The node that is running here; None outside of nodes.

    Example:
        >>> where().node_label
        'fetch'
    """
    here = _WHERE.get()
    return None if here is None else Where(*here)


def set_where(run_id: str, path: str, node_label: str) -> None:
    """Says for the rest of this task which node is running."""
    _WHERE.set((run_id, path, node_label))


class LogContext(logging.Filter):
    """Gives each record `run_id`, `path` and `node_label`, "-" where no node is running.

    What a record has of them already (`extra={"run_id": …}`) stays.

    Example:
        >>> handler.addFilter(LogContext())
        >>> handler.setFormatter(logging.Formatter("%(run_id)s %(node_label)s %(message)s"))
    """

    def filter(self, record: logging.LogRecord) -> bool:
        here = where()
        for name in PARTS:
            if not hasattr(record, name):
                setattr(record, name, "-" if here is None else getattr(here, name))
        return True
