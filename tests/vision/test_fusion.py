"""Both modalities together: what is a match, what never is, and the attacks that copy one of them."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.vision.calibration import CalibrationError, load_calibration
from firmware.vision.embed import Embedded
from firmware.vision.fusion import DISAGREE, MISSING, NOT_RECOGNISED, Judge
from firmware.vision.policy import Mode, load_policy
from firmware.vision.templates import TemplateError, make_templates
from tests.vision.units import calibration, towards, unit

PAYMENT, DOOR = load_policy("payment")[0], load_policy("door")[0]
TILL = Judge(calibration(), PAYMENT, PAYMENT.claimed)
GATE = Judge(calibration(), DOOR, DOOR.claimed)
IR, DEPTH = unit(1), unit(2)
ADA = make_templates({name: Embedded(IR, DEPTH) for name in ("front", "left", "right")})

ratio = st.floats(-12, 12)
policies = st.sampled_from([TILL, GATE])


# -- the rules ------------------------------------------------------------------------------------------------------


def test_the_enrolled_person_is_a_match() -> None:
    match = TILL.compare(Embedded(towards(IR, 0.8), towards(DEPTH, 0.7)), ADA)
    assert match.matched
    assert match.cosines == pytest.approx({"ir": 0.8, "depth": 0.7}, abs=1e-4)
    assert match.llr == pytest.approx(8 + 6, abs=0.01)


def test_two_weak_modalities_make_one_strong_yes() -> None:
    assert TILL.weigh({"ir": 3.5, "depth": 3.5}).matched
    assert not TILL.weigh({"ir": 3.5, "depth": 2.0}).matched


@given(st.sampled_from([math.nan, -math.inf, math.inf]), policies)
def test_what_is_no_finite_number_is_never_a_match(value: float, judge: Judge) -> None:
    assert not judge.weigh({"ir": value, "depth": value}).matched
    assert not judge.weigh({"ir": value}).matched
    assert not judge.weigh({"ir": value, "depth": 7.5}).matched


@given(ratio, ratio, st.floats(0, 10), st.sampled_from(["ir", "depth"]), policies)
def test_more_evidence_of_a_match_never_turns_a_yes_into_a_no(
    ir: float, depth: float, more: float, where: str, judge: Judge
) -> None:
    before = judge.weigh({"ir": ir, "depth": depth})
    after = judge.weigh({"ir": ir + more * (where == "ir"), "depth": depth + more * (where == "depth")})
    assert after.matched or not before.matched


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_no_missing_modality_passes_payment(one: float, other: float) -> None:
    for probe in (Embedded(towards(IR, one), None), Embedded(None, towards(DEPTH, other)), Embedded()):
        assert TILL.compare(probe, ADA).reason == MISSING


@given(ratio, ratio)
def test_a_door_asks_more_of_one_modality_than_of_two(ir: float, depth: float) -> None:
    alone = GATE.weigh({"ir": ir})
    if alone.matched:
        assert ir >= 6.0 + DOOR.raise_by
        assert GATE.weigh({"ir": ir, "depth": 0.0}).matched
    assert not GATE.weigh({"depth": depth}).matched or depth >= 6.0 + DOOR.raise_by


def test_a_template_without_depth_is_a_missing_modality() -> None:
    flat = make_templates({"front": Embedded(IR, None)})
    probe = Embedded(towards(IR, 0.95), towards(DEPTH, 0.95))
    assert TILL.compare(probe, flat).reason == MISSING
    assert GATE.compare(probe, flat).matched


def test_a_door_refuses_one_modality_whose_rate_has_no_evidence() -> None:
    strict = Judge(calibration(), DOOR, Mode(rate=1e-5, most=1))
    assert strict.weigh({"ir": 11.4}).matched
    assert strict.weigh({"depth": 12.0}).reason == NOT_RECOGNISED


def test_a_rate_without_evidence_cannot_be_asked_for() -> None:
    with pytest.raises(CalibrationError, match="evidence does not reach"):
        Judge(calibration(), PAYMENT, Mode(rate=1e-6, most=1))


@pytest.mark.parametrize("population", ["virtual", "real"])
def test_the_shipped_calibrations_serve_payment(population: str) -> None:
    judge = Judge(load_calibration(population), PAYMENT, PAYMENT.claimed)  # type: ignore[arg-type]
    assert judge.bound <= 1e-4
    full = {"ir": judge.calibration.ir.limit, "depth": judge.calibration.depth.limit}
    assert judge.weigh(full).matched  # type: ignore[arg-type]
    assert not judge.weigh({"ir": full["ir"], "depth": -full["depth"]}).matched


# -- attacks --------------------------------------------------------------------------------------------------------


def test_photo_with_the_depth_of_another_face_is_refused() -> None:
    """The picture of Ada over somebody else's shape: a printed mask, a projection."""
    attack = TILL.compare(Embedded(IR, towards(DEPTH, 0.0)), ADA)
    assert attack.reason in (NOT_RECOGNISED, DISAGREE)


def test_shape_of_the_person_under_another_skin_is_refused() -> None:
    """A bust cast from Ada's scan."""
    assert TILL.compare(Embedded(towards(IR, 0.0), DEPTH), ADA).reason in (NOT_RECOGNISED, DISAGREE)


@given(st.sampled_from(["ir", "depth"]), st.floats(-12, -4.01))
def test_one_modality_replayed_perfectly_does_not_outweigh_the_other(copied: str, other: float) -> None:
    ratios = {"ir": other, "depth": other} | {copied: 12.0}
    assert not TILL.weigh(ratios).matched  # type: ignore[arg-type]


def test_one_modality_replayed_and_the_other_held_back_is_refused() -> None:
    assert TILL.compare(Embedded(IR, None), ADA).reason == MISSING


def test_template_of_the_other_modality_swapped_in_is_refused() -> None:
    swapped = np.ascontiguousarray(ADA[::-1])
    assert not TILL.compare(Embedded(IR, DEPTH), swapped).matched


def test_template_of_another_person_in_one_modality_is_refused() -> None:
    mixed = ADA.copy()
    mixed[1] = make_templates({"front": Embedded(unit(3), unit(4))})[1]
    assert not TILL.compare(Embedded(IR, DEPTH), mixed).matched


def test_probe_that_is_no_direction_is_refused() -> None:
    with pytest.raises(TemplateError):
        TILL.compare(Embedded(np.full(128, np.nan, np.float32), DEPTH), ADA)
