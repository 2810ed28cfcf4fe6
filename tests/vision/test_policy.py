"""N people at a false-match rate: what is allowed, and that more cannot be configured."""

from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.vision.calibration import CalibrationError
from firmware.vision.policy import PAYMENT_FPIR, Mode, Policy, decode_policies, fpir, load_policy

SHIPPED = (files("firmware.vision") / "policy.toml").read_text()


@given(st.floats(1e-9, 1e-2), st.integers(1, 100_000))
def test_the_bound_is_what_it_says_and_never_more_than_n_times_the_rate(rate: float, people: int) -> None:
    assert fpir(rate, people) == pytest.approx(1 - (1 - rate) ** people, rel=1e-4)
    assert fpir(rate, people) <= people * rate * (1 + 1e-9)


def test_the_worked_examples_of_the_documentation() -> None:
    assert fpir(1e-4, 1) == pytest.approx(1e-4)
    assert fpir(1e-5, 10) == pytest.approx(1e-4, rel=1e-3)
    assert fpir(1e-5, 1000) == pytest.approx(0.00995, rel=1e-3)
    assert fpir(1e-5, 50_000) == pytest.approx(0.393, rel=1e-2)


def test_payment_is_never_one_to_everybody_and_keeps_one_in_ten_thousand() -> None:
    payment, _ = load_policy("payment")
    assert payment.pays
    assert payment.everybody is None
    for mode in (payment.claimed, payment.last_digits):
        assert mode is not None
        assert mode.most * mode.rate <= PAYMENT_FPIR * (1 + 1e-9)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("most = 10\n", "most = 11\n", "last_digits: 11 people at 1e-05 exceed the limit of 0.0001"),
        ("most = 1000", "most = 1001", "everybody: 1001 people"),
        ('missing = "refuse"', 'missing = "raise"\nraise_by = 2.3', "payment: must refuse what is missing"),
        ("fpir_limit = 1e-4", "fpir_limit = 1e-3", "payment: must refuse what is missing"),
        ("raise_by = 2.303", "raise_by = 0.0", "must raise the threshold"),
        ("margin = 4.605", "margin = 0.0", "needs a margin"),
        (
            "[payment.claimed]\nrate = 1e-4\nmost = 1",
            "[payment.claimed]\nrate = 1e-5\nmost = 2",
            "one person is claimed",
        ),
        ("[payment.last_digits]", "[payment.everybody]\nmargin = 5.0", "payment: must refuse"),
        ("margin =", "margn =", "margn"),
        ("rate = 1e-4", "rate = nan", "rate"),
    ],
)
def test_a_policy_that_allows_too_much_cannot_be_decoded(old: str, new: str, reason: str) -> None:
    assert old in SHIPPED
    with pytest.raises(CalibrationError, match=rf"here\.toml: .*{reason}"):
        decode_policies(SHIPPED.replace(old, new, 1).encode(), "here.toml")


@given(st.floats(1e-7, 1e-2), st.integers(2, 100_000))
def test_no_policy_exceeds_its_own_limit(rate: float, most: int) -> None:
    try:
        Policy(
            missing="refuse", fpir_limit=1e-4, claimed=Mode(rate=1e-4, most=1), last_digits=Mode(rate=rate, most=most)
        )
    except ValueError:
        assert most * rate > 1e-4
    else:
        assert fpir(rate, most) <= 1e-4 * (1 + 1e-6)
