"""Whether each eye is open, and where it looks: relative to the camera, in degrees.

Lids and iris are placed by two networks (`mesh`, `iris`), which answer whatever they are shown. So the picture itself
is asked as well: an open eye has an iris between whites, darker than what is beside it; a shut one has a dark line at
most, and a dark lens no contrast at all.

Gaze is the shift of the iris between the eye's corners over the eyeball's radius, in a head turned as `Face` says. The
constants were fitted on rendered people (ICT): how well is in docs/attention.md. Unknown stays NaN.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from drivers.npu.interface import Network
from firmware.vision.face import Face
from firmware.vision.iris import CORNERS, Iris, find_iris
from firmware.vision.mesh import Mesh, find_mesh

GRID_PER_MM, GRID_PX = 2.0, 72
"""Of the picture of one eye that is asked for contrast."""
SPOT_MM = 2.0
"""Side of what is averaged, less than a pupil; with 3 mm fewer open and more shut eyes were told apart."""
BESIDE_MM, ACROSS_MM, ALONG_MM = 6.5, 6.0, 1.5
"""From the iris' middle to the whites; how far from the eye's middle, and up or down from the network's, it may be."""
WIDTH_MM = (14.0, 40.0)
"""Between an eye's corners as seen; others are no eye. Adults have 25 to 34, children less, turned eyes less."""

RADIUS_MM, BEHIND_MM, NASAL_MM = 13.3, 11.7, 1.2
"""From the eyeball's middle to the iris; from the corners' middle back, and towards the nose, to the eyeball's."""
DOWN_RADIUS_MM, DOWN_TILT, DOWN_REST = 13.0, 0.5, 0.07
"""The same for up and down, where pitch is read with 4 degrees of scatter and counts half for it."""


@dataclass(frozen=True, slots=True, eq=False)
class Eyes:
    """Both eyes of one frame, right then left as in `Face`. NaN where unknown.

    Attributes:
        open: (2,) float64, gap of the lids over the width of the eye: about 0.35 open, 0.22 shut.
        contrast: (2,) float64, how much darker the iris is than what is beside it, nats; about 1.15 open, 0.36 shut.
        yaw_deg: (2,) float64, where the eye looks, off the way to the camera; positive to the right of the image.
        pitch_deg: (2,) float64, positive upwards.
        presence: of a face, the mesh network's, 0..1.
    """

    open: NDArray[np.float64]
    contrast: NDArray[np.float64]
    yaw_deg: NDArray[np.float64]
    pitch_deg: NDArray[np.float64]
    presence: float

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        for array in (self.open, self.contrast, self.yaw_deg, self.pitch_deg):
            array.flags.writeable = False


class EyeReader:
    """Asks the two networks; keeps nothing between frames."""

    def __init__(self, mesh: Network, iris: Network) -> None:
        self._mesh, self._iris = mesh, iris

    def read(self, frames: FrameSet, face: Face) -> Eyes:
        """Read both eyes of `face`. Raises NetworkError."""
        mesh = find_mesh(self._mesh, frames.ir, face.points_px)
        read = np.full((4, 2), np.nan)
        if mesh.present:
            right, down = _axes(mesh)
            for eye in range(2):
                iris = find_iris(self._iris, frames.ir, mesh, eye)
                if iris is not None:
                    read[:, eye] = _measure(frames, face, mesh, iris, eye, right, down)
        return Eyes(read[0], read[1], read[2], read[3], mesh.presence)


def _measure(
    frames: FrameSet, face: Face, mesh: Mesh, iris: Iris, eye: int, right: NDArray[Any], down: NDArray[Any]
) -> tuple[float, float, float, float]:
    """Openness, contrast, yaw, pitch of one eye; `right` and `down` are the head's own, (2,) unit, in the image."""
    mm_per_px = float(face.points_mm[eye, 2]) / frames.intrinsics.fx
    width_mm = float(np.hypot(*(iris.corners_px[1] - iris.corners_px[0]))) * mm_per_px
    if not (np.isfinite(iris.rim_px).all() and WIDTH_MM[0] <= width_mm <= WIDTH_MM[1]):
        return (math.nan,) * 4
    gap_mm = float(np.linalg.norm(iris.upper_px - iris.lower_px, axis=1).mean()) * mm_per_px
    k, seen = frames.intrinsics, iris.rim_px[0]
    yaw = math.radians(face.yaw_deg) + math.atan((seen[0] - k.cx) / k.fx)
    pitch = math.radians(face.pitch_deg) - math.atan((seen[1] - k.cy) / k.fy)
    across = float((seen - iris.corners_px.mean(axis=0)) @ right) * mm_per_px
    along = float((seen - mesh.points_px[list(CORNERS[eye]), :2].mean(axis=0)) @ down) * mm_per_px
    nasal = NASAL_MM if eye == 0 else -NASAL_MM
    rightwards = (across + nasal + BEHIND_MM * math.sin(yaw)) / RADIUS_MM
    downwards = along / DOWN_RADIUS_MM - DOWN_TILT * math.sin(pitch) + DOWN_REST
    contrast = _contrast(frames.ir, iris, right, down, mm_per_px)
    return gap_mm / width_mm, contrast, _degrees(rightwards), -_degrees(downwards)


def _contrast(
    ir: NDArray[np.uint8] | NDArray[np.uint16],
    iris: Iris,
    right: NDArray[Any],
    down: NDArray[Any],
    mm_per_px: float,
) -> float:
    """Log of how much darker the darkest spot about the iris is than the brighter of the two beside it, on its row."""
    turned = np.stack([right, down]) * (mm_per_px * GRID_PER_MM)
    middle, centre = (GRID_PX - 1) / 2, iris.corners_px.mean(axis=0)
    matrix = np.hstack([turned, (middle - turned @ centre)[:, None]])
    grid: NDArray[Any] = cv2.warpAffine(ir, matrix, (GRID_PX, GRID_PX), flags=cv2.INTER_LINEAR).astype(np.float32)
    spot = int(SPOT_MM * GRID_PER_MM) + 1
    light = np.log(np.maximum(cv2.blur(grid, (spot, spot)), np.float32(np.iinfo(ir.dtype).max / 255)))
    row = float((turned @ (iris.rim_px[0] - centre))[1]) + middle
    rows = np.clip(np.rint(row + np.array([-ALONG_MM, 0, ALONG_MM]) * GRID_PER_MM), 0, GRID_PX - 1).astype(np.intp)
    columns = np.arange(round(middle - ACROSS_MM * GRID_PER_MM), round(middle + ACROSS_MM * GRID_PER_MM) + 1)
    beside = round(BESIDE_MM * GRID_PER_MM)
    lines = light[rows]
    flanks = np.maximum(lines[:, columns - beside], lines[:, columns + beside])
    return float((flanks - lines[:, columns]).max())


def _axes(mesh: Mesh) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Unit vectors of the image, (2,): from the right eye to the left one, and down the face."""
    right_eye, left_eye = (mesh.points_px[list(CORNERS[eye]), :2].mean(axis=0, dtype=np.float64) for eye in range(2))
    right = (left_eye - right_eye) / max(float(np.hypot(*(left_eye - right_eye))), 1e-6)
    return right, np.array([-right[1], right[0]])


def _degrees(sine: float) -> float:
    return math.degrees(math.asin(min(max(sine, -1.0), 1.0)))
