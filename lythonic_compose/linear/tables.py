"""Which tables does the cache of a pipeline have?

Models of the state layer. What is kept in them, and when it is read, is the business of `cache.py`.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AwareDatetime

from lythonic_state import DbModel, ForeignKey, PrimaryKey, Schema

How = Literal["typed", "pickled", "not kept"]


class KeptObject(DbModel, table="pipeline_objects"):
    """An object of a pipeline by its name, with the code and the inputs that made it."""

    name: Annotated[str, PrimaryKey()]
    node: str
    code: str
    inputs: dict[str, str]
    """The version of each input by its name."""
    batch: str
    """The outputs of one call of a node bear the same."""
    how: How
    type_name: str
    version: str
    """A digest of the content; of what cannot be kept, of what made it."""
    size: int
    kept_at: AwareDatetime


class KeptPart(DbModel, table="pipeline_parts"):
    """A piece of the content of an object: JSON text, or a pickle."""

    name: Annotated[str, PrimaryKey(), ForeignKey(KeptObject, on_delete="cascade")]
    number: Annotated[int, PrimaryKey()]
    content: bytes


SCHEMA = Schema([KeptObject, KeptPart])
