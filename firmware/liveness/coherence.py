"""Whether one frame follows from the one before: a face moves as one rigid thing, nearly, and not far in a fifteenth.

Three changes from good frame to good frame, each relative to what is allowed; the largest is the gate's value:
- speed: how fast the middle of the face went, mm/s;
- warp: how far the relief changed, in coordinates that move with the face and after the best plane is taken off. The
  middle of the differences, so that a mouth may open and an eye may close;
- stretch: how far the eyes' distance in mm changed. The picture tells its angle, depth its distance: where infrared and
  depth do not come from the same thing, one changes without the other.

Rules kept here:
- The first frame, and the first after a gap, has nothing to follow from: it is pending.
- Each good frame is compared with the one before, never with a favourable earlier one.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.liveness.evidence import PENDING, Gate
from firmware.liveness.limits import Limits
from firmware.liveness.patch import Patch
from firmware.liveness.surface import HALF_HEIGHT, HALF_WIDTH
from firmware.vision.face import Face

GAP_S = 0.5
"""After a longer one nothing can be said."""
ROWS, COLUMNS = 15, 13
"""Of the net over the face that is compared."""
LEAST_KNOTS = 60
"""Of the net's 195 that both frames must have."""
TO_SIGMA = 1.4826
"""From the median of absolute differences to the sigma of a normal distribution."""

F64 = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Seen:
    """One good frame: its time, the middle of its points, its eyes' distance, and the net's heights (195,)."""

    time_ns: int
    middle_mm: F64
    eyes_mm: float
    distance_mm: float
    heights_mm: F64


class Coherence:
    """Compares each good frame of a look with the one before."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._before: _Seen | None = None

    def reset(self) -> None:
        """Begin anew: a frame was not good."""
        self._before = None

    def check(self, frames: FrameSet, face: Face, patch: Patch | None) -> Gate:
        """Judge a frame whose other gates hold. Passing means that it follows from the one before."""
        before, self._before = self._before, None
        if patch is None:
            return _gate(math.nan)
        now = self._before = _Seen(
            frames.timestamp_ns,
            face.points_mm.mean(axis=0, dtype=np.float64),
            face.ipd_mm,
            face.distance_mm,
            _heights(frames, face, patch),
        )
        if before is None or not 0 < now.time_ns - before.time_ns <= GAP_S * 1e9:
            return Gate("coherent", math.nan, _LIMIT, False, PENDING)
        return _gate(self._change(before, now))

    def _change(self, before: _Seen, now: _Seen) -> float:
        """The largest of the three changes, relative to what is allowed; NaN where one cannot be told."""
        limits, metres = self._limits, now.distance_mm / 1000
        seconds = (now.time_ns - before.time_ns) / 1e9
        speed = float(np.linalg.norm(now.middle_mm - before.middle_mm)) / seconds
        stretch = abs(math.log(now.eyes_mm / before.eyes_mm)) if min(now.eyes_mm, before.eyes_mm) > 0 else math.nan
        allowed_mm = max(limits.warp_max_mm, limits.warp_max_mm_at_1m * metres**2)
        changes = (
            speed / limits.speed_max_mm_s,
            _warp_mm(now.heights_mm - before.heights_mm) / allowed_mm,
            stretch / limits.stretch_max,
        )
        return max(changes) if all(map(math.isfinite, changes)) else math.nan


_LIMIT = "<= 1 of what is allowed"


def _gate(value: float) -> Gate:
    if not math.isfinite(value):
        return Gate("coherent", math.nan, _LIMIT, False, "gate_unknown")
    return Gate("coherent", value, _LIMIT, value <= 1, "" if value <= 1 else "incoherent")


def _net() -> F64:
    """(195, 2): right and down of the middle between eyes and mouth, in units of the face's size."""
    down, right = np.mgrid[-1 : 1 : ROWS * 1j, -1 : 1 : COLUMNS * 1j]
    return np.stack([right.ravel() * HALF_WIDTH, down.ravel() * HALF_HEIGHT], axis=1)


_NET = _net()
_ROUND = np.square(_NET / [HALF_WIDTH, HALF_HEIGHT]).sum(axis=1) <= 1
_PLANE = np.column_stack([_NET, np.ones(len(_NET))])


def _heights(frames: FrameSet, face: Face, patch: Patch) -> F64:
    """(195,) mm: how far behind the plane of eyes and mouth the surface lies at each knot; NaN where unknown."""
    k, points = frames.intrinsics, face.points_mm.astype(np.float64)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    across = (points[1] - points[0]) + (points[4] - points[3])
    down = mouth - eyes
    size = max(float(np.linalg.norm(points[1] - points[0])), 0.9 * float(np.linalg.norm(down)))
    across = across / np.linalg.norm(across)
    down = down - across * (across @ down)
    down = down / np.linalg.norm(down)
    middle = (eyes + mouth) / 2
    knots = middle + size * (_NET[:, :1] * across + _NET[:, 1:] * down)
    column = ((knots[:, 0] / knots[:, 2] * k.fx + k.cx - patch.u[0, 0]) / patch.step).astype(np.float32)
    row = ((knots[:, 1] / knots[:, 2] * k.fy + k.cy - patch.v[0, 0]) / patch.step).astype(np.float32)
    z = np.asarray(cv2.remap(patch.depth_mm, column, row, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, math.nan))
    # along the axis: towards the plane's own normal it would differ by a factor that the next frame shares
    heights: F64 = np.where(_ROUND, z.ravel() - knots[:, 2], math.nan)
    return heights


def _warp_mm(differences_mm: F64) -> float:
    """Sigma of the middle of the differences (195,) once the best plane is taken off; NaN where too few are known."""
    known = np.isfinite(differences_mm)
    if int(known.sum()) < LEAST_KNOTS:
        return math.nan
    design, left = _PLANE[known], differences_mm[known]
    # once more without what does not lie near the plane: an opening mouth must not tilt it
    for _ in range(2):
        near = np.abs(left) <= np.median(np.abs(left)) * 3 + 1e-9
        plane, *_ = np.linalg.lstsq(design[near], left[near], rcond=None)
        left = left - design @ plane
    return float(TO_SIGMA * np.median(np.abs(left)))
