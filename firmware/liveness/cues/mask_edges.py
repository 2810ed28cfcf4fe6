"""Cue `mask_edges`: the border of something worn: a step in depth and in reflectance all along a closed line.

    value = the largest, over closed lines, of the lower quartile along the line of
            (step in depth / 4 mm) + (step in light / 0.3)

Lines are almonds about each eye and about the mouth, and rounds about the nose, of growing size: where holes are cut.
Depth inside the line lies behind depth outside, and its light is less. The lower quartile along the line asks that most
of the line is a border: brows, lids and glasses make steps too, but not all the way round. Steps that the matching
window of the depth decoder rounds off are seen only by their light; a mask that clings, with edges made up, not at all.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from firmware.liveness.cues.ground import F32, Ground

EYE_MM, MOUTH_MM, NOSE_MM = np.arange(8.0, 21.0), np.arange(22.0, 34.0, 2.0), np.arange(14.0, 26.0, 2.0)
"""Half widths of the lines tried."""
ALMOND = 0.6  # height over width
STEP_MM, STEP_LIGHT = 4.0, 0.3
APART_MM = 3.0  # either side of the line
ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
LEAST_KNOWN = 0.6  # of the line


def mask_edges(ground: Ground) -> float:
    """Largest over eyes (their mean), mouth and nose; larger is more like a border; NaN where no line is known."""
    eyes, mouth = ground.eyes_px.mean(axis=0), ground.mouth_px.mean(axis=0)
    depth, light = _levelled(ground)
    both = [_border(ground, depth, light, eye, EYE_MM, ALMOND) for eye in ground.eyes_px]
    found = [
        float(np.mean(both)),
        _border(ground, depth, light, mouth, MOUTH_MM, ALMOND),
        _border(ground, depth, light, eyes + 0.6 * (mouth - eyes), NOSE_MM, 1.0),
    ]
    known = [value for value in found if math.isfinite(value)]
    return max(known) if known else math.nan


def _levelled(ground: Ground) -> tuple[F32, F32]:
    """Depth, and the light without its fall with distance: a step in depth alone is none in light."""
    depth = ground.patch.depth_mm
    with np.errstate(invalid="ignore", divide="ignore"):
        return depth, np.asarray(ground.light + 2 * np.log(depth / 1000), np.float32)


def _border(
    ground: Ground, depth: F32, light: F32, place_px: NDArray[np.float64], sizes_mm: NDArray[np.float64], high: float
) -> float:
    wide = sizes_mm[:, None]
    inner = [_along(ground, image, place_px, wide - APART_MM, wide * high - APART_MM) for image in (depth, light)]
    outer = [_along(ground, image, place_px, wide + APART_MM, wide * high + APART_MM) for image in (depth, light)]
    step = (inner[0] - outer[0]) / STEP_MM + (outer[1] - inner[1]) / STEP_LIGHT
    known = np.isfinite(step).sum(axis=1)
    rising = np.sort(step, axis=1)  # unknown places come last
    found = rising[np.arange(len(step)), known // 4][known >= LEAST_KNOWN * len(ANGLES)]
    return float(found.max()) if len(found) else math.nan


def _along(
    ground: Ground, image: F32, place_px: NDArray[np.float64], wide: NDArray[np.float64], high: NDArray[np.float64]
) -> F32:
    """(sizes, angles) of `image` (h, w) on ellipses about a place."""
    down = ground.mouth_px.mean(axis=0) - ground.eyes_px.mean(axis=0)
    down = down / max(float(np.hypot(*down)), 1e-6)
    across, per_cell = np.array([down[1], -down[0]]), 1 / ground.cell_mm
    x, y = wide * np.cos(ANGLES) * per_cell, high * np.sin(ANGLES) * per_cell
    patch = ground.patch
    start = (place_px - [patch.u[0, 0], patch.v[0, 0]]) / patch.step
    column = (start[0] + x * across[0] + y * down[0]).astype(np.float32)
    row = (start[1] + x * across[1] + y * down[1]).astype(np.float32)
    nothing = float("nan")
    return np.asarray(
        cv2.remap(image, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=nothing), np.float32
    )
