"""One face's own surface as a height map, and the rigid motion that brings a later frame of depth onto it.

Head axes: from the middle between the eyes, x towards the left eye, y down to the mouth, z away from the camera.
Lengths of regions are shares of the way from eyes to mouth (66 mm in an adult), so that they fit a child.

Rules kept here:
- Alignment is rigid, and follows only the part of a face that does not move when it speaks: brow, eyes, nose, upper
  cheeks; robustly, as lids close and glasses slip.
- Nothing is invented: where the reference or the frame has no depth there is no difference.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import Intrinsics

F32: TypeAlias = NDArray[np.float32]
F64: TypeAlias = NDArray[np.float64]

POINT_MM = 1.7  # between the points a frame is thinned to
CELL_MM = 2.0  # of the height map
LEFT, TOP, RIGHT, BOTTOM = -0.95, -0.7, 0.95, 1.7  # of the map, shares
ABOUT, DEEP = 1.35, 2.2  # shares: half the box about a face, and how far from it in depth
LEAST_SIZE_MM = 20.0  # from eyes to mouth
REACH_MM = 20.0  # from the reference; what is farther is no part of this face
STILL_ABOVE = 0.5  # shares below the eyes; farther down faces move
STEEP = 0.4  # least cosine between the surface's normal and the view: at the sides of a nose depth is smeared
STEPS = 6
ALIGNED_BY = 2200  # points
LEAST_POINTS = 350
SOFT_MM = 0.8  # Cauchy's scale at least: how far off a point begins to count less
LANDMARK_WEIGHTS = np.array([1.0, 1.0, 1.0, 0.3, 0.3])  # mouth corners move
LEAST_WEIGHT = 0.35  # of a map's cell that counts as known, in points of one frame


@dataclass(frozen=True, slots=True, eq=False)
class Pose:
    """From camera axes to head axes: `rotation` (3, 3) and `shift_mm` (3,)."""

    rotation: F64
    shift_mm: F64

    def of(self, points_mm: F32) -> F32:
        """(N, 3) float32 points in head axes."""
        return np.asarray(points_mm @ self.rotation.T.astype(np.float32) + self.shift_mm.astype(np.float32), np.float32)

    def turned_deg(self, other: "Pose") -> float:
        """The angle between the two."""
        cosine = (float(np.trace(self.rotation @ other.rotation.T)) - 1) / 2
        return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))


def first_pose(points_mm: F32) -> tuple[Pose, float]:
    """Head axes from `Face.points_mm`, and the way from eyes to mouth in mm."""
    points = points_mm.astype(np.float64)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    down = mouth - eyes
    size = float(np.linalg.norm(down))
    down = down / max(size, 1e-6)
    across = (points[1] - points[0]) + (points[4] - points[3])
    across = across - down * (across @ down)
    across = across / max(float(np.linalg.norm(across)), 1e-6)
    rotation = np.stack([across, down, np.cross(across, down)])
    return Pose(rotation, -rotation @ eyes), size


def from_landmarks(points_mm: F32, target_mm: F64) -> Pose:
    """The pose that brings (5, 3) landmarks nearest to those of the reference: Kabsch with weights."""
    points, weights = points_mm.astype(np.float64), LANDMARK_WEIGHTS / LANDMARK_WEIGHTS.sum()
    here, there = weights @ points, weights @ target_mm
    u, _, vt = np.linalg.svd((points - here).T @ ((target_mm - there) * weights[:, None]))
    sign = np.diag([1.0, 1.0, 1.0 if np.linalg.det(vt.T @ u.T) > 0 else -1.0])
    rotation = vt.T @ sign @ u.T
    return Pose(rotation, there - rotation @ here)


def points_about(depth_mm: F32, camera: Intrinsics, points_mm: F32) -> F32:
    """(N, 3) float32 in camera axes: the depth about a face, averaged and thinned to `POINT_MM`."""
    points = points_mm.astype(np.float64)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    size = float(np.linalg.norm(mouth - eyes))
    middle, z = (eyes + mouth) / 2, float(np.median(points[:, 2]))
    if not (np.isfinite(points).all() and size > LEAST_SIZE_MM and min(z, middle[2]) > 0):
        return np.empty((0, 3), np.float32)
    pixel = camera.fx / z
    u, v = middle[0] / middle[2] * camera.fx + camera.cx, middle[1] / middle[2] * camera.fy + camera.cy
    reach = ABOUT * size * pixel
    left, right = (int(np.clip(edge, 0, camera.width)) for edge in (u - reach, u + reach + 1))
    top, bottom = (int(np.clip(edge, 0, camera.height)) for edge in (v - reach, v + reach + 1))
    cut = depth_mm[top:bottom, left:right]
    if not cut.size:
        return np.empty((0, 3), np.float32)
    cut = np.where(np.abs(cut - np.float32(z)) < DEEP * size, cut, np.float32(np.nan)).astype(np.float32)
    step = max(1, round(POINT_MM * pixel))
    thin = _averaged(cut, step)[::step, ::step]
    rows, columns = np.nonzero(np.isfinite(thin))
    depth = thin[rows, columns]
    x = (columns * step + np.float32(left - camera.cx)) / np.float32(camera.fx) * depth
    y = (rows * step + np.float32(top - camera.cy)) / np.float32(camera.fy) * depth
    return np.stack([x, y, depth], axis=1).astype(np.float32)


def _averaged(depth_mm: F32, side: int) -> F32:
    """Each known pixel becomes the mean of the known ones in the `side` x `side` about it."""
    if side < 2:
        return depth_mm
    known = np.isfinite(depth_mm)
    base = np.float32(np.nanmedian(depth_mm[::4, ::4])) if known[::4, ::4].any() else np.float32(0)
    count = cv2.boxFilter(known.astype(np.float32), cv2.CV_32F, (side, side), normalize=False)
    total = cv2.boxFilter(np.where(known, depth_mm - base, np.float32(0)), cv2.CV_32F, (side, side), normalize=False)
    return np.where(known, total / np.maximum(count, 1) + base, np.float32(np.nan)).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Surface:
    """A face's own surface in head axes.

    Attributes:
        size_mm: from eyes to mouth.
        landmarks_mm: (5, 3) in `Face`'s order.
        height_mm: (rows, columns) float32 z, NaN where unknown.
    """

    size_mm: float
    landmarks_mm: F64
    height_mm: F32

    @staticmethod
    def of(seen: Sequence[F32], size_mm: float, landmarks_mm: F64) -> "Surface":
        """The mean of several frames' points, each (N, 3) in head axes already."""
        rows, columns = _shape(size_mm)
        total, weight = np.zeros(rows * columns), np.zeros(rows * columns)
        for points in seen:
            at, share, z = _spread(points, size_mm)
            total += np.bincount(at, share * z, rows * columns)
            weight += np.bincount(at, share, rows * columns)
        known = weight > LEAST_WEIGHT * max(1.0, len(seen) / 2)
        height = np.where(known, total / np.maximum(weight, 1e-6), np.nan)
        return Surface(size_mm, landmarks_mm, height.reshape(rows, columns).astype(np.float32))

    @cached_property
    def slopes(self) -> tuple[F32, F32, F32]:
        """dz/dx, dz/dy and the cosine to the axis, each (rows, columns); NaN beside holes."""
        across, down = np.full_like(self.height_mm, np.nan), np.full_like(self.height_mm, np.nan)
        across[:, 1:-1] = (self.height_mm[:, 2:] - self.height_mm[:, :-2]) / np.float32(2 * CELL_MM)
        down[1:-1] = (self.height_mm[2:] - self.height_mm[:-2]) / np.float32(2 * CELL_MM)
        return across, down, np.asarray(1 / np.sqrt(1 + across**2 + down**2), np.float32)

    def off(self, points: F32) -> tuple[F32, F32, NDArray[np.intp]]:
        """How far (N, 3) points in head axes lie behind the surface, along its normal.

        Returns:
            mm (M,), normals (M, 3) and which of the points they are; the others have no partner.
        """
        column = np.rint(points[:, 0] / np.float32(CELL_MM) - np.float32(LEFT * self.size_mm / CELL_MM)).astype(np.intp)
        row = np.rint(points[:, 1] / np.float32(CELL_MM) - np.float32(TOP * self.size_mm / CELL_MM)).astype(np.intp)
        rows, columns = self.height_mm.shape
        which = np.flatnonzero((column >= 0) & (column < columns) & (row >= 0) & (row < rows))
        at = row[which] * columns + column[which]
        across, down, cosine = (slope.ravel()[at] for slope in self.slopes)
        x0 = column[which].astype(np.float32) * np.float32(CELL_MM) + np.float32(LEFT * self.size_mm)
        y0 = row[which].astype(np.float32) * np.float32(CELL_MM) + np.float32(TOP * self.size_mm)
        here = points[which]
        surface = self.height_mm.ravel()[at] + across * (here[:, 0] - x0) + down * (here[:, 1] - y0)
        apart = here[:, 2] - surface
        near = (np.abs(apart) < REACH_MM) & (cosine > STEEP)  # NaN is neither
        normals = np.stack([-across[near], -down[near], np.ones(int(near.sum()), np.float32)], 1)
        normals *= cosine[near][:, None]
        return apart[near] * cosine[near], normals.astype(np.float32), which[near]


