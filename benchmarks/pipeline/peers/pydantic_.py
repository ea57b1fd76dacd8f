"""What an import is compared with: a process that defines one pydantic model."""

from __future__ import annotations

from pydantic import BaseModel

from ..peer import Peer


class Person(BaseModel):
    name: str
    age: int


class Pydantic(Peer):
    title = "pydantic"
    packages = ("pydantic",)


PEER = Pydantic
