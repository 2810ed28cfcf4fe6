"""Find the one face inside the capture volume, where it is in space and where it looks.

Rules kept here:
- Faces outside 300-1000 mm do not count, a bystander behind is nobody; two inside are a reason, not a guess.
- A face without depth counts as inside if its size in the image says it could be: doubt is not ignored.
- Distance and points come from depth alone, as medians over patches; where too few pixels are valid there is none.
"""

import math

import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import FrameSet, Intrinsics
from drivers.npu.interface import Network
from firmware.vision.face import Face, NoFace, Reason
from firmware.vision.lenses import dark_lenses
from firmware.vision.pose import pose_deg
from firmware.vision.yunet import Candidate, find_candidates, look_closer

NEAREST_MM, FARTHEST_MM = 300.0, 1000.0
"""The capture volume of the design."""
YAW_LIMIT_DEG, PITCH_LIMIT_DEG, ROLL_LIMIT_DEG = 25.0, 20.0, 25.0
"""Roughly frontal."""
ADULT_IPD_MM = 63.0
"""Mean adult distance between the pupils (Dodgson 2004): turns size in the image into a rough distance."""
VALID_SHARE = 0.1
"""Least share of valid depth pixels in a patch."""
PATCH_SHARE = 0.12
"""Half side of a point's patch as a share of the distance between the eyes."""


class Detector:
    """Finds faces with YuNet; keeps nothing between frames."""

    def __init__(self, network: Network) -> None:
        self._network = network

    def find(self, frames: FrameSet) -> Face | NoFace:
        """Return the one usable face, or the reason why there is none. Raises NetworkError."""
        candidates = find_candidates(self._network, frames.ir)
        placed = [(candidate, _distance_mm(candidate, frames.depth_mm)) for candidate in candidates]
        inside = [
            (candidate, distance)
            for candidate, distance in placed
            if NEAREST_MM <= _presumed_mm(candidate, distance, frames.intrinsics) <= FARTHEST_MM
        ]
        if len(inside) > 1:
            return NoFace(Reason.TWO_FACES)
        if not inside:
            return NoFace(_why_none(placed, frames.intrinsics))
        candidate, distance = inside[0]
        closer = look_closer(self._network, frames.ir, candidate)
        return NoFace(Reason.NO_FACE) if closer is None else _measure(closer, distance, frames)


def _why_none(placed: list[tuple[Candidate, float]], intrinsics: Intrinsics) -> Reason:
    """Speak of the nearest face outside the volume."""
    distances = [_presumed_mm(candidate, distance, intrinsics) for candidate, distance in placed]
    if not distances:
        return Reason.NO_FACE
    return Reason.TOO_NEAR if min(distances) < NEAREST_MM else Reason.TOO_FAR


def _presumed_mm(candidate: Candidate, distance: float, intrinsics: Intrinsics) -> float:
    """Return the measured distance, or where there is none the one an adult's eyes would have."""
    if not math.isnan(distance):
        return distance
    return intrinsics.fx * ADULT_IPD_MM / max(_eye_distance(candidate.points_px), 1.0)


def _eye_distance(points: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(points[1] - points[0]))


def _distance_mm(candidate: Candidate, depth_mm: NDArray[np.float32]) -> float:
    """Median depth of the middle half of the box, NaN where too little is valid."""
    x, y, width, height = candidate.box
    return _median(
        depth_mm,
        (float(x + width / 4), float(y + height / 4), float(x + 3 * width / 4), float(y + 3 * height / 4)),
    )


def _median(depth_mm: NDArray[np.float32], area: tuple[float, float, float, float]) -> float:
    left, top, right, bottom = (round(edge) for edge in area)
    patch = depth_mm[max(top, 0) : max(bottom + 1, 0), max(left, 0) : max(right + 1, 0)]
    valid = patch[np.isfinite(patch) & (patch > 0)]
    if valid.size < max(1.0, VALID_SHARE * patch.size):
        return math.nan
    return float(np.median(valid))


def _measure(candidate: Candidate, distance: float, frames: FrameSet) -> Face | NoFace:
    if _cut_off(candidate, frames.intrinsics):
        return NoFace(Reason.FACE_CUT_OFF)
    points = _points_mm(candidate.points_px, frames)
    if math.isnan(distance) or not np.isfinite(points).all():
        return NoFace(_unless_lenses(Reason.NO_DEPTH, candidate, frames))
    yaw, pitch, roll = pose_deg(points)
    if abs(yaw) > YAW_LIMIT_DEG or abs(pitch) > PITCH_LIMIT_DEG or abs(roll) > ROLL_LIMIT_DEG:
        return NoFace(_unless_lenses(Reason.NOT_FRONTAL, candidate, frames))
    x, y, width, height = (float(value) for value in candidate.box)
    return Face(
        box=(x, y, width, height),
        points_px=candidate.points_px.astype(np.float32),
        score=candidate.score,
        distance_mm=distance,
        points_mm=points,
        yaw_deg=yaw,
        pitch_deg=pitch,
        roll_deg=roll,
        ipd_mm=float(np.linalg.norm(points[1] - points[0])),
    )


def _unless_lenses(reason: Reason, candidate: Candidate, frames: FrameSet) -> Reason:
    """Depth behind dark lenses is missing or wrong: then they are what is to be said, not what follows from them."""
    return Reason.SUNGLASSES_WORN if dark_lenses(frames, candidate.points_px) else reason


def _cut_off(candidate: Candidate, intrinsics: Intrinsics) -> bool:
    """Whether a point is nearer to the border than a quarter of the eyes' distance."""
    margin = _eye_distance(candidate.points_px) / 4
    low, high = candidate.points_px.min(0), candidate.points_px.max(0)
    size = np.array([intrinsics.width, intrinsics.height])
    return bool((low < margin).any() or (high > size - 1 - margin).any())


def _points_mm(points_px: NDArray[np.float32], frames: FrameSet) -> NDArray[np.float32]:
    """(5, 3) surface points, NaN rows where depth is missing."""
    half = max(3.0, PATCH_SHARE * _eye_distance(points_px))
    camera = frames.intrinsics
    z = np.array([_median(frames.depth_mm, (u - half, v - half, u + half, v + half)) for u, v in points_px.tolist()])
    x, y = (points_px[:, 0] - camera.cx) / camera.fx * z, (points_px[:, 1] - camera.cy) / camera.fy * z
    return np.stack([x, y, z], 1).astype(np.float32)
