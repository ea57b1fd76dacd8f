"""Where do the rows of a stream wait until their node completes?

In a file without a name, so that nothing of it is left whatever becomes of the process. Nobody
holds a lock meanwhile.
"""

from __future__ import annotations

import marshal
import tempfile
from collections.abc import Iterator
from typing import IO, Any

from pydantic import BaseModel

from lythonic_state.keyed import RowForm
from lythonic_state.table import Table

CHUNK = 1000
"""So many rows are in memory at a time."""


class Spool:
    """Rows of one table, written once and read as often as it takes."""

    def __init__(self, table: Table) -> None:
        self._form = RowForm(table)
        self._waiting: list[tuple[Any, ...]] = []
        self._file: IO[bytes] | None = None
        self.count = 0

    def add(self, model: BaseModel) -> None:
        self._waiting.append(self._form.row(model))
        self.count += 1
        if len(self._waiting) >= CHUNK:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="lythonic-")  # noqa: SIM115 - it stays open
            marshal.dump(self._waiting, self._file)
            self._waiting = []

    def chunks(self) -> Iterator[list[BaseModel]]:
        """The models anew, in the order in which they came."""
        if self._file is not None:
            self._file.seek(0)
            for _ in range(self.count // CHUNK):
                yield self._form.models(marshal.load(self._file))  # our own file
        if self._waiting:
            yield self._form.models(self._waiting)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
