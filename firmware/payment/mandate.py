"""Payer mandates and erasure receipts: how a face comes to be bound to an account, and the proof that it no longer is.

A mandate is used once: the gallery remembers it, in the same transaction as the enrolment it allows.
"""

import hmac

from drivers.secure_element.interface import SecureElement
from firmware.payment import authorize, schema
from firmware.payment.errors import PaymentError
from firmware.payment.messages import ErasureReceipt, Mandate
from firmware.payment.trust import Trust, key_id, load_public_key


def verify_mandate(
    envelope: bytes, trust: Trust, *, terminal: str, purpose: str, consent_hash: bytes, now: int
) -> Mandate:
    """Check a mandate for enrolling under the consent whose SHA-256 is `consent_hash`.

    Raises:
        PaymentError: an envelope code, or `mandate`.
    """
    _, mandate = schema.verify(envelope, Mandate, trust.resolve)
    if mandate.terminal != terminal:
        raise PaymentError("mandate", f"the mandate is for {mandate.terminal}")
    if mandate.purpose != purpose:
        raise PaymentError("mandate", f"the mandate is for {mandate.purpose}, not {purpose}")
    if not hmac.compare_digest(mandate.consent_hash, consent_hash):
        raise PaymentError("mandate", "the mandate is for another consent")
    if now >= mandate.expires_at:
        raise PaymentError("mandate", "the mandate has expired; ask the payment provider for a new one")
    return mandate


def sign_erasure(
    *, terminal: str, person: str, consent_hash: bytes, erased_at: int, records: int, element: SecureElement
) -> bytes:
    """Return the signed statement that `records` records of `person` are gone.

    Raises:
        PaymentError: `schema`, for a value out of its bounds.
        SecureElementError: the element refused.
    """
    receipt = ErasureReceipt(
        terminal=terminal, person=person, consent_hash=consent_hash, erased_at=erased_at, records=records
    )
    return authorize.sign(receipt, element)


def verify_erasure(envelope: bytes, public_key: bytes) -> ErasureReceipt:
    """Check an erasure receipt against the terminal's public key (DER SubjectPublicKeyInfo). Raises PaymentError."""
    key = load_public_key(public_key)
    return schema.verify(envelope, ErasureReceipt, Trust({key_id(key): key}).resolve)[1]
