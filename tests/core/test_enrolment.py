"""Five poses become templates only if both modalities of one person were seen in each."""

from dataclasses import replace

import numpy as np
import pytest

from firmware.core.analysis import Finding
from firmware.core.enrolment import FRAMES_PER_POSE, POSES, Enrolment, EnrolmentError
from firmware.vision.embed import Embedded
from firmware.vision.face import Face
from firmware.vision.fusion import Judge
from firmware.vision.policy import load_policy
from tests.vision.units import calibration, towards, unit

PAYMENT = load_policy("payment")[0]
JUDGE = Judge(calibration(), PAYMENT, PAYMENT.claimed)
ADA = Embedded(unit(1), unit(2))
ANSWERS = {"front": (0.0, 0.0), "left": (15.0, 0.0), "right": (-15.0, 0.0), "up": (0.0, 9.0), "down": (0.0, -9.0)}


def finding(pose: str, embedded: Embedded = ADA) -> Finding:
    yaw, pitch = ANSWERS[pose]
    face = Face((0, 0, 1, 1), np.zeros((5, 2), np.float32), 0.9, 450.0, np.zeros((5, 3), np.float32), yaw, pitch, 0, 63)
    return Finding("", face=face, embedded=embedded)


def hold(enrolment: Enrolment, pose: str, embedded: Embedded = ADA) -> Enrolment:
    for _ in range(FRAMES_PER_POSE):
        enrolment = enrolment.looked(finding(pose, embedded), 1)
    return enrolment


def test_five_poses_make_templates_of_both_modalities() -> None:
    enrolment = Enrolment.begin(JUDGE, 0)
    for number, pose in enumerate(POSES):
        seen = Embedded(towards(unit(1), 0.9, 50 + number), towards(unit(2), 0.9, 70 + number))
        enrolment = hold(enrolment, pose.name, seen)
    assert enrolment.complete
    assert enrolment.templates.any(axis=2).all()
    assert JUDGE.compare(ADA, enrolment.templates).matched


@pytest.mark.parametrize("partial", [Embedded(unit(1), None), Embedded(None, unit(2)), Embedded()])
def test_pose_seen_in_one_modality_does_not_count(partial: Embedded) -> None:
    enrolment = hold(Enrolment.begin(JUDGE, 0), "front", partial)
    assert enrolment.pose is POSES[0]
    assert hold(enrolment, "front").pose is POSES[1]


def test_frame_with_one_modality_starts_the_count_again() -> None:
    enrolment = Enrolment.begin(JUDGE, 0)
    for embedded in (ADA, ADA, Embedded(unit(1), None), ADA, ADA):
        enrolment = enrolment.looked(finding("front", embedded), 1)
    assert enrolment.pose is POSES[0]


@pytest.mark.parametrize("other", [Embedded(unit(7), unit(8)), Embedded(unit(1), unit(8)), Embedded(unit(7), unit(2))])
def test_somebody_else_in_either_modality_ends_the_enrolment(other: Embedded) -> None:
    enrolment = hold(hold(Enrolment.begin(JUDGE, 0), "front"), "left", other)
    assert enrolment.reason == "person_changed"


def test_a_print_held_up_for_a_pose_ends_the_enrolment_and_is_not_told_why() -> None:
    enrolment = hold(Enrolment.begin(JUDGE, 0), "front")
    for reason in ["flat", "flat", "no_face", "flat", "flat", "not_skin"]:
        assert enrolment.reason == ""
        enrolment = enrolment.looked(Finding(reason), 1)
    assert enrolment.reason == "not_skin"
    assert EnrolmentError(enrolment.reason).code == "not_confirmed"
    assert "skin" not in str(EnrolmentError(enrolment.reason))


def test_who_does_not_move_when_asked_is_told_so() -> None:
    assert Enrolment.begin(JUDGE, 0).looked(Finding("no_answer"), 1).reason == "no_answer"
    assert EnrolmentError("no_answer").code == "no_answer"


def test_pose_that_never_comes_ends_it() -> None:
    enrolment = Enrolment.begin(JUDGE, 0)
    assert enrolment.looked(replace(finding("left")), enrolment.deadline_ns).reason == "pose_timeout"
