"""Known scores give known rates; what the pairs cannot show is not shown; intervals are by person."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hil.evaluate.rates import RULE_OF_30, RatesError, Trials, curve, exact_bounds, needed, rates, supported


def trials(genuine: list[float], impostor: list[float]) -> Trials:
    """Each genuine pair of a person of its own, each impostor pair of the next two."""
    own = np.arange(len(genuine))
    one = np.arange(len(impostor))
    scores = np.array([*genuine, *impostor], np.float64)
    first, second = np.concatenate([own, one]), np.concatenate([own, one + 1])
    return Trials(scores, first == second, first.astype(np.int64), second.astype(np.int64))


def slowly(genuine: list[float], impostor: list[float], far: float) -> tuple[float, float, float]:
    """Equal error rate, area, true accept rate at `far`, one obvious step after the other."""
    above = max(*genuine, *impostor) + 1
    points = [(0.0, 1.0)]
    tar = 0.0
    for threshold in sorted({*genuine, *impostor, above}, reverse=True):
        false = sum(score >= threshold for score in impostor) / len(impostor)
        missed = sum(score < threshold for score in genuine) / len(genuine)
        points.append((false, missed))
        if false <= far:
            tar = 1 - missed
    after = next(k for k, (false, missed) in enumerate(points) if false >= missed - 1e-12)
    (false, missed), (then_false, then_missed) = points[after - 1], points[after]
    share = (missed - false) / (missed - false + then_false - then_missed)
    eer = false + share * (then_false - false)
    wins = sum(1.0 if one > other else 0.5 if one == other else 0.0 for one in genuine for other in impostor)
    return eer, wins / len(genuine) / len(impostor), tar


@given(
    arrays(np.int8, st.integers(1, 12), elements=st.integers(-5, 5)),
    arrays(np.int8, st.integers(300, 330), elements=st.integers(-8, 3)),
)
def test_rates_are_those_of_the_slow_and_obvious_computation(genuine: np.ndarray, impostor: np.ndarray) -> None:
    own, other = [float(score) for score in genuine], [float(score) for score in impostor]
    found = rates(trials(own, other), rounds=2)
    eer, auc, tar = slowly(own, other, 0.1)
    assert found.auc.value == pytest.approx(auc)
    assert found.eer.value == pytest.approx(eer)
    at = found.at(0.1)
    assert at is not None
    assert at.rate.value == pytest.approx(tar)
    assert sum(score >= at.threshold for score in other) <= 0.1 * len(other)


def test_a_perfect_separation_has_no_error_and_still_an_interval() -> None:
    found = rates(trials([0.9] * 40, [0.1] * 300), rounds=20)
    assert (found.eer.value, found.auc.value) == (0.0, 1.0)
    assert 0.05 < found.eer.high < 0.12  # nothing in 40 claims 3 / 40, and a little more on two sides


def test_scores_that_say_nothing_are_wrong_half_the_time() -> None:
    rng = np.random.default_rng(0)
    found = rates(trials(list(rng.normal(size=2000)), list(rng.normal(size=2000))), rounds=20)
    assert found.eer.value == pytest.approx(0.5, abs=0.03)
    assert found.auc.low < 0.5 < found.auc.high


@pytest.mark.parametrize(("count", "shown"), [(2999, False), (3000, True)])
def test_a_false_accept_rate_the_pairs_cannot_show_is_refused(count: int, shown: bool) -> None:
    found = rates(trials([0.9] * 10, list(np.linspace(0, 0.8, count))), rounds=2)
    assert (found.at(1e-2) is not None) is shown
    assert found.at(1e-3) is None
    assert needed(1e-3) == 30_000
    assert supported(1e-2, count) is shown
    assert needed(1e-2) == 100 * RULE_OF_30


def test_pairs_of_few_people_claim_less_than_as_many_of_many() -> None:
    """The same scores, once of 200 people, once of 10 of whom some are always mistaken."""
    rng = np.random.default_rng(1)
    many = rates(trials(list(np.where(rng.random(2000) < 0.1, -1.0, 1.0)), [0.0] * 3000), rounds=100)
    who = np.repeat(np.arange(10), 200)
    scores = np.concatenate([np.where(who == 0, -1.0, 1.0), np.zeros(3000)])
    first = np.concatenate([who, np.arange(3000) % 10]).astype(np.int64)
    second = np.concatenate([who, (np.arange(3000) + 1) % 10]).astype(np.int64)
    few = rates(Trials(scores, first == second, first, second), rounds=100)
    wide, narrow = few.at(1e-2), many.at(1e-2)
    assert wide is not None
    assert narrow is not None
    assert narrow.rate.value == pytest.approx(0.9, abs=0.02)
    assert wide.rate.value == 0.9
    assert wide.rate.high - wide.rate.low > 4 * (narrow.rate.high - narrow.rate.low)


def test_drawing_people_anew_is_the_same_every_time() -> None:
    rng = np.random.default_rng(2)
    seen = trials(list(rng.normal(2, 1, 50)), list(rng.normal(0, 1, 500)))
    assert rates(seen, rounds=10) == rates(seen, rounds=10)


def test_exact_bounds_without_an_error_follow_the_rule_of_three() -> None:
    low, high = exact_bounds(1000, 1000)
    assert low == pytest.approx(1 - 3.7 / 1000, abs=1e-4)
    assert high == 1.0
    assert exact_bounds(0, 1000, level=0.90)[1] == pytest.approx(3 / 1000, abs=1e-4)


def test_the_curve_ends_where_everybody_is_accepted() -> None:
    false, accepted = curve(trials([1.0, 2.0], [0.0, 1.5]))
    assert (false[-1], accepted[-1]) == (1.0, 1.0)
    assert (np.diff(false) >= 0).all()
    assert (np.diff(accepted) >= 0).all()


@pytest.mark.parametrize(("genuine", "impostor"), [([], [0.1]), ([0.9], [])])
def test_one_kind_of_pair_alone_has_no_rates(genuine: list[float], impostor: list[float]) -> None:
    with pytest.raises(RatesError, match="both kinds"):
        rates(trials(genuine, impostor))


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(RatesError, match="not a number"):
        trials([float("nan")], [0.1])
