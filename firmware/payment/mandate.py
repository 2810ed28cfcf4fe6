"""Mandates and erasure receipts: how a face comes to be bound to an account, and the proof that it no longer is.

Rules kept here:
- A mandate is the backend's, for this terminal, for the exact bytes of one consent record, for minutes.
- Whoever consents for a child needs one too, by which somebody stands for who they are.
- In production a mandate by which nobody was authenticated binds nobody.
- A mandate is used once: the gallery remembers it, in the same transaction as the enrolment it allows.
"""

import hmac

from drivers.secure_element.interface import SecureElement
from firmware.payment import authorize, schema
from firmware.payment.clock import MAX_SKEW_S
from firmware.payment.errors import PaymentError
from firmware.payment.messages import Environment, ErasureReceipt, GuardianMandate, Mandate
from firmware.payment.trust import Trust, key_id, load_public_key

MAX_MANDATE_TTL_S = 24 * 3600
# the method of whoever had no way to authenticate anybody, and says so
SIMULATED = "simulated"


def verify_mandate(
    envelope: bytes,
    trust: Trust,
    *,
    environment: Environment,
    terminal: str,
    purpose: str,
    consent_hash: bytes,
    now: int,
) -> Mandate:
    """Check a payer mandate for enrolling under the consent whose SHA-256 is `consent_hash`.

    Raises:
        PaymentError: an envelope code, or `mandate`.
    """
    _, mandate = schema.verify(envelope, Mandate, trust.resolve)
    _check_bound(mandate, environment, terminal, consent_hash, now)
    if mandate.purpose != purpose:
        raise PaymentError("mandate", f"the mandate is for {mandate.purpose}, not {purpose}")
    return mandate


def verify_guardian_mandate(
    envelope: bytes,
    trust: Trust,
    *,
    environment: Environment,
    terminal: str,
    consent_hash: bytes,
    verifier: str,
    method: str,
    now: int,
) -> GuardianMandate:
    """Check that `verifier` stands for the guardian in the consent whose SHA-256 is `consent_hash`, by `method`.

    Raises:
        PaymentError: an envelope code, or `mandate`.
    """
    _, mandate = schema.verify(envelope, GuardianMandate, trust.resolve)
    _check_bound(mandate, environment, terminal, consent_hash, now)
    if (mandate.verifier, mandate.method) != (verifier, method):
        said = f"{mandate.verifier} by {mandate.method}"
        raise PaymentError("mandate", f"the guardian was verified by {said}; the consent says {verifier} by {method}")
    return mandate


def _check_bound(
    mandate: Mandate | GuardianMandate, environment: Environment, terminal: str, consent_hash: bytes, now: int
) -> None:
    if environment == "production" and mandate.method == SIMULATED:
        raise PaymentError("mandate", "nobody was authenticated for it: simulated, which is for a demonstration")
    if mandate.terminal != terminal:
        raise PaymentError("mandate", f"the mandate is for {mandate.terminal}")
    if not hmac.compare_digest(mandate.consent_hash, consent_hash):
        raise PaymentError("mandate", "the mandate is for another consent")
    if not 0 < mandate.expires_at - mandate.issued_at <= MAX_MANDATE_TTL_S:
        raise PaymentError("mandate", f"the mandate does not live for 1 to {MAX_MANDATE_TTL_S} s")
    if mandate.issued_at > now + MAX_SKEW_S:
        raise PaymentError("mandate", "the mandate was issued in the future; check the clock")
    if now >= mandate.expires_at:
        raise PaymentError("mandate", "the mandate has expired; ask the payment provider for a new one")


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
