"""A face's depth in a pose and at a scale of its own: what the depth network sees, whoever stands however far away.

Rules kept here:
- Alignment is rigid: nothing is scaled, so that the size of a face stays information.
- Nothing is invented: a cell nothing was measured for is a hole, and so is one too far from any face.
- The pose follows the part of a face that does not move when it speaks: brow, eyes, nose, upper cheeks.

Five landmarks give the first pose (Kabsch 1976), a few steps of point-to-plane registration (Chen and Medioni 1992)
against the mean face the last one. The mean face is a height map, so that finding a point's partner is a look-up.
Resampling runs backwards: for each cell the depth pixel is sought that lands in it.
"""

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import Intrinsics

F32: TypeAlias = NDArray[np.float32]
_F64: TypeAlias = NDArray[np.float64]

MM_PER_CELL = 1.5
COLUMNS, ROWS = 96, 112
LEFT_MM, TOP_MM = -(COLUMNS - 1) / 2 * MM_PER_CELL, -58.0  # of the first cell's middle, from between the eyes
RELIEF_SCALE_MM = 25.0  # that is 1.0 to the network
REACH_MM = 25.0  # nearer to the mean face than this, or no face: hair, hands, collars
POINTS = 1800  # that take part in the registration
STEPS = 6
SOFT_MM = 3.0  # Cauchy's scale: how far from the mean face a point begins to count less (people differ by 3 mm)
MOVES_BELOW_MM = 42.0  # below the eyes faces move
LANDMARK_WEIGHTS = np.array([1.0, 1.0, 1.0, 0.4, 0.4])  # mouth corners move
SEEKS = 4  # backward steps per cell
DEEP_MM = (-30.0, 50.0)  # z between which a face lies
NEAREST_MM, FARTHEST_MM = 50.0, 3000.0  # what lies beyond is no measurement of a face
LANDED_MM = 1.2  # a cell's depth pixel lands this near its middle, or the cell is a hole


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """The mean face.

    Attributes:
        height_mm: (ROWS, COLUMNS) float32, z of its surface, away from the camera; NaN outside it.
        normals: (ROWS, COLUMNS, 3) float32 unit, towards the camera.
        landmarks_mm: (5, 3) float32 in `Face`'s order.
    """

    height_mm: F32
    normals: F32
    landmarks_mm: F32


@dataclass(frozen=True, slots=True, eq=False)
class Canonical:
    """A face in the canonical pose, as (ROWS, COLUMNS) maps.

    Attributes:
        relief_mm: float32, surface before the mean face, positive towards the camera; 0 in holes.
        slope: (ROWS, COLUMNS, 2) float32, x and y components of the unit normal; 0 in holes.
        known: bool, False in holes.
        residual_mm: median distance from the mean face in the part that does not move.
    """

    relief_mm: F32
    slope: F32
    known: NDArray[np.bool_]
    residual_mm: float

    def channels(self) -> F32:
        """(1, 4, ROWS, COLUMNS) float32 in -1..1: relief, two slopes, known."""
        relief = np.clip(self.relief_mm / np.float32(RELIEF_SCALE_MM), -1, 1)
        known = self.known.astype(np.float32)
        return np.stack([relief, self.slope[..., 0], self.slope[..., 1], known])[None].astype(np.float32)


@cache
def template() -> Template:
    """Read the mean face that comes with this package."""
    with (files("firmware.vision") / "template.npz").open("rb") as file, np.load(file, allow_pickle=False) as stored:
        height = stored["height_um"].astype(np.float32) / 1000
        height[stored["height_um"] == np.iinfo(np.int32).min] = np.nan
        landmarks = stored["landmarks_mm"].astype(np.float32)
    return Template(height, _normals(height), landmarks)


