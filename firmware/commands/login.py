"""Who asks: `--as NAME`, with a passphrase typed or read from a file. Shared by commands that need a role."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from firmware.commands.files import read_secret
from firmware.core.client import ask, control
from firmware.runtime.config import load_config
from firmware.runtime.ipc import Connection
from firmware.runtime.messages import Login

# hashing alone takes a fifth of a second, longer on a busy board, and logins wait for each other
LOGIN_S = 10.0

ConfigOption = Annotated[Path, typer.Option("--config", help="The terminal's configuration file.")]
AsOption = Annotated[str, typer.Option("--as", help="Your name among the staff (`tessera roles list`).")]
PassphraseOption = Annotated[
    Path | None, typer.Option("--passphrase-file", help="File with your passphrase; without it you are asked.")
]


def passphrase(prompt: str, file: Path | None, *, confirm: bool = False) -> str:
    """A passphrase from `file`, one line, or typed. Raises TerminalError where the file cannot be read."""
    if file is None:
        return str(typer.prompt(prompt, hide_input=True, confirmation_prompt=confirm))
    return read_secret(file)


@contextmanager
def signed_in(config: Path, name: str, file: Path | None) -> Iterator[Connection[Any]]:
    """A connection to the running terminal on which `name` has logged in.

    Raises:
        TerminalError: the terminal is not running, or name or passphrase is wrong.
    """
    loaded, _ = load_config(config)
    with control(loaded) as core:
        ask(core, Login(name=name, passphrase=passphrase(f"Passphrase of {name}", file)), LOGIN_S)
        yield core
