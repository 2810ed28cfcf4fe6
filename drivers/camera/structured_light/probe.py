"""Which reference do a few small pieces of an image come from, and how many rows off? Cheap enough for every exposure.

Rules kept here:
- It looks: a piece counts as dots only when it is found in the reference, by zero-mean normalised cross-correlation
  (ZNCC), which neither brightness nor a light behind the dots changes. Nothing is taken from the order of exposures.
- It looks `ROWS` rows up and down, further than the decoder sees, so that rows that have drifted too far for any
  depth are still told from dots that are gone.
- It looks to infinity: a wall behind the range of depth tells as much of the rows as a face.
"""

import math
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.structured_light.calibration import Calibration

U8: TypeAlias = NDArray[np.uint8]

ROWS = 3
HALF_HEIGHT, HALF_WIDTH = 7, 12  # of a piece: nine dots in it, and a face hardly bends within
SURROUNDINGS = 11  # pixels: wider than a dot under skin, narrower than what the sun draws
DOWN, ACROSS = 10, 12  # candidates
PIECES = 16  # of them, the most textured
FOUND = 0.6  # ZNCC of a piece that is ours; the decoder's own threshold
ENOUGH = 4  # pieces found make a dot exposure
SPECKLED = 0.12  # change from pixel to pixel over brightness: simulated, dots on skin 0.18, faces under flood 0.05
DARK = 2.0  # grey levels of change from pixel to pixel: noise of a dark exposure is 0.9
HALF = PIECES // 2  # none of the first half found: none will be


@dataclass(frozen=True, slots=True)
class Look:
    """What was seen in one rectified image.

    Attributes:
        found: pieces found in the reference, of `PIECES`.
        rows_px: median over them of how much lower they are than in the reference; NaN where fewer than `ENOUGH`.
        speckled: whether it is full of bright dots, ours or not.
    """

    found: int
    rows_px: float
    speckled: bool

    @property
    def dots(self) -> bool:
        """Whether this is a picture of our dots."""
        return self.found >= ENOUGH


def sharp(image: U8) -> U8:
    """What is brighter than its surroundings: dots, without the sun on a face between them. Same shape and dtype."""
    return np.asarray(cv2.subtract(image, cv2.blur(image, (SURROUNDINGS, SURROUNDINGS))), np.uint8)


class Looker(Protocol):
    """Whatever can tell dots."""

    def look(self, image: U8) -> Look:
        """Look at one exposure, (H, W) uint8."""


class Pieces:
    """Where pieces of an image of one size are, and the most textured of them."""

    def __init__(self, height: int, width: int) -> None:
        margin = HALF_HEIGHT + ROWS
        self.rows = np.linspace(margin, height - 1 - margin, DOWN).astype(int)
        # near the sides a piece may come from beyond the reference
        self.columns = np.linspace(width // 8, width - 1 - width // 8, ACROSS).astype(int)
        down, across = np.arange(-HALF_HEIGHT, HALF_HEIGHT + 1), np.arange(-HALF_WIDTH, HALF_WIDTH + 1)
        self._y = (self.rows[:, None] + down)[:, None, :, None]
        self._x = (self.columns[:, None] + across)[None, :, None, :]

    def best(self, image: U8) -> tuple[list[tuple[int, int, U8]], bool]:
        """Row and column of the middle, and sharp pixels, of the most textured; and whether they are full of dots."""
        pieces = self._cut(sharp(image))
        best = np.argsort(pieces.astype(np.float32).std(axis=(1, 2)))[: -PIECES - 1 : -1]
        numbers = self._cut(image)[best].astype(np.float32)
        change = np.abs(np.diff(numbers, axis=2)).mean(axis=(1, 2))
        mean = numbers.mean(axis=(1, 2))
        dots = (change > DARK) & (change > SPECKLED * mean)
        chosen = [(int(self.rows[k // ACROSS]), int(self.columns[k % ACROSS]), pieces[k]) for k in best]
        return chosen, bool(dots.mean() > 0.5)

    def _cut(self, image: U8) -> U8:
        """(N, h, w) uint8, all pieces of `image`."""
        return image[self._y, self._x].reshape(DOWN * ACROSS, 2 * HALF_HEIGHT + 1, 2 * HALF_WIDTH + 1)


class Plain:
    """Tells dots from a plain flat target without a reference: what a calibration begins with."""

    def __init__(self, height: int, width: int) -> None:
        """`height` and `width` of the raw image, pixels."""
        self._pieces = Pieces(height, width)

    def look(self, image: U8) -> Look:
        """Look at one raw exposure."""
        _, speckled = self._pieces.best(image)
        return Look(PIECES if speckled else 0, math.nan, speckled)


class Probe:
    """Holds the reference of one module."""

    def __init__(self, reference: U8, calibration: Calibration) -> None:
        """`reference`: (H, W) uint8 as the decoder has it."""
        nearest = calibration.farthest_px + calibration.disparities
        infinity = -math.ceil(calibration.product / calibration.reference_mm)
        self._left, self._right = nearest, -infinity
        self._reference = cv2.copyMakeBorder(sharp(reference), 0, 0, self._left, self._right, cv2.BORDER_CONSTANT)
        self._pieces = Pieces(*reference.shape)

    def look(self, image: U8) -> Look:
        """Look at one rectified exposure."""
        pieces, speckled = self._pieces.best(image)
        found: list[float] = []
        for tried, (row, column, piece) in enumerate(pieces):
            if tried == HALF and not found:
                break
            rows_px = self._row(piece, row, column)
            found += [] if rows_px is None else [rows_px]
        return Look(len(found), float(np.median(found)) if len(found) >= ENOUGH else math.nan, speckled)

    def _row(self, piece: U8, row: int, column: int) -> float | None:
        """How much lower `piece`, whose middle is there, is than in the reference; None where it is not found."""
        top, start = row - HALF_HEIGHT - ROWS, column - HALF_WIDTH
        strip = self._reference[
            top : top + piece.shape[0] + 2 * ROWS, start : start + piece.shape[1] + self._left + self._right
        ]
        match = np.asarray(cv2.matchTemplate(strip, piece, cv2.TM_CCOEFF_NORMED), np.float32)
        _, peak, _, (x, y) = cv2.minMaxLoc(match)
        if peak < FOUND:
            return None
        return ROWS - (y + bell_top(match[:, x], y))


def bell_top(values: NDArray[np.float32], at: int) -> float:
    """Where between its neighbours the peak `values[at]` is: a bell through three points, exact for round dots."""
    if not 0 < at < len(values) - 1:
        return 0.0
    below, here, above = np.log(np.maximum(values[at - 1 : at + 2], 0.05))
    curvature = below - 2 * here + above
    return float(0.5 * (below - above) / curvature) if curvature < 0 else 0.0