def canonical(depth_mm: F32, intrinsics: Intrinsics, points_mm: F32) -> Canonical | None:
    """Bring a face to the canonical pose.

    Args:
        depth_mm: (H, W) float32, NaN where unknown.
        intrinsics: of `depth_mm`.
        points_mm: (5, 3) float32, `Face.points_mm`.

    Returns:
        The face, or None where too little of it is known to be aligned.
    """
    mean = template()
    rotation, shift = _from_landmarks(points_mm.astype(np.float64), mean.landmarks_mm)
    crop = _crop(depth_mm, intrinsics, rotation, shift)
    cloud = crop.cloud()
    if len(cloud) < POINTS // 6:
        return None
    residual = np.inf
    for _ in range(STEPS):
        found = _step(cloud @ rotation.T + shift, mean)
        if found is None:
            return None
        turn, move, residual = found
        rotation, shift = turn @ rotation, turn @ shift + move
    height = _resampled(crop, rotation, shift, mean)
    relief = mean.height_mm - height
    known = np.isfinite(relief) & (np.abs(relief) < REACH_MM)
    normals = _normals(np.where(known, height, np.nan).astype(np.float32))
    slope = np.where(np.isfinite(normals[..., :2]), normals[..., :2], 0).astype(np.float32)
    return Canonical(np.where(known, relief, 0).astype(np.float32), slope, known, float(residual))


def _from_landmarks(points: _F64, target: F32) -> tuple[_F64, _F64]:
    """Rotation and shift that bring (5, 3) `points` nearest to `target`: Kabsch with weights."""
    weights = LANDMARK_WEIGHTS / LANDMARK_WEIGHTS.sum()
    here, there = weights @ points, weights @ target
    u, _, vt = np.linalg.svd((points - here).T @ ((target - there) * weights[:, None]))
    sign = np.diag([1.0, 1.0, float(np.sign(np.linalg.det(vt.T @ u.T)))])
    rotation = vt.T @ sign @ u.T
    return rotation, there - rotation @ here


@dataclass(frozen=True, slots=True, eq=False)
class _Crop:
    """The part of a depth image in which the face must lie, averaged over what one cell covers, holes kept.

    Attributes:
        depth_mm: (h, w) float32, NaN where unknown.
        focal: fx and fy, pixels.
        centre: cx and cy, pixels of this crop.
    """

    depth_mm: F32
    focal: tuple[float, float]
    centre: tuple[float, float]

    def cloud(self) -> _F64:
        """About `POINTS` points (N, 3) in camera axes."""
        height, width = self.depth_mm.shape
        stride = max(1, int(np.sqrt(max(height * width, 1) / (1.6 * POINTS))))
        depth = self.depth_mm[::stride, ::stride].astype(np.float64)
        x = (np.arange(0, width, stride) - self.centre[0]) / self.focal[0] * depth
        y = ((np.arange(0, height, stride) - self.centre[1]) / self.focal[1])[:, None] * depth
        points = np.stack([x, y, depth], -1).reshape(-1, 3)
        return np.asarray(points[np.isfinite(points[:, 2])], np.float64)


def _crop(depth_mm: F32, camera: Intrinsics, rotation: _F64, shift: _F64) -> _Crop:
    right, bottom = -LEFT_MM, TOP_MM + ROWS * MM_PER_CELL
    box = np.array([[x, y, z] for x in (LEFT_MM, right) for y in (TOP_MM, bottom) for z in DEEP_MM])
    box = (box - shift) @ rotation  # the inverse of a rotation is its transpose
    z = np.maximum(box[:, 2], NEAREST_MM)
    u, v = box[:, 0] / z * camera.fx + camera.cx, box[:, 1] / z * camera.fy + camera.cy
    left, end = (int(np.clip(edge, 0, camera.width)) for edge in (u.min(), u.max() + 1))
    top, under = (int(np.clip(edge, 0, camera.height)) for edge in (v.min(), v.max() + 1))
    side = round(MM_PER_CELL * camera.fx / max(float(np.median(z)), NEAREST_MM))
    cut = depth_mm[top:under, left:end]
    cut = np.where((cut > NEAREST_MM) & (cut < FARTHEST_MM), cut, np.float32(np.nan)).astype(np.float32)
    return _Crop(_averaged(cut, side), (camera.fx, camera.fy), (camera.cx - left, camera.cy - top))


def _averaged(depth_mm: F32, side: int) -> F32:
    """Each known pixel becomes the mean of the known ones in the `side` x `side` about it."""
    if side < 2 or not depth_mm.size:
        return depth_mm
    known = np.isfinite(depth_mm)
    count = cv2.boxFilter(known.astype(np.float32), cv2.CV_32F, (side, side), normalize=False)
    total = cv2.boxFilter(np.where(known, depth_mm, np.float32(0)), cv2.CV_32F, (side, side), normalize=False)
    return np.where(known, total / np.maximum(count, 1), np.float32(np.nan)).astype(np.float32)


