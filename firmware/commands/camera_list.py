"""`tessera camera list`: which plug-ins are installed, and which cameras they find."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from drivers import plugins
from drivers.camera import CameraError, list_cameras
from firmware.commands.findings import plain
from firmware.runtime.config import CameraConfig, load_config


def list_found(
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A terminal's configuration: mark its camera.")
    ] = None,
) -> None:
    """Show the installed plug-ins and every camera they find. Emits and captures nothing."""
    console = Console()
    pinned = load_config(config)[0].camera if config is not None else None
    table = Table("plug-in", "camera", "what it says of itself", "options", "pinned")
    found_any = False
    for name in plugins.names(plugins.CAMERAS):
        if name not in plugins.names(plugins.CAMERA_LISTS):
            table.add_row(name, "-", "[dim]opened by its options[/dim]", "", _pin(pinned, name, None))
            continue
        try:
            found = list_cameras(name)
        except CameraError as error:
            table.add_row(name, "-", f"[red]{escape(plain(str(error)))}[/red]", "", _pin(pinned, name, None))
            continue
        found_any = found_any or bool(found)
        for one in found:
            options = " ".join(f"--option {key}={value}" for key, value in one.options.items())
            row = (one.source, one.serial, one.description, options)
            table.add_row(*(escape(plain(text)) for text in row), _pin(pinned, name, one.serial))
        if not found:
            table.add_row(name, "-", "[dim]none is plugged in[/dim]", "", _pin(pinned, name, None))
    console.print(table)
    if not found_any:
        console.print("No camera is plugged in. Check cable, power and udev rules.")


def _pin(pinned: CameraConfig | None, source: str, serial: str | None) -> str:
    """Whether a configuration means this row."""
    if pinned is None or pinned.source != source:
        return ""
    if pinned.serial is None:
        return "source, any serial"
    return "[green]yes[/green]" if serial == pinned.serial else f"{escape(pinned.serial)} is"
