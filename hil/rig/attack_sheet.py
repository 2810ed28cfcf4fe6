"""The picture of the worst cases: infrared and depth of each, as the terminal saw it, and what became of it."""

import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from hil.evaluate.shots import frames_of
from hil.rig.attack_trial import Tried
from hil.rig.species_sheet import BAND, DARK, GREY, HEIGHT, WHITE, WIDTH, write

COLUMNS = 5
HALF_MM = 130.0  # half the side of what is shown about the middle, at the instrument's distance
NEAR_MM = 90.0  # before and behind that distance, in the colours of depth


def draw(worst: Sequence[Tried], path: Path) -> None:
    """Write the picture as PNG. Raises PeopleError, ArtefactError, OSError."""
    tiles = list(_tiles(worst))
    tiles += [np.full_like(tiles[0], DARK)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
    banner = np.full((34, rows[0].shape[1], 3), DARK, np.uint8)
    about = f"SIMULATED: the worst case found of each species; infrared, depth within {NEAR_MM:g} mm; first frame"
    write(banner, about, 22, WHITE, 0.5)
    if not cv2.imwrite(str(path), np.vstack([banner, *rows])):
        raise OSError(f"{path}: the picture cannot be written")


def _tiles(worst: Sequence[Tried]) -> Iterator[NDArray[np.uint8]]:
    with TemporaryDirectory() as folder:
        for one in worst:
            frame = next(frames_of(replace(one.shot, frames=1), Path(folder)))
            yield _tile(one, frame)


def _tile(one: Tried, frame: FrameSet) -> NDArray[np.uint8]:
    parameters = dict(one.shot.parameters)
    crop = _crop(frame, parameters["distance_mm"])
    infrared = cv2.cvtColor(_small(frame.ir[crop]), cv2.COLOR_GRAY2BGR)
    scaled = np.clip((parameters["distance_mm"] + NEAR_MM - frame.depth_mm[crop]) / (2 * NEAR_MM), 0, 1)
    depth = cv2.applyColorMap(np.nan_to_num(scaled * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    depth[~np.isfinite(frame.depth_mm[crop])] = 0
    band = np.full((BAND + 15, WIDTH, 3), DARK, np.uint8)
    write(band, one.shot.species.replace("_", " "), 16, WHITE, 0.46)
    how = "accepted" if one.accepted else f"{one.decision}: {one.reason}"
    held = ", ".join(f"{name.partition('_')[0]} {value:.3g}" for name, value in parameters.items())
    for line, text in enumerate(textwrap.wrap(f"{how}, nearness {one.score:.2f} of 3. {held}", 42)[:6]):
        write(band, text, 34 + 15 * line, GREY, 0.36)
    tile: NDArray[np.uint8] = np.vstack([infrared, _small(depth), band])
    return np.pad(tile, ((2, 2), (2, 2), (0, 0)), constant_values=DARK)


def _crop(frame: FrameSet, distance_mm: float) -> tuple[slice, slice]:
    lens = frame.intrinsics
    tall = min(lens.height // 2, round(HALF_MM * lens.fy / distance_mm))
    wide = min(lens.width // 2, round(tall * WIDTH / HEIGHT))
    row, column = lens.height // 2, lens.width // 2
    return slice(row - tall, row + tall), slice(column - wide, column + wide)


def _small(image: NDArray[np.uint8] | NDArray[np.uint16]) -> NDArray[np.uint8]:
    return cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8)
