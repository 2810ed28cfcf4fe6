"""Amounts: whole minor units, with the currency's own exponent. No float ever."""

import re
from typing import Annotated

import msgspec
from msgspec import Meta

from firmware.payment.errors import PaymentError

# ISO 4217 list one: digits after the decimal point. A currency that is not here is refused, not guessed.
EXPONENTS = {
    "AED": 2, "AUD": 2, "BHD": 3, "BRL": 2, "CAD": 2, "CHF": 2, "CLP": 0, "CNY": 2, "CZK": 2, "DKK": 2, "EUR": 2,
    "GBP": 2, "HKD": 2, "HUF": 2, "IDR": 2, "ILS": 2, "INR": 2, "ISK": 0, "JOD": 3, "JPY": 0, "KRW": 0, "KWD": 3,
    "MXN": 2, "MYR": 2, "NOK": 2, "NZD": 2, "OMR": 3, "PHP": 2, "PLN": 2, "RON": 2, "SAR": 2, "SEK": 2, "SGD": 2,
    "THB": 2, "TND": 3, "TRY": 2, "TWD": 2, "USD": 2, "VND": 0, "ZAR": 2,
}  # fmt: skip


class Amount(msgspec.Struct, frozen=True):
    """So many of the currency's minor unit."""

    minor: Annotated[int, Meta(ge=1)]
    currency: str

    def __str__(self) -> str:
        return format_amount(self.minor, self.currency)


def exponent(currency: str) -> int:
    """Digits after the decimal point. Raises PaymentError `currency`."""
    if currency not in EXPONENTS:
        raise PaymentError("currency", f"{currency!r} is not a currency this terminal knows")
    return EXPONENTS[currency]


def format_amount(minor: int, currency: str) -> str:
    """Return e.g. `12.50 EUR`, `1250 JPY`, `1.250 KWD`. Raises PaymentError `currency`."""
    digits = exponent(currency)
    if digits == 0:
        return f"{minor} {currency}"
    whole, part = divmod(minor, 10**digits)
    return f"{whole}.{part:0{digits}d} {currency}"


def parse_amount(text: str, currency: str) -> Amount:
    """Read `12.50`: exactly the currency's digits or none at all.

    Raises:
        PaymentError: `currency`, or `amount` for anything else than a positive plain number.
    """
    digits = exponent(currency)
    if not re.fullmatch(rf"[0-9]{{1,12}}(\.[0-9]{{{digits}}})?" if digits else r"[0-9]{1,12}", text):
        raise PaymentError("amount", f"{text!r} is not an amount of {currency} with {digits} decimals")
    whole, _, part = text.partition(".")
    minor = int(whole) * 10**digits + int(part or "0")
    if minor == 0:
        raise PaymentError("amount", "an amount must be above zero")
    return Amount(minor, currency)
