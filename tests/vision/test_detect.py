"""One face in the capture volume, or the reason why not: on a drawn face with a depth of our choosing."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from firmware.vision.detect import Detector
from firmware.vision.face import Face, NoFace, Reason
from firmware.vision.pose import LEVEL_PITCH_DEG, pose_deg
from tests.vision.drawn import MakeFrame, draw_face

ONE = draw_face()


def test_a_face_at_half_a_metre_is_found_and_placed(detector: Detector, make_frame: MakeFrame) -> None:
    face = detector.find(make_frame(ONE, 500.0))
    assert isinstance(face, Face)
    assert face.distance_mm == 500.0
    assert face.ipd_mm == pytest.approx(76 * 500 / 600, rel=0.15)
    assert face.points_mm[:, 2] == pytest.approx(500.0)
    assert abs(face.yaw_deg) < 1
    assert abs(face.roll_deg) < 5
    assert not face.points_mm.flags.writeable


def test_sixteen_bit_infrared_gives_the_same_face(detector: Detector, make_frame: MakeFrame) -> None:
    eight, ten = (detector.find(make_frame(ir, 500.0)) for ir in (ONE, ONE.astype(np.uint16) * 4))
    assert isinstance(eight, Face)
    assert isinstance(ten, Face)
    np.testing.assert_allclose(eight.points_px, ten.points_px, atol=1.0)


@pytest.mark.parametrize(
    ("depth_mm", "reason"),
    [(250.0, Reason.TOO_NEAR), (1200.0, Reason.TOO_FAR), (float("nan"), Reason.NO_DEPTH), (0.0, Reason.NO_DEPTH)],
)
def test_a_face_out_of_the_volume_or_without_depth(
    depth_mm: float, reason: Reason, detector: Detector, make_frame: MakeFrame
) -> None:
    found = detector.find(make_frame(ONE, depth_mm))
    assert isinstance(found, NoFace)
    assert found.reason is reason


def test_an_empty_view_has_no_face(detector: Detector, make_frame: MakeFrame) -> None:
    for ir in (np.zeros((480, 640), np.uint8), np.full((480, 640), 255, np.uint8)):
        found = detector.find(make_frame(ir, 500.0))
        assert isinstance(found, NoFace)
        assert found.reason is Reason.NO_FACE


def test_two_faces_in_the_volume_are_a_reason_not_a_guess(detector: Detector, make_frame: MakeFrame) -> None:
    both = np.maximum(draw_face(180, 240, 0.9), draw_face(460, 240, 0.9))
    found = detector.find(make_frame(both, 500.0))
    assert isinstance(found, NoFace)
    assert found.reason is Reason.TWO_FACES


def test_a_second_face_without_depth_is_not_ignored(detector: Detector, make_frame: MakeFrame) -> None:
    both = np.maximum(draw_face(180, 240, 0.9), draw_face(460, 240, 0.9))
    depth = np.full((480, 640), 500, np.float32)
    depth[:, 320:] = np.nan
    found = detector.find(make_frame(both, depth))
    assert isinstance(found, NoFace)
    assert found.reason is Reason.TWO_FACES


def test_a_bystander_behind_is_nobody(detector: Detector, make_frame: MakeFrame) -> None:
    both = np.maximum(draw_face(180, 240, 0.9), draw_face(500, 240, 0.4))
    depth = np.full((480, 640), 500, np.float32)
    depth[:, 360:] = 1800
    face = detector.find(make_frame(both, depth))
    assert isinstance(face, Face)
    assert face.points_px[2, 0] == pytest.approx(180, abs=10)


def test_a_face_at_the_border_is_cut_off(detector: Detector, make_frame: MakeFrame) -> None:
    found = detector.find(make_frame(draw_face(45, 240), 500.0))
    assert isinstance(found, NoFace)
    assert found.reason is Reason.FACE_CUT_OFF


def test_a_face_on_a_surface_turned_away_is_not_frontal(detector: Detector, make_frame: MakeFrame) -> None:
    turned = np.float32(500) + np.tile((np.arange(640, dtype=np.float32) - 320) * np.float32(0.6), (480, 1))
    found = detector.find(make_frame(ONE, turned))
    assert isinstance(found, NoFace)
    assert found.reason is Reason.NOT_FRONTAL


def test_holes_over_an_eye_leave_no_depth(detector: Detector, make_frame: MakeFrame) -> None:
    depth = np.full((480, 640), 500, np.float32)
    depth[180:230, 255:310] = np.nan
    found = detector.find(make_frame(ONE, depth))
    assert isinstance(found, NoFace)
    assert found.reason is Reason.NO_DEPTH


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(0, 2**32 - 1), share=st.floats(0, 1), junk=st.sampled_from([np.nan, np.inf, -np.inf, 0, -5, 9e9])
)
def test_any_depth_gives_a_finite_face_or_a_reason(
    seed: int, share: float, junk: float, detector: Detector, make_frame: MakeFrame
) -> None:
    depth = np.full((480, 640), 500, np.float32)
    depth[np.random.default_rng(seed).random((480, 640)) < share] = junk
    found = detector.find(make_frame(ONE, depth))
    if isinstance(found, Face):
        assert np.isfinite(found.points_mm).all()
        assert np.isfinite([found.distance_mm, found.yaw_deg, found.pitch_deg, found.roll_deg, found.ipd_mm]).all()


def test_signs_of_the_pose() -> None:
    level = np.array([[-31, 0, 0], [31, 0, 0], [0, 40, -20], [-25, 70, 0], [25, 70, 0]], np.float64)

    def turned(axis: int, degrees: float) -> tuple[float, float, float]:
        """Turn about an axis, positive as `Face` has it: right in the image, up, clockwise."""
        c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
        rotation = [
            np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]]),
            np.array([[1, 0, 0], [0, c, s], [0, -s, c]]),
            np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]),
        ][axis]
        return pose_deg((level @ rotation.T).astype(np.float32))

    assert turned(0, 20) == pytest.approx((20, -LEVEL_PITCH_DEG, 0), abs=0.01)
    assert turned(1, 20) == pytest.approx((0, 20 - LEVEL_PITCH_DEG, 0), abs=0.01)
    assert turned(2, 20) == pytest.approx((0, -LEVEL_PITCH_DEG, 20), abs=0.01)
