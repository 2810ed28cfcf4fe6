"""Blur and distortion of the lens, and the rectification that takes the distortion away again.

The optics of this package are computed on the rectified grid. `Glass.bend` carries an image to where a distorting lens
would put it, the sensor adds its noise there, and `Glass.rectify` brings it back as a calibrated camera does: bilinear,
so that noise comes out slightly smoothed, and off by the preset's misalignment.
"""

from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from hil.sensor.presets import Preset
from hil.sensor.surface import F32


class Glass:
    """The lens of one preset."""

    def __init__(self, preset: Preset, turned: NDArray[np.float64] | None = None) -> None:
        """Work out the two maps, once. `turned` (3, 3) carries the sensor's axes to the rectified ones; None is not."""
        lens, camera = preset.lens, preset.intrinsics
        turn = np.eye(3) if turned is None else turned
        self._sigma_px = lens.psf_px
        self._straight = not any(lens.distortion) and not any(lens.misaligned_px) and turned is None
        if self._straight:
            return
        matrix = np.array([[camera.fx, 0, camera.cx], [0, camera.fy, camera.cy], [0, 0, 1]])
        coefficients = np.array(lens.distortion)
        grid = np.stack(np.meshgrid(np.arange(camera.width), np.arange(camera.height)), axis=-1).astype(np.float32)
        ideal = cv2.undistortPoints(grid.reshape(-1, 1, 2), matrix, coefficients, R=turn, P=matrix).reshape(grid.shape)
        self._bend = np.ascontiguousarray(ideal[..., 0]), np.ascontiguousarray(ideal[..., 1])
        column, row = cv2.initUndistortRectifyMap(
            matrix, coefficients, turn, matrix, (camera.width, camera.height), cv2.CV_32FC1
        )
        shift = lens.misaligned_px
        self._rectify = column + np.float32(shift[0]), row + np.float32(shift[1])

    def blurred(self, image: F32) -> F32:
        """`image` (H, W) float32 as sharp as the lens makes it."""
        return np.asarray(cv2.GaussianBlur(image, (5, 5), self._sigma_px), np.float32)

    def bend(self, image: F32, rows_off: float = 0.0) -> F32:
        """`image` (H, W) float32 where the distorting lens puts it, `rows_off` lower where the module was knocked."""
        if self._straight and not rows_off:
            return image
        column, row = self._grid(image) if self._straight else self._bend
        bent = cv2.remap(
            image, column, row - np.float32(rows_off), interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
        return np.asarray(bent, np.float32)

    @staticmethod
    def _grid(image: F32) -> tuple[F32, F32]:
        row, column = np.indices(image.shape).astype(np.float32)
        return np.asarray(column, np.float32), np.asarray(row, np.float32)

    def rectify(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """`image` (H, W) of the sensor, brought back to the pinhole grid."""
        if self._straight:
            return image
        straight = cv2.remap(image, *self._rectify, interpolation=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return np.asarray(straight, np.uint8)


@lru_cache(maxsize=8)
def glass(preset: Preset) -> Glass:
    """The lens of `preset`, made once."""
    return Glass(preset)
