"""Bring a face to the 112x112 crop SFace was trained on.

The crop is resampled from the raw infrared image, then its contrast is normalised: flood light falls with the square
of the distance and exposure differs between cameras, identity must not depend on either. The darkest 2 % of the crop
goes to 16 and the brightest 2 % to 240, linearly.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

CROP_PX = 112
TEMPLATE = np.array(
    [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float64
)
"""Where SFace's own aligner (OpenCV's FaceRecognizerSF) puts right eye, left eye, nose tip, mouth corners."""
LEAST_SCALE = 0.02
"""Points that fall together have no scale: the matrix stays invertible and the crop is of nothing."""
DARK, BRIGHT, TAIL_PERCENT = 16.0, 240.0, 2.0


def similarity(points_px: NDArray[np.float32], template: NDArray[np.float64] = TEMPLATE) -> NDArray[np.float64]:
    """Return the (2, 3) rotation, scale and shift that brings (5, 2) points nearest to `template` (Umeyama 1991)."""
    source = points_px.astype(np.float64)
    source_mean, target_mean = source.mean(0), template.mean(0)
    a, b = source - source_mean, template - target_mean
    u, s, vt = np.linalg.svd(b.T @ a / len(a))
    sign = np.array([1.0, math.copysign(1.0, float(np.linalg.det(u @ vt)))])
    rotation = u @ np.diag(sign) @ vt
    scale = max(float((s * sign).sum()) / max(float(a.var(0).sum()), 1e-9), LEAST_SCALE)
    return np.hstack([scale * rotation, (target_mean - scale * rotation @ source_mean)[:, None]])


def align(ir: NDArray[np.uint8] | NDArray[np.uint16], points_px: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the (112, 112) float32 crop, 0..255, of a face with (5, 2) `points_px` in (H, W) `ir`.

    A large face is sampled on a finer grid and averaged down, so that it does not alias.
    """
    matrix = similarity(points_px)
    fine = min(8, max(1, math.ceil(1 / float(np.hypot(*matrix[:, 0])))))
    matrix = matrix * fine
    matrix[:, 2] += (fine - 1) / 2  # pixel centres stand at integers in both grids
    size = CROP_PX * fine
    warped = cv2.warpAffine(ir, matrix, (size, size), flags=cv2.INTER_LINEAR)
    crop = cv2.resize(warped, (CROP_PX, CROP_PX), interpolation=cv2.INTER_AREA).astype(np.float32)
    return _normalise(crop)


def _normalise(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    low, high = np.percentile(crop, (TAIL_PERCENT, 100 - TAIL_PERCENT))
    stretched = (crop - low) * ((BRIGHT - DARK) / max(float(high - low), 1.0)) + DARK
    normalised: NDArray[np.float32] = np.clip(stretched, 0, 255).astype(np.float32)
    return normalised
