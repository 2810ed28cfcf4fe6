"""Cue `dot_halo`: how much of the dots' light comes back from around them instead of from where they fell.

    sharp = light of the dots' cores / all light of the dots          1 on paper and paint
    value = (1 - sharp) / (1 - sharp of reference skin at this distance, seen by this sensor)

so 0 is a surface that does not scatter, 1 is skin without sheen. Light enters skin and leaves it millimetres away;
under opaque paint it does not. A core is what a dot's 3 x 3 pixels hold above the valley around them, against what they
would hold of a dot of the sensor's own width (`CameraInfo.dot_sigma_px`). In pixels a halo shrinks with distance: the
reference shrinks with it.

Left out: dots that are full, and with them their surroundings; steep and near-specular ones, whose surface light says
nothing of what is below. Other light is taken away as the dark exposure shows it; how much of it the dot exposure
gathered is not in the FrameSet and is fitted (`ambient_share`).

Sources: radii of light leaving skin at 940 nm, Monte Carlo transport over published coefficients (docs/sensor.md).
Patents exist on telling skin by reflected dots (docs/cues.md): a policy can leave this cue out.
"""

import math
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera import FrameSet
from firmware.liveness.cues.ground import F32, Ground
from firmware.liveness.patch import FULL

SKIN = ((0.121, 0.42), (0.186, 0.945), (0.518, 2.10), (0.175, 8.40))
"""Weights and sigmas in mm of reference skin's spread: a quarter, half and three quarters within 1.0, 2.1, 3.9 mm."""
FACING = (0.5, 0.94)  # cosine of incidence: neither steep nor near-specular
RING_PX = 3.2  # the valley about a dot
WINDOW = np.ones((7, 7), np.uint8)
SPOILT = np.ones((11, 11), np.uint8)  # about a full pixel
APART = np.ones((5, 5), np.uint8)  # two dots are never nearer
LEAST_DOTS = 60
LEAST_HEIGHT = 0.012  # of full scale, of a core over its valley
CELL_PX = 12  # of the fit of other light
LEAST_OTHER = 0.008  # of full scale, for other light to be told
DOUBT = 2.0  # standard errors
MOST = 2.0  # dots are brighter than a flood, so their exposure is hardly ever longer
RANGE = (-2.0, 2.0)


def dot_halo(frames: FrameSet, ground: Ground) -> float:
    """The halo below the eyes, 0 on paper, about 1 on skin, within `RANGE`.

    NaN without a dot or dark exposure, without `dot_sigma_px`, or with too few dots.
    """
    own_px, patch = frames.camera.dot_sigma_px, ground.patch
    if frames.dots is None or frames.ambient is None or own_px is None or not 0.3 < own_px < 3:
        return math.nan
    first = int(np.clip((ground.eyes_px[:, 1].min() - patch.v[0, 0]) / patch.step, 0, len(patch.v) - 2))
    box = (
        slice(int(patch.v[first, 0]), int(patch.v[-1, 0]) + 1),
        slice(int(patch.u[0, 0]), int(patch.u[0, -1]) + 1),
    )
    raw, dark, lit = (_of_full(image[box]) for image in (frames.dots, frames.ambient, frames.ir))
    blurred = cv2.blur(raw, (3, 3))
    floor = np.asarray(cv2.erode(blurred, WINDOW), np.float32)
    share = np.float32(ambient_share(raw, dark, lit - dark, floor))
    height = blurred - cv2.blur(floor, (5, 5))
    facing = np.where(patch.inside, np.nan_to_num(patch.incidence, nan=0.0), 0).astype(np.float32)[first:]
    facing = np.asarray(cv2.resize(facing, (raw.shape[1], raw.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)
    full = cv2.dilate((raw > FULL).astype(np.uint8), SPOILT) > 0
    judged = (facing > FACING[0]) & (facing < FACING[1]) & ~full
    tops = judged & (blurred >= cv2.dilate(blurred, APART)) & (height > LEAST_HEIGHT)
    light = float((raw - share * dark)[judged].sum())
    if int(np.count_nonzero(tops)) < LEAST_DOTS or light <= 0:
        return math.nan
    sharp = float(height[tops].sum()) / core(own_px) / light
    per_mm = patch.step / ground.cell_mm
    skin = sum(weight * core(math.hypot(own_px, sigma * per_mm)) for weight, sigma in SKIN) / core(own_px)
    return float(np.clip((1 - sharp) / (1 - skin), *RANGE))


def _of_full(image: NDArray[np.uint8] | NDArray[np.uint16]) -> F32:
    return image.astype(np.float32) * np.float32(1 / np.iinfo(image.dtype).max)


@lru_cache(maxsize=256)
def _core(hundredths: int) -> float:
    sigma = hundredths / 100
    off = np.linspace(-0.5, 0.5, 9)
    ends = [[math.erf((1.5 + side * place) / (sigma * math.sqrt(2))) for place in off] for side in (1, -1)]
    share = float(np.mean(np.sum(ends, axis=0) / 2)) ** 2
    return share / 9 - math.exp(-(RING_PX**2) / (2 * sigma**2)) / (2 * math.pi * sigma**2)


def core(sigma_px: float) -> float:
    """Mean of the 3 x 3 pixels of a dot of unit light and this width over the valley around it, wherever it falls."""
    return _core(round(100 * sigma_px))


def ambient_share(dots: F32, dark: F32, flood: F32, floor: F32) -> float:
    """How much of `dark` (h, w) lies in `dots`: least squares over cells of `dots` = a x `dark` + b x `flood`.

    Dots and flood come from beside the lens, other light from elsewhere. Where both look alike, a is uncertain, and
    doubt counts against life: two standard errors more are taken, but no more than leaves the `floor` between dots.
    """
    size = dots.shape[1] // CELL_PX, dots.shape[0] // CELL_PX
    if min(size) < 3:
        return 0.0
    box = slice(0, size[1] * CELL_PX), slice(0, size[0] * CELL_PX)
    dimmest = np.asarray(cv2.erode(cv2.blur(dark, (3, 3)), WINDOW), np.float32)
    target, other, own, least, least_other = (
        np.asarray(cv2.resize(image[box], size, interpolation=cv2.INTER_AREA), np.float32).ravel()
        for image in (dots, dark, flood, floor, dimmest)
    )
    design = np.stack([other, np.maximum(own, 0)], axis=1)
    weight = 1 / (target + LEAST_HEIGHT)
    fitted, error = np.zeros(2), 0.0
    for _ in range(3):
        weighted = design * weight[:, None]
        inverse = np.linalg.pinv(weighted.T @ weighted)
        fitted = inverse @ (weighted.T @ (target * weight))
        left = (target - design @ fitted) * weight
        error = math.sqrt(float(inverse[0, 0] * np.mean(left**2)))
        away = (target - design @ fitted) / (target + LEAST_HEIGHT)
        weight = 1 / (target + LEAST_HEIGHT) / (1 + np.square(away / (2 * np.median(np.abs(away)) + 1e-6)))
    seen = least_other > LEAST_OTHER
    most = float(np.percentile(least[seen] / least_other[seen], 5)) if seen.any() else MOST
    return float(np.clip(fitted[0] + DOUBT * error, 0, np.clip(most, 0, MOST)))
