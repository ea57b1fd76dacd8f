"""What does a person see of runs while they last? A live display in a terminal, else plain lines.

The door of this package. Events come in and text goes out; the runner knows nothing of it.
"""

from __future__ import annotations

from .display import ProgressDisplay, live_progress

__all__ = ["ProgressDisplay", "live_progress"]
