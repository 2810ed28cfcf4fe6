"""What the factory measured of one module, without which its dots mean nothing.

Rules kept here:
- Frozen, and every field is checked when it is built: a wrong unit (metres, centimetres) falls outside the ranges.
- The search range must bracket the reference plane, and no object nearer or farther than it says can be decoded.
"""

import math

import msgspec

from drivers.camera.faults import Cause
from drivers.camera.interface import CameraError, Intrinsics


class CalibrationError(CameraError, ValueError):
    """The calibration is impossible; the message names the field, its value and what was expected."""

    cause: Cause = "calibration"


class Calibration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Geometry of a rectified camera and projector: a dot moves along its row with 1/z, and only along it.

        disparity = column seen - column in the reference image = fx baseline (1/z - 1/reference)

    Raises CalibrationError when built of impossible values.

    Attributes:
        intrinsics: of the rectified image, pixels.
        baseline_mm: lens to projector, which stands on the image's right.
        reference_mm: distance of the flat plane the reference image was taken of.
        farthest_px: smallest disparity searched, that of the farthest plane: negative, whole pixels.
        disparities: how many whole disparities are searched, a multiple of 16 (as OpenCV's matcher wants).
    """

    intrinsics: Intrinsics
    baseline_mm: float = 50.0
    reference_mm: float = 500.0
    farthest_px: int = -48
    disparities: int = 112

    def __post_init__(self) -> None:
        """Check every field."""
        lens = self.intrinsics
        within("intrinsics.width", lens.width, 64, 4096)
        within("intrinsics.height", lens.height, 64, 4096)
        within("intrinsics.fx", lens.fx, 100, 10_000)
        within("intrinsics.fy", lens.fy, 100, 10_000)
        within("intrinsics.cx", lens.cx, 0, lens.width)
        within("intrinsics.cy", lens.cy, 0, lens.height)
        within("baseline_mm", self.baseline_mm, 10, 300)
        within("reference_mm", self.reference_mm, 100, 3000)
        within("farthest_px", self.farthest_px, -512, -1)
        within("disparities", self.disparities, 16, 1024)
        if self.disparities % 16:
            raise CalibrationError(f"calibration: disparities is {self.disparities}, expected a multiple of 16")
        if self.farthest_px + self.disparities < 2:
            raise CalibrationError(
                f"calibration: {self.disparities} disparities from {self.farthest_px} do not reach past the reference"
            )
        if self.inverse_mm(self.farthest_px) <= 0:
            raise CalibrationError(f"calibration: farthest_px {self.farthest_px} lies beyond infinity")

    @classmethod
    def spanning(
        cls, intrinsics: Intrinsics, baseline_mm: float, reference_mm: float, nearest_mm: float, farthest_mm: float
    ) -> "Calibration":
        """Build with the smallest search range that covers these distances. Raises CalibrationError."""
        product = intrinsics.fx * baseline_mm
        farthest, nearest = (product * (1 / z - 1 / reference_mm) for z in (farthest_mm, nearest_mm))
        disparities = 16 * math.ceil((nearest - math.floor(farthest)) / 16)
        return cls(intrinsics, baseline_mm, reference_mm, math.floor(farthest), disparities)

    @property
    def product(self) -> float:
        """Focal length times baseline, px mm: what 1/mm is worth in pixels of disparity."""
        return self.intrinsics.fx * self.baseline_mm

    @property
    def range_mm(self) -> tuple[float, float]:
        """Nearest and farthest plane that can be decoded."""
        return 1 / self.inverse_mm(self.farthest_px + self.disparities - 1), 1 / self.inverse_mm(self.farthest_px)

    def inverse_mm(self, disparity_px: float) -> float:
        """1/z of a disparity, 1/mm."""
        return disparity_px / self.product + 1 / self.reference_mm


def within(name: str, value: float, low: float, high: float) -> None:
    """Raise CalibrationError, by name, where `value` is not a number from `low` to `high`."""
    if not math.isfinite(value) or not low <= value <= high:
        raise CalibrationError(f"calibration: {name} is {value}, expected {low} to {high}")
