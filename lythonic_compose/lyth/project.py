"""What does a new project begin with? A configuration with comments, and a small pipeline.

Texts that are written into files once; from then on they are the user's.
"""

from __future__ import annotations

from pathlib import Path

from ..errors import ConfigError

CONFIGURATION = """\
# What this engine runs, and when. `lyth check` says whether it makes sense.

namespace:
  - nsref: "disks:check"        # under this name it is run:  lyth run disks:check
    gref: "pipelines:check"     # where it is in Python:      pipelines.py, check
    triggers:
      # Six fields begin with the seconds: this is every 5 seconds, so that there is something to
      # see. Five fields begin with the minutes: "*/5 * * * *" is every 5 minutes.
      - {name: often, schedule: "*/5 * * * * *"}
      # - name: mornings
      #   schedule: "0 6 * * *"
      #   timezone: Europe/Berlin
      #   payload: {look: {path: "/var"}}

# Called with the DagRun of each run that failed:
# on_failure: pipelines:notify

# Where it keeps what it knows, in files below this directory or in PostgreSQL, by URL:
# storage:
#   dags_db: dags.db
#   triggers_db: triggers.db
#   cache_db: cache.db
#   log_file: lyth.log
"""

MODULE = '''\
"""How full are the disks? A small pipeline to begin with."""

import shutil

from pydantic import Field

from lythonic_compose import Dag
from lythonic_state import DbModel


class Usage(DbModel["Usage"]):
    """How full a disk was when somebody looked."""

    usage_id: int = Field(default=-1, description="(PK)")
    path: str
    used: float


def look(path: str = ".") -> Usage:
    disk = shutil.disk_usage(path)
    return Usage(path=path, used=disk.used / disk.total)


def judge(usage: Usage, most: float = 0.9) -> str:
    verdict = "too full" if usage.used > most else "fine"
    return f"{usage.path} is {verdict}: {usage.used:.0%} used"


# What a function returns goes to the parameter that its type fits. Each look is kept as a row.
with Dag() as check:
    check.node(look, write="insert") >> check.node(judge)
'''

FILES = {"lyth.yaml": CONFIGURATION, "pipelines.py": MODULE}


def write_project(directory: Path) -> list[Path]:
    """Writes the files of a new project, and gives their paths.

    Raises:
        ConfigError: one of them is there already; nothing was written.
    """
    paths = [directory / name for name in FILES]
    there = [path for path in paths if path.exists()]
    if there:
        raise ConfigError(
            f"{', '.join(map(str, there))} is there already; nothing was written. "
            "Name another directory: lyth init DIR"
        )
    directory.mkdir(parents=True, exist_ok=True)
    for path in paths:
        path.write_text(FILES[path.name], encoding="utf-8")
    return paths
