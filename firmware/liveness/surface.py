"""The face's surface as metric points, and how far it is from any sheet of paper.

A sheet of paper bends and folds but does not stretch: around every point it is straight in some direction. A face
is not: nose, eye sockets and lips curve in two directions at once. So five windows over eyes, nose and mouth are
each compared with the nearest bent or folded sheet, and the flattest window decides: paper fails however it is bent
or creased, because each window by itself is nearly a cylinder, and something stuck on or held before the paper
fails because it cannot be in every window.

- `relief`: RMS distance of all points of a window. Noise and a finger before the paper raise it.
- `solid relief`: the same over the best three quarters of the points. A finger, an edge or wild pixels do not raise
  it, but depth noise does, so its limit grows with distance.
- `edges`: how long the steps in depth are. A face is one surface, and only the far side of a turned nose breaks off;
  things held before paper, or laid on it, break off all round.

Depth is first reduced to cell medians. What these measures do not stop is anything truly shaped like a face.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.vision.face import Face

CELL_MM = 5.0
MIN_PIXELS_PER_CELL = 3
REACH_MM = 150.0
# Steeper than 69 degrees between two cells: the side of a nose is not.
STEP_MM = 13.0
# The next filled cell is looked for this many cells on.
ACROSS = 3
KNOT_MM = 10.0
DIRECTIONS = 12
# A window's radius in units of the face's size (eye distance, or 0.9 of eyes to mouth): 45 mm on an adult.
WINDOW = 0.7
# Less of a window than this is no evidence.
MIN_FILLED = 0.5
SOLID_SHARE = 0.75
REFITS, LIKELY = 2, 4
# An ellipse over eyes, nose and mouth, in the same units, centred between the eyes and the mouth: wide enough to hold
# the cheeks, narrow enough that hair, ears and the background stay out.
HALF_WIDTH, HALF_HEIGHT = 0.95, 1.25


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
    size = size_px(face.points_px)
    reach = int(np.ceil(size * HALF_HEIGHT)) + 1
    x0, x1 = (min(max(int(centre[0]) + side, 0), k.width) for side in (-reach, reach + 1))
    y0, y1 = (min(max(int(centre[1]) + side, 0), k.height) for side in (-reach, reach + 1))
    # Some nine pixels per cell are enough, however near the face is.
    step = max(1, int(CELL_MM * k.fx / (3 * face.distance_mm)))
    # A copy: it is read more than once, and a frame may be overwritten while it is judged.
    depth = frames.depth_mm[y0:y1:step, x0:x1:step].copy()
    v, u = np.mgrid[y0:y1:step, x0:x1:step].astype(np.float32)
    tilt = np.arctan2(-down[0], down[1])
    du, dv = u - centre[0], v - centre[1]
    across, along = du * np.cos(tilt) + dv * np.sin(tilt), dv * np.cos(tilt) - du * np.sin(tilt)
    inside = (across / (size * HALF_WIDTH)) ** 2 + (along / (size * HALF_HEIGHT)) ** 2 <= 1
    total = int(inside.sum())
    # Nothing of a face lies 150 mm before or behind its middle; what does is another thing, or no measurement at all.
    valid = inside & (np.abs(depth - face.distance_mm) < REACH_MM)
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


def size_px(points_px: NDArray[np.floating]) -> float:
    """Size of a face with five points (5, 2), in pixels: about the eye distance.

    A turned head shortens the eye distance, a nodding one the height: the larger of the two tells the size.
    """
    eyes, mouth = points_px[:2].mean(axis=0), points_px[3:].mean(axis=0)
    return max(float(np.hypot(*(points_px[1] - points_px[0]))), 0.9 * float(np.hypot(*(mouth - eyes))))


def edges_mm(surface: FaceSurface) -> float:
    """Length of the steps higher than `STEP_MM` between a cell and the next one that has depth, in mm.

    A ring of missing depth, as shadows and dark outlines make it, must not hide the step it lies over: up to two empty
    cells are looked across.
    """
    if not len(surface.points_mm):
        return float("nan")
    cells = np.floor(surface.points_mm[:, :2] / CELL_MM).astype(np.int64)
    cells -= cells.min(axis=0)
    grid = np.full(cells.max(axis=0) + 1, np.nan, np.float32)
    grid[cells[:, 0], cells[:, 1]] = surface.points_mm[:, 2]
    filled = np.isfinite(grid)
    steps = 0
    for depth, known in ((grid, filled), (grid.T, filled.T)):
        for apart in range(1, ACROSS + 1):
            step = np.abs(depth[apart:] - depth[:-apart]) > STEP_MM
            for between in range(1, apart):
                step &= ~known[between : len(known) - apart + between]
            steps += int(step.sum())
    return steps * CELL_MM


@dataclass(frozen=True, slots=True)
class Relief:
    """Of the flattest window, mm: RMS over all of it, and over its best three quarters. NaN where a window is empty."""

    whole_mm: float
    solid_mm: float


def relief(surface: FaceSurface, frames: FrameSet, face: Face) -> Relief:
    """Compare five windows, in the middle of the face and halfway to eyes and mouth corners, with sheets."""
    k, points = frames.intrinsics, face.points_px.astype(np.float64)
    middle = (points[:2].mean(axis=0) + points[3:].mean(axis=0)) / 2
    centres_px = np.vstack([middle, (points[[0, 1, 3, 4]] + middle) / 2])
    centres_mm = (centres_px - [k.cx, k.cy]) / [k.fx, k.fy] * face.distance_mm
    radius_mm = WINDOW * size_px(points) / k.fx * face.distance_mm
    apart = np.hypot(*(surface.points_mm[:, None, :2] - centres_mm).transpose(2, 0, 1))
    inside = apart < radius_mm
    if not radius_mm > 0 or inside.sum(axis=0).min() < MIN_FILLED * np.pi * (radius_mm / CELL_MM) ** 2:
        return Relief(float("nan"), float("nan"))
    whole, solid = zip(*(_from_sheets_mm(surface.points_mm[column]) for column in inside.T), strict=True)
    return Relief(min(whole), min(solid))


def _from_sheets_mm(points_mm: NDArray[np.float32]) -> tuple[float, float]:
    """RMS distances along z between (N, 3) points and the nearest sheet: of all points, and of the best three quarters.

    A sheet is z = g(s) + c t, with (s, t) the plane turned by an angle, g piecewise linear with knots every 10 mm
    and c a slope: every cylinder, at any tilt, with any profile (do Carmo, Differential Geometry of Curves and
    Surfaces, section 3-5: a developable surface has one straight ruling and one tangent plane per ruling).
    The best three quarters are found by least trimmed squares (Rousseeuw 1984): fit, keep the nearest, fit again.
    """
    centred = points_mm.astype(np.float64) - points_mm.mean(axis=0, dtype=np.float64)
    x, y, z = centred.T
    angles = np.arange(DIRECTIONS)[:, None] * (np.pi / DIRECTIONS)
    s, t = x * np.cos(angles) + y * np.sin(angles), y * np.cos(angles) - x * np.sin(angles)
    place = (s - s.min()) / KNOT_MM
    left = place.astype(np.intp)
    part = place - left
    knots = int(left.max()) + 2
    design = np.zeros((DIRECTIONS, len(z), knots + 1))
    direction, point = np.ogrid[:DIRECTIONS, : len(z)]
    design[direction, point, left], design[direction, point, left + 1], design[..., knots] = 1 - part, part, t
    squares = _squares(design, z, np.ones((DIRECTIONS, len(z))))
    whole = float(np.sqrt(squares.mean(axis=1).min()))
    kept = int(SOLID_SHARE * len(z))
    nearest = np.partition(squares, kept, axis=1)
    for _ in range(REFITS):
        squares = _squares(design, z, (squares <= nearest[:, kept : kept + 1]).astype(float))
        nearest = np.partition(squares, kept, axis=1)
        # Fitting again is worth it only where a sheet has come near without what stands before it.
        likely = np.argsort(nearest[:, :kept].mean(axis=1))[:LIKELY]
        design, squares, nearest = design[likely], squares[likely], nearest[likely]
    return whole, float(np.sqrt(nearest[:, :kept].mean(axis=1).min()))


def _squares(design: NDArray[np.float64], z: NDArray[np.float64], weight: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances (D, N) of `z` (N,) from the weighted least-squares sheet of each design (D, N, P)."""
    weighted = (design * weight[..., None]).transpose(0, 2, 1)
    normal = weighted @ design
    knots = range(design.shape[2])
    normal[:, knots, knots] += 1e-3  # a knot without points stays near the mean
    sheet = design @ np.linalg.solve(normal, weighted @ z[:, None])
    squares: NDArray[np.float64] = (z - sheet[..., 0]) ** 2
    return squares