def _step(points: _F64, mean: Template) -> tuple[_F64, _F64, float] | None:
    """One registration step of (N, 3) `points`: a turn, a shift, the median distance; None with too few partners."""
    column = np.rint((points[:, 0] - LEFT_MM) / MM_PER_CELL).astype(np.intp)
    row = np.rint((points[:, 1] - TOP_MM) / MM_PER_CELL).astype(np.intp)
    inside = (column >= 0) & (column < COLUMNS) & (row >= 0) & (row < ROWS) & (points[:, 1] < MOVES_BELOW_MM)
    points, row, column = points[inside], row[inside], column[inside]
    apart = points[:, 2] - mean.height_mm[row, column]
    near = (np.abs(apart) < REACH_MM) & np.isfinite(mean.normals[row, column, 2])  # NaN is not near
    if near.sum() < POINTS // 10:
        return None
    points, apart, normals = points[near], apart[near], mean.normals[row[near], column[near]].astype(np.float64)
    distance = apart * normals[:, 2]
    weights = 1 / (1 + (distance / SOFT_MM) ** 2)
    jacobian = np.concatenate([np.cross(points, normals), normals], 1)
    weighted = jacobian * weights[:, None]
    # a little stiffness: a motion the points do not tell of is not made
    solved = np.linalg.solve(weighted.T @ jacobian + np.diag([50.0] * 3 + [1e-2] * 3), -weighted.T @ distance)
    turn, _ = cv2.Rodrigues(solved[:3])
    return np.asarray(turn, np.float64), solved[3:], float(np.median(np.abs(distance)))


def _resampled(crop: _Crop, rotation: _F64, shift: _F64, mean: Template) -> F32:
    """(ROWS, COLUMNS) float32 canonical z, NaN in holes: each cell seeks the depth pixel that lands in it."""
    turn, move = rotation.astype(np.float32), shift.astype(np.float32)
    (fx, fy), (cx, cy) = crop.focal, crop.centre
    x, y = _cells()
    z = np.where(np.isfinite(mean.height_mm), mean.height_mm, np.float32(0))
    off = np.full_like(x, np.inf)
    for _ in range(SEEKS):
        px, py, pz = _turned((x - move[0], y - move[1], z - move[2]), turn.T)
        pz = np.maximum(pz, np.float32(NEAREST_MM))
        u, v = px / pz * fx + cx, py / pz * fy + cy
        depth = cv2.remap(crop.depth_mm, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=(np.nan,))
        seen = np.stack([(u - cx) / fx * depth, (v - cy) / fy * depth, depth]).astype(np.float32)
        landed = _turned((seen[0], seen[1], seen[2]), turn)
        off = np.hypot(landed[0] + move[0] - x, landed[1] + move[1] - y)
        z = np.where(np.isfinite(depth), landed[2] + move[2], z)
    return np.where(off < LANDED_MM, z, np.float32(np.nan)).astype(np.float32)


def _turned(points: tuple[F32, ...], turn: F32) -> list[F32]:
    return [turn[i, 0] * points[0] + turn[i, 1] * points[1] + turn[i, 2] * points[2] for i in range(3)]


@cache
def _cells() -> tuple[F32, F32]:
    """X and y of the cells' middles, (ROWS, COLUMNS) float32 mm."""
    x = np.arange(COLUMNS, dtype=np.float32) * np.float32(MM_PER_CELL) + np.float32(LEFT_MM)
    y = np.arange(ROWS, dtype=np.float32) * np.float32(MM_PER_CELL) + np.float32(TOP_MM)
    across, down = np.meshgrid(x, y)
    return across, down


def _normals(height: F32) -> F32:
    """(ROWS, COLUMNS, 3) float32 unit normals towards the camera, NaN beside holes."""
    across = np.full_like(height, np.nan)
    down = np.full_like(height, np.nan)
    across[:, 1:-1] = (height[:, 2:] - height[:, :-2]) / np.float32(2 * MM_PER_CELL)
    down[1:-1] = (height[2:] - height[:-2]) / np.float32(2 * MM_PER_CELL)
    normals = np.stack([across, down, np.full_like(height, -1)], -1)
    return np.asarray(normals / np.linalg.norm(normals, axis=-1, keepdims=True), np.float32)
