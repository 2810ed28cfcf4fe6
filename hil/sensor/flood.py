"""The flood-lit infrared exposure: light on surfaces, lens, auto-exposure, shot and read noise.

    L = rho/pi (E/d^2 cos + E_ambient) + specular,   E = P g(theta),   g = cos^1.5
    DN = round((electrons + noise) * gain)

Two exposures alike but for the flood: with it at a commanded level, and without. Control reckons with the full level.

The noise of an exposure is drawn as `sqrt(signal + read^2)` times a window of a normal bank drawn once:
a Poisson draw per pixel would cost forty times as much and look the same above some ten electrons.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import Intrinsics
from hil.sensor.jit import compiled
from hil.sensor.rasteriser import View
from hil.sensor.surface import F32

# OV9282 class: 3 um pixels, f/2, 940 nm notch. 1 W over 76 degrees on albedo 0.55 at 0.5 m gives 1170 e-/ms.
ELECTRONS_PER_W_MS = 1170 / 0.55 * 0.5**2 * 1e6
FLOOD_W = 2.0
EMITTER_MM = (0.0, -15.0, 0.0)  # LED board just above the lens
AMBIENT_FRACTION = 0.03  # office light in the 940 nm notch, of the flood's level at 0.5 m
FULL_WELL_E = 6000.0
READ_NOISE_E = 4.0
PRNU = 0.01
PSF_SIGMA_PX = 0.7
EXPOSURE_US = (100, 3000)
GAIN = (1.0, 2.0)
TARGET_DN = 185.0
TARGET_PERCENTILE = 93.0

FLOOD_RESPONSE = ELECTRONS_PER_W_MS * FLOOD_W / 1e6 / FULL_WELL_E
"""`CameraInfo.flood_response` of this sensor."""

_BANK = 1 << 21


@dataclass(frozen=True, eq=False)
class Flood:
    """`ir` (H, W) uint8, flood-lit, `ambient` (H, W) uint8 without the flood, and the exposure control chose."""

    ir: NDArray[np.uint8]
    ambient: NDArray[np.uint8]
    exposure_us: int
    gain: float


def expose(view: View, intrinsics: Intrinsics, rng: np.random.Generator, level: float = 1.0) -> Flood:
    """Light `view`, the flood at `level` 0..1, choose the exposure by the middle of the picture, and read out."""
    lit, dark = (_blurred(rate) for rate in electrons_per_ms(view, intrinsics))
    exposure_us, gain = auto_exposure(lit)
    if level != 1:
        lit = dark + np.float32(level) * (lit - dark)
    places = _BANK - lit.size
    offset = int(rng.integers(0, places))
    # another stretch of the bank, not another draw: what is drawn next does not depend on this exposure
    ir, ambient = (
        _exposed(rate, start, exposure_us / 1000, gain)
        for rate, start in ((lit, offset), (dark, (offset + _BANK // 2) % places))
    )
    return Flood(ir, ambient, exposure_us, gain)


def _blurred(rate: F32) -> F32:
    return cv2.GaussianBlur(rate, (5, 5), PSF_SIGMA_PX).astype(np.float32, copy=False)


def _exposed(rate: F32, start: int, exposure_ms: float, gain: float) -> NDArray[np.uint8]:
    image = np.empty(rate.shape, np.uint8)
    noise = _normal_bank()[start : start + rate.size].reshape(rate.shape)
    _read_out(rate, noise, _pixel_response(rate.shape), exposure_ms, gain, image)
    return image


def electrons_per_ms(view: View, intrinsics: Intrinsics) -> tuple[F32, F32]:
    """Electrons per pixel and millisecond with the flood at full level and without it, each (H, W) float32.

    Without lens blur or noise.
    """
    lit, dark = np.zeros(view.albedo.shape, np.float32), np.zeros(view.albedo.shape, np.float32)
    _light(
        view.inverse_depth, view.normal, view.albedo, view.gloss,
        intrinsics.fx, intrinsics.fy, intrinsics.cx, intrinsics.cy, lit, dark,
    )  # fmt: skip
    return lit, dark


def auto_exposure(rate: F32) -> tuple[int, float]:
    """(microseconds, gain) that bring the bright part of the picture's middle to `TARGET_DN`, longest time first."""
    height, width = rate.shape
    middle = rate[height // 6 : -height // 6 : 4, width // 4 : -width // 4 : 4]
    bright = max(float(np.percentile(middle, TARGET_PERCENTILE)), 1.0)
    wanted_ms = TARGET_DN / 255 * FULL_WELL_E / bright
    exposure_us = int(np.clip(wanted_ms * 1000, *EXPOSURE_US))
    return exposure_us, round(float(np.clip(wanted_ms * 1000 / exposure_us, *GAIN)), 2)


@cache
def _normal_bank() -> F32:
    return np.random.default_rng(0x0F100D).standard_normal(_BANK, dtype=np.float32)


@cache
def _pixel_response(shape: tuple[int, int]) -> F32:
    """Each pixel's own sensitivity: the same in every frame of this one virtual sensor."""
    return 1 + np.float32(PRNU) * np.random.default_rng(0x5E4502).standard_normal(shape, dtype=np.float32)


@compiled
def _light(
    inverse_depth: F32, normal: F32, albedo: F32, gloss: F32,
    fx: float, fy: float, cx: float, cy: float, lit: F32, dark: F32,
) -> None:  # fmt: skip
    height, width = inverse_depth.shape
    for j in range(height):
        for i in range(width):
            if inverse_depth[j, i] <= 0:
                continue
            z = 1 / inverse_depth[j, i]
            rx, ry = (i - cx) / fx, (j - cy) / fy
            x, y = rx * z, ry * z
            lx, ly, lz = EMITTER_MM[0] - x, EMITTER_MM[1] - y, EMITTER_MM[2] - z
            squared = lx * lx + ly * ly + lz * lz
            distance = np.sqrt(squared)
            incident = (normal[j, i, 0] * lx + normal[j, i, 1] * ly + normal[j, i, 2] * lz) / distance
            axial = 1 / np.sqrt(1 + rx * rx + ry * ry)
            flood = ELECTRONS_PER_W_MS * FLOOD_W * axial * np.sqrt(axial) / squared
            ambient = ELECTRONS_PER_W_MS * FLOOD_W * AMBIENT_FRACTION / 250000.0
            light = albedo[j, i] * ambient
            if incident > 0:
                light += albedo[j, i] * incident * flood
                if gloss[j, i] > 0:
                    reach = np.sqrt(x * x + y * y + z * z)
                    hx, hy, hz = lx / distance - x / reach, ly / distance - y / reach, lz / distance - z / reach
                    half = np.sqrt(hx * hx + hy * hy + hz * hz)
                    facing = max(0.0, (normal[j, i, 0] * hx + normal[j, i, 1] * hy + normal[j, i, 2] * hz) / half)
                    # GGX lobe, F0 0.04 (refractive index 1.5), smoother the glossier
                    alpha = (0.6 - 0.5 * gloss[j, i]) ** 2
                    spread = facing * facing * (alpha * alpha - 1) + 1
                    lobe = alpha * alpha / (np.pi * spread * spread)
                    light += gloss[j, i] * 0.04 * np.pi / 4 * lobe * flood
            lit[j, i] = light * axial * axial * axial * axial
            dark[j, i] = albedo[j, i] * ambient * axial * axial * axial * axial


@compiled
def _read_out(rate: F32, noise: F32, response: F32, exposure_ms: float, gain: float, ir: NDArray[np.uint8]) -> None:
    height, width = rate.shape
    per_electron = np.float32(gain * 255 / FULL_WELL_E)
    for j in range(height):
        for i in range(width):
            electrons = rate[j, i] * exposure_ms * response[j, i]
            electrons += np.sqrt(electrons + np.float32(READ_NOISE_E * READ_NOISE_E)) * noise[j, i]
            ir[j, i] = np.uint8(min(max(electrons * per_electron + np.float32(0.5), 0), 255))
