"""An open eye reads as open, a shut one does not, gaze follows the iris; and what cannot be read is not a number."""

import math
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from firmware.liveness.limits import load_limits
from firmware.vision.detect import Detector
from firmware.vision.eyes import EyeReader, Eyes
from firmware.vision.face import Face
from firmware.vision.iris import CORNERS, IRIS_PX, crop_matrix
from firmware.vision.mesh import POINTS, Mesh
from tests.vision.drawn import MakeFrame, draw_eyes, draw_face

LIMITS, _ = load_limits()
DISTANCE_MM = 497.0  # 76 px between the eyes are then 63 mm


def _open(eyes: Eyes) -> list[bool]:
    return [
        bool(is_open) for is_open in (eyes.open >= LIMITS.eye_open_min) & (eyes.contrast >= LIMITS.iris_contrast_min)
    ]


def _read(reader: EyeReader, detector: Detector, make_frame: MakeFrame, ir: NDArray[np.uint8]) -> tuple[Eyes, Face]:
    frames = make_frame(ir, DISTANCE_MM)
    face = detector.find(frames)
    assert isinstance(face, Face)
    return reader.read(frames, face), face


@pytest.mark.parametrize("shut", [(False, False), (True, True), (False, True), (True, False)])
def test_each_eye_is_open_or_shut(
    eye_reader: EyeReader, detector: Detector, make_frame: MakeFrame, shut: tuple[bool, bool]
) -> None:
    eyes, _ = _read(eye_reader, detector, make_frame, draw_eyes(draw_face(), shut))
    assert _open(eyes) == [not one for one in shut]


def test_gaze_follows_the_iris(eye_reader: EyeReader, detector: Detector, make_frame: MakeFrame) -> None:
    def looks(gaze_px: tuple[float, float]) -> tuple[float, float]:
        eyes, _ = _read(eye_reader, detector, make_frame, draw_eyes(draw_face(), gaze_px=gaze_px))
        return float(eyes.yaw_deg.mean()), float(eyes.pitch_deg.mean())

    left, ahead, right = (looks((shift, 0))[0] for shift in (-5, 0, 5))
    assert left + 5 < ahead < right - 5
    assert abs(ahead) < 8
    assert looks((0, 2))[1] < looks((0, -2))[1]


def test_a_dark_lens_is_no_open_eye(eye_reader: EyeReader, detector: Detector, make_frame: MakeFrame) -> None:
    _, face = _read(eye_reader, detector, make_frame, draw_eyes(draw_face()))
    y, x = np.mgrid[0:480, 0:640]
    worn = draw_eyes(draw_face())
    for column in (282, 358):
        worn[((x - column) / 26) ** 2 + ((y - 205) / 20) ** 2 < 1] = 12
    assert _open(eye_reader.read(make_frame(worn, DISTANCE_MM), face)) == [False, False]


def test_without_a_face_nothing_is_known(eye_reader: EyeReader, detector: Detector, make_frame: MakeFrame) -> None:
    _, face = _read(eye_reader, detector, make_frame, draw_eyes(draw_face()))
    eyes = eye_reader.read(make_frame(np.full((480, 640), 60, np.uint8), DISTANCE_MM), face)
    assert eyes.presence < 0.5
    for values in (eyes.open, eyes.contrast, eyes.yaw_deg, eyes.pitch_deg):
        assert np.isnan(values).all()


@pytest.mark.parametrize("distance_mm", [150.0, 1500.0, math.nan])
def test_an_eye_of_an_impossible_size_is_not_read(
    eye_reader: EyeReader, detector: Detector, make_frame: MakeFrame, distance_mm: float
) -> None:
    """The picture tells an angle, depth the distance: an eye must be as wide as eyes are."""
    ir = draw_eyes(draw_face())
    _, face = _read(eye_reader, detector, make_frame, ir)
    points = face.points_mm.copy()
    points[:, 2] = distance_mm
    eyes = eye_reader.read(make_frame(ir, DISTANCE_MM), replace(face, points_mm=points))
    assert np.isnan(eyes.open).all()
    assert np.isnan(eyes.yaw_deg).all()


def test_both_eyes_are_shown_to_the_network_alike() -> None:
    """Outer corner at the left, inner at the right, the brow above: the left eye is mirrored for it."""
    points = np.zeros((POINTS, 3), np.float32)
    for eye, (outer, inner) in enumerate(CORNERS):
        points[outer, :2], points[inner, :2] = ((250, 200), (290, 205)) if eye == 0 else ((400, 200), (360, 205))
        matrix = crop_matrix(Mesh(points, 1.0), eye)
        assert matrix is not None
        left, right = (matrix @ [*points[index, :2], 1] for index in (outer, inner))
        assert left == pytest.approx([IRIS_PX / 2 - 0.5 - IRIS_PX / 4.6, IRIS_PX / 2 - 0.5])
        assert right == pytest.approx([IRIS_PX / 2 - 0.5 + IRIS_PX / 4.6, IRIS_PX / 2 - 0.5])
        assert (matrix @ [points[outer, 0], points[outer, 1] - 20, 1])[1] < left[1]


def test_an_eye_of_a_few_pixels_is_none() -> None:
    assert crop_matrix(Mesh(np.zeros((POINTS, 3), np.float32), 1.0), 0) is None
    assert crop_matrix(Mesh(np.full((POINTS, 3), np.nan, np.float32), 1.0), 1) is None
