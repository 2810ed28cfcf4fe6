"""Dots to depth: where in the reference image does the neighbourhood of each pixel come from?

Rules kept here:
- Two steps. OpenCV's semi-global matcher on the region finds the disparity to about a quarter of a pixel. The
  reference, interpolated to quarter pixels beforehand, is bent by that, pixel for pixel, and the zero-mean normalised
  cross-correlation (ZNCC) of 13 x 13 windows at half a pixel less, none and half a pixel more gives a parabola whose
  top is the fraction; then once more from there. The window thus follows the slope of the surface, the parabola is
  asked only near its top, where it is true, and all is box filters: a few milliseconds, no compiled code of our own.
- No answer is NaN, never a guess: a window without texture, too unlike the reference, half of it unmatched, or
  whose fraction contradicts the matcher is no answer. No content of an image raises.
- Rows are compared with the same row of the reference. Half a pixel of vertical misalignment costs little, one pixel
  a fifth of a face and more, two nearly all of it (docs/structured-light.md). Rectify it away and watch the share of
  valid depth, for what is left still looks right.
"""

from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.structured_light.calibration import Calibration

F32: TypeAlias = NDArray[np.float32]
U8: TypeAlias = NDArray[np.uint8]
Roi: TypeAlias = tuple[int, int, int, int]

BLOCK = 9
SGBM = {
    "blockSize": BLOCK, "P1": 4 * BLOCK * BLOCK, "P2": 24 * BLOCK * BLOCK, "disp12MaxDiff": -1, "preFilterCap": 31,
    "uniquenessRatio": 5, "speckleWindowSize": 150, "speckleRange": 2, "mode": cv2.STEREO_SGBM_MODE_SGBM_3WAY,
}  # fmt: skip
STEPS = 16  # the matcher answers in sixteenths of a pixel
FINE = 4  # columns of the interpolated reference per pixel
STEP_PX = 0.5  # between the three points of the parabola
PASSES = 2  # the second takes a quarter off the error, a third would take a twentieth
WINDOW = 13
MARGIN = WINDOW // 2 + BLOCK  # decoded around the region and thrown away, so that its border pixels see whole windows
MIN_CORRELATION = 0.6
MIN_VARIANCE = 2.0  # grey levels squared: below it there are no dots in the window
MIN_MATCHED = 0.6  # share of the window
MAX_CORRECTION_PX = 0.7  # between the matcher's fraction and ours: more happens where a window straddles an edge


class Decoder:
    """Decodes the dot exposures of one module. Holds OpenCV's scratch memory: one thread at a time."""

    def __init__(self, reference: U8, calibration: Calibration) -> None:
        """`reference`: (H, W) uint8 image of the pattern on the flat reference plane. Raises ValueError."""
        self._calibration = calibration
        self._check("reference", reference)
        left = calibration.farthest_px + calibration.disparities
        self._left, self._right = max(left, 0), -calibration.farthest_px
        # column x of the image is column x + left of this
        self._reference = _padded(reference, self._left, self._right)
        self._fine = _interpolated(self._reference)
        self._matcher = cv2.StereoSGBM.create(
            minDisparity=calibration.farthest_px, numDisparities=calibration.disparities, **SGBM
        )

    def decode(self, dots: U8, roi: Roi | None = None) -> F32:
        """Depth of `dots` within `roi`.

        Args:
            dots: (H, W) uint8 rectified dot exposure.
            roi: left, top, right, bottom in pixels, the last two excluded; what lies outside the image is ignored.
                None is the whole image. The face region costs a fraction of it.

        Returns:
            (H, W) float32 millimetres along the optical axis, NaN where unknown and outside `roi`.

        Raises:
            ValueError: `dots` has another shape or dtype than the calibration says.
        """
        self._check("dots", dots)
        height, width = dots.shape
        depth_mm = np.full((height, width), np.nan, np.float32)
        left, top, right, bottom = roi or (0, 0, width, height)
        left, top, right, bottom = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
        if left >= right or top >= bottom:
            return depth_mm
        x0, x1 = max(left - MARGIN, 0), min(right + MARGIN, width)
        y0, y1 = max(top - MARGIN, 0), min(bottom + MARGIN, height)
        disparity = self._disparity(dots[y0:y1, x0:x1], slice(y0, y1), slice(x0, x1 + self._left + self._right))
        inside = disparity[top - y0 : bottom - y0, left - x0 : right - x0]
        inverse = inside / np.float32(self._calibration.product) + np.float32(1 / self._calibration.reference_mm)
        np.divide(1, inverse, out=depth_mm[top:bottom, left:right], where=inverse > 0)
        return depth_mm

    def _check(self, name: str, image: U8) -> None:
        expected = (self._calibration.intrinsics.height, self._calibration.intrinsics.width)
        if image.shape != expected or image.dtype != np.uint8:
            raise ValueError(f"{name} is {image.shape} {image.dtype}, expected {expected} uint8")

    def _disparity(self, seen: U8, rows: slice, columns: slice) -> F32:
        """(h, w) float32, NaN where unknown, of a piece `seen` and its place in the padded reference."""
        width = seen.shape[1]
        reference = self._reference[rows, columns]
        answer = self._matcher.compute(_padded(seen, self._left, self._right), reference)
        found = answer[:, self._left : self._left + width].astype(np.float32) / np.float32(STEPS)
        matched = found >= self._calibration.farthest_px
        fine = self._fine[rows, columns.start * FINE : columns.stop * FINE]
        return _refined(seen, fine, matched, np.where(matched, found, np.float32(0)), self._left)


