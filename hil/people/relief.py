"""How far a head reaches in every direction from its middle: what hats and masks are fitted over."""

from dataclasses import dataclass

import cv2
import numpy as np

from hil.people.head import Head
from hil.sensor.rasteriser import fill
from hil.sensor.surface import F32, I32

MIDDLE_MM = np.array([0, 5, 95], np.float32)  # about where skull and neck meet, from between the eyes
PER_DEGREE = 2


@dataclass(frozen=True, eq=False)
class Relief:
    """The reach in every direction.

    Attributes:
        radius_mm: (360, 720) float32, rows from straight up to straight down, columns from behind over the person's
            right, the face in the middle, to behind.
    """

    radius_mm: F32

    def widened(self, reach_deg: float) -> "Relief":
        """Stretched over hollows, and rounded over what sticks out, as cloth is; never inside the head."""
        size = round(reach_deg * PER_DEGREE) | 1
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size))
        closed = cv2.morphologyEx(self.radius_mm, cv2.MORPH_CLOSE, kernel)
        rounded = cv2.dilate(closed, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size // 5 | 1, size // 5 | 1)))
        smooth = cv2.GaussianBlur(rounded, (0, 0), size / 10)
        return Relief(np.maximum(smooth, self.radius_mm).astype(np.float32))

    def points(self, azimuth_deg: F32, elevation_deg: F32, off_mm: float | F32 = 0.0) -> F32:
        """(..., 3) float32 mm: the points `off_mm` outside the head in these directions.

        Azimuth is positive to the person's left (the image's right), elevation positive downwards.
        """
        column = ((azimuth_deg + 180) * PER_DEGREE).astype(np.float32)
        row = np.clip((elevation_deg + 90) * PER_DEGREE, 0, self.radius_mm.shape[0] - 1).astype(np.float32)
        radius = cv2.remap(self.radius_mm, column, row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) + off_mm
        azimuth, elevation = np.radians(azimuth_deg), np.radians(elevation_deg)
        level = np.cos(elevation)
        direction = np.stack([np.sin(azimuth) * level, np.sin(elevation), -np.cos(azimuth) * level], axis=-1)
        return np.asarray(MIDDLE_MM + radius[..., None] * direction, np.float32)


def relief(head: Head) -> Relief:
    """Of a head at rest."""
    off = head.vertices_mm - MIDDLE_MM
    azimuth = np.degrees(np.arctan2(off[:, 0], -off[:, 2]))
    elevation = np.degrees(np.arctan2(off[:, 1], np.hypot(off[:, 0], off[:, 2])))
    image = np.stack([(azimuth + 180) * PER_DEGREE, (elevation + 90) * PER_DEGREE, np.linalg.norm(off, axis=1)], axis=1)
    shape = (180 * PER_DEGREE, 360 * PER_DEGREE)
    radius = np.zeros(shape, np.float32)
    # a triangle across the seam behind would cover the face
    whole = np.ptp(azimuth[head.faces], axis=1) < 180
    owner, triangle = np.full(shape, -1, np.int32), np.empty(shape, np.int32)
    fill(image.astype(np.float32), np.ascontiguousarray(head.faces[whole]), 0, radius, owner, triangle)
    return Relief(_filled(radius))


def _filled(radius: F32) -> F32:
    """Holes (the seam, the pole) take their neighbours' value."""
    for _ in range(8):
        empty = radius == 0
        if not empty.any():
            break
        radius = np.where(empty, cv2.dilate(radius, np.ones((9, 9), np.uint8)), radius).astype(np.float32)
    return radius


def grid_faces(rows: int, columns: int) -> I32:
    """Triangles of a grid of vertices, row by row, seen from outside as `Surface` winds them."""
    corner = np.arange((rows - 1) * columns).reshape(rows - 1, columns)[:, :-1].ravel()
    first = np.stack([corner, corner + columns, corner + 1], axis=1)
    second = np.stack([corner + 1, corner + columns, corner + columns + 1], axis=1)
    return np.concatenate([first, second]).astype(np.int32)
