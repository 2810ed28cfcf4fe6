"""`tessera camera`: what is plugged in, whether it measures well, its calibration, and a look through it."""

import typer
from rich.console import Console
from rich.table import Table

from drivers.camera import list_cameras

camera = typer.Typer(help="Cameras and their calibration.", no_args_is_help=True)


@camera.callback()
def _group() -> None:
    """Keep `list` a subcommand while it is the only one."""


@camera.command("list")
def list_found() -> None:
    """Show every camera that could be opened."""
    found = list_cameras()
    if not found:
        Console().print("No camera is plugged in. Check cable, power and udev rules.")
        return
    table = Table("source", "serial", "what it says")
    for one in found:
        table.add_row(one.source, one.serial, one.description)
    Console().print(table)