def _refined(image: U8, fine: U8, matched: NDArray[np.bool_], coarse: F32, offset: int) -> F32:
    """(h, w) disparity, NaN where unknown; column x of `image` at disparity d is FINE (x + offset - d) of `fine`."""
    height, width = image.shape
    mask = matched.astype(np.uint8) * np.uint8(255)
    weight = mask.astype(np.float32) / np.float32(255)
    count = np.maximum(_sum(weight), 1)
    seen, seen_sum, variance = _statistics(image, mask, count)
    spread = np.sqrt(np.maximum(variance, 1))
    columns = (np.arange(width, dtype=np.float32) + np.float32(offset)) * np.float32(FINE)
    rows = np.repeat(np.arange(height, dtype=np.float32)[:, None], width, axis=1)

    def correlation(disparity: F32) -> F32:
        bent = cv2.remap(fine, columns - disparity * np.float32(FINE), rows, cv2.INTER_NEAREST)
        bent, bent_sum, bent_variance = _statistics(np.asarray(bent, np.uint8), mask, count)
        product = np.asarray(cv2.multiply(seen, bent, dtype=cv2.CV_32F), np.float32)
        together = _sum(product) - bent_sum * seen_sum / count
        return np.asarray(together / (spread * np.sqrt(np.maximum(bent_variance, 1))), np.float32)

    good = matched & (variance > MIN_VARIANCE * count) & (count > MIN_MATCHED * WINDOW * WINDOW)
    refined, step = coarse, np.float32(STEP_PX)
    for _ in range(PASSES):
        start = np.rint(refined * np.float32(FINE)) / np.float32(FINE)
        below, here, above = correlation(start - step), correlation(start), correlation(start + step)
        curvature = np.minimum(below - 2 * here + above, np.float32(-1e-6))
        # the parabola's top is the window's mean correction, so it adds to the window's mean disparity
        top = _sum(start * weight) / count + step / 2 * (below - above) / curvature
        good &= (here > MIN_CORRELATION) & (np.abs(top - coarse) <= MAX_CORRECTION_PX)
        refined = np.where(good, top, coarse)
    return np.where(good, refined, np.float32(np.nan))


def _padded(image: U8, left: int, right: int) -> U8:
    """With black columns on both sides: the matcher leaves as many undefined as it searches."""
    return cv2.copyMakeBorder(image, 0, 0, left, right, cv2.BORDER_CONSTANT).astype(np.uint8, copy=False)


def _interpolated(image: U8) -> U8:
    """Column x of `image` at column `FINE` x; cubic along the rows, which are left alone."""
    height, width = image.shape
    columns = np.broadcast_to(np.arange(width * FINE, dtype=np.float32) / np.float32(FINE), (height, width * FINE))
    rows = np.broadcast_to(np.arange(height, dtype=np.float32)[:, None], columns.shape)
    between = cv2.remap(image, np.ascontiguousarray(columns), np.ascontiguousarray(rows), cv2.INTER_CUBIC)
    return np.asarray(between, np.uint8)


def _statistics(image: U8, mask: U8, count: F32) -> tuple[U8, F32, F32]:
    """`image` where `mask` is set, else 0; over the window, its sum and its sum of squared deviations."""
    image = np.asarray(cv2.bitwise_and(image, mask), np.uint8)
    total = _sum(image)
    squares = cv2.sqrBoxFilter(image, cv2.CV_32F, (WINDOW, WINDOW), normalize=False)
    return image, total, np.asarray(squares - total * total / count, np.float32)


def _sum(values: F32 | U8) -> F32:
    """Sum over the window about every pixel."""
    return cv2.boxFilter(values, cv2.CV_32F, (WINDOW, WINDOW), normalize=False).astype(np.float32, copy=False)
