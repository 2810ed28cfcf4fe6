"""A head: a surface with the five points a face detector looks for."""

from dataclasses import dataclass

import numpy as np

from hil.sensor.surface import F32, Surface

# The joint between skull and neck, from the point between the eyes: about 50 mm down, 95 mm back.
NECK_PIVOT_MM = np.array([0, 50, 95], np.float32)


class PeopleError(Exception):
    """A person cannot be made: the data it is made from is missing or not as expected."""


@dataclass(frozen=True, eq=False)
class Head(Surface):
    """A `Surface` whose origin is the point between the eyes, looking straight at the camera.

    Attributes:
        landmarks: (5, 3) float32 mm in YuNet's order: right eye, left eye, nose tip, right and left mouth corner
            (the person's own right, which is the left of the image).
    """

    landmarks: F32
