"""`tessera enrol`: enrol whoever stands before the terminal, under a consent record and a payer mandate."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from firmware.commands.files import read_file
from firmware.commands.login import AsOption, ConfigOption, PassphraseOption, signed_in
from firmware.core.client import ask
from firmware.runtime.messages import Enrol

# between two words of the terminal: every frame is one, so the camera's start takes longest
ANSWER_S = 15.0

GuardianOption = Annotated[
    Path | None, typer.Option("--guardian-mandate", help="The guardian's mandate, for a person under 14.")
]
NO_MANDATE = "ask the backend for a mandate"


def enrol(
    config: ConfigOption,
    consent: Annotated[Path, typer.Option(help="The signed consent record (`tessera consent`).")],
    mandate: Annotated[Path, typer.Option(help="The backend's signed payer mandate for this consent.")],
    who: AsOption,
    guardian: GuardianOption = None,
    file: PassphraseOption = None,
) -> None:
    """Enrol the person before the terminal: five guided poses."""
    console = Console()
    request = Enrol(
        consent=read_file(consent, "without consent there is no enrolment"),
        mandate=read_file(mandate, NO_MANDATE),
        guardian=b"" if guardian is None else read_file(guardian, NO_MANDATE),
    )
    with signed_in(config, who, file) as core:
        done = ask(
            core,
            request,
            ANSWER_S,
            on_event=lambda event: console.print(event.text) if event.stage == "prompt" else None,
        )
    console.print(f"enrolled as {done.detail}")
