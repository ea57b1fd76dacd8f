"""What belongs to one `lyth.yaml`, and how is it served? The door of its rooms.

`reading` knows YAML and `config` what may stand in it; `engine` is a configuration at work, and
`checking` lists what is wrong with one, with the help of `blame` for what the user's code raised.
`lock` says who has a data directory, `logs` where records go, `notify` how systemd learns of it
all; `service` serves until it is told to stop.
"""

from __future__ import annotations

from .checking import check, check_file
from .config import EngineConfig, LogConfig, StorageConfig
from .engine import Engine
from .lock import Holder, hold, holder
from .logs import logged
from .service import serve, stop

__all__ = [
    "Engine",
    "EngineConfig",
    "Holder",
    "LogConfig",
    "StorageConfig",
    "check",
    "check_file",
    "hold",
    "holder",
    "logged",
    "serve",
    "stop",
]
