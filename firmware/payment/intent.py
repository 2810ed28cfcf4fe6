"""Which intents this terminal believes: the backend's, for it, for now, and within its limits; and their recall."""

import hashlib

import msgspec

from firmware.payment import money, schema
from firmware.payment.clock import MAX_SKEW_S
from firmware.payment.errors import PaymentError
from firmware.payment.messages import ASSURANCE_RANK, Assurance, Cancellation, Intent
from firmware.payment.trust import Trust
from firmware.runtime.config import Profile

MAX_INTENT_TTL_S = 300


class AcceptedIntent(msgspec.Struct, frozen=True):
    """An intent that passed every check.

    Attributes:
        digest: SHA-256 of its exact envelope.
        assurance: the stronger of what the backend and the profile demand.
    """

    intent: Intent
    digest: bytes
    assurance: Assurance


def accept_intent(
    envelope: bytes, trust: Trust, *, terminal: str, merchant: str, now: int, profile: Profile
) -> AcceptedIntent:
    """Check an intent from the wire; `now` is whole seconds since 1970.

    Raises:
        PaymentError: as `read_intent` and `check_time`.
    """
    accepted = read_intent(envelope, trust, terminal=terminal, merchant=merchant, profile=profile)
    check_time(accepted.intent, now)
    return accepted


def read_intent(envelope: bytes, trust: Trust, *, terminal: str, merchant: str, profile: Profile) -> AcceptedIntent:
    """Check all of an intent but what takes a clock.

    Raises:
        PaymentError: an envelope code, `intent_other_terminal`, `merchant`, `ttl` or `currency`.
    """
    _, intent = schema.verify(envelope, Intent, trust.resolve)
    if intent.terminal != terminal:
        raise PaymentError("intent_other_terminal", f"the intent is for {intent.terminal}")
    if intent.merchant != merchant:
        raise PaymentError("merchant", f"the intent is for {intent.merchant}; this terminal stands at {merchant}")
    if not 0 < intent.expires_at - intent.issued_at <= MAX_INTENT_TTL_S:
        raise PaymentError("ttl", f"the intent does not live for 1 to {MAX_INTENT_TTL_S} s")
    if intent.exponent != money.exponent(intent.currency):
        raise PaymentError("currency", f"{intent.currency} does not have {intent.exponent} decimals")
    assurance = max(intent.assurance, profile.require_assurance, key=ASSURANCE_RANK.__getitem__)
    return AcceptedIntent(intent, hashlib.sha256(envelope).digest(), assurance)


def check_time(intent: Intent, now: int) -> None:
    """Check that an intent is for now, whole seconds since 1970. Raises PaymentError `future` or `expired`."""
    if intent.issued_at > now + MAX_SKEW_S:
        raise PaymentError("future", f"the intent was issued {intent.issued_at - now} s from now; check the clock")
    if now >= intent.expires_at:
        raise PaymentError("expired", f"the intent expired {now - intent.expires_at} s ago")


def read_cancellation(envelope: bytes, trust: Trust, terminal: str) -> Cancellation:
    """Check the backend's word that an intent is taken back. Raises PaymentError: `terminal_mismatch`, envelope codes.

    It needs no clock: it is bound to one intent's exact bytes, and what it says stays so.
    """
    _, cancellation = schema.verify(envelope, Cancellation, trust.resolve)
    if cancellation.terminal != terminal:
        raise PaymentError("terminal_mismatch", f"the cancellation is for {cancellation.terminal}")
    return cancellation