def aligned(points_mm: F32, surface: Surface, start: Pose) -> tuple[Pose, float, F64] | None:
    """Bring (N, 3) points in camera axes onto `surface` by what does not move.

    Returns:
        The pose, how far that part is then off (sigma of the middle, mm), and (6, 6) the covariance of a turn and a
        shift in head axes, for points independently 1 mm off; None where too little of it is seen.
    """
    pose = start
    rough = pose.of(points_mm)
    limit = STILL_ABOVE * surface.size_mm + 6
    points = points_mm[(rough[:, 1] < limit) & (np.abs(rough[:, 0]) < surface.size_mm)]
    points = points[:: max(1, len(points) // ALIGNED_BY)]
    sigma, covariance = np.inf, np.eye(6)
    for step in range(STEPS):
        here = pose.of(points)
        apart, normals, which = surface.off(here)
        still = here[which, 1] < STILL_ABOVE * surface.size_mm
        if int(still.sum()) < LEAST_POINTS:
            return None
        apart, normals, at = apart[still].astype(np.float64), normals[still].astype(np.float64), here[which[still]]
        sigma = float(1.4826 * np.median(np.abs(apart)))
        soft = max(SOFT_MM, 2 * sigma)
        weights = 1 / (1 + (apart / soft) ** 2)
        jacobian = np.concatenate([np.cross(at.astype(np.float64), normals), normals], axis=1)
        weighted = jacobian * weights[:, None]
        normal = weighted.T @ jacobian + np.diag([50.0] * 3 + [1e-2] * 3)
        solved = np.linalg.solve(normal, -weighted.T @ apart)
        turn = np.asarray(cv2.Rodrigues(solved[:3])[0], np.float64)
        pose = Pose(turn @ pose.rotation, turn @ pose.shift_mm + solved[3:])
        if step == STEPS - 1 or float(np.abs(solved * [60, 60, 60, 1, 1, 1]).max()) < 0.01:
            covariance = np.linalg.inv(normal)
            break
    return pose, sigma, covariance


def _shape(size_mm: float) -> tuple[int, int]:
    return int((BOTTOM - TOP) * size_mm / CELL_MM) + 1, int((RIGHT - LEFT) * size_mm / CELL_MM) + 1


def _spread(points: F32, size_mm: float) -> tuple[NDArray[np.intp], F64, F64]:
    """The four cells about each point, each point's share of them, and its z: (4 N,) each."""
    rows, columns = _shape(size_mm)
    x, y = points[:, 0] / CELL_MM - LEFT * size_mm / CELL_MM, points[:, 1] / CELL_MM - TOP * size_mm / CELL_MM
    column, row = np.floor(x).astype(np.intp), np.floor(y).astype(np.intp)
    inside = (column >= 0) & (column < columns - 1) & (row >= 0) & (row < rows - 1)
    column, row, z = column[inside], row[inside], points[inside, 2].astype(np.float64)
    right, low = x[inside] - column, y[inside] - row
    at = row * columns + column
    cells = np.concatenate([at, at + 1, at + columns, at + columns + 1])
    shares = np.concatenate([(1 - right) * (1 - low), right * (1 - low), (1 - right) * low, right * low])
    return cells, shares.astype(np.float64), np.tile(z, 4)
