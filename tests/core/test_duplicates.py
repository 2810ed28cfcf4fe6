"""One face, one account."""

import math

import pytest

from firmware.core.duplicates import enrolled_elsewhere
from firmware.vision.embed import Embedded
from firmware.vision.fusion import Judge
from firmware.vision.policy import load_policy
from firmware.vision.templates import Templates, make_templates
from tests.vision.units import calibration, towards, unit

PAYMENT = load_policy("payment")[0]
JUDGE = Judge(calibration(), PAYMENT, PAYMENT.claimed)
NAMES = ("front", "left", "right", "up", "down")


def poses(of: int, likeness: float = 0.9) -> list[Embedded]:
    return [
        Embedded(towards(unit(of), likeness, 50 + n), towards(unit(of + 1), likeness, 70 + n))
        for n in range(len(NAMES))
    ]


def templates(of: int) -> Templates:
    return make_templates(dict(zip(NAMES, poses(of), strict=True)))


def test_face_of_another_payer_is_found_among_many() -> None:
    others = [templates(number) for number in range(100, 140, 2)]
    assert not enrolled_elsewhere(poses(1), others, JUDGE)
    assert enrolled_elsewhere(poses(1), [*others, templates(1)], JUDGE)


@pytest.mark.parametrize("at", [0, 255, 256, 699])
def test_face_is_found_wherever_it_stands_in_a_large_gallery(at: int) -> None:
    others = [templates(number) for number in range(1000, 1700)]
    others[at] = templates(1)
    assert enrolled_elsewhere(poses(1), others, JUDGE)


def test_modality_that_speaks_against_it_makes_another_face() -> None:
    """The picture of one and the shape of another: as at a payment, no match, however alike the picture."""
    mixed = [Embedded(pose.ir, towards(unit(2), -0.9)) for pose in poses(1, 1.0)]
    assert not enrolled_elsewhere(mixed, [templates(1)], JUDGE)


def test_empty_gallery_holds_nobody() -> None:
    assert not enrolled_elsewhere(poses(1), [], JUDGE)


@pytest.mark.parametrize(("alike", "found"), [(2, False), (3, True)])
def test_most_poses_decide(alike: int, found: bool) -> None:
    """Attack: pull a face in one pose."""
    mixed = [*poses(1)[:alike], *poses(201)[alike:]]
    assert enrolled_elsewhere(mixed, [templates(1)], JUDGE) is found


def test_more_people_ask_for_more_evidence_each() -> None:
    """Nobody is turned away only because the gallery has grown."""
    llr = 6.0 + math.log(20.5)  # by the units' calibration: 6 is a match, and each ratio is 20 * cosine - 8
    probe = Embedded(towards(unit(1), (llr / 2 + 8) / 20), towards(unit(2), (llr / 2 + 8) / 20))
    her = make_templates(dict.fromkeys(NAMES, Embedded(unit(1), unit(2))))
    strangers = [templates(number) for number in range(100, 140, 2)]
    assert enrolled_elsewhere([probe] * 5, [her, *strangers[:19]], JUDGE)
    assert not enrolled_elsewhere([probe] * 5, [her, *strangers], JUDGE)
