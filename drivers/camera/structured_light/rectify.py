"""Raw images to the grid on which dots move along rows: one table per module, one look-up per exposure."""

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.camera.interface import Intrinsics
from drivers.camera.structured_light.module_file import Lens


class Rectifier:
    """Takes lens distortion and the module's rotation away."""

    def __init__(self, lens: Lens, turn: NDArray[np.float64], rectified: Intrinsics) -> None:
        """Work the table out. `turn` (3, 3) carries raw rays to rectified ones."""
        wanted = np.array([[rectified.fx, 0, rectified.cx], [0, rectified.fy, rectified.cy], [0, 0, 1]])
        size = (rectified.width, rectified.height)
        # whole pixels and 1/32 fractions: twice as fast as float maps
        self._table = cv2.initUndistortRectifyMap(
            lens.matrix, np.array(lens.distortion), turn, wanted, size, cv2.CV_16SC2
        )

    def __call__(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """(H, W) uint8 of the raw `image`; black where the sensor saw nothing."""
        return np.asarray(cv2.remap(image, *self._table, interpolation=cv2.INTER_LINEAR), np.uint8)
