"""What the cues share: reflectance of the face region with shape and level divided out, and millimetres on the face.

Logarithms throughout: a constant factor (level, exposure, how white the skin is) is a constant summand, and drops out.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.liveness.patch import Patch
from firmware.vision.face import Face

STEEP = 0.35
"""Cosine of incidence below which a surface's own slope is too uncertain to divide by."""
DARKEST = 1e-6

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Ground:
    """The face region, ready to be asked.

    Attributes:
        patch: what it was made from.
        light: (h, w) float32, log of `Patch.lit`; NaN where unknown.
        shape: (h, w) float32, log of `Patch.expected`; NaN where unknown or steep.
        cell_mm: of one pixel of the patch, at the face's distance.
        eyes_px: (2, 2) in the frame, the customer's right eye (left in the image) first.
        mouth_px: (2, 2) in the frame, corners, in the same order.
    """

    patch: Patch
    light: F32
    shape: F32
    cell_mm: float
    eyes_px: NDArray[np.float64]
    mouth_px: NDArray[np.float64]

    @property
    def reflectance(self) -> F32:
        """(h, w) log of how much more comes back than from a white surface of this shape, up to a constant."""
        return self.light - self.shape

    def about(self, place_px: NDArray[np.float64]) -> tuple[F32, F32]:
        """(h, w) of each cell, millimetres towards the customer's left and down the face from a place in the frame."""
        down = self.mouth_px.mean(axis=0) - self.eyes_px.mean(axis=0)
        down = down / max(float(np.hypot(*down)), 1e-6)
        across = np.array([down[1], -down[0]])
        du, dv = self.patch.u - place_px[0], self.patch.v - place_px[1]
        mm = self.cell_mm / self.patch.step
        return (
            np.asarray((du * across[0] + dv * across[1]) * mm, np.float32),
            np.asarray((du * down[0] + dv * down[1]) * mm, np.float32),
        )

    def between(self, values: F32, known: NDArray[np.bool_], fine_mm: float, coarse_mm: float) -> F32:
        """`values` (h, w) averaged over `fine_mm` less their mean over `coarse_mm`, of the cells `known` only.

        Each mean is about a Gaussian's of that sigma: two box means are as good here, and cost the same however wide.
        """
        fine, coarse = (_mean(values, known, sigma / self.cell_mm) for sigma in (fine_mm, coarse_mm))
        return np.asarray(fine - coarse, np.float32)


def _mean(values: F32, known: NDArray[np.bool_], sigma: float) -> F32:
    side = 2 * max(round(math.sqrt(1.5) * sigma), 1) + 1
    total, weight = (
        cv2.blur(
            cv2.blur(image, (side, side), borderType=cv2.BORDER_CONSTANT), (side, side), borderType=cv2.BORDER_CONSTANT
        )
        for image in (np.where(known, values, np.float32(0)), known.astype(np.float32))
    )
    return np.asarray(total / np.maximum(weight, np.float32(1e-3)), np.float32)


def ground(frames: FrameSet, face: Face, patch: Patch) -> Ground:
    """Take logarithms once for every cue."""
    with np.errstate(invalid="ignore", divide="ignore"):
        light = np.log(np.maximum(patch.lit, np.float32(DARKEST)))
        shape = np.where(patch.incidence > STEEP, np.log(patch.expected), np.float32(np.nan))
    points = face.points_px.astype(np.float64)
    cell_mm = patch.step * face.distance_mm / frames.intrinsics.fx
    return Ground(patch, np.asarray(light, np.float32), np.asarray(shape, np.float32), cell_mm, points[:2], points[3:])
