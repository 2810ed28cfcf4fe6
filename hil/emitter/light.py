"""What the simulated board shines now: a small JSON file that the virtual sensor reads in place of photons.

Rules kept here:
- The file is replaced whole, never edited in place, so a reader sees one light or the other.
- It is decoded strictly and bounded in size; what cannot be read is a `LightError`, never a guess.
- A sensor counts its exposures from its own start, and the strobe line advances the board's programme from there:
  exposure n is lit as `levels[n % len(levels)]` says.
"""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from drivers.camera import Emitter
from drivers.emitter.patterns import MAX_LEVELS
from hil import json_file

MAX_LIGHT_BYTES = 32 * 1024


class LightError(Exception):
    """The light file is missing or says something impossible; the message names it."""


class Light(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The board's light.

    Attributes:
        armed: whether the strobe line lights anything.
        levels: the programme, one entry per exposure, over and over.
        stuck: a driver transistor that shorted (`on`: lit in every exposure) or opened (`off`: never lit).
        dots_scale: of the dots' power that is left; 0.2 is a dying or dirty projector.
    """

    armed: bool = False
    levels: Annotated[tuple[Emitter, ...], Meta(max_length=MAX_LEVELS)] = ()
    stuck: Literal["on", "off"] | None = None
    dots_scale: Annotated[float, Meta(ge=0, le=1)] = 1.0

    def at(self, exposure: int) -> tuple[float, float]:
        """(flood, dots) 0..1 that shine during the sensor's exposure number `exposure`."""
        if self.stuck == "on":
            return 1.0, self.dots_scale
        if self.stuck == "off" or not self.armed or not self.levels:
            return 0.0, 0.0
        now = self.levels[exposure % len(self.levels)]
        return now.flood, now.dots * self.dots_scale


def write_light(path: Path, light: Light) -> None:
    """Replace the light file by `light`, atomically."""
    json_file.write(path, light)


def read_light(path: Path) -> Light:
    """Read the light file.

    Raises:
        LightError: it is missing, too large, or not a light.
    """
    return json_file.read(path, Light, MAX_LIGHT_BYTES, "light", LightError)
