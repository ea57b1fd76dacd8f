"""Which triggers are there? Those of the configuration, and those that the store remembers.

They are found here, and put into the store where a command needs that; nothing is fired.
"""

from __future__ import annotations

from typing import Literal

from lythonic_state.fields import frozen

from ..config import NsNodeConfig, TriggerConfig
from ..engine import Engine, holder
from ..errors import UnknownTrigger, nearest


@frozen(slots=False)
class KnownTrigger:
    """A trigger of the configuration, of the store, or of both."""

    name: str
    nsref: str
    config: TriggerConfig
    configured: bool
    enabled: bool = True
    """False where it was disabled on purpose."""
    active: bool = True
    """False where the configuration has it no more."""

    @property
    def state(self) -> Literal["on", "disabled", "off", "gone"]:
        """Whether it fires; "off" says that the configuration switches it off."""
        if not self.active:
            return "gone"
        if not self.config.enabled:
            return "off"
        return "on" if self.enabled else "disabled"


def known_triggers(engine: Engine) -> dict[str, KnownTrigger]:
    """All triggers by name; one that is configured as the configuration says it now."""
    stored = {state.name: state for state in engine.triggers.states()}
    found: dict[str, KnownTrigger] = {}
    for node in engine.namespace:
        config = node.config
        for each in config.triggers if isinstance(config, NsNodeConfig) else ():
            name = each.name or str(node.nsref)
            enabled = stored[name].enabled if name in stored else True
            found[name] = KnownTrigger(name, str(node.nsref), each, True, enabled)
    for name, state in stored.items():
        if name not in found:
            active = state.active and not state.configured
            found[name] = KnownTrigger(
                name, state.nsref, state.config, False, state.enabled, active
            )
    return dict(sorted(found.items()))


def trigger_meant(engine: Engine, name: str) -> KnownTrigger:
    """The trigger of this name.

    Raises:
        UnknownTrigger: there is none; the message has the nearest.
    """
    found = known_triggers(engine)
    if name not in found:
        raise UnknownTrigger(f"there is no trigger {name!r}{nearest(name, found)}")
    return found[name]


def keep_trigger(engine: Engine, name: str) -> KnownTrigger:
    """The trigger of this name, which is in the store from now on.

    What an engine that runs was started with is not changed under its feet.

    Raises:
        UnknownTrigger: there is none; the message has the nearest.
    """
    found = trigger_meant(engine, name)
    stored = {state.name for state in engine.triggers.states()}
    if found.configured and (name not in stored or holder(engine.config.data) is None):
        engine.triggers.put(name, found.nsref, found.config, configured=True)
    return found
