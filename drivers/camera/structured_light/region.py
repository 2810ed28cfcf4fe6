"""Where depth is worth its time: what the flood lights brightly is what stands near.

The flood's light falls with the square of the distance, so bright pieces of any size are near. The box about them, a
little wider, is decoded. Beyond `LARGEST` pixels the box is cut at its sides and from below: a
terminal's customer stands upright before it.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.structured_light.decoder import Roi
from drivers.camera.structured_light.drift import LIT
from drivers.camera.structured_light.sorter import BRIGHTER, SMALL

WORTH = 0.1  # of the largest bright piece: a face above shoulders is one, a reflection is none
MARGIN = 3  # small pixels around: ears and hair are darker than a face
LARGEST = 240_000  # pixels: a face and its margins at 0.30 m in 1280 x 800; some 70 ms of one core


def lit_region(flood: NDArray[np.float32], dark: NDArray[np.float32]) -> Roi:
    """Box (left, top, right, bottom; ends excluded) in full pixels; empty where nothing is lit.

    Args:
        flood: (H/8, W/8) float32 small flood exposure.
        dark: as `flood`, the dark one.
    """
    more = flood - dark
    lit = more > max(BRIGHTER, LIT * float(np.percentile(more, 98)))
    _, _, pieces, _ = cv2.connectedComponentsWithStats(lit.astype(np.uint8))
    if len(pieces) < 2:
        return 0, 0, 0, 0
    areas = pieces[1:, cv2.CC_STAT_AREA]
    boxes = pieces[1:][areas >= WORTH * areas.max()].astype(int)
    left, top = (max(int(boxes[:, k].min()) - MARGIN, 0) * SMALL for k in (0, 1))
    right, bottom = (
        min(int((boxes[:, k] + boxes[:, k + 2]).max()) + MARGIN, flood.shape[1 - k]) * SMALL for k in (0, 1)
    )
    if (right - left) * (bottom - top) > LARGEST:
        side = int(LARGEST**0.5)
        cut = max(0, right - left - side) // 2
        left, right = left + cut, right - cut
        bottom = min(bottom, top + LARGEST // (right - left))
    return left, top, right, bottom
