"""Which triggers does the configuration of a namespace have, and what is wrong with them?

Nothing is kept here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ..config import NsNodeConfig, TriggerConfig
from ..errors import ConfigError, TriggerError
from .policy import schedule_of

if TYPE_CHECKING:
    from ..registry import Namespace


def triggers_of(namespace: Namespace) -> dict[str, tuple[str, TriggerConfig]]:
    """By name, the path that a trigger hangs on, and the trigger.

    Raises:
        ConfigError: with every name that two of them have, and every schedule that makes no sense.
    """
    found: dict[str, tuple[str, TriggerConfig]] = {}
    problems: list[str] = []
    for nsref, config in _listed(namespace):
        name = config.name or nsref
        if name in found:
            problems.append(
                f"{nsref}: a trigger of {found[name][0]} is called {name!r} already; "
                "give it another name"
            )
            continue
        found[name] = nsref, config
        try:
            schedule_of(config)
        except TriggerError as error:
            problems.append(f"{nsref}: {error}")
    if problems:
        raise ConfigError(problems)
    return found


def _listed(namespace: Namespace) -> Iterator[tuple[str, TriggerConfig]]:
    for node in namespace.nodes():
        if isinstance(node.config, NsNodeConfig):
            for config in node.config.triggers:
                yield str(node.nsref), config
