"""A calibration claims no more than its comparisons, its people, and its worst person."""

import dataclasses
import math

import numpy as np
import pytest

from firmware.vision.calibration import Reading
from firmware.vision.calibration.evidence import NEEDED
from firmware.vision.embed import Modality
from hil.evaluate.fit import (
    Trials,
    fit_calibration,
    fit_llr,
    fit_reading,
    fit_threshold,
    of_one,
    to_toml,
    upper_bound,
)


def trials(people: int, modality: Modality = "ir", probes: int = 2, seed: int = 0, apart: float = 6.0) -> Trials:
    """Normal scores of width 0.1, `apart` widths between genuine and impostor."""
    rng = np.random.default_rng(seed)
    whose = np.repeat(np.arange(people, dtype=np.int32), probes)
    enrolled = np.tile(np.arange(people, dtype=np.int32), len(whose))
    probe = np.repeat(whose, people)
    scores = rng.normal(0.1, 0.1, len(probe)) + np.where(probe == enrolled, 0.1 * apart, 0)
    return of_one(modality, np.clip(scores, -1, 1).astype(np.float32), probe, enrolled, "made up", "synthetic")


@pytest.mark.parametrize("count", [100, 1000, 100_000])
def test_no_error_in_n_trials_claims_three_over_n(count: int) -> None:
    assert upper_bound(0, count) * count == pytest.approx(3.0, abs=0.05)


def test_nothing_but_errors_claims_nothing() -> None:
    assert upper_bound(7, 7) == 1.0


def test_the_ratio_is_zero_halfway_between_two_equal_spreads() -> None:
    rng = np.random.default_rng(0)
    slope, offset = fit_llr(
        rng.normal(0.7, 0.1, 4000).astype(np.float32), rng.normal(0.1, 0.1, 4000).astype(np.float32)
    )
    assert -offset / slope == pytest.approx(0.4, abs=0.03)
    # two normal distributions of one width have this exact slope: difference of the means over the variance
    assert slope == pytest.approx(60, rel=0.25)


@pytest.mark.parametrize("rate", [1e-2, 1e-3])
def test_a_threshold_keeps_its_rate_by_its_bound(rate: float) -> None:
    seen = trials(120, apart=3.0)
    reading = fit_reading(seen)
    found = fit_threshold(seen, {"ir": reading}, rate)
    assert found is not None
    assert found.errors / found.comparisons < found.bound <= rate
    assert found.bound >= upper_bound(found.errors, found.comparisons) * 0.999
    assert reading.floor <= -2.3
    assert found.llr > 0
    assert reading.limit <= math.log(120 * 119 / 2 / NEEDED)


def test_too_few_people_support_no_threshold_however_many_pictures() -> None:
    seen = trials(40, probes=50)
    assert len(seen.same) > 3 / 1e-3
    assert fit_threshold(seen, {"ir": fit_reading(seen)}, 1e-3) is None


def test_putting_the_same_people_together_again_is_no_more_evidence() -> None:
    once = trials(60, apart=3.0)
    reading = fit_reading(once)
    assert fit_threshold(once, {"ir": reading}, 1e-3) is None

    def over(times: int) -> Trials:
        cosines, whose, enrolled = once.cosines["ir"], once.probes["ir"], once.enrolled["ir"]
        again = of_one(
            "ir", np.tile(cosines, times), np.tile(whose, times), np.tile(enrolled, times), "made up", "synthetic"
        )
        return dataclasses.replace(again, pairings=times)

    assert fit_threshold(over(20), {"ir": reading}, 1e-3) is None
    one, many = (fit_threshold(over(times), {"ir": reading}, 1e-2) for times in (1, 20))
    assert one is not None
    assert many is not None
    assert many.bound >= upper_bound(one.errors, one.comparisons) * 0.99
    assert many.llr == one.llr


def test_one_person_whom_everybody_resembles_raises_the_threshold() -> None:
    plain = trials(120, seed=3, apart=3.0)
    reading = fit_reading(plain)
    alike = plain.cosines["ir"].copy()
    alike[(plain.enrolled["ir"] == 5) & ~plain.same] += np.float32(0.25)
    wolf = of_one("ir", alike, plain.probes["ir"], plain.enrolled["ir"], "made up", "synthetic")
    one, other = (fit_threshold(seen, {"ir": reading}, 1e-2) for seen in (plain, wolf))
    assert one is not None
    assert other is not None
    assert other.llr > one.llr
    assert other.errors < one.errors, "errors of one person weigh more than errors of many"


def test_both_together_miss_fewer_than_each_alone() -> None:
    ir, depth = trials(300, apart=4.5), trials(300, "depth", seed=1, apart=4.5)
    readings: dict[Modality, Reading] = {"ir": fit_reading(ir), "depth": fit_reading(depth)}
    both = Trials(
        ir.cosines | depth.cosines, ir.probes | depth.probes, ir.enrolled | depth.enrolled, ir.same, "made up",
        {"ir": "synthetic", "depth": "synthetic"}, ir.people,
    )  # fmt: skip
    found = fit_calibration("virtual", readings, (ir, depth), both)
    misses = {one.modalities: one.misses for one in found.thresholds if one.rate == 1e-4}
    assert set(misses) == {("ir", "depth"), ("ir",), ("depth",)}
    assert misses[("ir", "depth")] < min(misses[("ir",)], misses[("depth",)])
    assert not [one for one in found.thresholds if one.rate == 1e-5], "300 people do not support it"


def test_a_calibration_says_who_wrote_it() -> None:
    ir, depth = trials(300), trials(300, "depth", seed=1)
    both = Trials(
        ir.cosines | depth.cosines, ir.probes | depth.probes, ir.enrolled | depth.enrolled, ir.same, "made up",
        {"ir": "synthetic", "depth": "synthetic"}, ir.people,
    )  # fmt: skip
    readings: dict[Modality, Reading] = {"ir": fit_reading(ir), "depth": fit_reading(depth)}
    assert to_toml(fit_calibration("virtual", readings, (ir, depth), both), "a test").startswith("# Written by a test")


def test_a_match_is_never_less_likely_than_not_however_far_apart_people_are() -> None:
    seen = trials(120, apart=9.0)
    seen.cosines["ir"][~seen.same] = np.float32(-0.9)
    found = fit_threshold(seen, {"ir": fit_reading(trials(120, apart=3.0))}, 1e-2)
    assert found is not None
    assert found.llr == 0
    assert found.errors == 0
