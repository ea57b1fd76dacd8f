"""How do the objects of a pipeline stay, so that another process need not make them again?

In a SQLite file. All outputs of a node, with what they were made of, are written in one
transaction: a process that dies in between leaves nothing of them. Values that come back exactly
through their declared type are JSON, all others pickles. Whether an object may be used is decided
elsewhere.
"""

from __future__ import annotations

import logging
import pickle
import threading
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from datetime import datetime
from pathlib import Path
from sqlite3 import Connection
from typing import Any, NamedTuple

from lythonic_state import SchemaError, StateError, open_sqlite_db, transaction

from ..errors import CacheError
from ..failpoints import reached
from ..fit import is_known
from ..type_names import class_name, named_type, type_name
from ..values import decode, exact_text
from .identity import digest
from .snapshots import is_read_once
from .tables import SCHEMA, How, KeptObject, KeptPart

LOG = logging.getLogger("lythonic_compose")

BUSY_SECONDS = 5.0
"""How long a file that somebody else writes to is waited for."""
PART_BYTES = 8 * 2**20
"""How much of an object stands in one row."""


class Damaged(Exception):
    """What is kept of an object cannot be read back."""


class Content(NamedTuple):
    """An object as it can be kept; without bytes where it cannot."""

    how: How
    type_name: str
    content: bytes


class Cache:
    """The cache file of a pipeline, which any thread may use.

    Raises:
        CacheError: there is a file at the path that is no such cache, or none can be made there.
    """

    def __init__(self, path: Path, clock: Callable[[], datetime]) -> None:
        self.path = path
        self._clock = clock
        self._has_tables = False
        self._lock = threading.Lock()
        self._open = ExitStack()
        self._conn: Connection | None = None
        self._stays_open = False

    def objects(self) -> dict[str, KeptObject]:
        """What is kept, by name. A file that is missing is not made."""
        if not self.path.exists():
            return {}
        with self._opened() as conn:
            try:
                SCHEMA.check_all_tables_exist(conn)
            except SchemaError:  # nothing was written yet
                return {}
            self._has_tables = True
            return {each.name: each for each in KeptObject.select(conn, order_by="name")}

    def value(self, kept: KeptObject, declared: Any) -> Any:
        """An object that is kept.

        Raises:
            Damaged: it cannot be read back, or is another one by now.
        """
        try:
            with self._opened() as conn:
                parts = KeptPart.select(conn, name=kept.name, order_by="number")
        except CacheError as error:
            raise Damaged(str(error)) from error
        content = b"".join(part.content for part in parts)
        if digest(content) != kept.version:
            raise Damaged("its content is not what was written")
        try:
            if kept.how == "pickled":
                return pickle.loads(content)
            known = type_name(declared) == kept.type_name
            return decode(content.decode(), declared if known else named_type(kept.type_name))
        except Exception as error:  # whatever reading a pickle, or the user's classes, may raise
            raise Damaged(f"{type(error).__name__}: {error}") from error

    def keep(
        self,
        node: str,
        code: str,
        inputs: Mapping[str, str],
        outputs: Sequence[tuple[str, Any, Any]],
    ) -> dict[str, str]:
        """Keeps the outputs of a node, each a name, a value and its declared type.

        What cannot be kept stays in memory, with a line in the log. Returns the version of each.
        """
        batch, now = str(uuid.uuid4()), self._clock()
        made_of = digest(node, code, *(f"{name}={of}" for name, of in sorted(inputs.items())))
        rows: list[KeptObject] = []
        contents: dict[str, bytes] = {}
        for name, value, declared in outputs:
            how, kind, content = _content(name, value, declared)
            contents[name] = content
            version = digest(content) if how != "not kept" else f"made of {made_of}"
            rows.append(
                KeptObject(
                    name=name, node=node, code=code, inputs=dict(inputs), batch=batch, how=how,
                    type_name=kind, version=version, size=len(content), kept_at=now,
                )
            )  # fmt: skip
        reached("cache.called")
        try:
            self._write(rows, contents)
        except (CacheError, OSError) as error:
            LOG.warning("%s: its outputs stay in memory only: %s", node, error)
        reached("cache.kept")
        return {row.name: row.version for row in rows}

    def forget(self, names: Sequence[str] | None = None) -> int:
        """Removes these objects, or all; returns how many there were."""
        if not self.path.exists():
            return 0
        with self._opened() as conn, transaction(conn):
            SCHEMA.create_tables(conn)
            if names is None:
                return KeptObject.delete(conn, all_rows=True)
            return KeptObject.delete(conn, in__name=list(names))

    def _write(self, rows: Sequence[KeptObject], contents: Mapping[str, bytes]) -> None:
        if not self.path.parent.exists():
            LOG.info("makes the directory of the cache: %s", self.path.parent)
            self.path.parent.mkdir(parents=True, exist_ok=True)
        with self._opened() as conn, transaction(conn):
            if not self._has_tables:
                SCHEMA.create_tables(conn)
            KeptObject.delete(conn, in__name=[row.name for row in rows])
            for row in rows:
                row.insert(conn)
                content = contents[row.name]
                for number, at in enumerate(range(0, len(content), PART_BYTES)):
                    part = content[at : at + PART_BYTES]
                    KeptPart(name=row.name, number=number, content=part).insert(conn)
            reached("cache.inside")
        self._has_tables = True

    @contextmanager
    def in_use(self) -> Generator[None]:
        """Keeps the file open for as long as the block lasts."""
        self._stays_open = True
        try:
            yield
        finally:
            self._stays_open = False
            with self._lock:
                self._close()

    @contextmanager
    def _opened(self) -> Generator[Connection]:
        with self._lock:
            try:
                yield self._connection()
            except StateError as error:
                self._close()
                raise CacheError(
                    f"{self.path} cannot be used as the cache of a pipeline ({error}); move it "
                    "away, or give another cache_storage_path"
                ) from error
            finally:
                if not self._stays_open:
                    self._close()

    def _connection(self) -> Connection:
        if self._conn is None:
            opener = open_sqlite_db(self.path, synchronous="NORMAL", busy_timeout=BUSY_SECONDS)
            self._conn = self._open.enter_context(opener)
        return self._conn

    def _close(self) -> None:
        self._conn = None
        self._open.close()


def _content(name: str, value: Any, declared: Any) -> Content:
    kind = class_name(type(value))
    if not is_read_once(value):
        for annotation in (declared, type(value)):
            known = type_name(annotation) if is_known(annotation) else None
            text = None if known is None else exact_text(value, annotation)
            if text is not None and known is not None:
                return Content("typed", known, text.encode())
        try:
            return Content("pickled", kind, pickle.dumps(value, pickle.HIGHEST_PROTOCOL))
        except Exception as error:  # noqa: BLE001 - any class may refuse, in its own way
            why = f"{type(error).__name__}: {error}"
    else:
        why = "an iterator can be read once"
    LOG.warning("%s (%s) cannot be kept, and stays in memory: %s", name, kind, why)
    return Content("not kept", kind, b"")
