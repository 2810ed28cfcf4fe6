"""One picture of the evidence: an example of every species as the simulated sensor sees it, and of somebody living."""

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from hil.evaluate.protocol import Protocol
from hil.evaluate.shots import Shot, frames_of

WIDTH, HEIGHT, BAND, COLUMNS = 240, 180, 26, 6
GREY, WHITE = 24, (235, 235, 235)
NEAR_MM, FAR_MM = -90.0, 90.0  # about the middle of what has depth


def draw(protocol: Protocol, root: Path, path: Path) -> None:
    """Write the sheet as PNG: infrared above, depth below, the name under them. Raises OSError, PeopleError."""
    shown = [("bona fide", protocol.headline.shots[0])]
    for attack in (*protocol.flat, *protocol.bodies):
        first = attack.presented[0]
        if isinstance(first, Shot):
            shown.append((attack.name, first))
    tiles = [_tile(name, next(frames_of(shot, root))) for name, shot in shown]
    tiles += [np.full_like(tiles[0], GREY)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[start : start + COLUMNS]) for start in range(0, len(tiles), COLUMNS)]
    banner = np.full((34, rows[0].shape[1], 3), GREY, np.uint8)
    _write(banner, "SIMULATED people, instruments and sensor (held-out); infrared above, depth below, near is red", 22)
    if not cv2.imwrite(str(path), np.vstack([banner, *rows])):
        raise OSError(f"{path}: the picture cannot be written")


def _tile(name: str, frames: FrameSet) -> NDArray[np.uint8]:
    band = np.full((BAND, WIDTH, 3), GREY, np.uint8)
    _write(band, name.replace("_", " "), 17)
    infrared = cv2.cvtColor(_small(np.asarray(frames.ir, np.uint8)), cv2.COLOR_GRAY2BGR)
    tile = np.vstack([infrared, _small(_coloured(frames.depth_mm)), band]).astype(np.uint8)
    return np.pad(tile, ((2, 2), (2, 2), (0, 0)), constant_values=GREY)


def _coloured(depth_mm: NDArray[np.float32]) -> NDArray[np.uint8]:
    known = np.isfinite(depth_mm)
    middle = float(np.median(depth_mm[known])) if known.any() else 0.0
    scaled = np.clip((FAR_MM - (depth_mm - middle)) / (FAR_MM - NEAR_MM), 0, 1)
    colours = cv2.applyColorMap(np.nan_to_num(scaled * 255).astype(np.uint8), cv2.COLORMAP_TURBO)
    colours[~known] = 0
    return np.asarray(colours, np.uint8)


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA), np.uint8)


def _write(image: NDArray[np.uint8], text: str, y: int) -> None:
    cv2.putText(image, text, (8, y), cv2.FONT_HERSHEY_SIMPLEX, 0.42, WHITE, 1, cv2.LINE_AA)
