"""`tessera upkeep`: what a technician does to a running terminal's keys and files."""

from typing import Annotated, Literal

import typer
from rich.console import Console

from firmware.commands.login import AsOption, ConfigOption, PassphraseOption, signed_in
from firmware.core.client import ask
from firmware.runtime.messages import Backup, Rotate

# a large gallery is sealed anew person by person
ROTATE_S = 120.0

upkeep = typer.Typer(help="Keys and backups of a running terminal, for technicians.", no_args_is_help=True)


@upkeep.command("rotate")
def rotate(
    what: Annotated[
        Literal["identity", "sealing", "payment", "door"],
        typer.Argument(help="The device identity, the gallery's sealing key, or a purpose's transform."),
    ],
    config: ConfigOption,
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Exchange a key. The identity: for the one whose certificate was requested (`tessera element request --next`)."""
    with signed_in(config, who, file) as core:
        done = ask(core, Rotate(what=what), ROTATE_S)
    Console().print(done.detail, highlight=False)


@upkeep.command("backup")
def backup(config: ConfigOption, who: AsOption, file: PassphraseOption = None) -> None:
    """Copy the gallery. The copy opens on this terminal only, until somebody is erased or a key is exchanged."""
    with signed_in(config, who, file) as core:
        done = ask(core, Backup(), ROTATE_S)
    Console().print(f"backup in {done.detail}", highlight=False, soft_wrap=True)
