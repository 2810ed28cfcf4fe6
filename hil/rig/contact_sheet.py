"""One picture of a run: infrared, depth and verdict of each scene, as the virtual camera sees it. Simulated.

The terminal gives no image away: these are not the frames it judged, the scenes are rendered once more here, those
in which something was asked shortly after the last prompt.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from hil.people.living import Prompt
from hil.sensor.capture import render
from hil.sensor.cast import Cast, pose_of
from hil.sensor.scene import Pose
from hil.sensor.stage import Stage

WIDTH, HEIGHT, BAND, COLUMNS = 320, 240, 46, 4
NEAR_MM, FAR_MM = 300.0, 700.0
ANSWERED_S = 1.3  # after a prompt most have answered it
GREEN, RED, WHITE = (90, 190, 90), (70, 70, 220), (235, 235, 235)


@dataclass(frozen=True)
class Panel:
    """One scene: what stood there and heard, how it ended, and whether that was a yes."""

    title: str
    stage: Stage
    verdict: str
    yes: bool


def draw(panels: list[Panel], seed: int, path: Path) -> None:
    """Write the contact sheet as PNG, if there is any panel: infrared, depth, title and verdict of each."""
    if not panels:
        return
    cast = Cast(None)
    tiles = [_tile(panel, cast, np.random.default_rng([seed, 7, i])) for i, panel in enumerate(panels)]
    blank = np.full_like(tiles[0], 24)
    tiles += [blank] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    sheet = np.vstack(rows)
    banner = np.full((34, sheet.shape[1], 3), 24, np.uint8)
    _write(banner, f"Tessera demo, seed {seed}: SIMULATED people and camera; infrared above, depth below", 22, WHITE)
    if not cv2.imwrite(str(path), np.vstack([banner, sheet])):
        raise OSError(f"{path}: the contact sheet cannot be written")


def _tile(panel: Panel, cast: Cast, rng: np.random.Generator) -> NDArray[np.uint8]:
    asked = panel.stage.prompts
    heard = tuple(Prompt(prompt.kind, 1 + (prompt.at_ns - asked[0].at_ns) / 1e9) for prompt in asked)
    at_s = heard[-1].at_s + ANSWERED_S if heard else 0.0
    ir, depth_mm = render(cast.scene(panel.stage, pose_of(panel.stage), Pose(z_mm=0), at_s, heard), rng)
    infrared = np.asarray(cv2.cvtColor(_small(ir), cv2.COLOR_GRAY2BGR), np.uint8)
    if asked:
        words = ", then ".join(prompt.kind.replace("_", " ") for prompt in asked)
        _write(infrared, f"asked: {words}", HEIGHT - 10, WHITE)
    band = np.full((BAND, WIDTH, 3), 24, np.uint8)
    _write(band, panel.title, 18, WHITE)
    _write(band, panel.verdict.replace("_", " "), 38, GREEN if panel.yes else RED)
    tile: NDArray[np.uint8] = np.vstack([infrared, _coloured(depth_mm), band])
    return np.pad(tile, ((2, 2), (2, 2), (0, 0)), constant_values=24)


def _coloured(depth_mm: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3) BGR: near is red, far is blue, unknown is black."""
    scaled = np.clip((FAR_MM - depth_mm) / (FAR_MM - NEAR_MM), 0, 1)
    levels = np.nan_to_num(scaled * 255).astype(np.uint8)
    colours = cv2.applyColorMap(levels, cv2.COLORMAP_TURBO)
    colours[~np.isfinite(depth_mm)] = 0
    return _small(colours)


def _small(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return cv2.resize(image, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA).astype(np.uint8)


def _write(image: NDArray[np.uint8], text: str, y: int, colour: tuple[int, int, int]) -> None:
    cv2.putText(image, text, (8, y), cv2.FONT_HERSHEY_SIMPLEX, 0.46, colour, 1, cv2.LINE_AA)
