"""`tessera backend digests`: by what digests a policy for production names what a terminal runs."""

import hashlib
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import typer

from firmware.core.parts import open_analyst
from firmware.runtime.config import load_config


def digests(config: Annotated[Path, typer.Option(help="A terminal's TOML file.")]) -> None:
    """Print what a terminal of this configuration says of itself in each authorization, as lines of `[policy]`."""
    terminal, profile = load_config(config)
    site = Path(terminal.site_calibration) if terminal.site_calibration is not None else None
    _, _, thresholds = open_analyst(profile, Path(terminal.models_dir), site, terminal.npu)
    models = hashlib.sha256((files("models") / "manifest.toml").read_bytes()).digest()
    said = {"policies": profile.digest, "thresholds": thresholds, "models": models}
    for name, digest in said.items():
        typer.echo(f'{name} = ["{digest.hex()}"]')
