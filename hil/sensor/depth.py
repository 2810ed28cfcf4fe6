"""Structured-light depth: a dot projector beside the lens, triangulation noise, and where there is no answer.

    disparity = f b / z,   sigma_disparity = sqrt(0.06^2 + (0.6 / SNR)^2) px,   steps of 1/32 px

so the error in z grows with z^2. A matching window makes neighbours err together: the noise is smooth over
a few pixels, never white. Holes: dots too weak (dark or grazing surfaces), the projector's shadow,
windows across an edge, light mirrored away by glass.
"""

from functools import cache

import cv2
import numpy as np

from drivers.camera import Intrinsics
from hil.sensor.jit import compiled
from hil.sensor.rasteriser import NOTHING, View, fill, project
from hil.sensor.surface import F32

BASELINE_MM = 50.0
SIGMA_FLOOR_PX = 0.06
SIGMA_PER_NOISE_PX = 0.6
STEP_PX = 1 / 32
MIN_SNR = 5.0
# Dot signal to noise on skin (albedo 0.55) facing the camera at 0.5 m: about 34 ke- a dot, less speckle and ambient.
SNR_AT_HALF_METRE = 60.0
SNR_SCATTER = 0.35  # how unevenly dots fall on the matching windows, as the sigma of a log-normal
MIN_COSINE = 0.2
EDGE_PX = 1.5  # disparity step inside one window that leaves no single match
WINDOW_SIGMA_PX = 2.0
MAX_MM = 1300.0  # where the module's disparity search ends
SHADOW_SIZE = 512
SHADOW_BIAS_PX = 1.0  # the map is coarse: without slack steep cheeks would shade themselves

_BANK = 1024


def sense(view: View, intrinsics: Intrinsics, rng: np.random.Generator) -> F32:
    """(H, W) float32 depth in mm along the optical axis, NaN where unknown."""
    height, width = view.inverse_depth.shape
    disparity = view.inverse_depth * np.float32(intrinsics.fx * BASELINE_MM)
    edges = cv2.morphologyEx(disparity, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
    projector = _projector(intrinsics)
    depth_mm = np.full((height, width), np.nan, np.float32)
    _triangulate(
        view.inverse_depth, view.normal, view.albedo, view.gloss, edges.astype(np.float32, copy=False),
        _window(rng, height, width), _window(rng, height, width), _reached(view, projector),
        intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy, projector.fx, depth_mm,
    )  # fmt: skip
    return depth_mm


def _window(rng: np.random.Generator, height: int, width: int) -> F32:
    """A (height, width) view into the bank of smooth noise, at a random place."""
    top, left = int(rng.integers(0, _BANK - height)), int(rng.integers(0, _BANK - width))
    return _smooth_bank()[top : top + height, left : left + width]


@cache
def _smooth_bank() -> F32:
    """(1024, 1024) float32 normal noise as smooth as a matching window makes it, unit variance."""
    white = np.random.default_rng(0xDE974).standard_normal((_BANK, _BANK), dtype=np.float32)
    smooth = cv2.GaussianBlur(white, (0, 0), WINDOW_SIGMA_PX)
    return np.asarray(smooth / smooth.std(), np.float32)


def _projector(intrinsics: Intrinsics) -> Intrinsics:
    """The projector as a camera, `BASELINE_MM` to the right of the lens: a coarse map, a little wider than the view."""
    focal = intrinsics.fx * SHADOW_SIZE / (intrinsics.width * 1.2)
    middle = (SHADOW_SIZE - 1) / 2
    return Intrinsics(width=SHADOW_SIZE, height=SHADOW_SIZE, fx=focal, fy=focal, cx=middle, cy=middle)


def _reached(view: View, projector: Intrinsics) -> F32:
    """(512, 512) float32: 1/z of what the projector's light reaches first, 0 where nothing drawn is."""
    nearest = np.zeros((SHADOW_SIZE, SHADOW_SIZE), np.float32)
    unused = np.full(nearest.shape, NOTHING, np.int32)
    for points, faces in zip(view.camera_points, view.faces, strict=True):
        seen = project(points - np.array([BASELINE_MM, 0, 0], np.float32), projector)
        fill(seen, faces, 0, nearest, unused, unused)
    return nearest


@compiled
def _triangulate(
    inverse_depth: F32, normal: F32, albedo: F32, gloss: F32, edges: F32, noise: F32, scatter: F32, reached: F32,
    fx: float, fy: float, cx: float, cy: float, shadow_focal: float, depth_mm: F32,
) -> None:  # fmt: skip
    height, width = inverse_depth.shape
    size = reached.shape[0]
    product = fx * BASELINE_MM
    for j in range(height):
        for i in range(width):
            if inverse_depth[j, i] * MAX_MM < 1 or edges[j, i] > EDGE_PX:
                continue
            z = 1 / inverse_depth[j, i]
            x, y = (i - cx) / fx * z, (j - cy) / fy * z
            px = x - BASELINE_MM
            reach = np.sqrt(px * px + y * y + z * z)
            cosine = -(normal[j, i, 0] * px + normal[j, i, 1] * y + normal[j, i, 2] * z) / reach
            if cosine < MIN_COSINE:
                continue
            diffuse = albedo[j, i] * (1 - 0.7 * gloss[j, i])
            snr = SNR_AT_HALF_METRE * diffuse / 0.55 * cosine * (500 / z) ** 2 * np.exp(SNR_SCATTER * scatter[j, i])
            if snr < MIN_SNR:
                continue
            column = int(np.floor(px / z * shadow_focal + size / 2))
            row = int(np.floor(y / z * shadow_focal + size / 2))
            if 0 <= column < size and 0 <= row < size:
                before = (reached[row, column] - inverse_depth[j, i]) * product
                if before > SHADOW_BIAS_PX:
                    continue
            sigma = np.sqrt(SIGMA_FLOOR_PX**2 + (SIGMA_PER_NOISE_PX / snr) ** 2)
            disparity = product * inverse_depth[j, i] + sigma * noise[j, i]
            depth_mm[j, i] = product / (np.round(disparity / STEP_PX) * STEP_PX)
