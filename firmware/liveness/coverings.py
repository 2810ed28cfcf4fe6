"""What covers the face, by name: so that who wears a mask or sunglasses is told to take them off, not that they attack.

Naming lets nobody in: whatever is named refuses, and what is not named meets every gate as before. An attacker whose
artefact looks covered is only told so.
"""

import math
from typing import Literal

import numpy as np

from drivers.camera import FrameSet
from firmware.liveness.cues.ground import Ground, ground
from firmware.liveness.patch import Patch
from firmware.vision.face import Face

Covering = Literal["", "mask_worn", "sunglasses_worn"]
LENS_MM = (18.0, 12.0)
"""Half width and height of what a lens hides of an eye and around it."""
LEAST_CELLS = 20


def covering(frames: FrameSet, face: Face, seen: Patch | None) -> Covering:
    """A code of `core.reasons`, empty where nothing is named."""
    if seen is None:
        return ""
    on = ground(frames, face, seen)
    return "sunglasses_worn" if lenses(on) < LENS_DARK else ""


LENS_DARK = -1.0


def lenses(on: Ground) -> float:
    """Log of how much darker the eyes' surroundings are than the cheeks, of the lighter eye; NaN where unknown."""
    light = on.light
    known = np.isfinite(light)
    cheeks = []
    for eye, corner in zip(on.eyes_px, on.mouth_px, strict=True):
        across, down = on.about(eye + 0.7 * (corner - eye))
        cheeks.append(light[known & (np.hypot(across, down) < 8)])
    cheek = np.concatenate(cheeks)
    sockets = []
    for eye in on.eyes_px:
        across, down = on.about(eye)
        here = light[known & ((across / LENS_MM[0]) ** 2 + (down / LENS_MM[1]) ** 2 < 1)]
        sockets.append(float(np.median(here)) if len(here) >= LEAST_CELLS else math.nan)
    return math.nan if len(cheek) < LEAST_CELLS else float(np.max(sockets) - np.median(cheek))
