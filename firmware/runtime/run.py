"""`tessera run`: the whole terminal in the foreground."""

from pathlib import Path
from typing import Annotated

import typer

from firmware.runtime import logs
from firmware.runtime.config import ConfigError, load_config
from firmware.runtime.process import SupervisorError
from firmware.runtime.supervisor import supervise


def run(config: Annotated[Path, typer.Option("--config", help="The terminal's TOML file.")]) -> None:
    """Run the terminal: core, camera and link, until SIGTERM or Ctrl-C."""
    logs.set_up("supervisor")
    try:
        settings, _ = load_config(config)
        supervise(config.resolve(), Path(settings.run_dir))
    except (ConfigError, SupervisorError) as error:
        typer.echo(f"tessera run: {error}", err=True)
        raise typer.Exit(2) from error
