"""The mesh network: 468 points of a face, from an upright crop around its five points.

The crop is what MediaPipe's own pipeline makes of a face: upright, the points' bounding box two thirds of its side.
Brightness is stretched within it, since infrared falls with the square of the distance.
"""

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drivers.npu.interface import Network
from firmware.vision.align import similarity

MESH_PX = 192
POINTS = 468
TEMPLATE = np.array([[73.2, 73.0], [118.8, 73.0], [96.0, 100.0], [78.2, 123.0], [113.8, 123.0]], np.float64)
"""Right eye, left eye, nose tip, mouth corners in the crop: MediaPipe's canonical face model, 128 px high."""
PRESENCE = 0.5
"""Least presence: as MediaPipe's own sample."""
DARK, BRIGHT = 1.0, 99.0
"""Percentiles of the crop that become 0 and 1."""
SAMPLES = 32
"""Each way, that these are taken over."""
DARKEST = 8.0
"""Of 255: a crop with less between these two is not stretched further: it shows nothing."""


@dataclass(frozen=True, slots=True, eq=False)
class Mesh:
    """A face's points.

    Attributes:
        points_px: (468, 3) float32, columns and rows in the frame, and depth relative to the face in the same pixels,
            smaller is nearer; MediaPipe's order.
        presence: 0..1, larger is more a face.
    """

    points_px: NDArray[np.float32]
    presence: float

    @property
    def present(self) -> bool:
        """Whether there is a face for the points to be of."""
        return self.presence >= PRESENCE


def find_mesh(network: Network, ir: NDArray[np.uint8] | NDArray[np.uint16], points_px: NDArray[np.float32]) -> Mesh:
    """Ask the network about the face with (5, 2) `points_px` in (H, W) `ir`. Raises NetworkError."""
    matrix = similarity(points_px, TEMPLATE)
    crop = upright(ir, matrix, MESH_PX)
    outputs = network.run(three_channels(crop))
    points = outputs[0].reshape(POINTS, 3)
    inverse = np.linalg.inv(matrix[:, :2])
    columns_rows = (points[:, :2] - matrix[:, 2]) @ inverse.T
    depth = points[:, 2:] * math.sqrt(abs(np.linalg.det(inverse)))
    logit = float(outputs[1].reshape(-1)[0])
    presence = 1 / (1 + math.exp(-min(max(logit, -50.0), 50.0))) if np.isfinite(points).all() else 0.0
    return Mesh(np.hstack([columns_rows, depth]).astype(np.float32), presence)


def upright(
    ir: NDArray[np.uint8] | NDArray[np.uint16], matrix: NDArray[np.float64], side_px: int
) -> NDArray[np.float32]:
    """Return the (side, side) float32 crop, 0..1, that (2, 3) `matrix` takes (H, W) `ir` to."""
    crop: NDArray[Any] = cv2.warpAffine(ir, matrix, (side_px, side_px), flags=cv2.INTER_LINEAR).astype(np.float32)
    thinned = np.sort(crop[:: side_px // SAMPLES, :: side_px // SAMPLES], axis=None)
    low, high = (float(thinned[round(at / 100 * (thinned.size - 1))]) for at in (DARK, BRIGHT))
    least = DARKEST * np.iinfo(ir.dtype).max / 255
    stretched: NDArray[np.float32] = np.clip((crop - low) / max(high - low, least), 0, 1).astype(np.float32)
    return stretched


def three_channels(crop: NDArray[np.float32]) -> NDArray[np.float32]:
    """(1, 3, H, W) of a grey (H, W) crop."""
    return np.ascontiguousarray(np.broadcast_to(crop, (1, 3, *crop.shape)))
