"""Stereo depth with projected dots, as a noise model: what two lenses a baseline apart would make of a geometry image.

    disparity = f b / z,   sigma_disparity = sqrt(floor^2 + (0.6 / SNR)^2) px,   steps of 1/32 px

Neighbours err together because they share a matching window: the error is a smooth field, never white. Part of it
changes from frame to frame, part stays where it is. A window also rounds off detail, lets near things grow over their
edge, and finds nothing where dots are weak, the surface grazes, or the second lens does not see it.

Error size and smoothness are those of two frames of a real D435 (`hil.sensor.stereo_noise`), so the figure
that shows both compares shapes and proves nothing.
"""

from functools import cache

import cv2
import numpy as np

from hil.sensor.jit import compiled
from hil.sensor.optics import electrons_per_joule
from hil.sensor.presets import Preset
from hil.sensor.rasteriser import View
from hil.sensor.surface import F32

TEMPORAL_PX = 0.10  # D435: 0.08-0.13 between frames
FIXED_PX = 0.07  # D435 close surfaces: 0.05-0.09 in both frames alike
SMOOTH_PX = (4.8, 3.6)  # columns, rows: D435's correlation falls to half after 8 columns and 6 rows
SIGMA_PER_NOISE_PX = 0.6
STEP_PX = 1 / 32
MIN_SNR = 5.0
SNR_SCATTER = 0.35  # how unevenly dots fall on the windows, sigma of a log-normal
MIN_COSINE = 0.2
WINDOW_PX = 1.5  # Gaussian the disparity is averaged with
GROW_PX = 2  # how far a near edge swallows what lies behind it
EDGE_PX = 1.5  # disparity step that makes an edge
RAGGED_PX = 4.0  # sigma by which the rim of a hole wanders: D435, most pixels that come and go lie there
EDGE_LOSS = 0.0  # sigma of the scatter above which a window on an edge finds nothing
BORDER_PX = 8  # half a window: nearer to the second image's left edge nothing matches
DOT_AREA_PX = 12.0
SATURATED = 0.95  # share of full well at which nothing can be told apart

_BANK = 2048


def measure(view: View, background_e: F32, exposure_ms: float, preset: Preset, rng: np.random.Generator) -> F32:
    """(H, W) float32 depth in mm along the optical axis, NaN where unknown.

    Args:
        view: the geometry.
        background_e: (H, W) float32 electrons the dots compete with.
        exposure_ms: of the dots.
        preset: the sensor.
        rng: of this frame's noise.
    """
    camera = preset.intrinsics
    product = camera.fx * preset.baseline_mm
    disparity = view.inverse_depth * np.float32(product)
    size = 2 * GROW_PX + 1
    grown = cv2.dilate(disparity, np.ones((size, size), np.uint8))
    matched = np.where(grown - disparity > EDGE_PX, grown, disparity)
    averaged = cv2.GaussianBlur(matched, (0, 0), WINDOW_PX)
    matched = np.where(np.abs(averaged - matched) < EDGE_PX / 2, averaged, matched).astype(np.float32, copy=False)
    shape = (camera.height, camera.width)
    depth_mm = np.full(shape, np.nan, np.float32)
    _match(
        disparity, matched, view.inverse_depth, view.normal, view.albedo, view.gloss, background_e,
        _window(rng, shape), _window(rng, shape), _window(np.random.default_rng(0xF17), shape),
        dot_electrons(preset, exposure_ms), preset.pixel.read_noise_e**2,
        SATURATED * preset.pixel.full_well_e, camera.fx, camera.fy, camera.cx,
        camera.cy, product, 1 / preset.max_mm, depth_mm,
    )  # fmt: skip
    return depth_mm


def dot_electrons(preset: Preset, exposure_ms: float) -> float:
    """Electrons of one whole dot on a white, matt surface that faces the lens from 1 mm; they fall with 1/z^2."""
    lens_mm = preset.intrinsics.fx * preset.pixel.pitch_um * 1e-3 / (2 * preset.lens.f_number)
    joules = preset.projector.power_uw * 1e-6 * exposure_ms * 1e-3
    return joules * lens_mm**2 * electrons_per_joule(preset)


def _window(rng: np.random.Generator, shape: tuple[int, int]) -> F32:
    """A view of `shape` into the bank of smooth noise, at a random place."""
    top, left = (int(rng.integers(0, _BANK - side)) for side in shape)
    return _smooth_bank()[top : top + shape[0], left : left + shape[1]]


@cache
def _smooth_bank() -> F32:
    """(2048, 2048) float32 normal noise as smooth as the matching window makes it, unit variance."""
    white = np.random.default_rng(0x57E0).standard_normal((_BANK, _BANK), dtype=np.float32)
    smooth = cv2.GaussianBlur(white, (0, 0), sigmaX=SMOOTH_PX[0], sigmaY=SMOOTH_PX[1])
    return np.asarray(smooth / smooth.std(), np.float32)


@compiled
def _match(
    disparity: F32, matched: F32, inverse_depth: F32, normal: F32, albedo: F32, gloss: F32, background_e: F32,
    temporal: F32, scatter: F32, fixed: F32, dot_e: float, read_squared: float, full_e: float, fx: float,
    fy: float, cx: float, cy: float, product: float, farthest: float, depth_mm: F32,
) -> None:  # fmt: skip
    height, width = disparity.shape
    for j in range(height):
        hidden = np.inf  # leftmost column of the second image that anything to the right is already seen at
        for i in range(width - 1, -1, -1):
            column = i - disparity[j, i]
            # how far into the half-seen strip matches still succeed wanders from frame to frame
            occluded = column > hidden + max(1 + RAGGED_PX * scatter[j, i], -0.5)
            hidden = min(hidden, column)
            if occluded or column < BORDER_PX or inverse_depth[j, i] <= farthest or background_e[j, i] > full_e:
                continue
            z = 1 / inverse_depth[j, i]
            x, y = (i - cx) / fx, (j - cy) / fy
            reach = np.sqrt(x * x + y * y + 1)
            cosine = -(normal[j, i, 0] * x + normal[j, i, 1] * y + normal[j, i, 2]) / reach
            if cosine < MIN_COSINE:
                continue
            diffuse = albedo[j, i] * (1 - 0.7 * gloss[j, i])
            signal = dot_e * diffuse * cosine / (z * z) * np.exp(SNR_SCATTER * scatter[j, i])
            if matched[j, i] - disparity[j, i] > EDGE_PX and scatter[j, i] > EDGE_LOSS:
                continue
            snr = signal / np.sqrt(signal + DOT_AREA_PX * (background_e[j, i] + read_squared))
            if snr < MIN_SNR:
                continue
            faint = SIGMA_PER_NOISE_PX / snr
            error = np.sqrt(TEMPORAL_PX**2 + faint * faint) * temporal[j, i] + FIXED_PX * fixed[j, i]
            steps = np.round((matched[j, i] + error) / STEP_PX)
            if steps > 0:
                depth_mm[j, i] = product / (steps * STEP_PX)
