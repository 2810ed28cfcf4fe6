"""`tessera tap` and `cancel`: touch the terminal's screen from the command line, while it has none of its own."""

from rich.console import Console

from firmware.commands.login import ConfigOption
from firmware.core.client import ask, control
from firmware.core.errors import TerminalError
from firmware.runtime.config import load_config
from firmware.runtime.messages import Cancel, Status, Tap


def tap(config: ConfigOption) -> None:
    """Confirm the payment that the terminal shows."""
    _touch(config, Tap)


def cancel(config: ConfigOption) -> None:
    """Cancel the payment that the terminal shows."""
    _touch(config, Cancel)


def _touch(config: ConfigOption, kind: type[Tap] | type[Cancel]) -> None:
    loaded, _ = load_config(config)
    with control(loaded) as core:
        status = ask(core, Status(), timeout_s=2)
        if not status.shown:
            raise TerminalError("the terminal shows no payment")
        ask(core, kind(scene=status.scene), timeout_s=2)
    Console().print(f"{kind.__name__.lower()}: {status.shown}", highlight=False)
