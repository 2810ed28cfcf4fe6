"""`tessera tap`: touch the terminal's screen from the command line, while it has no screen of its own."""

from firmware.commands.people import ConfigOption
from firmware.core.client import ask, control
from firmware.runtime.config import load_config
from firmware.runtime.messages import Tap


def tap(config: ConfigOption) -> None:
    """Confirm the payment that the terminal shows."""
    loaded, _ = load_config(config)
    with control(loaded) as core:
        ask(core, Tap(), timeout_s=2)
