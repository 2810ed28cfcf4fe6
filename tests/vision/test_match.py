"""Cosines of a probe with a person's templates, and the log-likelihood ratios they are worth."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.vision.calibration import load_calibration
from firmware.vision.embed import Embedded
from firmware.vision.match import cosines, llr_of
from firmware.vision.templates import TemplateError, make_templates
from tests.vision.units import calibration, reading, towards, unit

READINGS = [
    load_calibration(population).of(modality) for population in ("virtual", "real") for modality in ("ir", "depth")
]


def test_the_best_of_the_views_counts() -> None:
    views = np.stack([unit(1), unit(2), unit(3)])[None]
    assert cosines(towards(unit(2), 0.8), views, reading())[0] == pytest.approx(0.8, abs=1e-5)


@pytest.mark.parametrize("shipped", READINGS)
def test_a_probe_is_most_alike_to_itself(shipped: object) -> None:
    views = np.stack([unit(1), unit(2), unit(3)])[None]
    assert cosines(unit(2), views, shipped)[0] == pytest.approx(1, abs=1e-5)  # type: ignore[arg-type]
    assert cosines(-unit(2), views[:, 1:2], shipped)[0] < 0.5  # type: ignore[arg-type]


def test_a_person_without_templates_is_nan_and_worth_nothing() -> None:
    assert np.isnan(cosines(unit(1), np.zeros((1, 3, 128), np.float32), reading())[0])
    assert math.isnan(reading().llr(math.nan))
    assert llr_of(Embedded(unit(1), unit(2)), make_templates({"front": Embedded(unit(1))}), calibration()).keys() == {
        "ir"
    }


def test_several_people_are_compared_at_once() -> None:
    views = np.stack([np.stack([unit(seed)] * 3) for seed in range(4)])
    assert int(cosines(towards(unit(2), 0.9), views, reading()).argmax()) == 2


@given(st.floats(-1, 1), st.floats(-1, 1))
def test_more_alike_is_never_worth_less_and_never_more_than_the_limit(one: float, other: float) -> None:
    low, high = sorted((one, other))
    for shipped in READINGS:
        assert -shipped.limit <= shipped.llr(low) <= shipped.llr(high) <= shipped.limit


@pytest.mark.parametrize("bad", [np.zeros(128, np.float32), np.full(128, np.nan, np.float32), np.ones(64, np.float32)])
def test_what_is_no_embedding_is_never_scored(bad: np.ndarray) -> None:
    with pytest.raises(TemplateError, match="cannot be compared"):
        cosines(bad, unit(1)[None, None], reading())
