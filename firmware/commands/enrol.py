"""`tessera enrol`: enrol whoever stands before the terminal, under a consent and a payer mandate."""

from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console

from firmware.commands.login import AsOption, ConfigOption, PassphraseOption, signed_in
from firmware.core.client import ask
from firmware.core.errors import TerminalError
from firmware.gallery.consent import Consent
from firmware.runtime.messages import Enrol

# between two words of the terminal: every frame is one, so the camera's start takes longest
ANSWER_S = 15.0


def read_consent(path: Path) -> Consent:
    """Read a consent record from TOML. Raises TerminalError naming file, key and reason."""
    try:
        return msgspec.toml.decode(path.read_bytes(), type=Consent, strict=True)
    except OSError as error:
        raise TerminalError(f"{path}: {error.strerror}; without consent there is no enrolment") from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TerminalError(f"{path}: {error}") from error


def enrol(
    config: ConfigOption,
    consent: Annotated[Path, typer.Option(help="Consent record (TOML): who, purpose, notice_sha256, ...")],
    mandate: Annotated[Path, typer.Option(help="The backend's signed payer mandate for this consent.")],
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Enrol the person before the terminal: five guided poses."""
    console = Console()
    record = read_consent(consent)
    try:
        envelope = mandate.read_bytes()
    except OSError as error:
        raise TerminalError(f"{mandate}: {error.strerror}; ask the backend for a mandate") from error
    with signed_in(config, who, file) as core:
        done = ask(
            core,
            Enrol(consent=record.encoded, mandate=envelope),
            ANSWER_S,
            on_event=lambda event: console.print(event.text) if event.stage == "prompt" else None,
        )
    console.print(f"enrolled as {done.detail}")
