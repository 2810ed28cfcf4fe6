"""The plain messages of the test vectors: one payment and one enrolment, from consent to receipt."""

import hashlib
from collections.abc import Callable

from firmware.gallery.consent import ConsentRecord
from firmware.payment import schema
from firmware.payment.authorize import display_hash, display_text
from firmware.payment.messages import (
    Authorization,
    Decline,
    ErasureReceipt,
    Evidence,
    GuardianMandate,
    Intent,
    Mandate,
    Receipt,
)

NOW = 1_800_000_000


def examples(seal: Callable[[str, schema.Message], bytes]) -> dict[str, schema.Message]:
    """One plain message of each kind. They fit each other: `seal` returns the exact envelope of one of them."""
    fresh = iter(hashlib.sha256(b"%d" % number).digest() for number in range(20))
    consent = ConsentRecord(
        who="Kim", purposes=("payment", "door"), notice_version="1", notice_sha256=next(fresh), language="de",
        retention_days=365, date_of_birth="1990-02-28", age_source="document", given_at=NOW - 900, guardian="",
        guardian_verifier="", guardian_method="", guardian_given_at=0, terminal="till-1", recorded_by="op",
        recorded_at=NOW - 840,
    )  # fmt: skip
    consent_hash = _sha256(seal("consent-record", consent))
    mandate = Mandate(
        id=next(fresh)[:16], payer="payer-7", terminal="till-1", purpose="payment", consent_hash=consent_hash,
        issued_at=NOW - 800, expires_at=NOW - 200, method="simulated",
    )  # fmt: skip
    intent = Intent(
        id=next(fresh)[:16], issued_at=NOW, expires_at=NOW + 120, terminal="till-1", merchant="CORNER-SHOP",
        amount_minor=1250, currency="EUR", exponent=2, challenge=next(fresh), assurance="dynamic", payer="payer-7",
        counter=41,
    )  # fmt: skip
    intent_hash = _sha256(seal("intent", intent))
    authorization = Authorization(
        id=next(fresh)[:16], intent=intent.id, intent_hash=intent_hash, challenge=intent.challenge, terminal="till-1",
        merchant=intent.merchant, amount_minor=1250, currency="EUR", exponent=2, counter=42, issued_at=NOW + 9,
        expires_at=NOW + 120, payer="payer-7", mandate=mandate.id, profile="payment", policy=next(fresh),
        evidence=Evidence(assurance="dynamic", gates=("fresh", "dynamic"), match_band=4, record=next(fresh)),
        thresholds=next(fresh), models=next(fresh), firmware="0.1.0", camera="camera-0",
        display_hash=display_hash(display_text(1250, "EUR", intent.merchant)),
    )  # fmt: skip
    return {
        "intent": intent,
        "authorization": authorization,
        "decline": Decline(
            intent=intent.id, intent_hash=intent_hash, terminal="till-1", counter=42, issued_at=NOW + 9, reason="no_tap"
        ),
        "receipt": Receipt(
            digest=_sha256(seal("authorization", authorization)), intent=intent.id, terminal="till-1",
            outcome="approved", code="", issued_at=NOW + 10,
        ),
        "mandate": mandate,
        "guardian-mandate": GuardianMandate(
            id=next(fresh)[:16], terminal="till-1", consent_hash=next(fresh), verifier="school-office",
            method="document", issued_at=NOW - 800, expires_at=NOW - 200,
        ),
        "erasure-receipt": ErasureReceipt(
            terminal="till-1", person="p-1", consent_hash=consent_hash, erased_at=NOW + 99, records=1
        ),
        "consent-record": consent,
    }  # fmt: skip


def _sha256(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()
