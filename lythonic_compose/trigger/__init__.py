"""What begins runs by itself? Triggers: schedules, functions that are polled, and fires by hand."""

from .manager import TriggerManager
from .store import TriggerStore
from .tables import TriggerFire, TriggerState

__all__ = ["TriggerFire", "TriggerManager", "TriggerState", "TriggerStore"]
