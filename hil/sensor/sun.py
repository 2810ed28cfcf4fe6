"""What the sun reaches: a shadow map, drawn from where the sun stands.

Parallel light, so the map is an orthographic picture of everything drawn; its values are millimetres towards the sun.
"""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from hil.sensor.jit import compiled
from hil.sensor.rasteriser import NOTHING, View, fill
from hil.sensor.surface import F32

SIZE = 512
Single: TypeAlias = np.float32
BIAS_MM = 4.0  # the map is coarse: without slack slopes would shade themselves
_BIAS = Single(BIAS_MM)


@dataclass(frozen=True, eq=False)
class Shade:
    """A map of what lies nearest to the sun.

    Attributes:
        axes: (3, 3) float32, rows: the map's columns, its rows, and away from the sun, in camera axes.
        corner_mm: (3,) float32, along `axes`: the map's first column and row, and what is farther than everything.
        per_mm: pixels of the map per millimetre.
        nearest_mm: (512, 512) float32, how much nearer than `corner_mm`; 0 where nothing is.
    """

    axes: F32
    corner_mm: F32
    per_mm: np.float32
    nearest_mm: F32


def shade(view: View, towards: F32) -> Shade:
    """Draw everything in `view` as the sun at `towards` (3,) float32, unit, sees it."""
    nearest = np.zeros((SIZE, SIZE), np.float32)
    axes = _axes(towards)
    turned = [points @ axes.T for points in view.camera_points]
    if not turned:
        return Shade(axes, np.zeros(3, np.float32), np.float32(1), nearest)
    low = np.min([points.min(axis=0) for points in turned], axis=0)
    high = np.max([points.max(axis=0) for points in turned], axis=0)
    corner = np.array([low[0], low[1], high[2] + 1], np.float32)
    per_mm = np.float32((SIZE - 1) / max(high[0] - low[0], high[1] - low[1], 1.0))
    unused = np.full(nearest.shape, NOTHING, np.int32)
    for points, faces in zip(turned, view.faces, strict=True):
        image = np.ascontiguousarray((points - corner) * np.array([per_mm, per_mm, -1], np.float32))
        fill(image, faces, 0, nearest, unused, unused)
    return Shade(axes, corner, per_mm, nearest)


@compiled
def reached(x: Single, y: Single, z: Single, axes: F32, corner: F32, per_mm: Single, nearest: F32) -> bool:
    """Whether the point (x, y, z), mm in camera axes, sees the sun of a `Shade`."""
    column = int((axes[0, 0] * x + axes[0, 1] * y + axes[0, 2] * z - corner[0]) * per_mm + Single(0.5))
    row = int((axes[1, 0] * x + axes[1, 1] * y + axes[1, 2] * z - corner[1]) * per_mm + Single(0.5))
    if column < 0 or row < 0 or column >= nearest.shape[1] or row >= nearest.shape[0]:
        return True
    near = corner[2] - (axes[2, 0] * x + axes[2, 1] * y + axes[2, 2] * z)
    return nearest[row, column] <= near + _BIAS  # type: ignore[no-any-return]


def _axes(towards: F32) -> F32:
    """(3, 3) float32: a right-handed frame whose third axis is the way of the light."""
    away = -towards
    aside = np.array([1, 0, 0]) if abs(away[0]) < 0.9 else np.array([0, 1, 0])
    down = np.cross(away, aside)
    down = down / np.linalg.norm(down)
    return np.stack([np.cross(down, away), down, away]).astype(np.float32)
