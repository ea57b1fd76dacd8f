"""Which commands are there? The door of their rooms."""

from __future__ import annotations

from ..app import carried_out
from . import beginning, keeping, looking, serving, working

__all__ = ["beginning", "carried_out", "keeping", "looking", "serving", "working"]
