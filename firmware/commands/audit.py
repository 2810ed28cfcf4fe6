"""`tessera audit`: whether the log is whole, a copy of it for the auditor, and a signature to keep elsewhere.

Rules kept here:
- Verifying needs no terminal: a folder, the terminal's public keys, and, to see that nothing is missing at the end, a
  checkpoint that was kept elsewhere. The keys must come from elsewhere too: a key file that lay beside the log says
  only that both were changed together.
- Export and checkpoint are for an auditor who has logged in; the terminal records them in the log.
"""

import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from firmware.audit import export, frames
from firmware.audit.errors import AuditError
from firmware.audit.verify import Report, read_checkpoint, verify
from firmware.commands.login import AsOption, ConfigOption, PassphraseOption, signed_in
from firmware.core.client import ask
from firmware.runtime.config import load_config
from firmware.runtime.messages import MAX_ENVELOPE_BYTES, AuditCheckpoint

audit = typer.Typer(help="The audit log: verify, export, sign.", no_args_is_help=True)

SIGN_S = 10.0
MAX_KEYS_BYTES = 64 * 1024
CHECKPOINT, LINES = "checkpoint.cose", "log.jsonl"

KeysOption = Annotated[
    Path, typer.Option("--keys", help="Every public key the terminal ever had: a JSON list of DER in hex digits.")
]


@audit.command("verify")
def verify_log(
    folder: Annotated[Path, typer.Argument(help="Folder of the log's segments, the terminal's own or a copy.")],
    keys: KeysOption,
    known: Annotated[
        Path | None, typer.Option(help="A checkpoint of this log that was kept elsewhere (`tessera audit checkpoint`).")
    ] = None,
    counter: Annotated[int | None, typer.Option(help="Where the terminal's hardware counter stands.")] = None,
) -> None:
    """Read the whole log; exit code 1 where records are removed, altered, reordered or cut off."""
    public_keys = _read_keys(keys)
    anchor = None if known is None else read_checkpoint(_read(known, MAX_ENVELOPE_BYTES), public_keys)
    report = verify(folder, public_keys, anchor, counter)
    _tell(report, anchored=anchor is not None or counter is not None)
    if not report.good:
        sys.exit(1)


@audit.command("export")
def export_log(
    out: Annotated[
        Path, typer.Argument(help="A new folder: the segments, a signed checkpoint, the log as JSON lines.")
    ],
    config: ConfigOption,
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Copy the log of the running terminal for an auditor; `tessera audit verify OUT` reads it."""
    loaded, _ = load_config(config)
    folder = Path(loaded.state_dir) / "audit"
    envelope = _ask_checkpoint(config, who, file)
    try:
        out.mkdir(mode=0o700)
        (out / CHECKPOINT).write_bytes(envelope)
        for _, path in frames.segments(folder):
            (out / path.name).write_bytes(frames.read(path))
        with (out / LINES).open("wb") as lines:
            lines.writelines(export.lines(out))
    except OSError as error:
        raise AuditError("audit_unusable", f"{out}: cannot be written: {error.strerror}") from error
    Console().print(f"{out}: {len(frames.segments(out))} segments, {CHECKPOINT}, {LINES}", highlight=False)


@audit.command("checkpoint")
def checkpoint(
    out: Annotated[Path, typer.Argument(help="Where to write the signed checkpoint.")],
    config: ConfigOption,
    who: AsOption,
    file: PassphraseOption = None,
) -> None:
    """Have the terminal sign its log as it stands: keep it elsewhere, and nothing before it can go unseen."""
    envelope = _ask_checkpoint(config, who, file)
    try:
        out.write_bytes(envelope)
    except OSError as error:
        raise AuditError("audit_unusable", f"{out}: cannot be written: {error.strerror}") from error
    Console().print(f"{out}: {len(envelope)} bytes; keep it where the terminal's disk is not", highlight=False)


def _ask_checkpoint(config: Path, who: str, file: Path | None) -> bytes:
    with signed_in(config, who, file) as core:
        return bytes(ask(core, AuditCheckpoint(), SIGN_S).envelope)


def _read(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        raise AuditError("audit_unusable", f"{path}: cannot be read: {error.strerror}") from error
    if len(data) > limit:
        raise AuditError("audit_unusable", f"{path}: larger than {limit} bytes")
    return data


def _read_keys(path: Path) -> list[bytes]:
    try:
        return [bytes.fromhex(key) for key in msgspec.json.decode(_read(path, MAX_KEYS_BYTES), type=list[str])]
    except (msgspec.DecodeError, ValueError) as error:
        raise AuditError("audit_unusable", f"{path}: not a JSON list of keys in hex digits: {error}") from error


def _tell(report: Report, *, anchored: bool) -> None:
    """Print what was found."""
    console = Console()
    console.print(
        f"{report.terminal or 'no terminal'}: records {report.first} to {report.last}, "
        f"{report.checkpoints} checkpoints, signed up to record {report.signed}",
        highlight=False,
    )
    if report.faults:
        table = Table("fault", "record", "what")
        for fault in report.faults:
            table.add_row(fault.kind, str(fault.sequence), fault.text)
        console.print(table)
    for note in report.notes:
        console.print(f"note: {note}", highlight=False)
    if not anchored:
        console.print(
            "note: compared with nothing kept elsewhere (--known, --counter): what the end lacks would not show",
            highlight=False,
        )
    console.print("[red]not whole[/red]" if report.faults else "whole")
