"""The face region of one frame as light and shape: made once, read by gates, code and cues.

    lit = reflectance x response x level x cos(incidence) x (1 m / d)^2 x cos(off axis)^5.5

`lit` is what the flood alone adds, of full scale per millisecond at gain 1. The light is taken to come from the lens.
The flood's own cone falls off as cos^1.5, the lens as cos^4 (the sensor model of docs/sensor.md).

Rules kept here:
- What cannot be known is NaN: light without a dark exposure, where the picture is full, where depth is missing.
- The region is thinned to about a millimetre and a half: enough for everything but the dots.
"""

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.liveness.surface import HALF_HEIGHT, HALF_WIDTH, REACH_MM, size_px
from firmware.vision.face import Face

CELL_MM = 1.5
SMOOTH_MM = 3.0
"""Sigma that depth is smoothed by before it is asked for its slope."""
FULL = 0.98
"""Of full scale; brighter pixels say nothing."""
FALLOFF = 5.5
LEAST_WEIGHT = 0.2  # of the smoothing window that must have depth

F32 = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Patch:
    """The box around eyes, nose and mouth, thinned to (h, w).

    Attributes:
        u: (h, w) float32, column in the frame, pixels.
        v: (h, w) float32, row in the frame, pixels.
        inside: (h, w) bool, within the ellipse over eyes, nose and mouth.
        ir: (h, w) float32, flood-lit, 0..1 of full scale.
        ambient: (h, w) float32, emitters off, 0..1 of full scale; None without a dark exposure.
        lit: (h, w) float32, of full scale per millisecond at gain 1, the flood's own light; NaN where unknown.
        depth_mm: (h, w) float32, smoothed, NaN where unknown.
        rays: (h, w, 2) float32, x/z and y/z of each pixel.
    """

    u: F32
    v: F32
    inside: NDArray[np.bool_]
    ir: F32
    ambient: F32 | None
    lit: F32
    depth_mm: F32
    rays: F32
    step: int

    @cached_property
    def off_axis(self) -> F32:
        """(h, w) cosine of each pixel's angle off the optical axis."""
        return np.asarray(1 / np.sqrt(1 + np.square(self.rays).sum(axis=2)), np.float32)

    @cached_property
    def normal(self) -> NDArray[np.float32]:
        """(h, w, 3) float32, unit, towards the camera (z < 0); NaN where depth is missing around."""
        z = self.depth_mm
        x, y = self.rays[..., 0] * z, self.rays[..., 1] * z
        # along a row and down a column, written out: stacking and np.cross cost twice as much
        ax, ay, az = (q[1:-1, 2:] - q[1:-1, :-2] for q in (x, y, z))
        dx, dy, dz = (q[2:, 1:-1] - q[:-2, 1:-1] for q in (x, y, z))
        across = np.full((*z.shape, 3), np.nan, np.float32)
        inner = across[1:-1, 1:-1]
        inner[..., 0], inner[..., 1], inner[..., 2] = dy * az - dz * ay, dz * ax - dx * az, dx * ay - dy * ax
        with np.errstate(invalid="ignore", divide="ignore"):
            inner /= np.sqrt(np.einsum("ijk,ijk->ij", inner, inner))[..., None]
        across[~np.isfinite(z)] = np.nan  # a hole of one pixel has neighbours, and still no depth
        return across

    @cached_property
    def incidence(self) -> F32:
        """(h, w) cosine between the surface's normal and the way to the lens; NaN where unknown."""
        normal = self.normal
        towards = -(normal[..., 0] * self.rays[..., 0] + normal[..., 1] * self.rays[..., 1] + normal[..., 2])
        return np.asarray(towards * self.off_axis, np.float32)

    @cached_property
    def expected(self) -> F32:
        """(h, w) `lit` of a white surface of this shape, over the camera's response and the flood's level."""
        distance_m = self.depth_mm / (1000 * self.off_axis)
        return np.asarray(np.maximum(self.incidence, 0) * self.off_axis**FALLOFF / distance_m**2, np.float32)


def patch(frames: FrameSet, face: Face) -> Patch | None:
    """Cut it out; None where the face has no size or lies outside the picture."""
    k = frames.intrinsics
    points = face.points_px.astype(np.float64)
    eyes, mouth = points[:2].mean(axis=0), points[3:].mean(axis=0)
    centre, down = (eyes + mouth) / 2, mouth - eyes
    size = size_px(points)
    if not (np.isfinite(points).all() and size > 0 and face.distance_mm > 0):
        return None
    reach = int(np.ceil(size * HALF_HEIGHT)) + 1
    x0, x1 = (min(max(int(centre[0]) + side, 0), k.width) for side in (-reach, reach + 1))
    y0, y1 = (min(max(int(centre[1]) + side, 0), k.height) for side in (-reach, reach + 1))
    step = max(1, round(CELL_MM * k.fx / face.distance_mm))
    box = (slice(y0, y1, step), slice(x0, x1, step))
    v, u = np.mgrid[box].astype(np.float32)
    if min(u.shape) < 5:
        return None
    tilt = np.arctan2(-down[0], down[1])
    du, dv = u - centre[0], v - centre[1]
    across, along = du * np.cos(tilt) + dv * np.sin(tilt), dv * np.cos(tilt) - du * np.sin(tilt)
    inside = (across / (size * HALF_WIDTH)) ** 2 + (along / (size * HALF_HEIGHT)) ** 2 <= 1
    full = np.float32(np.iinfo(frames.ir.dtype).max)
    ir = frames.ir[box].astype(np.float32) / full
    ambient = None if frames.ambient is None else frames.ambient[box].astype(np.float32) / full
    gathered = np.float32(max(frames.exposure_us, 1) / 1000 * max(frames.gain, 1e-6))
    if ambient is None:
        lit = np.full(ir.shape, np.nan, np.float32)
    else:
        lit = np.where((ir < FULL) & (ambient < FULL), (ir - ambient) / gathered, np.float32(np.nan))
    rays = np.stack([(u - k.cx) / k.fx, (v - k.cy) / k.fy], axis=2).astype(np.float32)
    raw = frames.depth_mm[box]
    depth = _smooth(np.where(np.abs(raw - face.distance_mm) < REACH_MM, raw, np.float32(np.nan)), face, k.fx, step)
    return Patch(u, v, inside, ir, ambient, np.asarray(lit, np.float32), depth, rays, step)


def _smooth(depth_mm: F32, face: Face, focal_px: float, step: int) -> F32:
    """(h, w) float32: Gaussian over what is known; NaN where too little is."""
    sigma = SMOOTH_MM * focal_px / (face.distance_mm * step)
    known = np.isfinite(depth_mm)
    weight = cv2.GaussianBlur(known.astype(np.float32), (0, 0), sigma)
    # about the face's own distance, so that single precision is enough
    relief = np.where(known, depth_mm - np.float32(face.distance_mm), 0).astype(np.float32)
    mean = cv2.GaussianBlur(relief, (0, 0), sigma) / np.maximum(weight, 1e-6)
    return np.where(weight > LEAST_WEIGHT, mean + np.float32(face.distance_mm), np.nan).astype(np.float32)
