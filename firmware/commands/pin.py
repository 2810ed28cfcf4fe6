"""`tessera pin`: let somebody choose a PIN at the terminal, and type one, while it has no screen of its own.

Rules kept here:
- Digits are typed, unseen, and never an argument or a file: both are kept in places that others read.
"""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from firmware.commands.files import read_file
from firmware.commands.login import AsOption, ConfigOption, PassphraseOption, signed_in
from firmware.core.client import ask, control
from firmware.core.errors import TerminalError
from firmware.core.keypad import CHOOSE_S
from firmware.runtime.config import load_config
from firmware.runtime.messages import Event, Pin, SetPin, Status

DIGITS = re.compile(r"[0-9]{4,12}")

pin = typer.Typer(help="PINs, for payments that ask for one.", no_args_is_help=True)


@pin.command("set")
def set_pin(
    person: Annotated[str, typer.Argument(help="The id that `tessera people list` shows.")],
    mandate: Annotated[Path, typer.Option(help="The backend's signed mandate to set a PIN (`tessera mandate --pin`).")],
    config: ConfigOption,
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Let somebody choose a PIN at the terminal: for the first time, or anew after too many wrong ones."""
    console = Console()

    def tell(event: Event) -> None:
        if event.stage == "prompt":
            console.print(event.text)

    request = SetPin(person=person, mandate=read_file(mandate, "ask the backend for a mandate"))
    with signed_in(config, who, file) as core:
        ask(core, request, CHOOSE_S + 10, tell)
    console.print(f"{person} has chosen a PIN")


@pin.command("enter")
def enter(config: ConfigOption) -> None:
    """Type a PIN where the terminal asks for one."""
    loaded, _ = load_config(config)
    with control(loaded) as core:
        status = ask(core, Status(), timeout_s=2)
        if not status.typing:
            raise TerminalError("the terminal asks for no PIN")
        digits = str(typer.prompt("PIN", hide_input=True))
        if DIGITS.fullmatch(digits) is None:
            raise TerminalError("a PIN has 4 to 12 digits")
        ask(core, Pin(scene=status.scene, digits=digits), timeout_s=2)
    Console().print("typed")
