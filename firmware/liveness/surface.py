"""The face's surface as metric points, and how far it is from any bent sheet.

A photograph, flat or bent, lies on a developable surface: in some direction it is straight. Here every
direction is tried, with a free profile across it, so that no way of bending or pleating paper along one
direction earns relief. Depth is first reduced to cell medians, so that a few wild pixels on a flat sheet
earn none either.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.vision.face import Face

CELL_MM = 5.0
MIN_PIXELS_PER_CELL = 3
KNOT_MM = 10.0
# Twelve directions, then the best one's neighbourhood halved twice: to within 4 degrees of any bending axis.
DIRECTIONS, REFINEMENTS = 12, 2
# An ellipse over eyes, nose and mouth, in units of the eye distance, centred between the eyes and the mouth:
# wide enough to hold the cheeks, narrow enough that hair, ears and the background stay out.
HALF_WIDTH, HALF_HEIGHT = 0.95, 1.25
MIN_CELLS = 120


@dataclass(frozen=True, slots=True, eq=False)
class FaceSurface:
    """The inner face of one frame.

    Attributes:
        points_mm: (N, 3) float32, cell medians in camera coordinates, x right, y down, z away.
        coverage: fraction of the ellipse's pixels that have depth, 0..1.
    """

    points_mm: NDArray[np.float32]
    coverage: float


def face_surface(frames: FrameSet, face: Face) -> FaceSurface:
    """Cut the inner face out of the depth map and reduce it to one point per 5 mm cell."""
    k = frames.intrinsics
    eyes, mouth = face.points_px[:2].mean(axis=0), face.points_px[3:].mean(axis=0)
    centre, down = (eyes + mouth) / 2, mouth - eyes
    # A turned head shortens the eye distance, a nodding one the height: the larger of the two tells the size.
    size = max(float(np.hypot(*(face.points_px[1] - face.points_px[0]))), 0.9 * float(np.hypot(*down)))
    reach = int(np.ceil(size * HALF_HEIGHT)) + 1
    x0, x1 = (min(max(int(centre[0]) + side, 0), k.width) for side in (-reach, reach + 1))
    y0, y1 = (min(max(int(centre[1]) + side, 0), k.height) for side in (-reach, reach + 1))
    # Some nine pixels per cell are enough, however near the face is.
    step = max(1, int(CELL_MM * k.fx / (3 * face.distance_mm)))
    depth = frames.depth_mm[y0:y1:step, x0:x1:step]
    v, u = np.mgrid[y0:y1:step, x0:x1:step].astype(np.float32)
    tilt = np.arctan2(-down[0], down[1])
    du, dv = u - centre[0], v - centre[1]
    across, along = du * np.cos(tilt) + dv * np.sin(tilt), dv * np.cos(tilt) - du * np.sin(tilt)
    inside = (across / (size * HALF_WIDTH)) ** 2 + (along / (size * HALF_HEIGHT)) ** 2 <= 1
    total = int(inside.sum())
    valid = inside & np.isfinite(depth) & (depth > 0)
    # The far side of a silhouette is not the face: nothing of a face lies 150 mm behind its nearest part.
    if valid.any():
        valid &= depth < np.percentile(depth[valid], 2) + 150
    z = depth[valid]
    points = np.stack([(u[valid] - k.cx) / k.fx * z, (v[valid] - k.cy) / k.fy * z, z], axis=1)
    return FaceSurface(_cell_medians(points), len(z) / total if total else 0.0)


def _cell_medians(points: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 3) -> (M, 3) float32: one point per 5 mm cell in x and y: mean x, mean y, median z."""
    if not len(points):
        return np.empty((0, 3), np.float32)
    cells = np.floor(points[:, :2] / CELL_MM).astype(np.int64)
    cells -= cells.min(axis=0)
    order = np.lexsort((points[:, 2], cells[:, 0] * (cells[:, 1].max() + 1) + cells[:, 1]))
    key = (cells[:, 0] * (cells[:, 1].max() + 1) + cells[:, 1])[order]
    ordered = points[order]
    starts = np.flatnonzero(np.r_[True, key[1:] != key[:-1]])
    counts = np.diff(np.r_[starts, len(key)])
    xy = np.add.reduceat(ordered[:, :2], starts, axis=0) / counts[:, None]
    z = ordered[starts + counts // 2, 2]
    kept = counts >= MIN_PIXELS_PER_CELL
    medians: NDArray[np.float32] = np.column_stack([xy, z])[kept].astype(np.float32)
    return medians


def developable_residual_mm(points_mm: NDArray[np.float32]) -> float:
    """RMS distance in mm, along z, between the points and the nearest bent sheet; NaN where there are too few.

    The sheet is z = g(s) + c t, with (s, t) the plane turned by an angle, g piecewise linear with knots
    every 10 mm and c a slope: every cylinder, at any tilt, with any profile (do Carmo, Differential Geometry
    of Curves and Surfaces, section 3-5: a developable surface is ruled, with one tangent plane per ruling).
    """
    if len(points_mm) < MIN_CELLS:
        return float("nan")
    centred = points_mm.astype(np.float64) - points_mm.mean(axis=0, dtype=np.float64)
    step = np.pi / DIRECTIONS
    residuals = {k * step: _sheet_residual_mm(centred, k * step) for k in range(DIRECTIONS)}
    for _ in range(REFINEMENTS):
        step /= 2
        best = min(residuals, key=residuals.__getitem__)
        residuals |= {angle: _sheet_residual_mm(centred, angle) for angle in (best - step, best + step)}
    return min(residuals.values())


def _sheet_residual_mm(centred: NDArray[np.float64], angle: float) -> float:
    """RMS residual in mm of the best sheet whose profile runs along `angle` (radians); `centred` is (N, 3)."""
    x, y, z = centred.T
    s, t = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    place = (s - s.min()) / KNOT_MM
    left = place.astype(np.intp)
    part = place - left
    knots = int(left.max()) + 2
    design = np.zeros((len(z), knots + 1))
    rows = np.arange(len(z))
    design[rows, left], design[rows, left + 1], design[:, knots] = 1 - part, part, t
    normal = design.T @ design
    normal[np.diag_indices_from(normal)] += 1e-6  # a knot beyond the points carries nothing
    residual = z - design @ np.linalg.solve(normal, design.T @ z)
    return float(np.sqrt(np.mean(residual**2)))
