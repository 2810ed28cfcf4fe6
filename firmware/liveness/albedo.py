"""Two gates on how the face returns the flood's light: whether it can be judged, and whether it is as bright as skin.

    reflectance = lit / (response x level x expected)

`expected` knows distance, slope and the lens (`patch`); `response` is the camera's, measured when it is made; `level`
is what the terminal commanded. White paint, white mannequins and bare paper (0.8) are brighter than skin, a screen
is nearly black (0.04). Toner on paper is as bright as skin: depth is what stops that.

Rules kept here:
- Without a dark exposure, the response or the terminal's own level there is no reflectance, and the gate refuses.
- The middle of many pixels is taken: brows, glasses, a highlight or a beard do not decide.
"""

import math

import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.liveness.evidence import Gate, within
from firmware.liveness.limits import Limits
from firmware.liveness.patch import FULL, Patch

FULL_WELL_E = 6000.0
"""Of the weakest sensor of the class (OV9282: 6-10 ke-): what shot noise is reckoned with."""
READ_NOISE = 1.5 / 255
"""Read noise, offsets and rounding of one exposure, of full scale."""
SIGMAS = 3.0
"""How far over its noise a pixel's own light must be to count."""
STEEPEST = 0.5
"""Least cosine of incidence: beyond 60 degrees slope decides more than reflectance."""
LEAST_PIXELS = 50


def exposure_gate(patch: Patch | None, limits: Limits) -> Gate:
    """Share of the face that is neither full nor without light of the flood's own."""
    share = math.nan
    if patch is not None and patch.ambient is not None and patch.inside.any():
        share = float(_usable(patch)[patch.inside].mean())
    return within("exposure", share, limits.exposure_min, math.inf, "of the face", "exposure")


def albedo_gate(patch: Patch | None, frames: FrameSet, level: float | None, limits: Limits) -> Gate:
    """Reflectance of the face, the median over what is well lit and not steep.

    Args:
        patch: of this frame; None where there is none.
        frames: whose camera knows its response.
        level: of the flood, 0..1, as the terminal drew it; None where it drew none for this frame.
        limits: the band of skin.
    """
    response, value = frames.camera.flood_response, math.nan
    if patch is not None and level is not None and response is not None and level > 0 and response > 0:
        value = reflectance(patch, response * level)
    return within("albedo", value, limits.albedo_min, limits.albedo_max, "of the light", "not_skin")


def reflectance(patch: Patch, light: float) -> float:
    """Median reflectance under a flood of `light` (response x level); NaN where too little of the face can say."""
    if patch.ambient is None:
        return math.nan
    # what is dark must count too, or a screen's few highlights would speak for it: only the full are left out
    kept = patch.inside & np.isfinite(patch.lit * patch.expected) & (patch.incidence > STEEPEST)
    if int(kept.sum()) < LEAST_PIXELS:
        return math.nan
    return float(np.median(patch.lit[kept] / (np.float32(light) * patch.expected[kept])))


def _usable(patch: Patch) -> NDArray[np.bool_]:
    """(h, w) bool: below full, and the flood's share well over the noise of both exposures."""
    assert patch.ambient is not None
    own = patch.ir - patch.ambient
    noise = np.sqrt((patch.ir + patch.ambient) / np.float32(FULL_WELL_E) + np.float32(2 * READ_NOISE**2))
    usable: NDArray[np.bool_] = (patch.ir < FULL) & (own > np.float32(SIGMAS) * noise)
    return usable
