"""How large one dot is in a picture of dots: what skin adds to it is told against this.

The logarithm of a Gaussian is a parabola, wherever between two pixels its top is: three pixels across a dot's top tell
its sigma, ln a - 2 ln b + ln c = -1 / sigma^2. The light between the dots is taken off first. The median over all dots
counts, so that what two of them make together does not.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

APART = 5  # pixels: the brightest of so many each way is a dot's top
AROUND = 7  # pixels: within so many there is one between dots
MARGIN = 8  # pixels from the border
FULL = 0.98  # of full scale
LEAST_DOTS = 200
RANGE_PX = (0.3, 5.0)  # narrower is one hot pixel, wider no dot


def dot_sigma_px(image: NDArray[np.uint8] | NDArray[np.uint16]) -> float | None:
    """Gaussian sigma of a dot in `image` (H, W), pixels; None where there are no dots to tell it by."""
    between = cv2.erode(image, np.ones((AROUND, AROUND), np.uint8))
    light = cv2.subtract(image, between).astype(np.float32)
    tops = (
        (image >= cv2.dilate(image, np.ones((APART, APART), np.uint8)))
        & (image < FULL * np.iinfo(image.dtype).max)
        & (light > 0)
    )
    tops[:MARGIN], tops[-MARGIN:], tops[:, :MARGIN], tops[:, -MARGIN:] = False, False, False, False
    if tops.sum() < 2 * LEAST_DOTS:
        return None
    # the brighter half: the rest are faint dots, and noise
    row, column = np.nonzero(tops & (light > np.median(light[tops])))
    levels = np.log(np.maximum(light, 0.5))
    across, down = (
        2 * levels[row, column] - levels[row - dy, column - dx] - levels[row + dy, column + dx]
        for dx, dy in ((1, 0), (0, 1))
    )
    sharpness = float(np.median(np.concatenate([across, down]))) if len(row) >= LEAST_DOTS else 0.0
    sigma = sharpness**-0.5 if sharpness > 0 else 0.0
    return sigma if RANGE_PX[0] <= sigma <= RANGE_PX[1] else None
