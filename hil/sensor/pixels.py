"""The image sensor: electrons in, numbers out.

    DN = clip(round((Poisson(Ne (1 + PRNU)) + N(0, read) + DSNU) * gain))

Shot and read noise are one normal draw of the right variance, taken from a bank drawn once at a random place: a Poisson
draw per pixel would cost forty times as much and look the same above some ten electrons. The fixed pattern is one
sensor's own: the same in all its exposures.
"""

from dataclasses import dataclass
from functools import cache, lru_cache

import numpy as np
from numpy.typing import NDArray

from hil.sensor.jit import compiled
from hil.sensor.presets import Preset
from hil.sensor.surface import F32

_BANK = 1 << 21


@dataclass(frozen=True, eq=False)
class FixedPattern:
    """`response` (H, W) float32 relative sensitivity; `offset_e` (H, W) float32 electrons, a full well where hot."""

    response: F32
    offset_e: F32


def read_out(electrons: F32, preset: Preset, gain: float, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(H, W) uint8 that a sensor holding `electrons` (H, W) float32 gives."""
    pixel, pattern = preset.pixel, fixed_pattern(preset)
    image = np.empty(electrons.shape, np.uint8)
    start = int(rng.integers(0, _BANK - electrons.size))
    noise = _normal_bank()[start : start + electrons.size].reshape(electrons.shape)
    levels = 2**pixel.bits - 1
    _read_out(
        electrons, noise, pattern.response, pattern.offset_e, pixel.read_noise_e**2,
        pixel.full_well_e, gain * levels / pixel.full_well_e, levels, 255 / levels, image,
    )  # fmt: skip
    return image


@lru_cache(maxsize=8)
def fixed_pattern(preset: Preset) -> FixedPattern:
    """The pattern of this preset's one sensor."""
    shape, pixel = (preset.intrinsics.height, preset.intrinsics.width), preset.pixel
    rng = np.random.default_rng([0xF17ED, *preset.name.encode()])
    response = 1 + np.float32(pixel.prnu) * rng.standard_normal(shape, dtype=np.float32)
    offset = np.float32(pixel.dsnu_e) * rng.standard_normal(shape, dtype=np.float32)
    offset[rng.random(shape, dtype=np.float32) < pixel.hot] = pixel.full_well_e
    return FixedPattern(response, offset)


@cache
def _normal_bank() -> F32:
    return np.random.default_rng(0x0CEA5).standard_normal(_BANK, dtype=np.float32)


@compiled
def _read_out(
    electrons: F32, noise: F32, response: F32, offset: F32, read_squared: float, full_well: float, scale: float,
    levels: float, to_byte: float, image: NDArray[np.uint8],
) -> None:  # fmt: skip
    height, width = electrons.shape
    for j in range(height):
        for i in range(width):
            held = electrons[j, i] * response[j, i]
            held += np.sqrt(held + read_squared) * noise[j, i] + offset[j, i]
            number = np.floor(min(held, full_well) * scale + np.float32(0.5))
            image[j, i] = np.uint8(min(max(number, np.float32(0)), levels) * to_byte)
