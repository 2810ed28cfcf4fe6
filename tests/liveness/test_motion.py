"""A face that moves its mouth is told from everything that is turned, carried, covered, holed or exchanged."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drivers.camera import FrameSet
from firmware.liveness import motion as motion_module
from firmware.liveness.motion import DOUBT_S, FITS, Motion
from hil.sensor.scene import Pose
from tests.liveness.motion_heads import FRAME_NS, LIMITS, REST, Head, covered, kept_up, rested, seen, shown
from tests.liveness.shapes import K

OPEN = Head(opened_mm=12.0)


def test_nothing_is_said_before_there_is_a_reference_and_two_moments_to_compare() -> None:
    motion = Motion(LIMITS)
    found = [motion.follow(*seen(number=number)) is not None for number in range(8)]
    assert found == [False] * 6 + [True] * 2
    assert motion.settled


def test_head_at_rest_shows_no_more_than_noise() -> None:
    still = kept_up(rested())
    assert still.excess < 0.4
    assert still.lower_mm < 3 * still.sigma_mm + 0.1


@pytest.mark.parametrize("head", [OPEN, Head(smile_mm=6.0), Head(opened_mm=10.0, scale=0.78)])
def test_opened_mouth_and_smile_count_also_a_childs(head: Head) -> None:
    moved = kept_up(rested(replace(head, opened_mm=0.0, smile_mm=0.0)), head)
    assert moved.excess >= 1
    assert moved.lower_mm > 5 * moved.sigma_mm
    assert moved.upper_mm < 0.5


def test_the_wider_it_opens_the_more_there_is() -> None:
    lower = [kept_up(rested(), Head(opened_mm=opened)).lower_mm for opened in (0.0, 4.0, 8.0)]
    assert lower == sorted(lower)


def test_region_that_moves_is_named() -> None:
    smiling, opening = kept_up(rested(), Head(smile_mm=6.0)), kept_up(rested(), OPEN)
    assert smiling.cheeks_mm > smiling.chin_mm
    assert opening.chin_mm > opening.cheeks_mm


@settings(max_examples=10, deadline=None, derandomize=True)
@given(
    yaw=st.floats(-22, 22),
    pitch=st.floats(-15, 15),
    roll=st.floats(-15, 15),
    x_mm=st.floats(-40, 40),
    z_mm=st.floats(350, 750),
)
def test_rigid_head_turned_nodded_and_carried_never_counts(
    yaw: float, pitch: float, roll: float, x_mm: float, z_mm: float
) -> None:
    pose = Pose(x_mm, 5.0, z_mm, yaw, pitch, roll)
    motion = rested()
    found = [motion.follow(*seen(REST, pose, number)) for number in range(6, 9)]
    assert all(one is None or one.excess < 1 for one in found)


def test_rotation_from_the_reference_is_told() -> None:
    turned = kept_up(rested(), pose=Pose(z_mm=450, yaw_deg=15))
    assert turned.turned_deg == pytest.approx(15, abs=1)


def test_head_turned_too_far_cannot_be_measured() -> None:
    motion = rested(pose=Pose(z_mm=450, yaw_deg=-22))
    assert [motion.follow(*seen(OPEN, Pose(z_mm=450, yaw_deg=22), number)) for number in range(6, 9)] == [None] * 3


@pytest.mark.parametrize("wide_mm", [10, 40, 90])
def test_holes_that_grow_in_the_lower_face_never_count(wide_mm: float) -> None:
    motion = rested()
    holed = (
        (covered(frames, 0, 85, wide_mm, 60, np.nan), face) for frames, face in (seen(number=n) for n in range(6, 9))
    )
    assert shown(motion, *holed).excess < 0.5


@settings(max_examples=4, deadline=None, derandomize=True)
@given(x_mm=st.floats(-30, 30), y_mm=st.floats(50, 100), wide_mm=st.floats(5, 50))
def test_hole_never_adds_to_a_motion(x_mm: float, y_mm: float, wide_mm: float) -> None:
    whole = kept_up(rested(), OPEN)
    holed = (
        (covered(frames, x_mm, y_mm, wide_mm, 20, np.nan), face)
        for frames, face in (seen(OPEN, number=n) for n in range(6, 9))
    )
    assert shown(rested(), *holed).lower_mm <= whole.lower_mm + 0.05


FINGER = {"wide_mm": 17.0, "high_mm": 70.0, "before_mm": 16.0}
FINGERS = [(0.0, 95.0), (-24.0, 80.0), (12.0, 70.0)]


@pytest.mark.parametrize(("x_mm", "y_mm"), FINGERS)
def test_finger_held_before_a_rigid_chin_does_not_count(x_mm: float, y_mm: float) -> None:
    motion = rested()
    held = ((covered(frames, x_mm, y_mm, **FINGER), face) for frames, face in (seen(number=n) for n in range(6, 9)))
    assert shown(motion, *held).excess < 1


@pytest.mark.parametrize(("x_mm", "y_mm"), FINGERS)
def test_finger_taken_away_from_a_rigid_chin_does_not_count(x_mm: float, y_mm: float) -> None:
    motion = Motion(LIMITS)
    for frames, face in (seen(number=number) for number in range(6)):
        motion.follow(covered(frames, x_mm, y_mm, **FINGER), face)
    assert kept_up(motion).excess < 1


def test_finger_counts_once_things_that_come_and_go_are_not_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion_module, "NEARER_MM", np.inf)
    held = ((covered(frames, 0, 95, **FINGER), face) for frames, face in (seen(number=n) for n in range(6, 9)))
    assert shown(rested(), *held).excess >= 1


def test_flap_on_one_side_of_a_mask_does_not_count() -> None:
    assert kept_up(rested(), Head(flap_mm=4.5)).excess < 1


def test_flap_counts_once_both_sides_need_not_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(motion_module, "_agreed", lambda change: np.nan_to_num(np.abs(change)))
    assert kept_up(rested(), Head(flap_mm=4.5)).excess >= 1


def test_another_face_is_told_and_shows_nothing() -> None:
    motion = rested()
    found, frames, began = [], [], 0
    for number in range(6, 6 + 100):
        frame, face = seen(replace(OPEN, other=1.0), number=number)
        found.append(motion.follow(frame, face))
        began = began or frame.timestamp_ns
        frames.append(frame.timestamp_ns)
        assert motion.doubtful
        if motion.another:
            break
    assert set(found) == {None}
    assert frames[-1] - began >= DOUBT_S * 1e9 > frames[-2] - began
    motion.reset()
    assert not motion.another
    assert not motion.doubtful
    assert not motion.settled


def test_an_accomplice_whose_face_fits_now_and_then_shows_nothing() -> None:
    """Every other frame is of a face that fits, with an open mouth."""
    motion = rested()
    for number in range(6, 46):
        found = motion.follow(*seen(replace(OPEN, other=float(number % FITS == 0)), number=number))
        assert found is None
        if motion.another:
            return
    raise AssertionError("a doubt goes on until the face has fitted for a while")


def test_a_doubt_ends_once_the_face_has_fitted_for_a_while() -> None:
    motion = rested()
    motion.follow(*seen(Head(other=1.0), number=6))
    for number in range(7, 6 + FITS):
        assert motion.follow(*seen(number=number)) is None
        assert motion.doubtful
    motion.follow(*seen(number=6 + FITS))
    assert not motion.doubtful


def test_face_that_changes_while_the_reference_is_gathered_begins_it_anew() -> None:
    motion = Motion(LIMITS)
    heads = [REST, REST, Head(other=1.0)] + [Head(other=1.0)] * 4
    for number, head in enumerate(heads):
        motion.follow(*seen(head, number=number))
        assert motion.settled == (number == len(heads) - 1)


def test_one_frame_that_does_not_fit_is_not_another_face() -> None:
    motion = rested()
    motion.follow(*seen(Head(other=1.0), number=6))
    for number in range(7, 7 + FITS):
        motion.follow(*seen(number=number))
    assert not motion.another
    assert kept_up(motion, OPEN, first=7 + FITS).excess >= 1


def test_settling_takes_the_newest_frames_for_the_face_at_rest() -> None:
    motion, smiling = rested(), Head(smile_mm=4.5)
    assert kept_up(motion, smiling).excess >= 1
    shown(motion, *(seen(smiling, number=number) for number in range(9, 12)))
    motion.settle()
    assert kept_up(motion, smiling, first=12).excess < 0.5
    assert kept_up(motion, REST, first=15).excess >= 1


def test_after_a_gap_two_moments_are_needed_again() -> None:
    motion = rested()
    assert kept_up(motion).excess < 1
    assert motion.follow(*seen(OPEN, number=30)) is None


def test_frame_that_goes_back_in_time_is_not_averaged_with_a_later_one() -> None:
    motion = rested()
    kept_up(motion)
    assert motion.follow(*seen(OPEN, number=5)) is None


def test_frame_without_depth_is_not_measured_and_changes_nothing() -> None:
    motion = rested()
    frames, face = seen(number=6)
    empty = np.full_like(frames.depth_mm, np.nan)
    assert motion.follow(replace(frames, depth_mm=empty), face) is None
    assert not motion.another
    assert kept_up(motion, first=7).excess < 1


def test_face_at_the_edge_of_the_picture_or_of_no_size_is_not_measured() -> None:
    frames, face = seen()
    nowhere = replace(face, points_mm=face.points_mm + np.array([900, 0, 0], np.float32))
    point = replace(face, points_mm=np.zeros((5, 3), np.float32))
    motion = Motion(LIMITS)
    for _ in range(6):
        assert motion.follow(frames, nowhere) is None
        assert motion.follow(frames, point) is None
    assert not motion.settled


def test_same_frames_give_the_same_numbers() -> None:
    assert kept_up(rested(), OPEN) == kept_up(rested(), OPEN)


def test_frames_given_at_eight_a_second_are_measured_too() -> None:
    motion = Motion(LIMITS)
    heads = [REST] * 5 + [OPEN] * 3
    found = [motion.follow(*seen(head, number=number, fps_ns=2 * FRAME_NS)) for number, head in enumerate(heads)]
    assert found[-1] is not None
    assert found[-1].excess >= 1


@pytest.mark.parametrize("shift_mm", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("down_to_mm", [-25.0, -15.0, -8.0])
def test_forehead_that_is_shifted_on_a_rigid_head_does_not_count(down_to_mm: float, shift_mm: float) -> None:
    motion = rested()
    for frames, face in (seen(number=number) for number in range(6, 9)):
        found = motion.follow(_banded(frames, down_to_mm, shift_mm), face)
        assert found is None or found.excess < 1


def test_shifted_forehead_counts_once_the_lower_face_need_not_change_its_own_shape() -> None:
    motion = rested()
    shifted = ((_banded(frames, -15.0, 3.0), face) for frames, face in (seen(number=n) for n in range(6, 9)))
    moved = shown(motion, *shifted)
    assert moved.lower_mm > 1.5
    assert moved.own_mm < 0.2


def _banded(frames: FrameSet, down_to_mm: float, shift_mm: float) -> FrameSet:
    """`frames` of a head at 450 mm, all of it above `down_to_mm` brought nearer."""
    above = ((np.arange(K.height) - K.cy) / K.fy * 450 < down_to_mm)[:, None]
    return replace(frames, depth_mm=(frames.depth_mm - np.float32(shift_mm) * above).astype(np.float32))
