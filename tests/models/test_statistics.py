"""Rates claim no more than their trials; the likelihood ratio has the sign it should."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.vision.calibration import decode_calibration, load_calibration
from models.train.calibrate_scores import to_toml
from models.train.statistics import bootstrap_rates, fit_llr, threshold_for, upper_bound


@pytest.mark.parametrize("trials", [100, 1000, 100_000])
def test_no_error_in_n_trials_claims_three_over_n(trials: int) -> None:
    assert upper_bound(0, trials) * trials == pytest.approx(3.0, abs=0.05)


def test_nothing_but_errors_claims_nothing() -> None:
    assert upper_bound(7, 7) == 1.0


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=200), st.sampled_from([0.0, 0.01, 0.1, 0.5]))
def test_a_threshold_never_lets_through_more_than_its_rate(scores: list[float], rate: float) -> None:
    impostor = np.array(scores)
    assert (impostor >= threshold_for(impostor, rate)).mean() <= rate


def test_the_ratio_is_zero_halfway_between_two_equal_spreads() -> None:
    rng = np.random.default_rng(0)
    fit = fit_llr(rng.normal(0.7, 0.1, 4000), rng.normal(0.1, 0.1, 4000))
    assert fit.slope > 0
    assert -fit.offset / fit.slope == pytest.approx(0.4, abs=0.03)
    # two normal distributions of one width have this exact slope: difference of the means over the variance
    assert fit.slope == pytest.approx(60, rel=0.25)


def test_one_bad_person_widens_the_interval() -> None:
    first, second = (side.ravel() for side in np.meshgrid(np.arange(40), np.arange(40)))
    pairs = first < second
    first, second = first[pairs], second[pairs]
    scores = np.where((first == 3) & (second % 2 == 0), 0.9, 0.1)
    rates = bootstrap_rates(scores, first, second, 0.5, rounds=400, seed=1)
    errors = int((scores >= 0.5).sum())
    assert np.percentile(rates, 95) > upper_bound(errors, len(scores))


def test_a_calibration_survives_its_own_file() -> None:
    calibration = load_calibration("virtual")
    fields = {name: getattr(calibration, name) for name in calibration.__struct_fields__}
    assert decode_calibration(to_toml(fields).encode(), "written") == calibration
