"""How is a plan shown? As text, mermaid, dot or a picture, and as a table of what feeds what.

The door of this package; only plans are read in it, and nothing is decided.
"""

from __future__ import annotations

from .diagrams import dot, mermaid
from .notebook import views
from .tables import explanation, table
from .text import ascii_drawing

__all__ = ["ascii_drawing", "dot", "explanation", "mermaid", "table", "views"]
