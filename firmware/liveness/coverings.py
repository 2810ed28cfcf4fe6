"""What covers the face, by name: so that who wears a mask or sunglasses is told to take them off, not that they attack.

- sunglasses: both eyes lie behind something dark (`firmware.vision.lenses`);
- mask: mouth and nose have no grain. Lips, nostrils, folds and stubble differ in brightness from one millimetre to the
  next; cloth does not. They must have less than the eyes, too: a picture without any says nothing.

Rules kept here:
- Naming lets nobody in: what is named refuses, and what is not named meets every gate as before.
- An attacker whose artefact is taken for a covering is refused as well, and only told so.
- Clear glasses, beards, caps and hair are no coverings; nor is a sheet of paper, which has lips and eyes alike.
"""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from drivers.camera import FrameSet
from firmware.liveness.cues.ground import Ground, ground
from firmware.liveness.limits import Limits
from firmware.liveness.patch import Patch
from firmware.vision.face import Face
from firmware.vision.lenses import dark_lenses

Covering = Literal["", "mask_worn", "sunglasses_worn"]

GRAIN_MM = (1.5, 6.0)
"""Sigmas between which brightness differs: finer is noise, coarser is shading."""
HALF_WIDE_MM, BELOW_MM, UP_TO_NOSE = 25.0, 10.0, 0.6
"""Of mouth and nose: to each side, below the mouth, and upwards of the way from mouth to eyes."""
EYES_MM = (45.0, 10.0)
"""Half width and height of the strip over both eyes."""
LEAST_CELLS = 20


@dataclass(frozen=True, slots=True)
class Grain:
    """Standard deviation of fine differences in log reflectance; NaN where too little is known.

    Attributes:
        mouth: of mouth and nose.
        eyes: of the strip over both eyes.
    """

    mouth: float
    eyes: float


def covering(frames: FrameSet, face: Face, seen: Patch | None, limits: Limits) -> Covering:
    """A code of `core.reasons`, empty where nothing is named. `seen`: of the same frame and face."""
    if dark_lenses(frames, face.points_px):
        return "sunglasses_worn"
    if seen is None:
        return ""
    grain = grain_of(ground(frames, face, seen))
    masked = grain.mouth < min(limits.mask_grain_max, limits.mask_grain_of_eyes_max * grain.eyes)
    return "mask_worn" if masked else ""


def grain_of(on: Ground) -> Grain:
    """Measure both parts of one face."""
    reflectance = on.reflectance
    known = np.isfinite(reflectance) & on.patch.inside
    fine = on.between(reflectance, known, *GRAIN_MM)
    mouth, eyes = on.mouth_px.mean(axis=0), on.eyes_px.mean(axis=0)
    apart_mm = float(np.hypot(*(mouth - eyes))) * on.cell_mm / on.patch.step
    across, down = on.about(mouth)
    over_mouth = known & (np.abs(across) < HALF_WIDE_MM) & (down < BELOW_MM) & (down > -UP_TO_NOSE * apart_mm)
    across, down = on.about(eyes)
    over_eyes = known & (np.abs(across) < EYES_MM[0]) & (np.abs(down) < EYES_MM[1])
    spread = (float(np.std(fine[part])) if part.sum() >= LEAST_CELLS else math.nan for part in (over_mouth, over_eyes))
    return Grain(*spread)
