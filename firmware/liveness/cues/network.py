"""Cue `network`: what a small network of ours makes of light, shape and holes of the face together.

    value = score of "living" - log-sum-exp of the scores of what it learned of instruments; larger is more alive

What it sees is the face upright in its own middle, 1.4 mm a cell whatever the distance (`View`): light with the shape
divided out, light as it is, relief, and where depth was measured. Levels drop out: light is compared with its median.

Rules kept here:
- Nothing is invented: a cell without depth is a hole, a place beyond the picture is dark and a hole.
- With too little depth or light within the face there is no value.
- The network is handed in: whoever weighs this cue has loaded it from the manifest.
"""

import math
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from drivers.npu.interface import Network
from firmware.liveness.patch import Patch
from firmware.vision.face import Face

NETWORK = "liveness"
ROWS, COLUMNS, CHANNELS = 112, 96, 4
MM_PER_CELL = 1.4
MIDDLE = (COLUMNS - 1) / 2, (ROWS - 1) / 2
"""Column and row of the point halfway between eyes and mouth."""
FACE_MM = 52.0, 66.0  # half width and height of the ellipse that medians are taken over
LEAST = 0.35  # of the ellipse must have light, and as much depth
LEAST_COUNT = 0.3  # of what a cell covers must have depth
DARK = 0.02  # of the median: darker cells are taken for this
SUREST = 8.0  # nats either way: beyond this no table says more
RELIEF_MM = 40.0  # that is 1.0 to the network
REFLECTANCE_NATS = 1.5  # that is 1.0
LIGHT_NATS = -0.75, 2.25  # that is 0.0, and so much more or less is 1.0

F32 = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """A face as the network is shown it, in physical units; each (ROWS, COLUMNS) float32.

    Attributes:
        light: the flood's own, over its median within the face; may be below 0 for noise.
        shape: light expected of a white surface of this shape, over its median; 0 where the slope is unknown.
        relief_mm: before the median of the face, positive towards the camera; 0 in holes.
        known: share of the cell that has depth; 0 in holes.
    """

    light: F32
    shape: F32
    relief_mm: F32
    known: F32

    def channels(self) -> F32:
        """(1, CHANNELS, ROWS, COLUMNS) float32 in -1..1: reflectance, light, relief, known."""
        light = np.log(np.maximum(self.light, np.float32(DARK)))
        sloped = self.shape > DARK
        left = np.asarray(light - np.log(np.where(sloped, self.shape, np.float32(1))), np.float32)
        level = _middle(left, sloped)
        left = np.where(sloped, (left - level) / np.float32(REFLECTANCE_NATS), np.float32(0)).astype(np.float32)
        middle, scale = LIGHT_NATS
        planes = left, (light - middle) / scale, self.relief_mm / RELIEF_MM, self.known
        return np.clip(np.stack(planes)[None], -1, 1).astype(np.float32)


def view(frames: FrameSet, face: Face, patch: Patch) -> View | None:
    """The face of `patch`; None without a dark exposure, or with too little light or depth in it."""
    if frames.ambient is None:
        return None
    box = (
        slice(int(patch.v[0, 0]), int(patch.v[-1, 0]) + 1),
        slice(int(patch.u[0, 0]), int(patch.u[0, -1]) + 1),
    )
    to_frame = _placed(face, frames.intrinsics.fx)
    in_box = to_frame - np.array([[0, 0, box[1].start], [0, 0, box[0].start]])
    in_patch = in_box / patch.step
    side = max(1, round(MM_PER_CELL * frames.intrinsics.fx / face.distance_mm))

    def resampled(image: F32, where: NDArray[np.float64], how: int) -> F32:
        flags = how | cv2.WARP_INVERSE_MAP
        return np.asarray(cv2.warpAffine(image, where, (COLUMNS, ROWS), flags=flags, borderValue=0.0), np.float32)

    def averaged(image: F32) -> F32:
        return resampled(np.asarray(cv2.blur(image, (side, side)), np.float32), in_box, cv2.INTER_LINEAR)

    near = frames.depth_mm[box] - np.float32(face.distance_mm)
    measured = np.abs(near) < 2 * RELIEF_MM
    light = averaged(np.subtract(frames.ir[box], frames.ambient[box], dtype=np.float32))
    share = averaged(measured.astype(np.float32))
    summed = averaged(np.where(measured, near, np.float32(0)).astype(np.float32))
    behind = np.asarray(summed / np.maximum(share, np.float32(1e-3)), np.float32)
    shape = resampled(np.nan_to_num(patch.expected, nan=0.0), in_patch, cv2.INTER_NEAREST)
    known = share > LEAST_COUNT
    within = ellipse()
    bright = float(np.median(light[within]))
    if bright <= 0 or min(float(known[within].mean()), float((light > DARK * bright)[within].mean())) < LEAST:
        return None
    sloped = known & (shape > 0)
    return View(
        light=light / np.float32(bright),
        shape=np.where(sloped, shape / np.maximum(_middle(shape, sloped), np.float32(1e-6)), 0).astype(np.float32),
        relief_mm=np.where(known, _middle(behind, known) - behind, 0).astype(np.float32),
        known=np.where(known, share, 0).astype(np.float32),
    )


def liveness_network(frames: FrameSet, face: Face, patch: Patch, network: Network) -> float:
    """Larger is more alive, nats of what it was trained on; NaN where there is no view.

    Raises:
        NetworkError: the network failed.
    """
    seen = view(frames, face, patch)
    return math.nan if seen is None else alive(network.run(seen.channels())[0][0])


def alive(scores: F32) -> float:
    """The value of the network's (N,) scores, of which the first is that of life; within `SUREST`."""
    most = float(scores[1:].max())
    value = float(scores[0]) - most - math.log(float(np.exp(scores[1:] - most).sum()))
    return float(np.clip(value, -SUREST, SUREST))


def _placed(face: Face, focal_px: float) -> NDArray[np.float64]:
    """(2, 3) from column and row of a cell to column and row of the frame: turned upright, at metric scale."""
    points = face.points_px.astype(np.float64)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    down = (mouth - eyes) / max(float(np.hypot(*(mouth - eyes))), 1e-6) * MM_PER_CELL * focal_px / face.distance_mm
    turn = np.array([[down[1], down[0]], [-down[0], down[1]]])
    return np.column_stack([turn, (eyes + mouth) / 2 - turn @ MIDDLE])


@cache
def ellipse() -> NDArray[np.bool_]:
    """(ROWS, COLUMNS) bool: the cells that medians are taken over."""
    across, down = (np.arange(count) - middle for count, middle in zip((COLUMNS, ROWS), MIDDLE, strict=True))
    half = np.array(FACE_MM) / MM_PER_CELL
    return np.asarray((across[None] / half[0]) ** 2 + (down[:, None] / half[1]) ** 2 <= 1)


def _middle(values: F32, where: NDArray[np.bool_]) -> np.float32:
    """Median over the face of those cells; 0 where there are none."""
    own = values[where & ellipse()]
    return np.float32(np.median(own)) if len(own) else np.float32(0)
