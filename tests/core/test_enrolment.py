"""Five poses become templates only if both modalities of one person were seen in each."""

from dataclasses import replace

import numpy as np
import pytest

from firmware.core.analysis import Finding
from firmware.core.enrolment import FRAMES_PER_POSE, POSES, Enrolment, EnrolmentError
from firmware.core.session import REFUSE_AFTER
from firmware.vision.embed import Embedded
from firmware.vision.face import Face
from firmware.vision.fusion import Judge
from firmware.vision.policy import load_policy
from firmware.vision.templates import Templates
from tests.vision.units import calibration, towards, unit

PAYMENT = load_policy("payment")[0]
JUDGE = Judge(calibration(), PAYMENT, PAYMENT.claimed)
ADA = Embedded(unit(1), unit(2))
ANSWERS = {"front": (0.0, 0.0), "left": (15.0, 0.0), "right": (-15.0, 0.0), "up": (0.0, 9.0), "down": (0.0, -9.0)}


def finding(pose: str, embedded: Embedded = ADA, of: Templates | None = None) -> Finding:
    """A good frame; `of`: who is claimed."""
    yaw, pitch = ANSWERS[pose]
    face = Face((0, 0, 1, 1), np.zeros((5, 2), np.float32), 0.9, 450.0, np.zeros((5, 3), np.float32), yaw, pitch, 0, 63)
    if of is None:
        return Finding("", face=face, embedded=embedded)
    match = JUDGE.compare(embedded, of)
    return Finding(match.reason, face=face, embedded=embedded, match=match)


def hold(enrolment: Enrolment, pose: str, embedded: Embedded = ADA, frames: int = FRAMES_PER_POSE) -> Enrolment:
    for _ in range(frames):
        enrolment = enrolment.looked(finding(pose, embedded, enrolment.claimed), 1)
    return enrolment


def met() -> Enrolment:
    """Ada has been seen once: from now on it must be her."""
    return hold(Enrolment.begin(0), "front", frames=1)


def test_five_poses_make_templates_of_both_modalities() -> None:
    enrolment = met()
    for number, pose in enumerate(POSES):
        seen = Embedded(towards(unit(1), 0.9, 50 + number), towards(unit(2), 0.9, 70 + number))
        enrolment = hold(enrolment, pose.name, seen)
    assert enrolment.complete
    assert enrolment.templates.any(axis=2).all()
    assert JUDGE.compare(ADA, enrolment.templates).matched


@pytest.mark.parametrize("partial", [Embedded(unit(1), None), Embedded(None, unit(2)), Embedded()])
def test_pose_seen_in_one_modality_does_not_count(partial: Embedded) -> None:
    enrolment = hold(met(), "front", partial)
    assert enrolment.pose is POSES[0]
    assert hold(enrolment, "front").pose is POSES[1]
    assert hold(Enrolment.begin(0), "front", partial).claimed is None


def test_frame_with_one_modality_starts_the_count_again() -> None:
    enrolment = met()
    for embedded in (ADA, ADA, Embedded(unit(1), None), ADA, ADA):
        enrolment = hold(enrolment, "front", embedded, frames=1)
    assert enrolment.pose is POSES[0]


OTHERS = [Embedded(unit(7), unit(8)), Embedded(unit(1), unit(8)), Embedded(unit(7), unit(2))]


@pytest.mark.parametrize("other", OTHERS)
@pytest.mark.parametrize("seen", [0, 1, 4])
def test_somebody_else_in_either_modality_ends_the_enrolment(other: Embedded, seen: int) -> None:
    enrolment = met()
    for pose in POSES[:seen]:
        enrolment = hold(enrolment, pose.name)
    assert hold(enrolment, POSES[seen].name, other, REFUSE_AFTER - 1).reason == ""
    assert hold(enrolment, POSES[seen].name, other, REFUSE_AFTER).reason == "person_changed"


def test_somebody_else_between_two_poses_is_noticed_whatever_way_they_look() -> None:
    """Attack: two people take turns, each seen only while no pose is held."""
    enrolment = hold(met(), "front")
    assert hold(enrolment, "down", OTHERS[0], REFUSE_AFTER).reason == "person_changed"


def test_one_frame_that_is_not_recognised_ends_nothing_and_counts_for_nothing() -> None:
    enrolment = hold(hold(met(), "front"), "left", frames=FRAMES_PER_POSE - 1)
    enrolment = hold(enrolment, "left", OTHERS[0], frames=1)
    assert (enrolment.reason, enrolment.good) == ("", 0)
    assert hold(enrolment, "left").pose is POSES[2]


def test_frames_of_another_count_together_whatever_stands_between_them() -> None:
    enrolment = hold(met(), "front")
    for _ in range(REFUSE_AFTER):
        enrolment = hold(enrolment, "left", OTHERS[0], frames=1).looked(Finding("incoherent"), 1)
    assert enrolment.reason == "person_changed"


def test_good_frame_that_nobody_compared_makes_no_template() -> None:
    enrolment = met()
    for _ in range(2 * FRAMES_PER_POSE):
        enrolment = enrolment.looked(finding("front"), 1)
    assert enrolment.seen == ()


@pytest.mark.parametrize("empty", ["no_face", "two_faces"])
def test_who_is_out_of_sight_for_more_than_a_second_begins_again(empty: str) -> None:
    enrolment = met()
    for number in range(20):
        enrolment = enrolment.looked(Finding(empty), 1 + number * 10**8)
        assert enrolment.reason == ("person_left" if number > 10 else ""), number


def test_a_slow_board_may_miss_a_face_twice() -> None:
    """Two frames of a second each."""
    enrolment = met()
    for now_s in (1, 2):
        enrolment = enrolment.looked(Finding("no_face"), now_s * 10**9)
    assert enrolment.looked(finding("front", of=enrolment.claimed), 3 * 10**9).gone == 0


def test_an_empty_scene_before_anybody_came_ends_nothing() -> None:
    enrolment = Enrolment.begin(0)
    for now_s in range(20):
        enrolment = enrolment.looked(Finding("no_face"), now_s * 10**9)
    assert enrolment.reason == ""


def test_a_print_held_up_for_a_pose_ends_the_enrolment_and_is_not_told_why() -> None:
    enrolment = hold(met(), "front")
    for reason in ["flat", "flat", "no_face", "flat", "flat", "not_skin"]:
        assert enrolment.reason == ""
        enrolment = enrolment.looked(Finding(reason), 1)
    assert enrolment.reason == "not_skin"
    assert EnrolmentError(enrolment.reason).code == "not_confirmed"
    assert "skin" not in str(EnrolmentError(enrolment.reason))


def test_who_does_not_move_when_asked_is_told_so() -> None:
    assert Enrolment.begin(0).looked(Finding("no_answer"), 1).reason == "no_answer"
    assert EnrolmentError("no_answer").code == "no_answer"


def test_pose_that_never_comes_ends_it() -> None:
    enrolment = Enrolment.begin(0)
    assert enrolment.looked(replace(finding("left")), enrolment.deadline_ns).reason == "pose_timeout"
