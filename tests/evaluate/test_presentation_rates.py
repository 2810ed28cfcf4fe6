"""What is a trial, what a rate may claim, and what is never computed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hil.evaluate import presentation_rates
from hil.evaluate.presentation_rates import apcer, bpcer, claim, needed


def test_ten_tries_of_one_mask_are_one_trial_accepted_if_any_was() -> None:
    found = apcer([("anna", "mask 1", number == 7) for number in range(10)])
    assert found is not None
    assert (found.errors, found.trials, found.people, found.value) == (1, 1, 1, 1.0)


def test_thirty_people_times_ten_tries_are_not_three_hundred_trials() -> None:
    tries = apcer([(f"p{who}", "print", False) for who in range(30) for _ in range(10)])
    assert tries is not None
    assert tries.trials == 30
    assert tries.claim == pytest.approx(0.095, abs=1e-3)
    instruments = apcer([(f"p{who}", f"print {made}", False) for who in range(30) for made in range(10)])
    assert instruments is not None
    assert (instruments.trials, instruments.people) == (300, 30)
    assert instruments.interval == pytest.approx((0, 0.0122), abs=1e-4)
    assert instruments.bootstrap == pytest.approx((0, 0.1157), abs=1e-4)  # of 30 people


def test_a_person_who_is_always_mistaken_widens_the_interval_by_people() -> None:
    one = apcer([(f"p{who}", f"i{made}", who == 0) for who in range(10) for made in range(10)])
    spread = apcer([(f"p{who}", f"i{made}", made == who) for who in range(10) for made in range(10)])
    assert one is not None
    assert spread is not None
    assert (one.value, one.interval) == (spread.value, spread.interval)
    assert one.bootstrap[1] > 0.2
    assert spread.bootstrap == (0.1, 0.1)


def test_one_person_ten_times_is_one_person_to_the_interval() -> None:
    found = bpcer([("anna", False)] * 10)
    assert found is not None
    assert (found.errors, found.trials, found.people) == (0, 10, 1)
    assert found.interval == pytest.approx((0, 0.975))
    half = bpcer([("anna", number % 2 == 0) for number in range(10)])
    assert half is not None
    assert (half.value, half.interval) == (0.5, (0.0, 1.0))


def test_nothing_presented_has_no_rate() -> None:
    assert apcer([]) is None
    assert bpcer([]) is None


@pytest.mark.parametrize(("rate", "trials"), [(0.15, 19), (0.07, 42), (0.03, 99), (0.01, 299)])
def test_a_claim_needs_so_many_trials_without_an_error(rate: float, trials: int) -> None:
    assert needed(rate) == trials
    assert claim(trials) <= rate < claim(trials - 1)


@given(st.integers(1, 5000))
def test_no_error_claims_three_over_n_and_no_less(trials: int) -> None:
    assert 1 - 0.05 ** (1 / trials) == pytest.approx(claim(trials), rel=1e-6)
    assert claim(trials) <= 3 / trials
    assert trials < 30 or claim(trials) > 2.8 / trials


@given(st.integers(1, 400), st.integers(0, 20), st.floats(0.005, 0.9))
def test_errors_make_every_claim_weaker(trials: int, errors: int, rate: float) -> None:
    wrong = min(errors, trials)
    assert claim(trials, wrong) >= claim(trials) >= claim(trials + 1)
    assert claim(needed(rate, errors), errors) <= rate
    assert needed(rate, errors) >= needed(rate)


def test_impossible_plans_are_refused() -> None:
    for rate in (0, 1, -0.1, float("nan")):
        with pytest.raises(ValueError, match="a rate of"):
            needed(rate)
    for trials, errors in ((3, 4), (3, -1)):
        with pytest.raises(ValueError, match="errors in"):
            claim(trials, errors)


def test_pooled_rates_do_not_exist() -> None:
    """Over several species, or a mean of the two: there is no function to call."""
    given = {name for name in vars(presentation_rates) if not name.startswith("_")}
    assert not {name for name in given if "pool" in name.lower() or "acer" in name.lower() or "hter" in name.lower()}
