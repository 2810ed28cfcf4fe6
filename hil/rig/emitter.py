"""`tessera rig emitter`: the simulated board on a pseudo-terminal, with a demo limit table signed for it."""

import signal
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from drivers.emitter.line import BAUD
from firmware.runtime.stop import StopFlag
from hil.emitter.demo import demo_calibration
from hil.emitter.faults import Faults
from hil.emitter.pty_board import PtyBoard


def emitter(
    folder: Annotated[Path, typer.Option(help="Where port, limit table, key and light.json are made.")],
    fault: Annotated[list[str] | None, typer.Option(help="noise=0.003, stuck=on... May be repeated.")] = None,
) -> None:
    """Serve a simulated emitter board until Ctrl-C; prints what the configuration's table `emitter` says of it."""
    faults = _faults(fault or [])
    port = folder / "emitter"
    if port.exists():
        raise typer.BadParameter(f"{port} exists: another board is served there", param_hint="--folder")
    folder.mkdir(parents=True, exist_ok=True)
    port.unlink(missing_ok=True)
    calibration = demo_calibration(folder)
    stop = StopFlag()
    stop.raise_on(signal.SIGINT, signal.SIGTERM)
    with PtyBoard(port, calibration.public_key, light=folder / "light.json", baud=BAUD) as board:
        board.inject(faults)
        typer.echo("# simulated board, demo calibration: the figures are invented")
        typer.echo(f'[emitter]\nowner = "core"\nport = "{port.absolute()}"')
        typer.echo(f'limits = "{calibration.limits.absolute()}"\nkey = "{calibration.key.absolute()}"')
        while not stop.wait(3600.0):
            continue


def _faults(words: list[str]) -> Faults:
    pairs = [word.partition("=") for word in words]
    try:
        return msgspec.convert({name: value for name, _, value in pairs}, Faults, strict=False)
    except msgspec.ValidationError as error:
        known = ", ".join(Faults.__struct_fields__)
        raise typer.BadParameter(f"{error}; faults: {known}", param_hint="--fault") from error
