"""The terminal's signature: one authorization or one decline, through the secure element.

Rules kept here:
- What is signed for is what was shown: `core` passes the text it showed, and any other text than the intent's own
  is refused.
- Evidence weaker than the intent or the profile demands is never signed.
- Bands of the evidence are in clear; the audit record stays here, and a salted hash commits to it.
"""

import hashlib

import msgspec

from drivers.secure_element.interface import SecureElement
from firmware.payment import schema
from firmware.payment.errors import PaymentError
from firmware.payment.intent import AcceptedIntent
from firmware.payment.messages import (
    ASSURANCE_RANK,
    NO_ID,
    Allowance,
    Authorization,
    Decline,
    Digest,
    Evidence,
    Id,
    Name,
    Version,
)
from firmware.payment.money import format_amount
from firmware.payment.trust import key_id, load_public_key

AUTHORIZATION_TTL_S = 120
SALT_BYTES = 32


class Software(msgspec.Struct, frozen=True, kw_only=True):
    """What runs on this terminal, as an authorization states it: digests are SHA-256."""

    terminal: Name
    profile: Name
    policy: Digest
    thresholds: Digest
    models: Digest
    firmware: Version
    camera: Name


class Binding(msgspec.Struct, frozen=True):
    """Whose account a matched face may charge: the payer token and the mandate it was enrolled under."""

    payer: Name
    mandate: Id


def display_text(amount_minor: int, currency: str, merchant: str) -> str:
    """Return the one text a payment shows, e.g. `Pay 12.50 EUR to MERCHANT`."""
    return f"Pay {format_amount(amount_minor, currency)} to {merchant}"


def display_hash(text: str) -> bytes:
    """SHA-256 of the text."""
    return hashlib.sha256(text.encode()).digest()


def commit(record: bytes, salt: bytes) -> bytes:
    """Return the commitment to an audit record; `salt` is 32 random bytes kept with the record."""
    if len(salt) != SALT_BYTES:
        raise ValueError(f"salt is {len(salt)} bytes, expected {SALT_BYTES}")
    return hashlib.sha256(salt + record).digest()


def sign_authorization(
    accepted: AcceptedIntent,
    *,
    software: Software,
    evidence: Evidence,
    binding: Binding,
    shown: str,
    now: int,
    counter: int,
    element: SecureElement,
    allowance: Allowance | None = None,
) -> bytes:
    """Return the signed authorization. Called by `Outbox`, which hands out the counter.

    `allowance`: what it is signed under while the link is down; it may then wait for delivery as long as that says.

    Raises:
        PaymentError: `display`, `evidence`, `mandate`, `expired` or `schema`.
        SecureElementError: the element refused.
    """
    intent = accepted.intent
    if shown != display_text(intent.amount_minor, intent.currency, intent.merchant):
        raise PaymentError("display", "what was shown is not what the intent asks for")
    if ASSURANCE_RANK[evidence.assurance] < ASSURANCE_RANK[accepted.assurance]:
        raise PaymentError("evidence", f"{accepted.assurance} is demanded, the evidence is {evidence.assurance}")
    if binding.payer != intent.payer:
        raise PaymentError("mandate", "the matched face is bound to another payer")
    if now >= intent.expires_at:
        raise PaymentError("expired", "the intent expired before it was authorized")
    authorization = Authorization(
        id=element.random(16),
        intent=intent.id,
        intent_hash=accepted.digest,
        challenge=intent.challenge,
        terminal=software.terminal,
        merchant=intent.merchant,
        amount_minor=intent.amount_minor,
        currency=intent.currency,
        exponent=intent.exponent,
        counter=counter,
        issued_at=now,
        expires_at=min(intent.expires_at, now + AUTHORIZATION_TTL_S) if allowance is None else now + allowance.hold_s,
        evidence=evidence,
        payer=binding.payer,
        mandate=binding.mandate,
        profile=software.profile,
        policy=software.policy,
        thresholds=software.thresholds,
        models=software.models,
        firmware=software.firmware,
        camera=software.camera,
        display_hash=display_hash(shown),
        allowance=NO_ID if allowance is None else allowance.id,
    )
    return sign(authorization, element)


def sign_decline(
    intent: bytes, intent_hash: bytes, *, terminal: str, reason: str, now: int, counter: int, element: SecureElement
) -> bytes:
    """Return the signed decline of an intent. Called by `Outbox.decline`. Raises PaymentError, SecureElementError."""
    decline = Decline(
        intent=intent, intent_hash=intent_hash, terminal=terminal, counter=counter, issued_at=now, reason=reason
    )
    return sign(decline, element)


def sign(message: schema.Message, element: SecureElement) -> bytes:
    """Sign with the device key, under its id. Raises PaymentError `schema` for a value out of its bounds."""
    return schema.sign(message, element.sign, key_id(load_public_key(element.public_key)))
