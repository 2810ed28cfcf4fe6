"""Amounts in whole minor units, each currency with its own exponent."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware.payment.errors import PaymentError
from firmware.payment.money import EXPONENTS, Amount, format_amount, parse_amount


@pytest.mark.parametrize(
    ("minor", "currency", "text"),
    [(1250, "EUR", "12.50 EUR"), (5, "EUR", "0.05 EUR"), (1250, "JPY", "1250 JPY"), (1250, "KWD", "1.250 KWD")],
)
def test_each_currency_has_its_own_exponent(minor: int, currency: str, text: str) -> None:
    assert format_amount(minor, currency) == text
    assert parse_amount(text.split()[0], currency) == Amount(minor, currency)


@given(st.integers(1, 10_000_000), st.sampled_from(sorted(EXPONENTS)))
def test_what_is_written_is_read_back(minor: int, currency: str) -> None:
    assert parse_amount(format_amount(minor, currency).split()[0], currency) == Amount(minor, currency)


@pytest.mark.parametrize(
    ("text", "currency"),
    [("12.5", "EUR"), ("12,50", "EUR"), ("-1.00", "EUR"), ("0.00", "EUR"), ("1.00", "JPY"), ("1e3", "EUR"),
     ("١.00", "EUR"), ("1.00\n", "EUR"), ("", "EUR"), ("1.000", "EUR")],
)  # fmt: skip
def test_an_amount_that_could_be_misread_is_refused(text: str, currency: str) -> None:
    with pytest.raises(PaymentError, match="amount"):
        parse_amount(text, currency)


def test_an_unknown_currency_is_refused_not_guessed() -> None:
    with pytest.raises(PaymentError, match="currency"):
        format_amount(1, "XAU")
