"""`tessera consent`: put on record what somebody agreed to, signed by the terminal, before they are enrolled."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from firmware.commands.files import read_file, write_private
from firmware.commands.login import AsOption, ConfigOption, PassphraseOption, signed_in
from firmware.core.client import ask
from firmware.runtime.messages import RecordConsent

SIGN_S = 10.0


def consent(
    form: Annotated[Path, typer.Argument(help="What was agreed to (TOML): who, purposes, notice_version, ...")],
    out: Annotated[Path, typer.Option(help="Where to write the signed record, for mandate and enrolment.")],
    config: ConfigOption,
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Sign a consent record: who agreed to what, told what, asked by whom."""
    typed = read_file(form, "without consent there is no enrolment")
    with signed_in(config, who, file) as core:
        answer = ask(core, RecordConsent(form=typed), SIGN_S)
    write_private(out, answer.envelope)
    Console().print(f"consent record in {out}; now get a mandate for it (`tessera mandate --consent {out}`)")
