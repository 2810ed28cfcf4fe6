"""The contact sheet of every species: infrared, depth, dots on the cheek, and what the rendering leaves out.

Every instrument has its typical parameters, at 450 mm, turned a little, as the preset `structured-light` sees it.
"""

import textwrap
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from hil.artefacts.instrument import Attacker
from hil.artefacts.species import SPECIES
from hil.people.generators import make_actor
from hil.rig.render import living
from hil.sensor.cycle import Cycle, take
from hil.sensor.presets import preset
from hil.sensor.scene import Performance

COLUMNS, WIDTH, HEIGHT, BAND = 6, 252, 244, 96
NEAR_MM, FAR_MM = 350.0, 650.0
WHITE, GREY, DARK = (235, 235, 235), (165, 165, 165), 24
YAW_DEG, AT_S = 12.0, 0.4
CROP = (slice(58, 422), slice(132, 508))
CHEEK, ZOOM = (slice(272, 294), slice(333, 399)), 4


def draw(seed: int, path: Path) -> None:
    """Write the sheet as PNG. Raises PeopleError, OSError."""
    victim, wearer = make_actor("makehuman", seed), make_actor("makehuman", seed + 5)
    by = Attacker(seed, wearer)
    shown: dict[str, tuple[Performance, str]] = {
        "bona fide": (living(victim, by, yaw_deg=YAW_DEG).performance, "the victim, for comparison")
    }
    for name, species in SPECIES.items():
        caption = f"{species.kind}, level {species.level}. Not modelled: {species.not_modelled}"
        shown[name] = (species.perform(victim, by, yaw_deg=YAW_DEG), caption)
    sensor = preset("structured-light")
    tiles = [
        _tile(name, caption, take(performance, AT_S, sensor, np.random.default_rng([seed, number])))
        for number, (name, (performance, caption)) in enumerate(track(shown.items(), "drawing", transient=True))
    ]
    tiles += [np.full_like(tiles[0], DARK)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
    banner = np.full((34, rows[0].shape[1], 3), DARK, np.uint8)
    about = f"SIMULATED: every species, seed {seed}, preset {sensor.name}; infrared,"
    write(banner, f"{about} decoded depth (350-650 mm), dots on the cheek x{ZOOM}", 22, WHITE, 0.5)
    if not cv2.imwrite(str(path), np.vstack([banner, *rows])):
        raise OSError(f"{path}: the contact sheet cannot be written")


def _tile(name: str, caption: str, cycle: Cycle) -> NDArray[np.uint8]:
    infrared = cv2.cvtColor(_small(cycle.ir[CROP]), cv2.COLOR_GRAY2BGR)
    band = np.full((BAND, WIDTH, 3), DARK, np.uint8)
    write(band, name.replace("_", " "), 16, WHITE, 0.46)
    for line, text in enumerate(textwrap.wrap(caption, 45)[:5]):
        write(band, text, 34 + 15 * line, GREY, 0.36)
    tile: NDArray[np.uint8] = np.vstack([infrared, _coloured(cycle.depth_mm[CROP]), _dots(cycle.dots[CHEEK]), band])
    return np.pad(tile, ((2, 2), (2, 2), (0, 0)), constant_values=DARK)


def _coloured(depth_mm: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3) BGR: near is red, far is blue, unknown is black."""
    scaled = np.clip((FAR_MM - depth_mm) / (FAR_MM - NEAR_MM), 0, 1)
    colours = cv2.applyColorMap(np.nan_to_num(scaled * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    colours[~np.isfinite(depth_mm)] = 0
    return _small(colours)


def _dots(cheek: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarged, and as bright as its brightest dot."""
    bright = cv2.convertScaleAbs(cheek, alpha=255 / max(int(cheek.max()), 1))
    large = cv2.resize(bright, (WIDTH, cheek.shape[0] * ZOOM), interpolation=cv2.INTER_NEAREST)
    return cv2.cvtColor(large, cv2.COLOR_GRAY2BGR).astype(np.uint8)


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8)


def write(image: NDArray[np.uint8], text: str, y: int, colour: tuple[int, int, int], size: float) -> None:
    """One line of text."""
    cv2.putText(image, text, (6, y), cv2.FONT_HERSHEY_SIMPLEX, size, colour, 1, cv2.LINE_AA)
