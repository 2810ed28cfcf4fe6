"""What looking at one FrameSet gives: one face, or the reason why there is none to use."""

from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray


class Reason(str, Enum):
    """Why there is no face to use. The values are codes that appear in events and declines."""

    NO_FACE = "no_face"
    TWO_FACES = "two_faces"
    TOO_NEAR = "too_near"
    TOO_FAR = "too_far"
    NOT_FRONTAL = "not_frontal"
    NO_DEPTH = "no_depth"
    FACE_CUT_OFF = "face_cut_off"
    SUNGLASSES_WORN = "sunglasses_worn"


@dataclass(frozen=True, slots=True)
class NoFace:
    """No face to use, and why."""

    reason: Reason


@dataclass(frozen=True, slots=True, eq=False)
class Face:
    """The one face inside the capture volume, roughly frontal.

    Camera coordinates: x right, y down, z away from the camera, millimetres. Point order: the customer's right eye
    (left in the image), left eye, nose tip, right and left mouth corner.

    Attributes:
        box: x, y, width, height in pixels of `FrameSet.ir`.
        points_px: (5, 2) float32, pixels, centres at integers.
        score: detector's, 0..1, larger is more face-like.
        distance_mm: median depth of the middle of the face.
        points_mm: (5, 3) float32, surface points under `points_px`.
        yaw_deg: positive when the face turns towards the right of the image (the customer's left).
        pitch_deg: positive when the face looks up; 0 for a level head.
        roll_deg: positive when the head leans clockwise in the image.
        ipd_mm: distance between the eyes' surface points.
    """

    box: tuple[float, float, float, float]
    points_px: NDArray[np.float32]
    score: float
    distance_mm: float
    points_mm: NDArray[np.float32]
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    ipd_mm: float

    def __post_init__(self) -> None:
        """Make the arrays read-only."""
        self.points_px.flags.writeable = False
        self.points_mm.flags.writeable = False
