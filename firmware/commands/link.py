"""`tessera link`: a certificate for the TLS key of `link`, carried by hand where the broker is out of reach.

While the broker is there `link` renews it by itself. After a long time without power it has ended, and the broker lets
nobody in: then the request goes to the backend on a stick (`tessera backend certify`), and its grant comes back.
"""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from firmware.commands.files import read_file, write_private
from firmware.commands.login import AsOption, ConfigOption, PassphraseOption, signed_in
from firmware.core.client import ask
from firmware.core.errors import TerminalError
from firmware.runtime.messages import MAX_ENVELOPE_BYTES, AskCertificate, GiveCertificate

# the secure element signs the request
SIGN_S = 10.0

link = typer.Typer(help="The certificate of the terminal's link, for technicians.", no_args_is_help=True)


@link.command("request")
def request(
    out: Annotated[Path, typer.Argument(help="Where to write the request.")],
    config: ConfigOption,
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Write what the running link asks a certificate with, signed by the terminal."""
    with signed_in(config, who, file) as core:
        write_private(out, ask(core, AskCertificate(), SIGN_S).request)
    Console().print(f"{out}: for the backend; until a newer one is asked for, only its grant is taken", highlight=False)


@link.command("install")
def install(
    grant: Annotated[Path, typer.Argument(help="The backend's grant.")],
    config: ConfigOption,
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Give the running link the certificate it asked for."""
    envelope = read_file(grant, "take the file that the backend wrote")
    if len(envelope) > MAX_ENVELOPE_BYTES:
        raise TerminalError(f"{grant}: larger than any grant")
    with signed_in(config, who, file) as core:
        done = ask(core, GiveCertificate(grant=envelope), SIGN_S)
    Console().print(f"{done.detail}; `tessera doctor` says until when", highlight=False)
