"""The face's surface as metric points, and how far it is from any sheet of paper.

A sheet of paper bends and folds but does not stretch: around every point it is straight in some direction. A face
is not: nose, eye sockets and lips curve in two directions at once. So five windows over eyes, nose and mouth are
each compared with the nearest bent or folded sheet, and the flattest window decides: paper fails however it is bent
or creased, because each window by itself is nearly a cylinder, and something stuck on or held before the paper
fails because it cannot be in every window.

- `relief`: RMS distance of all points of a window. Noise and a finger before the paper raise it.
- `solid relief`: the same over the best three quarters of the points, over the best half of the whole face, and all of
  these together; the least counts. A finger, an edge or wild pixels do not raise it, but depth noise does, so its limit
  grows with distance.
- `plane`: the best three fifths of the whole face against one plane. Held before a flat print, fingers leave more of it
  flat than any face has; what sheets must allow, bends and creases, a plane need not.
- `nose`: what infrared shows as a nose must stand out in depth. Fingers before a print are not where its nose is.
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
STEPS_PER_MM, DEPTH_BITS = 1024, 19  # twice the reach in steps of a micrometre
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
# Of the whole face half will do: with two fingers before it more than half of a print is still print.
FACE_SHARE, FACE_EVERY = 0.5, 2
# What brings them to the scale of the windows' best three quarters, on the flattest of faces.
FACE_WEIGHT, TOGETHER_WEIGHT = 1.5, 0.63
ADULT_MM = 63.0
REFITS, LIKELY = 2, 4
PLANE_SHARE, PLANE_FITS = 0.6, 4
# Half the side of the square about the nose, in units of the face's size: 9 mm on an adult.
NOSE_REACH, NOSE_PIXELS, NOSE_QUANTILE = 0.15, 9, 0.25
# An ellipse over eyes, nose and mouth, in the same units, centred between the eyes and the mouth: wide enough to hold
# the cheeks, narrow enough that hair, ears and the background stay out.
HALF_WIDTH, HALF_HEIGHT = 0.95, 1.25

F32 = NDArray[np.float32]
_ANGLES = np.arange(DIRECTIONS, dtype=np.float32)[:, None] * np.float32(np.pi / DIRECTIONS)
_COS, _SIN = np.cos(_ANGLES), np.sin(_ANGLES)


@dataclass(frozen=True, slots=True, eq=False)
class FaceSurface:
    """The inner face of one frame.

    Attributes:
        points_mm: (N, 3) float32, cell medians in camera coordinates, x right, y down, z away.
        coverage: fraction of the ellipse's pixels that have depth, 0..1; NaN where no face is in the picture.
    """

    points_mm: NDArray[np.float32]
    coverage: float


def face_surface(frames: FrameSet, face: Face) -> FaceSurface:
    """Cut the inner face out of the depth map and reduce it to one point per 5 mm cell."""
    k = frames.intrinsics
    eyes, mouth = face.points_px[:2].mean(axis=0), face.points_px[3:].mean(axis=0)
    centre, down = (eyes + mouth) / 2, mouth - eyes
    size = size_px(face.points_px)
    if not (np.isfinite(face.points_px).all() and size > 0 and face.distance_mm > 0):
        return FaceSurface(np.empty((0, 3), np.float32), float("nan"))
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
    return FaceSurface(_cell_medians(points, face.distance_mm), len(z) / total if total else float("nan"))


def _cell_medians(points: NDArray[np.float32], middle_mm: float) -> NDArray[np.float32]:
    """(N, 3) within reach of `middle_mm` -> (M, 3) float32, one point per 5 mm cell in x and y: means, and median z."""
    if not len(points):
        return np.empty((0, 3), np.float32)
    cells = np.floor(points[:, :2] / CELL_MM).astype(np.int64)
    cells -= cells.min(axis=0)
    cell = cells[:, 0] * (cells[:, 1].max() + 1) + cells[:, 1]
    # cell and depth in one number: sorting plain numbers is several times as fast as sorting by two keys
    fine = ((points[:, 2] - np.float32(middle_mm - REACH_MM)) * STEPS_PER_MM).astype(np.int64)
    ordered = np.sort((cell << DEPTH_BITS) | fine)
    place = ordered >> DEPTH_BITS
    starts = np.flatnonzero(np.r_[True, place[1:] != place[:-1]])
    counts = np.diff(np.r_[starts, len(place)])
    full = counts >= MIN_PIXELS_PER_CELL
    kept, count = place[starts[full]], counts[full]
    z = (ordered[starts[full] + count // 2] & (2**DEPTH_BITS - 1)) / STEPS_PER_MM + (middle_mm - REACH_MM)
    x, y = (np.bincount(cell, points[:, k])[kept] / count for k in (0, 1))
    return np.column_stack([x, y, z]).astype(np.float32)


def size_px(points_px: NDArray[np.floating]) -> float:
    """Size of a face with five points (5, 2), in pixels: about the eye distance.

    A turned head shortens the eye distance, a nodding one the height: the larger of the two tells the size.
    """
    eyes, mouth = points_px[:2].mean(axis=0), points_px[3:].mean(axis=0)
    return max(float(np.hypot(*(points_px[1] - points_px[0]))), 0.9 * float(np.hypot(*(mouth - eyes))))


def nose_mm(frames: FrameSet, face: Face) -> float:
    """How far what infrared shows as the nose stands before the plane of eyes and mouth corners, mm; NaN if unknown.

    The nearer quarter of the depth about it counts: of a turned nose, half of that is the cheek behind.
    """
    k, (u, v) = frames.intrinsics, face.points_px[2].astype(np.float64)
    around = face.points_mm[[0, 1, 3, 4]].astype(np.float64)
    reach = NOSE_REACH * size_px(face.points_px)
    if not (np.isfinite(around).all() and np.isfinite([u, v, reach]).all()):
        return float("nan")
    left, top = max(round(u - reach), 0), max(round(v - reach), 0)
    depth = frames.depth_mm[top : max(round(v + reach) + 1, 0), left : max(round(u + reach) + 1, 0)]
    depth = depth[np.abs(depth - face.distance_mm) < REACH_MM]
    if len(depth) < NOSE_PIXELS:
        return float("nan")
    z = float(np.quantile(depth, NOSE_QUANTILE))
    middle = around.mean(axis=0)
    normal = np.linalg.svd(around - middle)[2][2]
    tip = np.array([(u - k.cx) / k.fx * z, (v - k.cy) / k.fy * z, z])
    return float((tip - middle) @ normal * -np.sign(normal[2]))


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
    """mm; NaN where a window is empty.

    Attributes:
        whole_mm: RMS distance from the nearest sheet, of the flattest of five windows.
        solid_mm: the least of three: the same over the best three quarters of each window; that over the best half of
            the whole face; and the geometric mean of these two and `whole_mm`, relative to the face's size. A tight
            fold comes near one of them at a time, never near all; the flattest of faces are flat in one way only. The
            weights make one scale of them.
        plane_mm: RMS distance from the nearest plane over the best three fifths of the whole face.
    """

    whole_mm: float
    solid_mm: float
    plane_mm: float


def relief(surface: FaceSurface, frames: FrameSet, face: Face) -> Relief:
    """Compare the face, and five windows in its middle and halfway to eyes and mouth corners, with sheets."""
    k, points = frames.intrinsics, face.points_px.astype(np.float64)
    middle = (points[:2].mean(axis=0) + points[3:].mean(axis=0)) / 2
    centres_px = np.vstack([middle, (points[[0, 1, 3, 4]] + middle) / 2])
    centres_mm = (centres_px - [k.cx, k.cy]) / [k.fx, k.fy] * face.distance_mm
    radius_mm = WINDOW * size_px(points) / k.fx * face.distance_mm
    within = np.square(surface.points_mm[:, None, :2] - centres_mm.astype(np.float32)).sum(axis=2) < radius_mm**2
    filled = within.sum(axis=0)
    if not radius_mm > 0 or filled.min() < MIN_FILLED * np.pi * (radius_mm / CELL_MM) ** 2:
        return Relief(float("nan"), float("nan"), float("nan"))
    known = np.arange(filled.max()) < filled[:, None]
    windows = np.zeros((*known.shape, 3), np.float32)
    windows[known] = surface.points_mm[np.nonzero(within.T)[1]]
    whole, solid = _from_sheets_mm(windows, known, SOLID_SHARE)
    face_points = surface.points_mm[None, ::FACE_EVERY]
    _, half = _from_sheets_mm(face_points, np.ones(face_points.shape[:2], np.bool_), FACE_SHARE)
    # of an adult as large: a child's face is flatter in mm for being smaller, a fold is not
    all_three = float(np.cbrt(whole.min() * solid.min() * half.min())) * ADULT_MM * WINDOW / radius_mm
    solid_mm = min(float(solid.min()), FACE_WEIGHT * float(half.min()), TOGETHER_WEIGHT * all_three)
    return Relief(float(whole.min()), solid_mm, _from_plane_mm(face_points[0]))


def _from_plane_mm(points_mm: F32) -> float:
    """RMS distance along z between the best `PLANE_SHARE` of (N, 3) points and one plane, by least trimmed squares."""
    x, y, z = (points_mm - points_mm.mean(axis=0)).astype(np.float64).T
    design, kept = np.column_stack([x, y, np.ones_like(x)]), int(PLANE_SHARE * len(z))
    near = np.ones(len(z), np.bool_)
    for _ in range(PLANE_FITS):
        plane, *_ = np.linalg.lstsq(design[near], z[near], rcond=None)
        squares = np.square(z - design @ plane)
        near = squares <= np.partition(squares, kept - 1)[kept - 1]
    return float(np.sqrt(squares[near].mean()))


def _from_sheets_mm(points_mm: F32, known: NDArray[np.bool_], share: float) -> tuple[F32, F32]:
    """RMS distances along z between B windows of points and the nearest sheet of each: of all, and of the best `share`.

    A sheet is z = g(s) + c t, with (s, t) the plane turned by an angle, g piecewise linear with knots every 10 mm
    and c a slope: every cylinder, at any tilt, with any profile (do Carmo, Differential Geometry of Curves and
    Surfaces, section 3-5: a developable surface has one straight ruling and one tangent plane per ruling).
    The best points are found by least trimmed squares (Rousseeuw 1984): fit, keep the nearest, fit again.

    Args:
        points_mm: (B, N, 3) float32.
        known: (B, N) bool, which of them are points at all.
        share: of the points of a window, 0..1.
    """
    count = known.sum(axis=1)
    middle = (points_mm * known[..., None]).sum(axis=1, keepdims=True) / count[:, None, None]
    centred = np.where(known[..., None], points_mm - middle, np.float32(0)).astype(np.float32)
    x, y, z = (centred[:, None, :, axis] for axis in range(3))
    s, t = x * _COS + y * _SIN, y * _COS - x * _SIN
    place = (s - s.min(axis=2, keepdims=True)) / np.float32(KNOT_MM)
    left = place.astype(np.intp)
    part = place - left
    slope = int(left.max()) + 2
    design = np.zeros((*s.shape, slope + 1), np.float32)
    at = np.arange(s.size) * (slope + 1)
    row = design.reshape(-1)
    row[at + left.ravel()], row[at + left.ravel() + 1], row[at + slope] = (1 - part).ravel(), part.ravel(), t.ravel()
    beyond = np.where(known, np.float32(0), np.float32(np.inf))[:, None]
    squares = _squares(design, z, np.broadcast_to(known[:, None], s.shape))
    whole = np.sqrt((squares * known[:, None]).sum(axis=2).min(axis=1) / count)
    kept = (share * count).astype(np.intp)
    window = np.arange(len(kept))[:, None]
    nearest = np.sort(squares + beyond, axis=2)
    # Fitting again is worth it only where a sheet has come near without what stands before it.
    likely = np.argsort(_mean(nearest, kept), axis=1)[:, :LIKELY]
    design, nearest, squares = design[window, likely], nearest[window, likely], squares[window, likely]
    for _ in range(REFITS):
        near = squares <= np.take_along_axis(nearest, kept[:, None, None], axis=2)
        squares = _squares(design, z, near & known[:, None])
        nearest = np.sort(squares + beyond, axis=2)
    return whole, np.sqrt(_mean(nearest, kept).min(axis=1))


def _mean(ordered: F32, kept: NDArray[np.intp]) -> F32:
    """(B, D, N) -> (B, D): mean of the first `kept` (B,) of each row."""
    sums = np.cumsum(ordered, axis=2)[np.arange(len(kept)), :, kept - 1]
    return np.asarray(sums / kept[:, None], np.float32)


def _squares(design: F32, z: F32, counted: NDArray[np.bool_]) -> F32:
    """Squared distances (B, D, N) of `z` (B, 1, N) from the least-squares sheet of each design (B, D, N, P)."""
    weighted = (design * counted[..., None]).swapaxes(2, 3)
    normal = weighted @ design
    knots = range(design.shape[3])
    normal[:, :, knots, knots] += np.float32(1e-3)  # a knot without points stays near the mean
    sheet = design @ np.linalg.solve(normal, weighted @ z[..., None])
    return np.asarray(np.square(z - sheet[..., 0]), np.float32)
