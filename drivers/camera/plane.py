"""How flat a flat target is measured: the plainest test of any depth camera, whatever its principle.

Rules kept here:
- Only the middle of the image counts: that is where a face will be, and what a target is sure to fill.
- The distance that counts is at right angles to the plane found, so a target that is not quite square to the camera
  costs nothing.
- Points far from the plane are told apart from noise (`wild`), not hidden in it.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import Intrinsics

MIDDLE = 1 / 3  # of width and of height
MIN_POINTS = 200
MAX_POINTS = 5_000  # more say nothing new
SPREADS = 4.0  # one point of sixteen thousand lies further off by chance
ROUNDS = 5
ROUNDING_MM = 0.1  # no plane is taken to be better: half a step of a RealSense's depth, a rounding of ours
_MAD_TO_SIGMA = 1.4826

Box = tuple[slice, slice]


@dataclass(frozen=True, slots=True)
class Plane:
    """A plane through what was measured.

    Attributes:
        distance_mm: along the optical axis.
        tilt_deg: between its normal and the optical axis.
        rms_mm: of the points that belong to it, at right angles.
        wild: share of the points that do not, 0..1.
        valid: share of the pixels that have depth, 0..1.
    """

    distance_mm: float
    tilt_deg: float
    rms_mm: float
    wild: float
    valid: float


def middle(height: int, width: int) -> Box:
    """Return rows and columns of the middle third each way; at least one pixel."""
    rows, columns = max(1, round(height * MIDDLE)), max(1, round(width * MIDDLE))
    top, left = (height - rows) // 2, (width - columns) // 2
    return slice(top, top + rows), slice(left, left + columns)


def valid_share(depth_mm: NDArray[np.float32]) -> float:
    """Share of the middle's pixels that have depth, 0..1. `depth_mm` is (H, W) float32, NaN where unknown."""
    return float(np.isfinite(depth_mm[middle(*depth_mm.shape)]).mean())


def fit_plane(depth_mm: NDArray[np.float32], intrinsics: Intrinsics) -> Plane | None:
    """Fit a plane to the middle of a depth image.

    Args:
        depth_mm: (H, W) float32 millimetres, NaN where unknown; one frame, or the mean of many.
        intrinsics: of that image.

    Returns:
        The plane, or None where fewer than `MIN_POINTS` pixels have depth.
    """
    box = middle(*depth_mm.shape)
    valid = valid_share(depth_mm)
    row, column = np.nonzero(np.isfinite(depth_mm[box]))
    step = max(1, row.size // MAX_POINTS)
    row, column = row[::step] + box[0].start, column[::step] + box[1].start
    if row.size < MIN_POINTS:
        return None
    z = depth_mm[row, column].astype(np.float64)
    x, y = (column - intrinsics.cx) / intrinsics.fx * z, (row - intrinsics.cy) / intrinsics.fy * z
    points = np.stack([x, y, z], axis=1)
    near = np.abs(z - np.median(z)) <= np.median(np.abs(z - np.median(z)))  # the half that surely belongs
    for _ in range(ROUNDS):
        centre = points[near].mean(axis=0)
        # the normal is the direction in which the points spread least
        normal = np.linalg.eigh(np.cov((points[near] - centre).T))[1][:, 0]
        off = (points - centre) @ normal
        spread = max(_MAD_TO_SIGMA * float(np.median(np.abs(off))), ROUNDING_MM)
        near = np.abs(off) <= SPREADS * spread
    cosine = abs(float(normal[2]))
    if cosine < 1e-6:
        return None
    return Plane(
        distance_mm=float(centre @ normal / normal[2]),
        tilt_deg=float(np.degrees(np.arccos(min(1.0, cosine)))),
        rms_mm=float(np.sqrt(np.mean(off[near] ** 2))),
        wild=float(1 - near.mean()),
        valid=valid,
    )
